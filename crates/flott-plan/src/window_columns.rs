//! Which columns of a query tell the window that a row belongs to.
//!
//! ```text
//!   Window TUMBLE(…)      x, window_start, window_end, window_time      starts [1] ends [2] times [3]
//!   Project               window_end AS e, x                            starts []  ends [0] times []
//! ```
//!
//! Columns keep the property through plain references, filters, aggregations that group by start and
//! end, and joins of the same window; any computation loses it.
//!
//! Source: Flink documentation, "Windowing table-valued functions", "Window Aggregation".

use flott_expr::{Expr, ExprKind};
use flott_sql::{JoinKind, LogicalPlan, WindowKind, WindowSpec};
use flott_types::{DataType, TimeAttribute, TypeKind};

use crate::WindowProperty;

/// What is known of a query's window columns.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowColumns {
    /// The windows; a session's keys left out.
    pub kind: WindowKind,
    /// Shifts all windows.
    pub offset_millis: i64,
    /// Event or processing time.
    pub time: TimeAttribute,
    /// Start and end are local times of the session's time zone.
    pub local_time: bool,
    /// The type of `window_time`.
    pub time_type: DataType,
    /// Columns that are the window's start.
    pub starts: Vec<usize>,
    /// Columns that are its end.
    pub ends: Vec<usize>,
    /// Columns that are its time.
    pub times: Vec<usize>,
}

impl WindowColumns {
    fn of_spec(window: &WindowSpec, width: usize, time_type: &DataType) -> Self {
        let kind = match &window.kind {
            WindowKind::Session { gap_millis, .. } => {
                WindowKind::Session { gap_millis: *gap_millis, partition_by: Vec::new() }
            }
            other => other.clone(),
        };
        Self {
            kind,
            offset_millis: window.offset_millis,
            time: window.time,
            local_time: is_local(time_type),
            time_type: time_type.clone(),
            starts: vec![width],
            ends: vec![width + 1],
            times: vec![width + 2],
        }
    }
    /// Whether both are cut into the same windows.
    pub fn same_windows(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.offset_millis == other.offset_millis
            && self.time == other.time
            && self.local_time == other.local_time
    }
    /// What the column is, if it tells the window.
    pub fn property(&self, column: usize) -> Option<WindowProperty> {
        if self.starts.contains(&column) {
            Some(WindowProperty::Start)
        } else if self.ends.contains(&column) {
            Some(WindowProperty::End)
        } else if self.times.contains(&column) {
            Some(WindowProperty::Time)
        } else {
            None
        }
    }
    /// The property of a plain reference to a window's column.
    pub fn property_of(&self, expr: &Expr) -> Option<WindowProperty> {
        self.property(plain(expr)?)
    }
    /// The same windows with the columns moved; those that move nowhere are gone.
    fn moved(mut self, to: impl Fn(usize) -> Vec<usize>) -> Self {
        for columns in [&mut self.starts, &mut self.ends, &mut self.times] {
            *columns = columns.iter().flat_map(|&column| to(column)).collect();
            columns.sort_unstable();
        }
        self
    }
}

/// Whether windows over a column of this type follow the session's time zone.
pub fn is_local(time_type: &DataType) -> bool {
    matches!(time_type.kind, TypeKind::TimestampLtz(_))
}

/// The column that the expression is.
pub fn plain(expr: &Expr) -> Option<usize> {
    match expr.kind {
        ExprKind::Column { index, .. } => Some(index),
        _ => None,
    }
}

/// The window columns of a query's output.
pub fn window_columns(plan: &LogicalPlan) -> Option<WindowColumns> {
    match plan {
        LogicalPlan::Scan { .. }
        | LogicalPlan::Values { .. }
        | LogicalPlan::FromChangelog(_)
        | LogicalPlan::ToChangelog(_)
        | LogicalPlan::Match(_) => None,
        // The left's columns come first.
        LogicalPlan::TemporalJoin(join) => window_columns(&join.left),
        LogicalPlan::Filter { input, .. }
        | LogicalPlan::Unnest { input, .. }
        | LogicalPlan::Over { input, .. }
        | LogicalPlan::Sort { input, .. } => window_columns(input),
        LogicalPlan::Project { input, exprs, .. } => {
            let positions = |column: usize| {
                let same = exprs.iter().enumerate().filter(move |(_, expr)| plain(expr) == Some(column));
                same.map(|(at, _)| at).collect()
            };
            Some(window_columns(input)?.moved(positions))
        }
        LogicalPlan::Union { inputs, .. } => {
            let mut all = inputs.iter().map(window_columns);
            let mut common = all.next()??;
            for other in all {
                let other = other.filter(|it| it.same_windows(&common))?;
                common.starts.retain(|column| other.starts.contains(column));
                common.ends.retain(|column| other.ends.contains(column));
                common.times.retain(|column| other.times.contains(column));
            }
            Some(common)
        }
        LogicalPlan::Window { input, window, schema } => {
            let width = input.schema().len();
            let time_type = &schema.fields.get(width + 2)?.data_type;
            Some(WindowColumns::of_spec(window, width, time_type))
        }
        LogicalPlan::Aggregate { input, keys, .. } => {
            let columns = window_columns(input)?;
            groups_windows(keys, &columns).then(|| {
                columns.moved(|column| {
                    let same = keys.iter().enumerate().filter(|(_, key)| plain(key) == Some(column));
                    same.map(|(at, _)| at).collect()
                })
            })
        }
        LogicalPlan::Join { left, right, kind, .. } => {
            let width = left.schema().len();
            let (left, right) = (window_columns(left)?, window_columns(right)?);
            let shifted = |it: WindowColumns| it.moved(|column| vec![column + width]);
            match kind {
                JoinKind::Left | JoinKind::Semi | JoinKind::Anti => Some(left),
                JoinKind::Right => Some(shifted(right)),
                JoinKind::Full => None,
                JoinKind::Inner if left.same_windows(&right) => {
                    let (mut both, right) = (left, shifted(right));
                    both.starts.extend(right.starts);
                    both.ends.extend(right.ends);
                    both.times.extend(right.times);
                    Some(both)
                }
                JoinKind::Inner => None,
            }
        }
    }
}

/// Whether the keys include a window's start and end.
pub fn groups_windows(keys: &[Expr], columns: &WindowColumns) -> bool {
    let has = |property| keys.iter().any(|key| columns.property_of(key) == Some(property));
    has(WindowProperty::Start) && has(WindowProperty::End)
}
