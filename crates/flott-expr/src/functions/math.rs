//! Numeric functions: rounding, powers and logarithms, trigonometry.
//!
//! What works on DOUBLE in Flink takes any number and casts it. Rounding keeps the type of
//! its argument (a DECIMAL gives up the digits that it rounds away).

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Float64Array, PrimitiveArray},
    compute::binary,
    datatypes::{
        DataType as ArrowType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type,
    },
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, kernel, signature};
use crate::{
    EvalError, Expr, cast,
    text::{self, POWERS_OF_TEN},
};

type Examples = &'static [(&'static str, &'static str)];
type Evaluate = fn(&Call<'_>) -> Result<ArrayRef, EvalError>;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    numeric(
        "ABS",
        &["ABS(number)"],
        same_type,
        absolute,
        "The number without its sign.",
        &[("ABS(-5)", "5")],
    ),
    numeric(
        "SIGN",
        &["SIGN(number)"],
        same_type,
        sign,
        "-1, 0 or 1, in the type of the number.",
        &[("SIGN(-5)", "-1")],
    ),
    numeric(
        "FLOOR",
        &["FLOOR(number)"],
        whole_type,
        |call| whole(call, Whole::Floor),
        "The greatest whole number that is not greater.",
        &[("FLOOR(1.55)", "1"), ("FLOOR(-1.5)", "-2")],
    ),
    Function {
        aliases: &["CEILING"],
        ..numeric(
            "CEIL",
            &["CEIL(number)"],
            whole_type,
            |call| whole(call, Whole::Ceil),
            "The least whole number that is not less.",
            &[("CEIL(1.55)", "2")],
        )
    },
    numeric(
        "ROUND",
        &["ROUND(number [, digits])"],
        round_type,
        |call| round(call, true),
        "The number rounded to so many digits behind the point (before it, if negative), halves away from zero.",
        &[("ROUND(1.55, 1)", "1.6"), ("ROUND(155, -1)", "160")],
    ),
    numeric(
        "TRUNCATE",
        &["TRUNCATE(number [, digits])"],
        truncate_type,
        |call| round(call, false),
        "The number cut off after so many digits behind the point.",
        &[("TRUNCATE(155, -1)", "150")],
    ),
    numeric(
        "POWER",
        &["POWER(base, exponent)"],
        two_doubles,
        |call| pair(call, f64::powf),
        "Base to the power of exponent.",
        &[("POWER(2, 3)", "8.0")],
    ),
    numeric(
        "SQRT",
        &["SQRT(number)"],
        one_double,
        |call| single(call, f64::sqrt),
        "Square root.",
        &[("SQRT(9)", "3.0")],
    ),
    numeric(
        "EXP",
        &["EXP(number)"],
        one_double,
        |call| single(call, f64::exp),
        "e to the power of the number.",
        &[("EXP(0)", "1.0")],
    ),
    numeric(
        "LN",
        &["LN(number)"],
        one_double,
        |call| single(call, f64::ln),
        "Natural logarithm.",
        &[("LN(1)", "0.0")],
    ),
    numeric(
        "LOG10",
        &["LOG10(number)"],
        one_double,
        |call| single(call, f64::log10),
        "Logarithm to base 10.",
        &[("LOG10(100)", "2.0")],
    ),
    numeric(
        "LOG2",
        &["LOG2(number)"],
        one_double,
        |call| single(call, |it| it.ln() / std::f64::consts::LN_2),
        "Logarithm to base 2.",
        &[("LOG2(8)", "3.0")],
    ),
    numeric(
        "LOG",
        &["LOG(number)", "LOG(base, number)"],
        log_type,
        log,
        "Natural logarithm, or the logarithm to a base.",
        &[("LOG(1)", "0.0")],
    ),
    numeric(
        "SIN",
        &["SIN(number)"],
        one_double,
        |call| single(call, f64::sin),
        "Sine.",
        &[("SIN(0)", "0.0")],
    ),
    numeric(
        "COS",
        &["COS(number)"],
        one_double,
        |call| single(call, f64::cos),
        "Cosine.",
        &[("COS(0)", "1.0")],
    ),
    numeric(
        "TAN",
        &["TAN(number)"],
        one_double,
        |call| single(call, f64::tan),
        "Tangent.",
        &[("TAN(0)", "0.0")],
    ),
    numeric(
        "COT",
        &["COT(number)"],
        one_double,
        |call| single(call, |it| 1.0 / it.tan()),
        "Cotangent.",
        &[("ROUND(COT(1), 3)", "0.642")],
    ),
    numeric(
        "ASIN",
        &["ASIN(number)"],
        one_double,
        |call| single(call, f64::asin),
        "Arc sine.",
        &[("ASIN(0)", "0.0")],
    ),
    numeric(
        "ACOS",
        &["ACOS(number)"],
        one_double,
        |call| single(call, f64::acos),
        "Arc cosine.",
        &[("ACOS(1)", "0.0")],
    ),
    numeric(
        "ATAN",
        &["ATAN(number)"],
        one_double,
        |call| single(call, f64::atan),
        "Arc tangent.",
        &[("ATAN(0)", "0.0")],
    ),
    numeric(
        "ATAN2",
        &["ATAN2(y, x)"],
        two_doubles,
        |call| pair(call, f64::atan2),
        "The angle of the point (x, y).",
        &[("ATAN2(0, 1)", "0.0")],
    ),
    numeric(
        "SINH",
        &["SINH(number)"],
        one_double,
        |call| single(call, f64::sinh),
        "Hyperbolic sine.",
        &[("SINH(0)", "0.0")],
    ),
    numeric(
        "COSH",
        &["COSH(number)"],
        one_double,
        |call| single(call, f64::cosh),
        "Hyperbolic cosine.",
        &[("COSH(0)", "1.0")],
    ),
    numeric(
        "TANH",
        &["TANH(number)"],
        one_double,
        |call| single(call, f64::tanh),
        "Hyperbolic tangent.",
        &[("TANH(0)", "0.0")],
    ),
    numeric(
        "DEGREES",
        &["DEGREES(radians)"],
        one_double,
        |call| single(call, f64::to_degrees),
        "Radians as degrees.",
        &[("DEGREES(0)", "0.0")],
    ),
    numeric(
        "RADIANS",
        &["RADIANS(degrees)"],
        one_double,
        |call| single(call, f64::to_radians),
        "Degrees as radians.",
        &[("RADIANS(180)", "3.141592653589793")],
    ),
    numeric(
        "PI",
        &["PI()"],
        no_argument,
        |call| Ok(Arc::new(Float64Array::from_value(std::f64::consts::PI, call.rows))),
        "π.",
        &[("PI()", "3.141592653589793")],
    ),
    numeric(
        "E",
        &["E()"],
        no_argument,
        |call| Ok(Arc::new(Float64Array::from_value(std::f64::consts::E, call.rows))),
        "e, the base of the natural logarithm.",
        &[("E()", "2.718281828459045")],
    ),
];

const fn numeric(
    name: &'static str,
    signatures: &'static [&'static str],
    resolve: fn(&[Expr]) -> Option<Signature>,
    evaluate: Evaluate,
    doc: &'static str,
    examples: Examples,
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

// ---- types ----------------------------------------------------------------------------------

fn one_double(args: &[Expr]) -> Option<Signature> {
    signature::double_args(args, 1)
}

fn two_doubles(args: &[Expr]) -> Option<Signature> {
    signature::double_args(args, 2)
}

fn log_type(args: &[Expr]) -> Option<Signature> {
    if matches!(args.len(), 1 | 2) { signature::double_args(args, args.len()) } else { None }
}

fn no_argument(args: &[Expr]) -> Option<Signature> {
    args.is_empty().then(|| Signature { arguments: Vec::new(), result: DataType::double().not_null() })
}

fn number(args: &[Expr]) -> Option<DataType> {
    let first = &args.first()?.data_type;
    if first.is_null() { Some(DataType::int()) } else { first.is_numeric().then(|| first.clone()) }
}

fn same_type(args: &[Expr]) -> Option<Signature> {
    let it = number(args)?;
    (args.len() == 1).then(|| signature::signature(args, vec![it.clone()], it))
}

fn whole_type(args: &[Expr]) -> Option<Signature> {
    let mut signature = same_type(args)?;
    if let TypeKind::Decimal(p, _) = signature.result.kind {
        signature.result.kind = TypeKind::Decimal(p, 0);
    }
    Some(signature)
}

/// Digits of ROUND and TRUNCATE, if they are constant; 0 if they are left out.
fn constant_digits(args: &[Expr]) -> Option<i64> {
    args.get(1).map_or(Some(0), signature::literal_int)
}

fn round_type(args: &[Expr]) -> Option<Signature> {
    rounded_type(args, 1)
}

fn truncate_type(args: &[Expr]) -> Option<Signature> {
    rounded_type(args, 1)
}

/// `carry`: whole digits that rounding up may add.
fn rounded_type(args: &[Expr], carry: i64) -> Option<Signature> {
    let it = number(args)?;
    if args.len() > 2 || !args.iter().skip(1).all(signature::is_integer) {
        return None;
    }
    let mut arguments = vec![it.clone()];
    arguments.extend(args.iter().skip(1).map(|_| DataType::int()));
    let result = match (&it.kind, constant_digits(args)) {
        (TypeKind::Decimal(p, s), Some(digits)) if digits < i64::from(*s) => {
            let (scale, whole) = (digits.max(0), i64::from(p - s));
            signature::decimal((carry + whole + scale).min(38) as u8, scale as u8)
        }
        _ => it,
    };
    Some(signature::signature(args, arguments, result))
}

// ---- evaluation -----------------------------------------------------------------------------

fn single(call: &Call<'_>, compute: impl Fn(f64) -> f64) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(call.doubles(0)?.unary::<_, Float64Type>(compute)))
}

fn pair(call: &Call<'_>, compute: impl Fn(f64, f64) -> f64) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(binary::<_, _, _, Float64Type>(call.doubles(0)?, call.doubles(1)?, compute)?))
}

fn log(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    if call.args.len() == 1 { single(call, f64::ln) } else { pair(call, |base, it| it.ln() / base.ln()) }
}

/// The same loop for every numeric type.
fn each_number(
    call: &Call<'_>,
    integer: impl Fn(i64) -> i64,
    decimal: impl Fn(i128) -> i128,
    float: impl Fn(f64) -> f64,
) -> Result<ArrayRef, EvalError> {
    let array = call.args.first().ok_or_else(|| EvalError::internal("an argument is missing"))?;
    Ok(match array.data_type() {
        ArrowType::Int8 => {
            Arc::new(array.as_primitive::<Int8Type>().unary::<_, Int8Type>(|it| integer(it.into()) as i8))
        }
        ArrowType::Int16 => {
            Arc::new(array.as_primitive::<Int16Type>().unary::<_, Int16Type>(|it| integer(it.into()) as i16))
        }
        ArrowType::Int32 => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int32Type>(|it| integer(it.into()) as i32))
        }
        ArrowType::Int64 => Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int64Type>(integer)),
        ArrowType::Float32 => Arc::new(
            array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|it| float(it.into()) as f32),
        ),
        ArrowType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(float)),
        _ => {
            let (TypeKind::Decimal(p, s), Some(values)) =
                (&call.data_type.kind, array.as_primitive_opt::<Decimal128Type>())
            else {
                return Err(EvalError::internal("the argument isn't a number"));
            };
            let values = values.unary::<_, Decimal128Type>(decimal);
            Arc::new(values.with_precision_and_scale(*p, *s as i8)?)
        }
    })
}

fn absolute(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    each_number(call, i64::wrapping_abs, i128::wrapping_abs, f64::abs)
}

fn sign(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let one = POWERS_OF_TEN[usize::from(scale_of(call.data_type)).min(38)];
    let float = |it: f64| if it == 0.0 || it.is_nan() { it } else { it.signum() };
    each_number(call, i64::signum, |it| it.signum() * one, float)
}

fn scale_of(data_type: &DataType) -> u8 {
    if let TypeKind::Decimal(_, s) = data_type.kind { s } else { 0 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Floor,
    Ceil,
}

fn whole(call: &Call<'_>, to: Whole) -> Result<ArrayRef, EvalError> {
    let scale = call.exprs.first().map_or(0, |it| scale_of(&it.data_type));
    let one = POWERS_OF_TEN[usize::from(scale).min(38)];
    let decimal = |it: i128| if to == Whole::Floor { it.div_euclid(one) } else { -(-it).div_euclid(one) };
    let float = |it: f64| if to == Whole::Floor { it.floor() } else { it.ceil() };
    each_number(call, |it| it, decimal, float)
}

/// ROUND, or TRUNCATE if halves aren't to be rounded up.
fn round(call: &Call<'_>, up: bool) -> Result<ArrayRef, EvalError> {
    let array = call.args.first().ok_or_else(|| EvalError::internal("an argument is missing"))?;
    if let Some(digits) = constant_digits(call.exprs) {
        let from = call.exprs.first().map_or(0, |it| scale_of(&it.data_type));
        let to = scale_of(call.data_type);
        return each_number(
            call,
            |it| round_unscaled(it.into(), 0, digits, up) as i64,
            |it| {
                let rounded = round_unscaled(it, from, digits, up);
                cast::rescale(rounded, from, to).unwrap_or(rounded)
            },
            |it| round_float(it, digits, up),
        );
    }
    let digits = call.ints(1)?;
    let nulls = call.nulls();
    let scale = scale_of(call.data_type);
    match array.data_type() {
        ArrowType::Decimal128(p, s) => {
            let values = call.decimals(0)?;
            let rounded = kernel::build_primitive::<Decimal128Type>(call.rows, nulls.as_ref(), |row| {
                Ok(Some(round_unscaled(values.value(row), scale, digits.value(row).into(), up)))
            })?;
            Ok(Arc::new(rounded.with_precision_and_scale(*p, *s)?))
        }
        ArrowType::Float32 => {
            row_by_row::<Float32Type>(call, digits, |it, digits| round_float(it.into(), digits, up) as f32)
        }
        ArrowType::Float64 => {
            row_by_row::<Float64Type>(call, digits, |it, digits| round_float(it, digits, up))
        }
        ArrowType::Int8 => {
            row_by_row::<Int8Type>(call, digits, |it, digits| round_unscaled(it.into(), 0, digits, up) as i8)
        }
        ArrowType::Int16 => row_by_row::<Int16Type>(call, digits, |it, digits| {
            round_unscaled(it.into(), 0, digits, up) as i16
        }),
        ArrowType::Int32 => row_by_row::<Int32Type>(call, digits, |it, digits| {
            round_unscaled(it.into(), 0, digits, up) as i32
        }),
        _ => row_by_row::<Int64Type>(call, digits, |it, digits| {
            round_unscaled(it.into(), 0, digits, up) as i64
        }),
    }
}

fn row_by_row<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    digits: &PrimitiveArray<Int32Type>,
    compute: impl Fn(T::Native, i64) -> T::Native,
) -> Result<ArrayRef, EvalError> {
    Ok(Arc::new(binary::<_, _, _, T>(call.primitive::<T>(0)?, digits, |it, digits| {
        compute(it, digits.into())
    })?))
}

/// An unscaled value with the digits after `digits` places behind the point set to zero.
fn round_unscaled(value: i128, scale: u8, digits: i64, up: bool) -> i128 {
    let dropped = i64::from(scale) - digits;
    if dropped <= 0 {
        return value;
    }
    let Some(unit) = usize::try_from(dropped).ok().and_then(|it| POWERS_OF_TEN.get(it)) else { return 0 };
    let rest = value % unit;
    let down = value - rest;
    if up && rest.unsigned_abs() >= unit.unsigned_abs() / 2 {
        down.wrapping_add(value.signum() * unit)
    } else {
        down
    }
}

/// Rounds the decimal spelling of a float, as Java's `BigDecimal.valueOf(x).setScale`.
fn round_float(value: f64, digits: i64, up: bool) -> f64 {
    if !value.is_finite() || value.is_zero() {
        return value;
    }
    let scale = digits.clamp(0, 30) as u8;
    let spelled = ryu::Buffer::new().format_finite(value).to_owned();
    let Some(mut unscaled) = text::parse_decimal(spelled.as_bytes(), 38, scale) else { return value };
    if digits < 0 {
        unscaled = round_unscaled(value.trunc() as i128, 0, digits, up);
    } else if !up && cast::decimal_as_double(unscaled, scale).abs() > value.abs() {
        unscaled -= unscaled.signum();
    }
    cast::decimal_as_double(unscaled, scale)
}
