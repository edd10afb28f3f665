//! Who runs a job, and whether it still does.
//!
//! ```text
//!   sequence/00000004       claim: generation 4, by host a, pid 71     ◄ decides who may write
//!   lease/00000004          beat 17, held                              ◄ says when somebody else should claim
//!   lease/standby-5ed1…     beat 9                                     a standby that waits
//!
//!   holder   beat 15 ── 16 ── 17 ──✗
//!   watcher   15   15  16  16 17  17  17  17  17  17 ─► silent for so long: claims 5
//! ```
//! Invariants
//! - A lease protects nothing. The claim fences; the lease only says when claiming is called for. So a lost,
//!   late or wrong lease costs a change of hands, never a row.
//! - Nobody compares wall clocks: a watcher counts by its own steady clock for how long it has *seen* a beat
//!   stand still. Time in which it could not look (the store didn't answer, the process stood still) doesn't
//!   count.
//! - A lease is an object of its generation. What a fenced run still writes there, nobody reads.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flott_types::{Code, Diagnostic, Result};
use serde::{Deserialize, Serialize};

use crate::{
    manifest::{FORMAT, open, seal, unseal},
    sequence::{Claim, Claimed, claim_at},
    storage::Storage,
};

/// A process: enough to find it, and to know that it is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's name.
    pub host: String,
    /// The process's number there.
    pub pid: u32,
    /// What tells this start of the machine, and this space of process numbers, from all others; empty: not
    /// known.
    #[serde(default)]
    pub machine: String,
    /// When the process began, in the machine's own count: its number may be used again.
    #[serde(default)]
    pub started: u64,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// The holder runs.
    Held,
    /// The job has read all its input.
    Finished,
    /// Somebody stopped the run: nobody else is to go on.
    Stopped,
    /// The run failed and said so: whoever waits may try.
    Failed,
}

/// A run's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The format it is written in.
    pub format: u32,
    /// The generation of the run.
    pub generation: u64,
    /// Rises with every renewal.
    pub beat: u64,
    /// Whether it is held.
    pub state: LeaseState,
    /// By whom.
    pub holder: Holder,
    /// When the run began, by the holder's clock, in microseconds since 1970. For people only.
    pub since_micros: i64,
    /// How often it is renewed.
    pub interval_millis: u64,
    /// For how long it must be silent before the holder itself would count as gone; 0: it doesn't say.
    #[serde(default)]
    pub timeout_millis: u64,
    /// How often the run has been taken up anew within its process.
    #[serde(default)]
    pub restarts: u64,
    /// Somebody has stopped the run, and it is about to end: should it not come to say so, nobody is to go on.
    #[serde(default)]
    pub stopping: bool,
}

impl Lease {
    /// The first beat of a run.
    pub fn new(generation: u64, holder: Holder, since_micros: i64, interval: Duration) -> Self {
        let interval_millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let state = LeaseState::Held;
        Self {
            format: FORMAT,
            generation,
            beat: 1,
            state,
            holder,
            since_micros,
            interval_millis,
            timeout_millis: 0,
            restarts: 0,
            stopping: false,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the storage fails. Harmless once or twice.
    pub fn write(&self, storage: &dyn Storage) -> Result<()> {
        write(storage, &lease_name(self.generation), self)
    }
}

/// A standby's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The format it is written in.
    pub format: u32,
    /// Rises with every renewal.
    pub beat: u64,
    /// Who waits.
    pub holder: Holder,
    /// Since when, by its own clock, in microseconds since 1970.
    pub since_micros: i64,
    /// The checkpoint that it has read, so far.
    #[serde(default)]
    pub warm: Option<u64>,
}

impl Waiting {
    /// Begins to wait.
    pub fn new(holder: Holder, since_micros: i64) -> Self {
        Self { format: FORMAT, beat: 1, holder, since_micros, warm: None }
    }

    /// Says so. `nonce` tells it from other standbys.
    ///
    /// # Errors
    /// When the storage fails. Harmless.
    pub fn write(&self, storage: &dyn Storage, nonce: u64) -> Result<()> {
        write(storage, &waiting_name(nonce), self)
    }
}

/// A standby waits no longer.
///
/// # Errors
/// When the storage fails. Harmless: its sign stays where it is, and no longer beats.
pub fn leave(storage: &dyn Storage, nonce: u64) -> Result<()> {
    Ok(storage.delete(&waiting_name(nonce))?)
}

fn write<T: Serialize>(storage: &dyn Storage, name: &str, value: &T) -> Result<()> {
    let bytes = seal("lease", value)
        .map_err(|error| Diagnostic::error(Code::Internal, format!("{name} cannot be written: {error}")))?;
    Ok(storage.replace(name, &bytes)?)
}

fn read<T: serde::de::DeserializeOwned>(storage: &dyn Storage, name: &str) -> Result<Option<T>> {
    let Some(bytes) = storage.read(name)? else { return Ok(None) };
    // One that can't be read says nothing: its beat stands still.
    Ok(unseal(&bytes).and_then(open).ok())
}

fn lease_name(generation: u64) -> String {
    format!("lease/{generation:08}")
}

fn waiting_name(nonce: u64) -> String {
    format!("lease/standby-{nonce:016x}")
}

/// The lease of a generation.
///
/// # Errors
/// When the storage can't be read.
pub fn lease_of(storage: &dyn Storage, generation: u64) -> Result<Option<Lease>> {
    read(storage, &lease_name(generation))
}

/// The highest generation that has a lease.
///
/// # Errors
/// When the storage can't be read.
pub fn newest(storage: &dyn Storage) -> Result<Option<u64>> {
    let names = storage.list("lease/")?;
    Ok(names.iter().filter_map(|name| name.strip_prefix("lease/")?.parse().ok()).max())
}

/// Removes the leases of older generations.
///
/// # Errors
/// When the storage fails. Harmless.
pub fn forget_older(storage: &dyn Storage, generation: u64) -> Result<()> {
    for name in storage.list("lease/")? {
        let number = name.strip_prefix("lease/").and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| number < generation) {
            storage.delete(&name)?;
        }
    }
    Ok(())
}

/// The standbys that say that they wait, those among them that have died included.
///
/// # Errors
/// When the storage can't be read.
pub fn waiting(storage: &dyn Storage) -> Result<BTreeMap<u64, Waiting>> {
    let mut found = BTreeMap::new();
    for name in storage.list("lease/standby-")? {
        let nonce = name.strip_prefix("lease/standby-").and_then(|it| u64::from_str_radix(it, 16).ok());
        if let (Some(nonce), Some(waiting)) = (nonce, read(storage, &name)?) {
            found.insert(nonce, waiting);
        }
    }
    Ok(found)
}

/// What a look at a job has shown.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The newest claim: the run that may write.
    pub claim: Option<Claim>,
    /// Its lease, if it has written one.
    pub lease: Option<Lease>,
    /// For how long the lease has been seen to stand still.
    pub silent: Duration,
    /// The lease was renewed while this watch looked on.
    pub alive: bool,
    /// The newest manifest's number; it may be pending.
    pub newest: Option<u64>,
}

impl Sight {
    /// Who made the newest claim.
    pub fn holder(&self) -> Option<&Holder> {
        let of_claim = || self.claim.as_ref()?.holder.as_ref();
        self.lease.as_ref().map(|lease| &lease.holder).or_else(of_claim)
    }
    /// The newest claim's number; 0 if there is none.
    pub fn generation(&self) -> u64 {
        self.claim.as_ref().map_or(0, |claim| claim.generation)
    }
    /// Which run's the newest claim is.
    pub fn claimed(&self) -> Claimed {
        self.claim.as_ref().map_or_else(Claimed::default, Claim::claimed)
    }
}

/// Looks at a job's lease again and again.
#[derive(Debug)]
pub struct Watch {
    storage: Arc<dyn Storage>,
    /// What a single pause between two looks counts at the most.
    pause_max: Duration,
    /// Numbers of the sequence that have been looked at: whether a claim lies there.
    known: BTreeMap<u64, Option<Claim>>,
    seen: Option<(u64, u64)>,
    last: Option<Duration>,
    silent: Duration,
    alive: bool,
}

impl Watch {
    /// A watch that has seen nothing yet. A longer pause than `pause_max` between two looks counts as that
    /// much: whoever didn't look doesn't know.
    pub fn new(storage: Arc<dyn Storage>, pause_max: Duration) -> Self {
        let (known, silent) = (BTreeMap::new(), Duration::ZERO);
        Self { storage, pause_max, known, seen: None, last: None, silent, alive: false }
    }

    /// Looks. `now` is a steady clock.
    ///
    /// # Errors
    /// When the storage can't be read. The time until the next look doesn't count as silence.
    pub fn look(&mut self, now: Duration) -> Result<Sight> {
        let seen = self.read();
        let since = self.last.take().map_or(Duration::ZERO, |last| now.saturating_sub(last));
        let (claim, lease, newest) = seen?;
        self.last = Some(now);
        let generation = claim.as_ref().map_or(0, |claim| claim.generation);
        let beat = (generation, lease.as_ref().map_or(0, |lease| lease.beat));
        if self.seen == Some(beat) {
            self.silent += since.min(self.pause_max);
        } else {
            // A first lease after a claim is a sign of life, too.
            self.alive = self.seen.is_some_and(|(was, _)| was == generation);
            self.silent = Duration::ZERO;
        }
        self.seen = Some(beat);
        Ok(Sight { claim, lease, silent: self.silent, alive: self.alive, newest })
    }

    fn read(&mut self) -> Result<(Option<Claim>, Option<Lease>, Option<u64>)> {
        let names = self.storage.list("sequence/")?;
        let numbers: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix("sequence/")?.parse().ok()).collect();
        self.known.retain(|number, _| numbers.contains(number));
        let mut newest = None;
        for number in numbers.into_iter().rev() {
            let claim = match self.known.get(&number) {
                Some(known) => known.clone(),
                None => {
                    let claim = claim_at(self.storage.as_ref(), number)?;
                    self.known.insert(number, claim.clone());
                    claim
                }
            };
            if let Some(claim) = claim {
                let lease = lease_of(self.storage.as_ref(), claim.generation)?;
                return Ok((Some(claim), lease, newest));
            }
            newest = newest.or(Some(number));
        }
        Ok((None, None, newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incarnation, MemoryStorage, sequence::Claimant};

    fn holder(pid: u32) -> Holder {
        Holder { host: "a".into(), pid, ..Holder::default() }
    }

    fn claim(storage: &MemoryStorage, pid: u32, after: Option<Claimed>) -> Result<Incarnation> {
        let claimant = Claimant {
            nonce: pid.into(),
            created_micros: 0,
            holder: Some(holder(pid)),
            after,
            begins: false,
        };
        Incarnation::claim_by(Arc::new(storage.clone()), "job", &claimant)
    }

    #[test]
    fn silence_is_what_was_seen_not_what_the_clock_says() {
        let storage = MemoryStorage::new();
        let generation = claim(&storage, 7, None).unwrap().generation();
        let mut lease = Lease::new(generation, holder(7), 0, Duration::from_millis(500));
        lease.write(&storage).unwrap();
        let mut watch = Watch::new(Arc::new(storage.clone()), Duration::from_millis(200));
        let mut at = |millis| watch.look(Duration::from_millis(millis)).unwrap();
        assert_eq!(at(1000).silent, Duration::ZERO, "the first look knows nothing");
        assert_eq!(at(1100).silent, Duration::from_millis(100));
        assert_eq!(at(61_100).silent, Duration::from_millis(300), "a minute in which nobody looked");
        assert!(!at(61_200).alive);
        lease.beat += 1;
        lease.write(&storage).unwrap();
        let sight = at(61_300);
        assert_eq!((sight.silent, sight.alive), (Duration::ZERO, true));
        assert_eq!(sight.holder().map(|it| it.pid), Some(7));
    }

    #[test]
    fn of_two_that_saw_the_same_silence_one_takes_over() {
        let storage = MemoryStorage::new();
        let first = claim(&storage, 1, None).unwrap().claimed();
        assert!(claim(&storage, 2, Some(first)).is_ok());
        let error = claim(&storage, 3, Some(first)).unwrap_err();
        assert_eq!(error.code, flott_types::Code::Superseded);
        assert_eq!(crate::sequence::contents(&storage).unwrap().claims.len(), 2, "nothing was claimed");
    }

    #[test]
    fn who_follows_a_run_does_not_take_another_with_its_number_for_it() {
        let seen = claim(&MemoryStorage::new(), 1, None).unwrap().claimed();
        let emptied = MemoryStorage::new();
        assert_eq!(claim(&emptied, 2, None).unwrap().generation(), seen.generation);
        let error = claim(&emptied, 3, Some(seen)).unwrap_err();
        assert_eq!(error.code, flott_types::Code::Superseded);
    }

    #[test]
    fn what_a_fenced_run_still_says_nobody_hears() {
        let storage = MemoryStorage::new();
        let old = claim(&storage, 1, None).unwrap().generation();
        let new = claim(&storage, 2, None).unwrap().generation();
        Lease::new(new, holder(2), 0, Duration::ZERO).write(&storage).unwrap();
        Lease::new(old, holder(1), 0, Duration::ZERO).write(&storage).unwrap();
        let sight = Watch::new(Arc::new(storage.clone()), Duration::ZERO).look(Duration::ZERO).unwrap();
        assert_eq!(sight.lease.map(|it| it.holder.pid), Some(2));
        forget_older(&storage, new).unwrap();
        assert_eq!(storage.list("lease/").unwrap().len(), 1);
    }
}
