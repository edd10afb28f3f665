//! Building arrays, maps and rows, and reaching into them.
//!
//! Functions that compute arrays from arrays are in `array.rs`, those of maps in `map.rs`.
//! All of them choose *positions* in the arguments' elements and gather them at the end, so one
//! implementation serves every element type:
//!
//! ```text
//!   elements of argument 0 ─┐
//!   elements of argument 1 ─┤ picks [(argument, position), …] ──► new elements
//!                           │ offsets                         ──► new arrays
//! ```

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, MapArray, NullBufferBuilder, StructArray, UInt32Array,
        make_comparator,
    },
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::{SortOptions, interleave, take},
    datatypes::{DataType as ArrowType, FieldRef, Int32Type, UInt32Type},
    row::{RowConverter, Rows, SortField},
};
use flott_types::{DataType, RowField, TypeKind};

use super::{Call, Function, FunctionKind, Signature, kernel, signature, variant};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::Collection;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "ARRAY",
        &["ARRAY[value, …]"],
        |args| {
            let element = signature::common(args)?;
            let arguments = vec![element.clone(); args.len()];
            Some(never_null(args, arguments, DataType::array(element)))
        },
        make_array,
        "An array of the values.",
        &[("ARRAY[1, 2, 3]", "[1, 2, 3]"), ("ARRAY[1, 2.5]", "[1.0, 2.5]")],
    ),
    Function::define(
        KIND,
        "MAP",
        &["MAP[key, value, …]"],
        |args| {
            if args.is_empty() || !args.len().is_multiple_of(2) {
                return None;
            }
            let side = |start: usize| args.iter().skip(start).step_by(2).cloned().collect::<Vec<Expr>>();
            let (key, value) = (signature::common(&side(0))?, signature::common(&side(1))?);
            let arguments = (0..args.len()).map(|it| if it % 2 == 0 { key.clone() } else { value.clone() });
            Some(never_null(args, arguments.collect(), DataType::map(key.clone(), value.clone())))
        },
        make_map,
        "A map of the keys and values. Of equal keys the last counts.",
        &[("MAP['a', 1, 'b', 2]", "{a=1, b=2}"), ("MAP['a', 1, 'a', 2]", "{a=2}")],
    ),
    Function::define(
        KIND,
        "ROW",
        &["ROW(value, …)", "(value, value, …)"],
        |args| {
            let field = |(i, arg): (usize, &Expr)| RowField {
                name: format!("EXPR${i}"),
                data_type: arg.data_type.clone(),
            };
            let row = TypeKind::Row(args.iter().enumerate().map(field).collect());
            let arguments = args.iter().map(|it| it.data_type.clone()).collect();
            (!args.is_empty()).then(|| never_null(args, arguments, row.into()))
        },
        make_row,
        "A row of the values, with fields named `EXPR$0`, `EXPR$1`, …",
        &[("ROW(1, 'a')", "(1, a)")],
    ),
    Function::define(
        KIND,
        "ITEM",
        &["array[index]", "map[key]", "variant[index]", "variant[key]"],
        item_types,
        item,
        "The element at an index, counted from 1, or the value of a key; NULL if there is none.",
        &[("ARRAY[1, 2, 3][1]", "1"), ("MAP['a', 1]['a']", "1")],
    ),
    Function::define(
        KIND,
        "CARDINALITY",
        &["CARDINALITY(array)", "CARDINALITY(map)"],
        |args| match args {
            [arg] if element_of(arg).is_some() || entry_of(arg).is_some() => {
                Some(signature::as_given(args, DataType::int()))
            }
            _ => None,
        },
        cardinality,
        "The number of elements or entries.",
        &[("CARDINALITY(ARRAY[1, 2])", "2"), ("CARDINALITY(MAP['a', 1])", "1")],
    ),
    Function::define(
        KIND,
        "ELEMENT",
        &["ELEMENT(array)"],
        |args| match args {
            [arg] => {
                let element = element_of(arg)?.clone();
                let nullable = element.nullable || arg.data_type.nullable;
                let mut found = signature::as_given(args, element);
                found.result.nullable = nullable;
                Some(found)
            }
            _ => None,
        },
        only_element,
        "The only element of an array; NULL if it is empty, an error if it has several.",
        &[("ELEMENT(ARRAY[5])", "5")],
    ),
];

/// The element type of an ARRAY.
pub(super) fn element_of(arg: &Expr) -> Option<&DataType> {
    match &arg.data_type.kind {
        TypeKind::Array(element) => Some(element),
        _ => None,
    }
}

/// The key and value types of a MAP.
pub(super) fn entry_of(arg: &Expr) -> Option<(&DataType, &DataType)> {
    match &arg.data_type.kind {
        TypeKind::Map(key, value) => Some((key, value)),
        _ => None,
    }
}

fn never_null(args: &[Expr], arguments: Vec<DataType>, result: DataType) -> Signature {
    let mut found = signature::signature(args, arguments, result);
    found.result.nullable = false;
    found
}

/// The arrays of an argument.
pub(super) fn lists<'a>(call: &Call<'a>, index: usize) -> Result<&'a ListArray, EvalError> {
    call.args.get(index).and_then(|it| it.as_list_opt::<i32>()).ok_or_else(|| wrong(call, index))
}

/// The maps of an argument.
pub(super) fn maps<'a>(call: &Call<'a>, index: usize) -> Result<&'a MapArray, EvalError> {
    call.args.get(index).and_then(|it| it.as_map_opt()).ok_or_else(|| wrong(call, index))
}

fn wrong(call: &Call<'_>, index: usize) -> EvalError {
    EvalError::internal(format!("argument {index} of a call of type {} has another type", call.data_type))
}

/// Where the row's elements lie.
pub(super) fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |it: usize| offsets.get(it).map_or(0, |it| *it as usize);
    at(row)..at(row + 1)
}

/// New arrays, chosen from the elements of others.
pub(super) struct Gather {
    picks: Vec<(usize, usize)>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Gather {
    pub(super) fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { picks: Vec::with_capacity(2 * rows), offsets, valid: NullBufferBuilder::new(rows) }
    }
    /// One more element of the row under construction.
    pub(super) fn pick(&mut self, source: usize, position: usize) {
        self.picks.push((source, position));
    }
    /// Completes a row.
    ///
    /// # Errors
    /// More elements than an array can hold.
    pub(super) fn finish_row(&mut self, valid: bool) -> Result<(), EvalError> {
        let end = i32::try_from(self.picks.len())
            .map_err(|_| EvalError::new("the arrays of one batch have more elements than fit"))?;
        self.offsets.push(end);
        self.valid.append(valid);
        Ok(())
    }
    /// The arrays.
    ///
    /// # Errors
    /// Internal: the sources differ in type.
    pub(super) fn into_lists(
        mut self,
        call: &Call<'_>,
        sources: &[&dyn Array],
    ) -> Result<ArrayRef, EvalError> {
        let ArrowType::List(field) = call.data_type.arrow_type() else {
            return Err(EvalError::internal("an array function whose result is no array"));
        };
        let elements = gather(sources, &self.picks, field.data_type())?;
        let (offsets, nulls) = (offset_buffer(self.offsets), self.valid.finish());
        Ok(Arc::new(ListArray::try_new(field, offsets, elements, nulls)?))
    }
    /// The maps: the keys that were picked, with the values of `of_values`.
    ///
    /// # Errors
    /// A key that is NULL; internal: the sources differ in type.
    pub(super) fn into_maps_with(
        mut self,
        call: &Call<'_>,
        keys: &[&dyn Array],
        values: &[&dyn Array],
        of_values: &[(usize, usize)],
    ) -> Result<ArrayRef, EvalError> {
        let (field, key, value) = map_fields(call.data_type)?;
        let keys = gather(keys, &self.picks, key.data_type())?;
        let values = gather(values, of_values, value.data_type())?;
        if keys.null_count() > 0 {
            return Err(EvalError::new("a key of a map can't be NULL"));
        }
        let entries = StructArray::try_new(vec![key, value].into(), vec![keys, values], None)?;
        let (offsets, nulls) = (offset_buffer(self.offsets), self.valid.finish());
        Ok(Arc::new(MapArray::try_new(field, offsets, entries, nulls, false)?))
    }
}

fn gather(sources: &[&dyn Array], picks: &[(usize, usize)], of: &ArrowType) -> Result<ArrayRef, EvalError> {
    if picks.is_empty() {
        return Ok(arrow::array::new_empty_array(of));
    }
    if let [source] = sources {
        let places = UInt32Array::from_iter_values(picks.iter().map(|(_, it)| *it as u32));
        return Ok(take(*source, &places, None)?);
    }
    Ok(interleave(sources, picks)?)
}

fn offset_buffer(offsets: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// The fields of a map type: its entries, their key, their value.
fn map_fields(data_type: &DataType) -> Result<(FieldRef, FieldRef, FieldRef), EvalError> {
    if let ArrowType::Map(field, _) = data_type.arrow_type()
        && let ArrowType::Struct(fields) = field.data_type()
        && let [key, value] = fields.as_ref()
    {
        return Ok((field.clone(), key.clone(), value.clone()));
    }
    Err(EvalError::internal("a map function whose result is no map"))
}

/// The elements of all arrays in a form that compares and orders, whatever their type. NULL
/// equals NULL and comes first.
///
/// # Errors
/// A type that can't be compared.
pub(super) fn comparable(arrays: &[&ArrayRef]) -> Result<Vec<Rows>, EvalError> {
    let Some(first) = arrays.first() else { return Ok(Vec::new()) };
    let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
    arrays.iter().map(|it| Ok(converter.convert_columns(&[Arc::clone(it)])?)).collect()
}

/// Compares elements of one array with those of another, in the order of [`comparable`].
pub(super) type Comparison = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

/// The comparison of the elements of two arrays.
///
/// # Errors
/// A type that can't be compared.
pub(super) fn comparison(left: &ArrayRef, right: &ArrayRef) -> Result<Comparison, EvalError> {
    if left.data_type().is_nested() || left.data_type().is_null() {
        let mut rows = comparable(&[left, right])?.into_iter();
        if let (Some(left), Some(right)) = (rows.next(), rows.next()) {
            return Ok(Box::new(move |a, b| left.row(a).cmp(&right.row(b))));
        }
    }
    Ok(make_comparator(left, right, SortOptions { descending: false, nulls_first: true })?)
}

fn make_array(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let mut out = Gather::new(call.rows);
    for row in 0..call.rows {
        (0..call.args.len()).for_each(|source| out.pick(source, row));
        out.finish_row(true)?;
    }
    let sources: Vec<&dyn Array> = call.args.iter().map(|it| it.as_ref()).collect();
    out.into_lists(call, &sources)
}

fn make_map(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let keys: Vec<&ArrayRef> = call.args.iter().step_by(2).collect();
    let values: Vec<&dyn Array> = call.args.iter().skip(1).step_by(2).map(|it| it.as_ref()).collect();
    let known = comparable(&keys)?;
    // The last of equal keys gives the value, the first the key's place.
    let (mut of_keys, mut of_values) = (Gather::new(call.rows), Vec::new());
    let mut entries: Vec<(usize, usize)> = Vec::with_capacity(keys.len());
    for row in 0..call.rows {
        entries.clear();
        for source in 0..keys.len() {
            match entries.iter_mut().find(|(key, _)| known[*key].row(row) == known[source].row(row)) {
                Some(entry) => entry.1 = source,
                None => entries.push((source, source)),
            }
        }
        for (key, value) in &entries {
            of_keys.pick(*key, row);
            of_values.push((*value, row));
        }
        of_keys.finish_row(true)?;
    }
    let keys: Vec<&dyn Array> = keys.iter().map(|it| it.as_ref()).collect();
    of_keys.into_maps_with(call, &keys, &values, &of_values)
}

fn make_row(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let ArrowType::Struct(fields) = call.data_type.arrow_type() else {
        return Err(EvalError::internal("a ROW whose type is no row"));
    };
    Ok(Arc::new(StructArray::try_new_with_length(fields, call.args.to_vec(), None, call.rows)?))
}

fn item_types(args: &[Expr]) -> Option<Signature> {
    let [whole, at] = args else { return None };
    if whole.data_type.kind == TypeKind::Variant {
        return variant::item_types(args);
    }
    if let Some(element) = element_of(whole) {
        // An index that can't exist is a mistake, as Flink says.
        if !signature::is_integer(at) || signature::literal_int(at).is_some_and(|it| it < 1) {
            return None;
        }
        let arguments = vec![whole.data_type.clone(), DataType::int()];
        let mut found = signature::signature(args, arguments, element.clone());
        found.result.nullable = true;
        return Some(found);
    }
    let (key, value) = entry_of(whole)?;
    // A key of text is compared with text of any length.
    let key = if key.is_character() && signature::is_string(at) { at.data_type.clone() } else { key.clone() };
    if !signature::accepts(at, &key) {
        return None;
    }
    let mut found = signature::signature(args, vec![whole.data_type.clone(), key], value.clone());
    found.result.nullable = true;
    Some(found)
}

fn item(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    match call.args.first().map(|it| it.data_type()) {
        Some(ArrowType::List(_)) => array_item(call),
        Some(ArrowType::Utf8) => variant::item(call),
        _ => map_item(call),
    }
}

fn array_item(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, indices, nulls) = (lists(call, 0)?, call.ints(1)?, call.nulls());
    let places = kernel::build_primitive::<UInt32Type>(call.rows, nulls.as_ref(), |row| {
        let span = span(arrays.value_offsets(), row);
        let index = usize::try_from(indices.value(row)).ok().and_then(|it| it.checked_sub(1));
        Ok(index.filter(|it| *it < span.len()).map(|it| (span.start + it) as u32))
    })?;
    Ok(take(arrays.values(), &places, None)?)
}

fn map_item(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (maps, nulls) = (maps(call, 0)?, call.nulls());
    let wanted = call.args.get(1).ok_or_else(|| EvalError::internal("ITEM without a key"))?;
    let places: UInt32Array = if let (Some(keys), Some(wanted)) =
        (maps.keys().as_string_opt::<i32>(), wanted.as_string_opt::<i32>())
    {
        kernel::build_primitive::<UInt32Type>(call.rows, nulls.as_ref(), |row| {
            let mut span = span(maps.value_offsets(), row);
            Ok(span.find(|it| keys.value(*it) == wanted.value(row)).map(|it| it as u32))
        })?
    } else {
        let known = comparable(&[maps.keys(), wanted])?;
        let (keys, wanted) = (&known[0], &known[1]);
        kernel::build_primitive::<UInt32Type>(call.rows, nulls.as_ref(), |row| {
            let mut span = span(maps.value_offsets(), row);
            Ok(span.find(|it| keys.row(*it) == wanted.row(row)).map(|it| it as u32))
        })?
    };
    Ok(take(maps.values(), &places, None)?)
}

fn cardinality(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let offsets = match lists(call, 0) {
        Ok(arrays) => arrays.value_offsets(),
        Err(_) => maps(call, 0)?.value_offsets(),
    };
    let counts = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        Ok(i32::try_from(span(offsets, row).len()).ok())
    })?;
    Ok(Arc::new(counts))
}

fn only_element(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (arrays, nulls) = (lists(call, 0)?, call.nulls());
    let places = kernel::build_primitive::<UInt32Type>(call.rows, nulls.as_ref(), |row| {
        let span = span(arrays.value_offsets(), row);
        match span.len() {
            0 => Ok(None),
            1 => Ok(Some(span.start as u32)),
            more => Err(EvalError::new(format!("ELEMENT: the array has {more} elements instead of one"))),
        }
    })?;
    Ok(take(arrays.values(), &places, None)?)
}
