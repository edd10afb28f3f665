//! Gives operators their state back before the run begins: all shards at once, each block read once and
//! compared with its checksum as it is read.
//!
//! ```text
//!   manifest ─► (shard, operator) … ─┬─ thread 0: build, read blocks, fill tables ─┐
//!                                    ├─ thread 1                                   ├─► Restored ─► Builder
//!                                    └─ …                                          ┘
//! ```
//! The same work can be done before the job is claimed: a standby that sees the holder fall silent restores
//! what the newest manifest names ([`Warm`]). After its claim that is compared with the tip, and used only if
//! it is exactly that. What a standby read before its claim is never the answer, only a cache.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use flott_expr::EvalContext;
use flott_operators::{Context, Operator, SpillingOperator};
use flott_plan::OperatorNode;
use flott_state::{KeyGroups, Manifest, OperatorState, Storage};
use flott_types::{Code, Diagnostic, Result};

use crate::{failure::Failure, job::Job, spilling, topology::Topology};

/// Operators with their state, by shard and number.
#[derive(Default)]
pub struct Restored {
    operators: Mutex<BTreeMap<(usize, usize), SpillingOperator>>,
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored").field("operators", &self.operators().len()).finish()
    }
}

impl Restored {
    fn operators(&self) -> std::sync::MutexGuard<'_, BTreeMap<(usize, usize), SpillingOperator>> {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// An operator of a shard, once.
    pub(crate) fn take(&self, shard: usize, operator: usize) -> Option<SpillingOperator> {
        self.operators().remove(&(shard, operator))
    }
}

/// What a standby has restored ahead of its claim.
#[derive(Debug)]
pub struct Warm {
    manifest: Manifest,
    shards: usize,
    operators: Mutex<Option<Restored>>,
}

impl Warm {
    /// Restores the operators of a job from a checkpoint that nobody has claimed yet.
    ///
    /// # Errors
    /// State that can't be read, such as that of a checkpoint which has been removed since: look again.
    pub fn restore(job: &Job, manifest: Manifest, storage: &Arc<dyn Storage>) -> Result<Self> {
        let topology = Topology::of(&job.plan)?;
        let shards = job.settings.parallelism.max(1);
        let state = |id: &str, owned: Range<u16>| {
            let entry = manifest.operators.get(id)?.clone();
            Some(OperatorState::new(id, entry, owned, storage.clone()))
        };
        let operators = restore(job, &topology, &evaluation(job), shards, true, &state)?;
        Ok(Self { manifest, shards, operators: Mutex::new(Some(operators)) })
    }

    /// The number of the checkpoint it comes from.
    pub fn number(&self) -> u64 {
        self.manifest.number
    }

    /// The operators, if they are those of exactly this checkpoint. If not, they are of no use, and go.
    pub(crate) fn take_if(&self, tip: &Manifest, shards: usize) -> Option<Restored> {
        let fits = self.manifest == *tip && self.shards == shards;
        self.operators.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|_| fits)
    }
}

/// What expressions are evaluated with.
pub(crate) fn evaluation(job: &Job) -> EvalContext {
    EvalContext {
        now_micros: job.clock.now_micros(),
        time_zone: job.settings.time_zone,
        random_seed: job.clock.now_micros().unsigned_abs(),
        watermark: None,
    }
}

/// What the operators of a shard get from the engine.
pub(crate) fn context_of(job: &Job, eval: &EvalContext, shard: usize, shards: usize) -> Context {
    let mut eval = eval.clone();
    eval.random_seed ^= (shard as u64 + 1) << 48;
    let groups = KeyGroups::new(job.settings.key_groups);
    let clock = job.clock.clone();
    Context {
        eval,
        groups,
        owned: groups.range(shard, shards),
        batch_rows: job.settings.batch_rows,
        now_millis: Arc::new(move || clock.now_micros() / 1000),
        batch_mode: job.settings.batch_mode,
        lookup: None,
    }
}

/// Where an operator's state comes from, for the key groups of a shard.
pub(crate) type StateOf<'a> = dyn Fn(&str, Range<u16>) -> Option<OperatorState> + Sync + 'a;

/// Builds and fills all operators that have state, but for those that ask tables outside: they need a run.
///
/// # Errors
/// The first state that can't be read.
pub(crate) fn restore(
    job: &Job,
    topology: &Topology,
    eval: &EvalContext,
    shards: usize,
    parallel: bool,
    state: &StateOf<'_>,
) -> Result<Restored> {
    let restored = Restored::default();
    let contexts: Vec<Context> = (0..shards).map(|shard| context_of(job, eval, shard, shards)).collect();
    let mut work = Vec::new();
    for (index, spec) in topology.operators.iter().enumerate() {
        if !matches!(spec.node, OperatorNode::LookupJoin(_)) {
            work.extend((0..shards).map(|shard| (shard, index)));
        } else if let Some(state) = state(&spec.stable_id, 0..job.settings.key_groups) {
            // It is read when the run has begun, which is too late to find damage.
            state.verify()?;
        }
    }
    let one = |&(shard, index): &(usize, usize)| {
        let (Some(context), Some(spec)) = (contexts.get(shard), topology.operators.get(index)) else {
            return Ok(());
        };
        let Some(state) = state(&spec.stable_id, context.owned.clone()) else { return Ok(()) };
        let mut operator = spilling::operator(job, topology, context, shard, index)?;
        operator.restore(&state)?;
        restored.operators().insert((shard, index), operator);
        Ok(())
    };
    let threads = if parallel { shards.min(work.len()) } else { 1 };
    if threads < 2 {
        work.iter().try_for_each(one)?;
        return Ok(restored);
    }
    let (next, failure) = (AtomicUsize::new(0), Failure::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if failure.is_set() {
                        return;
                    }
                    if let Err(error) = one(item) {
                        failure.set(error);
                    }
                }
            });
        }
    });
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(restored),
    }
}

/// A checkpoint whose state turned out damaged while it was read.
pub(crate) fn is_damage(error: &Diagnostic) -> bool {
    error.code == Code::CheckpointUnusable
}
