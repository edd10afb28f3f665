//! Row groups to batches.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef},
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{Chunk, Decoded, Decoder, ExtraColumn, Payload, ScanRequest};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, Diagnostic, Result};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::Type as PhysicalType,
};

use super::convert::convert;
use crate::filter;

/// A row group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowGroupInfo {
    /// Rows in it.
    pub rows: u64,
    /// Bytes of it in the file, compressed.
    pub bytes: u64,
}

/// The row groups of a file, in order.
///
/// # Errors
/// `InputUnreadable`: the file can't be opened or isn't Parquet.
pub fn row_groups(path: &Path) -> Result<Vec<RowGroupInfo>> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&name, error))?;
    let metadata = ArrowReaderMetadata::load(&file, neutral()).map_err(|error| unreadable(&name, error))?;
    let info = |group: &parquet::file::metadata::RowGroupMetaData| RowGroupInfo {
        rows: u64::try_from(group.num_rows()).unwrap_or(0),
        bytes: u64::try_from(group.compressed_size()).unwrap_or(0),
    };
    Ok(metadata.metadata().row_groups().iter().map(info).collect())
}

/// What the file says in Parquet's own types; what its writer's Arrow types were doesn't matter.
fn neutral() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

fn unreadable(file: &str, error: impl std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::InputUnreadable, format!("cannot read '{file}' as parquet: {error}"))
}

/// Decodes row groups.
pub struct ParquetDecoder {
    schema: SchemaRef,
    extra: Vec<ExtraColumn>,
    filter: Option<Program>,
    batch_rows: usize,
    /// The file of the last chunk: its row groups usually come one after the other.
    opened: Option<Opened>,
}

struct Opened {
    name: String,
    file: File,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
}

impl ParquetDecoder {
    /// A decoder for these columns.
    pub fn new(scan: &ScanRequest, extra: Vec<ExtraColumn>) -> Self {
        Self {
            schema: scan.schema.arrow_schema(),
            extra,
            filter: scan.filter.clone(),
            batch_rows: scan.batch_rows.max(1),
            opened: None,
        }
    }

    /// The file of this name, opened once for all its row groups.
    fn open(&mut self, name: &str) -> Result<&Opened> {
        let opened = match self.opened.take() {
            Some(opened) if opened.name == name => opened,
            _ => self.open_anew(name)?,
        };
        Ok(self.opened.insert(opened))
    }

    fn open_anew(&self, name: &str) -> Result<Opened> {
        let wrong = |error: &dyn std::fmt::Display| unreadable(name, error);
        let file = File::open(name).map_err(|error| wrong(&error))?;
        let mut metadata = ArrowReaderMetadata::load(&file, neutral()).map_err(|error| wrong(&error))?;
        if let Some(schema) = self.int96_units(&metadata) {
            let options = neutral().with_schema(schema);
            metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
                .map_err(|error| wrong(&error))?;
        }
        let roots: Vec<usize> = metadata
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| self.reads(field.name()))
            .map(|(root, _)| root)
            .collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        Ok(Opened { name: name.to_string(), file, metadata, mask })
    }

    fn reads(&self, name: &str) -> bool {
        let mut wanted = self.schema.fields().iter().enumerate();
        wanted.any(|(position, field)| {
            field.name() == name && self.extra.iter().all(|extra| extra.position != position)
        })
    }

    /// INT96 reaches far beyond 64-bit nanoseconds: such columns are read in the unit declared.
    /// `None` if the file has none of them.
    fn int96_units(&self, metadata: &ArrowReaderMetadata) -> Option<SchemaRef> {
        let columns = metadata.parquet_schema();
        let is_int96 = |root: usize| {
            let mut leaves =
                (0..columns.num_columns()).filter(|leaf| columns.get_column_root_idx(*leaf) == root);
            leaves.next().is_some_and(|leaf| columns.column(leaf).physical_type() == PhysicalType::INT96)
        };
        let mut changed = false;
        let mut fields = Vec::new();
        for (root, field) in metadata.schema().fields().iter().enumerate() {
            let declared = self.schema.field_with_name(field.name()).map(ArrowField::data_type);
            match (field.data_type(), declared) {
                (ArrowType::Timestamp(..), Ok(ArrowType::Timestamp(unit, _))) if is_int96(root) => {
                    changed = true;
                    let unit = ArrowType::Timestamp(*unit, None);
                    fields.push(Arc::new(field.as_ref().clone().with_data_type(unit)));
                }
                _ => fields.push(field.clone()),
            }
        }
        changed.then(|| Arc::new(ArrowSchema::new(fields)))
    }

    /// A batch of the file as a batch of the table.
    fn shape(&self, chunk: &Chunk, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let file_schema = batch.schema();
        let places: HashMap<&str, usize> = file_schema
            .fields()
            .iter()
            .enumerate()
            .map(|(place, field)| (field.name().as_str(), place))
            .collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (position, field) in self.schema.fields().iter().enumerate() {
            if let Some(extra) = self.extra.iter().find(|extra| extra.position == position) {
                columns.push((extra.fill)(chunk, rows)?);
                continue;
            }
            columns.push(match places.get(field.name().as_str()) {
                Some(place) => convert(batch.column(*place), field.data_type()).map_err(|why| {
                    unreadable(&chunk.split.name, format!("column '{}': {why}", field.name()))
                })?,
                None => new_null_array(field.data_type(), rows),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error: ArrowError| Diagnostic::error(Code::Internal, error.to_string()))
    }
}

impl Decoder for ParquetDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let number = match &chunk.payload {
            Payload::RowGroup(number) => *number,
            Payload::Records(_) => {
                return Err(Diagnostic::not_supported("replaying dead letters of Parquet files")
                    .help("the letters hold the rows as JSON: read them from a table with that format"));
            }
            Payload::Bytes(_) | Payload::Blocks(_) | Payload::Rows(_) | Payload::Messages(_) => {
                return Err(Diagnostic::error(Code::Internal, "the parquet format decodes row groups only"));
            }
        };
        let name = chunk.split.name.as_str();
        let batch_rows = self.batch_rows;
        let opened = self.open(name)?;
        if number >= opened.metadata.metadata().num_row_groups() {
            return Err(unreadable(name, format!("it has no row group {number}")));
        }
        let file = opened.file.try_clone().map_err(|error| unreadable(name, error))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone())
            .with_projection(opened.mask.clone())
            .with_row_groups(vec![number])
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| unreadable(name, error))?;
        let mut first_record = 0u32;
        for batch in reader {
            let batch = self.shape(chunk, &batch.map_err(|error| unreadable(name, error))?)?;
            let mut decoded = Decoded::all(batch, first_record);
            first_record = first_record.saturating_add(u32::try_from(decoded.read).unwrap_or(u32::MAX));
            if let Some(program) = &self.filter {
                decoded = filter::apply(program, decoded, context)?;
            }
            emit(decoded)?;
        }
        Ok(())
    }
}
