//! What is read: topics, where each partition begins and where it ends.

use std::{collections::BTreeMap, time::Duration};

use flott_connector::TableDescription;
use flott_types::{Code, Diagnostic, Options, Result, closest};
use regex::Regex;

use super::{
    BOUNDED_MODE, BOUNDED_OFFSETS, BOUNDED_TIMESTAMP, DISCOVERY_INTERVAL, IDLE_TIMEOUT, KAFKA, LOST_OFFSETS,
    PROPERTIES, STARTUP_MODE, STARTUP_OFFSETS, STARTUP_TIMESTAMP, TOKEN_TOPIC, TOPIC, TOPIC_PATTERN,
    properties::{Fate, KNOWN, fate},
};
use crate::sink::settings::DEFAULT_TOKEN_TOPIC;

/// How often new partitions are looked for, unless the table says otherwise.
const DISCOVERY_DEFAULT: Duration = Duration::from_secs(300);

const GROUP: &str = "properties.group.id";

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<i32, i64>;

/// Which topics.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    /// Those named.
    Named(Vec<String>),
    /// Those whose whole names match, but for Kafka's own and our own.
    Matching { pattern: Regex, token_topic: String },
}

impl Topics {
    /// The pattern as the script has it.
    pub(crate) fn pattern(&self) -> Option<&str> {
        let Self::Matching { pattern, .. } = self else { return None };
        pattern.as_str().strip_prefix("^(?:")?.strip_suffix(")$")
    }
    /// Whether a topic is one of these.
    pub(crate) fn has(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == topic),
            Self::Matching { pattern, token_topic } => {
                let is_internal =
                    topic.starts_with("__") || topic == DEFAULT_TOKEN_TOPIC || topic == token_topic;
                !is_internal && pattern.is_match(topic)
            }
        }
    }
}

/// What a group's reader does where the group has no offset (`properties.auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    Earliest,
    Latest,
    Fail,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Startup {
    Earliest,
    Latest,
    Group(Reset),
    Timestamp(i64),
    /// Partitions that aren't named begin where the group is, or at their beginning.
    Offsets(Offsets),
}

/// Where reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bounded {
    Never,
    Latest,
    Group,
    Timestamp(i64),
    /// Partitions that aren't named aren't read.
    Offsets(Offsets),
}

/// What a source does.
#[derive(Debug, Clone)]
pub(crate) struct ScanSettings {
    pub topics: Topics,
    pub startup: Startup,
    pub bounded: Bounded,
    /// How often to look for new partitions; none: only when the job starts.
    pub discovery: Option<Duration>,
    /// Instead of the job's; zero: never.
    pub idle_timeout: Option<Duration>,
    /// Whether to go on where messages are lost.
    pub continue_when_lost: bool,
    /// `properties.group.id`
    pub group: Option<String>,
}

impl ScanSettings {
    /// # Errors
    /// `InvalidOption`, `MissingOption`
    pub(crate) fn new(table: &TableDescription, upsert: bool) -> Result<Self> {
        let options = &table.options;
        let topics = topics(table)?;
        let bounded = bounded(table, &topics)?;
        let discovery = options.duration(DISCOVERY_INTERVAL)?.unwrap_or(DISCOVERY_DEFAULT);
        Ok(Self {
            startup: if upsert { Startup::Earliest } else { startup(table, &topics)? },
            discovery: Some(discovery).filter(|it| !it.is_zero() && bounded == Bounded::Never),
            topics,
            bounded,
            idle_timeout: options.duration(IDLE_TIMEOUT)?,
            continue_when_lost: word(options, LOST_OFFSETS).as_deref() == Some("continue"),
            group: group(options)?,
        })
    }
}

/// Whether a group is named, where its offsets say where reading begins or ends.
///
/// # Errors
/// `MissingOption`
pub(crate) fn check_group(table: &TableDescription, upsert: bool) -> Result<()> {
    // What makes no settings is said elsewhere; that a group is missing would only follow from it.
    let Ok(settings) = ScanSettings::new(table, upsert) else { return Ok(()) };
    let options = &table.options;
    if options.iter().any(|(key, _)| is_misspelt(key)) {
        return Ok(());
    }
    let missing = |what: &str, mode: &str, help: &str| {
        let message = format!("{what} is where a group has come to, but there is no '{GROUP}'");
        Err(Diagnostic::error(Code::MissingOption, message).at(options.span(mode)).at(table.span).help(help))
    };
    match (&settings.group, &settings.startup, &settings.bounded) {
        (Some(_), ..) => Ok(()),
        (None, _, Bounded::Group) => missing(
            &format!("the end of '{}' ('{BOUNDED_MODE}' = 'group-offsets')", table.name),
            BOUNDED_MODE,
            "name the group, or end at what is there: 'scan.bounded.mode' = 'latest-offset'",
        ),
        // `auto.offset.reset` says where to begin without one.
        (None, Startup::Group(Reset::Fail), _) => missing(
            &format!("the beginning of '{}' ('{STARTUP_MODE}' is 'group-offsets' unless set)", table.name),
            STARTUP_MODE,
            "'scan.startup.mode' = 'earliest-offset' reads everything, 'latest-offset' what comes from now on; or name \
             the group",
        ),
        _ => Ok(()),
    }
}

/// Whether an option that nobody knows was to say where reading begins.
fn is_misspelt(key: &str) -> bool {
    let property = key.strip_prefix(PROPERTIES);
    let known = match property {
        Some(name) => KNOWN.contains(&name) || fate(name) != Fate::Passed,
        None => KAFKA.iter().any(|def| def.matches(key)),
    };
    if known {
        return false;
    }
    match property {
        Some(name) => matches!(closest(name, KNOWN.iter().copied()), Some("group.id" | "auto.offset.reset")),
        None => {
            key.contains("startup") || closest(key, KAFKA.iter().map(|def| def.key)) == Some(STARTUP_MODE)
        }
    }
}

/// Where a table is. Of one that is read positions say more precisely whether it is still the same.
pub(crate) fn place(options: &Options) -> String {
    match options.get(TOPIC_PATTERN) {
        Some(pattern) => format!("topics '{pattern}'"),
        None => format!("topic '{}'", options.get(TOPIC).unwrap_or_default()),
    }
}

fn word(options: &Options, key: &str) -> Option<String> {
    options.get(key).map(str::to_ascii_lowercase)
}

/// Whether the table's input ends.
pub(crate) fn is_bounded(options: &Options) -> bool {
    word(options, BOUNDED_MODE).is_some_and(|mode| mode != "unbounded")
}

/// The names in a list such as `a;b`.
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect()
}

fn topics(table: &TableDescription) -> Result<Topics> {
    let options = &table.options;
    match (options.get(TOPIC), options.get(TOPIC_PATTERN)) {
        (Some(_), Some(_)) => {
            let message = format!("options '{TOPIC}' and '{TOPIC_PATTERN}' exclude each other");
            Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(TOPIC_PATTERN)))
        }
        (None, None) => {
            let message = format!("table '{}' needs the option '{TOPIC}' or '{TOPIC_PATTERN}'", table.name);
            Err(Diagnostic::error(Code::MissingOption, message).at(table.span))
        }
        (Some(names), None) => {
            let mut names = list(names);
            names.sort();
            names.dedup();
            if names.is_empty() {
                let message = format!("option '{TOPIC}' names no topic");
                return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(TOPIC)));
            }
            Ok(Topics::Named(names))
        }
        (None, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(pattern) => {
                let token_topic = options.get(TOKEN_TOPIC).unwrap_or(DEFAULT_TOKEN_TOPIC).to_string();
                Ok(Topics::Matching { pattern, token_topic })
            }
            Err(_) => {
                let why = Regex::new(pattern).err().map(|it| it.to_string()).unwrap_or_default();
                let message = format!("option '{TOPIC_PATTERN}': {why}");
                Err(Diagnostic::error(Code::InvalidOption, message)
                    .at(options.span(TOPIC_PATTERN))
                    .help("look-around and back-references of Java's expressions aren't supported"))
            }
        },
    }
}

fn startup(table: &TableDescription, topics: &Topics) -> Result<Startup> {
    let options = &table.options;
    match word(options, STARTUP_MODE).as_deref() {
        Some("earliest-offset") => Ok(Startup::Earliest),
        Some("latest-offset") => Ok(Startup::Latest),
        Some("timestamp") => {
            Ok(Startup::Timestamp(needed_timestamp(table, STARTUP_TIMESTAMP, STARTUP_MODE)?))
        }
        Some("specific-offsets") => {
            Ok(Startup::Offsets(needed_offsets(table, topics, STARTUP_OFFSETS, STARTUP_MODE)?))
        }
        None | Some("group-offsets") => Ok(Startup::Group(reset(options)?)),
        Some(_) => Err(no_mode(options, STARTUP_MODE)),
    }
}

fn no_mode(options: &Options, key: &str) -> Box<Diagnostic> {
    let message =
        format!("option '{key}' = '{}': there is no such mode", options.get(key).unwrap_or_default());
    Diagnostic::error(Code::InvalidOption, message).at(options.span(key))
}

fn group(options: &Options) -> Result<Option<String>> {
    match options.get(GROUP) {
        Some(name) if name.trim().is_empty() => {
            let message = format!("option '{GROUP}': a group's name can't be empty");
            Err(Diagnostic::error(Code::InvalidOption, message).at(options.span(GROUP)).help(
                "name the group, or leave the option out if 'scan.startup.mode' says where reading begins",
            ))
        }
        name => Ok(name.map(str::to_string)),
    }
}

fn reset(options: &Options) -> Result<Reset> {
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "earliest" | "smallest" | "beginning" => Ok(Reset::Earliest),
        "latest" | "largest" | "end" => Ok(Reset::Latest),
        "none" | "error" => Ok(Reset::Fail),
        _ => Err("expected one of earliest, latest, none".to_string()),
    };
    Ok(options.parsed("properties.auto.offset.reset", parse)?.unwrap_or(Reset::Fail))
}

fn bounded(table: &TableDescription, topics: &Topics) -> Result<Bounded> {
    match word(&table.options, BOUNDED_MODE).as_deref() {
        Some("latest-offset") => Ok(Bounded::Latest),
        Some("group-offsets") => Ok(Bounded::Group),
        Some("timestamp") => {
            Ok(Bounded::Timestamp(needed_timestamp(table, BOUNDED_TIMESTAMP, BOUNDED_MODE)?))
        }
        Some("specific-offsets") => {
            Ok(Bounded::Offsets(needed_offsets(table, topics, BOUNDED_OFFSETS, BOUNDED_MODE)?))
        }
        None | Some("unbounded") => Ok(Bounded::Never),
        Some(_) => Err(no_mode(&table.options, BOUNDED_MODE)),
    }
}

fn missing(table: &TableDescription, key: &str, mode: &str) -> Box<Diagnostic> {
    let value = table.options.get(mode).unwrap_or_default();
    Diagnostic::error(Code::MissingOption, format!("'{mode}' = '{value}' needs the option '{key}'"))
        .at(table.options.span(mode))
}

fn needed_timestamp(table: &TableDescription, key: &str, mode: &str) -> Result<i64> {
    let parse = |text: &str| match text.trim().parse::<i64>() {
        Ok(millis) if millis >= 0 => Ok(millis),
        _ => Err("expected milliseconds since the epoch".to_string()),
    };
    table.options.parsed(key, parse)?.ok_or_else(|| missing(table, key, mode))
}

fn needed_offsets(table: &TableDescription, topics: &Topics, key: &str, mode: &str) -> Result<Offsets> {
    if !matches!(topics, Topics::Named(names) if names.len() == 1) {
        let message =
            format!("'{mode}' = 'specific-offsets' needs exactly one topic: offsets don't name theirs");
        return Err(Diagnostic::error(Code::InvalidOption, message).at(table.options.span(mode)));
    }
    table.options.parsed(key, parse_offsets)?.ok_or_else(|| missing(table, key, mode))
}

/// `partition:0,offset:42;partition:1,offset:300`
fn parse_offsets(text: &str) -> Result<Offsets, String> {
    let expected = || "expected 'partition:0,offset:42;partition:1,offset:300'".to_string();
    let mut offsets = Offsets::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (partition, offset) = pair.split_once(',').ok_or_else(expected)?;
        let number = |text: &str, name: &str| -> Option<i64> {
            text.trim().strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().parse().ok()
        };
        let partition = number(partition, "partition").and_then(|it| i32::try_from(it).ok());
        let (partition, offset) = partition.zip(number(offset, "offset")).ok_or_else(expected)?;
        if partition < 0 || offset < 0 {
            return Err("partitions and offsets can't be negative".into());
        }
        if offsets.insert(partition, offset).is_some() {
            return Err(format!("partition {partition} is named twice"));
        }
    }
    if offsets.is_empty() { Err(expected()) } else { Ok(offsets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> Result<ScanSettings> {
        let mut table = TableDescription { name: "t".into(), ..TableDescription::default() };
        options.iter().for_each(|(key, value)| table.options.set(*key, *value));
        ScanSettings::new(&table, false)
    }

    #[test]
    fn offsets_are_read_as_flink_writes_them() {
        let offsets = parse_offsets("partition:0,offset:42;partition:1,offset:300").unwrap();
        assert_eq!(offsets, Offsets::from([(0, 42), (1, 300)]));
        for bad in
            ["", "0:42", "partition:0", "partition:0,offset:-1", "partition:0,offset:1;partition:0,offset:2"]
        {
            assert!(parse_offsets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_need_their_options() {
        for (mode, missing) in [("timestamp", Code::MissingOption), ("specific-offsets", Code::MissingOption)]
        {
            assert_eq!(settings(&[("topic", "a"), (STARTUP_MODE, mode)]).unwrap_err().code, missing);
            assert_eq!(settings(&[("topic", "a"), (BOUNDED_MODE, mode)]).unwrap_err().code, missing);
        }
        let two =
            [("topic", "a;b"), (STARTUP_MODE, "specific-offsets"), (STARTUP_OFFSETS, "partition:0,offset:1")];
        assert_eq!(settings(&two).unwrap_err().code, Code::InvalidOption);
        assert_eq!(settings(&[]).unwrap_err().code, Code::MissingOption);
        assert_eq!(
            settings(&[("topic", "a"), ("topic-pattern", "b")]).unwrap_err().code,
            Code::InvalidOption
        );
    }

    #[test]
    fn that_a_group_is_missing_is_said_only_where_nothing_else_is_wrong() {
        let said = |options: &[(&str, &str)]| {
            let mut table = TableDescription { name: "t".into(), ..TableDescription::default() };
            table.options.set("topic", "a");
            options.iter().for_each(|(key, value)| table.options.set(*key, *value));
            check_group(&table, false).err().map(|it| it.code)
        };
        assert_eq!(said(&[]), Some(Code::MissingOption));
        assert_eq!(said(&[("properties.client.id", "x")]), Some(Code::MissingOption));
        let misspelt = [(STARTUP_MODE, "earliest"), ("scan.startup.mod", "x"), ("properties.group.di", "x")];
        assert_eq!(misspelt.map(|it| said(&[it])), [None, None, None]);
        assert_eq!(
            settings(&[("topic", "a"), (STARTUP_MODE, "earliest")]).unwrap_err().code,
            Code::InvalidOption
        );
        assert_eq!(settings(&[("topic", "a"), (GROUP, " ")]).unwrap_err().code, Code::InvalidOption);
    }

    #[test]
    fn a_pattern_is_of_whole_names() {
        let topics = settings(&[("topic-pattern", "a|b.*")]).unwrap().topics;
        assert_eq!(["a", "ab", "bc"].map(|name| topics.has(name)), [true, false, true]);
    }

    #[test]
    fn a_pattern_leaves_internal_topics_out() {
        let topics = settings(&[("topic-pattern", ".*"), (TOKEN_TOPIC, "mine")]).unwrap().topics;
        let names = ["a_", "_a", "__consumer_offsets", "flott-tokens", "mine"];
        assert_eq!(names.map(|name| topics.has(name)), [true, true, false, false, false]);
    }

    #[test]
    fn words_are_words_in_capitals_too_and_no_time_is_never() {
        let it = settings(&[("topic", "a"), (LOST_OFFSETS, "CONTINUE"), (IDLE_TIMEOUT, "0 s")]).unwrap();
        assert_eq!((it.continue_when_lost, it.idle_timeout), (true, Some(Duration::ZERO)));
        assert_eq!(settings(&[("topic", "a")]).unwrap().idle_timeout, None);
    }

    #[test]
    fn a_bounded_table_looks_for_no_new_partitions() {
        assert_eq!(settings(&[("topic", "a")]).unwrap().discovery, Some(DISCOVERY_DEFAULT));
        assert_eq!(settings(&[("topic", "a"), (BOUNDED_MODE, "latest-offset")]).unwrap().discovery, None);
        assert_eq!(settings(&[("topic", "a"), (DISCOVERY_INTERVAL, "0")]).unwrap().discovery, None);
    }
}
