//! Types that JSON has no form for, as text: what a query prints shows every type.
//!
//! | column | printed as |
//! |---|---|
//! | `INTERVAL` | its text, as `CAST(… AS STRING)` |
//! | `NULL` | `null` |
//! | `MAP`, `MULTISET` with keys that aren't text | the keys' text |
//! | `ARRAY`, `ROW`, … of these | the same, inside |

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray, new_null_array},
    datatypes::{DataType as ArrowType, Fields},
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use chrono_tz::Tz;
use flott_expr::render;
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, TypeKind};

/// The columns as they are printed.
pub fn schema(schema: &Schema) -> Schema {
    let field = |it: &Field| Field::new(&it.name, printable(&it.data_type));
    Schema::new(schema.fields.iter().map(field).collect())
}

/// A type that JSON can show.
fn printable(data_type: &DataType) -> DataType {
    let text = || DataType::string().not_null();
    let key = |it: &DataType| if it.is_character() { it.clone() } else { text() };
    let kind = match &data_type.kind {
        TypeKind::Null => return DataType::string(),
        TypeKind::Interval(_) => return DataType::string().with_nullable(data_type.nullable),
        TypeKind::Array(element) => TypeKind::Array(Box::new(printable(element))),
        TypeKind::Multiset(element) => TypeKind::Multiset(Box::new(key(element))),
        TypeKind::Map(from, value) => TypeKind::Map(Box::new(key(from)), Box::new(printable(value))),
        TypeKind::Row(fields) => {
            let mut fields = fields.clone();
            fields.iter_mut().for_each(|field| field.data_type = printable(&field.data_type));
            TypeKind::Row(fields)
        }
        _ => return data_type.clone(),
    };
    DataType::from(kind).with_nullable(data_type.nullable)
}

/// The rows in the columns of `to`, which is [`schema`] of `from`.
///
/// # Errors
/// `Internal`
pub fn batch(batch: &RecordBatch, from: &Schema, to: &Schema, time_zone: Tz) -> Result<RecordBatch> {
    let internal = |error: ArrowError| Diagnostic::error(Code::Internal, format!("printing rows: {error}"));
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(from.fields.iter().zip(&to.fields))
        .map(|(column, (from, to))| convert(column, &from.data_type, &to.data_type, time_zone))
        .collect::<Result<_, ArrowError>>()
        .map_err(internal)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(to.arrow_schema(), columns, &options).map_err(internal)
}

fn convert(array: &ArrayRef, from: &DataType, to: &DataType, time_zone: Tz) -> Result<ArrayRef, ArrowError> {
    if from == to {
        return Ok(array.clone());
    }
    let wrong = || ArrowError::CastError(format!("a column of {from} is {}", array.data_type()));
    match (&from.kind, &to.kind, to.arrow_type()) {
        (TypeKind::Null, ..) => Ok(new_null_array(&ArrowType::Utf8, array.len())),
        (TypeKind::Array(from), TypeKind::Array(to), ArrowType::List(field)) => {
            let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let values = convert(list.values(), from, to, time_zone)?;
            Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (TypeKind::Row(from), TypeKind::Row(to), ArrowType::Struct(fields)) => {
            let row = array.as_struct_opt().ok_or_else(wrong)?;
            let columns = row
                .columns()
                .iter()
                .zip(from.iter().zip(to))
                .map(|(column, (from, to))| convert(column, &from.data_type, &to.data_type, time_zone))
                .collect::<Result<Vec<_>, _>>()?;
            let nulls = row.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields, columns, nulls, row.len())?))
        }
        (TypeKind::Map(from, value), TypeKind::Map(to, to_value), ArrowType::Map(..)) => {
            let map = array.as_map_opt().ok_or_else(wrong)?;
            let values = convert(map.values(), value, to_value, time_zone)?;
            map_of(map, &convert(map.keys(), from, to, time_zone)?, &values, to_arrow(to, to_value))
        }
        (TypeKind::Multiset(from), TypeKind::Multiset(to), ArrowType::Map(..)) => {
            let map = array.as_map_opt().ok_or_else(wrong)?;
            let keys = convert(map.keys(), from, to, time_zone)?;
            map_of(map, &keys, map.values(), to_arrow(to, &DataType::int().not_null()))
        }
        _ => Ok(Arc::new(texts(array, from, time_zone))),
    }
}

fn to_arrow(key: &DataType, value: &DataType) -> ArrowType {
    DataType::from(TypeKind::Map(Box::new(key.clone()), Box::new(value.clone()))).arrow_type()
}

/// `map` with other keys and values.
fn map_of(map: &MapArray, keys: &ArrayRef, values: &ArrayRef, to: ArrowType) -> Result<ArrayRef, ArrowError> {
    let ArrowType::Map(field, ordered) = to else {
        return Err(ArrowError::CastError("a MAP is a map".into()));
    };
    let fields = match field.data_type() {
        ArrowType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    };
    let entries = StructArray::try_new(fields, vec![keys.clone(), values.clone()], None)?;
    let map = MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), ordered)?;
    Ok(Arc::new(map))
}

/// Each value's text.
fn texts(array: &ArrayRef, data_type: &DataType, time_zone: Tz) -> StringArray {
    let text = |row: usize| {
        (!array.is_null(row)).then(|| {
            let mut out = String::new();
            render::render_value(array.as_ref(), row, data_type, time_zone, &mut out);
            out
        })
    };
    (0..array.len()).map(text).collect()
}
