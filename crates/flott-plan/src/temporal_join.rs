//! `FOR SYSTEM_TIME AS OF`: joins with a table as it was at a time of the left row.
//!
//! ```text
//!   TemporalJoin o.currency = r.currency AND r.rate > o.least, as of o.ts
//!                └── the right's key ──┘     └─ condition ──┘
//!
//!   right: a table with a primary key and a row time        every row is a version
//!   right: ROW_NUMBER() OVER (PARTITION BY k                every row below it is a version: nothing is
//!            ORDER BY rowtime DESC) = 1  [WHERE p]          deduplicated; a version without p ends the key
//!   right: any other changing rows of one key               each change is a version
//! ```
//! A condition on the right's columns alone isn't moved before the join: it would let an older version
//! take the place of the valid one.
//!
//! Source: Flink documentation, "Joins": event time temporal join.

use flott_expr::{Expr, ExprKind, Value};
use flott_sql::{JoinKind, LogicalPlan, OverCall, OverFunction};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, TimeAttribute};

use crate::{
    OperatorNode, Step, TemporalJoin,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended, leading_filters, peel},
    graph::Branch,
    rank::narrow,
    rewrite::{remap, substitute},
    simplify::{and, simplify},
    window_columns::plain,
};

/// The right side: its branches, their columns, and which of them says that a key has a row.
struct Versions {
    branches: Vec<Branch>,
    schema: Schema,
    valid: Option<usize>,
}

impl Flatten {
    /// The branches of a join as of row time, or of a look-up, with the predicates right above it.
    ///
    /// # Errors
    /// `NotSupported`, `UnsupportedUse`
    pub fn temporal_join(
        &mut self,
        join: &flott_sql::TemporalJoin,
        conditions: Vec<Expr>,
    ) -> Result<Vec<Branch>> {
        if join.time_attribute == TimeAttribute::Proctime {
            return self.lookup_join(join, conditions);
        }
        let left = join.left.schema();
        let width = left.len();
        let versions = self.versions(&join.right)?;
        let Some(right_time) = join.right_time else {
            return Err(Diagnostic::error(Code::Internal, "versions without a time").at(join.span));
        };
        let mut lefts = Columns::of(&left);
        let (mut keys, mut rest) = (Vec::new(), Vec::new());
        let mut on_left = Vec::new();
        for condition in std::iter::once(&join.condition).chain(&conditions).flat_map(conjuncts) {
            match key_pair(&condition, width) {
                Some((expr, column)) if is_open(&keys, join, column) => keys.push((lefts.add(&expr), column)),
                _ if is_left_only(&condition, width, join.kind) => on_left.push(Step::Filter(condition)),
                _ => rest.push(condition),
            }
        }
        if keys.len() < join.right_key.len() {
            return Err(Diagnostic::not_supported("a key of versions that is compared with another type")
                .at(join.span)
                .help("cast the left side's value to the type of the key"));
        }
        let left_time = lefts.add(&join.time);
        let added = lefts.exprs.len() - width;
        rest.iter_mut()
            .for_each(|it| remap(it, &|column| if column < width { column } else { column + added }));
        let ttl = |hint: Option<i64>| hint.map_or(self.state_ttl, |ttl| Some(ttl).filter(|it| *it > 0));
        let node = OperatorNode::TemporalJoin(TemporalJoin {
            keys,
            left_time,
            right_time,
            valid: versions.valid,
            condition: all(rest)?,
            kind: join.kind,
            left_changes: false,
            ttl_millis: join.state_ttl.map(ttl),
        });
        let outer = join.kind == JoinKind::Left;
        let mut output = lefts.schema(false);
        let nullable = |mut field: Field| {
            field.data_type.nullable |= outer;
            field
        };
        output.fields.extend(versions.schema.fields.into_iter().map(nullable));
        let columns = columns_of(&output);
        let restored = (0..join.schema.len()).map(|at| if at < width { at } else { at + added });
        let exprs = restored.filter_map(|at| columns.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: join.schema.clone() };
        let lefts = extended(extended(self.branches(&join.left)?, &on_left), &[lefts.step()]);
        let branch = self.operator(node, vec![lefts, versions.branches], output);
        Ok(extended(vec![branch], &[restore]))
    }

    fn versions(&mut self, right: &LogicalPlan) -> Result<Versions> {
        match latest(right) {
            Some(latest) => {
                let branches = extended(self.branches(latest.input)?, &latest.steps);
                Ok(Versions { branches, schema: latest.schema, valid: latest.valid })
            }
            None => Ok(Versions { branches: self.branches(right)?, schema: right.schema(), valid: None }),
        }
    }
}

/// Whether a condition can be decided before the join.
pub fn is_left_only(condition: &Expr, width: usize, kind: JoinKind) -> bool {
    let columns = condition.columns();
    let left = !columns.is_empty() && columns.iter().all(|&column| column < width);
    left && kind == JoinKind::Inner && condition.is_deterministic()
}

/// Whether a column of the right is one of its key that has no partner yet.
fn is_open(keys: &[(usize, usize)], join: &flott_sql::TemporalJoin, column: usize) -> bool {
    join.right_key.contains(&column) && !keys.iter().any(|it| it.1 == column)
}

/// A query that keeps the latest row of each key, as the rows that it keeps them of.
struct Latest<'p> {
    input: &'p LogicalPlan,
    steps: Vec<Step>,
    schema: Schema,
    valid: Option<usize>,
}

/// Recognises `ROW_NUMBER() OVER (PARTITION BY … ORDER BY rowtime DESC) = 1`, with projections and
/// predicates above it.
fn latest(plan: &LogicalPlan) -> Option<Latest<'_>> {
    let (base, steps) = peel(plan);
    let LogicalPlan::Over { input, order_by, calls, schema, .. } = base else { return None };
    let [OverCall { function: OverFunction::RowNumber, .. }] = calls.as_slice() else { return None };
    let [order] = order_by.as_slice() else { return None };
    let by = input.schema().fields.get(plain(&order.expr)?)?.time;
    if by != Some(TimeAttribute::Rowtime) || !order.descending {
        return None;
    }
    let width = input.schema().len();
    let (conditions, rest) = leading_filters(simplify(steps));
    let (mut ranks, mut others) = ((1, None), Vec::new());
    conditions.into_iter().for_each(|it| narrow(it, width, &mut ranks, &mut others));
    if ranks != (1, Some(1)) || !rest.iter().all(|step| matches!(step, Step::Project { .. })) {
        return None;
    }
    // The row number is 1 wherever it is read.
    let number = schema.fields.get(width)?;
    let mut with_number = columns_of(&input.schema());
    with_number.push(Expr::literal(Value::Int(1), number.data_type.clone()));
    let mut steps = vec![Step::Project { exprs: with_number.clone(), schema: schema.clone() }];
    steps.extend(rest);
    let mut steps = simplify(steps);
    let mut schema = plan.schema();
    let Some(valid) = all(others).ok()?.map(|predicate| substitute(&predicate, &with_number)) else {
        return Some(Latest { input, steps, schema, valid: None });
    };
    // The predicate is one more column.
    let [Step::Project { exprs, schema: columns }] = steps.as_mut_slice() else { return None };
    exprs.push(valid);
    let at = schema.len();
    schema.fields.push(Field::new("$valid", DataType::boolean()));
    columns.clone_from(&schema);
    Some(Latest { input, steps, schema, valid: Some(at) })
}

/// `a AND b AND …`, apart.
pub fn conjuncts(condition: &Expr) -> Vec<Expr> {
    match &condition.kind {
        ExprKind::Call { function, args } if function.name == "AND" => {
            args.iter().flat_map(conjuncts).collect()
        }
        ExprKind::Literal(Value::Boolean(true)) => Vec::new(),
        _ => vec![condition.clone()],
    }
}

/// `left expression = right column`, the right's columns counted from `width`.
pub fn key_pair(condition: &Expr, width: usize) -> Option<(Expr, usize)> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    let is_left = |expr: &Expr| {
        let columns = expr.columns();
        !columns.is_empty() && columns.iter().all(|&column| column < width)
    };
    let right = |expr: &Expr| plain(expr)?.checked_sub(width);
    let (left, key, column) = match (right(a), right(b)) {
        (None, Some(column)) if is_left(a) => (a, b, column),
        (Some(column), None) if is_left(b) => (b, a, column),
        _ => return None,
    };
    let equal = match function.name {
        "=" => true,
        // Nothing is NULL there.
        "IS NOT DISTINCT FROM" => !key.data_type.nullable,
        _ => false,
    };
    (equal && left.data_type.same_kind(&key.data_type)).then(|| (left.clone(), column))
}

/// All of the conditions, as one.
pub fn all(conditions: Vec<Expr>) -> Result<Option<Expr>> {
    let mut together: Option<Expr> = None;
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
