//! The `protobuf` format: messages whose schema is a `.proto` file or a set of descriptors.
//!
//! ```text
//!   schema.rs    options ─► schema file ─► message
//!   plan.rs      columns × fields of the message, checked once
//!
//!   message ─► scanner.rs   where each field lies   (wire.rs)
//!           ─► reader.rs    values into columns     (builder.rs)
//!           ─► straight.rs  both at once, where fields come in order
//!           ─► decoder.rs   batches, rejects, filter
//!
//!   batch   ─► writer.rs ─► message
//! ```
//!
//! `protobuf-confluent` (confluent.rs) has the id of a schema in a registry before each message.
//!
//! No code is generated: readers and writers are tables made from the descriptor and the columns. Only the
//! columns that the plan reads are built; other fields are stepped over. A bad message is rejected as a whole
//! and never harms its neighbours.
//!
//! Where it differs from Flink on purpose: the schema comes from a file, not from a class; text that isn't
//! UTF-8 is rejected, also in proto2; messages that no column reads are stepped over unchecked.

mod confluent;
mod decoder;
mod failure;
mod plan;
mod reader;
mod scanner;
mod schema;
mod straight;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{
    Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind, ScanRequest, Slices,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Options, Result};

pub use confluent::ProtobufConfluent;
use plan::MessagePlan;
use reader::MessageReader;
use schema::Settings;
use writer::{Cells, MessageWriter};

use crate::builder;

/// The `protobuf` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protobuf;

const PREFIX: &str = "protobuf";

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "protobuf.schema-file",
        OptionKind::Text,
        "",
        "The schema: a `.proto` file, or a set of descriptors (`protoc --include_imports --descriptor_set_out`).",
    ),
    OptionDef::optional(
        "protobuf.import-paths",
        OptionKind::Text,
        "",
        "Directories that imports are looked for in, with `;` between; the schema file's own one counts anyway.",
    ),
    OptionDef::optional(
        "protobuf.message-name",
        OptionKind::Text,
        "",
        "The message, with its package; may be left out if the schema file has one message alone.",
    ),
    OptionDef::optional(
        "protobuf.message-class-name",
        OptionKind::Text,
        "",
        "Flink's name of the message: its Java class. Its last part is looked for in the schema file.",
    ),
    OptionDef::optional(
        "protobuf.ignore-parse-errors",
        OptionKind::Boolean,
        "false",
        "A message that can't be read is skipped and counted.",
    ),
    OptionDef::optional(
        "protobuf.read-default-values",
        OptionKind::Boolean,
        "false",
        "Missing fields are their defaults and not NULL; scalars of proto3 always are.",
    ),
    OptionDef::optional(
        "protobuf.write-null-string-literal",
        OptionKind::Text,
        "",
        "What NULL in an array or map of text is written as.",
    ),
];

impl Format for Protobuf {
    fn name(&self) -> &'static str {
        PREFIX
    }
    fn doc(&self) -> &'static str {
        "Protocol Buffers, by a `.proto` file or a set of descriptors; fields are found by name."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn extension(&self) -> &'static str {
        "binpb"
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(Settings::of(&request.table.options, PREFIX).err());
        let plan = schema::message(&request.table.options, PREFIX)
            .and_then(|message| schema::plan(request, &message).map(drop));
        errors.extend(plan.err());
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, options: &Options) -> Result<Framing> {
        Err(no_files(PREFIX).at(options.span("format")))
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let settings = Settings::of(&request.table.options, PREFIX)?;
        let message = schema::message(&request.table.options, PREFIX)?;
        let own = (0..scan.schema.len()).filter(|at| extra.iter().all(|it| it.position != *at));
        let schema = scan.schema.project(&own.collect::<Vec<_>>());
        let plan = schema::plan(&FormatRequest { table: request.table, schema }, &message)?;
        let reader = MessageReader::new(&plan, settings.defaults(&message));
        Ok(Box::new(decoder::ProtobufDecoder::new(reader, scan, extra, settings.ignore_parse_errors)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let settings = Settings::of(&request.table.options, PREFIX)?;
        let message = schema::message(&request.table.options, PREFIX)?;
        let plan = schema::plan(request, &message)?;
        Ok(Box::new(ProtobufEncoder::new(&plan, settings.null_literal, Vec::new())?))
    }
}

/// Records have no ends of their own.
fn no_files(format: &str) -> Box<Diagnostic> {
    let what = format!("{format} records can't be told apart in a file");
    Diagnostic::error(Code::UnsupportedUse, what).help("use it with a connector of messages, such as kafka")
}

/// Writes messages.
struct ProtobufEncoder {
    writer: MessageWriter,
    null_literal: String,
    /// What every message begins with.
    head: Vec<u8>,
}

impl ProtobufEncoder {
    fn new(plan: &MessagePlan, null_literal: String, head: Vec<u8>) -> Result<Self> {
        Ok(Self { writer: MessageWriter::of(plan)?, null_literal, head })
    }
}

impl Encoder for ProtobufEncoder {
    fn encode(&mut self, _: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        Err(no_files(PREFIX))
    }

    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        _: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        let cells: Option<Vec<Cells<'_>>> = batch.columns().iter().map(|it| Cells::of(it.as_ref())).collect();
        let cells = cells.ok_or_else(|| builder::internal("a batch doesn't have the types of its sink"))?;
        for row in 0..batch.num_rows() {
            out.open().extend_from_slice(&self.head);
            self.writer.write(&cells, row, &self.null_literal, out.open())?;
            if !out.end() {
                return Err(crate::batch_too_large());
            }
        }
        Ok(())
    }
}
