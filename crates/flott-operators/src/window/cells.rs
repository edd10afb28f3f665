//! What a session keeps besides its calls' values: its bounds, its rows, its distinct values; all in the
//! shape of an accumulator, so that merging two sessions treats them alike.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Fields};
use flott_aggregate::Accumulator;
use flott_expr::EvalError;
use flott_state::{KeyTable, ListColumn, StateColumn, hash_rows};
use flott_types::{Code, Diagnostic, Result};

use super::pane::{first_rows, take_all};
use crate::arrow_failed;

/// A bound of a session where there is none.
pub(crate) const NO_BOUND: i64 = i64::MIN;

/// The rows of a session.
#[derive(Debug)]
pub(crate) struct KeptRows(pub(crate) ListColumn);

/// Lets each value of a group through to an accumulator once.
#[derive(Debug)]
pub(crate) struct Distinct {
    inner: Box<dyn Accumulator>,
    types: Vec<DataType>,
    /// (group's slot, values) that were seen.
    seen: KeyTable,
    /// Which slots of `seen` belong to each group.
    of_group: Vec<Vec<u32>>,
}

impl Distinct {
    pub(crate) fn new(inner: Box<dyn Accumulator>, types: Vec<DataType>) -> Result<Self> {
        let seen = Self::empty(&types)?;
        Ok(Self { inner, types, seen, of_group: Vec::new() })
    }

    fn empty(types: &[DataType]) -> Result<KeyTable> {
        let keys: Vec<DataType> = std::iter::once(DataType::Int64).chain(types.iter().cloned()).collect();
        KeyTable::new(&keys)
    }

    fn item(&self) -> Arc<Field> {
        let field =
            |(at, data_type): (usize, &DataType)| Field::new(format!("a{at}"), data_type.clone(), true);
        let fields: Fields = self.types.iter().enumerate().map(field).collect();
        Arc::new(Field::new("item", DataType::Struct(fields), true))
    }

    /// Adds values that are new to their group; `slots` and `args` are parallel.
    fn add(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<(), EvalError> {
        let groups: ArrayRef =
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| i64::from(*slot))));
        let keys: Vec<ArrayRef> = std::iter::once(groups).chain(args.iter().cloned()).collect();
        let (mut found, mut inserted) = (Vec::with_capacity(slots.len()), Vec::new());
        let hashes = hash_rows(&keys, slots.len());
        self.seen.find_or_insert(&keys, &hashes, &mut found, &mut inserted).map_err(inner)?;
        let first = first_rows(&found, &inserted);
        let mut fresh = Vec::with_capacity(first.len());
        for (row, member) in first.iter().zip(&inserted) {
            let Some(slot) = slots.get(*row as usize) else { continue };
            if let Some(members) = self.of_group.get_mut(*slot as usize) {
                members.push(*member);
            }
            fresh.push(*slot);
        }
        let args = take_all(args, &UInt32Array::from(first)).map_err(inner)?;
        self.inner.update(&fresh, &args, None)
    }

    fn add_lists(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        let wrong = || EvalError::internal("saved distinct values are no list");
        let lists = saved.as_list_opt::<i32>().ok_or_else(wrong)?;
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, slot) in slots.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*slot, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
        let values = lists.values().slice(first, owners.len());
        self.add(&owners, values.as_struct_opt().ok_or_else(wrong)?.columns())
    }
}

#[expect(clippy::boxed_local, reason = "diagnostics travel boxed")]
fn inner(error: Box<Diagnostic>) -> EvalError {
    EvalError { code: error.code, message: error.message }
}

fn outer(error: EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, error.message)
}

fn misuse() -> EvalError {
    EvalError::internal("a session's own columns are no aggregates")
}

impl StateColumn for KeptRows {
    fn grow(&mut self, slots_end: usize) {
        self.0.grow(slots_end);
    }
    fn reset(&mut self, slots: &[u32]) {
        self.0.reset(slots);
    }
    fn saved_type(&self) -> DataType {
        self.0.saved_type()
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.0.save(slots)
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        self.0.load(slots, saved)
    }
    fn memory(&self) -> usize {
        self.0.memory()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Accumulator for KeptRows {
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        _: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        self.0.append(slots, args).map_err(inner)
    }
    fn retract(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<(), EvalError> {
        Err(misuse())
    }
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        let lists = saved.as_list_opt::<i32>().ok_or_else(misuse)?;
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, slot) in slots.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*slot, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
        let values = lists.values().slice(first, owners.len());
        self.0.append(&owners, values.as_struct_opt().ok_or_else(misuse)?.columns()).map_err(inner)
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.0.save(slots).map_err(inner)
    }
}

impl StateColumn for Distinct {
    fn grow(&mut self, slots_end: usize) {
        self.inner.grow(slots_end);
        if slots_end > self.of_group.len() {
            self.of_group.resize_with(slots_end, Vec::new);
        }
    }
    fn reset(&mut self, slots: &[u32]) {
        self.inner.reset(slots);
        for slot in slots {
            let members = self.of_group.get_mut(*slot as usize).map(std::mem::take).unwrap_or_default();
            members.into_iter().for_each(|member| self.seen.remove(member));
        }
    }
    fn saved_type(&self) -> DataType {
        DataType::List(self.item())
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let (mut offsets, mut members) = (vec![0_i32], Vec::new());
        for slot in slots {
            members.extend(self.of_group.get(*slot as usize).into_iter().flatten().copied());
            let end = i32::try_from(members.len());
            offsets
                .push(end.map_err(|_| Diagnostic::error(Code::RecordTooLarge, "too many distinct values"))?);
        }
        let values = self.seen.keys(&members)?.split_off(1);
        let item = self.item();
        let DataType::Struct(fields) = item.data_type() else { return Err(outer(misuse())) };
        let values = StructArray::try_new_with_length(fields.clone(), values, None, members.len());
        let values = Arc::new(values.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(item, offsets, values, None).map_err(arrow_failed)?))
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        self.reset(slots);
        self.add_lists(slots, saved).map_err(outer)
    }
    fn memory(&self) -> usize {
        self.inner.memory()
            + self.seen.memory()
            + self.seen.len() * 4
            + self.of_group.capacity() * size_of::<Vec<u32>>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Accumulator for Distinct {
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        mask: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let Some(mask) = mask else { return self.add(slots, args) };
        let args = args.iter().map(|arg| filter(arg.as_ref(), mask)).collect::<Result<Vec<_>, _>>()?;
        let kept = slots.iter().zip(mask.values()).filter(|(_, keep)| *keep);
        self.add(&kept.map(|(slot, _)| *slot).collect::<Vec<_>>(), &args)
    }
    fn retract(&mut self, _: &[u32], _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<(), EvalError> {
        Err(misuse())
    }
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        self.add_lists(slots, saved)
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.inner.evaluate(slots)
    }
}
