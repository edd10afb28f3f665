//! From a hash to the slot of its key: open addressing over one array of words.
//!
//! ```text
//!   entry  = low half of the hash (32 bits) │ slot + 1 (32 bits)      0 = free
//!   place  = top bits of that half, then the next free one to the right, around the end
//! ```
//! - An entry holds all that growing needs, so doubling reads and writes both arrays in order and
//!   never looks at a key.
//! - The half of the hash beyond the place's bits tells nearly all different keys apart before
//!   a key is compared.
//! - Removing shifts the followers back; there are no markers for what was removed.
//! - At most five eighths full.

use crate::keys::NO_SLOT;

/// Slots by hash. Does not know the keys: the caller compares them.
#[derive(Debug, Default)]
pub(crate) struct SlotIndex {
    entries: Vec<u64>,
    /// 32 minus the number of the place's bits.
    shift: u32,
    used: usize,
}

fn entry(hash: u64, slot: u32) -> u64 {
    (hash << 32) | (u64::from(slot) + 1)
}

impl SlotIndex {
    #[inline]
    fn place(&self, hash: u64) -> usize {
        (hash as u32 >> self.shift) as usize
    }

    /// The first entry where a hash may be, or 0: reading it brings the place into the cache.
    #[inline]
    pub(crate) fn peek(&self, hash: u64) -> u64 {
        self.entries.get(self.place(hash)).copied().unwrap_or(0)
    }

    /// The slot in an entry from [`SlotIndex::peek`] if it looks like that of this hash.
    #[inline]
    pub(crate) fn likely(entry: u64, hash: u64) -> Option<u32> {
        (entry != 0 && (entry >> 32) as u32 == hash as u32).then_some((entry as u32).wrapping_sub(1))
    }

    /// The slot of this hash whose key is the same, or [`NO_SLOT`].
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> u32 {
        let mask = self.entries.len().wrapping_sub(1);
        let mut at = self.place(hash);
        while let Some(&entry) = self.entries.get(at) {
            if entry == 0 {
                break;
            }
            if (entry >> 32) as u32 == hash as u32 {
                let slot = (entry as u32).wrapping_sub(1);
                if same(slot) {
                    return slot;
                }
            }
            at = (at + 1) & mask;
        }
        NO_SLOT
    }

    /// Adds a slot that isn't there yet. [`SlotIndex::reserve`] comes first.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        let mask = self.entries.len().wrapping_sub(1);
        let mut at = self.place(hash);
        while let Some(place) = self.entries.get_mut(at) {
            if *place == 0 {
                *place = entry(hash, slot);
                self.used += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for this many more.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        let wanted = (self.used + more) * 8 / 5 + 1;
        if wanted > self.entries.len() {
            self.grow(wanted.next_power_of_two().max(16));
        }
    }

    fn grow(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.entries, crate::memory::zeros(size));
        self.shift = 32 - size.trailing_zeros().min(31);
        self.used = 0;
        for entry in old.into_iter().filter(|entry| *entry != 0) {
            self.insert(entry >> 32, (entry as u32).wrapping_sub(1));
        }
    }

    /// Takes a slot out; nothing happens if it isn't there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let mask = self.entries.len().wrapping_sub(1);
        let gone = entry(hash, slot);
        let mut hole = self.place(hash);
        loop {
            match self.entries.get(hole) {
                None | Some(0) => return,
                Some(entry) if *entry == gone => break,
                Some(_) => hole = (hole + 1) & mask,
            }
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.entries.get(at).copied().unwrap_or(0);
            if next == 0 {
                break;
            }
            // An entry may move back to the hole unless its own place lies behind the hole.
            let own = self.place(next >> 32);
            if at.wrapping_sub(own) & mask >= at.wrapping_sub(hole) & mask {
                self.set(hole, next);
                hole = at;
            }
        }
        self.set(hole, 0);
    }

    fn set(&mut self, at: usize, entry: u64) {
        if let Some(place) = self.entries.get_mut(at) {
            *place = entry;
        }
    }

    /// Whether lookups are likely to miss the caches.
    pub(crate) fn is_large(&self) -> bool {
        self.entries.len() > 1 << 15
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_gone_and_the_rest_is_found() {
        let mut index = SlotIndex::default();
        // Hashes that all want the last place, so that they run around the end.
        let hashes: Vec<u64> = (0..200).map(|n| 0xffff_ff00 + n % 8).collect();
        for (slot, hash) in hashes.iter().enumerate() {
            index.reserve(1);
            index.insert(*hash, slot as u32);
        }
        for slot in (0..200).step_by(3) {
            index.remove(hashes[slot as usize], slot);
        }
        for slot in 0..200 {
            let found = index.find(hashes[slot as usize], |other| other == slot);
            assert_eq!(found, if slot % 3 == 0 { NO_SLOT } else { slot });
        }
    }
}
