//! The values that groups have seen, each with the filters that let it through.
//!
//! ```text
//!   group's number, value ─► bits        rows only come: which filters have let it through
//!                         ─► count …     rows are taken back: how often, for each filter
//! ```
//! A group goes by its number, not by its keys, which may be long. The number's upper half is that of
//! the keys' hash, so that the values lie in the group's own key group.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use flott_state::{LongColumn, NO_SLOT, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::Result;

use super::calls::{SetOf, missing_column};
use crate::window::take_all;

/// Keys looked at together when groups are forgotten.
const SWEEP_ROWS: usize = 8192;

/// A set of values for each group.
#[derive(Debug)]
pub(crate) struct DistinctTable {
    table: Table<dyn StateColumn>,
    filters: usize,
    counted: bool,
    slots: Vec<u32>,
}

/// Values of groups, row by row.
pub(crate) struct Values<'a> {
    /// The groups' numbers.
    pub(crate) groups: Vec<i64>,
    /// The arguments.
    pub(crate) args: &'a [ArrayRef],
    /// Which filters let the row through; never 0.
    pub(crate) bits: &'a [u64],
}

impl DistinctTable {
    pub(crate) fn new(set: &SetOf, counted: bool) -> Result<Self> {
        let types: Vec<ArrowType> =
            std::iter::once(ArrowType::Int64).chain(set.types.iter().cloned()).collect();
        let filters = set.filters.len();
        let numbers = match (counted, filters) {
            (true, filters) => filters,
            (false, 1) => 0,
            (false, _) => 1,
        };
        let number = |_| Box::new(LongColumn::new(0)) as Box<dyn StateColumn>;
        let table = Table::new(&types, (0..numbers).map(number).collect())?.grouped_by_number();
        Ok(Self { table, filters, counted, slots: Vec::new() })
    }

    fn find(&mut self, values: &Values<'_>, insert: bool) -> Result<()> {
        let groups: ArrayRef = Arc::new(Int64Array::from(values.groups.clone()));
        let keys: Vec<ArrayRef> = std::iter::once(groups).chain(values.args.iter().cloned()).collect();
        let hashes = self.table.hashes(&keys, values.groups.len());
        self.slots.clear();
        match insert {
            true => self.table.find_or_insert(&keys, &hashes, &mut self.slots),
            false => self.table.find(&keys, &hashes, &mut self.slots),
        }
    }

    /// Adds values. For each filter the rows whose value is new to the group.
    pub(crate) fn add(&mut self, values: &Values<'_>) -> Result<Vec<Vec<u32>>> {
        self.find(values, true)?;
        let slots = std::mem::take(&mut self.slots);
        let mut fresh = vec![Vec::new(); self.filters];
        if self.counted {
            for (at, fresh) in fresh.iter_mut().enumerate() {
                let counts = number_mut(&mut self.table, at)?;
                for (row, (slot, bits)) in slots.iter().zip(values.bits).enumerate() {
                    if bits >> at & 1 == 1
                        && let Some(count) = counts.get_mut(*slot as usize)
                    {
                        *count = count.saturating_add(1);
                        if *count == 1 {
                            fresh.push(row as u32);
                        }
                    }
                }
            }
            self.table.touch(&slots);
        } else if self.filters == 1 {
            fresh[0] = crate::window::first_rows(&slots, self.table.inserted());
        } else {
            let mut touched = Vec::new();
            let seen = number_mut(&mut self.table, 0)?;
            for (row, (slot, bits)) in slots.iter().zip(values.bits).enumerate() {
                let Some(seen) = seen.get_mut(*slot as usize) else { continue };
                let mut new = bits & !(*seen as u64);
                if new != 0 {
                    *seen |= new as i64;
                    touched.push(*slot);
                }
                while new != 0 {
                    if let Some(fresh) = fresh.get_mut(new.trailing_zeros() as usize) {
                        fresh.push(row as u32);
                    }
                    new &= new - 1;
                }
            }
            self.table.touch(&touched);
        }
        self.slots = slots;
        Ok(fresh)
    }

    /// Takes values back. For each filter the rows whose value is gone from the group.
    pub(crate) fn remove(&mut self, values: &Values<'_>) -> Result<Vec<Vec<u32>>> {
        self.find(values, false)?;
        let slots = std::mem::take(&mut self.slots);
        let mut gone = vec![Vec::new(); self.filters];
        for (at, gone) in gone.iter_mut().enumerate() {
            let counts = number_mut(&mut self.table, at)?;
            for (row, (slot, bits)) in slots.iter().zip(values.bits).enumerate() {
                if bits >> at & 1 == 1
                    && let Some(count) = counts.get_mut(*slot as usize).filter(|count| **count > 0)
                {
                    *count -= 1;
                    if *count == 0 {
                        gone.push(row as u32);
                    }
                }
            }
        }
        let known: Vec<u32> = slots.iter().copied().filter(|slot| *slot != NO_SLOT).collect();
        self.table.touch(&known);
        let mut empty = Vec::new();
        for slot in known {
            let mut counts = (0..self.filters).map(|at| number(&self.table, at, slot));
            if counts.all(|count| count == 0) {
                empty.push(slot);
            }
        }
        self.table.remove(&empty)?;
        self.slots = slots;
        Ok(gone)
    }

    /// Forgets the values of these groups.
    pub(crate) fn forget(&mut self, groups: &HashSet<i64>) -> Result<()> {
        let live: Vec<u32> = self.table.keys().live().collect();
        for slots in live.chunks(SWEEP_ROWS) {
            let keys = self.table.keys().keys(slots)?;
            let numbers = keys.first().and_then(|it| it.as_primitive_opt::<Int64Type>());
            let numbers = numbers.ok_or_else(missing_column)?.values();
            let mine = slots.iter().zip(numbers).filter(|(_, number)| groups.contains(number));
            let mine: Vec<u32> = mine.map(|(slot, _)| *slot).collect();
            self.table.remove(&mine)?;
        }
        Ok(())
    }

    pub(crate) fn snapshot(&mut self, name: &str, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table(name, &mut self.table)
    }

    pub(crate) fn restore(&mut self, name: &str, state: &OperatorState) -> Result<()> {
        state.table(name, &mut self.table)
    }

    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
    }
}

fn number_mut(table: &mut Table<dyn StateColumn>, at: usize) -> Result<&mut Vec<i64>> {
    let column = table.columns_mut().get_mut(at).and_then(|it| it.as_any_mut().downcast_mut::<LongColumn>());
    Ok(&mut column.ok_or_else(missing_column)?.values)
}

fn number(table: &Table<dyn StateColumn>, at: usize, slot: u32) -> i64 {
    let column = table.columns().get(at).and_then(|it| it.as_any().downcast_ref::<LongColumn>());
    column.and_then(|it| it.values.get(slot as usize)).copied().unwrap_or(0)
}

/// Values of rows: their arguments, the filters' bits, and a number that belongs to each.
pub(crate) type Entries = (Vec<ArrayRef>, Vec<u64>, Vec<u32>);

/// The rows that some filter lets through: their arguments, bits, and whatever belongs to them. All of
/// them mostly, and then nothing is copied.
pub(crate) fn let_through(args: Vec<ArrayRef>, bits: Vec<u64>, of: &[u32]) -> Result<Entries> {
    if bits.iter().all(|bits| *bits != 0) {
        return Ok((args, bits, of.to_vec()));
    }
    let kept = bits.iter().enumerate().filter(|(_, bits)| **bits != 0);
    let rows: Vec<u32> = kept.map(|(row, _)| row as u32).collect();
    let of = rows.iter().filter_map(|row| of.get(*row as usize).copied()).collect();
    let bits = rows.iter().filter_map(|row| bits.get(*row as usize).copied()).collect();
    Ok((take_all(&args, &UInt32Array::from(rows))?, bits, of))
}
