//! Record formats: json, csv, raw, parquet.
