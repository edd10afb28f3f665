//! One row for each primary key of a sink, of those that the query has.
//!
//! **Keeps** with `DEDUPLICATE` all rows of each key, in the order they came; with `ERROR` and `NOTHING` the
//! row that the sink has, and what has come since the watermark moved.
//!
//! **Emits** with `DEDUPLICATE` on flush the last row of each key that changed: `+I`, `+U`, or `-D` when none is
//! left. With the others when the watermark moves.
//!
//! **A watermark** shows with `ERROR` and `NOTHING` which rows are there at once: one is written; of several
//! `ERROR` makes the run fail, and `NOTHING` leaves the sink as it is (or takes the first).
//!
//! **A retraction** (`-U`, `-D`) takes the first equal row away. Of a row that isn't there it is counted and has
//! no effect.
//!
//! ```text
//!   query           +I k 1    +I k 2    -D k 2    -D k 1
//!   rows of k       1         1 2       1
//!   DEDUPLICATE     +I k 1    +U k 2    +U k 1    -D k 1
//! ```

use arrow::array::{ArrayRef, Int8Array};
use arrow::util::display::array_value_to_string;
use flott_plan::{Materialize, OnConflict};
use flott_state::{EncodedRows, OperatorSnapshot, OperatorState, RowColumn, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::idle::IdleKeys;
use super::layout::{Layout, Parts};
use super::row_lists::RowLists;
use super::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::batch;

const LISTS: usize = 0;
/// What the sink has.
const WRITTEN: usize = 1;
const STAMPS: usize = 2;

/// The operator.
pub(crate) struct MaterializeOperator {
    layout: Layout,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    on_conflict: OnConflict,
    names: Vec<String>,
    /// Keys with changes that aren't told yet, once each.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    watermark: i64,
    slots: Vec<u32>,
    context: Context,
}

impl MaterializeOperator {
    pub(crate) fn new(node: &Materialize, input: &Schema, context: &Context) -> Result<Self> {
        let layout = Layout::new(input, &node.keys, &[])?;
        let rest = layout.rest_types();
        let mut columns: Vec<Box<dyn StateColumn>> =
            vec![Box::new(RowLists::new(&rest)?), Box::new(RowColumn::new(&rest)?)];
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, STAMPS, context));
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        Ok(Self {
            table: Table::new(&layout.key_types(), columns)?,
            layout,
            idle,
            on_conflict: node.on_conflict,
            names: node.names.clone(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            watermark: i64::MIN,
            slots: Vec::new(),
            context: context.clone(),
        })
    }

    fn touch(&mut self, slot: u32) {
        if self.is_touched.len() <= slot as usize {
            self.is_touched.resize(self.table.keys().slots_end(), false);
        }
        if let Some(touched) = self.is_touched.get_mut(slot as usize)
            && !std::mem::replace(touched, true)
        {
            self.touched.push(slot);
        }
    }

    /// The row that a key is to have, if any.
    fn wanted(&self, slot: u32) -> Result<Option<Vec<u8>>> {
        let lists: &RowLists = column_of(&self.table, LISTS)?;
        let written: &RowColumn = column_of(&self.table, WRITTEN)?;
        let row = match (self.on_conflict, lists.len(slot)) {
            (OnConflict::Deduplicate, _) | (_, 0 | 1) => lists.last(slot),
            (OnConflict::Nothing, _) if written.has(slot) => Some(written.get(slot)),
            (OnConflict::Nothing, _) => lists.first(slot),
            (OnConflict::Error, _) => return Err(self.conflict(slot)?),
        };
        Ok(row.map(<[u8]>::to_vec))
    }

    fn conflict(&self, slot: u32) -> Result<Box<Diagnostic>> {
        let keys = self.table.keys().keys(&[slot])?;
        let value = |(name, key): (&String, &ArrayRef)| {
            let text = array_value_to_string(key, 0).unwrap_or_default();
            format!("{name} = {text}")
        };
        let key: Vec<String> = self.names.iter().zip(&keys).map(value).collect();
        let message = format!("several rows have the same primary key at once: {}", key.join(", "));
        Ok(Diagnostic::error(Code::EvaluationFailed, message).help(
            "ON CONFLICT DO NOTHING keeps the first of them, ON CONFLICT DO DEDUPLICATE takes the last",
        ))
    }

    /// Tells what changed of the keys with changes.
    fn emit_changes(&mut self, out: &mut Output<'_>) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        for part in touched.chunks(self.context.batch_rows.max(1)) {
            let (mut slots, mut kinds, mut rows) = (Vec::new(), Vec::<i8>::new(), Vec::new());
            for slot in part {
                if let Some(touched) = self.is_touched.get_mut(*slot as usize) {
                    *touched = false;
                }
                let wanted = self.wanted(*slot)?;
                let written: &mut RowColumn = column_of_mut(&mut self.table, WRITTEN)?;
                let had = written.has(*slot).then(|| written.get(*slot).to_vec());
                let (kind, row) = match (had, wanted) {
                    (Some(had), Some(wanted)) if had == wanted => continue,
                    (had, Some(wanted)) => {
                        written.set(*slot, &wanted)?;
                        (if had.is_some() { 2 } else { 0 }, wanted)
                    }
                    (Some(had), None) => {
                        written.clear(*slot);
                        (3, had)
                    }
                    (None, None) => continue,
                };
                slots.push(*slot);
                kinds.push(kind);
                rows.push(row);
            }
            self.settle(part)?;
            self.emit(&slots, kinds, &rows, out)?;
        }
        let mut gone = Vec::new();
        let lists: &RowLists = column_of(&self.table, LISTS)?;
        gone.extend(touched.iter().copied().filter(|slot| lists.len(*slot) == 0));
        self.table.touch(&touched);
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, touched.into_iter())?;
        }
        self.table.remove(&gone)
    }

    /// What lost is forgotten: only what the sink has can be taken back.
    fn settle(&mut self, slots: &[u32]) -> Result<()> {
        if self.on_conflict == OnConflict::Deduplicate {
            return Ok(());
        }
        for slot in slots {
            let written: &RowColumn = column_of(&self.table, WRITTEN)?;
            let row = written.has(*slot).then(|| written.get(*slot).to_vec());
            let lists: &mut RowLists = column_of_mut(&mut self.table, LISTS)?;
            if lists.len(*slot) > 1 {
                lists.reset(&[*slot]);
                row.map_or(Ok(()), |row| lists.push(*slot, &row))?;
            }
        }
        Ok(())
    }

    fn emit(&self, slots: &[u32], kinds: Vec<i8>, rows: &[Vec<u8>], out: &mut Output<'_>) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let lists: &RowLists = column_of(&self.table, LISTS)?;
        let keys = self.table.keys().keys(slots)?;
        let rest = lists.codec().decode(rows.iter().map(Vec::as_slice))?;
        let columns = self.layout.assemble(Parts { keys: &keys, beside: Vec::new(), rest })?;
        let rows = batch(&self.layout.schema, columns, slots.len())?;
        (out.emit)(Rows::changes(rows, Some(Int8Array::from(kinds))))
    }
}

impl Operator for MaterializeOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let columns: Vec<ArrayRef> = rows.batch.columns().iter().take(self.layout.width()).cloned().collect();
        let count = rows.batch.num_rows();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, count);
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        let rest = self.layout.rest_of(&columns);
        let mut encoded = EncodedRows::default();
        let lists: &RowLists = column_of(&self.table, LISTS)?;
        lists.codec().encode(&rest, 0..count, &mut encoded, |_, _| {})?;
        for (row, slot) in slots.iter().enumerate() {
            let taken = rows.kinds.as_ref().is_some_and(|kinds| matches!(kinds.value(row), 1 | 3));
            let lists: &mut RowLists = column_of_mut(&mut self.table, LISTS)?;
            if !taken {
                lists.push(*slot, encoded.get(row))?;
            } else if !lists.take(*slot, encoded.get(row)) {
                *out.unmatched += 1;
            }
            self.touch(*slot);
        }
        self.table.touch(&slots);
        self.slots = slots;
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.emit_changes(out)
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        self.flush(out)?;
        if let Some(idle) = &mut self.idle {
            let mut old = idle.sweep(&mut self.table, now_millis)?;
            old.retain(|slot| self.is_touched.get(*slot as usize) != Some(&true));
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        match self.on_conflict {
            OnConflict::Deduplicate => self.emit_changes(out),
            _ => Ok(()),
        }
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("rows", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("rows", &mut self.table)?;
        let slots: Vec<u32> = self.table.keys().live().collect();
        for slot in slots {
            let lists: &RowLists = column_of(&self.table, LISTS)?;
            let written: &RowColumn = column_of(&self.table, WRITTEN)?;
            let told = written.has(slot).then(|| written.get(slot));
            if lists.len(slot) > 1 || lists.last(slot) != told {
                self.touch(slot);
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.is_touched.capacity()
    }
}
