//! What the sink needs of a Kafka client, behind a trait: another client could take librdkafka's place.
//!
//! ```text
//!   writers (one a shard) ─ produce ─► Producer ──► brokers
//!        ▲                                │
//!        └── Ledger: how many are under way ◄── deliveries (on the client's own thread)
//! ```
//!
//! Invariants
//! - `produce` never blocks; what it has taken is delivered, or the producer's failure says that it wasn't.
//! - A message counts in its ledger until it is delivered or given up.
//! - Whatever isn't a clear refusal of a commit counts as uncertain.

pub(crate) mod admin;
pub(crate) mod failure;
pub(crate) mod librdkafka;
pub(crate) mod patience;
pub(crate) mod tokens;

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use flott_connector::{Answers, Header, Slices};
use flott_types::{Diagnostic, Result};

pub(crate) use failure::{Failure, Kind, Refusal};
pub(crate) use patience::Patience;

/// Messages of one ledger that nobody has confirmed or refused yet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    under_way: AtomicI64,
}

impl Ledger {
    pub(crate) fn add(&self, messages: usize) {
        self.under_way.fetch_add(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::AcqRel);
    }
    pub(crate) fn remove(&self, messages: usize) {
        self.under_way.fetch_sub(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::AcqRel);
    }
    pub(crate) fn is_settled(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }
}

/// A ledger of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LedgerId(pub(crate) usize);

/// A topic that one producer has been told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicId(pub(crate) usize);

/// In [`Outgoing::value_of`]: no value, a tombstone.
pub(crate) const TOMBSTONE: u32 = u32::MAX;

/// In [`Outgoing::timestamps`]: the time at which the producer takes the message.
pub(crate) const NOW: i64 = i64::MIN;

/// Messages to be sent. Every list but `topics` is empty or has one entry for each message.
pub(crate) struct Outgoing<'a> {
    /// How many.
    pub count: usize,
    /// Their values, in the order of the messages unless `value_of` says otherwise.
    pub values: &'a Slices,
    /// Which of `values` each has, or [`TOMBSTONE`].
    pub value_of: &'a [u32],
    /// Their keys; empty: none has one.
    pub keys: &'a Slices,
    /// Milliseconds since the epoch, not 0, which librdkafka takes for now; or [`NOW`].
    pub timestamps: &'a [i64],
    /// Their headers.
    pub headers: &'a [Vec<Header>],
    /// One for all, or each its own.
    pub topics: &'a [TopicId],
    /// Into the partition of this number, modulo the topic's; none: by the key.
    pub fixed: Option<usize>,
}

impl Outgoing<'_> {
    /// The value of message `at`.
    pub(crate) fn value(&self, at: usize) -> Option<&[u8]> {
        match self.value_of.get(at) {
            None => self.values.get(at),
            Some(&TOMBSTONE) => None,
            Some(&number) => self.values.get(usize::try_from(number).ok()?),
        }
    }
}

/// A transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It was asked for once.
    Once,
    /// It may have been asked for more than once: a request may still be on its way. It would commit the
    /// next transaction of this producer, in the middle.
    PerhapsAgain,
}

/// A producer. Shared by the writers of a table, or of all tables in one transaction.
pub(crate) trait Producer: Send + Sync {
    /// A new ledger. They are few, and live as long as the producer.
    fn ledger(&self) -> LedgerId;
    /// Whether nothing of it is under way; of a producer of transactions, whether nothing at all is.
    fn is_settled(&self, ledger: LedgerId) -> bool;
    /// Tells of a topic. No I/O.
    fn topic(&self, name: &str) -> Result<TopicId>;
    /// Whether the cluster says that there is no such topic. It makes none for the asking.
    fn lacks(&self, topic: TopicId, wait: Duration) -> bool;
    /// Asks the cluster for the topic's number of partitions; a cluster that makes topics makes it.
    fn partitions(&self, topic: TopicId, wait: Duration) -> Result<usize, Failure>;
    /// Takes messages from number `from` on, as many as fit into its buffer. The first one not taken.
    ///
    /// # Errors
    /// A message that can't be sent, or that none can any more.
    fn produce(&self, messages: &Outgoing<'_>, from: usize, ledger: LedgerId) -> Result<usize>;
    /// What became of the messages so far; not of a producer of transactions, which hears of failures only.
    fn answers(&self) -> Answers;
    /// What became of a message that wasn't delivered, or of the producer.
    fn failure(&self) -> Option<Box<Diagnostic>>;
    /// What keeps messages from being delivered, while no broker can be reached.
    fn trouble(&self) -> Option<String>;
    /// Ends what older producers of the transactional id have left behind, and keeps them out.
    fn init_transactions(&self, patience: &Patience) -> Result<(), Failure>;
    /// Begins a transaction. No I/O.
    fn begin(&self) -> Result<(), Failure>;
    /// Commits it. When patience is over the commit may be under way still.
    fn commit(&self, patience: &Patience) -> Result<Committed, Failure>;
    /// Aborts it.
    fn abort(&self, wait: Duration) -> Result<(), Failure>;
}
