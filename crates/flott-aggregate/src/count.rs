//! `COUNT`: how many rows there are in which no argument is NULL.
//!
//! Rows that are taken back before they were added make the count negative until they come; it
//! is right again then.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::{DataType as ArrowType, Int64Type},
};
use flott_expr::EvalError;

use crate::{cells::Fold, selection::Selection};

#[derive(Debug)]
pub(crate) struct Count;

impl Count {
    #[inline]
    fn step(cells: &mut [i64], slots: &[u32], rows: &Selection, by: i64) {
        rows.for_each(slots, |slot, _| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                *cell = cell.wrapping_add(by);
            }
        });
    }
}

impl Fold for Count {
    type Cell = i64;

    fn fresh(&self) -> i64 {
        0
    }
    fn add(
        &self,
        cells: &mut [i64],
        slots: &[u32],
        _: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        Self::step(cells, slots, rows, 1);
        Ok(())
    }
    fn take(
        &self,
        cells: &mut [i64],
        slots: &[u32],
        _: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        Self::step(cells, slots, rows, -1);
        Ok(())
    }
    fn join(&self, cell: &mut i64, other: i64) -> Result<(), EvalError> {
        *cell = cell.wrapping_add(other);
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::Int64
    }
    fn save(&self, cells: impl ExactSizeIterator<Item = i64> + Clone) -> Result<ArrayRef, EvalError> {
        Ok(Arc::new(Int64Array::from_iter_values(cells)))
    }
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = i64> + use<'a>> {
        Some(saved.as_primitive_opt::<Int64Type>()?.values().iter().copied())
    }
    fn results(&self, cells: impl ExactSizeIterator<Item = i64> + Clone) -> Result<ArrayRef, EvalError> {
        self.save(cells)
    }
}
