//! `LIMIT` without an order over rows that are only added: the first rows that come.
//!
//! **Keeps** how many rows have come.
//!
//! **Emits** at once.
//!
//! **A watermark** does nothing to it.
//!
//! **A retraction** can't come: the plan ranks all rows of an input that takes rows back.

use flott_plan::TopN;
use flott_state::{LongColumn, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::Result;

use crate::keyed::column_of_mut;
use crate::operator::{Operator, Output, Rows};
use crate::window::only_inserts;

/// The operator.
pub(crate) struct LimitOperator {
    first: u64,
    last: u64,
    /// How many rows have come, under the empty key.
    table: Table<dyn StateColumn>,
}

impl LimitOperator {
    pub(crate) fn new(node: &TopN) -> Result<Self> {
        let columns: Vec<Box<dyn StateColumn>> = vec![Box::new(LongColumn::new(0))];
        Ok(Self { first: node.ranks.0.max(1), last: node.ranks.1, table: Table::new(&[], columns)? })
    }
}

impl Operator for LimitOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        only_inserts(&rows)?;
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        let mut slots = Vec::new();
        let hashes = self.table.hashes(&[], 1);
        self.table.find_or_insert(&[], &hashes, &mut slots)?;
        let counts: &mut LongColumn = column_of_mut(&mut self.table, 0)?;
        let Some(count) = slots.first().and_then(|slot| counts.values.get_mut(*slot as usize)) else {
            return Ok(());
        };
        let before = u64::try_from(*count).unwrap_or(0);
        if before >= self.last {
            return Ok(());
        }
        let taken = (rows.batch.num_rows() as u64).min(self.last - before);
        *count = count.saturating_add(taken as i64);
        let skipped = (self.first - 1).saturating_sub(before).min(taken);
        self.table.touch(&slots);
        if taken > skipped {
            let rows = rows.batch.slice(skipped as usize, (taken - skipped) as usize);
            (out.emit)(Rows::insert(rows))?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("count", &mut self.table)
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("count", &mut self.table)
    }

    fn memory(&self) -> usize {
        self.table.memory()
    }
}
