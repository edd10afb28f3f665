//! Writes a checkpoint: segments, then the manifest that names them.

use std::{collections::BTreeMap, ops::Range};

use flott_connector::{Committable, StopSignal};
use flott_state::{Manifest, OperatorSnapshot, PublishError, Segment, ShardPart, chain};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};
use serde_json::Value;

use super::{
    Requests,
    coordinator::{Coordinator, UnderWay},
};
use crate::{accounting::Counts, shard::Snapshots};

/// How often a lost answer is asked for.
const PUBLISH_TRIES: usize = 10;

/// What the shards have handed over and no checkpoint holds yet.
#[derive(Default)]
pub(super) struct Pending {
    /// Per shard, by operator.
    pub(super) snapshots: Vec<BTreeMap<String, OperatorSnapshot>>,
    /// Per sink.
    pub(super) committables: Vec<Vec<Committable>>,
    /// Dead letters.
    pub(super) letters: Vec<Committable>,
}

impl Pending {
    pub(super) fn new(shards: usize, sinks: usize) -> Self {
        let snapshots = (0..shards).map(|_| BTreeMap::new()).collect();
        Self { snapshots, committables: vec![Vec::new(); sinks], letters: Vec::new() }
    }
    pub(super) fn snapshots(&mut self, shard: usize, snapshots: Snapshots) {
        let Some(mine) = self.snapshots.get_mut(shard) else { return };
        for (id, snapshot) in snapshots {
            let snapshot = match mine.remove(&id) {
                Some(earlier) => snapshot.after(earlier),
                None => snapshot,
            };
            mine.insert(id, snapshot);
        }
    }
    pub(super) fn committables(&mut self, prepared: Vec<(usize, Vec<Committable>)>) {
        for (sink, committables) in prepared {
            if let Some(mine) = self.committables.get_mut(sink) {
                mine.extend(committables);
            }
        }
    }
}

impl Coordinator {
    /// What a manifest holds beside state, places and committables.
    pub(super) fn extras(&self, counts: &Counts) -> Value {
        self.script.extras(counts, self.identity.first_generation)
    }

    /// What the job has counted up to a checkpoint.
    pub(super) fn counts_at(&self, it: &UnderWay) -> Counts {
        let mut counts = it.counts.clone();
        counts.merge(&self.counts);
        // Bytes are the readers' to count: those of this run, up to where it goes on.
        for (mine, bytes) in counts.sources.iter_mut().zip(&it.bytes) {
            mine[1] += bytes;
        }
        counts
    }

    pub(super) fn write(
        &mut self,
        it: &UnderWay,
        shards: usize,
        requests: &Requests,
        finished: bool,
    ) -> Result<(Manifest, Vec<ShardPart>, u64)> {
        let mut written = Vec::new();
        let outcome = self.try_write(it, shards, requests, finished, &mut written);
        if outcome.as_ref().is_err_and(|error| error.code == Code::CheckpointFailed) {
            for name in written {
                // What stays is removed with the next checkpoint.
                let _ = self.storage.delete(&name);
            }
        }
        outcome
    }

    fn try_write(
        &mut self,
        it: &UnderWay,
        shards: usize,
        requests: &Requests,
        finished: bool,
        written: &mut Vec<String>,
    ) -> Result<(Manifest, Vec<ShardPart>, u64)> {
        self.incarnation.check_place()?;
        let (mut parts, mut all, mut bytes, mut late) = (Vec::new(), Vec::new(), 0, Vec::new());
        for shard in 0..shards {
            let name = self.incarnation.segment_name(it.epoch, shard);
            let snapshots = self.pending.snapshots[shard].clone();
            if cfg!(debug_assertions) {
                snapshots.iter().try_for_each(|(id, it)| self.script.check_declared(id, it))?;
            }
            // One after the other: a shard's state may be more than fits into memory.
            let mut write = |segment: Segment| -> Result<ShardPart> {
                if !segment.bytes.is_empty() {
                    written.push(segment.name.clone());
                    bytes += segment.bytes.len() as u64;
                    if planted(Bug::ManifestBeforeSegments) {
                        late.push((segment.name, segment.bytes));
                    } else {
                        self.storage.write(&segment.name, &segment.bytes)?;
                    }
                }
                Ok(segment.part)
            };
            let (part, of_shard) = write_shard(&name, &requests.owned(shard, shards), snapshots, &mut write)?;
            parts.push(part);
            all.extend(of_shard);
        }
        let mut manifest = Manifest::new(&self.job, self.key_groups, it.epoch, self.clock.now_micros());
        manifest.finished = finished;
        manifest.plan.clone_from(&self.operators);
        manifest.sources.clone_from(&it.sources);
        manifest.operators = chain::advance(Some(&self.state), &all);
        for (name, committables) in self.sinks.iter().zip(&self.pending.committables) {
            let contents = committables.iter().map(|it| it.content.clone()).collect();
            manifest.sinks.insert(name.clone(), contents);
        }
        manifest.letters = self.pending.letters.iter().map(|it| it.content.clone()).collect();
        let mut counts = self.counts_at(it);
        if planted(Bug::CounterDoubleCounted) {
            counts.merge(&self.counts);
        }
        manifest.counters = self.extras(&counts);
        self.publish(&mut manifest)?;
        for (name, bytes) in late {
            self.storage.write(&name, &bytes)?;
        }
        Ok((manifest, parts, bytes))
    }

    /// Publishes the manifest; a lost answer is asked for again until it is certain.
    pub(super) fn publish(&mut self, manifest: &mut Manifest) -> Result<()> {
        for tried in 0..PUBLISH_TRIES {
            if tried > 0 {
                StopSignal::new().wait(self.settings.retry_pause);
            }
            match self.incarnation.publish(manifest) {
                Ok(_) => return Ok(()),
                Err(PublishError::Failed(error)) => return Err(error),
                Err(PublishError::Stop(error)) => return Err(as_fatal(error)),
                Err(PublishError::Unsettled(error)) => {
                    tracing::warn!(
                        "whether a checkpoint was written is unknown, asking again: {}",
                        error.message
                    );
                }
            }
        }
        // Whoever claims anew and reads the sequence finds out.
        let message = "whether the last checkpoint was written can't be found out";
        Err(as_fatal(Diagnostic::error(Code::CheckpointFailed, message).that_may_pass()))
    }
}

/// Writes what the operators of a shard have handed over: a segment for what they hold in memory, one for
/// each slice that was put away. The part that stands for the shard, and all parts, oldest first.
fn write_shard(
    name: &str,
    owned: &Range<u16>,
    snapshots: BTreeMap<String, OperatorSnapshot>,
    write: &mut dyn FnMut(Segment) -> Result<ShardPart>,
) -> Result<(ShardPart, Vec<ShardPart>)> {
    let (mut older, mut spilled, mut present) = (Vec::new(), Vec::new(), Vec::new());
    let mut pieces = 0;
    let mut piece = || {
        pieces += 1;
        format!("{name}-{pieces}")
    };
    for (operator, mut snapshot) in snapshots {
        for mut earlier in std::mem::take(&mut snapshot.older) {
            let slices = std::mem::take(&mut earlier.spilled);
            older.push(write(Segment::encode(piece(), owned, [(operator.clone(), earlier)])?)?);
            for slice in slices {
                older.push(write(slice.segment(piece(), &operator)?)?);
            }
        }
        for slice in std::mem::take(&mut snapshot.spilled) {
            spilled.push(write(slice.segment(piece(), &operator)?)?);
        }
        present.push((operator, snapshot));
    }
    let part = write(Segment::encode(name.to_owned(), owned, present)?)?;
    let all = older.into_iter().chain([part.clone()]).chain(spilled).collect();
    Ok((part, all))
}

/// An error that a run must not outlive.
fn as_fatal(mut error: Box<Diagnostic>) -> Box<Diagnostic> {
    if error.code == Code::CheckpointFailed {
        error.code = Code::CheckpointUnusable;
    }
    error
}
