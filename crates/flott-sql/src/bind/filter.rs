//! `WHERE` and `HAVING`: conditions on a row, and on whether a sub-query has a row for it.
//!
//! ```text
//!   WHERE p AND EXISTS (SELECT … FROM s WHERE s.k = t.k) AND (q OR x IN (SELECT …))
//!
//!   Filter q OR $there                    sub_query.rs
//!     Join Left
//!       Join Semi (k = s.k)
//!         Filter p
//! ```
//!
//! `IN (SELECT …)` and `EXISTS` that stand alone or under AND become semi joins, with NOT anti
//! joins; what a sub-query compares with columns of the query around it is the join's condition.
//! Elsewhere a sub-query is a value.

use flott_expr::{Expr, Value, lookup};
use flott_types::{Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, BinaryOperator, Expr as Ast, UnaryOperator};

use super::{
    Binder,
    decorrelate::{all_of, flatten},
    expr::ExprBinder,
    join::always,
    literal,
    query::{Around, columns_of},
    relation::is_true,
    scope::Scope,
    sub_query::{
        Answers, Lift, SubQueries, Wanted, always_has_row, answered, check_width, comparable, has_stand_in,
        if_any, in_single_row, seen_from_outside,
    },
};
use crate::{LogicalPlan, plan::JoinKind};

/// `[NOT] EXISTS (query)`, `left [NOT] IN (query)`
struct SubQuery<'q> {
    query: &'q ast::Query,
    left: Option<&'q Ast>,
    negated: bool,
    span: Span,
}

/// The conditions of one clause, over the columns of FROM.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Those on the row alone.
    plain: Vec<Expr>,
    /// Sub-queries that keep rows or drop them.
    joins: Vec<Wanted>,
    /// Values of sub-queries, and the conditions that read them.
    answers: Answers,
    late: Vec<Expr>,
}

impl Binder<'_> {
    /// The rows of the input for which the condition is TRUE.
    pub(super) fn filter(
        &self,
        input: LogicalPlan,
        scope: &Scope,
        selection: &Ast,
        around: &Around,
    ) -> Result<LogicalPlan> {
        let conditions = self.conditions(selection, ExprBinder::new(self, scope), "WHERE", around)?;
        self.filtered(input, conditions, &|expr| Ok(expr.clone()))
    }

    /// The conditions of a clause, bound by `binder`.
    pub(super) fn conditions(
        &self,
        ast: &Ast,
        binder: ExprBinder<'_, '_>,
        clause: &'static str,
        around: &Around,
    ) -> Result<Conditions> {
        let found = SubQueries::new(around);
        let binder = ExprBinder { clause, sub_queries: Some(&found), two_valued: true, ..binder };
        let conjuncts = conjuncts(ast);
        let (sub_queries, rest): (Vec<_>, Vec<_>) =
            conjuncts.into_iter().map(|it| (self.sub_query(it), it)).partition(|(found, _)| found.is_some());
        let mut conditions = Conditions::default();
        let whole = sub_queries.is_empty();
        let bound = match whole {
            true => vec![binder.condition(ast, clause)?],
            false => self.all(rest.iter().map(|(_, it)| binder.condition(it, clause)))?,
        };
        for expr in bound {
            if !has_stand_in(&expr) {
                conditions.plain.push(expr);
                continue;
            }
            for condition in super::decorrelate::conjuncts(expr) {
                if has_stand_in(&condition) {
                    found.drop_without_value(&condition);
                    conditions.late.push(condition);
                } else {
                    conditions.plain.push(condition);
                }
            }
        }
        for sub_query in sub_queries.into_iter().filter_map(|(found, _)| found) {
            self.semi_join(binder, &sub_query, around, &mut conditions)?;
        }
        conditions.answers = found.take();
        Ok(conditions)
    }

    /// The rows of the plan that fulfil the conditions.
    pub(super) fn filtered(
        &self,
        input: LogicalPlan,
        conditions: Conditions,
        lift: Lift<'_>,
    ) -> Result<LogicalPlan> {
        let Conditions { plain, joins, answers, late } = conditions;
        let read = |exprs: &[Expr]| exprs.iter().map(lift).collect::<Result<Vec<Expr>>>();
        let mut plan = input;
        if let Some(predicate) = self.and_all(read(&plain)?)? {
            plan = with_filter(self, plan, predicate)?;
        }
        for join in joins {
            plan = join.above(plan, lift)?;
        }
        if late.is_empty() {
            return Ok(plan);
        }
        let schema = plan.schema();
        let (mut plan, values) = answers.attach(plan, lift)?;
        let mut late = read(&late)?;
        late.iter_mut().for_each(|it| answered(it, &values));
        if let Some(predicate) = self.and_all(late)? {
            plan = with_filter(self, plan, predicate)?;
        }
        Ok(first_columns(plan, schema))
    }

    fn and_all(&self, conditions: Vec<Expr>) -> Result<Option<Expr>> {
        let mut all = None;
        for condition in conditions {
            all = Some(self.and(all, condition)?);
        }
        Ok(all)
    }

    fn sub_query<'q>(&self, ast: &'q Ast) -> Option<SubQuery<'q>> {
        match ast {
            Ast::Nested(inner) => self.sub_query(inner),
            Ast::UnaryOp { op: UnaryOperator::Not, expr } => {
                self.sub_query(expr).map(|it| SubQuery { negated: !it.negated, ..it })
            }
            Ast::Exists { subquery, negated } => {
                Some(SubQuery { query: subquery, left: None, negated: *negated, span: self.place(ast) })
            }
            Ast::InSubquery { expr, subquery, negated } => {
                Some(SubQuery { query: subquery, left: Some(expr), negated: *negated, span: self.place(ast) })
            }
            Ast::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                let Ast::Subquery(query) = right.as_ref() else { return None };
                Some(SubQuery { query, left: Some(left), negated: false, span: self.place(ast) })
            }
            Ast::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
                let Ast::Subquery(query) = right.as_ref() else { return None };
                Some(SubQuery { query, left: Some(left), negated: true, span: self.place(ast) })
            }
            _ => None,
        }
    }

    /// The join that a sub-query is, among the conditions.
    fn semi_join(
        &self,
        binder: ExprBinder<'_, '_>,
        sub_query: &SubQuery<'_>,
        around: &Around,
        to: &mut Conditions,
    ) -> Result<()> {
        let span = sub_query.span;
        let left = sub_query.left.map(|it| ExprBinder { sub_queries: None, ..binder }.row_values(it));
        let left = left.transpose()?;
        let plan = self.query(sub_query.query, &around.inside(binder.scope))?;
        if left.is_none() && always_has_row(&plan) {
            let there = literal::constant(Value::Boolean(!sub_query.negated), TypeKind::Boolean, span);
            to.plain.push(there);
            return Ok(());
        }
        let flat = flatten(plan, true, span)?;
        if let Some(left) = &left {
            check_width(left.len(), flat.columns.len(), span)?;
        }
        if flat.single_row {
            let mut value = in_single_row(binder, left, flat, span)?;
            if sub_query.negated {
                value = binder.operator("NOT", vec![value], span)?;
            }
            to.late.push(value);
            return Ok(());
        }
        let mut shared = Vec::new();
        for condition in flat.conditions {
            shared.push(seen_from_outside(condition, 0));
        }
        let everything = left.is_none() && shared.is_empty();
        for (value, item) in left.into_iter().flatten().zip(flat.columns) {
            shared.push(self.comparison(value, seen_from_outside(item, 0), sub_query)?);
        }
        let condition = all_of(shared, span)?.unwrap_or_else(always);
        let right = if everything { if_any(flat.plan, span)? } else { flat.plan };
        to.joins.push(Wanted::filtering(right, condition, sub_query.negated, span));
        Ok(())
    }

    /// `value = item`. Under NOT IN also TRUE where one of them is NULL: then nobody knows whether
    /// the value is among the items, and the row is not kept.
    fn comparison(&self, value: Expr, item: Expr, sub_query: &SubQuery<'_>) -> Result<Expr> {
        let empty = Scope::default();
        let binder = ExprBinder::new(self, &empty);
        let span = sub_query.span;
        let equal = binder.operator("=", vec![value.clone(), item.clone()], span);
        let mut equal = equal.map_err(comparable)?;
        if !sub_query.negated || lookup("IS NULL").is_none() {
            return Ok(equal);
        }
        for side in [value, item] {
            if side.data_type.nullable {
                let null = binder.operator("IS NULL", vec![side], span)?;
                equal = binder.operator("OR", vec![equal, null], span)?;
            }
        }
        Ok(equal)
    }
}

/// Whether a sub-query stands in the condition, where conditions have them.
pub(super) fn asks(ast: &Ast) -> bool {
    match ast {
        Ast::Nested(inner) | Ast::UnaryOp { expr: inner, .. } => asks(inner),
        Ast::BinaryOp { left, right, .. } => asks(left) || asks(right),
        Ast::Subquery(_) | Ast::InSubquery { .. } | Ast::Exists { .. } => true,
        Ast::AnyOp { .. } | Ast::AllOp { .. } => true,
        _ => false,
    }
}

/// The columns that were there before joins added some.
fn first_columns(plan: LogicalPlan, schema: Schema) -> LogicalPlan {
    if plan.schema().len() == schema.len() {
        return plan;
    }
    let exprs = columns_of(&schema).collect();
    LogicalPlan::Project { input: Box::new(plan), exprs, schema }
}

/// The conditions that AND holds together.
fn conjuncts(ast: &Ast) -> Vec<&Ast> {
    let mut out = Vec::new();
    let mut open = vec![ast];
    while let Some(ast) = open.pop() {
        match ast {
            Ast::BinaryOp { left, op: BinaryOperator::And, right } => {
                open.push(right);
                open.push(left);
            }
            Ast::Nested(inner) if matches!(**inner, Ast::BinaryOp { op: BinaryOperator::And, .. }) => {
                open.push(inner);
            }
            other => out.push(other),
        }
    }
    out
}

/// The filter; of an inner join a part of its condition.
fn with_filter(binder: &Binder<'_>, input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan> {
    Ok(match input {
        input if is_true(&predicate) => input,
        LogicalPlan::Join { left, right, kind: JoinKind::Inner, condition, state_ttl, schema, span } => {
            let condition = binder.and(Some(condition), predicate)?;
            LogicalPlan::Join { left, right, kind: JoinKind::Inner, condition, state_ttl, schema, span }
        }
        input => LogicalPlan::Filter { input: Box::new(input), predicate },
    })
}
