//! Internet addresses of version 4 as numbers: `INET_ATON`, `INET_NTOA`.

use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::Int64Type};
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped_nullable},
    kernel,
};
use crate::EvalError;

const KIND: FunctionKind = FunctionKind::String;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "INET_ATON",
        &["INET_ATON(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::bigint()),
        inet_aton,
        "The number behind an address such as `127.0.0.1`; NULL if it isn't one. The bytes between the last two parts may be left out: `127.1`.",
        &[("INET_ATON('127.0.0.1')", "2130706433")],
    ),
    Function::define(
        KIND,
        "INET_NTOA",
        &["INET_NTOA(number)"],
        |args| shaped_nullable(args, 1, &[Param::Long], DataType::string()),
        inet_ntoa,
        "The address behind a number; NULL if the number is not one of 32 bits.",
        &[("INET_NTOA(2130706433)", "127.0.0.1")],
    ),
];

fn inet_aton(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let texts = call.strings(0)?;
    let numbers = kernel::build_primitive::<Int64Type>(call.rows, call.nulls().as_ref(), |row| {
        Ok(address(texts.value(row)))
    })?;
    Ok(Arc::new(numbers))
}

/// The number behind one to four parts, each a byte: the last stands at the end.
fn address(text: &str) -> Option<i64> {
    let (mut before, mut total, mut part) = (0, 0i64, None);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                let value = part.unwrap_or(0) * 10 + i64::from(byte - b'0');
                part = Some(value).filter(|it| *it <= 255);
                part?;
            }
            b'.' => {
                total = total * 256 + part.take()?;
                before += 1;
            }
            _ => return None,
        }
    }
    let left = 4u32.checked_sub(before).filter(|it| *it > 0)?;
    Some(total * (1i64 << (8 * left)) + part?)
}

fn inet_ntoa(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let numbers = call.bigints(0)?;
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let Ok(number) = u32::try_from(numbers.value(row)) else { return Ok(false) };
        for (i, byte) in number.to_be_bytes().into_iter().enumerate() {
            if i > 0 {
                out.push('.');
            }
            out.push_str(itoa::Buffer::new().format(byte));
        }
        Ok(true)
    })
}
