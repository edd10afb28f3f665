//! The hidden last column of rows whose origin must outlive an exchange: where the record came
//! from, and its bytes (`'late-rows' = 'dead-letter'`).
//!
//! ```text
//!   │ offset: 8 bytes │ length of the split's name: 4 │ name │ record │
//! ```

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BinaryBuilder},
    record_batch::RecordBatch,
};
use flott_connector::Origin;

use crate::lineage::Lineage;

/// The column's name.
pub const NAME: &str = "$origin";

/// The column for rows decoded from a chunk.
pub fn column(lineage: Lineage<'_>, rows: usize) -> ArrayRef {
    let mut out = BinaryBuilder::new();
    let mut value = Vec::new();
    for row in 0..rows {
        let (origin, record) = lineage.record(row);
        value.clear();
        value.extend_from_slice(&origin.offset.to_le_bytes());
        let name = origin.split.as_bytes();
        value.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend_from_slice(name);
        value.extend_from_slice(&record);
        out.append_value(&value);
    }
    Arc::new(out.finish())
}

/// The origin of a batch's only row, if it has one.
pub fn read(row: &RecordBatch) -> Option<(Origin, Vec<u8>)> {
    let at = row.schema().index_of(NAME).ok()?;
    let column = row.column(at).as_any().downcast_ref::<BinaryArray>()?;
    if column.len() != 1 || column.is_null(0) {
        return None;
    }
    let (offset, rest) = column.value(0).split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (name, record) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let split = String::from_utf8_lossy(name).into_owned();
    Some((Origin { split, offset: u64::from_le_bytes(*offset) }, record.to_vec()))
}
