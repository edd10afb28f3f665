//! Script text to statements.
//!
//! ```text
//!   Source ─ tokens::tokenize ─► tokens ─ split at `;` ─► pieces ─ statement::parse ─► Statement
//!             (hints, `>>`)                                │        (ddl, Cursor,
//!                                                          │         sqlparser + FlinkDialect)
//!                                    statement sets stay ──┘
//!                                    in one piece
//! ```
//!
//! Every piece is parsed whatever became of the others, so all errors of a script are found at
//! once. A text that can't be tokenized to its end (an open quote) costs its last statement only.

pub mod ast;
mod cursor;
mod ddl;
pub mod dialect;
mod error;
pub(crate) mod hints;
mod patterns;
mod script;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
pub mod types;

use flott_types::{Diagnostic, Result, Span};
use sqlparser::ast::{Expr, Query};

pub use ast::{Statement, StatementKind};
pub use dialect::{FlinkDialect, internal_name, split_hints};
pub(crate) use patterns::{QUERY, WITHIN};
pub use script::parse_script;
pub use types::{parse_data_type, parse_data_type_at};

use crate::Source;
use cursor::Cursor;

fn whole(source: &Source) -> Result<Cursor<'_>> {
    let (found, error) = tokens::tokenize(source);
    let end = source.text.trim_end().len();
    match error {
        Some(error) => Err(error),
        None => Ok(Cursor::new(source, found, Span::new(end.saturating_sub(1), end))),
    }
}

/// Reads a text that is one query.
///
/// # Errors
/// What is wrong with it, with a span.
pub fn parse_query(source: &Source) -> Result<Box<Query>> {
    let mut cursor = whole(source)?;
    let (query, _) = cursor.query()?;
    cursor.expect_end()?;
    Ok(query)
}

/// Reads a text that is one expression.
///
/// # Errors
/// What is wrong with it, with a span.
pub fn parse_expr(source: &Source) -> Result<Expr> {
    let mut cursor = whole(source)?;
    let (expr, _) = cursor.expr()?;
    cursor.expect_end()?;
    Ok(expr)
}

/// Reads a text that is one statement, with or without a `;`.
///
/// # Errors
/// The first thing that is wrong with it; a text of no or several statements.
pub fn parse_statement(source: &Source) -> Result<Statement> {
    let (mut statements, mut errors) = parse_script(source);
    if !errors.is_empty() {
        return Err(errors.swap_remove(0));
    }
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (Some(second), _) => {
            Err(Diagnostic::error(flott_types::Code::Syntax, "expected one statement").at(second.span))
        }
        (None, _) => Err(Diagnostic::error(flott_types::Code::Syntax, "the text holds no statement")),
    }
}
