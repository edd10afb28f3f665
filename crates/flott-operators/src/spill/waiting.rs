//! Rows, watermarks and timers that wait for slices that are away.
//!
//! ```text
//!   on disk, per slice            in memory, for all slices: each has a cursor
//!   slice 0  rows · 80 · rows  ─► ┌ rows of 0,1,3 │ watermark 90 │ rows of 1,2 │ …
//!   slice 1  rows · 80         ─► │         ▲ cursor of a slice that was put away here
//! ```
//! What comes is kept in one list, its rows in the order of the slices. When the list is too long it goes to
//! a file in which each slice finds its own rows one after the other. The file goes when all have read it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int8Type, Schema};
use flott_state::manifest::BlockRef;
use flott_state::segment::read_block;
use flott_state::{ScratchFile, Segment};
use flott_types::{Code, Diagnostic, Result};

use super::SpillSettings;
use super::slice::Slice;
use crate::arrow_failed;
use crate::operator::Rows;

/// Rows of one kind: those that may be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) lane: usize,
    pub(super) input: usize,
    partial: bool,
    kinds: bool,
}

/// Time has come this far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Watermark(i64),
    Clock(i64),
}

/// What a slice has to take.
#[derive(Debug)]
pub(super) enum Item {
    Rows(Origin, Rows),
    Moment(Moment),
}

/// Rows in the order of the slices that they are for.
#[derive(Debug)]
pub(super) struct Sorted {
    origin: Origin,
    rows: Rows,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) slice: usize,
    start: usize,
    pub(super) rows: usize,
}

impl Sorted {
    /// Sorts rows by their slice, in their order within each.
    pub(super) fn new(lane: usize, input: usize, rows: &Rows, of: &[u16], slices: usize) -> Result<Self> {
        let mut ends = vec![0_usize; slices];
        of.iter().for_each(|slice| {
            if let Some(count) = ends.get_mut(usize::from(*slice)) {
                *count += 1;
            }
        });
        let (mut parts, mut start) = (Vec::new(), 0);
        for (slice, place) in ends.iter_mut().enumerate() {
            let count = std::mem::replace(place, start);
            if count > 0 {
                parts.push(Part { slice, start, rows: count });
            }
            start += count;
        }
        let mut order = vec![0_u32; of.len()];
        for (row, slice) in (0..).zip(of) {
            let Some(place) = ends.get_mut(usize::from(*slice)) else { continue };
            if let Some(to) = order.get_mut(*place) {
                *to = row;
            }
            *place += 1;
        }
        let order = UInt32Array::from(order);
        let batch = take_record_batch(&rows.batch, &order).map_err(arrow_failed)?;
        let kinds = match &rows.kinds {
            None => None,
            Some(kinds) => Some(take(kinds, &order, None).map_err(arrow_failed)?),
        };
        let kinds = kinds.and_then(|it| it.as_primitive_opt::<Int8Type>().cloned());
        let origin = Origin { lane, input, partial: rows.partial, kinds: kinds.is_some() };
        Ok(Self { origin, rows: Rows { batch, kinds, ..rows.clone() }, parts })
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The rows of a part.
    pub(super) fn rows(&self, part: Part) -> Rows {
        let kinds = self.rows.kinds.as_ref().map(|it| it.slice(part.start, part.rows));
        let batch = self.rows.batch.slice(part.start, part.rows);
        Rows { batch, kinds, partial: self.rows.partial, count: part.rows as u64 }
    }

    fn part_of(&self, slice: usize) -> Option<Part> {
        let at = self.parts.binary_search_by_key(&slice, |part| part.slice).ok()?;
        self.parts.get(at).copied()
    }

    fn bytes(&self) -> usize {
        let kinds = self.rows.kinds.as_ref().map_or(0, Int8Array::get_array_memory_size);
        self.rows.batch.get_array_memory_size() + kinds + self.parts.len() * size_of::<Part>() + 128
    }

    /// Bytes of a part, about.
    pub(super) fn share(&self, part: Part) -> u64 {
        let all = self.rows.batch.num_rows().max(1);
        (self.rows.batch.get_array_memory_size().saturating_mul(part.rows) / all) as u64
    }
}

/// One entry of the list in memory.
#[derive(Debug)]
enum Waiting {
    Rows(Sorted),
    Moment(Moment),
}

/// What waits in memory.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: Vec<Waiting>,
    bytes: usize,
}

impl Tail {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Behind the last entry.
    pub(super) fn end(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn push_rows(&mut self, sorted: Sorted) {
        self.bytes += sorted.bytes();
        self.entries.push(Waiting::Rows(sorted));
    }

    /// A watermark takes the place of one right before it that nobody has taken yet.
    pub(super) fn push_moment(&mut self, moment: Moment, slices: &[Slice]) {
        let untaken = || slices.iter().all(|it| it.is_resident() || it.cursor < self.end());
        if let (Some(Waiting::Moment(Moment::Watermark(last))), Moment::Watermark(new)) =
            (self.entries.last(), moment)
            && *last <= new
            && untaken()
        {
            self.entries.pop();
        } else {
            self.bytes += size_of::<Waiting>();
        }
        self.entries.push(Waiting::Moment(moment));
    }

    /// What a slice has to take from `cursor` on, one by one.
    pub(super) fn item(&self, at: usize, slice: usize) -> Option<Item> {
        match self.entries.get(at)? {
            Waiting::Moment(moment) => Some(Item::Moment(*moment)),
            Waiting::Rows(sorted) => {
                sorted.part_of(slice).map(|part| Item::Rows(sorted.origin, sorted.rows(part)))
            }
        }
    }

    /// Forgets all if nobody waits for any of it.
    pub(super) fn forget(&mut self, slices: &mut [Slice]) {
        if !slices.iter().any(Slice::waits) {
            self.entries.clear();
            self.bytes = 0;
            slices.iter_mut().for_each(|it| it.cursor = 0);
        }
    }

    /// Moves all to a file.
    pub(super) fn put_away(&mut self, slices: &mut [Slice], to: &SpillSettings, number: u64) -> Result<()> {
        let name = format!("{}-rows-{number}", to.name);
        let mut segment = Segment::empty(name.clone(), &(0..0));
        let mut stored: Vec<(usize, Stored)> = Vec::new();
        for (at, slice) in slices.iter().enumerate().filter(|(_, slice)| !slice.is_resident()) {
            let mut run: Option<(Origin, Vec<RecordBatch>)> = None;
            for entry in slice.cursor..self.end() {
                match self.item(entry, at) {
                    None => {}
                    Some(Item::Rows(origin, rows)) => {
                        let batch = with_kinds(&rows)?;
                        match &mut run {
                            Some((of, batches)) if *of == origin => batches.push(batch),
                            _ => {
                                close(&mut run, at, &mut segment, &mut stored)?;
                                run = Some((origin, vec![batch]));
                            }
                        }
                    }
                    Some(Item::Moment(moment)) => {
                        close(&mut run, at, &mut segment, &mut stored)?;
                        stored.push((at, Stored::Moment(moment)));
                    }
                }
            }
            close(&mut run, at, &mut segment, &mut stored)?;
        }
        let file = match segment.bytes.is_empty() {
            true => None,
            false => Some(Arc::new(super::slice::write(to, name, &segment.bytes)?)),
        };
        for (at, mut item) in stored {
            if let Stored::Rows { file: of, .. } = &mut item {
                of.clone_from(&file);
            }
            if let Some(slice) = slices.get_mut(at) {
                slice.stored.push_back(item);
            }
        }
        slices.iter_mut().for_each(|it| it.cursor = 0);
        self.entries.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn close(
    run: &mut Option<(Origin, Vec<RecordBatch>)>,
    slice: usize,
    segment: &mut Segment,
    stored: &mut Vec<(usize, Stored)>,
) -> Result<()> {
    if let Some((origin, batches)) = run.take() {
        let block = segment.add_rows(&batches)?;
        stored.push((slice, Stored::Rows { origin, block, file: None }));
    }
    Ok(())
}

/// What waits on disk.
#[derive(Debug)]
pub(super) enum Stored {
    Rows { origin: Origin, block: BlockRef, file: Option<Arc<ScratchFile>> },
    Moment(Moment),
}

impl Stored {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Rows { block, .. } => block.bytes,
            Self::Moment(_) => 0,
        }
    }

    /// What it is, read back.
    pub(super) fn items(self) -> Result<Vec<Item>> {
        match self {
            Self::Moment(moment) => Ok(vec![Item::Moment(moment)]),
            Self::Rows { origin, block, file } => {
                let Some(file) = file else { return Err(lost()) };
                let batches = read_block(file.storage().as_ref(), &block, "waiting", "rows")
                    .map_err(super::slice::unreadable)?;
                let rows = |batch: RecordBatch| {
                    let count = batch.num_rows() as u64;
                    let (batch, kinds) = without_kinds(batch, origin.kinds)?;
                    Ok(Item::Rows(origin, Rows { batch, kinds, partial: origin.partial, count }))
                };
                batches.into_iter().map(rows).collect()
            }
        }
    }
}

/// What waits on disk for one slice.
pub(super) type Store = VecDeque<Stored>;

fn lost() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "rows that wait have no file")
}

/// A batch with its kinds as a further column.
fn with_kinds(rows: &Rows) -> Result<RecordBatch> {
    let Some(kinds) = &rows.kinds else { return Ok(rows.batch.clone()) };
    let mut fields: Vec<_> = rows.batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("$kinds", DataType::Int8, true)));
    let mut columns = rows.batch.columns().to_vec();
    columns.push(Arc::new(kinds.clone()) as ArrayRef);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_failed)
}

fn without_kinds(batch: RecordBatch, has_kinds: bool) -> Result<(RecordBatch, Option<Int8Array>)> {
    if !has_kinds {
        return Ok((batch, None));
    }
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    fields.pop();
    let kinds = columns.pop().and_then(|it| it.as_primitive_opt::<Int8Type>().cloned());
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
    Ok((batch.map_err(arrow_failed)?, kinds))
}
