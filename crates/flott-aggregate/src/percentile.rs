//! `PERCENTILE`: exact, between the two values next to its place in the order.
//!
//! ```text
//!   values  1 2 4 9     percentage 0.3 of places 0 … 3 ─► place 0.9 ─► 0.1 · 1 + 0.9 · 2 = 1.9
//! ```
//! Values are kept as they come, with how often they do, and put in order and together whenever
//! there are twice as many as after the last time. A value taken back counts once less, in any
//! order.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType as ArrowType, Field, Float64Type, Int64Type},
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{not_ours, struct_array, struct_of, wrong_argument},
    groups::{Gather, Group, Groups, Held},
    native::Ordered,
    selection::Selection,
};

/// The accumulator. Arguments: value (DOUBLE), percentage (DOUBLE or a list of it), frequency
/// (BIGINT).
pub(crate) fn accumulator(result: &ArrowType) -> Box<dyn Accumulator> {
    Groups::boxed(Percentile { result: result.clone() })
}

#[derive(Debug)]
struct Percentile {
    result: ArrowType,
}

/// The values of a group and how often they are there, the first `sorted` of them in order.
#[derive(Debug, Default)]
pub(crate) struct Weighed {
    values: Vec<(f64, i64)>,
    sorted: usize,
    percentages: Vec<f64>,
}

impl Group for Weighed {
    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<(f64, i64)>() + self.percentages.capacity() * size_of::<f64>()
    }
}

/// Fewer values aren't worth putting in order.
const SORT_FROM: usize = 64;

fn put_in_order(values: &mut Vec<(f64, i64)>) {
    values.sort_unstable_by(|a, b| match (a.0.before(&b.0), b.0.before(&a.0)) {
        (true, _) => std::cmp::Ordering::Less,
        (_, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
    values.dedup_by(|next, kept| {
        let same = !kept.0.before(&next.0);
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    values.retain(|(_, count)| *count != 0);
}

impl Weighed {
    fn add(&mut self, value: f64, count: i64) {
        self.values.push((value, count));
        if self.values.len() >= SORT_FROM.max(self.sorted * 2) {
            put_in_order(&mut self.values);
            self.sorted = self.values.len();
        }
    }
    /// The values that are there, in order.
    fn in_order(&self) -> Vec<(f64, i64)> {
        let mut values = self.values.clone();
        put_in_order(&mut values);
        values.retain(|(_, count)| *count > 0);
        values
    }
}

/// The value at this place (not a whole number) of the order. Places count from 1, as in Flink: where
/// the counting starts shows in the last digits of what lies between two values.
fn at(values: &[(f64, i64)], total: i64, percentage: f64) -> f64 {
    let place = (total - 1) as f64 * percentage + 1.0;
    let (below, above) = (place.floor(), place.ceil());
    let nth = |place: f64| {
        let mut before = 0_i64;
        let holds = |(_, count): &&(f64, i64)| {
            before = before.saturating_add(*count);
            before >= place as i64
        };
        values.iter().find(holds).or(values.last()).map_or(f64::NAN, |(value, _)| *value)
    };
    let (low, high) = (nth(below), nth(above));
    if below == above || low == high {
        return low;
    }
    (above - place) * low + (place - below) * high
}

impl Percentile {
    /// The percentages of each row: offsets into the values.
    fn percentages(arg: &ArrayRef) -> Result<(Float64Array, Vec<usize>), EvalError> {
        let (values, offsets) = match arg.as_list_opt::<i32>() {
            Some(lists) => {
                let offsets = lists.value_offsets().iter().map(|it| *it as usize).collect();
                (Arc::clone(lists.values()), offsets)
            }
            None => (Arc::clone(arg), (0..=arg.len()).collect()),
        };
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong_argument)?.clone();
        if values.null_count() > 0 || arg.null_count() > 0 {
            return Err(EvalError::new("PERCENTILE: a percentage is NULL"));
        }
        if let Some(wrong) = values.values().iter().find(|it| !(0.0..=1.0).contains(*it)) {
            return Err(EvalError::new(format!("PERCENTILE: the percentage {wrong} isn't from 0 to 1")));
        }
        Ok((values, offsets))
    }

    fn step(
        &self,
        groups: &mut Held<Weighed>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
        sign: i64,
    ) -> Result<(), EvalError> {
        let [value, percentage, frequency @ ..] = args else { return Err(wrong_argument()) };
        let (percentages, offsets) = Self::percentages(percentage)?;
        let values = value.as_primitive_opt::<Float64Type>().ok_or_else(wrong_argument)?;
        let frequencies = match frequency.first() {
            Some(column) => Some(column.as_primitive_opt::<Int64Type>().ok_or_else(wrong_argument)?),
            None => None,
        };
        rows.for_each(slots, |slot, row| {
            let times = frequencies.map_or(1, |it| it.value(row));
            groups.change(slot, |group| {
                if group.percentages.is_empty()
                    && let (Some(from), Some(to)) = (offsets.get(row), offsets.get(row + 1))
                {
                    group.percentages = percentages.values().get(*from..*to).unwrap_or_default().to_vec();
                }
                if times > 0 {
                    group.add(values.value(row), sign * times);
                }
            });
        });
        Ok(())
    }
    fn entry_type() -> ArrowType {
        ArrowType::Struct(struct_of(&[("value", ArrowType::Float64), ("count", ArrowType::Int64)]))
    }
    fn list_of(item: ArrowType) -> ArrowType {
        ArrowType::List(Arc::new(Field::new("item", item, true)))
    }
}

impl Gather for Percentile {
    type Group = Weighed;

    fn add(
        &mut self,
        groups: &mut Held<Weighed>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, 1)
    }
    fn take(
        &mut self,
        groups: &mut Held<Weighed>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.step(groups, slots, args, rows, -1)
    }
    fn saved_type(&self) -> ArrowType {
        let fields = [
            ("values", Self::list_of(Self::entry_type())),
            ("percentages", Self::list_of(ArrowType::Float64)),
        ];
        ArrowType::Struct(struct_of(&fields))
    }
    fn save(&self, groups: &[&Weighed]) -> Result<ArrayRef, EvalError> {
        let all = || groups.iter().flat_map(|group| &group.values);
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(all().map(|(value, _)| *value)));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(all().map(|(_, count)| *count)));
        let ArrowType::Struct(entry) = Self::entry_type() else { return Err(wrong_argument()) };
        let entries = StructArray::try_new(entry, vec![values, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.values.len()));
        let item = Arc::new(Field::new("item", Self::entry_type(), true));
        let values: ArrayRef = Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?);
        let percentages = groups.iter().flat_map(|group| &group.percentages).copied();
        let percentages = Arc::new(Float64Array::from_iter_values(percentages));
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.percentages.len()));
        let item = Arc::new(Field::new("item", ArrowType::Float64, true));
        let percentages: ArrayRef = Arc::new(ListArray::try_new(item, offsets, percentages, None)?);
        let ArrowType::Struct(fields) = self.saved_type() else { return Err(wrong_argument()) };
        struct_array(fields, vec![values, percentages])
    }
    fn merge(
        &mut self,
        groups: &mut Held<Weighed>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let parts = saved.as_struct_opt().ok_or_else(|| not_ours(saved))?;
        let [lists, percentages] = parts.columns() else { return Err(not_ours(saved)) };
        let lists = lists.as_list_opt::<i32>().ok_or_else(|| not_ours(saved))?;
        let [values, counts] = lists.values().as_struct().columns() else { return Err(not_ours(saved)) };
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(|| not_ours(saved))?.values();
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| not_ours(saved))?.values();
        let (percentages, offsets) = Self::percentages(percentages)?;
        for (at, (slot, bounds)) in slots.iter().zip(lists.value_offsets().windows(2)).enumerate() {
            let (&[start, end], [from, to, ..]) = (bounds, offsets.get(at..).unwrap_or_default()) else {
                continue;
            };
            groups.change(*slot, |group| {
                if group.percentages.is_empty() {
                    group.percentages = percentages.values().get(*from..*to).unwrap_or_default().to_vec();
                }
                for row in start as usize..end as usize {
                    group.add(values[row], counts[row]);
                }
            });
        }
        Ok(())
    }
    fn results(&self, groups: &[&Weighed]) -> Result<ArrayRef, EvalError> {
        let mut found = Vec::new();
        let mut there = Vec::with_capacity(groups.len());
        let mut lengths = Vec::with_capacity(groups.len());
        let single = self.result == ArrowType::Float64;
        for group in groups {
            let values = group.in_order();
            let total = values.iter().fold(0_i64, |sum, (_, count)| sum.saturating_add(*count));
            there.push(total > 0);
            let before = found.len();
            match total > 0 {
                true => found.extend(group.percentages.iter().map(|it| at(&values, total, *it))),
                false if single => found.push(0.0),
                false => {}
            }
            lengths.push(found.len() - before);
        }
        let nulls = Some(NullBuffer::from(there));
        let ArrowType::List(item) = &self.result else {
            return Ok(Arc::new(Float64Array::try_new(found.into(), nulls)?));
        };
        let values = Arc::new(Float64Array::from(found));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
    }
}
