//! The options of the `json` format, with Flink's names and defaults.

use flott_connector::{OptionDef, OptionKind};
use flott_types::{Options, Result};

/// All options.
pub(super) const OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "json.fail-on-missing-field",
        OptionKind::Boolean,
        "false",
        "Whether a record that lacks a field is rejected. Otherwise the field is NULL.",
    ),
    OptionDef::optional(
        "json.ignore-parse-errors",
        OptionKind::Boolean,
        "false",
        "Whether a value that doesn't fit its type becomes NULL and a record that isn't JSON is skipped.",
    ),
    OptionDef::optional(
        "json.timestamp-format.standard",
        OptionKind::OneOf(&["SQL", "ISO-8601"]),
        "SQL",
        "How timestamps are written: `2026-01-31 23:59:59.123` or `2026-01-31T23:59:59.123`; \
         TIMESTAMP_LTZ with a `Z` behind it.",
    ),
    OptionDef::optional(
        "json.map-null-key.mode",
        OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
        "FAIL",
        "What is written for a map entry whose key is NULL: an error, nothing, or the key of `json.map-null-key.literal`.",
    ),
    OptionDef::optional(
        "json.map-null-key.literal",
        OptionKind::Text,
        "null",
        "The key written instead of NULL when `json.map-null-key.mode` is LITERAL.",
    ),
    OptionDef::optional(
        "json.encode.decimal-as-plain-number",
        OptionKind::Boolean,
        "false",
        "Whether a DECIMAL is written with all its digits (0.000000027) instead of 2.7E-8.",
    ),
    OptionDef::optional(
        "json.encode.ignore-null-fields",
        OptionKind::Boolean,
        "false",
        "Whether fields that are NULL are left out.",
    ),
    OptionDef::optional(
        "json.decode.json-parser.enabled",
        OptionKind::Boolean,
        "true",
        "Accepted for compatibility; Flott has one JSON reader.",
    ),
];

/// What happens to a map entry whose key is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NullKey {
    Fail,
    Drop,
    Literal(String),
}

/// The options, read.
#[derive(Debug, Clone)]
pub(super) struct JsonOptions {
    pub fail_on_missing_field: bool,
    pub ignore_parse_errors: bool,
    /// Between date and time.
    pub separator: u8,
    pub null_key: NullKey,
    pub plain_decimals: bool,
    pub ignore_null_fields: bool,
}

impl JsonOptions {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn of(options: &Options) -> Result<Self> {
        let separator = options.parsed("json.timestamp-format.standard", |text| match text {
            "SQL" => Ok(b' '),
            "ISO-8601" => Ok(b'T'),
            _ => Err("expected one of SQL, ISO-8601".into()),
        })?;
        let literal = options.get("json.map-null-key.literal").unwrap_or("null");
        let null_key =
            options.parsed("json.map-null-key.mode", |text| match text.to_ascii_uppercase().as_str() {
                "FAIL" => Ok(NullKey::Fail),
                "DROP" => Ok(NullKey::Drop),
                "LITERAL" => Ok(NullKey::Literal(literal.to_string())),
                _ => Err("expected one of FAIL, DROP, LITERAL".into()),
            })?;
        let flag = |key: &str| Ok::<_, Box<flott_types::Diagnostic>>(options.boolean(key)?.unwrap_or(false));
        Ok(Self {
            fail_on_missing_field: flag("json.fail-on-missing-field")?,
            ignore_parse_errors: flag("json.ignore-parse-errors")?,
            separator: separator.unwrap_or(b' '),
            null_key: null_key.unwrap_or(NullKey::Fail),
            plain_decimals: flag("json.encode.decimal-as-plain-number")?,
            ignore_null_fields: flag("json.encode.ignore-null-fields")?,
        })
    }
}
