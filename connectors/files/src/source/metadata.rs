//! Metadata columns: what a record's file is called and when it was written.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array},
    compute::{cast, take},
};
use flott_connector::{Chunk, ExtraColumn};
use flott_types::{Code, DataType, Diagnostic, TypeKind};

/// Key, SQL type, one sentence.
pub(crate) const KEYS: &[(&str, &str, &str)] = &[
    ("file.path", "STRING NOT NULL", "Full path of the file."),
    ("file.name", "STRING NOT NULL", "Name of the file: the last part of its path."),
    ("file.size", "BIGINT NOT NULL", "Size of the file in bytes, as it lies on disk."),
    ("file.modification-time", "TIMESTAMP_LTZ(3) NOT NULL", "When the file was last changed."),
];

/// Whether the metadata can be read as this type.
pub(crate) fn fits(key: &str, data_type: &DataType) -> bool {
    match key {
        "file.path" | "file.name" => matches!(data_type.kind, TypeKind::Varchar(_)),
        "file.size" => data_type.is_numeric(),
        _ => matches!(data_type.kind, TypeKind::TimestampLtz(_)),
    }
}

/// The column that the connector fills for a metadata key.
pub(crate) fn column(position: usize, key: &str, data_type: &DataType) -> ExtraColumn {
    let (key, target) = (key.to_string(), data_type.arrow_type());
    let fill = move |chunk: &Chunk, rows: usize| {
        let split = &chunk.split;
        let one: ArrayRef = match key.as_str() {
            "file.path" => Arc::new(StringArray::from(vec![split.name.as_str()])),
            "file.name" => Arc::new(StringArray::from(vec![file_name(&split.name)])),
            "file.size" => {
                Arc::new(Int64Array::from(vec![split.size.and_then(|size| i64::try_from(size).ok())]))
            }
            _ => Arc::new(TimestampMillisecondArray::from(vec![split.modified_millis]).with_timezone("UTC")),
        };
        cast(&one, &target).and_then(|one| take(&one, &UInt64Array::from(vec![0; rows]), None)).map_err(
            |error| {
                Diagnostic::error(
                    Code::InputUnreadable,
                    format!("metadata '{key}' of '{}': {error}", split.name),
                )
            },
        )
    };
    ExtraColumn { position, fill: Box::new(fill) }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
