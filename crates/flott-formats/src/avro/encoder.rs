//! Batches into messages and files.
//!
//! ```text
//!   message:   (0 │ id │) record                       the id of the schema, registered before the first row
//!   envelope:  0 │ id │ union │ before │ after │ op    Debezium's, one for each change
//!   file:      header │ block │ block …                a block when 64,000 bytes have come together
//! ```

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{Encoder, FormatRequest, Slices};
use flott_expr::EvalContext;
use flott_schema_registry::{Kind as SchemaKind, NewSchema, Registry, Settings};
use flott_types::{Code, DataType, Diagnostic, Result, RowKind};

use super::{
    AVRO, DEBEZIUM,
    column::internal,
    container::{Codec, Header, MARKER_BYTES},
    own_schema,
    registered::head,
    schema::{Id, Kind, Schema},
    wire::{put_bytes, put_long},
    write::{Field, Row, fields},
};

/// Bytes of a block, before compression; what Java's library writes.
const BLOCK_BYTES: usize = 64_000;

/// Writes Avro.
pub(super) struct AvroEncoder {
    fields: Vec<Field>,
    envelope: Option<Envelope>,
    registration: Option<Registration>,
    file: File,
}

/// Where the schema is registered.
struct Registration {
    registry: Arc<Registry>,
    subject: String,
    schema: NewSchema,
    registers: bool,
    id: Option<u32>,
}

/// How an envelope is written: the numbers of the branches of its unions.
struct Envelope {
    root: Option<i64>,
    /// In the order of the schema.
    parts: Vec<Part>,
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
        let schema = NewSchema { kind: SchemaKind::Avro, text, references: Vec::new() };
        let registers = Settings::registers(options, prefix)?;
        let mut it = Self::new(request, prefix, context, Codec::Null)?;
        it.registration = Some(Registration { registry, subject, schema, registers, id: None });
        Ok(it)
    }

    fn new(request: &FormatRequest<'_>, prefix: &str, context: &EvalContext, codec: Codec) -> Result<Self> {
        let (text, schema) = own_schema(request, prefix)?;
        let columns: Vec<(String, DataType)> =
            request.schema.fields.iter().map(|it| (it.name.clone(), it.data_type.clone())).collect();
        let unfit = |why: String| {
            let message = format!("the schema doesn't fit the columns: {why}");
            Diagnostic::error(Code::InvalidOption, message)
                .at(request.table.options.span(&format!("{prefix}.schema")))
        };
        let (root, union) = without_null(&schema, schema.root);
        let (envelope, row) = if prefix == DEBEZIUM {
            let (envelope, row) =
                Envelope::of(&schema, root, union.map(|(_, value)| value)).map_err(unfit)?;
            (Some(envelope), row)
        } else {
            (None, root)
        };
        let fields = fields(&schema, row, &columns).map_err(unfit)?;
        let header = Header { marker: marker(&text, context), schema: text, codec, bytes: 0 };
        let file = File { header, begun: false, block: Vec::new(), rows: 0 };
        Ok(Self { fields, envelope, registration: None, file })
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

impl Envelope {
    /// The envelope that a schema describes, and the record of its rows.
    fn of(schema: &Schema, root: Id, root_branch: Option<i64>) -> Result<(Self, Id), String> {
        let Kind::Record(written) = &schema.get(root).kind else { return Err("it is no record".into()) };
        let (mut parts, mut row) = (Vec::new(), None);
        for field in written {
            let what = match field.name.as_str() {
                "before" => What::Before,
                "after" => What::After,
                "op" => What::Op,
                other => return Err(format!("an envelope has no field '{other}'")),
            };
            let (inner, union) = without_null(schema, field.schema);
            if what != What::Op {
                if union.is_none() {
                    return Err(format!("field '{}' must be a union with null", field.name));
                }
                row = row.or(Some(inner));
            }
            parts.push(Part { what, union });
        }
        match row {
            Some(row) if parts.len() == 3 => Ok((Self { root: root_branch, parts }, row)),
            _ => Err("an envelope has the fields 'before', 'after' and 'op'".into()),
        }
    }

    fn write(&self, row: &Row<'_>, number: usize, kind: RowKind, out: &mut Vec<u8>) -> Result<()> {
        if let Some(branch) = self.root {
            put_long(branch, out);
        }
        let side = if kind.retracts() { What::Before } else { What::After };
        for part in &self.parts {
            match (part.union, part.what) {
                (Some((_, value)), What::Op) => put_long(value, out),
                (Some((_, value)), what) if what == side => put_long(value, out),
                (Some((null, _)), _) => put_long(null, out),
                (None, _) => {}
            }
            if part.what == What::Op {
                put_bytes(if kind.retracts() { b"d" } else { b"c" }, out);
            } else if part.what == side {
                row.write(number, out)?;
            }
        }
        Ok(())
    }
}

/// Sixteen bytes that stand nowhere in the data by chance.
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

impl Registration {
    /// What each message begins with. Asks the registry at the first call.
    fn head(&mut self) -> Result<[u8; 5]> {
        let id = match self.id {
            Some(id) => id,
            None => self.registry.register(&self.subject, &self.schema, self.registers)?,
        };
        self.id = Some(id);
        Ok(head(id))
    }
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
        if self.registration.is_some() {
            return Err(internal("messages of a registry were asked for as a file"));
        }
        let row = Row::bind(&self.fields, batch.columns())?;
        self.file.begin(out);
        for number in 0..batch.num_rows() {
            let start = self.file.block.len();
            if let Err(error) = row.write(number, &mut self.file.block) {
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
        let head = self.registration.as_mut().map(Registration::head).transpose()?;
        let row = Row::bind(&self.fields, batch.columns())?;
        for number in 0..batch.num_rows() {
            let start = out.bytes().len();
            let bytes = out.open();
            if let Some(head) = &head {
                bytes.extend_from_slice(head);
            }
            let written = match &self.envelope {
                None => row.write(number, bytes),
                Some(envelope) => {
                    let kind = kinds.and_then(|kinds| kinds.values().get(number).copied());
                    let kind = kind.and_then(RowKind::of).unwrap_or(RowKind::Insert);
                    envelope.write(&row, number, kind, bytes)
                }
            };
            if let Err(error) = written {
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
