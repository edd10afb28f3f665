//! Fixed-width columns as 64-bit words, and back.
//!
//! A key is compared and hashed by its word: integers sign-extended, so that 5 is the same word in
//! every integer width; of the floats one zero and one NaN. The word of a NULL is 0; whoever uses
//! words looks at the nulls too.

use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, TimeUnit, UInt8Type,
    UInt16Type, UInt32Type,
};
use flott_types::{Code, Diagnostic, Result};

use crate::arrow_failed;

/// How many bytes a value of this type needs as a word, if it fits one; a BOOLEAN needs one.
pub(crate) fn word_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(1),
        DataType::Interval(IntervalUnit::DayTime) => None,
        other => other.primitive_width().filter(|width| *width <= 8 && !matches!(other, DataType::Float16)),
    }
}

/// The words of a column whose type has a [`word_width`]; `None` for any other type.
pub(crate) fn words(column: &dyn Array) -> Option<ScalarBuffer<u64>> {
    word_width(column.data_type())?;
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => widen::<Int8Type>(column, |value| value as i64 as u64),
        DataType::Int16 => widen::<Int16Type>(column, |value| value as i64 as u64),
        DataType::Int32 => widen::<Int32Type>(column, |value| value as i64 as u64),
        DataType::Date32 => widen::<Date32Type>(column, |value| value as i64 as u64),
        DataType::Time32(TimeUnit::Second) => widen::<Time32SecondType>(column, |value| value as i64 as u64),
        DataType::Time32(_) => widen::<Time32MillisecondType>(column, |value| value as i64 as u64),
        DataType::Interval(_) => widen::<IntervalYearMonthType>(column, |value| value as i64 as u64),
        DataType::Decimal32(_, _) => widen::<Decimal32Type>(column, |value| value as i64 as u64),
        DataType::UInt8 => widen::<UInt8Type>(column, u64::from),
        DataType::UInt16 => widen::<UInt16Type>(column, u64::from),
        DataType::UInt32 => widen::<UInt32Type>(column, u64::from),
        DataType::Float32 => widen::<Float32Type>(column, |value| u64::from(plain_f32(value).to_bits())),
        DataType::Float64 => widen::<Float64Type>(column, |value| plain_f64(value).to_bits()),
        _ => eight_bytes(column),
    })
}

/// One zero, one NaN.
pub(crate) fn plain_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

/// One zero, one NaN.
pub(crate) fn plain_f32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

fn widen<T: ArrowPrimitiveType>(column: &dyn Array, word: impl Fn(T::Native) -> u64) -> ScalarBuffer<u64> {
    column.as_primitive::<T>().values().iter().map(|value| word(*value)).collect()
}

/// A column of eight-byte integers of any meaning, without a copy.
fn eight_bytes(column: &dyn Array) -> ScalarBuffer<u64> {
    let data = column.to_data();
    match data.buffers().first() {
        Some(buffer) => ScalarBuffer::new(buffer.clone(), data.offset(), data.len()),
        None => ScalarBuffer::from(Vec::new()),
    }
}

/// A column of this type from its words.
pub(crate) fn column_of_words(
    data_type: &DataType,
    words: Vec<u64>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let rows = words.len();
    let buffer = match word_width(data_type) {
        Some(_) if *data_type == DataType::Boolean => {
            let values =
                BooleanBuffer::collect_bool(rows, |row| words.get(row).is_some_and(|word| *word != 0));
            return Ok(std::sync::Arc::new(BooleanArray::new(values, nulls)));
        }
        Some(8) => Buffer::from_vec(words),
        Some(4) => Buffer::from_vec(words.into_iter().map(|word| word as u32).collect::<Vec<u32>>()),
        Some(2) => Buffer::from_vec(words.into_iter().map(|word| word as u16).collect::<Vec<u16>>()),
        Some(1) => Buffer::from_vec(words.into_iter().map(|word| word as u8).collect::<Vec<u8>>()),
        _ => return Err(Diagnostic::error(Code::Internal, format!("{data_type} is not a fixed-width type"))),
    };
    let data = ArrayData::builder(data_type.clone()).len(rows).add_buffer(buffer).nulls(nulls);
    Ok(make_array(data.build().map_err(arrow_failed)?))
}

/// The column with one zero and one NaN, if it is one of floats; otherwise as it is.
pub(crate) fn plain_floats(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => plain::<Float32Type>(column, plain_f32),
        DataType::Float64 => plain::<Float64Type>(column, plain_f64),
        _ => column.clone(),
    }
}

fn plain<T: ArrowPrimitiveType>(column: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let plain: PrimitiveArray<T> = column.as_primitive::<T>().unary(f);
    std::sync::Arc::new(plain)
}
