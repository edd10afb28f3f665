//! The rows that an operator keeps, one by one, and what each is.
//!
//! ```text
//!   key     (upper half of the partition's hash, number)     the rows of a key group stay together
//!   values  the row's columns │ time │ done                  done: it has come out, and is there to be seen
//! ```
//! Numbers rise in the order in which rows came.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use flott_state::{ArrowColumn, LongColumn, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::Result;

use super::frames::internal;

/// The rows.
#[derive(Debug)]
pub(crate) struct RowStore {
    table: Table<dyn StateColumn>,
    columns: usize,
    next: i64,
}

impl RowStore {
    pub(crate) fn new(types: &[ArrowType]) -> Result<Self> {
        let column = |of: &ArrowType| Ok(Box::new(ArrowColumn::new(of.clone())?) as Box<dyn StateColumn>);
        let mut columns = types.iter().map(column).collect::<Result<Vec<_>>>()?;
        columns.push(Box::new(LongColumn::new(0)));
        columns.push(Box::new(LongColumn::new(0)));
        let table = Table::new(&[ArrowType::Int64, ArrowType::Int64], columns)?.grouped_by_number();
        Ok(Self { table, columns: types.len(), next: 0 })
    }

    /// Keeps rows; gives their slots. `hashes`: the partitions'.
    pub(crate) fn push(&mut self, hashes: &[u64], columns: &[ArrayRef], times: &[i64]) -> Result<Vec<u32>> {
        let groups = hashes.iter().map(|hash| (hash & !0xffff_ffff) as i64);
        let first = self.next;
        self.next = first.wrapping_add(hashes.len() as i64);
        let keys: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(groups)),
            Arc::new(Int64Array::from_iter_values(first..self.next)),
        ];
        let hashes = self.table.hashes(&keys, hashes.len());
        let mut slots = Vec::with_capacity(hashes.len());
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        for (column, values) in self.table.columns_mut().iter_mut().zip(columns).take(self.columns) {
            let column = column.as_any_mut().downcast_mut::<ArrowColumn>();
            column.ok_or_else(|| internal("a row's column is of another shape"))?.set(&slots, values)?;
        }
        let kept = self.numbers_mut(0)?;
        for (slot, time) in slots.iter().zip(times) {
            if let Some(place) = kept.get_mut(*slot as usize) {
                *place = *time;
            }
        }
        Ok(slots)
    }

    fn numbers_mut(&mut self, at: usize) -> Result<&mut Vec<i64>> {
        let column = self.table.columns_mut().get_mut(self.columns + at);
        let column = column.and_then(|it| it.as_any_mut().downcast_mut::<LongColumn>());
        Ok(&mut column.ok_or_else(|| internal("a row lacks its time"))?.values)
    }

    fn number(&self, at: usize, slot: u32) -> i64 {
        let column = self.table.columns().get(self.columns + at);
        let column = column.and_then(|it| it.as_any().downcast_ref::<LongColumn>());
        column.and_then(|it| it.values.get(slot as usize)).copied().unwrap_or(0)
    }

    /// The rows' columns.
    pub(crate) fn get(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let columns = self.table.columns().iter().take(self.columns).map(AsRef::as_ref);
        let get = |column: &dyn StateColumn| {
            let column = column.as_any().downcast_ref::<ArrowColumn>();
            column.ok_or_else(|| internal("a row's column is of another shape"))?.get(slots)
        };
        columns.map(get).collect()
    }

    pub(crate) fn time(&self, slot: u32) -> i64 {
        self.number(0, slot)
    }

    pub(crate) fn is_done(&self, slot: u32) -> bool {
        self.number(1, slot) != 0
    }

    /// The rows have come out.
    pub(crate) fn done(&mut self, slots: &[u32]) -> Result<()> {
        let done = self.numbers_mut(1)?;
        for slot in slots {
            if let Some(done) = done.get_mut(*slot as usize) {
                *done = 1;
            }
        }
        self.table.touch(slots);
        Ok(())
    }

    pub(crate) fn remove(&mut self, slots: &[u32]) -> Result<()> {
        self.table.remove(slots)
    }

    /// All rows' slots, in the order in which the rows came.
    pub(crate) fn in_order(&self) -> Result<Vec<u32>> {
        let mut slots: Vec<u32> = self.table.keys().live().collect();
        let keys = self.table.keys().keys(&slots)?;
        let numbers = keys.get(1).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let numbers = numbers.ok_or_else(|| internal("a row lacks its number"))?.values();
        let mut numbered: Vec<(i64, u32)> = numbers.iter().copied().zip(slots.iter().copied()).collect();
        numbered.sort_unstable();
        slots.clear();
        slots.extend(numbered.into_iter().map(|(_, slot)| slot));
        Ok(slots)
    }

    pub(crate) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.value("next-row", self.next);
        snapshot.table("rows", &mut self.table)
    }

    pub(crate) fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("rows", &mut self.table)?;
        // Rows of different shards differ in their key group.
        self.next = state.values("next-row").iter().filter_map(|it| it.as_i64()).max().unwrap_or(0);
        Ok(())
    }

    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
    }
}
