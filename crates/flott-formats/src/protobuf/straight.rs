//! Messages whose fields come once each and in order, straight into columns.
//!
//! ```text
//!   steps    1 varint → column 0    2 bytes → column 2    5 varint → column 1
//!   bytes    08 96 01               ·· 3 skipped ··       28 07
//!            column 0: 150          column 2: missing     column 1: 7
//! ```
//!
//! Writers put fields in the order of their numbers, so a message of scalars needs no scan before its columns
//! are filled. Whatever is otherwise (a field again, or behind a greater one, another wire type, bytes that
//! are no message, a value that its column refuses) is left to the scan, which knows all rules.

use super::{
    plan::{MessagePlan, Shape},
    reader::FieldReader,
    scanner::{Pieces, Slot},
    wire::{self, Wire},
};
use crate::builder::Column;

/// A field that a column reads.
#[derive(Debug, Clone, Copy)]
struct Step {
    number: u32,
    wire: Wire,
    column: usize,
}

/// The way through messages of one type.
#[derive(Debug)]
pub(super) struct Straight {
    /// By number.
    steps: Vec<Step>,
    /// Columns that no field is for.
    absent: Vec<usize>,
}

impl Straight {
    /// The way, if all columns are scalars, and none depends on what else comes or doesn't come.
    pub fn of(plan: &MessagePlan) -> Option<Self> {
        let mut way = Self { steps: Vec::new(), absent: Vec::new() };
        if plan.descriptor.fields().any(|field| field.cardinality() == prost_reflect::Cardinality::Required) {
            return None;
        }
        for (column, field) in plan.fields.iter().enumerate() {
            let Some(descriptor) = &field.field else {
                way.absent.push(column);
                continue;
            };
            let Shape::Leaf(leaf) = &field.shape else { return None };
            let closed = leaf.names.as_ref().is_some_and(|names| names.closed);
            let chosen = descriptor.containing_oneof().is_some_and(|group| group.fields().len() > 1);
            if closed || chosen {
                return None;
            }
            way.steps.push(Step { number: descriptor.number(), wire: leaf.scalar.wire(), column });
        }
        way.steps.sort_by_key(|step| step.number);
        way.steps.is_sorted_by(|one, next| one.number < next.number).then_some(way)
    }

    /// Appends the record to the columns. `None`: it is for the scan, and the columns may have got a part of it.
    #[inline]
    pub fn read(
        &self,
        record: &[u8],
        fields: &mut [FieldReader],
        columns: &mut [Column],
        pieces: &mut Pieces,
    ) -> Option<()> {
        let mut steps = self.steps.iter();
        // What comes up to the last step that was taken comes again, or too late.
        let (mut at, mut done) = (0, 0);
        let mut awaited = steps.next();
        while at < record.len() {
            let (number, wire, behind) = wire::tag(record, at).ok()?;
            if number <= done {
                return None;
            }
            while let Some(step) = awaited.filter(|step| step.number < number) {
                fields.get_mut(step.column)?.append_missing(columns.get_mut(step.column)?).ok()?;
                (awaited, done) = (steps.next(), step.number);
            }
            let Some(step) = awaited.filter(|step| step.number == number) else {
                at = wire::skip(record, number, wire, behind).ok()?;
                continue;
            };
            if step.wire != wire {
                return None;
            }
            let (slot, end) = value(record, wire, behind)?;
            let column = columns.get_mut(step.column)?;
            fields.get_mut(step.column)?.append(column, record, slot, pieces).ok()?;
            (at, done) = (end, number);
            awaited = steps.next();
        }
        let missing = awaited.into_iter().chain(steps).map(|step| step.column);
        for column in missing.chain(self.absent.iter().copied()) {
            fields.get_mut(column)?.append_missing(columns.get_mut(column)?).ok()?;
        }
        Some(())
    }
}

/// The value at `at`, and where it ends.
#[inline(always)]
fn value(record: &[u8], wire: Wire, at: usize) -> Option<(Slot, usize)> {
    let number = |(value, end)| (Slot { stamp: 0, value, length: 0 }, end);
    match wire {
        Wire::Varint => wire::varint(record, at).ok().map(number),
        Wire::Bytes => {
            let (start, end) = wire::bytes(record, at).ok()?;
            Some((Slot { stamp: 0, value: start as u64, length: (end - start) as u32 }, end))
        }
        Wire::Fixed64 => wire::fixed64(record, at).ok().map(number),
        Wire::Fixed32 => wire::fixed32(record, at).ok().map(number),
        Wire::Group | Wire::GroupEnd => None,
    }
}
