//! The topic of tokens: which epoch each job committed last.
//!
//! ```text
//!   key          value                             written inside the transaction of the epoch that it names
//!   app-orders   {"token": 17, "owner": "00c4…"}
//!   app-orders   {"token": 18, "owner": "00c4…"}   ◄─ the last one that is committed counts
//! ```
//!
//! The topic is compacted: the last token of a key stays for ever.
//!
//! It is read after the fence, up to where its partitions ended then: what was committed before is seen. A
//! partition may end with somebody else's open transaction, which hides what lies behind it; that is waited
//! for. All partitions are read: the one of a key changes when partitions are added.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Poll, Wake, Waker},
    time::Duration,
};

use flott_connector::StopSignal;
use flott_types::{Code, Diagnostic, Result};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{Failure, Kind, Patience, patience::Wait};
use crate::{
    context::{Context, give_token},
    options::client::ClientSettings,
};

/// Partitions of the topic when we make it.
const PARTITIONS: i32 = 4;
/// The smallest segment that brokers take: what is old is compacted soon.
const SEGMENT_BYTES: &str = "1048576";
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// How long the first is, before it is looked whether the answer is no, or the run is to stop; each is twice as long.
const PIECE: Duration = Duration::from_millis(500);
/// How long making the topic may take.
const ADMINISTRATION: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The topic of tokens, and how to reach it.
pub(crate) struct Tokens<'a> {
    pub settings: &'a ClientSettings,
    pub topic: &'a str,
    /// How long everything together may take.
    pub patience: Patience,
}

impl Tokens<'_> {
    /// Makes the topic if it isn't there; refuses one that forgets.
    ///
    /// # Errors
    /// `InvalidOption`: it isn't compacted. Whatever keeps it from being made.
    pub(crate) fn ensure(&self) -> Result<()> {
        let mut config = self.settings.config();
        config.set("allow.auto.create.topics", "false");
        let admin: AdminClient<Context> =
            config.create_with_context(Context::new(self.settings)).map_err(|error| self.failed(error))?;
        give_token(admin.inner());
        let context = admin.inner().context();
        let wait = Some(self.patience.most.min(ADMINISTRATION));
        let options = AdminOptions::new().request_timeout(wait).operation_timeout(wait);
        let topic = NewTopic::new(self.topic, PARTITIONS, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.bytes", SEGMENT_BYTES)
            // Whoever compares two partitions' tokens goes by the brokers' clock, not by ours.
            .set("message.timestamp.type", "LogAppendTime");
        if self.ask(&self.consumer("read_committed")?, &mut self.patience.begin())?.is_none() {
            let made = self.answer(context, admin.create_topics([&topic], &options))?;
            match made.first() {
                Some(Err((_, code))) if *code != RDKafkaErrorCode::TopicAlreadyExists => {
                    return Err(Failure::of(*code, code.to_string()).diagnose(&self.doing("make")));
                }
                _ => tracing::info!("made the topic '{}' for the tokens of transactions", self.topic),
            }
        }
        let asked =
            self.answer(context, admin.describe_configs([&ResourceSpecifier::Topic(self.topic)], &options));
        if self.patience.stop.is_stopped() {
            asked?;
            return Ok(());
        }
        let policy = asked.ok().and_then(|it| it.into_iter().next()).and_then(std::result::Result::ok);
        let policy = policy.and_then(|it| it.get("cleanup.policy").and_then(|it| it.value.clone()));
        match policy {
            Some(policy) if policy != "compact" => Err(self.forgets(&policy)),
            Some(_) => Ok(()),
            None => {
                tracing::warn!("cannot see whether the topic '{}' is compacted, as it must be", self.topic);
                Ok(())
            }
        }
    }

    /// What the administration client is answered, unless the run is to stop meanwhile.
    fn answer<T>(
        &self,
        context: &Context,
        question: impl Future<Output = Result<T, KafkaError>>,
    ) -> Result<T> {
        match wait_for(question, &self.patience.stop) {
            Some(answer) => answer.map_err(|error| self.failed(error)),
            None => {
                let failure =
                    Failure { kind: Kind::Unreachable, text: "no answer until the run was to stop".into() };
                Err(self.unanswered(failure, context).diagnose(&self.doing("look at")))
            }
        }
    }

    /// What kept an answer from coming: the end of the run, if nothing else.
    fn unanswered(&self, failure: Failure, context: &Context) -> Failure {
        failure.unless_stopped(&self.patience.stop, context.brokers.last_trouble())
    }

    fn forgets(&self, policy: &str) -> Box<Diagnostic> {
        let topic = self.topic;
        let message =
            format!("the topic of tokens '{topic}' has 'cleanup.policy' = '{policy}': it would forget them");
        Diagnostic::error(Code::InvalidOption, message)
            .help(format!("kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy=compact"))
            .help("or name another topic with 'sink.token-topic': it is made as it must be")
    }

    /// The last committed message of this key, of what had been written when this was called.
    ///
    /// # Errors
    /// `BrokerUnreachable`, `AccessDenied`; `TransactionLost`: somebody else's transaction hides the end.
    pub(crate) fn last(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (all, committed) = (self.consumer("read_uncommitted")?, self.consumer("read_committed")?);
        let mut wait = self.patience.begin();
        let mut unread = BTreeSet::new();
        for partition in self.known_partitions(&all, &mut wait)? {
            let (low, end) = self.ends(&all, partition, &mut wait)?;
            if low >= end {
                continue;
            }
            while self.ends(&committed, partition, &mut wait)?.1 < end {
                if wait.is_over() {
                    return Err(self.hidden(partition));
                }
                pause();
            }
            unread.insert(partition);
        }
        self.read(&committed, unread, key, wait)
    }

    /// The last committed message of this key that readers see now: somebody's open transaction may hide a later
    /// one. None, too, if there is no such topic.
    ///
    /// # Errors
    /// `BrokerUnreachable`, `AccessDenied`
    pub(crate) fn seen(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let committed = self.consumer("read_committed")?;
        let mut wait = self.patience.begin();
        match self.ask(&committed, &mut wait)? {
            Some(partitions) => self.read(&committed, partitions.into_iter().collect(), key, wait),
            None => Ok(None),
        }
    }

    /// Reads these partitions to where they end for readers of what is committed.
    fn read(
        &self,
        committed: &BaseConsumer<Context>,
        mut unread: BTreeSet<i32>,
        key: &[u8],
        mut wait: Wait<'_>,
    ) -> Result<Option<Vec<u8>>> {
        if unread.is_empty() {
            return Ok(None);
        }
        let mut assignment = TopicPartitionList::new();
        for partition in &unread {
            let added = assignment.add_partition_offset(self.topic, *partition, Offset::Beginning);
            added.map_err(|error| self.failed(error))?;
        }
        committed.assign(&assignment).map_err(|error| self.failed(error))?;
        // Per partition the last one; between partitions, of which a key has two only if some were added
        // meanwhile, the newest.
        let mut last: BTreeMap<i32, (i64, Vec<u8>)> = BTreeMap::new();
        while !unread.is_empty() {
            match committed.poll(PAUSE) {
                Some(Ok(message)) if message.key() == Some(key) => {
                    let time = message.timestamp().to_millis().unwrap_or_default();
                    last.insert(message.partition(), (time, message.payload().unwrap_or_default().to_vec()));
                }
                // Where a partition ends for readers of what is committed: not before what was its end above.
                // It may be told more than once.
                Some(Err(KafkaError::PartitionEOF(partition))) => _ = unread.remove(&partition),
                Some(Ok(_)) => {}
                Some(Err(error)) if wait.is_over() => return Err(self.failed(error)),
                None if wait.is_over() => {
                    let silent = Failure { kind: Kind::Unreachable, text: "nothing came of it".into() };
                    return Err(self.unanswered(silent, committed.context()).diagnose(&self.doing("read")));
                }
                Some(Err(_)) | None => {}
            }
        }
        Ok(last.into_values().max_by_key(|(time, _)| *time).map(|(_, value)| value))
    }

    fn consumer(&self, isolation: &str) -> Result<BaseConsumer<Context>> {
        let mut config: ClientConfig = self.settings.config();
        config
            .set("group.id", "flott-tokens")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer<Context> =
            config.create_with_context(Context::new(self.settings)).map_err(|error| self.failed(error))?;
        give_token(consumer.client());
        Ok(consumer)
    }

    fn partitions(
        &self,
        consumer: &BaseConsumer<Context>,
        piece: &mut Duration,
    ) -> Result<Vec<i32>, Failure> {
        *piece = (*piece * 2).min(QUESTION);
        let asked = consumer.fetch_metadata(Some(self.topic), *piece);
        // Tokens of OAUTHBEARER are fetched while polling, and who isn't let in hears of it behind lines of the log.
        while consumer.poll(Duration::ZERO).is_some() {}
        let metadata = asked.map_err(|error| consumer.context().explain(error.into()))?;
        let found = metadata.topics().iter().find(|it| it.name() == self.topic);
        let code = found.and_then(|it| it.error()).map(RDKafkaErrorCode::from);
        if let Some(code) = code {
            return Err(Failure::of(code, code.to_string()));
        }
        let partitions: Vec<i32> =
            found.into_iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
        if partitions.is_empty() {
            return Err(Failure::of(RDKafkaErrorCode::UnknownTopicOrPartition, "it has no partitions"));
        }
        Ok(partitions)
    }

    /// Asks until there is an answer. None: there is no such topic.
    fn ask(&self, consumer: &BaseConsumer<Context>, wait: &mut Wait<'_>) -> Result<Option<Vec<i32>>> {
        let mut piece = PIECE / 2;
        loop {
            match self.partitions(consumer, &mut piece) {
                Ok(partitions) => return Ok(Some(partitions)),
                Err(Failure { kind: Kind::TopicMissing, .. }) => return Ok(None),
                Err(failure) if failure.kind == Kind::Denied || wait.is_over() => {
                    return Err(self.unanswered(failure, consumer.context()).diagnose(&self.doing("read")));
                }
                Err(_) => pause(),
            }
        }
    }

    /// The topic has just been made, perhaps: not every broker knows it yet.
    fn known_partitions(&self, consumer: &BaseConsumer<Context>, wait: &mut Wait<'_>) -> Result<Vec<i32>> {
        let mut piece = PIECE / 2;
        loop {
            match self.partitions(consumer, &mut piece) {
                Ok(partitions) => return Ok(partitions),
                Err(failure) if failure.kind == Kind::Denied || wait.is_over() => {
                    return Err(self.unanswered(failure, consumer.context()).diagnose(&self.doing("read")));
                }
                Err(_) => pause(),
            }
        }
    }

    /// The first offset, and the one behind the last.
    fn ends(
        &self,
        consumer: &BaseConsumer<Context>,
        partition: i32,
        wait: &mut Wait<'_>,
    ) -> Result<(i64, i64)> {
        loop {
            match consumer.fetch_watermarks(self.topic, partition, QUESTION) {
                Ok(ends) => return Ok(ends),
                Err(error) if wait.is_over() => return Err(self.failed(error)),
                Err(_) => pause(),
            }
        }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} the topic of tokens '{}'", self.topic)
    }
    fn failed(&self, error: KafkaError) -> Box<Diagnostic> {
        Failure::from(error).diagnose(&self.doing("read"))
    }
    fn hidden(&self, partition: i32) -> Box<Diagnostic> {
        let (topic, wait) = (self.topic, self.patience.most.as_secs());
        let message = format!(
            "cannot read the topic of tokens '{topic}' to its end: another job's transaction has been open in \
             its partition {partition} for {wait} s"
        );
        Diagnostic::error(Code::TransactionLost, message)
            .help("it ends with that job's next checkpoint, or when it expires: 'properties.transaction.timeout.ms'")
            .help("jobs that are not to wait for each other need a topic each: 'sink.token-topic'")
            .that_may_pass()
    }
}

/// Waits a little.
pub(crate) fn pause() {
    let _ = crossbeam_channel::never::<()>().recv_timeout(PAUSE);
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the administration client, whose own thread brings it; none if the run is to stop.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>, stop: &StopSignal) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return Some(answer),
            Poll::Pending if stop.is_stopped() => return None,
            Poll::Pending => std::thread::park_timeout(PAUSE),
        }
    }
}
