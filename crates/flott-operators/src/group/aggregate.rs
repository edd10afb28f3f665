//! Groups whose results change as rows come: `GROUP BY` without a window, `SELECT DISTINCT`.
//!
//! **Keeps** for each group its calls' accumulators; where rows are taken back, how many rows it has;
//! for calls with DISTINCT the [values](super::distinct) that it has seen. Unless rows are taken back or
//! `table.exec.state.ttl` forgets idle groups, a group stays for ever.
//!
//! **Emits** at the flush what became of the groups touched since the last one: `+I` for a new group,
//! `-U` and `+U` for another result (`+U` alone if nobody wants to know what was before), `-D` for a
//! group whose last row is gone, nothing where the result is what it was. In batch mode: each group
//! once, at the end.
//!
//! **A watermark** does nothing. **A retraction** is taken out of the group; one of a row that was never
//! there is counted and has no effect.
//!
//! ```text
//!   rows ─► slots ─► pending: the results before the first touch
//!             └────► accumulators, distinct sets ─► flush: results now ─► changes
//! ```

use std::collections::HashSet;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use flott_aggregate::Accumulator;
use flott_plan::GroupAggregate;
use flott_state::{NO_SLOT, OperatorSnapshot, OperatorState, Table, hash_rows};
use flott_types::{Result, Schema};

use super::calls::{GroupCalls, failed, missing_column, pick};
use super::distinct::{DistinctTable, Values, let_through};
use super::local::PartialLayout;
use super::pending::{Before, Fate, Pending, Teller, differences};
use crate::arrow_failed;
use crate::hidden::Hidden;
use crate::idle::Idle;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{next_slots, positional_schema, take_all};

/// Where the columns stand that a group keeps besides its calls' values.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// How many rows it has.
    rows: Option<usize>,
    /// Its number, by which the distinct sets know it.
    number: Option<usize>,
    /// When it was last touched.
    touched: Option<usize>,
}

/// The operator.
pub(crate) struct GroupAggregateOperator {
    calls: GroupCalls,
    table: Table<dyn Accumulator>,
    places: Places,
    sets: Vec<DistinctTable>,
    next_number: i64,
    layout: PartialLayout,
    pending: Pending,
    teller: Teller,
    idle: Option<Idle>,
    batch_rows: usize,
    /// In batch mode: whether all rows are there, and whether the results are out.
    batch_mode: bool,
    complete: bool,
    told: bool,
    /// The group of no keys is this shard's.
    owns_whole: bool,
    slots: Vec<u32>,
}

impl GroupAggregateOperator {
    pub(crate) fn new(node: &GroupAggregate, input: &Schema, context: &Context) -> Result<Self> {
        let calls = GroupCalls::new(&node.keys, &node.calls, node.retracts, input)?;
        let mut columns = calls.accumulators()?;
        let mut hidden = |wanted: bool| {
            wanted.then(|| {
                columns.push(Hidden::starting_at(0));
                columns.len() - 1
            })
        };
        let places = Places {
            rows: hidden(node.retracts),
            number: hidden(!calls.sets.is_empty()),
            touched: hidden(node.ttl_millis.is_some()),
        };
        let sets = calls.sets.iter().map(|set| DistinctTable::new(set, node.retracts));
        let types = calls.key_types.iter().cloned().chain(calls.result_types());
        let hash = hash_rows(&[], 1).first().copied().unwrap_or(0);
        Ok(Self {
            sets: sets.collect::<Result<_>>()?,
            table: Table::new(&calls.key_types, columns)?,
            places,
            next_number: 0,
            layout: PartialLayout::new(&calls)?,
            pending: Pending::default(),
            teller: Teller { schema: positional_schema(types), with_before: node.with_before },
            idle: node.ttl_millis.map(|ttl| Idle::new(ttl, context.now_millis.clone())),
            batch_rows: context.batch_rows.max(1),
            batch_mode: context.batch_mode,
            complete: false,
            told: false,
            owns_whole: context.owned.contains(&context.groups.of(hash)),
            calls,
            slots: Vec::new(),
        })
    }

    /// Puts the rows' groups into `slots`, which are looked up or come into being, and takes down what
    /// they were.
    fn open(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let hashes = hash_rows(keys, rows);
        self.slots.clear();
        self.table.find_or_insert(keys, &hashes, &mut self.slots)?;
        let inserted = self.table.inserted().to_vec();
        if let Some(at) = self.places.number {
            for slot in &inserted {
                let number = self.number_of(*slot);
                Hidden::of_mut(self.table.columns_mut(), at)?.set(*slot, number);
            }
        }
        if !self.batch_mode {
            self.pending.insert(&inserted);
        }
        self.touch()
    }

    /// Takes down what the groups in `slots` were, if this is the first touch, and when it was.
    fn touch(&mut self) -> Result<()> {
        if let (Some(idle), Some(at)) = (&mut self.idle, self.places.touched) {
            let now = idle.now();
            let touched = Hidden::of_mut(self.table.columns_mut(), at)?;
            self.slots.iter().for_each(|slot| touched.set(*slot, now));
        }
        if self.batch_mode || (self.calls.len() == 0 && !self.calls.retracts) {
            return Ok(());
        }
        let slots = self.pending.touch(&self.slots);
        if !slots.is_empty() {
            let results = self.evaluate(&slots)?;
            self.pending.before.push(Before { slots, results });
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let calls = self.table.columns().iter().take(self.calls.len());
        calls.map(|column| column.evaluate(slots).map_err(failed)).collect()
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns();
        let keys = pick(columns, &self.calls.keys)?;
        self.open(&keys, batch.num_rows())?;
        self.count_rows()?;
        self.table.touch(&self.slots);
        let accumulators = self.table.columns_mut().iter_mut().take(self.calls.len()).enumerate();
        self.calls.accumulate(accumulators, &self.slots, columns, false)?;
        for set in 0..self.sets.len() {
            let Some(of) = self.calls.sets.get(set) else { continue };
            let (args, bits) = (pick(columns, &of.args)?, of.bits(columns, batch.num_rows())?);
            let (args, bits, slots) = let_through(args, bits, &self.slots)?;
            self.values(set, &args, &bits, &slots, false)?;
        }
        Ok(())
    }

    /// The groups in `slots` have a row more each. What a group kept when its last row went is gone.
    fn count_rows(&mut self) -> Result<()> {
        let Some(at) = self.places.rows else { return Ok(()) };
        let mut empty = Vec::new();
        let counts = Hidden::of_mut(self.table.columns_mut(), at)?;
        for slot in &self.slots {
            let count = counts.get(*slot);
            if count == 0 {
                empty.push(*slot);
            }
            counts.set(*slot, count.saturating_add(1));
        }
        let calls = self.calls.len();
        self.table.columns_mut().iter_mut().take(calls).for_each(|column| column.reset(&empty));
        Ok(())
    }

    fn retract(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let Some(at) = self.places.rows else { return Err(missing_column()) };
        let keys = pick(batch.columns(), &self.calls.keys)?;
        let hashes = hash_rows(&keys, batch.num_rows());
        self.slots.clear();
        self.table.find(&keys, &hashes, &mut self.slots)?;
        let mut slots = std::mem::take(&mut self.slots);
        let counts = Hidden::of_mut(self.table.columns_mut(), at)?;
        let known: Vec<bool> = slots
            .iter()
            .map(|slot| {
                let count = if *slot == NO_SLOT { 0 } else { counts.get(*slot) };
                if count > 0 {
                    counts.set(*slot, count - 1);
                }
                count > 0
            })
            .collect();
        let mut batch = batch.clone();
        if known.iter().any(|known| !known) {
            let known = BooleanArray::from(known);
            *out.unmatched += (known.len() - known.true_count()) as u64;
            let mut kept = known.values().iter();
            slots.retain(|_| kept.next() == Some(true));
            batch = filter_record_batch(&batch, &known).map_err(arrow_failed)?;
        }
        self.slots = slots;
        self.touch()?;
        self.table.touch(&self.slots);
        let columns = batch.columns();
        let accumulators = self.table.columns_mut().iter_mut().take(self.calls.len()).enumerate();
        self.calls.accumulate(accumulators, &self.slots, columns, true)?;
        for set in 0..self.sets.len() {
            let Some(of) = self.calls.sets.get(set) else { continue };
            let (args, bits) = (pick(columns, &of.args)?, of.bits(columns, batch.num_rows())?);
            let (args, bits, slots) = let_through(args, bits, &self.slots)?;
            self.values(set, &args, &bits, &slots, true)?;
        }
        Ok(())
    }

    /// Adds values to a distinct set, or takes them back; what is new or gone goes on to the calls.
    fn values(
        &mut self,
        set: usize,
        args: &[ArrayRef],
        bits: &[u64],
        slots: &[u32],
        back: bool,
    ) -> Result<()> {
        let (Some(table), Some(at)) = (self.sets.get_mut(set), self.places.number) else {
            return Err(missing_column());
        };
        let numbers = Hidden::of(self.table.columns(), at)?;
        let groups = slots.iter().map(|slot| numbers.get(*slot)).collect();
        let values = Values { groups, args, bits };
        let changed = if back { table.remove(&values)? } else { table.add(&values)? };
        for (filter, rows) in changed.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let slots: Vec<u32> = rows.iter().filter_map(|row| slots.get(*row as usize).copied()).collect();
            let args = match rows.len() == bits.len() {
                true => args.to_vec(),
                false => take_all(args, &UInt32Array::from(rows))?,
            };
            for call in self.calls.of_set(set, filter) {
                let Some(column) = self.table.columns_mut().get_mut(call) else { continue };
                let done = match back {
                    false => column.update(&slots, &args, None),
                    true => column.retract(&slots, &args, None),
                };
                done.map_err(failed)?;
            }
        }
        Ok(())
    }

    fn add_partial(&mut self, batch: &RecordBatch) -> Result<()> {
        let partial = self.layout.read(batch)?;
        self.open(partial.keys, batch.num_rows())?;
        self.table.touch(&self.slots);
        let plain: Vec<usize> = self.calls.plain().collect();
        for (call, saved) in plain.into_iter().zip(partial.saved) {
            let column = self.table.columns_mut().get_mut(call).ok_or_else(missing_column)?;
            column.merge(&self.slots, saved).map_err(failed)?;
        }
        let groups = self.slots.clone();
        for (set, lists) in partial.lists.iter().enumerate() {
            let (args, bits, slots) = self.layout.values(lists, &groups)?;
            self.values(set, &args, &bits, &slots, false)?;
        }
        Ok(())
    }

    /// Adds and takes back in the order of the rows, as far as it matters.
    fn changes(&mut self, rows: &Rows, out: &mut Output<'_>) -> Result<()> {
        let Some(kinds) = &rows.kinds else { return self.add(&rows.batch) };
        let added = |kind: &i8| *kind == 0 || *kind == 2;
        if kinds.values().iter().all(added) {
            return self.add(&rows.batch);
        }
        if self.calls.order_matters {
            let mut first = 0;
            for run in kinds.values().chunk_by(|a, b| added(a) == added(b)) {
                let part = rows.batch.slice(first, run.len());
                first += run.len();
                match run.first().is_some_and(added) {
                    true => self.add(&part)?,
                    false => self.retract(&part, out)?,
                }
            }
            return Ok(());
        }
        let added: BooleanArray = kinds.values().iter().map(|kind| Some(added(kind))).collect();
        let taken = arrow::compute::not(&added).map_err(arrow_failed)?;
        if added.true_count() > 0 {
            self.add(&filter_record_batch(&rows.batch, &added).map_err(arrow_failed)?)?;
        }
        self.retract(&filter_record_batch(&rows.batch, &taken).map_err(arrow_failed)?, out)
    }

    /// Groups of a time without distinct sets get their numbers.
    fn number_groups(&mut self) -> Result<()> {
        let Some(at) = self.places.number else { return Ok(()) };
        let numbers = Hidden::of(self.table.columns(), at)?;
        let without: Vec<u32> = self.table.keys().live().filter(|slot| numbers.get(*slot) == 0).collect();
        for slot in without {
            let number = self.number_of(slot);
            Hidden::of_mut(self.table.columns_mut(), at)?.set(slot, number);
        }
        Ok(())
    }

    /// The next number, for this group.
    fn number_of(&mut self, slot: u32) -> i64 {
        let upper = self.table.keys().hash_of(slot) & !0xffff_ffff;
        let number = upper as i64 | (self.next_number & 0xffff_ffff);
        self.next_number += 1;
        number
    }

    fn has_rows(&self, slot: u32) -> Result<bool> {
        let Some(at) = self.places.rows else { return Ok(true) };
        Ok(Hidden::of(self.table.columns(), at)?.get(slot) > 0)
    }

    /// Tells what became of the pending groups.
    fn tell(&mut self, out: &mut Output<'_>) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (fresh, before) = self.pending.take();
        let mut gone = Vec::new();
        let mut new = Vec::with_capacity(fresh.len());
        for slot in fresh {
            if self.has_rows(slot)? { new.push(slot) } else { gone.push(slot) }
        }
        for slots in new.chunks(self.batch_rows) {
            self.tell_new(slots, out)?;
        }
        for Before { slots, results } in before {
            let after = self.evaluate(&slots)?;
            // With a time to live an unchanged result is told, too: those behind may keep it only so long.
            let otherwise = if self.idle.is_some() { Fate::Changed } else { Fate::Same };
            let mut fates = Vec::with_capacity(slots.len());
            for slot in &slots {
                let has_rows = self.has_rows(*slot)?;
                fates.push(if has_rows { otherwise } else { Fate::Gone });
                if !has_rows {
                    gone.push(*slot);
                }
            }
            for (before, after) in results.iter().zip(&after) {
                differences(before, after, &mut fates);
            }
            let keys = self.table.keys().keys(&slots)?;
            self.teller.changed(&keys, &results, &after, &fates, out)?;
        }
        self.table.remove(&gone)
    }

    fn tell_new(&self, slots: &[u32], out: &mut Output<'_>) -> Result<()> {
        let mut columns = self.table.keys().keys(slots)?;
        columns.extend(self.evaluate(slots)?);
        self.teller.inserted(columns, slots.len(), out)
    }

    /// Batch mode: all groups. One of no keys has a result even without rows.
    fn tell_all(&mut self, out: &mut Output<'_>) -> Result<()> {
        if !self.complete || std::mem::replace(&mut self.told, true) {
            return Ok(());
        }
        if self.calls.keys.is_empty() && self.owns_whole {
            self.open(&[], 1)?;
        }
        let mut slots = Vec::new();
        let mut live = self.table.keys().live();
        while next_slots(&mut live, self.batch_rows, &mut slots) {
            self.tell_new(&slots, out)?;
        }
        Ok(())
    }

    /// Forgets groups that nothing has touched since then.
    fn forget(&mut self, since: i64) -> Result<()> {
        let Some(at) = self.places.touched else { return Ok(()) };
        let touched = Hidden::of(self.table.columns(), at)?;
        let is_idle = |slot: &u32| touched.get(*slot) <= since && !self.pending.is_marked(*slot);
        let idle: Vec<u32> = self.table.keys().live().filter(is_idle).collect();
        if let Some(at) = self.places.number.filter(|_| !idle.is_empty()) {
            let numbers = Hidden::of(self.table.columns(), at)?;
            let groups: HashSet<i64> = idle.iter().map(|slot| numbers.get(*slot)).collect();
            self.sets.iter_mut().try_for_each(|set| set.forget(&groups))?;
        }
        self.table.remove(&idle)
    }
}

impl Operator for GroupAggregateOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        match rows.partial {
            true => self.add_partial(&rows.batch),
            false => self.changes(&rows, out),
        }
    }

    fn looks_at_time(&self) -> bool {
        false
    }

    fn on_watermark(&mut self, watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        self.complete |= watermark == i64::MAX;
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref().filter(|_| !self.batch_mode)?.timer(self.table.is_empty())
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
        snapshot.table("groups", &mut self.table)?;
        for (at, set) in self.sets.iter_mut().enumerate() {
            set.snapshot(&format!("distinct-{at}"), snapshot)?;
        }
        snapshot.value("next-number", self.next_number);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("groups", &mut self.table)?;
        for (at, set) in self.sets.iter_mut().enumerate() {
            set.restore(&format!("distinct-{at}"), state)?;
        }
        // Groups of several shards may come together: their numbers differ in the upper half, or were given
        // by the same shard.
        let numbers = state.values("next-number");
        self.next_number = numbers.iter().filter_map(|it| it.as_i64()).max().unwrap_or(0);
        if state.is_reshaped() { self.number_groups() } else { Ok(()) }
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.sets.iter().map(DistinctTable::memory).sum::<usize>()
    }
}
