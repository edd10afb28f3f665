//! What every operator is: driven by rows, watermarks and the clock, snapshot at barriers.

use std::{cell::Cell, ops::Range, sync::Arc};

use arrow::{
    array::{BooleanArray, Int8Array},
    record_batch::RecordBatch,
};
use flott_connector::{LookupTable, Wake};
use flott_expr::EvalContext;
use flott_plan::{OperatorNode, Windows};
use flott_sql::WindowKind;
use flott_state::{KeyGroups, OperatorSnapshot, OperatorState};
use flott_types::{Code, Diagnostic, Result, Schema};

use crate::group::{GroupAggregateOperator, PreGroup};
use crate::join::JoinOperator;
use crate::keyed::{MaterializeOperator, NormalizeOperator};
use crate::lookup::LookupJoinOperator;
use crate::pattern::PatternOperator;
use crate::sort::SortOperator;
use crate::temporal::TemporalJoinOperator;
use crate::window::{
    PreAggregation, SessionOperator, WindowAggregateOperator, WindowJoinOperator, WindowRankOperator,
};

/// The column of partial results that says how many input rows each stands for.
pub const ROWS_BEHIND: &str = "$rows";

/// Rows on their way between operators.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows. Partial results of a two-phase aggregation have the columns that
    /// [`pre_aggregation`] gave them.
    pub batch: RecordBatch,
    /// What each row does (0 +I, 1 -U, 2 +U, 3 -D, as Flink numbers its `RowKind`); none: all +I.
    pub kinds: Option<Int8Array>,
    /// The batch holds partial results of a pre-aggregation.
    pub partial: bool,
    /// How many input rows the batch stands for: more than it has if it holds partial results.
    pub count: u64,
}

impl Rows {
    /// Changes; rows that are added, if they have no kinds.
    pub fn changes(batch: RecordBatch, kinds: Option<Int8Array>) -> Self {
        Self { kinds, ..Self::insert(batch) }
    }
    /// Rows that are added.
    pub fn insert(batch: RecordBatch) -> Self {
        let count = batch.num_rows() as u64;
        Self { batch, kinds: None, partial: false, count }
    }
}

/// Where an operator's output goes.
pub struct Output<'a> {
    /// Takes rows on, at once.
    pub emit: &'a mut dyn FnMut(Rows) -> Result<()>,
    /// Takes rows that are too late for every window they belong to: the batch that they came in,
    /// and which of its rows (none: all).
    pub late: &'a mut dyn FnMut(&RecordBatch, Option<&BooleanArray>) -> Result<()>,
    /// Takes rows that no window can be found for (a NULL time): the batch that they came in, which of
    /// its rows, and what is wrong. The engine counts them and dead-letters, skips or fails.
    pub reject: &'a mut dyn FnMut(&RecordBatch, &BooleanArray, &str) -> Result<()>,
    /// Input rows behind late partial results, which have no rows to show any more.
    pub late_partial: &'a mut u64,
    /// Retractions of rows that the operator never saw: taken, without effect.
    pub unmatched: &'a mut u64,
    /// Input rows that lie between windows which lie apart (a `HOP` whose slide is longer than its
    /// size): they belong to none.
    pub between: &'a mut u64,
    /// The lane whose rows are taken. Who takes rows that have waited sets it to theirs, so that late and
    /// rejected ones are counted where they came from.
    pub lane: &'a Cell<usize>,
    /// What became of rows that have waited, by their lane.
    pub replayed: &'a mut Vec<Replayed>,
    /// Whether nobody wants the result any more: the run has failed, or must end now. Who may be long at one batch
    /// looks now and then, and ends with [`given_up`].
    pub given_up: &'a dyn Fn() -> bool,
}

/// What an operator says that has left its work half done because nobody wants it any more.
pub fn given_up() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "an operator was interrupted, and no reason was given")
}

/// Bytes put away on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spilled {
    /// As it stands.
    pub now: u64,
    /// The most that it was.
    pub peak: u64,
}

/// What became of rows that had been taken to wait, beside late and rejected ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replayed {
    /// The lane that they came along.
    pub lane: usize,
    /// As in [`Output`].
    pub late_partial: u64,
    /// As in [`Output`].
    pub unmatched: u64,
    /// As in [`Output`].
    pub between: u64,
}

/// What an operator gets from the engine.
#[derive(Clone)]
pub struct Context {
    /// Time zone, clock reading, seed.
    pub eval: EvalContext,
    /// Key groups of the job.
    pub groups: KeyGroups,
    /// Those that this shard has.
    pub owned: Range<u16>,
    /// Rows in a batch at the most.
    pub batch_rows: usize,
    /// The wall clock, in milliseconds since the epoch.
    pub now_millis: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// All rows are there before the first result is wanted (`execution.runtime-mode = 'batch'`).
    pub batch_mode: bool,
    /// The table that a look-up asks.
    pub lookup: Option<Lookups>,
}

/// A table that an operator looks rows up in.
#[derive(Clone)]
pub struct Lookups {
    /// The table.
    pub table: Arc<dyn LookupTable>,
    /// Has the operator polled.
    pub wake: Wake,
}

/// An operator on one shard. Never blocks.
pub trait Operator: Send {
    /// Takes rows of an input.
    ///
    /// # Errors
    /// What stops the run.
    fn on_rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()>;
    /// Time has come this far on all inputs: no row with a time at or before it comes any more
    /// (milliseconds; `i64::MAX` at the end of the input). Never goes back. The engine passes the
    /// watermark on behind what this emits.
    ///
    /// # Errors
    /// What stops the run.
    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()>;
    /// When the operator wants to be woken: wall clock, milliseconds.
    fn next_timer(&self) -> Option<i64> {
        None
    }
    /// The wall clock has come this far (called at or after `next_timer`, and with `i64::MAX` at the
    /// end of a bounded input, so that windows on processing time close as Flink's do).
    ///
    /// # Errors
    /// What stops the run.
    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        let _ = (now_millis, out);
        Ok(())
    }
    /// Hands over what is held back (a pre-aggregation's groups): after each chunk of input, before
    /// each watermark and barrier.
    ///
    /// # Errors
    /// What stops the run.
    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        let _ = out;
        Ok(())
    }
    /// Whether watermarks before the end of time mean anything to it.
    fn looks_at_time(&self) -> bool {
        true
    }
    /// Whether it takes rows now. Where it doesn't, it waits for something outside, is polled, and no row
    /// comes before it does.
    fn is_ready(&self) -> bool {
        true
    }
    /// Whether rows that it has taken wait for something outside. The input's end is told only when
    /// none does.
    fn is_waiting(&self) -> bool {
        false
    }
    /// Goes on with what has waited for something outside. Called again and again. Whether anything came.
    ///
    /// # Errors
    /// What stops the run.
    fn poll(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let _ = out;
        Ok(false)
    }
    /// How far time has come for its output, when it has come this far on all inputs: less far where
    /// rows come out late, or wait.
    fn output_watermark(&self, watermark: i64) -> i64 {
        watermark
    }
    /// Has everything come out that must before a barrier: what is gathered, and what comes of rows that
    /// wait. Called again until all is out.
    ///
    /// # Errors
    /// What stops the run.
    fn settle(&mut self, out: &mut Output<'_>) -> Result<bool> {
        self.flush(out).map(|()| true)
    }
    /// Whether it may take several [calls](Operator::settle) to settle.
    fn has_to_work_off(&self) -> bool {
        false
    }
    /// The shard has nothing else to do: what waits may be worked off. Whether there was anything.
    ///
    /// # Errors
    /// What stops the run.
    fn spare_time(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let _ = out;
        Ok(false)
    }
    /// Hands over what has changed since the last snapshot. Copies, does no I/O.
    ///
    /// # Errors
    /// `Internal`
    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()>;
    /// Takes back what snapshots handed over, for this shard's key groups; called once, before
    /// the first row. May be the state of several shards of another parallelism.
    ///
    /// # Errors
    /// State that can't be read.
    fn restore(&mut self, state: &OperatorState) -> Result<()>;
    /// Bytes of state in memory, about.
    fn memory(&self) -> usize;
    /// What is put away on disk: of its state, and of rows that wait for it.
    fn spilled(&self) -> Spilled {
        Spilled::default()
    }
}

/// The operator of a plan's node, empty. `inputs`: the schema of each input.
///
/// # Errors
/// `NotSupported`
pub fn build(node: &OperatorNode, inputs: &[Schema], context: &Context) -> Result<Box<dyn Operator>> {
    let input = |at: usize| {
        inputs
            .get(at)
            .ok_or_else(|| Diagnostic::error(Code::Internal, format!("a {} lacks input {at}", node.name())))
    };
    Ok(match node {
        OperatorNode::WindowAggregate(node) if is_session(&node.windows) => {
            Box::new(SessionOperator::aggregate(node, input(0)?, context)?)
        }
        OperatorNode::SessionWindow(node) => Box::new(SessionOperator::rows(node, input(0)?, context)?),
        OperatorNode::WindowAggregate(node) => {
            Box::new(WindowAggregateOperator::new(node, input(0)?, context)?)
        }
        OperatorNode::WindowJoin(node) => {
            Box::new(WindowJoinOperator::new(node, input(0)?, input(1)?, context)?)
        }
        OperatorNode::WindowRank(node) => Box::new(WindowRankOperator::new(node, input(0)?, context)?),
        OperatorNode::Over(node) => crate::over::build(node, input(0)?, context)?,
        OperatorNode::PatternMatch(node) => Box::new(PatternOperator::new(node, input(0)?, context)?),
        OperatorNode::TopN(node) => crate::rank::build(node, input(0)?, context)?,
        OperatorNode::Normalize(node) => Box::new(NormalizeOperator::new(node, input(0)?, context)?),
        OperatorNode::Materialize(node) => Box::new(MaterializeOperator::new(node, input(0)?, context)?),
        OperatorNode::Sort(node) => Box::new(SortOperator::new(node, input(0)?, context)?),
        OperatorNode::RegularJoin(node) => {
            Box::new(JoinOperator::regular(node, [input(0)?, input(1)?], context)?)
        }
        OperatorNode::IntervalJoin(node) => {
            Box::new(JoinOperator::bounded(node, [input(0)?, input(1)?], context)?)
        }
        OperatorNode::TemporalJoin(node) => {
            Box::new(TemporalJoinOperator::new(node, input(0)?, input(1)?, context)?)
        }
        OperatorNode::LookupJoin(node) => Box::new(LookupJoinOperator::new(node, input(0)?, context)?),
        OperatorNode::GroupAggregate(node) => {
            Box::new(GroupAggregateOperator::new(node, input(0)?, context)?)
        }
    })
}

/// The stage before the exchange of a two-phase aggregation: takes the node's input rows, emits
/// partial results (`Rows::partial`). Its state is empty after `flush`. The positions tell in which of
/// the partial batches' columns the keys stand, for the exchange. Where aggregating does not pay,
/// the input's rows come out as they are (not `partial`), with the node's own key columns.
///
/// # Errors
/// `NotSupported`: the node has no two-phase form.
pub fn pre_aggregation(
    node: &OperatorNode,
    input: &Schema,
    context: &Context,
) -> Result<(Box<dyn Operator>, Vec<usize>)> {
    match node {
        OperatorNode::WindowAggregate(node) if !is_session(&node.windows) => {
            let (operator, keys) = PreAggregation::new(node, input, context)?;
            Ok((Box::new(operator), keys))
        }
        OperatorNode::GroupAggregate(node) => {
            let (operator, keys) = PreGroup::new(node, input, context)?;
            Ok((Box::new(operator), keys))
        }
        other => Err(Diagnostic::not_supported(format_args!("two phases of {}", other.name()))),
    }
}

fn is_session(windows: &Windows) -> bool {
    matches!(windows, Windows::Assigned { kind: WindowKind::Session { .. }, .. })
}
