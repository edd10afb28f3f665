//! Filter, project, unnest, windows, grouping sets, changes made and told, fused into one operator.
//!
//! Keeps nothing. Emits for every batch at once.
//!
//! **Bisection.** Kernels fail whole batches. When one does, the *input* batch is halved and each
//! half goes through all steps again, until the bad rows are alone; each of those is handed to the
//! [`RejectRow`] with its original bytes. Steps have no side effects, and nothing is emitted before
//! all steps have succeeded on a slice, so doing them again is safe. The fast path has no checks.
//!
//! ```text
//!   [0..8192) fails ─► [0..4096) ok, emitted ─► [4096..8192) fails ─► … ─► [5000..5001) fails: rejected
//! ```

use std::sync::Arc;

use arrow::{
    array::{AsArray, Int8Array, RecordBatchOptions, UInt32Array},
    compute::{filter, filter_record_batch, take},
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use flott_expr::{EvalContext, EvalError, Expr, Program};
use flott_plan::Step;
use flott_types::{Code, Diagnostic, Result, Schema};

use crate::{
    accounting::{Counters, add},
    changelog_step::{FromChangelog, ToChangelog},
    expand::Expand,
    lineage::Lineage,
    unnest::Unnest,
    window_step::WindowStep,
};

/// What becomes of a row that can't be evaluated.
pub trait RejectRow: Send {
    /// Counts the row and keeps, forgets or stops, as its source's `on-error` says.
    ///
    /// # Errors
    /// `EvaluationFailed` with `'on-error' = 'fail'`, or the dead-letter queue's.
    fn reject(&mut self, batch: &RecordBatch, lineage: Option<Lineage<'_>>, error: EvalError) -> Result<()>;
}

/// Brings clock and watermark of a context up to date, before each batch.
pub type Refresh = Arc<dyn Fn(&mut EvalContext) + Send + Sync>;

/// A step made ready.
enum Ready {
    Filter(Program),
    Project { program: Program, schema: SchemaRef },
    Unnest(Unnest),
    Window(WindowStep),
    Expand(Expand),
    FromChangelog(FromChangelog),
    ToChangelog(ToChangelog),
}

/// Columns behind the steps that tell when a row is, and what is said of a row with NULL in one of them.
///
/// The operator that goes by them would reject such a row, too, but no longer knows the record that it
/// came from.
#[derive(Debug, Clone)]
pub struct RequiredTimes {
    /// Positions.
    pub columns: Vec<usize>,
    /// What is wrong with a row.
    pub message: &'static str,
}

/// The operator.
pub struct Calc {
    steps: Vec<Ready>,
    times: Option<RequiredTimes>,
    counters: Arc<Counters>,
    edge: usize,
    reject: Box<dyn RejectRow>,
    context: EvalContext,
    refresh: Refresh,
    /// Input rows taken at once: fewer while each becomes many.
    rows_at_once: usize,
}

/// What the steps did to a slice.
#[derive(Default)]
struct Outcome {
    filtered: u64,
    expanded: u64,
}

impl Calc {
    /// Makes the steps ready.
    pub fn new(
        steps: &[Step],
        input: &Schema,
        counters: Arc<Counters>,
        edge: usize,
        reject: Box<dyn RejectRow>,
        context: EvalContext,
        refresh: Refresh,
    ) -> Self {
        let mut schema = input.clone();
        let mut ready = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            ready.push(match step {
                Step::Filter(predicate) => Ready::Filter(Program::new(vec![predicate.clone()])),
                Step::Project { exprs, schema } => {
                    Ready::Project { program: Program::new(exprs.clone()), schema: schema.arrow_schema() }
                }
                Step::Unnest { collection, outer, ordinality, schema: output } => {
                    let used = used_by(steps.get(at + 1..).unwrap_or_default(), schema.len());
                    Ready::Unnest(Unnest::new(collection, *outer, *ordinality, output, used))
                }
                Step::Window { kind, offset_millis, time_column, local_time, schema } => {
                    Ready::Window(WindowStep::new(kind, *offset_millis, *time_column, *local_time, schema))
                }
                Step::Expand { absent, schema } => Ready::Expand(Expand::new(absent, schema)),
                Step::FromChangelog { op_column, mapping, schema: output } => {
                    let name = schema.fields.get(*op_column).map_or("", |field| field.name.as_str());
                    Ready::FromChangelog(FromChangelog::new(*op_column, name, mapping, output))
                }
                Step::ToChangelog { mapping, schema } => {
                    Ready::ToChangelog(ToChangelog::new(mapping, schema))
                }
            });
            if let Some(output) = step.schema() {
                schema = output.clone();
            }
        }
        Self { steps: ready, times: None, counters, edge, reject, context, refresh, rows_at_once: usize::MAX }
    }

    /// Rows that have no place in time behind the steps are rejected.
    #[must_use]
    pub fn requiring(self, times: Option<RequiredTimes>) -> Self {
        Self { times, ..self }
    }

    /// Takes rows, or changes if they have kinds; hands on what comes of them, in order. `lineage`: where
    /// they came from, as long as each is still one input record.
    ///
    /// # Errors
    /// What stops the run.
    pub fn rows(
        &mut self,
        rows: &RecordBatch,
        kinds: Option<&Int8Array>,
        lineage: Option<Lineage<'_>>,
        emit: &mut dyn FnMut(RecordBatch, Option<Int8Array>) -> Result<()>,
    ) -> Result<()> {
        (self.refresh)(&mut self.context);
        self.context.random_seed = self.context.random_seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        // Slices still to do, the next one last: depth grows with the logarithm of the batch.
        let (all, at_once) = (rows.num_rows(), self.rows_at_once.max(1));
        let starts = (0..all).step_by(at_once).rev();
        let mut todo: Vec<_> = starts.map(|start| (start, at_once.min(all - start))).collect();
        self.rows_at_once = at_once.saturating_mul(2);
        while let Some((offset, length)) = todo.pop() {
            let slice = rows.slice(offset, length);
            match self.apply(slice, kinds.map(|kinds| kinds.slice(offset, length))) {
                Ok((batch, kinds, outcome)) => {
                    add(&self.counters.edges[self.edge].filtered, outcome.filtered);
                    add(&self.counters.edges[self.edge].expanded, outcome.expanded);
                    if batch.num_rows() > 0 {
                        emit(batch, kinds)?;
                    }
                }
                Err(error) if error.code == Code::Internal => {
                    return Err(Diagnostic::error(Code::Internal, error.message));
                }
                Err(error) if length <= 1 => {
                    let row = rows.slice(offset, length);
                    self.reject.reject(&row, lineage.map(|lineage| lineage.slice(offset)), error)?;
                }
                Err(error) => {
                    let half = length / 2;
                    if error.code == Code::RecordTooLarge {
                        self.rows_at_once = self.rows_at_once.min(half);
                    }
                    todo.push((offset + half, length - half));
                    todo.push((offset, half));
                }
            }
        }
        Ok(())
    }

    fn apply(&self, mut batch: RecordBatch, mut kinds: Option<Int8Array>) -> Applied {
        let mut outcome = Outcome::default();
        for step in &self.steps {
            if batch.num_rows() == 0 {
                break;
            }
            let before = batch.num_rows() as u64;
            batch = match step {
                Ready::Filter(program) => {
                    let mask = program.evaluate_predicate(&batch, &self.context)?;
                    let kept = if mask.true_count() == mask.len() {
                        batch
                    } else {
                        if let Some(all) = &mut kinds {
                            *all = filter(all, &mask).map_err(internal)?.as_primitive().clone();
                        }
                        filter_record_batch(&batch, &mask).map_err(internal)?
                    };
                    outcome.filtered += before - kept.num_rows() as u64;
                    kept
                }
                Ready::Project { program, schema } => {
                    let columns = program.evaluate(&batch, &self.context)?;
                    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(internal)?
                }
                Ready::Unnest(unnest) => {
                    let (unnested, parents, dropped) = unnest.apply(&batch, &self.context)?;
                    outcome.filtered += dropped;
                    outcome.expanded += (unnested.num_rows() as u64 + dropped).saturating_sub(before);
                    repeat(&mut kinds, &parents)?;
                    unnested
                }
                Ready::Window(window) => {
                    let (assigned, parents) = window.apply(&batch, &self.context)?;
                    outcome.filtered += before.saturating_sub(assigned.num_rows() as u64);
                    outcome.expanded += (assigned.num_rows() as u64).saturating_sub(before);
                    repeat(&mut kinds, &parents)?;
                    assigned
                }
                Ready::Expand(expand) => {
                    let (expanded, parents) = expand.apply(&batch)?;
                    repeat(&mut kinds, &parents)?;
                    outcome.expanded += (expanded.num_rows() as u64).saturating_sub(before);
                    expanded
                }
                Ready::FromChangelog(from) => {
                    let (changes, what) = from.apply(&batch)?;
                    kinds = Some(what);
                    changes
                }
                Ready::ToChangelog(to) => {
                    let told = to.apply(&batch, kinds.take().as_ref())?;
                    outcome.filtered += before.saturating_sub(told.num_rows() as u64);
                    told
                }
            };
        }
        match &self.times {
            Some(times) if times.are_missing(&batch) => {
                Err(EvalError { code: Code::EvaluationFailed, message: times.message.into() })
            }
            _ => Ok((batch, kinds, outcome)),
        }
    }
}

impl RequiredTimes {
    fn are_missing(&self, batch: &RecordBatch) -> bool {
        self.columns.iter().filter_map(|at| batch.columns().get(*at)).any(|it| it.null_count() > 0)
    }
}

/// Rows, their kinds if they are changes, and what became of the others.
type Applied = Result<(RecordBatch, Option<Int8Array>, Outcome), EvalError>;

/// Each row of a change is the same change.
fn repeat(kinds: &mut Option<Int8Array>, parents: &UInt32Array) -> Result<(), EvalError> {
    if let Some(all) = kinds {
        *all = take(all, parents, None).map_err(internal)?.as_primitive().clone();
    }
    Ok(())
}

/// Which of the first columns these steps read. Without a projection all of them come out.
fn used_by(steps: &[Step], columns: usize) -> Vec<bool> {
    let mut used = vec![false; columns];
    let mut mark = |read: Vec<usize>| {
        read.into_iter().filter(|column| *column < columns).for_each(|column| used[column] = true);
    };
    for step in steps {
        match step {
            Step::Filter(expr) | Step::Unnest { collection: expr, .. } => mark(expr.columns()),
            Step::Window { time_column, .. } => mark(vec![*time_column]),
            Step::Expand { .. } => {}
            // Columns have other places behind it: all are wanted.
            Step::FromChangelog { .. } | Step::ToChangelog { .. } => return vec![true; columns],
            Step::Project { exprs, .. } => {
                exprs.iter().for_each(|expr| mark(expr.columns()));
                return used;
            }
        }
    }
    vec![true; columns]
}

/// A kernel that fails on columns that fit is a bug of ours.
pub fn internal(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::Internal, message: error.to_string() }
}

/// Whether the steps change nothing: rows can go straight on.
pub fn is_identity(steps: &[Step], input: &Schema) -> bool {
    steps.iter().all(|step| match step {
        Step::Project { exprs, schema } => {
            exprs.len() == input.len()
                && exprs.iter().enumerate().all(|(at, expr)| is_column(expr, at))
                && schema.arrow_schema() == input.arrow_schema()
        }
        _ => false,
    })
}

fn is_column(expr: &Expr, at: usize) -> bool {
    matches!(expr.kind, flott_expr::ExprKind::Column { index, .. } if index == at)
}
