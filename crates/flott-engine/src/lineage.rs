//! From a row back to the record that it was decoded from.

use std::ops::Range;

use arrow::array::Int8Array;
use flott_connector::{Change, Chunk, Decoded, Origin, Payload};
use flott_types::RowKind;

/// Leads from a row of a batch back to the record it was decoded from.
#[derive(Debug, Clone, Copy)]
pub struct Lineage<'a> {
    /// The chunk that was decoded.
    pub chunk: &'a Chunk,
    /// Byte ranges (or record numbers) of the rows in the chunk; empty: row i is record `first + i`.
    rows: &'a [Range<u32>],
    kinds: Option<&'a Int8Array>,
    first: u32,
    /// The row of the batch that counts as the first one.
    at: usize,
}

impl<'a> Lineage<'a> {
    /// The lineage of a decoded batch.
    pub fn of(chunk: &'a Chunk, decoded: &'a Decoded) -> Self {
        let (rows, kinds) = (decoded.rows.as_slice(), decoded.kinds.as_ref());
        Self { chunk, rows, kinds, first: decoded.first_record, at: 0 }
    }

    /// The rows from `offset` on.
    #[must_use]
    pub fn slice(self, offset: usize) -> Self {
        Self { at: self.at.saturating_add(offset), ..self }
    }

    /// The place and the bytes of the record of a row.
    pub fn record(&self, row: usize) -> (Origin, Vec<u8>) {
        let row = self.at.saturating_add(row);
        let number = self.first.saturating_add(u32::try_from(row).unwrap_or(u32::MAX));
        let range =
            if self.rows.is_empty() { number..number } else { self.rows.get(row).cloned().unwrap_or(0..0) };
        let (origin, bytes) = record_of(self.chunk, &range);
        // Of a dead letter the change that it was about, however many are left of its record.
        let change = origin.change.or_else(|| self.change(row, &range));
        (Origin { change, ..origin }, bytes)
    }

    /// Which change of its record the row is: the others may have gone their way.
    fn change(&self, row: usize, record: &Range<u32>) -> Option<Change> {
        let number = *self.kinds?.values().get(row)?;
        let kinds = self.kinds?.values().get(..row)?;
        let before = self.rows.get(..row).unwrap_or_default().iter().zip(kinds).rev();
        let own = before.take_while(|(range, _)| *range == record).filter(|(_, kind)| **kind == number);
        Some(Change { kind: RowKind::of(number)?, number: u32::try_from(own.count()).unwrap_or(u32::MAX) })
    }
}

/// The place and the bytes of a record of a chunk.
pub fn record_of(chunk: &Chunk, range: &Range<u32>) -> (Origin, Vec<u8>) {
    let offset = chunk.offset + u64::from(range.start);
    let here = Origin { split: chunk.split.name.clone(), offset, message: None, change: None };
    match &chunk.payload {
        Payload::Bytes(bytes) => {
            let record = bytes.get(range.start as usize..range.end as usize).unwrap_or(&[]);
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            (here, record.strip_suffix(b"\r").unwrap_or(record).to_vec())
        }
        Payload::Blocks(blocks) => {
            let record = blocks.bytes.get(range.start as usize..range.end as usize).unwrap_or(&[]);
            (here, record.to_vec())
        }
        Payload::Records(records) => match records.get(range.start as usize) {
            Some((bytes, origin)) => (origin.clone(), bytes.clone()),
            None => (here, Vec::new()),
        },
        Payload::Messages(messages) => {
            let at = range.start as usize;
            let offset = messages.offsets.get(at).and_then(|it| u64::try_from(*it).ok()).unwrap_or(offset);
            let value = messages.values.get(at).unwrap_or_default().to_vec();
            (Origin { offset, message: Some(Box::new(messages.parts(at))), ..here }, value)
        }
        Payload::Rows(_) | Payload::RowGroup(_) => (here, Vec::new()),
    }
}
