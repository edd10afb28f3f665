//! A job: builds sources, shards and sinks from a plan, runs them, publishes or discards.
//!
//! ```text
//!   plan ─ Topology ─► Build ─► readers ─► shards ═ reports ═► job thread ─► commit
//!                                                               (checkpoint.rs)
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use crossbeam_channel::Receiver;
use flott_connector::{
    BufferPool, Clock, Committable, Committer, DeadLetterQueue, LookupRequest, LookupRetry, LookupTable,
    OnError, ReadContext, Registry, ScanRequest, Sink, SinkRequest, Source, SourceReader, StopSignal, io,
};
use flott_expr::{EvalContext, Program};
use flott_plan::{Distribution, OperatorNode, SinkTarget, SourceInput, Step, StreamPlan};
use flott_types::{Code, Diagnostic, Options, Result};

use crate::{
    accounting::{Counters, EdgeCounters, LookupSummary, SinkCounters, SourceCounters, Status, Summary},
    checkpoint::{CheckpointSummary, Checkpointing, Coordinator, Requests},
    exchange::Wakers,
    failure::{Alarm, Failure},
    order::OrderedWriter,
    queue::ChunkQueue,
    reader,
    replay::{Replay, ReplayReader},
    shard::Report,
    shards::Builder,
    topology::Topology,
    values::ValuesSource,
};

/// How a job runs.
#[derive(Clone)]
pub struct JobSettings {
    /// Shards: `parallelism.default`, or the number of cores.
    pub parallelism: usize,
    /// Rows in a batch at the most.
    pub batch_rows: usize,
    /// `execution.buffer-timeout.interval`
    pub buffer_timeout: Duration,
    /// `table.local-time-zone`
    pub time_zone: chrono_tz::Tz,
    /// `pipeline.name`
    pub pipeline_name: String,
    /// `'dead-letter.path'`, the job's name included.
    pub dead_letter_directory: PathBuf,
    /// Differs for every run.
    pub run_id: String,
    /// `pipeline.max-parallelism`: key groups, fixed for a job that has checkpoints.
    pub key_groups: u16,
    /// `taskmanager.network.memory.buffers-per-channel`: messages between two shards at the most.
    pub exchange_capacity: usize,
    /// `table.exec.source.idle-timeout`
    pub idle_timeout: Option<Duration>,
    /// `execution.runtime-mode = 'batch'`
    pub batch_mode: bool,
    /// `table.exec.mini-batch.*`
    pub mini_batch: MiniBatch,
    /// Checkpoints, if a directory for them is known.
    pub checkpointing: Option<Checkpointing>,
    /// All options of the job.
    pub options: Options,
}

/// How long operators gather changes of a key before they say what came of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MiniBatch {
    /// At most this long. They don't wait: what has come is taken together.
    pub latency: Duration,
    /// At most this many rows. 1: every row's change is told.
    pub rows: u64,
}

/// Everything a run needs.
pub struct Job {
    /// What to run.
    pub plan: StreamPlan,
    /// Connectors and formats.
    pub registry: Registry,
    /// How to run it.
    pub settings: JobSettings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Stops the run cleanly.
    pub stop: StopSignal,
    /// Where a query's rows go.
    pub collect: Option<Arc<dyn Sink>>,
    /// Read these instead of the tables.
    pub replay: Option<Replay>,
}

/// Runs a job to its end. `watch` gets the counters before the first row, for a live view.
///
/// # Errors
/// The first thing that stopped the run, with the summary as far as it came.
pub fn run(job: &Job, watch: &mut dyn FnMut(&Arc<Counters>)) -> (Summary, Option<Box<Diagnostic>>) {
    let empty = || Counters::default().summary(Status::Failed);
    let run = match Run::new(job) {
        Ok(run) => run,
        Err(error) => return (empty(), Some(error)),
    };
    let counters = run.counters.clone();
    watch(&counters);
    let (outcome, checkpoints, lookups) = run.run();
    let (status, error) = match outcome {
        Ok(status) => (status, None),
        Err(error) => (Status::Failed, Some(error)),
    };
    let mut summary = counters.summary(status);
    summary.checkpoints = checkpoints;
    summary.lookups = lookups;
    (summary, error)
}

/// A source ready to be read.
pub(crate) struct ReadySource {
    pub source: Arc<dyn Source>,
    /// The plan's predicate, if the decoder doesn't apply it.
    pub leftover: Option<Step>,
}

/// A job on its way.
struct Run<'a> {
    job: &'a Job,
    topology: Topology,
    sources: Vec<ReadySource>,
    sinks: Vec<Arc<dyn Sink>>,
    /// For each operator the table that it looks rows up in, if it does.
    lookups: Vec<Option<Arc<dyn LookupTable>>>,
    counters: Arc<Counters>,
    context: EvalContext,
    coordinator: Option<Coordinator>,
}

/// Reports that may wait for the job thread: each shard has at most one barrier under way.
const REPORTS_PER_SHARD: usize = 4;

impl<'a> Run<'a> {
    fn new(job: &'a Job) -> Result<Self> {
        let topology = Topology::of(&job.plan)?;
        let context = EvalContext {
            now_micros: job.clock.now_micros(),
            time_zone: job.settings.time_zone,
            random_seed: job.clock.now_micros().unsigned_abs(),
            watermark: None,
        };
        let counters = Arc::new(counters(&topology));
        let coordinator = match &job.settings.checkpointing {
            Some(settings) if job.replay.is_none() && job.collect.is_none() => {
                Some(Coordinator::start(settings, job, &topology)?)
            }
            _ => None,
        };
        let (sources, sinks, lookups) = (Vec::new(), Vec::new(), Vec::new());
        let mut run = Self { job, topology, sources, sinks, lookups, counters, context, coordinator };
        run.build_sources()?;
        run.build_sinks()?;
        run.build_lookups()?;
        Ok(run)
    }

    fn build_sources(&mut self) -> Result<()> {
        for (id, node) in &self.topology.sources {
            let mut schema = self.job.plan.nodes[*id].schema.clone();
            // Behind the columns that are read may stand one that tells where a row came from.
            schema.fields.truncate(node.projection.len());
            let ready = match &node.input {
                SourceInput::Values(rows) => ReadySource {
                    source: Arc::new(ValuesSource::new(rows, &node.projection, &schema)),
                    leftover: node.filter.clone().map(Step::Filter),
                },
                SourceInput::Table { table, .. } => {
                    let scan = ScanRequest {
                        projection: node.projection.clone(),
                        schema,
                        filter: node.filter.clone().map(|filter| Program::new(vec![filter])),
                        batch_rows: self.job.settings.batch_rows,
                        parallelism: self.job.settings.parallelism,
                        even_time: node.watermark.is_some(),
                        job_options: self.job.settings.options.clone(),
                    };
                    let connector = self.job.registry.connector_of(table)?;
                    let source = connector.source(table, scan, &self.job.registry)?;
                    let leftover =
                        if source.applies_filter() { None } else { node.filter.clone().map(Step::Filter) };
                    ReadySource { source, leftover }
                }
            };
            self.sources.push(ready);
        }
        Ok(())
    }

    /// Tables that are looked up begin to be read here.
    fn build_lookups(&mut self) -> Result<()> {
        for spec in &self.topology.operators {
            let OperatorNode::LookupJoin(join) = &spec.node else {
                self.lookups.push(None);
                continue;
            };
            let request = LookupRequest {
                keys: join.keys.iter().map(|it| it.1).collect(),
                projection: join.reads.clone(),
                schema: join.table.schema().project(&join.reads),
                filter: join.filter.clone().map(|filter| Program::new(vec![filter])),
                retry: join.lookup.retry.map(|(delay_millis, attempts_max)| LookupRetry {
                    delay: Duration::from_millis(delay_millis.unsigned_abs()),
                    attempts_max,
                }),
                batch_rows: self.job.settings.batch_rows,
                job_options: self.job.settings.options.clone(),
                context: self.context.clone(),
                clock: self.job.clock.clone(),
            };
            let connector = self.job.registry.connector_of(&join.table)?;
            self.lookups.push(Some(connector.lookup(&join.table, request, &self.job.registry)?));
        }
        Ok(())
    }

    /// What the tables that were looked up have done.
    fn lookup_summaries(&self) -> Vec<LookupSummary> {
        let all = self.topology.operators.iter().zip(&self.lookups);
        let asked = all.filter_map(|(spec, table)| match &spec.node {
            OperatorNode::LookupJoin(join) => Some((&join.table.name, table.as_ref()?.status())),
            _ => None,
        });
        asked
            .map(|(name, status)| LookupSummary {
                name: name.clone(),
                rows: status.rows,
                loads: status.loads,
                failed_loads: status.failed_loads,
                bad_records: status.bad_records,
            })
            .collect()
    }

    fn build_sinks(&mut self) -> Result<()> {
        for (_, node) in &self.topology.sinks {
            let sink = match &node.target {
                SinkTarget::Collect => self.job.collect.clone().ok_or_else(|| {
                    Diagnostic::error(Code::Internal, "a query runs without anyone to take its rows")
                })?,
                SinkTarget::Table(table) => {
                    let identity = self.coordinator.as_ref().map(Coordinator::identity).unwrap_or_default();
                    let request = SinkRequest {
                        job_options: self.job.settings.options.clone(),
                        pipeline_name: self.job.settings.pipeline_name.clone(),
                        run_id: self.job.settings.run_id.clone(),
                        context: self.context.clone(),
                        clock: self.job.clock.clone(),
                        overwrite: node.overwrite,
                        checkpoints: self.coordinator.is_some(),
                        generation: identity.generation,
                        first_generation: identity.first_generation,
                        first_epoch: self.coordinator.as_ref().map_or(1, Coordinator::first_epoch),
                        job_id: identity.job_id,
                        sink_number: self.sinks.len(),
                    };
                    self.job.registry.connector_of(table)?.sink(table, &request, &self.job.registry)?
                }
            };
            self.sinks.push(sink);
        }
        Ok(())
    }

    fn run(mut self) -> (Result<Status>, Option<CheckpointSummary>, Vec<LookupSummary>) {
        let outcome = self.go();
        (outcome, self.coordinator.as_ref().map(Coordinator::summary), self.lookup_summaries())
    }

    fn go(&mut self) -> Result<Status> {
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
        let letters = Arc::new(match &self.coordinator {
            None => DeadLetterQueue::new(&settings.dead_letter_directory, &settings.run_id),
            Some(coordinator) => {
                let identity = coordinator.identity();
                DeadLetterQueue::by_epoch(
                    &settings.dead_letter_directory,
                    &settings.pipeline_name,
                    &identity.job_id,
                    identity.generation,
                )
            }
        });
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.finish_tip(&mut committers, &letters)?;
            self.counters.restore(&coordinator.restored_counts());
            if coordinator.is_finished() {
                tracing::info!(pipeline = settings.pipeline_name.as_str(), "the job has finished already");
                // Perhaps it was killed before it could say so (`_SUCCESS`).
                committers.iter_mut().try_for_each(|committer| committer.finish())?;
                return Ok(Status::Finished);
            }
        }
        let failure = Failure::new(self.job.stop.clone());
        let ordered = self.ordered_writers()?;
        let shards = settings.parallelism.max(1);
        let wakers = Arc::new(Wakers::new(shards));
        let requests = Arc::new(Requests::new(self.coordinator.is_some(), settings.key_groups));
        let buffers = BufferPool::default();
        let (queues, readers) = self.start_readers(shards, &buffers, &wakers, &failure)?;
        let (reports, received) = crossbeam_channel::bounded(REPORTS_PER_SHARD * shards);
        let builder = Builder {
            job: self.job,
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
            restored: self.coordinator.as_ref(),
        };
        let threads = start_shards(&builder, shards, reports, &failure);
        let outcome = match &mut self.coordinator {
            Some(coordinator) => coordinator.run(
                &received,
                shards,
                &queues,
                &requests,
                &wakers,
                &mut committers,
                &letters,
                &failure,
            ),
            None => collect(&received, shards, &failure),
        };
        if let Err(error) = outcome.as_ref() {
            failure.set(error.clone());
        }
        // The queues go first, so that a reader that waits to hand over a chunk ends.
        queues.iter().for_each(|queue| queue.close());
        wakers.wake_all();
        // A thread that panicked has failed the run by its alarm.
        for thread in threads.into_iter().chain(readers) {
            thread.join();
        }
        let mut prepared = outcome.unwrap_or_default();
        if !failure.is_set()
            && let Err(error) = finish_ordered(&ordered, &mut prepared, &failure)
        {
            failure.set(error);
        }
        drop(ordered);
        let drained = queues.iter().all(|queue| queue.is_drained());
        self.publish(prepared, drained, &mut committers, &letters, &queues, &requests, &failure)
    }

    #[expect(clippy::too_many_arguments, reason = "what the run has built, one by one")]
    /// The last rows: in a last checkpoint if there are checkpoints, all at once else.
    fn publish(
        &mut self,
        prepared: Vec<(usize, Vec<Committable>)>,
        drained: bool,
        committers: &mut [Box<dyn Committer>],
        letters: &DeadLetterQueue,
        queues: &[Arc<ChunkQueue>],
        requests: &Requests,
        failure: &Failure,
    ) -> Result<Status> {
        if let Err(error) = letters.sync() {
            failure.set(error);
        }
        if !failure.is_set()
            && self.coordinator.is_none()
            && let Some(error) = self.unpublishable_part()
        {
            failure.set(error);
        }
        if let Some(error) = failure.take() {
            for (index, committables) in &prepared {
                // The run has failed already; what can't be removed stays hidden.
                let _ = committers[*index].abort(committables);
            }
            return Err(error);
        }
        if let Some(coordinator) = &mut self.coordinator {
            let shards = self.job.settings.parallelism.max(1);
            coordinator.last(prepared, drained, queues, shards, requests, committers, letters)?;
        } else {
            for (index, committables) in &prepared {
                tracing::info!(
                    sink = self.counters.sinks[*index].name.as_str(),
                    files = committables.len(),
                    "publishing"
                );
                committers[*index].commit(committables)?;
            }
        }
        if drained || self.coordinator.is_none() {
            committers.iter_mut().try_for_each(|committer| committer.finish())?;
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
        let mut out = Vec::new();
        for (sink, (node, _)) in self.sinks.iter().zip(&self.topology.sinks) {
            // Changes that come from a source as they are: only one writer keeps the order of each key's.
            let ordered = self.job.plan.nodes[*node].distribution == Distribution::Single;
            out.push(if ordered || sink.wants_order() {
                Some(Arc::new(OrderedWriter::new(sink.writer(0, 1)?, self.sources.len())))
            } else {
                None
            });
        }
        Ok(out)
    }

    fn start_readers(
        &self,
        shards: usize,
        buffers: &BufferPool,
        wakers: &Arc<Wakers>,
        failure: &Failure,
    ) -> Result<(Vec<Arc<ChunkQueue>>, Vec<io::Thread>)> {
        // All of them before the first thread: a missing file must not wait for another source's end.
        let mut readers: Vec<Box<dyn SourceReader>> = Vec::new();
        for (ready, (_, node)) in self.sources.iter().zip(&self.topology.sources) {
            let resume = self.coordinator.as_ref().and_then(|it| it.position(&node.name));
            readers.push(match &self.job.replay {
                Some(replay) => Box::new(ReplayReader::new(&node.name, replay)),
                None => ready.source.reader(resume.as_ref())?,
            });
        }
        let epoch = self.coordinator.as_ref().map_or(1, Coordinator::first_epoch);
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for (index, reader) in readers.into_iter().enumerate() {
            let context = ReadContext {
                buffers: buffers.clone(),
                stop: self.job.stop.clone(),
                clock: self.job.clock.clone(),
                idle_timeout: self.job.settings.idle_timeout,
            };
            let capacity = reader::CHUNKS_AHEAD_PER_SHARD * shards;
            let queue = Arc::new(ChunkQueue::new(
                index,
                capacity,
                epoch,
                reader.position(),
                wakers.clone(),
                self.counters.clone(),
            ));
            let counters = self.counters.clone();
            let started = reader::start(index, reader, queue.clone(), context, counters, failure.clone());
            queues.push(queue);
            threads.push(started.inspect_err(|error| {
                failure.set(error.clone());
                // Readers that wait for room end, so that they can be joined.
                queues.iter().for_each(|queue: &Arc<ChunkQueue>| queue.close());
            })?);
        }
        Ok((queues, threads))
    }
}

fn counters(topology: &Topology) -> Counters {
    let source = |name: &String| SourceCounters { name: name.clone(), ..SourceCounters::default() };
    let sink = |name: &String| SinkCounters { name: name.clone(), ..SinkCounters::default() };
    Counters {
        sources: topology.sources.iter().map(|(_, node)| source(&node.name)).collect(),
        sinks: topology.sinks.iter().map(|(_, node)| sink(&node.name)).collect(),
        edges: topology
            .edges
            .iter()
            .map(|edge| EdgeCounters {
                from: topology.producer_name(edge.producer).to_string(),
                to: topology.consumer_name(edge.consumer).to_string(),
                ..EdgeCounters::default()
            })
            .collect(),
        ..Counters::default()
    }
}

fn start_shards(
    builder: &Builder<'_>,
    shards: usize,
    reports: crossbeam_channel::Sender<Report>,
    failure: &Failure,
) -> Vec<io::Thread> {
    let mut threads = Vec::new();
    let built: Result<Vec<_>> = builder.shards(shards, &reports);
    drop(reports);
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            failure.set(error);
            return threads;
        }
    };
    for (number, shard) in built.into_iter().enumerate() {
        let failed = failure.clone();
        let thread = io::spawn(format!("shard-{number}"), move || {
            let _alarm = Alarm { failure: &failed, thread: "shard" };
            if let Err(error) = shard.run() {
                failed.set(error);
            }
        });
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                failure.set(error);
                break;
            }
        }
    }
    threads
}

/// Without checkpoints: waits for all shards; what they prepared.
fn collect(
    reports: &Receiver<Report>,
    shards: usize,
    failure: &Failure,
) -> Result<Vec<(usize, Vec<Committable>)>> {
    let mut prepared = Vec::new();
    for _ in 0..shards {
        // An end without report: the shards have failed.
        let Ok(report) = reports.recv() else { break };
        if let Report::Finished { committables, .. } = report {
            prepared.extend(committables);
        }
        if failure.is_set() {
            break;
        }
    }
    // The others' reports, so that what they prepared can be discarded.
    for report in reports.try_iter() {
        if let Report::Finished { committables, .. } = report {
            prepared.extend(committables);
        }
    }
    Ok(prepared)
}

/// Prepares the writers that all shards share.
fn finish_ordered(
    ordered: &[Option<Arc<OrderedWriter>>],
    prepared: &mut Vec<(usize, Vec<Committable>)>,
    failure: &Failure,
) -> Result<()> {
    for (index, writer) in ordered.iter().enumerate() {
        let Some(writer) = writer else { continue };
        writer.finish()?;
        writer.prepare(1)?;
        loop {
            if let Some(committables) = writer.poll_prepared()? {
                prepared.push((index, committables));
                break;
            }
            if failure.is_set() {
                return Ok(());
            }
            failure.wait(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// What becomes of a source's bad records.
///
/// # Errors
/// `InvalidOption`
pub(crate) fn on_error(input: &SourceInput) -> Result<OnError> {
    match input {
        SourceInput::Table { table, .. } => OnError::from_options(&table.options),
        SourceInput::Values(_) => Ok(OnError::Fail),
    }
}
