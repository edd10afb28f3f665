//! A row per slot, in as few bytes as it needs: for operators that keep the last row of each key.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use flott_types::Result;

use crate::column::wrong_shape;
use crate::{EncodedRows, NO_ROW, RowCodec, RowHeap, RowRef, StateColumn, arrow_failed};

/// The rows by slot; none at first.
#[derive(Debug)]
pub struct RowColumn {
    fields: Fields,
    codec: RowCodec,
    heap: RowHeap,
    rows: Vec<RowRef>,
}

/// Fields for columns of these types.
pub fn row_fields(types: &[DataType]) -> Fields {
    let field = |(at, data_type): (usize, &DataType)| Field::new(format!("c{at}"), data_type.clone(), true);
    types.iter().enumerate().map(field).collect()
}

impl RowColumn {
    /// For rows with columns of these types.
    ///
    /// # Errors
    /// When values of a type can't be kept.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let codec = RowCodec::new(types)?;
        Ok(Self { fields: row_fields(types), codec, heap: RowHeap::new(), rows: Vec::new() })
    }

    /// How the rows are encoded.
    pub fn codec(&self) -> &RowCodec {
        &self.codec
    }

    /// Whether the slot has a row.
    pub fn has(&self, slot: u32) -> bool {
        self.at(slot) != NO_ROW
    }

    /// The encoded row of a slot; no bytes if there is none.
    #[inline]
    pub fn get(&self, slot: u32) -> &[u8] {
        self.heap.get(self.at(slot))
    }

    /// Sets the row of a slot.
    ///
    /// # Errors
    /// When there is no room.
    pub fn set(&mut self, slot: u32, row: &[u8]) -> Result<()> {
        self.clear(slot);
        let at = self.heap.put(row)?;
        if let Some(place) = self.rows.get_mut(slot as usize) {
            *place = at;
        }
        Ok(())
    }

    /// Takes the row of a slot away.
    pub fn clear(&mut self, slot: u32) {
        if let Some(place) = self.rows.get_mut(slot as usize)
            && *place != NO_ROW
        {
            self.heap.free(*place);
            *place = NO_ROW;
        }
    }

    /// The rows of these slots, which have one, as columns.
    ///
    /// # Errors
    /// When they do not fit one array (2 GiB).
    pub fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.codec.decode(slots.iter().map(|slot| self.get(*slot)))
    }

    fn at(&self, slot: u32) -> RowRef {
        self.rows.get(slot as usize).copied().unwrap_or(NO_ROW)
    }
}

impl StateColumn for RowColumn {
    fn grow(&mut self, slots_end: usize) {
        crate::memory::resize(&mut self.rows, slots_end, NO_ROW);
    }

    fn reset(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.clear(*slot));
    }

    fn saved_type(&self) -> DataType {
        DataType::Struct(self.fields.clone())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let there: NullBuffer = slots.iter().map(|slot| self.has(*slot)).collect();
        let columns = self.columns(slots)?;
        let nulls = (there.null_count() > 0).then_some(there);
        let rows = StructArray::try_new_with_length(self.fields.clone(), columns, nulls, slots.len());
        Ok(Arc::new(rows.map_err(arrow_failed)?))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let Some(rows) = saved.as_struct_opt().filter(|rows| rows.fields() == &self.fields) else {
            return Err(wrong_shape(&self.saved_type(), saved.data_type()));
        };
        let mut encoded = EncodedRows::default();
        self.codec.encode(rows.columns(), 0..slots.len(), &mut encoded, |_, _| {})?;
        for (row, slot) in slots.iter().enumerate() {
            if rows.is_valid(row) {
                self.set(*slot, encoded.get(row))?;
            } else {
                self.clear(*slot);
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<RowRef>() + self.heap.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_anywhere() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![None, Some("b")])),
        ];
        let mut column = RowColumn::new(&[DataType::Int64, DataType::Utf8]).unwrap();
        column.grow(5);
        let mut encoded = EncodedRows::default();
        column.codec().encode(&columns, 0..2, &mut encoded, |_, _| {}).unwrap();
        column.set(0, encoded.get(0)).unwrap();
        column.set(2, encoded.get(1)).unwrap();
        let saved = column.save(&[2, 1, 0]).unwrap();
        column.load(&[0, 3, 4], &saved).unwrap();
        assert_eq!(&column.save(&[0, 3, 4]).unwrap(), &saved);
        assert!(!column.has(3));
        column.reset(&[0, 2, 4]);
        assert!(!column.has(0));
        // A row of no columns is there or not, too.
        let mut none = RowColumn::new(&[]).unwrap();
        none.grow(2);
        none.set(1, &[]).unwrap();
        let saved = none.save(&[0, 1]).unwrap();
        none.load(&[1, 0], &saved).unwrap();
        assert!(none.has(0) && !none.has(1));
    }
}
