//! One I/O thread per source: reads ahead, as far as its bounded queue allows.

use std::sync::{Arc, atomic::Ordering};

use flott_connector::{ReadContext, SourceReader, io};
use flott_types::Result;

use crate::{
    accounting::{Counters, add},
    failure::{Alarm, Failure},
    queue::ChunkQueue,
};

/// Chunks read ahead per shard. Two keep a shard busy while the reader waits for the disk.
pub const CHUNKS_AHEAD_PER_SHARD: usize = 2;

/// Starts reading into the queue. The thread ends when the input ends or the queue is closed.
///
/// # Errors
/// `Internal` if no thread can be started.
pub fn start(
    index: usize,
    mut reader: Box<dyn SourceReader>,
    queue: Arc<ChunkQueue>,
    context: ReadContext,
    counters: Arc<Counters>,
    failure: Failure,
) -> Result<io::Thread> {
    io::spawn(format!("read-{index}"), move || {
        let _alarm = Alarm { failure: &failure, thread: "reader" };
        if let Some(total) = reader.total_bytes() {
            counters.sources[index].total_bytes.store(total, Ordering::Relaxed);
        }
        match pump(index, reader.as_mut(), &queue, &context, &counters) {
            // After the failure, so that nobody takes the stop for the input's end.
            Err(error) => failure.set(error),
            Ok(()) => queue.end(!context.stop.is_stopped()),
        }
        counters.sources[index].done.store(true, Ordering::Relaxed);
    })
}

fn pump(
    index: usize,
    reader: &mut dyn SourceReader,
    queue: &ChunkQueue,
    context: &ReadContext,
    counters: &Counters,
) -> Result<()> {
    while let Some(chunk) = reader.next_chunk(context)? {
        add(&counters.sources[index].bytes, chunk.bytes_in);
        if !queue.push(chunk, reader.position()) {
            // Every shard has gone: the run has failed.
            break;
        }
    }
    Ok(())
}
