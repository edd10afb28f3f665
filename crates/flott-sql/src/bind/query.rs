//! Queries: WITH, VALUES, what stands around a SELECT. Set operations are `set_operation.rs`'s, ORDER BY
//! and LIMIT `order.rs`'s, a SELECT is `select.rs`'s.

use std::collections::HashSet;

use flott_expr::{Expr, ExprKind, Value, coerce};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, SetExpr, Spanned};

use super::{
    Binder,
    expr::{ExprBinder, convert, no_common_type},
    scope::Scope,
};
use crate::LogicalPlan;

/// What a query sees of the queries around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// The queries of the enclosing WITH clauses by name, inner ones last.
    pub(super) ctes: Vec<(String, LogicalPlan)>,
    /// The columns of the query that this one is a sub-query of.
    pub(super) outer: Option<Box<Scope>>,
}

impl Around {
    /// For a sub-query of a query with these columns.
    pub(super) fn inside(&self, outer: &Scope) -> Self {
        Self { ctes: self.ctes.clone(), outer: Some(Box::new(outer.clone())) }
    }
}

impl Binder<'_> {
    /// A query whose rows another one reads. An order that takes no part of them means nothing.
    pub(super) fn query(&self, query: &ast::Query, around: &Around) -> Result<LogicalPlan> {
        Ok(without_order(self.sorted_query(query, around)?))
    }

    /// A query with its order.
    pub(super) fn sorted_query(&self, query: &ast::Query, around: &Around) -> Result<LogicalPlan> {
        self.refuse_query_clauses(query)?;
        let with = self.with(query, around)?;
        let around = with.as_ref().unwrap_or(around);
        let order = self.order_keys(query)?;
        let ordered = match query.body.as_ref() {
            SetExpr::Select(select) => self.select_under_hints(select, order, around)?,
            body => {
                let plan = self.set_expr(body, around)?;
                self.order_output(plan, order)?
            }
        };
        self.sorted(ordered, query)
    }

    /// The queries of WITH besides those known already.
    fn with(&self, query: &ast::Query, around: &Around) -> Result<Option<Around>> {
        let Some(with) = &query.with else { return Ok(None) };
        if with.recursive {
            let span = self.clause("RECURSIVE", self.span(with.with_token.0.span));
            return Err(Diagnostic::not_supported("WITH RECURSIVE").at(span));
        }
        let mut known = around.clone();
        for cte in &with.cte_tables {
            // A query with a name may be read anywhere: it looks into no query around it.
            let plan = self.query(&cte.query, &Around { outer: None, ..known.clone() })?;
            let plan = self.rename_columns(plan, &cte.alias)?;
            known.ctes.push((cte.alias.name.value.clone(), plan));
        }
        Ok(Some(known))
    }

    /// `(SELECT …) AS name (a, b)`: the columns take the alias's names.
    fn rename_columns(&self, plan: LogicalPlan, alias: &ast::TableAlias) -> Result<LogicalPlan> {
        if alias.columns.is_empty() {
            return Ok(plan);
        }
        let mut schema = plan.schema();
        self.check_alias(alias, &schema.fields)?;
        for (field, column) in schema.fields.iter_mut().zip(&alias.columns) {
            field.name.clone_from(&column.name.value);
        }
        Ok(with_schema(plan, schema))
    }

    pub(super) fn check_alias(&self, alias: &ast::TableAlias, fields: &[Field]) -> Result<()> {
        if alias.columns.is_empty() || alias.columns.len() == fields.len() {
            return Ok(());
        }
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let message = format!(
            "'{}' has {} columns ({}), but {} names are given",
            alias.name.value,
            fields.len(),
            names.join(", "),
            alias.columns.len()
        );
        Err(Diagnostic::error(Code::InvalidDefinition, message).at(self.span(alias.span())))
    }

    fn refuse_query_clauses(&self, query: &ast::Query) -> Result<()> {
        if query.locks.is_empty() && query.for_clause.is_none() {
            return Ok(());
        }
        let behind = self.span(query.body.span()).end;
        Err(Diagnostic::not_supported("FOR").at(self.word_behind("FOR", behind)))
    }

    pub(super) fn set_expr(&self, body: &SetExpr, around: &Around) -> Result<LogicalPlan> {
        match body {
            SetExpr::Select(select) => Ok(self.select_under_hints(select, &[], around)?.plan),
            SetExpr::Query(query) => self.query(query, around),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { .. } => self.set_operation(body, around),
            SetExpr::Table(_) => Err(Diagnostic::not_supported("TABLE name").at(self.span(body.span()))),
            _ => Err(Diagnostic::error(Code::Syntax, "expected a query").at(self.span(body.span()))),
        }
    }

    // --- VALUES ---------------------------------------------------------------------------------

    fn values(&self, values: &ast::Values) -> Result<LogicalPlan> {
        let scope = Scope::default();
        let binder = ExprBinder::new(self, &scope);
        let rows = self.all(values.rows.iter().map(|row| {
            let items = row.content.iter().map(|expr| binder.bind(expr));
            self.all(items)
        }))?;
        // `VALUES ROW(1, 'a')` and `VALUES (1, 'a')` mean the same.
        let width = rows.first().map_or(0, Vec::len);
        for (row, ast) in rows.iter().zip(&values.rows) {
            if row.len() != width {
                let span = row.iter().fold(Span::default(), |span, it| span.union(it.span));
                let message = format!("this row has {} values, the first has {width}", ast.content.len());
                return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
            }
        }
        let types = self.all((0..width).map(|column| {
            let values: Vec<Expr> = rows.iter().filter_map(|row| row.get(column).cloned()).collect();
            common(&values).ok_or_else(|| {
                let what = format!("the values of column {}", column + 1);
                no_common_type(&what, &values)
                    .at(values.iter().fold(Span::default(), |span, it| span.union(it.span)))
            })
        }))?;
        let rows =
            rows.into_iter().map(|row| row.into_iter().zip(&types).map(|(it, to)| convert(it, to)).collect());
        let rows = rows.collect();
        let fields = types.into_iter().enumerate().map(|(at, it)| Field::new(format!("EXPR${at}"), it));
        Ok(LogicalPlan::Values { rows, schema: Schema::new(fields.collect()) })
    }
}

/// The plan without an ORDER BY on its top that takes no part of the rows.
pub(super) fn without_order(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort { input, offset: 0, limit: None, .. } => *input,
        LogicalPlan::Project { input, exprs, schema } if matches!(*input, LogicalPlan::Sort { .. }) => {
            LogicalPlan::Project { input: Box::new(without_order(*input)), exprs, schema }
        }
        other => other,
    }
}

/// References to all columns.
pub(super) fn columns_of(schema: &Schema) -> impl Iterator<Item = Expr> {
    schema.fields.iter().enumerate().map(|(at, it)| Expr::column(at, &it.name, it.data_type.clone()))
}

/// `exprs` over the plan; constant rows are computed right away, and expressions go into a
/// projection that is there already, if each of its columns is read at most once.
pub(super) fn replace_top(plan: LogicalPlan, exprs: Vec<Expr>, schema: Schema) -> LogicalPlan {
    let simple = exprs.iter().all(|it| it.columns().len() <= 1);
    match plan {
        LogicalPlan::Values { rows, .. } if simple => {
            let rows =
                rows.into_iter().map(|row| exprs.iter().map(|it| substitute(it, &row)).collect()).collect();
            LogicalPlan::Values { rows, schema }
        }
        LogicalPlan::Project { input, exprs: inner, .. } if simple => {
            let exprs = exprs.iter().map(|it| substitute(it, &inner)).collect();
            LogicalPlan::Project { input, exprs, schema }
        }
        plan => LogicalPlan::Project { input: Box::new(plan), exprs, schema },
    }
}

/// The expression with the columns replaced. A cast of a constant becomes a constant.
pub(super) fn substitute(expr: &Expr, columns: &[Expr]) -> Expr {
    match &expr.kind {
        ExprKind::Column { index, .. } => columns.get(*index).cloned().unwrap_or_else(|| expr.clone()),
        ExprKind::Cast { input, mode } => {
            let input = substitute(input, columns);
            let nullable = input.data_type.nullable || *mode == flott_expr::CastMode::Try;
            let span = input.span;
            coerce::cast_expr(input, &expr.data_type.clone().with_nullable(nullable), *mode).at(span)
        }
        _ => {
            let mut out = expr.clone();
            for child in out.children_mut() {
                *child = substitute(child, columns);
            }
            if out.span.is_empty() {
                out.span = out.children().first().map_or(Span::default(), |it| it.span);
            }
            out
        }
    }
}

/// The same plan with other names and the same types.
pub(super) fn with_schema(plan: LogicalPlan, names: Schema) -> LogicalPlan {
    match plan {
        LogicalPlan::Values { rows, .. } => LogicalPlan::Values { rows, schema: names },
        LogicalPlan::Project { input, exprs, .. } => LogicalPlan::Project { input, exprs, schema: names },
        LogicalPlan::Union { inputs, .. } => LogicalPlan::Union { inputs, schema: names },
        LogicalPlan::Sort { input, keys, offset, limit, span } => {
            let input = Box::new(with_schema(*input, names));
            LogicalPlan::Sort { input, keys, offset, limit, span }
        }
        plan => {
            let exprs = columns_of(&plan.schema()).collect();
            LogicalPlan::Project { input: Box::new(plan), exprs, schema: names }
        }
    }
}

/// A result's names are unique: a second `a` is called `a0`, a third `a1`.
pub(super) fn with_unique_names(plan: LogicalPlan) -> LogicalPlan {
    let mut schema = plan.schema();
    let mut used: HashSet<String> = HashSet::new();
    let mut renamed = false;
    for field in &mut schema.fields {
        if used.insert(field.name.clone()) {
            continue;
        }
        let base = field.name.clone();
        let free = (0..).map(|n| format!("{base}{n}")).find(|name| !used.contains(name));
        if let Some(name) = free {
            used.insert(name.clone());
            field.name = name;
            renamed = true;
        }
    }
    if renamed { with_schema(plan, schema) } else { plan }
}

/// A result's column cannot be of the bare literal NULL's type.
pub(super) fn check_null_columns(binder: &Binder<'_>, plan: &LogicalPlan, query: &ast::Query) -> Result<()> {
    for (at, field) in plan.schema().fields.iter().enumerate() {
        if field.data_type.kind != TypeKind::Null {
            continue;
        }
        let expr = match plan {
            LogicalPlan::Project { exprs, .. } => exprs.get(at),
            LogicalPlan::Values { rows, .. } => rows.first().and_then(|row| row.get(at)),
            _ => None,
        };
        let span = expr.map_or_else(|| binder.span(query.span()), |it| it.span);
        return Err(Diagnostic::error(Code::TypeMismatch, "the type of this NULL is unknown")
            .at(span)
            .help("write CAST(NULL AS type)"));
    }
    Ok(())
}

/// The type that the values have in common, nullable if one of them is.
fn common(values: &[Expr]) -> Option<DataType> {
    let types: Vec<DataType> = values.iter().map(|it| it.data_type.clone()).collect();
    let nullable =
        values.iter().any(|it| it.data_type.nullable || matches!(it.kind, ExprKind::Literal(Value::Null)));
    coerce::common_type(&types).map(|it| it.with_nullable(nullable))
}
