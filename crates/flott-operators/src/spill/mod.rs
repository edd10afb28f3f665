//! State beyond memory: an operator whose state doesn't fit is cut into slices by key group, and those that
//! have no work are put away on disk.
//!
//! ```text
//!   the budget holds    ┌───────── operator ─────────┐     one call more per batch
//!   it does not         │ 0 │ 1 │ 2 │ 3 │ … │ 63     │     in memory: as many as fit
//!                         ▲       ▲                        away: a file each, rows wait
//! ```
//! **Keeps** what the operator keeps, and rows, watermarks and timers for slices that are away.
//!
//! **Emits** what the operator emits, later and in larger steps. What is told of a key comes in the same
//! order, and the output's watermark is that of the slice that is furthest behind, so nothing is late that
//! would not have been.
//!
//! **A watermark** goes to the slices in memory, and waits with the rows of the others; an operator to which
//! it means nothing needn't be read for it. **A barrier** waits
//! until no row does. **A retraction** is a row like others.
//!
//! Files are segments as checkpoints have them. What a slice changed since the last barrier is written
//! beside its state when it is put away, and becomes a segment of the next checkpoint as it is.
//!
//! An operator whose rows don't go by a key can't be cut. It is measured and stays in memory.

mod budget;
mod bytes;
mod slice;
mod slices;
#[cfg(test)]
mod tests;
mod waiting;

use std::ops::Range;
use std::sync::Arc;

use flott_plan::OperatorNode;
use flott_state::{KeyGroups, OperatorSnapshot, OperatorState, Storage};
use flott_types::{Result, Schema};

pub use budget::MemoryBudget;
use budget::{Entry, Meter};
use bytes::bytes_of;
use slices::Slices;
use waiting::Moment;

use crate::operator::{Context, Operator, Output, Rows, Spilled, build};

/// The key columns of a lane's rows.
#[derive(Debug, Clone, Default)]
pub struct LaneKeys {
    /// Of rows as the operator's input has them.
    pub whole: Vec<usize>,
    /// Of partial results.
    pub partial: Vec<usize>,
}

/// How an operator's state may leave memory.
#[derive(Debug, Clone)]
pub struct SpillSettings {
    /// What all operators of the process share.
    pub budget: Arc<MemoryBudget>,
    /// Where slices are put away.
    pub storage: Arc<dyn Storage>,
    /// What the names of the operator's files there begin with.
    pub name: String,
    /// The keys by which rows came to this shard, by lane. None: the operator can't be cut.
    pub lanes: Vec<LaneKeys>,
    /// Barriers come, and want to know what has changed.
    pub checkpoints: bool,
    /// Rows gathered before an operator tells what came of them.
    pub flush_rows: u64,
}

/// Makes the operator for a range of key groups.
struct Maker {
    node: OperatorNode,
    inputs: Vec<Schema>,
    context: Context,
    looks_at_time: bool,
}

impl Maker {
    fn make(&self, owned: Range<u16>) -> Result<Box<dyn Operator>> {
        build(&self.node, &self.inputs, &Context { owned, ..self.context.clone() })
    }
    fn owned(&self) -> &Range<u16> {
        &self.context.owned
    }
    fn groups(&self) -> KeyGroups {
        self.context.groups
    }
    fn batch_rows(&self) -> usize {
        self.context.batch_rows.max(1)
    }
    fn now(&self) -> i64 {
        (self.context.now_millis)()
    }
    fn batch_mode(&self) -> bool {
        self.context.batch_mode
    }
}

/// An operator in one piece or in slices.
pub struct SpillingOperator {
    form: Form,
    maker: Maker,
    settings: SpillSettings,
    entry: Entry,
    meter: Meter,
    watermark: i64,
    /// The barrier to come.
    epoch: u64,
}

enum Form {
    Whole(Box<dyn Operator>),
    Sliced(Box<Slices>),
}

impl SpillingOperator {
    /// The operator of a plan's node, empty.
    ///
    /// # Errors
    /// As [`build`].
    pub fn new(
        node: &OperatorNode,
        inputs: &[Schema],
        context: &Context,
        settings: SpillSettings,
    ) -> Result<Self> {
        let whole = build(node, inputs, context)?;
        let maker = Maker {
            node: node.clone(),
            inputs: inputs.to_vec(),
            context: context.clone(),
            looks_at_time: whole.looks_at_time(),
        };
        let can_cut = !settings.lanes.is_empty();
        Ok(Self {
            form: Form::Whole(whole),
            entry: Entry::new(settings.budget.clone(), can_cut),
            meter: Meter::new(settings.budget.limit()),
            watermark: i64::MIN,
            epoch: 1,
            maker,
            settings,
        })
    }

    /// The first barrier's number.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Rows have come in: now and then measures, and acts on it.
    fn weigh(&mut self, bytes: usize, out: &mut Output<'_>) -> Result<()> {
        if !self.meter.add(bytes) {
            return Ok(());
        }
        let limit = self.settings.budget.limit();
        match &mut self.form {
            Form::Whole(operator) => {
                self.entry.set(operator.memory());
                let can_cut = !self.settings.lanes.is_empty();
                if can_cut && self.settings.budget.must_cut(self.entry.bytes()) {
                    operator.flush(out)?;
                    self.cut()?;
                }
            }
            Form::Sliced(slices) => slices.measure(&self.maker, &self.settings, self.epoch, out)?,
        }
        self.account();
        self.meter.measured(self.entry.bytes(), limit);
        Ok(())
    }

    fn account(&mut self) {
        if let Form::Sliced(slices) = &self.form {
            self.entry.set(slices.memory());
        }
    }

    fn cut(&mut self) -> Result<()> {
        let empty: Box<Slices> = Box::new(Slices::unread(&OperatorState::empty(), &self.maker));
        let Form::Whole(operator) = std::mem::replace(&mut self.form, Form::Sliced(empty)) else {
            return Ok(());
        };
        let slices = Slices::cut(operator, self.watermark, &self.maker, &self.settings, self.epoch)?;
        self.form = Form::Sliced(Box::new(slices));
        self.entry.cut();
        Ok(())
    }
}

impl Operator for SpillingOperator {
    fn on_rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let bytes = bytes_of(&rows.batch);
        match &mut self.form {
            Form::Whole(operator) => operator.on_rows(input, rows, out)?,
            Form::Sliced(slices) if rows.batch.num_rows() > 0 => {
                slices.rows(input, &rows, &self.maker, &self.settings, self.epoch, out)?;
                self.entry.set(slices.memory());
            }
            Form::Sliced(_) => {}
        }
        self.weigh(bytes, out)
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        self.watermark = watermark;
        match &mut self.form {
            Form::Whole(operator) => operator.on_watermark(watermark, out),
            Form::Sliced(slices) => slices.moment(Moment::Watermark(watermark), &self.maker, out),
        }
    }

    fn next_timer(&self) -> Option<i64> {
        match &self.form {
            Form::Whole(operator) => operator.next_timer(),
            Form::Sliced(slices) => slices.next_timer(),
        }
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        match &mut self.form {
            Form::Whole(operator) => operator.on_time(now_millis, out),
            Form::Sliced(slices) => slices.moment(Moment::Clock(now_millis), &self.maker, out),
        }
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        match &mut self.form {
            Form::Whole(operator) => operator.flush(out),
            Form::Sliced(slices) => slices.flush(out),
        }
    }

    fn is_ready(&self) -> bool {
        match &self.form {
            Form::Whole(operator) => operator.is_ready(),
            Form::Sliced(_) => true,
        }
    }

    fn is_waiting(&self) -> bool {
        match &self.form {
            Form::Whole(operator) => operator.is_waiting(),
            Form::Sliced(slices) => slices.is_finishing(),
        }
    }

    fn poll(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let moved = match &mut self.form {
            Form::Whole(operator) => return operator.poll(out),
            Form::Sliced(slices) if slices.is_finishing() => {
                slices.next_turn(&self.maker, &self.settings, self.epoch, out)?
            }
            Form::Sliced(_) => return Ok(false),
        };
        self.account();
        Ok(moved)
    }

    fn output_watermark(&self, watermark: i64) -> i64 {
        match &self.form {
            Form::Whole(operator) => operator.output_watermark(watermark),
            Form::Sliced(slices) => slices.output_watermark(),
        }
    }

    fn settle(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let settled = match &mut self.form {
            Form::Whole(operator) => return operator.settle(out),
            Form::Sliced(slices) => slices.settle(&self.maker, &self.settings, self.epoch, out)?,
        };
        self.account();
        Ok(settled)
    }

    fn has_to_work_off(&self) -> bool {
        matches!(self.form, Form::Sliced(_))
    }

    fn spare_time(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let moved = match &mut self.form {
            Form::Whole(operator) => return operator.spare_time(out),
            Form::Sliced(slices) => slices.next_turn(&self.maker, &self.settings, self.epoch, out)?,
        };
        self.account();
        Ok(moved)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        self.epoch = snapshot.epoch().saturating_add(1);
        match &mut self.form {
            Form::Whole(operator) => operator.snapshot(snapshot),
            Form::Sliced(slices) => slices.snapshot(snapshot, &self.maker, &self.settings),
        }
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        let expected = usize::try_from(state.bytes().saturating_mul(2)).unwrap_or(usize::MAX);
        // Operators are restored at the same time: each takes its share before it reads.
        if self.settings.lanes.is_empty() || self.entry.reserve(expected) {
            if let Form::Whole(operator) = &mut self.form {
                operator.restore(state)?;
                self.entry.set(operator.memory());
            }
            return Ok(());
        }
        let slices = Slices::restore(state, &self.maker, &self.settings)?;
        self.form = Form::Sliced(Box::new(slices));
        self.entry.cut();
        Ok(())
    }

    fn memory(&self) -> usize {
        match &self.form {
            Form::Whole(operator) => operator.memory(),
            Form::Sliced(slices) => slices.memory(),
        }
    }

    fn spilled(&self) -> Spilled {
        match &self.form {
            Form::Whole(operator) => operator.spilled(),
            Form::Sliced(slices) => slices.spilled(),
        }
    }
}
