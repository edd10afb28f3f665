//! Runs statements one after the other against a catalog and a configuration.
//!
//! ```text
//!   Statement ─► Session::execute ─┬─ create.rs   CREATE TABLE (LIKE, AS), CREATE VIEW
//!                                  ├─ like.rs     what LIKE takes over
//!                                  ├─ show.rs     SHOW, DESCRIBE
//!                                  ├─ bind        INSERT, SELECT
//!                                  └─ here        SET, RESET, USE, DROP, ALTER
//! ```
//!
//! A statement that fails changes nothing.

mod create;
mod like;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use crate::options::{MASK, OPTIONS, OptionKind, OptionUse, SessionOption, is_sensitive, option, shown};
use crate::{
    Catalog, Entry, Insert, LogicalPlan, Source, Table,
    bind::Binder,
    catalog::{Path, View},
    options,
    parse::{
        Statement, StatementKind,
        ast::{Alter, AlterAction, Drop, InsertStatement, Name, ObjectKind, QualifiedName},
    },
};
use flott_types::{Code, Diagnostic, OptionValue, Options, Result, Span};

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one per statement, never held in numbers")]
pub enum Outcome {
    /// The catalog or the configuration changed; nothing to show.
    Done,
    /// Rows to show (`SHOW`, `DESCRIBE`, `SET` without arguments …): all values as text, `None`: NULL.
    Rows {
        /// Column names.
        columns: Vec<String>,
        /// The rows.
        rows: Vec<Vec<Option<String>>>,
    },
    /// Pipelines to run together: one `INSERT`, or a statement set.
    Insert(Vec<Insert>),
    /// A query whose rows are to be shown.
    Query(LogicalPlan),
    /// `EXPLAIN`: the pipelines or query to explain.
    Explain(Box<Outcome>),
}

/// Catalog and configuration of one script.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Tables and views.
    pub catalog: Catalog,
    /// `SET` options and `-D`.
    pub options: Options,
    /// What `RESET` returns to: `-D`.
    initial: Options,
    /// Errors and warnings besides the one that `execute` returned.
    #[expect(clippy::vec_box, reason = "errors travel boxed everywhere")]
    diagnostics: Vec<Box<Diagnostic>>,
    /// Names whose declaration failed: that they are unknown is no news.
    undeclared: BTreeSet<Path>,
}

impl Session {
    /// An empty session with these options.
    pub fn new(options: Options) -> Self {
        Self { initial: options.clone(), options, ..Self::default() }
    }

    /// Sets an option from outside a script (`-D key=value`); `RESET` returns to it.
    ///
    /// # Errors
    /// [`Code::UnknownOption`], [`Code::InvalidOption`].
    pub fn set_option(&mut self, key: &str, value: &str) -> Result<()> {
        let key = options::check(key, value, false)?;
        self.options.set(key.clone(), value);
        self.initial.set(key, value);
        Ok(())
    }

    /// All declared tables, in order of name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.catalog.iter().filter_map(|(_, entry)| match entry {
            Entry::Table(table) => Some(&**table),
            Entry::View(_) => None,
        })
    }

    /// Warnings, and errors besides the one that `execute` returned, since the last call.
    pub fn take_diagnostics(&mut self) -> Vec<Box<Diagnostic>> {
        std::mem::take(&mut self.diagnostics)
    }

    /// Executes one statement.
    ///
    /// # Errors
    /// What is wrong with it, with its place in `source`. More may be in
    /// [`Self::take_diagnostics`].
    pub fn execute(&mut self, source: &Source, statement: &Statement) -> Result<Outcome> {
        let outcome = self.run(source, statement);
        if outcome.is_err() {
            self.remember_undeclared(&statement.kind);
        }
        let undeclared = &self.undeclared;
        let catalog = &self.catalog;
        let explain = |it: Box<Diagnostic>| explain_undeclared(source, catalog, undeclared, it);
        self.diagnostics = std::mem::take(&mut self.diagnostics).into_iter().map(explain).collect();
        outcome.map_err(explain)
    }

    fn run(&mut self, source: &Source, statement: &Statement) -> Result<Outcome> {
        match &statement.kind {
            StatementKind::CreateTable(table) => self.create_table(source, table),
            StatementKind::CreateView(view) => self.create_view(source, view),
            StatementKind::CreateDatabase { name, if_not_exists } => {
                self.create_database(name, *if_not_exists)
            }
            StatementKind::Insert(insert) => Ok(Outcome::Insert(vec![self.bind_insert(source, insert)?])),
            StatementKind::StatementSet(inserts) => self.statement_set(source, inserts, statement.span),
            StatementKind::Query(query) => {
                let plan = self.bind(source, |binder| binder.bind_query(query))?;
                Ok(Outcome::Query(plan))
            }
            StatementKind::Set(None) => Ok(self.show_options()),
            StatementKind::Set(Some((key, value))) => self.set(source, key, value),
            StatementKind::Reset(key) => self.reset(key.as_ref()),
            StatementKind::Show(show) => self.show(show),
            StatementKind::Describe(name) => self.describe(name),
            StatementKind::Explain(inner) => Ok(Outcome::Explain(Box::new(self.run(source, inner)?))),
            StatementKind::Drop(drop) => self.drop_object(drop),
            StatementKind::UseCatalog(name) => self.use_catalog(name),
            StatementKind::UseDatabase(name) => self.use_database(name),
            StatementKind::Alter(alter) => self.alter(source, alter),
        }
    }

    /// Runs the binder and keeps what it says besides.
    fn bind<T>(&mut self, source: &Source, work: impl FnOnce(&Binder) -> Result<T>) -> Result<T> {
        let binder = Binder::new(&self.catalog, &self.options, source);
        let outcome = work(&binder);
        let more = binder.take_diagnostics();
        self.diagnostics.extend(more);
        outcome
    }

    fn bind_insert(&mut self, source: &Source, insert: &InsertStatement) -> Result<Insert> {
        self.bind(source, |binder| binder.bind_insert(insert))
    }

    fn statement_set(&mut self, source: &Source, inserts: &[InsertStatement], span: Span) -> Result<Outcome> {
        if inserts.is_empty() {
            return Err(Diagnostic::error(Code::InvalidDefinition, "the statement set is empty").at(span));
        }
        let mut bound = Vec::new();
        let mut errors = Vec::new();
        for insert in inserts {
            match self.bind_insert(source, insert) {
                Ok(insert) => bound.push(insert),
                Err(error) => errors.push(error),
            }
        }
        let mut errors = errors.into_iter();
        let Some(first) = errors.next() else { return Ok(Outcome::Insert(bound)) };
        self.diagnostics.extend(errors);
        Err(first)
    }

    // --- configuration ---------------------------------------------------------------------------

    fn set(&mut self, source: &Source, key: &Name, value: &Name) -> Result<Outcome> {
        let secret = source.is_secret(value.span);
        let name = options::check(&key.value, &value.value, secret).map_err(|error| {
            error.at(if options::option(&key.value).is_some() { value.span } else { key.span })
        })?;
        let entry =
            OptionValue { value: value.value.clone(), key_span: key.span, value_span: value.span, secret };
        self.options.insert(name, entry);
        Ok(Outcome::Done)
    }

    fn reset(&mut self, key: Option<&Name>) -> Result<Outcome> {
        let Some(key) = key else {
            self.options = self.initial.clone();
            return Ok(Outcome::Done);
        };
        let known = options::option(&key.value).map(|it| it.key);
        let name = known.or_else(|| self.options.entry(&key.value).map(|_| key.value.as_str()));
        let name = name.ok_or_else(|| options::unknown(&key.value).at(key.span))?.to_string();
        match self.initial.entry(&name).cloned() {
            Some(entry) => self.options.insert(name, entry),
            None => self.options.remove(&name),
        };
        Ok(Outcome::Done)
    }

    // --- catalog ---------------------------------------------------------------------------------

    /// The full path of a name; its database must exist.
    fn path(&self, name: &QualifiedName) -> Result<Path> {
        let parts: Vec<&str> = name.parts.iter().map(|it| it.value.as_str()).collect();
        let path = self
            .catalog
            .path(&parts)
            .ok_or_else(|| Diagnostic::error(Code::Syntax, "a name has at most three parts").at(name.span))?;
        if !self.catalog.has_database(&path.0, &path.1) {
            return Err(no_database(&self.catalog, &path.0, &path.1, name.span));
        }
        Ok(path)
    }

    /// What a name stands for.
    fn entry(&self, name: &QualifiedName) -> Result<(Path, &Entry)> {
        let path = self.path(name)?;
        match self.catalog.entry(&path) {
            Some(entry) => Ok((path, entry)),
            None => Err(self.unknown_table(name)),
        }
    }

    fn unknown_table(&self, name: &QualifiedName) -> Box<Diagnostic> {
        let last = name.parts.last().map_or("", |it| it.value.as_str());
        Diagnostic::error(Code::UnknownTable, format!("no table or view named '{}'", name.text()))
            .at(name.span)
            .did_you_mean(last, self.catalog.names())
    }

    fn create_database(&mut self, name: &QualifiedName, if_not_exists: bool) -> Result<Outcome> {
        let (catalog, database) = self.database_of(name)?;
        if !self.catalog.create_database(&catalog, &database) && !if_not_exists {
            return Err(Diagnostic::error(
                Code::AlreadyExists,
                format!("database '{catalog}.{database}' exists"),
            )
            .at(name.span)
            .help("CREATE DATABASE IF NOT EXISTS leaves it as it is"));
        }
        Ok(Outcome::Done)
    }

    /// `[catalog.]database`; the catalog must exist.
    fn database_of(&self, name: &QualifiedName) -> Result<(String, String)> {
        let (catalog, database) = match name.parts.as_slice() {
            [database] => (self.catalog.current_catalog.clone(), database.value.clone()),
            [catalog, database] => (catalog.value.clone(), database.value.clone()),
            _ => {
                let message = "a database's name has at most two parts: catalog, database";
                return Err(Diagnostic::error(Code::Syntax, message).at(name.span));
            }
        };
        if !self.catalog.has_catalog(&catalog) {
            return Err(no_catalog(&self.catalog, &catalog, name.span));
        }
        Ok((catalog, database))
    }

    fn use_catalog(&mut self, name: &Name) -> Result<Outcome> {
        if !self.catalog.has_catalog(&name.value) {
            return Err(no_catalog(&self.catalog, &name.value, name.span));
        }
        if self.catalog.current_catalog != name.value {
            let first = self.catalog.databases().find(|(catalog, _)| *catalog == name.value);
            let database = first.map(|(_, database)| database.to_string());
            self.catalog.current_catalog = name.value.clone();
            self.catalog.current_database = database.unwrap_or_default();
        }
        Ok(Outcome::Done)
    }

    fn use_database(&mut self, name: &QualifiedName) -> Result<Outcome> {
        let (catalog, database) = self.database_of(name)?;
        if !self.catalog.has_database(&catalog, &database) {
            return Err(no_database(&self.catalog, &catalog, &database, name.span));
        }
        (self.catalog.current_catalog, self.catalog.current_database) = (catalog, database);
        Ok(Outcome::Done)
    }

    fn drop_object(&mut self, drop: &Drop) -> Result<Outcome> {
        if drop.kind == ObjectKind::Database {
            return self.drop_database(drop);
        }
        let (path, entry) = match self.entry(&drop.name) {
            Ok(found) => found,
            // Flink takes IF EXISTS for the database too.
            Err(error) => {
                return if drop.if_exists { Ok(Outcome::Done) } else { Err(error) };
            }
        };
        check_kind(entry, drop.kind, &drop.name)?;
        let temporary = match entry {
            Entry::Table(table) => table.temporary,
            Entry::View(view) => view.temporary,
        };
        if drop.temporary && !temporary {
            let message = format!("'{}' is not temporary", drop.name.text());
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(drop.name.span)
                .help("leave TEMPORARY out"));
        }
        self.catalog.remove(&path);
        Ok(Outcome::Done)
    }

    fn drop_database(&mut self, drop: &Drop) -> Result<Outcome> {
        let (catalog, database) = self.database_of(&drop.name)?;
        if !self.catalog.has_database(&catalog, &database) {
            if drop.if_exists {
                return Ok(Outcome::Done);
            }
            return Err(no_database(&self.catalog, &catalog, &database, drop.name.span));
        }
        let refuse = |why: &str, help: &str| {
            let message = format!("database '{catalog}.{database}' {why}");
            Err(Diagnostic::error(Code::InvalidDefinition, message).at(drop.name.span).help(help))
        };
        if (&catalog, &database) == (&self.catalog.current_catalog, &self.catalog.current_database) {
            return refuse("is the current one", "USE another database first");
        }
        let holds = self.catalog.iter().any(|(path, _)| path.0 == catalog && path.1 == database);
        if holds && !drop.cascade {
            return refuse("is not empty", "DROP DATABASE … CASCADE drops its tables too");
        }
        self.catalog.drop_database(&catalog, &database);
        Ok(Outcome::Done)
    }

    fn alter(&mut self, source: &Source, alter: &Alter) -> Result<Outcome> {
        let (path, entry) = match self.entry(&alter.name) {
            Err(error) if alter.if_exists && error.code == Code::UnknownTable => return Ok(Outcome::Done),
            found => found?,
        };
        check_kind(entry, alter.kind, &alter.name)?;
        let mut entry = entry.clone();
        match (&alter.action, &mut entry) {
            (AlterAction::Rename(new), entry) => {
                let mut target = path.clone();
                target.2 = new.parts.last().map(|it| it.value.clone()).unwrap_or_default();
                let full = self.path(new)?;
                if new.parts.len() > 1 && full != target {
                    let message = "a table keeps its catalog and database when it is renamed";
                    return Err(Diagnostic::error(Code::InvalidDefinition, message).at(new.span));
                }
                if self.catalog.entry(&target).is_some() {
                    return Err(exists(new));
                }
                if let Entry::Table(table) = entry {
                    table.description.name = target.2.clone();
                }
                let entry = entry.clone();
                self.catalog.remove(&path);
                self.catalog.insert(target, entry);
            }
            (AlterAction::Set(options), Entry::Table(table)) => {
                for (key, value) in options.iter() {
                    table.description.options.insert(key, value.clone());
                }
                self.catalog.insert(path, entry);
            }
            (AlterAction::Reset(keys), Entry::Table(table)) => {
                for key in keys {
                    if key.value == "connector" {
                        let message = "'connector' cannot be reset: a table without one is no table";
                        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(key.span));
                    }
                    table.description.options.remove(&key.value);
                }
                self.catalog.insert(path, entry);
            }
            (AlterAction::Query(query, span), Entry::View(view)) => {
                view.plan = self.bind(source, |binder| binder.bind_query(query))?;
                view.text = source.slice(*span).to_string();
                self.catalog.insert(path, entry);
            }
            _ => return Err(Diagnostic::not_supported("this ALTER").at(alter.name.span)),
        }
        Ok(Outcome::Done)
    }

    fn remember_undeclared(&mut self, kind: &StatementKind) {
        let name = match kind {
            StatementKind::CreateTable(table) => &table.name,
            StatementKind::CreateView(view) => &view.name,
            _ => return,
        };
        if let Ok(path) = self.path(name)
            && self.catalog.entry(&path).is_none()
        {
            self.undeclared.insert(path);
        }
    }
}

/// A missing table whose declaration failed: says so, instead of guessing at a typo.
fn explain_undeclared(
    source: &Source,
    catalog: &Catalog,
    undeclared: &BTreeSet<Path>,
    mut it: Box<Diagnostic>,
) -> Box<Diagnostic> {
    if it.code != Code::UnknownTable || undeclared.is_empty() {
        return it;
    }
    let text = source.slice(it.span.unwrap_or_default());
    let parts: Vec<&str> = text.split('.').map(|part| part.trim().trim_matches('`')).collect();
    if catalog.path(&parts).is_some_and(|path| undeclared.contains(&path)) {
        it.message = format!("'{}' is not there: its declaration has an error", parts.join("."));
        it.help.clear();
    }
    it
}

fn check_kind(entry: &Entry, kind: ObjectKind, name: &QualifiedName) -> Result<()> {
    let (is, word) = match entry {
        Entry::Table(_) => (ObjectKind::Table, "table"),
        Entry::View(_) => (ObjectKind::View, "view"),
    };
    if is == kind {
        return Ok(());
    }
    Err(Diagnostic::error(Code::InvalidDefinition, format!("'{}' is a {word}", name.text()))
        .at(name.span)
        .help(format!("use {} instead", word.to_uppercase())))
}

fn exists(name: &QualifiedName) -> Box<Diagnostic> {
    Diagnostic::error(Code::AlreadyExists, format!("a table or view named '{}' exists", name.text()))
        .at(name.span)
}

fn no_catalog(catalog: &Catalog, name: &str, span: Span) -> Box<Diagnostic> {
    Diagnostic::error(Code::InvalidDefinition, format!("no catalog named '{name}'"))
        .at(span)
        .did_you_mean(name, catalog.databases().map(|(catalog, _)| catalog))
}

fn no_database(catalog: &Catalog, of: &str, name: &str, span: Span) -> Box<Diagnostic> {
    Diagnostic::error(Code::InvalidDefinition, format!("no database named '{of}.{name}'"))
        .at(span)
        .did_you_mean(name, catalog.databases().map(|(_, database)| database))
}

/// A view as it is stored.
fn view_entry(view: View) -> Entry {
    Entry::View(Box::new(view))
}
