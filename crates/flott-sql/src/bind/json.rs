//! The clauses of JSON functions, as the constants that the functions take after the path.
//!
//! ```text
//!   JSON_VALUE(x, p RETURNING INT DEFAULT 0 ON EMPTY)
//!     ─► CAST(JSON_VALUE(x, p, 'DEFAULT', '0', 'NULL', NULL) AS INT)
//! ```

use flott_expr::{CastMode, Expr, Value, coerce};
use flott_types::{Code, DataType, Diagnostic, Result, Span, TypeKind};
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
            &["$wrapper", "$returning", "$on_empty", "$on_error"],
            vec![
                Ok(word("$wrapper", "WITHOUT")),
                Ok(word("$on_empty", "NULL")),
                Ok(word("$on_error", "NULL")),
            ],
        ),
        "JSON_OBJECT" | "JSON_ARRAY" => (&["$on_null"], Vec::new()),
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
        if let Some(on_null) = default_on_null(name) {
            args.insert(0, word("$on_null", on_null));
        }
        let returns = clause(clauses, "$returning").is_some();
        if returns && (name == "JSON_VALUE" || !returned_type(binder, clauses)?.is_character()) {
            args.push(returned_as(binder, name, clauses, span)?);
        }
        let call = binder.operator(name, args, span)?;
        returning(binder, call, clauses, span)
    }))
}

/// A call of JSON_OBJECT or JSON_ARRAY that leaves open what happens with NULL.
pub(super) fn without_clauses(
    binder: ExprBinder<'_, '_>,
    name: &str,
    args: &[Expr],
    span: Span,
) -> Option<Result<Expr>> {
    let on_null = literal::string(default_on_null(name)?, span);
    let args = std::iter::once(on_null).chain(args.iter().cloned()).collect();
    Some(binder.operator(name, args, span))
}

/// What JSON_OBJECT and JSON_ARRAY do with NULL if nothing is said.
pub(super) fn default_on_null(name: &str) -> Option<&'static str> {
    match name {
        "JSON_OBJECT" => Some("NULL"),
        "JSON_ARRAY" => Some("ABSENT"),
        _ => None,
    }
}

/// The type behind RETURNING, as the constant that the function takes.
fn returned_as(binder: ExprBinder<'_, '_>, name: &str, clauses: &[Clause<'_>], span: Span) -> Result<Expr> {
    let to = returned_type(binder, clauses)?;
    let (fits, help) = match (name, &to.kind) {
        ("JSON_VALUE", kind) => (
            matches!(kind, TypeKind::Varchar(_) | TypeKind::Int | TypeKind::Double | TypeKind::Boolean),
            "JSON_VALUE returns STRING, INT, DOUBLE or BOOLEAN; CAST converts these to other types",
        ),
        (_, TypeKind::Array(element)) => {
            (matches!(element.kind, TypeKind::Varchar(_)), "JSON_QUERY returns STRING or ARRAY<STRING>")
        }
        _ => (false, "JSON_QUERY returns STRING or ARRAY<STRING>"),
    };
    if !fits {
        let message = format!("{name} cannot return {}", to.kind);
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(span).help(help));
    }
    Ok(literal::string(to.kind.to_string(), span))
}

fn returned_type(binder: ExprBinder<'_, '_>, clauses: &[Clause<'_>]) -> Result<DataType> {
    match (text_of(clauses, "$returning"), clause(clauses, "$returning")) {
        (Some(text), Some(Ast::Value(value))) => parse_data_type_at(text, binder.binder.span(value.span)),
        _ => Ok(DataType::string()),
    }
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
    let to = returned_type(binder, clauses)?;
    if clause(clauses, "$returning").is_none()
        || to.kind == call.data_type.kind
        || !call.data_type.is_character()
    {
        return Ok(call);
    }
    Ok(coerce::cast_expr(binder.binder.fold(call), &to, CastMode::Strict).at(span))
}
