//! Writing: shards encode, an I/O thread writes, an epoch commits.
//!
//! ```text
//!   write* ─► prepare(epoch) ─► poll_prepared ─► Committable ─► Committer::commit (as often as needed)
//!                                                            └► Committer::abort
//! ```
//!
//! Invariants
//! - `write` never blocks: it encodes and queues. `is_ready` false asks the engine to stop
//!   pulling input until the queue has drained; what was accepted is never dropped.
//! - What a writer has written is invisible to readers until its committable is committed
//!   (for sinks that can hide; `SinkGuarantee` says which can't).
//! - `commit` may be repeated after a crash and changes nothing the second time.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use flott_expr::EvalContext;
use flott_types::{Options, Result};

use crate::Clock;

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
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// With checkpoints every epoch publishes; without, only the end of the run does.
    pub checkpoints: bool,
}

/// Writes one shard's rows.
pub trait SinkWriter: Send {
    /// Takes over a batch of the sink's schema. Never blocks.
    ///
    /// # Errors
    /// `OutputFailed`: an earlier write failed on the I/O thread, or this batch can't be encoded.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Whether the writer wants more.
    fn is_ready(&mut self) -> bool {
        true
    }
    /// The buffer timeout has passed: hand over what is buffered, where that makes it visible sooner.
    ///
    /// # Errors
    /// `OutputFailed`
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    /// Begins to make everything written so far durable, as this epoch. Never blocks.
    ///
    /// # Errors
    /// `OutputFailed`
    fn prepare(&mut self, epoch: u64) -> Result<()>;
    /// The committables of the epoch given to `prepare`, once they are durable; `None`: not yet.
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
