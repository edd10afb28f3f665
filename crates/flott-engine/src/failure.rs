//! The first error of a run: whoever fails sets it, everyone else looks at it and ends.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flott_connector::StopSignal;
use flott_types::{Code, Diagnostic};

/// The first error of a run.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    first: Arc<Mutex<Option<Box<Diagnostic>>>>,
    set: Arc<AtomicBool>,
    signal: StopSignal,
    readers: StopSignal,
}

impl Failure {
    /// None yet; a failure gives `readers`.
    pub fn new(readers: StopSignal) -> Self {
        Self { readers, ..Self::default() }
    }
    /// Fails the run, unless it has failed already.
    pub fn set(&self, error: Box<Diagnostic>) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        self.set.store(true, Ordering::SeqCst);
        self.signal.stop();
        self.readers.stop();
    }
    /// Whether the run has failed.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }
    /// Waits, unless the run fails.
    pub fn wait(&self, timeout: Duration) {
        self.signal.wait(timeout);
    }
    /// The error.
    pub fn take(&self) -> Option<Box<Diagnostic>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Fails the run when its thread panics, at once: the others may wait for what it held.
pub(crate) struct Alarm<'a> {
    pub failure: &'a Failure,
    /// What kind of thread it is.
    pub thread: &'static str,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = format!("a {} thread ended unexpectedly", self.thread);
            self.failure.set(Diagnostic::error(Code::Internal, message));
        }
    }
}
