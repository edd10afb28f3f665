//! The rows that an operator keeps: those ahead of the watermark, and those of unfinished matches.
//!
//! ```text
//!   table     (partition, number) ─► place, time, columns          number: rises as rows come
//!   waiting   time ─► rows without a place                         in memory: made from the table
//!   placed    key ─► rows with places first, first + 1, …          likewise
//! ```
//!
//! A row gets its place among the rows of its key when its time has come. Rows that no match needs any
//! more leave from the front.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use flott_state::{ArrowColumn, LongColumn, NO_SLOT, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result, Schema};

/// Columns of the table before the rows' own.
const PLACE: usize = 0;
const TIME: usize = 1;
const OWN: usize = 2;

/// Finds the slots of so many keys with these columns.
type KeysOf<'a> = dyn FnMut(&[ArrayRef], usize) -> Result<Vec<u32>> + 'a;

/// A row that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) time: i64,
    /// Rises as rows come.
    pub(crate) number: i64,
    pub(crate) key: u32,
    pub(crate) slot: u32,
}

/// The rows of a key that have a place.
#[derive(Debug, Default)]
struct Placed {
    first: i64,
    slots: VecDeque<u32>,
    /// How many more wait.
    waiting: usize,
}

/// The rows.
#[derive(Debug)]
pub(crate) struct KeptRows {
    table: Table<dyn StateColumn>,
    waiting: BTreeMap<i64, Vec<Waiting>>,
    placed: Vec<Placed>,
    next_number: i64,
    columns: usize,
}

impl KeptRows {
    /// For rows of this schema in partitions of these types.
    pub(crate) fn new(partition: &[ArrowType], schema: &Schema) -> Result<Self> {
        let mut columns: Vec<Box<dyn StateColumn>> =
            vec![Box::new(LongColumn::new(-1)), Box::new(LongColumn::new(0))];
        for field in &schema.fields {
            columns.push(Box::new(ArrowColumn::new(field.data_type.arrow_type())?));
        }
        let types: Vec<ArrowType> = partition.iter().cloned().chain([ArrowType::Int64]).collect();
        Ok(Self {
            table: Table::new(&types, columns)?.grouped_by(partition.len()),
            waiting: BTreeMap::new(),
            placed: Vec::new(),
            next_number: 0,
            columns: schema.len(),
        })
    }

    fn placed_mut(&mut self, key: u32) -> &mut Placed {
        let at = key as usize;
        if at >= self.placed.len() {
            self.placed.resize_with(at + 1, Placed::default);
        }
        &mut self.placed[at]
    }

    /// Keeps rows of these keys until their time has come.
    pub(crate) fn add(
        &mut self,
        partition: &[ArrayRef],
        keys: &[u32],
        times: &[i64],
        columns: &[ArrayRef],
    ) -> Result<()> {
        let first = self.next_number;
        self.next_number = first.saturating_add(keys.len() as i64);
        let mut row_keys = partition.to_vec();
        row_keys.push(Arc::new(Int64Array::from_iter_values(first..self.next_number)));
        let hashes = self.table.hashes(&row_keys, keys.len());
        let mut slots = Vec::with_capacity(keys.len());
        self.table.find_or_insert(&row_keys, &hashes, &mut slots)?;
        let of_table = self.table.columns_mut();
        for (slot, time) in slots.iter().zip(times) {
            if let Some(value) = long(of_table, TIME)?.values.get_mut(*slot as usize) {
                *value = *time;
            }
        }
        for (column, values) in of_table.iter_mut().skip(OWN).zip(columns) {
            match column.as_any_mut().downcast_mut::<ArrowColumn>() {
                Some(column) => column.set(&slots, values)?,
                None => return Err(not_kept()),
            }
        }
        for (((number, key), time), slot) in (first..).zip(keys).zip(times).zip(slots) {
            self.wait(Waiting { time: *time, number, key: *key, slot });
        }
        Ok(())
    }

    fn wait(&mut self, row: Waiting) {
        self.waiting.entry(row.time).or_default().push(row);
        self.placed_mut(row.key).waiting += 1;
    }

    /// The time of the first row that waits.
    pub(crate) fn first_time(&self) -> Option<i64> {
        self.waiting.keys().next().copied()
    }

    /// Takes the rows whose time has come, in order of time, then as they came.
    pub(crate) fn take_until(&mut self, time: i64) -> Vec<Waiting> {
        let later = match time.checked_add(1) {
            Some(after) => self.waiting.split_off(&after),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut self.waiting, later);
        let due: Vec<Waiting> = due.into_values().flatten().collect();
        for row in &due {
            let placed = self.placed_mut(row.key);
            placed.waiting = placed.waiting.saturating_sub(1);
        }
        due
    }

    /// Gives a row its place among those of its key.
    pub(crate) fn place(&mut self, row: &Waiting, place: i64) -> Result<()> {
        let placed = self.placed_mut(row.key);
        if placed.slots.is_empty() {
            placed.first = place;
        }
        placed.slots.push_back(row.slot);
        if let Some(value) = long(self.table.columns_mut(), PLACE)?.values.get_mut(row.slot as usize) {
            *value = place;
        }
        self.table.touch(&[row.slot]);
        Ok(())
    }

    /// The slot of a key's row; [`NO_SLOT`] if there is none.
    #[inline]
    pub(crate) fn slot(&self, key: u32, place: i64) -> u32 {
        let slot = self.placed.get(key as usize).and_then(|placed| {
            let at = usize::try_from(place.checked_sub(placed.first)?).ok()?;
            placed.slots.get(at)
        });
        slot.copied().unwrap_or(NO_SLOT)
    }

    /// A column of these rows; NULL where there is none.
    pub(crate) fn column(&self, column: usize, slots: &[u32]) -> Result<ArrayRef> {
        let column = self.table.columns().get(OWN + column);
        match column.and_then(|it| it.as_any().downcast_ref::<ArrowColumn>()) {
            Some(column) => column.get(slots),
            None => Err(not_kept()),
        }
    }

    /// How many columns a row has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Takes the slots of a key's rows before this place, to be [removed](KeptRows::remove).
    pub(crate) fn leave(&mut self, key: u32, place: i64, removed: &mut Vec<u32>) {
        let placed = self.placed_mut(key);
        while placed.first < place
            && let Some(slot) = placed.slots.pop_front()
        {
            placed.first += 1;
            removed.push(slot);
        }
    }

    /// Whether a key has rows that wait.
    pub(crate) fn waits(&self, key: u32) -> bool {
        self.placed.get(key as usize).is_some_and(|placed| placed.waiting > 0)
    }

    /// Removes rows.
    pub(crate) fn remove(&mut self, slots: &[u32]) -> Result<()> {
        self.table.remove(slots)
    }

    pub(crate) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("rows", &mut self.table)
    }

    /// `key_of`: the slots of the keys with these columns.
    pub(crate) fn restore(&mut self, state: &OperatorState, key_of: &mut KeysOf<'_>) -> Result<()> {
        state.table("rows", &mut self.table)?;
        let slots: Vec<u32> = self.table.keys().live().collect();
        let mut columns = self.table.keys().keys(&slots)?;
        let numbers = columns.pop();
        let numbers =
            numbers.as_ref().and_then(|it| it.as_primitive_opt::<Int64Type>()).ok_or_else(not_kept)?;
        let keys = key_of(&columns, slots.len())?;
        let value = |column: &LongColumn, slot: u32| column.values.get(slot as usize).copied().unwrap_or(-1);
        let mut rows = Vec::with_capacity(slots.len());
        let table = self.table.columns();
        for ((slot, number), key) in slots.iter().zip(numbers.values()).zip(keys) {
            let (place, time) = (value(long_of(table, PLACE)?, *slot), value(long_of(table, TIME)?, *slot));
            rows.push((place, Waiting { time, number: *number, key, slot: *slot }));
            self.next_number = self.next_number.max(number.saturating_add(1));
        }
        // Rows of a time wait in the order they came; placed ones stand in the order of their places.
        rows.sort_by_key(|(place, row)| (*place, row.number));
        for (place, row) in rows {
            if place < 0 {
                self.wait(row);
                continue;
            }
            let placed = self.placed_mut(row.key);
            if placed.slots.is_empty() {
                placed.first = place;
            }
            placed.slots.push_back(row.slot);
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> usize {
        let waiting: usize = self.waiting.values().map(|it| it.capacity() * size_of::<Waiting>()).sum();
        let placed: usize = self.placed.iter().map(|it| it.slots.capacity() * 4 + size_of::<Placed>()).sum();
        self.table.memory() + waiting + placed
    }
}

fn not_kept() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a pattern's row lacks a column")
}

fn long(columns: &mut [Box<dyn StateColumn>], at: usize) -> Result<&mut LongColumn> {
    columns.get_mut(at).and_then(|it| it.as_any_mut().downcast_mut::<LongColumn>()).ok_or_else(not_kept)
}

fn long_of(columns: &[Box<dyn StateColumn>], at: usize) -> Result<&LongColumn> {
    columns.get(at).and_then(|it| it.as_any().downcast_ref::<LongColumn>()).ok_or_else(not_kept)
}
