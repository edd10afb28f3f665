//! JSON text: reaching into it, making it, testing it.
//!
//! Paths are `[lax | strict] $.name['name'][0].*`; `lax` takes a missing member for "empty",
//! `strict` (the default, as in Flink) for an error. Text that isn't JSON is the same to them as a
//! missing member; the text `null` is an error to both.
//!
//! What SQL says in clauses comes as constants after the path, always all of them:
//!
//! | function | arguments |
//! |---|---|
//! | `JSON_VALUE(text, path)` | `JSON_VALUE(text, path, on_empty, empty_default, on_error, error_default, returning)`: behaviours `'NULL'`, `'ERROR'`, `'DEFAULT'`; a default is text or NULL. `RETURNING t` is also a cast around the call |
//! | `JSON_QUERY(text, path)` | `JSON_QUERY(text, path, wrapper, on_empty, on_error)`: wrapper `'WITHOUT'`, `'CONDITIONAL'`, `'UNCONDITIONAL'`; behaviours `'NULL'`, `'ERROR'`, `'EMPTY ARRAY'`, `'EMPTY OBJECT'`; one more argument for `RETURNING ARRAY<STRING>` |
//! | `JSON_EXISTS(text, path)` | `JSON_EXISTS(text, path, on_error)`: `'TRUE'`, `'FALSE'`, `'UNKNOWN'`, `'ERROR'` |
//! | `IS JSON` | `IS JSON(text, kind)`: `'VALUE'`, `'OBJECT'`, `'ARRAY'`, `'SCALAR'` |

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder};
use flott_types::DataType;
use std::{borrow::Cow, sync::Arc};

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped, shaped_nullable},
    json_build::write_sorted,
    json_text::{Json, Step, is_structured, reach},
    kernel::{self, Prepared},
};
use crate::EvalError;

const KIND: FunctionKind = FunctionKind::Json;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "JSON_VALUE",
        &["JSON_VALUE(json, path [RETURNING type] [behaviour ON EMPTY] [behaviour ON ERROR])"],
        |args| match args.len() {
            2 | 6 | 7 => shaped_nullable(args, 2, &[Param::Text; 7], DataType::string()),
            _ => None,
        },
        json_value,
        "The scalar at a path, as text. Behaviours: NULL (the default), ERROR, DEFAULT text.",
        &[("JSON_VALUE('{\"a\":true}', '$.a')", "true"), ("JSON_VALUE('{\"a\":[1,2]}', '$.a[1]')", "2")],
    ),
    Function::define(
        KIND,
        "JSON_QUERY",
        &["JSON_QUERY(json, path [WITH [CONDITIONAL] WRAPPER] [behaviour ON EMPTY] [behaviour ON ERROR])"],
        |args| match args.len() {
            2 | 5 => shaped_nullable(args, 2, &[Param::Text; 5], DataType::string()),
            6 => shaped_nullable(args, 2, &[Param::Text; 6], DataType::array(DataType::string())),
            _ => None,
        },
        json_query,
        "The object or array at a path, as JSON text. Behaviours: NULL (the default), ERROR, EMPTY ARRAY, EMPTY OBJECT.",
        &[("JSON_QUERY('{\"a\":{\"b\":1}}', '$.a')", "{\"b\":1}")],
    ),
    Function::define(
        KIND,
        "JSON_EXISTS",
        &["JSON_EXISTS(json, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])"],
        |args| shaped_nullable(args, 2, &[Param::Text; 3], DataType::boolean()),
        json_exists,
        "Whether there is something other than null at a path.",
        &[("JSON_EXISTS('{\"a\":true}', '$.a')", "TRUE"), ("JSON_EXISTS('{\"a\":true}', '$.b')", "FALSE")],
    ),
    Function::define(
        KIND,
        "JSON_QUOTE",
        &["JSON_QUOTE(string)"],
        |args| shaped(args, 1, &[Param::Text], DataType::string()),
        |call| {
            kernel::map_strings(call.strings(0)?, |text, out| {
                quote(text, out);
                Ok(())
            })
        },
        "The string as a JSON string of ASCII characters.",
        &[("JSON_QUOTE('a/b')", "\"a\\/b\"")],
    ),
    Function::define(
        KIND,
        "JSON_UNQUOTE",
        &["JSON_UNQUOTE(string)"],
        |args| shaped(args, 1, &[Param::Text], DataType::string()),
        |call| {
            kernel::map_strings(call.strings(0)?, |text, out| {
                match Json::read(text) {
                    Some(Json::String(inner)) => out.push_str(&inner),
                    _ => out.push_str(text),
                }
                Ok(())
            })
        },
        "The text behind a JSON string; anything else stays as it is.",
        &[("JSON_UNQUOTE('\"abc\"')", "abc"), ("JSON_UNQUOTE('abc')", "abc")],
    ),
    Function::define(
        KIND,
        "IS JSON",
        &["string IS [NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR]"],
        |args| {
            let mut found = shaped(args, 1, &[Param::Text, Param::Text], DataType::boolean())?;
            found.result.nullable = false;
            Some(found)
        },
        is_json,
        "Whether the string is JSON (of a kind). NULL isn't.",
        &[("'{\"a\":1}' IS JSON", "TRUE"), ("'x' IS JSON", "FALSE")],
    ),
];

/// Why a path found nothing that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing<'a> {
    /// Nothing there, and `lax`.
    Empty,
    /// `null` itself; or not JSON, or nothing there, and `strict`.
    Wrong(&'static str),
    /// This JSON is there, which is none of what is asked for.
    Unfit(Cow<'a, str>, &'static str),
}

const ONLY_NULL: Missing<'static> = Missing::Wrong("there is only null");

#[derive(Debug, Clone, PartialEq, Eq)]
enum PathStep {
    To(Step),
    Every,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    strict: bool,
    /// Up to the first `*`.
    direct: Vec<Step>,
    /// From there on.
    spread: Vec<PathStep>,
}

impl Path {
    fn new(text: &str) -> Result<Self, EvalError> {
        let trimmed = text.trim();
        let (strict, rest) = match (trimmed.strip_prefix("strict "), trimmed.strip_prefix("lax ")) {
            (Some(rest), _) => (true, rest.trim_start()),
            (_, Some(rest)) => (false, rest.trim_start()),
            _ => (true, trimmed),
        };
        let unsupported = || EvalError::new(format!("not supported yet: the JSON path '{text}'"));
        // A path that doesn't start at the root is taken as the name of a member of it.
        let rooted = if rest.starts_with('$') { rest.to_owned() } else { format!("$.{rest}") };
        let mut rest = rooted.strip_prefix('$').ok_or_else(unsupported)?;
        let (mut direct, mut spread) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (step, after) = next_step(rest).ok_or_else(unsupported)?;
            match step {
                PathStep::To(step) if spread.is_empty() => direct.push(step),
                step => spread.push(step),
            }
            rest = after;
        }
        Ok(Self { strict, direct, spread })
    }

    /// The JSON at the path. `*` gives an array of all.
    fn find<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Missing<'a>> {
        let missing = |what| if self.strict { Missing::Wrong(what) } else { Missing::Empty };
        let found = reach(text, &self.direct).ok_or_else(|| missing("invalid JSON"))?;
        if text.trim_start().starts_with('n') {
            return Err(ONLY_NULL);
        }
        if let (None, false, false) = (found, self.strict, self.spread.is_empty()) {
            return Ok(Cow::Borrowed("[]"));
        }
        let found = found.ok_or_else(|| missing("there is nothing at the path"))?;
        if !self.spread.is_empty() {
            return Ok(Cow::Owned(self.spread(found)));
        }
        if found == "null" { Err(missing("there is only null")) } else { Ok(Cow::Borrowed(found)) }
    }

    /// What `*` and the steps after it find, as an array.
    fn spread(&self, json: &str) -> String {
        let mut found: Vec<Json<'_>> = Json::read(json).into_iter().collect();
        for step in &self.spread {
            found = found.into_iter().flat_map(|it| take_step(it, step)).collect();
        }
        shown(&Json::Array(found))
    }
}

fn next_step(text: &str) -> Option<(PathStep, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((PathStep::Every, rest));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = rest.get(..end).filter(|it| !it.is_empty() && !it.contains('('))?;
        return Some((PathStep::To(Step::Member(name.to_owned())), &rest[end..]));
    }
    let inside = text.strip_prefix('[')?;
    if let Some(rest) = inside.strip_prefix("*]") {
        return Some((PathStep::Every, rest));
    }
    for quote in ['\'', '"'] {
        if let Some(rest) = inside.strip_prefix(quote) {
            let (name, rest) = rest.split_once(quote)?;
            return Some((PathStep::To(Step::Member(name.to_owned())), rest.strip_prefix(']')?));
        }
    }
    let (index, rest) = inside.split_once(']')?;
    Some((PathStep::To(Step::Element(index.trim().parse().ok()?)), rest))
}

fn take_step<'a>(json: Json<'a>, step: &PathStep) -> Vec<Json<'a>> {
    match (step, json) {
        (PathStep::To(Step::Member(name)), Json::Object(members)) => {
            members.into_iter().find(|(known, _)| known == name).map(|(_, value)| value).into_iter().collect()
        }
        (PathStep::To(Step::Element(index)), Json::Array(mut elements)) => {
            let from_end =
                index.checked_abs().and_then(|it| elements.len().checked_sub(usize::try_from(it).ok()?));
            let place = if *index < 0 { from_end } else { usize::try_from(*index).ok() };
            match place {
                Some(place) if place < elements.len() => vec![elements.swap_remove(place)],
                _ => Vec::new(),
            }
        }
        (PathStep::Every, Json::Array(elements)) => elements,
        (PathStep::Every, Json::Object(members)) => members.into_iter().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    }
}

/// The paths of a column.
struct Paths<'a> {
    known: Prepared<'a, Path>,
    strict: bool,
}

impl<'a> Paths<'a> {
    fn of(call: &Call<'a>) -> Result<Self, EvalError> {
        Ok(Self { known: Prepared::new(call.strings(1)?), strict: true })
    }
    /// Whether the path that was last looked for is strict.
    fn strict(&self) -> bool {
        self.strict
    }
    fn find<'t>(
        &mut self,
        row: usize,
        text: &'t str,
    ) -> Result<Result<Cow<'t, str>, Missing<'t>>, EvalError> {
        let path = self.known.at(row, Path::new)?;
        self.strict = path.strict;
        Ok(path.find(text))
    }
}

fn behaviour<'a>(call: &Call<'a>, index: usize, default: &'a str) -> &'a str {
    call.literal_text(index).unwrap_or(default)
}

fn nulls_of_text_and_path(call: &Call<'_>) -> Option<arrow::buffer::NullBuffer> {
    kernel::nulls_of(call.args.get(..2).unwrap_or(&[]))
}

fn json_value(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut paths) = (call.strings(0)?, Paths::of(call)?);
    let (on_empty, on_error) = (behaviour(call, 2, "NULL"), behaviour(call, 4, "NULL"));
    let returning = behaviour(call, 6, "STRING");
    let default =
        |index: usize| if call.args.len() > index { call.strings(index).map(Some) } else { Ok(None) };
    let (if_empty, if_error) = (default(3)?, default(5)?);
    kernel::build_strings(call.rows, nulls_of_text_and_path(call).as_ref(), |row, out| {
        let text = texts.value(row);
        let missing = match paths.find(row, text)? {
            Ok(json) if is_structured(&json) && !paths.strict() => Missing::Empty,
            Ok(json) if is_structured(&json) => Missing::Unfit(json, "is no scalar"),
            Ok(json) => return scalar(&json, returning, out).map(|()| true),
            Err(missing) => missing,
        };
        let (behaviour, default) =
            if missing == Missing::Empty { (on_empty, if_empty) } else { (on_error, if_error) };
        match (behaviour, default) {
            ("ERROR", _) => Err(failed("JSON_VALUE", &missing, text)),
            ("DEFAULT", Some(default)) if default.is_valid(row) => {
                out.push_str(default.value(row));
                Ok(true)
            }
            _ => Ok(false),
        }
    })
}

/// Appends what JSON_VALUE returns of a scalar.
fn scalar(json: &str, returning: &str, out: &mut String) -> Result<(), EvalError> {
    match Json::read(json) {
        Some(json) if !is_returned_as(&json, returning) => {
            return Err(EvalError::new(format!("JSON_VALUE: {} is no {returning}", shown(&json))));
        }
        Some(Json::String(value)) => out.push_str(&value),
        _ => out.push_str(json),
    }
    Ok(())
}

/// Whether JSON_VALUE can return the value as this type: nothing is converted, as in Flink.
fn is_returned_as(json: &Json<'_>, returning: &str) -> bool {
    let fraction = |number: &str| number.contains(['.', 'e', 'E']);
    match (returning, json) {
        ("INT", Json::Number(number)) => !fraction(number) && number.parse::<i32>().is_ok(),
        ("DOUBLE", Json::Number(number)) => fraction(number),
        ("BOOLEAN", json) => matches!(json, Json::Boolean(_)),
        ("INT" | "DOUBLE", _) => false,
        _ => true,
    }
}

fn shown(json: &Json<'_>) -> String {
    let mut out = String::new();
    json.write(&mut out);
    out
}

fn failed(function: &str, missing: &Missing<'_>, text: &str) -> EvalError {
    let why = match missing {
        Missing::Empty => "there is nothing at the path".to_owned(),
        Missing::Wrong(why) => (*why).to_owned(),
        Missing::Unfit(json, why) => {
            format!("{} {why}", Json::read(json).map_or_else(|| json.to_string(), |it| shown(&it)))
        }
    };
    EvalError::new(format!("{function}: {why} in '{text}'"))
}

fn json_query(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut paths) = (call.strings(0)?, Paths::of(call)?);
    let wrapper = behaviour(call, 2, "WITHOUT");
    let (on_empty, on_error) = (behaviour(call, 3, "NULL"), behaviour(call, 4, "NULL"));
    let as_array = call.args.len() > 5;
    let found = kernel::build_strings(call.rows, nulls_of_text_and_path(call).as_ref(), |row, out| {
        let text = texts.value(row);
        let missing = match paths.find(row, text)? {
            Ok(json)
                if wrapper == "UNCONDITIONAL" || (wrapper == "CONDITIONAL" && !json.starts_with('[')) =>
            {
                out.push('[');
                push_sorted(&json, out);
                out.push(']');
                return Ok(true);
            }
            Ok(json) if if as_array { json.starts_with('[') } else { is_structured(&json) } => {
                push_sorted(&json, out);
                return Ok(true);
            }
            Ok(json) if !is_structured(&json) && !paths.strict() => Missing::Empty,
            Ok(json) if as_array => Missing::Unfit(json, "is no array"),
            Ok(json) => Missing::Unfit(json, "is neither object nor array"),
            Err(missing) => missing,
        };
        match if missing == Missing::Empty { on_empty } else { on_error } {
            "ERROR" => return Err(failed("JSON_QUERY", &missing, text)),
            "EMPTY ARRAY" => out.push_str("[]"),
            "EMPTY OBJECT" => out.push_str("{}"),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(if as_array { elements(found.as_string()) } else { found })
}

/// Appends JSON text with its members in order.
fn push_sorted(json: &str, out: &mut String) {
    if let Some(json) = Json::read(json) {
        write_sorted(&json, out);
    }
}

/// Texts of JSON arrays as arrays of strings: what isn't a string stays JSON, null is NULL.
fn elements(texts: &arrow::array::StringArray) -> ArrayRef {
    let mut out = super::string_search::list_of_strings();
    let mut scratch = String::new();
    for text in texts {
        let Some(Some(Json::Array(elements))) = text.map(Json::read) else {
            out.append(false);
            continue;
        };
        for element in elements {
            scratch.clear();
            match element {
                Json::Null => {
                    out.values().append_null();
                    continue;
                }
                Json::String(text) => scratch.push_str(&text),
                other => write_sorted(&other, &mut scratch),
            }
            out.values().append_value(&scratch);
        }
        out.append(true);
    }
    Arc::new(out.finish())
}

fn json_exists(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut paths, nulls) = (call.strings(0)?, Paths::of(call)?, nulls_of_text_and_path(call));
    let on_error = behaviour(call, 2, "FALSE");
    let mut out = BooleanBuilder::with_capacity(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        let text = texts.value(row);
        match paths.find(row, text)? {
            Ok(_) => out.append_value(true),
            Err(Missing::Empty) => out.append_value(false),
            Err(missing) => match on_error {
                "ERROR" => return Err(failed("JSON_EXISTS", &missing, text)),
                "UNKNOWN" => out.append_null(),
                other => out.append_value(other == "TRUE"),
            },
        }
    }
    Ok(Arc::new(out.finish()))
}

fn is_json(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let texts = call.strings(0)?;
    let kind = behaviour(call, 1, "VALUE");
    let test = |text: &str| match (reach(text, &[]).flatten(), kind) {
        (Some(json), "OBJECT") => json.starts_with('{'),
        (Some(json), "ARRAY") => json.starts_with('['),
        (Some(json), "SCALAR") => !is_structured(json),
        (json, _) => json.is_some(),
    };
    Ok(kernel::build_booleans(call.rows, None, |row| texts.is_valid(row) && test(texts.value(row))))
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str("\\u");
                    super::encoding::push_hex(&unit.to_be_bytes(), out, false);
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_in() {
        let find = |path: &str, text: &'static str| Path::new(path).unwrap().find(text);
        assert_eq!(find("$.a[1]", r#"{"a":[1,2]}"#), Ok("2".into()));
        assert_eq!(find("$['a b']", r#"{"a b":"x"}"#), Ok("\"x\"".into()));
        assert_eq!(find("$.a[*]", r#"{"a":[1]}"#), Ok("[1]".into()));
        assert_eq!(find("lax $.b", r#"{"a":1}"#), Err(Missing::Empty));
        assert!(matches!(find("strict $.b", r#"{"a":1}"#), Err(Missing::Wrong(_))));
        assert!(matches!(find("$.a", "not json"), Err(Missing::Wrong(_))));
        assert!(Path::new("$.a[?(@.b==2)]").is_err());
    }

    #[test]
    fn quoting_leaves_only_ascii() {
        let mut out = String::new();
        quote("a\"b/c é😀", &mut out);
        assert_eq!(out, "\"a\\\"b\\/c \\u00e9\\ud83d\\ude00\"");
    }
}
