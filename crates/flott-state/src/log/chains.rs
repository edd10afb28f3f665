//! Rows of one hash, chained.
//!
//! ```text
//!   heads: hash ─► slot 3 ─next─► slot 9 ─► slot 7 ─► slot 5      newest behind the head
//! ```
//! The head stays when a row is added, so that the table of hashes is written once for a key. Hashes
//! with the same low half share a chain: who looks compares the keys anyway.

use crate::bitmap::Bitmap;
use crate::index::SlotIndex;
use crate::keys::NO_SLOT;

/// Where a lookup stands.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    row: usize,
    slot: u32,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { row: 0, slot: NO_SLOT }
    }
}

/// Chains of slots by hash.
#[derive(Debug)]
pub(super) struct Chains {
    heads: SlotIndex,
    next: Vec<u32>,
    /// Where slots are taken out.
    previous: Option<Vec<u32>>,
}

/// Lookups that are fetched ahead.
const AHEAD: usize = 16;

impl Chains {
    pub(super) fn new(removable: bool) -> Self {
        Self { heads: SlotIndex::default(), next: Vec::new(), previous: removable.then(Vec::new) }
    }

    /// The slot behind the last one.
    pub(super) fn end(&self) -> u32 {
        self.next.len() as u32
    }

    pub(super) fn memory(&self) -> usize {
        self.heads.memory() + (self.next.capacity() + self.previous.as_ref().map_or(0, Vec::capacity)) * 4
    }

    /// Adds the next slots.
    pub(super) fn add(&mut self, first: u32, hashes: &[u64]) {
        let end = first as usize + hashes.len();
        crate::memory::resize(&mut self.next, end, NO_SLOT);
        if let Some(previous) = &mut self.previous {
            crate::memory::resize(previous, end, NO_SLOT);
        }
        for (slot, hash) in (first..).zip(hashes) {
            self.add_one(slot, *hash);
        }
    }

    /// Adds a slot that there is room for.
    pub(super) fn add_one(&mut self, slot: u32, hash: u64) {
        let head = self.heads.find(hash, |_| true);
        let mut next = NO_SLOT;
        if head == NO_SLOT {
            self.heads.reserve(1);
            self.heads.insert(hash, slot);
        } else if let Some(behind) = self.next.get_mut(head as usize) {
            next = std::mem::replace(behind, slot);
        }
        if let Some(place) = self.next.get_mut(slot as usize) {
            *place = next;
        }
        self.set_previous(slot, head);
        self.set_previous(next, slot);
    }

    fn set_previous(&mut self, slot: u32, to: u32) {
        if let Some(place) = self.previous.as_mut().and_then(|it| it.get_mut(slot as usize)) {
            *place = to;
        }
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, slot: u32, hash: u64) {
        let next = self.next(slot);
        let previous = self.previous.as_ref().and_then(|it| it.get(slot as usize)).copied();
        let previous = previous.unwrap_or(NO_SLOT);
        if previous == NO_SLOT {
            self.heads.remove(hash, slot);
            if next != NO_SLOT {
                self.heads.reserve(1);
                self.heads.insert(hash, next);
            }
        } else if let Some(place) = self.next.get_mut(previous as usize) {
            *place = next;
        }
        self.set_previous(next, previous);
    }

    /// The first slot of a hash's chain.
    pub(super) fn first(&self, hash: u64) -> u32 {
        self.heads.find(hash, |_| true)
    }

    /// The slot behind this one.
    #[inline]
    pub(super) fn next(&self, slot: u32) -> u32 {
        self.next.get(slot as usize).copied().unwrap_or(NO_SLOT)
    }

    /// See [`RowLog::find`](super::RowLog::find).
    pub(super) fn find(
        &self,
        hashes: &[u64],
        skip: impl Fn(usize) -> bool,
        gone: Option<&Bitmap>,
        cursor: &mut Cursor,
        limit: usize,
        (rows, slots): &mut (Vec<u32>, Vec<u32>),
    ) -> bool {
        let large = self.heads.is_large();
        let (mut peeked, mut sum) = (cursor.row, 0);
        while let Some(hash) = hashes.get(cursor.row) {
            if large && cursor.row >= peeked {
                // All of these wait for memory at the same time.
                let ahead = hashes.get(peeked..(peeked + AHEAD).min(hashes.len())).unwrap_or_default();
                sum ^= ahead.iter().fold(0, |sum, hash| sum ^ self.heads.peek(*hash));
                peeked += AHEAD;
            }
            if cursor.slot == NO_SLOT && !skip(cursor.row) {
                cursor.slot = self.first(*hash);
            }
            while cursor.slot != NO_SLOT {
                if gone.is_none_or(|gone| !gone.get(cursor.slot)) {
                    if rows.len() == limit {
                        return false;
                    }
                    rows.push(cursor.row as u32);
                    slots.push(cursor.slot);
                }
                cursor.slot = self.next(cursor.slot);
            }
            cursor.row += 1;
        }
        std::hint::black_box(sum);
        true
    }
}
