//! What a group or a session keeps besides its calls' values: how many rows it has, its number, when it was
//! last touched, its bounds. A number by slot, in the shape of an accumulator, so that it lies in the same
//! table.

use std::any::Any;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use flott_aggregate::Accumulator;
use flott_expr::EvalError;
use flott_state::{LongColumn, StateColumn};
use flott_types::{Code, Diagnostic, Result};

/// A number by slot.
#[derive(Debug)]
pub(crate) struct Hidden(LongColumn);

impl Hidden {
    /// Numbers that are this at first.
    pub(crate) fn starting_at(initial: i64) -> Box<dyn Accumulator> {
        Box::new(Self(LongColumn::new(initial)))
    }

    /// The hidden column at this place of a table.
    pub(crate) fn of(columns: &[Box<dyn Accumulator>], at: usize) -> Result<&Self> {
        columns.get(at).map_or_else(|| Err(not_hidden()), |it| Self::in_column(it.as_ref()))
    }

    /// The same, to be changed.
    pub(crate) fn of_mut(columns: &mut [Box<dyn Accumulator>], at: usize) -> Result<&mut Self> {
        columns.get_mut(at).map_or_else(|| Err(not_hidden()), |it| Self::in_column_mut(it.as_mut()))
    }

    /// What this column is.
    pub(crate) fn in_column(column: &dyn Accumulator) -> Result<&Self> {
        column.as_any().downcast_ref::<Self>().ok_or_else(not_hidden)
    }

    /// The same, to be changed.
    pub(crate) fn in_column_mut(column: &mut dyn Accumulator) -> Result<&mut Self> {
        column.as_any_mut().downcast_mut::<Self>().ok_or_else(not_hidden)
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> i64 {
        self.0.get(slot)
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: u32, value: i64) {
        if let Some(place) = self.0.values.get_mut(slot as usize) {
            *place = value;
        }
    }
}

fn not_hidden() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a table of groups or sessions lacks a column that it keeps")
}

fn misuse() -> EvalError {
    EvalError::internal("a group's or session's own columns are no aggregates")
}

impl StateColumn for Hidden {
    fn grow(&mut self, slots_end: usize) {
        self.0.grow(slots_end);
    }
    fn reset(&mut self, slots: &[u32]) {
        self.0.reset(slots);
    }
    fn saved_type(&self) -> DataType {
        self.0.saved_type()
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.0.save(slots)
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        self.0.load(slots, saved)
    }
    fn memory(&self) -> usize {
        self.0.memory()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The operator sets it itself.
impl Accumulator for Hidden {
    fn update(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<(), EvalError> {
        Err(misuse())
    }
    fn retract(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<(), EvalError> {
        Err(misuse())
    }
    fn merge(&mut self, _: &[u32], _: &ArrayRef) -> Result<(), EvalError> {
        Err(misuse())
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.0.save(slots).map_err(|error| EvalError { code: error.code, message: error.message })
    }
}
