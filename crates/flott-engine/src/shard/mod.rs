//! A shard: one thread that has a copy of the whole plan and does what there is to do, what is
//! furthest downstream first.
//!
//! ```text
//!   ┌─► deliver what waits in outboxes ─► operators, last first ─► timers ─► a chunk of a source ─┐
//!   └──────────────────── nothing to do: sleep until woken ◄──────────────────────────────────────┘
//!
//!   barrier e:  sources stand still at the end of epoch e ─► their edges carry the barrier
//!               ─► every operator: aligned, snapshot, on ─► sinks prepare e ─► sources go on
//! ```
//!
//! Invariants
//! - Nothing here blocks: a full lane or a busy sink makes the shard leave alone what is upstream
//!   of it and do something else.
//! - Between the barrier at its sources and its last operator's snapshot a shard takes no chunk of the
//!   next epoch, so its counters at that moment are exactly those of the epoch.

pub mod bad_records;
pub mod edge;
pub mod operator;
pub mod origin;
pub mod required;
pub mod source;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::Sender;
use flott_connector::{BufferPool, Clock, Committable, DeadLetterQueue};
use flott_expr::EvalContext;
use flott_state::OperatorSnapshot;
use flott_types::Result;

use crate::{
    accounting::{Counters, Counts},
    activity::ShardActivity,
    checkpoint::{Requests, SnapshotRequest},
    exchange::Wakers,
    failure::Failure,
    queue::Next,
    sink::SinkTask,
    stepped::Turn,
};
use edge::EdgeTask;
use operator::{Around, AtBarrier, OperatorTask};
use source::{Downstream, SourceTask};

/// What operators hand over, by their ids.
pub type Snapshots = Vec<(String, OperatorSnapshot)>;

/// What a shard tells the job.
pub enum Report {
    /// The barrier has passed everything on this shard.
    Barrier {
        /// Of which shard.
        shard: usize,
        /// Which.
        epoch: u64,
        /// What the operators have changed since the one before.
        snapshots: Snapshots,
        /// What the shard has counted up to it.
        counts: Counts,
        /// How long the shard took no input for it.
        stall: Duration,
    },
    /// What the sinks wrote before this barrier is durable.
    Prepared {
        /// Which barrier.
        epoch: u64,
        /// Per sink.
        committables: Vec<(usize, Vec<Committable>)>,
    },
    /// The shard has come to its end; what it wrote since the last barrier is durable.
    Finished {
        /// Which shard.
        shard: usize,
        /// What the operators have changed since the last barrier.
        snapshots: Snapshots,
        /// What the shard has counted in all.
        counts: Counts,
        /// Per sink.
        committables: Vec<(usize, Vec<Committable>)>,
    },
}

/// A shard.
pub struct Shard {
    /// Which.
    pub number: usize,
    /// Its sources.
    pub sources: Vec<SourceTask>,
    /// Its operators, inputs before users.
    pub operators: Vec<OperatorTask>,
    /// Its edges.
    pub edges: Vec<EdgeTask>,
    /// Its sinks.
    pub sinks: Vec<SinkTask>,
    /// The epoch under way.
    pub epoch: u64,
    /// The same, for whoever writes dead letters.
    pub letters_epoch: Arc<AtomicU64>,
    /// Wakes threads.
    pub wakers: Arc<Wakers>,
    /// What checkpoints the job wants.
    pub requests: Arc<Requests>,
    /// To the job.
    pub reports: Sender<Report>,
    /// Buffers go back here.
    pub buffers: BufferPool,
    /// Time zone, clock, seed.
    pub context: EvalContext,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Given when the run fails: do no more.
    pub failure: Failure,
    /// `execution.buffer-timeout.interval`
    pub buffer_timeout: Duration,
    /// This shard's counters.
    pub counters: Arc<Counters>,
    /// Dead letters.
    pub letters: Arc<DeadLetterQueue>,
    /// The barrier under way.
    pub barrier: Option<BarrierUnderWay>,
    /// Barriers whose sinks are not yet through.
    pub preparing: Vec<Preparing>,
    /// Everything has come to its end but the sinks' last files.
    pub finishing: Option<Finishing>,
    /// When sinks were last told to hand over what they hold.
    pub flushed: Duration,
    /// What it is doing, for whoever asks.
    pub activity: Arc<ShardActivity>,
    /// When it looked last at what is blocked.
    pub looked: Duration,
    /// When it is to measure again how much its operators hold.
    pub measured: Duration,
}

/// The last thing that a shard does.
pub struct Finishing {
    snapshots: Snapshots,
    /// Of the sinks that are through.
    ready: Vec<(usize, Vec<Committable>)>,
}

/// A barrier on its way through a shard.
pub struct BarrierUnderWay {
    request: Arc<SnapshotRequest>,
    since: Duration,
    /// The sources' edges carry it.
    sent: bool,
    snapshots: Snapshots,
}

/// Sinks that make an epoch durable.
pub struct Preparing {
    epoch: u64,
    ready: Vec<Option<Vec<Committable>>>,
}

/// Sleeps at most this long, so that a lost wake-up costs little.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// How often a shard says how much memory its operators hold.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// How long a shard waits for a sink that isn't ready before it looks again.
const SINK_WAIT: Duration = Duration::from_micros(200);

impl Shard {
    /// Works until all input has ended, a last checkpoint was taken, or the run has failed.
    ///
    /// # Errors
    /// What stops the run.
    pub fn run(mut self) -> Result<()> {
        self.wakers.register(self.number);
        while !self.failure.is_set() {
            match self.turn()? {
                Turn::Busy => {}
                Turn::Idle => self.sleep(),
                Turn::Done => return Ok(()),
            }
        }
        Ok(())
    }

    /// Does what there is to do, once; never waits.
    ///
    /// # Errors
    /// What stops the run.
    pub fn turn(&mut self) -> Result<Turn> {
        if self.finishing.is_some() {
            return self.poll_finished();
        }
        let busy = self.step()?;
        let now = self.clock.monotonic();
        if now.saturating_sub(self.flushed) >= self.buffer_timeout {
            self.flushed = now;
            self.sinks.iter_mut().try_for_each(SinkTask::flush)?;
            self.letters.flush()?;
            self.measure(now);
        }
        if self.is_finished() {
            self.finish()?;
            return Ok(Turn::Busy);
        }
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }

    /// Does what there is to do, once. Whether there was anything.
    fn step(&mut self) -> Result<bool> {
        let mut busy = false;
        for edge in &mut self.edges {
            busy |= edge.flush();
        }
        let now = self.clock.monotonic();
        // What is blocked now has been since it was looked at last: a shard looks often.
        let since = now.saturating_sub(std::mem::replace(&mut self.looked, now));
        busy |= self.run_operators(now, since)?;
        busy |= self.barrier_step()?;
        busy |= self.poll_prepared()?;
        // What is downstream first: a chunk only when nothing of the last one waits.
        if !self.sources.is_empty() && !self.is_blocked(since) {
            busy |= self.run_source()?;
        }
        Ok(busy || self.use_spare_time(now)?)
    }

    /// There is nothing else to do: what waits for state that was put away is worked off.
    fn use_spare_time(&mut self, now: Duration) -> Result<bool> {
        let aligning = self.barrier.is_some();
        let Self { operators, edges, sinks, counters, failure, .. } = self;
        let mut around = Around { edges, sinks, counters, now, failure };
        for operator in operators.iter_mut().rev() {
            if operator.ended || (aligning && operator.passed) || operator.is_blocked(&mut around) {
                continue;
            }
            if operator.spare_time(&mut around)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn run_operators(&mut self, now: Duration, since: Duration) -> Result<bool> {
        let now_millis = self.clock.now_micros() / 1000;
        // What is behind a barrier belongs to the next epoch: an operator that has let it through waits
        // until the others on this shard have too, and the sinks have ended the epoch.
        let aligning = self.barrier.is_some();
        let Self { operators, edges, sinks, counters, activity, clock, failure, .. } = self;
        for sink in sinks.iter_mut() {
            if !sink.is_ready() {
                activity.sinks[sink.index].not_ready.add(since);
            }
        }
        let mut around = Around { edges, sinks, counters, now, failure };
        let (mut busy, mut began) = (false, now);
        for operator in operators.iter_mut().rev() {
            if operator.ended || (aligning && operator.passed) {
                continue;
            }
            let told = &activity.operators[operator.index];
            if operator.is_blocked(&mut around) {
                told.blocked.add(since);
                continue;
            }
            activity.in_operator(operator.index, began);
            let mut moved = operator.poll(&mut around)?;
            moved |= operator.on_time(now_millis, &mut around)?;
            if !operator.operator.is_ready() {
                told.unready.add(since);
            }
            // Looking whether there is anything costs next to nothing, and no reading of the clock.
            if moved {
                let ended = clock.monotonic();
                told.busy.add(ended.saturating_sub(began).saturating_sub(spent(around.sinks)));
                operator.tells(told);
                began = ended;
            }
            busy |= moved;
        }
        activity.elsewhere();
        Ok(busy)
    }

    /// Whether something of the last chunk waits.
    fn is_blocked(&mut self, since: Duration) -> bool {
        let Self { sources, edges, sinks, activity, .. } = self;
        let mut any = false;
        for source in sources.iter().filter(|source| !source.ended) {
            if source.edges.iter().any(|&edge| edges[edge].is_blocked(sinks)) {
                activity.sources[source.index].blocked.add(since);
                any = true;
            }
        }
        any
    }

    /// Says how much memory its operators hold, and what its sinks have written, now and then: they have to add
    /// it up.
    fn measure(&mut self, now: Duration) {
        if now < self.measured {
            return;
        }
        self.sinks.iter().for_each(SinkTask::measure);
        for operator in &self.operators {
            let told = &self.activity.operators[operator.index];
            let bytes = u64::try_from(operator.operator.memory()).unwrap_or(u64::MAX);
            told.holds(bytes, operator.operator.spilled());
        }
        // Some count their keys: never more than a hundredth of the time.
        let done = self.clock.monotonic();
        self.measured = done + MEASURE_EVERY.max(done.saturating_sub(now) * 100);
    }

    fn run_source(&mut self) -> Result<bool> {
        for at in 0..self.sources.len() {
            if self.sources[at].ended {
                continue;
            }
            match self.sources[at].queue.next(self.epoch) {
                Next::Chunk(chunk) => {
                    self.context.now_micros = self.clock.now_micros();
                    self.context.random_seed = self.context.random_seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
                    let began = self.clock.monotonic();
                    let Self { sources, edges, sinks, counters, context, buffers, activity, clock, .. } =
                        self;
                    let source = sources[at].index;
                    activity.in_source(source, began);
                    let mut to = Downstream { edges, sinks, counters };
                    sources[at].chunk(chunk, context, &mut to, buffers)?;
                    let took = clock.monotonic().saturating_sub(began);
                    activity.sources[source].busy.add(took.saturating_sub(spent(sinks)));
                    activity.elsewhere();
                    // Another source's turn next time.
                    self.sources.rotate_left(at + 1);
                    return Ok(true);
                }
                Next::Nothing | Next::Barrier => {}
                Next::End(drained) => {
                    self.sources[at].ended = true;
                    for &edge in &self.sources[at].edges {
                        self.edges[edge].end(drained);
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    // --- barriers -------------------------------------------------------------------------------

    /// Brings a barrier a step further. Whether anything moved.
    fn barrier_step(&mut self) -> Result<bool> {
        let Some(mut barrier) = self.barrier.take() else {
            let Some(request) = self.requests.wanted(self.epoch) else { return Ok(false) };
            let since = self.clock.monotonic();
            self.operators.iter_mut().for_each(|operator| operator.passed = false);
            let told = &self.activity.operators;
            told.iter().for_each(|operator| operator.passed.store(false, Ordering::Relaxed));
            self.barrier = Some(BarrierUnderWay { request, since, sent: false, snapshots: Vec::new() });
            return Ok(true);
        };
        let mut busy = false;
        let epoch = barrier.request.epoch;
        if !barrier.sent {
            let at_barrier = |source: &SourceTask| source.ended || source.queue.is_closed(epoch);
            if !self.sources.iter().all(at_barrier) {
                self.barrier = Some(barrier);
                return Ok(false);
            }
            for source in self.sources.iter().filter(|source| !source.ended) {
                source.edges.iter().for_each(|&edge| self.edges[edge].barrier(epoch));
            }
            barrier.sent = true;
            self.activity.sent.store(epoch, Ordering::Relaxed);
            barrier.since = self.clock.monotonic();
            busy = true;
        }
        let Self { number, operators, edges, sinks, counters, activity, failure, .. } = self;
        let number = *number;
        let now = barrier.since;
        let mut around = Around { edges, sinks, counters, now, failure };
        for operator in operators.iter_mut() {
            let start = |id: &str| barrier.request.snapshot_of(number, id);
            match operator.barrier(epoch, start, &mut around)? {
                AtBarrier::Waits => {}
                AtBarrier::Moves => busy = true,
                AtBarrier::Passed(snapshot) => {
                    barrier.snapshots.push((operator.stable_id.clone(), snapshot));
                    activity.operators[operator.index].passed.store(true, Ordering::Relaxed);
                    busy = true;
                }
            }
        }
        if operators.iter().all(|operator| operator.passed) {
            self.activity.sinks.iter().for_each(|sink| sink.prepared.store(false, Ordering::Relaxed));
            self.activity.passed.store(epoch, Ordering::Relaxed);
            self.sinks.iter_mut().try_for_each(|sink| sink.prepare(epoch, false))?;
            self.preparing.push(Preparing { epoch, ready: vec![None; self.sinks.len()] });
            self.epoch = epoch + 1;
            self.letters_epoch.store(self.epoch, Ordering::Relaxed);
            let stall = self.clock.monotonic().saturating_sub(barrier.since);
            let counts = self.counters.counts();
            self.report(Report::Barrier {
                shard: self.number,
                epoch,
                snapshots: barrier.snapshots,
                counts,
                stall,
            });
            return Ok(true);
        }
        self.barrier = Some(barrier);
        Ok(busy)
    }

    fn poll_prepared(&mut self) -> Result<bool> {
        let Some(preparing) = self.preparing.first_mut() else { return Ok(false) };
        for (sink, ready) in self.sinks.iter_mut().zip(&mut preparing.ready) {
            if ready.is_none() {
                *ready = sink.poll_prepared()?;
                self.activity.sinks[sink.index].prepared.store(ready.is_some(), Ordering::Relaxed);
            }
        }
        if preparing.ready.iter().any(Option::is_none) {
            return Ok(false);
        }
        let preparing = self.preparing.remove(0);
        self.activity.prepared.store(preparing.epoch, Ordering::Relaxed);
        let ready = preparing.ready.into_iter().map(Option::unwrap_or_default);
        let committables = self.sinks.iter().map(|sink| sink.index).zip(ready).collect();
        self.report(Report::Prepared { epoch: preparing.epoch, committables });
        Ok(true)
    }

    fn report(&self, report: Report) {
        // The job is gone only if the run has failed.
        let _ = self.reports.send(report);
    }

    // --- the end --------------------------------------------------------------------------------

    fn is_finished(&self) -> bool {
        self.sources.iter().all(|source| source.ended)
            && self.operators.iter().all(|operator| operator.ended)
            && !self.edges.iter().any(EdgeTask::has_outbox)
            && self.preparing.is_empty()
    }

    /// Nothing comes any more: the last snapshots are taken, the sinks begin to make their last rows
    /// durable.
    fn finish(&mut self) -> Result<()> {
        self.measured = Duration::ZERO;
        self.measure(MEASURE_EVERY);
        let mut snapshots = Vec::new();
        if let Some(barrier) = self.barrier.take() {
            snapshots.extend(barrier.snapshots);
        }
        if self.requests.checkpoints() {
            let request = self.requests.last(self.epoch);
            for operator in &mut self.operators {
                let snapshot = operator.snapshot(request.snapshot_of(self.number, &operator.stable_id))?;
                snapshots.push((operator.stable_id.clone(), snapshot));
            }
        }
        for sink in &mut self.sinks {
            sink.finish()?;
            sink.prepare(self.epoch, true)?;
        }
        self.finishing = Some(Finishing { snapshots, ready: Vec::new() });
        Ok(())
    }

    fn poll_finished(&mut self) -> Result<Turn> {
        let Some(mut finishing) = self.finishing.take() else { return Ok(Turn::Done) };
        for sink in self.sinks.iter_mut().skip(finishing.ready.len()) {
            let Some(committables) = sink.poll_prepared()? else {
                self.finishing = Some(finishing);
                return Ok(Turn::Idle);
            };
            finishing.ready.push((sink.index, committables));
        }
        let counts = self.counters.counts();
        let Finishing { snapshots, ready: committables } = finishing;
        self.report(Report::Finished { shard: self.number, snapshots, counts, committables });
        Ok(Turn::Done)
    }

    fn sleep(&mut self) {
        let sinks_are_busy = self.sinks.iter_mut().any(|sink| !sink.is_ready());
        let sinks_are_busy = sinks_are_busy || self.finishing.is_some();
        let waits_for_io = !self.preparing.is_empty() || self.barrier.is_some();
        let timers = self.operators.iter().filter(|it| !it.ended).filter_map(|it| it.operator.next_timer());
        let now_millis = self.clock.now_micros() / 1000;
        let until_timer = timers.min().map_or(SLEEP_MAX, |timer| {
            Duration::from_millis(timer.saturating_sub(now_millis).clamp(0, 1000).unsigned_abs())
        });
        let longest = match (sinks_are_busy, waits_for_io) {
            (true, _) => SINK_WAIT,
            (false, true) => SINK_WAIT * 5,
            (false, false) => SLEEP_MAX.min(self.buffer_timeout.max(SINK_WAIT)),
        };
        std::thread::park_timeout(longest.min(until_timer.max(SINK_WAIT)));
    }
}

/// How long sinks have been writing since it was asked last: theirs, not that of whoever gave them rows.
fn spent(sinks: &mut [SinkTask]) -> Duration {
    sinks.iter_mut().map(SinkTask::spent).sum()
}
