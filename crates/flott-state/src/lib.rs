//! Keyed state, its snapshots, and the protocol by which checkpoints become final.
//!
//! ```text
//!   operator ──keys, values──► table, buckets          (memory, one shard, one thread)
//!                                 │ barrier: what changed since the last one
//!                                 ▼
//!                              snapshot ──► segment     (bytes with checksums, in the background)
//!                                              │
//!                 chain: which blocks are still needed, what to write whole next time
//!                                              ▼
//!                              manifest ──► sequence ──► storage   (put-if-absent, claims, retention)
//! ```
//!
//! Invariants
//! - Every row of state belongs to a key group, and a key group to one shard: state written at one
//!   parallelism is read at any other.
//! - Saving never consumes: a snapshot leaves the state as it was.
//! - No clock and no randomness in here: times and nonces come in as arguments, so that a run can
//!   be repeated.
//! - What is read back from storage is checked against its checksum before it is believed.
//!
//! This crate knows nothing of operators, SQL or connectors.

mod bitmap;
mod bits;
pub mod buckets;
pub mod chain;
pub mod column;
pub mod decide;
pub mod hash;
mod index;
pub mod keys;
pub mod lease;
pub mod log;
pub mod manifest;
mod memory;
pub mod reshape;
pub mod row_codec;
pub mod row_column;
pub mod row_heap;
mod rows;
pub mod segment;
pub mod sequence;
pub mod snapshot;
pub mod storage;
pub mod table;
mod wide;

pub use buckets::{Buckets, LiveBucket};
pub use column::{ArrowColumn, BoolColumn, ListColumn, LongColumn, StateColumn};
pub use decide::Token;
pub use hash::{DEFAULT_KEY_GROUPS, KeyGroups, hash_rows, with_group_of};
pub use keys::{KeyTable, NO_SLOT};
pub use lease::{Holder, Lease, LeaseState};
pub use log::{Cursor, LogBuckets, LogShape, RowLog};
pub use manifest::Manifest;
pub use reshape::{ColumnFrom, Reshape, TableFrom};
pub use row_codec::{EncodedRows, RowCodec};
pub use row_column::RowColumn;
pub use row_heap::{NO_ROW, RowHeap, RowRef};
pub use segment::{ScratchFile, Segment, ShardPart, SpilledPart, spill_failed};
pub use sequence::{Check, Claimant, Claimed, Damage, Incarnation, PublishError, Recovered};
pub use snapshot::{FullPlan, OperatorSnapshot, OperatorState};
pub use storage::{LocalStorage, LocalStores, MemoryStorage, ScratchStorage, Storage, Stores, sweep_scratch};
pub use table::{Changes, Table};

use arrow::error::ArrowError;
use flott_types::{Code, Diagnostic};

#[cfg(test)]
mod tests;

/// A failure inside the Arrow library, as a diagnostic: on data that this crate laid out itself it
/// can only be a bug.
pub(crate) fn arrow_failed(error: ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("keyed state could not be laid out: {error}"))
}
