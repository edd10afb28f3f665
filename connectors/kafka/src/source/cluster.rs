//! Questions to the brokers: which partitions there are, and which offsets lie where.

use std::{collections::BTreeMap, time::Duration};

use flott_types::{Code, Diagnostic, Result};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::Offset,
};

use super::failure;
use crate::{
    context::Context,
    options::{client::ClientSettings, scan::Topics},
};

/// How long a broker may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The same where a run goes on without an answer.
pub(crate) const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// A long wait is made of pieces; each is twice as long as the one before, and the first twice as long as this.
const FIRST_PIECE: Duration = Duration::from_millis(250);

/// A partition: its topic and number.
pub(crate) type Partition = (String, i32);

/// Asks the brokers of one client.
pub(crate) struct Cluster<'a> {
    pub consumer: &'a BaseConsumer<Context>,
    pub settings: &'a ClientSettings,
    pub patience: Duration,
}

/// A place in a partition that brokers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Earliest,
    /// Behind the last message that may be read.
    Latest,
    /// The first message of this time, milliseconds since the epoch.
    Time(i64),
}

impl Cluster<'_> {
    fn failed(&self, doing: &str, error: &KafkaError) -> Box<Diagnostic> {
        let failure = self.consumer.context().explain(error.clone().into());
        failure::of_kind(self.settings, doing, &failure)
    }

    /// All partitions of the topics, in order.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn partitions(&self, topics: &Topics) -> Result<Vec<Partition>> {
        // Tokens and logins are asked for through the queue of events.
        drop(self.consumer.poll(Duration::ZERO));
        let mut found = BTreeMap::new();
        match topics {
            Topics::Matching { .. } => {
                for (name, partitions) in self.topics(None)? {
                    if topics.has(&name) {
                        found.insert(name, partitions);
                    }
                }
            }
            Topics::Named(names) => {
                for name in names {
                    match self.topics(Some(name))?.remove(name) {
                        Some(partitions) => drop(found.insert(name.clone(), partitions)),
                        None => {
                            let all = self.topics(None).unwrap_or_default();
                            return Err(failure::no_topic(
                                self.settings,
                                name,
                                all.keys().map(String::as_str),
                            ));
                        }
                    }
                }
            }
        }
        let each =
            |(name, numbers): (String, Vec<i32>)| numbers.into_iter().map(move |it| (name.clone(), it));
        Ok(found.into_iter().flat_map(each).collect())
    }

    /// Topics and their partitions: this one, or all.
    fn topics(&self, name: Option<&str>) -> Result<BTreeMap<String, Vec<i32>>> {
        let metadata = self.metadata(name).map_err(|error| self.failed("ask", &error))?;
        let mut found = BTreeMap::new();
        for topic in metadata.topics() {
            let mut partitions: Vec<i32> = topic.partitions().iter().map(|it| it.id()).collect();
            partitions.sort_unstable();
            match topic.error().map(RDKafkaErrorCode::from) {
                None => drop(found.insert(topic.name().to_string(), partitions)),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                Some(_) if name.is_none() => {}
                Some(code) => {
                    let doing = format!("read topic '{}' of", topic.name());
                    return Err(failure::of_code(self.settings, &doing, code, &code.to_string()));
                }
            }
        }
        Ok(found)
    }

    fn metadata(&self, name: Option<&str>) -> rdkafka::error::KafkaResult<rdkafka::metadata::Metadata> {
        // In pieces: a token that the client waits for comes through the queue of events.
        let (mut waited, mut piece) = (Duration::ZERO, FIRST_PIECE);
        loop {
            piece = (piece * 2).min(self.patience.saturating_sub(waited));
            match self.consumer.fetch_metadata(name, piece) {
                Err(error) if waited + piece < self.patience && is_passing(&error) => {
                    waited += piece;
                    drop(self.consumer.poll(Duration::from_millis(20)));
                    if self.consumer.context().denied().is_some() {
                        return Err(error);
                    }
                }
                Ok(answer) => {
                    self.consumer.context().brokers.let_us_in();
                    return Ok(answer);
                }
                failed => return failed,
            }
        }
    }

    /// The offsets of a place in each of the partitions; none: there is no such message.
    ///
    /// # Errors
    /// `InputUnreadable`
    pub(crate) fn offsets(&self, partitions: &[Partition], place: Place) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let asked = match place {
            Place::Earliest => Offset::Beginning,
            Place::Latest => Offset::End,
            Place::Time(millis) => Offset::Offset(millis),
        };
        let list = self.list(partitions, asked)?;
        let answer = self.consumer.offsets_for_times(list, self.patience);
        self.answers(partitions, &answer.map_err(|error| self.failed("ask for offsets of", &error))?)
    }

    /// What the group has committed.
    ///
    /// # Errors
    /// `InputUnreadable`
    pub(crate) fn committed(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = self.list(partitions, Offset::Invalid)?;
        let answer = self.consumer.committed_offsets(list, self.patience);
        self.answers(
            partitions,
            &answer.map_err(|error| self.failed("ask for a group's offsets of", &error))?,
        )
    }

    fn list(&self, partitions: &[Partition], offset: Offset) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let added = list.add_partition_offset(topic, *partition, offset);
            added.map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
        }
        Ok(list)
    }

    fn answers(&self, partitions: &[Partition], answer: &TopicPartitionList) -> Result<Vec<Option<i64>>> {
        let one = |(topic, partition): &Partition| {
            let Some(found) = answer.find_partition(topic, *partition) else { return Ok(None) };
            found.error().map_err(|error| {
                let doing = format!("ask for offsets of '{topic}[{partition}]' of");
                self.failed(&doing, &error)
            })?;
            Ok(match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        };
        partitions.iter().map(one).collect()
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(
        error.rdkafka_error_code(),
        Some(Kafka::BrokerTransportFailure | Kafka::OperationTimedOut | Kafka::AllBrokersDown)
    )
}
