//! The first of two phases: rows are aggregated on the shard where they are read, and only the
//! groups travel to the shards that own them.
//!
//! **Keeps** a pane for each slice of the rows since the last flush. **Emits** them at the flush, and
//! keeps nothing beyond. **A watermark** does nothing: the flush before it has emptied the panes.
//!
//! ```text
//!   partial batch:  slice │ rows │ keys … │ saved accumulators … │ lists of distinct values …
//! ```
//! Where keys hardly repeat, rows go on as they are for a while: hashing them twice would gain nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_plan::WindowAggregate;
use flott_state::{OperatorSnapshot, OperatorState};
use flott_types::{Code, Diagnostic, Result, Schema, TimeAttribute};

use super::emit::{batch, positional_schema};
use super::pane::{Aggregation, Pane, next_slots, take_all};
use super::place::{Placement, only_inserts};
use super::split::Part;
use crate::operator::{Context, Operator, Output, ROWS_BEHIND, Rows};

/// Slice and row count come before the keys.
const LEADING: usize = 2;
/// With fewer rows than this in a flush nothing is learnt about how often keys repeat.
const SAMPLE_ROWS: usize = 1024;
/// Flushes for which rows go on as they are.
const PASS_FLUSHES: u32 = 32;

/// The columns of partial batches.
#[derive(Debug)]
pub(crate) struct PartialLayout {
    schema: SchemaRef,
    keys: usize,
}

/// A partial batch, taken apart.
pub(crate) struct Partial<'a> {
    pub(crate) slices: &'a [i64],
    pub(crate) counts: &'a ArrayRef,
    pub(crate) keys: &'a [ArrayRef],
    pub(crate) saved: &'a [ArrayRef],
}

impl PartialLayout {
    pub(crate) fn new(aggregation: &Aggregation) -> Result<Self> {
        let leading = [ArrowType::Int64, ArrowType::Int64];
        let keys = aggregation.key_types().iter().cloned();
        let types = leading.into_iter().chain(keys).chain(aggregation.partial_types()?);
        let mut fields = positional_schema(types).fields().to_vec();
        if let Some(counts) = fields.get_mut(1) {
            *counts = Arc::new(Field::new(ROWS_BEHIND, ArrowType::Int64, false));
        }
        Ok(Self { schema: Arc::new(ArrowSchema::new(fields)), keys: aggregation.key_types().len() })
    }

    pub(crate) fn read<'a>(&self, batch: &'a RecordBatch) -> Result<Partial<'a>> {
        let wrong = || Diagnostic::error(Code::Internal, "a partial batch has other columns than expected");
        let columns = batch.columns();
        let fits = columns.len() == self.schema.fields().len();
        let (leading, rest) = columns.split_at_checked(LEADING).filter(|_| fits).ok_or_else(wrong)?;
        let (keys, saved) = rest.split_at_checked(self.keys).ok_or_else(wrong)?;
        let [slices, counts] = leading else { return Err(wrong()) };
        let slices = slices.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values();
        Ok(Partial { slices, counts, keys, saved })
    }
}

/// Rows of one slice since the last flush.
struct Local {
    slice: i64,
    pane: Pane,
    counts: Vec<i64>,
}

/// The operator.
pub(crate) struct PreAggregation {
    aggregation: Arc<Aggregation>,
    placement: Placement,
    layout: PartialLayout,
    batch_rows: usize,
    locals: Vec<Local>,
    /// Rows taken since the last flush.
    taken: usize,
    /// Flushes during which rows still go on as they are.
    passing: u32,
    slots: Vec<u32>,
}

impl PreAggregation {
    /// The operator, and where the keys stand in what it emits.
    pub(crate) fn new(
        node: &WindowAggregate,
        input: &Schema,
        context: &Context,
    ) -> Result<(Self, Vec<usize>)> {
        if node.windows.time() == TimeAttribute::Proctime {
            return Err(Diagnostic::not_supported("two phases of windows on processing time"));
        }
        let placement = Placement::new(&node.windows, context)?;
        let aggregation =
            Arc::new(Aggregation::new(&node.keys, &node.calls, input, placement.is_attached())?);
        let keys = (LEADING..LEADING + node.keys.len()).collect();
        let operator = Self {
            layout: PartialLayout::new(&aggregation)?,
            aggregation,
            placement,
            batch_rows: context.batch_rows.max(1),
            locals: Vec::new(),
            taken: 0,
            passing: 0,
            slots: Vec::new(),
        };
        Ok((operator, keys))
    }

    fn add(&mut self, rows: &RecordBatch, slice: i64, part: &Part, start: Option<&ArrayRef>) -> Result<()> {
        let keyed = self.aggregation.rows(rows.columns(), rows.num_rows(), part, start)?;
        let at = match self.locals.iter().rposition(|local| local.slice == slice) {
            Some(at) => at,
            None => {
                self.locals.push(Local { slice, pane: self.aggregation.pane()?, counts: Vec::new() });
                self.locals.len() - 1
            }
        };
        let Some(local) = self.locals.get_mut(at) else { return Ok(()) };
        self.aggregation.update(&mut local.pane.as_mut(), &keyed, &mut self.slots)?;
        local.counts.resize(local.pane.main.keys().slots_end(), 0);
        for slot in &self.slots {
            if let Some(count) = local.counts.get_mut(*slot as usize) {
                *count += 1;
            }
        }
        self.taken += keyed.len();
        Ok(())
    }

    fn emit(&self, local: &Local, out: &mut Output<'_>) -> Result<()> {
        let pane = local.pane.as_ref();
        let lists = self.aggregation.save_lists(&pane)?;
        let mut live = pane.main.keys().live();
        let mut slots = Vec::new();
        while next_slots(&mut live, self.batch_rows, &mut slots) {
            let counts: Vec<i64> =
                slots.iter().map(|slot| local.counts.get(*slot as usize).copied().unwrap_or(0)).collect();
            let rows: i64 = counts.iter().sum();
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![local.slice; slots.len()])),
                Arc::new(Int64Array::from(counts)),
            ];
            columns.extend(pane.main.keys().keys(&slots)?);
            columns.extend(self.aggregation.save_partial(&pane, &slots)?);
            columns.extend(take_all(&lists, &slots.clone().into())?);
            let batch = batch(&self.layout.schema, columns, slots.len())?;
            (out.emit)(Rows { batch, kinds: None, partial: true, count: u64::try_from(rows).unwrap_or(0) })?;
        }
        Ok(())
    }
}

impl Operator for PreAggregation {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        only_inserts(&rows)?;
        if self.passing > 0 {
            self.taken += rows.batch.num_rows();
            return (out.emit)(rows);
        }
        let placed = self.placement.place(&rows.batch, out)?;
        for (slice, part) in &placed.parts {
            self.add(&placed.batch, *slice, part, placed.start.as_ref())?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        let taken = std::mem::take(&mut self.taken);
        if taken == 0 {
            return Ok(());
        }
        if self.passing > 0 {
            self.passing -= 1;
            return Ok(());
        }
        let mut locals = std::mem::take(&mut self.locals);
        locals.sort_by_key(|local| local.slice);
        let groups: usize = locals.iter().map(|local| local.pane.main.len()).sum();
        locals.iter().try_for_each(|local| self.emit(local, out))?;
        if taken >= SAMPLE_ROWS && groups > taken / 5 * 4 {
            self.passing = PASS_FLUSHES;
        }
        Ok(())
    }

    fn snapshot(&mut self, _snapshot: &mut OperatorSnapshot) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, _state: &OperatorState) -> Result<()> {
        Ok(())
    }

    fn memory(&self) -> usize {
        self.locals.iter().map(|local| local.pane.main.memory()).sum()
    }
}
