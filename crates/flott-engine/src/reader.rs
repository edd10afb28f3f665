//! One reader per source: reads ahead, as far as its bounded queue allows. Its thread does nothing else.

use std::sync::{Arc, atomic::Ordering};

use flott_connector::{ReadContext, SourceReader, io};
use flott_types::{
    Result,
    planted::{Bug, planted},
};

use crate::{
    accounting::{Counters, add},
    activity::ReaderActivity,
    failure::{Alarm, Failure},
    queue::ChunkQueue,
};

/// Chunks read ahead per shard. Two keep a shard busy while the reader waits for the disk.
pub const CHUNKS_AHEAD_PER_SHARD: usize = 2;

/// A source's reader, and the queue that it fills.
pub struct ReaderTask {
    /// The source's index in the counters.
    pub index: usize,
    /// Cuts chunks.
    pub reader: Box<dyn SourceReader>,
    /// Takes them.
    pub queue: Arc<ChunkQueue>,
    /// What the reader gets from the engine.
    pub context: ReadContext,
    /// The run's counters.
    pub counters: Arc<Counters>,
    /// The run's failure.
    pub failure: Failure,
}

impl ReaderTask {
    /// Starts reading on a thread, which ends when the input ends or the queue is closed.
    ///
    /// # Errors
    /// `Internal` if no thread can be started.
    pub fn start(mut self) -> Result<io::Thread> {
        io::spawn(format!("read-{}", self.index), move || {
            let failure = self.failure.clone();
            let _alarm = Alarm { failure: &failure, thread: "reader" };
            self.begin();
            while self.step() {}
        })
    }

    /// To be called once, before the first step.
    pub fn begin(&self) {
        self.activity().begins(self.reader.figures());
        if let Some(total) = self.reader.total_bytes() {
            self.counters.sources[self.index].total_bytes.store(total, Ordering::Relaxed);
        }
    }

    /// Reads a chunk and hands it over; waits for room. False: it has ended.
    pub fn step(&mut self) -> bool {
        let goes_on = match self.read() {
            Ok(true) => return true,
            // After the failure, so that nobody takes the stop for the input's end.
            Err(error) => Err(error),
            Ok(false) => Ok(()),
        };
        match goes_on {
            Err(error) => self.failure.set(error),
            Ok(()) => self.queue.end(!self.context.stop.is_stopped()),
        }
        self.activity().ends();
        self.counters.sources[self.index].done.store(true, Ordering::Relaxed);
        false
    }

    fn activity(&self) -> &ReaderActivity {
        &self.counters.activity.readers[self.index]
    }

    fn read(&mut self) -> Result<bool> {
        self.activity().reads(self.context.clock.monotonic());
        let before = planted(Bug::OffsetOffByOne).then(|| self.reader.position());
        let Some(chunk) = self.reader.next_chunk(&self.context)? else { return Ok(false) };
        self.activity().got(self.context.clock.monotonic(), chunk.is_control());
        add(&self.counters.sources[self.index].bytes, chunk.bytes_in);
        // If nobody takes it, every shard has gone: the run has failed.
        Ok(self.queue.push(chunk, before.unwrap_or_else(|| self.reader.position())))
    }
}
