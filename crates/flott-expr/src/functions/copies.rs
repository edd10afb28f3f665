//! `$COPIES`: an array of so many elements. The planner repeats rows by it.
//!
//! ```text
//!   INTERSECT ALL, EXCEPT ALL:  row, how often ─► UNNEST($COPIES(how often)) ─► row, row, row
//! ```

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int8Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field, Int64Type},
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature};
use crate::EvalError;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::Collection,
    "$COPIES",
    &["$COPIES(n)"],
    |args| {
        let [number] = args else { return None };
        let element = DataType::from(TypeKind::TinyInt).not_null();
        let result = DataType::from(TypeKind::Array(Box::new(element)));
        Some(Signature {
            arguments: vec![DataType::bigint().with_nullable(number.data_type.nullable)],
            result: result.with_nullable(false),
        })
    },
    copies,
    "An array of n zeros, empty if n is NULL or below 1; the planner repeats rows by it.",
    &[("`$COPIES`(2)", "[0, 0]"), ("`$COPIES`(-1)", "[]")],
)];

fn copies(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let numbers = call.args.first().ok_or_else(|| EvalError::internal("$COPIES without a number"))?;
    let numbers = numbers.as_primitive::<Int64Type>();
    let mut offsets = Vec::with_capacity(numbers.len() + 1);
    let mut end = 0i32;
    offsets.push(end);
    for row in 0..numbers.len() {
        let wanted = if numbers.is_null(row) { 0 } else { numbers.value(row).max(0) };
        let longer = i32::try_from(wanted).ok().and_then(|it| end.checked_add(it));
        end = longer.ok_or_else(|| EvalError::new("too many copies of one row"))?;
        offsets.push(end);
    }
    let values = Int8Array::from(vec![0; usize::try_from(end).unwrap_or(0)]);
    let field = element_field();
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), Arc::new(values), None)))
}

fn element_field() -> Arc<Field> {
    let array = DataType::from(TypeKind::Array(Box::new(DataType::from(TypeKind::TinyInt).not_null())));
    match array.arrow_type() {
        ArrowType::List(field) => field,
        _ => Arc::new(Field::new_list_field(ArrowType::Int8, false)),
    }
}
