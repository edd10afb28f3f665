//! `OVER` in order of time.
//!
//! **Keeps** rows ahead of the watermark; for each partition a base for each call whose frame begins with
//! the partition, how many rows it has had, and the rows before that frames and `LAG` still see.
//!
//! **Emits** each row once, with its results, when the watermark reaches it; on processing time at once.
//!
//! **A watermark** brings out the rows that it passes, in order of time, rows of one time in the order in
//! which they came. Rows of one time see each other in a RANGE frame. A row behind it is late. **A
//! retraction** never comes: such inputs are [sorted](super::sorted).
//!
//! ```text
//!   rows ─► waiting, by time ─ watermark ─► by partition ─► results ─► rows
//!                                               │ ▲
//!                          bases, rows before ◄─┘ └─ bases, rows before
//! ```

use std::collections::{BTreeMap, HashSet, VecDeque};

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_aggregate::Accumulator;
use flott_plan::{Bound, Call as PlanCall, Frame, Over, OverOrder, OverValue};
use flott_state::{OperatorSnapshot, OperatorState, Table, hash_rows};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::calls::{Had, aggregate, input_of, mask_of, new_accumulator, place};
use super::evaluate::{Wide, wide};
use super::frames::{Frames, Ordered, Partition, internal};
use super::row_store::RowStore;
use crate::arrow_failed;
use crate::group::{DistinctTable, SetOf, Values, missing_column, pick};
use crate::hidden::Hidden;
use crate::idle::Idle;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, lowest, millis, positional_schema, reject_null_times, take_all};

/// Rows brought out together, about.
const PASS_ROWS: usize = 1 << 15;

/// A call whose frame begins with the partition.
struct Running {
    /// Which of the calls.
    call: usize,
    plan: PlanCall,
    frame: Frame,
    scratch: Box<dyn Accumulator>,
    /// The values that partitions have seen, if it is a call with DISTINCT.
    seen: Option<DistinctTable>,
}

/// What there is of a partition besides its state.
#[derive(Debug, Default)]
struct Kept {
    /// Rows that have come out and are still seen, in order.
    before: VecDeque<u32>,
    waiting: u32,
}

/// How far back rows are seen.
#[derive(Debug, Clone, Copy)]
struct Reach {
    rows: usize,
    millis: Option<i64>,
}

/// The operator.
pub(crate) struct TimedOver {
    keys: Vec<usize>,
    calls: Vec<OverValue>,
    running: Vec<Running>,
    /// Partitions: the bases of the running calls, then rows, groups, number, and when touched.
    table: Table<dyn Accumulator>,
    next_number: i64,
    rows: RowStore,
    kept: Vec<Kept>,
    /// Rows ahead of the watermark with their partitions, by time.
    waiting: BTreeMap<i64, Vec<(u32, u32)>>,
    /// Rows that have come out, in order of time, with their partitions: frames of a length leave them.
    passed: VecDeque<(i64, u32)>,
    reach: Reach,
    /// A partition whose rows are all gone is forgotten.
    bounded: bool,
    proctime: bool,
    time_column: usize,
    row_columns: usize,
    watermark: i64,
    schema: SchemaRef,
    idle: Option<Idle>,
    context: Context,
}

impl TimedOver {
    pub(crate) fn new(node: &Over, input: &Schema, context: &Context) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|field| field.data_type.arrow_type()).collect();
        let key_types = node.keys.iter().map(|key| types.get(*key).cloned().ok_or_else(missing_column));
        let key_types = key_types.collect::<Result<Vec<_>>>()?;
        let (mut running, mut bases) = (Vec::new(), Vec::new());
        for (at, value) in node.calls.iter().enumerate() {
            let OverValue::Aggregate(plan, frame) = value else { continue };
            if frame.start != Bound::UnboundedPreceding {
                continue;
            }
            bases.push(new_accumulator(plan, *frame)?);
            let distinct = plan.distinct && !matches!(plan.function.name, "MIN" | "MAX");
            running.push(Running {
                call: at,
                plan: plan.clone(),
                frame: *frame,
                scratch: new_accumulator(plan, *frame)?,
                seen: if distinct { Some(seen(plan, &types)?) } else { None },
            });
        }
        (0..4).for_each(|_| bases.push(Hidden::starting_at(0)));
        let reach = reach(&node.calls);
        let counts = |value: &OverValue| !matches!(value, OverValue::Shift { .. } | OverValue::Aggregate(..));
        let results = node.calls.iter().map(|value| result_type(value, &types));
        let results = results.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            keys: node.keys.clone(),
            calls: node.calls.clone(),
            bounded: running.is_empty() && reach.rows == 0 && !node.calls.iter().any(counts),
            running,
            table: Table::new(&key_types, bases)?,
            next_number: 0,
            rows: RowStore::new(&types)?,
            kept: Vec::new(),
            waiting: BTreeMap::new(),
            passed: VecDeque::new(),
            reach,
            proctime: node.order == OverOrder::Proctime,
            time_column: node.order_by.first().map(|it| it.0).unwrap_or_default(),
            row_columns: types.len(),
            watermark: i64::MIN,
            schema: positional_schema(types.into_iter().chain(results)),
            idle: node.ttl_millis.map(|ttl| Idle::new(ttl, context.now_millis.clone())),
            context: context.clone(),
        })
    }

    fn hidden(&self, at: usize) -> usize {
        self.running.len() + at
    }

    /// The partitions of rows, which come into being; and the hashes of their keys.
    fn partitions(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(Vec<u32>, Vec<u64>)> {
        let keys = pick(columns, &self.keys)?;
        let hashes = hash_rows(&keys, rows);
        let mut slots = Vec::with_capacity(rows);
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        let number_at = self.hidden(2);
        for slot in self.table.inserted().to_vec() {
            let upper = self.table.keys().hash_of(slot) & !0xffff_ffff;
            let number = upper as i64 | (self.next_number & 0xffff_ffff);
            self.next_number += 1;
            Hidden::of_mut(self.table.columns_mut(), number_at)?.set(slot, number);
        }
        let end = self.table.keys().slots_end();
        if end > self.kept.len() {
            self.kept.resize_with(end, Kept::default);
        }
        if let Some(idle) = &mut self.idle {
            let now = idle.now();
            let touched = Hidden::of_mut(self.table.columns_mut(), self.running.len() + 3)?;
            slots.iter().for_each(|slot| touched.set(*slot, now));
            self.table.touch(&slots);
        }
        Ok((slots, hashes))
    }

    /// Rows wait for the watermark.
    fn wait(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let timed = reject_null_times(batch, &[self.time_column], out)?;
        let mut batch = timed.unwrap_or_else(|| batch.clone());
        let mut times = millis(column(&batch, self.time_column)?)?;
        if times.iter().any(|time| *time <= self.watermark) {
            let late: BooleanArray = times.iter().map(|time| Some(*time <= self.watermark)).collect();
            (out.late)(&batch, Some(&late))?;
            let kept = arrow::compute::not(&late).map_err(arrow_failed)?;
            batch = filter_record_batch(&batch, &kept).map_err(arrow_failed)?;
            times = millis(column(&batch, self.time_column)?)?;
        }
        let own = batch.columns().get(..self.row_columns).ok_or_else(missing_column)?;
        let (partitions, hashes) = self.partitions(own, batch.num_rows())?;
        let slots = self.rows.push(&hashes, own, &times)?;
        for ((slot, partition), time) in slots.into_iter().zip(partitions).zip(times.iter()) {
            self.waiting.entry(*time).or_default().push((slot, partition));
            if let Some(kept) = self.kept.get_mut(partition as usize) {
                kept.waiting += 1;
            }
        }
        Ok(())
    }

    /// Rows come out as they come.
    fn at_once(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let now = (self.context.now_millis)().max(self.watermark);
        self.watermark = now;
        let own = batch.columns().get(..self.row_columns).ok_or_else(missing_column)?;
        let (partitions, hashes) = self.partitions(own, batch.num_rows())?;
        let slots = self.rows.push(&hashes, own, &vec![now; batch.num_rows()])?;
        for partition in &partitions {
            if let Some(kept) = self.kept.get_mut(*partition as usize) {
                kept.waiting += 1;
            }
        }
        let rows: Vec<(u32, u32)> = slots.into_iter().zip(partitions).collect();
        self.bring_out(&rows, out)?;
        self.leave(now)
    }

    fn pass(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        let mut rows: Vec<(u32, u32)> = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= watermark) {
            rows.extend(entry.remove());
            if rows.len() >= PASS_ROWS {
                self.bring_out(&rows, out)?;
                rows.clear();
            }
        }
        self.bring_out(&rows, out)?;
        self.leave(watermark)
    }

    /// Rows with their partitions, in order of time; all of a time.
    fn bring_out(&mut self, rows: &[(u32, u32)], out: &mut Output<'_>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_key(|at| rows.get(*at as usize).map(|row| row.1));
        let (mut slots, mut partitions, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let mut wanted = vec![0_u32; rows.len()];
        let sorted: Vec<(u32, u32, u32)> = order
            .iter()
            .filter_map(|at| rows.get(*at as usize).map(|(slot, partition)| (*at, *slot, *partition)))
            .collect();
        for run in sorted.chunk_by(|a, b| a.2 == b.2) {
            let Some(&(_, _, partition)) = run.first() else { continue };
            let first = slots.len();
            if let Some(kept) = self.kept.get(partition as usize) {
                slots.extend(kept.before.iter().copied());
            }
            let from = slots.len();
            for (at, slot, _) in run {
                if let Some(place) = wanted.get_mut(*at as usize) {
                    *place = slots.len() as u32;
                }
                slots.push(*slot);
            }
            partitions.push(Partition { first, wanted: from, end: slots.len() });
            owners.push(partition);
        }
        let columns = self.rows.get(&slots)?;
        let ties = self.ties(&slots, &partitions);
        let key = Some((self.time_column, false));
        let ordered = Ordered { columns: &columns, partitions: &partitions, ties: &ties, key };
        let results = self.results(&ordered, &owners)?;
        let mut back = vec![0_u32; rows.len()];
        for (at, row) in order.iter().enumerate() {
            if let Some(place) = back.get_mut(*row as usize) {
                *place = at as u32;
            }
        }
        let mut output = take_all(&columns, &UInt32Array::from(wanted))?;
        output.extend(take_all(&results, &UInt32Array::from(back))?);
        (out.emit)(Rows::insert(batch(&self.schema, output, rows.len())?))?;
        self.keep(rows)
    }

    /// Which rows are of the time of the one before. On processing time each has its own.
    fn ties(&self, slots: &[u32], partitions: &[Partition]) -> Vec<bool> {
        let mut ties = vec![false; slots.len()];
        if self.proctime && self.reach.millis.is_none() {
            return ties;
        }
        for partition in partitions {
            let Some(slots) = slots.get(partition.first..partition.end) else { continue };
            for (at, pair) in slots.windows(2).enumerate() {
                if let ([a, b], Some(tie)) = (pair, ties.get_mut(partition.first + at + 1)) {
                    *tie = self.rows.time(*a) == self.rows.time(*b);
                }
            }
        }
        ties
    }

    /// A column for each call. `owners`: the partitions' slots.
    fn results(&mut self, ordered: &Ordered<'_>, owners: &[u32]) -> Result<Vec<ArrayRef>> {
        let (rows_at, groups_at, number_at) = (self.hidden(0), self.hidden(1), self.hidden(2));
        let columns = self.table.columns();
        let (rows, groups) = (Hidden::of(columns, rows_at)?, Hidden::of(columns, groups_at)?);
        let had: Vec<Had> =
            owners.iter().map(|slot| Had { rows: rows.get(*slot), groups: groups.get(*slot) }).collect();
        let numbers = Hidden::of(columns, number_at)?;
        let numbers: Vec<i64> = owners.iter().map(|slot| numbers.get(*slot)).collect();
        let mut results: Vec<Option<ArrayRef>> = vec![None; self.calls.len()];
        for (base, running) in self.running.iter_mut().enumerate() {
            let frames = Frames::new(ordered, running.frame)?;
            let mut input = input_of(&running.plan, ordered.columns)?;
            if let Some(seen) = &mut running.seen {
                input.filter = Some(new_values(seen, ordered, &numbers, &input.args, input.filter.as_ref())?);
                input.distinct = false;
            }
            let base = self.table.columns_mut().get_mut(base).ok_or_else(missing_column)?;
            let mut of = Wide { base: base.as_mut(), scratch: running.scratch.as_mut(), slots: owners };
            let result = wide(&mut of, ordered.partitions, &frames, &input, true)?;
            if let Some(place) = results.get_mut(running.call) {
                *place = Some(result);
            }
        }
        for (value, result) in self.calls.iter().zip(&mut results) {
            match value {
                OverValue::Aggregate(..) if result.is_some() => {}
                OverValue::Aggregate(plan, frame) => *result = Some(aggregate(plan, *frame, ordered)?),
                value => *result = Some(place(value, ordered, &had)?),
            }
        }
        for (at, (partition, owner)) in ordered.partitions.iter().zip(owners).enumerate() {
            let had = had.get(at).copied().unwrap_or_default();
            let new = (partition.wanted..partition.end)
                .filter(|row| *row == partition.wanted || !ordered.is_tie(*row));
            let columns = self.table.columns_mut();
            let groups = had.groups.saturating_add(new.count() as i64);
            let rows = had.rows.saturating_add((partition.end - partition.wanted) as i64);
            Hidden::of_mut(columns, rows_at)?.set(*owner, rows);
            Hidden::of_mut(columns, groups_at)?.set(*owner, groups);
        }
        self.table.touch(owners);
        results.into_iter().collect::<Option<_>>().ok_or_else(|| internal("a call has no result"))
    }

    /// Rows have come out: they stay as long as they are seen.
    fn keep(&mut self, rows: &[(u32, u32)]) -> Result<()> {
        let stays = self.reach.rows > 0 || self.reach.millis.is_some();
        let mut gone = Vec::new();
        let mut done = Vec::new();
        for (slot, partition) in rows {
            let Some(kept) = self.kept.get_mut(*partition as usize) else { continue };
            kept.waiting = kept.waiting.saturating_sub(1);
            if !stays {
                gone.push(*slot);
                continue;
            }
            kept.before.push_back(*slot);
            done.push(*slot);
            if self.reach.millis.is_some() {
                self.passed.push_back((self.rows.time(*slot), *partition));
            } else if kept.before.len() > self.reach.rows {
                gone.extend(kept.before.pop_front());
            }
        }
        self.rows.done(&done)?;
        self.rows.remove(&gone)
    }

    /// Forgets rows that no frame sees any more, and partitions that have none.
    fn leave(&mut self, time: i64) -> Result<()> {
        let Some(millis) = self.reach.millis else { return Ok(()) };
        let since = time.saturating_sub(millis);
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        while let Some((_, partition)) = self.passed.front().copied().filter(|(time, _)| *time < since) {
            self.passed.pop_front();
            let Some(kept) = self.kept.get_mut(partition as usize) else { continue };
            while kept.before.len() > self.reach.rows
                && kept.before.front().is_some_and(|slot| self.rows.time(*slot) < since)
            {
                gone.extend(kept.before.pop_front());
            }
            if self.bounded && kept.before.is_empty() && kept.waiting == 0 {
                empty.push(partition);
            }
        }
        self.rows.remove(&gone)?;
        self.table.remove(&empty)
    }

    /// Forgets partitions that nothing has touched since then.
    fn forget(&mut self, since: i64) -> Result<()> {
        let touched = Hidden::of(self.table.columns(), self.hidden(3))?;
        let kept = |slot: u32| self.kept.get(slot as usize);
        let is_idle =
            |slot: &u32| touched.get(*slot) <= since && kept(*slot).is_none_or(|kept| kept.waiting == 0);
        let idle: Vec<u32> = self.table.keys().live().filter(is_idle).collect();
        let numbers = Hidden::of(self.table.columns(), self.hidden(2))?;
        let groups: HashSet<i64> = idle.iter().map(|slot| numbers.get(*slot)).collect();
        let mut seen = self.running.iter_mut().filter_map(|it| it.seen.as_mut());
        seen.try_for_each(|seen| seen.forget(&groups))?;
        for partition in &idle {
            if let Some(kept) = self.kept.get_mut(*partition as usize) {
                let before: Vec<u32> = kept.before.drain(..).collect();
                self.rows.remove(&before)?;
            }
        }
        if !idle.is_empty() {
            let gone: HashSet<u32> = idle.iter().copied().collect();
            self.passed.retain(|(_, partition)| !gone.contains(partition));
        }
        self.table.remove(&idle)
    }

    /// Finds out from the rows which wait, and which are still seen.
    fn rebuild(&mut self) -> Result<()> {
        let slots = self.rows.in_order()?;
        let columns = self.rows.get(&slots)?;
        let keys = pick(&columns, &self.keys)?;
        let mut partitions = Vec::new();
        self.table.find_or_insert(&keys, &hash_rows(&keys, slots.len()), &mut partitions)?;
        self.kept.resize_with(self.table.keys().slots_end(), Kept::default);
        let mut rows: Vec<(i64, u32, u32)> = Vec::with_capacity(slots.len());
        for (slot, partition) in slots.into_iter().zip(partitions) {
            rows.push((self.rows.time(slot), slot, partition));
        }
        rows.sort_by_key(|row| row.0);
        for (time, slot, partition) in rows {
            let Some(kept) = self.kept.get_mut(partition as usize) else { continue };
            if !self.rows.is_done(slot) {
                kept.waiting += 1;
                self.waiting.entry(time).or_default().push((slot, partition));
                continue;
            }
            kept.before.push_back(slot);
            if self.reach.millis.is_some() {
                self.passed.push_back((time, partition));
            }
        }
        Ok(())
    }
}

/// How far back these calls see rows that a base doesn't have.
fn reach(calls: &[OverValue]) -> Reach {
    let mut reach = Reach { rows: 0, millis: None };
    for call in calls {
        match call {
            OverValue::Shift { back, .. } => {
                reach.rows = reach.rows.max(usize::try_from(*back).unwrap_or(0));
            }
            OverValue::Aggregate(_, frame) => match frame.start {
                Bound::Preceding(rows) if frame.rows => {
                    reach.rows = reach.rows.max(usize::try_from(rows).unwrap_or(0));
                }
                Bound::Preceding(millis) => reach.millis = Some(reach.millis.unwrap_or(0).max(millis)),
                _ => {}
            },
            _ => {}
        }
    }
    reach
}

/// The type of a call's column.
pub(super) fn result_type(value: &OverValue, types: &[ArrowType]) -> Result<ArrowType> {
    Ok(match value {
        OverValue::Aggregate(call, _) => call.data_type.arrow_type(),
        OverValue::Shift { value, .. } => types.get(*value).cloned().ok_or_else(missing_column)?,
        OverValue::PercentRank | OverValue::CumeDist => ArrowType::Float64,
        _ => ArrowType::Int64,
    })
}

fn seen(call: &PlanCall, types: &[ArrowType]) -> Result<DistinctTable> {
    let of = call.args.iter().map(|arg| types.get(*arg).cloned().ok_or_else(missing_column));
    let set = SetOf { args: call.args.clone(), types: of.collect::<Result<_>>()?, filters: vec![None] };
    DistinctTable::new(&set, false)
}

/// TRUE in the rows whose value is new to their partition.
fn new_values(
    seen: &mut DistinctTable,
    ordered: &Ordered<'_>,
    numbers: &[i64],
    args: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<BooleanArray> {
    let counts = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    let (mut rows, mut groups) = (Vec::new(), Vec::new());
    for (partition, number) in ordered.partitions.iter().zip(numbers) {
        for row in (partition.wanted..partition.end).filter(|row| counts(*row)) {
            rows.push(row as u32);
            groups.push(*number);
        }
    }
    let args = take_all(args, &UInt32Array::from(rows.clone()))?;
    let fresh = seen.add(&Values { bits: &vec![1; groups.len()], groups, args: &args })?;
    let fresh = fresh.into_iter().flatten().filter_map(|at| rows.get(at as usize).copied());
    Ok(mask_of(ordered.ties.len(), &fresh.collect::<Vec<_>>()))
}

impl Operator for TimedOver {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        if rows.kinds.is_some_and(|kinds| kinds.values().iter().any(|kind| *kind != 0)) {
            let message = "OVER in order of time was given changes";
            return Err(Diagnostic::error(Code::Internal, message));
        }
        if self.proctime { self.at_once(&rows.batch, out) } else { self.wait(&rows.batch, out) }
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if self.proctime || watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.pass(watermark, out)
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.timer(self.table.is_empty())
    }

    fn on_time(&mut self, now_millis: i64, _out: &mut Output<'_>) -> Result<()> {
        match self.idle.as_mut().and_then(|idle| idle.sweep(now_millis)) {
            Some(since) => self.forget(since),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        self.rows.snapshot(snapshot)?;
        snapshot.table("partitions", &mut self.table)?;
        for (at, seen) in self.running.iter_mut().filter_map(|it| it.seen.as_mut()).enumerate() {
            seen.snapshot(&format!("distinct-{at}"), snapshot)?;
        }
        snapshot.value("next-number", self.next_number);
        snapshot.value("watermark", self.watermark);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.rows.restore(state)?;
        state.table("partitions", &mut self.table)?;
        for (at, seen) in self.running.iter_mut().filter_map(|it| it.seen.as_mut()).enumerate() {
            seen.restore(&format!("distinct-{at}"), state)?;
        }
        let numbers = state.values("next-number");
        self.next_number = numbers.iter().filter_map(|it| it.as_i64()).max().unwrap_or(0);
        self.watermark = lowest(state, "watermark");
        self.rebuild()
    }

    fn memory(&self) -> usize {
        let seen = self.running.iter().filter_map(|it| it.seen.as_ref());
        let waiting: usize = self.waiting.values().map(|rows| rows.capacity() * 8 + 32).sum();
        let before: usize = self.kept.iter().map(|kept| kept.before.capacity() * 4).sum();
        self.rows.memory()
            + self.table.memory()
            + seen.map(DistinctTable::memory).sum::<usize>()
            + waiting
            + before
            + self.passed.capacity() * 16
    }
}
