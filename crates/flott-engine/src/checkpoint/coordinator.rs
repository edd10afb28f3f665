//! Takes checkpoints while a job runs, and a job up again where its last one left it.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use flott_connector::{Clock, Committable, Committer, DeadLetterQueue};
use flott_plan::{SinkTarget, SourceInput};
use flott_state::{
    Incarnation, LocalStorage, Manifest, OperatorSnapshot, OperatorState, PublishError, Recovered, Segment,
    ShardPart, Storage, Token, chain,
    manifest::OperatorEntry,
    sequence::{job_folder, read_checkpoint},
};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use super::{Checkpointing, Requests, Resume};
use crate::{
    accounting::Counts,
    exchange::Wakers,
    failure::Failure,
    job::Job,
    queue::ChunkQueue,
    shard::{Report, Snapshots, operator::OperatorTask},
    topology::{Edge, Topology},
};

/// What sinks need to name what they write.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The number of this incarnation's claim.
    pub generation: u64,
    /// The generation in which the job began from nothing.
    pub first_generation: u64,
    /// Tells the job's checkpoints from all others.
    pub job_id: String,
}

/// What the shards have handed over and no checkpoint holds yet.
#[derive(Default)]
struct Pending {
    /// Per shard, by operator.
    snapshots: Vec<BTreeMap<String, OperatorSnapshot>>,
    /// Per sink.
    committables: Vec<Vec<Committable>>,
    /// Dead letters.
    letters: Vec<Committable>,
}

impl Pending {
    fn new(shards: usize, sinks: usize) -> Self {
        let snapshots = (0..shards).map(|_| BTreeMap::new()).collect();
        Self { snapshots, committables: vec![Vec::new(); sinks], letters: Vec::new() }
    }
    fn snapshots(&mut self, shard: usize, snapshots: Snapshots) {
        let Some(mine) = self.snapshots.get_mut(shard) else { return };
        for (id, snapshot) in snapshots {
            let snapshot = match mine.remove(&id) {
                Some(earlier) => snapshot.after(earlier),
                None => snapshot,
            };
            mine.insert(id, snapshot);
        }
    }
    fn committables(&mut self, prepared: Vec<(usize, Vec<Committable>)>) {
        for (sink, committables) in prepared {
            if let Some(mine) = self.committables.get_mut(sink) {
                mine.extend(committables);
            }
        }
    }
}

/// A checkpoint on its way.
struct UnderWay {
    epoch: u64,
    since: Duration,
    sources: BTreeMap<String, Value>,
    /// Bytes that each source has read up to there.
    bytes: Vec<u64>,
    passed: usize,
    prepared: usize,
    counts: Counts,
    late: bool,
}

/// What a script is, as far as its checkpoints depend on it.
struct Script {
    /// The edges' ends, in order: counts belong to them.
    edges: Value,
    /// Where each table is that is read or written: connector and path.
    tables: BTreeMap<String, String>,
    /// A number that changes with anything in the plan.
    all: Value,
}

impl Script {
    fn of(job: &Job, topology: &Topology) -> Self {
        let name = |edge: &Edge| {
            [topology.producer_name(edge.producer), topology.consumer_name(edge.consumer)].map(str::to_string)
        };
        let edges = json!(topology.edges.iter().map(name).collect::<Vec<_>>());
        let read = topology.sources.iter().filter_map(|(_, node)| match &node.input {
            SourceInput::Table { table, .. } => Some((format!("read {}", node.name), table)),
            SourceInput::Values(_) => None,
        });
        let written = topology.sinks.iter().filter_map(|(_, node)| match &node.target {
            SinkTarget::Table(table) => Some((format!("written {}", node.name), table)),
            SinkTarget::Collect => None,
        });
        let (mut tables, mut all) = (BTreeMap::new(), String::new());
        for (name, table) in read.chain(written) {
            let option = |key: &str| table.options.get(key).unwrap_or_default().to_string();
            for (key, option) in table.options.iter() {
                all.push_str(&format!("{name} {key}={};", option.value));
            }
            all.push_str(&format!("{};", table.schema()));
            tables.insert(name, format!("{} {}", option("connector"), option("path")));
        }
        job.plan.nodes.iter().for_each(|node| all.push_str(&format!("{};", node.stable_id)));
        Self { edges, tables, all: format!("{:016x}", nonce(&all)).into() }
    }
}

/// A checkpoint to go on from.
struct Origin {
    manifest: Manifest,
    storage: Arc<dyn Storage>,
    /// It was named by its path: its state is written anew into the job's own directory.
    named: bool,
}

/// What checkpoints a run has made, for its summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CheckpointSummary {
    /// Where they are.
    pub directory: String,
    /// The checkpoint that the run went on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<u64>,
    /// That checkpoint was the job's last: there was nothing left to do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub had_finished: bool,
    /// Completed ones.
    pub completed: u64,
    /// Those that could not be written.
    pub failed: u64,
    /// The newest one's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Bytes of state in the newest one.
    pub state_bytes: u64,
    /// Bytes written by the newest one.
    pub last_bytes: u64,
    /// Bytes written by all.
    pub bytes: u64,
    /// The longest time that a shard took no input for a barrier, in microseconds.
    pub longest_stall_micros: u64,
}

/// The checkpoints of a run.
pub struct Coordinator {
    settings: Checkpointing,
    job: String,
    key_groups: u16,
    clock: Arc<dyn Clock>,
    storage: Arc<dyn Storage>,
    incarnation: Incarnation,
    identity: Identity,
    /// The newest checkpoint of the job, whose commits must be finished.
    tip: Option<Manifest>,
    tip_is_confirmed: bool,
    /// What the run goes on from, and where its state lies.
    origin: Option<Origin>,
    /// An older checkpoint had to be used than the newest.
    fell_back: bool,
    /// What the script is, to be compared with what it was.
    script: Script,
    /// Per source: its name.
    sources: Vec<String>,
    /// Per sink: its name.
    sinks: Vec<String>,
    /// Per operator: its id.
    operators: Vec<String>,
    /// The newest checkpoint's state.
    state: BTreeMap<String, OperatorEntry>,
    pending: Pending,
    counts: Counts,
    summary: CheckpointSummary,
    /// What the shards counted up to their end.
    last_counts: Counts,
    /// The epoch that the end of the run ends.
    last_epoch: u64,
    /// Checkpoints that have failed since the last complete one.
    failed_in_a_row: u32,
}

/// What shards hand over waits in memory until a checkpoint holds it: not for ever.
const FAILURES_MAX: u32 = 30;

/// How often a lost answer is asked for.
const PUBLISH_TRIES: usize = 10;

/// Looks this often whether it is time for the next checkpoint.
const TICK: Duration = Duration::from_millis(20);

impl Coordinator {
    /// Claims the next generation of the job, finds the checkpoint to go on from.
    ///
    /// # Errors
    /// `CheckpointUnusable`, `CheckpointFailed`, `Superseded`.
    pub fn start(settings: &Checkpointing, job: &Job, topology: &Topology) -> Result<Self> {
        let clock = job.clock.clone();
        let name = settings.job.clone();
        let directory = settings.directory.join(job_folder(&name));
        let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(&directory));
        let nonce = nonce(&job.settings.run_id);
        let mut incarnation = Incarnation::claim(storage.clone(), &name, nonce, clock.now_micros())?;
        let recovered = match incarnation.recover(Token::NotNeeded) {
            Err(error) if settings.resume != Resume::Auto && error.code == Code::CheckpointUnusable => {
                tracing::warn!("the job's own checkpoints can't be used: {}", error.message);
                Recovered { manifest: None, finish: false, discarded: Vec::new(), skipped: Vec::new() }
            }
            recovered => recovered?,
        };
        for damage in &recovered.skipped {
            tracing::warn!(
                checkpoint = damage.number,
                "a checkpoint can't be used, an older one is: {}",
                damage.what
            );
        }
        let fell_back = !recovered.skipped.is_empty();
        let confirmed = !recovered.finish;
        let tip = recovered.manifest;
        let origin = match &settings.resume {
            Resume::Auto => {
                tip.clone().map(|manifest| Origin { manifest, storage: storage.clone(), named: false })
            }
            Resume::Never => None,
            Resume::From(path) => Some(named(path)?),
        };
        let generation = incarnation.generation();
        let identity = Identity {
            generation,
            first_generation: generation,
            job_id: format!("{:016x}", incarnation.store_id()),
        };
        let mut this = Self {
            settings: settings.clone(),
            job: name,
            key_groups: job.settings.key_groups,
            clock,
            storage,
            incarnation,
            identity,
            tip,
            origin: None,
            tip_is_confirmed: confirmed,
            fell_back,
            script: Script::of(job, topology),
            sources: topology.sources.iter().map(|(_, node)| node.name.clone()).collect(),
            sinks: topology.sinks.iter().map(|(_, node)| node.name.clone()).collect(),
            operators: topology.operators.iter().map(|it| it.stable_id.clone()).collect(),
            state: BTreeMap::new(),
            pending: Pending::default(),
            counts: Counts::default(),
            last_counts: Counts::default(),
            last_epoch: 0,
            failed_in_a_row: 0,
            summary: CheckpointSummary {
                directory: directory.display().to_string(),
                ..CheckpointSummary::default()
            },
        };
        match origin {
            Some(origin) => this.adopt(origin)?,
            None => tracing::info!(
                directory = this.summary.directory.as_str(),
                "no checkpoint to go on from: the job begins afresh"
            ),
        }
        this.pending = Pending::new(job.settings.parallelism.max(1), this.sinks.len());
        Ok(this)
    }

    /// Makes a checkpoint the one to go on from.
    fn adopt(&mut self, origin: Origin) -> Result<()> {
        let manifest = &origin.manifest;
        self.check_fits(manifest)?;
        let first = manifest.counters.get("first_generation").and_then(Value::as_u64);
        if let Some(first) = first.filter(|_| !origin.named) {
            self.identity.first_generation = first;
        }
        self.summary.resumed_from = Some(manifest.number);
        self.summary.had_finished = manifest.finished;
        self.summary.state_bytes = manifest.state_bytes();
        if !origin.named {
            self.state.clone_from(&manifest.operators);
        }
        if manifest.counters.get("edges") == Some(&self.script.edges) {
            let counts = manifest.counters.get("counts").cloned().unwrap_or_default();
            self.counts = serde_json::from_value(counts).unwrap_or_default();
        } else {
            tracing::warn!("the script has other edges than its checkpoint: rows are counted from 0");
        }
        tracing::info!(checkpoint = manifest.number, epoch = manifest.epoch, "going on from a checkpoint");
        self.origin = Some(origin);
        Ok(())
    }

    /// A checkpoint of another query must not be read as this one's.
    fn check_fits(&self, manifest: &Manifest) -> Result<()> {
        let unusable = |message: String| {
            Diagnostic::error(Code::CheckpointUnusable, message)
                .help("start afresh with --resume never, or give the job another 'pipeline.name'")
        };
        if manifest.key_groups != self.key_groups {
            return Err(unusable(format!(
                "checkpoint {} of '{}' has {} key groups, the job has {}",
                manifest.number, self.job, manifest.key_groups, self.key_groups
            ))
            .help("set 'pipeline.max-parallelism' to what it was"));
        }
        let was = |name: &str| manifest.counters.get(name);
        if manifest.finished && was("script").is_some_and(|it| *it != self.script.all) {
            return Err(unusable(format!(
                "'{}' finished at checkpoint {}, and its script is another one now",
                self.job, manifest.number
            )));
        }
        let moved = self.script.tables.iter().find(|(name, place)| {
            was("tables")
                .and_then(|it| it.get(name.as_str()))
                .is_some_and(|it| it.as_str() != Some(place.as_str()))
        });
        if let Some((name, place)) = moved {
            return Err(unusable(format!(
                "table '{name}' was somewhere else when checkpoint {} of '{}' was taken: now it is {place}",
                manifest.number, self.job
            )));
        }
        let lost: Vec<&String> = manifest.plan.iter().filter(|id| !self.operators.contains(id)).collect();
        if let Some(first) = lost.first() {
            return Err(unusable(format!(
                "checkpoint {} of '{}' holds the state of {} operator{} that the query no longer has: {first}",
                manifest.number,
                self.job,
                lost.len(),
                if lost.len() == 1 { "" } else { "s" },
            ))
            .help("the query was changed since: its state can't be carried over"));
        }
        let gone = manifest.sources.keys().find(|name| !self.sources.contains(name));
        if let Some(name) = gone {
            return Err(unusable(format!(
                "checkpoint {} of '{}' is in the middle of source '{name}', which the query no longer reads",
                manifest.number, self.job
            )));
        }
        Ok(())
    }

    /// What sinks need to name what they write.
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// The first epoch of this run.
    pub fn first_epoch(&self) -> u64 {
        let tip = self.tip.as_ref().map_or(0, |tip| tip.epoch);
        let origin = self.origin.as_ref().map_or(0, |origin| origin.manifest.epoch);
        self.identity.generation.max(tip).max(origin) + 1
    }

    /// Whether the job had read all its input.
    pub fn is_finished(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.manifest.finished)
    }

    /// What the job had counted.
    pub fn restored_counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Where a source goes on.
    pub fn position(&self, source: &str) -> Option<Value> {
        self.origin.as_ref().and_then(|origin| origin.manifest.sources.get(source)).cloned()
    }

    /// Gives an operator its state back.
    ///
    /// # Errors
    /// State that can't be read.
    pub fn restore(&self, task: &mut OperatorTask, owned: Range<u16>) -> Result<()> {
        let Some(origin) = &self.origin else { return Ok(()) };
        let Some(entry) = origin.manifest.operators.get(&task.stable_id) else { return Ok(()) };
        let state = OperatorState::new(&task.stable_id, entry.clone(), owned, origin.storage.clone());
        task.restore(&if origin.named { state.rewritten() } else { state })
    }

    /// Finishes what the newest checkpoint decided, removes what older runs left behind.
    ///
    /// # Errors
    /// What a sink says.
    pub fn finish_tip(
        &mut self,
        committers: &mut [Box<dyn Committer>],
        letters: &DeadLetterQueue,
    ) -> Result<()> {
        let generation = self.identity.generation;
        let mut letters: Box<dyn Committer> = Box::new(letters.committer());
        let mut committers: Vec<&mut Box<dyn Committer>> =
            committers.iter_mut().chain(std::iter::once(&mut letters)).collect();
        let (mut number, mut keep) = (0, vec![Vec::new(); committers.len()]);
        if let Some(tip) = &self.tip {
            number = tip.epoch;
            for (at, name) in self.sinks.iter().enumerate() {
                let contents = tip.sinks.get(name).cloned().unwrap_or_default();
                keep[at] = contents.into_iter().map(|content| Committable { content }).collect();
            }
            let letters = tip.letters.iter().cloned();
            keep[self.sinks.len()] = letters.map(|content| Committable { content }).collect();
            if !self.tip_is_confirmed {
                let has_sink = |name: &str| self.sinks.iter().any(|sink| sink == name);
                let gone = tip.sinks.iter().find(|(name, it)| !it.is_empty() && !has_sink(name));
                if let Some((name, _)) = gone {
                    let message = format!(
                        "checkpoint {} of '{}' has rows to publish for sink '{name}', which the script no longer has",
                        tip.number, self.job
                    );
                    return Err(Diagnostic::error(Code::CheckpointUnusable, message)
                        .help("run the script as it was once more, then change it"));
                }
                for (committer, committables) in committers.iter_mut().zip(&keep) {
                    committer.commit(committables)?;
                }
                self.incarnation.confirm()?;
            }
        }
        for (committer, keep) in committers.iter_mut().zip(&keep) {
            if self.fell_back {
                let taken_back = committer.rollback(generation, number)?;
                if taken_back > 0 {
                    tracing::warn!(
                        files = taken_back,
                        "took back what newer, damaged checkpoints had published"
                    );
                }
            }
            committer.sweep(generation, number, keep)?;
        }
        self.mark_fresh_start()
    }

    /// A job that begins anew beside older checkpoints says so before its first row: should it die before
    /// its first checkpoint, nobody takes it for the older job.
    fn mark_fresh_start(&mut self) -> Result<()> {
        if self.origin.is_some() || self.tip.is_none() {
            return Ok(());
        }
        let epoch = self.first_epoch() - 1;
        let mut manifest = Manifest::new(&self.job, self.key_groups, epoch, self.clock.now_micros());
        manifest.plan.clone_from(&self.operators);
        manifest.counters = self.extras(&Counts::default());
        self.publish(&mut manifest)?;
        self.incarnation.confirm()
    }

    /// What a manifest holds beside state, places and committables.
    fn extras(&self, counts: &Counts) -> Value {
        json!({
            "counts": counts,
            "edges": self.script.edges,
            "tables": self.script.tables,
            "script": self.script.all,
            "first_generation": self.identity.first_generation,
        })
    }

    /// Takes checkpoints until every shard has come to its end; what they prepared last waits
    /// for [`Self::last`].
    ///
    /// # Errors
    /// `Superseded`; what a sink says when it publishes.
    #[expect(clippy::too_many_arguments, reason = "what the job thread has at hand while shards run")]
    pub fn run(
        &mut self,
        reports: &Receiver<Report>,
        shards: usize,
        queues: &[Arc<ChunkQueue>],
        requests: &Requests,
        wakers: &Wakers,
        committers: &mut [Box<dyn Committer>],
        letters: &DeadLetterQueue,
        failure: &Failure,
    ) -> Result<Vec<(usize, Vec<Committable>)>> {
        let mut under_way: Option<UnderWay> = None;
        let mut epoch = self.first_epoch();
        let mut last_end = self.clock.monotonic();
        let mut last_start = last_end;
        let mut finished = 0;
        let mut final_counts = Counts::default();
        while finished < shards && !failure.is_set() {
            match reports.recv_timeout(TICK) {
                Ok(Report::Barrier { shard, epoch: of, snapshots, counts, stall }) => {
                    self.pending.snapshots(shard, snapshots);
                    let stall = u64::try_from(stall.as_micros()).unwrap_or(u64::MAX);
                    self.summary.longest_stall_micros = self.summary.longest_stall_micros.max(stall);
                    if let Some(under_way) = under_way.as_mut().filter(|it| it.epoch == of) {
                        under_way.passed += 1;
                        under_way.counts.merge(&counts);
                    }
                }
                Ok(Report::Prepared { epoch: of, committables }) => {
                    self.pending.committables(committables);
                    if let Some(under_way) = under_way.as_mut().filter(|it| it.epoch == of) {
                        under_way.prepared += 1;
                    }
                }
                Ok(Report::Finished { shard, snapshots, counts, committables }) => {
                    // What the shard did behind the barrier under way is in here too, so that checkpoint
                    // can't be completed any more: all of it goes into the last one.
                    under_way = None;
                    self.pending.snapshots(shard, snapshots);
                    self.pending.committables(committables);
                    final_counts.merge(&counts);
                    finished += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = self.clock.monotonic();
            if let Some(it) = under_way.take_if(|it| it.passed == shards && it.prepared == shards) {
                self.complete(it, shards, requests, committers, letters, false)?;
                last_end = self.clock.monotonic();
                continue;
            }
            match &mut under_way {
                Some(it) if !it.late && now.saturating_sub(it.since) > self.settings.timeout => {
                    it.late = true;
                    tracing::warn!(
                        epoch = it.epoch,
                        "a checkpoint takes longer than 'execution.checkpointing.timeout': still waiting"
                    );
                }
                Some(_) => {}
                None => {
                    let due = now.saturating_sub(last_start) >= self.settings.interval
                        && now.saturating_sub(last_end) >= self.settings.min_pause;
                    if due && finished == 0 {
                        last_start = now;
                        let (positions, bytes): (Vec<Value>, Vec<u64>) =
                            queues.iter().map(|it| it.close_epoch(epoch)).unzip();
                        under_way = Some(UnderWay {
                            epoch,
                            since: now,
                            sources: self.sources.iter().cloned().zip(positions).collect(),
                            bytes,
                            passed: 0,
                            prepared: 0,
                            counts: Counts::default(),
                            late: false,
                        });
                        requests.want(epoch);
                        wakers.wake_all();
                        epoch += 1;
                    }
                }
            }
        }
        self.last_epoch = epoch;
        self.last_counts = final_counts;
        Ok(Vec::new())
    }

    /// The last checkpoint: everything up to the end of the input, or to where the run was stopped.
    ///
    /// # Errors
    /// `CheckpointFailed`, `Superseded`; what a sink says when it publishes.
    #[expect(clippy::too_many_arguments, reason = "what the job thread has at hand")]
    pub fn last(
        &mut self,
        prepared: Vec<(usize, Vec<Committable>)>,
        drained: bool,
        queues: &[Arc<ChunkQueue>],
        shards: usize,
        requests: &Requests,
        committers: &mut [Box<dyn Committer>],
        letters: &DeadLetterQueue,
    ) -> Result<()> {
        self.pending.committables(prepared);
        let (positions, bytes): (Vec<Value>, Vec<u64>) = queues.iter().map(|it| it.position()).unzip();
        let sources = self.sources.iter().cloned().zip(positions).collect();
        let last = UnderWay {
            epoch: self.last_epoch,
            since: self.clock.monotonic(),
            sources,
            bytes,
            passed: shards,
            prepared: shards,
            counts: std::mem::take(&mut self.last_counts),
            late: false,
        };
        let before = self.summary.failed;
        self.complete(last, shards, requests, committers, letters, drained)?;
        if self.summary.failed > before {
            let message = "the last checkpoint could not be written: what came after the one before it is not published";
            return Err(Diagnostic::error(Code::CheckpointFailed, message)
                .help("make room and run the job again: it goes on from the checkpoint before"));
        }
        Ok(())
    }

    /// Everybody has reported: makes the checkpoint final.
    fn complete(
        &mut self,
        it: UnderWay,
        shards: usize,
        requests: &Requests,
        committers: &mut [Box<dyn Committer>],
        letters: &DeadLetterQueue,
        finished: bool,
    ) -> Result<()> {
        self.pending.letters.extend(letters.prepare(it.epoch)?);
        let (manifest, parts, bytes) = match self.write(&it, shards, requests, finished) {
            Ok(written) => written,
            Err(error) if error.code == Code::CheckpointFailed => {
                self.summary.failed += 1;
                self.failed_in_a_row += 1;
                if self.failed_in_a_row >= FAILURES_MAX {
                    return Err(error.help(format!("{FAILURES_MAX} checkpoints in a row have failed")));
                }
                tracing::warn!(epoch = it.epoch, "checkpoint failed, the run goes on: {}", error.message);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let number = manifest.number;
        for (committer, name) in committers.iter_mut().zip(&self.sinks) {
            let contents = manifest.sinks.get(name).cloned().unwrap_or_default();
            let committables: Vec<Committable> =
                contents.into_iter().map(|content| Committable { content }).collect();
            committer.commit(&committables)?;
        }
        letters.committer().commit(&self.pending.letters)?;
        self.incarnation.confirm()?;
        let sinks = self.sinks.len();
        self.pending = Pending::new(shards, sinks);
        requests.plan(parts.iter().map(|part| chain::plan(&manifest.operators, part)).collect());
        self.summary.completed += 1;
        self.failed_in_a_row = 0;
        self.summary.last = Some(number);
        self.summary.state_bytes = manifest.state_bytes();
        self.summary.last_bytes = bytes;
        self.summary.bytes += bytes;
        let took = self.clock.monotonic().saturating_sub(it.since);
        tracing::info!(
            checkpoint = number,
            millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            bytes,
            state_bytes = self.summary.state_bytes,
            "checkpoint complete"
        );
        self.state = manifest.operators;
        if let Err(error) = self.incarnation.retain(self.settings.retained) {
            // What could not be removed is removed next time.
            tracing::warn!("old checkpoints could not be removed: {}", error.message);
        }
        Ok(())
    }

    /// Writes segments and manifest. What was written of a checkpoint that failed is removed.
    fn write(
        &mut self,
        it: &UnderWay,
        shards: usize,
        requests: &Requests,
        finished: bool,
    ) -> Result<(Manifest, Vec<ShardPart>, u64)> {
        let mut written = Vec::new();
        let outcome = self.try_write(it, shards, requests, finished, &mut written);
        if outcome.as_ref().is_err_and(|error| error.code == Code::CheckpointFailed) {
            for name in written {
                // What stays is removed with the next checkpoint.
                let _ = self.storage.delete(&name);
            }
        }
        outcome
    }

    fn try_write(
        &mut self,
        it: &UnderWay,
        shards: usize,
        requests: &Requests,
        finished: bool,
        written: &mut Vec<String>,
    ) -> Result<(Manifest, Vec<ShardPart>, u64)> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for shard in 0..shards {
            let name = self.incarnation.segment_name(it.epoch, shard);
            let snapshots = self.pending.snapshots[shard].clone();
            let segment = Segment::encode(name, &requests.owned(shard, shards), snapshots)?;
            if !segment.bytes.is_empty() {
                written.push(segment.name.clone());
                self.storage.write(&segment.name, &segment.bytes)?;
                bytes += segment.bytes.len() as u64;
            }
            parts.push(segment.part);
        }
        let mut manifest = Manifest::new(&self.job, self.key_groups, it.epoch, self.clock.now_micros());
        manifest.finished = finished;
        manifest.plan.clone_from(&self.operators);
        manifest.sources.clone_from(&it.sources);
        manifest.operators = chain::advance(Some(&self.state), &parts);
        for (name, committables) in self.sinks.iter().zip(&self.pending.committables) {
            let contents = committables.iter().map(|it| it.content.clone()).collect();
            manifest.sinks.insert(name.clone(), contents);
        }
        manifest.letters = self.pending.letters.iter().map(|it| it.content.clone()).collect();
        let mut counts = it.counts.clone();
        counts.merge(&self.counts);
        // Bytes are the readers' to count: those of this run, up to where it goes on.
        for (mine, bytes) in counts.sources.iter_mut().zip(&it.bytes) {
            mine[1] += bytes;
        }
        manifest.counters = self.extras(&counts);
        self.publish(&mut manifest)?;
        Ok((manifest, parts, bytes))
    }

    /// Publishes the manifest; a lost answer is asked for again until it is certain.
    fn publish(&mut self, manifest: &mut Manifest) -> Result<()> {
        for _ in 0..PUBLISH_TRIES {
            match self.incarnation.publish(manifest) {
                Ok(_) => return Ok(()),
                Err(PublishError::Failed(error)) => return Err(error),
                Err(PublishError::Stop(error)) => return Err(as_fatal(error)),
                Err(PublishError::Unsettled(error)) => {
                    tracing::warn!(
                        "whether a checkpoint was written is unknown, asking again: {}",
                        error.message
                    );
                }
            }
        }
        let message = "whether the last checkpoint was written can't be found out";
        Err(as_fatal(Diagnostic::error(Code::CheckpointFailed, message)))
    }

    /// What checkpoints the run has made.
    pub fn summary(&self) -> CheckpointSummary {
        self.summary.clone()
    }
}

/// An error that a run must not outlive.
fn as_fatal(mut error: Box<Diagnostic>) -> Box<Diagnostic> {
    if error.code == Code::CheckpointFailed {
        error.code = Code::CheckpointUnusable;
    }
    error
}

/// A text as a number: FNV-1a. Of a run's id one that no other run has, from time and process.
fn nonce(run_id: &str) -> u64 {
    run_id.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// A checkpoint named by its path: a manifest, or a job's directory, for its newest one.
fn named(path: &Path) -> Result<Origin> {
    let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
    let root = match (number, path.parent()) {
        (Some(_), Some(folder)) if folder.ends_with("sequence") => folder.parent().unwrap_or(folder),
        _ => path,
    };
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(root));
    let number = number.filter(|_| root != path);
    let (manifest, skipped) = read_checkpoint(storage.as_ref(), number)?;
    for damage in &skipped {
        tracing::warn!(
            checkpoint = damage.number,
            "a checkpoint can't be used, an older one is: {}",
            damage.what
        );
    }
    Ok(Origin { manifest, storage, named: true })
}
