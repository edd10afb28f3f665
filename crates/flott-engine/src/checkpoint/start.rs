//! Where a run begins: claims the job, finds the checkpoint to go on from, checks that it is one of this
//! script, finishes what it had decided.
//!
//! ```text
//!   look ─► claim ─► recover ─► the job's newest checkpoint │ nothing │ one named by its path
//!                                      │ does it fit the script?
//!                                      ▼
//!            finish its commits ─► positions to readers, state to operators, counts to the summary
//! ```

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use flott_connector::{Committable, Committer, DeadLetterQueue, Decider};
use flott_expr::EvalContext;
use flott_plan::upgrade::Upgrade;
use flott_state::{
    Check, Claimant, Incarnation, Manifest, OperatorState, Recovered, Storage, Stores, Token,
    manifest::OperatorEntry,
    sequence::{contents, is_store, job_folder, read_checkpoint},
};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};
use serde_json::Value;

use super::{
    Checkpointing, Resume,
    coordinator::{CheckpointSummary, Coordinator, Identity},
    script::{Found, Script, check_lost, log, reshape},
    write::Pending,
};
use crate::{
    accounting::{Counts, Seen},
    activity::Activity,
    job::Job,
    restore::{Restored, restore},
    shard::operator::OperatorTask,
    topology::Topology,
};

/// A checkpoint to go on from.
pub(super) struct Origin {
    pub(super) manifest: Manifest,
    pub(super) storage: Arc<dyn Storage>,
    /// It was named by its path: its state is written anew into the job's own directory.
    pub(super) named: bool,
}

impl Coordinator {
    /// Claims the next generation of the job, finds the checkpoint to go on from.
    ///
    /// # Errors
    /// `CheckpointUnusable`, `CheckpointFailed`, `Superseded`.
    pub fn start(
        settings: &Checkpointing,
        job: &Job,
        topology: &Topology,
        decider: Option<Arc<dyn Decider>>,
        check: Check,
    ) -> Result<Self> {
        let clock = job.clock.clone();
        let name = settings.job.clone();
        let directory = settings.directory.join(job_folder(&name));
        let storage = settings.stores.open(&directory);
        let script = Script::of(&job.plan, topology, &job.registry);
        // Until a checkpoint of its own is decided, a run that is taken up again begins as it has begun.
        let goes_on = settings.resume == Resume::Auto
            || (settings.has_begun && has_decided_since_it_began(storage.as_ref())?);
        look_before(settings, job, &script)?;
        if let Some(decider) = decider.as_ref().filter(|_| goes_on) {
            look_for_others(settings, storage.as_ref(), decider.as_ref())?;
        }
        let early =
            decider.as_ref().filter(|_| planted(Bug::FenceBeforeClaim) || planted(Bug::TokenBeforeFence));
        let early = match early {
            Some(decider) if planted(Bug::FenceBeforeClaim) => decider.fence().and(Ok(None))?,
            Some(decider) => Some(decider.token()?),
            None => None,
        };
        let mut incarnation = claim(settings, job, storage.clone(), check)?;
        // After the claim, never before: what was pending under it would be discarded, and committed all the
        // same. The token only after the fence: what an older run still commits is seen, or refused.
        let job_id = format!("{:016x}", incarnation.store_id());
        let mut token_is_foreign = false;
        let token = match &decider {
            None => Token::NotNeeded,
            Some(decider) => {
                decider.is_of(&job_id);
                if !planted(Bug::FenceBeforeClaim) {
                    decider.fence()?;
                }
                match early {
                    Some(token) => Token::Of(Some(token.unwrap_or(0))),
                    None => {
                        let token = decider.token()?;
                        token_is_foreign =
                            token > Some(0) && decider.owner().is_some_and(|owner| owner != job_id);
                        // A number of somebody else's checkpoints says nothing of these.
                        Token::Of(token.filter(|_| !token_is_foreign))
                    }
                }
            }
        };
        if token_is_foreign && goes_on {
            return Err(somebody_elses(settings));
        }
        let recovered = match incarnation.recover_checked(token, check) {
            Err(error) if !goes_on && error.code == Code::CheckpointUnusable => {
                let contents = contents(storage.as_ref())?;
                // What this very run has committed is no leftover of what the job was before.
                if settings.has_begun && matches!(token, Token::Of(Some(token)) if token > contents.began()) {
                    return Err(error);
                }
                tracing::warn!("the job's own checkpoints can't be used: {}", error.message);
                token_is_foreign |= decider.is_some();
                // Without a token nobody knows of the last ones whether they are committed: they don't count.
                let undecided = if decider.is_some() { contents.unconfirmed() } else { Vec::new() };
                Recovered::afresh(incarnation.generation(), undecided)
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
        // A checkpoint whose commit wasn't decided is none: the job begins once more, as it has begun.
        let resume = if settings.has_begun && recovered.is_own() { &Resume::Auto } else { &settings.resume };
        let tip = recovered.manifest;
        let origin = match resume {
            Resume::Auto => {
                tip.clone().map(|manifest| Origin { manifest, storage: storage.clone(), named: false })
            }
            Resume::Never => None,
            Resume::From(path) => {
                let own = incarnation.store_id();
                Some(named(settings.stores.as_ref(), path, own, &recovered.discarded)?)
            }
        };
        let generation = incarnation.generation();
        let identity = Identity { generation, first_generation: generation, job_id };
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
            decider,
            token_is_foreign,
            fell_back,
            script,
            upgrade: Upgrade::default(),
            sources: topology.sources.iter().map(|(_, node)| node.name.clone()).collect(),
            sinks: topology.sinks.iter().map(|(_, node)| node.name.clone()).collect(),
            operators: topology.operators.iter().map(|it| it.stable_id.clone()).collect(),
            state: BTreeMap::new(),
            pending: Pending::default(),
            counts: Counts::default(),
            last_counts: Counts::default(),
            last_epoch: 0,
            seen: Seen::Known,
            at_stake: Counts::default(),
            failed_in_a_row: 0,
            published: Counts::default(),
            activity: Arc::default(),
            summary: CheckpointSummary {
                directory: directory.display().to_string(),
                ..CheckpointSummary::default()
            },
        };
        match origin {
            Some(origin) => this.adopt(origin, job)?,
            None => tracing::info!(
                directory = this.summary.directory.as_str(),
                "no checkpoint to go on from: the job begins afresh"
            ),
        }
        this.pending = Pending::new(job.settings.parallelism.max(1), this.sinks.len());
        Ok(this)
    }

    /// Makes a checkpoint the one to go on from.
    fn adopt(&mut self, origin: Origin, job: &Job) -> Result<()> {
        let manifest = &origin.manifest;
        // What a job of another directory has to publish is that job's.
        let confirmed = origin.named || self.tip_is_confirmed;
        let found = Found { manifest, confirmed, named: origin.named };
        let upgrade = self.script.upgrade(&found, &job.registry, self.key_groups)?;
        check_lost(&upgrade, manifest, &self.settings.allow_drop)?;
        let first = manifest.counters.get("first_generation").and_then(Value::as_u64);
        if let Some(first) = first.filter(|_| !origin.named) {
            self.identity.first_generation = first;
        }
        self.summary.resumed_from = Some(manifest.number);
        self.summary.had_finished = manifest.finished;
        self.summary.state_bytes = manifest.state_bytes();
        if !origin.named {
            // What is read in another shape is written anew.
            let as_it_is = |id: &String| {
                let source = upgrade.state_of(id);
                source.is_some_and(|it| it.id == *id && it.tables.is_none() && it.numbers.is_empty())
            };
            let kept = manifest.operators.iter().filter(|(id, _)| as_it_is(id));
            self.state = kept.map(|(id, entry)| (id.clone(), entry.clone())).collect();
        }
        match self.script.counts(manifest, &upgrade) {
            Some(counts) => self.counts = counts,
            None => {
                tracing::warn!("the script has other edges than its checkpoint: rows are counted from 0");
            }
        }
        tracing::info!(checkpoint = manifest.number, epoch = manifest.epoch, "going on from a checkpoint");
        log(&upgrade);
        if !origin.named {
            self.script.number_sinks(manifest);
        }
        self.upgrade = upgrade;
        self.origin = Some(origin);
        Ok(())
    }

    /// Tells those who ask what the run is doing how far its checkpoints have come.
    #[must_use]
    pub fn tells(mut self, activity: Arc<Activity>) -> Self {
        activity.checkpoint.every(self.settings.interval);
        self.activity = activity;
        self
    }

    /// What sinks need to name what they write.
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// The number by which names of files tell a sink from the job's others.
    pub fn sink_number(&self, name: &str) -> usize {
        self.script.sink_number(name)
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

    /// What had been counted up to the newest checkpoint whose rows are published; of a run that hasn't come to
    /// one, up to where it began.
    pub fn published_counts(&self) -> &Counts {
        if self.summary.completed > 0 { &self.published } else { &self.counts }
    }

    /// What readers see of the rows behind [`Self::published_counts`].
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// What had been counted up to the checkpoint that was being published when the run ended.
    pub fn counts_at_stake(&self) -> Option<&Counts> {
        (self.seen != Seen::Known).then_some(&self.at_stake)
    }

    /// Where a source goes on.
    pub fn position(&self, source: &str) -> Option<Value> {
        let origin = self.origin.as_ref().filter(|_| self.upgrade.goes_on(source))?;
        origin.manifest.sources.get(source).cloned()
    }

    /// Gives an operator its state back: all of it, or only what stands beside the operator itself if that
    /// has been restored already.
    ///
    /// # Errors
    /// State that can't be read.
    pub fn restore(&self, task: &mut OperatorTask, owned: Range<u16>, done: bool) -> Result<()> {
        let Some(origin) = &self.origin else { return Ok(()) };
        match self.state_of(origin, &task.stable_id, owned) {
            Some(state) => task.restore(&state, done),
            None => {
                // It is new, but time has come far in the sources that it reads.
                task.restore_progress(&self.progress(&origin.manifest.operators));
                Ok(())
            }
        }
    }

    /// Restores the operators of all shards; takes what a standby has restored, if it is just that.
    ///
    /// # Errors
    /// State that can't be read.
    pub fn restore_all(&self, job: &Job, topology: &Topology, eval: &EvalContext) -> Result<Restored> {
        let Some(origin) = self.origin.as_ref().filter(|origin| !origin.manifest.finished) else {
            return Ok(Restored::default());
        };
        let shards = job.settings.parallelism.max(1);
        let warm = job.warm.as_ref().filter(|_| !origin.named && self.upgrade.changes_nothing());
        if let Some(warm) = warm.and_then(|warm| warm.take_if(&origin.manifest, shards)) {
            tracing::info!(checkpoint = origin.manifest.number, "its state was here already");
            return Ok(warm);
        }
        let parallel = self.settings.stores.parallel();
        restore(job, topology, eval, shards, parallel, &|id, owned| self.state_of(origin, id, owned))
    }

    /// An operator's state, for the key groups of a shard, in the shape that it has now.
    fn state_of(&self, origin: &Origin, id: &str, owned: Range<u16>) -> Option<OperatorState> {
        let source = self.upgrade.state_of(id)?;
        let mut entry = origin.manifest.operators.get(&source.id)?.clone();
        for values in &mut entry.values {
            *values =
                std::mem::take(values).into_iter().map(|(name, it)| (self.lane_now(name), it)).collect();
        }
        let owned = if planted(Bug::KeyGroupsNotFiltered) { 0..self.key_groups } else { owned };
        let state = OperatorState::new(&source.id, entry, owned, origin.storage.clone());
        let now = self.clock.now_micros().div_euclid(1000);
        Some(match reshape(source, now) {
            Some(reshape) => state.reshaped(Arc::new(reshape)),
            None if origin.named || source.id != id => state.rewritten(),
            None => state,
        })
    }

    /// The name of a lane's value under the ids that operators have now.
    fn lane_now(&self, name: String) -> String {
        let Some((lane, producer)) = name.split_once(": ") else { return name };
        let renamed = self.upgrade.renamed().find(|(was, _)| *was == producer);
        renamed.map_or_else(|| name.clone(), |(_, is)| format!("{lane}: {is}"))
    }

    /// How far the time of each source had come, as operators behind it saw it.
    fn progress(&self, operators: &BTreeMap<String, OperatorEntry>) -> BTreeMap<String, Value> {
        let lanes = operators.values().flat_map(|entry| &entry.values).flatten();
        let of_source = lanes.filter_map(|(name, value)| {
            let (_, producer) = name.split_once(": ")?;
            let source = producer.strip_prefix("source:")?;
            self.upgrade.goes_on(source).then(|| (producer.to_string(), value.clone()))
        });
        of_source.collect()
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
                if self.origin.as_ref().is_none_or(|origin| origin.named) {
                    self.check_pending(tip)?;
                }
                self.at_stake.clone_from(&self.counts);
                self.seen = Seen::Decided;
                for (committer, committables) in committers.iter_mut().zip(&keep) {
                    committer.commit(committables)?;
                }
                self.incarnation.confirm()?;
                self.seen = Seen::Known;
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

    /// A job that begins anew must have the sinks for what the older one has to publish, where they were.
    fn check_pending(&self, tip: &Manifest) -> Result<()> {
        let Some((name, goes)) = self.script.unpublishable(tip) else { return Ok(()) };
        let message = format!(
            "checkpoint {} of '{}' has rows to publish for sink '{name}', which the script {goes}",
            tip.number, self.job
        );
        Err(Diagnostic::error(Code::CheckpointUnusable, message)
            .help("run the script as it was once more, then change it"))
    }

    /// A job that begins anew beside older checkpoints says so before its first row: should it die before
    /// its first checkpoint, nobody takes it for the older job.
    fn mark_fresh_start(&mut self) -> Result<()> {
        let began_before = self.tip.is_some() || self.token_is_foreign;
        if self.origin.is_some() || !began_before {
            return Ok(());
        }
        let epoch = self.first_epoch() - 1;
        let mut manifest = Manifest::new(&self.job, self.key_groups, epoch, self.clock.now_micros());
        manifest.plan.clone_from(&self.operators);
        manifest.counters = self.extras(&Counts::default());
        self.publish(&mut manifest)?;
        self.decide(manifest.number, epoch)?;
        self.incarnation.confirm()
    }
}

/// Whether a job can go on with its script from what there is now; nothing is claimed or changed.
///
/// # Errors
/// `CheckpointUnusable`, `StateLost`: a run would be refused.
pub fn check_fits(job: &Job) -> Result<()> {
    let Some(settings) = &job.settings.checkpointing else { return Ok(()) };
    look_before(settings, job, &Script::of(&job.plan, &Topology::of(&job.plan)?, &job.registry))
}

/// A script that can't go on must not claim: that would stop whoever runs the job. What can't be read now is
/// looked at again under the claim.
fn look_before(settings: &Checkpointing, job: &Job, script: &Script) -> Result<()> {
    // What a run that has begun goes on from is its own, or what was looked at when it began.
    let resume = if settings.has_begun { &Resume::Auto } else { &settings.resume };
    let (root, number, named) = match resume {
        Resume::Never => return Ok(()),
        Resume::Auto => (settings.directory.join(job_folder(&settings.job)), None, false),
        Resume::From(path) => {
            let (root, number) = place_of(path);
            (root.to_path_buf(), number, true)
        }
    };
    let Ok(contents) = contents(settings.stores.open(&root).as_ref()) else { return Ok(()) };
    let newest = contents.manifests.keys().next_back().copied();
    let Some(manifest) = number.or(newest).and_then(|number| contents.manifests.get(&number)) else {
        return Ok(());
    };
    let confirmed = named || contents.listing.confirmed.contains(&manifest.number);
    let found = Found { manifest, confirmed, named };
    let upgrade = script.upgrade(&found, &job.registry, job.settings.key_groups)?;
    check_lost(&upgrade, manifest, &settings.allow_drop)
}

/// A job that was started by mistake must not fence the one that commits under its name: what can be seen of that
/// without fencing is looked at first. It decides nothing: for that the token is read behind the fence. Who begins
/// anew, or from another place, has been told to take the name over, and isn't asked.
fn look_for_others(settings: &Checkpointing, storage: &dyn Storage, decider: &dyn Decider) -> Result<()> {
    // Nothing is lost yet of a job that has committed nothing: its directory may have been emptied since.
    let Some(last) = decider.look()?.filter(|it| it.number > 0) else { return Ok(()) };
    // Behind the token: a checkpoint's manifest is there before its commit.
    let Ok(contents) = contents(storage) else { return Ok(()) };
    let mine = contents.claims.values().next().map(|first| format!("{:016x}", first.nonce));
    let is_foreign = match (last.owner, mine) {
        (Some(owner), mine) => mine.is_none_or(|mine| mine != owner),
        (None, _) => last.number > contents.listing.last(),
    };
    if is_foreign { Err(somebody_elses(settings)) } else { Ok(()) }
}

fn somebody_elses(settings: &Checkpointing) -> Box<Diagnostic> {
    let (job, directory) = (&settings.job, settings.directory.display());
    let message = format!(
        "job '{job}' would commit under a name that another job commits under: the last commit there is of a \
         checkpoint that isn't in '{directory}'"
    );
    Diagnostic::error(Code::CheckpointUnusable, message)
        .help("two jobs need two names: another 'sink.transactional-id-prefix', or another 'pipeline.name'")
        .help(
            "if it is this job and its checkpoints are elsewhere: say so with 'execution.checkpointing.dir'",
        )
        .help("if they are lost: --resume never begins anew, and shuts out whoever commits there now")
}

/// Claims the job for this process.
fn claim(
    settings: &Checkpointing,
    job: &Job,
    storage: Arc<dyn Storage>,
    check: Check,
) -> Result<Incarnation> {
    let again = if check == Check::First { " again" } else { "" };
    let keeper = settings.keeper.as_ref();
    let claimant = Claimant {
        nonce: nonce(&format!("{}{again}", job.settings.run_id)),
        created_micros: job.clock.now_micros(),
        holder: keeper.and_then(|it| it.holder()),
        after: keeper.and_then(|it| it.follows()),
        begins: settings.resume != Resume::Auto && !settings.has_begun,
    };
    let incarnation = Incarnation::claim_by(storage.clone(), &settings.job, &claimant)?;
    if let Some(keeper) = keeper {
        keeper.claimed(&storage, incarnation.claimed());
    }
    Ok(incarnation)
}

/// A text as a number: FNV-1a. Of a run's id one that no other run has, from time and process.
pub(super) fn nonce(run_id: &str) -> u64 {
    run_id.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// The job's directory that a path names, and which of its checkpoints.
fn place_of(path: &Path) -> (&Path, Option<u64>) {
    let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
    match (number, path.parent()) {
        (Some(_), Some(folder)) if folder.ends_with("sequence") => {
            (folder.parent().unwrap_or(folder), number)
        }
        _ => (path, None),
    }
}

/// Whether a checkpoint has been decided since the job last began anew, or from another place.
fn has_decided_since_it_began(storage: &dyn Storage) -> Result<bool> {
    let contents = contents(storage)?;
    let began = contents.began();
    Ok(contents
        .listing
        .confirmed
        .iter()
        .any(|number| *number > began && contents.manifests.contains_key(number)))
}

/// A checkpoint named by its path: a manifest, or a job's directory, for its newest one. In the job's `own` directory
/// those that were never decided are none.
fn named(stores: &dyn Stores, path: &Path, own: u64, discarded: &[u64]) -> Result<Origin> {
    let (root, number) = place_of(path);
    let storage = stores.open(root);
    let undecided = if is_store(storage.as_ref(), own)? { discarded } else { &[] };
    let (manifest, skipped) = read_checkpoint(storage.as_ref(), number, undecided)?;
    for damage in &skipped {
        tracing::warn!(
            checkpoint = damage.number,
            "a checkpoint can't be used, an older one is: {}",
            damage.what
        );
    }
    Ok(Origin { manifest, storage, named: true })
}
