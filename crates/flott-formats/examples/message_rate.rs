//! How fast one core reads and writes the messages of each format, on the same rows: `cargo run
//! --release -p flott-formats --example message_rate -- FILE [ROUNDS] [FORMAT]`, with the bids of the Nexmark
//! benchmark, one JSON object a line.
//!
//! Rates count rows; bytes are those of the messages.

#![allow(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use arrow::record_batch::RecordBatch;
use flott_connector::{
    Chunk, ColumnKind, Encoder, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo, TableColumn,
    TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{DataType, Options, Span};

/// As in the program: with the system's allocator, fresh pages are what a batch costs most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_ROWS: usize = 8192;
/// With times as numbers, so that every format holds the same.
const COLUMNS: [(&str, bool); 7] = [
    ("auction", true),
    ("bidder", true),
    ("price", true),
    ("channel", false),
    ("url", false),
    ("dateTime", true),
    ("extra", false),
];
const PROTO: &str = "syntax = \"proto3\"; message Bid { int64 auction = 1; int64 bidder = 2; int64 price = 3; \
                     string channel = 4; string url = 5; int64 dateTime = 6; string extra = 7; }";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which file?")?;
    let rounds = arguments.get(1).map_or(Ok(5), |text| text.parse())?;
    let wanted = |name: &str| match arguments.get(2) {
        Some(only) => only == name,
        None => ["json", "csv", "avro", "protobuf"].contains(&name),
    };
    let schema_file = std::env::temp_dir().join(format!("bid-{}.proto", std::process::id()));
    std::fs::write(&schema_file, PROTO)?;
    let text = std::fs::read_to_string(path)?;
    let lines = numbered_times(&text)?;
    let table = table(&schema_file.to_string_lossy());
    let mut batches = Vec::new();
    decode(&flott_formats::json::JsonFormat, &table, &lines, |batch| batches.push(batch))?;
    for format in flott_formats::all() {
        if format.has_messages() && wanted(format.name()) {
            measure(format.as_ref(), &table, &batches, rounds)?;
        }
    }
    std::fs::remove_file(schema_file)?;
    Ok(())
}

/// The lines in pieces of a batch each, `dateTime` as milliseconds.
fn numbered_times(text: &str) -> Result<Vec<Slices>, Box<dyn Error>> {
    let mut out = vec![Slices::default()];
    for line in text.lines() {
        let mut object: serde_json::Value = serde_json::from_str(line)?;
        let time = object["dateTime"].as_str().unwrap_or_default();
        let time = chrono::NaiveDateTime::parse_from_str(&time.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f")?;
        object["dateTime"] = time.and_utc().timestamp_millis().into();
        if out.last().is_some_and(|last| last.len() >= BATCH_ROWS) {
            out.push(Slices::default());
        }
        let fits = out.last_mut().is_some_and(|last| last.push(Some(object.to_string().as_bytes())));
        assert!(fits, "a batch is small");
    }
    Ok(out)
}

fn table(schema_file: &str) -> TableDescription {
    let mut table = TableDescription::default();
    for (name, number) in COLUMNS {
        let data_type = if number { DataType::bigint() } else { DataType::string() };
        let (name, kind, span) = (name.to_string(), ColumnKind::Physical, Span::default());
        table.columns.push(TableColumn { name, data_type, kind, span });
    }
    table.options.set("protobuf.schema-file", schema_file);
    table
}

fn context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None }
}

fn decode(
    format: &dyn Format,
    table: &TableDescription,
    messages: &[Slices],
    mut take: impl FnMut(RecordBatch),
) -> Result<(), Box<dyn Error>> {
    let schema = table.physical_schema();
    let request = FormatRequest { table, schema: schema.clone() };
    let scan = ScanRequest {
        projection: (0..schema.len()).collect(),
        schema,
        filter: None,
        batch_rows: BATCH_ROWS,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let mut decoder = format.decoder(&request, &scan, Vec::new())?;
    let chunk = Chunk {
        split: Arc::new(SplitInfo::default()),
        sequence: 0,
        offset: 0,
        payload: Payload::Messages(Box::default()),
        bytes_in: 0,
        time: Default::default(),
    };
    for messages in messages {
        decoder.decode_messages(messages, &chunk, &context(), &mut |decoded| {
            assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected.first());
            take(decoded.batch);
            Ok(())
        })?;
    }
    Ok(())
}

fn encode(
    encoder: &mut dyn Encoder,
    batches: &[RecordBatch],
    mut take: impl FnMut(Slices),
) -> Result<(), Box<dyn Error>> {
    for batch in batches {
        let mut messages = Slices::default();
        encoder.encode_messages(batch, None, &mut messages)?;
        take(messages);
    }
    Ok(())
}

fn measure(
    format: &dyn Format,
    table: &TableDescription,
    batches: &[RecordBatch],
    rounds: usize,
) -> Result<(), Box<dyn Error>> {
    let request = FormatRequest { table, schema: table.physical_schema() };
    let mut encoder = format.encoder(&request, &context())?;
    let mut messages = Vec::new();
    encode(encoder.as_mut(), batches, |written| messages.push(written))?;
    let rows: usize = messages.iter().map(Slices::len).sum();
    let bytes: usize = messages.iter().map(|it| it.bytes().len()).sum();
    let (mut reading, mut writing) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        let start = Instant::now();
        decode(format, table, &messages, |batch| drop(black_box(batch)))?;
        reading = reading.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        encode(encoder.as_mut(), batches, |written| drop(black_box(written)))?;
        writing = writing.min(start.elapsed().as_secs_f64());
    }
    let millions = |seconds: f64| rows as f64 / seconds / 1e6;
    println!(
        "{:<10} {:>4} bytes a row   read {:6.2} M rows/s   write {:6.2} M rows/s",
        format.name(),
        bytes / rows.max(1),
        millions(reading),
        millions(writing)
    );
    Ok(())
}
