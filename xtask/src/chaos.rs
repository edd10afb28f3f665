//! `cargo xtask chaos`: kills jobs at random moments until so many kills are counted, and holds what
//! they wrote against undisturbed runs.
//!
//! ```text
//!   per job, in turn:  undisturbed run, once ─► rows
//!                      start, kill, start, kill, … end ─► the same rows?   until the rounds are used up
//! ```

use std::path::{Path, PathBuf};

use flott_testkit::{
    Flott, TempDir,
    kills::{Job, Killer, Random, Rows, Tally, auction},
    temp_dir,
};

/// Kills of one job before it may end.
const KILLS_AT_A_TIME: u64 = 5;

/// What to do.
pub struct Chaos {
    /// Kills in all.
    pub rounds: u64,
    /// Where the random moments come from.
    pub seed: u64,
    /// Events that each job reads.
    pub events: u64,
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
    let killer = Killer::new(&chaos.binary, directory.path(), (100, 300));
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

fn failure(done: Result<(), String>) -> String {
    done.err().map_or_else(|| "rows differ; ".to_string(), |error| format!("{error}\n"))
}

/// The directory, not removed.
fn keep(directory: TempDir) -> String {
    directory.keep().display().to_string()
}

/// Every query, over generated events and over files.
fn jobs(chaos: &Chaos, directory: &Path) -> Result<Vec<Job>, String> {
    let input = directory.join("input").to_string_lossy().into_owned();
    let outcome = Flott::new(&chaos.binary, directory)
        .run_sql(&auction::to_files(chaos.events, &input))
        .map_err(|error| format!("{}: {error}", chaos.binary.display()))?;
    if !outcome.is_success() {
        return Err(outcome.stderr);
    }
    let mut jobs = auction::from_generator(chaos.events);
    jobs.extend(auction::from_files(&input));
    jobs.extend(auction::changing(chaos.events));
    Ok(jobs)
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
        "\n| job | rows | runs | kills | before its first checkpoint | between manifest and mark | checkpoints | rows lost | rows doubled | files left |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut all = Tally::default();
    for victim in victims {
        print_row(&victim.job.name, victim.expected.values().sum(), &victim.tally);
        all.add(&victim.tally);
    }
    print_row("all", victims.iter().flat_map(|it| it.expected.values()).sum(), &all);
}

fn print_row(name: &str, rows: u64, tally: &Tally) {
    println!(
        "| {name} | {rows} | {} | {} | {} | {} | {} | {} | {} | {} |",
        tally.finished,
        tally.kills(),
        tally.early,
        tally.pending,
        tally.checkpoints,
        tally.lost,
        tally.doubled,
        tally.left_behind
    );
}
