//! A log in snapshots.
//!
//! ```text
//!   rows     group  bucket  deleted  number  stamp  c0 c1 …     new rows, and numbers of removed ones
//!   counts   group  bucket  deleted  number  count  stamp       counts that changed
//! ```
//! Rows that never change after they came have no number.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt16Type};
use flott_types::{Code, Diagnostic, Result};

use super::RowLog;
use crate::arrow_failed;
use crate::column::wrong_shape;
use crate::hash::KeyGroups;
use crate::table::Changes;

/// Rows in a batch of a snapshot.
const SAVED_ROWS: usize = 32_768;

/// Group, bucket, deleted.
const LEADING: usize = 3;

impl RowLog {
    /// Everything counts as changed: the next snapshot has it all.
    pub(super) fn touch_all(&mut self) {
        self.written = 0;
        self.tombstones.clear();
        for (slot, count) in (0..).zip(&self.counts) {
            if *count > 0 {
                self.changed.set(slot);
            }
        }
    }

    pub(super) fn saved_schema(&self) -> SchemaRef {
        let mut fields = leading_fields();
        if self.shape.numbered() {
            fields.push(Field::new("number", DataType::Int64, true));
        }
        if self.shape.stamped {
            fields.push(Field::new("stamp", DataType::Int64, true));
        }
        fields.extend(self.schema.fields().iter().map(|field| field.as_ref().clone()));
        Arc::new(Schema::new(fields))
    }

    pub(super) fn counts_schema(&self) -> SchemaRef {
        let mut fields = leading_fields();
        fields.push(Field::new("number", DataType::Int64, false));
        fields.push(Field::new("count", DataType::Int64, false));
        if self.shape.stamped {
            fields.push(Field::new("stamp", DataType::Int64, false));
        }
        Arc::new(Schema::new(fields))
    }

    /// Rows that came or went since the last snapshot, and all rows of the groups `full`.
    pub(super) fn snapshot_rows(
        &mut self,
        bucket: i64,
        full: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let schema = self.saved_schema();
        self.save_tombstones(bucket, full, groups, &schema, changes)?;
        let from = if full.is_empty() { self.written } else { 0 };
        let live: Vec<u32> = (from..self.end).filter(|slot| !self.gone.get(*slot)).collect();
        for slots in live.chunks(SAVED_ROWS) {
            let of: Vec<u16> = self.key_hashes(slots)?.iter().map(|hash| groups.of(*hash)).collect();
            let part = |wanted: &dyn Fn(u32, u16) -> bool| -> (Vec<u32>, Vec<u16>) {
                slots
                    .iter()
                    .copied()
                    .zip(of.iter().copied())
                    .filter(|(slot, group)| wanted(*slot, *group))
                    .unzip()
            };
            let (new, new_groups) = part(&|slot, group| slot >= self.written && !full.contains(&group));
            self.save(&new, new_groups, bucket, &schema, &mut changes.delta)?;
            let (all, all_groups) = part(&|_, group| full.contains(&group));
            self.save(&all, all_groups, bucket, &schema, &mut changes.full)?;
        }
        self.written = self.end;
        Ok(())
    }

    fn save(
        &self,
        slots: &[u32],
        groups: Vec<u16>,
        bucket: i64,
        schema: &SchemaRef,
        to: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let of = |values: &[i64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                slots.iter().filter_map(|it| values.get(*it as usize).copied()),
            ))
        };
        let mut columns = leading(groups, bucket, false);
        if self.shape.numbered() {
            columns.push(of(&self.numbers));
        }
        if self.shape.stamped {
            columns.push(of(&self.stamps));
        }
        columns.extend(self.rows(slots)?);
        to.push(RecordBatch::try_new(schema.clone(), columns).map_err(arrow_failed)?);
        Ok(())
    }

    fn save_tombstones(
        &mut self,
        bucket: i64,
        full: &Range<u16>,
        groups: &KeyGroups,
        schema: &SchemaRef,
        changes: &mut Changes,
    ) -> Result<()> {
        let gone = std::mem::take(&mut self.tombstones);
        let wanted = gone.iter().map(|(hash, number)| (groups.of(*hash), *number));
        let (of, numbers): (Vec<u16>, Vec<i64>) = wanted.filter(|(group, _)| !full.contains(group)).unzip();
        let rows = of.len();
        if rows == 0 {
            return Ok(());
        }
        let mut columns = leading(of, bucket, true);
        columns.push(Arc::new(Int64Array::from(numbers)));
        let absent = schema.fields().iter().skip(columns.len());
        columns.extend(absent.map(|field| new_null_array(field.data_type(), rows)));
        changes.delta.push(RecordBatch::try_new(schema.clone(), columns).map_err(arrow_failed)?);
        Ok(())
    }

    /// Counts that changed since the last snapshot, and all of the groups `full`.
    pub(super) fn snapshot_counts(
        &mut self,
        bucket: i64,
        full: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let wanted = |slot: &u32| !self.gone.get(*slot) && (self.changed.get(*slot) || self.count(*slot) > 0);
        let slots: Vec<u32> = match full.is_empty() {
            true => self.changed.iter().filter(|slot| self.is_live(*slot)).collect(),
            false => (0..self.end).filter(wanted).collect(),
        };
        for slots in slots.chunks(SAVED_ROWS) {
            let (mut delta, mut whole) = (Counts::default(), Counts::default());
            for (slot, hash) in slots.iter().zip(self.key_hashes(slots)?) {
                let group = groups.of(hash);
                if !full.contains(&group) && !self.changed.get(*slot) {
                    continue;
                }
                let to = if full.contains(&group) { &mut whole } else { &mut delta };
                to.groups.push(group);
                to.numbers.push(self.numbers.get(*slot as usize).copied().unwrap_or(0));
                to.counts.push(i64::from(self.count(*slot)));
                to.stamps.extend(self.stamps.get(*slot as usize));
            }
            delta.add_to(bucket, self.counts_schema(), &mut changes.delta)?;
            whole.add_to(bucket, self.counts_schema(), &mut changes.full)?;
        }
        self.changed.clear();
        Ok(())
    }

    /// All rows of some groups.
    pub(super) fn copy_rows(
        &self,
        bucket: i64,
        wanted: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let schema = self.saved_schema();
        let live: Vec<u32> = (0..self.end).filter(|slot| !self.gone.get(*slot)).collect();
        for slots in live.chunks(SAVED_ROWS) {
            let of = self.key_hashes(slots)?.into_iter().map(|hash| groups.of(hash));
            let pairs = slots.iter().copied().zip(of).filter(|(_, group)| wanted.contains(group));
            let (slots, of): (Vec<u32>, Vec<u16>) = pairs.unzip();
            self.save(&slots, of, bucket, &schema, &mut changes.full)?;
        }
        Ok(())
    }

    /// All counts of some groups.
    pub(super) fn copy_counts(
        &self,
        bucket: i64,
        wanted: &Range<u16>,
        groups: &KeyGroups,
        changes: &mut Changes,
    ) -> Result<()> {
        let is_kept =
            |slot: &u32| !self.gone.get(*slot) && (self.changed.get(*slot) || self.count(*slot) > 0);
        let slots: Vec<u32> = (0..self.end).filter(is_kept).collect();
        for slots in slots.chunks(SAVED_ROWS) {
            let mut counts = Counts::default();
            for (slot, hash) in slots.iter().zip(self.key_hashes(slots)?) {
                let group = groups.of(hash);
                if wanted.contains(&group) {
                    counts.groups.push(group);
                    counts.numbers.push(self.numbers.get(*slot as usize).copied().unwrap_or(0));
                    counts.counts.push(i64::from(self.count(*slot)));
                    counts.stamps.extend(self.stamps.get(*slot as usize));
                }
            }
            counts.add_to(bucket, self.counts_schema(), &mut changes.full)?;
        }
        Ok(())
    }

    /// Takes over rows of a snapshot whose group is wanted. The highest number among them.
    pub(super) fn apply_rows(
        &mut self,
        batch: &RecordBatch,
        wanted: &dyn Fn(u16) -> bool,
        groups: &KeyGroups,
    ) -> Result<i64> {
        check(batch, &self.saved_schema())?;
        let batch = only_wanted(batch, wanted)?;
        let deleted = batch.column(2).as_boolean().clone();
        let mut highest = -1;
        if deleted.true_count() > 0 {
            let slots =
                self.numbered(&filter_record_batch(&batch, &deleted).map_err(arrow_failed)?, groups)?;
            self.forget(&slots)?;
        }
        let live = arrow::compute::not(&deleted).map_err(arrow_failed)?;
        let rows = filter_record_batch(&batch, &live).map_err(arrow_failed)?;
        if rows.num_rows() == 0 {
            return Ok(highest);
        }
        let mut at = LEADING;
        let mut longs = |there: bool| -> Vec<i64> {
            at += usize::from(there);
            let column = there.then(|| rows.columns().get(at - 1)).flatten();
            column
                .and_then(|it| it.as_primitive_opt::<Int64Type>())
                .map_or_else(Vec::new, |it| it.values().to_vec())
        };
        let numbers = longs(self.shape.numbered());
        let stamps = longs(self.shape.stamped);
        highest = numbers.iter().copied().max().unwrap_or(highest);
        let first = self.add_block(rows.columns().iter().skip(at).cloned().collect(), rows.num_rows())?;
        if let Some(known) = &mut self.restoring {
            let of = rows.column(0).as_primitive::<UInt16Type>().values();
            known.extend(of.iter().copied().zip(numbers.iter().copied()).zip(first..));
        }
        self.numbers.extend(numbers);
        self.stamps.extend(stamps);
        self.written = self.end;
        Ok(highest)
    }

    /// Takes over counts of a snapshot whose group is wanted.
    pub(super) fn apply_counts(
        &mut self,
        batch: &RecordBatch,
        wanted: &dyn Fn(u16) -> bool,
        groups: &KeyGroups,
    ) -> Result<()> {
        check(batch, &self.counts_schema())?;
        let batch = only_wanted(batch, wanted)?;
        let slots = self.numbered(&batch, groups)?;
        if let Some(stamps) =
            batch.columns().get(LEADING + 2).and_then(|it| it.as_primitive_opt::<Int64Type>())
        {
            for (slot, stamp) in slots.iter().zip(stamps.values()) {
                if let Some(place) = self.stamps.get_mut(*slot as usize) {
                    *place = (*place).max(*stamp);
                }
            }
        }
        for (slot, count) in slots.iter().zip(batch.column(LEADING + 1).as_primitive::<Int64Type>().values())
        {
            if let Some(place) = self.counts.get_mut(*slot as usize) {
                *place = u32::try_from(*count).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }

    /// A snapshot has been read.
    pub(super) fn restored(&mut self) {
        self.restoring = None;
    }

    /// The slots of rows that a snapshot names by group and number.
    fn numbered(&mut self, batch: &RecordBatch, groups: &KeyGroups) -> Result<Vec<u32>> {
        if self.restoring.is_none() {
            let live: Vec<u32> = self.live().collect();
            let mut known = HashMap::with_capacity(live.len());
            for slots in live.chunks(SAVED_ROWS) {
                for (slot, hash) in slots.iter().zip(self.key_hashes(slots)?) {
                    let number = self.numbers.get(*slot as usize).copied().unwrap_or(-1);
                    known.insert((groups.of(hash), number), *slot);
                }
            }
            self.restoring = Some(known);
        }
        let known = self.restoring.as_ref();
        let of = batch.column(0).as_primitive::<UInt16Type>().values();
        let numbers = batch.column(LEADING).as_primitive::<Int64Type>().values();
        let slot =
            |key: (u16, i64)| known.and_then(|it| it.get(&key)).copied().unwrap_or(crate::keys::NO_SLOT);
        Ok(of.iter().copied().zip(numbers.iter().copied()).map(slot).collect())
    }

    fn forget(&mut self, slots: &[u32]) -> Result<()> {
        for slot in slots.iter().copied() {
            if !self.is_live(slot) {
                continue;
            }
            if let Some(hash) = self.row_hashes.get(slot as usize) {
                self.by_row.remove(slot, *hash);
            }
            self.gone.set(slot);
            self.holes += 1;
        }
        Ok(())
    }
}

/// Counts on their way into a batch.
#[derive(Default)]
struct Counts {
    groups: Vec<u16>,
    numbers: Vec<i64>,
    counts: Vec<i64>,
    /// When the rows were touched last, if the log says so.
    stamps: Vec<i64>,
}

impl Counts {
    fn add_to(self, bucket: i64, schema: SchemaRef, batches: &mut Vec<RecordBatch>) -> Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let mut columns = leading(self.groups, bucket, false);
        columns.push(Arc::new(Int64Array::from(self.numbers)));
        columns.push(Arc::new(Int64Array::from(self.counts)));
        if schema.fields().len() > columns.len() {
            columns.push(Arc::new(Int64Array::from(self.stamps)));
        }
        batches.push(RecordBatch::try_new(schema, columns).map_err(arrow_failed)?);
        Ok(())
    }
}

fn leading_fields() -> Vec<Field> {
    vec![
        Field::new("group", DataType::UInt16, false),
        Field::new("bucket", DataType::Int64, false),
        Field::new("deleted", DataType::Boolean, false),
    ]
}

fn leading(groups: Vec<u16>, bucket: i64, deleted: bool) -> Vec<ArrayRef> {
    let rows = groups.len();
    vec![
        Arc::new(UInt16Array::from(groups)),
        Arc::new(Int64Array::from(vec![bucket; rows])),
        Arc::new(BooleanArray::from(vec![deleted; rows])),
    ]
}

fn only_wanted(batch: &RecordBatch, wanted: &dyn Fn(u16) -> bool) -> Result<RecordBatch> {
    let groups = batch.column(0).as_primitive::<UInt16Type>().values();
    let mask: BooleanArray = groups.iter().map(|group| Some(wanted(*group))).collect();
    if mask.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, &mask).map_err(arrow_failed)
}

fn check(batch: &RecordBatch, wanted: &SchemaRef) -> Result<()> {
    let saved = batch.schema();
    let types =
        |schema: &SchemaRef| schema.fields().iter().map(|it| it.data_type().clone()).collect::<Vec<_>>();
    if types(&saved) == types(wanted) {
        return Ok(());
    }
    if batch.num_columns() < LEADING {
        return Err(Diagnostic::error(Code::CheckpointUnusable, "a block of a checkpoint lacks columns"));
    }
    Err(wrong_shape(&DataType::Struct(wanted.fields().clone()), &DataType::Struct(saved.fields().clone())))
}
