//! `$HASH`: a number for any values, the same in every run. The planner spreads rows by it.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array},
    row::{RowConverter, SortField},
};
use flott_types::{Code, DataType};

use super::{Call, Function, FunctionKind, Signature};
use crate::{EvalError, Expr};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::Hash,
    "$HASH",
    &["$HASH(x [, …])"],
    resolve,
    hash,
    "A number made of the values, from 0 up, the same in every run; the planner spreads rows by it.",
    &[("`$HASH`('a') = `$HASH`('b')", "FALSE")],
)];

fn resolve(args: &[Expr]) -> Option<Signature> {
    let arguments = args.iter().map(|arg| arg.data_type.clone()).collect();
    (!args.is_empty()).then(|| Signature { arguments, result: DataType::int().not_null() })
}

fn hash(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let fields = call.args.iter().map(|it| SortField::new(it.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(internal)?;
    let rows = converter.convert_columns(call.args).map_err(internal)?;
    // FNV-1a, folded.
    let of_row = |bytes: &[u8]| {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, step);
        ((hash ^ (hash >> 32)) & 0x7FFF_FFFF) as i32
    };
    Ok(Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| of_row(row.as_ref())))))
}

fn internal(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::Internal, message: error.to_string() }
}
