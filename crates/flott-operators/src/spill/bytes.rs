//! How large rows are: a batch may be a small part of larger arrays, and rows may be large.
//!
//! ```text
//!   offsets  ▏0 ▏… ▏40▏90▏95▏…      rows 1 and 2: their offsets, and bytes 40 to 95
//! ```
//! Costs a few steps per column, whatever the number of rows.

use arrow::array::{Array, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;

/// Bytes of a batch's rows.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| of_array(column.as_ref())).fold(0, usize::saturating_add)
}

fn of_array(array: &dyn Array) -> usize {
    let rows = array.len();
    let nulls = if array.nulls().is_some() { rows / 8 } else { 0 };
    let own = match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => rows / 8,
        DataType::Utf8 => of_text(array.as_string::<i32>().offsets()),
        DataType::LargeUtf8 => of_text(array.as_string::<i64>().offsets()),
        DataType::Binary => of_text(array.as_binary::<i32>().offsets()),
        DataType::LargeBinary => of_text(array.as_binary::<i64>().offsets()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            of_items(list.offsets(), list.values().as_ref())
        }
        DataType::Map(..) => {
            let map = array.as_map();
            of_items(map.offsets(), map.entries())
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|it| of_array(it.as_ref())).sum(),
        other => match other.primitive_width() {
            Some(width) => rows.saturating_mul(width),
            // Kinds that no column of ours has: what all of the arrays take, which is never too little.
            None => array.get_array_memory_size(),
        },
    };
    own.saturating_add(nulls)
}

/// From where to where, and how many offsets say so.
fn ends<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> (usize, usize, usize) {
    let at = |offset: Option<&O>| offset.map_or(0, |it| it.as_usize());
    (at(offsets.first()), at(offsets.last()), size_of_val::<[O]>(offsets))
}

fn of_text<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> usize {
    let (from, to, own) = ends(offsets);
    to.saturating_sub(from).saturating_add(own)
}

fn of_items<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &dyn Array) -> usize {
    let (from, to, own) = ends(offsets);
    let length = to.saturating_sub(from).min(values.len().saturating_sub(from));
    of_array(values.slice(from.min(values.len()), length).as_ref()).saturating_add(own)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn rows_count_as_large_as_they_are_and_the_rest_of_their_arrays_does_not() {
        let large = "x".repeat(1 << 20);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", &large, "b", "c"]));
        let items = |count: i64| Some((0..count).map(Some).collect::<Vec<_>>());
        let lists: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([1, 2, 3, 10_000].map(items)));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let batch = RecordBatch::try_from_iter([("t", texts), ("l", lists), ("n", numbers)]).unwrap();
        let near = |bytes: usize, expected: usize| (expected..expected + 100).contains(&bytes);
        assert!(near(bytes_of(&batch), (1 << 20) + 10_006 * 8 + 32), "{}", bytes_of(&batch));
        assert!(near(bytes_of(&batch.slice(1, 1)), (1 << 20) + 2 * 8 + 8));
        assert!(near(bytes_of(&batch.slice(2, 1)), 1 + 3 * 8 + 8));
        assert_eq!(bytes_of(&batch.slice(0, 0)), 8, "offsets alone");
    }
}
