//! `restart-strategy.*`: whether a run that failed is taken up again from its newest checkpoint, and when.
//!
//! ```text
//!   run ✗ may pass? ──no──► fails with its reason
//!          │ yes
//!          ▼ wait: the same each time │ longer each time │ not too often
//!   run (from the newest checkpoint, in the same process)
//! ```
//! What may pass is said where a failure is met ([`flott_types::Diagnostic::passing`]): an I/O error of a
//! source, a sink or the checkpoint directory. A bad record, a script that is wrong, a damaged checkpoint or a
//! newer run don't pass. As in Flink, a job without checkpoints isn't restarted unless its script asks for it:
//! there it would begin anew.

use std::{collections::VecDeque, time::Duration};

use flott_types::{Code, Diagnostic, Options, Result};

/// When a run is restarted.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategy {
    /// Never.
    None,
    /// So many times, each after the same time.
    Fixed {
        /// How often.
        attempts: u64,
        /// After this long.
        delay: Duration,
    },
    /// As long as there are not too many failures in a time.
    Rate {
        /// So many.
        failures: u64,
        /// In this time.
        interval: Duration,
        /// After this long.
        delay: Duration,
    },
    /// Each time later than before.
    Exponential {
        /// The first time after this long.
        initial: Duration,
        /// At the most.
        max: Duration,
        /// By how much it grows.
        multiplier: f64,
        /// After so long without failure it begins at the first again.
        reset: Duration,
        /// By how much it varies.
        jitter: f64,
        /// How often.
        attempts: Option<u64>,
    },
}

impl Strategy {
    /// What the options say.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn of(options: &Options, has_checkpoints: bool) -> Result<Self> {
        let default = if has_checkpoints { "exponential-delay" } else { "none" };
        let name = options.get("restart-strategy.type").unwrap_or(default).to_ascii_lowercase();
        let duration = |key: &str, default: u64| {
            let key = format!("restart-strategy.{key}");
            Ok::<_, Box<Diagnostic>>(options.duration(&key)?.unwrap_or(Duration::from_millis(default)))
        };
        let count = |key: &str, least: u64, default: u64| {
            options.parsed(key, |text| whole(text, least)).map(|it| it.unwrap_or(default))
        };
        Ok(match name.replace('-', "").as_str() {
            "fixeddelay" => Self::Fixed {
                attempts: count("restart-strategy.fixed-delay.attempts", 0, 1)?,
                delay: duration("fixed-delay.delay", 1_000)?,
            },
            "failurerate" => Self::Rate {
                failures: count("restart-strategy.failure-rate.max-failures-per-interval", 1, 1)?,
                interval: duration("failure-rate.failure-rate-interval", 60_000)?,
                delay: duration("failure-rate.delay", 1_000)?,
            },
            "exponentialdelay" => {
                let number = |key: &str, range: std::ops::RangeInclusive<f64>, default: f64| {
                    let key = format!("restart-strategy.exponential-delay.{key}");
                    let parse = |text: &str| match text.trim().parse::<f64>() {
                        Ok(number) if range.contains(&number) => Ok(number),
                        _ if *range.end() == f64::MAX => {
                            Err(format!("expected a number of at least {}", range.start()))
                        }
                        _ => Err(format!("expected a number from {} to {}", range.start(), range.end())),
                    };
                    options.parsed(&key, parse).map(|it| it.unwrap_or(default))
                };
                let (initial, max) =
                    (duration("exponential-delay.initial-backoff", 1_000)?, duration(MAX_BACKOFF, 60_000)?);
                if initial > max {
                    return Err(backoff_too_long(options));
                }
                Self::Exponential {
                    initial,
                    max,
                    multiplier: number("backoff-multiplier", 1.0..=f64::MAX, 1.5)?,
                    reset: duration("exponential-delay.reset-backoff-threshold", 3_600_000)?,
                    jitter: number("jitter-factor", 0.0..=1.0, 0.1)?,
                    attempts: options.parsed(
                        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
                        |text| whole(text, 1),
                    )?,
                }
            }
            _ => Self::None,
        })
    }
}

const MAX_BACKOFF: &str = "exponential-delay.max-backoff";

fn backoff_too_long(options: &Options) -> Box<Diagnostic> {
    let key = |name: &str| format!("restart-strategy.exponential-delay.{name}-backoff");
    let (initial, max) = (key("initial"), key("max"));
    let set = if options.get(&initial).is_some() { &initial } else { &max };
    let shown = |key: &str, default: &'static str| options.get(key).unwrap_or(default).to_string();
    let message = format!(
        "the first wait before a restart ('{initial}', {}) is longer than the longest ('{max}', {})",
        shown(&initial, "1 s"),
        shown(&max, "1 min")
    );
    Diagnostic::error(Code::InvalidOption, message).at(options.span(set)).help(format!("set '{max}', too"))
}

/// A whole number of at least this.
fn whole(text: &str, least: u64) -> Result<u64, String> {
    let number = text.trim().parse().ok().filter(|it| *it >= least);
    number.ok_or_else(|| format!("expected a whole number from {least} on"))
}

impl Strategy {
    /// The group of options that it goes by.
    fn group(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fixed { .. } => "fixed-delay",
            Self::Rate { .. } => "failure-rate",
            Self::Exponential { .. } => "exponential-delay",
        }
    }

    /// Options that are set and change nothing, and a strategy that can only begin anew.
    pub fn without_effect(&self, options: &Options, has_checkpoints: bool) -> Option<Box<Diagnostic>> {
        let (prefix, group) = ("restart-strategy.", self.group());
        let is_used = |key: &str| {
            let rest = key.strip_prefix(prefix).unwrap_or_default();
            rest == "type" || rest.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
        };
        let directory = "SET 'execution.checkpointing.dir' = '/a/directory' says where checkpoints are kept";
        if let Some((key, _)) = options.iter().find(|(key, _)| key.starts_with(prefix) && !is_used(key)) {
            let message = format!("option '{key}' has no effect: the restart strategy is '{group}'");
            let warning = Diagnostic::warning(Code::InvalidOption, message).at(options.span(key));
            return Some(if has_checkpoints || options.get("restart-strategy.type").is_some() {
                warning.help("'restart-strategy.type' chooses it")
            } else {
                warning.help(format!("without checkpoints a job isn't restarted: {directory}"))
            });
        }
        if has_checkpoints || *self == Self::None {
            return None;
        }
        let message = "without checkpoints a run that fails is restarted from the beginning";
        let span = options.span("restart-strategy.type");
        Some(Diagnostic::warning(Code::InvalidOption, message).at(span).help(directory))
    }
}

/// The restarts of a run so far.
#[derive(Debug)]
pub struct Restarts {
    strategy: Strategy,
    /// Since the last long time without failure.
    attempts: u64,
    failures: VecDeque<Duration>,
    last: Option<Duration>,
    wait: Duration,
    /// Restarts in all.
    pub count: u64,
}

impl Restarts {
    /// None yet.
    pub fn new(strategy: Strategy) -> Self {
        let (failures, wait) = (VecDeque::new(), Duration::ZERO);
        Self { strategy, attempts: 0, failures, last: None, wait, count: 0 }
    }

    /// The run has failed at this time of a steady clock: how long to wait before it is restarted; `None` if
    /// it isn't. `chance` is a number from 0 to 1.
    pub fn after(&mut self, now: Duration, chance: f64) -> Option<Duration> {
        let wait = match &self.strategy {
            Strategy::None => return None,
            Strategy::Fixed { attempts, delay } => (self.attempts < *attempts).then_some(*delay)?,
            Strategy::Rate { failures, interval, delay } => {
                while self.failures.front().is_some_and(|first| now.saturating_sub(*first) > *interval) {
                    self.failures.pop_front();
                }
                self.failures.push_back(now);
                (self.failures.len() as u64 <= *failures).then_some(*delay)?
            }
            Strategy::Exponential { initial, max, multiplier, reset, jitter, attempts } => {
                let quiet = self.last.is_none_or(|last| now.saturating_sub(last) >= *reset + self.wait);
                if quiet {
                    self.attempts = 0;
                }
                if attempts.is_some_and(|most| self.attempts >= most) {
                    return None;
                }
                self.wait = if quiet { *initial } else { times(self.wait, *multiplier, *max) };
                times(self.wait, 1.0 + jitter * (2.0 * chance.clamp(0.0, 1.0) - 1.0), *max)
            }
        };
        self.attempts += 1;
        self.count += 1;
        self.last = Some(now);
        Some(wait)
    }
}

/// So many times as long, and no longer than `max`: a factor may be larger than any duration.
fn times(wait: Duration, factor: f64, max: Duration) -> Duration {
    let seconds = wait.as_secs_f64() * factor;
    if seconds < max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { max }
}

/// Whether a failure is one of a kind that may pass.
pub fn may_pass(error: &Diagnostic) -> bool {
    error.passing && !matches!(error.code, Code::Superseded | Code::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(strategy: Strategy, failures: &[u64]) -> Vec<Option<f64>> {
        let mut restarts = Restarts::new(strategy);
        let after = |at: &u64| restarts.after(Duration::from_secs(*at), 0.5).map(|it| it.as_secs_f64());
        failures.iter().map(after).collect()
    }

    fn of(settings: &[(&str, &str)]) -> Strategy {
        let mut options = Options::default();
        for (key, value) in settings {
            options.set(*key, *value);
        }
        Strategy::of(&options, true).unwrap()
    }

    #[test]
    fn the_default_waits_longer_each_time_and_begins_again_after_a_quiet_hour() {
        assert_eq!(
            seconds(of(&[]), &[10, 12, 14, 16, 5000]),
            [Some(1.0), Some(1.5), Some(2.25), Some(3.375), Some(1.0)]
        );
        let most = of(&[("restart-strategy.exponential-delay.max-backoff", "2 s")]);
        assert_eq!(seconds(most, &[0, 1, 2, 3])[3], Some(2.0));
        let huge = of(&[("restart-strategy.exponential-delay.backoff-multiplier", "1e300")]);
        assert_eq!(seconds(huge, &[0, 1, 2]), [Some(1.0), Some(60.0), Some(60.0)]);
    }

    #[test]
    fn a_fixed_number_and_a_rate() {
        let fixed =
            of(&[("restart-strategy.type", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "2")]);
        assert_eq!(seconds(fixed, &[0, 9, 99]), [Some(1.0), Some(1.0), None]);
        let rate = of(&[
            ("restart-strategy.type", "failurerate"),
            ("restart-strategy.failure-rate.max-failures-per-interval", "2"),
        ]);
        assert_eq!(seconds(rate, &[0, 1, 100, 101, 102]), [Some(1.0), Some(1.0), Some(1.0), Some(1.0), None]);
        assert_eq!(Strategy::of(&Options::default(), false).unwrap(), Strategy::None);
    }
}
