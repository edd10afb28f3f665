//! Tables and views that a script has declared.

use std::collections::BTreeMap;

use flott_expr::Expr;
use flott_types::{DataType, Span, TableDescription};

use crate::LogicalPlan;

/// A column of a table as declared, computed columns included.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type (of a computed column: derived).
    pub data_type: DataType,
    /// A computed column's expression over the table's `description` columns, and its text.
    pub computed: Option<(Expr, String)>,
    /// The column's comment.
    pub comment: Option<String>,
}

/// `WATERMARK FOR column AS expr`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkDef {
    /// Position of the time column in the table's declared columns.
    pub column: usize,
    /// The watermark over the declared columns.
    pub expr: Expr,
    /// The expression's text.
    pub text: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What connectors see: physical and metadata columns.
    pub description: TableDescription,
    /// Declared columns in order; those without `computed` are `description.columns` in order.
    pub columns: Vec<Column>,
    /// The watermark.
    pub watermark: Option<WatermarkDef>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// `TEMPORARY`
    pub temporary: bool,
}

/// A view: its query, bound when it was created.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The bound query, columns renamed to the view's.
    pub plan: LogicalPlan,
    /// The query's text.
    pub text: String,
    /// Where it is declared.
    pub span: Span,
    /// `COMMENT`
    pub comment: Option<String>,
    /// `TEMPORARY`
    pub temporary: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A table.
    Table(Box<Table>),
    /// A view.
    View(Box<View>),
}

/// All declared tables and views by (catalog, database, name).
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Current catalog; `default_catalog` at the start.
    pub current_catalog: String,
    /// Current database; `default_database` at the start.
    pub current_database: String,
    entries: BTreeMap<(String, String, String), Entry>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            current_catalog: "default_catalog".into(),
            current_database: "default_database".into(),
            entries: BTreeMap::new(),
        }
    }
}
