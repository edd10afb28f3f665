//! The `kafka` and `upsert-kafka` connectors as sinks.
//!
//! ```text
//!   shard 0: writer ─┐
//!   shard 1: writer ─┼─► one producer ─► brokers      at least once: the table's
//!   shard 2: writer ─┘                                exactly once: the job's (decider), in one transaction
//! ```
//!
//! | file | what |
//! |---|---|
//! | settings | what the options say |
//! | bundle, metadata | rows become messages |
//! | upsert | rows wait for later changes of their keys |
//! | writer | order, back-pressure, epochs |
//! | gate, decider | what may go into the open transaction; its commit, its tokens |
//! | doubts | what weakens the promise |

pub(crate) mod bundle;
pub(crate) mod decider;
pub(crate) mod doubts;
pub(crate) mod gate;
pub(crate) mod metadata;
pub(crate) mod settings;
pub(crate) mod upsert;
pub(crate) mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flott_connector::{
    Answers, Changelog, Clock, Committer, Decider, Registry, Sink, SinkGuarantee, SinkRequest, SinkWriter,
    StopSignal, TableDescription, sink::NothingToCommit,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Result};

use self::{
    bundle::Encoding,
    decider::KafkaDecider,
    settings::{Delivery, Partitioner, SinkSettings, Topics},
    upsert::UpsertBuffer,
    writer::{KafkaWriter, Parts, Router},
};
use crate::{
    client::{Kind, Producer, TopicId, librdkafka::Librdkafka, tokens::pause},
    options::layout::Layout,
};

/// What producers get unless the user says otherwise: what Kafka's own clients do.
const DEFAULTS: &[(&str, &str)] = &[
    ("partitioner", "murmur2_random"),
    ("enable.idempotence", "true"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "131072"),
];
/// How long brokers may take to answer at the start.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long of it is waited without looking whether the run is to stop.
const QUESTION: Duration = Duration::from_millis(500);
const QUESTION_MAX: Duration = Duration::from_secs(8);
/// How long a topic that the cluster makes by itself may take to appear.
const TOPIC_WAIT: Duration = Duration::from_secs(10);

/// What the table promises when it is written.
pub(crate) fn guarantee(table: &TableDescription) -> SinkGuarantee {
    match settings::delivery(table) {
        Ok(Delivery::ExactlyOnce) => SinkGuarantee::Deciding,
        _ => SinkGuarantee::Immediate,
    }
}

/// Which changes the table takes.
///
/// # Errors
/// Options that make no sense.
pub(crate) fn changelog(table: &TableDescription, registry: &Registry, upsert: bool) -> Result<Changelog> {
    if upsert {
        return Ok(Changelog::Upsert);
    }
    let layout = Layout::new(table, registry, upsert)?;
    layout.value.format.changelog(&layout.value.table.options)
}

/// Whether the table can be written.
///
/// # Errors
/// `MissingOption`, `InvalidOption`, `InvalidDefinition`, `NotSupported`
pub(crate) fn validate(table: &TableDescription) -> Result<()> {
    let settings = SinkSettings::new(table)?;
    metadata::check(table, &settings.topics)
}

/// What decides the epochs of tables that are written exactly once.
///
/// # Errors
/// `UnsupportedUse`
pub(crate) fn decider(
    tables: &[&TableDescription],
    request: &flott_connector::DeciderRequest,
) -> Result<Arc<dyn Decider>> {
    Ok(Arc::new(KafkaDecider::new(tables, request)?))
}

/// A table ready to be written.
pub(crate) struct KafkaSink {
    table: String,
    settings: SinkSettings,
    layout: Layout,
    upsert: bool,
    context: EvalContext,
    clock: Arc<dyn Clock>,
    stop: StopSignal,
    decider: Option<Arc<dyn Decider>>,
    /// At least once: all writers' producer, once there is one.
    own: Mutex<Option<Arc<dyn Producer>>>,
}

impl KafkaSink {
    /// No I/O yet.
    ///
    /// # Errors
    /// Options that make no sense.
    pub(crate) fn new(
        table: &TableDescription,
        job: &SinkRequest,
        registry: &Registry,
        upsert: bool,
    ) -> Result<Self> {
        Ok(Self {
            table: table.name.clone(),
            settings: SinkSettings::new(table)?,
            layout: Layout::new(table, registry, upsert)?,
            upsert,
            context: job.context.clone(),
            clock: job.clock.clone(),
            stop: job.stop.clone(),
            decider: job.decider.clone(),
            own: Mutex::default(),
        })
    }

    fn shared(&self) -> Result<Option<&KafkaDecider>> {
        if self.settings.delivery != Delivery::ExactlyOnce {
            return Ok(None);
        }
        let decider = self.decider.as_ref().and_then(|it| it.as_any().downcast_ref());
        let none = || Diagnostic::error(Code::Internal, format!("table '{}' has no transaction", self.table));
        decider.map(Some).ok_or_else(none)
    }

    fn producer(&self) -> Result<Arc<dyn Producer>> {
        if let Some(shared) = self.shared()? {
            return shared.producer();
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = own.as_ref() {
            return Ok(producer.clone());
        }
        let producer: Arc<dyn Producer> = Arc::new(Librdkafka::new(&self.settings.client, &[], DEFAULTS)?);
        *own = Some(producer.clone());
        Ok(producer)
    }

    /// The topics that are known beforehand; whether they are there is told before the first row.
    fn topics(&self, producer: &Arc<dyn Producer>) -> Result<HashMap<String, TopicId>> {
        let names = match &self.settings.topics {
            Topics::One(name) => std::slice::from_ref(name),
            Topics::Listed(names) => names.as_slice(),
            Topics::Matching(_) => &[],
        };
        let mut known = HashMap::new();
        for name in names {
            let id = producer.topic(name)?;
            self.await_topic(producer, id, name)?;
            known.insert(name.clone(), id);
        }
        Ok(known)
    }

    fn await_topic(&self, producer: &Arc<dyn Producer>, id: TopicId, name: &str) -> Result<()> {
        let began = self.clock.monotonic();
        // Asking for its partitions makes it, where the brokers make topics by themselves.
        let mut was_missing = producer.lacks(id, QUESTION * 2);
        let mut question = QUESTION;
        loop {
            let longest = self.settings.client.max_block.unwrap_or(START_WAIT);
            let left = longest.saturating_sub(self.clock.monotonic().saturating_sub(began));
            // Each longer than the one before: an answer that comes too late is none.
            question = (question * 2).min(QUESTION_MAX);
            let failure = match producer.partitions(id, left.min(question)) {
                Err(failure) => failure,
                Ok(partitions) => {
                    if was_missing {
                        tracing::warn!(
                            "there was no topic '{name}': the brokers have made it, of {partitions} partitions"
                        );
                    }
                    return Ok(());
                }
            };
            was_missing |= failure.kind == Kind::TopicMissing;
            let wait = if failure.kind == Kind::TopicMissing { TOPIC_WAIT.min(longest) } else { longest };
            let passes = matches!(failure.kind, Kind::TopicMissing | Kind::Unreachable);
            let over = self.stop.is_stopped() || self.clock.monotonic().saturating_sub(began) >= wait;
            if !passes || over {
                let failure = failure.unless_stopped(&self.stop, producer.trouble());
                return Err(failure.diagnose(&format!("write topic '{name}'")));
            }
            pause();
        }
    }
}

impl Sink for KafkaSink {
    fn guarantee(&self) -> SinkGuarantee {
        match self.settings.delivery {
            Delivery::ExactlyOnce => SinkGuarantee::Deciding,
            Delivery::AtLeastOnce | Delivery::None => SinkGuarantee::Immediate,
        }
    }
    fn writer(&self, shard: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        let producer = self.producer()?;
        let known = self.topics(&producer)?;
        Ok(Box::new(KafkaWriter::new(Parts {
            router: Router { producer, topics: self.settings.topics.clone(), known },
            encoding: Encoding::new(&self.layout, self.upsert, &self.context)?,
            buffer: self.settings.buffering.map(UpsertBuffer::new),
            delivery: self.settings.delivery,
            gate: self.shared()?.map(KafkaDecider::gate),
            fixed: (self.settings.partitioner == Partitioner::Fixed).then_some(shard),
            clock: self.clock.clone(),
        })))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NothingToCommit))
    }
    fn answers(&self) -> Option<Answers> {
        // Of rows that are made one message there is no telling.
        if self.settings.buffering.is_some() {
            return None;
        }
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        Some(own.as_ref().map(|it| it.answers()).unwrap_or_default())
    }
}
