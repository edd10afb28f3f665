//! The session's options, made into a job's settings.

use std::path::PathBuf;

use flott_connector::Clock;
use flott_engine::JobSettings;
use flott_types::{Code, Diagnostic, Options, Result};

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
    let zone = |text: &str| text.parse::<chrono_tz::Tz>().map_err(|_| "expected a zone such as 'Europe/Berlin'".into());
    let pipeline_name = options.get("pipeline.name").unwrap_or(default_name).to_string();
    if pipeline_name.is_empty() || pipeline_name.contains('/') || pipeline_name.starts_with('.') {
        let message = format!("option 'pipeline.name' = '{pipeline_name}': a name can't be empty, hold '/' or begin with '.'");
        return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span("pipeline.name")));
    }
    let dead_letter_directory =
        PathBuf::from(options.get("dead-letter.path").unwrap_or("./flott-dlq")).join(&pipeline_name);
    Ok(JobSettings {
        parallelism: options.parsed("parallelism.default", shards)?.unwrap_or(cores),
        batch_rows: BATCH_ROWS,
        buffer_timeout: options
            .duration("execution.buffer-timeout.interval")?
            .unwrap_or(std::time::Duration::from_millis(100)),
        time_zone: options.parsed("table.local-time-zone", zone)?.unwrap_or_else(local_zone),
        pipeline_name,
        dead_letter_directory,
        run_id: run_id(clock),
        options: options.clone(),
    })
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
fn run_id(clock: &dyn Clock) -> String {
    format!("{:x}-{:x}", clock.now_micros(), std::process::id())
}
