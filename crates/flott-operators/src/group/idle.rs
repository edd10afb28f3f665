//! Groups that nothing has touched for the time to live.
//!
//! ```text
//!   touched 10:00:00 ─ ttl 1 h ─► forgotten by the first sweep behind 11:00:00
//!   sweeps  every 16th of the time to live; the time of a touch is as coarse
//! ```
//! The clock is the wall clock.

use std::sync::Arc;

/// In how many parts the time to live is told.
const PARTS: i64 = 16;

/// When groups are forgotten.
#[derive(Clone)]
pub(crate) struct Idle {
    ttl: i64,
    grain: i64,
    sweep_at: i64,
    now_millis: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Idle {
    pub(crate) fn new(ttl: i64, now_millis: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { ttl, grain: (ttl / PARTS).max(1), sweep_at: i64::MAX, now_millis }
    }

    /// What a touch now is told as.
    pub(crate) fn now(&mut self) -> i64 {
        let now = (self.now_millis)();
        if self.sweep_at == i64::MAX {
            self.sweep_at = now.saturating_add(self.grain);
        }
        now - now.rem_euclid(self.grain)
    }

    /// When to sweep next.
    pub(crate) fn timer(&self) -> Option<i64> {
        (self.sweep_at != i64::MAX).then_some(self.sweep_at)
    }

    /// If it is time to sweep: touches at this time or before are too long ago.
    pub(crate) fn sweep(&mut self, now: i64) -> Option<i64> {
        if now == i64::MAX || now < self.sweep_at {
            return None;
        }
        self.sweep_at = now.saturating_add(self.grain);
        Some(now.saturating_sub(self.ttl).saturating_sub(self.grain))
    }
}
