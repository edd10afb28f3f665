//! One field's text to a value, by the rules of Flink's CSV converters.
//!
//! Numbers, booleans and timestamps may have blanks around them; dates, times, decimals and
//! base64 may not. The parsers see `source` and where the field lies in it, because looking
//! at the eight bytes before a field's end is what makes short numbers cheap.

use std::ops::Range;

use arrow::datatypes::TimeUnit;
use flott_expr::text;
use flott_types::TimestampUnit;

/// What a field's text means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parsed<T> {
    /// A value.
    Value(T),
    /// NULL (a DECIMAL that doesn't fit, as in Flink).
    Null,
    /// No value of the type.
    Bad,
}

impl<T> From<Option<T>> for Parsed<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Parsed::Bad, Parsed::Value)
    }
}

/// A whole number.
#[inline]
pub fn integer(source: &[u8], span: Range<usize>) -> Option<i64> {
    short_integer(source, &span).or_else(|| std::str::from_utf8(trim(source.get(span)?)).ok()?.parse().ok())
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Up to eight digits, perhaps with a minus sign: all digits in one register, no loop.
#[inline]
fn short_integer(source: &[u8], span: &Range<usize>) -> Option<i64> {
    let negative = *source.get(span.start)? == b'-';
    let digits = span.end.wrapping_sub(span.start + usize::from(negative));
    if digits.wrapping_sub(1) >= 8 || span.end < 8 {
        return None;
    }
    let word = u64::from_le_bytes(*source.get(span.end - 8..span.end)?.first_chunk()?);
    let own = u64::MAX << (64 - 8 * digits);
    let word = (word & own) | (ZEROS & !own);
    let value = word.wrapping_sub(ZEROS);
    let too_large = word.wrapping_add(u64::from_le_bytes([0x46; 8]));
    if (value | too_large) & u64::from_le_bytes([0x80; 8]) != 0 {
        return None;
    }
    let value = (value * 10) + (value >> 8);
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let high = (value & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((value >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    let value = (high.wrapping_add(low) >> 32) as i64;
    Some(if negative { -value } else { value })
}

/// Without blanks and control characters around, as Java's `trim`.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [0..=b' ', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., 0..=b' '] = text {
        text = rest;
    }
    text
}

/// A DOUBLE or FLOAT as Java reads it, hexadecimal ones aside.
pub fn float<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Rust would also take `inf` and `nan`, Java also takes a type suffix.
    match unsigned.as_bytes() {
        [b'0'..=b'9' | b'.', ..] => text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok(),
        b"NaN" | b"Infinity" => text.parse().ok(),
        _ => None,
    }
}

/// `true` in any case; everything else is FALSE.
pub fn boolean(text: &[u8]) -> bool {
    trim(text).eq_ignore_ascii_case(b"true")
}

/// A DECIMAL; NULL if it doesn't fit.
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Parsed<i128> {
    match text::parse_decimal(text, precision, scale) {
        Some(value) => Parsed::Value(value),
        None if is_decimal(text) => Parsed::Null,
        None => Parsed::Bad,
    }
}

/// `[±]digits[.digits][e[±]digits]`
fn is_decimal(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = |text: &[u8]| usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let mut rest = &text[unsigned(text)..];
    let whole = digits(rest);
    rest = &rest[whole..];
    let mut fraction = 0;
    if let [b'.', behind @ ..] = rest {
        fraction = digits(behind);
        rest = &behind[fraction..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = &exponent[unsigned(exponent)..];
        let count = digits(exponent);
        return count > 0 && count == exponent.len() && whole + fraction > 0;
    }
    rest.is_empty() && whole + fraction > 0
}

/// `yyyy-[M]M-[d]d`; a day past its month's end runs into the next month.
pub fn date(text: &[u8]) -> Option<i32> {
    if let Some(days) = text::parse_date(text) {
        return Some(days);
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let mut part = |least: usize, most: usize| -> Option<u32> {
        let digits = parts.next().filter(|it| (least..=most).contains(&it.len()))?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(digits.iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0')))
    };
    let (year, month, day) = (part(4, 4)?, part(1, 2)?, part(1, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    i32::try_from(text::days_from_civil(year.into(), month, 1) + i64::from(day) - 1).ok()
}

/// `yyyy-MM-dd HH:mm:ss[.f…]`, with `Z` behind for TIMESTAMP_LTZ; finer digits are dropped.
pub fn timestamp(text: &[u8], precision: u8, local: bool) -> Option<i64> {
    let unit = TimestampUnit::of(precision);
    let value = text::parse_timestamp(trim(text), unit, b' ', local)?;
    let digits_of_unit = match unit {
        TimeUnit::Nanosecond => 9,
        TimeUnit::Microsecond => 6,
        _ => 3u8,
    };
    let step = 10i64.pow(u32::from(digits_of_unit.saturating_sub(precision)));
    Some(if step == 1 { value } else { value.div_euclid(step) * step })
}
