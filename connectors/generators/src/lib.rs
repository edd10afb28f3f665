//! The `datagen` and `nexmark` connectors: rows made from a seed.
//!
//! ```text
//!   Pacer (I/O thread): row numbers 0..1000, 1000..2000, … as fast as the rate allows
//!        └─► decoders (all shards): row n = f(seed, n)
//! ```
//!
//! Invariants
//! - A value depends on the seed, its row number and its column, on nothing else: a run can be
//!   repeated, on any number of cores, and leaving out a column changes no other.
//! - What isn't projected isn't generated.

#![allow(clippy::vec_box, reason = "diagnostics travel boxed, as in flott_types::Result")]

mod datagen;
mod nexmark;
mod pace;
mod random;

use std::sync::Arc;

use flott_connector::{ColumnKind, Connector, OptionDef, OptionKind, TableDescription};
use flott_types::{Code, Diagnostic};

/// Every connector of this crate.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![Arc::new(datagen::Datagen), Arc::new(nexmark::Nexmark)]
}

const SEED_OPTION: OptionDef = OptionDef::optional(
    "seed",
    OptionKind::Integer,
    "0",
    "Rows are the same for the same seed. Flink draws new ones in every run.",
);

/// None of these connectors has metadata columns.
fn refuse_metadata(connector: &str, table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    for column in &table.columns {
        if let ColumnKind::Metadata { key, .. } = &column.kind {
            let message = format!("connector '{connector}' has no metadata '{key}'");
            errors.push(Diagnostic::error(Code::UnknownColumn, message).at(column.span));
        }
    }
}

/// The answer to a generator being written to.
fn only_reads(connector: &str, table: &TableDescription) -> Box<Diagnostic> {
    let message = format!("table '{}' cannot be written: connector '{connector}' only reads", table.name);
    Diagnostic::error(Code::UnsupportedUse, message).at(table.span)
}
