//! The `csv` format.
