//! `SHOW` and `DESCRIBE`, with Flink's columns.

use flott_types::{
    Code, ColumnKind, DataType, Diagnostic, Options, Result, TableDescription, TimeAttribute,
    quote_identifier,
};

use super::{MASK, Outcome, Session, check_kind, is_sensitive};
use crate::{
    Entry, Table,
    bind::column_time,
    catalog::{Path, View},
    parse::ast::{Like, ObjectKind, QualifiedName, Show, ShowWhat},
};

impl Session {
    pub(super) fn show_options(&self) -> Outcome {
        let rows = self.options.iter().map(|(key, entry)| {
            let value = if entry.secret || is_sensitive(key) { MASK } else { &entry.value };
            vec![Some(key.to_string()), Some(value.to_string())]
        });
        Outcome::Rows { columns: vec!["key".into(), "value".into()], rows: rows.collect() }
    }

    pub(super) fn show(&self, show: &Show) -> Result<Outcome> {
        let like = show.like.as_ref();
        Ok(match &show.what {
            ShowWhat::Tables(from) => list("table name", self.names(from.as_ref(), |_| true)?, like),
            ShowWhat::Views(from) => {
                list("view name", self.names(from.as_ref(), |entry| matches!(entry, Entry::View(_)))?, like)
            }
            ShowWhat::Functions => {
                let names = flott_expr::functions::all().iter().map(|it| it.name.to_lowercase());
                let mut names: Vec<String> =
                    names.filter(|name| name.starts_with(char::is_alphabetic)).collect();
                names.sort();
                names.dedup();
                list("function name", names, like)
            }
            ShowWhat::Catalogs => {
                let mut names: Vec<String> = self.catalog.databases().map(|(name, _)| name.into()).collect();
                names.dedup();
                list("catalog name", names, like)
            }
            ShowWhat::Databases(of) => {
                let of = of.as_ref().map_or(self.catalog.current_catalog.as_str(), |name| &name.value);
                let all = self.catalog.databases();
                list("database name", all.filter(|it| it.0 == of).map(|it| it.1.into()).collect(), like)
            }
            ShowWhat::CurrentCatalog => {
                list("current catalog name", vec![self.catalog.current_catalog.clone()], None)
            }
            ShowWhat::CurrentDatabase => {
                list("current database name", vec![self.catalog.current_database.clone()], None)
            }
            ShowWhat::Jars => list("jars", Vec::new(), like),
            ShowWhat::Modules => list("module name", vec!["core".into()], like),
            ShowWhat::Columns(name) => describe(self.entry(name)?.1, like),
            ShowWhat::CreateTable(name) => {
                let (path, entry) = self.entry(name)?;
                check_kind(entry, ObjectKind::Table, name)?;
                let Entry::Table(table) = entry else { return Ok(Outcome::Done) };
                list("result", vec![create_table(&path, table)], None)
            }
            ShowWhat::CreateView(name) => {
                let (path, entry) = self.entry(name)?;
                check_kind(entry, ObjectKind::View, name)?;
                let Entry::View(view) = entry else { return Ok(Outcome::Done) };
                list("result", vec![create_view(&path, view)], None)
            }
        })
    }

    /// Names of tables and views in a database.
    fn names(&self, from: Option<&QualifiedName>, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<String>> {
        let (catalog, database) = match from {
            None => (self.catalog.current_catalog.clone(), self.catalog.current_database.clone()),
            Some(name) => {
                let (catalog, database) = self.database_of(name)?;
                if !self.catalog.has_database(&catalog, &database) {
                    let message = format!("no database named '{catalog}.{database}'");
                    return Err(Diagnostic::error(Code::InvalidDefinition, message).at(name.span));
                }
                (catalog, database)
            }
        };
        let here = |path: &Path| path.0 == catalog && path.1 == database;
        let found = self.catalog.iter().filter(|(path, entry)| here(path) && wanted(entry));
        Ok(found.map(|(path, _)| path.2.clone()).collect())
    }

    pub(super) fn describe(&self, name: &QualifiedName) -> Result<Outcome> {
        Ok(describe(self.entry(name)?.1, None))
    }
}

/// One column of names, filtered.
fn list(column: &str, names: Vec<String>, like: Option<&Like>) -> Outcome {
    let kept = names.into_iter().filter(|name| like.is_none_or(|like| matches(like, name)));
    Outcome::Rows { columns: vec![column.into()], rows: kept.map(|name| vec![Some(name)]).collect() }
}

/// `%` stands for any text, `_` for one character.
fn matches(like: &Like, name: &str) -> bool {
    let fold = |text: &str| if like.ignore_case { text.to_lowercase() } else { text.to_string() };
    let pattern: Vec<char> = fold(&like.pattern.value).chars().collect();
    let name: Vec<char> = fold(name).chars().collect();
    // reached[i]: the pattern so far can match the first i characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for sign in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match sign {
                '%' => reached[at] || (at > 0 && next[at - 1]),
                '_' => at > 0 && reached[at - 1],
                sign => at > 0 && reached[at - 1] && name[at - 1] == sign,
            };
        }
        reached = next;
    }
    reached[name.len()] != like.negated
}

fn describe(entry: &Entry, like: Option<&Like>) -> Outcome {
    let mut rows = match entry {
        Entry::Table(table) => describe_table(table),
        Entry::View(view) => {
            view.plan.schema().fields.iter().map(|it| row(&it.name, &it.data_type, it.time)).collect()
        }
    };
    rows.retain(|row| like.is_none_or(|like| matches(like, row[0].as_deref().unwrap_or(""))));
    let mut columns: Vec<String> =
        ["name", "type", "null", "key", "extras", "watermark"].map(String::from).into();
    // As in Flink, comments have a column only if there are any.
    if rows.iter().any(|row| row[6].is_some()) {
        columns.push("comment".into());
    } else {
        rows.iter_mut().for_each(|row| row.truncate(6));
    }
    Outcome::Rows { columns, rows }
}

fn row(name: &str, data_type: &DataType, time: Option<TimeAttribute>) -> Vec<Option<String>> {
    let nullable = if data_type.nullable { "TRUE" } else { "FALSE" };
    let shown = match time {
        Some(TimeAttribute::Rowtime) => format!("{} *ROWTIME*", data_type.kind),
        Some(TimeAttribute::Proctime) => format!("{} *PROCTIME*", data_type.kind),
        None => data_type.kind.to_string(),
    };
    vec![Some(name.into()), Some(shown), Some(nullable.into()), None, None, None, None]
}

fn describe_table(table: &Table) -> Vec<Vec<Option<String>>> {
    let description = &table.description;
    let key = format!("PRI({})", description.primary_key.join(", "));
    let watermark = table.watermark.as_ref();
    let of_column = |(at, column): (usize, &crate::catalog::Column)| {
        let time = column_time(column, at, watermark.map(|it| it.column));
        let mut row = row(&column.name, &column.data_type, time);
        if let Some(watermark) = watermark.filter(|it| it.column == at) {
            row[5] = Some(watermark.text.clone());
        }
        if description.primary_key.contains(&column.name) {
            row[3] = Some(key.clone());
        }
        row[4] = match &column.computed {
            Some((_, text)) => Some(format!("AS {text}")),
            None => metadata(description, &column.name),
        };
        row[6] = column.comment.clone();
        row
    };
    table.columns.iter().enumerate().map(of_column).collect()
}

/// `METADATA FROM 'key' VIRTUAL`, if the column is one.
fn metadata(description: &TableDescription, name: &str) -> Option<String> {
    let column = description.columns.iter().find(|column| column.name == name)?;
    let ColumnKind::Metadata { key, is_virtual } = &column.kind else { return None };
    let mut text = String::from("METADATA");
    if key != name {
        text.push_str(&format!(" FROM {}", quote(key)));
    }
    if *is_virtual {
        text.push_str(" VIRTUAL");
    }
    Some(text)
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn comment(text: Option<&String>) -> String {
    text.map(|it| format!(" COMMENT {}", quote(it))).unwrap_or_default()
}

fn full_name(path: &Path) -> String {
    [&path.0, &path.1, &path.2].map(|part| quote_identifier(part)).join(".")
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ")
}

/// The statement that declares the table again. Secrets are masked.
fn create_table(path: &Path, table: &Table) -> String {
    let description = &table.description;
    let mut items: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let what = match &column.computed {
                Some((_, text)) => format!("AS {text}"),
                None => match metadata(description, &column.name) {
                    Some(metadata) => format!("{} {metadata}", column.data_type),
                    None => column.data_type.to_string(),
                },
            };
            format!("{} {what}{}", quote_identifier(&column.name), comment(column.comment.as_ref()))
        })
        .collect();
    if let Some(watermark) = &table.watermark {
        let column = table.columns.get(watermark.column).map_or("", |it| it.name.as_str());
        items.push(format!("WATERMARK FOR {} AS {}", quote_identifier(column), watermark.text));
    }
    if !description.primary_key.is_empty() {
        items.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&description.primary_key)));
    }
    let temporary = if table.temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}TABLE {} (\n  {}\n)", full_name(path), items.join(",\n  "));
    if let Some(it) = &table.comment {
        text.push_str(&format!("\nCOMMENT {}", quote(it)));
    }
    if !description.partition_keys.is_empty() {
        text.push_str(&format!("\nPARTITIONED BY ({})", names(&description.partition_keys)));
    }
    text.push_str(&with(&description.options));
    text.push('\n');
    text
}

fn with(options: &Options) -> String {
    let pairs: Vec<String> = options
        .iter()
        .map(|(key, entry)| {
            let value = if entry.secret || is_sensitive(key) { MASK } else { &entry.value };
            format!("  {} = {}", quote(key), quote(value))
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("\nWITH (\n{}\n)", pairs.join(",\n")) }
}

fn create_view(path: &Path, view: &View) -> String {
    let columns: Vec<String> = view.plan.schema().fields.iter().map(|field| field.name.clone()).collect();
    let temporary = if view.temporary { "TEMPORARY " } else { "" };
    format!(
        "CREATE {temporary}VIEW {} ({}){}\nAS {}\n",
        full_name(path),
        names(&columns),
        comment(view.comment.as_ref()),
        view.text
    )
}
