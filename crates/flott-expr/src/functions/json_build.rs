//! JSON text from values: `JSON_STRING`, `JSON_OBJECT`, `JSON_ARRAY`, and `JSON` inside the two.
//!
//! The binder puts what `… ON NULL` says in front of the other arguments:
//!
//! ```text
//!   JSON_OBJECT('a' VALUE 1, 'b' VALUE x ABSENT ON NULL)   ──►  JSON_OBJECT('ABSENT', 'a', 1, 'b', x)
//!   JSON_ARRAY(JSON('{"b":1}'), 2)                         ──►  JSON_ARRAY('ABSENT', JSON('{"b":1}'), 2)
//! ```
//!
//! Members stand in the order of their names, and fractions are spelled as Java's `BigDecimal`
//! spells them, as in Flink. A call of one of the three as an argument is taken for JSON, any other text
//! for a text; so these calls are never replaced by their value before that has been decided.

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flott_types::{DataType, TimestampUnit, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    define::{Param, shaped_nullable},
    json_text::{Json, write_string},
    kernel, signature,
};
use crate::{EvalError, Expr, ExprKind, cast, text};

const KIND: FunctionKind = FunctionKind::Json;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "JSON_STRING",
        &["JSON_STRING(value)"],
        |args| match args {
            [value] if value.data_type.is_null() || convertible(&value.data_type) => {
                Some(signature::as_given(args, DataType::string()))
            }
            _ => None,
        },
        json_string,
        "The value as JSON text: numbers, texts, BOOLEANs, BYTES (in base 64), timestamps, and ARRAYs, MAPs and ROWs of them.",
        &[("JSON_STRING(ARRAY[1, 2])", "[1,2]"), ("JSON_STRING('a\"b')", "\"a\\\"b\"")],
    ),
    Function::define(
        KIND,
        "JSON_OBJECT",
        &["JSON_OBJECT([[KEY] key VALUE value, …] [{NULL | ABSENT} ON NULL])"],
        |args| {
            let (on_null, pairs) = args.split_first()?;
            let keys = pairs.iter().step_by(2);
            let fits = signature::literal_text(on_null).is_some()
                && pairs.len().is_multiple_of(2)
                && keys.clone().all(|key| key.data_type.is_character() && !key.data_type.nullable)
                && pairs.iter().skip(1).step_by(2).all(insertable);
            fits.then(|| never_null(args))
        },
        json_object,
        "A JSON object of the keys and values. NULL becomes null (`NULL ON NULL`, the default) or is left out.",
        &[
            ("JSON_OBJECT('b' VALUE 1, KEY 'a' VALUE 'x')", "{\"a\":\"x\",\"b\":1}"),
            ("JSON_OBJECT('a' VALUE CAST(NULL AS INT) ABSENT ON NULL)", "{}"),
        ],
    ),
    Function::define(
        KIND,
        "JSON_ARRAY",
        &["JSON_ARRAY([value, …] [{NULL | ABSENT} ON NULL])"],
        |args| {
            let (on_null, values) = args.split_first()?;
            let fits = signature::literal_text(on_null).is_some() && values.iter().all(insertable);
            fits.then(|| never_null(args))
        },
        json_array,
        "A JSON array of the values. NULL is left out (`ABSENT ON NULL`, the default) or becomes null.",
        &[("JSON_ARRAY(1, 'a', JSON_ARRAY(TRUE))", "[1,\"a\",[true]]")],
    ),
    Function::define(
        KIND,
        "JSON",
        &["JSON(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::string()),
        |call| {
            let texts = call.strings(0)?;
            kernel::build_strings(call.rows, texts.nulls(), |row, out| {
                let text = texts.value(row);
                if text.is_empty() {
                    return Ok(false);
                }
                let json =
                    Json::read(text).ok_or_else(|| EvalError::new(format!("JSON: '{text}' is not JSON")))?;
                write_sorted(&json, out);
                Ok(true)
            })
        },
        "JSON text, to be inserted as it is by JSON_OBJECT or JSON_ARRAY.",
        &[("JSON_ARRAY(JSON('{\"b\": 1, \"a\": 2}'))", "[{\"a\":2,\"b\":1}]")],
    ),
];

/// Whether a call gives JSON that JSON_OBJECT and JSON_ARRAY insert as it is, so that it must
/// not be replaced by its value while its arguments are bound.
pub fn is_json_constructor(function: &Function) -> bool {
    matches!(function.name, "JSON_OBJECT" | "JSON_ARRAY" | "JSON")
}

fn never_null(args: &[Expr]) -> Signature {
    let mut found = signature::as_given(args, DataType::string());
    found.result.nullable = false;
    found
}

fn insertable(arg: &Expr) -> bool {
    convertible(&arg.data_type)
}

/// Whether JSON has a form for the type.
fn convertible(data_type: &DataType) -> bool {
    match &data_type.kind {
        TypeKind::Null | TypeKind::Date | TypeKind::Time(_) | TypeKind::Interval(_) | TypeKind::Bitmap => {
            false
        }
        TypeKind::Array(element) => convertible(element),
        TypeKind::Map(key, value) => key.is_character() && convertible(value),
        TypeKind::Multiset(element) => element.is_character(),
        TypeKind::Row(fields) => fields.iter().all(|field| convertible(&field.data_type)),
        _ => true,
    }
}

fn json_string(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let value = argument(call, 0)?;
    let of = &call.exprs.first().ok_or_else(missing)?.data_type;
    kernel::build_strings(call.rows, value.logical_nulls().as_ref(), |row, out| {
        write(value, row, of, out)?;
        Ok(true)
    })
}

fn json_object(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let absent = call.literal_text(0) == Some("ABSENT");
    let places = (1..call.args.len()).step_by(2);
    let keys: Vec<(usize, &StringArray)> =
        places.map(|at| call.strings(at).map(|key| (at, key))).collect::<Result<_, _>>()?;
    let mut members: Vec<(&str, usize)> = Vec::with_capacity(keys.len());
    kernel::build_strings(call.rows, None, |row, out| {
        members.clear();
        // The last of equal keys counts, and the keys stand in order.
        for (at, key) in &keys {
            let (name, value) = (key.value(row), at + 1);
            if absent && is_null(argument(call, value)?, row) {
                continue;
            }
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => member.1 = value,
                None => members.push((name, value)),
            }
        }
        members.sort_unstable();
        out.push('{');
        for (i, (name, value)) in members.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_string(name, out);
            out.push(':');
            insert(call, *value, row, out)?;
        }
        out.push('}');
        Ok(true)
    })
}

fn json_array(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let absent = call.literal_text(0) == Some("ABSENT");
    kernel::build_strings(call.rows, None, |row, out| {
        out.push('[');
        let mut first = true;
        for at in 1..call.args.len() {
            if absent && is_null(argument(call, at)?, row) {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            insert(call, at, row, out)?;
        }
        out.push(']');
        Ok(true)
    })
}

fn missing() -> EvalError {
    EvalError::internal("an argument is missing")
}

fn argument<'a>(call: &Call<'a>, index: usize) -> Result<&'a ArrayRef, EvalError> {
    call.args.get(index).ok_or_else(missing)
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.data_type().is_null() || array.is_null(row)
}

/// An argument of JSON_OBJECT or JSON_ARRAY: JSON as it is, other values converted.
fn insert(call: &Call<'_>, index: usize, row: usize, out: &mut String) -> Result<(), EvalError> {
    let (array, expr) = (argument(call, index)?, call.exprs.get(index).ok_or_else(missing)?);
    if is_null(array, row) {
        out.push_str("null");
        return Ok(());
    }
    match &expr.kind {
        ExprKind::Call { function, .. } if is_json_constructor(function) => {
            out.push_str(call.strings(index)?.value(row));
            Ok(())
        }
        _ => write(array, row, &expr.data_type, out),
    }
}

/// The members in order of their names.
fn object<K: AsRef<str> + Ord>(mut members: Vec<(K, String)>, out: &mut String) {
    members.sort();
    out.push('{');
    for (i, (key, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key.as_ref(), out);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
}

/// One value as JSON.
fn write(array: &dyn Array, row: usize, of: &DataType, out: &mut String) -> Result<(), EvalError> {
    if array.is_null(row) || of.is_null() {
        out.push_str("null");
        return Ok(());
    }
    match &of.kind {
        TypeKind::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        TypeKind::TinyInt => integer(array.as_primitive::<Int8Type>().value(row), out),
        TypeKind::SmallInt => integer(array.as_primitive::<Int16Type>().value(row), out),
        TypeKind::Int => integer(array.as_primitive::<Int32Type>().value(row), out),
        TypeKind::BigInt => integer(array.as_primitive::<Int64Type>().value(row), out),
        TypeKind::Decimal(_, scale) => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            let digits = unscaled.unsigned_abs().to_string();
            big_decimal(unscaled < 0, &digits, i64::from(*scale), out);
        }
        TypeKind::Float => {
            let mut spelled = Vec::new();
            text::append_double(&mut spelled, array.as_primitive::<Float32Type>().value(row).into());
            fraction(&String::from_utf8_lossy(&spelled), out);
        }
        TypeKind::Double => {
            let mut spelled = Vec::new();
            text::append_double(&mut spelled, array.as_primitive::<Float64Type>().value(row));
            fraction(&String::from_utf8_lossy(&spelled), out);
        }
        TypeKind::Char(_) | TypeKind::Varchar(_) => write_string(array.as_string::<i32>().value(row), out),
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            write_string(&STANDARD.encode(array.as_binary::<i32>().value(row)), out);
        }
        TypeKind::Timestamp(_) => instant(array, row, false, out)?,
        TypeKind::TimestampLtz(_) => instant(array, row, true, out)?,
        TypeKind::Array(element) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push(',');
                }
                write(&items, i, element, out)?;
            }
            out.push(']');
        }
        TypeKind::Map(_, value) => entries(array, row, value, out)?,
        TypeKind::Multiset(_) => entries(array, row, &DataType::int(), out)?,
        TypeKind::Row(fields) => {
            let mut members = Vec::with_capacity(fields.len());
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                let mut value = String::new();
                write(column, row, &field.data_type, &mut value)?;
                members.push((field.name.as_str(), value));
            }
            object(members, out);
        }
        TypeKind::Variant => out.push_str(array.as_string::<i32>().value(row)),
        TypeKind::Null | TypeKind::Date | TypeKind::Time(_) | TypeKind::Interval(_) | TypeKind::Bitmap => {
            return Err(EvalError::internal(format!("{} has no form in JSON", of.kind)));
        }
    }
    Ok(())
}

fn entries(array: &dyn Array, row: usize, of: &DataType, out: &mut String) -> Result<(), EvalError> {
    let entries = array.as_map().value(row);
    let keys = entries.column(0).as_string::<i32>();
    let mut members = Vec::with_capacity(keys.len());
    for i in 0..keys.len() {
        if keys.is_null(i) {
            return Err(EvalError::new("a member of a JSON object needs a name, but the map's key is NULL"));
        }
        let mut value = String::new();
        write(entries.column(1), i, of, &mut value)?;
        members.push((keys.value(i), value));
    }
    object(members, out);
    Ok(())
}

fn integer(value: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// `"2024-01-02T03:04:05.67Z"`: as many digits behind the point as there are.
fn instant(array: &dyn Array, row: usize, zulu: bool, out: &mut String) -> Result<(), EvalError> {
    let (ticks, unit) = cast::ticks(&array.slice(row, 1)).ok_or_else(missing)?;
    let value = ticks.value(0);
    let per_second = TimestampUnit::per_second(unit);
    let fraction = value.rem_euclid(per_second) != 0;
    let mut spelled = Vec::new();
    text::append_timestamp(&mut spelled, value, unit, if fraction { 9 } else { 0 }, b'T');
    while fraction && spelled.last() == Some(&b'0') {
        spelled.pop();
    }
    out.push('"');
    out.push_str(&String::from_utf8_lossy(&spelled));
    out.push_str(if zulu { "Z\"" } else { "\"" });
    Ok(())
}

/// A fraction's spelling (`1.0E20`, `-0.5`) as Java's `BigDecimal` spells it (`1.0E+20`).
fn fraction(spelled: &str, out: &mut String) {
    let unsigned = spelled.strip_prefix('-').unwrap_or(spelled);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else {
        return write_string(spelled, out);
    };
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{decimals}");
    if !digits.bytes().all(|it| it.is_ascii_digit()) {
        // NaN and the infinities.
        return write_string(spelled, out);
    }
    let digits = digits.trim_start_matches('0');
    let scale = i64::try_from(decimals.len()).unwrap_or(i64::MAX).saturating_sub(exponent);
    big_decimal(unsigned.len() < spelled.len(), if digits.is_empty() { "0" } else { digits }, scale, out);
}

/// `BigDecimal.toString()` of the digits with so many of them behind the point.
fn big_decimal(negative: bool, digits: &str, scale: i64, out: &mut String) {
    if negative && digits != "0" {
        out.push('-');
    }
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let exponent = length.saturating_sub(1).saturating_sub(scale);
    if scale < 0 || exponent < -6 {
        let (first, rest) = digits.split_at(digits.len().min(1));
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push('E');
        if exponent >= 0 {
            out.push('+');
        }
        return integer(exponent, out);
    }
    let behind = usize::try_from(scale).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = behind + 1);
    let (whole, decimals) = padded.split_at(padded.len() - behind);
    out.push_str(whole);
    if !decimals.is_empty() {
        out.push('.');
        out.push_str(decimals);
    }
}

/// JSON that was text, with its members in order.
pub(super) fn write_sorted(json: &Json<'_>, out: &mut String) {
    match json {
        Json::Number(spelled) if spelled.contains(['.', 'e', 'E']) => fraction(spelled, out),
        Json::Number("-0") => out.push('0'),
        Json::Array(elements) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_sorted(element, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<(&str, &Json<'_>)> =
                members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Json::Null | Json::Boolean(_) | Json::Number(_) | Json::String(_) => json.write(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_as_java_spells_them() {
        let spelled = |text: &str| {
            let mut out = String::new();
            fraction(text, &mut out);
            out
        };
        assert_eq!(spelled("1.5"), "1.5");
        assert_eq!(spelled("1.0E20"), "1.0E+20");
        assert_eq!(spelled("-1.0E-5"), "-0.000010");
        assert_eq!(spelled("1.0E-10"), "1.0E-10");
        assert_eq!(spelled("0.0"), "0.0");
        assert_eq!(spelled("1e2"), "1E+2");
    }
}
