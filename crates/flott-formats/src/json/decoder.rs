//! Chunks of JSON lines, and JSON messages, into batches.
//!
//! ```text
//!   chunk ── UTF-8 checked once ──► record, record, … ──► columns ──► batch ──► filter ──► emit
//!                                      │ fails
//!                                      └─► Reject (or skipped), columns truncated, next record
//! ```
//!
//! What a record looks like is its [`Records`]' business: one object for `json`, an envelope around it
//! for formats of changes. A record may give any number of rows; it is read whole or not at all.
//!
//! Messages lie one behind the other without anything between them. A record that is read well ends with
//! its closing brace, so it is read without looking where its message ends; only afterwards it is checked
//! that this is where the message ends. Line feeds within messages are made blanks before (see `flat.rs`).
//!
//! Text columns that the pushed-down filter doesn't read are only noted (see `text.rs`) and
//! copied for the rows that it kept.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int8Array, UInt32Array},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Decoded, Decoder, ExtraColumn, Payload, RecordPart, Reject, ScanRequest, Slices,
};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Diagnostic, Result};

use super::{
    column::{Reading, internal},
    failure::{Fail, FailureKind},
    flat::flatten,
    options::JsonOptions,
    scan::skip_blanks,
    text::{View, materialise},
};
use crate::filter;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How records hold rows.
pub(crate) trait Records: Send {
    /// Reads the record at `at`; its first row is number `row`. Answers with the position behind it and how
    /// many rows it gave. After a failure the caller truncates to `row`.
    fn read(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail>;
    /// Drops all rows behind the first `rows`.
    fn truncate(&mut self, rows: usize);
    /// The columns of all rows read, to their positions in the batch; all start anew.
    fn finish(&mut self, schema: &SchemaRef, into: &mut [Option<ArrayRef>]) -> Result<Finished>;
}

/// What there is of the rows read beside their columns.
#[derive(Default)]
pub(crate) struct Finished {
    /// What each good row does; none: all are new.
    pub kinds: Option<Int8Array>,
    /// Rows that turned out to be bad, by number, and what is wrong. Columns and kinds are without them.
    pub bad: Vec<(usize, String)>,
    /// Columns that hold NULLs instead of texts, and the texts' places.
    pub deferred: Deferred,
}

/// Decodes JSON lines and messages.
pub(crate) struct JsonDecoder<R> {
    records: R,
    reading: Reading,
    skip_malformed: bool,
    filter: Option<Program>,
    extra: Vec<ExtraColumn>,
    schema: SchemaRef,
    batch_rows: usize,
    /// Rows of the batch being built: where their records lie.
    rows: Vec<Range<u32>>,
    rejected: Vec<Reject>,
    skipped: u64,
    /// Records without a row.
    empty: u64,
}

/// Deferred columns: position in the batch, and the views of all its rows.
pub(crate) type Deferred = Vec<(usize, Vec<View>)>;

/// The bytes of a chunk, and how a record's place in them is told to others.
struct Text<'a> {
    bytes: &'a [u8],
    valid_utf8: bool,
    /// Replayed records are known by their number, not by their bytes.
    numbered: bool,
}

impl<R: Records> JsonDecoder<R> {
    /// Decodes records of this kind.
    pub fn new(records: R, options: &JsonOptions, scan: &ScanRequest, extra: Vec<ExtraColumn>) -> Self {
        JsonDecoder {
            records,
            reading: Reading {
                separator: options.separator,
                bad_value_is_null: options.ignore_parse_errors,
                nulled: 0,
                fail_on_missing: options.fail_on_missing_field,
                scratch: Vec::new(),
                last_date: (*b"1970-01-01", 0),
            },
            skip_malformed: options.ignore_parse_errors,
            filter: scan.filter.clone(),
            extra,
            schema: scan.schema.arrow_schema(),
            batch_rows: scan.batch_rows.max(1),
            rows: Vec::new(),
            rejected: Vec::new(),
            skipped: 0,
            empty: 0,
        }
    }

    /// The rows of the record that lies at `place` are good.
    #[inline(always)]
    fn accept(&mut self, place: Range<u32>, rows: usize) {
        match rows {
            1 => self.rows.push(place),
            0 => self.empty += 1,
            _ => self.rows.extend(std::iter::repeat_n(place, rows)),
        }
    }

    /// Reads the record at `at` (blanks skipped); answers with the position behind its line feed.
    #[inline]
    fn record(&mut self, text: &Text<'_>, at: usize, number: u32) -> usize {
        let row = self.rows.len();
        let nulled = self.reading.nulled;
        let outcome = self.records.read(text.bytes, at, row, &mut self.reading);
        if let Ok((end, rows)) = &outcome {
            // Most records end right here; blanks may follow.
            let end = if text.bytes.get(*end) == Some(&b'\n') { *end } else { skip_blanks(text.bytes, *end) };
            if matches!(text.bytes.get(end), None | Some(b'\n')) {
                self.accept(place(text, at, end, number), *rows);
                return end + 1;
            }
        }
        // What was made NULL in a record that is refused doesn't count.
        self.reading.nulled = nulled;
        self.refuse(text, at, number, outcome.err())
    }

    /// The record at `at` is bad: undo what it left and note it.
    #[cold]
    fn refuse(&mut self, text: &Text<'_>, at: usize, number: u32, fail: Option<Fail>) -> usize {
        self.records.truncate(self.rows.len());
        let end = line_end(text.bytes, at);
        let (skip, message) = match fail {
            Some(fail) => (fail.kind != FailureKind::Missing, fail.message(at)),
            None => (true, "malformed JSON: more text behind the object".to_string()),
        };
        if skip && self.skip_malformed {
            self.skipped += 1;
        } else {
            let record = place(text, at, end, number);
            self.rejected.push(Reject { record, code: Code::DecodeFailed, message, part: RecordPart::Value });
        }
        end + 1
    }

    /// As `record`, in a chunk that isn't valid UTF-8 as a whole.
    #[cold]
    fn doubtful_record(&mut self, text: &Text<'_>, at: usize, number: u32) -> usize {
        let end = line_end(text.bytes, at);
        let line = text.bytes.get(at..end).unwrap_or_default();
        match simdutf8::compat::from_utf8(line) {
            Ok(_) => self.record(text, at, number),
            Err(error) if self.skip_malformed => {
                let _ = error;
                self.skipped += 1;
                end + 1
            }
            Err(error) => {
                let message = format!("invalid UTF-8 at byte {} of the record", error.valid_up_to());
                let record = place(text, at, end, number);
                self.rejected.push(Reject {
                    record,
                    code: Code::DecodeFailed,
                    message,
                    part: RecordPart::Value,
                });
                end + 1
            }
        }
    }

    fn lines(
        &mut self,
        text: &Text<'_>,
        mut at: usize,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        while at < text.bytes.len() {
            at = match text.bytes.get(at) {
                Some(b'{') if text.valid_utf8 => self.record(text, at, 0),
                Some(b'\n') => at + 1,
                Some(b' ' | b'\t' | b'\r') => skip_blanks(text.bytes, at),
                _ if text.valid_utf8 => self.record(text, at, 0),
                _ => self.doubtful_record(text, at, 0),
            };
            if self.rows.len() >= self.batch_rows {
                self.flush(text, chunk, context, emit)?;
            }
        }
        self.flush(text, chunk, context, emit)
    }

    fn flush(
        &mut self,
        text: &Text<'_>,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let count = self.rows.len();
        let read = (count + self.rejected.len()) as u64 + self.skipped + self.empty;
        if read == 0 {
            return Ok(());
        }
        let (batch, kinds, deferred) = self.batch(chunk)?;
        let room = count + count / 8;
        let decoded = Decoded {
            batch,
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(room)),
            kinds,
            first_record: 0,
            read,
            filtered: std::mem::take(&mut self.empty),
            skipped: std::mem::take(&mut self.skipped),
            nulled: std::mem::take(&mut self.reading.nulled),
            rejected: std::mem::take(&mut self.rejected),
        };
        let Some(program) = &self.filter else { return in_pieces(decoded, self.batch_rows, emit) };
        let kept = match deferred.is_empty() {
            true => filter::apply(program, decoded, context)?,
            false => {
                let batch = with_numbers(&decoded.batch)?;
                let kept = filter::apply(program, Decoded { batch, ..decoded }, context)?;
                let batch = fill_deferred(text.bytes, &kept.batch, &self.schema, &deferred)?;
                Decoded { batch, ..kept }
            }
        };
        in_pieces(kept, self.batch_rows, emit)
    }

    /// Rejects or skips these of the rows read, in order of their numbers, each with what is wrong.
    fn take_out(&mut self, bad: Vec<(usize, String)>) {
        let Some((first, _)) = bad.first() else { return };
        let mut bad = bad.iter().peekable();
        let tail = self.rows.split_off((*first).min(self.rows.len()));
        for (number, record) in (*first..).zip(tail) {
            match bad.next_if(|(row, _)| *row == number) {
                None => self.rows.push(record),
                Some(_) if self.skip_malformed => self.skipped += 1,
                Some((_, message)) => {
                    let (code, message) = (Code::DecodeFailed, message.clone());
                    self.rejected.push(Reject { record, code, message, part: RecordPart::Value });
                }
            }
        }
        self.rejected.sort_by_key(|reject| reject.record.start);
    }

    /// The batch of all rows; deferred columns hold NULLs and come apart, by position.
    fn batch(&mut self, chunk: &Chunk) -> Result<(RecordBatch, Option<Int8Array>, Deferred)> {
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        let Finished { kinds, bad, deferred } = self.records.finish(&self.schema, &mut arrays)?;
        self.take_out(bad);
        let rows = self.rows.len();
        for extra in &self.extra {
            if let Some(place) = arrays.get_mut(extra.position) {
                *place = Some((extra.fill)(chunk, rows)?);
            }
        }
        let arrays: Option<Vec<ArrayRef>> = arrays.into_iter().collect();
        let arrays = arrays.ok_or_else(|| internal("a column of the batch is missing"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        Ok((batch.map_err(internal)?, kinds, deferred))
    }
}

/// Hands over batches of about this many rows: a record may hold many of them. A record is never cut: which of its
/// changes one is, is counted within a batch.
fn in_pieces(whole: Decoded, batch_rows: usize, emit: &mut dyn FnMut(Decoded) -> Result<()>) -> Result<()> {
    let rows = whole.batch.num_rows();
    if rows <= batch_rows {
        return emit(whole);
    }
    let of_one_record =
        |at: usize| at > 0 && whole.rows.get(at).is_some_and(|it| whole.rows.get(at - 1) == Some(it));
    let mut rejected = whole.rejected;
    let mut start = 0;
    while start < rows {
        let mut end = rows.min(start + batch_rows);
        while end < rows && of_one_record(end) {
            end += 1;
        }
        let len = end - start;
        let first = |count: u64| if start == 0 { count } else { 0 };
        emit(Decoded {
            batch: whole.batch.slice(start, len),
            rows: whole.rows.iter().skip(start).take(len).cloned().collect(),
            kinds: whole.kinds.as_ref().map(|kinds| kinds.slice(start, len)),
            first_record: whole.first_record,
            read: if start == 0 { whole.read - (rows - end) as u64 } else { len as u64 },
            filtered: first(whole.filtered),
            skipped: first(whole.skipped),
            nulled: first(whole.nulled),
            rejected: std::mem::take(&mut rejected),
        })?;
        start = end;
    }
    Ok(())
}

/// The batch with one more column at its end: the rows' numbers, which tell what a filter kept.
fn with_numbers(batch: &RecordBatch) -> Result<RecordBatch> {
    let numbers: UInt32Array = (0..batch.num_rows() as u32).collect();
    let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("", DataType::UInt32, false)));
    let mut arrays = batch.columns().to_vec();
    arrays.push(Arc::new(numbers));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(internal)
}

/// Puts the text of the kept rows in place of the NULLs, and takes their numbers away.
fn fill_deferred(
    bytes: &[u8],
    kept: &RecordBatch,
    schema: &SchemaRef,
    deferred: &[(usize, Vec<View>)],
) -> Result<RecordBatch> {
    let mut arrays = kept.columns().to_vec();
    let numbers = arrays.pop().and_then(|it| it.as_primitive_opt::<UInt32Type>().cloned());
    let numbers = numbers.ok_or_else(|| internal("the numbers of a batch's rows are missing"))?;
    for (position, views) in deferred {
        let array = materialise(bytes, views, numbers.values().iter().map(|number| *number as usize))
            .map_err(|fail| Diagnostic::error(Code::RecordTooLarge, fail.message(0)))?;
        if let Some(place) = arrays.get_mut(*position) {
            *place = array;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(internal)
}

fn place(text: &Text<'_>, at: usize, end: usize, number: u32) -> Range<u32> {
    if text.numbered {
        return number..number;
    }
    let bound = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
    bound(at)..bound(end)
}

/// The position of the line feed that ends the record, or the length.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |found| at + found)
}

impl<R: Records> Decoder for JsonDecoder<R> {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        match &chunk.payload {
            Payload::Bytes(bytes) => {
                let valid_utf8 = simdutf8::basic::from_utf8(bytes).is_ok();
                let text = Text { bytes, valid_utf8, numbered: false };
                let marked = chunk.offset == 0 && bytes.starts_with(BYTE_ORDER_MARK);
                let start = if marked { BYTE_ORDER_MARK.len() } else { 0 };
                self.lines(&text, start, chunk, context, emit)
            }
            Payload::Records(records) => {
                // Each record is a text of its own. Views must not outlive theirs, and there are
                // views only where there is a filter.
                for (number, (bytes, _)) in records.iter().enumerate() {
                    let valid_utf8 = simdutf8::basic::from_utf8(bytes).is_ok();
                    let text = Text { bytes, valid_utf8, numbered: true };
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    self.single(&text, 0..bytes.len(), number);
                    if self.filter.is_some() || self.rows.len() >= self.batch_rows {
                        self.flush(&text, chunk, context, emit)?;
                    }
                }
                let nothing = Text { bytes: &[], valid_utf8: true, numbered: true };
                self.flush(&nothing, chunk, context, emit)
            }
            Payload::Rows(_) | Payload::RowGroup(_) | Payload::Blocks(_) | Payload::Messages(_) => {
                Err(Diagnostic::error(Code::Internal, "the json format reads bytes"))
            }
        }
    }

    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let flat = flatten(messages)?;
        let messages = flat.as_ref().unwrap_or(messages);
        let bytes = messages.bytes();
        let text = Text { bytes, valid_utf8: simdutf8::basic::from_utf8(bytes).is_ok(), numbered: true };
        let mut start = 0;
        for number in 0..messages.len() {
            let place = messages.range(number);
            debug_assert_eq!(place.start, start);
            start = place.end;
            match messages.is_null(number) {
                true => self.skipped += 1,
                false => self.message(&text, place, number as u32),
            }
            if self.rows.len() >= self.batch_rows {
                self.flush(&text, chunk, context, emit)?;
            }
        }
        self.flush(&text, chunk, context, emit)
    }
}

/// Whether a text may begin or end at `at`: not within a character.
fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| !(0x80..0xC0).contains(byte))
}

impl<R: Records> JsonDecoder<R> {
    /// The message that lies at `place`, without line feeds.
    #[inline]
    fn message(&mut self, text: &Text<'_>, place: Range<usize>, number: u32) {
        let (row, nulled) = (self.rows.len(), self.reading.nulled);
        if text.valid_utf8
            && text.bytes.get(place.start) == Some(&b'{')
            && is_boundary(text.bytes, place.end)
            && let Ok((end, rows)) = self.records.read(text.bytes, place.start, row, &mut self.reading)
            && (end == place.end || (end < place.end && skip_blanks(text.bytes, end) >= place.end))
        {
            return self.accept(number..number, rows);
        }
        self.doubtful_message(text, place, number, nulled);
    }

    /// The message isn't good, or not obviously: once more, without what follows it.
    #[cold]
    fn doubtful_message(&mut self, text: &Text<'_>, place: Range<usize>, number: u32, nulled: u64) {
        self.records.truncate(self.rows.len());
        self.reading.nulled = nulled;
        let boundaries = is_boundary(text.bytes, place.start) && is_boundary(text.bytes, place.end);
        let bytes = text.bytes.get(..place.end).unwrap_or_default();
        let alone = Text { bytes, valid_utf8: text.valid_utf8 && boundaries, numbered: true };
        self.single(&alone, place, number);
    }

    /// A record that stands alone at `place`, up to the end of the text: whatever follows it belongs to it.
    fn single(&mut self, text: &Text<'_>, place: Range<usize>, number: u32) {
        let whole = text.bytes.get(place.clone()).unwrap_or_default();
        let marked = whole.starts_with(BYTE_ORDER_MARK);
        let start = skip_blanks(text.bytes, place.start + if marked { BYTE_ORDER_MARK.len() } else { 0 });
        let rest = text.bytes.get(start..).unwrap_or_default();
        let end = start + rest.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
        let alone = Text { bytes: text.bytes.get(..end).unwrap_or_default(), ..*text };
        if matches!(alone.bytes.get(start..), None | Some(b"" | b"null")) {
            // No row is what it says.
            self.skipped += 1;
            return;
        }
        let rows = self.rows.len();
        let behind = match alone.valid_utf8 {
            true => self.record(&alone, start, number),
            false => self.doubtful_record(&alone, start, number),
        };
        if behind < end && self.rows.len() > rows {
            self.records.truncate(rows);
            self.rows.truncate(rows);
            let message = "malformed JSON: more text behind the object".to_string();
            let record = number..number;
            self.rejected.push(Reject { record, code: Code::DecodeFailed, message, part: RecordPart::Value });
        }
    }
}
