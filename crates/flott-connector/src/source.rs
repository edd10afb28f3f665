//! Reading: splits are cut into chunks on I/O threads, chunks are decoded on shards.
//!
//! ```text
//!   Source ─ reader() ─► SourceReader ── Chunk 0, 1, 2 … ──► any idle shard: Decoder ──► Decoded
//!            decoder() ─► one Decoder per shard
//! ```
//!
//! Invariants
//! - A reader hands out chunks in order; `Chunk::sequence` counts up by one from 0.
//! - A chunk holds whole records only, so chunks decode independently of each other.
//! - Every record of a chunk ends up in exactly one of `Decoded::batch`, `filtered`,
//!   `skipped` or `rejected`: `read` is their sum. Row accounting depends on it.
//! - Readers block only on their own thread; decoders never block.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::record_batch::RecordBatch;
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Options, Result, Schema};

use crate::{Clock, StopSignal};

/// What happens to a record that can't be decoded or evaluated (`'on-error'`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The run stops.
    Fail,
    /// The record is counted and forgotten.
    Skip,
    /// The record goes to the dead-letter queue. The default.
    #[default]
    DeadLetter,
}

impl OnError {
    /// The table's `'on-error'` option.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn from_options(options: &Options) -> Result<Self> {
        let parse = |text: &str| match text {
            "fail" => Ok(OnError::Fail),
            "skip" => Ok(OnError::Skip),
            "dead-letter" => Ok(OnError::DeadLetter),
            _ => Err("expected one of fail, skip, dead-letter".to_string()),
        };
        Ok(options.parsed("on-error", parse)?.unwrap_or_default())
    }
}

/// What the plan wants from a table.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Positions in `TableDescription::columns` of the columns wanted, in the order wanted.
    /// May be empty: only the number of rows counts.
    pub projection: Vec<usize>,
    /// Those columns as a schema: batches have exactly these.
    pub schema: Schema,
    /// A predicate over the projected columns that the decoder may apply (it then counts
    /// `filtered`). If `Source::applies_filter` is false the engine applies it itself.
    pub filter: Option<Program>,
    /// Upper bound for rows in a batch.
    pub batch_rows: usize,
    /// How many shards will read.
    pub parallelism: usize,
    /// The job's options (`table.local-time-zone`, …).
    pub job_options: Options,
}

/// A piece of a split: whole records, in order.
#[derive(Debug)]
pub struct Chunk {
    /// Which split it is of.
    pub split: Arc<SplitInfo>,
    /// Counts up from 0 over the whole reader.
    pub sequence: u64,
    /// Position of its first record in the split: a byte offset for text, a row number otherwise.
    pub offset: u64,
    /// What it holds.
    pub payload: Payload,
    /// Bytes read from outside for it (compressed size where compressed).
    pub bytes_in: u64,
}

/// What a chunk holds.
#[derive(Debug)]
pub enum Payload {
    /// Whole records as bytes.
    Bytes(Vec<u8>),
    /// Bytes of single records whose places in the original are known: a replay of dead letters.
    Records(Vec<(Vec<u8>, Origin)>),
    /// Row numbers to generate.
    Rows(Range<u64>),
    /// A row group of a columnar file, by its number.
    RowGroup(usize),
}

/// A split: a file, a partition, a generator's share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitInfo {
    /// The split's name for users: a path, `stdin`, `datagen`.
    pub name: String,
    /// Size in bytes, if it is known.
    pub size: Option<u64>,
    /// Last modification of a file, milliseconds since the epoch.
    pub modified_millis: Option<i64>,
    /// Values of partition columns that stand in the path (`dt=2026-01-01`): name, text (`None`: NULL).
    pub partition: Vec<(String, Option<String>)>,
}

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The split's name.
    pub split: String,
    /// Byte offset of the record for text, row number otherwise.
    pub offset: u64,
}

/// Records decoded from a chunk.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, of the schema asked for.
    pub batch: RecordBatch,
    /// For each row of `batch`: where its record lies in the chunk's payload. For `Bytes` a byte
    /// range; for the others `n..n` with the record's number within the chunk.
    /// Empty means: row i is record `first_record + i`.
    pub rows: Vec<Range<u32>>,
    /// The number within the chunk of the record of row 0, when `rows` is empty.
    pub first_record: u32,
    /// Records read: rows in `batch` + `filtered` + `skipped` + `rejected`.
    pub read: u64,
    /// Records that the pushed-down filter dropped.
    pub filtered: u64,
    /// Records dropped by the format's own `ignore-parse-errors`.
    pub skipped: u64,
    /// Fields that the format's own `ignore-parse-errors` made NULL.
    pub nulled: u64,
    /// Records that can't be decoded.
    pub rejected: Vec<Reject>,
}

impl Decoded {
    /// A batch whose rows are the records from `first_record` on, none lost.
    pub fn all(batch: RecordBatch, first_record: u32) -> Self {
        let read = batch.num_rows() as u64;
        Self {
            batch,
            rows: Vec::new(),
            first_record,
            read,
            filtered: 0,
            skipped: 0,
            nulled: 0,
            rejected: Vec::new(),
        }
    }
}

/// A record that can't be decoded, or whose evaluation in the pushed-down filter fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where the record lies in the chunk (as in [`Decoded::rows`]).
    pub record: Range<u32>,
    /// `DecodeFailed`, `RecordTooLarge`, `EvaluationFailed`.
    pub code: Code,
    /// What is wrong with it.
    pub message: String,
}

/// Turns chunks into batches. One per shard, reused for every chunk.
pub trait Decoder: Send {
    /// Decodes a whole chunk, handing over batches of at most `ScanRequest::batch_rows` rows.
    ///
    /// # Errors
    /// Only what no record can be blamed for (an I/O error, a damaged columnar file). A bad
    /// record is a [`Reject`].
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()>;
}

/// Gives out chunks, in order. Runs on an I/O thread and may block there.
pub trait SourceReader: Send {
    /// The next chunk; `None` at the end of a bounded input, or when the stop signal was given.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`.
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>>;

    /// Bytes in all, when known: for progress.
    fn total_bytes(&self) -> Option<u64> {
        None
    }
}

/// What a reader gets from the engine.
#[derive(Clone)]
pub struct ReadContext {
    /// Buffers to reuse.
    pub buffers: BufferPool,
    /// The run is stopping.
    pub stop: StopSignal,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Byte buffers that go round: reader → decoder → back. Fresh memory costs page faults, which
/// cost more than decoding does.
#[derive(Debug, Clone, Default)]
pub struct BufferPool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Buffers kept for reuse at the most; more are freed.
const POOLED_BUFFERS_MAX: usize = 16;
/// Larger buffers (one very long line) aren't kept.
const POOLED_CAPACITY_MAX: usize = 8 << 20;

impl BufferPool {
    /// An empty buffer, used before if there is one.
    pub fn take(&self) -> Vec<u8> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > POOLED_CAPACITY_MAX {
            return;
        }
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < POOLED_BUFFERS_MAX {
            free.push(buffer);
        }
    }
}

/// A table ready to be read.
pub trait Source: Send + Sync {
    /// Whether the input ends by itself.
    fn is_bounded(&self) -> bool;
    /// Whether decoders apply `ScanRequest::filter`.
    fn applies_filter(&self) -> bool {
        false
    }
    /// Starts reading from the beginning.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`.
    fn reader(&self) -> Result<Box<dyn SourceReader>>;
    /// A decoder for one shard.
    ///
    /// # Errors
    /// What building it needs.
    fn decoder(&self) -> Result<Box<dyn Decoder>>;
}
