//! Comparisons, tests for NULL, IN.
//!
//! Both sides are cast to one type by the type rule, then compared by Arrow's kernels, with a
//! constant side passed as a scalar. Floats have loops of their own: SQL wants `NaN = NaN` FALSE
//! and `-0.0 = 0.0` TRUE, Arrow's kernels order them totally.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Datum, PrimitiveArray, Scalar,
        make_comparator,
    },
    buffer::{BooleanBuffer, NullBuffer},
    compute::{SortOptions, kernels::cmp, or_kleene},
    datatypes::{DataType as ArrowType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type},
};
use flott_types::DataType;

use super::{Call, Function, FunctionKind, Signature, signature};
use crate::{CastMode, EvalContext, EvalError, Expr, cast, coerce};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    comparison(
        "=",
        &[],
        &["value1 = value2"],
        |call| compare(call, Comparison::Equal),
        "Whether the values are equal; NULL if one is NULL.",
        &[("1 = 1.0", "TRUE")],
    ),
    comparison(
        "<>",
        &["!="],
        &["value1 <> value2"],
        |call| compare(call, Comparison::NotEqual),
        "Whether the values differ; NULL if one is NULL.",
        &[("1 <> 2", "TRUE")],
    ),
    Function {
        resolve: less_or_greater,
        ..comparison(
            "<",
            &[],
            &["value1 < value2"],
            |call| compare(call, Comparison::Less),
            "Whether the first value is less.",
            &[("1 < 2", "TRUE")],
        )
    },
    Function {
        resolve: less_or_greater,
        ..comparison(
            "<=",
            &[],
            &["value1 <= value2"],
            |call| compare(call, Comparison::LessOrEqual),
            "Whether the first value is less or equal.",
            &[("2 <= 2", "TRUE")],
        )
    },
    Function {
        resolve: less_or_greater,
        ..comparison(
            ">",
            &[],
            &["value1 > value2"],
            |call| compare(call, Comparison::Greater),
            "Whether the first value is greater.",
            &[("'b' > 'a'", "TRUE")],
        )
    },
    Function {
        resolve: less_or_greater,
        ..comparison(
            ">=",
            &[],
            &["value1 >= value2"],
            |call| compare(call, Comparison::GreaterOrEqual),
            "Whether the first value is greater or equal.",
            &[("1 >= 2", "FALSE")],
        )
    },
    Function {
        resolve: |args| never_null(equal_pair(args)),
        ..comparison(
            "IS DISTINCT FROM",
            &[],
            &["value1 IS DISTINCT FROM value2"],
            |call| distinct(call, true),
            "Whether the values differ, NULL being equal to NULL; never NULL.",
            &[("1 IS DISTINCT FROM NULL", "TRUE")],
        )
    },
    Function {
        resolve: |args| never_null(equal_pair(args)),
        ..comparison(
            "IS NOT DISTINCT FROM",
            &[],
            &["value1 IS NOT DISTINCT FROM value2"],
            |call| distinct(call, false),
            "Whether the values are equal, NULL being equal to NULL; never NULL.",
            &[("1 IS NOT DISTINCT FROM NULL", "FALSE")],
        )
    },
    Function {
        resolve: any_value,
        ..comparison(
            "IS NULL",
            &[],
            &["value IS NULL"],
            |call| Ok(null_test(call, false)),
            "Whether the value is NULL.",
            &[("CAST(NULL AS INT) IS NULL", "TRUE")],
        )
    },
    Function {
        resolve: any_value,
        ..comparison(
            "IS NOT NULL",
            &[],
            &["value IS NOT NULL"],
            |call| Ok(null_test(call, true)),
            "Whether the value is not NULL.",
            &[("1 IS NOT NULL", "TRUE")],
        )
    },
    Function {
        resolve: in_type,
        ..comparison(
            "IN",
            &[],
            &["value IN (value1 [, …])"],
            is_in,
            "Whether the value is one of the list; NULL if it is not and one of them is NULL.",
            &[("2 IN (1, 2, 3)", "TRUE")],
        )
    },
];

const fn comparison(
    name: &'static str,
    aliases: &'static [&'static str],
    signatures: &'static [&'static str],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function {
        name,
        aliases,
        kind: FunctionKind::Comparison,
        signatures,
        resolve: equal_pair,
        evaluate,
        deterministic: true,
        doc,
        examples,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Two values of types that can be equal. A number equals no text, as in Flink, though both have a
/// common order.
fn equal_pair(args: &[Expr]) -> Option<Signature> {
    let [a, b] = args else { return None };
    let mixed = |a: &Expr, b: &Expr| a.data_type.is_character() && b.data_type.is_numeric();
    if mixed(a, b) || mixed(b, a) { None } else { ordered_pair(args) }
}

fn ordered_pair(args: &[Expr]) -> Option<Signature> {
    let [a, b] = args else { return None };
    let common = coerce::comparison_type(&a.data_type, &b.data_type)?;
    Some(signature::signature(args, vec![common.clone(), common], DataType::boolean()))
}

/// As [`ordered_pair`], of types that have an order.
fn less_or_greater(args: &[Expr]) -> Option<Signature> {
    use flott_types::TypeKind::{Array, Map, Multiset, Row};
    let nested = |it: &Expr| matches!(it.data_type.kind, Array(_) | Map(..) | Multiset(_) | Row(_));
    if args.iter().any(nested) { None } else { ordered_pair(args) }
}

fn never_null(signature: Option<Signature>) -> Option<Signature> {
    signature.map(|it| Signature { result: it.result.not_null(), ..it })
}

fn any_value(args: &[Expr]) -> Option<Signature> {
    let [value] = args else { return None };
    Some(Signature { arguments: vec![value.data_type.clone()], result: DataType::boolean().not_null() })
}

/// The argument, a constant as a scalar.
pub(super) fn datum(call: &Call<'_>, index: usize) -> Result<Box<dyn Datum>, EvalError> {
    let array = call.args.get(index).ok_or_else(|| EvalError::internal("an argument is missing"))?;
    if call.literal(index).is_some() && !array.is_empty() {
        return Ok(Box::new(Scalar::new(array.slice(0, 1))));
    }
    Ok(Box::new(Arc::clone(array)))
}

fn compare(call: &Call<'_>, comparison: Comparison) -> Result<ArrayRef, EvalError> {
    let (left, right) = (datum(call, 0)?, datum(call, 1)?);
    let constant_both = left.get().1 && right.get().1;
    if constant_both {
        let (Some(left), Some(right)) = (call.args.first(), call.args.get(1)) else {
            return Err(EvalError::internal("an argument is missing"));
        };
        return Ok(Arc::new(compare_datums(left, right, comparison)?));
    }
    Ok(Arc::new(compare_datums(left.as_ref(), right.as_ref(), comparison)?))
}

fn compare_datums(
    left: &dyn Datum,
    right: &dyn Datum,
    comparison: Comparison,
) -> Result<BooleanArray, EvalError> {
    match left.get().0.data_type() {
        ArrowType::Float32 => Ok(compare_floats::<Float32Type>(left, right, comparison)),
        ArrowType::Float64 => Ok(compare_floats::<Float64Type>(left, right, comparison)),
        ArrowType::List(_) | ArrowType::Struct(_) | ArrowType::Map(..) | ArrowType::Interval(_) => {
            compare_nested(left, right, comparison)
        }
        ArrowType::Null => {
            let rows = left.get().0.len().max(right.get().0.len());
            Ok(BooleanArray::new(BooleanBuffer::new_unset(rows), Some(NullBuffer::new_null(rows))))
        }
        _ => Ok(match comparison {
            Comparison::Equal => cmp::eq(left, right)?,
            Comparison::NotEqual => cmp::neq(left, right)?,
            Comparison::Less => cmp::lt(left, right)?,
            Comparison::LessOrEqual => cmp::lt_eq(left, right)?,
            Comparison::Greater => cmp::gt(left, right)?,
            Comparison::GreaterOrEqual => cmp::gt_eq(left, right)?,
        }),
    }
}

fn compare_floats<T: ArrowPrimitiveType>(
    left: &dyn Datum,
    right: &dyn Datum,
    comparison: Comparison,
) -> BooleanArray
where
    T::Native: PartialOrd,
{
    match comparison {
        Comparison::Equal => test_floats::<T>(left, right, |a, b| a == b),
        Comparison::NotEqual => test_floats::<T>(left, right, |a, b| a != b),
        Comparison::Less => test_floats::<T>(left, right, |a, b| a < b),
        Comparison::LessOrEqual => test_floats::<T>(left, right, |a, b| a <= b),
        Comparison::Greater => test_floats::<T>(left, right, |a, b| a > b),
        Comparison::GreaterOrEqual => test_floats::<T>(left, right, |a, b| a >= b),
    }
}

fn test_floats<T: ArrowPrimitiveType>(
    left: &dyn Datum,
    right: &dyn Datum,
    holds: impl Fn(T::Native, T::Native) -> bool,
) -> BooleanArray {
    let ((left, left_constant), (right, right_constant)) = (left.get(), right.get());
    let (a, b): (&PrimitiveArray<T>, &PrimitiveArray<T>) = (left.as_primitive(), right.as_primitive());
    let rows = if left_constant { b.len() } else { a.len() };
    let values = match (left_constant, right_constant) {
        (true, _) => {
            let constant = a.value(0);
            BooleanBuffer::collect_bool(rows, |row| holds(constant, b.values()[row]))
        }
        (_, true) => {
            let constant = b.value(0);
            BooleanBuffer::collect_bool(rows, |row| holds(a.values()[row], constant))
        }
        _ => BooleanBuffer::collect_bool(rows, |row| holds(a.values()[row], b.values()[row])),
    };
    let spread = |array: &PrimitiveArray<T>, constant: bool| match (constant, array.null_count()) {
        (true, 1..) => Some(NullBuffer::new_null(rows)),
        (true, _) => None,
        _ => array.nulls().cloned(),
    };
    let nulls = NullBuffer::union(spread(a, left_constant).as_ref(), spread(b, right_constant).as_ref());
    BooleanArray::new(values, nulls)
}

fn compare_nested(
    left: &dyn Datum,
    right: &dyn Datum,
    comparison: Comparison,
) -> Result<BooleanArray, EvalError> {
    let ((a, a_constant), (b, b_constant)) = (left.get(), right.get());
    let rows = if a_constant { b.len() } else { a.len() };
    let order = make_comparator(a, b, SortOptions::default())?;
    let at = |row: usize, constant: bool| if constant { 0 } else { row };
    let is_null = |row: usize| a.is_null(at(row, a_constant)) || b.is_null(at(row, b_constant));
    let values = BooleanBuffer::collect_bool(rows, |row| {
        if is_null(row) {
            return false;
        }
        let order = order(at(row, a_constant), at(row, b_constant));
        match comparison {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
        }
    });
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(rows, |row| !is_null(row)));
    Ok(BooleanArray::new(values, Some(nulls)))
}

/// Equality of two arrays of possibly different types; NULL where one is.
pub(super) fn equal_arrays(
    left: &ArrayRef,
    left_type: &DataType,
    right: &ArrayRef,
    right_type: &DataType,
    context: &EvalContext,
) -> Result<BooleanArray, EvalError> {
    let common = coerce::comparison_type(left_type, right_type)
        .ok_or_else(|| EvalError::internal("the types cannot be compared"))?;
    let left = cast::cast_array(left, left_type, &common, CastMode::Strict, context)?;
    let right = cast::cast_array(right, right_type, &common, CastMode::Strict, context)?;
    compare_datums(&left, &right, Comparison::Equal)
}

/// Equality or its contrary where NULL is a value like any other.
fn distinct(call: &Call<'_>, wanted: bool) -> Result<ArrayRef, EvalError> {
    let [left, right] = call.args else { return Err(EvalError::internal("an argument is missing")) };
    let equal = compare_datums(left, right, Comparison::Equal)?;
    let (left, right) = (left.logical_nulls(), right.logical_nulls());
    let valid = |nulls: Option<NullBuffer>| {
        nulls.map_or_else(|| BooleanBuffer::new_set(call.rows), NullBuffer::into_inner)
    };
    let same = if left.is_none() && right.is_none() {
        equal.values().clone()
    } else {
        let (left, right) = (valid(left), valid(right));
        &(&(&left & &right) & equal.values()) | &!&(&left | &right)
    };
    Ok(Arc::new(BooleanArray::new(if wanted { !&same } else { same }, None)))
}

fn null_test(call: &Call<'_>, valid: bool) -> ArrayRef {
    let nulls = call.args.first().and_then(|it| it.logical_nulls());
    let values = match (nulls, valid) {
        (Some(nulls), true) => nulls.into_inner(),
        (Some(nulls), false) => !nulls.inner(),
        (None, true) => BooleanBuffer::new_set(call.rows),
        (None, false) => BooleanBuffer::new_unset(call.rows),
    };
    Arc::new(BooleanArray::new(values, None))
}

fn in_type(args: &[Expr]) -> Option<Signature> {
    let (value, list) = args.split_first()?;
    if list.is_empty() {
        return None;
    }
    let common = list
        .iter()
        .try_fold(value.data_type.clone(), |common, it| coerce::comparison_type(&common, &it.data_type))?;
    Some(signature::signature(args, vec![common; args.len()], DataType::boolean()))
}

/// From how many constants on a sorted list is searched instead of comparing with each.
const SEARCHED_FROM: usize = 5;

fn is_in(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let constant = (1..call.args.len()).all(|index| call.literal(index).is_some());
    if constant && call.args.len() > SEARCHED_FROM && call.rows > 0 {
        let found = match call.args.first().map(|it| it.data_type()) {
            Some(ArrowType::Int32) => Some(search::<Int32Type>(call)?),
            Some(ArrowType::Int64) => Some(search::<Int64Type>(call)?),
            Some(ArrowType::Decimal128(..)) => Some(search::<Decimal128Type>(call)?),
            Some(ArrowType::Utf8) => Some(search_texts(call)?),
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    let value = datum(call, 0)?;
    let value: &dyn Datum = if value.get().1 { &call.args[0] } else { value.as_ref() };
    let mut found: Option<BooleanArray> = None;
    for index in 1..call.args.len() {
        let equal = compare_datums(value, datum(call, index)?.as_ref(), Comparison::Equal)?;
        found = Some(match found {
            Some(found) => or_kleene(&found, &equal)?,
            None => equal,
        });
    }
    found.map(|it| Arc::new(it) as ArrayRef).ok_or_else(|| EvalError::internal("IN without a list"))
}

fn search<T: ArrowPrimitiveType>(call: &Call<'_>) -> Result<ArrayRef, EvalError>
where
    T::Native: Ord,
{
    let values = call.primitive::<T>(0)?;
    let (mut list, mut has_null) = (Vec::new(), false);
    for index in 1..call.args.len() {
        let item = call.primitive::<T>(index)?;
        if item.is_null(0) { has_null = true } else { list.push(item.value(0)) }
    }
    list.sort_unstable();
    Ok(membership(values, has_null, |row| list.binary_search(&values.values()[row]).is_ok()))
}

fn search_texts(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let values = call.strings(0)?;
    let (mut list, mut has_null) = (Vec::new(), false);
    for index in 1..call.args.len() {
        let item = call.strings(index)?;
        if item.is_null(0) { has_null = true } else { list.push(item.value(0)) }
    }
    list.sort_unstable();
    Ok(membership(values, has_null, |row| list.binary_search(&values.value(row)).is_ok()))
}

/// What isn't found in a list with a NULL may still be in it.
fn membership(values: &dyn Array, has_null: bool, found: impl Fn(usize) -> bool) -> ArrayRef {
    let found = BooleanBuffer::collect_bool(values.len(), found);
    let nulls = if has_null {
        NullBuffer::union(values.nulls(), Some(&NullBuffer::new(found.clone())))
    } else {
        values.nulls().cloned()
    };
    Arc::new(BooleanArray::new(found, nulls))
}
