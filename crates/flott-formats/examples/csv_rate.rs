//! How fast CSV is decoded, and written as Parquet: `csv_rate FILE.csv [decode|parquet|csv] [THREADS]`.
//!
//! The file has the columns of nycflights13's `flights`, with a header line and `NA` for NULL.
//! Threads take chunks of 1 MiB in turn; each writes its own Parquet file into the file's folder.

use std::{
    error::Error,
    fs::File,
    io::{Read, Write},
    sync::{Arc, Mutex},
    thread::ScopedJoinHandle,
    time::Duration,
};

use flott_connector::{
    Chunk, Clock, Format, FormatRequest, Payload, ScanRequest, SplitInfo, SystemClock, TableDescription,
};
use flott_expr::EvalContext;
use flott_formats::{csv::Csv, parquet::Parquet};
use flott_types::{DataType, Field, Options, Schema};

type Failure = Box<dyn Error + Send + Sync>;

const CHUNK_BYTES: usize = 1 << 20;

fn flights() -> Schema {
    let texts = ["carrier", "tailnum", "origin", "dest", "time_hour"];
    let names = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,\
                 flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour";
    let kind = |name: &str| if texts.contains(&name) { DataType::string() } else { DataType::int() };
    Schema::new(names.split(',').map(|name| Field::new(name, kind(name))).collect())
}

/// Cuts the file into chunks that end with a line.
struct Chunks {
    file: File,
    rest: Vec<u8>,
    offset: u64,
}

impl Chunks {
    fn next(&mut self) -> std::io::Result<Option<(Vec<u8>, u64)>> {
        let mut buffer = std::mem::take(&mut self.rest);
        let had = buffer.len();
        buffer.resize(had + CHUNK_BYTES, 0);
        let read = self.file.read(&mut buffer[had..])?;
        buffer.truncate(had + read);
        if buffer.is_empty() {
            return Ok(None);
        }
        if read > 0 {
            let end = memchr::memrchr(b'\n', &buffer).map_or(buffer.len(), |at| at + 1);
            self.rest.extend_from_slice(&buffer[end..]);
            buffer.truncate(end);
        }
        let offset = self.offset;
        self.offset += buffer.len() as u64;
        Ok(Some((buffer, offset)))
    }
}

fn work(chunks: &Mutex<Chunks>, mode: &str, out: Option<File>) -> Result<(u64, u64), Failure> {
    let mut options = Options::default();
    options.set("csv.null-literal", "NA");
    let schema = flights();
    let table = TableDescription { name: "flights".into(), options, ..TableDescription::default() };
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let scan = ScanRequest {
        projection: (0..schema.len()).collect(),
        schema,
        filter: None,
        batch_rows: 8192,
        parallelism: 1,
        even_time: false,
        job_options: Options::default(),
    };
    let context = EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };
    let mut decoder = Csv.decoder(&request, &scan, Vec::new())?;
    let mut encoder = match mode {
        "parquet" => Some(Parquet.encoder(&request, &context)?),
        "csv" => Some(Csv.encoder(&request, &context)?),
        _ => None,
    };
    let (mut rows, mut rejected) = (0, 0);
    let (mut out, mut buffer) = (out, Vec::new());
    let split = Arc::new(SplitInfo { name: "flights".into(), ..SplitInfo::default() });
    loop {
        let next = chunks.lock().map_err(|_| "a thread failed")?.next()?;
        let Some((bytes, offset)) = next else { break };
        let chunk = Chunk {
            split: split.clone(),
            sequence: 0,
            offset,
            bytes_in: 0,
            payload: Payload::Bytes(bytes),
            time: Default::default(),
        };
        decoder.decode(&chunk, &context, &mut |decoded| {
            rows += decoded.batch.num_rows() as u64;
            rejected += decoded.rejected.len() as u64;
            encoder.as_mut().map_or(Ok(()), |encoder| encoder.encode(&decoded.batch, &mut buffer))
        })?;
        if let Some(out) = &mut out {
            out.write_all(&buffer)?;
        }
        buffer.clear();
    }
    if let (Some(encoder), Some(out)) = (&mut encoder, &mut out) {
        encoder.finish(&mut buffer)?;
        out.write_all(&buffer)?;
    }
    Ok((rows, rejected))
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: csv_rate FILE.csv [decode|parquet|csv] [THREADS]")?;
    let mode = arguments.next().unwrap_or_else(|| "decode".into());
    let threads: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let mut file = File::open(&path)?;
    let bytes = file.metadata()?.len();
    let mut first = [0u8; 1];
    while first[0] != b'\n' && file.read(&mut first)? > 0 {}
    let chunks = Mutex::new(Chunks { file, rest: Vec::new(), offset: 1 });
    let clock = SystemClock::default();
    let started = clock.monotonic();
    let results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let (chunks, mode, path) = (&chunks, mode.as_str(), format!("{path}.{number}.{mode}"));
                scope.spawn(move || {
                    let out = if mode == "decode" { None } else { Some(File::create(path)?) };
                    work(chunks, mode, out)
                })
            })
            .collect();
        let join =
            |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|_| Err("a thread failed".into()));
        workers.into_iter().map(join).collect::<Result<Vec<(u64, u64)>, Failure>>()
    });
    let took: Duration = clock.monotonic() - started;
    let (rows, rejected) = results?.into_iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let rate = bytes as f64 / took.as_secs_f64() / 1e6;
    println!("{mode} on {threads} threads: {rows} rows, {rejected} rejected, {took:.2?}, {rate:.0} MB/s");
    Ok(())
}
