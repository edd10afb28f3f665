//! From key columns to slots: small numbers, dense, one for each different key.
//!
//! ```text
//!   key columns ─► hashes ─► index ─► slot ─► whatever is kept beside it, by slot
//!                              ▲        │
//!                              └─ keys ─┘   compared by slot
//!
//!   one fixed-width column up to 8 bytes     words       8 bytes a key
//!   several, 16 bytes together               pairs      17 bytes a key
//!   one text or binary column                arena      its bytes
//!   anything else                            arena      the row format of all columns
//! ```
//! Invariants
//! - A slot keeps its number until its key is removed; freed slots are used again before new ones.
//! - NULL is a key like any other, equal to itself. One zero, one NaN.
//! - Work is by batch; nothing is allocated for a row. Large tables are looked up in short runs:
//!   first every place of the run is read, then every key, so that the waits for memory overlap.
//!
//! The row format never leaves memory: what is saved are columns.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use flott_types::{Code, Diagnostic, Result};

use crate::bitmap::Bitmap;
use crate::bits::{column_of_words, plain_floats, words};
use crate::index::SlotIndex;
use crate::memory::reserve_one;
use crate::rows::{Arena, ByteRows};
use crate::wide::{WideKeys, WideLayout};
use crate::{arrow_failed, bits};

/// What [`KeyTable::find`] gives for a key that isn't there.
pub const NO_SLOT: u32 = u32::MAX;

/// Rows looked up together: their places and keys stay in the first-level cache.
const RUN: usize = 128;

/// Different keys, each with a slot.
#[derive(Debug)]
pub struct KeyTable {
    types: Vec<DataType>,
    slots: Slots,
    store: Store,
}

/// How the keys lie in memory; chosen once by their types.
#[derive(Debug)]
enum Store {
    Words(Vec<u64>),
    Wide(WideLayout, WideKeys),
    Text(Arena),
    Rows(RowConverter, Arena),
}

/// What is the same for every layout: which slot has which hash, and which are free.
#[derive(Debug, Default)]
struct Slots {
    index: SlotIndex,
    hashes: Vec<u64>,
    live: Bitmap,
    free: Vec<u32>,
    /// The slot of NULL where NULL cannot be told from a value by its bytes; not in the index.
    null: Option<u32>,
}

/// Keys by slot, compared with a batch of keys by row.
trait Keys {
    type Batch<'a>: ?Sized;
    fn same(&self, slot: u32, batch: &Self::Batch<'_>, row: usize) -> bool;
    /// Keeps the key of a row under a slot that is free or the next new one.
    fn put(&mut self, slot: u32, batch: &Self::Batch<'_>, row: usize);
    /// Reads something of the key, to have it in the cache.
    fn touch(&self, slot: u32) -> u64;
}

impl Keys for Vec<u64> {
    type Batch<'a> = [u64];

    #[inline]
    fn same(&self, slot: u32, batch: &[u64], row: usize) -> bool {
        self.get(slot as usize) == batch.get(row)
    }

    #[inline]
    fn put(&mut self, slot: u32, batch: &[u64], row: usize) {
        let key = batch.get(row).copied().unwrap_or(0);
        match self.get_mut(slot as usize) {
            Some(place) => *place = key,
            None => {
                reserve_one(self);
                self.push(key);
            }
        }
    }

    #[inline]
    fn touch(&self, slot: u32) -> u64 {
        self.get(slot as usize).copied().unwrap_or(0)
    }
}

impl Keys for WideKeys {
    type Batch<'a> = WideKeys;

    #[inline]
    fn same(&self, slot: u32, batch: &WideKeys, row: usize) -> bool {
        self.equal(slot as usize, batch, row)
    }

    #[inline]
    fn put(&mut self, slot: u32, batch: &WideKeys, row: usize) {
        self.set(slot as usize, batch, row);
    }

    #[inline]
    fn touch(&self, slot: u32) -> u64 {
        self.first(slot as usize)
    }
}

impl Keys for Arena {
    type Batch<'a> = ByteRows<'a>;

    #[inline]
    fn same(&self, slot: u32, batch: &ByteRows<'_>, row: usize) -> bool {
        self.get(slot) == batch.get(row)
    }

    #[inline]
    fn put(&mut self, slot: u32, batch: &ByteRows<'_>, row: usize) {
        self.set(slot, batch.get(row));
    }

    #[inline]
    fn touch(&self, slot: u32) -> u64 {
        self.get(slot).first().copied().map_or(0, u64::from)
    }
}

impl Slots {
    /// A slot for a new key: a freed one, or the next.
    #[inline]
    fn take(&mut self, hash: u64) -> Result<u32> {
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.hashes.get_mut(slot as usize) {
                    *place = hash;
                }
                slot
            }
            None => {
                let slot = self.hashes.len() as u32;
                if slot >= NO_SLOT - 1 {
                    return Err(Diagnostic::error(Code::Internal, "more than 4 billion keys in one shard")
                        .help("run with a higher parallelism, so that each shard keeps fewer keys"));
                }
                reserve_one(&mut self.hashes);
                self.hashes.push(hash);
                self.live.grow(self.hashes.len());
                slot
            }
        };
        self.live.set(slot);
        Ok(slot)
    }

    /// Reads places and keys of a run of rows, each set without waiting for the one before.
    #[inline]
    fn warm<K: Keys>(&self, keys: &K, hashes: &[u64]) {
        let mut seen = [0_u64; RUN];
        for (entry, hash) in seen.iter_mut().zip(hashes) {
            *entry = self.index.peek(*hash);
        }
        let mut sum = 0_u64;
        for (entry, hash) in seen.iter().zip(hashes) {
            if let Some(slot) = SlotIndex::likely(*entry, *hash) {
                sum = sum.wrapping_add(keys.touch(slot));
            }
        }
        std::hint::black_box(sum);
    }

    fn find_or_insert<K: Keys>(
        &mut self,
        keys: &mut K,
        batch: &K::Batch<'_>,
        nulls: Option<&NullBuffer>,
        hashes: &[u64],
        slots: &mut Vec<u32>,
        inserted: &mut Vec<u32>,
    ) -> Result<()> {
        for (run, hashes) in hashes.chunks(RUN).enumerate() {
            if self.index.is_large() {
                self.warm(keys, hashes);
            }
            self.index.reserve(hashes.len());
            for (row, &hash) in (run * RUN..).zip(hashes) {
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    slots.push(self.null_slot(keys, batch, row, hash, inserted)?);
                    continue;
                }
                let mut slot = self.index.find(hash, |slot| keys.same(slot, batch, row));
                if slot == NO_SLOT {
                    slot = self.take(hash)?;
                    keys.put(slot, batch, row);
                    self.index.insert(hash, slot);
                    inserted.push(slot);
                }
                slots.push(slot);
            }
        }
        Ok(())
    }

    fn null_slot<K: Keys>(
        &mut self,
        keys: &mut K,
        batch: &K::Batch<'_>,
        row: usize,
        hash: u64,
        inserted: &mut Vec<u32>,
    ) -> Result<u32> {
        if let Some(slot) = self.null {
            return Ok(slot);
        }
        let slot = self.take(hash)?;
        keys.put(slot, batch, row);
        self.null = Some(slot);
        inserted.push(slot);
        Ok(slot)
    }

    fn find<K: Keys>(
        &self,
        keys: &K,
        batch: &K::Batch<'_>,
        nulls: Option<&NullBuffer>,
        hashes: &[u64],
        slots: &mut Vec<u32>,
    ) {
        for (run, hashes) in hashes.chunks(RUN).enumerate() {
            if self.index.is_large() {
                self.warm(keys, hashes);
            }
            slots.extend((run * RUN..).zip(hashes).map(|(row, &hash)| {
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    return self.null.unwrap_or(NO_SLOT);
                }
                self.index.find(hash, |slot| keys.same(slot, batch, row))
            }));
        }
    }
}

impl KeyTable {
    /// An empty table for keys of these types; without types it has one key, the empty one.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self { types: types.to_vec(), slots: Slots::default(), store: Store::of(types)? })
    }

    /// The key columns' types.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Appends the slot of every row to `slots`, and each slot that is new to `inserted`, once.
    ///
    /// `hashes` are those of [`crate::hash_rows`] over the same columns; their number is the number
    /// of rows.
    ///
    /// # Errors
    /// When the columns aren't of the table's types, or there is no slot left.
    pub fn find_or_insert(
        &mut self,
        keys: &[ArrayRef],
        hashes: &[u64],
        slots: &mut Vec<u32>,
        inserted: &mut Vec<u32>,
    ) -> Result<()> {
        check(&self.types, keys, hashes.len())?;
        slots.reserve(hashes.len());
        let (table, nulls) = (&mut self.slots, nulls_of(keys));
        match &mut self.store {
            Store::Words(stored) => {
                let batch = words_of(keys, hashes.len());
                table.find_or_insert(stored, &batch, nulls.as_ref(), hashes, slots, inserted)
            }
            Store::Wide(layout, stored) => {
                table.find_or_insert(stored, &layout.pack(keys, hashes.len()), None, hashes, slots, inserted)
            }
            Store::Text(stored) => {
                let batch = ByteRows::of_column(keys)?;
                table.find_or_insert(stored, &batch, nulls.as_ref(), hashes, slots, inserted)
            }
            Store::Rows(converter, stored) => {
                let batch = ByteRows::Rows(convert(converter, keys)?);
                table.find_or_insert(stored, &batch, None, hashes, slots, inserted)
            }
        }
    }

    /// Appends the slot of every row to `slots`: [`NO_SLOT`] where the key isn't in the table.
    ///
    /// # Errors
    /// When the columns aren't of the table's types.
    pub fn find(&self, keys: &[ArrayRef], hashes: &[u64], slots: &mut Vec<u32>) -> Result<()> {
        check(&self.types, keys, hashes.len())?;
        slots.reserve(hashes.len());
        let (table, nulls) = (&self.slots, nulls_of(keys));
        match &self.store {
            Store::Words(stored) => {
                table.find(stored, &words_of(keys, hashes.len()), nulls.as_ref(), hashes, slots);
            }
            Store::Wide(layout, stored) => {
                table.find(stored, &layout.pack(keys, hashes.len()), None, hashes, slots);
            }
            Store::Text(stored) => {
                table.find(stored, &ByteRows::of_column(keys)?, nulls.as_ref(), hashes, slots);
            }
            Store::Rows(converter, stored) => {
                table.find(stored, &ByteRows::Rows(convert(converter, keys)?), None, hashes, slots);
            }
        }
        Ok(())
    }

    /// The key columns of these slots, in their order.
    ///
    /// # Errors
    /// When the bytes of one column would not fit one array (2 GiB): ask for fewer slots.
    pub fn keys(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.store {
            Store::Words(stored) => {
                let Some(data_type) = self.types.first() else { return Ok(Vec::new()) };
                let at = |slot: &u32| stored.get(*slot as usize).copied().unwrap_or(0);
                let words = slots.iter().map(at).collect();
                Ok(vec![column_of_words(data_type, words, self.valid(slots))?])
            }
            Store::Wide(layout, stored) => layout.unpack(stored, slots),
            Store::Text(stored) => {
                let (offsets, bytes) = stored.gather(slots)?;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let nulls = self.valid(slots);
                Ok(vec![if self.types.first() == Some(&DataType::Utf8) {
                    let text = StringArray::try_new(offsets, bytes.into(), nulls).map_err(arrow_failed)?;
                    std::sync::Arc::new(text)
                } else {
                    std::sync::Arc::new(BinaryArray::new(offsets, bytes.into(), nulls))
                }])
            }
            Store::Rows(converter, stored) => {
                let parser = converter.parser();
                let rows = slots.iter().map(|slot| parser.parse(stored.get(*slot)));
                converter.convert_rows(rows).map_err(arrow_failed)
            }
        }
    }

    /// Which of the slots hold a key that isn't NULL, if any is.
    fn valid(&self, slots: &[u32]) -> Option<NullBuffer> {
        let null = self.slots.null?;
        let valid: NullBuffer = slots.iter().map(|slot| *slot != null).collect();
        (valid.null_count() > 0).then_some(valid)
    }

    /// Makes room for this many more keys, so that adding them moves nothing.
    pub fn reserve(&mut self, keys: usize) {
        self.slots.index.reserve(keys);
        crate::memory::reserve(&mut self.slots.hashes, keys);
        if let Store::Words(words) = &mut self.store {
            crate::memory::reserve(words, keys);
        }
    }

    /// Takes a key out; its slot is free for another. Nothing happens if the slot isn't in use.
    pub fn remove(&mut self, slot: u32) {
        if !self.slots.live.get(slot) {
            return;
        }
        if self.slots.null == Some(slot) {
            self.slots.null = None;
        } else {
            self.slots.index.remove(self.hash_of(slot), slot);
        }
        self.slots.live.unset(slot);
        self.slots.free.push(slot);
        if let Store::Text(arena) | Store::Rows(_, arena) = &mut self.store {
            arena.remove(slot);
        }
    }

    /// The hash of the key in a slot.
    #[inline]
    pub fn hash_of(&self, slot: u32) -> u64 {
        self.slots.hashes.get(slot as usize).copied().unwrap_or(0)
    }

    /// Whether a slot is in use.
    pub fn is_live(&self, slot: u32) -> bool {
        self.slots.live.get(slot)
    }

    /// The slots in use, rising.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.live.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.slots.hashes.len() - self.slots.free.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One past the highest slot number ever given.
    pub fn slots_end(&self) -> usize {
        self.slots.hashes.len()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let slots = &self.slots;
        let common = slots.index.memory() + slots.hashes.capacity() * 8 + slots.live.memory();
        common
            + slots.free.capacity() * 4
            + match &self.store {
                Store::Words(keys) => keys.capacity() * 8,
                Store::Wide(_, keys) => keys.memory(),
                Store::Text(arena) => arena.memory(),
                Store::Rows(converter, arena) => arena.memory() + converter.size(),
            }
    }
}

impl Store {
    fn of(types: &[DataType]) -> Result<Self> {
        match types {
            [] => return Ok(Store::Words(Vec::new())),
            [one] if bits::word_width(one).is_some() => return Ok(Store::Words(Vec::new())),
            [DataType::Utf8 | DataType::Binary] => return Ok(Store::Text(Arena::default())),
            _ => {}
        }
        if let Some(layout) = WideLayout::of(types) {
            return Ok(Store::Wide(layout, WideKeys::default()));
        }
        let fields: Vec<SortField> = types.iter().cloned().map(SortField::new).collect();
        if !RowConverter::supports_fields(&fields) {
            let names: Vec<String> = types.iter().map(ToString::to_string).collect();
            return Err(Diagnostic::not_supported(format!("a key of type {}", names.join(", "))));
        }
        Ok(Store::Rows(RowConverter::new(fields).map_err(arrow_failed)?, Arena::default()))
    }
}

fn check(types: &[DataType], keys: &[ArrayRef], rows: usize) -> Result<()> {
    let fits = types.len() == keys.len()
        && types.iter().zip(keys).all(|(wanted, key)| wanted == key.data_type() && key.len() == rows);
    if fits {
        return Ok(());
    }
    let given: Vec<String> = keys.iter().map(|key| format!("{}×{}", key.len(), key.data_type())).collect();
    Err(Diagnostic::error(
        Code::Internal,
        format!("keys {given:?} do not fit a table of {types:?}, {rows} rows"),
    ))
}

fn nulls_of(keys: &[ArrayRef]) -> Option<NullBuffer> {
    let [key] = keys else { return None };
    key.nulls().filter(|nulls| nulls.null_count() > 0).cloned()
}

fn words_of(keys: &[ArrayRef], rows: usize) -> ScalarBuffer<u64> {
    keys.first().and_then(|key| words(key.as_ref())).unwrap_or_else(|| ScalarBuffer::from(vec![0; rows]))
}

fn convert(converter: &RowConverter, keys: &[ArrayRef]) -> Result<arrow::row::Rows> {
    let plain: Vec<ArrayRef> = keys.iter().map(plain_floats).collect();
    converter.convert_columns(&plain).map_err(arrow_failed)
}

impl<'a> ByteRows<'a> {
    fn of_column(keys: &'a [ArrayRef]) -> Result<Self> {
        match keys.first().map(|key| (key, key.data_type())) {
            Some((key, DataType::Utf8)) => {
                let text = key.as_string::<i32>();
                Ok(ByteRows::Column(text.value_offsets(), text.value_data()))
            }
            Some((key, DataType::Binary)) => {
                let bytes = key.as_binary::<i32>();
                Ok(ByteRows::Column(bytes.value_offsets(), bytes.value_data()))
            }
            _ => Err(Diagnostic::error(Code::Internal, "a key column is neither text nor binary")),
        }
    }
}

#[cfg(test)]
mod tests;
