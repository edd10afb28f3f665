//! An operator with state on one shard: what comes in along its lanes, and what goes out.
//!
//! ```text
//!   LaneReader ─┐ rows ──────────────► on_rows ─┐
//!   LaneReader ─┤ least watermark ───► on_watermark ├─► EdgeTask, EdgeTask …
//!   LaneReader ─┘ all at a barrier ──► snapshot ┘
//! ```

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arrow::{array::BooleanArray, compute::filter_record_batch, record_batch::RecordBatch};
use flott_connector::{Origin, RecordPart, Stage};
use flott_operators::{Operator, Output, Replayed, Rows};
use flott_state::{OperatorSnapshot, OperatorState};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};

use super::{
    bad_records::{Describe, Failed, Policy},
    edge::EdgeTask,
    origin,
};
use crate::{
    accounting::{Counters, add},
    activity::OperatorActivity,
    exchange::{LaneReader, Taken},
    failure::Failure,
    job::MiniBatch,
    progress::{END_OF_TIME, NO_WATERMARK},
    sink::SinkTask,
};

/// Messages taken at once before the shard looks at what is downstream again.
const MESSAGES_AT_ONCE: usize = 64;

/// An input of an operator.
pub struct InputLane {
    /// Which input.
    pub input: usize,
    /// The edge that it belongs to, in the counters.
    pub edge: usize,
    /// Names the lane in checkpoints.
    pub stable_id: String,
    /// Where it is read.
    pub reader: LaneReader,
    /// What happens to late and misplaced rows.
    pub outcasts: Outcasts,
}

/// What happens to rows that an operator can't take.
pub struct Outcasts {
    /// The policy of the source that the rows come from; rows that come from operators have none
    /// and stop the run.
    pub policy: Option<Policy>,
    /// `'late-rows' = 'dead-letter'`: late rows carry their origin in their last column.
    pub late_to_dead_letters: bool,
    /// Writes a row as JSON.
    pub describe: Describe,
    /// The operator's name.
    pub operator: String,
    /// The sinks behind it.
    pub sinks: Vec<String>,
}

/// An operator.
pub struct OperatorTask {
    /// Index in the plan's operators.
    pub index: usize,
    /// Names it in checkpoints.
    pub stable_id: String,
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// Its inputs.
    pub lanes: Vec<InputLane>,
    /// Positions in the shard's edges of those that leave it.
    pub out: Vec<usize>,
    /// Where time stands for it.
    pub watermark: i64,
    /// Where time stands for those behind it, as they were told.
    pub told: i64,
    /// It holds time back until the end (`execution.runtime-mode = 'batch'`).
    pub batch_mode: bool,
    /// All its sources are idle.
    pub idle: bool,
    /// The end of time has come to it.
    pub closed: bool,
    /// Nothing comes any more.
    pub ended: bool,
    /// It has let the barrier of the epoch under way through.
    pub passed: bool,
    /// What it has taken and not yet told the results of.
    pub gathered: Gathered,
}

/// Rows taken since the last flush.
#[derive(Debug, Clone, Copy)]
pub struct Gathered {
    /// How long and how many.
    pub limit: MiniBatch,
    rows: u64,
    since: Duration,
}

impl Gathered {
    /// Nothing yet.
    pub fn new(limit: MiniBatch) -> Self {
        Self { limit, rows: 0, since: Duration::ZERO }
    }
    fn add(&mut self, rows: u64, now: Duration) {
        if self.rows == 0 {
            self.since = now;
        }
        self.rows += rows;
    }
    fn is_due(&self, now: Duration) -> bool {
        let long = || now.saturating_sub(self.since) >= self.limit.latency;
        self.rows > 0 && (self.rows >= self.limit.rows || long())
    }
}

/// How far an operator has come with what must come out.
enum Settled {
    /// All is out.
    All,
    /// Some of it.
    Some,
    /// Those behind are full.
    Blocked,
}

/// What an operator does with a barrier.
pub enum AtBarrier {
    /// It hasn't come on all lanes yet, or those behind are full, or it is through.
    Waits,
    /// Something that must come out before it did.
    Moves,
    /// It is through now: what has changed.
    Passed(OperatorSnapshot),
}

/// What an operator works with on its shard.
pub struct Around<'a> {
    /// All edges of the shard.
    pub edges: &'a mut [EdgeTask],
    /// All sinks of the shard.
    pub sinks: &'a mut [SinkTask],
    /// The shard's counters.
    pub counters: &'a Arc<Counters>,
    /// The clock's reading, for how long rows are gathered.
    pub now: Duration,
    /// Ends long work, once it is set.
    pub failure: &'a Failure,
}

impl OperatorTask {
    /// Says what it is doing to whoever asks.
    pub(crate) fn tells(&self, activity: &OperatorActivity) {
        activity.watermark.store(self.watermark, Relaxed);
        activity.gathered.store(self.gathered.rows, Relaxed);
    }

    /// Whether what it would emit has to wait.
    pub fn is_blocked(&self, around: &mut Around<'_>) -> bool {
        self.out.iter().any(|&edge| around.edges[edge].is_blocked(around.sinks))
    }

    /// Takes what has come. Whether there was anything.
    ///
    /// # Errors
    /// What stops the run.
    pub fn poll(&mut self, around: &mut Around<'_>) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut busy = self.flush_if_due(around)?;
        busy |= self.take_answers(around)?;
        for lane in 0..self.lanes.len() {
            if !self.operator.is_ready() {
                break;
            }
            for _ in 0..MESSAGES_AT_ONCE {
                match self.lanes[lane].reader.take() {
                    Taken::Rows(rows) => {
                        busy = true;
                        self.rows(lane, rows, around)?;
                        if self.is_blocked(around) {
                            return Ok(true);
                        }
                        if !self.operator.is_ready() {
                            break;
                        }
                    }
                    Taken::Time => {
                        busy = true;
                        self.advance(around)?;
                        if self.is_blocked(around) {
                            return Ok(true);
                        }
                    }
                    Taken::Nothing | Taken::Barrier(_) => break,
                    Taken::End => {
                        busy |= self.advance(around)?;
                        break;
                    }
                }
            }
        }
        if self.lanes.iter().all(|lane| lane.reader.is_ended()) && !self.has_to_wait() {
            return Ok(self.end(around)? || busy);
        }
        Ok(busy)
    }

    /// Whether rows wait for something outside before the end can be told. A run that is stopped doesn't
    /// wait: they are in its last checkpoint.
    fn has_to_wait(&self) -> bool {
        self.operator.is_waiting() && self.lanes.iter().all(|lane| lane.reader.is_drained())
    }

    /// Lets the operator go on with rows that wait for something outside.
    fn take_answers(&mut self, around: &mut Around<'_>) -> Result<bool> {
        let Self { operator, out, lanes, .. } = self;
        let mut moved = false;
        around.call(out, lanes, None, |output| {
            moved = operator.poll(output)?;
            Ok(())
        })?;
        if moved {
            self.tell(around)?;
        }
        Ok(moved)
    }

    /// Nothing of what it has emitted stays in a pre-aggregation behind it.
    fn hand_over(&mut self, around: &mut Around<'_>) -> Result<()> {
        self.out.iter().try_for_each(|&edge| around.edges[edge].hand_over(around.sinks, around.counters))
    }

    /// Tells those behind it how far time has come.
    fn tell(&mut self, around: &mut Around<'_>) -> Result<()> {
        let reached = self.operator.output_watermark(self.watermark);
        if reached <= self.told {
            return self.hand_over(around);
        }
        self.told = reached;
        for &edge in &self.out {
            around.edges[edge].watermark(reached, around.sinks, around.counters)?;
        }
        Ok(())
    }

    fn flush_if_due(&mut self, around: &mut Around<'_>) -> Result<bool> {
        if self.batch_mode || !self.gathered.is_due(around.now) {
            return Ok(false);
        }
        self.flush(around)?;
        Ok(true)
    }

    /// Has the operator tell what came of the rows that it has gathered.
    fn flush(&mut self, around: &mut Around<'_>) -> Result<()> {
        self.gathered.rows = 0;
        let Self { operator, out, lanes, .. } = self;
        around.call(out, lanes, None, |output| operator.flush(output))?;
        self.hand_over(around)
    }

    /// Has some of what must come out before a barrier come out, unless those behind are full: a piece at a
    /// time, so that a run that fails or stops isn't kept waiting.
    fn settle(&mut self, around: &mut Around<'_>) -> Result<Settled> {
        // What is only gathered comes at once, whoever has to wait for it.
        if self.operator.has_to_work_off() && self.is_blocked(around) {
            return Ok(Settled::Blocked);
        }
        self.gathered.rows = 0;
        let Self { operator, out, lanes, .. } = self;
        let mut settled = false;
        around.call(out, lanes, None, |output| {
            settled = operator.settle(output)?;
            Ok(())
        })?;
        self.tell(around)?;
        Ok(if settled { Settled::All } else { Settled::Some })
    }

    /// Works off what waits, when there is nothing else to do. Whether there was anything.
    ///
    /// # Errors
    /// What stops the run.
    pub fn spare_time(&mut self, around: &mut Around<'_>) -> Result<bool> {
        let Self { operator, out, lanes, .. } = self;
        let mut moved = false;
        around.call(out, lanes, None, |output| {
            moved = operator.spare_time(output)?;
            Ok(())
        })?;
        if moved {
            self.tell(around)?;
        }
        Ok(moved)
    }

    fn rows(&mut self, lane: usize, rows: Rows, around: &mut Around<'_>) -> Result<()> {
        if self.gathered.limit.rows == 1 && !self.batch_mode && !rows.partial {
            for row in 0..rows.batch.num_rows() {
                let kinds = rows.kinds.as_ref().map(|kinds| kinds.slice(row, 1));
                self.rows_at_once(lane, Rows::changes(rows.batch.slice(row, 1), kinds), around)?;
                self.flush(around)?;
            }
            return Ok(());
        }
        self.rows_at_once(lane, rows, around)?;
        self.flush_if_due(around)?;
        Ok(())
    }

    fn rows_at_once(&mut self, lane: usize, rows: Rows, around: &mut Around<'_>) -> Result<()> {
        self.gathered.add(rows.count, around.now);
        let Self { operator, lanes, out, .. } = self;
        let (input, edge, taken) = (lanes[lane].input, lanes[lane].edge, rows.count);
        // First, since of rows that have waited some may turn out late: those were counted as taken, too.
        add(&around.counters.edges[edge].output, taken);
        around.call(out, lanes, Some(lane), |output| operator.on_rows(input, rows, output))
    }

    /// Moves time on to the least watermark of the lanes. Whether it moved.
    fn advance(&mut self, around: &mut Around<'_>) -> Result<bool> {
        // An ended input is at the end of time: it counts only when all have ended, or an idle one beside
        // it would let time jump there.
        let all_ended = self.lanes.iter().all(|lane| lane.reader.is_ended());
        // One that was stopped is not at the end of time: it counts as far as it has come.
        let is_through = |lane: &InputLane| lane.reader.is_ended() && lane.reader.is_drained();
        let is_open = |lane: &&InputLane| all_ended || !(is_through(lane) || lane.reader.is_idle());
        let idle = !self.lanes.iter().any(|lane| is_open(&lane));
        if idle != self.idle {
            self.idle = idle;
            self.out.iter().for_each(|&edge| around.edges[edge].idle(idle));
        }
        let open = self.lanes.iter().filter(is_open).map(|lane| lane.reader.watermark());
        let least = open.min().unwrap_or(NO_WATERMARK);
        if least <= self.watermark || (self.batch_mode && least != END_OF_TIME) {
            return Ok(false);
        }
        if !self.batch_mode {
            self.flush(around)?;
        }
        self.watermark = least;
        // What comes of the end of time comes before those behind are told of it: in batch mode they then
        // tell their own results, once.
        let last = least == END_OF_TIME;
        self.closed |= last;
        let Self { operator, out, lanes, .. } = self;
        around.call(out, lanes, None, |output| {
            operator.on_watermark(least, output)?;
            if last {
                operator.on_time(i64::MAX, output)?;
            }
            operator.flush(output)
        })?;
        self.tell(around)?;
        Ok(true)
    }

    /// The wall clock has come this far.
    ///
    /// # Errors
    /// What stops the run.
    pub fn on_time(&mut self, now_millis: i64, around: &mut Around<'_>) -> Result<bool> {
        if self.ended || self.operator.next_timer().is_none_or(|timer| timer > now_millis) {
            return Ok(false);
        }
        let Self { operator, out, lanes, .. } = self;
        around.call(out, lanes, None, |output| {
            operator.on_time(now_millis, output)?;
            operator.flush(output)
        })?;
        let watermark = self.operator.output_watermark(self.watermark);
        self.told = self.told.max(watermark);
        for &edge in &self.out {
            around.edges[edge].watermark(watermark, around.sinks, around.counters)?;
        }
        Ok(true)
    }

    /// Tells those behind it that no more comes, when nothing does. Whether anything moved.
    fn end(&mut self, around: &mut Around<'_>) -> Result<bool> {
        let drained = self.lanes.iter().all(|lane| lane.reader.is_drained());
        if drained {
            self.advance(around)?;
            if !self.closed {
                let Self { operator, out, lanes, .. } = self;
                around.call(out, lanes, None, |output| {
                    operator.on_time(i64::MAX, output)?;
                    operator.flush(output)
                })?;
            }
            self.closed = true;
            if self.operator.is_waiting() {
                // Its rows come one piece after the other.
                return Ok(true);
            }
        } else if !self.batch_mode {
            // Stopped: what the last checkpoint says was taken has to be told.
            match self.settle(around)? {
                Settled::All => {}
                Settled::Some => return Ok(true),
                Settled::Blocked => return Ok(false),
            }
        }
        let watermark = self.operator.output_watermark(self.watermark);
        for &edge in &self.out {
            around.edges[edge].watermark(watermark, around.sinks, around.counters)?;
            around.edges[edge].end(drained);
        }
        self.ended = true;
        Ok(true)
    }

    /// Lets the barrier through if every lane has come to it: snapshot, then on. `full` says which
    /// key groups of a table are wanted whole.
    ///
    /// # Errors
    /// `Internal`
    pub fn barrier(
        &mut self,
        epoch: u64,
        snapshot: impl FnOnce(&str) -> OperatorSnapshot,
        around: &mut Around<'_>,
    ) -> Result<AtBarrier> {
        if self.passed || (!self.ended && !self.lanes.iter().all(|lane| lane.reader.is_at_barrier())) {
            return Ok(AtBarrier::Waits);
        }
        if !self.ended {
            match self.settle(around)? {
                Settled::All => {}
                Settled::Some => return Ok(AtBarrier::Moves),
                Settled::Blocked => return Ok(AtBarrier::Waits),
            }
        }
        let snapshot = self.snapshot(snapshot(&self.stable_id))?;
        if !self.ended {
            self.lanes.iter_mut().for_each(|lane| lane.reader.pass_barrier());
            self.out.iter().for_each(|&edge| around.edges[edge].barrier(epoch));
        }
        self.passed = true;
        Ok(AtBarrier::Passed(snapshot))
    }

    /// What has changed since the last snapshot.
    ///
    /// # Errors
    /// `Internal`
    pub fn snapshot(&mut self, mut snapshot: OperatorSnapshot) -> Result<OperatorSnapshot> {
        snapshot.value("$watermark", self.watermark);
        for lane in &self.lanes {
            snapshot.value(&lane.stable_id, lane.reader.save());
        }
        self.operator.snapshot(&mut snapshot)?;
        Ok(snapshot)
    }

    /// Without state, but in the middle of sources: `saved` says how far the time of each has come.
    pub fn restore_progress(&mut self, saved: &BTreeMap<String, serde_json::Value>) {
        for lane in &mut self.lanes {
            let producer = lane.stable_id.split_once(": ").map(|it| it.1);
            if let Some(progress) = producer.and_then(|it| saved.get(it)) {
                lane.reader.restore(std::slice::from_ref(progress));
            }
        }
    }

    /// Takes back what snapshots held; the operator itself unless it has it already.
    ///
    /// # Errors
    /// State that can't be read.
    pub fn restore(&mut self, state: &OperatorState, done: bool) -> Result<()> {
        let watermarks = state.values("$watermark");
        if planted(Bug::WatermarkNotRestored) {
            return self.operator.restore(state);
        }
        self.watermark = watermarks.iter().filter_map(|it| it.as_i64()).min().unwrap_or(NO_WATERMARK);
        for lane in &mut self.lanes {
            lane.reader.restore(&state.values(&lane.stable_id));
        }
        if done { Ok(()) } else { self.operator.restore(state) }
    }
}

impl Around<'_> {
    /// Calls an operator and carries what it emits on. `from`: the lane whose rows it is given. Rows that it
    /// doesn't take are no longer counted as taken.
    fn call(
        &mut self,
        out: &[usize],
        lanes: &[InputLane],
        from: Option<usize>,
        call: impl FnOnce(&mut Output<'_>) -> Result<()>,
    ) -> Result<()> {
        let Self { edges, sinks, counters, failure, .. } = self;
        let given_up = || failure.is_set();
        let (lane, mut replayed) = (Cell::new(from.unwrap_or(usize::MAX)), Vec::new());
        let mut given = Replayed::default();
        let mut emit = |rows: Rows| {
            for &edge in out {
                add(&counters.edges[edges[edge].id].input, rows.batch.num_rows() as u64);
                edges[edge].rows(None, rows.batch.clone(), rows.kinds.clone(), None, sinks, counters)?;
            }
            Ok(())
        };
        let lane_now = || lanes.get(lane.get()).ok_or_else(without_lane);
        let mut late = |batch: &RecordBatch, which: Option<&BooleanArray>| {
            let lane = lane_now()?;
            let rows = which.map_or(batch.num_rows(), BooleanArray::true_count) as u64;
            take_back(&counters.edges[lane.edge].output, rows);
            lane.outcasts.late(lane.edge, batch, which, counters)
        };
        let mut reject = |batch: &RecordBatch, which: &BooleanArray, message: &str| {
            let lane = lane_now()?;
            take_back(&counters.edges[lane.edge].output, which.true_count() as u64);
            lane.outcasts.reject(lane.edge, batch, which, message)
        };
        let mut output = Output {
            emit: &mut emit,
            late: &mut late,
            reject: &mut reject,
            late_partial: &mut given.late_partial,
            between: &mut given.between,
            unmatched: &mut given.unmatched,
            lane: &lane,
            replayed: &mut replayed,
            given_up: &given_up,
        };
        call(&mut output)?;
        replayed.extend(from.map(|lane| Replayed { lane, ..given }));
        for it in replayed {
            let Some(lane) = lanes.get(it.lane) else { continue };
            let counts = &counters.edges[lane.edge];
            add(&counts.late, it.late_partial);
            add(&counts.filtered, it.between);
            add(&counts.unmatched, it.unmatched);
            take_back(&counts.output, it.late_partial + it.between);
        }
        Ok(())
    }
}

/// Rows were counted that don't count.
fn take_back(counter: &AtomicU64, rows: u64) {
    if rows > 0 {
        counter.fetch_sub(rows, Relaxed);
    }
}

fn without_lane() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "an operator gave back a row that it was not given")
}

impl Outcasts {
    pub(super) fn late(
        &self,
        edge: usize,
        batch: &RecordBatch,
        which: Option<&BooleanArray>,
        counters: &Counters,
    ) -> Result<()> {
        let rows = picked(batch, which)?;
        let Some(policy) = self.policy.as_ref().filter(|_| self.late_to_dead_letters) else {
            add(&counters.edges[edge].late, rows.num_rows() as u64);
            return Ok(());
        };
        for row in 0..rows.num_rows() {
            let row = rows.slice(row, 1);
            policy.letter(Failed {
                stage: Stage::Late,
                code: Code::LateRow,
                message: format!("behind the watermark for every window of the {}", self.operator),
                part: RecordPart::Value,
                record: &mut || self.record(&row),
                sinks: self.sinks.clone(),
            })?;
        }
        add(&counters.edges[edge].dead_lettered, rows.num_rows() as u64);
        Ok(())
    }

    pub(super) fn reject(
        &self,
        edge: usize,
        batch: &RecordBatch,
        which: &BooleanArray,
        message: &str,
    ) -> Result<()> {
        let rows = picked(batch, Some(which))?;
        let Some(policy) = &self.policy else {
            return Err(Diagnostic::error(Code::EvaluationFailed, format!("{}: {message}", self.operator)));
        };
        for row in 0..rows.num_rows() {
            let row = rows.slice(row, 1);
            let failed = Failed {
                stage: Stage::Evaluate,
                code: Code::EvaluationFailed,
                message: message.to_string(),
                part: RecordPart::Value,
                record: &mut || self.record(&row),
                sinks: self.sinks.clone(),
            };
            policy.bad_record(&mut std::iter::once(edge), failed)?;
        }
        Ok(())
    }

    /// The row's original record, if it carries it; else the row as JSON.
    fn record(&self, row: &RecordBatch) -> (Origin, Vec<u8>) {
        origin::read(row).unwrap_or_else(|| (Origin::default(), (self.describe)(row)))
    }
}

fn picked(batch: &RecordBatch, which: Option<&BooleanArray>) -> Result<RecordBatch> {
    let Some(which) = which else { return Ok(batch.clone()) };
    filter_record_batch(batch, which).map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))
}
