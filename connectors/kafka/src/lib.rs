//! The `kafka` and `upsert-kafka` connectors.
//!
//! ```text
//!   partitions ──► one reader: messages of one partition a chunk ──► key and value formats ──► rows
//!   rows ──► key and value formats ──► one producer for the job ──► partitions
//! ```

#![allow(clippy::vec_box, reason = "diagnostics travel boxed, as in flott_types::Result")]

use std::sync::Arc;

use flott_connector::Connector;

/// Every connector of this crate.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    Vec::new()
}
