//! Values with how often they are there: `COLLECT`, and `MIN` and `MAX` where rows are taken back.
//!
//! ```text
//!   slot 0:  a ×2   b ×1   d ×-1        least: a   greatest: b   COLLECT: {a=2, b=1}
//! ```
//! A value taken back before it came is kept with a negative count, which counts as absent, until
//! it comes: the order of rows doesn't matter.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, MapArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field, Int64Type},
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{not_ours, struct_of, wrong_argument},
    codec::Codec,
    groups::{Gather, Group, Groups, Held},
    selection::Selection,
};

/// What is asked of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Min,
    Max,
    Collect,
}

/// The accumulator for values of this type; `None` if there is none.
pub(crate) fn accumulator(which: Which, of: &ArrowType, result: &ArrowType) -> Option<Box<dyn Accumulator>> {
    let codec = Codec::new(of, false)?;
    Some(Groups::boxed(Bag { which, codec, result: result.clone() }))
}

/// The values of a group, in order, none with the count 0.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    counts: BTreeMap<Box<[u8]>, i64>,
    bytes: usize,
}

/// About what an entry of a map costs besides its bytes.
const ENTRY_BYTES: usize = 40;

impl Group for Counted {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Counted {
    fn change(&mut self, value: &[u8], by: i64) {
        match self.counts.get_mut(value) {
            Some(count) => {
                *count = count.wrapping_add(by);
                if *count == 0 {
                    self.counts.remove(value);
                    self.bytes = self.bytes.saturating_sub(value.len() + ENTRY_BYTES);
                }
            }
            None if by != 0 => {
                self.counts.insert(value.into(), by);
                self.bytes += value.len() + ENTRY_BYTES;
            }
            None => {}
        }
    }
    fn present(&self) -> impl DoubleEndedIterator<Item = (&[u8], i64)> + Clone {
        self.counts.iter().filter(|(_, count)| **count > 0).map(|(value, count)| (value.as_ref(), *count))
    }
}

#[derive(Debug)]
struct Bag {
    which: Which,
    codec: Codec,
    result: ArrowType,
}

impl Bag {
    fn step(
        &self,
        groups: &mut Held<Counted>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
        by: i64,
    ) -> Result<(), EvalError> {
        let values = self.codec.encode(args.first().ok_or_else(wrong_argument)?)?;
        rows.for_each(slots, |slot, row| {
            groups.change(slot, |group| group.change(values.get(row), by));
        });
        Ok(())
    }
    fn entry_type(&self) -> ArrowType {
        let value = self.codec.data_type().clone();
        ArrowType::Struct(struct_of(&[("value", value), ("count", ArrowType::Int64)]))
    }
    fn collected(&self, groups: &[&Counted]) -> Result<ArrayRef, EvalError> {
        let ArrowType::Map(entry, _) = &self.result else { return Err(wrong_argument()) };
        let ArrowType::Struct(fields) = entry.data_type() else { return Err(wrong_argument()) };
        let present = || groups.iter().flat_map(|group| group.present());
        let values = self.codec.decode(present().map(|(value, _)| Some(value)))?;
        // A MULTISET counts in INT.
        let counts = present().map(|(_, count)| i32::try_from(count).unwrap_or(i32::MAX));
        let counts: ArrayRef = Arc::new(Int32Array::from_iter_values(counts));
        let entries = StructArray::try_new(fields.clone(), vec![values, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.present().count()));
        Ok(Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries, None, false)?))
    }
}

impl Gather for Bag {
    type Group = Counted;

    fn add(
        &mut self,
        groups: &mut Held<Counted>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, 1)
    }
    fn take(
        &mut self,
        groups: &mut Held<Counted>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, -1)
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::List(Arc::new(Field::new("item", self.entry_type(), true)))
    }
    fn save(&self, groups: &[&Counted]) -> Result<ArrayRef, EvalError> {
        let all = || groups.iter().flat_map(|group| &group.counts);
        let values = self.codec.decode(all().map(|(value, _)| Some(value.as_ref())))?;
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(all().map(|(_, count)| *count)));
        let fields = struct_of(&[("value", values.data_type().clone()), ("count", ArrowType::Int64)]);
        let entries = StructArray::try_new(fields, vec![values, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.counts.len()));
        let item = Arc::new(Field::new("item", self.entry_type(), true));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?))
    }
    fn merge(
        &mut self,
        groups: &mut Held<Counted>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let lists = saved.as_list_opt::<i32>().ok_or_else(|| not_ours(saved))?;
        let [values, counts] = lists.values().as_struct().columns() else { return Err(not_ours(saved)) };
        let values = self.codec.encode(values)?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| not_ours(saved))?.values();
        for (slot, bounds) in slots.iter().zip(lists.value_offsets().windows(2)) {
            let &[start, end] = bounds else { continue };
            groups.change(*slot, |group| {
                for at in start as usize..end as usize {
                    group.change(values.get(at), counts.get(at).copied().unwrap_or(0));
                }
            });
        }
        Ok(())
    }
    fn results(&self, groups: &[&Counted]) -> Result<ArrayRef, EvalError> {
        let value = |it: Option<(_, i64)>| it.map(|(value, _)| value);
        match self.which {
            Which::Min => self.codec.decode(groups.iter().map(|it| value(it.present().next()))),
            Which::Max => self.codec.decode(groups.iter().map(|it| value(it.present().next_back()))),
            Which::Collect => self.collected(groups),
        }
    }
}
