//! Windows: rows grouped by when they happened.
//!
//! ```text
//!   local_time   whose clock, and when a window is over
//!   assign       which slices and windows a time belongs to
//!   split, place which rows of a batch go where
//!   pane         the groups of a slice, and what is computed for them
//!   emit         the rows that come out
//!
//!   aggregate    tumbling, hopping, cumulating windows      hop      merging long hops
//!   partial      the phase before the exchange
//!   session      sessions    open_sessions    which are open    cells    what they keep
//!   join         rows of two inputs in the same window     rows     keeping rows
//!   rank         the first rows of a window's groups
//! ```

mod aggregate;
mod assign;
mod cells;
mod emit;
mod hop;
mod join;
mod local_time;
mod open_sessions;
mod pane;
mod partial;
mod place;
mod rank;
mod rows;
mod session;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use aggregate::WindowAggregateOperator;
pub(crate) use assign::{millis, rows_with_time};
pub(crate) use emit::{batch, positional_schema};
pub(crate) use join::WindowJoinOperator;
pub(crate) use pane::{first_rows, next_slots, take_all};
pub(crate) use partial::PreAggregation;
pub(crate) use place::{column, lowest, only_inserts, reject_null_times};
pub(crate) use rank::WindowRankOperator;
pub(crate) use session::SessionOperator;
