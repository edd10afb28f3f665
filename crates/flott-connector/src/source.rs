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
//! - A reader opened at the position that another one told behind a chunk hands out the records
//!   that follow that chunk, the same ones in the same order. Where it cuts chunks may differ.
//! - Every split that is opened has a number of its own, and a chunk with `SplitTime::finished`
//!   once it is through, if need be one without records.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Diagnostic, Options, Result, RowKind, Schema};
use serde::{Deserialize, Serialize};

use crate::{Clock, MessageParts, Messages, Slices, StopSignal};

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
    /// Whether the rows' event time counts: then splits that are known should be read together, so
    /// that time goes on in all of them, rather than one after the other.
    pub even_time: bool,
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
    /// What it says about the event time of its split and of those behind it.
    pub time: SplitTime,
}

impl Chunk {
    /// A chunk without records, that only says something about time.
    pub fn control(split: Arc<SplitInfo>, sequence: u64, time: SplitTime) -> Self {
        Self { split, sequence, offset: 0, payload: Payload::Rows(0..0), bytes_in: 0, time }
    }
    /// Whether it has no records at all: there is nothing to decode.
    pub fn is_control(&self) -> bool {
        matches!(&self.payload, Payload::Rows(rows) if rows.is_empty())
    }
}

/// What a chunk says about time. Watermarks are made per split; the source's is the least of them.
///
/// ```text
///   split 0:  ▇▇▇▇ finished      no longer counts
///   split 1:       ▇▇▇▇ …        its watermark is the source's,
///   split 2:            (unopened: as long as there is one, the source's doesn't rise)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitTime {
    /// The split's number: counts up as splits are opened, also over a resume.
    pub split_number: u32,
    /// The split ends with this chunk.
    pub finished: bool,
    /// Splits are known that aren't opened yet: what they hold may be older than anything read,
    /// so they hold the watermark back.
    pub unopened: bool,
    /// Nothing has come for [`ReadContext::idle_timeout`]: until the next chunk nobody should wait
    /// for this source.
    pub idle: bool,
    /// Nothing has come for this split alone: until its next chunk it holds nobody back.
    pub split_idle: bool,
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
    /// Whole blocks of a file.
    Blocks(Box<Blocks>),
    /// Messages of a partition of a log.
    Messages(Box<Messages>),
}

/// Whole blocks of a file of [`crate::Framing::Blocks`], not compressed (any more). Records lie at byte ranges
/// of `bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// What stands at the start of the file.
    pub header: Arc<[u8]>,
    /// The blocks, one behind the other.
    pub bytes: Vec<u8>,
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
    /// Of a message: what came with its value.
    pub message: Option<Box<MessageParts>>,
    /// Which change of the record, if it tells of changes and one of them alone is meant.
    pub change: Option<Change>,
}

/// One of the changes that a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it does.
    pub kind: RowKind,
    /// How many of the record's changes before it do the same.
    pub number: u32,
}

/// Records decoded from a chunk.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, of the schema asked for.
    pub batch: RecordBatch,
    /// For each row of `batch`: where its record lies in the chunk's payload. For `Bytes` and `Blocks` a byte
    /// range; for the others `n..n` with the record's number within the chunk.
    /// Empty means: row i is record `first_record + i`.
    pub rows: Vec<Range<u32>>,
    /// What each row does (see `flott_types::RowKind`); none: all are new.
    pub kinds: Option<Int8Array>,
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
            kinds: None,
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
    /// Which part of it can't be read.
    pub part: RecordPart,
}

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordPart {
    /// The record itself; of a message its value.
    #[default]
    Value,
    /// A message's key.
    Key,
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
    /// Decodes messages that came one by one, each a record of its own: the values of a chunk of
    /// [`Payload::Messages`], or its keys. Rows and rejects name their record by its number (`n..n`), in
    /// rising order; a record that holds several changes has several rows of its number, and then every
    /// change counts as read. A null message is no row but `skipped`, unless the format has a row for it.
    ///
    /// # Errors
    /// As [`Decoder::decode`]; `Internal`: the format has no messages.
    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let _ = (messages, chunk, context, emit);
        Err(Diagnostic::error(Code::Internal, "messages came to a decoder of files"))
    }
}

/// How far a reader is behind in a split.
#[derive(Debug, Clone)]
pub struct SplitLag {
    /// The split's number.
    pub split_number: u32,
    /// The split.
    pub split: Arc<SplitInfo>,
    /// Records that are there and not handed out yet.
    pub records: u64,
}

/// What a reader can be asked while it reads, by any thread.
pub trait ReaderFigures: Send + Sync + fmt::Debug {
    /// How far it is behind; splits of which that isn't known are left out.
    fn lag(&self) -> Vec<SplitLag> {
        Vec::new()
    }
    /// What keeps it from reading, in words: half a sentence.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Gives out chunks, in order. Runs on an I/O thread and may block there.
pub trait SourceReader: Send {
    /// The next chunk; `None` at the end of a bounded input, or when the stop signal was given.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`.
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>>;

    /// Where to go on behind the chunk handed out last (before the first one: where it began), for
    /// [`Source::reader`]. JSON; the engine asks after every chunk and keeps the answer at a
    /// barrier, so it should be cheap.
    fn position(&self) -> serde_json::Value;

    /// For whoever asks what a run is doing. Asked once, before the first chunk.
    fn figures(&self) -> Option<Arc<dyn ReaderFigures>> {
        None
    }

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
    /// `table.exec.source.idle-timeout`: how long nothing must come until the source counts as
    /// idle. `None`: never.
    pub idle_timeout: Option<Duration>,
}

/// For readers: notices that nothing has come for [`ReadContext::idle_timeout`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Idleness {
    /// When something came last, or waiting began.
    since: Option<Duration>,
    idle: bool,
}

impl Idleness {
    /// Something has come.
    pub fn ends(&mut self, context: &ReadContext) {
        if context.idle_timeout.is_some() {
            *self = Self { since: Some(context.clock.monotonic()), idle: false };
        }
    }
    /// Whether the source becomes idle now: true once, until something comes.
    pub fn begins(&mut self, now: Duration, context: &ReadContext) -> bool {
        let Some(timeout) = context.idle_timeout.filter(|_| !self.idle) else { return false };
        let since = *self.since.get_or_insert(now);
        self.idle = now.saturating_sub(since) >= timeout;
        self.idle
    }
    /// How long a wait may last so that the source becomes idle in time.
    pub fn shorten(&self, wait: Duration, now: Duration, context: &ReadContext) -> Duration {
        match (context.idle_timeout, self.since) {
            (Some(timeout), Some(since)) if !self.idle => wait.min((since + timeout).saturating_sub(now)),
            _ => wait,
        }
    }
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
    /// Whether a reader can go on exactly where another one was. If not, what was read and not
    /// committed when the run dies is lost.
    fn replays(&self) -> bool {
        false
    }
    /// Starts reading: from the beginning, or behind the place that [`SourceReader::position`] told.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`. `CheckpointUnusable`: what is there now isn't what the
    /// position is a place in.
    fn reader(&self, resume: Option<&serde_json::Value>) -> Result<Box<dyn SourceReader>>;
    /// A decoder for one shard.
    ///
    /// # Errors
    /// What building it needs.
    fn decoder(&self) -> Result<Box<dyn Decoder>>;
    /// A checkpoint that holds this position of the reader is confirmed (called on the job's thread, must
    /// not block): for logs that are told how far their readers have come. What fails is only logged.
    fn confirmed(&self, position: &serde_json::Value) {
        let _ = position;
    }
}
