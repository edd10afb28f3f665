//! `print`: one line per row, `+I[1, a]`, as Flink's sink of this name. Changes are lines too: `-U[1, a]`,
//! `+U[1, b]`, `-D[1, b]`.
//!
//! The line starts with `identifier> ` if `print-identifier` is set. Flink puts the number of the
//! subtask there too when it runs several; here one ordered writer prints, so there is none.

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{
    Changelog, Committable, Committer, Connector, OptionDef, OptionKind, Registry, ScanRequest, Sink,
    SinkGuarantee, SinkRequest, SinkWriter, Source, TableDescription, sink::NothingToCommit,
};
use flott_types::{DataType, Diagnostic, Result, RowKind};

use crate::{
    java_text::append_value,
    output::{Output, Stream},
    refuse_metadata, unsupported,
};

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "print-identifier",
        OptionKind::Text,
        "",
        "Text at the start of every line, followed by `> `.",
    ),
    OptionDef::optional(
        "standard-error",
        OptionKind::Boolean,
        "false",
        "Print to standard error instead of standard output.",
    ),
];

/// The connector.
pub(crate) struct Print;

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }
    fn doc(&self) -> &'static str {
        "Prints every row as a line of its own, with the kind of change in front: `+I[1, a]`."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn reads(&self) -> bool {
        false
    }
    fn writes(&self) -> bool {
        true
    }
    fn sink_changelog(&self, _: &TableDescription, _: &Registry) -> Result<Changelog> {
        Ok(Changelog::Retract)
    }
    fn validate(&self, table: &TableDescription, _: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        refuse_metadata(self.name(), table, errors);
    }
    fn source(&self, table: &TableDescription, _: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        Err(unsupported(self.name(), table, "read"))
    }
    fn sink(&self, table: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        let to_error = table.options.boolean("standard-error")?.unwrap_or(false);
        let prefix = match table.options.get("print-identifier") {
            Some(identifier) if !identifier.is_empty() => format!("{identifier}> "),
            _ => String::new(),
        };
        let types = table.columns.iter().map(|column| column.data_type.clone()).collect();
        let stream = if to_error { Stream::Err } else { Stream::Out };
        Ok(Arc::new(PrintSink { stream, lines: Lines { prefix, types } }))
    }
}

struct PrintSink {
    stream: Stream,
    lines: Lines,
}

impl Sink for PrintSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::Immediate
    }
    fn wants_order(&self) -> bool {
        true
    }
    fn writer(&self, _: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(PrintWriter { lines: self.lines.clone(), output: Output::open(self.stream)? }))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NothingToCommit))
    }
}

struct PrintWriter {
    lines: Lines,
    output: Output,
}

impl SinkWriter for PrintWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.lines.append(batch, None, self.output.buffer());
        self.output.appended()
    }
    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        self.lines.append(batch, Some(kinds), self.output.buffer());
        self.output.appended()
    }
    fn is_ready(&mut self) -> bool {
        self.output.is_ready()
    }
    fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }
    fn prepare(&mut self, _: u64) -> Result<()> {
        self.output.mark()
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        Ok(self.output.is_written()?.then(Vec::new))
    }
}

/// How rows become lines.
#[derive(Clone)]
struct Lines {
    prefix: String,
    types: Vec<DataType>,
}

impl Lines {
    fn append(&self, batch: &RecordBatch, kinds: Option<&Int8Array>, out: &mut Vec<u8>) {
        for row in 0..batch.num_rows() {
            let number = kinds.and_then(|kinds| kinds.values().get(row).copied());
            let kind = number.and_then(RowKind::of).unwrap_or(RowKind::Insert);
            out.extend_from_slice(self.prefix.as_bytes());
            out.extend_from_slice(kind.short().as_bytes());
            out.push(b'[');
            for (i, (column, data_type)) in batch.columns().iter().zip(&self.types).enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                append_value(out, column.as_ref(), row, data_type);
            }
            out.extend_from_slice(b"]\n");
        }
    }
}
