//! A column as a file has it to a column as the table declares it.
//!
//! Only conversions within a family: a file's UINT16 can be an INT, a DECIMAL(9, 2) a
//! DECIMAL(12, 2), BYTE_ARRAY without a logical type a STRING; a number is never made of text.
//! A value that doesn't fit fails the conversion; nothing is cut off except fractions of seconds.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, StructArray, make_array, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType as ArrowType, Field, Int64Type, TimeUnit},
    error::ArrowError,
};
use flott_types::TimestampUnit;

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// The array as an array of `wanted`.
///
/// # Errors
/// Why it can't be.
pub fn convert(array: &ArrayRef, wanted: &ArrowType) -> Result<ArrayRef, String> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    match (array.data_type(), wanted) {
        (ArrowType::Struct(_), ArrowType::Struct(fields)) => {
            let from = array.as_struct();
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                columns.push(match from.column_by_name(field.name()) {
                    Some(column) => convert(column, field.data_type())?,
                    None => new_null_array(field.data_type(), array.len()),
                });
            }
            let nulls = from.nulls().cloned();
            let converted = StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len());
            Ok(Arc::new(converted.map_err(|error| error.to_string())?))
        }
        (ArrowType::List(_), ArrowType::List(field)) => {
            let from = array.as_list::<i32>();
            let items = convert(from.values(), field.data_type())?;
            let converted =
                ListArray::try_new(field.clone(), from.offsets().clone(), items, from.nulls().cloned());
            Ok(Arc::new(converted.map_err(|error| error.to_string())?))
        }
        (ArrowType::Map(..), ArrowType::Map(field, sorted)) => convert_map(array.as_map(), field, *sorted),
        (ArrowType::Timestamp(from, _), ArrowType::Timestamp(to, _)) => {
            rescale(array, *from, *to, wanted).map_err(|error| error.to_string())
        }
        (from, to) if same_family(from, to) => {
            cast_with_options(array, to, &STRICT).map_err(|error| error.to_string())
        }
        (from, to) => Err(format!("the file has {from}, the table declares {to}")),
    }
}

/// Maps match by position: the names of key and value differ from writer to writer.
fn convert_map(from: &MapArray, field: &Arc<Field>, sorted: bool) -> Result<ArrayRef, String> {
    let ArrowType::Struct(parts) = field.data_type() else { return Err("a map without entries".into()) };
    let mut columns = Vec::with_capacity(2);
    for (column, part) in [from.keys(), from.values()].into_iter().zip(parts) {
        columns.push(convert(column, part.data_type())?);
    }
    let entries = StructArray::try_new(parts.clone(), columns, None).map_err(|error| error.to_string())?;
    let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
    let converted = MapArray::try_new(field.clone(), offsets, entries, nulls, sorted);
    Ok(Arc::new(converted.map_err(|error| error.to_string())?))
}

/// Timestamps in another unit, whatever zones the types name: both count from the epoch in UTC.
/// Finer fractions are dropped towards the past; what doesn't fit is an error.
fn rescale(
    array: &ArrayRef,
    from: TimeUnit,
    to: TimeUnit,
    wanted: &ArrowType,
) -> Result<ArrayRef, ArrowError> {
    let relabel = |array: &dyn Array, label: &ArrowType| {
        array.to_data().into_builder().data_type(label.clone()).build().map(make_array)
    };
    let counts = relabel(array, &ArrowType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let (from, to) = (TimestampUnit::per_second(from), TimestampUnit::per_second(to));
    let scaled: Int64Array = if to >= from {
        let factor = to / from;
        counts.try_unary(|count| {
            let scaled = count.checked_mul(factor);
            scaled.ok_or_else(|| ArrowError::ComputeError(format!("timestamp {count} is out of range")))
        })?
    } else {
        let step = from / to;
        counts.unary(|count: i64| count.div_euclid(step))
    };
    relabel(&scaled, wanted)
}

fn same_family(from: &ArrowType, to: &ArrowType) -> bool {
    let text = |it: &ArrowType| matches!(it, ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View);
    let bytes = |it: &ArrowType| {
        matches!(
            it,
            ArrowType::Binary
                | ArrowType::LargeBinary
                | ArrowType::BinaryView
                | ArrowType::FixedSizeBinary(_)
        )
    };
    match (from, to) {
        (ArrowType::Dictionary(_, value), _) => same_family(value, to) || value.as_ref() == to,
        (from, ArrowType::Utf8) => text(from) || bytes(from),
        (from, ArrowType::Binary) => text(from) || bytes(from),
        (ArrowType::Date32 | ArrowType::Date64, ArrowType::Date32) => true,
        (ArrowType::Time32(_) | ArrowType::Time64(_), ArrowType::Time32(TimeUnit::Millisecond)) => true,
        (from, ArrowType::Decimal128(..)) => from.is_decimal() || from.is_integer(),
        (from, to) if to.is_integer() => from.is_integer(),
        (from, to) if to.is_floating() => from.is_floating(),
        _ => false,
    }
}
