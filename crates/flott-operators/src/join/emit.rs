//! What leaves a join.

use arrow::array::{ArrayRef, Int8Array, new_null_array};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use flott_types::{Result, RowKind};

use super::side::Side;
use crate::operator::{Output, Rows};
use crate::window::{batch, positional_schema};

/// Puts output rows together.
pub(super) struct Emitter {
    types: [Vec<ArrowType>; 2],
    /// Only left rows come out.
    one_sided: bool,
    /// Changes say what a row was before.
    with_before: bool,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Emitter {
    pub(super) fn new(sides: &[Side; 2], one_sided: bool, with_before: bool, batch_rows: usize) -> Self {
        let [left, right] = sides;
        let right_types = right.types.iter().filter(|_| !one_sided);
        Self {
            types: [left.types.clone(), right.types.clone()],
            one_sided,
            with_before,
            schema: positional_schema(left.types.iter().chain(right_types).cloned()),
            batch_rows: batch_rows.max(1),
        }
    }

    /// Pairs; without kinds they are new.
    pub(super) fn pairs(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        kinds: Option<Vec<i8>>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let kinds = kinds.map(|kinds| self.kinds(kinds));
        (out.emit)(Rows::changes(batch(&self.schema, columns, rows)?, kinds))
    }

    /// Rows of one side, padded with NULLs if pairs come out.
    pub(super) fn lone(
        &self,
        input: usize,
        columns: &[ArrayRef],
        rows: usize,
        kind: RowKind,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let mut start = 0;
        while start < rows {
            let length = self.batch_rows.min(rows - start);
            let columns: Vec<ArrayRef> = columns.iter().map(|it| it.slice(start, length)).collect();
            let kinds = (kind != RowKind::Insert).then(|| vec![kind as i8; length]);
            self.pairs(self.padded(input, columns, length), length, kinds, out)?;
            start += length;
        }
        Ok(())
    }

    /// Rows of one side, each with what it does.
    pub(super) fn lone_of_kinds(
        &self,
        input: usize,
        columns: &[ArrayRef],
        kinds: &[RowKind],
        out: &mut Output<'_>,
    ) -> Result<()> {
        let rows = kinds.len();
        let new = kinds.iter().all(|kind| *kind == RowKind::Insert);
        let kinds = (!new).then(|| kinds.iter().map(|kind| *kind as i8).collect());
        self.pairs(self.padded(input, columns.to_vec(), rows), rows, kinds, out)
    }

    fn padded(&self, input: usize, columns: Vec<ArrayRef>, rows: usize) -> Vec<ArrayRef> {
        if self.one_sided {
            return columns;
        }
        let [left, right] = &self.types;
        let nulls = |types: &[ArrowType]| -> Vec<ArrayRef> {
            types.iter().map(|data_type| new_null_array(data_type, rows)).collect()
        };
        match input {
            0 => columns.into_iter().chain(nulls(right)).collect(),
            _ => nulls(left).into_iter().chain(columns).collect(),
        }
    }

    /// As they are; where nobody wants to know what was before, rows only come and go.
    fn kinds(&self, mut kinds: Vec<i8>) -> Int8Array {
        if !self.with_before {
            for kind in &mut kinds {
                let goes = RowKind::of(*kind).is_some_and(RowKind::retracts);
                *kind = if goes { RowKind::Delete as i8 } else { RowKind::Insert as i8 };
            }
        }
        kinds.into()
    }
}
