//! Three-valued logic: AND, OR, NOT and the tests IS TRUE, IS FALSE, IS UNKNOWN.
//!
//! AND and OR short-circuit, so the evaluator has them built in (`crate::eval`); their entries
//! here serve whoever calls them outside of a program.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{and_kleene, not, or_kleene},
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, signature};
use crate::{EvalError, Expr};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function {
        name: "AND",
        aliases: &[],
        kind: FunctionKind::Logical,
        signatures: &["boolean AND boolean"],
        resolve: two_booleans,
        evaluate: |call| Ok(Arc::new(and_kleene(call.booleans(0)?, call.booleans(1)?)?)),
        deterministic: true,
        doc: "TRUE if both sides are. FALSE AND NULL is FALSE, TRUE AND NULL is NULL.",
        examples: &[("TRUE AND FALSE", "FALSE")],
    },
    Function {
        name: "OR",
        aliases: &[],
        kind: FunctionKind::Logical,
        signatures: &["boolean OR boolean"],
        resolve: two_booleans,
        evaluate: |call| Ok(Arc::new(or_kleene(call.booleans(0)?, call.booleans(1)?)?)),
        deterministic: true,
        doc: "TRUE if one side is. TRUE OR NULL is TRUE, FALSE OR NULL is NULL.",
        examples: &[("TRUE OR FALSE", "TRUE")],
    },
    Function {
        name: "NOT",
        aliases: &[],
        kind: FunctionKind::Logical,
        signatures: &["NOT boolean"],
        resolve: |args| {
            booleans(args, 1)
                .then(|| signature::signature(args, vec![DataType::boolean()], DataType::boolean()))
        },
        evaluate: |call| Ok(Arc::new(not(call.booleans(0)?)?)),
        deterministic: true,
        doc: "TRUE if the value is FALSE; NULL if it is NULL.",
        examples: &[("NOT TRUE", "FALSE")],
    },
    truth(
        "IS TRUE",
        &["boolean IS TRUE"],
        |call| test(call, and),
        "Whether the value is TRUE; never NULL.",
        &[("TRUE IS TRUE", "TRUE")],
    ),
    truth(
        "IS NOT TRUE",
        &["boolean IS NOT TRUE"],
        |call| test(call, |values, valid| !&and(values, valid)),
        "Whether the value is FALSE or NULL.",
        &[("FALSE IS NOT TRUE", "TRUE")],
    ),
    truth(
        "IS FALSE",
        &["boolean IS FALSE"],
        |call| test(call, |values, valid| and(&!values, valid)),
        "Whether the value is FALSE; never NULL.",
        &[("FALSE IS FALSE", "TRUE")],
    ),
    truth(
        "IS NOT FALSE",
        &["boolean IS NOT FALSE"],
        |call| test(call, |values, valid| !&and(&!values, valid)),
        "Whether the value is TRUE or NULL.",
        &[("TRUE IS NOT FALSE", "TRUE")],
    ),
    truth(
        "IS UNKNOWN",
        &["boolean IS UNKNOWN"],
        |call| test(call, |values, valid| !&and(&BooleanBuffer::new_set(values.len()), valid)),
        "Whether the value is NULL.",
        &[("CAST(NULL AS BOOLEAN) IS UNKNOWN", "TRUE")],
    ),
    truth(
        "IS NOT UNKNOWN",
        &["boolean IS NOT UNKNOWN"],
        |call| test(call, |values, valid| and(&BooleanBuffer::new_set(values.len()), valid)),
        "Whether the value is TRUE or FALSE.",
        &[("TRUE IS NOT UNKNOWN", "TRUE")],
    ),
];

const fn truth(
    name: &'static str,
    signatures: &'static [&'static str],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function {
        name,
        aliases: &[],
        kind: FunctionKind::Logical,
        signatures,
        resolve: never_null,
        evaluate,
        deterministic: true,
        doc,
        examples,
    }
}

fn booleans(args: &[Expr], count: usize) -> bool {
    args.len() == count
        && args.iter().all(|it| it.data_type.kind == TypeKind::Boolean || it.data_type.is_null())
}

fn two_booleans(args: &[Expr]) -> Option<Signature> {
    booleans(args, 2).then(|| signature::signature(args, vec![DataType::boolean(); 2], DataType::boolean()))
}

fn never_null(args: &[Expr]) -> Option<Signature> {
    booleans(args, 1).then(|| Signature {
        arguments: vec![DataType::boolean().with_nullable(args[0].data_type.nullable)],
        result: DataType::boolean().not_null(),
    })
}

/// `holds` gets the values and which of them aren't NULL, as bits.
fn test(
    call: &Call<'_>,
    holds: impl Fn(&BooleanBuffer, Option<&BooleanBuffer>) -> BooleanBuffer,
) -> Result<ArrayRef, EvalError> {
    let values = call.booleans(0)?;
    let out = holds(values.values(), values.nulls().map(NullBuffer::inner));
    Ok(Arc::new(BooleanArray::new(out, None)))
}

fn and(values: &BooleanBuffer, valid: Option<&BooleanBuffer>) -> BooleanBuffer {
    valid.map_or_else(|| values.clone(), |valid| values & valid)
}
