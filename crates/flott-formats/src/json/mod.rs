//! The `json` format.
