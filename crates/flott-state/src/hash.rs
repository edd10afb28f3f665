//! The hash of a key, and the key group it falls into.
//!
//! **Part of the checkpoint format**: which group a key belongs to is written down with the state,
//! so the same key must have the same hash in every version and on every machine. Changing
//! anything here needs a new format number.
//!
//! ```text
//!   fixed width   one 64-bit word a row, folded multiply
//!   bytes, text   XXH3-64, then as a word
//!   list, map     folded over the elements, then the length
//!   row           folded over the fields
//!   NULL          a constant
//! ```
//! Integers of one value have one hash in every width; 0.0 and -0.0 are equal, all NaN are equal.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float16Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit,
};
use twox_hash::XxHash3_64;

use crate::bits::words;

/// How many key groups a job has unless it says otherwise.
pub const DEFAULT_KEY_GROUPS: u16 = 128;

const START: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
const NULL: u64 = 0x2545_f491_4f6c_dd1d;

/// The halves of the 128-bit product, folded: every bit of `value` reaches every bit of the hash.
#[inline]
fn fold(value: u64) -> u64 {
    let product = u128::from(value ^ START).wrapping_mul(u128::from(FACTOR));
    let once = (product as u64) ^ (product >> 64) as u64;
    let product = u128::from(once ^ FACTOR).wrapping_mul(u128::from(START));
    (product as u64) ^ (product >> 64) as u64
}

/// Adds a word to a hash; not commutative, so that the order of columns matters.
#[inline]
fn join(hash: u64, word: u64) -> u64 {
    fold(hash.rotate_left(23).wrapping_add(word))
}

/// The hash of each row over all columns. Without columns every row has the same hash.
///
/// `rows` is the number of rows (the columns' length). Stable for ever: see the module.
pub fn hash_rows(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut hashes = vec![START; rows];
    for column in columns {
        add_column(column.as_ref(), &mut hashes);
    }
    hashes
}

/// Joins a column's words to the hashes so far.
fn add_column(column: &dyn Array, hashes: &mut [u64]) {
    if let Some(words) = words(column) {
        return add_words(column, &words, hashes);
    }
    match column.data_type() {
        DataType::Utf8 => add_rows(column, hashes, bytes(column.as_string::<i32>())),
        DataType::LargeUtf8 => add_rows(column, hashes, bytes(column.as_string::<i64>())),
        DataType::Utf8View => {
            let values = column.as_string_view();
            add_rows(column, hashes, |row| XxHash3_64::oneshot(values.value(row).as_bytes()));
        }
        DataType::Binary => add_rows(column, hashes, bytes(column.as_binary::<i32>())),
        DataType::LargeBinary => add_rows(column, hashes, bytes(column.as_binary::<i64>())),
        DataType::BinaryView => {
            let values = column.as_binary_view();
            add_rows(column, hashes, |row| XxHash3_64::oneshot(values.value(row)));
        }
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            add_rows(column, hashes, |row| XxHash3_64::oneshot(values.value(row)));
        }
        DataType::Decimal128(_, _) => {
            let values = column.as_primitive::<Decimal128Type>();
            add_rows(column, hashes, |row| wide(values.value(row)));
        }
        DataType::Decimal256(_, _) => {
            let values = column.as_primitive::<Decimal256Type>();
            add_rows(column, hashes, |row| XxHash3_64::oneshot(&values.value(row).to_le_bytes()));
        }
        DataType::Float16 => {
            let values = column.as_primitive::<Float16Type>();
            let plain = |row: usize| crate::bits::plain_f32(values.value(row).to_f32()).to_bits();
            add_rows(column, hashes, |row| u64::from(plain(row)));
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = column.as_primitive::<IntervalMonthDayNanoType>();
            add_rows(column, hashes, |row| {
                let value = values.value(row);
                join(join(value.months as u64, value.days as u64), value.nanoseconds as u64)
            });
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let values = column.as_primitive::<IntervalDayTimeType>();
            add_rows(column, hashes, |row| {
                let value = values.value(row);
                join(value.days as u64, value.milliseconds as u64)
            });
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let offsets = list.value_offsets();
            add_lists(column, hashes, list.values(), |row| span(offsets, row));
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let offsets = list.value_offsets();
            add_lists(column, hashes, list.values(), |row| span(offsets, row));
        }
        DataType::FixedSizeList(_, size) => {
            let (list, size) = (column.as_fixed_size_list(), *size as usize);
            add_lists(column, hashes, list.values(), |row| row * size..(row + 1) * size);
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            let offsets = map.value_offsets();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            add_lists(column, hashes, &entries, |row| span(offsets, row));
        }
        DataType::Struct(_) => {
            let fields = hash_rows(column.as_struct().columns(), column.len());
            add_rows(column, hashes, |row| fields.get(row).copied().unwrap_or(NULL));
        }
        // NULL, and types that no key may have (the key table refuses them).
        _ => hashes.iter_mut().for_each(|hash| *hash = join(*hash, NULL)),
    }
}

fn add_words(column: &dyn Array, words: &[u64], hashes: &mut [u64]) {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (hash, word) in hashes.iter_mut().zip(words) {
                *hash = join(*hash, *word);
            }
        }
        Some(nulls) => {
            for ((hash, word), valid) in hashes.iter_mut().zip(words).zip(nulls.iter()) {
                *hash = join(*hash, if valid { *word } else { NULL });
            }
        }
    }
}

fn add_rows(column: &dyn Array, hashes: &mut [u64], word: impl Fn(usize) -> u64) {
    let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, hash) in hashes.iter_mut().enumerate().take(column.len()) {
        let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        *hash = join(*hash, if valid { word(row) } else { NULL });
    }
}

fn add_lists(
    column: &dyn Array,
    hashes: &mut [u64],
    values: &ArrayRef,
    elements: impl Fn(usize) -> Range<usize>,
) {
    let values = hash_rows(std::slice::from_ref(values), values.len());
    add_rows(column, hashes, |row| {
        let items = values.get(elements(row)).unwrap_or_default();
        join(items.iter().fold(START, |hash, item| join(hash, *item)), items.len() as u64)
    });
}

fn span<O: arrow::array::OffsetSizeTrait>(offsets: &[O], row: usize) -> Range<usize> {
    let at = |row: usize| offsets.get(row).map_or(0, |offset| offset.as_usize());
    at(row)..at(row + 1)
}

fn bytes<T: arrow::array::types::ByteArrayType>(
    values: &arrow::array::GenericByteArray<T>,
) -> impl Fn(usize) -> u64 + '_ {
    move |row| XxHash3_64::oneshot(values.value(row).as_ref())
}

fn wide(value: i128) -> u64 {
    // A decimal that fits 64 bits hashes as its unscaled value does.
    match i64::try_from(value) {
        Ok(value) => value as u64,
        Err(_) => join(value as u64, (value >> 64) as u64),
    }
}

/// The hash, moved into the key group of another one: tables look up by the low half, the group
/// comes from the high one.
#[inline]
pub fn with_group_of(hash: u64, group: u64) -> u64 {
    (hash & 0xffff_ffff) | (group & !0xffff_ffff)
}

/// The fixed number of key groups of a job: the grain in which keyed state moves between shards.
///
/// ```text
///   hash ──high half──► group 0..count ──► shard = group × shards / count   (contiguous ranges)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGroups {
    count: u16,
}

impl Default for KeyGroups {
    fn default() -> Self {
        Self { count: DEFAULT_KEY_GROUPS }
    }
}

impl KeyGroups {
    /// This many groups, at least one.
    pub fn new(count: u16) -> Self {
        Self { count: count.max(1) }
    }

    /// How many groups there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// All groups.
    pub fn all(&self) -> Range<u16> {
        0..self.count
    }

    /// The group of a hash, from its high half: the low half is what tables look up by.
    #[inline]
    pub fn of(&self, hash: u64) -> u16 {
        (((hash >> 32) * u64::from(self.count)) >> 32) as u16
    }

    /// The shard that owns a group. More shards than groups leave some shards without any.
    #[inline]
    pub fn shard(&self, group: u16, shards: usize) -> usize {
        usize::from(group) * shards / usize::from(self.count)
    }

    /// The groups that a shard owns.
    pub fn range(&self, shard: usize, shards: usize) -> Range<u16> {
        let first = |shard: usize| {
            (shard * usize::from(self.count)).div_ceil(shards.max(1)).min(usize::from(self.count)) as u16
        };
        first(shard)..first(shard + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;

    fn hash(column: impl Array + 'static) -> Vec<u64> {
        let rows = column.len();
        hash_rows(&[Arc::new(column) as ArrayRef], rows)
    }

    /// These numbers are in the files of checkpoints: they never change.
    #[test]
    fn hashes_are_part_of_the_format() {
        let long = hash(Int64Array::from(vec![Some(0), Some(1), Some(-1), None]));
        let text = hash(StringArray::from(vec![Some(""), Some("flott"), None]));
        let seen: Vec<String> = long.iter().chain(&text).map(|hash| format!("{hash:016x}")).collect();
        assert_eq!(seen, FIXED, "{seen:?}");
    }

    const FIXED: [&str; 7] = [
        "b4bb6ce5f2967cf1",
        "9b8334bf7ba82d3c",
        "ca2f9c644d9cb1d2",
        "304d6e8a3f5c3269",
        "cae1eb4230c3d6c2",
        "09280594e9aeb787",
        "304d6e8a3f5c3269",
    ];

    #[test]
    fn equal_values_have_equal_hashes() {
        assert_eq!(hash(Int32Array::from(vec![5, -5])), hash(Int64Array::from(vec![5, -5])));
        let floats = hash(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        assert_eq!((floats[0], floats[2]), (floats[1], floats[3]));
        let sliced = StringArray::from(vec!["a", "b", "c"]).slice(1, 2);
        assert_eq!(hash(sliced), hash(StringArray::from(vec!["b", "c"])));
    }

    #[test]
    fn every_shard_owns_the_range_that_is_sent_to_it() {
        for count in [1, 7, 128, 1000] {
            let groups = KeyGroups::new(count);
            for shards in 1..20 {
                let mut next = 0;
                for shard in 0..shards {
                    let range = groups.range(shard, shards);
                    assert_eq!(range.start, next, "{count} groups, shard {shard} of {shards}");
                    next = range.end;
                    assert!(range.clone().all(|group| groups.shard(group, shards) == shard));
                }
                assert_eq!(next, count);
            }
        }
    }

    /// Keys that differ in a few bits only must still spread over groups and low halves.
    #[test]
    fn regular_keys_spread_evenly() {
        for step in [1_i64, 1000, 1 << 20, 1 << 40] {
            let hashes = hash(Int64Array::from_iter_values((0..100_000).map(|key| key * step)));
            let groups = KeyGroups::default();
            let (mut by_group, mut by_low) = (vec![0; 128], vec![0; 128]);
            for hash in hashes {
                by_group[usize::from(groups.of(hash))] += 1;
                by_low[(hash as u32 >> 25) as usize] += 1;
            }
            for count in by_group.iter().chain(&by_low) {
                assert!((600..1000).contains(count), "step {step}: {by_group:?} {by_low:?}");
            }
        }
    }
}
