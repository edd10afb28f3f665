//! Functions about types.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, signature};
use crate::{EvalError, Expr, Value};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::Conversion,
    "TYPEOF",
    &["TYPEOF(value [, serializable])"],
    |args| {
        let flag = |it: &Expr| it.data_type.kind == TypeKind::Boolean && signature::literal(it).is_some();
        let fits = match args {
            [_] => true,
            [_, serializable] => flag(serializable),
            _ => false,
        };
        let mut found = signature::as_given(args, DataType::string());
        found.result.nullable = true;
        fits.then_some(found)
    },
    type_of,
    "The type of the argument, as text. With `TRUE`, lengths are spelled out (`VARCHAR(2147483647)` instead of `STRING`).",
    &[("TYPEOF(1)", "INT NOT NULL"), ("TYPEOF(CAST(NULL AS STRING), TRUE)", "VARCHAR(2147483647)")],
)];

fn type_of(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let data_type = &call.exprs.first().ok_or_else(|| EvalError::internal("TYPEOF of nothing"))?.data_type;
    let mut text = data_type.to_string();
    if matches!(call.literal(1), Some(Value::Boolean(true))) {
        text = text.replace("STRING", "VARCHAR(2147483647)").replace("BYTES", "VARBINARY(2147483647)");
    }
    Ok(Arc::new(StringArray::new_repeated(text, call.rows)))
}
