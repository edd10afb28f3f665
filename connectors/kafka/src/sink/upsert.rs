//! Rows that wait for later changes of their keys (`sink.buffer-flush.*`).
//!
//! ```text
//!   write   +U a 1   +U b 1   +U a 2   -D b        newest:  a ─► batch 1, row 0
//!           └─ batch 0 ────┘  └─ batch 1 ──┘                b ─► batch 1, row 1
//!   flush   +U a 2   -D b                          in the order in which they came
//! ```
//!
//! Keeps: the batches that came since the last flush, and the newest row of each key. Nothing is lost when a
//! run dies: a checkpoint flushes first.

use std::{collections::HashMap, time::Duration};

use arrow::{array::Int8Array, compute::interleave_record_batch, record_batch::RecordBatch};
use flott_connector::Slices;
use flott_types::{Code, Diagnostic, Result};

use super::settings::Buffering;

/// Rows in all for each row that may wait: one key that changes all the time must not fill the memory.
const ROWS_PER_KEY: usize = 8;

/// Rows, and what each does.
pub(crate) type Changes = (RecordBatch, Option<Int8Array>);

/// Rows that wait.
pub(crate) struct UpsertBuffer {
    limits: Buffering,
    batches: Vec<Changes>,
    newest: HashMap<Vec<u8>, (usize, usize)>,
    rows: usize,
    /// When the first of them came.
    since: Option<Duration>,
}

impl UpsertBuffer {
    pub(crate) fn new(limits: Buffering) -> Self {
        Self { limits, batches: Vec::new(), newest: HashMap::new(), rows: 0, since: None }
    }
    /// Takes rows with these keys. Whether it is time to flush.
    pub(crate) fn add(&mut self, changes: Changes, keys: &Slices, now: Duration) -> bool {
        let batch = self.batches.len();
        self.rows += changes.0.num_rows();
        self.batches.push(changes);
        for (row, key) in keys.iter().enumerate() {
            let key = key.unwrap_or_default();
            match self.newest.get_mut(key) {
                Some(place) => *place = (batch, row),
                None => drop(self.newest.insert(key.to_vec(), (batch, row))),
            }
        }
        self.since.get_or_insert(now);
        self.newest.len() >= self.limits.rows
            || self.rows >= self.limits.rows.saturating_mul(ROWS_PER_KEY)
            || self.is_due(now)
    }
    /// Whether rows have waited as long as they may.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.since.is_some_and(|since| now.saturating_sub(since) >= self.limits.interval)
    }
    /// The newest row of each key.
    pub(crate) fn flush(&mut self) -> Result<Option<Changes>> {
        self.since = None;
        self.rows = 0;
        let batches = std::mem::take(&mut self.batches);
        let mut places: Vec<(usize, usize)> = self.newest.drain().map(|(_, place)| place).collect();
        if places.is_empty() {
            return Ok(None);
        }
        places.sort_unstable();
        let all: Vec<&RecordBatch> = batches.iter().map(|(batch, _)| batch).collect();
        let rows = interleave_record_batch(&all, &places)
            .map_err(|error| Diagnostic::error(Code::Internal, format!("rows of a sink: {error}")))?;
        let kind = |&(batch, row): &(usize, usize)| {
            let kinds = batches.get(batch).and_then(|(_, kinds)| kinds.as_ref());
            kinds.and_then(|kinds| kinds.values().get(row).copied()).unwrap_or(0)
        };
        let kinds = Int8Array::from_iter_values(places.iter().map(kind));
        Ok(Some((rows, Some(kinds))))
    }
}
