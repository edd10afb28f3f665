//! Avro's binary encoding: numbers of variable length, and bytes with their length before them.
//!
//! Nothing that stands in the data is believed: a length counts only if as many bytes are there, and items
//! that take no bytes count against a budget.
//!
//! Source: Apache Avro specification, "Binary Encoding".

use super::failure::{Fail, Failure};

/// Bytes being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// From `at` on.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }
    /// Where the next byte stands.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.at
    }
    /// Bytes that are left.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at.min(self.bytes.len())
    }
    /// All bytes, also those read.
    #[inline(always)]
    pub fn all(&self) -> &'a [u8] {
        self.bytes
    }

    /// One byte.
    #[inline(always)]
    pub fn byte(&mut self) -> Result<u8, Fail> {
        let Some(byte) = self.bytes.get(self.at) else { return Err(Failure::truncated(self.at)) };
        self.at += 1;
        Ok(*byte)
    }

    /// A whole number of 64 bits.
    #[inline(always)]
    pub fn long(&mut self) -> Result<i64, Fail> {
        let Some(rest) = self.bytes.get(self.at..) else { return Err(Failure::truncated(self.at)) };
        match *rest {
            [first, ..] if first < 0x80 => {
                self.at += 1;
                Ok(unzigzag(u64::from(first)))
            }
            [first, second, ..] if second < 0x80 => {
                self.at += 2;
                Ok(unzigzag(u64::from(first & 0x7f) | u64::from(second) << 7))
            }
            _ => self.long_of_many(rest),
        }
    }

    #[inline]
    fn long_of_many(&mut self, rest: &[u8]) -> Result<i64, Fail> {
        let mut value = 0u64;
        for (number, byte) in rest.iter().take(10).enumerate() {
            if number == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * number);
            if *byte < 0x80 {
                self.at += number + 1;
                return Ok(unzigzag(value));
            }
        }
        if rest.len() < 10 {
            return Err(Failure::truncated(self.at));
        }
        Err(Failure::new(self.at, "a number of more than 64 bits"))
    }

    /// A whole number of 32 bits.
    #[inline(always)]
    pub fn int(&mut self) -> Result<i32, Fail> {
        let start = self.at;
        i32::try_from(self.long()?).map_err(|_| Failure::new(start, "a number of more than 32 bits"))
    }

    /// `N` bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fail> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(Failure::truncated(self.at)),
        }
    }

    /// This many bytes.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Fail> {
        let end = self.at.checked_add(count);
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, bytes)) => {
                self.at = end;
                Ok(bytes)
            }
            None => Err(Failure::truncated(self.at)),
        }
    }

    /// Bytes with their length before them.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Fail> {
        let start = self.at;
        match usize::try_from(self.long()?) {
            Ok(count) if count <= self.left() => self.take(count),
            Ok(count) => Err(Failure::short(start, format!("{count} bytes are announced, fewer are there"))),
            Err(_) => Err(Failure::new(start, "a negative length")),
        }
    }

    /// The head of a block of an array or a map: how many items follow (0: the end), and, where it is
    /// said, in how many bytes.
    #[inline]
    pub fn block(&mut self) -> Result<(u64, Option<usize>), Fail> {
        let start = self.at;
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        match usize::try_from(self.long()?) {
            Ok(bytes) if bytes <= self.left() => Ok((count.unsigned_abs(), Some(bytes))),
            Ok(_) => Err(Failure::short(start, "a block is announced that is longer than the record")),
            Err(_) => Err(Failure::new(start, "a negative length")),
        }
    }

    /// Behind the items of a block that began `from` here: if it was said how long it is, it was the truth. Who
    /// passes over the block must come to the same place.
    #[inline]
    pub fn ends_block(&self, from: usize, bytes: Option<usize>) -> Result<(), Fail> {
        match bytes {
            Some(bytes) if self.at - from != bytes => Err(Failure::new(
                from,
                format!("a block of {} bytes says that it has {bytes}", self.at - from),
            )),
            _ => Ok(()),
        }
    }
}

#[inline(always)]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a whole number.
#[inline(always)]
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    if rest < 0x80 {
        out.push(rest as u8);
        return;
    }
    let mut buffer = [0u8; 10];
    let mut length = 0;
    for place in &mut buffer {
        length += 1;
        if rest < 0x80 {
            *place = rest as u8;
            break;
        }
        *place = rest as u8 | 0x80;
        rest >>= 7;
    }
    let end = out.len() + length;
    out.extend_from_slice(&buffer);
    out.truncate(end);
}

/// Appends bytes with their length before them.
#[inline(always)]
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_there_and_back() {
        let edges = [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 1 << 40, i64::MAX, i64::MIN];
        for value in edges {
            let mut out = Vec::new();
            put_long(value, &mut out);
            let mut input = Input::new(&out, 0);
            assert_eq!(input.long().unwrap(), value);
            assert_eq!(input.left(), 0);
            for cut in 0..out.len() {
                assert!(Input::new(&out[..cut], 0).long().is_err(), "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        let message = |bytes: &[u8]| Input::new(bytes, 0).bytes().unwrap_err().message(0);
        assert_eq!(message(&[1]), "at byte 0 of the record: a negative length");
        assert_eq!(message(&[8, 0]), "at byte 0 of the record: 4 bytes are announced, fewer are there");
        assert!(message(&[0xff; 11]).ends_with("a number of more than 64 bits"));
        assert!(Input::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 1], 0).int().is_err());
    }
}
