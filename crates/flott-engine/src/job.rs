//! A job: builds sources, shards and sinks from a plan, runs them, publishes or discards.
//!
//! ```text
//!   Job ─ Topology ─► Run: sources, sinks, checkpoint to go on from   (here, checkpoint/start.rs)
//!                      └─► Parts: readers, shards, committers         (parts.rs)
//!                           └─► driven by threads (threads.rs) or step by step (stepped.rs)
//!                                └─► the last rows are published      (parts.rs)
//! ```

use std::{ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use flott_connector::{
    Clock, Decider, DeciderRequest, Disk, LookupRequest, LookupRetry, LookupTable, OnError, Registry,
    ScanRequest, Sink, SinkGuarantee, SinkRequest, Source, StopSignal,
};
use flott_expr::{EvalContext, Program};
use flott_operators::MemoryBudget;
use flott_plan::{OperatorNode, SinkTarget, SourceInput, Step, StreamPlan};
use flott_state::{Check, Storage};
use flott_types::{Code, Diagnostic, Options, Result};

use crate::{
    accounting::{
        Counters, EdgeCounters, LookupSummary, Seen, SinkCounters, SourceCounters, Status, Summary,
    },
    activity::{Activity, Identity},
    checkpoint::{Checkpointing, Coordinator},
    replay::Replay,
    restore::{Restored, Warm, evaluation, is_damage},
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
    /// Where state is, and how much of it in memory.
    pub state: StateSettings,
    /// All options of the job.
    pub options: Options,
}

/// How much state is in memory, and where the rest is.
#[derive(Debug, Clone)]
pub struct StateSettings {
    /// `state.memory.budget`
    pub budget: Arc<MemoryBudget>,
    /// The run's own directory below `state.dir`.
    pub scratch: Arc<dyn Storage>,
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
    /// Where sinks and dead letters write files.
    pub disk: Arc<dyn Disk>,
    /// Stops the run cleanly.
    pub stop: StopSignal,
    /// Where a query's rows go.
    pub collect: Option<Arc<dyn Sink>>,
    /// Read these instead of the tables.
    pub replay: Option<Replay>,
    /// What a standby has restored ahead.
    pub warm: Option<Warm>,
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
    watch(&run.counters);
    run.on_threads()
}

/// A source ready to be read.
pub(crate) struct ReadySource {
    pub source: Arc<dyn Source>,
    /// The plan's predicate, if the decoder doesn't apply it.
    pub leftover: Option<Step>,
}

/// A job on its way.
pub(crate) struct Run<J> {
    pub job: J,
    pub topology: Topology,
    pub sources: Vec<ReadySource>,
    pub sinks: Vec<Arc<dyn Sink>>,
    /// For each operator the table that it looks rows up in, if it does.
    pub lookups: Vec<Option<Arc<dyn LookupTable>>>,
    pub counters: Arc<Counters>,
    pub context: EvalContext,
    pub coordinator: Option<Coordinator>,
    /// What decides the epochs of the job's deciding sinks, if it has any.
    pub decider: Option<Arc<dyn Decider>>,
    /// Operators that have their state back.
    pub restored: Restored,
    /// Without checkpoints: how far publishing has come.
    pub seen: Seen,
    /// The run was stopped, and what was under way took too long: what is said of that.
    pub gave_up: Option<String>,
}

impl<J: Deref<Target = Job>> Run<J> {
    /// Claims the job and restores its state. Damage that shows only then sends it back to check everything
    /// before it decides on a checkpoint.
    ///
    /// # Errors
    /// What claiming, building and restoring need.
    pub(crate) fn new(job: J) -> Result<Self> {
        let mut run = Self::claim(job, Check::WhenRead)?;
        match run.restore() {
            Err(error) if is_damage(&error) => {
                tracing::warn!("a checkpoint turned out damaged: {}", error.message);
                run = Self::claim(run.job, Check::First)?;
                run.restore()?;
            }
            outcome => outcome?,
        }
        Ok(run)
    }

    fn restore(&mut self) -> Result<()> {
        if let Some(coordinator) = &self.coordinator {
            self.restored = coordinator.restore_all(&self.job, &self.topology, &self.context)?;
        }
        Ok(())
    }

    fn claim(job: J, check: Check) -> Result<Self> {
        let topology = Topology::of(&job.plan)?;
        let context = evaluation(&job);
        let shards = job.settings.parallelism.max(1);
        let counters =
            Arc::new(Counters { activity: Arc::new(Activity::of(&topology, shards)), ..counters(&topology) });
        let checkpointing = job.settings.checkpointing.as_ref();
        let checkpointing = checkpointing.filter(|_| job.replay.is_none() && job.collect.is_none());
        let decider = decider(&job, checkpointing)?;
        let coordinator = match checkpointing {
            Some(settings) => Some(
                Coordinator::start(settings, &job, &topology, decider.clone(), check)?
                    .tells(counters.activity.clone()),
            ),
            None => {
                // All rows are one transaction.
                decider.iter().try_for_each(|it| it.fence())?;
                None
            }
        };
        counters.activity.is_of(Identity {
            job: job.settings.pipeline_name.clone(),
            run: job.settings.run_id.clone(),
            generation: coordinator.as_ref().map_or(0, |it| it.identity().generation),
            started_micros: job.clock.now_micros(),
            started: job.clock.monotonic(),
        });
        let (sources, sinks, lookups) = (Vec::new(), Vec::new(), Vec::new());
        let restored = Restored::default();
        let mut run = Self {
            job,
            topology,
            sources,
            sinks,
            lookups,
            counters,
            context,
            coordinator,
            decider,
            restored,
            seen: Seen::Known,
            gave_up: None,
        };
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
            if !ready.source.replays()
                && let Some(error) = self.job.plan.cannot_replay(*id)
            {
                return Err(error);
            }
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
    pub(crate) fn lookup_summaries(&self) -> Vec<LookupSummary> {
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
                        disk: self.job.disk.clone(),
                        stop: self.job.stop.clone(),
                        overwrite: node.overwrite,
                        checkpoints: self.coordinator.is_some(),
                        generation: identity.generation,
                        first_generation: identity.first_generation,
                        first_epoch: self.coordinator.as_ref().map_or(1, Coordinator::first_epoch),
                        job_id: identity.job_id,
                        sink_number: self
                            .coordinator
                            .as_ref()
                            .map_or(self.sinks.len(), |it| it.sink_number(&node.name)),
                        decider: self.decider.clone(),
                    };
                    self.job.registry.connector_of(table)?.sink(table, &request, &self.job.registry)?
                }
            };
            self.sinks.push(sink);
        }
        Ok(())
    }
}

/// What decides the epochs of the job's deciding sinks, if it has any.
fn decider(job: &Job, checkpointing: Option<&Checkpointing>) -> Result<Option<Arc<dyn Decider>>> {
    let request = DeciderRequest {
        job_options: job.settings.options.clone(),
        // Each pipeline of a script has checkpoints of its own, so it needs a token of its own.
        pipeline_name: checkpointing.map_or(&job.settings.pipeline_name, |it| &it.job).clone(),
        checkpoints: checkpointing.is_some(),
        interval: checkpointing.map_or(Duration::ZERO, |it| it.interval),
        run_id: job.settings.run_id.clone(),
        clock: job.clock.clone(),
        stop: job.stop.clone(),
    };
    decider_of(&job.plan, &job.registry, &request)
}

fn decider_of(
    plan: &StreamPlan,
    registry: &Registry,
    request: &DeciderRequest,
) -> Result<Option<Arc<dyn Decider>>> {
    let mut tables = Vec::new();
    for (_, node) in plan.sinks() {
        if let SinkTarget::Table(table) = &node.target
            && registry.connector_of(table)?.sink_guarantee(table) == SinkGuarantee::Deciding
        {
            tables.push(table);
        }
    }
    let Some(first) = tables.first() else { return Ok(None) };
    registry.connector_of(first)?.decider(&tables, request).map(Some)
}

/// Whether what would decide the epochs of a plan's sinks can be had, as far as options say: what a run would say at
/// its start.
///
/// # Errors
/// `InvalidOption`, `UnsupportedUse`
pub fn check_decider(
    plan: &StreamPlan,
    registry: &Registry,
    options: &Options,
    checkpointing: Option<&Checkpointing>,
    clock: &Arc<dyn Clock>,
) -> Result<()> {
    let request = DeciderRequest {
        job_options: options.clone(),
        pipeline_name: checkpointing.map(|it| it.job.clone()).unwrap_or_default(),
        checkpoints: checkpointing.is_some(),
        interval: checkpointing.map_or(Duration::ZERO, |it| it.interval),
        run_id: String::new(),
        clock: clock.clone(),
        stop: StopSignal::new(),
    };
    decider_of(plan, registry, &request).map(drop)
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
