//! The versions of the right side's keys.
//!
//! ```text
//!   table  (key, time) ─► the other columns, gone, touched, taken   state
//!   keys   key ─► list of (time, slot), rising                      derived
//!   due    (time from which the version before isn't needed, key)   derived
//! ```
//! A version is valid from its time to that of the next one. One that is *gone* says that the key has no
//! row from its time on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use flott_state::{
    ArrowColumn, BoolColumn, KeyTable, LongColumn, NO_SLOT, OperatorSnapshot, OperatorState, StateColumn,
    Table, hash_rows,
};
use flott_types::{Code, Diagnostic, Result, RowKind};

use super::waiting::{beside_key, key_types, set, values, whole};

/// A version: from when, and where its row is.
#[derive(Debug, Clone, Copy)]
struct Version {
    time: i64,
    slot: u32,
}

/// A key's versions.
#[derive(Debug, Clone, Default)]
struct Key {
    /// By time, rising.
    versions: Vec<Version>,
    /// The version that a `-U` took back, while no change has followed.
    taken_back: Option<u32>,
    /// When it was touched last.
    touched: i64,
}

/// The versions.
pub(super) struct Versions {
    table: Table<dyn StateColumn>,
    key_columns: Vec<usize>,
    kept: Vec<usize>,
    width: usize,
    index: KeyTable,
    keys: Vec<Key>,
    due: BinaryHeap<Reverse<(i64, u32)>>,
}

/// Where columns that aren't the rows' stand behind those that are.
const GONE: usize = 0;
const TOUCHED: usize = 1;
/// A `-U` took the version back, and no change has followed: its other half may come behind a barrier.
const TAKEN_BACK: usize = 2;

impl Versions {
    pub(super) fn new(types: &[ArrowType], key_columns: &[usize]) -> Result<Self> {
        let kept = beside_key(types, key_columns);
        let own = key_types(types, key_columns)?;
        let mut all = own.clone();
        all.push(ArrowType::Int64);
        let mut columns: Vec<Box<dyn StateColumn>> = Vec::with_capacity(kept.len() + 3);
        for data_type in kept.iter().filter_map(|at| types.get(*at)) {
            columns.push(Box::new(ArrowColumn::new(data_type.clone())?));
        }
        columns.push(Box::new(BoolColumn::new()));
        columns.push(Box::new(LongColumn::new(i64::MAX)));
        columns.push(Box::new(BoolColumn::new()));
        Ok(Self {
            table: Table::new(&all, columns)?.grouped_by(own.len()),
            key_columns: key_columns.to_vec(),
            kept,
            width: types.len(),
            index: KeyTable::new(&own)?,
            keys: Vec::new(),
            due: BinaryHeap::new(),
        })
    }

    /// Takes rows in. Of several with the same key and time the last counts.
    pub(super) fn add(
        &mut self,
        columns: &[ArrayRef],
        times: &[i64],
        kinds: Option<&Int8Array>,
        valid: &dyn Fn(usize) -> bool,
        touched: Option<i64>,
    ) -> Result<()> {
        let rows = times.len();
        let column = |at: &usize| columns.get(*at).cloned().ok_or_else(missing);
        let own = self.key_columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let mut keys = own.clone();
        keys.push(Arc::new(Int64Array::from_iter_values(times.iter().copied())));
        let hashes = self.table.hashes(&keys, rows);
        let mut slots = Vec::with_capacity(rows);
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        for (at, kept) in self.kept.iter().enumerate() {
            set(&mut self.table, at, &slots, &column(kept)?)?;
        }
        self.table.touch(&slots);
        let places = self.places(&own, rows)?;
        for (row, ((place, slot), time)) in places.iter().zip(&slots).zip(times).enumerate() {
            let kind = kinds.and_then(|kinds| kinds.values().get(row).copied()).and_then(RowKind::of);
            self.change(*place, Version { time: *time, slot: *slot }, kind, valid(row))?;
        }
        match touched {
            Some(now) => self.mark(&places, now),
            None => Ok(()),
        }
    }

    /// The place of each row's key.
    fn places(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let (mut places, mut inserted) = (Vec::with_capacity(rows), Vec::new());
        self.index.find_or_insert(keys, &hash_rows(keys, rows), &mut places, &mut inserted)?;
        self.keys.resize_with(self.index.slots_end().max(self.keys.len()), Key::default);
        for place in inserted {
            if let Some(key) = self.keys.get_mut(place as usize) {
                *key = Key { touched: i64::MIN, ..Key::default() };
            }
        }
        Ok(places)
    }

    /// One change of a key.
    fn change(&mut self, place: u32, version: Version, kind: Option<RowKind>, valid: bool) -> Result<()> {
        let Some(key) = self.keys.get_mut(place as usize) else { return Err(missing()) };
        let kind = kind.unwrap_or(RowKind::Insert);
        let at = key.versions.partition_point(|it| it.time < version.time);
        if key.versions.get(at).is_none_or(|it| it.time != version.time) {
            key.versions.insert(at, version);
        }
        if key.versions.len() > 1 || kind.retracts() || !valid {
            // The version behind this one may be what ends this.
            let later = key.versions.get(at + 1).map(|it| it.time);
            self.due
                .extend([Some(version.time), later].into_iter().flatten().map(|time| Reverse((time, place))));
        }
        let taken_back = key.taken_back.take();
        if kind == RowKind::UpdateBefore {
            key.taken_back = Some(version.slot);
        }
        if let Some(before) = taken_back {
            self.set_flag(TAKEN_BACK, before, false)?;
        }
        match kind {
            RowKind::UpdateBefore => self.set_flag(TAKEN_BACK, version.slot, true)?,
            // What was taken back was so for this change: up to it, it was valid.
            RowKind::UpdateAfter => {
                if let Some(before) = taken_back.filter(|slot| *slot != version.slot) {
                    self.set_flag(GONE, before, false)?;
                }
            }
            RowKind::Insert | RowKind::Delete => {}
        }
        self.set_flag(GONE, version.slot, kind.retracts() || !valid)
    }

    fn set_flag(&mut self, which: usize, slot: u32, value: bool) -> Result<()> {
        let column = self.table.columns_mut().get_mut(self.kept.len() + which);
        let column =
            column.and_then(|it| it.as_any_mut().downcast_mut::<BoolColumn>()).ok_or_else(missing)?;
        column.set(slot, value);
        self.table.touch(&[slot]);
        Ok(())
    }

    fn flags(&self, which: usize) -> Result<&BoolColumn> {
        let column = self.table.columns().get(self.kept.len() + which);
        column.and_then(|it| it.as_any().downcast_ref::<BoolColumn>()).ok_or_else(missing)
    }

    fn gone(&self) -> Result<&BoolColumn> {
        self.flags(GONE)
    }

    /// For each row the slot of the version of its key that is valid at its time, or [`NO_SLOT`].
    pub(super) fn find(&self, keys: &[ArrayRef], times: &[i64]) -> Result<Vec<u32>> {
        let rows = times.len();
        let mut places = Vec::with_capacity(rows);
        self.index.find(keys, &hash_rows(keys, rows), &mut places)?;
        let gone = self.gone()?;
        let valid = super::without_nulls(keys);
        let found = places.iter().zip(times).enumerate().map(|(row, (place, time))| {
            let versions =
                self.keys.get(*place as usize).map(|key| key.versions.as_slice()).unwrap_or_default();
            let next = versions.partition_point(|it| it.time <= *time);
            let version = next.checked_sub(1).and_then(|at| versions.get(at));
            let keyed = valid.as_ref().is_none_or(|it| it.value(row));
            version.filter(|it| keyed && !gone.get(it.slot)).map_or(NO_SLOT, |it| it.slot)
        });
        Ok(found.collect())
    }

    /// All columns of these versions; NULLs for [`NO_SLOT`].
    pub(super) fn rows(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let beside = (0..self.kept.len()).map(|at| values(&self.table, at)?.get(slots));
        let beside = beside.collect::<Result<Vec<_>>>()?;
        let keys = self.key_rows(slots)?;
        whole(self.width, (&self.key_columns, &keys), (&self.kept, beside))
    }

    /// The key columns of these versions; NULLs for [`NO_SLOT`].
    fn key_rows(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        if !slots.contains(&NO_SLOT) {
            return self.table.keys().keys(slots);
        }
        let some: Vec<u32> = slots.iter().copied().filter(|slot| *slot != NO_SLOT).collect();
        let keys = self.table.keys().keys(&some)?;
        let mut next = 0_u32;
        let spread: arrow::array::UInt32Array = slots
            .iter()
            .map(|slot| {
                (*slot != NO_SLOT).then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        crate::window::take_all(&keys, &spread)
    }

    /// Drops versions that ended before this time: no row that comes up to it is joined any more.
    pub(super) fn drop_before(&mut self, watermark: i64) -> Result<()> {
        let mut places = Vec::new();
        while let Some(Reverse((time, place))) = self.due.peek().copied() {
            if time > watermark {
                break;
            }
            self.due.pop();
            places.push(place);
        }
        places.sort_unstable();
        places.dedup();
        let mut dropped = Vec::new();
        for place in places {
            let Some(key) = self.keys.get(place as usize) else { continue };
            let ended = key.versions.partition_point(|it| it.time <= watermark).saturating_sub(1);
            // A key that is gone by then has no version either.
            let gone = self.gone()?;
            let current = key.versions.get(ended);
            let dead = current
                .is_some_and(|it| it.time <= watermark && gone.get(it.slot) && key.taken_back.is_none());
            let Some(key) = self.keys.get_mut(place as usize) else { continue };
            for Version { slot, .. } in key.versions.drain(..ended + usize::from(dead)) {
                key.taken_back = key.taken_back.filter(|it| *it != slot);
                dropped.push(slot);
            }
            if key.versions.is_empty() {
                self.index.remove(place);
            }
        }
        self.table.remove(&dropped)
    }

    /// Marks the keys of rows as touched at this time.
    pub(super) fn touch(&mut self, keys: &[ArrayRef], rows: usize, now: i64) -> Result<()> {
        let mut places = Vec::with_capacity(rows);
        self.index.find(keys, &hash_rows(keys, rows), &mut places)?;
        self.mark(&places, now)
    }

    fn mark(&mut self, places: &[u32], now: i64) -> Result<()> {
        let mut latest = Vec::new();
        for place in places.iter().filter(|place| **place != NO_SLOT) {
            let Some(key) = self.keys.get_mut(*place as usize) else { continue };
            if key.touched <= now {
                key.touched = now;
                latest.extend(key.versions.last().map(|it| it.slot));
            }
        }
        let column = self.table.columns_mut().get_mut(self.kept.len() + TOUCHED).ok_or_else(missing)?;
        column.load(&latest, &(Arc::new(Int64Array::from(vec![now; latest.len()])) as ArrayRef))?;
        self.table.touch(&latest);
        Ok(())
    }

    /// Drops keys that nothing has touched since before this.
    pub(super) fn drop_idle(&mut self, before: i64) -> Result<()> {
        let mut dropped = Vec::new();
        let idle: Vec<u32> = self.index.live().collect();
        for place in idle {
            let Some(key) = self.keys.get_mut(place as usize).filter(|key| key.touched < before) else {
                continue;
            };
            if key.touched == i64::MIN {
                // Restored without a mark: as if it were touched now.
                key.touched = before;
                continue;
            }
            dropped.extend(std::mem::take(&mut key.versions).into_iter().map(|it| it.slot));
            self.index.remove(place);
        }
        self.table.remove(&dropped)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("versions", &mut self.table)
    }

    pub(super) fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("versions", &mut self.table)?;
        let slots: Vec<u32> = self.table.keys().live().collect();
        let mut keys = self.table.keys().keys(&slots)?;
        let times = keys.pop().ok_or_else(missing)?;
        let times = times.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.values();
        let touched =
            self.table.columns().get(self.kept.len() + TOUCHED).ok_or_else(missing)?.save(&slots)?;
        let touched = touched.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.values();
        let taken = self.flags(TAKEN_BACK)?;
        let taken: Vec<bool> = slots.iter().map(|slot| taken.get(*slot)).collect();
        let places = self.places(&keys, slots.len())?;
        for (row, place) in places.iter().enumerate() {
            let (Some(time), Some(slot), Some(touched)) = (times.get(row), slots.get(row), touched.get(row))
            else {
                continue;
            };
            let Some(key) = self.keys.get_mut(*place as usize) else { continue };
            key.versions.push(Version { time: *time, slot: *slot });
            if taken.get(row) == Some(&true) {
                key.taken_back = Some(*slot);
            }
            // Without a time to live nothing is marked.
            key.touched = if *touched == i64::MAX { key.touched } else { key.touched.max(*touched) };
            self.due.push(Reverse((*time, *place)));
        }
        for key in &mut self.keys {
            key.versions.sort_unstable_by_key(|it| it.time);
        }
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        let lists: usize = self.keys.iter().map(|key| key.versions.capacity() * size_of::<Version>()).sum();
        let own = self.keys.capacity() * size_of::<Key>() + self.due.capacity() * size_of::<(i64, u32)>();
        self.table.memory() + self.index.memory() + lists + own
    }
}

fn missing() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a table of versions lacks a column")
}
