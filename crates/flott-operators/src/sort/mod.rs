//! `ORDER BY`: all rows in order.
//!
//! **Keeps** the rows that may still be out of order: by event time until the watermark reaches their time,
//! in batch mode all of them.
//!
//! **Emits** by event time when the watermark passes, in batch mode at the end, by processing time on flush.
//!
//! **A watermark** makes the rows up to it final; a row that comes behind it is late.
//!
//! **A retraction** can't come: the plan refuses to sort an input that takes rows back.
//!
//! ```text
//!   rows            12:05 b │ 12:03 z │ 12:05 a                ORDER BY ts, name
//!   waiting         12:03: z     12:05: b, a
//!   watermark 12:05  ► 12:03 z, 12:05 a, 12:05 b               of equal rows the earlier one first
//! ```

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use arrow::row::RowConverter;
use flott_plan::Sort;
use flott_state::{EncodedRows, OperatorSnapshot, OperatorState, RowColumn, StateColumn, Table};
use flott_types::{Result, Schema, TimeAttribute};
use std::sync::Arc;

use crate::arrow_failed;
use crate::keyed::layout::{Layout, Parts};
use crate::keyed::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::rank::{OrderKey, order_converter};
use crate::window::{batch, column, lowest, millis, only_inserts, reject_null_times};

/// A row that waits: its order, which one it was, where it is.
type Waiting = (OrderKey, i64, u32);

/// The operator.
pub(crate) struct SortOperator {
    layout: Layout,
    order_by: Vec<usize>,
    converter: RowConverter,
    time: Option<TimeAttribute>,
    /// The rows by their number.
    table: Table<dyn StateColumn>,
    waiting: BTreeMap<i64, Vec<Waiting>>,
    waiting_rows: usize,
    next: i64,
    skip: u64,
    watermark: i64,
    ending: bool,
    context: Context,
}

impl SortOperator {
    pub(crate) fn new(node: &Sort, input: &Schema, context: &Context) -> Result<Self> {
        let layout = Layout::new(input, &[], &[])?;
        let rows: Vec<Box<dyn StateColumn>> = vec![Box::new(RowColumn::new(&layout.rest_types())?)];
        Ok(Self {
            table: Table::new(&[ArrowType::Int64], rows)?.grouped_by(0),
            layout,
            order_by: node.order_by.iter().map(|it| it.0).collect(),
            converter: order_converter(&node.order_by, input)?,
            time: node.time,
            waiting: BTreeMap::new(),
            waiting_rows: 0,
            next: 0,
            skip: node.skip,
            watermark: i64::MIN,
            ending: false,
            context: context.clone(),
        })
    }

    fn order_keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<OrderKey>> {
        let by: Vec<ArrayRef> = self.order_by.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        if by.is_empty() {
            return Ok(vec![OrderKey::new(&[]); rows]);
        }
        let converted = self.converter.convert_columns(&by).map_err(arrow_failed)?;
        Ok(converted.iter().map(|row| OrderKey::new(row.data())).collect())
    }

    /// The times by which rows wait; the same for all where no event time decides.
    fn times(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<i64>> {
        match (self.time, self.order_by.first().and_then(|at| columns.get(*at))) {
            (Some(TimeAttribute::Rowtime), Some(time)) => Ok(millis(time)?.to_vec()),
            _ => Ok(vec![0; rows]),
        }
    }

    fn wait(&mut self, slots: &[u32], numbers: &[i64], columns: &[ArrayRef]) -> Result<()> {
        let orders = self.order_keys(columns, slots.len())?;
        let times = self.times(columns, slots.len())?;
        for (((slot, number), order), time) in slots.iter().zip(numbers).zip(orders).zip(times) {
            self.waiting.entry(time).or_default().push((order, *number, *slot));
        }
        self.waiting_rows += slots.len();
        Ok(())
    }

    /// Emits the rows that wait until this time.
    fn emit_until(&mut self, time: i64, out: &mut Output<'_>) -> Result<()> {
        let later = time.checked_add(1).map(|next| self.waiting.split_off(&next)).unwrap_or_default();
        let due = std::mem::replace(&mut self.waiting, later);
        let mut slots = Vec::new();
        for mut rows in due.into_values() {
            rows.sort_unstable();
            slots.extend(rows.into_iter().map(|it| it.2));
        }
        self.waiting_rows -= slots.len();
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(slots.len());
        self.skip -= skipped as u64;
        let rows: &RowColumn = column_of(&self.table, 0)?;
        for slots in slots.get(skipped..).unwrap_or_default().chunks(self.context.batch_rows.max(1)) {
            let parts = Parts { keys: &[], beside: Vec::new(), rest: rows.columns(slots)? };
            let columns = self.layout.assemble(parts)?;
            (out.emit)(Rows::insert(batch(&self.layout.schema, columns, slots.len())?))?;
        }
        self.table.remove(&slots)
    }
}

impl Operator for SortOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        let mut input = rows.batch;
        if let (Some(TimeAttribute::Rowtime), Some(time)) = (self.time, self.order_by.first()) {
            if let Some(timed) = reject_null_times(&input, &[*time], out)? {
                input = timed;
            }
            let times = millis(column(&input, *time)?)?;
            if times.iter().any(|time| *time <= self.watermark) {
                let late: BooleanArray = times.iter().map(|time| Some(*time <= self.watermark)).collect();
                (out.late)(&input, Some(&late))?;
                let kept = arrow::compute::not(&late).map_err(arrow_failed)?;
                input = arrow::compute::filter_record_batch(&input, &kept).map_err(arrow_failed)?;
            }
        }
        let count = input.num_rows();
        if count == 0 {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = input.columns().iter().take(self.layout.width()).cloned().collect();
        let numbers: Vec<i64> = (self.next..).take(count).collect();
        self.next = self.next.saturating_add(count as i64);
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers.clone()))];
        let hashes = self.table.hashes(&keys, count);
        let mut slots = Vec::with_capacity(count);
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        let rows: &mut RowColumn = column_of_mut(&mut self.table, 0)?;
        let mut encoded = EncodedRows::default();
        rows.codec().encode(&self.layout.rest_of(&columns), 0..count, &mut encoded, |_, _| {})?;
        for (row, slot) in slots.iter().enumerate() {
            rows.set(*slot, encoded.get(row))?;
        }
        self.wait(&slots, &numbers, &columns)
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        match self.time {
            Some(TimeAttribute::Rowtime) => self.emit_until(watermark, out),
            _ => Ok(()),
        }
    }

    fn on_time(&mut self, now_millis: i64, _out: &mut Output<'_>) -> Result<()> {
        self.ending |= now_millis == i64::MAX;
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        match self.time {
            Some(TimeAttribute::Proctime) => self.emit_until(i64::MAX, out),
            None if std::mem::take(&mut self.ending) => self.emit_until(i64::MAX, out),
            _ => Ok(()),
        }
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.value("watermark", self.watermark);
        snapshot.value("next", self.next);
        snapshot.table("rows", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.watermark = lowest(state, "watermark");
        self.next = state.values("next").iter().filter_map(|it| it.as_i64()).max().unwrap_or(0);
        state.table("rows", &mut self.table)?;
        let slots: Vec<u32> = self.table.keys().live().collect();
        for slots in slots.chunks(self.context.batch_rows.max(1)) {
            let numbers = self.table.keys().keys(slots)?;
            let numbers = numbers.first().and_then(|it| it.as_primitive_opt::<Int64Type>());
            let numbers = numbers.map(|it| it.values().to_vec()).unwrap_or_default();
            let rows: &RowColumn = column_of(&self.table, 0)?;
            let parts = Parts { keys: &[], beside: Vec::new(), rest: rows.columns(slots)? };
            let columns = self.layout.assemble(parts)?;
            self.wait(slots, &numbers, &columns)?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.waiting_rows * size_of::<Waiting>()
    }
}
