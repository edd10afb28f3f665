//! Whoever keeps a run's lease: told when the job is claimed, asked whether it has been lost.

use std::{fmt, sync::Arc};

use flott_state::{Claimed, Holder, Storage};

/// Keeps the lease of a run. See [`flott_state::lease`].
pub trait Keeper: Send + Sync + fmt::Debug {
    /// The process that the run belongs to, for its claim.
    fn holder(&self) -> Option<Holder>;
    /// The run that this one follows: it claims only if no newer one has.
    fn follows(&self) -> Option<Claimed>;
    /// The job is this run's from now on.
    fn claimed(&self, storage: &Arc<dyn Storage>, claimed: Claimed);
    /// Whether a newer run has been seen to have the job. The run looks for itself then.
    fn may_be_lost(&self) -> bool;
}
