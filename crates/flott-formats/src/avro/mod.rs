//! The formats of Apache Avro: `avro`, `avro-confluent`, `debezium-avro-confluent`.
//!
//! ```text
//!   writer's schema ─┐                       avro             messages: the table's own schema
//!                    ├─ resolve ─► plan                       files: the one in the file's header
//!   table's columns ─┘     │                 avro-confluent   the registry's, by the id in each message
//!                          ▼
//!   bytes ──────────► read along the plan ──► columns (those not selected are skipped) ──► batch
//! ```
//!
//! Invariants
//! - What can be said of a schema is said once, when it is met first; reading a record looks at no name.
//! - A record that can't be read leaves nothing behind, and costs none of its neighbours.
//! - Schemas of tables are exactly those that Flink derives, so both read what the other writes.
//!
//! The three differ only in where the writer's schema comes from, and in the envelope of the last one,
//! which holds a row before and after a change.
//!
//! Source: Apache Avro specification; Flink documentation, "Avro Format", "Confluent Avro Format",
//! "Debezium Format".

pub mod container;
mod decoder;
mod default;
mod derive;
mod encoder;
mod envelope;
mod failure;
mod file;
mod read;
mod registered;
mod resolve;
mod schema;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::sync::Arc;

use flott_connector::{
    Changelog, Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind,
    ScanRequest,
};
use flott_expr::EvalContext;
use flott_schema_registry::{Settings, registry_options};
use flott_types::{Code, DataType, Diagnostic, Options, Result, TypeKind};

use self::{container::Codec, decoder::AvroDecoder, encoder::AvroEncoder, schema::Schema};
use crate::builder;

/// The `avro` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Avro;

/// The `avro-confluent` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct AvroConfluent;

/// The `debezium-avro-confluent` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct DebeziumAvroConfluent;

const AVRO: &str = "avro";
const CONFLUENT: &str = "avro-confluent";
const DEBEZIUM: &str = "debezium-avro-confluent";

const LEGACY_DOC: &str = "Whether TIMESTAMP(3) is Avro's 'timestamp-millis', as in older versions of Flink. If \
     not, TIMESTAMP is one of the 'local-timestamp's, and TIMESTAMP_LTZ one of the 'timestamp's.";

const AVRO_OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "avro.codec",
        OptionKind::OneOf(&["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]),
        "snappy",
        "How the blocks of a file that is written are compressed. 'bzip2' and 'xz' are not supported yet.",
    ),
    OptionDef::optional(
        "avro.encoding",
        OptionKind::OneOf(&["binary", "json"]),
        "binary",
        "How messages are written. 'json' is not supported yet.",
    ),
    OptionDef::optional("avro.timestamp_mapping.legacy", OptionKind::Boolean, "true", LEGACY_DOC),
    OptionDef::optional(
        "avro.open.fastread",
        OptionKind::Boolean,
        "false",
        "Accepted for compatibility; there is one way of reading.",
    ),
];

const SCHEMA_DOC: &str = "The schema to read into and to write, as JSON, instead of the one derived from the \
     columns: with defaults, aliases and enums. It must have the table's columns.";

const CONFLUENT_OPTIONS: &[OptionDef] = registry_options!(
    "avro-confluent",
    OptionDef::optional("avro-confluent.schema", OptionKind::Text, "", SCHEMA_DOC),
    OptionDef::optional("avro-confluent.timestamp_mapping.legacy", OptionKind::Boolean, "true", LEGACY_DOC),
);

const DEBEZIUM_OPTIONS: &[OptionDef] = registry_options!(
    "debezium-avro-confluent",
    OptionDef::optional("debezium-avro-confluent.schema", OptionKind::Text, "", SCHEMA_DOC),
    OptionDef::optional(
        "debezium-avro-confluent.timestamp_mapping.legacy",
        OptionKind::Boolean,
        "true",
        LEGACY_DOC
    ),
);

/// Whether timestamps go by the older mapping.
fn legacy_timestamps(options: &Options, prefix: &str) -> Result<bool> {
    Ok(options.boolean(&format!("{prefix}.timestamp_mapping.legacy"))?.unwrap_or(true))
}

/// The schema that the option gives, if it does.
fn given_schema(options: &Options, prefix: &str) -> Result<Option<(String, Arc<Schema>)>> {
    let parse = |text: &str| Schema::parse(text).map(|it| (text.to_string(), Arc::new(it)));
    options.parsed(&format!("{prefix}.schema"), parse)
}

/// The columns of a record: those of the table, or of the envelope around them.
fn record_columns(request: &FormatRequest<'_>, prefix: &str) -> Vec<(String, DataType)> {
    let columns = request.schema.fields.iter().map(|it| (it.name.clone(), it.data_type.clone()));
    if prefix == DEBEZIUM { envelope::columns(columns) } else { columns.collect() }
}

/// The text of the schema that a table's records are written in.
fn own_schema(request: &FormatRequest<'_>, prefix: &str) -> Result<(String, Arc<Schema>)> {
    if let Some(given) = given_schema(&request.table.options, prefix)? {
        return Ok(given);
    }
    let legacy = legacy_timestamps(&request.table.options, prefix)?;
    let columns = record_columns(request, prefix);
    let refuse = |why: String| Diagnostic::error(Code::UnsupportedUse, format!("column {why}"));
    let mut derived =
        derive::schema(columns.iter().map(|(name, it)| (name.as_str(), it)), legacy).map_err(refuse)?;
    if prefix == DEBEZIUM {
        derived = serde_json::json!(["null", derived]);
    }
    let text = derived.to_string();
    let schema = Schema::parse(&text).map_err(|why| builder::internal(format!("a derived schema: {why}")))?;
    Ok((text, Arc::new(schema)))
}

/// Looks at options and columns.
#[expect(clippy::vec_box, reason = "diagnostics travel boxed, also in lists")]
fn validate(request: &FormatRequest<'_>, prefix: &str, errors: &mut Vec<Box<Diagnostic>>) {
    let options = &request.table.options;
    let legacy = match legacy_timestamps(options, prefix) {
        Ok(legacy) => legacy,
        Err(error) => return errors.push(error),
    };
    let given = match given_schema(options, prefix) {
        Ok(given) => given,
        Err(error) => return errors.push(error),
    };
    if let Some((_, schema)) = given {
        let columns = record_columns(request, prefix).into_iter();
        let columns: Vec<_> = columns.map(|(name, it)| flott_types::Field::new(name, it)).collect();
        let key = format!("{prefix}.schema");
        if let Err(why) = resolve::resolve(&schema, &columns, None) {
            let message = format!("option '{key}': the schema doesn't fit the columns: {why}");
            errors.push(Diagnostic::error(Code::InvalidOption, message).at(options.span(&key)));
        }
        return;
    }
    for field in &request.schema.fields {
        if let Err(why) = derive::schema([(field.name.as_str(), &field.data_type)].into_iter(), legacy) {
            let column = request.table.columns.iter().find(|column| column.name == field.name);
            let error = Diagnostic::error(Code::UnsupportedUse, format!("column {why}"));
            let mut error = error.at(column.map(|column| column.span).unwrap_or_default());
            if matches!(field.data_type.kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)) {
                error = error.help(format!("set '{prefix}.timestamp_mapping.legacy' = 'false'"));
            }
            errors.push(error);
        }
    }
}

/// Messages of a registry can't be told apart in a file.
fn no_files(name: &str) -> Result<Framing> {
    let message = format!("format '{name}' reads and writes messages, not files");
    Err(Diagnostic::error(Code::UnsupportedUse, message).help("for files there is the format 'avro'"))
}

impl Format for Avro {
    fn name(&self) -> &'static str {
        AVRO
    }
    fn doc(&self) -> &'static str {
        "Apache Avro: messages in the schema of the table's columns, or files that bring theirs along."
    }
    fn options(&self) -> &'static [OptionDef] {
        AVRO_OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        let options = &request.table.options;
        errors.extend(Codec::of(options).err());
        if options.get("avro.encoding").is_some_and(|it| it.eq_ignore_ascii_case("json")) {
            let error = Diagnostic::not_supported("'avro.encoding' = 'json'");
            errors.push(error.at(options.span("avro.encoding")).help("use the format 'json', or 'binary'"));
        }
        validate(request, AVRO, errors);
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Blocks)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(AvroDecoder::of_own_schema(request, scan, extra)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, context: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(AvroEncoder::plain(request, context)?))
    }
}

impl Format for AvroConfluent {
    fn name(&self) -> &'static str {
        CONFLUENT
    }
    fn doc(&self) -> &'static str {
        "Apache Avro in messages that name their schema in a registry of Confluent's kind."
    }
    fn options(&self) -> &'static [OptionDef] {
        CONFLUENT_OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(Settings::of(&request.table.options, CONFLUENT).err());
        validate(request, CONFLUENT, errors);
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        no_files(CONFLUENT)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(AvroDecoder::of_registry(request, CONFLUENT, scan, extra)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, context: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(AvroEncoder::registered(request, CONFLUENT, context)?))
    }
}

impl Format for DebeziumAvroConfluent {
    fn name(&self) -> &'static str {
        DEBEZIUM
    }
    fn doc(&self) -> &'static str {
        "Changes as Debezium tells them, rows before and after, in Avro with a schema registry."
    }
    fn options(&self) -> &'static [OptionDef] {
        DEBEZIUM_OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(Settings::of(&request.table.options, DEBEZIUM).err());
        validate(request, DEBEZIUM, errors);
    }
    fn changelog(&self, _: &Options) -> Result<Changelog> {
        Ok(Changelog::Retract)
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        no_files(DEBEZIUM)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(AvroDecoder::of_registry(request, DEBEZIUM, scan, extra)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, context: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(AvroEncoder::registered(request, DEBEZIUM, context)?))
    }
}
