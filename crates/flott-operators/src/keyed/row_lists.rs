//! The rows of each key in the order they came, as a column of state.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, Fields};
use flott_state::row_column::row_fields;
use flott_state::{EncodedRows, RowCodec, RowHeap, RowRef, StateColumn};
use flott_types::{Code, Diagnostic, Result};

use crate::arrow_failed;

/// The rows.
#[derive(Debug)]
pub(crate) struct RowLists {
    fields: Fields,
    codec: RowCodec,
    heap: RowHeap,
    lists: Vec<Vec<RowRef>>,
    rows: usize,
}

impl RowLists {
    pub(crate) fn new(types: &[ArrowType]) -> Result<Self> {
        let codec = RowCodec::new(types)?;
        let fields = row_fields(types);
        Ok(Self { fields, codec, heap: RowHeap::new(), lists: Vec::new(), rows: 0 })
    }

    pub(crate) fn codec(&self) -> &RowCodec {
        &self.codec
    }

    /// How many rows a key has.
    pub(crate) fn len(&self, slot: u32) -> usize {
        self.lists.get(slot as usize).map_or(0, Vec::len)
    }

    pub(crate) fn first(&self, slot: u32) -> Option<&[u8]> {
        self.lists.get(slot as usize)?.first().map(|row| self.heap.get(*row))
    }

    pub(crate) fn last(&self, slot: u32) -> Option<&[u8]> {
        self.lists.get(slot as usize)?.last().map(|row| self.heap.get(*row))
    }

    /// Adds a row behind the others.
    pub(crate) fn push(&mut self, slot: u32, row: &[u8]) -> Result<()> {
        let at = self.heap.put(row)?;
        if let Some(list) = self.lists.get_mut(slot as usize) {
            list.reserve_exact(if list.len() == list.capacity() { list.len() / 2 + 1 } else { 0 });
            list.push(at);
            self.rows += 1;
        }
        Ok(())
    }

    /// Takes the first row away that is equal. Whether there was one.
    pub(crate) fn take(&mut self, slot: u32, row: &[u8]) -> bool {
        let Some(list) = self.lists.get_mut(slot as usize) else { return false };
        let Some(at) = list.iter().position(|known| self.heap.get(*known) == row) else { return false };
        self.heap.free(list.remove(at));
        self.rows -= 1;
        true
    }
}

impl StateColumn for RowLists {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.lists.len() {
            self.lists.resize_with(slots_end, Vec::new);
        }
    }

    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            for row in self.lists.get_mut(*slot as usize).map(std::mem::take).unwrap_or_default() {
                self.heap.free(row);
                self.rows -= 1;
            }
        }
    }

    fn saved_type(&self) -> ArrowType {
        ArrowType::List(self.item())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let too_many = |_| Diagnostic::error(Code::RecordTooLarge, "too many rows are kept for a key");
        let (mut offsets, mut end) = (vec![0_i32], 0);
        for slot in slots {
            end += self.len(*slot);
            offsets.push(i32::try_from(end).map_err(too_many)?);
        }
        let rows = slots.iter().filter_map(|slot| self.lists.get(*slot as usize)).flatten();
        let columns = self.codec.decode(rows.map(|row| self.heap.get(*row)))?;
        let rows = StructArray::try_new_with_length(self.fields.clone(), columns, None, end);
        let rows = Arc::new(rows.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(self.item(), offsets, rows, None).map_err(arrow_failed)?))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let wrong = || Diagnostic::error(Code::CheckpointUnusable, "a checkpoint holds no lists of rows");
        let lists = saved.as_list_opt::<i32>().ok_or_else(wrong)?;
        self.reset(slots);
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, slot) in slots.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*slot, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |offset| *offset as usize);
        let rows = lists.values().slice(first, owners.len());
        let rows = rows.as_struct_opt().filter(|rows| rows.fields() == &self.fields).ok_or_else(wrong)?;
        let mut encoded = EncodedRows::default();
        self.codec.encode(rows.columns(), 0..owners.len(), &mut encoded, |_, _| {})?;
        owners.iter().enumerate().try_for_each(|(row, slot)| self.push(*slot, encoded.get(row)))
    }

    fn memory(&self) -> usize {
        self.lists.capacity() * size_of::<Vec<RowRef>>() + self.rows * 16 + self.heap.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl RowLists {
    fn item(&self) -> Arc<Field> {
        Arc::new(Field::new("item", ArrowType::Struct(self.fields.clone()), true))
    }
}
