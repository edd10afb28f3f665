//! The `csv.*` options, read once.

use flott_types::{Code, Diagnostic, Options, Result};

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; `None` when disabled.
    pub quote: Option<u8>,
    /// Makes the next character ordinary.
    pub escape: Option<u8>,
    /// Lines starting with `#` are comments.
    pub comments: bool,
    /// Bad fields are NULL, bad rows skipped.
    pub ignore_errors: bool,
    /// Between the elements of an ARRAY or ROW.
    pub element_delimiter: Vec<u8>,
    /// What NULL looks like.
    pub null_literal: Option<Vec<u8>>,
    /// DECIMALs may be written as `1E+5`.
    pub scientific: bool,
    /// The first line is a header.
    pub header: bool,
}

impl Settings {
    /// # Errors
    /// `InvalidOption`
    pub fn from_options(options: &Options) -> Result<Self> {
        let flag = |key| Ok::<_, Box<Diagnostic>>(options.boolean(key)?.unwrap_or(false));
        let quote = options.parsed("csv.quote-character", one_character)?;
        let disabled = flag("csv.disable-quote-character")?;
        if disabled && quote.is_some() {
            return Err(Diagnostic::error(
                Code::InvalidOption,
                "'csv.quote-character' contradicts 'csv.disable-quote-character' = 'true'",
            )
            .at(options.span("csv.quote-character")));
        }
        let settings = Settings {
            delimiter: options.parsed("csv.field-delimiter", java_character)?.unwrap_or(b','),
            quote: (!disabled).then(|| quote.unwrap_or(b'"')),
            escape: options.parsed("csv.escape-character", one_character)?,
            comments: flag("csv.allow-comments")?,
            ignore_errors: flag("csv.ignore-parse-errors")?,
            element_delimiter: options.get("csv.array-element-delimiter").unwrap_or(";").into(),
            null_literal: options.get("csv.null-literal").map(Into::into),
            scientific: options.boolean("csv.write-bigdecimal-in-scientific-notation")?.unwrap_or(true),
            header: flag("csv.ignore-first-line")?,
        };
        settings.check_roles(options)?;
        Ok(settings)
    }

    /// Every character has one role at the most.
    fn check_roles(&self, options: &Options) -> Result<()> {
        let clash = |key: &str, what: &str| {
            Err(Diagnostic::error(Code::InvalidOption, format!("option '{key}': {what}"))
                .at(options.span(key)))
        };
        if self.quote == Some(self.delimiter) {
            return clash("csv.field-delimiter", "field delimiter and quote character are the same");
        }
        if self.escape == Some(self.delimiter) || (self.escape.is_some() && self.escape == self.quote) {
            return clash("csv.escape-character", "the character already is the delimiter or the quote");
        }
        if self.element_delimiter.is_empty() {
            return clash("csv.array-element-delimiter", "expected at least one character");
        }
        Ok(())
    }
}

/// One ASCII character that isn't a line break.
fn one_character(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'\n' | b'\r'] => Err("a line break can't have this role".into()),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ if text.chars().count() == 1 => Err("characters outside ASCII are not supported yet here".into()),
        _ => Err("expected a single character".into()),
    }
}

/// One character, perhaps written with a Java escape (`\t`, `\u0001`).
fn java_character(text: &str) -> Result<u8, String> {
    let Some(escaped) = text.strip_prefix('\\').filter(|rest| !rest.is_empty()) else {
        return one_character(text);
    };
    let plain = match escaped {
        "t" => '\t',
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "\\" | "\"" | "'" => escaped.chars().next().unwrap_or('\\'),
        _ => {
            let digits = escaped.trim_start_matches('u');
            let code = (digits.len() < escaped.len() && digits.len() == 4)
                .then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32));
            code.flatten().ok_or_else(|| format!("unknown escape '{text}'"))?
        }
    };
    one_character(plain.encode_utf8(&mut [0; 4]))
}
