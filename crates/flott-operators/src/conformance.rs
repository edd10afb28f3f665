//! What every operator must do: stopped at any barrier and taken up again at another parallelism, it
//! gives the rows that it would have given.
//!
//! ```text
//!   steps ─► shards ─► snapshot ─► segments in memory ─► restore at another parallelism ─► steps ─► rows
//!   steps ─► model, row by row ─────────────────────────────────────────────────────────► the same rows
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int8Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use flott_expr::EvalContext;
use flott_plan::OperatorNode;
use flott_state::manifest::OperatorEntry;
use flott_state::{
    KeyGroups, MemoryStorage, OperatorSnapshot, OperatorState, Segment, Storage, chain, hash_rows,
};
use flott_types::{Result, Schema};

use crate::{
    Context, LaneKeys, MemoryBudget, Operator, Output, Rows, SpillSettings, SpillingOperator, build,
    pre_aggregation,
};

/// What happens to an operator.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Rows of an input.
    Rows(usize, RecordBatch),
    /// Changes of an input.
    Changes(usize, RecordBatch, Int8Array),
    /// What is gathered is told.
    Flush,
    /// What waits for something outside is looked after.
    Poll,
    /// Time comes this far.
    Watermark(i64),
    /// The clock comes this far.
    Clock(i64),
    /// A barrier, after which the job goes on at this parallelism.
    Restart(usize),
}

/// What came out: rows as text, sorted; late rows; rejected rows.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<String>,
    pub(crate) late: u64,
    pub(crate) rejected: u64,
    /// Rows of state that each snapshot wrote.
    pub(crate) written: Vec<usize>,
    /// Changes, in order: kind and row.
    pub(crate) changes: Vec<(i8, String)>,
    /// Retractions of rows never seen.
    pub(crate) unmatched: u64,
}

impl Outcome {
    /// The rows that are there in the end. A row that is taken back without being there is a bug.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        self.rows.iter().for_each(|row| *counts.entry(row).or_default() += 1);
        for (kind, row) in &self.changes {
            let count = counts.entry(row).or_default();
            *count += if matches!(kind, 0 | 2) { 1 } else { -1 };
            assert!(*count >= 0, "{row} is taken back too often: {:?}", self.changes);
        }
        let rows = counts.into_iter();
        rows.flat_map(|(row, count)| std::iter::repeat_n(row.to_string(), count as usize)).collect()
    }
}

impl Outcome {
    /// What rows and changes come to; a row that is taken back without being there counts below zero.
    fn net(&self) -> BTreeMap<&str, i64> {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        self.rows.iter().for_each(|row| *counts.entry(row).or_default() += 1);
        for (kind, row) in &self.changes {
            *counts.entry(row).or_default() += if matches!(kind, 0 | 2) { 1 } else { -1 };
        }
        counts.retain(|_, count| *count != 0);
        counts
    }
}

/// An operator of a job, on all its shards.
pub(crate) struct Job {
    pub(crate) node: OperatorNode,
    pub(crate) inputs: Vec<Schema>,
    /// The columns by which each input's rows go to shards.
    pub(crate) keys: Vec<Vec<usize>>,
    pub(crate) two_phase: bool,
    pub(crate) time_zone: chrono_tz::Tz,
    /// The table that a look-up asks.
    pub(crate) lookup: Option<crate::Lookups>,
}

struct Running<'a> {
    job: &'a Job,
    /// Memory for state; with so little, slices are away most of the time.
    budget: Option<usize>,
    scratch: Arc<MemoryStorage>,
    shards: Vec<Box<dyn Operator>>,
    /// The phase before the exchange, and where its partial results have the keys.
    first: Option<(Box<dyn Operator>, Vec<usize>)>,
    clock: Arc<AtomicI64>,
    storage: Arc<MemoryStorage>,
    operators: BTreeMap<String, OperatorEntry>,
    epoch: u64,
    outcome: Outcome,
}

const NAME: &str = "operator";

impl Job {
    pub(crate) fn run(&self, shards: usize, steps: &[Step]) -> Outcome {
        self.run_with(shards, steps, &|| (), &[])
    }

    /// Rows as they came out, not sorted.
    pub(crate) fn run_in_order(&self, shards: usize, steps: &[Step]) -> Outcome {
        self.run_through(shards, steps, &|| (), &[])
    }

    /// With something that happens outside between the first steps and the last.
    pub(crate) fn run_with(
        &self,
        shards: usize,
        steps: &[Step],
        outside: &dyn Fn(),
        last: &[Step],
    ) -> Outcome {
        let mut outcome = self.run_through(shards, steps, outside, last);
        outcome.rows.sort();
        outcome
    }

    fn run_through(&self, shards: usize, steps: &[Step], outside: &dyn Fn(), last: &[Step]) -> Outcome {
        let mut running = self.running(None);
        running.start(shards).unwrap();
        for step in steps {
            running.step(step).unwrap();
        }
        outside();
        for step in last {
            running.step(step).unwrap();
        }
        let outcome = running.outcome.clone();
        if self.lookup.is_none() && self.keys.iter().all(|keys| !keys.is_empty()) {
            running.settle().unwrap();
            let steps = steps.iter().chain(last);
            self.same_with_less_memory(shards, steps, running.outcome);
        }
        outcome
    }

    /// The same comes out in the end if nearly all state is on disk and rows wait for it.
    fn same_with_less_memory<'a>(
        &self,
        shards: usize,
        steps: impl Iterator<Item = &'a Step>,
        expected: Outcome,
    ) {
        let mut running = self.running(Some(1));
        running.start(shards).unwrap();
        for step in steps {
            if matches!(step, Step::Clock(_)) {
                // The clock's reading is part of some results.
                running.settle().unwrap();
            }
            running.step(step).unwrap();
        }
        running.settle().unwrap();
        let actual = running.outcome;
        // What is gathered differs, so changes are told in other steps. Without what was before them they
        // can't be added up here.
        let kinds = |it: &Outcome| it.changes.iter().fold(0, |seen, (kind, _)| seen | 1 << *kind);
        let adds_up = |it: &Outcome| kinds(it) & 0b0110 != 0b0100;
        if adds_up(&actual) && adds_up(&expected) {
            assert_eq!(actual.net(), expected.net(), "with little memory");
        }
        let counts = |it: &Outcome| (it.late, it.rejected, it.unmatched);
        assert_eq!(counts(&actual), counts(&expected), "late, rejected, unmatched with little memory");
        drop(running.shards);
        assert_eq!(running.scratch.list("").unwrap(), Vec::<String>::new(), "files are left");
    }

    fn running(&self, budget: Option<usize>) -> Running<'_> {
        Running {
            job: self,
            budget,
            scratch: Arc::new(MemoryStorage::new()),
            shards: Vec::new(),
            first: None,
            clock: Arc::new(AtomicI64::new(0)),
            storage: Arc::new(MemoryStorage::new()),
            operators: BTreeMap::new(),
            epoch: 0,
            outcome: Outcome::default(),
        }
    }

    /// Of a job with one shard.
    pub(crate) fn context_of_one(&self) -> Context {
        self.context(&Arc::new(AtomicI64::new(0)), 0, 1)
    }

    fn context(&self, clock: &Arc<AtomicI64>, shard: usize, shards: usize) -> Context {
        let clock = clock.clone();
        Context {
            eval: EvalContext { now_micros: 0, time_zone: self.time_zone, random_seed: 1, watermark: None },
            groups: KeyGroups::default(),
            owned: KeyGroups::default().range(shard, shards),
            batch_rows: 7,
            now_millis: Arc::new(move || clock.load(Ordering::SeqCst)),
            batch_mode: false,
            lookup: self.lookup.clone(),
        }
    }
}

/// Calls an operator and takes down what it says.
fn call(
    operator: &mut dyn Operator,
    outcome: &mut Outcome,
    emit: &mut dyn FnMut(Rows) -> Result<()>,
    action: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<()>,
) -> Result<()> {
    let (mut late, mut rejected, mut late_partial, mut between) = (0, 0, 0, 0);
    let (mut unmatched, mut replayed) = (0, Vec::new());
    let mut count_late = |batch: &RecordBatch, rows: Option<&BooleanArray>| {
        late += rows.map_or(batch.num_rows(), BooleanArray::true_count) as u64;
        Ok(())
    };
    let mut count_rejected = |_: &RecordBatch, rows: &BooleanArray, _: &str| {
        rejected += rows.true_count() as u64;
        Ok(())
    };
    let mut out = Output {
        emit,
        late: &mut count_late,
        reject: &mut count_rejected,
        late_partial: &mut late_partial,
        between: &mut between,
        unmatched: &mut unmatched,
        lane: &Cell::new(0),
        replayed: &mut replayed,
        given_up: &|| false,
    };
    action(operator, &mut out)?;
    for it in replayed {
        late_partial += it.late_partial;
        unmatched += it.unmatched;
    }
    outcome.late += late + late_partial;
    outcome.rejected += rejected;
    outcome.unmatched += unmatched;
    Ok(())
}

impl Running<'_> {
    fn start(&mut self, shards: usize) -> Result<()> {
        self.shards.clear();
        if self.job.two_phase {
            let context = self.job.context(&self.clock, 0, 1);
            self.first = Some(pre_aggregation(&self.job.node, &self.job.inputs[0], &context)?);
        }
        for shard in 0..shards {
            let context = self.job.context(&self.clock, shard, shards);
            let mut operator = self.operator(shard, &context)?;
            let entry = self.operators.get(NAME).cloned().unwrap_or_default();
            operator.restore(&OperatorState::new(NAME, entry, context.owned, self.storage.clone()))?;
            self.shards.push(operator);
        }
        Ok(())
    }

    fn operator(&self, shard: usize, context: &Context) -> Result<Box<dyn Operator>> {
        let Some(budget) = self.budget else { return build(&self.job.node, &self.job.inputs, context) };
        let partial = self.first.as_ref().map(|first| first.1.clone()).unwrap_or_default();
        let lanes = self.job.keys.iter();
        let lanes = lanes.map(|keys| LaneKeys { whole: keys.clone(), partial: partial.clone() });
        let settings = SpillSettings {
            budget: MemoryBudget::new(budget),
            storage: self.scratch.clone(),
            name: format!("{}-{shard}", self.epoch),
            lanes: lanes.collect(),
            checkpoints: true,
            flush_rows: 3,
        };
        let mut operator = SpillingOperator::new(&self.job.node, &self.job.inputs, context, settings)?;
        operator.begin(self.epoch + 1);
        Ok(Box::new(operator))
    }

    /// What is gathered comes out, and what waits.
    fn settle(&mut self) -> Result<()> {
        for shard in 0..self.shards.len() {
            let mut settled = false;
            while !settled {
                self.one(shard, |operator, out| {
                    settled = operator.settle(out)?;
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Rows(input, batch) if self.job.two_phase => self.in_two_phases(*input, batch),
            Step::Rows(input, batch) => {
                let keys = self.job.keys[*input].clone();
                self.send(*input, Rows::insert(batch.clone()), &keys)
            }
            Step::Changes(input, batch, kinds) => {
                let keys = self.job.keys[*input].clone();
                self.send(*input, Rows::changes(batch.clone(), Some(kinds.clone())), &keys)
            }
            Step::Flush => self.all(|operator, out| operator.flush(out)),
            Step::Watermark(watermark) => self.all(|operator, out| {
                operator.flush(out)?;
                operator.on_watermark(*watermark, out)?;
                operator.flush(out)
            }),
            Step::Poll => self.all(|operator, out| operator.poll(out).map(drop)),
            Step::Clock(now) => {
                self.clock.store(*now, Ordering::SeqCst);
                self.all(|operator, out| match operator.next_timer() {
                    Some(timer) if timer <= *now => operator.on_time(*now, out),
                    _ => Ok(()),
                })
            }
            Step::Restart(shards) => {
                self.settle()?;
                self.snapshot()?;
                self.start(*shards)
            }
        }
    }

    /// To each shard the rows of its key groups.
    fn send(&mut self, input: usize, rows: Rows, keys: &[usize]) -> Result<()> {
        let columns: Vec<ArrayRef> = keys.iter().map(|key| rows.batch.column(*key).clone()).collect();
        let groups = KeyGroups::default();
        let hashes = hash_rows(&columns, rows.batch.num_rows());
        let shards = self.shards.len();
        for shard in 0..shards {
            let mine: BooleanArray =
                hashes.iter().map(|hash| Some(groups.shard(groups.of(*hash), shards) == shard)).collect();
            let batch = filter_record_batch(&rows.batch, &mine).unwrap();
            let kinds = rows.kinds.as_ref().map(|kinds| filter(kinds, &mine).unwrap().as_primitive().clone());
            let rows = Rows { batch, kinds, ..rows.clone() };
            self.one(shard, |operator, out| {
                out.lane.set(input);
                operator.on_rows(input, rows, out)
            })?;
        }
        Ok(())
    }

    fn in_two_phases(&mut self, input: usize, batch: &RecordBatch) -> Result<()> {
        let Some((first, partial_keys)) = &mut self.first else { return Ok(()) };
        let partial_keys = partial_keys.clone();
        let mut arrived = Vec::new();
        let mut keep = |rows: Rows| {
            arrived.push(rows);
            Ok(())
        };
        call(first.as_mut(), &mut self.outcome, &mut keep, |operator, out| {
            let half = batch.num_rows() / 2;
            operator.on_rows(0, Rows::insert(batch.slice(0, half)), out)?;
            operator.on_rows(0, Rows::insert(batch.slice(half, batch.num_rows() - half)), out)?;
            operator.flush(out)
        })?;
        for rows in arrived {
            let keys = if rows.partial { partial_keys.clone() } else { self.job.keys[input].clone() };
            self.send(input, rows, &keys)?;
        }
        Ok(())
    }

    fn all(&mut self, action: impl Fn(&mut dyn Operator, &mut Output<'_>) -> Result<()>) -> Result<()> {
        (0..self.shards.len()).try_for_each(|shard| self.one(shard, &action))
    }

    fn one(
        &mut self,
        shard: usize,
        action: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut lines, mut changes) = (Vec::new(), Vec::new());
        let mut keep = |rows: Rows| {
            let rows_as_text = text(&rows.batch);
            match &rows.kinds {
                Some(kinds) => changes.extend(kinds.values().iter().copied().zip(rows_as_text)),
                None => lines.extend(rows_as_text),
            }
            Ok(())
        };
        call(self.shards[shard].as_mut(), &mut self.outcome, &mut keep, action)?;
        self.outcome.rows.extend(lines);
        self.outcome.changes.extend(changes);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<()> {
        self.epoch += 1;
        let (shards, mut parts, mut written) = (self.shards.len(), Vec::new(), 0);
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let mut snapshot = OperatorSnapshot::new(self.epoch, KeyGroups::default(), BTreeMap::new());
            shard.snapshot(&mut snapshot)?;
            let tables = snapshot.tables.values().flat_map(|table| &table.parts);
            written += tables.map(|part| part.changes.rows()).sum::<usize>();
            let owned = KeyGroups::default().range(at, shards);
            let name = format!("segment-{}-{at}", self.epoch);
            let spilled = std::mem::take(&mut snapshot.spilled);
            let mut segments = vec![Segment::encode(name.clone(), &owned, [(NAME.to_owned(), snapshot)])?];
            for (piece, part) in spilled.into_iter().enumerate() {
                segments.push(part.segment(format!("{name}-{piece}"), NAME)?);
            }
            for segment in segments {
                self.storage.write(&segment.name, &segment.bytes).unwrap();
                parts.push(segment.part);
            }
        }
        self.outcome.written.push(written);
        self.operators = chain::advance(Some(&self.operators), &parts);
        Ok(())
    }
}

/// A batch's rows as text.
pub(crate) fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}
