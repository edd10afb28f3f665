//! Helpers for tests that run the `flott` binary: as users do, from the outside.
//!
//! ```text
//!   flott    runs the binary, captures status, output and the summary
//!   kills    kills jobs again and again, and compares what they wrote
//!   slt      runs `.slt` files: SQL in, rows out
//!   csv      reads what `--output csv` prints
//!   sim      runs engine, state and sinks on a simulated machine, from a seed (feature `simulation`)
//!   services real servers (Kafka, a schema registry), and a proxy that disturbs (feature `services`)
//!   python   other programs (pyarrow, DuckDB, …) to check files against
//! ```

pub mod csv;
pub mod flott;
pub mod kills;
pub mod python;
#[cfg(feature = "services")]
pub mod services;
#[cfg(feature = "simulation")]
pub mod sim;
pub mod slt;

pub use flott::{Flott, Outcome};
pub use python::{Tool, python_tool};
pub use slt::run_slt;
pub use tempfile::TempDir;

/// A directory that is removed when the value is dropped.
///
/// # Errors
/// The directory can't be made.
pub fn temp_dir() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("flott-test-").tempdir()
}
