//! `ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) <= n`: the first rows of each group, deduplication among
//! them; `ORDER BY … LIMIT`, which is the same without groups.
//!
//! ```text
//!   Filter rn <= 3 AND x > 1                Filter x > 1
//!    └ Over ROW_NUMBER() AS rn       ──►     └ TopN 1 to 3            groups of all rows
//!                                            └ WindowRank 1 to 3      groups of a window's rows
//! ```
//!
//! Source: Flink documentation, "Top-N", "Deduplication", "Window Top-N", "Window Deduplication".

use flott_expr::{Expr, ExprKind, Value};
use flott_sql::{LogicalPlan, OverCall, OverFunction, SortKey};
use flott_types::{Diagnostic, Result, Schema, Span, TimeAttribute};

use crate::{
    OperatorNode, Step, TopN, WindowProperty, WindowRank,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::{Branch, Graph, Producer},
    join::attached,
    prune::prune,
    regular_join::loses_time,
    window_columns::{WindowColumns, plain, window_columns},
};

/// The parts of [`LogicalPlan::Over`].
pub struct Over<'a> {
    /// What is ranked.
    pub input: &'a LogicalPlan,
    /// The groups.
    pub partition_by: &'a [Expr],
    /// The order.
    pub order_by: &'a [SortKey],
    /// The functions.
    pub calls: &'a [OverCall],
    /// Input columns, then the calls'.
    pub schema: &'a Schema,
    /// Where the first call stands.
    pub span: Span,
}

/// The time attribute that a key is, if rows of the plan come in its order.
pub fn time_of(key: &SortKey, input: &LogicalPlan) -> Option<TimeAttribute> {
    let time = input.schema().fields.get(plain(&key.expr)?)?.time?;
    (time == TimeAttribute::Proctime || !loses_time(input)).then_some(time)
}

/// Lets the operators know whose rank nobody reads: then they tell which rows come and go, not what each rank
/// is.
pub fn forget_unread_ranks(graph: &mut Graph, sinks: &[Vec<Branch>]) {
    let ranks = |producer: &Producer| match producer {
        Producer::Operator(operator) => matches!(&operator.node, OperatorNode::TopN(node) if node.with_rank)
            .then(|| operator.schema.len()),
        Producer::Leaf(_) => None,
    };
    let widths: Vec<Option<usize>> = graph.producers.iter().map(ranks).collect();
    if widths.iter().all(Option::is_none) {
        return;
    }
    let (mut probe, mut sinks) = (graph.clone(), sinks.to_vec());
    let kept = prune(&mut probe, &mut sinks, &vec![false; graph.producers.len()]);
    for ((producer, width), kept) in graph.producers.iter_mut().zip(widths).zip(kept) {
        if let (Producer::Operator(operator), Some(width)) = (producer, width)
            && let OperatorNode::TopN(node) = &mut operator.node
        {
            node.tells_rank = kept.contains(&(width - 1));
        }
    }
}

impl Flatten {
    /// The branches of `OVER`, with the predicates right above it.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn rank(&mut self, over: &Over<'_>, conditions: Vec<Expr>) -> Result<Vec<Branch>> {
        let width = over.input.schema().len();
        let (mut ranks, mut others) = ((1, None), Vec::new());
        for condition in conditions {
            narrow(condition, width, &mut ranks, &mut others);
        }
        let (first, Some(last)) = ranks else {
            return Err(Diagnostic::not_supported("ROW_NUMBER without an upper bound").at(over.span));
        };
        let windows = window_columns(over.input).filter(|windows| {
            let has = |property| over.partition_by.iter().any(|it| windows.property_of(it) == Some(property));
            has(WindowProperty::Start) && has(WindowProperty::End)
        });
        match windows {
            Some(windows) => self.window_rank(over, &windows, (first, last), others),
            None => self.top_n(over, (first, last), others),
        }
    }

    /// The first rows of each group.
    fn top_n(&mut self, over: &Over<'_>, ranks: (u64, u64), others: Vec<Expr>) -> Result<Vec<Branch>> {
        let input = over.input.schema();
        let width = input.len();
        let mut columns = Columns::of(&input);
        let mut keys: Vec<usize> = Vec::new();
        for key in over.partition_by.iter().filter(|key| !matches!(key.kind, ExprKind::Literal(_))) {
            let column = columns.add(key);
            if !keys.contains(&column) {
                keys.push(column);
            }
        }
        let time = match over.order_by {
            [key] => time_of(key, over.input),
            _ => None,
        };
        let order = over.order_by.iter().map(|key| (columns.add(&key.expr), key.descending, key.nulls_first));
        let node = TopN {
            order_by: order.collect(),
            keys,
            ranks,
            with_rank: ranks.0 != ranks.1,
            tells_rank: ranks.0 != ranks.1,
            rank_at: columns.exprs.len(),
            time,
            ttl_millis: self.state_ttl,
            ..TopN::default()
        };
        let mut output = columns.schema(false);
        output.fields.iter_mut().for_each(|field| field.time = None);
        let rank = over.schema.fields.last().filter(|_| node.with_rank);
        output.fields.extend(rank.cloned());
        let mut exprs = columns_of(&output);
        let rank = match node.with_rank {
            true => exprs.pop(),
            // There is one rank only.
            false => over.schema.fields.last().map(|field| {
                let rank = i64::try_from(ranks.0).unwrap_or(i64::MAX);
                Expr::literal(Value::Int(rank), field.data_type.clone())
            }),
        };
        exprs.truncate(width);
        exprs.extend(rank);
        let restore = Step::Project { exprs, schema: over.schema.clone() };
        let branches = extended(self.branches(over.input)?, &[columns.step()]);
        let branch = self.operator(OperatorNode::TopN(node), vec![branches], output);
        let steps: Vec<Step> = std::iter::once(restore).chain(others.into_iter().map(Step::Filter)).collect();
        Ok(extended(vec![branch], &steps))
    }

    /// The first rows of each group of a window.
    fn window_rank(
        &mut self,
        over: &Over<'_>,
        windows: &WindowColumns,
        (first, last): (u64, u64),
        others: Vec<Expr>,
    ) -> Result<Vec<Branch>> {
        if windows.time == TimeAttribute::Proctime {
            return Err(Diagnostic::not_supported("window Top-N on processing time").at(over.span));
        }
        let input = over.input.schema();
        let width = input.len();
        let mut columns = Columns::of(&input);
        let keys = over.partition_by.iter().filter(|key| {
            let property = windows.property_of(key);
            property.is_none() && !matches!(key.kind, ExprKind::Literal(_))
        });
        let mut key_columns: Vec<usize> = Vec::new();
        for key in keys {
            let column = columns.add(key);
            if !key_columns.contains(&column) {
                key_columns.push(column);
            }
        }
        let order = over.order_by.iter().map(|key| (columns.add(&key.expr), key.descending, key.nulls_first));
        let node = OperatorNode::WindowRank(WindowRank {
            windows: attached(windows),
            keys: key_columns,
            order_by: order.collect(),
            ranks: (first, last),
            with_rank: true,
        });
        let mut output = columns.schema(false);
        output.fields.extend(over.schema.fields.last().cloned());
        let all = columns_of(&output);
        let restored = (0..width).chain([columns.exprs.len()]);
        let exprs = restored.filter_map(|at| all.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: over.schema.clone() };
        let branches = extended(self.branches(over.input)?, &[columns.step()]);
        let branch = self.operator(node, vec![branches], output);
        let steps: Vec<Step> = std::iter::once(restore).chain(others.into_iter().map(Step::Filter)).collect();
        Ok(extended(vec![branch], &steps))
    }
}

/// Whether row numbers are cut off: with an upper bound, and nothing else.
pub fn is_cut(over: &Over<'_>, conditions: &[Expr]) -> bool {
    let [OverCall { function: OverFunction::RowNumber, .. }] = over.calls else { return false };
    let rank = over.input.schema().len();
    let (mut ranks, mut others) = ((1, None), Vec::new());
    conditions.iter().for_each(|it| narrow(it.clone(), rank, &mut ranks, &mut others));
    ranks.1.is_some()
}

/// Takes bounds of the rank out of a condition.
pub fn narrow(condition: Expr, rank: usize, ranks: &mut (u64, Option<u64>), others: &mut Vec<Expr>) {
    if let ExprKind::Call { function, args } = &condition.kind
        && function.name == "AND"
    {
        args.iter().for_each(|arg| narrow(arg.clone(), rank, ranks, others));
        return;
    }
    let Some((sign, bound)) = bound_of(&condition, rank) else {
        others.push(condition);
        return;
    };
    // No row has a rank below 1: bounds below are like those at 0.
    let bound = u64::try_from(bound).unwrap_or(0);
    let (low, high) = match sign {
        "=" => (bound, Some(bound)),
        "<=" => (0, Some(bound)),
        "<" => (0, Some(bound.saturating_sub(1))),
        ">=" => (bound, None),
        _ => (bound.saturating_add(1), None),
    };
    ranks.0 = ranks.0.max(low);
    ranks.1 = match (ranks.1, high) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

/// `rank <= 3`, whichever stands left.
fn bound_of(condition: &Expr, rank: usize) -> Option<(&'static str, i64)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    let is_rank = |expr: &Expr| plain(without_cast(expr)) == Some(rank);
    let flipped = |sign| match sign {
        "<=" => ">=",
        "<" => ">",
        ">=" => "<=",
        ">" => "<",
        other => other,
    };
    let sign = match function.name {
        sign @ ("=" | "<=" | "<" | ">=" | ">") => sign,
        _ => return None,
    };
    if is_rank(a) {
        Some((sign, integer(b)?))
    } else if is_rank(b) {
        Some((flipped(sign), integer(a)?))
    } else {
        None
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match without_cast(expr).kind {
        ExprKind::Literal(Value::Int(value)) => Some(value),
        _ => None,
    }
}

/// The rank and its bound are whole numbers in any of the types that hold both.
fn without_cast(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Cast { input, .. } if expr.data_type.is_integer() && input.data_type.is_integer() => input,
        _ => expr,
    }
}
