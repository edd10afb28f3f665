//! What every format of messages must hold to, as functions for its tests and for fuzzing.
//!
//! ```text
//!   batch ── encode ──► messages ── decode ──► the same batch             round_trip
//!   any messages, good and bad:                                            holds
//!     all at once = one by one      a bad record costs nobody else
//!     in batches of 1, 3, … rows    the same rows
//!     some of the columns           the same values
//!     filter pushed down            = filter behind
//!     written and read again        the same rows
//!     read = rows + filtered + skipped + rejected, and no array lies about itself
//! ```

mod files;
pub mod fuzzing;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int8Array, UInt32Array, new_empty_array},
    compute::{concat, take},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Changelog, Chunk, Decoded, Decoder, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo,
    TableDescription,
};
use flott_expr::{CastMode, EvalContext, Expr, ExprKind, Program};
use flott_types::{Code, DataType, Diagnostic, Options, Result, RowKind, Schema, Span, TypeKind};

/// A format and a table of it.
pub struct Case {
    /// For messages.
    pub name: String,
    /// The format.
    pub format: Arc<dyn Format>,
    /// The table.
    pub table: TableDescription,
    /// The job's clock and zone.
    pub context: EvalContext,
    /// Whether everything that can be read can be written, too, and is the same when it is read again.
    pub rewritable: bool,
}

/// What decoding messages has given, all batches together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// A column each; empty if none was asked for.
    pub columns: Vec<ArrayRef>,
    /// For each row the number of its message.
    pub numbers: Vec<u32>,
    /// For each row what it does.
    pub kinds: Vec<i8>,
    /// Number and reason.
    pub rejected: Vec<(u32, String)>,
    /// Records read.
    pub read: u64,
    /// Records that the filter dropped.
    pub filtered: u64,
    /// Records that the format dropped.
    pub skipped: u64,
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Diagnostic::error(Code::Internal, what())) }
}

fn bug(error: impl std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}

/// How messages are decoded.
#[derive(Clone)]
struct How {
    projection: Vec<usize>,
    batch_rows: usize,
    filter: Option<Program>,
}

/// A decoder, for as many messages as one likes.
struct Reading<'a> {
    case: &'a Case,
    scan: ScanRequest,
    decoder: Box<dyn Decoder>,
}

impl Reading<'_> {
    fn read(&mut self, messages: &Slices) -> Result<Outcome> {
        let chunk = chunk(Payload::Messages(Box::default()));
        let mut parts = Vec::new();
        self.decoder.decode_messages(messages, &chunk, &self.case.context, &mut |decoded| {
            parts.push(decoded);
            Ok(())
        })?;
        self.case.account(&parts, &self.scan, Some(messages.len()))
    }
}

fn chunk(payload: Payload) -> Chunk {
    let split = Arc::new(SplitInfo { name: "topic-0".into(), ..SplitInfo::default() });
    Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() }
}

impl Case {
    /// Its columns.
    pub fn schema(&self) -> Schema {
        self.table.physical_schema()
    }

    /// Writes the rows as messages.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn encode(&self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<Slices> {
        let request = FormatRequest { table: &self.table, schema: self.schema() };
        let mut out = Slices::default();
        self.format.encoder(&request, &self.context)?.encode_messages(batch, kinds, &mut out)?;
        Ok(out)
    }

    /// Reads all columns of the messages.
    ///
    /// # Errors
    /// What the decoder says, and an account of it that doesn't add up.
    pub fn decode(&self, messages: &Slices) -> Result<Outcome> {
        self.decode_as(messages, &self.all())
    }

    fn all(&self) -> How {
        How { projection: (0..self.schema().len()).collect(), batch_rows: 1 << 20, filter: None }
    }

    fn reading(&self, how: &How) -> Result<Reading<'_>> {
        let schema = self.schema();
        let scan = ScanRequest {
            projection: how.projection.clone(),
            schema: schema.project(&how.projection),
            filter: how.filter.clone(),
            batch_rows: how.batch_rows,
            parallelism: 1,
            even_time: false,
            job_options: Options::new(),
        };
        let request = FormatRequest { table: &self.table, schema };
        let decoder = self.format.decoder(&request, &scan, Vec::new())?;
        Ok(Reading { case: self, scan, decoder })
    }

    fn decode_as(&self, messages: &Slices, how: &How) -> Result<Outcome> {
        self.reading(how)?.read(messages)
    }

    fn tells_changes(&self) -> Result<bool> {
        Ok(self.format.changelog(&self.table.options)? != Changelog::Append)
    }

    /// Puts the batches together and checks what each says about itself. No number of messages: it is a file.
    fn account(&self, parts: &[Decoded], scan: &ScanRequest, messages: Option<usize>) -> Result<Outcome> {
        let mut out = Outcome::default();
        let changes = self.tells_changes()?;
        for part in parts {
            let rows = part.batch.num_rows();
            let sum = rows as u64 + part.filtered + part.skipped + part.rejected.len() as u64;
            ensure(part.read == sum, || format!("read {} but accounts for {sum}", part.read))?;
            // The last record may have more changes: it is not cut.
            let of_last = |at: &usize| {
                changes && part.rows.get(*at).is_some_and(|it| part.rows.get(at - 1) == Some(it))
            };
            let most = scan.batch_rows.max(1) + (1..rows).rev().take_while(of_last).count();
            ensure(rows <= most, || format!("a batch of {rows} rows, {most} were allowed"))?;
            ensure(part.batch.schema() == scan.schema.arrow_schema(), || "another schema".into())?;
            for column in part.batch.columns() {
                column.to_data().validate_full().map_err(bug)?;
            }
            ensure(part.rows.is_empty() || part.rows.len() == rows, || "places of other rows".into())?;
            let number = |at: usize| {
                let counted = part.first_record + at as u32;
                part.rows.get(at).map_or(counted, |place| place.start)
            };
            out.numbers.extend((0..rows).map(number));
            match &part.kinds {
                Some(kinds) => out.kinds.extend(kinds.values()),
                None => out.kinds.extend(std::iter::repeat_n(0, rows)),
            }
            out.rejected.extend(part.rejected.iter().map(|it| (it.record.start, it.message.clone())));
            out.read += part.read;
            out.filtered += part.filtered;
            out.skipped += part.skipped;
        }
        let rises = |numbers: &mut dyn Iterator<Item = u32>| {
            let numbers: Vec<u32> = numbers.collect();
            let most = messages.unwrap_or(usize::MAX);
            numbers.is_sorted() && numbers.iter().all(|number| (*number as usize) < most)
        };
        ensure(rises(&mut out.numbers.iter().copied()), || "numbers of rows don't rise".into())?;
        ensure(rises(&mut out.rejected.iter().map(|it| it.0)), || "numbers of rejects don't rise".into())?;
        let read = out.read;
        let messages = messages.map_or(read, |messages| messages as u64);
        ensure(read == messages || (changes && read > messages), || format!("{read} of {messages} read"))?;
        for (at, field) in scan.schema.arrow_schema().fields().iter().enumerate() {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.batch.column(at).as_ref()).collect();
            out.columns.push(match arrays.as_slice() {
                [] => new_empty_array(field.data_type()),
                arrays => concat(arrays).map_err(bug)?,
            });
        }
        Ok(out)
    }

    /// Rows written and read again are the same, and do what is expected (none: they are new).
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn round_trip(&self, batch: &RecordBatch, kinds: Option<(&Int8Array, &[i8])>) -> Result<()> {
        let messages = self.encode(batch, kinds.map(|it| it.0))?;
        ensure(messages.len() == batch.num_rows(), || "one message for each row".into())?;
        let out = self.decode(&messages)?;
        ensure(out.rejected.is_empty(), || format!("its own messages are rejected: {:?}", out.rejected))?;
        for (field, (read, written)) in
            self.schema().fields.iter().zip(out.columns.iter().zip(batch.columns()))
        {
            ensure(read == written, || {
                format!("column '{}' of {}\n  read {read:?}\n  written {written:?}", field.name, self.name)
            })?;
        }
        let expected = kinds.map_or_else(|| vec![0; batch.num_rows()], |it| it.1.to_vec());
        ensure(out.kinds == expected, || format!("kinds {:?}, expected {expected:?}", out.kinds))?;
        self.holds(&messages)
    }

    /// Whatever the messages are, what is read of one depends on it alone.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn holds(&self, messages: &Slices) -> Result<()> {
        self.rules(messages, &[1, 3], self.projections())
    }

    /// As [`Case::holds`], but with one size of batches and one set of columns: for many messages in little time.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn holds_briefly(&self, messages: &Slices, pick: usize) -> Result<()> {
        let mut projections = self.projections();
        let projection = projections.swap_remove(pick % projections.len().max(1));
        let batch_rows = if pick.is_multiple_of(2) { 1 } else { 3 };
        self.rules(messages, &[batch_rows], vec![projection])
    }

    /// Each column alone, none, and all in another order.
    fn projections(&self) -> Vec<Vec<usize>> {
        let width = self.schema().len();
        let mut all: Vec<Vec<usize>> = (0..width).map(|at| vec![at]).collect();
        all.push(Vec::new());
        all.push((0..width).rev().collect());
        all
    }

    fn rules(&self, messages: &Slices, batches: &[usize], projections: Vec<Vec<usize>>) -> Result<()> {
        let mut reading = self.reading(&self.all())?;
        let whole = reading.read(messages)?;
        self.one_by_one(&mut reading, messages, &whole)?;
        for batch_rows in batches {
            let parts = self.decode_as(messages, &How { batch_rows: *batch_rows, ..self.all() })?;
            ensure(parts == whole, || format!("batches of {batch_rows} rows give something else"))?;
        }
        self.some_columns(messages, &whole, projections)?;
        self.filtered(messages, &whole)?;
        if self.rewritable { self.again(&mut reading, &whole) } else { Ok(()) }
    }

    /// What has been read can be written, and is the same when it is read again.
    fn again(&self, reading: &mut Reading<'_>, whole: &Outcome) -> Result<()> {
        let batch = self.batch(whole)?;
        let kinds = self.tells_changes()?.then(|| Int8Array::from(whole.kinds.clone()));
        let messages = self.encode(&batch, kinds.as_ref()).map_err(|mut error| {
            error.message = format!("what was read can't be written: {}", error.message);
            error
        })?;
        let out = reading.read(&messages)?;
        let shown = || {
            let lines =
                messages.iter().map(|it| String::from_utf8_lossy(it.unwrap_or_default()).into_owned());
            lines.collect::<Vec<_>>()
        };
        ensure(out.rejected.is_empty(), || {
            format!("what was read and written is rejected: {:?} of {:?}", out.rejected, shown())
        })?;
        for (column, other) in out.columns.iter().zip(&whole.columns) {
            ensure(column == other, || {
                format!("written and read again\n  {column:?}\n  was\n  {other:?}\n  as {:?}", shown())
            })?;
        }
        // Captured changes are written as deletions and insertions.
        let takes_back = |kinds: &[i8]| -> Vec<bool> {
            kinds.iter().map(|it| RowKind::of(*it).is_some_and(RowKind::retracts)).collect()
        };
        let same = takes_back(&out.kinds) == takes_back(&whole.kinds);
        ensure(same, || format!("kinds {:?} written and read again as {:?}", whole.kinds, out.kinds))
    }

    fn batch(&self, outcome: &Outcome) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(outcome.numbers.len()));
        let (schema, columns) = (self.schema().arrow_schema(), outcome.columns.clone());
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(bug)
    }

    fn one_by_one(&self, reading: &mut Reading<'_>, messages: &Slices, whole: &Outcome) -> Result<()> {
        let mut rejected = Vec::new();
        let mut numbers = Vec::new();
        for (number, message) in (0u32..).zip(messages.iter()) {
            let mut alone = Slices::default();
            ensure(alone.push(message), || "too much".into())?;
            let out = reading.read(&alone)?;
            let own: Vec<u32> = (0u32..)
                .zip(&whole.numbers)
                .filter(|(_, other)| **other == number)
                .map(|(row, _)| row)
                .collect();
            ensure(own.len() == out.numbers.len(), || {
                let (alone, together) = (out.numbers.len(), own.len());
                let shown = String::from_utf8_lossy(message.unwrap_or_default());
                format!("message {number}: {alone} rows alone, {together} among others: {shown}")
            })?;
            for (column, other) in out.columns.iter().zip(&whole.columns) {
                let other = take(other, &UInt32Array::from(own.clone()), None).map_err(bug)?;
                ensure(column == &other, || {
                    format!("message {number}: {column:?} alone, {other:?} among others")
                })?;
            }
            numbers.extend(std::iter::repeat_n(number, out.numbers.len()));
            rejected.extend(out.rejected.into_iter().map(|(_, why)| (number, why)));
        }
        ensure(numbers == whole.numbers, || "rows of other messages".into())?;
        // A record that is cut off may be told to end a byte earlier or later.
        let words = |text: &str| text.chars().filter(|it| !it.is_ascii_digit()).collect::<String>();
        let same = |one: &(u32, String), other: &(u32, String)| {
            one.0 == other.0 && (one.1 == other.1 || words(&one.1) == words(&other.1))
        };
        let differ = rejected.iter().zip(&whole.rejected).find(|(alone, among)| !same(alone, among));
        ensure(differ.is_none(), || format!("rejected alone and among others: {differ:?}"))?;
        ensure(rejected.len() == whole.rejected.len(), || "rejects of other messages".into())
    }

    /// Fewer columns have the same values; more records may be readable, never fewer.
    fn some_columns(&self, messages: &Slices, whole: &Outcome, projections: Vec<Vec<usize>>) -> Result<()> {
        for projection in projections {
            let part = self.decode_as(messages, &How { projection: projection.clone(), ..self.all() })?;
            let mut rows = Vec::new();
            let mut from = 0;
            for number in &whole.numbers {
                let left = part.numbers.get(from..).unwrap_or_default();
                let found = left.iter().position(|other| other == number);
                ensure(found.is_some(), || format!("columns {projection:?}: message {number} is missing"))?;
                from += found.unwrap_or_default() + 1;
                rows.push(from as u32 - 1);
            }
            let rows = UInt32Array::from(rows);
            for (column, at) in part.columns.iter().zip(&projection) {
                let column = take(column, &rows, None).map_err(bug)?;
                ensure(whole.columns.get(*at) == Some(&column), || {
                    format!("columns {projection:?}: column {at} has other values")
                })?;
            }
        }
        Ok(())
    }

    /// A filter pushed down keeps what the filter behind keeps.
    fn filtered(&self, messages: &Slices, whole: &Outcome) -> Result<()> {
        let schema = self.schema();
        let numeric = |data_type: &DataType| data_type.is_integer() || data_type.kind == TypeKind::Boolean;
        let Some(at) = schema.fields.iter().position(|field| numeric(&field.data_type)) else {
            return Ok(());
        };
        let Some(field) = schema.fields.get(at) else { return Ok(()) };
        let input = Box::new(Expr::column(at, &field.name, field.data_type.clone()));
        let cast = ExprKind::Cast { input, mode: CastMode::Strict };
        let program = Program::new(vec![Expr::new(cast, DataType::boolean(), Span::default())]);
        let part = self.decode_as(messages, &How { filter: Some(program.clone()), ..self.all() })?;
        let batch = self.batch(whole)?;
        let mask = program.evaluate_predicate(&batch, &self.context).map_err(|error| bug(error.message))?;
        let kept: Vec<u32> =
            (0u32..).zip(mask.iter()).filter(|(_, keep)| *keep == Some(true)).map(|(row, _)| row).collect();
        let numbers: Vec<u32> =
            kept.iter().filter_map(|row| whole.numbers.get(*row as usize).copied()).collect();
        ensure(part.numbers == numbers, || "a pushed filter keeps other rows".into())?;
        let kept = UInt32Array::from(kept);
        for (column, other) in part.columns.iter().zip(&whole.columns) {
            let other = take(other, &kept, None).map_err(bug)?;
            ensure(*column == other, || "a pushed filter gives other values".into())?;
        }
        ensure(part.rejected == whole.rejected, || "a pushed filter rejects other records".into())
    }

    /// Every message cut off at every byte, between two whole ones.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn cut_off(&self, messages: &Slices) -> Result<()> {
        for at in 0..messages.len() {
            let Some(message) = messages.get(at) else { continue };
            let mut cut = Slices::default();
            for end in 0..message.len() {
                let fits = cut.push(Some(message)) && cut.push(message.get(..end));
                ensure(fits, || "too much".into())?;
            }
            self.holds(&cut)?;
        }
        Ok(())
    }

    /// Messages changed at random, `rounds` times over; the seed makes it repeatable.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn changed_at_random(&self, messages: &Slices, seed: u64, rounds: usize) -> Result<()> {
        let mut random = Random::new(seed);
        for round in 0..rounds {
            let mut changed = Slices::default();
            for message in messages.iter() {
                let message = message.map(|message| random.change(message, messages));
                ensure(changed.push(message.as_deref()), || "too much".into())?;
            }
            self.holds(&changed).map_err(|mut error| {
                error.message = format!("seed {seed}, round {round}: {}", error.message);
                error
            })?;
        }
        Ok(())
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
    /// A number below `bound` (0 for 0).
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_number() % bound.max(1) as u64) as usize
    }

    /// The message with a few bytes flipped, cut out, doubled, or taken from another one.
    pub fn change(&mut self, message: &[u8], others: &Slices) -> Vec<u8> {
        let mut out = message.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(out.len() + 1);
            let end = (at + 1 + self.below(8)).min(out.len());
            match self.below(7) {
                0 => out.truncate(at),
                1 => drop(out.drain(at.min(end)..end)),
                2 => out.insert(at, self.next_number() as u8),
                3 => {
                    let again = out.get(at..end).unwrap_or_default().to_vec();
                    out.splice(at..at, again);
                }
                4 => {
                    let other = others.get(self.below(others.len())).unwrap_or_default();
                    let from = self.below(other.len());
                    let to = (from + self.below(32)).min(other.len());
                    out.splice(at..at, other.get(from..to).unwrap_or_default().iter().copied());
                }
                5 => {
                    let telling = [0, 0x7F, 0x80, 0xFF, b'"', b'\\', b'{', b'\n'];
                    let byte = telling.get(self.below(telling.len())).copied().unwrap_or_default();
                    out.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
                }
                _ => {
                    let bit = 1 << self.below(8);
                    out.iter_mut().skip(at).take(1).for_each(|place| *place ^= bit);
                }
            }
        }
        out
    }
}
