//! Only the columns that somebody reads leave a source.

use flott_expr::Expr;
use flott_types::Schema;

use crate::{Step, rewrite::remap};

/// Which of the leaf's columns the steps read. Without a projection: all.
pub fn leaf_columns(steps: &[Step], width: usize) -> Vec<usize> {
    let mut needed = Vec::new();
    for step in steps {
        match step {
            Step::Filter(predicate) => needed.extend(predicate.columns()),
            Step::Project { exprs, .. } => {
                needed.extend(exprs.iter().flat_map(Expr::columns));
                needed.retain(|&column| column < width);
                return needed;
            }
            Step::Unnest { collection, .. } => needed.extend(collection.columns()),
        }
    }
    (0..width).collect()
}

/// The steps over a leaf that has only the `needed` columns (sorted).
pub fn prune(mut steps: Vec<Step>, needed: &[usize], full: &Schema) -> Vec<Step> {
    let width = full.len();
    // Columns appended by UNNEST follow the leaf's, so they move up by what was cut.
    let cut = width - needed.len();
    let position = |column: usize| match column.checked_sub(width) {
        None => needed.binary_search(&column).unwrap_or(0),
        Some(_) => column - cut,
    };
    for step in &mut steps {
        match step {
            Step::Filter(predicate) => remap(predicate, &position),
            Step::Project { exprs, .. } => {
                exprs.iter_mut().for_each(|expr| remap(expr, &position));
                break;
            }
            Step::Unnest { collection, schema, .. } => {
                remap(collection, &position);
                let appended = schema.fields.split_off(width.min(schema.fields.len()));
                let mut fields = full.project(needed).fields;
                fields.extend(appended);
                schema.fields = fields;
            }
        }
    }
    steps
}
