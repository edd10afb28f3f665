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
    OperatorNode, Step, WindowJoin, WindowProperty, Windows,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    rewrite::remap,
    simplify::and,
    window_columns::{WindowColumns, window_columns},
};

/// A condition, taken apart. Right columns are counted from the right side's first.
#[derive(Default)]
struct Parts {
    starts_equal: bool,
    ends_equal: bool,
    keys: Vec<(Expr, Expr)>,
    left_only: Vec<Expr>,
    right_only: Vec<Expr>,
    /// Over the left's columns followed by the right's.
    rest: Vec<Expr>,
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
        let Asked { left, right, kind, schema, span, .. } = *asked;
        let (left_schema, right_schema) = (left.schema(), right.schema());
        let width = left_schema.len();
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
        let (mut on_left, mut on_right) = (Vec::new(), Vec::new());
        // What one side alone decides is decided before the join, where no row is lost that an outer
        // join keeps.
        for predicate in std::mem::take(&mut parts.left_only) {
            match kind {
                JoinKind::Inner | JoinKind::Right | JoinKind::Semi => {
                    on_left.push(predicate);
                }
                JoinKind::Left | JoinKind::Full | JoinKind::Anti => parts.rest.push(predicate),
            }
        }
        for mut predicate in std::mem::take(&mut parts.right_only) {
            if kind == JoinKind::Right || kind == JoinKind::Full {
                remap(&mut predicate, &|column| column + width);
                parts.rest.push(predicate);
            } else {
                on_right.push(predicate);
            }
        }
        let left_branches = self.branches(&filtered(left, on_left))?;
        let right_branches = self.branches(&filtered(right, on_right))?;
        let (mut lefts, mut rights) = (Columns::of(&left_schema), Columns::of(&right_schema));
        let keys = parts.keys.iter().map(|(l, r)| (lefts.add(l), rights.add(r))).collect();
        let added = lefts.exprs.len() - width;
        let over_both = |mut predicate: Expr| {
            remap(&mut predicate, &|column| if column < width { column } else { column + added });
            predicate
        };
        let node = OperatorNode::WindowJoin(WindowJoin {
            left_windows: attached(&left_windows),
            right_windows: attached(&right_windows),
            keys,
            condition: all(parts.rest.into_iter().map(over_both))?,
            kind,
        });
        let left_output = lefts.schema(matches!(kind, JoinKind::Right | JoinKind::Full));
        let right_output = rights.schema(matches!(kind, JoinKind::Left | JoinKind::Full));
        let one_sided = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let right_fields = if one_sided { Vec::new() } else { right_output.fields };
        let output = Schema::new(left_output.fields.into_iter().chain(right_fields).collect());
        let columns = columns_of(&output);
        let restored = (0..schema.len()).map(|at| if at < width { at } else { at + added });
        let exprs = restored.filter_map(|at| columns.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: schema.clone() };
        let inputs =
            vec![extended(left_branches, &[lefts.step()]), extended(right_branches, &[rights.step()])];
        let branch = self.operator(node, inputs, output);
        Ok(extended(vec![branch], &[restore]))
    }
}

/// The rows for which all of these are TRUE. A filter of the query, not a step behind it: what is below may
/// want to know (`WHERE rank <= 3`).
pub fn filtered(plan: &LogicalPlan, predicates: Vec<Expr>) -> LogicalPlan {
    let filter = |input, predicate| LogicalPlan::Filter { input: Box::new(input), predicate };
    predicates.into_iter().fold(plan.clone(), filter)
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
                _ => self.keys.push((l, r)),
            }
            return;
        }
        let columns = condition.columns();
        if !condition.is_deterministic() || columns.is_empty() {
            self.rest.push(condition);
        } else if columns.iter().all(|&column| column < width) {
            self.left_only.push(condition);
        } else if columns.iter().all(|&column| column >= width) {
            self.right_only.push(from_right(condition, width));
        } else {
            self.rest.push(condition);
        }
    }
}

/// `left = right` with one side's columns on each side.
fn equality(condition: &Expr, width: usize) -> Option<(Expr, Expr)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let ([a, b], "=") = (args.as_slice(), function.name) else { return None };
    let is_key = |expr: &Expr| expr.is_deterministic() && !expr.columns().is_empty();
    let is_left = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column < width);
    let is_right = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column >= width);
    if !a.data_type.same_kind(&b.data_type) {
        return None;
    }
    if is_left(a) && is_right(b) {
        Some((a.clone(), from_right(b.clone(), width)))
    } else if is_left(b) && is_right(a) {
        Some((b.clone(), from_right(a.clone(), width)))
    } else {
        None
    }
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
