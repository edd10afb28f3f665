//! The `raw` format.
