//! Who may run a job that another process may be running: waits for it, refuses, or takes over.
//!
//! ```text
//!                     nobody, or ended ──────────────────────────► go
//!   look at the lease ┼ its process is gone (of this machine) ───► go
//!                     ┼ silent for longer than the timeout ──────► go
//!                     ├ beats ─► `run`: refuses, naming it   `run --standby`: looks again
//!                     └ stopped by somebody while a standby waited: the standby ends
//! ```
//! While it waits, a standby reads each new checkpoint's blocks and compares them with their checksums, so
//! that they are near. When the holder misses a few beats, it restores the state of the newest checkpoint
//! ahead; that is used only if it still is the newest one after the claim.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flott_connector::{Clock, StopSignal};
use flott_engine::{Job, Warm};
use flott_state::{
    Claimed, Holder, Lease, LeaseState, Manifest, Storage,
    lease::{self, Sight, Waiting, Watch},
    segment::verify_block,
    sequence::{is_ours, manifest_at},
};
use flott_types::{Code, Diagnostic, Result};

use crate::{console, lease::Terms, process};

/// How often a lease is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a run does about another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Refuses to run beside it.
    Alone,
    /// Waits for its end.
    Standby,
    /// Takes over.
    TakeOver,
}

/// What came of looking.
pub enum Admission {
    /// The job may be claimed, if no newer run than this has.
    Go {
        /// The run found silent, ended or gone.
        follows: Option<Claimed>,
        /// What was restored ahead.
        warm: Option<Warm>,
    },
    /// Somebody stopped the job, or this process.
    Stopped,
}

/// Looks at a job's lease until it is clear whether it may be claimed.
pub struct Gate<'a> {
    /// The job.
    pub job: &'a Job,
    /// Its checkpoints.
    pub storage: Arc<dyn Storage>,
    /// When a lease counts as given up.
    pub terms: Terms,
    /// What to do if there is one.
    pub manner: Manner,
    /// The newest run that this process has seen.
    pub seen: Option<Claimed>,
    /// Says what happens.
    pub tell: bool,
    /// Ends the waiting.
    pub stop: StopSignal,
}

/// What a look means.
enum Verdict {
    Free(String),
    Held,
    Wait,
}

impl Gate<'_> {
    /// Waits until the job may be claimed.
    ///
    /// # Errors
    /// `AlreadyRunning`; what a store says that holds something else.
    pub fn admit(&self) -> Result<Admission> {
        match self.manner {
            Manner::TakeOver => Ok(Admission::Go { follows: None, warm: None }),
            Manner::Alone => self.alone(),
            Manner::Standby => self.standby(),
        }
    }

    fn watch(&self) -> Watch {
        Watch::new(self.storage.clone(), LOOK * 4)
    }

    fn alone(&self) -> Result<Admission> {
        let (clock, mut watch) = (&self.job.clock, self.watch());
        let mut told = false;
        loop {
            let sight = watch.look(clock.monotonic())?;
            match self.verdict(&sight, Duration::ZERO) {
                Verdict::Free(_) => {
                    return Ok(Admission::Go { follows: Some(sight.claimed()), warm: None });
                }
                Verdict::Held => return Err(already_running(&sight)),
                Verdict::Wait => {}
            }
            if !told && sight.silent > LOOK * 2 {
                told = true;
                tracing::info!("waiting to see whether {} still runs this job", who(sight.holder()));
            }
            if self.stop.wait(LOOK) {
                return Ok(Admission::Stopped);
            }
        }
    }

    fn verdict(&self, sight: &Sight, grace: Duration) -> Verdict {
        verdict(self.terms, sight, grace)
    }

    fn standby(&self) -> Result<Admission> {
        // One that could not go on is of no use in waiting.
        flott_engine::check_fits(self.job)?;
        let ahead = Ahead::default();
        let mut sign = Sign::new(self.storage.clone(), self.job.clock.as_ref());
        std::thread::scope(|scope| {
            let outcome = self.wait(scope, &ahead, &mut sign);
            ahead.done.stop();
            sign.leave();
            outcome
        })
        .map(|admission| match admission {
            // The scope has joined whoever restored.
            Admission::Go { follows, .. } => Admission::Go { follows, warm: ahead.take() },
            Admission::Stopped => Admission::Stopped,
        })
    }

    fn wait<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        ahead: &'scope Ahead,
        sign: &mut Sign,
    ) -> Result<Admission> {
        let (clock, mut watch) = (&self.job.clock, self.watch());
        let grace = self.terms.silence(None);
        let (mut waits_for, mut unreadable): (Option<Holder>, bool) = (None, false);
        let (mut last_sign, mut seen, mut gone) = (None, self.seen, false);
        loop {
            match watch.look(clock.monotonic()) {
                Err(error) if !unreadable => {
                    unreadable = true;
                    self.say(format_args!("the checkpoint directory can't be read: {}", error.message));
                }
                Err(_) => {}
                Ok(sight) => {
                    if std::mem::take(&mut unreadable) {
                        self.say("the checkpoint directory can be read again");
                    }
                    // By the process: it may have claimed anew.
                    let was_held = waits_for.is_some() && waits_for.as_ref() == sight.holder();
                    let mut verdict = self.verdict(&sight, grace);
                    let lost = seen.filter(|seen| sight.generation() < seen.generation);
                    match (&verdict, lost) {
                        // A directory that was removed, or is not there at the moment: whoever began anew would do
                        // so beside a run that may be alive, and publish everything again.
                        (Verdict::Free(_), Some(lost)) => {
                            verdict = Verdict::Wait;
                            if !std::mem::replace(&mut gone, true) {
                                let number = lost.generation;
                                self.say(format_args!(
                                    "the claim of run {number} is gone, and its checkpoints with it: waiting until \
                                     the directory is put back, or somebody else runs the job"
                                ));
                            }
                        }
                        (Verdict::Wait, Some(_)) => {}
                        _ if sight.claim.is_some() => (seen, gone) = (Some(sight.claimed()), false),
                        _ => {}
                    }
                    let is_free = matches!(verdict, Verdict::Free(_));
                    let stopped = |lease: &Lease| {
                        lease.state == LeaseState::Stopped
                            || (lease.stopping && lease.state == LeaseState::Held && is_free)
                    };
                    if was_held && sight.lease.as_ref().is_some_and(stopped) {
                        self.say(format_args!("{} was stopped: the standby ends, too", who(sight.holder())));
                        return Ok(Admission::Stopped);
                    }
                    match verdict {
                        Verdict::Free(why) => {
                            self.say(format_args!("{why}: taking over"));
                            return Ok(Admission::Go { follows: Some(sight.claimed()), warm: None });
                        }
                        Verdict::Held if !was_held => {
                            waits_for = sight.holder().cloned();
                            self.say(format_args!("{} runs the job: waiting", who(sight.holder())));
                        }
                        Verdict::Held | Verdict::Wait => {}
                    }
                    self.look_ahead(scope, ahead, &sight);
                }
            }
            let now = clock.monotonic();
            if last_sign.is_none_or(|last| now.saturating_sub(last) >= self.terms.interval) {
                last_sign = Some(now);
                sign.renew(ahead.warm());
            }
            if self.stop.wait(LOOK) {
                return Ok(Admission::Stopped);
            }
        }
    }

    /// Reads what is new; restores all of it when the holder misses beats.
    fn look_ahead<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        ahead: &'scope Ahead,
        sight: &Sight,
    ) {
        let Some(newest) = sight.newest else { return };
        let missed = sight.silent >= self.terms.silence(sight.lease.as_ref()) / 3;
        if !ahead.begin(newest, missed) {
            return;
        }
        let started = std::thread::Builder::new().name("warm".into()).spawn_scoped(scope, move || {
            // A checkpoint that retention has removed meanwhile, or that is damaged: there will be another.
            if let Err(error) = self.read_ahead(ahead, newest, missed) {
                tracing::info!("a checkpoint could not be read ahead: {}", error.message);
            }
            ahead.end();
        });
        if started.is_err() {
            ahead.end();
        }
    }

    fn read_ahead(&self, ahead: &Ahead, number: u64, restore: bool) -> Result<()> {
        let Some(manifest) = manifest_at(self.storage.as_ref(), number)? else { return Ok(()) };
        if restore {
            let warm = Warm::restore(self.job, manifest, &self.storage)?;
            ahead.keep(warm);
        } else {
            self.touch(ahead, &manifest)?;
        }
        Ok(())
    }

    /// Reads blocks that were not there before: they are compared with their checksums, and then near.
    fn touch(&self, ahead: &Ahead, manifest: &Manifest) -> Result<()> {
        let known = std::mem::take(&mut ahead.state().read);
        let mut read: BTreeSet<(String, u64)> = BTreeSet::new();
        for (operator, table, block) in manifest.blocks().filter(|(_, _, block)| block.bytes > 0) {
            if ahead.done.is_stopped() {
                return Ok(());
            }
            let name = (block.segment.clone(), block.offset);
            let is_new = !known.contains(&name);
            if is_new && let Err(error) = verify_block(self.storage.as_ref(), block, operator, table) {
                // A checkpoint that retention has removed: what was read of it may be the next one's, too.
                read.extend(known);
                ahead.state().read = read;
                return Err(error);
            }
            read.insert(name);
        }
        let mut state = ahead.state();
        (state.read, state.warm) = (read, Some(manifest.number));
        Ok(())
    }

    fn say(&self, what: impl std::fmt::Display) {
        if self.tell {
            console::err(format_args!("standby: {what}\n"));
        }
    }
}

/// What is to be done. A job that nobody has ever run, or that ended, is free; a standby gives whoever
/// else is being started at this moment the time `grace`.
fn verdict(terms: Terms, sight: &Sight, grace: Duration) -> Verdict {
    let Some(claim) = &sight.claim else {
        return if sight.silent >= grace {
            Verdict::Free("nobody runs the job".into())
        } else {
            Verdict::Wait
        };
    };
    let held = |state| matches!(state, LeaseState::Held);
    if sight.lease.as_ref().is_some_and(|lease| !held(lease.state)) {
        return Verdict::Free("the last run has ended".into());
    }
    let Some(holder) = sight.holder() else {
        // Of a build that kept no leases: it can't be told from a dead one, and is fenced.
        return Verdict::Free(format!("run {} keeps no lease", claim.generation));
    };
    if process::is_gone(holder) {
        return Verdict::Free(format!("{} is gone", who(Some(holder))));
    }
    let silence = terms.silence(sight.lease.as_ref());
    if sight.silent >= silence {
        let silent = sight.silent.as_secs_f64();
        return Verdict::Free(format!("{} has been silent for {silent:.1} s", who(Some(holder))));
    }
    if sight.alive { Verdict::Held } else { Verdict::Wait }
}

/// The process that runs a job; `None` if nobody does. Takes as long as it takes to be sure.
///
/// # Errors
/// What a store says that can't be read.
pub fn alive(storage: Arc<dyn Storage>, terms: Terms, clock: &dyn Clock) -> Result<Option<Holder>> {
    let mut watch = Watch::new(storage, LOOK * 4);
    let pause = StopSignal::new();
    loop {
        let sight = watch.look(clock.monotonic())?;
        match verdict(terms, &sight, Duration::ZERO) {
            Verdict::Free(_) => return Ok(None),
            Verdict::Held => return Ok(sight.holder().cloned()),
            Verdict::Wait => {
                pause.wait(LOOK);
            }
        }
    }
}

/// What a standby has read ahead.
#[derive(Default)]
struct Ahead {
    state: Mutex<AheadState>,
    done: StopSignal,
}

#[derive(Default)]
struct AheadState {
    /// A thread is at it.
    busy: bool,
    /// The newest checkpoint that was read, and whether it was restored.
    last: Option<(u64, bool)>,
    /// Blocks that were read.
    read: BTreeSet<(String, u64)>,
    warm: Option<u64>,
    restored: Option<Warm>,
}

impl Ahead {
    fn state(&self) -> std::sync::MutexGuard<'_, AheadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether there is something to be done, and nobody at it.
    fn begin(&self, number: u64, restore: bool) -> bool {
        let mut state = self.state();
        if !restore && !state.busy {
            // The holder is well: what was restored for its end is given back.
            state.restored = None;
            if let Some(last) = state.last.as_mut() {
                last.1 = false;
            }
        }
        let new = state.last.is_none_or(|(last, restored)| last != number || (restore && !restored));
        if state.busy || !new {
            return false;
        }
        (state.busy, state.last) = (true, Some((number, restore)));
        true
    }
    fn end(&self) {
        self.state().busy = false;
    }
    fn keep(&self, warm: Warm) {
        self.state().restored = Some(warm);
    }
    fn take(&self) -> Option<Warm> {
        self.state().restored.take()
    }
    fn warm(&self) -> Option<u64> {
        self.state().warm
    }
}

/// A standby's own sign of life.
struct Sign {
    storage: Arc<dyn Storage>,
    nonce: u64,
    waiting: Waiting,
    written: bool,
}

impl Sign {
    fn new(storage: Arc<dyn Storage>, clock: &dyn Clock) -> Self {
        let now = clock.now_micros();
        let nonce = (now.unsigned_abs() << 20) ^ u64::from(std::process::id());
        Self { storage, nonce, waiting: Waiting::new(process::this(), now), written: false }
    }
    /// Best effort: whether anybody sees it decides nothing.
    fn renew(&mut self, warm: Option<u64>) {
        self.waiting.beat += 1;
        self.waiting.warm = warm;
        if is_ours(self.storage.as_ref()).is_ok_and(|ours| ours) {
            self.written |= self.waiting.write(self.storage.as_ref(), self.nonce).is_ok();
        }
    }
    fn leave(&self) {
        if self.written {
            let _ = lease::leave(self.storage.as_ref(), self.nonce);
        }
    }
}

/// `host:pid`
pub fn who(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".into(), |it| format!("process {} on {}", it.pid, it.host))
}

fn already_running(sight: &Sight) -> Box<Diagnostic> {
    let message = format!("{} runs this job, and is alive", who(sight.holder()));
    Diagnostic::error(Code::AlreadyRunning, message)
        .help("stop it first; or run this one with --standby, to take over when that one ends")
        .help("--take-over runs it all the same: the other one can publish nothing more, and stops")
        .help("to run both, give each its own 'pipeline.name' or checkpoint directory")
}
