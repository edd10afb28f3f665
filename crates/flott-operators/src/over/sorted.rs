//! `OVER` in any order, over rows that may be taken back; and in batch mode.
//!
//! **Keeps** every row, and in memory the order of each partition's rows.
//!
//! **Emits** at the flush what became of the partitions touched since the last one: `-D` for rows that are
//! gone, `+I` for new ones, `-U` and `+U` for rows whose results changed because others came or went
//! before them. In batch mode: each row once, at the end.
//!
//! **A watermark** does nothing. **A retraction** takes the row out of its partition; one of a row that was
//! never there is counted and has no effect.
//!
//! ```text
//!   partition  10:00 a 1      10:00 a 1            +I 10:01 c 2
//!              10:02 b 2  +c  10:01 c 2            -U 10:02 b 2
//!                             10:02 b 3            +U 10:02 b 3
//! ```
//! Rows equal in order stand in the order in which they came.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{ArrayRef, Int8Array, UInt32Array};
use arrow::compute::SortOptions;
use arrow::compute::interleave;
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use flott_plan::{Over, OverValue};
use flott_state::{KeyTable, NO_SLOT, OperatorSnapshot, OperatorState, hash_rows};
use flott_types::{Result, RowKind, Schema};

use super::calls::{aggregate, place};
use super::frames::{Ordered, Partition};
use super::row_store::RowStore;
use super::timed::result_type;
use crate::arrow_failed;
use crate::group::{Fate, differences, missing_column, pick};
use crate::idle::Idle;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, positional_schema, take_all};

/// Rows evaluated together in batch mode, about.
const BATCH_ROWS: usize = 1 << 16;

/// A row of a partition.
#[derive(Debug)]
struct Entry {
    /// The order's keys, comparable byte by byte.
    order: Box<[u8]>,
    slot: u32,
    /// Of all columns: by which a retraction finds it.
    hash: u64,
}

/// The rows of a partition; a tail of them may not be in order yet.
#[derive(Debug, Default)]
struct Part {
    entries: Vec<Entry>,
    sorted: usize,
    touched: i64,
}

impl Part {
    fn sort(&mut self) {
        if self.sorted < self.entries.len() {
            self.entries.sort_by(|a, b| a.order.cmp(&b.order));
            self.sorted = self.entries.len();
        }
    }
}

/// Rows with their results.
#[derive(Debug, Default)]
struct Told {
    slots: Vec<u32>,
    results: Vec<ArrayRef>,
}

/// The operator.
pub(crate) struct SortedOver {
    keys: Vec<usize>,
    order_by: Vec<(usize, bool, bool)>,
    calls: Vec<OverValue>,
    converter: RowConverter,
    rows: RowStore,
    index: KeyTable,
    parts: Vec<Part>,
    /// Partitions touched since the last flush, and what was told of them before.
    dirty: BTreeSet<u32>,
    before: Vec<Told>,
    /// Rows that are gone, not yet told.
    removed: Vec<u32>,
    schema: SchemaRef,
    row_columns: usize,
    idle: Option<Idle>,
    batch_mode: bool,
    complete: bool,
    told: bool,
    batch_rows: usize,
}

impl SortedOver {
    pub(crate) fn new(node: &Over, input: &Schema, context: &Context) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|field| field.data_type.arrow_type()).collect();
        let key_types = node.keys.iter().map(|key| types.get(*key).cloned().ok_or_else(missing_column));
        let key_types = key_types.collect::<Result<Vec<_>>>()?;
        let fields = node.order_by.iter().map(|(column, descending, nulls_first)| {
            let options = SortOptions { descending: *descending, nulls_first: *nulls_first };
            let data_type = types.get(*column).cloned().ok_or_else(missing_column)?;
            Ok(SortField::new_with_options(data_type, options))
        });
        let results =
            node.calls.iter().map(|value| result_type(value, &types)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            keys: node.keys.clone(),
            order_by: node.order_by.clone(),
            calls: node.calls.clone(),
            converter: RowConverter::new(fields.collect::<Result<_>>()?).map_err(arrow_failed)?,
            rows: RowStore::new(&types)?,
            index: KeyTable::new(&key_types)?,
            parts: Vec::new(),
            dirty: BTreeSet::new(),
            before: Vec::new(),
            removed: Vec::new(),
            row_columns: types.len(),
            schema: positional_schema(types.into_iter().chain(results)),
            idle: node.ttl_millis.map(|ttl| Idle::new(ttl, context.now_millis.clone())),
            batch_mode: context.batch_mode,
            complete: false,
            told: false,
            batch_rows: context.batch_rows.max(1),
        })
    }

    /// The order's bytes of rows.
    fn orders(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Box<[u8]>>> {
        if self.order_by.is_empty() {
            return Ok(vec![Box::default(); rows]);
        }
        let by: Vec<usize> = self.order_by.iter().map(|it| it.0).collect();
        let converted = self.converter.convert_columns(&pick(columns, &by)?).map_err(arrow_failed)?;
        Ok(converted.iter().map(|row| row.data().into()).collect())
    }

    /// The partitions of rows, which come into being, and their keys' hashes.
    fn partitions(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(Vec<u32>, Vec<u64>)> {
        let keys = pick(columns, &self.keys)?;
        let hashes = hash_rows(&keys, rows);
        let (mut slots, mut inserted) = (Vec::with_capacity(rows), Vec::new());
        self.index.find_or_insert(&keys, &hashes, &mut slots, &mut inserted)?;
        self.parts.resize_with(self.index.slots_end().max(self.parts.len()), Part::default);
        let now = self.idle.as_mut().map_or(0, Idle::now);
        for slot in &slots {
            if let Some(part) = self.parts.get_mut(*slot as usize) {
                part.touched = now;
            }
        }
        Ok((slots, hashes))
    }

    /// Takes down what was told of partitions that are touched for the first time.
    fn touch(&mut self, partitions: &[u32]) -> Result<()> {
        if self.batch_mode {
            return Ok(());
        }
        let mut first = Vec::new();
        for partition in partitions {
            if self.dirty.insert(*partition) {
                first.push(*partition);
            }
        }
        let told = self.evaluate(&first)?;
        if !told.slots.is_empty() {
            self.before.push(told);
        }
        Ok(())
    }

    fn change(&mut self, rows: &Rows, out: &mut Output<'_>) -> Result<()> {
        let own = rows.batch.columns().get(..self.row_columns).ok_or_else(missing_column)?;
        let count = rows.batch.num_rows();
        let (partitions, hashes) = self.partitions(own, count)?;
        self.touch(&partitions)?;
        let orders = self.orders(own, count)?;
        let row_hashes = hash_rows(own, count);
        let kinds = rows.kinds.as_ref().map(|kinds| kinds.values());
        let is_added =
            |row: usize| kinds.and_then(|kinds| kinds.get(row)).is_none_or(|kind| matches!(kind, 0 | 2));
        let added: Vec<u32> = (0..count).filter(|row| is_added(*row)).map(|row| row as u32).collect();
        let of_added: Vec<u64> = added.iter().filter_map(|row| hashes.get(*row as usize).copied()).collect();
        let columns = match added.len() == count {
            true => own.to_vec(),
            false => take_all(own, &UInt32Array::from(added.clone()))?,
        };
        let slots = self.rows.push(&of_added, &columns, &vec![0; added.len()])?;
        let mut slots = slots.into_iter();
        for (row, ((order, partition), hash)) in
            orders.into_iter().zip(partitions).zip(row_hashes).enumerate()
        {
            let Some(part) = self.parts.get_mut(partition as usize) else { continue };
            if is_added(row) {
                let slot = slots.next().unwrap_or(NO_SLOT);
                part.entries.push(Entry { order, slot, hash });
                continue;
            }
            match part.entries.iter().rposition(|entry| entry.hash == hash && entry.order == order) {
                Some(at) => {
                    self.removed.push(part.entries.remove(at).slot);
                    part.sorted -= usize::from(at < part.sorted);
                }
                None => *out.unmatched += 1,
            }
        }
        Ok(())
    }

    /// The rows of partitions in order, with their results.
    fn evaluate(&mut self, partitions: &[u32]) -> Result<Told> {
        let (mut slots, mut bounds, mut ties) = (Vec::new(), Vec::new(), Vec::new());
        for partition in partitions {
            let Some(part) = self.parts.get_mut(*partition as usize) else { continue };
            part.sort();
            let first = slots.len();
            for (at, entry) in part.entries.iter().enumerate() {
                slots.push(entry.slot);
                let earlier = at.checked_sub(1).and_then(|at| part.entries.get(at));
                ties.push(earlier.is_some_and(|earlier| earlier.order == entry.order));
            }
            bounds.push(Partition { first, wanted: first, end: slots.len() });
        }
        bounds.retain(|it| it.first < it.end);
        if slots.is_empty() {
            return Ok(Told::default());
        }
        let columns = self.rows.get(&slots)?;
        let key = self.order_by.first().map(|it| (it.0, it.1));
        let ordered = Ordered { columns: &columns, partitions: &bounds, ties: &ties, key };
        let results = self.calls.iter().map(|value| match value {
            OverValue::Aggregate(call, frame) => aggregate(call, *frame, &ordered),
            value => place(value, &ordered, &[]),
        });
        Ok(Told { results: results.collect::<Result<_>>()?, slots })
    }

    fn tell(&mut self, out: &mut Output<'_>) -> Result<()> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let dirty: Vec<u32> = std::mem::take(&mut self.dirty).into_iter().collect();
        let after = self.evaluate(&dirty)?;
        let before = joined(std::mem::take(&mut self.before))?;
        self.tell_changes(&before, &after, out)?;
        let removed = std::mem::take(&mut self.removed);
        self.rows.remove(&removed)?;
        for partition in dirty {
            if self.parts.get(partition as usize).is_some_and(|part| part.entries.is_empty()) {
                self.index.remove(partition);
            }
        }
        Ok(())
    }

    fn tell_changes(&self, before: &Told, after: &Told, out: &mut Output<'_>) -> Result<()> {
        let was: HashMap<u32, u32> = before.slots.iter().zip(0..).map(|(slot, at)| (*slot, at)).collect();
        let pairs = after.slots.iter().zip(0_u32..).filter_map(|(slot, now)| Some((*was.get(slot)?, now)));
        let (old, new): (Vec<u32>, Vec<u32>) = pairs.unzip();
        let mut fates = vec![Fate::Same; old.len()];
        let (old_rows, new_rows) = (UInt32Array::from(old.clone()), UInt32Array::from(new));
        let earlier = take_all(&before.results, &old_rows)?;
        for (a, b) in earlier.iter().zip(&take_all(&after.results, &new_rows)?) {
            differences(a, b, &mut fates);
        }
        let mut stayed = vec![false; before.slots.len()];
        old.iter().for_each(|at| {
            if let Some(stayed) = stayed.get_mut(*at as usize) {
                *stayed = true;
            }
        });
        let mut changes = Changes::default();
        for (at, slot) in before.slots.iter().enumerate() {
            if stayed.get(at) == Some(&false) {
                changes.push(RowKind::Delete, *slot, (0, at));
            }
        }
        let mut common = old.iter().zip(&fates);
        for (at, slot) in after.slots.iter().enumerate() {
            if !was.contains_key(slot) {
                changes.push(RowKind::Insert, *slot, (1, at));
            } else if let Some((old, fate)) = common.next()
                && *fate == Fate::Changed
            {
                changes.push(RowKind::UpdateBefore, *slot, (0, *old as usize));
                changes.push(RowKind::UpdateAfter, *slot, (1, at));
            }
        }
        if changes.slots.is_empty() {
            return Ok(());
        }
        let mut columns = self.rows.get(&changes.slots)?;
        for (call, now) in after.results.iter().enumerate() {
            let then = before.results.get(call).unwrap_or(now);
            columns.push(interleave(&[then.as_ref(), now.as_ref()], &changes.which).map_err(arrow_failed)?);
        }
        if after.results.is_empty() {
            for then in &before.results {
                columns
                    .push(interleave(&[then.as_ref(), then.as_ref()], &changes.which).map_err(arrow_failed)?);
            }
        }
        let rows = changes.slots.len();
        let all_new = changes.kinds.iter().all(|kind| *kind == RowKind::Insert as i8);
        let kinds = (!all_new).then(|| Int8Array::from(changes.kinds));
        (out.emit)(Rows::changes(batch(&self.schema, columns, rows)?, kinds))
    }

    /// Batch mode: all rows.
    fn tell_all(&mut self, out: &mut Output<'_>) -> Result<()> {
        if !self.complete || std::mem::replace(&mut self.told, true) {
            return Ok(());
        }
        let partitions: Vec<u32> = self.index.live().collect();
        let (mut together, mut rows) = (Vec::new(), 0);
        for partition in partitions {
            together.push(partition);
            rows += self.parts.get(partition as usize).map_or(0, |part| part.entries.len());
            if rows >= BATCH_ROWS {
                self.tell_partitions(&together, out)?;
                together.clear();
                rows = 0;
            }
        }
        self.tell_partitions(&together, out)
    }

    fn tell_partitions(&mut self, partitions: &[u32], out: &mut Output<'_>) -> Result<()> {
        let told = self.evaluate(partitions)?;
        let mut first = 0;
        for slots in told.slots.chunks(self.batch_rows) {
            let mut columns = self.rows.get(slots)?;
            columns.extend(told.results.iter().map(|result| result.slice(first, slots.len())));
            first += slots.len();
            (out.emit)(Rows::insert(batch(&self.schema, columns, slots.len())?))?;
        }
        Ok(())
    }

    /// Forgets partitions that nothing has touched since then.
    fn forget(&mut self, since: i64) -> Result<()> {
        let live: Vec<u32> = self.index.live().collect();
        for partition in live {
            let Some(part) = self.parts.get_mut(partition as usize) else { continue };
            if part.touched <= since && !self.dirty.contains(&partition) {
                let slots: Vec<u32> = part.entries.drain(..).map(|entry| entry.slot).collect();
                part.sorted = 0;
                self.rows.remove(&slots)?;
                self.index.remove(partition);
            }
        }
        Ok(())
    }
}

/// What is told, row by row.
#[derive(Debug, Default)]
struct Changes {
    kinds: Vec<i8>,
    slots: Vec<u32>,
    /// Before or after, and where there.
    which: Vec<(usize, usize)>,
}

impl Changes {
    fn push(&mut self, kind: RowKind, slot: u32, which: (usize, usize)) {
        self.kinds.push(kind as i8);
        self.slots.push(slot);
        self.which.push(which);
    }
}

fn joined(told: Vec<Told>) -> Result<Told> {
    let mut all = Told::default();
    let mut columns: Vec<Vec<ArrayRef>> = Vec::new();
    for part in told {
        all.slots.extend(part.slots);
        columns.resize_with(part.results.len(), Vec::new);
        columns.iter_mut().zip(part.results).for_each(|(all, column)| all.push(column));
    }
    all.results = columns.iter().map(|column| super::evaluate::joined(column)).collect::<Result<_>>()?;
    Ok(all)
}

impl Operator for SortedOver {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        self.change(&rows, out)
    }

    fn looks_at_time(&self) -> bool {
        false
    }

    fn on_watermark(&mut self, watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        self.complete |= watermark == i64::MAX;
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref().filter(|_| !self.batch_mode)?.timer(self.index.is_empty())
    }

    fn on_time(&mut self, now_millis: i64, _out: &mut Output<'_>) -> Result<()> {
        self.complete |= now_millis == i64::MAX;
        match self.idle.as_mut().and_then(|idle| idle.sweep(now_millis)) {
            Some(since) if !self.batch_mode => self.forget(since),
            _ => Ok(()),
        }
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        if self.batch_mode { self.tell_all(out) } else { self.tell(out) }
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        self.rows.snapshot(snapshot)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.rows.restore(state)?;
        let slots = self.rows.in_order()?;
        let columns = self.rows.get(&slots)?;
        let (partitions, _) = self.partitions(&columns, slots.len())?;
        let hashes = hash_rows(&columns, slots.len());
        let orders = self.orders(&columns, slots.len())?;
        for (((slot, partition), hash), order) in slots.into_iter().zip(partitions).zip(hashes).zip(orders) {
            if let Some(part) = self.parts.get_mut(partition as usize) {
                part.entries.push(Entry { order, slot, hash });
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let entries = self.parts.iter().flat_map(|part| &part.entries);
        let orders: usize = entries.map(|entry| entry.order.len() + size_of::<Entry>()).sum();
        self.rows.memory() + self.index.memory() + orders
    }
}
