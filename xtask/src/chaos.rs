//! `cargo xtask chaos`: kills jobs at random moments until so many kills are counted, and holds what
//! they wrote against undisturbed runs.
//!
//! ```text
//!   per job, in turn:  undisturbed run, once ─► rows
//!                      start, kill, start, kill, … end ─► the same rows?   until the rounds are used up
//! ```

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use flott_testkit::{
    Flott, TempDir,
    kills::{
        Job, Killer, Random, Rows, Tally,
        auction::{self, Events},
        topics,
    },
    temp_dir,
};

/// Kills of one job before it may end.
const KILLS_AT_A_TIME: u64 = 6;
/// Milliseconds between two checkpoints, at least and at most.
const INTERVALS: (u64, u64) = (30, 120);
/// What is killed unless asked for something else.
pub const JOBS: &str = "q0,q5,q7,outer-join,top-n";

/// What to do.
pub struct Chaos {
    /// Kills in all.
    pub rounds: u64,
    /// Where the random moments come from.
    pub seed: u64,
    /// Events that each job reads.
    pub events: u64,
    /// Names of jobs between commas, or `all`.
    pub jobs: String,
    /// The binary.
    pub binary: PathBuf,
}

/// A job, what it should write, and what was found.
struct Victim {
    job: Job,
    expected: Rows,
    looks: u64,
    tally: Tally,
}

/// Kills jobs, and prints a table.
pub fn run(chaos: &Chaos) -> Result<(), String> {
    let directory = temp_dir().map_err(|error| error.to_string())?;
    let killer = Killer::new(&chaos.binary, directory.path(), INTERVALS);
    let mut victims = Vec::new();
    for job in jobs(chaos, directory.path())? {
        let (expected, looks) = killer.undisturbed(&job).map_err(|error| error.to_string())?;
        println!("{}: {} rows", job.name, expected.values().sum::<u64>());
        victims.push(Victim { job, expected, looks, tally: Tally::default() });
    }
    let done = torment(chaos, &killer, &mut victims);
    print_table(&victims);
    let is_right = done.is_ok() && victims.iter().all(|it| it.tally.is_right());
    if is_right {
        return Ok(());
    }
    Err(format!("{}seed {}; what was left: {}", failure(done), chaos.seed, keep(directory)))
}

/// The same done to Flink: the input is written here, the rest is `benchmarks/chaos_flink.py`.
pub fn run_flink(chaos: &Chaos, root: &Path) -> Result<(), String> {
    let directory = temp_dir().map_err(|error| error.to_string())?;
    let input = directory.path().join("input").to_string_lossy().into_owned();
    for sql in auction::for_flink(chaos.events, &input) {
        let outcome = Flott::new(&chaos.binary, directory.path()).run_sql(&sql);
        let outcome = outcome.map_err(|error| format!("{}: {error}", chaos.binary.display()))?;
        if !outcome.is_success() {
            return Err(outcome.stderr);
        }
    }
    let script = root.join("benchmarks/chaos_flink.py");
    let mut kill = Command::new("python3");
    kill.arg(script).arg(&input).args(["--jobs", &chaos.jobs]);
    kill.args(["--kills", &chaos.rounds.to_string(), "--seed", &chaos.seed.to_string()]);
    match kill.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the test of Flink failed".into()),
        Err(error) => Err(format!("python3: {error}")),
    }
}

/// Kills a job between topics, its broker and the connection between them, and prints a table.
pub fn run_kafka(chaos: &Chaos) -> Result<(), String> {
    let directory = temp_dir().map_err(|error| error.to_string())?;
    let done = torment_kafka(chaos, directory.path());
    let right = done.as_ref().is_ok_and(|tally| tally.lost + tally.doubled == 0);
    if right {
        return Ok(());
    }
    let failure = done.err().unwrap_or_else(|| "rows differ".into());
    Err(format!("{failure}\nseed {}; what was left: {}", chaos.seed, keep(directory)))
}

fn torment_kafka(chaos: &Chaos, directory: &Path) -> Result<topics::Tally, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut tormentor = topics::Tormentor::new(&chaos.binary, directory, chaos.events).map_err(said)?;
    println!("{} rows in four topics", tormentor.rows());
    let mut told = |all: &topics::Tally| {
        println!("{} rounds, {} jobs: {} lost, {} doubled", all.rounds(), all.jobs, all.lost, all.doubled);
    };
    let all = tormentor.torment(chaos.rounds, chaos.seed, &mut told).map_err(said)?;
    let counts = [
        ("rounds", all.rounds()),
        ("jobs", all.jobs),
        ("kills of Flott", all.kills),
        ("kills of the broker", all.broker_kills),
        ("connections cut", all.cuts),
        ("cut at the end of a transaction", all.ends_cut),
        ("silent or slow", all.silences),
        ("runs that gave up", all.gave_up),
        ("rows", all.rows),
        ("rows lost", all.lost),
        ("rows doubled", all.doubled),
    ];
    println!("\n| {} |", counts.map(|it| it.0).join(" | "));
    println!("|{}", "---|".repeat(counts.len()));
    println!("| {} |", counts.map(|it| it.1.to_string()).join(" | "));
    Ok(all)
}

fn failure(done: Result<(), String>) -> String {
    done.err().map_or_else(|| "rows differ; ".to_string(), |error| format!("{error}\n"))
}

/// The directory, not removed.
fn keep(directory: TempDir) -> String {
    directory.keep().display().to_string()
}

/// The jobs that are asked for. Those that write much get fewer events, at a rate, so that a run lasts.
fn jobs(chaos: &Chaos, directory: &Path) -> Result<Vec<Job>, String> {
    let slowly = Events { number: chaos.events / 5, per_second: Some((chaos.events / 10).max(1)) };
    let mut jobs = auction::from_generator(chaos.events);
    jobs.extend(auction::changing(chaos.events));
    let slow = auction::from_generator(slowly).into_iter().chain(auction::changing(slowly));
    for slow in slow.filter(|it| it.changes || it.name == "q0") {
        jobs.iter_mut().filter(|it| it.name == slow.name).for_each(|it| *it = slow.clone());
    }
    let input = directory.join("input").to_string_lossy().into_owned();
    jobs.extend(auction::from_files(&input));
    if chaos.jobs != "all" {
        let wanted: Vec<&str> = chaos.jobs.split(',').collect();
        if let Some(unknown) = wanted.iter().find(|it| !jobs.iter().any(|job| job.name == **it)) {
            let names: Vec<_> = jobs.iter().map(|it| it.name.as_str()).collect();
            return Err(format!("there is no job '{unknown}'; there are {}", names.join(", ")));
        }
        jobs.retain(|it| wanted.contains(&it.name.as_str()));
    }
    if jobs.iter().any(|it| it.name.ends_with("-files")) {
        write_input(chaos, directory, &input)?;
    }
    Ok(jobs)
}

/// Writes the files that some jobs read.
fn write_input(chaos: &Chaos, directory: &Path, input: &str) -> Result<(), String> {
    let outcome = Flott::new(&chaos.binary, directory)
        .run_sql(&auction::to_files(chaos.events, input))
        .map_err(|error| format!("{}: {error}", chaos.binary.display()))?;
    if outcome.is_success() { Ok(()) } else { Err(outcome.stderr) }
}

/// Job after job, until the rounds are used up.
fn torment(chaos: &Chaos, killer: &Killer, victims: &mut [Victim]) -> Result<(), String> {
    let mut random = Random::new(chaos.seed);
    let (mut left, mut idle) = (chaos.rounds, 0);
    while left > 0 {
        let before = left;
        for victim in &mut *victims {
            let kills = left.min(KILLS_AT_A_TIME);
            if kills == 0 {
                return Ok(());
            }
            let tally = killer
                .torment(&victim.job, &victim.expected, victim.looks, kills, &mut random)
                .map_err(|error| error.to_string())?;
            left = left.saturating_sub(tally.kills());
            victim.tally.add(&tally);
            println!(
                "{} left after {}: {} kills, {} checkpoints",
                left,
                victim.job.name,
                tally.kills(),
                tally.checkpoints
            );
            if !tally.is_right() {
                return Err(format!("{} wrote other rows than the undisturbed run", victim.job.name));
            }
        }
        idle = if left == before { idle + 1 } else { 0 };
        if idle > 3 {
            return Err("the jobs end before they can be killed: give them more --events".into());
        }
    }
    Ok(())
}

fn print_table(victims: &[Victim]) {
    println!(
        "\n| job | rows | runs | kills | early | between manifest and mark | after a first checkpoint \
         | of a pair | pairs | stopped for the other | checkpoints | rows lost | rows doubled | files left |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut all = Tally::default();
    for victim in victims {
        print_row(&victim.job.name, victim.expected.values().sum(), &victim.tally);
        all.add(&victim.tally);
    }
    print_row("all", victims.iter().flat_map(|it| it.expected.values()).sum(), &all);
}

fn print_row(name: &str, rows: u64, tally: &Tally) {
    let counts = [
        rows,
        tally.finished,
        tally.kills(),
        tally.early,
        tally.pending,
        tally.running,
        tally.paired,
        tally.pairs,
        tally.superseded,
        tally.checkpoints,
        tally.lost,
        tally.doubled,
        tally.left_behind,
    ];
    println!("| {name} | {} |", counts.map(|it| it.to_string()).join(" | "));
}
