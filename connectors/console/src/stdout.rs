//! `stdout`: rows in any record format, written to standard output.

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{
    Changelog, Committable, Committer, Connector, Encoder, FormatRequest, Framing, OptionDef, OptionKind,
    Registry, ScanRequest, Sink, SinkGuarantee, SinkRequest, SinkWriter, Source, TableDescription,
    sink::NothingToCommit,
};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    output::{Output, Stream},
    refuse_metadata, unsupported,
};

pub(crate) const FORMAT_OPTION: OptionDef =
    OptionDef::required("format", OptionKind::Text, "The format of the records, such as `json` or `csv`.");

/// Checks what `stdin` and `stdout` have in common: a format of records, and no metadata.
pub(crate) fn validate_record_stream(
    connector: &str,
    table: &TableDescription,
    registry: &Registry,
    errors: &mut Vec<Box<Diagnostic>>,
) {
    refuse_metadata(connector, table, errors);
    let Ok(format) = registry.format_of(table) else { return };
    format.validate(&FormatRequest { table, schema: table.physical_schema() }, errors);
    if let Err(error) = format.framing(&table.options)
        && error.code == Code::UnsupportedUse
    {
        errors.push(error.at(table.options.span("format")));
    }
    if matches!(format.framing(&table.options), Ok(Framing::RowGroups | Framing::Blocks)) {
        let what = format!("format '{}' with connector '{connector}'", format.name());
        errors.push(
            Diagnostic::not_supported(what)
                .at(table.options.span("format"))
                .help("a format that isn't records one by one needs a file: use connector 'filesystem'"),
        );
    }
}

/// The connector.
pub(crate) struct Stdout;

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }
    fn doc(&self) -> &'static str {
        "Writes rows to standard output in a record format."
    }
    fn options(&self) -> &'static [OptionDef] {
        const { &[FORMAT_OPTION] }
    }
    fn reads(&self) -> bool {
        false
    }
    fn writes(&self) -> bool {
        true
    }
    fn takes_format(&self) -> bool {
        true
    }
    fn sink_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        registry.format_of(table)?.changelog(&table.options)
    }
    fn validate(&self, table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        validate_record_stream(self.name(), table, registry, errors);
    }
    fn source(&self, table: &TableDescription, _: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        Err(unsupported(self.name(), table, "read").help("to read standard input use connector 'stdin'"))
    }
    fn sink(
        &self,
        table: &TableDescription,
        job: &SinkRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Sink>> {
        let (format, table, context) =
            (registry.format_of(table)?.clone(), table.clone(), job.context.clone());
        Ok(to_stdout(Arc::new(move || {
            let request = FormatRequest { table: &table, schema: table.physical_schema() };
            format.encoder(&request, &context)
        })))
    }
}

/// Makes the encoder of a [`to_stdout`] sink.
pub type NewEncoder = Arc<dyn Fn() -> Result<Box<dyn Encoder>> + Send + Sync>;

/// Standard output behind any encoder, in the order of the input.
pub fn to_stdout(encoder: NewEncoder) -> Arc<dyn Sink> {
    Arc::new(StdoutSink { encoder })
}

struct StdoutSink {
    encoder: NewEncoder,
}

impl Sink for StdoutSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::Immediate
    }
    fn wants_order(&self) -> bool {
        true
    }
    fn writer(&self, _: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(StdoutWriter { encoder: (self.encoder)()?, output: Output::open(Stream::Out)? }))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NothingToCommit))
    }
}

struct StdoutWriter {
    encoder: Box<dyn Encoder>,
    output: Output,
}

impl SinkWriter for StdoutWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.encode(batch, self.output.buffer())?;
        self.output.appended()
    }
    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        self.encoder.encode_changes(batch, kinds, self.output.buffer())?;
        self.output.appended()
    }
    fn is_ready(&mut self) -> bool {
        self.output.is_ready()
    }
    fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }
    fn finish(&mut self) -> Result<()> {
        self.encoder.finish(self.output.buffer())
    }
    fn prepare(&mut self, _: u64) -> Result<()> {
        self.output.mark()
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        Ok(self.output.is_written()?.then(Vec::new))
    }
}
