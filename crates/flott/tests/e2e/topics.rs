//! Topics byte for byte: written by hand or from a recording, read back and held against one.
//!
//! ```text
//!   {"key": "k", "value": {"hex": "0a01"}, "schema": …}     a line of a recording
//!      │            │                          └ the value begins with this schema's id, another in each registry
//!      └ text, {"hex": …} or null: no key, no value
//! ```

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use flott_connector::{Clock, SystemClock};
use flott_testkit::services::{Broker, Registry};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// When the first message of a topic is of: long ago, and always the same.
pub const BEGIN: i64 = 1_700_000_000_000;

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Of messages with headers only: others are of the time at which they were written.
    pub timestamp: Option<i64>,
    /// The schema whose id stands before the value, and its kind.
    pub schema: Option<(Value, String)>,
}

impl Message {
    pub fn new(key: Option<&str>, value: Option<&str>) -> Self {
        Self { key: key.map(Into::into), value: value.map(Into::into), ..Self::default() }
    }

    /// With the id of its schema before its value.
    fn framed(&self, registry: &Registry, subject: &str) -> Self {
        let (Some((schema, kind)), Some(value)) = (&self.schema, &self.value) else { return self.clone() };
        let schema = schema.as_str().map_or_else(|| schema.to_string(), str::to_string);
        let id = registry.register(subject, kind, &schema).unwrap();
        let value = [&[0], &id.to_be_bytes()[..], value].concat();
        Self { value: Some(value), schema: None, ..self.clone() }
    }

    /// The other way round.
    pub fn unframed(&self, registry: &Registry) -> Self {
        let Some([0, a, b, c, d, rest @ ..]) = self.value.as_deref() else { return self.clone() };
        let schema = registry.schema(i32::from_be_bytes([*a, *b, *c, *d])).unwrap();
        let (schema, kind) = match serde_json::from_str(&schema) {
            Ok(schema) => (schema, "AVRO"),
            Err(_) => (Value::String(schema), "PROTOBUF"),
        };
        Self { value: Some(rest.to_vec()), schema: Some((schema, kind.to_string())), ..self.clone() }
    }
}

/// A recorded topic.
pub fn recorded(path: &Path) -> Vec<Message> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| from_line(&serde_json::from_str(line).unwrap())).collect()
}

fn from_line(line: &Value) -> Message {
    let headers = line["headers"].as_array().into_iter().flatten();
    let kind = line["kind"].as_str().unwrap_or("AVRO").to_string();
    Message {
        key: bytes(&line["key"]),
        value: bytes(&line["value"]),
        headers: headers.map(|it| (it[0].as_str().unwrap().to_string(), bytes(&it[1]))).collect(),
        timestamp: line["timestamp"].as_i64(),
        schema: line.get("schema").map(|schema| (schema.clone(), kind)),
    }
}

fn bytes(recorded: &Value) -> Option<Vec<u8>> {
    match recorded {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => {
            let digits = other["hex"].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            Some((0..digits.len()).step_by(2).map(byte).collect())
        }
    }
}

/// Makes a topic of one partition that keeps messages of any age.
pub fn make(kafka: &Broker, topic: &str) {
    kafka.create_topic_with(topic, 1, 1, &[("retention.ms", "-1")]).unwrap();
}

/// Writes messages, those with a schema with its id in that registry, each a millisecond after the one before.
pub fn send(kafka: &Broker, registry: Option<&Registry>, topic: &str, messages: &[Message]) {
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    for (message, at) in messages.iter().zip(BEGIN..) {
        let framed =
            registry.map_or_else(|| message.clone(), |it| message.framed(it, &format!("{topic}-value")));
        let mut headers = OwnedHeaders::new();
        for (key, value) in &framed.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut record =
            BaseRecord::<Vec<u8>, Vec<u8>>::to(topic).partition(0).timestamp(at).headers(headers);
        record.key = framed.key.as_ref();
        record.payload = framed.value.as_ref();
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn reader(kafka: &Broker, isolation: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // Nobody waits for more than there is.
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", isolation);
    config.create().unwrap()
}

/// How far a topic reaches, for those who read all of it and for those who read what is committed.
///
/// ```text
///   committed │ committed │ aborted │ open …
///                                   ▲      ▲
///                           committed      all
/// ```
pub struct Ends<'a> {
    topic: &'a str,
    partitions: Vec<i32>,
    all: BaseConsumer,
    committed: BaseConsumer,
}

impl<'a> Ends<'a> {
    pub fn of(kafka: &Broker, topic: &'a str) -> Self {
        let partitions = kafka.partitions(topic).unwrap().unwrap_or_default();
        Self {
            topic,
            partitions: partitions.iter().map(|it| it.number).collect(),
            all: reader(kafka, "read_uncommitted"),
            committed: reader(kafka, "read_committed"),
        }
    }

    fn seen_by(&self, reader: &BaseConsumer) -> Vec<i64> {
        let end = |partition: &i32| reader.fetch_watermarks(self.topic, *partition, PATIENCE).unwrap().1;
        self.partitions.iter().map(end).collect()
    }

    /// Whether a transaction that is neither committed nor aborted hides the end of a partition.
    pub fn are_open(&self) -> bool {
        let all = self.seen_by(&self.all);
        self.are_before(&all)
    }

    fn are_before(&self, ends: &[i64]) -> bool {
        self.seen_by(&self.committed).iter().zip(ends).any(|(committed, end)| committed < end)
    }

    /// Waits until all that is there now is committed or aborted: a commit is answered before readers see it.
    fn wait(&self) {
        let all = self.seen_by(&self.all);
        wait_until("the end of all transactions", || !self.are_before(&all));
    }
}

/// All messages of a topic, partition by partition, as a reader of committed transactions sees them at last.
pub fn read(kafka: &Broker, topic: &str) -> Vec<Message> {
    Ends::of(kafka, topic).wait();
    seen(kafka, topic)
}

/// The same as lines of text.
pub fn lines(kafka: &Broker, topic: &str) -> Vec<String> {
    let text = |it: Message| String::from_utf8(it.value.unwrap_or_default()).unwrap();
    read(kafka, topic).into_iter().map(text).collect()
}

/// What a reader of committed transactions sees now.
pub fn seen(kafka: &Broker, topic: &str) -> Vec<Message> {
    let consumer = reader(kafka, "read_committed");
    let mut begin = TopicPartitionList::new();
    let partitions = kafka.partitions(topic).unwrap().unwrap_or_default();
    let mut unread: BTreeSet<i32> = partitions.iter().map(|it| it.number).collect();
    for partition in &unread {
        begin.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&begin).unwrap();
    let (mut found, clock) = (vec![], SystemClock::new());
    while !unread.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => found.push((message.partition(), from_topic(&message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = unread.remove(&partition),
            // One of several brokers may be away.
            other => {
                let why = other.and_then(Result::err);
                assert!(clock.monotonic() < PATIENCE, "'{topic}' isn't read to its end: {why:?}");
            }
        }
    }
    found.sort_by_key(|(partition, _)| *partition);
    found.into_iter().map(|(_, message)| message).collect()
}

fn from_topic(message: &BorrowedMessage<'_>) -> Message {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers: Vec<_> = headers.map(|it| (it.key.to_string(), it.value.map(<[u8]>::to_vec))).collect();
    Message {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis().filter(|_| !headers.is_empty()),
        headers,
        schema: None,
    }
}
