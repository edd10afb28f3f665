//! One bit per slot.

/// A growing row of bits; a bit beyond its end is clear.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// Makes room for this many bits.
    pub(crate) fn grow(&mut self, bits: usize) {
        let words = bits.div_ceil(64);
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
    }

    /// Sets a bit within the room made by [`Bitmap::grow`].
    #[inline]
    pub(crate) fn set(&mut self, bit: u32) {
        if let Some(word) = self.words.get_mut(bit as usize / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    /// Clears a bit.
    #[inline]
    pub(crate) fn unset(&mut self, bit: u32) {
        if let Some(word) = self.words.get_mut(bit as usize / 64) {
            *word &= !(1 << (bit % 64));
        }
    }

    /// Whether a bit is set.
    #[inline]
    pub(crate) fn get(&self, bit: u32) -> bool {
        self.words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Clears all bits and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Sets every bit that is set in the other.
    pub(crate) fn union(&mut self, other: &Bitmap) {
        self.grow(other.words.len() * 64);
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    /// The set bits, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.words.capacity() * 8
    }
}
