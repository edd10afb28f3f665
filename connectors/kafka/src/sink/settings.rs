//! What a table's options say about writing it.

use std::time::Duration;

use flott_connector::TableDescription;
use flott_types::{Code, Diagnostic, Result};
use regex::Regex;

use crate::options::{
    KEY_FIELDS, KEY_FORMAT, SERVERS, TOPIC, TOPIC_PATTERN, client::ClientSettings, scan::list,
};

pub(crate) const GUARANTEE: &str = "sink.delivery-guarantee";
const OLD_GUARANTEE: &str = "sink.semantic";
const IDEMPOTENCE: &str = "enable.idempotence";
pub(crate) const ID_PREFIX: &str = "sink.transactional-id-prefix";
pub(crate) const TOKEN_TOPIC: &str = "sink.token-topic";
pub(crate) const PARTITIONER: &str = "sink.partitioner";
pub(crate) const BUFFER_ROWS: &str = "sink.buffer-flush.max-rows";
pub(crate) const BUFFER_INTERVAL: &str = "sink.buffer-flush.interval";
/// The topic of tokens if the script names none.
pub(crate) const DEFAULT_TOKEN_TOPIC: &str = "flott-tokens";

/// What is promised when a run dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Nothing.
    None,
    /// A checkpoint is made when its rows are delivered.
    AtLeastOnce,
    /// Rows are seen when their checkpoint is made.
    ExactlyOnce,
}

/// What the table's options promise.
///
/// # Errors
/// `InvalidOption`
pub(crate) fn delivery(table: &TableDescription) -> Result<Delivery> {
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "none" => Ok(Delivery::None),
        "at-least-once" => Ok(Delivery::AtLeastOnce),
        "exactly-once" => Ok(Delivery::ExactlyOnce),
        _ => Err("expected one of none, at-least-once, exactly-once".to_string()),
    };
    let old = table.options.parsed(OLD_GUARANTEE, parse)?;
    Ok(table.options.parsed(GUARANTEE, parse)?.or(old).unwrap_or(Delivery::AtLeastOnce))
}

/// Which partition a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partitioner {
    /// By its key; without one to any, many in a row to the same.
    Kafka,
    /// The shard's.
    Fixed,
}

/// Which topics a row may go to.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    /// All rows go to this one.
    One(String),
    /// The column `topic` says which of these.
    Listed(Vec<String>),
    /// The column `topic` says which: any that matches as a whole.
    Matching(Regex),
}

/// How rows wait for later changes of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffering {
    /// At most so many keys.
    pub rows: usize,
    /// At most so long.
    pub interval: Duration,
}

/// What a table's options say about writing it.
#[derive(Debug, Clone)]
pub(crate) struct SinkSettings {
    pub client: ClientSettings,
    pub topics: Topics,
    pub delivery: Delivery,
    pub partitioner: Partitioner,
    pub buffering: Option<Buffering>,
}

impl SinkSettings {
    /// # Errors
    /// `MissingOption`, `InvalidOption`, `UnsupportedUse`, `NotSupported`
    pub(crate) fn new(table: &TableDescription) -> Result<Self> {
        let (topics, partitioner, delivery) = (topics(table)?, partitioner(table)?, delivery(table)?);
        if partitioner == Partitioner::Fixed && matches!(topics, Topics::Matching(_)) {
            let what = format!("'{PARTITIONER}' = 'fixed' with '{TOPIC_PATTERN}'");
            return Err(Diagnostic::not_supported(what)
                .at(table.options.span(PARTITIONER))
                .help(format!("name the topics: '{TOPIC}' = 'a;b'")));
        }
        if delivery == Delivery::ExactlyOnce && table.options.get(ID_PREFIX).is_none() {
            let message = format!("'{GUARANTEE}' = 'exactly-once' needs the option '{ID_PREFIX}'");
            return Err(Diagnostic::error(Code::MissingOption, message)
                .at(table.options.span(GUARANTEE))
                .help("the transactional id is this prefix and the pipeline's name; no other job may have the same"));
        }
        let client = ClientSettings::new(table)?;
        check_idempotence(table, &client, delivery)?;
        Ok(Self { client, topics, delivery, partitioner, buffering: buffering(table)? })
    }
}

fn topics(table: &TableDescription) -> Result<Topics> {
    if let Some(pattern) = table.options.get(TOPIC_PATTERN) {
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
            Diagnostic::error(Code::InvalidOption, format!("option '{TOPIC_PATTERN}': {error}"))
                .at(table.options.span(TOPIC_PATTERN))
        })?;
        return Ok(Topics::Matching(whole));
    }
    let mut names = table.options.get(TOPIC).map(list).unwrap_or_default();
    match names.len() {
        0 => {
            let message = format!("table '{}' needs the option '{TOPIC}' to be written", table.name);
            Err(Diagnostic::error(Code::MissingOption, message).at(table.span))
        }
        1 => Ok(Topics::One(names.remove(0))),
        _ => Ok(Topics::Listed(names)),
    }
}

/// Whether idempotence is wanted where another property rules it out. Where it isn't, it is off then.
fn check_idempotence(table: &TableDescription, client: &ClientSettings, delivery: Delivery) -> Result<()> {
    let exactly_once = delivery == Delivery::ExactlyOnce;
    let set = client.get(IDEMPOTENCE).map(|it| it.trim().eq_ignore_ascii_case("true"));
    let by = if exactly_once {
        format!("'{GUARANTEE}' = 'exactly-once'")
    } else {
        format!("'properties.{IDEMPOTENCE}'")
    };
    let name = match (set, client.rules_out_idempotence()) {
        (Some(false), _) if exactly_once => IDEMPOTENCE,
        (set, Some(name)) if exactly_once || set == Some(true) => name,
        _ => return Ok(()),
    };
    let needed = match name {
        "acks" => "= 'all'",
        "retries" => "above 0",
        IDEMPOTENCE => "= 'true'",
        _ => "of at most 5",
    };
    let message = format!("{by} needs 'properties.{name}' {needed}");
    Err(Diagnostic::error(Code::InvalidOption, message)
        .at(table.options.span(&format!("properties.{name}")))
        .at(table.span)
        .help("leave it out"))
}

fn partitioner(table: &TableDescription) -> Result<Partitioner> {
    let Some(text) = table.options.get(PARTITIONER) else { return Ok(Partitioner::Kafka) };
    let span = table.options.span(PARTITIONER);
    match text {
        "default" => Ok(Partitioner::Kafka),
        "fixed" => Ok(Partitioner::Fixed),
        "round-robin" if table.options.get(KEY_FIELDS).is_some() || table.options.get(KEY_FORMAT).is_some() => {
            let message = format!("'{PARTITIONER}' = 'round-robin' works only without '{KEY_FIELDS}'");
            Err(Diagnostic::error(Code::InvalidOption, message)
                .at(span)
                .help("rows of one key belong into one partition: leave the option out"))
        }
        // Messages without keys go round anyway.
        "round-robin" => Ok(Partitioner::Kafka),
        class if class.contains('.') => Err(Diagnostic::not_supported(format!("the partitioner class '{class}'"))
            .at(span)
            .help("'default', 'fixed' and 'round-robin' are there; a key of its own ('key.fields') says where a row goes")),
        other => Err(Diagnostic::error(
            Code::InvalidOption,
            format!("option '{PARTITIONER}': '{other}' is none of default, fixed, round-robin"),
        )
        .at(span)
        .did_you_mean(other, ["default", "fixed", "round-robin"])),
    }
}

fn buffering(table: &TableDescription) -> Result<Option<Buffering>> {
    let count = |text: &str| text.trim().parse::<i64>().map_err(|_| "expected a whole number".to_string());
    let rows = table.options.parsed(BUFFER_ROWS, count)?.unwrap_or(0).max(0);
    let interval = table.options.duration(BUFFER_INTERVAL)?.unwrap_or_default();
    match (usize::try_from(rows).unwrap_or(usize::MAX), interval) {
        (0, Duration::ZERO) => Ok(None),
        (rows, interval) if rows > 0 && !interval.is_zero() => Ok(Some(Buffering { rows, interval })),
        (0, _) => Err(needs(table, BUFFER_INTERVAL, BUFFER_ROWS)),
        _ => Err(needs(table, BUFFER_ROWS, BUFFER_INTERVAL)),
    }
}

fn needs(table: &TableDescription, one: &'static str, other: &'static str) -> Box<Diagnostic> {
    let message = format!("'{one}' needs '{other}': rows wait in both ways or not at all");
    Diagnostic::error(Code::InvalidOption, message).at(table.options.span(one))
}

/// Where tokens of the table's transactions are kept.
pub(crate) fn token_topic(table: &TableDescription) -> &str {
    table.options.get(TOKEN_TOPIC).unwrap_or(DEFAULT_TOKEN_TOPIC)
}

/// What tokens of the table's transactions go by.
pub(crate) fn token_place(table: &TableDescription) -> String {
    let prefix = table.options.get(ID_PREFIX).unwrap_or_default();
    format!("'{ID_PREFIX}' = '{prefix}' with tokens in '{}'", token_topic(table))
}

/// Which transaction the table's rows go into: the cluster, the prefix of its id, the topic of tokens.
pub(crate) fn transaction(table: &TableDescription) -> String {
    let option = |name| table.options.get(name).unwrap_or_default();
    format!(
        "'{ID_PREFIX}' = '{}' of the brokers '{}', tokens in '{}'",
        option(ID_PREFIX),
        option(SERVERS),
        token_topic(table)
    )
}
