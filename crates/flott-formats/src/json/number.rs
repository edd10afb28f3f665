//! Numbers from JSON tokens and from numeric strings.
//!
//! Integers are read eight digits at a time: one 64-bit load, one test that says how many of the
//! eight are digits, three multiplications.

use super::{
    failure::{Fail, Failure},
    scan::number_end,
};

/// How many of the eight bytes of `block`, from the lowest on, are digits.
#[inline(always)]
fn leading_digits(block: u64) -> u32 {
    let values = block ^ 0x3030_3030_3030_3030;
    let not_digits = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    not_digits.trailing_zeros() / 8
}

/// The number that eight ASCII digits spell, the first in the lowest byte.
#[inline(always)]
fn eight_digits(block: u64) -> u64 {
    let ones = (block & 0x0F0F_0F0F_0F0F_0F0F).wrapping_mul(2561) >> 8;
    let hundreds = (ones & 0x00FF_00FF_00FF_00FF).wrapping_mul(6_553_601) >> 16;
    (hundreds & 0x0000_FFFF_0000_FFFF).wrapping_mul(42_949_672_960_001) >> 32
}

const POWERS_OF_TEN: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The whole number at `at` and the position behind it, when it is short and plain: at most 16
/// digits, no point, no exponent. `None` sends the caller to the careful path.
#[inline(always)]
pub(super) fn plain_integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let first = u64::from_le_bytes(*bytes.get(start..)?.first_chunk::<8>()?);
    let count = leading_digits(first);
    let (magnitude, end) = if count < 8 {
        if count == 0 {
            return None;
        }
        (eight_digits(first << (64 - 8 * count)), start + count as usize)
    } else {
        let second = u64::from_le_bytes(*bytes.get(start + 8..)?.first_chunk::<8>()?);
        let more = leading_digits(second);
        let low = if more == 0 { 0 } else { eight_digits(second << (64 - 8 * more)) };
        (eight_digits(first) * POWERS_OF_TEN[(more as usize).min(8)] + low, start + 8 + more as usize)
    };
    let leading_zero = first as u8 == b'0' && end - start > 1;
    if leading_zero || matches!(bytes.get(end), Some(b'.' | b'e' | b'E' | b'0'..=b'9')) {
        return None;
    }
    let value = magnitude as i64;
    Some((if negative { -value } else { value }, end))
}

/// Java's `trim`: characters up to the blank are dropped at both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte > b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|byte| *byte > b' ').map_or(start, |last| last + 1);
    &text[start..end]
}

/// A whole number as Java's `parseLong` reads it: an optional sign and digits, nothing else.
pub(super) fn java_integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A JSON number token as a whole number. With `truncate`, a fraction is cut off (INT and BIGINT,
/// as Flink); without, it is refused (TINYINT and SMALLINT).
pub(super) fn token_integer(token: &[u8], integral: bool, truncate: bool) -> Option<i64> {
    if integral {
        return java_integer(token);
    }
    let value: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
    (truncate && value.abs() <= i64::MAX as f64).then_some(value as i64)
}

/// A floating-point number as Java's `parseDouble` reads it: `1.5`, `.5`, `1e3`, `1.5f`, `NaN`,
/// `-Infinity`. A number too large is refused where Java answers infinity.
pub(super) fn java_double(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    match unsigned {
        b"NaN" => return Some(f64::NAN),
        b"Infinity" if text.starts_with(b"-") => return Some(f64::NEG_INFINITY),
        b"Infinity" => return Some(f64::INFINITY),
        _ => {}
    }
    if !unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let digits = text.strip_suffix(b"f").or(text.strip_suffix(b"F"));
    let digits = digits.or(text.strip_suffix(b"d")).or(text.strip_suffix(b"D")).unwrap_or(text);
    let value: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// A JSON number as a DOUBLE, and the position behind it.
#[inline]
pub(super) fn double_at(bytes: &[u8], at: usize) -> Result<(Option<f64>, usize), Fail> {
    let end = number_end(bytes, at)?.end;
    let token = bytes.get(at..end).unwrap_or_default();
    let text = std::str::from_utf8(token).map_err(|_| Failure::malformed(at, "a malformed number"))?;
    Ok((text.parse::<f64>().ok().filter(|value| value.is_finite()), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length() {
        for digits in 1..=18 {
            let text = "1234567890123456789"[..digits].to_string();
            for sign in ["", "-"] {
                let line = format!("{sign}{text},                    ");
                let expected = (digits <= 16)
                    .then(|| (format!("{sign}{text}").parse().unwrap(), line.find(',').unwrap()));
                assert_eq!(plain_integer(line.as_bytes(), 0), expected, "{line}");
            }
        }
    }

    #[test]
    fn integers_that_need_care() {
        for text in ["01,       ", "1.5,       ", "1e3,       ", "-,        ", "abc       ", "12"] {
            assert_eq!(plain_integer(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(plain_integer(b"0,          ", 0), Some((0, 1)));
        assert_eq!(token_integer(b"-1.5", false, true), Some(-1));
        assert_eq!(token_integer(b"1.0", false, false), None);
        assert_eq!(token_integer(b"9.3e18", false, true), None);
        assert_eq!(java_integer(b"+12"), Some(12));
        assert_eq!(java_integer(b""), None);
    }

    #[test]
    fn doubles_as_java_reads_them() {
        assert_eq!(java_double(b"1.5f"), Some(1.5));
        assert_eq!(java_double(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(java_double(b"inf"), None);
        assert_eq!(java_double(b"1e999"), None);
        assert_eq!(java_double(b""), None);
    }
}
