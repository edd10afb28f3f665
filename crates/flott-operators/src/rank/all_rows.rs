//! Top-N over rows that change: any row may become one of the first when another goes.
//!
//! **Keeps** all rows of each key, equal ones once with their number, and their order.
//!
//! **Emits** on flush what changed among the first n of each key since the last one, as
//! [`super::top_n`] does.
//!
//! **A watermark** does nothing to it.
//!
//! **A retraction** (`-U`, `-D`) takes one row out; the next one moves up. Of a row that isn't there it is
//! counted and has no effect.
//!
//! ```text
//!   rows     key, row ─► slot: number, since when          in a table
//!   order    key ─► (order, since when) ─► slot            a sorted map, made again on restore
//! ```
//! Of rows that compare equal the one that came earlier is the better.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::row::RowConverter;
use flott_plan::TopN;
use flott_state::{
    KeyTable, LongColumn, NO_SLOT, OperatorSnapshot, OperatorState, StateColumn, Table, hash_rows,
};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::changes::{Telling, Told};
use super::order_converter;
use super::order_key::OrderKey;
use super::top_n::telling;
use crate::arrow_failed;
use crate::keyed::idle::IdleKeys;
use crate::keyed::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, positional_schema};

const COUNTS: usize = 0;
const SINCE: usize = 1;
const STAMPS: usize = 2;

/// A row's place among those of its key.
type Place = (OrderKey, i64);

/// The rows of one key.
#[derive(Debug, Default)]
struct Group {
    order: BTreeMap<Place, u32>,
    /// Its position in `touched`, plus one.
    pending: u32,
}

/// A key that changed, and its first rows at the last flush.
#[derive(Debug)]
struct Touched {
    group: u32,
    was: Vec<u32>,
}

/// The operator.
pub(crate) struct AllRowsOperator {
    /// The row's columns as the table's key has them: those of the grouping first.
    stored: Vec<usize>,
    /// Where each of the row's columns is among those.
    restored: Vec<usize>,
    grouping: usize,
    order_by: Vec<usize>,
    converter: RowConverter,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    groups: KeyTable,
    orders: Vec<Group>,
    /// By row: its group.
    group_of: Vec<u32>,
    next: i64,
    touched: Vec<Touched>,
    /// Rows whose number came to zero.
    emptied: Vec<u32>,
    telling: Telling,
    with_rank: bool,
    schema: SchemaRef,
    order_bytes: usize,
    context: Context,
}

impl AllRowsOperator {
    pub(crate) fn new(node: &TopN, input: &Schema, context: &Context) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        let mut stored = node.keys.clone();
        stored.extend((0..types.len()).filter(|at| !node.keys.contains(at)));
        let stored_types = stored.iter().map(|at| types.get(*at).cloned()).collect::<Option<Vec<_>>>();
        let stored_types = stored_types
            .ok_or_else(|| Diagnostic::error(Code::Internal, "a rank's key is no column of its input"))?;
        let position = |at: usize| stored.iter().position(|it| *it == at).unwrap_or_default();
        let restored = (0..types.len()).map(position).collect();
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, STAMPS, context));
        let mut columns: Vec<Box<dyn StateColumn>> =
            vec![Box::new(LongColumn::new(0)), Box::new(LongColumn::new(0))];
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        let grouping = node.keys.len();
        let group_types = stored_types.get(..grouping).unwrap_or_default();
        let rank = node.with_rank.then_some(ArrowType::Int64);
        Ok(Self {
            groups: KeyTable::new(group_types)?,
            table: Table::new(&stored_types, columns)?.grouped_by(grouping),
            schema: positional_schema(types.into_iter().chain(rank)),
            stored,
            restored,
            grouping,
            order_by: node.order_by.iter().map(|it| it.0).collect(),
            converter: order_converter(&node.order_by, input)?,
            idle,
            orders: Vec::new(),
            group_of: Vec::new(),
            next: 0,
            touched: Vec::new(),
            emptied: Vec::new(),
            telling: telling(node),
            with_rank: node.with_rank,
            order_bytes: 0,
            context: context.clone(),
        })
    }

    /// The places of rows in their order, without since when.
    fn order_keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<OrderKey>> {
        let by: Vec<ArrayRef> = self.order_by.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        if by.is_empty() || rows == 0 {
            return Ok(vec![OrderKey::new(&[]); rows]);
        }
        let converted = self.converter.convert_columns(&by).map_err(arrow_failed)?;
        Ok(converted.iter().map(|row| OrderKey::new(row.data())).collect())
    }

    /// The groups of rows whose key columns these are; new ones are made.
    fn groups_of(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let hashes = hash_rows(keys, rows);
        let (mut groups, mut inserted) = (Vec::new(), Vec::new());
        self.groups.find_or_insert(keys, &hashes, &mut groups, &mut inserted)?;
        let end = self.groups.slots_end();
        if end > self.orders.len() {
            self.orders.resize_with(end, Group::default);
        }
        Ok(groups)
    }

    /// The slots of the first rows of a group, equal ones as often as they are there.
    fn first_rows(&self, group: u32) -> Result<Vec<u32>> {
        let counts: &LongColumn = column_of(&self.table, COUNTS)?;
        let mut rows = Vec::new();
        let order = self.orders.get(group as usize).map(|group| &group.order);
        for slot in order.into_iter().flat_map(BTreeMap::values) {
            let count = counts.values.get(*slot as usize).copied().unwrap_or(0);
            let room = self.telling.limit - rows.len();
            rows.extend(std::iter::repeat_n(*slot, usize::try_from(count).unwrap_or(0).min(room)));
            if rows.len() >= self.telling.limit {
                break;
            }
        }
        Ok(rows)
    }

    /// The group is about to change.
    fn touch(&mut self, group: u32) -> Result<()> {
        if self.context.batch_mode || self.orders.get(group as usize).is_none_or(|it| it.pending != 0) {
            return Ok(());
        }
        let was = self.first_rows(group)?;
        self.touched.push(Touched { group, was });
        let position = self.touched.len() as u32;
        if let Some(group) = self.orders.get_mut(group as usize) {
            group.pending = position;
        }
        Ok(())
    }

    /// Adds a row, or takes one away. Whether it was there to be taken.
    fn apply(&mut self, slot: u32, group: u32, order: &OrderKey, added: bool) -> Result<bool> {
        self.touch(group)?;
        let [counts, since, ..] = self.table.columns_mut() else { return Ok(false) };
        let (Some(counts), Some(since)) = (
            counts.as_any_mut().downcast_mut::<LongColumn>(),
            since.as_any_mut().downcast_mut::<LongColumn>(),
        ) else {
            return Ok(false);
        };
        let (Some(count), Some(since)) =
            (counts.values.get_mut(slot as usize), since.values.get_mut(slot as usize))
        else {
            return Ok(false);
        };
        let Some(group) = self.orders.get_mut(group as usize) else { return Ok(false) };
        if added {
            *count = count.saturating_add(1);
            if *count == 1 {
                *since = self.next;
                self.next = self.next.saturating_add(1);
                self.order_bytes += order.memory();
                group.order.insert((order.clone(), *since), slot);
            }
            return Ok(true);
        }
        if *count == 0 {
            self.emptied.push(slot);
            return Ok(false);
        }
        *count -= 1;
        if *count == 0 {
            group.order.remove(&(order.clone(), *since));
            self.order_bytes = self.order_bytes.saturating_sub(order.memory());
            self.emptied.push(slot);
        }
        Ok(true)
    }

    fn emit(&self, told: &[Told<u32>], kinds: bool, out: &mut Output<'_>) -> Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = told.iter().map(|it| it.row).collect();
        let stored = self.table.keys().keys(&slots)?;
        let mut columns: Vec<ArrayRef> =
            self.restored.iter().filter_map(|at| stored.get(*at).cloned()).collect();
        if self.with_rank {
            columns.push(Arc::new(told.iter().map(|it| it.rank).collect::<Int64Array>()));
        }
        let rows = batch(&self.schema, columns, told.len())?;
        let kinds = kinds.then(|| told.iter().map(|it| it.kind).collect::<Int8Array>());
        (out.emit)(Rows::changes(rows, kinds))
    }

    fn emit_changes(&mut self, out: &mut Output<'_>) -> Result<()> {
        let mut told = Vec::new();
        for Touched { group, was } in std::mem::take(&mut self.touched) {
            let is = self.first_rows(group)?;
            self.telling.tell(&was, &is, |_, _| false, &mut told);
            if told.len() >= self.context.batch_rows {
                self.emit(&told, true, out)?;
                told.clear();
            }
            if let Some(group) = self.orders.get_mut(group as usize) {
                group.pending = 0;
            }
        }
        self.emit(&told, true, out)?;
        self.forget_emptied()
    }

    /// Rows that nobody has any more go from memory; told they were.
    fn forget_emptied(&mut self) -> Result<()> {
        if self.emptied.is_empty() {
            return Ok(());
        }
        let mut emptied = std::mem::take(&mut self.emptied);
        let counts: &LongColumn = column_of(&self.table, COUNTS)?;
        emptied
            .retain(|slot| counts.values.get(*slot as usize) == Some(&0) && self.table.keys().is_live(*slot));
        emptied.sort_unstable();
        emptied.dedup();
        self.table.remove(&emptied)?;
        let groups = emptied.iter().filter_map(|slot| self.group_of.get(*slot as usize).copied());
        for group in groups.collect::<Vec<_>>() {
            if self.orders.get(group as usize).is_some_and(|it| it.order.is_empty()) {
                self.groups.remove(group);
            }
        }
        Ok(())
    }

    fn note_groups(&mut self, slots: &[u32], groups: &[u32]) {
        self.group_of.resize(self.table.keys().slots_end(), NO_SLOT);
        for (slot, group) in slots.iter().zip(groups) {
            if let Some(place) = self.group_of.get_mut(*slot as usize) {
                *place = *group;
            }
        }
    }

    /// Makes the order again from what was restored.
    fn sort(&mut self) -> Result<()> {
        let slots: Vec<u32> = self.table.keys().live().collect();
        for slots in slots.chunks(self.context.batch_rows.max(1)) {
            let stored = self.table.keys().keys(slots)?;
            let groups = self.groups_of(stored.get(..self.grouping).unwrap_or_default(), slots.len())?;
            let columns: Vec<ArrayRef> =
                self.restored.iter().filter_map(|at| stored.get(*at).cloned()).collect();
            let orders = self.order_keys(&columns, slots.len())?;
            self.note_groups(slots, &groups);
            let since: &LongColumn = column_of(&self.table, SINCE)?;
            for ((slot, group), order) in slots.iter().zip(groups).zip(orders) {
                let since = since.values.get(*slot as usize).copied().unwrap_or(0);
                self.next = self.next.max(since.saturating_add(1));
                self.order_bytes += order.memory();
                if let Some(group) = self.orders.get_mut(group as usize) {
                    group.order.insert((order, since), *slot);
                }
            }
        }
        Ok(())
    }

    /// Forgets rows that nothing has touched for too long, and says nothing.
    fn forget_idle(&mut self, now_millis: i64) -> Result<()> {
        let Some(idle) = &mut self.idle else { return Ok(()) };
        let old = idle.sweep(&mut self.table, now_millis)?;
        if old.is_empty() {
            return Ok(());
        }
        let stored = self.table.keys().keys(&old)?;
        let columns: Vec<ArrayRef> = self.restored.iter().filter_map(|at| stored.get(*at).cloned()).collect();
        let orders = self.order_keys(&columns, old.len())?;
        let since: &LongColumn = column_of(&self.table, SINCE)?;
        for (slot, order) in old.iter().zip(orders) {
            let since = since.values.get(*slot as usize).copied().unwrap_or(0);
            let group = self.group_of.get(*slot as usize).copied().unwrap_or(NO_SLOT);
            if let Some(group) = self.orders.get_mut(group as usize) {
                group.order.remove(&(order, since));
            }
        }
        let counts: &mut LongColumn = column_of_mut(&mut self.table, COUNTS)?;
        for slot in &old {
            if let Some(count) = counts.values.get_mut(*slot as usize) {
                *count = 0;
            }
        }
        self.emptied.extend(old);
        self.forget_emptied()
    }
}

impl Operator for AllRowsOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let count = rows.batch.num_rows();
        let columns = rows.batch.columns();
        let stored: Vec<ArrayRef> = self.stored.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        let hashes = self.table.hashes(&stored, count);
        let mut slots = Vec::new();
        self.table.find_or_insert(&stored, &hashes, &mut slots)?;
        let groups = self.groups_of(stored.get(..self.grouping).unwrap_or_default(), count)?;
        self.note_groups(&slots, &groups);
        let orders = self.order_keys(columns, count)?;
        for (row, ((slot, group), order)) in slots.iter().zip(&groups).zip(&orders).enumerate() {
            let added = rows.kinds.as_ref().is_none_or(|kinds| matches!(kinds.value(row), 0 | 2));
            if !self.apply(*slot, *group, order, added)? {
                *out.unmatched += 1;
            }
        }
        self.table.touch(&slots);
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, slots.into_iter())?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        self.flush(out)?;
        self.forget_idle(now_millis)
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.emit_changes(out)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("rows", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("rows", &mut self.table)?;
        self.sort()?;
        let limit = self.telling.limit;
        let earlier = state.number("last rank").and_then(|it| usize::try_from(it).ok());
        if let Some(earlier) = earlier.filter(|it| *it != limit) {
            // As many were told as were wanted then: the difference is told at the first flush.
            self.telling.limit = earlier;
            let groups: Vec<u32> = self.groups.live().collect();
            groups.into_iter().try_for_each(|group| self.touch(group))?;
            self.telling.limit = limit;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let places = self.table.len() * (size_of::<Place>() + 4) * 3 / 2;
        let orders = self.orders.capacity() * size_of::<Group>() + self.order_bytes;
        self.table.memory() + self.groups.memory() + self.group_of.capacity() * 4 + places + orders
    }
}
