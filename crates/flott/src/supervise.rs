//! Runs a job and stays with it: waits for its turn, keeps its lease, takes it up again after a failure that
//! may pass.
//!
//! ```text
//!   standby::Gate ─► Keeper ─► flott_engine::run ─► finished, stopped, failed ─► the lease says so
//!        ▲                          │ ✗ may pass                │
//!        │ somebody was faster      ▼                           ▼
//!        └──────────────────── wait, run anew            summary, with restarts
//! ```

use std::sync::Arc;

use flott_connector::{Clock, StopSignal};
use flott_engine::{Counters, Job, Status, Summary};
use flott_plan::{NodeKind, SourceInput};
use flott_state::{
    Claimed, LeaseState,
    sequence::{has_own_checkpoint, job_folder},
};
use flott_types::{Code, Diagnostic, Result, Severity};

use crate::{
    console,
    lease::{Keeper, Terms},
    restarts::{Restarts, Strategy, may_pass},
    run::argument_error,
    settings,
    standby::{Admission, Gate, Manner},
};

/// How a job is run.
pub struct Supervisor {
    /// What to do about another run.
    pub manner: Manner,
    /// How leases are kept.
    pub terms: Terms,
    /// When it is restarted.
    pub strategy: Strategy,
    /// Says on standard error what happens.
    pub tell: bool,
    /// Given by the user.
    pub stop: StopSignal,
}

/// Is shown every run's counters before its first row, and nothing once it is over and another may follow.
type Watcher<'a> = &'a mut dyn FnMut(&Job, Option<&Arc<Counters>>);

/// How a run ended.
type Outcome = (Summary, Option<Box<Diagnostic>>);

impl Supervisor {
    /// Of a job.
    ///
    /// # Errors
    /// `InvalidOption`; `Arguments` for a standby without checkpoints.
    pub fn of(job: &Job, manner: Manner, tell: bool) -> Result<Self> {
        let has_checkpoints = has_checkpoints(job);
        if manner == Manner::Standby && job.collect.is_some() {
            let message =
                "--standby is for pipelines that write: nobody can take over a query, whose rows go here";
            return Err(
                argument_error(message).help("INSERT INTO a table, or run the query without --standby")
            );
        }
        if manner == Manner::Standby && !has_checkpoints {
            return Err(argument_error("--standby needs 'execution.checkpointing.dir'")
                .help("it takes over from the newest checkpoint there"));
        }
        let options = &job.settings.options;
        let strategy = match &job.collect {
            // What a query has printed can't be taken back.
            Some(_) => Strategy::None,
            // Nor can what was read of letters, or of a pipe, be read again.
            None if job.replay.is_some() || !can_be_read_again(job)? => Strategy::None,
            None => Strategy::of(options, has_checkpoints)?,
        };
        let (terms, stop) = (settings::lease_terms(options)?, job.stop.clone());
        Ok(Self { manner, terms, strategy, tell, stop })
    }

    /// Runs the job to its end.
    pub fn run(&self, job: &mut Job, watch: Watcher<'_>) -> Outcome {
        if !has_checkpoints(job) {
            return self.with_restarts(job, None, false, watch);
        }
        let mut seen = None;
        loop {
            let (follows, warm) = match self.admission(job, seen) {
                Ok(Admission::Go { follows, warm }) => (follows, warm),
                Ok(Admission::Stopped) => return (empty(Status::Stopped), None),
                Err(error) => return (empty(Status::Failed), Some(error)),
            };
            let takes_over = self.manner == Manner::Standby && follows.is_some_and(|it| it.generation > 0);
            if takes_over {
                // However the job began: who takes it over goes on where it is.
                match self.has_own_checkpoint(job) {
                    Ok(true) => has_begun(job),
                    Ok(false) => {}
                    Err(error) => return (empty(Status::Failed), Some(error)),
                }
            }
            let keeper = Arc::new(Keeper::new(self.terms, job.clock.clone(), follows, self.stop.clone()));
            job.warm = warm;
            if let Some(checkpointing) = &mut job.settings.checkpointing {
                checkpointing.keeper = Some(keeper.clone());
            }
            let outcome = self.with_restarts(job, Some(&keeper), takes_over, watch);
            let superseded = outcome.1.as_ref().is_some_and(|error| error.code == Code::Superseded);
            if superseded && !keeper.has_claimed() {
                // Somebody was faster: look again.
                seen = follows.filter(|it| it.generation > 0);
                self.renew(job);
                continue;
            }
            keeper.end(match (&outcome.1, outcome.0.status) {
                // Also if it could not be stopped well: nobody is to go on.
                (Some(_), _) if self.stop.is_stopped() => LeaseState::Stopped,
                (Some(_), _) | (None, Status::Failed) => LeaseState::Failed,
                (None, Status::Stopped) => LeaseState::Stopped,
                (None, Status::Finished) => LeaseState::Finished,
            });
            return outcome;
        }
    }

    fn admission(&self, job: &Job, seen: Option<Claimed>) -> Result<Admission> {
        let Some(checkpointing) = &job.settings.checkpointing else {
            return Ok(Admission::Go { follows: None, warm: None });
        };
        let folder = checkpointing.directory.join(job_folder(&checkpointing.job));
        let gate = Gate {
            job,
            storage: checkpointing.stores.open(&folder),
            terms: self.terms,
            manner: self.manner,
            seen,
            tell: self.tell,
            stop: self.stop.clone(),
        };
        gate.admit()
    }

    /// `takes_over`: the job has run before, so that what fails at its start wasn't wrong from the beginning.
    fn with_restarts(
        &self,
        job: &mut Job,
        keeper: Option<&Keeper>,
        takes_over: bool,
        watch: Watcher<'_>,
    ) -> Outcome {
        let mut restarts = Restarts::new(self.strategy.clone());
        let mut started = takes_over;
        let mut before = None;
        loop {
            job.stop = self.stop.child();
            let this: &Job = job;
            let mut begun = false;
            let (mut summary, error) = flott_engine::run(this, &mut |counters| {
                (started, begun) = (true, true);
                counters.restarted(restarts.count);
                watch(this, Some(counters));
            });
            watch(this, None);
            // A try that came to no row has nothing to tell of: what is known is what the one before it has done.
            if let (false, Some(earlier)) = (begun, before.take()) {
                summary = earlier;
            }
            summary.restarts = restarts.count;
            let Some(error) = error else { return (summary, None) };
            // Whoever stops a run doesn't want to hear what it would have been restarted after. Without checkpoints
            // what it has read and not written is lost: that must be heard.
            let goes_on_later = self.strategy != Strategy::None && has_checkpoints(this);
            if self.stop.is_stopped() && may_pass(&error) && (!started || goes_on_later) {
                match error.severity {
                    Severity::Error => tracing::warn!("stopped, when it could not go on: {}", error.message),
                    // Nothing was wrong.
                    Severity::Warning if self.tell => console::err(format_args!("{}\n", error.message)),
                    Severity::Warning => tracing::info!("{}", error.message),
                }
                summary.status = Status::Stopped;
                return (summary, None);
            }
            // What fails before its first row was wrong from the beginning: said at once.
            if !started || !may_pass(&error) || self.stop.is_stopped() {
                return (summary, Some(error));
            }
            let Some(wait) = restarts.after(job.clock.monotonic(), chance(job.clock.as_ref())) else {
                let error = match self.strategy {
                    Strategy::None => error,
                    _ => error.help(format!("restarted {} times: see 'restart-strategy.*'", restarts.count)),
                };
                return (summary, Some(error));
            };
            if self.tell {
                let seconds = wait.as_secs_f64();
                console::err(format_args!(
                    "warning[{}]: {}; restart {} in {seconds:.1} s\n",
                    error.code, error.message, restarts.count
                ));
            }
            tracing::info!(restart = restarts.count, "the run failed and is restarted: {}", error.message);
            if self.stop.wait(wait) {
                summary.status = Status::Stopped;
                return (summary, None);
            }
            before = Some(summary.clone());
            if let Some(keeper) = keeper {
                keeper.restarts();
            }
            self.renew(job);
            if keeper.is_some_and(Keeper::has_claimed) {
                // However the job began: once it has a checkpoint of its own, it goes by that.
                match self.has_own_checkpoint(job) {
                    Ok(true) => has_begun(job),
                    Ok(false) => {}
                    Err(error) => return (summary, Some(error)),
                }
            }
        }
    }

    /// Whether the job has published a checkpoint since it last began anew, or from another place. Asks until
    /// the store says.
    fn has_own_checkpoint(&self, job: &Job) -> Result<bool> {
        let Some(checkpointing) = &job.settings.checkpointing else { return Ok(false) };
        let folder = checkpointing.directory.join(job_folder(&checkpointing.job));
        let storage = checkpointing.stores.open(&folder);
        loop {
            match has_own_checkpoint(storage.as_ref()) {
                Err(error) if may_pass(&error) && !self.stop.wait(self.terms.interval) => {
                    tracing::warn!("the checkpoint directory can't be read, asking again: {}", error.message);
                }
                answer => return answer,
            }
        }
    }

    /// Another run of the same job.
    fn renew(&self, job: &mut Job) {
        job.settings.run_id = settings::run_id(job.clock.as_ref());
        job.warm = None;
    }
}

fn has_begun(job: &mut Job) {
    if let Some(checkpointing) = &mut job.settings.checkpointing {
        checkpointing.has_begun = true;
    }
}

/// Whether all sources give again what they gave before.
fn can_be_read_again(job: &Job) -> Result<bool> {
    for node in &job.plan.nodes {
        if let NodeKind::Source(source) = &node.kind
            && let SourceInput::Table { table, .. } = &source.input
            && job.registry.once_only(table)?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_checkpoints(job: &Job) -> bool {
    job.settings.checkpointing.is_some() && job.replay.is_none() && job.collect.is_none()
}

/// From 0 to 1: so that many jobs that failed together don't come back together.
fn chance(clock: &dyn Clock) -> f64 {
    (clock.now_micros() % 1000) as f64 / 1000.0
}

fn empty(status: Status) -> Summary {
    Counters::default().summary(status)
}
