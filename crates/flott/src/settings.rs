//! The session's options, made into a job's settings.

use std::{path::PathBuf, sync::Arc, time::Duration};

use flott_connector::{Clock, SystemClock};
use flott_engine::{Checkpointing, JobSettings, MiniBatch, Resume};
use flott_state::LocalStores;
use flott_types::{Code, Diagnostic, Options, Result};

use crate::{lease, restarts::Strategy};

/// Rows in a batch: large enough to make per-batch work vanish, small enough for the cache.
const BATCH_ROWS: usize = 8192;

/// Each shard is a thread: more than this no machine gains from.
const PARALLELISM_MAX: usize = 1024;

/// The settings of a job of this session.
///
/// # Errors
/// `InvalidOption`
pub fn job_settings(options: &Options, default_name: &str, clock: &dyn Clock) -> Result<JobSettings> {
    let shards = |text: &str| match text.trim().parse::<usize>() {
        Ok(number) if (1..=PARALLELISM_MAX).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from 1 to {PARALLELISM_MAX}")),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let zone = |text: &str| {
        zone_of(text)
            .ok_or_else(|| "expected a zone such as 'Europe/Berlin', 'UTC' or 'GMT+01:00'".to_string())
    };
    let pipeline_name = options.get("pipeline.name").unwrap_or(default_name).to_string();
    if pipeline_name.is_empty() || pipeline_name.contains('/') || pipeline_name.starts_with('.') {
        let message = format!(
            "option 'pipeline.name' = '{pipeline_name}': a name can't be empty, hold '/' or begin with '.'"
        );
        return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span("pipeline.name")));
    }
    let dead_letter_directory =
        PathBuf::from(options.get("dead-letter.path").unwrap_or("./flott-dlq")).join(&pipeline_name);
    let buffer_timeout =
        options.duration("execution.buffer-timeout.interval")?.unwrap_or(Duration::from_millis(100));
    let run_id = run_id(clock);
    Ok(JobSettings {
        parallelism: options.parsed("parallelism.default", shards)?.unwrap_or(cores),
        batch_rows: BATCH_ROWS,
        buffer_timeout,
        mini_batch: mini_batch(options, buffer_timeout)?,
        time_zone: options.parsed("table.local-time-zone", zone)?.unwrap_or_else(local_zone),
        key_groups: options.parsed("pipeline.max-parallelism", key_groups)?.unwrap_or(KEY_GROUPS),
        exchange_capacity: options
            .parsed("taskmanager.network.memory.buffers-per-channel", positive)?
            .unwrap_or(EXCHANGE_CAPACITY),
        idle_timeout: options.duration("table.exec.source.idle-timeout")?.filter(|it| !it.is_zero()),
        batch_mode: is_batch(options),
        checkpointing: checkpointing(options, &pipeline_name)?,
        pipeline_name,
        dead_letter_directory,
        state: crate::state::settings(options, &run_id)?,
        run_id,
        options: options.clone(),
    })
}

/// All that is wrong with the job's options, and what of them has no effect, said as warnings.
pub fn check(options: &Options, default_name: &str) -> Vec<Box<Diagnostic>> {
    let has_checkpoints =
        !is_batch(options) && options.get("execution.checkpointing.dir").is_some_and(|it| !it.is_empty());
    let mut found: Vec<Box<Diagnostic>> = Vec::new();
    found.extend(job_settings(options, default_name, &SystemClock::new()).err());
    found.extend(lease_terms(options).err());
    match Strategy::of(options, has_checkpoints) {
        Ok(strategy) => found.extend(strategy.without_effect(options, has_checkpoints)),
        Err(error) => found.push(error),
    }
    found.extend(state_backend(options));
    found
}

/// Flink's state backends have no counterpart to choose.
fn state_backend(options: &Options) -> Option<Box<Diagnostic>> {
    let key = "state.backend.type";
    let name = options.get(key).filter(|it| !it.eq_ignore_ascii_case("hashmap"))?;
    let message = format!("option '{key}' = '{name}' has no effect: there is one way in which state is held");
    let diagnostic = Diagnostic::warning(Code::InvalidOption, message).at(options.span(key)).help(
        "state is held in memory, and what is more than 'state.memory.budget' goes to 'state.dir' by itself",
    );
    Some(diagnostic)
}

/// A duration that must not be zero.
fn positive_duration(options: &Options, key: &str, default: Duration) -> Result<Duration> {
    let span = options.duration(key)?.unwrap_or(default);
    if span.is_zero() {
        let message = format!("option '{key}' = '{}': more than 0 ms", options.get(key).unwrap_or_default());
        return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(key)));
    }
    Ok(span)
}

/// How long changes are gathered: as long as buffers wait; not at all if the job says so, as in Flink
/// unless it is told otherwise.
fn mini_batch(options: &Options, buffer_timeout: Duration) -> Result<MiniBatch> {
    let latency = options.duration("table.exec.mini-batch.allow-latency")?.filter(|it| !it.is_zero());
    let rows = |text: &str| match text.trim().parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(rows @ 1..) => Ok(Some(rows.unsigned_abs())),
        _ => Err("expected a whole number above 0, or -1".to_string()),
    };
    let rows = options.parsed("table.exec.mini-batch.size", rows)?.flatten();
    Ok(match options.boolean("table.exec.mini-batch.enabled")? {
        Some(false) => MiniBatch { latency: Duration::ZERO, rows: 1 },
        Some(true) => {
            MiniBatch { latency: latency.unwrap_or(buffer_timeout), rows: rows.unwrap_or(GATHERED_ROWS_MAX) }
        }
        None => MiniBatch { latency: buffer_timeout, rows: GATHERED_ROWS_MAX },
    })
}

/// Rows that a shard gathers the changes of at the most, unless the job says otherwise: what is gathered is
/// held in memory, and more of it is hardly faster.
const GATHERED_ROWS_MAX: u64 = 32 << 10;

/// Key groups of a job, unless it says otherwise: so many shards can share its state at the most.
const KEY_GROUPS: u16 = 128;

/// Messages that may wait between two shards, unless the job says otherwise: enough that a shard that
/// is briefly behind holds nobody up, few enough that a barrier gets through at once.
const EXCHANGE_CAPACITY: usize = 16;

fn is_batch(options: &Options) -> bool {
    options.get("execution.runtime-mode").is_some_and(|it| it.eq_ignore_ascii_case("batch"))
}

fn key_groups(text: &str) -> Result<u16, String> {
    match text.trim().parse::<i32>() {
        Ok(-1) => Ok(KEY_GROUPS),
        Ok(number @ 1..=32768) => Ok(u16::try_from(number).unwrap_or(KEY_GROUPS)),
        _ => Err("expected a whole number from 1 to 32768".into()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.trim().parse::<usize>().ok().filter(|it| *it > 0).ok_or_else(|| "expected a number above 0".into())
}

/// With a directory known, checkpoints are on; not in batch mode, as in Flink: a batch job is begun anew.
fn checkpointing(options: &Options, pipeline_name: &str) -> Result<Option<Checkpointing>> {
    if is_batch(options) {
        return Ok(None);
    }
    let Some(directory) = options.get("execution.checkpointing.dir").filter(|it| !it.is_empty()) else {
        if let Some(span) = options
            .get("execution.checkpointing.interval")
            .map(|_| options.span("execution.checkpointing.interval"))
        {
            let message = "'execution.checkpointing.interval' needs 'execution.checkpointing.dir'";
            return Err(Diagnostic::error(Code::MissingOption, message)
                .at(span)
                .help("SET 'execution.checkpointing.dir' = '/a/directory' says where checkpoints are kept"));
        }
        return Ok(None);
    };
    let local = directory.strip_prefix("file://").unwrap_or(directory);
    if local.contains("://") {
        let message = format!("checkpoints in '{directory}'");
        return Err(Diagnostic::not_supported(message)
            .at(options.span("execution.checkpointing.dir"))
            .help("a path of this machine's file system, or file:///…"));
    }
    let resume = match options.get("execution.state-recovery.path") {
        Some(path) if !path.is_empty() => Resume::From(path.strip_prefix("file://").unwrap_or(path).into()),
        _ => Resume::Auto,
    };
    let millis = Duration::from_millis;
    Ok(Some(Checkpointing {
        has_begun: false,
        stores: Arc::new(LocalStores),
        directory: local.into(),
        job: pipeline_name.to_string(),
        retry_pause: millis(200),
        interval: positive_duration(options, "execution.checkpointing.interval", millis(10_000))
            .map_err(|error| error.help("without 'execution.checkpointing.dir' there are no checkpoints"))?,
        timeout: positive_duration(options, "execution.checkpointing.timeout", millis(600_000))?,
        tolerated: options
            .parsed("execution.checkpointing.tolerable-failed-checkpoints", tolerable)?
            .unwrap_or(TOLERATED),
        min_pause: options.duration("execution.checkpointing.min-pause")?.unwrap_or(millis(0)),
        retained: options.parsed("execution.checkpointing.num-retained", positive)?.unwrap_or(RETAINED),
        resume,
        keeper: None,
        allow_drop: Vec::new(),
    }))
}

/// How leases of runs are kept.
///
/// # Errors
/// `InvalidOption`
pub fn lease_terms(options: &Options) -> Result<lease::Terms> {
    let millis = |key: &str, default: u64| {
        let span = options.duration(key)?.unwrap_or(Duration::from_millis(default));
        if span < Duration::from_millis(10) {
            let message =
                format!("option '{key}' = '{}': at least 10 ms", options.get(key).unwrap_or_default());
            return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(key)));
        }
        Ok(span)
    };
    let terms = lease::Terms {
        interval: millis("high-availability.lease.interval", 500)?,
        timeout: millis("high-availability.lease.timeout", 2_000)?,
    };
    let key = "high-availability.lease.timeout";
    if options.get(key).is_some() && terms.timeout < terms.interval * 3 {
        let message = format!("option '{key}': at least three times 'high-availability.lease.interval'");
        return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(key)));
    }
    Ok(terms)
}

/// Checkpoints kept, unless the job says otherwise: should the newest one turn out damaged, there is
/// one before it.
const RETAINED: usize = 2;

/// Checkpoints that may fail in a row, unless the job says otherwise: what they would have held waits in
/// memory for the next one, and not for ever.
const TOLERATED: u32 = 29;

fn tolerable(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| "expected a whole number from 0 on".to_string())
}

/// `--resume`
pub fn resume(text: &str) -> Resume {
    match text {
        "auto" => Resume::Auto,
        "never" => Resume::Never,
        path => Resume::From(path.strip_prefix("file://").unwrap_or(path).into()),
    }
}

/// A zone by its name, or by whole hours from UTC as Java writes them (`GMT+08:00`, `UTC-5`).
fn zone_of(text: &str) -> Option<chrono_tz::Tz> {
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    let offset = text.strip_prefix("GMT").or_else(|| text.strip_prefix("UTC")).unwrap_or(text);
    let (sign, rest) = offset
        .strip_prefix('+')
        .map(|rest| ('-', rest))
        .or_else(|| Some(('+', offset.strip_prefix('-')?)))?;
    let hours: u8 = rest.strip_suffix(":00").unwrap_or(rest).parse().ok()?;
    // The names of these zones count westwards: Etc/GMT-8 is eight hours ahead of UTC.
    format!("Etc/GMT{sign}{hours}").parse().ok()
}

/// The machine's zone: `TZ`, then what /etc/localtime points at, then UTC.
fn local_zone() -> chrono_tz::Tz {
    let from_env = std::env::var("TZ").ok().and_then(|name| name.parse().ok());
    let from_link = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        let text = target.to_string_lossy().into_owned();
        text.split_once("zoneinfo/").and_then(|(_, name)| name.parse().ok())
    };
    from_env.or_else(from_link).unwrap_or(chrono_tz::UTC)
}

/// A name that no other run has: time and process.
pub fn run_id(clock: &dyn Clock) -> String {
    format!("{:x}-{:x}", clock.now_micros(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_by_name_and_by_whole_hours() {
        assert_eq!(zone_of("Europe/Berlin"), Some(chrono_tz::Europe::Berlin));
        assert_eq!(zone_of("GMT+08:00"), Some(chrono_tz::Etc::GMTMinus8));
        assert_eq!(zone_of("UTC-5"), Some(chrono_tz::Etc::GMTPlus5));
        assert_eq!(zone_of("GMT+05:30"), None);
        assert_eq!(zone_of("Mars/Base"), None);
    }
}
