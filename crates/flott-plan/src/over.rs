//! `OVER` windows: aggregates of the rows before, `LAG`, ranks that nobody cuts off.
//!
//! ```text
//!   Over SUM(x) [k] order by ts        Project
//!    └ Filter, Project          ──►     └ Over keys [k] order [ts] SUM(x) ROWS …
//!                                          └ [Filter, Project …, x]
//! ```
//! Source: Flink documentation, "Over Aggregation".

use flott_expr::{Expr, ExprKind};
use flott_sql::{OverFunction, SortKey};
use flott_types::{Result, TimeAttribute};

use crate::{
    OperatorNode, OverValue, Step,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    nodes::Over as Node,
    rank::Over,
    window_columns::plain,
};

impl Flatten {
    /// The branches of calls with `OVER`, with the predicates right above them.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn over(&mut self, over: &Over<'_>, conditions: Vec<Expr>) -> Result<Vec<Branch>> {
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
        let order = over.order_by.iter().filter(|key| !matches!(key.expr.kind, ExprKind::Literal(_)));
        let order_by: Vec<(usize, bool, bool)> =
            order.map(|key| (columns.add(&key.expr), key.descending, key.nulls_first)).collect();
        let calls = over.calls.iter().map(|call| match &call.function {
            OverFunction::RowNumber => OverValue::RowNumber,
            OverFunction::Rank => OverValue::Rank,
            OverFunction::DenseRank => OverValue::DenseRank,
            OverFunction::Ntile(parts) => OverValue::Ntile(*parts),
            OverFunction::PercentRank => OverValue::PercentRank,
            OverFunction::CumeDist => OverValue::CumeDist,
            OverFunction::Lag(of) | OverFunction::Lead(of) => {
                let is_lead = matches!(call.function, OverFunction::Lead(_));
                let back = if is_lead { of.offset.saturating_neg() } else { of.offset };
                let default = of.default.as_ref().map(|default| columns.add(default));
                OverValue::Shift { value: columns.add(&of.value), back, default }
            }
            OverFunction::Aggregate(aggregate) => OverValue::Aggregate(columns.call(aggregate), call.frame),
        });
        let calls: Vec<OverValue> = calls.collect();
        let time = match over.order_by {
            [SortKey { expr, descending: false, .. }] => {
                plain(expr).and_then(|at| input.fields.get(at)?.time)
            }
            // Without an order rows count as they come.
            [] => None,
            _ => None,
        };
        let time: Option<TimeAttribute> = time.filter(|_| !self.batch);
        let ttl_millis = self.state_ttl;
        let node = Node { keys, order_by, calls, time, ttl_millis, ..Node::default() };
        let mut output = columns.schema(false);
        let wide = output.len();
        output.fields.extend(over.schema.fields.iter().skip(width).cloned());
        let all = columns_of(&output);
        let restored = (0..width).chain(wide..output.len());
        let exprs = restored.filter_map(|at| all.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: over.schema.clone() };
        let branches = extended(self.branches(over.input)?, &[columns.step()]);
        let branch = self.operator(OperatorNode::Over(node), vec![branches], output);
        let steps: Vec<Step> =
            std::iter::once(restore).chain(conditions.into_iter().map(Step::Filter)).collect();
        Ok(extended(vec![branch], &steps))
    }
}
