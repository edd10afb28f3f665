//! Looking up: tables that are asked for the rows of a key while a job runs.
//!
//! ```text
//!   shard                                        anywhere
//!   LookupClient ── ask(7, keys of 8192 rows) ──► a cache, a connection, a pool of them
//!                ◄─ wake ─────────────────────────┘
//!                ── poll ──► Answer 7: which keys, which rows
//! ```
//!
//! Invariants
//! - Nothing here blocks: `ask` hands over, `poll` takes what has come.
//! - Every request is answered exactly once, with an error if it can't be otherwise; answers may come in
//!   any order.
//! - A key with a NULL in it finds nothing.
//! - Only rows for which [`LookupRequest::filter`] is TRUE are found.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, UInt32Array},
    record_batch::RecordBatch,
};
use flott_expr::{EvalContext, Program};
use flott_types::{Options, Result, Schema};

use crate::Clock;

/// What a join wants from a table.
#[derive(Clone)]
pub struct LookupRequest {
    /// Positions in `TableDescription::columns` of those that are compared, in the order of the keys.
    pub keys: Vec<usize>,
    /// Positions of the columns that are wanted, in the order wanted. May be empty.
    pub projection: Vec<usize>,
    /// Those as a schema: what is found has exactly these.
    pub schema: Schema,
    /// A predicate over the wanted columns.
    pub filter: Option<Program>,
    /// The `LOOKUP` hint's retries, for tables that retry on their own (a reload that fails).
    pub retry: Option<LookupRetry>,
    /// Upper bound for rows in a batch.
    pub batch_rows: usize,
    /// The job's options (`table.local-time-zone`, …).
    pub job_options: Options,
    /// Time zone, clock reading, seed.
    pub context: EvalContext,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// How often and after how long something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupRetry {
    /// Between two tries.
    pub delay: Duration,
    /// Tries after the first.
    pub attempts_max: u32,
}

/// Called, from any thread, when an answer has come or a client has become ready.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A table that can be asked.
pub trait LookupTable: Send + Sync {
    /// A client for one shard.
    ///
    /// # Errors
    /// What building it needs.
    fn client(&self, wake: Wake) -> Result<Box<dyn LookupClient>>;
    /// What it has done so far, for the summary.
    fn status(&self) -> LookupStatus;
}

/// What a table has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookupStatus {
    /// Rows in the cache now.
    pub rows: u64,
    /// Times that the cache was filled.
    pub loads: u64,
    /// Times that it could not be.
    pub failed_loads: u64,
    /// Records of the last load that could not be read.
    pub bad_records: u64,
}

/// One shard's way to ask.
pub trait LookupClient: Send {
    /// Whether it can be asked yet: not while a cache is filled for the first time.
    ///
    /// # Errors
    /// It never will be, or the table has failed since.
    fn is_ready(&mut self) -> Result<bool>;
    /// Asks for the rows of `rows` keys, one array for each of [`LookupRequest::keys`]. `number` is the
    /// asker's own, for the answer.
    ///
    /// # Errors
    /// `Internal`: keys of other types.
    fn ask(&mut self, number: u64, keys: &[ArrayRef], rows: usize) -> Result<()>;
    /// An answer that has come, if there is one.
    ///
    /// # Errors
    /// The table has failed as a whole.
    fn poll(&mut self) -> Result<Option<Answer>>;
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// Of the request.
    pub number: u64,
    /// What was found.
    pub found: Result<Found>,
}

/// Rows and the keys that they belong to.
#[derive(Debug, Clone)]
pub struct Found {
    /// For each row: which of the request's keys it belongs to. Never falls.
    pub keys: UInt32Array,
    /// The rows.
    pub rows: RecordBatch,
}
