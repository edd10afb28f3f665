//! The options of both connectors, with Flink's names and meanings.
//!
//! ```text
//!   WITH (…) ─┬─ properties.*  ─► client    what librdkafka gets
//!             ├─ scan.*, topic ─► scan      which partitions are read, from where to where
//!             └─ key.*, value.*, format ─► layout   which columns stand in the key, which in the value
//! ```
//!
//! Invariants
//! - Everything here looks at the script alone.
//! - A value that came from a secret is in no message.

pub(crate) mod client;
pub(crate) mod jaas;
pub(crate) mod layout;
pub(crate) mod properties;
pub(crate) mod scan;
pub(crate) mod validate;

use flott_connector::{OptionDef, OptionKind};

pub(crate) const TOPIC: &str = "topic";
pub(crate) const TOPIC_PATTERN: &str = "topic-pattern";
pub(crate) const FORMAT: &str = "format";
pub(crate) const KEY_FORMAT: &str = "key.format";
pub(crate) const VALUE_FORMAT: &str = "value.format";
pub(crate) const KEY_FIELDS: &str = "key.fields";
pub(crate) const KEY_PREFIX: &str = "key.fields-prefix";
pub(crate) const FIELDS_INCLUDE: &str = "value.fields-include";
pub(crate) const STARTUP_MODE: &str = "scan.startup.mode";
pub(crate) const STARTUP_OFFSETS: &str = "scan.startup.specific-offsets";
pub(crate) const STARTUP_TIMESTAMP: &str = "scan.startup.timestamp-millis";
pub(crate) const BOUNDED_MODE: &str = "scan.bounded.mode";
pub(crate) const BOUNDED_OFFSETS: &str = "scan.bounded.specific-offsets";
pub(crate) const BOUNDED_TIMESTAMP: &str = "scan.bounded.timestamp-millis";
pub(crate) const DISCOVERY_INTERVAL: &str = "scan.topic-partition-discovery.interval";
pub(crate) const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";
pub(crate) const LOST_OFFSETS: &str = "scan.lost-offsets";
pub(crate) const TOKEN_TOPIC: &str = "sink.token-topic";
pub(crate) const PROPERTIES: &str = "properties.";
pub(crate) const SERVERS: &str = "properties.bootstrap.servers";

const STARTUP_MODES: OptionKind = OptionKind::OneOf(&[
    "earliest-offset",
    "latest-offset",
    "group-offsets",
    "timestamp",
    "specific-offsets",
]);
const BOUNDED_MODES: OptionKind =
    OptionKind::OneOf(&["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"]);

const SERVERS_DEF: OptionDef = OptionDef::required(
    SERVERS,
    OptionKind::Text,
    "The brokers to ask first: host:port, separated by commas.",
);
const PROPERTIES_DEF: OptionDef = OptionDef::optional(
    "properties.*",
    OptionKind::Text,
    "",
    "Properties of Kafka's clients, by their names in Java or in librdkafka.",
);
const FIELDS_INCLUDE_DEF: OptionDef = OptionDef::optional(
    FIELDS_INCLUDE,
    OptionKind::OneOf(&["ALL", "EXCEPT_KEY"]),
    "ALL",
    "Whether the columns of the key stand in the value too.",
);
const KEY_PREFIX_DEF: OptionDef = OptionDef::optional(
    KEY_PREFIX,
    OptionKind::Text,
    "",
    "What the names of the key's columns begin with in the table, but not in the key. Needs \
     'value.fields-include' = 'EXCEPT_KEY'.",
);
const BOUNDED_MODE_DEF: OptionDef = OptionDef::optional(
    BOUNDED_MODE,
    BOUNDED_MODES,
    "unbounded",
    "Where reading ends. What is the end is decided when the job starts from nothing.",
);
const BOUNDED_OFFSETS_DEF: OptionDef = OptionDef::optional(
    BOUNDED_OFFSETS,
    OptionKind::Text,
    "",
    "Where each partition ends: 'partition:0,offset:42;partition:1,offset:300'. Others aren't read.",
);
const BOUNDED_TIMESTAMP_DEF: OptionDef = OptionDef::optional(
    BOUNDED_TIMESTAMP,
    OptionKind::Integer,
    "",
    "Each partition ends before its first message of this time, in milliseconds since the epoch.",
);
const DISCOVERY_DEF: OptionDef = OptionDef::optional(
    DISCOVERY_INTERVAL,
    OptionKind::Duration,
    "5 min",
    "How often to look for new topics and partitions, which are read from their beginning. '0': only \
     when a job starts.",
);
const IDLE_TIMEOUT_DEF: OptionDef = OptionDef::optional(
    IDLE_TIMEOUT,
    OptionKind::Duration,
    "",
    "How long a partition may bring nothing until event time goes on without it; instead of \
     'table.exec.source.idle-timeout'. '0': for ever.",
);
const LOST_OFFSETS_DEF: OptionDef = OptionDef::optional(
    LOST_OFFSETS,
    OptionKind::OneOf(&["fail", "continue"]),
    "fail",
    "What to do when messages that were still to be read are gone: end the run, or go on with a warning: with \
     the first that is there (retention), at the end (a partition that has lost its last messages), at the \
     beginning (a topic made anew).",
);
const GUARANTEE_DEF: OptionDef = OptionDef::optional(
    "sink.delivery-guarantee",
    OptionKind::OneOf(&["none", "at-least-once", "exactly-once"]),
    "at-least-once",
    "What the sink promises when a run dies: 'exactly-once' writes in transactions.",
);
const TRANSACTIONAL_ID_DEF: OptionDef = OptionDef::optional(
    "sink.transactional-id-prefix",
    OptionKind::Text,
    "",
    "What the transactional id begins with. The same for all Kafka tables that one job writes exactly once.",
);
const NAMING_DEF: OptionDef = OptionDef::optional(
    "sink.transaction-naming-strategy",
    OptionKind::Text,
    "",
    "Accepted for compatibility; one transaction at a time has one name.",
);

const TOKEN_TOPIC_DEF: OptionDef = OptionDef::optional(
    TOKEN_TOPIC,
    OptionKind::Text,
    "flott-tokens",
    "The topic that says which epoch each job committed last, for 'exactly-once'. It is made if it isn't there.",
);

/// The options of `kafka`.
pub(crate) const KAFKA: &[OptionDef] = &[
    OptionDef::optional(TOPIC, OptionKind::Text, "", "The topic; to be read, also several: 'a;b'."),
    OptionDef::optional(
        TOPIC_PATTERN,
        OptionKind::Text,
        "",
        "A regular expression: all topics whose whole names match are read, but for those that begin with `__` and \
         the one of 'sink.token-topic'.",
    ),
    SERVERS_DEF,
    PROPERTIES_DEF,
    OptionDef::optional(FORMAT, OptionKind::Text, "", "The format of the value, such as `json` or `avro`."),
    OptionDef::optional(
        VALUE_FORMAT,
        OptionKind::Text,
        "",
        "The same as 'format'; its options begin with `value.`.",
    ),
    OptionDef::optional(
        KEY_FORMAT,
        OptionKind::Text,
        "",
        "The format of the key; its options begin with `key.`.",
    ),
    OptionDef::optional(KEY_FIELDS, OptionKind::Text, "", "The columns that stand in the key: 'a;b'."),
    KEY_PREFIX_DEF,
    FIELDS_INCLUDE_DEF,
    OptionDef::optional(
        STARTUP_MODE,
        STARTUP_MODES,
        "group-offsets",
        "Where reading begins when the job starts from nothing.",
    ),
    OptionDef::optional(
        STARTUP_OFFSETS,
        OptionKind::Text,
        "",
        "Where each partition begins: 'partition:0,offset:42;partition:1,offset:300'. Others begin where the group \
         ('properties.group.id') has come to, or at their beginning.",
    ),
    OptionDef::optional(
        STARTUP_TIMESTAMP,
        OptionKind::Integer,
        "",
        "Each partition begins with its first message of this time, in milliseconds since the epoch.",
    ),
    BOUNDED_MODE_DEF,
    BOUNDED_OFFSETS_DEF,
    BOUNDED_TIMESTAMP_DEF,
    DISCOVERY_DEF,
    IDLE_TIMEOUT_DEF,
    LOST_OFFSETS_DEF,
    OptionDef::optional(
        "sink.partitioner",
        OptionKind::Text,
        "default",
        "Which partition a row goes to: 'default' (by the key), 'fixed' (one for each shard), 'round-robin'.",
    ),
    GUARANTEE_DEF,
    TRANSACTIONAL_ID_DEF,
    NAMING_DEF,
    TOKEN_TOPIC_DEF,
    OptionDef::optional(
        "sink.semantic",
        OptionKind::OneOf(&["none", "at-least-once", "exactly-once"]),
        "",
        "The old name of 'sink.delivery-guarantee'.",
    ),
];

/// The options of `upsert-kafka`.
pub(crate) const UPSERT_KAFKA: &[OptionDef] = &[
    OptionDef::optional(TOPIC, OptionKind::Text, "", "The topic; to be read, also several: 'a;b'."),
    OptionDef::optional(
        TOPIC_PATTERN,
        OptionKind::Text,
        "",
        "A regular expression: all topics whose whole names match are read, but for those that begin with `__` and \
         the one of 'sink.token-topic'.",
    ),
    SERVERS_DEF,
    PROPERTIES_DEF,
    OptionDef::required(
        KEY_FORMAT,
        OptionKind::Text,
        "The format of the key; its options begin with `key.`.",
    ),
    OptionDef::required(
        VALUE_FORMAT,
        OptionKind::Text,
        "The format of the value; its options begin with `value.`.",
    ),
    KEY_PREFIX_DEF,
    FIELDS_INCLUDE_DEF,
    BOUNDED_MODE_DEF,
    BOUNDED_OFFSETS_DEF,
    BOUNDED_TIMESTAMP_DEF,
    DISCOVERY_DEF,
    IDLE_TIMEOUT_DEF,
    LOST_OFFSETS_DEF,
    OptionDef::optional(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer,
        "0",
        "How many rows may wait for later changes of their keys before they are written. '0': none.",
    ),
    OptionDef::optional(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        "0 s",
        "How long rows may wait for later changes of their keys before they are written. '0': not at all.",
    ),
    GUARANTEE_DEF,
    TRANSACTIONAL_ID_DEF,
    NAMING_DEF,
    TOKEN_TOPIC_DEF,
];
