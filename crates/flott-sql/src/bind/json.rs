//! The clauses of JSON functions, as the constants that the functions take after the path.
//!
//! ```text
//!   JSON_VALUE(x, p RETURNING INT DEFAULT 0 ON EMPTY)
//!     ─► CAST(JSON_VALUE(x, p, 'DEFAULT', '0', 'NULL', NULL) AS INT)
//! ```

use flott_expr::{CastMode, Expr, Value, coerce};
use flott_types::{DataType, Diagnostic, Result, Span, TypeKind};
use sqlparser::ast::{self, Expr as Ast, Ident};

use super::{expr::ExprBinder, literal};
use crate::parse::parse_data_type_at;

/// A clause by the parser's name (`$on_empty`) and its value.
pub(super) type Clause<'q> = (&'q Ident, &'q Ast);

/// A call of a JSON function with clauses; `None` if the function takes none.
pub(super) fn bind(
    binder: ExprBinder<'_, '_>,
    name: &str,
    mut args: Vec<Expr>,
    clauses: &[Clause<'_>],
    span: Span,
) -> Option<Result<Expr>> {
    let word =
        |clause: &str, default: &str| literal::string(text_of(clauses, clause).unwrap_or(default), span);
    let (known, extra): (&[&str], Vec<Result<Expr>>) = match name {
        "JSON_VALUE" => (
            &["$returning", "$on_empty", "$on_empty_default", "$on_error", "$on_error_default"],
            vec![
                Ok(word("$on_empty", "NULL")),
                default(binder, clauses, "$on_empty_default", span),
                Ok(word("$on_error", "NULL")),
                default(binder, clauses, "$on_error_default", span),
            ],
        ),
        "JSON_QUERY" => (
            &["$wrapper", "$on_empty", "$on_error"],
            vec![
                Ok(word("$wrapper", "WITHOUT")),
                Ok(word("$on_empty", "NULL")),
                Ok(word("$on_error", "NULL")),
            ],
        ),
        "JSON_EXISTS" => (&["$on_error"], vec![Ok(word("$on_error", "FALSE"))]),
        _ => return None,
    };
    if let Some((clause, _)) = clauses.iter().find(|(clause, _)| !known.contains(&clause.value.as_str())) {
        let words = clause.value.trim_start_matches('$').replace('_', " ").to_ascii_uppercase();
        let at = binder.binder.span(clause.span);
        return Some(Err(Diagnostic::not_supported(format_args!("{words} in {name}")).at(at)));
    }
    Some(binder.binder.all(extra.into_iter()).and_then(|extra| {
        args.extend(extra);
        let call = binder.operator(name, args, span)?;
        returning(binder, call, clauses, span)
    }))
}

fn clause<'q>(clauses: &[Clause<'q>], name: &str) -> Option<&'q Ast> {
    clauses.iter().find(|(clause, _)| clause.value == name).map(|(_, value)| *value)
}

fn text_of<'q>(clauses: &[Clause<'q>], name: &str) -> Option<&'q str> {
    match clause(clauses, name)? {
        Ast::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `DEFAULT expr` as text, or NULL.
fn default(binder: ExprBinder<'_, '_>, clauses: &[Clause<'_>], name: &str, span: Span) -> Result<Expr> {
    let Some(value) = clause(clauses, name) else {
        return Ok(literal::constant(Value::Null, TypeKind::Null, span));
    };
    let value = binder.bind(value)?;
    if value.data_type.is_character() || value.data_type.is_null() {
        return Ok(value);
    }
    let to = DataType::string().with_nullable(value.data_type.nullable);
    Ok(coerce::cast_expr(value, &to, CastMode::Strict))
}

/// `RETURNING type`
fn returning(binder: ExprBinder<'_, '_>, call: Expr, clauses: &[Clause<'_>], span: Span) -> Result<Expr> {
    let (Some(text), Some(Ast::Value(value))) =
        (text_of(clauses, "$returning"), clause(clauses, "$returning"))
    else {
        return Ok(call);
    };
    let to = parse_data_type_at(text, binder.binder.span(value.span))?;
    if to.kind == call.data_type.kind {
        return Ok(call);
    }
    Ok(coerce::cast_expr(binder.binder.fold(call), &to, CastMode::Strict).at(span))
}
