//! Joins that aren't of windows: regular ones, and those bounded in time.
//!
//! ```text
//!   Join a.k = b.k AND a.x < b.y AND a.z > 1        Project [what the join is to give]
//!        └ key ──┘     └ condition ┘ └ filter ┘      └ RegularJoin keys [0 = 0] condition 1 < 3
//!                                                       ├ [Filter z > 1, Project k, x, …]  a
//!                                                       └ [Project k, y, …]                b
//! ```
//!
//! Source: Flink documentation, "Joins".

use flott_expr::{Expr, ExprKind, Value};
use flott_sql::{JoinKind, LogicalPlan};
use flott_types::{Code, Diagnostic, Result, TimeAttribute};

use crate::{
    IntervalJoin, OperatorNode, RegularJoin, Step,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    interval_join::{Interval, Side, interval},
    join::{Asked, all, filtered, from_right, sides_of},
    nodes::JoinOn,
    rewrite::remap,
    window_columns::window_columns,
};

/// Conditions, sorted by what becomes of them.
#[derive(Default)]
struct Parts {
    keys: Vec<(Expr, Expr)>,
    null_safe: Vec<bool>,
    left_only: Vec<Expr>,
    /// Over the right's columns.
    right_only: Vec<Expr>,
    /// Over the left's columns followed by the right's.
    rest: Vec<Expr>,
}

impl Flatten {
    /// The branches of a join that isn't one of windows.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn general_join(&mut self, asked: &Asked<'_>, conditions: Vec<Expr>) -> Result<Vec<Branch>> {
        let Asked { left, right, kind, schema, .. } = *asked;
        let (left_schema, right_schema) = (left.schema(), right.schema());
        let width = left_schema.len();
        let mut conjuncts = Vec::new();
        conditions.into_iter().for_each(|it| split(it, &mut conjuncts));
        let bounded = interval(&conjuncts, &[Side::of(left), Side::of(right)]);
        // Lone rows come out when time has passed them: where it never does, they would wait for ever.
        let bounded = bounded.filter(|(it, _)| match kind {
            JoinKind::Inner | JoinKind::Semi => true,
            JoinKind::Left | JoinKind::Anti => it.lower_millis.is_some(),
            JoinKind::Right => it.upper_millis.is_some(),
            JoinKind::Full => it.is_bounded(),
        });
        let (bounded, conjuncts) = match bounded {
            Some((interval, rest)) => (Some(interval), rest),
            None => (None, conjuncts),
        };
        let mut parts = Parts::default();
        conjuncts.into_iter().for_each(|it| parts.add(it, width));
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
            if matches!(kind, JoinKind::Right | JoinKind::Full) {
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
        let condition = all(parts.rest.into_iter().map(over_both))?;
        let on = JoinOn { kind, keys, null_safe: parts.null_safe, condition };
        let node = self.node(on, bounded, lefts.exprs.len(), asked);
        let left_output = lefts.schema(matches!(kind, JoinKind::Right | JoinKind::Full));
        let right_output = rights.schema(matches!(kind, JoinKind::Left | JoinKind::Full));
        let one_sided = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let right_fields = if one_sided { Vec::new() } else { right_output.fields };
        let output = flott_types::Schema::new(left_output.fields.into_iter().chain(right_fields).collect());
        let columns = columns_of(&output);
        let restored = (0..schema.len()).map(|at| if at < width { at } else { at + added });
        let exprs = restored.filter_map(|at| columns.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: schema.clone() };
        let inputs =
            vec![extended(left_branches, &[lefts.step()]), extended(right_branches, &[rights.step()])];
        let branch = self.operator(node, inputs, output);
        Ok(extended(vec![branch], &[restore]))
    }

    fn node(&self, on: JoinOn, bounded: Option<Interval>, width: usize, asked: &Asked<'_>) -> OperatorNode {
        let ttl_millis = asked.state_ttl.map(|hint| hint.or(self.state_ttl).filter(|it| *it > 0));
        match bounded {
            Some(it) => OperatorNode::IntervalJoin(IntervalJoin {
                on,
                width,
                times: it.times,
                lower_millis: it.lower_millis,
                upper_millis: it.upper_millis,
                time: it.time,
                retracts: [false; 2],
                drops: true,
                ttl_millis,
                with_before: true,
            }),
            None => OperatorNode::RegularJoin(RegularJoin {
                on,
                width,
                retracts: [false; 2],
                with_before: true,
                ttl_millis,
            }),
        }
    }
}

/// Refuses windows of event time over rows that come in no order of it.
///
/// # Errors
/// `InvalidDefinition`
pub fn check_windows(plan: &LogicalPlan) -> Result<()> {
    if let LogicalPlan::Window { input, window, .. } = plan
        && window.time == TimeAttribute::Rowtime
        && loses_time(input)
    {
        let message =
            "behind a regular join rows come in no order of time: there are no windows of event time";
        return Err(Diagnostic::error(Code::InvalidDefinition, message)
            .at(window.span)
            .help("bound the join in time: a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts"));
    }
    plan.inputs().into_iter().try_for_each(check_windows)
}

/// Whether rows may come in any order of time, because they went through a regular join: their time
/// columns are no time attributes any more.
pub fn loses_time(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Project { input, .. }
        | LogicalPlan::Filter { input, .. }
        | LogicalPlan::Unnest { input, .. }
        | LogicalPlan::Window { input, .. }
        | LogicalPlan::Over { input, .. }
        | LogicalPlan::Sort { input, .. } => loses_time(input),
        LogicalPlan::Union { inputs, .. } => inputs.iter().any(loses_time),
        LogicalPlan::Join { left, right, condition, .. } => {
            if loses_time(left) || loses_time(right) {
                return true;
            }
            let mut conjuncts = Vec::new();
            split(condition.clone(), &mut conjuncts);
            let of_windows = window_columns(left)
                .zip(window_columns(right))
                .is_some_and(|windows| sides_of(&conjuncts, left.schema().len(), (&windows.0, &windows.1)));
            let found = interval(&conjuncts, &[Side::of(left), Side::of(right)]);
            !of_windows && !found.is_some_and(|(found, _)| found.is_bounded())
        }
        _ => false,
    }
}

/// The conjuncts of a condition.
fn split(condition: Expr, into: &mut Vec<Expr>) {
    match condition.kind {
        ExprKind::Call { function, args } if function.name == "AND" => {
            args.into_iter().for_each(|arg| split(arg, into));
        }
        ExprKind::Literal(Value::Boolean(true)) => {}
        _ => into.push(condition),
    }
}

impl Parts {
    fn add(&mut self, condition: Expr, width: usize) {
        if let Some((left, right, null_safe)) = equality(&condition, width) {
            self.keys.push((left, right));
            self.null_safe.push(null_safe);
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

/// `left = right` or `left IS NOT DISTINCT FROM right` with one side's columns on each side.
fn equality(condition: &Expr, width: usize) -> Option<(Expr, Expr, bool)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    let null_safe = match function.name {
        "=" => false,
        "IS NOT DISTINCT FROM" => true,
        _ => return None,
    };
    let is_key = |expr: &Expr| expr.is_deterministic() && !expr.columns().is_empty();
    let is_left = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column < width);
    let is_right = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column >= width);
    let text = |expr: &Expr| matches!(expr.data_type.kind, flott_types::TypeKind::Varchar(_));
    let comparable = a.data_type.same_kind(&b.data_type) || (text(a) && text(b));
    if !comparable {
        return None;
    }
    if is_left(a) && is_right(b) {
        Some((a.clone(), from_right(b.clone(), width), null_safe))
    } else if is_left(b) && is_right(a) {
        Some((b.clone(), from_right(a.clone(), width), null_safe))
    } else {
        None
    }
}
