//! `SUM`, `SUM0` and `AVG`: a sum and how many values are in it.
//!
//! | of | summed in | beyond the range |
//! |---|---|---|
//! | TINYINT … BIGINT | 64 bits | wraps around, as in Flink |
//! | FLOAT, DOUBLE | FLOAT by `SUM(FLOAT)`, else DOUBLE | infinity |
//! | DECIMAL | 192 bits | a result of more than 38 digits is NULL |
//!
//! DECIMAL sums are exact however large they get in between, so the result doesn't depend on the
//! order in which values come or on what is taken back. With rows taken back, infinities and NaN
//! stay in a sum of floating-point numbers, as in Flink.

use std::{fmt, marker::PhantomData, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
        Int64Array,
    },
    datatypes::{DataType as ArrowType, Decimal128Type, Float32Type, Float64Type, Int64Type, i256},
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{Cells, Fold, field_of, struct_array, struct_of, wrong_argument},
    native::{self, Native},
    selection::Selection,
};

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// NULL if there is no value.
    Sum,
    /// 0 if there is no value.
    Sum0,
    /// NULL if there is no value.
    Avg,
}

/// The accumulator for an argument of this type; `None` if there is none.
pub(crate) fn accumulator(
    which: Which,
    argument: &ArrowType,
    result: &ArrowType,
) -> Option<Box<dyn Accumulator>> {
    let result = result.clone();
    Some(match argument {
        ArrowType::Int8 => Total::<i8, i64>::boxed(which, result, 0),
        ArrowType::Int16 => Total::<i16, i64>::boxed(which, result, 0),
        ArrowType::Int32 => Total::<i32, i64>::boxed(which, result, 0),
        ArrowType::Int64 => Total::<i64, i64>::boxed(which, result, 0),
        ArrowType::Float32 if which != Which::Avg => Total::<f32, f32>::boxed(which, result, 0),
        ArrowType::Float32 => Total::<f32, f64>::boxed(which, result, 0),
        ArrowType::Float64 => Total::<f64, f64>::boxed(which, result, 0),
        ArrowType::Decimal128(_, scale) => Total::<i128, Wide>::boxed(which, result, *scale),
        _ => return None,
    })
}

/// A sum of values of one type.
pub(crate) trait Running<N>: Copy + Default + Send + fmt::Debug + 'static {
    /// What changes no sum that it is added to: of fractions -0.0.
    const NOTHING: Self;
    fn plus(&mut self, value: N);
    fn minus(&mut self, value: N);
    fn join(&mut self, other: Self);
    fn saved_type() -> Vec<(&'static str, ArrowType)>;
    fn save(sums: impl Iterator<Item = Self> + Clone) -> Result<Vec<ArrayRef>, EvalError>;
    fn saved(columns: &[ArrayRef]) -> Option<Vec<Self>>;
    /// Sums as the result's type; `None` is NULL.
    fn sums(sums: impl Iterator<Item = Option<Self>>, of: &ArrowType) -> Result<ArrayRef, EvalError>;
    /// Sums divided by counts other than zero, as the result's type. `scale`: of a DECIMAL argument.
    fn means(
        sums: impl Iterator<Item = Option<(Self, i64)>>,
        of: &ArrowType,
        scale: i8,
    ) -> Result<ArrayRef, EvalError>;
}

#[derive(Debug, Clone, Copy)]
struct Cell<R> {
    sum: R,
    count: i64,
}

/// Sums of values `N` in `R`.
struct Total<N, R> {
    which: Which,
    result: ArrowType,
    scale: i8,
    of: PhantomData<fn(N) -> R>,
}

impl<N, R> fmt::Debug for Total<N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.which, self.result)
    }
}

impl<N: Native, R: Running<N>> Total<N, R> {
    fn boxed(which: Which, result: ArrowType, scale: i8) -> Box<dyn Accumulator> {
        Cells::boxed(Self { which, result, scale, of: PhantomData })
    }
    /// NULL for no values, except `SUM0`'s.
    fn kept(&self, cell: Cell<R>) -> Option<R> {
        match cell.count {
            0 => (self.which == Which::Sum0).then(R::default),
            _ => Some(cell.sum),
        }
    }
}

impl<N: Native, R: Running<N>> Fold for Total<N, R> {
    type Cell = Cell<R>;

    fn fresh(&self) -> Cell<R> {
        Cell { sum: R::NOTHING, count: 0 }
    }
    fn add(
        &self,
        cells: &mut [Cell<R>],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = native::argument::<N>(args, 0)?;
        let values: &[N] = values.get(..slots.len()).ok_or_else(wrong_argument)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                cell.sum.plus(values[row]);
                cell.count = cell.count.wrapping_add(1);
            }
        });
        Ok(())
    }
    fn take(
        &self,
        cells: &mut [Cell<R>],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = native::argument::<N>(args, 0)?;
        let values: &[N] = values.get(..slots.len()).ok_or_else(wrong_argument)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                cell.sum.minus(values[row]);
                cell.count = cell.count.wrapping_sub(1);
            }
        });
        Ok(())
    }
    fn join(&self, cell: &mut Cell<R>, other: Cell<R>) -> Result<(), EvalError> {
        cell.sum.join(other.sum);
        cell.count = cell.count.wrapping_add(other.count);
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        let mut fields = R::saved_type();
        fields.push(("count", ArrowType::Int64));
        ArrowType::Struct(struct_of(&fields))
    }
    fn save(&self, cells: impl ExactSizeIterator<Item = Cell<R>> + Clone) -> Result<ArrayRef, EvalError> {
        let mut fields = R::saved_type();
        fields.push(("count", ArrowType::Int64));
        let mut columns = R::save(cells.clone().map(|cell| cell.sum))?;
        columns.push(Arc::new(Int64Array::from_iter_values(cells.map(|cell| cell.count))));
        struct_array(struct_of(&fields), columns)
    }
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = Cell<R>> + use<'a, N, R>> {
        let width = R::saved_type().len();
        let sums = R::saved(saved.as_struct_opt()?.columns())?;
        let counts = field_of(saved, width)?.as_primitive_opt::<Int64Type>()?.values();
        Some(sums.into_iter().zip(counts.iter().copied()).map(|(sum, count)| Cell { sum, count }))
    }
    fn results(&self, cells: impl ExactSizeIterator<Item = Cell<R>> + Clone) -> Result<ArrayRef, EvalError> {
        match self.which {
            Which::Sum | Which::Sum0 => R::sums(cells.map(|cell| self.kept(cell)), &self.result),
            Which::Avg => {
                let some = |cell: Cell<R>| (cell.count != 0).then_some((cell.sum, cell.count));
                R::means(cells.map(some), &self.result, self.scale)
            }
        }
    }
}

/// Whole numbers cut to the result's width.
fn integers(values: impl Iterator<Item = Option<i64>>, of: &ArrowType) -> Result<ArrayRef, EvalError> {
    Ok(match of {
        ArrowType::Int8 => Arc::new(values.map(|it| it.map(|it| it as i8)).collect::<Int8Array>()),
        ArrowType::Int16 => Arc::new(values.map(|it| it.map(|it| it as i16)).collect::<Int16Array>()),
        ArrowType::Int32 => Arc::new(values.map(|it| it.map(|it| it as i32)).collect::<Int32Array>()),
        ArrowType::Int64 => Arc::new(values.collect::<Int64Array>()),
        _ => return Err(wrong_argument()),
    })
}

impl<N: Native + Into<i64>> Running<N> for i64 {
    const NOTHING: Self = 0;

    #[inline]
    fn plus(&mut self, value: N) {
        *self = self.wrapping_add(value.into());
    }
    #[inline]
    fn minus(&mut self, value: N) {
        *self = self.wrapping_sub(value.into());
    }
    fn join(&mut self, other: Self) {
        *self = self.wrapping_add(other);
    }
    fn saved_type() -> Vec<(&'static str, ArrowType)> {
        vec![("sum", ArrowType::Int64)]
    }
    fn save(sums: impl Iterator<Item = Self> + Clone) -> Result<Vec<ArrayRef>, EvalError> {
        Ok(vec![Arc::new(Int64Array::from_iter_values(sums))])
    }
    fn saved(columns: &[ArrayRef]) -> Option<Vec<Self>> {
        Some(columns.first()?.as_primitive_opt::<Int64Type>()?.values().to_vec())
    }
    fn sums(sums: impl Iterator<Item = Option<Self>>, of: &ArrowType) -> Result<ArrayRef, EvalError> {
        integers(sums, of)
    }
    fn means(
        sums: impl Iterator<Item = Option<(Self, i64)>>,
        of: &ArrowType,
        _: i8,
    ) -> Result<ArrayRef, EvalError> {
        integers(sums.map(|it| it.map(|(sum, count)| sum.wrapping_div(count))), of)
    }
}

impl Running<f32> for f32 {
    const NOTHING: Self = -0.0;

    #[inline]
    fn plus(&mut self, value: f32) {
        *self += value;
    }
    #[inline]
    fn minus(&mut self, value: f32) {
        *self -= value;
    }
    fn join(&mut self, other: Self) {
        *self += other;
    }
    fn saved_type() -> Vec<(&'static str, ArrowType)> {
        vec![("sum", ArrowType::Float32)]
    }
    fn save(sums: impl Iterator<Item = Self> + Clone) -> Result<Vec<ArrayRef>, EvalError> {
        Ok(vec![Arc::new(Float32Array::from_iter_values(sums))])
    }
    fn saved(columns: &[ArrayRef]) -> Option<Vec<Self>> {
        Some(columns.first()?.as_primitive_opt::<Float32Type>()?.values().to_vec())
    }
    fn sums(sums: impl Iterator<Item = Option<Self>>, _: &ArrowType) -> Result<ArrayRef, EvalError> {
        Ok(Arc::new(sums.collect::<Float32Array>()))
    }
    fn means(
        _: impl Iterator<Item = Option<(Self, i64)>>,
        _: &ArrowType,
        _: i8,
    ) -> Result<ArrayRef, EvalError> {
        Err(wrong_argument())
    }
}

impl<N: Native + Into<f64>> Running<N> for f64 {
    const NOTHING: Self = -0.0;

    #[inline]
    fn plus(&mut self, value: N) {
        *self += value.into();
    }
    #[inline]
    fn minus(&mut self, value: N) {
        *self -= value.into();
    }
    fn join(&mut self, other: Self) {
        *self += other;
    }
    fn saved_type() -> Vec<(&'static str, ArrowType)> {
        vec![("sum", ArrowType::Float64)]
    }
    fn save(sums: impl Iterator<Item = Self> + Clone) -> Result<Vec<ArrayRef>, EvalError> {
        Ok(vec![Arc::new(Float64Array::from_iter_values(sums))])
    }
    fn saved(columns: &[ArrayRef]) -> Option<Vec<Self>> {
        Some(columns.first()?.as_primitive_opt::<Float64Type>()?.values().to_vec())
    }
    fn sums(sums: impl Iterator<Item = Option<Self>>, _: &ArrowType) -> Result<ArrayRef, EvalError> {
        Ok(Arc::new(sums.collect::<Float64Array>()))
    }
    fn means(
        sums: impl Iterator<Item = Option<(Self, i64)>>,
        of: &ArrowType,
        _: i8,
    ) -> Result<ArrayRef, EvalError> {
        let means = sums.map(|it| it.map(|(sum, count)| sum / count as f64));
        Ok(match of {
            ArrowType::Float32 => Arc::new(means.map(|it| it.map(|it| it as f32)).collect::<Float32Array>()),
            _ => Arc::new(means.collect::<Float64Array>()),
        })
    }
}

/// A sum in 192 bits, two's complement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wide {
    low: u128,
    high: i64,
}

/// One more than the greatest number of 38 digits.
const DIGITS_38: i128 = 10_i128.pow(38);

impl Wide {
    pub(crate) fn value(self) -> i256 {
        i256::from_parts(self.low, i128::from(self.high))
    }
    /// As an unscaled DECIMAL of at most 38 digits.
    fn decimal(value: i256) -> Option<i128> {
        value.to_i128().filter(|it| -DIGITS_38 < *it && *it < DIGITS_38)
    }
    /// The quotient with more digits behind the point, rounded half away from zero.
    fn mean(self, count: i64, more_digits: u32) -> Option<i128> {
        let numerator = self.value().checked_mul(i256::from_i128(10_i128.checked_pow(more_digits)?))?;
        let count = i256::from_i128(i128::from(count));
        let quotient = numerator.checked_div(count)?;
        let rest = numerator.checked_sub(quotient.checked_mul(count)?)?;
        let doubled = rest.checked_mul(i256::from_i128(2))?;
        let away = doubled.checked_abs()? >= count.checked_abs()?;
        let negative = (numerator < i256::ZERO) != (count < i256::ZERO);
        let step = if negative { i256::MINUS_ONE } else { i256::ONE };
        Self::decimal(if away { quotient.checked_add(step)? } else { quotient })
    }
}

fn decimals(values: impl Iterator<Item = Option<i128>>, of: &ArrowType) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(values.collect::<Decimal128Array>().with_data_type(of.clone())))
}

impl Running<i128> for Wide {
    const NOTHING: Self = Wide { low: 0, high: 0 };

    #[inline]
    fn plus(&mut self, value: i128) {
        let (low, carry) = self.low.overflowing_add(value as u128);
        self.low = low;
        self.high = self.high.wrapping_add(i64::from(carry)).wrapping_add((value >> 127) as i64);
    }
    #[inline]
    fn minus(&mut self, value: i128) {
        let (low, borrow) = self.low.overflowing_sub(value as u128);
        self.low = low;
        self.high = self.high.wrapping_sub(i64::from(borrow)).wrapping_sub((value >> 127) as i64);
    }
    fn join(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(i64::from(carry)).wrapping_add(other.high);
    }
    fn saved_type() -> Vec<(&'static str, ArrowType)> {
        vec![("low", ArrowType::Decimal128(38, 0)), ("high", ArrowType::Int64)]
    }
    fn save(sums: impl Iterator<Item = Self> + Clone) -> Result<Vec<ArrayRef>, EvalError> {
        let low = Decimal128Array::from_iter_values(sums.clone().map(|sum| sum.low as i128));
        let high = Int64Array::from_iter_values(sums.map(|sum| sum.high));
        Ok(vec![Arc::new(low.with_data_type(ArrowType::Decimal128(38, 0))), Arc::new(high)])
    }
    fn saved(columns: &[ArrayRef]) -> Option<Vec<Self>> {
        let [low, high, ..] = columns else { return None };
        let low = low.as_primitive_opt::<Decimal128Type>()?.values();
        let high = high.as_primitive_opt::<Int64Type>()?.values();
        Some(low.iter().zip(high).map(|(low, high)| Wide { low: *low as u128, high: *high }).collect())
    }
    fn sums(sums: impl Iterator<Item = Option<Self>>, of: &ArrowType) -> Result<ArrayRef, EvalError> {
        decimals(sums.map(|it| Wide::decimal(it?.value())), of)
    }
    fn means(
        sums: impl Iterator<Item = Option<(Self, i64)>>,
        of: &ArrowType,
        scale: i8,
    ) -> Result<ArrayRef, EvalError> {
        let ArrowType::Decimal128(_, wanted) = of else { return Err(wrong_argument()) };
        let more = u32::try_from(wanted.saturating_sub(scale)).unwrap_or(0);
        let mean = |it: Option<(Self, i64)>| it.and_then(|(sum, count)| sum.mean(count, more));
        decimals(sums.map(mean), of)
    }
}
