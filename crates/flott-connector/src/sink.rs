//! Writing: shards encode, an I/O thread writes, an epoch commits.
//!
//! ```text
//!   write* ─► prepare(n) ─► poll_prepared ─► Committable ─► Committer::commit (as often as needed)
//!     ▲           │                                      └► Committer::abort
//!     └───────────┘ the next epoch's rows
//!   write* ─► finish ─► prepare(last) ─► …                  at the end of the input
//!
//!   start:  commit what the tip of the checkpoints names ─► rollback (a damaged tip) ─► sweep
//! ```
//!
//! With checkpoints, epochs are the numbers of their manifests. They rise, but not one by one, and
//! the first one is above the generation (the number of the incarnation's claim). Whatever a sink
//! names it names by (generation, number), so that no name is used twice.
//!
//! Invariants
//! - `write` never blocks: it encodes and queues. `is_ready` false asks the engine to stop
//!   pulling input until the queue has drained; what was accepted is never dropped.
//! - What a writer has written is invisible to readers until its committable is committed
//!   (for sinks that can hide; `SinkGuarantee` says which can't).
//! - `commit` may be repeated after a crash and changes nothing the second time.
//! - Several epochs may be prepared and not committed yet.
//! - Nobody removes what belongs to a higher generation.

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Options, Result};

use crate::{Clock, Decider, Disk, StopSignal};

/// What an epoch of one writer wants published. Opaque to everyone but its sink; it is stored
/// in the checkpoint's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committable {
    /// The sink's own encoding (JSON).
    pub content: serde_json::Value,
}

/// What a sink can promise by itself, given its settings. The plan computes the pipeline's
/// guarantee from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkGuarantee {
    /// Hides output until it is committed, and commits as often as needed without doubling.
    Repeatable,
    /// Output is visible at once (`print`, `stdout`).
    Immediate,
    /// Nothing is kept (`blackhole`).
    Discards,
    /// The commit itself decides and can't be repeated: see [`crate::decider`].
    Deciding,
}

/// What a sink gets from the job.
#[derive(Clone)]
pub struct SinkRequest {
    /// The job's options.
    pub job_options: Options,
    /// The job's name.
    pub pipeline_name: String,
    /// Differs for every run: part of hidden file names, so that no name is used twice.
    pub run_id: String,
    /// Clock, time zone for encoders.
    pub context: EvalContext,
    /// The clock, for rolling by time.
    pub clock: Arc<dyn Clock>,
    /// Where files are written.
    pub disk: Arc<dyn Disk>,
    /// The run is to stop: nothing outside is waited for any more.
    pub stop: StopSignal,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// With checkpoints every epoch publishes; without, only the end of the run does.
    pub checkpoints: bool,
    /// With checkpoints: the number of this incarnation's claim.
    pub generation: u64,
    /// With checkpoints: the generation in which the job started from nothing. What it has
    /// published since then is its own also after a resume (`INSERT OVERWRITE` keeps it).
    pub first_generation: u64,
    /// With checkpoints: the first epoch of this run.
    pub first_epoch: u64,
    /// With checkpoints: what tells the job's checkpoints from all others, for ever: two jobs, or
    /// a job whose checkpoints were deleted, may well count the same generations.
    pub job_id: String,
    /// Which sink of the job it is: two statements may write the same table.
    pub sink_number: usize,
    /// What decides the epochs of the job's deciding sinks, if it has any.
    pub decider: Option<Arc<dyn Decider>>,
}

/// What a writer has done so far, for whoever asks what a run is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterFigures {
    /// Files begun and not ended.
    pub open_files: u64,
    /// Bytes handed over to be written.
    pub bytes: u64,
}

/// Writes one shard's rows.
pub trait SinkWriter: Send {
    /// Takes over a batch of the sink's schema. Never blocks.
    ///
    /// # Errors
    /// `OutputFailed`: an earlier write failed on the I/O thread, or this batch can't be encoded.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Takes over changes: row i of the batch with kind i (see `flott_types::RowKind`). Only sinks of
    /// tables whose [`Connector::sink_changelog`] says so get them. Never blocks.
    ///
    /// # Errors
    /// As `write`.
    ///
    /// [`Connector::sink_changelog`]: crate::Connector::sink_changelog
    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        let _ = (batch, kinds);
        Err(Diagnostic::error(Code::Internal, "changes came to a sink that takes new rows only"))
    }
    /// Whether the writer wants more.
    fn is_ready(&mut self) -> bool {
        true
    }
    /// What it has done so far. Asked about once a second; all zero where it doesn't say.
    fn figures(&self) -> WriterFigures {
        WriterFigures::default()
    }
    /// What keeps it from writing, in words: half a sentence. Asked as often.
    fn trouble(&self) -> Option<String> {
        None
    }
    /// The buffer timeout has passed: hand over what is buffered, where that makes it visible sooner.
    ///
    /// # Errors
    /// `OutputFailed`
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    /// The input has ended: no row comes any more. Called once, before the last `prepare`.
    ///
    /// # Errors
    /// `OutputFailed`
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
    /// Begins to make everything written so far durable, as this epoch; rows that come afterwards
    /// belong to a later one. Never blocks.
    ///
    /// # Errors
    /// `OutputFailed`
    fn prepare(&mut self, epoch: u64) -> Result<()>;
    /// The committables of the oldest epoch given to `prepare` and not returned yet, once they are
    /// durable; `None`: not yet.
    ///
    /// # Errors
    /// `OutputFailed`
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>>;
}

/// Publishes or discards committables. One per sink and run; may block (called outside shards).
pub trait Committer: Send {
    /// Publishes. Repeatable.
    ///
    /// # Errors
    /// `OutputFailed`
    fn commit(&mut self, committables: &[Committable]) -> Result<()>;
    /// Discards what was prepared but must not be published.
    ///
    /// # Errors
    /// `OutputFailed`
    fn abort(&mut self, committables: &[Committable]) -> Result<()>;
    /// Removes what this job's incarnations up to `generation` (mine) have left behind hidden: all
    /// of older generations, and of mine what has a number up to `number`. Never what is in `keep`
    /// (every committable that may still be published) nor what a higher generation has made.
    ///
    /// # Errors
    /// `OutputFailed`
    fn sweep(&mut self, generation: u64, number: u64, keep: &[Committable]) -> Result<()> {
        let _ = (generation, number, keep);
        Ok(())
    }
    /// Takes back what this job's incarnations up to `generation` have published with a number
    /// above `after`: the newest checkpoint is damaged, and the job goes on from that one. Readers
    /// may have seen it. Returns how many files (rows, …) were taken back, for a warning.
    ///
    /// # Errors
    /// `OutputFailed`
    fn rollback(&mut self, generation: u64, after: u64) -> Result<u64> {
        let _ = (generation, after);
        Ok(0)
    }
    /// The input has ended and everything is committed (e.g. write `_SUCCESS`).
    ///
    /// # Errors
    /// `OutputFailed`
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A table ready to be written.
pub trait Sink: Send + Sync {
    /// What the sink can promise by itself.
    fn guarantee(&self) -> SinkGuarantee;
    /// Whether rows should arrive in the order of the input, from one writer (`print`,
    /// `stdout`, query results).
    fn wants_order(&self) -> bool {
        false
    }
    /// A writer for one shard (0 ≤ `shard` < `shards`).
    ///
    /// # Errors
    /// `OutputFailed`
    fn writer(&self, shard: usize, shards: usize) -> Result<Box<dyn SinkWriter>>;
    /// The committer.
    ///
    /// # Errors
    /// `OutputFailed`
    fn committer(&self) -> Result<Box<dyn Committer>>;
    /// Of a sink that shows rows as they come, and hands them to somebody who answers for each: what the answers
    /// were so far. `None`: what it was given is there.
    fn answers(&self) -> Option<Answers> {
        None
    }
}

/// What became of the rows that a sink was given in this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Those that are there.
    pub delivered: u64,
    /// Those that may be there, or will: nobody has answered for them. The others aren't.
    pub open: u64,
}

/// The committer of sinks whose output is visible at once.
#[derive(Debug, Default)]
pub struct NothingToCommit;

impl Committer for NothingToCommit {
    fn commit(&mut self, _: &[Committable]) -> Result<()> {
        Ok(())
    }
    fn abort(&mut self, _: &[Committable]) -> Result<()> {
        Ok(())
    }
}
