//! The stream plan: a graph of nodes, from sources to sinks.

use std::{collections::BTreeMap, fmt};

use flott_expr::Expr;
use flott_sql::{Insert, LogicalPlan, WatermarkDef, WindowKind};
use flott_types::{RowKind, Schema, Span, TableDescription};

use crate::{Guarantee, OperatorNode, OperatorShape, Port};

/// A node's position in [`StreamPlan::nodes`].
pub type NodeId = usize;

/// What a node's output rows mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangelogMode {
    /// Rows change (`+U`).
    pub updates: bool,
    /// Rows go (`-D`).
    pub deletes: bool,
    /// What a row was before a change is told too (`-U`).
    pub before: bool,
}

impl ChangelogMode {
    /// Rows are only added.
    pub const APPEND: Self = Self { updates: false, deletes: false, before: false };
    /// All kinds of changes.
    pub const RETRACT: Self = Self { updates: true, deletes: true, before: true };
    /// All kinds, but not what a row was before.
    pub const UPSERT: Self = Self { updates: true, deletes: true, before: false };

    /// Whether rows are only added.
    pub fn is_append(&self) -> bool {
        !self.updates && !self.deletes
    }
    /// What both say together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        // Where one tells what a row was before, so must the other: see `changelog.rs`.
        let before = match (self.updates, other.updates) {
            (true, true) => self.before && other.before,
            _ => self.before || other.before,
        };
        Self { updates: self.updates || other.updates, deletes: self.deletes || other.deletes, before }
    }
}

/// As Flink's plans have it: `append`, `retract [I,UB,UA,D]`, `upsert [I,UA,D]`.
impl fmt::Display for ChangelogMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_append() {
            return f.write_str("append");
        }
        let mode = if self.updates && !self.before { "upsert" } else { "retract" };
        let kinds =
            [(true, "I"), (self.updates && self.before, "UB"), (self.updates, "UA"), (self.deletes, "D")];
        let kinds: Vec<&str> = kinds.into_iter().filter(|it| it.0).map(|it| it.1).collect();
        write!(f, "{mode} [{}]", kinds.join(","))
    }
}

/// Which shard a row may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Any shard.
    Any,
    /// The shard that has the key group of the row's keys.
    Hash,
    /// One shard, in the order of the input.
    Single,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distribution::Any => "any",
            Distribution::Hash => "hash",
            Distribution::Single => "single",
        })
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// An id made from what the node means, not from where it stands in the script.
    pub stable_id: String,
    /// What it does.
    pub kind: NodeKind,
    /// The nodes it gets rows from.
    pub inputs: Vec<NodeId>,
    /// How it gets them, one for each of `inputs`.
    pub ports: Vec<Port>,
    /// Its output's columns.
    pub schema: Schema,
    /// What its output rows mean.
    pub changelog: ChangelogMode,
    /// Where its rows may be.
    pub distribution: Distribution,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Reads.
    Source(SourceNode),
    /// Computes row by row, without state.
    Calc(CalcNode),
    /// Keeps state. Its inputs are sources, calcs or other operators.
    Operator(OperatorNode),
    /// Writes.
    Sink(SinkNode),
}

/// Where a source's rows come from.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful in a plan")]
pub enum SourceInput {
    /// A table.
    Table {
        /// The table.
        table: TableDescription,
        /// Its watermark, over the declared columns.
        watermark: Option<WatermarkDef>,
    },
    /// Constant rows: one expression per column.
    Values(Vec<Vec<Expr>>),
}

/// Reads a table once, for everyone who needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceNode {
    /// Its name in the accounting.
    pub name: String,
    /// What is read.
    pub input: SourceInput,
    /// Positions in the table's columns of those that are read.
    pub projection: Vec<usize>,
    /// A predicate over the projected columns; the decoder applies it where it can.
    pub filter: Option<Expr>,
    /// Whether the input ends by itself.
    pub bounded: bool,
    /// Its event time, if an operator needs it. The decoder then applies no filter: rows that are
    /// filtered out move time on too.
    pub watermark: Option<SourceWatermark>,
    /// Where the query names the table.
    pub span: Span,
}

/// A source's event time, over its projected columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceWatermark {
    /// The time column.
    pub time: Expr,
    /// The watermark that each row stands for: no row at or before it comes any more.
    pub watermark: Expr,
    /// `'scan.watermark.max-ahead'`: rows further ahead of the wall clock are dead-lettered.
    pub max_ahead_millis: Option<i64>,
    /// `'late-rows' = 'dead-letter'`
    pub late_rows_to_dead_letters: bool,
}

/// A step of a [`CalcNode`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Keeps the rows for which the predicate is TRUE.
    Filter(Expr),
    /// Computes the columns anew.
    Project {
        /// One expression per column.
        exprs: Vec<Expr>,
        /// The columns.
        schema: Schema,
    },
    /// Each row once per element of a collection, the element's columns appended.
    Unnest {
        /// ARRAY, MAP or MULTISET.
        collection: Expr,
        /// Rows with an empty collection are kept, with NULLs.
        outer: bool,
        /// A last column counts from 1.
        ordinality: bool,
        /// Input columns, then the element's.
        schema: Schema,
    },
    /// Each row once per window that it belongs to, `window_start`, `window_end` and `window_time`
    /// appended.
    Window {
        /// The kind, never a session.
        kind: WindowKind,
        /// Shifts all windows.
        offset_millis: i64,
        /// The time column.
        time_column: usize,
        /// The column is TIMESTAMP_LTZ: windows follow the session's time zone.
        local_time: bool,
        /// Input columns, then the window's.
        schema: Schema,
    },
    /// Each row once per grouping set, `$set` (INT NOT NULL, the set's position) appended.
    Expand {
        /// For each set: the columns that are NULL in it.
        absent: Vec<Vec<usize>>,
        /// Input columns, then `$set`.
        schema: Schema,
    },
    /// New rows that say what they do, as changes (`FROM_CHANGELOG`).
    FromChangelog {
        /// The column that says it.
        op_column: usize,
        /// Its values and what they mean. A row with another one can't be evaluated.
        mapping: Vec<(String, RowKind)>,
        /// Input columns without that one.
        schema: Schema,
    },
    /// Changes as new rows that say what they do (`TO_CHANGELOG`).
    ToChangelog {
        /// What each kind is called; changes of another one are left out.
        mapping: Vec<(RowKind, String)>,
        /// A column that says it (STRING), then the input's.
        schema: Schema,
    },
}

/// Stateless steps, done together.
#[derive(Debug, Clone, PartialEq)]
pub struct CalcNode {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkTarget {
    /// A table.
    Table(TableDescription),
    /// Whoever asked the query.
    Collect,
}

/// Writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkNode {
    /// Its name in the accounting.
    pub name: String,
    /// Where rows go.
    pub target: SinkTarget,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// It goes by these columns and isn't told what a row was before, but what comes to it says so (a filter
    /// wants to know): the engine makes deletions of rows that have left the result.
    pub upsert_key: Option<Vec<usize>>,
    /// What is promised about its rows.
    pub guarantee: Guarantee,
    /// Where the statement names the table.
    pub span: Span,
}

/// A pipeline as a graph; inputs stand before the nodes that use them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamPlan {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What each operator keeps, by its node: checkpoints say it, so that another script knows.
    pub shapes: BTreeMap<NodeId, OperatorShape>,
}

impl StreamPlan {
    /// The nodes that read.
    pub fn sources(&self) -> impl Iterator<Item = (NodeId, &SourceNode)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Source(source) => Some((id, source)),
            _ => None,
        })
    }
    /// The nodes that write.
    pub fn sinks(&self) -> impl Iterator<Item = (NodeId, &SinkNode)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Sink(sink) => Some((id, sink)),
            _ => None,
        })
    }
    /// Whether every source ends by itself.
    pub fn is_bounded(&self) -> bool {
        self.sources().all(|(_, source)| source.bounded)
    }
}

/// What is planned together.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful in a plan")]
pub enum Pipeline {
    /// One `INSERT` or a statement set.
    Inserts(Vec<Insert>),
    /// A query whose rows are shown.
    Query(LogicalPlan),
}

impl Step {
    /// The columns after the step, if it changes them.
    pub fn schema(&self) -> Option<&Schema> {
        match self {
            Step::Filter(_) => None,
            Step::Project { schema, .. }
            | Step::Unnest { schema, .. }
            | Step::Window { schema, .. }
            | Step::Expand { schema, .. }
            | Step::FromChangelog { schema, .. }
            | Step::ToChangelog { schema, .. } => Some(schema),
        }
    }
    /// The expressions that it evaluates.
    pub fn exprs(&self) -> &[Expr] {
        match self {
            Step::Filter(expr) | Step::Unnest { collection: expr, .. } => std::slice::from_ref(expr),
            Step::Project { exprs, .. } => exprs,
            Step::Window { .. }
            | Step::Expand { .. }
            | Step::FromChangelog { .. }
            | Step::ToChangelog { .. } => &[],
        }
    }
    /// The columns after these steps over columns of `input`.
    pub fn output<'a>(steps: &'a [Step], input: &'a Schema) -> &'a Schema {
        steps.iter().rev().find_map(Step::schema).unwrap_or(input)
    }
}
