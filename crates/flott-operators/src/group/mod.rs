//! Aggregations without a window.
//!
//! ```text
//!   rows ─► PreGroup ─► partial results ─► GroupAggregateOperator ─► changes of results
//! ```

mod aggregate;
mod calls;
mod distinct;
mod hidden;
mod idle;
mod local;
mod pending;

pub(crate) use aggregate::GroupAggregateOperator;
pub(crate) use local::PreGroup;
