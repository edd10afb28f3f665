//! Arrays from arrays. Elements are compared with NULL equal to NULL, as Flink does.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray},
    compute::take,
    datatypes::{Int32Type, UInt32Type},
    row::{Row, Rows},
};
use flott_types::{DataType, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    collection::{Gather, comparable, element_of, lists, span},
    kernel, signature,
};
use crate::{EvalError, Expr, coerce};

const KIND: FunctionKind = FunctionKind::Collection;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "ARRAY_CONTAINS",
        &["ARRAY_CONTAINS(array, element)"],
        |args| {
            let mut found = with_element(args, DataType::boolean())?;
            found.result.nullable = args.first()?.data_type.nullable;
            Some(found)
        },
        |call| {
            let found = search(call)?;
            let (arrays, wanted) = (lists(call, 0)?, &found.wanted);
            Ok(kernel::build_booleans(call.rows, arrays.nulls().cloned(), |row| {
                span(arrays.value_offsets(), row).any(|it| found.elements.row(it) == wanted.row(row))
            }))
        },
        "Whether the array has the element; NULL is found too.",
        &[("ARRAY_CONTAINS(ARRAY[1, 2], 2)", "TRUE")],
    ),
    Function::define(
        KIND,
        "ARRAY_POSITION",
        &["ARRAY_POSITION(array, element)"],
        |args| with_element(args, DataType::int()),
        array_position,
        "Where the element first stands, counted from 1; 0 if it doesn't.",
        &[("ARRAY_POSITION(ARRAY[1, 2, 1], 2)", "2"), ("ARRAY_POSITION(ARRAY[1, 2, 1], 9)", "0")],
    ),
    Function::define(
        KIND,
        "ARRAY_APPEND",
        &["ARRAY_APPEND(array, element)"],
        grown,
        |call| add_element(call, false),
        "The array with one more element at its end.",
        &[("ARRAY_APPEND(ARRAY[1, 2], 3)", "[1, 2, 3]")],
    ),
    Function::define(
        KIND,
        "ARRAY_PREPEND",
        &["ARRAY_PREPEND(array, element)"],
        grown,
        |call| add_element(call, true),
        "The array with one more element at its start.",
        &[("ARRAY_PREPEND(ARRAY[1, 2], 3)", "[3, 1, 2]")],
    ),
    Function::define(
        KIND,
        "ARRAY_REMOVE",
        &["ARRAY_REMOVE(array, element)"],
        |args| {
            let given = args.first()?.data_type.clone();
            let mut found = with_element(args, given.clone())?;
            found.result.nullable = given.nullable;
            Some(found)
        },
        array_remove,
        "The array without the elements that equal the given one.",
        &[("ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]")],
    ),
    Function::define(
        KIND,
        "ARRAY_CONCAT",
        &["ARRAY_CONCAT(array, …)"],
        same_arrays,
        array_concat,
        "The arrays one after the other.",
        &[("ARRAY_CONCAT(ARRAY[1, 2], ARRAY[3])", "[1, 2, 3]")],
    ),
    Function::define(
        KIND,
        "ARRAY_DISTINCT",
        &["ARRAY_DISTINCT(array)"],
        one_array,
        |call| set_operation(call, |_, _| true),
        "The elements, each once, in order of their first appearance.",
        &[("ARRAY_DISTINCT(ARRAY[1, 2, 1])", "[1, 2]")],
    ),
    Function::define(
        KIND,
        "ARRAY_UNION",
        &["ARRAY_UNION(array, array)"],
        two_arrays,
        array_union,
        "The elements of either array, each once.",
        &[("ARRAY_UNION(ARRAY[1, 2, 2], ARRAY[2, 3])", "[1, 2, 3]")],
    ),
    Function::define(
        KIND,
        "ARRAY_INTERSECT",
        &["ARRAY_INTERSECT(array, array)"],
        two_arrays,
        |call| set_operation(call, |element, other| other.contains(element)),
        "The elements that both arrays have, each once.",
        &[("ARRAY_INTERSECT(ARRAY[1, 2, 2], ARRAY[2, 3])", "[2]")],
    ),
    Function::define(
        KIND,
        "ARRAY_EXCEPT",
        &["ARRAY_EXCEPT(array, array)"],
        two_arrays,
        |call| set_operation(call, |element, other| !other.contains(element)),
        "The elements of the first array that the second hasn't, each once.",
        &[("ARRAY_EXCEPT(ARRAY[1, 2, 2, 3, 3], ARRAY[2])", "[1, 3]")],
    ),
    Function::define(
        KIND,
        "ARRAY_REVERSE",
        &["ARRAY_REVERSE(array)"],
        one_array,
        |call| rearrange(call, |_, span| span.rev().collect()),
        "The elements in reverse order.",
        &[("ARRAY_REVERSE(ARRAY[1, 2, NULL])", "[NULL, 2, 1]")],
    ),
    Function::define(
        KIND,
        "ARRAY_SLICE",
        &["ARRAY_SLICE(array, start [, end])"],
        |args| {
            let (array, bounds) = args.split_first()?;
            element_of(array)?;
            if !(1..=2).contains(&bounds.len()) || !bounds.iter().all(signature::is_integer) {
                return None;
            }
            let mut arguments = vec![array.data_type.clone()];
            arguments.extend(bounds.iter().map(|_| DataType::int()));
            Some(signature::signature(args, arguments, array.data_type.clone()))
        },
        array_slice,
        "The elements from one position to another, both included; negative positions count from the end.",
        &[
            ("ARRAY_SLICE(ARRAY[1, 2, 3, 4, 5], 2, 4)", "[2, 3, 4]"),
            ("ARRAY_SLICE(ARRAY[1, 2, 3, 4, 5], -2)", "[4, 5]"),
        ],
    ),
    Function::define(
        KIND,
        "ARRAY_SORT",
        &["ARRAY_SORT(array [, ascending [, nulls_first]])"],
        |args| {
            let (array, flags) = args.split_first()?;
            element_of(array)?;
            let boolean = |it: &Expr| it.data_type.kind == TypeKind::Boolean || it.data_type.is_null();
            if flags.len() > 2 || !flags.iter().all(boolean) {
                return None;
            }
            let mut arguments = vec![array.data_type.clone()];
            arguments.extend(flags.iter().map(|_| DataType::boolean()));
            Some(signature::signature(args, arguments, array.data_type.clone()))
        },
        array_sort,
        "The elements in order. NULL comes first in ascending order and last in descending order, unless said otherwise.",
        &[
            ("ARRAY_SORT(ARRAY[3, 1, NULL, 2])", "[NULL, 1, 2, 3]"),
            ("ARRAY_SORT(ARRAY[3, 1, 2], FALSE)", "[3, 2, 1]"),
        ],
    ),
    Function::define(
        KIND,
        "ARRAY_MAX",
        &["ARRAY_MAX(array)"],
        element_types,
        |call| extreme(call, |a, b| a > b),
        "The greatest element that isn't NULL.",
        &[("ARRAY_MAX(ARRAY[1, 3, NULL])", "3")],
    ),
    Function::define(
        KIND,
        "ARRAY_MIN",
        &["ARRAY_MIN(array)"],
        element_types,
        |call| extreme(call, |a, b| a < b),
        "The least element that isn't NULL.",
        &[("ARRAY_MIN(ARRAY[1, 3, NULL])", "1")],
    ),
    Function::define(
        KIND,
        "ARRAY_JOIN",
        &["ARRAY_JOIN(array, separator [, null_replacement])"],
        |args| {
            let (array, texts) = args.split_first()?;
            if !element_of(array)?.is_character()
                || !(1..=2).contains(&texts.len())
                || !texts.iter().all(signature::is_string)
            {
                return None;
            }
            let mut arguments = vec![array.data_type.clone()];
            arguments.extend(texts.iter().map(|_| DataType::string()));
            Some(signature::signature(args, arguments, DataType::string()))
        },
        array_join,
        "The elements joined with the separator. NULLs are left out, or replaced by the third argument.",
        &[
            ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], ',')", "a,b"),
            ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], ',', 'N')", "a,N,b"),
        ],
    ),
];

fn one_array(args: &[Expr]) -> Option<Signature> {
    match args {
        [array] => element_of(array).map(|_| signature::as_given(args, array.data_type.clone())),
        _ => None,
    }
}

fn two_arrays(args: &[Expr]) -> Option<Signature> {
    if args.len() == 2 { same_arrays(args) } else { None }
}

/// Arrays whose elements have a common type.
fn same_arrays(args: &[Expr]) -> Option<Signature> {
    let types: Vec<DataType> = args.iter().map(|it| element_of(it).cloned()).collect::<Option<_>>()?;
    let nullable = types.iter().any(|it| it.nullable);
    let array = DataType::array(coerce::common_type(&types)?.with_nullable(nullable));
    Some(signature::signature(args, vec![array.clone(); args.len()], array))
}

/// An array and something that fits among its elements.
fn with_element(args: &[Expr], result: DataType) -> Option<Signature> {
    let [array, element] = args else { return None };
    let of = element_of(array)?;
    let fits = signature::accepts(element, of) || (of.is_character() && signature::is_string(element));
    let kind = if of.is_character() { DataType::string() } else { of.clone() };
    fits.then(|| signature::signature(args, vec![array.data_type.clone(), kind], result))
}

/// An array with an element added: its elements may be NULL if the new one may.
fn grown(args: &[Expr]) -> Option<Signature> {
    let [array, element] = args else { return None };
    let of = element_of(array)?;
    let nullable = of.nullable || element.data_type.nullable;
    let of = match (&of.kind, &element.data_type) {
        (_, it) if it.is_null() => of.clone(),
        _ if signature::accepts(element, of) => of.clone(),
        _ if of.is_character() && signature::is_string(element) => {
            coerce::common_type(&[of.clone(), element.data_type.clone()])?
        }
        _ => return None,
    };
    let of = of.with_nullable(nullable);
    let result = DataType::array(of.clone());
    Some(signature::signature(args, vec![result.clone(), of], result))
}

fn element_types(args: &[Expr]) -> Option<Signature> {
    let [array] = args else { return None };
    let mut found = signature::as_given(args, element_of(array)?.clone());
    found.result.nullable = true;
    Some(found)
}

struct Search {
    elements: Rows,
    wanted: Rows,
}

fn search(call: &Call<'_>) -> Result<Search, EvalError> {
    let wanted = call.args.get(1).ok_or_else(|| EvalError::internal("an element is missing"))?;
    let mut known = comparable(&[lists(call, 0)?.values(), wanted])?.into_iter();
    match (known.next(), known.next()) {
        (Some(elements), Some(wanted)) => Ok(Search { elements, wanted }),
        _ => Err(EvalError::internal("elements that can't be compared")),
    }
}

fn array_position(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, found) = (lists(call, 0)?, search(call)?);
    let positions: Int32Array =
        kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
            let place = span(arrays.value_offsets(), row)
                .position(|it| found.elements.row(it) == found.wanted.row(row));
            Ok(i32::try_from(place.map_or(0, |it| it + 1)).ok())
        })?;
    Ok(Arc::new(positions))
}

/// The array's elements in another order, or fewer of them; `None`-rows stay NULL.
fn rearrange(
    call: &Call<'_>,
    mut choose: impl FnMut(usize, std::ops::Range<usize>) -> Vec<usize>,
) -> Result<ArrayRef, EvalError> {
    let (arrays, nulls) = (lists(call, 0)?, call.nulls());
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        if valid {
            choose(row, span(arrays.value_offsets(), row)).into_iter().for_each(|it| out.pick(0, it));
        }
        out.finish_row(valid)?;
    }
    out.into_lists(call, &[arrays.values().as_ref()])
}

fn add_element(call: &Call<'_>, at_start: bool) -> Result<ArrayRef, EvalError> {
    let arrays = lists(call, 0)?;
    let added = call.args.get(1).ok_or_else(|| EvalError::internal("an element is missing"))?;
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let valid = arrays.is_valid(row);
        if valid {
            if at_start {
                out.pick(1, row);
            }
            span(arrays.value_offsets(), row).for_each(|it| out.pick(0, it));
            if !at_start {
                out.pick(1, row);
            }
        }
        out.finish_row(valid)?;
    }
    out.into_lists(call, &[arrays.values().as_ref(), added.as_ref()])
}

fn array_remove(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, found) = (lists(call, 0)?, search(call)?);
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let kept = |it: &usize| found.elements.row(*it) != found.wanted.row(row);
        if arrays.is_valid(row) {
            span(arrays.value_offsets(), row).filter(kept).for_each(|it| out.pick(0, it));
        }
        out.finish_row(arrays.is_valid(row))?;
    }
    out.into_lists(call, &[arrays.values().as_ref()])
}

fn all_lists<'a>(call: &Call<'a>) -> Result<Vec<&'a ListArray>, EvalError> {
    (0..call.args.len()).map(|it| lists(call, it)).collect()
}

fn array_concat(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, nulls) = (all_lists(call)?, call.nulls());
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        for (source, array) in arrays.iter().enumerate().filter(|_| valid) {
            span(array.value_offsets(), row).for_each(|it| out.pick(source, it));
        }
        out.finish_row(valid)?;
    }
    let sources: Vec<&dyn Array> = arrays.iter().map(|it| it.values().as_ref()).collect();
    out.into_lists(call, &sources)
}

fn array_union(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, nulls) = (all_lists(call)?, call.nulls());
    let known = comparable(&arrays.iter().map(|it| it.values()).collect::<Vec<_>>())?;
    let mut out = Gather::new(call.rows);
    let mut seen: HashSet<Row<'_>> = HashSet::new();
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        seen.clear();
        for (source, (array, known)) in arrays.iter().zip(&known).enumerate().filter(|_| valid) {
            let new = span(array.value_offsets(), row).filter(|it| seen.insert(known.row(*it)));
            new.for_each(|it| out.pick(source, it));
        }
        out.finish_row(valid)?;
    }
    let sources: Vec<&dyn Array> = arrays.iter().map(|it| it.values().as_ref()).collect();
    out.into_lists(call, &sources)
}

/// Distinct elements of the first array for which `keeps(element, elements of the second)`.
fn set_operation(
    call: &Call<'_>,
    keeps: impl Fn(&Row<'_>, &HashSet<Row<'_>>) -> bool,
) -> Result<ArrayRef, EvalError> {
    let arrays = all_lists(call)?;
    let known = comparable(&arrays.iter().map(|it| it.values()).collect::<Vec<_>>())?;
    let (Some(first), Some(elements)) = (arrays.first(), known.first()) else {
        return Err(EvalError::internal("a set operation without arrays"));
    };
    let nulls = call.nulls();
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        if valid {
            let other: HashSet<Row<'_>> = match (arrays.get(1), known.get(1)) {
                (Some(array), Some(rows)) => {
                    span(array.value_offsets(), row).map(|it| rows.row(it)).collect()
                }
                _ => HashSet::new(),
            };
            let mut seen = HashSet::new();
            for it in span(first.value_offsets(), row) {
                let element = elements.row(it);
                if keeps(&element, &other) && seen.insert(element) {
                    out.pick(0, it);
                }
            }
        }
        out.finish_row(valid)?;
    }
    out.into_lists(call, &[first.values().as_ref()])
}

fn array_slice(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let starts = call.ints(1)?;
    let ends = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    rearrange(call, |row, span| {
        let end = ends.map_or(i32::MAX, |it| it.value(row));
        let (from, to) = slice_bounds(span.len(), starts.value(row), end);
        span.skip(from).take(to.saturating_sub(from)).collect()
    })
}

/// The half-open range of positions from 0 that two positions from 1 mean.
fn slice_bounds(length: usize, start: i32, end: i32) -> (usize, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |it: i32| if it < 0 { length + i64::from(it) + 1 } else { i64::from(it) };
    let (start, end) = (place(start).max(1), place(end).min(length));
    if start > end {
        return (0, 0);
    }
    (usize::try_from(start - 1).unwrap_or(0), usize::try_from(end).unwrap_or(0))
}

fn array_sort(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let flag = |index: usize| -> Result<Option<&BooleanArray>, EvalError> {
        if call.args.len() > index { call.booleans(index).map(Some) } else { Ok(None) }
    };
    let (ascending, nulls_first) = (flag(1)?, flag(2)?);
    let elements = lists(call, 0)?.values();
    let known = comparable(&[elements])?;
    let Some(known) = known.first() else { return Err(EvalError::internal("nothing to sort")) };
    rearrange(call, |row, span| {
        let ascending = ascending.is_none_or(|it| it.value(row));
        let nulls_first = nulls_first.map_or(ascending, |it| it.value(row));
        let mut places: Vec<usize> = span.collect();
        places.sort_by(|a, b| {
            let by_null = elements.is_valid(*a).cmp(&elements.is_valid(*b));
            let by_value = known.row(*a).cmp(&known.row(*b));
            let by_null = if nulls_first { by_null } else { by_null.reverse() };
            by_null.then(if ascending { by_value } else { by_value.reverse() })
        });
        places
    })
}

fn extreme(call: &Call<'_>, better: fn(&Row<'_>, &Row<'_>) -> bool) -> Result<ArrayRef, EvalError> {
    let arrays = lists(call, 0)?;
    let elements = arrays.values();
    let known = comparable(&[elements])?;
    let Some(known) = known.first() else { return Err(EvalError::internal("nothing to compare")) };
    let places = kernel::build_primitive::<UInt32Type>(call.rows, arrays.nulls(), |row| {
        let mut best: Option<usize> = None;
        for it in span(arrays.value_offsets(), row).filter(|it| elements.is_valid(*it)) {
            if best.is_none_or(|best| better(&known.row(it), &known.row(best))) {
                best = Some(it);
            }
        }
        Ok(best.map(|it| it as u32))
    })?;
    Ok(take(elements, &places, None)?)
}

fn array_join(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, separators) = (lists(call, 0)?, call.strings(1)?);
    let fillers = if call.args.len() > 2 { Some(call.strings(2)?) } else { None };
    let elements = arrays
        .values()
        .as_string_opt::<i32>()
        .ok_or_else(|| EvalError::internal("ARRAY_JOIN of something that isn't text"))?;
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let filler = fillers.map(|it| it.value(row));
        let mut between = "";
        for it in span(arrays.value_offsets(), row) {
            let text = if elements.is_valid(it) { Some(elements.value(it)) } else { filler };
            if let Some(text) = text {
                out.push_str(between);
                out.push_str(text);
                between = separators.value(row);
            }
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_clip_to_the_array() {
        assert_eq!(slice_bounds(5, 2, 4), (1, 4));
        assert_eq!(slice_bounds(5, -2, i32::MAX), (3, 5));
        assert_eq!(slice_bounds(5, -3, -1), (2, 5));
        assert_eq!(slice_bounds(5, 0, 2), (0, 2));
        assert_eq!(slice_bounds(5, 4, 2), (0, 0));
        assert_eq!(slice_bounds(5, 7, 9), (0, 0));
        assert_eq!(slice_bounds(5, -9, 2), (0, 2));
        assert_eq!(slice_bounds(5, 2, 0), (0, 0));
    }
}
