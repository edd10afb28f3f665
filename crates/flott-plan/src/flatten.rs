//! From the logical plan to the [`Graph`]: what works row by row becomes steps of branches, what
//! keeps state becomes operators.
//!
//! ```text
//!   Project                      branch: [Filter, Project]
//!    └ Filter             ──►      from operator WindowAggregate
//!       └ Aggregate                  └ branch: [Project]  from leaf t
//!          └ Window                  └ branch: [Project]  from leaf u
//!             └ Union t, u
//! ```

use std::collections::HashMap;

use flott_expr::{Expr, ExprKind};
use flott_sql::{JoinKind, LogicalPlan, WatermarkDef, WindowKind, WindowSpec};
use flott_types::{Code, Diagnostic, Result, Schema, Span, TableDescription};

use crate::{
    OperatorNode, SessionWindow, Step, Windows,
    graph::{Branch, EventTime, Graph, Leaf, Operator},
    join::Asked,
    join_sides::filtered,
    rewrite::{remap, substitute},
    simplify::simplify,
    temporal_join::conjuncts,
    window_columns::is_local,
};

/// Builds a [`Graph`].
#[derive(Debug, Default)]
pub struct Flatten {
    /// What is built.
    pub graph: Graph,
    /// Into how many buckets distinct aggregates are split, if they are.
    pub distinct_buckets: Option<i64>,
    /// `table.exec.state.ttl`: how long operators keep what nothing touches, if not for ever.
    pub state_ttl: Option<i64>,
    /// `execution.runtime-mode = 'batch'`: only final rows are wanted.
    pub batch: bool,
    /// Scans whose changes must be normalised, by [`crate::materialize::identity`].
    pub normalize: HashMap<String, bool>,
    /// How tables are looked up where no hint says it.
    pub lookup: crate::Lookup,
}

/// A plan without the row-by-row nodes on its top, and those as steps.
pub fn peel(plan: &LogicalPlan) -> (&LogicalPlan, Vec<Step>) {
    let (mut base, mut steps) = (plan, Vec::new());
    loop {
        let (input, step) = match base {
            LogicalPlan::Project { input, exprs, schema } => {
                (input, Step::Project { exprs: exprs.clone(), schema: schema.clone() })
            }
            LogicalPlan::Filter { input, predicate } => (input, Step::Filter(predicate.clone())),
            LogicalPlan::Unnest { input, collection, outer, ordinality, schema } => {
                let (collection, schema) = (collection.clone(), schema.clone());
                (input, Step::Unnest { collection, outer: *outer, ordinality: *ordinality, schema })
            }
            _ => break,
        };
        steps.push(step);
        base = input;
    }
    steps.reverse();
    (base, steps)
}

impl Flatten {
    /// The branches whose rows together are the plan's, in order.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn branches(&mut self, plan: &LogicalPlan) -> Result<Vec<Branch>> {
        let (base, steps) = peel(plan);
        self.with_steps(base, steps)
    }

    /// The branches of a plan with these steps on its top.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn with_steps(&mut self, base: &LogicalPlan, steps: Vec<Step>) -> Result<Vec<Branch>> {
        let branches = match base {
            LogicalPlan::Scan { table, watermark, span } => {
                let leaf = scan(table, watermark.as_ref(), *span, &steps);
                let schema = base.schema();
                let producer = self.graph.leaf(leaf);
                let branch = Branch { producer, steps: Vec::new() };
                extended(vec![self.normalized(table, branch, schema)], &steps)
            }
            LogicalPlan::Values { rows, schema } => {
                rows.iter().flatten().try_for_each(check_depth)?;
                let leaf = Leaf::Values { rows: rows.clone(), schema: schema.clone() };
                let producer = self.graph.leaf(leaf);
                extended(vec![Branch { producer, steps: Vec::new() }], &steps)
            }
            LogicalPlan::Union { inputs, .. } => {
                let mut all = Vec::new();
                for input in inputs {
                    all.extend(self.branches(input)?);
                }
                extended(all, &steps)
            }
            LogicalPlan::Window { input, window, schema } => {
                extended(self.window(input, window, schema)?, &steps)
            }
            LogicalPlan::Aggregate { input, keys, sets, calls, schema, state_ttl } => {
                extended(self.aggregate(input, keys, sets, calls, schema, *state_ttl)?, &steps)
            }
            LogicalPlan::Join { left, right, kind, condition, state_ttl, schema, span } => {
                let (filters, steps) = leading_filters(simplify(steps));
                let Placed { on_left, on_right, condition: more, behind } =
                    place(filters, *kind, left.schema().len());
                let (left, right) = (&filtered(left, on_left), &filtered(right, on_right));
                let conditions = std::iter::once(condition.clone()).chain(more).collect();
                let asked = Asked { left, right, kind: *kind, state_ttl: *state_ttl, schema, span: *span };
                let steps: Vec<Step> = behind.into_iter().map(Step::Filter).chain(steps).collect();
                extended(self.join(&asked, conditions)?, &steps)
            }
            LogicalPlan::Over { input, partition_by, order_by, calls, schema, span } => {
                let (conditions, steps) = leading_filters(simplify(steps));
                let over = crate::rank::Over { input, partition_by, order_by, calls, schema, span: *span };
                let branches = match crate::rank::is_cut(&over, &conditions) {
                    true => self.rank(&over, conditions)?,
                    false => self.over(&over, conditions)?,
                };
                extended(branches, &steps)
            }
            LogicalPlan::Sort { input, keys, offset, limit, span } => {
                extended(self.sort(input, keys, (*offset, *limit), *span)?, &steps)
            }
            LogicalPlan::TemporalJoin(join) => {
                let (conditions, steps) = match join.kind {
                    flott_sql::JoinKind::Inner => leading_filters(simplify(steps)),
                    _ => (Vec::new(), steps),
                };
                extended(self.temporal_join(join, conditions)?, &steps)
            }
            LogicalPlan::FromChangelog(it) => {
                let step = crate::from_to_changelog::from_changelog(it, self.batch)?;
                let branches = extended(self.branches(&it.input)?, &[step]);
                extended(branches, &steps)
            }
            LogicalPlan::ToChangelog(it) => {
                let step = crate::from_to_changelog::to_changelog(it);
                let branches = extended(self.branches(&it.input)?, &[step]);
                extended(branches, &steps)
            }
            LogicalPlan::Match(it) => extended(self.pattern_match(it)?, &steps),
            LogicalPlan::Project { .. } | LogicalPlan::Filter { .. } | LogicalPlan::Unnest { .. } => {
                let (base, below) = peel(base);
                self.with_steps(base, below.into_iter().chain(steps).collect())?
            }
        };
        for step in branches.iter().flat_map(|branch| &branch.steps) {
            step.exprs().iter().try_for_each(check_depth)?;
        }
        Ok(branches)
    }

    /// A windowing table function by itself.
    fn window(&mut self, input: &LogicalPlan, window: &WindowSpec, schema: &Schema) -> Result<Vec<Branch>> {
        let branches = self.branches(input)?;
        let time_type = input.schema().fields.get(window.time_column).map(|it| it.data_type.clone());
        let local_time = time_type.as_ref().is_some_and(is_local);
        let WindowKind::Session { partition_by, .. } = &window.kind else {
            let step = Step::Window {
                kind: window.kind.clone(),
                offset_millis: window.offset_millis,
                time_column: window.time_column,
                local_time,
                schema: schema.clone(),
            };
            return Ok(extended(branches, &[step]));
        };
        let columns = identity(&input.schema());
        let node = OperatorNode::SessionWindow(SessionWindow {
            windows: Windows::Assigned {
                kind: window.kind.clone(),
                offset_millis: window.offset_millis,
                time_column: window.time_column,
                time: window.time,
                local_time,
            },
            keys: partition_by.clone(),
        });
        Ok(vec![self.operator(node, vec![extended(branches, &[columns])], schema.clone())])
    }

    /// An operator over the branches of each of its inputs.
    pub fn operator(&mut self, node: OperatorNode, inputs: Vec<Vec<Branch>>, schema: Schema) -> Branch {
        let numbered = inputs.into_iter().enumerate();
        let inputs = numbered.flat_map(|(input, all)| all.into_iter().map(move |it| (input, it))).collect();
        Branch {
            producer: self.graph.operator(Operator { node, inputs, schema, origins: [None; 2] }),
            steps: Vec::new(),
        }
    }
}

/// The branches with these steps behind theirs.
pub fn extended(branches: Vec<Branch>, steps: &[Step]) -> Vec<Branch> {
    let more = |branch: Branch| {
        let steps = branch.steps.into_iter().chain(steps.iter().cloned()).collect();
        Branch { producer: branch.producer, steps: simplify(steps) }
    };
    branches.into_iter().map(more).collect()
}

/// A projection that changes nothing: where an operator's columns are counted from.
pub fn identity(schema: &Schema) -> Step {
    Step::Project { exprs: columns_of(schema), schema: schema.clone() }
}

/// A reference to each column.
pub fn columns_of(schema: &Schema) -> Vec<Expr> {
    let column =
        |(at, field): (usize, &flott_types::Field)| Expr::column(at, &field.name, field.data_type.clone());
    schema.fields.iter().enumerate().map(column).collect()
}

/// Where the predicates above a join are decided.
#[derive(Default)]
struct Placed {
    on_left: Vec<Expr>,
    on_right: Vec<Expr>,
    condition: Vec<Expr>,
    behind: Vec<Expr>,
}

/// A side whose rows the join keeps can drop them before; of an inner join everything is its condition.
fn place(filters: Vec<Expr>, kind: JoinKind, width: usize) -> Placed {
    let mut placed = Placed::default();
    for mut filter in filters.iter().flat_map(conjuncts) {
        let columns = filter.columns();
        match kind {
            JoinKind::Inner => placed.condition.push(filter),
            _ if columns.is_empty() => placed.behind.push(filter),
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti if columns.iter().all(|it| *it < width) => {
                placed.on_left.push(filter);
            }
            JoinKind::Right if columns.iter().all(|it| *it >= width) => {
                remap(&mut filter, &|column| column.saturating_sub(width));
                placed.on_right.push(filter);
            }
            _ => placed.behind.push(filter),
        }
    }
    placed
}

/// The predicates that the steps begin with, and the other steps.
pub fn leading_filters(steps: Vec<Step>) -> (Vec<Expr>, Vec<Step>) {
    let (mut filters, mut rest) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Filter(predicate) if rest.is_empty() && predicate.is_deterministic() => {
                filters.push(predicate);
            }
            step => rest.push(step),
        }
    }
    (filters, rest)
}

fn scan(table: &TableDescription, watermark: Option<&WatermarkDef>, span: Span, steps: &[Step]) -> Leaf {
    let time = watermark.and_then(|watermark| event_time(table, watermark, steps));
    Leaf::Table { table: table.clone(), watermark: watermark.cloned(), time, origin: false, span }
}

/// The watermark over what the connector reads. It is declared over all columns; where some are
/// computed, the first projection above the scan computes them.
fn event_time(table: &TableDescription, watermark: &WatermarkDef, steps: &[Step]) -> Option<EventTime> {
    let read = columns_of(&table.schema());
    let declared = steps.iter().find_map(|step| match step {
        Step::Project { exprs, .. } => Some(exprs.as_slice()),
        _ => None,
    });
    let time = match watermark.read_column {
        Some(column) => read.get(column)?.clone(),
        None => declared?.get(watermark.column)?.clone(),
    };
    let mut only_read = true;
    watermark.expr.walk(&mut |node| {
        if let ExprKind::Column { index, name } = &node.kind {
            only_read &= table.columns.get(*index).is_some_and(|column| column.name == *name);
        }
    });
    let watermark = match only_read {
        true => watermark.expr.clone(),
        false => substitute(&watermark.expr, declared?),
    };
    Some(EventTime { time, watermark })
}

/// Expressions are evaluated by recursion on the stacks of shards.
const DEPTH_MAX: usize = 10_000;

fn check_depth(expr: &Expr) -> Result<()> {
    fn below(expr: &Expr, whole: &Expr, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            let message = format!("an expression is nested more than {DEPTH_MAX} levels deep");
            return Err(Diagnostic::error(Code::Syntax, message)
                .at(whole.span)
                .help("write a long chain of comparisons of one column as IN (…)"));
        }
        expr.children().into_iter().try_for_each(|child| below(child, whole, depth + 1))
    }
    below(expr, expr, 0)
}
