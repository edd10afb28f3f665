//! What a run is doing at this moment, told by its threads as they go, read by whoever asks.
//!
//! ```text
//!   reader ── reading, waits for room ─┐
//!   shard 0 ─ busy, blocked, stage ────┼─► Activity ── sample(now) ──► Sample ──► two of them: what holds it back
//!   shard 1 ─ busy, blocked, stage ────┤
//!   job thread ─ checkpoint's phase ───┘
//! ```
//!
//! Invariants
//! - Threads only store and add with relaxed atomics, a few per batch and none per row. Nobody waits for a
//!   reader of these, and no decision of the engine rests on them.
//! - Durations only grow, so the difference of two samples is what happened in between. What a thread is in
//!   the middle of counts up to the moment of the sample: an hour in one call is seen while it lasts.
//! - Figures of one sample are taken one after the other: they need not fit each other exactly.

mod checkpoint;
mod sample;
mod sampling;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use flott_connector::ReaderFigures;
use flott_operators::Spilled;
use serde::Serialize;

use crate::{
    exchange::Lane,
    progress::NO_WATERMARK,
    queue::ChunkQueue,
    topology::{Consumer, Producer, Topology},
};
pub(crate) use checkpoint::CheckpointActivity;
pub use sample::{
    BarrierSample, BarrierStage, CheckpointSample, EdgeSample, LastCheckpoint, OperatorSample, OperatorShard,
    Phase, Place, Sample, SinkSample, SinkShard, SourceSample, SplitSample, UnderWaySample, WorkSample,
};

/// Time added up, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Spent(AtomicU64);

impl Spent {
    pub(crate) fn add(&self, by: Duration) {
        if !by.is_zero() {
            self.0.fetch_add(nanos(by), Relaxed);
        }
    }
    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a thread is in the middle of, and since when.
#[derive(Debug, Default)]
struct Doing {
    what: AtomicU64,
    since: AtomicU64,
}

impl Doing {
    fn set(&self, what: u64, now: Duration) {
        self.since.store(nanos(now), Relaxed);
        self.what.store(what, Relaxed);
    }
    /// For how long it has been at this.
    fn at(&self, what: u64, now: u64) -> u64 {
        if self.what.load(Relaxed) == what { now.saturating_sub(self.since.load(Relaxed)) } else { 0 }
    }
}

/// An operator on a shard.
#[derive(Debug)]
pub(crate) struct OperatorActivity {
    pub(crate) busy: Spent,
    /// What it would emit had to wait.
    pub(crate) blocked: Spent,
    /// It took nothing before an answer from outside.
    pub(crate) unready: Spent,
    pub(crate) watermark: AtomicI64,
    pub(crate) gathered: AtomicU64,
    pub(crate) memory: AtomicU64,
    /// Bytes of state and of rows for it that are put away on disk.
    pub(crate) spilled: AtomicU64,
    /// The most that either was.
    pub(crate) memory_peak: AtomicU64,
    pub(crate) spilled_peak: AtomicU64,
    /// It has let the barrier under way through.
    pub(crate) passed: AtomicBool,
}

impl Default for OperatorActivity {
    fn default() -> Self {
        Self {
            busy: Spent::default(),
            blocked: Spent::default(),
            unready: Spent::default(),
            watermark: AtomicI64::new(NO_WATERMARK),
            gathered: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            spilled_peak: AtomicU64::new(0),
            passed: AtomicBool::new(false),
        }
    }
}

/// A source's decoding and what follows it, on a shard.
#[derive(Debug, Default)]
pub(crate) struct DecodeActivity {
    pub(crate) busy: Spent,
    /// A chunk had to wait for what is behind it.
    pub(crate) blocked: Spent,
}

/// A sink's writer on a shard.
#[derive(Debug, Default)]
pub(crate) struct SinkActivity {
    pub(crate) busy: Spent,
    /// It wanted no more rows.
    pub(crate) not_ready: Spent,
    pub(crate) open_files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// What keeps it from writing.
    pub(crate) trouble: Mutex<Option<String>>,
    /// What it wrote up to the barrier under way is durable.
    pub(crate) prepared: AtomicBool,
}

const OTHER: u64 = 0;
const OPERATOR: u64 = 1 << 32;
const SOURCE: u64 = 2 << 32;

/// A shard.
#[derive(Debug, Default)]
pub struct ShardActivity {
    pub(crate) operators: Vec<OperatorActivity>,
    pub(crate) sources: Vec<DecodeActivity>,
    pub(crate) sinks: Vec<SinkActivity>,
    doing: Doing,
    /// The epoch whose barrier the sources' edges carry, or carried last.
    pub(crate) sent: AtomicU64,
    /// The last epoch whose barrier has passed all operators.
    pub(crate) passed: AtomicU64,
    /// The last epoch that the sinks have made durable.
    pub(crate) prepared: AtomicU64,
}

impl ShardActivity {
    pub(crate) fn in_operator(&self, operator: usize, now: Duration) {
        self.doing.set(OPERATOR | operator as u64, now);
    }
    pub(crate) fn in_source(&self, source: usize, now: Duration) {
        self.doing.set(SOURCE | source as u64, now);
    }
    pub(crate) fn elsewhere(&self) {
        self.doing.what.store(OTHER, Relaxed);
    }
}

/// A source's reader thread.
#[derive(Debug, Default)]
pub(crate) struct ReaderActivity {
    /// Waited for the source.
    reading: Spent,
    /// Waited for room behind it.
    held: Spent,
    doing: Doing,
    /// When the source gave something last; 0: never.
    gave: AtomicU64,
    /// What else it can be asked.
    figures: OnceLock<Arc<dyn ReaderFigures>>,
}

const READING: u64 = 1;
const HELD: u64 = 2;

impl ReaderActivity {
    /// What its reader can be asked.
    pub(crate) fn begins(&self, figures: Option<Arc<dyn ReaderFigures>>) {
        if let Some(figures) = figures {
            // A reader begins once.
            let _ = self.figures.set(figures);
        }
    }
    /// Asks the source for its next chunk.
    pub(crate) fn reads(&self, now: Duration) {
        let since = self.doing.since.load(Relaxed);
        if self.doing.what.load(Relaxed) == HELD {
            self.held.add(now.saturating_sub(Duration::from_nanos(since)));
        }
        self.doing.set(READING, now);
    }
    /// The source has given a chunk, perhaps an empty one.
    pub(crate) fn got(&self, now: Duration, empty: bool) {
        let since = self.doing.since.load(Relaxed);
        self.reading.add(now.saturating_sub(Duration::from_nanos(since)));
        if !empty {
            self.gave.store(nanos(now).max(1), Relaxed);
        }
        self.doing.set(HELD, now);
    }
    /// The source has nothing more.
    pub(crate) fn ends(&self) {
        self.doing.what.store(OTHER, Relaxed);
    }
}

/// What tells runs apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) job: String,
    pub(crate) run: String,
    pub(crate) generation: u64,
    pub(crate) started_micros: i64,
    pub(crate) started: Duration,
}

/// What an operator holds on all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    /// Its name.
    pub operator: String,
    /// Bytes in memory.
    #[serde(rename = "memory_bytes")]
    pub memory: u64,
    /// Bytes of state, and of rows that wait for it, on disk.
    #[serde(rename = "spilled_bytes")]
    pub spilled: u64,
    /// The most that was in memory.
    #[serde(rename = "memory_peak_bytes")]
    pub memory_peak: u64,
    /// The most that was on disk.
    #[serde(rename = "spilled_peak_bytes")]
    pub spilled_peak: u64,
}

struct Named {
    name: String,
    id: String,
}

/// What is looked at only when somebody asks.
#[derive(Default)]
struct Probes {
    queues: Vec<Weak<ChunkQueue>>,
    lanes: Vec<Option<Weak<Lane>>>,
}

/// A run.
#[derive(Default)]
pub struct Activity {
    pub(crate) checkpoint: CheckpointActivity,
    pub(crate) readers: Vec<ReaderActivity>,
    /// Per source: its rows move time on.
    event_time: Vec<bool>,
    operators: Vec<Named>,
    edges: Vec<(Place, Place)>,
    shards: Vec<Arc<ShardActivity>>,
    identity: Mutex<Identity>,
    probes: Mutex<Probes>,
}

impl std::fmt::Debug for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Activity")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OperatorActivity {
    /// It holds so much in memory, and so much on disk.
    pub(crate) fn holds(&self, memory: u64, spilled: Spilled) {
        self.memory.store(memory, Relaxed);
        self.spilled.store(spilled.now, Relaxed);
        self.memory_peak.fetch_max(memory, Relaxed);
        self.spilled_peak.fetch_max(spilled.peak, Relaxed);
    }
}

impl Activity {
    /// What operators hold, those that hold something.
    pub fn state(&self) -> Vec<StateSummary> {
        let of = |(at, named): (usize, &Named)| {
            let shards = || self.shards.iter().filter_map(|shard| shard.operators.get(at));
            let sum = |of: fn(&OperatorActivity) -> &AtomicU64| shards().map(|it| of(it).load(Relaxed)).sum();
            StateSummary {
                operator: named.name.clone(),
                memory: sum(|it| &it.memory),
                spilled: sum(|it| &it.spilled),
                memory_peak: sum(|it| &it.memory_peak),
                spilled_peak: sum(|it| &it.spilled_peak),
            }
        };
        let all = self.operators.iter().enumerate().map(of);
        all.filter(|it| it.memory_peak + it.spilled_peak > 0).collect()
    }

    pub(crate) fn of(topology: &Topology, shards: usize) -> Self {
        let shard = |_| {
            Arc::new(ShardActivity {
                operators: topology.operators.iter().map(|_| OperatorActivity::default()).collect(),
                sources: topology.sources.iter().map(|_| DecodeActivity::default()).collect(),
                sinks: topology.sinks.iter().map(|_| SinkActivity::default()).collect(),
                ..ShardActivity::default()
            })
        };
        let edge = |edge: &crate::topology::Edge| {
            let from = match edge.producer {
                Producer::Source(at) => Place::Source(at),
                Producer::Operator(at) => Place::Operator(at),
            };
            let to = match edge.consumer {
                Consumer::Sink(at) => Place::Sink(at),
                Consumer::Operator(at, _) => Place::Operator(at),
            };
            (from, to)
        };
        let named =
            |it: &crate::topology::OperatorSpec| Named { name: it.name.clone(), id: it.stable_id.clone() };
        Self {
            readers: topology.sources.iter().map(|_| ReaderActivity::default()).collect(),
            event_time: topology.sources.iter().map(|(_, node)| node.watermark.is_some()).collect(),
            operators: topology.operators.iter().map(named).collect(),
            edges: topology.edges.iter().map(edge).collect(),
            shards: (0..shards).map(shard).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn is_of(&self, identity: Identity) {
        *lock(&self.identity) = identity;
    }

    /// The number of this run's claim; 0: the job has no checkpoints.
    pub fn generation(&self) -> u64 {
        lock(&self.identity).generation
    }

    pub(crate) fn shard(&self, number: usize) -> Arc<ShardActivity> {
        self.shards.get(number).cloned().unwrap_or_default()
    }

    pub(crate) fn watch_queues(&self, queues: &[Arc<ChunkQueue>]) {
        lock(&self.probes).queues = queues.iter().map(Arc::downgrade).collect();
    }

    pub(crate) fn watch_lanes(&self, lanes: &[Option<Arc<Lane>>]) {
        lock(&self.probes).lanes = lanes.iter().map(|it| it.as_ref().map(Arc::downgrade)).collect();
    }
}
