//! A keyed table: keys, columns of values beside them, and what changed since the last snapshot.
//!
//! ```text
//!   keys ──► slot ──► column 0, column 1, …
//!              │
//!   dirty      █ ░ █        rows to write at the next barrier
//!   written    █ █ ░        rows that some snapshot holds: only those need a tombstone
//!   tombstones [key …]      keys removed since the last snapshot
//! ```
//! A snapshot's batches have the columns `group`, `bucket`, `deleted`, `k0…`, `v0…`. Rows are in
//! order of slot: then gathering reads memory from front to back, and a reader picks its groups
//! anyway. Tombstones come before rows, so that a key which was removed and came back is there.
//!
//! Gathering runs on the shard's thread while it processes nothing else: it only copies columns.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt16Type};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};

use crate::bitmap::Bitmap;
use crate::column::wrong_shape;
use crate::hash::{KeyGroups, hash_rows, with_group_of};
use crate::keys::{KeyTable, NO_SLOT};
use crate::{StateColumn, arrow_failed};

/// Columns before the keys: group, bucket, deleted.
pub(crate) const LEADING: usize = 3;

/// Rows per batch of a snapshot.
const BATCH_ROWS: usize = 1 << 16;

/// What a snapshot of one table holds.
#[derive(Debug, Default, Clone)]
pub struct Changes {
    /// Changed rows and tombstones, of the groups that are not written in full.
    pub delta: Vec<RecordBatch>,
    /// All rows of the groups that are written in full.
    pub full: Vec<RecordBatch>,
}

impl Changes {
    /// How many rows and tombstones there are.
    pub fn rows(&self) -> usize {
        self.delta.iter().chain(&self.full).map(RecordBatch::num_rows).sum()
    }
}

/// Keys with columns of values. `C` is `dyn StateColumn`, or a trait object that extends it.
pub struct Table<C: ?Sized + StateColumn> {
    keys: KeyTable,
    /// How many of the key columns, from the first on, decide the key group.
    grouping: usize,
    /// The first key column is a number that says the key group itself.
    by_number: bool,
    columns: Vec<Box<C>>,
    dirty: Bitmap,
    written: Bitmap,
    tombstones: Vec<Tombstones>,
    inserted: Vec<u32>,
}

/// Keys removed together.
#[derive(Debug)]
struct Tombstones {
    keys: Vec<ArrayRef>,
    hashes: Vec<u64>,
}

impl<C: ?Sized + StateColumn> fmt::Debug for Table<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("keys", &self.keys.len()).field("columns", &self.columns.len()).finish()
    }
}

impl<C: ?Sized + StateColumn> Table<C> {
    /// An empty table with keys of these types.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub fn new(key_types: &[DataType], columns: Vec<Box<C>>) -> Result<Self> {
        Ok(Self {
            keys: KeyTable::new(key_types)?,
            grouping: key_types.len(),
            by_number: false,
            columns,
            dirty: Bitmap::default(),
            written: Bitmap::default(),
            tombstones: Vec::new(),
            inserted: Vec::new(),
        })
    }

    /// The first `columns` of the key decide its key group, the others only tell keys apart: such as
    /// the values of a group's distinct set, which must stay with their group.
    #[must_use]
    pub fn grouped_by(mut self, columns: usize) -> Self {
        self.grouping = columns.min(self.grouping);
        self
    }

    /// The first key column is a BIGINT whose upper half is that of a hash: it decides the key group, as
    /// if it were the hash. So the rows of a group can go by a short number and stay with the group.
    #[must_use]
    pub fn grouped_by_number(mut self) -> Self {
        self.by_number = self.keys.types().first() == Some(&DataType::Int64);
        self
    }

    /// The hashes that this table wants: of all key columns, but with the key group of the grouping
    /// ones.
    pub fn hashes(&self, keys: &[ArrayRef], rows: usize) -> Vec<u64> {
        let mut hashes = hash_rows(keys, rows);
        let numbers = keys.first().and_then(|it| it.as_primitive_opt::<Int64Type>());
        if let Some(numbers) = numbers.filter(|_| self.by_number) {
            for (hash, number) in hashes.iter_mut().zip(numbers.values()) {
                *hash = with_group_of(*hash, *number as u64);
            }
            return hashes;
        }
        if let Some(grouping) = keys.get(..self.grouping).filter(|grouping| grouping.len() < keys.len()) {
            for (hash, group) in hashes.iter_mut().zip(hash_rows(grouping, rows)) {
                *hash = with_group_of(*hash, group);
            }
        }
        hashes
    }

    /// Appends the slot of every row to `slots`; keys that are new get a slot with initial values.
    ///
    /// New slots are marked as changed; for the others see [`Table::touch`].
    ///
    /// # Errors
    /// When the columns aren't of the key's types.
    pub fn find_or_insert(&mut self, keys: &[ArrayRef], hashes: &[u64], slots: &mut Vec<u32>) -> Result<()> {
        self.inserted.clear();
        self.keys.find_or_insert(keys, hashes, slots, &mut self.inserted)?;
        if !self.inserted.is_empty() {
            let end = self.keys.slots_end();
            self.columns.iter_mut().for_each(|column| column.grow(end));
            self.dirty.grow(end);
            self.inserted.iter().for_each(|slot| self.dirty.set(*slot));
        }
        Ok(())
    }

    /// The slots that the last [`Table::find_or_insert`] added.
    pub fn inserted(&self) -> &[u32] {
        &self.inserted
    }

    /// Appends the slot of every row to `slots`: [`NO_SLOT`] where there is no such key.
    ///
    /// # Errors
    /// When the columns aren't of the key's types.
    pub fn find(&self, keys: &[ArrayRef], hashes: &[u64], slots: &mut Vec<u32>) -> Result<()> {
        self.keys.find(keys, hashes, slots)
    }

    /// Marks slots as changed.
    #[inline]
    pub fn touch(&mut self, slots: &[u32]) {
        let lost = usize::from(planted(Bug::LostDirtyKey));
        slots.iter().skip(lost).for_each(|slot| self.dirty.set(*slot));
    }

    /// Marks every slot in use as changed.
    pub fn touch_all(&mut self) {
        self.dirty.grow(self.keys.slots_end());
        self.keys.live().for_each(|slot| self.dirty.set(slot));
    }

    /// Removes keys with their values. Slots that aren't in use, and repeated ones, are passed over.
    ///
    /// # Errors
    /// When the keys cannot be read back for their tombstones.
    pub fn remove(&mut self, slots: &[u32]) -> Result<()> {
        let mut written: Vec<u32> = slots.iter().copied().filter(|slot| self.written.get(*slot)).collect();
        written.retain(|slot| {
            let first = self.written.get(*slot);
            self.written.unset(*slot);
            first
        });
        if !written.is_empty() {
            let hashes = written.iter().map(|slot| self.keys.hash_of(*slot)).collect();
            self.tombstones.push(Tombstones { keys: self.keys.keys(&written)?, hashes });
        }
        self.forget(slots);
        Ok(())
    }

    /// Removes keys without a tombstone.
    fn forget(&mut self, slots: &[u32]) {
        for slot in slots {
            self.keys.remove(*slot);
            self.dirty.unset(*slot);
            self.written.unset(*slot);
        }
        self.columns.iter_mut().for_each(|column| column.reset(slots));
    }

    /// Makes room for this many more keys.
    pub fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys);
        let end = self.keys.slots_end().saturating_add(keys);
        self.columns.iter_mut().for_each(|column| column.grow(end));
        self.dirty.grow(end);
        self.written.grow(end);
    }

    /// The keys.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// The columns of values.
    pub fn columns(&self) -> &[Box<C>] {
        &self.columns
    }

    /// The columns of values. What is changed must also be [touched](Table::touch).
    pub fn columns_mut(&mut self) -> &mut [Box<C>] {
        &mut self.columns
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.memory()).sum();
        self.keys.memory() + columns + self.dirty.memory() + self.written.memory()
    }

    /// What changed since the last snapshot, and everything in the groups `full`.
    ///
    /// # Errors
    /// When one key's values are larger than an array can be.
    pub fn snapshot(&mut self, full: &Range<u16>, groups: &KeyGroups) -> Result<Changes> {
        let mut changes = Changes::default();
        self.snapshot_into(0, full, groups, &mut changes)?;
        Ok(changes)
    }

    /// As [`Table::snapshot`], for one bucket among several.
    pub(crate) fn snapshot_into(
        &mut self,
        bucket: i64,
        full: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let group = |slot: u32| groups.of(self.keys.hash_of(slot));
        let schema = self.schema();
        let removed = std::mem::take(&mut self.tombstones);
        self.gather_tombstones(&removed, &schema, bucket, full, groups, &mut changes.delta)?;
        let changed = self.dirty.iter().filter(|slot| self.keys.is_live(*slot));
        let dirty = changed.map(|slot| (slot, group(slot)));
        let dirty = Rows::new(dirty.filter(|(_, group)| !full.contains(group)));
        self.gather_all(&dirty, &schema, bucket, &mut changes.delta)?;
        if !full.is_empty() {
            let live = self.keys.live().map(|slot| (slot, group(slot)));
            let live = Rows::new(live.filter(|(_, group)| full.contains(group)));
            self.gather_all(&live, &schema, bucket, &mut changes.full)?;
        }
        self.written.union(&self.dirty);
        self.dirty.clear();
        Ok(())
    }

    /// All rows of some groups. What counts as changed stays as it is.
    ///
    /// # Errors
    /// When one key's values are larger than an array can be.
    pub(crate) fn copy_into(
        &self,
        bucket: i64,
        wanted: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let live = self.keys.live().map(|slot| (slot, groups.of(self.keys.hash_of(slot))));
        let live = Rows::new(live.filter(|(_, group)| wanted.contains(group)));
        self.gather_all(&live, &self.schema(), bucket, &mut changes.full)
    }

    /// An array of one value for each column: the one that it begins with.
    ///
    /// # Errors
    /// `Internal`
    pub(crate) fn initial(&mut self) -> Result<Vec<ArrayRef>> {
        let end = self.keys.slots_end();
        let slot = u32::try_from(end).unwrap_or(NO_SLOT);
        let save = |column: &mut Box<C>| {
            column.grow(end.saturating_add(1));
            column.save(&[slot])
        };
        self.columns.iter_mut().map(save).collect()
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        let keys = self.keys.types().iter().enumerate().map(|(at, key)| (format!("k{at}"), key.clone()));
        let values =
            self.columns.iter().enumerate().map(|(at, column)| (format!("v{at}"), column.saved_type()));
        let mut fields = vec![
            Field::new("group", DataType::UInt16, false),
            Field::new("bucket", DataType::Int64, false),
            Field::new("deleted", DataType::Boolean, false),
        ];
        fields.extend(keys.chain(values).map(|(name, data_type)| Field::new(name, data_type, true)));
        Arc::new(Schema::new(fields))
    }

    fn gather_all(
        &self,
        rows: &Rows,
        schema: &SchemaRef,
        bucket: i64,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        for (slots, groups) in rows.slots.chunks(BATCH_ROWS).zip(rows.groups.chunks(BATCH_ROWS)) {
            self.gather(slots, groups, schema, bucket, batches)?;
        }
        Ok(())
    }

    /// One batch of these slots; two halves of it where an array would be too large.
    fn gather(
        &self,
        slots: &[u32],
        groups: &[u16],
        schema: &SchemaRef,
        bucket: i64,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let mut columns = leading(groups.to_vec(), bucket, false);
        let values = self.keys.keys(slots).and_then(|keys| {
            columns.extend(keys);
            self.columns.iter().map(|column| column.save(slots)).collect::<Result<Vec<_>>>()
        });
        match values {
            Ok(values) => {
                columns.extend(values);
                batches.push(batch(schema, columns, slots.len())?);
                Ok(())
            }
            Err(error) if error.code == Code::RecordTooLarge && slots.len() > 1 => {
                let half = slots.len() / 2;
                let (slots, later_slots) = slots.split_at(half);
                let (groups, later_groups) = groups.split_at(half);
                self.gather(slots, groups, schema, bucket, batches)?;
                self.gather(later_slots, later_groups, schema, bucket, batches)
            }
            Err(error) => Err(error),
        }
    }

    fn gather_tombstones(
        &self,
        removed: &[Tombstones],
        schema: &SchemaRef,
        bucket: i64,
        full: &Range<u16>,
        groups: &KeyGroups,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        for Tombstones { keys, hashes } in removed {
            let group: Vec<u16> = hashes.iter().map(|hash| groups.of(*hash)).collect();
            let rows = group.len();
            let kept: BooleanArray = group.iter().map(|group| Some(!full.contains(group))).collect();
            let mut columns = leading(group, bucket, true);
            columns.extend(keys.iter().cloned());
            columns.extend(self.columns.iter().map(|column| new_null_array(&column.saved_type(), rows)));
            let all = batch(schema, columns, rows)?;
            let kept = filter_record_batch(&all, &kept).map_err(arrow_failed)?;
            if kept.num_rows() > 0 {
                batches.push(kept);
            }
        }
        Ok(())
    }

    /// Takes over the rows of a snapshot's batch whose group is wanted; not marked as changed.
    ///
    /// # Errors
    /// When the batch isn't one of a table like this one.
    pub fn apply(&mut self, batch: &RecordBatch, wanted: &dyn Fn(u16) -> bool) -> Result<()> {
        self.check_schema(batch)?;
        let groups = batch.column(0).as_primitive::<UInt16Type>().values();
        let deleted = batch.column(2).as_boolean();
        let (mut any_deleted, mut live, mut gone) = (false, 0, Vec::new());
        let mut kept = Vec::with_capacity(batch.num_rows());
        for (group, deleted) in groups.iter().zip(deleted.values()) {
            let wanted = wanted(*group);
            kept.push(wanted && !deleted);
            live += usize::from(wanted && !deleted);
            gone.push(wanted && deleted);
            any_deleted |= wanted && deleted;
        }
        if any_deleted {
            let gone = filter_record_batch(batch, &gone.into()).map_err(arrow_failed)?;
            let keys = self.key_columns(&gone);
            let mut slots = Vec::new();
            self.keys.find(&keys, &self.hashes(&keys, gone.num_rows()), &mut slots)?;
            slots.retain(|slot| *slot != NO_SLOT);
            self.forget(&slots);
        }
        if live == batch.num_rows() {
            return self.load(batch);
        }
        if live == 0 {
            return Ok(());
        }
        self.load(&filter_record_batch(batch, &kept.into()).map_err(arrow_failed)?)
    }

    fn load(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = self.key_columns(batch);
        let (mut slots, mut inserted) = (Vec::new(), Vec::new());
        let hashes = self.hashes(&keys, batch.num_rows());
        self.keys.find_or_insert(&keys, &hashes, &mut slots, &mut inserted)?;
        let end = self.keys.slots_end();
        self.dirty.grow(end);
        self.written.grow(end);
        slots.iter().for_each(|slot| self.written.set(*slot));
        let saved = batch.columns().iter().skip(LEADING + keys.len());
        for (column, saved) in self.columns.iter_mut().zip(saved) {
            column.grow(end);
            column.load(&slots, saved)?;
        }
        Ok(())
    }

    fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        batch.columns().iter().skip(LEADING).take(self.keys.types().len()).cloned().collect()
    }

    fn check_schema(&self, batch: &RecordBatch) -> Result<()> {
        let (wanted, saved) = (self.schema(), batch.schema());
        let types =
            |schema: &SchemaRef| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        let (wanted_types, saved_types) = (types(&wanted), types(&saved));
        if wanted_types == saved_types {
            return Ok(());
        }
        Err(wrong_shape(
            &DataType::Struct(wanted.fields().clone()),
            &DataType::Struct(saved.fields().clone()),
        ))
    }
}

/// Slots with their groups.
struct Rows {
    slots: Vec<u32>,
    groups: Vec<u16>,
}

impl Rows {
    fn new(rows: impl Iterator<Item = (u32, u16)>) -> Self {
        let (slots, groups) = rows.unzip();
        Self { slots, groups }
    }
}

fn leading(groups: Vec<u16>, bucket: i64, deleted: bool) -> Vec<ArrayRef> {
    let rows = groups.len();
    vec![
        Arc::new(UInt16Array::from(groups)),
        Arc::new(Int64Array::from(vec![bucket; rows])),
        Arc::new(BooleanArray::from(vec![deleted; rows])),
    ]
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    if columns.iter().any(|column| column.len() != rows) {
        return Err(Diagnostic::error(
            Code::Internal,
            "a state column saved another number of rows than asked for",
        ));
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(arrow_failed)
}
