//! Rows as few bytes, column by column, and back.
//!
//! ```text
//!   nulls (a bit a column) │ 1 203 as 2 bytes │ 5 "hello" │ …      a NULL has no bytes
//! ```
//! Whole numbers and times are as long as their value needs (7 bits a byte, the sign folded in), text and
//! bytes follow their length, floats keep their bits. Types that are none of these lie in Arrow's row
//! format. The bytes are equal exactly where the rows are; they have no order, and never leave memory.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, Decimal128Array, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};
use arrow::row::{RowConverter, RowParser, Rows};
use flott_types::Result;

use crate::arrow_failed;
use crate::bits::{column_of_words, word_width, words};
use crate::column::row_converter;
use crate::rows::too_many_bytes;

/// How rows with columns of certain types are written.
#[derive(Debug)]
pub struct RowCodec {
    kinds: Vec<Kind>,
    types: Vec<DataType>,
}

#[derive(Debug)]
enum Kind {
    Whole,
    Double,
    Float,
    Decimal,
    Bytes,
    Other(RowConverter),
}

/// A column of a batch, to be read row by row.
enum View<'a> {
    Whole(ScalarBuffer<u64>),
    Double(&'a [f64]),
    Float(&'a [f32]),
    Decimal(&'a [i128]),
    Bytes(&'a [i32], &'a [u8]),
    Other(Rows),
    None,
}

/// Encoded rows.
#[derive(Debug, Default)]
pub struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// A row; no bytes if there is none.
    pub fn get(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
    /// Forgets the rows and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl RowCodec {
    /// For rows with columns of these types.
    ///
    /// # Errors
    /// When values of a type can't be kept.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let kinds = types.iter().map(Kind::of).collect::<Result<_>>()?;
        Ok(Self { kinds, types: types.to_vec() })
    }

    /// The columns' types.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Appends rows of a batch. `before` writes what shall stand in front of a row.
    ///
    /// # Errors
    /// When the columns aren't of these types.
    pub fn encode(
        &self,
        columns: &[ArrayRef],
        rows: impl Iterator<Item = usize>,
        out: &mut EncodedRows,
        mut before: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<()> {
        let views = self.kinds.iter().zip(columns).map(|(kind, column)| kind.view(column));
        let views = views.collect::<Result<Vec<_>>>()?;
        let nulls: Vec<Option<&NullBuffer>> =
            columns.iter().map(|it| it.nulls().filter(|nulls| nulls.null_count() > 0)).collect();
        let width = self.kinds.len().div_ceil(8);
        for row in rows {
            before(row, &mut out.bytes);
            let start = out.bytes.len();
            out.bytes.resize(start + width, 0);
            for (at, (view, nulls)) in views.iter().zip(&nulls).enumerate() {
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    if let Some(byte) = out.bytes.get_mut(start + at / 8) {
                        *byte |= 1 << (at % 8);
                    }
                } else {
                    view.write(row, &mut out.bytes);
                }
            }
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }

    /// The columns of encoded rows, without what stands in front of them.
    ///
    /// # Errors
    /// When a column would not fit one array (2 GiB).
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let mut builders: Vec<Builder<'_, 'a>> = self.kinds.iter().map(Builder::of).collect();
        let mut valid: Vec<Vec<bool>> = vec![Vec::new(); self.kinds.len()];
        let width = self.kinds.len().div_ceil(8);
        let mut count = 0;
        for row in rows {
            let (nulls, mut rest) = row.split_at_checked(width).unwrap_or_default();
            for (at, (builder, valid)) in builders.iter_mut().zip(&mut valid).enumerate() {
                if nulls.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 == 1) {
                    valid.resize(count, true);
                    valid.push(false);
                    builder.null();
                } else {
                    rest = builder.read(rest);
                }
            }
            count += 1;
        }
        let columns = builders.into_iter().zip(valid).zip(&self.types);
        let finish = |((builder, mut valid), data_type): ((Builder<'_, '_>, Vec<bool>), &DataType)| {
            let nulls = (!valid.is_empty()).then(|| {
                valid.resize(count, true);
                NullBuffer::from(valid)
            });
            builder.finish(data_type, nulls)
        };
        columns.map(finish).collect()
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Float64 => Kind::Double,
            DataType::Float32 => Kind::Float,
            DataType::Decimal128(..) => Kind::Decimal,
            DataType::Utf8 | DataType::Binary => Kind::Bytes,
            other if word_width(other).is_some() => Kind::Whole,
            other => Kind::Other(row_converter(std::slice::from_ref(other))?),
        })
    }

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<View<'a>> {
        Ok(match self {
            Kind::Whole => words(column.as_ref()).map(View::Whole),
            Kind::Double => values::<Float64Type>(column).map(View::Double),
            Kind::Float => values::<Float32Type>(column).map(View::Float),
            Kind::Decimal => values::<Decimal128Type>(column).map(View::Decimal),
            Kind::Bytes => match column.data_type() {
                DataType::Utf8 => {
                    let text = column.as_string::<i32>();
                    Some(View::Bytes(text.value_offsets(), text.value_data()))
                }
                DataType::Binary => {
                    let bytes = column.as_binary::<i32>();
                    Some(View::Bytes(bytes.value_offsets(), bytes.value_data()))
                }
                _ => None,
            },
            Kind::Other(converter) => {
                let rows = converter.convert_columns(std::slice::from_ref(column)).map_err(arrow_failed)?;
                Some(View::Other(rows))
            }
        }
        .unwrap_or(View::None))
    }
}

fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<&[T::Native]> {
    column.as_primitive_opt::<T>().map(|column| column.values().as_ref())
}

impl View<'_> {
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            View::Whole(words) => put_short(fold(words.get(row).copied().unwrap_or(0) as i64), out),
            View::Double(values) => {
                out.extend_from_slice(&values.get(row).copied().unwrap_or(0.0).to_le_bytes());
            }
            View::Float(values) => {
                out.extend_from_slice(&values.get(row).copied().unwrap_or(0.0).to_le_bytes());
            }
            View::Decimal(values) => put_long(fold_long(values.get(row).copied().unwrap_or(0)), out),
            View::Bytes(offsets, bytes) => {
                let value = match offsets.get(row..row + 2) {
                    Some(&[start, end]) => bytes.get(start as usize..end as usize).unwrap_or_default(),
                    _ => &[],
                };
                put_short(value.len() as u64, out);
                out.extend_from_slice(value);
            }
            View::Other(rows) => {
                let row = rows.row(row);
                put_short(row.data().len() as u64, out);
                out.extend_from_slice(row.data());
            }
            View::None => {}
        }
    }
}

/// A column that is put together again.
enum Builder<'k, 'a> {
    Whole(Vec<u64>),
    Double(Vec<f64>),
    Float(Vec<f32>),
    Decimal(Vec<i128>),
    Bytes { ends: Vec<usize>, bytes: Vec<u8> },
    Other { converter: &'k RowConverter, parser: RowParser, null: Vec<u8>, rows: Vec<Option<&'a [u8]>> },
}

impl<'k, 'a> Builder<'k, 'a> {
    fn of(kind: &'k Kind) -> Self {
        match kind {
            Kind::Whole => Builder::Whole(Vec::new()),
            Kind::Double => Builder::Double(Vec::new()),
            Kind::Float => Builder::Float(Vec::new()),
            Kind::Decimal => Builder::Decimal(Vec::new()),
            Kind::Bytes => Builder::Bytes { ends: vec![0], bytes: Vec::new() },
            Kind::Other(converter) => {
                Builder::Other { converter, parser: converter.parser(), null: Vec::new(), rows: Vec::new() }
            }
        }
    }

    fn null(&mut self) {
        match self {
            Builder::Whole(values) => values.push(0),
            Builder::Double(values) => values.push(0.0),
            Builder::Float(values) => values.push(0.0),
            Builder::Decimal(values) => values.push(0),
            Builder::Bytes { ends, bytes } => ends.push(bytes.len()),
            Builder::Other { rows, .. } => rows.push(None),
        }
    }

    /// Takes a value from the front; gives the rest.
    #[inline]
    fn read(&mut self, row: &'a [u8]) -> &'a [u8] {
        match self {
            Builder::Whole(values) => {
                let (value, rest) = get_short(row);
                values.push(unfold(value) as u64);
                rest
            }
            Builder::Double(values) => {
                let (value, rest) = row.split_first_chunk().map_or(([0; 8], row), |(v, rest)| (*v, rest));
                values.push(f64::from_le_bytes(value));
                rest
            }
            Builder::Float(values) => {
                let (value, rest) = row.split_first_chunk().map_or(([0; 4], row), |(v, rest)| (*v, rest));
                values.push(f32::from_le_bytes(value));
                rest
            }
            Builder::Decimal(values) => {
                let (value, rest) = get_long(row);
                values.push(unfold_long(value));
                rest
            }
            Builder::Bytes { ends, bytes } => {
                let (value, rest) = get_bytes(row);
                bytes.extend_from_slice(value);
                ends.push(bytes.len());
                rest
            }
            Builder::Other { rows, .. } => {
                let (value, rest) = get_bytes(row);
                rows.push(Some(value));
                rest
            }
        }
    }

    fn finish(self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(match self {
            Builder::Whole(values) => column_of_words(data_type, values, nulls)?,
            Builder::Double(values) => {
                std::sync::Arc::new(arrow::array::Float64Array::new(values.into(), nulls))
            }
            Builder::Float(values) => {
                std::sync::Arc::new(arrow::array::Float32Array::new(values.into(), nulls))
            }
            Builder::Decimal(values) => {
                let array = Decimal128Array::new(values.into(), nulls);
                std::sync::Arc::new(array.with_data_type(data_type.clone()))
            }
            Builder::Bytes { ends, bytes } => {
                let end = |end: &usize| i32::try_from(*end).map_err(|_| too_many_bytes());
                let offsets: Vec<i32> = ends.iter().map(end).collect::<Result<_>>()?;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                if *data_type == DataType::Utf8 {
                    let text = StringArray::try_new(offsets, bytes.into(), nulls).map_err(arrow_failed)?;
                    std::sync::Arc::new(text)
                } else {
                    std::sync::Arc::new(BinaryArray::new(offsets, bytes.into(), nulls))
                }
            }
            Builder::Other { converter, parser, mut null, rows } => {
                let absent = arrow::array::new_null_array(data_type, 1);
                let absent = converter.convert_columns(&[absent]).map_err(arrow_failed)?;
                null.extend_from_slice(absent.row(0).data());
                let rows = rows.iter().map(|row| parser.parse(row.unwrap_or(&null)));
                let columns = converter.convert_rows(rows).map_err(arrow_failed)?;
                columns.into_iter().next().unwrap_or_else(|| arrow::array::new_empty_array(data_type))
            }
        })
    }
}

/// The sign goes to the lowest bit, so that small negative numbers are short too.
#[inline]
fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unfold(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn fold_long(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

fn unfold_long(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
#[inline]
pub fn put_short(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What [`put_short`] wrote, and what stands behind it.
#[inline]
pub fn get_short(bytes: &[u8]) -> (u64, &[u8]) {
    let (mut value, mut shift, mut rest) = (0, 0, bytes);
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    (value, rest)
}

fn put_long(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get_long(bytes: &[u8]) -> (u128, &[u8]) {
    let (mut value, mut shift, mut rest) = (0, 0, bytes);
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        value |= u128::from(byte & 0x7f).wrapping_shl(shift);
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    (value, rest)
}

/// Bytes behind their length, and what follows.
fn get_bytes(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = get_short(bytes);
    rest.split_at_checked(length as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, ListArray};
    use arrow::datatypes::{Int32Type, TimeUnit};

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let times = arrow::array::TimestampMillisecondArray::from(vec![Some(-1), None, Some(i64::MAX)]);
        let decimals = Decimal128Array::from(vec![Some(i128::MIN), Some(-5), None]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(300), None])),
            Arc::new(Int32Array::from(vec![Some(-1), None, Some(i32::MAX)])),
            Arc::new(StringArray::from(vec![Some("ä"), Some(""), None])),
            Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::INFINITY)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(BinaryArray::from(vec![None, Some(&[0_u8; 200][..]), Some(b"x")])),
            Arc::new(times),
            Arc::new(decimals.with_data_type(DataType::Decimal128(38, 2))),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ];
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        assert!(types.contains(&DataType::Timestamp(TimeUnit::Millisecond, None)));
        let codec = RowCodec::new(&types).unwrap();
        let mut rows = EncodedRows::default();
        codec.encode(&columns, 0..3, &mut rows, |_, _| {}).unwrap();
        let decoded = codec.decode((0..3).map(|row| rows.get(row))).unwrap();
        assert_eq!(decoded, columns);
        assert_eq!(codec.decode(std::iter::empty()).unwrap()[2].len(), 0);
    }
}
