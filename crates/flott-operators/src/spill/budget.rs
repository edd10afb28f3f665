//! How much memory the state of a process may take, and who takes how much of it.
//!
//! ```text
//!   limit ├─ operators in one piece: half ─┤·················│   all in memory
//!         ├─ in one piece ─┤├─ slices: half of it, divided ─┤│   the largest have been cut
//! ```
//! Operators measure themselves now and then. One that finds the limit exceeded, and itself no smaller than
//! the average, is cut; so there is always one that acts, whichever shard it is on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the operators of a process share. Cheap to read.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    /// Bytes of operators that can't be cut.
    fixed: AtomicUsize,
    /// Bytes of operators in one piece that can, and how many there are.
    whole: AtomicUsize,
    wholes: AtomicUsize,
    /// Bytes of operators in slices, and how many there are.
    sliced: AtomicUsize,
    slicers: AtomicUsize,
}

/// Least memory for the slices of an operator, whatever the budget: with less nothing goes on.
const LEAST: usize = 16 << 10;

impl MemoryBudget {
    /// For this many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self {
            limit,
            fixed: zero(),
            whole: zero(),
            wholes: zero(),
            sliced: zero(),
            slicers: zero(),
        })
    }

    /// Bytes that state may take.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that it takes, as measured last.
    pub fn used(&self) -> usize {
        let accounts = [&self.fixed, &self.whole, &self.sliced];
        accounts.iter().fold(0, |sum, it| sum.saturating_add(it.load(Ordering::Relaxed)))
    }

    /// Whether an operator of this size must be cut: while there is room for the copy that is put away.
    pub(super) fn must_cut(&self, size: usize) -> bool {
        let average = self.whole.load(Ordering::Relaxed) / self.wholes.load(Ordering::Relaxed).max(1);
        size > 0 && self.used() > self.limit / 2 && size >= average
    }

    /// Bytes that the slices of one operator may keep in memory.
    pub(super) fn for_slices(&self) -> usize {
        (self.limit / 2 / self.slicers.load(Ordering::Relaxed).max(1)).max(LEAST.min(self.limit))
    }

    /// Bytes of rows that may wait in memory for the slices of one operator.
    pub(super) fn for_rows(&self) -> usize {
        self.for_slices() / 4
    }
}

/// One operator's entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) budget: Arc<MemoryBudget>,
    bytes: usize,
    can_cut: bool,
    sliced: bool,
}

impl Entry {
    pub(super) fn new(budget: Arc<MemoryBudget>, can_cut: bool) -> Self {
        budget.wholes.fetch_add(usize::from(can_cut), Ordering::Relaxed);
        Self { budget, bytes: 0, can_cut, sliced: false }
    }

    fn account(&self) -> &AtomicUsize {
        match (self.sliced, self.can_cut) {
            (true, _) => &self.budget.sliced,
            (false, true) => &self.budget.whole,
            (false, false) => &self.budget.fixed,
        }
    }

    /// It takes this many bytes now.
    pub(super) fn set(&mut self, bytes: usize) {
        let account = self.account();
        account.fetch_add(bytes, Ordering::Relaxed);
        account.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Takes this many bytes for an empty operator in one piece, if there are so many.
    pub(super) fn reserve(&mut self, bytes: usize) -> bool {
        let budget = &self.budget;
        let others =
            budget.fixed.load(Ordering::Relaxed).saturating_add(budget.sliced.load(Ordering::Relaxed));
        let grown = |whole: usize| {
            let grown = whole.checked_add(bytes)?;
            (grown.saturating_add(others) <= budget.limit).then_some(grown)
        };
        let reserved = budget.whole.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if reserved {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        reserved
    }

    /// Bytes as measured last.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// It is in slices from now on.
    pub(super) fn cut(&mut self) {
        self.set(0);
        self.budget.wholes.fetch_sub(usize::from(self.can_cut), Ordering::Relaxed);
        self.budget.slicers.fetch_add(1, Ordering::Relaxed);
        (self.can_cut, self.sliced) = (false, true);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.set(0);
        self.budget.wholes.fetch_sub(usize::from(self.can_cut), Ordering::Relaxed);
        self.budget.slicers.fetch_sub(usize::from(self.sliced), Ordering::Relaxed);
    }
}

/// When an operator is measured next: often while it is small, then each time that an eighth of it has come
/// in, since some count all they have to know their size.
#[derive(Debug)]
pub(super) struct Meter {
    taken: usize,
    next: usize,
}

/// At least so many bytes of rows, and at most, come in between two measurements.
const STEP: std::ops::RangeInclusive<usize> = 16 << 10..=32 << 20;

impl Meter {
    pub(super) fn new(limit: usize) -> Self {
        Self { taken: 0, next: (*STEP.start()).min(limit / 16) }
    }

    /// Rows have come in. Whether it is time to measure.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        self.taken = self.taken.saturating_add(bytes);
        self.taken > self.next
    }

    /// It was measured.
    pub(super) fn measured(&mut self, bytes: usize, limit: usize) {
        let most = (*STEP.end()).min(limit / 16);
        (self.taken, self.next) = (0, (bytes / 8).clamp((*STEP.start()).min(most), most));
    }
}
