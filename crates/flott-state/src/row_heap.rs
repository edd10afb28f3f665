//! Byte strings of any length that come and go: a heap of our own, so that a row costs no allocation.
//!
//! ```text
//!   page (1 MiB)   │len row····│len row··│~free~│len row······│            blocks of whole 8 bytes
//!   free blocks    by length: 2 ► block ► block, 5 ► block, …              taken again before new room
//!   RowRef         page and place in 32 bits: 32 GiB in one heap
//! ```
//! A reference stays valid until it is freed: rows never move, so nobody has to be told. What is freed is
//! used for the next row of that length, or is split for a shorter one; rows of one table are much alike,
//! so holes don't pile up.

use std::collections::BTreeMap;

use flott_types::{Code, Diagnostic, Result};

/// Where a row is.
pub type RowRef = u32;

/// No row.
pub const NO_ROW: RowRef = u32::MAX;

const UNIT: usize = 8;
/// Units of a page: 1 MiB.
const PAGE_UNITS: usize = 1 << 17;
const PAGES_MAX: usize = 1 << 15;

/// The rows.
#[derive(Debug, Default)]
pub struct RowHeap {
    pages: Vec<Box<[u8]>>,
    /// The first unit of the last page that was never given out.
    next: usize,
    /// Free blocks by their length in units.
    free: BTreeMap<u32, Vec<RowRef>>,
    bytes: usize,
}

impl RowHeap {
    /// An empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// When the heap is full.
    pub fn put(&mut self, row: &[u8]) -> Result<RowRef> {
        let (header, header_len) = header(row.len());
        let units = (header_len + row.len()).div_ceil(UNIT);
        let at = self.take(units)?;
        if let Some(place) = self.place_mut(at, header_len + row.len()) {
            let (first, rest) = place.split_at_mut(header_len);
            first.copy_from_slice(header.get(..header_len).unwrap_or_default());
            rest.copy_from_slice(row);
        }
        Ok(at)
    }

    /// The row; empty if there is none.
    #[inline]
    pub fn get(&self, at: RowRef) -> &[u8] {
        let (page, start) = split(at);
        let bytes = self.pages.get(page).and_then(|page| page.get(start..)).unwrap_or_default();
        let Some((length, header)) = read_header(bytes) else { return &[] };
        bytes.get(header..header + length).unwrap_or_default()
    }

    /// Forgets a row.
    pub fn free(&mut self, at: RowRef) {
        if at == NO_ROW {
            return;
        }
        let length = self.get(at).len();
        let units = (header(length).1 + length).div_ceil(UNIT);
        self.free.entry(units as u32).or_default().push(at);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes + self.free.values().map(|list| list.capacity() * 4).sum::<usize>()
    }

    /// A block of this many units: a free one of just this length, the end of the last page, a longer
    /// free one, a new page.
    fn take(&mut self, units: usize) -> Result<RowRef> {
        if let Some(at) = self.take_free(units as u32, units as u32) {
            return Ok(at);
        }
        if units > PAGE_UNITS {
            // A page of its own, all of which counts as given out.
            self.leave_page();
            let at = self.add_page(units)?;
            self.next = PAGE_UNITS;
            return Ok(at);
        }
        if !self.pages.is_empty() && self.next + units <= PAGE_UNITS {
            let at = join(self.pages.len() - 1, self.next);
            self.next += units;
            return Ok(at);
        }
        if let Some(at) = self.take_free(units as u32 + 1, PAGE_UNITS as u32) {
            return Ok(at);
        }
        self.leave_page();
        let at = self.add_page(PAGE_UNITS)?;
        self.next = units;
        Ok(at)
    }

    /// A free block of a length between these, cut down to what lies below the least by at most one.
    fn take_free(&mut self, least: u32, most: u32) -> Option<RowRef> {
        let (&length, blocks) = self.free.range_mut(least..=most).next()?;
        let at = blocks.pop();
        if blocks.is_empty() {
            self.free.remove(&length);
        }
        let at = at?;
        if least != most {
            // Asked for one unit less than the least.
            let wanted = least - 1;
            self.free.entry(length - wanted).or_default().push(at + wanted);
        }
        Some(at)
    }

    /// What is left of the last page is free.
    fn leave_page(&mut self) {
        if !self.pages.is_empty() && self.next < PAGE_UNITS {
            let at = join(self.pages.len() - 1, self.next);
            self.free.entry((PAGE_UNITS - self.next) as u32).or_default().push(at);
            self.next = PAGE_UNITS;
        }
    }

    fn add_page(&mut self, units: usize) -> Result<RowRef> {
        if self.pages.len() >= PAGES_MAX - 1 {
            return Err(Diagnostic::error(Code::Internal, "one shard keeps more than 32 GiB of rows")
                .help("run with a higher parallelism, so that each shard keeps fewer rows"));
        }
        self.pages.push(vec![0; units * UNIT].into_boxed_slice());
        self.bytes += units * UNIT;
        Ok(join(self.pages.len() - 1, 0))
    }

    fn place_mut(&mut self, at: RowRef, length: usize) -> Option<&mut [u8]> {
        let (page, start) = split(at);
        self.pages.get_mut(page)?.get_mut(start..start + length)
    }
}

fn split(at: RowRef) -> (usize, usize) {
    (at as usize / PAGE_UNITS, at as usize % PAGE_UNITS * UNIT)
}

fn join(page: usize, unit: usize) -> RowRef {
    (page * PAGE_UNITS + unit) as RowRef
}

/// A length in front of the bytes: one byte below 255, else five.
fn header(length: usize) -> ([u8; 5], usize) {
    match u8::try_from(length) {
        Ok(short) if short < u8::MAX => ([short, 0, 0, 0, 0], 1),
        _ => {
            let [a, b, c, d] = (length as u32).to_le_bytes();
            ([u8::MAX, a, b, c, d], 5)
        }
    }
}

#[inline]
fn read_header(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes {
        [u8::MAX, a, b, c, d, ..] => Some((u32::from_le_bytes([*a, *b, *c, *d]) as usize, 5)),
        [short, ..] => Some((usize::from(*short), 1)),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_they_are_and_room_is_used_again() {
        let mut heap = RowHeap::new();
        let row = |n: usize| vec![n as u8; n * 37 % 700];
        let mut kept: Vec<(usize, RowRef)> = Vec::new();
        for n in 0..20_000 {
            kept.push((n, heap.put(&row(n)).unwrap()));
            if n % 3 == 2 {
                let (_, gone) = kept.swap_remove(n * 7 % kept.len());
                heap.free(gone);
            }
        }
        for (n, at) in &kept {
            assert_eq!(heap.get(*at), row(*n));
        }
        let before = heap.memory();
        for _ in 0..10 {
            for (n, at) in &mut kept {
                heap.free(*at);
                *at = heap.put(&row(*n)).unwrap();
            }
        }
        assert!(heap.memory() < before + before / 10, "{} after {before}", heap.memory());
    }

    #[test]
    fn a_row_may_be_longer_than_a_page() {
        let mut heap = RowHeap::new();
        let (long, short) = (vec![7; 3 << 20], vec![9; 10]);
        let refs = [heap.put(&short).unwrap(), heap.put(&long).unwrap(), heap.put(&short).unwrap()];
        assert_eq!(heap.get(refs[1]), long);
        assert_eq!([heap.get(refs[0]), heap.get(refs[2])], [&short[..], &short[..]]);
        heap.free(refs[1]);
        let again = heap.put(&long).unwrap();
        assert_eq!(heap.get(again), long);
        assert_eq!(heap.get(NO_ROW), &[] as &[u8]);
    }
}
