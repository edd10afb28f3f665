//! Which rows of its partition a row sees.
//!
//! ```text
//!   partition      first ─── wanted ────────── end         rows before `wanted` are there to be seen
//!   ROWS 2 PRECEDING            low ─ ─ row               low and high: first row seen, first not seen
//!   RANGE, equal rows           low ─ ─ row ─ high        any more
//! ```

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit};
use flott_plan::{Bound, Frame};
use flott_types::{Code, Diagnostic, Result};

/// Rows of a partition that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The first row.
    pub(crate) first: usize,
    /// The first row of which something is wanted.
    pub(crate) wanted: usize,
    /// Behind the last row.
    pub(crate) end: usize,
}

/// Rows sorted by partition and order.
pub(crate) struct Ordered<'a> {
    /// The columns.
    pub(crate) columns: &'a [ArrayRef],
    /// The partitions, one after the other.
    pub(crate) partitions: &'a [Partition],
    /// For each row, whether it is equal in order to the one before in its partition.
    pub(crate) ties: &'a [bool],
    /// The order's first key, if there is one, and whether it falls.
    pub(crate) key: Option<(usize, bool)>,
}

impl Ordered<'_> {
    /// How many rows something is wanted of.
    pub(crate) fn wanted(&self) -> usize {
        self.partitions.iter().map(|it| it.end - it.wanted).sum()
    }

    /// The rows of which something is wanted.
    pub(crate) fn wanted_rows(&self) -> Vec<u32> {
        self.partitions.iter().flat_map(|it| it.wanted as u32..it.end as u32).collect()
    }

    pub(crate) fn is_tie(&self, row: usize) -> bool {
        self.ties.get(row).copied().unwrap_or(false)
    }

    /// For each row: where the rows equal in order begin and end.
    pub(crate) fn peers(&self) -> Vec<Range<u32>> {
        let mut peers = vec![0..0; self.ties.len()];
        for partition in self.partitions {
            let mut row = partition.first;
            while row < partition.end {
                let mut end = row + 1;
                while end < partition.end && self.is_tie(end) {
                    end += 1;
                }
                if let Some(equal) = peers.get_mut(row..end) {
                    equal.fill(row as u32..end as u32);
                }
                row = end;
            }
        }
        peers
    }
}

/// The rows that each wanted row sees: [low, high).
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) low: Vec<u32>,
    pub(crate) high: Vec<u32>,
}

impl Frames {
    pub(crate) fn new(ordered: &Ordered<'_>, frame: Frame) -> Result<Self> {
        let wanted = ordered.wanted();
        let mut frames = Self { low: Vec::with_capacity(wanted), high: Vec::with_capacity(wanted) };
        if frame.rows {
            for partition in ordered.partitions {
                for row in partition.wanted..partition.end {
                    let place = |distance: i64| {
                        let at = (row as i64).saturating_add(distance);
                        at.clamp(partition.first as i64, partition.end as i64) as u32
                    };
                    frames.low.push(match frame.start {
                        Bound::UnboundedPreceding => partition.first as u32,
                        Bound::Preceding(rows) => place(rows.saturating_neg()),
                        Bound::CurrentRow => row as u32,
                        Bound::Following(rows) => place(rows),
                        Bound::UnboundedFollowing => partition.end as u32,
                    });
                    frames.high.push(match frame.end {
                        Bound::UnboundedPreceding => partition.first as u32,
                        Bound::Preceding(rows) => place(rows.saturating_neg().saturating_add(1)),
                        Bound::CurrentRow => row as u32 + 1,
                        Bound::Following(rows) => place(rows.saturating_add(1)),
                        Bound::UnboundedFollowing => partition.end as u32,
                    });
                }
            }
            return Ok(frames);
        }
        let peers = ordered.peers();
        let distances = match (frame.start, frame.end) {
            (Bound::Preceding(_) | Bound::Following(_), _)
            | (_, Bound::Preceding(_) | Bound::Following(_)) => Some(Distances::new(ordered)?),
            _ => None,
        };
        for partition in ordered.partitions {
            let stretch = distances.as_ref().map(|it| it.stretch(partition));
            for row in partition.wanted..partition.end {
                let equal = peers.get(row).cloned().unwrap_or(0..0);
                let at = |distance: i64, behind: bool| match (&distances, &stretch) {
                    (Some(distances), Some(stretch)) => distances.place(row, stretch, distance, behind),
                    _ => None,
                };
                frames.low.push(match frame.start {
                    Bound::UnboundedPreceding => partition.first as u32,
                    Bound::Preceding(by) => at(by.saturating_neg(), false).unwrap_or(equal.start),
                    Bound::CurrentRow => equal.start,
                    Bound::Following(by) => at(by, false).unwrap_or(equal.start),
                    Bound::UnboundedFollowing => partition.end as u32,
                });
                frames.high.push(match frame.end {
                    Bound::UnboundedPreceding => partition.first as u32,
                    Bound::Preceding(by) => at(by.saturating_neg(), true).unwrap_or(equal.end),
                    Bound::CurrentRow => equal.end,
                    Bound::Following(by) => at(by, true).unwrap_or(equal.end),
                    Bound::UnboundedFollowing => partition.end as u32,
                });
            }
        }
        Ok(frames)
    }

    /// How many rows are seen in all.
    pub(crate) fn seen(&self) -> u64 {
        self.low.iter().zip(&self.high).map(|(low, high)| u64::from(high.saturating_sub(*low))).sum()
    }
}

/// The order's key as numbers that rise, so that distances can be told.
struct Distances {
    values: Vec<Option<i64>>,
    /// What a distance of 1 is: `scale` / `divisor`.
    scale: i64,
    divisor: i64,
}

impl Distances {
    fn new(ordered: &Ordered<'_>) -> Result<Self> {
        let wrong = || Diagnostic::not_supported("RANGE with a distance over a key of this type");
        let (column, falls) = ordered.key.ok_or_else(wrong)?;
        let column = ordered.columns.get(column).ok_or_else(wrong)?;
        let (values, scale, divisor) = numbers(column).ok_or_else(wrong)?;
        let sign = |value: Option<i64>| value.map(|value| if falls { value.saturating_neg() } else { value });
        Ok(Self { values: values.into_iter().map(sign).collect(), scale, divisor })
    }

    /// The rows of a partition that have a key: those without stand at one end.
    fn stretch(&self, partition: &Partition) -> Range<usize> {
        let has = |row: &usize| self.values.get(*row).is_some_and(Option::is_some);
        let mut rows = partition.first..partition.end;
        let first = rows.find(has).unwrap_or(partition.end);
        let last = (first..partition.end).rev().find(has).map_or(first, |last| last + 1);
        first..last
    }

    /// The first row whose key is at least, or more than, so far behind a row's. None: the row has no key.
    fn place(&self, row: usize, stretch: &Range<usize>, distance: i64, behind: bool) -> Option<u32> {
        let value = self.values.get(row).copied().flatten()?;
        let bound = value.saturating_add(distance.saturating_mul(self.scale) / self.divisor);
        let values = self.values.get(stretch.clone())?;
        let before = |other: &Option<i64>| {
            other.is_some_and(|other| if behind { other <= bound } else { other < bound })
        };
        Some((stretch.start + values.partition_point(before)) as u32)
    }
}

/// A column as whole numbers, and how many of them a distance of 1 is (of times: a millisecond).
fn numbers(column: &ArrayRef) -> Option<(Vec<Option<i64>>, i64, i64)> {
    macro_rules! whole {
        ($type:ty) => {
            column.as_primitive_opt::<$type>()?.iter().map(|it| it.map(i64::from)).collect()
        };
    }
    Some(match column.data_type() {
        DataType::Int8 => (whole!(Int8Type), 1, 1),
        DataType::Int16 => (whole!(Int16Type), 1, 1),
        DataType::Int32 => (whole!(Int32Type), 1, 1),
        DataType::Int64 => (whole!(Int64Type), 1, 1),
        DataType::Date32 => (whole!(Date32Type), 1, 86_400_000),
        DataType::Timestamp(unit, _) => {
            let plain = arrow::compute::cast(column, &DataType::Int64).ok()?;
            let values = plain.as_primitive_opt::<Int64Type>()?.iter().collect();
            match unit {
                TimeUnit::Second => (values, 1, 1000),
                TimeUnit::Millisecond => (values, 1, 1),
                TimeUnit::Microsecond => (values, 1000, 1),
                TimeUnit::Nanosecond => (values, 1_000_000, 1),
            }
        }
        _ => return None,
    })
}

/// Rows that are not sorted as they were said to be.
pub(crate) fn internal(message: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, message.to_string())
}
