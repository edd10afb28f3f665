//! Aggregates of frames, for many rows at once.
//!
//! ```text
//!   narrow frames   a scratch slot for each row, all rows of its frame into it
//!   wide frames     a base for each partition, which has all rows of the frame of a block's first row;
//!                   the block's other rows: the base, and the few rows by which their frames differ
//!
//!     base ████████████████████
//!     row 0 ███████████████████
//!     row 1  ███████████████████       base + 1 row - 1 row
//!     row 2   ███████████████████      base + 2 rows - 2 rows
//! ```
//! A base that begins with the partition stays, so that a stream goes on where it was.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{concat, take};
use flott_aggregate::Accumulator;
use flott_state::{KeyTable, hash_rows};
use flott_types::Result;

use super::frames::{Frames, Partition, internal};
use crate::arrow_failed;
use crate::group::failed;
use crate::window::take_all;

/// Frames of at most so many rows on average are evaluated one by one.
const NARROW: u64 = 24;
/// Entries of scratch slots made at a time.
const ENTRIES: usize = 1 << 16;
/// Rows of a block at most, and by how many rows their frames may differ.
const BLOCK_ROWS: usize = 32;
const BLOCK_DIFFERENCE: u32 = 48;

/// What a call reads: its arguments, and which rows count.
pub(crate) struct Input {
    pub(crate) args: Vec<ArrayRef>,
    pub(crate) filter: Option<BooleanArray>,
    pub(crate) distinct: bool,
}

/// Whether frames are few rows each.
pub(crate) fn is_narrow(frames: &Frames) -> bool {
    frames.seen() <= NARROW.saturating_mul(frames.low.len() as u64)
}

/// A call's results by scratch slots. `accumulator`: an empty one, which it leaves so.
pub(crate) fn narrow(accumulator: &mut dyn Accumulator, frames: &Frames, input: &Input) -> Result<ArrayRef> {
    let mut results: Vec<ArrayRef> = Vec::new();
    let mut first = 0;
    while first < frames.low.len() || results.is_empty() {
        let (mut owners, mut rows, mut slot) = (Vec::new(), Vec::new(), 0);
        while let (Some(&low), Some(&high)) = (frames.low.get(first), frames.high.get(first)) {
            owners.extend(std::iter::repeat_n(slot, high.saturating_sub(low) as usize));
            rows.extend(low..high.max(low));
            slot += 1;
            first += 1;
            if rows.len() >= ENTRIES {
                break;
            }
        }
        let slots: Vec<u32> = (0..slot).collect();
        accumulator.grow(slots.len());
        add(accumulator, &owners, &rows, input, false)?;
        results.push(accumulator.evaluate(&slots).map_err(failed)?);
        accumulator.reset(&slots);
    }
    joined(&results)
}

/// Adds rows to slots, or takes them back.
fn add(
    accumulator: &mut dyn Accumulator,
    slots: &[u32],
    rows: &[u32],
    input: &Input,
    back: bool,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = UInt32Array::from(rows.to_vec());
    let args = take_all(&input.args, &rows)?;
    let mut filter = match &input.filter {
        Some(filter) => {
            let taken = take(filter, &rows, None).map_err(arrow_failed)?;
            taken.as_any().downcast_ref::<BooleanArray>().cloned()
        }
        None => None,
    };
    if input.distinct {
        filter = Some(first_of_each(slots, &args, filter.as_ref())?);
    }
    let done = match back {
        false => accumulator.update(slots, &args, filter.as_ref()),
        true => accumulator.retract(slots, &args, filter.as_ref()),
    };
    done.map_err(failed)
}

/// TRUE where a value comes to its slot for the first time, among the rows that count.
pub(crate) fn first_of_each(
    slots: &[u32],
    args: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<BooleanArray> {
    let owners: ArrayRef = std::sync::Arc::new(UInt32Array::from(slots.to_vec()));
    let owners = arrow::compute::cast(&owners, &arrow::datatypes::DataType::Int64).map_err(arrow_failed)?;
    let keys: Vec<ArrayRef> = std::iter::once(owners).chain(args.iter().cloned()).collect();
    let types: Vec<_> = keys.iter().map(|key| key.data_type().clone()).collect();
    let mut seen = KeyTable::new(&types)?;
    let (mut found, mut inserted) = (Vec::with_capacity(slots.len()), Vec::new());
    seen.find_or_insert(&keys, &hash_rows(&keys, slots.len()), &mut found, &mut inserted)?;
    let mut taken = vec![false; seen.slots_end()];
    let first = found.iter().enumerate().map(|(row, slot)| {
        let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        match taken.get_mut(*slot as usize) {
            Some(taken) if counts && !*taken => {
                *taken = true;
                true
            }
            _ => false,
        }
    });
    Ok(first.map(Some).collect())
}

/// The bases of a call's wide frames, and room to work in.
pub(crate) struct Wide<'a> {
    /// The bases.
    pub(crate) base: &'a mut dyn Accumulator,
    /// An empty accumulator of the same call.
    pub(crate) scratch: &'a mut dyn Accumulator,
    /// The slot of each partition's base.
    pub(crate) slots: &'a [u32],
}

/// Where a partition's block is.
struct Cursor {
    partition: usize,
    /// The next wanted row, counted through all partitions.
    next: usize,
    /// Behind the partition's last wanted row.
    end: usize,
    /// The rows that the base has.
    low: u32,
    high: u32,
}

/// A call's results by bases. With `from_first` frames begin with their partition, and the bases already
/// have the rows before the wanted ones.
pub(crate) fn wide(
    of: &mut Wide<'_>,
    partitions: &[Partition],
    frames: &Frames,
    input: &Input,
    from_first: bool,
) -> Result<ArrayRef> {
    let mut cursors = cursors(partitions, frames, from_first);
    let (mut results, mut order) = (Vec::new(), Vec::with_capacity(frames.low.len()));
    let mut finished = Vec::new();
    while !cursors.is_empty() {
        let mut block = Block::default();
        for cursor in &mut cursors {
            block.take(
                cursor,
                frames,
                of.slots.get(cursor.partition).copied().unwrap_or_default(),
                from_first,
            );
        }
        add(of.base, &block.base_slots, &block.base_in, input, false)?;
        add(of.base, &block.base_back, &block.base_out, input, true)?;
        let scratch: Vec<u32> = (0..block.bases.len() as u32).collect();
        of.scratch.grow(scratch.len());
        of.scratch.merge(&scratch, &of.base.save(&block.bases)?).map_err(failed)?;
        add(of.scratch, &block.slots_in, &block.rows_in, input, false)?;
        add(of.scratch, &block.slots_out, &block.rows_out, input, true)?;
        results.push(of.scratch.evaluate(&scratch).map_err(failed)?);
        of.scratch.reset(&scratch);
        order.extend(block.wanted);
        finished.extend(cursors.extract_if(.., |cursor| cursor.next >= cursor.end));
    }
    if from_first {
        finish(of, &finished, frames, input)?;
    }
    if results.is_empty() {
        return of.scratch.evaluate(&[]).map_err(failed);
    }
    let all = joined(&results)?;
    let mut back = vec![0_u32; order.len()];
    for (at, wanted) in order.iter().enumerate() {
        if let Some(place) = back.get_mut(*wanted) {
            *place = at as u32;
        }
    }
    take(all.as_ref(), &UInt32Array::from(back), None).map_err(arrow_failed)
}

fn cursors(partitions: &[Partition], frames: &Frames, from_first: bool) -> Vec<Cursor> {
    let mut next = 0;
    let mut cursors = Vec::with_capacity(partitions.len());
    for (at, partition) in partitions.iter().enumerate() {
        let end = next + (partition.end - partition.wanted);
        let low = frames.low.get(next).copied().unwrap_or_default();
        // The base has the rows before, or none yet.
        let high = if from_first { partition.wanted as u32 } else { low };
        if next < end {
            cursors.push(Cursor { partition: at, next, end, low, high });
        }
        next = end;
    }
    cursors
}

/// Rows of the partitions' next blocks.
#[derive(Default)]
struct Block {
    /// Wanted rows, counted through all partitions, and the base of each.
    wanted: Vec<usize>,
    bases: Vec<u32>,
    /// What moves the bases on.
    base_slots: Vec<u32>,
    base_in: Vec<u32>,
    base_back: Vec<u32>,
    base_out: Vec<u32>,
    /// By what rows differ from their base.
    slots_in: Vec<u32>,
    rows_in: Vec<u32>,
    slots_out: Vec<u32>,
    rows_out: Vec<u32>,
}

impl Block {
    fn take(&mut self, cursor: &mut Cursor, frames: &Frames, base: u32, from_first: bool) {
        let bounds = |at: usize| {
            let low = frames.low.get(at).copied().unwrap_or_default();
            (low, frames.high.get(at).copied().unwrap_or_default().max(low))
        };
        let (low, high) = bounds(cursor.next);
        let entering = cursor.high.max(if from_first { 0 } else { low })..high.max(cursor.high);
        self.base_slots.extend(entering.clone().map(|_| base));
        self.base_in.extend(entering);
        if !from_first {
            let leaving = cursor.low..low.min(cursor.high);
            self.base_back.extend(leaving.clone().map(|_| base));
            self.base_out.extend(leaving);
            cursor.low = low;
        }
        cursor.high = high.max(cursor.high);
        let end = cursor.end.min(cursor.next + BLOCK_ROWS);
        while cursor.next < end {
            let (row_low, row_high) = bounds(cursor.next);
            let more = row_high.saturating_sub(cursor.high);
            let less = if from_first { 0 } else { row_low.saturating_sub(low) };
            if more + less > BLOCK_DIFFERENCE {
                break;
            }
            let slot = self.bases.len() as u32;
            self.wanted.push(cursor.next);
            self.bases.push(base);
            self.slots_in.extend(std::iter::repeat_n(slot, more as usize));
            self.rows_in.extend(cursor.high..cursor.high + more);
            self.slots_out.extend(std::iter::repeat_n(slot, less as usize));
            self.rows_out.extend(low..low + less);
            cursor.next += 1;
        }
    }
}

/// The bases take the rows that they lack of all that the partitions have been told of.
fn finish(of: &mut Wide<'_>, finished: &[Cursor], frames: &Frames, input: &Input) -> Result<()> {
    let (mut slots, mut rows) = (Vec::new(), Vec::new());
    for cursor in finished {
        let base = of.slots.get(cursor.partition).copied().unwrap_or_default();
        let last = cursor.end.checked_sub(1).and_then(|last| frames.high.get(last)).copied();
        let lacking = cursor.high..last.unwrap_or(cursor.high).max(cursor.high);
        slots.extend(lacking.clone().map(|_| base));
        rows.extend(lacking);
    }
    add(of.base, &slots, &rows, input, false)
}

/// Arrays one after the other.
pub(crate) fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    match arrays {
        [one] => Ok(one.clone()),
        [] => Err(internal("nothing was evaluated")),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
            concat(&many).map_err(arrow_failed)
        }
    }
}
