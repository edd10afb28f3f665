//! Finding, replacing and splitting text. Positions count characters from 1; 0 is "not found".

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListBuilder, StringArray, StringBuilder},
    datatypes::Int32Type,
};
use flott_types::DataType;
use memchr::memmem;

use super::{
    Call, Function, FunctionKind, Signature,
    define::{Param, shaped, shaped_nullable},
    kernel, signature,
    string::{byte_at, count_chars, slice_rows},
};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::String;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "POSITION",
        &["POSITION(search IN string)", "POSITION(search, string)"],
        |args| shaped(args, 2, &[Param::Text, Param::Text], DataType::int()),
        locate,
        "Where the first string first occurs in the second; 0 if it doesn't.",
        &[("POSITION('l' IN 'hello')", "3"), ("POSITION('z' IN 'hello')", "0")],
    ),
    Function::define(
        KIND,
        "LOCATE",
        &["LOCATE(search, string [, start])"],
        |args| shaped(args, 2, &[Param::Text, Param::Text, Param::Int], DataType::int()),
        locate,
        "Where the first string occurs in the second, from a position on; 0 if it doesn't.",
        &[("LOCATE('l', 'hello', 4)", "4")],
    ),
    Function::define(
        KIND,
        "INSTR",
        &["INSTR(string, search [, start [, occurrence]])"],
        |args| shaped(args, 2, &[Param::Text, Param::Text, Param::Int, Param::Int], DataType::int()),
        instr,
        "Where the second string occurs in the first; 0 if it doesn't. A negative start searches backwards from the end.",
        &[("INSTR('hello', 'l')", "3"), ("INSTR('hello', 'l', 1, 2)", "4"), ("INSTR('hello', 'l', -1)", "4")],
    ),
    Function::define(
        KIND,
        "STARTSWITH",
        &["STARTSWITH(string, prefix)", "STARTSWITH(bytes, prefix)"],
        text_or_bytes,
        |call| compare_ends(call, |whole, part| whole.starts_with(part)),
        "Whether the first argument starts with the second.",
        &[("STARTSWITH('hello', 'he')", "TRUE")],
    ),
    Function::define(
        KIND,
        "ENDSWITH",
        &["ENDSWITH(string, suffix)", "ENDSWITH(bytes, suffix)"],
        text_or_bytes,
        |call| compare_ends(call, |whole, part| whole.ends_with(part)),
        "Whether the first argument ends with the second.",
        &[("ENDSWITH('hello', 'lo')", "TRUE")],
    ),
    Function::define(
        KIND,
        "REPLACE",
        &["REPLACE(string, search, replacement)"],
        |args| shaped(args, 3, &[Param::Text; 3], DataType::string()),
        replace,
        "The string with every occurrence replaced.",
        &[("REPLACE('hello', 'l', 'LL')", "heLLLLo")],
    ),
    Function::define(
        KIND,
        "TRANSLATE",
        &["TRANSLATE(string, from, to)"],
        |args| {
            let mut found = shaped(args, 3, &[Param::Text; 3], DataType::string())?;
            found.result.nullable = args.first()?.data_type.nullable;
            Some(found)
        },
        translate,
        "The string with each character of `from` replaced by the one at the same place of `to`, or dropped if there is none.",
        &[("TRANSLATE('hello', 'el', 'ip')", "hippo"), ("TRANSLATE('hello', 'elo', 'i')", "hi")],
    )
    .also(&["TRANSLATE3"]),
    Function::define(
        KIND,
        "SPLIT_INDEX",
        &["SPLIT_INDEX(string, separator, index)"],
        |args| {
            let separator = if signature::is_integer(args.get(1)?) { Param::Int } else { Param::Text };
            shaped_nullable(args, 3, &[Param::Text, separator, Param::Int], DataType::string())
        },
        split_index,
        "The piece with this index, counted from 0, of the string split at the separator; NULL if there is none.",
        &[("SPLIT_INDEX('a,b,,c', ',', 3)", "c"), ("SPLIT_INDEX('a,b', 44, 1)", "b")],
    ),
    Function::define(
        KIND,
        "SPLIT",
        &["SPLIT(string, separator)"],
        |args| {
            let array = DataType::array(DataType::string());
            shaped(args, 2, &[Param::Text, Param::Text], array)
        },
        split,
        "The pieces between the separators; the characters if the separator is empty.",
        &[("SPLIT('a,b,,c', ',')", "[a, b, , c]"), ("SPLIT('abc', '')", "[a, b, c]")],
    ),
];

/// Up to where text is searched place by place: faster than to prepare a search made for long ones.
const SHORT: usize = 64;

/// Where the needle first occurs, in bytes.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let Some((first, rest)) = needle.split_first() else { return Some(0) };
    if text.len() > SHORT {
        return memmem::find(text, needle);
    }
    let places = text.get(..=text.len().checked_sub(needle.len())?)?;
    if rest.is_empty() {
        return places.iter().position(|it| it == first);
    }
    let follows = |at: usize| text.get(at + 1..).is_some_and(|it| it.starts_with(rest));
    (0..).zip(places).find(|(at, it)| *it == first && follows(*at)).map(|(at, _)| at)
}

/// As [`find`], with a search that was made ready once.
pub(super) fn find_with(text: &[u8], needle: &memmem::Finder<'_>) -> Option<usize> {
    if text.len() > SHORT { needle.find(text) } else { find(text, needle.needle()) }
}

/// Calls `visit` with where each occurrence of the needle, which isn't empty, starts and ends, until
/// it answers `false`.
fn each_occurrence(text: &str, needle: &str, mut visit: impl FnMut(usize, usize) -> bool) {
    let mut from = 0;
    while let Some(at) = text.as_bytes().get(from..).and_then(|it| find(it, needle.as_bytes())) {
        let start = from + at;
        from = start + needle.len();
        if !visit(start, from) {
            return;
        }
    }
}

/// The index (from 0, in characters) of the first occurrence at or after the character `from`.
fn index_of(
    text: &str,
    needle: &[u8],
    from: usize,
    search: impl FnOnce(&[u8]) -> Option<usize>,
) -> Option<usize> {
    if needle.is_empty() && text.is_empty() {
        return Some(0);
    }
    let skip = byte_at(text, from);
    let at = search(&text.as_bytes()[skip..])?;
    Some(count_chars(&text[..skip + at]))
}

/// The index of the occurrence closest to the end, of those that end `back` characters before it.
fn last_index_of(text: &str, needle: &str, back: usize) -> Option<usize> {
    let end = byte_at(text, count_chars(text).checked_sub(back)?);
    text[..end].rfind(needle).map(|at| count_chars(&text[..at]))
}

fn position(found: Option<usize>) -> i32 {
    found.and_then(|it| i32::try_from(it + 1).ok()).unwrap_or(0)
}

fn locate(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (needles, texts) = (call.strings(0)?, call.strings(1)?);
    let starts = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    let constant = call.literal_text(0).map(memmem::Finder::new);
    let found = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        let from = starts.map_or(0, |it| usize::try_from(it.value(row)).unwrap_or(0).saturating_sub(1));
        let (text, needle) = (texts.value(row), needles.value(row).as_bytes());
        Ok(Some(position(index_of(text, needle, from, |text| match &constant {
            Some(needle) => find_with(text, needle),
            None => find(text, needle),
        }))))
    })?;
    Ok(Arc::new(found))
}

fn instr(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, needles) = (call.strings(0)?, call.strings(1)?);
    let starts = if call.args.len() > 2 { Some(call.ints(2)?) } else { None };
    let occurrences = if call.args.len() > 3 { Some(call.ints(3)?) } else { None };
    let found = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        let start = starts.map_or(1, |it| it.value(row));
        let occurrence = occurrences.map_or(1, |it| it.value(row));
        if occurrence <= 0 {
            return Err(EvalError::new(format!("INSTR: the occurrence must be positive, got {occurrence}")));
        }
        Ok(Some(position(nth_index(texts.value(row), needles.value(row), start, occurrence))))
    })?;
    Ok(Arc::new(found))
}

fn nth_index(text: &str, needle: &str, start: i32, occurrence: i32) -> Option<usize> {
    let distance = (start.unsigned_abs() as usize).checked_sub(1)?;
    let width = count_chars(needle);
    let (mut next, mut found) = (distance, 0);
    for _ in 0..occurrence {
        if start > 0 {
            if next > count_chars(text) {
                return None;
            }
            found = index_of(text, needle.as_bytes(), next, |text| find(text, needle.as_bytes()))?;
            next = found + 1;
        } else {
            found = last_index_of(text, needle, next)?;
            next = count_chars(text) - found - width + 1;
        }
    }
    Some(found)
}

fn text_or_bytes(args: &[Expr]) -> Option<Signature> {
    shaped(args, 2, &[Param::Text, Param::Text], DataType::boolean())
        .or_else(|| shaped(args, 2, &[Param::Bytes, Param::Bytes], DataType::boolean()))
}

fn compare_ends(call: &Call<'_>, test: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef, EvalError> {
    if let (Ok(whole), Ok(part)) = (call.strings(0), call.strings(1)) {
        return Ok(kernel::build_booleans(call.rows, call.nulls(), |row| {
            test(whole.value(row).as_bytes(), part.value(row).as_bytes())
        }));
    }
    let (whole, part) = (call.binaries(0)?, call.binaries(1)?);
    Ok(kernel::build_booleans(call.rows, call.nulls(), |row| test(whole.value(row), part.value(row))))
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, needles, replacements) = (call.strings(0)?, call.strings(1)?, call.strings(2)?);
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let (text, needle, replacement) = (texts.value(row), needles.value(row), replacements.value(row));
        let mut done = 0;
        let mut put = |start: usize, end: usize| {
            out.push_str(&text[done..start]);
            out.push_str(replacement);
            done = end;
            true
        };
        if needle.is_empty() {
            text.match_indices(needle).for_each(|(at, _)| _ = put(at, at));
        } else {
            each_occurrence(text, needle, put);
        }
        out.push_str(&text[done..]);
        Ok(true)
    })
}

fn translate(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, from, to) = (call.strings(0)?, call.strings(1)?, call.strings(2)?);
    // NULL as a set of characters is the empty set.
    kernel::build_strings(call.rows, texts.nulls(), |row, out| {
        let (text, from, to) = (texts.value(row), or_empty(from, row), or_empty(to, row));
        if !text.chars().any(|it| from.contains(it)) {
            out.push_str(text);
            return Ok(true);
        }
        for c in text.chars() {
            match from.chars().position(|it| it == c) {
                None => out.push(c),
                Some(at) => out.extend(to.chars().nth(at)),
            }
        }
        Ok(true)
    })
}

fn or_empty(texts: &StringArray, row: usize) -> &str {
    if texts.is_valid(row) { texts.value(row) } else { "" }
}

fn split_index(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let indices = call.ints(2)?;
    if let Ok(codes) = call.ints(1) {
        return slice_rows(call, |row, text| {
            let separator = u32::try_from(codes.value(row)).ok().and_then(char::from_u32)?;
            piece(text, separator.encode_utf8(&mut [0; 4]), indices.value(row))
        });
    }
    let separators = call.strings(1)?;
    slice_rows(call, |row, text| piece(text, separators.value(row), indices.value(row)))
}

fn piece<'a>(text: &'a str, separator: &str, index: i32) -> Option<&'a str> {
    let index = usize::try_from(index).ok()?;
    if text.is_empty() {
        return None;
    }
    if separator.is_empty() {
        return text.split(char::is_whitespace).nth(index);
    }
    let (mut done, mut at, mut piece) = (0, 0, None);
    each_occurrence(text, separator, |start, end| {
        piece = (at == index).then(|| &text[done..start]);
        (done, at) = (end, at + 1);
        piece.is_none()
    });
    if at == index { text.get(done..) } else { piece }
}

fn split(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, separators) = (call.strings(0)?, call.strings(1)?);
    let nulls = call.nulls();
    let mut out = list_of_strings();
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        let (text, separator) = (texts.value(row), separators.value(row));
        if separator.is_empty() {
            text.char_indices().for_each(|(at, c)| out.values().append_value(&text[at..at + c.len_utf8()]));
        } else if !text.is_empty() {
            let mut done = 0;
            each_occurrence(text, separator, |start, end| {
                out.values().append_value(&text[done..start]);
                done = end;
                true
            });
            out.values().append_value(&text[done..]);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// A builder of ARRAY<STRING>, laid out as `DataType::arrow_type` says.
pub(super) fn list_of_strings() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(DataType::string().arrow_field("item"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_counted_from_either_end() {
        assert_eq!(position(nth_index("hello", "l", 1, 2)), 4);
        assert_eq!(position(nth_index("hello", "l", -1, 1)), 4);
        assert_eq!(position(nth_index("hello", "l", -1, 2)), 3);
        assert_eq!(position(nth_index("hello", "l", 0, 1)), 0);
        assert_eq!(position(nth_index("hello", "z", -9, 1)), 0);
        assert_eq!(position(nth_index("añb", "b", 1, 1)), 3);
        assert_eq!(position(nth_index("añb", "", 1, 1)), 1);
    }

    #[test]
    fn pieces_of_nothing_are_missing() {
        assert_eq!(piece("a,b,,c", ",", 2), Some(""));
        assert_eq!(piece("a,b", ",", 9), None);
        assert_eq!(piece("a,b", ",", -1), None);
        assert_eq!(piece("", ",", 0), None);
        assert_eq!(piece("a,b", ",", 0), Some("a"));
        assert_eq!(piece("a--b-", "--", 1), Some("b-"));
        assert_eq!(piece("a", "ab", 0), Some("a"));
        assert_eq!(piece("a,", ",", 1), Some(""));
    }

    #[test]
    fn short_and_long_text_is_searched_alike() {
        for filling in [0, 10, 100] {
            let text = format!("{}ababc", "x".repeat(filling));
            assert_eq!(find(text.as_bytes(), b"abc"), Some(filling + 2));
            assert_eq!(find(text.as_bytes(), b"a"), Some(filling));
            assert_eq!(find(text.as_bytes(), b"cc"), None);
            assert_eq!(find(text.as_bytes(), b""), Some(0));
        }
        assert_eq!(find(b"", b"a"), None);
        assert_eq!(find(b"ab", b"abc"), None);
    }
}
