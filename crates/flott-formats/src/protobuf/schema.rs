//! Finds the message: options, schema file, descriptor.

use std::path::{Path, PathBuf};

use flott_connector::FormatRequest;
use flott_types::{Code, Diagnostic, Options, Result};
use prost_reflect::{DescriptorPool, MessageDescriptor, Syntax};

use super::{
    plan::{MessagePlan, Misfit, Unknown, shown},
    reader::Defaults,
};

/// The options that aren't about the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub ignore_parse_errors: bool,
    read_default_values: bool,
    pub null_literal: String,
}

impl Settings {
    /// Reads the options; their keys begin with the prefix.
    pub fn of(options: &Options, prefix: &str) -> Result<Self> {
        let flag = |name: &str| -> Result<bool> {
            Ok(options.boolean(&format!("{prefix}.{name}"))?.unwrap_or(false))
        };
        let literal = options.get(&format!("{prefix}.write-null-string-literal"));
        Ok(Self {
            ignore_parse_errors: flag("ignore-parse-errors")?,
            read_default_values: flag("read-default-values")?,
            null_literal: literal.unwrap_or_default().to_string(),
        })
    }
    /// What missing fields of the message are: scalars of proto3 always have their default.
    pub fn defaults(&self, message: &MessageDescriptor) -> Defaults {
        let others = self.read_default_values;
        Defaults { scalars: others || message.parent_file().syntax() == Syntax::Proto3, others }
    }
}

/// The message that the options name.
///
/// # Errors
/// `MissingOption`, `InvalidOption`.
pub(super) fn message(options: &Options, prefix: &str) -> Result<MessageDescriptor> {
    let keys = Keys::of(prefix);
    let Some(file) = options.get(&keys.schema_file) else { return Err(no_schema(options, &keys)) };
    let pool = load(Path::new(file), options, &keys)?;
    find(&pool, options, &keys)
}

/// The options that are about the schema.
struct Keys {
    /// The schema file.
    schema_file: String,
    /// Where its imports are looked for.
    import_paths: String,
    /// The message.
    message_name: String,
    /// Flink's way to name the message.
    message_class_name: String,
}

impl Keys {
    fn of(prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}.{name}");
        Self {
            schema_file: key("schema-file"),
            import_paths: key("import-paths"),
            message_name: key("message-name"),
            message_class_name: key("message-class-name"),
        }
    }
}

/// The columns matched with the message.
///
/// # Errors
/// As [`message`]; `InvalidDefinition`: a column that fits no field.
pub(super) fn plan(request: &FormatRequest<'_>, message: &MessageDescriptor) -> Result<MessagePlan> {
    let columns = request.schema.fields.iter().map(|field| (field.name.as_str(), &field.data_type));
    MessagePlan::of(message, columns, Unknown::Refuse).map_err(|misfit| refused(request, &misfit))
}

fn refused(request: &FormatRequest<'_>, misfit: &Misfit) -> Box<Diagnostic> {
    let root = misfit.path.first();
    let column = request.table.columns.iter().find(|column| Some(&column.name) == root);
    let message = format!("column '{}': {}", shown(&misfit.path), misfit.what);
    Diagnostic::error(Code::InvalidDefinition, message)
        .at(column.map(|column| column.span).unwrap_or_default())
        .help("columns are matched with the message's fields by name; case counts")
}

fn no_schema(options: &Options, keys: &Keys) -> Box<Diagnostic> {
    let class = options.entry(&keys.message_class_name);
    let error = match class {
        Some(class) => {
            let message = format!(
                "the class '{}' can't be loaded: there is no Java here, and the class's schema is needed instead",
                class.value
            );
            Diagnostic::error(Code::MissingOption, message).at(class.key_span)
        }
        None => Diagnostic::error(
            Code::MissingOption,
            format!("the protobuf format needs '{}'", keys.schema_file),
        ),
    };
    error
        .help(format!(
            "add '{}' = 'path/to/file.proto', or a set of descriptors made by protoc",
            keys.schema_file
        ))
        .help(format!(
            "and '{}' = 'package.Message', unless the file has one message alone",
            keys.message_name
        ))
}

/// Reads the schema file.
fn load(path: &Path, options: &Options, keys: &Keys) -> Result<DescriptorPool> {
    let refuse = |why: String| {
        Diagnostic::error(Code::InvalidOption, format!("the schema file '{}': {why}", path.display()))
            .at(options.span(&keys.schema_file))
    };
    std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("proto")) {
        let compiler =
            compile(path, options.get(&keys.import_paths)).map_err(|error| refuse(error.to_string()));
        return compiler.map(|compiler| compiler.descriptor_pool());
    }
    let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    DescriptorPool::decode(bytes.as_slice()).map_err(|error| {
        refuse(format!("it is neither a .proto file nor a set of descriptors ({error})"))
            .help("protoc --include_imports --descriptor_set_out=FILE.desc FILE.proto makes one")
    })
}

fn compile(path: &Path, imports: Option<&str>) -> std::result::Result<protox::Compiler, protox::Error> {
    let mut includes: Vec<PathBuf> = imports
        .unwrap_or_default()
        .split(';')
        .map(str::trim)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    if includes.iter().all(|include| !path.starts_with(include)) {
        let own = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        includes.insert(0, own.unwrap_or(Path::new(".")).to_path_buf());
    }
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).open_file(path)?;
    Ok(compiler)
}

fn find(pool: &DescriptorPool, options: &Options, keys: &Keys) -> Result<MessageDescriptor> {
    let (key, wanted) = match (options.get(&keys.message_name), options.get(&keys.message_class_name)) {
        (Some(name), _) => (&keys.message_name, name),
        (None, Some(class)) => (&keys.message_class_name, class),
        (None, None) => return only(pool, keys),
    };
    if let Some(message) = pool.get_message_by_name(wanted) {
        return Ok(message);
    }
    // The end of the name is enough, if one message alone has it.
    let simple = wanted.rsplit(['.', '$']).next().unwrap_or(wanted);
    let mut found = own_messages(pool).filter(|message| message.name() == simple);
    match (found.next(), found.next()) {
        (Some(message), None) if *key == keys.message_class_name || simple == wanted => Ok(message),
        (first, _) => {
            let what = if first.is_some() { "several messages" } else { "no message" };
            let error = Diagnostic::error(
                Code::InvalidOption,
                format!("option '{key}' = '{wanted}': the schema file has {what} of this name"),
            );
            let names: Vec<String> =
                own_messages(pool).map(|message| message.full_name().to_string()).collect();
            Err(error.at(options.span(key)).did_you_mean(wanted, names.iter().map(String::as_str)).help(
                format!("give '{}' with its package; the file has {}", keys.message_name, listed(&names)),
            ))
        }
    }
}

/// The only message of the file.
fn only(pool: &DescriptorPool, keys: &Keys) -> Result<MessageDescriptor> {
    let mut top = own_messages(pool).filter(|message| message.parent_message().is_none());
    match (top.next(), top.next()) {
        (Some(message), None) => Ok(message),
        _ => {
            let names: Vec<String> =
                own_messages(pool).map(|message| message.full_name().to_string()).collect();
            Err(Diagnostic::error(
                Code::MissingOption,
                format!("the protobuf format needs '{}'", keys.message_name),
            )
            .help(format!("the schema file has {}", listed(&names))))
        }
    }
}

/// Messages that a table may be of: none of Google's, no entries of maps.
fn own_messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> + '_ {
    pool.all_messages()
        .filter(|message| !message.is_map_entry() && !message.full_name().starts_with("google.protobuf."))
}

fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    match names {
        [] => "no messages".into(),
        names => {
            let shown = names.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
            if names.len() > SHOWN_MAX { format!("{shown}, …") } else { shown }
        }
    }
}
