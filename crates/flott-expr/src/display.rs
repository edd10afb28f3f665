//! Expressions as SQL-like text, for `explain` and messages.

use std::fmt;

use flott_types::{DataType, IntervalUnit, TimestampUnit, TypeKind};

use crate::{CastMode, Expr, ExprKind, Value};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Column { name, .. } => f.write_str(name),
            ExprKind::Literal(value) => literal(f, value, &self.data_type),
            ExprKind::Field { input, name, .. } => write!(f, "{input}.{name}"),
            ExprKind::Cast { input, mode } => {
                let name = if *mode == CastMode::Try { "TRY_CAST" } else { "CAST" };
                write!(f, "{name}({input} AS {})", self.data_type.kind)
            }
            ExprKind::Case { branches, otherwise } => {
                f.write_str("CASE")?;
                for (condition, value) in branches {
                    write!(f, " WHEN {condition} THEN {value}")?;
                }
                write!(f, " ELSE {otherwise} END")
            }
            ExprKind::Call { function, args } => call(f, function.name, args),
        }
    }
}

/// A constant as SQL would write it.
fn literal(f: &mut fmt::Formatter<'_>, value: &Value, data_type: &DataType) -> fmt::Result {
    let mut text = Vec::new();
    let name = match (value, &data_type.kind) {
        (Value::Decimal(value), TypeKind::Decimal(_, scale)) => {
            crate::text::append_decimal(&mut text, *value, *scale);
            return f.write_str(&String::from_utf8_lossy(&text));
        }
        (Value::Date(days), _) => {
            crate::text::append_date(&mut text, i64::from(*days));
            "DATE"
        }
        (Value::Time(millis), TypeKind::Time(precision)) => {
            crate::text::append_time(&mut text, *millis, *precision);
            "TIME"
        }
        (Value::Timestamp(value), TypeKind::Timestamp(precision) | TypeKind::TimestampLtz(precision)) => {
            crate::text::append_timestamp(&mut text, *value, TimestampUnit::of(*precision), *precision, b' ');
            "TIMESTAMP"
        }
        (Value::Interval(value), TypeKind::Interval(IntervalUnit::Months)) => {
            return write!(f, "INTERVAL '{value}' MONTH");
        }
        (Value::Interval(value), _) if value % 1000 == 0 => {
            return write!(f, "INTERVAL '{}' SECOND", value / 1000);
        }
        (Value::Interval(value), _) => return write!(f, "INTERVAL '{}' SECOND", *value as f64 / 1000.0),
        _ => return write!(f, "{value}"),
    };
    write!(f, "{name} '{}'", String::from_utf8_lossy(&text))
}

fn call(f: &mut fmt::Formatter<'_>, name: &str, args: &[Expr]) -> fmt::Result {
    let is_sign = !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    match (args, name) {
        ([left, right], _) if is_sign || matches!(name, "AND" | "OR" | "LIKE") => {
            write!(f, "({left} {name} {right})")
        }
        ([input, key], "ITEM") => write!(f, "{input}[{key}]"),
        ([input], _) if name.starts_with("IS ") => write!(f, "({input} {name})"),
        _ => {
            write!(f, "{name}(")?;
            list(f, args)?;
            f.write_str(")")
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Boolean(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Value::Int(value) | Value::Timestamp(value) | Value::Interval(value) => write!(f, "{value}"),
            Value::Decimal(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value}"),
            Value::String(value) => write!(f, "'{}'", value.replace('\'', "''")),
            Value::Bytes(value) => {
                f.write_str("X'")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
            Value::Date(value) | Value::Time(value) => write!(f, "{value}"),
            Value::Array(items) => {
                f.write_str("ARRAY[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Value::Map(entries) => {
                f.write_str("MAP[")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}, {value}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Row(items) => {
                f.write_str("ROW(")?;
                list(f, items)?;
                f.write_str(")")
            }
        }
    }
}
