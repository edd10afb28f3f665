//! Messages of a log into batches.
//!
//! ```text
//!   message ─► MessageReader ─► columns ─► batch ─► filter ─► emit
//!                  │ fails
//!                  └─► Reject (or skipped), columns cut back, next message
//! ```

use std::ops::Range;

use arrow::{
    array::ArrayRef,
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Decoded, Decoder, ExtraColumn, Payload, RecordPart, Reject, ScanRequest, Slices,
};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, DataType, Diagnostic, Result, TypeKind};

use super::{failure::Fail, reader::MessageReader, scanner::Pieces};
use crate::{
    builder::{Column, internal},
    filter,
};

/// A batch is handed over once its records hold so many bytes.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Who reads a message.
pub(super) trait Readers: Send {
    /// Reads it into the columns; after a failure they are cut back.
    ///
    /// # Errors
    /// The outer one: what no record can be blamed for.
    fn read(
        &mut self,
        message: &[u8],
        columns: &mut [Column],
        pieces: &mut Pieces,
    ) -> Result<std::result::Result<(), Fail>>;
}

impl Readers for MessageReader {
    #[inline]
    fn read(
        &mut self,
        message: &[u8],
        columns: &mut [Column],
        pieces: &mut Pieces,
    ) -> Result<std::result::Result<(), Fail>> {
        Ok(MessageReader::read(self, message, columns, pieces))
    }
}

/// Decodes messages.
pub(super) struct ProtobufDecoder<R> {
    readers: R,
    columns: Vec<Column>,
    /// For each column its position in the batch.
    positions: Vec<usize>,
    pieces: Pieces,
    skip_malformed: bool,
    filter: Option<Program>,
    extra: Vec<ExtraColumn>,
    schema: SchemaRef,
    batch_rows: usize,
    rows: Vec<Range<u32>>,
    bytes: usize,
    rejected: Vec<Reject>,
    skipped: u64,
}

/// An empty column. One that no message of a registry has a field for is NULL, but its type must be one that a
/// field can have.
fn column(data_type: &DataType) -> Result<Column> {
    match is_known(data_type) {
        true => Column::new(data_type),
        false => {
            let what = format!("the protobuf format has no {data_type}");
            Err(Diagnostic::error(Code::UnsupportedUse, what))
        }
    }
}

fn is_known(data_type: &DataType) -> bool {
    match &data_type.kind {
        TypeKind::Array(element) => is_known(element),
        TypeKind::Map(key, value) => is_known(key) && is_known(value),
        TypeKind::Row(fields) => fields.iter().all(|field| is_known(&field.data_type)),
        TypeKind::Boolean | TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => true,
        TypeKind::Float | TypeKind::Double | TypeKind::Decimal(..) => true,
        TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Binary(_) | TypeKind::Varbinary(_) => true,
        _ => false,
    }
}

impl<R: Readers> ProtobufDecoder<R> {
    /// A decoder into the columns of the scan that the connector doesn't fill; that is what the readers
    /// must read.
    pub fn new(
        readers: R,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
        skip_malformed: bool,
    ) -> Result<Self> {
        let own = (0..scan.schema.len()).filter(|at| extra.iter().all(|it| it.position != *at));
        let positions: Vec<usize> = own.collect();
        let fields = positions.iter().filter_map(|at| scan.schema.fields.get(*at));
        let columns = fields.map(|field| column(&field.data_type)).collect::<Result<_>>()?;
        Ok(Self {
            readers,
            columns,
            positions,
            pieces: Pieces::default(),
            skip_malformed,
            filter: scan.filter.clone(),
            extra,
            schema: scan.schema.arrow_schema(),
            batch_rows: scan.batch_rows.max(1),
            rows: Vec::new(),
            bytes: 0,
            rejected: Vec::new(),
            skipped: 0,
        })
    }

    #[inline]
    fn record(&mut self, message: &[u8], number: u32) -> Result<()> {
        if i32::try_from(message.len()).is_err() {
            let what = "a message is larger than 2 GiB".to_string();
            self.rejected.push(Reject {
                record: number..number,
                code: Code::RecordTooLarge,
                message: what,
                part: RecordPart::Value,
            });
            return Ok(());
        }
        match self.readers.read(message, &mut self.columns, &mut self.pieces)? {
            Ok(()) => {
                self.rows.push(number..number);
                self.bytes += message.len();
            }
            Err(fail) => self.refuse(number, &fail),
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, number: u32, fail: &Fail) {
        let rows = self.rows.len();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        if self.skip_malformed {
            self.skipped += 1;
        } else {
            let message = fail.message();
            self.rejected.push(Reject {
                record: number..number,
                code: Code::DecodeFailed,
                message,
                part: RecordPart::Value,
            });
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.batch_rows || self.bytes >= BATCH_BYTES_MAX
    }

    fn flush(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let count = self.rows.len();
        let read = (count + self.rejected.len()) as u64 + self.skipped;
        if read == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let decoded = Decoded {
            batch: self.batch(chunk, count)?,
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(count)),
            kinds: None,
            first_record: 0,
            read,
            filtered: 0,
            skipped: std::mem::take(&mut self.skipped),
            nulled: 0,
            rejected: std::mem::take(&mut self.rejected),
        };
        match &self.filter {
            Some(program) => emit(filter::apply(program, decoded, context)?),
            None => emit(decoded),
        }
    }

    fn batch(&mut self, chunk: &Chunk, rows: usize) -> Result<RecordBatch> {
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        for (column, position) in self.columns.iter_mut().zip(&self.positions) {
            if let Some(place) = arrays.get_mut(*position) {
                *place = Some(column.finish()?);
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
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(internal)
    }
}

impl<R: Readers> Decoder for ProtobufDecoder<R> {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let Payload::Records(records) = &chunk.payload else {
            return Err(internal("the protobuf format reads single records"));
        };
        for (number, (bytes, _)) in (0u32..).zip(records) {
            self.record(bytes, number)?;
            if self.is_full() {
                self.flush(chunk, context, emit)?;
            }
        }
        self.flush(chunk, context, emit)
    }

    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        for (number, message) in (0u32..).zip(messages.iter()) {
            match message {
                Some(message) => self.record(message, number)?,
                None => self.skipped += 1,
            }
            if self.is_full() {
                self.flush(chunk, context, emit)?;
            }
        }
        self.flush(chunk, context, emit)
    }
}
