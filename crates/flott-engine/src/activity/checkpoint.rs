//! How far the checkpoint under way has come, told by the job thread.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    nanos,
    sample::{CheckpointSample, LastCheckpoint, Phase, UnderWaySample},
};

/// The checkpoints of a run, as its job thread tells of them.
#[derive(Debug, Default)]
pub(crate) struct CheckpointActivity {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// There are checkpoints.
    interval: Option<Duration>,
    under_way: Option<(u64, Duration, Phase)>,
    last: Option<(u64, u64, Duration, Duration)>,
    completed: u64,
    failed: u64,
    failure: Option<String>,
}

impl CheckpointActivity {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// There will be checkpoints, this often.
    pub(crate) fn every(&self, interval: Duration) {
        self.lock().interval = Some(interval);
    }
    /// Shards are asked for a barrier at the end of this epoch.
    pub(crate) fn begins(&self, epoch: u64, now: Duration) {
        self.lock().under_way = Some((epoch, now, Phase::Barrier));
    }
    /// The one under way has come to this.
    pub(crate) fn comes_to(&self, phase: Phase) {
        if let Some(under_way) = &mut self.lock().under_way {
            under_way.2 = phase;
        }
    }
    /// The one under way can't be completed: what it has goes into the next.
    pub(crate) fn given_up(&self) {
        self.lock().under_way = None;
    }
    /// It could not be written.
    pub(crate) fn fails(&self, message: &str) {
        let mut state = self.lock();
        state.under_way = None;
        state.failed += 1;
        state.failure = Some(message.to_string());
    }
    /// It is complete.
    pub(crate) fn done(&self, number: u64, bytes: u64, took: Duration, now: Duration) {
        let mut state = self.lock();
        state.under_way = None;
        state.completed += 1;
        state.failure = None;
        state.last = Some((number, bytes, took, now));
    }
    /// How it stands. Which shards are missing says [`super::Activity::sample`].
    pub(super) fn sample(&self, now: Duration) -> Option<CheckpointSample> {
        let state = self.lock();
        let interval = state.interval?;
        Some(CheckpointSample {
            interval: nanos(interval),
            completed: state.completed,
            failed: state.failed,
            failure: state.failure.clone(),
            last: state.last.map(|(number, bytes, took, at)| LastCheckpoint {
                number,
                bytes,
                took: nanos(took),
                age: nanos(now.saturating_sub(at)),
            }),
            under_way: state.under_way.map(|(epoch, since, phase)| UnderWaySample {
                epoch,
                age: nanos(now.saturating_sub(since)),
                phase,
                shards: Vec::new(),
            }),
        })
    }
}
