//! Checks that the planner puts in front of sinks.

use arrow::array::{Array, ArrayRef};
use flott_types::DataType;

use super::{Call, Function, FunctionKind, Signature, signature};
use crate::EvalError;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::Conversion,
    "ENFORCE_NOT_NULL",
    &["ENFORCE_NOT_NULL(value, column)"],
    |args| match args {
        [value, column] if signature::literal_text(column).is_some() => Some(Signature {
            arguments: vec![value.data_type.clone(), DataType::string().not_null()],
            result: value.data_type.clone().not_null(),
        }),
        _ => None,
    },
    enforce_not_null,
    "The value, or an error that names the column if it is NULL. `INSERT INTO` puts it before columns that are NOT NULL.",
    &[("ENFORCE_NOT_NULL(1, 'id')", "1")],
)];

fn enforce_not_null(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let value = call.args.first().ok_or_else(|| EvalError::internal("ENFORCE_NOT_NULL without a value"))?;
    if value.logical_null_count() > 0 {
        let column = call.literal_text(1).unwrap_or("");
        return Err(EvalError::new(format!("column '{column}' is NOT NULL but the value is NULL")));
    }
    Ok(value.clone())
}
