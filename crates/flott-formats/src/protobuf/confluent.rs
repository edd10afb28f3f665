//! The `protobuf-confluent` format: messages that name their schema by its id in a registry.
//!
//! ```text
//!   0 │ id: 4 bytes │ which message of the file │ message
//!                     a count, then the message's place, its child's place, … (zigzag varints);
//!                     a lone 0: the first message of the file
//! ```
//!
//! A source needs no schema of its own: fields are found by name in whatever schema a message was written
//! with, and a column that a schema doesn't have is NULL. All of them are read into the same columns.
//! A sink registers the schema file, or without one a schema made from its columns.

use std::{fmt::Write as _, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use flott_connector::{
    Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind, ScanRequest,
};
use flott_expr::EvalContext;
use flott_schema_registry::{
    Fault, Kind, NewSchema, Registered, Registry, Settings as RegistrySettings, registry_options,
};
use flott_types::{Code, DataType, Diagnostic, Options, Result, TypeKind};
use prost_reflect::{DescriptorPool, MessageDescriptor, prost::Message, prost_types::FileDescriptorProto};
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

use super::{
    ProtobufEncoder,
    decoder::{ProtobufDecoder, Readers},
    failure::{Fail, Failure},
    no_files,
    plan::{MessagePlan, Unknown, shown},
    reader::MessageReader,
    scanner::Pieces,
    schema::{self, Settings},
    wire::{put_varint, unzigzag, varint, zigzag},
};
use crate::builder::{Column, internal};

/// The `protobuf-confluent` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtobufConfluent;

const PREFIX: &str = "protobuf-confluent";

const OPTIONS: &[OptionDef] = registry_options!(
    "protobuf-confluent",
    OptionDef::optional(
        "protobuf-confluent.schema-file",
        OptionKind::Text,
        "",
        "The schema that a sink registers, a `.proto` file; without it one is made from the columns.",
    ),
    OptionDef::optional(
        "protobuf-confluent.import-paths",
        OptionKind::Text,
        "",
        "Directories that imports are looked for in, with `;` between; the schema file's own one counts anyway.",
    ),
    OptionDef::optional(
        "protobuf-confluent.message-name",
        OptionKind::Text,
        "",
        "The message that a sink writes; may be left out if the schema file has one message alone.",
    ),
    OptionDef::optional(
        "protobuf-confluent.ignore-parse-errors",
        OptionKind::Boolean,
        "false",
        "A message that can't be read is skipped and counted.",
    ),
    OptionDef::optional(
        "protobuf-confluent.read-default-values",
        OptionKind::Boolean,
        "false",
        "Missing fields are their defaults and not NULL; scalars of proto3 always are.",
    ),
    OptionDef::optional(
        "protobuf-confluent.write-null-string-literal",
        OptionKind::Text,
        "",
        "What NULL in an array or map of text is written as.",
    ),
);

/// Before the place of the message.
const HEAD_BYTES: usize = 5;
/// Messages within messages, at the most.
const DEPTH_MAX: i64 = 32;
/// How many are kept before those that failed are dropped: places of messages that aren't ones could be any.
const READERS_MAX: usize = 256;
/// Schemas that need others, that need others, …
const REFERENCES_DEEP: usize = 16;
/// What the schema itself is called among the files it needs.
const MAIN: &str = "__schema__.proto";

impl Format for ProtobufConfluent {
    fn name(&self) -> &'static str {
        PREFIX
    }
    fn doc(&self) -> &'static str {
        "Protocol Buffers whose schema is in a registry, as Confluent's serializers write them."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn extension(&self) -> &'static str {
        "binpb"
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        let options = &request.table.options;
        errors.extend(RegistrySettings::of(options, PREFIX).err());
        errors.extend(Settings::of(options, PREFIX).err());
        if has_file(options) {
            let message = schema::message(options, PREFIX);
            errors.extend(message.and_then(|message| schema::plan(request, &message).map(drop)).err());
        }
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, options: &Options) -> Result<Framing> {
        Err(no_files(PREFIX).at(options.span("format")))
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let options = &request.table.options;
        let settings = Settings::of(options, PREFIX)?;
        let registry = Registry::shared(&RegistrySettings::of(options, PREFIX)?)?;
        let own = (0..scan.schema.len()).filter(|at| extra.iter().all(|it| it.position != *at));
        let fields = own.filter_map(|at| scan.schema.fields.get(at));
        let columns = fields.map(|field| (field.name.clone(), field.data_type.clone())).collect();
        let skip = settings.ignore_parse_errors;
        let readers =
            RegistryReaders { registry, columns, settings, known: Vec::new(), last: Last::default() };
        Ok(Box::new(ProtobufDecoder::new(readers, scan, extra, skip)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let options = &request.table.options;
        let settings = Settings::of(options, PREFIX)?;
        let registry = Registry::shared(&RegistrySettings::of(options, PREFIX)?)?;
        let Some(subject) = RegistrySettings::subject(options, PREFIX) else {
            let message = format!("format '{PREFIX}' needs the option '{PREFIX}.subject' in a sink");
            return Err(Diagnostic::error(Code::MissingOption, message)
                .help("the subject of the registry that the sink's schema is registered under"));
        };
        let (text, message) = own_schema(request)?;
        let plan = schema::plan(request, &message)?;
        let schema = NewSchema { kind: Kind::Protobuf, text, references: Vec::new() };
        let id = registry.register(subject, &schema, RegistrySettings::registers(options, PREFIX)?)?;
        Ok(Box::new(ProtobufEncoder::new(&plan, settings.null_literal, head(id, &message))?))
    }
}

fn has_file(options: &Options) -> bool {
    options.get(&format!("{PREFIX}.schema-file")).is_some()
}

/// What every message of a sink begins with.
fn head(id: u32, message: &MessageDescriptor) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&id.to_be_bytes());
    // A descriptor's path has the number of a list before each place in it.
    let places: Vec<i32> = message.path().iter().skip(1).step_by(2).copied().collect();
    if places == [0] {
        out.push(0);
        return out;
    }
    put_varint(&mut out, zigzag(places.len() as i64));
    places.iter().for_each(|place| put_varint(&mut out, zigzag((*place).into())));
    out
}

/// The text that a sink registers, and its message.
fn own_schema(request: &FormatRequest<'_>) -> Result<(String, MessageDescriptor)> {
    let options = &request.table.options;
    let key = format!("{PREFIX}.schema-file");
    if let Some(file) = options.get(&key) {
        let message = schema::message(options, PREFIX)?;
        let refuse = |what: String| Diagnostic::not_supported(what).at(options.span(&key));
        if !Path::new(file).extension().is_some_and(|it| it.eq_ignore_ascii_case("proto")) {
            return Err(refuse("registering a set of descriptors".into()).help("give the `.proto` file"));
        }
        let parent = message.parent_file();
        let imports = &parent.file_descriptor_proto().dependency;
        if let Some(import) = imports.iter().find(|it| !it.starts_with("google/")) {
            return Err(refuse(format!("registering a schema that imports '{import}'"))
                .help("put the messages into one file"));
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| Diagnostic::error(Code::InvalidOption, format!("'{file}': {error}")))?;
        return Ok((text, message));
    }
    let text = schema_text(request)?;
    let message = compile(text.clone(), Vec::new()).map_err(internal)?;
    let message = message.get_message_by_name("flott.Record");
    Ok((text, message.ok_or_else(|| internal("the schema made has no message"))?))
}

/// A schema for the columns.
fn schema_text(request: &FormatRequest<'_>) -> Result<String> {
    let mut text = "syntax = \"proto3\";\n\npackage flott;\n\n".to_string();
    let fields: Vec<(String, &DataType)> =
        request.schema.fields.iter().map(|field| (field.name.clone(), &field.data_type)).collect();
    put_message("Record", &fields, 0, &mut text).map_err(|(name, why)| {
        let column = request.table.columns.iter().find(|column| column.name == name);
        Diagnostic::error(Code::InvalidDefinition, format!("column '{name}': {why}"))
            .at(column.map(|column| column.span).unwrap_or_default())
            .help(format!("or give the schema: '{PREFIX}.schema-file'"))
    })?;
    Ok(text)
}

/// Appends a message; an error names the field and says what is wrong.
fn put_message(
    name: &str,
    fields: &[(String, &DataType)],
    depth: usize,
    text: &mut String,
) -> std::result::Result<(), (String, String)> {
    let pad = "  ".repeat(depth);
    let _ = writeln!(text, "{pad}message {name} {{");
    for (number, (field, data_type)) in fields.iter().enumerate() {
        let refuse = |why: String| (field.clone(), why);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !field.bytes().all(good) || !field.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Err(refuse("a field's name has letters, digits and underscores only".into()));
        }
        let own = format!("{}_{field}", if depth == 0 { "Row" } else { name });
        let inner = |data_type: &DataType, text: &mut String| match &data_type.kind {
            TypeKind::Row(fields) => {
                let fields: Vec<_> = fields.iter().map(|it| (it.name.clone(), &it.data_type)).collect();
                put_message(&own, &fields, depth + 1, text).map_err(|(_, why)| refuse(why))?;
                Ok(own.clone())
            }
            _ => scalar(data_type)
                .map(str::to_string)
                .ok_or_else(|| refuse(format!("protobuf has no {data_type}"))),
        };
        let declared = match &data_type.kind {
            TypeKind::Array(element) => format!("repeated {}", inner(element, text)?),
            TypeKind::Map(key, value) => {
                let value = inner(value, text)?;
                let key = scalar(key).filter(|key| !matches!(*key, "float" | "double" | "bytes"));
                let key = key.ok_or_else(|| refuse(format!("protobuf has no {data_type}")))?;
                format!("map<{key}, {value}>")
            }
            _ => format!("optional {}", inner(data_type, text)?),
        };
        let _ = writeln!(text, "{pad}  {declared} {field} = {};", number + 1);
    }
    let _ = writeln!(text, "{pad}}}");
    Ok(())
}

fn scalar(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type.kind {
        TypeKind::Boolean => "bool",
        TypeKind::Int => "int32",
        TypeKind::BigInt => "int64",
        TypeKind::Float => "float",
        TypeKind::Double => "double",
        TypeKind::Char(_) | TypeKind::Varchar(_) => "string",
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => "bytes",
        TypeKind::Decimal(20..=38, 0) => "uint64",
        _ => return None,
    })
}

/// A schema and the files that it needs.
fn compile(text: String, others: Vec<(String, String)>) -> std::result::Result<DescriptorPool, String> {
    let mut files = others;
    files.push((MAIN.to_string(), text));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    match compiler.open_file(MAIN) {
        Ok(compiler) => Ok(compiler.descriptor_pool()),
        Err(error) => Err(error.to_string()),
    }
}

/// Files that are there as text.
struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        match self.0.iter().find(|(own, _)| own == name) {
            Some((_, text)) => match descriptor(name, text) {
                Some(file) => Ok(file),
                None => File::from_source(name, text),
            },
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A file that stands in the registry as its descriptor in base64, which is how some clients register it.
fn descriptor(name: &str, text: &str) -> Option<File> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let mut file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    file.name = Some(name.to_string());
    Some(File::from_file_descriptor_proto(file))
}

/// A schema's reader, or why there is none.
struct Known {
    id: u32,
    /// Which message of the file: its number there, its child's number in it, …
    path: Vec<usize>,
    reader: std::result::Result<MessageReader, String>,
}

/// The readers for the schemas met so far. Every shard has its own; the registry's answers they share.
struct RegistryReaders {
    registry: Arc<Registry>,
    columns: Vec<(String, DataType)>,
    settings: Settings,
    known: Vec<Known>,
    last: Last,
}

/// The reader used last, and what stood in the message for it.
#[derive(Default)]
struct Last {
    head: Vec<u8>,
    at: usize,
}

impl Readers for RegistryReaders {
    fn read(
        &mut self,
        message: &[u8],
        columns: &mut [Column],
        pieces: &mut Pieces,
    ) -> Result<std::result::Result<(), Fail>> {
        let (id, start) = match opened(message) {
            Ok(opened) => opened,
            Err(fail) => return Ok(Err(fail)),
        };
        let head = message.get(..start).unwrap_or_default();
        if self.known.is_empty() || self.last.head != head {
            self.last.at = match self.find(id, head.get(HEAD_BYTES..).unwrap_or_default())? {
                Ok(at) => at,
                Err(why) => return Ok(Err(Failure::value(why))),
            };
            self.last.head.clear();
            self.last.head.extend_from_slice(head);
        }
        let body = message.get(start..).unwrap_or_default();
        Ok(match self.known.get_mut(self.last.at).map(|known| &mut known.reader) {
            Some(Ok(reader)) => reader.read(body, columns, pieces).map_err(|fail| fail.behind(start)),
            Some(Err(why)) => Err(Failure::value(why.clone())),
            None => Err(Failure::value("a reader is missing")),
        })
    }
}

/// The schema's id, and where the message itself begins.
fn opened(message: &[u8]) -> std::result::Result<(u32, usize), Fail> {
    let id = match message.first_chunk::<HEAD_BYTES>() {
        Some([0, id @ ..]) => u32::from_be_bytes(*id),
        Some([first, ..]) => {
            let what = format!("it begins with {first} instead of 0 and the id of a schema");
            return Err(Failure::malformed(0, what));
        }
        None => return Err(Failure::malformed(0, "too few bytes for the id of a schema")),
    };
    let (count, mut at) = varint(message, HEAD_BYTES)?;
    let count = unzigzag(count);
    if !(0..=DEPTH_MAX).contains(&count) {
        return Err(Failure::malformed(HEAD_BYTES, "the place of the message in its schema is none"));
    }
    for _ in 0..count {
        at = varint(message, at)?.1;
    }
    Ok((id, at))
}

impl RegistryReaders {
    /// The reader for a message of a schema; the inner error may be another one next time.
    #[cold]
    fn find(&mut self, id: u32, place: &[u8]) -> Result<std::result::Result<usize, String>> {
        let Some(path) = path_of(place) else {
            return Ok(Err("the place of the message in its schema is none".into()));
        };
        if let Some(at) = self.known.iter().position(|known| known.id == id && known.path == path) {
            return Ok(Ok(at));
        }
        let schema = self.registry.schema(id).and_then(|schema| {
            let mut others = Vec::new();
            self.collect(&schema, &mut others, 0)?;
            Ok((schema, others))
        });
        let (schema, others) = match schema {
            Ok(schema) => schema,
            Err(Fault::Unknown(why)) => return Ok(Err(why)),
            Err(Fault::Failed(error)) => return Err(error),
        };
        let reader = self.reader(&schema, others, &path);
        let reader = reader.map_err(|why| format!("schema {id} of the registry: {why}"));
        if self.known.len() >= READERS_MAX {
            self.known.retain(|known| known.reader.is_ok());
        }
        self.known.push(Known { id, path, reader });
        Ok(Ok(self.known.len() - 1))
    }

    fn reader(
        &self,
        schema: &Registered,
        others: Vec<(String, String)>,
        path: &[usize],
    ) -> std::result::Result<MessageReader, String> {
        if schema.kind != Kind::Protobuf {
            return Err(format!("it is of the kind {}, not PROTOBUF", schema.kind.name()));
        }
        let pool = compile(schema.text.clone(), others)?;
        let message = message_at(&pool, path).ok_or("it has no message at the place that is given")?;
        let columns = self.columns.iter().map(|(name, data_type)| (name.as_str(), data_type));
        let plan = MessagePlan::of(&message, columns, Unknown::Null)
            .map_err(|misfit| format!("column '{}': {}", shown(&misfit.path), misfit.what))?;
        Ok(MessageReader::new(&plan, self.settings.defaults(&message)))
    }

    /// The files that a schema needs.
    fn collect(
        &self,
        schema: &Registered,
        into: &mut Vec<(String, String)>,
        depth: usize,
    ) -> std::result::Result<(), Fault> {
        for reference in schema.references.iter().filter(|_| depth < REFERENCES_DEEP) {
            if into.iter().all(|(name, _)| *name != reference.name) {
                let inner = self.registry.version(&reference.subject, reference.version)?;
                self.collect(&inner, into, depth + 1)?;
                into.push((reference.name.clone(), inner.text.clone()));
            }
        }
        Ok(())
    }
}

/// The numbers that a place is made of; a lone zero stands for the first message of the file.
fn path_of(place: &[u8]) -> Option<Vec<usize>> {
    let number = |at: usize| {
        let (value, behind) = varint(place, at).ok()?;
        Some((usize::try_from(unzigzag(value)).ok()?, behind))
    };
    let (count, mut at) = number(0)?;
    if count == 0 {
        return Some(vec![0]);
    }
    let mut path = Vec::new();
    for _ in 0..count {
        let (next, behind) = number(at)?;
        path.push(next);
        at = behind;
    }
    Some(path)
}

/// The message at this path of the schema.
fn message_at(pool: &DescriptorPool, path: &[usize]) -> Option<MessageDescriptor> {
    let file = pool.get_file_by_name(MAIN)?;
    let (first, children) = path.split_first()?;
    let message = file.messages().nth(*first)?;
    children.iter().try_fold(message, |message, child| message.child_messages().nth(*child))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_its_type_stands() {
        let text = "syntax = \"proto3\"; message A { message B { message C {} } } message D { message E {} }";
        let pool = compile(text.into(), Vec::new()).unwrap();
        for (name, place) in [("A", &[0][..]), ("A.B.C", &[6, 0, 0, 0]), ("D", &[2, 2]), ("D.E", &[4, 2, 0])]
        {
            let message = pool.get_message_by_name(name).unwrap();
            let head = head(7, &message);
            assert_eq!((&head[..5], &head[5..]), (&[0, 0, 0, 0, 7][..], place), "{name}");
            assert_eq!(opened(&head).unwrap(), (7, head.len()));
            assert_eq!(message_at(&pool, &path_of(place).unwrap()).unwrap(), message);
        }
        assert!(message_at(&pool, &[4]).is_none());
        // However it is written, it is one path.
        for place in [&[0][..], &[2, 0], &[0x82, 0, 0x80, 0]] {
            assert_eq!(path_of(place).unwrap(), [0]);
        }
        let file = pool.get_file_by_name(MAIN).unwrap();
        let encoded = compile(STANDARD.encode(file.encode_to_vec()), Vec::new()).unwrap();
        assert_eq!(message_at(&encoded, &[1, 0]).unwrap().full_name(), "D.E");
        assert!(opened(&[1, 0, 0, 0, 7, 0]).is_err());
        assert!(opened(&[0, 0, 0, 0, 7, 200]).is_err());
    }
}
