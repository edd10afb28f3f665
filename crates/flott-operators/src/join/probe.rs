//! Finds partners: candidates by hash, checked many at a time.
//!
//! ```text
//!   part ─ hashes ─► log.find ─► (row, slot) … ─ gather ─► keys equal? in the interval? condition? ─► pairs
//!          (at most a batch of them)
//! ```

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array, make_comparator, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::{SortOptions, filter};
use arrow::datatypes::{DataType as ArrowType, Int64Type, SchemaRef};
use flott_expr::{EvalContext, Program};
use flott_plan::JoinOn;
use flott_sql::JoinKind;
use flott_state::Cursor;
use flott_types::{Diagnostic, Result, RowKind};

use super::part::Part;
use super::side::{Note, Side};
use super::{Change, JoinOperator};
use crate::arrow_failed;
use crate::operator::{Context, Output, given_up};
use crate::window::{batch, positional_schema, take_all};

/// What makes a pair.
pub(super) struct Matcher {
    null_safe: Vec<bool>,
    keys: [Vec<usize>; 2],
    types: [Vec<ArrowType>; 2],
    condition: Option<Program>,
    /// For each side, which columns the keys and the condition read, if pairs don't come out.
    reads: Option<[Vec<usize>; 2]>,
    pair_schema: SchemaRef,
    eval: EvalContext,
}

/// Rows of both sides, one pair a line.
struct Gathered {
    pairs: usize,
    given: Vec<ArrayRef>,
    stored: Vec<ArrayRef>,
}

impl Matcher {
    pub(super) fn new(on: &JoinOn, sides: &[Side; 2], context: &Context) -> Self {
        let [left, right] = sides;
        let width = left.width;
        let reads = on.is_one_sided().then(|| {
            let condition = on.condition.as_ref().map(flott_expr::Expr::columns).unwrap_or_default();
            let of = |side: &Side, within: &dyn Fn(usize) -> Option<usize>| -> Vec<usize> {
                let mut columns: Vec<usize> = condition.iter().filter_map(|it| within(*it)).collect();
                columns.extend(&side.keys);
                columns.sort_unstable();
                columns.dedup();
                columns
            };
            [
                of(left, &|column| (column < width).then_some(column)),
                of(right, &|column| column.checked_sub(width)),
            ]
        });
        Self {
            null_safe: on.null_safe.clone(),
            keys: [left.keys.clone(), right.keys.clone()],
            types: [left.types.clone(), right.types.clone()],
            condition: on.condition.clone().map(|condition| Program::new(vec![condition])),
            reads,
            pair_schema: positional_schema(left.types.iter().chain(&right.types).cloned()),
            eval: context.eval.clone(),
        }
    }

    /// The rows of these keys that can have a partner; none: all.
    pub(super) fn matchable(&self, keys: &[ArrayRef]) -> Result<Option<BooleanArray>> {
        let mut nulls: Option<NullBuffer> = None;
        for (key, null_safe) in keys.iter().zip(&self.null_safe) {
            if !null_safe {
                nulls = NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref());
            }
        }
        Ok(nulls.filter(|it| it.null_count() > 0).map(|it| BooleanArray::new(it.into_inner(), None)))
    }

    /// The columns that are read of a side.
    fn reads(&self, input: usize) -> Vec<usize> {
        match &self.reads {
            Some(reads) => reads.get(input).cloned().unwrap_or_default(),
            None => (0..self.types.get(input).map_or(0, Vec::len)).collect(),
        }
    }

    /// The columns of a side with those that nobody reads left NULL.
    fn spread(&self, input: usize, columns: Vec<ArrayRef>, rows: usize) -> Vec<ArrayRef> {
        let Some(reads) = self.reads.as_ref().and_then(|it| it.get(input)) else { return columns };
        let types = self.types.get(input).map(Vec::as_slice).unwrap_or_default();
        let mut read = reads.iter().zip(columns).peekable();
        let of = |(at, data_type): (usize, &ArrowType)| {
            read.next_if(|it| *it.0 == at).map_or_else(|| new_null_array(data_type, rows), |it| it.1)
        };
        types.iter().enumerate().map(of).collect()
    }

    /// Which of the pairs are pairs; none: all. `input`: the side that looks.
    fn check(
        &self,
        input: usize,
        rows: &Gathered,
        mut mask: Option<BooleanBuffer>,
    ) -> Result<Option<BooleanBuffer>> {
        let [left_keys, right_keys] = &self.keys;
        let (given, stored) = match input {
            0 => (left_keys, right_keys),
            _ => (right_keys, left_keys),
        };
        for ((given, stored), null_safe) in given.iter().zip(stored).zip(&self.null_safe) {
            let (Some(given), Some(stored)) = (rows.given.get(*given), rows.stored.get(*stored)) else {
                continue;
            };
            mask = both(mask, equal(given, stored, *null_safe)?);
        }
        let Some(condition) = &self.condition else { return Ok(mask) };
        let (left, right) = match input {
            0 => (&rows.given, &rows.stored),
            _ => (&rows.stored, &rows.given),
        };
        let columns: Vec<ArrayRef> = left.iter().chain(right).cloned().collect();
        let pairs = batch(&self.pair_schema, columns, rows.pairs)?;
        // Rows with the same hash and another key aren't pairs, and can't fail as such: they are so
        // rare that the batch is only cut down if there are some.
        let Some(before) = mask.filter(|it| it.count_set_bits() < it.len()) else {
            return Ok(all_true(self.evaluate(condition, &pairs)?));
        };
        let flags = BooleanArray::new(before.clone(), None);
        let pairs = arrow::compute::filter_record_batch(&pairs, &flags).map_err(arrow_failed)?;
        let kept = self.evaluate(condition, &pairs)?;
        let mut kept = kept.iter();
        Ok(Some(before.iter().map(|before| before && kept.next().unwrap_or(false)).collect()))
    }

    fn evaluate(&self, condition: &Program, pairs: &arrow::array::RecordBatch) -> Result<BooleanBuffer> {
        let mask = condition.evaluate_predicate(pairs, &self.eval);
        let mask = mask.map_err(|error| Diagnostic::error(error.code, error.message))?;
        Ok(truths(&mask))
    }
}

/// TRUE, not NULL.
fn truths(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls().filter(|it| it.null_count() > 0) {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    }
}

fn all_true(mask: BooleanBuffer) -> Option<BooleanBuffer> {
    (mask.count_set_bits() < mask.len()).then_some(mask)
}

fn both(mask: Option<BooleanBuffer>, other: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (mask, other) {
        (Some(a), Some(b)) => Some(&a & &b),
        (a, b) => a.or(b),
    }
}

/// Which lines are equal; none: all.
fn equal(a: &ArrayRef, b: &ArrayRef, null_safe: bool) -> Result<Option<BooleanBuffer>> {
    if a.data_type().is_nested() {
        let compare =
            make_comparator(a.as_ref(), b.as_ref(), SortOptions::default()).map_err(arrow_failed)?;
        let known = |row: usize| null_safe || (a.is_valid(row) && b.is_valid(row));
        return Ok(all_true((0..a.len()).map(|row| known(row) && compare(row, row).is_eq()).collect()));
    }
    let same = if null_safe { cmp::not_distinct(a, b) } else { cmp::eq(a, b) };
    Ok(all_true(truths(&same.map_err(arrow_failed)?)))
}

impl JoinOperator {
    /// Joins rows with the other side as it is; emits the pairs and what they change for the others.
    /// How many partners each row has, if that has to be known.
    pub(super) fn probe(
        &mut self,
        input: usize,
        part: &Part,
        change: Change,
        out: &mut Output<'_>,
    ) -> Result<Vec<u32>> {
        let counted = self.sides.get(input).is_some_and(|it| it.counted);
        let mut found = if counted { vec![0; part.rows] } else { Vec::new() };
        for bucket in self.buckets_for(input, part) {
            let mut cursor = Cursor::default();
            let mut done = false;
            while !done {
                if (out.given_up)() {
                    return Err(given_up());
                }
                let limit = self.context.batch_rows.max(1);
                let mut pairs = (Vec::new(), Vec::new());
                let Some(log) = self.sides.get_mut(1 - input).and_then(|it| it.logs.get_mut(bucket)) else {
                    break;
                };
                log.index()?;
                done = log.find(&part.hashes, |row| part.skips(row), &mut cursor, limit, &mut pairs);
                if !pairs.0.is_empty() {
                    self.pairs(input, part, bucket, pairs, change, &mut found, out)?;
                }
            }
        }
        Ok(found)
    }

    /// The other side's buckets in which there may be partners.
    fn buckets_for(&self, input: usize, part: &Part) -> Vec<i64> {
        let Some(other) = self.sides.get(1 - input) else { return Vec::new() };
        let (Some(bounded), Some(times), Some(millis)) = (&self.bounded, &part.times, other.bucket_millis)
        else {
            return other.logs.within(0..=0);
        };
        let times = times.values();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Vec::new() };
        let (low, high) = (bounded.range(input, *first).0, bounded.range(input, *last).1);
        other.logs.within(low.div_euclid(millis)..=high.div_euclid(millis))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `probe`")]
    fn pairs(
        &mut self,
        input: usize,
        part: &Part,
        bucket: i64,
        (rows, slots): (Vec<u32>, Vec<u32>),
        change: Change,
        found: &mut [u32],
        out: &mut Output<'_>,
    ) -> Result<()> {
        let Some(log) = self.sides.get(1 - input).and_then(|it| it.logs.get(bucket)) else { return Ok(()) };
        let (mut rows, mut slots): (UInt32Array, Vec<u32>) = (rows.into(), slots);
        let reads = [self.matcher.reads(input), self.matcher.reads(1 - input)];
        let [given_reads, stored_reads] = reads;
        let picked: Vec<ArrayRef> =
            given_reads.iter().filter_map(|at| part.columns.get(*at).cloned()).collect();
        let given = match is_every_row(&rows, part.rows) {
            true => picked,
            false => take_all(&picked, &rows)?,
        };
        let time_column = self.bounded.is_some().then(|| self.sides.get(1 - input).map_or(0, |it| it.width));
        let mut stored = log.columns(&slots, stored_reads.iter().copied().chain(time_column))?;
        let times = time_column.and_then(|_| stored.pop());
        let mask = self.in_interval(input, part, &rows, times.as_ref());
        let given = self.matcher.spread(input, given, rows.len());
        let stored = self.matcher.spread(1 - input, stored, rows.len());
        let mut gathered = Gathered { pairs: rows.len(), given, stored };
        if let Some(mask) = self.matcher.check(input, &gathered, mask)? {
            let mask = BooleanArray::new(mask, None);
            if mask.true_count() == 0 {
                return Ok(());
            }
            let pick = |column: &ArrayRef| filter(column, &mask).map_err(arrow_failed);
            if self.matcher.reads.is_none() {
                gathered.given = gathered.given.iter().map(pick).collect::<Result<_>>()?;
                gathered.stored = gathered.stored.iter().map(pick).collect::<Result<_>>()?;
            }
            let kept = filter(&rows, &mask).map_err(arrow_failed)?;
            rows = kept.as_primitive().clone();
            slots = slots.iter().zip(mask.values().iter()).filter(|it| it.1).map(|it| *it.0).collect();
        }
        if !found.is_empty() {
            for row in rows.values() {
                if let Some(found) = found.get_mut(*row as usize) {
                    *found = found.saturating_add(1);
                }
            }
        }
        self.count(input, part, bucket, (&rows, &slots), change, out)?;
        if self.matcher.reads.is_some() {
            return Ok(());
        }
        let lone = self.sides.iter().any(|it| it.lone);
        let own_lone = self.sides.get(input).is_some_and(|it| it.lone);
        let kinds = match change {
            Change::Comes if lone => None,
            Change::Goes if own_lone => Some(vec![RowKind::Delete as i8; rows.len()]),
            _ => part.kinds().map(|kinds| {
                rows.values().iter().filter_map(|row| kinds.values().get(*row as usize).copied()).collect()
            }),
        };
        let Gathered { given, stored, .. } = gathered;
        let (left, right) = if input == 0 { (given, stored) } else { (stored, given) };
        self.emitter.pairs(left.into_iter().chain(right).collect(), rows.len(), kinds, out)
    }

    /// Which pairs lie in the interval; none: all.
    fn in_interval(
        &self,
        input: usize,
        part: &Part,
        rows: &UInt32Array,
        stored: Option<&ArrayRef>,
    ) -> Option<BooleanBuffer> {
        let (bounded, given) = (self.bounded.as_ref()?, part.times.as_ref()?);
        let stored: &Int64Array = stored?.as_primitive_opt::<Int64Type>()?;
        let (lower, upper) = match input {
            0 => (bounded.lower, bounded.upper),
            _ => (bounded.upper.saturating_neg(), bounded.lower.saturating_neg()),
        };
        let given = given.values();
        let inside = |(row, stored): (&u32, &i64)| {
            let distance = given.get(*row as usize).map(|given| given.saturating_sub(*stored));
            distance.is_some_and(|it| lower <= it && it <= upper)
        };
        all_true(rows.values().iter().zip(stored.values()).map(inside).collect())
    }

    /// Counts the pairs at the other side's rows. What was said of them alone is taken back at once, so
    /// that it stands before the pairs.
    fn count(
        &mut self,
        input: usize,
        part: &Part,
        bucket: i64,
        (rows, slots): (&UInt32Array, &[u32]),
        change: Change,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let (kind, is_bounded) = (self.kind, self.drops());
        let stamp = (self.context.now_millis)();
        let Some(other) = self.sides.get_mut(1 - input).filter(|it| it.counted) else { return Ok(()) };
        let mut said = Vec::new();
        for (row, slot) in rows.values().iter().zip(slots) {
            let Some(log) = other.logs.get_mut(bucket) else { break };
            let before = log.count(*slot);
            let after = match change {
                Change::Comes => before.saturating_add(1),
                Change::Goes => before.saturating_sub(1),
            };
            log.set_count(*slot, after, stamp);
            if (before == 0) == (after == 0) {
                continue;
            }
            let of_row = part.kind(*row as usize);
            match (kind, change) {
                (JoinKind::Semi, _) if is_bounded => said.push(*slot),
                _ if is_bounded => {}
                (JoinKind::Semi, change) => {
                    other.note(*slot, Note { slot: *slot, said: change == Change::Goes, kind: of_row });
                }
                (JoinKind::Anti, Change::Comes) => {
                    other.note(*slot, Note { slot: *slot, said: true, kind: RowKind::Delete });
                }
                (_, Change::Goes) => {
                    other.note(*slot, Note { slot: *slot, said: false, kind: RowKind::Insert });
                }
                (_, Change::Comes) => {
                    if !other.is_noted(*slot) {
                        said.push(*slot);
                    }
                }
            }
        }
        if said.is_empty() {
            return Ok(());
        }
        let width = other.width;
        let Some(log) = other.logs.get(bucket) else { return Ok(()) };
        let columns = log.columns(&said, 0..width)?;
        let kind = match (kind, change) {
            (JoinKind::Semi, Change::Comes) => RowKind::Insert,
            _ => RowKind::Delete,
        };
        self.emitter.lone(1 - input, &columns, said.len(), kind, out)
    }
}

/// Whether each of the rows stands there once, in order.
fn is_every_row(rows: &UInt32Array, all: usize) -> bool {
    rows.len() == all && rows.values().iter().enumerate().all(|(at, row)| at == *row as usize)
}
