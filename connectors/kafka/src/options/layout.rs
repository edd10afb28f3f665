//! Which columns of a table stand in the key, which in the value, and which say where a message is.
//!
//! ```text
//!   columns   k_id   name   at           'key.fields' = 'k_id', 'key.fields-prefix' = 'k_'
//!   key       id                         its format sees `id` and options without `key.`
//!   value            name                (k_id too, with 'value.fields-include' = 'ALL' and no prefix)
//!   metadata                timestamp    (keys with `value.` are the value format's to read)
//! ```

use std::sync::Arc;

use flott_connector::{
    ColumnKind, Format, FormatMetadata, FormatRequest, FormatUse, Registry, TableColumn, TableDescription,
};
use flott_types::{Code, Diagnostic, Result};

use super::{FIELDS_INCLUDE, FORMAT, KEY_FIELDS, KEY_FORMAT, KEY_PREFIX, TOPIC, VALUE_FORMAT, scan::list};

/// The part of a table that one format reads and writes.
#[derive(Clone)]
pub(crate) struct Part {
    /// As the format sees it: its columns alone, under its names; its options without prefix.
    pub table: TableDescription,
    /// The format.
    pub format: Arc<dyn Format>,
    /// Where its columns stand in the whole table, in the order of the part.
    pub columns: Vec<usize>,
}

impl Part {
    /// What the format needs for a decoder or an encoder.
    pub(crate) fn request(&self) -> FormatRequest<'_> {
        FormatRequest { table: &self.table, schema: self.table.schema() }
    }
}

/// How a table's columns lie in messages.
#[derive(Clone)]
pub(crate) struct Layout {
    pub value: Part,
    pub key: Option<Part>,
    /// Position in the table and metadata key.
    pub metadata: Vec<(usize, String)>,
}

/// The formats that a table's options name.
pub(crate) fn formats(table: &TableDescription) -> Vec<FormatUse> {
    let has = |option| table.options.get(option).is_some();
    let mut uses = vec![if has(VALUE_FORMAT) { VALUE } else { WHOLE }];
    uses.extend(has(KEY_FORMAT).then_some(KEY));
    uses
}

const WHOLE: FormatUse = FormatUse { option: FORMAT, prefix: "" };
const VALUE: FormatUse = FormatUse { option: VALUE_FORMAT, prefix: "value." };
const KEY: FormatUse = FormatUse { option: KEY_FORMAT, prefix: "key." };

/// Formats that write under a subject of their registry, which Flink derives from the topic.
const SUBJECTS: [&str; 3] =
    ["avro-confluent.subject", "debezium-avro-confluent.subject", "protobuf-confluent.subject"];

impl Layout {
    /// # Errors
    /// `MissingOption`, `InvalidOption`, `UnknownConnector`, `UnknownColumn`
    pub(crate) fn new(table: &TableDescription, registry: &Registry, upsert: bool) -> Result<Self> {
        let keys = key_columns(table, upsert)?;
        let prefix = table.options.get(KEY_PREFIX).unwrap_or_default();
        let except_key =
            table.options.get(FIELDS_INCLUDE).is_some_and(|it| it.eq_ignore_ascii_case("EXCEPT_KEY"));
        check_prefix(table, &keys, prefix, except_key)?;
        let physical = |at: &usize| table.columns.get(*at).is_some_and(|it| it.kind == ColumnKind::Physical);
        let mut values: Vec<usize> = (0..table.columns.len())
            .filter(physical)
            .filter(|at| !except_key || !keys.contains(at))
            .collect();
        let value_use = formats(table).first().copied().unwrap_or(WHOLE);
        let beside = beside(table, registry.format_by(table, value_use.option)?.as_ref());
        values.extend(beside.iter().map(|(at, _)| at));
        let mut value = part(table, registry, value_use, values, "")?;
        for (column, at) in value.table.columns.iter_mut().zip(&value.columns) {
            if let Some((_, it)) = beside.iter().find(|(beside, _)| beside == at) {
                column.data_type = it.data_type.clone();
                column.kind = ColumnKind::Metadata { key: it.key.to_string(), is_virtual: true };
            }
        }
        let has_key = table.options.get(KEY_FORMAT).is_some();
        let key = if has_key { Some(part(table, registry, KEY, keys, prefix)?) } else { None };
        let metadata = table.columns.iter().enumerate().filter_map(|(at, column)| match &column.kind {
            ColumnKind::Metadata { .. } if beside.iter().any(|(beside, _)| *beside == at) => None,
            ColumnKind::Metadata { key, .. } => Some((at, key.clone())),
            ColumnKind::Physical => None,
        });
        Ok(Self { value, key, metadata: metadata.collect() })
    }
}

/// What keys of metadata begin with that the value's format knows.
pub(crate) const BESIDE: &str = "value.";

/// Columns of metadata that the value's format reads, and what it knows of them.
fn beside(table: &TableDescription, format: &dyn Format) -> Vec<(usize, FormatMetadata)> {
    let known = format.metadata();
    let of = |(at, column): (usize, &TableColumn)| match &column.kind {
        ColumnKind::Metadata { key, .. } => {
            let key = key.strip_prefix(BESIDE)?;
            known.iter().find(|it| it.key == key).map(|it| (at, it.clone()))
        }
        ColumnKind::Physical => None,
    };
    table.columns.iter().enumerate().filter_map(of).collect()
}

fn part(
    table: &TableDescription,
    registry: &Registry,
    it: FormatUse,
    columns: Vec<usize>,
    name_prefix: &str,
) -> Result<Part> {
    let format = registry.format_by(table, it.option)?.clone();
    let mut options = table.options.clone();
    if !it.prefix.is_empty() {
        // `key.json.x` is its `json.x`; a `json.x` of the table isn't meant for it.
        let own = options.under(it.prefix);
        let foreign: Vec<String> = options
            .iter()
            .map(|(key, _)| key.to_string())
            .filter(|key| is_of_format(key, format.name()))
            .collect();
        foreign.iter().for_each(|key| drop(options.remove(key)));
        for (key, value) in own.iter() {
            options.insert(key, value.clone());
        }
    }
    if let (Some(topic), true) = (table.options.get(TOPIC), format.name().ends_with("-confluent"))
        && let [topic] = list(topic).as_slice()
    {
        let role = if it.option == KEY_FORMAT { "key" } else { "value" };
        for key in SUBJECTS.iter().filter(|key| is_of_format(key, format.name())) {
            let old = format!("{}.schema-registry.subject", format.name());
            if options.get(key).is_none() && options.get(&old).is_none() {
                options.set(*key, format!("{topic}-{role}"));
            }
        }
    }
    let column = |at: &usize| -> Option<TableColumn> {
        let mut column = table.columns.get(*at)?.clone();
        if let Some(rest) = column.name.strip_prefix(name_prefix) {
            column.name = rest.to_string();
        }
        Some(column)
    };
    let part = TableDescription {
        columns: columns.iter().filter_map(column).collect(),
        options,
        partition_keys: Vec::new(),
        ..table.clone()
    };
    Ok(Part { table: part, format, columns })
}

fn is_of_format(key: &str, format: &str) -> bool {
    key.strip_prefix(format).is_some_and(|rest| rest.starts_with('.'))
}

/// Positions of the key's columns: the primary key's, or those that 'key.fields' names.
fn key_columns(table: &TableDescription, upsert: bool) -> Result<Vec<usize>> {
    if upsert {
        let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
        return Ok(table.primary_key.iter().filter_map(position).collect());
    }
    let names = table.options.get(KEY_FIELDS).map(list).unwrap_or_default();
    match (table.options.get(KEY_FORMAT).is_some(), names.is_empty()) {
        (true, true) => {
            let message = format!("'{KEY_FORMAT}' needs '{KEY_FIELDS}': which columns stand in the key");
            return Err(Diagnostic::error(Code::MissingOption, message).at(table.options.span(KEY_FORMAT)));
        }
        (false, false) => {
            let message = format!("'{KEY_FIELDS}' needs '{KEY_FORMAT}': how those columns stand in the key");
            return Err(Diagnostic::error(Code::MissingOption, message).at(table.options.span(KEY_FIELDS)));
        }
        _ => {}
    }
    let mut columns = Vec::new();
    for name in names {
        let is_it = |column: &TableColumn| column.name == name && column.kind == ColumnKind::Physical;
        let Some(at) = table.columns.iter().position(is_it) else {
            let physical = table.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
            let message = format!("option '{KEY_FIELDS}': the table has no physical column '{name}'");
            return Err(Diagnostic::error(Code::UnknownColumn, message)
                .at(table.options.span(KEY_FIELDS))
                .did_you_mean(&name, physical.map(|column| column.name.as_str())));
        };
        if columns.contains(&at) {
            let message = format!("option '{KEY_FIELDS}' names the column '{name}' twice");
            return Err(Diagnostic::error(Code::InvalidOption, message).at(table.options.span(KEY_FIELDS)));
        }
        columns.push(at);
    }
    Ok(columns)
}

/// A prefix keeps columns of the key and of the value apart, so all of the one have it and none of the other.
fn check_prefix(table: &TableDescription, keys: &[usize], prefix: &str, except_key: bool) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    let refuse = |message: String| {
        Err(Diagnostic::error(Code::InvalidOption, message).at(table.options.span(KEY_PREFIX)))
    };
    if !except_key {
        return refuse(format!("'{KEY_PREFIX}' needs '{FIELDS_INCLUDE}' = 'EXCEPT_KEY'"));
    }
    for (at, column) in table.columns.iter().enumerate() {
        let is_key = keys.contains(&at);
        if is_key && !column.name.starts_with(prefix) {
            let name = &column.name;
            return refuse(format!(
                "column '{name}' of the key doesn't begin with '{KEY_PREFIX}' = '{prefix}'"
            ));
        }
    }
    Ok(())
}
