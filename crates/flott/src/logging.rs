//! Logs to standard error; what is logged is `FLOTT_LOG` (default `warn`).
//!
//! Text is for people: no names of modules, and colours on a terminal only. JSON is for programs and
//! says where in Flott each event comes from.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging. Only the first call counts.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("FLOTT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
