//! Arrays from arrays. Elements are compared with NULL equal to NULL, as Flink does.

use std::{cmp::Ordering, collections::HashSet, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray},
    compute::take,
    datatypes::{Int32Type, UInt32Type},
    row::{Row, Rows},
};
use flott_types::{DataType, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    collection::{Comparison, Gather, comparable, comparison, element_of, lists, span},
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
            let (arrays, compare) = (lists(call, 0)?, search(call)?);
            Ok(kernel::build_booleans(call.rows, arrays.nulls().cloned(), |row| {
                span(arrays.value_offsets(), row).any(|it| compare(it, row).is_eq())
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
        |call| set_operation(call, None),
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
        |call| set_operation(call, Some(true)),
        "The elements that both arrays have, each once.",
        &[("ARRAY_INTERSECT(ARRAY[1, 2, 2], ARRAY[2, 3])", "[2]")],
    ),
    Function::define(
        KIND,
        "ARRAY_EXCEPT",
        &["ARRAY_EXCEPT(array, array)"],
        two_arrays,
        |call| set_operation(call, Some(false)),
        "The elements of the first array that the second hasn't, each once.",
        &[("ARRAY_EXCEPT(ARRAY[1, 2, 2, 3, 3], ARRAY[2])", "[1, 3]")],
    ),
    Function::define(
        KIND,
        "ARRAY_REVERSE",
        &["ARRAY_REVERSE(array)"],
        one_array,
        |call| rearrange(call, |_, span, out| out.extend(span.rev())),
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
        |call| extreme(call, Ordering::Greater),
        "The greatest element that isn't NULL.",
        &[("ARRAY_MAX(ARRAY[1, 3, NULL])", "3")],
    ),
    Function::define(
        KIND,
        "ARRAY_MIN",
        &["ARRAY_MIN(array)"],
        element_types,
        |call| extreme(call, Ordering::Less),
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

/// Compares an element of the first argument with a row of the second.
fn search(call: &Call<'_>) -> Result<Comparison, EvalError> {
    let wanted = call.args.get(1).ok_or_else(|| EvalError::internal("an element is missing"))?;
    comparison(lists(call, 0)?.values(), wanted)
}

fn array_position(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, compare) = (lists(call, 0)?, search(call)?);
    let positions: Int32Array =
        kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
            let place = span(arrays.value_offsets(), row).position(|it| compare(it, row).is_eq());
            Ok(i32::try_from(place.map_or(0, |it| it + 1)).ok())
        })?;
    Ok(Arc::new(positions))
}

/// The array's elements in another order, or fewer of them; `None`-rows stay NULL.
fn rearrange(
    call: &Call<'_>,
    mut choose: impl FnMut(usize, Range<usize>, &mut Vec<usize>),
) -> Result<ArrayRef, EvalError> {
    let (arrays, nulls) = (lists(call, 0)?, call.nulls());
    let (mut out, mut chosen) = (Gather::new(call.rows), Vec::new());
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        if valid {
            choose(row, span(arrays.value_offsets(), row), &mut chosen);
            chosen.drain(..).for_each(|it| out.pick(0, it));
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
    let (arrays, compare) = (lists(call, 0)?, search(call)?);
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        let kept = |it: &usize| compare(*it, row).is_ne();
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

/// From how many elements of a row on they are looked up by their hash. Fewer are compared one by one.
const HASHED_FROM: usize = 32;

/// Some of the elements of a row, to ask whether one is among them.
enum Seen<'a> {
    /// Where they stand.
    Few(Vec<(usize, usize)>),
    Many(HashSet<Row<'a>>),
}

/// The elements of all arguments, and how to tell them apart.
struct Elements<'a> {
    arrays: Vec<&'a ListArray>,
    /// For each argument the comparison with each.
    comparisons: Vec<Vec<Comparison>>,
    /// For each argument what is hashed; nothing if no row has that many elements.
    hashed: Vec<Rows>,
}

impl<'a> Elements<'a> {
    fn of(call: &Call<'a>) -> Result<Self, EvalError> {
        let arrays = all_lists(call)?;
        let values: Vec<&ArrayRef> = arrays.iter().map(|it| it.values()).collect();
        let with_all = |it: &&ArrayRef| values.iter().map(|other| comparison(it, other)).collect();
        let comparisons = values.iter().map(with_all).collect::<Result<_, _>>()?;
        let long = arrays
            .iter()
            .any(|it| it.value_offsets().windows(2).any(|pair| (pair[1] - pair[0]) as usize >= HASHED_FROM));
        let hashed = if long { comparable(&values)? } else { Vec::new() };
        Ok(Self { arrays, comparisons, hashed })
    }
    fn span(&self, source: usize, row: usize) -> Range<usize> {
        self.arrays.get(source).map_or(0..0, |it| span(it.value_offsets(), row))
    }
    /// No elements yet, of a row that has so many.
    fn none(&self, count: usize) -> Seen<'_> {
        if count < HASHED_FROM || self.hashed.is_empty() {
            Seen::Few(Vec::new())
        } else {
            Seen::Many(HashSet::with_capacity(count))
        }
    }
    fn has(&self, seen: &Seen<'_>, source: usize, at: usize) -> bool {
        match seen {
            Seen::Few(places) => places.iter().any(|(other, place)| {
                let compare = self.comparisons.get(source).and_then(|it| it.get(*other));
                compare.is_some_and(|compare| compare(at, *place).is_eq())
            }),
            Seen::Many(rows) => self.hashed.get(source).is_some_and(|it| rows.contains(&it.row(at))),
        }
    }
    fn add<'s>(&'s self, seen: &mut Seen<'s>, source: usize, at: usize) {
        match seen {
            Seen::Few(places) => places.push((source, at)),
            Seen::Many(rows) => rows.extend(self.hashed.get(source).map(|it| it.row(at))),
        }
    }
    fn values(&self) -> Vec<&dyn Array> {
        self.arrays.iter().map(|it| it.values().as_ref()).collect()
    }
}

/// Makes it empty, for a row of so many elements.
fn empty<'s>(elements: &'s Elements<'_>, seen: &mut Seen<'s>, count: usize) {
    match seen {
        Seen::Few(places) if count < HASHED_FROM => places.clear(),
        seen => *seen = elements.none(count),
    }
}

fn array_union(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (elements, nulls) = (Elements::of(call)?, call.nulls());
    let (mut out, mut seen) = (Gather::new(call.rows), elements.none(0));
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        let sources = 0..if valid { elements.arrays.len() } else { 0 };
        empty(&elements, &mut seen, sources.clone().map(|it| elements.span(it, row).len()).sum());
        for source in sources {
            for at in elements.span(source, row) {
                if !elements.has(&seen, source, at) {
                    elements.add(&mut seen, source, at);
                    out.pick(source, at);
                }
            }
        }
        out.finish_row(valid)?;
    }
    out.into_lists(call, &elements.values())
}

/// Distinct elements of the first array: all, or those that the second has, or hasn't.
fn set_operation(call: &Call<'_>, among_second: Option<bool>) -> Result<ArrayRef, EvalError> {
    let (elements, nulls) = (Elements::of(call)?, call.nulls());
    let mut out = Gather::new(call.rows);
    let (mut seen, mut second) = (elements.none(0), elements.none(0));
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        if valid {
            let (first, others) = (elements.span(0, row), elements.span(1, row));
            empty(&elements, &mut seen, first.len());
            empty(&elements, &mut second, others.len());
            others.for_each(|at| elements.add(&mut second, 1, at));
            for at in first {
                let wanted = among_second.is_none_or(|it| elements.has(&second, 0, at) == it);
                if wanted && !elements.has(&seen, 0, at) {
                    elements.add(&mut seen, 0, at);
                    out.pick(0, at);
                }
            }
        }
        out.finish_row(valid)?;
    }
    let values = elements.values();
    out.into_lists(call, values.get(..1).unwrap_or(&values))
}

fn array_slice(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let starts = call.ints(1)?;
    let ends = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    rearrange(call, |row, span, out| {
        let end = ends.map_or(i32::MAX, |it| it.value(row));
        let (from, to) = slice_bounds(span.len(), starts.value(row), end);
        out.extend(span.skip(from).take(to.saturating_sub(from)));
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
    let compare = comparison(elements, elements)?;
    rearrange(call, |row, span, places| {
        let ascending = ascending.is_none_or(|it| it.value(row));
        let nulls_first = nulls_first.map_or(ascending, |it| it.value(row));
        places.extend(span);
        places.sort_by(|a, b| {
            let by_null = elements.is_valid(*a).cmp(&elements.is_valid(*b));
            let by_value = compare(*a, *b);
            let by_null = if nulls_first { by_null } else { by_null.reverse() };
            by_null.then(if ascending { by_value } else { by_value.reverse() })
        });
    })
}

fn extreme(call: &Call<'_>, better: Ordering) -> Result<ArrayRef, EvalError> {
    let arrays = lists(call, 0)?;
    let elements = arrays.values();
    let compare = comparison(elements, elements)?;
    let places = kernel::build_primitive::<UInt32Type>(call.rows, arrays.nulls(), |row| {
        let mut best: Option<usize> = None;
        for it in span(arrays.value_offsets(), row).filter(|it| elements.is_valid(*it)) {
            if best.is_none_or(|best| compare(it, best) == better) {
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
