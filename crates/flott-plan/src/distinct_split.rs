//! Distinct aggregates in two steps, so that one key that is most of the input isn't one shard's work.
//!
//! ```text
//!   COUNT(DISTINCT x) by k    ──►    1. COUNT(DISTINCT x) AS c by k, MOD($HASH(x), 1024)
//!                                    2. SUM(c) by k
//! ```
//! A value is in one bucket only, so what the buckets count adds up.
//!
//! Source: Flink documentation, "Performance Tuning", "Split Distinct Aggregation".

use flott_expr::{AggregateFunction, Expr, Value, lookup, lookup_aggregate};
use flott_types::{DataType, Options, Result, Span, TypeKind};

use crate::{Call, graph::same_expr};

const BUCKETS_DEFAULT: i64 = 1024;

/// `table.optimizer.distinct-agg.split.bucket-num`, if distinct aggregates are split.
///
/// # Errors
/// `InvalidOption`
pub fn buckets(options: &Options) -> Result<Option<i64>> {
    if options.boolean("table.optimizer.distinct-agg.split.enabled")? != Some(true) {
        return Ok(None);
    }
    let number = |text: &str| match text.trim().parse::<i32>() {
        Ok(number) if number > 0 => Ok(i64::from(number)),
        _ => Err("expected a whole number above 0".to_string()),
    };
    let buckets = options.parsed("table.optimizer.distinct-agg.split.bucket-num", number)?;
    Ok(Some(buckets.unwrap_or(BUCKETS_DEFAULT)))
}

/// The bucket of a row, if the calls can be split: their distinct ones are all over the same
/// arguments, and the results of all of them can be put together. `columns`: the arguments.
///
/// # Errors
/// `Internal`
pub fn bucket(calls: &[Call], columns: &[Expr], buckets: i64) -> Result<Option<Expr>> {
    let mut distinct = calls.iter().filter(|call| call.distinct);
    let Some(first) = distinct.next() else { return Ok(None) };
    let args = |call: &Call| -> Vec<Expr> {
        call.args.iter().filter_map(|&column| columns.get(column).cloned()).collect()
    };
    let of_first = args(first);
    let same = |call: &Call| {
        let args = args(call);
        args.len() == of_first.len() && args.iter().zip(&of_first).all(|(a, b)| same_expr(a, b))
    };
    let hashed = of_first.iter().all(|arg| has_buckets(&arg.data_type));
    if !hashed || !distinct.all(same) || calls.iter().any(|call| merging(call).is_none()) {
        return Ok(None);
    }
    let (Some(hash), Some(modulo)) = (lookup("$HASH"), lookup("MOD")) else { return Ok(None) };
    let hash = hash.call(of_first, Span::default())?;
    let buckets = Expr::literal(Value::Int(buckets), DataType::int().not_null());
    modulo.call(vec![hash, buckets], Span::default()).map(Some)
}

/// Types of which equal values have equal hashes.
fn has_buckets(data_type: &DataType) -> bool {
    data_type.is_character()
        || data_type.is_binary()
        || data_type.is_integer()
        || data_type.is_decimal()
        || data_type.is_datetime()
        || data_type.kind == TypeKind::Boolean
}

/// The function that puts a call's results of all buckets together.
fn merging(call: &Call) -> Option<&'static AggregateFunction> {
    match call.function.name {
        "COUNT" | "$SUM0" => lookup_aggregate("$SUM0"),
        "SUM" | "MIN" | "MAX" => Some(call.function),
        _ => None,
    }
}

/// The calls over the buckets' results, the first of which stands in column `first`.
pub fn merged(calls: &[Call], first: usize) -> Vec<Call> {
    let merge = |(at, call): (usize, &Call)| Call {
        function: merging(call).unwrap_or(call.function),
        args: vec![first + at],
        arg_types: vec![call.data_type.clone()],
        distinct: false,
        filter: None,
        data_type: call.data_type.clone(),
    };
    calls.iter().enumerate().map(merge).collect()
}
