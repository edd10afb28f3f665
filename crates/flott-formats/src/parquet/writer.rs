//! Batches to a Parquet file.
//!
//! The writer keeps the row group under construction, already encoded and compressed, and
//! hands it over when it is full. Statistics are kept per column chunk, which is what readers
//! skip row groups by; there are no page indexes.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as ArrowType, Field, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::Encoder;
use flott_types::{Code, Diagnostic, Options, Result, Schema};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};

use super::convert::convert;

/// Rows of a row group at the most.
const ROW_GROUP_ROWS_MAX: usize = 1 << 20;
/// About what a column chunk costs until the footer is written.
const CHUNK_METADATA_BYTES: usize = 512;

/// Encodes a Parquet file.
pub struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl ParquetEncoder {
    /// An encoder for one file.
    ///
    /// # Errors
    /// `InvalidOption`, `NotSupported`
    pub fn new(options: &Options, schema: &Schema) -> Result<Self> {
        let unit = options.parsed("parquet.timestamp.time.unit", time_unit)?;
        let fields: Fields =
            schema.arrow_schema().fields().iter().map(|field| in_unit(field, unit)).collect();
        let schema: SchemaRef = Arc::new(ArrowSchema::new(fields));
        let writer_options = ArrowWriterOptions::new()
            .with_properties(properties(options)?)
            .with_skip_arrow_metadata(true)
            .with_schema_root("flink_schema".into());
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), writer_options)
            .map_err(|error| failed(&error))?;
        Ok(Self { writer, schema })
    }

    fn shape(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(self.schema.fields()) {
            columns.push(convert(column, field.data_type()).map_err(|error| failed(&error))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| failed(&error))
    }
}

impl Encoder for ParquetEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let batch = self.shape(batch)?;
        self.writer.write(&batch).map_err(|error| failed(&error))?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(|error| failed(&error))?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
    fn buffered(&self) -> usize {
        self.writer.in_progress_size()
    }
    fn memory(&self) -> usize {
        let chunks = self.writer.flushed_row_groups().len() * self.schema.fields().len();
        self.writer.memory_size() + chunks * CHUNK_METADATA_BYTES
    }
    fn flush_group(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.flush().map_err(|error| failed(&error))?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}

fn failed(error: &dyn std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, format!("cannot write parquet: {error}"))
}

/// What the `parquet.*` options ask for.
///
/// # Errors
/// `InvalidOption`, `NotSupported`
pub fn properties(options: &Options) -> Result<WriterProperties> {
    refuse_false(options, "parquet.write.int64.timestamp", "INT96 timestamps in parquet files")?;
    refuse_false(
        options,
        "parquet.utc-timezone",
        "shifting timestamps in parquet files by the local time zone",
    )?;
    let size = |key: &str, default: usize| -> Result<usize> {
        let bytes = options.memory_size(key)?.and_then(|bytes| usize::try_from(bytes).ok());
        match bytes.unwrap_or(default) {
            0 => Err(Diagnostic::error(Code::InvalidOption, format!("option '{key}': expected more than 0"))
                .at(options.span(key))),
            bytes => Ok(bytes),
        }
    };
    let rows = options.parsed("parquet.page.row.count.limit", positive)?.unwrap_or(20_000);
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("flott ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(options.parsed("parquet.compression", compression)?.unwrap_or(Compression::SNAPPY))
        .set_max_row_group_bytes(Some(size("parquet.block.size", 128 << 20)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_size_limit(size("parquet.page.size", 1 << 20)?)
        .set_data_page_row_count_limit(rows)
        .set_dictionary_enabled(options.boolean("parquet.enable.dictionary")?.unwrap_or(true))
        .set_dictionary_page_size_limit(size("parquet.dictionary.page.size", 1 << 20)?)
        .set_bloom_filter_enabled(options.boolean("parquet.bloom.filter.enabled")?.unwrap_or(false))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_coerce_types(true);
    if let Some(version) = options.parsed("parquet.writer.version", writer_version)? {
        builder = builder.set_writer_version(version);
    }
    Ok(builder.build())
}

fn refuse_false(options: &Options, key: &str, what: &str) -> Result<()> {
    match options.boolean(key)? {
        Some(false) => Err(Diagnostic::not_supported(what).at(options.span(key))),
        _ => Ok(()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.trim().parse().ok().filter(|it| *it > 0).ok_or_else(|| "expected a whole number above 0".into())
}

fn compression(text: &str) -> Result<Compression, String> {
    match text.to_ascii_uppercase().as_str() {
        "UNCOMPRESSED" => Ok(Compression::UNCOMPRESSED),
        "SNAPPY" => Ok(Compression::SNAPPY),
        "GZIP" => Ok(Compression::GZIP(GzipLevel::default())),
        "LZ4_RAW" => Ok(Compression::LZ4_RAW),
        "ZSTD" => Ok(Compression::ZSTD(ZstdLevel::default())),
        "LZO" | "BROTLI" | "LZ4" => Err("this codec is not supported yet; use SNAPPY or ZSTD".into()),
        _ => Err("expected one of UNCOMPRESSED, SNAPPY, GZIP, LZ4_RAW, ZSTD".into()),
    }
}

fn writer_version(text: &str) -> Result<WriterVersion, String> {
    match text.to_ascii_lowercase().as_str() {
        "v1" | "parquet_1_0" => Ok(WriterVersion::PARQUET_1_0),
        "v2" | "parquet_2_0" => Ok(WriterVersion::PARQUET_2_0),
        _ => Err("expected v1 or v2".into()),
    }
}

fn time_unit(text: &str) -> Result<TimeUnit, String> {
    match text {
        "millis" => Ok(TimeUnit::Millisecond),
        "micros" => Ok(TimeUnit::Microsecond),
        "nanos" => Ok(TimeUnit::Nanosecond),
        _ => Err("expected millis, micros or nanos".into()),
    }
}

/// The field with its timestamp, if it is one, counted in `unit`.
fn in_unit(field: &Arc<Field>, unit: Option<TimeUnit>) -> Arc<Field> {
    match (field.data_type(), unit) {
        (ArrowType::Timestamp(_, zone), Some(unit)) => {
            let timestamp = ArrowType::Timestamp(unit, zone.clone());
            Arc::new(field.as_ref().clone().with_data_type(timestamp))
        }
        _ => field.clone(),
    }
}
