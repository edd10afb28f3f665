//! The one place where time comes in, and the one way to wait.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where time comes from. Everything that looks at a clock gets one of these.
pub trait Clock: Send + Sync {
    /// Wall time: microseconds since 1970-01-01 00:00:00 UTC.
    fn now_micros(&self) -> i64;
    /// Time for measuring spans; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at this time (microseconds since the epoch).
    pub fn at(micros: i64) -> Self {
        Self { micros: AtomicI64::new(micros) }
    }
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now_micros()).unwrap_or(0))
    }
}

/// Tells everything that waits that the run is stopping. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct StopSignal {
    inner: Arc<StopInner>,
}

#[derive(Debug, Default)]
struct StopInner {
    stopped: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
    children: Mutex<Vec<Weak<StopInner>>>,
}

impl StopInner {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        {
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        let children = std::mem::take(&mut *self.children.lock().unwrap_or_else(PoisonError::into_inner));
        children.iter().filter_map(Weak::upgrade).for_each(|child| child.stop());
    }
}

impl StopSignal {
    /// A signal that hasn't been given.
    pub fn new() -> Self {
        Self::default()
    }
    /// Gives the signal; wakes everyone who waits.
    pub fn stop(&self) {
        self.inner.stop();
    }
    /// A signal that is given with this one, and can be given alone: of one of several runs, of which each
    /// may end by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        {
            let mut children = self.inner.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.retain(|other| other.strong_count() > 0);
            children.push(Arc::downgrade(&child.inner));
        }
        // Given in between, it may have passed the new one by.
        if self.is_stopped() {
            child.stop();
        }
        child
    }
    /// Whether the signal has been given.
    pub fn is_stopped(&self) -> bool {
        self.inner.stopped.load(Ordering::SeqCst)
    }
    /// Waits this long or until the signal is given. True if it was given.
    pub fn wait(&self, timeout: Duration) -> bool {
        let guard = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.wake.wait_timeout_while(guard, timeout, |()| !self.is_stopped());
        drop(waited);
        self.is_stopped()
    }
}
