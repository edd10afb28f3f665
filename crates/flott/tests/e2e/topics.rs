//! Topics byte for byte: written by hand or from a recording, read back and held against one.
//!
//! ```text
//!   {"key": "k", "value": {"hex": "0a01"}, "schema": …}     a line of a recording
//!      │            │                          └ the value begins with this schema's id, another in each registry
//!      └ text, {"hex": …} or null: no key, no value
//! ```

use std::{fs, path::Path, time::Duration};

use flott_testkit::services::{Broker, Registry};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{Header, Headers, Message as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

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

/// All messages of a topic of one partition, as a reader of committed transactions sees them.
pub fn read(kafka: &Broker, topic: &str) -> Vec<Message> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "tests")
        .set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut begin = TopicPartitionList::new();
    begin.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&begin).unwrap();
    let mut found = vec![];
    loop {
        let message = match consumer.poll(PATIENCE).unwrap_or_else(|| panic!("'{topic}' does not answer")) {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(_)) => return found,
            Err(error) => panic!("'{topic}': {error}"),
        };
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers: Vec<_> = headers.map(|it| (it.key.to_string(), it.value.map(<[u8]>::to_vec))).collect();
        found.push(Message {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis().filter(|_| !headers.is_empty()),
            headers,
            schema: None,
        });
    }
}
