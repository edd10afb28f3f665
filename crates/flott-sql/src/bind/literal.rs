//! Literals and their Flink types.

use flott_expr::{Expr, ExprKind, Value, text};
use flott_types::{Code, DataType, Diagnostic, Result, Span, TimestampUnit, TypeKind};
use sqlparser::ast;

/// A constant at a place.
pub(super) fn constant(value: Value, kind: TypeKind, span: Span) -> Expr {
    let nullable = value.is_null();
    Expr::new(ExprKind::Literal(value), DataType::new(kind).with_nullable(nullable), span)
}

/// A CHAR of just the text's length, counted in UTF-16 as Flink does.
pub(super) fn string(text: impl Into<String>, span: Span) -> Expr {
    let text = text.into();
    let length = u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
    constant(Value::String(text), TypeKind::Char(length), span)
}

/// A literal of the parser.
pub(super) fn bind(value: &ast::Value, span: Span) -> Result<Expr> {
    use ast::Value as V;
    match value {
        V::Number(text, _) => number(text, false, span),
        V::SingleQuotedString(text) | V::NationalStringLiteral(text) | V::UnicodeStringLiteral(text) => {
            Ok(string(text, span))
        }
        V::HexStringLiteral(text) => hex(text, span),
        V::Boolean(it) => Ok(constant(Value::Boolean(*it), TypeKind::Boolean, span)),
        V::Null => Ok(constant(Value::Null, TypeKind::Null, span)),
        V::Placeholder(_) => Err(Diagnostic::not_supported("parameters").at(span)),
        other => {
            Err(Diagnostic::error(Code::InvalidLiteral, format!("{other} is not a literal of Flink SQL"))
                .at(span)
                .help("text stands in single quotes: 'text'"))
        }
    }
}

/// INT, BIGINT, DECIMAL or DOUBLE, by the way it is written.
pub(super) fn number(text: &str, negative: bool, span: Span) -> Result<Expr> {
    let out_of_range = || {
        let sign = if negative { "-" } else { "" };
        Diagnostic::error(Code::InvalidLiteral, format!("the number {sign}{text} is out of range")).at(span)
    };
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| out_of_range())?;
        let value = if negative { -value } else { value };
        let value = value.is_finite().then_some(value).ok_or_else(out_of_range)?;
        return Ok(constant(Value::Double(value), TypeKind::Double, span));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.is_empty() {
        let value: i128 = whole.parse().map_err(|_| out_of_range())?;
        let value = i64::try_from(if negative { -value } else { value });
        let value = value.map_err(|_| {
            out_of_range()
                .help("a whole number fits into BIGINT; write a decimal point and a digit for a DECIMAL")
        })?;
        let kind = if i32::try_from(value).is_ok() { TypeKind::Int } else { TypeKind::BigInt };
        return Ok(constant(Value::Int(value), kind, span));
    }
    let digits = format!("{whole}{fraction}");
    let value: i128 = digits.parse().map_err(|_| out_of_range())?;
    let precision = u8::try_from(digits.len()).ok().filter(|it| *it <= 38).ok_or_else(out_of_range)?;
    let scale = u8::try_from(fraction.len()).map_err(|_| out_of_range())?;
    let value = if negative { -value } else { value };
    Ok(constant(Value::Decimal(value), TypeKind::Decimal(precision, scale), span))
}

fn hex(text: &str, span: Span) -> Result<Expr> {
    let malformed = || {
        Diagnostic::error(Code::InvalidLiteral, "a binary literal has an even number of hexadecimal digits")
            .at(span)
    };
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let digits = digits.filter(|it| it.len() % 2 == 0).ok_or_else(malformed)?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |acc, d| acc * 16 + d)).collect();
    let length = u32::try_from(bytes.len()).map_err(|_| malformed())?;
    Ok(constant(Value::Bytes(bytes), TypeKind::Binary(length), span))
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`
pub(super) fn typed(typed: &ast::TypedString, span: Span) -> Result<Expr> {
    let (ast::Value::SingleQuotedString(value) | ast::Value::NationalStringLiteral(value)) =
        &typed.value.value
    else {
        return Err(
            Diagnostic::error(Code::InvalidLiteral, "the value must be a text in single quotes").at(span)
        );
    };
    let malformed = |what: &str, form: &str| {
        Diagnostic::error(Code::InvalidLiteral, format!("'{value}' is not a {what}"))
            .at(span)
            .help(format!("a {what} is written {form}"))
    };
    let trimmed = value.trim();
    match &typed.data_type {
        ast::DataType::Date => {
            let days = text::parse_date(trimmed.as_bytes());
            let days = days.ok_or_else(|| malformed("DATE", "DATE '2026-01-31'"))?;
            Ok(constant(Value::Date(days), TypeKind::Date, span))
        }
        ast::DataType::Time(..) => {
            let form = || malformed("TIME", "TIME '23:59:59.123'");
            // `TIME '9:30:00'`: the hour may have one digit.
            let padded =
                if trimmed.find(':') == Some(1) { format!("0{trimmed}") } else { trimmed.to_string() };
            let millis = text::parse_time(padded.as_bytes()).ok_or_else(form)?;
            let precision = decimals(trimmed).ok_or_else(form)?;
            Ok(constant(Value::Time(millis), TypeKind::Time(precision), span))
        }
        ast::DataType::Timestamp(..) => {
            let form = || malformed("TIMESTAMP", "TIMESTAMP '2026-01-31 23:59:59.123'");
            let precision = decimals(trimmed).ok_or_else(form)?;
            let full = if trimmed.contains([' ', 'T']) {
                trimmed.to_string()
            } else {
                format!("{trimmed} 00:00:00")
            };
            let unit = TimestampUnit::of(precision);
            let value = text::parse_timestamp(full.as_bytes(), unit, b' ', false).ok_or_else(form)?;
            Ok(constant(Value::Timestamp(value), TypeKind::Timestamp(precision), span))
        }
        other => Err(Diagnostic::not_supported(format_args!("literals of type {other}"))
            .at(span)
            .help(format!("write CAST('{value}' AS {other})"))),
    }
}

/// How many digits follow the point, at most nine.
fn decimals(text: &str) -> Option<u8> {
    let fraction = text.rsplit_once('.').map_or("", |(_, fraction)| fraction);
    u8::try_from(fraction.len()).ok().filter(|it| *it <= 9)
}
