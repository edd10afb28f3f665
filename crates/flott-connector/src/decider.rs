//! Sinks whose commit decides: a transaction that can't be committed again after a crash (Kafka's).
//!
//! ```text
//!   start:   look ─► claim ─► fence ─► token ─► decide what the job goes on from
//!   epoch:   rows go into the open transaction ─► all shards prepared ─► manifest n, pending
//!            ─► commit(n): token n and the rows become visible together ─► repeatable commits ─► confirmed
//!                  ├─ Committed   the next epoch's transaction is open
//!                  ├─ Uncertain   neither success nor failure: the run ends; the next one asks the token
//!                  └─ Fenced      somebody fenced after us: a newer claim, or an older run that came late
//! ```
//!
//! A job has at most one: all its deciding tables share its transaction.
//!
//! Invariants
//! - `fence` aborts what was open, waits for a commit under way, and has every later commit of older
//!   producers refused. `token` is asked only after it, and sees every commit that took effect before it.
//! - The token is written inside the transaction. One is written before the first epoch (`fence` sees to
//!   it), so a job that has run always has one; it doesn't expire.
//! - A lost answer is [`Outcome::Uncertain`], never a failure.
//! - Rows that a writer takes after `prepare(n)` are held back until epoch n is committed, or until
//!   [`Decider::goes_on`] says that its checkpoint failed and its rows are decided with a later one.
//!   Epochs rise, so a number does: rows behind `prepare(n)` may go as soon as it is above n.

use std::{any::Any, sync::Arc, time::Duration};

use flott_types::{Diagnostic, Options, Result};

use crate::{Clock, StopSignal};

/// What a decider gets from the job.
#[derive(Clone)]
pub struct DeciderRequest {
    /// The job's options.
    pub job_options: Options,
    /// The job's name.
    pub pipeline_name: String,
    /// With checkpoints every epoch is a transaction; without, the whole run is one: it has no token, and
    /// keeps away from that of a job with checkpoints.
    pub checkpoints: bool,
    /// How far checkpoints are apart, if there are any.
    pub interval: Duration,
    /// Differs for every run.
    pub run_id: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The run is to stop: nobody waits long for an answer any more.
    pub stop: StopSignal,
}

/// The token of the last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCommit {
    /// The number of its epoch, 0 before the first one.
    pub number: u64,
    /// Whose checkpoints that is a number of, as [`Decider::is_of`] was told. Older tokens don't say.
    pub owner: Option<String>,
}

/// What became of a commit.
#[derive(Debug)]
pub enum Outcome {
    /// It took effect.
    Committed,
    /// It may have taken effect, or may yet.
    Uncertain(Box<Diagnostic>),
    /// It was refused, and always will be: a newer producer has fenced this one.
    Fenced(Box<Diagnostic>),
}

/// Decides epochs. Everything but `goes_on` may block; called outside shards.
pub trait Decider: Send + Sync {
    /// The last commit that can be seen without fencing anybody; none: there is none, or it can't be told. It may
    /// be an older one than the last: good for seeing that somebody else commits here, never for deciding what to
    /// go on from.
    ///
    /// # Errors
    /// `BrokerUnreachable`, `AccessDenied`
    fn look(&self) -> Result<Option<LastCommit>> {
        Ok(None)
    }
    /// Whose checkpoints tokens belong to from here on. Told before `fence`.
    fn is_of(&self, owner: &str) {
        let _ = owner;
    }
    /// Whose checkpoint [`Decider::token`] is of, if it says so.
    fn owner(&self) -> Option<String> {
        None
    }
    /// Ends what older producers have left behind and keeps them out, begins the first transaction.
    ///
    /// # Errors
    /// `OutputFailed`
    fn fence(&self) -> Result<()>;
    /// The number of the last epoch that was committed, 0 before the first one; none: there is no token,
    /// though there was one. Only after `fence`.
    ///
    /// # Errors
    /// `OutputFailed`
    fn token(&self) -> Result<Option<u64>>;
    /// Commits everything that writers have prepared up to `epoch`, with `number` as the token; opens the
    /// next transaction and lets rows behind that epoch through. To be called for every checkpoint, also for
    /// one without rows.
    ///
    /// # Errors
    /// `OutputFailed`: it was not tried.
    fn commit(&self, number: u64, epoch: u64) -> Result<Outcome>;
    /// The checkpoint of `epoch` isn't made: what was prepared for it is decided with a later one. Lets rows
    /// behind that epoch into the same transaction, also those of writers that prepare it only now.
    fn goes_on(&self, epoch: u64);
    /// The run is over, however it ended: what is open is aborted, as far as that can be had at once, so that
    /// readers needn't wait until it expires. After an uncertain commit nothing is done any more.
    fn close(&self);
    /// For sinks that share it.
    fn as_any(&self) -> &dyn Any;
}
