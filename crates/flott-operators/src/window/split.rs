//! Which rows of a batch fall into which slice.
//!
//! ```text
//!   ends   12:05 12:05 12:05 12:10 12:10        two parts, each a range: nothing is copied
//!   ends   12:05 12:10 12:05 12:10 12:05        two parts, each a list of rows: copied once
//! ```
//! A batch mostly has one to three slices, so the slices seen are searched one by one, the last
//! one first.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use flott_types::Result;

use crate::arrow_failed;

/// Rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// All of them.
    All,
    /// From the first one on, this many.
    Range(usize, usize),
    /// These, rising.
    Rows(UInt32Array),
}

impl Part {
    /// The column's values in these rows.
    pub(crate) fn of(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Part::All => Ok(column.clone()),
            Part::Range(first, rows) => Ok(column.slice(*first, *rows)),
            Part::Rows(rows) => take(column.as_ref(), rows, None).map_err(arrow_failed),
        }
    }

    /// How many rows there are, of a batch with `all`.
    pub(crate) fn rows(&self, all: usize) -> usize {
        match self {
            Part::All => all,
            Part::Range(_, rows) => *rows,
            Part::Rows(rows) => rows.len(),
        }
    }

    /// The rows as a mask over a batch with `all`.
    pub(crate) fn mask(&self, all: usize) -> BooleanArray {
        match self {
            Part::All => BooleanBuffer::new_set(all).into(),
            Part::Range(first, rows) => {
                let range = *first..first + rows;
                BooleanBuffer::collect_bool(all, |row| range.contains(&row)).into()
            }
            Part::Rows(rows) => {
                let mut mask = vec![false; all];
                for row in rows.values() {
                    if let Some(flag) = mask.get_mut(*row as usize) {
                        *flag = true;
                    }
                }
                mask.into()
            }
        }
    }
}

/// A value that the search found, and where.
struct Seen {
    value: i64,
    rows: usize,
    first: usize,
    last: usize,
}

/// Splits rows by the value that each has, in the order in which values first appear. Rows without
/// one are left out.
pub(crate) fn split(rows: usize, mut value: impl FnMut(usize) -> Option<i64>) -> Vec<(i64, Part)> {
    const NONE: u32 = u32::MAX;
    let mut seen: Vec<Seen> = Vec::new();
    let mut ids: Vec<u32> = Vec::with_capacity(rows);
    let mut last = 0;
    for row in 0..rows {
        let Some(value) = value(row) else {
            ids.push(NONE);
            continue;
        };
        if seen.get(last).is_none_or(|seen| seen.value != value) {
            last = seen.iter().rposition(|seen| seen.value == value).unwrap_or(seen.len());
            if last == seen.len() {
                seen.push(Seen { value, rows: 0, first: row, last: row });
            }
        }
        if let Some(seen) = seen.get_mut(last) {
            seen.rows += 1;
            seen.last = row;
        }
        ids.push(last as u32);
    }
    let mut parts = Vec::with_capacity(seen.len());
    let mut lists: Vec<Option<Vec<u32>>> = Vec::with_capacity(seen.len());
    for seen in &seen {
        let is_range = seen.last - seen.first + 1 == seen.rows;
        lists.push((!is_range).then(|| Vec::with_capacity(seen.rows)));
    }
    if lists.iter().any(Option::is_some) {
        for (row, id) in ids.iter().enumerate() {
            if let Some(Some(list)) = lists.get_mut(*id as usize) {
                list.push(row as u32);
            }
        }
    }
    for (seen, list) in seen.into_iter().zip(lists) {
        let part = match list {
            Some(list) => Part::Rows(list.into()),
            None if seen.rows == rows => Part::All,
            None => Part::Range(seen.first, seen.rows),
        };
        parts.push((seen.value, part));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_lie_together_are_a_range() {
        let split = |values: &[i64]| split(values.len(), |row| (values[row] != 0).then_some(values[row]));
        assert_eq!(split(&[7, 7]), [(7, Part::All)]);
        assert_eq!(split(&[7, 7, 8, 0]), [(7, Part::Range(0, 2)), (8, Part::Range(2, 1))]);
        let mixed = split(&[7, 8, 7]);
        assert_eq!(mixed, [(7, Part::Rows(vec![0, 2].into())), (8, Part::Range(1, 1))]);
        assert_eq!(mixed[0].1.mask(3), BooleanArray::from(vec![true, false, true]));
    }
}
