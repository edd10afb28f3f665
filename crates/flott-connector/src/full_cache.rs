//! A table that is held in memory as a whole, and read again now and then.
//!
//! ```text
//!   loader thread   read all ─► index ─► swap ─── interval ───► read all ─► index ─► swap …
//!                                         │                       ✗ fails: the old content stays
//!   shards          not ready ──────────► look-ups in the content that was there when they were asked
//! ```
//!
//! Any [`Source`] with an end can be looked up through it.
//!
//! Invariants
//! - A look-up sees one content, whole: never parts of an old and a new one.
//! - A content is the table as a whole read of the source gave it. A source of changes is folded: the
//!   content is what the changes amount to.
//! - What can't be read at the first load fails the run; later failures are counted and warned of, and
//!   fail the run only with [`ReloadFailure::Fail`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, Int8Array, UInt32Array},
    buffer::NullBuffer,
    compute::{concat_batches, filter_record_batch, take, take_record_batch},
    datatypes::SchemaRef,
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
    row::{RowConverter, Rows, SortField},
};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Diagnostic, Result, RowKind, Schema};
use twox_hash::XxHash3_64;

use crate::{
    Answer, BufferPool, Clock, Found, LookupClient, LookupRetry, LookupStatus, LookupTable, ReadContext,
    Source, StopSignal, Wake,
    io::{self, Thread},
};

/// What happens when a table can't be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReloadFailure {
    /// The old content stays.
    #[default]
    Keep,
    /// The run fails.
    Fail,
}

/// How a table is cached.
#[derive(Clone)]
pub struct CacheSettings {
    /// Its name, for messages.
    pub name: String,
    /// What is read: first the columns that are wanted, then others that keys need.
    pub schema: Schema,
    /// How many columns are wanted.
    pub wanted: usize,
    /// Positions in `schema` of the columns that are compared.
    pub keys: Vec<usize>,
    /// Positions in `schema` of the primary key, for a source that tells changes by it (upsert).
    pub upsert_key: Option<Vec<usize>>,
    /// A predicate over `schema` that the source does not apply.
    pub filter: Option<Program>,
    /// From the end of one load to the next; none: it is read once.
    pub interval: Option<Duration>,
    /// Tries of a load that fails.
    pub retry: LookupRetry,
    /// What happens when they all fail.
    pub on_failure: ReloadFailure,
    /// Bad records fail the load; else they are counted.
    pub strict: bool,
    /// Time zone, clock reading, seed.
    pub context: EvalContext,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The table.
pub struct FullCache {
    shared: Arc<Shared>,
    // Joined when the table is dropped, behind the signal.
    thread: Option<Thread>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts contents, so that clients need no lock to see that nothing is new.
    version: AtomicU64,
    stop: StopSignal,
}

#[derive(Default)]
struct State {
    content: Option<Arc<Content>>,
    failed: Option<Box<Diagnostic>>,
    status: LookupStatus,
    wakes: Vec<Wake>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Shows a change to all clients.
    fn publish(&self, change: impl FnOnce(&mut State)) {
        let wakes = {
            let mut state = self.lock();
            change(&mut state);
            self.version.fetch_add(1, Ordering::Release);
            state.wakes.clone()
        };
        wakes.iter().for_each(|wake| wake());
    }
}

impl FullCache {
    /// Begins to read, on a thread of its own.
    ///
    /// # Errors
    /// `Internal`: no thread.
    pub fn start(source: Arc<dyn Source>, settings: CacheSettings) -> Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), version: AtomicU64::new(0), stop: StopSignal::new() });
        let loader = Loader { source, settings, shared: shared.clone() };
        let thread = io::spawn(format!("lookup-{}", loader.settings.name), move || loader.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for FullCache {
    fn drop(&mut self) {
        self.shared.stop.stop();
        drop(self.thread.take());
    }
}

impl LookupTable for FullCache {
    fn client(&self, wake: Wake) -> Result<Box<dyn LookupClient>> {
        self.shared.lock().wakes.push(wake);
        Ok(Box::new(CacheClient {
            shared: self.shared.clone(),
            version: 0,
            content: None,
            answers: VecDeque::new(),
        }))
    }
    fn status(&self) -> LookupStatus {
        self.shared.lock().status
    }
}

struct CacheClient {
    shared: Arc<Shared>,
    version: u64,
    content: Option<Arc<Content>>,
    answers: VecDeque<Answer>,
}

impl CacheClient {
    fn refresh(&mut self) -> Result<()> {
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            let state = self.shared.lock();
            self.content.clone_from(&state.content);
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
        }
        Ok(())
    }
}

impl LookupClient for CacheClient {
    fn is_ready(&mut self) -> Result<bool> {
        self.refresh()?;
        Ok(self.content.is_some())
    }
    fn ask(&mut self, number: u64, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.refresh()?;
        let Some(content) = &self.content else {
            return Err(Diagnostic::error(Code::Internal, "a table is asked before it is ready"));
        };
        self.answers.push_back(Answer { number, found: content.find(keys, rows) });
        Ok(())
    }
    fn poll(&mut self) -> Result<Option<Answer>> {
        Ok(self.answers.pop_front())
    }
}

/// No further row with the key.
const NONE: u32 = u32::MAX;

/// Rows by key.
struct Content {
    /// The wanted columns.
    rows: RecordBatch,
    converter: RowConverter,
    keys: Rows,
    /// By hash: the first row of a key, or [`NONE`]. A power of two, at most half full.
    places: Vec<u32>,
    /// The next row of the same key.
    next: Vec<u32>,
}

impl Content {
    fn new(all: &RecordBatch, settings: &CacheSettings) -> Result<Self> {
        let columns = columns(all, &settings.keys)?;
        let fields = columns.iter().map(|it| SortField::new(it.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(failed)?;
        let keys = converter.convert_columns(&columns).map_err(failed)?;
        let count = all.num_rows();
        if count >= NONE as usize {
            let message = format!("table '{}' has too many rows to be held in memory", settings.name);
            return Err(Diagnostic::error(Code::RecordTooLarge, message));
        }
        let wanted: Vec<usize> = (0..settings.wanted).collect();
        let mut content = Self {
            rows: all.project(&wanted).map_err(failed)?,
            converter,
            keys,
            places: vec![NONE; (count * 2).next_power_of_two().max(2)],
            next: vec![NONE; count],
        };
        let nulls = null_keys(&columns, count);
        // From the last on, so that each key's rows are met in their order.
        for row in (0..count as u32).rev().filter(|row| !nulls.is_null(*row as usize)) {
            let place = content.place(content.keys.row(row as usize).data());
            if let (Some(first), Some(next)) =
                (content.places.get_mut(place), content.next.get_mut(row as usize))
            {
                *next = std::mem::replace(first, row);
            }
        }
        Ok(content)
    }

    /// Where the key's first row stands, or would.
    fn place(&self, key: &[u8]) -> usize {
        let mask = self.places.len() - 1;
        let mut place = XxHash3_64::oneshot(key) as usize & mask;
        while let Some(&row) = self.places.get(place) {
            if row == NONE || self.keys.row(row as usize).data() == key {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<Found> {
        let wanted = self.converter.convert_columns(keys).map_err(failed)?;
        let nulls = null_keys(keys, rows);
        let (mut found, mut taken) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for key in (0..rows).filter(|key| !nulls.is_null(*key)) {
            let mut row = self.places.get(self.place(wanted.row(key).data())).copied().unwrap_or(NONE);
            while row != NONE {
                found.push(key as u32);
                taken.push(row);
                row = self.next.get(row as usize).copied().unwrap_or(NONE);
            }
        }
        let taken = UInt32Array::from(taken);
        let columns = self.rows.columns().iter().map(|column| take(column, &taken, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // There may be no column.
        let count = RecordBatchOptions::new().with_row_count(Some(taken.len()));
        let rows = RecordBatch::try_new_with_options(self.rows.schema(), columns, &count).map_err(failed)?;
        Ok(Found { keys: UInt32Array::from(found), rows })
    }
}

/// Which keys have a NULL in them.
fn null_keys(columns: &[ArrayRef], rows: usize) -> NullBuffer {
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    nulls.unwrap_or_else(|| NullBuffer::new_valid(rows))
}

fn columns(batch: &RecordBatch, positions: &[usize]) -> Result<Vec<ArrayRef>> {
    let column = |at: &usize| batch.columns().get(*at).cloned();
    positions.iter().map(column).collect::<Option<Vec<_>>>().ok_or_else(|| {
        Diagnostic::error(Code::Internal, "a table is looked up by a column that was not read")
    })
}

fn failed(error: ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("a table that is looked up could not be held: {error}"))
}

/// Reads the table, again and again.
struct Loader {
    source: Arc<dyn Source>,
    settings: CacheSettings,
    shared: Arc<Shared>,
}

/// A table as it was read.
struct Loaded {
    content: Content,
    bad_records: u64,
}

impl Loader {
    fn run(&self) {
        let mut first = true;
        loop {
            match self.load_with_retries(first) {
                Ok(None) => return,
                Ok(Some(loaded)) => {
                    let rows = loaded.content.rows.num_rows() as u64;
                    tracing::info!(table = self.settings.name.as_str(), rows, "lookup table loaded");
                    if loaded.bad_records > 0 {
                        tracing::warn!(
                            table = self.settings.name.as_str(),
                            records = loaded.bad_records,
                            "records of a lookup table cannot be read and are left out"
                        );
                    }
                    let content = Arc::new(loaded.content);
                    self.shared.publish(|state| {
                        state.content = Some(content);
                        state.status.rows = rows;
                        state.status.loads += 1;
                        state.status.bad_records = loaded.bad_records;
                    });
                    first = false;
                }
                Err(error) if first || self.settings.on_failure == ReloadFailure::Fail => {
                    self.shared.publish(|state| state.failed = Some(error));
                    return;
                }
                Err(_) => {}
            }
            let Some(interval) = self.settings.interval else { return };
            if self.shared.stop.wait(interval) {
                return;
            }
        }
    }

    /// None: the run is over.
    fn load_with_retries(&self, first: bool) -> Result<Option<Loaded>> {
        let mut tries = 0;
        loop {
            match self.load() {
                Ok(_) if self.shared.stop.is_stopped() => return Ok(None),
                Ok(loaded) => return Ok(Some(loaded)),
                Err(_) if self.shared.stop.is_stopped() => return Ok(None),
                Err(error) => {
                    self.shared.lock().status.failed_loads += 1;
                    let stays = if first { "" } else { "; its old rows stay" };
                    tracing::warn!(
                        table = self.settings.name.as_str(),
                        "lookup table cannot be read: {}{stays}",
                        error.message
                    );
                    // The first time nothing is there to go on with: the user hears of it at once.
                    if first || tries >= self.settings.retry.attempts_max {
                        return Err(error);
                    }
                    tries += 1;
                }
            }
            if self.shared.stop.wait(self.settings.retry.delay) {
                return Ok(None);
            }
        }
    }

    fn load(&self) -> Result<Loaded> {
        let context = ReadContext {
            buffers: BufferPool::default(),
            stop: self.shared.stop.clone(),
            clock: self.settings.clock.clone(),
            idle_timeout: None,
        };
        let mut eval = self.settings.context.clone();
        eval.now_micros = self.settings.clock.now_micros();
        let (mut reader, mut decoder) = (self.source.reader(None)?, self.source.decoder()?);
        let (mut batches, mut kinds, mut bad_records) = (Vec::new(), Vec::new(), 0);
        while let Some(chunk) = reader.next_chunk(&context)? {
            if chunk.is_control() {
                continue;
            }
            let split = chunk.split.name.clone();
            decoder.decode(&chunk, &eval, &mut |decoded| {
                if let Some(reject) = decoded.rejected.first().filter(|_| self.settings.strict) {
                    let message = format!("'{split}': {}", reject.message);
                    return Err(Diagnostic::error(reject.code, message));
                }
                bad_records += decoded.rejected.len() as u64;
                kinds.push((decoded.kinds, decoded.batch.num_rows()));
                batches.push(decoded.batch);
                Ok(())
            })?;
            if let crate::Payload::Bytes(buffer) = chunk.payload {
                context.buffers.give(buffer);
            }
        }
        let mut all = concat_batches(&self.schema(&batches), &batches).map_err(failed)?;
        drop(batches);
        if kinds.iter().any(|it| it.0.is_some()) || self.settings.upsert_key.is_some() {
            let rows = fold(&all, &kinds, self.settings.upsert_key.as_deref())?;
            all = take_record_batch(&all, &rows).map_err(failed)?;
        }
        if let Some(filter) = &self.settings.filter {
            let mask = filter.evaluate_predicate(&all, &eval);
            let mask = mask.map_err(|error| Diagnostic::error(error.code, error.message))?;
            all = filter_record_batch(&all, &mask).map_err(failed)?;
        }
        Ok(Loaded { content: Content::new(&all, &self.settings)?, bad_records })
    }

    /// As decoders made it, or as declared if nothing was read.
    fn schema(&self, batches: &[RecordBatch]) -> SchemaRef {
        batches.first().map_or_else(|| self.settings.schema.arrow_schema(), RecordBatch::schema)
    }
}

/// The rows that are left when all changes are made, in the order they came. `key`: a row replaces an
/// earlier one with the same values there; without one a retraction takes back one equal row.
fn fold(
    all: &RecordBatch,
    kinds: &[(Option<Int8Array>, usize)],
    key: Option<&[usize]>,
) -> Result<UInt32Array> {
    let whole: Vec<usize> = (0..all.num_columns()).collect();
    let compared = columns(all, key.unwrap_or(&whole))?;
    let fields = compared.iter().map(|it| SortField::new(it.data_type().clone())).collect();
    let ids = RowConverter::new(fields).and_then(|it| it.convert_columns(&compared)).map_err(failed)?;
    let kind = |at: usize, kinds: &Option<Int8Array>| {
        kinds.as_ref().and_then(|kinds| kinds.values().get(at).copied()).unwrap_or(RowKind::Insert.number())
    };
    let kinds = kinds.iter().flat_map(|(kinds, rows)| (0..*rows).map(move |at| kind(at, kinds)));
    let mut live: HashMap<&[u8], Vec<u32>> = HashMap::new();
    for (row, kind) in (0_u32..).zip(kinds) {
        let rows = live.entry(ids.row(row as usize).data()).or_default();
        let adds = kind == RowKind::Insert.number() || kind == RowKind::UpdateAfter.number();
        if !adds || key.is_some() {
            rows.pop();
        }
        if adds {
            rows.push(row);
        }
    }
    let mut left: Vec<u32> = live.into_values().flatten().collect();
    left.sort_unstable();
    Ok(UInt32Array::from(left))
}

#[cfg(test)]
mod tests;
