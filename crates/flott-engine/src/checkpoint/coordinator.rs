//! Takes checkpoints while a job runs, and a job up again where its last one left it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flott_connector::{Clock, Committable, Committer, DeadLetterQueue, Decider, Outcome, Source, StopSignal};
use flott_plan::upgrade::Upgrade;
use flott_state::{Incarnation, Manifest, Storage, chain, manifest::OperatorEntry};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};
use serde_json::Value;

use super::{Checkpointing, Requests, script::Script, start::Origin, write::Pending};
use crate::{
    accounting::{Counts, Seen},
    activity::{Activity, Phase},
    exchange::Wakers,
    queue::ChunkQueue,
    shard::Report,
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

/// A checkpoint on its way.
#[derive(Clone)]
pub(super) struct UnderWay {
    pub(super) epoch: u64,
    pub(super) since: Duration,
    pub(super) sources: BTreeMap<String, Value>,
    /// Bytes that each source has read up to there.
    pub(super) bytes: Vec<u64>,
    pub(super) passed: usize,
    pub(super) prepared: usize,
    pub(super) counts: Counts,
    pub(super) late: bool,
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
    pub(super) settings: Checkpointing,
    pub(super) job: String,
    pub(super) key_groups: u16,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) incarnation: Incarnation,
    pub(super) identity: Identity,
    /// The newest checkpoint of the job, whose commits must be finished.
    pub(super) tip: Option<Manifest>,
    pub(super) tip_is_confirmed: bool,
    /// What the run goes on from, and where its state lies.
    pub(super) origin: Option<Origin>,
    /// What decides epochs, if they don't count as decided once their manifest is written.
    pub(super) decider: Option<Arc<dyn Decider>>,
    /// The decider's token is of no checkpoint that the job knows: it begins anew.
    pub(super) token_is_foreign: bool,
    /// An older checkpoint had to be used than the newest.
    pub(super) fell_back: bool,
    /// What the script is, to be compared with what it was.
    pub(super) script: Script,
    /// What becomes of the checkpoint that the run goes on from.
    pub(super) upgrade: Upgrade,
    /// Per source: its name.
    pub(super) sources: Vec<String>,
    /// Per sink: its name.
    pub(super) sinks: Vec<String>,
    /// Per operator: its id.
    pub(super) operators: Vec<String>,
    /// The newest checkpoint's state.
    pub(super) state: BTreeMap<String, OperatorEntry>,
    pub(super) pending: Pending,
    pub(super) counts: Counts,
    pub(super) summary: CheckpointSummary,
    /// What the shards counted up to their end.
    pub(super) last_counts: Counts,
    /// The epoch that the end of the run ends.
    pub(super) last_epoch: u64,
    /// What the run is doing, for whoever asks.
    pub(super) activity: Arc<Activity>,
    /// What had been counted up to this run's newest checkpoint.
    pub(super) published: Counts,
    /// How far the checkpoint under way is published, should that fail.
    pub(super) seen: Seen,
    /// What has been counted up to that checkpoint.
    pub(super) at_stake: Counts,
    /// Checkpoints that have failed since the last complete one.
    pub(super) failed_in_a_row: u32,
}

/// How often the last checkpoint is tried: with the pauses in between, about a minute. All it holds is in memory,
/// so that nothing has to be read again meanwhile.
const LAST_TRIES: u32 = 10;

/// The same for a run that was stopped: whoever stops it waits for its end.
const LAST_TRIES_STOPPED: u32 = 5;

/// The longest pause between two of these tries, in that before the first.
const PAUSE_MAX: u32 = 50;

/// What the job thread has at hand while shards run.
pub(crate) struct Hands<'a> {
    pub shards: usize,
    pub queues: &'a [Arc<ChunkQueue>],
    pub sources: &'a [Arc<dyn Source>],
    pub requests: &'a Requests,
    pub wakers: &'a Wakers,
    pub committers: &'a mut [Box<dyn Committer>],
    pub letters: &'a DeadLetterQueue,
}

/// The checkpoints of a run, one after the other, as far as they have come.
pub(crate) struct Rounds {
    under_way: Option<UnderWay>,
    /// The epoch under way.
    epoch: u64,
    last_start: Duration,
    last_end: Duration,
    /// Shards that have come to their end: no checkpoint is begun any more but the last.
    finished: usize,
    final_counts: Counts,
}

impl Coordinator {
    /// Before the first checkpoint.
    pub(crate) fn rounds(&self) -> Rounds {
        let now = self.clock.monotonic();
        Rounds {
            under_way: None,
            epoch: self.first_epoch(),
            last_start: now,
            last_end: now,
            finished: 0,
            final_counts: Counts::default(),
        }
    }

    /// Takes what a shard tells.
    pub(crate) fn take(&mut self, report: Report, rounds: &mut Rounds) {
        let of_epoch = |under_way: &&mut UnderWay, epoch: u64| under_way.epoch == epoch;
        match report {
            Report::Barrier { shard, epoch, snapshots, counts, stall } => {
                self.pending.snapshots(shard, snapshots);
                let stall = u64::try_from(stall.as_micros()).unwrap_or(u64::MAX);
                self.summary.longest_stall_micros = self.summary.longest_stall_micros.max(stall);
                if let Some(under_way) = rounds.under_way.as_mut().filter(|it| of_epoch(it, epoch)) {
                    under_way.passed += 1;
                    under_way.counts.merge(&counts);
                }
            }
            Report::Prepared { epoch, committables } => {
                self.pending.committables(committables);
                if let Some(under_way) = rounds.under_way.as_mut().filter(|it| of_epoch(it, epoch)) {
                    under_way.prepared += 1;
                }
            }
            Report::Finished { shard, snapshots, counts, committables } => {
                // What the shard did behind the barrier under way is in here too, so that checkpoint
                // can't be completed any more: all of it goes into the last one.
                if let (Some(given_up), Some(decider)) = (rounds.under_way.take(), &self.decider) {
                    decider.goes_on(given_up.epoch);
                }
                self.activity.checkpoint.given_up();
                self.pending.snapshots(shard, snapshots);
                self.pending.committables(committables);
                rounds.final_counts.merge(&counts);
                rounds.finished += 1;
            }
        }
    }

    /// Makes the checkpoint under way final if everybody has reported; begins the next if it is due.
    /// Whether there was anything to do.
    ///
    /// # Errors
    /// `Superseded`; what a sink says when it publishes.
    pub(crate) fn look(&mut self, rounds: &mut Rounds, hands: &mut Hands<'_>) -> Result<bool> {
        if self.settings.keeper.as_ref().is_some_and(|keeper| keeper.may_be_lost()) {
            self.incarnation.check_fence()?;
        }
        let now = self.clock.monotonic();
        let all = hands.shards;
        if let Some(it) = rounds.under_way.take_if(|it| it.passed == all && it.prepared == all) {
            if let Err(error) = self.complete(it, hands, false)? {
                self.tolerate(error)?;
            }
            rounds.last_end = self.clock.monotonic();
            return Ok(true);
        }
        match &mut rounds.under_way {
            Some(it) if !it.late && now.saturating_sub(it.since) > self.settings.timeout => {
                it.late = true;
                tracing::warn!(
                    epoch = it.epoch,
                    "a checkpoint takes longer than 'execution.checkpointing.timeout': still waiting"
                );
                Ok(false)
            }
            Some(_) => Ok(false),
            None => {
                let due = now.saturating_sub(rounds.last_start) >= self.settings.interval
                    && now.saturating_sub(rounds.last_end) >= self.settings.min_pause;
                let due = due && rounds.finished == 0;
                if due {
                    rounds.last_start = now;
                    self.begin(rounds, hands);
                }
                Ok(due)
            }
        }
    }

    /// Closes the epoch of every source, asks all shards for a barrier.
    fn begin(&self, rounds: &mut Rounds, hands: &Hands<'_>) {
        let epoch = rounds.epoch;
        let (positions, bytes): (Vec<Value>, Vec<u64>) =
            hands.queues.iter().map(|it| it.close_epoch(epoch)).unzip();
        rounds.under_way = Some(UnderWay {
            epoch,
            since: rounds.last_start,
            sources: self.sources.iter().cloned().zip(positions).collect(),
            bytes,
            passed: 0,
            prepared: 0,
            counts: Counts::default(),
            late: false,
        });
        self.activity.checkpoint.begins(epoch, rounds.last_start);
        hands.requests.want(epoch);
        hands.wakers.wake_all();
        rounds.epoch += 1;
    }

    /// All shards have come to their end, or the run has failed: what is known goes to [`Self::last`].
    pub(crate) fn end(&mut self, rounds: Rounds) {
        self.last_epoch = rounds.epoch;
        self.last_counts = rounds.final_counts;
    }

    /// The last checkpoint: everything up to the end of the input, or to where the run was stopped.
    ///
    /// # Errors
    /// `CheckpointFailed`, `Superseded`; what a sink says when it publishes.
    pub(crate) fn last(
        &mut self,
        prepared: Vec<(usize, Vec<Committable>)>,
        drained: bool,
        hands: &mut Hands<'_>,
        stop: &StopSignal,
    ) -> Result<()> {
        self.pending.committables(prepared);
        let (positions, bytes): (Vec<Value>, Vec<u64>) = hands.queues.iter().map(|it| it.position()).unzip();
        let sources = self.sources.iter().cloned().zip(positions).collect();
        let mut last = UnderWay {
            epoch: self.last_epoch,
            since: self.clock.monotonic(),
            sources,
            bytes,
            passed: hands.shards,
            prepared: hands.shards,
            counts: std::mem::take(&mut self.last_counts),
            late: false,
        };
        let tries = if stop.is_stopped() { LAST_TRIES_STOPPED } else { LAST_TRIES };
        let mut pause = self.settings.retry_pause;
        for tried in 1.. {
            let Err(error) = self.complete(last.clone(), hands, drained)? else { break };
            if tried >= tries || (tries == LAST_TRIES && stop.is_stopped()) {
                return Err(self.last_failed(&error));
            }
            if tried == 1 {
                tracing::warn!("the last checkpoint could not be written, trying again: {}", error.message);
            }
            // A run that was stopped before waits all the same.
            let wait = if tries == LAST_TRIES { stop.clone() } else { StopSignal::new() };
            wait.wait(pause);
            pause = (pause * 2).min(self.settings.retry_pause * PAUSE_MAX);
            // Names of segments are never used twice.
            last.epoch += 1;
        }
        Ok(())
    }

    /// A restart would read again all that this run has read, to come to the same place.
    fn last_failed(&self, error: &Diagnostic) -> Box<Diagnostic> {
        let message = format!(
            "the last checkpoint could not be written, so what came after the one before it is not published: {}",
            error.message
        );
        error.help.iter().fold(
            Diagnostic::error(Code::CheckpointFailed, message)
                .help("see to that and run the job again: it goes on from the checkpoint before"),
            |all, help| all.help(help),
        )
    }

    /// A checkpoint has failed: the run goes on, unless too many have.
    fn tolerate(&mut self, error: Box<Diagnostic>) -> Result<()> {
        let count = self.failed_in_a_row;
        if count > self.settings.tolerated {
            let key = "execution.checkpointing.tolerable-failed-checkpoints";
            return Err(error.help(format!("{count} checkpoints in a row have failed (see '{key}')")));
        }
        if count.is_power_of_two() {
            // The first, and then fewer and fewer: they say the same.
            let times = if count > 1 { format!(" ({count} in a row)") } else { String::new() };
            tracing::warn!("checkpoint failed, the run goes on{times}: {}", error.message);
        }
        Ok(())
    }

    /// Everybody has reported: makes the checkpoint final. Or says why it could not be written: then nothing is
    /// lost, and the next one holds what this one would have held.
    fn complete(
        &mut self,
        it: UnderWay,
        hands: &mut Hands<'_>,
        finished: bool,
    ) -> Result<Result<(), Box<Diagnostic>>> {
        let Hands { shards, requests, committers, letters, sources, .. } = hands;
        let shards = *shards;
        self.activity.checkpoint.comes_to(Phase::Writing);
        self.pending.letters.extend(letters.prepare(it.epoch)?);
        if planted(Bug::CommitBeforeManifest) {
            for (committer, committables) in committers.iter_mut().zip(&self.pending.committables) {
                committer.commit(committables)?;
            }
        }
        let (manifest, parts, bytes) = match self.write(&it, shards, requests, finished) {
            Ok(written) => written,
            Err(mut error) if error.code == Code::CheckpointFailed => {
                error.message += &format!(" (in '{}')", self.summary.directory);
                self.summary.failed += 1;
                self.activity.checkpoint.fails(&error.message);
                self.failed_in_a_row += 1;
                self.decider.iter().for_each(|decider| decider.goes_on(it.epoch));
                if planted(Bug::CommittableLostOnAbort) {
                    self.pending.committables = vec![Vec::new(); self.sinks.len()];
                }
                if planted(Bug::SnapshotLostOnAbort) {
                    self.pending.snapshots = (0..shards).map(|_| BTreeMap::new()).collect();
                }
                return Ok(Err(error));
            }
            Err(error) => return Err(error),
        };
        let number = manifest.number;
        self.activity.checkpoint.comes_to(Phase::Publishing);
        self.at_stake = self.counts_at(&it);
        if !planted(Bug::PublishBeforeDecide) {
            self.decide(number, manifest.epoch)?;
        }
        self.seen = Seen::Decided;
        if planted(Bug::ConfirmBeforeCommit) {
            self.incarnation.confirm()?;
        }
        for (committer, name) in committers.iter_mut().zip(&self.sinks) {
            let contents = manifest.sinks.get(name).cloned().unwrap_or_default();
            let committables: Vec<Committable> =
                contents.into_iter().map(|content| Committable { content }).collect();
            committer.commit(&committables)?;
        }
        letters.committer().commit(&self.pending.letters)?;
        if planted(Bug::PublishBeforeDecide) {
            self.decide(number, manifest.epoch)?;
        }
        self.incarnation.confirm()?;
        self.seen = Seen::Known;
        for (source, name) in sources.iter().zip(&self.sources) {
            if let Some(position) = manifest.sources.get(name) {
                source.confirmed(position);
            }
        }
        let sinks = self.sinks.len();
        self.pending = Pending::new(shards, sinks);
        requests.plan(parts.iter().map(|part| chain::plan(&manifest.operators, part)).collect());
        self.published = std::mem::take(&mut self.at_stake);
        self.summary.completed += 1;
        if self.failed_in_a_row > 0 {
            tracing::warn!(failed = self.failed_in_a_row, "checkpoints are written again");
        }
        self.failed_in_a_row = 0;
        self.summary.last = Some(number);
        self.summary.state_bytes = manifest.state_bytes();
        self.summary.last_bytes = bytes;
        self.summary.bytes += bytes;
        let now = self.clock.monotonic();
        let took = now.saturating_sub(it.since);
        self.activity.checkpoint.done(number, bytes, took, now);
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
        Ok(Ok(()))
    }

    /// The commit that decides a checkpoint whose manifest is pending, if there is one.
    ///
    /// # Errors
    /// `Superseded`. That nobody knows, or that somebody fenced who is not newer: whoever claims anew asks
    /// the token.
    pub(super) fn decide(&mut self, number: u64, epoch: u64) -> Result<()> {
        let Some(decider) = &self.decider else { return Ok(()) };
        match decider.commit(number, epoch)? {
            Outcome::Committed => Ok(()),
            Outcome::Uncertain(_) if planted(Bug::UncertainIsSuccess) => Ok(()),
            Outcome::Uncertain(error) => {
                self.seen = Seen::Perhaps;
                tracing::warn!(checkpoint = number, "{}", error.message);
                Err(error.that_may_pass())
            }
            Outcome::Fenced(error) => {
                // The first of several requests may have taken effect before another run came.
                self.seen = Seen::Perhaps;
                self.incarnation.check_fence()?;
                Err(error.that_may_pass())
            }
        }
    }

    /// The checkpoint from which the next run of the job goes on, if there is one. Where a run began from another
    /// place, that one's number says nothing here.
    pub(crate) fn goes_on_from(&self) -> Option<u64> {
        let origin = self.origin.as_ref().filter(|origin| !origin.named);
        self.summary.last.or_else(|| Some(origin?.manifest.number))
    }

    /// What checkpoints the run has made.
    pub fn summary(&self) -> CheckpointSummary {
        self.summary.clone()
    }
}
