//! Joins each row with the version of a key that was valid at the row's time.
//!
//! **Keeps** left rows until the watermark reaches their time, and of each right key the versions that such
//! rows can still need: the one that is valid at the watermark and all later ones.
//!
//! **Emits** a left row when the watermark reaches its time, with what the left said the row does.
//!
//! **A watermark** brings all left rows up to it out, in the order they came, and then drops the versions
//! that ended before it. A left row behind the watermark waits for the next one and is joined with what is
//! still there.
//!
//! **A retraction** on the left is joined like any row. On the right a new version ends the one before, a
//! deletion ends the key at its time, and what a row was before a change (`-U`) counts only if no change
//! follows.
//!
//! ```text
//!   right k: │v1      │v2         │v3        versions by time
//!            t1       t2    W     t3         v1 can go: no row before W is to come
//!   left k:        a     b      c            a, b are out; c waits
//! ```
//! A row without a time is rejected. NULL equals nothing: a right row with a NULL key is dropped, a left
//! one goes through with NULLs (`LEFT`) or not at all.
//!
//! Source: Flink's `TemporalRowTimeJoinOperator`.

mod versions;
mod waiting;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Int8Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_expr::Program;
use flott_plan::TemporalJoin;
use flott_sql::JoinKind;
use flott_state::{NO_SLOT, OperatorSnapshot, OperatorState};
use flott_types::{Diagnostic, Result, Schema};

use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, lowest, millis, positional_schema, rows_with_time, take_all};
use versions::Versions;
use waiting::Waiting;

/// The operator.
pub(crate) struct TemporalJoinOperator {
    left_time: usize,
    right_time: usize,
    left_keys: Vec<usize>,
    right_keys: Vec<usize>,
    valid: Option<usize>,
    widths: [usize; 2],
    outer: bool,
    condition: Option<Program>,
    waiting: Waiting,
    versions: Versions,
    schema: SchemaRef,
    context: Context,
    ttl_millis: [Option<i64>; 2],
    /// When idle keys are looked for next.
    next_sweep: Option<i64>,
    watermark: i64,
}

impl TemporalJoinOperator {
    pub(crate) fn new(node: &TemporalJoin, left: &Schema, right: &Schema, context: &Context) -> Result<Self> {
        let types =
            |schema: &Schema| schema.fields.iter().map(|it| it.data_type.arrow_type()).collect::<Vec<_>>();
        let (left_types, right_types) = (types(left), types(right));
        let (left_keys, right_keys): (Vec<usize>, Vec<usize>) = node.keys.iter().copied().unzip();
        Ok(Self {
            left_time: node.left_time,
            right_time: node.right_time,
            waiting: Waiting::new(&left_types, &left_keys, node.left_time)?,
            versions: Versions::new(&right_types, &right_keys)?,
            left_keys,
            right_keys,
            valid: node.valid,
            widths: [left.len(), right.len()],
            outer: node.kind == JoinKind::Left,
            condition: node.condition.clone().map(|condition| Program::new(vec![condition])),
            schema: positional_schema(left_types.into_iter().chain(right_types)),
            context: context.clone(),
            ttl_millis: node.ttl_millis,
            next_sweep: None,
            watermark: i64::MIN,
        })
    }

    fn left_rows(&mut self, rows: &Rows) -> Result<()> {
        let columns: Vec<ArrayRef> = rows.batch.columns().iter().take(self.widths[0]).cloned().collect();
        let now = self.stamp(0);
        self.waiting.add(&columns, rows.batch.num_rows(), rows.kinds.as_ref(), now)?;
        if let Some(now) = self.stamp(1) {
            let keys = self.keys_of(&rows.batch, 0)?;
            self.versions.touch(&keys, rows.batch.num_rows(), now)?;
        }
        Ok(())
    }

    fn right_rows(&mut self, rows: &Rows) -> Result<()> {
        let keys = self.keys_of(&rows.batch, 1)?;
        let Some(keyed) = without_nulls(&keys) else {
            return self.add_versions(&rows.batch, rows.kinds.as_ref());
        };
        let kinds = rows.kinds.as_ref().map(|kinds| arrow::compute::filter(kinds, &keyed));
        let kinds = kinds.transpose().map_err(arrow_failed)?;
        let keyed = filter_record_batch(&rows.batch, &keyed).map_err(arrow_failed)?;
        self.add_versions(&keyed, kinds.as_ref().map(|kinds| kinds.as_primitive::<Int8Type>()))
    }

    fn add_versions(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        let columns: Vec<ArrayRef> = batch.columns().iter().take(self.widths[1]).cloned().collect();
        let times = millis(column(batch, self.right_time)?)?;
        let valid = match self.valid {
            Some(at) => column(batch, at)?.as_boolean_opt().cloned(),
            None => None,
        };
        let valid = |row: usize| valid.as_ref().is_none_or(|it| it.is_valid(row) && it.value(row));
        let now = self.stamp(1);
        self.versions.add(&columns, &times, kinds, &valid, now)
    }

    fn keys_of(&self, batch: &RecordBatch, input: usize) -> Result<Vec<ArrayRef>> {
        let keys = if input == 0 { &self.left_keys } else { &self.right_keys };
        keys.iter().map(|key| column(batch, *key).cloned()).collect()
    }

    /// The time that what is touched now is marked with, where an input's state doesn't live for ever.
    fn stamp(&mut self, input: usize) -> Option<i64> {
        let ttl = self.ttl_millis[input]?;
        let now = (self.context.now_millis)();
        let step = step_of(ttl);
        self.next_sweep.get_or_insert(now.saturating_add(step));
        Some(now.div_euclid(step).saturating_mul(step))
    }

    /// Left rows that have waited for the watermark.
    fn emit(&mut self, slots: &[u32], out: &mut Output<'_>) -> Result<()> {
        for slots in slots.chunks(self.context.batch_rows.max(1)) {
            let left = self.waiting.rows(slots)?;
            let times = millis(left.get(self.left_time).ok_or_else(no_time)?)?;
            let keys: Vec<ArrayRef> =
                self.left_keys.iter().filter_map(|key| left.get(*key).cloned()).collect();
            let mut found = self.versions.find(&keys, &times)?;
            self.check_condition(&left, &mut found)?;
            let kinds = self.waiting.kinds(slots)?;
            self.emit_joined(left, found, kinds, out)?;
        }
        self.waiting.remove(slots)
    }

    /// Forgets versions for which the condition isn't TRUE.
    fn check_condition(&self, left: &[ArrayRef], found: &mut [u32]) -> Result<()> {
        let Some(condition) = &self.condition else { return Ok(()) };
        let rows: Vec<u32> = (0_u32..).zip(&*found).filter(|it| *it.1 != NO_SLOT).map(|it| it.0).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = found.iter().copied().filter(|slot| *slot != NO_SLOT).collect();
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let mut columns = take_all(left, &rows)?;
        columns.extend(self.versions.rows(&slots)?);
        let pairs = batch(&self.schema, columns, count)?;
        let mask = condition.evaluate_predicate(&pairs, &self.context.eval);
        let mask = mask.map_err(|error| Diagnostic::error(error.code, error.message))?;
        for (at, row) in rows.values().iter().enumerate() {
            if let Some(slot) = found.get_mut(*row as usize).filter(|_| !mask.value(at)) {
                *slot = NO_SLOT;
            }
        }
        Ok(())
    }

    fn emit_joined(
        &self,
        mut left: Vec<ArrayRef>,
        mut found: Vec<u32>,
        mut kinds: Option<Int8Array>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        if !self.outer && found.contains(&NO_SLOT) {
            let rows = (0_u32..).zip(&found).filter(|it| *it.1 != NO_SLOT).map(|it| it.0);
            let rows: UInt32Array = rows.collect();
            left = take_all(&left, &rows)?;
            if let Some(all) = &kinds {
                kinds =
                    Some(take(all, &rows, None).map_err(arrow_failed)?.as_primitive::<Int8Type>().clone());
            }
            found.retain(|slot| *slot != NO_SLOT);
        }
        if found.is_empty() {
            return Ok(());
        }
        let rows = found.len();
        left.extend(self.versions.rows(&found)?);
        (out.emit)(Rows::changes(batch(&self.schema, left, rows)?, kinds))
    }
}

/// How coarsely idle time is told: a sixteenth of the time to live.
fn step_of(ttl_millis: i64) -> i64 {
    (ttl_millis / 16).max(1)
}

fn no_time() -> Box<Diagnostic> {
    Diagnostic::error(flott_types::Code::Internal, "a temporal join's rows have no time column")
}

/// Which rows have no NULL in these columns; none: all.
fn without_nulls(columns: &[ArrayRef]) -> Option<BooleanArray> {
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
    Some(BooleanArray::new(nulls.into_inner(), None))
}

/// Rejects rows without a time. The others, if there were such.
fn reject_untimed(rows: &Rows, time: usize, out: &mut Output<'_>) -> Result<Option<Rows>> {
    let Some(timed) = rows_with_time(column(&rows.batch, time)?) else { return Ok(None) };
    let untimed = arrow::compute::not(&timed).map_err(arrow_failed)?;
    (out.reject)(&rows.batch, &untimed, "the time of the row is NULL, so no version is valid at it")?;
    let batch = filter_record_batch(&rows.batch, &timed).map_err(arrow_failed)?;
    let kinds = match &rows.kinds {
        Some(kinds) => {
            let kept = arrow::compute::filter(kinds, &timed).map_err(arrow_failed)?;
            Some(kept.as_primitive::<Int8Type>().clone())
        }
        None => None,
    };
    Ok(Some(Rows::changes(batch, kinds)))
}

impl Operator for TemporalJoinOperator {
    fn on_rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let time = if input == 0 { self.left_time } else { self.right_time };
        let rows = reject_untimed(&rows, time, out)?.unwrap_or(rows);
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        if input == 0 { self.left_rows(&rows) } else { self.right_rows(&rows) }
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        let due = self.waiting.due(watermark);
        self.emit(&due, out)?;
        self.versions.drop_before(watermark)
    }

    fn next_timer(&self) -> Option<i64> {
        self.next_sweep
    }

    fn on_time(&mut self, now_millis: i64, _: &mut Output<'_>) -> Result<()> {
        if self.next_sweep.is_none_or(|at| at > now_millis) || now_millis == i64::MAX {
            return Ok(());
        }
        let [left, right] = self.ttl_millis;
        if let Some(ttl) = left {
            self.waiting.drop_idle(now_millis.saturating_sub(ttl))?;
        }
        if let Some(ttl) = right {
            self.versions.drop_idle(now_millis.saturating_sub(ttl))?;
        }
        let kept = !self.waiting.is_empty() || !self.versions.is_empty();
        let step = left.into_iter().chain(right).map(step_of).min();
        self.next_sweep = step.filter(|_| kept).map(|step| now_millis.saturating_add(step));
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        self.waiting.snapshot(snapshot)?;
        self.versions.snapshot(snapshot)?;
        snapshot.value("watermark", self.watermark);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.waiting.restore(state)?;
        self.versions.restore(state)?;
        self.watermark = lowest(state, "watermark");
        if self.ttl_millis.iter().any(Option::is_some) {
            let now = || Some((self.context.now_millis)());
            self.next_sweep = state.timer_kept().unwrap_or_else(now);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.waiting.memory() + self.versions.memory()
    }
}

#[cfg(test)]
mod tests;
