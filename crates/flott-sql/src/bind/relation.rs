//! `FROM`: tables, views, sub-queries, UNNEST.

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{
    Code, DataType, Diagnostic, Field, Options, Result, Schema, Span, TimeAttribute, TypeKind,
};
use sqlparser::ast::{self, Ident, JoinConstraint, JoinOperator, Spanned, TableFactor};

use super::{
    Binder,
    changelog::is_changelog,
    expr::ExprBinder,
    lateral::lateral,
    query::{Around, without_order},
    scope::{Relation, Scope, span_of},
    select::{is_proctime, one_row},
    window::is_window,
};
use crate::{
    Entry, LogicalPlan, Table,
    catalog::Column,
    parse::{QUERY, split_hints},
    plan::JoinKind,
};

/// `UNNEST(array) [WITH ORDINALITY] [AS alias]`, however the parser wrote it.
struct Unnest<'q> {
    array: &'q ast::Expr,
    ordinality: bool,
    alias: Option<&'q ast::TableAlias>,
}

impl Binder<'_> {
    /// All items of `FROM` and the names they bring.
    pub(super) fn from(
        &self,
        items: &[ast::TableWithJoins],
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let mut plan: Option<(LogicalPlan, Scope)> = None;
        for item in items {
            let joined = match plan {
                None => {
                    let (plan, scope) = self.first(&item.relation, around)?;
                    (plan, Scope { outer: around.outer.clone(), ..scope })
                }
                Some((input, scope)) => self.next(input, scope, &item.relation, around)?,
            };
            let mut joins = item.joins.iter();
            plan =
                Some(joins.try_fold(joined, |(input, scope), join| self.join(input, scope, join, around))?);
        }
        plan.ok_or_else(|| Diagnostic::error(Code::Internal, "FROM without items"))
    }

    fn first(&self, factor: &TableFactor, around: &Around) -> Result<(LogicalPlan, Scope)> {
        if self.unnest_of(factor)?.is_some() {
            let scope = Scope { outer: around.outer.clone(), ..Scope::default() };
            return self.next(one_row(), scope, factor, around);
        }
        self.table_factor(factor, around)
    }

    /// `input, factor`
    fn next(
        &self,
        input: LogicalPlan,
        scope: Scope,
        factor: &TableFactor,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        if let Some(lateral) = lateral(factor) {
            return self.beside(input, scope, &lateral, (JoinKind::Inner, None), around);
        }
        match self.unnest_of(factor)? {
            Some(unnest) => self.unnest(input, scope, &unnest, false),
            None => self.cross(input, scope, factor, around),
        }
    }

    /// `input JOIN factor …`
    fn join(
        &self,
        input: LogicalPlan,
        scope: Scope,
        join: &ast::Join,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        if let Some(lateral) = lateral(&join.relation) {
            return self.join_lateral(input, scope, &lateral, join, around);
        }
        let Some(unnest) = self.unnest_of(&join.relation)? else {
            return self.join_tables(input, scope, join, around);
        };
        let span = self.factor_span(&join.relation);
        match &join.join_operator {
            JoinOperator::CrossJoin(_) => self.unnest(input, scope, &unnest, false),
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                let (plan, scope) = self.unnest(input, scope, &unnest, false)?;
                let JoinConstraint::On(on) = constraint else { return Ok((plan, scope)) };
                let predicate = ExprBinder::new(self, &scope).condition(on, "ON")?;
                if is_true(&predicate) {
                    return Ok((plan, scope));
                }
                Ok((LogicalPlan::Filter { input: Box::new(plan), predicate }, scope))
            }
            JoinOperator::Left(JoinConstraint::On(on)) | JoinOperator::LeftOuter(JoinConstraint::On(on)) => {
                let (plan, scope) = self.unnest(input, scope, &unnest, true)?;
                let predicate = ExprBinder::new(self, &scope).condition(on, "ON")?;
                if is_true(&predicate) {
                    return Ok((plan, scope));
                }
                Err(Diagnostic::not_supported("LEFT JOIN UNNEST with a condition other than TRUE")
                    .at(predicate.span))
            }
            _ => Err(Diagnostic::not_supported("this join with UNNEST")
                .at(span)
                .help("CROSS JOIN UNNEST(…) and LEFT JOIN UNNEST(…) ON TRUE are there")),
        }
    }

    pub(super) fn table_factor(&self, factor: &TableFactor, around: &Around) -> Result<(LogicalPlan, Scope)> {
        let span = self.factor_span(factor);
        let not_supported = |what: &str| Err(Diagnostic::not_supported(what).at(span));
        if let Some((name, args, alias)) = table_function(factor)
            && is_window(&name)
        {
            let plan = self.window_function(&name, args, span, around)?;
            return self.relation(plan, Vec::new(), alias);
        }
        if let Some((QUERY, alias, query)) = query_call(factor) {
            let plan = self.query(query, around)?;
            return self.relation(plan, Vec::new(), alias);
        }
        if let Some((name, args, alias)) = table_function(factor)
            && is_changelog(&name)
        {
            let plan = self.changelog_function(&name, args, span, around)?;
            return self.relation(plan, Vec::new(), alias);
        }
        match factor {
            TableFactor::Table { args: Some(_), name, .. } => {
                not_supported(&format!("table function {}", name.to_string().to_ascii_uppercase()))
            }
            TableFactor::Table { version: Some(_), .. } => {
                not_supported("FOR SYSTEM_TIME AS OF anywhere but on the right side of a join")
            }
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                not_supported("TABLESAMPLE")
            }
            TableFactor::Table { name, alias, .. } => self.named(name, alias.as_ref(), around),
            TableFactor::Derived { subquery, alias, .. } => {
                let plan = self.query(subquery, around)?;
                self.relation(plan, Vec::new(), alias.as_ref())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.from(std::slice::from_ref(table_with_joins), around)
            }
            TableFactor::TableFunction { expr, .. } => {
                let name = match expr {
                    ast::Expr::Function(function) => function.name.to_string().to_ascii_uppercase(),
                    other => other.to_string(),
                };
                not_supported(&format!("table function {name}"))
            }
            TableFactor::Function { lateral: true, args, .. } => {
                let name = match args.as_slice() {
                    [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Function(inner)))] => {
                        inner.name.to_string()
                    }
                    _ => "LATERAL TABLE".to_string(),
                };
                Err(Diagnostic::not_supported(format_args!("table function {name}"))
                    .at(span)
                    .help("UNNEST(array) is the table function that is there"))
            }
            TableFactor::Function { name, .. } => not_supported(&format!("table function {name}")),
            TableFactor::MatchRecognize { .. } => self.match_recognize(factor, around),
            _ => not_supported("this item of FROM"),
        }
    }

    pub(super) fn factor_span(&self, factor: &TableFactor) -> Span {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                let name = self.span(name.span());
                self.called(name, name)
            }
            TableFactor::Table { name, .. } => self.span(name.span()),
            TableFactor::TableFunction { expr, .. } => self.place(expr),
            TableFactor::Function { name, args, .. } => {
                let args = args.iter().map(|it| self.span(it.span()));
                args.fold(self.span(name.span()), Span::union)
            }
            TableFactor::Derived { subquery, .. } => self.span(subquery.span()),
            TableFactor::MatchRecognize { table, .. } => self.factor_span(table),
            other => self.span(other.span()),
        }
    }

    // --- tables and views -----------------------------------------------------------------------

    pub(super) fn named(
        &self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let (parts, hints) = split_hints(self.source, name)?;
        let span = span_of(&parts, self.source);
        let names: Vec<String> = parts.iter().map(|it| it.value.clone()).collect();
        if let [only] = names.as_slice()
            && let Some((_, plan)) = around.ctes.iter().rev().find(|(name, _)| name == only)
        {
            refuse_hints(&hints, "a query of WITH")?;
            return self.relation(plan.clone(), names, alias);
        }
        let Some(entry) = self.catalog.get(&names) else {
            return Err(self.unknown_table(&parts, around, span));
        };
        let (catalog, database, table) = self.catalog.path(&names).unwrap_or_default();
        let path = vec![catalog, database, table];
        match entry {
            Entry::Table(table) => self.relation(scan(table, &hints, span), path, alias),
            Entry::View(view) => {
                refuse_hints(&hints, "a view")?;
                self.relation(without_order(view.plan.clone()), path, alias)
            }
        }
    }

    fn unknown_table(&self, parts: &[Ident], around: &Around, span: Span) -> Box<Diagnostic> {
        let text: Vec<&str> = parts.iter().map(|it| it.value.as_str()).collect();
        let text = text.join(".");
        let known: Vec<&str> =
            around.ctes.iter().map(|(name, _)| name.as_str()).chain(self.catalog.names()).collect();
        let error =
            Diagnostic::error(Code::UnknownTable, format!("table or view '{text}' not found")).at(span);
        if flott_types::closest(&text, known.iter().copied()).is_some() {
            return error.did_you_mean(&text, known);
        }
        match known.len() {
            0 => error.help("declare it with CREATE TABLE before this statement"),
            1..=10 => error.help(format!("there is: {}", known.join(", "))),
            _ => error,
        }
    }

    /// A plan under its alias, or its own name.
    pub(super) fn relation(
        &self,
        plan: LogicalPlan,
        path: Vec<String>,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(LogicalPlan, Scope)> {
        let mut fields = plan.schema().fields;
        let path = alias.map_or(path, |it| vec![it.name.value.clone()]);
        if let Some(alias) = alias {
            self.check_alias(alias, &fields)?;
            for (field, column) in fields.iter_mut().zip(&alias.columns) {
                field.name.clone_from(&column.name.value);
            }
        }
        Ok((plan, Scope::of(Relation { path, fields, start: 0 })))
    }

    // --- UNNEST ---------------------------------------------------------------------------------

    fn unnest_of<'q>(&self, factor: &'q TableFactor) -> Result<Option<Unnest<'q>>> {
        match factor {
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let span = array_exprs.iter().map(|it| self.place(it)).fold(Span::default(), Span::union);
                let [array] = array_exprs.as_slice() else { return Err(one_argument(span)) };
                Ok(Some(Unnest { array, ordinality: *with_ordinality, alias: alias.as_ref() }))
            }
            TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. }
                if name.to_string().eq_ignore_ascii_case("UNNEST") =>
            {
                let span = self.span(name.span());
                match args.args.as_slice() {
                    [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array))] => {
                        Ok(Some(Unnest { array, ordinality: *with_ordinality, alias: alias.as_ref() }))
                    }
                    _ => Err(one_argument(span)),
                }
            }
            // `LATERAL TABLE(UNNEST(array))`
            TableFactor::Function { lateral: true, name, args, with_ordinality, alias }
                if name.to_string().eq_ignore_ascii_case("TABLE") =>
            {
                let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Function(inner)))] =
                    args.as_slice()
                else {
                    return Ok(None);
                };
                if !inner.name.to_string().eq_ignore_ascii_case("UNNEST") {
                    return Ok(None);
                }
                let span = self.span(inner.name.span());
                let ast::FunctionArguments::List(list) = &inner.args else { return Err(one_argument(span)) };
                match list.args.as_slice() {
                    [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array))] => {
                        Ok(Some(Unnest { array, ordinality: *with_ordinality, alias: alias.as_ref() }))
                    }
                    _ => Err(one_argument(span)),
                }
            }
            _ => Ok(None),
        }
    }

    fn unnest(
        &self,
        input: LogicalPlan,
        mut scope: Scope,
        unnest: &Unnest<'_>,
        outer: bool,
    ) -> Result<(LogicalPlan, Scope)> {
        let collection = ExprBinder::new(self, &scope).bind(unnest.array)?;
        let mut fields = element_fields(&collection, unnest.alias)?;
        if unnest.ordinality {
            fields.push(Field::new("ORDINALITY", DataType::int().not_null()));
        }
        if outer {
            for field in &mut fields {
                field.data_type.nullable = true;
            }
        }
        if let Some(alias) = unnest.alias {
            self.check_alias(alias, &fields)?;
            for (field, column) in fields.iter_mut().zip(&alias.columns) {
                field.name.clone_from(&column.name.value);
            }
        }
        let mut schema = input.schema();
        let start = schema.len();
        schema.fields.extend(fields.iter().cloned());
        let path = unnest.alias.map_or(Vec::new(), |it| vec![it.name.value.clone()]);
        scope.relations.push(Relation { path, fields, start });
        let plan = LogicalPlan::Unnest {
            input: Box::new(input),
            collection,
            outer,
            ordinality: unnest.ordinality,
            schema,
        };
        Ok((plan, scope))
    }
}

fn one_argument(span: Span) -> Box<Diagnostic> {
    Diagnostic::not_supported("UNNEST of anything but one array or map").at(span)
}

/// The columns that one element becomes.
fn element_fields(collection: &Expr, alias: Option<&ast::TableAlias>) -> Result<Vec<Field>> {
    let element = match &collection.data_type.kind {
        TypeKind::Array(element) | TypeKind::Multiset(element) => element,
        TypeKind::Map(key, value) => {
            return Ok(vec![Field::new("KEY", (**key).clone()), Field::new("VALUE", (**value).clone())]);
        }
        other => {
            let message = format!("UNNEST needs an ARRAY, a MAP or a MULTISET, but this is of type {other}");
            return Err(Diagnostic::error(Code::TypeMismatch, message).at(collection.span));
        }
    };
    match &element.kind {
        TypeKind::Row(fields) => Ok(fields
            .iter()
            .map(|field| {
                let nullable = field.data_type.nullable || element.nullable;
                Field::new(&field.name, field.data_type.clone().with_nullable(nullable))
            })
            .collect()),
        _ => {
            let name = alias.map_or("EXPR$0", |it| it.name.value.as_str());
            Ok(vec![Field::new(name, (**element).clone())])
        }
    }
}

/// The table's declared columns: those that the connector reads, and the computed ones above.
fn scan(table: &Table, hints: &Options, span: Span) -> LogicalPlan {
    let mut description = table.description.clone();
    for (key, value) in hints.iter() {
        description.options.insert(key, value.clone());
    }
    let scan = LogicalPlan::Scan { table: description, watermark: table.watermark.clone(), span };
    if table.columns.iter().all(|column| column.computed.is_none()) {
        return scan;
    }
    let rowtime = table.watermark.as_ref().map(|it| it.column);
    let mut read = table.description.columns.iter().enumerate();
    let exprs = table.columns.iter().map(|column| match &column.computed {
        Some((expr, _)) => expr.clone(),
        None => {
            let index = read.next().map_or(0, |(index, _)| index);
            Expr::column(index, &column.name, column.data_type.clone())
        }
    });
    let fields = table.columns.iter().enumerate().map(|(at, column)| {
        Field::new(&column.name, column.data_type.clone()).with_time(column_time(column, at, rowtime))
    });
    LogicalPlan::Project {
        input: Box::new(scan),
        exprs: exprs.collect(),
        schema: Schema::new(fields.collect()),
    }
}

/// Of which kind a declared column is a time attribute; `rowtime` is the watermark's column.
pub(crate) fn column_time(column: &Column, at: usize, rowtime: Option<usize>) -> Option<TimeAttribute> {
    let proctime = column.computed.as_ref().is_some_and(|(expr, _)| is_proctime(expr));
    match (rowtime == Some(at), proctime) {
        (true, _) => Some(TimeAttribute::Rowtime),
        (false, true) => Some(TimeAttribute::Proctime),
        (false, false) => None,
    }
}

/// `TABLE(f(…)) AS t`, `f(…) AS t`: the name in capitals, arguments, alias.
fn table_function(factor: &TableFactor) -> Option<(String, &[ast::FunctionArg], Option<&ast::TableAlias>)> {
    let (name, args, alias) = match factor {
        TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => match &function.args {
            ast::FunctionArguments::List(list) => (&function.name, list.args.as_slice(), alias),
            _ => return None,
        },
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.as_slice(), alias),
        _ => return None,
    };
    Some((name.to_string().to_ascii_uppercase(), args, alias.as_ref()))
}

/// `$query((SELECT …)) AS t`: what the parser made of a sub-query.
fn query_call(factor: &TableFactor) -> Option<(&str, Option<&ast::TableAlias>, &ast::Query)> {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return None };
    let [ast::ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
    match args.args.as_slice() {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Subquery(query)))] => {
            Some((name.value.as_str(), alias.as_ref(), query.as_ref())).filter(|_| name.quote_style.is_none())
        }
        _ => None,
    }
}

fn refuse_hints(hints: &Options, what: &str) -> Result<()> {
    match hints.iter().next() {
        None => Ok(()),
        Some((key, value)) => Err(Diagnostic::error(
            Code::InvalidDefinition,
            format!("option '{key}' cannot be set for {what}"),
        )
        .at(value.key_span)
        .help("put the hint behind the table's name in its query")),
    }
}

pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Value::Boolean(true)))
}
