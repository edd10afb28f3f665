//! What a developer runs: `cargo xtask docs`, `cargo xtask differential`, `cargo xtask conformance`,
//! `cargo xtask chaos`, `cargo xtask simulate`, `cargo xtask services`, `cargo xtask example`.
//!
//! Each command finds the project's root by itself and says what it does.

mod chaos;
mod example;
mod services;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "What a developer runs")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write docs/reference/ anew from what the binary says about itself
    Docs,
    /// Run tests/differential/ on a real Flink and on Flott, and compare the rows
    Differential {
        /// Keep Flink's answers as tests/differential/recorded/
        #[arg(long)]
        record: bool,
        /// What the generated inputs are made from
        #[arg(long, conflicts_with = "record")]
        seed: Option<u64>,
        /// Only scripts whose name contains this
        filter: Option<String>,
    },
    /// Hold values and types of functions and casts against Flink's, and print the table
    Conformance {
        /// What to compare
        set: ConformanceSet,
        /// Ask a real Flink about the cases that have no recorded answer yet
        #[arg(long)]
        record: bool,
        /// Ask a real Flink about every case
        #[arg(long)]
        record_all: bool,
        /// A file to write every difference to
        #[arg(long, value_name = "FILE")]
        differences: Option<PathBuf>,
    },
    /// Kill jobs at random moments, and compare what they wrote with undisturbed runs
    Chaos {
        /// How often to kill, in all
        #[arg(long, default_value_t = 60)]
        rounds: u64,
        /// Where the moments come from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Events that each job reads
        #[arg(long, default_value_t = 2_000_000)]
        events: u64,
        /// Which jobs, with commas between them, or 'all'
        #[arg(long, default_value = chaos::JOBS)]
        jobs: String,
        /// Kill Flink instead: FLOTT_FLINK_PYTHON names a Python with apache-flink
        #[arg(long)]
        flink: bool,
        /// Disturb a job between topics instead: kill it, its broker, the connection between them
        #[arg(long, conflicts_with = "flink")]
        kafka: bool,
        /// The binary to kill; default: a release build
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Run engine, state and sinks on a simulated machine, from seeds, and compare what readers see
    Simulate {
        /// How many seeds
        #[arg(long)]
        seeds: Option<u64>,
        /// The first one; without --seeds that one alone, with every step it takes
        #[arg(long)]
        seed: Option<u64>,
        /// Plant this bug, or all in turn, and say which seed finds it
        #[arg(long, value_name = "NAME|all")]
        plant: Option<String>,
    },
    /// Real servers to try things with: a Kafka broker, a schema registry
    Services {
        #[command(subcommand)]
        action: services::Action,
    },
    /// Run an example that needs a server, with the server
    Example {
        /// Which one
        name: ExampleName,
        /// The binary to run it with; default: a release build
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Measure rows per second and core, and print them as a table
    Speed {
        /// What to measure
        set: SpeedSet,
        /// Measure Flink too (several seconds per function)
        #[arg(long)]
        flink: bool,
        /// Run whole jobs too: a source, the function, a sink
        #[arg(long)]
        jobs: bool,
        /// Only functions whose name contains this
        filter: Option<String>,
    },
}

/// What `example` runs.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ExampleName {
    /// From topic to topic: examples/kafka
    Kafka,
}

/// What `speed` measures.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SpeedSet {
    /// Every scalar function that takes arguments
    Functions,
}

/// What `conformance` compares.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ConformanceSet {
    /// Every scalar function, with at least ten sets of arguments
    Functions,
    /// CAST and TRY_CAST from every type to every type
    Casts,
    /// Every aggregate function (recorded by tests/conformance/flink_aggregates.py)
    Aggregates,
}

/// The topics of `flott list`, each a page.
const TOPICS: [&str; 5] = ["connectors", "formats", "functions", "options", "types"];

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Docs => docs(),
        Task::Differential { record, seed, filter } => differential(record, seed, filter.as_deref()),
        Task::Conformance { set, record, record_all, differences } => {
            let mode = match (record, record_all) {
                (_, true) => "record-all",
                (true, false) => "record",
                (false, false) => "table",
            };
            conformance(set, mode, differences.as_deref())
        }
        Task::Chaos { rounds, seed, events, jobs, flink, kafka, binary } => {
            binary.map_or_else(release_build, Ok).and_then(|binary| {
                let chaos = chaos::Chaos { rounds, seed, events, jobs, binary };
                match (flink, kafka) {
                    (true, _) => chaos::run_flink(&chaos, &root()),
                    (_, true) => chaos::run_kafka(&chaos),
                    _ => chaos::run(&chaos),
                }
            })
        }
        Task::Simulate { seeds, seed, plant } => simulate(seeds, seed, plant),
        Task::Services { action } => services::run(&action),
        Task::Example { name: ExampleName::Kafka, binary } => binary
            .map_or_else(release_build, Ok)
            .and_then(|binary| example::Example { root: root(), binary }.kafka()),
        Task::Speed { set: SpeedSet::Functions, flink, jobs, filter } => {
            speed_of_functions(flink, jobs, filter)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Builds the binary with optimisations, and says where it is.
fn release_build() -> Result<PathBuf, String> {
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--release", "-p", "flott"]).current_dir(root());
    match build.status() {
        Ok(status) if status.success() => {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
            Ok(target.join("release/flott"))
        }
        Ok(_) => Err("the build failed".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn docs() -> Result<(), String> {
    let directory = root().join("docs/reference");
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    for topic in TOPICS {
        let output = Command::new("cargo")
            .args(["run", "--quiet", "-p", "flott", "--", "list", topic, "--markdown"])
            .current_dir(root())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let path = directory.join(format!("{topic}.md"));
        std::fs::write(&path, output.stdout).map_err(|error| error.to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}

fn differential(record: bool, seed: Option<u64>, filter: Option<&str>) -> Result<(), String> {
    let mut test = Command::new("cargo");
    test.args(["test", "-p", "flott", "--test", "differential", "--", "--nocapture"]).current_dir(root());
    test.env("FLOTT_DIFFERENTIAL", if record { "record" } else { "live" });
    if let Some(filter) = filter {
        test.env("FLOTT_DIFFERENTIAL_FILTER", filter);
    }
    if let Some(seed) = seed {
        test.env("FLOTT_DIFFERENTIAL_SEED", seed.to_string());
    }
    match test.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("Flott and Flink differ".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn conformance(set: ConformanceSet, mode: &str, differences: Option<&Path>) -> Result<(), String> {
    let (package, suite, filter) = match set {
        ConformanceSet::Functions => ("flott-sql", "conformance", "functions_answer"),
        ConformanceSet::Casts => ("flott-sql", "conformance", "casts_answer"),
        ConformanceSet::Aggregates => ("flott", "aggregates", "aggregates_answer"),
    };
    let mut test = Command::new("cargo");
    test.args(["test", "--quiet", "-p", package, "--test", suite, "--", filter, "--nocapture"]);
    test.current_dir(root()).env("FLOTT_CONFORMANCE", mode);
    if let Some(file) = differences {
        let file = std::path::absolute(file).map_err(|error| error.to_string())?;
        test.env("FLOTT_CONFORMANCE_DIFFERENCES", file);
    }
    match test.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the comparison failed".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn simulate(seeds: Option<u64>, seed: Option<u64>, plant: Option<String>) -> Result<(), String> {
    let mut run = Command::new("cargo");
    run.args(["run", "--quiet", "--release", "-p", "flott-testkit", "--features", "simulation"]);
    run.args(["--bin", "simulate", "--"]).current_dir(root());
    let numbers = [("--seeds", seeds), ("--seed", seed)];
    for (name, number) in numbers.into_iter().filter_map(|(name, it)| Some((name, it?))) {
        run.args([name, &number.to_string()]);
    }
    run.args(plant.iter().flat_map(|name| ["--plant", name]));
    match run.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the simulation found something, or did not find what was planted".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn speed_of_functions(flink: bool, jobs: bool, filter: Option<String>) -> Result<(), String> {
    if jobs {
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--release", "-p", "flott"]).current_dir(root());
        if !build.status().is_ok_and(|it| it.success()) {
            return Err("flott can't be built".into());
        }
    }
    let mut run = Command::new("cargo");
    run.args(["run", "--quiet", "--release", "-p", "flott-sql", "--example", "function_speed", "--"]);
    run.args(filter).args(flink.then_some("--flink")).args(jobs.then_some("--jobs")).current_dir(root());
    match run.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the measurement failed".into()),
        Err(error) => Err(error.to_string()),
    }
}
