//! Columns as the plain values under their logical type: a DATE is an `i32`, a TIMESTAMP an `i64`.
//!
//! ```text
//!   Date32, Time32, Interval months ─► i32        Timestamp, Duration ─► i64        Decimal128 ─► i128
//! ```
//! A BOOLEAN has no such layout and is read as bytes of 0 and 1.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType as ArrowType},
};
use flott_expr::EvalError;

use crate::cells::wrong_argument;

/// A plain value.
pub(crate) trait Native: ArrowNativeType + Ordered + Send + Sync + fmt::Debug {}

impl<T: ArrowNativeType + Ordered + Send + Sync + fmt::Debug> Native for T {}

/// A total order: for fractions -0.0 below 0.0, NaN above everything and equal to itself.
pub(crate) trait Ordered {
    /// Whether it comes before the other.
    fn before(&self, other: &Self) -> bool;
}

/// The order that comparison signs give.
macro_rules! in_usual_order {
    ($($of:ty),*) => {$(
        impl Ordered for $of {
            #[inline]
            fn before(&self, other: &Self) -> bool {
                self < other
            }
        }
    )*};
}
in_usual_order!(u8, i8, i16, i32, i64, i128, [u8]);

impl Ordered for f32 {
    #[inline]
    fn before(&self, other: &Self) -> bool {
        !self.is_nan() && (other.is_nan() || self.total_cmp(other).is_lt())
    }
}

impl Ordered for f64 {
    #[inline]
    fn before(&self, other: &Self) -> bool {
        !self.is_nan() && (other.is_nan() || self.total_cmp(other).is_lt())
    }
}

/// The plain values of a column of fixed width.
pub(crate) fn values<N: Native>(array: &dyn Array) -> Option<ScalarBuffer<N>> {
    if let Some(array) = array.as_boolean_opt() {
        return (size_of::<N>() == 1)
            .then(|| array.values().iter().map(|it| N::usize_as(it.into())).collect());
    }
    if array.data_type().primitive_width()? != size_of::<N>() {
        return None;
    }
    let data = array.to_data();
    let buffer = data.buffers().first()?.clone();
    Some(ScalarBuffer::new(buffer, data.offset(), data.len()))
}

/// The plain values of an argument.
pub(crate) fn argument<N: Native>(args: &[ArrayRef], at: usize) -> Result<ScalarBuffer<N>, EvalError> {
    args.get(at).and_then(|array| values(array)).ok_or_else(wrong_argument)
}

/// A column of plain values with the logical type.
pub(crate) fn column<N: Native>(
    of: &ArrowType,
    values: Vec<N>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, EvalError> {
    if *of == ArrowType::Boolean {
        let values = values.iter().map(|it| *it != N::default()).collect();
        return Ok(Arc::new(BooleanArray::new(values, nulls)));
    }
    let length = values.len();
    let buffer = ScalarBuffer::from(values).into_inner();
    let data = ArrayData::builder(of.clone()).len(length).add_buffer(buffer).nulls(nulls).build()?;
    Ok(make_array(data))
}

/// Calls a generic function with the plain type of an Arrow type.
macro_rules! with_native {
    ($of:expr, $N:ident => $made:expr, else $other:expr) => {{
        use arrow::datatypes::DataType as Of;
        match $of {
            Of::Boolean => {
                type $N = u8;
                $made
            }
            Of::Int8 => {
                type $N = i8;
                $made
            }
            Of::Int16 => {
                type $N = i16;
                $made
            }
            Of::Int32
            | Of::Date32
            | Of::Time32(_)
            | Of::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
                type $N = i32;
                $made
            }
            Of::Int64 | Of::Timestamp(..) | Of::Duration(_) => {
                type $N = i64;
                $made
            }
            Of::Float32 => {
                type $N = f32;
                $made
            }
            Of::Float64 => {
                type $N = f64;
                $made
            }
            Of::Decimal128(..) => {
                type $N = i128;
                $made
            }
            _ => $other,
        }
    }};
}
pub(crate) use with_native;
