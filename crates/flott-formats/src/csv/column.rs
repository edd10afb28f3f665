//! Columns under construction: fields in, one Arrow array out.
//!
//! ```text
//!   spans of a column ─► Column::fill ─► values: Vec<native>   (moved into the array, not copied)
//!                                        nulls:  row numbers   (few; the bitmap is built at the end)
//!                                        bad:    row numbers   (for the caller; NULL stands in)
//! ```
//!
//! The type is matched once per block of records, not once per field.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayData, ArrayRef, BinaryArray, BooleanArray, ListArray, StringArray, StructArray, make_array,
    },
    buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType as ArrowType},
    error::ArrowError,
    util::bit_util,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flott_expr::text;
use flott_types::{DataType, TypeKind};

use super::field::{self, Parsed};

/// Bytes of text set aside for the next batch at the most, however long the last one's were.
const RESERVED_TEXT_MAX: usize = 4 << 20;

/// What holds for every column.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What NULL looks like.
    pub null_literal: Option<Vec<u8>>,
    /// Between the elements of an ARRAY or ROW.
    pub element_delimiter: Vec<u8>,
    /// A ROW may have too few or too many fields.
    pub lenient: bool,
}

/// Where fields are taken from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The bytes that spans refer to.
    pub source: &'a [u8],
    /// All of `source` is UTF-8, and it was cut at ASCII characters only.
    pub utf8: bool,
}

#[derive(Debug)]
enum Values {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int128(Vec<i128>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bytes { offsets: Vec<i32>, data: Vec<u8> },
    List { offsets: Vec<i32>, items: Box<Column> },
    Row(Vec<Column>),
}

/// A column under construction.
#[derive(Debug)]
pub struct Column {
    kind: TypeKind,
    arrow_type: ArrowType,
    values: Values,
    /// Rows that are NULL, ascending.
    nulls: Vec<u32>,
    rows: u32,
    capacity: usize,
}

impl Column {
    /// An empty column.
    pub fn new(data_type: &DataType, capacity: usize) -> Self {
        let kind = data_type.kind.clone();
        let values = Values::new(&kind, capacity, 0);
        Self { kind, arrow_type: data_type.arrow_type(), values, nulls: Vec::new(), rows: 0, capacity }
    }

    /// Whether text of it, or in it, must be UTF-8.
    pub fn holds_text(data_type: &DataType) -> bool {
        match &data_type.kind {
            TypeKind::Char(_) | TypeKind::Varchar(_) => true,
            TypeKind::Array(element) => Self::holds_text(element),
            TypeKind::Row(fields) => fields.iter().any(|field| Self::holds_text(&field.data_type)),
            _ => false,
        }
    }

    /// Appends a field per span. A field that is no value of the type becomes NULL, and its
    /// row (counted from the column's start) is noted in `bad`.
    pub fn fill(
        &mut self,
        input: Input<'_>,
        spans: impl Iterator<Item = Range<usize>>,
        rules: &Rules,
        bad: &mut Vec<u32>,
    ) {
        let literal = rules.null_literal.as_deref();
        let mut fill = Fill { input, literal, nulls: &mut self.nulls, bad, row: &mut self.rows };
        match (&mut self.values, &self.kind) {
            (Values::Boolean(out), _) => fill.numbers(out, spans, |text| Parsed::Value(field::boolean(text))),
            (Values::Int8(out), _) => fill.integers(out, spans),
            (Values::Int16(out), _) => fill.integers(out, spans),
            (Values::Int32(out), TypeKind::Date) => fill.numbers(out, spans, |text| field::date(text).into()),
            (Values::Int32(out), TypeKind::Time(_)) => {
                fill.numbers(out, spans, |text| text::parse_time(text).into())
            }
            (Values::Int32(out), _) => fill.integers(out, spans),
            (Values::Int64(out), TypeKind::Timestamp(precision)) => {
                fill.numbers(out, spans, |text| field::timestamp(text, *precision, false).into())
            }
            (Values::Int64(out), TypeKind::TimestampLtz(precision)) => {
                fill.numbers(out, spans, |text| field::timestamp(text, *precision, true).into())
            }
            (Values::Int64(out), _) => fill.integers(out, spans),
            (Values::Int128(out), kind) => {
                let (precision, scale) = match kind {
                    TypeKind::Decimal(precision, scale) => (*precision, *scale),
                    _ => (38, 0),
                };
                fill.numbers(out, spans, |text| field::decimal(text, precision, scale));
            }
            (Values::Float32(out), _) => fill.numbers(out, spans, |text| field::float(text).into()),
            (Values::Float64(out), _) => fill.numbers(out, spans, |text| field::float(text).into()),
            (Values::Bytes { offsets, data }, TypeKind::Char(_) | TypeKind::Varchar(_)) => {
                fill.strings(offsets, data, spans);
            }
            (Values::Bytes { offsets, data }, _) => fill.base64(offsets, data, spans),
            (Values::List { offsets, items }, _) => fill.lists(offsets, items, spans, rules),
            (Values::Row(children), _) => fill.records(children, spans, rules),
        }
    }

    /// The array of all rows so far; the column is empty again.
    ///
    /// # Errors
    /// Only bugs: lengths that don't fit together.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = std::mem::take(&mut self.rows) as usize;
        let nulls = null_buffer(&mut self.nulls, rows);
        let text_bytes = match &self.values {
            Values::Bytes { data, .. } => (data.len() + data.len() / 8).min(RESERVED_TEXT_MAX),
            _ => 0,
        };
        let next = match &mut self.values {
            Values::Row(_) | Values::List { .. } => None,
            _ => Some(Values::new(&self.kind, self.capacity, text_bytes)),
        };
        let arrow_type = &self.arrow_type;
        let Some(next) = next else { return self.finish_nested(rows, nulls) };
        match std::mem::replace(&mut self.values, next) {
            Values::Boolean(values) => Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))),
            Values::Int8(values) => primitive(values, arrow_type, nulls),
            Values::Int16(values) => primitive(values, arrow_type, nulls),
            Values::Int32(values) => primitive(values, arrow_type, nulls),
            Values::Int64(values) => primitive(values, arrow_type, nulls),
            Values::Int128(values) => primitive(values, arrow_type, nulls),
            Values::Float32(values) => primitive(values, arrow_type, nulls),
            Values::Float64(values) => primitive(values, arrow_type, nulls),
            Values::Bytes { offsets, data } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let data = Buffer::from_vec(data);
                if *arrow_type == ArrowType::Binary {
                    return Ok(Arc::new(BinaryArray::try_new(offsets, data, nulls)?));
                }
                // SAFETY: offsets ascend from 0 to the data's length, and `Fill::strings` appends
                // only whole fields known to be UTF-8.
                Ok(Arc::new(unsafe { StringArray::new_unchecked(offsets, data, nulls) }))
            }
            Values::List { .. } | Values::Row(_) => self.finish_nested(rows, nulls),
        }
    }

    fn finish_nested(&mut self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        match (&mut self.values, &self.arrow_type) {
            (Values::List { offsets, items }, ArrowType::List(field)) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])));
                Ok(Arc::new(ListArray::try_new(field.clone(), offsets, items.finish()?, nulls)?))
            }
            (Values::Row(children), ArrowType::Struct(fields)) => {
                let arrays = children.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?))
            }
            _ => Err(ArrowError::ComputeError("a nested column lost its type".into())),
        }
    }

    fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(out) => out.push(false),
            Values::Int8(out) => out.push(0),
            Values::Int16(out) => out.push(0),
            Values::Int32(out) => out.push(0),
            Values::Int64(out) => out.push(0),
            Values::Int128(out) => out.push(0),
            Values::Float32(out) => out.push(0.0),
            Values::Float64(out) => out.push(0.0),
            Values::Bytes { offsets, .. } | Values::List { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
            }
            Values::Row(children) => children.iter_mut().for_each(Column::push_null),
        }
        self.nulls.push(self.rows);
        self.rows += 1;
    }
}

impl Values {
    fn new(kind: &TypeKind, capacity: usize, text_bytes: usize) -> Self {
        let offsets = || {
            let mut offsets = Vec::with_capacity(capacity + 1);
            offsets.push(0);
            offsets
        };
        match kind {
            TypeKind::Boolean => Values::Boolean(Vec::with_capacity(capacity)),
            TypeKind::TinyInt => Values::Int8(Vec::with_capacity(capacity)),
            TypeKind::SmallInt => Values::Int16(Vec::with_capacity(capacity)),
            TypeKind::Int | TypeKind::Date | TypeKind::Time(_) => Values::Int32(Vec::with_capacity(capacity)),
            TypeKind::Decimal(..) => Values::Int128(Vec::with_capacity(capacity)),
            TypeKind::Float => Values::Float32(Vec::with_capacity(capacity)),
            TypeKind::Double => Values::Float64(Vec::with_capacity(capacity)),
            TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
                Values::Bytes { offsets: offsets(), data: Vec::with_capacity(text_bytes) }
            }
            TypeKind::Array(element) => {
                Values::List { offsets: offsets(), items: Box::new(Column::new(element, 0)) }
            }
            TypeKind::Row(fields) => {
                Values::Row(fields.iter().map(|field| Column::new(&field.data_type, capacity)).collect())
            }
            // BIGINT and timestamps; what else there is the format refuses.
            _ => Values::Int64(Vec::with_capacity(capacity)),
        }
    }
}

/// One call of [`Column::fill`].
struct Fill<'a> {
    input: Input<'a>,
    literal: Option<&'a [u8]>,
    nulls: &'a mut Vec<u32>,
    bad: &'a mut Vec<u32>,
    row: &'a mut u32,
}

/// Bytes copied at once: short strings need no call of `memcpy`.
const SHORT: usize = 16;

impl<'a> Fill<'a> {
    fn integers<T: Copy + Default + TryFrom<i64>>(
        &mut self,
        out: &mut Vec<T>,
        spans: impl Iterator<Item = Range<usize>>,
    ) {
        let parse =
            |source: &[u8], span| field::integer(source, span).and_then(|it| T::try_from(it).ok()).into();
        self.fixed_width(out, spans, parse);
    }

    fn numbers<T: Copy + Default>(
        &mut self,
        out: &mut Vec<T>,
        spans: impl Iterator<Item = Range<usize>>,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) {
        self.fixed_width(out, spans, |source, span| source.get(span).map_or(Parsed::Bad, &parse));
    }

    fn fixed_width<T: Copy + Default>(
        &mut self,
        out: &mut Vec<T>,
        spans: impl Iterator<Item = Range<usize>>,
        parse: impl Fn(&[u8], Range<usize>) -> Parsed<T>,
    ) {
        // NULL wins over a value. Where the literal is no value of the type, as `NA` for numbers,
        // it is enough to look at it when parsing has failed.
        let literal_first =
            self.literal.is_some_and(|literal| !matches!(parse(literal, 0..literal.len()), Parsed::Bad));
        let source = self.input.source;
        for span in spans {
            let null = literal_first && self.is_literal(&span);
            match if null { Parsed::Null } else { parse(source, span.clone()) } {
                Parsed::Value(value) => out.push(value),
                Parsed::Null => {
                    out.push(T::default());
                    self.nulls.push(*self.row);
                }
                Parsed::Bad => {
                    out.push(T::default());
                    let missing = span.start > span.end;
                    self.null(!missing && !self.is_literal(&span));
                }
            }
            *self.row += 1;
        }
    }

    /// Notes a NULL, and that it only stands in for something unreadable.
    fn null(&mut self, bad: bool) {
        self.nulls.push(*self.row);
        if bad {
            self.bad.push(*self.row);
        }
    }

    fn is_literal(&self, span: &Range<usize>) -> bool {
        self.literal.is_some() && self.literal == self.input.source.get(span.clone())
    }

    /// The field's text; `None` where it is missing or NULL.
    fn text(&self, span: &Range<usize>) -> Option<&'a [u8]> {
        let text = self.input.source.get(span.clone())?;
        (self.literal != Some(text)).then_some(text)
    }

    fn strings(
        &mut self,
        offsets: &mut Vec<i32>,
        data: &mut Vec<u8>,
        spans: impl Iterator<Item = Range<usize>>,
    ) {
        let source = self.input.source;
        for span in spans {
            match self.text(&span) {
                None => self.null(false),
                Some(text) if !self.input.utf8 && std::str::from_utf8(text).is_err() => self.null(true),
                Some(text) => match source.get(span.start..span.start + SHORT) {
                    Some(window) if text.len() <= SHORT => {
                        let end = data.len() + text.len();
                        data.extend_from_slice(window);
                        data.truncate(end);
                    }
                    _ => data.extend_from_slice(text),
                },
            }
            offsets.push(data.len() as i32);
            *self.row += 1;
        }
    }

    fn base64(
        &mut self,
        offsets: &mut Vec<i32>,
        data: &mut Vec<u8>,
        spans: impl Iterator<Item = Range<usize>>,
    ) {
        for span in spans {
            let start = data.len();
            match self.text(&span).map(|text| STANDARD.decode_vec(text, data)) {
                Some(Ok(())) => {}
                failed => {
                    data.truncate(start);
                    self.null(failed.is_some());
                }
            }
            offsets.push(data.len() as i32);
            *self.row += 1;
        }
    }

    /// ARRAYs: elements between delimiters; an empty field is an empty array.
    fn lists(
        &mut self,
        offsets: &mut Vec<i32>,
        items: &mut Column,
        spans: impl Iterator<Item = Range<usize>>,
        rules: &Rules,
    ) {
        let mut bad_items = Vec::new();
        for span in spans {
            match self.text(&span) {
                None => self.null(false),
                Some([]) => {}
                Some(_) => {
                    let parts = Parts::new(self.input.source, span, &rules.element_delimiter);
                    for part in parts {
                        items.fill(self.input, std::iter::once(part), rules, &mut bad_items);
                    }
                    if !bad_items.is_empty() {
                        bad_items.clear();
                        self.bad.push(*self.row);
                    }
                }
            }
            offsets.push(items.rows as i32);
            *self.row += 1;
        }
    }

    /// ROWs: fields between delimiters; an empty field is NULL.
    fn records(&mut self, children: &mut [Column], spans: impl Iterator<Item = Range<usize>>, rules: &Rules) {
        let mut bad_fields = Vec::new();
        for span in spans {
            let text = self.text(&span).filter(|text| !text.is_empty());
            let parts = || Parts::new(self.input.source, span.clone(), &rules.element_delimiter);
            let fits = rules.lenient || text.is_none() || parts().count() == children.len();
            if text.is_none() || !fits {
                children.iter_mut().for_each(Column::push_null);
                self.null(!fits);
                *self.row += 1;
                continue;
            }
            let mut parts = parts();
            for child in children.iter_mut() {
                match parts.next() {
                    Some(part) => child.fill(self.input, std::iter::once(part), rules, &mut bad_fields),
                    None => child.push_null(),
                }
            }
            if !bad_fields.is_empty() {
                bad_fields.clear();
                self.bad.push(*self.row);
            }
            *self.row += 1;
        }
    }
}

/// The places of the parts between delimiters.
struct Parts<'a> {
    source: &'a [u8],
    delimiter: &'a [u8],
    rest: Option<Range<usize>>,
}

impl<'a> Parts<'a> {
    fn new(source: &'a [u8], span: Range<usize>, delimiter: &'a [u8]) -> Self {
        Self { source, delimiter, rest: Some(span) }
    }
}

impl Iterator for Parts<'_> {
    type Item = Range<usize>;
    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.rest.take()?;
        let text = self.source.get(rest.clone())?;
        let Some(hit) = memchr::memmem::find(text, self.delimiter) else { return Some(rest) };
        let end = rest.start + hit;
        self.rest = Some(end + self.delimiter.len()..rest.end);
        Some(rest.start..end)
    }
}

fn null_buffer(nulls: &mut Vec<u32>, rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = MutableBuffer::new(rows.div_ceil(8)).with_bitset(rows.div_ceil(8), true);
    for row in nulls.drain(..) {
        bit_util::unset_bit(bits.as_slice_mut(), row as usize);
    }
    Some(NullBuffer::new(BooleanBuffer::new(bits.into(), 0, rows)))
}

fn primitive<T: ArrowNativeType>(
    values: Vec<T>,
    arrow_type: &ArrowType,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let data = ArrayData::builder(arrow_type.clone())
        .len(values.len())
        .nulls(nulls)
        .add_buffer(Buffer::from_vec(values));
    Ok(make_array(data.build()?))
}
