//! The bounded queue of a source's chunks, from its reader thread to all shards.
//!
//! Every chunk belongs to an epoch. A barrier is no element of the queue: once an epoch is closed,
//! what the reader adds belongs to the next one, and a shard gets chunks of the next epoch only when
//! it asks for them, that is when it has let the barrier through its part of the pipeline.
//!
//! ```text
//!   reader ─► │ 8:e2 │ 7:e2 ‖ 6:e1 │ 5:e1 │ ─► shard in epoch 1 gets 5, then 6, then "barrier"
//!                           └ close(1): position behind chunk 6
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flott_connector::{Chunk, SplitInfo};
use serde_json::Value;

use crate::{
    accounting::Counters,
    activity::SplitSample,
    exchange::Wakers,
    progress::{ChunkTime, NO_WATERMARK, Progress},
};

/// What a shard gets.
#[derive(Debug)]
pub enum Next {
    /// A chunk.
    Chunk(Chunk),
    /// Nothing now.
    Nothing,
    /// Nothing more in this epoch, which is closed.
    Barrier,
    /// Nothing more ever; whether all input was read (false: the run was stopped).
    End(bool),
}

/// A queue at a moment.
pub struct Look {
    /// Chunks in it.
    pub queued: usize,
    /// How many may be.
    pub capacity: usize,
    /// Nobody waits for the source.
    pub idle: bool,
    /// Splits are known that aren't open yet.
    pub unopened: bool,
    /// How many splits are open.
    pub open_splits: usize,
    /// The newest watermark of an open split.
    pub newest: Option<i64>,
    /// Open splits, the oldest first.
    pub splits: Vec<SplitSample>,
}

/// The queue.
#[derive(Debug)]
pub struct ChunkQueue {
    state: Mutex<State>,
    room: Condvar,
    capacity: usize,
    wakers: Arc<Wakers>,
    counters: Arc<Counters>,
    source: usize,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<(u64, Chunk)>,
    /// The epoch of what comes next.
    epoch: u64,
    /// Where to go on behind the chunk added last.
    position: Value,
    /// Bytes of all chunks added.
    bytes: u64,
    /// The reader has ended; whether it has read everything.
    ended: Option<bool>,
    /// Nobody takes chunks any more.
    closed: bool,
    progress: Progress,
    /// Open splits by number, for whoever asks what the run is doing.
    names: BTreeMap<u32, Arc<SplitInfo>>,
    /// Chunks that are through, but not all before them.
    early: BTreeMap<u64, ChunkTime>,
    next_done: u64,
}

impl ChunkQueue {
    /// An empty queue for at most this many chunks of a source (its index in the counters), whose
    /// reader stands at `position`.
    pub fn new(
        source: usize,
        capacity: usize,
        epoch: u64,
        position: Value,
        wakers: Arc<Wakers>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                epoch,
                position,
                bytes: 0,
                ended: None,
                closed: false,
                progress: Progress::default(),
                names: BTreeMap::new(),
                early: BTreeMap::new(),
                next_done: 0,
            }),
            room: Condvar::new(),
            source,
            capacity,
            wakers,
            counters,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a chunk can be added without waiting.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.closed || state.chunks.len() < self.capacity
    }

    /// Adds a chunk; waits for room. False: nobody wants it any more.
    pub fn push(&self, chunk: Chunk, position: Value) -> bool {
        let mut state = self.lock();
        while state.chunks.len() >= self.capacity && !state.closed {
            let waited = self.room.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return false;
        }
        let epoch = state.epoch;
        state.bytes += chunk.bytes_in;
        state.names.entry(chunk.time.split_number).or_insert_with(|| chunk.split.clone());
        state.chunks.push_back((epoch, chunk));
        state.position = position;
        drop(state);
        self.wakers.wake_all();
        true
    }

    /// The reader has come to its end: of the input, or because the run was stopped.
    pub fn end(&self, drained: bool) {
        self.lock().ended = Some(drained);
        self.wakers.wake_all();
    }

    /// The shards are gone.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.chunks.clear();
        drop(state);
        self.room.notify_all();
    }

    /// What comes next for a shard that is in this epoch.
    pub fn next(&self, epoch: u64) -> Next {
        let mut state = self.lock();
        match state.chunks.front() {
            Some((of, _)) if *of <= epoch => {
                let chunk = state.chunks.pop_front().map(|(_, chunk)| chunk);
                drop(state);
                self.room.notify_one();
                chunk.map_or(Next::Nothing, Next::Chunk)
            }
            _ if state.epoch > epoch => Next::Barrier,
            None => state.ended.map_or(Next::Nothing, Next::End),
            _ => Next::Nothing,
        }
    }

    /// Whether a shard has got all of this epoch, which is closed.
    pub fn is_closed(&self, epoch: u64) -> bool {
        let state = self.lock();
        state.epoch > epoch && state.chunks.front().is_none_or(|(of, _)| *of > epoch)
    }

    /// Closes this epoch: what is added from now on belongs to the next one. Where to go on, and how
    /// many bytes were read up to there.
    pub fn close_epoch(&self, epoch: u64) -> (Value, u64) {
        let mut state = self.lock();
        state.epoch = epoch + 1;
        (state.position.clone(), state.bytes)
    }

    /// Whether all input was read.
    pub fn is_drained(&self) -> bool {
        self.lock().ended == Some(true)
    }

    /// Where to go on behind the chunk added last, and how many bytes were read up to there.
    pub fn position(&self) -> (Value, u64) {
        let state = self.lock();
        (state.position.clone(), state.bytes)
    }

    /// How it stands, with at most so many of its splits, the oldest first. Idle ones hold nothing back: they are
    /// not among them.
    pub fn look(&self, splits: usize) -> Look {
        let state = self.lock();
        let idle = state.progress.idle_splits();
        let waited_for = state.progress.splits().iter().filter(|(at, _)| !idle.contains(at));
        let mut open: Vec<(i64, u32)> = waited_for.map(|(at, time)| (*time, *at)).collect();
        open.sort_unstable();
        let name = |at: &u32| state.names.get(at).map(|it| it.name.clone()).unwrap_or_default();
        Look {
            queued: state.chunks.len(),
            capacity: self.capacity,
            idle: state.progress.is_idle(),
            unopened: state.progress.has_unopened(),
            open_splits: state.progress.splits().len(),
            newest: open.last().map(|(time, _)| *time),
            splits: open
                .iter()
                .take(splits)
                .map(|(time, at)| SplitSample {
                    number: *at,
                    name: name(at),
                    watermark: Some(*time),
                    lag: None,
                })
                .collect(),
        }
    }

    /// A chunk is through a shard's first stage: moves the watermark that the live view and
    /// `CURRENT_WATERMARK` see, in order of the chunks.
    pub fn done(&self, sequence: u64, time: ChunkTime) {
        let mut state = self.lock();
        state.early.insert(sequence, time);
        while let Some(time) = {
            let next = state.next_done;
            state.early.remove(&next)
        } {
            state.next_done += 1;
            let watermark = state.progress.apply(&time);
            if time.split.finished {
                state.names.remove(&time.split.split_number);
            }
            if watermark != NO_WATERMARK {
                self.counters.sources[self.source].set_watermark(watermark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flott_connector::SplitTime;

    use super::*;
    use crate::accounting::SourceCounters;

    #[test]
    fn idle_splits_are_not_among_the_oldest() {
        let counters = Counters { sources: vec![SourceCounters::default()], ..Counters::default() };
        let queue = ChunkQueue::new(0, 4, 0, Value::Null, Arc::new(Wakers::new(1)), Arc::new(counters));
        let time = |split_number, watermark, split_idle| {
            let split = SplitTime { split_number, split_idle, ..SplitTime::default() };
            ChunkTime { split, watermark }
        };
        let times = [time(0, None, true), time(1, Some(50), false), time(2, Some(70), false)];
        (0..).zip(times).for_each(|(sequence, time)| queue.done(sequence, time));
        let look = queue.look(8);
        let oldest: Vec<u32> = look.splits.iter().map(|split| split.number).collect();
        assert_eq!((oldest, look.open_splits, look.newest), (vec![1, 2], 3, Some(70)));
    }
}
