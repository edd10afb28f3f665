//! How long brokers may take to answer.
//!
//! ```text
//!   question ──────────────── most ─────────────────┤ over        'properties.max.block.ms'
//!   question ──── stop ─── when_stopped ──┤ over                   whoever stops a run waits for its end
//! ```
//!
//! Each question has its own wait. A stop that came before it counts from its beginning.

use std::{sync::Arc, time::Duration};

use flott_connector::{Clock, StopSignal};

/// How long an answer is waited for, as Kafka's own producer does.
pub(crate) const MOST: Duration = Duration::from_secs(60);

/// How long brokers may take.
#[derive(Clone)]
pub(crate) struct Patience {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The run is to stop.
    pub stop: StopSignal,
    /// The longest wait.
    pub most: Duration,
    /// The longest wait once the run is to stop.
    pub when_stopped: Duration,
}

impl Patience {
    /// A wait that begins now.
    pub(crate) fn begin(&self) -> Wait<'_> {
        Wait { patience: self, began: self.clock.monotonic(), stopped: None }
    }
    /// The same, with another wait for a run that is to stop.
    pub(crate) fn when_stopped(&self, when_stopped: Duration) -> Self {
        Self { when_stopped, ..self.clone() }
    }
}

/// A wait.
pub(crate) struct Wait<'a> {
    patience: &'a Patience,
    began: Duration,
    /// When the stop was seen.
    stopped: Option<Duration>,
}

impl Wait<'_> {
    /// How long is still to be waited, at the most.
    pub(crate) fn left(&mut self) -> Duration {
        let now = self.patience.clock.monotonic();
        let waited = now.saturating_sub(self.began);
        let left = self.patience.most.saturating_sub(waited);
        if !self.patience.stop.is_stopped() {
            return left;
        }
        // When it came isn't known, only when it was seen.
        let since = *self.stopped.get_or_insert(now);
        left.min(self.patience.when_stopped.saturating_sub(now.saturating_sub(since)))
    }
    /// Whether it has been long enough.
    pub(crate) fn is_over(&mut self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use flott_connector::ManualClock;

    use super::*;

    #[test]
    fn a_stop_cuts_a_wait_short() {
        let (clock, stop) = (Arc::new(ManualClock::at(0)), StopSignal::new());
        let seconds = Duration::from_secs;
        let patience = Patience {
            clock: clock.clone(),
            stop: stop.clone(),
            most: seconds(60),
            when_stopped: seconds(5),
        };
        let mut wait = patience.begin();
        clock.advance(seconds(10));
        assert_eq!(wait.left(), seconds(50));
        stop.stop();
        assert_eq!(wait.left(), seconds(5));
        clock.advance(seconds(4));
        assert_eq!((wait.left(), wait.is_over()), (seconds(1), false));
        clock.advance(seconds(1));
        assert!(wait.is_over());
        assert!(patience.when_stopped(Duration::ZERO).begin().is_over(), "nothing is begun any more");
    }
}
