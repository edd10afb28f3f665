//! A constant, and how it stands in Arrow arrays.
//!
//! ```text
//!   Value ──to_array(type, rows)──►  array of `rows` equal elements
//!   Value ◄─from_array(array, row, type)──  one element of an array
//! ```

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray,
        PrimitiveArray, StringArray, StructArray, UInt32Array, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::{concat, take},
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Date32Type, DurationMillisecondType, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType,
        TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    },
};
use flott_types::{DataType, IntervalUnit, TimestampUnit, TypeKind};

/// A constant, in the physical form of its logical type (see `flott_types::DataType::arrow_type`).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// BOOLEAN
    Boolean(bool),
    /// TINYINT to BIGINT
    Int(i64),
    /// DECIMAL: the unscaled value
    Decimal(i128),
    /// FLOAT and DOUBLE
    Double(f64),
    /// CHAR and VARCHAR
    String(String),
    /// BINARY and VARBINARY
    Bytes(Vec<u8>),
    /// DATE: days since 1970-01-01
    Date(i32),
    /// TIME: milliseconds of the day
    Time(i32),
    /// TIMESTAMP and TIMESTAMP_LTZ: since the epoch, in the unit of the type's precision
    Timestamp(i64),
    /// INTERVAL: months or milliseconds
    Interval(i64),
    /// ARRAY
    Array(Vec<Value>),
    /// MAP and MULTISET, in order
    Map(Vec<(Value, Value)>),
    /// ROW
    Row(Vec<Value>),
}

impl Value {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// An array of `rows` elements, each this value, laid out as `data_type` asks. A value
    /// that doesn't belong to the type becomes NULL (the binder never makes one).
    pub fn to_array(&self, data_type: &DataType, rows: usize) -> ArrayRef {
        self.constant(data_type, rows).unwrap_or_else(|| new_null_array(&data_type.arrow_type(), rows))
    }

    fn constant(&self, data_type: &DataType, rows: usize) -> Option<ArrayRef> {
        Some(match (self, &data_type.kind) {
            (Value::Boolean(it), TypeKind::Boolean) => Arc::new(BooleanArray::from(vec![*it; rows])),
            (Value::Int(it), TypeKind::TinyInt) => repeat::<Int8Type>(i8::try_from(*it).ok()?, rows),
            (Value::Int(it), TypeKind::SmallInt) => repeat::<Int16Type>(i16::try_from(*it).ok()?, rows),
            (Value::Int(it), TypeKind::Int) => repeat::<Int32Type>(i32::try_from(*it).ok()?, rows),
            (Value::Int(it), TypeKind::BigInt) => repeat::<Int64Type>(*it, rows),
            (Value::Decimal(it), TypeKind::Decimal(p, s)) => {
                let array = Decimal128Array::from_value(*it, rows);
                Arc::new(array.with_precision_and_scale(*p, *s as i8).ok()?)
            }
            (Value::Double(it), TypeKind::Float) => repeat::<Float32Type>(*it as f32, rows),
            (Value::Double(it), TypeKind::Double) => repeat::<Float64Type>(*it, rows),
            (Value::String(it), TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Variant) => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(it.as_str(), rows)))
            }
            (Value::Bytes(it), TypeKind::Binary(_) | TypeKind::Varbinary(_) | TypeKind::Bitmap) => {
                Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(it.as_slice(), rows)))
            }
            (Value::Date(it), TypeKind::Date) => repeat::<Date32Type>(*it, rows),
            (Value::Time(it), TypeKind::Time(_)) => repeat::<Time32MillisecondType>(*it, rows),
            (Value::Timestamp(it), TypeKind::Timestamp(p)) => timestamps(*it, *p, rows, None),
            (Value::Timestamp(it), TypeKind::TimestampLtz(p)) => timestamps(*it, *p, rows, Some("UTC")),
            (Value::Interval(it), TypeKind::Interval(IntervalUnit::Months)) => {
                repeat::<IntervalYearMonthType>(i32::try_from(*it).ok()?, rows)
            }
            (Value::Interval(it), TypeKind::Interval(IntervalUnit::Milliseconds)) => {
                repeat::<DurationMillisecondType>(*it, rows)
            }
            (Value::Array(_) | Value::Map(_) | Value::Row(_), _) => {
                let one = self.one_nested(data_type)?;
                if rows == 1 {
                    return Some(one);
                }
                take(&one, &UInt32Array::from_value(0, rows), None).ok()?
            }
            _ => return None,
        })
    }

    /// A nested value as an array of one element.
    fn one_nested(&self, data_type: &DataType) -> Option<ArrayRef> {
        let ArrowParts { fields, .. } = ArrowParts::of(data_type);
        match (self, &data_type.kind) {
            (Value::Array(items), TypeKind::Array(element)) => {
                let values = column(items.iter(), element)?;
                let offsets = OffsetBuffer::from_lengths([values.len()]);
                Some(Arc::new(ListArray::try_new(fields.first()?.clone(), offsets, values, None).ok()?))
            }
            (Value::Map(entries), TypeKind::Map(key, value)) => one_map(entries, key, value, data_type),
            (Value::Map(entries), TypeKind::Multiset(key)) => {
                one_map(entries, key, &DataType::int(), data_type)
            }
            (Value::Row(values), TypeKind::Row(types)) => {
                if types.is_empty() {
                    return Some(Arc::new(StructArray::new_empty_fields(1, None)));
                }
                let columns: Option<Vec<ArrayRef>> =
                    values.iter().zip(types).map(|(v, t)| Some(v.to_array(&t.data_type, 1))).collect();
                Some(Arc::new(StructArray::try_new(fields.into(), columns?, None).ok()?))
            }
            _ => None,
        }
    }

    /// The element of an array whose logical type is `data_type`.
    pub fn from_array(array: &dyn Array, row: usize, data_type: &DataType) -> Value {
        if row >= array.len() || array.is_null(row) {
            return Value::Null;
        }
        match array.data_type() {
            ArrowType::Boolean => Value::Boolean(array.as_boolean().value(row)),
            ArrowType::Int8 => Value::Int(array.as_primitive::<Int8Type>().value(row).into()),
            ArrowType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
            ArrowType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
            ArrowType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
            ArrowType::Decimal128(..) => {
                Value::Decimal(array.as_primitive::<arrow::datatypes::Decimal128Type>().value(row))
            }
            ArrowType::Float32 => Value::Double(array.as_primitive::<Float32Type>().value(row).into()),
            ArrowType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
            ArrowType::Utf8 => Value::String(array.as_string::<i32>().value(row).to_string()),
            ArrowType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
            ArrowType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
            ArrowType::Time32(TimeUnit::Millisecond) => {
                Value::Time(array.as_primitive::<Time32MillisecondType>().value(row))
            }
            ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
                Value::Timestamp(array.as_primitive::<TimestampMillisecondType>().value(row))
            }
            ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
                Value::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                Value::Timestamp(array.as_primitive::<TimestampNanosecondType>().value(row))
            }
            ArrowType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
                Value::Interval(array.as_primitive::<IntervalYearMonthType>().value(row).into())
            }
            ArrowType::Duration(TimeUnit::Millisecond) => {
                Value::Interval(array.as_primitive::<DurationMillisecondType>().value(row))
            }
            ArrowType::List(_) | ArrowType::Map(..) | ArrowType::Struct(_) => {
                Self::from_nested(array, row, data_type)
            }
            _ => Value::Null,
        }
    }

    fn from_nested(array: &dyn Array, row: usize, data_type: &DataType) -> Value {
        let elements = |values: &dyn Array, element: &DataType| -> Vec<Value> {
            (0..values.len()).map(|i| Value::from_array(values, i, element)).collect()
        };
        let pairs = |key: &DataType, value: &DataType| -> Value {
            let entries = array.as_map().value(row);
            let keys = elements(entries.column(0), key);
            Value::Map(keys.into_iter().zip(elements(entries.column(1), value)).collect())
        };
        match (&data_type.kind, array.data_type()) {
            (TypeKind::Array(element), ArrowType::List(_)) => {
                Value::Array(elements(&array.as_list::<i32>().value(row), element))
            }
            (TypeKind::Map(key, value), ArrowType::Map(..)) => pairs(key, value),
            (TypeKind::Multiset(key), ArrowType::Map(..)) => pairs(key, &DataType::int()),
            (TypeKind::Row(fields), ArrowType::Struct(_)) => {
                let columns = array.as_struct().columns();
                Value::Row(
                    fields
                        .iter()
                        .zip(columns)
                        .map(|(f, c)| Value::from_array(c, row, &f.data_type))
                        .collect(),
                )
            }
            _ => Value::Null,
        }
    }
}

/// The child fields of a nested type's Arrow form.
struct ArrowParts {
    fields: Vec<arrow::datatypes::FieldRef>,
}

impl ArrowParts {
    fn of(data_type: &DataType) -> Self {
        let fields = match data_type.arrow_type() {
            ArrowType::List(field) | ArrowType::Map(field, _) => vec![field],
            ArrowType::Struct(fields) => fields.iter().cloned().collect(),
            _ => Vec::new(),
        };
        Self { fields }
    }
}

fn repeat<T: ArrowPrimitiveType>(value: T::Native, rows: usize) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_value(value, rows))
}

fn timestamps(value: i64, precision: u8, rows: usize, zone: Option<&str>) -> ArrayRef {
    match TimestampUnit::of(precision) {
        TimeUnit::Microsecond => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::from_value(value, rows).with_timezone_opt(zone),
        ),
        TimeUnit::Nanosecond => Arc::new(
            PrimitiveArray::<TimestampNanosecondType>::from_value(value, rows).with_timezone_opt(zone),
        ),
        _ => Arc::new(
            PrimitiveArray::<TimestampMillisecondType>::from_value(value, rows).with_timezone_opt(zone),
        ),
    }
}

/// Values one below the other.
fn column<'a>(values: impl Iterator<Item = &'a Value>, data_type: &DataType) -> Option<ArrayRef> {
    let arrays: Vec<ArrayRef> = values.map(|value| value.to_array(data_type, 1)).collect();
    if arrays.is_empty() {
        return Some(new_null_array(&data_type.arrow_type(), 0));
    }
    let refs: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    concat(&refs).ok()
}

fn one_map(entries: &[(Value, Value)], key: &DataType, value: &DataType, of: &DataType) -> Option<ArrayRef> {
    let ArrowType::Map(field, _) = of.arrow_type() else { return None };
    let ArrowType::Struct(parts) = field.data_type().clone() else { return None };
    let keys = column(entries.iter().map(|(k, _)| k), key)?;
    let values = column(entries.iter().map(|(_, v)| v), value)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, i32::try_from(keys.len()).ok()?]));
    let entries = StructArray::try_new(parts, vec![keys, values], None::<NullBuffer>).ok()?;
    Some(Arc::new(MapArray::try_new(field, offsets, entries, None, false).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_through_arrow() {
        let nested = DataType::row([
            ("tags", DataType::array(DataType::string())),
            ("counts", DataType::map(DataType::string(), DataType::bigint())),
            ("price", TypeKind::Decimal(10, 2).into()),
            ("at", TypeKind::Timestamp(9).into()),
        ]);
        let value = Value::Row(vec![
            Value::Array(vec![Value::String("a".into()), Value::Null]),
            Value::Map(vec![(Value::String("k".into()), Value::Int(7))]),
            Value::Decimal(-1234),
            Value::Timestamp(5),
        ]);
        let array = value.to_array(&nested, 3);
        assert_eq!(array.len(), 3);
        assert_eq!(array.data_type(), &nested.arrow_type());
        assert_eq!(Value::from_array(&array, 2, &nested), value);
    }

    #[test]
    fn null_has_every_type() {
        let array = Value::Null.to_array(&DataType::string(), 2);
        assert_eq!(array.null_count(), 2);
    }
}
