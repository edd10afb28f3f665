//! A run at one moment, in numbers: what its socket answers.
//!
//! Durations are nanoseconds. Those called `busy`, `blocked`, … add up since the run began: the difference
//! of two samples says how they were spent. A program that is newer or older than the run reads what it
//! knows: fields that are absent are zero.

use serde::{Deserialize, Serialize};

/// A part of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Index in [`Sample::sources`].
    Source(usize),
    /// Index in [`Sample::operators`].
    Operator(usize),
    /// Index in [`Sample::sinks`].
    Sink(usize),
}

/// A run at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// The job's name.
    pub job: String,
    /// What tells the run from all others.
    pub run: String,
    /// The number of its claim; 0: the job has no checkpoints.
    pub generation: u64,
    /// Its process.
    pub process: u32,
    /// When it began: microseconds since 1970 UTC.
    pub started_micros: i64,
    /// When the sample was taken: microseconds since 1970 UTC.
    pub now_micros: i64,
    /// For how long it has been running.
    pub elapsed: u64,
    /// How many shards it has.
    pub shards: usize,
    /// What is read.
    pub sources: Vec<SourceSample>,
    /// What keeps state.
    pub operators: Vec<OperatorSample>,
    /// What is written.
    pub sinks: Vec<SinkSample>,
    /// What connects them.
    pub edges: Vec<EdgeSample>,
    /// Dead letters.
    pub dead_letters: u64,
    /// If the job has any.
    pub checkpoint: Option<CheckpointSample>,
}

/// A source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceSample {
    /// Its name.
    pub name: String,
    /// Records decoded.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes in all; 0: not known.
    pub total_bytes: u64,
    /// Nothing comes any more.
    pub ended: bool,
    /// Nobody waits for it now.
    pub idle: bool,
    /// The reader waited for the source.
    pub reading: u64,
    /// The reader waited for room behind it.
    pub held: u64,
    /// Nothing has come for so long; absent: nothing ever.
    pub silent: Option<u64>,
    /// Chunks that wait to be decoded.
    pub queued: usize,
    /// How many may.
    pub capacity: usize,
    /// Somebody waits for its time to move on.
    pub event_time: bool,
    /// How far its event time has come, in milliseconds.
    pub watermark: Option<i64>,
    /// How many splits are open.
    pub open_splits: usize,
    /// Splits are known that aren't open yet.
    pub unopened: bool,
    /// Open splits with a watermark or without, the oldest first; not all, if there are many.
    pub splits: Vec<SplitSample>,
    /// The newest watermark of an open split.
    pub newest: Option<i64>,
    /// Records that are there and aren't read yet; absent: not known.
    pub lag: Option<u64>,
    /// The splits that are behind, the furthest first; not all, if there are many.
    pub behind: Vec<SplitSample>,
    /// What keeps it from being read.
    pub trouble: Option<String>,
    /// Decoding and what is done before the next operator, per shard.
    pub work: Vec<WorkSample>,
}

/// A split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitSample {
    /// Its number.
    pub number: u32,
    /// Its name for users.
    pub name: String,
    /// Its watermark.
    pub watermark: Option<i64>,
    /// Records of it that are there and aren't read yet; absent: not known.
    pub lag: Option<u64>,
}

/// How a shard spent its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkSample {
    /// At work.
    pub busy: u64,
    /// Waiting for what is behind it.
    pub blocked: u64,
}

/// An operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorSample {
    /// Its name in the accounting.
    pub name: String,
    /// What names its state.
    pub id: String,
    /// Rows taken.
    pub rows_in: u64,
    /// Rows emitted.
    pub rows_out: u64,
    /// Per shard.
    pub shards: Vec<OperatorShard>,
}

/// An operator on a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorShard {
    /// At work.
    pub busy: u64,
    /// Waiting for what is behind it.
    pub blocked: u64,
    /// Waiting for answers from outside.
    pub unready: u64,
    /// Rows taken.
    pub rows_in: u64,
    /// How far event time has come, in milliseconds.
    pub watermark: Option<i64>,
    /// Rows taken whose results aren't told yet.
    pub gathered: u64,
    /// Bytes of state in memory, about.
    pub state_bytes: u64,
    /// Bytes of state, and of rows that wait for it, on disk.
    pub spilled_bytes: u64,
}

/// A sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkSample {
    /// Its name.
    pub name: String,
    /// Rows written.
    pub rows: u64,
    /// What keeps it from writing.
    pub trouble: Option<String>,
    /// Per shard.
    pub shards: Vec<SinkShard>,
}

/// A sink's writer on a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkShard {
    /// Encoding.
    pub busy: u64,
    /// It wanted no more rows.
    pub not_ready: u64,
    /// Files begun and not ended.
    pub open_files: u64,
    /// Bytes handed over to be written.
    pub bytes: u64,
}

/// A way from one part of the plan to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSample {
    /// Where rows come from.
    pub from: Place,
    /// Where they go.
    pub to: Place,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
    /// Messages on their way between shards.
    pub waiting: usize,
    /// How many may wait; 0: rows don't leave their shard.
    pub capacity: usize,
}

/// The checkpoints of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointSample {
    /// How often one is wanted.
    pub interval: u64,
    /// Completed ones.
    pub completed: u64,
    /// Those that could not be written.
    pub failed: u64,
    /// What was wrong with the last one, if it failed.
    pub failure: Option<String>,
    /// The newest complete one of this run.
    pub last: Option<LastCheckpoint>,
    /// The one under way.
    pub under_way: Option<UnderWaySample>,
}

/// A complete checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastCheckpoint {
    /// Its number.
    pub number: u64,
    /// Bytes written for it.
    pub bytes: u64,
    /// How long it took.
    pub took: u64,
    /// How long ago that was.
    pub age: u64,
}

/// A checkpoint on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnderWaySample {
    /// The epoch that it ends.
    pub epoch: u64,
    /// For how long it has been under way.
    pub age: u64,
    /// What it has come to.
    pub phase: Phase,
    /// Shards that it waits for.
    pub shards: Vec<BarrierSample>,
}

/// What a checkpoint has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It waits for shards.
    #[default]
    Barrier,
    /// Its state is being written.
    Writing,
    /// What sinks have prepared is being published.
    Publishing,
}

/// A shard that a checkpoint waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BarrierSample {
    /// Which.
    pub shard: usize,
    /// Where the barrier is.
    pub stage: BarrierStage,
    /// Operators that haven't let it through.
    pub operators: Vec<usize>,
    /// Sinks that haven't made their rows durable.
    pub sinks: Vec<usize>,
}

/// Where a barrier is on a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BarrierStage {
    /// Behind chunks of input that the shards have yet to take.
    #[default]
    Input,
    /// On its way through the operators.
    Operators,
    /// Through, and sinks make durable what they wrote.
    Sinks,
}
