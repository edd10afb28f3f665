//! Joins: those of rows in the same window, and the way to the others.
//!
//! ```text
//!   Join l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k AND l.x < r.y
//!        └─────────── the window ──────────────────────────────────┘   └ key ────┘   └ condition ┘
//! ```
//!
//! Source: Flink documentation, "Window Join".

use flott_expr::{Expr, ExprKind, Value};
use flott_sql::{JoinKind, LogicalPlan};
use flott_types::{Code, Diagnostic, Result, Schema, Span, TimeAttribute};

use crate::{
    OperatorNode, WindowJoin, WindowProperty, Windows,
    flatten::Flatten,
    graph::Branch,
    join_sides::{Conjuncts, of_both_sides},
    rewrite::remap,
    simplify::and,
    window_columns::{WindowColumns, window_columns},
};

/// A condition, taken apart.
#[derive(Default)]
struct Parts {
    starts_equal: bool,
    ends_equal: bool,
    others: Conjuncts,
}

/// A join, as a query asks for it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its left input.
    pub left: &'a LogicalPlan,
    /// Its right input.
    pub right: &'a LogicalPlan,
    /// Which kind.
    pub kind: JoinKind,
    /// For how long each side is to be kept, if a hint says so.
    pub state_ttl: [Option<i64>; 2],
    /// What it gives.
    pub schema: &'a Schema,
    /// Where it stands.
    pub span: Span,
}

/// Whether the conditions make rows of the same window pairs.
pub fn sides_of(conditions: &[Expr], width: usize, windows: (&WindowColumns, &WindowColumns)) -> bool {
    let mut parts = Parts::default();
    conditions.iter().for_each(|it| parts.take_apart(it.clone(), width, windows));
    parts.starts_equal && parts.ends_equal
}

impl Flatten {
    /// The branches of a join.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn join(&mut self, asked: &Asked<'_>, conditions: Vec<Expr>) -> Result<Vec<Branch>> {
        let Asked { left, right, kind, span, .. } = *asked;
        let width = left.schema().len();
        let windows = window_columns(left).zip(window_columns(right));
        let windows = windows.filter(|(left, right)| sides_of(&conditions, width, (left, right)));
        let Some((left_windows, right_windows)) = windows else {
            return self.general_join(asked, conditions);
        };
        let mut parts = Parts::default();
        for condition in conditions {
            parts.take_apart(condition, width, (&left_windows, &right_windows));
        }
        check(&left_windows, &right_windows, span)?;
        let sides = self.sides(asked, parts.others)?;
        let node = OperatorNode::WindowJoin(WindowJoin {
            left_windows: attached(&left_windows),
            right_windows: attached(&right_windows),
            keys: sides.keys.clone(),
            condition: sides.condition.clone(),
            kind,
        });
        Ok(self.joined(node, sides))
    }
}

impl Parts {
    fn take_apart(&mut self, condition: Expr, width: usize, windows: (&WindowColumns, &WindowColumns)) {
        match condition.kind {
            ExprKind::Call { function, args } if function.name == "AND" => {
                args.into_iter().for_each(|arg| self.take_apart(arg, width, windows));
            }
            ExprKind::Literal(Value::Boolean(true)) => {}
            _ => self.add(condition, width, windows),
        }
    }

    fn add(&mut self, condition: Expr, width: usize, (left, right): (&WindowColumns, &WindowColumns)) {
        if let Some((l, r)) = equality(&condition, width) {
            match (left.property_of(&l), right.property_of(&r)) {
                (Some(WindowProperty::Start), Some(WindowProperty::Start)) => self.starts_equal = true,
                (Some(WindowProperty::End), Some(WindowProperty::End)) => self.ends_equal = true,
                _ => self.others.keys.push((l, r)),
            }
            return;
        }
        self.others.add(condition, width);
    }
}

/// `left = right` with one side's columns on each side.
fn equality(condition: &Expr, width: usize) -> Option<(Expr, Expr)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let ([a, b], "=") = (args.as_slice(), function.name) else { return None };
    if !a.data_type.same_kind(&b.data_type) {
        return None;
    }
    of_both_sides(a, b, width)
}

/// All of the conditions, as one.
pub fn all(conditions: impl Iterator<Item = Expr>) -> Result<Option<Expr>> {
    let mut together = None;
    for condition in conditions {
        together = match together {
            None => Some(condition),
            Some(before) => Some(
                and(before, condition)
                    .ok_or_else(|| Diagnostic::error(Code::Internal, "there is no function AND"))?,
            ),
        };
    }
    Ok(together)
}

pub fn from_right(mut expr: Expr, width: usize) -> Expr {
    remap(&mut expr, &|column| column.saturating_sub(width));
    expr
}

/// Rows say their window by their start and end.
pub fn attached(windows: &WindowColumns) -> Windows {
    Windows::Attached {
        start: windows.starts.first().copied().unwrap_or_default(),
        end: windows.ends.first().copied().unwrap_or_default(),
        time: windows.time,
        local_time: windows.local_time,
    }
}

fn check(left: &WindowColumns, right: &WindowColumns, span: Span) -> Result<()> {
    if !left.same_windows(right) {
        return Err(Diagnostic::not_supported("joins of different windows")
            .at(span)
            .help("both sides need the same window function with the same lengths"));
    }
    if left.time == TimeAttribute::Proctime {
        return Err(Diagnostic::not_supported("window joins on processing time")
            .at(span)
            .help("declare a WATERMARK and join windows of event time"));
    }
    Ok(())
}
