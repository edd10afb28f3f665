//! Changes as programs that capture them from databases write them, in JSON: `debezium-json`, `canal-json`,
//! `maxwell-json` and `ogg-json`.
//!
//! ```text
//!   {"before":{"id":1,"n":"a"},"after":{"id":1,"n":"b"},"op":"u"}      debezium, ogg (`op_type`: I, U, D)
//!       └─ -U (1, a)              └─ +U (1, b)
//!
//!   {"data":{"id":1,"n":"b"},"old":{"n":"a"},"type":"update"}          maxwell; canal has arrays of them
//!       └─ +U (1, b)            └─ -U (1, a): what `old` doesn't name is as in `data`
//! ```
//!
//! shape.rs says what the keys are called, records.rs reads, metadata.rs reads what stands beside the rows,
//! encoder.rs writes.
//!
//! Invariants
//! - A record gives all of its rows or none: one bad side, and the whole record is rejected.
//! - Every kind of change is read and written; a written update is a deletion and an insertion, as Flink
//!   writes it, so each row is a record of its own.

mod encoder;
mod metadata;
mod records;
mod shape;
#[cfg(test)]
mod tests;

use flott_connector::{
    Changelog, Decoder, Encoder, ExtraColumn, Format, FormatMetadata, FormatRequest, Framing, OptionDef,
    OptionKind, ScanRequest,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Options, Result};

use crate::json::{
    self,
    decoder::JsonDecoder,
    options::{JsonOptions, json_options},
};
use encoder::ChangeEncoder;
use records::{ChangeRecords, included};
use shape::{CANAL, DEBEZIUM, MAXWELL, OGG, Shape};

/// A format of captured changes.
#[derive(Debug, Clone, Copy)]
pub struct CdcJsonFormat {
    shape: &'static Shape,
}

impl CdcJsonFormat {
    /// `debezium-json`
    pub const fn debezium() -> Self {
        Self { shape: &DEBEZIUM }
    }
    /// `canal-json`
    pub const fn canal() -> Self {
        Self { shape: &CANAL }
    }
    /// `maxwell-json`
    pub const fn maxwell() -> Self {
        Self { shape: &MAXWELL }
    }
    /// `ogg-json`
    pub const fn ogg() -> Self {
        Self { shape: &OGG }
    }
}

/// Whether records are wrapped with their schema.
const SCHEMA_INCLUDE: &str = "debezium-json.schema-include";

const DEBEZIUM_OPTIONS: &[OptionDef] = json_options!(
    "debezium-json",
    [OptionDef::optional(
        SCHEMA_INCLUDE,
        OptionKind::Boolean,
        "false",
        "Whether records say their schema beside the change, `{\"schema\":…,\"payload\":…}`, as Kafka Connect \
         writes them with 'value.converter.schemas.enable'. Only for reading."
    )],
    []
);
const CANAL_OPTIONS: &[OptionDef] = json_options!(
    "canal-json",
    [
        OptionDef::optional(
            "canal-json.database.include",
            OptionKind::Text,
            "",
            "A regular expression: changes of other databases are left out."
        ),
        OptionDef::optional(
            "canal-json.table.include",
            OptionKind::Text,
            "",
            "A regular expression: changes of other tables are left out."
        )
    ],
    []
);
const MAXWELL_OPTIONS: &[OptionDef] = json_options!("maxwell-json", [], []);
const OGG_OPTIONS: &[OptionDef] = json_options!("ogg-json", [], []);

impl Format for CdcJsonFormat {
    fn name(&self) -> &'static str {
        self.shape.format
    }
    fn doc(&self) -> &'static str {
        self.shape.doc
    }
    fn options(&self) -> &'static [OptionDef] {
        match self.shape.format {
            "debezium-json" => DEBEZIUM_OPTIONS,
            "canal-json" => CANAL_OPTIONS,
            "maxwell-json" => MAXWELL_OPTIONS,
            _ => OGG_OPTIONS,
        }
    }
    fn extension(&self) -> &'static str {
        "json"
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        json::validate(request, self.shape.format, errors);
        let options = &request.table.options;
        errors.extend(options.boolean(SCHEMA_INCLUDE).err());
        for what in ["database", "table"] {
            errors.extend(included(options, self.shape, what).err());
        }
    }
    fn changelog(&self, _: &Options) -> Result<Changelog> {
        Ok(Changelog::Retract)
    }
    fn metadata(&self) -> Vec<FormatMetadata> {
        metadata::all(self.shape)
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
        let options = JsonOptions::of(&request.table.options, self.shape.format)?;
        let records = ChangeRecords::new(self.shape, request, scan, &extra)?;
        Ok(Box::new(JsonDecoder::new(records, &options, scan, extra)))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let options = &request.table.options;
        if schema_include(options, self.shape)? {
            let message = format!("option '{SCHEMA_INCLUDE}' = 'true' is for tables that are read");
            return Err(Diagnostic::error(Code::InvalidOption, message)
                .at(options.span(SCHEMA_INCLUDE))
                .help("leave the option out: records are written without their schema"));
        }
        Ok(Box::new(ChangeEncoder::new(self.shape, request)?))
    }
}

fn schema_include(options: &Options, shape: &Shape) -> Result<bool> {
    match shape.format {
        "debezium-json" => Ok(options.boolean(SCHEMA_INCLUDE)?.unwrap_or(false)),
        _ => Ok(false),
    }
}
