//! Runs a stream plan.
//!
//! ```text
//!   reader thread ─Chunk─► ┌ shard 0: decode ─► calc ─► sink writer ┐ ─► prepare ─► commit (job thread)
//!   (one per source,       ├ shard 1: decode ─► calc ─► sink writer ┤
//!    bounded queue)        └ …                                      ┘
//! ```
//!
//! Invariants
//! - Shards share nothing but bounded queues, atomic counters and, for sinks that want order, the
//!   [`order::OrderedWriter`].
//! - A push never blocks. A shard takes new input only while every sink it feeds is ready, so what
//!   is in flight is bounded whatever the input's size.
//! - Every record is counted exactly once on every edge it travels ([`accounting`]).
//! - One bad row never costs a batch: see [`calc`].
//! - Nothing is published before every shard has prepared all it wrote.
//!
//! This crate knows nothing of SQL text.

pub mod accounting;
pub mod calc;
pub mod event;
mod expand;
mod job;
pub mod order;
mod reader;
mod shard;
mod sink;
mod unnest;
mod values;
mod window_step;

#[cfg(test)]
mod tests;

pub use accounting::{Counters, EdgeSummary, SinkSummary, SourceSummary, Status, Summary};
pub use event::{Event, Lineage, Operator, Rows};
pub use job::{Job, JobSettings, Replay, run};
