//! The wire format: a message is a run of fields, each a tag (number and wire type) and its value.
//!
//! ```text
//!   08 96 01        field 1, varint 150
//!   12 02 68 69     field 2, two bytes
//!   └tag: number << 3 | wire type
//! ```
//!
//! Everything reads from a window that ends where the message ends: nothing can reach beyond it.

use super::failure::{Fail, Failure};

/// How a value lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// A number of variable length.
    Varint = 0,
    /// Eight bytes.
    Fixed64 = 1,
    /// A length and so many bytes.
    Bytes = 2,
    /// The start of a group (of old).
    Group = 3,
    /// The end of a group.
    GroupEnd = 4,
    /// Four bytes.
    Fixed32 = 5,
}

/// Groups within groups that are skipped, at the most.
const GROUP_DEPTH_MAX: usize = 100;
/// The greatest number of a field.
const NUMBER_MAX: u64 = (1 << 29) - 1;

/// A number of variable length, and the position behind it.
#[inline(always)]
pub(super) fn varint(window: &[u8], at: usize) -> Result<(u64, usize), Fail> {
    match window.get(at) {
        Some(byte) if *byte < 0x80 => Ok((u64::from(*byte), at + 1)),
        _ => long_varint(window, at),
    }
}

/// Up to eight bytes at once: seven bits of each byte are pushed together in three steps.
#[inline]
fn long_varint(window: &[u8], at: usize) -> Result<(u64, usize), Fail> {
    let Some(word) = window.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
        return careful_varint(window, at);
    };
    let word = u64::from_le_bytes(*word);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return careful_varint(window, at);
    }
    let bits = ends.trailing_zeros() + 1;
    let own = word & (u64::MAX >> (64 - bits)) & 0x7F7F_7F7F_7F7F_7F7F;
    let pairs = (own & 0x007F_007F_007F_007F) | ((own & 0x7F00_7F00_7F00_7F00) >> 1);
    let fours = (pairs & 0x0000_3FFF_0000_3FFF) | ((pairs & 0x3FFF_0000_3FFF_0000) >> 2);
    let value = (fours & 0x0FFF_FFFF) | ((fours & 0x0FFF_FFFF_0000_0000) >> 4);
    Ok((value, at + (bits / 8) as usize))
}

#[inline(never)]
fn careful_varint(window: &[u8], at: usize) -> Result<(u64, usize), Fail> {
    let mut value = 0;
    for (number, byte) in window.get(at..).unwrap_or_default().iter().take(10).enumerate() {
        // Of the tenth byte one bit counts.
        value |= u64::from(byte & 0x7F) << (7 * number);
        if *byte < 0x80 {
            return Ok((value, at + number + 1));
        }
    }
    let cut_off = window.len().saturating_sub(at) < 10;
    Err(Failure::malformed(
        at,
        if cut_off { "a number is cut off" } else { "a number has more than 10 bytes" },
    ))
}

/// Eight bytes.
#[inline(always)]
pub(super) fn fixed64(window: &[u8], at: usize) -> Result<(u64, usize), Fail> {
    match window.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => Ok((u64::from_le_bytes(*bytes), at + 8)),
        None => Err(Failure::malformed(at, "a number of 8 bytes is cut off")),
    }
}

/// Four bytes.
#[inline(always)]
pub(super) fn fixed32(window: &[u8], at: usize) -> Result<(u64, usize), Fail> {
    match window.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => Ok((u64::from(u32::from_le_bytes(*bytes)), at + 4)),
        None => Err(Failure::malformed(at, "a number of 4 bytes is cut off")),
    }
}

/// A length and so many bytes: where they start and where they end.
#[inline(always)]
pub(super) fn bytes(window: &[u8], at: usize) -> Result<(usize, usize), Fail> {
    let (length, start) = varint(window, at)?;
    match usize::try_from(length).ok().filter(|length| *length <= window.len() - start) {
        Some(length) => Ok((start, start + length)),
        None => Err(too_long(at, length, window.len() - start)),
    }
}

#[cold]
fn too_long(at: usize, length: u64, left: usize) -> Fail {
    Failure::malformed(at, format!("a length of {length} bytes where {left} are left"))
}

/// A tag: the field's number, its wire type, and the position behind it.
#[inline(always)]
pub(super) fn tag(window: &[u8], at: usize) -> Result<(u32, Wire, usize), Fail> {
    let (tag, behind) = varint(window, at)?;
    let wire = match tag & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Bytes,
        3 => Wire::Group,
        4 => Wire::GroupEnd,
        5 => Wire::Fixed32,
        _ => return Err(Failure::malformed(at, "an unknown wire type")),
    };
    let number = tag >> 3;
    if number == 0 || number > NUMBER_MAX {
        return Err(Failure::malformed(at, format!("{number} is not the number of a field")));
    }
    Ok((number as u32, wire, behind))
}

/// The position behind the value at `at`, which nobody wants.
#[inline]
pub(super) fn skip(window: &[u8], number: u32, wire: Wire, at: usize) -> Result<usize, Fail> {
    match wire {
        Wire::Varint => varint(window, at).map(|it| it.1),
        Wire::Fixed64 => fixed64(window, at).map(|it| it.1),
        Wire::Bytes => bytes(window, at).map(|it| it.1),
        Wire::Fixed32 => fixed32(window, at).map(|it| it.1),
        Wire::Group => skip_group(window, number, at),
        Wire::GroupEnd => Err(Failure::malformed(at, "the end of a group that never began")),
    }
}

/// The position behind the group whose start tag ends at `at`.
#[cold]
fn skip_group(window: &[u8], number: u32, mut at: usize) -> Result<usize, Fail> {
    let mut open = vec![number];
    while let Some(innermost) = open.last() {
        let (number, wire, behind) = tag(window, at)?;
        match wire {
            Wire::GroupEnd if number == *innermost => {
                open.pop();
                at = behind;
            }
            Wire::GroupEnd => return Err(Failure::malformed(at, "the end of another group")),
            Wire::Group if open.len() >= GROUP_DEPTH_MAX => {
                return Err(Failure::malformed(at, "groups are nested too deeply"));
            }
            Wire::Group => {
                open.push(number);
                at = behind;
            }
            wire => at = skip(window, number, wire, behind)?,
        }
    }
    Ok(at)
}

/// Appends a number of variable length.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what `write` appends, with its length before it.
#[inline]
pub(super) fn put_with_length<R>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let place = out.len();
    // Most lengths take one byte; longer ones move what was written.
    out.push(0);
    let answer = write(out);
    let length = out.len() - place - 1;
    if let (0..0x80, Some(byte)) = (length, out.get_mut(place)) {
        *byte = length as u8;
        return answer;
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(&mut prefix, length as u64);
    out.splice(place..=place, prefix);
    answer
}

/// Zigzag: 0, 1, 2, 3, … are 0, -1, 1, -2, …
#[inline(always)]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The other way round.
#[inline(always)]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_there_and_back(value: u64, shift in 0u32..64, behind in proptest::collection::vec(any::<u8>(), 0..12)) {
            let value = value >> shift;
            let mut bytes = vec![7];
            put_varint(&mut bytes, value);
            let end = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(varint(&bytes, 1).unwrap(), (value, end));
            prop_assert_eq!(careful_varint(&bytes, 1).unwrap(), (value, end));
            prop_assert!(varint(&bytes[..end - 1], 1).is_err());
            prop_assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }

    #[test]
    fn a_length_is_put_before_what_follows() {
        for length in [0, 127, 128, 20_000] {
            let mut out = vec![1];
            put_with_length(&mut out, |out| out.resize(out.len() + length, 9));
            let (start, end) = super::bytes(&out, 1).unwrap();
            assert_eq!((end - start, end), (length, out.len()));
        }
    }
}
