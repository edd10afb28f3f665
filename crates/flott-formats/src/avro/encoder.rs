//! Batches into messages and files.
//!
//! ```text
//!   message:   (0 │ id │) record                       the id of the schema, registered when it is made
//!   envelope:  0 │ id │ union │ before │ after │ op    Debezium's, one for each change
//!   file:      header │ block │ block …                a block when 64,000 bytes have come together
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::{
    array::{ArrayRef, Int8Array},
    record_batch::RecordBatch,
};
use flott_connector::{Encoder, FormatRequest, Slices};
use flott_expr::EvalContext;
use flott_schema_registry::{Kind as SchemaKind, NewSchema, Registry, Settings};
use flott_types::{Code, DataType, Diagnostic, Result, RowKind};

use super::{
    AVRO, DEBEZIUM,
    container::{Codec, Header, MARKER_BYTES},
    own_schema,
    registered::{HEAD_BYTES, head},
    schema::{Id, Kind, Schema},
    wire::{put_bytes, put_long},
    write::{Field, Row, fields},
};
use crate::builder::internal;

/// Bytes of a block, before compression; what Java's library writes.
const BLOCK_BYTES: usize = 64_000;

/// Writes Avro.
pub(super) struct AvroEncoder {
    shape: Shape,
    /// Before each message.
    head: Option<[u8; HEAD_BYTES]>,
    file: File,
}

/// What a record is made of.
enum Shape {
    /// A row; the number of its branch, where the schema is a union.
    Row {
        root: Option<i64>,
        fields: Vec<Field>,
    },
    Envelope(Envelope),
}

/// How an envelope is written: the numbers of the branches of its unions, and the rows of both sides, whose
/// records may be two.
struct Envelope {
    root: Option<i64>,
    /// In the order of the schema.
    parts: Vec<Part>,
    before: Vec<Field>,
    after: Vec<Field>,
    op: Op,
}

struct Part {
    what: What,
    /// Of null and of the value.
    union: Option<(i64, i64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Before,
    After,
    Op,
}

/// How a change is named.
enum Op {
    Text,
    /// The numbers of an enum's symbols.
    Symbols {
        create: i64,
        delete: i64,
    },
}

/// The file being written.
struct File {
    header: Header,
    begun: bool,
    block: Vec<u8>,
    rows: usize,
}

impl AvroEncoder {
    /// Of files, and of messages without an id.
    pub fn plain(request: &FormatRequest<'_>, context: &EvalContext) -> Result<Self> {
        Self::new(request, AVRO, context, Codec::of(&request.table.options)?)
    }

    /// Of messages that name their schema.
    pub fn registered(request: &FormatRequest<'_>, prefix: &str, context: &EvalContext) -> Result<Self> {
        let options = &request.table.options;
        let registry = Registry::shared(&Settings::of(options, prefix)?)?;
        let subject = Settings::subject(options, prefix).map(str::to_string).ok_or_else(|| {
            let message = format!("format '{prefix}' needs the option '{prefix}.subject' in a sink");
            Diagnostic::error(Code::MissingOption, message)
                .at(options.span("format"))
                .help("the subject of the registry that the sink's schema is registered under")
        })?;
        let (text, _) = own_schema(request, prefix)?;
        let mut it = Self::new(request, prefix, context, Codec::Null)?;
        let schema = NewSchema { kind: SchemaKind::Avro, text, references: Vec::new() };
        let id = registry.register(&subject, &schema, Settings::registers(options, prefix)?)?;
        it.head = Some(head(id));
        Ok(it)
    }

    fn new(request: &FormatRequest<'_>, prefix: &str, context: &EvalContext, codec: Codec) -> Result<Self> {
        let (text, schema) = own_schema(request, prefix)?;
        let columns: Vec<(String, DataType)> =
            request.schema.fields.iter().map(|it| (it.name.clone(), it.data_type.clone())).collect();
        let shape = Shape::of(&schema, &columns, prefix == DEBEZIUM).map_err(|why| {
            let message = format!("the schema doesn't fit the columns: {why}");
            Diagnostic::error(Code::InvalidOption, message)
                .at(request.table.options.span(&format!("{prefix}.schema")))
        })?;
        let header = Header { marker: marker(&text, context), schema: text, codec, bytes: 0 };
        let file = File { header, begun: false, block: Vec::new(), rows: 0 };
        Ok(Self { shape, head: None, file })
    }
}

/// The type beside null in a union, and the numbers of both branches.
fn without_null(schema: &Schema, id: Id) -> (Id, Option<(i64, i64)>) {
    let Kind::Union(branches) = &schema.get(id).kind else { return (id, None) };
    let at = |null: bool| branches.iter().position(|it| (schema.get(*it).kind == Kind::Null) == null);
    match (at(true), at(false)) {
        (Some(null), Some(value)) => {
            (branches.get(value).copied().unwrap_or(id), Some((null as i64, value as i64)))
        }
        _ => (id, None),
    }
}

impl Shape {
    fn of(schema: &Schema, columns: &[(String, DataType)], is_envelope: bool) -> Result<Self, String> {
        let (id, union) = without_null(schema, schema.root);
        let root = union.map(|(_, value)| value);
        if is_envelope {
            return Ok(Shape::Envelope(Envelope::of(schema, id, root, columns)?));
        }
        Ok(Shape::Row { root, fields: fields(schema, id, columns)? })
    }

    fn bind<'a>(&'a self, columns: &'a [ArrayRef]) -> Result<Bound<'a>> {
        Ok(match self {
            Shape::Row { root, fields } => Bound::Row(*root, Row::bind(fields, columns)?),
            Shape::Envelope(envelope) => {
                let (before, after) = (&envelope.before, &envelope.after);
                Bound::Envelope(envelope, [Row::bind(before, columns)?, Row::bind(after, columns)?])
            }
        })
    }
}

/// A shape and the columns of a batch.
enum Bound<'a> {
    Row(Option<i64>, Row<'a>),
    /// Rows before and after.
    Envelope(&'a Envelope, [Row<'a>; 2]),
}

impl Bound<'_> {
    #[inline]
    fn write(&self, number: usize, kinds: Option<&Int8Array>, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Bound::Row(root, row) => {
                if let Some(branch) = root {
                    put_long(*branch, out);
                }
                row.write(number, out)
            }
            Bound::Envelope(envelope, sides) => {
                let kind = kinds.and_then(|kinds| kinds.values().get(number).copied());
                let kind = kind.and_then(RowKind::of).unwrap_or(RowKind::Insert);
                envelope.write(sides, number, kind, out)
            }
        }
    }
}

impl Envelope {
    /// The envelope that a schema describes, around rows of these columns.
    fn of(
        schema: &Schema,
        id: Id,
        root: Option<i64>,
        columns: &[(String, DataType)],
    ) -> Result<Self, String> {
        let Kind::Record(written) = &schema.get(id).kind else { return Err("it is no record".into()) };
        let mut parts = Vec::new();
        let (mut before, mut after, mut op) = (None, None, None);
        for field in written {
            let (inner, union) = without_null(schema, field.schema);
            let row = || {
                if union.is_none() {
                    return Err(format!("field '{}' must be a union with null", field.name));
                }
                fields(schema, inner, columns).map_err(|why| format!("field '{}': {why}", field.name))
            };
            let what = match field.name.as_str() {
                "before" => {
                    before = Some(row()?);
                    What::Before
                }
                "after" => {
                    after = Some(row()?);
                    What::After
                }
                "op" => {
                    op = Some(Op::of(&schema.get(inner).kind)?);
                    What::Op
                }
                other => return Err(format!("an envelope has no field '{other}'")),
            };
            parts.push(Part { what, union });
        }
        match (before, after, op) {
            (Some(before), Some(after), Some(op)) if parts.len() == 3 => {
                Ok(Self { root, parts, before, after, op })
            }
            _ => Err("an envelope has the fields 'before', 'after' and 'op'".into()),
        }
    }

    fn write(&self, sides: &[Row<'_>; 2], number: usize, kind: RowKind, out: &mut Vec<u8>) -> Result<()> {
        if let Some(branch) = self.root {
            put_long(branch, out);
        }
        let [before, after] = sides;
        let (side, row) = if kind.retracts() { (What::Before, before) } else { (What::After, after) };
        for part in &self.parts {
            match (part.union, part.what) {
                (Some((_, value)), What::Op) => put_long(value, out),
                (Some((_, value)), what) if what == side => put_long(value, out),
                (Some((null, _)), _) => put_long(null, out),
                (None, _) => {}
            }
            if part.what == What::Op {
                self.op.write(kind.retracts(), out);
            } else if part.what == side {
                row.write(number, out)?;
            }
        }
        Ok(())
    }
}

impl Op {
    fn of(kind: &Kind) -> Result<Self, String> {
        match kind {
            Kind::Text => Ok(Op::Text),
            Kind::Enum(symbols) => {
                let number = |name: &str| {
                    let at = symbols.iter().position(|symbol| symbol == name);
                    at.map(|at| at as i64)
                        .ok_or_else(|| format!("field 'op': the enum has no symbol '{name}'"))
                };
                Ok(Op::Symbols { create: number("c")?, delete: number("d")? })
            }
            other => Err(format!("field 'op': '{}' where text is written", other.name())),
        }
    }

    fn write(&self, retracts: bool, out: &mut Vec<u8>) {
        match self {
            Op::Text => put_bytes(if retracts { b"d" } else { b"c" }, out),
            Op::Symbols { create, delete } => put_long(if retracts { *delete } else { *create }, out),
        }
    }
}

/// Sixteen bytes that stand nowhere in the data by chance; whoever makes files gives each a seed of its own.
fn marker(schema: &str, context: &EvalContext) -> [u8; MARKER_BYTES] {
    let half = |number: u8| {
        let mut hasher = DefaultHasher::new();
        (number, schema, context.random_seed, context.now_micros).hash(&mut hasher);
        hasher.finish()
    };
    let mut marker = [0; MARKER_BYTES];
    let halves = half(0).to_le_bytes().into_iter().chain(half(1).to_le_bytes());
    marker.iter_mut().zip(halves).for_each(|(place, byte)| *place = byte);
    marker
}

impl File {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.header.write(out);
            self.begun = true;
        }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out);
        if self.rows > 0 {
            self.header.write_block(self.rows, &self.block, out)?;
            self.block.clear();
            self.rows = 0;
        }
        Ok(())
    }
}

impl Encoder for AvroEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if self.head.is_some() {
            return Err(internal("messages of a registry were asked for as a file"));
        }
        let bound = self.shape.bind(batch.columns())?;
        self.file.begin(out);
        for number in 0..batch.num_rows() {
            let start = self.file.block.len();
            if let Err(error) = bound.write(number, None, &mut self.file.block) {
                self.file.block.truncate(start);
                return Err(error);
            }
            self.file.rows += 1;
            if self.file.block.len() >= BLOCK_BYTES {
                self.file.end_block(out)?;
            }
        }
        Ok(())
    }

    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bound = self.shape.bind(batch.columns())?;
        for number in 0..batch.num_rows() {
            let start = out.bytes().len();
            let bytes = out.open();
            if let Some(head) = &self.head {
                bytes.extend_from_slice(head);
            }
            if let Err(error) = bound.write(number, kinds, bytes) {
                bytes.truncate(start);
                return Err(error);
            }
            if !out.end() {
                let message = "the messages of a batch are larger than 4 GiB";
                return Err(Diagnostic::error(Code::OutputFailed, message));
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.file.end_block(out)
    }
    fn buffered(&self) -> usize {
        self.file.block.len()
    }
    fn flush_group(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.file.end_block(out)
    }
}
