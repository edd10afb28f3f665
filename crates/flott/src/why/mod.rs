//! `flott why`: asks a run twice what it is doing, says what holds it back.
//!
//! ```text
//!   DIR ─► the job's newest run that answers ─► two samples ─► diagnose ─► one sentence
//!      └─► none answers: what its checkpoints tell
//! ```

pub mod between;
pub mod diagnose;
pub mod live;

use std::{path::Path, process::ExitCode};

use flott_engine::activity::{Sample, SourceSample};
use flott_state::{
    Lease, LeaseState, LocalStorage,
    lease::lease_of,
    sequence::{Contents, contents},
};
use flott_types::Result;
use serde_json::{Value, json};

use crate::{
    checkpoints::Place,
    cli::Why,
    console, diagnostics, process,
    report::grouped,
    socket::client::{self, Run},
    standby::who,
};
use between::span;
use diagnose::{Cause, diagnose};

/// Something holds the run back, or there is none.
const HELD_BACK: u8 = 1;

/// Says what holds a job's run back.
pub fn command(arguments: &Why) -> ExitCode {
    match why(arguments) {
        Ok(code) => code,
        Err(error) => diagnostics::show(&[error], None),
    }
}

fn why(arguments: &Why) -> Result<ExitCode> {
    let place = Place::of(&arguments.directory)?;
    let job = place.job()?;
    let Some(run) = client::find(job) else { return not_running(job, arguments.json) };
    let (first, second) = run.two_samples()?;
    let causes = diagnose(&first, &second);
    let superseded = superseded(job, &run);
    let held_back = superseded.is_some() || causes.iter().any(|cause| cause.kind.holds_back());
    if arguments.json {
        console::out(format_args!("{}\n", as_json(&second, &causes, superseded)));
    } else {
        console::out(as_text(&second, &causes, superseded));
    }
    Ok(if held_back { ExitCode::from(HELD_BACK) } else { ExitCode::SUCCESS })
}

/// The generation of a newer run than the one that answers, if there is one: it has taken the job over.
pub(crate) fn superseded(job: &Path, run: &Run) -> Option<u64> {
    let contents = contents(&LocalStorage::new(job)).ok()?;
    contents.claims.keys().copied().max().filter(|newest| *newest > run.generation)
}

/// `nexmark-q5, run 3 (process 4711), for 2 min 5 s`
pub(crate) fn headline(sample: &Sample) -> String {
    format!(
        "{}, run {} (process {}), running for {}",
        sample.job,
        sample.generation,
        sample.process,
        span(sample.elapsed)
    )
}

pub(crate) fn taken_over(by: u64) -> String {
    format!(
        "run {by} has taken the job over, and does not answer on this machine: this one can publish nothing more"
    )
}

fn as_text(sample: &Sample, causes: &[Cause], superseded: Option<u64>) -> String {
    let mut out = headline(sample) + "\n";
    out += &superseded.map_or_else(String::new, |by| taken_over(by) + "\n");
    for (at, cause) in causes.iter().enumerate() {
        let also = if at == 0 { "" } else { "also: " };
        out += &format!("{also}{}\n", cause.sentence);
        out += &cause.help.as_ref().map_or_else(String::new, |help| format!("  {help}\n"));
    }
    for source in sample.sources.iter().filter(|source| !source.ended) {
        if let Some(behind) = behind(source) {
            out += &format!("source '{}' is {behind}\n", source.name);
        }
    }
    out
}

/// `12,000 records behind: 'orders[1]' 9,000, 'orders[0]' 3,000`; none: it isn't, or nobody knows.
pub(crate) fn behind(source: &SourceSample) -> Option<String> {
    let all = source.lag.filter(|all| *all > 0)?;
    let splits = source.behind.iter().map(|it| (it.name.as_str(), it.lag.unwrap_or(0)));
    let named = splits.clone().fold(0_u64, |sum, (_, lag)| sum.saturating_add(lag));
    let mut each: Vec<String> = splits.map(|(name, lag)| format!("'{name}' {}", grouped(lag))).collect();
    if named < all {
        each.push(format!("others {}", grouped(all - named)));
    }
    Some(format!("{} records behind: {}", grouped(all), each.join(", ")))
}

fn as_json(sample: &Sample, causes: &[Cause], superseded: Option<u64>) -> Value {
    json!({
        "job": sample.job,
        "running": true,
        "generation": sample.generation,
        "process": sample.process,
        "superseded_by": superseded,
        "held_back": superseded.is_some() || causes.iter().any(|cause| cause.kind.holds_back()),
        "causes": causes,
        "sample": sample,
    })
}

/// A job that nobody runs here: what its checkpoints tell.
fn not_running(job: &Path, json: bool) -> Result<ExitCode> {
    let storage = LocalStorage::new(job);
    let contents = contents(&storage)?;
    let name = contents.claims.values().next_back().map_or_else(
        || job.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        |claim| claim.job.clone(),
    );
    let last = contents.manifests.values().next_back();
    let finished = last.is_some_and(|it| it.finished);
    if let Some(lease) = held(&storage, &contents)? {
        let by = who(Some(&lease.holder));
        if json {
            let answer = json!({"job": name, "running": true, "answers": false, "holder": by});
            console::out(format_args!("{answer}\n"));
        } else {
            console::out(format_args!(
                "{name} is run by {by}, which doesn't answer here: it waits to be restarted after a failure, or belongs \
                 to another user or machine; `flott status` tells more\n"
            ));
        }
        return Ok(ExitCode::from(HELD_BACK));
    }
    if json {
        let last = last.map(|it| {
            json!({"number": it.number, "created": time(it.created_micros), "finished": it.finished,
                   "state_bytes": it.state_bytes()})
        });
        console::out(format_args!("{}\n", json!({"job": name, "running": false, "checkpoint": last})));
    } else {
        console::out(format_args!("{}\n", told(&name, &contents)));
    }
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::from(HELD_BACK) })
}

/// The lease of the newest run, if it is held by a process that may live.
fn held(storage: &LocalStorage, contents: &Contents) -> Result<Option<Lease>> {
    let Some(claim) = contents.claims.keys().next_back() else { return Ok(None) };
    let lease = lease_of(storage, *claim)?;
    Ok(lease.filter(|it| it.state == LeaseState::Held && !process::is_gone(&it.holder)))
}

fn time(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// That a job does not run, and how far it came.
fn told(name: &str, contents: &Contents) -> String {
    let Some(last) = contents.manifests.values().next_back() else {
        let runs = contents.claims.len();
        return format!(
            "{name} does not run on this machine: it was started {runs} time{}, and has no checkpoint yet",
            if runs == 1 { "" } else { "s" }
        );
    };
    let when = time(last.created_micros);
    if last.finished {
        return format!(
            "{name} does not run: it had read all its input at checkpoint {}, {when}",
            last.number
        );
    }
    let state = crate::report::size(last.state_bytes());
    format!(
        "{name} does not run on this machine: its last checkpoint is {}, {when}, with {state} of state; the next \
         run goes on from there",
        last.number
    )
}
