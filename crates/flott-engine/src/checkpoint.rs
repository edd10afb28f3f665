//! Checkpoints of a running job: when one is wanted, what shards hand over for it, how it becomes
//! final.
//!
//! ```text
//!   job thread                      shards                        storage, sinks
//!   ──────────                      ──────                        ──────────────
//!   close every source's epoch ──►  barrier … snapshots, counts ─┐
//!                                   sinks prepare … committables ┤
//!   all shards have reported ◄───────────────────────────────────┘
//!   encode, write segments ─────────────────────────────────────► segments durable
//!   manifest, put-if-absent ────────────────────────────────────► pending
//!   publish ────────────────────────────────────────────────────► repeatable commits
//!   confirm, retention ─────────────────────────────────────────► confirmed
//! ```
//!
//! Invariants (the rules of the epoch protocol that fall to the engine)
//! - The next checkpoint is only asked for when the one before is confirmed or has failed.
//! - A checkpoint that can't be written costs nothing: what shards handed over for it is kept and
//!   written with the next one, and what sinks prepared is committed with it.
//! - All I/O is done on the job thread; shards go on.

mod coordinator;
mod keeper;
mod script;
mod start;
mod write;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flott_state::{FullPlan, KeyGroups, OperatorSnapshot, Stores};

pub use coordinator::{CheckpointSummary, Coordinator};
pub(crate) use coordinator::{Hands, Rounds};
pub use keeper::Keeper;
pub use script::upgrade;
pub use start::check_fits;

/// How checkpoints are made.
#[derive(Debug, Clone)]
pub struct Checkpointing {
    /// Where the directories named here are.
    pub stores: Arc<dyn Stores>,
    /// `execution.checkpointing.dir`
    pub directory: PathBuf,
    /// The job's name there: `pipeline.name`, and a number for further pipelines of a script.
    pub job: String,
    /// How long to wait before a manifest whose answer was lost is put again.
    pub retry_pause: Duration,
    /// `execution.checkpointing.interval`
    pub interval: Duration,
    /// `execution.checkpointing.timeout`
    pub timeout: Duration,
    /// `execution.checkpointing.min-pause`
    pub min_pause: Duration,
    /// `execution.checkpointing.tolerable-failed-checkpoints`: what shards hand over waits in memory until a
    /// checkpoint holds it, and not for ever.
    pub tolerated: u32,
    /// `execution.checkpointing.num-retained`
    pub retained: usize,
    /// Where to start from.
    pub resume: Resume,
    /// The job has begun so before, and has published a checkpoint since: once that is decided, it goes on from
    /// there.
    pub has_begun: bool,
    /// Keeps the run's lease, if anybody does.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// What of a checkpoint may be dropped if the script can't take it up: ids, or `all`.
    pub allow_drop: Vec<String>,
}

/// `--resume`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// The newest complete checkpoint of this job, or from the beginning if there is none.
    #[default]
    Auto,
    /// From the beginning.
    Never,
    /// This checkpoint, or the newest in this directory.
    From(PathBuf),
}

/// What one barrier asks of operators.
#[derive(Debug)]
pub struct SnapshotRequest {
    /// The epoch that the barrier ends.
    pub epoch: u64,
    groups: KeyGroups,
    /// Per shard and operator: which key groups of which tables to hand over whole.
    full: Vec<BTreeMap<String, FullPlan>>,
}

impl SnapshotRequest {
    /// An empty snapshot for an operator of a shard.
    pub fn snapshot_of(&self, shard: usize, operator: &str) -> OperatorSnapshot {
        let full = self.full.get(shard).and_then(|plans| plans.get(operator)).cloned().unwrap_or_default();
        OperatorSnapshot::new(self.epoch, self.groups, full)
    }
}

/// What checkpoints the job wants of its shards.
#[derive(Debug)]
pub struct Requests {
    checkpoints: bool,
    groups: KeyGroups,
    /// The epoch of the barrier wanted last; 0: none yet.
    epoch: AtomicU64,
    request: Mutex<Option<Arc<SnapshotRequest>>>,
    /// What to hand over whole next time.
    full: Mutex<Vec<BTreeMap<String, FullPlan>>>,
}

impl Requests {
    /// None wanted yet.
    pub fn new(checkpoints: bool, key_groups: u16) -> Self {
        Self {
            checkpoints,
            groups: KeyGroups::new(key_groups),
            epoch: AtomicU64::new(0),
            request: Mutex::new(None),
            full: Mutex::new(Vec::new()),
        }
    }

    /// Whether the job has checkpoints.
    pub fn checkpoints(&self) -> bool {
        self.checkpoints
    }

    /// Asks every shard for a barrier at the end of this epoch.
    pub fn want(&self, epoch: u64) {
        let request = Arc::new(self.last(epoch));
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        self.epoch.store(epoch, Ordering::Release);
    }

    /// The barrier wanted at the end of this epoch.
    pub fn wanted(&self, epoch: u64) -> Option<Arc<SnapshotRequest>> {
        if self.epoch.load(Ordering::Acquire) != epoch {
            return None;
        }
        self.request.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|it| it.epoch == epoch)
    }

    /// A request for the end of this epoch.
    pub fn last(&self, epoch: u64) -> SnapshotRequest {
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SnapshotRequest { epoch, groups: self.groups, full }
    }

    /// Which key groups to hand over whole from now on, per shard.
    pub fn plan(&self, full: Vec<BTreeMap<String, FullPlan>>) {
        *self.full.lock().unwrap_or_else(PoisonError::into_inner) = full;
    }

    /// The key groups of a shard.
    pub fn owned(&self, shard: usize, shards: usize) -> Range<u16> {
        self.groups.range(shard, shards)
    }
}
