//! Reading.
//!
//! ```text
//!   Location::list ─► FileReader ─┬─ TextFile: ByteStream ─► Cutter ─────► Payload::Bytes
//!                                 ├─ BlockFile (Avro) ───────────────────► Payload::Blocks
//!                                 └─ RowGroups (columnar) ───────────────► Payload::RowGroup
//! ```
//!
//! Invariants
//! - Files are opened in order of their path; each is one split. They are read one after the other,
//!   or, for event time, up to 64 of them in turn (see [`reader`]).
//! - A file is read up to the size it had when it was listed, as Flink does; a record that
//!   crosses that size is read to its end. What is appended later belongs to the next run.
//! - A resumed reader reads the files that were listed when the job began, and no others; with
//!   `source.monitor-interval` it then looks for those that have come since.

pub(crate) mod blocks;
pub(crate) mod bytes;
pub(crate) mod listing;
pub(crate) mod location;
pub(crate) mod metadata;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod text;

use flott_connector::{
    Chunk, ColumnKind, Decoder, ExtraColumn, Format, FormatRequest, Registry, ScanRequest, Source,
    SourceReader, TableColumn, TableDescription,
};
use flott_types::{Code, DataType, Diagnostic, Result};

#[cfg(test)]
mod tests;

use crate::{partition, settings::SourceSettings, validate::stored_schema};
use std::sync::Arc;

/// A table of files, ready to be read.
pub(crate) struct FileSource {
    table: TableDescription,
    scan: ScanRequest,
    settings: SourceSettings,
    format: Arc<dyn Format>,
}

impl FileSource {
    pub(crate) fn new(table: &TableDescription, scan: ScanRequest, registry: &Registry) -> Result<Self> {
        let settings = SourceSettings::new(table)?;
        let format = registry.format_of(table)?.clone();
        Ok(Self { table: table.clone(), scan, settings, format })
    }

    fn extra_columns(&self) -> Vec<ExtraColumn> {
        let columns = self.scan.projection.iter().enumerate();
        columns
            .filter_map(|(position, &column)| Some((position, self.table.columns.get(column)?)))
            .filter_map(|(position, column)| self.extra_column(position, column))
            .collect()
    }

    fn extra_column(&self, position: usize, column: &TableColumn) -> Option<ExtraColumn> {
        if let ColumnKind::Metadata { key, .. } = &column.kind {
            return Some(metadata::column(position, key, &column.data_type));
        }
        let is_key = self.table.partition_keys.contains(&column.name);
        is_key.then(|| partition_column(position, &column.name, &column.data_type))
    }
}

impl Source for FileSource {
    fn is_bounded(&self) -> bool {
        self.settings.monitor_interval.is_none()
    }
    fn applies_filter(&self) -> bool {
        // Formats' decoders do, all of them.
        true
    }
    fn replays(&self) -> bool {
        !self.settings.location.is_pipe()
    }
    fn reader(&self, resume: Option<&serde_json::Value>) -> Result<Box<dyn SourceReader>> {
        let framing = self.format.framing(&self.table.options)?;
        let header_lines = self.format.header_lines(&self.table.options)?;
        let reader = reader::FileReader::new(self.settings.clone(), framing, header_lines, resume)?;
        Ok(Box::new(if self.scan.even_time { reader.evenly_in_time() } else { reader }))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let request = FormatRequest { table: &self.table, schema: stored_schema(&self.table) };
        self.format.decoder(&request, &self.scan, self.extra_columns())
    }
}

fn partition_column(position: usize, name: &str, data_type: &DataType) -> ExtraColumn {
    let (name, data_type) = (name.to_string(), data_type.clone());
    let fill = move |chunk: &Chunk, rows: usize| {
        let value = chunk.split.partition.iter().find(|(key, _)| *key == name);
        let text = value.and_then(|(_, text)| text.as_deref());
        partition::to_column(text, &data_type, rows).map_err(|error| {
            let file = &chunk.split.name;
            let value = text.unwrap_or("NULL");
            Diagnostic::error(
                Code::InputUnreadable,
                format!("'{file}': directory '{name}={value}' cannot be read as {data_type}: {error}"),
            )
            .help("declare the partition column as STRING, or keep such directories out of the path")
        })
    };
    ExtraColumn { position, fill: Box::new(fill) }
}
