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

use flott_connector::Chunk;
use serde_json::Value;

use crate::{
    accounting::Counters,
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
            if watermark != NO_WATERMARK {
                self.counters.sources[self.source].set_watermark(watermark);
            }
        }
    }
}
