//! Several fixed-width key columns as one 128-bit word.
//!
//! ```text
//!   (BIGINT, INT)     bits 0..64 │ 64..96 │ unused       nulls: one bit a column, kept apart
//! ```
//! The nulls are compared only once a NULL has been seen.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type};
use flott_types::Result;

use crate::arrow_failed;
use crate::bits::{column_of_words, word_width, words};

/// Where each column lies in the word.
#[derive(Debug)]
pub(crate) struct WideLayout {
    columns: Vec<(DataType, u32)>,
}

/// Keys as words, with a byte of null bits each.
#[derive(Debug, Default)]
pub(crate) struct WideKeys {
    keys: Vec<u128>,
    nulls: Vec<u8>,
    any_null: bool,
}

impl WideLayout {
    /// The layout for these types, if all are fixed-width and 16 bytes are enough.
    pub(crate) fn of(types: &[DataType]) -> Option<Self> {
        let (mut columns, mut at) = (Vec::new(), 0);
        for data_type in types {
            let width = match data_type {
                DataType::Decimal128(_, _) => 16,
                other => word_width(other)? as u32,
            };
            columns.push((data_type.clone(), at));
            at += width * 8;
        }
        (at <= 128 && columns.len() <= 8).then_some(Self { columns })
    }

    /// The keys of a batch.
    pub(crate) fn pack(&self, keys: &[ArrayRef], rows: usize) -> WideKeys {
        let mut packed = WideKeys { keys: vec![0; rows], nulls: vec![0; rows], any_null: false };
        for (at, (key, (data_type, shift))) in keys.iter().zip(&self.columns).enumerate() {
            if let Some(words) = words(key.as_ref()) {
                let bits = word_width(data_type).unwrap_or(8) as u32 * 8;
                let mask = u64::MAX >> (64 - bits);
                for (place, word) in packed.keys.iter_mut().zip(words.iter()) {
                    *place |= u128::from(word & mask) << shift;
                }
            } else {
                let values = key.as_primitive::<Decimal128Type>().values();
                for (place, value) in packed.keys.iter_mut().zip(values.iter()) {
                    *place = *value as u128;
                }
            }
            if let Some(nulls) = key.nulls().filter(|nulls| nulls.null_count() > 0) {
                packed.mark_nulls(at as u32, *shift, word_width(data_type).unwrap_or(16) as u32 * 8, nulls);
            }
        }
        packed
    }

    /// The columns of these slots.
    pub(crate) fn unpack(&self, keys: &WideKeys, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let one = |at: usize, data_type: &DataType, shift: u32| -> Result<ArrayRef> {
            let key = |slot: &u32| keys.keys.get(*slot as usize).copied().unwrap_or(0);
            let valid = |slot: &u32| keys.nulls.get(*slot as usize).is_none_or(|nulls| nulls >> at & 1 == 0);
            let nulls = keys.any_null.then(|| slots.iter().map(valid).collect::<NullBuffer>());
            let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
            if let DataType::Decimal128(_, _) = data_type {
                let values = slots.iter().map(|slot| key(slot) as i128).collect::<Vec<_>>();
                let column = Decimal128Array::try_new(values.into(), nulls).map_err(arrow_failed)?;
                return Ok(std::sync::Arc::new(column.with_data_type(data_type.clone())));
            }
            let words = slots.iter().map(|slot| (key(slot) >> shift) as u64);
            let bits = word_width(data_type).unwrap_or(8) as u32 * 8;
            let mask = u64::MAX >> (64 - bits);
            column_of_words(data_type, words.map(|word| word & mask).collect(), nulls)
        };
        let columns = self.columns.iter().enumerate();
        columns.map(|(at, (data_type, shift))| one(at, data_type, *shift)).collect()
    }
}

impl WideKeys {
    /// Sets the null bit of a column and clears its bits, which mean nothing there.
    fn mark_nulls(&mut self, column: u32, shift: u32, bits: u32, nulls: &NullBuffer) {
        self.any_null = true;
        let keep = !((u128::MAX >> (128 - bits)) << shift);
        for ((key, mask), valid) in self.keys.iter_mut().zip(&mut self.nulls).zip(nulls.iter()) {
            if !valid {
                *key &= keep;
                *mask |= 1 << column;
            }
        }
    }

    #[inline]
    pub(crate) fn equal(&self, slot: usize, other: &WideKeys, row: usize) -> bool {
        self.keys.get(slot) == other.keys.get(row)
            && (!(self.any_null || other.any_null) || self.nulls.get(slot) == other.nulls.get(row))
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: usize, other: &WideKeys, row: usize) {
        let key = other.keys.get(row).copied().unwrap_or(0);
        let nulls = other.nulls.get(row).copied().unwrap_or(0);
        self.any_null |= nulls != 0;
        match (self.keys.get_mut(slot), self.nulls.get_mut(slot)) {
            (Some(key_at), Some(nulls_at)) => (*key_at, *nulls_at) = (key, nulls),
            _ => {
                crate::memory::reserve_one(&mut self.keys);
                self.keys.push(key);
                self.nulls.push(nulls);
            }
        }
    }

    #[inline]
    pub(crate) fn first(&self, slot: usize) -> u64 {
        self.keys.get(slot).map_or(0, |key| *key as u64)
    }

    pub(crate) fn memory(&self) -> usize {
        self.keys.capacity() * 16 + self.nulls.capacity()
    }
}
