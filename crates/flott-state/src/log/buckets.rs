//! One log per time bucket, dropped whole when its time has passed. What isn't bounded in time is one
//! bucket.
//!
//! ```text
//!   bucket   12:00:00   12:00:10   12:00:20
//!            ░░░░░░░░   ████████   ███          ░ dropped: no tombstones
//! ```
//! Snapshots work as those of [`Buckets`](crate::Buckets): a list says which buckets live.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use flott_types::{Code, Diagnostic, Result};

use super::{LogShape, RowLog};
use crate::buckets::LiveBucket;
use crate::hash::KeyGroups;
use crate::table::Changes;

/// Logs by bucket, in order.
#[derive(Debug)]
pub struct LogBuckets {
    shape: Arc<LogShape>,
    logs: BTreeMap<i64, Bucket>,
    /// The next row's number.
    next_number: i64,
}

#[derive(Debug)]
struct Bucket {
    log: RowLog,
    born: Option<u64>,
}

/// What the logs' rows and counts have changed, and which buckets live.
pub(crate) struct LogChanges {
    pub(crate) rows: Changes,
    pub(crate) counts: Changes,
    pub(crate) live: Vec<LiveBucket>,
}

impl LogBuckets {
    /// No bucket yet.
    pub fn new(shape: LogShape) -> Self {
        Self { shape: Arc::new(shape), logs: BTreeMap::new(), next_number: 0 }
    }

    /// What the logs keep.
    pub fn shape(&self) -> &LogShape {
        &self.shape
    }

    /// Adds rows to a bucket; gives their first slot.
    ///
    /// # Errors
    /// As [`RowLog::push`].
    pub fn push(
        &mut self,
        bucket: i64,
        columns: Vec<arrow::array::ArrayRef>,
        rows: usize,
        stamp: i64,
    ) -> Result<u32> {
        let number = self.next_number;
        self.next_number = number.saturating_add(rows as i64);
        self.get_or_create(bucket).push(columns, rows, number, stamp)
    }

    fn get_or_create(&mut self, bucket: i64) -> &mut RowLog {
        let shape = &self.shape;
        let new = || Bucket { log: RowLog::new(shape.clone()), born: None };
        &mut self.logs.entry(bucket).or_insert_with(new).log
    }

    /// The log of a bucket.
    pub fn get(&self, bucket: i64) -> Option<&RowLog> {
        self.logs.get(&bucket).map(|bucket| &bucket.log)
    }

    /// The log of a bucket.
    pub fn get_mut(&mut self, bucket: i64) -> Option<&mut RowLog> {
        self.logs.get_mut(&bucket).map(|bucket| &mut bucket.log)
    }

    /// The buckets of a range that have logs, rising.
    pub fn within(&self, range: RangeInclusive<i64>) -> Vec<i64> {
        // A reversed range would panic in the map.
        if range.start() > range.end() {
            return Vec::new();
        }
        self.logs.range(range).map(|(bucket, _)| *bucket).collect()
    }

    /// The logs, rising.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut RowLog)> {
        self.logs.iter_mut().map(|(number, bucket)| (*number, &mut bucket.log))
    }

    /// The lowest bucket.
    pub fn first(&self) -> Option<i64> {
        self.logs.keys().next().copied()
    }

    /// Takes a bucket out, whole.
    pub fn remove(&mut self, bucket: i64) -> Option<RowLog> {
        self.logs.remove(&bucket).map(|bucket| bucket.log)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.logs.values().map(|bucket| bucket.log.len()).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.logs.values().all(|bucket| bucket.log.is_empty())
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.logs.values().map(|bucket| bucket.log.memory()).sum()
    }

    /// The next row's number, which a snapshot has to hold.
    pub fn next_number(&self) -> i64 {
        self.next_number
    }

    /// Numbers below were given out.
    pub fn reserve_numbers(&mut self, next: i64) {
        self.next_number = self.next_number.max(next);
    }

    pub(crate) fn snapshot(
        &mut self,
        epoch: u64,
        full: [&std::ops::Range<u16>; 2],
        groups: &KeyGroups,
    ) -> Result<LogChanges> {
        let mut out = LogChanges { rows: Changes::default(), counts: Changes::default(), live: Vec::new() };
        for (number, bucket) in &mut self.logs {
            if bucket.born.is_none() {
                bucket.log.touch_all();
            }
            out.live.push(LiveBucket(*number, *bucket.born.get_or_insert(epoch)));
            bucket.log.snapshot_rows(*number, full[0], groups, &mut out.rows)?;
            if self.shape.counted {
                bucket.log.snapshot_counts(*number, full[1], groups, &mut out.counts)?;
            }
        }
        Ok(out)
    }

    /// All rows and counts of some groups. What counts as changed stays as it is.
    pub(crate) fn copy(
        &self,
        epoch: u64,
        wanted: &std::ops::Range<u16>,
        groups: &KeyGroups,
    ) -> Result<LogChanges> {
        let mut out = LogChanges { rows: Changes::default(), counts: Changes::default(), live: Vec::new() };
        for (number, bucket) in &self.logs {
            out.live.push(LiveBucket(*number, bucket.born.unwrap_or(epoch)));
            bucket.log.copy_rows(*number, wanted, groups, &mut out.rows)?;
            if self.shape.counted {
                bucket.log.copy_counts(*number, wanted, groups, &mut out.counts)?;
            }
        }
        Ok(out)
    }

    pub(crate) fn revive(&mut self, bucket: i64, born: Option<u64>) {
        self.get_or_create(bucket);
        if let Some(found) = self.logs.get_mut(&bucket) {
            found.born = born;
        }
    }

    /// How rows and counts are saved.
    pub(crate) fn saved_schemas(&self) -> [SchemaRef; 2] {
        let log = RowLog::new(self.shape.clone());
        [log.saved_schema(), log.counts_schema()]
    }

    pub(crate) fn apply_rows(
        &mut self,
        batch: &RecordBatch,
        wanted: &dyn Fn(u16, i64) -> bool,
        groups: &KeyGroups,
    ) -> Result<()> {
        let mut next = self.next_number;
        self.each(batch, |bucket, log, part| {
            let highest = log.apply_rows(part, &|group| wanted(group, bucket), groups)?;
            next = next.max(highest.saturating_add(1));
            Ok(())
        })?;
        self.next_number = next;
        Ok(())
    }

    pub(crate) fn apply_counts(
        &mut self,
        batch: &RecordBatch,
        wanted: &dyn Fn(u16, i64) -> bool,
        groups: &KeyGroups,
    ) -> Result<()> {
        self.each(batch, |bucket, log, part| log.apply_counts(part, &|group| wanted(group, bucket), groups))
    }

    /// Everything has been read. `rewritten`: the next snapshot shall have all of it.
    pub(crate) fn restored(&mut self, rewritten: bool) {
        for bucket in self.logs.values_mut() {
            bucket.log.restored();
            if rewritten {
                bucket.log.touch_all();
            }
        }
    }

    /// The parts of a batch by bucket.
    fn each(
        &mut self,
        batch: &RecordBatch,
        mut apply: impl FnMut(i64, &mut RowLog, &RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let column = batch.columns().get(1).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(buckets) = column.map(|column| column.values()) else {
            let message = "a block of a checkpoint has no bucket column";
            return Err(Diagnostic::error(Code::CheckpointUnusable, message));
        };
        let mut start = 0;
        while let Some(&bucket) = buckets.get(start) {
            let rest = buckets.get(start..).unwrap_or_default();
            let rows = rest.iter().take_while(|other| **other == bucket).count();
            if let Some(found) = self.logs.get_mut(&bucket) {
                apply(bucket, &mut found.log, &batch.slice(start, rows))?;
            }
            start += rows;
        }
        Ok(())
    }
}
