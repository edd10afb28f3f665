//! The n best rows of each key, as a column of state.
//!
//! ```text
//!   slot ─► entries, best first     order: 12 bytes │ row ──► heap: (order, if 12 bytes don't hold it) rest
//! ```
//! Rows are compared by the bytes of their order alone; of equal ones the earlier stays in front. The
//! heap is looked at only where 12 bytes don't decide.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, Fields};
use arrow::row::{RowConverter, Rows as OrderRows};
use flott_state::row_codec::{get_short, put_short};
use flott_state::row_column::row_fields;
use flott_state::{EncodedRows, RowCodec, RowHeap, RowRef, StateColumn};
use flott_types::{Code, Diagnostic, Result};

use crate::arrow_failed;

const PREFIX: usize = 12;

/// A row among the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    high: u64,
    low: u32,
    row: RowRef,
}

impl Entry {
    fn new(order: &[u8]) -> Self {
        let mut prefix = [0; PREFIX];
        let length = order.len().min(PREFIX);
        if let (Some(place), Some(order)) = (prefix.get_mut(..length), order.get(..length)) {
            place.copy_from_slice(order);
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l] = prefix;
        let (high, low) = ([a, b, c, d, e, f, g, h], [i, j, k, l]);
        Self { high: u64::from_be_bytes(high), low: u32::from_be_bytes(low), row: 0 }
    }

    fn prefix(&self) -> [u8; PREFIX] {
        let mut prefix = [0; PREFIX];
        let (high, low) = prefix.split_at_mut(8);
        high.copy_from_slice(&self.high.to_be_bytes());
        low.copy_from_slice(&self.low.to_be_bytes());
        prefix
    }
}

/// Lists by slot; where one row is kept, without a list.
#[derive(Debug)]
enum Lists {
    One(Vec<Option<Entry>>),
    Many(Vec<Vec<Entry>>),
}

/// The rows.
#[derive(Debug)]
pub(crate) struct BestRows {
    order: RowConverter,
    order_width: usize,
    /// The bytes of an order, if they are always the same number and fit an entry.
    exact: Option<usize>,
    codec: RowCodec,
    fields: Fields,
    heap: RowHeap,
    lists: Lists,
    entries: usize,
    limit: usize,
}

/// What happens to the lists.
pub(crate) trait Watch {
    /// The list of a slot is about to change.
    fn changes(&mut self, slot: u32, list: &[Entry]);
    /// A row fell out. Whether it can go from memory now.
    fn falls_out(&mut self, entry: Entry) -> bool;
}

/// Nobody wants to know.
pub(crate) struct NoWatch;

impl Watch for NoWatch {
    fn changes(&mut self, _: u32, _: &[Entry]) {}
    fn falls_out(&mut self, _: Entry) -> bool {
        true
    }
}

impl BestRows {
    /// `order` compares columns of `order_types`; the rows have columns of `rest` beside those.
    pub(crate) fn new(
        order: RowConverter,
        order_types: &[ArrowType],
        rest: &[ArrowType],
        limit: usize,
    ) -> Result<Self> {
        let width = |data_type: &ArrowType| match data_type {
            ArrowType::Boolean => Some(2),
            other => other.primitive_width().map(|width| width + 1),
        };
        let exact = order_types.iter().map(width).sum::<Option<usize>>().filter(|width| *width <= PREFIX);
        let types: Vec<ArrowType> = order_types.iter().chain(rest).cloned().collect();
        Ok(Self {
            order,
            order_width: order_types.len(),
            exact,
            codec: RowCodec::new(rest)?,
            fields: row_fields(&types),
            heap: RowHeap::new(),
            lists: if limit == 1 { Lists::One(Vec::new()) } else { Lists::Many(Vec::new()) },
            entries: 0,
            limit,
        })
    }

    /// Keeps as many rows as this, one list for each slot; to be said before the first row.
    pub(crate) fn widen(&mut self, limit: usize) {
        if limit > self.limit {
            self.limit = limit;
            self.lists = Lists::Many(Vec::new());
        }
    }

    /// Keeps no more than this many rows of each of these slots. `watch` hears of each list before it changes
    /// and of the rows that fall out, and has to say that they stay in memory.
    pub(crate) fn narrow(&mut self, limit: usize, slots: &[u32], watch: &mut impl Watch) -> Vec<u32> {
        self.limit = limit;
        let long = |slot: &&u32| self.list(**slot).len() > limit;
        let long: Vec<u32> = slots.iter().filter(long).copied().collect();
        for slot in &long {
            watch.changes(*slot, self.list(*slot));
            let Lists::Many(lists) = &mut self.lists else { continue };
            let Some(list) = lists.get_mut(*slot as usize) else { continue };
            for entry in list.split_off(limit) {
                self.entries -= 1;
                if watch.falls_out(entry) {
                    self.heap.free(entry.row);
                }
            }
        }
        long
    }

    /// The rows of a slot, best first.
    pub(crate) fn list(&self, slot: u32) -> &[Entry] {
        match &self.lists {
            Lists::One(rows) => rows.get(slot as usize).map(Option::as_slice).unwrap_or_default(),
            Lists::Many(lists) => lists.get(slot as usize).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    fn order_of(&self, entry: Entry) -> &[u8] {
        let (length, rest) = get_short(self.heap.get(entry.row));
        rest.get(..length as usize).unwrap_or_default()
    }

    /// The columns that aren't in the order, encoded.
    fn rest_of(&self, entry: Entry) -> &[u8] {
        let row = self.heap.get(entry.row);
        if self.exact.is_some() {
            return row;
        }
        let (length, rest) = get_short(row);
        rest.get(length as usize..).unwrap_or_default()
    }

    /// How a row's order compares with that of one that is kept.
    fn compare(&self, new: Entry, order: &[u8], kept: Entry) -> Ordering {
        (new.high, new.low).cmp(&(kept.high, kept.low)).then_with(|| match self.exact {
            Some(_) => Ordering::Equal,
            None => order.cmp(self.order_of(kept)),
        })
    }

    /// Whether two rows are equal.
    pub(crate) fn same(&self, a: Entry, b: Entry) -> bool {
        (a.high, a.low) == (b.high, b.low) && self.heap.get(a.row) == self.heap.get(b.row)
    }

    /// Whether a row is no better than the last of a full list.
    #[inline]
    fn is_beaten(&self, slot: u32, new: Entry, order: &[u8]) -> bool {
        match self.list(slot) {
            list if list.len() < self.limit => false,
            [.., worst] => self.compare(new, order, *worst) != Ordering::Less,
            [] => true,
        }
    }

    /// Offers rows to the lists of their slots.
    pub(crate) fn offer(
        &mut self,
        slots: &[u32],
        order: &[ArrayRef],
        rest: &[ArrayRef],
        watch: &mut impl Watch,
    ) -> Result<Vec<u32>> {
        let orders = self.orders(order, slots.len())?;
        let order_of = |row: usize| orders.as_ref().map_or(&[] as &[u8], |orders| orders.row_data(row));
        let hopeful: Vec<usize> = (0..slots.len())
            .zip(slots)
            .filter(|(row, slot)| !self.is_beaten(**slot, Entry::new(order_of(*row)), order_of(*row)))
            .map(|(row, _)| row)
            .collect();
        let mut encoded = EncodedRows::default();
        let exact = self.exact.is_some();
        self.codec.encode(rest, hopeful.iter().copied(), &mut encoded, |row, out| {
            if !exact {
                let order = order_of(row);
                put_short(order.len() as u64, out);
                out.extend_from_slice(order);
            }
        })?;
        let mut changed = Vec::with_capacity(hopeful.len());
        for (at, row) in hopeful.into_iter().enumerate() {
            let Some(slot) = slots.get(row) else { continue };
            let new = Entry::new(order_of(row));
            // An earlier row of this batch may have been better.
            if self.is_beaten(*slot, new, order_of(row)) {
                continue;
            }
            let place = self
                .list(*slot)
                .partition_point(|kept| self.compare(new, order_of(row), *kept) != Ordering::Less);
            watch.changes(*slot, self.list(*slot));
            let new = Entry { row: self.heap.put(encoded.get(at))?, ..new };
            if let Some(gone) = self.insert(*slot, place, new)
                && watch.falls_out(gone)
            {
                self.heap.free(gone.row);
            }
            changed.push(*slot);
        }
        Ok(changed)
    }

    fn orders(&self, order: &[ArrayRef], rows: usize) -> Result<Option<OrderRows>> {
        if order.is_empty() || rows == 0 {
            return Ok(None);
        }
        self.order.convert_columns(order).map(Some).map_err(arrow_failed)
    }

    /// Gives the row that falls out.
    fn insert(&mut self, slot: u32, place: usize, new: Entry) -> Option<Entry> {
        match &mut self.lists {
            Lists::One(rows) => {
                let gone = rows.get_mut(slot as usize)?.replace(new);
                self.entries += usize::from(gone.is_none());
                gone
            }
            Lists::Many(lists) => {
                let list = lists.get_mut(slot as usize)?;
                if list.len() == list.capacity() {
                    list.reserve_exact((list.len() / 2 + 2).min(self.limit.saturating_add(1) - list.len()));
                }
                list.insert(place.min(list.len()), new);
                let gone = if list.len() > self.limit { list.pop() } else { None };
                self.entries += usize::from(gone.is_none());
                gone
            }
        }
    }

    /// Forgets rows that fell out.
    pub(crate) fn free(&mut self, gone: &mut Vec<Entry>) {
        for entry in gone.drain(..) {
            self.heap.free(entry.row);
        }
    }

    /// The columns of the order, and the others.
    pub(crate) fn columns(
        &self,
        entries: impl Iterator<Item = Entry> + Clone,
    ) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let rest = self.codec.decode(entries.clone().map(|entry| self.rest_of(entry)))?;
        if self.order_width == 0 {
            return Ok((Vec::new(), rest));
        }
        let parser = self.order.parser();
        let order = match self.exact {
            Some(length) => {
                let bytes: Vec<[u8; PREFIX]> = entries.map(|entry| entry.prefix()).collect();
                let rows = bytes.iter().map(|bytes| parser.parse(bytes.get(..length).unwrap_or_default()));
                self.order.convert_rows(rows)
            }
            None => self.order.convert_rows(entries.map(|entry| parser.parse(self.order_of(entry)))),
        };
        Ok((order.map_err(arrow_failed)?, rest))
    }

    fn item(&self) -> Arc<Field> {
        Arc::new(Field::new("item", ArrowType::Struct(self.fields.clone()), true))
    }
}

/// The bytes of a row of an order.
trait RowData {
    fn row_data(&self, row: usize) -> &[u8];
}

impl RowData for OrderRows {
    fn row_data(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }
}

impl StateColumn for BestRows {
    fn grow(&mut self, slots_end: usize) {
        match &mut self.lists {
            Lists::One(rows) if slots_end > rows.len() => rows.resize(slots_end, None),
            Lists::Many(lists) if slots_end > lists.len() => lists.resize_with(slots_end, Vec::new),
            _ => {}
        }
    }

    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            let mut gone = match &mut self.lists {
                Lists::One(rows) => rows.get_mut(*slot as usize).and_then(Option::take).into_iter().collect(),
                Lists::Many(lists) => lists.get_mut(*slot as usize).map(std::mem::take).unwrap_or_default(),
            };
            self.entries -= gone.len();
            self.free(&mut gone);
        }
    }

    fn saved_type(&self) -> ArrowType {
        ArrowType::List(self.item())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let too_many = |_| Diagnostic::error(Code::RecordTooLarge, "too many rows are ranked");
        let (mut offsets, mut end) = (vec![0_i32], 0);
        for slot in slots {
            end += self.list(*slot).len();
            offsets.push(i32::try_from(end).map_err(too_many)?);
        }
        let entries = slots.iter().flat_map(|slot| self.list(*slot).iter().copied());
        let (mut columns, rest) = self.columns(entries)?;
        columns.extend(rest);
        let rows = StructArray::try_new_with_length(self.fields.clone(), columns, None, end);
        let rows = Arc::new(rows.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(self.item(), offsets, rows, None).map_err(arrow_failed)?))
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let wrong = || Diagnostic::error(Code::CheckpointUnusable, "a checkpoint holds no ranked rows");
        let lists = saved.as_list_opt::<i32>().ok_or_else(wrong)?;
        self.reset(slots);
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, slot) in slots.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*slot, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |offset| *offset as usize);
        let rows = lists.values().slice(first, owners.len());
        let rows = rows.as_struct_opt().filter(|rows| rows.fields() == &self.fields).ok_or_else(wrong)?;
        let (order, rest) = rows.columns().split_at_checked(self.order_width).ok_or_else(wrong)?;
        self.offer(&owners, order, rest, &mut NoWatch)?;
        Ok(())
    }

    fn memory(&self) -> usize {
        let lists = match &self.lists {
            Lists::One(rows) => rows.capacity() * size_of::<Option<Entry>>(),
            Lists::Many(lists) => {
                lists.capacity() * size_of::<Vec<Entry>>() + self.entries * size_of::<Entry>() * 5 / 4
            }
        };
        lists + self.heap.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
