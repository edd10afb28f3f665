//! Joins rows of the same window.
//!
//! **Keeps** the rows of both sides, by the end of their window.
//!
//! **Emits** a window's pairs when it is complete; for outer joins also the rows that found none.
//!
//! **A watermark** completes the windows whose last millisecond it reaches; their rows are
//! dropped. A row of a complete window is late.
//!
//! ```text
//!   left  ─► window 12:05: rows ─┐ watermark
//!   right ─► window 12:05: rows ─┴─► right by key │ each left row ─► pairs ─ condition ─► out
//! ```
//! NULL equals nothing: such rows are kept for what an outer or anti join says about them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array, new_null_array};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_expr::Program;
use flott_plan::{WindowJoin, Windows};
use flott_sql::JoinKind;
use flott_state::{
    Buckets, KeyTable, NO_SLOT, OperatorSnapshot, OperatorState, StateColumn, Table, hash_rows,
};
use flott_types::{Code, Diagnostic, Result, Schema, TimeAttribute};

use super::assign::millis;
use super::emit::{batch, positional_schema};
use super::local_time::WindowClock;
use super::pane::take_all;
use super::place::{Placement, column, lowest, only_inserts};
use super::rows::{RowStore, row_schema, store, stored};
use super::split::Part;
use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};

/// One input.
struct Side {
    keys: Vec<usize>,
    placement: Placement,
    /// Column of the window's start.
    start: Option<usize>,
    schema: SchemaRef,
    rows: Buckets<dyn StateColumn>,
    name: &'static str,
}

impl Side {
    fn new(
        name: &'static str,
        keys: Vec<usize>,
        windows: &Windows,
        input: &Schema,
        context: &Context,
    ) -> Result<Self> {
        let placement = Placement::new(windows, context)?;
        let start = match &placement {
            Placement::Attached { start, .. } => Some(*start),
            Placement::Assigned { assigner, .. } | Placement::Clock { assigner, .. } => {
                if !assigner.slicer.is_tumbling() {
                    return Err(Diagnostic::not_supported("joining windows that the rows do not carry"));
                }
                None
            }
        };
        let schema = row_schema(input);
        let types = keys.iter().map(|key| input.fields.get(*key).map(|field| field.data_type.arrow_type()));
        let mut types = types
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Diagnostic::error(Code::Internal, "a join's key is no column of its input"))?;
        let grouping = types.len();
        types.push(ArrowType::Int64);
        let of = schema.clone();
        let rows = Buckets::new(move || {
            let column: Box<dyn StateColumn> = Box::new(RowStore::new(of.clone()));
            Ok(Table::new(&types, vec![column])?.grouped_by(grouping))
        });
        Ok(Self { keys, placement, start, schema, rows, name })
    }

    /// Keeps rows of a window. `number`: of the first one.
    fn add(&mut self, placed: &RecordBatch, window: i64, part: &Part, number: i64) -> Result<i64> {
        let rows = part.rows(placed.num_rows());
        // Copied, so that a few rows don't keep a large batch alive.
        let all = (0..placed.num_rows() as u32).collect::<UInt32Array>();
        let part = match part {
            Part::Range(..) => Part::Rows(
                arrow::array::AsArray::as_primitive(&part.of(&(Arc::new(all) as ArrayRef))?).clone(),
            ),
            other => other.clone(),
        };
        // Rows from a source may carry their origin behind their columns; it ends here.
        let own = placed.columns().iter().take(self.schema.fields().len());
        let columns = own.map(|it| part.of(it)).collect::<Result<Vec<_>>>()?;
        let mut keys: Vec<ArrayRef> = self.keys.iter().filter_map(|key| columns.get(*key).cloned()).collect();
        let next = number.saturating_add(rows as i64);
        keys.push(Arc::new(Int64Array::from_iter_values(number..next)));
        let table = self.rows.get_or_create(window)?;
        let hashes = table.hashes(&keys, rows);
        table.find_or_insert(&keys, &hashes, &mut Vec::with_capacity(rows))?;
        store(table.columns_mut(), columns, rows)?;
        Ok(next)
    }

    /// The rows of a window, taken out.
    fn take(&mut self, window: i64) -> Result<RecordBatch> {
        match self.rows.remove(window) {
            Some(table) => stored(table.columns()),
            None => Ok(RecordBatch::new_empty(self.schema.clone())),
        }
    }

    /// What must be equal: the keys, and the windows' start.
    fn join_keys(&self, rows: &RecordBatch, with_start: bool) -> Result<Vec<ArrayRef>> {
        let mut keys = self.keys.iter().map(|key| column(rows, *key).cloned()).collect::<Result<Vec<_>>>()?;
        if let Some(start) = self.start.filter(|_| with_start) {
            keys.push(Arc::new(Int64Array::new(millis(column(rows, start)?)?, None)));
        }
        Ok(keys)
    }

    /// The highest number of a row.
    fn highest(&self) -> Result<i64> {
        let mut highest = -1;
        for (_, table) in self.rows.iter() {
            let slots: Vec<u32> = table.keys().live().collect();
            let keys = table.keys().keys(&slots)?;
            let numbers = keys.last().and_then(|it| it.as_any().downcast_ref::<Int64Array>());
            highest = highest.max(numbers.and_then(arrow::compute::max).unwrap_or(-1));
        }
        Ok(highest)
    }
}

/// The operator.
pub(crate) struct WindowJoinOperator {
    left: Side,
    right: Side,
    kind: JoinKind,
    condition: Option<Program>,
    schema: SchemaRef,
    pair_schema: SchemaRef,
    context: Context,
    clock: WindowClock,
    proctime: bool,
    watermark: i64,
    passed: i64,
    next_number: i64,
}

impl WindowJoinOperator {
    pub(crate) fn new(node: &WindowJoin, left: &Schema, right: &Schema, context: &Context) -> Result<Self> {
        let (left_keys, right_keys) = node.keys.iter().copied().unzip();
        let left_side = Side::new("left", left_keys, &node.left_windows, left, context)?;
        let right_side = Side::new("right", right_keys, &node.right_windows, right, context)?;
        let (Windows::Assigned { local_time, .. } | Windows::Attached { local_time, .. }) = node.left_windows;
        let types =
            |schema: &Schema| schema.fields.iter().map(|it| it.data_type.arrow_type()).collect::<Vec<_>>();
        let pair_schema = positional_schema(types(left).into_iter().chain(types(right)));
        let left_only = matches!(node.kind, JoinKind::Semi | JoinKind::Anti);
        Ok(Self {
            schema: if left_only { left_side.schema.clone() } else { pair_schema.clone() },
            pair_schema,
            left: left_side,
            right: right_side,
            kind: node.kind,
            condition: node.condition.clone().map(|condition| Program::new(vec![condition])),
            context: context.clone(),
            clock: WindowClock::new(local_time, context.eval.time_zone),
            proctime: node.left_windows.time() == TimeAttribute::Proctime,
            watermark: i64::MIN,
            passed: i64::MIN,
            next_number: 0,
        })
    }

    fn next_window(&self) -> Option<i64> {
        self.left.rows.first().into_iter().chain(self.right.rows.first()).min()
    }

    fn emit_until(&mut self, passed: i64, out: &mut Output<'_>) -> Result<()> {
        while let Some(window) = self.next_window().filter(|window| *window <= passed) {
            let (left, right) = (self.left.take(window)?, self.right.take(window)?);
            self.join(&left, &right, out)?;
        }
        self.passed = self.passed.max(passed);
        Ok(())
    }

    fn join(&self, left: &RecordBatch, right: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let with_start = self.left.start.is_some() && self.right.start.is_some();
        let left_keys = self.left.join_keys(left, with_start)?;
        let index = Index::new(&self.right.join_keys(right, with_start)?, right.num_rows(), &left_keys)?;
        let places = index.find(&left_keys, left.num_rows())?;
        let mut found = Found { left: vec![false; left.num_rows()], right: vec![false; right.num_rows()] };
        if self.condition.is_none() && matches!(self.kind, JoinKind::Semi | JoinKind::Anti) {
            for (found, place) in found.left.iter_mut().zip(&places) {
                *found = !index.rows(*place).is_empty();
            }
        } else {
            self.pairs(left, right, &index, &places, &mut found, out)?;
        }
        match self.kind {
            JoinKind::Inner => Ok(()),
            JoinKind::Left => self.alone(left, true, &found.left, out),
            JoinKind::Right => self.alone(right, false, &found.right, out),
            JoinKind::Full => {
                self.alone(left, true, &found.left, out)?;
                self.alone(right, false, &found.right, out)
            }
            JoinKind::Semi => self.left_rows(left, &found.left, true, out),
            JoinKind::Anti => self.left_rows(left, &found.left, false, out),
        }
    }

    /// Goes over all pairs, in chunks; emits them if the kind of join shows pairs.
    fn pairs(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        index: &Index,
        places: &[u32],
        found: &mut Found,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let chunk = self.context.batch_rows.max(1);
        let (mut lefts, mut rights) = (Vec::with_capacity(chunk), Vec::with_capacity(chunk));
        for (row, place) in places.iter().enumerate() {
            for other in index.rows(*place) {
                lefts.push(row as u32);
                rights.push(*other);
                if lefts.len() == chunk {
                    self.emit_pairs(left, right, &mut lefts, &mut rights, found, out)?;
                }
            }
        }
        self.emit_pairs(left, right, &mut lefts, &mut rights, found, out)
    }

    fn emit_pairs(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        lefts: &mut Vec<u32>,
        rights: &mut Vec<u32>,
        found: &mut Found,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let rows = lefts.len();
        if rows == 0 {
            return Ok(());
        }
        let (left_rows, right_rows) = (std::mem::take(lefts).into(), std::mem::take(rights).into());
        let mut columns = take_all(left.columns(), &left_rows)?;
        columns.extend(take_all(right.columns(), &right_rows)?);
        let mut pairs = batch(&self.pair_schema, columns, rows)?;
        let mut kept: Option<BooleanArray> = None;
        if let Some(condition) = &self.condition {
            let mask = condition.evaluate_predicate(&pairs, &self.context.eval);
            let mask = mask.map_err(|error| Diagnostic::error(error.code, error.message))?;
            pairs = arrow::compute::filter_record_batch(&pairs, &mask).map_err(arrow_failed)?;
            kept = Some(mask);
        }
        let mark = |flags: &mut [bool], rows: &UInt32Array| {
            for (at, row) in rows.values().iter().enumerate() {
                if kept.as_ref().is_none_or(|kept| kept.value(at))
                    && let Some(flag) = flags.get_mut(*row as usize)
                {
                    *flag = true;
                }
            }
        };
        mark(&mut found.left, &left_rows);
        mark(&mut found.right, &right_rows);
        if pairs.num_rows() > 0 && !matches!(self.kind, JoinKind::Semi | JoinKind::Anti) {
            (out.emit)(Rows::insert(pairs))?;
        }
        Ok(())
    }

    /// Rows of one side that found no other, with NULLs for the other side.
    fn alone(&self, rows: &RecordBatch, is_left: bool, found: &[bool], out: &mut Output<'_>) -> Result<()> {
        for alone in chosen(found, false).chunks(self.context.batch_rows.max(1)) {
            let own = take_all(rows.columns(), &alone.to_vec().into())?;
            let other = if is_left { &self.right.schema } else { &self.left.schema };
            let nulls = other.fields().iter().map(|field| new_null_array(field.data_type(), alone.len()));
            let columns =
                if is_left { own.into_iter().chain(nulls).collect() } else { nulls.chain(own).collect() };
            (out.emit)(Rows::insert(batch(&self.schema, columns, alone.len())?))?;
        }
        Ok(())
    }

    /// The left rows that found another, or that found none.
    fn left_rows(
        &self,
        left: &RecordBatch,
        found: &[bool],
        wanted: bool,
        out: &mut Output<'_>,
    ) -> Result<()> {
        for rows in chosen(found, wanted).chunks(self.context.batch_rows.max(1)) {
            let columns = take_all(left.columns(), &rows.to_vec().into())?;
            (out.emit)(Rows::insert(batch(&self.schema, columns, rows.len())?))?;
        }
        Ok(())
    }
}

/// Which rows have found a partner.
struct Found {
    left: Vec<bool>,
    right: Vec<bool>,
}

fn chosen(flags: &[bool], wanted: bool) -> Vec<u32> {
    let rows = flags.iter().enumerate().filter(|(_, flag)| **flag == wanted);
    rows.map(|(row, _)| row as u32).collect()
}

/// Rows by key. Rows with a NULL in their key are not in it.
struct Index {
    keys: KeyTable,
    /// Where each key's rows begin.
    offsets: Vec<u32>,
    rows: Vec<u32>,
}

impl Index {
    fn new(keys: &[ArrayRef], rows: usize, others: &[ArrayRef]) -> Result<Self> {
        let types: Vec<ArrowType> = keys.iter().map(|key| key.data_type().clone()).collect();
        if !types.iter().eq(others.iter().map(|key| key.data_type())) {
            return Err(Diagnostic::error(
                Code::Internal,
                "the sides of a join have keys of different types",
            ));
        }
        let mut table = KeyTable::new(&types)?;
        let (mut slots, mut inserted) = (Vec::with_capacity(rows), Vec::new());
        table.find_or_insert(keys, &hash_rows(keys, rows), &mut slots, &mut inserted)?;
        forget_nulls(keys, &mut slots);
        let mut offsets = vec![0_u32; table.slots_end() + 1];
        for slot in slots.iter().filter(|slot| **slot != NO_SLOT) {
            if let Some(count) = offsets.get_mut(*slot as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let (mut next, mut order) = (offsets.clone(), vec![0; sum as usize]);
        for (row, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
            if let Some(at) = next.get_mut(*slot as usize) {
                if let Some(place) = order.get_mut(*at as usize) {
                    *place = row as u32;
                }
                *at += 1;
            }
        }
        Ok(Self { keys: table, offsets, rows: order })
    }

    /// Where the rows of each key are.
    fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut slots = Vec::with_capacity(rows);
        self.keys.find(keys, &hash_rows(keys, rows), &mut slots)?;
        forget_nulls(keys, &mut slots);
        Ok(slots)
    }

    fn rows(&self, place: u32) -> &[u32] {
        let at = place as usize;
        match (self.offsets.get(at), self.offsets.get(at.wrapping_add(1))) {
            (Some(start), Some(end)) => self.rows.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn forget_nulls(keys: &[ArrayRef], slots: &mut [u32]) {
    for nulls in keys.iter().filter_map(|key| key.logical_nulls()).filter(|nulls| nulls.null_count() > 0) {
        for (slot, valid) in slots.iter_mut().zip(nulls.iter()) {
            if !valid {
                *slot = NO_SLOT;
            }
        }
    }
}

impl Operator for WindowJoinOperator {
    fn on_rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        only_inserts(&rows)?;
        let side = if input == 0 { &mut self.left } else { &mut self.right };
        if self.proctime {
            side.placement.advance((self.context.now_millis)());
        }
        let placed = side.placement.place(&rows.batch, out)?;
        for (window, part) in placed.parts {
            if !self.proctime && window <= self.passed {
                let mask = (part != Part::All).then(|| part.mask(placed.batch.num_rows()));
                (out.late)(&placed.batch, mask.as_ref())?;
                continue;
            }
            self.next_number = side.add(&placed.batch, window, &part, self.next_number)?;
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
        let window = self.proctime.then(|| self.next_window()).flatten()?;
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
        for side in [&mut self.left, &mut self.right] {
            snapshot.buckets(side.name, &mut side.rows)?;
        }
        snapshot.value("watermark", self.watermark);
        snapshot.value("passed", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        for side in [&mut self.left, &mut self.right] {
            state.buckets(side.name, &mut side.rows)?;
            self.next_number = self.next_number.max(side.highest()? + 1);
        }
        self.watermark = lowest(state, "watermark");
        self.passed = lowest(state, "passed");
        Ok(())
    }

    fn memory(&self) -> usize {
        self.left.rows.memory() + self.right.rows.memory()
    }
}
