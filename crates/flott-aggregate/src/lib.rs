//! Aggregate functions: what each keeps for a group, and how that becomes a result.
//!
//! ```text
//!   rows ─ update(slots, args) ─►  slot 0 │ slot 1 │ slot 2 …   ─ evaluate(slots) ─► results
//!                                  (typed vectors, one value a slot)
//!          partial results ─ merge(slots, saved) ─►  ▲   │
//!                                                    │   └─ save(slots) ─► partial results, snapshots
//!          taken back ─ retract(slots, args) ────────┘
//! ```
//!
//! Invariants
//! - `evaluate` and `save` consume nothing: they may be asked again at any time.
//! - `merge(save(x))` into a fresh slot equals `x`; merging is associative, and commutative unless
//!   the function says that order matters.
//! - Columns are addressed by slots that a `flott_state::Table` gives out; an accumulator never
//!   sees keys.
//!
//! Names, types and documentation of the functions stand in `flott-expr`; this crate knows
//! nothing of windows, shards and SQL text.

mod cells;
mod count;
mod native;
mod selection;
mod single;
mod total;

use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::DataType as ArrowType,
};
use flott_expr::{AggregateFunction, EvalError};
use flott_state::StateColumn;
use flott_types::{DataType, Diagnostic, Result};

use crate::{cells::Cells, count::Count, total::Which};

/// One aggregate call's values for all groups of a table.
///
/// `StateColumn::save` is also the form in which partial results travel from a pre-aggregation to
/// the shard that has the group, and from a pane to its window.
pub trait Accumulator: StateColumn {
    /// Adds row i of the arguments to the group in `slots[i]`, where `filter` is TRUE (everywhere if
    /// there is none).
    ///
    /// # Errors
    /// A value that can't be aggregated. Nothing has been added then.
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError>;
    /// Takes row i of the arguments back from the group in `slots[i]`.
    ///
    /// # Errors
    /// As `update`.
    fn retract(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError>;
    /// Adds what `save` gave, element i to the group in `slots[i]` (several may go to one).
    ///
    /// # Errors
    /// A value that can't be aggregated.
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError>;
    /// The results of these groups, of the call's type.
    ///
    /// # Errors
    /// A result that can't be computed.
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError>;
}

/// An accumulator for a call of this function. `retracts`: rows may be taken back, so functions
/// that otherwise keep one value (`MIN`, `FIRST_VALUE`) keep all. `DISTINCT` is the operator's:
/// it lets each value through once.
///
/// # Errors
/// `NotSupported`: there is none for these arguments.
pub fn accumulator(
    function: &'static AggregateFunction,
    arg_types: &[DataType],
    data_type: &DataType,
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    let types: Vec<ArrowType> = arg_types.iter().map(DataType::arrow_type).collect();
    let result = data_type.arrow_type();
    let found = match (function.name, types.as_slice()) {
        ("COUNT", _) => Some(Cells::boxed(Count)),
        ("SUM", [of]) => total::accumulator(Which::Sum, of, &result),
        ("$SUM0", [of]) => total::accumulator(Which::Sum0, of, &result),
        ("AVG", [of]) => total::accumulator(Which::Avg, of, &result),
        ("MIN", [of]) if !retracts => single::accumulator::<single::Min>(of),
        ("MAX", [of]) if !retracts => single::accumulator::<single::Max>(of),
        _ => None,
    };
    found.ok_or_else(|| {
        let types: Vec<String> = arg_types.iter().map(|it| it.kind.to_string()).collect();
        Diagnostic::not_supported(format_args!("{}({})", function.name, types.join(", ")))
    })
}
