//! What can be said about a table from its definition alone.

use flott_connector::{Changelog, ColumnKind, FormatMetadata, Registry, TableColumn, TableDescription};
use flott_expr::coerce::can_cast;
use flott_types::{Code, DataType, Diagnostic, Result};

use super::{
    FORMAT, KEY_FORMAT, TOKEN_TOPIC, TOPIC, VALUE_FORMAT,
    client::ClientSettings,
    layout::{Layout, Part},
    scan::{ScanSettings, list},
};
use crate::decode::metadata::{KEYS, Key};

/// How long the name of a topic may be.
const NAME_MAX: usize = 249;

/// Reports every problem.
pub(crate) fn validate(
    table: &TableDescription,
    registry: &Registry,
    upsert: bool,
    errors: &mut Vec<Box<Diagnostic>>,
) {
    let first = errors.len();
    ClientSettings::check(table, errors);
    check_names(table, errors);
    errors.extend(ScanSettings::new(table, upsert).err());
    if !upsert && table.options.get(FORMAT).is_some() && table.options.get(VALUE_FORMAT).is_some() {
        let message = format!("options '{FORMAT}' and '{VALUE_FORMAT}' mean the same");
        errors.push(
            Diagnostic::error(Code::InvalidOption, message)
                .at(table.options.span(VALUE_FORMAT))
                .help("leave one of them out"),
        );
    }
    for column in &table.columns {
        validate_metadata(table, registry, column, errors);
    }
    // That a format is missing or unknown is said elsewhere.
    let known = super::layout::formats(table).iter().all(|it| registry.format_by(table, it.option).is_ok());
    if known {
        match Layout::new(table, registry, upsert) {
            Ok(layout) => validate_layout(table, &layout, upsert, errors),
            Err(error) => errors.push(error),
        }
    }
    say_once(errors, first);
}

/// Whether Kafka can have topics of these names.
fn check_names(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    for option in [TOPIC, TOKEN_TOPIC] {
        let names = table.options.get(option).map(list).unwrap_or_default();
        if let Some(name) = names.iter().find(|name| !is_topic(name)) {
            let message = format!("option '{option}': Kafka can have no topic '{name}'");
            errors.push(Diagnostic::error(Code::InvalidOption, message).at(table.options.span(option)).help(
                "a name is made of letters (a to z, A to Z), digits, '.', '_' and '-', at most 249 of them",
            ));
        }
    }
}

fn is_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX && name.bytes().all(is_legal)
}

fn validate_layout(
    table: &TableDescription,
    layout: &Layout,
    upsert: bool,
    errors: &mut Vec<Box<Diagnostic>>,
) {
    let value_option = if table.options.get(VALUE_FORMAT).is_some() { VALUE_FORMAT } else { FORMAT };
    validate_part(table, &layout.value, value_option, errors);
    // Without its columns nothing can be said of a key.
    let is_keyless = upsert && table.primary_key.is_empty();
    if let Some(key) = layout.key.as_ref().filter(|_| !is_keyless) {
        validate_part(table, key, KEY_FORMAT, errors);
        insert_only(table, key, KEY_FORMAT, "of a key", errors);
    }
    if upsert {
        insert_only(table, &layout.value, value_option, "with 'upsert-kafka'", errors);
        if is_keyless {
            let message =
                format!("table '{}' needs a PRIMARY KEY: 'upsert-kafka' keeps a row for each", table.name);
            errors.push(
                Diagnostic::error(Code::InvalidDefinition, message)
                    .at(table.span)
                    .help("add `PRIMARY KEY (…) NOT ENFORCED`: its columns stand in the messages' keys"),
            );
        }
    } else if !table.primary_key.is_empty()
        && changelog(&layout.value).is_ok_and(|it| it == Changelog::Append)
    {
        let format = layout.value.format.name();
        let message = format!(
            "table '{}' can't have a PRIMARY KEY: nothing in topics of format '{format}' keeps keys unique",
            table.name
        );
        errors.push(
            Diagnostic::error(Code::InvalidDefinition, message)
                .at(table.span)
                .help("use connector 'upsert-kafka', or leave the primary key out"),
        );
    }
}

fn changelog(part: &Part) -> Result<Changelog> {
    part.format.changelog(&part.table.options)
}

fn insert_only(
    table: &TableDescription,
    part: &Part,
    option: &str,
    where_: &str,
    errors: &mut Vec<Box<Diagnostic>>,
) {
    if changelog(part).is_ok_and(|it| it != Changelog::Append) {
        let message =
            format!("format '{}' can't be the format {where_}: its records are changes", part.format.name());
        errors.push(Diagnostic::error(Code::InvalidOption, message).at(table.options.span(option)));
    }
}

fn validate_part(table: &TableDescription, part: &Part, option: &str, errors: &mut Vec<Box<Diagnostic>>) {
    if !part.format.has_messages() {
        let what = format!("format '{}' in messages", part.format.name());
        errors.push(Diagnostic::not_supported(what).at(table.options.span(option)));
        return;
    }
    part.format.validate(&part.request(), errors);
}

fn validate_metadata(
    table: &TableDescription,
    registry: &Registry,
    column: &TableColumn,
    errors: &mut Vec<Box<Diagnostic>>,
) {
    let ColumnKind::Metadata { key, is_virtual } = &column.kind else { return };
    let beside = beside(table, registry);
    let own = Key::of(key).map(|known| (known.data_type(), true));
    let of_format = || beside.iter().find(|(known, _)| known == key).map(|(_, it)| (it.clone(), false));
    let Some((natural, written)) = own.or_else(of_format) else {
        let message = format!("connector 'kafka' has no metadata '{key}'");
        let all = KEYS.iter().map(|(known, ..)| *known).chain(beside.iter().map(|(known, _)| known.as_str()));
        errors
            .push(Diagnostic::error(Code::InvalidDefinition, message).at(column.span).did_you_mean(key, all));
        return;
    };
    if !written && !is_virtual {
        let message = format!("metadata '{key}' can only be read");
        let help = "write VIRTUAL behind it, so that it isn't a column of what is written";
        errors.push(Diagnostic::error(Code::InvalidDefinition, message).at(column.span).help(help));
    }
    if !can_cast(&natural, &column.data_type)
        || (written && !is_virtual && !can_cast(&column.data_type, &natural))
    {
        errors.push(
            Diagnostic::error(
                Code::TypeMismatch,
                format!("metadata '{key}' cannot be read as {}", column.data_type),
            )
            .at(column.span)
            .help(format!("declare the column as {natural}")),
        );
    }
}

/// What the value's format knows beside rows, by the keys that tables use.
fn beside(table: &TableDescription, registry: &Registry) -> Vec<(String, DataType)> {
    let Some(it) = super::layout::formats(table).into_iter().next() else { return Vec::new() };
    let Ok(format) = registry.format_by(table, it.option) else { return Vec::new() };
    let entry = |it: FormatMetadata| (format!("{}{}", super::layout::BESIDE, it.key), it.data_type);
    format.metadata().into_iter().map(entry).collect()
}

/// A malformed value may be found on several ways.
fn say_once(errors: &mut Vec<Box<Diagnostic>>, first: usize) {
    let mut at = first;
    while at < errors.len() {
        let is_same = |other: &Diagnostic, it: &Diagnostic| {
            let place = (other.code, other.span) == (it.code, it.span);
            place && (it.code == Code::InvalidOption && it.span.is_some() || other.message == it.message)
        };
        let seen = errors.iter().take(at).any(|other| errors.get(at).is_some_and(|it| is_same(other, it)));
        if seen {
            errors.remove(at);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_the_names_that_kafka_allows() {
        for (name, is) in [("a.b_c-9", true), ("nicht/gut", false), ("a b", false), ("..", false)] {
            assert_eq!(is_topic(name), is, "{name}");
        }
        assert_eq!([249, 250].map(|length| is_topic(&"x".repeat(length))), [true, false]);
    }
}
