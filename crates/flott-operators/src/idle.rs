//! Keys that nothing has touched for the time to live of state.
//!
//! ```text
//!   touched 10:00:00 ─ ttl 1 h ─► forgotten by the first sweep behind 11:00:00
//!   sweeps  every 16th of the time to live; the time of a touch is as coarse
//! ```
//! The clock is the wall clock. A key lives at least as long as was asked for. State that was restored is
//! swept at once: what grew too old meanwhile goes before anybody meets it.

use std::sync::Arc;

/// In how many parts the time to live is told.
const PARTS: i64 = 16;

/// When keys are forgotten.
#[derive(Clone)]
pub(crate) struct Idle {
    ttl: i64,
    grain: i64,
    /// None: at once.
    sweep_at: Option<i64>,
    now_millis: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Idle {
    pub(crate) fn new(ttl: i64, now_millis: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { ttl, grain: (ttl / PARTS).max(1), sweep_at: None, now_millis }
    }

    /// What a touch now is told as.
    pub(crate) fn now(&mut self) -> i64 {
        let now = (self.now_millis)();
        self.sweep_at.get_or_insert(now.saturating_add(self.grain));
        now - now.rem_euclid(self.grain)
    }

    /// When to sweep next; never, if there is nothing.
    pub(crate) fn timer(&self, is_empty: bool) -> Option<i64> {
        (!is_empty).then_some(self.sweep_at.unwrap_or(i64::MIN))
    }

    /// If it is time to sweep: touches at this time or before are too long ago.
    pub(crate) fn sweep(&mut self, now: i64) -> Option<i64> {
        // The end of the input is no time at which anything grows old.
        if now == i64::MAX || self.sweep_at.is_some_and(|at| now < at) {
            return None;
        }
        self.sweep_at = Some(now.saturating_add(self.grain));
        Some(now.saturating_sub(self.ttl).saturating_sub(self.grain))
    }
}
