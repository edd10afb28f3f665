//! Byte strings by slot, in one arena, and batches of them.
//!
//! ```text
//!   spans  slot ─► (start, length)
//!   bytes  ████ key 0 ██ key 1 ░░░ removed ███ key 3 …      packed anew once half is removed
//! ```

use arrow::row::Rows;
use flott_types::{Code, Diagnostic, Result};

/// Below this many wasted bytes packing anew isn't worth it.
const MIN_WASTE: usize = 1 << 20;

/// The byte strings of a batch.
#[derive(Debug)]
pub(crate) enum ByteRows<'a> {
    /// Offsets and bytes of a text or binary column.
    Column(&'a [i32], &'a [u8]),
    /// Rows in Arrow's row format.
    Rows(Rows),
}

impl ByteRows<'_> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match self {
            ByteRows::Column(offsets, bytes) => match offsets.get(row..row + 2) {
                Some(&[start, end]) => bytes.get(start as usize..end as usize).unwrap_or_default(),
                _ => &[],
            },
            ByteRows::Rows(rows) => rows.row(row).data(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u64,
    length: u32,
}

/// One byte string per slot.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    spans: Vec<Span>,
    bytes: Vec<u8>,
    waste: usize,
}

impl Arena {
    /// The bytes of a slot; none if it was never set.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &[u8] {
        let Some(span) = self.spans.get(slot as usize) else { return &[] };
        let start = span.start as usize;
        self.bytes.get(start..start + span.length as usize).unwrap_or_default()
    }

    /// Sets the bytes of a slot.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, bytes: &[u8]) {
        let slot = slot as usize;
        if slot >= self.spans.len() {
            self.spans.resize(slot + 1, Span::default());
        }
        if let Some(span) = self.spans.get_mut(slot) {
            self.waste += span.length as usize;
            // An array of Arrow holds less than 2 GiB, so a value's length fits.
            *span = Span { start: self.bytes.len() as u64, length: bytes.len() as u32 };
            self.bytes.extend_from_slice(bytes);
        }
        self.pack_if_wasteful();
    }

    /// Forgets the bytes of a slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(span) = self.spans.get_mut(slot as usize) {
            self.waste += span.length as usize;
            *span = Span::default();
        }
        self.pack_if_wasteful();
    }

    #[inline]
    fn pack_if_wasteful(&mut self) {
        if self.waste > MIN_WASTE && self.waste > self.bytes.len() / 2 {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let mut packed = Vec::with_capacity((self.bytes.len() - self.waste) * 5 / 4);
        for span in &mut self.spans {
            let start = span.start as usize;
            let bytes = self.bytes.get(start..start + span.length as usize).unwrap_or_default();
            span.start = packed.len() as u64;
            packed.extend_from_slice(bytes);
        }
        (self.bytes, self.waste) = (packed, 0);
    }

    /// The bytes of these slots one after the other, and their offsets.
    pub(crate) fn gather(&self, slots: &[u32]) -> Result<(Vec<i32>, Vec<u8>)> {
        let (mut offsets, mut bytes) = (Vec::with_capacity(slots.len() + 1), Vec::new());
        offsets.push(0);
        for slot in slots {
            bytes.extend_from_slice(self.get(*slot));
            offsets.push(i32::try_from(bytes.len()).map_err(|_| too_many_bytes())?);
        }
        Ok((offsets, bytes))
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.bytes.capacity()
    }
}

/// More than one Arrow array can hold.
pub(crate) fn too_many_bytes() -> Box<Diagnostic> {
    Diagnostic::error(Code::RecordTooLarge, "a batch of keyed state is larger than 2 GiB in one column")
        .help("a single key holds too much: limit what is collected per key")
}
