//! Which slice each row of a batch belongs to, by whichever way the operator knows it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use flott_plan::Windows;
use flott_state::OperatorState;
use flott_types::{Code, Diagnostic, Result, TimeAttribute};

use super::assign::{Assigner, Slicer, millis, rows_with_time};
use super::local_time::WindowClock;
use super::split::{Part, split};
use crate::arrow_failed;
use crate::operator::{Context, Output, Rows};

/// How rows are put into slices.
#[derive(Debug)]
pub(crate) enum Placement {
    /// By a time column.
    Assigned {
        /// Cuts times into slices.
        assigner: Assigner,
        /// The time column.
        time_column: usize,
    },
    /// By the clock; `now` never goes back.
    Clock {
        /// Cuts times into slices.
        assigner: Assigner,
        /// The last reading.
        now: i64,
    },
    /// By the window's columns, start and end, which are in the row. A window is its own slice.
    Attached {
        /// Column of the start.
        start: usize,
        /// Column of the end.
        end: usize,
    },
}

/// A batch with the slices of its rows.
pub(crate) struct Placed {
    /// The rows that have a time.
    pub(crate) batch: RecordBatch,
    /// Slices and their rows.
    pub(crate) parts: Vec<(i64, Part)>,
    /// The start of each row's window, where rows bring their windows along.
    pub(crate) start: Option<ArrayRef>,
}

impl Placement {
    pub(crate) fn new(windows: &Windows, context: &Context) -> Result<Self> {
        Ok(match windows {
            Windows::Assigned { kind, offset_millis, time_column, time, local_time } => {
                let slicer = Slicer::new(kind, *offset_millis)
                    .ok_or_else(|| Diagnostic::error(Code::Internal, "a session has no slices"))?;
                let assigner = Assigner::new(slicer, WindowClock::new(*local_time, context.eval.time_zone));
                match time {
                    TimeAttribute::Proctime => Placement::Clock { assigner, now: i64::MIN },
                    TimeAttribute::Rowtime => Placement::Assigned { assigner, time_column: *time_column },
                }
            }
            Windows::Attached { start, end, .. } => Placement::Attached { start: *start, end: *end },
        })
    }

    /// Whether rows bring their windows along.
    pub(crate) fn is_attached(&self) -> bool {
        matches!(self, Placement::Attached { .. })
    }

    /// The arithmetic of the windows, where they are assigned.
    pub(crate) fn slicer(&self) -> Option<Slicer> {
        match self {
            Placement::Assigned { assigner, .. } | Placement::Clock { assigner, .. } => Some(assigner.slicer),
            Placement::Attached { .. } => None,
        }
    }

    /// The clock has come this far.
    pub(crate) fn advance(&mut self, to: i64) {
        if let Placement::Clock { now, .. } = self {
            *now = to.max(*now);
        }
    }

    /// Rejects rows without a time and splits the others. Rows that lie between windows which lie
    /// apart are in no part.
    pub(crate) fn place(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<Placed> {
        let (mut batch, mut start) = (batch.clone(), None);
        let mut parts = match self {
            Placement::Clock { assigner, now } => vec![(assigner.slice_end(*now), Part::All)],
            Placement::Assigned { assigner, time_column } => {
                if let Some(timed) = reject_null_times(&batch, &[*time_column], out)? {
                    batch = timed;
                }
                slice_parts(assigner, &millis(column(&batch, *time_column)?)?)
            }
            Placement::Attached { start: starts, end } => {
                if let Some(timed) = reject_null_times(&batch, &[*starts, *end], out)? {
                    batch = timed;
                }
                let starts = millis(column(&batch, *starts)?)?;
                start = Some(Arc::new(Int64Array::new(starts, None)) as ArrayRef);
                let ends = millis(column(&batch, *end)?)?;
                split(batch.num_rows(), |row| ends.get(row).copied())
            }
        };
        if let Some(slicer) = self.slicer().filter(|slicer| slicer.slide > slicer.size) {
            let rows = batch.num_rows();
            parts.retain(|(slice, part)| {
                let covered = slicer.is_covered(*slice);
                if !covered {
                    *out.between += part.rows(rows) as u64;
                }
                covered
            });
        }
        Ok(Placed { batch, parts, start })
    }
}

/// The parts of a batch by slice. Mostly all rows are in the slice of the one before.
fn slice_parts(assigner: &mut Assigner, times: &[i64]) -> Vec<(i64, Part)> {
    let Some(first) = times.first() else { return Vec::new() };
    let end = assigner.slice_end(*first);
    if times.iter().fold(true, |same, time| same & assigner.is_in_last(*time)) {
        return vec![(end, Part::All)];
    }
    split(times.len(), |row| times.get(row).map(|time| assigner.slice_end(*time)))
}

/// A column of an operator's input.
pub(crate) fn column(batch: &RecordBatch, position: usize) -> Result<&ArrayRef> {
    batch.columns().get(position).ok_or_else(|| {
        Diagnostic::error(Code::Internal, format!("an operator's input has no column {position}"))
    })
}

/// Rejects rows with NULL where a time should be. The others, if there were such.
pub(crate) fn reject_null_times(
    batch: &RecordBatch,
    times: &[usize],
    out: &mut Output<'_>,
) -> Result<Option<RecordBatch>> {
    let mut timed: Option<BooleanArray> = None;
    for position in times {
        timed = match (timed, rows_with_time(column(batch, *position)?)) {
            (Some(a), Some(b)) => Some(arrow::compute::and(&a, &b).map_err(arrow_failed)?),
            (a, b) => a.or(b),
        };
    }
    let Some(timed) = timed else { return Ok(None) };
    let untimed = arrow::compute::not(&timed).map_err(arrow_failed)?;
    (out.reject)(batch, &untimed, "the time of the row is NULL, so it belongs to no window")?;
    Ok(Some(filter_record_batch(batch, &timed).map_err(arrow_failed)?))
}

/// Takes rows that are added; anything else is a plan that this operator can't run.
pub(crate) fn only_inserts(rows: &Rows) -> Result<()> {
    match &rows.kinds {
        Some(kinds) if kinds.values().iter().any(|kind| *kind != 0) => {
            Err(Diagnostic::not_supported("windows over a query that takes rows back"))
        }
        _ => Ok(()),
    }
}

/// The lowest of a value that every shard saved: nobody's time may run ahead of its rows.
pub(crate) fn lowest(state: &OperatorState, name: &str) -> i64 {
    state.values(name).iter().filter_map(|value| value.as_i64()).min().unwrap_or(i64::MIN)
}
