//! Days, months and time zones, over plain numbers.
//!
//! ```text
//!   TIMESTAMP value ──► days since 1970-01-01, nanoseconds of the day
//!   days            ──► Civil { year, month, day }        (proleptic Gregorian)
//! ```

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType as ArrowType, Date32Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
};
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::EvalError;

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A date in the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12
    pub(crate) month: i64,
    /// 1 to 31
    pub(crate) day: i64,
}

/// Days since 1970-01-01 → date. The year is taken to start in March, so that the leap day is its last.
#[inline]
pub(crate) fn civil(days: i64) -> Civil {
    // Numbers of 32 bits without a sign are divided fastest, and hold over a million years.
    match u32::try_from(days + NEAR_DAYS) {
        Ok(shifted) if shifted < 2 * NEAR_DAYS as u32 => {
            let date = civil_near(shifted);
            Civil { year: date.year - NEAR_ERAS * 400, ..date }
        }
        _ => civil_far(days),
    }
}

/// Eras of 400 years (146,097 days) before 1970 that [`civil`] counts from on.
const NEAR_ERAS: i64 = 3_600;
const NEAR_DAYS: i64 = NEAR_ERAS * 146_097 + 719_468;

#[cold]
fn civil_far(days: i64) -> Civil {
    let shifted = days + 719_468;
    let date = civil_near(shifted.rem_euclid(146_097) as u32);
    Civil { year: date.year + shifted.div_euclid(146_097) * 400, ..date }
}

/// The date so many days after 1 March of year 0, for fewer than a quarter of 2³². Divisions are
/// multiplications by fractions that are exact for these numbers. Source: Neri and Schneider,
/// "Euclidean affine functions and their application to calendar algorithms" (2023).
#[inline]
fn civil_near(days: u32) -> Civil {
    let quarters = 4 * days + 3;
    let (century, of_century) = (quarters / 146_097, quarters % 146_097 / 4);
    let product = 2_939_745 * u64::from(4 * of_century + 3);
    let year = 100 * century + (product >> 32) as u32;
    let day_of_year = product as u32 / 2_939_745 / 4;
    let months = 2_141 * day_of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xFFFF) / 2_141 + 1);
    let next = u32::from(day_of_year >= 306);
    Civil { year: i64::from(year + next), month: i64::from(month - 12 * next), day: i64::from(day) }
}

impl Civil {
    /// 1 to 366
    #[inline]
    pub(crate) fn day_of_year(self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let before = BEFORE.get((self.month - 1) as usize).copied().unwrap_or(0);
        before + self.day + i64::from(leap && self.month > 2)
    }
}

/// The first day of a year.
#[inline]
pub(crate) fn year_start(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// Date → days since 1970-01-01. A month outside 1 to 12 rolls over into other years, and a day
/// outside its month into other months.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The number of days of a month.
pub(crate) fn month_length(year: i64, month: i64) -> i64 {
    days_of(year, month + 1, 1) - days_of(year, month, 1)
}

/// The same day of another month, or that month's last day.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let from = civil(days);
    let first = civil(days_of(from.year, from.month + months, 1));
    days_of(first.year, first.month, from.day.min(month_length(first.year, first.month)))
}

/// Whole months from one day to another, such that `add_months(from, result)` doesn't pass `to`.
pub(crate) fn months_between(from: i64, to: i64) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let (a, b) = (civil(from), civil(to));
    let mut months = (b.year - a.year) * 12 + b.month - a.month;
    while months > 0 && add_months(from, months) > to {
        months -= 1;
    }
    months
}

/// 1 (Sunday) to 7 (Saturday).
pub(crate) fn day_of_week(days: i64) -> i64 {
    (days + 4).rem_euclid(7) + 1
}

/// 1 (Monday) to 7 (Sunday).
pub(crate) fn iso_day_of_week(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Year and week by ISO 8601: weeks start on Monday, the first has the year's first Thursday.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = civil(days - iso_day_of_week(days) + 4);
    (thursday.year, (thursday.day_of_year() - 1) / 7 + 1)
}

/// Year and week as in the USA: weeks start on Sunday, the first has 1 January.
pub(crate) fn us_week(days: i64) -> (i64, i64) {
    let saturday = days - day_of_week(days) + 7;
    let year = civil(saturday).year;
    (year, (saturday - days_of(year, 1, 1)) / 7 + 1)
}

/// A column of dates, times or timestamps as plain numbers.
pub(crate) struct Instants {
    /// Since the epoch (of the day, for TIME), in units of `per_second`.
    pub(crate) values: Vec<i64>,
    /// Units per second.
    pub(crate) per_second: i64,
}

impl Instants {
    /// The column's values; those of a TIMESTAMP_LTZ as the clock of `zone` shows them.
    ///
    /// # Errors
    /// Internal: it isn't a column of dates or times.
    pub(crate) fn of(array: &ArrayRef, zone: Tz) -> Result<Self, EvalError> {
        let (values, per_second): (Vec<i64>, i64) = match array.data_type() {
            ArrowType::Date32 => (
                array
                    .as_primitive::<Date32Type>()
                    .values()
                    .iter()
                    .map(|it| i64::from(*it) * SECONDS_PER_DAY)
                    .collect(),
                1,
            ),
            ArrowType::Time32(_) => (
                array
                    .as_primitive::<Time32MillisecondType>()
                    .values()
                    .iter()
                    .map(|it| i64::from(*it))
                    .collect(),
                1_000,
            ),
            ArrowType::Timestamp(TimeUnit::Second, _) => {
                (array.as_primitive::<TimestampSecondType>().values().to_vec(), 1)
            }
            ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
                (array.as_primitive::<TimestampMillisecondType>().values().to_vec(), 1_000)
            }
            ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
                (array.as_primitive::<TimestampMicrosecondType>().values().to_vec(), 1_000_000)
            }
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                (array.as_primitive::<TimestampNanosecondType>().values().to_vec(), NANOS_PER_SECOND)
            }
            other => return Err(EvalError::internal(format!("{other} is neither date nor time"))),
        };
        let mut out = Self { values, per_second };
        if matches!(array.data_type(), ArrowType::Timestamp(_, Some(_))) && zone != Tz::UTC {
            for value in &mut out.values {
                let offset = utc_offset(value.div_euclid(per_second), zone);
                *value = value.saturating_add(offset * per_second);
            }
        }
        Ok(out)
    }
    /// The day of a row.
    pub(crate) fn days(&self, row: usize) -> i64 {
        self.values[row].div_euclid(self.per_second * SECONDS_PER_DAY)
    }
    /// The nanosecond of the day of a row.
    pub(crate) fn nanos_of_day(&self, row: usize) -> i64 {
        self.values[row].rem_euclid(self.per_second * SECONDS_PER_DAY) * (NANOS_PER_SECOND / self.per_second)
    }
    /// Something of each row's day and nanosecond of the day. The loop is compiled for each unit, as a
    /// division by a constant is several times as fast as another.
    pub(crate) fn map<T>(&self, compute: impl Fn(i64, i64) -> T) -> Vec<T> {
        match self.per_second {
            1 => self.map_in::<1, T>(compute),
            1_000 => self.map_in::<1_000, T>(compute),
            1_000_000 => self.map_in::<1_000_000, T>(compute),
            _ => self.map_in::<NANOS_PER_SECOND, T>(compute),
        }
    }
    #[inline]
    fn map_in<const PER_SECOND: i64, T>(&self, compute: impl Fn(i64, i64) -> T) -> Vec<T> {
        let day = PER_SECOND * SECONDS_PER_DAY;
        let parts = |value: &i64| {
            let days = value.div_euclid(day);
            compute(days, (value - days * day) * (NANOS_PER_SECOND / PER_SECOND))
        };
        self.values.iter().map(parts).collect()
    }
}

fn naive(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH).naive_utc()
}

/// Seconds that the zone is ahead of UTC at an instant (seconds since the epoch).
pub(crate) fn utc_offset(seconds: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    i64::from(zone.offset_from_utc_datetime(&naive(seconds)).fix().local_minus_utc())
}

/// Seconds that the zone is ahead of UTC when its clock shows this. Of two the earlier instant; a
/// time that the clock skips counts from before the gap.
pub(crate) fn local_offset(local_seconds: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    let local = naive(local_seconds);
    let found = zone.offset_from_local_datetime(&local).earliest();
    let offset = found.or_else(|| {
        let before = local.checked_sub_signed(TimeDelta::hours(6))?;
        zone.offset_from_local_datetime(&before).earliest()
    });
    offset.map_or(0, |it| i64::from(it.fix().local_minus_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_agree() {
        let far = [-(1 << 40), -NEAR_DAYS - 1, -NEAR_DAYS, NEAR_DAYS - 1, NEAR_DAYS, 1 << 40];
        for days in (-800_000..3_000_000).step_by(97).chain(far) {
            let it = civil(days);
            assert_eq!(days_of(it.year, it.month, it.day), days);
            assert_eq!(year_start(it.year), days_of(it.year, 1, 1));
            assert_eq!(it.day_of_year(), days - year_start(it.year) + 1);
        }
        assert_eq!(civil(0), Civil { year: 1970, month: 1, day: 1 });
        assert_eq!(days_of(2024, 2, 29), 19_782);
        assert_eq!(civil(days_of(2024, 14, 1)), Civil { year: 2025, month: 2, day: 1 });
    }

    #[test]
    fn months_end_where_their_last_day_is() {
        let (january, february) = (days_of(2024, 1, 31), days_of(2024, 2, 29));
        assert_eq!(add_months(january, 1), february);
        assert_eq!(months_between(january, february), 1);
        assert_eq!(months_between(february, january), -1);
        assert_eq!(months_between(days_of(2020, 2, 29), days_of(2024, 2, 28)), 47);
    }

    #[test]
    fn weeks_begin_differently() {
        let monday = days_of(2024, 12, 30);
        assert_eq!((iso_week(monday), iso_day_of_week(monday)), ((2025, 1), 1));
        assert_eq!((us_week(monday), day_of_week(monday)), ((2025, 1), 2));
        assert_eq!(us_week(days_of(2024, 2, 3)), (2024, 5));
    }

    #[test]
    fn clocks_that_skip_or_repeat() {
        let zone: Tz = "America/Los_Angeles".parse().unwrap();
        assert_eq!(utc_offset(0, zone), -8 * 3_600);
        let skipped = days_of(2024, 3, 10) * SECONDS_PER_DAY + 2 * 3_600 + 1_800;
        assert_eq!(local_offset(skipped, zone), -8 * 3_600);
    }
}
