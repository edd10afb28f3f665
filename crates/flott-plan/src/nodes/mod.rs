//! The operators that keep state, a file each: what the plan knows of an operator, all in one place.
//!
//! ```text
//!   struct GroupAggregate { keys, calls, … }        what flott-operators builds it from
//!   impl StatefulNode                               keys, exchange, changelog, upsert keys, pruning,
//!                                                   what explain says, what its id is made from
//! ```
//! A new operator is a file here, a variant of [`OperatorNode`](crate::OperatorNode), and a file in
//! `flott-operators`.

mod group_aggregate;
mod interval_join;
mod joining;
mod lookup_join;
mod materialize;
mod normalize;
mod over;
mod pattern_match;
mod regular_join;
mod sort;
mod temporal_join;
mod top_n;
mod windows;

use std::{collections::BTreeSet, fmt};

use flott_expr::Expr;
use flott_types::{Result, TimeAttribute};

use crate::{
    Call, ChangelogMode, Exchange, StateTable, StateValue,
    operator_text::{Labels, call_text},
    shape::InputColumns,
};

pub use group_aggregate::GroupAggregate;
pub use interval_join::{IntervalJoin, JoinTime};
pub use joining::JoinOn;
pub use lookup_join::{Lookup, LookupJoin};
pub use materialize::Materialize;
pub use normalize::Normalize;
pub use over::{Over, OverOrder, OverValue};
pub use pattern_match::{MatchCondition, MatchTerm, Navigation, PatternMatch};
pub use regular_join::RegularJoin;
pub use sort::Sort;
pub use temporal_join::TemporalJoin;
pub use top_n::{TopN, TopNStrategy};

/// Positions of columns, sorted.
pub type Set = BTreeSet<usize>;

/// For each input, the column that tells where a row came from: operators that report late rows keep
/// it.
pub type Origins = [Option<usize>; 2];

/// Sets of columns of which each tells the rows of a changelog apart: a later change replaces the
/// earlier one with the same values there. The empty set: there is at most one row.
pub type UpsertKeys = Vec<Set>;

/// What an operator remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeps {
    /// What it keeps, for each input where they differ.
    pub what: String,
    /// What bounds it: `until the watermark reaches …`. None: nothing, it grows with the input.
    pub until: Option<String>,
}

impl Keeps {
    /// Something that is dropped in time.
    pub fn until(what: impl Into<String>, until: impl Into<String>) -> Self {
        Self { what: what.into(), until: Some(until.into()) }
    }
    /// Something that is dropped when nothing has touched it for the time to live, if there is one.
    pub fn idle(what: impl Into<String>, ttl_millis: Option<i64>) -> Self {
        let until = ttl_millis.map(|millis| format!("until nothing has changed it for {}", length(millis)));
        Self { what: what.into(), until }
    }
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.until {
            Some(until) => write!(f, "{}; {until}", self.what),
            None => write!(f, "{}; for ever ('table.exec.state.ttl' would bound it)", self.what),
        }
    }
}

/// What the plan asks an operator with state. Columns are positions in the operator's inputs, or in its
/// output.
pub trait StatefulNode: fmt::Debug {
    /// What people call it.
    fn name(&self) -> &'static str;
    /// How many inputs it has.
    fn inputs(&self) -> usize {
        1
    }
    /// Whether it goes by event or processing time, if by any.
    fn time(&self) -> Option<TimeAttribute> {
        None
    }
    /// The columns of an input that tell when a row is: one with NULL there has no place in time.
    fn required_times(&self, _input: usize) -> Vec<usize> {
        Vec::new()
    }
    /// The columns by which an input's rows are grouped. None: all rows go to one shard.
    fn keys(&self, input: usize) -> Vec<usize>;
    /// How rows get to the operator.
    fn exchange(&self, input: usize) -> Exchange {
        match self.keys(input) {
            keys if keys.is_empty() => Exchange::Single,
            keys => Exchange::Hash(keys),
        }
    }
    /// Whether rows can be aggregated before they are exchanged: groups that don't depend on what
    /// other shards have, results that don't depend on the order.
    fn has_two_phases(&self) -> bool {
        false
    }
    /// What it does: what, and how. `explain` shows it, and the operator's id is made from it.
    fn describe(&self, labels: &Labels) -> Vec<(&'static str, String)>;
    /// What of it must stay as it is for its state to mean the same: the rest may change.
    fn frame(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        self.describe(labels)
    }
    /// Whether what its rows say is all in its frame and their columns, so that those behind it don't mind
    /// what else changes.
    fn columns_tell_all(&self) -> bool {
        false
    }
    /// The tables of its state, in which columns are found again by what they mean, as far as the operator
    /// can take up state of another shape. Must be as the operator writes them.
    fn tables(&self, inputs: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let _ = inputs;
        None
    }
    /// Whether it forgets what nothing has touched for long: for an operator without [tables](Self::tables),
    /// whose state must be as it was.
    fn forgets_idle(&self) -> bool {
        false
    }
    /// Numbers that may change while its state stays: it is told what they were.
    fn numbers(&self) -> Vec<(&'static str, i64)> {
        Vec::new()
    }
    /// What it remembers, and for how long.
    fn keeps(&self) -> Keeps;
    /// What its output's columns mean, in terms of its inputs'.
    fn columns(&self, labels: &Labels) -> Vec<String>;
    /// Its expressions, over the left's columns followed by the right's.
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        Vec::new()
    }
    /// Drops what isn't needed of the output, and moves the positions of input columns to where they
    /// are among those that are left. Gives the positions of the output that are left, and what the
    /// operator needs of each input. `widths`: columns of each input.
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>);
    /// Lets it carry the column that tells where a row came from. `before`: each input's width without
    /// it. Gives the positions at which the output has it. None: the operator reports no late rows, and
    /// the column is dropped before it.
    fn carry_origin(&mut self, origins: Origins, before: [usize; 2]) -> Option<Vec<usize>> {
        let _ = (origins, before);
        None
    }

    // --- changelogs ------------------------------------------------------------------------------

    /// Whether it must see what a row was before a change (`-U`).
    fn wants_before(&self, input: usize) -> bool {
        let _ = input;
        true
    }
    /// Takes notice of what its inputs' rows say, and of whether anybody behind it wants to know what
    /// a row was before. Gives what its own rows say. May be called several times.
    ///
    /// # Errors
    /// `NotSupported`: it can't take changes.
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode>;
    /// The upsert keys of its output, from those of its inputs.
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        let _ = inputs;
        Vec::new()
    }
}

/// A column of results so far. `anew`: it may begin in the middle.
pub fn call_value(call: &Call, input: &InputColumns, anew: bool) -> StateValue {
    let means = format!("{} {}", call_text(call, &input.typed), call.data_type.kind);
    let value = if anew { StateValue::beginning(means) } else { StateValue::kept(means) };
    StateValue { label: call_text(call, &input.names), ..value }
}

/// Refuses changes, for operators that take new rows only.
///
/// # Errors
/// `NotSupported`
pub fn only_appends(name: &str, inputs: &[ChangelogMode]) -> Result<ChangelogMode> {
    if inputs.iter().all(ChangelogMode::is_append) {
        return Ok(ChangelogMode::APPEND);
    }
    Err(flott_types::Diagnostic::not_supported(format_args!("a {name} over rows that change"))
        .help("its input must only add rows: window aggregations do, GROUP BY without a window doesn't"))
}

/// The position of a column among those that are left.
pub fn rank(left: &Set, column: usize) -> usize {
    left.range(..column).count()
}

/// `90 s`, `1 h`, `250 ms`
pub fn length(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = UNITS.iter().find(|(unit, _)| millis != 0 && millis % unit == 0);
    match whole {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}

/// The columns' names, with commas.
pub fn names(columns: &[usize], labels: &[String]) -> String {
    let names: Vec<&str> =
        columns.iter().map(|&column| labels.get(column).map_or("?", String::as_str)).collect();
    names.join(", ")
}
