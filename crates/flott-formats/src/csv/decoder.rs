//! Chunks of CSV records to batches.
//!
//! ```text
//!   chunk ─► scan a block of records ─► fill every column of the block ─┐
//!               ▲                                                       │ until `batch_rows`
//!               └───────────────────────────────────────────────────────┘ or the chunk's end
//!            ─► take out rejected rows ─► pushed-down filter ─► Decoded
//! ```
//!
//! A block is small enough that its bytes and field ends stay in the first-level cache while
//! one column after the other reads them.

use std::ops::Range;

use arrow::{
    array::{ArrayRef, BooleanArray, BooleanBufferBuilder},
    compute::filter_record_batch,
    datatypes::SchemaRef,
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Decoded, Decoder, ExtraColumn, Payload, RecordPart, Reject, ScanRequest, Slices,
};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema};

use super::{
    bare::Bared,
    column::{Column, Input, Rules},
    messages::Lines,
    scan::{Dialect, Scan, Trouble},
    settings::Settings,
};
use crate::filter;

/// Fields of a block: their ends take four bytes each.
const BLOCK_FIELDS: usize = 5_000;
/// A batch of replayed records is handed over once it holds so many bytes.
const REPLAYED_BYTES_MAX: usize = 64 << 20;
/// Characters of a bad field that a message shows.
const SHOWN_MAX: usize = 80;

/// Decodes chunks of whole CSV records.
pub struct CsvDecoder {
    pub(super) settings: Settings,
    rules: Rules,
    pub(super) scan: Scan,
    /// Columns of the file that are read.
    wanted: Vec<Wanted>,
    extra: Vec<ExtraColumn>,
    schema: SchemaRef,
    filter: Option<Program>,
    pub(super) batch_rows: usize,
    pub(super) block_rows: usize,
    pub(super) holds_text: bool,
    bared: Bared,
    pub(super) pending: Pending,
    /// Messages joined to lines (see `messages.rs`).
    pub(super) lines: Lines,
}

/// A column of the file that the plan wants.
struct Wanted {
    /// Position in the file.
    place: usize,
    /// Position in the batch.
    position: usize,
    field: Field,
    column: Column,
}

/// Records since the last batch.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) rows: Vec<Range<u32>>,
    /// Row in the batch, position of the column, what is wrong.
    faults: Vec<(u32, usize, String)>,
    pub(super) rejected: Vec<Reject>,
    pub(super) skipped: u64,
    nulled: u64,
    bytes: usize,
}

impl CsvDecoder {
    /// A decoder for files of these columns.
    ///
    /// # Errors
    /// Only bugs: a wanted column that neither the file nor the connector has.
    pub fn new(
        settings: Settings,
        file: &Schema,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Self> {
        let batch_rows = scan.batch_rows.max(1);
        let mut wanted = Vec::new();
        for (position, field) in scan.schema.fields.iter().enumerate() {
            if extra.iter().any(|extra| extra.position == position) {
                continue;
            }
            let Some(place) = file.index_of(&field.name) else {
                return Err(internal(format!("column '{}' is nowhere in the file", field.name)));
            };
            let column = Column::new(&field.data_type, batch_rows);
            wanted.push(Wanted { place, position, field: field.clone(), column });
        }
        // In the file's order: neighbouring fields share cache lines.
        wanted.sort_by_key(|wanted| wanted.place);
        let dialect = Dialect {
            delimiter: settings.delimiter,
            quote: settings.quote,
            escape: settings.escape,
            comments: settings.comments,
        };
        Ok(Self {
            rules: Rules {
                null_literal: settings.null_literal.clone(),
                element_delimiter: settings.element_delimiter.clone(),
                lenient: settings.ignore_errors,
            },
            scan: Scan::new(dialect, file.len(), settings.ignore_errors),
            holds_text: wanted.iter().any(|wanted| Column::holds_text(&wanted.field.data_type)),
            wanted,
            extra,
            schema: scan.schema.arrow_schema(),
            filter: scan.filter.clone(),
            batch_rows,
            block_rows: (BLOCK_FIELDS / file.len().max(1)).clamp(16, 1024),
            bared: Bared::default(),
            pending: Pending::default(),
            lines: Lines::default(),
            settings,
        })
    }

    /// Takes in records. `number` is the record's own number where one was given alone; batches
    /// then collect records of several calls.
    fn feed(&mut self, bytes: &[u8], number: Option<u32>, call: &mut Call<'_>) -> Result<()> {
        if i32::try_from(bytes.len()).is_err() {
            return Err(Diagnostic::error(
                Code::RecordTooLarge,
                format!("a csv record of '{}' is larger than 2 GiB", call.chunk.split.name),
            ));
        }
        let utf8 = !self.holds_text || simdutf8::basic::from_utf8(bytes).is_ok();
        let at_file_start = number.is_none() && call.chunk.offset == 0;
        let mut at = if at_file_start && bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        while at < bytes.len() {
            let limit = self.block_rows.min(self.batch_rows.saturating_sub(self.pending.rows.len()).max(1));
            let next = self.scan.block(bytes, at, limit);
            self.pending.bytes += next - at;
            at = next;
            self.fill_columns(Input { source: bytes, utf8 });
            self.note_records(number);
            if self.pending.rows.len() >= self.batch_rows || self.pending.bytes > REPLAYED_BYTES_MAX {
                self.flush(call)?;
            }
        }
        Ok(())
    }

    /// Appends the scanned block to every column.
    pub(super) fn fill_columns(&mut self, input: Input<'_>) {
        let first_row = self.pending.rows.len() as u32;
        let mut bad = Vec::new();
        for wanted in &mut self.wanted {
            if self.scan.special {
                let fields = self.scan.spans(wanted.place);
                let (source, spans) = self.bared.of(input.source, fields, &self.settings);
                let input = Input { source, ..input };
                wanted.column.fill(input, spans.iter().cloned(), &self.rules, &mut bad);
            } else {
                wanted.column.fill(input, self.scan.spans(wanted.place), &self.rules, &mut bad);
            }
            if self.settings.ignore_errors {
                self.pending.nulled += bad.len() as u64;
                bad.clear();
            }
            for row in bad.drain(..) {
                let span = self.scan.span((row - first_row) as usize, wanted.place);
                let text = input.source.get(span).unwrap_or_default();
                self.pending.faults.push((row, wanted.position, complaint(&wanted.field, text)));
            }
        }
    }

    /// Notes where the block's records lie and what became of those that are none.
    pub(super) fn note_records(&mut self, number: Option<u32>) {
        self.note_records_at(|row| number.map_or_else(|| row.clone(), |number| number..number));
    }

    /// As `note_records`; `place` says where a record of the bytes scanned lies in the chunk.
    pub(super) fn note_records_at(&mut self, place: impl Fn(&Range<u32>) -> Range<u32>) {
        self.pending.rows.extend(self.scan.rows.iter().map(&place));
        for (row, trouble) in &self.scan.bad {
            if self.settings.ignore_errors {
                self.pending.skipped += 1;
                continue;
            }
            let message = trouble_message(*trouble, self.scan.columns());
            self.pending.rejected.push(Reject {
                record: place(row),
                code: Code::DecodeFailed,
                message,
                part: RecordPart::Value,
            });
        }
    }

    /// Hands over what has gathered.
    pub(super) fn flush(&mut self, call: &mut Call<'_>) -> Result<()> {
        let Pending { rows, mut faults, mut rejected, skipped, nulled, .. } =
            std::mem::take(&mut self.pending);
        if rows.is_empty() && rejected.is_empty() && skipped == 0 {
            return Ok(());
        }
        let read = rows.len() as u64 + rejected.len() as u64 + skipped;
        let mut batch = self.batch(call.chunk, rows.len())?;
        let mut kept = rows;
        if !faults.is_empty() {
            faults.sort_by_key(|(row, position, _)| (*row, *position));
            faults.dedup_by_key(|(row, ..)| *row);
            let mut keep = BooleanBufferBuilder::new(kept.len());
            keep.append_n(kept.len(), true);
            for (row, _, message) in faults {
                keep.set_bit(row as usize, false);
                let record = kept.get(row as usize).cloned().unwrap_or_default();
                rejected.push(Reject { record, code: Code::DecodeFailed, message, part: RecordPart::Value });
            }
            let keep = keep.finish();
            kept = keep.set_indices().filter_map(|row| kept.get(row).cloned()).collect();
            batch = filter_record_batch(&batch, &BooleanArray::new(keep, None)).map_err(arrow_bug)?;
        }
        rejected.sort_by_key(|reject| reject.record.start);
        let mut decoded = Decoded {
            batch,
            rows: kept,
            kinds: None,
            first_record: 0,
            read,
            filtered: 0,
            skipped,
            nulled,
            rejected,
        };
        if let Some(program) = &self.filter {
            decoded = filter::apply(program, decoded, call.context)?;
        }
        (call.emit)(decoded)
    }

    fn batch(&mut self, chunk: &Chunk, rows: usize) -> Result<RecordBatch> {
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        for wanted in &mut self.wanted {
            if let Some(slot) = arrays.get_mut(wanted.position) {
                *slot = Some(wanted.column.finish().map_err(arrow_bug)?);
            }
        }
        for extra in &self.extra {
            if let Some(slot) = arrays.get_mut(extra.position) {
                *slot = Some((extra.fill)(chunk, rows)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays.into_iter().flatten().collect(),
            &options,
        )
        .map_err(arrow_bug)
    }
}

/// What one call of `decode` was given.
pub(super) struct Call<'a> {
    chunk: &'a Chunk,
    context: &'a EvalContext,
    emit: &'a mut dyn FnMut(Decoded) -> Result<()>,
}

impl Decoder for CsvDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let mut call = Call { chunk, context, emit };
        match &chunk.payload {
            Payload::Bytes(bytes) => self.feed(bytes, None, &mut call)?,
            Payload::Records(records) => {
                for (number, (bytes, _)) in records.iter().enumerate() {
                    self.feed(bytes, Some(u32::try_from(number).unwrap_or(u32::MAX)), &mut call)?;
                }
            }
            Payload::Rows(_) | Payload::RowGroup(_) | Payload::Blocks(_) | Payload::Messages(_) => {
                return Err(internal("the csv format decodes bytes only".into()));
            }
        }
        self.flush(&mut call)
    }

    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        self.feed_messages(messages, &mut Call { chunk, context, emit })
    }
}

fn complaint(field: &Field, text: &[u8]) -> String {
    let name = &field.name;
    let Ok(text) = std::str::from_utf8(text) else {
        return format!("column '{name}': the bytes are not valid UTF-8");
    };
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("column '{name}': '{shown}' is not {}", with_article(&field.data_type))
}

fn with_article(data_type: &DataType) -> String {
    let text = data_type.kind.to_string();
    let article = if text.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {text}")
}

fn trouble_message(trouble: Trouble, columns: usize) -> String {
    match trouble {
        Trouble::TooFew(count) | Trouble::TooMany(count) => {
            let fields = if columns == 1 { "field" } else { "fields" };
            format!("expected {columns} {fields} but found {count}")
        }
        Trouble::AfterQuote => "text after a closing quote".into(),
        Trouble::Unclosed => "a quote is never closed".into(),
    }
}

fn internal(message: String) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, message)
}

fn arrow_bug(error: ArrowError) -> Box<Diagnostic> {
    internal(error.to_string())
}
