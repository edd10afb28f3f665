//! Functions of regular expressions, with Java's syntax (see `java_regex.rs`).
//!
//! A pattern that doesn't compile gives NULL (FALSE for `REGEXP`), as in Flink.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, MapBuilder, MapFieldNames, StringBuilder},
    datatypes::Int32Type,
};
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped, shaped_nullable},
    java_regex::{JavaRegex, PatternError, compile},
    kernel::{self, Prepared},
    string_search::list_of_strings,
};
use crate::EvalError;

const KIND: FunctionKind = FunctionKind::String;
const TWO: &[Param] = &[Param::Text, Param::Text];
const WITH_GROUP: &[Param] = &[Param::Text, Param::Text, Param::Int];

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "REGEXP",
        &["REGEXP(string, pattern)"],
        |args| shaped(args, 2, TWO, DataType::boolean()),
        regexp,
        "Whether the pattern occurs in the string.",
        &[("REGEXP('abc', 'b')", "TRUE"), ("REGEXP('abc', '^b')", "FALSE")],
    ),
    Function::define(
        KIND,
        "REGEXP_REPLACE",
        &["REGEXP_REPLACE(string, pattern, replacement)"],
        |args| shaped(args, 3, &[Param::Text; 3], DataType::string()),
        regexp_replace,
        "The string with every match replaced. The replacement is taken literally: `$1` refers to nothing.",
        &[("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb")],
    ),
    Function::define(
        KIND,
        "REGEXP_EXTRACT",
        &["REGEXP_EXTRACT(string, pattern [, group])"],
        |args| shaped_nullable(args, 2, WITH_GROUP, DataType::string()),
        regexp_extract,
        "What a group (0, the default: the whole match) of the first match matched; NULL if there is none.",
        &[("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar")],
    ),
    Function::define(
        KIND,
        "REGEXP_EXTRACT_ALL",
        &["REGEXP_EXTRACT_ALL(string, pattern [, group])"],
        |args| shaped_nullable(args, 2, WITH_GROUP, DataType::array(DataType::string())),
        regexp_extract_all,
        "What a group (by default 1) matched, in every match.",
        &[("REGEXP_EXTRACT_ALL('a1b22', '[0-9]+', 0)", "[1, 22]")],
    ),
    Function::define(
        KIND,
        "REGEXP_COUNT",
        &["REGEXP_COUNT(string, pattern)"],
        |args| shaped_nullable(args, 2, TWO, DataType::int()),
        |call| {
            numbers(call, |regex, text| {
                let mut count = 0;
                regex.each_match(text, |_, _| {
                    count += 1;
                    true
                })?;
                Ok(count)
            })
        },
        "The number of matches.",
        &[("REGEXP_COUNT('a1b22', '[0-9]')", "3")],
    ),
    Function::define(
        KIND,
        "REGEXP_INSTR",
        &["REGEXP_INSTR(string, pattern)"],
        |args| shaped_nullable(args, 2, TWO, DataType::int()),
        |call| {
            numbers(call, |regex, text| {
                let mut position = 0;
                regex.each_match(text, |start, _| {
                    position = utf16_length(&text[..start]) + 1;
                    false
                })?;
                Ok(i32::try_from(position).unwrap_or(i32::MAX))
            })
        },
        "Where the first match starts, counted from 1; 0 if there is none.",
        &[("REGEXP_INSTR('a1b22', '[0-9]')", "2")],
    ),
    Function::define(
        KIND,
        "REGEXP_SUBSTR",
        &["REGEXP_SUBSTR(string, pattern)"],
        |args| shaped_nullable(args, 2, TWO, DataType::string()),
        |call| {
            let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1)?);
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                let Some(regex) = patterns.at(row)? else { return Ok(false) };
                let text = texts.value(row);
                let mut found = false;
                regex.each_match(text, |start, end| {
                    out.push_str(&text[start..end]);
                    found = true;
                    false
                })?;
                Ok(found)
            })
        },
        "The first match; NULL if there is none.",
        &[("REGEXP_SUBSTR('a1b22', '[0-9]+')", "1")],
    ),
    Function::define(
        KIND,
        "STR_TO_MAP",
        &["STR_TO_MAP(string [, pair_separator, key_separator])"],
        |args| {
            let map = DataType::map(DataType::string(), DataType::string());
            if args.len() == 2 { None } else { shaped_nullable(args, 1, &[Param::Text; 3], map) }
        },
        str_to_map,
        "A map from text such as `k1=v1,k2=v2`. The separators are regular expressions, by default `,` and `=`.",
        &[("STR_TO_MAP('k1=v1,k2=v2')", "{k1=v1, k2=v2}"), ("STR_TO_MAP('k1,k2=v2')", "{k1=NULL, k2=v2}")],
    ),
];

/// The patterns of a column.
struct Patterns<'a>(Prepared<'a, Option<Arc<JavaRegex>>>);

impl<'a> Patterns<'a> {
    fn of(call: &Call<'a>, argument: usize) -> Result<Self, EvalError> {
        Ok(Self(Prepared::new(call.strings(argument)?)))
    }
    /// The row's pattern; `None` if it isn't one.
    fn at(&mut self, row: usize) -> Result<Option<&JavaRegex>, EvalError> {
        Ok(self.0.at(row, compiled)?.as_deref())
    }
}

fn compiled(pattern: &str) -> Result<Option<Arc<JavaRegex>>, EvalError> {
    match compile(pattern) {
        Ok(regex) => Ok(Some(regex)),
        Err(PatternError::Invalid) => Ok(None),
        Err(PatternError::Unsupported(what)) => {
            Err(EvalError::new(format!("not supported yet: {what} in the regular expression '{pattern}'")))
        }
    }
}

fn regexp(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, spelled, nulls) = (call.strings(0)?, call.strings(1)?, call.nulls());
    let mut patterns = Patterns::of(call, 1)?;
    let mut out = arrow::array::BooleanBuilder::with_capacity(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        // Flink answers FALSE for the empty pattern.
        let empty = spelled.value(row).is_empty();
        let hit = match patterns.at(row)? {
            Some(regex) if !empty => regex.is_match(texts.value(row))?,
            _ => false,
        };
        out.append_value(hit);
    }
    Ok(Arc::new(out.finish()))
}

fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut patterns, replacements) = (call.strings(0)?, Patterns::of(call, 1)?, call.strings(2)?);
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let Some(regex) = patterns.at(row)? else { return Ok(false) };
        let (text, replacement) = (texts.value(row), replacements.value(row));
        let mut done = 0;
        regex.each_match(text, |start, end| {
            out.push_str(&text[done..start]);
            out.push_str(replacement);
            done = end;
            true
        })?;
        out.push_str(&text[done..]);
        Ok(true)
    })
}

fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1)?);
    let groups = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let Some(regex) = patterns.at(row)? else { return Ok(false) };
        let Ok(group) = usize::try_from(groups.map_or(0, |it| it.value(row))) else { return Ok(false) };
        let text = texts.value(row);
        let mut found = false;
        let mut take = |range: Option<(usize, usize)>| {
            if let Some((start, end)) = range {
                out.push_str(&text[start..end]);
                found = true;
            }
            false
        };
        if group == 0 {
            regex.each_match(text, |start, end| take(Some((start, end))))?;
        } else {
            regex.each_groups(text, |groups| take(groups(group)))?;
        }
        Ok(found)
    })
}

fn regexp_extract_all(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, mut patterns, nulls) = (call.strings(0)?, Patterns::of(call, 1)?, call.nulls());
    let groups = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    let mut out = list_of_strings();
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        let group = usize::try_from(groups.map_or(1, |it| it.value(row))).ok();
        match (patterns.at(row)?, group) {
            (Some(regex), Some(group)) if group <= regex.group_count() => {
                let text = texts.value(row);
                let mut add = |range: Option<(usize, usize)>| {
                    out.values().append_option(range.map(|(start, end)| &text[start..end]));
                    true
                };
                if group == 0 {
                    regex.each_match(text, |start, end| add(Some((start, end))))?;
                } else {
                    regex.each_groups(text, |groups| add(groups(group)))?;
                }
                out.append(true);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn numbers(
    call: &Call<'_>,
    mut compute: impl FnMut(&JavaRegex, &str) -> Result<i32, EvalError>,
) -> Result<ArrayRef, EvalError> {
    let (texts, mut patterns) = (call.strings(0)?, Patterns::of(call, 1)?);
    let found = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        patterns.at(row)?.map(|regex| compute(regex, texts.value(row))).transpose()
    })?;
    Ok(Arc::new(found))
}

fn str_to_map(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, nulls) = (call.strings(0)?, call.nulls());
    let separators = if call.args.len() > 2 { Some((call.strings(1)?, call.strings(2)?)) } else { None };
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut out = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    let (comma, equals) = (separator(",")?, separator("=")?);
    let mut known = separators.map(|(pair, key)| (Prepared::new(pair), Prepared::new(key)));
    let mut found = Vec::new();
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append(false)?;
            continue;
        }
        let (pair, key) = match &mut known {
            Some((pairs, keys)) => (pairs.at(row, separator)?.as_ref(), keys.at(row, separator)?.as_ref()),
            None => (comma.as_ref(), equals.as_ref()),
        };
        pairs(texts.value(row), pair, key, &mut found)?;
        for (name, value) in found.drain(..) {
            out.keys().append_value(name);
            out.values().append_option(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}

fn separator(pattern: &str) -> Result<Arc<JavaRegex>, EvalError> {
    compiled(pattern)?.ok_or_else(|| EvalError::new(format!("invalid separator '{pattern}' of STR_TO_MAP")))
}

type Pairs<'a> = Vec<(&'a str, Option<&'a str>)>;

/// From how many pairs on their names are looked up in a tree.
const LISTED_MAX: usize = 16;

/// The pairs, in order of their first appearance; a later value replaces an earlier one.
fn pairs<'a>(
    text: &'a str,
    between_pairs: &JavaRegex,
    between_key_and_value: &JavaRegex,
    found: &mut Pairs<'a>,
) -> Result<(), EvalError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    each_piece(text, between_pairs, |piece| {
        let (mut key, mut value) = (piece, None);
        between_key_and_value.each_match(piece, |start, end| {
            (key, value) = (&piece[..start], Some(&piece[end..]));
            false
        })?;
        if found.len() == LISTED_MAX && places.is_empty() {
            places.extend(found.iter().enumerate().map(|(place, (name, _))| (*name, place)));
        }
        let place = if found.len() < LISTED_MAX {
            found.iter().position(|(name, _)| *name == key)
        } else {
            places.get(key).copied()
        };
        match place.and_then(|it| found.get_mut(it)) {
            Some(slot) => slot.1 = value,
            None => {
                if found.len() >= LISTED_MAX {
                    places.insert(key, found.len());
                }
                found.push((key, value));
            }
        }
        Ok(())
    })
}

/// Calls `visit` with what stands between the matches, without the empty pieces at the end.
fn each_piece<'a>(
    text: &'a str,
    separator: &JavaRegex,
    mut visit: impl FnMut(&'a str) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    // Pieces that were empty, and aren't known to be the last ones.
    let (mut done, mut empty, mut any, mut failed) = (0, 0usize, false, Ok(()));
    let mut add = |piece: &'a str, any: &mut bool| {
        if piece.is_empty() {
            empty += 1;
            return Ok(());
        }
        for _ in 0..std::mem::take(&mut empty) {
            visit("")?;
        }
        *any = true;
        visit(piece)
    };
    separator.each_match(text, |start, end| {
        if end > 0 {
            failed = add(&text[done..start], &mut any);
            done = end;
        }
        failed.is_ok()
    })?;
    failed?;
    add(&text[done..], &mut any)?;
    if any { Ok(()) } else { visit("") }
}

fn utf16_length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_pairs_win() {
        fn of(text: &str) -> Pairs<'_> {
            let mut found = Vec::new();
            pairs(text, &compile(",").unwrap(), &compile("=").unwrap(), &mut found).unwrap();
            found
        }
        assert_eq!(of("a=1,b,a=2=3,"), [("a", Some("2=3")), ("b", None)]);
        assert_eq!(of(",a=1,,"), [("", None), ("a", Some("1"))]);
        assert_eq!(of(",,"), [("", None)]);
        assert_eq!(of(""), []);
        let many: String = (0..40).map(|it| format!("k{}={it},", it % 20)).collect();
        assert_eq!(of(&many).len(), 20);
        assert_eq!(of(&many)[19], ("k19", Some("39")));
    }
}
