//! `flott list`: the reference, from the very definitions that run. `docs/reference/` is its output.

use std::{fmt::Write, process::ExitCode};

use flott_connector::{OptionDef, registry::COMMON_OPTIONS};
use serde_json::{Value as Json, json};

use crate::{
    cli::{List, Topic},
    connectors, console, diagnostics, run,
};

/// One thing in the reference.
struct Entry {
    /// Its group's heading; empty: none.
    group: &'static str,
    name: String,
    /// How it is written, one line each.
    forms: Vec<String>,
    doc: String,
    options: Vec<OptionDef>,
    /// More facts: name and text.
    facts: Vec<(&'static str, String)>,
    /// Expression and result.
    examples: Vec<(String, String)>,
}

impl Entry {
    fn new(group: &'static str, name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self {
            group,
            name: name.into(),
            forms: Vec::new(),
            doc: doc.into(),
            options: Vec::new(),
            facts: Vec::new(),
            examples: Vec::new(),
        }
    }
}

/// Prints what the arguments ask for.
pub fn command(arguments: &List) -> ExitCode {
    let (title, mut entries) = match arguments.topic {
        Topic::Connectors => ("Connectors", connector_entries()),
        Topic::Formats => ("Formats", format_entries()),
        Topic::Functions => ("Functions", function_entries()),
        Topic::Options => ("Options", option_entries()),
        Topic::Types => ("Types", type_entries()),
    };
    if let Some(name) = &arguments.name {
        let known: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        entries.retain(|entry| entry.name.eq_ignore_ascii_case(name));
        if entries.is_empty() {
            let what = title.to_lowercase();
            let error = run::argument_error(format!("no '{name}' among the {what}"))
                .did_you_mean(name, known.iter().map(String::as_str))
                .help(format!("`flott list {what}` shows them all"));
            return diagnostics::show(&[error], None);
        }
    }
    let text = if arguments.json {
        format!("{:#}\n", Json::Array(entries.iter().map(as_json).collect()))
    } else if arguments.markdown {
        markdown(title, &entries)
    } else if arguments.name.is_some() {
        entries.iter().map(full).collect()
    } else {
        short(&entries)
    };
    console::out(text);
    ExitCode::SUCCESS
}

fn connector_entries() -> Vec<Entry> {
    let registry = connectors::registry();
    let entry = |connector: &std::sync::Arc<dyn flott_connector::Connector>| {
        let mut entry = Entry::new("", connector.name(), connector.doc());
        let uses: Vec<&str> = [("source", connector.reads()), ("sink", connector.writes())]
            .into_iter()
            .filter_map(|(word, has)| has.then_some(word))
            .collect();
        entry.facts.push(("Use as", uses.join(", ")));
        for (key, kind, doc) in connector.metadata() {
            entry.facts.push(("Metadata", format!("`{key}` {kind}: {doc}")));
        }
        entry.options = connector.options().iter().chain(COMMON_OPTIONS).copied().collect();
        entry
    };
    registry.connectors().map(entry).collect()
}

fn format_entries() -> Vec<Entry> {
    let registry = connectors::registry();
    let entry = |format: &std::sync::Arc<dyn flott_connector::Format>| {
        let mut entry = Entry::new("", format.name(), format.doc());
        for it in format.metadata() {
            entry.facts.push(("Metadata", format!("`value.{}` {}: {}", it.key, it.data_type, it.doc)));
        }
        entry.options = format.options().to_vec();
        entry
    };
    registry.formats().map(entry).collect()
}

fn function_entries() -> Vec<Entry> {
    let functions = flott_expr::functions::all().iter().filter(|function| !function.doc.is_empty());
    functions
        .map(|function| {
            let mut entry = Entry::new(group_of(function.kind), function.name, function.doc);
            entry.forms = function.signatures.iter().map(ToString::to_string).collect();
            if !function.aliases.is_empty() {
                entry.facts.push(("Also", function.aliases.join(", ")));
            }
            entry.examples = function.examples.iter().map(|(e, r)| (e.to_string(), r.to_string())).collect();
            entry
        })
        .chain(aggregate_entries())
        .chain(missing_functions())
        .collect()
}

/// Aggregate functions. Those without documentation are forms of others.
fn aggregate_entries() -> impl Iterator<Item = Entry> {
    flott_expr::all_aggregates().iter().filter(|function| !function.doc.is_empty()).map(|function| {
        let mut entry = Entry::new("Aggregate", function.name, function.doc);
        entry.forms = function.signatures.iter().map(ToString::to_string).collect();
        if !function.aliases.is_empty() {
            entry.facts.push(("Also", function.aliases.join(", ")));
        }
        entry.examples = function.examples.iter().map(aggregate_example).collect();
        entry
    })
}

/// The call over rows of the columns `x` and, if there are two, `y`.
fn aggregate_example((call, rows, result): &(&str, &str, &str)) -> (String, String) {
    let first = rows.split("), (").next().unwrap_or_default();
    let columns = if first.contains(", ") { "x, y" } else { "x" };
    (format!("{call} FROM (VALUES {rows}) AS t ({columns})"), result.to_string())
}

/// What Flink has and this doesn't, each once.
fn missing_functions() -> impl Iterator<Item = Entry> {
    use flott_expr::functions::inventory::INVENTORY;
    let mut seen = std::collections::HashSet::new();
    INVENTORY
        .iter()
        .filter(|it| !it.works())
        .map(|it| (if it.name.is_empty() { it.flink } else { it.name }, it.standing))
        .filter(move |(name, _)| seen.insert(*name))
        .map(|(name, standing)| {
            let doc = format!("{} of Flink: {}.", capitalised(standing.noun()), standing.status());
            Entry::new("Not here", name, doc)
        })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn group_of(kind: flott_expr::FunctionKind) -> &'static str {
    use flott_expr::FunctionKind as Kind;
    match kind {
        Kind::Comparison => "Comparison",
        Kind::Logical => "Logical",
        Kind::Arithmetic => "Arithmetic",
        Kind::String => "String",
        Kind::Temporal => "Temporal",
        Kind::Conditional => "Conditional",
        Kind::Conversion => "Conversion",
        Kind::Collection => "Collection",
        Kind::Json => "JSON",
        Kind::Hash => "Hash",
    }
}

fn option_entries() -> Vec<Entry> {
    flott_sql::session::OPTIONS
        .iter()
        .map(|option| {
            let mut entry = Entry::new("", option.key, option.doc);
            entry.facts.push(("Takes", option_kind(option.kind)));
            if !option.default.is_empty() {
                entry.facts.push(("Default", option.default.to_string()));
            }
            if option.status == flott_sql::session::OptionUse::Accepted {
                entry.facts.push(("Status", "accepted, without effect yet".to_string()));
            }
            entry
        })
        .collect()
}

fn option_kind(kind: flott_sql::session::OptionKind) -> String {
    use flott_sql::session::OptionKind as Kind;
    match kind {
        Kind::Boolean => "boolean".into(),
        Kind::Integer => "integer".into(),
        Kind::Number => "number".into(),
        Kind::Duration => "duration".into(),
        Kind::MemorySize => "size".into(),
        Kind::Word(words) => words.join(" | "),
        Kind::TimeZone => "time zone".into(),
        Kind::Text => "text".into(),
    }
}

fn type_entries() -> Vec<Entry> {
    const TYPES: &[(&str, &str, &str)] = &[
        ("BOOLEAN", "BOOLEAN", "TRUE, FALSE or UNKNOWN (NULL)."),
        ("TINYINT", "TINYINT", "A whole number of 8 bits."),
        ("SMALLINT", "SMALLINT", "A whole number of 16 bits."),
        ("INT", "INT, INTEGER", "A whole number of 32 bits."),
        ("BIGINT", "BIGINT", "A whole number of 64 bits."),
        (
            "DECIMAL",
            "DECIMAL(p, s), DEC, NUMERIC",
            "An exact number of p digits (1 to 38, default 10), s of them after the point (0 to p, default 0).",
        ),
        ("FLOAT", "FLOAT", "A floating-point number of 32 bits."),
        ("DOUBLE", "DOUBLE, DOUBLE PRECISION", "A floating-point number of 64 bits."),
        ("CHAR", "CHAR(n)", "Text of exactly n characters (default 1)."),
        ("VARCHAR", "VARCHAR(n)", "Text of at most n characters."),
        ("STRING", "STRING", "VARCHAR(2147483647)."),
        ("BINARY", "BINARY(n)", "Exactly n bytes."),
        ("VARBINARY", "VARBINARY(n)", "At most n bytes."),
        ("BYTES", "BYTES", "VARBINARY(2147483647)."),
        ("DATE", "DATE", "A day, years 0 to 9999."),
        ("TIME", "TIME(p)", "A time of day; kept in milliseconds, as Flink does."),
        (
            "TIMESTAMP",
            "TIMESTAMP(p)",
            "Date and time without zone; p digits of the second (0 to 9, default 6). With p above 6 years 1677 to 2262.",
        ),
        (
            "TIMESTAMP_LTZ",
            "TIMESTAMP_LTZ(p), TIMESTAMP(p) WITH LOCAL TIME ZONE",
            "A point in time, shown in `table.local-time-zone`.",
        ),
        ("INTERVAL", "INTERVAL YEAR TO MONTH, INTERVAL DAY TO SECOND", "A span: months, or milliseconds."),
        ("ARRAY", "ARRAY<t>", "Elements of one type; positions count from 1."),
        ("MAP", "MAP<k, v>", "Keys with values."),
        ("MULTISET", "MULTISET<t>", "Elements with how often they occur."),
        ("ROW", "ROW<name t, …>", "Named fields."),
        (
            "VARIANT",
            "VARIANT",
            "A value of any JSON shape: `PARSE_JSON`, `v['key']`, `v[1]`. In queries; no format reads or writes it.",
        ),
        (
            "BITMAP",
            "BITMAP",
            "A set of 32-bit numbers, compressed: the `BITMAP_…` functions. In queries; no format reads or writes it.",
        ),
    ];
    TYPES
        .iter()
        .map(|(name, forms, doc)| {
            let mut entry = Entry::new("", *name, *doc);
            entry.forms = vec![(*forms).to_string()];
            entry
        })
        .collect()
}

fn short(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0).min(44);
    let mut out = String::new();
    let mut group = "";
    for entry in entries {
        if entry.group != group {
            group = entry.group;
            let _ = writeln!(out, "\n{group}");
        }
        let _ = writeln!(out, "  {:width$}  {}", entry.name, entry.doc);
    }
    out.trim_start_matches('\n').to_string()
}

fn full(entry: &Entry) -> String {
    let mut out = format!("{}\n", entry.name);
    for form in &entry.forms {
        let _ = writeln!(out, "  {form}");
    }
    let _ = writeln!(out, "\n{}", entry.doc);
    for (name, text) in &entry.facts {
        let _ = writeln!(out, "{name}: {text}");
    }
    if !entry.options.is_empty() {
        out.push_str("\nOptions\n");
        for option in &entry.options {
            let default = if option.default.is_empty() {
                String::new()
            } else {
                format!(", default {}", option.default)
            };
            let needed = if option.required { ", required" } else { "" };
            let _ =
                writeln!(out, "  {}  ({}{default}{needed})\n      {}", option.key, option.kind, option.doc);
        }
    }
    for (expression, result) in &entry.examples {
        let _ = writeln!(out, "  {expression}  →  {result}");
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A page of the documentation.
fn markdown(title: &str, entries: &[Entry]) -> String {
    let mut out = format!("# {title}\n\nWritten by `flott list {} --markdown`.\n", title.to_lowercase());
    let tabular = entries.iter().all(|entry| entry.options.is_empty());
    let mut group = "-";
    for entry in entries {
        if entry.group != group {
            group = entry.group;
            if !group.is_empty() {
                let _ = writeln!(out, "\n## {group}");
            }
            if tabular {
                out.push_str("\n| name | written | what it is | example |\n|---|---|---|---|\n");
            }
        }
        if tabular {
            let code = |text: &String| format!("`{}`", cell(text));
            let forms: Vec<String> = entry.forms.iter().map(code).collect();
            let facts: Vec<String> =
                entry.facts.iter().map(|(name, text)| format!("{name}: {}", cell(text))).collect();
            let examples: Vec<String> =
                entry.examples.iter().map(|(e, r)| format!("`{}` → `{}`", cell(e), cell(r))).collect();
            let doc = std::iter::once(cell(&entry.doc)).chain(facts).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "| `{}` | {} | {doc} | {} |",
                cell(&entry.name),
                forms.join("<br>"),
                examples.join("<br>")
            );
            continue;
        }
        let _ = writeln!(out, "\n## {}\n\n{}\n", entry.name, entry.doc);
        for (name, text) in &entry.facts {
            let _ = writeln!(out, "- {name}: {text}");
        }
        out.push_str("\n| option | takes | default | what it does |\n|---|---|---|---|\n");
        for option in &entry.options {
            let default =
                if option.required { "required".to_string() } else { format!("`{}`", cell(option.default)) };
            let default = if default == "``" { String::new() } else { default };
            let _ = writeln!(
                out,
                "| `{}` | {} | {default} | {} |",
                option.key,
                cell(&option.kind.to_string()),
                cell(option.doc)
            );
        }
    }
    out
}

fn as_json(entry: &Entry) -> Json {
    let options: Vec<Json> = entry
        .options
        .iter()
        .map(|o| json!({"key": o.key, "takes": o.kind.to_string(), "default": o.default, "required": o.required, "doc": o.doc}))
        .collect();
    let facts: serde_json::Map<String, Json> =
        entry.facts.iter().map(|(name, text)| ((*name).to_string(), json!(text))).collect();
    json!({
        "name": entry.name,
        "group": entry.group,
        "forms": entry.forms,
        "doc": entry.doc,
        "facts": facts,
        "options": options,
        "examples": entry.examples.iter().map(|(e, r)| json!({"expression": e, "result": r})).collect::<Vec<_>>(),
    })
}
