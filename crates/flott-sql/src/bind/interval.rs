//! `INTERVAL '1 02:03' DAY TO MINUTE` to months or milliseconds.

use flott_expr::{Expr, Value};
use flott_types::{Code, DataType, Diagnostic, IntervalUnit, Result, Span, TypeKind};
use sqlparser::ast::{self, DateTimeField};

/// How many digits the first field may have when the text doesn't say, as in the SQL standard.
const LEADING_DIGITS: usize = 2;

/// Units in falling order; one interval is of the first three or of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    fn of(field: &DateTimeField) -> Option<Unit> {
        Some(match unit_name(field).as_str() {
            "YEAR" => Unit::Year,
            "QUARTER" => Unit::Quarter,
            "MONTH" => Unit::Month,
            "WEEK" => Unit::Week,
            "DAY" => Unit::Day,
            "HOUR" => Unit::Hour,
            "MINUTE" => Unit::Minute,
            "SECOND" => Unit::Second,
            _ => return None,
        })
    }
    /// Months, or milliseconds.
    fn size(self) -> i64 {
        match self {
            Unit::Year => 12,
            Unit::Quarter => 3,
            Unit::Month => 1,
            Unit::Week => 7 * 86_400_000,
            Unit::Day => 86_400_000,
            Unit::Hour => 3_600_000,
            Unit::Minute => 60_000,
            Unit::Second => 1_000,
        }
    }
    fn kind(self) -> IntervalUnit {
        if self <= Unit::Month { IntervalUnit::Months } else { IntervalUnit::Milliseconds }
    }
    /// The unit below, what stands between the two, and how many of it make one of this.
    fn next(self) -> Option<(char, Unit, i64)> {
        match self {
            Unit::Year => Some(('-', Unit::Month, 12)),
            Unit::Day => Some((' ', Unit::Hour, 24)),
            Unit::Hour => Some((':', Unit::Minute, 60)),
            Unit::Minute => Some((':', Unit::Second, 60)),
            _ => None,
        }
    }
}

/// A unit in capitals and in the singular.
pub(super) fn unit_name(field: &DateTimeField) -> String {
    let name = field.to_string().to_ascii_uppercase();
    let name = name.strip_prefix("SQL_TSI_").map(str::to_string).unwrap_or(name);
    match name.strip_suffix('S') {
        Some(singular) if singular.len() > 2 => singular.to_string(),
        _ => name,
    }
}

/// The constant of an interval literal at `span`.
pub(super) fn bind(interval: &ast::Interval, span: Span) -> Result<Expr> {
    let malformed = |why: &str| Diagnostic::error(Code::InvalidLiteral, why.to_string()).at(span);
    let (negative, text) = text_of(&interval.value).ok_or_else(|| {
        malformed("an interval's value must be a constant")
            .help("for a column, multiply: n * INTERVAL '1' DAY")
    })?;
    let Some(leading) = interval.leading_field.as_ref().and_then(Unit::of) else {
        return Err(malformed("an interval needs a unit").help("write INTERVAL '1' DAY"));
    };
    let last = match &interval.last_field {
        None => leading,
        Some(field) => Unit::of(field).ok_or_else(|| malformed("unknown unit of an interval"))?,
    };
    if last < leading || last.kind() != leading.kind() {
        return Err(malformed(
            "an interval goes from the larger to the smaller unit, within YEAR TO MONTH or DAY TO SECOND",
        ));
    }
    let digits = interval.leading_precision.and_then(|it| usize::try_from(it).ok()).unwrap_or(LEADING_DIGITS);
    let form =
        || malformed(&format!("'{text}' is not an interval of this form")).help(example(leading, last));
    let trimmed = text.trim();
    let (minus, body) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let head = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    if body[..head].trim_start_matches('0').len() > digits {
        return Err(malformed(&format!("the interval's first field has more than {digits} digits"))
            .help(format!("say how many it may have: {}({head})", format!("{leading:?}").to_uppercase())));
    }
    let total = sum(body, leading, last).ok_or_else(form)?;
    let total = if minus != negative { -total } else { total };
    Ok(Expr::new(
        flott_expr::ExprKind::Literal(Value::Interval(total)),
        DataType::new(TypeKind::Interval(leading.kind())).not_null(),
        span,
    ))
}

/// The value's sign and text.
fn text_of(expr: &ast::Expr) -> Option<(bool, String)> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::Number(text, _) => Some((false, text.clone())),
            _ => None,
        },
        ast::Expr::UnaryOp { op, expr } => {
            let (negative, text) = text_of(expr)?;
            match op {
                ast::UnaryOperator::Minus => Some((!negative, text)),
                ast::UnaryOperator::Plus => Some((negative, text)),
                _ => None,
            }
        }
        ast::Expr::Nested(inner) => text_of(inner),
        _ => None,
    }
}

/// The fields from `unit` down to `last`, added up.
fn sum(text: &str, unit: Unit, last: Unit) -> Option<i64> {
    if unit == last {
        return if unit == Unit::Second { seconds(text) } else { number(text)?.checked_mul(unit.size()) };
    }
    let (separator, next, limit) = unit.next()?;
    let (head, tail) = text.split_once(separator)?;
    let tail = tail.trim_start();
    let rest = sum(tail, next, last)?;
    (rest < limit.checked_mul(next.size())?).then_some(())?;
    number(head)?.checked_mul(unit.size())?.checked_add(rest)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Seconds with up to nine decimals, in milliseconds.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let decimals = fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    decimals.then_some(())?;
    number(whole)?.checked_mul(1_000)?.checked_add(number(&millis)?)
}

fn example(leading: Unit, last: Unit) -> String {
    let text = match (leading, last) {
        (Unit::Year, Unit::Month) => "INTERVAL '1-6' YEAR TO MONTH",
        (Unit::Day, Unit::Hour) => "INTERVAL '1 02' DAY TO HOUR",
        (Unit::Day, Unit::Minute) => "INTERVAL '1 02:03' DAY TO MINUTE",
        (Unit::Day, Unit::Second) => "INTERVAL '1 02:03:04.5' DAY TO SECOND",
        (Unit::Hour, Unit::Minute) => "INTERVAL '02:03' HOUR TO MINUTE",
        (Unit::Hour, Unit::Second) => "INTERVAL '02:03:04' HOUR TO SECOND",
        (Unit::Minute, Unit::Second) => "INTERVAL '03:04.5' MINUTE TO SECOND",
        (Unit::Second, _) => "INTERVAL '1.5' SECOND",
        _ => "INTERVAL '10' DAY",
    };
    format!("an example: {text}")
}
