//! How fast one core reads and writes Avro messages: `cargo run --release -p flott-formats --example
//! avro_rate -- FILE [ROUNDS]`, with the bids of the Nexmark benchmark as JSON lines.
//!
//! The same bids as `json_rate` measures: written as messages, of the table's own schema, then read: all
//! columns, the five of q0 and the two of q2. Batches of 8,192 rows; rates count the bytes of the messages.

#![allow(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use arrow::record_batch::RecordBatch;
use flott_connector::{
    Chunk, ColumnKind, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo, TableColumn,
    TableDescription,
};
use flott_expr::EvalContext;
use flott_formats::{avro::Avro, json::JsonFormat};
use flott_types::{DataType, Options, Span, TypeKind};

const BATCH_ROWS: usize = 8192;
const ROWS_MAX: usize = 1_000_000;

fn table() -> TableDescription {
    let timestamp = DataType::from(TypeKind::Timestamp(3));
    let columns = [
        ("auction", DataType::bigint()),
        ("bidder", DataType::bigint()),
        ("price", DataType::bigint()),
        ("channel", DataType::string()),
        ("url", DataType::string()),
        ("dateTime", timestamp),
        ("extra", DataType::string()),
    ];
    let column = |(name, data_type): (&str, DataType)| TableColumn {
        name: name.into(),
        data_type,
        kind: ColumnKind::Physical,
        span: Span::default(),
    };
    TableDescription { columns: columns.into_iter().map(column).collect(), ..TableDescription::default() }
}

fn scan(table: &TableDescription, projection: &[usize]) -> ScanRequest {
    ScanRequest {
        projection: projection.to_vec(),
        schema: table.schema().project(projection),
        filter: None,
        batch_rows: BATCH_ROWS,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    }
}

fn chunk(payload: Payload) -> Chunk {
    let split = Arc::new(SplitInfo::default());
    Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which file?")?;
    let rounds: usize = arguments.get(1).map_or(Ok(5), |text| text.parse())?;
    let context =
        EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 0, watermark: None };
    let table = table();
    let request = FormatRequest { table: &table, schema: table.schema() };
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut json = JsonFormat.decoder(&request, &scan(&table, &all), Vec::new())?;
    json.decode(&chunk(Payload::Bytes(std::fs::read(path)?)), &context, &mut |decoded| {
        if batches.len() * BATCH_ROWS < ROWS_MAX {
            batches.push(decoded.batch);
        }
        Ok(())
    })?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut encoder = Avro.encoder(&request, &context)?;
    let mut messages: Vec<Slices> = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..rounds {
        messages.clear();
        let start = Instant::now();
        for batch in &batches {
            let mut out = Slices::default();
            encoder.encode_messages(batch, None, &mut out)?;
            messages.push(out);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let bytes: usize = messages.iter().map(|it| it.bytes().len()).sum();
    let show = |what: &str, best: f64| {
        let (rate, each) = (bytes as f64 / best / 1e6, best * 1e9 / rows as f64);
        println!("{what:16} {rate:7.0} MB/s  {each:6.1} ns/row  {rows} rows");
    };
    show("encode", best);
    let here = chunk(Payload::Rows(0..0));
    for (name, projection) in
        [("decode all", &all[..]), ("decode q0", &[0, 1, 2, 5, 6]), ("decode q2", &[0, 2])]
    {
        let mut decoder = Avro.decoder(&request, &scan(&table, projection), Vec::new())?;
        let mut best = f64::MAX;
        for _ in 0..rounds {
            let start = Instant::now();
            for messages in &messages {
                decoder.decode_messages(messages, &here, &context, &mut |decoded| {
                    black_box(&decoded);
                    Ok(())
                })?;
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        show(name, best);
    }
    Ok(())
}
