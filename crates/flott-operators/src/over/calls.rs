//! What is computed for each row: aggregates of frames, ranks, values of other rows.
//!
//! ```text
//!   ordered rows ─► frames ─► narrow or wide ─► aggregates        one array a call, parallel to the
//!               └─► places in the partition ─► ranks, LAG, LEAD   rows that are wanted
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, UInt32Array};
use arrow::compute::{interleave, prep_null_mask_filter, take};
use flott_aggregate::{Accumulator, accumulator};
use flott_plan::{Bound, Call as PlanCall, Frame, OverValue};
use flott_types::Result;

use super::evaluate::{Input, Wide, first_of_each, is_narrow, narrow, wide};
use super::frames::{Frames, Ordered};
use crate::arrow_failed;
use crate::group::{missing_column, pick};

/// An aggregate's accumulator for these calls.
pub(crate) fn new_accumulator(call: &PlanCall, frame: Frame) -> Result<Box<dyn Accumulator>> {
    accumulator(call.function, &call.arg_types, &call.data_type, frame.start != Bound::UnboundedPreceding)
}

/// What an aggregate reads of these rows.
pub(crate) fn input_of(call: &PlanCall, columns: &[ArrayRef]) -> Result<Input> {
    let filter = match call.filter {
        None => None,
        Some(at) => {
            let mask = columns.get(at).and_then(|it| it.as_boolean_opt()).ok_or_else(missing_column)?;
            Some(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
        }
    };
    let distinct = call.distinct && !matches!(call.function.name, "MIN" | "MAX");
    Ok(Input { args: pick(columns, &call.args)?, filter, distinct })
}

/// An aggregate of frames that are all there.
pub(crate) fn aggregate(call: &PlanCall, frame: Frame, ordered: &Ordered<'_>) -> Result<ArrayRef> {
    let frames = Frames::new(ordered, frame)?;
    let mut input = input_of(call, ordered.columns)?;
    let from_first = frame.start == Bound::UnboundedPreceding;
    if input.distinct && from_first {
        let mut owners = vec![0_u32; ordered.ties.len()];
        for (at, partition) in ordered.partitions.iter().enumerate() {
            if let Some(owners) = owners.get_mut(partition.first..partition.end) {
                owners.fill(at as u32);
            }
        }
        input.filter = Some(first_of_each(&owners, &input.args, input.filter.as_ref())?);
        input.distinct = false;
    }
    if input.distinct || is_narrow(&frames) {
        let mut scratch = accumulator(call.function, &call.arg_types, &call.data_type, false)?;
        return narrow(scratch.as_mut(), &frames, &input);
    }
    let (mut base, mut scratch) =
        match new_accumulator(call, frame).and_then(|it| Ok((it, new_accumulator(call, frame)?))) {
            Ok(both) => both,
            // What can't be taken back is added anew for each row.
            Err(_) => {
                let mut scratch = accumulator(call.function, &call.arg_types, &call.data_type, false)?;
                return narrow(scratch.as_mut(), &frames, &input);
            }
        };
    base.grow(ordered.partitions.len());
    let slots: Vec<u32> = (0..ordered.partitions.len() as u32).collect();
    let mut of = Wide { base: base.as_mut(), scratch: scratch.as_mut(), slots: &slots };
    wide(&mut of, ordered.partitions, &frames, &input, from_first)
}

/// What a partition has had before its first row here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Had {
    /// Rows.
    pub(crate) rows: i64,
    /// Groups of rows equal in order.
    pub(crate) groups: i64,
}

/// Any call but an aggregate. `had`: by partition.
pub(crate) fn place(value: &OverValue, ordered: &Ordered<'_>, had: &[Had]) -> Result<ArrayRef> {
    let had = |at: usize| had.get(at).copied().unwrap_or_default();
    let wanted = ordered.wanted();
    let mut numbers: Vec<i64> = Vec::with_capacity(wanted);
    let mut shares: Vec<f64> = Vec::new();
    let peers = match value {
        OverValue::Rank | OverValue::PercentRank | OverValue::CumeDist => ordered.peers(),
        OverValue::Shift { value, back, default } => return shift(*value, *back, *default, ordered),
        _ => Vec::new(),
    };
    for (at, partition) in ordered.partitions.iter().enumerate() {
        let had = had(at);
        let rows = (partition.end - partition.first) as i64;
        let mut groups = had.groups;
        for row in partition.wanted..partition.end {
            let behind = (row - partition.wanted) as i64;
            let equal = || peers.get(row).cloned().unwrap_or(0..0);
            match value {
                OverValue::RowNumber => numbers.push(had.rows + behind + 1),
                OverValue::Rank => {
                    numbers.push(had.rows + i64::from(equal().start) - partition.wanted as i64 + 1);
                }
                OverValue::DenseRank => {
                    groups += i64::from(row == partition.wanted || !ordered.is_tie(row));
                    numbers.push(groups);
                }
                OverValue::Ntile(parts) => numbers.push(tile(behind, rows, *parts)),
                OverValue::PercentRank => {
                    let before = i64::from(equal().start) - partition.first as i64;
                    shares.push(if rows > 1 { before as f64 / (rows - 1) as f64 } else { 0.0 });
                }
                OverValue::CumeDist => {
                    let until = i64::from(equal().end) - partition.first as i64;
                    shares.push(until as f64 / rows.max(1) as f64);
                }
                OverValue::Shift { .. } | OverValue::Aggregate(..) => {}
            }
        }
    }
    Ok(match value {
        OverValue::PercentRank | OverValue::CumeDist => Arc::new(Float64Array::from(shares)),
        _ => Arc::new(Int64Array::from(numbers)),
    })
}

/// In which of so many parts a row is; the first parts have a row more where they can't be equal.
fn tile(row: i64, rows: i64, parts: u64) -> i64 {
    let parts = i64::try_from(parts).unwrap_or(i64::MAX).max(1);
    let (size, larger) = (rows / parts, rows % parts);
    let in_larger = larger.saturating_mul(size + 1);
    match row < in_larger {
        true => row / (size + 1) + 1,
        false => larger + (row - in_larger) / size.max(1) + 1,
    }
}

fn shift(value: usize, back: i64, default: Option<usize>, ordered: &Ordered<'_>) -> Result<ArrayRef> {
    let column = ordered.columns.get(value).ok_or_else(missing_column)?;
    let mut from: Vec<Option<u32>> = Vec::with_capacity(ordered.wanted());
    for partition in ordered.partitions {
        for row in partition.wanted..partition.end {
            let other = (row as i64).checked_sub(back);
            let there = other.filter(|at| (partition.first as i64..partition.end as i64).contains(at));
            from.push(there.and_then(|at| u32::try_from(at).ok()));
        }
    }
    let Some(default) = default else {
        return take(column.as_ref(), &UInt32Array::from(from), None).map_err(arrow_failed);
    };
    let default = ordered.columns.get(default).ok_or_else(missing_column)?;
    let pick = |(row, from): (u32, Option<u32>)| match from {
        Some(from) => (0, from as usize),
        None => (1, row as usize),
    };
    let which: Vec<(usize, usize)> = ordered.wanted_rows().into_iter().zip(from).map(pick).collect();
    interleave(&[column.as_ref(), default.as_ref()], &which).map_err(arrow_failed)
}

/// A mask that is TRUE in these rows.
pub(crate) fn mask_of(rows: usize, set: &[u32]) -> BooleanArray {
    let mut mask = vec![false; rows];
    for row in set {
        if let Some(place) = mask.get_mut(*row as usize) {
            *place = true;
        }
    }
    mask.into()
}
