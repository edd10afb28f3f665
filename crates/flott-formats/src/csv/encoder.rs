//! Batches to CSV lines, quoted where Jackson's CSV writer quotes in its default, cautious way.
//!
//! A text is quoted if it is longer than 24 UTF-16 units, holds a character up to and including
//! the greater of quote and delimiter (blanks, controls, `!`, `#`, …), a backslash, or the escape
//! character. Numbers, booleans and NULL never are. There is no header line.

use arrow::{
    array::{Array, ArrayRef, AsArray, Int8Array},
    datatypes::{
        ArrowPrimitiveType, DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type,
        Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType,
    },
    record_batch::RecordBatch,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flott_connector::{Encoder, Slices};
use flott_expr::text;
use flott_types::{Code, DataType, Diagnostic, Result, Schema, TypeKind};

use super::settings::Settings;

/// Texts longer than this are quoted without a look inside.
const UNQUOTED_UNITS_MAX: usize = 24;

/// Encodes lines.
pub struct CsvEncoder {
    settings: Settings,
    schema: Schema,
    /// `true` for every byte that asks for quotes.
    asks_for_quotes: [bool; 256],
    /// Decimals keep the zeros at their ends: in messages, not in files, as in Flink.
    keeps_zeros: bool,
    scratch: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder for these columns.
    pub fn new(settings: Settings, schema: &Schema) -> Self {
        let mut asks_for_quotes = [false; 256];
        if let Some(quote) = settings.quote {
            let safe_from = settings.delimiter.max(quote).max(b'\n');
            for (byte, asks) in (0u8..=255).zip(&mut asks_for_quotes) {
                *asks = byte <= safe_from || byte == b'\\' || Some(byte) == settings.escape;
            }
        }
        Self { settings, schema: schema.clone(), asks_for_quotes, keeps_zeros: false, scratch: Vec::new() }
    }

    fn field(&mut self, array: &ArrayRef, row: usize, data_type: &DataType, out: &mut Vec<u8>) -> Result<()> {
        if array.is_null(row) {
            out.extend_from_slice(self.settings.null_literal.as_deref().unwrap_or_default());
            return Ok(());
        }
        if is_bare(data_type) {
            return self.value(array, row, data_type, out);
        }
        if let (TypeKind::Varchar(_) | TypeKind::Char(_), Some(strings)) =
            (&data_type.kind, array.as_string_opt::<i32>())
        {
            self.quote_if_asked(strings.value(row).as_bytes(), out);
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let written = self.value(array, row, data_type, &mut scratch);
        self.quote_if_asked(&scratch, out);
        self.scratch = scratch;
        written
    }

    fn quote_if_asked(&self, text: &[u8], out: &mut Vec<u8>) {
        let asked = utf16_units(text) > UNQUOTED_UNITS_MAX
            || text.iter().any(|byte| self.asks_for_quotes[usize::from(*byte)]);
        let Some(quote) = self.settings.quote.filter(|_| asked) else {
            out.extend_from_slice(text);
            return;
        };
        out.push(quote);
        let mut rest = text;
        while let Some(at) = memchr::memchr2(quote, self.settings.escape.unwrap_or(quote), rest) {
            let (plain, special) = rest.split_at(at + 1);
            out.extend_from_slice(plain);
            out.extend(plain.last());
            rest = special;
        }
        out.extend_from_slice(rest);
        out.push(quote);
    }

    /// The value's text without quotes.
    fn value(&self, array: &ArrayRef, row: usize, data_type: &DataType, out: &mut Vec<u8>) -> Result<()> {
        let wrong = || {
            Diagnostic::error(
                Code::OutputFailed,
                format!("the csv format can't write a value of type {data_type}"),
            )
        };
        match &data_type.kind {
            TypeKind::Boolean => {
                let value = array.as_boolean_opt().ok_or_else(wrong)?.value(row);
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            TypeKind::Char(_) | TypeKind::Varchar(_) => {
                out.extend_from_slice(array.as_string_opt::<i32>().ok_or_else(wrong)?.value(row).as_bytes());
            }
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
                base64(array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row), out);
            }
            TypeKind::TinyInt => integer(native::<Int8Type>(array, row).ok_or_else(wrong)?, out),
            TypeKind::SmallInt => integer(native::<Int16Type>(array, row).ok_or_else(wrong)?, out),
            TypeKind::Int => integer(native::<Int32Type>(array, row).ok_or_else(wrong)?, out),
            TypeKind::BigInt => integer(native::<Int64Type>(array, row).ok_or_else(wrong)?, out),
            TypeKind::Float => text::append_float(out, native::<Float32Type>(array, row).ok_or_else(wrong)?),
            TypeKind::Double => {
                text::append_double(out, native::<Float64Type>(array, row).ok_or_else(wrong)?)
            }
            TypeKind::Decimal(_, scale) => {
                let unscaled = native::<Decimal128Type>(array, row).ok_or_else(wrong)?;
                let (digits, scale) = match self.keeps_zeros {
                    true => (unscaled, i32::from(*scale)),
                    false => without_zeros(unscaled, *scale),
                };
                decimal(digits, scale, self.settings.scientific, out);
            }
            TypeKind::Date => {
                text::append_date(out, native::<Date32Type>(array, row).ok_or_else(wrong)?.into());
            }
            TypeKind::Time(precision) => {
                let millis = native::<Time32MillisecondType>(array, row).ok_or_else(wrong)?;
                text::append_time(out, millis, *precision);
                if *precision > 0 {
                    trim_fraction(out);
                }
            }
            TypeKind::Timestamp(_) => timestamp(array, row, out).ok_or_else(wrong)?,
            TypeKind::TimestampLtz(_) => {
                timestamp(array, row, out).ok_or_else(wrong)?;
                out.push(b'Z');
            }
            TypeKind::Array(element) => {
                let items = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
                for item in 0..items.len() {
                    self.element(&items, item, element, item > 0, out)?;
                }
            }
            TypeKind::Row(fields) => {
                let columns = array.as_struct_opt().ok_or_else(wrong)?.columns();
                for (position, (column, field)) in columns.iter().zip(fields).enumerate() {
                    self.element(column, row, &field.data_type, position > 0, out)?;
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// One element of an ARRAY or ROW.
    fn element(
        &self,
        array: &ArrayRef,
        row: usize,
        data_type: &DataType,
        delimited: bool,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if delimited {
            out.extend_from_slice(&self.settings.element_delimiter);
        }
        if array.is_null(row) {
            out.extend_from_slice(self.settings.null_literal.as_deref().unwrap_or_default());
            return Ok(());
        }
        self.value(array, row, data_type, out)
    }
}

impl CsvEncoder {
    /// A record without its line feed.
    fn record(&mut self, batch: &RecordBatch, row: usize, schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
        let mut result = Ok(());
        for (position, (array, field)) in batch.columns().iter().zip(&schema.fields).enumerate() {
            if position > 0 {
                out.push(self.settings.delimiter);
            }
            result = result.and(self.field(array, row, &field.data_type, out));
        }
        result
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let schema = std::mem::take(&mut self.schema);
        let mut result = Ok(());
        for row in 0..batch.num_rows() {
            result = result.and(self.record(batch, row, &schema, out));
            out.push(b'\n');
        }
        self.schema = schema;
        result
    }

    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        _: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        self.keeps_zeros = true;
        let schema = std::mem::take(&mut self.schema);
        let mut result = Ok(());
        for row in 0..batch.num_rows() {
            result = result.and(self.record(batch, row, &schema, out.open()));
            if !out.end() {
                result = result.and(Err(crate::batch_too_large()));
                break;
            }
        }
        self.schema = schema;
        result
    }
}

/// Types whose text never asks for quotes: numbers and booleans are written as they are.
fn is_bare(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.kind == TypeKind::Boolean
}

fn native<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> Option<T::Native> {
    array.as_primitive_opt::<T>().map(|array| array.value(row))
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Without the zeros at a fraction's end, and without the point if nothing is left.
fn trim_fraction(out: &mut Vec<u8>) {
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
}

/// `2026-01-31 23:59:59.12`, in UTC where it is an instant.
fn timestamp(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Option<()> {
    let ArrowType::Timestamp(unit, _) = array.data_type() else { return None };
    let (value, digits) = match unit {
        TimeUnit::Millisecond => (native::<TimestampMillisecondType>(array, row)?, 3),
        TimeUnit::Microsecond => (native::<TimestampMicrosecondType>(array, row)?, 6),
        TimeUnit::Nanosecond => (native::<TimestampNanosecondType>(array, row)?, 9),
        TimeUnit::Second => return None,
    };
    text::append_timestamp(out, value, *unit, digits, b' ');
    trim_fraction(out);
    Some(())
}

/// The same number with a scale that leaves no zeros at its end.
fn without_zeros(unscaled: i128, scale: u8) -> (i128, i32) {
    if unscaled == 0 {
        return (0, 0);
    }
    let (mut digits, mut scale) = (unscaled, i32::from(scale));
    while digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    (digits, scale)
}

/// As Java's `BigDecimal` prints it: `1.5`, `1E+2`, `1E-7`.
fn decimal(digits: i128, scale: i32, scientific: bool, out: &mut Vec<u8>) {
    if !scientific {
        let factor = text::POWERS_OF_TEN.get(scale.min(0).unsigned_abs() as usize).copied().unwrap_or(1);
        text::append_decimal(out, digits.saturating_mul(factor), scale.max(0) as u8);
        return;
    }
    let mut buffer = itoa::Buffer::new();
    let shown = buffer.format(digits.unsigned_abs()).as_bytes();
    let exponent = shown.len() as i32 - 1 - scale;
    if scale >= 0 && exponent >= -6 {
        text::append_decimal(out, digits, scale as u8);
        return;
    }
    if digits < 0 {
        out.push(b'-');
    }
    let (first, rest) = shown.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.push(b'E');
    if exponent > 0 {
        out.push(b'+');
    }
    integer(exponent, out);
}

/// Length as Java counts it.
fn utf16_units(text: &[u8]) -> usize {
    if text.len() <= UNQUOTED_UNITS_MAX {
        return text.len();
    }
    // Every byte that starts a character is one unit, and one more if it starts four bytes.
    text.iter().map(|byte| usize::from(*byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum()
}
