//! Runs a stream plan.
//!
//! ```text
//!   reader thread ─Chunk─► ┌ shard 0: decode ─► calc ─► lanes ─► operators ─► sink writer ┐
//!   (one per source,       ├ shard 1: decode ─► calc ─►  ╳   ─► operators ─► sink writer ┼─► job thread:
//!    bounded queue)        └ …                                                           ┘   commit
//! ```
//!
//! Invariants
//! - Shards share nothing but bounded queues, atomic counters and, for sinks that want order, the
//!   [`order::OrderedWriter`].
//! - A push never blocks. A shard takes new input only while all that is downstream of it is ready, so
//!   what is in flight is bounded whatever the input's size.
//! - Every record is counted exactly once on every edge it travels ([`accounting`]).
//! - One bad row never costs a batch: see [`calc`].
//! - Nothing is published before every shard has prepared all it wrote, and with checkpoints before
//!   the checkpoint that names it is durable ([`checkpoint`]).
//! - Results depend on the input and its watermarks, not on the parallelism: rows of a source reach
//!   operators in the order of its chunks ([`exchange`]).
//!
//! This crate knows nothing of SQL text.

pub mod accounting;
pub mod activity;
pub mod calc;
mod changelog_step;
pub mod checkpoint;
mod exchange;
mod expand;
mod failure;
mod job;
pub mod lineage;
pub mod order;
mod parts;
mod progress;
mod queue;
mod reader;
mod replay;
mod restore;
mod shard;
mod shards;
mod sink;
mod spilling;
pub mod stepped;
mod threads;
mod topology;
mod unnest;
mod upsert;
mod values;
mod window_step;

#[cfg(test)]
mod tests;

pub use accounting::{
    ChangeCounts, Counters, Counts, EdgeSummary, LookupSummary, SinkSummary, SourceSummary, Status, Summary,
};
pub use checkpoint::{CheckpointSummary, Checkpointing, Keeper, Resume, check_fits, upgrade};
pub use flott_operators::MemoryBudget;
pub use job::{Job, JobSettings, MiniBatch, StateSettings, check_decider, run};
pub use replay::Replay;
pub use restore::Warm;
