//! One writer for all shards that writes in the order of the input: for logs, for `print`, `stdout` and
//! query results, and for changes that come from a source as they are.
//!
//! Shards decode chunks in parallel; each hands over what came of a chunk when it is through with
//! it. What comes early waits until the chunks before it are through. A shard whose chunk isn't
//! next finds the sink not ready while too much waits, so memory stays bounded; the shard that
//! holds the next chunk is never held up.
//!
//! ```text
//!   shard 0: chunk 0 ──────────────┐
//!   shard 1: chunk 1 ─► waits      ├─► 0, 1, 2 …
//!   shard 1: chunk 2 ─► waits      ┘
//!
//!   shard 0: rows of epoch 1 ‖ rows of epoch 2 wait          ‖ passes the barrier
//!   shard 1: rows of epoch 1 ‖ ─► all have passed: the writer prepares epoch 1, then takes what waits
//! ```
//!
//! Invariants
//! - The writer prepares an epoch once, when it has all rows of it and none of a later one.
//! - A shard that has ended holds nobody back.
//! - Of those who ask for an epoch's committables one gets them, the others get none.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use flott_connector::{Committable, SinkWriter};
use flott_types::{
    Result,
    planted::{Bug, planted},
};

use crate::sink::{Written, write_to};

/// Chunks, or batches of a later epoch, that may wait before shards pause.
const WAITING_MAX: usize = 32;

/// The shared writer.
pub struct OrderedWriter {
    state: Mutex<State>,
}

struct State {
    writer: Box<dyn SinkWriter>,
    /// Per source: the next chunk to write.
    next: Vec<u64>,
    /// What came of chunks that aren't next, or are of a later epoch: behind how many barriers, and the rows.
    waiting: BTreeMap<(usize, u64), (usize, Vec<Written>)>,
    /// Rows of operators that are of a later epoch.
    ahead: VecDeque<(usize, Written)>,
    /// How many barriers each shard has passed; `None`: it has ended.
    passed: Vec<Option<usize>>,
    /// The epochs of the barriers that shards have passed.
    epochs: Vec<u64>,
    /// How many of those the writer has prepared.
    prepared: usize,
    /// How many of those were asked for their committables.
    collected: usize,
}

impl State {
    fn of(&self, shard: usize) -> usize {
        self.passed.get(shard).copied().flatten().unwrap_or(self.epochs.len())
    }

    /// Writes what waits, as far as it is next and of this epoch; prepares epochs that are whole.
    fn advance(&mut self) -> Result<()> {
        loop {
            self.write_waiting()?;
            let mut passed = self.passed.iter().flatten().min().copied().unwrap_or(self.epochs.len());
            if planted(Bug::SharedWriterNotAligned) {
                passed = self.epochs.len();
            }
            let Some(epoch) = self.epochs.get(self.prepared).filter(|_| passed > self.prepared) else {
                return Ok(());
            };
            self.writer.prepare(*epoch)?;
            self.prepared += 1;
        }
    }

    fn write_waiting(&mut self) -> Result<()> {
        for source in 0..self.next.len() {
            loop {
                let key = (source, self.next[source]);
                if self.waiting.get(&key).is_none_or(|it| it.0 > self.prepared) {
                    break;
                }
                let Some((_, batches)) = self.waiting.remove(&key) else { break };
                self.next[source] += 1;
                batches.iter().try_for_each(|batch| write_to(self.writer.as_mut(), batch))?;
            }
        }
        while let Some((_, written)) = self.ahead.pop_front_if(|it| it.0 <= self.prepared) {
            write_to(self.writer.as_mut(), &written)?;
        }
        Ok(())
    }
}

impl OrderedWriter {
    /// A writer for this many sources and shards.
    pub fn new(writer: Box<dyn SinkWriter>, sources: usize, shards: usize) -> Self {
        let state = State {
            writer,
            next: vec![0; sources],
            waiting: BTreeMap::new(),
            ahead: VecDeque::new(),
            passed: vec![Some(0); shards],
            epochs: Vec::new(),
            prepared: 0,
            collected: 0,
        };
        Self { state: Mutex::new(state) }
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Hands over all that came of a chunk. Every chunk must be handed over exactly once, also an
    /// empty one.
    ///
    /// # Errors
    /// The writer's.
    pub fn complete(&self, shard: usize, source: usize, sequence: u64, batches: Vec<Written>) -> Result<()> {
        let mut state = self.lock();
        let of = state.of(shard);
        state.waiting.insert((source, sequence), (of, batches));
        state.write_waiting()
    }
    /// Writes rows that have no place in the order of the input: an operator's.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, shard: usize, written: Written) -> Result<()> {
        let mut state = self.lock();
        let of = state.of(shard);
        if of > state.prepared {
            state.ahead.push_back((of, written));
            return Ok(());
        }
        write_to(state.writer.as_mut(), &written)
    }
    /// Whether a shard may take new input. Who hasn't passed a barrier yet isn't held up by what waits behind
    /// it: that waits for this very shard.
    pub fn is_ready(&self, shard: usize) -> bool {
        let mut state = self.lock();
        let (of, prepared) = (state.of(shard), state.prepared);
        let of_this_epoch = of <= prepared;
        let waiting = match of_this_epoch {
            true => state.waiting.values().filter(|it| it.0 <= prepared).count(),
            false => state.waiting.len() + state.ahead.len(),
        };
        waiting < WAITING_MAX && state.writer.is_ready()
    }
    /// See [`SinkWriter::flush`].
    ///
    /// # Errors
    /// The writer's.
    pub fn flush(&self) -> Result<()> {
        self.lock().writer.flush()
    }
    /// No row comes any more from this shard.
    ///
    /// # Errors
    /// The writer's.
    pub fn end(&self, shard: usize) -> Result<()> {
        let mut state = self.lock();
        if let Some(passed) = state.passed.get_mut(shard) {
            *passed = None;
        }
        state.advance()
    }
    /// No row comes any more from any shard. See [`SinkWriter::finish`].
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(&self) -> Result<()> {
        self.lock().writer.finish()
    }
    /// A shard has passed the barrier of this epoch: what it hands over from now on is of a later one.
    ///
    /// # Errors
    /// The writer's.
    pub fn pass(&self, shard: usize, epoch: u64) -> Result<()> {
        let mut state = self.lock();
        let of = state.of(shard);
        if of == state.epochs.len() {
            state.epochs.push(epoch);
        }
        if let Some(passed) = state.passed.get_mut(shard) {
            *passed = Some(of + 1);
        }
        state.advance()
    }
    /// The committables of the epoch whose barrier the shard passed last, once all shards have and they are
    /// durable; `None`: not yet.
    ///
    /// # Errors
    /// The writer's.
    pub fn poll_passed(&self, shard: usize) -> Result<Option<Vec<Committable>>> {
        let mut state = self.lock();
        let of = state.of(shard);
        if state.collected >= of {
            return Ok(Some(Vec::new()));
        }
        if state.prepared <= state.collected {
            return Ok(None);
        }
        let committables = state.writer.poll_prepared()?;
        if committables.is_some() {
            state.collected += 1;
        }
        Ok(committables)
    }
    /// The end of the run: all shards have ended. See [`SinkWriter::prepare`].
    ///
    /// # Errors
    /// The writer's.
    pub fn prepare(&self, epoch: u64) -> Result<()> {
        self.lock().writer.prepare(epoch)
    }
    /// See [`SinkWriter::poll_prepared`].
    ///
    /// # Errors
    /// The writer's.
    pub fn poll_prepared(&self) -> Result<Option<Vec<Committable>>> {
        self.lock().writer.poll_prepared()
    }
}
