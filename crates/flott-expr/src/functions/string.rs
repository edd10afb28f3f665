//! Text in, text out: case, trimming, parts, padding, joining.
//!
//! Positions count characters (code points) from 1; a negative start counts from the end.
//! Where all bytes of a column are ASCII, characters are bytes and nothing is decoded.
//! Searching is in `string_search.rs`, bytes and digits in `encoding.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    compute::kernels::length::bit_length,
};
use flott_types::{DataType, TypeKind};

use super::{
    Call, Function, FunctionKind, Signature,
    define::{Param, joined_text, same_text, shaped, shaped_nullable, varchar_like},
    kernel::{self, Texts},
    signature,
};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::String;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "||",
        &["string || string"],
        |args| match args {
            [left, right] => {
                let mut found = signature::string_args(args, 2, joined_text(left, right))?;
                if left.data_type.is_null() || right.data_type.is_null() {
                    found.result = DataType::string();
                }
                Some(found)
            }
            _ => None,
        },
        concat,
        "The strings joined; NULL if one is NULL.",
        &[("'a' || 'bc'", "abc"), ("CAST('a' AS STRING) || 'b'", "ab")],
    ),
    Function::define(
        KIND,
        "UPPER",
        &["UPPER(string)"],
        |args| signature::string_args(args, 1, same_text(args.first()?)),
        |call| {
            convert_case(call.strings(0)?, <[u8]>::to_ascii_uppercase, str::make_ascii_uppercase, |text, out| {
                push_converted(text, out, |it| it.to_ascii_uppercase(), |c, out| out.extend(c.to_uppercase()));
            })
        },
        "The string in upper case.",
        &[("UPPER('abc')", "ABC"), ("UPPER('straße')", "STRASSE")],
    ),
    Function::define(
        KIND,
        "LOWER",
        &["LOWER(string)"],
        |args| signature::string_args(args, 1, same_text(args.first()?)),
        |call| {
            convert_case(call.strings(0)?, <[u8]>::to_ascii_lowercase, str::make_ascii_lowercase, |text, out| {
                // What a sigma becomes depends on its neighbours.
                if text.contains('Σ') {
                    out.push_str(&text.to_lowercase());
                } else {
                    push_converted(text, out, |it| it.to_ascii_lowercase(), |c, out| out.extend(c.to_lowercase()));
                }
            })
        },
        "The string in lower case.",
        &[("LOWER('ABC')", "abc")],
    ),
    Function::define(
        KIND,
        "INITCAP",
        &["INITCAP(string)"],
        |args| signature::string_args(args, 1, same_text(args.first()?)),
        initcap,
        "Each word with its first letter in upper case and the rest in lower case. A word is a run of letters and digits.",
        &[("INITCAP('hello wORLD-foo bar_x 1abc')", "Hello World-Foo Bar_X 1abc")],
    ),
    Function::define(
        KIND,
        "CHAR_LENGTH",
        &["CHAR_LENGTH(string)"],
        |args| signature::string_args(args, 1, DataType::int()),
        char_length,
        "The number of characters.",
        &[("CHAR_LENGTH('añ😀')", "3")],
    )
    .also(&["CHARACTER_LENGTH"]),
    Function::define(
        KIND,
        "TRIM",
        &["TRIM([BOTH | LEADING | TRAILING] [chars] FROM string)", "TRIM(string)"],
        trimmed,
        |call| trim(call, true, true),
        "The string without the given characters (spaces) at its ends.",
        &[("TRIM('  a b ')", "a b"), ("TRIM(BOTH 'xy' FROM 'xyaxy')", "a")],
    ),
    Function::define(
        KIND,
        "TRIM_LEADING",
        &["TRIM(LEADING [chars] FROM string)"],
        trimmed,
        |call| trim(call, true, false),
        "What `TRIM(LEADING …)` calls.",
        &[("TRIM(LEADING 'x' FROM 'xxaxx')", "axx")],
    ),
    Function::define(
        KIND,
        "TRIM_TRAILING",
        &["TRIM(TRAILING [chars] FROM string)"],
        trimmed,
        |call| trim(call, false, true),
        "What `TRIM(TRAILING …)` calls.",
        &[("TRIM(TRAILING 'x' FROM 'xxaxx')", "xxa")],
    ),
    Function::define(
        KIND,
        "LTRIM",
        &["LTRIM(string [, chars])"],
        trimmed,
        |call| trim(call, true, false),
        "The string without the given characters (spaces) at its start.",
        &[("LTRIM('  a ')", "a "), ("LTRIM('xyxa', 'xy')", "a")],
    ),
    Function::define(
        KIND,
        "RTRIM",
        &["RTRIM(string [, chars])"],
        trimmed,
        |call| trim(call, false, true),
        "The string without the given characters (spaces) at its end.",
        &[("RTRIM('  a ')", "  a"), ("RTRIM('axyxy', 'xy')", "a")],
    ),
    Function::define(
        KIND,
        "BTRIM",
        &["BTRIM(string [, chars])"],
        |args| shaped(args, 1, &[Param::Text, Param::Text], DataType::string()),
        |call| trim(call, true, true),
        "The string without the given characters (spaces) at both ends.",
        &[("BTRIM('  a  ')", "a"), ("BTRIM('xyaxy', 'xy')", "a")],
    ),
    Function::define(
        KIND,
        "SUBSTRING",
        &["SUBSTRING(string, start [, length])", "SUBSTRING(string FROM start [FOR length])"],
        |args| shaped_nullable(args, 2, &[Param::Text, Param::Int, Param::Int], varchar_like(args.first()?)),
        substring,
        "The part from a position on, of at most the given length. A negative start counts from the end; a negative length gives NULL.",
        &[("SUBSTRING('hello', 2, 3)", "ell"), ("SUBSTRING('hello', -3)", "llo")],
    )
    .also(&["SUBSTR"]),
    Function::define(
        KIND,
        "LEFT",
        &["LEFT(string, length)"],
        |args| shaped_nullable(args, 2, &[Param::Text, Param::Int], varchar_like(args.first()?)),
        |call| {
            let lengths = call.ints(1)?;
            slice_rows(call, |row, text| Some(&text[..byte_at(text, at_least_zero(lengths.value(row)))]))
        },
        "The first characters. A negative length gives the empty string.",
        &[("LEFT('hello', 2)", "he")],
    ),
    Function::define(
        KIND,
        "RIGHT",
        &["RIGHT(string, length)"],
        |args| shaped_nullable(args, 2, &[Param::Text, Param::Int], varchar_like(args.first()?)),
        |call| {
            let lengths = call.ints(1)?;
            slice_rows(call, |row, text| {
                let skip = count_chars(text).saturating_sub(at_least_zero(lengths.value(row)));
                Some(&text[byte_at(text, skip)..])
            })
        },
        "The last characters. A negative length gives the empty string.",
        &[("RIGHT('hello', 2)", "lo")],
    ),
    Function::define(
        KIND,
        "REPEAT",
        &["REPEAT(string, times)"],
        |args| shaped(args, 2, &[Param::Text, Param::Int], DataType::string()),
        repeat,
        "The string as many times in a row.",
        &[("REPEAT('ab', 3)", "ababab")],
    ),
    Function::define(
        KIND,
        "REVERSE",
        &["REVERSE(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::string()),
        |call| {
            kernel::map_strings(call.strings(0)?, |text, out| {
                out.extend(text.chars().rev());
                Ok(())
            })
        },
        "The characters in reverse order.",
        &[("REVERSE('a😀b')", "b😀a")],
    ),
    Function::define(
        KIND,
        "LPAD",
        &["LPAD(string, length, pad)"],
        |args| shaped(args, 3, &[Param::Text, Param::Int, Param::Text], DataType::string()),
        |call| pad(call, true),
        "The string filled up on its left to the length, or cut to it. NULL if the length is negative or the padding empty.",
        &[("LPAD('hi', 5, '?!')", "?!?hi"), ("LPAD('hi', 1, '?')", "h")],
    ),
    Function::define(
        KIND,
        "RPAD",
        &["RPAD(string, length, pad)"],
        |args| shaped(args, 3, &[Param::Text, Param::Int, Param::Text], DataType::string()),
        |call| pad(call, false),
        "The string filled up on its right to the length, or cut to it. NULL if the length is negative or the padding empty.",
        &[("RPAD('hi', 5, '?!')", "hi?!?")],
    ),
    Function::define(
        KIND,
        "OVERLAY",
        &["OVERLAY(string PLACING replacement FROM start [FOR length])", "OVERLAY(string, replacement, start [, length])"],
        |args| {
            let params = [Param::Text, Param::Text, Param::Int, Param::Int];
            let joined = match joined_text(args.first()?, args.get(1)?).kind {
                TypeKind::Char(n) => TypeKind::Varchar(n).into(),
                kind => kind.into(),
            };
            shaped(args, 3, &params, joined)
        },
        overlay,
        "The string with a part replaced, by default as long as the replacement. A start outside the string changes nothing.",
        &[
            ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)", "xxxxxxxxx"),
            ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2)", "xxxxxxxxxst"),
        ],
    ),
    Function::define(
        KIND,
        "CONCAT",
        &["CONCAT(string, …)"],
        |args| (!args.is_empty()).then(|| signature::string_args(args, args.len(), DataType::string()))?,
        concat,
        "The strings joined; NULL if one is NULL.",
        &[("CONCAT('a', 'b', 'c')", "abc")],
    ),
    Function::define(
        KIND,
        "CONCAT_WS",
        &["CONCAT_WS(separator, string, …)"],
        |args| (!args.is_empty()).then(|| signature::string_args(args, args.len(), DataType::string()))?,
        concat_ws,
        "The strings that aren't NULL, joined with the separator between them; NULL only if the separator is.",
        &[("CONCAT_WS(',', 'a', CAST(NULL AS STRING), 'b')", "a,b")],
    ),
    Function::define(
        KIND,
        "ELT",
        &["ELT(index, string, …)"],
        elt_types,
        elt,
        "The string at the index, counted from 1; NULL if there is none.",
        &[("ELT(2, 'a', 'b')", "b")],
    ),
];

/// The byte offset of the character with this index; the end if the text is shorter.
pub(super) fn byte_at(text: &str, index: usize) -> usize {
    if index >= text.len() {
        return text.len();
    }
    if text.is_ascii() {
        return index;
    }
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
}

/// The number of characters: of the bytes that begin one.
#[inline]
pub(super) fn count_chars(text: &str) -> usize {
    text.as_bytes().iter().map(|byte| usize::from(*byte as i8 >= -0x40)).sum()
}

/// Appends the text so many times, in steps that double.
fn push_repeated(text: &str, times: usize, out: &mut String) {
    let start = out.len();
    let end = start + text.len() * times;
    out.reserve(end - start);
    if times > 0 {
        out.push_str(text);
    }
    while out.len() < end {
        let more = (out.len() - start).min(end - out.len());
        out.extend_from_within(start..start + more);
    }
}

/// Appends so many characters of the padding, over and over.
fn push_padding(pad: &str, characters: usize, out: &mut String) {
    let width = count_chars(pad);
    push_repeated(pad, characters / width.max(1), out);
    out.push_str(&pad[..byte_at(pad, characters % width.max(1))]);
}

/// A count that can't be negative.
pub(super) fn at_least_zero(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// A part of the first argument in each row in which no argument is NULL.
pub(super) fn slice_rows<'a>(
    call: &Call<'a>,
    part: impl FnMut(usize, &'a str) -> Option<&'a str>,
) -> Result<ArrayRef, EvalError> {
    Ok(kernel::slice_strings(call.strings(0)?, call.nulls().as_ref(), part))
}

/// A column of ASCII is converted in one go: offsets and NULLs stay. Of another one the rows that
/// aren't ASCII are converted one by one.
fn convert_case(
    input: &StringArray,
    ascii: fn(&[u8]) -> Vec<u8>,
    mut in_place: impl FnMut(&mut str),
    mut unicode: impl FnMut(&str, &mut String),
) -> Result<ArrayRef, EvalError> {
    if !input.is_ascii() {
        return kernel::map_strings(input, |text, out| {
            if text.is_ascii() {
                let start = out.len();
                out.push_str(text);
                in_place(&mut out[start..]);
            } else {
                unicode(text, out);
            }
            Ok(())
        });
    }
    let offsets = input.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let bytes = ascii(&input.value_data()[first as usize..last as usize]);
    let offsets = if first == 0 {
        input.offsets().clone()
    } else {
        OffsetBuffer::new(offsets.iter().map(|it| it - first).collect::<ScalarBuffer<i32>>())
    };
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), input.nulls().cloned())?))
}

fn push_converted(
    text: &str,
    out: &mut String,
    ascii: impl Fn(char) -> char,
    other: impl Fn(char, &mut String),
) {
    out.reserve(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(ascii(c));
        } else if c >= CASELESS {
            out.push(c);
        } else {
            other(c, out);
        }
    }
}

/// From here on no character has an upper or lower case: symbols and pictures, and then ideographs.
const CASELESS: char = '\u{1EA00}';

/// Words are of ASCII letters and digits; other characters stay as they are, as in Flink.
fn initcap(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    kernel::map_strings(call.strings(0)?, |text, out| {
        let mut in_word = false;
        for c in text.chars() {
            out.push(if in_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
            in_word = c.is_ascii_alphanumeric();
        }
        Ok(())
    })
}

fn char_length(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let input = call.strings(0)?;
    if input.is_ascii() {
        let bits = bit_length(input)?;
        let bits = bits.as_primitive::<arrow::datatypes::Int32Type>();
        return Ok(Arc::new(bits.unary::<_, arrow::datatypes::Int32Type>(|it| it / 8)));
    }
    let lengths =
        kernel::build_primitive::<arrow::datatypes::Int32Type>(input.len(), input.nulls(), |row| {
            Ok(i32::try_from(count_chars(input.value(row))).ok())
        })?;
    Ok(Arc::new(lengths))
}

fn trimmed(args: &[Expr]) -> Option<Signature> {
    shaped(args, 1, &[Param::Text, Param::Text], varchar_like(args.first()?))
}

fn trim(call: &Call<'_>, start: bool, end: bool) -> Result<ArrayRef, EvalError> {
    if call.args.len() == 1 {
        let input = call.strings(0)?;
        return Ok(kernel::slice_strings(input, input.nulls(), |_, text| {
            Some(strip(text, |c| c == ' ', start, end))
        }));
    }
    let chars = call.strings(1)?;
    slice_rows(call, |row, text| {
        let set = chars.value(row);
        Some(strip(text, |c| set.contains(c), start, end))
    })
}

fn strip(text: &str, strips: impl Fn(char) -> bool, start: bool, end: bool) -> &str {
    let text = if start { text.trim_start_matches(&strips) } else { text };
    if end { text.trim_end_matches(&strips) } else { text }
}

fn substring(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let starts = call.ints(1)?;
    if call.args.len() == 2 {
        return slice_rows(call, |row, text| part_of(text, starts.value(row), i32::MAX));
    }
    let lengths = call.ints(2)?;
    slice_rows(call, |row, text| part_of(text, starts.value(row), lengths.value(row)))
}

/// The part that starts at a position (from 1; negative: from the end; 0 is 1).
fn part_of(text: &str, start: i32, length: i32) -> Option<&str> {
    let length = usize::try_from(length).ok()?;
    let skip = match start {
        0 => 0,
        1.. => start as usize - 1,
        _ => match count_chars(text).checked_sub(start.unsigned_abs() as usize) {
            Some(skip) => skip,
            None => return Some(""),
        },
    };
    let rest = &text[byte_at(text, skip)..];
    Some(&rest[..byte_at(rest, length)])
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (input, times) = (call.strings(0)?, call.ints(1)?);
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let (text, times) = (input.value(row), at_least_zero(times.value(row)));
        check_size(text.len().saturating_mul(times))?;
        push_repeated(text, times, out);
        Ok(true)
    })
}

/// A result no string can hold fails the row instead of eating all memory.
fn check_size(bytes: usize) -> Result<(), EvalError> {
    const BYTES_MAX: usize = 256 << 20;
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    Err(EvalError::new(format!("a string of {bytes} bytes is too long; the limit is {BYTES_MAX}")))
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef, EvalError> {
    let (input, lengths, pads) = (call.strings(0)?, call.ints(1)?, call.strings(2)?);
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let (text, pad) = (input.value(row), pads.value(row));
        let Ok(length) = usize::try_from(lengths.value(row)) else { return Ok(false) };
        if pad.is_empty() {
            return Ok(false);
        }
        let have = count_chars(text);
        if have >= length {
            out.push_str(&text[..byte_at(text, length)]);
            return Ok(true);
        }
        check_size(length)?;
        if left {
            push_padding(pad, length - have, out);
            out.push_str(text);
        } else {
            out.push_str(text);
            push_padding(pad, length - have, out);
        }
        Ok(true)
    })
}

fn overlay(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (input, replacements, starts) = (call.strings(0)?, call.strings(1)?, call.ints(2)?);
    let lengths = if call.args.len() > 3 { Some(call.ints(3)?) } else { None };
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let (text, replacement) = (input.value(row), replacements.value(row));
        let start = at_least_zero(starts.value(row));
        if start == 0 || start > count_chars(text) {
            out.push_str(text);
            return Ok(true);
        }
        let length = lengths.map_or(count_chars(replacement), |it| at_least_zero(it.value(row)));
        let begin = byte_at(text, start - 1);
        out.push_str(&text[..begin]);
        out.push_str(replacement);
        // A length of zero or less drops the rest.
        if length > 0 {
            let rest = &text[begin..];
            out.push_str(&rest[byte_at(rest, length)..]);
        }
        Ok(true)
    })
}

fn concat(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let parts: Vec<&StringArray> =
        (0..call.args.len()).map(|it| call.strings(it)).collect::<Result<_, _>>()?;
    let nulls = call.nulls();
    let bytes = parts.iter().map(|it| kernel::text_bytes(it)).sum();
    let mut out = Texts::with_capacity(call.rows, bytes);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.end_null();
            continue;
        }
        parts.iter().for_each(|part| out.push_str(part.value(row)));
        out.end_row()?;
    }
    Ok(Arc::new(out.finish()))
}

fn concat_ws(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let separators = call.strings(0)?;
    let parts: Vec<&StringArray> =
        (1..call.args.len()).map(|it| call.strings(it)).collect::<Result<_, _>>()?;
    kernel::build_strings(call.rows, separators.nulls(), |row, out| {
        let mut between = "";
        for part in parts.iter().filter(|it| it.is_valid(row)) {
            out.push_str(between);
            out.push_str(part.value(row));
            between = separators.value(row);
        }
        Ok(true)
    })
}

fn elt_types(args: &[Expr]) -> Option<Signature> {
    let (index, choices) = args.split_first()?;
    if choices.is_empty() || !signature::is_integer(index) {
        return None;
    }
    let bytes = choices.iter().all(|it| it.data_type.is_binary());
    if !bytes && !choices.iter().all(signature::is_string) {
        return None;
    }
    let common = signature::common(choices)?.with_nullable(true);
    let mut arguments = vec![DataType::int()];
    arguments.extend(choices.iter().map(|_| common.clone()));
    let mut found = signature::signature(args, arguments, common);
    found.result.nullable = true;
    Some(found)
}

fn elt(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let indices = call.ints(0)?;
    let choices: Vec<&dyn Array> = call.args.iter().skip(1).map(|it| it.as_ref()).collect();
    let nothing = arrow::array::new_null_array(&call.data_type.arrow_type(), 1);
    let mut sources = vec![nothing.as_ref()];
    sources.extend(choices);
    let picks: Vec<(usize, usize)> = (0..call.rows)
        .map(|row| {
            let index = if indices.is_null(row) { 0 } else { at_least_zero(indices.value(row)) };
            if index == 0 || index >= sources.len() { (0, 0) } else { (index, row) }
        })
        .collect();
    Ok(arrow::compute::interleave(&sources, &picks)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_characters_from_either_end() {
        let part = |start, length| part_of("a😀bc", start, length);
        assert_eq!(part(2, 1), Some("😀"));
        assert_eq!(part(-3, 2), Some("😀b"));
        assert_eq!(part(0, 2), Some("a😀"));
        assert_eq!(part(-9, 2), Some(""));
        assert_eq!(part(9, 2), Some(""));
        assert_eq!(part(1, -1), None);
        assert_eq!(part(i32::MIN, i32::MAX), Some(""));
    }

    #[test]
    fn case_of_a_slice_keeps_its_rows() {
        let input = StringArray::from(vec![Some("zz"), Some("aB"), None, Some("c")]);
        let upper =
            convert_case(&input.slice(1, 3), |it| it.to_ascii_uppercase(), |_| (), |_, _| ()).unwrap();
        assert_eq!(upper.as_string::<i32>(), &StringArray::from(vec![Some("AB"), None, Some("C")]));
    }

    #[test]
    fn characters_from_some_point_on_have_no_case() {
        for c in CASELESS..=char::MAX {
            assert!(c.to_uppercase().eq([c]) && c.to_lowercase().eq([c]), "{c}");
        }
    }

    #[test]
    fn strips_sets_of_characters() {
        assert_eq!(strip("xyaxy", |c| "xy".contains(c), true, true), "a");
        assert_eq!(strip("xxaxx", |_| false, true, true), "xxaxx");
    }
}
