//! One value of varying size per group: `MIN` and `MAX` of texts, `FIRST_VALUE` and `LAST_VALUE` of
//! texts, arrays, rows, ….
//!
//! A value is compared where it lies, and copied only if it is kept; the room of the one before it is
//! used again. Texts compare as their bytes do, which is the order of their code points.

use std::marker::PhantomData;

use arrow::{array::ArrayRef, datatypes::DataType as ArrowType};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::wrong_argument,
    codec::Codec,
    groups::{Gather, Group, Groups, Held},
    selection::Selection,
    single::{Rule, cannot_retract},
};

/// The accumulator that keeps one value of this type by this rule; `None` if there is none.
pub(crate) fn accumulator<R: Rule>(of: &ArrowType) -> Option<Box<dyn Accumulator>> {
    let codec = Codec::new(of, false)?;
    Some(Groups::boxed(SingleBytes::<R> { codec, rule: PhantomData }))
}

impl Group for Option<Vec<u8>> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Vec::capacity)
    }
}

#[derive(Debug)]
struct SingleBytes<R> {
    codec: Codec,
    rule: PhantomData<fn() -> R>,
}

fn keep<R: Rule>(group: &mut Option<Vec<u8>>, value: &[u8]) {
    match group {
        None => *group = Some(value.to_vec()),
        Some(kept) if R::prefers(value, kept.as_slice()) => {
            kept.clear();
            kept.extend_from_slice(value);
        }
        Some(_) => {}
    }
}

impl<R: Rule> Gather for SingleBytes<R> {
    type Group = Option<Vec<u8>>;

    fn add(
        &mut self,
        groups: &mut Held<Self::Group>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = self.codec.encode(args.first().ok_or_else(wrong_argument)?)?;
        rows.for_each(slots, |slot, row| {
            groups.change(slot, |group| keep::<R>(group, values.get(row)));
        });
        Ok(())
    }
    fn take(
        &mut self,
        _: &mut Held<Self::Group>,
        _: &[u32],
        _: &[ArrayRef],
        _: &Selection,
    ) -> Result<(), EvalError> {
        Err(cannot_retract())
    }
    fn saved_type(&self) -> ArrowType {
        self.codec.data_type().clone()
    }
    fn save(&self, groups: &[&Self::Group]) -> Result<ArrayRef, EvalError> {
        self.codec.decode(groups.iter().map(|group| group.as_deref()))
    }
    fn merge(
        &mut self,
        groups: &mut Held<Self::Group>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let saved = std::slice::from_ref(saved);
        self.add(groups, slots, saved, &Selection::present(saved, None))
    }
    fn results(&self, groups: &[&Self::Group]) -> Result<ArrayRef, EvalError> {
        self.save(groups)
    }
}
