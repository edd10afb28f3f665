//! `PRINTF`: text from a format of Java's `Formatter`.
//!
//! ```text
//!   %[flags][width][.precision]conversion      flags  - 0 + space , (
//! ```
//!
//! An argument that doesn't fit its conversion, or is missing, makes the row NULL, as in Flink.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType as ArrowType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind,
    kernel::{self, Prepared},
    signature,
};
use crate::{EvalError, render};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::String,
    "PRINTF",
    &["PRINTF(format, value, …)"],
    |args| {
        let (format, _) = args.split_first().filter(|(format, _)| signature::is_string(format))?;
        let mut found = signature::as_given(args, DataType::string());
        found.result.nullable = true;
        (!format.data_type.is_null()).then_some(found)
    },
    printf,
    "The values in the places that the format leaves for them: `%s`, `%d`, `%x`, `%f`, `%e`, `%b`, `%c`, …",
    &[("PRINTF('%x|%-5s|%5s|%b', 255, 'l', 'r', TRUE)", "ff|l    |    r|true")],
)];

/// `%[index$][flags][width][.precision]conversion`
#[derive(Debug, Default, Clone)]
struct Place {
    /// From 0; `None`: the next one.
    index: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    comma: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

enum Piece {
    Text(String),
    Place(Place),
}

/// Wider places are refused rather than filling memory.
const WIDTH_MAX: usize = 10_000;

fn compile(format: &str) -> Option<Vec<Piece>> {
    let (mut pieces, mut rest) = (Vec::new(), format);
    while let Some((text, after)) = rest.split_once('%') {
        pieces.push(Piece::Text(text.to_owned()));
        let (place, after) = place(after)?;
        pieces.push(match place.conversion {
            '%' => Piece::Text("%".to_owned()),
            'n' => Piece::Text("\n".to_owned()),
            _ => Piece::Place(place),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}

fn place(text: &str) -> Option<(Place, &str)> {
    let mut out = Place::default();
    let mut rest = text;
    if let Some((index, after)) = rest.split_once('$')
        && let Ok(index) = index.parse::<usize>()
    {
        out.index = Some(index.checked_sub(1)?);
        rest = after;
    }
    let mut chars = rest.chars().peekable();
    while let Some(flag) = chars.next_if(|it| "-0+ ,".contains(*it)) {
        match flag {
            '-' => out.left = true,
            '0' => out.zero = true,
            '+' => out.plus = true,
            ' ' => out.space = true,
            _ => out.comma = true,
        }
    }
    let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut value: Option<usize> = None;
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            let digit = digit.to_digit(10).unwrap_or(0) as usize;
            value = Some((value.unwrap_or(0) * 10 + digit).min(WIDTH_MAX + 1));
        }
        value
    };
    out.width = digits(&mut chars).unwrap_or(0);
    if chars.next_if_eq(&'.').is_some() {
        out.precision = Some(digits(&mut chars)?);
    }
    out.conversion = chars.next()?;
    let fits = out.width <= WIDTH_MAX && out.precision.unwrap_or(0) <= WIDTH_MAX;
    let rest: String = chars.collect();
    fits.then(|| (out, &text[text.len() - rest.len()..]))
}

fn printf(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let formats = call.strings(0)?;
    let (mut known, mut scratch) = (Prepared::new(formats), String::new());
    kernel::build_strings(call.rows, formats.nulls(), |row, out| {
        let Some(pieces) = known.at(row, |format| Ok(compile(format)))? else { return Ok(false) };
        let mut next = 0;
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place(place) => {
                    let index = place.index.unwrap_or_else(|| {
                        next += 1;
                        next - 1
                    });
                    scratch.clear();
                    let text = if show_plain(call, index + 1, row, place, &mut scratch).is_some() {
                        &scratch
                    } else {
                        match shown(call, index + 1, row, place) {
                            Some(text) => {
                                scratch = text;
                                &scratch
                            }
                            None => return Ok(false),
                        }
                    };
                    push_padded(text, place, out);
                }
            }
        }
        Ok(true)
    })
}

fn push_padded(text: &str, place: &Place, out: &mut String) {
    if place.width == 0 {
        return out.push_str(text);
    }
    let fill = place.width.saturating_sub(text.chars().count());
    if place.left {
        out.push_str(text);
    }
    if place.zero && !place.left {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+', ' '])));
        out.push_str(sign);
        (0..fill).for_each(|_| out.push('0'));
        out.push_str(digits);
        return;
    }
    (0..fill).for_each(|_| out.push(' '));
    if !place.left {
        out.push_str(text);
    }
}

/// Appends what most places ask for: a number or a text as it is. `None` if it is something else.
fn show_plain(call: &Call<'_>, argument: usize, row: usize, place: &Place, out: &mut String) -> Option<()> {
    let array = call.args.get(argument)?;
    if array.is_null(row) {
        return None;
    }
    match place.conversion {
        'd' if !(place.plus || place.space || place.comma) => {
            out.push_str(itoa::Buffer::new().format(integer(array, row)?.0));
        }
        's' if place.precision.is_none() => out.push_str(array.as_string_opt::<i32>()?.value(row)),
        _ => return None,
    }
    Some(())
}

/// The argument in its conversion, without padding; `None` if it doesn't fit.
fn shown(call: &Call<'_>, argument: usize, row: usize, place: &Place) -> Option<String> {
    let (array, expr) = (call.args.get(argument)?, call.exprs.get(argument)?);
    let null = array.is_null(row) || *array.data_type() == ArrowType::Null;
    let text = match place.conversion.to_ascii_lowercase() {
        'b' => match array.as_boolean_opt() {
            Some(it) if !null => it.value(row).to_string(),
            _ => (!null).to_string(),
        },
        's' | 'd' | 'x' | 'o' | 'f' | 'e' | 'c' if null => "null".to_owned(),
        's' => {
            let mut text = String::new();
            match array.as_boolean_opt() {
                Some(it) => text.push_str(if it.value(row) { "true" } else { "false" }),
                None => render::render_value(array, row, &expr.data_type, call.context.time_zone, &mut text),
            }
            match place.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            }
        }
        'd' => signed(integer(array, row)?.0.to_string(), place),
        'x' => {
            let (value, bits) = integer(array, row)?;
            format!("{:x}", value as u64 & (u64::MAX >> (64 - bits)))
        }
        'o' => {
            let (value, bits) = integer(array, row)?;
            format!("{:o}", value as u64 & (u64::MAX >> (64 - bits)))
        }
        'c' => char::from_u32(u32::try_from(integer(array, row)?.0).ok()?)?.to_string(),
        'f' => signed(format!("{:.*}", place.precision.unwrap_or(6), float(array, row)?), place),
        'e' => signed(exponential(float(array, row)?, place.precision.unwrap_or(6)), place),
        _ => return None,
    };
    Some(if place.conversion.is_ascii_uppercase() { text.to_uppercase() } else { text })
}

/// The value and its type's number of bits.
fn integer(array: &ArrayRef, row: usize) -> Option<(i64, u32)> {
    Some(match array.data_type() {
        ArrowType::Int8 => (i64::from(array.as_primitive::<Int8Type>().value(row)), 8),
        ArrowType::Int16 => (i64::from(array.as_primitive::<Int16Type>().value(row)), 16),
        ArrowType::Int32 => (i64::from(array.as_primitive::<Int32Type>().value(row)), 32),
        ArrowType::Int64 => (array.as_primitive::<Int64Type>().value(row), 64),
        _ => return None,
    })
}

fn float(array: &ArrayRef, row: usize) -> Option<f64> {
    Some(match array.data_type() {
        ArrowType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)),
        ArrowType::Float64 => array.as_primitive::<Float64Type>().value(row),
        _ => return None,
    })
}

/// `1.234568e+04`
fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |it| ('-', it));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A number with its sign and the groups of its digits as the flags ask.
fn signed(text: String, place: &Place) -> String {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text.as_str()), |it| (true, it));
    let (whole, rest) = digits.split_at(digits.find(['.', 'e']).unwrap_or(digits.len()));
    let mut out = String::new();
    out.push_str(match (negative, place.plus, place.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (.., true) => " ",
        _ => "",
    });
    for (i, digit) in whole.chars().enumerate() {
        if place.comma && i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_java_shows_them() {
        let with = |format: &str| place(format).unwrap().0;
        assert_eq!(signed("1234567".into(), &with(",d")), "1,234,567");
        assert_eq!(signed("-1234.5".into(), &with(",.1f")), "-1,234.5");
        assert_eq!(exponential(12345.678, 6), "1.234568e+04");
        let padded = |text: &str, format: &str| {
            let mut out = String::new();
            push_padded(text, &with(format), &mut out);
            out
        };
        assert_eq!(padded("-7", "04d"), "-007");
        assert_eq!(padded("l", "-5s"), "l    ");
        assert_eq!(padded("r", "5s"), "    r");
        assert!(compile("100%").is_none());
    }
}
