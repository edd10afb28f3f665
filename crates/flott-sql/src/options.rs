//! The options of `SET` and `-D`: which exist, what they mean, what Flott does with them.
//!
//! Names, defaults and meaning are Flink's ("Configuration" in its documentation), besides
//! `dead-letter.*`. This list is also the reference that `flott list options` prints.

use flott_types::{Code, Diagnostic, Result, parse_boolean, parse_duration, parse_memory_size};

/// What an option's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A duration such as `10 s`.
    Duration,
    /// A size such as `128 mb`.
    MemorySize,
    /// One of these words, any case.
    Word(&'static [&'static str]),
    /// A time zone such as `Europe/Berlin`, `UTC` or `GMT+01:00`.
    TimeZone,
    /// Any text.
    Text,
}

/// What Flott does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionUse {
    /// It takes effect.
    Used,
    /// It is checked and kept, so that scripts for Flink run; nothing depends on it yet.
    Accepted,
}

/// An option that `SET` and `-D` know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOption {
    /// Its name.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: OptionKind,
    /// Its value when it isn't set (empty: none).
    pub default: &'static str,
    /// Whether it takes effect.
    pub status: OptionUse,
    /// What it is for, one sentence.
    pub doc: &'static str,
}

use OptionKind::{Boolean, Duration, Integer, MemorySize, Number, Text, TimeZone, Word};

const fn used(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
) -> SessionOption {
    SessionOption { key, kind, default, status: OptionUse::Used, doc }
}

const fn accepted(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
) -> SessionOption {
    SessionOption { key, kind, default, status: OptionUse::Accepted, doc }
}

/// All options, in the order of the reference.
pub const OPTIONS: &[SessionOption] = &[
    used("parallelism.default", Integer, "", "How many shards a pipeline runs in; by default one per core."),
    used(
        "pipeline.name",
        Text,
        "",
        "The pipeline's name; by default the script's file name without its ending.",
    ),
    used(
        "table.local-time-zone",
        TimeZone,
        "default",
        "The time zone in which TIMESTAMP_LTZ values are shown and read; 'default' is the machine's.",
    ),
    used(
        "execution.runtime-mode",
        Word(&["streaming", "batch", "automatic"]),
        "streaming",
        "Whether inputs are taken as unbounded or bounded.",
    ),
    used(
        "execution.buffer-timeout.interval",
        Duration,
        "100 ms",
        "How long rows may wait for their batch to fill.",
    ),
    used(
        "dead-letter.path",
        Text,
        "",
        "Directory for records that could not be decoded or evaluated; by default ./flott-dlq/<pipeline.name>/.",
    ),
    used(
        "pipeline.max-parallelism",
        Integer,
        "-1",
        "The number of key groups: how many shards can share the state; -1: 128.",
    ),
    used(
        "taskmanager.network.memory.buffers-per-channel",
        Integer,
        "16",
        "How many messages may wait between two shards.",
    ),
    accepted("pipeline.object-reuse", Boolean, "false", "Reuse of objects between operators."),
    accepted(
        "pipeline.operator-chaining.enabled",
        Boolean,
        "true",
        "Whether operators of one shard are chained.",
    ),
    accepted("pipeline.auto-watermark-interval", Duration, "200 ms", "How often watermarks are emitted."),
    accepted(
        "execution.buffer-timeout.enabled",
        Boolean,
        "true",
        "Whether 'execution.buffer-timeout.interval' applies.",
    ),
    accepted(
        "execution.attached",
        Boolean,
        "true",
        "Whether the client waits for the pipeline; Flott always does.",
    ),
    accepted("execution.target", Text, "", "Where the pipeline is submitted to."),
    accepted("execution.batch-shuffle-mode", Text, "ALL_EXCHANGES_BLOCKING", "How batches are exchanged."),
    accepted(
        "execution.sorted-inputs.enabled",
        Boolean,
        "true",
        "Whether inputs of keyed operators are sorted in batch mode.",
    ),
    used(
        "execution.checkpointing.interval",
        Duration,
        "10 s",
        "How often the pipeline is checkpointed; needs 'execution.checkpointing.dir'.",
    ),
    used(
        "sink.guarantee",
        Word(&["none", "at-least-once", "exactly-once"]),
        "none",
        "What every sink must hold: a pipeline that can't is refused, with the reason and the way out.",
    ),
    accepted(
        "execution.checkpointing.mode",
        Word(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        "EXACTLY_ONCE",
        "The guarantee that checkpoints give.",
    ),
    used("execution.checkpointing.timeout", Duration, "10 min", "How long a checkpoint may take."),
    used("execution.checkpointing.min-pause", Duration, "0 ms", "The least time between two checkpoints."),
    accepted(
        "execution.checkpointing.max-concurrent-checkpoints",
        Integer,
        "1",
        "How many checkpoints may be under way.",
    ),
    used(
        "execution.checkpointing.tolerable-failed-checkpoints",
        Integer,
        "29",
        "How many checkpoints may fail in a row before the run does; what they would have held waits for the next one.",
    ),
    accepted(
        "execution.checkpointing.unaligned.enabled",
        Boolean,
        "false",
        "Whether barriers overtake rows.",
    ),
    accepted(
        "execution.checkpointing.incremental",
        Boolean,
        "false",
        "Whether checkpoints hold changes only.",
    ),
    used(
        "execution.checkpointing.dir",
        Text,
        "",
        "Where checkpoints are kept; with a directory they are on.",
    ),
    accepted("execution.checkpointing.savepoint-dir", Text, "", "Where savepoints are kept."),
    accepted("execution.checkpointing.storage", Text, "", "How checkpoints are stored."),
    used("execution.checkpointing.num-retained", Integer, "2", "How many checkpoints are kept."),
    used(
        "state.memory.budget",
        MemorySize,
        "",
        "How much state is kept in memory, by default as much as half of it; what is more goes to 'state.dir'. Results don't depend on it.",
    ),
    used(
        "state.dir",
        Text,
        "",
        "Where state beyond memory goes: below the checkpoints, unless said otherwise; else a temporary directory.",
    ),
    accepted(
        "execution.checkpointing.aligned-checkpoint-timeout",
        Duration,
        "0 ms",
        "When aligned checkpoints become unaligned.",
    ),
    accepted(
        "execution.checkpointing.interval-during-backlog",
        Duration,
        "",
        "The checkpoint interval while a backlog is read.",
    ),
    accepted(
        "execution.checkpointing.checkpoints-after-tasks-finish",
        Boolean,
        "true",
        "Whether checkpoints go on when parts have ended.",
    ),
    accepted(
        "execution.checkpointing.externalized-checkpoint-retention",
        Word(&["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"]),
        "NO_EXTERNALIZED_CHECKPOINTS",
        "What becomes of checkpoints when the pipeline is stopped.",
    ),
    used(
        "high-availability.lease.interval",
        Duration,
        "500 ms",
        "How often a run with checkpoints says in their directory that it is alive.",
    ),
    used(
        "high-availability.lease.timeout",
        Duration,
        "2 s",
        "How long a run must be silent before a standby takes over; at least three times the interval.",
    ),
    used("execution.state-recovery.path", Text, "", "The checkpoint to start from."),
    accepted(
        "execution.state-recovery.ignore-unclaimed-state",
        Boolean,
        "false",
        "Whether state that nothing claims is dropped.",
    ),
    accepted(
        "execution.state-recovery.claim-mode",
        Word(&["CLAIM", "NO_CLAIM"]),
        "NO_CLAIM",
        "Who owns the savepoint that the pipeline started from.",
    ),
    accepted("state.backend.type", Text, "hashmap", "How state is held."),
    accepted("state.backend.incremental", Boolean, "false", "Whether checkpoints hold changes only."),
    accepted(
        "state.backend.local-recovery",
        Boolean,
        "false",
        "Whether state is recovered from the local disk.",
    ),
    used(
        "restart-strategy.type",
        Word(&[
            "none",
            "disable",
            "off",
            "fixed-delay",
            "failure-rate",
            "exponential-delay",
            "fixeddelay",
            "failurerate",
            "exponentialdelay",
        ]),
        "",
        "What happens after a failure that may pass; exponential-delay with checkpoints, else none.",
    ),
    used("restart-strategy.fixed-delay.attempts", Integer, "1", "How often the pipeline is restarted."),
    used("restart-strategy.fixed-delay.delay", Duration, "1 s", "The time before a restart."),
    used("restart-strategy.failure-rate.delay", Duration, "1 s", "The time before a restart."),
    used(
        "restart-strategy.failure-rate.failure-rate-interval",
        Duration,
        "1 min",
        "The time in which failures are counted.",
    ),
    used(
        "restart-strategy.failure-rate.max-failures-per-interval",
        Integer,
        "1",
        "How many failures are allowed in that time.",
    ),
    used(
        "restart-strategy.exponential-delay.initial-backoff",
        Duration,
        "1 s",
        "The time before the first restart.",
    ),
    used(
        "restart-strategy.exponential-delay.max-backoff",
        Duration,
        "1 min",
        "The greatest time before a restart.",
    ),
    used(
        "restart-strategy.exponential-delay.backoff-multiplier",
        Number,
        "1.5",
        "By how much the time grows.",
    ),
    used("restart-strategy.exponential-delay.jitter-factor", Number, "0.1", "By how much the time varies."),
    used(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        Duration,
        "1 h",
        "After what time without failure the time before a restart shrinks again.",
    ),
    used(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        Integer,
        "",
        "How often the pipeline is restarted.",
    ),
    used("table.exec.state.ttl", Duration, "0 ms", "How long the state of an idle key is kept; 0: for ever."),
    used(
        "table.exec.source.idle-timeout",
        Duration,
        "0 ms",
        "After what time an idle split no longer holds the watermark back; 0: never.",
    ),
    used(
        "table.exec.source.cdc-events-duplicate",
        Boolean,
        "false",
        "Whether a source of changes may repeat them: with a primary key, the last row of each key is kept.",
    ),
    used(
        "table.exec.sink.not-null-enforcer",
        Word(&["ERROR", "DROP"]),
        "ERROR",
        "What happens to NULL in a NOT NULL column of a sink: the row is a dead letter, or it is dropped.",
    ),
    used(
        "table.exec.sink.type-length-enforcer",
        Word(&["IGNORE", "TRIM_PAD", "ERROR"]),
        "IGNORE",
        "What happens to a text that is too long or too short for its column in a sink.",
    ),
    accepted(
        "table.exec.sink.nested-constraint-enforcer",
        Word(&["IGNORE", "ERROR"]),
        "IGNORE",
        "Whether nested fields are checked in a sink.",
    ),
    used(
        "table.exec.sink.require-on-conflict",
        Boolean,
        "true",
        "Whether an INSERT whose rows the sink's primary key doesn't tell apart must say ON CONFLICT.",
    ),
    used(
        "table.exec.sink.upsert-materialize",
        Word(&["NONE", "AUTO", "FORCE"]),
        "AUTO",
        "Whether changes are put in order before a sink with a key.",
    ),
    accepted(
        "table.exec.sink.keyed-shuffle",
        Word(&["NONE", "AUTO", "FORCE"]),
        "AUTO",
        "Whether rows are exchanged by key before a sink.",
    ),
    accepted(
        "table.exec.sink.rowtime-inserter",
        Word(&["ENABLED", "DISABLED"]),
        "ENABLED",
        "Whether records carry their event time.",
    ),
    used(
        "table.exec.mini-batch.enabled",
        Boolean,
        "",
        "Whether changes of a key are gathered before it is told what came of them. 'false': every row's \
         change is told, one by one, as Flink does unless it is told otherwise. Unless set, changes are \
         gathered for the buffer timeout.",
    ),
    used(
        "table.exec.mini-batch.allow-latency",
        Duration,
        "0 ms",
        "How long changes are gathered at most. 0: for the buffer timeout.",
    ),
    used("table.exec.mini-batch.size", Integer, "-1", "How many rows are gathered at most."),
    accepted("table.exec.resource.default-parallelism", Integer, "-1", "Parallelism of all operators."),
    used("table.exec.async-lookup.buffer-capacity", Integer, "100", "How many lookups may be under way."),
    used("table.exec.async-lookup.timeout", Duration, "3 min", "How long a lookup may take."),
    used(
        "table.exec.async-lookup.output-mode",
        Word(&["ORDERED", "ALLOW_UNORDERED"]),
        "ORDERED",
        "Whether lookups keep the order of rows.",
    ),
    accepted(
        "table.exec.legacy-cast-behaviour",
        Word(&["ENABLED", "DISABLED"]),
        "DISABLED",
        "Whether a failing CAST gives NULL. Flott has the new behaviour only.",
    ),
    accepted("table.exec.disabled-operators", Text, "", "Operators that the planner must not use."),
    accepted("table.exec.simplify-operator-name-enabled", Boolean, "true", "How operators are named."),
    accepted(
        "table.exec.uid.generation",
        Word(&["PLAN_ONLY", "ALWAYS", "DISABLED"]),
        "PLAN_ONLY",
        "How operators are identified.",
    ),
    accepted(
        "table.exec.sort.async-merge-enabled",
        Boolean,
        "true",
        "Whether sorted files are merged in the background.",
    ),
    accepted("table.exec.spill-compression.enabled", Boolean, "true", "Whether spilled data is compressed."),
    accepted(
        "table.exec.spill-compression.block-size",
        MemorySize,
        "64 kb",
        "The block in which it is compressed.",
    ),
    accepted(
        "table.exec.deduplicate.insert-update-after-sensitive-enabled",
        Boolean,
        "true",
        "Whether deduplication tells inserts from updates.",
    ),
    accepted("table.exec.rank.topn-cache-size", Integer, "10000", "How many rows of a Top-N are cached."),
    used(
        "table.optimizer.agg-phase-strategy",
        Word(&["AUTO", "TWO_PHASE", "ONE_PHASE"]),
        "AUTO",
        "Whether rows are aggregated before they are exchanged.",
    ),
    used(
        "table.optimizer.distinct-agg.split.enabled",
        Boolean,
        "false",
        "Whether distinct aggregation is split.",
    ),
    used(
        "table.optimizer.distinct-agg.split.bucket-num",
        Integer,
        "1024",
        "Into how many buckets it is split.",
    ),
    accepted("table.optimizer.join-reorder-enabled", Boolean, "false", "Whether joins are reordered."),
    accepted(
        "table.optimizer.join.broadcast-threshold",
        MemorySize,
        "1 mb",
        "Up to which size a table is broadcast in a join.",
    ),
    accepted("table.optimizer.multiple-input-enabled", Boolean, "true", "Whether operators are merged."),
    accepted(
        "table.optimizer.reuse-source-enabled",
        Boolean,
        "true",
        "Whether a source is read once for several uses.",
    ),
    accepted(
        "table.optimizer.reuse-sub-plan-enabled",
        Boolean,
        "true",
        "Whether common parts of plans are shared.",
    ),
    accepted(
        "table.optimizer.reuse-optimize-block-with-digest-enabled",
        Boolean,
        "false",
        "Whether common parts are found by digest.",
    ),
    accepted(
        "table.optimizer.source.predicate-pushdown-enabled",
        Boolean,
        "true",
        "Whether filters are pushed into sources.",
    ),
    accepted(
        "table.optimizer.source.aggregate-pushdown-enabled",
        Boolean,
        "true",
        "Whether aggregates are pushed into sources.",
    ),
    accepted(
        "table.optimizer.dynamic-filtering.enabled",
        Boolean,
        "true",
        "Whether one side of a join filters the other's source.",
    ),
    accepted(
        "table.optimizer.nondeterministic-update.strategy",
        Word(&["TRY_RESOLVE", "IGNORE"]),
        "IGNORE",
        "What is done about updates that can't be repeated.",
    ),
    accepted(
        "table.plan.compile.catalog-objects",
        Word(&["ALL", "SCHEMA", "IDENTIFIER"]),
        "ALL",
        "What a compiled plan holds of tables.",
    ),
    accepted("table.plan.force-recompile", Boolean, "false", "Whether a compiled plan is overwritten."),
    accepted(
        "table.plan.restore.catalog-objects",
        Word(&["ALL", "ALL_ENFORCED", "IDENTIFIER"]),
        "ALL",
        "How tables of a compiled plan are found.",
    ),
    accepted("table.dml-sync", Boolean, "false", "Whether INSERT waits for its end; Flott always does."),
    accepted("table.dynamic-table-options.enabled", Boolean, "true", "Whether OPTIONS hints are allowed."),
    accepted("table.generated-code.max-length", Integer, "4000", "Where generated code is split."),
    accepted("table.builtin-catalog-name", Text, "default_catalog", "The first catalog."),
    accepted("table.builtin-database-name", Text, "default_database", "The first database."),
    accepted("table.sql-dialect", Word(&["default"]), "default", "The SQL dialect; Flott has Flink's only."),
    accepted("table.display.max-column-width", Integer, "30", "How wide columns are shown."),
    accepted("table.column-expansion-strategy", Text, "", "Which columns SELECT * leaves out."),
    accepted(
        "table.rtas-ctas.atomicity-enabled",
        Boolean,
        "false",
        "Whether CREATE TABLE AS is all or nothing.",
    ),
    accepted("table.resources.download-dir", Text, "", "Where jars are downloaded to."),
    accepted(
        "sql-client.execution.result-mode",
        Word(&["TABLE", "CHANGELOG", "TABLEAU"]),
        "TABLE",
        "How the SQL client shows results.",
    ),
    accepted(
        "sql-client.execution.max-table-result.rows",
        Integer,
        "1000000",
        "How many rows the SQL client keeps.",
    ),
    accepted("sql-client.display.max-column-width", Integer, "30", "How wide the SQL client shows columns."),
    accepted(
        "sql-client.display.print-time-cost",
        Boolean,
        "true",
        "Whether the SQL client shows how long a query took.",
    ),
    accepted("sql-client.verbose", Boolean, "false", "Whether the SQL client shows whole errors."),
];

/// Names that Flink has renamed.
const RENAMED: &[(&str, &str)] = &[
    ("pipeline.time-zone", "table.local-time-zone"),
    ("execution.buffer-timeout", "execution.buffer-timeout.interval"),
    ("state.checkpoints.dir", "execution.checkpointing.dir"),
    ("state.savepoints.dir", "execution.checkpointing.savepoint-dir"),
    ("state.backend.fs.checkpointdir", "execution.checkpointing.dir"),
    ("state.backend", "state.backend.type"),
    ("state.checkpoint-storage", "execution.checkpointing.storage"),
    ("state.checkpoints.num-retained", "execution.checkpointing.num-retained"),
    ("state.backend.incremental", "execution.checkpointing.incremental"),
    ("execution.checkpointing.unaligned", "execution.checkpointing.unaligned.enabled"),
    ("execution.checkpointing.alignment-timeout", "execution.checkpointing.aligned-checkpoint-timeout"),
    (
        "execution.checkpointing.checkpoints-after-tasks-finish.enabled",
        "execution.checkpointing.checkpoints-after-tasks-finish",
    ),
    ("execution.savepoint.path", "execution.state-recovery.path"),
    ("execution.savepoint.ignore-unclaimed-state", "execution.state-recovery.ignore-unclaimed-state"),
    ("execution.savepoint-restore-mode", "execution.state-recovery.claim-mode"),
    ("restart-strategy", "restart-strategy.type"),
    ("pipeline.operator-chaining", "pipeline.operator-chaining.enabled"),
    ("table.planner", ""),
    ("table.exec.state.idle-state-retention", "table.exec.state.ttl"),
    ("parallelism", "parallelism.default"),
    ("execution.result-mode", "sql-client.execution.result-mode"),
    ("sql-client.execution.mode", "execution.runtime-mode"),
    ("execution.type", "execution.runtime-mode"),
];

/// Options of Flink's processes and of the place that it runs in: taken and without effect.
const DEPLOYMENT: [&str; 25] = [
    "akka.",
    "blob.",
    "classloader.",
    "client.",
    "cluster.",
    "env.",
    "fs.",
    "heartbeat.",
    "high-availability.",
    "historyserver.",
    "job.",
    "jobmanager.",
    "jobstore.",
    "kubernetes.",
    "metrics.",
    "pekko.",
    "pipeline.",
    "python.",
    "query.",
    "rest.",
    "security.",
    "slot.",
    "state.backend.",
    "taskmanager.",
    "web.",
];

/// The option of this name, its older names included.
pub fn option(key: &str) -> Option<&'static SessionOption> {
    let exact = |key: &str| OPTIONS.iter().find(|option| option.key == key);
    exact(key).or_else(|| {
        let (_, new) = RENAMED.iter().find(|(old, _)| *old == key)?;
        exact(new)
    })
}

/// Checks an option; gives its name (a renamed one's new name). A secret value is not repeated.
///
/// # Errors
/// [`Code::UnknownOption`], [`Code::InvalidOption`]; without a span.
pub(crate) fn check(key: &str, value: &str, secret: bool) -> Result<String> {
    let Some(option) = option(key) else {
        if DEPLOYMENT.iter().any(|prefix| key.starts_with(prefix)) || key == "table.planner" {
            return Ok(key.to_string());
        }
        return Err(unknown(key));
    };
    check_value(option.kind, value).map_err(|why| {
        Diagnostic::error(
            Code::InvalidOption,
            format!("option '{}' = '{}': {why}", option.key, if secret { MASK } else { shown(key, value) }),
        )
        .help(format!("{} {}", option.key, describe(option)))
    })?;
    Ok(option.key.to_string())
}

/// `unknown option '…'`, with the closest name.
pub(crate) fn unknown(key: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::UnknownOption, format!("unknown option '{key}'"))
        .did_you_mean(key, OPTIONS.iter().map(|it| it.key))
        .help("see `flott list options`; a table's options stand in its WITH clause")
}

fn describe(option: &SessionOption) -> String {
    let what = match option.kind {
        Boolean => "is true or false".to_string(),
        Integer => "is a whole number".to_string(),
        Number => "is a number".to_string(),
        Duration => "is a duration such as '10 s'".to_string(),
        MemorySize => "is a size such as '128 mb'".to_string(),
        Word(words) => format!("is one of {}", words.join(", ")),
        TimeZone => "is a time zone such as 'Europe/Berlin', 'UTC' or 'GMT+01:00'".to_string(),
        Text => "is a text".to_string(),
    };
    if option.default.is_empty() { what } else { format!("{what}; its default is '{}'", option.default) }
}

fn check_value(kind: OptionKind, value: &str) -> Result<(), String> {
    match kind {
        Boolean => parse_boolean(value).map(|_| ()),
        Integer => value.trim().parse::<i64>().map(|_| ()).map_err(|_| "expected a whole number".into()),
        Number => value.trim().parse::<f64>().map(|_| ()).map_err(|_| "expected a number".into()),
        Duration => parse_duration(value).map(|_| ()),
        MemorySize => parse_memory_size(value).map(|_| ()),
        Word(words) => match words.iter().any(|word| word.eq_ignore_ascii_case(value.trim())) {
            true => Ok(()),
            false => Err(format!("expected one of {}", words.join(", "))),
        },
        TimeZone if is_time_zone(value) => Ok(()),
        TimeZone => Err("expected a time zone such as 'Europe/Berlin', 'UTC' or 'GMT+01:00'".into()),
        Text => Ok(()),
    }
}

/// `Area/City`, `UTC`, `default`, `GMT+01:00`, `+01:00`: the form only; whether the zone exists is
/// known where it is used.
fn is_time_zone(value: &str) -> bool {
    let offset = value.strip_prefix("GMT").or_else(|| value.strip_prefix("UTC")).unwrap_or(value);
    let is_offset = offset.starts_with(['+', '-'])
        && offset[1..].split(':').count() <= 2
        && offset[1..]
            .split(':')
            .all(|part| !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()));
    let is_name = !value.is_empty()
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    is_offset || is_name
}

/// Whether an option of this name holds a secret, by its name, as Flink guesses it.
pub fn is_sensitive(key: &str) -> bool {
    const PARTS: [&str; 14] = [
        "password",
        "secret",
        "fs.azure.account.key",
        "apikey",
        "api-key",
        "auth-params",
        "service-key",
        "token",
        "basic-auth",
        "jaas.config",
        "http-headers",
        "credential",
        "passphrase",
        "private-key",
    ];
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part))
}

/// What is printed instead of a secret.
pub const MASK: &str = "******";

/// An option's value as it may be printed.
pub fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if is_sensitive(key) { MASK } else { value }
}
