//! Record formats: `json`, `changelog-json`, `csv`, `raw`, `parquet`, `avro`, `protobuf`.
//!
//! ```text
//!   Chunk (whole records) ──► Decoder ──► RecordBatch        RecordBatch ──► Encoder ──► bytes
//! ```
//!
//! A format knows nothing of files, topics or operators. Decoders go from bytes straight into
//! Arrow builders, only for the columns that the plan reads.

pub mod avro;
mod builder;
pub mod cdc;
pub mod conformance;
pub mod csv;
pub mod filter;
pub mod framing;
pub mod json;
pub mod parquet;
pub mod protobuf;
pub mod raw;

use std::sync::Arc;

use flott_connector::Format;
pub use flott_schema_registry::end_with as end_registry_requests_with;
use flott_types::{Code, Diagnostic};

/// Every format of this crate.
pub fn all() -> Vec<Arc<dyn Format>> {
    vec![
        Arc::new(json::JsonFormat),
        Arc::new(json::ChangelogJsonFormat),
        Arc::new(cdc::CdcJsonFormat::debezium()),
        Arc::new(cdc::CdcJsonFormat::canal()),
        Arc::new(cdc::CdcJsonFormat::maxwell()),
        Arc::new(cdc::CdcJsonFormat::ogg()),
        Arc::new(csv::Csv),
        Arc::new(parquet::Parquet),
        Arc::new(protobuf::Protobuf),
        Arc::new(protobuf::ProtobufConfluent),
        Arc::new(raw::RawFormat),
        Arc::new(avro::Avro),
        Arc::new(avro::AvroConfluent),
        Arc::new(avro::DebeziumAvroConfluent),
    ]
}

/// A batch whose messages don't fit into one buffer.
pub(crate) fn batch_too_large() -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, "the messages of one batch are larger than 4 GiB together")
}
