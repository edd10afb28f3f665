//! The hidden last column of rows whose origin must outlive an exchange: where the record came
//! from, and its bytes (`'late-rows' = 'dead-letter'`).
//!
//! ```text
//!   │ offset: 8 bytes │ length of the split's name: 4 │ name │ (change: 5) │ (what came with a message) │ record │
//!                       its first two bits: whether there is what stands in brackets
//! ```

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BinaryBuilder},
    record_batch::RecordBatch,
};
use flott_connector::{Change, MessageParts, Origin};
use flott_types::RowKind;

use crate::lineage::Lineage;

/// The column's name.
pub const NAME: &str = "$origin";
/// In the length of the name: the record is a message.
const MESSAGE: u32 = 1 << 31;
/// In the length of the name: one of the record's changes.
const CHANGE: u32 = 1 << 30;

/// The column for rows decoded from a chunk.
pub fn column(lineage: Lineage<'_>, rows: usize) -> ArrayRef {
    let mut out = BinaryBuilder::new();
    let mut value = Vec::new();
    for row in 0..rows {
        let (origin, record) = lineage.record(row);
        value.clear();
        value.extend_from_slice(&origin.offset.to_le_bytes());
        let name = origin.split.as_bytes();
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let message = if origin.message.is_some() { MESSAGE } else { 0 };
        let change = if origin.change.is_some() { CHANGE } else { 0 };
        value.extend_from_slice(&(length | message | change).to_le_bytes());
        value.extend_from_slice(name);
        if let Some(Change { kind, number }) = origin.change {
            value.extend_from_slice(&kind.number().to_le_bytes());
            value.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(parts) = &origin.message {
            parts.write(&mut value);
        }
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
    let length = u32::from_le_bytes(*length);
    let (name, rest) = rest.split_at_checked((length & !(MESSAGE | CHANGE)) as usize)?;
    let split = String::from_utf8_lossy(name).into_owned();
    let (change, rest) = match length & CHANGE {
        0 => (None, rest),
        _ => {
            let ([kind], rest) = rest.split_first_chunk::<1>()?;
            let (number, rest) = rest.split_first_chunk::<4>()?;
            let kind = RowKind::of(i8::from_le_bytes([*kind]))?;
            (Some(Change { kind, number: u32::from_le_bytes(*number) }), rest)
        }
    };
    let (message, record) = match length & MESSAGE {
        0 => (None, rest),
        _ => MessageParts::read(rest).map(|(parts, record)| (Some(Box::new(parts)), record))?,
    };
    Some((Origin { split, offset: u64::from_le_bytes(*offset), message, change }, record.to_vec()))
}
