//! The first row of each key: deduplication that keeps the oldest.
//!
//! **Keeps** each key that was seen; by event time also the row of the least time so far, until it is known
//! to be the first.
//!
//! **Emits** by processing time each key's first row as it comes; by event time when the watermark reaches
//! the row's time. Both only add rows.
//!
//! **A watermark** makes the rows up to it final; an earlier row that comes behind it is late.
//!
//! **A retraction** can't come: the plan ranks all rows of an input that takes rows back.
//!
//! ```text
//!   rows        a 12:05 │ b 12:07 │ a 12:03 │ a 12:04
//!   waiting     a 12:03, b 12:07                           of equal times the earlier row wins
//!   watermark 12:06   a 12:03 goes out, b waits on         then every row of a is passed over
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::record_batch::RecordBatch;
use flott_plan::TopN;
use flott_state::{EncodedRows, LongColumn, OperatorSnapshot, OperatorState, RowColumn, StateColumn, Table};
use flott_types::{Result, Schema};

use super::idle::IdleKeys;
use super::layout::{Layout, Parts};
use super::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, first_rows, lowest, millis, only_inserts, reject_null_times, take_all};

/// The first row of each key as they come.
pub(crate) struct FirstSeenOperator {
    layout: Layout,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    slots: Vec<u32>,
}

impl FirstSeenOperator {
    pub(crate) fn new(node: &TopN, input: &Schema, context: &Context) -> Result<Self> {
        let layout = Layout::new(input, &node.keys, &[])?;
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, 0, context));
        let columns = idle.iter().map(|_| IdleKeys::stamps()).collect();
        let table = Table::new(&layout.key_types(), columns)?;
        Ok(Self { layout, table, idle, slots: Vec::new() })
    }
}

impl Operator for FirstSeenOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        let columns: Vec<ArrayRef> = rows.batch.columns().iter().take(self.layout.width()).cloned().collect();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, rows.batch.num_rows());
        self.slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut self.slots)?;
        let inserted = self.table.inserted().to_vec();
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, inserted.iter().copied())?;
        }
        if inserted.is_empty() {
            return Ok(());
        }
        let first = UInt32Array::from(first_rows(&self.slots, &inserted));
        let rows = batch(&self.layout.schema, take_all(&columns, &first)?, inserted.len())?;
        (out.emit)(Rows::insert(rows))
    }

    fn looks_at_time(&self) -> bool {
        false
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, _out: &mut Output<'_>) -> Result<()> {
        if let Some(idle) = &mut self.idle {
            let old = idle.sweep(&mut self.table, now_millis)?;
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("seen", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("seen", &mut self.table)
    }

    fn memory(&self) -> usize {
        self.table.memory()
    }
}

const TIMES: usize = 0;
const ROWS: usize = 1;

/// No time is before it.
const GONE: i64 = i64::MIN;

/// The first row of each key by event time.
pub(crate) struct FirstRowOperator {
    layout: Layout,
    time: usize,
    /// The least time and its row; [`GONE`] and none when the key's first row has gone out.
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    /// (time, slot) of the rows that wait, and of some that an earlier one has replaced.
    waiting: BinaryHeap<Reverse<(i64, u32)>>,
    watermark: i64,
    slots: Vec<u32>,
    context: Context,
}

impl FirstRowOperator {
    pub(crate) fn new(node: &TopN, input: &Schema, context: &Context) -> Result<Self> {
        let time = node.order_by.first().map_or(0, |it| it.0);
        let layout = Layout::with_time(input, &node.keys, Some(time))?;
        let mut columns: Vec<Box<dyn StateColumn>> =
            vec![Box::new(LongColumn::new(i64::MAX)), Box::new(RowColumn::new(&layout.rest_types())?)];
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, columns.len(), context));
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        Ok(Self {
            table: Table::new(&layout.key_types(), columns)?,
            layout,
            time,
            idle,
            waiting: BinaryHeap::new(),
            watermark: i64::MIN,
            slots: Vec::new(),
            context: context.clone(),
        })
    }

    /// The rows that aren't late, if some are.
    fn in_time(
        &self,
        batch: &RecordBatch,
        times: &[i64],
        out: &mut Output<'_>,
    ) -> Result<Option<RecordBatch>> {
        if times.iter().all(|time| *time >= self.watermark) {
            return Ok(None);
        }
        let late: BooleanArray = times.iter().map(|time| Some(*time < self.watermark)).collect();
        (out.late)(batch, Some(&late))?;
        let kept = arrow::compute::not(&late).map_err(crate::arrow_failed)?;
        Ok(Some(arrow::compute::filter_record_batch(batch, &kept).map_err(crate::arrow_failed)?))
    }

    /// Which rows are earlier than what their keys have, the earliest of each key.
    fn offer(&mut self, times: &[i64]) -> Result<Vec<(u32, u32)>> {
        let first: &mut LongColumn = column_of_mut(&mut self.table, TIMES)?;
        let mut better = Vec::new();
        for (row, (slot, time)) in self.slots.iter().zip(times).enumerate() {
            let Some(place) = first.values.get_mut(*slot as usize) else { continue };
            if *time < *place {
                *place = *time;
                better.push((*slot, row as u32));
            }
        }
        Ok(better)
    }

    fn emit_until(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        let mut due: Vec<u32> = Vec::new();
        let times: &LongColumn = column_of(&self.table, TIMES)?;
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        while let Some(Reverse((time, slot))) = self.waiting.peek().copied().filter(|it| it.0.0 <= watermark)
        {
            self.waiting.pop();
            if rows.has(slot) && times.values.get(slot as usize) == Some(&time) && due.last() != Some(&slot) {
                due.push(slot);
            }
        }
        for slots in due.chunks(self.context.batch_rows.max(1)) {
            let times = slots.iter().map(|slot| times.values.get(*slot as usize).copied().unwrap_or(0));
            let columns = self.layout.assemble(Parts {
                keys: &self.table.keys().keys(slots)?,
                beside: self.layout.times(times.collect())?,
                rest: rows.columns(slots)?,
            })?;
            (out.emit)(Rows::insert(batch(&self.layout.schema, columns, slots.len())?))?;
        }
        self.table.touch(&due);
        let rows: &mut RowColumn = column_of_mut(&mut self.table, ROWS)?;
        due.iter().for_each(|slot| rows.clear(*slot));
        let times: &mut LongColumn = column_of_mut(&mut self.table, TIMES)?;
        for slot in &due {
            if let Some(time) = times.values.get_mut(*slot as usize) {
                *time = GONE;
            }
        }
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, due.into_iter())?;
        }
        Ok(())
    }
}

impl Operator for FirstRowOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        let mut input = rows.batch;
        if let Some(timed) = reject_null_times(&input, &[self.time], out)? {
            input = timed;
        }
        let times = millis(column(&input, self.time)?)?;
        if let Some(in_time) = self.in_time(&input, &times, out)? {
            input = in_time;
        }
        let times = millis(column(&input, self.time)?)?;
        let columns: Vec<ArrayRef> = input.columns().iter().take(self.layout.width()).cloned().collect();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, input.num_rows());
        self.slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut self.slots)?;
        let better = self.offer(&times)?;
        let rest = self.layout.rest_of(&columns);
        let mut encoded = EncodedRows::default();
        let rows: &mut RowColumn = column_of_mut(&mut self.table, ROWS)?;
        rows.codec().encode(&rest, better.iter().map(|it| it.1 as usize), &mut encoded, |_, _| {})?;
        for (at, (slot, row)) in better.iter().enumerate() {
            rows.set(*slot, encoded.get(at))?;
            let time = times.get(*row as usize).copied().unwrap_or(i64::MAX);
            self.waiting.push(Reverse((time, *slot)));
        }
        let slots: Vec<u32> = better.into_iter().map(|it| it.0).collect();
        self.table.touch(&slots);
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, slots.into_iter())?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.emit_until(watermark, out)
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, _out: &mut Output<'_>) -> Result<()> {
        if let Some(idle) = &mut self.idle {
            let mut old = idle.sweep(&mut self.table, now_millis)?;
            // A row that waits for the watermark is not forgotten.
            let rows: &RowColumn = column_of(&self.table, ROWS)?;
            old.retain(|slot| !rows.has(*slot));
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.value("watermark", self.watermark);
        snapshot.table("first", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.watermark = lowest(state, "watermark");
        state.table("first", &mut self.table)?;
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        let times: &LongColumn = column_of(&self.table, TIMES)?;
        let waiting = self.table.keys().live().filter(|slot| rows.has(*slot));
        let time = |slot: u32| times.values.get(slot as usize).copied().unwrap_or(i64::MAX);
        self.waiting = waiting.map(|slot| Reverse((time(slot), slot))).collect();
        Ok(())
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.waiting.len() * 16
    }
}
