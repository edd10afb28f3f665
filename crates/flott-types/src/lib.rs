//! Flink's logical types, their Arrow layout, schemas, options and diagnostics.
//!
//! Every other crate speaks in these words. This crate knows nothing of SQL text,
//! of expressions, of connectors or of how a pipeline runs.
//!
//! ```text
//!   DataType  = TypeKind + nullability      what Flink's documentation calls a logical type
//!      │ arrow_type()
//!      ▼
//!   arrow::DataType                         how a column of it lies in memory
//! ```

mod arrow_layout;
mod data_type;
mod diagnostic;
mod options;
pub mod planted;
mod row_kind;
mod schema;
mod table;

pub use arrow_layout::TimestampUnit;
pub use data_type::{DataType, IntervalUnit, RowField, TypeKind, quote_identifier};
pub use diagnostic::{Category, Code, Diagnostic, Label, Result, Severity, Span};
pub use options::{OptionValue, Options, closest, parse_boolean, parse_duration, parse_memory_size};
pub use row_kind::RowKind;
pub use schema::{Field, Schema, TimeAttribute};
pub use table::{ColumnKind, TableColumn, TableDescription};
