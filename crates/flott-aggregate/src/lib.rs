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

mod bag;
mod bitmap;
mod cells;
mod codec;
mod count;
mod exact_moments;
mod groups;
mod json_object;
mod moments;
mod native;
mod percentile;
mod selection;
mod sequence;
mod single;
mod single_bytes;
mod sketch;
mod total;

#[cfg(test)]
mod tests;

use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::DataType as ArrowType,
};
use flott_expr::{AggregateFunction, EvalError};
use flott_state::StateColumn;
use flott_types::{DataType, Diagnostic, Result};

use crate::{cells::Cells, count::Count};

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
    let found = by_name(function.name, &types, &data_type.arrow_type(), retracts);
    found.ok_or_else(|| {
        let types: Vec<String> = arg_types.iter().map(|it| it.kind.to_string()).collect();
        let taken_back = if retracts { " over rows that change" } else { "" };
        Diagnostic::not_supported(format_args!("{}({}){taken_back}", function.name, types.join(", ")))
    })
}

fn by_name(
    name: &str,
    types: &[ArrowType],
    result: &ArrowType,
    retracts: bool,
) -> Option<Box<dyn Accumulator>> {
    use sequence::Which as Kept;
    let first = types.first();
    let total = |which| total::accumulator(which, first?, result);
    let moments = |deviation, sample| {
        let which = moments::Which { deviation, sample };
        Some(moments::accumulator(which, result, retracts))
    };
    let kept = |which, nulls| sequence::accumulator(which, nulls, first?, result);
    let bitmap = |which, cardinality| Some(bitmap::accumulator(which, cardinality));
    match name {
        "COUNT" => Some(Cells::boxed(Count)),
        "SUM" => total(total::Which::Sum),
        "$SUM0" => total(total::Which::Sum0),
        "AVG" => total(total::Which::Avg),
        "MIN" if retracts => bag::accumulator(bag::Which::Min, first?, result),
        "MIN" => single::accumulator::<single::Min>(first?),
        "MAX" if retracts => bag::accumulator(bag::Which::Max, first?, result),
        "MAX" => single::accumulator::<single::Max>(first?),
        "VAR_POP" => moments(false, false),
        "VAR_SAMP" => moments(false, true),
        "STDDEV_POP" => moments(true, false),
        "STDDEV_SAMP" => moments(true, true),
        "FIRST_VALUE" if retracts => kept(Kept::First, false),
        "FIRST_VALUE" => single::accumulator::<single::First>(first?),
        "LAST_VALUE" if retracts => kept(Kept::Last, false),
        "LAST_VALUE" => single::accumulator::<single::Last>(first?),
        "SINGLE_VALUE" => kept(Kept::Only, true),
        "LISTAGG" => kept(Kept::Joined, false),
        "ARRAY_AGG" => kept(Kept::Array, true),
        "ARRAY_AGG_IGNORE_NULLS" => kept(Kept::Array, false),
        "COLLECT" => bag::accumulator(bag::Which::Collect, first?, result),
        "JSON_ARRAYAGG_NULL_ON_NULL" => kept(Kept::JsonArray, true),
        "JSON_ARRAYAGG_ABSENT_ON_NULL" => kept(Kept::JsonArray, false),
        "JSON_OBJECTAGG_NULL_ON_NULL" => Some(json_object::accumulator(true, retracts)),
        "JSON_OBJECTAGG_ABSENT_ON_NULL" => Some(json_object::accumulator(false, retracts)),
        "PERCENTILE" => Some(percentile::accumulator(result)),
        "APPROX_COUNT_DISTINCT" if !retracts => sketch::accumulator(first?),
        "BITMAP_BUILD_AGG" => bitmap(bitmap::Which::Build, false),
        "BITMAP_BUILD_CARDINALITY_AGG" => bitmap(bitmap::Which::Build, true),
        "BITMAP_AND_AGG" => bitmap(bitmap::Which::And, false),
        "BITMAP_AND_CARDINALITY_AGG" => bitmap(bitmap::Which::And, true),
        "BITMAP_OR_AGG" => bitmap(bitmap::Which::Or, false),
        "BITMAP_OR_CARDINALITY_AGG" => bitmap(bitmap::Which::Or, true),
        "BITMAP_XOR_AGG" => bitmap(bitmap::Which::Xor, false),
        "BITMAP_XOR_CARDINALITY_AGG" => bitmap(bitmap::Which::Xor, true),
        _ => None,
    }
}
