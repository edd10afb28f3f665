//! `VAR_POP`, `VAR_SAMP`, `STDDEV_POP`, `STDDEV_SAMP`, computed in DOUBLE.
//!
//! ```text
//!   count, mean, m2 = Σ(x - mean)²       a value moves the mean and adds to m2   (Welford 1962)
//!   merged: m2 + m2' + δ² · n · n' / (n + n')                        (Chan, Golub, LeVeque 1979)
//! ```
//! Where rows are taken back, sums around a fixed centre (the first value seen) are kept instead:
//! they can be taken back in any order.
//!
//! Variances of whole numbers are whole numbers, for which [`crate::exact_moments`] sums exactly.
//!
//! A result that isn't DOUBLE is converted as Flink does it: DECIMAL rounded.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array},
    datatypes::{DataType as ArrowType, Float64Type, Int64Type},
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{Cells, Fold, field_of, struct_array, struct_of, wrong_argument},
    exact_moments::ExactMoments,
    selection::Selection,
};

/// Which of the functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which {
    /// The square root.
    pub(crate) deviation: bool,
    /// Of a sample: divided by one less.
    pub(crate) sample: bool,
}

/// The accumulator. Whole numbers come as BIGINT, others as DOUBLE.
pub(crate) fn accumulator(which: Which, result: &ArrowType, retracts: bool) -> Box<dyn Accumulator> {
    let result = result.clone();
    if result.is_integer() {
        return Cells::boxed(ExactMoments { which, result });
    }
    match retracts {
        true => Cells::boxed(Moments::<Centred> { which, result, of: std::marker::PhantomData }),
        false => Cells::boxed(Moments::<Welford> { which, result, of: std::marker::PhantomData }),
    }
}

/// How the spread of values is kept.
trait Spread: Copy + Default + Send + fmt::Debug + 'static {
    const NAMES: [&'static str; 3];
    fn plus(&mut self, value: f64);
    fn minus(&mut self, value: f64) -> Result<(), EvalError>;
    fn join(&mut self, other: Self);
    fn parts(self) -> (i64, [f64; 3]);
    fn of_parts(count: i64, parts: [f64; 3]) -> Self;
    /// Σ(x - mean)².
    fn squares(self) -> f64;
}

/// Mean and squares around it.
#[derive(Debug, Clone, Copy, Default)]
struct Welford {
    count: i64,
    mean: f64,
    squares: f64,
}

impl Spread for Welford {
    const NAMES: [&'static str; 3] = ["mean", "squares", ""];

    #[inline]
    fn plus(&mut self, value: f64) {
        self.count = self.count.wrapping_add(1);
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }
    fn minus(&mut self, _: f64) -> Result<(), EvalError> {
        Err(crate::single::cannot_retract())
    }
    fn join(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.mean += delta * theirs / (mine + theirs);
        self.squares += other.squares + delta * delta * mine * theirs / (mine + theirs);
        self.count = self.count.wrapping_add(other.count);
    }
    fn parts(self) -> (i64, [f64; 3]) {
        (self.count, [self.mean, self.squares, 0.0])
    }
    fn of_parts(count: i64, [mean, squares, _]: [f64; 3]) -> Self {
        Self { count, mean, squares }
    }
    fn squares(self) -> f64 {
        self.squares
    }
}

/// Sums around a centre.
#[derive(Debug, Clone, Copy, Default)]
struct Centred {
    count: i64,
    centre: f64,
    /// Σ(x - centre).
    sum: f64,
    /// Σ(x - centre)².
    squares: f64,
}

impl Centred {
    /// Whether nothing was ever added or everything was taken back.
    fn is_empty(self) -> bool {
        self.count == 0 && self.sum == 0.0 && self.squares == 0.0
    }
    fn step(&mut self, value: f64, sign: f64) {
        if self.is_empty() {
            self.centre = if value.is_finite() { value } else { 0.0 };
        }
        let delta = value - self.centre;
        self.sum += sign * delta;
        self.squares += sign * delta * delta;
        self.count = self.count.wrapping_add(sign as i64);
    }
}

impl Spread for Centred {
    const NAMES: [&'static str; 3] = ["centre", "sum", "squares"];

    #[inline]
    fn plus(&mut self, value: f64) {
        self.step(value, 1.0);
    }
    fn minus(&mut self, value: f64) -> Result<(), EvalError> {
        self.step(value, -1.0);
        Ok(())
    }
    fn join(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other;
            return;
        }
        let shift = other.centre - self.centre;
        let count = other.count as f64;
        self.squares += other.squares + 2.0 * shift * other.sum + count * shift * shift;
        self.sum += other.sum + count * shift;
        self.count = self.count.wrapping_add(other.count);
    }
    fn parts(self) -> (i64, [f64; 3]) {
        (self.count, [self.centre, self.sum, self.squares])
    }
    fn of_parts(count: i64, [centre, sum, squares]: [f64; 3]) -> Self {
        Self { count, centre, sum, squares }
    }
    fn squares(self) -> f64 {
        let squares = self.squares - self.sum * self.sum / self.count as f64;
        if squares < 0.0 { 0.0 } else { squares }
    }
}

#[derive(Debug)]
struct Moments<S> {
    which: Which,
    result: ArrowType,
    of: std::marker::PhantomData<fn() -> S>,
}

impl<S: Spread> Moments<S> {
    fn fields() -> Vec<(&'static str, ArrowType)> {
        let parts = S::NAMES.iter().filter(|name| !name.is_empty()).map(|name| (*name, ArrowType::Float64));
        std::iter::once(("count", ArrowType::Int64)).chain(parts).collect()
    }
    fn result(&self, spread: S) -> Option<f64> {
        let count = spread.parts().0;
        let divisor = if self.which.sample { count.checked_sub(1)? } else { count };
        if divisor <= 0 {
            return None;
        }
        let variance = spread.squares() / divisor as f64;
        Some(if self.which.deviation { variance.sqrt() } else { variance })
    }
    fn values(slots: &[u32], args: &[ArrayRef]) -> Result<Vec<f64>, EvalError> {
        let values = args.first().and_then(|it| it.as_primitive_opt::<Float64Type>());
        let values = values.ok_or_else(wrong_argument)?.values();
        Ok(values.get(..slots.len()).ok_or_else(wrong_argument)?.to_vec())
    }
}

impl<S: Spread> Fold for Moments<S> {
    type Cell = S;

    fn fresh(&self) -> S {
        S::default()
    }
    fn add(
        &self,
        cells: &mut [S],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = Self::values(slots, args)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                cell.plus(values[row]);
            }
        });
        Ok(())
    }
    fn take(
        &self,
        cells: &mut [S],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = Self::values(slots, args)?;
        rows.try_for_each(slots, |slot, row| match cells.get_mut(slot as usize) {
            Some(cell) => cell.minus(values[row]),
            None => Ok(()),
        })
    }
    fn join(&self, cell: &mut S, other: S) -> Result<(), EvalError> {
        cell.join(other);
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::Struct(struct_of(&Self::fields()))
    }
    fn save(&self, cells: impl ExactSizeIterator<Item = S> + Clone) -> Result<ArrayRef, EvalError> {
        let fields = Self::fields();
        let counts = Int64Array::from_iter_values(cells.clone().map(|cell| cell.parts().0));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(counts)];
        for at in 0..fields.len() - 1 {
            let parts = cells.clone().map(|cell| cell.parts().1.get(at).copied().unwrap_or(0.0));
            columns.push(Arc::new(Float64Array::from_iter_values(parts)));
        }
        struct_array(struct_of(&fields), columns)
    }
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = S> + use<'a, S>> {
        let counts = field_of(saved, 0)?.as_primitive_opt::<Int64Type>()?.values();
        let part = |at: usize| Some(field_of(saved, at)?.as_primitive_opt::<Float64Type>()?.values());
        let parts = [part(1)?, part(2)?];
        let third = part(3);
        let at = move |row: usize| {
            let third = third.and_then(|it| it.get(row)).copied().unwrap_or(0.0);
            S::of_parts(counts[row], [parts[0][row], parts[1][row], third])
        };
        Some((0..saved.len()).map(at))
    }
    fn results(&self, cells: impl ExactSizeIterator<Item = S> + Clone) -> Result<ArrayRef, EvalError> {
        let results = cells.map(|cell| self.result(cell));
        Ok(match &self.result {
            ArrowType::Float32 => {
                Arc::new(results.map(|it| it.map(|it| it as f32)).collect::<Float32Array>())
            }
            ArrowType::Float64 => Arc::new(results.collect::<Float64Array>()),
            ArrowType::Decimal128(_, scale) => {
                let scale = *scale;
                let decimals = results.map(|it| decimal(it?, scale)).collect::<Decimal128Array>();
                Arc::new(decimals.with_data_type(self.result.clone()))
            }
            _ => return Err(wrong_argument()),
        })
    }
}

/// Unscaled, from the fewest digits that mean the same number, rounded half away from zero; `None`
/// beyond 38 digits.
fn decimal(value: f64, scale: i8) -> Option<i128> {
    let spelled = format!("{value:e}");
    let (mantissa, exponent) = spelled.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()? + i32::from(scale);
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    let unscaled = match (shift < 0, power) {
        (false, power) => digits.checked_mul(power?)?,
        (true, None) => 0,
        (true, Some(power)) => (digits + digits.signum() * (power / 2)) / power,
    };
    (unscaled.unsigned_abs() < 10_u128.pow(38)).then_some(unscaled)
}
