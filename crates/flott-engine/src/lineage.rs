//! From a row back to the record that it was decoded from.

use std::ops::Range;

use flott_connector::{Chunk, Decoded, Origin, Payload};

/// Leads from a row of a batch back to the record it was decoded from.
#[derive(Debug, Clone, Copy)]
pub struct Lineage<'a> {
    /// The chunk that was decoded.
    pub chunk: &'a Chunk,
    /// Byte ranges (or record numbers) of the rows in the chunk; empty: row i is record `first + i`.
    rows: &'a [Range<u32>],
    first: u32,
}

impl<'a> Lineage<'a> {
    /// The lineage of a decoded batch.
    pub fn of(chunk: &'a Chunk, decoded: &'a Decoded) -> Self {
        Self { chunk, rows: &decoded.rows, first: decoded.first_record }
    }

    /// The rows from `offset` on.
    #[must_use]
    pub fn slice(self, offset: usize) -> Self {
        if self.rows.is_empty() {
            return Self {
                first: self.first.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)),
                ..self
            };
        }
        Self { rows: self.rows.get(offset..).unwrap_or(&[]), ..self }
    }

    /// The place and the bytes of the record of a row.
    pub fn record(&self, row: usize) -> (Origin, Vec<u8>) {
        let number = self.first.saturating_add(u32::try_from(row).unwrap_or(u32::MAX));
        let range =
            if self.rows.is_empty() { number..number } else { self.rows.get(row).cloned().unwrap_or(0..0) };
        record_of(self.chunk, &range)
    }
}

/// The place and the bytes of a record of a chunk.
pub fn record_of(chunk: &Chunk, range: &Range<u32>) -> (Origin, Vec<u8>) {
    let offset = chunk.offset + u64::from(range.start);
    let here = Origin { split: chunk.split.name.clone(), offset };
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
            (Origin { offset, ..here }, messages.values.get(at).unwrap_or_default().to_vec())
        }
        Payload::Rows(_) | Payload::RowGroup(_) => (here, Vec::new()),
    }
}
