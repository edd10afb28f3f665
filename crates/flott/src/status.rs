//! `flott status`: who runs the jobs of a checkpoint directory, since when, how far they are.
//!
//! ```text
//!   lease/… ─► holder, beat ─► of this machine: is the process there?   otherwise: does the beat move?
//!   sequence/… ─► newest checkpoint: number, age, state, rows in and out
//! ```
//! Only reads. Ages are by this machine's clock and those of the holders: for people, never decided upon.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use flott_connector::{Clock, StopSignal, SystemClock};
use flott_state::{
    Holder, LeaseState, LocalStorage, Manifest, Storage,
    lease::{self, Sight, Waiting, Watch},
    sequence::contents,
};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use crate::{
    checkpoints::Place,
    cli::Status as Arguments,
    console, diagnostics, process,
    report::{grouped, size},
    standby::who,
};

/// Shows all jobs.
pub fn command(arguments: &Arguments) -> ExitCode {
    match show(&arguments.directory, arguments.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Running,
    Finished,
    Stopped,
    Failed,
    /// Its process is gone without a word.
    Dead,
    /// Its lease stands still.
    Silent,
    /// Nobody says.
    Unknown,
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a job.
struct Found {
    name: String,
    doing: Doing,
    sight: Sight,
    checkpoint: Option<Manifest>,
    /// And whether they gave no sign of life while we looked.
    standbys: Vec<(Waiting, bool)>,
}

/// A standby that doesn't beat for this long is said to be silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// How often it looks whether a beat moves.
const LOOK: Duration = Duration::from_millis(25);

fn show(directory: &Path, as_json: bool) -> Result<()> {
    let place = Place::of(directory)?;
    if place.folders.is_empty() {
        let message = format!("there are no checkpoints in '{}'", directory.display());
        return Err(Diagnostic::error(Code::CheckpointUnusable, message));
    }
    let clock = SystemClock::new();
    for folder in &place.folders {
        let found = look(folder, &clock)?;
        if as_json {
            console::out(format_args!("{}\n", object(&found)));
        } else {
            console::out(text(&found, clock.now_micros()));
        }
    }
    Ok(())
}

fn look(folder: &Path, clock: &dyn Clock) -> Result<Found> {
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(folder));
    let newest = contents(storage.as_ref())?;
    let checkpoint = newest.manifests.into_iter().next_back().map(|(_, manifest)| manifest);
    let mut watch = Watch::new(storage.clone(), LOOK * 8);
    let never = StopSignal::new();
    let (doing, sight) = loop {
        let sight = watch.look(clock.monotonic())?;
        match doing(&sight, checkpoint.as_ref()) {
            Some(doing) => break (doing, sight),
            None => never.wait(LOOK),
        };
    };
    let standbys = standbys(storage.as_ref(), clock)?;
    let folder_name = || folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = sight.claim.as_ref().map_or_else(folder_name, |claim| claim.job.clone());
    Ok(Found { name, doing, sight, checkpoint, standbys })
}

/// Those who say that they wait. Of one on another machine only a beat tells that it still does.
fn standbys(storage: &dyn Storage, clock: &dyn Clock) -> Result<Vec<(Waiting, bool)>> {
    let first = lease::waiting(storage)?;
    let (until, never) = (clock.monotonic() + SIGN_OF_LIFE, StopSignal::new());
    loop {
        let mut now = lease::waiting(storage)?;
        now.retain(|_, it| !process::is_gone(&it.holder));
        let is_silent = |nonce: &u64, it: &Waiting| first.get(nonce).is_some_and(|was| was.beat == it.beat);
        let silent = now.iter().any(|(nonce, it)| is_silent(nonce, it));
        if !silent || clock.monotonic() >= until {
            return Ok(now.into_iter().map(|(nonce, it)| (it.clone(), is_silent(&nonce, &it))).collect());
        }
        never.wait(LOOK);
    }
}

/// What a job is doing; `None`: look again.
fn doing(sight: &Sight, checkpoint: Option<&Manifest>) -> Option<Doing> {
    let is_gone = sight.holder().is_some_and(process::is_gone);
    let Some(lease) = &sight.lease else {
        // Claimed, but no sign of life yet, or of a build that gave none.
        return match checkpoint {
            Some(checkpoint) if checkpoint.finished && checkpoint.number > sight.generation() => {
                Some(Doing::Finished)
            }
            _ if is_gone => Some(Doing::Dead),
            _ => (sight.silent > Duration::from_millis(200)).then_some(Doing::Unknown),
        };
    };
    match lease.state {
        LeaseState::Finished => Some(Doing::Finished),
        LeaseState::Stopped => Some(Doing::Stopped),
        LeaseState::Failed => Some(Doing::Failed),
        LeaseState::Held if is_gone => Some(Doing::Dead),
        LeaseState::Held if sight.alive => Some(Doing::Running),
        LeaseState::Held => {
            let patience = Duration::from_millis(lease.interval_millis.saturating_mul(3)) + LOOK;
            (sight.silent > patience).then_some(Doing::Silent)
        }
    }
}

/// Rows read and written up to a checkpoint.
fn rows(manifest: &Manifest) -> Option<(u64, u64)> {
    let counts = manifest.counters.get("counts")?;
    let first = |list: &str| {
        let all = counts.get(list)?.as_array()?.iter();
        Some(all.filter_map(|it| it.get(0).or(Some(it))?.as_u64()).sum())
    };
    Some((first("sources")?, first("sinks")?))
}

fn of_holder(holder: &Holder) -> Value {
    json!({ "host": holder.host, "pid": holder.pid })
}

fn object(found: &Found) -> Value {
    let Found { name, doing, sight, checkpoint, standbys } = found;
    let mut object = json!({ "job": name, "status": doing.word(), "generation": sight.generation() });
    if let Some(holder) = sight.holder() {
        object["holder"] = of_holder(holder);
    }
    if let Some(since) = since(sight) {
        object["since"] = instant(since).into();
    }
    if let Some(lease) = sight.lease.as_ref().filter(|lease| lease.restarts > 0) {
        object["restarts"] = lease.restarts.into();
    }
    if let Some(it) = checkpoint {
        let mut last = json!({
            "number": it.number,
            "created": instant(it.created_micros),
            "state_bytes": it.state_bytes(),
        });
        if let Some((read, written)) = rows(it) {
            last["read"] = read.into();
            last["written"] = written.into();
        }
        object["checkpoint"] = last;
    }
    let waiting = |(it, is_silent): &(Waiting, bool)| {
        let mut one = of_holder(&it.holder);
        one["since"] = instant(it.since_micros).into();
        one["has_read"] = it.warm.into();
        one["silent"] = (*is_silent).into();
        one
    };
    object["standbys"] = standbys.iter().map(waiting).collect();
    object
}

fn since(sight: &Sight) -> Option<i64> {
    let of_lease = sight.lease.as_ref().map(|lease| lease.since_micros);
    of_lease.or(sight.claim.as_ref().map(|claim| claim.created_micros))
}

fn text(found: &Found, now: i64) -> String {
    use std::fmt::Write;
    let Found { name, doing, sight, checkpoint, standbys } = found;
    let mut out = String::new();
    let since = since(sight).map_or(String::new(), |since| {
        let what = if *doing == Doing::Running { "since" } else { "begun" };
        format!(", {what} {} ({} ago)", instant(since), ago(now, since))
    });
    let holder = sight.holder().map_or(String::new(), |holder| format!(", {}", who(Some(holder))));
    let _ = writeln!(out, "{name}: {}{holder}{since}", doing.word());
    let restarts = sight.lease.as_ref().map_or(0, |lease| lease.restarts);
    let restarted = if restarts > 0 { format!(", restarted {restarts} times") } else { String::new() };
    let _ = writeln!(out, "  generation   {}{restarted}", sight.generation());
    match checkpoint {
        Some(it) => {
            let age = ago(now, it.created_micros);
            let _ =
                writeln!(out, "  checkpoint   {}, {age} ago, {} of state", it.number, size(it.state_bytes()));
            if let Some((read, written)) = rows(it) {
                let _ =
                    writeln!(out, "  up to there  {} rows read, {} written", grouped(read), grouped(written));
            }
        }
        None => out.push_str("  checkpoint   none yet\n"),
    }
    for (standby, is_silent) in standbys {
        let read = standby.warm.map_or(String::new(), |it| format!(", has read checkpoint {it}"));
        let since = ago(now, standby.since_micros);
        let silent = if *is_silent { ", and is silent now" } else { "" };
        let _ = writeln!(out, "  standby      {}, for {since}{read}{silent}", who(Some(&standby.holder)));
    }
    out
}

/// A moment as people read it: UTC, to the second.
fn instant(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| "?".into(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A span as people read it.
fn ago(now: i64, then: i64) -> String {
    let seconds = now.saturating_sub(then).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
