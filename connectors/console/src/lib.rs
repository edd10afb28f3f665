//! The `print`, `stdout`, `stdin` and `blackhole` connectors: tables that end at the terminal.
//!
//! ```text
//!   stdin ──► chunks of whole records          print, stdout ──► one ordered queue ──► I/O thread
//! ```
//!
//! Invariants
//! - One writer per sink: rows come out in the order of the input.
//! - Only whole records are written at a time, so several sinks may share standard output.
//! - Neither a stalled reader nor a stalled writer blocks a shard.

#![allow(clippy::vec_box, reason = "diagnostics travel boxed, as in flott_types::Result")]

mod blackhole;
mod java_text;
mod output;
mod print;
mod stdin;
mod stdout;

pub use stdout::{NewEncoder, to_stdout};

use std::sync::Arc;

use flott_connector::{ColumnKind, Connector, TableDescription};
use flott_types::{Code, Diagnostic};

/// Every connector of this crate.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(print::Print),
        Arc::new(blackhole::Blackhole),
        Arc::new(stdin::Stdin),
        Arc::new(stdout::Stdout),
    ]
}

/// None of these connectors has metadata columns.
fn refuse_metadata(connector: &str, table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    for column in &table.columns {
        if let ColumnKind::Metadata { key, .. } = &column.kind {
            let message = format!("connector '{connector}' has no metadata '{key}'");
            errors.push(Diagnostic::error(Code::UnknownColumn, message).at(column.span));
        }
    }
}

/// The answer to a table being used the wrong way round.
fn unsupported(connector: &str, table: &TableDescription, what: &str) -> Box<Diagnostic> {
    let message =
        format!("table '{}' cannot be {what}: connector '{connector}' has no such side", table.name);
    Diagnostic::error(Code::UnsupportedUse, message).at(table.span)
}
