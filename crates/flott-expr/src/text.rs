//! Dates, times, decimals and floats to and from text, for hot loops: no allocation, no
//! formatting machinery, plain arithmetic on bytes.
//!
//! ```text
//!   append_*   value ──► bytes pushed on a Vec<u8>     (CAST AS STRING, JSON and CSV encoders)
//!   parse_*    bytes ──► Option<value>                 (JSON and CSV decoders, CAST)
//! ```
//!
//! The spellings are Flink's: `2026-01-31 23:59:59.123`, `1.0E10`, `-0.05`. Parsers take the
//! whole slice or answer `None`; they never panic and never wrap.
//!
//! Days and civil dates are converted with the era arithmetic of the proleptic Gregorian calendar
//! (400 years = 146,097 days).

use arrow::datatypes::TimeUnit;
use flott_types::TimestampUnit;

/// Milliseconds of a day.
pub const DAY_MILLIS: i64 = 86_400_000;
const DAY_SECONDS: i64 = 86_400;
const DAYS_PER_ERA: i64 = 146_097;

/// Year, month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // Years start on 1 March here, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The day of a civil date, counted from 1970-01-01. The date must exist.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - 719_468
}

/// Days of a month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The same day of the month some months later; at a shorter month's end, its last day.
pub fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

// ---- values to text -------------------------------------------------------------------------

fn push_two(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

fn push_year(out: &mut Vec<u8>, year: i64) {
    if (0..=9999).contains(&year) {
        push_two(out, (year / 100) as u32);
        push_two(out, (year % 100) as u32);
        return;
    }
    out.push(if year < 0 { b'-' } else { b'+' });
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(year.unsigned_abs());
    out.extend(std::iter::repeat_n(b'0', 4usize.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

/// `2026-01-31`, from days since 1970-01-01.
pub fn append_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    push_year(out, year);
    let (m, d) = (month as u8, day as u8);
    out.extend_from_slice(&[b'-', b'0' + m / 10, b'0' + m % 10, b'-', b'0' + d / 10, b'0' + d % 10]);
}

fn append_clock(out: &mut Vec<u8>, second_of_day: u32) {
    let (hour, minute, second) =
        ((second_of_day / 3600) as u8, (second_of_day / 60 % 60) as u8, (second_of_day % 60) as u8);
    out.extend_from_slice(&[
        b'0' + hour / 10,
        b'0' + hour % 10,
        b':',
        b'0' + minute / 10,
        b'0' + minute % 10,
        b':',
        b'0' + second / 10,
        b'0' + second % 10,
    ]);
}

/// The first `digits` of a fraction given in nanoseconds, with its point; nothing for 0 digits.
fn append_fraction(out: &mut Vec<u8>, nanos: u32, digits: u8) {
    if digits == 0 {
        return;
    }
    let mut buffer = *b".000000000";
    let mut rest = nanos;
    for place in buffer[1..].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[..=usize::from(digits.min(9))]);
}

/// `23:59:59.123`, from milliseconds of the day: at most `precision` digits of fraction, without
/// trailing zeros but at least one if the precision isn't 0 (`10:00:00.0`), as Flink's CAST.
pub fn append_time(out: &mut Vec<u8>, millis: i32, precision: u8) {
    let millis = millis.rem_euclid(DAY_MILLIS as i32);
    append_clock(out, (millis / 1000) as u32);
    let fraction = (millis % 1000) as u32;
    let mut digits = precision.min(3);
    while digits > 1 && fraction.is_multiple_of(10u32.pow(4 - u32::from(digits))) {
        digits -= 1;
    }
    append_fraction(out, fraction * 1_000_000, digits);
}

/// `2026-01-31 23:59:59.123`: exactly `precision` digits of fraction, `separator` between
/// date and time (a space, or `T` for ISO-8601).
pub fn append_timestamp(out: &mut Vec<u8>, value: i64, unit: TimeUnit, precision: u8, separator: u8) {
    let per_second = TimestampUnit::per_second(unit);
    let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    append_date(out, seconds.div_euclid(DAY_SECONDS));
    out.push(separator);
    append_clock(out, seconds.rem_euclid(DAY_SECONDS) as u32);
    append_fraction(out, (rest * (1_000_000_000 / per_second)) as u32, precision);
}

/// `-12.50`: an unscaled value with its point, exactly `scale` digits behind it.
pub fn append_decimal(out: &mut Vec<u8>, unscaled: i128, scale: u8) {
    let mut buffer = itoa::Buffer::new();
    if unscaled < 0 {
        out.push(b'-');
    }
    let magnitude = unscaled.unsigned_abs();
    // 64-bit division is several times faster than 128-bit; most values are small.
    let digits = match u64::try_from(magnitude) {
        Ok(small) => buffer.format(small),
        Err(_) => buffer.format(magnitude),
    };
    let (digits, scale) = (digits.as_bytes(), usize::from(scale));
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits);
    }
}

/// A DOUBLE as Java spells it: `1.0`, `0.001`, `1.0E10`, `NaN`, `-Infinity`.
pub fn append_double(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if (1e-3..1e7).contains(&magnitude) || value == 0.0 {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else if !value.is_finite() {
        append_not_finite(out, value.is_nan(), value < 0.0);
    } else if magnitude < 1e-300 {
        append_tiny(out, &format!("{value:e}"), &format!("{value:.1e}"));
    } else {
        append_scientific(out, ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

/// A FLOAT as Java spells it.
pub fn append_float(out: &mut Vec<u8>, value: f32) {
    let magnitude = value.abs();
    if (1e-3..1e7).contains(&magnitude) || value == 0.0 {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else if !value.is_finite() {
        append_not_finite(out, value.is_nan(), value < 0.0);
    } else if magnitude < 1e-36 {
        append_tiny(out, &format!("{value:e}"), &format!("{value:.1e}"));
    } else {
        append_scientific(out, ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

fn append_not_finite(out: &mut Vec<u8>, nan: bool, negative: bool) {
    out.extend_from_slice(match (nan, negative) {
        (true, _) => b"NaN",
        (_, true) => b"-Infinity",
        _ => b"Infinity",
    });
}

/// Java shows at least two digits and picks the nearest two; that differs from the shortest
/// spelling only where numbers lie so far apart that one digit tells them apart.
fn append_tiny(out: &mut Vec<u8>, shortest: &str, two_digits: &str) {
    let text = if shortest.contains('.') { shortest } else { two_digits };
    append_scientific(out, text.as_bytes());
}

/// Digits and exponent of `123456.7`, `1e10` or `1.2e-7`, spelled again as `d.dddE±x`.
fn append_scientific(out: &mut Vec<u8>, text: &[u8]) {
    let text = match text.strip_prefix(b"-") {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => text,
    };
    let (mantissa, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], small_number(&text[at + 1..])),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let mut digits = [0u8; 40];
    let mut count = 0;
    for byte in mantissa.iter().filter(|byte| **byte != b'.') {
        if let Some(place) = digits.get_mut(count) {
            *place = *byte;
            count += 1;
        }
    }
    let leading = digits[..count].iter().take_while(|byte| **byte == b'0').count();
    let significant = &digits[leading..count];
    let trailing = significant.iter().rev().take_while(|byte| **byte == b'0').count();
    let significant = &significant[..significant.len() - trailing];
    let Some((first, rest)) = significant.split_first() else {
        out.extend_from_slice(b"0.0");
        return;
    };
    out.extend_from_slice(&[*first, b'.']);
    out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
    out.push(b'E');
    let exponent = exponent + point as i32 - 1 - leading as i32;
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

fn small_number(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number =
        digits.iter().take(5).fold(0, |sum, byte| sum * 10 + i32::from(byte.wrapping_sub(b'0') % 10));
    if negative { -number } else { number }
}

// ---- text to values -------------------------------------------------------------------------

/// Exactly `N` digits.
fn fixed<const N: usize>(text: &[u8], at: usize) -> Option<u32> {
    let bytes: &[u8; N] = text.get(at..at + N)?.try_into().ok()?;
    let mut number = 0u32;
    let mut bad = 0u8;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        bad |= u8::from(digit > 9);
        number = number * 10 + u32::from(digit & 15);
    }
    (bad == 0).then_some(number)
}

/// Digits of a fraction as nanoseconds: 0 to 9 of them.
fn fraction_nanos(digits: &[u8]) -> Option<u32> {
    if digits.len() > 9 {
        return None;
    }
    let mut nanos = 0u32;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        nanos = nanos * 10 + u32::from(digit);
    }
    const PLACES: [u32; 10] =
        [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    nanos.checked_mul(PLACES[digits.len()])
}

/// `yyyy-MM-dd` of a date that exists, as days since 1970-01-01.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let (year, month, day) = date_parts(text)?;
    if text.len() != 10 || day > days_in_month(year.into(), month) {
        return None;
    }
    i32::try_from(days_from_civil(year.into(), month, day)).ok()
}

/// The first ten bytes as year, month 1 to 12 and day 1 to 31.
fn date_parts(text: &[u8]) -> Option<(u32, u32, u32)> {
    if text.len() < 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (fixed::<4>(text, 0)?, fixed::<2>(text, 5)?, fixed::<2>(text, 8)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
}

/// Second of the day and nanoseconds of `HH:mm:ss[.fffffffff]`; `HH:mm` too if seconds may be missing.
fn clock_parts(text: &[u8], seconds_optional: bool) -> Option<(u32, u32)> {
    let (hour, minute) = (fixed::<2>(text, 0)?, fixed::<2>(text, 3)?);
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    if seconds_optional && text.len() == 5 {
        return Some((hour * 3600 + minute * 60, 0));
    }
    let second = fixed::<2>(text, 6)?;
    if text[5] != b':' || second > 59 {
        return None;
    }
    let nanos = match text.get(8..)? {
        [] => 0,
        [b'.', digits @ ..] => fraction_nanos(digits)?,
        _ => return None,
    };
    Some((hour * 3600 + minute * 60 + second, nanos))
}

/// `HH:mm:ss[.fffffffff]` (or `HH:mm`), as milliseconds of the day; finer digits are dropped.
pub fn parse_time(text: &[u8]) -> Option<i32> {
    let (second, nanos) = clock_parts(text, true)?;
    i32::try_from(second * 1000 + nanos / 1_000_000).ok()
}

/// `yyyy-MM-dd` + `separator` + `HH:mm:ss[.fffffffff]`, as a count of `unit` since the epoch;
/// finer digits are dropped. With separator `T` the seconds may be missing, as in ISO-8601.
/// `zulu` asks for a trailing `Z` (TIMESTAMP_LTZ); without it there must be none.
///
/// As in Flink, days 29 to 31 of a shorter month mean its last day. A value outside the
/// range of the unit is `None`.
pub fn parse_timestamp(text: &[u8], unit: TimeUnit, separator: u8, zulu: bool) -> Option<i64> {
    let text = if zulu { text.strip_suffix(b"Z")? } else { text };
    let (year, month, day) = date_parts(text)?;
    if text.get(10) != Some(&separator) {
        return None;
    }
    let day = if day > 28 { day.min(days_in_month(year.into(), month)) } else { day };
    let (second, nanos) = clock_parts(&text[11..], separator == b'T')?;
    let seconds = days_from_civil(year.into(), month, day) * DAY_SECONDS + i64::from(second);
    timestamp_of(seconds, nanos, unit)
}

/// Seconds and nanoseconds in a unit, unless it doesn't fit.
pub fn timestamp_of(seconds: i64, nanos: u32, unit: TimeUnit) -> Option<i64> {
    let per_second = TimestampUnit::per_second(unit);
    let fraction = i64::from(nanos) / (1_000_000_000 / per_second);
    seconds.checked_mul(per_second)?.checked_add(fraction)
}

/// A decimal number (`-12.5`, `.5`, `5.`, `1.2e3`) as the unscaled value of a
/// `DECIMAL(precision, scale)`, rounded half up; `None` if it is malformed or doesn't fit.
pub fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (magnitude, places, dropped_half) = match short_decimal(rest) {
        Some((magnitude, places)) => (i128::from(magnitude), places, false),
        None => long_decimal(rest)?,
    };
    // With fewer places than kept, the digits that were dropped can't change the rounding.
    let carry = i128::from(dropped_half && places == i32::from(scale));
    let unscaled = rescale(magnitude, places, i32::from(scale))? + carry;
    let limit = POWERS_OF_TEN.get(usize::from(precision))?;
    (unscaled < *limit).then_some(if negative { -unscaled } else { unscaled })
}

/// Up to 18 digits with at most one point: digits and how many stand behind the point.
fn short_decimal(text: &[u8]) -> Option<(u64, i32)> {
    if text.len() > 18 {
        return None;
    }
    let (mut number, mut digits, mut point) = (0u64, 0, None);
    for (at, byte) in text.iter().enumerate() {
        match byte.wrapping_sub(b'0') {
            digit @ 0..=9 => {
                number = number * 10 + u64::from(digit);
                digits += 1;
            }
            _ if *byte == b'.' && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let places = point.map_or(0, |at| text.len() - at - 1);
    (digits > 0).then_some((number, places as i32))
}

/// Any number of digits, an exponent. Digits past the 38th significant one are dropped; the
/// flag tells whether they are at least half of the last one kept.
fn long_decimal(text: &[u8]) -> Option<(i128, i32, bool)> {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (mut number, mut places, mut digits, mut behind, mut dropped) = (0i128, 0i32, 0, false, 0i32);
    let mut dropped_half = false;
    for byte in mantissa {
        match byte.wrapping_sub(b'0') {
            digit @ 0..=9 => {
                digits += 1;
                if number < POWERS_OF_TEN[37] && dropped == 0 {
                    number = number * 10 + i128::from(digit);
                    places += i32::from(behind);
                } else {
                    dropped_half |= dropped == 0 && digit >= 5;
                    dropped += 1;
                    places += i32::from(behind);
                }
            }
            _ if *byte == b'.' && !behind => behind = true,
            _ => return None,
        }
    }
    (digits > 0).then_some((number, places - dropped - exponent, dropped_half))
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let fine = (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fine.then(|| small_number(text))
}

/// A non-negative number of `from` decimal places with `to` places instead, rounded half up.
fn rescale(magnitude: i128, from: i32, to: i32) -> Option<i128> {
    let shift = i64::from(to) - i64::from(from);
    if shift >= 0 {
        if magnitude == 0 {
            return Some(0);
        }
        return magnitude.checked_mul(*POWERS_OF_TEN.get(usize::try_from(shift).ok()?)?);
    }
    let Some(divisor) = usize::try_from(-shift).ok().and_then(|it| POWERS_OF_TEN.get(it)) else {
        return Some(0);
    };
    Some(magnitude / divisor + i128::from(magnitude % divisor >= divisor / 2))
}

/// 10⁰ to 10³⁸.
pub const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_as_java_spells_them() {
        let spelled = |value: f64| text(|out| append_double(out, value));
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1.234e-5, "1.234E-5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (-1.5e300, "-1.5E300"),
            (2e23, "2.0E23"),
            (5e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(spelled(value), expected);
        }
        assert_eq!(text(|out| append_float(out, 1.1)), "1.1");
        assert_eq!(text(|out| append_float(out, 1e10)), "1.0E10");
        assert_eq!(text(|out| append_float(out, 1e-45)), "1.4E-45");
    }

    #[test]
    fn decimals_have_exactly_their_scale() {
        let spelled = |value, scale| text(|out| append_decimal(out, value, scale));
        assert_eq!(spelled(-5, 2), "-0.05");
        assert_eq!(spelled(150, 2), "1.50");
        assert_eq!(spelled(0, 3), "0.000");
        assert_eq!(spelled(-7, 0), "-7");
        assert_eq!(spelled(POWERS_OF_TEN[38] - 1, 38), format!("0.{}", "9".repeat(38)));
    }

    #[test]
    fn decimals_from_text() {
        for (text, expected) in [
            ("12.345", Some(1235)),
            ("-12.345", Some(-1235)),
            ("12.344", Some(1234)),
            ("1e1", Some(1000)),
            (".5", Some(50)),
            ("5.", Some(500)),
            ("0.00000000000000000000000000000000000000000000001", Some(0)),
            ("0e9999", Some(0)),
            ("1234", None),
            ("1.2.3", None),
            (".", None),
            ("", None),
            ("1e", None),
            ("1e99999", None),
        ] {
            assert_eq!(parse_decimal(text.as_bytes(), 4, 2), expected, "{text}");
        }
        let most = "99999999999999999999999999999999999999";
        assert_eq!(parse_decimal(most.as_bytes(), 38, 0), Some(POWERS_OF_TEN[38] - 1));
        assert_eq!(
            parse_decimal(b"12345678901234567890123456789012345678.9", 38, 0),
            Some(12345678901234567890123456789012345679)
        );
    }

    #[test]
    fn timestamps_there_and_back() {
        let ms = TimeUnit::Millisecond;
        for spelled in ["2026-01-31 23:59:59.123", "0001-01-01 00:00:00.000", "1969-12-31 23:59:59.999"] {
            let value = parse_timestamp(spelled.as_bytes(), ms, b' ', false).unwrap();
            assert_eq!(text(|out| append_timestamp(out, value, ms, 3, b' ')), spelled);
        }
        assert_eq!(
            parse_timestamp(b"1970-01-01T00:00:01.5Z", TimeUnit::Microsecond, b'T', true),
            Some(1_500_000)
        );
        assert_eq!(parse_timestamp(b"1970-01-01T00:01", ms, b'T', false), Some(60_000));
        let shortened = parse_timestamp(b"2024-02-30 10:00:00", ms, b' ', false).unwrap();
        assert_eq!(text(|out| append_timestamp(out, shortened, ms, 0, b'T')), "2024-02-29T10:00:00");
        for bad in [
            "2024-13-01 00:00:00",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 24:00:00",
            "2024-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(bad.as_bytes(), ms, b' ', false), None, "{bad}");
        }
        assert_eq!(parse_timestamp(b"9999-01-01 00:00:00", TimeUnit::Nanosecond, b' ', false), None);
    }

    #[test]
    fn dates_and_times_there_and_back() {
        for days in (-1_000_000..1_000_000).step_by(997) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(parse_date(b"2024-02-29"), Some(19_782));
        assert_eq!(parse_date(b"2023-02-29"), None);
        assert_eq!(text(|out| append_date(out, 19_782)), "2024-02-29");
        assert_eq!(parse_time(b"12:34:56.7"), Some(45_296_700));
        assert_eq!(text(|out| append_time(out, 45_296_700, 3)), "12:34:56.7");
        assert_eq!(text(|out| append_time(out, 45_296_700, 0)), "12:34:56");
        assert_eq!(add_months(19_753, 1), 19_782); // 31 January + 1 month
    }
}
