//! Dates and times from text and numbers, and back. Patterns: see `datetime_pattern.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, make_array},
    datatypes::{DataType as ArrowType, Date32Type, Float64Type, Int64Type},
};
use flott_types::{DataType, TimestampUnit, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    calendar::{
        Instants, NANOS_PER_SECOND, SECONDS_PER_DAY, days_of, local_offset, month_length, utc_offset,
    },
    datetime_pattern::{Pattern, Style},
    define::{Param, shaped, shaped_nullable},
    java_zone::JavaZone,
    kernel::{self, Prepared},
    signature,
};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::Temporal;
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "DATE_FORMAT",
        &["DATE_FORMAT(timestamp, pattern)", "DATE_FORMAT(string, pattern)"],
        |args| match args {
            [value, pattern] if signature::is_string(pattern) => {
                if !value.data_type.is_timestamp() && !signature::is_string(value) {
                    return None;
                }
                let mut found = signature::as_given(args, DataType::string());
                found.result.nullable = true;
                Some(found)
            }
            _ => None,
        },
        date_format,
        "The timestamp (or text of the form `yyyy-MM-dd HH:mm:ss`) as the pattern says, with the letters of Java's DateTimeFormatter.",
        &[
            ("DATE_FORMAT(TIMESTAMP '2024-02-03 04:05:06.789', 'yyyy-MM-dd')", "2024-02-03"),
            ("DATE_FORMAT(TIMESTAMP '2024-02-03 14:05:06.789', 'EEE, d MMM yyyy')", "Sat, 3 Feb 2024"),
        ],
    ),
    Function::define(
        KIND,
        "TO_TIMESTAMP",
        &["TO_TIMESTAMP(string [, pattern])"],
        |args| shaped_nullable(args, 1, &[Param::Text, Param::Text], TypeKind::Timestamp(3).into()),
        |call| {
            let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1, Style::Formatter)?);
            let values = kernel::build_primitive::<Int64Type>(call.rows, call.nulls().as_ref(), |row| {
                let text = texts.value(row);
                // A pattern that Java doesn't know fits nothing.
                let found = match patterns.at(row) {
                    Ok(Some(pattern)) => {
                        pattern.parse(text).or_else(|| plain_timestamp(text.trim(), Some(31)))
                    }
                    Ok(None) => plain_timestamp(text, None),
                    Err(error) if error.message.starts_with("not supported") => return Err(error),
                    Err(_) => None,
                };
                Ok(found.map(millis_of))
            })?;
            timestamps(values, &call.data_type.arrow_type())
        },
        "The timestamp that the text spells, by default as `yyyy-MM-dd HH:mm:ss`; NULL if it doesn't.",
        &[
            ("TO_TIMESTAMP('2024-02-03 04:05:06')", "2024-02-03 04:05:06.000"),
            ("TO_TIMESTAMP('03/02/2024 04:05', 'dd/MM/yyyy HH:mm')", "2024-02-03 04:05:00.000"),
        ],
    ),
    Function::define(
        KIND,
        "TO_TIMESTAMP_LTZ",
        &["TO_TIMESTAMP_LTZ(number [, precision])", "TO_TIMESTAMP_LTZ(string [, pattern [, time_zone]])"],
        ltz_types,
        to_timestamp_ltz,
        "The instant so many seconds (precision 0), milliseconds (3, the default) or smaller units after 1970, or that the text spells in a time zone (UTC).",
        &[
            ("CAST(TO_TIMESTAMP_LTZ(1700000000, 0) AS STRING)", "2023-11-14 22:13:20.000"),
            ("CAST(TO_TIMESTAMP_LTZ(1700000000123, 3) AS STRING)", "2023-11-14 22:13:20.123"),
        ],
    ),
    Function::define(
        KIND,
        "TO_DATE",
        &["TO_DATE(string [, pattern])"],
        |args| shaped_nullable(args, 1, &[Param::Text, Param::Text], TypeKind::Date.into()),
        |call| {
            let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1, Style::Simple)?);
            let days = kernel::build_primitive::<Date32Type>(call.rows, call.nulls().as_ref(), |row| {
                let text = texts.value(row);
                let days = match patterns.at(row)? {
                    Some(pattern) => pattern.parse(text).map(|it| it.0),
                    None => plain_date(text),
                };
                Ok(days.and_then(|it| i32::try_from(it).ok()))
            })?;
            Ok(Arc::new(Date32Array::from(days.into_data())))
        },
        "The date that the text spells, by default as `yyyy-MM-dd`; NULL if it doesn't.",
        &[("TO_DATE('2024-02-03')", "2024-02-03"), ("TO_DATE('03.02.2024', 'dd.MM.yyyy')", "2024-02-03")],
    ),
    Function::define(
        KIND,
        "FROM_UNIXTIME",
        &["FROM_UNIXTIME(seconds [, pattern])"],
        |args| shaped_nullable(args, 1, &[Param::Long, Param::Text], DataType::string()),
        from_unixtime,
        "The instant so many seconds after 1970 as text in the session's time zone, by default as `yyyy-MM-dd HH:mm:ss`.",
        &[("FROM_UNIXTIME(1700000000, 'yyyy/MM/dd')", "2023/11/14")],
    ),
    Function::define(
        KIND,
        "UNIX_TIMESTAMP",
        &["UNIX_TIMESTAMP()", "UNIX_TIMESTAMP(string [, pattern])"],
        |args| shaped(args, 0, &[Param::Text, Param::Text], DataType::bigint()),
        unix_timestamp,
        "Seconds since 1970: of now, or of text in the session's time zone, by default as `yyyy-MM-dd HH:mm:ss`. Text that doesn't fit gives the least BIGINT.",
        &[("UNIX_TIMESTAMP('2024-02-03', 'yyyy-MM-dd')", "1706918400")],
    )
    .varying(),
    Function::define(
        KIND,
        "CONVERT_TZ",
        &["CONVERT_TZ(string, from_zone, to_zone)"],
        |args| shaped_nullable(args, 3, &[Param::Text; 3], DataType::string()),
        convert_tz,
        "A time of the form `yyyy-MM-dd HH:mm:ss` in another time zone. Zones are named (`Europe/Berlin`) or counted (`GMT+08:00`). A zone that doesn't exist is UTC, as in Flink.",
        &[("CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')", "1969-12-31 16:00:00")],
    ),
];

/// The patterns of an argument, compiled.
struct Patterns<'a> {
    known: Option<Prepared<'a, Pattern>>,
    style: Style,
}

impl<'a> Patterns<'a> {
    fn of(call: &Call<'a>, index: usize, style: Style) -> Result<Self, EvalError> {
        let given = call.args.len() > index;
        let known = if given { Some(Prepared::new(call.strings(index)?)) } else { None };
        Ok(Self { known, style })
    }
    /// The row's pattern, if there is such an argument.
    fn at(&mut self, row: usize) -> Result<Option<&Pattern>, EvalError> {
        let style = self.style;
        match &mut self.known {
            Some(known) => known.at(row, |text| Pattern::new(text, style)).map(Some),
            None => Ok(None),
        }
    }
}

fn millis_of((days, nanos): (i64, i64)) -> i64 {
    days * SECONDS_PER_DAY * 1_000 + nanos / 1_000_000
}

fn timestamps(values: Int64Array, to: &ArrowType) -> Result<ArrayRef, EvalError> {
    Ok(make_array(values.into_data().into_builder().data_type(to.clone()).build()?))
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let mut patterns = Patterns::of(call, 1, Style::Formatter)?;
    let missing = || EvalError::internal("DATE_FORMAT without a pattern");
    if let Ok(texts) = call.strings(0) {
        return kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
            let pattern = patterns.at(row)?.ok_or_else(missing)?;
            let text = texts.value(row);
            // Without a time of day the text doesn't fit.
            let found = if text.contains(' ') { plain_timestamp(text, None) } else { None };
            let Some((days, nanos)) = found else { return Ok(false) };
            pattern.format(days, nanos, None, out).map(|()| true)
        });
    }
    let input = call.args.first().ok_or_else(missing)?;
    let instants = Instants::of(input, call.context.time_zone)?;
    let any = call.nulls().is_none_or(|it| it.null_count() < call.rows);
    if let Some(text) = call.literal_text(1).filter(|_| any) {
        let pattern = Pattern::new(text, Style::Formatter)?;
        if pattern.is_date_only() {
            return format_days(call, &pattern, &instants);
        }
    }
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let pattern = patterns.at(row)?.ok_or_else(missing)?;
        pattern.format(instants.days(row), instants.nanos_of_day(row), None, out).map(|()| true)
    })
}

/// Rows near each other are mostly of one day: its text is made once.
fn format_days(call: &Call<'_>, pattern: &Pattern, instants: &Instants) -> Result<ArrayRef, EvalError> {
    let (mut known, mut text) = (None, String::new());
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let days = instants.days(row);
        if known != Some(days) {
            text.clear();
            pattern.format(days, 0, None, &mut text)?;
            known = Some(days);
        }
        out.push_str(&text);
        Ok(true)
    })
}

/// Splits off a number of 1 to `most` digits.
fn digits(text: &str, most: usize) -> Option<(i64, &str)> {
    let width = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    Some((text.get(..width)?.parse().ok()?, text.get(width..)?))
}

/// A number of two digits.
fn two_digits(text: &[u8], at: usize) -> Option<i64> {
    match text.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

/// Year, month and day of text that starts as `yyyy-MM-dd`.
fn full_date(text: &[u8]) -> Option<(i64, i64, i64)> {
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') {
        return None;
    }
    let year = two_digits(text, 0)? * 100 + two_digits(text, 2)?;
    Some((year, two_digits(text, 5)?, two_digits(text, 8)?))
}

/// `yyyy-MM-dd[ HH:mm:ss[.fraction]]`. With `roll_over` the day may pass the end of its month
/// and then counts on, else it becomes the month's last.
fn plain_timestamp(text: &str, roll_over: Option<i64>) -> Option<(i64, i64)> {
    let (year, rest) = digits(text, 4).filter(|_| text.as_bytes().iter().take(4).all(u8::is_ascii_digit))?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    if year < 1 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let day = if roll_over.is_some() { day } else { day.min(month_length(year, month)) };
    let days = days_of(year, month, day);
    if rest.is_empty() {
        return Some((days, 0));
    }
    let (hour, rest) = digits(rest.strip_prefix(' ')?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let fraction = fraction(rest)?;
    if hour == 24 && (minute, second, fraction) == (0, 0, 0) {
        return Some((days + 1, 0));
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((days, seconds * NANOS_PER_SECOND + fraction))
}

/// Nanoseconds of `.123`, also of nothing and of the dot alone.
fn fraction(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix('.')?;
    if digits.len() > 9 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let value: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some((digits.len()..9).fold(value, |value, _| value * 10))
}

/// `yyyy[-MM[-dd]]`, before a space or `T`. The day must exist.
fn plain_date(text: &str) -> Option<i64> {
    let exists = |month: i64, day: i64| (1..=12).contains(&month) && (1..=31).contains(&day);
    if let (10, Some((year, month, day))) = (text.len(), full_date(text.as_bytes())) {
        let exists = exists(month, day) && (day <= 28 || day <= month_length(year, month));
        return exists.then(|| days_of(year, month, day));
    }
    let text = text.trim();
    let text = text.split(' ').next().unwrap_or(text);
    let mut parts = text.split('-');
    let mut part = |most: usize| match parts.next() {
        None => Some(None),
        Some(text) => match digits(text, most)? {
            (value, "") => Some(Some(value)),
            _ => None,
        },
    };
    let (year, month, day) = (part(4)??, part(2)?.unwrap_or(1), part(2)?.unwrap_or(1));
    let exists = parts.next().is_none() && exists(month, day) && day <= month_length(year, month);
    exists.then(|| days_of(year, month, day))
}

fn ltz_types(args: &[Expr]) -> Option<Signature> {
    let value = args.first()?;
    if signature::is_string(value) {
        return shaped_nullable(args, 1, &[Param::Text; 3], TypeKind::TimestampLtz(3).into());
    }
    if args.len() > 2 || !value.data_type.is_numeric() {
        return None;
    }
    let precision = match args.get(1) {
        Some(it) => signature::literal_int(it).filter(|it| matches!(it, 0 | 3 | 6 | 9))?,
        None => 3,
    };
    let from = if value.data_type.is_approximate() { Param::Double } else { Param::Long };
    let result: DataType = TypeKind::TimestampLtz(u8::try_from(precision.max(3)).ok()?).into();
    let mut arguments = vec![if from == Param::Double { DataType::double() } else { DataType::bigint() }];
    arguments.extend(args.iter().skip(1).map(|_| DataType::int()));
    let mut found = signature::signature(args, arguments, result);
    found.result.nullable = true;
    Some(found)
}

/// 0001-01-01 to 9999-12-31, in seconds: what Flink accepts.
const SECONDS_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let TypeKind::TimestampLtz(precision) = call.data_type.kind else {
        return Err(EvalError::internal("TO_TIMESTAMP_LTZ of another type"));
    };
    let to = call.data_type.arrow_type();
    if let Ok(texts) = call.strings(0) {
        let mut patterns = Patterns::of(call, 1, Style::Formatter)?;
        let zones = if call.args.len() > 2 { Some(call.strings(2)?) } else { None };
        let values = kernel::build_primitive::<Int64Type>(call.rows, call.nulls().as_ref(), |row| {
            let zone = zones.map_or(Ok(chrono_tz::UTC), |it| {
                let name = it.value(row);
                name.parse().map_err(|_| EvalError::new(format!("unknown time zone '{name}'")))
            })?;
            let text = texts.value(row);
            let found = match patterns.at(row)? {
                Some(pattern) => pattern.parse(text).or_else(|| plain_timestamp(text.trim(), Some(31))),
                None => Some(plain_timestamp(text, None).ok_or_else(|| {
                    EvalError::new(format!(
                        "TO_TIMESTAMP_LTZ: '{text}' is no time of the form yyyy-MM-dd HH:mm:ss"
                    ))
                })?),
            };
            Ok(found.map(|it| {
                let millis = millis_of(it);
                millis - local_offset(millis.div_euclid(1_000), zone) * 1_000
            }))
        })?;
        return timestamps(values, &to);
    }
    // What the number counts, and what the result counts, per second.
    let given: i64 = match signature_precision(call) {
        0 => 1,
        6 => 1_000_000,
        9 => NANOS_PER_SECOND,
        _ => 1_000,
    };
    let wanted = TimestampUnit::per_second(TimestampUnit::of(precision));
    let numbers = call.args.first().ok_or_else(|| EvalError::internal("TO_TIMESTAMP_LTZ of nothing"))?;
    let doubles = numbers.as_primitive_opt::<Float64Type>();
    let whole = numbers.as_primitive_opt::<Int64Type>();
    let values = kernel::build_primitive::<Int64Type>(call.rows, call.nulls().as_ref(), |row| {
        let scaled = match (whole, doubles) {
            (Some(it), _) => i128::from(it.value(row)) * i128::from(wanted / given.min(wanted)),
            (_, Some(it)) => (it.value(row) * (wanted / given.min(wanted)) as f64) as i128,
            _ => return Err(EvalError::internal("TO_TIMESTAMP_LTZ of something else")),
        };
        let value = i64::try_from(scaled).ok();
        Ok(value.filter(|it| SECONDS_RANGE.contains(&it.div_euclid(wanted))))
    })?;
    timestamps(values, &to)
}

fn signature_precision(call: &Call<'_>) -> i64 {
    call.exprs.get(1).and_then(signature::literal_int).unwrap_or(3)
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (seconds, mut patterns) = (call.bigints(0)?, Patterns::of(call, 1, Style::Simple)?);
    let default = Pattern::new(DEFAULT_PATTERN, Style::Simple)?;
    let zone = call.context.time_zone;
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let seconds = seconds.value(row);
        if !SECONDS_RANGE.contains(&seconds) {
            return Err(EvalError::new(format!("{seconds} seconds are outside the years 1 to 9999")));
        }
        let offset = utc_offset(seconds, zone);
        let local = seconds + offset;
        let (days, nanos) =
            (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY) * NANOS_PER_SECOND);
        let pattern = patterns.at(row)?.unwrap_or(&default);
        pattern.format(days, nanos, Some(offset), out).map(|()| true)
    })
}

fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    if call.args.is_empty() {
        return Ok(Arc::new(Int64Array::from_value(
            call.context.now_micros.div_euclid(1_000_000),
            call.rows,
        )));
    }
    let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1, Style::Simple)?);
    let default = Pattern::new(DEFAULT_PATTERN, Style::Simple)?;
    let zone = call.context.time_zone;
    let found = kernel::build_primitive::<Int64Type>(call.rows, call.nulls().as_ref(), |row| {
        let pattern = patterns.at(row)?.unwrap_or(&default);
        Ok(Some(pattern.parse(texts.value(row)).map_or(i64::MIN, |it| {
            let local = millis_of(it).div_euclid(1_000);
            local - local_offset(local, zone)
        })))
    })?;
    Ok(Arc::new(found))
}

fn convert_tz(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, from, to) = (call.strings(0)?, call.strings(1)?, call.strings(2)?);
    let pattern = Pattern::new(DEFAULT_PATTERN, Style::Simple)?;
    let (mut from_zones, mut to_zones) = (Prepared::new(from), Prepared::new(to));
    let zone = |name| Ok(JavaZone::of(name));
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let Some(parsed) = pattern.parse(texts.value(row)) else { return Ok(false) };
        let local = millis_of(parsed).div_euclid(1_000);
        let instant = local - from_zones.at(row, zone)?.offset_at_local(local);
        let local = instant + to_zones.at(row, zone)?.offset_at(instant);
        let (days, nanos) =
            (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY) * NANOS_PER_SECOND);
        pattern.format(days, nanos, None, out).map(|()| true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_read_as_flink_reads_it() {
        let day = days_of(2024, 2, 3);
        let morning = ((4 * 60 + 5) * 60 + 6) * NANOS_PER_SECOND;
        assert_eq!(plain_timestamp("2024-2-3 4:5:6", None), Some((day, morning)));
        assert_eq!(plain_timestamp("2024-02-03 04:05:06.5", None), Some((day, morning + 500_000_000)));
        assert_eq!(plain_timestamp("2024-02-03 04:05:06.", None), Some((day, morning)));
        assert_eq!(plain_timestamp("2024-02-30 00:00:00", None), Some((days_of(2024, 2, 29), 0)));
        for wrong in [
            "garbage",
            "2024-02-03 04:05",
            "2024-02",
            " 2024-02-03 ",
            "2024-02-03T04:05:06",
            "0000-02-03 04:05:06",
            "2024-02-03 24:05:06",
            "2024-02-03 04:05:06.7891234567",
            "",
        ] {
            assert_eq!(plain_timestamp(wrong, None), None, "{wrong}");
        }
    }

    #[test]
    fn plain_dates_must_exist() {
        assert_eq!(plain_date("2024-2-3"), Some(days_of(2024, 2, 3)));
        assert_eq!(plain_date("2024"), Some(days_of(2024, 1, 1)));
        assert_eq!(plain_date("2024-02-03 04:05:06"), Some(days_of(2024, 2, 3)));
        assert_eq!(plain_date("2024-02-30"), None);
        assert_eq!(plain_date("2024-02-03T04:05:06"), None);
        assert_eq!(plain_date("garbage"), None);
        assert_eq!(plain_date(""), None);
    }
}
