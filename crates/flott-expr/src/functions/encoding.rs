//! Text as bytes, bytes as text: character sets, base64, hexadecimal, binary digits.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryBuilder, StringArray},
    datatypes::Int32Type,
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped, shaped_nullable},
    kernel::{self, Prepared},
    signature,
};
use crate::EvalError;

const KIND: FunctionKind = FunctionKind::String;

/// Padding may be missing, as in Java.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "ASCII",
        &["ASCII(string)"],
        |args| shaped(args, 1, &[Param::Text], DataType::int()),
        |call| {
            let input = call.strings(0)?;
            let codes = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
                Ok(Some(input.value(row).as_bytes().first().map_or(0, |it| i32::from(*it as i8))))
            })?;
            Ok(Arc::new(codes))
        },
        "The first byte as a signed number; 0 for the empty string.",
        &[("ASCII('abc')", "97")],
    ),
    Function::define(
        KIND,
        "CHR",
        &["CHR(integer)"],
        |args| shaped_nullable(args, 1, &[Param::Long], DataType::string()),
        |call| {
            let codes = call.bigints(0)?;
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                let code = codes.value(row);
                if code >= 0 {
                    out.push(char::from((code & 0xFF) as u8));
                }
                Ok(true)
            })
        },
        "The character with this code, modulo 256; the empty string for a negative code.",
        &[("CHR(97)", "a"), ("CHR(353)", "a")],
    ),
    Function::define(
        KIND,
        "ENCODE",
        &["ENCODE(string, charset)"],
        |args| shaped(args, 2, &[Param::Text, Param::Text], DataType::bytes()),
        encode,
        "The bytes of the string in US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16BE or UTF-16LE.",
        &[("HEX(CAST(ENCODE('abc', 'UTF-8') AS STRING))", "616263")],
    ),
    Function::define(
        KIND,
        "DECODE",
        &["DECODE(bytes, charset)"],
        |args| shaped(args, 2, &[Param::Bytes, Param::Text], DataType::string()),
        decode,
        "The text that the bytes spell in US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16BE or UTF-16LE.",
        &[("DECODE(ENCODE('añ', 'UTF-8'), 'UTF-8')", "añ")],
    ),
    Function::define(
        KIND,
        "TO_BASE64",
        &["TO_BASE64(string)", "TO_BASE64(bytes)"],
        |args| {
            shaped(args, 1, &[Param::Text], DataType::string())
                .or_else(|| shaped(args, 1, &[Param::Bytes], DataType::string()))
        },
        |call| {
            if let Ok(values) = call.binaries(0) {
                return kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                    push_base64(values.value(row), out);
                    Ok(true)
                });
            }
            kernel::map_strings(call.strings(0)?, |text, out| {
                push_base64(text.as_bytes(), out);
                Ok(())
            })
        },
        "The string or bytes in base64.",
        &[("TO_BASE64('hello')", "aGVsbG8=")],
    ),
    Function::define(
        KIND,
        "FROM_BASE64",
        &["FROM_BASE64(string)"],
        |args| shaped(args, 1, &[Param::Text], DataType::string()),
        |call| {
            let mut bytes = Vec::new();
            kernel::map_strings(call.strings(0)?, |text, out| {
                bytes.clear();
                match BASE64.decode_vec(text, &mut bytes) {
                    Ok(()) => out.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(why) => return Err(EvalError::new(format!("'{text}' isn't base64: {why}"))),
                }
                Ok(())
            })
        },
        "The text behind the base64.",
        &[("FROM_BASE64('aGVsbG8=')", "hello")],
    ),
    Function::define(
        KIND,
        "HEX",
        &["HEX(integer)", "HEX(string)"],
        |args| {
            let param = if signature::is_integer(args.first()?) { Param::Long } else { Param::Text };
            shaped(args, 1, &[param], DataType::string())
        },
        hex,
        "The number, or the bytes of the string, in upper-case hexadecimal digits.",
        &[("HEX(10)", "A"), ("HEX('hello,world')", "68656C6C6F2C776F726C64")],
    ),
    Function::define(
        KIND,
        "UNHEX",
        &["UNHEX(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::bytes()),
        |call| unhex(call.strings(0)?),
        "The bytes that the hexadecimal digits spell; NULL if one isn't a digit.",
        &[("CAST(UNHEX('616263') AS STRING)", "abc")],
    ),
    Function::define(
        KIND,
        "BIN",
        &["BIN(integer)"],
        |args| shaped(args, 1, &[Param::Long], DataType::string()),
        |call| {
            let input = call.bigints(0)?;
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                push_binary(input.value(row) as u64, out);
                Ok(true)
            })
        },
        "The number in binary digits.",
        &[("BIN(4)", "100")],
    ),
];

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
/// What a hexadecimal digit is worth; 255 for other bytes.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut at = 0;
    while at < 16 {
        values[UPPER[at] as usize] = at as u8;
        values[LOWER[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// The bytes in two hexadecimal digits each.
struct Pairs([u8; 512]);

impl Pairs {
    const fn new(digits: &[u8; 16]) -> Self {
        let mut pairs = [0; 512];
        let mut at = 0;
        while at < 256 {
            pairs[2 * at] = digits[at >> 4];
            pairs[2 * at + 1] = digits[at & 15];
            at += 1;
        }
        Self(pairs)
    }
    const fn text(&self) -> &str {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

static LOWER_BYTES: Pairs = Pairs::new(LOWER);
static UPPER_BYTES: Pairs = Pairs::new(UPPER);
static LOWER_PAIRS: &str = LOWER_BYTES.text();
static UPPER_PAIRS: &str = UPPER_BYTES.text();

/// The digits of so many bits in base 2.
static NIBBLES: [&str; 16] = [
    "0000", "0001", "0010", "0011", "0100", "0101", "0110", "0111", "1000", "1001", "1010", "1011", "1100",
    "1101", "1110", "1111",
];

/// Appends two hexadecimal digits per byte.
pub(super) fn push_hex(bytes: &[u8], out: &mut String, upper: bool) {
    let pairs = if upper { UPPER_PAIRS } else { LOWER_PAIRS };
    if bytes.len() < WORTH_A_DETOUR {
        for byte in bytes {
            let at = 2 * usize::from(*byte);
            out.push_str(pairs.get(at..at + 2).unwrap_or(""));
        }
        return;
    }
    let digits = if upper { UPPER } else { LOWER };
    let mut spelled = [0; 128];
    for part in bytes.chunks(spelled.len() / 2) {
        for (pair, byte) in spelled.chunks_exact_mut(2).zip(part) {
            pair[0] = digits[usize::from(byte >> 4)];
            pair[1] = digits[usize::from(byte & 15)];
        }
        if let Ok(text) = std::str::from_utf8(&spelled[..2 * part.len()]) {
            out.push_str(text);
        }
    }
}

/// From so many bytes on digits are spelled on the stack and copied at once.
const WORTH_A_DETOUR: usize = 8;

/// Appends the number in hexadecimal digits, in upper case, without leading zeros.
fn push_hexadecimal(value: u64, out: &mut String) {
    let bytes = value.to_be_bytes();
    let rest = bytes.get((value.leading_zeros() / 8) as usize..).unwrap_or(&[]);
    match rest {
        [] => out.push('0'),
        [first @ ..16, rest @ ..] => {
            out.push(char::from(UPPER[usize::from(*first)]));
            push_hex(rest, out, true);
        }
        _ => push_hex(rest, out, true),
    }
}

/// Appends the number in binary digits, without leading zeros.
fn push_binary(value: u64, out: &mut String) {
    let nibbles = (64 - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..nibbles).rev() {
        let digits = NIBBLES[(value >> (4 * place) & 15) as usize];
        out.push_str(if place + 1 == nibbles { digits.trim_start_matches('0') } else { digits });
    }
    if value == 0 {
        out.push('0');
    }
}

/// Short values are encoded on the stack.
fn push_base64(bytes: &[u8], out: &mut String) {
    let mut spelled = [0; 128];
    let short = if bytes.len() <= 96 { BASE64.encode_slice(bytes, &mut spelled).ok() } else { None };
    match short.and_then(|length| std::str::from_utf8(spelled.get(..length)?).ok()) {
        Some(text) => out.push_str(text),
        None => BASE64.encode_string(bytes, out),
    }
}

fn hex(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    if let Ok(numbers) = call.bigints(0) {
        return kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
            push_hexadecimal(numbers.value(row) as u64, out);
            Ok(true)
        });
    }
    kernel::map_strings(call.strings(0)?, |text, out| {
        push_hex(text.as_bytes(), out, true);
        Ok(())
    })
}

fn unhex(input: &StringArray) -> Result<ArrayRef, EvalError> {
    let mut out = BinaryBuilder::with_capacity(input.len(), kernel::text_bytes(input) / 2);
    let mut bytes = Vec::new();
    for text in input {
        bytes.clear();
        match text {
            Some(text) if push_unhexed(text, &mut bytes) => out.append_value(&bytes),
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Of an odd number of digits the first counts as a byte of zero, as in Flink. `false` if
/// something isn't a digit.
fn push_unhexed(text: &str, out: &mut Vec<u8>) -> bool {
    let digit = |byte: &u8| Some(VALUES[usize::from(*byte)]).filter(|it| *it < 16);
    let (first, pairs) = text.as_bytes().split_at(text.len() % 2);
    if !first.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    out.extend(first.iter().map(|_| 0));
    for pair in pairs.chunks_exact(2) {
        match (digit(&pair[0]), digit(&pair[1])) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => return false,
        }
    }
    true
}

#[derive(Debug, Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    fn of(name: &str) -> Result<Self, EvalError> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16" => Self::Utf16,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-16LE" => Self::Utf16Le,
            _ => return Err(EvalError::new(format!("unknown character set '{name}'"))),
        })
    }
    fn encode(self, text: &str, out: &mut Vec<u8>) {
        let up_to = |last: char| move |c: char| if c <= last { c as u32 as u8 } else { b'?' };
        match self {
            Self::Ascii => out.extend(text.chars().map(up_to('\u{7F}'))),
            Self::Latin1 => out.extend(text.chars().map(up_to('\u{FF}'))),
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 => {
                out.extend([0xFE, 0xFF]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        }
    }
    fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Ascii => out.extend(
                bytes
                    .iter()
                    .map(|it| if it.is_ascii() { char::from(*it) } else { char::REPLACEMENT_CHARACTER }),
            ),
            Self::Latin1 => out.extend(bytes.iter().copied().map(char::from)),
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => out.push_str(text),
                Err(_) => bytes.utf8_chunks().for_each(|chunk| {
                    out.push_str(chunk.valid());
                    if !chunk.invalid().is_empty() {
                        out.push(char::REPLACEMENT_CHARACTER);
                    }
                }),
            },
            Self::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => decode_utf16(rest, u16::from_le_bytes, out),
                [0xFE, 0xFF, rest @ ..] => decode_utf16(rest, u16::from_be_bytes, out),
                _ => decode_utf16(bytes, u16::from_be_bytes, out),
            },
            Self::Utf16Be => decode_utf16(bytes, u16::from_be_bytes, out),
            Self::Utf16Le => decode_utf16(bytes, u16::from_le_bytes, out),
        }
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, out: &mut String) {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let chars = char::decode_utf16(pairs.iter().map(|it| unit(*it)));
    out.extend(chars.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
    if !rest.is_empty() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}

fn encode(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, charsets, nulls) = (call.strings(0)?, call.strings(1)?, call.nulls());
    let mut charsets = Prepared::new(charsets);
    let mut out = BinaryBuilder::with_capacity(call.rows, kernel::text_bytes(texts));
    let mut bytes = Vec::new();
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        match charsets.at(row, Charset::of)? {
            Charset::Utf8 => out.append_value(texts.value(row)),
            other => {
                bytes.clear();
                other.encode(texts.value(row), &mut bytes);
                out.append_value(&bytes);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

fn decode(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (bytes, mut charsets) = (call.binaries(0)?, Prepared::new(call.strings(1)?));
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        charsets.at(row, Charset::of)?.decode(bytes.value(row), out);
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_no_leading_zeros() {
        let text = |value: i64, push: fn(u64, &mut String)| {
            let mut out = String::new();
            push(value as u64, &mut out);
            out
        };
        for value in [0, 1, 4, 10, 15, 16, 255, 256, 4_095, 4_096, -1, -10, i64::MAX, i64::MIN] {
            assert_eq!(text(value, push_hexadecimal), format!("{value:X}"));
            assert_eq!(text(value, push_binary), format!("{value:b}"));
        }
    }

    #[test]
    fn utf16_round_trips_with_and_without_a_mark() {
        for charset in [Charset::Utf16, Charset::Utf16Be, Charset::Utf16Le, Charset::Utf8] {
            let (mut bytes, mut text) = (Vec::new(), String::new());
            charset.encode("añ😀", &mut bytes);
            charset.decode(&bytes, &mut text);
            assert_eq!(text, "añ😀", "{charset:?}");
        }
    }
}
