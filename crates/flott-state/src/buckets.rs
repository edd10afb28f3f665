//! One table per time bucket, dropped whole when its time has passed.
//!
//! ```text
//!   bucket (e.g. a window's end)   12:00     12:05     12:10
//!                                  ░░░░░     █████     ██          ░ dropped: no tombstones
//!   live list in the manifest      [(12:05, born 7), (12:10, born 9)]
//! ```
//! A dropped bucket costs nothing to write: the manifest's list says which buckets live. A bucket
//! that comes back under the same number is *born* anew in a later epoch, and rows written before
//! that are dead.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use flott_types::{Code, Diagnostic, Result};
use serde::{Deserialize, Serialize};

use crate::StateColumn;
use crate::hash::KeyGroups;
use crate::table::{Changes, Table};

/// A bucket that lives, and the epoch in which it was first saved: `[bucket, born]` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LiveBucket(
    /// The bucket.
    pub i64,
    /// The epoch; rows of earlier epochs are not this bucket's.
    pub u64,
);

type Factory<C> = Box<dyn Fn() -> Result<Table<C>> + Send>;

struct Bucket<C: ?Sized + StateColumn> {
    table: Table<C>,
    born: Option<u64>,
}

/// Tables by bucket, in order.
pub struct Buckets<C: ?Sized + StateColumn> {
    tables: BTreeMap<i64, Bucket<C>>,
    factory: Factory<C>,
}

impl<C: ?Sized + StateColumn> fmt::Debug for Buckets<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.keys()).finish()
    }
}

impl<C: ?Sized + StateColumn> Buckets<C> {
    /// No bucket yet; `factory` makes the table of a new one.
    pub fn new(factory: impl Fn() -> Result<Table<C>> + Send + 'static) -> Self {
        Self { tables: BTreeMap::new(), factory: Box::new(factory) }
    }

    /// The table of a bucket, made if it isn't there.
    ///
    /// # Errors
    /// When the table cannot be made.
    pub fn get_or_create(&mut self, bucket: i64) -> Result<&mut Table<C>> {
        use std::collections::btree_map::Entry;
        Ok(match self.tables.entry(bucket) {
            Entry::Occupied(entry) => &mut entry.into_mut().table,
            Entry::Vacant(entry) => &mut entry.insert(Bucket { table: (self.factory)()?, born: None }).table,
        })
    }

    /// An empty table of the same shape, of no bucket.
    ///
    /// # Errors
    /// When the table cannot be made.
    pub(crate) fn sample(&self) -> Result<Table<C>> {
        (self.factory)()
    }

    /// The table of a bucket.
    pub fn get(&self, bucket: i64) -> Option<&Table<C>> {
        self.tables.get(&bucket).map(|bucket| &bucket.table)
    }

    /// The table of a bucket.
    pub fn get_mut(&mut self, bucket: i64) -> Option<&mut Table<C>> {
        self.tables.get_mut(&bucket).map(|bucket| &mut bucket.table)
    }

    /// The lowest bucket.
    pub fn first(&self) -> Option<i64> {
        self.tables.keys().next().copied()
    }

    /// Takes a bucket out, whole.
    pub fn remove(&mut self, bucket: i64) -> Option<Table<C>> {
        self.tables.remove(&bucket).map(|bucket| bucket.table)
    }

    /// Drops every bucket below this one; says how many.
    pub fn drop_before(&mut self, bucket: i64) -> usize {
        let kept = self.tables.split_off(&bucket);
        std::mem::replace(&mut self.tables, kept).len()
    }

    /// Buckets and their tables, rising.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &Table<C>)> {
        self.tables.iter().map(|(number, bucket)| (*number, &bucket.table))
    }

    /// Buckets and their tables in a range, rising.
    pub fn range_mut(&mut self, range: Range<i64>) -> impl DoubleEndedIterator<Item = (i64, &mut Table<C>)> {
        // An empty or reversed range would panic in the map.
        let range = range.start..range.end.max(range.start);
        self.tables.range_mut(range).map(|(number, bucket)| (*number, &mut bucket.table))
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many keys there are over all buckets.
    pub fn rows(&self) -> usize {
        self.tables.values().map(|bucket| bucket.table.len()).sum()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.tables.values().map(|bucket| bucket.table.memory()).sum()
    }

    /// What changed since the last snapshot, everything in the groups `full`, and which buckets
    /// live. `epoch` rises with every snapshot of a job, also across restarts.
    ///
    /// # Errors
    /// When one key's values are larger than an array can be.
    pub fn snapshot(
        &mut self,
        epoch: u64,
        full: &Range<u16>,
        groups: &KeyGroups,
    ) -> Result<(Changes, Vec<LiveBucket>)> {
        let (mut changes, mut live) = (Changes::default(), Vec::with_capacity(self.tables.len()));
        for (number, bucket) in &mut self.tables {
            if bucket.born.is_none() {
                bucket.table.touch_all();
            }
            let born = *bucket.born.get_or_insert(epoch);
            live.push(LiveBucket(*number, born));
            bucket.table.snapshot_into(*number, full, groups, &mut changes)?;
        }
        Ok((changes, live))
    }

    /// All rows of some groups, and which buckets live. What counts as changed stays as it is.
    pub(crate) fn copy(
        &self,
        epoch: u64,
        wanted: &Range<u16>,
        groups: &KeyGroups,
    ) -> Result<(Changes, Vec<LiveBucket>)> {
        let (mut changes, mut live) = (Changes::default(), Vec::with_capacity(self.tables.len()));
        for (number, bucket) in &self.tables {
            live.push(LiveBucket(*number, bucket.born.unwrap_or(epoch)));
            bucket.table.copy_into(*number, wanted, groups, &mut changes)?;
        }
        Ok((changes, live))
    }

    /// Makes a bucket that lived at a snapshot; its rows are then [applied](Buckets::apply).
    ///
    /// Without a birth the bucket is written anew at the next snapshot: that is needed when it
    /// comes from several shards which did not all have it since the same epoch.
    ///
    /// # Errors
    /// When the table cannot be made.
    pub fn revive(&mut self, bucket: i64, born: Option<u64>) -> Result<()> {
        self.get_or_create(bucket)?;
        if let Some(found) = self.tables.get_mut(&bucket) {
            found.born = born;
        }
        Ok(())
    }

    /// Takes over the rows of a snapshot's batch that are wanted, by group and bucket.
    ///
    /// # Errors
    /// When the batch isn't one of a table like these.
    pub fn apply(&mut self, batch: &RecordBatch, wanted: &dyn Fn(u16, i64) -> bool) -> Result<()> {
        let column = batch.columns().get(1).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(buckets) = column.map(|column| column.values()) else {
            return Err(Diagnostic::error(
                Code::CheckpointUnusable,
                "a block of a checkpoint has no bucket column",
            ));
        };
        let mut start = 0;
        while let Some(&bucket) = buckets.get(start) {
            let rest = buckets.get(start..).unwrap_or_default();
            let rows = rest.iter().take_while(|other| **other == bucket).count();
            if let Some(found) = self.tables.get_mut(&bucket) {
                found.table.apply(&batch.slice(start, rows), &|group| wanted(group, bucket))?;
            }
            start += rows;
        }
        Ok(())
    }
}
