//! Fetches messages and hands them out, partition by partition.
//!
//! ```text
//!   fetch ─► up to 4096 messages ─► sorted into partitions ─► chunks: when 8192 messages or 1 MiB have
//!     ▲                                                       come together, or nothing more waits
//!     └── nothing there: waits up to 100 ms, looks at the stop signal, for idle and for new partitions
//! ```
//!
//! Back-pressure: when nobody takes chunks nobody fetches. librdkafka reads ahead until its own queue is
//! full (`queued.max.messages.kbytes`), then asks the brokers for nothing more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ffi::CString,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flott_connector::{Chunk, Payload, ReadContext, ReaderFigures, SourceReader, SplitLag, SplitTime};
use flott_types::{Code, Diagnostic, Result};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use serde_json::{Value, json};

use super::{
    begin,
    cluster::{Cluster, PATIENCE, Partition, Place, SHORT_PATIENCE},
    failure,
    native::{BATCH, Fetched, Fetcher},
    position::{Position, SplitPlace, unusable},
    split::{Split, Wants},
    topic_ids,
};
use crate::{
    context::{Brokers, Context},
    options::{
        client::ClientSettings,
        scan::{ScanSettings, Topics},
    },
};

/// A chunk is handed over with so many messages,
const CHUNK_MESSAGES: usize = 8192;
/// or so many bytes,
const CHUNK_BYTES: usize = 1 << 20;
/// or when so many bytes wait in all partitions together.
const WAITING_BYTES: usize = 16 << 20;
/// How long a wait goes on before the stop signal is looked at.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// By what librdkafka calls a partition in a message.
type ByNumber = HashMap<(usize, i32), usize, BuildHasherDefault<DefaultHasher>>;

/// Reads a table's partitions.
pub(crate) struct KafkaReader {
    fetcher: Fetcher,
    client: Arc<ClientSettings>,
    scan: Arc<ScanSettings>,
    wants: Wants,
    splits: Vec<Split>,
    /// The number of the next split.
    next_split: u32,
    by_number: ByNumber,
    /// Which topics the names stand for.
    topic_ids: BTreeMap<String, String>,
    /// When that was checked last.
    checked: Duration,
    /// Chunks that are cut and not handed out: the split, the next offset behind it.
    ready: VecDeque<(usize, i64, Chunk)>,
    /// Bytes that wait to become chunks.
    waiting: usize,
    sequence: u64,
    /// As [`SourceReader::position`] tells it.
    position: Value,
    /// When new partitions are looked for.
    discovery: Option<Duration>,
    /// When a chunk was handed out last.
    left: Duration,
    figures: Arc<Figures>,
    /// When the figures were told last.
    told: Duration,
}

/// How often to look whether topics are still the same.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How often the figures are told.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// For whoever asks what a run is doing.
#[derive(Debug)]
struct Figures {
    brokers: Arc<Brokers>,
    servers: String,
    lag: Mutex<Vec<SplitLag>>,
}

impl ReaderFigures for Figures {
    fn lag(&self) -> Vec<SplitLag> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn trouble(&self) -> Option<String> {
        let why = self.brokers.trouble()?;
        Some(format!("no Kafka broker of '{}' can be reached ({why})", self.servers))
    }
}

impl KafkaReader {
    /// # Errors
    /// `InputMissing`, `InputUnreadable`, `CheckpointUnusable`
    pub(crate) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        client: Arc<ClientSettings>,
        scan: Arc<ScanSettings>,
        wants: Wants,
        resume: Option<&Value>,
    ) -> Result<Self> {
        let figures = Arc::new(Figures {
            brokers: consumer.context().brokers.clone(),
            servers: client.servers.clone(),
            lag: Mutex::default(),
        });
        let mut reader = Self {
            figures,
            told: Duration::ZERO,
            fetcher: Fetcher::new(consumer),
            client,
            scan,
            wants,
            splits: Vec::new(),
            next_split: 0,
            by_number: ByNumber::default(),
            topic_ids: BTreeMap::new(),
            checked: Duration::ZERO,
            ready: VecDeque::new(),
            waiting: 0,
            sequence: 0,
            position: Position::empty(),
            discovery: None,
            left: Duration::ZERO,
        };
        let places = match resume {
            None => begin::places(&reader.cluster(PATIENCE), &reader.scan)?,
            Some(value) => {
                let Position { splits, topics } = Position::from_json(value)?;
                reader.check_topics(&splits)?;
                reader.topic_ids = topics;
                splits
            }
        };
        reader.open(places, Duration::ZERO)?;
        reader.check_ids(SHORT_PATIENCE)?;
        if resume.is_some() && reader.scan.discovery.is_some() {
            reader.discover(PATIENCE, Duration::ZERO)?;
        }
        Ok(reader)
    }

    fn cluster(&self, patience: Duration) -> Cluster<'_> {
        Cluster { consumer: self.fetcher.consumer(), settings: &self.client, patience }
    }

    /// A checkpoint of other topics isn't one of this table.
    fn check_topics(&self, places: &[SplitPlace]) -> Result<()> {
        let is_ours = |place: &&SplitPlace| match &self.scan.topics {
            Topics::Named(names) => names.contains(&place.topic),
            Topics::Matching(pattern) => pattern.is_match(&place.topic),
        };
        match places.iter().find(|place| !is_ours(place)) {
            None => Ok(()),
            Some(place) => {
                let topic = &place.topic;
                Err(unusable(format!(
                    "the checkpoint has read topic '{topic}', which the table no longer names"
                )))
            }
        }
    }

    fn open(&mut self, places: Vec<SplitPlace>, now: Duration) -> Result<()> {
        let first = self.splits.len();
        for place in places {
            self.next_split = self.next_split.max(place.number.saturating_add(1));
            self.splits.push(Split::new(place, now));
        }
        let new = self.splits.get(first..).unwrap_or_default().iter().filter(|split| !split.ended);
        let partitions =
            new.map(|split| (split.place.topic.as_str(), split.place.partition, split.place.next));
        let assigned = self.fetcher.assign(partitions);
        assigned.map_err(|error| failure::failed(&self.client, "read from", &error))?;
        self.position = self.whole_position();
        for index in first..self.splits.len() {
            if let Some(split) = self.splits.get_mut(index).filter(|split| split.ended) {
                split.topic = CString::default();
            }
            self.control(index, SplitTime::default());
        }
        Ok(())
    }

    fn whole_position(&self) -> Value {
        let partitions: Vec<Value> = self.splits.iter().map(|split| split.place.to_json()).collect();
        json!({"partitions": partitions, "topics": self.topic_ids})
    }

    /// Looks for partitions that have come since; they are read from their beginning.
    fn discover(&mut self, patience: Duration, now: Duration) -> Result<()> {
        let cluster = self.cluster(patience);
        let known = |(topic, partition): &Partition| {
            self.splits.iter().any(|split| split.place.topic == *topic && split.place.partition == *partition)
        };
        let mut new = cluster.partitions(&self.scan.topics)?;
        new.retain(|partition| !known(partition));
        if new.is_empty() {
            return Ok(());
        }
        let starts = begin::earliest(&cluster, &new)?;
        let first = self.next_split;
        let place = |(at, ((topic, partition), next)): (u32, (Partition, i64))| {
            tracing::info!("'{topic}[{partition}]' has come: it is read from offset {next} on");
            SplitPlace { topic, partition, number: first.saturating_add(at), next, end: None }
        };
        let places = (0..).zip(new.into_iter().zip(starts)).map(place).collect();
        self.open(places, now)
    }

    fn discover_in_time(&mut self, now: Duration) {
        let Some(interval) = self.scan.discovery else { return };
        let due = *self.discovery.get_or_insert(now + interval);
        if now < due {
            return;
        }
        self.discovery = Some(now + interval);
        if let Err(error) = self.discover(SHORT_PATIENCE, now) {
            tracing::debug!("new partitions weren't looked for: {}", error.message);
        }
    }

    /// A chunk without messages.
    fn control(&mut self, index: usize, time: SplitTime) {
        let Some(split) = self.splits.get_mut(index) else { return };
        let finished = split.ended && split.building.is_none();
        split.told_end |= finished;
        let time = SplitTime { split_number: split.place.number, finished, ..time };
        let chunk = Chunk::control(split.info.clone(), 0, time);
        let next = if split.building.is_none() { split.fetched } else { split.place.next };
        self.ready.push_back((index, next, chunk));
    }

    /// What has come together of a split becomes a chunk.
    fn cut(&mut self, index: usize) {
        let Some(split) = self.splits.get_mut(index) else { return };
        let Some(messages) = split.building.take() else { return };
        let bytes = (messages.values.bytes().len() + messages.keys.bytes().len()) as u64;
        self.waiting = self.waiting.saturating_sub(bytes as usize);
        split.told_end |= split.ended;
        let chunk = Chunk {
            split: split.info.clone(),
            sequence: 0,
            offset: messages.offsets.first().and_then(|it| u64::try_from(*it).ok()).unwrap_or(0),
            bytes_in: bytes,
            time: SplitTime {
                split_number: split.place.number,
                finished: split.ended,
                ..SplitTime::default()
            },
            payload: Payload::Messages(messages),
        };
        self.ready.push_back((index, split.fetched, chunk));
    }

    fn cut_all(&mut self) {
        (0..self.splits.len()).for_each(|index| self.cut(index));
        // Splits that ended with nothing more to hand out.
        for index in 0..self.splits.len() {
            if self.splits.get(index).is_some_and(|split| split.ended && !split.told_end) {
                self.control(index, SplitTime::default());
            }
        }
    }

    fn hand_out(&mut self) -> Option<Chunk> {
        let (index, next, mut chunk) = self.ready.pop_front()?;
        chunk.sequence = self.sequence;
        self.sequence += 1;
        if let Some(split) = self.splits.get_mut(index) {
            split.place.next = next;
            let place = self.position.get_mut("partitions").and_then(|it| it.get_mut(index));
            if let Some(place) = place {
                *place = split.place.to_json();
            }
        }
        Some(chunk)
    }

    /// Fetches once. False: nothing was there.
    fn fetch(&mut self, wait: Duration, context: &ReadContext) -> Result<bool> {
        // Errors, tokens, answers to commits; never messages.
        drop(self.fetcher.consumer().poll(Duration::ZERO));
        let now = context.clock.monotonic();
        let mut sorter = Sorter {
            splits: &mut self.splits,
            by_number: &mut self.by_number,
            wants: self.wants,
            context,
            now,
            last: (usize::MAX, -1, usize::MAX),
            bytes: 0,
            full: Vec::new(),
            wrong: Vec::new(),
        };
        let count = self.fetcher.fetch(wait, |message| sorter.take(message));
        let Sorter { bytes, full, wrong, .. } = sorter;
        self.waiting += bytes;
        if count > 0 && self.fetcher.consumer().context().brokers.are_back() {
            tracing::info!("Kafka at '{}' answers again", self.client.servers);
        }
        for (index, code, text) in wrong {
            self.cope(index, code, &text)?;
        }
        full.into_iter().for_each(|index| self.cut(index));
        if count < BATCH || self.waiting > WAITING_BYTES {
            self.cut_all();
        }
        self.leave_ended();
        Ok(count > 0)
    }

    /// Partitions that are through are no longer fetched.
    fn leave_ended(&mut self) {
        let mut left = false;
        for split in self.splits.iter_mut().filter(|split| split.ended && !split.topic.is_empty()) {
            if let Err(error) = self.fetcher.unassign(&split.place.topic, split.place.partition) {
                tracing::debug!("'{}' is fetched on: {error}", split.info.name);
            }
            split.topic = CString::default();
            left = true;
        }
        if left {
            // librdkafka may give a topic's number to another one, once nothing of it is assigned.
            self.by_number.clear();
        }
    }

    /// A partition that can't be read as it was.
    fn cope(&mut self, index: usize, code: RDKafkaErrorCode, text: &str) -> Result<()> {
        use RDKafkaErrorCode as Kafka;
        let Some(split) = self.splits.get(index) else {
            tracing::debug!("Kafka: {code}: {text}");
            return Ok(());
        };
        let name = split.info.name.clone();
        match code {
            Kafka::AutoOffsetReset | Kafka::OffsetOutOfRange => self.lost(index),
            Kafka::UnknownTopicOrPartition
            | Kafka::UnknownTopic
            | Kafka::UnknownPartition
            | Kafka::UnknownTopicId => {
                let message = format!("'{name}' is gone: the topic was deleted while it was read");
                Err(Diagnostic::error(Code::TopicMissing, message)
                    .that_lasts()
                    .help("start anew with `--resume never` once it is there again"))
            }
            Kafka::TopicAuthorizationFailed | Kafka::GroupAuthorizationFailed => {
                Err(failure::of_code(&self.client, &format!("read '{name}' of"), code, text))
            }
            _ => {
                tracing::debug!("'{name}': {code}: {text}");
                Ok(())
            }
        }
    }

    /// The offset to go on at isn't in the log.
    fn lost(&mut self, index: usize) -> Result<()> {
        let Some(split) = self.splits.get(index) else { return Ok(()) };
        let partition = [(split.place.topic.clone(), split.place.partition)];
        let (name, wanted) = (split.info.name.clone(), split.fetched);
        let cluster = self.cluster(PATIENCE);
        let one = |place| -> Result<i64> {
            Ok(cluster.offsets(&partition, place)?.first().copied().flatten().unwrap_or(0))
        };
        let (low, high) = (one(Place::Earliest)?, one(Place::Latest)?);
        let what = if wanted > high {
            format!(
                "'{name}' ends at offset {high}, but was read up to {wanted}: the topic was deleted and made \
                 anew, or lost its last messages"
            )
        } else {
            let lost = low.saturating_sub(wanted);
            format!(
                "{lost} messages of '{name}' are lost: they were to be read from offset {wanted} on, but the \
                     first that is there is {low}"
            )
        };
        if !self.scan.continue_when_lost {
            let help = "retention has deleted them before they were read; 'scan.lost-offsets' = 'continue' goes on \
                        with the first that is there";
            return Err(Diagnostic::error(Code::InputMissing, what).that_lasts().help(help));
        }
        tracing::warn!("{what}; going on at {low}");
        self.go_on_at(index, low)
    }

    /// Reads on elsewhere.
    fn go_on_at(&mut self, index: usize, offset: i64) -> Result<()> {
        self.by_number.clear();
        let Some(split) = self.splits.get(index) else { return Ok(()) };
        let (topic, partition) = (split.place.topic.clone(), split.place.partition);
        let again = self.fetcher.unassign(&topic, partition);
        let again =
            again.and_then(|()| self.fetcher.assign([(topic.as_str(), partition, offset)].into_iter()));
        again.map_err(|error| failure::failed(&self.client, "read from", &error))?;
        self.cut(index);
        if let Some(split) = self.splits.get_mut(index) {
            split.fetched = offset;
            split.ended = split.is_behind(offset);
        }
        // Behind what is cut: from here on the position is the new one.
        self.control(index, SplitTime::default());
        Ok(())
    }

    fn check_ids_in_time(&mut self, now: Duration) -> Result<()> {
        if now.saturating_sub(self.checked) < CHECK_EVERY {
            return Ok(());
        }
        self.checked = now;
        self.check_ids(WAIT_MAX * 2)
    }

    /// Whether the topics are those that were read: a name may stand for another one by now.
    fn check_ids(&mut self, wait: Duration) -> Result<()> {
        let open = self.splits.iter().filter(|split| !split.ended);
        let names: BTreeSet<&str> = open.map(|split| split.place.topic.as_str()).collect();
        for (topic, id) in topic_ids::ask(self.fetcher.consumer(), names, wait) {
            match self.topic_ids.insert(topic.clone(), id.clone()) {
                Some(before) if before != id => self.made_anew(&topic)?,
                Some(_) => {}
                None => self.position = self.whole_position(),
            }
        }
        Ok(())
    }

    fn made_anew(&mut self, topic: &str) -> Result<()> {
        let what = format!(
            "the topic '{topic}' was deleted and made anew: what was not read of the old one is lost"
        );
        if !self.scan.continue_when_lost {
            let help = "'scan.lost-offsets' = 'continue' reads the new one from its beginning, as does a job that \
                        starts anew with `--resume never`";
            return Err(Diagnostic::error(Code::TopicMissing, what).that_lasts().help(help));
        }
        tracing::warn!("{what}; reading the new one from its beginning");
        for index in 0..self.splits.len() {
            let Some(split) = self.splits.get(index).filter(|it| it.place.topic == topic && !it.ended) else {
                continue;
            };
            let partition = [(split.place.topic.clone(), split.place.partition)];
            let start = begin::earliest(&self.cluster(PATIENCE), &partition)?.first().copied().unwrap_or(0);
            self.go_on_at(index, start)?;
        }
        self.position = self.whole_position();
        Ok(())
    }

    /// Tells splits that have become idle.
    fn notice_idle(&mut self, now: Duration, timeout: Duration, came: bool) {
        for index in 0..self.splits.len() {
            let Some(split) = self.splits.get_mut(index) else { return };
            // While messages come, those of this split may still be on their way: unless its end was seen.
            let is_silent = split.at_end || !came;
            if is_silent && !split.ended && !split.idle && now.saturating_sub(split.since) >= timeout {
                split.idle = true;
                self.control(index, SplitTime { split_idle: true, ..SplitTime::default() });
            }
        }
    }
}

impl SourceReader for KafkaReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        // While nobody took chunks nothing could come.
        let away = context.clock.monotonic().saturating_sub(self.left);
        self.splits.iter_mut().for_each(|split| split.since = split.since.saturating_add(away));
        loop {
            if context.stop.is_stopped() {
                return Ok(None);
            }
            if let Some(chunk) = self.hand_out() {
                self.left = context.clock.monotonic();
                return Ok(Some(chunk));
            }
            if self.scan.discovery.is_none()
                && self.splits.iter().all(|split| split.told_end)
                && self.is_bounded()
            {
                return Ok(None);
            }
            let idle_timeout = self.scan.idle_timeout.or(context.idle_timeout);
            let wait = idle_timeout.map_or(WAIT_MAX, |it| it.min(WAIT_MAX));
            let came = self.fetch(wait, context)?;
            let now = context.clock.monotonic();
            if let Some(timeout) = idle_timeout {
                self.notice_idle(now, timeout, came);
            }
            self.discover_in_time(now);
            self.check_ids_in_time(now)?;
            self.tell(now);
        }
    }

    fn figures(&self) -> Option<Arc<dyn ReaderFigures>> {
        Some(self.figures.clone())
    }

    fn position(&self) -> Value {
        self.position.clone()
    }
}

impl KafkaReader {
    /// Brokers that are back may have nothing new to say.
    fn look_for_brokers(&self) {
        let consumer = self.fetcher.consumer();
        let Some(split) = self.splits.first().filter(|_| consumer.context().brokers.trouble().is_some())
        else {
            return;
        };
        let asked = consumer.fetch_metadata(Some(&split.place.topic), WAIT_MAX);
        if asked.is_ok() && consumer.context().brokers.are_back() {
            tracing::info!("Kafka at '{}' answers again", self.client.servers);
        }
    }

    fn tell(&mut self, now: Duration) {
        if now.saturating_sub(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        self.look_for_brokers();
        let behind = |split: &Split| {
            let end = self.fetcher.known_end(&split.topic, split.place.partition)?;
            let end = split.place.end.map_or(end, |it| it.min(end));
            // Ends of transactions are no messages, but have offsets.
            let lag = if split.at_end || split.ended { split.fetched } else { end }
                .saturating_sub(split.place.next);
            let records = u64::try_from(lag).unwrap_or(0);
            Some(SplitLag { split_number: split.place.number, split: split.info.clone(), records })
        };
        *self.figures.lag.lock().unwrap_or_else(PoisonError::into_inner) =
            self.splits.iter().filter_map(behind).collect();
    }
    fn is_bounded(&self) -> bool {
        self.scan.bounded != crate::options::scan::Bounded::Never
    }
}

/// Sorts a batch's messages into their partitions.
struct Sorter<'a> {
    splits: &'a mut Vec<Split>,
    by_number: &'a mut ByNumber,
    wants: Wants,
    context: &'a ReadContext,
    now: Duration,
    /// Messages of a partition come in runs: topic, partition and split of the last one.
    last: (usize, i32, usize),
    /// Bytes taken.
    bytes: usize,
    /// Splits that have enough for a chunk.
    full: Vec<usize>,
    /// Splits with trouble.
    wrong: Vec<(usize, RDKafkaErrorCode, String)>,
}

impl Sorter<'_> {
    fn split_of(&mut self, message: &Fetched<'_>) -> usize {
        let key = (message.topic_number(), message.partition());
        if (self.last.0, self.last.1) == key {
            return self.last.2;
        }
        let splits = &self.splits;
        let index = *self.by_number.entry(key).or_insert_with(|| {
            let is_it = |it: &Split| it.place.partition == key.1 && it.place.topic == message.topic();
            splits.iter().position(is_it).unwrap_or(usize::MAX)
        });
        if index == usize::MAX {
            self.by_number.remove(&key);
        }
        self.last = (key.0, key.1, index);
        index
    }

    fn take(&mut self, message: &Fetched<'_>) {
        let index = self.split_of(message);
        if let Some(error) = message.error() {
            return self.error(index, message, error);
        }
        let Some(split) = self.splits.get_mut(index) else { return };
        // What was on its way before the partition was assigned anew.
        if split.ended || message.offset() < split.fetched {
            return;
        }
        if split.is_behind(message.offset()) {
            split.ended = true;
            return;
        }
        let before = split.waiting().1;
        if !split.take(message, self.wants, &self.context.buffers) {
            let text = format!("the message at offset {} is too large", message.offset());
            return self.wrong.push((index, RDKafkaErrorCode::InvalidMessageSize, text));
        }
        (split.since, split.idle, split.at_end) = (self.now, false, false);
        split.ended = split.is_behind(split.fetched);
        let (messages, bytes) = split.waiting();
        self.bytes += bytes - before;
        if (messages >= CHUNK_MESSAGES || bytes >= CHUNK_BYTES) && !self.full.contains(&index) {
            self.full.push(index);
        }
    }

    fn error(&mut self, index: usize, message: &Fetched<'_>, error: RDKafkaErrorCode) {
        if error != RDKafkaErrorCode::PartitionEOF {
            let text = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
            return self.wrong.push((index, error, text));
        }
        let Some(split) = self.splits.get_mut(index) else { return };
        split.at_end = true;
        // Behind the last message there may be ends of transactions, which are no messages.
        split.ended |= split.is_behind(message.offset());
    }
}
