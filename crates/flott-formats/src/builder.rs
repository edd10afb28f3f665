//! Columns being built, for the formats whose schema says the type of each value: Avro and Protobuf.
//!
//! ```text
//!   DataType ─► Column ◄─ push: one value of its storage     a record fails half-way ─► truncate(rows before it)
//!                 └─ finish ─► Arrow array, and the column starts anew with room for as much
//! ```
//!
//! What a value means (a date, a timestamp's unit) is only in the Arrow type; readers match on the storage, once
//! a value, and readers of several versions of a schema append to the same columns.
//!
//! Invariants
//! - Every `push` and every `end` appends exactly one element, or fails and appends none.
//! - `truncate(n)` undoes everything behind the n-th element, and what was appended to children for one that
//!   was never finished.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayData, ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray,
        NullBufferBuilder, StringArray, StructArray, make_array,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType as ArrowType, FieldRef, Fields},
};
use flott_types::{Code, DataType, Diagnostic, Result, TypeKind};

/// A column of values of a fixed width; what they mean is only in their Arrow type.
#[derive(Debug)]
pub(crate) struct Numbers<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
    arrow_type: ArrowType,
}

impl<T: ArrowNativeType> Numbers<T> {
    fn new(arrow_type: ArrowType) -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0), arrow_type }
    }
    #[inline(always)]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }
    fn push_null(&mut self) {
        self.values.push(T::default());
        self.nulls.append_null();
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        truncate_nulls(&mut self.nulls, len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(rows + rows / 8));
        let data = ArrayData::builder(self.arrow_type.clone())
            .len(rows)
            .add_buffer(Buffer::from_vec(values))
            .nulls(self.nulls.finish())
            .build()
            .map_err(internal)?;
        Ok(make_array(data))
    }
}

fn truncate_nulls(nulls: &mut NullBufferBuilder, len: usize) {
    if nulls.len() > len {
        nulls.truncate(len);
    }
}

/// A column of bytes, which may have to be text.
#[derive(Debug)]
pub(crate) struct Strings {
    offsets: Vec<i32>,
    data: Vec<u8>,
    nulls: NullBufferBuilder,
    is_text: bool,
}

/// Why bytes can't be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// They aren't UTF-8.
    NoText,
    /// The column's bytes would be more than 31 bits can count.
    TooMuch,
}

/// Values up to this length are looked at and copied with a fixed length, which is cheaper than a call.
const SHORT: usize = 64;

/// One bit per byte that is above ASCII. SSE2 is part of every x86-64.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
fn above_ascii(bytes: &[u8; SHORT]) -> u64 {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_movemask_epi8};
    let mut bits = 0;
    for (i, lane) in bytes.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: `lane` is 16 readable bytes, the load needs no alignment, and the target has SSE2.
        let mask = unsafe { _mm_movemask_epi8(_mm_loadu_si128(lane.as_ptr().cast::<__m128i>())) };
        bits |= u64::from(mask as u32) << (16 * i);
    }
    bits
}

/// One bit per byte that is above ASCII.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn above_ascii(bytes: &[u8; SHORT]) -> u64 {
    bytes.iter().enumerate().fold(0, |bits, (i, byte)| bits | (u64::from(byte >> 7) << i))
}

/// For what is seldom short: its last bytes are looked at twice rather than one by one.
#[inline(always)]
fn is_ascii(bytes: &[u8]) -> bool {
    match bytes.last_chunk::<SHORT>() {
        Some(last) => bytes.as_chunks::<SHORT>().0.iter().chain([last]).all(|it| above_ascii(it) == 0),
        None => bytes.is_ascii(),
    }
}

#[inline(never)]
fn check_utf8(bytes: &[u8]) -> Result<(), Unfit> {
    simdutf8::basic::from_utf8(bytes).map(|_| ()).map_err(|_| Unfit::NoText)
}

impl Strings {
    fn new(is_text: bool) -> Self {
        Self { offsets: vec![0], data: Vec::new(), nulls: NullBufferBuilder::new(0), is_text }
    }
    /// Appends `bytes`, with which `rest` begins.
    #[inline(always)]
    pub fn push(&mut self, bytes: &[u8], rest: &[u8]) -> Result<(), Unfit> {
        let end = self.data.len() + bytes.len();
        let Ok(offset) = i32::try_from(end) else { return Err(Unfit::TooMuch) };
        match rest.first_chunk::<SHORT>() {
            Some(more) if bytes.len() <= SHORT => {
                // No loop, whose end would be another one for every value.
                let own = u64::MAX.checked_shr((SHORT - bytes.len()) as u32).unwrap_or(0);
                if self.is_text && above_ascii(more) & own != 0 {
                    check_utf8(bytes)?;
                }
                self.data.extend_from_slice(more);
                self.data.truncate(end);
            }
            _ => {
                if self.is_text && !is_ascii(bytes) {
                    check_utf8(bytes)?;
                }
                self.data.extend_from_slice(bytes);
            }
        }
        self.offsets.push(offset);
        self.nulls.append_non_null();
        Ok(())
    }
    fn push_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.data.truncate(usize::try_from(end).unwrap_or(0));
        truncate_nulls(&mut self.nulls, len);
    }
    fn finish(&mut self) -> ArrayRef {
        let offsets = take_offsets(&mut self.offsets);
        let data = std::mem::take(&mut self.data);
        self.data.reserve(data.len() + data.len() / 8);
        let (data, nulls) = (Buffer::from_vec(data), self.nulls.finish());
        if self.is_text {
            // SAFETY: offsets count up from 0 to the buffer's length, and every value was checked to be
            // UTF-8 when it was appended.
            return Arc::new(unsafe { StringArray::new_unchecked(offsets, data, nulls) });
        }
        // SAFETY: offsets count up from 0 to the buffer's length.
        Arc::new(unsafe { BinaryArray::new_unchecked(offsets, data, nulls) })
    }
}

/// The offsets so far; they start anew with room for as many.
fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let room = offsets.len() + offsets.len() / 8;
    let taken = std::mem::replace(offsets, Vec::with_capacity(room));
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

/// A column of arrays.
#[derive(Debug)]
pub(crate) struct Lists {
    offsets: Vec<i32>,
    pub items: Column,
    nulls: NullBufferBuilder,
    field: FieldRef,
}

/// A column of maps.
#[derive(Debug)]
pub(crate) struct Maps {
    offsets: Vec<i32>,
    pub keys: Column,
    pub values: Column,
    nulls: NullBufferBuilder,
    entries: FieldRef,
}

/// A column of rows.
#[derive(Debug)]
pub(crate) struct Rows {
    pub columns: Vec<Column>,
    len: usize,
    nulls: NullBufferBuilder,
    fields: Fields,
}

impl Rows {
    /// A row is there, all of its columns have got their values.
    pub fn end(&mut self) {
        self.len += 1;
        self.nulls.append_non_null();
    }
}

/// A column of booleans.
#[derive(Debug)]
pub(crate) struct Booleans {
    bits: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Booleans {
    pub fn push(&mut self, value: bool) {
        self.bits.append(value);
        self.nulls.append_non_null();
    }
}

/// A column being built, by its storage.
#[derive(Debug)]
pub(crate) enum Column {
    Boolean(Booleans),
    I8(Numbers<i8>),
    I16(Numbers<i16>),
    I32(Numbers<i32>),
    I64(Numbers<i64>),
    F32(Numbers<f32>),
    F64(Numbers<f64>),
    I128(Numbers<i128>),
    Strings(Strings),
    List(Box<Lists>),
    Map(Box<Maps>),
    Row(Box<Rows>),
}

impl Column {
    /// An empty column of this type.
    ///
    /// # Errors
    /// `Internal`: a type that tables of these formats are refused for.
    pub fn new(data_type: &DataType) -> Result<Self> {
        let arrow_type = data_type.arrow_type();
        let nulls = NullBufferBuilder::new(0);
        Ok(match (&data_type.kind, arrow_type) {
            (TypeKind::Boolean, _) => Column::Boolean(Booleans { bits: BooleanBufferBuilder::new(0), nulls }),
            (TypeKind::TinyInt, it) => Column::I8(Numbers::new(it)),
            (TypeKind::SmallInt, it) => Column::I16(Numbers::new(it)),
            (TypeKind::Int | TypeKind::Date | TypeKind::Time(_), it) => Column::I32(Numbers::new(it)),
            (TypeKind::BigInt | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_), it) => {
                Column::I64(Numbers::new(it))
            }
            (TypeKind::Float, it) => Column::F32(Numbers::new(it)),
            (TypeKind::Double, it) => Column::F64(Numbers::new(it)),
            (TypeKind::Decimal(..), it) => Column::I128(Numbers::new(it)),
            (TypeKind::Char(_) | TypeKind::Varchar(_), _) => Column::Strings(Strings::new(true)),
            (TypeKind::Binary(_) | TypeKind::Varbinary(_), _) => Column::Strings(Strings::new(false)),
            (TypeKind::Array(item), ArrowType::List(field)) => {
                let items = Column::new(item)?;
                Column::List(Box::new(Lists { offsets: vec![0], items, nulls, field }))
            }
            (TypeKind::Map(key, value), ArrowType::Map(entries, _)) => Self::map(key, value, entries)?,
            (TypeKind::Multiset(key), ArrowType::Map(entries, _)) => {
                Self::map(key, &DataType::int(), entries)?
            }
            (TypeKind::Row(fields), ArrowType::Struct(arrow_fields)) => {
                let columns = fields.iter().map(|it| Column::new(&it.data_type)).collect::<Result<_>>()?;
                Column::Row(Box::new(Rows { columns, len: 0, nulls, fields: arrow_fields }))
            }
            _ => return Err(internal(format!("no column of {data_type} can be built"))),
        })
    }

    fn map(key: &DataType, value: &DataType, entries: FieldRef) -> Result<Self> {
        let (keys, values) = (Column::new(key)?, Column::new(value)?);
        let nulls = NullBufferBuilder::new(0);
        Ok(Column::Map(Box::new(Maps { offsets: vec![0], keys, values, nulls, entries })))
    }

    /// Elements so far.
    pub fn len(&self) -> usize {
        match self {
            Column::Boolean(it) => it.bits.len(),
            Column::I8(it) => it.values.len(),
            Column::I16(it) => it.values.len(),
            Column::I32(it) => it.values.len(),
            Column::I64(it) => it.values.len(),
            Column::F32(it) => it.values.len(),
            Column::F64(it) => it.values.len(),
            Column::I128(it) => it.values.len(),
            Column::Strings(it) => it.len(),
            Column::List(it) => it.offsets.len() - 1,
            Column::Map(it) => it.offsets.len() - 1,
            Column::Row(it) => it.len,
        }
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        match self {
            Column::Boolean(it) => {
                it.bits.append(false);
                it.nulls.append_null();
            }
            Column::I8(it) => it.push_null(),
            Column::I16(it) => it.push_null(),
            Column::I32(it) => it.push_null(),
            Column::I64(it) => it.push_null(),
            Column::F32(it) => it.push_null(),
            Column::F64(it) => it.push_null(),
            Column::I128(it) => it.push_null(),
            Column::Strings(it) => it.push_null(),
            Column::List(it) => {
                it.offsets.push(it.offsets.last().copied().unwrap_or(0));
                it.nulls.append_null();
            }
            Column::Map(it) => {
                it.offsets.push(it.offsets.last().copied().unwrap_or(0));
                it.nulls.append_null();
            }
            Column::Row(it) => {
                it.columns.iter_mut().for_each(Column::push_null);
                it.len += 1;
                it.nulls.append_null();
            }
        }
    }

    /// Drops all elements behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if self.len() < len {
            return;
        }
        match self {
            Column::Boolean(it) => {
                it.bits.truncate(len);
                truncate_nulls(&mut it.nulls, len);
            }
            Column::I8(it) => it.truncate(len),
            Column::I16(it) => it.truncate(len),
            Column::I32(it) => it.truncate(len),
            Column::I64(it) => it.truncate(len),
            Column::F32(it) => it.truncate(len),
            Column::F64(it) => it.truncate(len),
            Column::I128(it) => it.truncate(len),
            Column::Strings(it) => it.truncate(len),
            Column::List(it) => {
                it.offsets.truncate(len + 1);
                it.items.truncate(last(&it.offsets));
                truncate_nulls(&mut it.nulls, len);
            }
            Column::Map(it) => {
                it.offsets.truncate(len + 1);
                it.keys.truncate(last(&it.offsets));
                it.values.truncate(last(&it.offsets));
                truncate_nulls(&mut it.nulls, len);
            }
            Column::Row(it) => {
                // Of a row that was not completed, too: its columns may have more than it counts.
                it.columns.iter_mut().for_each(|column| column.truncate(len));
                it.len = len;
                truncate_nulls(&mut it.nulls, len);
            }
        }
    }

    /// The array; the column starts anew with room for as much.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Boolean(it) => Arc::new(BooleanArray::new(it.bits.finish(), it.nulls.finish())),
            Column::I8(it) => it.finish()?,
            Column::I16(it) => it.finish()?,
            Column::I32(it) => it.finish()?,
            Column::I64(it) => it.finish()?,
            Column::F32(it) => it.finish()?,
            Column::F64(it) => it.finish()?,
            Column::I128(it) => it.finish()?,
            Column::Strings(it) => it.finish(),
            Column::List(it) => {
                let (offsets, items) = (take_offsets(&mut it.offsets), it.items.finish()?);
                let array = ListArray::try_new(it.field.clone(), offsets, items, it.nulls.finish());
                Arc::new(array.map_err(internal)?)
            }
            Column::Map(it) => {
                let ArrowType::Struct(fields) = it.entries.data_type() else {
                    return Err(internal("the entries of a map are rows"));
                };
                let children = vec![it.keys.finish()?, it.values.finish()?];
                let entries = StructArray::try_new(fields.clone(), children, None).map_err(internal)?;
                let (offsets, nulls) = (take_offsets(&mut it.offsets), it.nulls.finish());
                let array = MapArray::try_new(it.entries.clone(), offsets, entries, nulls, false);
                Arc::new(array.map_err(internal)?)
            }
            Column::Row(it) => {
                let children = it.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
                let (fields, nulls) = (it.fields.clone(), it.nulls.finish());
                let len = std::mem::take(&mut it.len);
                let array = StructArray::try_new_with_length(fields, children, nulls, len);
                Arc::new(array.map_err(internal)?)
            }
        })
    }
}

fn last(offsets: &[i32]) -> usize {
    offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
}

impl Lists {
    /// What was appended to the items since the last one is the next array.
    pub fn end(&mut self) -> Result<(), Unfit> {
        end(&mut self.offsets, &mut self.nulls, self.items.len())
    }
}

impl Maps {
    /// What was appended to keys and values since the last one is the next map.
    pub fn end(&mut self) -> Result<(), Unfit> {
        end(&mut self.offsets, &mut self.nulls, self.values.len())
    }
    /// Forgets the entries from this one on; they belong to no map yet.
    pub fn cut_entries(&mut self, len: usize) {
        self.keys.truncate(len);
        self.values.truncate(len);
    }
}

fn end(offsets: &mut Vec<i32>, nulls: &mut NullBufferBuilder, items: usize) -> Result<(), Unfit> {
    let Ok(offset) = i32::try_from(items) else { return Err(Unfit::TooMuch) };
    offsets.push(offset);
    nulls.append_non_null();
    Ok(())
}

/// A bug of ours.
pub(crate) fn internal(error: impl std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}
