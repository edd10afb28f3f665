//! A job: builds sources, shards and sinks from a plan, runs them, publishes or discards.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flott_connector::{
    BufferPool, Chunk, Clock, Committable, DeadLetterQueue, FormatRequest, OnError, Origin, Payload,
    ReadContext, Registry, ScanRequest, Sink, SinkRequest, Source, SourceReader, SplitInfo, StopSignal, io,
};
use flott_expr::{EvalContext, Program};
use flott_plan::{NodeId, NodeKind, SinkTarget, SourceInput, SourceNode, Step, StreamPlan};
use flott_types::{Code, Diagnostic, Options, Result};

use crate::{
    accounting::{Counters, EdgeCounters, SinkCounters, SourceCounters, Status, Summary},
    calc::{Calc, is_identity},
    order::OrderedWriter,
    reader::{self, Reading},
    shard::{EdgeReject, EdgeTask, Input, Policy, Shard},
    sink::{SinkTask, Writer},
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
    /// All options of the job.
    pub options: Options,
}

/// Records to read instead of a table: a replay of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Per source table: records with their bytes and where they came from. Tables that aren't
    /// named here read nothing.
    pub records: std::collections::BTreeMap<String, Vec<(Vec<u8>, Origin)>>,
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

/// The first error of a run; whoever fails sets it, everyone else looks at it and ends.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    first: Arc<Mutex<Option<Box<Diagnostic>>>>,
    set: Arc<AtomicBool>,
    signal: StopSignal,
    readers: StopSignal,
}

impl Failure {
    fn new(readers: StopSignal) -> Self {
        Self { readers, ..Self::default() }
    }
    /// Fails the run, unless it has failed already.
    pub fn set(&self, error: Box<Diagnostic>) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        self.set.store(true, Ordering::SeqCst);
        self.signal.stop();
        self.readers.stop();
    }
    /// Whether the run has failed.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }
    /// Waits, unless the run fails.
    pub fn wait(&self, timeout: Duration) {
        self.signal.wait(timeout);
    }
    fn take(&self) -> Option<Box<Diagnostic>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Fails the run when its thread panics, at once: the others may wait for what it held.
pub(crate) struct Alarm<'a> {
    pub failure: &'a Failure,
    /// What kind of thread it is.
    pub thread: &'static str,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = format!("a {} thread ended unexpectedly", self.thread);
            self.failure.set(Diagnostic::error(Code::Internal, message));
        }
    }
}

/// An edge of the plan: source → calc → sink, by index.
struct Edge {
    source: usize,
    calc: NodeId,
    sink: usize,
}

/// A job on its way.
struct Build<'a> {
    job: &'a Job,
    source_nodes: Vec<(NodeId, SourceNode)>,
    sink_ids: Vec<NodeId>,
    edges: Vec<Edge>,
    sources: Vec<(Arc<dyn Source>, Option<Step>)>,
    sinks: Vec<Arc<dyn Sink>>,
    counters: Arc<Counters>,
    context: EvalContext,
}

/// Runs a job to its end. `watch` gets the counters before the first row, for a live view.
///
/// # Errors
/// The first thing that stopped the run, with the summary as far as it came.
pub fn run(job: &Job, watch: &mut dyn FnMut(&Arc<Counters>)) -> (Summary, Option<Box<Diagnostic>>) {
    let empty = || Counters::default().summary(Status::Failed);
    let build = match Build::new(job) {
        Ok(build) => build,
        Err(error) => return (empty(), Some(error)),
    };
    let counters = build.counters.clone();
    watch(&counters);
    match build.run() {
        Ok(()) => {
            let status = if job.stop.is_stopped() { Status::Stopped } else { Status::Finished };
            (counters.summary(status), None)
        }
        Err(error) => (counters.summary(Status::Failed), Some(error)),
    }
}

impl<'a> Build<'a> {
    fn new(job: &'a Job) -> Result<Self> {
        let source_nodes: Vec<_> = job.plan.sources().map(|(id, node)| (id, node.clone())).collect();
        let sink_ids: Vec<_> = job.plan.sinks().map(|(id, _)| id).collect();
        let edges = edges(&job.plan, &source_nodes, &sink_ids);
        let context = EvalContext {
            now_micros: job.clock.now_micros(),
            time_zone: job.settings.time_zone,
            random_seed: job.clock.now_micros().unsigned_abs(),
            watermark: None,
        };
        let counters = Arc::new(Counters {
            sources: source_nodes
                .iter()
                .map(|(_, node)| SourceCounters { name: node.name.clone(), ..SourceCounters::default() })
                .collect(),
            sinks: job
                .plan
                .sinks()
                .map(|(_, node)| SinkCounters { name: node.name.clone(), ..SinkCounters::default() })
                .collect(),
            edges: edges
                .iter()
                .map(|edge| EdgeCounters { source: edge.source, sink: edge.sink, ..EdgeCounters::default() })
                .collect(),
            ..Counters::default()
        });
        let mut build = Self {
            job,
            source_nodes,
            sink_ids,
            edges,
            sources: Vec::new(),
            sinks: Vec::new(),
            counters,
            context,
        };
        build.build_sources()?;
        build.build_sinks()?;
        Ok(build)
    }

    fn build_sources(&mut self) -> Result<()> {
        for (id, node) in &self.source_nodes {
            let schema = self.job.plan.nodes[*id].schema.clone();
            let (source, leftover): (Arc<dyn Source>, _) = match &node.input {
                SourceInput::Values(rows) => {
                    let source = ValuesSource::new(rows, &node.projection, &schema);
                    (Arc::new(source), node.filter.clone().map(Step::Filter))
                }
                SourceInput::Table { table, .. } => {
                    let scan = ScanRequest {
                        projection: node.projection.clone(),
                        schema,
                        filter: node.filter.clone().map(|filter| Program::new(vec![filter])),
                        batch_rows: self.job.settings.batch_rows,
                        parallelism: self.job.settings.parallelism,
                        job_options: self.job.settings.options.clone(),
                    };
                    let connector = self.job.registry.connector_of(table)?;
                    let source = connector.source(table, scan, &self.job.registry)?;
                    let leftover =
                        if source.applies_filter() { None } else { node.filter.clone().map(Step::Filter) };
                    (source, leftover)
                }
            };
            self.sources.push((source, leftover));
        }
        Ok(())
    }

    fn build_sinks(&mut self) -> Result<()> {
        for &id in &self.sink_ids {
            let NodeKind::Sink(node) = &self.job.plan.nodes[id].kind else { continue };
            let sink = match &node.target {
                SinkTarget::Collect => self.job.collect.clone().ok_or_else(|| {
                    Diagnostic::error(Code::Internal, "a query runs without anyone to take its rows")
                })?,
                SinkTarget::Table(table) => {
                    let request = SinkRequest {
                        job_options: self.job.settings.options.clone(),
                        pipeline_name: self.job.settings.pipeline_name.clone(),
                        run_id: self.job.settings.run_id.clone(),
                        context: self.context.clone(),
                        clock: self.job.clock.clone(),
                        overwrite: node.overwrite,
                        checkpoints: false,
                        generation: 0,
                        first_generation: 0,
                        job_id: String::new(),
                        sink_number: self.sinks.len(),
                    };
                    self.job.registry.connector_of(table)?.sink(table, &request, &self.job.registry)?
                }
            };
            self.sinks.push(sink);
        }
        Ok(())
    }

    fn run(self) -> Result<()> {
        let settings = &self.job.settings;
        tracing::info!(
            pipeline = settings.pipeline_name.as_str(),
            run = settings.run_id.as_str(),
            shards = settings.parallelism,
            sources = self.sources.len(),
            sinks = self.sinks.len(),
            "run starts"
        );
        let failure = Failure::new(self.job.stop.clone());
        let queue = Arc::new(DeadLetterQueue::new(&settings.dead_letter_directory, &settings.run_id));
        let shards = settings.parallelism.max(1);
        let buffers = BufferPool::default();
        let mut committers = Vec::new();
        for sink in &self.sinks {
            committers.push(sink.committer()?);
        }
        let ordered = self.ordered_writers()?;
        let readings = self.start_readers(shards, &buffers, &failure)?;
        let mut prepared = self.run_shards(shards, &readings, &ordered, &queue, &buffers, &failure)?;
        // The queues go first, so that a reader that waits to hand over a chunk ends.
        for Reading { chunks, thread } in readings {
            drop(chunks);
            thread.join();
        }
        if !failure.is_set()
            && let Err(error) = finish_ordered(&ordered, &mut prepared, &failure)
        {
            failure.set(error);
        }
        drop(ordered);
        if let Err(error) = queue.sync() {
            failure.set(error);
        }
        if !failure.is_set()
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
        for (index, committables) in &prepared {
            tracing::info!(
                sink = self.counters.sinks[*index].name.as_str(),
                files = committables.len(),
                "publishing"
            );
            committers[*index].commit(committables)?;
        }
        committers.iter_mut().try_for_each(|committer| committer.finish())
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
        let nodes = self.sink_ids.iter().map(|id| &self.job.plan.nodes[*id].kind);
        let mut sinks =
            nodes.filter_map(|kind| if let NodeKind::Sink(sink) = kind { Some(sink) } else { None });
        let sink = sinks.find(|sink| sink.overwrite)?;
        let name = &sink.name;
        let message = format!("stopped before INSERT OVERWRITE had all rows: '{name}' keeps the rows it had");
        Some(failed(message).help("run it again to replace them"))
    }

    fn ordered_writers(&self) -> Result<Vec<Option<Arc<OrderedWriter>>>> {
        let mut out = Vec::new();
        for sink in &self.sinks {
            out.push(if sink.wants_order() {
                Some(Arc::new(OrderedWriter::new(sink.writer(0, 1)?, self.sources.len())))
            } else {
                None
            });
        }
        Ok(out)
    }

    fn start_readers(&self, shards: usize, buffers: &BufferPool, failure: &Failure) -> Result<Vec<Reading>> {
        let mut readings = Vec::new();
        // All of them before the first thread: a missing file must not wait for another source's end.
        let mut readers: Vec<Box<dyn SourceReader>> = Vec::new();
        for (index, (source, _)) in self.sources.iter().enumerate() {
            readers.push(match &self.job.replay {
                Some(replay) => Box::new(ReplayReader::new(&self.source_nodes[index].1, replay)),
                None => source.reader(None)?,
            });
        }
        for (index, reader) in readers.into_iter().enumerate() {
            let context = ReadContext {
                buffers: buffers.clone(),
                stop: self.job.stop.clone(),
                clock: self.job.clock.clone(),
                idle_timeout: None,
            };
            let started =
                reader::start(index, reader, shards, context, self.counters.clone(), failure.clone());
            readings.push(started.inspect_err(|error| failure.set(error.clone()))?);
        }
        Ok(readings)
    }

    fn run_shards(
        &self,
        shards: usize,
        readings: &[Reading],
        ordered: &[Option<Arc<OrderedWriter>>],
        queue: &Arc<DeadLetterQueue>,
        buffers: &BufferPool,
        failure: &Failure,
    ) -> Result<Vec<(usize, Vec<Committable>)>> {
        let results = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for number in 0..shards {
            let shard = match self.shard(number, shards, readings, ordered, queue, buffers, failure) {
                Ok(shard) => shard,
                Err(error) => {
                    failure.set(error);
                    break;
                }
            };
            let (results, failed) = (results.clone(), failure.clone());
            let thread = io::spawn(format!("shard-{number}"), move || {
                let _alarm = Alarm { failure: &failed, thread: "shard" };
                match shard.run() {
                    Ok(prepared) => results.lock().unwrap_or_else(PoisonError::into_inner).extend(prepared),
                    Err(error) => failed.set(error),
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
        // A thread that panicked has failed the run by its alarm.
        threads.into_iter().for_each(|thread| {
            thread.join();
        });
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *results))
    }

    #[expect(clippy::too_many_arguments, reason = "what a shard shares with the job, one by one")]
    fn shard(
        &self,
        number: usize,
        shards: usize,
        readings: &[Reading],
        ordered: &[Option<Arc<OrderedWriter>>],
        queue: &Arc<DeadLetterQueue>,
        buffers: &BufferPool,
        failure: &Failure,
    ) -> Result<Shard> {
        let mut context = self.context.clone();
        context.random_seed ^= (number as u64 + 1) << 48;
        let mut sinks = Vec::new();
        for (index, sink) in self.sinks.iter().enumerate() {
            let writer = match &ordered[index] {
                Some(shared) => Writer::Ordered { shared: shared.clone(), held: Vec::new() },
                None => Writer::Own(sink.writer(number, shards)?),
            };
            sinks.push(SinkTask::new(index, writer, self.counters.clone()));
        }
        let mut inputs = Vec::new();
        for (index, reading) in readings.iter().enumerate() {
            let policy = self.policy(index, queue)?;
            inputs.push(Input {
                index,
                chunks: reading.chunks.clone(),
                decoder: self.sources[index].0.decoder()?,
                edges: self.edge_tasks(index, &policy, &context),
                policy,
            });
        }
        Ok(Shard {
            inputs,
            sinks,
            buffers: buffers.clone(),
            context,
            clock: self.job.clock.clone(),
            failure: failure.clone(),
            buffer_timeout: self.job.settings.buffer_timeout,
            counters: self.counters.clone(),
        })
    }

    fn policy(&self, source: usize, queue: &Arc<DeadLetterQueue>) -> Result<Policy> {
        let node = &self.source_nodes[source].1;
        let on_error = match &node.input {
            SourceInput::Table { table, .. } => OnError::from_options(&table.options)?,
            SourceInput::Values(_) => OnError::Fail,
        };
        Ok(Policy {
            source: node.name.clone(),
            on_error,
            queue: queue.clone(),
            clock: self.job.clock.clone(),
            counters: self.counters.clone(),
        })
    }

    fn edge_tasks(&self, source: usize, policy: &Policy, context: &EvalContext) -> Vec<EdgeTask> {
        let input = &self.job.plan.nodes[self.source_nodes[source].0].schema;
        let of_source = || self.edges.iter().enumerate().filter(|(_, edge)| edge.source == source);
        let describe = self.describe_rows(input, context);
        let mut tasks = Vec::new();
        for (id, edge) in of_source() {
            let NodeKind::Calc(calc) = &self.job.plan.nodes[edge.calc].kind else { continue };
            let mut steps: Vec<Step> = self.sources[source].1.iter().cloned().collect();
            steps.extend(calc.steps.iter().cloned());
            let operator = if is_identity(&steps, input) {
                None
            } else {
                let sinks = vec![self.counters.sinks[edge.sink].name.clone()];
                let reject =
                    EdgeReject { policy: policy.clone(), edge: id, sinks, describe: describe.clone() };
                let clock = self.job.clock.clone();
                let now = Arc::new(move || clock.now_micros());
                let counters = self.counters.clone();
                let calc = Calc::new(&steps, input, counters, id, Box::new(reject), context.clone(), now);
                Some(Box::new(calc) as _)
            };
            tasks.push(EdgeTask { edge: id, operator, sink: edge.sink });
        }
        tasks
    }

    /// Writes a row as JSON where there is a JSON format: for dead letters of sources without bytes.
    fn describe_rows(
        &self,
        schema: &flott_types::Schema,
        context: &EvalContext,
    ) -> Arc<dyn Fn(&arrow::record_batch::RecordBatch) -> Vec<u8> + Send + Sync> {
        let (format, schema, context) =
            (self.job.registry.format("json").cloned(), schema.clone(), context.clone());
        Arc::new(move |batch| {
            let mut out = Vec::new();
            if let Ok(format) = &format {
                let table = flott_types::TableDescription::default();
                let request = FormatRequest { table: &table, schema: schema.clone() };
                let encoded =
                    format.encoder(&request, &context).and_then(|mut it| it.encode(batch, &mut out));
                if encoded.is_err() {
                    out.clear();
                }
            }
            out.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(out)
        })
    }
}

fn edges(plan: &StreamPlan, sources: &[(NodeId, SourceNode)], sinks: &[NodeId]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (sink, &sink_id) in sinks.iter().enumerate() {
        for &calc in &plan.nodes[sink_id].inputs {
            for input in &plan.nodes[calc].inputs {
                if let Some(source) = sources.iter().position(|(id, _)| id == input) {
                    edges.push(Edge { source, calc, sink });
                }
            }
        }
    }
    edges
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

/// Gives out dead letters instead of a table's records.
struct ReplayReader {
    records: Vec<(Vec<u8>, Origin)>,
    sequence: u64,
}

/// Records in a chunk of a replay.
const REPLAY_CHUNK_RECORDS: usize = 4096;

impl ReplayReader {
    fn new(node: &SourceNode, replay: &Replay) -> Self {
        let mut records = replay.records.get(&node.name).cloned().unwrap_or_default();
        records.reverse();
        Self { records, sequence: 0 }
    }
}

impl SourceReader for ReplayReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        if self.records.is_empty() || context.stop.is_stopped() {
            return Ok(None);
        }
        let mut batch = self.records.split_off(self.records.len().saturating_sub(REPLAY_CHUNK_RECORDS));
        batch.reverse();
        let sequence = self.sequence;
        self.sequence += 1;
        let bytes_in = batch.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let split = Arc::new(SplitInfo { name: "dead letters".into(), ..SplitInfo::default() });
        Ok(Some(Chunk { split, sequence, offset: 0, payload: Payload::Records(batch), bytes_in, time: Default::default() }))
    }
    fn position(&self) -> serde_json::Value {
        // A replay isn't checkpointed.
        serde_json::Value::Null
    }
}
