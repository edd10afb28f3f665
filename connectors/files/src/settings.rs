//! The connector's options, as the user writes them and as the code reads them.

use std::time::Duration;

use flott_connector::{OptionDef, OptionKind, TableDescription};
use flott_types::{Code, Diagnostic, Options, Result};

use crate::source::location::Location;

pub(crate) const MONITOR_INTERVAL: &str = "source.monitor-interval";
pub(crate) const REGEX_PATTERN: &str = "source.path.regex-pattern";
const DEFAULT_NAME: &str = "partition.default-name";
const FILE_SIZE: &str = "sink.rolling-policy.file-size";
const ROLLOVER_INTERVAL: &str = "sink.rolling-policy.rollover-interval";
const INACTIVITY_INTERVAL: &str = "sink.rolling-policy.inactivity-interval";
const CHECK_INTERVAL: &str = "sink.rolling-policy.check-interval";
pub(crate) const COMMIT_TRIGGER: &str = "sink.partition-commit.trigger";
const COMMIT_DELAY: &str = "sink.partition-commit.delay";
pub(crate) const COMMIT_POLICY: &str = "sink.partition-commit.policy.kind";
const SUCCESS_FILE: &str = "sink.partition-commit.success-file.name";
pub(crate) const RELOAD_STRATEGY: &str = "lookup.full-cache.reload-strategy";
pub(crate) const RELOAD_INTERVAL: &str = "lookup.full-cache.periodic-reload.interval";
pub(crate) const SCHEDULE_MODE: &str = "lookup.full-cache.periodic-reload.schedule-mode";
/// The same as [`RELOAD_INTERVAL`], shorter.
pub(crate) const RELOAD_INTERVAL_SHORT: &str = "lookup.reload-interval";
pub(crate) const MAX_RETRIES: &str = "lookup.max-retries";
const ON_RELOAD_FAILURE: &str = "lookup.on-reload-failure";

/// Every option of the connector.
pub(crate) const OPTIONS: &[OptionDef] = &[
    OptionDef::required(
        "path",
        OptionKind::Text,
        "A file, a directory (read with all below it) or a glob such as '/data/*.csv'; sinks take a \
         directory. A plain path or a file:// URI.",
    ),
    OptionDef::required("format", OptionKind::Text, "The format of the records: `flott list formats`."),
    OptionDef::optional(
        REGEX_PATTERN,
        OptionKind::Text,
        "",
        "Reads only files whose whole absolute path matches this regular expression.",
    ),
    OptionDef::optional(
        MONITOR_INTERVAL,
        OptionKind::Duration,
        "",
        "Makes the source unbounded: it looks for new files this often. Each file is read once.",
    ),
    OptionDef::optional(
        "source.report-statistics",
        OptionKind::OneOf(&["ALL", "NONE"]),
        "ALL",
        "Accepted for compatibility; Flott's planner uses no file statistics.",
    ),
    OptionDef::optional(
        DEFAULT_NAME,
        OptionKind::Text,
        "__DEFAULT_PARTITION__",
        "The directory name that stands for a partition value that is NULL or empty.",
    ),
    OptionDef::optional(
        "partition.time-extractor.kind",
        OptionKind::Text,
        "default",
        "Accepted for compatibility; only the trigger 'partition-time' uses it.",
    ),
    OptionDef::optional("partition.time-extractor.class", OptionKind::Text, "", "Not supported yet."),
    OptionDef::optional(
        "partition.time-extractor.timestamp-pattern",
        OptionKind::Text,
        "",
        "Accepted for compatibility; only the trigger 'partition-time' uses it.",
    ),
    OptionDef::optional(
        "partition.time-extractor.timestamp-formatter",
        OptionKind::Text,
        "yyyy-MM-dd HH:mm:ss",
        "Accepted for compatibility; only the trigger 'partition-time' uses it.",
    ),
    OptionDef::optional(
        FILE_SIZE,
        OptionKind::MemorySize,
        "128 mb",
        "A part file that has reached this size is closed and the next one is begun.",
    ),
    OptionDef::optional(
        ROLLOVER_INTERVAL,
        OptionKind::Duration,
        "30 min",
        "A part file that has been open this long is closed.",
    ),
    OptionDef::optional(
        INACTIVITY_INTERVAL,
        OptionKind::Duration,
        "30 min",
        "A part file that got no row for this long is closed.",
    ),
    OptionDef::optional(
        CHECK_INTERVAL,
        OptionKind::Duration,
        "1 min",
        "How often the two intervals are looked at.",
    ),
    OptionDef::optional(
        "sink.shuffle-by-partition.enable",
        OptionKind::Boolean,
        "false",
        "Accepted for compatibility; rows stay where they were read.",
    ),
    OptionDef::optional(
        "auto-compaction",
        OptionKind::Boolean,
        "false",
        "Merging of small files: not supported yet.",
    ),
    OptionDef::optional("compaction.file-size", OptionKind::MemorySize, "", "Used by auto-compaction only."),
    OptionDef::optional("compaction.parallelism", OptionKind::Integer, "", "Used by auto-compaction only."),
    OptionDef::optional(
        COMMIT_TRIGGER,
        OptionKind::OneOf(&["process-time", "partition-time"]),
        "process-time",
        "When a partition is complete: after the delay, by the clock. 'partition-time' is not supported yet.",
    ),
    OptionDef::optional(
        COMMIT_DELAY,
        OptionKind::Duration,
        "0 s",
        "How long after its first file a partition is complete. The end of the input completes all.",
    ),
    OptionDef::optional(
        "sink.partition-commit.watermark-time-zone",
        OptionKind::Text,
        "UTC",
        "Accepted for compatibility; only the trigger 'partition-time' uses it.",
    ),
    OptionDef::optional(
        COMMIT_POLICY,
        OptionKind::Text,
        "",
        "What is done with a complete partition: 'success-file' writes an empty marker file. \
         'metastore' and 'custom' are not supported yet.",
    ),
    OptionDef::optional("sink.partition-commit.policy.class", OptionKind::Text, "", "Not supported yet."),
    OptionDef::optional(
        "sink.partition-commit.policy.class.parameters",
        OptionKind::Text,
        "",
        "Not supported yet.",
    ),
    OptionDef::optional(
        SUCCESS_FILE,
        OptionKind::Text,
        "_SUCCESS",
        "The name of the marker file of 'success-file'.",
    ),
    OptionDef::optional(
        "lookup.cache",
        OptionKind::OneOf(&["FULL"]),
        "FULL",
        "A table that is looked up is held in memory as a whole.",
    ),
    OptionDef::optional(
        RELOAD_STRATEGY,
        OptionKind::OneOf(&["PERIODIC", "TIMED"]),
        "PERIODIC",
        "When a table that is looked up is read again. 'TIMED' is not supported yet.",
    ),
    OptionDef::optional(
        RELOAD_INTERVAL,
        OptionKind::Duration,
        "",
        "How long after it was read a table that is looked up is read again, in the background; the new rows \
         take the place of the old ones at once. Without it the table is read once.",
    ),
    OptionDef::optional(
        SCHEDULE_MODE,
        OptionKind::OneOf(&["FIXED_DELAY", "FIXED_RATE"]),
        "FIXED_DELAY",
        "From when the interval counts: from the end of the last load. 'FIXED_RATE' is not supported yet.",
    ),
    OptionDef::optional(
        RELOAD_INTERVAL_SHORT,
        OptionKind::Duration,
        "",
        "Short for 'lookup.full-cache.periodic-reload.interval'.",
    ),
    OptionDef::optional(
        MAX_RETRIES,
        OptionKind::Integer,
        "3",
        "How often reading the table again is tried, a second apart, when it fails; the LOOKUP hint's \
         'max-attempts' and 'fixed-delay' come before it.",
    ),
    OptionDef::optional(
        ON_RELOAD_FAILURE,
        OptionKind::OneOf(&["keep", "fail"]),
        "keep",
        "When the table can't be read again after all tries: look-ups go on in the rows that were read last, \
         with a warning and a count in the summary, or the run fails.",
    ),
];

fn default_partition_name(options: &Options) -> String {
    options.get(DEFAULT_NAME).unwrap_or("__DEFAULT_PARTITION__").to_string()
}

/// What reading needs to know.
#[derive(Debug, Clone)]
pub(crate) struct SourceSettings {
    pub location: Location,
    pub monitor_interval: Option<Duration>,
    pub default_partition_name: String,
    pub partition_keys: Vec<String>,
}

impl SourceSettings {
    pub(crate) fn new(table: &TableDescription) -> Result<Self> {
        let options = &table.options;
        Ok(Self {
            location: Location::new(options)?,
            monitor_interval: options.duration(MONITOR_INTERVAL)?,
            default_partition_name: default_partition_name(options),
            partition_keys: table.partition_keys.clone(),
        })
    }
}

/// What writing needs to know.
#[derive(Debug, Clone)]
pub(crate) struct SinkSettings {
    pub file_size_bytes_max: u64,
    pub rollover_interval: Duration,
    pub inactivity_interval: Duration,
    pub check_interval: Duration,
    pub default_partition_name: String,
    /// Name of the marker file, if the policy asks for one.
    pub success_file: Option<String>,
    pub commit_delay: Duration,
}

impl SinkSettings {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let success_file = options
            .get(COMMIT_POLICY)
            .is_some_and(|kinds| policy_kinds(kinds).any(|it| it == "success-file"));
        Ok(Self {
            file_size_bytes_max: options.memory_size(FILE_SIZE)?.unwrap_or(128 << 20),
            rollover_interval: options.duration(ROLLOVER_INTERVAL)?.unwrap_or(minutes(30)),
            inactivity_interval: options.duration(INACTIVITY_INTERVAL)?.unwrap_or(minutes(30)),
            check_interval: options.duration(CHECK_INTERVAL)?.unwrap_or(minutes(1)),
            default_partition_name: default_partition_name(options),
            success_file: success_file.then(|| options.get(SUCCESS_FILE).unwrap_or("_SUCCESS").to_string()),
            commit_delay: options.duration(COMMIT_DELAY)?.unwrap_or_default(),
        })
    }
}

/// What looking up needs to know.
#[derive(Debug, Clone)]
pub(crate) struct LookupSettings {
    pub interval: Option<Duration>,
    pub retries_max: u32,
    pub fails: bool,
}

impl LookupSettings {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let count =
            |text: &str| text.trim().parse::<u32>().map_err(|_| "expected a whole number".to_string());
        let short = options.duration(RELOAD_INTERVAL_SHORT)?;
        Ok(Self {
            interval: options.duration(RELOAD_INTERVAL)?.or(short),
            retries_max: options.parsed(MAX_RETRIES, count)?.unwrap_or(3),
            fails: options.get(ON_RELOAD_FAILURE).is_some_and(|it| it.eq_ignore_ascii_case("fail")),
        })
    }
}

/// The words of `sink.partition-commit.policy.kind`.
pub(crate) fn policy_kinds(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|kind| !kind.is_empty())
}

/// The option `path` as a path of the local file system.
pub(crate) fn local_path(options: &Options) -> Result<String> {
    let span = options.span("path");
    let text = options.get("path").unwrap_or_default();
    let invalid = |why: &str| {
        Diagnostic::error(Code::InvalidOption, format!("option 'path' = '{text}': {why}")).at(span)
    };
    if text.trim().is_empty() {
        return Err(invalid("expected a file, a directory or a glob"));
    }
    if let Some(rest) = text.strip_prefix("file:") {
        let path = match rest.strip_prefix("//") {
            None => rest,
            Some(after) if after.starts_with('/') => after,
            Some(after) => match after.strip_prefix("localhost/") {
                Some(_) => &after["localhost".len()..],
                None => {
                    return Err(invalid("a file:// URI names no host; write three slashes: file:///path"));
                }
            },
        };
        return Ok(path.to_string());
    }
    match text.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Err(Diagnostic::not_supported(format!("paths of the file system '{scheme}'"))
                .at(span)
                .help("use a path on this machine"))
        }
        _ => Ok(text.to_string()),
    }
}
