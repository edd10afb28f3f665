//! Loops that implementations share: NULL in, NULL out; one output buffer, no allocation per row.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
        PrimitiveArray, StringArray, StringBuilder,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{Float64Type, Int32Type, Int64Type},
};

use super::Call;
use crate::{EvalError, Value, functions::signature};

impl<'a> Call<'a> {
    /// The argument as an array of this primitive type.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn primitive<T: ArrowPrimitiveType>(&self, index: usize) -> Result<&'a PrimitiveArray<T>, EvalError> {
        self.args.get(index).and_then(|it| it.as_primitive_opt::<T>()).ok_or_else(|| self.mismatch(index))
    }
    /// The argument as INTs.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn ints(&self, index: usize) -> Result<&'a PrimitiveArray<Int32Type>, EvalError> {
        self.primitive(index)
    }
    /// The argument as BIGINTs.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn bigints(&self, index: usize) -> Result<&'a PrimitiveArray<Int64Type>, EvalError> {
        self.primitive(index)
    }
    /// The argument as DOUBLEs.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn doubles(&self, index: usize) -> Result<&'a PrimitiveArray<Float64Type>, EvalError> {
        self.primitive(index)
    }
    /// The argument as DECIMALs.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn decimals(&self, index: usize) -> Result<&'a Decimal128Array, EvalError> {
        self.primitive(index)
    }
    /// The argument as strings.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn strings(&self, index: usize) -> Result<&'a StringArray, EvalError> {
        self.args.get(index).and_then(|it| it.as_string_opt::<i32>()).ok_or_else(|| self.mismatch(index))
    }
    /// The argument as byte strings.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn binaries(&self, index: usize) -> Result<&'a BinaryArray, EvalError> {
        self.args.get(index).and_then(|it| it.as_binary_opt::<i32>()).ok_or_else(|| self.mismatch(index))
    }
    /// The argument as BOOLEANs.
    ///
    /// # Errors
    /// Internal: the signature asked for another type.
    pub fn booleans(&self, index: usize) -> Result<&'a BooleanArray, EvalError> {
        self.args.get(index).and_then(|it| it.as_boolean_opt()).ok_or_else(|| self.mismatch(index))
    }
    /// The constant behind the argument, if it is one: an implementation can then prepare once.
    pub fn literal(&self, index: usize) -> Option<&'a Value> {
        self.exprs.get(index).and_then(signature::literal)
    }
    /// The text behind the argument, if it is a string constant.
    pub fn literal_text(&self, index: usize) -> Option<&'a str> {
        self.exprs.get(index).and_then(signature::literal_text)
    }
    /// NULL where any argument is NULL.
    pub fn nulls(&self) -> Option<NullBuffer> {
        nulls_of(self.args)
    }
    fn mismatch(&self, index: usize) -> EvalError {
        EvalError::internal(format!("argument {index} doesn't have the type that the signature asks for"))
    }
}

/// NULL where any of the arrays is.
pub fn nulls_of(arrays: &[ArrayRef]) -> Option<NullBuffer> {
    arrays.iter().fold(None, |nulls, array| NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref()))
}

/// Text in one column of a batch. Beyond it the batch fails and is done again in halves, so that
/// neither memory nor 32-bit offsets run out.
const BATCH_TEXT_MAX: usize = 32 << 20;

/// Whether a column that holds so many bytes has room for a value of so many.
///
/// # Errors
/// It hasn't. The column's first value fits unless it alone is too long.
pub fn check_room(held: usize, more: usize) -> Result<(), EvalError> {
    let all = held.saturating_add(more);
    if all <= BATCH_TEXT_MAX || (held == 0 && i32::try_from(all).is_ok()) {
        return Ok(());
    }
    Err(EvalError::new(format!("a result of {all} bytes is too long")))
}

/// A string per row. `write` appends the row's result to its buffer; answering `false` makes the
/// row NULL (what was appended is dropped). Rows that are NULL in `nulls` aren't visited.
///
/// # Errors
/// The first that `write` returns.
pub fn build_strings(
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, EvalError>,
) -> Result<ArrayRef, EvalError> {
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    let mut scratch = String::new();
    for row in 0..rows {
        if nulls.is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        scratch.clear();
        if write(row, &mut scratch)? {
            check_room(out.values_slice().len(), scratch.len())?;
            out.append_value(&scratch);
        } else {
            out.append_null();
        }
    }
    Ok(Arc::new(out.finish()))
}

/// A string from each string. NULL gives NULL.
///
/// # Errors
/// The first that `write` returns.
pub fn map_strings(
    input: &StringArray,
    mut write: impl FnMut(&str, &mut String) -> Result<(), EvalError>,
) -> Result<ArrayRef, EvalError> {
    build_strings(input.len(), input.nulls(), |row, out| write(input.value(row), out).map(|()| true))
}

/// Part of each string, or NULL, without copying through a scratch buffer.
pub fn slice_strings(input: &StringArray, mut part: impl FnMut(&str) -> Option<&str>) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(input.len(), input.values().len());
    for text in input {
        out.append_option(text.and_then(&mut part));
    }
    Arc::new(out.finish())
}

/// A number from each row that isn't NULL; `None` makes the row NULL.
///
/// # Errors
/// The first that `compute` returns.
pub fn build_primitive<T: ArrowPrimitiveType>(
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut compute: impl FnMut(usize) -> Result<Option<T::Native>, EvalError>,
) -> Result<PrimitiveArray<T>, EvalError> {
    let mut out = arrow::array::PrimitiveBuilder::<T>::with_capacity(rows);
    for row in 0..rows {
        if nulls.is_some_and(|it| it.is_null(row)) {
            out.append_null();
        } else {
            out.append_option(compute(row)?);
        }
    }
    Ok(out.finish())
}

/// TRUE or FALSE from each row that isn't NULL.
pub fn build_booleans(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut compute: impl FnMut(usize) -> bool,
) -> ArrayRef {
    let values = BooleanBuffer::collect_bool(rows, |row| {
        nulls.as_ref().is_none_or(|it| it.is_valid(row)) && compute(row)
    });
    Arc::new(BooleanArray::new(values, nulls))
}

/// A predicate over strings. NULL gives NULL.
pub fn test_strings(input: &StringArray, mut test: impl FnMut(&str) -> bool) -> ArrayRef {
    build_booleans(input.len(), input.nulls().cloned(), |row| test(input.value(row)))
}
