//! `SELECT`: from its clauses to a plan.
//!
//! ```text
//!   FROM ─► WHERE ─► [Window] ─► [Aggregate ─► HAVING] ─► [Over] ─► [joins with sub-queries]
//!        ─► Project ─► [DISTINCT: Aggregate]
//! ```
//!
//! All expressions are bound over the columns of `FROM`. Calls of aggregates and OVER leave
//! stand-ins (`calls.rs`), which are replaced when the nodes below the projection are made.

use std::collections::HashSet;

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{Code, Diagnostic, Field, Result, Schema, Span, TimeAttribute, TypeKind};
use sqlparser::ast::{self, SelectItem, Spanned};

use super::{
    Binder,
    calls::{Calls, OVERS, replace_stand_ins},
    expr::{ExprBinder, field_at},
    filter::Conditions,
    grouping::{Aggregation, Grouping},
    literal,
    order::Ordered,
    over,
    query::{Around, columns_of},
    scope::Scope,
    sub_query::{Answers, SubQueries, answered},
};
use crate::{LogicalPlan, plan::SortKey};

/// What stands in a SELECT besides FROM and WHERE, bound over the columns of FROM.
struct Body {
    grouping: Option<Grouping>,
    items: Vec<Item>,
    /// Over the items.
    order: Vec<SortKey>,
    /// How many of the items SELECT shows; the others are for the order.
    width: usize,
    having: Option<Conditions>,
    calls: Calls,
    /// Sub-queries that keys and aggregates read.
    of_rows: Answers,
    /// Those of the items.
    answers: Answers,
}

impl Binder<'_> {
    /// The rows of SELECT, and the keys of an `ORDER BY` behind it.
    pub(super) fn select(
        &self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        around: &Around,
    ) -> Result<Ordered> {
        self.refuse_select_clauses(select)?;
        let (input, mut scope) = match select.from.is_empty() {
            true => (one_row(), Scope::default()),
            false => self.from(&select.from, around)?,
        };
        scope.outer.clone_from(&around.outer);
        if let (true, Some(selection)) = (select.from.is_empty(), &select.selection) {
            let span = self.clause("WHERE", self.place(selection));
            return Err(Diagnostic::error(Code::Syntax, "WHERE needs a FROM").at(span));
        }
        let body = self.body(select, order, &scope, input.schema().len(), around);
        let input = match &select.selection {
            Some(selection) => self.filter(input, &scope, selection, around),
            None => Ok(input),
        };
        let (input, body) = match (input, body) {
            (Ok(input), Ok(body)) => (input, body),
            (Err(a), Err(b)) => {
                self.report(*a);
                return Err(b);
            }
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
        };
        let (keys, width) = (body.order.clone(), body.width);
        let plan = if select.from.is_empty() && body.is_plain() {
            constant_row(body.items)
        } else {
            body.plan(self, input)?
        };
        if !matches!(&select.distinct, Some(ast::Distinct::Distinct)) {
            return Ok(Ordered { plan, keys, width });
        }
        if plan.schema().len() > width {
            let first = keys.iter().find(|key| key.expr.columns().iter().any(|at| *at >= width));
            let span = first.map_or(Span::default(), |it| it.expr.span);
            let message = "ORDER BY behind SELECT DISTINCT takes columns of SELECT only";
            return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
        }
        Ok(Ordered { plan: distinct(plan, self.aggregate_ttl()), keys, width })
    }

    fn body(
        &self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        scope: &Scope,
        width: usize,
        around: &Around,
    ) -> Result<Body> {
        let state_ttl = self.aggregate_ttl();
        let mut calls = Calls { empty_group: true, state_ttl, ..Calls::default() };
        calls.named_windows = self.named_windows(select)?;
        let (found, of_rows) = (SubQueries::new(around), SubQueries::new(around));
        let plain = ExprBinder::new(self, scope);
        let keys = ExprBinder { sub_queries: Some(&of_rows), ..plain };
        let grouping = self.group_by(select, keys, width, &mut calls)?;
        let plain = ExprBinder { calls: Some(&calls), row_sub_queries: Some(&of_rows), ..plain };
        let binder = ExprBinder { sub_queries: Some(&found), clause: "SELECT", ..plain };
        let items = self.select_items(select, binder);
        let having = select.having.as_ref();
        let having = having.map(|it| self.conditions(it, plain, "HAVING", around)).transpose();
        let (mut items, having) = match (items, having) {
            (Ok(items), Ok(having)) => (items, having),
            (Err(a), Err(b)) => {
                self.report(*b);
                return Err(a);
            }
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
        };
        let width = items.len();
        let order = self.order_items(binder, order, &mut items)?;
        let (answers, of_rows) = (found.take(), of_rows.take());
        Ok(Body { grouping, items, order, width, having, calls, of_rows, answers })
    }

    fn named_windows(&self, select: &ast::Select) -> Result<Vec<(String, ast::WindowSpec)>> {
        let windows =
            select.named_window.iter().map(|ast::NamedWindowDefinition(name, window)| match window {
                ast::NamedWindowExpr::WindowSpec(spec) if spec.window_name.is_none() => {
                    Ok((name.value.clone(), spec.clone()))
                }
                _ => {
                    Err(Diagnostic::not_supported("a window made from a named one").at(self.span(name.span)))
                }
            });
        windows.collect()
    }

    fn refuse_select_clauses(&self, select: &ast::Select) -> Result<()> {
        let start = self.span(select.select_token.0.span);
        let from_end = select.from.iter().map(|it| self.span(it.span())).fold(start, Span::union).end;
        let refused = if let Some(ast::Distinct::On(_)) = &select.distinct {
            Some(("DISTINCT", "SELECT DISTINCT ON", start.end))
        } else if select.qualify.is_some() {
            Some(("QUALIFY", "QUALIFY", from_end))
        } else if !select.lateral_views.is_empty() {
            Some(("LATERAL VIEW", "LATERAL VIEW", start.end))
        } else if select.top.is_some() {
            Some(("TOP", "TOP", start.end))
        } else if !(select.cluster_by.is_empty()
            && select.distribute_by.is_empty()
            && select.sort_by.is_empty())
        {
            Some(("BY", "CLUSTER BY, DISTRIBUTE BY and SORT BY", from_end))
        } else {
            None
        };
        match refused {
            Some((word, what, from)) => Err(Diagnostic::not_supported(what).at(self.word_behind(word, from))),
            None => Ok(()),
        }
    }

    fn select_items(&self, select: &ast::Select, binder: ExprBinder<'_, '_>) -> Result<Vec<Item>> {
        // Above groups a name that stands twice counts once in `EXPR$2`, as in Flink.
        let grouped = binder.calls.is_some_and(|calls| calls.keys.is_some());
        let mut names: HashSet<String> = HashSet::new();
        let mut position = 0;
        let items = self.all(select.projection.iter().map(|item| {
            let at = if grouped { names.len() } else { position };
            let bound = self.select_item(item, binder, at);
            position += bound.as_ref().map_or(1, Vec::len);
            match &bound {
                Ok(items) => names.extend(items.iter().map(|item| item.name.clone())),
                Err(_) => _ = names.insert(format!("EXPR${at}")),
            }
            bound
        }))?;
        Ok(items.into_iter().flatten().collect())
    }

    fn select_item(
        &self,
        item: &SelectItem,
        binder: ExprBinder<'_, '_>,
        position: usize,
    ) -> Result<Vec<Item>> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = implicit_name(expr).unwrap_or_else(|| format!("EXPR${position}"));
                Ok(vec![Item { expr: binder.bind(expr)?, name }])
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                Ok(vec![Item { expr: binder.bind(expr)?, name: alias.value.clone() }])
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                Err(Diagnostic::not_supported("several aliases of one expression").at(self.place(expr)))
            }
            SelectItem::Wildcard(options) => {
                let span = self.span(options.wildcard_token.0.span);
                refuse_wildcard_options(options, span)?;
                self.star(binder.scope, span)
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                let span = self.span(item.span());
                refuse_wildcard_options(options, span)?;
                match kind {
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                        let names: Vec<ast::Ident> =
                            name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                        if let Some(relation) = binder.scope.relation(&names) {
                            return Ok(relation
                                .columns()
                                .map(|(name, expr)| Item::new(name, expr.at(span)))
                                .collect());
                        }
                        spread(binder.path(&names)?)
                    }
                    ast::SelectItemQualifiedWildcardKind::Expr(expr) => spread(binder.bind(expr)?),
                }
            }
        }
    }

    fn star(&self, scope: &Scope, span: Span) -> Result<Vec<Item>> {
        if scope.relations.is_empty() {
            return Err(Diagnostic::error(Code::Syntax, "SELECT * needs a FROM").at(span));
        }
        for relation in &scope.relations {
            let mut seen = HashSet::new();
            if let Some(twice) = relation.fields.iter().find(|field| !seen.insert(field.name.as_str())) {
                let message = format!("column '{}' is ambiguous: the sub-query has it twice", twice.name);
                return Err(Diagnostic::error(Code::AmbiguousColumn, message)
                    .at(span)
                    .help("give the columns of the sub-query different names with AS"));
            }
        }
        Ok(scope.star().map(|(name, expr)| Item::new(name, expr.at(span))).collect())
    }
}

impl Body {
    /// Whether the items need nothing but a row.
    fn is_plain(&self) -> bool {
        self.having.is_none()
            && self.answers.is_empty()
            && !self.calls.aggregate()
            && self.calls.overs.borrow().is_empty()
    }

    /// The nodes above the input.
    fn plan(self, binder: &Binder<'_>, input: LogicalPlan) -> Result<LogicalPlan> {
        let Body { mut grouping, mut items, having, calls, of_rows, answers, .. } = self;
        let aggregates = having.is_some() || calls.aggregate();
        let mut plan = match &calls.window {
            Some(window) => window.plan(input),
            None => input,
        };
        let mut aggregation = None;
        if aggregates {
            let (above, values) = of_rows.attach(plan, &|expr| Ok(expr.clone()))?;
            plan = above;
            let keys = grouping.iter_mut().flat_map(|it| &mut it.keys);
            keys.for_each(|key| answered(key, &values));
            calls.answered(&values);
            let made = Aggregation::new(grouping, &calls, &plan.schema());
            for item in &mut items {
                item.expr = made.lift(&item.expr)?;
            }
            plan = made.plan(plan, calls.window.as_ref());
            aggregation = Some(made);
        }
        let lift = |expr: &Expr| match &aggregation {
            Some(aggregation) => aggregation.lift(expr),
            None => Ok(expr.clone()),
        };
        if let Some(conditions) = having {
            plan = binder.filtered(plan, conditions, &lift)?;
        }
        let drafts = calls.overs.take();
        if !drafts.is_empty() {
            let (above, places) = over::plan(plan, drafts, aggregation.as_ref())?;
            plan = above;
            let schema = plan.schema();
            let column = |at: usize| {
                let place = *places.get(at)?;
                let field = schema.fields.get(place)?;
                Some(Expr::column(place, &field.name, field.data_type.clone()))
            };
            for item in &mut items {
                replace_stand_ins(&mut item.expr, OVERS, &column);
            }
        }
        let (plan, values) = answers.attach(plan, &lift)?;
        for item in &mut items {
            answered(&mut item.expr, &values);
        }
        Ok(project(plan, items))
    }
}

/// One row to start from; its column has no name and is never seen.
pub(super) fn one_row() -> LogicalPlan {
    let one = literal::constant(Value::Int(0), TypeKind::Int, Span::default());
    let schema = Schema::new(vec![Field::new("$row", one.data_type.clone())]);
    LogicalPlan::Values { rows: vec![vec![one]], schema }
}

/// `SELECT 1, 'a'`
fn constant_row(items: Vec<Item>) -> LogicalPlan {
    let (fields, row) = items
        .into_iter()
        .map(|item| {
            let time = is_proctime(&item.expr).then_some(TimeAttribute::Proctime);
            (Field::new(item.name, item.expr.data_type.clone()).with_time(time), item.expr)
        })
        .unzip();
    LogicalPlan::Values { rows: vec![row], schema: Schema::new(fields) }
}

/// `SELECT DISTINCT`: groups of equal rows.
pub(super) fn distinct(input: LogicalPlan, state_ttl: Option<i64>) -> LogicalPlan {
    let schema = input.schema();
    let keys: Vec<Expr> = columns_of(&schema).collect();
    let sets = vec![(0..keys.len()).collect()];
    LogicalPlan::Aggregate { input: Box::new(input), keys, sets, calls: Vec::new(), state_ttl, schema }
}

/// Whether the expression is `PROCTIME()`.
pub(super) fn is_proctime(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Call { function, .. } if function.name == "PROCTIME")
}

fn refuse_wildcard_options(options: &ast::WildcardAdditionalOptions, span: Span) -> Result<()> {
    let refused = options.opt_ilike.is_some()
        || options.opt_exclude.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
        || options.opt_alias.is_some();
    if refused {
        return Err(Diagnostic::error(Code::Syntax, "nothing may follow * in Flink SQL").at(span));
    }
    Ok(())
}

/// An output column.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) expr: Expr,
    pub(super) name: String,
}

impl Item {
    fn new(name: &str, expr: Expr) -> Self {
        Self { expr, name: name.to_string() }
    }
}

/// `row.*`
fn spread(row: Expr) -> Result<Vec<Item>> {
    let TypeKind::Row(fields) = &row.data_type.kind else {
        let message = format!("* takes the fields of a ROW, but this is of type {}", row.data_type.kind);
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(row.span));
    };
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let items = names.into_iter().enumerate();
    Ok(items.map(|(at, name)| Item { expr: field_at(row.clone(), at, row.span), name }).collect())
}

/// The name of a column that is given none: that of the column or field, if it is just one.
fn implicit_name(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Nested(inner) => implicit_name(inner),
        ast::Expr::Identifier(ident) => Some(ident.value.clone()),
        ast::Expr::CompoundIdentifier(names) => names.last().map(|it| it.value.clone()),
        ast::Expr::Function(function) if function.args == ast::FunctionArguments::None => {
            Some(function.name.to_string())
        }
        // `a.b.c` with a ROW in it; `a[1].b` has no name.
        ast::Expr::CompoundFieldAccess { root, access_chain } => {
            let plain = matches!(**root, ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_));
            let mut name = None;
            for step in access_chain {
                match step {
                    ast::AccessExpr::Dot(ast::Expr::Identifier(ident)) if plain => {
                        name = Some(ident.value.clone())
                    }
                    _ => return None,
                }
            }
            name
        }
        _ => None,
    }
}

/// The items over the input; just the input if they are its columns as they are.
pub(super) fn project(input: LogicalPlan, items: Vec<Item>) -> LogicalPlan {
    let schema = input.schema();
    let unchanged = items.len() == schema.len()
        && items.iter().zip(&schema.fields).enumerate().all(|(at, (item, field))| {
            matches!(item.expr.kind, ExprKind::Column { index, .. } if index == at) && item.name == field.name
        });
    if unchanged {
        return input;
    }
    let fields = items.iter().map(|item| field_of(item, &schema)).collect();
    let exprs = items.into_iter().map(|item| item.expr).collect();
    LogicalPlan::Project { input: Box::new(input), exprs, schema: Schema::new(fields) }
}

/// The column of an item: a time attribute if it is one in the input and nothing is computed.
fn field_of(item: &Item, input: &Schema) -> Field {
    let time = match item.expr.kind {
        ExprKind::Column { index, .. } => input.fields.get(index).and_then(|it| it.time),
        _ => is_proctime(&item.expr).then_some(TimeAttribute::Proctime),
    };
    Field::new(&item.name, item.expr.data_type.clone()).with_time(time)
}
