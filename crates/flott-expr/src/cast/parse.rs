//! Text that CAST accepts where the formats are stricter: blanks around numbers, dates without
//! leading zeros, times without seconds.

use arrow::datatypes::TimeUnit;

use crate::text;

/// An integer; a fraction behind a point is allowed and cut off (`1.9` is 1).
pub(super) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &digits[..0]),
    };
    if digits.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut number = 0i64;
    for byte in whole {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counting down reaches the least number, which has no positive counterpart.
        number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(number) } else { number.checked_neg() }
}

/// A float as Java reads it: surrounding blanks and a trailing `f` or `d` are allowed, and the
/// words `NaN` and `Infinity` in exactly this spelling.
pub(crate) fn parse_float<F: std::str::FromStr>(text: &str) -> Option<F> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "NaN" || unsigned == "Infinity" {
        return text.parse().ok();
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let numeric =
        text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'e' | b'E' | b'+' | b'-'));
    if numeric { text.parse().ok() } else { None }
}

pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// One to `most` digits at the start, and what follows.
fn leading_number(text: &str, most: usize) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > most {
        return None;
    }
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// `2024-2-9`, `2024-02`, `2024`; what follows a blank is ignored.
pub(crate) fn parse_date_leniently(text: &str) -> Option<i32> {
    if let Some(days) = text::parse_date(text.as_bytes()) {
        return Some(days);
    }
    let text = text.split(' ').next()?;
    let mut numbers = [1u32; 3];
    let mut rest = text;
    for (i, number) in numbers.iter_mut().enumerate() {
        let (parsed, after) = leading_number(rest, if i == 0 { 4 } else { 2 })?;
        *number = parsed;
        if after.is_empty() {
            rest = "";
            break;
        }
        rest = after;
        if i < 2 {
            rest = after.strip_prefix('-')?;
        }
    }
    let [year, month, day] = numbers;
    let exists = rest.is_empty()
        && (1..=12).contains(&month)
        && (1..=text::days_in_month(year.into(), month)).contains(&day);
    if exists { i32::try_from(text::days_from_civil(year.into(), month, day)).ok() } else { None }
}

/// `10:11:12.345`, `1:2:3`, `10:11`, `10`.
pub(super) fn parse_time_leniently(text: &str) -> Option<i32> {
    if let Some(millis) = text::parse_time(text.as_bytes()) {
        return Some(millis);
    }
    let (hour, rest) = leading_number(text, 2)?;
    let (minute, rest) = match rest.strip_prefix(':') {
        Some(rest) => leading_number(rest, 2)?,
        None => (0, rest),
    };
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => leading_number(rest, 2)?,
        // Only seconds have a fraction.
        None if rest.is_empty() => (0, rest),
        None => return None,
    };
    let spelled = format!("{hour:02}:{minute:02}:{second:02}{rest}");
    text::parse_time(spelled.as_bytes())
}

/// `yyyy-MM-dd[ HH:mm:ss[.fffffffff]]`, each number possibly without leading zeros.
pub(crate) fn parse_timestamp_leniently(text: &str, unit: TimeUnit) -> Option<i64> {
    if let Some(value) = text::parse_timestamp(text.as_bytes(), unit, b' ', false) {
        return Some(value);
    }
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let mut parts = [0u32; 6];
    let mut rest = date;
    for (i, separator) in ["-", "-", ""].into_iter().enumerate() {
        let (number, after) = leading_number(rest, if i == 0 { 4 } else { 2 })?;
        parts[i] = number;
        rest = after.strip_prefix(separator)?;
    }
    if !rest.is_empty() {
        return None;
    }
    rest = time;
    for (i, separator) in [":", ":", ""].into_iter().enumerate() {
        let (number, after) = leading_number(rest, 2)?;
        parts[i + 3] = number;
        rest = after.strip_prefix(separator)?;
    }
    let [year, month, day, hour, minute, second] = parts;
    let spelled = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{rest}");
    text::parse_timestamp(spelled.as_bytes(), unit, b' ', false)
}
