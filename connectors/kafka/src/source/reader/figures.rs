//! How far a reader is behind and what keeps it from reading, for whoever asks, on any thread.
//!
//! ```text
//!   reader ─ tell, four times a second ─► Stand: next offset and known end of each partition ─► lag
//!                                           ▲
//!   the reader is held up: nobody tells ────┴── who asks has the ends asked for, every two seconds
//! ```
//!
//! A reader that waits for room asks the brokers for nothing, so it learns of no new messages: just when it falls
//! behind, its own figures would stand still.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use flott_connector::{Clock, ReaderFigures, SplitInfo, SplitLag, SystemClock};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
    topic_partition_list::Offset,
};

use super::super::cluster::Partition;
use crate::context::Context;

/// Figures older than this are asked for anew.
const STALE: Duration = Duration::from_secs(2);
/// How long whoever asks for them may have to wait.
const WAIT: Duration = Duration::from_millis(300);

/// Where a reader stands in one partition.
pub(super) struct SplitStand {
    pub number: u32,
    pub info: Arc<SplitInfo>,
    pub partition: Partition,
    /// The first offset not handed out.
    pub next: i64,
    /// Behind the last message that is there.
    pub end: i64,
    /// Where reading ends, if it does.
    pub limit: Option<i64>,
}

impl SplitStand {
    fn lag(&self) -> SplitLag {
        let end = self.limit.map_or(self.end, |limit| limit.min(self.end));
        let records = u64::try_from(end.saturating_sub(self.next)).unwrap_or(0);
        SplitLag { split_number: self.number, split: self.info.clone(), records }
    }
}

#[derive(Default)]
struct Stand {
    /// When it was told or asked for.
    at: Duration,
    splits: Vec<SplitStand>,
}

/// For whoever asks what a run is doing.
pub(super) struct Figures {
    /// The reader's: it may be gone.
    consumer: Weak<BaseConsumer<Context>>,
    context: Context,
    servers: String,
    clock: SystemClock,
    stand: Mutex<Stand>,
    /// Partitions that no broker leads.
    leaderless: Mutex<BTreeSet<Partition>>,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Figures {
    pub(super) fn new(consumer: &Arc<BaseConsumer<Context>>, servers: &str) -> Self {
        Self {
            consumer: Arc::downgrade(consumer),
            context: Context::clone(consumer.context()),
            servers: servers.to_string(),
            clock: SystemClock::new(),
            stand: Mutex::default(),
            leaderless: Mutex::default(),
        }
    }

    /// Where the reader stands now.
    pub(super) fn tell(&self, splits: Vec<SplitStand>) {
        *lock(&self.stand) = Stand { at: self.clock.monotonic(), splits };
    }

    /// Which partitions have no leader. Nothing comes of them: they are waited for, and that is said.
    pub(super) fn tell_leaderless(&self, leaderless: BTreeSet<Partition>) {
        let mut before = lock(&self.leaderless);
        for (topic, partition) in leaderless.difference(&before) {
            tracing::warn!(
                "'{topic}[{partition}]' has no leader: nothing of it can be read until it has one"
            );
        }
        for (topic, partition) in before.difference(&leaderless) {
            tracing::info!("'{topic}[{partition}]' has a leader again");
        }
        *before = leaderless;
    }

    /// Asks for the ends if nobody has told them for a while.
    fn refresh(&self, stand: &mut Stand) {
        let now = self.clock.monotonic();
        if now.saturating_sub(stand.at) < STALE || stand.splits.is_empty() || self.trouble().is_some() {
            return;
        }
        // Whatever comes of it: who asks next doesn't wait again.
        stand.at = now;
        let Some(consumer) = self.consumer.upgrade() else { return };
        match ends(&consumer, &stand.splits) {
            Ok(ends) => {
                for split in &mut stand.splits {
                    let (topic, partition) = &split.partition;
                    let found = ends.find_partition(topic, *partition).map(|it| it.offset());
                    if let Some(Offset::Offset(end)) = found {
                        split.end = split.end.max(end);
                    }
                }
            }
            Err(error) => tracing::debug!("how far the reader is behind isn't known: {error}"),
        }
    }
}

fn ends(consumer: &BaseConsumer<Context>, splits: &[SplitStand]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(splits.len());
    for SplitStand { partition: (topic, partition), .. } in splits {
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    consumer.offsets_for_times(list, WAIT)
}

impl ReaderFigures for Figures {
    fn lag(&self) -> Vec<SplitLag> {
        let mut stand = lock(&self.stand);
        self.refresh(&mut stand);
        stand.splits.iter().map(SplitStand::lag).collect()
    }

    fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.context.trouble() {
            return Some(trouble);
        }
        let leaderless = lock(&self.leaderless);
        let (topic, partition) = leaderless.first()?;
        let others = match leaderless.len() {
            1 => String::new(),
            count => format!(" (nor have {} others)", count - 1),
        };
        Some(format!(
            "'{topic}[{partition}]'{others} has no leader: no broker that has all of it is up at '{}'",
            self.servers
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_ends_where_reading_ends() {
        let stand = |next, end, limit| SplitStand {
            number: 0,
            info: Arc::default(),
            partition: ("t".into(), 0),
            next,
            end,
            limit,
        };
        assert_eq!(stand(10, 15, None).lag().records, 5);
        assert_eq!(stand(10, 15, Some(12)).lag().records, 2);
        assert_eq!(stand(15, 10, None).lag().records, 0, "an end that is older than the place");
    }
}
