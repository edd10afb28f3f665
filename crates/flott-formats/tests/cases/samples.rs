//! Values of all types, made up from a seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "samples are made for tests")]

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type,
        Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType,
    },
    record_batch::RecordBatch,
};
use flott_formats::conformance::Random;
use flott_types::{DataType, Schema, TypeKind};

/// What the values may be.
#[derive(Clone, Copy)]
pub struct Kinds {
    /// Of three columns' values one may be NULL.
    pub nulls: bool,
    /// NULL within arrays, maps and rows.
    pub inner_nulls: bool,
    /// Text beyond letters: quotes, delimiters, line feeds, other scripts.
    pub wild_text: bool,
    /// NaN and infinity.
    pub not_finite: bool,
}

const TAME: &[&str] = &["a", "bc", "hello", "x-y", "Zz9"];
const WILD: &[&str] = &[
    "a",
    "",
    "two words",
    "quo\"te",
    "com,ma",
    "semi;colon",
    "li\nne",
    "back\\slash",
    "žluťoučký",
    "日本 🦀",
    "\t",
];

pub fn batch(schema: &Schema, rows: usize, seed: u64, kinds: Kinds) -> RecordBatch {
    let mut random = Random::new(seed);
    let columns = schema
        .fields
        .iter()
        .map(|field| array(&field.data_type, rows, kinds.nulls, kinds, &mut random))
        .collect();
    RecordBatch::try_new(schema.arrow_schema(), columns).unwrap()
}

fn array(data_type: &DataType, rows: usize, nulls: bool, kinds: Kinds, random: &mut Random) -> ArrayRef {
    let valid: Vec<bool> =
        (0..rows).map(|_| !(nulls && data_type.nullable && random.below(4) == 0)).collect();
    let validity = Some(NullBuffer::from(valid.clone()));
    let integer = |bits: u32, random: &mut Random| match random.below(4) {
        0 => random.below(3) as i64,
        1 => -(random.below(100) as i64),
        _ => (random.next_number() as i64) >> (64 - bits),
    };
    match (&data_type.kind, data_type.arrow_type()) {
        (TypeKind::Boolean, _) => {
            Arc::new((0..rows).map(|row| valid[row].then(|| random.below(2) == 0)).collect::<BooleanArray>())
        }
        (TypeKind::TinyInt, it) => numbers::<Int8Type>(it, &valid, || integer(8, random) as i8),
        (TypeKind::SmallInt, it) => numbers::<Int16Type>(it, &valid, || integer(16, random) as i16),
        (TypeKind::Int, it) => numbers::<Int32Type>(it, &valid, || integer(32, random) as i32),
        (TypeKind::BigInt, it) => numbers::<Int64Type>(it, &valid, || integer(64, random)),
        (TypeKind::Float, it) => numbers::<Float32Type>(it, &valid, || float(kinds, random) as f32),
        (TypeKind::Double, it) => numbers::<Float64Type>(it, &valid, || float(kinds, random)),
        (TypeKind::Decimal(precision, scale), it) => numbers::<Decimal128Type>(it, &valid, || {
            let most = 10i128.pow(u32::from(*precision).min(18));
            // Whole numbers only where there is no sign to lose (unsigned fields).
            let value = i128::from(random.next_number()) % most;
            if *scale == 0 { value } else { -value }
        }),
        (TypeKind::Date, it) => numbers::<Date32Type>(it, &valid, || random.below(40_000) as i32 - 5_000),
        (TypeKind::Time(precision), it) => numbers::<Time32MillisecondType>(it, &valid, || {
            let step = 10i32.pow(3 - u32::from(*precision).min(3));
            random.below(86_400_000) as i32 / step * step
        }),
        (TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p), ArrowType::Timestamp(unit, zone)) => {
            let digits = match unit {
                TimeUnit::Nanosecond => 9,
                TimeUnit::Microsecond => 6,
                _ => 3,
            };
            let step = 10i64.pow(digits - u32::from(*p).min(digits));
            let mut value = || {
                let seconds = random.below(2_000_000_000) as i64 - 100_000_000;
                let part = random.below(10usize.pow(digits)) as i64;
                (seconds * 10i64.pow(digits) + part).div_euclid(step) * step
            };
            let it = ArrowType::Timestamp(unit, zone);
            match unit {
                TimeUnit::Nanosecond => numbers::<TimestampNanosecondType>(it, &valid, &mut value),
                TimeUnit::Microsecond => numbers::<TimestampMicrosecondType>(it, &valid, &mut value),
                _ => numbers::<TimestampMillisecondType>(it, &valid, &mut value),
            }
        }
        (TypeKind::Char(_) | TypeKind::Varchar(_), _) => {
            Arc::new((0..rows).map(|row| valid[row].then(|| text(kinds, random))).collect::<StringArray>())
        }
        (TypeKind::Binary(_) | TypeKind::Varbinary(_), _) => {
            let bytes = (0..rows).map(|row| {
                let length = random.below(6);
                valid[row].then(|| (0..length).map(|_| random.next_number() as u8).collect::<Vec<u8>>())
            });
            Arc::new(bytes.collect::<BinaryArray>())
        }
        (TypeKind::Array(element), ArrowType::List(field)) => {
            let lengths: Vec<usize> =
                valid.iter().map(|it| if *it { 1 + random.below(3) } else { 0 }).collect();
            let items = array(element, lengths.iter().sum(), kinds.inner_nulls, kinds, random);
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, validity))
        }
        (TypeKind::Map(key, value), ArrowType::Map(entries, _)) => {
            let lengths: Vec<usize> =
                valid.iter().map(|it| usize::from(*it) * (1 + random.below(2))).collect();
            let total = lengths.iter().sum();
            let keys = keys(key, total);
            let values = array(value, total, kinds.inner_nulls, kinds, random);
            let ArrowType::Struct(fields) = entries.data_type().clone() else { unreachable!() };
            let rows = StructArray::new(fields, vec![keys, values], None);
            Arc::new(MapArray::new(entries, OffsetBuffer::from_lengths(lengths), rows, validity, false))
        }
        (TypeKind::Row(fields), ArrowType::Struct(arrow_fields)) => {
            // A NULL row's fields are NULL too: what lies under it can't be told.
            let columns: Vec<ArrayRef> = fields
                .iter()
                .map(|field| {
                    let column = array(&field.data_type, rows, kinds.inner_nulls, kinds, random);
                    let mask = BooleanArray::from(valid.iter().map(|it| !it).collect::<Vec<_>>());
                    arrow::compute::nullif(&column, &mask).unwrap_or(column)
                })
                .collect();
            Arc::new(StructArray::new(arrow_fields, columns, validity))
        }
        (kind, _) => unreachable!("no samples of {kind}"),
    }
}

/// Keys that are never equal.
fn keys(data_type: &DataType, count: usize) -> ArrayRef {
    match data_type.arrow_type() {
        ArrowType::Utf8 => Arc::new((0..count).map(|at| Some(format!("k{at}"))).collect::<StringArray>()),
        ArrowType::Int32 => Arc::new((0..count as i32).collect::<arrow::array::Int32Array>()),
        ArrowType::Int64 => Arc::new((0..count as i64).collect::<arrow::array::Int64Array>()),
        other => unreachable!("no keys of {other}"),
    }
}

fn numbers<T: ArrowPrimitiveType>(
    arrow_type: ArrowType,
    valid: &[bool],
    mut value: impl FnMut() -> T::Native,
) -> ArrayRef {
    let array: PrimitiveArray<T> = valid.iter().map(|valid| valid.then(&mut value)).collect();
    Arc::new(array.with_data_type(arrow_type))
}

fn float(kinds: Kinds, random: &mut Random) -> f64 {
    match random.below(5) {
        0 if kinds.not_finite => f64::NAN,
        1 if kinds.not_finite => f64::NEG_INFINITY,
        2 => 0.0,
        3 => random.below(1000) as f64 / 8.0,
        _ => -(random.below(1_000_000) as f64) * 0.5,
    }
}

fn text(kinds: Kinds, random: &mut Random) -> &'static str {
    let texts = if kinds.wild_text { WILD } else { TAME };
    texts[random.below(texts.len())]
}
