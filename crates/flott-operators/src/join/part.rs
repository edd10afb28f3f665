//! Rows of an input on their way into a join.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, UInt32Array, make_comparator,
};
use arrow::compute::{SortOptions, filter};
use arrow::datatypes::Int8Type;
use flott_state::hash_rows;
use flott_types::{Result, RowKind};

use super::probe::Matcher;
use crate::arrow_failed;
use crate::window::take_all;

/// Some rows, with what the join needs to know of them.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) rows: usize,
    kinds: Option<Int8Array>,
    pub(super) times: Option<Arc<Int64Array>>,
    /// Of the keys.
    pub(super) hashes: Vec<u64>,
    /// Rows that have no NULL in a key that would equal nothing; none: all.
    matchable: Option<BooleanArray>,
}

impl Part {
    pub(super) fn new(
        columns: Vec<ArrayRef>,
        rows: usize,
        kinds: Option<Int8Array>,
        times: Option<Arc<Int64Array>>,
        keys: &[usize],
        matcher: &Matcher,
    ) -> Result<Self> {
        let keys: Vec<ArrayRef> = keys.iter().filter_map(|key| columns.get(*key).cloned()).collect();
        let hashes = hash_rows(&keys, rows);
        let matchable = matcher.matchable(&keys)?;
        let kinds = kinds.filter(|it| it.values().iter().any(|kind| *kind != 0));
        Ok(Self { columns, rows, kinds, times, hashes, matchable })
    }

    /// What a row does.
    pub(super) fn kind(&self, row: usize) -> RowKind {
        let kind = self.kinds.as_ref().and_then(|kinds| kinds.values().get(row)).copied();
        kind.and_then(RowKind::of).unwrap_or(RowKind::Insert)
    }

    /// What rows do, if not all are new.
    pub(super) fn kinds(&self) -> Option<&Int8Array> {
        self.kinds.as_ref()
    }

    /// The rows for which the flag is set.
    pub(super) fn only(&self, flags: &[bool]) -> Result<Self> {
        let mask = BooleanArray::from(flags.to_vec());
        let pick = |column: &dyn Array| filter(column, &mask).map_err(arrow_failed);
        let columns = self.columns.iter().map(|it| pick(it.as_ref())).collect::<Result<Vec<_>>>()?;
        let kinds = self.kinds.as_ref().map(|it| pick(it)).transpose()?;
        let times = self.times.as_ref().map(|it| pick(it.as_ref())).transpose()?;
        let matchable = self.matchable.as_ref().map(|it| pick(it)).transpose()?;
        let hashes = self.hashes.iter().zip(flags).filter(|it| *it.1).map(|it| *it.0);
        Ok(Self {
            rows: mask.true_count(),
            columns,
            kinds: kinds.and_then(|it| it.as_primitive_opt::<Int8Type>().cloned()),
            times: times.and_then(|it| it.as_primitive_opt().cloned()).map(Arc::new),
            matchable: matchable.and_then(|it| it.as_boolean_opt().cloned()),
            hashes: hashes.collect(),
        })
    }

    /// Takes out the rows that can have no partner.
    pub(super) fn take_unmatchable(&mut self) -> Result<Option<Self>> {
        let Some(matchable) = self.matchable.take() else { return Ok(None) };
        let flags: Vec<bool> = matchable.values().iter().collect();
        let others = self.only(&flags.iter().map(|flag| !flag).collect::<Vec<_>>())?;
        *self = self.only(&flags)?;
        Ok((others.rows > 0).then_some(others))
    }

    /// Whether a row looks for nothing.
    pub(super) fn skips(&self, row: usize) -> bool {
        self.matchable.as_ref().is_some_and(|it| !it.value(row))
    }

    /// The rows by time bucket; none: all of them.
    pub(super) fn by_bucket(&self, bucket_millis: Option<i64>) -> Vec<(i64, Option<UInt32Array>)> {
        let (Some(times), Some(millis)) = (&self.times, bucket_millis) else { return vec![(0, None)] };
        let of = |time: &i64| time.div_euclid(millis.max(1));
        let times = times.values();
        let Some(first) = times.first().map(of) else { return Vec::new() };
        if times.iter().all(|time| of(time) == first) {
            return vec![(first, None)];
        }
        let mut buckets: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in times.iter().enumerate() {
            buckets.entry(of(time)).or_default().push(row as u32);
        }
        buckets.into_iter().map(|(bucket, rows)| (bucket, Some(rows.into()))).collect()
    }

    /// The columns that a log keeps of these rows; none: of all.
    pub(super) fn stored(&self, rows: Option<&UInt32Array>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.columns.clone();
        columns.extend(self.times.clone().map(|it| it as ArrayRef));
        match rows {
            Some(rows) => take_all(&columns, rows),
            None => Ok(columns),
        }
    }

    /// The rows that go and those that come. Equal rows that do both are neither.
    pub(super) fn split(self) -> Result<(Option<Self>, Option<Self>)> {
        let Some(kinds) = &self.kinds else { return Ok((None, Some(self))) };
        let takes_back = |kind: &i8| RowKind::of(*kind).is_some_and(RowKind::retracts);
        let mut goes: Vec<bool> = kinds.values().iter().map(takes_back).collect();
        let mut comes: Vec<bool> = goes.iter().map(|goes| !goes).collect();
        if goes.contains(&true) && comes.contains(&true) {
            self.cancel(&mut goes, &mut comes)?;
        }
        let some = |flags: &[bool]| flags.contains(&true).then(|| self.only(flags)).transpose();
        Ok((some(&goes)?, some(&comes)?))
    }

    /// Clears the flags of equal rows that come and go.
    fn cancel(&self, goes: &mut [bool], comes: &mut [bool]) -> Result<()> {
        let hashes = hash_rows(&self.columns, self.rows);
        let mut coming: HashMap<u64, Vec<usize>> = HashMap::new();
        for (row, hash) in hashes.iter().enumerate().filter(|(row, _)| comes.get(*row) == Some(&true)) {
            coming.entry(*hash).or_default().push(row);
        }
        let mut compare = None;
        for (row, hash) in hashes.iter().enumerate() {
            let Some(others) = coming.get_mut(hash).filter(|_| goes.get(row) == Some(&true)) else {
                continue;
            };
            let compare = compare.get_or_insert_with(|| {
                let same =
                    |it: &ArrayRef| make_comparator(it.as_ref(), it.as_ref(), SortOptions::default()).ok();
                self.columns.iter().filter_map(same).collect::<Vec<_>>()
            });
            let same = |other: &usize| compare.iter().all(|compare| compare(row, *other).is_eq());
            let Some(at) = others.iter().position(same) else { continue };
            let other = others.swap_remove(at);
            if let (Some(goes), Some(comes)) = (goes.get_mut(row), comes.get_mut(other)) {
                (*goes, *comes) = (false, false);
            }
        }
        Ok(())
    }
}
