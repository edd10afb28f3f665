//! Tables and views that a script has declared.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Its position among the columns that the connector reads, unless it is computed.
    pub read_column: Option<usize>,
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
    entries: BTreeMap<Path, Entry>,
    databases: BTreeSet<(String, String)>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            current_catalog: "default_catalog".into(),
            current_database: "default_database".into(),
            entries: BTreeMap::new(),
            databases: BTreeSet::from([("default_catalog".into(), "default_database".into())]),
        }
    }
}

/// Catalog, database and name of a table or view.
pub type Path = (String, String, String);

impl Catalog {
    /// The full path of a name of one to three parts.
    pub fn path<S: AsRef<str>>(&self, parts: &[S]) -> Option<Path> {
        let text = |part: &S| part.as_ref().to_string();
        match parts {
            [name] => Some((self.current_catalog.clone(), self.current_database.clone(), text(name))),
            [database, name] => Some((self.current_catalog.clone(), text(database), text(name))),
            [catalog, database, name] => Some((text(catalog), text(database), text(name))),
            _ => None,
        }
    }
    /// What a name of one to three parts stands for. Case counts, as in Flink.
    pub fn get<S: AsRef<str>>(&self, parts: &[S]) -> Option<&Entry> {
        self.entries.get(&self.path(parts)?)
    }
    /// What a full path stands for.
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }
    /// Declares a table or a view; returns the older one.
    pub fn insert(&mut self, path: Path, entry: Entry) -> Option<Entry> {
        self.entries.insert(path, entry)
    }
    /// Forgets a table or a view.
    pub fn remove(&mut self, path: &Path) -> Option<Entry> {
        self.entries.remove(path)
    }
    /// All tables and views, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter()
    }
    /// Names in the current database, for `did you mean`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let here = move |path: &Path| path.0 == self.current_catalog && path.1 == self.current_database;
        self.entries.keys().filter(move |path| here(path)).map(|path| path.2.as_str())
    }
    /// Whether there is such a database.
    pub fn has_database(&self, catalog: &str, database: &str) -> bool {
        self.databases.contains(&(catalog.to_string(), database.to_string()))
    }
    /// Whether there is such a catalog.
    pub fn has_catalog(&self, catalog: &str) -> bool {
        self.databases.iter().any(|(name, _)| name == catalog)
    }
    /// (catalog, database) of all databases, in order.
    pub fn databases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.databases.iter().map(|(catalog, database)| (catalog.as_str(), database.as_str()))
    }
    /// Adds a database; false if it was there.
    pub fn create_database(&mut self, catalog: &str, database: &str) -> bool {
        self.databases.insert((catalog.to_string(), database.to_string()))
    }
    /// Removes a database and all that is in it; false if there was none.
    pub fn drop_database(&mut self, catalog: &str, database: &str) -> bool {
        self.entries.retain(|path, _| path.0 != catalog || path.1 != database);
        self.databases.remove(&(catalog.to_string(), database.to_string()))
    }
}
