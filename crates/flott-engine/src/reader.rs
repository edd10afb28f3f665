//! One I/O thread per source: reads ahead, as far as its bounded queue allows.

use std::sync::{Arc, atomic::Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use flott_connector::{Chunk, ReadContext, SourceReader, io};
use flott_types::Result;

use crate::{
    accounting::{Counters, add},
    job::{Alarm, Failure},
};

/// Chunks read ahead per shard. Two keep a shard busy while the reader waits for the disk.
const CHUNKS_AHEAD_PER_SHARD: usize = 2;

/// A source being read.
pub struct Reading {
    /// Chunks, in order.
    pub chunks: Receiver<Chunk>,
    /// The thread; ends when the input ends or every receiver is gone.
    pub thread: io::Thread,
}

/// Starts reading.
///
/// # Errors
/// `Internal` if no thread can be started.
pub fn start(
    index: usize,
    mut reader: Box<dyn SourceReader>,
    shards: usize,
    context: ReadContext,
    counters: Arc<Counters>,
    failure: Failure,
) -> Result<Reading> {
    let (sender, chunks) = bounded(CHUNKS_AHEAD_PER_SHARD * shards);
    let thread = io::spawn(format!("read-{index}"), move || {
        // Declared after `sender`, so it fails the run before the shards see the input's end.
        let _alarm = Alarm { failure: &failure, thread: "reader" };
        if let Some(total) = reader.total_bytes() {
            counters.sources[index].total_bytes.store(total, Ordering::Relaxed);
        }
        if let Err(error) = pump(index, reader.as_mut(), &context, &sender, &counters) {
            failure.set(error);
        }
        counters.sources[index].done.store(true, Ordering::Relaxed);
    })?;
    Ok(Reading { chunks, thread })
}

fn pump(
    index: usize,
    reader: &mut dyn SourceReader,
    context: &ReadContext,
    sender: &Sender<Chunk>,
    counters: &Counters,
) -> Result<()> {
    while let Some(chunk) = reader.next_chunk(context)? {
        add(&counters.sources[index].bytes, chunk.bytes_in);
        if sender.send(chunk).is_err() {
            // Every shard has gone: the run has failed.
            break;
        }
    }
    Ok(())
}
