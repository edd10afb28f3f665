//! When a window is over: from window ends, which may be local times, to instants.
//!
//! ```text
//!   instant ── to_local ──► wall clock ── windows are cut here ──► end (wall clock)
//!                                                                     │ fires_at
//!   watermark ── passed ──► greatest end that has passed              ▼
//!                                                                  instant
//! ```
//! Windows over TIMESTAMP_LTZ columns and over processing time follow the clocks of the session's
//! time zone. An hour that the clocks skip ends at once; one that they repeat ends with its
//! repetition, so that both halves are in the window. `fires_at` never falls as ends rise.
//!
//! Source: Flink, `TimeWindowUtil`.

use arrow::datatypes::TimeUnit;
use chrono_tz::Tz;
use flott_expr::zone;

const HOUR_MILLIS: i64 = 3_600_000;
/// Between a wall clock and an instant there is less than this.
const OFFSET_MAX_MILLIS: i64 = 2 * 24 * HOUR_MILLIS;

/// The clock that windows are cut by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowClock {
    /// None: windows are instants (or times without a zone).
    zone: Option<Tz>,
}

impl WindowClock {
    /// `local_time`: windows follow this zone's clocks.
    pub(crate) fn new(local_time: bool, zone: Tz) -> Self {
        Self { zone: (local_time && zone != Tz::UTC).then_some(zone) }
    }

    /// Whether windows follow a clock that differs from UTC.
    pub(crate) fn is_shifted(self) -> bool {
        self.zone.is_some()
    }

    /// A row's time on the clock that windows are cut by.
    pub(crate) fn to_local(self, millis: i64) -> i64 {
        self.zone.map_or(millis, |zone| zone::to_local(zone, millis, TimeUnit::Millisecond))
    }

    /// The instant of a time on that clock; a repeated time is its first instant.
    pub(crate) fn to_instant(self, millis: i64) -> i64 {
        self.zone.map_or(millis, |zone| zone::to_instant(zone, millis, TimeUnit::Millisecond))
    }

    /// The instant from which on a window with this end is complete: its last millisecond.
    pub(crate) fn fires_at(self, end: i64) -> i64 {
        let last = end.saturating_sub(1);
        if self.zone.is_none() || end == i64::MAX {
            return last;
        }
        let (instant, hour_later) =
            (self.to_instant(last), self.to_instant(last.saturating_add(HOUR_MILLIS)));
        if instant == hour_later {
            instant - instant % HOUR_MILLIS
        } else if hour_later - instant > HOUR_MILLIS {
            instant + HOUR_MILLIS
        } else {
            instant
        }
    }

    /// The greatest end of a window that is complete at this watermark.
    pub(crate) fn passed(self, watermark: i64) -> i64 {
        if self.zone.is_none() || watermark == i64::MAX || watermark == i64::MIN {
            return watermark.saturating_add(i64::from(watermark != i64::MIN));
        }
        let mut complete = watermark.saturating_sub(OFFSET_MAX_MILLIS);
        let mut open = watermark.saturating_add(OFFSET_MAX_MILLIS);
        while open - complete > 1 {
            let middle = complete + (open - complete) / 2;
            if self.fires_at(middle) <= watermark { complete = middle } else { open = middle }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_zone_a_window_is_over_with_its_last_millisecond() {
        let clock = WindowClock::new(false, chrono_tz::Europe::Berlin);
        assert_eq!((clock.fires_at(1000), clock.passed(999), clock.passed(998)), (999, 1000, 999));
        assert_eq!(clock.passed(i64::MAX), i64::MAX);
        assert_eq!(clock.passed(i64::MIN), i64::MIN);
    }

    #[test]
    fn skipped_and_repeated_hours() {
        let clock = WindowClock::new(true, chrono_tz::America::Los_Angeles);
        // 2021-11-07 01:00 to 02:00 comes twice: its window waits for the second.
        let end = clock.to_local(1_636_279_200_000);
        assert_eq!(clock.fires_at(end), 1_636_279_199_999);
        assert_eq!(clock.passed(1_636_279_199_999), end);
        assert_eq!(clock.passed(1_636_279_199_998), end - 1);
        // 2021-03-14 02:00 to 03:00 does not come: windows in it are over with the first moment after.
        let three = clock.to_local(1_615_716_000_000);
        assert_eq!(clock.fires_at(three), 1_615_716_000_000);
        assert_eq!(clock.fires_at(three - HOUR_MILLIS), 1_615_715_999_999);
    }
}
