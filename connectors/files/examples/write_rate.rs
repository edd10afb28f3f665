//! How fast bytes reach published files: `cargo run --release -p flott-connector-files --example
//! write_rate DIRECTORY [MEGABYTES]`. Encoding is a copy, so this is the writer's own rate. Writes
//! new part files into the directory and leaves them there.

use std::{process::ExitCode, sync::Arc, time::Duration};

use arrow::array::{AsArray, RecordBatch, StringArray};
use flott_connector::{
    Clock, Connector, Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, Registry,
    ScanRequest, SinkRequest, StopSignal, SystemClock, TableColumn, TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{DataType, Diagnostic, Options, Result, Span};

/// Writes a text column as it lies in memory.
struct Copy;

impl Format for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn doc(&self) -> &'static str {
        "The text itself."
    }
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }
    fn validate(&self, _: &FormatRequest<'_>, _: &mut Vec<Box<Diagnostic>>) {}
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Lines)
    }
    fn decoder(
        &self,
        _: &FormatRequest<'_>,
        _: &ScanRequest,
        _: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Err(Diagnostic::not_supported("reading"))
    }
    fn encoder(&self, _: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(Copy))
    }
}

impl Encoder for Copy {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let text = batch.column(0).as_string::<i32>();
        let (first, last) = (text.value_offsets().first(), text.value_offsets().last());
        if let (Some(&first), Some(&last)) = (first, last) {
            out.extend_from_slice(text.value_data().get(first as usize..last as usize).unwrap_or_default());
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: write_rate DIRECTORY [MEGABYTES]");
        return ExitCode::from(2);
    };
    let megabytes = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(1024);
    match measure(path, megabytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n{}", error.help.join("\n"));
            ExitCode::FAILURE
        }
    }
}

fn measure(path: String, megabytes: usize) -> Result<()> {
    let mut registry = Registry::new();
    registry.add_format(Arc::new(Copy));
    let clock = Arc::new(SystemClock::new());
    let job = SinkRequest {
        disk: Arc::new(flott_connector::LocalDisk),
        job_options: Options::new(),
        pipeline_name: "write_rate".into(),
        run_id: clock.now_micros().to_string(),
        context: EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None },
        clock: clock.clone(),
        stop: flott_connector::StopSignal::new(),
        overwrite: false,
        checkpoints: false,
        generation: 0,
        first_generation: 0,
        job_id: String::new(),
        sink_number: 0,
        first_epoch: 0,
        decider: None,
    };
    let batch = lines();
    let batches = (megabytes << 20) / batch.get_array_memory_size().max(1);
    let stop = StopSignal::new();

    let started = clock.monotonic();
    let sink = flott_connector_files::FilesystemConnector.sink(&table(path), &job, &registry)?;
    let (mut committer, mut writer) = (sink.committer()?, sink.writer(0, 1)?);
    for _ in 0..batches {
        while !writer.is_ready() {
            stop.wait(Duration::from_micros(50));
        }
        writer.write(&batch)?;
    }
    let written = clock.monotonic() - started;
    writer.prepare(1)?;
    let committables = loop {
        match writer.poll_prepared()? {
            Some(committables) => break committables,
            None => stop.wait(Duration::from_micros(200)),
        };
    };
    let durable = clock.monotonic() - started;
    committer.commit(&committables)?;
    committer.finish()?;
    let rate = |took: Duration| megabytes as f64 / 1024.0 / took.as_secs_f64();
    println!(
        "{megabytes} MiB: handed over at {:.2} GiB/s, durable at {:.2} GiB/s",
        rate(written),
        rate(durable)
    );
    Ok(())
}

fn lines() -> RecordBatch {
    let line = format!("{}\n", "x".repeat(215));
    let text = StringArray::from(vec![line.as_str(); 8192]);
    RecordBatch::try_from_iter([("line", Arc::new(text) as _)])
        .unwrap_or_else(|_| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
}

fn table(path: String) -> TableDescription {
    let mut options = Options::new();
    options.set("path", path);
    options.set("format", "copy");
    let kind = flott_connector::ColumnKind::Physical;
    let column =
        TableColumn { name: "line".into(), data_type: DataType::string(), kind, span: Span::default() };
    TableDescription { name: "t".into(), columns: vec![column], options, ..TableDescription::default() }
}
