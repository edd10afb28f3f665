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

mod figures;
mod lost;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ffi::CString,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use flott_connector::{Chunk, Payload, ReadContext, ReaderFigures, SourceReader, SplitTime};
use flott_types::{Result, Severity};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use serde_json::{Value, json};

use self::figures::{Figures, SplitStand};
use super::{
    begin,
    cluster::{Cluster, PATIENCE, Partition, SHORT_PATIENCE},
    failure,
    native::{BATCH, Fetched, Fetcher},
    nothing_matches,
    position::{Position, SplitPlace},
    split::{Split, Wants},
};
use crate::{
    context::Context,
    options::{
        client::ClientSettings,
        scan::{Bounded, ScanSettings},
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
    /// Those that weren't there when that was checked last.
    missing: BTreeSet<String>,
    /// When it was.
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
    /// As of the last look at the clock.
    now: Duration,
    figures: Arc<Figures>,
    /// When the figures were told last.
    told: Duration,
    /// When brokers were looked for last.
    looked: Duration,
    /// Questions, 5 s apart, that had no answer in time, and no message came since.
    unanswered: u32,
}

/// How often the figures are told.
const TELL_EVERY: Duration = Duration::from_millis(20);
/// After so many questions without answer brokers count as lost: one that hangs closes no connection.
const UNANSWERED_MAX: u32 = 3;
/// How often brokers that were away are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
        let figures = Arc::new(Figures::new(&consumer, &client.servers));
        let mut reader = Self {
            figures,
            told: Duration::ZERO,
            looked: Duration::ZERO,
            unanswered: 0,
            fetcher: Fetcher::new(consumer),
            client,
            scan,
            wants,
            splits: Vec::new(),
            next_split: 0,
            by_number: ByNumber::default(),
            topic_ids: BTreeMap::new(),
            missing: BTreeSet::new(),
            checked: Duration::ZERO,
            ready: VecDeque::new(),
            waiting: 0,
            sequence: 0,
            position: Position::empty(),
            discovery: None,
            left: Duration::ZERO,
            now: Duration::ZERO,
        };
        let places = match resume {
            None => begin::places(&reader.cluster(PATIENCE), &reader.scan)?,
            Some(value) => {
                let position = Position::from_json(value)?;
                position.check(&reader.scan)?;
                let Position { mut splits, topics } = position;
                reader.end_now(&mut splits)?;
                reader.topic_ids = topics;
                splits
            }
        };
        reader.open(places, Duration::ZERO)?;
        reader.check_ids(SHORT_PATIENCE)?;
        // Whatever the interval is: what has come while no run was there belongs to this one.
        if resume.is_some() && !reader.is_bounded() {
            reader.discover(PATIENCE, Duration::ZERO)?;
        }
        if reader.splits.is_empty()
            && let Some(diagnostic) = nothing_matches(&reader.client, &reader.scan)
        {
            if diagnostic.severity == Severity::Error {
                return Err(diagnostic);
            }
            tracing::warn!("{}", diagnostic.message);
        }
        Ok(reader)
    }

    fn cluster(&self, patience: Duration) -> Cluster<'_> {
        Cluster { consumer: self.fetcher.consumer(), settings: &self.client, patience }
    }

    /// Where a bounded table ends is decided when its job starts from nothing: a topic named since has no end.
    /// A table that had no end when the checkpoint was made, and has one now: it lies where it would lie for a
    /// job that begins.
    fn end_now(&self, places: &mut [SplitPlace]) -> Result<()> {
        if !self.is_bounded() || places.iter().all(|place| place.end.is_some()) {
            return Ok(());
        }
        let endless = || places.iter().filter(|place| place.end.is_none());
        let partitions: Vec<Partition> =
            endless().map(|place| (place.topic.clone(), place.partition)).collect();
        let ends = begin::ends(&self.cluster(PATIENCE), &self.scan, &partitions)?;
        for (place, end) in places.iter_mut().filter(|place| place.end.is_none()).zip(ends) {
            place.end = Some(end.unwrap_or(place.next));
        }
        Ok(())
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
            let is_it = |it: &Split| it.place.topic == *topic && it.place.partition == *partition;
            // What a topic made anew didn't have may come back.
            self.splits.iter().any(|split| is_it(split) && !split.ended)
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
        let (_, waited) = split.waiting();
        let Some(messages) = split.building.take() else { return };
        let bytes = (messages.values.bytes().len() + messages.keys.bytes().len()) as u64;
        self.waiting = self.waiting.saturating_sub(waited);
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
        self.now = now;
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
            moved: Vec::new(),
        };
        let count = self.fetcher.fetch(wait, |message| sorter.take(message));
        let Sorter { bytes, full, wrong, moved, .. } = sorter;
        // Errors of librdkafka come the same way.
        let has_come = count > wrong.len();
        self.waiting += bytes;
        for wrong in wrong {
            self.cope(wrong)?;
        }
        for index in moved {
            self.tell_end(index);
        }
        full.into_iter().for_each(|index| self.cut(index));
        if has_come && (self.unanswered > 0 || self.fetcher.consumer().context().trouble().is_some()) {
            self.note_answer(true);
        }
        if count < BATCH || self.waiting > WAITING_BYTES {
            self.cut_all();
        }
        self.leave_ended();
        Ok(count > 0)
    }

    /// Ends of transactions lie behind the last message: the position follows, or retention would have deleted
    /// what it points at, though nothing is lost.
    fn tell_end(&mut self, index: usize) {
        let Some(split) = self.splits.get(index).filter(|it| it.building.is_none() && !it.told_end) else {
            return;
        };
        let split_idle = split.idle;
        self.control(index, SplitTime { split_idle, ..SplitTime::default() });
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

    /// Tells splits that have become idle.
    fn notice_idle(&mut self, now: Duration, timeout: Duration, came: bool) {
        // Who has been silent longest goes first: the last one's time still counts.
        let mut silent: Vec<usize> = (0..self.splits.len()).collect();
        silent.sort_by_key(|&index| self.splits.get(index).map(|split| split.since));
        for index in silent {
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
                // It may be long until somebody takes the next one.
                self.tell(self.left);
                return Ok(Some(chunk));
            }
            if self.splits.iter().all(|split| split.told_end) && self.is_bounded() {
                return Ok(None);
            }
            let idle_timeout = self.scan.idle_timeout.or(context.idle_timeout).filter(|it| !it.is_zero());
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
    fn look_for_brokers(&mut self) {
        let consumer = self.fetcher.consumer();
        let Some(split) = self.splits.first().filter(|_| consumer.context().brokers.trouble().is_some())
        else {
            return;
        };
        if consumer.fetch_metadata(Some(&split.place.topic), WAIT_MAX).is_ok() {
            self.note_answer(true);
        }
    }

    /// Whether the brokers have answered a question.
    fn note_answer(&mut self, have_answered: bool) {
        if have_answered {
            self.unanswered = 0;
            self.fetcher.consumer().context().note_answer();
            return;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered >= UNANSWERED_MAX {
            self.fetcher.consumer().context().note_silence(self.unanswered);
        }
    }

    fn tell(&mut self, now: Duration) {
        if now.saturating_sub(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.look_for_brokers();
        }
        let stand = |split: &Split| {
            // One that has ended is no longer librdkafka's.
            if split.topic.is_empty() {
                return None;
            }
            let end = self.fetcher.known_end(&split.topic, split.place.partition)?;
            Some(SplitStand {
                number: split.place.number,
                info: split.info.clone(),
                partition: (split.place.topic.clone(), split.place.partition),
                next: split.place.next,
                // Ends of transactions are no messages, but have offsets.
                end: if split.at_end || split.ended { split.fetched } else { end },
                limit: split.place.end,
            })
        };
        self.figures.tell(self.splits.iter().filter_map(stand).collect());
    }
    fn is_bounded(&self) -> bool {
        self.scan.bounded != Bounded::Never
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
    wrong: Vec<Wrong>,
    /// Splits whose end lies behind their last message.
    moved: Vec<usize>,
}

/// What is wrong with a split.
struct Wrong {
    index: usize,
    offset: i64,
    code: RDKafkaErrorCode,
    text: String,
}

impl Sorter<'_> {
    fn split_of(&mut self, message: &Fetched<'_>) -> usize {
        let key = (message.topic_number(), message.partition());
        if (self.last.0, self.last.1) == key {
            return self.last.2;
        }
        let splits = &self.splits;
        let index = *self.by_number.entry(key).or_insert_with(|| {
            let is_it =
                |it: &Split| !it.ended && it.place.partition == key.1 && it.place.topic == message.topic();
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
            let (offset, text) = (message.offset(), "4 GiB are the most".to_string());
            return self.wrong.push(Wrong {
                index,
                offset,
                code: RDKafkaErrorCode::InvalidMessageSize,
                text,
            });
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
            return self.wrong.push(Wrong { index, offset: message.offset(), code: error, text });
        }
        let Some(split) = self.splits.get_mut(index).filter(|split| !split.ended) else { return };
        split.at_end = true;
        // Behind the last message there may be ends of transactions, which are no messages.
        split.ended = split.is_behind(message.offset());
        if message.offset() > split.fetched {
            split.fetched = message.offset();
            self.moved.push(index);
        }
    }
}
