//! Finding the ends of JSON values without building anything.
//!
//! ```text
//!   {"a":12,"b":"x\"y","c":[1,{}]}⏎
//!        └──┘   └────┘      └────┘     one pass, every skipped byte is checked all the same
//! ```
//!
//! Invariants
//! - Functions take a position in the whole chunk and answer with the position behind the value.
//! - A line feed ends a record. It is never white space and never part of a string here, so a
//!   record that was cut short can't swallow its neighbour.
//! - A skipped value is checked as strictly as a decoded one: what is malformed doesn't depend on
//!   which columns a query reads.
//!
//! Source: RFC 8259; control characters inside strings are accepted, as Flink does.

use super::failure::{Fail, Failure};

/// Objects and arrays inside each other: deeper ones are refused.
pub(crate) const DEPTH_MAX: usize = 1000;

/// A string's place: the position of its closing quote, and whether it holds escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StringEnd {
    /// Position of the closing quote.
    pub quote: usize,
    /// Whether there is a backslash inside.
    pub escaped: bool,
}

/// The position of the first `"`, `\` or line feed at or after `at`; the length if there is none.
#[inline(always)]
pub(crate) fn find_special(bytes: &[u8], mut at: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        };
        // SAFETY: SSE2 belongs to every x86_64. The load reads 16 bytes from `at`, and the loop's
        // condition keeps `at + 16` within the slice.
        unsafe {
            let quote = _mm_set1_epi8(b'"' as i8);
            let backslash = _mm_set1_epi8(b'\\' as i8);
            let feed = _mm_set1_epi8(b'\n' as i8);
            while at + 16 <= bytes.len() {
                let block = _mm_loadu_si128(bytes.as_ptr().add(at).cast());
                let hits = _mm_or_si128(
                    _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
                    _mm_cmpeq_epi8(block, feed),
                );
                let mask = _mm_movemask_epi8(hits);
                if mask != 0 {
                    return at + mask.trailing_zeros() as usize;
                }
                at += 16;
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let rest = bytes.get(at..).unwrap_or_default();
        return memchr::memchr3(b'"', b'\\', b'\n', rest).map_or(bytes.len(), |found| at + found);
    }
    #[cfg(target_arch = "x86_64")]
    {
        while let Some(&byte) = bytes.get(at) {
            if matches!(byte, b'"' | b'\\' | b'\n') {
                break;
            }
            at += 1;
        }
        at
    }
}

/// The end of the string whose first character is at `at` (behind the opening quote).
#[inline(always)]
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Result<StringEnd, Fail> {
    let found = find_special(bytes, at);
    match bytes.get(found) {
        Some(b'"') => Ok(StringEnd { quote: found, escaped: false }),
        Some(b'\\') => escaped_string_end(bytes, found),
        _ => Err(Failure::malformed(found, "a string that doesn't end")),
    }
}

/// The same from the first backslash on. Checks every escape.
#[cold]
fn escaped_string_end(bytes: &[u8], mut at: usize) -> Result<StringEnd, Fail> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(StringEnd { quote: at, escaped: true }),
            Some(b'\\') => at = find_special(bytes, check_escape(bytes, at)?),
            _ => return Err(Failure::malformed(at, "a string that doesn't end")),
        }
    }
}

/// The position behind the escape (or surrogate pair) that starts at `at`.
fn check_escape(bytes: &[u8], at: usize) -> Result<usize, Fail> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match hex4(bytes, at + 2) {
            Some(0xD800..=0xDBFF) => {
                let low = bytes.get(at + 6..at + 8).filter(|it| it == b"\\u").and(hex4(bytes, at + 8));
                match low {
                    Some(0xDC00..=0xDFFF) => Ok(at + 12),
                    _ => Err(Failure::malformed(at, "half of a surrogate pair in a string")),
                }
            }
            Some(0xDC00..=0xDFFF) => Err(Failure::malformed(at, "half of a surrogate pair in a string")),
            Some(_) => Ok(at + 6),
            None => Err(Failure::malformed(at, "`\\u` without four hexadecimal digits")),
        },
        _ => Err(Failure::malformed(at, "an unknown escape in a string")),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + (digit as char).to_digit(16)?))
}

/// Appends the text of a string's inside. What [`string_end`] has not checked is copied as it is.
pub(crate) fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(place) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..place]);
        let (text, used) = match raw.get(place + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unicode_escape(raw, place),
            Some(&other) => (other as char, 2),
            None => ('\\', 1),
        };
        out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes());
        raw = raw.get(place + used..).unwrap_or_default();
    }
    out.extend_from_slice(raw);
}

fn unicode_escape(raw: &[u8], at: usize) -> (char, usize) {
    let high = hex4(raw, at + 2).unwrap_or(0xFFFD);
    if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (high, hex4(raw, at + 8)) {
        let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// The position of the first byte that isn't a blank, a tab or a carriage return.
#[inline(always)]
pub(crate) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position behind the value that starts at `at`.
#[inline(always)]
pub(crate) fn skip_value(bytes: &[u8], at: usize) -> Result<usize, Fail> {
    match bytes.get(at) {
        Some(b'"') => Ok(string_end(bytes, at + 1)?.quote + 1),
        Some(b'-' | b'0'..=b'9') => Ok(number_end(bytes, at)?.end),
        Some(b'{' | b'[') => skip_nested(bytes, at),
        _ => skip_word(bytes, at),
    }
}

/// `true`, `false` or `null`.
pub(crate) fn skip_word(bytes: &[u8], at: usize) -> Result<usize, Fail> {
    let rest = bytes.get(at..).unwrap_or_default();
    [&b"true"[..], b"false", b"null"]
        .into_iter()
        .find(|word| rest.starts_with(word))
        .map(|word| at + word.len())
        .ok_or_else(|| Failure::malformed(at, "a JSON value is missing or misspelt"))
}

/// Where a number ends, and whether it is written with a point or an exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberEnd {
    /// Behind the last character.
    pub end: usize,
    /// No point and no exponent.
    pub integral: bool,
}

#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The end of the number that starts at `at`.
#[inline]
pub(crate) fn number_end(bytes: &[u8], at: usize) -> Result<NumberEnd, Fail> {
    let digits = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = skip_digits(bytes, digits);
    if end == digits || (end > digits + 1 && bytes.get(digits) == Some(&b'0')) {
        return Err(Failure::malformed(at, "a malformed number"));
    }
    let mut integral = true;
    if bytes.get(end) == Some(&b'.') {
        integral = false;
        let fraction = end + 1;
        end = skip_digits(bytes, fraction);
        if end == fraction {
            return Err(Failure::malformed(at, "a malformed number"));
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        integral = false;
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = skip_digits(bytes, exponent);
        if end == exponent {
            return Err(Failure::malformed(at, "a malformed number"));
        }
    }
    Ok(NumberEnd { end, integral })
}

/// Which brackets are open: one bit each, set for an object.
struct Open {
    bits: [u64; DEPTH_MAX.div_ceil(64)],
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool, at: usize) -> Result<(), Fail> {
        let Some(word) = self.bits.get_mut(self.depth / 64).filter(|_| self.depth < DEPTH_MAX) else {
            return Err(Failure::malformed(at, "more than 1000 levels of nesting"));
        };
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Ok(())
    }
    fn in_object(&self) -> bool {
        let top = self.depth.wrapping_sub(1);
        self.bits.get(top / 64).is_some_and(|word| (word >> (top % 64)) & 1 == 1)
    }
}

/// The position behind the object or array that starts at `at`. No recursion: depth costs bits.
pub(crate) fn skip_nested(bytes: &[u8], mut at: usize) -> Result<usize, Fail> {
    let mut open = Open { bits: [0; DEPTH_MAX.div_ceil(64)], depth: 0 };
    loop {
        // A value stands at `at`.
        at = match bytes.get(at) {
            Some(&bracket @ (b'{' | b'[')) => {
                open.push(bracket == b'{', at)?;
                at = skip_blanks(bytes, at + 1);
                let close = if bracket == b'{' { b'}' } else { b']' };
                if bytes.get(at) != Some(&close) {
                    if bracket == b'{' {
                        at = key_end(bytes, at)?;
                    }
                    continue;
                }
                open.depth -= 1;
                at + 1
            }
            _ => skip_value_flat(bytes, at)?,
        };
        // Behind a value: close as many brackets as there are, then go to the next value.
        loop {
            if open.depth == 0 {
                return Ok(at);
            }
            at = skip_blanks(bytes, at);
            match (bytes.get(at), open.in_object()) {
                (Some(b','), true) => {
                    at = key_end(bytes, skip_blanks(bytes, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at = skip_blanks(bytes, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.depth -= 1;
                    at += 1;
                }
                (_, true) => return Err(Failure::malformed(at, "expected ',' or '}'")),
                (_, false) => return Err(Failure::malformed(at, "expected ',' or ']'")),
            }
        }
    }
}

fn skip_value_flat(bytes: &[u8], at: usize) -> Result<usize, Fail> {
    match bytes.get(at) {
        Some(b'"') => Ok(string_end(bytes, at + 1)?.quote + 1),
        Some(b'-' | b'0'..=b'9') => Ok(number_end(bytes, at)?.end),
        _ => skip_word(bytes, at),
    }
}

/// The position of the value that belongs to the key at `at`.
fn key_end(bytes: &[u8], at: usize) -> Result<usize, Fail> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Failure::malformed(at, "expected a key in double quotes"));
    }
    let colon = skip_blanks(bytes, string_end(bytes, at + 1)?.quote + 1);
    if bytes.get(colon) != Some(&b':') {
        return Err(Failure::malformed(colon, "expected ':' behind a key"));
    }
    Ok(skip_blanks(bytes, colon + 1))
}
