//! Runs the simulation: `cargo xtask simulate`.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use clap::Parser;
use flott_testkit::sim::{Campaign, Report, campaign, hunt, simulate};
use flott_types::planted::Bug;

#[derive(Parser)]
#[command(about = "Runs engine, state and sinks on a simulated machine, and compares what readers see")]
struct Arguments {
    /// How many seeds to run
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; without --seeds that one alone, with every step it takes
    #[arg(long)]
    seed: Option<u64>,
    /// Plant this bug, or all in turn, and say which seed finds it
    #[arg(long, value_name = "NAME|all")]
    plant: Option<String>,
    /// Threads; default: as many as there are cores
    #[arg(long)]
    threads: Option<usize>,
}

/// Seeds within which a planted bug must be found.
const HUNT_SEEDS: u64 = 10_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let from = arguments.seed.unwrap_or(1);
    let good = match (&arguments.plant, arguments.seeds) {
        (plant, None) if arguments.seed.is_some() => {
            plant_of(plant.as_deref()).is_some_and(|bug| alone(from, bug.first().copied()))
        }
        (Some(plant), seeds) => {
            plant_of(Some(plant)).is_some_and(|bugs| find(&bugs, from, seeds.unwrap_or(HUNT_SEEDS), threads))
        }
        (None, seeds) => many(from, seeds.unwrap_or(1000), threads),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plant_of(name: Option<&str>) -> Option<Vec<Bug>> {
    let Some(name) = name else { return Some(Vec::new()) };
    let found: Vec<Bug> = Bug::ALL.into_iter().filter(|bug| name == "all" || bug.name() == name).collect();
    if found.is_empty() {
        let names: Vec<String> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        eprintln!("no planted bug '{name}'; there are: {}", names.join(", "));
        return None;
    }
    Some(found)
}

fn alone(seed: u64, bug: Option<Bug>) -> bool {
    let report = simulate(seed, bug, true);
    println!("{report:#?}");
    report.failure.is_none()
}

fn find(bugs: &[Bug], from: u64, seeds: u64, threads: usize) -> bool {
    println!("| planted | found at seed | by |");
    println!("|---|---|---|");
    let mut all = true;
    for bug in bugs {
        match hunt(*bug, from, seeds, threads).found {
            Some(it) => {
                println!("| {} | {} | {} |", bug.name(), it.seed, it.failure.unwrap_or_default());
            }
            None => {
                all = false;
                println!("| {} | not found in {seeds} | |", bug.name());
            }
        }
    }
    all
}

fn many(from: u64, seeds: u64, threads: usize) -> bool {
    let done = AtomicU64::new(0);
    let each = |report: &Report| {
        if let Some(what) = &report.failure {
            eprintln!("seed {} ({}): {what}", report.seed, report.script);
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10_000) {
            eprintln!("{done} seeds");
        }
    };
    let all = campaign(from, seeds, threads, &each);
    print_table(&all);
    all.failures.is_empty()
}

fn print_table(all: &Campaign) {
    println!("| seeds | incarnations | died | checkpoints | requests | rows | lost | doubled | failed |");
    println!("|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        all.seeds,
        all.incarnations,
        all.deaths,
        all.epochs,
        all.requests,
        all.rows,
        all.lost,
        all.doubled,
        all.failures.len()
    );
    println!("\n| fault | times |\n|---|---|");
    all.faults.iter().for_each(|(kind, times)| println!("| {} | {times} |", kind.name()));
    println!("\n| pipeline | seeds |\n|---|---|");
    all.scripts.iter().for_each(|(script, seeds)| println!("| {script} | {seeds} |"));
    if all.calm > 0 {
        println!("\n{} seeds came to their end before a fault struck.", all.calm);
    }
}
