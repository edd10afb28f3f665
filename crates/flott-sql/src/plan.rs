//! The logical plan: a small typed algebra.

mod changelog;
mod pattern;
mod temporal;

use std::fmt;

use flott_expr::{AggregateCall, Expr};
use flott_types::{Schema, Span, TableDescription, TimeAttribute, quote_identifier};

pub use self::{
    changelog::{ChangeOperation, FromChangelog, OnConflict, ToChangelog},
    pattern::{AfterMatch, MatchExpr, MatchRecognize, MatchValue, PatternTerm},
    temporal::{LookupHint, LookupRetry, TemporalJoin},
};
use crate::catalog::WatermarkDef;

/// A query, bound and typed. Column references are positions in the input's schema.
#[derive(Debug, Clone, PartialEq)]
pub enum LogicalPlan {
    /// All physical and metadata columns of a table, in declared order. Computed columns are a
    /// `Project` above.
    Scan {
        /// The table, hints merged into its options.
        table: TableDescription,
        /// The declared watermark: position of the time column in the table's schema *with*
        /// computed columns, and the expression over that schema.
        watermark: Option<WatermarkDef>,
        /// Where the query names the table.
        span: Span,
    },
    /// Constant rows.
    Values {
        /// Rows of constant expressions, each of the schema's types.
        rows: Vec<Vec<Expr>>,
        /// The columns.
        schema: Schema,
    },
    /// One expression per output column.
    Project {
        /// The input.
        input: Box<LogicalPlan>,
        /// Expressions over the input's columns.
        exprs: Vec<Expr>,
        /// The output's columns.
        schema: Schema,
    },
    /// The rows for which the predicate is TRUE.
    Filter {
        /// The input.
        input: Box<LogicalPlan>,
        /// A BOOLEAN expression over the input's columns.
        predicate: Expr,
    },
    /// `UNION ALL`. All inputs have the schema's types.
    Union {
        /// The inputs.
        inputs: Vec<LogicalPlan>,
        /// The output's columns.
        schema: Schema,
    },
    /// `CROSS JOIN UNNEST(…)`: each input row once per element, the element's columns appended.
    Unnest {
        /// The input.
        input: Box<LogicalPlan>,
        /// An ARRAY, MAP or MULTISET over the input's columns. Elements that are ROWs are spread
        /// into one column per field, a MAP into key and value.
        collection: Expr,
        /// `LEFT JOIN … ON TRUE`: rows with an empty collection are kept, with NULLs.
        outer: bool,
        /// `WITH ORDINALITY`: a last column counting from 1 (INT NOT NULL).
        ordinality: bool,
        /// Input columns, then the element's.
        schema: Schema,
    },
    /// A windowing table function: each row with `window_start`, `window_end`, `window_time`
    /// appended, once per window that it belongs to.
    Window {
        /// The input.
        input: Box<LogicalPlan>,
        /// The windows.
        window: WindowSpec,
        /// Input columns, then the three of the window: start and end `TIMESTAMP(3) NOT NULL`, time
        /// of the time column's type, a time attribute of its kind.
        schema: Schema,
    },
    /// `GROUP BY`, `SELECT DISTINCT`. Windows of the older syntax (`TUMBLE(…)` as a key) are a
    /// [`LogicalPlan::Window`] below and its columns among the keys.
    Aggregate {
        /// The input.
        input: Box<LogicalPlan>,
        /// The grouping expressions over the input's columns. None: one group of all rows.
        keys: Vec<Expr>,
        /// `GROUPING SETS`, `ROLLUP`, `CUBE`: positions in `keys` of each set. One set of all keys
        /// for a plain `GROUP BY`.
        sets: Vec<Vec<usize>>,
        /// The aggregate calls over the input's columns.
        calls: Vec<AggregateCall>,
        /// The `STATE_TTL` hint in milliseconds: a group that no row has changed for so long is
        /// forgotten.
        state_ttl: Option<i64>,
        /// Keys (nullable where a set lacks them), calls, and with more than one set a last column
        /// `$set` INT NOT NULL, the position of the row's set in `sets`.
        schema: Schema,
    },
    /// A join. `condition` is over the left's columns followed by the right's.
    Join {
        /// The left input.
        left: Box<LogicalPlan>,
        /// The right input.
        right: Box<LogicalPlan>,
        /// Which kind.
        kind: JoinKind,
        /// A BOOLEAN expression.
        condition: Expr,
        /// The `STATE_TTL` hint in milliseconds: left, right.
        state_ttl: [Option<i64>; 2],
        /// Left columns, then right ones (nullable where the kind makes them so); of a semi or anti
        /// join the left columns only.
        schema: Schema,
        /// Where the join stands.
        span: Span,
    },
    /// Functions over a window of rows: the input's columns, then one per call.
    Over {
        /// The input.
        input: Box<LogicalPlan>,
        /// `PARTITION BY`
        partition_by: Vec<Expr>,
        /// `ORDER BY`
        order_by: Vec<SortKey>,
        /// The calls, all over the same window.
        calls: Vec<OverCall>,
        /// Input columns, then the calls'.
        schema: Schema,
        /// Where the first call stands.
        span: Span,
    },
    /// `ORDER BY`, `LIMIT`, `OFFSET`, `FETCH FIRST`: the rows in this order, from `offset` on, at
    /// most `limit` of them. Without keys: any rows of this number, in the order they come.
    Sort {
        /// What is sorted.
        input: Box<LogicalPlan>,
        /// The order, over the input's columns.
        keys: Vec<SortKey>,
        /// Rows left out at the front.
        offset: u64,
        /// Rows kept behind those; `None`: all.
        limit: Option<u64>,
        /// Where the first of the clauses stands.
        span: Span,
    },
    /// A join with a table as it was at a time of the left row.
    TemporalJoin(TemporalJoin),
    /// Rows that say what they do, as changes.
    FromChangelog(FromChangelog),
    /// Changes as rows that say what they do.
    ToChangelog(ToChangelog),
    /// `MATCH_RECOGNIZE`
    Match(Box<MatchRecognize>),
}

/// How time is cut into windows. Lengths in milliseconds.
///
/// Source: Flink documentation, "Windowing table-valued functions".
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSpec {
    /// Which kind, with its lengths.
    pub kind: WindowKind,
    /// Shifts all windows.
    pub offset_millis: i64,
    /// The input's time column.
    pub time_column: usize,
    /// Event or processing time.
    pub time: TimeAttribute,
    /// Where the call stands.
    pub span: Span,
}

/// The kinds of windows.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowKind {
    /// Fixed windows that follow each other.
    Tumble {
        /// Length.
        size_millis: i64,
    },
    /// Fixed windows that overlap.
    Hop {
        /// From one start to the next.
        slide_millis: i64,
        /// Length.
        size_millis: i64,
    },
    /// Windows with the same start that grow by a step up to a size.
    Cumulate {
        /// By how much each is longer than the one before.
        step_millis: i64,
        /// The length of the longest.
        size_millis: i64,
    },
    /// Windows that end when nothing has come for a while.
    Session {
        /// The while.
        gap_millis: i64,
        /// Input columns: sessions of their own for each value.
        partition_by: Vec<usize>,
    },
}

/// The kinds of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// `JOIN`
    Inner,
    /// `LEFT JOIN`
    Left,
    /// `RIGHT JOIN`
    Right,
    /// `FULL JOIN`
    Full,
    /// `EXISTS`, `IN`
    Semi,
    /// `NOT EXISTS`, `NOT IN`
    Anti,
}

/// `ORDER BY expr ASC NULLS FIRST`
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is compared.
    pub expr: Expr,
    /// `DESC`
    pub descending: bool,
    /// NULLs before all values. Flink's default: NULL is the smallest value.
    pub nulls_first: bool,
}

/// What is computed over a window of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum OverFunction {
    /// `ROW_NUMBER()`
    RowNumber,
    /// `RANK()`
    Rank,
    /// `DENSE_RANK()`
    DenseRank,
    /// `NTILE(n)`: in which of n parts of the partition's rows a row is.
    Ntile(u64),
    /// `PERCENT_RANK()`
    PercentRank,
    /// `CUME_DIST()`
    CumeDist,
    /// `LAG(value, offset, default)`; with a negative offset `LEAD`.
    Lag(OverOffset),
    /// `LEAD(value, offset, default)`; with a negative offset `LAG`.
    Lead(OverOffset),
    /// An aggregate of the frame, `FIRST_VALUE` and `LAST_VALUE` among them.
    Aggregate(AggregateCall),
}

/// What `LAG` and `LEAD` look for.
#[derive(Debug, Clone, PartialEq)]
pub struct OverOffset {
    /// What is taken from the other row.
    pub value: Expr,
    /// How many rows away it is; 0 is the row itself.
    pub offset: i64,
    /// What stands where there is no such row, over the row at hand; `None`: NULL. Of the value's
    /// type.
    pub default: Option<Expr>,
}

/// A call with `OVER (…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct OverCall {
    /// The function.
    pub function: OverFunction,
    /// The rows of the partition that an aggregate sees. Other functions see them all.
    pub frame: Frame,
    /// Where the call stands.
    pub span: Span,
}

/// `ROWS BETWEEN 2 PRECEDING AND CURRENT ROW`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// `ROWS`: bounds count rows. Else `RANGE`: they are distances of the order's only key, and
    /// the current row stands for all that are equal to it.
    pub rows: bool,
    /// The first row.
    pub start: Bound,
    /// The last row.
    pub end: Bound,
}

/// Where a frame begins or ends. Distances are rows, milliseconds of a time, or values of a
/// whole number's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `UNBOUNDED PRECEDING`
    UnboundedPreceding,
    /// `n PRECEDING`
    Preceding(i64),
    /// `CURRENT ROW`
    CurrentRow,
    /// `n FOLLOWING`
    Following(i64),
    /// `UNBOUNDED FOLLOWING`
    UnboundedFollowing,
}

impl Frame {
    /// The frame of a window with an order that has none of its own: all rows up to the current
    /// one and its equals.
    pub const UP_TO_CURRENT: Frame =
        Frame { rows: false, start: Bound::UnboundedPreceding, end: Bound::CurrentRow };
    /// The frame of a window without an order: all rows.
    pub const WHOLE_PARTITION: Frame =
        Frame { rows: false, start: Bound::UnboundedPreceding, end: Bound::UnboundedFollowing };
}

impl OverCall {
    /// The expressions that the call reads, to be changed in place.
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.function {
            OverFunction::Aggregate(call) => call.args.iter_mut().chain(call.filter.as_mut()).collect(),
            OverFunction::Lag(of) | OverFunction::Lead(of) => {
                std::iter::once(&mut of.value).chain(of.default.as_mut()).collect()
            }
            _ => Vec::new(),
        }
    }
    /// The expressions that the call reads.
    pub fn exprs(&self) -> Vec<&Expr> {
        match &self.function {
            OverFunction::Aggregate(call) => call.args.iter().chain(call.filter.as_ref()).collect(),
            OverFunction::Lag(of) | OverFunction::Lead(of) => {
                std::iter::once(&of.value).chain(of.default.as_ref()).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl LogicalPlan {
    /// The expressions of this node, not of its inputs; of a pattern none, it names its own columns
    /// only.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Union { .. } | LogicalPlan::Window { .. } => Vec::new(),
            LogicalPlan::Values { rows, .. } => rows.iter().flatten().collect(),
            LogicalPlan::Project { exprs, .. } => exprs.iter().collect(),
            LogicalPlan::Filter { predicate, .. } => vec![predicate],
            LogicalPlan::Unnest { collection, .. } => vec![collection],
            LogicalPlan::Aggregate { keys, calls, .. } => {
                let read = calls.iter().flat_map(|it| it.args.iter().chain(&it.filter));
                keys.iter().chain(read).collect()
            }
            LogicalPlan::Join { condition, .. } => vec![condition],
            LogicalPlan::Over { partition_by, order_by, calls, .. } => {
                let sorts = order_by.iter().map(|it| &it.expr);
                let read = calls.iter().flat_map(OverCall::exprs);
                partition_by.iter().chain(sorts).chain(read).collect()
            }
            LogicalPlan::Sort { keys, .. } => keys.iter().map(|it| &it.expr).collect(),
            LogicalPlan::TemporalJoin(join) => vec![&join.condition, &join.time],
            LogicalPlan::FromChangelog(_) | LogicalPlan::ToChangelog(_) | LogicalPlan::Match(_) => Vec::new(),
        }
    }
    /// The output's columns.
    pub fn schema(&self) -> Schema {
        match self {
            LogicalPlan::Scan { table, watermark, .. } => {
                let mut schema = table.schema();
                let time = watermark.as_ref().and_then(|it| it.read_column);
                if let Some(field) = time.and_then(|at| schema.fields.get_mut(at)) {
                    field.time = Some(TimeAttribute::Rowtime);
                }
                schema
            }
            LogicalPlan::Values { schema, .. }
            | LogicalPlan::Project { schema, .. }
            | LogicalPlan::Union { schema, .. }
            | LogicalPlan::Unnest { schema, .. }
            | LogicalPlan::Window { schema, .. }
            | LogicalPlan::Aggregate { schema, .. }
            | LogicalPlan::Join { schema, .. }
            | LogicalPlan::Over { schema, .. } => schema.clone(),
            LogicalPlan::TemporalJoin(join) => join.schema.clone(),
            LogicalPlan::FromChangelog(it) => it.schema.clone(),
            LogicalPlan::ToChangelog(it) => it.schema.clone(),
            LogicalPlan::Match(it) => it.schema.clone(),
            LogicalPlan::Filter { input, .. } | LogicalPlan::Sort { input, .. } => input.schema(),
        }
    }
    /// Direct inputs.
    pub fn inputs(&self) -> Vec<&LogicalPlan> {
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Values { .. } => Vec::new(),
            LogicalPlan::Project { input, .. }
            | LogicalPlan::Filter { input, .. }
            | LogicalPlan::Unnest { input, .. }
            | LogicalPlan::Window { input, .. }
            | LogicalPlan::Aggregate { input, .. }
            | LogicalPlan::Over { input, .. }
            | LogicalPlan::Sort { input, .. } => vec![input],
            LogicalPlan::Join { left, right, .. } => vec![left, right],
            LogicalPlan::TemporalJoin(TemporalJoin { left, right, .. }) => vec![left, right],
            LogicalPlan::FromChangelog(FromChangelog { input, .. })
            | LogicalPlan::ToChangelog(ToChangelog { input, .. }) => vec![input],
            LogicalPlan::Match(it) => vec![&it.input],
            LogicalPlan::Union { inputs, .. } => inputs.iter().collect(),
        }
    }
    /// Direct inputs, to be changed in place.
    pub fn inputs_mut(&mut self) -> Vec<&mut LogicalPlan> {
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Values { .. } => Vec::new(),
            LogicalPlan::Project { input, .. }
            | LogicalPlan::Filter { input, .. }
            | LogicalPlan::Unnest { input, .. }
            | LogicalPlan::Window { input, .. }
            | LogicalPlan::Aggregate { input, .. }
            | LogicalPlan::Over { input, .. }
            | LogicalPlan::Sort { input, .. } => vec![input],
            LogicalPlan::Join { left, right, .. } => vec![left, right],
            LogicalPlan::TemporalJoin(TemporalJoin { left, right, .. }) => vec![left, right],
            LogicalPlan::FromChangelog(FromChangelog { input, .. })
            | LogicalPlan::ToChangelog(ToChangelog { input, .. }) => vec![input],
            LogicalPlan::Match(it) => vec![&mut it.input],
            LogicalPlan::Union { inputs, .. } => inputs.iter_mut().collect(),
        }
    }
}

/// `INSERT INTO`: the plan's columns are exactly `sink.columns` (writable ones, in declared
/// order), cast to their types; columns not named in the statement are NULL literals.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table written: physical and writable metadata columns.
    pub sink: TableDescription,
    /// The rows.
    pub plan: LogicalPlan,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// `ON CONFLICT DO …`
    pub on_conflict: Option<OnConflict>,
    /// Where the statement names the sink.
    pub span: Span,
}

/// One node a line, inputs below and indented; every expression with its column's type.
///
/// ```text
/// Project `x` INT = a + 1, `b` STRING = b
///   Filter a > 1
///     Scan t (`a` INT, `b` STRING)
/// ```
impl fmt::Display for LogicalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowKind::Tumble { size_millis } => write!(f, "TUMBLE {size_millis} ms"),
            WindowKind::Hop { slide_millis, size_millis } => {
                write!(f, "HOP {slide_millis} ms, {size_millis} ms")
            }
            WindowKind::Cumulate { step_millis, size_millis } => {
                write!(f, "CUMULATE {step_millis} ms, {size_millis} ms")
            }
            WindowKind::Session { gap_millis, partition_by } => {
                write!(f, "SESSION {gap_millis} ms by {partition_by:?}")
            }
        }
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match self.nulls_first == self.descending {
            false => "",
            true if self.nulls_first => " NULLS FIRST",
            true => " NULLS LAST",
        };
        write!(f, "{}{direction}{nulls}", self.expr)
    }
}

impl fmt::Display for OverCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            OverFunction::RowNumber => f.write_str("ROW_NUMBER()")?,
            OverFunction::Rank => f.write_str("RANK()")?,
            OverFunction::DenseRank => f.write_str("DENSE_RANK()")?,
            OverFunction::Ntile(parts) => write!(f, "NTILE({parts})")?,
            OverFunction::PercentRank => f.write_str("PERCENT_RANK()")?,
            OverFunction::CumeDist => f.write_str("CUME_DIST()")?,
            OverFunction::Lag(of) => write!(f, "LAG({of})")?,
            OverFunction::Lead(of) => write!(f, "LEAD({of})")?,
            OverFunction::Aggregate(call) => write!(f, "{call}")?,
        }
        match &self.function {
            OverFunction::Aggregate(_) if self.frame != Frame::UP_TO_CURRENT => write!(f, " {}", self.frame),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for OverOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.value, self.offset)?;
        self.default.iter().try_for_each(|it| write!(f, ", {it}"))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.rows { "ROWS" } else { "RANGE" };
        write!(f, "{unit} BETWEEN {} AND {}", self.start, self.end)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::UnboundedPreceding => f.write_str("UNBOUNDED PRECEDING"),
            Bound::Preceding(distance) => write!(f, "{distance} PRECEDING"),
            Bound::CurrentRow => f.write_str("CURRENT ROW"),
            Bound::Following(distance) => write!(f, "{distance} FOLLOWING"),
            Bound::UnboundedFollowing => f.write_str("UNBOUNDED FOLLOWING"),
        }
    }
}

impl LogicalPlan {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if depth > 0 {
            writeln!(f)?;
        }
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        match self {
            LogicalPlan::Scan { table, .. } => write!(f, "Scan {} ({})", table.name, table.schema())?,
            LogicalPlan::Values { rows, schema } => {
                write!(f, "Values ({schema}):")?;
                for (at, row) in rows.iter().enumerate() {
                    let row: Vec<String> = row.iter().map(ToString::to_string).collect();
                    write!(f, "{} ({})", if at > 0 { "," } else { "" }, row.join(", "))?;
                }
            }
            LogicalPlan::Project { exprs, schema, .. } => {
                write!(f, "Project")?;
                for (at, (expr, field)) in exprs.iter().zip(&schema.fields).enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma} {} {} = {expr}", quote_identifier(&field.name), field.data_type)?;
                }
            }
            LogicalPlan::Filter { predicate, .. } => write!(f, "Filter {predicate}")?,
            LogicalPlan::Union { schema, .. } => write!(f, "Union ({schema})")?,
            LogicalPlan::Window { window, schema, .. } => {
                let name = schema.fields.get(window.time_column).map_or("", |it| it.name.as_str());
                write!(f, "Window {} on {} ({:?})", window.kind, quote_identifier(name), window.time)?;
                if window.offset_millis != 0 {
                    write!(f, " offset {} ms", window.offset_millis)?;
                }
            }
            LogicalPlan::Aggregate { keys, sets, calls, schema, .. } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
                write!(f, "Aggregate [{}] {}", keys.join(", "), calls.join(", "))?;
                if sets.len() > 1 {
                    write!(f, " sets {sets:?}")?;
                }
                write!(f, " ({schema})")?;
            }
            LogicalPlan::Join { kind, condition, .. } => write!(f, "Join {kind:?} {condition}")?,
            LogicalPlan::Over { partition_by, order_by, calls, .. } => {
                let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
                let keys: Vec<String> = partition_by.iter().map(ToString::to_string).collect();
                let order: Vec<String> = order_by.iter().map(ToString::to_string).collect();
                write!(f, "Over {} [{}] order by {}", calls.join(", "), keys.join(", "), order.join(", "))?;
            }
            LogicalPlan::Sort { keys, offset, limit, .. } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "Sort [{}]", keys.join(", "))?;
                if *offset > 0 {
                    write!(f, " offset {offset}")?;
                }
                limit.iter().try_for_each(|limit| write!(f, " limit {limit}"))?;
            }
            LogicalPlan::TemporalJoin(join) => {
                write!(f, "TemporalJoin {:?} {} as of {}", join.kind, join.condition, join.time)?;
            }
            LogicalPlan::FromChangelog(it) => {
                let mapping: Vec<String> =
                    it.mapping.iter().map(|(text, op)| format!("{text} = {}", op.name())).collect();
                write!(f, "FromChangelog #{} {} ({})", it.op_column, mapping.join(", "), it.schema)?;
            }
            LogicalPlan::ToChangelog(it) => {
                let mapping: Vec<String> =
                    it.mapping.iter().map(|(op, text)| format!("{} = {text}", op.name())).collect();
                write!(f, "ToChangelog {} ({})", mapping.join(", "), it.schema)?;
            }
            LogicalPlan::Match(it) => write!(f, "{it}")?,
            LogicalPlan::Unnest { input, collection, outer, ordinality, schema } => {
                let outer = if *outer { " outer" } else { "" };
                let ordinality = if *ordinality { " with ordinality" } else { "" };
                let added = schema.fields.get(input.schema().len()..).unwrap_or_default();
                let added = Schema::new(added.to_vec());
                write!(f, "Unnest{outer} {collection}{ordinality} ({added})")?;
            }
        }
        self.inputs().into_iter().try_for_each(|input| input.write(f, depth + 1))
    }
}
