//! A windowing table function by itself: each row once per window that it belongs to.
//!
//! ```text
//!   HOP(ts, 5 s, 10 s)
//!   (a, 00:07)   ──►   (a, 00:07, 00:00, 00:10, 00:09.999)   (a, 00:07, 00:05, 00:15, 00:14.999)
//! ```
//!
//! Keeps nothing. A row without a time can't be evaluated, as in Flink.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatchOptions, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, UInt32Array,
    },
    compute::take,
    datatypes::{
        DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType,
    },
    record_batch::RecordBatch,
};
use chrono_tz::Tz;
use flott_expr::{EvalContext, EvalError, zone};
use flott_plan::WindowKind;
use flott_types::{Code, Schema};

/// The step, made ready.
#[derive(Debug)]
pub struct WindowStep {
    kind: WindowKind,
    offset_millis: i64,
    time_column: usize,
    local_time: bool,
    schema: SchemaRef,
}

/// Rows made at once: beyond, fewer input rows are taken at a time, so that memory stays bounded.
const WINDOW_ROWS_MAX: usize = 64 << 10;

/// Windows of some rows: which row, from when to when.
#[derive(Default)]
struct Assigned {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl WindowStep {
    /// Makes the step ready.
    pub fn new(
        kind: &WindowKind,
        offset_millis: i64,
        time_column: usize,
        local_time: bool,
        output: &Schema,
    ) -> Self {
        Self { kind: kind.clone(), offset_millis, time_column, local_time, schema: output.arrow_schema() }
    }

    /// The rows, once per window, and for each the input row that it comes from.
    ///
    /// # Errors
    /// `RecordTooLarge` if fewer input rows must be taken at once; `EvaluationFailed` for a row without
    /// a time.
    pub fn apply(
        &self,
        batch: &RecordBatch,
        context: &EvalContext,
    ) -> Result<(RecordBatch, UInt32Array), EvalError> {
        let time = batch.columns().get(self.time_column).ok_or_else(|| internal("no time column"))?;
        let zone = if self.local_time { context.time_zone } else { Tz::UTC };
        let mut assigned = Assigned::default();
        for (row, millis) in millis_of(time)?.into_iter().enumerate() {
            if assigned.rows.len() > WINDOW_ROWS_MAX {
                return Err(EvalError {
                    code: Code::RecordTooLarge,
                    message: "too many windows at once".into(),
                });
            }
            let local = zone::to_local(zone, millis, TimeUnit::Millisecond);
            self.assign(row as u32, local, &mut assigned).ok_or_else(out_of_range)?;
        }
        self.assemble(batch, assigned, zone)
    }

    /// Adds the windows that a time lies in. None: beyond the range of timestamps.
    fn assign(&self, row: u32, time: i64, out: &mut Assigned) -> Option<()> {
        let mut add = |start: i64, end: i64| {
            out.rows.push(row);
            out.starts.push(start);
            out.ends.push(end);
        };
        match self.kind {
            WindowKind::Tumble { size_millis } => {
                let start = self.start(time, size_millis)?;
                add(start, start.checked_add(size_millis)?);
            }
            WindowKind::Hop { slide_millis, size_millis } => {
                let mut start = self.start(time, slide_millis)?;
                while start.checked_add(size_millis)? > time {
                    add(start, start + size_millis);
                    start = start.checked_sub(slide_millis)?;
                }
            }
            WindowKind::Cumulate { step_millis, size_millis } => {
                let start = self.start(time, size_millis)?;
                let mut end = self.start(time, step_millis)?.checked_add(step_millis)?;
                let last = start.checked_add(size_millis)?;
                while end <= last {
                    add(start, end);
                    end = end.checked_add(step_millis)?;
                }
            }
            // The plan gives sessions to an operator.
            WindowKind::Session { .. } => return None,
        }
        Some(())
    }

    /// The start of the last window of this length at or before a time.
    fn start(&self, time: i64, size: i64) -> Option<i64> {
        time.checked_sub(time.checked_sub(self.offset_millis)?.checked_rem_euclid(size)?)
    }

    fn assemble(
        &self,
        batch: &RecordBatch,
        assigned: Assigned,
        zone: Tz,
    ) -> Result<(RecordBatch, UInt32Array), EvalError> {
        let Assigned { rows, starts, ends } = assigned;
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 3);
        for column in batch.columns() {
            columns.push(take(column, &rows, None).map_err(arrow_error)?);
        }
        let last = |end: &i64| zone::to_instant(zone, end.saturating_sub(1), TimeUnit::Millisecond);
        let times: Vec<i64> = ends.iter().map(last).collect();
        columns.push(Arc::new(TimestampMillisecondArray::from(starts)));
        columns.push(Arc::new(TimestampMillisecondArray::from(ends)));
        let time_type = self.schema.fields().last().map(|field| field.data_type().clone());
        columns.push(timestamps(times, time_type.as_ref())?);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok((batch.map_err(arrow_error)?, rows))
    }
}

/// Milliseconds since the epoch. A row without a time is an error.
fn millis_of(time: &ArrayRef) -> Result<Vec<i64>, EvalError> {
    if time.null_count() > 0 {
        let message = "a row has no time: the time column of a window must not be NULL";
        return Err(EvalError { code: Code::EvaluationFailed, message: message.into() });
    }
    match time.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(time.as_primitive::<TimestampMillisecondType>().values().to_vec())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = time.as_primitive::<TimestampMicrosecondType>().values();
            Ok(values.iter().map(|it| it.div_euclid(1_000)).collect())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let values = time.as_primitive::<TimestampNanosecondType>().values();
            Ok(values.iter().map(|it| it.div_euclid(1_000_000)).collect())
        }
        _ => Err(internal("a time column of another type")),
    }
}

/// A column of these times (milliseconds) in the type's unit.
fn timestamps(millis: Vec<i64>, data_type: Option<&DataType>) -> Result<ArrayRef, EvalError> {
    let scaled = |factor: i64| -> Result<Vec<i64>, EvalError> {
        millis.iter().map(|it| it.checked_mul(factor).ok_or_else(out_of_range)).collect()
    };
    match data_type {
        Some(DataType::Timestamp(TimeUnit::Millisecond, zone)) => {
            Ok(Arc::new(TimestampMillisecondArray::from(millis).with_timezone_opt(zone.clone())))
        }
        Some(DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            Ok(Arc::new(TimestampMicrosecondArray::from(scaled(1_000)?).with_timezone_opt(zone.clone())))
        }
        Some(DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            Ok(Arc::new(TimestampNanosecondArray::from(scaled(1_000_000)?).with_timezone_opt(zone.clone())))
        }
        _ => Err(internal("a window time of another type")),
    }
}

fn out_of_range() -> EvalError {
    let message = "a window reaches beyond the range of timestamps";
    EvalError { code: Code::EvaluationFailed, message: message.into() }
}

fn internal(message: &str) -> EvalError {
    EvalError { code: Code::Internal, message: message.to_string() }
}

fn arrow_error(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::Internal, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(kind: WindowKind, offset_millis: i64, time: i64) -> Vec<(i64, i64)> {
        let step = WindowStep::new(&kind, offset_millis, 0, false, &Schema::default());
        let mut out = Assigned::default();
        step.assign(0, time, &mut out).unwrap();
        out.starts.into_iter().zip(out.ends).collect()
    }

    #[test]
    fn rows_are_in_the_windows_that_flink_gives_them() {
        assert_eq!(windows(WindowKind::Tumble { size_millis: 10 }, 0, -1), [(-10, 0)]);
        assert_eq!(windows(WindowKind::Tumble { size_millis: 10 }, 3, 12), [(3, 13)]);
        let hop = WindowKind::Hop { slide_millis: 5, size_millis: 10 };
        assert_eq!(windows(hop.clone(), 0, 7), [(5, 15), (0, 10)]);
        // A slide longer than the window leaves gaps.
        assert_eq!(windows(WindowKind::Hop { slide_millis: 10, size_millis: 5 }, 0, 7), []);
        let cumulate = WindowKind::Cumulate { step_millis: 5, size_millis: 15 };
        assert_eq!(windows(cumulate, 0, 7), [(0, 10), (0, 15)]);
    }
}
