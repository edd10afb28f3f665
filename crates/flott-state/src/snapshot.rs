//! What an operator hands over at a barrier, and what it gets back when a job is restored.
//!
//! ```text
//!   barrier  OperatorSnapshot ◄─ table("counts", …), buckets("panes", …), value("watermark", …)
//!   restore  OperatorState    ─► table("counts", …), buckets("panes", …), values("watermark")
//! ```
//! Names are the operator's own and part of the checkpoint format: a table is found again by its
//! name. A name that isn't there means that nothing was kept.
//!
//! A shard owns a range of key groups. What it gets back are the rows of those groups, whichever
//! shards wrote them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use flott_types::Result;
use serde_json::{Map, Value};

use crate::StateColumn;
use crate::buckets::{Buckets, LiveBucket};
use crate::chain;
use crate::hash::KeyGroups;
use crate::log::LogBuckets;
use crate::manifest::{GroupRange, OperatorEntry, TableEntry};
use crate::reshape::{Reshape, TableFrom};
use crate::segment::{SpilledPart, read_block, verify_block};
use crate::storage::Storage;
use crate::table::{Changes, Table};

/// The groups to write in full at the next snapshot, by table.
pub type FullPlan = BTreeMap<String, Range<u16>>;

/// What one operator of one shard hands over at a barrier.
#[derive(Debug, Clone)]
pub struct OperatorSnapshot {
    /// Small values, by name.
    pub values: Map<String, Value>,
    /// Tables, by name.
    pub tables: BTreeMap<String, TableSnapshot>,
    /// Of an operator whose state is in slices: what has changed in each, written down already.
    pub spilled: Vec<SpilledPart>,
    /// What earlier barriers handed over and no checkpoint holds yet, oldest first.
    pub older: Vec<OperatorSnapshot>,
    epoch: u64,
    groups: KeyGroups,
    plan: FullPlan,
    /// All of these groups is wanted, and nothing counts as handed over.
    copy: Option<Range<u16>>,
}

/// What one table hands over.
#[derive(Debug, Clone, Default)]
pub struct TableSnapshot {
    /// Changes, oldest first: several if earlier ones could not be written.
    pub parts: Vec<TablePart>,
    /// The buckets that live, for a table in buckets.
    pub live: Option<Vec<LiveBucket>>,
    /// How many rows live in the table.
    pub rows: u64,
}

/// One table's changes of one epoch.
#[derive(Debug, Clone)]
pub struct TablePart {
    /// The epoch.
    pub epoch: u64,
    /// The groups written in full.
    pub full: Range<u16>,
    /// The rows.
    pub changes: Changes,
}

impl OperatorSnapshot {
    /// An empty snapshot. `epoch` rises with every barrier of a job, also across restarts and
    /// also when a checkpoint fails; `plan` says what to write in full ([`chain::next_full`]).
    pub fn new(epoch: u64, groups: KeyGroups, plan: FullPlan) -> Self {
        Self {
            values: Map::new(),
            tables: BTreeMap::new(),
            spilled: Vec::new(),
            older: Vec::new(),
            epoch,
            groups,
            plan,
            copy: None,
        }
    }

    /// A snapshot that takes all rows of some groups and leaves what counts as changed as it is: to put
    /// them away, not to checkpoint them.
    pub fn copy_of(epoch: u64, groups: KeyGroups, wanted: Range<u16>) -> Self {
        Self { copy: Some(wanted), ..Self::new(epoch, groups, FullPlan::new()) }
    }

    /// The epoch that it ends.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Rows and tombstones in it.
    pub fn rows(&self) -> usize {
        self.tables.values().flat_map(|table| &table.parts).map(|part| part.changes.rows()).sum()
    }

    /// Hands over what changed in a table.
    ///
    /// # Errors
    /// When one key's values are larger than an array can be.
    pub fn table<C: ?Sized + StateColumn>(&mut self, name: &str, table: &mut Table<C>) -> Result<()> {
        if let Some(wanted) = self.copy.clone() {
            let mut changes = Changes::default();
            table.copy_into(0, &wanted, &self.groups, &mut changes)?;
            let rows = changes.rows();
            self.add(name, wanted, changes, None, rows);
            return Ok(());
        }
        let full = self.full(name);
        let changes = table.snapshot(&full, &self.groups)?;
        self.add(name, full, changes, None, table.len());
        Ok(())
    }

    /// Hands over what changed in a table's buckets, and which live.
    ///
    /// # Errors
    /// When one key's values are larger than an array can be.
    pub fn buckets<C: ?Sized + StateColumn>(&mut self, name: &str, buckets: &mut Buckets<C>) -> Result<()> {
        if let Some(wanted) = self.copy.clone() {
            let (changes, live) = buckets.copy(self.epoch, &wanted, &self.groups)?;
            let rows = changes.rows();
            self.add(name, wanted, changes, Some(live), rows);
            return Ok(());
        }
        let full = self.full(name);
        let (changes, live) = buckets.snapshot(self.epoch, &full, &self.groups)?;
        self.add(name, full, changes, Some(live), buckets.rows());
        Ok(())
    }

    /// Hands over what changed in logs: rows as the table of this name, counts as another.
    ///
    /// # Errors
    /// When a batch of rows is larger than an array can be.
    pub fn logs(&mut self, name: &str, logs: &mut LogBuckets) -> Result<()> {
        let counts = counts_of(name);
        if let Some(wanted) = self.copy.clone() {
            let changes = logs.copy(self.epoch, &wanted, &self.groups)?;
            if logs.shape().counted {
                let rows = changes.counts.rows();
                self.add(&counts, wanted.clone(), changes.counts, Some(changes.live.clone()), rows);
            }
            let rows = changes.rows.rows();
            self.add(name, wanted, changes.rows, Some(changes.live), rows);
            self.value(&number_of(name), logs.next_number());
            return Ok(());
        }
        let (full, full_counts) = (self.full(name), self.full(&counts));
        let changes = logs.snapshot(self.epoch, [&full, &full_counts], &self.groups)?;
        if logs.shape().counted {
            let rows = logs.len();
            self.add(&counts, full_counts, changes.counts, Some(changes.live.clone()), rows);
        }
        self.add(name, full, changes.rows, Some(changes.live), logs.len());
        self.value(&number_of(name), logs.next_number());
        Ok(())
    }

    /// Hands over a small value.
    pub fn value(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// This snapshot with an earlier one, which could not be written, before it.
    #[must_use]
    pub fn after(mut self, mut earlier: OperatorSnapshot) -> Self {
        let in_slices = |it: &Self| !it.spilled.is_empty() || !it.older.is_empty();
        if in_slices(&self) || in_slices(&earlier) {
            let mut older = std::mem::take(&mut earlier.older);
            earlier.forget_present();
            older.push(earlier);
            older.append(&mut self.older);
            self.older = older;
            return self;
        }
        for (name, mut before) in earlier.tables {
            if let Some(table) = self.tables.get_mut(&name) {
                before.parts.append(&mut table.parts);
                table.parts = before.parts;
            }
        }
        self
    }

    /// Keeps the changes alone: what it says of the present a later snapshot says better.
    fn forget_present(&mut self) {
        self.values.clear();
        for table in self.tables.values_mut() {
            (table.live, table.rows) = (None, 0);
        }
        self.spilled.iter_mut().for_each(|it| it.part.forget_present());
    }

    fn full(&self, name: &str) -> Range<u16> {
        self.plan.get(name).cloned().unwrap_or(0..0)
    }

    fn add(
        &mut self,
        name: &str,
        full: Range<u16>,
        changes: Changes,
        live: Option<Vec<LiveBucket>>,
        rows: usize,
    ) {
        let part = TablePart { epoch: self.epoch, full, changes };
        let table = TableSnapshot { parts: vec![part], live, rows: rows as u64 };
        self.tables.insert(name.to_owned(), table);
    }
}

/// What one operator of one shard gets back.
#[derive(Debug, Clone)]
pub struct OperatorState {
    operator: String,
    entry: OperatorEntry,
    owned: Range<u16>,
    storage: Option<Arc<dyn Storage>>,
    rewritten: bool,
    put_away: Option<Option<i64>>,
    reshape: Option<Arc<Reshape>>,
}

impl OperatorState {
    /// Nothing: the job starts afresh.
    pub fn empty() -> Self {
        Self {
            operator: String::new(),
            entry: OperatorEntry::default(),
            owned: 0..0,
            storage: None,
            rewritten: false,
            put_away: None,
            reshape: None,
        }
    }

    /// What a checkpoint holds of an operator for the groups that a shard owns.
    pub fn new(operator: &str, entry: OperatorEntry, owned: Range<u16>, storage: Arc<dyn Storage>) -> Self {
        let (operator, storage) = (operator.to_owned(), Some(storage));
        Self { operator, entry, owned, storage, rewritten: false, put_away: None, reshape: None }
    }

    /// The same, but everything counts as changed, so that the next snapshot writes all of it: for
    /// state that comes from another directory than the next checkpoint goes to.
    #[must_use]
    pub fn rewritten(mut self) -> Self {
        self.rewritten = true;
        self
    }

    /// Whether all of it counts as changed.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// The same, of an operator that goes on where it was: rows that came meanwhile wait for it, so nothing
    /// has grown old yet. `timer`: when it wanted to be called.
    #[must_use]
    pub fn put_away(mut self, timer: Option<i64>) -> Self {
        self.put_away = Some(timer);
        self
    }

    /// If the operator goes on where it was: when it wanted to be called.
    pub fn timer_kept(&self) -> Option<Option<i64>> {
        self.put_away
    }

    /// The same, of an operator that was another one: tables come from where this says. All of it counts as
    /// changed.
    #[must_use]
    pub fn reshaped(mut self, reshape: Arc<Reshape>) -> Self {
        self.rewritten = true;
        self.reshape = Some(reshape);
        self
    }

    /// Whether the operator was another one.
    pub fn is_reshaped(&self) -> bool {
        self.reshape.is_some()
    }

    /// A number of the operator's definition, as it was.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.reshape.as_ref()?.numbers.get(name).copied()
    }

    /// A table of the checkpoint by the name that it has now, and how it is read.
    fn saved(&self, name: &str) -> Option<(&str, &TableEntry, Option<&TableFrom>)> {
        let tables = self.reshape.as_ref().and_then(|it| it.tables.as_ref());
        let from = match tables {
            Some(tables) => Some(tables.get(name)?),
            None => None,
        };
        let saved = from.map_or(name, |from| from.name.as_str());
        let (saved, entry) = self.entry.tables.get_key_value(saved)?;
        Some((saved, entry, from))
    }

    /// Compares all of it that a restore would read with its checksums.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<()> {
        let Some(storage) = &self.storage else { return Ok(()) };
        for (name, table) in &self.entry.tables {
            let first = chain::first_needed(&table.blocks);
            for (at, block) in table.blocks.iter().enumerate() {
                let wanted = |group: u16| self.owned.contains(&group) && first.at(group) <= at;
                if block.bytes == 0 || !block.groups.range().any(wanted) {
                    continue;
                }
                verify_block(storage.as_ref(), block, &self.operator, name)?;
            }
        }
        Ok(())
    }

    /// Whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.entry.values.is_empty() && self.entry.tables.is_empty()
    }

    /// About how many bytes of it are this shard's.
    pub fn bytes(&self) -> u64 {
        let owned = GroupRange::from(&self.owned);
        let share = |block: &crate::manifest::BlockRef| {
            block.bytes.saturating_mul(block.groups.common(&owned)) / block.groups.count().max(1)
        };
        self.entry.tables.values().flat_map(|table| &table.blocks).map(share).sum()
    }

    /// The same state, for some of the shard's groups.
    #[must_use]
    pub fn of_groups(&self, owned: Range<u16>) -> Self {
        Self { owned, ..self.clone() }
    }

    /// The value of this name that some shard wrote: the first, if several did.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.entry.values.iter().find_map(|values| values.get(name))
    }

    /// The values of this name, one for each shard that wrote it: of watermarks, for instance, the
    /// reader takes the lowest.
    pub fn values(&self, name: &str) -> Vec<Value> {
        self.entry.values.iter().filter_map(|values| values.get(name).cloned()).collect()
    }

    /// Fills a table.
    ///
    /// # Errors
    /// When a block is damaged or gone, or is of a table of another shape.
    pub fn table<C: ?Sized + StateColumn>(&self, name: &str, table: &mut Table<C>) -> Result<()> {
        let Some((name, entry, from)) = self.saved(name) else { return Ok(()) };
        table.reserve(self.expected_rows(entry));
        let initial = if from.is_some() { table.initial()? } else { Vec::new() };
        self.blocks(name, entry, |_, batch, wanted| match from {
            Some(from) => table.apply(&from.reshape(batch, &table.schema(), &initial)?, wanted),
            None => table.apply(batch, wanted),
        })?;
        if self.rewritten {
            table.touch_all();
        }
        Ok(())
    }

    /// Fills a table's buckets.
    ///
    /// # Errors
    /// When a block is damaged or gone, or is of a table of another shape.
    pub fn buckets<C: ?Sized + StateColumn>(&self, name: &str, buckets: &mut Buckets<C>) -> Result<()> {
        let Some((name, entry, from)) = self.saved(name) else { return Ok(()) };
        let mut sample = from.map(|_| buckets.sample()).transpose()?;
        let initial = sample.as_mut().map(Table::initial).transpose()?.unwrap_or_default();
        let births = births(entry, &self.owned);
        for (bucket, born) in &births {
            buckets.revive(*bucket, born.filter(|_| !self.rewritten))?;
        }
        let live = entry.live_buckets.as_deref().unwrap_or_default();
        self.blocks(name, entry, |epoch, batch, wanted| {
            let reshaped = match (from, &sample) {
                (Some(from), Some(sample)) => Some(from.reshape(batch, &sample.schema(), &initial)?),
                _ => None,
            };
            buckets.apply(reshaped.as_ref().unwrap_or(batch), &|group, bucket| {
                wanted(group) && live.iter().any(|live| live.lives(group, bucket, epoch))
            })
        })
    }

    /// Fills logs.
    ///
    /// # Errors
    /// When a block is damaged or gone, or is of rows of another shape.
    pub fn logs(&self, name: &str, logs: &mut LogBuckets, groups: &KeyGroups) -> Result<()> {
        let counts = counts_of(name);
        let number = number_of(name);
        let [of_rows, of_counts] = logs.saved_schemas();
        let Some((name, entry, from)) = self.saved(name) else { return Ok(()) };
        let read = |from: Option<&TableFrom>, batch: &RecordBatch, schema: &SchemaRef| match from {
            Some(from) => from.reshape(batch, schema, &[]),
            None => Ok(batch.clone()),
        };
        for (bucket, born) in &births(entry, &self.owned) {
            logs.revive(*bucket, born.filter(|_| !self.rewritten));
        }
        let live = entry.live_buckets.as_deref().unwrap_or_default();
        let lives =
            |epoch: u64, group: u16, bucket: i64| live.iter().any(|it| it.lives(group, bucket, epoch));
        self.blocks(name, entry, |epoch, batch, wanted| {
            let batch = &read(from, batch, &of_rows)?;
            logs.apply_rows(batch, &|group, bucket| wanted(group) && lives(epoch, group, bucket), groups)
        })?;
        if let Some((counts, entry, from)) = self.saved(&counts) {
            self.blocks(counts, entry, |epoch, batch, wanted| {
                let batch = &read(from, batch, &of_counts)?;
                logs.apply_counts(
                    batch,
                    &|group, bucket| wanted(group) && lives(epoch, group, bucket),
                    groups,
                )
            })?;
        }
        let numbers = self.values(&number);
        logs.reserve_numbers(numbers.iter().filter_map(Value::as_i64).max().unwrap_or(0));
        logs.restored(self.rewritten);
        Ok(())
    }

    /// About how many of a table's rows are this shard's; never more than the blocks have.
    fn expected_rows(&self, entry: &TableEntry) -> usize {
        let saved: u64 = entry.blocks.iter().map(|block| block.rows).sum();
        let groups = entry.blocks.iter().map(|block| u64::from(block.groups.1)).max().unwrap_or(1).max(1);
        let owned = GroupRange::from(&self.owned).count().min(groups);
        usize::try_from(entry.rows.min(saved).saturating_mul(owned) / groups).unwrap_or(0)
    }

    /// Reads every block that holds groups of this shard, oldest first.
    fn blocks(
        &self,
        name: &str,
        entry: &TableEntry,
        mut apply: impl FnMut(u64, &RecordBatch, &dyn Fn(u16) -> bool) -> Result<()>,
    ) -> Result<()> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let first = chain::first_needed(&entry.blocks);
        for (at, block) in entry.blocks.iter().enumerate() {
            let wanted = |group: u16| self.owned.contains(&group) && first.at(group) <= at;
            if block.bytes == 0 || !block.groups.range().any(wanted) {
                continue;
            }
            for batch in read_block(storage.as_ref(), block, &self.operator, name)? {
                apply(block.epoch, &batch, &wanted)?;
            }
        }
        Ok(())
    }
}

/// The table of a log's counts.
fn counts_of(log: &str) -> String {
    format!("{log} counts")
}

/// The value that holds a log's next number.
fn number_of(log: &str) -> String {
    format!("{log} next number")
}

/// The live buckets in a range of groups; with their birth where all of the range agrees on it.
fn births(entry: &TableEntry, owned: &Range<u16>) -> BTreeMap<i64, Option<u64>> {
    let lists = entry.live_buckets.as_deref().unwrap_or_default();
    let lists: Vec<_> = lists.iter().filter(|list| list.groups.overlaps(&GroupRange::from(owned))).collect();
    let mut found: BTreeMap<i64, (Option<u64>, usize)> = BTreeMap::new();
    for LiveBucket(bucket, born) in lists.iter().flat_map(|list| &list.buckets) {
        let (agreed, times) = found.entry(*bucket).or_insert((Some(*born), 0));
        *times += 1;
        if *agreed != Some(*born) {
            *agreed = None;
        }
    }
    let everywhere = |times: usize| times == lists.len();
    found.into_iter().map(|(bucket, (born, times))| (bucket, born.filter(|_| everywhere(times)))).collect()
}
