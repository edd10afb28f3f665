//! Gives out row numbers, at a steady rate if one is asked for.
//!
//! Row n is due n / rate seconds after the first. A chunk is given out when its first row is due,
//! ten chunks a second or more, so the rate is smooth; after a jam the rows that are overdue
//! follow at once. A reader that goes on at a later row counts the time from that row on.
//!
//! Values depend on their row's number alone, so the number is all that a position has to hold.

use std::{ops::Range, sync::Arc, time::Duration};

use arrow::{
    array::ArrayRef,
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{Chunk, Idleness, Payload, ReadContext, SourceReader, SplitInfo, SplitTime};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

/// Rows in a chunk at the most.
const CHUNK_ROWS_MAX: u64 = 32 << 10;
/// Chunks a second at the least.
const CHUNKS_PER_SECOND: u64 = 10;
/// Chunks a second at the most, if a rate is given: so closely rows follow their due time.
const CHUNKS_PER_SECOND_MAX: u64 = 200;
/// Rows worth a chunk of their own, even if more than [`CHUNKS_PER_SECOND`] are made.
const CHUNK_ROWS_MIN: u64 = 10;

/// Rows that come at once at this rate.
fn rows_at_once(rate: u64) -> u64 {
    let few = CHUNK_ROWS_MIN.min(rate / CHUNKS_PER_SECOND);
    (rate / CHUNKS_PER_SECOND_MAX).max(few).max(1)
}

/// The reader of a generator.
pub(crate) struct Pacer {
    split: Arc<SplitInfo>,
    rows_per_second: Option<u64>,
    first: u64,
    next: u64,
    end: u64,
    sequence: u64,
    started: Option<Duration>,
    idle: Idleness,
}

impl Pacer {
    /// Rows 0 to `rows`, or without an end; from the row on that a position tells.
    ///
    /// # Errors
    /// `CheckpointUnusable`
    pub(crate) fn new(
        name: &str,
        rows_per_second: Option<u64>,
        rows: Option<u64>,
        resume: Option<&Value>,
    ) -> Result<Self> {
        let first = match resume {
            None => 0,
            Some(position) => position.get("row").and_then(Value::as_u64).ok_or_else(|| {
                let message = format!("not a position of '{name}': {position}");
                Diagnostic::error(Code::CheckpointUnusable, message)
            })?,
        };
        Ok(Self {
            split: Arc::new(SplitInfo { name: name.into(), ..SplitInfo::default() }),
            rows_per_second: rows_per_second.map(|rate| rate.max(1)),
            first,
            next: first,
            end: rows.unwrap_or(u64::MAX),
            sequence: 0,
            started: None,
            idle: Idleness::default(),
        })
    }

    /// Waits until the next row is due.
    fn wait(&mut self, rate: u64, context: &ReadContext) -> Waited {
        let now = context.clock.monotonic();
        let started = *self.started.get_or_insert(now);
        let since_start = u128::from(self.next - self.first) * 1_000_000 / u128::from(rate);
        let due = started + Duration::from_micros(u64::try_from(since_start).unwrap_or(u64::MAX));
        loop {
            let now = context.clock.monotonic();
            let left = due.saturating_sub(now);
            if context.stop.is_stopped() {
                return Waited::Stopped;
            }
            if left.is_zero() {
                return Waited::Due;
            }
            if self.idle.begins(now, context) {
                return Waited::Idle;
            }
            context.stop.wait(self.idle.shorten(left, now, context));
        }
    }

    fn chunk(&mut self, rows: Range<u64>) -> Chunk {
        let time = SplitTime { finished: rows.end >= self.end, ..SplitTime::default() };
        let (split, sequence) = (self.split.clone(), self.sequence);
        self.sequence += 1;
        Chunk { split, sequence, offset: rows.start, payload: Payload::Rows(rows), bytes_in: 0, time }
    }
}

/// How a wait has ended.
enum Waited {
    Due,
    Idle,
    Stopped,
}

impl SourceReader for Pacer {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        if self.next >= self.end || context.stop.is_stopped() {
            return Ok(None);
        }
        let mut rows = CHUNK_ROWS_MAX.min(self.end - self.next);
        if let Some(rate) = self.rows_per_second {
            rows = rows.min(rows_at_once(rate));
            match self.wait(rate, context) {
                Waited::Due => self.idle.ends(context),
                Waited::Idle => {
                    let split = self.split.clone();
                    let time = SplitTime { idle: true, ..SplitTime::default() };
                    self.sequence += 1;
                    return Ok(Some(Chunk::control(split, self.sequence - 1, time)));
                }
                Waited::Stopped => return Ok(None),
            }
        }
        let first = self.next;
        self.next += rows;
        Ok(Some(self.chunk(first..self.next)))
    }
    fn position(&self) -> Value {
        json!({"row": self.next})
    }
}

/// The row numbers of a chunk in pieces of at most `rows`, each with its place in the chunk.
pub(crate) fn pieces(
    chunk: &Chunk,
    rows: usize,
) -> Result<impl Iterator<Item = (std::ops::Range<u64>, u32)> + use<>> {
    let Payload::Rows(range) = &chunk.payload else {
        return Err(Diagnostic::not_supported("replaying dead letters into generated rows")
            .help("the rows of a generator come from row numbers, not from bytes"));
    };
    let (range, step) = (range.clone(), rows.max(1) as u64);
    Ok(range.clone().step_by(step as usize).map(move |from| {
        let to = range.end.min(from.saturating_add(step));
        (from..to, u32::try_from(from - range.start).unwrap_or(u32::MAX))
    }))
}

/// A batch of columns that were generated for `rows` rows.
pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(broken)
}

/// A generator made arrays that don't fit together.
pub(crate) fn broken(error: arrow::error::ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("a generator made a malformed column: {error}"))
}

#[cfg(test)]
mod tests {
    use flott_connector::{BufferPool, Clock, ManualClock, StopSignal, SystemClock};

    use super::*;

    fn ranges(pacer: &mut Pacer, context: &ReadContext) -> Vec<std::ops::Range<u64>> {
        let mut all = Vec::new();
        while let Some(chunk) = pacer.next_chunk(context).unwrap() {
            let Payload::Rows(range) = chunk.payload else { panic!("a pacer gives out rows") };
            all.push(range);
        }
        all
    }

    #[test]
    fn fast_rates_come_in_pieces_of_five_milliseconds() {
        assert_eq!([1, 20, 100, 1_000, 100_000].map(rows_at_once), [1, 2, 10, 10, 500]);
    }

    #[test]
    fn rows_come_at_their_rate() {
        let clock = Arc::new(SystemClock::new());
        let (buffers, stop) = (BufferPool::default(), StopSignal::new());
        let context = ReadContext { buffers, stop, clock: clock.clone(), idle_timeout: None };
        let mut pacer = Pacer::new("test", Some(100), Some(25), None).unwrap();
        assert_eq!(ranges(&mut pacer, &context), [0..10, 10..20, 20..25]);
        // Row 20 is due after 0.2 s.
        assert!(clock.monotonic() >= Duration::from_millis(200));
    }

    #[test]
    fn a_slow_generator_is_idle_between_rows_and_goes_on_at_its_rate() {
        let (buffers, stop) = (BufferPool::default(), StopSignal::new());
        let idle_timeout = Some(Duration::from_millis(2));
        let context = ReadContext { buffers, stop, clock: Arc::new(SystemClock::new()), idle_timeout };
        let resume = json!({"row": 1_000_000});
        let mut pacer = Pacer::new("test", Some(20), None, Some(&resume)).unwrap();
        let mut next =
            || pacer.next_chunk(&context).unwrap().map(|it| (it.offset, it.is_control(), it.time.idle));
        assert_eq!(next(), Some((1_000_000, false, false)));
        assert_eq!(next(), Some((0, true, true)));
    }

    #[test]
    fn a_stop_ends_an_endless_generator() {
        let (buffers, stop) = (BufferPool::default(), StopSignal::new());
        let context = ReadContext {
            buffers,
            stop: stop.clone(),
            clock: Arc::new(ManualClock::at(0)),
            idle_timeout: None,
        };
        let mut pacer = Pacer::new("test", None, None, None).unwrap();
        assert!(pacer.next_chunk(&context).unwrap().is_some());
        stop.stop();
        assert_eq!(ranges(&mut pacer, &context), []);
    }
}
