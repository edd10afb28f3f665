//! The values of one column, or of a part of a nested one.
//!
//! The elements of a collection are a column of their own: element i of row n is its row
//! n · length + i. So nested values depend on the row's number as flat ones do.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMillisecondArray,
        Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalYearMonthArray,
        ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array, make_comparator,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::{SortOptions, take},
    datatypes::{DataType as ArrowType, TimeUnit},
};
use flott_types::{Code, DataType, Diagnostic, IntervalUnit, Result, TimestampUnit, TypeKind};

use crate::{
    pace::broken,
    random::{self, Stream},
};

/// How a column's values are made.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) data_type: DataType,
    pub(super) values: Values,
    /// The share of NULLs.
    pub(super) null_rate: f64,
    /// The run's seed and the column's path, mixed.
    pub(super) seed: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Counts up from here.
    Sequence(i64),
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// FLOAT, DOUBLE and DECIMAL.
    Real {
        min: f64,
        max: f64,
    },
    /// Characters or bytes.
    Text {
        length: usize,
        variable: bool,
    },
    /// The current date, time or timestamp, the latter moved back by up to `max_past_millis`.
    Now {
        max_past_millis: u64,
    },
    /// ARRAY, MAP and MULTISET: their parts, and how many elements a row has.
    Collection {
        parts: Vec<Column>,
        length: usize,
    },
    Row(Vec<Column>),
}

impl Column {
    /// Estimated bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        match &self.values {
            Values::Text { length, .. } => length.saturating_add(4),
            Values::Collection { parts, length } => {
                parts.iter().fold(4, |sum, part| sum.saturating_add(part.row_bytes().saturating_mul(*length)))
            }
            Values::Row(fields) => fields.iter().fold(0, |sum, it| sum.saturating_add(it.row_bytes())),
            _ => 16,
        }
    }

    /// The values of these rows.
    pub(super) fn generate(&self, rows: Range<u64>, now_micros: i64) -> Result<ArrayRef> {
        let nulls = self.nulls(rows.clone());
        match &self.values {
            Values::Sequence(start) => self.sequence(*start, rows, nulls),
            Values::Boolean => {
                let bits = rows.map(|n| random::at(self.seed, n) & 1 == 1).collect();
                Ok(Arc::new(BooleanArray::new(bits, nulls)))
            }
            Values::Integer { min, max } => self.integers(*min, *max, rows, nulls),
            Values::Real { min, max } => self.reals(*min, *max, rows, nulls),
            Values::Text { length, variable } => self.texts(*length, *variable, rows, nulls),
            Values::Now { max_past_millis } => self.now(*max_past_millis, now_micros, rows, nulls),
            Values::Collection { parts, length } => self.collection(parts, *length, rows, now_micros, nulls),
            Values::Row(fields) => {
                let ArrowType::Struct(types) = self.data_type.arrow_type() else { return Err(self.odd()) };
                let count = count(&rows);
                let arrays: Result<Vec<_>> =
                    fields.iter().map(|field| field.generate(rows.clone(), now_micros)).collect();
                let row = StructArray::try_new_with_length(types, arrays?, nulls, count).map_err(broken)?;
                Ok(Arc::new(row))
            }
        }
    }

    fn nulls(&self, rows: Range<u64>) -> Option<NullBuffer> {
        (self.null_rate > 0.0)
            .then(|| rows.map(|n| random::unit(random::at(!self.seed, n)) >= self.null_rate).collect())
    }

    fn sequence(&self, start: i64, rows: Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let numbers = rows.map(move |n| start.saturating_add_unsigned(n));
        Ok(match &self.data_type.kind {
            TypeKind::Char(_) | TypeKind::Varchar(_) => {
                Arc::new(StringArray::from_iter_values(numbers.map(|it| it.to_string())))
            }
            TypeKind::Float => Arc::new(Float32Array::from_iter_values(numbers.map(|it| it as f32))),
            TypeKind::Double => Arc::new(Float64Array::from_iter_values(numbers.map(|it| it as f64))),
            TypeKind::Decimal(precision, scale) => {
                let factor = 10i128.checked_pow(u32::from(*scale)).unwrap_or(i128::MAX);
                let unscaled = numbers.map(|it| i128::from(it).saturating_mul(factor));
                decimals(unscaled.collect(), *precision, *scale, nulls)?
            }
            _ => self.whole_numbers(numbers, nulls)?,
        })
    }

    fn integers(&self, min: i64, max: i64, rows: Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let span = max.abs_diff(min);
        let numbers = rows.map(|n| {
            let random = random::at(self.seed, n);
            // The whole range of BIGINT has one value more than a u64 can count.
            min.wrapping_add_unsigned(span.checked_add(1).map_or(random, |it| random::below(random, it)))
        });
        self.whole_numbers(numbers, nulls)
    }

    /// Numbers that the settings have kept within the type's range.
    fn whole_numbers(
        &self,
        numbers: impl Iterator<Item = i64>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        Ok(match &self.data_type.kind {
            TypeKind::TinyInt => Arc::new(Int8Array::new(numbers.map(|it| it as i8).collect(), nulls)),
            TypeKind::SmallInt => Arc::new(Int16Array::new(numbers.map(|it| it as i16).collect(), nulls)),
            TypeKind::Int => Arc::new(Int32Array::new(numbers.map(|it| it as i32).collect(), nulls)),
            TypeKind::BigInt => Arc::new(Int64Array::new(numbers.collect(), nulls)),
            TypeKind::Interval(IntervalUnit::Months) => {
                Arc::new(IntervalYearMonthArray::new(numbers.map(|it| it as i32).collect(), nulls))
            }
            TypeKind::Interval(IntervalUnit::Milliseconds) => {
                Arc::new(DurationMillisecondArray::new(numbers.collect(), nulls))
            }
            _ => return Err(self.odd()),
        })
    }

    fn reals(&self, min: f64, max: f64, rows: Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let numbers = rows.map(|n| {
            let share = random::unit(random::at(self.seed, n));
            // Not `min + (max - min) * share`: the difference may be infinite.
            min * (1.0 - share) + max * share
        });
        Ok(match &self.data_type.kind {
            TypeKind::Float => Arc::new(Float32Array::new(numbers.map(|it| it as f32).collect(), nulls)),
            TypeKind::Double => Arc::new(Float64Array::new(numbers.collect(), nulls)),
            TypeKind::Decimal(precision, scale) => {
                let factor = 10f64.powi(i32::from(*scale));
                let most = 10i128.checked_pow(u32::from(*precision)).map_or(i128::MAX, |it| it - 1);
                let unscaled = numbers.map(|it| ((it * factor) as i128).clamp(-most, most));
                decimals(unscaled.collect(), *precision, *scale, nulls)?
            }
            _ => return Err(self.odd()),
        })
    }

    fn texts(
        &self,
        length: usize,
        variable: bool,
        rows: Range<u64>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let is_text = self.data_type.is_character();
        let mut bytes = Vec::with_capacity(count(&rows).saturating_mul(length));
        let mut offsets = Vec::with_capacity(count(&rows) + 1);
        offsets.push(0);
        for n in rows {
            let mut stream = Stream::at(self.seed, n);
            let length =
                if variable && length > 0 { 1 + stream.below(length as u64) as usize } else { length };
            if is_text {
                stream.hexadecimal(&mut bytes, length);
            } else {
                stream.bytes(&mut bytes, length, |byte| byte);
            }
            offsets.push(i32::try_from(bytes.len()).map_err(|_| self.too_large())?);
        }
        let (offsets, bytes) = (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes));
        if is_text {
            return Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(broken)?));
        }
        Ok(Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(broken)?))
    }

    fn now(
        &self,
        max_past_millis: u64,
        now_micros: i64,
        rows: Range<u64>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let now_millis = now_micros.div_euclid(1000);
        let (days, millis) = (now_millis.div_euclid(86_400_000), now_millis.rem_euclid(86_400_000));
        let (precision, zone) = match &self.data_type.kind {
            TypeKind::Date => {
                let day = i32::try_from(days).unwrap_or(i32::MAX);
                return Ok(Arc::new(Date32Array::new(vec![day; count(&rows)].into(), nulls)));
            }
            TypeKind::Time(_) => {
                let time = i32::try_from(millis).unwrap_or(0);
                return Ok(Arc::new(Time32MillisecondArray::new(vec![time; count(&rows)].into(), nulls)));
            }
            TypeKind::Timestamp(precision) => (*precision, None),
            TypeKind::TimestampLtz(precision) => (*precision, Some("UTC")),
            _ => return Err(self.odd()),
        };
        let unit = TimestampUnit::of(precision);
        let per_milli = TimestampUnit::per_second(unit) / 1000;
        let values: ScalarBuffer<i64> = rows
            .map(|n| {
                let past = random::below(random::at(self.seed, n), max_past_millis.saturating_add(1));
                now_millis.saturating_sub_unsigned(past).saturating_mul(per_milli)
            })
            .collect();
        Ok(match unit {
            TimeUnit::Microsecond => {
                Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone))
            }
            TimeUnit::Nanosecond => {
                Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone))
            }
            _ => Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone)),
        })
    }

    fn collection(
        &self,
        parts: &[Column],
        length: usize,
        rows: Range<u64>,
        now_micros: i64,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let factor = length as u64;
        let inner = rows.start.saturating_mul(factor)..rows.end.saturating_mul(factor);
        let arrays: Result<Vec<ArrayRef>> =
            parts.iter().map(|part| part.generate(inner.clone(), now_micros)).collect();
        let arrays = arrays?;
        let lengths = std::iter::repeat_n(length, count(&rows));
        match (self.data_type.arrow_type(), arrays.as_slice()) {
            (ArrowType::List(field), [values]) => {
                let offsets = OffsetBuffer::from_lengths(lengths);
                Ok(Arc::new(ListArray::try_new(field, offsets, values.clone(), nulls).map_err(broken)?))
            }
            (ArrowType::Map(field, _), [keys, values]) => {
                let ArrowType::Struct(types) = field.data_type().clone() else { return Err(self.odd()) };
                let (kept, lengths) = distinct_keys(keys, length, count(&rows));
                let keys = take(keys, &kept, None).map_err(broken)?;
                let values = take(values, &kept, None).map_err(broken)?;
                let entries = StructArray::try_new(types, vec![keys, values], None).map_err(broken)?;
                let offsets = OffsetBuffer::from_lengths(lengths);
                let map = MapArray::try_new(field, offsets, entries, nulls, false).map_err(broken)?;
                Ok(Arc::new(map))
            }
            _ => Err(self.odd()),
        }
    }

    fn odd(&self) -> Box<Diagnostic> {
        Diagnostic::error(Code::Internal, format!("no such values for a column of type {}", self.data_type))
    }

    fn too_large(&self) -> Box<Diagnostic> {
        Diagnostic::error(Code::Internal, format!("values of type {} are too large", self.data_type))
    }
}

fn count(rows: &Range<u64>) -> usize {
    usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(usize::MAX)
}

fn decimals(unscaled: Vec<i128>, precision: u8, scale: u8, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let array = Decimal128Array::new(unscaled.into(), nulls);
    Ok(Arc::new(array.with_precision_and_scale(precision, scale as i8).map_err(broken)?))
}

/// A map holds a key once: the entries to keep, and how many each row keeps.
fn distinct_keys(keys: &ArrayRef, length: usize, rows: usize) -> (UInt64Array, Vec<usize>) {
    let compare = make_comparator(keys, keys, SortOptions::default()).ok();
    let mut kept = Vec::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(rows);
    for row in 0..rows {
        let before = kept.len();
        for i in row * length..(row + 1) * length {
            let is_new = !keys.is_null(i)
                && compare.as_ref().is_none_or(|it| !(row * length..i).any(|earlier| it(earlier, i).is_eq()));
            if is_new {
                kept.push(i as u64);
            }
        }
        lengths.push(kept.len() - before);
    }
    (UInt64Array::from(kept), lengths)
}
