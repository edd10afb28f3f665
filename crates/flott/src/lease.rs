//! Keeps a run's lease: a sign of life in the checkpoint directory, renewed by a thread of its own.
//!
//! ```text
//!   claim 4 ─► lease/00000004: beat 1 ── 2 ── 3 ── … ── finished │ stopped │ failed
//!                                    └ is there a lease of a newer run? then the run looks whether it is fenced
//! ```
//! A store that doesn't answer costs renewals, not the run: it says so once and goes on. Should a standby take
//! over meanwhile, the run can publish nothing more, and learns of it when it tries.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flott_connector::{Clock, StopSignal, io};
use flott_state::{
    Claimed, Holder, Lease, LeaseState, Storage, lease,
    sequence::{check_claim, is_claimed},
};
use flott_types::Code;

use crate::process;

/// How leases are kept, and when they count as given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `high-availability.lease.interval`
    pub interval: Duration,
    /// `high-availability.lease.timeout`
    pub timeout: Duration,
}

impl Terms {
    /// For how long a lease must be silent before somebody else claims: never less than a few of its beats, nor than
    /// its holder has said. Whoever looks need not know the holder's script.
    pub fn silence(&self, lease: Option<&Lease>) -> Duration {
        let beat = lease.map_or(self.interval, |lease| Duration::from_millis(lease.interval_millis));
        let said = lease.map_or(Duration::ZERO, |lease| Duration::from_millis(lease.timeout_millis));
        self.timeout.max(said).max(beat.saturating_mul(3))
    }
}

/// Keeps a lease until it is told how the run ended.
pub struct Keeper {
    holder: Holder,
    terms: Terms,
    clock: Arc<dyn Clock>,
    /// The run that the next claim follows; `None`: whichever there is.
    follows: Mutex<Option<Claimed>>,
    /// Given by the user.
    stop: StopSignal,
    held: Arc<Held>,
    thread: Mutex<Option<io::Thread>>,
}

#[derive(Default)]
struct Held {
    lease: Mutex<Option<Kept>>,
    may_be_lost: AtomicBool,
    done: StopSignal,
}

/// A lease, and the claim that it stands for.
#[derive(Clone)]
struct Kept {
    storage: Arc<dyn Storage>,
    claimed: Claimed,
    lease: Lease,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Of this process, which claims only if no run came after `follows`.
    pub fn new(terms: Terms, clock: Arc<dyn Clock>, follows: Option<Claimed>, stop: StopSignal) -> Self {
        Self {
            holder: process::this(),
            terms,
            clock,
            follows: Mutex::new(follows),
            stop,
            held: Arc::default(),
            thread: Mutex::default(),
        }
    }

    /// Whether the job has been claimed.
    pub fn has_claimed(&self) -> bool {
        self.held.lease.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The run is taken up anew within this process.
    pub fn restarts(&self) {
        if let Some(kept) = self.held.lease.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            kept.lease.restarts += 1;
        }
    }

    /// Says how the run has ended.
    pub fn end(&self, state: LeaseState) {
        self.held.done.stop();
        drop(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
        let held = self.held.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Of a fenced run nobody reads it.
        if let Some(Kept { storage, claimed, mut lease }) = held {
            lease.state = state;
            lease.beat += 1;
            // In a directory that was removed, a lease alone would only be in the way of its return; in one that
            // another run has, it would say that it was this run's.
            let there = is_claimed(storage.as_ref(), claimed).unwrap_or(true);
            if let Err(error) = if there { lease.write(storage.as_ref()) } else { Ok(()) } {
                tracing::warn!("the end of the run could not be told to standbys: {}", error.message);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end(LeaseState::Failed);
    }
}

impl flott_engine::Keeper for Keeper {
    fn holder(&self) -> Option<Holder> {
        Some(self.holder.clone())
    }
    fn follows(&self) -> Option<Claimed> {
        *self.follows.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn claimed(&self, storage: &Arc<dyn Storage>, claimed: Claimed) {
        *self.follows.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimed);
        let mut held = self.held.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, restarts) = match held.as_ref() {
            Some(Kept { lease: earlier, .. }) => (earlier.since_micros, earlier.restarts),
            None => (self.clock.now_micros(), 0),
        };
        let mut lease = Lease::new(claimed.generation, self.holder.clone(), since, self.terms.interval);
        lease.restarts = restarts;
        lease.timeout_millis = u64::try_from(self.terms.timeout.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = lease.write(storage.as_ref()) {
            tracing::warn!("the run's lease could not be written: {}", error.message);
        }
        *held = Some(Kept { storage: storage.clone(), claimed, lease });
        self.held.may_be_lost.store(false, Ordering::SeqCst);
        drop(held);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (held, interval, stop) = (self.held.clone(), self.terms.interval, self.stop.clone());
            *thread = io::spawn("lease", move || renew(&held, interval, &stop))
                .inspect_err(|error| tracing::warn!("the run's lease is not renewed: {}", error.message))
                .ok();
        }
    }
    fn may_be_lost(&self) -> bool {
        self.held.may_be_lost.load(Ordering::SeqCst)
    }
}

/// Renews the lease until the run has ended.
fn renew(held: &Held, interval: Duration, stop: &StopSignal) {
    let mut failing = false;
    let mut tidied = 0;
    while !held.done.wait(interval) {
        let current = {
            let mut kept = held.lease.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(kept) = kept.as_mut() else { continue };
            kept.lease.beat += 1;
            kept.lease.stopping |= stop.is_stopped();
            kept.clone()
        };
        let Kept { storage, claimed, lease } = current;
        // A lease alone, in a directory that was removed, would only be in the way of its return.
        let renewed = check_claim(storage.as_ref(), claimed).and_then(|()| {
            lease.write(storage.as_ref())?;
            if tidied < lease.generation {
                lease::forget_older(storage.as_ref(), lease.generation)?;
                tidied = lease.generation;
            }
            lease::newest(storage.as_ref())
        });
        match renewed {
            Ok(newest) => {
                if failing {
                    tracing::warn!("the run's lease is renewed again");
                }
                failing = false;
                // Under the lock: meanwhile this process may have claimed anew.
                let current = held.lease.lock().unwrap_or_else(PoisonError::into_inner);
                let mine = current.as_ref().map_or(u64::MAX, |kept| kept.claimed.generation);
                if newest.is_some_and(|newest| newest > mine) {
                    held.may_be_lost.store(true, Ordering::SeqCst);
                }
            }
            Err(error) if error.code == Code::Superseded => {
                // As above.
                let current = held.lease.lock().unwrap_or_else(PoisonError::into_inner);
                if current.as_ref().is_some_and(|kept| kept.claimed == claimed) {
                    held.may_be_lost.store(true, Ordering::SeqCst);
                }
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(
                    "the run's lease can't be renewed, the run goes on; a standby may take over: {}",
                    error.message
                );
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use flott_connector::SystemClock;
    use flott_engine::Keeper as _;
    use flott_state::{
        Claimant, Incarnation, MemoryStorage,
        lease::Watch,
        sequence::delete_all,
        storage::{Effect, Put, StorageError, StorageResult},
    };

    use super::*;

    /// A store that is slow, or doesn't answer at all.
    #[derive(Debug, Default)]
    struct Moody {
        objects: MemoryStorage,
        away: AtomicBool,
        delay_millis: AtomicU64,
    }

    impl Moody {
        fn answer(&self, name: &str) -> StorageResult<&MemoryStorage> {
            StopSignal::new().wait(Duration::from_millis(self.delay_millis.load(Ordering::SeqCst)));
            if self.away.load(Ordering::SeqCst) {
                let what = "had no answer".to_owned();
                return Err(StorageError {
                    name: name.to_owned(),
                    what,
                    effect: Effect::Unknown,
                    passing: true,
                });
            }
            Ok(&self.objects)
        }
    }

    impl Storage for Moody {
        fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
            self.answer(name)?.put_if_absent(name, bytes)
        }
        fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
            self.answer(name)?.write(name, bytes)
        }
        fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>> {
            self.answer(name)?.read(name)
        }
        fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>> {
            self.answer(name)?.read_range(name, offset, length)
        }
        fn list(&self, prefix: &str) -> StorageResult<Vec<String>> {
            self.answer(prefix)?.list(prefix)
        }
        fn delete(&self, name: &str) -> StorageResult<()> {
            self.answer(name)?.delete(name)
        }
    }

    const INTERVAL: Duration = Duration::from_millis(5);

    /// A run that keeps its lease in the store.
    fn held(store: &Arc<Moody>) -> (Keeper, u64) {
        let storage: Arc<dyn Storage> = store.clone();
        let terms = Terms { interval: INTERVAL, timeout: INTERVAL * 10 };
        let keeper = Keeper::new(terms, Arc::new(SystemClock::new()), None, StopSignal::new());
        let claimant = Claimant { nonce: 1, holder: keeper.holder(), ..Claimant::default() };
        let claimed = Incarnation::claim_by(storage.clone(), "job", &claimant).unwrap().claimed();
        keeper.claimed(&storage, claimed);
        (keeper, claimed.generation)
    }

    /// The lease's beat, once it has gone beyond this.
    fn beat_after(store: &Moody, generation: u64, beat: u64) -> u64 {
        loop {
            let lease = lease::lease_of(&store.objects, generation).unwrap();
            if let Some(lease) = lease.filter(|lease| lease.beat > beat) {
                return lease.beat;
            }
            StopSignal::new().wait(INTERVAL);
        }
    }

    #[test]
    fn a_store_that_is_away_costs_beats_and_a_newer_lease_is_noticed() {
        let store = Arc::new(Moody::default());
        let (keeper, generation) = held(&store);
        let beat = beat_after(&store, generation, 2);
        store.away.store(true, Ordering::SeqCst);
        StopSignal::new().wait(INTERVAL * 10);
        assert!(!keeper.may_be_lost(), "no answer is no news");
        store.away.store(false, Ordering::SeqCst);
        store.delay_millis.store(10, Ordering::SeqCst);
        beat_after(&store, generation, beat + 2);
        assert!(!keeper.may_be_lost(), "slow is not lost");
        let newer = Incarnation::claim(Arc::new(store.objects.clone()), "job", 2, 0).unwrap().generation();
        Lease::new(newer, Holder::default(), 0, INTERVAL).write(&store.objects).unwrap();
        while !keeper.may_be_lost() {
            StopSignal::new().wait(INTERVAL);
        }
        keeper.end(LeaseState::Failed);
        let sight = Watch::new(store.clone(), INTERVAL).look(INTERVAL).unwrap();
        let heard = sight.lease.map(|lease| (lease.generation, lease.state));
        assert_eq!(heard, Some((newer, LeaseState::Held)), "nobody hears what a fenced run says");
    }

    #[test]
    fn a_lease_is_not_kept_beside_another_runs_claim_of_the_same_number() {
        let store = Arc::new(Moody::default());
        let (keeper, generation) = held(&store);
        let deleted = delete_all(&store.objects).unwrap();
        assert!(deleted > 0);
        let other = Incarnation::claim(Arc::new(store.objects.clone()), "job", 2, 0).unwrap().generation();
        assert_eq!(other, generation);
        while !keeper.may_be_lost() {
            StopSignal::new().wait(INTERVAL);
        }
        let mut theirs = Lease::new(other, Holder::default(), 0, INTERVAL);
        theirs.beat = 1000;
        theirs.write(&store.objects).unwrap();
        StopSignal::new().wait(INTERVAL * 5);
        keeper.end(LeaseState::Failed);
        assert_eq!(lease::lease_of(&store.objects, other).unwrap(), Some(theirs));
    }

    #[test]
    fn whoever_looks_goes_by_the_terms_of_the_holder() {
        let store = Arc::new(Moody::default());
        let (keeper, generation) = held(&store);
        let lease = lease::lease_of(&store.objects, generation).unwrap();
        let hasty = Terms { interval: INTERVAL, timeout: INTERVAL };
        assert_eq!(hasty.silence(lease.as_ref()), INTERVAL * 10);
        assert_eq!(hasty.silence(None), INTERVAL * 3);
        keeper.end(LeaseState::Finished);
    }

    #[test]
    fn time_without_an_answer_is_not_silence() {
        let store = Arc::new(Moody::default());
        let (keeper, _) = held(&store);
        keeper.end(LeaseState::Held);
        let mut watch = Watch::new(store.clone(), Duration::from_millis(200));
        let mut look = |millis: u64, away: bool| {
            store.away.store(away, Ordering::SeqCst);
            watch.look(Duration::from_millis(millis)).map(|sight| sight.silent.as_millis()).ok()
        };
        assert_eq!([look(0, false), look(100, false)], [Some(0), Some(100)]);
        assert_eq!([look(200, true), look(60_000, true)], [None, None]);
        assert_eq!([look(60_100, false), look(60_150, false)], [Some(100), Some(150)]);
    }
}
