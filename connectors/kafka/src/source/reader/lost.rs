//! What a reader does when a partition can't be read as it was.
//!
//! ```text
//!   an error of a partition ─┬─ it may pass ──────────────────► librdkafka tries again
//!                            ├─ what it holds is unreadable ──► the run ends: topic, partition, offset
//!                            └─ the offset isn't in the log
//!                                  wanted < low                 retention          ─► low
//!                                  low <= wanted <= high        cut off, and grown ─► wanted
//!                                  high < wanted                cut off            ─► high
//!   another id of the topic ──► made anew ──► its beginning; partitions it doesn't have any more end
//! ```
//! Where an arrow leads is where a table with `'scan.lost-offsets' = 'continue'` goes on; others end.

use std::{collections::BTreeSet, time::Duration};

use flott_connector::SplitTime;
use flott_types::{Code, Diagnostic, Result};
use rdkafka::error::RDKafkaErrorCode;

use super::{
    super::{
        begin,
        cluster::{PATIENCE, Partition, Place},
        failure,
        split::Split,
        topic_ids,
    },
    KafkaReader, WAIT_MAX, Wrong,
};
use crate::options::scan::{Startup, Topics};

/// How often to look whether topics are still the same.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// What is missing of a partition, and where to go on.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    what: String,
    help: &'static str,
    go_on: i64,
}

/// The offset wanted isn't in a log from `low` to `high`, or isn't what it was.
fn gap(name: &str, wanted: i64, low: i64, high: i64, is_start: bool) -> Gap {
    const CONTINUE: &str = "'scan.lost-offsets' = 'continue' goes on at its end";
    let (what, help, go_on) = if wanted < low {
        let what = format!(
            "{} messages of '{name}' are lost: they were to be read from offset {wanted} on, but the first that \
             is there is {low}",
            low.saturating_sub(wanted)
        );
        let help = "retention has deleted them before they were read; 'scan.lost-offsets' = 'continue' goes on with \
                    the first that is there";
        (what, help, low)
    } else if wanted <= high {
        let what = format!(
            "'{name}' has lost its last messages since it was read: what is at offset {wanted} now is not what \
             was to follow"
        );
        let help = "a broker without all messages has become the leader; 'scan.lost-offsets' = 'continue' goes on \
                    at this offset";
        (what, help, wanted)
    } else if is_start {
        let (what, help) = begin::no_such_start(name, high, wanted);
        (what, help, high)
    } else {
        let what = format!(
            "'{name}' ends at offset {high}, but was read up to {wanted}: it has lost its last messages"
        );
        (what, CONTINUE, high)
    };
    Gap { what, help, go_on }
}

/// Whether an answer is about an offset that is no longer wanted: what librdkafka asked for before the topic was
/// made anew, or what lay behind the last message, while the next one wanted is there.
fn is_of_before(wanted: i64, asked_for: i64, left: Option<i64>, low: i64, high: i64) -> bool {
    let there = low..=high;
    let is_gone = asked_for >= 0 && !there.contains(&asked_for);
    there.contains(&wanted) && asked_for != wanted && (is_gone || left == Some(asked_for))
}

/// Whether librdkafka goes on by itself after such an error.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(
        code,
        Kafka::BrokerTransportFailure
            | Kafka::AllBrokersDown
            | Kafka::BrokerDestroy
            | Kafka::DestroyBroker
            | Kafka::Resolve
            | Kafka::NodeUpdate
            | Kafka::OperationTimedOut
            | Kafka::TimedOutQueue
            | Kafka::InProgress
            | Kafka::PreviousInProgress
            | Kafka::WaitingForCoordinator
            | Kafka::WaitCache
            | Kafka::Outdated
            | Kafka::Retry
            | Kafka::Interrupted
            | Kafka::Noop
            | Kafka::Unknown
            | Kafka::LeaderNotAvailable
            | Kafka::NotLeaderForPartition
            | Kafka::RequestTimedOut
            | Kafka::BrokerNotAvailable
            | Kafka::ReplicaNotAvailable
            | Kafka::NetworkException
            | Kafka::CoordinatorLoadInProgress
            | Kafka::CoordinatorNotAvailable
            | Kafka::NotCoordinator
            | Kafka::RebalanceInProgress
            | Kafka::KafkaStorageError
            | Kafka::ReassignmentInProgress
            | Kafka::FetchSessionIdNotFound
            | Kafka::InvalidFetchSessionEpoch
            | Kafka::ListenerNotFound
            | Kafka::FencedLeaderEpoch
            | Kafka::UnknownLeaderEpoch
            | Kafka::StaleBrokerEpoch
            | Kafka::OffsetNotAvailable
            | Kafka::UnstableOffsetCommit
            | Kafka::ThrottlingQuotaExceeded
    )
}

/// What is there can't be read: going on would leave it out without a word.
fn unreadable(name: &str, offset: i64, code: RDKafkaErrorCode, text: &str) -> Box<Diagnostic> {
    use RDKafkaErrorCode as Kafka;
    let (why, help) = match code {
        Kafka::BadMessage | Kafka::InvalidMessage => (
            "what is there is corrupt",
            "`kafka-dump-log.sh` shows it on its broker; another replica may be sound; to leave it out begin \
             behind it: 'scan.startup.mode' = 'specific-offsets'",
        ),
        Kafka::BadCompression => (
            "what is there can't be decompressed",
            "`kafka-dump-log.sh` shows it on its broker; to leave it out begin behind it: 'scan.startup.mode' = \
             'specific-offsets'",
        ),
        Kafka::NotImplemented => (
            "what is there is of a kind that Kafka's client doesn't know",
            "see which producer has written it",
        ),
        Kafka::MessageSizeTooLarge | Kafka::InvalidMessageSize => (
            "the message is too large",
            "the limits: 'properties.receive.message.max.bytes', 'properties.fetch.max.bytes' and \
             'properties.max.partition.fetch.bytes'",
        ),
        _ => ("Kafka's client gives up", "see the brokers' logs"),
    };
    let message = format!("cannot read '{name}' at offset {offset}: {why} ({text})");
    Diagnostic::error(Code::InputUnreadable, message).that_lasts().help(help)
}

impl KafkaReader {
    /// A partition that can't be read as it was.
    pub(super) fn cope(&mut self, wrong: Wrong) -> Result<()> {
        use RDKafkaErrorCode as Kafka;
        let Wrong { index, offset, code, text } = wrong;
        let Some(split) = self.splits.get(index) else {
            tracing::debug!("Kafka: {code}: {text}");
            return Ok(());
        };
        let name = split.info.name.clone();
        match code {
            Kafka::AutoOffsetReset | Kafka::OffsetOutOfRange | Kafka::LogTruncation => {
                self.lost(index, offset)
            }
            Kafka::UnknownTopicOrPartition
            | Kafka::UnknownTopic
            | Kafka::UnknownPartition
            | Kafka::UnknownTopicId => self.gone(index),
            Kafka::TopicAuthorizationFailed | Kafka::GroupAuthorizationFailed => {
                Err(failure::of_code(&self.client, &format!("read '{name}' of"), code, &text))
            }
            // Without an offset it is about the group's offsets, which are for others to see.
            _ if may_pass(code) || offset < 0 => {
                tracing::debug!("'{name}': {code}: {text}");
                Ok(())
            }
            _ => Err(unreadable(&name, offset, code, &text)),
        }
    }

    /// No such topic, or no such partition of it.
    fn gone(&mut self, index: usize) -> Result<()> {
        let Some(split) = self.splits.get(index).filter(|split| !split.ended) else { return Ok(()) };
        let name = &split.info.name;
        let message = format!("'{name}' is gone: the topic was deleted while it was read");
        let error = Diagnostic::error(Code::TopicMissing, message)
            .that_lasts()
            .help("start anew with `--resume never` once it is there again");
        if !self.scan.continue_when_lost {
            return Err(error);
        }
        // Another one of this name may be there by now, with fewer partitions.
        let asked = topic_ids::ask(self.fetcher.consumer(), [split.place.topic.as_str()], PATIENCE);
        if self.take_ids(asked.ids)? { Ok(()) } else { Err(error) }
    }

    /// The offset to go on at isn't in the log: `asked` is what librdkafka asked for, if it says so.
    fn lost(&mut self, index: usize, asked_for: i64) -> Result<()> {
        let Some(split) = self.splits.get(index).filter(|split| !split.ended) else { return Ok(()) };
        let (topic, partition) = (split.place.topic.clone(), split.place.partition);
        let (name, wanted, left) = (split.info.name.clone(), split.fetched, split.left);
        // A topic made anew says so with its id; offsets tell nothing.
        let asked = topic_ids::ask(self.fetcher.consumer(), [topic.as_str()], PATIENCE);
        if self.take_ids(asked.ids)? {
            return Ok(());
        }
        let at = [(topic, partition)];
        let cluster = self.cluster(PATIENCE);
        let one = |place| -> Result<i64> {
            Ok(cluster.offsets(&at, place)?.first().copied().flatten().unwrap_or(0))
        };
        let (low, high) = (one(Place::Earliest)?, one(Place::Latest)?);
        if is_of_before(wanted, asked_for, left, low, high) {
            tracing::debug!(
                "'{name}': offset {asked_for} isn't there, but nothing more was to be read from it on"
            );
            return self.go_on_at(index, wanted);
        }
        let is_start =
            matches!(&self.scan.startup, Startup::Offsets(it) if it.get(&partition) == Some(&wanted));
        let Gap { what, help, go_on } = gap(&name, wanted, low, high, is_start);
        if !self.scan.continue_when_lost {
            return Err(Diagnostic::error(Code::InputMissing, what).that_lasts().help(help));
        }
        tracing::warn!("{what}; going on at {go_on}");
        self.go_on_at(index, go_on)
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
            // It counts again, and is idle only when it has been silent for so long.
            (split.idle, split.at_end, split.since) = (false, false, self.now);
        }
        // Behind what is cut: from here on the position is the new one.
        self.control(index, SplitTime::default());
        Ok(())
    }

    pub(super) fn check_ids_in_time(&mut self, now: Duration) -> Result<()> {
        if now.saturating_sub(self.checked) < CHECK_EVERY {
            return Ok(());
        }
        self.checked = now;
        self.check_ids(WAIT_MAX * 2)
    }

    /// Whether the topics are those that were read: a name may stand for another one by now.
    pub(super) fn check_ids(&mut self, wait: Duration) -> Result<()> {
        let open = self.splits.iter().filter(|split| !split.ended);
        let names: BTreeSet<&str> = open.map(|split| split.place.topic.as_str()).collect();
        let asks = !names.is_empty();
        let asked = topic_ids::ask(self.fetcher.consumer(), names, wait);
        if asks {
            self.note_answer(asked.leaderless.is_some());
        }
        if let Some(leaderless) = asked.leaderless {
            self.tell_leaderless(leaderless);
        }
        self.take_ids(asked.ids)?;
        // A broker that has just come up may not know of it yet: it must be missing twice.
        let before = std::mem::replace(&mut self.missing, asked.missing);
        let is_gone = |split: &Split| !split.ended && before.contains(&split.place.topic);
        let gone = self.splits.iter().position(|it| is_gone(it) && self.missing.contains(&it.place.topic));
        gone.map_or(Ok(()), |index| self.gone(index))
    }

    /// Only partitions that are read count.
    fn tell_leaderless(&self, mut leaderless: BTreeSet<Partition>) {
        leaderless.retain(|(topic, partition)| {
            let is_it = |it: &Split| it.place.topic == *topic && it.place.partition == *partition;
            self.splits.iter().any(|split| is_it(split) && !split.ended)
        });
        self.figures.tell_leaderless(leaderless);
    }

    /// Compares ids with those that were known. True: one is another.
    fn take_ids(&mut self, asked: impl IntoIterator<Item = (String, String)>) -> Result<bool> {
        let mut anew = false;
        for (topic, id) in asked {
            match self.topic_ids.get(&topic) {
                Some(before) if *before != id => {
                    self.made_anew(&topic, id)?;
                    anew = true;
                }
                Some(_) => {}
                None => {
                    self.topic_ids.insert(topic, id);
                    self.position = self.whole_position();
                }
            }
        }
        Ok(anew)
    }

    fn made_anew(&mut self, topic: &str, id: String) -> Result<()> {
        let what = format!(
            "the topic '{topic}' was deleted and made anew: what was not read of the old one is lost"
        );
        if !self.scan.continue_when_lost {
            let help = "'scan.lost-offsets' = 'continue' reads the new one from its beginning, as does a job that \
                        starts anew with `--resume never`";
            return Err(Diagnostic::error(Code::TopicMissing, what).that_lasts().help(help));
        }
        tracing::warn!("{what}; reading the new one from its beginning");
        let cluster = self.cluster(PATIENCE);
        let there = cluster.partitions(&Topics::Named(vec![topic.to_string()]))?;
        let starts = begin::earliest(&cluster, &there)?;
        for index in 0..self.splits.len() {
            let Some(split) = self.splits.get(index).filter(|it| it.place.topic == topic && !it.ended) else {
                continue;
            };
            let at = there.iter().position(|(_, partition)| *partition == split.place.partition);
            match at.and_then(|at| starts.get(at)) {
                Some(start) => {
                    self.begin_anew(index, *start);
                    self.go_on_at(index, *start)?;
                }
                None => {
                    tracing::warn!("the new topic has no '{}': it ends", split.info.name);
                    self.begin_anew(index, 0);
                    if let Some(split) = self.splits.get_mut(index) {
                        split.place.end = Some(0);
                        split.ended = true;
                    }
                    self.control(index, SplitTime::default());
                }
            }
        }
        self.topic_ids.insert(topic.to_string(), id);
        self.position = self.whole_position();
        Ok(())
    }

    /// Nothing of a partition counts any more that was not handed out: it may be of the old topic or the new
    /// one, and its offsets would be told together with the new one's id.
    fn begin_anew(&mut self, index: usize, start: i64) {
        self.ready.retain(|(of, ..)| *of != index);
        let Some(split) = self.splits.get_mut(index) else { return };
        self.waiting = self.waiting.saturating_sub(split.waiting().1);
        split.building = None;
        split.left = Some(split.fetched);
        (split.fetched, split.place.next) = (start, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_left_out() {
        let at = |wanted, low, high| gap("t[0]", wanted, low, high, false);
        let retention = at(10, 15, 30);
        assert_eq!(
            (retention.go_on, retention.what.starts_with("5 messages of 't[0]' are lost")),
            (15, true)
        );
        let shorter = at(40, 0, 30);
        assert_eq!(
            (shorter.go_on, shorter.what.contains("ends at offset 30, but was read up to 40")),
            (30, true)
        );
        let grown = at(20, 0, 30);
        assert_eq!((grown.go_on, grown.what.contains("lost its last messages")), (20, true));
        let start = gap("t[0]", 40, 0, 30, true);
        assert_eq!((start.go_on, start.what.contains("no offset 40 to begin at")), (30, true));
    }

    #[test]
    fn what_was_asked_of_the_old_topic_says_nothing_of_the_new_one() {
        // Six of the old one were read, three of the new one, or four of ten.
        assert!(is_of_before(3, 6, Some(6), 0, 3));
        assert!(is_of_before(4, 6, Some(6), 0, 10));
        // Cut off and grown; cut off; retention.
        assert!(!is_of_before(6, 6, None, 0, 10));
        assert!(!is_of_before(6, 6, None, 0, 3));
        assert!(!is_of_before(6, 6, None, 8, 10));
        assert!(!is_of_before(6, -1, None, 0, 10));
    }

    #[test]
    fn what_is_unreadable_ends_the_run_at_its_offset() {
        use RDKafkaErrorCode as Kafka;
        let lasting = [
            Kafka::BadMessage,
            Kafka::BadCompression,
            Kafka::NotImplemented,
            Kafka::MessageSizeTooLarge,
            Kafka::InvalidMessageSize,
            Kafka::InvalidMessage,
            Kafka::UnsupportedVersion,
        ];
        for code in lasting {
            assert!(!may_pass(code), "{code}");
            let error = unreadable("t[3]", 42, code, "why");
            assert!(error.message.contains("'t[3]' at offset 42") && error.message.contains("(why)"));
            assert_eq!(error.code, Code::InputUnreadable);
        }
        assert!(may_pass(Kafka::NotLeaderForPartition) && may_pass(Kafka::BrokerTransportFailure));
    }
}
