//! What a run is made of once its sources, sinks and checkpoint are known, and what is done when all of it
//! has come to its end. Who drives the parts in between is open: [`threads`](crate::threads) give each one
//! of its own, [`stepped`](crate::stepped) has somebody else say whose turn it is.
//!
//! ```text
//!   ReaderTask ─ ChunkQueue ─► Shard ── Report ──► JobThread: Coordinator (checkpoints) or a list
//!   ReaderTask ─ ChunkQueue ─► Shard ── Report ──►
//!                                  all ended ─► finish_ordered ─► publish
//! ```

use std::sync::Arc;

use crossbeam_channel::Receiver;
use flott_connector::{
    BufferPool, Committable, Committer, DeadLetterQueue, Outcome, ReadContext, SinkGuarantee, Source,
    SourceReader,
};
use flott_plan::{Distribution, SinkTarget};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    accounting::{Counts, Seen, Status, Summary},
    checkpoint::{Coordinator, Hands, Requests, Rounds},
    exchange::Wakers,
    failure::Failure,
    job::{Job, Run},
    order::OrderedWriter,
    queue::ChunkQueue,
    reader::{self, ReaderTask},
    replay::ReplayReader,
    shard::{Report, Shard},
    shards::Builder,
};

/// Reports that may wait for the job thread: each shard has at most one barrier under way.
const REPORTS_PER_SHARD: usize = 4;

/// Committables, per sink.
pub(crate) type Prepared = Vec<(usize, Vec<Committable>)>;

/// What a run is made of.
pub(crate) struct Parts {
    /// How many shards it has.
    pub count: usize,
    pub committers: Vec<Box<dyn Committer>>,
    pub letters: Arc<DeadLetterQueue>,
    pub failure: Failure,
    /// Writers that all shards share.
    pub ordered: Vec<Option<Arc<OrderedWriter>>>,
    pub wakers: Arc<Wakers>,
    pub requests: Arc<Requests>,
    pub queues: Vec<Arc<ChunkQueue>>,
    /// To be told of checkpoints.
    pub sources: Vec<Arc<dyn Source>>,
    /// To be driven.
    pub readers: Vec<ReaderTask>,
    /// To be driven.
    pub shards: Vec<Shard>,
    /// From the shards.
    pub reports: Receiver<Report>,
}

impl Parts {
    /// Nobody hands over or takes chunks any more, so that all who wait for that end.
    pub fn close(&self) {
        self.queues.iter().for_each(|queue| queue.close());
        self.wakers.wake_all();
    }
}

/// What the job thread knows while shards run.
pub(crate) struct JobThread {
    rounds: Option<Rounds>,
    /// Without checkpoints: what shards have prepared.
    prepared: Prepared,
    finished: usize,
}

impl JobThread {
    /// Before the first report.
    pub fn new(coordinator: Option<&Coordinator>) -> Self {
        Self { rounds: coordinator.map(Coordinator::rounds), prepared: Vec::new(), finished: 0 }
    }

    /// Whether all shards have come to their end, or the run has failed.
    pub fn is_over(&self, parts: &Parts) -> bool {
        self.finished >= parts.count || parts.failure.is_set()
    }

    /// Takes what a shard tells.
    pub fn take(&mut self, report: Report, coordinator: Option<&mut Coordinator>) {
        if matches!(report, Report::Finished { .. }) {
            self.finished += 1;
        }
        match (&mut self.rounds, coordinator) {
            (Some(rounds), Some(coordinator)) => coordinator.take(report, rounds),
            _ => {
                if let Report::Finished { committables, .. } = report {
                    self.prepared.extend(committables);
                }
            }
        }
    }

    /// Sees whether a checkpoint is complete, or due. Whether there was anything to do.
    ///
    /// # Errors
    /// `Superseded`; what a sink says when it publishes.
    pub fn look(&mut self, parts: &mut Parts, coordinator: Option<&mut Coordinator>) -> Result<bool> {
        match (&mut self.rounds, coordinator) {
            (Some(rounds), Some(coordinator)) => coordinator.look(rounds, &mut parts.hands()),
            _ => Ok(false),
        }
    }

    /// What shards have prepared and no checkpoint holds. Takes the reports that still wait, so that what
    /// they prepared can be discarded if the run has failed.
    pub fn end(mut self, parts: &Parts, coordinator: Option<&mut Coordinator>) -> Prepared {
        if let (Some(rounds), Some(coordinator)) = (self.rounds.take(), coordinator) {
            coordinator.end(rounds);
            return Vec::new();
        }
        for report in parts.reports.try_iter() {
            self.take(report, None);
        }
        self.prepared
    }
}

impl Parts {
    fn hands(&mut self) -> Hands<'_> {
        Hands {
            shards: self.count,
            queues: &self.queues,
            sources: &self.sources,
            requests: &self.requests,
            wakers: &self.wakers,
            committers: &mut self.committers,
            letters: &self.letters,
        }
    }

    /// Prepares the writers that all shards share: those not in `prepared` yet. Whether all are.
    ///
    /// # Errors
    /// The writers'.
    pub fn finish_ordered(&self, end: &mut OrderedEnd, prepared: &mut Prepared) -> Result<bool> {
        while let Some(writer) = self.ordered.get(end.at) {
            if let Some(writer) = writer {
                if !end.begun {
                    writer.finish()?;
                    writer.prepare(1)?;
                    end.begun = true;
                }
                let Some(committables) = writer.poll_prepared()? else { return Ok(false) };
                prepared.push((end.at, committables));
            }
            *end = OrderedEnd { at: end.at + 1, begun: false };
        }
        Ok(true)
    }
}

/// How far the end of the writers that all shards share has come.
#[derive(Debug, Default)]
pub(crate) struct OrderedEnd {
    at: usize,
    begun: bool,
}

impl<J: std::ops::Deref<Target = Job>> Run<J> {
    /// Finishes what the newest checkpoint had decided, builds everything. `None`: the job has finished
    /// already.
    ///
    /// # Errors
    /// What building needs; what a sink says.
    pub(crate) fn prepare(&mut self) -> Result<Option<Parts>> {
        let settings = &self.job.settings;
        tracing::info!(
            pipeline = settings.pipeline_name.as_str(),
            run = settings.run_id.as_str(),
            shards = settings.parallelism,
            sources = self.sources.len(),
            sinks = self.sinks.len(),
            "run starts"
        );
        let mut committers = Vec::new();
        for sink in &self.sinks {
            committers.push(sink.committer()?);
        }
        let letters = Arc::new(self.letters().on(self.job.disk.clone()));
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.finish_tip(&mut committers, &letters)?;
            self.counters.restore(&coordinator.restored_counts());
            if coordinator.is_finished() {
                tracing::info!(pipeline = settings.pipeline_name.as_str(), "the job has finished already");
                // Perhaps it was killed before it could say so (`_SUCCESS`).
                committers.iter_mut().try_for_each(|committer| committer.finish())?;
                return Ok(None);
            }
        }
        let failure = Failure::new(self.job.stop.clone());
        let ordered = self.ordered_writers()?;
        let count = settings.parallelism.max(1);
        let wakers = Arc::new(Wakers::new(count));
        let requests = Arc::new(Requests::new(self.coordinator.is_some(), settings.key_groups));
        let buffers = BufferPool::default();
        let readers = self.readers(count, &buffers, &wakers, &failure)?;
        let queues: Vec<Arc<ChunkQueue>> = readers.iter().map(|reader| reader.queue.clone()).collect();
        self.counters.activity.watch_queues(&queues);
        let (sender, reports) = crossbeam_channel::bounded(REPORTS_PER_SHARD * count);
        let builder = Builder {
            job: &self.job,
            topology: &self.topology,
            sources: &self.sources,
            sinks: &self.sinks,
            lookups: &self.lookups,
            counters: &self.counters,
            context: &self.context,
            ordered: &ordered,
            queues: &queues,
            letters: &letters,
            buffers: &buffers,
            wakers: &wakers,
            requests: &requests,
            failure: &failure,
            coordinator: self.coordinator.as_ref(),
            restored: &self.restored,
        };
        let shards = builder.shards(count, &sender)?;
        Ok(Some(Parts {
            count,
            sources: self.sources.iter().map(|ready| ready.source.clone()).collect(),
            committers,
            letters,
            failure,
            ordered,
            wakers,
            requests,
            queues,
            readers,
            shards,
            reports,
        }))
    }

    fn letters(&self) -> DeadLetterQueue {
        let settings = &self.job.settings;
        let Some(coordinator) = &self.coordinator else {
            return DeadLetterQueue::new(&settings.dead_letter_directory, &settings.run_id);
        };
        let identity = coordinator.identity();
        DeadLetterQueue::by_epoch(
            &settings.dead_letter_directory,
            &settings.pipeline_name,
            &identity.job_id,
            identity.generation,
        )
    }

    /// The last rows: in a last checkpoint if there are checkpoints, all at once else.
    ///
    /// # Errors
    /// What made the run fail, if it has.
    pub(crate) fn publish(&mut self, prepared: Prepared, parts: &mut Parts) -> Result<Status> {
        let drained = parts.queues.iter().all(|queue| queue.is_drained());
        if let Err(error) = parts.letters.sync() {
            parts.failure.set(error);
        }
        if !parts.failure.is_set()
            && self.coordinator.is_none()
            && let Some(error) = self.unpublishable_part()
        {
            parts.failure.set(error);
        }
        if let Some(error) = parts.failure.take() {
            for (index, committables) in &prepared {
                // The run has failed already; what can't be removed stays hidden.
                let _ = parts.committers[*index].abort(committables);
            }
            return Err(error);
        }
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.last(prepared, drained, &mut parts.hands(), &self.job.stop)?;
        } else {
            if let Some(decider) = &self.decider {
                // The only transaction of the run: rows of another try would come in addition.
                match decider.commit(1, 1).map_err(Diagnostic::that_lasts)? {
                    Outcome::Committed => {}
                    Outcome::Fenced(error) => return Err(error.that_lasts()),
                    Outcome::Uncertain(error) => {
                        self.seen = Seen::Perhaps;
                        return Err(error.that_lasts());
                    }
                }
            }
            self.seen = Seen::Decided;
            for (index, committables) in &prepared {
                tracing::info!(
                    sink = self.counters.sinks[*index].name.as_str(),
                    files = committables.len(),
                    "publishing"
                );
                // What may be published already would be published twice by another try.
                parts.committers[*index].commit(committables).map_err(Diagnostic::that_lasts)?;
            }
        }
        if drained || self.coordinator.is_none() {
            parts.committers.iter_mut().try_for_each(|committer| committer.finish())?;
        }
        Ok(if self.job.stop.is_stopped() { Status::Stopped } else { Status::Finished })
    }

    /// A stop may publish a part of the rows, but a part must not replace the whole that was there,
    /// and nobody could tell which letters of a replay it holds.
    fn unpublishable_part(&self) -> Option<Box<Diagnostic>> {
        if !self.job.stop.is_stopped() {
            return None;
        }
        let failed = |message: String| Diagnostic::error(Code::OutputFailed, message);
        if self.job.replay.is_some() {
            let message = "stopped before all dead letters were replayed: nothing was written";
            return Some(failed(message.into()).help("the letters are still there: replay them again"));
        }
        let (_, sink) = self.topology.sinks.iter().find(|(_, sink)| sink.overwrite)?;
        let name = &sink.name;
        let message = format!("stopped before INSERT OVERWRITE had all rows: '{name}' keeps the rows it had");
        Some(failed(message).help("run it again to replace them"))
    }

    fn ordered_writers(&self) -> Result<Vec<Option<Arc<OrderedWriter>>>> {
        let shards = self.job.settings.parallelism.max(1);
        let mut out = Vec::new();
        for (sink, (node, _)) in self.sinks.iter().zip(&self.topology.sinks) {
            // Changes that come from a source as they are: only one writer keeps the order of each key's.
            let ordered = self.job.plan.nodes[*node].distribution == Distribution::Single;
            out.push(if ordered || sink.wants_order() {
                Some(Arc::new(OrderedWriter::new(sink.writer(0, 1)?, self.sources.len(), shards)))
            } else {
                None
            });
        }
        Ok(out)
    }

    /// All of them before the first one reads: a missing file must not wait for another source's end.
    fn readers(
        &self,
        shards: usize,
        buffers: &BufferPool,
        wakers: &Arc<Wakers>,
        failure: &Failure,
    ) -> Result<Vec<ReaderTask>> {
        let epoch = self.coordinator.as_ref().map_or(1, Coordinator::first_epoch);
        let mut readers = Vec::new();
        for (index, (ready, (_, node))) in self.sources.iter().zip(&self.topology.sources).enumerate() {
            let resume = self.coordinator.as_ref().and_then(|it| it.position(&node.name));
            let reader: Box<dyn SourceReader> = match &self.job.replay {
                Some(replay) => Box::new(ReplayReader::new(&node.name, replay)),
                None => ready.source.reader(resume.as_ref())?,
            };
            let capacity = reader::CHUNKS_AHEAD_PER_SHARD * shards;
            let (position, counters) = (reader.position(), self.counters.clone());
            let queue = ChunkQueue::new(index, capacity, epoch, position, wakers.clone(), counters.clone());
            let context = ReadContext {
                buffers: buffers.clone(),
                stop: self.job.stop.clone(),
                clock: self.job.clock.clone(),
                idle_timeout: self.job.settings.idle_timeout,
            };
            let failure = failure.clone();
            readers.push(ReaderTask { index, reader, queue: Arc::new(queue), context, counters, failure });
        }
        Ok(readers)
    }

    /// Of what a failed run has written readers see what a checkpoint made final, where a sink hides its rows.
    fn say_what_is_published(&self, summary: &mut Summary) {
        let counts = self.coordinator.as_ref().map(Coordinator::published_counts);
        let (seen, at_stake) =
            self.coordinator.as_ref().map_or((self.seen, None), |it| (it.seen(), it.counts_at_stake()));
        for (at, (_, node)) in self.topology.sinks.iter().enumerate() {
            let (SinkTarget::Table(table), Some(sink)) = (&node.target, summary.sinks.get_mut(at)) else {
                continue;
            };
            let guarantee = self.job.registry.connector_of(table).map(|it| it.sink_guarantee(table));
            let decides = matches!(guarantee, Ok(SinkGuarantee::Deciding));
            if decides || matches!(guarantee, Ok(SinkGuarantee::Repeatable)) {
                let written = |counts: &Counts| counts.sinks.get(at).map_or(0, |[written, ..]| *written);
                let all = if self.coordinator.is_some() { 0 } else { sink.written };
                sink.is_seen(decides, seen, counts.map_or(0, written), at_stake.map_or(all, written));
            } else if let Some(answers) = self.sinks.get(at).and_then(|it| it.answers()) {
                let restored = self.coordinator.as_ref().map(Coordinator::restored_counts);
                sink.is_answered(
                    answers,
                    restored.as_ref().map_or(0, |it| it.sinks.get(at).map_or(0, |it| it[0])),
                );
            }
        }
    }

    /// What the run has come to.
    pub(crate) fn summary(&self, outcome: Result<Status>) -> (Summary, Option<Box<Diagnostic>>) {
        let (status, error) = match outcome {
            Ok(status) => (status, None),
            Err(error) if self.coordinator.is_some() && self.gave_up.as_ref() == Some(&error.message) => {
                tracing::warn!("{}", error.message);
                (Status::Stopped, None)
            }
            Err(error) => (Status::Failed, Some(error)),
        };
        self.decider.iter().for_each(|it| it.close());
        let mut summary = match (status, &self.coordinator, &self.gave_up) {
            // What came after the newest checkpoint was left half done, and is no part of what the job did.
            (Status::Stopped, Some(coordinator), Some(_)) => {
                self.counters.summary_of(coordinator.published_counts(), status)
            }
            _ => self.counters.summary(status),
        };
        if error.is_some() {
            self.say_what_is_published(&mut summary);
        }
        summary.checkpoints = self.coordinator.as_ref().map(Coordinator::summary);
        summary.lookups = self.lookup_summaries();
        (summary, error)
    }
}
