//! Which rows of a batch count: those without a NULL argument for which the filter is TRUE.
//!
//! ```text
//!   nulls of the arguments  1 1 0 1 ┐
//!                                    ├─ AND ─► 1 0 0 1      no nulls, no filter: every row, no bits
//!   filter                  1 0 1 1 ┘
//! ```

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::BooleanBuffer,
};

/// The rows that count.
pub(crate) enum Selection {
    /// Every row.
    All,
    /// Those whose bit is set.
    Bits(BooleanBuffer),
}

impl Selection {
    /// Rows where the filter is TRUE.
    pub(crate) fn filtered(filter: Option<&BooleanArray>) -> Self {
        let Some(filter) = filter else { return Selection::All };
        match filter.nulls() {
            Some(nulls) if nulls.null_count() > 0 => Selection::Bits(filter.values() & nulls.inner()),
            _ => Selection::Bits(filter.values().clone()),
        }
    }

    /// Rows where the filter is TRUE and no argument is NULL.
    pub(crate) fn present(args: &[ArrayRef], filter: Option<&BooleanArray>) -> Self {
        let mut selection = Self::filtered(filter);
        for arg in args {
            let Some(nulls) = arg.logical_nulls().filter(|nulls| nulls.null_count() > 0) else { continue };
            selection = match selection {
                Selection::All => Selection::Bits(nulls.inner().clone()),
                Selection::Bits(bits) => Selection::Bits(&bits & nulls.inner()),
            };
        }
        selection
    }

    /// Calls `visit(slot, row)` for each row that counts, in order.
    #[inline]
    pub(crate) fn for_each(&self, slots: &[u32], mut visit: impl FnMut(u32, usize)) {
        match self {
            Selection::All => {
                for (row, slot) in slots.iter().enumerate() {
                    visit(*slot, row);
                }
            }
            Selection::Bits(bits) => {
                for (start, end) in bits.set_slices() {
                    for (row, slot) in slots.iter().enumerate().take(end).skip(start) {
                        visit(*slot, row);
                    }
                }
            }
        }
    }

    /// As [`Selection::for_each`], until one fails.
    pub(crate) fn try_for_each<E>(
        &self,
        slots: &[u32],
        mut visit: impl FnMut(u32, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = Ok(());
        self.for_each(slots, |slot, row| {
            if failed.is_ok() {
                failed = visit(slot, row);
            }
        });
        failed
    }
}
