//! Calls whose clauses choose another form of the function.
//!
//! ```text
//!   JSON_ARRAYAGG(x NULL ON NULL)        ─►  JSON_ARRAYAGG_NULL_ON_NULL(JSON_STRING(x))
//!   JSON_OBJECTAGG(KEY k VALUE v)        ─►  JSON_OBJECTAGG_NULL_ON_NULL(k, JSON_STRING(v))
//! ```
//! The names are those of Flink's list of functions. A value that is JSON already (a call of
//! JSON_OBJECT, …) is passed as it is.

use flott_types::{Code, Diagnostic, Result};

use super::{AggregateFunction, lookup_aggregate};
use crate::{
    Expr, ExprKind,
    functions::{self, is_json_constructor, signature},
};

/// The function to compute and its arguments.
pub(super) fn chosen(
    function: &'static AggregateFunction,
    args: Vec<Expr>,
) -> Result<(&'static AggregateFunction, Vec<Expr>)> {
    let (values, null_is_default) = match function.name {
        "JSON_ARRAYAGG" => (1, false),
        "JSON_OBJECTAGG" => (2, true),
        _ => return Ok((function, args)),
    };
    let null_on_null = match args.get(values).and_then(signature::literal_text) {
        Some(word) => word == "NULL",
        None => null_is_default,
    };
    let name = match (function.name, null_on_null) {
        ("JSON_ARRAYAGG", false) => "JSON_ARRAYAGG_ABSENT_ON_NULL",
        ("JSON_ARRAYAGG", true) => "JSON_ARRAYAGG_NULL_ON_NULL",
        (_, false) => "JSON_OBJECTAGG_ABSENT_ON_NULL",
        (_, true) => "JSON_OBJECTAGG_NULL_ON_NULL",
    };
    let form = lookup_aggregate(name)
        .ok_or_else(|| Diagnostic::error(Code::Internal, format!("{name} is not registered")))?;
    let mut args: Vec<Expr> = args.into_iter().take(values).collect();
    if let Some(value) = args.pop() {
        args.push(as_json(value)?);
    }
    Ok((form, args))
}

/// The value as JSON text.
fn as_json(value: Expr) -> Result<Expr> {
    if matches!(&value.kind, ExprKind::Call { function, .. } if is_json_constructor(function)) {
        return Ok(value);
    }
    let span = value.span;
    match functions::lookup("JSON_STRING") {
        Some(to_json) => to_json.call(vec![value], span),
        None => Err(Diagnostic::error(Code::Internal, "JSON_STRING is not registered")),
    }
}
