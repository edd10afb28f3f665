//! Patterns of letters for dates and times (`yyyy-MM-dd HH:mm:ss.SSS`), compiled once.
//!
//! Flink uses two of Java's classes, which read some letters differently and differ in strictness:
//!
//! | | [`Style::Formatter`] (`java.time`) | [`Style::Simple`] (`SimpleDateFormat`) |
//! |---|---|---|
//! | used by | DATE_FORMAT, TO_TIMESTAMP | FROM_UNIXTIME, UNIX_TIMESTAMP, TO_DATE with a pattern, CONVERT_TZ |
//! | `u` | year | day of the week from Monday |
//! | `S` | digits of the fraction | milliseconds |
//! | 2024-02-31 | 2024-02-29 | 2024-03-02 |
//! | trailing text | refused | ignored |

use super::calendar::{
    Civil, NANOS_PER_SECOND, SECONDS_PER_DAY, civil, day_of_week, days_of, iso_day_of_week, month_length,
    us_week,
};
use crate::EvalError;

/// Which of Java's classes the pattern is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `java.time.format.DateTimeFormatter`
    Formatter,
    /// `java.text.SimpleDateFormat`
    Simple,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    style: Style,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A letter and how often it stands in a row.
    Field(char, usize),
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a text said.
#[derive(Debug, Default, Clone)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    weekday: Option<i64>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    nanos: i64,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A letter that means nothing, or that we don't know yet.
    pub(super) fn new(text: &str, style: Style) -> Result<Self, EvalError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let literal = |c: char, pieces: &mut Vec<Piece>| match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => pieces.push(Piece::Text(c.to_string())),
        };
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                if chars.next_if_eq(&'\'').is_some() {
                    literal('\'', &mut pieces);
                    continue;
                }
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal('\'', &mut pieces),
                        Some('\'') => break,
                        Some(c) => literal(c, &mut pieces),
                        None => {
                            return Err(EvalError::new(format!(
                                "a quote isn't closed in the pattern '{text}'"
                            )));
                        }
                    }
                }
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                check_letter(c, style, text)?;
                pieces.push(Piece::Field(c, count));
            } else if style == Style::Formatter && "{}#".contains(c) {
                return Err(EvalError::new(format!("'{c}' is reserved in the date pattern '{text}'")));
            } else if style == Style::Formatter && "[]".contains(c) {
                return Err(EvalError::new(format!("not supported yet: '{c}' in the date pattern '{text}'")));
            } else {
                literal(c, &mut pieces);
            }
        }
        Ok(Self { style, pieces })
    }

    /// Whether the result depends on the date alone.
    pub(super) fn is_date_only(&self) -> bool {
        self.pieces.iter().all(|it| match it {
            Piece::Text(_) => true,
            Piece::Field(c, _) => "yuMLdDEecQqwYWFG".contains(*c),
        })
    }

    /// Appends the day and the nanosecond of the day. `offset`: seconds ahead of UTC, where known.
    ///
    /// # Errors
    /// The pattern asks for a time zone and there is none.
    pub(super) fn format(
        &self,
        days: i64,
        nanos: i64,
        offset: Option<i64>,
        out: &mut String,
    ) -> Result<(), EvalError> {
        let date = civil(days);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => match text.as_bytes() {
                    [byte] => out.push(char::from(*byte)),
                    _ => out.push_str(text),
                },
                Piece::Field(letter, count) => {
                    let simple = self.style == Style::Simple;
                    match letter {
                        'y' | 'u' if !(simple && *letter == 'u') => push_year(date.year, *count, simple, out),
                        'Y' => push_year(us_week(days).0, *count, simple, out),
                        'M' | 'L' => push_month(date.month, *count, out),
                        'E' => push_name(WEEKDAYS[(day_of_week(days) - 1) as usize], (*count).max(3), out),
                        'e' | 'c' if *count > 2 => {
                            push_name(WEEKDAYS[(day_of_week(days) - 1) as usize], *count, out);
                        }
                        'Q' | 'q' => push_quarter((date.month - 1) / 3 + 1, *count, out),
                        'a' => out.push_str(if nanos < SECONDS_PER_DAY / 2 * NANOS_PER_SECOND {
                            "AM"
                        } else {
                            "PM"
                        }),
                        'G' => out.push_str(if date.year > 0 { "AD" } else { "BC" }),
                        'S' if !simple => push_fraction(nanos % NANOS_PER_SECOND, *count, out),
                        'X' | 'x' | 'Z' | 'z' | 'V' | 'O' => push_zone(*letter, *count, offset, out)?,
                        _ => push_number(number(*letter, simple, days, date, nanos), *count, out),
                    }
                }
            }
        }
        Ok(())
    }

    /// The day and the nanosecond of the day that the text spells; `None` if it doesn't fit.
    pub(super) fn parse(&self, text: &str) -> Option<(i64, i64)> {
        let mut rest = text;
        let mut parsed = Parsed::default();
        for (i, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Piece::Field(letter, count) => {
                    let reserved = self.reserved_after(i);
                    rest = self.parse_field(*letter, *count, reserved, rest, &mut parsed)?;
                }
            }
        }
        match self.style {
            Style::Formatter if rest.is_empty() => parsed.resolve(),
            Style::Formatter => None,
            Style::Simple => Some(parsed.roll_over()),
        }
    }

    /// How many digits the numbers that follow without a gap need: a number leaves them alone.
    fn reserved_after(&self, at: usize) -> Option<usize> {
        let following = self.pieces.iter().skip(at + 1).map_while(|it| match it {
            Piece::Field(letter, count) if is_numeric(*letter, *count) => Some(*count),
            _ => None,
        });
        let (mut any, mut total) = (false, 0);
        for count in following {
            any = true;
            total += count;
        }
        any.then_some(total)
    }

    fn parse_field<'a>(
        &self,
        letter: char,
        count: usize,
        reserved: Option<usize>,
        text: &'a str,
        parsed: &mut Parsed,
    ) -> Option<&'a str> {
        let simple = self.style == Style::Simple;
        match letter {
            'M' | 'L' if count > 2 => {
                let (index, rest) = name_at(&MONTHS, count, simple, text)?;
                parsed.month = Some(index + 1);
                return Some(rest);
            }
            'E' => {
                let (index, rest) = name_at(&WEEKDAYS, count.max(3), simple, text)?;
                parsed.weekday = Some(index + 1);
                return Some(rest);
            }
            'a' => {
                let head = text.get(..2)?;
                parsed.afternoon = Some(match head {
                    "AM" => false,
                    "PM" => true,
                    _ if simple && head.eq_ignore_ascii_case("am") => false,
                    _ if simple && head.eq_ignore_ascii_case("pm") => true,
                    _ => return None,
                });
                return text.get(2..);
            }
            'G' => return text.strip_prefix("AD"),
            'X' | 'x' | 'Z' | 'z' | 'V' | 'O' => return after_zone(text),
            _ => {}
        }
        let text = if simple { text.trim_start_matches(' ') } else { text };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let width = self.width_of(letter, count, reserved, digits)?;
        let (value, rest) = (text.get(..width)?, text.get(width..)?);
        let number: i64 = value.parse().ok()?;
        match letter {
            'y' | 'u' if count == 2 && width == 2 => parsed.year = Some(2_000 + number),
            'y' | 'u' => parsed.year = Some(number),
            'M' | 'L' => parsed.month = Some(number),
            'd' => parsed.day = Some(number),
            'D' => parsed.day_of_year = Some(number),
            'H' => parsed.hour = Some(number),
            'k' => parsed.hour = Some(number % 24),
            'h' if simple || (1..=12).contains(&number) => parsed.half_day_hour = Some(number % 12),
            'K' => parsed.half_day_hour = Some(number),
            'm' => parsed.minute = number,
            's' => parsed.second = number,
            'S' if simple => parsed.nanos = number.checked_mul(1_000_000)?,
            'S' => {
                parsed.nanos =
                    number * 10_i64.checked_pow(u32::try_from(9_usize.checked_sub(width)?).ok()?)?
            }
            'n' => parsed.nanos = Some(number).filter(|it| *it < NANOS_PER_SECOND)?,
            _ => return None,
        }
        Some(rest)
    }

    /// How many of the digits at hand belong to the number.
    fn width_of(&self, letter: char, count: usize, reserved: Option<usize>, digits: usize) -> Option<usize> {
        let year = matches!(letter, 'y' | 'u');
        let width = match (self.style, reserved) {
            (_, Some(reserved)) if year && count != 2 => digits.checked_sub(reserved)?.min(19).max(count),
            (_, Some(_)) => count,
            (Style::Simple, None) => digits,
            (Style::Formatter, None) if count == 1 || letter == 'n' => digits,
            // More digits than asked for would need a sign.
            (Style::Formatter, None) if year && count > 2 && digits > count => return None,
            (Style::Formatter, None) => count,
        };
        (width > 0 && width <= digits && width <= 18).then_some(width)
    }
}

impl Parsed {
    fn hour(&self) -> Option<i64> {
        match (self.hour, self.half_day_hour, self.afternoon) {
            (Some(hour), ..) => Some(hour),
            (None, Some(hour), Some(afternoon)) => Some(hour + if afternoon { 12 } else { 0 }),
            _ => None,
        }
    }

    fn nanos_of_day(&self, hour: i64) -> i64 {
        ((hour * 60 + self.minute) * 60 + self.second) * NANOS_PER_SECOND + self.nanos
    }

    /// Values must be possible; a day after the end of its month becomes the month's last.
    fn resolve(&self) -> Option<(i64, i64)> {
        let fits = |value: i64, low: i64, high: i64| (low..=high).contains(&value);
        let (hour, year) = (self.hour().unwrap_or(0), self.year.unwrap_or(1970));
        if !fits(hour, 0, 24)
            || !fits(self.minute, 0, 59)
            || !fits(self.second, 0, 59)
            || !fits(year, 1, 9_999)
        {
            return None;
        }
        // 24:00 is the end of a day, whose date stays as it is.
        let midnight = hour == 24 && self.nanos_of_day(0) == 0;
        if hour == 24 && !midnight {
            return None;
        }
        let days = if let Some(day) = self.day_of_year {
            fits(day, 1, 366).then(|| days_of(year, 1, day))?
        } else {
            let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
            if !fits(month, 1, 12) || !fits(day, 1, 31) {
                return None;
            }
            days_of(year, month, day.min(month_length(year, month)))
        };
        if self.weekday.is_some_and(|it| it != day_of_week(days)) {
            return None;
        }
        Some((days, self.nanos_of_day(if midnight { 0 } else { hour })))
    }

    /// Whatever is too large counts on into the next larger unit.
    fn roll_over(&self) -> (i64, i64) {
        let limited = |it: Option<i64>, default: i64| it.unwrap_or(default).clamp(-100_000, 100_000);
        let (year, month) = (limited(self.year, 1970), limited(self.month, 1));
        let days = match self.day_of_year {
            Some(day) if self.day.is_none() => days_of(year, 1, day.min(100_000)),
            _ => days_of(year, month, limited(self.day, 1)),
        };
        let hour = limited(self.hour().or(self.half_day_hour), 0);
        let seconds = (hour * 60 + self.minute.min(1_000_000)) * 60 + self.second.min(100_000_000);
        let nanos = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanos);
        let day = i128::from(SECONDS_PER_DAY * NANOS_PER_SECOND);
        (days + nanos.div_euclid(day) as i64, nanos.rem_euclid(day) as i64)
    }
}

fn check_letter(c: char, style: Style, pattern: &str) -> Result<(), EvalError> {
    let known = match style {
        Style::Formatter => "yuMLdDEecQqwYWFGaHhKkmsSnANXxZzVO",
        Style::Simple => "yMLdDEuwYWFGaHhKkmsSXZz",
    };
    if known.contains(c) {
        return Ok(());
    }
    let unsupported = style == Style::Formatter && "BpvVg".contains(c);
    let what = if unsupported { "not supported yet: the letter" } else { "unknown letter" };
    Err(EvalError::new(format!("{what} '{c}' in the date pattern '{pattern}'")))
}

fn is_numeric(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count < 3,
        _ => "yudDHhKkmsSn".contains(letter),
    }
}

fn number(letter: char, simple: bool, days: i64, date: Civil, nanos: i64) -> i64 {
    let hour = nanos / (3_600 * NANOS_PER_SECOND);
    match letter {
        'd' => date.day,
        'D' => days - days_of(date.year, 1, 1) + 1,
        'H' => hour,
        'h' => (hour + 11) % 12 + 1,
        'K' => hour % 12,
        'k' => (hour + 23) % 24 + 1,
        'm' => nanos / (60 * NANOS_PER_SECOND) % 60,
        's' => nanos / NANOS_PER_SECOND % 60,
        'S' => nanos % NANOS_PER_SECOND / 1_000_000,
        'n' => nanos % NANOS_PER_SECOND,
        'A' => nanos / 1_000_000,
        'N' => nanos,
        'e' | 'c' => day_of_week(days),
        'u' => iso_day_of_week(days),
        'w' => us_week(days).1,
        'W' => (date.day - 1 + day_of_week(days_of(date.year, date.month, 1)) - 1) / 7 + 1,
        'F' if simple => (date.day - 1) / 7 + 1,
        _ => (date.day - 1) % 7 + 1,
    }
}

/// The numbers up to 99, in two digits each.
const TWO_DIGITS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334\
    353637383940414243444546474849505152535455565758596061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

fn push_number(value: i64, width: usize, out: &mut String) {
    let two = |value: usize| TWO_DIGITS.get(2 * value..2 * value + 2).unwrap_or("");
    match (width, usize::try_from(value)) {
        (2, Ok(value @ ..100)) => return out.push_str(two(value)),
        (4, Ok(value @ ..10_000)) => {
            out.push_str(two(value / 100));
            return out.push_str(two(value % 100));
        }
        _ => {}
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    (digits.len()..width).for_each(|_| out.push('0'));
    out.push_str(digits);
}

fn push_year(year: i64, count: usize, simple: bool, out: &mut String) {
    if count == 2 {
        return push_number(year.rem_euclid(100), 2, out);
    }
    if year > 9_999 && count >= 4 && !simple {
        out.push('+');
    }
    if year < 0 {
        out.push('-');
    }
    push_number(year.abs(), count, out);
}

fn push_month(month: i64, count: usize, out: &mut String) {
    match count {
        1 | 2 => push_number(month, count, out),
        _ => push_name(MONTHS[(month - 1) as usize], count, out),
    }
}

/// Three letters: short; four: in full; five: the initial.
fn push_name(name: &str, count: usize, out: &mut String) {
    out.push_str(match count {
        4 => name,
        5 => &name[..1],
        _ => &name[..3],
    });
}

fn push_quarter(quarter: i64, count: usize, out: &mut String) {
    const LONG: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
    match count {
        1 | 2 => push_number(quarter, count, out),
        3 => {
            out.push('Q');
            push_number(quarter, 1, out);
        }
        4 => out.push_str(LONG[(quarter - 1) as usize]),
        _ => push_number(quarter, 1, out),
    }
}

fn push_fraction(mut nanos: i64, count: usize, out: &mut String) {
    if count == 3 {
        return push_number(nanos / 1_000_000, 3, out);
    }
    let mut place = NANOS_PER_SECOND / 10;
    for _ in 0..count.min(9) {
        out.push(char::from(b'0' + (nanos / place) as u8));
        nanos %= place;
        place = (place / 10).max(1);
    }
}

fn push_zone(letter: char, count: usize, offset: Option<i64>, out: &mut String) -> Result<(), EvalError> {
    let Some(offset) = offset else {
        return Err(EvalError::new(format!(
            "the date pattern asks for a time zone ('{letter}') and there is none"
        )));
    };
    if offset == 0 && matches!(letter, 'X' | 'z') {
        out.push_str(if letter == 'X' { "Z" } else { "UTC" });
        return Ok(());
    }
    if letter == 'z' {
        return Err(EvalError::new("not supported yet: the name of a time zone ('z') in a date pattern"));
    }
    out.push(if offset < 0 { '-' } else { '+' });
    push_number(offset.abs() / 3_600, 2, out);
    if letter == 'X' && count == 3 {
        out.push(':');
    }
    if !(letter == 'X' && count == 1) {
        push_number(offset.abs() / 60 % 60, 2, out);
    }
    Ok(())
}

/// The name (short or in full) at the start of the text: its index, and what follows.
fn name_at<'a>(names: &[&str], count: usize, simple: bool, text: &'a str) -> Option<(i64, &'a str)> {
    let starts = |name: &str| {
        let head = text.get(..name.len())?;
        let same = if simple { head.eq_ignore_ascii_case(name) } else { head == name };
        if same { text.get(name.len()..) } else { None }
    };
    for (index, name) in (0..).zip(names) {
        let full = if simple || count == 4 { starts(name) } else { None };
        let short = if simple || count == 3 { starts(&name[..3]) } else { None };
        if let Some(rest) = full.or(short) {
            return Some((index, rest));
        }
    }
    None
}

/// What follows an offset or the name of a time zone: Flink reads it and drops it.
fn after_zone(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-:/_".contains(c))).unwrap_or(text.len());
    if end == 0 { None } else { text.get(end..) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SATURDAY: i64 = 19_756; // 2024-02-03
    const AFTERNOON: i64 = ((14 * 60 + 5) * 60 + 6) * NANOS_PER_SECOND + 789_000_000;

    fn shown(pattern: &str) -> String {
        let mut out = String::new();
        Pattern::new(pattern, Style::Formatter).unwrap().format(SATURDAY, AFTERNOON, None, &mut out).unwrap();
        out
    }

    fn read(pattern: &str, style: Style, text: &str) -> Option<String> {
        let (days, nanos) = Pattern::new(pattern, style).unwrap().parse(text)?;
        let mut out = String::new();
        let show = Pattern::new("yyyy-MM-dd HH:mm:ss.SSS", Style::Formatter).unwrap();
        show.format(days, nanos, None, &mut out).unwrap();
        Some(out)
    }

    #[test]
    fn letters_are_shown() {
        assert_eq!(shown("yyyy-MM-dd HH:mm:ss.SSS"), "2024-02-03 14:05:06.789");
        assert_eq!(shown("yy/M/d h:m:s a"), "24/2/3 2:5:6 PM");
        assert_eq!(shown("EEEE MMMM D w u Q e"), "Saturday February 34 5 2024 1 7");
        assert_eq!(shown("yyyyMMdd'T'HHmmss''"), "20240203T140506'");
        assert_eq!(shown("SSSSSS QQQ EEEEE G F"), "789000 Q1 S AD 3");
        assert!(Pattern::new("bogus", Style::Formatter).is_err());
    }

    #[test]
    fn text_is_read_strictly_by_one_style() {
        let read = |pattern, text| read(pattern, Style::Formatter, text);
        assert_eq!(read("dd/MM/yyyy HH:mm", "03/02/2024 04:05").unwrap(), "2024-02-03 04:05:00.000");
        assert_eq!(read("yyyyMMddHHmmssSSS", "20240203040506123").unwrap(), "2024-02-03 04:05:06.123");
        assert_eq!(
            read("yyyy-MM-dd hh:mm:ss a", "2024-12-30 12:00:00 AM").unwrap(),
            "2024-12-30 00:00:00.000"
        );
        assert_eq!(read("yyyy-MM-dd", "2024-02-31").unwrap(), "2024-02-29 00:00:00.000");
        assert_eq!(read("EEE, d MMM yyyy", "Sun, 3 Feb 2024"), None);
        assert_eq!(read("yyyy-MM-dd", "2024-02-03xx"), None);
        assert_eq!(read("yyyy-MM-dd", "10000-02-03"), None);
        assert_eq!(read("H:m", "24:999999999999999999"), None);
        assert_eq!(read("y D", "999999999999999999 1"), None);
        assert_eq!(read("HH:mm", "24:00").unwrap(), "1970-01-01 00:00:00.000");
        assert_eq!(
            read("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-02-03T04:05:06+02:00").unwrap(),
            "2024-02-03 04:05:06.000"
        );
    }

    #[test]
    fn and_generously_by_the_other() {
        let read = |pattern, text| read(pattern, Style::Simple, text);
        assert_eq!(read("yyyy-MM-dd", "2024-02-30 foo").unwrap(), "2024-03-01 00:00:00.000");
        assert_eq!(read("dd.MM.yyyy", "03.02.2024").unwrap(), "2024-02-03 00:00:00.000");
        assert_eq!(read("yyyy-MM-dd HH:mm:ss", "garbage"), None);
        assert!(
            Pattern::new("y M d H m s", Style::Simple)
                .unwrap()
                .parse(&"999999999999999999 ".repeat(6))
                .is_some()
        );
    }
}
