//! VARIANT: JSON that has been read once, and access to its parts.
//!
//! A VARIANT lies in memory as JSON text in one spelling: members in order of their names, and
//! numbers so that their spelling tells what they are:
//!
//! ```text
//!   12      whole number (or a decimal of up to 38 digits)
//!   1.5     decimal, without zeros at its end
//!   1.0E10  DOUBLE, as Java spells it: what was written with an exponent or has too many digits
//! ```

use std::{borrow::Cow, sync::Arc};

use arrow::array::{ArrayRef, AsArray, StringBuilder};
use flott_types::{DataType, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    json_text::{Json, write_string},
    kernel, signature,
};
use crate::{EvalError, Expr, text};

const KIND: FunctionKind = FunctionKind::Json;
/// Digits that a number without exponent may have to be exact.
const EXACT_DIGITS_MAX: usize = 38;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "PARSE_JSON",
        &["PARSE_JSON(string [, allow_duplicate_keys])"],
        parse_types,
        |call| parse(call, false),
        "The JSON text as a VARIANT; what isn't JSON is an error. Of equal keys the last counts if duplicates are allowed.",
        &[("JSON_STRING(PARSE_JSON('{\"b\": 1.50, \"a\": [true]}'))", "{\"a\":[true],\"b\":1.5}")],
    ),
    Function::define(
        KIND,
        "TRY_PARSE_JSON",
        &["TRY_PARSE_JSON(string [, allow_duplicate_keys])"],
        |args| {
            let mut found = parse_types(args)?;
            found.result.nullable = true;
            Some(found)
        },
        |call| parse(call, true),
        "The JSON text as a VARIANT; NULL if it isn't JSON.",
        &[("TRY_PARSE_JSON('{') IS NULL", "TRUE")],
    ),
];

fn parse_types(args: &[Expr]) -> Option<Signature> {
    let fits = match args {
        [text] => signature::is_string(text),
        [text, flag] => signature::is_string(text) && flag.data_type.kind == TypeKind::Boolean,
        _ => false,
    };
    if !fits {
        return None;
    }
    let arguments = [DataType::string(), DataType::boolean()].into_iter().take(args.len()).collect();
    Some(signature::signature(args, arguments, TypeKind::Variant.into()))
}

fn parse(call: &Call<'_>, lenient: bool) -> Result<ArrayRef, EvalError> {
    let texts = call.strings(0)?;
    let duplicates = |row: usize| match call.args.len() {
        2 => call.booleans(1).map(|it| it.value(row)),
        _ => Ok(false),
    };
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let text = texts.value(row);
        let read = match Json::read_first(text) {
            None => Err(EvalError::new(format!("PARSE_JSON: '{text}' is not JSON"))),
            Some((_, true)) if !duplicates(row)? => {
                Err(EvalError::new(format!("PARSE_JSON: an object in '{text}' has a key twice")))
            }
            Some((json, _)) => {
                write(&json, out);
                Ok(())
            }
        };
        match read {
            Ok(()) => Ok(true),
            Err(_) if lenient => Ok(false),
            Err(error) => Err(error),
        }
    })
}

/// The value in the spelling of a VARIANT.
fn write(json: &Json<'_>, out: &mut String) {
    match json {
        Json::Number(spelled) => out.push_str(&number(spelled)),
        Json::Array(elements) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<&(Cow<'_, str>, Json<'_>)> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (i, (name, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Json::Null | Json::Boolean(_) | Json::String(_) => json.write(out),
    }
}

fn number(spelled: &str) -> Cow<'_, str> {
    let digits = spelled.bytes().filter(u8::is_ascii_digit).count();
    if spelled.contains(['e', 'E']) || digits > EXACT_DIGITS_MAX {
        let mut out = Vec::new();
        text::append_double(&mut out, spelled.parse().unwrap_or(f64::NAN));
        return Cow::Owned(String::from_utf8_lossy(&out).into_owned());
    }
    let short = match spelled.contains('.') {
        true => spelled.trim_end_matches('0').trim_end_matches('.'),
        false => spelled,
    };
    if short == "-0" { Cow::Borrowed("0") } else { Cow::Borrowed(short) }
}

/// `variant[1]`, `variant['name']`
pub(super) fn item_types(args: &[Expr]) -> Option<Signature> {
    let [variant, key] = args else { return None };
    if variant.data_type.kind != TypeKind::Variant {
        return None;
    }
    let key = match &key.data_type {
        it if it.is_integer() => DataType::bigint(),
        it if it.is_character() => DataType::string(),
        _ => return None,
    };
    let arguments = vec![TypeKind::Variant.into(), key];
    let mut found = signature::signature(args, arguments, TypeKind::Variant.into());
    found.result.nullable = true;
    Some(found)
}

/// The part at an index, counted from 1, or under a name.
pub(super) fn item(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let variants = call.strings(0)?;
    let nulls = call.nulls();
    let by_name = call.args.get(1).is_some_and(|it| it.as_string_opt::<i32>().is_some());
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        let found = match (Json::read(variants.value(row)), by_name) {
            (Some(Json::Object(members)), true) => {
                let name = call.strings(1)?.value(row);
                members.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            (Some(Json::Array(mut elements)), false) => {
                let index =
                    call.bigints(1)?.value(row).checked_sub(1).and_then(|it| usize::try_from(it).ok());
                index.filter(|it| *it < elements.len()).map(|it| elements.swap_remove(it))
            }
            (_, true) => return Err(EvalError::new("only an object VARIANT has members: v['name']")),
            (_, false) => return Err(EvalError::new("only an array VARIANT has elements: v[1]")),
        };
        match found {
            None => out.append_null(),
            Some(json) => {
                let mut text = String::new();
                json.write(&mut text);
                out.append_value(text);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_what_they_are() {
        for (spelled, kept) in [
            ("1", "1"),
            ("1.50", "1.5"),
            ("10.00", "10"),
            ("1e3", "1000.0"),
            ("-0.0", "0"),
            ("1e400", "Infinity"),
        ] {
            assert_eq!(number(spelled), kept, "{spelled}");
        }
    }
}
