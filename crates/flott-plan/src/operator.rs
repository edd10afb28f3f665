//! The operators that keep state, as the plan describes them. `flott-operators` builds them.
//!
//! ```text
//!   Calc ─ Port { input 0, Hash([0]) , two_phase } ─┐
//!   Calc ─ Port { input 0, Hash([0]) , two_phase } ─┴► WindowAggregate ─► Calc ─► Sink
//! ```
//!
//! All columns are positions in the operator's input (every edge into the same input has the same
//! schema); lengths are milliseconds.

use flott_expr::AggregateFunction;
use flott_sql::{JoinKind, WindowKind};
use flott_types::{DataType, TimeAttribute};

use flott_expr::Expr;

use crate::{
    GroupAggregate, IntervalJoin, LookupJoin, Materialize, Normalize, Over, PatternMatch, RegularJoin, Sort,
    TemporalJoin, TopN, nodes::StatefulNode,
};

/// How rows get from an edge to the shards of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Exchange {
    /// They stay on their shard.
    #[default]
    Forward,
    /// To the shard that has the key group of these columns' values.
    Hash(Vec<usize>),
    /// All to one shard.
    Single,
}

/// Where an edge leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Port {
    /// Which input of the node: 0, or 1 for the right side of a join.
    pub input: usize,
    /// How rows get there.
    pub exchange: Exchange,
    /// Rows are aggregated on their shard first, and partial results travel.
    pub two_phase: bool,
}

/// An operator with state.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorNode {
    /// Groups within windows.
    WindowAggregate(WindowAggregate),
    /// `SESSION` without an aggregation: rows wait until their session is complete.
    SessionWindow(SessionWindow),
    /// Joins rows of the same window.
    WindowJoin(WindowJoin),
    /// The first rows of each group within a window (Top-N, deduplication).
    WindowRank(WindowRank),
    /// Groups whose results change with every row.
    GroupAggregate(GroupAggregate),
    /// Something of the rows around each row.
    Over(Over),
    /// The first rows of each group: Top-N, deduplication, LIMIT.
    TopN(TopN),
    /// All rows in order.
    Sort(Sort),
    /// What an upsert source says, made into changes.
    Normalize(Normalize),
    /// One row for each key of a sink.
    Materialize(Materialize),
    /// Joins all rows so far.
    RegularJoin(RegularJoin),
    /// Joins rows whose times lie near each other.
    IntervalJoin(IntervalJoin),
    /// Runs of rows that fit a pattern.
    PatternMatch(PatternMatch),
    /// Rows with the version that was valid at their time.
    TemporalJoin(TemporalJoin),
    /// Rows with what a table says when it is asked.
    LookupJoin(LookupJoin),
}

impl OperatorNode {
    /// What the plan knows of it.
    pub fn stateful(&self) -> &dyn StatefulNode {
        match self {
            OperatorNode::WindowAggregate(node) => node,
            OperatorNode::SessionWindow(node) => node,
            OperatorNode::WindowJoin(node) => node,
            OperatorNode::WindowRank(node) => node,
            OperatorNode::GroupAggregate(node) => node,
            OperatorNode::Over(node) => node,
            OperatorNode::TopN(node) => node,
            OperatorNode::Sort(node) => node,
            OperatorNode::Normalize(node) => node,
            OperatorNode::Materialize(node) => node,
            OperatorNode::RegularJoin(node) => node,
            OperatorNode::IntervalJoin(node) => node,
            OperatorNode::PatternMatch(node) => node,
            OperatorNode::TemporalJoin(node) => node,
            OperatorNode::LookupJoin(node) => node,
        }
    }
    /// The same, to be changed.
    pub fn stateful_mut(&mut self) -> &mut dyn StatefulNode {
        match self {
            OperatorNode::WindowAggregate(node) => node,
            OperatorNode::SessionWindow(node) => node,
            OperatorNode::WindowJoin(node) => node,
            OperatorNode::WindowRank(node) => node,
            OperatorNode::GroupAggregate(node) => node,
            OperatorNode::Over(node) => node,
            OperatorNode::TopN(node) => node,
            OperatorNode::Sort(node) => node,
            OperatorNode::Normalize(node) => node,
            OperatorNode::Materialize(node) => node,
            OperatorNode::RegularJoin(node) => node,
            OperatorNode::IntervalJoin(node) => node,
            OperatorNode::PatternMatch(node) => node,
            OperatorNode::TemporalJoin(node) => node,
            OperatorNode::LookupJoin(node) => node,
        }
    }
    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.stateful().name()
    }
    /// How many inputs it has.
    pub fn inputs(&self) -> usize {
        self.stateful().inputs()
    }
    /// Event or processing time, if it goes by any.
    pub fn time(&self) -> Option<TimeAttribute> {
        self.stateful().time()
    }
    /// The columns of an input that tell when a row is: one with NULL there has no place in time.
    pub fn required_times(&self, input: usize) -> Vec<usize> {
        self.stateful().required_times(input)
    }
    /// The columns by which an input's rows are grouped.
    pub fn keys(&self, input: usize) -> Vec<usize> {
        self.stateful().keys(input)
    }
    /// How rows get to the operator.
    pub fn exchange(&self, input: usize) -> Exchange {
        self.stateful().exchange(input)
    }
    /// Whether rows can be aggregated before they are exchanged.
    pub fn has_two_phases(&self) -> bool {
        self.stateful().has_two_phases()
    }
}

/// How an operator knows a row's windows.
#[derive(Debug, Clone, PartialEq)]
pub enum Windows {
    /// From a time column.
    Assigned {
        /// The kind. A session's `partition_by` is among the aggregate's keys.
        kind: WindowKind,
        /// Shifts all windows.
        offset_millis: i64,
        /// The time column: TIMESTAMP or TIMESTAMP_LTZ. Its value counts for event time only.
        time_column: usize,
        /// Event or processing time.
        time: TimeAttribute,
        /// The column is TIMESTAMP_LTZ (or processing time): windows follow the session's time
        /// zone, and their start and end are its local time.
        local_time: bool,
    },
    /// Each row says its window: it went through an operator on windows before.
    Attached {
        /// Column of the window's start.
        start: usize,
        /// Column of the window's end.
        end: usize,
        /// Event or processing time.
        time: TimeAttribute,
        /// Start and end are local times of the session's time zone.
        local_time: bool,
    },
}

impl Windows {
    /// Event or processing time.
    pub fn time(&self) -> TimeAttribute {
        match self {
            Windows::Assigned { time, .. } | Windows::Attached { time, .. } => *time,
        }
    }
    /// The columns without which a row has no window.
    pub fn required_times(&self) -> Vec<usize> {
        match self {
            Windows::Assigned { time: TimeAttribute::Proctime, .. } => Vec::new(),
            Windows::Assigned { time_column, .. } => vec![*time_column],
            Windows::Attached { start, end, .. } => vec![*start, *end],
        }
    }
    /// Whether start and end are local times of the session's time zone.
    pub fn local_time(&self) -> bool {
        match self {
            Windows::Assigned { local_time, .. } | Windows::Attached { local_time, .. } => *local_time,
        }
    }
}

/// A column that tells a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowProperty {
    /// `window_start`, TIMESTAMP(3).
    Start,
    /// `window_end`, TIMESTAMP(3).
    End,
    /// `window_time`: the end less a millisecond; of the time column's type.
    Time,
}

/// An aggregate call over columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static AggregateFunction,
    /// The arguments' columns.
    pub args: Vec<usize>,
    /// Their types.
    pub arg_types: Vec<DataType>,
    /// `DISTINCT`
    pub distinct: bool,
    /// A BOOLEAN column: only rows where it is TRUE count.
    pub filter: Option<usize>,
    /// The result's type.
    pub data_type: DataType,
}

impl Call {
    /// The columns that it reads.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.args.iter().copied().chain(self.filter)
    }
    /// Its columns are somewhere else now.
    pub fn move_columns(&mut self, to: &dyn Fn(usize) -> usize) {
        self.args.iter_mut().chain(&mut self.filter).for_each(|column| *column = to(*column));
    }
}

/// Groups within windows. Output: keys, calls, then `properties`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowAggregate {
    /// The windows.
    pub windows: Windows,
    /// The grouping columns, without the window's own.
    pub keys: Vec<usize>,
    /// What is computed for each group.
    pub calls: Vec<Call>,
    /// What of the window comes out.
    pub properties: Vec<WindowProperty>,
}

/// Rows of sessions. Output: the input's columns, then start, end and time.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionWindow {
    /// Always [`WindowKind::Session`].
    pub windows: Windows,
    /// The session's keys.
    pub keys: Vec<usize>,
}

/// Joins rows of the same window with equal keys. Both sides are [`Windows::Attached`] or carry
/// `window_start` and `window_end` as columns. Output: left columns, then right ones; of a semi or
/// anti join the left ones only.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowJoin {
    /// The left side's windows.
    pub left_windows: Windows,
    /// The right side's windows.
    pub right_windows: Windows,
    /// Equal columns: (left, right), without the window's own.
    pub keys: Vec<(usize, usize)>,
    /// What else must be TRUE, over the left's columns followed by the right's.
    pub condition: Option<Expr>,
    /// Which kind.
    pub kind: JoinKind,
}

/// The first `limit` rows of each group within a window, in this order. Output: the input's
/// columns, then the row number (BIGINT) if `with_rank`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRank {
    /// The windows ([`Windows::Attached`], or assigned by time: then the window's columns are
    /// already in the row).
    pub windows: Windows,
    /// The grouping columns, without the window's own.
    pub keys: Vec<usize>,
    /// (column, descending, nulls first)
    pub order_by: Vec<(usize, bool, bool)>,
    /// First and last rank wanted, counting from 1.
    pub ranks: (u64, u64),
    /// Whether the rank comes out.
    pub with_rank: bool,
}
