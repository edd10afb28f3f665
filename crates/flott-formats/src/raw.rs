//! The `raw` format: the bytes of a record are the value of the table's only column.
//!
//! ```text
//!   a line ──► STRING, BYTES   the line itself, without `\r`
//!          ──► numbers         1, 2, 4 or 8 bytes, in the order of `raw.endianness`
//! ```
//!
//! A message of a log is the value itself; a message that is null is NULL (rejected if the column is NOT NULL),
//! and NULL is written so.
//!
//! In a file each line is a record, so a number whose bytes contain a line feed can't be read
//! back; that is as in Flink. NULL has no spelling in a file: writing one there is an error.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Int8Array, PrimitiveArray, PrimitiveBuilder,
        StringBuilder,
    },
    datatypes::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    },
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Decoded, Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind,
    Payload, RecordPart, Reject, ScanRequest, Slices,
};
use flott_expr::{EvalContext, Program};
use flott_types::{Code, DataType, Diagnostic, Options, Result, TypeKind};

use crate::filter;

/// The `raw` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawFormat;

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional(
        "raw.charset",
        OptionKind::Text,
        "UTF-8",
        "The character set of text. Only UTF-8 so far.",
    ),
    OptionDef::optional(
        "raw.endianness",
        OptionKind::OneOf(&["big-endian", "little-endian"]),
        "big-endian",
        "The order of the bytes of a number.",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    little_endian: bool,
}

impl Settings {
    fn of(options: &Options) -> Result<Self> {
        if let Some(charset) = options.get("raw.charset")
            && !charset.eq_ignore_ascii_case("utf-8")
            && !charset.eq_ignore_ascii_case("utf8")
        {
            return Err(Diagnostic::not_supported(format!("raw.charset '{charset}'"))
                .at(options.span("raw.charset"))
                .help("only UTF-8 is supported"));
        }
        let little = options.parsed("raw.endianness", |text| match text {
            "big-endian" => Ok(false),
            "little-endian" => Ok(true),
            _ => Err("expected one of big-endian, little-endian".into()),
        })?;
        Ok(Self { little_endian: little.unwrap_or(false) })
    }
}

/// A batch is handed over once its records hold so many bytes.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// What the format holds: one column of one of these types.
fn column_type<'a>(request: &'a FormatRequest<'_>) -> Result<&'a DataType> {
    let [field] = request.schema.fields.as_slice() else {
        let count = request.schema.len();
        return Err(Diagnostic::error(
            Code::UnsupportedUse,
            format!("the raw format needs exactly one column, the table has {count}"),
        )
        .at(request.table.span));
    };
    let kind = &field.data_type.kind;
    let held = field.data_type.is_character()
        || field.data_type.is_binary()
        || field.data_type.is_integer()
        || field.data_type.is_approximate()
        || *kind == TypeKind::Boolean;
    if held {
        return Ok(&field.data_type);
    }
    let column = request.table.columns.iter().find(|column| column.name == field.name);
    let message = format!("column '{}': the raw format has no {}", field.name, field.data_type);
    Err(Diagnostic::error(Code::UnsupportedUse, message)
        .at(column.map(|column| column.span).unwrap_or_default()))
}

impl Format for RawFormat {
    fn name(&self) -> &'static str {
        "raw"
    }
    fn doc(&self) -> &'static str {
        "The bytes of a record are the value of the only column; in files, each line is a record."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn extension(&self) -> &'static str {
        "txt"
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(Settings::of(&request.table.options).err());
        errors.extend(column_type(request).err());
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Lines)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let settings = Settings::of(&request.table.options)?;
        let data_type = column_type(request)?;
        let wanted = (0..scan.schema.len()).find(|at| extra.iter().all(|it| it.position != *at));
        Ok(Box::new(RawDecoder {
            values: Values::new(data_type),
            data_type: data_type.clone(),
            settings,
            wanted,
            filter: scan.filter.clone(),
            extra,
            schema: scan.schema.arrow_schema(),
            batch_rows: scan.batch_rows.max(1),
            rows: Vec::new(),
            bytes: 0,
            rejected: Vec::new(),
        }))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let settings = Settings::of(&request.table.options)?;
        Ok(Box::new(RawEncoder { settings, kind: column_type(request)?.kind.clone() }))
    }
}

/// The column being built.
enum Values {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Boolean(BooleanBuilder),
    TinyInt(PrimitiveBuilder<Int8Type>),
    SmallInt(PrimitiveBuilder<Int16Type>),
    Int(PrimitiveBuilder<Int32Type>),
    BigInt(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float32Type>),
    Double(PrimitiveBuilder<Float64Type>),
}

impl Values {
    fn new(data_type: &DataType) -> Self {
        match data_type.kind {
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => Values::Bytes(BinaryBuilder::new()),
            TypeKind::Boolean => Values::Boolean(BooleanBuilder::new()),
            TypeKind::TinyInt => Values::TinyInt(PrimitiveBuilder::new()),
            TypeKind::SmallInt => Values::SmallInt(PrimitiveBuilder::new()),
            TypeKind::Int => Values::Int(PrimitiveBuilder::new()),
            TypeKind::BigInt => Values::BigInt(PrimitiveBuilder::new()),
            TypeKind::Float => Values::Float(PrimitiveBuilder::new()),
            TypeKind::Double => Values::Double(PrimitiveBuilder::new()),
            _ => Values::Text(StringBuilder::new()),
        }
    }

    /// Appends the value of a record; `None` if its bytes are no value of the type.
    fn append(&mut self, record: &[u8], settings: Settings) -> Option<()> {
        match self {
            Values::Text(builder) => builder.append_value(simdutf8::basic::from_utf8(record).ok()?),
            Values::Bytes(builder) => builder.append_value(record),
            Values::Boolean(builder) => builder.append_value(ordered::<1>(record, settings)?[0] != 0),
            Values::TinyInt(builder) => builder.append_value(i8::from_be_bytes(ordered(record, settings)?)),
            Values::SmallInt(builder) => builder.append_value(i16::from_be_bytes(ordered(record, settings)?)),
            Values::Int(builder) => builder.append_value(i32::from_be_bytes(ordered(record, settings)?)),
            Values::BigInt(builder) => builder.append_value(i64::from_be_bytes(ordered(record, settings)?)),
            Values::Float(builder) => builder.append_value(f32::from_be_bytes(ordered(record, settings)?)),
            Values::Double(builder) => builder.append_value(f64::from_be_bytes(ordered(record, settings)?)),
        }
        Some(())
    }

    fn append_null(&mut self) {
        match self {
            Values::Text(builder) => builder.append_null(),
            Values::Bytes(builder) => builder.append_null(),
            Values::Boolean(builder) => builder.append_null(),
            Values::TinyInt(builder) => builder.append_null(),
            Values::SmallInt(builder) => builder.append_null(),
            Values::Int(builder) => builder.append_null(),
            Values::BigInt(builder) => builder.append_null(),
            Values::Float(builder) => builder.append_null(),
            Values::Double(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Text(builder) => Arc::new(builder.finish()),
            Values::Bytes(builder) => Arc::new(builder.finish()),
            Values::Boolean(builder) => Arc::new(builder.finish()),
            Values::TinyInt(builder) => Arc::new(builder.finish()),
            Values::SmallInt(builder) => Arc::new(builder.finish()),
            Values::Int(builder) => Arc::new(builder.finish()),
            Values::BigInt(builder) => Arc::new(builder.finish()),
            Values::Float(builder) => Arc::new(builder.finish()),
            Values::Double(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Exactly `N` bytes, the most significant first.
fn ordered<const N: usize>(record: &[u8], settings: Settings) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = record.try_into().ok()?;
    if settings.little_endian {
        bytes.reverse();
    }
    Some(bytes)
}

struct RawDecoder {
    values: Values,
    data_type: DataType,
    settings: Settings,
    /// Position of the column in the batch, if it is read at all.
    wanted: Option<usize>,
    filter: Option<Program>,
    extra: Vec<ExtraColumn>,
    schema: SchemaRef,
    batch_rows: usize,
    rows: Vec<std::ops::Range<u32>>,
    /// Bytes of the records since the last batch.
    bytes: usize,
    rejected: Vec<Reject>,
}

impl RawDecoder {
    fn record(&mut self, record: &[u8], place: std::ops::Range<u32>) {
        self.bytes += record.len();
        match self.values.append(record, self.settings) {
            Some(()) => self.rows.push(place),
            None => {
                let message = match self.values {
                    Values::Text(_) => "the record is not valid UTF-8".to_string(),
                    _ => format!("{} bytes are no {}", record.len(), self.data_type),
                };
                self.rejected.push(Reject {
                    record: place,
                    code: Code::DecodeFailed,
                    message,
                    part: RecordPart::Value,
                });
            }
        }
    }

    fn flush(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let count = self.rows.len();
        let read = (count + self.rejected.len()) as u64;
        if read == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let internal = |what: String| Diagnostic::error(Code::Internal, what);
        let values = self.values.finish();
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        if let Some(place) = self.wanted.and_then(|at| arrays.get_mut(at)) {
            *place = Some(values);
        }
        for extra in &self.extra {
            if let Some(place) = arrays.get_mut(extra.position) {
                *place = Some((extra.fill)(chunk, count)?);
            }
        }
        let arrays: Option<Vec<ArrayRef>> = arrays.into_iter().collect();
        let arrays = arrays.ok_or_else(|| internal("a column of the batch is missing".into()))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| internal(error.to_string()))?;
        let decoded = Decoded {
            batch,
            rows: std::mem::take(&mut self.rows),
            kinds: None,
            first_record: 0,
            read,
            filtered: 0,
            skipped: 0,
            nulled: 0,
            rejected: std::mem::take(&mut self.rejected),
        };
        match &self.filter {
            Some(program) => emit(filter::apply(program, decoded, context)?),
            None => emit(decoded),
        }
    }
}

impl Decoder for RawDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let bound = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        match &chunk.payload {
            Payload::Bytes(bytes) => {
                let mut at = 0;
                while at < bytes.len() {
                    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |found| at + found);
                    let line = &bytes[at..end];
                    self.record(line.strip_suffix(b"\r").unwrap_or(line), bound(at)..bound(end));
                    at = end + 1;
                    if self.rows.len() >= self.batch_rows {
                        self.flush(chunk, context, emit)?;
                    }
                }
            }
            Payload::Records(records) => {
                for (number, (bytes, _)) in records.iter().enumerate() {
                    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    let number = bound(number);
                    self.record(line.strip_suffix(b"\r").unwrap_or(line), number..number);
                    if self.rows.len() >= self.batch_rows {
                        self.flush(chunk, context, emit)?;
                    }
                }
            }
            Payload::Rows(_) | Payload::RowGroup(_) | Payload::Blocks(_) | Payload::Messages(_) => {
                return Err(Diagnostic::error(Code::Internal, "the raw format reads bytes"));
            }
        }
        self.flush(chunk, context, emit)
    }

    fn decode_messages(
        &mut self,
        messages: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        for (number, message) in (0u32..).zip(messages.iter()) {
            match message {
                Some(message) => self.record(message, number..number),
                None if self.wanted.is_some() && !self.data_type.nullable => self.rejected.push(Reject {
                    record: number..number,
                    code: Code::DecodeFailed,
                    message: "it is null, and its column is NOT NULL".into(),
                    part: RecordPart::Value,
                }),
                None => {
                    self.values.append_null();
                    self.rows.push(number..number);
                }
            }
            if self.rows.len() >= self.batch_rows || self.bytes >= TEXT_BYTES_MAX {
                self.flush(chunk, context, emit)?;
            }
        }
        self.flush(chunk, context, emit)
    }
}

struct RawEncoder {
    settings: Settings,
    kind: TypeKind,
}

/// Where values go, one by one: lines, or messages.
trait Out {
    fn put(&mut self, bytes: &[u8]) -> bool;
    fn put_null(&mut self) -> bool;
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        self.push(b'\n');
        true
    }
    fn put_null(&mut self) -> bool {
        false
    }
}

impl Out for Slices {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.push(Some(bytes))
    }
    fn put_null(&mut self) -> bool {
        self.push(None)
    }
}

impl RawEncoder {
    /// Puts each value; false: one couldn't be put, none: the array isn't of the sink's type.
    fn fixed<T: ArrowPrimitiveType, const N: usize>(
        &self,
        array: &dyn Array,
        out: &mut impl Out,
        bytes: impl Fn(T::Native) -> [u8; N],
    ) -> Option<bool> {
        let array = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        let value = |value| {
            let mut bytes = bytes(value);
            if self.settings.little_endian {
                bytes.reverse();
            }
            bytes
        };
        Some(each(array.iter().map(|it| it.map(value)), out))
    }

    fn append(&self, array: &dyn Array, out: &mut impl Out) -> Option<bool> {
        match self.kind {
            TypeKind::Boolean => {
                Some(each(array.as_boolean_opt()?.iter().map(|it| it.map(|value| [u8::from(value)])), out))
            }
            TypeKind::TinyInt => self.fixed::<Int8Type, 1>(array, out, i8::to_be_bytes),
            TypeKind::SmallInt => self.fixed::<Int16Type, 2>(array, out, i16::to_be_bytes),
            TypeKind::Int => self.fixed::<Int32Type, 4>(array, out, i32::to_be_bytes),
            TypeKind::BigInt => self.fixed::<Int64Type, 8>(array, out, i64::to_be_bytes),
            TypeKind::Float => self.fixed::<Float32Type, 4>(array, out, f32::to_be_bytes),
            TypeKind::Double => self.fixed::<Float64Type, 8>(array, out, f64::to_be_bytes),
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
                Some(each(array.as_binary_opt::<i32>()?.iter(), out))
            }
            _ => Some(each(array.as_string_opt::<i32>()?.iter(), out)),
        }
    }
}

fn each(values: impl Iterator<Item = Option<impl AsRef<[u8]>>>, out: &mut impl Out) -> bool {
    let mut put = |value: Option<_>| match value {
        Some(value) => out.put(AsRef::<[u8]>::as_ref(&value)),
        None => out.put_null(),
    };
    for value in values {
        if !put(value) {
            return false;
        }
    }
    true
}

fn wrong_type() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a batch doesn't have the type of its sink")
}

impl Encoder for RawEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some(array) = batch.columns().first() else { return Ok(()) };
        if array.null_count() > 0 {
            return Err(Diagnostic::error(Code::OutputFailed, "the raw format can't write NULL to a file")
                .help("filter NULLs out, or replace them with COALESCE"));
        }
        self.append(array.as_ref(), out).map(drop).ok_or_else(wrong_type)
    }

    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        _: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        let Some(array) = batch.columns().first() else { return Ok(()) };
        match self.append(array.as_ref(), out) {
            Some(true) => Ok(()),
            Some(false) => Err(crate::batch_too_large()),
            None => Err(wrong_type()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flott_connector::{ColumnKind, SplitInfo, TableColumn, TableDescription};
    use flott_types::Span;

    use super::*;

    fn table(data_type: DataType, little_endian: bool) -> TableDescription {
        let mut table = TableDescription::default();
        let (name, kind, span) = ("v".to_string(), ColumnKind::Physical, Span::default());
        table.columns.push(TableColumn { name, data_type, kind, span });
        if little_endian {
            table.options.set("raw.endianness", "little-endian");
        }
        table
    }

    fn decode(table: &TableDescription, bytes: &[u8]) -> Decoded {
        let schema = table.physical_schema();
        let request = FormatRequest { table, schema: schema.clone() };
        let scan = ScanRequest {
            projection: vec![0],
            schema,
            filter: None,
            batch_rows: 100,
            parallelism: 1,
            even_time: false,
            job_options: Options::new(),
        };
        let split = Arc::new(SplitInfo::default());
        let chunk = Chunk {
            split,
            sequence: 0,
            offset: 0,
            payload: Payload::Bytes(bytes.into()),
            bytes_in: 0,
            time: Default::default(),
        };
        let mut out = Vec::new();
        let mut decoder = RawFormat.decoder(&request, &scan, Vec::new()).unwrap();
        let mut emit = |decoded| {
            out.push(decoded);
            Ok(())
        };
        decoder.decode(&chunk, &crate::json::test_context(), &mut emit).unwrap();
        out.remove(0)
    }

    #[test]
    fn lines_of_text() {
        let decoded = decode(&table(DataType::string(), false), b"a\r\n\nb\xffc\nd");
        let text: Vec<_> = decoded.batch.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(text, ["a", "", "d"]);
        assert_eq!(decoded.rejected[0].record, 4..7);
        assert_eq!(decoded.read, 4);
    }

    #[test]
    fn numbers_there_and_back() {
        for little_endian in [false, true] {
            let table = table(DataType::int(), little_endian);
            let bytes = if little_endian { b"DCBA\nABC\n" } else { b"ABCD\nABC\n" };
            let decoded = decode(&table, bytes);
            assert_eq!(decoded.batch.column(0).as_primitive::<Int32Type>().values(), &[1_094_861_636]);
            assert_eq!(decoded.rejected[0].message, "3 bytes are no INT");
            let request = FormatRequest { table: &table, schema: table.physical_schema() };
            let mut out = Vec::new();
            let mut encoder = RawFormat.encoder(&request, &crate::json::test_context()).unwrap();
            encoder.encode(&decoded.batch, &mut out).unwrap();
            assert_eq!(out, bytes[..5]);
        }
    }
}
