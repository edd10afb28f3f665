//! The simulation: shipped engine, state and sink on a clock, a scheduler, a disk and a checkpoint store
//! that follow from one number, the seed.
//!
//! ```text
//!   seed ─► script, data, shards, interval, faults
//!            │
//!            ▼         requests: write, sync, rename, put, list …
//!   incarnation 0 ══════════════════════════════► disk, store ◄══ incarnation 1 (another parallelism,
//!     reader │ shard │ shard │ job │ I/O thread      │  ▲            perhaps while 0 still runs)
//!        ▲       ▲       ▲      ▲       ▲            ▼  └ power cut: what wasn't synced is lost
//!        └───────┴── scheduler ─┴───────┘      rows that readers see = those of an undisturbed run?
//! ```
//!
//! Invariants
//! - What is run is what is shipped: `flott_engine::stepped`, `flott_state`, the files sink. Only what they
//!   stand on is simulated: [`flott_connector::Disk`], [`flott_connector::Clock`], [`flott_state::Storage`],
//!   and a source whose rows are known.
//! - A seed draws at least two splits, three operators with state, three epochs and one fault.
//! - The same seed takes the same steps: [`Report::hash`] is a number of all of them.
//! - A planted bug ([`flott_types::planted`]) is on in the disturbed run only.

mod campaign;
mod check;
mod disk;
mod faults;
mod log;
mod scripts;
mod source;
mod store;
mod world;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use flott_connector::StopSignal;
use flott_engine::{Checkpointing, Job, JobSettings, MiniBatch, Resume, StateSettings};
use flott_types::planted::{self, Bug};

pub use campaign::{Campaign, Hunt, campaign, hunt};
pub use faults::Kind;

use check::Seen;
use faults::Fault;
use scripts::{DATA_SETS, SCRIPTS};
use world::{World, with};

use crate::kills::Random;

/// What a seed came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// The pipeline.
    pub script: &'static str,
    /// Splits of all tables that it reads.
    pub splits: u64,
    /// Operators with state.
    pub operators: u64,
    /// Incarnations, the last look included.
    pub incarnations: u64,
    /// Those that died.
    pub deaths: u64,
    /// Checkpoints that were written.
    pub epochs: u64,
    /// Faults that struck.
    pub faults: Vec<Kind>,
    /// Rows that readers see at the end.
    pub rows: u64,
    /// Rows that they miss.
    pub lost: u64,
    /// Rows that they see too often, or should never have seen.
    pub doubled: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Requests to disk and store.
    pub requests: u64,
    /// A number of all steps.
    pub hash: u64,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
}

/// How an undisturbed run of a pipeline over a data set ends.
struct Undisturbed {
    seen: Seen,
    requests: u64,
}

/// What a seed has drawn.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    seed: u64,
    script: usize,
    data: u64,
    interval_millis: u64,
    buffer_millis: u64,
    rows_gathered: u64,
    exchange: usize,
    retained: usize,
    /// Shards of every incarnation; `None`: drawn for each.
    shards: Option<usize>,
}

thread_local! {
    static KNOWN: RefCell<BTreeMap<(usize, u64), Rc<Undisturbed>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Key groups of all jobs: few, so that every shard count divides them unevenly.
const KEY_GROUPS: u16 = 16;
/// A seed whose faults come when all is over draws others.
const DRAWS_MAX: usize = 8;
/// A run that takes more steps hangs.
const STEPS_MAX: u64 = 400_000;
/// A job that starts so often without coming to its end never will.
const STARTS_MAX: usize = 24;
/// Steps that older incarnations still get once the job is through.
const STEPS_AFTER: u64 = 400;

/// The job of an incarnation.
fn job(drawn: Drawn, process: usize, stop: &StopSignal, planned: &scripts::Planned) -> (Job, usize) {
    let parallelism = drawn.shards.unwrap_or_else(|| with(|world| 1 + world.random.below(3) as usize));
    let name = "simulated".to_string();
    let settings = JobSettings {
        parallelism,
        batch_rows: 64,
        buffer_timeout: Duration::from_millis(drawn.buffer_millis),
        time_zone: chrono_tz::UTC,
        pipeline_name: name.clone(),
        dead_letter_directory: PathBuf::from("/letters"),
        run_id: format!("{:x}-{process}", drawn.seed),
        key_groups: KEY_GROUPS,
        exchange_capacity: drawn.exchange,
        idle_timeout: None,
        batch_mode: false,
        mini_batch: MiniBatch {
            latency: Duration::from_millis(drawn.buffer_millis),
            rows: drawn.rows_gathered,
        },
        checkpointing: Some(Checkpointing {
            has_begun: false,
            tolerated: 29,
            retry_pause: Duration::ZERO,
            stores: Arc::new(store::SimStore { process }),
            directory: PathBuf::from("/checkpoints"),
            job: name,
            interval: Duration::from_millis(drawn.interval_millis),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            retained: drawn.retained,
            resume: Resume::Auto,
            allow_drop: Vec::new(),
            keeper: None,
        }),
        state: StateSettings {
            budget: flott_engine::MemoryBudget::new(usize::MAX),
            scratch: Arc::new(flott_state::storage::MemoryStorage::new()),
        },
        options: planned.1.clone(),
    };
    let job = Job {
        plan: planned.0.clone(),
        registry: scripts::registry(drawn.data, process),
        settings,
        clock: Arc::new(disk::SimClock { process }),
        disk: disk::disk_of(process),
        stop: stop.clone(),
        collect: None,
        replay: None,
        warm: None,
    };
    (job, parallelism)
}

fn world_of(drawn: Drawn, faults: Vec<Fault>, trace: bool) -> Result<World, String> {
    let planned = scripts::planned(drawn.script)?;
    let mut world = World::default();
    world.random = Random::new(drawn.seed ^ 0x5EED);
    (world.faults, world.trace) = (faults, trace);
    world.start = Some(Rc::new(move |process, stop| job(drawn, process, stop, &planned)));
    Ok(world)
}

/// Lets the job run until it has come to its end, whatever happens to its incarnations.
fn run_to_end(drawn: Drawn, expected: Option<&Seen>) -> Result<(), String> {
    let (mut finished, mut left, mut looked_at) = (None, STEPS_AFTER, 0);
    loop {
        let (living, started, steps) = with(|world| (world.living(), world.started(), world.steps));
        if steps > STEPS_MAX {
            return Err("it hangs".into());
        }
        if finished.is_some() && (living == 0 || left == 0) {
            return Ok(());
        }
        if living == 0 {
            if started >= STARTS_MAX {
                return Err(format!(
                    "it was started {started} times and never came to its end{}",
                    last_error()
                ));
            }
            world::start();
        }
        world::step();
        left -= u64::from(finished.is_some());
        let ends = with(|world| world.ends.len());
        if ends > looked_at {
            looked_at = ends;
            if let Some(expected) = expected {
                wrong(Seen::now(drawn.script).so_far(drawn.script, expected))?;
            }
            finished =
                with(|world| world.ends.iter().find(|end| world::is_finished(end)).map(|end| end.process));
        }
    }
}

fn wrong(verdict: check::Verdict) -> Result<(), String> {
    match verdict.what {
        None => Ok(()),
        Some(what) => Err(format!("{what} (lost {}, doubled {})", verdict.lost, verdict.doubled)),
    }
}

fn last_error() -> String {
    with(|world| {
        let errors = world.ends.iter().rev().filter_map(|end| end.outcome.as_ref()?.1.clone());
        errors.take(1).map(|error| format!(": {error}")).collect()
    })
}

/// What an undisturbed run writes; found out once per thread.
fn undisturbed(script: usize, data: u64) -> Result<Rc<Undisturbed>, String> {
    if let Some(known) = KNOWN.with(|it| it.borrow().get(&(script, data)).cloned()) {
        return Ok(known);
    }
    let drawn = Drawn {
        seed: 1,
        script,
        data,
        interval_millis: 10,
        buffer_millis: 5,
        rows_gathered: 1 << 15,
        exchange: 4,
        retained: 2,
        shards: Some(1),
    };
    let planted = planted::plant(None);
    let outcome = world_of(drawn, Vec::new(), false).and_then(|world| {
        world::replace(world);
        run_to_end(drawn, None)
    });
    planted::plant(planted);
    outcome.map_err(|what| format!("undisturbed: {what}"))?;
    let made = Rc::new(Undisturbed { seen: Seen::now(script), requests: with(|world| world.ops) });
    KNOWN.with(|it| it.borrow_mut().insert((script, data), made.clone()));
    Ok(made)
}

/// Runs one seed.
pub fn simulate(seed: u64, bug: Option<Bug>, trace: bool) -> Report {
    let mut random = Random::new(seed);
    let drawn = Drawn {
        seed,
        script: random.below(SCRIPTS.len() as u64) as usize,
        data: random.below(DATA_SETS),
        interval_millis: 1 + random.below(25),
        buffer_millis: 1 + random.below(20),
        rows_gathered: if random.below(4) == 0 { 1 } else { 1 << 15 },
        exchange: 1 + random.below(4) as usize,
        retained: 1 + random.below(3) as usize,
        shards: None,
    };
    let mut report =
        Report { seed, script: SCRIPTS.get(drawn.script).map_or("", |it| it.name), ..Report::default() };
    let before = planted::plant(bug);
    for _ in 0..DRAWS_MAX {
        report.failure = disturbed(drawn, &mut random, trace, &mut report).err();
        if report.failure.is_some() || (!report.faults.is_empty() && report.epochs >= 3) {
            break;
        }
    }
    planted::plant(before);
    report
}

fn disturbed(drawn: Drawn, random: &mut Random, trace: bool, report: &mut Report) -> Result<(), String> {
    let expected = undisturbed(drawn.script, drawn.data)?;
    // Recovery makes a run longer, and several shards ask more often.
    let requests = expected.requests * 3 / 2;
    let faults = (0..1 + random.below(4)).map(|_| Fault::draw(random, requests)).collect();
    world::replace(world_of(drawn, faults, trace)?);
    let outcome =
        run_to_end(drawn, Some(&expected.seen)).and_then(|()| last_look(drawn, &expected.seen, report));
    world::kill_all();
    let planned = scripts::planned(drawn.script)?;
    let tables = scripts::tables(drawn.data);
    let reads = |number: usize| read_tables(&planned).iter().any(|it| it.1 == number);
    report.splits =
        tables.iter().enumerate().filter(|(it, _)| reads(*it)).map(|(_, it)| it.splits() as u64).sum();
    report.operators = scripts::operators(&planned.0) as u64;
    with(|world| {
        report.incarnations = world.started() as u64;
        report.deaths = world.ends.iter().filter(|end| end.outcome.is_none()).count() as u64;
        report.epochs = world.manifests();
        report.faults.clone_from(&world.struck);
        report.steps = world.steps;
        report.requests = world.ops;
        report.hash = world.hash;
    });
    outcome
}

/// The sources of a plan: their names, and the tables that they read.
fn read_tables(planned: &scripts::Planned) -> Vec<(String, usize)> {
    let sources = planned.0.sources();
    let number = |name: &str| usize::from(name.starts_with('b'));
    sources.map(|(_, source)| (source.name.clone(), number(&source.name))).collect()
}

/// The job is through: one more start sweeps, and everything must be as it should.
fn last_look(drawn: Drawn, expected: &Seen, report: &mut Report) -> Result<(), String> {
    world::kill_all();
    with(World::calm);
    let before = with(|world| world.ends.len());
    world::start();
    while with(|world| world.living()) > 0 {
        world::step();
    }
    let seen = Seen::now(drawn.script);
    report.rows = seen.rows();
    let verdict = seen.at_end(expected);
    (report.lost, report.doubled) = (verdict.lost, verdict.doubled);
    wrong(verdict)?;
    let summary = with(|world| {
        let end = world.ends.get(before)?;
        if world::is_finished(end) { end.outcome.as_ref().map(|it| it.0.clone()) } else { None }
    });
    let Some(summary) = summary else {
        return Err(format!("the job had finished, and its next start fails{}", last_error()));
    };
    let planned = scripts::planned(drawn.script)?;
    let tables = scripts::tables(drawn.data);
    let read: Vec<(String, u64)> = read_tables(&planned)
        .into_iter()
        .map(|(name, number)| (name, tables.get(number).map_or(0, |table| table.rows())))
        .collect();
    seen.counted(&summary, &read).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
