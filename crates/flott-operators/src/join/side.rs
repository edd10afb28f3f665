//! One side of a join: its rows, and what has to be said of those that are alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType as ArrowType;
use flott_plan::{IntervalJoin, JoinOn, RegularJoin};
use flott_state::{LogBuckets, LogShape};
use flott_types::{Code, Diagnostic, Result, RowKind, Schema};

use super::part::Part;
use super::probe::Matcher;
use crate::operator::{Output, Rows};
use crate::window::{column, millis, reject_null_times};

/// What may have to be said of a row at the flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) slot: u32,
    /// What was said of it at the last flush.
    pub(super) said: bool,
    /// As what kind of change.
    pub(super) kind: RowKind,
}

/// One side.
pub(super) struct Side {
    pub(super) name: &'static str,
    /// How many columns its rows have.
    pub(super) width: usize,
    pub(super) types: Vec<ArrowType>,
    pub(super) keys: Vec<usize>,
    /// Rows without a partner come out.
    pub(super) lone: bool,
    /// It knows how many partners each row has.
    pub(super) counted: bool,
    pub(super) retracts: bool,
    /// The column of the rows' time.
    time: Option<usize>,
    /// The length of a time bucket.
    pub(super) bucket_millis: Option<i64>,
    pub(super) ttl_millis: Option<i64>,
    /// Rows; behind their columns the time, if the join is bounded in time.
    pub(super) logs: LogBuckets,
    notes: Vec<Note>,
    /// For each slot, the number of its note, counting from 1.
    noted: Vec<u32>,
}

impl Side {
    pub(super) fn regular(node: &RegularJoin, at: usize, input: &Schema) -> Result<Self> {
        let ttl = node.ttl_millis.get(at).copied().flatten();
        Self::new(&node.on, at, input, node.retracts, ttl, None)
    }

    pub(super) fn bounded(node: &IntervalJoin, at: usize, input: &Schema) -> Result<Self> {
        let time = node.times.get(at).map(|it| it.column);
        let mut side = Self::new(&node.on, at, input, node.retracts, node.idle_millis(at), time)?;
        // What is never dropped is one bucket.
        side.bucket_millis = node.kept_millis(at).map(|_| {
            let span =
                node.upper_millis.zip(node.lower_millis).map(|(upper, lower)| upper.saturating_sub(lower));
            span.map_or(BUCKET_MILLIS_MIN, |span| (span / 4).clamp(BUCKET_MILLIS_MIN, BUCKET_MILLIS_MAX))
        });
        Ok(side)
    }

    fn new(
        on: &JoinOn,
        at: usize,
        input: &Schema,
        retracts: [bool; 2],
        ttl_millis: Option<i64>,
        time: Option<usize>,
    ) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        let keys = on.keys(at);
        if keys.iter().any(|key| *key >= types.len()) {
            return Err(Diagnostic::error(Code::Internal, "a join's key is no column of its input"));
        }
        let lone = on.keeps_lone(at);
        let counted = lone || (on.is_one_sided() && at == 0);
        let retracts = retracts.get(at).copied().unwrap_or(true);
        let mut stored = types.clone();
        stored.extend(time.map(|_| ArrowType::Int64));
        let logs = LogBuckets::new(LogShape {
            types: stored,
            keys: keys.clone(),
            removable: retracts,
            counted,
            stamped: ttl_millis.is_some(),
        });
        Ok(Self {
            name: if at == 0 { "left" } else { "right" },
            width: types.len(),
            types,
            keys,
            lone,
            counted,
            retracts,
            time,
            bucket_millis: None,
            ttl_millis,
            logs,
            notes: Vec::new(),
            noted: Vec::new(),
        })
    }

    /// Rows that came, ready to be joined. `now`: the time that they have, if not one of their own.
    pub(super) fn part(
        &self,
        rows: Rows,
        now: Option<i64>,
        matcher: &Matcher,
        out: &mut Output<'_>,
    ) -> Result<Option<Part>> {
        let Rows { mut batch, mut kinds, .. } = rows;
        let mut times = None;
        if let Some(time) = self.time {
            match now {
                Some(now) => times = Some(Arc::new(Int64Array::from(vec![now; batch.num_rows()]))),
                None => {
                    if column(&batch, time)?.null_count() > 0 {
                        let with_time = arrow::compute::is_not_null(column(&batch, time)?);
                        let with_time = with_time.map_err(crate::arrow_failed)?;
                        if let Some(kept) = &kinds {
                            let kept =
                                arrow::compute::filter(kept, &with_time).map_err(crate::arrow_failed)?;
                            kinds = arrow::array::AsArray::as_primitive_opt(&kept).cloned();
                        }
                        batch = reject_null_times(&batch, &[time], out)?.unwrap_or(batch);
                    }
                    times = Some(Arc::new(Int64Array::new(millis(column(&batch, time)?)?, None)));
                }
            }
        }
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        // Rows from a source may carry their origin behind their columns; it ends here.
        let columns: Vec<ArrayRef> = batch.columns().iter().take(self.width).cloned().collect();
        Part::new(columns, batch.num_rows(), kinds, times, &self.keys, matcher).map(Some)
    }

    /// The last time of a bucket.
    pub(super) fn end_of(&self, bucket: i64) -> i64 {
        match self.bucket_millis {
            Some(millis) => bucket.saturating_add(1).saturating_mul(millis).saturating_sub(1),
            None => i64::MAX,
        }
    }

    /// Notes that something may have to be said of a row. What was said of it before its first note
    /// counts, and the kind of the last.
    pub(super) fn note(&mut self, slot: u32, note: Note) {
        let at = slot as usize;
        if at >= self.noted.len() {
            self.noted.resize((at + 1).next_power_of_two(), 0);
        }
        let Some(place) = self.noted.get_mut(at) else { return };
        match self.notes.get_mut((*place as usize).wrapping_sub(1)) {
            Some(known) => known.kind = note.kind,
            None => {
                self.notes.push(note);
                *place = self.notes.len() as u32;
            }
        }
    }

    /// Whether nothing has been said yet of a row that is alone.
    pub(super) fn is_noted(&self, slot: u32) -> bool {
        self.noted.get(slot as usize).is_some_and(|it| *it > 0)
    }

    /// All notes; there are none afterwards.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        for note in &self.notes {
            if let Some(place) = self.noted.get_mut(note.slot as usize) {
                *place = 0;
            }
        }
        std::mem::take(&mut self.notes)
    }

    pub(super) fn memory(&self) -> usize {
        self.logs.memory() + self.noted.capacity() * 4 + self.notes.capacity() * size_of::<Note>()
    }
}

/// Buckets aren't shorter: each has an index of its own …
const BUCKET_MILLIS_MIN: i64 = 1_000;

/// … nor longer: rows of a bucket go together.
const BUCKET_MILLIS_MAX: i64 = 3_600_000;
