//! What happened between two samples, and figures as people read them.

use flott_engine::activity::{Place, Sample};

use crate::report::grouped;

/// Two samples of a run.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    /// The earlier one.
    pub first: &'a Sample,
    /// The later one.
    pub second: &'a Sample,
}

impl Between<'_> {
    /// How long, in nanoseconds.
    fn nanos(&self) -> f64 {
        (self.second.elapsed.saturating_sub(self.first.elapsed).max(1)) as f64
    }

    /// What share of the time that is, from 0 to 1.
    pub fn share(&self, before: u64, after: u64) -> f64 {
        (after.saturating_sub(before) as f64 / self.nanos()).clamp(0.0, 1.0)
    }

    /// How many a second that is.
    pub fn rate(&self, before: u64, after: u64) -> u64 {
        (after.saturating_sub(before) as f64 * 1e9 / self.nanos()) as u64
    }

    /// For each shard the share of the time that a part of the plan was at work.
    pub fn busy(&self, place: Place) -> Vec<f64> {
        let of = |sample: &Sample| -> Vec<u64> {
            match place {
                Place::Source(at) => {
                    sample.sources.get(at).map(|it| it.work.iter().map(|it| it.busy).collect())
                }
                Place::Operator(at) => {
                    sample.operators.get(at).map(|it| it.shards.iter().map(|it| it.busy).collect())
                }
                Place::Sink(at) => {
                    sample.sinks.get(at).map(|it| it.shards.iter().map(|it| it.busy).collect())
                }
            }
            .unwrap_or_default()
        };
        self.shares(&of(self.first), &of(self.second))
    }

    /// For each shard the share of the time that a part of the plan had to wait for what is behind it; a sink:
    /// that it wanted no rows.
    pub fn blocked(&self, place: Place) -> Vec<f64> {
        let of = |sample: &Sample| -> Vec<u64> {
            match place {
                Place::Source(at) => {
                    sample.sources.get(at).map(|it| it.work.iter().map(|it| it.blocked).collect())
                }
                Place::Operator(at) => {
                    sample.operators.get(at).map(|it| it.shards.iter().map(|it| it.blocked).collect())
                }
                Place::Sink(at) => {
                    sample.sinks.get(at).map(|it| it.shards.iter().map(|it| it.not_ready).collect())
                }
            }
            .unwrap_or_default()
        };
        self.shares(&of(self.first), &of(self.second))
    }

    fn shares(&self, before: &[u64], after: &[u64]) -> Vec<f64> {
        let each = |(at, after): (usize, &u64)| self.share(before.get(at).copied().unwrap_or(0), *after);
        after.iter().enumerate().map(each).collect()
    }

    /// The share of the time that a source's reader waited for room behind it.
    pub fn held(&self, source: usize) -> f64 {
        let of = |sample: &Sample| sample.sources.get(source).map_or(0, |it| it.held);
        self.share(of(self.first), of(self.second))
    }

    /// Rows a second that came into a part of the plan (of a source: out of it).
    pub fn rows(&self, place: Place) -> u64 {
        let of = |sample: &Sample| match place {
            Place::Source(at) => sample.sources.get(at).map_or(0, |it| it.rows),
            Place::Operator(at) => sample.operators.get(at).map_or(0, |it| it.rows_in),
            Place::Sink(at) => sample.sinks.get(at).map_or(0, |it| it.rows),
        };
        self.rate(of(self.first), of(self.second))
    }
}

/// The greatest of some shares, and where.
pub fn peak(shares: &[f64]) -> (usize, f64) {
    shares.iter().copied().enumerate().fold((0, 0.0), |best, it| if it.1 > best.1 { it } else { best })
}

/// `98 %`
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `1,234 rows/s`
pub fn rows_a_second(rate: u64) -> String {
    format!("{} row{}/s", grouped(rate), if rate == 1 { "" } else { "s" })
}

/// A time span for people: its two greatest units.
pub fn span(nanos: u64) -> String {
    let millis = nanos / 1_000_000;
    let (seconds, minutes, hours, days) =
        (millis / 1000, millis / 60_000, millis / 3_600_000, millis / 86_400_000);
    let both = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {smaller}"),
    };
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => both(minutes, "min", seconds % 60, "s"),
        3_600_000..86_400_000 => both(hours, "h", minutes % 60, "min"),
        _ => both(days, "d", hours % 24, "h"),
    }
}

/// A span of event time, in milliseconds.
pub fn span_of_millis(millis: i64) -> String {
    span(millis.unsigned_abs().saturating_mul(1_000_000))
}

/// A watermark: UTC, to the millisecond where it has some.
pub fn instant(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis).map_or_else(
        || format!("{millis} ms"),
        |time| {
            time.format(if millis % 1000 == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.3f" })
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_their_two_greatest_units() {
        let seconds = |count: u64| span(count * 1_000_000_000);
        assert_eq!(span(450_000_000), "450 ms");
        assert_eq!(
            (seconds(12), seconds(125), seconds(120)),
            ("12 s".into(), "2 min 5 s".into(), "2 min".into())
        );
        assert_eq!((seconds(7_500), seconds(90_000)), ("2 h 5 min".into(), "1 d 1 h".into()));
    }
}
