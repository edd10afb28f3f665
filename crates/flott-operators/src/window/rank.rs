//! The first rows of each group within a window: Top-N and deduplication.
//!
//! **Keeps** for each window and group the best rows so far, no more than are wanted.
//!
//! **Emits** a window's rows when it is complete, group by group, best first.
//!
//! **A watermark** completes the windows whose last millisecond it reaches; they are dropped. A row of
//! a complete window is late.
//!
//! ```text
//!   window 12:05   key a   9  7  4 │         ORDER BY price DESC, 3 rows
//!                  key b   8 │               a row with 5 for a is passed over, one with 8 moves 4 out
//! ```
//! Of rows that compare equal the earlier one is the better, except where the last row in time is
//! wanted: there a later one of the same time takes its place.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType as ArrowType, Field, Fields, SchemaRef};
use arrow::row::{RowConverter, SortField};
use flott_plan::{WindowRank, Windows};
use flott_state::{Buckets, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result, Schema, TimeAttribute};

use super::emit::{batch, positional_schema};
use super::local_time::WindowClock;
use super::pane::{next_slots, take_all};
use super::place::{Placement, column, lowest, only_inserts};
use super::split::Part;
use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};

/// How rows compare, and how many are kept.
#[derive(Debug, Clone)]
struct Order {
    /// (column, descending, nulls first)
    by: Vec<(usize, bool, bool)>,
    limit: usize,
    /// Of equal rows the last one is the best.
    last_wins: bool,
}

/// A row that is among the best, and what it is compared by.
#[derive(Debug)]
struct Ranked {
    order: Box<[u8]>,
    row: Box<[u8]>,
}

/// The best rows by slot, best first.
#[derive(Debug)]
struct BestRows {
    order: Order,
    fields: Fields,
    compared: RowConverter,
    stored: RowConverter,
    lists: Vec<Vec<Ranked>>,
    bytes: usize,
}

impl BestRows {
    fn new(schema: &SchemaRef, order: Order) -> Result<Self> {
        let field = |column: usize| {
            let field = schema.fields().get(column).map(|field| field.data_type().clone());
            field.ok_or_else(|| Diagnostic::error(Code::Internal, "an order by a column that isn't there"))
        };
        let compared = order
            .by
            .iter()
            .map(|(column, descending, nulls_first)| {
                let options = SortOptions { descending: *descending, nulls_first: *nulls_first };
                Ok(SortField::new_with_options(field(*column)?, options))
            })
            .collect::<Result<Vec<_>>>()?;
        let stored: Vec<SortField> =
            schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        for fields in [&compared, &stored] {
            if !RowConverter::supports_fields(fields) {
                return Err(Diagnostic::not_supported("ranking rows with a column of this type"));
            }
        }
        Ok(Self {
            order,
            fields: schema.fields().clone(),
            compared: RowConverter::new(compared).map_err(arrow_failed)?,
            stored: RowConverter::new(stored).map_err(arrow_failed)?,
            lists: Vec::new(),
            bytes: 0,
        })
    }

    /// Whether a row is no better than what a full list has.
    fn is_beaten(&self, slot: u32, order: &[u8]) -> bool {
        let Some(list) = self.lists.get(slot as usize) else { return true };
        if list.len() < self.order.limit {
            return false;
        }
        let Some(worst) = list.last() else { return true };
        if self.order.last_wins { order > &*worst.order } else { order >= &*worst.order }
    }

    /// Offers rows to the lists of their slots; the slots that changed.
    fn offer(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<Vec<u32>> {
        let by: Vec<ArrayRef> =
            self.order.by.iter().filter_map(|(column, ..)| columns.get(*column).cloned()).collect();
        let orders = self.compared.convert_columns(&by).map_err(arrow_failed)?;
        let hopeful: Vec<u32> = slots
            .iter()
            .zip(orders.iter())
            .enumerate()
            .filter(|(_, (slot, order))| !self.is_beaten(**slot, order.data()))
            .map(|(row, _)| row as u32)
            .collect();
        let rows = UInt32Array::from(hopeful);
        let stored = self.stored.convert_columns(&take_all(columns, &rows)?).map_err(arrow_failed)?;
        let mut changed = Vec::with_capacity(rows.len());
        for (at, row) in rows.values().iter().enumerate() {
            let Some(slot) = slots.get(*row as usize) else { continue };
            let order = orders.row(*row as usize);
            // An earlier row of this batch may have been better.
            if !self.is_beaten(*slot, order.data()) {
                let entry = Ranked { order: order.data().into(), row: stored.row(at).data().into() };
                self.insert(*slot, entry);
                changed.push(*slot);
            }
        }
        Ok(changed)
    }

    fn insert(&mut self, slot: u32, entry: Ranked) {
        let (limit, last_wins) = (self.order.limit, self.order.last_wins);
        let Some(list) = self.lists.get_mut(slot as usize) else { return };
        let at = list.partition_point(|other| {
            if last_wins { other.order < entry.order } else { other.order <= entry.order }
        });
        self.bytes += entry.order.len() + entry.row.len();
        list.insert(at, entry);
        if list.len() > limit
            && let Some(gone) = list.pop()
        {
            self.bytes -= gone.order.len() + gone.row.len();
        }
    }

    fn list(&self, slot: u32) -> &[Ranked] {
        self.lists.get(slot as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rows of these slots, after the first `skip` of each, and their ranks.
    fn get(&self, slots: &[u32], skip: usize) -> Result<(Vec<ArrayRef>, Vec<i64>)> {
        let parser = self.stored.parser();
        let mut ranks = Vec::new();
        let mut rows = Vec::new();
        for slot in slots {
            for (at, ranked) in self.list(*slot).iter().enumerate().skip(skip) {
                ranks.push(at as i64 + 1);
                rows.push(parser.parse(&ranked.row));
            }
        }
        Ok((self.stored.convert_rows(rows).map_err(arrow_failed)?, ranks))
    }

    fn item(&self) -> Arc<Field> {
        Arc::new(Field::new("item", ArrowType::Struct(self.fields.clone()), true))
    }
}

impl StateColumn for BestRows {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.lists.len() {
            self.lists.resize_with(slots_end, Vec::new);
        }
    }

    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            let gone = self.lists.get_mut(*slot as usize).map(std::mem::take).unwrap_or_default();
            self.bytes -= gone.iter().map(|gone| gone.order.len() + gone.row.len()).sum::<usize>();
        }
    }

    fn saved_type(&self) -> ArrowType {
        ArrowType::List(self.item())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let (mut offsets, mut end) = (vec![0_i32], 0);
        for slot in slots {
            end += self.list(*slot).len();
            let end = i32::try_from(end);
            offsets
                .push(end.map_err(|_| Diagnostic::error(Code::RecordTooLarge, "too many rows are ranked"))?);
        }
        let (columns, _) = self.get(slots, 0)?;
        let rows = StructArray::try_new_with_length(self.fields.clone(), columns, None, end);
        let rows = Arc::new(rows.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(self.item(), offsets, rows, None).map_err(arrow_failed)?))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let wrong = || Diagnostic::error(Code::CheckpointUnusable, "a checkpoint holds no ranked rows");
        let lists = saved.as_list_opt::<i32>().ok_or_else(wrong)?;
        self.reset(slots);
        // Where the last of equal rows wins they are offered the other way round: the best was the last.
        let (mut owners, mut order) = (Vec::new(), Vec::new());
        for (row, slot) in slots.iter().enumerate() {
            let offsets = lists.value_offsets();
            let span = |at: usize| offsets.get(at).copied().unwrap_or(0) as u32;
            let rows = span(row)..span(row + 1);
            owners.extend(std::iter::repeat_n(*slot, rows.len()));
            if self.order.last_wins {
                order.extend(rows.rev());
            } else {
                order.extend(rows);
            }
        }
        let rows = lists.values().as_struct_opt().ok_or_else(wrong)?;
        self.offer(&owners, &take_all(rows.columns(), &UInt32Array::from(order))?)?;
        Ok(())
    }

    fn memory(&self) -> usize {
        self.lists.capacity() * size_of::<Vec<Ranked>>() + self.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The operator.
pub(crate) struct WindowRankOperator {
    keys: Vec<usize>,
    placement: Placement,
    best: Buckets<dyn StateColumn>,
    skip: usize,
    with_rank: bool,
    row_columns: usize,
    schema: SchemaRef,
    context: Context,
    clock: WindowClock,
    proctime: bool,
    watermark: i64,
    passed: i64,
    slots: Vec<u32>,
}

impl WindowRankOperator {
    pub(crate) fn new(node: &WindowRank, input: &Schema, context: &Context) -> Result<Self> {
        let placement = Placement::new(&node.windows, context)?;
        if placement.slicer().is_some_and(|slicer| !slicer.is_tumbling()) {
            return Err(Diagnostic::not_supported("ranking rows of windows that the rows do not carry"));
        }
        let (Windows::Assigned { local_time, .. } | Windows::Attached { local_time, .. }) = node.windows;
        let row_types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        let rows = positional_schema(row_types.iter().cloned());
        let key_types = node.keys.iter().map(|key| row_types.get(*key).cloned()).collect::<Option<Vec<_>>>();
        let mut key_types = key_types
            .ok_or_else(|| Diagnostic::error(Code::Internal, "a rank's key is no column of its input"))?;
        let grouping = key_types.len();
        if placement.is_attached() {
            key_types.push(ArrowType::Int64);
        }
        let limit = usize::try_from(node.ranks.1).unwrap_or(usize::MAX);
        let order = Order { by: node.order_by.clone(), limit, last_wins: wants_last(node, input) };
        BestRows::new(&rows, order.clone())?;
        let of = rows.clone();
        let best = Buckets::new(move || {
            let column: Box<dyn StateColumn> = Box::new(BestRows::new(&of, order.clone())?);
            Ok(Table::new(&key_types, vec![column])?.grouped_by(grouping))
        });
        let rank = node.with_rank.then_some(ArrowType::Int64);
        Ok(Self {
            keys: node.keys.clone(),
            placement,
            best,
            skip: usize::try_from(node.ranks.0.saturating_sub(1)).unwrap_or(usize::MAX),
            with_rank: node.with_rank,
            row_columns: row_types.len(),
            schema: positional_schema(row_types.into_iter().chain(rank)),
            context: context.clone(),
            clock: WindowClock::new(local_time, context.eval.time_zone),
            proctime: node.windows.time() == TimeAttribute::Proctime,
            watermark: i64::MIN,
            passed: i64::MIN,
            slots: Vec::new(),
        })
    }

    fn emit_until(&mut self, passed: i64, out: &mut Output<'_>) -> Result<()> {
        while let Some(window) = self.best.first().filter(|window| *window <= passed) {
            if let Some(table) = self.best.remove(window) {
                self.emit(&table, out)?;
            }
        }
        self.passed = self.passed.max(passed);
        Ok(())
    }

    fn emit(&self, table: &Table<dyn StateColumn>, out: &mut Output<'_>) -> Result<()> {
        let Some(best) = table.columns().first().and_then(|it| it.as_any().downcast_ref::<BestRows>()) else {
            return Err(not_ranked());
        };
        // Mostly a group has all the rows that are wanted, or one.
        let wanted = best.order.limit.saturating_sub(self.skip).max(1);
        let groups = (self.context.batch_rows / wanted).max(1);
        let mut live = table.keys().live();
        let mut slots = Vec::new();
        while next_slots(&mut live, groups, &mut slots) {
            let (mut columns, ranks) = best.get(&slots, self.skip)?;
            let rows = ranks.len();
            if rows == 0 {
                continue;
            }
            if self.with_rank {
                columns.push(Arc::new(Int64Array::from(ranks)));
            }
            (out.emit)(Rows::insert(batch(&self.schema, columns, rows)?))?;
        }
        Ok(())
    }
}

/// Whether the last row in time is wanted: one row, by falling time.
fn wants_last(node: &WindowRank, input: &Schema) -> bool {
    match node.order_by.as_slice() {
        [(column, true, _)] if node.ranks.1 == 1 => {
            input.fields.get(*column).is_some_and(|field| field.time.is_some())
        }
        _ => false,
    }
}

fn not_ranked() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a table of ranked rows keeps none")
}

impl Operator for WindowRankOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        only_inserts(&rows)?;
        if self.proctime {
            self.placement.advance((self.context.now_millis)());
        }
        let placed = self.placement.place(&rows.batch, out)?;
        for (window, part) in placed.parts {
            if !self.proctime && window <= self.passed {
                let mask = (part != Part::All).then(|| part.mask(placed.batch.num_rows()));
                (out.late)(&placed.batch, mask.as_ref())?;
                continue;
            }
            let count = part.rows(placed.batch.num_rows());
            // Rows from a source may carry their origin behind their columns; it ends here.
            let own = placed.batch.columns().iter().take(self.row_columns);
            let columns = own.map(|it| part.of(it)).collect::<Result<Vec<_>>>()?;
            let mut keys: Vec<ArrayRef> = Vec::with_capacity(self.keys.len() + 1);
            for key in &self.keys {
                keys.push(part.of(column(&placed.batch, *key)?)?);
            }
            if let Some(start) = &placed.start {
                keys.push(part.of(start)?);
            }
            let table = self.best.get_or_create(window)?;
            let hashes = table.hashes(&keys, count);
            self.slots.clear();
            table.find_or_insert(&keys, &hashes, &mut self.slots)?;
            let best = table.columns_mut().first_mut();
            let best =
                best.and_then(|it| it.as_any_mut().downcast_mut::<BestRows>()).ok_or_else(not_ranked)?;
            let changed = best.offer(&self.slots, &columns)?;
            table.touch(&changed);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if self.proctime || watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.emit_until(self.clock.passed(watermark), out)
    }

    fn next_timer(&self) -> Option<i64> {
        let window = self.proctime.then(|| self.best.first()).flatten()?;
        Some(self.clock.fires_at(window).saturating_add(1))
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        if !self.proctime {
            return Ok(());
        }
        let last = if now_millis == i64::MAX { i64::MAX } else { now_millis.saturating_sub(1) };
        self.emit_until(self.clock.passed(last), out)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.buckets("best", &mut self.best)?;
        snapshot.value("watermark", self.watermark);
        snapshot.value("passed", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.buckets("best", &mut self.best)?;
        self.watermark = lowest(state, "watermark");
        self.passed = lowest(state, "passed");
        Ok(())
    }

    fn memory(&self) -> usize {
        self.best.memory()
    }
}
