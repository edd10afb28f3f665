//! Changes for a sink that goes by its primary key and isn't told what a row was before.
//!
//! ```text
//!   -U a 3, +U a 4     ──►   +U a 4
//!   -U a 3             ──►   -D a 3       a filter has dropped what `a` is now: it has left the result
//! ```
//! Operators tell `-U` and `+U` of a key one right after the other. Where they are torn apart, by the end
//! of a batch or between several rows of a join, the key is deleted and comes back: the same in the end.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array},
    compute::{filter, filter_record_batch},
    error::ArrowError,
    record_batch::RecordBatch,
    row::{RowConverter, SortField},
};
use flott_types::{Code, Diagnostic, Result, RowKind};

const BEFORE: i8 = RowKind::UpdateBefore as i8;
const AFTER: i8 = RowKind::UpdateAfter as i8;

/// The changes without any `-U`: what is left of the batch, and what each row does.
///
/// # Errors
/// `Internal`
pub fn by_key(batch: RecordBatch, kinds: Int8Array, key: &[usize]) -> Result<(RecordBatch, Int8Array)> {
    if !kinds.values().contains(&BEFORE) {
        return Ok((batch, kinds));
    }
    let columns: Vec<ArrayRef> = key.iter().filter_map(|&at| batch.columns().get(at).cloned()).collect();
    let fields = columns.iter().map(|it| SortField::new(it.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|it| it.convert_columns(&columns)).map_err(internal)?;
    let same = |a: usize, b: usize| columns.is_empty() || rows.row(a) == rows.row(b);
    let now: Vec<i8> = kinds.values().to_vec();
    let is_replaced = |row: usize| now.get(row + 1).is_some_and(|next| *next == AFTER) && same(row, row + 1);
    let kept: BooleanArray =
        now.iter().enumerate().map(|(row, kind)| Some(*kind != BEFORE || !is_replaced(row))).collect();
    let delete = |kind: &i8| if *kind == BEFORE { RowKind::Delete.number() } else { *kind };
    let kinds: Int8Array = now.iter().map(delete).collect::<Vec<_>>().into();
    let kinds = filter(&kinds, &kept).map_err(internal)?;
    Ok((filter_record_batch(&batch, &kept).map_err(internal)?, kinds.as_primitive().clone()))
}

fn internal(error: ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn what_was_before_is_replaced_or_deleted() {
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "b", "c", "b"]));
        let values: ArrayRef = Arc::new(Int32Array::from(vec![3, 4, 5, 6, 7]));
        let batch = RecordBatch::try_from_iter([("k", keys), ("n", values)]).unwrap();
        let kinds = Int8Array::from(vec![BEFORE, AFTER, BEFORE, 0, AFTER]);
        let (batch, kinds) = by_key(batch, kinds, &[0]).unwrap();
        assert_eq!(kinds.values(), &[AFTER, RowKind::Delete.number(), 0, AFTER]);
        assert_eq!(batch.column(1).as_ref(), &Int32Array::from(vec![4, 5, 6, 7]));
    }
}
