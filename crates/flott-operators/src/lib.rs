//! Operators that keep state.
//!
//! ```text
//!   rows ─────────► on_rows ──┐
//!   watermark ────► on_watermark ├─► Output: rows, late rows
//!   wall clock ───► on_time ──┘
//!   barrier ──────► snapshot ───► flott_state::OperatorSnapshot
//!   restart ──────► restore  ◄─── flott_state::OperatorState
//! ```
//!
//! Each lives in its own file, which opens with: what it keeps, when it emits, what a watermark
//! does to it. They know nothing of threads, exchanges and connectors (a table that is looked up is a
//! [`flott_connector::LookupTable`] to them): the engine brings every row
//! to the shard that has its key group, calls one method at a time, and carries what they emit on.

#[cfg(test)]
mod conformance;
mod group;
mod hidden;
mod idle;
mod join;
mod keyed;
mod lookup;
mod operator;
mod over;
mod pattern;
mod rank;
mod sort;
mod spill;
mod temporal;
mod window;

use arrow::error::ArrowError;
use flott_types::{Code, Diagnostic};

pub use operator::{
    Context, Lookups, Operator, Output, ROWS_BEHIND, Replayed, Rows, Spilled, build, given_up,
    pre_aggregation,
};
pub use spill::{LaneKeys, MemoryBudget, SpillSettings, SpillingOperator};

/// A failure inside the Arrow library: on columns that operators put together themselves it can
/// only be a bug.
pub(crate) fn arrow_failed(error: ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("an operator's columns do not fit: {error}"))
}
