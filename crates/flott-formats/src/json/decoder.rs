//! Chunks of JSON lines into batches.
//!
//! ```text
//!   chunk ── UTF-8 checked once ──► record, record, … ──► columns ──► batch ──► filter ──► emit
//!                                      │ fails
//!                                      └─► Reject (or skipped), columns truncated, next line
//! ```
//!
//! In an envelope (`changelog-json`) the columns are those of one object within the record; what the
//! record does is looked at for the whole batch.
//!
//! Text columns that the pushed-down filter doesn't read are only noted (see `text.rs`) and
//! copied for the rows that it kept.

use std::ops::Range;

use arrow::{
    array::{ArrayRef, Int8Array, new_null_array},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{Chunk, Decoded, Decoder, ExtraColumn, FormatRequest, Payload, Reject, ScanRequest};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Diagnostic, Result};

use super::{
    changelog::Envelope,
    column::{Column, Reading, internal},
    failure::FailureKind,
    object::ObjectReader,
    options::JsonOptions,
    scan::skip_blanks,
    text::{View, materialise},
};
use crate::filter;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes JSON lines.
pub(super) struct JsonDecoder {
    objects: ObjectReader,
    /// For each column of `objects`, its position in the batch.
    positions: Vec<usize>,
    /// Records hold their columns in an envelope.
    envelope: Option<Envelope>,
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
}

/// Deferred columns: position in the batch, and the views of all its rows.
type Deferred = Vec<(usize, Vec<View>)>;

/// The bytes of a chunk, and how a record's place in them is told to others.
struct Text<'a> {
    bytes: &'a [u8],
    valid_utf8: bool,
    /// Replayed records are known by their number, not by their bytes.
    numbered: bool,
}

impl JsonDecoder {
    pub fn new(
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<JsonDecoder> {
        let options = JsonOptions::of(&request.table.options, super::PREFIX)?;
        let filtered_by: Vec<usize> =
            scan.filter.iter().flat_map(Program::exprs).flat_map(|expr| expr.columns()).collect();
        let mut columns = Vec::new();
        let mut positions = Vec::new();
        for (position, field) in scan.schema.fields.iter().enumerate() {
            if extra.iter().any(|it| it.position == position) {
                continue;
            }
            let deferred = scan.filter.is_some() && !filtered_by.contains(&position);
            columns.push((field.name.clone(), Column::new(&field.data_type, deferred)?));
            positions.push(position);
        }
        Ok(Self::of(ObjectReader::new(columns), positions, options, scan, extra))
    }

    /// Reads objects in an envelope.
    pub fn in_envelope(
        envelope: Envelope,
        options: JsonOptions,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<JsonDecoder> {
        let objects = envelope.reader()?;
        let it = Self::of(objects, Vec::new(), options, scan, extra);
        Ok(Self { envelope: Some(envelope), ..it })
    }

    fn of(
        objects: ObjectReader,
        positions: Vec<usize>,
        options: JsonOptions,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> JsonDecoder {
        JsonDecoder {
            objects,
            positions,
            envelope: None,
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
        }
    }

    /// Reads the record at `at` (blanks skipped); answers with the position behind its line feed.
    #[inline]
    fn record(&mut self, text: &Text<'_>, at: usize, number: u32) -> usize {
        let row = self.rows.len();
        let nulled = self.reading.nulled;
        let outcome = self.objects.read(text.bytes, at, row, &mut self.reading);
        if let Ok(end) = &outcome {
            // Most records end right here; blanks may follow.
            let end = if text.bytes.get(*end) == Some(&b'\n') { *end } else { skip_blanks(text.bytes, *end) };
            if matches!(text.bytes.get(end), None | Some(b'\n')) {
                self.rows.push(place(text, at, end, number));
                return end + 1;
            }
        }
        // What was made NULL in a record that is refused doesn't count.
        self.reading.nulled = nulled;
        self.refuse(text, at, number, outcome.err())
    }

    /// The record at `at` is bad: undo what it left and note it.
    #[cold]
    fn refuse(
        &mut self,
        text: &Text<'_>,
        at: usize,
        number: u32,
        fail: Option<super::failure::Fail>,
    ) -> usize {
        self.objects.truncate(self.rows.len());
        let end = line_end(text.bytes, at);
        let (skip, message) = match fail {
            Some(fail) => (fail.kind != FailureKind::Missing, fail.message(at)),
            None => (true, "malformed JSON: more text behind the object".to_string()),
        };
        if skip && self.skip_malformed {
            self.skipped += 1;
        } else {
            let record = place(text, at, end, number);
            self.rejected.push(Reject { record, code: Code::DecodeFailed, message });
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
                self.rejected.push(Reject { record, code: Code::DecodeFailed, message });
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
        let read = (count + self.rejected.len()) as u64 + self.skipped;
        if read == 0 {
            return Ok(());
        }
        let (batch, kinds, deferred) = self.batch(chunk, count)?;
        let room = count + count / 8;
        let decoded = Decoded {
            batch,
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(room)),
            kinds,
            first_record: 0,
            read,
            filtered: 0,
            skipped: std::mem::take(&mut self.skipped),
            nulled: std::mem::take(&mut self.reading.nulled),
            rejected: std::mem::take(&mut self.rejected),
        };
        let Some(program) = &self.filter else { return emit(decoded) };
        let before = if deferred.is_empty() { Vec::new() } else { decoded.rows.clone() };
        let mut kept = filter::apply(program, decoded, context)?;
        if !deferred.is_empty() {
            kept.batch = fill_deferred(text.bytes, &kept, &before, &deferred)?;
        }
        emit(kept)
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
                    self.rejected.push(Reject { record, code, message });
                }
            }
        }
        self.rejected.sort_by_key(|reject| reject.record.start);
    }

    /// The batch of all rows; deferred columns hold NULLs and come apart, by position.
    fn batch(
        &mut self,
        chunk: &Chunk,
        mut rows: usize,
    ) -> Result<(RecordBatch, Option<Int8Array>, Deferred)> {
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        let (mut kinds, mut deferred) = (None, Vec::new());
        if let Some(envelope) = &self.envelope {
            let opened = envelope.open(&mut self.objects, &mut arrays)?;
            self.take_out(opened.bad);
            rows = self.rows.len();
            kinds = Some(opened.kinds);
        }
        // None in an envelope.
        for (column, &position) in self.objects.columns_mut().iter_mut().zip(&self.positions) {
            let array = match column.text_mut().filter(|text| text.is_deferred()) {
                Some(text) => {
                    deferred.push((position, text.take_views()));
                    new_null_array(self.schema.field(position).data_type(), rows)
                }
                None => column.finish()?,
            };
            if let Some(place) = arrays.get_mut(position) {
                *place = Some(array);
            }
        }
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

/// Puts the text of the kept rows in place of the NULLs. `before` are the places of all rows,
/// `kept.rows` those of the kept ones, in the same order.
fn fill_deferred(
    bytes: &[u8],
    kept: &Decoded,
    before: &[Range<u32>],
    deferred: &[(usize, Vec<View>)],
) -> Result<RecordBatch> {
    let mut numbers = Vec::with_capacity(kept.rows.len());
    let mut all = before.iter().enumerate();
    for row in &kept.rows {
        if let Some((number, _)) = all.find(|(_, place)| *place == row) {
            numbers.push(number);
        }
    }
    let mut arrays = kept.batch.columns().to_vec();
    for (position, views) in deferred {
        let array = materialise(bytes, views, numbers.iter().copied())
            .map_err(|fail| Diagnostic::error(Code::RecordTooLarge, fail.message(0)))?;
        if let Some(place) = arrays.get_mut(*position) {
            *place = array;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(kept.batch.num_rows()));
    RecordBatch::try_new_with_options(kept.batch.schema(), arrays, &options).map_err(internal)
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

impl Decoder for JsonDecoder {
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
                    self.single(&text, number);
                    if self.filter.is_some() || self.rows.len() >= self.batch_rows {
                        self.flush(&text, chunk, context, emit)?;
                    }
                }
                let nothing = Text { bytes: &[], valid_utf8: true, numbered: true };
                self.flush(&nothing, chunk, context, emit)
            }
            Payload::Rows(_) | Payload::RowGroup(_) | Payload::Messages(_) => {
                Err(Diagnostic::error(Code::Internal, "the json format reads bytes"))
            }
        }
    }
}

impl JsonDecoder {
    /// A record that stands alone: whatever follows it belongs to it.
    fn single(&mut self, text: &Text<'_>, number: u32) {
        let marked = text.bytes.starts_with(BYTE_ORDER_MARK);
        let start = skip_blanks(text.bytes, if marked { BYTE_ORDER_MARK.len() } else { 0 });
        let rest = text.bytes.get(start..).unwrap_or_default();
        let end = start + rest.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
        let alone = Text { bytes: text.bytes.get(..end).unwrap_or_default(), ..*text };
        let rows = self.rows.len();
        let behind = match alone.valid_utf8 {
            true => self.record(&alone, start, number),
            false => self.doubtful_record(&alone, start, number),
        };
        if behind < end && self.rows.len() > rows {
            self.objects.truncate(rows);
            self.rows.truncate(rows);
            let message = "malformed JSON: more text behind the object".to_string();
            let record = number..number;
            self.rejected.push(Reject { record, code: Code::DecodeFailed, message });
        }
    }
}
