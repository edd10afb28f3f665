//! Hive-style partitions: `key=value/` directories.
//!
//! ```text
//!   country=DE/day=2026-01-01/part-….csv   ◄──►   (country, 'DE'), (day, DATE '2026-01-01')
//! ```
//!
//! Characters that a path or another tool could stumble over are written as `%XX`, the same ones
//! as Flink and Hive. NULL and the empty string share one directory, named by
//! `partition.default-name`; it is read as NULL.
//!
//! Dates are written as Hive does, `day=2026-01-01`. Flink writes the number of days since 1970
//! instead (`day=20454`), which no other tool understands; both are read.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, StringArray, UInt64Array, make_array},
    compute::{CastOptions, cast_with_options, take},
    datatypes::{
        DataType as ArrowType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
    error::ArrowError,
    temporal_conversions::as_datetime,
};
use chrono::{NaiveDateTime, Timelike};
use flott_expr::{EvalContext, render::render_value};
use flott_types::{DataType, TypeKind};

/// Whether values of this type can stand in a directory name.
pub(crate) fn is_key_type(data_type: &DataType) -> bool {
    data_type.is_character()
        || data_type.is_numeric()
        || data_type.kind == TypeKind::Boolean
        || data_type.is_datetime()
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f || b"\"#%'*/:=?\\{}[]^".contains(&byte)
}

/// A name or value as it stands in a path.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) if is_escaped(byte) => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(c),
        }
    }
    out
}

/// The reverse of [`escape`]; a `%` without two hexadecimal digits stands for itself.
pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let code = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match code {
            // Codes are characters, not UTF-8 bytes: `%E9` is é.
            Some(code) => {
                out.extend_from_slice(char::from(code).encode_utf8(&mut [0; 4]).as_bytes());
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok())
}

/// The values of `keys` that stand in a path, or the first key that doesn't.
pub(crate) fn values_of<'k>(
    relative: &str,
    keys: &'k [String],
    default_name: &str,
) -> Result<Vec<(String, Option<String>)>, &'k str> {
    let found: Vec<(String, &str)> = relative
        .split('/')
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (unescape(key), value))
        .collect();
    keys.iter()
        .map(|key| {
            let (_, value) = found.iter().find(|(name, _)| name == key).ok_or(key.as_str())?;
            let value = (*value != default_name).then(|| unescape(value));
            Ok((key.clone(), value))
        })
        .collect()
}

/// The directory of a partition, with a slash at its end.
pub(crate) fn directory<'a>(
    values: impl IntoIterator<Item = (&'a str, Option<String>)>,
    default_name: &str,
) -> String {
    let mut out = String::new();
    for (key, value) in values {
        out.push_str(&escape(key));
        out.push('=');
        match value.filter(|value| !value.is_empty()) {
            Some(value) => out.push_str(&escape(&value)),
            None => out.push_str(default_name),
        }
        out.push('/');
    }
    out
}

/// A partition's text as a column of this type.
///
/// # Errors
/// The text isn't a value of the type.
pub(crate) fn to_column(
    text: Option<&str>,
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let days = text.filter(|_| data_type.kind == TypeKind::Date).and_then(|it| it.parse::<i32>().ok());
    let one: ArrayRef = match days {
        Some(days) => Arc::new(Date32Array::from(vec![days])),
        // `2026-01-02T03:04`: written without seconds where they are zero.
        None if data_type.is_timestamp() && text.is_some_and(|it| it.len() == 16) => {
            Arc::new(StringArray::from(vec![text.map(|it| format!("{it}:00"))]))
        }
        None => Arc::new(StringArray::from(vec![text])),
    };
    let one = match data_type.arrow_type() {
        // Instants are written in UTC; a cast to a type with a zone would need a table of zones.
        zoned @ ArrowType::Timestamp(unit, Some(_)) => {
            let plain = cast_with_options(&one, &ArrowType::Timestamp(unit, None), &strict)?;
            make_array(plain.to_data().into_builder().data_type(zoned).build()?)
        }
        plain => cast_with_options(&one, &plain, &strict)?,
    };
    take(&one, &UInt64Array::from(vec![0; rows]), None)
}

/// A value as it is written into a directory name, before escaping. `None`: NULL.
pub(crate) fn to_text(
    column: &dyn Array,
    row: usize,
    data_type: &DataType,
    context: &EvalContext,
) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    if let ArrowType::Timestamp(unit, _) = column.data_type() {
        return timestamp(column, row, *unit).map(iso);
    }
    let mut text = String::new();
    render_value(column, row, data_type, context.time_zone, &mut text);
    Some(text)
}

fn timestamp(column: &dyn Array, row: usize, unit: TimeUnit) -> Option<NaiveDateTime> {
    match unit {
        TimeUnit::Second => {
            as_datetime::<TimestampSecondType>(column.as_primitive::<TimestampSecondType>().value(row))
        }
        TimeUnit::Millisecond => as_datetime::<TimestampMillisecondType>(
            column.as_primitive::<TimestampMillisecondType>().value(row),
        ),
        TimeUnit::Microsecond => as_datetime::<TimestampMicrosecondType>(
            column.as_primitive::<TimestampMicrosecondType>().value(row),
        ),
        TimeUnit::Nanosecond => as_datetime::<TimestampNanosecondType>(
            column.as_primitive::<TimestampNanosecondType>().value(row),
        ),
    }
}

/// ISO 8601 as Flink writes it: seconds and fractions only where they aren't zero, fractions in
/// groups of three digits. Instants (`TIMESTAMP_LTZ`) are written in UTC.
fn iso(time: NaiveDateTime) -> String {
    let mut out = time.format("%Y-%m-%dT%H:%M").to_string();
    let nanos = time.nanosecond();
    if time.second() != 0 || nanos != 0 {
        out.push_str(&format!(":{:02}", time.second()));
    }
    match nanos {
        0 => {}
        n if n % 1_000_000 == 0 => out.push_str(&format!(".{:03}", n / 1_000_000)),
        n if n % 1_000 == 0 => out.push_str(&format!(".{:06}", n / 1_000)),
        n => out.push_str(&format!(".{n:09}")),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped_and_come_back() {
        assert_eq!(escape("a b/c=d:é\t"), "a b%2Fc%3Dd%3Aé%09");
        assert_eq!(unescape("a b%2Fc%3Dd%3Aé%09"), "a b/c=d:é\t");
        assert_eq!(unescape("50%"), "50%");
        assert_eq!(unescape("%zz"), "%zz");
    }

    #[test]
    fn values_come_from_the_path() {
        let keys = ["day".to_string(), "country".to_string()];
        let values = values_of("country=__D__/day=2026-01-01/a.csv", &keys, "__D__").unwrap();
        assert_eq!(values, [("day".into(), Some("2026-01-01".into())), ("country".into(), None)]);
        assert_eq!(values_of("day=1/a.csv", &keys, "__D__"), Err("country"));
    }

    #[test]
    fn a_directory_and_its_values() {
        let values = [("a", Some("x/y".to_string())), ("b", None), ("c", Some(String::new()))];
        assert_eq!(directory(values, "__D__"), "a=x%2Fy/b=__D__/c=__D__/");
    }

    #[test]
    fn text_is_cast_to_the_columns_type() {
        let context = crate::testing::eval_context();
        let there_and_back = |text: &str, data_type: DataType| {
            let column = to_column(Some(text), &data_type, 2).unwrap();
            assert_eq!(column.len(), 2);
            to_text(&column, 1, &data_type, &context).unwrap()
        };
        assert_eq!(there_and_back("2026-01-02", TypeKind::Date.into()), "2026-01-02");
        assert_eq!(there_and_back("20455", TypeKind::Date.into()), "2026-01-02");
        assert_eq!(there_and_back("2026-01-02T03:04", TypeKind::Timestamp(3).into()), "2026-01-02T03:04");
        assert_eq!(there_and_back("2026-01-02T03:04", TypeKind::TimestampLtz(3).into()), "2026-01-02T03:04");
        assert_eq!(there_and_back("1.50", TypeKind::Decimal(10, 2).into()), "1.50");
        assert_eq!(there_and_back("1.0E10", DataType::double()), "1.0E10");
        assert!(to_column(Some("two"), &DataType::int(), 1).is_err());
        assert_eq!(to_column(None, &DataType::int(), 1).unwrap().null_count(), 1);
    }
}
