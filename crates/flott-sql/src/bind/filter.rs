//! `WHERE`: conditions on a row, and on whether a sub-query has a row for it.
//!
//! ```text
//!   WHERE p AND EXISTS (SELECT … FROM s WHERE s.k = t.k)
//!                                        Join Semi (k = s.k)
//!                                          Filter p
//! ```
//!
//! `IN (SELECT …)` and `EXISTS` that stand alone or under AND become semi joins, with NOT anti
//! joins. A sub-query may name columns of the query around it in its own WHERE; these conditions
//! move into the join.

use flott_expr::{Expr, lookup};
use flott_types::{Code, Diagnostic, Result, Schema, Span};
use sqlparser::ast::{self, BinaryOperator, Expr as Ast, FunctionArguments, SetExpr, UnaryOperator};

use super::{
    Binder,
    calls::Calls,
    expr::ExprBinder,
    join::{always, of_right},
    query::{Ctes, columns_of},
    scope::Scope,
};
use crate::{LogicalPlan, plan::JoinKind};

/// `[NOT] EXISTS (query)`, `left [NOT] IN (query)`
struct SubQuery<'q> {
    query: &'q ast::Query,
    left: Option<&'q Ast>,
    negated: bool,
    span: Span,
}

/// A sub-query over the columns of the enclosing query.
struct Inner {
    plan: LogicalPlan,
    /// Over the enclosing query's columns followed by `plan`'s.
    condition: Option<Expr>,
    /// What it selects, over `plan`'s columns.
    items: Vec<Expr>,
}

impl Binder<'_> {
    /// The rows of the input for which the condition is TRUE.
    pub(super) fn filter(
        &self,
        input: LogicalPlan,
        scope: &Scope,
        selection: &Ast,
        ctes: &Ctes,
    ) -> Result<LogicalPlan> {
        let conjuncts = conjuncts(selection);
        let (sub_queries, plain): (Vec<_>, Vec<_>) =
            conjuncts.into_iter().map(|it| (self.sub_query(it), it)).partition(|(found, _)| found.is_some());
        let binder = ExprBinder::new(self, scope);
        if sub_queries.is_empty() {
            return filtered(self, input, binder.condition(selection, "WHERE")?);
        }
        let mut predicate: Option<Expr> = None;
        for condition in self.all(plain.iter().map(|(_, it)| binder.condition(it, "WHERE")))? {
            predicate = Some(self.and(predicate, condition)?);
        }
        let mut plan = match predicate {
            Some(predicate) => filtered(self, input, predicate)?,
            None => input,
        };
        for sub_query in sub_queries.into_iter().filter_map(|(found, _)| found) {
            plan = self.semi_join(plan, scope, &sub_query, ctes)?;
        }
        Ok(plan)
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
            _ => None,
        }
    }

    fn semi_join(
        &self,
        left: LogicalPlan,
        scope: &Scope,
        sub_query: &SubQuery<'_>,
        ctes: &Ctes,
    ) -> Result<LogicalPlan> {
        let width = left.schema().len();
        let inner = self.inner(sub_query.query, scope, width, ctes)?;
        let mut condition = inner.condition;
        if let Some(ast) = sub_query.left {
            let values = self.left_values(ast, scope)?;
            if values.len() != inner.items.len() {
                let message = format!(
                    "IN compares {} columns with {} of the sub-query",
                    values.len(),
                    inner.items.len()
                );
                return Err(Diagnostic::error(Code::TypeMismatch, message).at(sub_query.span));
            }
            for (value, item) in values.into_iter().zip(inner.items) {
                let equal = self.comparison(value, of_right(item, width), sub_query)?;
                condition = Some(self.and(condition, equal)?);
            }
        }
        let kind = if sub_query.negated { JoinKind::Anti } else { JoinKind::Semi };
        let schema: Schema = left.schema();
        Ok(LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(inner.plan),
            kind,
            condition: condition.unwrap_or_else(always),
            state_ttl: [None; 2],
            schema,
            span: sub_query.span,
        })
    }

    /// `a`, `(a, b)`, `ROW(a, b)` before IN.
    fn left_values(&self, ast: &Ast, scope: &Scope) -> Result<Vec<Expr>> {
        let binder = ExprBinder::new(self, scope).within("WHERE");
        match ast {
            Ast::Tuple(items) => self.all(items.iter().map(|it| binder.bind(it))),
            Ast::Function(function) if function.name.to_string().eq_ignore_ascii_case("ROW") => {
                let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
                let items = list.args.iter().filter_map(|arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(binder.bind(expr)),
                    _ => None,
                });
                self.all(items)
            }
            _ => Ok(vec![binder.bind(ast)?]),
        }
    }

    /// `value = item`. Under NOT IN also TRUE where one of them is NULL: then nobody knows whether
    /// the value is among the items, and the row is not kept.
    fn comparison(&self, value: Expr, item: Expr, sub_query: &SubQuery<'_>) -> Result<Expr> {
        let empty = Scope::default();
        let binder = ExprBinder::new(self, &empty);
        let span = sub_query.span;
        let mut equal = binder
            .operator("=", vec![value.clone(), item.clone()], span)
            .map_err(|it| it.help("the value and the sub-query's column need types that can be compared"))?;
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

    /// The sub-query. One that only filters and selects may name the enclosing query's columns.
    fn inner(&self, query: &ast::Query, outer: &Scope, width: usize, ctes: &Ctes) -> Result<Inner> {
        if let Some(select) = simple_select(query) {
            let (plan, scope) = self.from(&select.from, ctes)?;
            let both = Scope { outer: Some(Box::new(outer.clone())), ..scope.clone().shifted(width) };
            let calls = Calls::default();
            let items = self.sub_query_items(select, &scope, &calls)?;
            if let Some(items) = items.filter(|_| !calls.aggregate() && calls.overs.borrow().is_empty()) {
                return self.inner_conditions(select, plan, scope, (both, items), ctes);
            }
        }
        let plan = self.query(query, ctes)?;
        let items = columns_of(&plan.schema()).collect();
        Ok(Inner { plan, condition: None, items })
    }

    /// What a sub-query selects; `None` if it isn't understood here.
    fn sub_query_items(
        &self,
        select: &ast::Select,
        scope: &Scope,
        calls: &Calls,
    ) -> Result<Option<Vec<Expr>>> {
        let binder = ExprBinder { calls: Some(calls), clause: "SELECT", ..ExprBinder::new(self, scope) };
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                    items.push(binder.bind(expr)?);
                }
                ast::SelectItem::Wildcard(_) => items.extend(scope.star().map(|(_, expr)| expr)),
                _ => return Ok(None),
            }
        }
        Ok(Some(items))
    }

    /// Conditions that name only the sub-query's columns filter it; the others are the join's.
    fn inner_conditions(
        &self,
        select: &ast::Select,
        plan: LogicalPlan,
        scope: Scope,
        (both, items): (Scope, Vec<Expr>),
        ctes: &Ctes,
    ) -> Result<Inner> {
        let (mut plan, mut own, mut shared) = (plan, None, None);
        let mut nested = Vec::new();
        for conjunct in select.selection.iter().flat_map(conjuncts) {
            if let Some(sub_query) = self.sub_query(conjunct) {
                nested.push(sub_query);
                continue;
            }
            let kept = self.diagnostics.borrow().len();
            match ExprBinder::new(self, &scope).condition(conjunct, "WHERE") {
                Ok(condition) => own = Some(self.and(own, condition)?),
                Err(error) if error.code == Code::UnknownColumn => {
                    self.diagnostics.borrow_mut().truncate(kept);
                    let condition = ExprBinder::new(self, &both).condition(conjunct, "WHERE")?;
                    shared = Some(self.and(shared, condition)?);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(predicate) = own {
            plan = filtered(self, plan, predicate)?;
        }
        for sub_query in nested {
            plan = self.semi_join(plan, &scope, &sub_query, ctes)?;
        }
        Ok(Inner { plan, condition: shared, items })
    }
}

/// A query that is FROM, WHERE and SELECT alone.
fn simple_select(query: &ast::Query) -> Option<&ast::Select> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    let simple = bare
        && !grouped
        && !select.from.is_empty()
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.lateral_views.is_empty();
    simple.then_some(select)
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
fn filtered(binder: &Binder<'_>, input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan> {
    Ok(match input {
        LogicalPlan::Join { left, right, kind: JoinKind::Inner, condition, state_ttl, schema, span } => {
            let condition = binder.and(Some(condition), predicate)?;
            LogicalPlan::Join { left, right, kind: JoinKind::Inner, condition, state_ttl, schema, span }
        }
        input => LogicalPlan::Filter { input: Box::new(input), predicate },
    })
}
