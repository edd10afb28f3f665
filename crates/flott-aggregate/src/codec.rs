//! Values of any type as byte strings that are equal, and ordered, as the values are.
//!
//! ```text
//!   one text or binary column, no NULLs ─► its bytes as they are
//!   anything else                       ─► Arrow's row format (NULL first, NaN last)
//! ```
//! The bytes live in memory only; what is saved is decoded to columns before.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Float32Array, Float64Array, ListArray, StringArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};
use flott_expr::EvalError;

use crate::cells::wrong_argument;

/// How values of one type become bytes and come back.
pub(crate) struct Codec {
    of: ArrowType,
    /// `None`: the bytes as they are.
    rows: Option<RowConverter>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.of)
    }
}

/// A column's values as bytes.
pub(crate) enum Encoded<'a> {
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Rows(Rows),
}

impl Encoded<'_> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match self {
            Encoded::Text(values) => values.value(row).as_bytes(),
            Encoded::Binary(values) => values.value(row),
            Encoded::Rows(rows) => rows.row(row).data(),
        }
    }
}

impl Codec {
    /// For values of this type; `nulls`: NULL is a value too.
    pub(crate) fn new(of: &ArrowType, nulls: bool) -> Option<Self> {
        let plain = !nulls && matches!(of, ArrowType::Utf8 | ArrowType::Binary);
        let rows = match plain {
            true => None,
            false => Some(RowConverter::new(vec![SortField::new(of.clone())]).ok()?),
        };
        Some(Self { of: of.clone(), rows })
    }

    /// The values' type.
    pub(crate) fn data_type(&self) -> &ArrowType {
        &self.of
    }

    /// The type of lists of the values.
    pub(crate) fn list_type(&self) -> ArrowType {
        ArrowType::List(Arc::new(self.list_field()))
    }

    fn list_field(&self) -> Field {
        Field::new("item", self.of.clone(), true)
    }

    /// The column's values as bytes.
    pub(crate) fn encode<'a>(&self, column: &'a ArrayRef) -> Result<Encoded<'a>, EvalError> {
        if column.data_type() != &self.of {
            return Err(wrong_argument());
        }
        if let Some(rows) = &self.rows {
            return Ok(Encoded::Rows(rows.convert_columns(&[one_nan(column)])?));
        }
        match column.as_string_opt::<i32>() {
            Some(texts) => Ok(Encoded::Text(texts)),
            None => column.as_binary_opt::<i32>().map(Encoded::Binary).ok_or_else(wrong_argument),
        }
    }

    /// The values back; `None` is NULL.
    pub(crate) fn decode<'a>(
        &self,
        values: impl Iterator<Item = Option<&'a [u8]>> + Clone,
    ) -> Result<ArrayRef, EvalError> {
        let Some(rows) = &self.rows else {
            return bytes_column(&self.of, values);
        };
        let null = rows.convert_columns(&[arrow::array::new_null_array(&self.of, 1)])?;
        let parser = rows.parser();
        let parsed = values.map(|value| parser.parse(value.unwrap_or_else(|| null.row(0).data())));
        rows.convert_rows(parsed)?.pop().ok_or_else(wrong_argument)
    }

    /// Lists of values: `lengths` says how many belong to each.
    pub(crate) fn decode_lists<'a>(
        &self,
        lengths: impl IntoIterator<Item = usize>,
        values: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<ListArray, EvalError> {
        let values = self.decode(values.map(Some))?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(ListArray::try_new(Arc::new(self.list_field()), offsets, values, None)?)
    }
}

/// All NaN as the same one.
fn one_nan(column: &ArrayRef) -> ArrayRef {
    if let Some(values) = column.as_primitive_opt::<Float64Type>()
        && values.values().iter().any(|it| it.is_nan())
    {
        let same = values.unary::<_, Float64Type>(|it| if it.is_nan() { f64::NAN } else { it });
        return Arc::<Float64Array>::new(same);
    }
    if let Some(values) = column.as_primitive_opt::<Float32Type>()
        && values.values().iter().any(|it| it.is_nan())
    {
        let same = values.unary::<_, Float32Type>(|it| if it.is_nan() { f32::NAN } else { it });
        return Arc::<Float32Array>::new(same);
    }
    Arc::clone(column)
}

/// Texts or byte strings as a column.
pub(crate) fn bytes_column<'a>(
    of: &ArrowType,
    values: impl Iterator<Item = Option<&'a [u8]>> + Clone,
) -> Result<ArrayRef, EvalError> {
    let bytes: usize = values.clone().map(|it| it.map_or(0, <[u8]>::len)).sum();
    if i32::try_from(bytes).is_err() {
        let message = format!("values of {bytes} bytes together don't fit one column (2 GiB)");
        return Err(EvalError::new(message));
    }
    let column: BinaryArray = values.collect();
    if *of == ArrowType::Utf8 {
        return Ok(Arc::new(StringArray::try_from_binary(column)?));
    }
    Ok(Arc::new(column))
}
