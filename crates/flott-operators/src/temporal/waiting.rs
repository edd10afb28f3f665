//! Left rows that wait for the watermark.
//!
//! ```text
//!   table  (key, number) ─► the other columns, kind         state
//!   queue  (time, number, slot), the earliest first         derived
//! ```
//! Key columns stand in the table's key only, floating ones excepted: keys know one zero.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int8Type, Int64Type};
use flott_state::{ArrowColumn, LongColumn, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result};

use crate::window::millis;

/// The rows.
pub(super) struct Waiting {
    table: Table<dyn StateColumn>,
    keys: Vec<usize>,
    /// Positions of the columns that are kept beside the key.
    kept: Vec<usize>,
    width: usize,
    time: usize,
    queue: BinaryHeap<Reverse<(i64, i64, u32)>>,
    next_number: i64,
    /// Some row has said what it does.
    with_kinds: bool,
}

/// Where columns that aren't the rows' stand behind those that are: kind, time of arrival.
const KIND: usize = 0;
const SINCE: usize = 1;

/// The columns of a row that its key doesn't hold.
pub(super) fn beside_key(types: &[ArrowType], keys: &[usize]) -> Vec<usize> {
    let beside = |(at, data_type): &(usize, &ArrowType)| !keys.contains(at) || data_type.is_floating();
    types.iter().enumerate().filter(beside).map(|(at, _)| at).collect()
}

/// The types of key columns.
pub(super) fn key_types(types: &[ArrowType], keys: &[usize]) -> Result<Vec<ArrowType>> {
    let of = keys.iter().map(|key| types.get(*key).cloned()).collect::<Option<Vec<_>>>();
    of.ok_or_else(|| Diagnostic::error(Code::Internal, "a join's key is no column of its input"))
}

/// Whole rows: of the key's columns and those beside it.
pub(super) fn whole(
    width: usize,
    keys: (&[usize], &[ArrayRef]),
    beside: (&[usize], Vec<ArrayRef>),
) -> Result<Vec<ArrayRef>> {
    let mut columns: Vec<Option<ArrayRef>> = vec![None; width];
    let all = keys.0.iter().copied().zip(keys.1.iter().cloned());
    for (at, column) in all.chain(beside.0.iter().copied().zip(beside.1)) {
        if let Some(place) = columns.get_mut(at) {
            *place = Some(column);
        }
    }
    let whole = columns.into_iter().collect::<Option<Vec<_>>>();
    whole.ok_or_else(|| Diagnostic::error(Code::Internal, "a row was kept without one of its columns"))
}

/// A column of values of a table.
pub(super) fn values(table: &Table<dyn StateColumn>, at: usize) -> Result<&ArrowColumn> {
    let column = table.columns().get(at).and_then(|it| it.as_any().downcast_ref::<ArrowColumn>());
    column.ok_or_else(missing)
}

/// Sets one row's values of a table after the other.
pub(super) fn set(
    table: &mut Table<dyn StateColumn>,
    at: usize,
    slots: &[u32],
    values: &ArrayRef,
) -> Result<()> {
    let column = table.columns_mut().get_mut(at).and_then(|it| it.as_any_mut().downcast_mut::<ArrowColumn>());
    column.ok_or_else(missing)?.set(slots, values)
}

fn missing() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a table of a temporal join lacks a column")
}

impl Waiting {
    pub(super) fn new(types: &[ArrowType], keys: &[usize], time: usize) -> Result<Self> {
        let kept = beside_key(types, keys);
        let mut all = key_types(types, keys)?;
        let grouping = all.len();
        all.push(ArrowType::Int64);
        let mut columns: Vec<Box<dyn StateColumn>> = Vec::with_capacity(kept.len() + 2);
        for data_type in kept.iter().filter_map(|at| types.get(*at)) {
            columns.push(Box::new(ArrowColumn::new(data_type.clone())?));
        }
        columns.push(Box::new(ArrowColumn::new(ArrowType::Int8)?));
        columns.push(Box::new(LongColumn::new(i64::MAX)));
        Ok(Self {
            table: Table::new(&all, columns)?.grouped_by(grouping),
            keys: keys.to_vec(),
            kept,
            width: types.len(),
            time,
            queue: BinaryHeap::new(),
            next_number: 0,
            with_kinds: false,
        })
    }

    /// Keeps rows. `since`: the time of their arrival, where it counts.
    pub(super) fn add(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        kinds: Option<&Int8Array>,
        since: Option<i64>,
    ) -> Result<()> {
        let column = |at: &usize| columns.get(*at).cloned().ok_or_else(missing);
        let mut keys = self.keys.iter().map(column).collect::<Result<Vec<_>>>()?;
        let first = self.next_number;
        self.next_number = first.saturating_add(rows as i64);
        keys.push(Arc::new(Int64Array::from_iter_values(first..self.next_number)));
        let hashes = self.table.hashes(&keys, rows);
        let mut slots = Vec::with_capacity(rows);
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        for (at, kept) in self.kept.iter().enumerate() {
            set(&mut self.table, at, &slots, &column(kept)?)?;
        }
        if let Some(kinds) = kinds {
            self.with_kinds = true;
            set(&mut self.table, self.kept.len() + KIND, &slots, &(Arc::new(kinds.clone()) as ArrayRef))?;
        }
        if let Some(since) = since {
            let at = self.kept.len() + SINCE;
            let column = self.table.columns_mut().get_mut(at).ok_or_else(missing)?;
            column.load(&slots, &(Arc::new(Int64Array::from(vec![since; rows])) as ArrayRef))?;
        }
        let times = millis(&column(&self.time)?)?;
        let numbered = times.iter().copied().zip(first..).zip(slots);
        self.queue.extend(numbered.map(|((time, number), slot)| Reverse((time, number, slot))));
        Ok(())
    }

    /// The rows whose time the watermark has reached, in the order they came.
    pub(super) fn due(&mut self, watermark: i64) -> Vec<u32> {
        let mut due = Vec::new();
        if watermark == i64::MAX {
            due.extend(self.queue.drain().map(|Reverse((_, number, slot))| (number, slot)));
        }
        while let Some(Reverse((time, number, slot))) = self.queue.peek().copied() {
            if time > watermark {
                break;
            }
            due.push((number, slot));
            self.queue.pop();
        }
        due.sort_unstable();
        due.into_iter().map(|it| it.1).collect()
    }

    /// All columns of these rows.
    pub(super) fn rows(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let keys = self.table.keys().keys(slots)?;
        let beside = (0..self.kept.len()).map(|at| values(&self.table, at)?.get(slots));
        whole(self.width, (&self.keys, &keys), (&self.kept, beside.collect::<Result<_>>()?))
    }

    /// What these rows do.
    pub(super) fn kinds(&self, slots: &[u32]) -> Result<Option<Int8Array>> {
        if !self.with_kinds {
            return Ok(None);
        }
        let kinds = values(&self.table, self.kept.len() + KIND)?.get(slots)?;
        // A row that says nothing is new.
        Ok(Some(kinds.as_primitive::<Int8Type>().iter().map(|kind| Some(kind.unwrap_or(0))).collect()))
    }

    pub(super) fn remove(&mut self, slots: &[u32]) -> Result<()> {
        self.table.remove(slots)
    }

    /// Drops rows that came before this and still wait.
    pub(super) fn drop_idle(&mut self, before: i64) -> Result<()> {
        let live: Vec<u32> = self.table.keys().live().collect();
        let since = self.table.columns().get(self.kept.len() + SINCE).ok_or_else(missing)?.save(&live)?;
        let since = since.as_primitive::<Int64Type>().values();
        let idle: Vec<u32> = live.iter().zip(since).filter(|it| *it.1 < before).map(|it| *it.0).collect();
        if idle.is_empty() {
            return Ok(());
        }
        self.table.remove(&idle)?;
        let gone: std::collections::HashSet<u32> = idle.into_iter().collect();
        self.queue.retain(|Reverse((_, _, slot))| !gone.contains(slot));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("waiting", &mut self.table)
    }

    pub(super) fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("waiting", &mut self.table)?;
        let slots: Vec<u32> = self.table.keys().live().collect();
        let keys = self.table.keys().keys(&slots)?;
        let numbers = keys.last().and_then(|it| it.as_primitive_opt::<Int64Type>()).ok_or_else(missing)?;
        let rows = self.rows(&slots)?;
        let times = millis(rows.get(self.time).ok_or_else(missing)?)?;
        let entries = times.iter().zip(numbers.values()).zip(&slots);
        self.queue = entries.map(|((time, number), slot)| Reverse((*time, *number, *slot))).collect();
        self.next_number = numbers.values().iter().max().map_or(0, |number| number.saturating_add(1));
        let kinds = values(&self.table, self.kept.len() + KIND)?.get(&slots)?;
        self.with_kinds = kinds.null_count() < kinds.len();
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.queue.capacity() * size_of::<(i64, i64, u32)>()
    }
}
