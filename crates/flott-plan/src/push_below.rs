//! Moves steps from above a windowing table function to below it.
//!
//! ```text
//!   Project x, window_end              WindowAggregate over (x, time)
//!    └ Filter x > 3           ──►       └ Project x, time
//!       └ Window                           └ Filter x > 3
//! ```
//!
//! Steps that compute with the window's columns stay above: then the function runs by itself.
//!
//! Source: Flink documentation, "Window Aggregation".

use flott_expr::Expr;
use flott_sql::{WindowKind, WindowSpec};
use flott_types::Schema;

use crate::{Step, WindowProperty, rewrite::remap, window_columns::plain};

/// Where a column above the window comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Below(usize),
    Window(WindowProperty),
}

/// Steps below a window.
#[derive(Debug)]
pub struct Pushed {
    /// The steps.
    pub steps: Vec<Step>,
    /// For each column of the steps' output as it was above the window: its position now. Columns of
    /// the window have none.
    pub columns: Vec<Option<usize>>,
    /// The time column.
    pub time_column: usize,
    /// The session's keys.
    pub partition_by: Vec<usize>,
}

/// The steps, moved below the window; none if they compute with its columns. `input`: the columns
/// that the window is over.
pub fn push_below(steps: &[Step], window: &WindowSpec, input: &Schema) -> Option<Pushed> {
    let width = input.len();
    let mut now = State {
        origins: (0..width).map(Origin::Below).collect(),
        schema: input.clone(),
        steps: Vec::new(),
        time_column: window.time_column,
        partition_by: match &window.kind {
            WindowKind::Session { partition_by, .. } => partition_by.clone(),
            _ => Vec::new(),
        },
    };
    now.origins
        .extend([WindowProperty::Start, WindowProperty::End, WindowProperty::Time].map(Origin::Window));
    for step in steps {
        now.push(step)?;
    }
    let columns = now.origins.iter().map(|origin| match origin {
        Origin::Below(column) => Some(*column),
        Origin::Window(_) => None,
    });
    let columns = columns.collect();
    Some(Pushed { steps: now.steps, columns, time_column: now.time_column, partition_by: now.partition_by })
}

/// What has been moved so far.
struct State {
    origins: Vec<Origin>,
    schema: Schema,
    steps: Vec<Step>,
    time_column: usize,
    partition_by: Vec<usize>,
}

impl State {
    fn push(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::Filter(predicate) => self.steps.push(Step::Filter(self.below(predicate)?)),
            Step::Project { exprs, schema } => self.project(exprs, schema)?,
            Step::Unnest { collection, outer, ordinality, schema } => {
                let added = schema.fields.get(self.origins.len()..)?.to_vec();
                let from = self.schema.len();
                self.origins.extend((from..from + added.len()).map(Origin::Below));
                let collection = self.below(collection)?;
                self.schema.fields.extend(added);
                let schema = self.schema.clone();
                self.steps.push(Step::Unnest { collection, outer: *outer, ordinality: *ordinality, schema });
            }
            Step::Window { .. }
            | Step::Expand { .. }
            | Step::FromChangelog { .. }
            | Step::ToChangelog { .. } => return None,
        }
        Some(())
    }

    /// The projection without the window's columns, and with what the window needs.
    fn project(&mut self, exprs: &[Expr], schema: &Schema) -> Option<()> {
        let (mut below, mut fields, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for (expr, field) in exprs.iter().zip(&schema.fields) {
            let origin = plain(expr).and_then(|column| self.origins.get(column));
            if let Some(Origin::Window(property)) = origin {
                origins.push(Origin::Window(*property));
                continue;
            }
            origins.push(Origin::Below(below.len()));
            below.push(self.below(expr)?);
            fields.push(field.clone());
        }
        let mut keep = |column: usize| -> Option<usize> {
            if let Some(there) = below.iter().position(|expr| plain(expr) == Some(column)) {
                return Some(there);
            }
            let field = self.schema.fields.get(column)?;
            below.push(Expr::column(column, &field.name, field.data_type.clone()));
            fields.push(field.clone());
            Some(below.len() - 1)
        };
        let time_column = keep(self.time_column)?;
        let partition_by = self.partition_by.iter().map(|&column| keep(column)).collect::<Option<_>>()?;
        (self.time_column, self.partition_by) = (time_column, partition_by);
        (self.origins, self.schema) = (origins, Schema::new(fields));
        self.steps.push(Step::Project { exprs: below, schema: self.schema.clone() });
        Some(())
    }

    /// The expression over the columns below, unless it reads the window's.
    fn below(&self, expr: &Expr) -> Option<Expr> {
        let position = |column: usize| match self.origins.get(column) {
            Some(Origin::Below(column)) => Some(*column),
            _ => None,
        };
        if expr.columns().into_iter().any(|column| position(column).is_none()) {
            return None;
        }
        let mut moved = expr.clone();
        remap(&mut moved, &|column| position(column).unwrap_or(column));
        Some(moved)
    }
}
