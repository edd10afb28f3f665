//! `datagen`: random or counting values for columns of any type, with Flink's options.
//!
//! ```text
//!   fields.<column>.<option>           a column
//!   fields.<column>.element.<option>   the elements of an ARRAY or MULTISET
//!   fields.<column>.key|value.<option> the entries of a MAP
//!   fields.<column>.<field>.<option>   a field of a ROW
//! ```

mod column;
mod settings;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use flott_connector::{
    Chunk, Connector, Decoded, Decoder, OptionDef, OptionKind, Registry, ScanRequest, Sink, SinkRequest,
    Source, SourceReader, TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{Diagnostic, Result};
use serde_json::Value;

use self::{column::Column, settings::Settings};
use crate::{
    SEED_OPTION, only_reads,
    pace::{Pacer, batch, pieces},
    refuse_metadata,
};

const ROWS_PER_SECOND_DEFAULT: u64 = 10_000;

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional("rows-per-second", OptionKind::Integer, "10000", "How many rows come in a second."),
    OptionDef::optional(
        "number-of-rows",
        OptionKind::Integer,
        "",
        "How many rows come in all. Without it rows come until a sequence ends, or for ever.",
    ),
    SEED_OPTION,
    OptionDef::optional(
        "fields.#.kind",
        OptionKind::OneOf(&["random", "sequence"]),
        "random",
        "Random values, or numbers that count from `start` to `end`.",
    ),
    OptionDef::optional(
        "fields.#.min",
        OptionKind::Number,
        "",
        "The least random value of a number; default: the least of the type, 0 for FLOAT, DOUBLE, DECIMAL.",
    ),
    OptionDef::optional(
        "fields.#.max",
        OptionKind::Number,
        "",
        "The greatest random value of a number; default: the greatest of the type.",
    ),
    OptionDef::optional(
        "fields.#.max-past",
        OptionKind::Duration,
        "0",
        "How far a random TIMESTAMP or TIMESTAMP_LTZ lies in the past at the most.",
    ),
    OptionDef::optional(
        "fields.#.length",
        OptionKind::Integer,
        "",
        "Length of random texts (default 100, or the type's) and collections (default 3).",
    ),
    OptionDef::optional(
        "fields.#.var-len",
        OptionKind::Boolean,
        "false",
        "Random texts have from 1 to `length` characters (VARCHAR, STRING, VARBINARY, BYTES).",
    ),
    OptionDef::optional("fields.#.null-rate", OptionKind::Number, "0", "The share of values that are NULL."),
    OptionDef::optional("fields.#.start", OptionKind::Integer, "", "The first number of a sequence."),
    OptionDef::optional("fields.#.end", OptionKind::Integer, "", "The last number of a sequence."),
];

/// The connector.
pub(crate) struct Datagen;

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }
    fn doc(&self) -> &'static str {
        "Makes rows of random or counting values, the same in every run with the same seed."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        false
    }
    fn is_bounded(&self, table: &TableDescription) -> bool {
        Settings::read(table, &mut Vec::new()).rows.is_some()
    }
    fn validate(&self, table: &TableDescription, _: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        refuse_metadata(self.name(), table, errors);
        Settings::read(table, errors);
    }
    fn source(&self, table: &TableDescription, scan: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        let mut errors = Vec::new();
        let settings = Settings::read(table, &mut errors);
        if let Some(error) = errors.into_iter().next() {
            return Err(error.at(table.span));
        }
        let columns = scan.projection.iter().filter_map(|&i| settings.columns.get(i).cloned()).collect();
        Ok(Arc::new(DatagenSource {
            rows: settings.rows,
            rows_per_second: settings.rows_per_second,
            columns,
            schema: scan.schema.arrow_schema(),
            batch_rows: scan.batch_rows,
        }))
    }
    fn sink(&self, table: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Err(only_reads(self.name(), table))
    }
}

struct DatagenSource {
    rows: Option<u64>,
    rows_per_second: u64,
    columns: Arc<[Column]>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Source for DatagenSource {
    fn is_bounded(&self) -> bool {
        self.rows.is_some()
    }
    fn replays(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(Pacer::new("datagen", Some(self.rows_per_second), self.rows, resume)?))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let row_bytes = self.columns.iter().fold(0usize, |sum, it| sum.saturating_add(it.row_bytes()));
        // Arrow counts the bytes of a column with 32 bits, and memory is bounded.
        let batch_rows = self.batch_rows.min((settings::BATCH_BYTES_MAX / row_bytes.max(1)).max(1));
        let (columns, schema) = (self.columns.clone(), self.schema.clone());
        Ok(Box::new(DatagenDecoder { columns, schema, batch_rows }))
    }
}

struct DatagenDecoder {
    columns: Arc<[Column]>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Decoder for DatagenDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        for (rows, first_record) in pieces(chunk, self.batch_rows)? {
            let arrays: Result<Vec<_>> =
                self.columns.iter().map(|column| column.generate(rows.clone(), context.now_micros)).collect();
            let count = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
            emit(Decoded::all(batch(&self.schema, arrays?, count)?, first_record))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
