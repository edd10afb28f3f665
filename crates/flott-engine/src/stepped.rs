//! Drives a run step by step, without threads: whoever calls says whose turn it is. With a clock, a
//! disk and a storage of its own that makes a run repeatable to the last step, which is how the simulator
//! of `flott-testkit` tests what is shipped.
//!
//! ```text
//!   task   0 … readers-1 │ … readers+shards-1 │ last
//!          a chunk       │ Shard::turn        │ claim, recover ─► build ─► reports, checkpoints ─► publish
//! ```
//! Nothing here waits: a task that has nothing to do says so.

use std::sync::Arc;

use flott_types::Diagnostic;

use crate::{
    accounting::{Counters, Status, Summary},
    job::{Job, Run},
    parts::{JobThread, OrderedEnd, Parts, Prepared},
    reader::ReaderTask,
    shard::Shard,
};

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done.
    Busy,
    /// There was nothing to do now.
    Idle,
    /// There will never be anything to do again.
    Done,
}

/// How a run ended: its summary, and what stopped it.
pub type Outcome = (Summary, Option<Box<Diagnostic>>);

/// A run that is stepped.
pub struct Stepped {
    phase: Phase,
    readers: Vec<Option<ReaderTask>>,
    shards: Vec<Option<Shard>>,
}

enum Phase {
    /// Nothing has been touched yet.
    New(Arc<Job>),
    /// The job is claimed and its checkpoint found.
    Claimed(Box<Run<Arc<Job>>>),
    /// Shards run.
    Running(Box<Running>),
    /// The last rows are made durable, then published.
    Ending(Box<Ending>),
    /// It is over.
    Over(Box<Outcome>),
    /// While a step is under way.
    Between,
}

struct Running {
    run: Run<Arc<Job>>,
    parts: Parts,
    job_thread: JobThread,
}

struct Ending {
    run: Run<Arc<Job>>,
    parts: Parts,
    prepared: Prepared,
    end: OrderedEnd,
}

impl Stepped {
    /// A run of which nothing has been done yet.
    pub fn new(job: Arc<Job>) -> Self {
        Self { phase: Phase::New(job), readers: Vec::new(), shards: Vec::new() }
    }

    /// How many tasks there are now: the last one is the job's own. More come with its steps.
    pub fn tasks(&self) -> usize {
        self.readers.len() + self.shards.len() + 1
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The run's counters, while it runs.
    pub fn counters(&self) -> Option<&Arc<Counters>> {
        match &self.phase {
            Phase::Claimed(run) => Some(&run.counters),
            Phase::Running(running) => Some(&running.run.counters),
            Phase::Ending(ending) => Some(&ending.run.counters),
            Phase::New(_) | Phase::Over(_) | Phase::Between => None,
        }
    }

    /// Does a task's next step.
    pub fn step(&mut self, task: usize) -> Turn {
        let readers = self.readers.len();
        if let Some(reader) = self.readers.get_mut(task) {
            return step_reader(reader);
        }
        if let Some(shard) = self.shards.get_mut(task - readers) {
            return step_shard(shard);
        }
        self.step_job()
    }

    fn step_job(&mut self) -> Turn {
        let (phase, turn) = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::New(job) => match Run::new(job) {
                Ok(run) => (Phase::Claimed(Box::new(run)), Turn::Busy),
                Err(error) => (over((Counters::default().summary(Status::Failed), Some(error))), Turn::Done),
            },
            Phase::Claimed(run) => self.prepare(*run),
            Phase::Running(running) => self.look(running),
            Phase::Ending(ending) => end(ending),
            phase @ (Phase::Over(_) | Phase::Between) => (phase, Turn::Done),
        };
        self.phase = phase;
        turn
    }

    fn prepare(&mut self, mut run: Run<Arc<Job>>) -> (Phase, Turn) {
        let mut parts = match run.prepare() {
            Ok(Some(parts)) => parts,
            Ok(None) => return (over(run.summary(Ok(Status::Finished))), Turn::Done),
            Err(error) => return (over(run.summary(Err(error))), Turn::Done),
        };
        self.readers = parts.readers.drain(..).map(Some).collect();
        self.readers.iter().flatten().for_each(ReaderTask::begin);
        self.shards = parts.shards.drain(..).map(Some).collect();
        let job_thread = JobThread::new(run.coordinator.as_ref());
        (Phase::Running(Box::new(Running { run, parts, job_thread })), Turn::Busy)
    }

    fn look(&mut self, mut it: Box<Running>) -> (Phase, Turn) {
        let Running { run, parts, job_thread } = it.as_mut();
        let mut busy = false;
        if !job_thread.is_over(parts) {
            if let Ok(report) = parts.reports.try_recv() {
                job_thread.take(report, run.coordinator.as_mut());
                busy = true;
            }
            match job_thread.look(parts, run.coordinator.as_mut()) {
                Ok(looked) => busy |= looked,
                Err(error) => parts.failure.set(error),
            }
        }
        if !job_thread.is_over(parts) {
            return (Phase::Running(it), if busy { Turn::Busy } else { Turn::Idle });
        }
        let Running { mut run, parts, job_thread } = *it;
        let prepared = job_thread.end(&parts, run.coordinator.as_mut());
        parts.close();
        // What is left of them has nothing to do any more: all reports are in, or the run has failed.
        self.readers.iter_mut().for_each(|reader| *reader = None);
        self.shards.iter_mut().for_each(|shard| *shard = None);
        (Phase::Ending(Box::new(Ending { run, parts, prepared, end: OrderedEnd::default() })), Turn::Busy)
    }
}

fn end(mut it: Box<Ending>) -> (Phase, Turn) {
    if !it.parts.failure.is_set() {
        match it.parts.finish_ordered(&mut it.end, &mut it.prepared) {
            Ok(true) => {}
            Ok(false) => return (Phase::Ending(it), Turn::Idle),
            Err(error) => it.parts.failure.set(error),
        }
    }
    let Ending { mut run, mut parts, prepared, .. } = *it;
    parts.ordered.clear();
    let outcome = run.publish(prepared, &mut parts);
    (over(run.summary(outcome)), Turn::Done)
}

fn over(outcome: Outcome) -> Phase {
    Phase::Over(Box::new(outcome))
}

fn step_reader(slot: &mut Option<ReaderTask>) -> Turn {
    let Some(reader) = slot else { return Turn::Done };
    if !reader.queue.has_room() {
        return Turn::Idle;
    }
    if reader.step() {
        return Turn::Busy;
    }
    *slot = None;
    Turn::Done
}

fn step_shard(slot: &mut Option<Shard>) -> Turn {
    let Some(shard) = slot else { return Turn::Done };
    let failure = shard.failure.clone();
    let turn = if failure.is_set() {
        Turn::Done
    } else {
        shard.turn().unwrap_or_else(|error| {
            failure.set(error);
            Turn::Done
        })
    };
    if turn == Turn::Done {
        *slot = None;
    }
    turn
}
