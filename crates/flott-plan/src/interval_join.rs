//! Which joins are bounded in time.
//!
//! ```text
//!   a.ts BETWEEN b.ts - INTERVAL '10' SECOND AND b.ts        a.ts - b.ts from -10 s to 0
//!        └ time ┘        └ time ┘                            every conjunct narrows one end
//! ```
//! A column counts as a time if the watermark says that no row with an earlier one comes any more: a time
//! attribute, and a window's start or end where the windows are complete when they come. So a join of
//! rows with the result of a window keeps the rows of that window only, which Flink keeps for ever. A
//! condition that bounds one end only (`b.ts >= a.ts`) bounds one side's state: what is not to meet
//! older rows of the other side needs no memory once time has passed it.
//!
//! Source: Flink documentation, "Interval Joins"; `IntervalJoinUtil`.

use flott_expr::{Expr, ExprKind, Value};
use flott_sql::{LogicalPlan, WindowKind};
use flott_types::{IntervalUnit, Schema, TimeAttribute, TypeKind};

use crate::{
    nodes::JoinTime,
    window_columns::{WindowColumns, window_columns},
};

/// A side of the join.
pub struct Side {
    schema: Schema,
    /// Windows that are complete when their rows come.
    windows: Option<WindowColumns>,
}

impl Side {
    /// Of this query.
    pub fn of(plan: &LogicalPlan) -> Self {
        let windows = window_columns(plan).filter(|it| {
            // Local times of a zone would have to be moved to the watermark's.
            comes_complete(plan) && it.time == TimeAttribute::Rowtime && !it.local_time
        });
        Self { schema: plan.schema(), windows }
    }

    /// How a column is bounded.
    fn time(&self, column: usize) -> Option<(TimeAttribute, i64)> {
        if let Some(time) = self.schema.fields.get(column)?.time {
            return Some((time, 0));
        }
        let windows = self.windows.as_ref()?;
        let ahead = match windows.kind {
            // The window with end e comes when the watermark is at e - 1 or later.
            _ if windows.ends.contains(&column) => 1,
            WindowKind::Tumble { size_millis } | WindowKind::Hop { size_millis, .. }
                if windows.starts.contains(&column) =>
            {
                1_i64.saturating_sub(size_millis)
            }
            _ => return None,
        };
        Some((TimeAttribute::Rowtime, ahead))
    }
}

/// Whether rows come when their window is complete: they are results of an aggregation of it, picked and
/// put in another order at most.
fn comes_complete(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Project { input, .. } | LogicalPlan::Filter { input, .. } => comes_complete(input),
        LogicalPlan::Aggregate { input, .. } => window_columns(input).is_some(),
        LogicalPlan::Union { inputs, .. } => inputs.iter().all(comes_complete),
        _ => false,
    }
}

/// How the times of a pair lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The left's and the right's time.
    pub times: [JoinTime; 2],
    /// Event or processing time.
    pub time: TimeAttribute,
    /// Left less right, at least.
    pub lower_millis: Option<i64>,
    /// Left less right, at most.
    pub upper_millis: Option<i64>,
}

impl Interval {
    /// Whether rows of both sides are dropped in time, so that pairs come out about in order of it.
    pub fn is_bounded(&self) -> bool {
        self.lower_millis.is_some() && self.upper_millis.is_some()
    }
}

/// One conjunct: left time less right time is at least, or at most, so much.
struct Bound {
    columns: [usize; 2],
    lower: Option<i64>,
    upper: Option<i64>,
}

/// The interval that the conditions put the times in, and the conditions that are left.
pub fn interval(conditions: &[Expr], sides: &[Side; 2]) -> Option<(Interval, Vec<Expr>)> {
    let bounds: Vec<Option<Bound>> = conditions.iter().map(|it| bound(it, sides)).collect();
    let ends = |columns: [usize; 2]| {
        let of = || bounds.iter().flatten().filter(move |it| it.columns == columns);
        (of().filter_map(|it| it.lower).max(), of().filter_map(|it| it.upper).min())
    };
    // Best a pair of columns that is bounded from both ends.
    let found = bounds.iter().flatten().map(|it| (it.columns, ends(it.columns)));
    let (columns, (lower_millis, upper_millis)) =
        found.max_by_key(|(_, (lower, upper))| lower.is_some() && upper.is_some())?;
    let [left, right] = sides;
    let ((time, ahead_left), (other, ahead_right)) = (left.time(columns[0])?, right.time(columns[1])?);
    if time != other {
        return None;
    }
    let rest = conditions
        .iter()
        .zip(&bounds)
        .filter(|(_, bound)| bound.as_ref().is_none_or(|bound| bound.columns != columns));
    let found = Interval {
        times: [
            JoinTime { column: columns[0], ahead_millis: ahead_left },
            JoinTime { column: columns[1], ahead_millis: ahead_right },
        ],
        time,
        lower_millis,
        upper_millis,
    };
    Some((found, rest.map(|(condition, _)| condition.clone()).collect()))
}

fn bound(condition: &Expr, sides: &[Side; 2]) -> Option<Bound> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [first, second] = args.as_slice() else { return None };
    let (a, b) = (shifted(first)?, shifted(second)?);
    let width = sides[0].schema.len();
    // left + l (sign) right + r   is   left - right (sign) r - l
    let (left, right, turned) = match (a.0 < width, b.0 < width) {
        (true, false) => (a, b, false),
        (false, true) => (b, a, true),
        _ => return None,
    };
    let columns = [left.0, right.0 - width];
    let [(time, _), (other, _)] = [sides[0].time(columns[0])?, sides[1].time(columns[1])?];
    if time != other {
        return None;
    }
    let distance = right.1.checked_sub(left.1)?;
    let (lower, upper) = match (function.name, turned) {
        ("=", _) => (Some(distance), Some(distance)),
        (">=", false) | ("<=", true) => (Some(distance), None),
        ("<=", false) | (">=", true) => (None, Some(distance)),
        (">", false) | ("<", true) => (Some(distance.checked_add(1)?), None),
        ("<", false) | (">", true) => (None, Some(distance.checked_sub(1)?)),
        _ => return None,
    };
    Some(Bound { columns, lower, upper })
}

/// A column of milliseconds, and how many are added to it.
fn shifted(expr: &Expr) -> Option<(usize, i64)> {
    match &expr.kind {
        ExprKind::Column { index, .. } => match expr.data_type.kind {
            TypeKind::Timestamp(0..=3) | TypeKind::TimestampLtz(0..=3) => Some((*index, 0)),
            _ => None,
        },
        // To a finer unit only: nothing is cut off.
        ExprKind::Cast { input, .. } => match (&input.data_type.kind, &expr.data_type.kind) {
            (TypeKind::Timestamp(from), TypeKind::Timestamp(to))
            | (TypeKind::TimestampLtz(from), TypeKind::TimestampLtz(to))
                if to >= from =>
            {
                shifted(input)
            }
            _ => None,
        },
        ExprKind::Call { function, args } => {
            let [a, b] = args.as_slice() else { return None };
            match (function.name, millis(a), millis(b)) {
                ("+", None, Some(more)) => {
                    shifted(a).and_then(|(column, by)| Some((column, by.checked_add(more)?)))
                }
                ("+", Some(more), None) => {
                    shifted(b).and_then(|(column, by)| Some((column, by.checked_add(more)?)))
                }
                ("-", None, Some(less)) => {
                    shifted(a).and_then(|(column, by)| Some((column, by.checked_sub(less)?)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A constant number of milliseconds.
fn millis(expr: &Expr) -> Option<i64> {
    match (&expr.kind, &expr.data_type.kind) {
        (ExprKind::Literal(Value::Interval(millis)), TypeKind::Interval(IntervalUnit::Milliseconds)) => {
            Some(*millis)
        }
        _ => None,
    }
}
