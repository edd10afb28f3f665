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
fn run_id(clock: &dyn Clock) -> String {
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
