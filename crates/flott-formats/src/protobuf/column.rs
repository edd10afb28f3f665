//! Columns being built, by the type of the table's column alone.
//!
//! Readers of several versions of a schema append to the same columns.
//!
//! Invariants
//! - Whatever is appended is one element; after a failure the caller truncates.
//! - `truncate(n)` undoes everything behind the n-th element, children included.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullBufferBuilder,
        PrimitiveArray, StringArray, StructArray,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Decimal128Type, FieldRef, Fields, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    },
};
use flott_types::{Code, DataType, Diagnostic, Result, TypeKind};

use super::failure::{Fail, Failure};

/// A column of fixed-width values.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    arrow_type: ArrowType,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(arrow_type: ArrowType) -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0), arrow_type }
    }
    #[inline(always)]
    pub fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }
    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        cut_nulls(&mut self.nulls, len);
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

/// A column of booleans.
#[derive(Debug)]
pub(super) struct Booleans {
    bits: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Booleans {
    #[inline(always)]
    pub fn push(&mut self, value: bool) {
        self.bits.append(value);
        self.nulls.append_non_null();
    }
}

/// A column of text or bytes.
#[derive(Debug)]
pub(super) struct Strings {
    offsets: Vec<i32>,
    data: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Strings {
    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
    #[inline(always)]
    pub fn push(&mut self, value: &[u8]) -> Result<(), Fail> {
        let Ok(end) = i32::try_from(self.data.len() + value.len()) else { return Err(too_large()) };
        self.data.extend_from_slice(value);
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }
    /// As `push`, for text.
    #[inline(always)]
    pub fn push_text(&mut self, value: &[u8]) -> Result<(), Fail> {
        match simdutf8::basic::from_utf8(value) {
            Ok(_) => self.push(value),
            Err(_) => Err(Failure::value("the text is not valid UTF-8")),
        }
    }
    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<arrow::buffer::NullBuffer>) {
        let (rows, bytes) = (self.offsets.len(), self.data.len());
        let mut offsets = Vec::with_capacity(rows + rows / 8);
        offsets.push(0);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(bytes + bytes / 8));
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from(data), self.nulls.finish())
    }
}

/// A column of arrays.
#[derive(Debug)]
pub(super) struct Lists {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    field: FieldRef,
    pub items: Column,
}

/// A column of maps.
#[derive(Debug)]
pub(super) struct Maps {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    entries: FieldRef,
    pub keys: Column,
    pub values: Column,
}

/// A column of rows.
#[derive(Debug)]
pub(super) struct Rows {
    len: usize,
    nulls: NullBufferBuilder,
    fields: Fields,
    pub columns: Vec<Column>,
}

impl Lists {
    /// What was appended to the items since the last one is the next list.
    pub fn end(&mut self) -> Result<(), Fail> {
        end(&mut self.offsets, &mut self.nulls, self.items.len())
    }
}

impl Maps {
    /// What was appended to keys and values since the last one is the next map.
    pub fn end(&mut self) -> Result<(), Fail> {
        end(&mut self.offsets, &mut self.nulls, self.keys.len())
    }
    /// Forgets the entries from this one on; they belong to no map yet.
    pub fn cut_entries(&mut self, len: usize) {
        self.keys.truncate(len);
        self.values.truncate(len);
    }
}

impl Rows {
    /// Every column has its value: the row is there.
    pub fn end(&mut self) {
        self.len += 1;
        self.nulls.append_non_null();
    }
}

/// A column being built.
#[derive(Debug)]
pub(super) enum Column {
    Boolean(Booleans),
    TinyInt(Numbers<Int8Type>),
    SmallInt(Numbers<Int16Type>),
    Int(Numbers<Int32Type>),
    BigInt(Numbers<Int64Type>),
    Float(Numbers<Float32Type>),
    Double(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>),
    Text(Strings),
    Bytes(Strings),
    List(Box<Lists>),
    Map(Box<Maps>),
    Row(Box<Rows>),
}

impl Column {
    /// An empty column.
    ///
    /// # Errors
    /// A type that no field of a message has.
    pub fn new(data_type: &DataType) -> Result<Self> {
        let arrow_type = data_type.arrow_type();
        let (offsets, nulls) = (vec![0], NullBufferBuilder::new(0));
        Ok(match (&data_type.kind, arrow_type) {
            (TypeKind::Boolean, _) => Column::Boolean(Booleans { bits: BooleanBufferBuilder::new(0), nulls }),
            (TypeKind::TinyInt, it) => Column::TinyInt(Numbers::new(it)),
            (TypeKind::SmallInt, it) => Column::SmallInt(Numbers::new(it)),
            (TypeKind::Int, it) => Column::Int(Numbers::new(it)),
            (TypeKind::BigInt, it) => Column::BigInt(Numbers::new(it)),
            (TypeKind::Float, it) => Column::Float(Numbers::new(it)),
            (TypeKind::Double, it) => Column::Double(Numbers::new(it)),
            (TypeKind::Decimal(..), it) => Column::Decimal(Numbers::new(it)),
            (TypeKind::Char(_) | TypeKind::Varchar(_), _) => Column::Text(Strings::new()),
            (TypeKind::Binary(_) | TypeKind::Varbinary(_), _) => Column::Bytes(Strings::new()),
            (TypeKind::Array(element), ArrowType::List(field)) => {
                let items = Column::new(element)?;
                Column::List(Box::new(Lists { offsets, nulls, field, items }))
            }
            (TypeKind::Map(key, value), ArrowType::Map(entries, _)) => {
                let (keys, values) = (Column::new(key)?, Column::new(value)?);
                Column::Map(Box::new(Maps { offsets, nulls, entries, keys, values }))
            }
            (TypeKind::Row(fields), ArrowType::Struct(arrow_fields)) => {
                let columns =
                    fields.iter().map(|field| Column::new(&field.data_type)).collect::<Result<_>>()?;
                Column::Row(Box::new(Rows { len: 0, nulls, fields: arrow_fields, columns }))
            }
            _ => {
                let what = format!("the protobuf format has no {data_type}");
                return Err(Diagnostic::error(Code::UnsupportedUse, what));
            }
        })
    }

    /// Elements so far.
    pub fn len(&self) -> usize {
        match self {
            Column::Boolean(it) => it.bits.len(),
            Column::TinyInt(it) => it.values.len(),
            Column::SmallInt(it) => it.values.len(),
            Column::Int(it) => it.values.len(),
            Column::BigInt(it) => it.values.len(),
            Column::Float(it) => it.values.len(),
            Column::Double(it) => it.values.len(),
            Column::Decimal(it) => it.values.len(),
            Column::Text(it) | Column::Bytes(it) => it.offsets.len() - 1,
            Column::List(it) => it.offsets.len() - 1,
            Column::Map(it) => it.offsets.len() - 1,
            Column::Row(it) => it.len,
        }
    }

    /// Drops the elements behind the first `len`, and what was appended to children for one that was
    /// never finished.
    #[cold]
    pub fn truncate(&mut self, len: usize) {
        match self {
            Column::Boolean(it) => {
                it.bits.truncate(len.min(it.bits.len()));
                cut_nulls(&mut it.nulls, len);
            }
            Column::TinyInt(it) => it.truncate(len),
            Column::SmallInt(it) => it.truncate(len),
            Column::Int(it) => it.truncate(len),
            Column::BigInt(it) => it.truncate(len),
            Column::Float(it) => it.truncate(len),
            Column::Double(it) => it.truncate(len),
            Column::Decimal(it) => it.truncate(len),
            Column::Text(it) | Column::Bytes(it) => {
                it.data.truncate(cut(&mut it.offsets, &mut it.nulls, len));
            }
            Column::List(it) => {
                let children = cut(&mut it.offsets, &mut it.nulls, len);
                it.items.truncate(children);
            }
            Column::Map(it) => {
                let children = cut(&mut it.offsets, &mut it.nulls, len);
                it.cut_entries(children);
            }
            Column::Row(it) => {
                it.len = it.len.min(len);
                cut_nulls(&mut it.nulls, len);
                it.columns.iter_mut().for_each(|column| column.truncate(len));
            }
        }
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        match self {
            Column::Boolean(it) => {
                it.bits.append(false);
                it.nulls.append_null();
            }
            Column::TinyInt(it) => it.push_null(),
            Column::SmallInt(it) => it.push_null(),
            Column::Int(it) => it.push_null(),
            Column::BigInt(it) => it.push_null(),
            Column::Float(it) => it.push_null(),
            Column::Double(it) => it.push_null(),
            Column::Decimal(it) => it.push_null(),
            Column::Text(it) | Column::Bytes(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Column::List(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Column::Map(it) => repeat_last(&mut it.offsets, &mut it.nulls),
            Column::Row(it) => {
                it.columns.iter_mut().for_each(Column::push_null);
                it.len += 1;
                it.nulls.append_null();
            }
        }
    }

    /// The array; the column starts anew.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Boolean(it) => Arc::new(BooleanArray::new(it.bits.finish(), it.nulls.finish())),
            Column::TinyInt(it) => it.finish()?,
            Column::SmallInt(it) => it.finish()?,
            Column::Int(it) => it.finish()?,
            Column::BigInt(it) => it.finish()?,
            Column::Float(it) => it.finish()?,
            Column::Double(it) => it.finish()?,
            Column::Decimal(it) => it.finish()?,
            Column::Text(it) => {
                let (offsets, data, nulls) = it.finish();
                // SAFETY: offsets rise from 0 to the length of `data`, and every value between two of
                // them was checked to be UTF-8 before it was appended (`push_text`).
                Arc::new(unsafe { StringArray::new_unchecked(offsets, data, nulls) })
            }
            Column::Bytes(it) => {
                let (offsets, data, nulls) = it.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls).map_err(internal)?)
            }
            Column::List(it) => {
                let offsets =
                    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut it.offsets, vec![0])));
                let items = it.items.finish()?;
                Arc::new(
                    ListArray::try_new(it.field.clone(), offsets, items, it.nulls.finish())
                        .map_err(internal)?,
                )
            }
            Column::Map(it) => {
                let offsets =
                    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut it.offsets, vec![0])));
                let ArrowType::Struct(fields) = it.entries.data_type() else {
                    return Err(internal("entries of a MAP are rows"));
                };
                let children = vec![it.keys.finish()?, it.values.finish()?];
                let entries = StructArray::try_new(fields.clone(), children, None).map_err(internal)?;
                Arc::new(
                    MapArray::try_new(it.entries.clone(), offsets, entries, it.nulls.finish(), false)
                        .map_err(internal)?,
                )
            }
            Column::Row(it) => {
                let children: Vec<_> = it.columns.iter_mut().map(Column::finish).collect::<Result<_>>()?;
                let len = std::mem::take(&mut it.len);
                let array =
                    StructArray::try_new_with_length(it.fields.clone(), children, it.nulls.finish(), len);
                Arc::new(array.map_err(internal)?)
            }
        })
    }
}

fn end(offsets: &mut Vec<i32>, nulls: &mut NullBufferBuilder, children: usize) -> Result<(), Fail> {
    let Ok(end) = i32::try_from(children) else { return Err(too_large()) };
    offsets.push(end);
    nulls.append_non_null();
    Ok(())
}

/// Appends an empty element that is NULL.
fn repeat_last(offsets: &mut Vec<i32>, nulls: &mut NullBufferBuilder) {
    offsets.push(offsets.last().copied().unwrap_or_default());
    nulls.append_null();
}

fn cut_nulls(nulls: &mut NullBufferBuilder, len: usize) {
    if nulls.len() > len {
        nulls.truncate(len);
    }
}

/// Keeps the first `len` elements; answers how many children they have.
fn cut(offsets: &mut Vec<i32>, nulls: &mut NullBufferBuilder, len: usize) -> usize {
    offsets.truncate(len + 1);
    cut_nulls(nulls, len);
    offsets.last().map_or(0, |end| *end as usize)
}

#[cold]
fn too_large() -> Fail {
    Failure::value("too much text for one batch")
}

/// A bug of ours.
pub(super) fn internal(error: impl fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}
