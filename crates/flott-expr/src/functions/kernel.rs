//! Loops that implementations share: NULL in, NULL out; one output buffer, no allocation per row.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
        NullBufferBuilder, PrimitiveArray, StringArray,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
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

/// A column of text under construction, all of it in one buffer.
///
/// ```text
///   text     h e l l o w o r l d        rows are appended to `text` and ended
///   offsets  0         5         10
/// ```
pub struct Texts {
    /// What the rows say, one after the other. Only ever appended to.
    text: String,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Texts {
    /// Room for so many rows of so many bytes in all.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let text = String::with_capacity(bytes.min(BATCH_TEXT_MAX));
        Self { text, offsets, nulls: NullBufferBuilder::new(rows) }
    }
    /// Adds to the row under construction.
    #[inline]
    pub fn push_str(&mut self, piece: &str) {
        self.text.push_str(piece);
    }
    /// Where the row under construction starts.
    fn start(&self) -> usize {
        self.offsets.last().map_or(0, |it| *it as usize)
    }
    /// Completes the row.
    ///
    /// # Errors
    /// The column has no room for it.
    #[inline]
    pub fn end_row(&mut self) -> Result<(), EvalError> {
        let (start, end) = (self.start(), self.text.len());
        if end > BATCH_TEXT_MAX {
            check_room(start, end - start)?;
        }
        self.offsets.push(end as i32);
        self.nulls.append_non_null();
        Ok(())
    }
    /// Completes the row as NULL, whatever was added to it.
    #[inline]
    pub fn end_null(&mut self) {
        self.text.truncate(self.start());
        self.offsets.push(self.text.len() as i32);
        self.nulls.append_null();
    }
    /// The column.
    pub fn finish(mut self) -> StringArray {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let text = Buffer::from_vec(self.text.into_bytes());
        // SAFETY: the bytes are those of a `String`, and every offset is the length that it had
        // once: a row starts and ends between two characters.
        unsafe { StringArray::new_unchecked(offsets, text, self.nulls.finish()) }
    }
}

/// A string per row. `write` appends the row's result to the column's text and doesn't look at what
/// stands there; answering `false` makes the row NULL (what was appended is dropped). Rows that are
/// NULL in `nulls` aren't visited.
///
/// # Errors
/// The first that `write` returns.
pub fn build_strings(
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, EvalError>,
) -> Result<ArrayRef, EvalError> {
    let mut out = Texts::with_capacity(rows, rows * 16);
    for row in 0..rows {
        if nulls.is_none_or(|it| it.is_valid(row)) && write(row, &mut out.text)? {
            out.end_row()?;
        } else {
            out.end_null();
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

/// Part of each string that isn't NULL in `nulls`, or NULL.
pub fn slice_strings<'a>(
    input: &'a StringArray,
    nulls: Option<&NullBuffer>,
    mut part: impl FnMut(usize, &'a str) -> Option<&'a str>,
) -> ArrayRef {
    let mut out = Texts::with_capacity(input.len(), text_bytes(input));
    for row in 0..input.len() {
        let part = if nulls.is_none_or(|it| it.is_valid(row)) { part(row, input.value(row)) } else { None };
        match part {
            // Parts of a column fit a column.
            Some(part) => {
                out.push_str(part);
                out.offsets.push(out.text.len() as i32);
                out.nulls.append_non_null();
            }
            None => out.end_null(),
        }
    }
    Arc::new(out.finish())
}

/// How much text the rows hold.
pub fn text_bytes(input: &StringArray) -> usize {
    let offsets = input.value_offsets();
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last - first) as usize,
        _ => 0,
    }
}

/// What is made from an argument's text before the rows that have it are computed: a pattern
/// compiled, a path read. A constant's is made once per batch, a column's once per text that it
/// has, so long as there aren't many.
///
/// ```text
///   row's text ── as in the row before? ── among the last few? ── make it
/// ```
pub struct Prepared<'a, T> {
    texts: &'a StringArray,
    known: Vec<(&'a str, T)>,
    current: usize,
    next: usize,
}

/// How many are kept.
const PREPARED_MAX: usize = 16;

impl<'a, T> Prepared<'a, T> {
    /// For the texts of a column.
    pub fn new(texts: &'a StringArray) -> Self {
        Self { texts, known: Vec::new(), current: 0, next: 0 }
    }
    /// What belongs to the row's text.
    ///
    /// # Errors
    /// That of `make`.
    #[inline]
    pub fn at(
        &mut self,
        row: usize,
        make: impl FnOnce(&'a str) -> Result<T, EvalError>,
    ) -> Result<&T, EvalError> {
        let text = self.texts.value(row);
        let same = self.known.get(self.current).is_some_and(|(known, _)| *known == text);
        if !same {
            self.find(text, make)?;
        }
        match self.known.get(self.current) {
            Some((_, it)) => Ok(it),
            None => Err(EvalError::internal("nothing was prepared")),
        }
    }
    fn find(
        &mut self,
        text: &'a str,
        make: impl FnOnce(&'a str) -> Result<T, EvalError>,
    ) -> Result<(), EvalError> {
        if let Some(at) = self.known.iter().position(|(known, _)| *known == text) {
            self.current = at;
            return Ok(());
        }
        let made = (text, make(text)?);
        self.current = self.next;
        self.next = (self.next + 1) % PREPARED_MAX;
        match self.known.get_mut(self.current) {
            Some(oldest) => *oldest = made,
            None => self.known.push(made),
        }
        Ok(())
    }
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
    let mut values = Vec::with_capacity(rows);
    let mut valid = NullBufferBuilder::new(rows);
    for row in 0..rows {
        let value = if nulls.is_none_or(|it| it.is_valid(row)) { compute(row)? } else { None };
        match value {
            Some(value) => {
                values.push(value);
                valid.append_non_null();
            }
            None => {
                values.push(T::default_value());
                valid.append_null();
            }
        }
    }
    Ok(PrimitiveArray::new(values.into(), valid.finish()))
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
