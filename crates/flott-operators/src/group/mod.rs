//! Aggregations without a window.
//!
//! ```text
//!   rows ─► PreGroup ─► partial results ─► GroupAggregateOperator ─► changes of results
//! ```

mod aggregate;
mod calls;
mod distinct;
mod local;
mod pending;
#[cfg(test)]
mod tests;

pub(crate) use aggregate::GroupAggregateOperator;
pub(crate) use calls::{SetOf, failed, missing_column, pick};
pub(crate) use distinct::{DistinctTable, Values};
pub(crate) use local::PreGroup;
pub(crate) use pending::{Fate, differences};
