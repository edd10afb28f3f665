//! Parsed statements.
//!
//! Queries and expressions are `sqlparser`'s (their spans are lines and columns: see
//! [`crate::Source::span`]); everything around them is ours, with byte spans.

use flott_types::{DataType, Options, Span};
use sqlparser::ast::{Expr, Query};

use crate::OnConflict;

/// A statement and where it stands, without its `;`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Where it stands.
    pub span: Span,
}

/// An identifier or a string, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The text, quotes removed.
    pub value: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// `[[catalog.]database.]name`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedName {
    /// One to three names.
    pub parts: Vec<Name>,
    /// Where they stand.
    pub span: Span,
}

impl QualifiedName {
    /// The parts joined by dots.
    pub fn text(&self) -> String {
        self.parts.iter().map(|it| it.value.as_str()).collect::<Vec<_>>().join(".")
    }
}

/// The kinds of statement.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`
    CreateView(Box<CreateView>),
    /// `CREATE DATABASE`
    CreateDatabase {
        /// Its name.
        name: QualifiedName,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
    },
    /// `INSERT INTO`
    Insert(Box<InsertStatement>),
    /// `EXECUTE STATEMENT SET BEGIN … END`, `BEGIN STATEMENT SET; … END`
    StatementSet(Vec<InsertStatement>),
    /// A query at the top level.
    Query(Box<Query>),
    /// `SET`, with or without `'key' = 'value'`.
    Set(Option<(Name, Name)>),
    /// `RESET`, with or without a key.
    Reset(Option<Name>),
    /// `SHOW …`
    Show(Show),
    /// `DESCRIBE table`
    Describe(QualifiedName),
    /// `EXPLAIN` of a query, an insert or a statement set.
    Explain(Box<Statement>),
    /// `DROP …`
    Drop(Drop),
    /// `USE CATALOG name`
    UseCatalog(Name),
    /// `USE [catalog.]database`
    UseDatabase(QualifiedName),
    /// `ALTER TABLE` or `ALTER VIEW`
    Alter(Alter),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    /// What of.
    pub what: ShowWhat,
    /// `[NOT] LIKE 'pattern'`
    pub like: Option<Like>,
}

/// `[NOT] LIKE 'pattern'`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Like {
    /// `NOT`
    pub negated: bool,
    /// `ILIKE`
    pub ignore_case: bool,
    /// The pattern, with `%` and `_`.
    pub pattern: Name,
}

/// Things that `SHOW` lists.
#[derive(Debug, Clone, PartialEq)]
pub enum ShowWhat {
    /// `SHOW TABLES [FROM database]`: tables and views.
    Tables(Option<QualifiedName>),
    /// `SHOW VIEWS [FROM database]`
    Views(Option<QualifiedName>),
    /// `SHOW CREATE TABLE name`
    CreateTable(QualifiedName),
    /// `SHOW CREATE VIEW name`
    CreateView(QualifiedName),
    /// `SHOW COLUMNS FROM name`
    Columns(QualifiedName),
    /// `SHOW FUNCTIONS`
    Functions,
    /// `SHOW CATALOGS`
    Catalogs,
    /// `SHOW CURRENT CATALOG`
    CurrentCatalog,
    /// `SHOW DATABASES [FROM catalog]`
    Databases(Option<Name>),
    /// `SHOW CURRENT DATABASE`
    CurrentDatabase,
    /// `SHOW JARS`
    Jars,
    /// `SHOW MODULES`
    Modules,
}

/// Kinds of thing that can be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A database.
    Database,
}

/// `DROP [TEMPORARY] TABLE | VIEW | DATABASE [IF EXISTS] name`
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// What kind of thing.
    pub kind: ObjectKind,
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// Its name.
    pub name: QualifiedName,
    /// `CASCADE` (databases).
    pub cascade: bool,
}

/// `ALTER TABLE | VIEW [IF EXISTS] name …`
#[derive(Debug, Clone, PartialEq)]
pub struct Alter {
    /// A table or a view.
    pub kind: ObjectKind,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// Its name.
    pub name: QualifiedName,
    /// The change.
    pub action: AlterAction,
}

/// Changes of a table or a view.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `RENAME TO name`
    Rename(QualifiedName),
    /// `SET ('key' = 'value', …)`
    Set(Options),
    /// `RESET ('key', …)`
    Reset(Vec<Name>),
    /// `AS query` (views).
    Query(Box<Query>, Span),
}

/// `CREATE TABLE`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table's name.
    pub name: QualifiedName,
    /// The columns.
    pub columns: Vec<ColumnDef>,
    /// `PRIMARY KEY (…) NOT ENFORCED`, written as a constraint or at a column.
    pub primary_key: Option<PrimaryKey>,
    /// `WATERMARK FOR column AS expr`
    pub watermark: Option<Watermark>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// `PARTITIONED BY (…)`
    pub partitioned_by: Vec<Name>,
    /// `WITH (…)`
    pub options: Options,
    /// `LIKE table (…)`
    pub like: Option<LikeTable>,
    /// `AS query`, and where the query stands.
    pub query: Option<(Box<Query>, Span)>,
    /// Names without types (`CREATE TABLE t (a, b) AS SELECT …`): the query's columns, reordered.
    pub column_names: Vec<Name>,
}

/// A column's definition.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: ColumnDefKind,
    /// `COMMENT`
    pub comment: Option<String>,
    /// Where the whole definition stands.
    pub span: Span,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnDefKind {
    /// `name type`
    Physical {
        /// The type.
        data_type: DataType,
    },
    /// `name type METADATA [FROM 'key'] [VIRTUAL]`
    Metadata {
        /// The type.
        data_type: DataType,
        /// The key, if it isn't the column's name.
        key: Option<Name>,
        /// `VIRTUAL`: read only.
        is_virtual: bool,
    },
    /// `name AS expr`
    Computed {
        /// The expression.
        expr: Box<Expr>,
        /// Where it stands.
        span: Span,
    },
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryKey {
    /// `CONSTRAINT name`
    pub constraint: Option<Name>,
    /// The columns.
    pub columns: Vec<Name>,
    /// Where it stands.
    pub span: Span,
}

/// `WATERMARK FOR column AS expr`
#[derive(Debug, Clone, PartialEq)]
pub struct Watermark {
    /// The time column. Several parts name a field of a ROW.
    pub column: QualifiedName,
    /// The watermark.
    pub expr: Expr,
    /// Where the expression stands.
    pub expr_span: Span,
    /// Where the whole clause stands.
    pub span: Span,
}

/// `LIKE table (INCLUDING … EXCLUDING … OVERWRITING …)`
#[derive(Debug, Clone, PartialEq)]
pub struct LikeTable {
    /// The table that is taken as the model.
    pub table: QualifiedName,
    /// What is taken over, in the order written.
    pub rules: Vec<LikeRule>,
}

/// `INCLUDING OPTIONS` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LikeRule {
    /// How.
    pub strategy: LikeStrategy,
    /// What.
    pub feature: LikeFeature,
    /// Where it stands.
    pub span: Span,
}

/// How a part of a `LIKE` table is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeStrategy {
    /// Both; a conflict is an error.
    Including,
    /// Not.
    Excluding,
    /// Both; the new table wins.
    Overwriting,
}

/// Parts of a `LIKE` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    /// All parts.
    All,
    /// The primary key.
    Constraints,
    /// `DISTRIBUTED`
    Distribution,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// `WITH`
    Options,
    /// `PARTITIONED BY`
    Partitions,
    /// `WATERMARK FOR`
    Watermarks,
}

/// `CREATE VIEW`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The view's name.
    pub name: QualifiedName,
    /// New names of the query's columns; empty: the query's.
    pub columns: Vec<Name>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// The query.
    pub query: Box<Query>,
    /// Where the query stands.
    pub query_span: Span,
}

/// `INSERT INTO | OVERWRITE table [/*+ OPTIONS(…) */] [PARTITION (…)] [(columns)] query
/// [ON CONFLICT DO ERROR | NOTHING | DEDUPLICATE]`
#[derive(Debug, Clone, PartialEq)]
pub struct InsertStatement {
    /// `OVERWRITE`
    pub overwrite: bool,
    /// The table written.
    pub target: QualifiedName,
    /// `/*+ OPTIONS(…) */`
    pub hints: Options,
    /// `PARTITION (column = value, …)`
    pub partition: Vec<(Name, Expr)>,
    /// The columns written; empty: all.
    pub columns: Vec<Name>,
    /// The rows.
    pub query: Box<Query>,
    /// `ON CONFLICT DO …`, and where it stands.
    pub on_conflict: Option<(OnConflict, Span)>,
    /// Where the whole statement stands.
    pub span: Span,
}
