//! Batches into JSON lines or messages, spelled as Flink's `json` format (Jackson) spells them.
//!
//! ```text
//!   schema ──► Node tree: what each column is, keys already escaped: {"a":  ,"b":
//!   batch  ──► Cells: the same tree bound to this batch's arrays (downcast once)
//!   row    ──► key, cell, key, cell, …, }⏎
//! ```
//!
//! NULL is written as `null` (or left out, by option), numbers that aren't finite as strings,
//! fractions of seconds without trailing zeros, decimals without trailing zeros or with an
//! exponent (or plain, by option).

use arrow::{
    array::{
        Array, AsArray, BinaryArray, BooleanArray, Int8Array, ListArray, MapArray, PrimitiveArray,
        StringArray, StructArray,
    },
    buffer::NullBuffer,
    datatypes::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType,
    },
    record_batch::RecordBatch,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flott_connector::{Encoder, FormatRequest, Slices};
use flott_expr::text::{append_date, append_decimal, append_double, append_float};
use flott_types::{Code, DataType, Diagnostic, Result, TimestampUnit, TypeKind};

use super::{
    column::{internal, unsupported},
    escape::{Wide, append_string},
    options::{JsonOptions, NullKey},
};

/// Writes JSON lines.
pub(crate) struct JsonEncoder {
    fields: Vec<NamedNode>,
    writing: Writing,
    /// Bytes per row of the batch before, to reserve room.
    row_bytes: usize,
}

/// Settings, and the date written last: mostly the next one's too.
struct Writing {
    separator: u8,
    null_key: NullKey,
    plain_decimals: bool,
    ignore_null_fields: bool,
    /// What the keys of options begin with.
    prefix: &'static str,
    last_day: i64,
    last_date: Vec<u8>,
}

/// A field of an object: `{"name":` if it is the first, `,"name":` else.
struct NamedNode {
    name: String,
    key: Vec<u8>,
    /// `key` again, padded: copied with a fixed length if it fits.
    padded: [u8; KEY_PADDED],
    node: Node,
}

/// Keys up to this length, quotes and colon included, are copied with a fixed length.
const KEY_PADDED: usize = 32;

impl NamedNode {
    #[inline(always)]
    fn append_key(&self, out: &mut Vec<u8>) {
        if self.key.len() <= KEY_PADDED {
            let end = out.len() + self.key.len();
            out.extend_from_slice(&self.padded);
            out.truncate(end);
        } else {
            out.extend_from_slice(&self.key);
        }
    }
}

/// What a column is.
enum Node {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal(u8),
    Text,
    Bytes,
    Date,
    Time,
    Timestamp { unit: TimeUnit, zulu: bool },
    Array(Box<Node>),
    Map(Box<Node>),
    Row(Vec<NamedNode>),
}

fn named(fields: impl Iterator<Item = (String, DataType)>) -> Result<Vec<NamedNode>> {
    fields
        .enumerate()
        .map(|(number, (name, data_type))| {
            let mut key = vec![if number == 0 { b'{' } else { b',' }];
            append_string(name.as_bytes(), Wide::Escaped, &mut key);
            key.push(b':');
            let mut padded = [0; KEY_PADDED];
            padded.iter_mut().zip(&key).for_each(|(place, byte)| *place = *byte);
            Ok(NamedNode { name, key, padded, node: Node::of(&data_type)? })
        })
        .collect()
}

impl Node {
    fn of(data_type: &DataType) -> Result<Node> {
        if let Some(why) = unsupported(data_type) {
            return Err(Diagnostic::error(Code::UnsupportedUse, why));
        }
        Ok(match &data_type.kind {
            TypeKind::Boolean => Node::Boolean,
            TypeKind::TinyInt => Node::TinyInt,
            TypeKind::SmallInt => Node::SmallInt,
            TypeKind::Int => Node::Int,
            TypeKind::BigInt => Node::BigInt,
            TypeKind::Float => Node::Float,
            TypeKind::Double => Node::Double,
            TypeKind::Decimal(_, scale) => Node::Decimal(*scale),
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => Node::Bytes,
            TypeKind::Date => Node::Date,
            TypeKind::Time(_) => Node::Time,
            TypeKind::Timestamp(p) => Node::Timestamp { unit: TimestampUnit::of(*p), zulu: false },
            TypeKind::TimestampLtz(p) => Node::Timestamp { unit: TimestampUnit::of(*p), zulu: true },
            TypeKind::Array(element) => Node::Array(Box::new(Node::of(element)?)),
            TypeKind::Map(_, value) => Node::Map(Box::new(Node::of(value)?)),
            TypeKind::Multiset(_) => Node::Map(Box::new(Node::Int)),
            TypeKind::Row(fields) => {
                Node::Row(named(fields.iter().map(|field| (field.name.clone(), field.data_type.clone())))?)
            }
            TypeKind::Null
            | TypeKind::Interval(_)
            | TypeKind::Char(_)
            | TypeKind::Varchar(_)
            | TypeKind::Variant
            | TypeKind::Bitmap => Node::Text,
        })
    }

    /// The cells of an array of this column.
    fn bind<'a>(&'a self, array: &'a dyn Array) -> Option<Cells<'a>> {
        let values = match self {
            Node::Boolean => Values::Boolean(array.as_boolean_opt()?),
            Node::TinyInt => Values::TinyInt(values_of::<Int8Type>(array)?),
            Node::SmallInt => Values::SmallInt(values_of::<Int16Type>(array)?),
            Node::Int => Values::Int(values_of::<Int32Type>(array)?),
            Node::BigInt => Values::BigInt(values_of::<Int64Type>(array)?),
            Node::Float => Values::Float(values_of::<Float32Type>(array)?),
            Node::Double => Values::Double(values_of::<Float64Type>(array)?),
            Node::Decimal(scale) => Values::Decimal(values_of::<Decimal128Type>(array)?, *scale),
            Node::Text => Values::Text(array.as_string_opt()?),
            Node::Bytes => Values::Bytes(array.as_binary_opt()?),
            Node::Date => Values::Date(values_of::<Date32Type>(array)?),
            Node::Time => Values::Time(values_of::<Time32MillisecondType>(array)?),
            Node::Timestamp { unit, zulu } => {
                let values = match unit {
                    TimeUnit::Microsecond => values_of::<TimestampMicrosecondType>(array)?,
                    TimeUnit::Nanosecond => values_of::<TimestampNanosecondType>(array)?,
                    _ => values_of::<TimestampMillisecondType>(array)?,
                };
                Values::Timestamp { values, per_second: TimestampUnit::per_second(*unit), zulu: *zulu }
            }
            Node::Array(item) => {
                let array = array.as_list_opt::<i32>()?;
                Values::Array(array, Box::new(item.bind(array.values().as_ref())?))
            }
            Node::Map(value) => {
                let array = array.as_map_opt()?;
                let keys = array.keys().as_string_opt()?;
                Values::Map(array, keys, Box::new(value.bind(array.values().as_ref())?))
            }
            Node::Row(fields) => Values::Row(bind_row(fields, array.as_struct_opt()?)?),
        };
        Some(Cells { nulls: array.nulls().filter(|nulls| nulls.null_count() > 0), values })
    }
}

fn values_of<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

fn bind_row<'a>(fields: &'a [NamedNode], array: &'a StructArray) -> Option<Vec<NamedCells<'a>>> {
    fields
        .iter()
        .zip(array.columns())
        .map(|(field, column)| Some(NamedCells { field, cells: field.node.bind(column.as_ref())? }))
        .collect()
}

/// A field bound to a batch.
struct NamedCells<'a> {
    field: &'a NamedNode,
    cells: Cells<'a>,
}

/// A column bound to a batch.
struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    TinyInt(&'a [i8]),
    SmallInt(&'a [i16]),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Decimal(&'a [i128], u8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Timestamp { values: &'a [i64], per_second: i64, zulu: bool },
    Array(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, &'a StringArray, Box<Cells<'a>>),
    Row(Vec<NamedCells<'a>>),
}

/// Digits of the longest whole number, 64 bits, with its sign.
const INTEGER_MAX: usize = 20;

/// Appends a whole number. Digits are made from the last to the first in the middle of a buffer
/// and copied with a fixed length, which is cheaper than a call to copy just as many.
#[inline(always)]
fn append_integer(value: i64, out: &mut Vec<u8>) {
    let mut buffer = [0u8; 2 * INTEGER_MAX];
    let (mut rest, mut at) = (value.unsigned_abs(), INTEGER_MAX);
    while rest >= 100 {
        at -= 2;
        [buffer[at], buffer[at + 1]] = two((rest % 100) as u32);
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        [buffer[at], buffer[at + 1]] = two(rest as u32);
    } else {
        at -= 1;
        buffer[at] = b'0' + rest as u8;
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    if let Some(digits) = buffer.get(at..).and_then(|rest| rest.first_chunk::<INTEGER_MAX>()) {
        let end = out.len() + INTEGER_MAX - at;
        out.extend_from_slice(digits);
        out.truncate(end);
    }
}

impl Cells<'_> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the cell of this row.
    #[inline(always)]
    fn append(&self, row: usize, writing: &mut Writing, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::BigInt(values) => append_integer(values[row], out),
            Values::Text(array) => append_string(array.value(row).as_bytes(), Wide::Escaped, out),
            Values::Timestamp { values, per_second, zulu } => {
                append_timestamp(values[row], *per_second, *zulu, writing, out);
            }
            _ => return self.append_other(row, writing, out),
        }
        Ok(())
    }

    #[inline(never)]
    fn append_other(&self, row: usize, writing: &mut Writing, out: &mut Vec<u8>) -> Result<()> {
        match &self.values {
            Values::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" })
            }
            Values::TinyInt(values) => append_integer(values[row].into(), out),
            Values::SmallInt(values) => append_integer(values[row].into(), out),
            Values::Int(values) => append_integer(values[row].into(), out),
            Values::Float(values) => {
                finite_or_quoted(values[row].is_finite(), out, |out| append_float(out, values[row]));
            }
            Values::Double(values) => {
                finite_or_quoted(values[row].is_finite(), out, |out| append_double(out, values[row]));
            }
            Values::Decimal(values, scale) if writing.plain_decimals => {
                append_decimal(out, values[row], *scale);
            }
            Values::Decimal(values, scale) => append_short_decimal(values[row], *scale, out),
            Values::Bytes(array) => append_base64(array.value(row), out),
            Values::Date(values) => {
                out.push(b'"');
                append_date(out, values[row].into());
                out.push(b'"');
            }
            Values::Time(values) => {
                let (seconds, millis) = (values[row].div_euclid(1000), values[row].rem_euclid(1000));
                out.push(b'"');
                append_clock(seconds.rem_euclid(86_400) as u32, millis as u32 * 1_000_000, out);
                out.push(b'"');
            }
            Values::Array(array, items) => append_array(array, items, row, writing, out)?,
            Values::Map(array, keys, values) => append_map(array, keys, values, row, writing, out)?,
            Values::Row(fields) => append_object(fields, row, writing, out)?,
            Values::BigInt(_) | Values::Text(_) | Values::Timestamp { .. } => {
                return Err(internal("a cell is written on its fast path"));
            }
        }
        Ok(())
    }
}

fn finite_or_quoted(finite: bool, out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    if finite {
        return append(out);
    }
    out.push(b'"');
    append(out);
    out.push(b'"');
}

fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// A DECIMAL as `BigDecimal.stripTrailingZeros().toString()`: `1.5`, `1E+2`, `1.2E-7`.
fn append_short_decimal(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    if unscaled == 0 {
        out.push(b'0');
        return;
    }
    let (mut digits, mut scale) = (unscaled.unsigned_abs(), i32::from(scale));
    while digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(digits);
    let exponent = text.len() as i32 - 1 - scale;
    if scale >= 0 && exponent >= -6 {
        append_decimal(out, digits as i128, scale as u8);
        return;
    }
    let (first, rest) = text.split_at(1);
    out.extend_from_slice(first.as_bytes());
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest.as_bytes());
    }
    out.extend_from_slice(if exponent < 0 { b"E" } else { b"E+" });
    append_integer(exponent.into(), out);
}

const TWO_DIGITS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

#[inline(always)]
fn two(number: u32) -> [u8; 2] {
    let at = (number as usize % 100) * 2;
    [TWO_DIGITS[at], TWO_DIGITS[at + 1]]
}

/// `HH:mm:ss`, and the fraction without trailing zeros if there is one.
#[inline(always)]
fn append_clock(second_of_day: u32, nanos: u32, out: &mut Vec<u8>) {
    let (hour, minute, second) =
        (two(second_of_day / 3600), two(second_of_day / 60 % 60), two(second_of_day % 60));
    let millis = nanos / 1_000_000;
    let (high, low) = (two(millis / 10), b'0' + (millis % 10) as u8);
    let text = [
        hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1], b'.', high[0], high[1], low,
    ];
    if nanos == 0 {
        out.extend_from_slice(&text[..8]);
    } else if nanos.is_multiple_of(1_000_000) && low != b'0' {
        out.extend_from_slice(&text);
    } else {
        out.extend_from_slice(&text[..9]);
        append_fraction(nanos, out);
    }
}

#[inline(never)]
fn append_fraction(nanos: u32, out: &mut Vec<u8>) {
    let mut digits = *b"000000000";
    let mut rest = nanos;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&digits[..end]);
}

#[inline(always)]
fn append_timestamp(value: i64, per_second: i64, zulu: bool, writing: &mut Writing, out: &mut Vec<u8>) {
    // A division by a constant is a multiplication; nearly all timestamps count milliseconds.
    let (day, second, nanos) = match per_second {
        1_000 => split_instant(value, 1_000),
        1_000_000 => split_instant(value, 1_000_000),
        _ => split_instant(value, 1_000_000_000),
    };
    if day != writing.last_day {
        writing.last_day = day;
        writing.last_date.clear();
        writing.last_date.push(b'"');
        append_date(&mut writing.last_date, day);
        writing.last_date.push(writing.separator);
    }
    match writing.last_date.first_chunk::<12>() {
        Some(date) if writing.last_date.len() == 12 => out.extend_from_slice(date),
        _ => out.extend_from_slice(&writing.last_date),
    }
    append_clock(second, nanos, out);
    if zulu {
        out.push(b'Z');
    }
    out.push(b'"');
}

/// Day, second of the day and nanosecond.
#[inline(always)]
fn split_instant(value: i64, per_second: i64) -> (i64, u32, u32) {
    let per_day = 86_400 * per_second;
    let (day, rest) = (value.div_euclid(per_day), value.rem_euclid(per_day));
    let (second, fraction) = (rest / per_second, rest % per_second);
    (day, second as u32, (fraction * (1_000_000_000 / per_second)) as u32)
}

fn bounds(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).and_then(|it| usize::try_from(*it).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn append_array(
    array: &ListArray,
    items: &Cells<'_>,
    row: usize,
    writing: &mut Writing,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'[');
    for (number, item) in bounds(array.value_offsets(), row).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        items.append(item, writing, out)?;
    }
    out.push(b']');
    Ok(())
}

fn append_map(
    array: &MapArray,
    keys: &StringArray,
    values: &Cells<'_>,
    row: usize,
    writing: &mut Writing,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'{');
    let mut first = true;
    for entry in bounds(array.value_offsets(), row) {
        let null_key = keys.is_null(entry);
        if null_key && writing.null_key == NullKey::Drop {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        match &writing.null_key {
            _ if !null_key => append_string(keys.value(entry).as_bytes(), Wide::Escaped, out),
            NullKey::Literal(literal) => append_string(literal.as_bytes(), Wide::Escaped, out),
            _ => {
                return Err(Diagnostic::error(
                    Code::OutputFailed,
                    "a map with a NULL key can't be written as JSON",
                )
                .help(format!("set '{}.map-null-key.mode' to 'DROP' or 'LITERAL'", writing.prefix)));
            }
        }
        out.push(b':');
        values.append(entry, writing, out)?;
    }
    out.push(b'}');
    Ok(())
}

#[inline(always)]
fn append_object(
    fields: &[NamedCells<'_>],
    row: usize,
    writing: &mut Writing,
    out: &mut Vec<u8>,
) -> Result<()> {
    if fields.is_empty() || writing.ignore_null_fields {
        return append_sparse_object(fields, row, writing, out);
    }
    for NamedCells { field, cells } in fields {
        field.append_key(out);
        cells.append(row, writing, out).map_err(|error| in_field(error, &field.name))?;
    }
    out.push(b'}');
    Ok(())
}

/// The same without the fields that are NULL.
#[inline(never)]
fn append_sparse_object(
    fields: &[NamedCells<'_>],
    row: usize,
    writing: &mut Writing,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut opening = b'{';
    for NamedCells { field, cells } in fields.iter().filter(|it| !it.cells.is_null(row)) {
        out.push(opening);
        opening = b',';
        out.extend_from_slice(field.key.get(1..).unwrap_or_default());
        cells.append(row, writing, out).map_err(|error| in_field(error, &field.name))?;
    }
    if opening == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

#[cold]
fn in_field(mut error: Box<Diagnostic>, name: &str) -> Box<Diagnostic> {
    error.message = format!("field '{name}': {}", error.message);
    error
}

impl JsonEncoder {
    /// Writes rows of this schema. `prefix`: what the keys of options begin with.
    pub fn new(request: &FormatRequest<'_>, prefix: &'static str) -> Result<Self> {
        let options = JsonOptions::of(&request.table.options, prefix)?;
        let fields = request.schema.fields.iter().map(|field| (field.name.clone(), field.data_type.clone()));
        Ok(Self {
            fields: named(fields)?,
            writing: Writing {
                separator: options.separator,
                null_key: options.null_key,
                plain_decimals: options.plain_decimals,
                ignore_null_fields: options.ignore_null_fields,
                prefix,
                last_day: i64::MIN,
                last_date: Vec::new(),
            },
            row_bytes: 64,
        })
    }

    /// Appends each row's object between what `around` gives for it (none: the row is left out).
    #[inline(always)]
    pub fn rows<'a>(
        &mut self,
        batch: &RecordBatch,
        around: impl Fn(usize) -> Option<(&'a [u8], &'a [u8])>,
        target: &mut impl Target,
    ) -> Result<()> {
        let rows = batch.num_rows();
        let out = target.buffer();
        let start = out.len();
        out.reserve(rows * (self.row_bytes + self.row_bytes / 8));
        let fields: Option<Vec<NamedCells<'_>>> = self
            .fields
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| Some(NamedCells { field, cells: field.node.bind(column.as_ref())? }))
            .collect();
        let fields = fields.ok_or_else(|| internal("a batch doesn't have the types of its sink"))?;
        for row in 0..rows {
            let Some((opening, closing)) = around(row) else {
                target.leave_out()?;
                continue;
            };
            let out = target.buffer();
            let before = out.len();
            out.extend_from_slice(opening);
            if let Err(error) = append_object(&fields, row, &mut self.writing, out) {
                target.abandon(start, before);
                return Err(error);
            }
            out.extend_from_slice(closing);
            target.end()?;
        }
        let written = target.buffer().len().saturating_sub(start);
        self.row_bytes = written.checked_div(rows).unwrap_or(self.row_bytes).max(16);
        Ok(())
    }
}

/// Where records go.
pub(crate) trait Target {
    /// The bytes so far.
    fn buffer(&mut self) -> &mut Vec<u8>;
    /// A record ends here.
    fn end(&mut self) -> Result<()>;
    /// A row has no record.
    fn leave_out(&mut self) -> Result<()>;
    /// A row can't be written: its bytes begin at `row`, those of the batch at `batch`.
    fn abandon(&mut self, batch: usize, row: usize);
}

/// Lines, one behind the other.
pub(crate) struct Lines<'a>(pub &'a mut Vec<u8>);

impl Target for Lines<'_> {
    #[inline(always)]
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.0
    }
    #[inline(always)]
    fn end(&mut self) -> Result<()> {
        self.0.push(b'\n');
        Ok(())
    }
    fn leave_out(&mut self) -> Result<()> {
        Ok(())
    }
    fn abandon(&mut self, batch: usize, _: usize) {
        self.0.truncate(batch);
    }
}

impl Target for Slices {
    #[inline(always)]
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.open()
    }
    #[inline(always)]
    fn end(&mut self) -> Result<()> {
        if Slices::end(self) { Ok(()) } else { Err(too_many_bytes()) }
    }
    fn leave_out(&mut self) -> Result<()> {
        if self.push(None) { Ok(()) } else { Err(too_many_bytes()) }
    }
    fn abandon(&mut self, _: usize, row: usize) {
        self.open().truncate(row);
    }
}

#[cold]
fn too_many_bytes() -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, "more than 4 GiB of messages at a time")
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.rows(batch, |_| Some((b"", b"")), &mut Lines(out))
    }
    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        _: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        self.rows(batch, |_| Some((b"", b"")), out)
    }
}
