//! The operators `+ - * / %`, for numbers, intervals and points in time.
//!
//! | operands | computed in | overflow |
//! |---|---|---|
//! | integers | the wider of both types | wraps, as in Java |
//! | one FLOAT or DOUBLE | that type (DOUBLE beside a DECIMAL) | infinity |
//! | one DECIMAL | DECIMAL, see `coerce::decimal_result` | NULL |
//! | point in time ± interval | the point's type | error |
//!
//! A constant operand never becomes an array: the loops take it as a number. DECIMAL arguments
//! stay as they are (integers beside them too), and are brought to one scale inside the loop.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray,
    },
    compute::{binary, try_binary},
    datatypes::{
        DataType as ArrowType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type,
        Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, i256,
    },
};
use flott_types::{DataType, IntervalUnit, TimestampUnit, TypeKind};

use super::{Call, Function, FunctionKind, Signature, kernel, signature};
use crate::{
    CastMode, EvalError, Expr, Value, cast,
    coerce::{self, DecimalOperation},
    text::{self, DAY_MILLIS, POWERS_OF_TEN},
};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    operator(
        "+",
        &["number + number", "datetime + interval", "interval + datetime", "interval + interval", "+ number"],
        |args| sum_type(args, DecimalOperation::Add),
        |call| evaluate(call, Operator::Plus),
        "Sum. Integers wrap around on overflow.",
        &[("1 + 2", "3"), ("DATE '2024-01-31' + INTERVAL '1' MONTH", "2024-02-29")],
    ),
    operator(
        "-",
        &["number - number", "datetime - interval", "interval - interval", "- number", "- interval"],
        |args| sum_type(args, DecimalOperation::Add),
        |call| evaluate(call, Operator::Minus),
        "Difference, or with one operand its negative.",
        &[("3 - 5", "-2"), ("- 7", "-7")],
    ),
    operator(
        "*",
        &["number * number", "interval * integer", "integer * interval"],
        product_type,
        |call| evaluate(call, Operator::Times),
        "Product.",
        &[("3 * 4", "12"), ("1.5 * 3.00", "4.500")],
    ),
    operator(
        "/",
        &["number / number"],
        |args| number_type(args, DecimalOperation::Divide),
        |call| evaluate(call, Operator::Over),
        "Quotient. Between integers the fraction is cut off; dividing an integer or DECIMAL by zero is an error.",
        &[("7 / 2", "3"), ("7.5 / 2.00", "3.750000")],
    ),
    Function {
        aliases: &["MOD"],
        ..operator(
            "%",
            &["number % number", "MOD(number, number)"],
            modulo_type,
            |call| evaluate(call, Operator::Modulo),
            "Remainder of the division, with the sign of the first number.",
            &[("-7 % 3", "-1"), ("MOD(7, 3)", "1")],
        )
    },
];

const fn operator(
    name: &'static str,
    signatures: &'static [&'static str],
    resolve: fn(&[Expr]) -> Option<Signature>,
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function {
        name,
        aliases: &[],
        kind: FunctionKind::Arithmetic,
        signatures,
        resolve,
        evaluate,
        deterministic: true,
        doc,
        examples,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
}

// ---- types ----------------------------------------------------------------------------------

fn number_type(args: &[Expr], operation: DecimalOperation) -> Option<Signature> {
    let [a, b] = args else { return None };
    let (a, b) = match (a.data_type.is_null(), b.data_type.is_null()) {
        (true, true) => (DataType::int(), DataType::int()),
        (true, false) => (b.data_type.clone(), b.data_type.clone()),
        (false, true) => (a.data_type.clone(), a.data_type.clone()),
        _ => (a.data_type.clone(), b.data_type.clone()),
    };
    if !a.is_numeric() || !b.is_numeric() {
        return None;
    }
    if !a.is_decimal() && !b.is_decimal() || a.is_approximate() || b.is_approximate() {
        let common = coerce::common_type(&[a, b])?;
        return Some(signature::signature(args, vec![common.clone(), common.clone()], common));
    }
    let digits = (coerce::exact_digits(&a.kind)?, coerce::exact_digits(&b.kind)?);
    let (precision, scale) = coerce::decimal_result(operation, digits.0, digits.1);
    let result = DataType::new(TypeKind::Decimal(precision, scale));
    Some(signature::signature(args, vec![a, b], result))
}

fn sum_type(args: &[Expr], operation: DecimalOperation) -> Option<Signature> {
    match args {
        [a] if a.data_type.is_numeric() || a.data_type.is_interval() => {
            Some(signature::as_given(args, a.data_type.clone()))
        }
        [a, b] => {
            let (x, y) = (&a.data_type, &b.data_type);
            if x.is_datetime() && y.is_interval() || x.is_interval() && x.same_kind(y) {
                return Some(signature::as_given(args, x.clone()));
            }
            if x.is_interval() && y.is_datetime() {
                return Some(signature::as_given(args, y.clone()));
            }
            number_type(args, operation)
        }
        _ => None,
    }
}

fn product_type(args: &[Expr]) -> Option<Signature> {
    let [a, b] = args else { return None };
    let (x, y) = (&a.data_type, &b.data_type);
    if x.is_interval() && y.is_integer() {
        return Some(signature::signature(args, vec![x.clone(), DataType::bigint()], x.clone()));
    }
    if x.is_integer() && y.is_interval() {
        return Some(signature::signature(args, vec![DataType::bigint(), y.clone()], y.clone()));
    }
    number_type(args, DecimalOperation::Multiply)
}

/// Between integers the result has the type of the divisor.
fn modulo_type(args: &[Expr]) -> Option<Signature> {
    let [_, b] = args else { return None };
    // Flink takes the remainder of exact numbers only.
    if args.iter().any(|it| it.data_type.is_approximate()) {
        return None;
    }
    let mut signature = number_type(args, DecimalOperation::Modulo)?;
    if signature.result.is_integer() && b.data_type.is_integer() {
        signature.result.kind = b.data_type.kind.clone();
    }
    Some(signature)
}

// ---- evaluation -----------------------------------------------------------------------------

fn evaluate(call: &Call<'_>, operator: Operator) -> Result<ArrayRef, EvalError> {
    if let [only] = call.args {
        return if operator == Operator::Minus { negative(call, only) } else { Ok(Arc::clone(only)) };
    }
    if call.exprs.iter().any(|arg| arg.data_type.is_interval()) {
        return time_arithmetic(call, operator);
    }
    if call.data_type.is_decimal() {
        return decimal_arithmetic(call, operator);
    }
    // The operands' type: wider than the result's in `BIGINT % INT`.
    match call.args.first().map(|it| it.data_type()) {
        Some(ArrowType::Int8) => integers::<Int8Type>(call, operator),
        Some(ArrowType::Int16) => integers::<Int16Type>(call, operator),
        Some(ArrowType::Int32) => integers::<Int32Type>(call, operator),
        Some(ArrowType::Int64) => integers::<Int64Type>(call, operator),
        Some(ArrowType::Float32) => numbers::<Float32Type>(call, operator),
        Some(ArrowType::Float64) => numbers::<Float64Type>(call, operator),
        _ => Err(EvalError::internal("arithmetic on something that isn't a number")),
    }
}

fn negative(call: &Call<'_>, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
    let negated = arrow::compute::kernels::numeric::neg_wrapping(array.as_ref());
    match &call.data_type.kind {
        TypeKind::Interval(IntervalUnit::Months) => Ok(Arc::new(
            array
                .as_primitive::<IntervalYearMonthType>()
                .unary::<_, IntervalYearMonthType>(i32::wrapping_neg),
        )),
        TypeKind::Interval(IntervalUnit::Milliseconds) => Ok(Arc::new(
            array
                .as_primitive::<DurationMillisecondType>()
                .unary::<_, DurationMillisecondType>(i64::wrapping_neg),
        )),
        TypeKind::Decimal(p, s) => {
            let values =
                array.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(i128::wrapping_neg);
            Ok(Arc::new(values.with_precision_and_scale(*p, *s as i8)?))
        }
        _ => Ok(negated?),
    }
}

/// Both operands as arrays, or one of them as a constant.
fn each<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    compute: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<PrimitiveArray<T>, EvalError> {
    let (left, right) = (call.primitive::<T>(0)?, call.primitive::<T>(1)?);
    if call.rows == 0 {
        return Ok(left.clone());
    }
    if call.literal(1).is_some_and(|it| !it.is_null()) {
        let constant = right.value(0);
        return Ok(left.unary(|it| compute(it, constant)));
    }
    if call.literal(0).is_some_and(|it| !it.is_null()) {
        let constant = left.value(0);
        return Ok(right.unary(|it| compute(constant, it)));
    }
    Ok(binary(left, right, compute)?)
}

fn numbers<T: ArrowPrimitiveType>(call: &Call<'_>, operator: Operator) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(match operator {
        Operator::Plus => each::<T>(call, T::Native::add_wrapping)?,
        Operator::Minus => each::<T>(call, T::Native::sub_wrapping)?,
        Operator::Times => each::<T>(call, T::Native::mul_wrapping)?,
        Operator::Over => each::<T>(call, T::Native::div_wrapping)?,
        Operator::Modulo => each::<T>(call, T::Native::mod_wrapping)?,
    }))
}

fn integers<T: ArrowPrimitiveType>(call: &Call<'_>, operator: Operator) -> Result<ArrayRef, EvalError> {
    if !matches!(operator, Operator::Over | Operator::Modulo) {
        return numbers::<T>(call, operator);
    }
    let quotient = operator == Operator::Over;
    let constant_divisor = matches!(call.literal(1), Some(Value::Int(divisor)) if *divisor != 0);
    if constant_divisor
        && !quotient
        && call.rows > 0
        && call.data_type.kind == TypeKind::Int
        && let (Some(values), Some(Value::Int(divisor))) =
            (call.args[0].as_primitive_opt::<Int64Type>(), call.literal(1))
    {
        // `MOD(bigint, 123)`: straight to the type of the divisor.
        if let Some(mask) = divisor.checked_sub(1).filter(|_| divisor.count_ones() == 1 && *divisor > 0) {
            // A power of two needs no division: for what is below zero, the mask is added before rounding.
            let rest = |it: i64| it.wrapping_sub(it.wrapping_add((it >> 63) & mask) & !mask) as i32;
            return Ok(Arc::new(values.unary::<_, Int32Type>(rest)));
        }
        return Ok(Arc::new(values.unary::<_, Int32Type>(|it| it.wrapping_rem(*divisor) as i32)));
    }
    let results = if constant_divisor {
        if quotient {
            each::<T>(call, T::Native::div_wrapping)?
        } else {
            each::<T>(call, T::Native::mod_wrapping)?
        }
    } else {
        let divide = |a: T::Native, b: T::Native| {
            if b.is_zero() {
                return Err(arrow::error::ArrowError::DivideByZero);
            }
            Ok(if quotient { a.div_wrapping(b) } else { a.mod_wrapping(b) })
        };
        try_binary(call.primitive::<T>(0)?, call.primitive::<T>(1)?, divide).map_err(|_| divided_by_zero())?
    };
    let from = call.exprs.first().map_or(call.data_type, |it| &it.data_type);
    cast::cast_array(&(Arc::new(results) as ArrayRef), from, call.data_type, CastMode::Strict, call.context)
}

fn divided_by_zero() -> EvalError {
    EvalError::new("division by zero")
}

// ---- DECIMAL --------------------------------------------------------------------------------

/// An operand of DECIMAL arithmetic: unscaled values.
enum Operand<'a> {
    Constant(i128),
    Integers(PrimitiveArray<Int64Type>),
    Decimals(&'a Decimal128Array),
}

impl<'a> Operand<'a> {
    fn of(call: &Call<'a>, index: usize) -> Result<Self, EvalError> {
        match call.literal(index) {
            Some(Value::Decimal(it)) => return Ok(Operand::Constant(*it)),
            Some(Value::Int(it)) => return Ok(Operand::Constant((*it).into())),
            _ => {}
        }
        let array = call.args.get(index).ok_or_else(|| EvalError::internal("an argument is missing"))?;
        Ok(match array.data_type() {
            ArrowType::Int8 => Operand::Integers(array.as_primitive::<Int8Type>().unary(i64::from)),
            ArrowType::Int16 => Operand::Integers(array.as_primitive::<Int16Type>().unary(i64::from)),
            ArrowType::Int32 => Operand::Integers(array.as_primitive::<Int32Type>().unary(i64::from)),
            ArrowType::Int64 => Operand::Integers(array.as_primitive::<Int64Type>().clone()),
            _ => Operand::Decimals(call.decimals(index)?),
        })
    }

    fn array(&self, rows: usize) -> Decimal128Array {
        match self {
            Operand::Constant(it) => Decimal128Array::from_value(*it, rows),
            Operand::Integers(array) => array.unary(i128::from),
            Operand::Decimals(array) => (*array).clone(),
        }
    }
}

/// A combination of two unscaled values that can't overflow.
fn combine(
    a: &Operand<'_>,
    b: &Operand<'_>,
    rows: usize,
    compute: impl Fn(i128, i128) -> i128,
) -> Result<Decimal128Array, EvalError> {
    Ok(match (a, b) {
        (Operand::Constant(a), Operand::Integers(b)) => b.unary(|b| compute(*a, b.into())),
        (Operand::Integers(a), Operand::Constant(b)) => a.unary(|a| compute(a.into(), *b)),
        (Operand::Constant(a), Operand::Decimals(b)) => b.unary(|b| compute(*a, b)),
        (Operand::Decimals(a), Operand::Constant(b)) => a.unary(|a| compute(a, *b)),
        (Operand::Decimals(a), Operand::Decimals(b)) => binary(a, b, compute)?,
        _ => binary(&a.array(rows), &b.array(rows), compute)?,
    })
}

/// A 64-bit constant times 64-bit integers: one multiplication each.
fn scaled(integers: &PrimitiveArray<Int64Type>, factor: i64) -> Decimal128Array {
    integers.unary(|it| i128::from(it) * i128::from(factor))
}

fn decimal_arithmetic(call: &Call<'_>, operator: Operator) -> Result<ArrayRef, EvalError> {
    let TypeKind::Decimal(precision, scale) = call.data_type.kind else {
        return Err(EvalError::internal("the result isn't DECIMAL"));
    };
    let digits = |index: usize| {
        call.exprs.get(index).and_then(|it| coerce::exact_digits(&it.data_type.kind)).unwrap_or((38, 0))
    };
    let ((p1, s1), (p2, s2)) = (digits(0), digits(1));
    let (a, b) = (Operand::of(call, 0)?, Operand::of(call, 1)?);
    let common = s1.max(s2);
    // Did the type rule have to give up digits? If not, no result can overflow.
    let roomy = match operator {
        Operator::Times => p1 + p2 < 38 && scale == s1 + s2,
        Operator::Plus | Operator::Minus => (p1 - s1).max(p2 - s2) + common < 38 && scale == common,
        _ => false,
    };
    let (x, y) = (POWERS_OF_TEN[usize::from(common - s1)], POWERS_OF_TEN[usize::from(common - s2)]);
    let results = match (operator, &a, &b) {
        (Operator::Times, Operand::Constant(c), Operand::Integers(v))
        | (Operator::Times, Operand::Integers(v), Operand::Constant(c))
            if roomy && i64::try_from(*c).is_ok() =>
        {
            scaled(v, *c as i64)
        }
        (Operator::Times, ..) if roomy => combine(&a, &b, call.rows, i128::wrapping_mul)?,
        (Operator::Plus, ..) if roomy => {
            combine(&a, &b, call.rows, |a, b| a.wrapping_mul(x).wrapping_add(b.wrapping_mul(y)))?
        }
        (Operator::Minus, ..) if roomy => {
            combine(&a, &b, call.rows, |a, b| a.wrapping_mul(x).wrapping_sub(b.wrapping_mul(y)))?
        }
        _ => {
            let limit = POWERS_OF_TEN[usize::from(precision.min(38))];
            let (a, b) = (a.array(call.rows), b.array(call.rows));
            let exact = Exact { s1, s2, scale };
            kernel::build_primitive::<Decimal128Type>(call.rows, call.nulls().as_ref(), |row| {
                let result = exact.compute(operator, a.value(row), b.value(row))?;
                Ok(result.filter(|it| it.unsigned_abs() < limit.unsigned_abs()))
            })?
        }
    };
    Ok(Arc::new(results.with_precision_and_scale(precision, scale as i8)?))
}

/// DECIMAL arithmetic in 256 bits, rounded half up to the result's scale.
struct Exact {
    s1: u8,
    s2: u8,
    scale: u8,
}

impl Exact {
    /// `None` if the result doesn't fit 128 bits.
    fn compute(&self, operator: Operator, a: i128, b: i128) -> Result<Option<i128>, EvalError> {
        let (wide_a, wide_b) = (i256::from_i128(a), i256::from_i128(b));
        let common = self.s1.max(self.s2);
        let aligned =
            || (wide_a.wrapping_mul(power(common - self.s1)), wide_b.wrapping_mul(power(common - self.s2)));
        let result = match operator {
            Operator::Times => round(wide_a.wrapping_mul(wide_b), self.s1 + self.s2, self.scale),
            Operator::Plus => {
                let (a, b) = aligned();
                round(a.wrapping_add(b), common, self.scale)
            }
            Operator::Minus => {
                let (a, b) = aligned();
                round(a.wrapping_sub(b), common, self.scale)
            }
            Operator::Over if b == 0 => return Err(divided_by_zero()),
            Operator::Over => {
                let shift = i32::from(self.scale) - i32::from(self.s1) + i32::from(self.s2);
                let factor = power(shift.unsigned_abs().min(76) as u8);
                let (numerator, divisor) = if shift >= 0 {
                    (wide_a.checked_mul(factor), Some(wide_b))
                } else {
                    (Some(wide_a), wide_b.checked_mul(factor))
                };
                let (Some(numerator), Some(divisor)) = (numerator, divisor) else { return Ok(None) };
                divide_half_up(numerator, divisor)
            }
            Operator::Modulo if b == 0 => return Err(divided_by_zero()),
            Operator::Modulo => {
                let (a, b) = aligned();
                round(a.wrapping_rem(b), common, self.scale)
            }
        };
        Ok(result.to_i128())
    }
}

/// A power of ten, up to 10⁷⁶.
fn power(exponent: u8) -> i256 {
    let part = |exponent: u8| i256::from_i128(POWERS_OF_TEN[usize::from(exponent.min(38))]);
    part(exponent.min(38)).wrapping_mul(part(exponent.saturating_sub(38)))
}

fn round(value: i256, from: u8, to: u8) -> i256 {
    if to >= from { value.wrapping_mul(power(to - from)) } else { divide_half_up(value, power(from - to)) }
}

/// Quotient rounded to the nearest, halves away from zero. The divisor isn't zero.
fn divide_half_up(a: i256, b: i256) -> i256 {
    let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
    let magnitude = |it: i256| if it.is_negative() { it.wrapping_neg() } else { it };
    // rest ≥ b − rest is 2 · rest ≥ b without overflow.
    if magnitude(rest) < magnitude(b).wrapping_sub(magnitude(rest)) {
        return quotient;
    }
    let one = if a.is_negative() == b.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    quotient.wrapping_add(one)
}

// ---- time -----------------------------------------------------------------------------------

fn time_arithmetic(call: &Call<'_>, operator: Operator) -> Result<ArrayRef, EvalError> {
    let [x, y] = call.exprs else { return Err(EvalError::internal("an argument is missing")) };
    let [a, b] = call.args else { return Err(EvalError::internal("an argument is missing")) };
    if operator == Operator::Times {
        let (interval, factor) =
            if x.data_type.is_interval() { (a, call.bigints(1)?) } else { (b, call.bigints(0)?) };
        let results = binary::<_, _, _, Int64Type>(&interval_values(interval)?, factor, i64::wrapping_mul)?;
        return interval_of(&results, call.data_type);
    }
    // interval + datetime is datetime + interval.
    let (point, interval, unit) =
        if y.data_type.is_interval() { (a, b, &y.data_type) } else { (b, a, &x.data_type) };
    let steps = interval_values(interval)?;
    let steps = if operator == Operator::Minus { steps.unary(i64::wrapping_neg) } else { steps };
    if call.data_type.is_interval() {
        return interval_of(&binary(&interval_values(point)?, &steps, i64::wrapping_add)?, call.data_type);
    }
    let months = unit.kind == TypeKind::Interval(IntervalUnit::Months);
    move_point(call, point, &steps, months)
}

fn interval_values(array: &ArrayRef) -> Result<PrimitiveArray<Int64Type>, EvalError> {
    match array.data_type() {
        ArrowType::Interval(_) => Ok(array.as_primitive::<IntervalYearMonthType>().unary(i64::from)),
        ArrowType::Duration(_) => Ok(array.as_primitive::<DurationMillisecondType>().reinterpret_cast()),
        _ => Err(EvalError::internal("an interval has another layout")),
    }
}

fn interval_of(values: &PrimitiveArray<Int64Type>, data_type: &DataType) -> Result<ArrayRef, EvalError> {
    Ok(if data_type.kind == TypeKind::Interval(IntervalUnit::Months) {
        Arc::new(values.unary::<_, IntervalYearMonthType>(|it| it as i32))
    } else {
        Arc::new(values.reinterpret_cast::<DurationMillisecondType>())
    })
}

/// A point in time moved by months or milliseconds.
fn move_point(
    call: &Call<'_>,
    point: &ArrayRef,
    steps: &PrimitiveArray<Int64Type>,
    months: bool,
) -> Result<ArrayRef, EvalError> {
    let out_of_range =
        || EvalError::new(format!("the result of + or - is out of the range of {}", call.data_type.kind));
    let checked = |_| out_of_range();
    let missing = || arrow::error::ArrowError::ComputeError(String::new());
    match &call.data_type.kind {
        TypeKind::Date => {
            let moved = |days: i32, step: i64| -> Result<i32, arrow::error::ArrowError> {
                let days = i64::from(days);
                let moved = if months {
                    text::add_months(days, step)
                } else {
                    days.saturating_add(step / DAY_MILLIS)
                };
                i32::try_from(moved).map_err(|_| missing())
            };
            let days = point.as_primitive::<Date32Type>();
            Ok(Arc::new(try_binary::<_, _, _, Date32Type>(days, steps, moved).map_err(checked)?))
        }
        TypeKind::Time(_) => {
            let times = point.as_primitive::<Time32MillisecondType>();
            let moved = |time: i32, step: i64| {
                let step = if months { 0 } else { step % DAY_MILLIS };
                (i64::from(time) + step).rem_euclid(DAY_MILLIS) as i32
            };
            Ok(Arc::new(binary::<_, _, _, Time32MillisecondType>(times, steps, moved)?))
        }
        TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => {
            let per_second = TimestampUnit::per_second(TimestampUnit::of(*p));
            let per_day = 86_400 * per_second;
            let moved = |at: i64, step: i64| -> Result<i64, arrow::error::ArrowError> {
                let moved = if months {
                    let days = text::add_months(at.div_euclid(per_day), step);
                    days.checked_mul(per_day).and_then(|it| it.checked_add(at.rem_euclid(per_day)))
                } else {
                    step.checked_mul(per_second / 1000).and_then(|it| at.checked_add(it))
                };
                moved.ok_or_else(missing)
            };
            let (values, _) =
                cast::ticks(point).ok_or_else(|| EvalError::internal("a timestamp has another layout"))?;
            let values = try_binary::<_, _, _, Int64Type>(&values, steps, moved).map_err(checked)?;
            Ok(cast::timestamps(&values, call.data_type))
        }
        _ => Err(EvalError::internal("the result isn't a point in time")),
    }
}
