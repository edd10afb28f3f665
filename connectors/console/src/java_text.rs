//! Values as Flink's `print` shows them: each as the `toString` of its Java class.
//!
//! | type | class | example |
//! |---|---|---|
//! | DECIMAL | `BigDecimal` | `1.50`, `1.000E-7` |
//! | BYTES | `byte[]` | `[1, -1]` |
//! | TIME, TIMESTAMP | `LocalTime`, `LocalDateTime` | `10:11`, `2026-01-01T00:00:00.120` |
//! | TIMESTAMP_LTZ | `Instant` | `2026-01-01T00:00:00Z` |
//! | INTERVAL | `Period`, `Duration` | `P14M`, `PT26H3M4.567S` |
//! | ARRAY, MAP, ROW | | `[a, null]`, `{k=1}`, `+I[1, x]` |
//!
//! Java leaves out seconds that are zero (not in an `Instant`), and writes a fraction with
//! three, six or nine digits.

use std::io::Write;

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    },
};
use flott_expr::text;
use flott_types::{DataType, IntervalUnit, TimestampUnit, TypeKind};

/// Appends one value. An array that isn't laid out as its type asks shows as `null`; the plan
/// never makes one.
pub(crate) fn append_value(out: &mut Vec<u8>, array: &dyn Array, row: usize, data_type: &DataType) {
    if row >= array.len() || array.is_null(row) || append_present(out, array, row, data_type).is_none() {
        out.extend_from_slice(b"null");
    }
}

fn append_present(out: &mut Vec<u8>, array: &dyn Array, row: usize, data_type: &DataType) -> Option<()> {
    match &data_type.kind {
        TypeKind::Null => return None,
        TypeKind::Boolean => show(out, array.as_boolean_opt()?.value(row)),
        TypeKind::Bitmap => {
            flott_expr::functions::append_bitmap(out, array.as_binary_opt::<i32>()?.value(row));
        }
        TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Variant => {
            out.extend_from_slice(array.as_string_opt::<i32>()?.value(row).as_bytes());
        }
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            let bytes = array.as_binary_opt::<i32>()?.value(row);
            list(out, bytes, |out, byte| show(out, byte.cast_signed()));
        }
        TypeKind::Decimal(_, scale) => {
            big_decimal(out, array.as_primitive_opt::<Decimal128Type>()?.value(row), *scale);
        }
        TypeKind::TinyInt => show(out, array.as_primitive_opt::<Int8Type>()?.value(row)),
        TypeKind::SmallInt => show(out, array.as_primitive_opt::<Int16Type>()?.value(row)),
        TypeKind::Int => show(out, array.as_primitive_opt::<Int32Type>()?.value(row)),
        TypeKind::BigInt => show(out, array.as_primitive_opt::<Int64Type>()?.value(row)),
        TypeKind::Float => text::append_float(out, array.as_primitive_opt::<Float32Type>()?.value(row)),
        TypeKind::Double => text::append_double(out, array.as_primitive_opt::<Float64Type>()?.value(row)),
        TypeKind::Date => {
            text::append_date(out, array.as_primitive_opt::<Date32Type>()?.value(row).into());
        }
        TypeKind::Time(_) => {
            let millis = i64::from(array.as_primitive_opt::<Time32MillisecondType>()?.value(row));
            local_time(out, millis.rem_euclid(86_400_000) * 1_000_000, false);
        }
        TypeKind::Timestamp(precision) | TypeKind::TimestampLtz(precision) => {
            let unit = TimestampUnit::of(*precision);
            let instant = matches!(data_type.kind, TypeKind::TimestampLtz(_));
            date_time(out, timestamp(array, row, unit)?, unit, instant);
        }
        TypeKind::Interval(IntervalUnit::Months) => {
            let months = array.as_primitive_opt::<IntervalYearMonthType>()?.value(row);
            period(out, months);
        }
        TypeKind::Interval(IntervalUnit::Milliseconds) => {
            duration(out, array.as_primitive_opt::<DurationMillisecondType>()?.value(row));
        }
        TypeKind::Array(element) => {
            let values = array.as_list_opt::<i32>()?.value(row);
            list(out, 0..values.len(), |out, i| append_value(out, &values, i, element));
        }
        TypeKind::Map(key, value) => map(out, array, row, key, value)?,
        TypeKind::Multiset(element) => map(out, array, row, element, &DataType::int())?,
        TypeKind::Row(fields) => {
            let columns = array.as_struct_opt()?.columns();
            out.extend_from_slice(b"+I");
            list(out, fields.iter().zip(columns), |out, (field, column)| {
                append_value(out, column.as_ref(), row, &field.data_type);
            });
        }
    }
    Some(())
}

/// `[a, b]`
fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut append: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        append(out, item);
    }
    out.push(b']');
}

/// `{k=1, l=2}`
fn map(out: &mut Vec<u8>, array: &dyn Array, row: usize, key: &DataType, value: &DataType) -> Option<()> {
    let entries = array.as_map_opt()?.value(row);
    out.push(b'{');
    for i in 0..entries.len() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        append_value(out, entries.column(0).as_ref(), i, key);
        out.push(b'=');
        append_value(out, entries.column(1).as_ref(), i, value);
    }
    out.push(b'}');
    Some(())
}

fn show(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Plain unless more than six zeros would stand behind the point.
fn big_decimal(out: &mut Vec<u8>, unscaled: i128, scale: u8) {
    let digits = unscaled.unsigned_abs().to_string();
    let exponent = digits.len() as i64 - 1 - i64::from(scale);
    if scale == 0 || exponent >= -6 {
        return text::append_decimal(out, unscaled, scale);
    }
    let (first, rest) = digits.split_at(1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    show(out, format_args!("{sign}{first}{point}{rest}E{exponent}"));
}

fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit) -> Option<i64> {
    Some(match unit {
        TimeUnit::Microsecond => array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row),
        TimeUnit::Nanosecond => array.as_primitive_opt::<TimestampNanosecondType>()?.value(row),
        _ => array.as_primitive_opt::<TimestampMillisecondType>()?.value(row),
    })
}

fn date_time(out: &mut Vec<u8>, value: i64, unit: TimeUnit, instant: bool) {
    let per_second = TimestampUnit::per_second(unit);
    let per_day = per_second * 86_400;
    text::append_date(out, value.div_euclid(per_day));
    out.push(b'T');
    local_time(out, value.rem_euclid(per_day) * (1_000_000_000 / per_second), instant);
    if instant {
        out.push(b'Z');
    }
}

/// The time of a day, from its nanoseconds.
fn local_time(out: &mut Vec<u8>, nanos: i64, always_seconds: bool) {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    show(out, format_args!("{:02}:{:02}", seconds / 3600, seconds / 60 % 60));
    if always_seconds || seconds % 60 != 0 || fraction != 0 {
        show(out, format_args!(":{:02}", seconds % 60));
    }
    if fraction == 0 {
    } else if fraction % 1_000_000 == 0 {
        show(out, format_args!(".{:03}", fraction / 1_000_000));
    } else if fraction % 1_000 == 0 {
        show(out, format_args!(".{:06}", fraction / 1_000));
    } else {
        show(out, format_args!(".{fraction:09}"));
    }
}

fn period(out: &mut Vec<u8>, months: i32) {
    if months == 0 { out.extend_from_slice(b"P0D") } else { show(out, format_args!("P{months}M")) }
}

/// Every part carries the sign.
fn duration(out: &mut Vec<u8>, millis: i64) {
    out.extend_from_slice(b"PT");
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, fraction) = (millis / 1000 % 60, (millis % 1000).unsigned_abs());
    if hours != 0 {
        show(out, format_args!("{hours}H"));
    }
    if minutes != 0 {
        show(out, format_args!("{minutes}M"));
    }
    if seconds == 0 && fraction == 0 {
        if millis == 0 {
            out.extend_from_slice(b"0S");
        } else if millis % 60_000 != 0 {
            show(out, format_args!("{seconds}S"));
        }
        return;
    }
    let sign = if seconds == 0 && millis < 0 { "-" } else { "" };
    show(out, format_args!("{sign}{seconds}"));
    if fraction != 0 {
        let digits = format!(".{fraction:03}");
        show(out, digits.trim_end_matches('0'));
    }
    out.push(b'S');
}

#[cfg(test)]
mod tests {
    use flott_expr::Value;

    use super::*;

    fn shown(value: Value, data_type: impl Into<DataType>) -> String {
        let data_type = data_type.into();
        let mut out = Vec::new();
        append_value(&mut out, value.to_array(&data_type, 2).as_ref(), 1, &data_type);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_and_bytes() {
        assert_eq!(shown(Value::Decimal(150), TypeKind::Decimal(3, 2)), "1.50");
        assert_eq!(shown(Value::Decimal(0), TypeKind::Decimal(20, 10)), "0E-10");
        assert_eq!(shown(Value::Decimal(-1000), TypeKind::Decimal(20, 10)), "-1.000E-7");
        assert_eq!(shown(Value::Double(1e10), DataType::double()), "1.0E10");
        assert_eq!(shown(Value::Bytes(vec![1, 255]), DataType::bytes()), "[1, -1]");
    }

    #[test]
    fn times() {
        assert_eq!(shown(Value::Time(36_660_000), TypeKind::Time(0)), "10:11");
        assert_eq!(shown(Value::Time(36_672_123), TypeKind::Time(3)), "10:11:12.123");
        assert_eq!(shown(Value::Timestamp(120), TypeKind::Timestamp(3)), "1970-01-01T00:00:00.120");
        assert_eq!(shown(Value::Timestamp(0), TypeKind::Timestamp(3)), "1970-01-01T00:00");
        let nanos = TypeKind::Timestamp(7);
        assert_eq!(shown(Value::Timestamp(1_123_456_700), nanos), "1970-01-01T00:00:01.123456700");
        assert_eq!(shown(Value::Timestamp(0), TypeKind::TimestampLtz(3)), "1970-01-01T00:00:00Z");
        assert_eq!(shown(Value::Interval(14), TypeKind::Interval(IntervalUnit::Months)), "P14M");
        let span = |millis| shown(Value::Interval(millis), TypeKind::Interval(IntervalUnit::Milliseconds));
        assert_eq!(span(93_784_567), "PT26H3M4.567S");
        assert_eq!(span(-93_784_567), "PT-26H-3M-4.567S");
        assert_eq!((span(0), span(-500), span(120_000)), ("PT0S".into(), "PT-0.5S".into(), "PT2M".into()));
    }

    #[test]
    fn nested_values() {
        let of = DataType::row([
            ("tags", DataType::array(DataType::string())),
            ("counts", DataType::map(DataType::string(), DataType::int())),
        ]);
        let tags = Value::Array(vec![Value::String("a".into()), Value::Null]);
        let counts = Value::Map(vec![(Value::String("k".into()), Value::Int(1))]);
        assert_eq!(shown(Value::Row(vec![tags, counts]), of), "+I[[a, null], {k=1}]");
    }
}
