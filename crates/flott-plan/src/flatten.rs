//! A logical plan without joins is a set of paths from leaves to its root: `UNION ALL` is
//! several paths into one sink.

use flott_expr::Expr;
use flott_sql::{LogicalPlan, WatermarkDef};
use flott_types::{Diagnostic, Result, Schema, Span, TableDescription};

use crate::Step;

/// Where a path begins.
#[derive(Debug, Clone)]
pub enum Leaf {
    /// A table.
    Table { table: TableDescription, watermark: Option<WatermarkDef>, span: Span },
    /// Constant rows.
    Values { rows: Vec<Vec<Expr>>, schema: Schema },
}

impl Leaf {
    /// All columns.
    pub fn schema(&self) -> Schema {
        match self {
            Leaf::Table { table, .. } => table.schema(),
            Leaf::Values { schema, .. } => schema.clone(),
        }
    }
    /// Whether both read the same input with the same options, so that one scan serves both.
    pub fn same_input(&self, other: &Leaf) -> bool {
        match (self, other) {
            (Leaf::Table { table: a, .. }, Leaf::Table { table: b, .. }) => {
                let values = |table: &TableDescription| -> Vec<(String, String)> {
                    table.options.iter().map(|(key, entry)| (key.to_string(), entry.value.clone())).collect()
                };
                a.name == b.name && a.columns == b.columns && values(a) == values(b)
            }
            _ => false,
        }
    }
}

/// The paths of a plan, in order.
///
/// # Errors
/// `NotSupported`
pub fn paths(plan: &LogicalPlan) -> Result<Vec<(Leaf, Vec<Step>)>> {
    Ok(match plan {
        LogicalPlan::Scan { table, watermark, span } => {
            let leaf = Leaf::Table { table: table.clone(), watermark: watermark.clone(), span: *span };
            vec![(leaf, Vec::new())]
        }
        LogicalPlan::Values { rows, schema } => {
            vec![(Leaf::Values { rows: rows.clone(), schema: schema.clone() }, Vec::new())]
        }
        LogicalPlan::Union { inputs, .. } => {
            let all: Vec<_> = inputs.iter().map(paths).collect::<Result<_>>()?;
            all.into_iter().flatten().collect()
        }
        LogicalPlan::Project { input, exprs, schema } => {
            extended(input, &Step::Project { exprs: exprs.clone(), schema: schema.clone() })?
        }
        LogicalPlan::Filter { input, predicate } => extended(input, &Step::Filter(predicate.clone()))?,
        LogicalPlan::Unnest { input, collection, outer, ordinality, schema } => extended(
            input,
            &Step::Unnest {
                collection: collection.clone(),
                outer: *outer,
                ordinality: *ordinality,
                schema: schema.clone(),
            },
        )?,
        LogicalPlan::Window { .. }
        | LogicalPlan::Aggregate { .. }
        | LogicalPlan::Join { .. }
        | LogicalPlan::Over { .. } => return Err(Diagnostic::not_supported("operators with state")),
    })
}

fn extended(input: &LogicalPlan, step: &Step) -> Result<Vec<(Leaf, Vec<Step>)>> {
    let mut all = paths(input)?;
    for (_, steps) in &mut all {
        steps.push(step.clone());
    }
    Ok(all)
}
