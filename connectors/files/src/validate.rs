//! What can be said about a table from its definition alone.

use flott_connector::{ColumnKind, FormatRequest, Registry, TableColumn, TableDescription};
use flott_types::{Code, Diagnostic, Result, Schema};

use crate::{
    settings::{self, LookupSettings, SinkSettings, SourceSettings},
    source::metadata,
};

/// Reports every problem.
pub(crate) fn validate(table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
    if table.options.get("path").is_some() {
        errors.extend(SourceSettings::new(table).err());
    }
    errors.extend(SinkSettings::new(&table.options).err());
    errors.extend(LookupSettings::new(&table.options).err());
    validate_lookup_options(table, errors);
    validate_source_options(table, errors);
    validate_sink_options(table, errors);
    validate_partition_keys(table, errors);
    for column in &table.columns {
        validate_metadata(column, errors);
    }
    if let Ok(format) = registry.format_of(table) {
        format.validate(&FormatRequest { table, schema: stored_schema(table) }, errors);
        if let Err(error) = format.framing(&table.options)
            && error.code == Code::UnsupportedUse
        {
            errors.push(error.at(table.options.span("format")));
        }
    }
    // A malformed value is found both by the check of all options and on the way here.
    let mut seen = Vec::new();
    errors.retain(|error| {
        let key = (error.code, error.message.clone(), error.span);
        let fresh = !seen.contains(&key);
        if fresh {
            seen.push(key);
        }
        fresh
    });
}

/// A sink's path names one directory; one with the signs of a glob names many. Brackets may be part
/// of a name.
pub(crate) fn validate_sink(table: &TableDescription) -> Result<()> {
    let path = settings::local_path(&table.options)?;
    match path.chars().find(|sign| matches!(sign, '*' | '?' | '{')) {
        Some(sign) => {
            let message = format!("option 'path' = '{path}': the path of a sink can't hold '{sign}'");
            Err(Diagnostic::error(Code::InvalidOption, message)
                .at(table.options.span("path"))
                .help("a glob reads many files; to write, name one directory"))
        }
        None => Ok(()),
    }
}

/// The columns that stand in the files: no metadata, no partition columns.
pub(crate) fn stored_schema(table: &TableDescription) -> Schema {
    let mut schema = table.physical_schema();
    schema.fields.retain(|field| !table.partition_keys.contains(&field.name));
    schema
}

fn validate_source_options(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    let zero = matches!(table.options.duration(settings::MONITOR_INTERVAL), Ok(Some(it)) if it.is_zero());
    if zero {
        let key = settings::MONITOR_INTERVAL;
        errors.push(
            Diagnostic::error(Code::InvalidOption, format!("option '{key}' must be longer than zero"))
                .at(table.options.span(key))
                .help("leave the option out to read what is there once"),
        );
    }
}

fn validate_lookup_options(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    let options = &table.options;
    for (key, word) in [(settings::RELOAD_STRATEGY, "TIMED"), (settings::SCHEDULE_MODE, "FIXED_RATE")] {
        if options.get(key).is_some_and(|it| it.eq_ignore_ascii_case(word)) {
            let error = Diagnostic::not_supported(format!("'{key}' = '{word}'")).at(options.span(key));
            errors
                .push(error.help("leave the option out: the table is read again when the interval is over"));
        }
    }
    for key in [settings::RELOAD_INTERVAL, settings::RELOAD_INTERVAL_SHORT] {
        if matches!(options.duration(key), Ok(Some(it)) if it.is_zero()) {
            errors.push(
                Diagnostic::error(Code::InvalidOption, format!("option '{key}' must be longer than zero"))
                    .at(options.span(key))
                    .help("leave the option out to read the table once"),
            );
        }
    }
}

fn validate_sink_options(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    let options = &table.options;
    let mut refuse = |what: String, key: &str, help: &str| {
        errors.push(Diagnostic::not_supported(what).at(options.span(key)).help(help));
    };
    if matches!(options.boolean("auto-compaction"), Ok(Some(true))) {
        refuse("'auto-compaction' of written files".into(), "auto-compaction", "leave the option out");
    }
    let trigger = settings::COMMIT_TRIGGER;
    if options.get(trigger).is_some_and(|it| it.eq_ignore_ascii_case("partition-time")) {
        refuse(format!("'{trigger}' = 'partition-time'"), trigger, "use 'process-time'");
    }
    for key in ["sink.partition-commit.policy.class", "partition.time-extractor.class"] {
        if options.get(key).is_some() {
            refuse(format!("'{key}', a Java class"), key, "leave the option out");
        }
    }
    let policy = settings::COMMIT_POLICY;
    for kind in settings::policy_kinds(options.get(policy).unwrap_or_default()) {
        match kind {
            "success-file" => {}
            "metastore" | "custom" => {
                refuse(format!("partition commit policy '{kind}'"), policy, "use 'success-file'");
            }
            _ => {
                let message = format!("option '{policy}': no policy '{kind}'");
                errors.push(
                    Diagnostic::error(Code::InvalidOption, message)
                        .at(options.span(policy))
                        .help("expected success-file, metastore or custom, separated by commas"),
                );
                return;
            }
        }
    }
}

fn validate_partition_keys(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    for key in &table.partition_keys {
        let column = table.columns.iter().find(|column| &column.name == key);
        match column.map(|column| (&column.kind, column)) {
            Some((ColumnKind::Physical, column)) => {
                if !crate::partition::is_key_type(&column.data_type) {
                    errors.push(
                        Diagnostic::not_supported(format!(
                            "partition column '{key}' of type {}",
                            column.data_type
                        ))
                        .at(column.span)
                        .help("partition by a text, number, boolean or date and time column"),
                    );
                }
            }
            Some((ColumnKind::Metadata { .. }, column)) => errors.push(
                Diagnostic::error(
                    Code::InvalidDefinition,
                    format!("partition column '{key}' is a metadata column"),
                )
                .at(column.span),
            ),
            None => errors.push(
                Diagnostic::error(
                    Code::UnknownColumn,
                    format!("partition column '{key}' is not a column of the table"),
                )
                .at(table.span)
                .did_you_mean(key, table.columns.iter().map(|column| column.name.as_str())),
            ),
        }
    }
    if !table.partition_keys.is_empty() && stored_schema(table).is_empty() {
        errors.push(
            Diagnostic::error(
                Code::InvalidDefinition,
                "every column is a partition column: nothing is left to stand in the files",
            )
            .at(table.span),
        );
    }
}

fn validate_metadata(column: &TableColumn, errors: &mut Vec<Box<Diagnostic>>) {
    let ColumnKind::Metadata { key, .. } = &column.kind else { return };
    if !metadata::KEYS.iter().any(|(known, ..)| known == key) {
        errors.push(
            Diagnostic::error(
                Code::InvalidDefinition,
                format!("connector 'filesystem' has no metadata '{key}'"),
            )
            .at(column.span)
            .did_you_mean(key, metadata::KEYS.iter().map(|(known, ..)| *known)),
        );
    } else if !metadata::fits(key, &column.data_type) {
        let natural = metadata::KEYS.iter().find(|(known, ..)| known == key).map_or("", |(_, sql, _)| *sql);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flott_types::Code;

    use crate::testing::{registry, table};

    fn codes(keys: &[&str], options: &[(&str, &str)]) -> Vec<Code> {
        let table = table(Path::new("/data"), keys, options);
        registry().validate(&table).iter().map(|error| error.code).collect()
    }

    #[test]
    fn a_good_table_has_no_errors() {
        assert_eq!(codes(&["k"], &[("sink.partition-commit.policy.kind", "success-file")]), []);
    }

    #[test]
    fn problems_are_found_all_at_once_and_once_each() {
        assert_eq!(
            codes(&[], &[("path", "s3://bucket/x"), ("pth", "x")]),
            [Code::UnknownOption, Code::NotSupported]
        );
        assert_eq!(codes(&[], &[("source.path.regex-pattern", "(")]), [Code::InvalidOption]);
        assert_eq!(codes(&[], &[("source.monitor-interval", "0 s")]), [Code::InvalidOption]);
        assert_eq!(codes(&[], &[("source.monitor-interval", "soon")]), [Code::InvalidOption]);
        assert_eq!(codes(&[], &[("auto-compaction", "true")]), [Code::NotSupported]);
        assert_eq!(codes(&[], &[("sink.partition-commit.trigger", "partition-time")]), [Code::NotSupported]);
        assert_eq!(
            codes(&[], &[("sink.partition-commit.policy.kind", "metastore,success-file")]),
            [Code::NotSupported]
        );
        assert_eq!(codes(&["line"], &[]), [Code::InvalidDefinition]);
    }

    #[test]
    fn a_sink_has_no_glob() {
        let check = |path: &str| super::validate_sink(&table(Path::new(path), &[], &[]));
        assert!(check("/data/[old]/out").is_ok());
        for path in ["/data/*.json", "/data/2026-??", "/data/{a,b}"] {
            let error = check(path).unwrap_err();
            assert!(error.code == Code::InvalidOption && error.message.contains("can't hold"), "{error:?}");
        }
    }

    #[test]
    fn partition_columns_must_be_columns() {
        let mut table = table(Path::new("/data"), &["country"], &[]);
        table.partition_keys = vec!["contry".into()];
        let errors = registry().validate(&table);
        assert_eq!(errors[0].code, Code::UnknownColumn);
        assert_eq!(errors[0].help, ["did you mean 'country'?"]);
    }
}
