//! What results were before the first change since the last flush, and how changes are told.
//!
//! ```text
//!   flush │ k: 3          │ k: 3 ─ +1 ─► 4 ─ -1 ─► 3     nothing
//!         │ l: 5  (kept)  │ l: 5 ─ +2 ─► 7               -U l 5, +U l 7
//!         │               │ m: new                       +I m 1
//!         │ n: 2  (kept)  │ n: its last row goes         -D n 2
//! ```
//! However often a group changes, its change is told once. `-U` and `+U` stand one after the other.

use arrow::array::{Array, ArrayRef, BooleanArray, Int8Array, UInt32Array};
use arrow::compute::interleave;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::SchemaRef;
use flott_types::{Result, RowKind};

use crate::arrow_failed;
use crate::operator::{Output, Rows};
use crate::window::{batch, take_all};

/// The groups touched since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    marks: Vec<u64>,
    /// Groups that were not there.
    pub(crate) fresh: Vec<u32>,
    /// Groups that were there, with their results.
    pub(crate) before: Vec<Before>,
}

/// Groups with their results.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) slots: Vec<u32>,
    pub(crate) results: Vec<ArrayRef>,
}

impl Pending {
    #[inline]
    fn mark(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, slot % 64);
        if word >= self.marks.len() {
            self.marks.resize(word + 1, 0);
        }
        let Some(word) = self.marks.get_mut(word) else { return false };
        let new = *word >> bit & 1 == 0;
        *word |= 1 << bit;
        new
    }

    /// Whether a group has been touched.
    pub(crate) fn is_marked(&self, slot: u32) -> bool {
        self.marks.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Groups that have just come into being.
    pub(crate) fn insert(&mut self, slots: &[u32]) {
        for slot in slots {
            self.mark(*slot);
        }
        self.fresh.extend_from_slice(slots);
    }

    /// Those of the groups that are touched for the first time, each once.
    pub(crate) fn touch(&mut self, slots: &[u32]) -> Vec<u32> {
        slots.iter().copied().filter(|slot| self.mark(*slot)).collect()
    }

    /// Forgets everything.
    pub(crate) fn take(&mut self) -> (Vec<u32>, Vec<Before>) {
        let (fresh, before) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.before));
        for slot in fresh.iter().chain(before.iter().flat_map(|it| &it.slots)) {
            if let Some(word) = self.marks.get_mut(*slot as usize / 64) {
                *word = 0;
            }
        }
        (fresh, before)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.before.is_empty()
    }
}

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It says what it said.
    Same,
    /// Its result is another one.
    Changed,
    /// It has no rows any more.
    Gone,
}

/// Tells changes.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) schema: SchemaRef,
    pub(crate) with_before: bool,
}

impl Teller {
    /// Groups that are new.
    pub(crate) fn inserted(&self, columns: Vec<ArrayRef>, rows: usize, out: &mut Output<'_>) -> Result<()> {
        (out.emit)(Rows::insert(batch(&self.schema, columns, rows)?))
    }

    /// Groups of which each has a fate; all lists are parallel.
    pub(crate) fn changed(
        &self,
        keys: &[ArrayRef],
        before: &[ArrayRef],
        after: &[ArrayRef],
        fates: &[Fate],
        out: &mut Output<'_>,
    ) -> Result<()> {
        let (mut kinds, mut rows, mut which) = (Vec::new(), Vec::new(), Vec::new());
        let mut tell = |kind: RowKind, row: usize| {
            kinds.push(kind as i8);
            rows.push(row as u32);
            which.push((usize::from(kind == RowKind::UpdateAfter), row));
        };
        for (row, fate) in fates.iter().enumerate() {
            match fate {
                Fate::Same => {}
                Fate::Changed => {
                    if self.with_before {
                        tell(RowKind::UpdateBefore, row);
                    }
                    tell(RowKind::UpdateAfter, row);
                }
                Fate::Gone => tell(RowKind::Delete, row),
            }
        }
        if kinds.is_empty() {
            return Ok(());
        }
        let told = kinds.len();
        let mut columns = take_all(keys, &UInt32Array::from(rows))?;
        for (before, after) in before.iter().zip(after) {
            columns.push(interleave(&[before.as_ref(), after.as_ref()], &which).map_err(arrow_failed)?);
        }
        let kinds = Some(Int8Array::from(kinds));
        (out.emit)(Rows::changes(batch(&self.schema, columns, told)?, kinds))
    }
}

/// Marks the rows in which two columns differ.
pub(crate) fn differences(before: &ArrayRef, after: &ArrayRef, fates: &mut [Fate]) {
    let mut set = |row: usize, same: bool| {
        if let Some(fate) = fates.get_mut(row).filter(|fate| !same && **fate == Fate::Same) {
            *fate = Fate::Changed;
        }
    };
    match not_distinct(before, after) {
        Ok(same) => {
            let same: BooleanArray = same;
            if same.true_count() < same.len() {
                same.values().iter().enumerate().for_each(|(row, same)| set(row, same));
            }
        }
        // Nested values: one by one.
        Err(_) => {
            for row in 0..before.len().min(after.len()) {
                set(row, before.slice(row, 1) == after.slice(row, 1));
            }
        }
    }
}
