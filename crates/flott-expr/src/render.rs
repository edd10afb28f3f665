//! Values as text, as Flink's `CAST(… AS STRING)` spells them.
//!
//! ```text
//!   TRUE   12   1.50   1.0E10   2026-01-31   2026-01-31 23:59:59.123   +1 02:03:04.000
//!   [1, NULL]   {a=1, b=2}   (1, x, NULL)
//! ```
//!
//! [`append_value`] spells one element; [`render_column`] a whole array, with loops of their own
//! for the common types. The spelling of single scalars is in [`crate::text`].

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StringArray},
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        DataType as ArrowType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type,
        Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    },
};
use chrono_tz::Tz;
use flott_types::{DataType, IntervalUnit, TimestampUnit, TypeKind};

use crate::{EvalError, text, zone};

/// Appends the text of an array's element to a string; NULL is spelled `NULL`.
pub fn render_value(array: &dyn Array, row: usize, data_type: &DataType, time_zone: Tz, out: &mut String) {
    let mut bytes = Vec::new();
    append_value(&mut bytes, array, row, data_type, time_zone);
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// Appends the text of an array's element; NULL is spelled `NULL`.
pub fn append_value(out: &mut Vec<u8>, array: &dyn Array, row: usize, data_type: &DataType, time_zone: Tz) {
    if row >= array.len() || array.is_null(row) || data_type.is_null() {
        out.extend_from_slice(b"NULL");
        return;
    }
    match &data_type.kind {
        TypeKind::Null => {}
        TypeKind::Boolean => {
            out.extend_from_slice(if array.as_boolean().value(row) { b"TRUE" } else { b"FALSE" })
        }
        TypeKind::Bitmap => super::functions::append_bitmap(out, array.as_binary::<i32>().value(row)),
        TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Variant => {
            out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
        }
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            out.extend_from_slice(String::from_utf8_lossy(array.as_binary::<i32>().value(row)).as_bytes());
        }
        TypeKind::Decimal(_, s) => text::append_decimal(out, value::<Decimal128Type>(array, row), *s),
        TypeKind::TinyInt => append_integer(out, value::<Int8Type>(array, row)),
        TypeKind::SmallInt => append_integer(out, value::<Int16Type>(array, row)),
        TypeKind::Int => append_integer(out, value::<Int32Type>(array, row)),
        TypeKind::BigInt => append_integer(out, value::<Int64Type>(array, row)),
        TypeKind::Float => text::append_float(out, value::<Float32Type>(array, row)),
        TypeKind::Double => text::append_double(out, value::<Float64Type>(array, row)),
        TypeKind::Date => text::append_date(out, value::<Date32Type>(array, row).into()),
        TypeKind::Time(p) => text::append_time(out, value::<Time32MillisecondType>(array, row), *p),
        TypeKind::Timestamp(p) => {
            text::append_timestamp(out, timestamp(array, row), TimestampUnit::of(*p), *p, b' ');
        }
        TypeKind::TimestampLtz(p) => {
            let unit = TimestampUnit::of(*p);
            let local = zone::to_local(time_zone, timestamp(array, row), unit);
            text::append_timestamp(out, local, unit, *p, b' ');
        }
        TypeKind::Interval(IntervalUnit::Months) => {
            append_months(out, value::<IntervalYearMonthType>(array, row));
        }
        TypeKind::Interval(IntervalUnit::Milliseconds) => {
            append_interval(out, value::<DurationMillisecondType>(array, row));
        }
        TypeKind::Array(element) => append_list(out, &array.as_list::<i32>().value(row), element, time_zone),
        TypeKind::Map(key, value) => append_map(out, array, row, (key, value), time_zone),
        TypeKind::Multiset(element) => append_map(out, array, row, (element, &DataType::int()), time_zone),
        TypeKind::Row(fields) => {
            out.push(b'(');
            for (i, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                append_comma(out, i);
                append_value(out, column, row, &field.data_type, time_zone);
            }
            out.push(b')');
        }
    }
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn timestamp(array: &dyn Array, row: usize) -> i64 {
    match array.data_type() {
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => value::<TimestampMicrosecondType>(array, row),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => value::<TimestampNanosecondType>(array, row),
        _ => value::<TimestampMillisecondType>(array, row),
    }
}

fn append_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn append_comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

fn append_list(out: &mut Vec<u8>, items: &ArrayRef, element: &DataType, time_zone: Tz) {
    out.push(b'[');
    for i in 0..items.len() {
        append_comma(out, i);
        append_value(out, items, i, element, time_zone);
    }
    out.push(b']');
}

fn append_map(
    out: &mut Vec<u8>,
    array: &dyn Array,
    row: usize,
    types: (&DataType, &DataType),
    time_zone: Tz,
) {
    let entries = array.as_map().value(row);
    out.push(b'{');
    for i in 0..entries.len() {
        append_comma(out, i);
        append_value(out, entries.column(0), i, types.0, time_zone);
        out.push(b'=');
        append_value(out, entries.column(1), i, types.1, time_zone);
    }
    out.push(b'}');
}

/// `+1-02`: years and months.
fn append_months(out: &mut Vec<u8>, months: i32) {
    let magnitude = months.unsigned_abs();
    out.push(if months < 0 { b'-' } else { b'+' });
    append_integer(out, magnitude / 12);
    out.push(b'-');
    append_padded(out, u64::from(magnitude % 12), 2);
}

/// `+1 02:03:04.567`: days and time.
fn append_interval(out: &mut Vec<u8>, millis: i64) {
    let magnitude = millis.unsigned_abs();
    out.push(if millis < 0 { b'-' } else { b'+' });
    append_integer(out, magnitude / 86_400_000);
    for (sign, part, width) in [
        (b' ', magnitude / 3_600_000 % 24, 2),
        (b':', magnitude / 60_000 % 60, 2),
        (b':', magnitude / 1_000 % 60, 2),
        (b'.', magnitude % 1_000, 3),
    ] {
        out.push(sign);
        append_padded(out, part, width);
    }
}

fn append_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

/// The text of every element. NULL stays NULL.
///
/// # Errors
/// The text is longer than an array can hold.
pub fn render_column(
    array: &ArrayRef,
    data_type: &DataType,
    time_zone: Tz,
) -> Result<StringArray, EvalError> {
    let rows = array.len();
    let nulls = array.logical_nulls();
    let texts = Texts { rows, nulls };
    match &data_type.kind {
        TypeKind::Char(_) | TypeKind::Varchar(_) => Ok(array.as_string::<i32>().clone()),
        TypeKind::Int => {
            let values = array.as_primitive::<Int32Type>().values().clone();
            texts.build(8, |out, row| append_integer(out, values[row]))
        }
        TypeKind::BigInt => {
            let values = array.as_primitive::<Int64Type>().values().clone();
            texts.build(12, |out, row| append_integer(out, values[row]))
        }
        TypeKind::Double => {
            let values = array.as_primitive::<Float64Type>().values().clone();
            texts.build(16, |out, row| text::append_double(out, values[row]))
        }
        TypeKind::Decimal(_, s) => {
            let values = array.as_primitive::<Decimal128Type>().values().clone();
            texts.build(12, |out, row| text::append_decimal(out, values[row], *s))
        }
        _ => texts.build(24, |out, row| append_value(out, array.as_ref(), row, data_type, time_zone)),
    }
}

/// A string column in the making.
struct Texts {
    rows: usize,
    nulls: Option<NullBuffer>,
}

impl Texts {
    fn build(
        self,
        width: usize,
        mut append: impl FnMut(&mut Vec<u8>, usize),
    ) -> Result<StringArray, EvalError> {
        let mut bytes = Vec::with_capacity(self.rows * width);
        let mut offsets = Vec::with_capacity(self.rows + 1);
        offsets.push(0i32);
        for row in 0..self.rows {
            if self.nulls.as_ref().is_none_or(|it| it.is_valid(row)) {
                append(&mut bytes, row);
            }
            offsets.push(
                i32::try_from(bytes.len())
                    .map_err(|_| EvalError::new("the text of a batch is longer than 2 GiB"))?,
            );
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(StringArray::try_new(offsets, Buffer::from_vec(bytes), self.nulls)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn rendered(value: Value, data_type: DataType) -> String {
        let array = value.to_array(&data_type, 1);
        let mut out = String::new();
        render_value(&array, 0, &data_type, Tz::UTC, &mut out);
        out
    }

    #[test]
    fn values_as_flink_spells_them() {
        let text = |it: &str| Value::String(it.into());
        assert_eq!(rendered(Value::Boolean(true), DataType::boolean()), "TRUE");
        assert_eq!(rendered(Value::Decimal(150), TypeKind::Decimal(10, 2).into()), "1.50");
        let array = DataType::array(DataType::int());
        assert_eq!(rendered(Value::Array(vec![Value::Int(1), Value::Null]), array), "[1, NULL]");
        let map = DataType::map(DataType::string(), DataType::int());
        assert_eq!(
            rendered(Value::Map(vec![(text("a"), Value::Int(1)), (text("b"), Value::Null)]), map),
            "{a=1, b=NULL}"
        );
        let row = DataType::row([("a", DataType::int()), ("b", DataType::string())]);
        assert_eq!(rendered(Value::Row(vec![Value::Int(1), text("x")]), row), "(1, x)");
        let interval = |unit| TypeKind::Interval(unit).into();
        assert_eq!(
            rendered(Value::Interval(93_784_567), interval(IntervalUnit::Milliseconds)),
            "+1 02:03:04.567"
        );
        assert_eq!(rendered(Value::Interval(-3), interval(IntervalUnit::Months)), "-0-03");
    }

    #[test]
    fn an_instant_is_shown_in_the_session_time_zone() {
        let ltz: DataType = TypeKind::TimestampLtz(3).into();
        let array = Value::Timestamp(0).to_array(&ltz, 1);
        let texts = render_column(&array, &ltz, chrono_tz::Europe::Berlin).unwrap();
        assert_eq!(texts.value(0), "1970-01-01 01:00:00.000");
    }
}
