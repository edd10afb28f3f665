//! What options exist: one list serves validation, `flott list options` and the documentation.

use std::fmt;

use flott_types::{Code, Diagnostic, Options, Result, parse_boolean, parse_duration, parse_memory_size};

/// How an option's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// One character (Java escapes such as `\t` allowed).
    Character,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A duration such as `10 s`.
    Duration,
    /// A size such as `128 mb`.
    MemorySize,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for OptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionKind::Text => f.write_str("text"),
            OptionKind::Character => f.write_str("character"),
            OptionKind::Boolean => f.write_str("boolean"),
            OptionKind::Integer => f.write_str("integer"),
            OptionKind::Number => f.write_str("number"),
            OptionKind::Duration => f.write_str("duration"),
            OptionKind::MemorySize => f.write_str("size"),
            OptionKind::OneOf(words) => f.write_str(&words.join(" | ")),
        }
    }
}

/// One option. A key ending in `.*` or containing `.#.` stands for a family
/// (`fields.#.min`: `#` is any one name).
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// The key.
    pub key: &'static str,
    /// How the value is written.
    pub kind: OptionKind,
    /// Whether it must be given.
    pub required: bool,
    /// The value when not given, as text; empty: none.
    pub default: &'static str,
    /// One or two sentences.
    pub doc: &'static str,
}

impl OptionDef {
    /// An option that may be left out.
    pub const fn optional(
        key: &'static str,
        kind: OptionKind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { key, kind, required: false, default, doc }
    }
    /// An option that must be given.
    pub const fn required(key: &'static str, kind: OptionKind, doc: &'static str) -> Self {
        Self { key, kind, required: true, default: "", doc }
    }
    /// Whether this definition covers the key.
    pub fn matches(&self, key: &str) -> bool {
        if let Some((before, after)) = self.key.split_once('#') {
            return key.len() > before.len() + after.len() && key.starts_with(before) && key.ends_with(after);
        }
        match self.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => self.key == key,
        }
    }
}

/// Which command lists a table's options.
fn where_options_are(options: &Options) -> String {
    let connector = options.get("connector").unwrap_or("NAME");
    match options.get("format") {
        Some(format) => {
            format!("`flott list connectors {connector}` and `flott list formats {format}` show all options")
        }
        None => format!("`flott list connectors {connector}` shows all options"),
    }
}

/// Checks a table's options against what its connector and formats know.
///
/// Every problem is reported: unknown keys (with "did you mean"), malformed values, missing keys.
pub fn check_options(
    owner: &str,
    options: &Options,
    known: &[&OptionDef],
    errors: &mut Vec<Box<Diagnostic>>,
) {
    for (key, entry) in options.iter() {
        let Some(def) = known.iter().find(|def| def.matches(key)) else {
            errors.push(
                Diagnostic::error(Code::UnknownOption, format!("{owner} has no option '{key}'"))
                    .at(entry.key_span)
                    .did_you_mean(key, known.iter().map(|def| def.key))
                    .help(where_options_are(options)),
            );
            continue;
        };
        if let Err(error) = check_value(options, key, def) {
            errors.push(error);
        }
    }
    for def in known.iter().filter(|def| def.required && options.get(def.key).is_none()) {
        errors.push(
            Diagnostic::error(Code::MissingOption, format!("{owner} needs the option '{}'", def.key))
                .help(def.doc),
        );
    }
}

fn check_value(options: &Options, key: &str, def: &OptionDef) -> Result<()> {
    let check = |text: &str| -> Result<(), String> {
        match def.kind {
            OptionKind::Text | OptionKind::Character => Ok(()),
            OptionKind::Boolean => parse_boolean(text).map(drop),
            OptionKind::Integer => {
                text.trim().parse::<i64>().map(drop).map_err(|_| "expected a whole number".into())
            }
            OptionKind::Number => {
                text.trim().parse::<f64>().map(drop).map_err(|_| "expected a number".into())
            }
            OptionKind::Duration => parse_duration(text).map(drop),
            OptionKind::MemorySize => parse_memory_size(text).map(drop),
            OptionKind::OneOf(words) if words.iter().any(|word| word.eq_ignore_ascii_case(text)) => Ok(()),
            OptionKind::OneOf(words) => Err(format!("expected one of {}", words.join(", "))),
        }
    };
    let meant = |error: Box<Diagnostic>| match def.kind {
        OptionKind::OneOf(words) => match options.get(key).and_then(|text| word_meant(text, words)) {
            Some(word) => error.help(format!("did you mean '{word}'?")),
            None => error,
        },
        _ => error,
    };
    options.parsed(key, check).map(drop).map_err(meant)
}

/// The word that is nearly this one, or the only one that begins with it: 'earliest' is 'earliest-offset'.
fn word_meant(text: &str, words: &[&'static str]) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    let mut begun =
        words.iter().filter(|word| !text.is_empty() && word.to_ascii_lowercase().starts_with(&text));
    let only = begun.next().filter(|_| begun.next().is_none()).copied();
    only.or_else(|| flott_types::closest(&text, words.iter().copied()))
}
