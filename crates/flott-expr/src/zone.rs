//! Between instants and the wall clock of a time zone, with Java's answers for the hours that a
//! change of the clocks skips or repeats.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use flott_types::TimestampUnit;

/// Seconds that the zone is ahead of UTC at this instant (seconds since the epoch).
pub fn offset_at(zone: Tz, seconds: i64) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    DateTime::from_timestamp(seconds, 0)
        .map_or(0, |at| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into())
}

/// The offset that applies to this wall-clock time. Repeated times take the earlier instant;
/// skipped ones the offset before the gap, which moves them past it.
pub fn offset_at_local(zone: Tz, local_seconds: i64) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    let Some(local) = DateTime::from_timestamp(local_seconds, 0).map(|it| it.naive_utc()) else { return 0 };
    let offset_of = |at: &NaiveDateTime| zone.offset_from_local_datetime(at).earliest().map(|it| it.fix());
    let offset = offset_of(&local).or_else(|| {
        // Inside a gap: gaps are shorter than a day, so the day before still has the old offset.
        local.checked_sub_signed(TimeDelta::days(1)).and_then(|earlier| offset_of(&earlier))
    });
    offset.map_or(0, |it| it.local_minus_utc().into())
}

/// An instant as wall-clock time, both counted in `unit`.
pub fn to_local(zone: Tz, value: i64, unit: TimeUnit) -> i64 {
    let per_second = TimestampUnit::per_second(unit);
    value.saturating_add(offset_at(zone, value.div_euclid(per_second)) * per_second)
}

/// Wall-clock time as an instant, both counted in `unit`.
pub fn to_instant(zone: Tz, value: i64, unit: TimeUnit) -> i64 {
    let per_second = TimestampUnit::per_second(unit);
    value.saturating_sub(offset_at_local(zone, value.div_euclid(per_second)) * per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_and_repeated_hours() {
        let zone = chrono_tz::Europe::Berlin;
        let second = TimeUnit::Second;
        // 2024-03-31 02:30 does not exist and means 03:30 summer time, 01:30 UTC.
        assert_eq!(to_instant(zone, 1_711_852_200, second), 1_711_848_600);
        // 2024-10-27 02:30 exists twice; the first, in summer time, is 00:30 UTC.
        assert_eq!(to_instant(zone, 1_729_996_200, second), 1_729_989_000);
        assert_eq!(to_local(zone, 1_729_989_000, second), 1_729_996_200);
    }
}
