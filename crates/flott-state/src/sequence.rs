//! One run of a job and its checkpoints: claim, recover, publish, confirm, retain.
//!
//! ```text
//!   FLOTT                               what this directory is, and its format
//!   sequence/00000001                   claim of generation 1       ┐ one name per number, whatever
//!   sequence/00000002                   manifest                    ┘ lies there: that is the fence
//!   sequence/00000002.confirmed         its mark
//!   segments/00000001-00000002-5-0      generation, number, epoch, shard
//! ```
//! Invariants
//! - A manifest goes under this run's last number + 1, never a number that was looked up: an older
//!   run meets the newer run's claim there and stops.
//! - After a lost answer the same bytes are put under the same number until the answer is certain.
//! - The next manifest comes only after the last one is confirmed.
//! - Claims are never deleted; nor is anything of a newer run.
//!
//! Decisions are made in [`crate::decide`]; here is only the I/O around them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};
use serde::{Deserialize, Serialize};

use crate::decide::{Decision, Listing, Object, Standing, Token, decide, expired, may_sweep, standing};
use crate::lease::Holder;
use crate::manifest::{FORMAT, Manifest, Unreadable, open, seal, unseal};
use crate::segment::{parse_segment_name, segment_name, verify_state};
use crate::storage::{Effect, Put, Storage, StorageError};

const MARKER: &str = "FLOTT";

/// How often a claim is tried, and a put whose answer was lost.
const TRIES: usize = 100;

/// A run's claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The format it is written in.
    pub format: u32,
    /// Its number, which is the run's generation.
    pub generation: u64,
    /// The run's nonce.
    pub nonce: u64,
    /// The job's name.
    pub job: String,
    /// When it was made, in microseconds since 1970.
    pub created_micros: i64,
    /// The process that made it. Earlier claims don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The run doesn't go on from the job's own newest checkpoint: it begins anew, or from another place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begins: bool,
}

/// Which run's a claim is: its number alone doesn't say, as in a directory that was emptied they begin at 1 again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The claim's number; 0: nobody has ever claimed.
    pub generation: u64,
    /// The run's nonce.
    pub nonce: u64,
}

impl Claim {
    /// Which run's it is.
    pub fn claimed(&self) -> Claimed {
        Claimed { generation: self.generation, nonce: self.nonce }
    }
}

/// Who claims a job.
#[derive(Debug, Clone, Default)]
pub struct Claimant {
    /// Random: it tells this run's objects from any other's.
    pub nonce: u64,
    /// The time, in microseconds since 1970.
    pub created_micros: i64,
    /// The process.
    pub holder: Option<Holder>,
    /// Only if no newer run than this has claimed, but for runs of this very process: it was found silent, or
    /// to have ended.
    pub after: Option<Claimed>,
    /// See [`Claim::begins`].
    pub begins: bool,
}

/// When a checkpoint's state is compared with its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// All of it before the run goes on: damage leads to an older checkpoint.
    First,
    /// Where it is read. Whoever finds damage there recovers again, and checks first.
    WhenRead,
}

/// A checkpoint that could not be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its number.
    pub number: u64,
    /// What is wrong, naming the file.
    pub what: String,
}

/// What a run goes on from.
#[derive(Debug)]
pub struct Recovered {
    /// The checkpoint; `None` for a job that starts afresh.
    pub manifest: Option<Manifest>,
    /// Whether its repeatable commits must be done (again), and then [`Incarnation::confirm`].
    pub finish: bool,
    /// Numbers of manifests that never were decided. What they prepared may be swept.
    pub discarded: Vec<u64>,
    /// Newer checkpoints that could not be used: the caller warns of each. What they had committed
    /// stays committed, so sinks may show the rows since `manifest` twice.
    pub skipped: Vec<Damage>,
    /// The newest claim of a run that began anew, or from another place; 0 if none did. A manifest with a smaller
    /// number is of what the job was before that.
    pub began: u64,
}

impl Recovered {
    /// There is no checkpoint to go on from.
    pub fn afresh(began: u64, discarded: Vec<u64>) -> Self {
        Self { manifest: None, finish: false, discarded, skipped: Vec::new(), began }
    }

    /// Whether its checkpoint is of the job since it last began.
    pub fn is_own(&self) -> bool {
        self.manifest.as_ref().is_some_and(|it| it.number > self.began)
    }
}

/// Why a manifest wasn't published.
#[derive(Debug)]
pub enum PublishError {
    /// It certainly isn't there. The run may go on; the next checkpoint takes the same number.
    Failed(Box<Diagnostic>),
    /// Nobody knows. Before anything else the same manifest must be published again.
    Unsettled(Box<Diagnostic>),
    /// A newer run has taken over, or the protocol was broken: stop.
    Stop(Box<Diagnostic>),
}

impl PublishError {
    /// The message.
    pub fn diagnostic(self) -> Box<Diagnostic> {
        match self {
            PublishError::Failed(it) | PublishError::Unsettled(it) | PublishError::Stop(it) => it,
        }
    }
}

/// One run of a job, which owns the job until a newer run claims it.
#[derive(Debug)]
pub struct Incarnation {
    storage: Arc<dyn Storage>,
    job: String,
    nonce: u64,
    /// The nonce of the first claim of the sequence.
    store_id: u64,
    generation: u64,
    /// The number of the next manifest.
    next: u64,
    /// The decided manifest that the next one follows; 0 at the start.
    tip: u64,
    /// Whether the tip has its mark.
    confirmed: bool,
    /// Bytes whose put under `next` had no certain answer.
    unsettled: Option<Vec<u8>>,
    /// The sequence as far as this run knows it: what older runs left, and its own.
    known: Listing,
    /// Segments named by manifests that are still there, by number.
    needed: BTreeMap<u64, BTreeSet<String>>,
    /// Set while the newest checkpoint was found damaged and none has been published since: then
    /// nothing is deleted, so that a person can still look.
    damaged: bool,
}

/// The name of a folder for a job: its name, with what a file system may not like spelled out.
pub fn job_folder(job: &str) -> String {
    let mut folder = String::new();
    for byte in job.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || byte == b'_'
            || byte == b'-'
            || (byte == b'.' && !folder.is_empty());
        if plain {
            folder.push(char::from(byte));
        } else {
            folder.push_str(&format!("%{byte:02X}"));
        }
    }
    if folder.len() > 200 {
        let sum = twox_hash::XxHash3_64::oneshot(job.as_bytes());
        folder.truncate(180);
        folder.push_str(&format!("~{sum:016x}"));
    }
    if folder.is_empty() { "%".to_owned() } else { folder }
}

fn object_name(number: u64) -> String {
    format!("sequence/{number:08}")
}

fn mark_name(number: u64) -> String {
    format!("sequence/{number:08}.confirmed")
}

/// Whether checkpoints of ours lie here; `false` for an empty or absent directory.
///
/// # Errors
/// When something else lies here, or what a newer build wrote.
pub fn is_ours(storage: &dyn Storage) -> Result<bool> {
    let Some(marker) = storage.read(MARKER)? else {
        return match storage.list("")?.into_iter().next() {
            None => Ok(false),
            Some(other) => Err(Diagnostic::error(
                Code::CheckpointUnusable,
                format!("not a checkpoint directory of Flott's: it holds '{other}' and no file '{MARKER}'"),
            )
            .help("give 'execution.checkpointing.dir' an empty directory, or one that Flott made")),
        };
    };
    let text = String::from_utf8_lossy(&marker);
    match text.strip_prefix("flott checkpoints, format ").and_then(|rest| rest.trim().parse::<u32>().ok()) {
        Some(format) if format <= FORMAT => Ok(true),
        Some(format) => Err(newer_format(MARKER, format)),
        None => Err(Diagnostic::error(
            Code::CheckpointUnusable,
            format!("the file '{MARKER}' is damaged, so this may not be a checkpoint directory of Flott's"),
        )
        .help(format!("if it is one, write 'flott checkpoints, format {FORMAT}' into that file"))),
    }
}

fn prepare(storage: &dyn Storage) -> Result<()> {
    if !is_ours(storage)? {
        settle(storage, MARKER, format!("flott checkpoints, format {FORMAT}\n").as_bytes())?;
    }
    Ok(())
}

fn newer_format(name: &str, format: u32) -> Box<Diagnostic> {
    let message = format!(
        "{name} is in format {format}, written by a newer build; this one reads up to format {FORMAT}"
    );
    Diagnostic::error(Code::CheckpointUnusable, message).help("use the build that wrote it, or a later one")
}

fn superseded(newer: Option<u64>, mine: u64) -> Box<Diagnostic> {
    let claim = newer.map(|newer| format!(" (it claimed number {newer}, this run number {mine})"));
    let message = format!("a newer run of this job has taken over{}", claim.unwrap_or_default());
    Diagnostic::error(Code::Superseded, message)
        .help("to run both, give each its own 'pipeline.name' or checkpoint directory")
}

/// The directory was emptied, and the numbers have begun at 1 again.
fn replaced(mine: u64) -> Box<Diagnostic> {
    let message = format!("another run has begun this job anew: what lies under number {mine} is its own");
    Diagnostic::error(Code::Superseded, message)
        .help("the checkpoints of this run were removed while it ran: stop a run before that")
}

/// Puts until the answer is certain: whether these very bytes are there.
fn settle(storage: &dyn Storage, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
    let mut tries = TRIES;
    let mut lost = false;
    loop {
        match storage.put_if_absent(name, bytes) {
            Ok(Put::Written) => return Ok(true),
            Ok(Put::Taken) => return Ok(storage.read(name)?.as_deref() == Some(bytes)),
            Err(mut error) => {
                // Once an answer was lost, a later refusal says nothing about the lost request.
                lost |= error.effect == Effect::Unknown;
                tries -= 1;
                if !lost || tries == 0 {
                    error.effect = if lost { Effect::Unknown } else { Effect::None };
                    return Err(error);
                }
            }
        }
    }
}

/// Reads an object of the sequence.
enum Found {
    Claim(Claim),
    Manifest(Box<Manifest>),
    Damaged(String),
}

/// Reads what lies under a number; `None` if nothing does (any more).
fn read_object(storage: &dyn Storage, number: u64) -> Result<Option<Found>> {
    let name = object_name(number);
    let Some(bytes) = storage.read(&name)? else { return Ok(None) };
    let parsed = unseal(&bytes).and_then(|value| match value.get("kind").and_then(|kind| kind.as_str()) {
        Some("claim") => open(value).map(Found::Claim),
        Some("manifest") => open(value).map(|manifest| Found::Manifest(Box::new(manifest))),
        _ => Err(Unreadable::Damaged("it is neither a claim nor a manifest".to_owned())),
    });
    match parsed {
        Ok(found) => Ok(Some(found)),
        Err(Unreadable::Damaged(what)) => Ok(Some(Found::Damaged(format!("{name} is damaged: {what}")))),
        Err(Unreadable::Newer(format)) => Err(newer_format(&name, format)),
    }
}

/// The sequence with its readable manifests.
#[derive(Debug, Default)]
pub struct Contents {
    /// What lies under each number, and the marks.
    pub listing: Listing,
    /// The claims, by number.
    pub claims: BTreeMap<u64, Claim>,
    /// The manifests, by number.
    pub manifests: BTreeMap<u64, Manifest>,
    /// What cannot be read.
    pub damaged: Vec<Damage>,
}

/// Reads the whole sequence. For looking: whoever goes on from a checkpoint claims first.
///
/// # Errors
/// When the storage cannot be read, or holds what a newer build wrote.
pub fn contents(storage: &dyn Storage) -> Result<Contents> {
    let mut contents = Contents::default();
    for name in storage.list("sequence/")? {
        let name = name.trim_start_matches("sequence/");
        let (number, mark) = match name.strip_suffix(".confirmed") {
            Some(number) => (number, true),
            None => (name, false),
        };
        let Ok(number) = number.parse() else { continue };
        if mark {
            contents.listing.confirmed.insert(number);
            continue;
        }
        let object = match read_object(storage, number)? {
            // Retention was faster.
            None => continue,
            Some(Found::Claim(claim)) => {
                contents.claims.insert(number, claim);
                Object::Claim
            }
            Some(Found::Manifest(manifest)) => {
                contents.manifests.insert(number, *manifest);
                Object::Manifest
            }
            Some(Found::Damaged(what)) => {
                contents.damaged.push(Damage { number, what });
                Object::Damaged
            }
        };
        contents.listing.objects.insert(number, object);
    }
    // A mark whose manifest retention has removed below a newer one says nothing.
    let highest = contents.listing.last();
    let objects = &contents.listing.objects;
    contents.listing.confirmed.retain(|number| objects.contains_key(number) || *number > highest);
    Ok(contents)
}

/// Whether this is the directory with the given [`Incarnation::store_id`].
///
/// # Errors
/// When the storage cannot be read.
pub fn is_store(storage: &dyn Storage, id: u64) -> Result<bool> {
    Ok(contents(storage)?.claims.values().next().is_some_and(|first| first.nonce == id))
}

/// The newest checkpoint that is whole, or the one of this number, for a run that begins from it
/// under another claim. Newer ones that are damaged are reported beside it; unless named, those that are known to
/// be `undecided` are passed over.
///
/// # Errors
/// When there is none, or none that is whole.
pub fn read_checkpoint(
    storage: &dyn Storage,
    number: Option<u64>,
    undecided: &[u64],
) -> Result<(Manifest, Vec<Damage>)> {
    let contents = contents(storage)?;
    let mut skipped = Vec::new();
    for (at, object) in contents.listing.objects.iter().rev() {
        if *object == Object::Claim || number.map_or(undecided.contains(at), |number| number != *at) {
            continue;
        }
        match contents.whole(storage, *at, Check::First) {
            Ok(manifest) => return Ok((manifest.clone(), skipped)),
            Err(error) => skipped.push(Damage { number: *at, what: error.message }),
        }
    }
    let what: Vec<&str> = skipped.iter().map(|damage| damage.what.as_str()).collect();
    let what = if what.is_empty() { "there is none".to_owned() } else { what.join("; ") };
    Err(Diagnostic::error(Code::CheckpointUnusable, format!("no checkpoint can be read here: {what}")))
}

impl Contents {
    /// The newest claim of a run that began anew, or from another place; 0: none did.
    pub fn began(&self) -> u64 {
        self.claims.values().rev().find(|it| it.begins).map_or(0, |it| it.generation)
    }

    /// Manifests that aren't known to be committed.
    pub fn unconfirmed(&self) -> Vec<u64> {
        self.manifests.keys().copied().filter(|number| !self.listing.confirmed.contains(number)).collect()
    }

    /// A manifest all of whose state is there and as it was written, as far as that is to be checked now.
    fn whole(&self, storage: &dyn Storage, number: u64, check: Check) -> Result<&Manifest> {
        let Some(manifest) = self.manifests.get(&number) else {
            let damage = self.damaged.iter().find(|damage| damage.number == number);
            let what =
                damage.map_or_else(|| format!("{} is gone", object_name(number)), |it| it.what.clone());
            return Err(Diagnostic::error(Code::CheckpointUnusable, what));
        };
        if check == Check::First {
            verify_state(storage, manifest)?;
        }
        Ok(manifest)
    }
}

/// Deletes a job's checkpoints, so that its next run starts afresh. No run may be active.
///
/// # Errors
/// When something cannot be deleted, or the directory isn't one of ours.
pub fn delete_all(storage: &dyn Storage) -> Result<usize> {
    if !is_ours(storage)? {
        return Ok(0);
    }
    let mut names = storage.list("")?;
    // The marker goes last: what is left after a failure is still recognised.
    names.retain(|name| name != MARKER);
    for name in names.iter().rev() {
        storage.delete(name)?;
    }
    storage.delete(MARKER)?;
    Ok(names.len())
}

impl Incarnation {
    /// Claims the job: from here on every older run is fenced.
    ///
    /// `nonce` must be random: it tells this run's objects from any other's.
    ///
    /// # Errors
    /// When the directory isn't ours, the storage cannot be written, or a newer run claims at the
    /// same time.
    pub fn claim(storage: Arc<dyn Storage>, job: &str, nonce: u64, created_micros: i64) -> Result<Self> {
        Self::claim_by(storage, job, &Claimant { nonce, created_micros, ..Claimant::default() })
    }

    /// As [`Incarnation::claim`], by a process that says who it is and, perhaps, whom it follows.
    ///
    /// # Errors
    /// Also when somebody else was faster than whoever wants to follow a certain run: nothing is claimed then.
    pub fn claim_by(storage: Arc<dyn Storage>, job: &str, claimant: &Claimant) -> Result<Self> {
        prepare(storage.as_ref())?;
        let (nonce, created_micros) = (claimant.nonce, claimant.created_micros);
        for _ in 0..TRIES {
            let number = last_number(storage.as_ref())? + 1;
            if let Some(after) = claimant.after {
                let newest = newest_claim(storage.as_ref())?;
                if newest.as_ref().map_or(0, |claim| claim.generation) < after.generation {
                    let message =
                        format!("the claim of run {} is gone, and its checkpoints with it", after.generation);
                    return Err(Diagnostic::error(Code::CheckpointUnusable, message)
                        .help("put the directory back as it was, or run the job again to begin anew"));
                }
                // One of its own, of which it has had no answer, is no newer run's.
                let others = newest.filter(|claim| !is_of(claim, claimant.holder.as_ref()));
                if let Some(newer) = others.filter(|claim| claim.claimed() != after) {
                    return Err(superseded(Some(newer.generation), after.generation));
                }
            }
            let claim = Claim {
                format: FORMAT,
                generation: number,
                nonce,
                job: job.to_owned(),
                created_micros,
                holder: claimant.holder.clone(),
                begins: claimant.begins,
            };
            let bytes = seal("claim", &claim).map_err(unwritable)?;
            if !settle(storage.as_ref(), &object_name(number), &bytes)? {
                continue;
            }
            let Contents { listing: known, claims, manifests, .. } = contents(storage.as_ref())?;
            match standing(&known, number) {
                Standing::Stands => {
                    return Ok(Self {
                        storage,
                        job: job.to_owned(),
                        nonce,
                        store_id: claims.values().next().map_or(nonce, |first| first.nonce),
                        generation: number,
                        next: number + 1,
                        tip: 0,
                        confirmed: true,
                        unsettled: None,
                        known,
                        // Also of checkpoints that this run will not go on from: they stay usable until
                        // it has one of its own.
                        needed: needed_by(&manifests),
                        damaged: false,
                    });
                }
                Standing::Superseded(newer) => return Err(superseded(Some(newer), number)),
                Standing::Useless => {}
            }
        }
        Err(Diagnostic::error(
            Code::CheckpointFailed,
            format!("no number of the sequence could be claimed in {TRIES} tries"),
        )
        .help("another run of this job seems to start again and again: see that only one is running"))
    }

    /// The generation of this run.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Which claim is this run's.
    pub fn claimed(&self) -> Claimed {
        Claimed { generation: self.generation, nonce: self.nonce }
    }

    /// Tells these checkpoints of the job from any others, for ever: the nonce of the first claim,
    /// which nobody deletes. Sinks name by it what they hide, so that every later run finds it.
    pub fn store_id(&self) -> u64 {
        self.store_id
    }

    /// The number that the next manifest will have.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of the checkpoint this run is at; 0 at the start.
    pub fn tip(&self) -> u64 {
        self.tip
    }

    /// The storage.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The name of the segment that a shard writes for the next manifest.
    pub fn segment_name(&self, epoch: u64, shard: usize) -> String {
        segment_name(self.generation, self.next, epoch, shard)
    }

    /// Finds what to go on from, and checks all its state. Where that is damaged, the newest older
    /// checkpoint that is whole is used and the damage reported, never silently.
    ///
    /// # Errors
    /// When a newer run has claimed, when nothing that was kept is whole, or when a deciding sink
    /// says something that does not fit.
    pub fn recover(&mut self, token: Token) -> Result<Recovered> {
        self.recover_checked(token, Check::First)
    }

    /// As [`Incarnation::recover`]; state may be checked where it is read.
    ///
    /// # Errors
    /// As there.
    pub fn recover_checked(&mut self, token: Token, check: Check) -> Result<Recovered> {
        let contents = contents(self.storage.as_ref())?;
        let began = contents.began();
        let (tip, finish, discarded) = match decide(&contents.listing, token, self.generation) {
            Decision::Superseded(newer) => return Err(superseded(Some(newer), self.generation)),
            Decision::Lost(why) => {
                if token == Token::NotNeeded {
                    let message = format!("checkpoints were lost: {why}");
                    return Err(Diagnostic::error(Code::CheckpointUnusable, message)
                        .help("start afresh with --resume never, or name a checkpoint with --resume PATH"));
                }
                let message =
                    format!("the checkpoints and what the sink has committed don't belong together: {why}");
                return Err(Diagnostic::error(Code::CheckpointUnusable, message)
                    .help("if the job got another name, prefix, topic of tokens or directory: put it back")
                    .help("--resume PATH goes on from a checkpoint that you name: what was committed behind it comes twice")
                    .help("--resume never begins anew: all that is published already comes twice"));
            }
            Decision::Fresh { discard } => {
                return Ok(Recovered::afresh(began, discard));
            }
            Decision::Resume { tip, finish, discard } => (tip, finish, discard),
        };
        let mut skipped = Vec::new();
        let older: Vec<u64> =
            contents.listing.objects.range(..=tip).rev().map(|(number, _)| *number).collect();
        for number in older {
            if contents.listing.objects.get(&number) == Some(&Object::Claim) {
                continue;
            }
            match contents.whole(self.storage.as_ref(), number, check) {
                Ok(manifest) => {
                    let manifest = manifest.clone();
                    let finish =
                        if number == tip { finish } else { !contents.listing.confirmed.contains(&number) };
                    self.settle_on(&manifest, &contents, !finish, !skipped.is_empty());
                    return Ok(Recovered { manifest: Some(manifest), finish, discarded, skipped, began });
                }
                Err(error) => {
                    self.check_fence()?;
                    if token != Token::NotNeeded {
                        return Err(
                            error.help("the sink has committed this checkpoint, so no older one fits")
                        );
                    }
                    skipped.push(Damage { number, what: error.message });
                }
            }
        }
        let what: Vec<&str> = skipped.iter().map(|damage| damage.what.as_str()).collect();
        Err(Diagnostic::error(
            Code::CheckpointUnusable,
            format!("no checkpoint of this job is whole: {}", what.join("; ")),
        )
        .help("start afresh with --resume never"))
    }

    fn settle_on(&mut self, manifest: &Manifest, contents: &Contents, confirmed: bool, damaged: bool) {
        (self.tip, self.confirmed, self.damaged) = (manifest.number, confirmed, damaged);
        self.known = contents.listing.clone();
        self.needed = needed_by(&contents.manifests);
        self.needed.retain(|number, _| *number <= manifest.number);
    }

    /// Stops a run that a newer one has fenced.
    ///
    /// # Errors
    /// When a newer run has claimed.
    pub fn check_fence(&self) -> Result<()> {
        let contents = contents(self.storage.as_ref())?;
        match contents.listing.claim_above(self.generation) {
            Some(newer) => Err(superseded(Some(newer), self.generation)),
            None => match contents.claims.get(&self.generation) {
                Some(claim) if claim.nonce != self.nonce => Err(replaced(self.generation)),
                _ => Ok(()),
            },
        }
    }

    /// See [`check_claim`]: whoever writes a checkpoint looks first.
    ///
    /// # Errors
    /// As there.
    pub fn check_place(&self) -> Result<()> {
        check_claim(self.storage.as_ref(), self.claimed())
    }

    /// Publishes a checkpoint. All it names is durable by now. Gives its number.
    ///
    /// # Errors
    /// See [`PublishError`]: what to do differs.
    pub fn publish(&mut self, manifest: &mut Manifest) -> Result<u64, PublishError> {
        if !self.confirmed {
            let message =
                format!("checkpoint {} isn't confirmed yet, and another is to be published", self.tip);
            return Err(PublishError::Stop(Diagnostic::error(Code::Internal, message)));
        }
        let number = self.next;
        (manifest.format, manifest.number, manifest.parent) = (FORMAT, number, self.tip);
        (manifest.generation, manifest.nonce) = (self.generation, self.nonce);
        manifest.job.clone_from(&self.job);
        let bytes = seal("manifest", manifest).map_err(|error| PublishError::Stop(unwritable(error)))?;
        if self.unsettled.as_ref().is_some_and(|earlier| *earlier != bytes) {
            let message = format!(
                "whether checkpoint {number} was published isn't certain, and another is to take its number"
            );
            return Err(PublishError::Stop(Diagnostic::error(Code::Internal, message)));
        }
        match settle(self.storage.as_ref(), &object_name(number), &bytes) {
            Ok(true) => {}
            Ok(false) if planted(Bug::GenerationNotChecked) => {
                self.next = number + 1;
                return self.publish(manifest);
            }
            Ok(false) => {
                let newer = contents(self.storage.as_ref()).ok();
                let newer = newer.and_then(|contents| contents.listing.claim_above(self.generation));
                return Err(PublishError::Stop(superseded(newer, self.generation)));
            }
            Err(error) if error.effect == Effect::None && self.unsettled.is_none() => {
                return Err(PublishError::Failed(error.into()));
            }
            Err(error) => {
                self.unsettled = Some(bytes);
                return Err(PublishError::Unsettled(error.into()));
            }
        }
        self.known.objects.insert(number, Object::Manifest);
        self.needed.insert(number, manifest.segments().map(str::to_owned).collect());
        (self.next, self.tip, self.confirmed, self.unsettled) = (number + 1, number, false, None);
        Ok(number)
    }

    /// Marks the checkpoint this run is at as confirmed: all its repeatable commits are done. May be
    /// repeated.
    ///
    /// # Errors
    /// When the mark cannot be written (try again), or a newer run has removed the checkpoint.
    pub fn confirm(&mut self) -> Result<()> {
        if self.tip == 0 || self.confirmed {
            return Ok(());
        }
        if self.storage.read_range(&object_name(self.tip), 0, 1)?.is_none() {
            self.check_fence()?;
            let message = format!("{} is gone, but no newer run has claimed", object_name(self.tip));
            return Err(Diagnostic::error(Code::CheckpointUnusable, message));
        }
        // Whoever wrote the mark: it says the same.
        settle(self.storage.as_ref(), &mark_name(self.tip), b"confirmed\n")?;
        self.known.confirmed.insert(self.tip);
        (self.confirmed, self.damaged) = (true, false);
        Ok(())
    }

    /// Deletes what is not needed any more: older manifests but the newest confirmed ones,
    /// `retained` of them with the tip, and segments that none of those names. Also sweeps what
    /// older runs have left. Call it after recovering and after each confirmation.
    ///
    /// # Errors
    /// When the storage fails; nothing needed is lost, and the next call does the rest.
    pub fn retain(&mut self, retained: usize) -> Result<()> {
        if self.damaged {
            return Ok(());
        }
        if self.confirmed && self.tip > 0 {
            self.expire(retained)?;
        }
        let kept = if planted(Bug::RetentionTakesTooMuch) { self.tip.saturating_sub(1) } else { 0 };
        let needed: BTreeSet<&str> = self.needed.values().flatten().map(String::as_str).collect();
        for name in self.storage.list("segments/")? {
            let Some(segment) = parse_segment_name(&name) else { continue };
            if (!needed.contains(name.as_str()) || segment.1 < kept)
                && may_sweep(self.generation, self.tip, segment)
            {
                self.storage.delete(&name)?;
            }
        }
        Ok(())
    }

    fn expire(&mut self, retained: usize) -> Result<()> {
        for number in expired(&self.known, self.tip, retained) {
            self.storage.delete(&object_name(number))?;
            self.storage.delete(&mark_name(number))?;
            self.known.objects.remove(&number);
            self.known.confirmed.remove(&number);
            self.needed.remove(&number);
        }
        Ok(())
    }
}

/// The segments that each manifest names.
fn needed_by(manifests: &BTreeMap<u64, Manifest>) -> BTreeMap<u64, BTreeSet<String>> {
    let segments = |manifest: &Manifest| manifest.segments().map(str::to_owned).collect();
    manifests.iter().map(|(number, manifest)| (*number, segments(manifest))).collect()
}

/// That a run's claim lies where it was put. Without it nothing fences the run, and a checkpoint beside it would
/// name state that isn't there.
///
/// # Errors
/// `CheckpointFailed` if it is gone, of a kind that a restart doesn't mend: it would find no checkpoint, and begin
/// anew. `Superseded` if something else lies there. What a storage says that can't be read.
pub fn check_claim(storage: &dyn Storage, mine: Claimed) -> Result<()> {
    match read_object(storage, mine.generation)? {
        Some(Found::Claim(claim)) if claim.nonce == mine.nonce => Ok(()),
        Some(Found::Damaged(what)) => Err(Diagnostic::error(Code::CheckpointFailed, what)),
        Some(_) => Err(replaced(mine.generation)),
        None => {
            let message =
                "the run's claim is gone: the checkpoint directory was removed, or its disk isn't there";
            Err(Diagnostic::error(Code::CheckpointFailed, message)
                .help("put the directory back as it was: the run goes on, and has lost nothing"))
        }
    }
}

/// Whether a run's claim is there, and its own.
///
/// # Errors
/// When the storage cannot be read.
pub fn is_claimed(storage: &dyn Storage, mine: Claimed) -> Result<bool> {
    Ok(claim_at(storage, mine.generation)?.is_some_and(|claim| claim.claimed() == mine))
}

/// The claim under a number; `None` if something else lies there, or nothing.
///
/// # Errors
/// When the storage cannot be read, or a newer build wrote it.
pub fn claim_at(storage: &dyn Storage, number: u64) -> Result<Option<Claim>> {
    Ok(match read_object(storage, number)? {
        Some(Found::Claim(claim)) => Some(claim),
        _ => None,
    })
}

/// The manifest under a number, for a look ahead; `None` if it can't be used, or isn't there any more.
///
/// # Errors
/// When the storage cannot be read, or a newer build wrote it.
pub fn manifest_at(storage: &dyn Storage, number: u64) -> Result<Option<Manifest>> {
    Ok(match read_object(storage, number)? {
        Some(Found::Manifest(manifest)) => Some(*manifest),
        _ => None,
    })
}

/// Whether a claim was made by this process.
fn is_of(claim: &Claim, holder: Option<&Holder>) -> bool {
    holder.is_some_and(|holder| holder.started > 0 && claim.holder.as_ref() == Some(holder))
}

/// Whether the newest run that began anew, or from another place, has published a checkpoint of its own: whoever
/// takes it up goes on from there, once it is decided ([`Recovered::began`]). Also if none began so.
///
/// # Errors
/// When the storage cannot be read.
pub fn has_own_checkpoint(storage: &dyn Storage) -> Result<bool> {
    let names = storage.list("sequence/")?;
    let mut above = false;
    for number in names.iter().rev().filter_map(|name| name.trim_start_matches("sequence/").parse().ok()) {
        match claim_at(storage, number)? {
            Some(claim) if claim.begins => return Ok(above),
            Some(_) => {}
            None => above = true,
        }
    }
    Ok(true)
}

/// The newest claim: only few checkpoints lie above it.
fn newest_claim(storage: &dyn Storage) -> Result<Option<Claim>> {
    let names = storage.list("sequence/")?;
    for number in names.iter().rev().filter_map(|name| name.trim_start_matches("sequence/").parse().ok()) {
        if let Some(claim) = claim_at(storage, number)? {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

fn last_number(storage: &dyn Storage) -> Result<u64> {
    let names = storage.list("sequence/")?;
    let number = |name: &String| name.trim_start_matches("sequence/").parse().ok();
    Ok(names.iter().filter_map(number).max().unwrap_or(0))
}

fn unwritable(error: serde_json::Error) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("a checkpoint's manifest cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
