//! Logs to standard error; what is logged is `FLOTT_LOG` (default `warn`).

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging. Only the first call counts.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("FLOTT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
