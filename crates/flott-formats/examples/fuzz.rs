//! Changes messages at random for a while and checks that every format holds to its rules: `cargo run
//! --release -p flott-formats --example fuzz -- FORMAT SECONDS [SEED]`. FORMAT `all`: each in turn.

#![allow(clippy::disallowed_methods, reason = "it runs for so many seconds")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "samples are made for tests")]

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::{
    error::Error,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map_or("all", String::as_str);
    let seconds: u64 = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let mut seed: u64 = arguments.get(2).map_or(Ok(0), |text| text.parse())?;
    let samples: Vec<_> =
        cases::all().into_iter().filter(|sample| wanted == "all" || sample.case.name == wanted).collect();
    if samples.is_empty() {
        return Err(format!("no format '{wanted}'").into());
    }
    let each = Duration::from_secs(seconds) / samples.len() as u32;
    for sample in &samples {
        let (start, mut messages) = (Instant::now(), 0);
        while start.elapsed() < each {
            seed += 1;
            let written = sample.case.encode(&sample.batch(seed), sample.written().as_ref())?;
            sample.case.changed_at_random(&written, seed, 20)?;
            messages += written.len() * 20;
        }
        println!("{:<24} {messages} messages", sample.case.name);
    }
    Ok(())
}
