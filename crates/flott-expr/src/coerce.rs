//! Conversions between types: what is converted without being asked, what `CAST` allows, and
//! the type that several expressions have in common.
//!
//! ```text
//!   common_type([INT, DECIMAL(5,2)])     = DECIMAL(12, 2)     CASE, COALESCE, UNION, VALUES
//!   comparison_type(FLOAT, DECIMAL(5,2)) = DOUBLE             =, <, IN
//!   can_cast_implicitly(INT → BIGINT)    = true               arguments, INSERT INTO
//!   can_cast(STRING → INT)               = true               CAST, TRY_CAST
//! ```
//!
//! The rules are Flink's (its documentation, "Data Types: Casting"), and so are the precisions
//! of DECIMAL arithmetic.

use flott_types::{DataType, RowField, TypeKind};

use crate::{CastMode, EvalContext, Expr, ExprKind, Value, cast};

/// The largest precision of a DECIMAL.
pub const DECIMAL_PRECISION_MAX: u8 = 38;
/// Digits behind the point that a DECIMAL result keeps even when it has to give up precision.
const DECIMAL_SCALE_KEPT: i32 = 6;

/// The type that values of all these types can be converted to, nullable if one of them is.
/// `None` if they have nothing in common. NULL has everything in common with anything.
pub fn common_type(types: &[DataType]) -> Option<DataType> {
    let nullable = types.iter().any(|it| it.nullable || it.is_null());
    let mut kinds = types.iter().map(|it| &it.kind).filter(|kind| **kind != TypeKind::Null);
    let Some(first) = kinds.next() else { return types.first().cloned() };
    let mut common = first.clone();
    for kind in kinds {
        common = common_kind(&common, kind)?;
    }
    Some(DataType { kind: common, nullable })
}

fn common_kind(a: &TypeKind, b: &TypeKind) -> Option<TypeKind> {
    use TypeKind::{
        Array, Binary, Char, Decimal, Double, Float, Map, Multiset, Row, Time, Timestamp, TimestampLtz,
        Varbinary, Varchar,
    };
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Char(n) | Varchar(n), Char(m) | Varchar(m)) => Varchar(*n.max(m)),
        (Binary(n) | Varbinary(n), Binary(m) | Varbinary(m)) => Varbinary(*n.max(m)),
        // As in Flink the first of two approximate types wins; DECIMAL with either is DOUBLE.
        (Float | Double, Float | Double) => a.clone(),
        (Float | Double, Decimal(..)) | (Decimal(..), Float | Double) => Double,
        (Float | Double, other) if integer_digits(other).is_some() => a.clone(),
        (other, Float | Double) if integer_digits(other).is_some() => b.clone(),
        (Time(p), Time(q)) => Time(*p.max(q)),
        (Timestamp(p), Timestamp(q)) => Timestamp(*p.max(q)),
        (TimestampLtz(p), TimestampLtz(q) | Timestamp(q)) | (Timestamp(q), TimestampLtz(p)) => {
            TimestampLtz(*p.max(q))
        }
        (Array(x), Array(y)) => Array(Box::new(common_pair(x, y)?)),
        (Multiset(x), Multiset(y)) => Multiset(Box::new(common_pair(x, y)?)),
        (Map(k, v), Map(l, w)) => Map(Box::new(common_pair(k, l)?), Box::new(common_pair(v, w)?)),
        (Row(xs), Row(ys)) if xs.len() == ys.len() => {
            let field = |(x, y): (&RowField, &RowField)| {
                let data_type = common_pair(&x.data_type, &y.data_type)?;
                Some(RowField { name: x.name.clone(), data_type })
            };
            Row(xs.iter().zip(ys).map(field).collect::<Option<_>>()?)
        }
        _ => return common_exact(a, b),
    })
}

fn common_pair(a: &DataType, b: &DataType) -> Option<DataType> {
    common_type(&[a.clone(), b.clone()])
}

/// The wider of two integers, or a DECIMAL with room for both.
fn common_exact(a: &TypeKind, b: &TypeKind) -> Option<TypeKind> {
    if let (Some(x), Some(y)) = (integer_digits(a), integer_digits(b)) {
        return Some(if x >= y { a.clone() } else { b.clone() });
    }
    let ((p1, s1), (p2, s2)) = (exact_digits(a)?, exact_digits(b)?);
    let scale = s1.max(s2);
    let whole = (p1 - s1).max(p2 - s2);
    let precision = (whole + scale).min(DECIMAL_PRECISION_MAX);
    Some(TypeKind::Decimal(precision, scale.min(precision)))
}

/// Decimal digits of an integer type.
fn integer_digits(kind: &TypeKind) -> Option<u8> {
    match kind {
        TypeKind::TinyInt => Some(3),
        TypeKind::SmallInt => Some(5),
        TypeKind::Int => Some(10),
        TypeKind::BigInt => Some(19),
        _ => None,
    }
}

/// Precision and scale of an exact number: a DECIMAL, or an integer seen as one.
pub fn exact_digits(kind: &TypeKind) -> Option<(u8, u8)> {
    match kind {
        TypeKind::Decimal(p, s) => Some((*p, *s)),
        other => integer_digits(other).map(|digits| (digits, 0)),
    }
}

/// The type in which two values are compared. Strings compare with numbers, dates and
/// BOOLEANs by being converted to these.
pub fn comparison_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let nullable = a.nullable || b.nullable;
    let kind = match (a, b) {
        _ if a.is_numeric() && b.is_numeric() && (a.is_approximate() || b.is_approximate()) => {
            if a.kind == b.kind { a.kind.clone() } else { TypeKind::Double }
        }
        _ if a.is_character() && b.is_character() => DataType::string().kind,
        _ if a.is_binary() && b.is_binary() => DataType::bytes().kind,
        _ if a.is_character() && compares_with_text(b) => b.kind.clone(),
        _ if b.is_character() && compares_with_text(a) => a.kind.clone(),
        _ => common_type(&[a.clone(), b.clone()])?.kind,
    };
    Some(DataType { kind, nullable })
}

fn compares_with_text(it: &DataType) -> bool {
    it.is_numeric() || it.is_datetime() || it.kind == TypeKind::Boolean
}

/// Whether a value may be converted without being asked (arguments of functions, `INSERT INTO`).
pub fn can_cast_implicitly(from: &DataType, to: &DataType) -> bool {
    use TypeKind::{
        Array, BigInt, Binary, Char, Date, Decimal, Double, Float, Int, Map, Multiset, Null, Row, SmallInt,
        Time, Timestamp, TimestampLtz, TinyInt, Varbinary, Varchar,
    };
    match (&from.kind, &to.kind) {
        (a, b) if a == b => true,
        (Null, _)
        | (Char(_), Char(_))
        | (Char(_) | Varchar(_), Varchar(_))
        | (Binary(_), Binary(_))
        | (Binary(_) | Varbinary(_), Varbinary(_))
        | (TinyInt, SmallInt)
        | (TinyInt | SmallInt, Int)
        | (TinyInt | SmallInt | Int, BigInt)
        | (TinyInt | SmallInt | Int | BigInt | Decimal(..) | Float | Double, Decimal(..))
        | (TinyInt | SmallInt | Int | BigInt | Decimal(..), Float)
        | (TinyInt | SmallInt | Int | BigInt | Decimal(..) | Float, Double)
        | (Timestamp(_), Date)
        | (Time(_) | Timestamp(_), Time(_))
        | (Timestamp(_) | TimestampLtz(_), Timestamp(_) | TimestampLtz(_)) => true,
        (Date, _) => false,
        (Array(a), Array(b)) | (Multiset(a), Multiset(b)) => can_cast_implicitly(a, b),
        (Map(k, v), Map(l, w)) => can_cast_implicitly(k, l) && can_cast_implicitly(v, w),
        (Row(a), Row(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| can_cast_implicitly(&a.data_type, &b.data_type))
        }
        _ => false,
    }
}

/// Whether `CAST(from AS to)` exists.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    use TypeKind::{
        Array, BigInt, Binary, Boolean, Char, Date, Decimal, Double, Float, Int, Interval, Map, Multiset,
        Null, Row, SmallInt, Time, Timestamp, TimestampLtz, TinyInt, Varbinary, Varchar,
    };
    match (&from.kind, &to.kind) {
        (a, b) if a == b => true,
        // As in Flink there is no way out of a VARIANT but JSON_STRING.
        (TypeKind::Variant, _) => false,
        (Null, _) | (_, Char(_) | Varchar(_)) => true,
        (Char(_) | Varchar(_) | Binary(_) | Varbinary(_), Binary(_) | Varbinary(_)) => true,
        (_, Boolean | TinyInt | SmallInt | Int | BigInt | Decimal(..) | Float | Double) => {
            from.is_character() || from.is_numeric() || from.kind == Boolean
        }
        (_, Date) => from.is_character() || from.is_timestamp(),
        (_, Time(_)) => from.is_character() || from.is_timestamp() || matches!(from.kind, Time(_)),
        (_, Timestamp(_) | TimestampLtz(_)) => from.is_character() || from.is_datetime(),
        (Interval(a), Interval(b)) => a == b,
        (Array(a), Array(b)) | (Multiset(a), Multiset(b)) => can_cast(a, b),
        (Map(k, v), Map(l, w)) => can_cast(k, l) && can_cast(v, w),
        (Row(a), Row(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| can_cast(&a.data_type, &b.data_type))
        }
        _ => false,
    }
}

/// The expression converted to `to`; the expression itself if it has that type already, nullable
/// behind a `TRY_CAST`. A constant is converted right away, unless that depends on the session or
/// fails.
pub fn cast_expr(mut expr: Expr, to: &DataType, mode: CastMode) -> Expr {
    if expr.data_type.kind == to.kind {
        expr.data_type.nullable |= mode == CastMode::Try;
        return expr;
    }
    let span = expr.span;
    if let Some(folded) = fold(&expr, to, mode) {
        return folded.at(span);
    }
    Expr::new(ExprKind::Cast { input: Box::new(expr), mode }, to.clone(), span)
}

fn fold(expr: &Expr, to: &DataType, mode: CastMode) -> Option<Expr> {
    let ExprKind::Literal(value) = &expr.kind else { return None };
    if value.is_null() {
        return Some(Expr::literal(Value::Null, to.clone().with_nullable(true)));
    }
    if mentions_zone(&expr.data_type) || mentions_zone(to) {
        return None;
    }
    let context =
        EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 0, watermark: None };
    let array =
        cast::cast_array(&value.to_array(&expr.data_type, 1), &expr.data_type, to, mode, &context).ok()?;
    let value = Value::from_array(&array, 0, to);
    let nullable = to.nullable || value.is_null();
    Some(Expr::literal(value, to.clone().with_nullable(nullable)))
}

/// Whether the text of a value, or its conversion, depends on the session's time zone.
fn mentions_zone(data_type: &DataType) -> bool {
    match &data_type.kind {
        TypeKind::TimestampLtz(_) => true,
        TypeKind::Array(element) | TypeKind::Multiset(element) => mentions_zone(element),
        TypeKind::Map(key, value) => mentions_zone(key) || mentions_zone(value),
        TypeKind::Row(fields) => fields.iter().any(|field| mentions_zone(&field.data_type)),
        _ => false,
    }
}

/// An operation whose DECIMAL result type is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalOperation {
    /// `+` and `-`
    Add,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

/// Precision and scale of a DECIMAL operation's result.
pub fn decimal_result(operation: DecimalOperation, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let [p1, s1, p2, s2] = [p1, s1, p2, s2].map(i32::from);
    let (precision, scale) = match operation {
        DecimalOperation::Add => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        DecimalOperation::Multiply => (p1 + p2 + 1, s1 + s2),
        DecimalOperation::Divide => {
            let scale = (s1 + p2 + 1).max(DECIMAL_SCALE_KEPT);
            (p1 - s1 + s2 + scale, scale)
        }
        DecimalOperation::Modulo => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
    };
    fit(precision, scale)
}

/// Gives up digits behind the point where a precision would be too large.
fn fit(precision: i32, scale: i32) -> (u8, u8) {
    let most = i32::from(DECIMAL_PRECISION_MAX);
    if precision <= most {
        return (precision.max(1) as u8, scale as u8);
    }
    let whole = precision - scale;
    let scale = (most - whole).max(scale.min(DECIMAL_SCALE_KEPT));
    (most as u8, scale as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(a: TypeKind, b: TypeKind) -> Option<TypeKind> {
        common_type(&[a.into(), b.into()]).map(|it| it.kind)
    }

    #[test]
    fn common_types_as_flink() {
        use TypeKind::{BigInt, Boolean, Char, Decimal, Double, Float, Int, Null, Varchar};
        assert_eq!(common(Char(2), Char(3)), Some(Varchar(3)));
        assert_eq!(common(Int, BigInt), Some(BigInt));
        assert_eq!(common(Int, Decimal(5, 2)), Some(Decimal(12, 2)));
        assert_eq!(common(Float, Decimal(5, 2)), Some(Double));
        assert_eq!(common(Float, Int), Some(Float));
        assert_eq!(common(Null, Int), Some(Int));
        assert_eq!(common(Int, Boolean), None);
    }

    #[test]
    fn decimal_arithmetic_as_flink() {
        use DecimalOperation::{Add, Divide, Multiply};
        assert_eq!(decimal_result(Multiply, (3, 3), (19, 0)), (23, 3));
        assert_eq!(decimal_result(Add, (2, 1), (3, 2)), (4, 2));
        assert_eq!(decimal_result(Divide, (2, 1), (3, 2)), (9, 6));
        assert_eq!(decimal_result(Divide, (20, 10), (20, 5)), (38, 23));
        assert_eq!(decimal_result(Multiply, (38, 10), (38, 10)), (38, 6));
    }
}
