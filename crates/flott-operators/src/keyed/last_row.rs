//! The last row of each key: deduplication that keeps the newest.
//!
//! **Keeps** for each key the time of its last row, and the row itself only if somebody wants to know what a
//! row was before (`-U`).
//!
//! **Emits** on flush, for each key with a newer row: `+I` if there was none, else `-U` (if wanted) and `+U`;
//! nothing where the row is the same. In batch mode the last rows, at the end.
//!
//! **A watermark** does nothing to it.
//!
//! **A retraction** can't come: the plan ranks all rows of an input that takes rows back.
//!
//! ```text
//!   rows since the flush   a 12:03 │ b 12:01 │ a 12:05         a row with an earlier time than its
//!   pending                a ► 12:05, b ► 12:01                key's is passed over; of equal times
//!   flush                  -U a 12:00  +U a 12:05  +I b 12:01  the later row wins
//! ```
//! The batches are held until the flush: only the rows that won are ever copied.

use arrow::array::{ArrayRef, Int8Array};
use arrow::compute::interleave;
use arrow::record_batch::RecordBatch;
use flott_plan::TopN;
use flott_state::{EncodedRows, LongColumn, OperatorSnapshot, OperatorState, RowColumn, StateColumn, Table};
use flott_types::{Result, Schema, TimeAttribute};

use super::idle::IdleKeys;
use super::layout::{Layout, Parts};
use super::{column_of, column_of_mut};
use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, millis, only_inserts, reject_null_times};

const TIMES: usize = 0;
const ROWS: usize = 1;

/// Rows held back at the most in batch mode.
const HELD_ROWS: usize = 1 << 16;

/// A key with a newer row.
#[derive(Debug, Clone, Copy)]
struct Touched {
    slot: u32,
    known: bool,
    old_time: i64,
    batch: u32,
    row: u32,
}

/// The operator.
pub(crate) struct LastRowOperator {
    layout: Layout,
    /// The time column; none: rows are as new as they come.
    time: Option<usize>,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    with_before: bool,
    keep_rows: bool,
    batches: Vec<Vec<ArrayRef>>,
    held: usize,
    touched: Vec<Touched>,
    /// By slot: the position in `touched`, plus one.
    pending: Vec<u32>,
    slots: Vec<u32>,
    ending: bool,
    context: Context,
}

impl LastRowOperator {
    pub(crate) fn new(node: &TopN, time: TimeAttribute, input: &Schema, context: &Context) -> Result<Self> {
        let column = node.order_by.first().map(|it| it.0);
        let time = column.filter(|_| time == TimeAttribute::Rowtime);
        let layout = Layout::with_time(input, &node.keys, time)?;
        let keep_rows = node.with_before || context.batch_mode;
        let rest = if keep_rows { layout.rest_types() } else { Vec::new() };
        let mut columns: Vec<Box<dyn StateColumn>> = vec![Box::new(LongColumn::new(i64::MIN))];
        if keep_rows {
            columns.push(Box::new(RowColumn::new(&rest)?));
        }
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, columns.len(), context));
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        Ok(Self {
            table: Table::new(&layout.key_types(), columns)?,
            layout,
            time,
            idle,
            with_before: node.with_before,
            keep_rows,
            batches: Vec::new(),
            held: 0,
            touched: Vec::new(),
            pending: Vec::new(),
            slots: Vec::new(),
            ending: false,
            context: context.clone(),
        })
    }

    /// Notes which rows are the last of their keys.
    fn offer(&mut self, times: Option<&[i64]>, rows: usize) -> Result<()> {
        let batch = self.batches.len() as u32;
        self.pending.resize(self.table.keys().slots_end(), 0);
        let mut inserted = self.table.inserted().to_vec().into_iter().peekable();
        let last: &mut LongColumn = column_of_mut(&mut self.table, TIMES)?;
        for (row, slot) in (0..rows as u32).zip(&self.slots) {
            let (Some(place), Some(pending)) =
                (last.values.get_mut(*slot as usize), self.pending.get_mut(*slot as usize))
            else {
                continue;
            };
            let known = inserted.next_if(|new| new == slot).is_none();
            let time = times.map_or(0, |times| times.get(row as usize).copied().unwrap_or(i64::MIN));
            if time < *place {
                continue;
            }
            let old_time = std::mem::replace(place, time);
            match self.touched.get_mut((*pending as usize).wrapping_sub(1)) {
                Some(touched) => (touched.batch, touched.row) = (batch, row),
                None => {
                    self.touched.push(Touched { slot: *slot, known, old_time, batch, row });
                    *pending = self.touched.len() as u32;
                }
            }
        }
        Ok(())
    }

    /// The rows that won, of these keys.
    fn winners(&self, touched: &[Touched]) -> Result<Vec<ArrayRef>> {
        let places: Vec<(usize, usize)> =
            touched.iter().map(|it| (it.batch as usize, it.row as usize)).collect();
        gather(&self.batches, &places, self.layout.width())
    }

    fn emit_changes(&mut self, out: &mut Output<'_>) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        for part in touched.chunks(self.context.batch_rows.max(2) / 2) {
            let winners = self.winners(part)?;
            match self.keep_rows {
                true => self.emit_with_before(part, winners, out)?,
                false => {
                    let kinds: Int8Array = part.iter().map(|it| if it.known { 2 } else { 0 }).collect();
                    let rows = batch(&self.layout.schema, winners, part.len())?;
                    (out.emit)(Rows::changes(rows, Some(kinds)))?;
                }
            }
        }
        self.done(&touched)
    }

    /// Keeps the rows that won and tells what changed.
    fn emit_with_before(
        &mut self,
        part: &[Touched],
        winners: Vec<ArrayRef>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let mut encoded = EncodedRows::default();
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        let rest = self.layout.rest_of(&winners);
        rows.codec().encode(&rest, 0..part.len(), &mut encoded, |_, _| {})?;
        let times: &LongColumn = column_of(&self.table, TIMES)?;
        let same = |at: usize, it: &Touched| {
            let time = times.values.get(it.slot as usize).copied();
            it.known
                && (self.time.is_none() || time == Some(it.old_time))
                && rows.get(it.slot) == encoded.get(at)
        };
        let changed: Vec<(usize, Touched)> =
            part.iter().copied().enumerate().filter(|(at, it)| !same(*at, it)).collect();
        let known: Vec<(usize, Touched)> = match self.with_before {
            true => changed.iter().copied().filter(|(_, it)| it.known).collect(),
            false => Vec::new(),
        };
        let slots: Vec<u32> = known.iter().map(|(_, it)| it.slot).collect();
        let before = self.layout.assemble(Parts {
            keys: &self.table.keys().keys(&slots)?,
            beside: self.layout.times(known.iter().map(|(_, it)| it.old_time).collect())?,
            rest: rows.columns(&slots)?,
        })?;
        let (mut places, mut kinds) = (Vec::new(), Vec::<i8>::new());
        let mut old = 0;
        for (at, it) in &changed {
            if it.known && self.with_before {
                places.push((0, old));
                kinds.push(1);
                old += 1;
            }
            places.push((1, *at));
            kinds.push(if it.known { 2 } else { 0 });
        }
        let rows: &mut RowColumn = column_of_mut(&mut self.table, ROWS)?;
        for (at, it) in &changed {
            rows.set(it.slot, encoded.get(*at))?;
        }
        if places.is_empty() {
            return Ok(());
        }
        let columns = gather(&[before, winners], &places, self.layout.width())?;
        let rows = batch(&self.layout.schema, columns, places.len())?;
        (out.emit)(Rows::changes(rows, Some(Int8Array::from(kinds))))
    }

    /// Keeps the rows that won, to tell them at the end.
    fn absorb(&mut self) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return self.done(&touched);
        }
        let rest = self.layout.rest_of(&self.winners(&touched)?);
        let rows: &mut RowColumn = column_of_mut(&mut self.table, ROWS)?;
        let mut encoded = EncodedRows::default();
        rows.codec().encode(&rest, 0..touched.len(), &mut encoded, |_, _| {})?;
        for (at, it) in touched.iter().enumerate() {
            rows.set(it.slot, encoded.get(at))?;
        }
        self.done(&touched)
    }

    fn done(&mut self, touched: &[Touched]) -> Result<()> {
        let slots: Vec<u32> = touched.iter().map(|it| it.slot).collect();
        for slot in &slots {
            if let Some(pending) = self.pending.get_mut(*slot as usize) {
                *pending = 0;
            }
        }
        self.table.touch(&slots);
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, slots.into_iter())?;
        }
        self.batches.clear();
        self.held = 0;
        Ok(())
    }

    /// All last rows.
    fn emit_all(&self, out: &mut Output<'_>) -> Result<()> {
        let slots: Vec<u32> = self.table.keys().live().collect();
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        let times: &LongColumn = column_of(&self.table, TIMES)?;
        for slots in slots.chunks(self.context.batch_rows.max(1)) {
            let times = slots.iter().map(|slot| times.values.get(*slot as usize).copied().unwrap_or(0));
            let columns = self.layout.assemble(Parts {
                keys: &self.table.keys().keys(slots)?,
                beside: self.layout.times(times.collect())?,
                rest: rows.columns(slots)?,
            })?;
            (out.emit)(Rows::insert(batch(&self.layout.schema, columns, slots.len())?))?;
        }
        Ok(())
    }
}

/// The rows at these places (batch, row), column by column.
pub(super) fn gather(
    batches: &[Vec<ArrayRef>],
    places: &[(usize, usize)],
    width: usize,
) -> Result<Vec<ArrayRef>> {
    let column = |at: usize| {
        let arrays: Vec<_> =
            batches.iter().filter_map(|columns| columns.get(at)).map(AsRef::as_ref).collect();
        interleave(&arrays, places).map_err(arrow_failed)
    };
    (0..width).map(column).collect()
}

impl Operator for LastRowOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        let mut input: RecordBatch = rows.batch;
        if let Some(time) = self.time
            && let Some(timed) = reject_null_times(&input, &[time], out)?
        {
            input = timed;
        }
        let rows = input.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = input.columns().iter().take(self.layout.width()).cloned().collect();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, rows);
        self.slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut self.slots)?;
        let times = self.time.map(|time| millis(column(&input, time)?)).transpose()?;
        self.offer(times.as_deref(), rows)?;
        self.batches.push(columns);
        self.held += rows;
        if self.context.batch_mode && self.held >= HELD_ROWS {
            self.absorb()?;
        }
        Ok(())
    }

    fn looks_at_time(&self) -> bool {
        false
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        self.ending |= now_millis == i64::MAX;
        self.flush(out)?;
        if let Some(idle) = &mut self.idle {
            let old = idle.sweep(&mut self.table, now_millis)?;
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        if !self.context.batch_mode {
            return if self.touched.is_empty() { self.done(&[]) } else { self.emit_changes(out) };
        }
        self.absorb()?;
        if std::mem::take(&mut self.ending) {
            self.emit_all(out)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("last", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("last", &mut self.table)
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.pending.capacity() * 4
    }
}
