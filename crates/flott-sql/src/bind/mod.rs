//! Names and types: a parsed query becomes a [`LogicalPlan`].
//!
//! ```text
//!   Query ─ query.rs ─► LogicalPlan ─ insert.rs ─► Insert
//!              │  FROM: scope.rs, table.rs
//!              └─ expressions: expr.rs, operators.rs, call.rs, literal.rs
//! ```
//!
//! A binder looks at one statement. It stops at the first error of an expression, but goes on
//! with its neighbours, so that one run reports what is wrong with every item of a `SELECT`;
//! what comes besides the returned error waits in [`Binder::take_diagnostics`].

use std::cell::RefCell;

use flott_expr::Expr;
use flott_types::{Diagnostic, Options, Result, Schema, Span};
use sqlparser::ast;

use crate::{Catalog, Insert, LogicalPlan, Source};

/// Binds one statement's queries and expressions.
#[derive(Debug)]
pub struct Binder<'a> {
    catalog: &'a Catalog,
    options: &'a Options,
    source: &'a Source,
    diagnostics: RefCell<Vec<Box<Diagnostic>>>,
}

/// The parts of `INSERT INTO`.
#[derive(Debug, Clone, Copy)]
pub struct InsertParts<'q> {
    /// The sink.
    pub table: &'q ast::ObjectName,
    /// `/*+ OPTIONS(…) */` behind the sink.
    pub hints: &'q Options,
    /// `(a, b)`; empty: all writable columns.
    pub columns: &'q [ast::Ident],
    /// `PARTITION (a = 1)`
    pub partition: &'q [(ast::Ident, ast::Expr)],
    /// The rows.
    pub query: &'q ast::Query,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
}

impl<'a> Binder<'a> {
    /// A binder for a statement of this script.
    pub fn new(catalog: &'a Catalog, options: &'a Options, source: &'a Source) -> Self {
        Self { catalog, options, source, diagnostics: RefCell::default() }
    }

    /// A query's plan.
    ///
    /// # Errors
    /// The first thing that is wrong; more are in [`Self::take_diagnostics`].
    pub fn bind_query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        let _ = (query, self.catalog, self.options);
        Err(Diagnostic::not_supported("queries"))
    }

    /// An expression over the columns of a table: a computed column, a watermark.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn bind_column_expr(&self, expr: &ast::Expr, schema: &Schema) -> Result<Expr> {
        let _ = (expr, schema);
        Err(Diagnostic::not_supported("expressions"))
    }

    /// An `INSERT` into a declared table.
    ///
    /// # Errors
    /// The first thing that is wrong; more are in [`Self::take_diagnostics`].
    pub fn bind_insert(&self, insert: InsertParts<'_>) -> Result<Insert> {
        let _ = insert;
        Err(Diagnostic::not_supported("INSERT"))
    }

    /// Warnings, and errors besides the one that a method returned. Leaves none.
    pub fn take_diagnostics(&self) -> Vec<Box<Diagnostic>> {
        self.diagnostics.take()
    }

    fn span(&self, span: sqlparser::tokenizer::Span) -> Span {
        self.source.span(span)
    }
}
