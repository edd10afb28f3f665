//! What a source is called: by its table, and where a plan reads that several times, by what tells the scans
//! apart.
//!
//! ```text
//!   one scan of t                     t
//!   t, and t /*+ OPTIONS(…) */        t  t#1f0c52aa
//!   two of other options              t#1f0c52aa  t#93d07b16
//! ```
//! Checkpoints have a source's place under its name. So a name doesn't depend on where a statement stands:
//! one that moves, comes or goes takes nothing from another.

use std::collections::HashMap;

use flott_expr::Expr;

use crate::{
    graph::{Graph, Leaf, Producer},
    stable_id::hash,
};

/// A name for each producer; empty for what is no source.
pub fn of_leaves(graph: &Graph) -> Vec<String> {
    let leaf = |producer: &Producer| match producer {
        Producer::Leaf(leaf) => Some(table_of(leaf)),
        Producer::Operator(_) => None,
    };
    let mut scans: HashMap<String, usize> = HashMap::new();
    for table in graph.producers.iter().filter_map(leaf) {
        *scans.entry(table).or_default() += 1;
    }
    let name = |producer: &Producer| {
        let Producer::Leaf(leaf) = producer else { return String::new() };
        let table = table_of(leaf);
        let own = if scans.get(&table).is_some_and(|it| *it > 1) { apart(leaf) } else { None };
        own.map_or_else(|| table.clone(), |own| format!("{table}#{own}"))
    };
    graph.producers.iter().map(name).collect()
}

fn table_of(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Table { table, .. } => table.name.clone(),
        Leaf::Values { .. } => "VALUES".to_string(),
    }
}

/// What a scan is, unless it is the table as it was declared.
fn apart(leaf: &Leaf) -> Option<String> {
    match leaf {
        Leaf::Table { table, span, .. } => {
            // A table is declared before it is read, and a hint stands behind its name there.
            let hints = table.options.iter().filter(|(_, it)| it.key_span.start >= span.start);
            let hints: Vec<String> = hints.map(|(key, it)| format!("{key}={}", it.value)).collect();
            (!hints.is_empty()).then(|| short(&hints.join(";")))
        }
        Leaf::Values { rows, .. } => Some(of_values(rows)),
    }
}

/// These rows, as a number.
pub fn of_values(rows: &[Vec<Expr>]) -> String {
    let row = |row: &Vec<Expr>| row.iter().map(Expr::to_string).collect::<Vec<_>>().join(", ");
    short(&rows.iter().map(row).collect::<Vec<_>>().join("; "))
}

fn short(text: &str) -> String {
    let hash = hash(text);
    format!("{:08x}", (hash >> 32) ^ (hash & 0xFFFF_FFFF))
}
