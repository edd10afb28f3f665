//! A column of cells of fixed size, one per group, and what a function has to say about its cells.
//!
//! ```text
//!   slots  3 0 3 1        cells   0: {sum 7, count 2}   1: {…}   2: fresh   3: {…}
//!   values 5 1 2 9  ─add─►
//! ```
//! The loops over rows stand in the functions ([`Fold::add`]), where the values' type is known;
//! everything else of an accumulator is the same for all of them and stands here.

use std::{any::Any, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, StructArray},
    datatypes::{DataType as ArrowType, Field, Fields},
};
use flott_expr::EvalError;
use flott_state::StateColumn;
use flott_types::{Code, Diagnostic, Result};

use crate::{Accumulator, selection::Selection};

/// An aggregate function over cells of fixed size.
pub(crate) trait Fold: Send + fmt::Debug + 'static {
    /// What is kept for a group.
    type Cell: Copy + Send + fmt::Debug + 'static;

    /// The cell of a group without rows.
    fn fresh(&self) -> Self::Cell;
    /// Adds the rows that count.
    fn add(
        &self,
        cells: &mut [Self::Cell],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError>;
    /// Takes rows back.
    fn take(
        &self,
        cells: &mut [Self::Cell],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError>;
    /// Adds what another cell has.
    fn join(&self, cell: &mut Self::Cell, other: Self::Cell) -> Result<(), EvalError>;
    /// The Arrow type of saved cells.
    fn saved_type(&self) -> ArrowType;
    /// Cells as an array.
    fn save(&self, cells: impl ExactSizeIterator<Item = Self::Cell> + Clone) -> Result<ArrayRef, EvalError>;
    /// The cells of an array of [`Fold::saved_type`]; `None`: it isn't one.
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = Self::Cell> + use<'a, Self>>;
    /// The results.
    fn results(
        &self,
        cells: impl ExactSizeIterator<Item = Self::Cell> + Clone,
    ) -> Result<ArrayRef, EvalError>;
}

/// The accumulator of a [`Fold`].
#[derive(Debug)]
pub(crate) struct Cells<F: Fold> {
    fold: F,
    cells: Vec<F::Cell>,
}

impl<F: Fold> Cells<F> {
    pub(crate) fn boxed(fold: F) -> Box<dyn Accumulator> {
        Box::new(Self { fold, cells: Vec::new() })
    }

    fn at<'a>(&'a self, slots: &'a [u32]) -> impl ExactSizeIterator<Item = F::Cell> + Clone + 'a {
        let cell = |slot: &u32| self.cells.get(*slot as usize).copied();
        slots.iter().map(move |slot| cell(slot).unwrap_or_else(|| self.fold.fresh()))
    }

    fn rows(&self, args: &[ArrayRef], filter: Option<&BooleanArray>) -> Selection {
        Selection::present(args, filter)
    }
}

impl<F: Fold> StateColumn for Cells<F> {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.cells.len() {
            self.cells.resize(slots_end, self.fold.fresh());
        }
    }
    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(cell) = self.cells.get_mut(*slot as usize) {
                *cell = self.fold.fresh();
            }
        }
    }
    fn saved_type(&self) -> ArrowType {
        self.fold.saved_type()
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.fold.save(self.at(slots)).map_err(not_saved)
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(&self.fold.saved_type(), slots, saved)?;
        let cells = self.fold.saved(saved).ok_or_else(|| wrong_shape(&self.fold.saved_type(), saved))?;
        for (slot, loaded) in slots.iter().zip(cells) {
            if let Some(cell) = self.cells.get_mut(*slot as usize) {
                *cell = loaded;
            }
        }
        Ok(())
    }
    fn memory(&self) -> usize {
        self.cells.capacity() * size_of::<F::Cell>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<F: Fold> Accumulator for Cells<F> {
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let rows = self.rows(args, filter);
        self.fold.add(&mut self.cells, slots, args, &rows)
    }
    fn retract(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let rows = self.rows(args, filter);
        self.fold.take(&mut self.cells, slots, args, &rows)
    }
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        let cells = self.fold.saved(saved).ok_or_else(|| not_ours(saved))?;
        for (slot, other) in slots.iter().zip(cells) {
            if let Some(cell) = self.cells.get_mut(*slot as usize) {
                self.fold.join(cell, other)?;
            }
        }
        Ok(())
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.fold.results(self.at(slots))
    }
}

/// An argument that isn't there or isn't of the type that the call was made for: a bug of ours.
pub(crate) fn wrong_argument() -> EvalError {
    EvalError::internal("an aggregate function was given another argument than it was made for")
}

/// Something to merge that this accumulator did not save: a bug of ours.
pub(crate) fn not_ours(saved: &ArrayRef) -> EvalError {
    EvalError::internal(format!("a partial result has the wrong type {}", saved.data_type()))
}

/// What could not be laid out to be saved.
pub(crate) fn not_saved(error: EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, format!("the state of an aggregate can't be saved: {}", error.message))
}

/// The error for an array that an accumulator did not save.
pub(crate) fn wrong_shape(wanted: &ArrowType, saved: &ArrayRef) -> Box<Diagnostic> {
    let message =
        format!("the checkpoint has {} where this job keeps an aggregate as {wanted}", saved.data_type());
    Diagnostic::error(Code::CheckpointUnusable, message)
        .help("the query has changed since the checkpoint: start afresh with --resume never")
}

/// Refuses what an accumulator of this saved type did not save for so many slots.
pub(crate) fn check_shape(wanted: &ArrowType, slots: &[u32], saved: &ArrayRef) -> Result<()> {
    if saved.data_type() == wanted && saved.len() == slots.len() {
        return Ok(());
    }
    Err(wrong_shape(wanted, saved))
}

/// A struct type of such fields, none NULL.
pub(crate) fn struct_of(fields: &[(&str, ArrowType)]) -> Fields {
    fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect()
}

/// A struct of columns without NULLs of its own.
pub(crate) fn struct_array(fields: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

/// The column of a saved struct.
pub(crate) fn field_of(saved: &ArrayRef, at: usize) -> Option<&ArrayRef> {
    saved.as_struct_opt()?.columns().get(at)
}
