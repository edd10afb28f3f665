//! A shard: one thread that takes chunks, decodes them, and pushes what comes of them through its
//! own copy of the pipeline.
//!
//! ```text
//!   ┌─► sinks ready? ─no─► wait a little ─┐
//!   │       │ yes                         │
//!   │   next chunk of any source          │
//!   │       │                             │
//!   │   decode ─► per edge: calc ─► sink  │
//!   └───────┴─────────────────────────────┘   all inputs ended ─► prepare ─► committables
//! ```

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Select};
use flott_connector::{
    BufferPool, Chunk, Clock, Committable, DeadLetter, DeadLetterQueue, Decoded, Decoder, OnError, Payload,
    Reject, Stage,
};
use flott_expr::{EvalContext, EvalError};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    accounting::{Counters, add},
    calc::RejectRow,
    event::{Event, Lineage, Operator, Rows, record_of},
    job::Failure,
    sink::SinkTask,
    values,
};

/// Without checkpoints a run is one epoch.
pub const LAST_EPOCH: u64 = 1;

/// How long a shard waits for a sink that isn't ready before it looks again.
const SINK_WAIT: Duration = Duration::from_micros(200);

/// A source as one shard sees it.
pub struct Input {
    /// Index in the plan's sources.
    pub index: usize,
    /// Chunks, shared with the other shards.
    pub chunks: Receiver<Chunk>,
    /// This shard's decoder.
    pub decoder: Box<dyn Decoder>,
    /// What happens to bad records.
    pub policy: Policy,
    /// The edges out of it, with this shard's operators.
    pub edges: Vec<EdgeTask>,
}

/// An edge from a source to a sink on one shard.
pub struct EdgeTask {
    /// Index in the counters' edges.
    pub edge: usize,
    /// The operator; `None`: rows go straight on.
    pub operator: Option<Box<dyn Operator>>,
    /// Position in [`Shard::sinks`].
    pub sink: usize,
}

impl EdgeTask {
    /// Through the operator, if there is one.
    fn on_event(&mut self, event: Event<'_>, emit: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match &mut self.operator {
            Some(operator) => operator.on_event(event, emit),
            None => emit(event),
        }
    }
}

/// What happens to a source's bad records.
#[derive(Clone)]
pub struct Policy {
    /// The source's name.
    pub source: String,
    /// `'on-error'`
    pub on_error: OnError,
    /// Where letters go.
    pub queue: Arc<DeadLetterQueue>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub counters: Arc<Counters>,
}

impl Policy {
    /// Counts a bad record on these edges, and keeps, forgets or stops.
    fn bad_record(
        &self,
        edges: &mut dyn Iterator<Item = usize>,
        stage: Stage,
        error: (Code, String),
        record: &mut dyn FnMut() -> (flott_connector::Origin, Vec<u8>),
        sinks: Vec<String>,
    ) -> Result<()> {
        match self.on_error {
            OnError::Fail => {
                let (origin, bytes) = record();
                return Err(self.fatal(&error, &origin, &bytes));
            }
            OnError::Skip => edges.for_each(|edge| add(&self.counters.edges[edge].skipped, 1)),
            OnError::DeadLetter => {
                let (origin, bytes) = record();
                let letter = DeadLetter {
                    time_micros: self.clock.now_micros(),
                    source: self.source.clone(),
                    stage,
                    code: error.0,
                    message: error.1,
                    origin,
                    bytes,
                    sinks,
                };
                self.queue.send(std::slice::from_ref(&letter))?;
                add(&self.counters.dead_letters, 1);
                edges.for_each(|edge| add(&self.counters.edges[edge].dead_lettered, 1));
            }
        }
        Ok(())
    }

    fn fatal(
        &self,
        error: &(Code, String),
        origin: &flott_connector::Origin,
        bytes: &[u8],
    ) -> Box<Diagnostic> {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        if origin.split == values::NAME {
            // Constants have no options that could say otherwise.
            return Diagnostic::error(
                error.0,
                format!("row {} of VALUES or SELECT: {}", origin.offset + 1, error.1),
            );
        }
        let place = format!("{} at {}", origin.split, origin.offset);
        let message = format!("source '{}', {place}: {}", self.source, error.1);
        let it = Diagnostic::error(error.0, message)
            .help("set 'on-error' = 'dead-letter' on the source to keep such records aside and go on");
        if shown.is_empty() { it } else { it.help(format!("the record: {shown}")) }
    }
}

/// Rejects rows of one edge.
pub struct EdgeReject {
    /// The source's policy.
    pub policy: Policy,
    /// The edge.
    pub edge: usize,
    /// The sink that doesn't get the row.
    pub sinks: Vec<String>,
    /// Writes a row as JSON, for sources without bytes.
    pub describe: Arc<dyn Fn(&arrow::record_batch::RecordBatch) -> Vec<u8> + Send + Sync>,
}

impl RejectRow for EdgeReject {
    fn reject(
        &mut self,
        batch: &arrow::record_batch::RecordBatch,
        lineage: Option<Lineage<'_>>,
        error: EvalError,
    ) -> Result<()> {
        let describe = &self.describe;
        let mut record = || {
            let (origin, mut bytes) = lineage.map_or_else(Default::default, |lineage| lineage.record(0));
            if bytes.is_empty() {
                bytes = describe(batch);
            }
            (origin, bytes)
        };
        let mut edges = std::iter::once(self.edge);
        self.policy.bad_record(
            &mut edges,
            Stage::Evaluate,
            (error.code, error.message),
            &mut record,
            self.sinks.clone(),
        )
    }
}

/// A shard.
pub struct Shard {
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// Its sinks.
    pub sinks: Vec<SinkTask>,
    /// Buffers go back here.
    pub buffers: BufferPool,
    /// Time zone, clock, seed.
    pub context: EvalContext,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Given when the run fails: do no more.
    pub failure: Failure,
    /// `execution.buffer-timeout.interval`
    pub buffer_timeout: Duration,
    /// Counters.
    pub counters: Arc<Counters>,
}

impl Shard {
    /// Works until all inputs have ended; returns each sink's committables.
    ///
    /// # Errors
    /// What stops the run.
    pub fn run(mut self) -> Result<Vec<(usize, Vec<Committable>)>> {
        let mut flushed = self.clock.monotonic();
        loop {
            if self.failure.is_set() {
                return Ok(Vec::new());
            }
            if !self.sinks.iter_mut().all(SinkTask::is_ready) {
                self.failure.wait(SINK_WAIT);
                continue;
            }
            match self.next_chunk() {
                Next::Chunk(input, chunk) => self.chunk(input, chunk)?,
                Next::Nothing => {}
                Next::Ended => break,
            }
            let now = self.clock.monotonic();
            if now.saturating_sub(flushed) >= self.buffer_timeout {
                flushed = now;
                self.sinks.iter_mut().try_for_each(SinkTask::flush)?;
                self.inputs.iter().try_for_each(|input| input.policy.queue.flush())?;
            }
        }
        self.finish()
    }

    /// The next chunk of any source, waiting at most the buffer timeout.
    fn next_chunk(&self) -> Next {
        let mut select = Select::new();
        for input in &self.inputs {
            select.recv(&input.chunks);
        }
        let mut open = self.inputs.len();
        while open > 0 {
            let Ok(ready) = select.select_timeout(self.buffer_timeout.max(Duration::from_millis(1))) else {
                return Next::Nothing;
            };
            let index = ready.index();
            match ready.recv(&self.inputs[index].chunks) {
                Ok(chunk) => return Next::Chunk(index, chunk),
                Err(_) => {
                    select.remove(index);
                    open -= 1;
                }
            }
        }
        Next::Ended
    }

    fn chunk(&mut self, index: usize, chunk: Chunk) -> Result<()> {
        self.context.now_micros = self.clock.now_micros();
        self.context.random_seed = self.context.random_seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let Shard { inputs, sinks, context, counters, .. } = self;
        let Input { index: source, decoder, policy, edges, .. } = &mut inputs[index];
        if !chunk.is_control() {
            decoder.decode(&chunk, context, &mut |decoded| {
                deliver(*source, &chunk, decoded, policy, edges, sinks, counters)
            })?;
        }
        // Once per sink, however many edges lead there (UNION ALL of a table with itself).
        for (at, edge) in edges.iter().enumerate() {
            if edges.iter().take(at).all(|before| before.sink != edge.sink) {
                sinks[edge.sink].chunk_done(*source, chunk.sequence)?;
            }
        }
        if let Payload::Bytes(bytes) = chunk.payload {
            self.buffers.give(bytes);
        }
        Ok(())
    }

    /// All inputs have ended: the last barrier, then the end, go through every operator, and every
    /// sink prepares the epoch that the barrier closes.
    fn finish(mut self) -> Result<Vec<(usize, Vec<Committable>)>> {
        let Shard { inputs, sinks, .. } = &mut self;
        for edge in inputs.iter_mut().flat_map(|input| &mut input.edges) {
            let (id, sink) = (edge.edge, &mut sinks[edge.sink]);
            for signal in [Event::Barrier(LAST_EPOCH), Event::End] {
                edge.on_event(signal, &mut |event| match event {
                    Event::Rows(rows) => sink.write(id, rows.batch),
                    Event::Watermark(_) | Event::Barrier(_) | Event::End => Ok(()),
                })?;
            }
        }
        self.inputs.clear();
        for sink in &mut self.sinks {
            sink.finish()?;
            sink.prepare(LAST_EPOCH)?;
        }
        let mut prepared = Vec::new();
        for sink in &mut self.sinks {
            loop {
                if let Some(committables) = sink.poll_prepared()? {
                    prepared.push((sink.index, committables));
                    break;
                }
                if self.failure.is_set() {
                    return Ok(Vec::new());
                }
                self.failure.wait(SINK_WAIT);
            }
        }
        Ok(prepared)
    }
}

enum Next {
    Chunk(usize, Chunk),
    Nothing,
    Ended,
}

/// Counts what a decoder handed over and pushes its rows along every edge.
fn deliver(
    source: usize,
    chunk: &Chunk,
    decoded: Decoded,
    policy: &Policy,
    edges: &mut [EdgeTask],
    sinks: &mut [SinkTask],
    counters: &Counters,
) -> Result<()> {
    add(&counters.sources[source].read, decoded.read);
    add(&counters.sources[source].nulled, decoded.nulled);
    for edge in edges.iter() {
        let counts = &counters.edges[edge.edge];
        add(&counts.input, decoded.read);
        add(&counts.filtered, decoded.filtered);
        add(&counts.skipped, decoded.skipped);
    }
    for reject in &decoded.rejected {
        reject_record(chunk, reject, policy, edges, counters)?;
    }
    if decoded.batch.num_rows() == 0 {
        return Ok(());
    }
    let lineage = Lineage::of(chunk, &decoded);
    for edge in edges {
        let (id, sink) = (edge.edge, &mut sinks[edge.sink]);
        let rows = Event::Rows(Rows { batch: decoded.batch.clone(), lineage: Some(lineage) });
        let mut write = |event: Event<'_>| match event {
            Event::Rows(rows) => sink.write(id, rows.batch),
            Event::Watermark(_) | Event::Barrier(_) | Event::End => Ok(()),
        };
        edge.on_event(rows, &mut write)?;
    }
    Ok(())
}

fn reject_record(
    chunk: &Chunk,
    reject: &Reject,
    policy: &Policy,
    edges: &[EdgeTask],
    counters: &Counters,
) -> Result<()> {
    let stage = if reject.code == Code::EvaluationFailed { Stage::Evaluate } else { Stage::Decode };
    let mut record = || record_of(chunk, &reject.record);
    let mut ids = edges.iter().map(|edge| edge.edge);
    let name = |edge: &EdgeTask| counters.sinks[counters.edges[edge.edge].sink].name.clone();
    let mut sinks: Vec<String> = edges.iter().map(name).collect();
    sinks.dedup();
    policy.bad_record(&mut ids, stage, (reject.code, reject.message.clone()), &mut record, sinks)
}
