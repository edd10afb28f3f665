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
    IntervalJoin, OperatorNode, RegularJoin,
    flatten::Flatten,
    graph::Branch,
    interval_join::{Interval, Side, interval},
    join::{Asked, sides_of},
    join_sides::{Conjuncts, of_both_sides},
    nodes::JoinOn,
    window_columns::window_columns,
};

impl Flatten {
    /// The branches of a join that isn't one of windows.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn general_join(&mut self, asked: &Asked<'_>, conditions: Vec<Expr>) -> Result<Vec<Branch>> {
        let Asked { left, right, kind, .. } = *asked;
        let width = left.schema().len();
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
        let (mut parts, mut null_safe) = (Conjuncts::default(), Vec::new());
        for conjunct in conjuncts {
            match equality(&conjunct, width) {
                Some((left, right, safe)) => {
                    parts.keys.push((left, right));
                    null_safe.push(safe);
                }
                None => parts.add(conjunct, width),
            }
        }
        let sides = self.sides(asked, parts)?;
        let (keys, condition) = (sides.keys.clone(), sides.condition.clone());
        let node = self.node(JoinOn { kind, keys, null_safe, condition }, bounded, sides.width, asked);
        Ok(self.joined(node, sides))
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

/// `left = right` or `left IS NOT DISTINCT FROM right` with one side's columns on each side.
fn equality(condition: &Expr, width: usize) -> Option<(Expr, Expr, bool)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    let null_safe = match function.name {
        "=" => false,
        "IS NOT DISTINCT FROM" => true,
        _ => return None,
    };
    let text = |expr: &Expr| matches!(expr.data_type.kind, flott_types::TypeKind::Varchar(_));
    let comparable = a.data_type.same_kind(&b.data_type) || (text(a) && text(b));
    if !comparable {
        return None;
    }
    of_both_sides(a, b, width).map(|(left, right)| (left, right, null_safe))
}
