//! Aggregations without a window: results change as rows come.
//!
//! ```text
//!   Aggregate [k] SUM(x)  (HAVING: a Filter above)        Project [k, total]
//!    └ Filter, Project                             ──►     └ GroupAggregate keys [0] SUM(1)
//!                                                             └ [Filter, Project k, x, (Expand: sets)]
//! ```
//! Source: Flink documentation, "Group Aggregation".

use flott_expr::{AggregateCall, Expr};
use flott_sql::LogicalPlan;
use flott_types::{DataType, Field, Result, Schema};

use crate::{
    Call, GroupAggregate, OperatorNode, Step,
    aggregate::{Columns, SET_COLUMN},
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    operator_text::call_text,
};

impl Flatten {
    /// The branches of an aggregation of all rows so far.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn group(
        &mut self,
        input: &LogicalPlan,
        keys: &[Expr],
        sets: &[Vec<usize>],
        calls: &[AggregateCall],
        schema: &Schema,
        state_ttl: Option<i64>,
    ) -> Result<Vec<Branch>> {
        let mut columns = Columns::default();
        let roles: Vec<usize> = keys.iter().map(|key| columns.add(key)).collect();
        let mut key_columns: Vec<usize> = Vec::new();
        for &column in &roles {
            if !key_columns.contains(&column) {
                key_columns.push(column);
            }
        }
        if sets.len() > 1 {
            columns.own_values();
        }
        let calls: Vec<Call> = calls.iter().map(|call| columns.call(call)).collect();
        let mut branches = extended(self.branches(input)?, &[columns.step()]);
        let mut wide = columns.schema(false);
        if sets.len() > 1 {
            let absent = |set: &Vec<usize>| -> Vec<usize> {
                let present: Vec<usize> = set.iter().filter_map(|&at| roles.get(at).copied()).collect();
                key_columns.iter().copied().filter(|column| !present.contains(column)).collect()
            };
            let absent: Vec<Vec<usize>> = sets.iter().map(absent).collect();
            for &column in absent.iter().flatten() {
                if let Some(field) = wide.fields.get_mut(column) {
                    field.data_type.nullable = true;
                }
            }
            key_columns.push(wide.len());
            wide.fields.push(Field::new(SET_COLUMN, DataType::int().not_null()));
            branches = extended(branches, &[Step::Expand { absent, schema: wide.clone() }]);
        }
        let ttl_millis = match state_ttl {
            Some(hint) => Some(hint).filter(|millis| *millis > 0),
            None => self.state_ttl,
        };
        let node =
            GroupAggregate { keys: key_columns.clone(), calls, ttl_millis, ..GroupAggregate::default() };
        let output = output(&node, &wide);
        let width = key_columns.len();
        let key_at = |column: &usize| key_columns.iter().position(|it| it == column).unwrap_or_default();
        let mut from: Vec<usize> = roles.iter().map(key_at).chain(width..output.len()).collect();
        if from.len() < schema.len() {
            // The set is the last of the keys.
            from.push(width.saturating_sub(1));
        }
        let all = columns_of(&output);
        let exprs = from.iter().filter_map(|&at| all.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: schema.clone() };
        let branch = self.operator(OperatorNode::GroupAggregate(node), vec![branches], output);
        Ok(extended(vec![branch], &[restore]))
    }
}

/// Keys, then calls.
fn output(node: &GroupAggregate, input: &Schema) -> Schema {
    let mut fields = input.project(&node.keys).fields;
    fields.iter_mut().for_each(|field| field.time = None);
    let names: Vec<String> = input.fields.iter().map(|field| field.name.clone()).collect();
    fields.extend(node.calls.iter().map(|call| Field::new(call_text(call, &names), call.data_type.clone())));
    Schema::new(fields)
}
