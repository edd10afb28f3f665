//! Rows into Avro's binary encoding, along a schema.
//!
//! ```text
//!   schema × columns ─► Node tree, once          batch ─► Cells: the tree bound to its arrays
//!   row ─► branch of the union, value, branch, value, …
//! ```

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray,
        StringArray, StructArray,
    },
    buffer::NullBuffer,
    datatypes::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType,
    },
};
use flott_types::{Code, DataType, Diagnostic, Result, TimestampUnit, TypeKind};

use super::{
    resolve::Ratio,
    schema::{Id, Kind, Logical, Schema},
    wire::{put_bytes, put_long},
};

/// A value of a union with null, or without.
pub(super) struct Node {
    /// The numbers of the union's branches: null, and the value's.
    union: Option<(i64, i64)>,
    what: What,
}

enum What {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Date,
    Time { micros: bool },
    Timestamp { unit: TimeUnit, ratio: Option<Ratio> },
    Decimal { size: Option<usize> },
    Text,
    Enum(Vec<String>),
    Bytes { size: Option<usize> },
    Array(Box<Node>),
    Map(Box<Node>),
    Row(Vec<Field>),
}

/// A field that is written, and the column it is of.
pub(super) struct Field {
    name: Arc<str>,
    column: usize,
    node: Node,
}

/// The fields of the record `id`, from these columns.
///
/// # Errors
/// Why the columns can't be written in this schema.
pub(super) fn fields(
    schema: &Schema,
    id: Id,
    columns: &[(String, DataType)],
) -> std::result::Result<Vec<Field>, String> {
    let Kind::Record(written) = &schema.get(id).kind else {
        return Err(format!("'{}' where a record is written", schema.get(id).kind.name()));
    };
    let mut out = Vec::with_capacity(written.len());
    for field in written {
        let column = columns.iter().position(|(name, _)| *name == field.name);
        let Some((column, data_type)) = column.and_then(|at| Some((at, &columns.get(at)?.1))) else {
            return Err(format!("field '{}': there is no such column", field.name));
        };
        let node = Node::of(schema, field.schema, data_type);
        let node = node.map_err(|why| format!("field '{}': {why}", field.name))?;
        out.push(Field { name: field.name.as_str().into(), column, node });
    }
    match columns.iter().find(|(name, _)| written.iter().all(|field| field.name != *name)) {
        Some((name, _)) => Err(format!("the schema has no field '{name}'")),
        None => Ok(out),
    }
}

impl Node {
    fn of(schema: &Schema, id: Id, data_type: &DataType) -> std::result::Result<Node, String> {
        let (union, id) = match &schema.get(id).kind {
            Kind::Union(branches) => {
                let at =
                    |null: bool| branches.iter().position(|it| (schema.get(*it).kind == Kind::Null) == null);
                match (branches.as_slice(), at(true), at(false)) {
                    ([first, second], Some(null), Some(value)) => {
                        let id = if value == 0 { *first } else { *second };
                        (Some((null as i64, value as i64)), id)
                    }
                    _ => return Err("only unions of null and one type can be written".into()),
                }
            }
            _ => (None, id),
        };
        let what = What::of(schema, id, data_type)?.ok_or_else(|| {
            format!("{} can't be written as '{}'", data_type.kind, schema.get(id).kind.name())
        })?;
        Ok(Node { union, what })
    }
}

impl What {
    fn of(schema: &Schema, id: Id, data_type: &DataType) -> std::result::Result<Option<What>, String> {
        let written = schema.get(id);
        Ok(Some(match (&data_type.kind, &written.kind) {
            (TypeKind::Boolean, Kind::Boolean) => What::Boolean,
            (TypeKind::TinyInt, Kind::Int | Kind::Long) => What::TinyInt,
            (TypeKind::SmallInt, Kind::Int | Kind::Long) => What::SmallInt,
            (TypeKind::Int, Kind::Int | Kind::Long) => What::Int,
            (TypeKind::BigInt, Kind::Long) => What::BigInt,
            (TypeKind::Float, Kind::Float) => What::Float,
            (TypeKind::Double, Kind::Double) => What::Double,
            (TypeKind::Date, Kind::Int) => What::Date,
            (TypeKind::Time(_), Kind::Int) => What::Time { micros: false },
            (TypeKind::Time(_), Kind::Long) => What::Time { micros: true },
            (TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p), Kind::Long) => {
                let unit = TimestampUnit::of(*p);
                What::Timestamp { unit, ratio: ratio(unit, written.logical) }
            }
            (TypeKind::Decimal(..), Kind::Bytes) => What::Decimal { size: None },
            (TypeKind::Decimal(..), Kind::Fixed(size)) => What::Decimal { size: Some(*size) },
            (TypeKind::Char(_) | TypeKind::Varchar(_), Kind::Text) => What::Text,
            (TypeKind::Char(_) | TypeKind::Varchar(_), Kind::Enum(symbols)) => What::Enum(symbols.clone()),
            (TypeKind::Binary(_) | TypeKind::Varbinary(_), Kind::Bytes) => What::Bytes { size: None },
            (TypeKind::Binary(_) | TypeKind::Varbinary(_), Kind::Fixed(size)) => {
                What::Bytes { size: Some(*size) }
            }
            (TypeKind::Array(element), Kind::Array(item)) => {
                What::Array(Box::new(Node::of(schema, *item, element)?))
            }
            (TypeKind::Map(_, value), Kind::Map(item)) => {
                What::Map(Box::new(Node::of(schema, *item, value)?))
            }
            (TypeKind::Multiset(_), Kind::Map(item)) => {
                What::Map(Box::new(Node::of(schema, *item, &DataType::int())?))
            }
            (TypeKind::Row(inner), Kind::Record(_)) => {
                let columns: Vec<_> =
                    inner.iter().map(|it| (it.name.clone(), it.data_type.clone())).collect();
                What::Row(fields(schema, id, &columns)?)
            }
            _ => return Ok(None),
        }))
    }
}

/// From the unit of a column to that of the schema.
fn ratio(unit: TimeUnit, logical: Option<Logical>) -> Option<Ratio> {
    let column = TimestampUnit::per_second(unit);
    let written = match logical {
        Some(Logical::TimestampMillis) => 1_000,
        Some(Logical::TimestampMicros) => 1_000_000,
        Some(Logical::TimestampNanos) => 1_000_000_000,
        _ => column,
    };
    match written.cmp(&column) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Ratio::Times(written / column)),
        std::cmp::Ordering::Less => Some(Ratio::DividedBy(column / written)),
    }
}

/// The columns of a record, bound to a batch.
pub(super) struct Row<'a> {
    cells: Vec<Named<'a>>,
}

struct Named<'a> {
    name: &'a str,
    cells: Cells<'a>,
}

struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    union: Option<(i64, i64)>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Micros(&'a [i32]),
    Rescaled(&'a [i64], Ratio),
    Decimal(&'a [i128], Option<usize>),
    Text(&'a StringArray),
    Enum(&'a StringArray, &'a [String]),
    Bytes(&'a BinaryArray, Option<usize>),
    Array(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, &'a StringArray, Box<Cells<'a>>),
    Row(Row<'a>),
}

fn values_of<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

impl<'a> Row<'a> {
    /// The columns of a batch, or of a struct.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn bind(fields: &'a [Field], columns: &'a [ArrayRef]) -> Result<Self> {
        Self::try_bind(fields, columns)
            .ok_or_else(|| Diagnostic::error(Code::Internal, "a batch doesn't have the types of its sink"))
    }

    fn try_bind(fields: &'a [Field], columns: &'a [ArrayRef]) -> Option<Self> {
        let bind = |field: &'a Field| {
            let cells = Cells::bind(&field.node, columns.get(field.column)?.as_ref())?;
            Some(Named { name: &field.name, cells })
        };
        Some(Self { cells: fields.iter().map(bind).collect::<Option<_>>()? })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// `OutputFailed`: a value that the schema can't hold.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        for Named { name, cells } in &self.cells {
            if let Err(unfit) = cells.write(row, out) {
                return Err(unfit.diagnostic(name));
            }
        }
        Ok(())
    }
}

/// A value that the schema can't hold.
struct Unfit {
    why: String,
    path: Vec<String>,
}

impl Unfit {
    #[cold]
    fn new(why: impl Into<String>) -> Box<Self> {
        Box::new(Self { why: why.into(), path: Vec::new() })
    }
    #[cold]
    fn diagnostic(mut self, name: &str) -> Box<Diagnostic> {
        self.path.push(name.to_string());
        self.path.reverse();
        let message = format!("column '{}': {}", self.path.join("."), self.why);
        Diagnostic::error(Code::OutputFailed, message)
    }
}

impl<'a> Cells<'a> {
    fn bind(node: &'a Node, array: &'a dyn Array) -> Option<Self> {
        let values = match &node.what {
            What::Boolean => Values::Boolean(array.as_boolean_opt()?),
            What::TinyInt => Values::I8(values_of::<Int8Type>(array)?),
            What::SmallInt => Values::I16(values_of::<Int16Type>(array)?),
            What::Int => Values::I32(values_of::<Int32Type>(array)?),
            What::BigInt => Values::I64(values_of::<Int64Type>(array)?),
            What::Float => Values::F32(values_of::<Float32Type>(array)?),
            What::Double => Values::F64(values_of::<Float64Type>(array)?),
            What::Date => Values::I32(values_of::<Date32Type>(array)?),
            What::Time { micros: false } => Values::I32(values_of::<Time32MillisecondType>(array)?),
            What::Time { micros: true } => Values::Micros(values_of::<Time32MillisecondType>(array)?),
            What::Timestamp { unit, ratio } => {
                let values = match unit {
                    TimeUnit::Microsecond => values_of::<TimestampMicrosecondType>(array)?,
                    TimeUnit::Nanosecond => values_of::<TimestampNanosecondType>(array)?,
                    _ => values_of::<TimestampMillisecondType>(array)?,
                };
                match ratio {
                    None => Values::I64(values),
                    Some(ratio) => Values::Rescaled(values, *ratio),
                }
            }
            What::Decimal { size } => Values::Decimal(values_of::<Decimal128Type>(array)?, *size),
            What::Text => Values::Text(array.as_string_opt()?),
            What::Enum(symbols) => Values::Enum(array.as_string_opt()?, symbols),
            What::Bytes { size } => Values::Bytes(array.as_binary_opt()?, *size),
            What::Array(item) => {
                let array = array.as_list_opt::<i32>()?;
                Values::Array(array, Box::new(Cells::bind(item, array.values().as_ref())?))
            }
            What::Map(value) => {
                let array = array.as_map_opt()?;
                let keys = array.keys().as_string_opt()?;
                Values::Map(array, keys, Box::new(Cells::bind(value, array.values().as_ref())?))
            }
            What::Row(fields) => {
                let array: &StructArray = array.as_struct_opt()?;
                Values::Row(Row::try_bind(fields, array.columns())?)
            }
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        Some(Cells { nulls, union: node.union, values })
    }

    #[inline(always)]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Box<Unfit>> {
        let is_null = self.nulls.is_some_and(|nulls| nulls.is_null(row));
        match self.union {
            Some((null, _)) if is_null => {
                put_long(null, out);
                return Ok(());
            }
            Some((_, value)) => put_long(value, out),
            None if is_null => return Err(Unfit::new("NULL, and its type in the schema isn't nullable")),
            None => {}
        }
        match &self.values {
            Values::I64(values) => put_long(values[row], out),
            Values::Text(array) => put_bytes(array.value(row).as_bytes(), out),
            _ => return self.write_other(row, out),
        }
        Ok(())
    }

    #[inline(never)]
    fn write_other(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Box<Unfit>> {
        match &self.values {
            Values::I64(values) => put_long(values[row], out),
            Values::Text(array) => put_bytes(array.value(row).as_bytes(), out),
            Values::Boolean(array) => out.push(u8::from(array.value(row))),
            Values::I8(values) => put_long(values[row].into(), out),
            Values::I16(values) => put_long(values[row].into(), out),
            Values::I32(values) => put_long(values[row].into(), out),
            Values::F32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::F64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Micros(values) => put_long(i64::from(values[row]) * 1000, out),
            Values::Rescaled(values, ratio) => {
                let value = match ratio {
                    Ratio::DividedBy(by) => Some(values[row].div_euclid(*by)),
                    Ratio::Times(by) => values[row].checked_mul(*by),
                };
                put_long(value.ok_or_else(|| Unfit::new("a time beyond what the schema holds"))?, out);
            }
            Values::Decimal(values, size) => put_decimal(values[row], *size, out)?,
            Values::Enum(array, symbols) => {
                let text = array.value(row);
                let number = symbols.iter().position(|symbol| symbol == text);
                put_long(
                    number.ok_or_else(|| Unfit::new(format!("'{text}' is no symbol of the enum")))? as i64,
                    out,
                );
            }
            Values::Bytes(array, None) => put_bytes(array.value(row), out),
            Values::Bytes(array, Some(size)) => {
                let bytes = array.value(row);
                if bytes.len() != *size {
                    let why = format!("{} bytes, and its type in the schema has {size}", bytes.len());
                    return Err(Unfit::new(why));
                }
                out.extend_from_slice(bytes);
            }
            Values::Array(array, items) => {
                let offsets = array.value_offsets();
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                if start < end {
                    put_long((end - start) as i64, out);
                    (start..end).try_for_each(|item| items.write(item, out))?;
                }
                out.push(0);
            }
            Values::Map(array, keys, values) => {
                let offsets = array.value_offsets();
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                if start < end {
                    put_long((end - start) as i64, out);
                    for entry in start..end {
                        put_bytes(keys.value(entry).as_bytes(), out);
                        values.write(entry, out)?;
                    }
                }
                out.push(0);
            }
            Values::Row(inner) => {
                for Named { name, cells } in &inner.cells {
                    cells.write(row, out).map_err(|mut unfit| {
                        unfit.path.push(name.to_string());
                        unfit
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Appends an unscaled number: in as few bytes as hold it, or in a fixed number.
fn put_decimal(value: i128, size: Option<usize>, out: &mut Vec<u8>) -> Result<(), Box<Unfit>> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    // All but the last of the bytes that only repeat the sign.
    let repeated = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) < 0x80).count();
    let shortest = bytes.get(repeated..).unwrap_or_default();
    match size {
        None => put_bytes(shortest, out),
        Some(size) if size < shortest.len() => {
            return Err(Unfit::new("a decimal that its fixed type in the schema can't hold"));
        }
        Some(size) => {
            out.extend(std::iter::repeat_n(sign, size - shortest.len()));
            out.extend_from_slice(shortest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_take_as_few_bytes_as_in_java() {
        let bytes = |value: i128, size: Option<usize>| {
            let mut out = Vec::new();
            put_decimal(value, size, &mut out).map(|()| out).ok()
        };
        assert_eq!(bytes(0, None), Some(vec![2, 0]));
        assert_eq!(bytes(127, None), Some(vec![2, 127]));
        assert_eq!(bytes(128, None), Some(vec![4, 0, 128]));
        assert_eq!(bytes(-128, None), Some(vec![2, 128]));
        assert_eq!(bytes(-129, None), Some(vec![4, 0xff, 0x7f]));
        assert_eq!(bytes(i128::MIN, None).map(|it| it.len()), Some(17));
        assert_eq!(bytes(-1, Some(3)), Some(vec![0xff; 3]));
        assert_eq!(bytes(300, Some(1)), None);
    }
}
