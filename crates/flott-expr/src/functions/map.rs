//! Maps: their keys, values and entries, and maps from other things.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, MapArray},
    datatypes::DataType as ArrowType,
};
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind, Signature,
    collection::{Gather, comparable, element_of, entry_of, lists, maps, span},
    signature,
};
use crate::{EvalError, Expr, coerce};

const KIND: FunctionKind = FunctionKind::Collection;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "MAP_KEYS",
        &["MAP_KEYS(map)"],
        |args| of_map(args, |key, _| key.clone()),
        |call| as_lists(call, |map| Arc::clone(map.keys())),
        "The keys.",
        &[("MAP_KEYS(MAP['a', 1, 'b', 2])", "[a, b]")],
    ),
    Function::define(
        KIND,
        "MAP_VALUES",
        &["MAP_VALUES(map)"],
        |args| of_map(args, |_, value| value.clone()),
        |call| as_lists(call, |map| Arc::clone(map.values())),
        "The values.",
        &[("MAP_VALUES(MAP['a', 1, 'b', 2])", "[1, 2]")],
    ),
    Function::define(
        KIND,
        "MAP_ENTRIES",
        &["MAP_ENTRIES(map)"],
        |args| of_map(args, |key, value| DataType::row([("key", key.clone()), ("value", value.clone())])),
        |call| {
            as_lists(call, |map| {
                let nullable =
                    map.entries().fields().iter().map(|it| Arc::new(it.as_ref().clone().with_nullable(true)));
                let columns = map.entries().columns().to_vec();
                Arc::new(arrow::array::StructArray::new(nullable.collect(), columns, None))
            })
        },
        "The entries as rows of `key` and `value`.",
        &[("MAP_ENTRIES(MAP['a', 1, 'b', 2])", "[(a, 1), (b, 2)]")],
    ),
    Function::define(
        KIND,
        "MAP_FROM_ARRAYS",
        &["MAP_FROM_ARRAYS(keys, values)"],
        |args| match args {
            [keys, values] => {
                let map = DataType::map(element_of(keys)?.clone(), element_of(values)?.clone());
                Some(signature::as_given(args, map))
            }
            _ => None,
        },
        map_from_arrays,
        "A map of keys and values, which must be as many.",
        &[("MAP_FROM_ARRAYS(ARRAY['a', 'b'], ARRAY[1, 2])", "{a=1, b=2}")],
    ),
    Function::define(
        KIND,
        "MAP_UNION",
        &["MAP_UNION(map, …)"],
        |args| {
            let (keys, values): (Vec<DataType>, Vec<DataType>) = args
                .iter()
                .map(|it| entry_of(it).map(|(key, value)| (key.clone(), value.clone())))
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .unzip();
            let common = |types: &[DataType]| {
                let nullable = types.iter().any(|it| it.nullable);
                coerce::common_type(types).map(|it| it.with_nullable(nullable))
            };
            let map = DataType::map(common(&keys)?, common(&values)?);
            Some(signature::signature(args, vec![map.clone(); args.len()], map))
        },
        map_union,
        "The entries of all maps. Of equal keys the last counts.",
        &[("MAP_UNION(MAP['a', 1], MAP['a', 2])", "{a=2}")],
    ),
];

fn of_map(args: &[Expr], element: fn(&DataType, &DataType) -> DataType) -> Option<Signature> {
    let [map] = args else { return None };
    let (key, value) = entry_of(map)?;
    Some(signature::as_given(args, DataType::array(element(key, value))))
}

/// A map is laid out as an array of its entries: only the type changes.
fn as_lists(call: &Call<'_>, elements: fn(&MapArray) -> ArrayRef) -> Result<ArrayRef, EvalError> {
    let map = maps(call, 0)?;
    let ArrowType::List(field) = call.data_type.arrow_type() else {
        return Err(EvalError::internal("an array function whose result is no array"));
    };
    let elements = elements(map);
    // Keys are declared NOT NULL inside a map; the array's own field says what is wanted.
    let elements = if elements.data_type() == field.data_type() {
        elements
    } else {
        arrow::compute::cast(&elements, field.data_type())?
    };
    Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), elements, map.nulls().cloned())?))
}

fn map_from_arrays(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (keys, values, nulls) = (lists(call, 0)?, lists(call, 1)?, call.nulls());
    let (mut out, mut of_values) = (Gather::new(call.rows), Vec::new());
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        if valid {
            let (keys, values) = (span(keys.value_offsets(), row), span(values.value_offsets(), row));
            if keys.len() != values.len() {
                let (n, m) = (keys.len(), values.len());
                return Err(EvalError::new(format!("MAP_FROM_ARRAYS: {n} keys but {m} values")));
            }
            keys.for_each(|it| out.pick(0, it));
            of_values.extend(values.map(|it| (0, it)));
        }
        out.finish_row(valid)?;
    }
    out.into_maps_with(call, &[keys.values().as_ref()], &[values.values().as_ref()], &of_values)
}

fn map_union(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let all: Vec<&MapArray> = (0..call.args.len()).map(|it| maps(call, it)).collect::<Result<_, _>>()?;
    let known = comparable(&all.iter().map(|it| it.keys()).collect::<Vec<_>>())?;
    let nulls = call.nulls();
    let mut out = Gather::new(call.rows);
    let mut of_values = Vec::new();
    let mut picked: Vec<((usize, usize), (usize, usize))> = Vec::new();
    for row in 0..call.rows {
        let valid = nulls.as_ref().is_none_or(|it| it.is_valid(row));
        picked.clear();
        for (source, map) in all.iter().enumerate().filter(|_| valid) {
            for it in span(map.value_offsets(), row) {
                let same = |other: &(usize, usize)| known[other.0].row(other.1) == known[source].row(it);
                match picked.iter_mut().find(|(key, _)| same(key)) {
                    Some(entry) => entry.1 = (source, it),
                    None => picked.push(((source, it), (source, it))),
                }
            }
        }
        for (key, value) in &picked {
            out.pick(key.0, key.1);
            of_values.push(*value);
        }
        out.finish_row(valid)?;
    }
    let keys: Vec<&dyn Array> = all.iter().map(|it| it.keys().as_ref()).collect();
    let values: Vec<&dyn Array> = all.iter().map(|it| it.values().as_ref()).collect();
    out.into_maps_with(call, &keys, &values, &of_values)
}
