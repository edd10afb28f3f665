//! `CREATE TABLE` and `CREATE VIEW`.
//!
//! ```text
//!   CreateTable ─► Draft (own parts) ─ LIKE: like.rs ─► Draft ─ check, bind ─► catalog::Table
//!                                   └─ AS: query's columns ┘
//! ```

use std::collections::BTreeMap;

use flott_expr::{Expr, ExprKind};
use flott_types::{
    Code, ColumnKind, DataType, Diagnostic, Field, Options, Result, Schema, Span, TableColumn,
    TableDescription, TypeKind,
};
use sqlparser::ast;

use super::{Outcome, Session, exists, like, view_entry};
use crate::{
    Entry, LogicalPlan, Source, Table,
    catalog::{Column, View, WatermarkDef},
    parse::ast::{
        ColumnDef, ColumnDefKind, CreateTable, CreateView, InsertStatement, Name, QualifiedName, Watermark,
    },
};

/// A table under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) columns: Vec<DraftColumn>,
    pub(super) primary_key: Vec<Name>,
    pub(super) partition_keys: Vec<Name>,
    pub(super) watermark: Option<DraftWatermark>,
    pub(super) options: Options,
}

/// A column under construction.
#[derive(Debug, Clone)]
pub(super) struct DraftColumn {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) comment: Option<String>,
    pub(super) kind: DraftKind,
}

#[derive(Debug, Clone)]
pub(super) enum DraftKind {
    Stored { data_type: DataType, kind: ColumnKind },
    Computed(Formula),
}

/// An expression over a table's columns.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    /// As written in this statement.
    Written { expr: Box<ast::Expr>, text: String, span: Span },
    /// Taken from another table: bound there, columns to be found again by name.
    Bound { expr: Expr, text: String },
}

#[derive(Debug, Clone)]
pub(super) struct DraftWatermark {
    pub(super) column: String,
    pub(super) column_span: Span,
    pub(super) formula: Formula,
}

impl Session {
    pub(super) fn create_table(&mut self, source: &Source, create: &CreateTable) -> Result<Outcome> {
        let path = self.path(&create.name)?;
        if self.catalog.entry(&path).is_some() {
            return match create.if_not_exists {
                true => Ok(Outcome::Done),
                false => Err(exists(&create.name).help("CREATE TABLE IF NOT EXISTS leaves it as it is")),
            };
        }
        let mut draft = written(source, create)?;
        let mut query_columns = Vec::new();
        if let Some(like) = &create.like {
            let (_, entry) = self.entry(&like.table)?;
            let Entry::Table(base) = entry else {
                return Err(Diagnostic::error(Code::InvalidDefinition, "LIKE takes a table, not a view")
                    .at(like.table.span));
            };
            draft = like::merge(base, like, draft)?;
        } else if let Some((query, span)) = &create.query {
            let plan = self.bind(source, |binder| binder.bind_query(query))?;
            query_columns = add_query_columns(&mut draft, create, &plan.schema(), *span)?;
        }
        let table = self.finish(source, create, draft)?;
        self.undeclared.remove(&path);
        self.catalog.insert(path.clone(), Entry::Table(Box::new(table)));
        let Some((query, _)) = &create.query else { return Ok(Outcome::Done) };
        let insert = InsertStatement {
            overwrite: false,
            target: create.name.clone(),
            hints: Options::new(),
            partition: Vec::new(),
            columns: query_columns,
            query: query.clone(),
            on_conflict: None,
            span: create.name.span,
        };
        self.bind_insert(source, &insert).map(|insert| Outcome::Insert(vec![insert])).inspect_err(|_| {
            self.catalog.remove(&path);
        })
    }

    /// Checks a draft and binds its expressions.
    fn finish(&mut self, source: &Source, create: &CreateTable, mut draft: Draft) -> Result<Table> {
        check_names(&draft)?;
        check_primary_key(&mut draft)?;
        check_partition_keys(&draft)?;
        let stored = draft.columns.iter().filter_map(|column| match &column.kind {
            DraftKind::Stored { data_type, kind } => Some(TableColumn {
                name: column.name.clone(),
                data_type: data_type.clone(),
                kind: kind.clone(),
                span: column.span,
            }),
            DraftKind::Computed(_) => None,
        });
        let description = TableDescription {
            name: create.name.parts.last().map(|it| it.value.clone()).unwrap_or_default(),
            span: create.name.span,
            columns: stored.collect(),
            primary_key: draft.primary_key.iter().map(|it| it.value.clone()).collect(),
            partition_keys: draft.partition_keys.iter().map(|it| it.value.clone()).collect(),
            options: draft.options,
        };
        let schema = description.schema();
        let mut columns = Vec::new();
        let mut errors = Vec::new();
        for column in draft.columns {
            match self.finish_column(source, column, &schema) {
                Ok(column) => columns.push(column),
                Err(error) => errors.push(error),
            }
        }
        // A watermark over a column that has an error would only repeat it.
        if let Some(first) = errors.first().cloned() {
            self.diagnostics.extend(errors.into_iter().skip(1));
            return Err(first);
        }
        let watermark = draft.watermark.map(|it| self.finish_watermark(source, it, &columns)).transpose()?;
        Ok(Table {
            description,
            columns,
            watermark,
            comment: create.comment.clone(),
            temporary: create.temporary,
        })
    }

    fn finish_column(&mut self, source: &Source, column: DraftColumn, schema: &Schema) -> Result<Column> {
        let (data_type, computed) = match column.kind {
            DraftKind::Stored { data_type, .. } => (data_type, None),
            DraftKind::Computed(formula) => {
                let what = format!("computed column '{}'", column.name);
                let (expr, text) = self.bind_formula(source, formula, schema, &what, column.span)?;
                if expr.data_type.is_null() {
                    let message = format!("{what} has no type");
                    return Err(Diagnostic::error(Code::InvalidDefinition, message)
                        .at(column.span)
                        .help("give NULL a type: CAST(NULL AS STRING)"));
                }
                (expr.data_type.clone(), Some((expr, text)))
            }
        };
        Ok(Column { name: column.name, data_type, computed, comment: column.comment })
    }

    fn bind_formula(
        &mut self,
        source: &Source,
        formula: Formula,
        schema: &Schema,
        what: &str,
        span: Span,
    ) -> Result<(Expr, String)> {
        match formula {
            Formula::Written { expr, text, span } => {
                let bound = self.bind(source, |binder| binder.bind_column_expr(&expr, schema));
                Ok((bound.map_err(|error| error.at(span))?, text))
            }
            Formula::Bound { expr, text } => rebind(expr, schema, what, span).map(|expr| (expr, text)),
        }
    }

    fn finish_watermark(
        &mut self,
        source: &Source,
        watermark: DraftWatermark,
        columns: &[Column],
    ) -> Result<WatermarkDef> {
        let schema = Schema::new(columns.iter().map(|c| Field::new(&c.name, c.data_type.clone())).collect());
        let Some(column) = schema.index_of(&watermark.column) else {
            let message = format!("the watermark's column '{}' is not in the table", watermark.column);
            return Err(Diagnostic::error(Code::UnknownColumn, message)
                .at(watermark.column_span)
                .did_you_mean(&watermark.column, columns.iter().map(|c| c.name.as_str())));
        };
        let time_type = &columns[column].data_type;
        let what = format!("time column '{}'", watermark.column);
        check_time_type(time_type, &what, watermark.column_span)?;
        let span = match &watermark.formula {
            Formula::Written { span, .. } => *span,
            Formula::Bound { .. } => watermark.column_span,
        };
        let (expr, text) =
            self.bind_formula(source, watermark.formula, &schema, "the watermark", watermark.column_span)?;
        check_time_type(&expr.data_type, "the watermark", span)?;
        if std::mem::discriminant(&expr.data_type.kind) != std::mem::discriminant(&time_type.kind) {
            let message = format!(
                "the watermark is {}, its column '{}' is {time_type}",
                expr.data_type, watermark.column
            );
            return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
        }
        let before = columns.iter().take(column).filter(|it| it.computed.is_none()).count();
        let read_column = columns[column].computed.is_none().then_some(before);
        Ok(WatermarkDef { column, read_column, expr, text })
    }

    pub(super) fn create_view(&mut self, source: &Source, create: &CreateView) -> Result<Outcome> {
        let path = self.path(&create.name)?;
        if self.catalog.entry(&path).is_some() {
            return match create.if_not_exists {
                true => Ok(Outcome::Done),
                false => Err(exists(&create.name).help("CREATE VIEW IF NOT EXISTS leaves it as it is")),
            };
        }
        let plan = self.bind(source, |binder| binder.bind_query(&create.query))?;
        let plan = rename(plan, create)?;
        let view = View {
            plan,
            text: source.slice(create.query_span).to_string(),
            span: create.name.span,
            comment: create.comment.clone(),
            temporary: create.temporary,
        };
        self.undeclared.remove(&path);
        self.catalog.insert(path, view_entry(view));
        Ok(Outcome::Done)
    }
}

/// A statement's own parts.
fn written(source: &Source, create: &CreateTable) -> Result<Draft> {
    let columns = create.columns.iter().map(|column| written_column(source, column)).collect();
    let watermark = create.watermark.as_ref().map(|it| written_watermark(source, it)).transpose()?;
    Ok(Draft {
        columns,
        primary_key: create.primary_key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
        partition_keys: create.partitioned_by.clone(),
        watermark,
        options: create.options.clone(),
    })
}

fn written_column(source: &Source, column: &ColumnDef) -> DraftColumn {
    let kind = match &column.kind {
        ColumnDefKind::Physical { data_type } => {
            DraftKind::Stored { data_type: data_type.clone(), kind: ColumnKind::Physical }
        }
        ColumnDefKind::Metadata { data_type, key, is_virtual } => {
            let key = key.as_ref().unwrap_or(&column.name).value.clone();
            let kind = ColumnKind::Metadata { key, is_virtual: *is_virtual };
            DraftKind::Stored { data_type: data_type.clone(), kind }
        }
        ColumnDefKind::Computed { expr, span } => DraftKind::Computed(formula(source, expr, *span)),
    };
    DraftColumn { name: column.name.value.clone(), span: column.span, comment: column.comment.clone(), kind }
}

fn formula(source: &Source, expr: &ast::Expr, span: Span) -> Formula {
    Formula::Written { expr: Box::new(expr.clone()), text: source.slice(span).to_string(), span }
}

fn written_watermark(source: &Source, watermark: &Watermark) -> Result<DraftWatermark> {
    let QualifiedName { parts, span } = &watermark.column;
    let [column] = parts.as_slice() else {
        return Err(Diagnostic::not_supported("a watermark on a field of a ROW")
            .at(*span)
            .help("declare a computed column for the field, and the watermark on it"));
    };
    Ok(DraftWatermark {
        column: column.value.clone(),
        column_span: *span,
        formula: formula(source, &watermark.expr, watermark.expr_span),
    })
}

/// `CREATE TABLE … AS`: the query's columns behind the declared ones; a declared column of the same
/// name gives its type and stands where the query has it. Returns the query's columns.
fn add_query_columns(
    draft: &mut Draft,
    create: &CreateTable,
    schema: &Schema,
    span: Span,
) -> Result<Vec<Name>> {
    let mut from_query = Vec::new();
    for field in &schema.fields {
        if field.data_type.is_null() {
            let message = format!("column '{}' of the query has no type", field.name);
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(span)
                .help("give NULL a type: CAST(NULL AS STRING)"));
        }
        let declared = draft.columns.iter().position(|column| column.name == field.name);
        from_query.push(match declared.map(|at| draft.columns.remove(at)) {
            Some(DraftColumn { kind: DraftKind::Computed(_), span, .. }) => {
                let message =
                    format!("'{}' is computed, but the query has a column of that name", field.name);
                return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
            }
            Some(column) => column,
            None => DraftColumn {
                name: field.name.clone(),
                span: create.name.span,
                comment: None,
                kind: DraftKind::Stored { data_type: field.data_type.clone(), kind: ColumnKind::Physical },
            },
        });
    }
    let names = schema.fields.iter().map(|field| Name { value: field.name.clone(), span });
    if !create.column_names.is_empty() {
        from_query = reordered(from_query, create, span)?;
    }
    draft.columns.extend(from_query);
    Ok(names.collect())
}

fn reordered(columns: Vec<DraftColumn>, create: &CreateTable, span: Span) -> Result<Vec<DraftColumn>> {
    let mut columns: BTreeMap<String, DraftColumn> =
        columns.into_iter().map(|column| (column.name.clone(), column)).collect();
    let mut out = Vec::new();
    for name in &create.column_names {
        let Some(column) = columns.remove(&name.value) else {
            let known: Vec<String> = columns.into_keys().collect();
            let message = format!("the query has no column '{}'", name.value);
            return Err(Diagnostic::error(Code::UnknownColumn, message)
                .at(name.span)
                .did_you_mean(&name.value, known.iter().map(String::as_str)));
        };
        out.push(column);
    }
    match columns.into_keys().next() {
        None => Ok(out),
        Some(left) => {
            let message = format!("the list of columns leaves out the query's column '{left}'");
            Err(Diagnostic::error(Code::InvalidDefinition, message).at(span))
        }
    }
}

// --- checks --------------------------------------------------------------------------------------

fn check_names(draft: &Draft) -> Result<()> {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for column in &draft.columns {
        if let Some(first) = seen.insert(&column.name, column.span) {
            let message = format!("the table has two columns named '{}'", column.name);
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(column.span)
                .related(first, "the first one"));
        }
    }
    if !draft.columns.iter().any(|column| matches!(column.kind, DraftKind::Stored { .. }))
        && !draft.columns.is_empty()
    {
        let span = draft.columns.first().map_or(Span::default(), |column| column.span);
        return Err(Diagnostic::not_supported("a table of computed columns only").at(span));
    }
    Ok(())
}

/// The position of a column that a key names; it must be physical.
fn key_column(draft: &Draft, name: &Name, what: &str) -> Result<usize> {
    let Some(at) = draft.columns.iter().position(|column| column.name == name.value) else {
        return Err(Diagnostic::error(
            Code::UnknownColumn,
            format!("no column '{}' for the {what}", name.value),
        )
        .at(name.span)
        .did_you_mean(&name.value, draft.columns.iter().map(|column| column.name.as_str())));
    };
    match &draft.columns[at].kind {
        DraftKind::Stored { kind: ColumnKind::Physical, .. } => Ok(at),
        _ => {
            let message = format!("column '{}' of the {what} is not a physical column", name.value);
            Err(Diagnostic::error(Code::InvalidDefinition, message).at(name.span))
        }
    }
}

fn check_twice(names: &[Name], what: &str) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|earlier| earlier.value == name.value) {
            let message = format!("column '{}' is named twice in the {what}", name.value);
            return Err(Diagnostic::error(Code::InvalidDefinition, message).at(name.span));
        }
    }
    Ok(())
}

/// The columns of a primary key are NOT NULL, declared so or not.
fn check_primary_key(draft: &mut Draft) -> Result<()> {
    check_twice(&draft.primary_key, "primary key")?;
    for name in draft.primary_key.clone() {
        let at = key_column(draft, &name, "primary key")?;
        if let Some(DraftColumn { kind: DraftKind::Stored { data_type, .. }, .. }) = draft.columns.get_mut(at)
        {
            data_type.nullable = false;
        }
    }
    Ok(())
}

fn check_partition_keys(draft: &Draft) -> Result<()> {
    check_twice(&draft.partition_keys, "partition key")?;
    draft.partition_keys.iter().try_for_each(|name| key_column(draft, name, "partition key").map(|_| ()))
}

fn check_time_type(data_type: &DataType, what: &str, span: Span) -> Result<()> {
    match data_type.kind {
        TypeKind::Timestamp(0..=3) | TypeKind::TimestampLtz(0..=3) => Ok(()),
        _ => Err(Diagnostic::error(
            Code::TypeMismatch,
            format!("{what} must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p from 0 to 3, not {data_type}"),
        )
        .at(span)
        .help("CAST(x AS TIMESTAMP(3)); numbers of milliseconds: TO_TIMESTAMP_LTZ(x, 3)")),
    }
}

/// An expression bound over another table: its columns found again by name.
fn rebind(mut expr: Expr, schema: &Schema, what: &str, span: Span) -> Result<Expr> {
    let mut missing = None;
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, name } = &mut node.kind {
            match schema.index_of(name) {
                Some(at) => *index = at,
                None => missing = Some(name.clone()),
            }
        }
    });
    match missing {
        None => Ok(expr),
        Some(name) => {
            let message = format!("{what} needs column '{name}', which LIKE does not take over");
            Err(Diagnostic::error(Code::InvalidDefinition, message).at(span))
        }
    }
}

/// The plan with the view's own names of columns.
fn rename(plan: LogicalPlan, create: &CreateView) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let names: Vec<String> = if create.columns.is_empty() {
        schema.fields.iter().map(|field| field.name.clone()).collect()
    } else {
        create.columns.iter().map(|name| name.value.clone()).collect()
    };
    if names.len() != schema.len() {
        let span = create.columns.iter().fold(Span::default(), |span, name| span.union(name.span));
        let message = format!("the view names {} columns, its query has {}", names.len(), schema.len());
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
    }
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|earlier| earlier == name) {
            let message = format!("the view has two columns named '{name}'");
            let span = create.columns.get(at).map_or(create.query_span, |name| name.span);
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(span)
                .help("rename one with AS, or name the columns: CREATE VIEW v (a, b) AS …"));
        }
    }
    if create.columns.is_empty() {
        return Ok(plan);
    }
    let column = |(at, field): (usize, &Field)| Expr::column(at, &field.name, field.data_type.clone());
    let exprs = schema.fields.iter().enumerate().map(column).collect();
    let fields = names.into_iter().zip(&schema.fields).map(|(name, field)| Field { name, ..field.clone() });
    Ok(LogicalPlan::Project { input: Box::new(plan), exprs, schema: Schema::new(fields.collect()) })
}
