//! Messages and blocks of files into batches.
//!
//! ```text
//!   message, message, … ─► plan of its schema ─► columns ─► (envelope) ─► batch ─► filter ─► emit
//!                              │ fails
//!                              └─► Reject, columns truncated, next one
//! ```

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, Int8Array},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Decoded, Decoder, ExtraColumn, FormatRequest, Payload, RecordPart, Reject, ScanRequest, Slices,
};
use flott_expr::{EvalContext, Program};
use flott_schema_registry::{Registry, Settings};
use flott_types::{Code, Diagnostic, Field, Result};

use super::{
    AVRO, DEBEZIUM, envelope, file, given_schema, own_schema,
    read::read_row,
    registered::{HEAD_BYTES, Plans, id_of},
    resolve::{Node, resolve},
    schema::Schema,
    wire::Input,
};
use crate::{
    builder::{Column, internal},
    filter,
};

/// A batch is handed over once its records hold so many bytes, or items without a byte.
const BATCH_WEIGHT_MAX: usize = 16 << 20;

/// A writer's schema, and how its records are read.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub schema: Schema,
    pub plan: Node,
}

impl Prepared {
    /// # Errors
    /// Why such records can't be read into these columns.
    pub fn new(schema: Schema, columns: &[Field], reader: Option<&Arc<Schema>>) -> Result<Self, String> {
        let plan = resolve(&schema, columns, reader)?;
        Ok(Self { schema, plan })
    }
}

/// Where a message's schema comes from.
enum Writer {
    /// It is the table's own.
    Own(Box<Prepared>),
    Registry(Box<Plans>),
}

/// Decodes Avro.
pub(super) struct AvroDecoder {
    writer: Writer,
    /// The columns of a record that are read.
    fields: Vec<Field>,
    /// Records are envelopes around the columns.
    is_envelope: bool,
    /// Bytes behind a record make it bad.
    is_exact: bool,
    /// Whether it reads files: what came of them can't be replayed.
    of_files: bool,
    files: file::Headers,
    building: Building,
}

/// The batch being built.
pub(super) struct Building {
    pub columns: Vec<Column>,
    /// For each column, its position in the batch; within an envelope of the envelope's columns.
    positions: Vec<usize>,
    is_envelope: bool,
    filter: Option<Program>,
    extra: Vec<ExtraColumn>,
    schema: SchemaRef,
    /// Records that make a full batch.
    full: usize,
    /// Bytes of its records, and their items without a byte.
    weight: usize,
    /// Rows of the batch: where their records lie.
    rows: Vec<Range<u32>>,
    rejected: Vec<Reject>,
    skipped: u64,
}

impl AvroDecoder {
    /// Of messages in the schema of the table's columns, and of files.
    pub fn of_own_schema(
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Self> {
        let (_, schema) = own_schema(request, AVRO)?;
        let (fields, building) = Building::new(scan, extra, false)?;
        let prepared = Prepared::new(schema.as_ref().clone(), &fields, None).map_err(internal)?;
        Ok(Self {
            writer: Writer::Own(Box::new(prepared)),
            fields,
            is_envelope: false,
            // As in Flink: who writes more than the table has goes on being read.
            is_exact: false,
            of_files: request.table.options.get("connector") == Some("filesystem"),
            files: file::Headers::default(),
            building,
        })
    }

    /// Of messages that name their schema.
    pub fn of_registry(
        request: &FormatRequest<'_>,
        prefix: &str,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Self> {
        let options = &request.table.options;
        let registry = Registry::shared(&Settings::of(options, prefix)?)?;
        let reader = given_schema(options, prefix)?.map(|(_, schema)| schema);
        let is_envelope = prefix == DEBEZIUM;
        let (fields, building) = Building::new(scan, extra, is_envelope)?;
        Ok(Self {
            writer: Writer::Registry(Box::new(Plans::new(registry, reader))),
            fields,
            is_envelope,
            is_exact: true,
            of_files: false,
            files: file::Headers::default(),
            building,
        })
    }

    /// Reads one message.
    #[inline]
    fn message(&mut self, bytes: &[u8], place: Range<u32>) -> Result<()> {
        let Self { writer, fields, building, is_exact, .. } = self;
        let (prepared, start) = match writer {
            Writer::Own(prepared) => (&**prepared, 0),
            Writer::Registry(plans) => {
                let found = match id_of(bytes) {
                    Ok(id) => plans.get(id, fields)?,
                    Err(why) => Err(why),
                };
                match found {
                    Ok(prepared) => (prepared, HEAD_BYTES),
                    Err(why) => {
                        building.reject(place, why);
                        return Ok(());
                    }
                }
            }
        };
        let mut input = Input::new(bytes, start);
        match read_row(&prepared.plan, &prepared.schema, &mut building.columns, &mut input) {
            Ok(()) if *is_exact && input.left() > 0 => {
                let message = format!("{} bytes are left behind the record", input.left());
                building.undo(place, message);
            }
            Ok(()) => {
                building.add(place);
                building.weigh(bytes.len());
            }
            Err(fail) => building.undo(place, fail.message(0)),
        }
        Ok(())
    }
}

impl Building {
    /// For this scan; and the columns of a record that are read.
    fn new(scan: &ScanRequest, extra: Vec<ExtraColumn>, is_envelope: bool) -> Result<(Vec<Field>, Self)> {
        let (mut fields, mut positions) = (Vec::new(), Vec::new());
        for (position, field) in scan.schema.fields.iter().enumerate() {
            if !extra.iter().any(|it| it.position == position) {
                fields.push(field.clone());
                positions.push(position);
            }
        }
        if is_envelope {
            let inner = fields.into_iter().map(|it| (it.name, it.data_type));
            fields = envelope::columns(inner).into_iter().map(|(name, it)| Field::new(name, it)).collect();
        }
        let columns = fields.iter().map(|it| Column::new(&it.data_type)).collect::<Result<_>>()?;
        let building = Self {
            columns,
            positions,
            is_envelope,
            filter: scan.filter.clone(),
            extra,
            schema: scan.schema.arrow_schema(),
            // An envelope may hold two changes.
            full: if is_envelope { scan.batch_rows / 2 } else { scan.batch_rows }.max(1),
            weight: 0,
            rows: Vec::new(),
            rejected: Vec::new(),
            skipped: 0,
        };
        Ok((fields, building))
    }

    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.full || self.weight >= BATCH_WEIGHT_MAX
    }

    /// The record just added weighs so much.
    #[inline(always)]
    pub fn weigh(&mut self, weight: usize) {
        self.weight += weight;
    }

    /// The record at this place has been read.
    #[inline(always)]
    pub fn add(&mut self, place: Range<u32>) {
        self.rows.push(place);
    }

    #[cold]
    pub fn reject(&mut self, record: Range<u32>, message: String) {
        self.rejected.push(Reject { record, code: Code::DecodeFailed, message, part: RecordPart::Value });
    }

    /// The record at this place is bad: takes away what it left.
    #[cold]
    pub fn undo(&mut self, record: Range<u32>, message: String) {
        let rows = self.rows.len();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.reject(record, message);
    }

    pub fn flush(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        if self.rows.is_empty() && self.rejected.is_empty() && self.skipped == 0 {
            return Ok(());
        }
        self.weight = 0;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        let kinds = if self.is_envelope { Some(self.open(&mut arrays)?) } else { None };
        if !self.is_envelope {
            for (column, position) in self.columns.iter_mut().zip(&self.positions) {
                if let Some(place) = arrays.get_mut(*position) {
                    *place = Some(column.finish()?);
                }
            }
        }
        let count = self.rows.len();
        for extra in &self.extra {
            if let Some(place) = arrays.get_mut(extra.position) {
                *place = Some((extra.fill)(chunk, count)?);
            }
        }
        let arrays: Option<Vec<ArrayRef>> = arrays.into_iter().collect();
        let arrays = arrays.ok_or_else(|| internal("a column of the batch is missing"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        let decoded = Decoded {
            batch: batch.map_err(internal)?,
            rows: std::mem::replace(&mut self.rows, Vec::with_capacity(count + count / 8)),
            kinds,
            first_record: 0,
            read: (count + self.rejected.len()) as u64 + self.skipped,
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

    /// Takes the rows out of their envelopes.
    fn open(&mut self, arrays: &mut [Option<ArrayRef>]) -> Result<Int8Array> {
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let opened = envelope::open(&columns)?;
        for (column, position) in opened.columns.into_iter().zip(&self.positions) {
            if let Some(place) = arrays.get_mut(*position) {
                *place = Some(column);
            }
        }
        let places = std::mem::take(&mut self.rows);
        let place = |record: usize| places.get(record).cloned().unwrap_or(0..0);
        self.rows = opened.records.iter().map(|record| place(*record)).collect();
        for (record, message) in opened.bad {
            self.rejected.push(Reject {
                record: place(record),
                code: Code::DecodeFailed,
                message,
                part: RecordPart::Value,
            });
        }
        self.rejected.sort_by_key(|reject| reject.record.start);
        Ok(opened.kinds)
    }
}

impl Decoder for AvroDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        match &chunk.payload {
            Payload::Blocks(blocks) => {
                let prepared = self.files.get(blocks, &self.fields, &chunk.split.name)?;
                file::decode(blocks, &prepared, &mut self.building, chunk, context, emit)?;
            }
            Payload::Records(_) if self.of_files => {
                return Err(Diagnostic::not_supported("replaying dead letters of Avro files")
                    .help("their schema stands in the file they came from: mend and read that one"));
            }
            Payload::Records(records) => {
                for (number, (bytes, _)) in records.iter().enumerate() {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    self.message(bytes, number..number)?;
                    if self.building.is_full() {
                        self.building.flush(chunk, context, emit)?;
                    }
                }
            }
            Payload::Bytes(_) | Payload::Rows(_) | Payload::RowGroup(_) | Payload::Messages(_) => {
                return Err(internal("the avro formats read messages and blocks"));
            }
        }
        self.building.flush(chunk, context, emit)
    }

    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        for (number, message) in messages.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            match message {
                // Debezium's tombstones may be empty.
                Some(bytes) if !(self.is_envelope && bytes.is_empty()) => {
                    self.message(bytes, number..number)?;
                }
                _ => self.building.skipped += 1,
            }
            if self.building.is_full() {
                self.building.flush(chunk, context, emit)?;
            }
        }
        self.building.flush(chunk, context, emit)
    }
}
