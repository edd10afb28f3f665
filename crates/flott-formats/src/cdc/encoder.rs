//! Writes changes. An update is written as Flink writes it: what the row was is deleted, what it is inserted.
//!
//! ```text
//!   +I, +U   {"before":null,"after":{…},"op":"c"}      {"data":[{…}],"type":"INSERT"}
//!   -U, -D   {"before":{…},"after":null,"op":"d"}      {"data":[{…}],"type":"DELETE"}
//! ```

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{Encoder, FormatRequest, Slices};
use flott_types::{Result, RowKind};

use super::shape::{Change, Shape, Sides};
use crate::json::{
    encoder::{JsonEncoder, Lines, Target},
    options::JsonOptions,
};

/// What stands around a row.
struct Frame {
    opening: Vec<u8>,
    closing: Vec<u8>,
}

pub(super) struct ChangeEncoder {
    rows: JsonEncoder,
    inserted: Frame,
    deleted: Frame,
}

impl ChangeEncoder {
    pub fn new(shape: &'static Shape, request: &FormatRequest<'_>) -> Result<Self> {
        let options = JsonOptions::of(&request.table.options, shape.format)?;
        let frame = |change| Frame::new(shape, change, !options.ignore_null_fields);
        Ok(Self {
            rows: JsonEncoder::new(request, shape.format)?,
            inserted: frame(Change::Insert),
            deleted: frame(Change::Delete),
        })
    }

    fn write(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        target: &mut impl Target,
    ) -> Result<()> {
        let (inserted, deleted) = (&self.inserted, &self.deleted);
        let around = |row: usize| {
            let kind = kinds.and_then(|kinds| kinds.values().get(row).copied()).and_then(RowKind::of);
            let gone = matches!(kind, Some(RowKind::UpdateBefore | RowKind::Delete));
            let frame = if gone { deleted } else { inserted };
            Some((frame.opening.as_slice(), frame.closing.as_slice()))
        };
        self.rows.rows(batch, around, target)
    }
}

impl Frame {
    fn new(shape: &Shape, change: Change, nulls: bool) -> Self {
        let Shape { before, after, op, .. } = shape;
        let code = shape.ops.iter().find(|(_, does)| *does == change).map_or("", |(code, _)| code);
        let (opening, closing) = match (shape.sides, change, nulls) {
            (Sides::Whole, Change::Delete, true) => {
                (format!("{{\"{before}\":"), format!(",\"{after}\":null,\"{op}\":\"{code}\"}}"))
            }
            (Sides::Whole, Change::Delete, false) => {
                (format!("{{\"{before}\":"), format!(",\"{op}\":\"{code}\"}}"))
            }
            (Sides::Whole, _, true) => {
                (format!("{{\"{before}\":null,\"{after}\":"), format!(",\"{op}\":\"{code}\"}}"))
            }
            (Sides::Whole, _, false) | (Sides::Differing, _, _) => {
                (format!("{{\"{after}\":"), format!(",\"{op}\":\"{code}\"}}"))
            }
            (Sides::DifferingArrays, _, _) => {
                (format!("{{\"{after}\":["), format!("],\"{op}\":\"{code}\"}}"))
            }
        };
        Self { opening: opening.into_bytes(), closing: closing.into_bytes() }
    }
}

impl Encoder for ChangeEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.write(batch, None, &mut Lines(out))
    }
    fn encode_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array, out: &mut Vec<u8>) -> Result<()> {
        self.write(batch, Some(kinds), &mut Lines(out))
    }
    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        self.write(batch, kinds, out)
    }
}
