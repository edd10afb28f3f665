//! How fast one core reads and writes JSON: `cargo run --release -p flott-formats --example
//! json_rate -- FILE [COLUMNS [ROUNDS]]`, with columns such as
//! `auction:bigint,price:bigint,dateTime:timestamp,extra:string`.
//!
//! Without COLUMNS: the bids of the Nexmark benchmark, once the five columns of q0 and once the two
//! of q2. Chunks of 1 MiB, as the engine makes them; rates count the bytes of the file (reading)
//! and the bytes written (writing). The same lines are read once more as messages, and as changes the way
//! Debezium writes them: every line as a row before and after an update.

#![allow(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use arrow::record_batch::RecordBatch;
use flott_connector::{
    Chunk, ColumnKind, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo, TableColumn,
    TableDescription,
};
use flott_expr::EvalContext;
use flott_formats::{cdc::CdcJsonFormat, json::JsonFormat};
use flott_types::{DataType, Options, Span, TypeKind};

const CHUNK_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 8192;
const Q0: &str = "auction:bigint,bidder:bigint,price:bigint,dateTime:timestamp,extra:string";
const ALL: &str =
    "auction:bigint,bidder:bigint,price:bigint,channel:string,url:string,dateTime:timestamp,extra:string";
const Q2: &str = "auction:bigint,price:bigint";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which file?")?;
    let rounds = arguments.get(2).map_or(Ok(5), |text| text.parse())?;
    let chunks = chunks(std::fs::read(path)?);
    match arguments.get(1) {
        Some(columns) => measure(columns, &chunks, rounds)?,
        None => {
            for columns in [Q0, ALL, Q2] {
                measure(columns, &chunks, rounds)?;
            }
        }
    }
    Ok(())
}

fn chunks(bytes: Vec<u8>) -> Vec<Chunk> {
    let split = Arc::new(SplitInfo::default());
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let limit = (at + CHUNK_BYTES).min(bytes.len());
        let end = match memchr::memrchr(b'\n', &bytes[at..limit]) {
            Some(last) if limit < bytes.len() => at + last + 1,
            _ => limit,
        };
        let payload = Payload::Bytes(bytes[at..end].to_vec());
        let (sequence, offset, bytes_in) = (out.len() as u64, at as u64, (end - at) as u64);
        out.push(Chunk {
            split: split.clone(),
            sequence,
            offset,
            payload,
            bytes_in,
            time: Default::default(),
        });
        at = end;
    }
    out
}

fn data_type(name: &str) -> Result<DataType, Box<dyn Error>> {
    Ok(match name {
        "bigint" => DataType::bigint(),
        "int" => DataType::int(),
        "double" => DataType::double(),
        "boolean" => DataType::boolean(),
        "string" => DataType::string(),
        "timestamp" => TypeKind::Timestamp(3).into(),
        _ => return Err(format!("type '{name}'?").into()),
    })
}

fn measure(columns: &str, chunks: &[Chunk], rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut table = TableDescription::default();
    for column in columns.split(',') {
        let (name, kind) = column.split_once(':').ok_or("columns are name:type")?;
        let data_type = data_type(kind)?;
        let (name, kind, span) = (name.to_string(), ColumnKind::Physical, Span::default());
        table.columns.push(TableColumn { name, data_type, kind, span });
    }
    let schema = table.physical_schema();
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let scan = ScanRequest {
        projection: (0..schema.len()).collect(),
        schema,
        filter: None,
        batch_rows: BATCH_ROWS,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let context =
        EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 0, watermark: None };
    let mut decoder = JsonFormat.decoder(&request, &scan, Vec::new())?;
    let mut encoder = JsonFormat.encoder(&request, &context)?;
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes_in).sum();
    println!("{columns}");
    let (mut rows, mut batches): (u64, Vec<RecordBatch>) = (0, Vec::new());
    let mut best = f64::MAX;
    for _ in 0..rounds {
        rows = 0;
        let start = Instant::now();
        for chunk in chunks {
            decoder.decode(chunk, &context, &mut |decoded| {
                rows += decoded.batch.num_rows() as u64;
                black_box(&decoded);
                if batches.len() < 64 {
                    batches.push(decoded.batch);
                }
                Ok(())
            })?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "  decode {:7.0} MB/s  {:6.1} ns/row  {rows} rows",
        bytes as f64 / best / 1e6,
        best * 1e9 / rows as f64
    );
    let plain = messages(chunks, b"", b"", 1);
    messages_rate("messages", &JsonFormat, (&request, &scan, &context), &plain, rounds)?;
    let source = br#","source":{"version":"3.0","connector":"mysql","ts_ms":1767261600123,"db":"shop","pos":154},"op":"u","ts_ms":1767261601000}"#;
    let changes = messages(chunks, br#"{"before":"#, source, 2);
    let debezium = CdcJsonFormat::debezium();
    messages_rate("debezium", &debezium, (&request, &scan, &context), &changes, rounds)?;
    let mut out = Vec::new();
    let (mut best, mut written, mut rows) = (f64::MAX, 0, 0);
    for _ in 0..rounds {
        (written, rows) = (0, 0);
        let start = Instant::now();
        for _ in 0..8 {
            for batch in &batches {
                out.clear();
                encoder.encode(batch, &mut out)?;
                written += black_box(&out).len();
                rows += batch.num_rows();
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("  encode {:7.0} MB/s  {:6.1} ns/row", written as f64 / best / 1e6, best * 1e9 / rows as f64);
    Ok(())
}

/// Each line as a message, `times` times with `,"after":` between, and this around it.
fn messages(chunks: &[Chunk], before: &[u8], behind: &[u8], times: usize) -> Vec<Slices> {
    let of_chunk = |chunk: &Chunk| {
        let Payload::Bytes(bytes) = &chunk.payload else { return Slices::default() };
        let mut messages = Slices::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = [before, &vec![line; times].join(&br#","after":"#[..]), behind].concat();
            assert!(messages.push(Some(&text)));
        }
        messages
    };
    chunks.iter().map(of_chunk).collect()
}

fn messages_rate(
    name: &str,
    format: &dyn Format,
    (request, scan, context): (&FormatRequest<'_>, &ScanRequest, &EvalContext),
    all: &[Slices],
    rounds: usize,
) -> Result<(), Box<dyn Error>> {
    let mut decoder = format.decoder(request, scan, Vec::new())?;
    let chunk = Chunk::control(Arc::new(SplitInfo::default()), 0, Default::default());
    let bytes: usize = all.iter().map(|messages| messages.bytes().len()).sum();
    let (mut best, mut rows) = (f64::MAX, 0);
    for _ in 0..rounds {
        rows = 0;
        let start = Instant::now();
        for messages in all {
            decoder.decode_messages(messages, &chunk, context, &mut |decoded| {
                rows += black_box(&decoded).batch.num_rows() as u64;
                Ok(())
            })?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (rate, each) = (bytes as f64 / best / 1e6, best * 1e9 / rows as f64);
    println!("  {name:8} {rate:5.0} MB/s  {each:6.1} ns/row  {rows} rows");
    Ok(())
}
