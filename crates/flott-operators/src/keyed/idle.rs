//! The time to live of a table's keys: when each was touched stands in a column beside it.

use flott_state::{LongColumn, StateColumn, Table};
use flott_types::Result;

use super::column_of_mut;
use crate::idle::Idle;
use crate::operator::Context;

/// Forgets a table's keys; the stamps are one of its columns.
#[derive(Clone)]
pub(crate) struct IdleKeys {
    idle: Idle,
    column: usize,
}

impl IdleKeys {
    /// The stamps are the column at this position.
    pub(crate) fn new(ttl_millis: i64, column: usize, context: &Context) -> Self {
        Self { idle: Idle::new(ttl_millis, context.now_millis.clone()), column }
    }

    /// The column of stamps: milliseconds.
    pub(crate) fn stamps() -> Box<dyn StateColumn> {
        Box::new(LongColumn::new(0))
    }

    /// These keys are touched now.
    pub(crate) fn touch(
        &mut self,
        table: &mut Table<dyn StateColumn>,
        slots: impl Iterator<Item = u32>,
    ) -> Result<()> {
        let now = self.idle.now();
        let stamps: &mut LongColumn = column_of_mut(table, self.column)?;
        for slot in slots {
            if let Some(place) = stamps.values.get_mut(slot as usize) {
                *place = now;
            }
        }
        Ok(())
    }

    /// When the next sweep is due.
    pub(crate) fn next_timer(&self, table: &Table<dyn StateColumn>) -> Option<i64> {
        self.idle.timer(table.is_empty())
    }

    /// The keys that nothing has touched for too long.
    pub(crate) fn sweep(&mut self, table: &mut Table<dyn StateColumn>, now: i64) -> Result<Vec<u32>> {
        let Some(since) = self.idle.sweep(now) else { return Ok(Vec::new()) };
        let slots: Vec<u32> = table.keys().live().collect();
        let stamps: &mut LongColumn = column_of_mut(table, self.column)?;
        let old = |slot: &u32| stamps.values.get(*slot as usize).is_some_and(|last| *last <= since);
        Ok(slots.into_iter().filter(old).collect())
    }
}
