//! `INSERT INTO`: which column gets which value, and whether it may.
//!
//! ```text
//!   INSERT INTO t PARTITION (day = '…') (b, a) SELECT x, y …
//!                            │           │  │         │  │
//!          t:   a ◄──────────┼───────────┼──┘ ◄───────┼──┘      by position in the list,
//!               b ◄──────────┼───────────┘ ◄──────────┘         cast to the column's type
//!               c  NULL      │
//!               day ◄────────┘
//! ```

use flott_expr::{CastMode, Expr, ExprKind, Value, coerce, lookup};
use flott_types::{
    Code, ColumnKind, DataType, Diagnostic, Field, Result, Schema, Span, TableColumn, TableDescription,
    TypeKind,
};

use sqlparser::ast::Spanned;

use super::{
    Binder,
    expr::ExprBinder,
    literal,
    query::{Around, columns_of, replace_top},
    scope::Scope,
};
use crate::{
    Entry, Insert, LogicalPlan, OnConflict, Table,
    parse::ast::{InsertStatement, Name},
};

const NOT_NULL_ENFORCER: &str = "table.exec.sink.not-null-enforcer";
const RUNTIME_MODE: &str = "execution.runtime-mode";
const LENGTH_ENFORCER: &str = "table.exec.sink.type-length-enforcer";

/// What happens to a NULL that meets a NOT NULL column.
#[derive(Clone, Copy, PartialEq)]
enum NotNull {
    /// The row is an error.
    Error,
    /// The row is left out.
    Drop,
}

/// Where a sink's column gets its value.
enum Given {
    /// The query's column at this position.
    Query(usize),
    /// `PARTITION (column = value)`
    Static(Expr),
    /// Nowhere: NULL.
    Missing,
}

pub(super) fn bind(binder: &Binder<'_>, insert: &InsertStatement) -> Result<Insert> {
    let table = sink_table(binder, insert)?;
    check_mode(binder, insert)?;
    let mut sink = table.description.clone();
    sink.columns.retain(|column| is_writable(&column.kind));
    for (key, value) in insert.hints.iter() {
        sink.options.insert(key, value.clone());
    }
    let targets = targets(binder, table, &sink, insert);
    let query = binder.sorted_query(&insert.query, &Around::default());
    let (given, plan) = match (targets, query) {
        (Ok(given), Ok(plan)) => (given, plan),
        (Err(a), Err(b)) => {
            binder.report(*b);
            return Err(a);
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    let wanted: Vec<&TableColumn> = wanted(&sink, &given);
    let schema = plan.schema();
    if schema.len() != wanted.len() {
        return Err(wrong_count(&schema, &wanted, insert, binder));
    }
    check_types(binder, &plan, &schema, &wanted, insert)?;
    let plan = write(binder, plan, &sink, given, insert)?;
    let on_conflict = on_conflict(&sink, insert)?;
    Ok(Insert { sink, plan, overwrite: insert.overwrite, on_conflict, span: insert.target.span })
}

/// What is said of rows with the same primary key, which must be there.
fn on_conflict(sink: &TableDescription, insert: &InsertStatement) -> Result<Option<OnConflict>> {
    match insert.on_conflict {
        Some((_, span)) if sink.primary_key.is_empty() => {
            let message = "ON CONFLICT needs a primary key of the table";
            Err(Diagnostic::error(Code::UnsupportedUse, message)
                .at(span)
                .related(sink.span, "declared here")
                .help("declare PRIMARY KEY (…) NOT ENFORCED: rows conflict if they have one key"))
        }
        given => Ok(given.map(|(action, _)| action)),
    }
}

/// A stream has no end at which to replace what was there.
fn check_mode(binder: &Binder<'_>, insert: &InsertStatement) -> Result<()> {
    let batch = binder.options.get(RUNTIME_MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("batch"));
    if !insert.overwrite || batch {
        return Ok(());
    }
    Err(Diagnostic::error(Code::UnsupportedUse, "INSERT OVERWRITE needs batch mode")
        .at(insert.target.span)
        .help(format!("SET '{RUNTIME_MODE}' = 'batch'")))
}

fn is_writable(kind: &ColumnKind) -> bool {
    !matches!(kind, ColumnKind::Metadata { is_virtual: true, .. })
}

fn sink_table<'c>(binder: &Binder<'c>, insert: &InsertStatement) -> Result<&'c Table> {
    let names: Vec<&str> = insert.target.parts.iter().map(|it| it.value.as_str()).collect();
    match binder.catalog.get(&names) {
        Some(Entry::Table(table)) => Ok(table),
        Some(Entry::View(_)) => {
            let message = format!("'{}' is a view: rows cannot be written into it", insert.target.text());
            Err(Diagnostic::error(Code::UnsupportedUse, message).at(insert.target.span))
        }
        None => {
            let message = format!("table '{}' not found", insert.target.text());
            let error = Diagnostic::error(Code::UnknownTable, message).at(insert.target.span);
            Err(error.did_you_mean(&insert.target.text(), binder.catalog.names()))
        }
    }
}

// --- which column gets what -----------------------------------------------------------------------

fn targets(
    binder: &Binder<'_>,
    table: &Table,
    sink: &TableDescription,
    insert: &InsertStatement,
) -> Result<Vec<Given>> {
    let statics = binder.all(insert.partition.iter().map(|(name, value)| {
        let at = position(table, sink, name)?;
        if !sink.partition_keys.contains(&name.value) {
            return Err(Diagnostic::error(
                Code::InvalidDefinition,
                format!("'{}' is not a partition column", name.value),
            )
            .at(name.span)
            .did_you_mean(&name.value, sink.partition_keys.iter().map(String::as_str)));
        }
        let scope = Scope::default();
        let value = ExprBinder::new(binder, &scope).bind(value)?;
        let Some(to) = sink.columns.get(at).map(|it| &it.data_type) else {
            return Err(Diagnostic::error(Code::Internal, "a partition column beyond the last"));
        };
        // A partition's value is a constant; Flink casts it to the column's type.
        if !coerce::can_cast(&value.data_type, to) {
            return Err(mismatch(&name.value, &value.data_type, to).at(value.span));
        }
        Ok((at, coerce::cast_expr(value, to, CastMode::Strict)))
    }))?;
    let mut given: Vec<Given> = sink.columns.iter().map(|_| Given::Missing).collect();
    for (at, value) in statics {
        if let Some(slot) = given.get_mut(at) {
            *slot = Given::Static(value);
        }
    }
    if insert.columns.is_empty() {
        let open = given.iter_mut().filter(|it| matches!(it, Given::Missing));
        for (at, slot) in open.enumerate() {
            *slot = Given::Query(at);
        }
        return Ok(given);
    }
    let positions = binder.all(insert.columns.iter().map(|name| position(table, sink, name)))?;
    for (at, (position, name)) in positions.into_iter().zip(&insert.columns).enumerate() {
        match given.get_mut(position) {
            Some(slot @ Given::Missing) => *slot = Given::Query(at),
            _ => {
                let message = format!("column '{}' is given twice", name.value);
                return Err(Diagnostic::error(Code::InvalidDefinition, message).at(name.span));
            }
        }
    }
    Ok(given)
}

/// The position of a writable column.
fn position(table: &Table, sink: &TableDescription, name: &Name) -> Result<usize> {
    if let Some(at) = sink.columns.iter().position(|column| column.name == name.value) {
        return Ok(at);
    }
    let declared = table.columns.iter().find(|column| column.name == name.value);
    let why = match declared {
        Some(column) if column.computed.is_some() => "is computed: it cannot be written",
        Some(_) => "is VIRTUAL: it cannot be written",
        None => {
            let message = format!("column '{}' not found in '{}'", name.value, sink.name);
            return Err(Diagnostic::error(Code::UnknownColumn, message)
                .at(name.span)
                .did_you_mean(&name.value, sink.columns.iter().map(|column| column.name.as_str())));
        }
    };
    Err(Diagnostic::error(Code::UnsupportedUse, format!("column '{}' {why}", name.value)).at(name.span))
}

/// The sink's columns that the query's columns go to, in the query's order.
fn wanted<'s>(sink: &'s TableDescription, given: &[Given]) -> Vec<&'s TableColumn> {
    let mut found: Vec<(usize, &TableColumn)> = given
        .iter()
        .zip(&sink.columns)
        .filter_map(|(given, column)| match given {
            Given::Query(at) => Some((*at, column)),
            _ => None,
        })
        .collect();
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, column)| column).collect()
}

// --- checks -----------------------------------------------------------------------------------------

fn wrong_count(
    schema: &Schema,
    wanted: &[&TableColumn],
    insert: &InsertStatement,
    binder: &Binder<'_>,
) -> Box<Diagnostic> {
    let message = format!(
        "the query has {} columns, but {} of '{}' are to be written",
        schema.len(),
        wanted.len(),
        insert.target.text()
    );
    let error = Diagnostic::error(Code::TypeMismatch, message).at(query_span(binder, insert));
    with_schemas(error, schema, wanted)
}

fn query_span(binder: &Binder<'_>, insert: &InsertStatement) -> Span {
    binder.span(insert.query.span())
}

/// Both sides, for comparison.
fn with_schemas(error: Box<Diagnostic>, schema: &Schema, wanted: &[&TableColumn]) -> Box<Diagnostic> {
    let sink = Schema::new(wanted.iter().map(|it| Field::new(&it.name, it.data_type.clone())).collect());
    error.help(format!("the query gives: {schema}")).help(format!("the sink takes:  {sink}"))
}

fn mismatch(name: &str, from: &DataType, to: &DataType) -> Box<Diagnostic> {
    let message = format!("column '{name}' is of type {}, but the value is of type {}", to.kind, from.kind);
    Diagnostic::error(Code::TypeMismatch, message)
}

fn check_types(
    binder: &Binder<'_>,
    plan: &LogicalPlan,
    schema: &Schema,
    wanted: &[&TableColumn],
    insert: &InsertStatement,
) -> Result<()> {
    let checks = schema.fields.iter().zip(wanted).enumerate().map(|(at, (field, column))| {
        if field.data_type.is_null() || coerce::can_cast_implicitly(&field.data_type, &column.data_type) {
            return Ok(());
        }
        let span = output_span(plan, at).unwrap_or_else(|| query_span(binder, insert));
        let error = mismatch(&column.name, &field.data_type, &column.data_type)
            .at(span)
            .help(format!("write CAST(… AS {})", column.data_type.kind));
        Err(with_schemas(error, schema, wanted))
    });
    binder.all(checks).map(|_| ())
}

/// Where the plan's column at this position is written.
fn output_span(plan: &LogicalPlan, at: usize) -> Option<Span> {
    let expr = match plan {
        LogicalPlan::Project { exprs, .. } => exprs.get(at),
        LogicalPlan::Values { rows, .. } => rows.first().and_then(|row| row.get(at)),
        _ => None,
    };
    expr.map(|it| it.span).filter(|span| !span.is_empty())
}

// --- the plan ---------------------------------------------------------------------------------------

fn write(
    binder: &Binder<'_>,
    plan: LogicalPlan,
    sink: &TableDescription,
    given: Vec<Given>,
    insert: &InsertStatement,
) -> Result<LogicalPlan> {
    let enforcer = not_null_enforcer(binder)?;
    let trim = trims_lengths(binder)?;
    let columns: Vec<Expr> = columns_of(&plan.schema()).collect();
    let mut dropped: Vec<usize> = Vec::new();
    let mut exprs = Vec::with_capacity(sink.columns.len());
    for (column, given) in sink.columns.iter().zip(given) {
        let (value, position) = match given {
            Given::Query(at) => (columns.get(at).cloned(), Some(at)),
            Given::Static(value) => (Some(value), None),
            Given::Missing => (Some(missing(column, insert)?), None),
        };
        let value =
            value.ok_or_else(|| Diagnostic::error(Code::Internal, "a column beyond the query's last"))?;
        let value = to_sink_type(value, &column.data_type, trim);
        let checked = !column.data_type.nullable && value.data_type.nullable;
        exprs.push(match (checked, enforcer, position) {
            (true, NotNull::Drop, Some(at)) => {
                dropped.push(at);
                let not_null = value.data_type.clone().not_null();
                Expr { data_type: not_null, ..value }
            }
            (true, ..) => enforce(value, &column.name)?,
            (false, ..) => value,
        });
    }
    let plan = dropped.into_iter().try_fold(plan, |plan, at| -> Result<LogicalPlan> {
        let Some(column) = columns.get(at).cloned() else { return Ok(plan) };
        let predicate = match lookup("IS NOT NULL") {
            Some(function) => function.call(vec![column], Span::default())?,
            None => return Err(Diagnostic::not_supported(format_args!("'{NOT_NULL_ENFORCER}' = 'DROP'"))),
        };
        Ok(LogicalPlan::Filter { input: Box::new(plan), predicate })
    })?;
    Ok(match replace_top(plan, exprs, sink.schema()) {
        LogicalPlan::Values { rows, schema } => {
            let fold = |row: Vec<Expr>| row.into_iter().map(|it| binder.fold(it)).collect();
            LogicalPlan::Values { rows: rows.into_iter().map(fold).collect(), schema }
        }
        plan => plan,
    })
}

fn missing(column: &TableColumn, insert: &InsertStatement) -> Result<Expr> {
    if !column.data_type.nullable {
        let message = format!("column '{}' is NOT NULL, but the statement gives it no value", column.name);
        return Err(Diagnostic::error(Code::InvalidDefinition, message)
            .at(insert.target.span)
            .related(column.span, "declared here"));
    }
    Ok(Expr::literal(Value::Null, column.data_type.clone()))
}

/// The value in the column's type. Texts of another length are laid out the same, and stay as
/// they are unless lengths are to be enforced.
fn to_sink_type(value: Expr, to: &DataType, trim: bool) -> Expr {
    let text =
        value.data_type.is_character() && to.is_character() || value.data_type.is_binary() && to.is_binary();
    if text && !trim {
        return value;
    }
    let nullable = value.data_type.nullable;
    let span = value.span;
    coerce::cast_expr(value, &to.clone().with_nullable(nullable), CastMode::Strict).at(span)
}

/// A check that the value isn't NULL, so that such a row is an error of its own.
fn enforce(value: Expr, column: &str) -> Result<Expr> {
    let span = value.span;
    let error = || {
        Diagnostic::error(
            Code::InvalidDefinition,
            format!("column '{column}' is NOT NULL, but the value is NULL"),
        )
        .at(span)
    };
    if matches!(value.kind, ExprKind::Literal(Value::Null)) {
        return Err(error());
    }
    let name = literal::constant(
        Value::String(column.to_string()),
        TypeKind::Varchar(flott_length(column)),
        Span::default(),
    );
    match lookup("ENFORCE_NOT_NULL") {
        Some(function) => function.call(vec![value, name], span),
        None => Err(Diagnostic::not_supported("nullable values for NOT NULL columns").at(span)),
    }
}

fn flott_length(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

fn not_null_enforcer(binder: &Binder<'_>) -> Result<NotNull> {
    let parse = |text: &str| match text.to_ascii_uppercase().as_str() {
        "ERROR" => Ok(NotNull::Error),
        "DROP" => Ok(NotNull::Drop),
        _ => Err("expected 'ERROR' or 'DROP'".to_string()),
    };
    Ok(binder.options.parsed(NOT_NULL_ENFORCER, parse)?.unwrap_or(NotNull::Error))
}

fn trims_lengths(binder: &Binder<'_>) -> Result<bool> {
    match binder.options.get(LENGTH_ENFORCER).map(str::to_ascii_uppercase).as_deref() {
        None | Some("IGNORE") => Ok(false),
        Some("TRIM_PAD") => Ok(true),
        Some("ERROR") => Err(Diagnostic::not_supported(format_args!("'{LENGTH_ENFORCER}' = 'ERROR'"))
            .at(binder.options.span(LENGTH_ENFORCER))),
        Some(_) => {
            let parse = |_: &str| Err::<bool, _>("expected 'IGNORE', 'TRIM_PAD' or 'ERROR'".to_string());
            binder.options.parsed(LENGTH_ENFORCER, parse).map(|it| it.unwrap_or(false))
        }
    }
}
