//! A format and a job for tests: each row is one line of text.

use std::{path::Path, sync::Arc};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use flott_connector::{
    Chunk, ColumnKind, Decoded, Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef,
    Payload, ReadContext, Registry, ScanRequest, SinkRequest, StopSignal, SystemClock, TableColumn,
    TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{DataType, Diagnostic, Options, Result, Span};

/// One text column, one line a row. Quoted line feeds count as text.
pub(crate) struct LineFormat;

impl Format for LineFormat {
    fn name(&self) -> &'static str {
        "lines"
    }
    fn doc(&self) -> &'static str {
        "Lines of text."
    }
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }
    fn extension(&self) -> &'static str {
        "txt"
    }
    fn validate(&self, _: &FormatRequest<'_>, _: &mut Vec<Box<Diagnostic>>) {}
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Lines)
    }
    fn decoder(
        &self,
        _: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(LineDecoder { scan: scan.clone(), extra }))
    }
    fn encoder(&self, _: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(LineEncoder))
    }
}

struct LineDecoder {
    scan: ScanRequest,
    extra: Vec<ExtraColumn>,
}

impl Decoder for LineDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        _: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let Payload::Bytes(bytes) = &chunk.payload else { panic!("bytes expected") };
        let lines: Vec<&str> = std::str::from_utf8(bytes).unwrap().lines().collect();
        let columns = (0..self.scan.schema.len()).map(|position| {
            match self.extra.iter().find(|it| it.position == position) {
                Some(extra) => (extra.fill)(chunk, lines.len()),
                None => Ok(Arc::new(StringArray::from(lines.clone())) as ArrayRef),
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        emit(Decoded::all(RecordBatch::try_new(self.scan.schema.arrow_schema(), columns).unwrap(), 0))
    }
}

struct LineEncoder;

impl Encoder for LineEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for line in batch.column(0).as_string::<i32>().iter() {
            out.extend_from_slice(line.unwrap_or("NULL").as_bytes());
            out.push(b'\n');
        }
        Ok(())
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"end\n");
        Ok(())
    }
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add_format(Arc::new(LineFormat));
    registry.add_connector(Arc::new(crate::FilesystemConnector));
    registry
}

pub(crate) fn column(name: &str, data_type: DataType) -> TableColumn {
    TableColumn { name: name.into(), data_type, kind: ColumnKind::Physical, span: Span::new(1, 2) }
}

/// A table with a column `line` and, if partitioned, text columns for the keys.
pub(crate) fn table(path: &Path, keys: &[&str], options: &[(&str, &str)]) -> TableDescription {
    let mut columns = vec![column("line", DataType::string())];
    columns.extend(keys.iter().map(|key| column(key, DataType::string())));
    let mut all = Options::new();
    all.set("connector", "filesystem");
    all.set("path", path.to_str().unwrap());
    all.set("format", "lines");
    options.iter().for_each(|(key, value)| all.set(*key, *value));
    TableDescription {
        name: "t".into(),
        columns,
        partition_keys: keys.iter().map(|key| key.to_string()).collect(),
        options: all,
        ..TableDescription::default()
    }
}

pub(crate) fn scan(table: &TableDescription) -> ScanRequest {
    ScanRequest {
        projection: (0..table.columns.len()).collect(),
        schema: table.schema(),
        filter: None,
        batch_rows: 8192,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    }
}

pub(crate) fn eval_context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 1, watermark: None }
}

pub(crate) fn read_context() -> ReadContext {
    let (clock, stop) = (Arc::new(SystemClock::new()), StopSignal::new());
    ReadContext { buffers: Default::default(), stop, clock, idle_timeout: None }
}

pub(crate) fn job(run_id: &str) -> SinkRequest {
    SinkRequest {
        disk: Arc::new(flott_connector::LocalDisk),
        job_options: Options::new(),
        pipeline_name: "test".into(),
        run_id: run_id.into(),
        context: eval_context(),
        clock: Arc::new(SystemClock::new()),
        stop: flott_connector::StopSignal::new(),
        overwrite: false,
        checkpoints: false,
        generation: 0,
        first_generation: 0,
        job_id: String::new(),
        sink_number: 0,
        first_epoch: 0,
        decider: None,
    }
}
