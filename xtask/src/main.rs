//! What a developer runs: `cargo xtask docs`, `cargo xtask differential`.
//!
//! Each command finds the project's root by itself and says what it does.

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
        /// Only scripts whose name contains this
        filter: Option<String>,
    },
}

/// The topics of `flott list`, each a page.
const TOPICS: [&str; 5] = ["connectors", "formats", "functions", "options", "types"];

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Docs => docs(),
        Task::Differential { record, filter } => differential(record, filter.as_deref()),
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

fn differential(record: bool, filter: Option<&str>) -> Result<(), String> {
    let mut test = Command::new("cargo");
    test.args(["test", "-p", "flott", "--test", "differential", "--", "--nocapture"]).current_dir(root());
    test.env("FLOTT_DIFFERENTIAL", if record { "record" } else { "live" });
    if let Some(filter) = filter {
        test.env("FLOTT_DIFFERENTIAL_FILTER", filter);
    }
    match test.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("Flott and Flink differ".into()),
        Err(error) => Err(error.to_string()),
    }
}
