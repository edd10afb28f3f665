//! Top-N over rows that are only added.
//!
//! **Keeps** for each key the n best rows, no more than are wanted.
//!
//! **Emits** on flush what changed in the lists since the last one. With the rank, or with an offset, each
//! rank is a row that changes (`-U`, `+U`); else rows fall out (`-D`) and come in (`+I`). In batch mode the
//! lists, at the end.
//!
//! **A watermark** does nothing to it.
//!
//! **A retraction** can't come: the plan ranks all rows of an input that takes rows back.
//!
//! ```text
//!   key a   9  7  4 │         ORDER BY price DESC, 3 rows
//!   row 8               ►     9  8  7 │      -D 4  +I 8
//!   row 5                     passed over
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use flott_plan::TopN;
use flott_state::{OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Result, Schema};

use super::best_rows::{BestRows, Entry, NoWatch, Watch};
use super::changes::{Telling, Told};
use super::order_converter;
use crate::keyed::idle::IdleKeys;
use crate::keyed::layout::{Layout, Parts};
use crate::keyed::{column_of, column_of_mut};
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, only_inserts, positional_schema};

/// The lists as they were at the last flush, of the keys that have changed since.
#[derive(Debug, Default)]
struct Before {
    /// By slot: the position in `touched`, plus one.
    pending: Vec<u32>,
    /// Slot, and where its list ends in `entries`.
    touched: Vec<(u32, usize)>,
    entries: Vec<Entry>,
    gone: Vec<Entry>,
}

impl Watch for Before {
    fn changes(&mut self, slot: u32, list: &[Entry]) {
        if self.pending.len() <= slot as usize {
            self.pending.resize(slot as usize + 1, 0);
        }
        if let Some(pending) = self.pending.get_mut(slot as usize)
            && *pending == 0
        {
            self.entries.extend_from_slice(list);
            self.touched.push((slot, self.entries.len()));
            *pending = self.touched.len() as u32;
        }
    }

    fn falls_out(&mut self, entry: Entry) -> bool {
        self.gone.push(entry);
        false
    }
}

/// The operator.
pub(crate) struct TopNOperator {
    layout: Layout,
    order: Vec<usize>,
    table: Table<dyn StateColumn>,
    idle: Option<IdleKeys>,
    before: Before,
    telling: Telling,
    with_rank: bool,
    schema: SchemaRef,
    slots: Vec<u32>,
    ending: bool,
    context: Context,
}

impl TopNOperator {
    pub(crate) fn new(node: &TopN, input: &Schema, context: &Context) -> Result<Self> {
        // A column that is ordered by twice, or is a key too, decides nothing the second time.
        let mut order_by: Vec<(usize, bool, bool)> = Vec::new();
        for by in &node.order_by {
            let is_key = node.keys.contains(&by.0);
            if !is_key && !order_by.iter().any(|known| known.0 == by.0) {
                order_by.push(*by);
            }
        }
        let order: Vec<usize> = order_by.iter().map(|it| it.0).collect();
        let layout = Layout::new(input, &node.keys, &order)?;
        let type_of = |column: &usize| input.fields.get(*column).map(|field| field.data_type.arrow_type());
        let order_types: Vec<ArrowType> = order.iter().filter_map(type_of).collect();
        let limit = usize::try_from(node.ranks.1).unwrap_or(usize::MAX);
        let converter = order_converter(&order_by, input)?;
        let best = BestRows::new(converter, &order_types, &layout.rest_types(), limit)?;
        let idle = node.ttl_millis.map(|ttl| IdleKeys::new(ttl, 1, context));
        let mut columns: Vec<Box<dyn StateColumn>> = vec![Box::new(best)];
        columns.extend(idle.is_some().then(IdleKeys::stamps));
        let rank = node.with_rank.then_some(ArrowType::Int64);
        let types = layout.schema.fields().iter().map(|field| field.data_type().clone());
        Ok(Self {
            schema: positional_schema(types.chain(rank)),
            table: Table::new(&layout.key_types(), columns)?,
            layout,
            order,
            idle,
            before: Before::default(),
            telling: telling(node),
            with_rank: node.with_rank,
            slots: Vec::new(),
            ending: false,
            context: context.clone(),
        })
    }

    fn best(&self) -> Result<&BestRows> {
        column_of(&self.table, 0)
    }

    fn emit(&self, told: &[(u32, Told<Entry>)], kinds: bool, out: &mut Output<'_>) -> Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = told.iter().map(|it| it.0).collect();
        let (beside, rest) = self.best()?.columns(told.iter().map(|it| it.1.row))?;
        let keys = self.table.keys().keys(&slots)?;
        let mut columns = self.layout.assemble(Parts { keys: &keys, beside, rest })?;
        if self.with_rank {
            columns.push(Arc::new(told.iter().map(|it| it.1.rank).collect::<Int64Array>()));
        }
        let rows = batch(&self.schema, columns, told.len())?;
        let kinds = kinds.then(|| told.iter().map(|it| it.1.kind).collect::<Int8Array>());
        (out.emit)(Rows::changes(rows, kinds))
    }

    fn emit_changes(&mut self, out: &mut Output<'_>) -> Result<()> {
        let mut before = std::mem::take(&mut self.before);
        let (mut told, mut one, mut start) = (Vec::new(), Vec::new(), 0);
        for (slot, end) in &before.touched {
            let best = self.best()?;
            let was = before.entries.get(start..*end).unwrap_or_default();
            start = *end;
            self.telling.tell(was, best.list(*slot), |a, b| best.same(a, b), &mut one);
            told.extend(one.drain(..).map(|it| (*slot, it)));
            if told.len() >= self.context.batch_rows {
                self.emit(&told, true, out)?;
                told.clear();
            }
            if let Some(pending) = before.pending.get_mut(*slot as usize) {
                *pending = 0;
            }
        }
        self.emit(&told, true, out)?;
        let best: &mut BestRows = column_of_mut(&mut self.table, 0)?;
        best.free(&mut before.gone);
        before.touched.clear();
        before.entries.clear();
        self.before = before;
        Ok(())
    }

    fn emit_all(&self, out: &mut Output<'_>) -> Result<()> {
        let mut told = Vec::new();
        let best = self.best()?;
        for slot in self.table.keys().live() {
            for (at, entry) in best.list(slot).iter().enumerate().skip(self.telling.skip) {
                told.push((slot, Told { row: *entry, kind: 0, rank: at as i64 + 1 }));
                if told.len() >= self.context.batch_rows {
                    self.emit(&told, false, out)?;
                    told.clear();
                }
            }
        }
        self.emit(&told, false, out)
    }
}

/// How a node tells its changes.
pub(super) fn telling(node: &TopN) -> Telling {
    let number = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX);
    Telling {
        skip: number(node.ranks.0.saturating_sub(1)),
        limit: number(node.ranks.1),
        positional: node.is_positional(),
        before: node.with_before,
    }
}

impl Operator for TopNOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, _out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        let columns: Vec<ArrayRef> = rows.batch.columns().iter().take(self.layout.width()).cloned().collect();
        let keys = self.layout.keys_of(&columns);
        let hashes = self.table.hashes(&keys, rows.batch.num_rows());
        self.slots.clear();
        self.table.find_or_insert(&keys, &hashes, &mut self.slots)?;
        let order: Vec<ArrayRef> = self.order.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        let rest = self.layout.rest_of(&columns);
        let best: &mut BestRows = column_of_mut(&mut self.table, 0)?;
        let changed = match self.context.batch_mode {
            true => best.offer(&self.slots, &order, &rest, &mut NoWatch)?,
            false => best.offer(&self.slots, &order, &rest, &mut self.before)?,
        };
        self.table.touch(&changed);
        if let Some(idle) = &mut self.idle {
            idle.touch(&mut self.table, changed.into_iter())?;
        }
        Ok(())
    }

    fn looks_at_time(&self) -> bool {
        false
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.idle.as_ref()?.next_timer(&self.table)
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        self.ending |= now_millis == i64::MAX;
        self.flush(out)?;
        if let Some(idle) = &mut self.idle {
            let old = idle.sweep(&mut self.table, now_millis)?;
            self.table.remove(&old)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        if !self.context.batch_mode {
            return self.emit_changes(out);
        }
        if std::mem::take(&mut self.ending) {
            self.emit_all(out)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("best", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        let limit = self.telling.limit;
        let earlier = state.number("last rank").and_then(|it| usize::try_from(it).ok()).unwrap_or(limit);
        column_of_mut::<BestRows>(&mut self.table, 0)?.widen(earlier);
        state.table("best", &mut self.table)?;
        if earlier > limit {
            // Fewer are wanted than were: the others are taken back at the first flush.
            let slots: Vec<u32> = self.table.keys().live().collect();
            let best: &mut BestRows = column_of_mut(&mut self.table, 0)?;
            let changed = best.narrow(limit, &slots, &mut self.before);
            self.table.touch(&changed);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.before.pending.capacity() * 4
    }
}
