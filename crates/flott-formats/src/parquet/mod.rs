//! The `parquet` format.
//!
//! ```text
//!   file ─► row_groups ─► one chunk per row group ─► decoder: only the columns asked for,
//!                                                    matched by name, converted to our layout
//!   batch ─► encoder ─► row groups as they fill up ─► footer
//! ```
//!
//! Invariants
//! - Columns are matched by name; one that a file doesn't have is NULL.
//! - A file that can't be read is an error with its name, never a dead letter: no record of it
//!   can be told apart.
//! - Timestamps are written as INT64 with a logical type, never as INT96.
//!
//! Source: Flink documentation, "Parquet Format"; Apache Parquet format specification.

mod convert;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use flott_connector::{
    Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind, ScanRequest,
};
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Diagnostic, Options, Result, TypeKind};

pub use reader::{RowGroupInfo, row_groups};

/// The `parquet` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parquet;

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "parquet.compression",
        OptionKind::OneOf(&["UNCOMPRESSED", "SNAPPY", "GZIP", "LZ4_RAW", "ZSTD"]),
        "SNAPPY",
        "How pages are compressed.",
    ),
    OptionDef::optional(
        "parquet.block.size",
        OptionKind::MemorySize,
        "128 mb",
        "How large a row group grows; a writer keeps that much in memory.",
    ),
    OptionDef::optional("parquet.page.size", OptionKind::MemorySize, "1 mb", "How large a page grows."),
    OptionDef::optional(
        "parquet.page.row.count.limit",
        OptionKind::Integer,
        "20000",
        "How many rows a page holds at the most.",
    ),
    OptionDef::optional(
        "parquet.enable.dictionary",
        OptionKind::Boolean,
        "true",
        "Values that repeat are written once and referred to.",
    ),
    OptionDef::optional(
        "parquet.dictionary.page.size",
        OptionKind::MemorySize,
        "1 mb",
        "A column whose dictionary outgrows this goes on without one.",
    ),
    OptionDef::optional(
        "parquet.writer.version",
        OptionKind::OneOf(&["v1", "v2", "PARQUET_1_0", "PARQUET_2_0"]),
        "v1",
        "The version of data pages.",
    ),
    OptionDef::optional(
        "parquet.bloom.filter.enabled",
        OptionKind::Boolean,
        "false",
        "Whether every column gets a bloom filter.",
    ),
    OptionDef::optional(
        "parquet.utc-timezone",
        OptionKind::Boolean,
        "true",
        "TIMESTAMP values are written and read as they are; only 'true' is possible.",
    ),
    OptionDef::optional(
        "parquet.write.int64.timestamp",
        OptionKind::Boolean,
        "true",
        "Timestamps are written as INT64 with a logical type; only 'true' is possible.",
    ),
    OptionDef::optional(
        "parquet.timestamp.time.unit",
        OptionKind::OneOf(&["millis", "micros", "nanos"]),
        "",
        "The unit timestamps are written in; by default the coarsest that holds the column's precision.",
    ),
    OptionDef::optional(
        "parquet.batch-size",
        OptionKind::Integer,
        "",
        "Accepted for compatibility; Flott chooses the size of batches.",
    ),
];

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }
    fn doc(&self) -> &'static str {
        "Apache Parquet: compressed columns, read by row group, only the columns that are needed."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(writer::properties(&request.table.options).err());
        for field in &request.schema.fields {
            if holds(&field.data_type) {
                continue;
            }
            let column = request.table.columns.iter().find(|column| column.name == field.name);
            let message =
                format!("column '{}': the parquet format can't hold {}", field.name, field.data_type);
            errors.push(
                Diagnostic::error(Code::InvalidDefinition, message)
                    .at(column.map(|column| column.span).unwrap_or_default()),
            );
        }
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::RowGroups)
    }
    fn decoder(
        &self,
        _: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(reader::ParquetDecoder::new(scan, extra)))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(writer::ParquetEncoder::new(&request.table.options, &request.schema)?))
    }
}

/// Whether Parquet has a type for it.
fn holds(data_type: &DataType) -> bool {
    match &data_type.kind {
        TypeKind::Null | TypeKind::Interval(_) | TypeKind::Variant | TypeKind::Bitmap => false,
        TypeKind::Array(element) | TypeKind::Multiset(element) => holds(element),
        TypeKind::Map(key, value) => holds(key) && holds(value),
        // Parquet has no empty groups.
        TypeKind::Row(fields) => !fields.is_empty() && fields.iter().all(|field| holds(&field.data_type)),
        _ => true,
    }
}
