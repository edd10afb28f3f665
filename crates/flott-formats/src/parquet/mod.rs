//! The `parquet` format.
