//! Reading.
//!
//! ```text
//!   begin ─► places ─► KafkaReader ─┬─ Fetcher: one consumer, partitions assigned by hand (no rebalancing)
//!   (or a checkpoint's position)    └─ chunks of one partition each ──► decode: key, value, metadata
//! ```
//!
//! Invariants
//! - Each partition is a split, opened at once: one without messages holds event time back until it is idle.
//! - What a chunk's position tells is behind its last message; what a checkpoint holds is what counts, the
//!   group's offsets are committed for others to see.

pub(crate) mod begin;
pub(crate) mod cluster;
pub(crate) mod doubts;
pub(crate) mod failure;
#[allow(unsafe_code, reason = "librdkafka's batch interface has no safe wrapper")]
pub(crate) mod native;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod split;
#[allow(unsafe_code, reason = "the safe wrapper doesn't tell ids of topics")]
pub(crate) mod topic_ids;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use flott_connector::{
    Decoder, OnError, Registry, Resumes, ScanRequest, Source, SourceReader, TableDescription,
};
use flott_types::{Code, Diagnostic, Result};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    topic_partition_list::Offset,
};
use serde_json::Value;

use self::{cluster::Cluster, position::Position, reader::KafkaReader, split::Wants};
use crate::{
    context::Context,
    decode::{KafkaDecoder, Plan},
    options::{TOPIC_PATTERN, client::ClientSettings, layout::Layout, scan::ScanSettings},
};

/// A table of topics, ready to be read.
pub(crate) struct KafkaSource {
    table: String,
    client: Arc<ClientSettings>,
    scan: Arc<ScanSettings>,
    plan: Plan,
    wants: Wants,
    /// The reader's, for committing offsets.
    consumer: Mutex<Option<Arc<BaseConsumer<Context>>>>,
}

impl KafkaSource {
    pub(crate) fn new(
        table: &TableDescription,
        request: ScanRequest,
        registry: &Registry,
        upsert: bool,
    ) -> Result<Self> {
        let layout = Layout::new(table, registry, upsert)?;
        let plan = Plan::new(table, layout, request, upsert)?;
        Ok(Self {
            table: table.name.clone(),
            client: Arc::new(ClientSettings::new(table)?),
            scan: Arc::new(ScanSettings::new(table, upsert)?),
            wants: plan.wants(writes_letters(table)?),
            plan,
            consumer: Mutex::default(),
        })
    }
}

/// Whether a message of the table may become a dead letter, which holds all of it.
fn writes_letters(table: &TableDescription) -> Result<bool> {
    let late = table.options.get("late-rows").is_some_and(|it| it.eq_ignore_ascii_case("dead-letter"));
    let ahead = table.options.get("scan.watermark.max-ahead").is_some();
    Ok(late || ahead || OnError::from_options(&table.options)? == OnError::DeadLetter)
}

impl Source for KafkaSource {
    fn is_bounded(&self) -> bool {
        self.scan.bounded != crate::options::scan::Bounded::Never
    }
    fn applies_filter(&self) -> bool {
        true
    }
    fn replays(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        let consumer = Arc::new(consumer(&self.client, self.scan.group.as_deref(), &self.table)?);
        let reader =
            KafkaReader::new(consumer.clone(), self.client.clone(), self.scan.clone(), self.wants, resume)?;
        *self.consumer.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer);
        Ok(Box::new(reader))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(KafkaDecoder::new(&self.plan)?))
    }
    fn confirmed(&self, position: &Value) {
        let consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(_), Some(consumer), Ok(position)) =
            (&self.scan.group, consumer, Position::from_json(position))
            && let Err(error) = commit(&consumer, &position)
        {
            tracing::warn!("offsets of '{}' weren't committed to Kafka: {error}", self.table);
        }
    }
}

fn commit(consumer: &BaseConsumer<Context>, position: &Position) -> rdkafka::error::KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(position.splits.len());
    // A partition that ended and came back is there twice: the later one counts.
    let places: BTreeMap<_, _> =
        position.splits.iter().map(|split| ((&split.topic, split.partition), split.next)).collect();
    for ((topic, partition), next) in places {
        list.add_partition_offset(topic, partition, Offset::Offset(next))?;
    }
    if list.count() == 0 { Ok(()) } else { consumer.commit(&list, CommitMode::Async) }
}

/// Whether a checkpoint's position is one of the table's topics.
pub(crate) fn resumes(table: &TableDescription, upsert: bool, position: &Value) -> Resumes {
    let settings = ScanSettings::new(table, upsert);
    match settings.and_then(|scan| Position::from_json(position)?.check(&scan)) {
        Ok(()) => Resumes::Yes,
        Err(error) => Resumes::No(error.message),
    }
}

/// That no topic matches a pattern, if the table can do nothing about it; said as a warning if it waits for one.
pub(crate) fn nothing_matches(client: &ClientSettings, scan: &ScanSettings) -> Option<Box<Diagnostic>> {
    let message =
        format!("no topic at '{}' matches '{TOPIC_PATTERN}' = '{}'", client.servers, scan.topics.pattern()?);
    Some(match scan.discovery {
        Some(every) => {
            let seconds = every.as_secs_f64();
            Diagnostic::warning(Code::TopicMissing, format!("{message}: looked for again every {seconds} s"))
        }
        None => Diagnostic::error(Code::TopicMissing, message)
            .help("the whole name must match; names that begin with '__' never do, nor does the topic of tokens")
            .help(
                "a table without 'scan.bounded.mode' that looks for topics \
                 ('scan.topic-partition-discovery.interval') waits for one",
            ),
    })
}

/// Whether the brokers answer and the topics are there.
///
/// # Errors
/// `InputMissing`, `InputUnreadable`
pub(crate) fn check(table: &TableDescription, upsert: bool) -> Result<()> {
    let (client, scan) = (ClientSettings::new(table)?, ScanSettings::new(table, upsert)?);
    let consumer = consumer(&client, None, &table.name)?;
    let patience = cluster::PATIENCE;
    let asked = Cluster { consumer: &consumer, settings: &client, patience }.partitions(&scan.topics);
    let asked = asked.map_err(|error| error.at(table.options.span(crate::options::TOPIC)))?;
    // A job that goes on, in a topic that was made anew, begins nowhere; one that begins hears of it when it does.
    if let Some(error) = begin::absent(&scan, &asked).filter(|_| !scan.continue_when_lost) {
        return Err(error.at(table.span));
    }
    match nothing_matches(&client, &scan).filter(|_| asked.is_empty()) {
        Some(diagnostic) => Err(diagnostic.at(table.options.span(TOPIC_PATTERN))),
        None => Ok(()),
    }
}

/// What a reader sets, unless the user does.
const DEFAULTS: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    // As the Java client does.
    ("check.crcs", "true"),
    // Enough to keep a decoder busy over a slow answer, little enough to be memory for reading ahead.
    ("queued.min.messages", "200000"),
    ("queued.max.messages.kbytes", "65536"),
    // librdkafka's second would be a second without reading whenever its queue was full.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.message.max.bytes", "4194304"),
    ("fetch.wait.max.ms", "100"),
    ("socket.nagle.disable", "true"),
];

/// What a reader needs, whatever the user sets.
const NEEDED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
];

fn consumer_config(client: &ClientSettings, group: Option<&str>, table: &str) -> ClientConfig {
    let mut config = client.config();
    for (name, value) in DEFAULTS {
        if client.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    for (name, value) in NEEDED {
        config.set(*name, *value);
    }
    // librdkafka assigns partitions to members of a group only, though this one never joins it.
    config.set("group.id", group.map_or_else(|| format!("KafkaSource-{table}"), str::to_string));
    config
}

fn consumer(client: &ClientSettings, group: Option<&str>, table: &str) -> Result<BaseConsumer<Context>> {
    consumer_config(client, group, table).create_with_context(Context::new(client)).map_err(|error| {
        // A setting's value may be a secret: only the reason is told.
        let why = match error {
            rdkafka::error::KafkaError::ClientConfig(_, why, name, _) => format!("{name}: {why}"),
            other => other.to_string(),
        };
        Diagnostic::error(Code::InvalidOption, format!("Kafka's client can't be made: {why}"))
            .help("check 'properties.*'")
    })
}
