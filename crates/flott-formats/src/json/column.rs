//! Columns being built, each reading its values straight from JSON text.
//!
//! ```text
//!   Column::append(bytes, at) ──► value pushed, position behind it
//! ```
//!
//! Invariants
//! - `append` either pushes exactly one element or fails; after a failure the caller truncates.
//! - `truncate(n)` undoes everything behind the n-th element, children included.
//! - What a value may be for a type follows Flink's `json` format: numbers also from strings
//!   (trimmed), strings from any value, booleans from any scalar.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullBufferBuilder,
        PrimitiveArray, StructArray,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flott_expr::text::{parse_date, parse_decimal, parse_time, parse_timestamp};
use flott_types::{Code, DataType, Diagnostic, Result, TimestampUnit, TypeKind};

use super::{
    failure::{Fail, Failure, FailureKind},
    number::{double_at, java_double, java_integer, plain_integer, token_integer, trim},
    object::ObjectReader,
    scan::{number_end, skip_blanks, skip_value, skip_word, string_end, unescape},
    text::{Form, TextColumn, append_view, view_at},
};

/// Settings and scratch space that all columns of a decoder share.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Between date and time: a blank (SQL) or `T` (ISO-8601).
    pub separator: u8,
    /// A value that doesn't fit becomes NULL.
    pub bad_value_is_null: bool,
    /// Values that became NULL because of it.
    pub nulled: u64,
    /// A missing field fails the record.
    pub fail_on_missing: bool,
    /// For values that must be unescaped before they are read.
    pub scratch: Vec<u8>,
    /// The date of the timestamp read last, as text and as days: mostly the next one's too.
    pub last_date: ([u8; 10], i64),
}

/// A column of fixed-width values.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    arrow_type: ArrowType,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(arrow_type: ArrowType) -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0), arrow_type }
    }
    #[inline(always)]
    fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }
    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let room = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(room + room / 8));
        let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), self.nulls.finish())
            .map_err(internal)?
            .with_data_type(self.arrow_type.clone());
        Ok(Arc::new(array))
    }
}

/// A column of bytes, from base64.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    data: Vec<u8>,
    nulls: NullBufferBuilder,
}

/// A column of booleans.
#[derive(Debug)]
pub(crate) struct Booleans {
    bits: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

/// A column of arrays.
#[derive(Debug)]
pub(crate) struct Lists {
    offsets: Vec<i32>,
    items: Column,
    nulls: NullBufferBuilder,
    field: FieldRef,
}

/// A column of maps from text.
#[derive(Debug)]
pub(crate) struct Maps {
    offsets: Vec<i32>,
    keys: TextColumn,
    values: Column,
    nulls: NullBufferBuilder,
    entries: FieldRef,
}

/// A column of rows.
#[derive(Debug)]
pub(crate) struct Rows {
    reader: ObjectReader,
    len: usize,
    nulls: NullBufferBuilder,
    fields: Fields,
}

/// A column being built, by its storage.
#[derive(Debug)]
enum Storage {
    Boolean(Booleans),
    TinyInt(Numbers<Int8Type>),
    SmallInt(Numbers<Int16Type>),
    Int(Numbers<Int32Type>),
    BigInt(Numbers<Int64Type>),
    Float(Numbers<Float32Type>),
    Double(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>, u8, u8),
    Text(TextColumn),
    Bytes(Bytes),
    Date(Numbers<Date32Type>),
    Time(Numbers<Time32MillisecondType>),
    Millis(Numbers<TimestampMillisecondType>, Instant),
    Micros(Numbers<TimestampMicrosecondType>, Instant),
    Nanos(Numbers<TimestampNanosecondType>, Instant),
    Array(Box<Lists>),
    Map(Box<Maps>),
    Row(Box<Rows>),
}

/// How a timestamp column reads its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    unit: TimeUnit,
    /// Units to which values are cut: 1000 for TIMESTAMP(0), which is kept in milliseconds.
    step: i64,
    /// TIMESTAMP_LTZ: a `Z` must follow.
    zulu: bool,
}

impl Instant {
    fn of(precision: u8, zulu: bool) -> Self {
        let unit = TimestampUnit::of(precision);
        let kept = match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        };
        Self { unit, step: 10i64.pow(u32::from(kept - precision.min(kept))), zulu }
    }
}

/// A column being built.
#[derive(Debug)]
pub(crate) struct Column {
    storage: Storage,
    kind: TypeKind,
}

pub(crate) fn internal(error: impl fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}

/// Why the `json` format can't hold a type; `None` if it can.
pub(crate) fn unsupported(data_type: &DataType) -> Option<String> {
    match &data_type.kind {
        TypeKind::Interval(_) | TypeKind::Null | TypeKind::Variant | TypeKind::Bitmap => {
            Some(format!("the json format has no {data_type}"))
        }
        TypeKind::Array(element) => unsupported(element),
        TypeKind::Map(key, value) if key.is_character() => unsupported(value),
        TypeKind::Multiset(key) if key.is_character() => None,
        TypeKind::Map(..) | TypeKind::Multiset(_) => {
            Some(format!("the json format needs text as the key of {data_type}"))
        }
        TypeKind::Row(fields) => fields.iter().find_map(|field| unsupported(&field.data_type)),
        _ => None,
    }
}

impl Column {
    /// An empty column. `deferred` keeps views instead of text (only for CHAR and VARCHAR).
    ///
    /// # Errors
    /// A type that JSON doesn't hold.
    pub fn new(data_type: &DataType, deferred: bool) -> Result<Self> {
        if let Some(why) = unsupported(data_type) {
            return Err(Diagnostic::error(Code::UnsupportedUse, why));
        }
        let arrow_type = data_type.arrow_type();
        let storage = match &data_type.kind {
            TypeKind::Boolean => Storage::Boolean(Booleans {
                bits: BooleanBufferBuilder::new(0),
                nulls: NullBufferBuilder::new(0),
            }),
            TypeKind::TinyInt => Storage::TinyInt(Numbers::new(arrow_type)),
            TypeKind::SmallInt => Storage::SmallInt(Numbers::new(arrow_type)),
            TypeKind::Int => Storage::Int(Numbers::new(arrow_type)),
            TypeKind::BigInt => Storage::BigInt(Numbers::new(arrow_type)),
            TypeKind::Float => Storage::Float(Numbers::new(arrow_type)),
            TypeKind::Double => Storage::Double(Numbers::new(arrow_type)),
            TypeKind::Decimal(p, s) => Storage::Decimal(Numbers::new(arrow_type), *p, *s),
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
                Storage::Bytes(Bytes { offsets: vec![0], data: Vec::new(), nulls: NullBufferBuilder::new(0) })
            }
            TypeKind::Date => Storage::Date(Numbers::new(arrow_type)),
            TypeKind::Time(_) => Storage::Time(Numbers::new(arrow_type)),
            TypeKind::Timestamp(p) => timestamps(Instant::of(*p, false), arrow_type),
            TypeKind::TimestampLtz(p) => timestamps(Instant::of(*p, true), arrow_type),
            TypeKind::Array(element) => {
                let ArrowType::List(field) = arrow_type else { return Err(internal("an ARRAY is a list")) };
                let items = Column::new(element, false)?;
                let nulls = NullBufferBuilder::new(0);
                Storage::Array(Box::new(Lists { offsets: vec![0], items, nulls, field }))
            }
            TypeKind::Map(_, value) => maps(Column::new(value, false)?, arrow_type)?,
            TypeKind::Multiset(_) => maps(Column::new(&DataType::int(), false)?, arrow_type)?,
            TypeKind::Row(fields) => {
                let ArrowType::Struct(arrow_fields) = arrow_type else {
                    return Err(internal("a ROW is a struct"));
                };
                let columns: Result<Vec<_>> = fields
                    .iter()
                    .map(|field| Ok((field.name.clone(), Column::new(&field.data_type, false)?)))
                    .collect();
                let reader = ObjectReader::new(columns?);
                let nulls = NullBufferBuilder::new(0);
                Storage::Row(Box::new(Rows { reader, len: 0, nulls, fields: arrow_fields }))
            }
            _ => Storage::Text(TextColumn::new(deferred)),
        };
        Ok(Self { storage, kind: data_type.kind.clone() })
    }

    /// The text column behind it, if it is one.
    pub fn text_mut(&mut self) -> Option<&mut TextColumn> {
        match &mut self.storage {
            Storage::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements so far.
    #[inline(always)]
    pub fn len(&self) -> usize {
        match &self.storage {
            Storage::Boolean(it) => it.bits.len(),
            Storage::TinyInt(it) => it.values.len(),
            Storage::SmallInt(it) => it.values.len(),
            Storage::Int(it) => it.values.len(),
            Storage::BigInt(it) => it.values.len(),
            Storage::Float(it) => it.values.len(),
            Storage::Double(it) => it.values.len(),
            Storage::Decimal(it, ..) => it.values.len(),
            Storage::Text(it) => it.len(),
            Storage::Bytes(it) => it.offsets.len() - 1,
            Storage::Date(it) => it.values.len(),
            Storage::Time(it) => it.values.len(),
            Storage::Millis(it, _) => it.values.len(),
            Storage::Micros(it, _) => it.values.len(),
            Storage::Nanos(it, _) => it.values.len(),
            Storage::Array(it) => it.offsets.len() - 1,
            Storage::Map(it) => it.offsets.len() - 1,
            Storage::Row(it) => it.len,
        }
    }

    /// Drops the elements behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if self.len() < len {
            return;
        }
        match &mut self.storage {
            Storage::Boolean(it) => {
                it.bits.truncate(len);
                it.nulls.truncate(len);
            }
            Storage::TinyInt(it) => it.truncate(len),
            Storage::SmallInt(it) => it.truncate(len),
            Storage::Int(it) => it.truncate(len),
            Storage::BigInt(it) => it.truncate(len),
            Storage::Float(it) => it.truncate(len),
            Storage::Double(it) => it.truncate(len),
            Storage::Decimal(it, ..) => it.truncate(len),
            Storage::Text(it) => it.truncate(len),
            Storage::Bytes(it) => {
                it.data.truncate(cut(&mut it.offsets, len));
                it.nulls.truncate(len);
            }
            Storage::Date(it) => it.truncate(len),
            Storage::Time(it) => it.truncate(len),
            Storage::Millis(it, _) => it.truncate(len),
            Storage::Micros(it, _) => it.truncate(len),
            Storage::Nanos(it, _) => it.truncate(len),
            Storage::Array(it) => {
                it.items.truncate(cut(&mut it.offsets, len));
                it.nulls.truncate(len);
            }
            Storage::Map(it) => {
                let children = cut(&mut it.offsets, len);
                it.keys.truncate(children);
                it.values.truncate(children);
                it.nulls.truncate(len);
            }
            Storage::Row(it) => {
                it.reader.truncate(len);
                it.len = len;
                it.nulls.truncate(len);
            }
        }
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        match &mut self.storage {
            Storage::Boolean(it) => {
                it.bits.append(false);
                it.nulls.append_null();
            }
            Storage::TinyInt(it) => it.push_null(),
            Storage::SmallInt(it) => it.push_null(),
            Storage::Int(it) => it.push_null(),
            Storage::BigInt(it) => it.push_null(),
            Storage::Float(it) => it.push_null(),
            Storage::Double(it) => it.push_null(),
            Storage::Decimal(it, ..) => it.push_null(),
            Storage::Text(it) => it.push_null(),
            Storage::Bytes(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Storage::Date(it) => it.push_null(),
            Storage::Time(it) => it.push_null(),
            Storage::Millis(it, _) => it.push_null(),
            Storage::Micros(it, _) => it.push_null(),
            Storage::Nanos(it, _) => it.push_null(),
            Storage::Array(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Storage::Map(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Storage::Row(it) => {
                it.reader.push_nulls();
                it.len += 1;
                it.nulls.append_null();
            }
        }
    }

    /// Appends the value at `at`; answers with the position behind it.
    #[inline(always)]
    pub fn append(&mut self, bytes: &[u8], at: usize, reading: &mut Reading) -> Result<usize, Fail> {
        // The types that most columns have, for plain values, without a call.
        match &mut self.storage {
            Storage::BigInt(column) => {
                if let Some((value, end)) = plain_integer(bytes, at) {
                    column.push(value);
                    return Ok(end);
                }
            }
            Storage::Text(column) => return column.append(bytes, at),
            _ => {}
        }
        self.append_any(bytes, at, reading)
    }

    #[inline(never)]
    fn append_any(&mut self, bytes: &[u8], at: usize, reading: &mut Reading) -> Result<usize, Fail> {
        if bytes.get(at) == Some(&b'n') {
            let end = skip_word(bytes, at)?;
            self.push_null();
            return Ok(end);
        }
        let len = self.len();
        match self.append_value(bytes, at, reading) {
            Err(fail) if reading.bad_value_is_null && fail.kind == FailureKind::Value => {
                self.truncate(len);
                let end = skip_value(bytes, at)?;
                self.push_null();
                reading.nulled += 1;
                Ok(end)
            }
            outcome => outcome,
        }
    }

    fn append_value(&mut self, bytes: &[u8], at: usize, reading: &mut Reading) -> Result<usize, Fail> {
        let kind = &self.kind;
        match &mut self.storage {
            Storage::Boolean(column) => append_boolean(column, kind, bytes, at, reading),
            Storage::TinyInt(column) => append_integer(column, kind, bytes, at, reading, false),
            Storage::SmallInt(column) => append_integer(column, kind, bytes, at, reading, false),
            Storage::Int(column) => append_integer(column, kind, bytes, at, reading, true),
            Storage::BigInt(column) => append_integer(column, kind, bytes, at, reading, true),
            Storage::Float(column) => {
                let (value, end) = double(kind, bytes, at, reading)?;
                let narrow = value as f32;
                if narrow.is_infinite() && value.is_finite() {
                    return Err(Failure::value(at, bytes.get(at..end).unwrap_or_default(), kind));
                }
                column.push(narrow);
                Ok(end)
            }
            Storage::Double(column) => {
                let (value, end) = double(kind, bytes, at, reading)?;
                column.push(value);
                Ok(end)
            }
            Storage::Decimal(column, precision, scale) => {
                let parse = |text: &[u8]| parse_decimal(trim(text), *precision, *scale);
                push_scalar(column, kind, bytes, at, reading, parse)
            }
            Storage::Text(column) => column.append(bytes, at),
            Storage::Bytes(column) => append_bytes(column, kind, bytes, at, reading),
            Storage::Date(column) => push_string(column, kind, bytes, at, reading, parse_date),
            Storage::Time(column) => {
                let parse = |text: &[u8]| parse_time(text).filter(|_| text.len() >= 8);
                push_string(column, kind, bytes, at, reading, parse)
            }
            Storage::Millis(column, instant) => append_timestamp(column, *instant, kind, bytes, at, reading),
            Storage::Micros(column, instant) => append_timestamp(column, *instant, kind, bytes, at, reading),
            Storage::Nanos(column, instant) => append_timestamp(column, *instant, kind, bytes, at, reading),
            Storage::Array(column) => append_array(column, kind, bytes, at, reading),
            Storage::Map(column) => append_map(column, kind, bytes, at, reading),
            Storage::Row(column) => {
                if bytes.get(at) != Some(&b'{') {
                    return Err(wrong_shape(kind, bytes, at));
                }
                let end = column.reader.read(bytes, at, column.len, reading)?;
                column.len += 1;
                column.nulls.append_non_null();
                Ok(end)
            }
        }
    }

    /// The array; the column starts anew.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        match &mut self.storage {
            Storage::Boolean(it) => Ok(Arc::new(BooleanArray::new(it.bits.finish(), it.nulls.finish()))),
            Storage::TinyInt(it) => it.finish(),
            Storage::SmallInt(it) => it.finish(),
            Storage::Int(it) => it.finish(),
            Storage::BigInt(it) => it.finish(),
            Storage::Float(it) => it.finish(),
            Storage::Double(it) => it.finish(),
            Storage::Decimal(it, ..) => it.finish(),
            Storage::Text(it) => Ok(it.finish()),
            Storage::Bytes(it) => {
                let data = Buffer::from_vec(std::mem::take(&mut it.data));
                let array = BinaryArray::try_new(take_offsets(&mut it.offsets), data, it.nulls.finish());
                Ok(Arc::new(array.map_err(internal)?))
            }
            Storage::Date(it) => it.finish(),
            Storage::Time(it) => it.finish(),
            Storage::Millis(it, _) => it.finish(),
            Storage::Micros(it, _) => it.finish(),
            Storage::Nanos(it, _) => it.finish(),
            Storage::Array(it) => {
                let (offsets, items) = (take_offsets(&mut it.offsets), it.items.finish()?);
                let array = ListArray::try_new(it.field.clone(), offsets, items, it.nulls.finish());
                Ok(Arc::new(array.map_err(internal)?))
            }
            Storage::Map(it) => it.finish(),
            Storage::Row(it) => {
                let len = std::mem::take(&mut it.len);
                let nulls = it.nulls.finish();
                let columns = it.reader.finish()?;
                let array = StructArray::try_new_with_length(it.fields.clone(), columns, nulls, len);
                Ok(Arc::new(array.map_err(internal)?))
            }
        }
    }
}

impl Maps {
    fn finish(&mut self) -> Result<ArrayRef> {
        let ArrowType::Struct(fields) = self.entries.data_type() else {
            return Err(internal("a map's entries are a struct"));
        };
        let (keys, values) = (self.keys.finish(), self.values.finish()?);
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(internal)?;
        let offsets = take_offsets(&mut self.offsets);
        let array = MapArray::try_new(self.entries.clone(), offsets, entries, self.nulls.finish(), false);
        Ok(Arc::new(array.map_err(internal)?))
    }
}

fn timestamps(instant: Instant, arrow_type: ArrowType) -> Storage {
    match instant.unit {
        TimeUnit::Second | TimeUnit::Millisecond => Storage::Millis(Numbers::new(arrow_type), instant),
        TimeUnit::Microsecond => Storage::Micros(Numbers::new(arrow_type), instant),
        TimeUnit::Nanosecond => Storage::Nanos(Numbers::new(arrow_type), instant),
    }
}

fn maps(values: Column, arrow_type: ArrowType) -> Result<Storage> {
    let ArrowType::Map(entries, _) = arrow_type else { return Err(internal("a MAP is a map")) };
    let nulls = NullBufferBuilder::new(0);
    Ok(Storage::Map(Box::new(Maps {
        offsets: vec![0],
        keys: TextColumn::new(false),
        values,
        nulls,
        entries,
    })))
}

/// Drops the offsets behind the first `len` elements; answers with how many children remain.
fn cut(offsets: &mut Vec<i32>, len: usize) -> usize {
    offsets.truncate(len + 1);
    offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
}

fn repeat_last(offsets: &mut Vec<i32>, nulls: &mut NullBufferBuilder) {
    offsets.push(offsets.last().copied().unwrap_or(0));
    nulls.append_null();
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let room = offsets.len();
    let taken = std::mem::replace(offsets, Vec::with_capacity(room));
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

/// The value at `at` is an object or array (or nothing at all) where the type wants another shape.
#[cold]
fn wrong_shape(kind: &TypeKind, bytes: &[u8], at: usize) -> Fail {
    match skip_value(bytes, at) {
        Ok(end) => Failure::value(at, bytes.get(at..end).unwrap_or_default(), kind),
        Err(fail) => fail,
    }
}

/// Hands the text of the string or other scalar at `at` to `parse`; answers with what it makes of
/// it and the position behind the value.
#[inline]
fn scalar<T>(
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    scratch: &mut Vec<u8>,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<(T, usize), Fail> {
    let (view, end) = view_at(bytes, at)?;
    let raw = bytes.get(view.at..view.end).unwrap_or_default();
    let parsed = match view.form {
        Form::Plain => parse(raw),
        Form::Escaped => {
            scratch.clear();
            append_view(bytes, view, scratch);
            parse(scratch)
        }
        Form::Null | Form::Nested => None,
    };
    match parsed {
        Some(value) => Ok((value, end)),
        None => Err(Failure::value(at, raw, kind)),
    }
}

fn push_scalar<T: ArrowPrimitiveType>(
    column: &mut Numbers<T>,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
    parse: impl FnOnce(&[u8]) -> Option<T::Native>,
) -> Result<usize, Fail> {
    let (value, end) = scalar(kind, bytes, at, &mut reading.scratch, parse)?;
    column.push(value);
    Ok(end)
}

/// As [`push_scalar`], but only strings will do.
fn push_string<T: ArrowPrimitiveType>(
    column: &mut Numbers<T>,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
    parse: impl FnOnce(&[u8]) -> Option<T::Native>,
) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'"') {
        return Err(wrong_shape(kind, bytes, at));
    }
    push_scalar(column, kind, bytes, at, reading, parse)
}

fn append_boolean(
    column: &mut Booleans,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
) -> Result<usize, Fail> {
    // As Flink: `true` in any case, also as a string, is TRUE; every other scalar is FALSE.
    let parse = |text: &[u8]| Some(trim(text).eq_ignore_ascii_case(b"true"));
    let (value, end) = scalar(kind, bytes, at, &mut reading.scratch, parse)?;
    column.bits.append(value);
    column.nulls.append_non_null();
    Ok(end)
}

fn append_integer<T: ArrowPrimitiveType>(
    column: &mut Numbers<T>,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
    truncate: bool,
) -> Result<usize, Fail>
where
    T::Native: TryFrom<i64>,
{
    let narrow = |value: i64| T::Native::try_from(value).ok();
    if let Some((value, end)) = plain_integer(bytes, at) {
        let fits = narrow(value);
        column.push(fits.ok_or_else(|| Failure::value(at, bytes.get(at..end).unwrap_or_default(), kind))?);
        return Ok(end);
    }
    if let Some(b'-' | b'0'..=b'9') = bytes.get(at) {
        let number = number_end(bytes, at)?;
        let token = bytes.get(at..number.end).unwrap_or_default();
        let value = token_integer(token, number.integral, truncate).and_then(narrow);
        column.push(value.ok_or_else(|| Failure::value(at, token, kind))?);
        return Ok(number.end);
    }
    push_string(column, kind, bytes, at, reading, |text| java_integer(trim(text)).and_then(narrow))
}

fn double(kind: &TypeKind, bytes: &[u8], at: usize, reading: &mut Reading) -> Result<(f64, usize), Fail> {
    if let Some(b'-' | b'0'..=b'9') = bytes.get(at) {
        let (value, end) = double_at(bytes, at)?;
        let value = value.ok_or_else(|| Failure::value(at, bytes.get(at..end).unwrap_or_default(), kind))?;
        return Ok((value, end));
    }
    if bytes.get(at) != Some(&b'"') {
        return Err(wrong_shape(kind, bytes, at));
    }
    scalar(kind, bytes, at, &mut reading.scratch, |text| java_double(trim(text)))
}

fn append_bytes(
    column: &mut Bytes,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'"') {
        return Err(wrong_shape(kind, bytes, at));
    }
    let start = column.data.len();
    let data = &mut column.data;
    let parse = |text: &[u8]| {
        if STANDARD.decode_vec(text, data).is_ok() {
            return Some(());
        }
        data.truncate(start);
        let dense: Vec<u8> = text.iter().copied().filter(|byte| *byte > b' ').collect();
        STANDARD.decode_vec(dense, data).ok()
    };
    let parsed = scalar(kind, bytes, at, &mut reading.scratch, parse);
    let offset = i32::try_from(column.data.len()).map_err(|_| Failure::too_large(at));
    match (parsed, offset) {
        (Ok(((), end)), Ok(offset)) => {
            column.offsets.push(offset);
            column.nulls.append_non_null();
            Ok(end)
        }
        (Err(fail), _) | (_, Err(fail)) => {
            column.data.truncate(start);
            Err(fail)
        }
    }
}

#[inline]
fn append_timestamp<T: ArrowPrimitiveType<Native = i64>>(
    column: &mut Numbers<T>,
    instant: Instant,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'"') {
        return Err(wrong_shape(kind, bytes, at));
    }
    let end = string_end(bytes, at + 1)?;
    let raw = bytes.get(at + 1..end.quote).unwrap_or_default();
    let parsed = if end.escaped {
        reading.scratch.clear();
        unescape(raw, &mut reading.scratch);
        parse_timestamp(&reading.scratch, instant.unit, reading.separator, instant.zulu)
    } else {
        let fast = plain_timestamp(raw, instant, reading.separator, &mut reading.last_date);
        fast.or_else(|| parse_timestamp(raw, instant.unit, reading.separator, instant.zulu))
    };
    let value = parsed.ok_or_else(|| Failure::value(at, raw, kind))?;
    column.push(if instant.step == 1 { value } else { value - value.rem_euclid(instant.step) });
    Ok(end.quote + 1)
}

/// `yyyy-MM-dd?HH:mm:ss` with no fraction or three digits of it, in milliseconds: what nearly all
/// timestamps look like. `None` sends the caller to the careful path.
#[inline(always)]
fn plain_timestamp(
    text: &[u8],
    instant: Instant,
    separator: u8,
    last_date: &mut ([u8; 10], i64),
) -> Option<i64> {
    let text = if instant.zulu { text.strip_suffix(b"Z")? } else { text };
    let date = text.first_chunk::<10>()?;
    if *text.get(10)? != separator || instant.unit != TimeUnit::Millisecond {
        return None;
    }
    let clock = u64::from_le_bytes(*text.get(11..)?.first_chunk::<8>()?);
    // `HH:mm:ss`: bytes 2 and 5 are colons, the others digits.
    const COLONS: u64 = 0x0000_3A00_003A_0000;
    const COLON_BYTES: u64 = 0x0000_FF00_00FF_0000;
    let digits = (clock & !COLON_BYTES) ^ (0x3030_3030_3030_3030 & !COLON_BYTES);
    let not_digits = digits.wrapping_add(0x7676_7676_7676_7676 & !COLON_BYTES) & 0x8080_8080_8080_8080;
    if clock & COLON_BYTES != COLONS || not_digits != 0 || digits & 0xF0F0_F0F0_F0F0_F0F0 != 0 {
        return None;
    }
    let pair = |shift: u32| ((digits >> shift) & 15) * 10 + ((digits >> (shift + 8)) & 15);
    let (hour, minute, second) = (pair(0), pair(24), pair(48));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millis = match text.get(19..)? {
        [] => 0,
        [b'.', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u64::from(a - b'0') * 100 + u64::from(b - b'0') * 10 + u64::from(c - b'0')
        }
        _ => return None,
    };
    if last_date.0 != *date {
        *last_date = (*date, i64::from(parse_date(date)?));
    }
    let of_day = (hour * 3600 + minute * 60 + second) * 1000 + millis;
    last_date.1.checked_mul(86_400_000)?.checked_add(of_day as i64)
}

fn append_array(
    column: &mut Lists,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'[') {
        return Err(wrong_shape(kind, bytes, at));
    }
    let mut at = skip_blanks(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        at += 1;
    } else {
        loop {
            at = skip_blanks(bytes, column.items.append(bytes, at, reading)?);
            match bytes.get(at) {
                Some(b',') => at = skip_blanks(bytes, at + 1),
                Some(b']') => break at += 1,
                _ => return Err(Failure::malformed(at, "expected ',' or ']'")),
            }
        }
    }
    column.offsets.push(i32::try_from(column.items.len()).map_err(|_| Failure::too_large(at))?);
    column.nulls.append_non_null();
    Ok(at)
}

fn append_map(
    column: &mut Maps,
    kind: &TypeKind,
    bytes: &[u8],
    at: usize,
    reading: &mut Reading,
) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'{') {
        return Err(wrong_shape(kind, bytes, at));
    }
    let (entries, end) = map_entries(bytes, at)?;
    for (key, value) in last_of_each(entries) {
        column.keys.push_text(&key, value)?;
        column
            .values
            .append(bytes, value, reading)
            .map_err(|fail| fail.inside(&String::from_utf8_lossy(&key)))?;
    }
    column.offsets.push(i32::try_from(column.keys.len()).map_err(|_| Failure::too_large(at))?);
    column.nulls.append_non_null();
    Ok(end)
}

/// Keys and positions of values of the object at `at`, and the position behind it.
type MapEntries = Vec<(Vec<u8>, usize)>;

fn map_entries(bytes: &[u8], at: usize) -> Result<(MapEntries, usize), Fail> {
    let mut entries = MapEntries::new();
    let mut at = skip_blanks(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Ok((entries, at + 1));
    }
    loop {
        let (key, value) = super::object::key_at(bytes, at)?;
        let mut text = Vec::new();
        append_view(bytes, key, &mut text);
        entries.push((text, value));
        at = skip_blanks(bytes, skip_value(bytes, value)?);
        match bytes.get(at) {
            Some(b',') => at = skip_blanks(bytes, at + 1),
            Some(b'}') => return Ok((entries, at + 1)),
            _ => return Err(Failure::malformed(at, "expected ',' or '}'")),
        }
    }
}

/// Of equal keys only the last entry, in order.
fn last_of_each(entries: MapEntries) -> MapEntries {
    let mut seen = std::collections::BTreeSet::new();
    let mut last: Vec<bool> = entries.iter().rev().map(|(key, _)| seen.insert(key.clone())).collect();
    last.reverse();
    entries.into_iter().zip(last).filter_map(|(entry, last)| last.then_some(entry)).collect()
}

#[cfg(test)]
mod tests {
    use flott_expr::text::{append_timestamp, parse_timestamp};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The fast path for timestamps agrees with the careful one, also on damaged text.
        #[test]
        fn plain_timestamps(
            millis in -62_135_596_800_000i64..253_402_300_799_999,
            precision in prop_oneof![Just(0u8), Just(3)],
            damage in proptest::option::of((0usize..23, any::<u8>())),
        ) {
            let mut text = Vec::new();
            append_timestamp(&mut text, millis, TimeUnit::Millisecond, precision, b' ');
            if let Some((at, byte)) = damage && let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            let instant = Instant::of(3, false);
            let careful = parse_timestamp(&text, TimeUnit::Millisecond, b' ', false);
            if let Some(fast) = plain_timestamp(&text, instant, b' ', &mut (*b"1970-01-01", 0)) {
                prop_assert_eq!(Some(fast), careful);
            } else {
                prop_assert!(damage.is_some() || careful.is_none());
            }
        }
    }
}
