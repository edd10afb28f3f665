//! `'key' = 'value'` options: where each was written, and how Flink spells durations and sizes.

use std::{collections::BTreeMap, time::Duration};

use crate::{Code, Diagnostic, Result, Span};

/// An option's value and where key and value stand in the script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionValue {
    /// The value's text.
    pub value: String,
    /// Where the key stands (empty when it came from the command line).
    pub key_span: Span,
    /// Where the value stands.
    pub value_span: Span,
    /// The value came from `${env:…}` or `${file:…}`: never print it.
    pub secret: bool,
}

/// Options by key, in order of key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    entries: BTreeMap<String, OptionValue>,
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets an option; returns the older value.
    pub fn insert(&mut self, key: impl Into<String>, value: OptionValue) -> Option<OptionValue> {
        self.entries.insert(key.into(), value)
    }
    /// Sets an option that stands nowhere in a script.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.entries.insert(key.into(), OptionValue { value: value.into(), ..OptionValue::default() });
    }
    /// Removes an option.
    pub fn remove(&mut self, key: &str) -> Option<OptionValue> {
        self.entries.remove(key)
    }
    /// The options whose keys begin with this prefix, without it; with their places.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Options {
        let stripped = |(key, value): (&String, &OptionValue)| {
            key.strip_prefix(prefix).map(|rest| (rest.to_string(), value.clone()))
        };
        Options { entries: self.entries.iter().filter_map(stripped).collect() }
    }
    /// The text of an option.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|it| it.value.as_str())
    }
    /// The option with its places.
    pub fn entry(&self, key: &str) -> Option<&OptionValue> {
        self.entries.get(key)
    }
    /// All options in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }
    /// Where the option's value stands, for errors about it.
    pub fn span(&self, key: &str) -> Span {
        self.entries.get(key).map_or(Span::default(), |it| it.value_span)
    }
    /// The option read by `parse`, or `None` if it isn't set.
    ///
    /// # Errors
    /// [`Code::InvalidOption`], pointing at the value, with what `parse` says.
    pub fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        parse(&entry.value).map(Some).map_err(|why| {
            let shown = if entry.secret { "******" } else { &entry.value };
            Diagnostic::error(Code::InvalidOption, format!("option '{key}' = '{shown}': {why}"))
                .at(entry.value_span)
        })
    }
    /// A `true`/`false` option.
    ///
    /// # Errors
    /// [`Code::InvalidOption`]
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, parse_boolean)
    }
    /// A duration option such as `10 s`.
    ///
    /// # Errors
    /// [`Code::InvalidOption`]
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.parsed(key, parse_duration)
    }
    /// A size option such as `128 mb`, in bytes.
    ///
    /// # Errors
    /// [`Code::InvalidOption`]
    pub fn memory_size(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, parse_memory_size)
    }
}

/// `true` or `false`, any case, as Flink.
///
/// # Errors
/// What was expected.
pub fn parse_boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected 'true' or 'false'".into()),
    }
}

/// What is wrong with a number and its unit.
enum Malformed {
    NoNumber,
    Fraction,
}

impl Malformed {
    /// In words, with an example of what would be right, and one of a fraction without one.
    fn say(self, example: &str, exact: &str) -> String {
        match self {
            Self::NoNumber => format!("expected {example}"),
            Self::Fraction => format!("only whole numbers are taken: a smaller unit says it, as in {exact}"),
        }
    }
}

fn number_and_unit(text: &str) -> Result<(u64, String), Malformed> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().map_err(|_| Malformed::NoNumber)?;
    if text[digits..].starts_with(['.', ',']) {
        return Err(Malformed::Fraction);
    }
    Ok((number, text[digits..].trim().to_ascii_lowercase()))
}

/// A duration as Flink spells it (`10 s`, `500ms`, `1 h`; without a unit: milliseconds).
///
/// # Errors
/// What was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        number_and_unit(text).map_err(|it| it.say("a duration such as '10 s'", "'1500 ms' for 1.5 s"))?;
    let nanos: u64 = match unit.as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "µs" | "us" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return Err(format!("unknown unit '{unit}'; use ns, us, ms, s, min, h or d")),
    };
    number.checked_mul(nanos).map(Duration::from_nanos).ok_or_else(|| "the duration is too long".into())
}

/// A size as Flink spells it (`128 mb`, `1g`; without a unit: bytes). Units are powers of 1024.
///
/// # Errors
/// What was expected.
pub fn parse_memory_size(text: &str) -> Result<u64, String> {
    let (number, unit) =
        number_and_unit(text).map_err(|it| it.say("a size such as '128 mb'", "'1536 mb' for 1.5 gb"))?;
    let factor: u64 = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gibibytes" => 1 << 30,
        "t" | "tb" | "tebibytes" => 1 << 40,
        _ => return Err(format!("unknown unit '{unit}'; use b, kb, mb, gb or tb")),
    };
    number.checked_mul(factor).ok_or_else(|| "the size is too large".into())
}

/// The candidate that a typo most likely meant: at most a third of the word's letters differ.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let limit = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, distance) in rows[0].iter_mut().enumerate() {
        *distance = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_flink_spells_them() {
        assert_eq!(parse_duration("10 s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_millis(3)));
        assert!(parse_duration("ten seconds").is_err());
        assert!(parse_duration("10 fortnights").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_memory_size("128 mb"), Ok(128 << 20));
        assert_eq!(parse_memory_size("7"), Ok(7));
        assert!(parse_memory_size("1.5 gb").unwrap_err().contains("only whole numbers are taken"));
    }

    #[test]
    fn typos_are_recognised() {
        let known = ["connector", "format", "path"];
        assert_eq!(closest("conector", known), Some("connector"));
        assert_eq!(closest("fromat", known), Some("format"));
        assert_eq!(closest("zzz", known), None);
    }
}
