//! Functions that keep one of the values: `MIN`, `MAX`, and `FIRST_VALUE`, `LAST_VALUE` and
//! `SINGLE_VALUE` without NULLs.
//!
//! ```text
//!   cell: {value, seen}     a value comes: not seen, or the rule prefers it ─► it is kept
//! ```
//! Nothing can be taken back; where that may happen, `kept` holds all values instead.

use std::{any::Any, fmt, marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray},
    buffer::NullBuffer,
    datatypes::DataType as ArrowType,
};
use flott_expr::EvalError;
use flott_state::StateColumn;
use flott_types::Result;

use crate::{
    Accumulator,
    cells::{Cells, Fold, check_shape, not_ours, not_saved, wrong_argument},
    native::{self, Native, Ordered, with_native},
    selection::Selection,
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
    if matches!(of, ArrowType::Utf8 | ArrowType::Binary) {
        return Some(Box::new(SingleBytes::<R> { cells: Vec::new(), of: of.clone(), rule: PhantomData }));
    }
    with_native!(of, N => Some(Cells::boxed(Single::<N, R>::new(of.clone()))), else None)
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

/// One text or byte string per group. Texts compare as their bytes do, which is the order of their
/// code points.
#[derive(Debug)]
struct SingleBytes<R> {
    cells: Vec<Option<Vec<u8>>>,
    of: ArrowType,
    rule: PhantomData<fn() -> R>,
}

impl<R: Rule> SingleBytes<R> {
    #[inline]
    fn keep(&mut self, slot: u32, value: &[u8]) {
        match self.cells.get_mut(slot as usize) {
            Some(Some(kept)) if R::prefers(value, kept.as_slice()) => {
                kept.clear();
                kept.extend_from_slice(value);
            }
            Some(cell @ None) => *cell = Some(value.to_vec()),
            _ => {}
        }
    }
    fn keep_all(&mut self, slots: &[u32], values: &ArrayRef, rows: &Selection) -> Result<(), EvalError> {
        if let Some(texts) = values.as_string_opt::<i32>() {
            rows.for_each(slots, |slot, row| self.keep(slot, texts.value(row).as_bytes()));
        } else if let Some(values) = values.as_binary_opt::<i32>() {
            rows.for_each(slots, |slot, row| self.keep(slot, values.value(row)));
        } else {
            return Err(wrong_argument());
        }
        Ok(())
    }
    fn gather(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        bytes_column(
            &self.of,
            slots.len(),
            slots.iter().map(|slot| self.cells.get(*slot as usize)?.as_deref()),
        )
    }
}

/// Texts or byte strings as a column.
pub(crate) fn bytes_column<'a>(
    of: &ArrowType,
    length: usize,
    values: impl Iterator<Item = Option<&'a [u8]>> + Clone,
) -> Result<ArrayRef, EvalError> {
    let bytes: usize = values.clone().map(|it| it.map_or(0, <[u8]>::len)).sum();
    if i32::try_from(bytes).is_err() {
        return Err(EvalError::new(format!(
            "{length} values of {bytes} bytes together don't fit one column (2 GiB)"
        )));
    }
    let column: BinaryArray = values.collect();
    if *of == ArrowType::Utf8 {
        return Ok(Arc::new(StringArray::try_from_binary(column)?));
    }
    Ok(Arc::new(column))
}

impl<R: Rule> StateColumn for SingleBytes<R> {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.cells.len() {
            self.cells.resize(slots_end, None);
        }
    }
    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(cell) = self.cells.get_mut(*slot as usize) {
                *cell = None;
            }
        }
    }
    fn saved_type(&self) -> ArrowType {
        self.of.clone()
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.gather(slots).map_err(not_saved)
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(&self.of, slots, saved)?;
        self.reset(slots);
        let rows = Selection::present(std::slice::from_ref(saved), None);
        self.keep_all(slots, saved, &rows).map_err(not_saved)
    }
    fn memory(&self) -> usize {
        let bytes: usize = self.cells.iter().flatten().map(Vec::capacity).sum();
        bytes + self.cells.capacity() * size_of::<Option<Vec<u8>>>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<R: Rule> Accumulator for SingleBytes<R> {
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let rows = Selection::present(args, filter);
        self.keep_all(slots, args.first().ok_or_else(wrong_argument)?, &rows)
    }
    fn retract(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<(), EvalError> {
        Err(cannot_retract())
    }
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        if saved.data_type() != &self.of {
            return Err(not_ours(saved));
        }
        let rows = Selection::present(std::slice::from_ref(saved), None);
        self.keep_all(slots, saved, &rows)
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.gather(slots)
    }
}
