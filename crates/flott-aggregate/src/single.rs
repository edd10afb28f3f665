//! Functions that keep one of the values: `MIN`, `MAX`, and `FIRST_VALUE`, `LAST_VALUE` and
//! `SINGLE_VALUE` without NULLs.
//!
//! ```text
//!   cell: {value, seen}     a value comes: not seen, or the rule prefers it ─► it is kept
//! ```
//! Nothing can be taken back; where that may happen, `kept` holds all values instead.

use std::{fmt, marker::PhantomData};

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    datatypes::DataType as ArrowType,
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{Cells, Fold, wrong_argument},
    native::{self, Native, Ordered, with_native},
    selection::Selection,
    single_bytes,
};

/// Which value is kept.
pub(crate) trait Rule: Send + Sync + fmt::Debug + 'static {
    /// Whether a value takes the place of the one there is.
    fn prefers<T: Ordered + ?Sized>(new: &T, old: &T) -> bool;
}

/// The least.
#[derive(Debug)]
pub(crate) struct Min;
/// The greatest.
#[derive(Debug)]
pub(crate) struct Max;
/// The first to come.
#[derive(Debug)]
pub(crate) struct First;
/// The last to come.
#[derive(Debug)]
pub(crate) struct Last;

impl Rule for Min {
    #[inline]
    fn prefers<T: Ordered + ?Sized>(new: &T, old: &T) -> bool {
        new.before(old)
    }
}
impl Rule for Max {
    #[inline]
    fn prefers<T: Ordered + ?Sized>(new: &T, old: &T) -> bool {
        old.before(new)
    }
}
impl Rule for First {
    #[inline]
    fn prefers<T: Ordered + ?Sized>(_: &T, _: &T) -> bool {
        false
    }
}
impl Rule for Last {
    #[inline]
    fn prefers<T: Ordered + ?Sized>(_: &T, _: &T) -> bool {
        true
    }
}

/// The accumulator that keeps one value of this type by this rule; `None` if there is none.
pub(crate) fn accumulator<R: Rule>(of: &ArrowType) -> Option<Box<dyn Accumulator>> {
    with_native!(of, N => Some(Cells::boxed(Single::<N, R>::new(of.clone()))), else single_bytes::accumulator::<R>(of))
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell<N> {
    value: N,
    seen: bool,
}

/// One value of fixed width per group.
struct Single<N, R> {
    of: ArrowType,
    rule: PhantomData<fn(N) -> R>,
}

impl<N, R> fmt::Debug for Single<N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", std::any::type_name::<R>(), self.of)
    }
}

impl<N: Native, R: Rule> Single<N, R> {
    fn new(of: ArrowType) -> Self {
        Self { of, rule: PhantomData }
    }
    #[inline]
    fn keep(cell: &mut Cell<N>, value: N) {
        if !cell.seen || R::prefers(&value, &cell.value) {
            *cell = Cell { value, seen: true };
        }
    }
}

impl<N: Native, R: Rule> Fold for Single<N, R> {
    type Cell = Cell<N>;

    fn fresh(&self) -> Cell<N> {
        Cell::default()
    }
    fn add(
        &self,
        cells: &mut [Cell<N>],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = native::argument::<N>(args, 0)?;
        let values: &[N] = values.get(..slots.len()).ok_or_else(wrong_argument)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                Self::keep(cell, values[row]);
            }
        });
        Ok(())
    }
    fn take(&self, _: &mut [Cell<N>], _: &[u32], _: &[ArrayRef], _: &Selection) -> Result<(), EvalError> {
        Err(cannot_retract())
    }
    fn join(&self, cell: &mut Cell<N>, other: Cell<N>) -> Result<(), EvalError> {
        if other.seen {
            Self::keep(cell, other.value);
        }
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        self.of.clone()
    }
    fn save(&self, cells: impl ExactSizeIterator<Item = Cell<N>> + Clone) -> Result<ArrayRef, EvalError> {
        let nulls: NullBuffer = cells.clone().map(|cell| cell.seen).collect();
        let values = cells.map(|cell| cell.value).collect();
        native::column(&self.of, values, (nulls.null_count() > 0).then_some(nulls))
    }
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = Cell<N>> + use<'a, N, R>> {
        let values = native::values::<N>(saved)?;
        let cell = move |at: usize| Cell {
            value: values.get(at).copied().unwrap_or_default(),
            seen: saved.is_valid(at),
        };
        Some((0..saved.len()).map(cell))
    }
    fn results(&self, cells: impl ExactSizeIterator<Item = Cell<N>> + Clone) -> Result<ArrayRef, EvalError> {
        self.save(cells)
    }
}

/// A call with `retract` to an accumulator made without: a bug of ours.
pub(crate) fn cannot_retract() -> EvalError {
    EvalError::internal("an aggregate that keeps one value can't take rows back")
}
