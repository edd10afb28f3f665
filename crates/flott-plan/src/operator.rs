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
}

impl OperatorNode {
    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            OperatorNode::WindowAggregate(_) => "window aggregate",
            OperatorNode::SessionWindow(_) => "session window",
            OperatorNode::WindowJoin(_) => "window join",
            OperatorNode::WindowRank(_) => "window rank",
        }
    }
    /// How many inputs it has.
    pub fn inputs(&self) -> usize {
        match self {
            OperatorNode::WindowJoin(_) => 2,
            _ => 1,
        }
    }
    /// Event or processing time.
    pub fn time(&self) -> TimeAttribute {
        match self {
            OperatorNode::WindowAggregate(node) => node.windows.time(),
            OperatorNode::SessionWindow(node) => node.windows.time(),
            OperatorNode::WindowJoin(node) => node.left_windows.time(),
            OperatorNode::WindowRank(node) => node.windows.time(),
        }
    }
    /// The columns by which an input's rows are grouped.
    pub fn keys(&self, input: usize) -> Vec<usize> {
        match self {
            OperatorNode::WindowAggregate(node) => node.keys.clone(),
            OperatorNode::SessionWindow(node) => node.keys.clone(),
            OperatorNode::WindowRank(node) => node.keys.clone(),
            OperatorNode::WindowJoin(node) => {
                node.keys.iter().map(|&(left, right)| if input == 0 { left } else { right }).collect()
            }
        }
    }
    /// How rows get to the operator.
    pub fn exchange(&self, input: usize) -> Exchange {
        match self.keys(input) {
            keys if keys.is_empty() => Exchange::Single,
            keys => Exchange::Hash(keys),
        }
    }
    /// Whether rows can be aggregated before they are exchanged: groups that don't depend on what
    /// other shards have, results that don't depend on the order.
    pub fn has_two_phases(&self) -> bool {
        let OperatorNode::WindowAggregate(node) = self else { return false };
        let is_session = matches!(&node.windows, Windows::Assigned { kind: WindowKind::Session { .. }, .. });
        let merges = |call: &Call| !call.distinct && !call.function.order_matters;
        !is_session && node.windows.time() == TimeAttribute::Rowtime && node.calls.iter().all(merges)
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
