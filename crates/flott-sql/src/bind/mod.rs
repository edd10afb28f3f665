//! Names and types: a parsed query becomes a [`LogicalPlan`].
//!
//! ```text
//!   Query ─ query.rs ─► LogicalPlan ─ insert.rs ─► Insert
//!              │         UNION, …: set_operation.rs, ORDER BY, LIMIT: order.rs
//!              └─ SELECT: select.rs
//!                  │  hints: hints.rs
//!                  │  FROM: relation.rs, join.rs, lateral.rs, temporal.rs, window.rs, changelog.rs, pattern.rs,
//!                  │        names: scope.rs
//!                  │  WHERE: filter.rs, sub-queries: sub_query.rs, decorrelate.rs
//!                  │  GROUP BY: grouping.rs, group_window.rs
//!                  │  aggregates: calls.rs, OVER: over.rs, frame.rs
//!                  └─ expressions: expr.rs, literal.rs, interval.rs, call.rs,
//!                                  json.rs, constants: fold.rs
//! ```
//!
//! A binder looks at one statement. An expression stops at its first error, but its neighbours
//! are bound all the same, so that one run says what is wrong with every item of a `SELECT`;
//! what comes besides the returned error waits in [`Binder::take_diagnostics`].
//!
//! Every bound node has its Flink type, and the place in the script that it came from: the
//! parser's places are those of single tokens, `place.rs` widens them to whole constructs.

mod call;
mod calls;
mod changelog;
mod decorrelate;
mod expr;
mod filter;
mod fold;
mod frame;
mod group_window;
mod grouping;
mod hints;
mod insert;
mod interval;
mod join;
mod json;
mod lateral;
mod literal;
mod order;
mod over;
mod pattern;
#[cfg(test)]
mod pattern_tests;
mod pattern_values;
mod place;
mod query;
#[cfg(test)]
mod query_tests;
mod relation;
mod scope;
mod select;
mod set_operation;
#[cfg(test)]
mod stateful_tests;
mod sub_query;
mod temporal;
#[cfg(test)]
mod temporal_tests;
#[cfg(test)]
mod tests;
mod window;

use std::cell::RefCell;

use flott_expr::Expr;
use flott_types::{Diagnostic, Options, Result, Schema, Span};
use sqlparser::ast;

use crate::{Catalog, Insert, LogicalPlan, Source, parse::ast::InsertStatement};
use expr::ExprBinder;
use query::Around;
pub(crate) use relation::column_time;
use scope::Scope;

/// Binds one statement's queries and expressions.
#[derive(Debug)]
pub struct Binder<'a> {
    catalog: &'a Catalog,
    options: &'a Options,
    source: &'a Source,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// The hints of the query blocks that are being bound, inner ones last.
    hints: RefCell<hints::HintStack>,
}

impl<'a> Binder<'a> {
    /// A binder for a statement of this script.
    pub fn new(catalog: &'a Catalog, options: &'a Options, source: &'a Source) -> Self {
        Self { catalog, options, source, diagnostics: RefCell::default(), hints: RefCell::default() }
    }

    /// A query's plan, its columns named uniquely as Flink names a result's (`a`, `a0`, `EXPR$2`).
    ///
    /// # Errors
    /// The first thing that is wrong; more are in [`Self::take_diagnostics`].
    pub fn bind_query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        let plan = self.sorted_query(query, &Around::default())?;
        query::check_null_columns(self, &plan, query)?;
        Ok(query::with_unique_names(plan))
    }

    /// An expression over the columns of a table: a computed column, a watermark.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn bind_column_expr(&self, expr: &ast::Expr, schema: &Schema) -> Result<Expr> {
        let scope = Scope::of_table(schema);
        ExprBinder::new(self, &scope).bind(expr)
    }

    /// An `INSERT` into a declared table.
    ///
    /// # Errors
    /// The first thing that is wrong; more are in [`Self::take_diagnostics`].
    pub fn bind_insert(&self, insert: &InsertStatement) -> Result<Insert> {
        insert::bind(self, insert)
    }

    /// Warnings, and errors besides the one that a method returned. Leaves none.
    pub fn take_diagnostics(&self) -> Vec<Box<Diagnostic>> {
        self.diagnostics.take().into_iter().map(Box::new).collect()
    }

    /// Keeps an error that is not the one returned.
    fn report(&self, diagnostic: Diagnostic) {
        let mut kept = self.diagnostics.borrow_mut();
        if !kept.contains(&diagnostic) {
            kept.push(diagnostic);
        }
    }

    /// All results, or the first error; the others are kept.
    fn all<T>(&self, results: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        let mut first: Option<Box<Diagnostic>> = None;
        for result in results {
            match (result, &first) {
                (Ok(value), _) => values.push(value),
                (Err(error), None) => first = Some(error),
                (Err(error), Some(_)) => self.report(*error),
            }
        }
        first.map_or(Ok(values), Err)
    }

    /// Whether all rows are there before the first result: `'execution.runtime-mode' = 'batch'`.
    fn is_batch(&self) -> bool {
        self.options.get("execution.runtime-mode").is_some_and(|it| it.eq_ignore_ascii_case("batch"))
    }

    fn span(&self, span: sqlparser::tokenizer::Span) -> Span {
        self.source.span(span)
    }
}
