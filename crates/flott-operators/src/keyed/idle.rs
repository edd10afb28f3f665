//! When keys were touched last, for the time to live of state.
//!
//! ```text
//!   stamp of a slot   when it was touched: milliseconds, cut to sixteenths of the time to live
//!   sweep             once every sixteenth: whatever is older than the time to live goes
//! ```
//! A key lives at least as long as was asked for, and at most a sixteenth longer.

use flott_state::{LongColumn, StateColumn, Table};
use flott_types::Result;

use super::column_of_mut;

/// The time to live of a table's keys; the stamps are one of its columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    unit: i64,
    /// How many units a key lives untouched.
    units: i64,
    column: usize,
    swept: i64,
}

impl Idle {
    /// The stamps are the column at this position.
    pub(crate) fn new(ttl_millis: i64, column: usize) -> Self {
        let unit = (ttl_millis / 16).max(1);
        Self { unit, units: ttl_millis.div_euclid(unit).max(1), column, swept: i64::MIN }
    }

    /// The column of stamps.
    pub(crate) fn stamps() -> Box<dyn StateColumn> {
        Box::new(LongColumn::new(0))
    }

    /// These keys are touched now.
    pub(crate) fn touch(
        &mut self,
        table: &mut Table<dyn StateColumn>,
        slots: impl Iterator<Item = u32>,
        now: i64,
    ) -> Result<()> {
        let stamp = now.div_euclid(self.unit);
        if self.swept == i64::MIN {
            self.swept = stamp;
        }
        let stamps: &mut LongColumn = column_of_mut(table, self.column)?;
        for slot in slots {
            if let Some(place) = stamps.values.get_mut(slot as usize) {
                *place = stamp.saturating_mul(self.unit);
            }
        }
        Ok(())
    }

    /// When the next sweep is due.
    pub(crate) fn next_timer(&self, table: &Table<dyn StateColumn>) -> Option<i64> {
        if table.is_empty() {
            return None;
        }
        Some(self.swept.saturating_add(1).saturating_mul(self.unit))
    }

    /// The keys that nothing has touched for too long.
    pub(crate) fn sweep(&mut self, table: &mut Table<dyn StateColumn>, now: i64) -> Result<Vec<u32>> {
        let stamp = now.div_euclid(self.unit);
        // The end of the input is no time at which anything grows old.
        if now == i64::MAX || stamp <= self.swept {
            return Ok(Vec::new());
        }
        self.swept = stamp;
        let slots: Vec<u32> = table.keys().live().collect();
        let stamps: &mut LongColumn = column_of_mut(table, self.column)?;
        let old = |slot: &u32| {
            let last = stamps.values.get(*slot as usize).copied().unwrap_or(i64::MAX);
            now.saturating_sub(last) >= self.unit.saturating_mul(self.units + 1)
        };
        Ok(slots.into_iter().filter(old).collect())
    }
}
