//! The end of a shard's pipeline: counts rows and hands them to the sink's writer.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{Clock, Committable, SinkWriter};
use flott_types::Result;

use crate::{
    accounting::{Counters, add},
    activity::ShardActivity,
    order::OrderedWriter,
    upsert::by_key,
};

/// Rows, and what each does (none: all are new).
pub type Written = (RecordBatch, Option<Int8Array>);

/// Hands rows to a writer.
///
/// # Errors
/// The writer's.
pub fn write_to(writer: &mut dyn SinkWriter, (batch, kinds): &Written) -> Result<()> {
    match kinds {
        Some(kinds) => writer.write_changes(batch, kinds),
        None => writer.write(batch),
    }
}

/// Who writes.
pub enum Writer {
    /// This shard, on its own.
    Own(Box<dyn SinkWriter>),
    /// All shards together, in the order of the input. Holds what came of the current chunk.
    Ordered {
        /// The shared writer.
        shared: Arc<OrderedWriter>,
        /// Which shard this is.
        shard: usize,
        /// Rows of the chunk in hand.
        held: Vec<Written>,
    },
}

/// Measures how long writing takes.
pub struct Watch {
    activity: Arc<ShardActivity>,
    clock: Arc<dyn Clock>,
    spent: Duration,
}

impl Watch {
    /// By this clock.
    pub fn new(activity: Arc<ShardActivity>, clock: Arc<dyn Clock>) -> Self {
        Self { activity, clock, spent: Duration::ZERO }
    }
    fn during<T>(&mut self, sink: usize, work: impl FnOnce() -> T) -> T {
        let began = self.clock.monotonic();
        let done = work();
        let took = self.clock.monotonic().saturating_sub(began);
        self.spent += took;
        if let Some(sink) = self.activity.sinks.get(sink) {
            sink.busy.add(took);
        }
        done
    }
}

/// A sink on one shard.
pub struct SinkTask {
    /// Index in the plan's sinks.
    pub index: usize,
    writer: Writer,
    /// The sink goes by these columns, but what comes says what rows were before.
    upsert_key: Option<Vec<usize>>,
    counters: Arc<Counters>,
    watch: Watch,
    preparing_last: bool,
}

impl SinkTask {
    /// A sink on one shard.
    pub fn new(
        index: usize,
        writer: Writer,
        upsert_key: Option<Vec<usize>>,
        counters: Arc<Counters>,
        watch: Watch,
    ) -> Self {
        Self { index, writer, upsert_key, counters, watch, preparing_last: false }
    }
    /// Takes rows that came along an edge. Rows of an operator belong to no chunk: where order is
    /// wanted, those are written as they come.
    pub fn write(
        &mut self,
        edge: usize,
        batch: RecordBatch,
        kinds: Option<Int8Array>,
        of_a_chunk: bool,
    ) -> Result<()> {
        let came = batch.num_rows() as u64;
        let written = match (kinds, &self.upsert_key) {
            (Some(kinds), Some(key)) => {
                let (batch, kinds) = by_key(batch, kinds, key)?;
                (batch, Some(kinds))
            }
            (kinds, _) => (batch, kinds),
        };
        let rows = written.0.num_rows() as u64;
        add(&self.counters.edges[edge].filtered, came.saturating_sub(rows));
        if rows == 0 {
            return Ok(());
        }
        self.counters.sinks[self.index].count(rows, written.1.as_ref());
        match &mut self.writer {
            Writer::Own(writer) => self.watch.during(self.index, || write_to(writer.as_mut(), &written))?,
            Writer::Ordered { held, .. } if of_a_chunk => held.push(written),
            Writer::Ordered { shared, shard, .. } => {
                self.watch.during(self.index, || shared.write(*shard, written))?;
            }
        }
        add(&self.counters.edges[edge].output, rows);
        Ok(())
    }
    /// The shard is through with a chunk.
    pub fn chunk_done(&mut self, source: usize, sequence: u64) -> Result<()> {
        match &mut self.writer {
            Writer::Own(_) => Ok(()),
            Writer::Ordered { shared, shard, held } => {
                let held = std::mem::take(held);
                self.watch.during(self.index, || shared.complete(*shard, source, sequence, held))
            }
        }
    }
    /// Says what its writer has done.
    pub fn measure(&self) {
        let (Writer::Own(writer), Some(told)) = (&self.writer, self.watch.activity.sinks.get(self.index))
        else {
            return;
        };
        let figures = writer.figures();
        told.open_files.store(figures.open_files, Relaxed);
        told.bytes.store(figures.bytes, Relaxed);
        *told.trouble.lock().unwrap_or_else(PoisonError::into_inner) = writer.trouble();
    }
    /// How long it has been at work since it was asked last.
    pub fn spent(&mut self) -> Duration {
        std::mem::take(&mut self.watch.spent)
    }
    /// Whether the shard may take new input.
    pub fn is_ready(&mut self) -> bool {
        match &mut self.writer {
            Writer::Own(writer) => writer.is_ready(),
            Writer::Ordered { shared, shard, .. } => shared.is_ready(*shard),
        }
    }
    /// The buffer timeout has passed.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.writer {
            Writer::Own(writer) => writer.flush(),
            Writer::Ordered { shared, .. } => shared.flush(),
        }
    }
    /// No row comes any more. A shared writer is the job's to finish.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.writer {
            Writer::Own(writer) => writer.finish(),
            Writer::Ordered { shared, shard, .. } => shared.end(*shard),
        }
    }
    /// Begins to make durable what this shard wrote. The last time, a shared writer is the job's to
    /// prepare: other shards may still write.
    pub fn prepare(&mut self, epoch: u64, last: bool) -> Result<()> {
        self.preparing_last = last;
        match &mut self.writer {
            Writer::Own(writer) => writer.prepare(epoch),
            Writer::Ordered { .. } if last => Ok(()),
            Writer::Ordered { shared, shard, .. } => shared.pass(*shard, epoch),
        }
    }
    /// The committables, once durable.
    pub fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        match &mut self.writer {
            Writer::Own(writer) => writer.poll_prepared(),
            Writer::Ordered { .. } if self.preparing_last => Ok(Some(Vec::new())),
            Writer::Ordered { shared, shard, .. } => shared.poll_passed(*shard),
        }
    }
}
