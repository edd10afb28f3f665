//! `BITMAP_BUILD_AGG`, `BITMAP_{AND,OR,XOR}_AGG` and how many numbers are in what they give.
//!
//! ```text
//!   {1, 2}, {2, 3}   ─►  rows 2   1 ×1  2 ×2  3 ×1
//!      in all rows: {2}      in some: {1, 2, 3}      in an odd number: {1, 3}
//! ```
//! Counting in how many rows a number is answers all of them, and lets rows be taken back in any
//! order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, ListArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field, Int32Type, Int64Type},
};
use flott_expr::{
    EvalError,
    functions::{read_bitmap, write_bitmap},
};

use crate::{
    Accumulator,
    cells::{not_ours, struct_array, struct_of, wrong_argument},
    groups::{Gather, Group, Groups, Held},
    selection::Selection,
};

/// Which numbers are in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those of an INT argument.
    Build,
    /// Those in all sets.
    And,
    /// Those in some set.
    Or,
    /// Those in an odd number of sets.
    Xor,
}

/// The accumulator. `cardinality`: the result is how many numbers there are.
pub(crate) fn accumulator(which: Which, cardinality: bool) -> Box<dyn Accumulator> {
    Groups::boxed(Bitmap { which, cardinality })
}

#[derive(Debug)]
struct Bitmap {
    which: Which,
    cardinality: bool,
}

/// In how many rows of a group each number is.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    rows: i64,
    counts: BTreeMap<u32, i64>,
}

/// About what a number costs.
const NUMBER_BYTES: usize = 16;

impl Group for Numbers {
    fn bytes(&self) -> usize {
        self.counts.len() * NUMBER_BYTES
    }
}

impl Numbers {
    fn change(&mut self, number: u32, by: i64) {
        let count = self.counts.entry(number).or_insert(0);
        *count = count.wrapping_add(by);
        if *count == 0 {
            self.counts.remove(&number);
        }
    }
}

impl Bitmap {
    fn step(
        &self,
        groups: &mut Held<Numbers>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
        by: i64,
    ) -> Result<(), EvalError> {
        let argument = args.first().ok_or_else(wrong_argument)?;
        if self.which == Which::Build {
            let numbers = argument.as_primitive_opt::<Int32Type>().ok_or_else(wrong_argument)?;
            rows.for_each(slots, |slot, row| {
                groups.change(slot, |group| {
                    group.rows = group.rows.wrapping_add(by);
                    group.change(numbers.value(row) as u32, by);
                });
            });
            return Ok(());
        }
        let sets = argument.as_binary_opt::<i32>().ok_or_else(wrong_argument)?;
        let mut read = Vec::new();
        rows.try_for_each(slots, |slot, row| {
            let set =
                read_bitmap(sets.value(row)).ok_or_else(|| EvalError::new("these bytes are no bitmap"))?;
            read.push((slot, set));
            Ok::<(), EvalError>(())
        })?;
        for (slot, set) in read {
            groups.change(slot, |group| {
                group.rows = group.rows.wrapping_add(by);
                for number in set {
                    group.change(number, by);
                }
            });
        }
        Ok(())
    }
    fn numbers<'a>(&self, group: &'a Numbers) -> impl Iterator<Item = u32> + use<'a> {
        let (which, rows) = (self.which, group.rows);
        let is_in = move |count: i64| match which {
            Which::Build | Which::Or => count > 0,
            Which::And => count >= rows,
            Which::Xor => count.rem_euclid(2) == 1,
        };
        group.counts.iter().filter(move |(_, count)| is_in(**count)).map(|(number, _)| *number)
    }
    fn entry_type() -> ArrowType {
        ArrowType::Struct(struct_of(&[("number", ArrowType::Int32), ("count", ArrowType::Int64)]))
    }
}

impl Gather for Bitmap {
    type Group = Numbers;

    fn add(
        &mut self,
        groups: &mut Held<Numbers>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, 1)
    }
    fn take(
        &mut self,
        groups: &mut Held<Numbers>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, -1)
    }
    fn saved_type(&self) -> ArrowType {
        let list = ArrowType::List(Arc::new(Field::new("item", Self::entry_type(), true)));
        ArrowType::Struct(struct_of(&[("rows", ArrowType::Int64), ("numbers", list)]))
    }
    fn save(&self, groups: &[&Numbers]) -> Result<ArrayRef, EvalError> {
        let all = || groups.iter().flat_map(|group| &group.counts);
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(all().map(|(it, _)| *it as i32)));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(all().map(|(_, count)| *count)));
        let ArrowType::Struct(entry) = Self::entry_type() else { return Err(wrong_argument()) };
        let entries = StructArray::try_new(entry, vec![numbers, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.counts.len()));
        let item = Arc::new(Field::new("item", Self::entry_type(), true));
        let lists: ArrayRef = Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?);
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.rows)));
        let ArrowType::Struct(fields) = self.saved_type() else { return Err(wrong_argument()) };
        struct_array(fields, vec![rows, lists])
    }
    fn merge(
        &mut self,
        groups: &mut Held<Numbers>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let parts = saved.as_struct_opt().ok_or_else(|| not_ours(saved))?;
        let [rows, lists] = parts.columns() else { return Err(not_ours(saved)) };
        let rows = rows.as_primitive_opt::<Int64Type>().ok_or_else(|| not_ours(saved))?.values();
        let lists = lists.as_list_opt::<i32>().ok_or_else(|| not_ours(saved))?;
        let [numbers, counts] = lists.values().as_struct().columns() else { return Err(not_ours(saved)) };
        let numbers = numbers.as_primitive_opt::<Int32Type>().ok_or_else(|| not_ours(saved))?.values();
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| not_ours(saved))?.values();
        for ((slot, bounds), rows) in slots.iter().zip(lists.value_offsets().windows(2)).zip(rows) {
            let &[start, end] = bounds else { continue };
            groups.change(*slot, |group| {
                group.rows = group.rows.wrapping_add(*rows);
                for at in start as usize..end as usize {
                    group.change(numbers[at] as u32, counts[at]);
                }
            });
        }
        Ok(())
    }
    fn results(&self, groups: &[&Numbers]) -> Result<ArrayRef, EvalError> {
        if self.cardinality {
            let count = |group: &Numbers| i64::try_from(self.numbers(group).count()).unwrap_or(i64::MAX);
            let counts = groups.iter().map(|group| (group.rows > 0).then(|| count(group)));
            return Ok(Arc::new(counts.collect::<Int64Array>()));
        }
        let set = |group: &Numbers| write_bitmap(&self.numbers(group).collect::<BTreeSet<u32>>());
        let sets = groups.iter().map(|group| (group.rows > 0).then(|| set(group)));
        Ok(Arc::new(sets.collect::<BinaryArray>()))
    }
}
