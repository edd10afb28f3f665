//! The logical plan: a small typed algebra.

use std::fmt;

use flott_expr::Expr;
use flott_types::{Schema, Span, TableDescription, quote_identifier};

use crate::catalog::WatermarkDef;

/// A query, bound and typed. Column references are positions in the input's schema.
#[derive(Debug, Clone, PartialEq)]
pub enum LogicalPlan {
    /// All physical and metadata columns of a table, in declared order. Computed columns are a
    /// `Project` above.
    Scan {
        /// The table, hints merged into its options.
        table: TableDescription,
        /// The declared watermark: position of the time column in the table's schema *with*
        /// computed columns, and the expression over that schema.
        watermark: Option<WatermarkDef>,
        /// Where the query names the table.
        span: Span,
    },
    /// Constant rows.
    Values {
        /// Rows of constant expressions, each of the schema's types.
        rows: Vec<Vec<Expr>>,
        /// The columns.
        schema: Schema,
    },
    /// One expression per output column.
    Project {
        /// The input.
        input: Box<LogicalPlan>,
        /// Expressions over the input's columns.
        exprs: Vec<Expr>,
        /// The output's columns.
        schema: Schema,
    },
    /// The rows for which the predicate is TRUE.
    Filter {
        /// The input.
        input: Box<LogicalPlan>,
        /// A BOOLEAN expression over the input's columns.
        predicate: Expr,
    },
    /// `UNION ALL`. All inputs have the schema's types.
    Union {
        /// The inputs.
        inputs: Vec<LogicalPlan>,
        /// The output's columns.
        schema: Schema,
    },
    /// `CROSS JOIN UNNEST(…)`: each input row once per element, the element's columns appended.
    Unnest {
        /// The input.
        input: Box<LogicalPlan>,
        /// An ARRAY, MAP or MULTISET over the input's columns. Elements that are ROWs are spread
        /// into one column per field, a MAP into key and value.
        collection: Expr,
        /// `LEFT JOIN … ON TRUE`: rows with an empty collection are kept, with NULLs.
        outer: bool,
        /// `WITH ORDINALITY`: a last column counting from 1 (INT NOT NULL).
        ordinality: bool,
        /// Input columns, then the element's.
        schema: Schema,
    },
}

impl LogicalPlan {
    /// The output's columns.
    pub fn schema(&self) -> Schema {
        match self {
            LogicalPlan::Scan { table, .. } => table.schema(),
            LogicalPlan::Values { schema, .. }
            | LogicalPlan::Project { schema, .. }
            | LogicalPlan::Union { schema, .. }
            | LogicalPlan::Unnest { schema, .. } => schema.clone(),
            LogicalPlan::Filter { input, .. } => input.schema(),
        }
    }
    /// Direct inputs.
    pub fn inputs(&self) -> Vec<&LogicalPlan> {
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Values { .. } => Vec::new(),
            LogicalPlan::Project { input, .. }
            | LogicalPlan::Filter { input, .. }
            | LogicalPlan::Unnest { input, .. } => vec![input],
            LogicalPlan::Union { inputs, .. } => inputs.iter().collect(),
        }
    }
}

/// `INSERT INTO`: the plan's columns are exactly `sink.columns` (writable ones, in declared
/// order), cast to their types; columns not named in the statement are NULL literals.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table written: physical and writable metadata columns.
    pub sink: TableDescription,
    /// The rows.
    pub plan: LogicalPlan,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// Where the statement names the sink.
    pub span: Span,
}

/// One node a line, inputs below and indented; every expression with its column's type.
///
/// ```text
/// Project `x` INT = a + 1, `b` STRING = b
///   Filter a > 1
///     Scan t (`a` INT, `b` STRING)
/// ```
impl fmt::Display for LogicalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl LogicalPlan {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if depth > 0 {
            writeln!(f)?;
        }
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        match self {
            LogicalPlan::Scan { table, .. } => write!(f, "Scan {} ({})", table.name, table.schema())?,
            LogicalPlan::Values { rows, schema } => {
                write!(f, "Values ({schema}):")?;
                for (at, row) in rows.iter().enumerate() {
                    let row: Vec<String> = row.iter().map(ToString::to_string).collect();
                    write!(f, "{} ({})", if at > 0 { "," } else { "" }, row.join(", "))?;
                }
            }
            LogicalPlan::Project { exprs, schema, .. } => {
                write!(f, "Project")?;
                for (at, (expr, field)) in exprs.iter().zip(&schema.fields).enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma} {} {} = {expr}", quote_identifier(&field.name), field.data_type)?;
                }
            }
            LogicalPlan::Filter { predicate, .. } => write!(f, "Filter {predicate}")?,
            LogicalPlan::Union { schema, .. } => write!(f, "Union ({schema})")?,
            LogicalPlan::Unnest { input, collection, outer, ordinality, schema } => {
                let outer = if *outer { " outer" } else { "" };
                let ordinality = if *ordinality { " with ordinality" } else { "" };
                let added = schema.fields.get(input.schema().len()..).unwrap_or_default();
                let added = Schema::new(added.to_vec());
                write!(f, "Unnest{outer} {collection}{ordinality} ({added})")?;
            }
        }
        self.inputs().into_iter().try_for_each(|input| input.write(f, depth + 1))
    }
}
