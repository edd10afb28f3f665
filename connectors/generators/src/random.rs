//! Random values as functions of a seed and a number (SplitMix64, by Steele, Lea and Flood).

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A random number that depends on the two alone.
pub(crate) fn at(seed: u64, number: u64) -> u64 {
    finish(seed.wrapping_add(number.wrapping_add(1).wrapping_mul(GOLDEN)))
}

fn finish(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// More than one random number for the same place.
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of this place.
    pub(crate) fn at(seed: u64, number: u64) -> Self {
        Self(at(seed, number))
    }
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finish(self.0)
    }
    /// The next number below `n` (0 if `n` is 0).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        below(self.next(), n)
    }
    /// Appends `length` letters from a to z.
    pub(crate) fn letters(&mut self, out: &mut Vec<u8>, length: usize) {
        self.bytes(out, length, |byte| b'a' + ((u16::from(byte) * 26) >> 8) as u8);
    }
    /// Appends `length` hexadecimal digits.
    pub(crate) fn hexadecimal(&mut self, out: &mut Vec<u8>, length: usize) {
        self.bytes(out, length, |byte| {
            let digit = byte & 15;
            digit + if digit < 10 { b'0' } else { b'a' - 10 }
        });
    }
    /// Appends `length` random bytes, each seen through `map`.
    pub(crate) fn bytes(&mut self, out: &mut Vec<u8>, length: usize, map: impl Fn(u8) -> u8) {
        let end = out.len() + length;
        for _ in 0..length.div_ceil(8) {
            out.extend_from_slice(&self.next().to_le_bytes().map(&map));
        }
        out.truncate(end);
    }
}

/// A random number brought below `n` (0 if `n` is 0).
pub(crate) fn below(random: u64, n: u64) -> u64 {
    ((u128::from(random) * u128::from(n)) >> 64) as u64
}

/// A random number brought into 0 ≤ x < 1.
pub(crate) fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}
