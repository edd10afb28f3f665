//! Queries: WITH, VALUES, UNION ALL. A SELECT is `select.rs`'s.

use std::collections::HashSet;

use flott_expr::{Expr, ExprKind, Value, coerce};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier, Spanned};

use super::{
    Binder,
    expr::{ExprBinder, convert, no_common_type},
    scope::Scope,
};
use crate::LogicalPlan;

/// The queries of the enclosing WITH clauses by name, inner ones last.
pub(super) type Ctes = Vec<(String, LogicalPlan)>;

impl Binder<'_> {
    pub(super) fn query(&self, query: &ast::Query, ctes: &Ctes) -> Result<LogicalPlan> {
        self.refuse_query_clauses(query)?;
        let mut ctes = ctes.clone();
        if let Some(with) = &query.with {
            if with.recursive {
                let span = self.clause("RECURSIVE", self.span(with.with_token.0.span));
                return Err(Diagnostic::not_supported("WITH RECURSIVE").at(span));
            }
            for cte in &with.cte_tables {
                let plan = self.query(&cte.query, &ctes)?;
                let plan = self.rename_columns(plan, &cte.alias)?;
                ctes.push((cte.alias.name.value.clone(), plan));
            }
        }
        self.set_expr(&query.body, &ctes)
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
        let behind = self.span(query.body.span()).end;
        let refused = if query.order_by.is_some() {
            Some(("ORDER BY", "ORDER BY"))
        } else if let Some(limit) = &query.limit_clause {
            match limit {
                ast::LimitClause::LimitOffset { limit: None, .. } => Some(("OFFSET", "OFFSET")),
                _ => Some(("LIMIT", "LIMIT")),
            }
        } else if query.fetch.is_some() {
            Some(("FETCH", "FETCH FIRST"))
        } else if !query.locks.is_empty() || query.for_clause.is_some() {
            Some(("FOR", "FOR"))
        } else {
            None
        };
        match refused {
            Some((word, what)) => Err(Diagnostic::not_supported(what).at(self.word_behind(word, behind))),
            None => Ok(()),
        }
    }

    fn set_expr(&self, body: &SetExpr, ctes: &Ctes) -> Result<LogicalPlan> {
        match body {
            SetExpr::Select(select) => self.select_under_hints(select, ctes),
            SetExpr::Query(query) => self.query(query, ctes),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.set_operation(body, *op, *set_quantifier, left, right, ctes)
            }
            SetExpr::Table(_) => Err(Diagnostic::not_supported("TABLE name").at(self.span(body.span()))),
            _ => Err(Diagnostic::error(Code::Syntax, "expected a query").at(self.span(body.span()))),
        }
    }

    // --- UNION ALL ------------------------------------------------------------------------------

    fn set_operation(
        &self,
        body: &SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: &SetExpr,
        right: &SetExpr,
        ctes: &Ctes,
    ) -> Result<LogicalPlan> {
        if op != SetOperator::Union || quantifier != SetQuantifier::All {
            let (word, what) = match op {
                SetOperator::Union => ("UNION", "UNION without ALL"),
                SetOperator::Except | SetOperator::Minus => ("EXCEPT", "EXCEPT"),
                SetOperator::Intersect => ("INTERSECT", "INTERSECT"),
            };
            let span = self.word_behind(word, self.span(left.span()).end);
            let error = Diagnostic::not_supported(what).at(span);
            return Err(if op == SetOperator::Union {
                error.help("UNION ALL keeps all rows")
            } else {
                error
            });
        }
        let span = self.span(body.span());
        let (left, right) = (self.set_expr(left, ctes), self.set_expr(right, ctes));
        let inputs = self.all([left, right].into_iter())?;
        // A chain of UNION ALL is one node.
        let inputs: Vec<LogicalPlan> = inputs
            .into_iter()
            .flat_map(|input| match input {
                LogicalPlan::Union { inputs, .. } => inputs,
                other => vec![other],
            })
            .collect();
        union(inputs, span)
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

/// The inputs' rows one after the other, in the columns' common types, with the first's names.
fn union(inputs: Vec<LogicalPlan>, span: Span) -> Result<LogicalPlan> {
    let schemas: Vec<Schema> = inputs.iter().map(LogicalPlan::schema).collect();
    let Some(first) = schemas.first() else {
        return Err(Diagnostic::error(Code::Internal, "UNION of nothing").at(span));
    };
    if let Some(other) = schemas.iter().find(|it| it.len() != first.len()) {
        let message = format!("the queries of UNION ALL have {} and {} columns", first.len(), other.len());
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
    }
    let mut fields = Vec::with_capacity(first.len());
    for (at, field) in first.fields.iter().enumerate() {
        let types: Vec<DataType> =
            schemas.iter().filter_map(|it| it.fields.get(at)).map(|it| it.data_type.clone()).collect();
        let nullable = types.iter().any(|it| it.nullable);
        let Some(common) = coerce::common_type(&types) else {
            let types: Vec<String> = types.iter().map(|it| it.kind.to_string()).collect();
            let message = format!(
                "column {} ('{}') of UNION ALL has types that have none in common: {}",
                at + 1,
                field.name,
                types.join(", ")
            );
            return Err(Diagnostic::error(Code::TypeMismatch, message)
                .at(span)
                .help("convert them with CAST(… AS type)"));
        };
        // The column is a time attribute if it is one of the same kind in all inputs.
        let time = field
            .time
            .filter(|_| schemas.iter().all(|it| it.fields.get(at).is_some_and(|it| it.time == field.time)));
        fields.push(Field::new(&field.name, common.with_nullable(nullable)).with_time(time));
    }
    let schema = Schema::new(fields);
    let inputs = inputs.into_iter().map(|input| as_types(input, &schema)).collect();
    Ok(LogicalPlan::Union { inputs, schema })
}

/// The plan with its columns cast to the schema's types.
fn as_types(plan: LogicalPlan, to: &Schema) -> LogicalPlan {
    let from = plan.schema();
    if from.fields.iter().zip(&to.fields).all(|(a, b)| a.data_type.kind == b.data_type.kind) {
        return plan;
    }
    let exprs = columns_of(&from).zip(&to.fields).map(|(column, field)| convert(column, &field.data_type));
    replace_top(plan, exprs.collect(), to.clone())
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
fn substitute(expr: &Expr, columns: &[Expr]) -> Expr {
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
