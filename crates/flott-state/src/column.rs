//! What is kept beside a key: columns of values by slot.
//!
//! ```text
//!            slot:   0    1    2    3
//!   keys             a    b    ·    d        (2 is free)
//!   LongColumn       7    1    0    3
//!   ListColumn      [..] [..]  []  [..]
//! ```
//! An operator that needs another shape (an aggregate's accumulators, say) implements
//! [`StateColumn`] for it.
//!
//! Invariants of every column
//! - A slot that was just grown or reset holds the initial value.
//! - `load` of what `save` gave, into any slots, restores exactly the same values.
//! - `save` reads and never consumes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::row::{RowConverter, SortField};
use flott_types::{Code, Diagnostic, Result};

use crate::arrow_failed;
use crate::bitmap::Bitmap;
use crate::bits::{column_of_words, word_width};
use crate::rows::{Arena, too_many_bytes};

/// Values by slot, which can be saved and loaded.
///
/// Slots beyond those grown to are a caller's bug: reading gives the initial value, writing does
/// nothing.
pub trait StateColumn: Send + fmt::Debug {
    /// Makes room for slots below `slots_end`; new ones hold the initial value.
    fn grow(&mut self, slots_end: usize);

    /// Puts the initial value back.
    fn reset(&mut self, slots: &[u32]);

    /// The Arrow type that [`StateColumn::save`] gives and [`StateColumn::load`] takes.
    fn saved_type(&self) -> DataType;

    /// The values of these slots, in their order. Copies; never consumes.
    ///
    /// # Errors
    /// When they do not fit one array (2 GiB): the caller asks for fewer.
    fn save(&self, slots: &[u32]) -> Result<ArrayRef>;

    /// Sets the value of each slot to the saved one beside it.
    ///
    /// # Errors
    /// When the array isn't one that this column saved.
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()>;

    /// Bytes of memory.
    fn memory(&self) -> usize;

    /// For use as the concrete type.
    fn as_any(&self) -> &dyn Any;

    /// For use as the concrete type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// The error for an array that a column did not save.
pub(crate) fn wrong_shape(wanted: &DataType, saved: &DataType) -> Box<Diagnostic> {
    Diagnostic::error(
        Code::CheckpointUnusable,
        format!("the checkpoint has {saved} where this job keeps {wanted}"),
    )
    .help("the query has changed since the checkpoint: start afresh with --resume never")
}

fn check_shape(column: &dyn StateColumn, slots: &[u32], saved: &ArrayRef) -> Result<()> {
    let wanted = column.saved_type();
    if wanted == *saved.data_type() && slots.len() == saved.len() {
        return Ok(());
    }
    Err(wrong_shape(&wanted, saved.data_type()))
}

/// A 64-bit integer per slot.
#[derive(Debug)]
pub struct LongColumn {
    /// The values by slot.
    pub values: Vec<i64>,
    initial: i64,
}

impl LongColumn {
    /// A column whose slots begin with this value.
    pub fn new(initial: i64) -> Self {
        Self { values: Vec::new(), initial }
    }

    /// The value of a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> i64 {
        self.values.get(slot as usize).copied().unwrap_or(self.initial)
    }
}

impl StateColumn for LongColumn {
    fn grow(&mut self, slots_end: usize) {
        crate::memory::resize(&mut self.values, slots_end, self.initial);
    }

    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(value) = self.values.get_mut(*slot as usize) {
                *value = self.initial;
            }
        }
    }

    fn saved_type(&self) -> DataType {
        DataType::Int64
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values: Vec<i64> = slots.iter().map(|slot| self.get(*slot)).collect();
        Ok(Arc::new(Int64Array::new(values.into(), None)))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(self, slots, saved)?;
        for (slot, saved) in slots.iter().zip(saved.as_primitive::<Int64Type>().values()) {
            if let Some(value) = self.values.get_mut(*slot as usize) {
                *value = *saved;
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.values.capacity() * 8
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A flag per slot, clear at first.
#[derive(Debug, Default)]
pub struct BoolColumn {
    values: Bitmap,
}

impl BoolColumn {
    /// A column of clear flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag of a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> bool {
        self.values.get(slot)
    }

    /// Sets or clears the flag of a slot.
    #[inline]
    pub fn set(&mut self, slot: u32, value: bool) {
        if value { self.values.set(slot) } else { self.values.unset(slot) }
    }
}

impl StateColumn for BoolColumn {
    fn grow(&mut self, slots_end: usize) {
        self.values.grow(slots_end);
    }

    fn reset(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.values.unset(*slot));
    }

    fn saved_type(&self) -> DataType {
        DataType::Boolean
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|slot| self.values.get(*slot)).collect();
        Ok(Arc::new(BooleanArray::new(values, None)))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(self, slots, saved)?;
        for (slot, value) in slots.iter().zip(saved.as_boolean().values()) {
            self.set(*slot, value);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.values.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A value of any type per slot, NULL at first.
#[derive(Debug)]
pub struct ArrowColumn {
    data_type: DataType,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Fixed width up to eight bytes.
    Words { words: Vec<u64>, valid: Bitmap },
    /// Everything else, in the row format; a slot never set has no bytes and is NULL.
    Rows { converter: RowConverter, null: Vec<u8>, rows: Arena, slots_end: usize },
}

impl ArrowColumn {
    /// A column of NULLs of this type.
    ///
    /// # Errors
    /// When values of this type cannot be kept.
    pub fn new(data_type: DataType) -> Result<Self> {
        // Floats are kept bit for bit, so those are not words (words know one zero only).
        if word_width(&data_type).is_some() && !data_type.is_floating() {
            let values = Values::Words { words: Vec::new(), valid: Bitmap::default() };
            return Ok(Self { data_type, values });
        }
        let converter = row_converter(std::slice::from_ref(&data_type))?;
        let null = arrow::array::new_null_array(&data_type, 1);
        let null = converter.convert_columns(&[null]).map_err(arrow_failed)?.row(0).data().to_vec();
        let values = Values::Rows { converter, null, rows: Arena::default(), slots_end: 0 };
        Ok(Self { data_type, values })
    }

    /// The values' type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Sets the value of each slot to that of the row beside it.
    ///
    /// # Errors
    /// When the array has another type or length.
    pub fn set(&mut self, slots: &[u32], values: &ArrayRef) -> Result<()> {
        if *values.data_type() != self.data_type || values.len() != slots.len() {
            return Err(wrong_shape(&self.data_type, values.data_type()));
        }
        match &mut self.values {
            Values::Words { words, valid } => {
                let given = crate::bits::words(values.as_ref()).unwrap_or_else(|| Vec::new().into());
                for (row, (slot, word)) in slots.iter().zip(given.iter()).enumerate() {
                    let Some(place) = words.get_mut(*slot as usize) else { continue };
                    if values.is_valid(row) {
                        *place = *word;
                        valid.set(*slot);
                    } else {
                        *place = 0;
                        valid.unset(*slot);
                    }
                }
            }
            Values::Rows { converter, rows, .. } => {
                let given = converter.convert_columns(std::slice::from_ref(values)).map_err(arrow_failed)?;
                for (slot, row) in slots.iter().zip(given.iter()) {
                    rows.set(*slot, row.data());
                }
            }
        }
        Ok(())
    }

    /// The values of these slots.
    ///
    /// # Errors
    /// When they do not fit one array (2 GiB).
    pub fn get(&self, slots: &[u32]) -> Result<ArrayRef> {
        match &self.values {
            Values::Words { words, valid } => {
                let nulls: NullBuffer = slots.iter().map(|slot| valid.get(*slot)).collect();
                let word = |slot: &u32| words.get(*slot as usize).copied().unwrap_or(0);
                let nulls = (nulls.null_count() > 0).then_some(nulls);
                column_of_words(&self.data_type, slots.iter().map(word).collect(), nulls)
            }
            Values::Rows { converter, null, rows, .. } => {
                let bytes: usize = slots.iter().map(|slot| rows.get(*slot).len()).sum();
                if i32::try_from(bytes).is_err() {
                    return Err(too_many_bytes());
                }
                let parser = converter.parser();
                let rows = slots.iter().map(|slot| match rows.get(*slot) {
                    [] => parser.parse(null),
                    bytes => parser.parse(bytes),
                });
                only(converter.convert_rows(rows).map_err(arrow_failed)?)
            }
        }
    }
}

fn only(columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    columns.into_iter().next().ok_or_else(|| Diagnostic::error(Code::Internal, "a row without a column"))
}

pub(crate) fn row_converter(types: &[DataType]) -> Result<RowConverter> {
    let fields: Vec<SortField> = types.iter().cloned().map(SortField::new).collect();
    if !RowConverter::supports_fields(&fields) {
        let names: Vec<String> = types.iter().map(ToString::to_string).collect();
        return Err(Diagnostic::not_supported(format!("keeping values of type {}", names.join(", "))));
    }
    RowConverter::new(fields).map_err(arrow_failed)
}

impl StateColumn for ArrowColumn {
    fn grow(&mut self, end: usize) {
        match &mut self.values {
            Values::Words { words, valid } => {
                crate::memory::resize(words, end, 0);
                valid.grow(end);
            }
            Values::Rows { slots_end, .. } => *slots_end = end.max(*slots_end),
        }
    }

    fn reset(&mut self, slots: &[u32]) {
        match &mut self.values {
            Values::Words { words, valid } => {
                for slot in slots {
                    valid.unset(*slot);
                    if let Some(word) = words.get_mut(*slot as usize) {
                        *word = 0;
                    }
                }
            }
            Values::Rows { rows, .. } => slots.iter().for_each(|slot| rows.remove(*slot)),
        }
    }

    fn saved_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.get(slots)
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        self.set(slots, saved)
    }

    fn memory(&self) -> usize {
        match &self.values {
            Values::Words { words, valid } => words.capacity() * 8 + valid.memory(),
            Values::Rows { converter, rows, .. } => rows.memory() + converter.size(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A growing list of rows per slot, empty at first.
#[derive(Debug)]
pub struct ListColumn {
    fields: Fields,
    converter: RowConverter,
    lists: Vec<RowList>,
    bytes: usize,
}

/// Rows in the row format, each after its length (4 bytes, little-endian).
#[derive(Debug, Default)]
struct RowList {
    rows: usize,
    bytes: Vec<u8>,
}

impl RowList {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (row, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = tail;
            Some(row)
        })
    }

    fn push(&mut self, row: &[u8]) {
        // A row of Arrow's row format comes from arrays below 2 GiB.
        self.bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(row);
        self.rows += 1;
    }
}

impl ListColumn {
    /// A column of lists of rows with columns of these types.
    ///
    /// # Errors
    /// When values of a type cannot be kept.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let field =
            |(at, data_type): (usize, &DataType)| Field::new(format!("c{at}"), data_type.clone(), true);
        let fields = types.iter().enumerate().map(field).collect();
        Ok(Self { fields, converter: row_converter(types)?, lists: Vec::new(), bytes: 0 })
    }

    /// Appends each row to the list of the slot beside it.
    ///
    /// # Errors
    /// When the columns are of other types.
    pub fn append(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<()> {
        let fits = columns.len() == self.fields.len()
            && self.fields.iter().zip(columns).all(|(field, column)| {
                field.data_type() == column.data_type() && column.len() == slots.len()
            });
        if !fits {
            let given = DataType::Struct(
                columns.iter().map(|c| Field::new("", c.data_type().clone(), true)).collect(),
            );
            return Err(wrong_shape(&DataType::Struct(self.fields.clone()), &given));
        }
        let rows = self.converter.convert_columns(columns).map_err(arrow_failed)?;
        for (slot, row) in slots.iter().zip(rows.iter()) {
            if let Some(list) = self.lists.get_mut(*slot as usize) {
                self.bytes += row.data().len() + 4;
                list.push(row.data());
            }
        }
        Ok(())
    }

    /// How many rows a slot's list has.
    pub fn rows(&self, slot: u32) -> usize {
        self.lists.get(slot as usize).map_or(0, |list| list.rows)
    }

    /// The rows of these slots' lists, one list after the other, as columns.
    ///
    /// # Errors
    /// When they do not fit one array (2 GiB).
    pub fn get(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let lists = || slots.iter().filter_map(|slot| self.lists.get(*slot as usize));
        if i32::try_from(lists().map(|list| list.bytes.len()).sum::<usize>()).is_err() {
            return Err(too_many_bytes());
        }
        let parser = self.converter.parser();
        let rows = lists().flat_map(RowList::iter).map(|row| parser.parse(row));
        self.converter.convert_rows(rows).map_err(arrow_failed)
    }

    fn item(&self) -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(self.fields.clone()), true))
    }
}

impl StateColumn for ListColumn {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.lists.len() {
            self.lists.resize_with(slots_end, RowList::default);
        }
    }

    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(list) = self.lists.get_mut(*slot as usize) {
                self.bytes -= list.bytes.len();
                *list = RowList::default();
            }
        }
    }

    fn saved_type(&self) -> DataType {
        DataType::List(self.item())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let (mut offsets, mut end) = (Vec::with_capacity(slots.len() + 1), 0_usize);
        offsets.push(0);
        for slot in slots {
            end += self.rows(*slot);
            offsets.push(i32::try_from(end).map_err(|_| too_many_bytes())?);
        }
        let columns = self.get(slots)?;
        let rows = StructArray::try_new_with_length(self.fields.clone(), columns, None, end);
        let rows = Arc::new(rows.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(self.item(), offsets, rows, None).map_err(arrow_failed)?))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(self, slots, saved)?;
        self.reset(slots);
        let lists = saved.as_list::<i32>();
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, slot) in slots.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*slot, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |offset| *offset as usize);
        let rows = lists.values().slice(first, owners.len());
        self.append(&owners, rows.as_struct().columns())
    }

    fn memory(&self) -> usize {
        self.lists.capacity() * size_of::<RowList>() + self.bytes
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
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    /// Saves some slots, loads them into others, and saves again.
    fn round_trip(column: &mut dyn StateColumn, slots: &[u32], others: &[u32]) {
        let saved = column.save(slots).unwrap();
        assert_eq!(*saved.data_type(), column.saved_type());
        column.grow(20);
        column.load(others, &saved).unwrap();
        assert_eq!(&column.save(others).unwrap(), &saved);
        assert_eq!(&column.save(slots).unwrap(), &saved, "saving consumed the state");
        column.reset(others);
        let initial = column.save(others).unwrap();
        assert_eq!(&initial, &column.save(&[10, 10, 10]).unwrap());
    }

    #[test]
    fn what_is_saved_is_loaded_anywhere() {
        let (slots, others) = ([2, 0, 1], [17, 19, 18]);
        let mut long = LongColumn::new(-1);
        long.grow(3);
        long.values.copy_from_slice(&[i64::MIN, 0, 7]);
        round_trip(&mut long, &slots, &others);

        let mut flags = BoolColumn::new();
        flags.grow(3);
        flags.set(1, true);
        round_trip(&mut flags, &slots, &others);

        let values: [ArrayRef; 3] = [
            Arc::new(StringArray::from(vec![Some("long text, longer than a block of rows"), None, Some("")])),
            Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::NAN)])),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)])),
        ];
        for values in &values {
            let mut column = ArrowColumn::new(values.data_type().clone()).unwrap();
            column.grow(3);
            column.set(&[0, 1, 2], values).unwrap();
            assert_eq!(&column.get(&[0, 1, 2]).unwrap(), values);
            round_trip(&mut column, &slots, &others);
        }

        let mut lists = ListColumn::new(&[DataType::Utf8, DataType::Int64]).unwrap();
        lists.grow(3);
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        lists.append(&[0, 2, 0], &[values[0].clone(), longs]).unwrap();
        assert_eq!((lists.rows(0), lists.rows(1), lists.rows(2)), (2, 0, 1));
        round_trip(&mut lists, &slots, &others);
    }

    #[test]
    fn an_array_of_another_type_is_refused() {
        let mut column = LongColumn::new(0);
        column.grow(1);
        let saved: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        assert_eq!(column.load(&[0], &saved).unwrap_err().code, Code::CheckpointUnusable);
    }
}
