//! How fast files are cut into chunks: `cargo run --release -p flott-connector-files --example
//! read_rate PATH [lines|csv|csv-escape]`. Chunks are given back at once, so this is the reader's
//! own rate.

use std::{process::ExitCode, sync::Arc};

use flott_connector::{Clock, Framing, Payload, ReadContext, SystemClock};
use flott_types::{Options, Result};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: read_rate PATH [lines|csv|csv-escape]");
        return ExitCode::from(2);
    };
    let quoted = |escape| Framing::QuotedLines { quote: b'"', delimiter: b',', escape, comments: false };
    let framing = match arguments.next().as_deref() {
        Some("csv") => quoted(None),
        Some("csv-escape") => quoted(Some(b'\\')),
        _ => Framing::Lines,
    };
    match measure(path, framing) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(path: String, framing: Framing) -> Result<()> {
    let mut options = Options::new();
    options.set("path", path);
    let clock = Arc::new(SystemClock::new());
    let (buffers, stop) = Default::default();
    let context = ReadContext { buffers, stop, clock: clock.clone(), idle_timeout: None };
    for _ in 0..3 {
        let started = clock.monotonic();
        let mut reader = flott_connector_files::reader(&options, framing)?;
        let (mut chunks, mut bytes) = (0_u64, 0_u64);
        while let Some(chunk) = reader.next_chunk(&context)? {
            if let Payload::Bytes(buffer) = chunk.payload {
                chunks += 1;
                bytes += buffer.len() as u64;
                context.buffers.give(buffer);
            }
        }
        let seconds = (clock.monotonic() - started).as_secs_f64();
        println!("{bytes} bytes, {chunks} chunks, {seconds:.3} s, {:.2} GB/s", bytes as f64 / seconds / 1e9);
    }
    Ok(())
}
