//! Changes messages at random for a while and checks that every format holds to its rules: `cargo run
//! --release -p flott-formats --example fuzz -- FORMAT SECONDS [SEED]`. FORMAT `all`: each in turn.
//!
//! The targets of `cargo fuzz` do the same, led by what they cover (see CONTRIBUTING.md). `fuzz -- seeds FOLDER`
//! writes what they start from.

#![allow(clippy::disallowed_methods, reason = "it runs for so many seconds")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "samples are made for tests")]

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use cases::targets;
use flott_formats::conformance::Random;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map_or("all", String::as_str);
    if wanted == "seeds" {
        return write_seeds(Path::new(arguments.get(1).ok_or("a folder is missing")?));
    }
    let seconds: u64 = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let seed: u64 = arguments.get(2).map_or(Ok(0), |text| text.parse())?;
    let names: Vec<&str> =
        targets::NAMES.into_iter().filter(|name| wanted == "all" || *name == wanted).collect();
    if names.is_empty() {
        return Err(format!("no format '{wanted}'").into());
    }
    let each = Duration::from_secs(seconds) / names.len() as u32;
    for name in names {
        let seeded = targets::target(name).ok_or("no such target")?;
        let (start, mut inputs, mut random) = (Instant::now(), 0, Random::new(seed));
        while start.elapsed() < each {
            let input = seeded.changed(&mut random);
            seeded
                .target
                .check(&input)
                .map_err(|error| format!("{name}, seed {seed}, input {inputs}: {error}"))?;
            inputs += 1;
        }
        println!("{name:<24} {inputs} inputs");
    }
    Ok(())
}

fn write_seeds(folder: &Path) -> Result<(), Box<dyn Error>> {
    for name in targets::NAMES {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in targets::target(name).ok_or("no such target")?.seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("sample-{number:02}")), seed)?;
        }
    }
    Ok(())
}
