//! What a table says of its columns holds for its records: none is NULL where its column is NOT NULL.
//!
//! ```text
//!   decoder ── rows ──► a NOT NULL column has NULLs? ── no, as a rule ──► on
//!                             └─ yes: the records with them are rejected ──► the others
//! ```
//!
//! Invariants
//! - What follows goes by the types: `id IS NULL` of such a column is never evaluated.
//! - A change that takes a row back need not say all of it: many logs tell the key alone.
//! - A record that tells of several changes is rejected whole, and counts once.

use std::ops::Range;

use arrow::{
    array::{Array, AsArray, BooleanArray, Int8Array},
    compute::{filter, filter_record_batch},
    error::ArrowError,
};
use flott_connector::{Decoded, RecordPart, Reject};
use flott_plan::{SourceInput, SourceNode};
use flott_types::{Code, Diagnostic, Result, RowKind, Schema};

/// The columns of a source that are never NULL.
#[derive(Debug, Clone, Default)]
pub struct Required {
    columns: Vec<(usize, String)>,
}

impl Required {
    /// Of a source that gives rows of this schema.
    pub fn of(node: &SourceNode, schema: &Schema) -> Self {
        // Constants are of the types that they have.
        if matches!(node.input, SourceInput::Values(_)) {
            return Self::default();
        }
        let fields = schema.fields.iter().take(node.projection.len()).enumerate();
        let required = fields.filter(|(_, field)| !field.data_type.nullable);
        Self { columns: required.map(|(at, field)| (at, field.name.clone())).collect() }
    }

    /// Rejects records with NULL in such a column.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn check(&self, decoded: Decoded) -> Result<Decoded> {
        let columns = decoded.batch.columns();
        let suspects = self.columns.iter().filter_map(|(at, name)| Some((columns.get(*at)?, name)));
        let suspects: Vec<_> = suspects.filter(|(column, _)| column.null_count() > 0).collect();
        if suspects.is_empty() {
            return Ok(decoded);
        }
        let missing = |row: usize| {
            let is_whole = decoded.kinds.as_ref().is_none_or(|kinds| is_new(kinds, row));
            let mut suspects = suspects.iter().filter(|_| is_whole);
            suspects.find(|(column, _)| column.is_null(row)).map(|(_, name)| name.as_str())
        };
        let (places, mut row) = (places(&decoded), 0);
        let (mut keep, mut rejected) = (Vec::with_capacity(places.len()), Vec::new());
        for record in places.chunk_by(|a, b| a == b) {
            let bad = (row..row + record.len()).find_map(missing);
            keep.extend(record.iter().map(|_| bad.is_none()));
            if let (Some(column), Some(place)) = (bad, record.first()) {
                rejected.push(reject(place, column));
            }
            row += record.len();
        }
        if rejected.is_empty() { Ok(decoded) } else { without(decoded, keep, rejected, &places) }
    }
}

/// Whether the row is one that is there from now on.
fn is_new(kinds: &Int8Array, row: usize) -> bool {
    let taken_back = [RowKind::Delete.number(), RowKind::UpdateBefore.number()];
    !kinds.values().get(row).is_some_and(|kind| taken_back.contains(kind))
}

fn places(decoded: &Decoded) -> Vec<Range<u32>> {
    match decoded.rows.is_empty() {
        true => (decoded.first_record..).take(decoded.batch.num_rows()).map(|at| at..at).collect(),
        false => decoded.rows.clone(),
    }
}

fn reject(place: &Range<u32>, column: &str) -> Reject {
    Reject {
        record: place.clone(),
        code: Code::DecodeFailed,
        message: format!("column '{column}' is NOT NULL, and its value is null or missing"),
        part: RecordPart::Value,
    }
}

fn without(
    decoded: Decoded,
    keep: Vec<bool>,
    rejected: Vec<Reject>,
    places: &[Range<u32>],
) -> Result<Decoded> {
    let internal = |error: ArrowError| Diagnostic::error(Code::Internal, error.to_string());
    let keep = BooleanArray::from(keep);
    let batch = filter_record_batch(&decoded.batch, &keep).map_err(internal)?;
    let kinds = decoded.kinds.as_ref().map(|kinds| filter(kinds, &keep)).transpose().map_err(internal)?;
    let kinds = kinds.map(|kinds| kinds.as_primitive().clone());
    let rows = keep.values().set_indices().filter_map(|at| places.get(at).cloned()).collect();
    // A record of several rows counts as one now.
    let gone = (places.len() - batch.num_rows()).saturating_sub(rejected.len());
    let read = decoded.read.saturating_sub(gone as u64);
    let mut all = decoded.rejected;
    all.extend(rejected);
    all.sort_by_key(|it| it.record.start);
    Ok(Decoded { batch, kinds, rows, read, rejected: all, ..decoded })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    use arrow::{
        array::{ArrayRef, Int64Array, RecordBatch},
        datatypes::Int64Type,
    };

    use super::*;

    fn decoded(ids: &[Option<i64>]) -> Decoded {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        Decoded::all(RecordBatch::try_from_iter([("id", ids)]).unwrap(), 5)
    }

    fn left(decoded: &Decoded) -> Vec<Option<i64>> {
        decoded.batch.column(0).as_primitive::<Int64Type>().iter().collect()
    }

    #[test]
    fn records_without_a_value_are_rejected_in_their_places() {
        let required = Required { columns: vec![(0, "id".into())] };
        let checked = required.check(decoded(&[Some(1), None, Some(3)])).unwrap();
        assert_eq!((left(&checked), checked.read), (vec![Some(1), Some(3)], 3));
        assert_eq!(checked.rows, [5..5, 7..7]);
        let [reject] = checked.rejected.as_slice() else { panic!("one") };
        assert_eq!(reject.record, 6..6);
        assert_eq!(reject.message, "column 'id' is NOT NULL, and its value is null or missing");

        let nullable = Required::default().check(decoded(&[None])).unwrap();
        assert_eq!(left(&nullable), [None]);
    }

    #[test]
    fn what_is_taken_back_need_not_say_all_and_a_change_is_rejected_whole() {
        let required = Required { columns: vec![(0, "id".into())] };
        let kinds = [Delete, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, Insert];
        let changes = Decoded {
            rows: vec![0..1, 1..2, 1..2, 2..3, 2..3, 3..4],
            kinds: Some(kinds.map(RowKind::number).to_vec().into()),
            ..decoded(&[None, None, Some(2), Some(3), None, Some(4)])
        };
        let checked = required.check(changes).unwrap();
        assert_eq!(left(&checked), [None, None, Some(2), Some(4)]);
        assert_eq!((checked.rows, checked.read), (vec![0..1, 1..2, 1..2, 3..4], 5));
        let rejected: Vec<_> = checked.rejected.iter().map(|it| (it.record.start, it.record.end)).collect();
        assert_eq!(rejected, [(2, 3)]);
    }
}
