//! Choosing between values: COALESCE, IF, NULLIF, GREATEST, LEAST and the IS_… tests of text.
//!
//! COALESCE, IFNULL and IF evaluate an argument only for rows that need it; the evaluator
//! compiles them to CASE (`crate::eval`), so their `evaluate` here is never reached from there.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, make_comparator},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{SortOptions, kernels::zip::zip, nullif, prep_null_mask_filter},
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, comparison, signature};
use crate::{EvalError, Expr, coerce};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function {
        name: "COALESCE",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["COALESCE(value1, value2 [, …])"],
        resolve: coalesce_type,
        evaluate: coalesce,
        deterministic: true,
        doc: "The first argument that is not NULL.",
        examples: &[("COALESCE(CAST(NULL AS INT), 1, 2)", "1")],
    },
    Function {
        name: "IFNULL",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["IFNULL(value, replacement)"],
        resolve: ifnull_type,
        evaluate: coalesce,
        deterministic: true,
        doc: "The value, or the replacement where it is NULL.",
        examples: &[("IFNULL(CAST(NULL AS INT), 5)", "5")],
    },
    Function {
        name: "IF",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["IF(condition, value_if_true, value_otherwise)"],
        resolve: if_type,
        evaluate: |call| {
            let condition = prep_null_mask_filter(call.booleans(0)?);
            Ok(zip(&condition, argument(call, 1)?, argument(call, 2)?)?)
        },
        deterministic: true,
        doc: "One value where the condition is TRUE, the other elsewhere.",
        examples: &[("IF(5 > 3, 'yes', 'no')", "yes")],
    },
    Function {
        name: "NULLIF",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["NULLIF(value1, value2)"],
        resolve: nullif_type,
        evaluate: |call| {
            let (value, other) = (argument(call, 0)?, argument(call, 1)?);
            let types = (&call.exprs[0].data_type, &call.exprs[1].data_type);
            let equal = comparison::equal_arrays(value, types.0, other, types.1, call.context)?;
            Ok(nullif(value, &equal)?)
        },
        deterministic: true,
        doc: "NULL if both values are equal, else the first.",
        examples: &[("NULLIF(5, 0)", "5")],
    },
    Function {
        name: "GREATEST",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["GREATEST(value1 [, …])"],
        resolve: extreme_type,
        evaluate: |call| extreme(call, Ordering::Greater),
        deterministic: true,
        doc: "The greatest of the arguments; NULL if one of them is.",
        examples: &[("GREATEST(3, 7, 5)", "7")],
    },
    Function {
        name: "LEAST",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["LEAST(value1 [, …])"],
        resolve: extreme_type,
        evaluate: |call| extreme(call, Ordering::Less),
        deterministic: true,
        doc: "The least of the arguments; NULL if one of them is.",
        examples: &[("LEAST(3, 7, 5)", "3")],
    },
    Function {
        name: "IS_DECIMAL",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["IS_DECIMAL(string)"],
        resolve: text_test,
        evaluate: |call| test(call, is_decimal),
        deterministic: true,
        doc: "Whether the text is a number.",
        examples: &[("IS_DECIMAL('-1.5')", "TRUE"), ("IS_DECIMAL('x')", "FALSE")],
    },
    Function {
        name: "IS_DIGIT",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["IS_DIGIT(string)"],
        resolve: text_test,
        evaluate: |call| test(call, |it| !it.is_empty() && it.chars().all(char::is_numeric)),
        deterministic: true,
        doc: "Whether the text consists of digits only.",
        examples: &[("IS_DIGIT('123')", "TRUE"), ("IS_DIGIT('1.5')", "FALSE")],
    },
    Function {
        name: "IS_ALPHA",
        aliases: &[],
        kind: FunctionKind::Conditional,
        signatures: &["IS_ALPHA(string)"],
        resolve: text_test,
        evaluate: |call| {
            test(call, |it| {
                !it.is_empty() && it.chars().all(|c| c.is_ascii_alphabetic() || c.is_alphabetic())
            })
        },
        deterministic: true,
        doc: "Whether the text consists of letters only.",
        examples: &[("IS_ALPHA('abc')", "TRUE"), ("IS_ALPHA('a1')", "FALSE")],
    },
];

fn argument<'a>(call: &Call<'a>, index: usize) -> Result<&'a ArrayRef, EvalError> {
    call.args.get(index).ok_or_else(|| EvalError::internal("an argument is missing"))
}

fn coalesce_type(args: &[Expr]) -> Option<Signature> {
    let common = signature::common(args)?;
    let nullable = args.iter().all(|arg| arg.data_type.nullable);
    let arguments = args.iter().map(|arg| common.clone().with_nullable(arg.data_type.nullable)).collect();
    Some(Signature { arguments, result: common.with_nullable(nullable) })
}

/// Text that is never NULL keeps its type, as the replacement is never taken.
fn ifnull_type(args: &[Expr]) -> Option<Signature> {
    let [value, replacement] = args else { return None };
    if !value.data_type.nullable && value.data_type.is_character() && replacement.data_type.is_character() {
        let arguments = vec![value.data_type.clone(), value.data_type.clone()];
        return Some(Signature { arguments, result: value.data_type.clone() });
    }
    coalesce_type(args)
}

fn if_type(args: &[Expr]) -> Option<Signature> {
    let [condition, yes, no] = args else { return None };
    if condition.data_type.kind != TypeKind::Boolean || args.iter().any(|it| it.data_type.is_null()) {
        return None;
    }
    // As in Flink, a condition that may be NULL makes the result nullable.
    let common = coerce::common_type(&[yes.data_type.clone(), no.data_type.clone()])?;
    let common = common.with_nullable(signature::any_nullable(args));
    Some(Signature { arguments: vec![DataType::boolean(), common.clone(), common.clone()], result: common })
}

fn nullif_type(args: &[Expr]) -> Option<Signature> {
    let [value, other] = args else { return None };
    coerce::comparison_type(&value.data_type, &other.data_type)?;
    let arguments = vec![value.data_type.clone(), other.data_type.clone()];
    Some(Signature { arguments, result: value.data_type.clone().with_nullable(true) })
}

fn extreme_type(args: &[Expr]) -> Option<Signature> {
    let common = signature::common(args)?;
    let ordered = !matches!(
        common.kind,
        TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) | TypeKind::Array(_)
    );
    if ordered { signature::same_types(args, common) } else { None }
}

fn text_test(args: &[Expr]) -> Option<Signature> {
    let fits = args.len() == 1 && args.iter().all(signature::is_string);
    fits.then(|| Signature { arguments: vec![DataType::string()], result: DataType::boolean().not_null() })
}

fn test(call: &Call<'_>, holds: impl Fn(&str) -> bool) -> Result<ArrayRef, EvalError> {
    let texts = call.strings(0)?;
    let out = BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && holds(texts.value(row)));
    Ok(Arc::new(BooleanArray::new(out, None)))
}

fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.starts_with(|it: char| it.is_ascii_digit() || it == '.') && unsigned.parse::<f64>().is_ok()
}

fn coalesce(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let mut values = call.args.iter().rev();
    let last = values.next().ok_or_else(|| EvalError::internal("COALESCE without arguments"))?;
    values.try_fold(Arc::clone(last), |rest, value| {
        let valid =
            value.logical_nulls().map_or_else(|| BooleanBuffer::new_set(value.len()), NullBuffer::into_inner);
        Ok(zip(&BooleanArray::new(valid, None), value, &rest)?)
    })
}

/// The argument of each row that stands in this order to all others.
fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef, EvalError> {
    let first = argument(call, 0)?;
    let mut results = Arc::clone(first);
    for array in call.args.iter().skip(1) {
        let compare = make_comparator(array, &results, SortOptions::default())?;
        let better = BooleanBuffer::collect_bool(call.rows, |row| compare(row, row) == wanted);
        drop(compare);
        results = zip(&BooleanArray::new(better, None), array, &results)?;
    }
    match call.nulls() {
        Some(nulls) => Ok(nullif(&results, &BooleanArray::new(!nulls.inner(), None))?),
        None => Ok(results),
    }
}
