//! One writer for all shards that writes in the order of the input: for `print`, `stdout` and
//! query results, where people read what comes.
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
//! ```

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use flott_connector::{Committable, SinkWriter};
use flott_types::Result;

use crate::sink::{Written, write_to};

/// Chunks that may wait for an earlier one before shards pause.
const WAITING_MAX: usize = 32;

/// The shared writer.
pub struct OrderedWriter {
    state: Mutex<State>,
}

struct State {
    writer: Box<dyn SinkWriter>,
    /// Per source: the next chunk to write.
    next: Vec<u64>,
    waiting: BTreeMap<(usize, u64), Vec<Written>>,
}

impl OrderedWriter {
    /// A writer for this many sources.
    pub fn new(writer: Box<dyn SinkWriter>, sources: usize) -> Self {
        Self { state: Mutex::new(State { writer, next: vec![0; sources], waiting: BTreeMap::new() }) }
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Hands over all that came of a chunk. Every chunk must be handed over exactly once, also an
    /// empty one.
    ///
    /// # Errors
    /// The writer's.
    pub fn complete(&self, source: usize, sequence: u64, batches: Vec<Written>) -> Result<()> {
        let mut state = self.lock();
        state.waiting.insert((source, sequence), batches);
        while let Some(batches) = {
            let next = state.next[source];
            state.waiting.remove(&(source, next))
        } {
            state.next[source] += 1;
            for batch in &batches {
                write_to(state.writer.as_mut(), batch)?;
            }
        }
        Ok(())
    }
    /// Writes rows that have no place in the order of the input: an operator's.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, written: &Written) -> Result<()> {
        write_to(self.lock().writer.as_mut(), written)
    }
    /// Whether shards may take new input.
    pub fn is_ready(&self) -> bool {
        let mut state = self.lock();
        state.waiting.len() < WAITING_MAX && state.writer.is_ready()
    }
    /// See [`SinkWriter::flush`].
    ///
    /// # Errors
    /// The writer's.
    pub fn flush(&self) -> Result<()> {
        self.lock().writer.flush()
    }
    /// See [`SinkWriter::finish`].
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(&self) -> Result<()> {
        self.lock().writer.finish()
    }
    /// See [`SinkWriter::prepare`].
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
