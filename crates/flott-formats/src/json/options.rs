//! The options of the `json` format, with Flink's names and defaults, and of `changelog-json`, which
//! has the same under its own prefix.

use flott_connector::{OptionDef, OptionKind};
use flott_types::{Diagnostic, Options, Result};

/// The options of a format with this prefix: those named first, the ones all formats of JSON have, and the
/// rest.
macro_rules! json_options {
    ($prefix:literal, [$($first:expr),*], [$($last:expr),*]) => {
        &[
            $($first,)*
            OptionDef::optional(
                concat!($prefix, ".ignore-parse-errors"),
                OptionKind::Boolean,
                "false",
                "Whether a value that doesn't fit its type becomes NULL and a record that isn't JSON is skipped.",
            ),
            OptionDef::optional(
                concat!($prefix, ".timestamp-format.standard"),
                OptionKind::OneOf(&["SQL", "ISO-8601"]),
                "SQL",
                "How timestamps are written: `2026-01-31 23:59:59.123` or `2026-01-31T23:59:59.123`; \
                 TIMESTAMP_LTZ with a `Z` behind it.",
            ),
            OptionDef::optional(
                concat!($prefix, ".map-null-key.mode"),
                OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
                "FAIL",
                concat!(
                    "What is written for a map entry whose key is NULL: an error, nothing, or the key of `",
                    $prefix,
                    ".map-null-key.literal`."
                ),
            ),
            OptionDef::optional(
                concat!($prefix, ".map-null-key.literal"),
                OptionKind::Text,
                "null",
                concat!("The key written instead of NULL when `", $prefix, ".map-null-key.mode` is LITERAL."),
            ),
            OptionDef::optional(
                concat!($prefix, ".encode.decimal-as-plain-number"),
                OptionKind::Boolean,
                "false",
                "Whether a DECIMAL is written with all its digits (0.000000027) instead of 2.7E-8.",
            ),
            OptionDef::optional(
                concat!($prefix, ".encode.ignore-null-fields"),
                OptionKind::Boolean,
                "false",
                "Whether fields that are NULL are left out.",
            ),
            $($last,)*
        ]
    };
}
pub(crate) use json_options;

/// What only formats have whose records are rows.
macro_rules! missing_fields {
    ($prefix:literal) => {
        OptionDef::optional(
            concat!($prefix, ".fail-on-missing-field"),
            OptionKind::Boolean,
            "false",
            "Whether a record that lacks a field is rejected. Otherwise the field is NULL.",
        )
    };
}

macro_rules! json_parser {
    ($prefix:literal) => {
        OptionDef::optional(
            concat!($prefix, ".decode.json-parser.enabled"),
            OptionKind::Boolean,
            "true",
            "Accepted for compatibility; Flott has one JSON reader.",
        )
    };
}

/// The options of `json`.
pub(crate) const OPTIONS: &[OptionDef] =
    json_options!("json", [missing_fields!("json")], [json_parser!("json")]);

/// The options of `changelog-json`.
pub(crate) const CHANGELOG_OPTIONS: &[OptionDef] = json_options!(
    "changelog-json",
    [missing_fields!("changelog-json")],
    [
        json_parser!("changelog-json"),
        OptionDef::optional(
            CHANGELOG_MODE,
            OptionKind::OneOf(&["retract", "upsert"]),
            "retract",
            "What records say of a change: `retract` also what the row was before (`-U`); `upsert`, for tables \
             with a PRIMARY KEY, only what it is now, and a `-D` needs no more than the key.",
        )
    ]
);

/// Whether records say what a row was before a change.
pub(crate) const CHANGELOG_MODE: &str = "changelog-json.mode";

/// What happens to a map entry whose key is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NullKey {
    Fail,
    Drop,
    Literal(String),
}

/// The options, read.
#[derive(Debug, Clone)]
pub(crate) struct JsonOptions {
    pub fail_on_missing_field: bool,
    pub ignore_parse_errors: bool,
    /// Between date and time.
    pub separator: u8,
    pub null_key: NullKey,
    pub plain_decimals: bool,
    pub ignore_null_fields: bool,
}

impl JsonOptions {
    /// Reads the options of a table; their keys begin with the prefix.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn of(options: &Options, prefix: &str) -> Result<Self> {
        let key = |name: &str| format!("{prefix}.{name}");
        let separator = options.parsed(&key("timestamp-format.standard"), |text| match text {
            "SQL" => Ok(b' '),
            "ISO-8601" => Ok(b'T'),
            _ => Err("expected one of SQL, ISO-8601".into()),
        })?;
        let literal = options.get(&key("map-null-key.literal")).unwrap_or("null").to_string();
        let null_key =
            options.parsed(&key("map-null-key.mode"), |text| match text.to_ascii_uppercase().as_str() {
                "FAIL" => Ok(NullKey::Fail),
                "DROP" => Ok(NullKey::Drop),
                "LITERAL" => Ok(NullKey::Literal(literal.clone())),
                _ => Err("expected one of FAIL, DROP, LITERAL".into()),
            })?;
        let flag = |name: &str| Ok::<_, Box<Diagnostic>>(options.boolean(&key(name))?.unwrap_or(false));
        Ok(Self {
            fail_on_missing_field: flag("fail-on-missing-field")?,
            ignore_parse_errors: flag("ignore-parse-errors")?,
            separator: separator.unwrap_or(b' '),
            null_key: null_key.unwrap_or(NullKey::Fail),
            plain_decimals: flag("encode.decimal-as-plain-number")?,
            ignore_null_fields: flag("encode.ignore-null-fields")?,
        })
    }
}
