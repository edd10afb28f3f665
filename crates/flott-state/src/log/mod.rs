//! Rows kept as they came, found by a key: what one side of a join keeps.
//!
//! ```text
//!   slot     0 … 16383 │ 16384 … 20100 │ 20101 …        rows in blocks, as they came
//!   next     ·  0  ·  2 …                               rows of one key, chained
//!   heads    hash of key ─► first slot of its chain     built when somebody looks
//! ```
//! Invariants
//! - A slot is given out once; a removed row leaves a hole until [`RowLog::compact`], which nobody calls
//!   while slots are in hand.
//! - The index knows hashes only: who looks a key up compares the keys of what it finds, many at a time.
//! - Rows up to `written` are in a snapshot; the log grows at its end, so those are always the first.
//! - Numbers tell the rows of a key group apart in snapshots, and are never given out twice.
//!
//! Nothing is kept twice: keys stand in the rows, hashes are computed again where they are needed.

mod buckets;
mod chains;
mod saved;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flott_types::{Code, Diagnostic, Result};

pub use buckets::LogBuckets;
pub use chains::Cursor;

use crate::arrow_failed;
use crate::bitmap::Bitmap;
use crate::hash::hash_rows;
use crate::keys::NO_SLOT;
use chains::Chains;

/// Small batches are put together to blocks of this size.
const BLOCK_ROWS: usize = 16_384;

/// Batches from this size on are a block as they are.
const WHOLE_ROWS: usize = 4096;

/// Holes below this number aren't worth compacting.
const HOLES_MIN: usize = 16_384;

/// What a log keeps.
#[derive(Debug, Clone)]
pub struct LogShape {
    /// The types of a row's columns.
    pub types: Vec<DataType>,
    /// The columns that rows are found by. They decide the key group.
    pub keys: Vec<usize>,
    /// Rows are taken back one by one.
    pub removable: bool,
    /// Each row has a count.
    pub counted: bool,
    /// Each row has the time at which it was last touched.
    pub stamped: bool,
}

impl LogShape {
    /// Whether rows change after they were written, so that snapshots must name them.
    fn numbered(&self) -> bool {
        self.removable || self.counted
    }
}

/// Rows in blocks.
pub struct RowLog {
    shape: Arc<LogShape>,
    schema: SchemaRef,
    blocks: Vec<RecordBatch>,
    /// The first slot of each block.
    starts: Vec<u32>,
    end: u32,
    /// How many blocks at the end are still to be put together, and their rows.
    open: (usize, usize),
    gone: Bitmap,
    holes: usize,
    numbers: Vec<i64>,
    counts: Vec<u32>,
    /// Counts changed since the last snapshot.
    changed: Bitmap,
    stamps: Vec<i64>,
    by_key: Chains,
    /// The hash of each whole row, and the rows by it: for logs whose rows are removed.
    row_hashes: Vec<u64>,
    by_row: Chains,
    /// Slots below are in a snapshot.
    written: u32,
    /// Rows of snapshots that are gone: hash of the key, number.
    tombstones: Vec<(u64, i64)>,
    /// Slots by group and number, while a snapshot is read.
    restoring: Option<std::collections::HashMap<(u16, i64), u32>>,
}

impl fmt::Debug for RowLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowLog").field("rows", &self.len()).field("blocks", &self.blocks.len()).finish()
    }
}

impl RowLog {
    /// An empty log.
    pub fn new(shape: Arc<LogShape>) -> Self {
        let field = |(at, it): (usize, &DataType)| Field::new(format!("c{at}"), it.clone(), true);
        let schema = Arc::new(Schema::new(shape.types.iter().enumerate().map(field).collect::<Vec<_>>()));
        Self {
            schema,
            blocks: Vec::new(),
            starts: Vec::new(),
            end: 0,
            open: (0, 0),
            gone: Bitmap::default(),
            holes: 0,
            numbers: Vec::new(),
            counts: Vec::new(),
            changed: Bitmap::default(),
            stamps: Vec::new(),
            by_key: Chains::new(shape.removable),
            row_hashes: Vec::new(),
            by_row: Chains::new(true),
            written: 0,
            tombstones: Vec::new(),
            restoring: None,
            shape,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.end as usize - self.holes
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot behind the last one.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(RecordBatch::get_array_memory_size).sum();
        let words = self.numbers.capacity() + self.stamps.capacity() + self.row_hashes.capacity();
        blocks + words * 8 + self.counts.capacity() * 4 + self.by_key.memory() + self.by_row.memory()
    }

    /// Adds rows, `numbers` from here on; gives their first slot. Rows begin with count 0.
    ///
    /// # Errors
    /// When the columns aren't those of the log, or there is no room for more rows.
    pub fn push(&mut self, columns: Vec<ArrayRef>, rows: usize, number: i64, stamp: i64) -> Result<u32> {
        let first = self.add_block(columns, rows)?;
        if self.shape.numbered() {
            self.numbers.extend((0..rows as i64).map(|at| number.saturating_add(at)));
        }
        if self.shape.stamped {
            self.stamps.resize(self.end as usize, stamp);
        }
        Ok(first)
    }

    fn add_block(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<u32> {
        let first = self.end;
        let end = u32::try_from(rows).ok().and_then(|rows| first.checked_add(rows));
        let Some(end) = end.filter(|end| *end < NO_SLOT) else {
            return Err(Diagnostic::error(
                Code::RecordTooLarge,
                "a join keeps more rows than a shard can hold",
            )
            .help("bound it in time: an interval in the condition, or 'table.exec.state.ttl'"));
        };
        if rows == 0 {
            return Ok(first);
        }
        if self.shape.removable {
            self.row_hashes.extend(hash_rows(&columns, rows));
        }
        let columns = if rows >= WHOLE_ROWS { compact_columns(columns)? } else { columns };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let block = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        self.blocks.push(block.map_err(arrow_failed)?);
        self.starts.push(first);
        self.end = end;
        if self.shape.counted {
            self.counts.resize(end as usize, 0);
            self.changed.grow(end as usize);
        }
        self.gone.grow(end as usize);
        if self.shape.removable {
            self.by_row.add(first, self.row_hashes.get(first as usize..).unwrap_or_default());
        }
        if rows >= WHOLE_ROWS {
            self.open = (0, 0);
            return Ok(first);
        }
        self.open = (self.open.0 + 1, self.open.1 + rows);
        if self.open.1 >= BLOCK_ROWS {
            self.seal()?;
        }
        Ok(first)
    }

    /// Puts the small blocks at the end together.
    fn seal(&mut self) -> Result<()> {
        let from = self.blocks.len().saturating_sub(self.open.0);
        if let Ok(block) = concat_batches(&self.schema, self.blocks.get(from..).unwrap_or_default()) {
            self.blocks.truncate(from);
            self.starts.truncate(from + 1);
            self.blocks.push(block);
        }
        // Else they are larger together than an array can be, and stay as they are.
        self.open = (0, 0);
        Ok(())
    }

    /// Block and place of a slot; `near` is the block of the slot before.
    #[inline]
    fn place(&self, slot: u32, near: usize) -> (usize, usize) {
        let start = self.starts.get(near).copied().unwrap_or(u32::MAX);
        let behind = self.starts.get(near + 1).copied().unwrap_or(self.end);
        if slot >= start && slot < behind {
            return (near, (slot - start) as usize);
        }
        let block = self.starts.partition_point(|start| *start <= slot).saturating_sub(1);
        (block, (slot - self.starts.get(block).copied().unwrap_or(0)) as usize)
    }

    /// These columns of the rows in these slots, in their order.
    ///
    /// # Errors
    /// When they don't fit one array (2 GiB).
    pub fn columns(&self, slots: &[u32], wanted: impl Iterator<Item = usize>) -> Result<Vec<ArrayRef>> {
        let mut near = 0;
        let places: Vec<(usize, usize)> = slots
            .iter()
            .map(|slot| {
                let place = self.place(*slot, near);
                near = place.0;
                place
            })
            .collect();
        let only = places.first().map(|place| place.0).filter(|only| places.iter().all(|it| it.0 == *only));
        let rows =
            only.map(|_| places.iter().map(|place| place.1 as u32).collect::<arrow::array::UInt32Array>());
        let mut used: Vec<usize> = Vec::new();
        let mut moved = Vec::new();
        if only.is_none() {
            // Only the blocks that are read: a log of many blocks is mostly read in a few places.
            let mut at = vec![usize::MAX; self.blocks.len()];
            moved = places;
            for place in &mut moved {
                let Some(to) = at.get_mut(place.0) else { continue };
                if *to == usize::MAX {
                    *to = used.len();
                    used.push(place.0);
                }
                place.0 = *to;
            }
        }
        wanted
            .map(|column| {
                let of = |block: usize| self.blocks.get(block).and_then(|block| block.columns().get(column));
                let missing = || Diagnostic::error(Code::Internal, "a log has no such column");
                if let (Some(only), Some(rows)) = (only, &rows) {
                    return take(of(only).ok_or_else(missing)?, rows, None).map_err(arrow_failed);
                }
                if used.is_empty() {
                    let data_type = self.shape.types.get(column).ok_or_else(missing)?;
                    return Ok(arrow::array::new_empty_array(data_type));
                }
                let arrays: Option<Vec<&dyn Array>> =
                    used.iter().map(|block| of(*block).map(|it| it.as_ref())).collect();
                interleave(&arrays.ok_or_else(missing)?, &moved).map_err(arrow_failed)
            })
            .collect()
    }

    /// All columns of the rows in these slots.
    ///
    /// # Errors
    /// When they don't fit one array (2 GiB).
    pub fn rows(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns(slots, 0..self.shape.types.len())
    }

    /// The hashes of the keys of the rows in these slots.
    fn key_hashes(&self, slots: &[u32]) -> Result<Vec<u64>> {
        let keys = self.columns(slots, self.shape.keys.iter().copied())?;
        Ok(hash_rows(&keys, slots.len()))
    }

    /// Whether the row in this slot is there.
    #[inline]
    pub fn is_live(&self, slot: u32) -> bool {
        slot < self.end && !self.gone.get(slot)
    }

    /// The slots in use, rising.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.end).filter(|slot| !self.gone.get(*slot))
    }

    /// The count of a row.
    #[inline]
    pub fn count(&self, slot: u32) -> u32 {
        self.counts.get(slot as usize).copied().unwrap_or(0)
    }

    /// Changes the count of a row, which has been touched now.
    pub fn set_count(&mut self, slot: u32, count: u32, stamp: i64) {
        if let Some(place) = self.counts.get_mut(slot as usize) {
            *place = count;
            self.changed.set(slot);
        }
        if let Some(place) = self.stamps.get_mut(slot as usize) {
            *place = stamp;
        }
    }

    /// Brings the index up to the last row. To be called before rows are looked up.
    ///
    /// # Errors
    /// `Internal`
    pub fn index(&mut self) -> Result<()> {
        let from = self.by_key.end();
        if from == self.end {
            return Ok(());
        }
        let first = self.starts.partition_point(|start| *start <= from).saturating_sub(1);
        for (block, start) in self.blocks.iter().zip(&self.starts).skip(first) {
            let keys: Option<Vec<ArrayRef>> =
                self.shape.keys.iter().map(|key| block.columns().get(*key).cloned()).collect();
            let keys = keys.ok_or_else(|| Diagnostic::error(Code::Internal, "a log lacks a key"))?;
            let skip = from.saturating_sub(*start) as usize;
            let keys: Vec<ArrayRef> =
                keys.iter().map(|key| key.slice(skip, block.num_rows() - skip)).collect();
            self.by_key.add(start + skip as u32, &hash_rows(&keys, block.num_rows() - skip));
        }
        if self.holes > 0 {
            self.unlink_holes(from)?;
        }
        Ok(())
    }

    /// Rows that were removed before they were indexed.
    fn unlink_holes(&mut self, from: u32) -> Result<()> {
        if !self.shape.removable {
            return Ok(());
        }
        let slots: Vec<u32> = (from..self.end).filter(|slot| self.gone.get(*slot)).collect();
        let hashes = self.key_hashes(&slots)?;
        slots.iter().zip(hashes).for_each(|(slot, hash)| self.by_key.remove(*slot, hash));
        Ok(())
    }

    /// Appends pairs of rows that look for a key, by its hash, and slots that may have it, until there
    /// are `limit` pairs. Whether that was all. `skip` says which rows look for nothing.
    pub fn find(
        &self,
        hashes: &[u64],
        skip: impl Fn(usize) -> bool,
        cursor: &mut Cursor,
        limit: usize,
        pairs: &mut (Vec<u32>, Vec<u32>),
    ) -> bool {
        let gone = (self.holes > 0).then_some(&self.gone);
        self.by_key.find(hashes, skip, gone, cursor, limit, pairs)
    }

    /// The slots of rows that are equal to these, each a slot of its own; [`NO_SLOT`] where there is
    /// none. Those found are taken out of the index of rows: they have to be
    /// [removed](RowLog::remove).
    ///
    /// # Errors
    /// `Internal`
    pub fn take_equal(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let hashes = hash_rows(columns, rows);
        let mut found = vec![NO_SLOT; rows];
        let mut open: Vec<(u32, u32)> = Vec::new();
        for (row, hash) in hashes.iter().enumerate() {
            // What an earlier row has taken is no longer in the chain.
            let slot = self.same_hash(self.by_row.first(*hash), *hash);
            if slot != NO_SLOT {
                self.by_row.remove(slot, *hash);
                open.push((row as u32, slot));
            }
        }
        let (lines, slots): (Vec<u32>, Vec<u32>) = open.into_iter().unzip();
        let same = equal_rows(&self.rows(&slots)?, columns, &lines)?;
        for ((row, slot), same) in lines.iter().zip(&slots).zip(same) {
            let (Some(place), Some(hash)) = (found.get_mut(*row as usize), hashes.get(*row as usize)) else {
                continue;
            };
            if same {
                *place = *slot;
                continue;
            }
            // Two rows with the same 64 bits: look at the others, one by one.
            self.by_row.add_one(*slot, *hash);
            let mut other = self.same_hash(self.by_row.first(*hash), *hash);
            while other != NO_SLOT && !equal_rows(&self.rows(&[other])?, columns, &[*row])?.contains(&true) {
                other = self.same_hash(self.by_row.next(other), *hash);
            }
            *place = other;
            if other != NO_SLOT {
                self.by_row.remove(other, *hash);
            }
        }
        Ok(found)
    }

    /// The first slot of a chain, from this one on, whose row has this very hash.
    fn same_hash(&self, mut slot: u32, hash: u64) -> u32 {
        while slot != NO_SLOT && self.row_hashes.get(slot as usize) != Some(&hash) {
            slot = self.by_row.next(slot);
        }
        slot
    }

    /// Removes rows that were [found](RowLog::take_equal), or that no index has to forget.
    ///
    /// # Errors
    /// `Internal`
    pub fn remove(&mut self, slots: &[u32]) -> Result<()> {
        let hashes = self.key_hashes(slots)?;
        for (slot, hash) in slots.iter().zip(hashes) {
            if !self.is_live(*slot) {
                continue;
            }
            if *slot < self.by_key.end() && self.shape.removable {
                self.by_key.remove(*slot, hash);
            }
            if *slot < self.written
                && let Some(number) = self.numbers.get(*slot as usize)
            {
                self.tombstones.push((hash, *number));
            }
            self.gone.set(*slot);
            self.holes += 1;
        }
        Ok(())
    }

    /// Forgets rows that weren't touched since `before`. How many.
    pub fn expire(&mut self, before: i64) -> usize {
        let mut expired = 0;
        for slot in 0..self.end {
            if !self.gone.get(slot) && self.stamps.get(slot as usize).is_some_and(|it| *it <= before) {
                if self.shape.removable
                    && let Some(hash) = self.row_hashes.get(slot as usize)
                {
                    self.by_row.remove(slot, *hash);
                }
                self.gone.set(slot);
                expired += 1;
            }
        }
        self.holes += expired;
        expired
    }

    /// Closes holes if they are many: slots change.
    ///
    /// # Errors
    /// `Internal`
    pub fn compact(&mut self) -> Result<()> {
        if self.holes < HOLES_MIN || self.holes < self.len() {
            return Ok(());
        }
        let live: Vec<u32> = self.live().collect();
        let kept = |slot: &u32| *slot as usize;
        let mut fresh = RowLog::new(self.shape.clone());
        for slots in live.chunks(BLOCK_ROWS) {
            fresh.add_block(self.rows(slots)?, slots.len())?;
        }
        fresh.numbers = live.iter().filter_map(|slot| self.numbers.get(kept(slot)).copied()).collect();
        fresh.stamps = live.iter().filter_map(|slot| self.stamps.get(kept(slot)).copied()).collect();
        fresh.counts = live.iter().filter_map(|slot| self.counts.get(kept(slot)).copied()).collect();
        for (to, slot) in live.iter().enumerate() {
            if self.changed.get(*slot) {
                fresh.changed.set(to as u32);
            }
        }
        fresh.written = live.partition_point(|slot| *slot < self.written) as u32;
        fresh.tombstones = std::mem::take(&mut self.tombstones);
        *self = fresh;
        Ok(())
    }
}

/// Columns that don't keep much more memory than they show.
fn compact_columns(columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
    let copy = |column: ArrayRef| {
        let data = column.to_data();
        let shown = data.get_slice_memory_size().unwrap_or(usize::MAX);
        if data.get_buffer_memory_size() <= shown.saturating_mul(2) {
            return Ok(column);
        }
        let rows: arrow::array::UInt32Array = (0..column.len() as u32).collect();
        take(&column, &rows, None).map_err(arrow_failed)
    };
    columns.into_iter().map(copy).collect()
}

/// Whether row i of `stored` is the row `lines[i]` of `given`.
fn equal_rows(stored: &[ArrayRef], given: &[ArrayRef], lines: &[u32]) -> Result<Vec<bool>> {
    let mut same = vec![true; lines.len()];
    for (stored, given) in stored.iter().zip(given) {
        // Maps have no order; their hash has to do.
        let Ok(compare) = arrow::array::make_comparator(
            stored.as_ref(),
            given.as_ref(),
            arrow::compute::SortOptions::default(),
        ) else {
            continue;
        };
        for (at, (same, line)) in same.iter_mut().zip(lines).enumerate() {
            *same = *same && compare(at, *line as usize).is_eq();
        }
    }
    Ok(same)
}
