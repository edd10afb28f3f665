//! Rows into messages.
//!
//! ```text
//!   plan  ──► MessageWriter: fields in the order of their numbers, tags ready
//!   batch ──► Cells: the same columns, downcast once
//!   row   ──► tag, value, tag, length, message within, …
//! ```
//!
//! As Flink does it: a NULL field isn't written; a NULL in an array or a map is the default of its type (of
//! text `write-null-string-literal`); of several members of a `oneof` the one of the last column is written.
//! Not as Flink does it: a name that an enum doesn't have can't be written, nor can a number, unless the enum is
//! open. The enum's first value in its place would be another value than the row's.

use arrow::{
    array::{
        Array, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
        StructArray,
    },
    buffer::NullBuffer,
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Decimal128Type, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type,
    },
};
use flott_types::{Code, Diagnostic, Result};
use prost_reflect::{Cardinality, FieldDescriptor};

use super::{
    plan::{Item, Leaf, MessagePlan, Names, Scalar, Shape},
    wire::{Wire, put_varint, put_with_length, zigzag},
};
use crate::builder::internal;

/// Writes messages of one type.
#[derive(Debug)]
pub(super) struct MessageWriter {
    /// In the order of their numbers.
    fields: Vec<FieldWriter>,
    /// Columns of each `oneof`, in their order.
    groups: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct FieldWriter {
    name: String,
    column: usize,
    number: u32,
    required: bool,
    /// A default is written too.
    presence: bool,
    /// Its `oneof`.
    group: Option<usize>,
    shape: ShapeWriter,
}

#[derive(Debug)]
enum ShapeWriter {
    Leaf(Leaf),
    Message(Box<MessageWriter>),
    Packed(Leaf),
    List(ItemWriter),
    Map(Leaf, ItemWriter),
}

#[derive(Debug)]
enum ItemWriter {
    Leaf(Leaf),
    Message(Box<MessageWriter>),
}

impl ItemWriter {
    fn of(item: &Item) -> Result<Self> {
        Ok(match item {
            Item::Leaf(leaf) => ItemWriter::Leaf(leaf.clone()),
            Item::Message(plan) => ItemWriter::Message(Box::new(MessageWriter::of(plan)?)),
        })
    }
}

impl MessageWriter {
    /// A writer of the plan.
    ///
    /// # Errors
    /// `InvalidDefinition`: a required field has no column.
    pub fn of(plan: &MessagePlan) -> Result<Self> {
        for field in plan.descriptor.fields().filter(|it| it.cardinality() == Cardinality::Required) {
            if plan.fields.iter().all(|column| column.field.as_ref() != Some(&field)) {
                let (message, name) = (plan.descriptor.full_name(), field.name());
                let what = format!("the message {message} requires the field '{name}', which has no column");
                return Err(Diagnostic::error(Code::InvalidDefinition, what));
            }
        }
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let mut fields = Vec::new();
        for (column, planned) in plan.fields.iter().enumerate() {
            let Some(field) = &planned.field else { continue };
            let group = group_of(field, column, &mut groups);
            let shape = match &planned.shape {
                Shape::Absent => continue,
                Shape::Leaf(leaf) => ShapeWriter::Leaf(leaf.clone()),
                Shape::Message(plan) => ShapeWriter::Message(Box::new(MessageWriter::of(plan)?)),
                Shape::List(Item::Leaf(leaf)) if field.is_packed() => ShapeWriter::Packed(leaf.clone()),
                Shape::List(item) => ShapeWriter::List(ItemWriter::of(item)?),
                Shape::Map(key, value) => ShapeWriter::Map(key.clone(), ItemWriter::of(value)?),
            };
            fields.push(FieldWriter {
                name: planned.name.clone(),
                column,
                number: field.number(),
                required: field.cardinality() == Cardinality::Required,
                presence: field.supports_presence(),
                group,
                shape,
            });
        }
        fields.sort_by_key(|field| field.number);
        Ok(Self { fields, groups: groups.into_iter().map(|(_, columns)| columns).collect() })
    }

    /// Appends the row.
    ///
    /// # Errors
    /// `OutputFailed`: a value that the message can't hold.
    pub fn write(&self, cells: &[Cells<'_>], row: usize, literal: &str, out: &mut Vec<u8>) -> Result<()> {
        for field in &self.fields {
            let Some(cell) = cells.get(field.column) else { continue };
            if cell.is_null(row) {
                if field.required {
                    let what = format!("the message requires the field '{}', which is NULL", field.name);
                    return Err(Diagnostic::error(Code::OutputFailed, what));
                }
                continue;
            }
            if field.group.is_some_and(|group| self.is_overridden(group, field.column, cells, row)) {
                continue;
            }
            field.write(cell, row, literal, out).map_err(|mut error| {
                error.message = format!("field '{}': {}", field.name, error.message);
                error
            })?;
        }
        Ok(())
    }

    /// Whether a later column of the group has a value.
    fn is_overridden(&self, group: usize, column: usize, cells: &[Cells<'_>], row: usize) -> bool {
        let later = self.groups.get(group).into_iter().flatten().filter(|other| **other > column);
        later.into_iter().any(|other| cells.get(*other).is_some_and(|cell| !cell.is_null(row)))
    }
}

fn group_of(field: &FieldDescriptor, column: usize, groups: &mut Vec<(String, Vec<usize>)>) -> Option<usize> {
    let name = field.containing_oneof()?.full_name().to_string();
    let at = groups.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
        groups.push((name, Vec::new()));
        groups.len() - 1
    });
    groups.get_mut(at)?.1.push(column);
    Some(at)
}

impl FieldWriter {
    fn write(&self, cell: &Cells<'_>, row: usize, literal: &str, out: &mut Vec<u8>) -> Result<()> {
        match (&self.shape, &cell.values) {
            (ShapeWriter::Leaf(leaf), _) => match cell.value(leaf, row)? {
                value if !self.presence && value.is_default() => {}
                value => value.put(self.number, leaf.scalar, out),
            },
            (ShapeWriter::Message(writer), Values::Row(cells)) => {
                put_tag(self.number, Wire::Bytes, out);
                put_with_length(out, |out| writer.write(cells, row, literal, out))?;
            }
            (ShapeWriter::Packed(leaf), Values::List(array, items)) => {
                let range = range(array.value_offsets(), row);
                if range.is_empty() {
                    return Ok(());
                }
                put_tag(self.number, Wire::Bytes, out);
                put_with_length(out, |out| {
                    for at in range {
                        items.value_or_default(leaf, at, literal)?.put_bare(leaf.scalar, out);
                    }
                    Ok::<_, Box<Diagnostic>>(())
                })?;
            }
            (ShapeWriter::List(item), Values::List(array, items)) => {
                for at in range(array.value_offsets(), row) {
                    item.write(self.number, items, at, literal, out)?;
                }
            }
            (ShapeWriter::Map(key, value), Values::Map(array, keys, values)) => {
                for at in range(array.value_offsets(), row) {
                    put_tag(self.number, Wire::Bytes, out);
                    put_with_length(out, |out| {
                        keys.value_or_default(key, at, literal)?.put(1, key.scalar, out);
                        value.write(2, values, at, literal, out)
                    })?;
                }
            }
            _ => return Err(internal("a column isn't of the type it was planned for")),
        }
        Ok(())
    }
}

impl ItemWriter {
    /// Appends an element, or its default.
    fn write(
        &self,
        number: u32,
        cell: &Cells<'_>,
        at: usize,
        literal: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (self, &cell.values) {
            (ItemWriter::Leaf(leaf), _) => {
                cell.value_or_default(leaf, at, literal)?.put(number, leaf.scalar, out);
                Ok(())
            }
            (ItemWriter::Message(writer), Values::Row(cells)) => {
                put_tag(number, Wire::Bytes, out);
                put_with_length(out, |out| match cell.is_null(at) {
                    true => Ok(()),
                    false => writer.write(cells, at, literal, out),
                })
            }
            _ => Err(internal("a column isn't of the type it was planned for")),
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |at: usize| offsets.get(at).map_or(0, |offset| *offset as usize);
    at(row)..at(row + 1)
}

#[inline]
fn put_tag(number: u32, wire: Wire, out: &mut Vec<u8>) {
    put_varint(out, u64::from(number) << 3 | wire as u64);
}

/// A value, ready for the wire.
enum WireValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl WireValue<'_> {
    fn is_default(&self) -> bool {
        match self {
            WireValue::Number(number) => *number == 0,
            WireValue::Bytes(bytes) => bytes.is_empty(),
        }
    }
    fn put(&self, number: u32, scalar: Scalar, out: &mut Vec<u8>) {
        put_tag(number, scalar.wire(), out);
        self.put_bare(scalar, out);
    }
    fn put_bare(&self, scalar: Scalar, out: &mut Vec<u8>) {
        match (self, scalar.wire()) {
            (WireValue::Bytes(bytes), _) => {
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            (WireValue::Number(number), Wire::Fixed64) => out.extend_from_slice(&number.to_le_bytes()),
            (WireValue::Number(number), Wire::Fixed32) => {
                out.extend_from_slice(&(*number as u32).to_le_bytes());
            }
            (WireValue::Number(number), _) => put_varint(out, *number),
        }
    }
}

/// An array of a batch.
pub(super) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    TinyInt(&'a [i8]),
    SmallInt(&'a [i16]),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Decimal(&'a [i128]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Row(Vec<Cells<'a>>),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, Box<Cells<'a>>, Box<Cells<'a>>),
}

fn values_of<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

impl<'a> Cells<'a> {
    /// The cells of an array; none: no field of a message has its type.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            ArrowType::Boolean => Values::Boolean(array.as_boolean_opt()?),
            ArrowType::Int8 => Values::TinyInt(values_of::<Int8Type>(array)?),
            ArrowType::Int16 => Values::SmallInt(values_of::<Int16Type>(array)?),
            ArrowType::Int32 => Values::Int(values_of::<Int32Type>(array)?),
            ArrowType::Int64 => Values::BigInt(values_of::<Int64Type>(array)?),
            ArrowType::Float32 => Values::Float(values_of::<Float32Type>(array)?),
            ArrowType::Float64 => Values::Double(values_of::<Float64Type>(array)?),
            ArrowType::Decimal128(..) => Values::Decimal(values_of::<Decimal128Type>(array)?),
            ArrowType::Utf8 => Values::Text(array.as_string_opt()?),
            ArrowType::Binary => Values::Bytes(array.as_binary_opt()?),
            ArrowType::Struct(_) => Values::Row(Cells::of_columns(array.as_struct_opt()?)?),
            ArrowType::List(_) => {
                let array = array.as_list_opt::<i32>()?;
                Values::List(array, Box::new(Cells::of(array.values().as_ref())?))
            }
            ArrowType::Map(..) => {
                let array = array.as_map_opt()?;
                let (keys, values) = (Cells::of(array.keys().as_ref())?, Cells::of(array.values().as_ref())?);
                Values::Map(array, Box::new(keys), Box::new(values))
            }
            _ => return None,
        };
        Some(Cells { nulls: array.nulls().filter(|nulls| nulls.null_count() > 0), values })
    }

    fn of_columns(array: &'a StructArray) -> Option<Vec<Cells<'a>>> {
        array.columns().iter().map(|column| Cells::of(column.as_ref())).collect()
    }

    #[inline]
    fn is_null(&self, at: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(at))
    }

    fn value_or_default<'b>(&'b self, leaf: &Leaf, at: usize, literal: &'b str) -> Result<WireValue<'b>> {
        if !self.is_null(at) {
            return self.value(leaf, at);
        }
        Ok(match (leaf.scalar, &leaf.names) {
            (Scalar::Text, _) => WireValue::Bytes(literal.as_bytes()),
            (Scalar::Bytes, _) => WireValue::Bytes(&[]),
            (_, Some(names)) => WireValue::Number(i64::from(names.first) as u64),
            _ => WireValue::Number(0),
        })
    }

    #[inline]
    fn value(&self, leaf: &Leaf, at: usize) -> Result<WireValue<'_>> {
        let integer = match &self.values {
            Values::BigInt(values) => values.get(at).copied().unwrap_or_default(),
            Values::Int(values) => values.get(at).copied().unwrap_or_default().into(),
            Values::TinyInt(values) => values.get(at).copied().unwrap_or_default().into(),
            Values::SmallInt(values) => values.get(at).copied().unwrap_or_default().into(),
            Values::Text(array) => match &leaf.names {
                Some(names) => {
                    let name = array.value(at);
                    names.number(name).ok_or_else(|| no_value(names, &format!("'{name}'")))?.into()
                }
                None => return Ok(WireValue::Bytes(array.value(at).as_bytes())),
            },
            Values::Bytes(array) => return Ok(WireValue::Bytes(array.value(at))),
            Values::Boolean(array) => i64::from(array.value(at)),
            Values::Double(values) => {
                return Ok(WireValue::Number(values.get(at).copied().unwrap_or_default().to_bits()));
            }
            Values::Float(values) => {
                return Ok(WireValue::Number(values.get(at).copied().unwrap_or_default().to_bits().into()));
            }
            Values::Decimal(values) => {
                let value = values.get(at).copied().unwrap_or_default();
                return u64::try_from(value)
                    .map(WireValue::Number)
                    .map_err(|_| out_of_range(value, "uint64"));
            }
            _ => return Err(internal("a column isn't of the type it was planned for")),
        };
        number(leaf, integer, matches!(self.values, Values::BigInt(_))).map(WireValue::Number)
    }
}

/// A whole number as its field's type has it.
#[inline]
fn number(leaf: &Leaf, value: i64, wide: bool) -> Result<u64> {
    if let Some(names) = &leaf.names {
        let known = i32::try_from(value).ok().filter(|it| !names.closed || names.name(*it).is_some());
        let known = known.ok_or_else(|| no_value(names, &value.to_string()))?;
        return Ok(i64::from(known) as u64);
    }
    Ok(match leaf.scalar {
        Scalar::Zigzag32 | Scalar::Zigzag64 => zigzag(value),
        Scalar::VarintU32 | Scalar::Fixed32 if wide => {
            u32::try_from(value).map_err(|_| out_of_range(value.into(), "uint32"))?.into()
        }
        Scalar::VarintU32 | Scalar::Fixed32 => u64::from(value as u32),
        _ => value as u64,
    })
}

#[cold]
fn no_value(names: &Names, what: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, format!("the enum {} has no value {what}", names.of))
        .help("write only values that the schema names, or add this one to the schema")
        .help("'UNRECOGNIZED' is how a number that the schema doesn't name is read: declare the column as INT to keep it")
}

#[cold]
fn out_of_range(value: i128, what: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, format!("{value} is outside the range of {what}"))
}
