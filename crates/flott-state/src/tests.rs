//! The whole path: tables, snapshots, segments, manifests, restore at another parallelism, against
//! a model that is a map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;

use crate::storage::Fault;
use crate::*;

type Rows = BTreeMap<(i64, Option<String>), (i64, Option<String>)>;

/// One shard's operator: a plain table (in the model: bucket -1) and one in buckets.
struct Shard {
    owned: Range<u16>,
    table: Table<dyn StateColumn>,
    buckets: Buckets<dyn StateColumn>,
    unwritten: Option<OperatorSnapshot>,
    plan: FullPlan,
}

fn table() -> flott_types::Result<Table<dyn StateColumn>> {
    Table::new(
        &[DataType::Utf8],
        vec![Box::new(LongColumn::new(0)), Box::new(ArrowColumn::new(DataType::Utf8)?)],
    )
}

fn column(values: &[Option<String>]) -> ArrayRef {
    Arc::new(values.iter().cloned().collect::<StringArray>())
}

impl Shard {
    fn restore(state: &OperatorState, owned: Range<u16>) -> Self {
        let mut shard = Shard {
            owned,
            table: table().unwrap(),
            buckets: Buckets::new(table),
            unwritten: None,
            plan: FullPlan::new(),
        };
        state.table("table", &mut shard.table).unwrap();
        state.buckets("buckets", &mut shard.buckets).unwrap();
        shard
    }

    fn set(&mut self, bucket: i64, key: &Option<String>, value: i64) {
        let keys = [column(std::slice::from_ref(key))];
        let table = if bucket < 0 { &mut self.table } else { self.buckets.get_or_create(bucket).unwrap() };
        let mut slots = Vec::new();
        table.find_or_insert(&keys, &hash_rows(&keys, 1), &mut slots).unwrap();
        table.touch(&slots);
        let [longs, texts] = table.columns_mut() else { panic!("two columns") };
        longs.as_any_mut().downcast_mut::<LongColumn>().unwrap().values[slots[0] as usize] = value;
        texts
            .as_any_mut()
            .downcast_mut::<ArrowColumn>()
            .unwrap()
            .set(&slots, &column(&[text(value)]))
            .unwrap();
    }

    fn remove(&mut self, bucket: i64, key: &Option<String>) {
        let keys = [column(std::slice::from_ref(key))];
        let table = if bucket < 0 { Some(&mut self.table) } else { self.buckets.get_mut(bucket) };
        let Some(table) = table else { return };
        let mut slots = Vec::new();
        table.find(&keys, &hash_rows(&keys, 1), &mut slots).unwrap();
        slots.retain(|slot| *slot != NO_SLOT);
        table.remove(&slots).unwrap();
    }

    fn rows(&self) -> Rows {
        let tables = self.buckets.iter().chain([(-1, &self.table)]);
        let mut rows = Rows::new();
        for (bucket, table) in tables {
            let slots: Vec<u32> = table.keys().live().collect();
            let keys = table.keys().keys(&slots).unwrap();
            let values: Vec<ArrayRef> = table.columns().iter().map(|c| c.save(&slots).unwrap()).collect();
            let text = |column: &ArrayRef, row: usize| {
                column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned())
            };
            for row in 0..slots.len() {
                let value = (values[0].as_primitive::<Int64Type>().value(row), text(&values[1], row));
                assert!(rows.insert((bucket, text(&keys[0], row)), value).is_none(), "a key twice");
            }
        }
        rows
    }
}

fn text(value: i64) -> Option<String> {
    (value % 5 != 0).then(|| format!("value {value}"))
}

fn key(number: u8) -> Option<String> {
    (number > 0).then(|| format!("key {number}"))
}

/// A job: its shards, and its run.
struct Job {
    run: Incarnation,
    shards: Vec<Shard>,
    operators: Option<BTreeMap<String, manifest::OperatorEntry>>,
    epoch: u64,
}

impl Job {
    fn start(storage: &MemoryStorage, parallelism: usize, nonce: u64) -> Self {
        let mut run = Incarnation::claim(Arc::new(storage.clone()), "job", nonce, 0).unwrap();
        let recovered = run.recover(Token::NotNeeded).unwrap();
        assert!(recovered.skipped.is_empty());
        if recovered.finish {
            run.confirm().unwrap();
        }
        run.retain(2).unwrap();
        let epoch = recovered.manifest.as_ref().map_or(0, |manifest| manifest.epoch);
        let operators = recovered.manifest.map(|manifest| manifest.operators);
        let entry = operators.as_ref().map(|operators| operators["op"].clone()).unwrap_or_default();
        let shards = (0..parallelism).map(|shard| {
            let owned = KeyGroups::default().range(shard, parallelism);
            let state = OperatorState::new("op", entry.clone(), owned.clone(), run.storage().clone());
            Shard::restore(&state, owned)
        });
        Job { shards: shards.collect(), run, operators, epoch }
    }

    fn shard_of(&mut self, key: &Option<String>) -> &mut Shard {
        let hash = hash_rows(&[column(std::slice::from_ref(key))], 1)[0];
        let shards = self.shards.len();
        &mut self.shards[KeyGroups::default().shard(KeyGroups::default().of(hash), shards)]
    }

    /// A checkpoint; with a fault, one that fails and whose changes the next one writes.
    fn checkpoint(&mut self, forced: Option<Range<u16>>, fails: bool, storage: &MemoryStorage) {
        self.epoch += 1;
        let mut parts = Vec::new();
        let mut snapshots = Vec::new();
        for shard in &mut self.shards {
            let mut plan = std::mem::take(&mut shard.plan);
            if let Some(full) = &forced {
                let full = full.start.max(shard.owned.start)..full.end.min(shard.owned.end);
                plan = [("table".to_owned(), full.clone()), ("buckets".to_owned(), full)].into();
            }
            let mut snapshot = OperatorSnapshot::new(self.epoch, KeyGroups::default(), plan);
            snapshot.table("table", &mut shard.table).unwrap();
            snapshot.buckets("buckets", &mut shard.buckets).unwrap();
            snapshot.value("watermark", self.epoch);
            snapshots.push(match shard.unwritten.take() {
                Some(earlier) => snapshot.after(earlier),
                None => snapshot,
            });
        }
        if fails {
            self.shards.iter_mut().zip(snapshots).for_each(|(shard, it)| shard.unwritten = Some(it));
            return;
        }
        for (number, (shard, snapshot)) in self.shards.iter().zip(snapshots).enumerate() {
            let name = self.run.segment_name(self.epoch, number);
            let segment = Segment::encode(name, &shard.owned, [("op".to_owned(), snapshot)]).unwrap();
            if !segment.bytes.is_empty() {
                storage.write(&segment.name, &segment.bytes).unwrap();
            }
            parts.push(segment.part);
        }
        let mut manifest = Manifest::new("job", 128, self.epoch, 0);
        manifest.operators = chain::advance(self.operators.as_ref(), &parts);
        self.run.publish(&mut manifest).unwrap();
        self.run.confirm().unwrap();
        self.run.retain(2).unwrap();
        for (shard, part) in self.shards.iter_mut().zip(&parts) {
            shard.plan = chain::plan(&manifest.operators, part).remove("op").unwrap_or_default();
        }
        // Nothing that the manifest names was deleted.
        segment::verify_state(storage, &manifest).unwrap();
        self.operators = Some(manifest.operators);
    }

    fn rows(&self) -> Rows {
        self.shards.iter().flat_map(Shard::rows).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(i64, u8),
    Remove(i64, u8),
    DropBefore(i64),
    DropBucket(i64),
    Checkpoint { full: Option<(u16, u16)>, fails: bool },
    Restart(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bucket = -1_i64..4;
    let step = prop_oneof![
        12 => (bucket.clone(), 0_u8..12).prop_map(|(bucket, key)| Step::Set(bucket, key)),
        4 => (bucket, 0_u8..12).prop_map(|(bucket, key)| Step::Remove(bucket, key)),
        1 => (0_i64..4).prop_map(Step::DropBefore),
        1 => (0_i64..4).prop_map(Step::DropBucket),
        4 => (prop::option::of((0_u16..128, 0_u16..128)), prop::bool::weighted(0.2))
            .prop_map(|(full, fails)| Step::Checkpoint { full, fails }),
        2 => (1_usize..5).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done between checkpoints, a restart at any parallelism finds the state of the
    /// last one.
    #[test]
    fn a_restart_finds_the_state_of_the_last_checkpoint(steps in steps()) {
        let storage = MemoryStorage::new();
        let mut job = Job::start(&storage, 2, 0);
        let (mut model, mut saved) = (Rows::new(), Rows::new());
        for (number, step) in (1_i64..).zip(steps) {
            match step {
                Step::Set(bucket, name) => {
                    job.shard_of(&key(name)).set(bucket, &key(name), number);
                    model.insert((bucket, key(name)), (number, text(number)));
                }
                Step::Remove(bucket, name) => {
                    job.shard_of(&key(name)).remove(bucket, &key(name));
                    model.remove(&(bucket, key(name)));
                }
                Step::DropBefore(end) => {
                    job.shards.iter_mut().for_each(|shard| { shard.buckets.drop_before(end); });
                    model.retain(|(bucket, _), _| *bucket < 0 || *bucket >= end);
                }
                Step::DropBucket(gone) => {
                    // One shard only: a session's bucket ends on one shard alone.
                    if let Some(shard) = job.shards.first_mut() {
                        let mine: BTreeSet<_> = shard.rows().into_keys().filter(|(b, _)| *b == gone).collect();
                        shard.buckets.remove(gone);
                        model.retain(|row, _| !mine.contains(row));
                    }
                }
                Step::Checkpoint { full, fails } => {
                    let full = full.map(|(a, b)| a.min(b)..a.max(b));
                    job.checkpoint(full, fails, &storage);
                    if !fails {
                        saved = model.clone();
                    }
                }
                Step::Restart(parallelism) => {
                    drop(job);
                    job = Job::start(&storage, parallelism, number as u64);
                    model = saved.clone();
                }
            }
            prop_assert_eq!(&job.rows(), &model);
        }
        drop(job);
        prop_assert_eq!(Job::start(&storage, 3, 999).rows(), saved);
    }
}

/// A checkpoint after 1 % of the keys changed writes at most 3 % of the state.
#[test]
fn a_checkpoint_follows_what_changed() {
    let storage = MemoryStorage::new();
    let mut job = Job::start(&storage, 2, 1);
    let update = |job: &mut Job, keys: Range<i64>| {
        for key in keys {
            let key = Some(format!("key {key}"));
            job.shard_of(&key).set(-1, &key, 1);
        }
    };
    update(&mut job, 0..30_000);
    let bytes = |storage: &MemoryStorage| -> usize {
        let names = storage.list("segments/").unwrap();
        names.iter().map(|name| storage.read(name).unwrap().unwrap().len()).sum()
    };
    job.checkpoint(None, false, &storage);
    let state = bytes(&storage);
    update(&mut job, 0..300);
    job.checkpoint(None, false, &storage);
    let written = bytes(&storage) - state;
    assert!(written * 100 <= state * 3, "{written} bytes for 1 % of {state}");
}

#[test]
fn values_come_back_one_for_each_shard() {
    let storage = MemoryStorage::new();
    let mut job = Job::start(&storage, 3, 1);
    storage.fail("nothing", Fault::NoSpace);
    job.checkpoint(None, false, &storage);
    let entry = job.operators.unwrap()["op"].clone();
    let state = OperatorState::new("op", entry, 0..128, Arc::new(storage));
    assert_eq!(state.values("watermark"), vec![serde_json::json!(1); 3]);
    assert_eq!((state.value("watermark"), state.value("other")), (Some(&1.into()), None));
}

/// Keys that are removed leave tombstones only if they were ever saved.
#[test]
fn what_was_never_saved_needs_no_tombstone() {
    let mut table = table().unwrap();
    let keys: [ArrayRef; 1] = [column(&[key(1), key(2)])];
    let mut slots = Vec::new();
    table.find_or_insert(&keys, &hash_rows(&keys, 2), &mut slots).unwrap();
    table.remove(&slots[..1]).unwrap();
    let groups = KeyGroups::default();
    assert_eq!(table.snapshot(&(0..0), &groups).unwrap().rows(), 1);
    table.remove(&slots).unwrap();
    let changes = table.snapshot(&(0..0), &groups).unwrap();
    assert_eq!(changes.rows(), 1);
    assert!(changes.delta[0].column(2).as_boolean().value(0));
    assert_eq!(table.snapshot(&(0..0), &groups).unwrap().rows(), 0);
}

/// A bucket that is dropped leaves no tombstones, so its number alone must not bring its rows back.
#[test]
fn a_bucket_that_comes_back_has_nothing_of_its_former_life() {
    let (storage, names) = (MemoryStorage::new(), [key(1), key(2), key(3), key(4), key(5)]);
    let mut job = Job::start(&storage, 2, 1);
    let set =
        |job: &mut Job, value: i64| names.iter().for_each(|name| job.shard_of(name).set(7, name, value));
    set(&mut job, 1);
    job.checkpoint(None, false, &storage);
    // One shard's bucket ends and comes back with one key, the other's goes on.
    let shard = &mut job.shards[0];
    let mine: Vec<_> = shard.rows().into_keys().map(|(_, name)| name).collect();
    assert!((2..5).contains(&mine.len()), "keys on both shards, two on the first");
    shard.buckets.remove(7);
    shard.set(7, &mine[0], 2);
    job.checkpoint(None, false, &storage);
    let expected = job.rows();
    assert_eq!(expected.len(), names.len() - mine.len() + 1);
    // The births differ by shard, and still do after each restart's own checkpoint.
    for (nonce, parallelism) in [(2, 1), (3, 3), (4, 2)] {
        let mut job = Job::start(&storage, parallelism, nonce);
        assert_eq!(job.rows(), expected, "{parallelism} shards");
        job.checkpoint(None, false, &storage);
    }
}
