//! The `json` format: one object a line, read and written as Flink's `json` format does.
//!
//! ```text
//!   bytes ─► scan.rs      where values end (16 bytes at a time)
//!         ─► object.rs    which column a value belongs to (guessing the next key)
//!         ─► column.rs    values into columns (number.rs, text.rs)
//!         ─► plain.rs     records into rows
//!         ─► decoder.rs   rows into batches, rejects, filter
//!
//!   batch ─► encoder.rs ─► bytes      (escape.rs)
//! ```
//!
//! `changelog-json` (changelog.rs) has a row's object in an envelope that says what the row does.
//!
//! Reading takes one pass and builds no tree. A record's outcome doesn't depend on which
//! columns are read, except that only values that are read must fit their type.
//!
//! An array of objects is as many rows. Messages of a log are objects like lines are, but may hold line
//! feeds (flat.rs).
//!
//! Where it differs from Flink on purpose: text behind an object is rejected; of equal keys the last one
//! counts whatever is read; numbers that are too large are rejected, not NULL (DECIMAL) or infinite (FLOAT,
//! DOUBLE); half of a surrogate pair is
//! rejected, not replaced by `?`.

mod changelog;
pub(crate) mod column;
pub(crate) mod decoder;
pub(crate) mod encoder;
mod escape;
pub(crate) mod failure;
mod flat;
mod number;
pub(crate) mod object;
pub(crate) mod options;
mod plain;
mod render;
pub(crate) mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub use changelog::ChangelogJsonFormat;

use flott_connector::{
    Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, ScanRequest,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Options, Result};

/// The `json` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonFormat;

impl Format for JsonFormat {
    fn name(&self) -> &'static str {
        "json"
    }
    fn doc(&self) -> &'static str {
        "One JSON object a line; fields are found by name."
    }
    fn options(&self) -> &'static [OptionDef] {
        options::OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        validate(request, PREFIX, errors);
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Lines)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let options = options::JsonOptions::of(&request.table.options, PREFIX)?;
        let records = plain::PlainRecords::new(scan, &extra)?;
        Ok(Box::new(decoder::JsonDecoder::new(records, &options, scan, extra)))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encoder::JsonEncoder::new(request, PREFIX)?))
    }
}

/// What the keys of the options begin with.
const PREFIX: &str = "json";

/// Looks at options and columns.
#[expect(clippy::vec_box, reason = "diagnostics travel boxed, also in lists")]
pub(crate) fn validate(request: &FormatRequest<'_>, prefix: &str, errors: &mut Vec<Box<Diagnostic>>) {
    if let Err(error) = options::JsonOptions::of(&request.table.options, prefix) {
        errors.push(error);
    }
    for field in &request.schema.fields {
        if let Some(why) = column::unsupported(&field.data_type) {
            let column = request.table.columns.iter().find(|column| column.name == field.name);
            let message = format!("column '{}': {why}", field.name);
            let error = Diagnostic::error(Code::UnsupportedUse, message);
            errors.push(error.at(column.map(|column| column.span).unwrap_or_default()));
        }
    }
}

/// A context for tests.
#[cfg(test)]
pub(crate) fn test_context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 0, watermark: None }
}
