//! What an upsert source says, made into changes that are complete and say something new.
//!
//! **Keeps** the last row of each key.
//!
//! **Emits** on flush, for each key that changed: `+I`, `-U` (if wanted) and `+U`, or `-D` with the row that
//! was. Nothing where the row is the same.
//!
//! **A watermark** does nothing to it.
//!
//! **A retraction** (`-D`, `-U`) takes the key's row away, whatever its other columns say. Of a key without a
//! row it is counted and has no effect; a `+U` of one is its first row.
//!
//! ```text
//!   source   +U k 1 │ +U k 1 │ -D k │ -D k │ +U k 2        kept: k ─► 2
//!   out      +I k 1            -D k 1        +I k 2        flushed after each
//!   out      +I k 2                                        flushed once
//! ```

use arrow::array::{ArrayRef, Int8Array};
use flott_plan::Normalize;
use flott_state::{EncodedRows, OperatorSnapshot, OperatorState, RowColumn, StateColumn, Table};
use flott_types::{Result, Schema};

use super::idle::IdleKeys;
use super::last_row::gather;
use super::layout::{Layout, Parts};
use super::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::batch;

const ROWS: usize = 0;
const STAMPS: usize = 1;

/// A key that something was said of: its last row, and whether it is gone.
#[derive(Debug, Clone, Copy)]
struct Touched {
    slot: u32,
    batch: u32,
    row: u32,
    gone: bool,
}

/// The operator.
pub(crate) struct NormalizeOperator {
    layout: Layout,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    with_before: bool,
    batches: Vec<Vec<ArrayRef>>,
    touched: Vec<Touched>,
    /// By slot: the position in `touched`, plus one.
    pending: Vec<u32>,
    slots: Vec<u32>,
    context: Context,
}

impl NormalizeOperator {
    pub(crate) fn new(node: &Normalize, input: &Schema, context: &Context) -> Result<Self> {
        let layout = Layout::new(input, &node.keys, &[])?;
        let mut columns: Vec<Box<dyn StateColumn>> = vec![Box::new(RowColumn::new(&layout.rest_types())?)];
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, STAMPS, context));
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        Ok(Self {
            table: Table::new(&layout.key_types(), columns)?,
            layout,
            idle,
            with_before: node.with_before,
            batches: Vec::new(),
            touched: Vec::new(),
            pending: Vec::new(),
            slots: Vec::new(),
            context: context.clone(),
        })
    }

    /// Notes what was said last of each key. How many deletions were of keys without a row.
    fn note(&mut self, kinds: Option<&Int8Array>) -> Result<u64> {
        let batch = self.batches.len() as u32;
        self.pending.resize(self.table.keys().slots_end(), 0);
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        let mut unmatched = 0;
        for (row, slot) in self.slots.iter().enumerate() {
            let gone = kinds.is_some_and(|kinds| matches!(kinds.value(row), 1 | 3));
            let Some(pending) = self.pending.get_mut(*slot as usize) else { continue };
            let now = Touched { slot: *slot, batch, row: row as u32, gone };
            let was_gone = match self.touched.get_mut((*pending as usize).wrapping_sub(1)) {
                Some(touched) => std::mem::replace(touched, now).gone,
                None => {
                    self.touched.push(now);
                    *pending = self.touched.len() as u32;
                    !rows.has(*slot)
                }
            };
            unmatched += u64::from(gone && was_gone);
        }
        Ok(unmatched)
    }

    fn emit_part(&mut self, part: &[Touched], out: &mut Output<'_>) -> Result<()> {
        let places: Vec<(usize, usize)> =
            part.iter().map(|it| (it.batch as usize, it.row as usize)).collect();
        let said = gather(&self.batches, &places, self.layout.width())?;
        let rows: &RowColumn = column_of(&self.table, ROWS)?;
        let mut encoded = EncodedRows::default();
        rows.codec().encode(&self.layout.rest_of(&said), 0..part.len(), &mut encoded, |_, _| {})?;
        let (mut places, mut kinds, mut before) = (Vec::new(), Vec::<i8>::new(), Vec::new());
        let mut changed = Vec::new();
        for (at, it) in part.iter().enumerate() {
            let known = rows.has(it.slot);
            match (known, it.gone) {
                (false, true) => {}
                (true, true) => {
                    places.push((0, before.len()));
                    before.push(it.slot);
                    kinds.push(3);
                }
                (true, false) if rows.get(it.slot) == encoded.get(at) => {}
                (_, false) => {
                    if known && self.with_before {
                        places.push((0, before.len()));
                        before.push(it.slot);
                        kinds.push(1);
                    }
                    places.push((1, at));
                    kinds.push(if known { 2 } else { 0 });
                    changed.push((at, it.slot));
                }
            }
        }
        let keys = self.table.keys().keys(&before)?;
        let was = Parts { keys: &keys, beside: Vec::new(), rest: rows.columns(&before)? };
        let was = self.layout.assemble(was)?;
        let rows: &mut RowColumn = column_of_mut(&mut self.table, ROWS)?;
        for (at, slot) in changed {
            rows.set(slot, encoded.get(at))?;
        }
        if places.is_empty() {
            return Ok(());
        }
        let columns = gather(&[was, said], &places, self.layout.width())?;
        let rows = batch(&self.layout.schema, columns, places.len())?;
        (out.emit)(Rows::changes(rows, Some(Int8Array::from(kinds))))
    }
}

impl Operator for NormalizeOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let columns: Vec<ArrayRef> = rows.batch.columns().iter().take(self.layout.width()).cloned().collect();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, rows.batch.num_rows());
        self.slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut self.slots)?;
        *out.unmatched += self.note(rows.kinds.as_ref())?;
        self.batches.push(columns);
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
        self.flush(out)?;
        if let Some(idle) = &mut self.idle {
            let old = idle.sweep(&mut self.table, now_millis)?;
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        for part in touched.chunks(self.context.batch_rows.max(2) / 2) {
            self.emit_part(part, out)?;
        }
        self.batches.clear();
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
        let gone: Vec<u32> = touched.iter().filter(|it| it.gone).map(|it| it.slot).collect();
        self.table.remove(&gone)
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
