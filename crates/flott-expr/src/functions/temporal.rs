//! Dates and times as numbers: parts, rounding, arithmetic, the current time.
//!
//! A TIMESTAMP_LTZ is taken apart as the session's clock shows it. Text is in
//! `temporal_text.rs`. A unit comes as a constant first or last: `EXTRACT('YEAR', x)`,
//! `FLOOR_TO(x, 'DAY')`, `TIMESTAMPADD('MONTH', n, x)`, `TIMESTAMPDIFF('DAY', a, b)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, Time32MillisecondArray, make_array},
    buffer::NullBuffer,
    datatypes::{
        DataType as ArrowType, DurationMillisecondType, Int32Type, Int64Type, IntervalUnit,
        IntervalYearMonthType,
    },
};
use flott_types::{DataType, TimestampUnit, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    calendar::{
        Instants, NANOS_PER_SECOND, SECONDS_PER_DAY, add_months, civil, day_of_week, days_of,
        iso_day_of_week, iso_week, local_offset, months_between, utc_offset, year_start,
    },
    kernel, signature,
};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::Temporal;

const fn part(
    name: &'static str,
    signatures: &'static [&'static str],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function::define(KIND, name, signatures, one_datetime, evaluate, doc, examples)
}

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "EXTRACT",
        &["EXTRACT(unit FROM datetime)"],
        |args| match args {
            [unit, value] => {
                Unit::of(signature::literal_text(unit)?)?;
                let fits = value.data_type.is_datetime() || value.data_type.is_interval();
                fits.then(|| signature::as_given(args, DataType::bigint()))
            }
            _ => None,
        },
        |call| {
            let unit = unit_of(call, 0)?;
            extract(call, 1, unit)
        },
        "A part of a date, time, timestamp or interval.",
        &[
            ("EXTRACT(YEAR FROM TIMESTAMP '2024-02-03 04:05:06.789')", "2024"),
            ("EXTRACT(DOW FROM DATE '2024-12-29')", "1"),
            ("EXTRACT(MILLISECOND FROM TIMESTAMP '2024-02-03 04:05:06.789')", "789"),
        ],
    ),
    part(
        "YEAR",
        &["YEAR(datetime)"],
        |c| extract(c, 0, Unit::Year),
        "The year.",
        &[("YEAR(DATE '2024-02-03')", "2024")],
    ),
    part(
        "QUARTER",
        &["QUARTER(datetime)"],
        |c| extract(c, 0, Unit::Quarter),
        "The quarter, 1 to 4.",
        &[("QUARTER(DATE '2024-02-03')", "1")],
    ),
    part(
        "MONTH",
        &["MONTH(datetime)"],
        |c| extract(c, 0, Unit::Month),
        "The month, 1 to 12.",
        &[("MONTH(DATE '2024-02-03')", "2")],
    ),
    part(
        "WEEK",
        &["WEEK(datetime)"],
        |c| extract(c, 0, Unit::Week),
        "The week of ISO 8601, 1 to 53.",
        &[("WEEK(DATE '2024-01-01')", "1")],
    ),
    part(
        "DAYOFYEAR",
        &["DAYOFYEAR(datetime)"],
        |c| extract(c, 0, Unit::DayOfYear),
        "The day of the year, 1 to 366.",
        &[("DAYOFYEAR(DATE '2024-02-03')", "34")],
    ),
    part(
        "DAYOFMONTH",
        &["DAYOFMONTH(datetime)"],
        |c| extract(c, 0, Unit::Day),
        "The day of the month, 1 to 31.",
        &[("DAYOFMONTH(DATE '2024-02-03')", "3")],
    ),
    part(
        "DAYOFWEEK",
        &["DAYOFWEEK(datetime)"],
        |c| extract(c, 0, Unit::DayOfWeek),
        "The day of the week, 1 (Sunday) to 7.",
        &[("DAYOFWEEK(DATE '2024-02-04')", "1")],
    ),
    part(
        "HOUR",
        &["HOUR(datetime)"],
        |c| extract(c, 0, Unit::Hour),
        "The hour, 0 to 23.",
        &[("HOUR(TIMESTAMP '2024-02-03 04:05:06')", "4")],
    ),
    part(
        "MINUTE",
        &["MINUTE(datetime)"],
        |c| extract(c, 0, Unit::Minute),
        "The minute, 0 to 59.",
        &[("MINUTE(TIMESTAMP '2024-02-03 04:05:06')", "5")],
    ),
    part(
        "SECOND",
        &["SECOND(datetime)"],
        |c| extract(c, 0, Unit::Second),
        "The second, 0 to 59.",
        &[("SECOND(TIMESTAMP '2024-02-03 04:05:06')", "6")],
    ),
    Function::define(
        KIND,
        "FLOOR_TO",
        &["FLOOR(datetime TO unit)"],
        rounded,
        |call| round_to(call, false),
        "The datetime rounded down to a unit. Weeks start on Sunday.",
        &[
            ("FLOOR(TIMESTAMP '2024-02-03 04:05:06.789' TO HOUR)", "2024-02-03 04:00:00.000"),
            ("FLOOR(DATE '2024-02-13' TO WEEK)", "2024-02-11"),
        ],
    ),
    Function::define(
        KIND,
        "CEIL_TO",
        &["CEIL(datetime TO unit)"],
        rounded,
        |call| round_to(call, true),
        "The datetime rounded up to a unit. From the week on only the date counts, as in Flink.",
        &[("CEIL(TIMESTAMP '2024-02-03 04:05:06.789' TO MONTH)", "2024-03-01 00:00:00.000")],
    ),
    Function::define(
        KIND,
        "TIMESTAMPADD",
        &["TIMESTAMPADD(unit, count, datetime)"],
        add_types,
        timestamp_add,
        "The datetime so many units later. A day that the month doesn't have becomes its last.",
        &[("TIMESTAMPADD(MONTH, 1, TIMESTAMP '2024-01-31 04:05:06')", "2024-02-29 04:05:06")],
    ),
    Function::define(
        KIND,
        "TIMESTAMPDIFF",
        &["TIMESTAMPDIFF(unit, from, to)"],
        |args| match args {
            [unit, from, to] => {
                Unit::of(signature::literal_text(unit)?)?.length()?;
                let zoned = |it: &Expr| matches!(it.data_type.kind, TypeKind::TimestampLtz(_));
                let day = |it: &Expr| it.data_type.is_timestamp() || it.data_type.kind == TypeKind::Date;
                (day(from) && day(to) && zoned(from) == zoned(to))
                    .then(|| signature::as_given(args, DataType::int()))
            }
            _ => None,
        },
        timestamp_diff,
        "The number of whole units from one datetime to another.",
        &[
            ("TIMESTAMPDIFF(DAY, TIMESTAMP '2024-01-01 12:00:00', TIMESTAMP '2024-01-03 11:00:00')", "1"),
            ("TIMESTAMPDIFF(YEAR, DATE '2020-02-29', DATE '2024-02-28')", "3"),
        ],
    ),
    Function::define(
        KIND,
        "DIFFERENCE_IN",
        &["(datetime2 - datetime1) unit"],
        difference_types,
        difference,
        "How far one datetime is after another, as an interval: of whole months for YEAR, QUARTER and MONTH, else of milliseconds.",
        &[
            ("(TIMESTAMP '2024-01-02 03:00:00' - TIMESTAMP '2024-01-01 00:00:00') HOUR", "+1 03:00:00.000"),
            ("(DATE '2024-03-02' - DATE '2024-01-01') MONTH", "+0-02"),
        ],
    ),
    Function::define(
        KIND,
        "CURRENT_TIMESTAMP",
        &["CURRENT_TIMESTAMP", "NOW()", "CURRENT_ROW_TIMESTAMP()"],
        |args| nothing(args, TypeKind::TimestampLtz(3)),
        |call| now(call, false),
        "The current instant.",
        &[("TYPEOF(CURRENT_TIMESTAMP)", "TIMESTAMP_LTZ(3) NOT NULL")],
    )
    .also(&["NOW", "CURRENT_ROW_TIMESTAMP"])
    .varying(),
    Function::define(
        KIND,
        "PROCTIME",
        &["PROCTIME()"],
        |args| nothing(args, TypeKind::TimestampLtz(3)),
        |call| now(call, false),
        "The current instant as a time attribute: windows over it are of processing time.",
        &[("TYPEOF(PROCTIME())", "TIMESTAMP_LTZ(3) NOT NULL")],
    )
    .varying(),
    Function::define(
        KIND,
        "CURRENT_WATERMARK",
        &["CURRENT_WATERMARK(rowtime)"],
        |args| match args {
            [time] => {
                let result = match time.data_type.kind {
                    TypeKind::Timestamp(_) => TypeKind::Timestamp(3),
                    TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3),
                    _ => return None,
                };
                Some(Signature { arguments: vec![time.data_type.clone()], result: result.into() })
            }
            _ => None,
        },
        current_watermark,
        "Up to where event time has come where the row is, by the watermarks of a rowtime column; NULL \
         before the first.",
        &[("CURRENT_WATERMARK(rowtime)", "2026-01-01 00:00:00.000")],
    )
    .varying(),
    Function::define(
        KIND,
        "LOCALTIMESTAMP",
        &["LOCALTIMESTAMP"],
        |args| nothing(args, TypeKind::Timestamp(3)),
        |call| now(call, true),
        "What date and clock of the session's time zone show.",
        &[("TYPEOF(LOCALTIMESTAMP)", "TIMESTAMP(3) NOT NULL")],
    )
    .varying(),
    Function::define(
        KIND,
        "CURRENT_DATE",
        &["CURRENT_DATE"],
        |args| nothing(args, TypeKind::Date),
        |call| {
            let days = local_now_millis(call).div_euclid(SECONDS_PER_DAY * 1_000);
            Ok(Arc::new(Date32Array::from_value(days as i32, call.rows)))
        },
        "The current date in the session's time zone.",
        &[("TYPEOF(CURRENT_DATE)", "DATE NOT NULL")],
    )
    .varying(),
    Function::define(
        KIND,
        "LOCALTIME",
        &["LOCALTIME", "CURRENT_TIME"],
        |args| nothing(args, TypeKind::Time(0)),
        |call| {
            let millis = local_now_millis(call).rem_euclid(SECONDS_PER_DAY * 1_000) / 1_000 * 1_000;
            Ok(Arc::new(Time32MillisecondArray::from_value(millis as i32, call.rows)))
        },
        "The current time of the day in the session's time zone.",
        &[("TYPEOF(LOCALTIME)", "TIME(0) NOT NULL")],
    )
    .also(&["CURRENT_TIME"])
    .varying(),
];

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    DayOfWeek,
    IsoDayOfWeek,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

/// How long a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Months(i64),
    Nanos(i64),
}

impl Unit {
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Some(match name.strip_prefix("SQL_TSI_").unwrap_or(&name) {
            "MILLENNIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "QUARTER" => Self::Quarter,
            "MONTH" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" => Self::Day,
            "DOY" => Self::DayOfYear,
            "DOW" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            "MILLISECOND" => Self::Millisecond,
            "MICROSECOND" => Self::Microsecond,
            "NANOSECOND" => Self::Nanosecond,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    fn length(self) -> Option<Length> {
        Some(match self {
            Self::Year => Length::Months(12),
            Self::Quarter => Length::Months(3),
            Self::Month => Length::Months(1),
            Self::Week => Length::Nanos(7 * SECONDS_PER_DAY * NANOS_PER_SECOND),
            Self::Day => Length::Nanos(SECONDS_PER_DAY * NANOS_PER_SECOND),
            Self::Hour => Length::Nanos(3_600 * NANOS_PER_SECOND),
            Self::Minute => Length::Nanos(60 * NANOS_PER_SECOND),
            Self::Second => Length::Nanos(NANOS_PER_SECOND),
            Self::Millisecond => Length::Nanos(1_000_000),
            Self::Microsecond => Length::Nanos(1_000),
            Self::Nanosecond => Length::Nanos(1),
            _ => return None,
        })
    }

    /// The part of a day and a nanosecond of that day.
    #[inline]
    fn extract(self, days: i64, nanos: i64) -> i64 {
        let within = |unit: i64, next: i64| nanos / unit % next;
        match self {
            Self::Year => civil(days).year,
            Self::Month => civil(days).month,
            Self::Day => civil(days).day,
            Self::Quarter => (civil(days).month - 1) / 3 + 1,
            Self::Week => iso_week(days).1,
            Self::IsoYear => iso_week(days).0,
            Self::DayOfYear => civil(days).day_of_year(),
            Self::DayOfWeek => day_of_week(days),
            Self::IsoDayOfWeek => iso_day_of_week(days),
            Self::Hour => nanos / (3_600 * NANOS_PER_SECOND),
            Self::Minute => within(60 * NANOS_PER_SECOND, 60),
            Self::Second => within(NANOS_PER_SECOND, 60),
            Self::Millisecond => within(1_000_000, 1_000),
            Self::Microsecond => within(1_000, 1_000_000),
            Self::Nanosecond => nanos % NANOS_PER_SECOND,
            Self::Epoch => days * SECONDS_PER_DAY + nanos / NANOS_PER_SECOND,
            Self::Decade => civil(days).year.div_euclid(10),
            Self::Century => (civil(days).year + 99).div_euclid(100),
            Self::Millennium => (civil(days).year + 999).div_euclid(1_000),
        }
    }

    /// The first day of the unit that the day lies in; `None` for units within a day.
    fn first_day(self, days: i64) -> Option<i64> {
        let it = civil(days);
        let year = year_start;
        Some(match self {
            Self::Week => days - day_of_week(days) + 1,
            Self::Month => days_of(it.year, it.month, 1),
            Self::Quarter => days_of(it.year, (it.month - 1) / 3 * 3 + 1, 1),
            Self::Year => year(it.year),
            Self::Decade => year(it.year.div_euclid(10) * 10),
            Self::Century => year((it.year - 1).div_euclid(100) * 100 + 1),
            Self::Millennium => year((it.year - 1).div_euclid(1_000) * 1_000 + 1),
            _ => return None,
        })
    }

    /// The first day of the unit after the one that the day lies in.
    fn next_first_day(self, days: i64) -> Option<i64> {
        let it = civil(days);
        let year = year_start;
        Some(match self {
            Self::Week => days - day_of_week(days) + 8,
            Self::Month => days_of(it.year, it.month + 1, 1),
            Self::Quarter => days_of(it.year, (it.month - 1) / 3 * 3 + 4, 1),
            Self::Year => year(it.year + 1),
            Self::Decade => year(it.year.div_euclid(10) * 10 + 10),
            Self::Century => year((it.year - 1).div_euclid(100) * 100 + 101),
            Self::Millennium => year((it.year - 1).div_euclid(1_000) * 1_000 + 1_001),
            _ => return None,
        })
    }
}

fn unit_of(call: &Call<'_>, index: usize) -> Result<Unit, EvalError> {
    call.literal_text(index)
        .and_then(Unit::of)
        .ok_or_else(|| EvalError::internal("a unit of time is missing"))
}

fn one_datetime(args: &[Expr]) -> Option<Signature> {
    match args {
        [arg] if arg.data_type.is_datetime() || arg.data_type.is_null() => {
            Some(signature::as_given(args, DataType::bigint()))
        }
        _ => None,
    }
}

fn argument<'a>(call: &Call<'a>, index: usize) -> Result<&'a ArrayRef, EvalError> {
    call.args.get(index).ok_or_else(|| EvalError::internal("an argument is missing"))
}

fn extract(call: &Call<'_>, index: usize, unit: Unit) -> Result<ArrayRef, EvalError> {
    let input = argument(call, index)?;
    match input.data_type() {
        ArrowType::Null => return Ok(arrow::array::new_null_array(&ArrowType::Int64, call.rows)),
        ArrowType::Interval(IntervalUnit::YearMonth) => {
            let months = input.as_primitive::<IntervalYearMonthType>();
            return Ok(Arc::new(months.unary::<_, Int64Type>(|it| of_months(unit, i64::from(it)))));
        }
        ArrowType::Duration(_) => {
            let millis = input.as_primitive::<DurationMillisecondType>();
            return Ok(Arc::new(millis.unary::<_, Int64Type>(|it| of_millis(unit, it))));
        }
        _ => {}
    }
    let instants = Instants::of(input, call.context.time_zone)?;
    // Rows that are NULL are computed too: it is cheaper than asking, and nothing can fail. What is
    // asked for most gets a loop of its own.
    let parts = match unit {
        Unit::Year => instants.map(|days, nanos| Unit::Year.extract(days, nanos)),
        Unit::Quarter => instants.map(|days, nanos| Unit::Quarter.extract(days, nanos)),
        Unit::Month => instants.map(|days, nanos| Unit::Month.extract(days, nanos)),
        Unit::Week => instants.map(|days, nanos| Unit::Week.extract(days, nanos)),
        Unit::Day => instants.map(|days, nanos| Unit::Day.extract(days, nanos)),
        Unit::DayOfYear => instants.map(|days, nanos| Unit::DayOfYear.extract(days, nanos)),
        Unit::DayOfWeek => instants.map(|days, nanos| Unit::DayOfWeek.extract(days, nanos)),
        Unit::Hour => instants.map(|days, nanos| Unit::Hour.extract(days, nanos)),
        Unit::Minute => instants.map(|days, nanos| Unit::Minute.extract(days, nanos)),
        Unit::Second => instants.map(|days, nanos| Unit::Second.extract(days, nanos)),
        _ => instants.map(|days, nanos| unit.extract(days, nanos)),
    };
    Ok(Arc::new(Int64Array::new(parts.into(), input.nulls().cloned())))
}

fn of_months(unit: Unit, months: i64) -> i64 {
    match unit {
        Unit::Year => months / 12,
        Unit::Month => months % 12,
        Unit::Quarter => months % 12 / 3 + 1,
        _ => 0,
    }
}

fn of_millis(unit: Unit, millis: i64) -> i64 {
    match unit {
        Unit::Day => millis / 86_400_000,
        Unit::Hour => millis / 3_600_000 % 24,
        Unit::Minute => millis / 60_000 % 60,
        Unit::Second => millis / 1_000 % 60,
        Unit::Millisecond => millis % 1_000,
        Unit::Epoch => millis / 1_000,
        _ => 0,
    }
}

/// A column of the call's type from what the clock shows, in units of `per_second`. A
/// TIMESTAMP_LTZ is turned back into instants.
fn datetimes(
    call: &Call<'_>,
    mut values: Vec<i64>,
    per_second: i64,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, EvalError> {
    let to = call.data_type.arrow_type();
    match &to {
        ArrowType::Date32 => {
            let days = values.iter().map(|it| it.div_euclid(per_second * SECONDS_PER_DAY) as i32);
            Ok(Arc::new(Date32Array::new(days.collect::<Vec<i32>>().into(), nulls)))
        }
        ArrowType::Time32(_) => {
            let day = per_second * SECONDS_PER_DAY;
            let millis = values.iter().map(|it| (it.rem_euclid(day) * 1_000 / per_second) as i32);
            Ok(Arc::new(Time32MillisecondArray::new(millis.collect::<Vec<i32>>().into(), nulls)))
        }
        ArrowType::Timestamp(unit, zone) => {
            if zone.is_some() && call.context.time_zone != chrono_tz::UTC {
                for value in &mut values {
                    *value -= local_offset(value.div_euclid(per_second), call.context.time_zone) * per_second;
                }
            }
            if TimestampUnit::per_second(*unit) != per_second {
                return Err(EvalError::internal("a timestamp in another unit than its type's"));
            }
            let data =
                Int64Array::new(values.into(), nulls).into_data().into_builder().data_type(to).build()?;
            Ok(make_array(data))
        }
        other => Err(EvalError::internal(format!("{other} is neither date nor time"))),
    }
}

fn rounded(args: &[Expr]) -> Option<Signature> {
    let [value, unit] = args else { return None };
    let unit = Unit::of(signature::literal_text(unit)?)?;
    let fits = unit.length().is_some() || unit.first_day(0).is_some();
    (fits && value.data_type.is_datetime()).then(|| signature::as_given(args, value.data_type.clone()))
}

fn round_to(call: &Call<'_>, up: bool) -> Result<ArrayRef, EvalError> {
    let (input, unit) = (argument(call, 0)?, unit_of(call, 1)?);
    let mut instants = Instants::of(input, call.context.time_zone)?;
    let per_second = instants.per_second;
    let fits = match unit.length() {
        Some(Length::Nanos(nanos)) if unit != Unit::Week => {
            let step = (i128::from(nanos) * i128::from(per_second) / i128::from(NANOS_PER_SECOND)) as i64;
            round_to_step(&mut instants.values, step, up, input)
        }
        _ => round_to_day(&mut instants, unit, up, input),
    };
    fits.ok_or_else(|| {
        let (what, of) = (if up { "CEIL" } else { "FLOOR" }, &call.data_type.kind);
        EvalError::new(format!("{what} of the time is out of the range of {of}"))
    })?;
    datetimes(call, instants.values, per_second, input.nulls().cloned())
}

/// `None` if a value that isn't NULL would lie beyond the first or last one that fits.
fn round_to_step(values: &mut [i64], step: i64, up: bool, input: &ArrayRef) -> Option<()> {
    // A unit finer than the column's own changes nothing.
    if step <= 1 {
        return Some(());
    }
    for (row, value) in values.iter_mut().enumerate() {
        let rest = value.rem_euclid(step);
        let rounded =
            value.checked_sub(rest).and_then(|it| it.checked_add(if up && rest > 0 { step } else { 0 }));
        match rounded {
            Some(rounded) => *value = rounded,
            None if input.is_valid(row) => return None,
            None => {}
        }
    }
    Some(())
}

/// As [`round_to_step`], to the first day of a unit.
fn round_to_day(instants: &mut Instants, unit: Unit, up: bool, input: &ArrayRef) -> Option<()> {
    let round = |unit: Unit, days: i64| {
        let first = unit.first_day(days).unwrap_or(days);
        if up && first < days { unit.next_first_day(days).unwrap_or(first) } else { first }
    };
    let firsts = match unit {
        Unit::Week => instants.map(|days, _| round(Unit::Week, days)),
        Unit::Month => instants.map(|days, _| round(Unit::Month, days)),
        Unit::Quarter => instants.map(|days, _| round(Unit::Quarter, days)),
        Unit::Year => instants.map(|days, _| round(Unit::Year, days)),
        _ => instants.map(|days, _| round(unit, days)),
    };
    let day = instants.per_second * SECONDS_PER_DAY;
    for (row, (value, first)) in instants.values.iter_mut().zip(firsts).enumerate() {
        match first.checked_mul(day) {
            Some(rounded) => *value = rounded,
            None if input.is_valid(row) => return None,
            None => {}
        }
    }
    Some(())
}

fn add_types(args: &[Expr]) -> Option<Signature> {
    let [unit, count, value] = args else { return None };
    let unit = Unit::of(signature::literal_text(unit)?)?;
    let within_day =
        matches!(unit.length()?, Length::Nanos(nanos) if nanos < SECONDS_PER_DAY * NANOS_PER_SECOND);
    if !signature::is_integer(count) || !value.data_type.is_datetime() {
        return None;
    }
    let result: DataType = match value.data_type.kind {
        TypeKind::Date if within_day => TypeKind::Timestamp(6).into(),
        TypeKind::Time(_) if !within_day => return None,
        _ => value.data_type.kind.clone().into(),
    };
    let arguments = vec![args.first()?.data_type.clone(), DataType::bigint(), result.clone()];
    Some(signature::signature(args, arguments, result))
}

fn timestamp_add(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (unit, counts, input) = (unit_of(call, 0)?, call.bigints(1)?, argument(call, 2)?);
    let Some(length) = unit.length() else { return Err(EvalError::internal("a unit without a length")) };
    let instants = Instants::of(input, call.context.time_zone)?;
    let (per_second, nulls) = (instants.per_second, call.nulls());
    let day = per_second * SECONDS_PER_DAY;
    let added = kernel::build_primitive::<Int64Type>(call.rows, nulls.as_ref(), |row| {
        let (value, count) = (instants.values[row], counts.value(row));
        let sum = match length {
            Length::Months(months) => {
                let months = count.checked_mul(months).filter(|it| it.unsigned_abs() < 12 * 1_000_000);
                months.and_then(|it| {
                    add_months(value.div_euclid(day), it).checked_mul(day)?.checked_add(value.rem_euclid(day))
                })
            }
            Length::Nanos(nanos) => {
                let delta = i128::from(count) * i128::from(nanos) * i128::from(per_second);
                i64::try_from(i128::from(value) + delta / i128::from(NANOS_PER_SECOND)).ok()
            }
        };
        sum.map(Some).ok_or_else(|| EvalError::new(format!("{count} more {unit:?}s are out of range")))
    })?;
    let nulls = added.nulls().cloned();
    datetimes(call, added.values().to_vec(), per_second, nulls)
}

fn timestamp_diff(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let unit = unit_of(call, 0)?;
    let zone = call.context.time_zone;
    let (from, to) = (Instants::of(argument(call, 1)?, zone)?, Instants::of(argument(call, 2)?, zone)?);
    let Some(length) = unit.length() else { return Err(EvalError::internal("a unit without a length")) };
    let whole = |it: &Instants, row: usize| {
        let day = i128::from(SECONDS_PER_DAY * NANOS_PER_SECOND);
        i128::from(it.days(row)) * day + i128::from(it.nanos_of_day(row))
    };
    let same_unit = from.per_second == to.per_second;
    let found = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        let ticks = if same_unit { to.values[row].checked_sub(from.values[row]) } else { None };
        let count = match length {
            // Of ticks that are no finer than the unit.
            Length::Nanos(nanos) if ticks.is_some() && nanos % (NANOS_PER_SECOND / from.per_second) == 0 => {
                i128::from(ticks.unwrap_or(0) / (nanos / (NANOS_PER_SECOND / from.per_second)))
            }
            Length::Nanos(nanos) => (whole(&to, row) - whole(&from, row)) / i128::from(nanos),
            Length::Months(months) => {
                let count = whole_months(
                    (from.days(row), from.nanos_of_day(row)),
                    (to.days(row), to.nanos_of_day(row)),
                );
                i128::from(count / months)
            }
        };
        let fits = i32::try_from(count);
        fits.map(Some)
            .map_err(|_| EvalError::new(format!("a difference of {count} {unit:?}s doesn't fit an INT")))
    })?;
    Ok(Arc::new(found))
}

fn difference_types(args: &[Expr]) -> Option<Signature> {
    let [to, from, unit] = args else { return None };
    let zoned = |it: &Expr| matches!(it.data_type.kind, TypeKind::TimestampLtz(_));
    let day = |it: &Expr| it.data_type.is_timestamp() || it.data_type.kind == TypeKind::Date;
    let kind = match Unit::of(signature::literal_text(unit)?)?.length()? {
        Length::Months(_) => flott_types::IntervalUnit::Months,
        Length::Nanos(_) => flott_types::IntervalUnit::Milliseconds,
    };
    let fits = day(from) && day(to) && zoned(from) == zoned(to);
    fits.then(|| signature::as_given(args, TypeKind::Interval(kind).into()))
}

fn difference(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let zone = call.context.time_zone;
    let (to, from) = (Instants::of(argument(call, 0)?, zone)?, Instants::of(argument(call, 1)?, zone)?);
    let nulls = call.nulls();
    let days = |row: usize| (to.days(row), from.days(row));
    let nanos = |row: usize| (to.nanos_of_day(row), from.nanos_of_day(row));
    if call.data_type.kind == TypeKind::Interval(flott_types::IntervalUnit::Months) {
        let months = kernel::build_primitive::<IntervalYearMonthType>(call.rows, nulls.as_ref(), |row| {
            let ((to_day, from_day), (to_nanos, from_nanos)) = (days(row), nanos(row));
            Ok(i32::try_from(whole_months((from_day, from_nanos), (to_day, to_nanos))).ok())
        })?;
        return Ok(Arc::new(months));
    }
    let millis = kernel::build_primitive::<DurationMillisecondType>(call.rows, nulls.as_ref(), |row| {
        let ((to_day, from_day), (to_nanos, from_nanos)) = (days(row), nanos(row));
        Ok(Some(
            (to_day - from_day) * SECONDS_PER_DAY * 1_000 + (to_nanos - from_nanos).div_euclid(1_000_000),
        ))
    })?;
    Ok(Arc::new(millis))
}

/// Whole months between two (day, time of day), rounded towards zero.
fn whole_months(from: (i64, i64), to: (i64, i64)) -> i64 {
    if to < from {
        return -whole_months(to, from);
    }
    let months = months_between(from.0, to.0);
    let passed = months > 0 && add_months(from.0, months) == to.0 && to.1 < from.1;
    months - i64::from(passed)
}

fn nothing(args: &[Expr], result: TypeKind) -> Option<Signature> {
    args.is_empty().then(|| Signature { arguments: Vec::new(), result: DataType::new(result).not_null() })
}

fn local_now_millis(call: &Call<'_>) -> i64 {
    let millis = call.context.now_micros.div_euclid(1_000);
    millis + utc_offset(millis.div_euclid(1_000), call.context.time_zone) * 1_000
}

fn now(call: &Call<'_>, local: bool) -> Result<ArrayRef, EvalError> {
    let millis = if local { local_now_millis(call) } else { call.context.now_micros.div_euclid(1_000) };
    let values = arrow::array::TimestampMillisecondArray::from_value(millis, call.rows);
    Ok(Arc::new(values.with_data_type(call.data_type.arrow_type())))
}

fn current_watermark(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let values = arrow::array::TimestampMillisecondArray::from(vec![call.context.watermark; call.rows]);
    Ok(Arc::new(values.with_data_type(call.data_type.arrow_type())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_need_the_time_of_day_too() {
        let day = |year, month, day| days_of(year, month, day);
        assert_eq!(whole_months((day(2024, 1, 15), 12), (day(2024, 2, 15), 11)), 0);
        assert_eq!(whole_months((day(2024, 1, 31), 0), (day(2024, 2, 29), 0)), 1);
        assert_eq!(whole_months((day(2024, 2, 29), 0), (day(2024, 1, 31), 0)), -1);
    }

    #[test]
    fn units_start_where_flink_says() {
        let day = days_of(2024, 2, 3);
        assert_eq!(Unit::Week.first_day(day), Some(days_of(2024, 1, 28)));
        assert_eq!(Unit::Decade.first_day(day), Some(days_of(2020, 1, 1)));
        assert_eq!(Unit::Century.first_day(day), Some(days_of(2001, 1, 1)));
        assert_eq!(Unit::Century.extract(day, 0), 21);
        assert_eq!(Unit::Second.extract(day, 3_661 * NANOS_PER_SECOND), 1);
    }
}
