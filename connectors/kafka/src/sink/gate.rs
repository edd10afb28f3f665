//! Which epochs' rows may go into the open transaction.
//!
//! ```text
//!   rows of epoch 5 │ prepare(5) │ rows of epoch 6: held … until 5 is committed, or goes on
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by the decider and all writers of its transaction.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Rows behind this epoch may go, and behind older ones.
    open_behind: AtomicU64,
    closed: AtomicBool,
}

impl Gate {
    /// Lets rows behind this epoch through.
    pub(crate) fn open(&self, epoch: u64) {
        self.open_behind.fetch_max(epoch, Ordering::AcqRel);
    }
    /// Nothing goes any more: the producer is given up.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
    /// Whether rows behind the end of this epoch may go.
    pub(crate) fn is_open(&self, epoch: u64) -> bool {
        self.open_behind.load(Ordering::Acquire) >= epoch && !self.is_closed()
    }
    /// Whether nothing goes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
