//! Time zones as Java's `TimeZone.getTimeZone` names them.
//!
//! | name | zone |
//! |---|---|
//! | `Europe/Berlin` | of the tz database, spelled exactly so |
//! | `GMT+8`, `GMT-08:30`, `GMT+0830` | that far from UTC: up to 23 hours and 59 minutes |
//! | `PST`, `CTT` … | short names of old |
//! | anything else | UTC |

use chrono_tz::Tz;

use crate::zone;

/// A zone, and how far it is from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JavaZone {
    Named(Tz),
    /// Seconds ahead of UTC.
    Fixed(i64),
}

impl JavaZone {
    pub(crate) fn of(name: &str) -> Self {
        let short = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
        if let Some(seconds) = short.strip_prefix("GMT").and_then(counted) {
            return Self::Fixed(seconds);
        }
        Self::Named(short.parse().unwrap_or(Tz::UTC))
    }

    /// Seconds ahead of UTC at this instant.
    pub(crate) fn offset_at(self, seconds: i64) -> i64 {
        match self {
            Self::Named(zone) => zone::offset_at(zone, seconds),
            Self::Fixed(offset) => offset,
        }
    }

    /// Seconds ahead of UTC when clocks show this.
    pub(crate) fn offset_at_local(self, seconds: i64) -> i64 {
        match self {
            Self::Named(zone) => zone::offset_at_local(zone, seconds),
            Self::Fixed(offset) => offset,
        }
    }
}

/// Seconds of `+8`, `-08:30`, `+0830`, `+830`.
fn counted(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), _) if minutes.len() == 2 => (hours, minutes),
        (None, 1 | 2) => (digits, "0"),
        (None, 3 | 4) => digits.split_at_checked(digits.len() - 2)?,
        _ => return None,
    };
    let number = |text: &str| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        if plain { text.parse::<i64>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// The short names, sorted.
const SHORT: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "GMT-5"),
    ("HST", "GMT-10"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "GMT-7"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_java_reads_them() {
        for (name, hours) in [("GMT+8", 8.0), ("GMT-8:30", -8.5), ("GMT+0830", 8.5), ("GMT+830", 8.5)] {
            assert_eq!(JavaZone::of(name).offset_at(0) as f64 / 3600.0, hours, "{name}");
        }
        for nothing in ["UTC+8", "+08:00", "GMT+24", "GMT+23:60", "asia/shanghai", "GMT+8:3", "GMT+"] {
            assert_eq!(JavaZone::of(nothing).offset_at(0), 0, "{nothing}");
        }
        assert_eq!(JavaZone::of("PST"), JavaZone::Named(Tz::America__Los_Angeles));
        assert!(SHORT.iter().all(|(short, _)| JavaZone::of(short).offset_at(0) != 0));
    }
}
