//! Connectors and formats by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use flott_types::{Code, Diagnostic, Options, Result};

use crate::{
    Format, LookupRequest, LookupTable, OptionDef, ScanRequest, Sink, SinkRequest, Source, TableDescription,
};

/// Which changes a table's rows can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changelog {
    /// New rows only.
    #[default]
    Append,
    /// New, changed and deleted rows of a table with a primary key; not what a row was before.
    Upsert,
    /// All kinds, rows as they were before a change included.
    Retract,
}

/// What a pipeline does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It reads it.
    Source,
    /// It writes it.
    Sink,
}

/// How much a doubt takes from a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Good to know; the promise stands.
    Note,
    /// Rows may be doubled.
    Doubles,
    /// Rows may be lost.
    Loses,
}

/// What weakens a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What, as half a sentence in an operator's words.
    pub what: String,
    /// The way out.
    pub way_out: String,
    /// How much it takes.
    pub weight: Weight,
}

/// A format that a table uses: the option that names it, and what stands before the format's own options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatUse {
    /// `format`, `key.format`, `value.format`
    pub option: &'static str,
    /// Nothing, `key.`, `value.`
    pub prefix: &'static str,
}

/// A family of tables: `'connector' = '<name>'`.
pub trait Connector: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// One sentence.
    fn doc(&self) -> &'static str;
    /// Its options, formats' options not included.
    fn options(&self) -> &'static [OptionDef];
    /// Metadata columns: key, SQL type, one sentence.
    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[]
    }
    /// Whether tables can be read.
    fn reads(&self) -> bool;
    /// Whether tables can be written.
    fn writes(&self) -> bool;
    /// Whether `INSERT OVERWRITE` can replace what a table holds.
    fn overwrites(&self) -> bool {
        false
    }
    /// Whether tables take a `format`.
    fn takes_format(&self) -> bool {
        false
    }
    /// The formats that a table uses, if tables take any.
    fn formats(&self, table: &TableDescription) -> Vec<FormatUse> {
        let _ = table;
        if self.takes_format() { vec![FormatUse { option: "format", prefix: "" }] } else { Vec::new() }
    }
    /// Whether the table's input ends by itself. Looks at nothing outside the options.
    fn is_bounded(&self, table: &TableDescription) -> bool {
        let _ = table;
        true
    }
    /// Whether a run that resumes reads on exactly where the one before was, as
    /// [`crate::Source::replays`]. Looks at nothing outside the options.
    fn replays(&self, table: &TableDescription) -> bool {
        let _ = table;
        true
    }
    /// Looks at the outside: why the table can't be read again although its options don't show it (`a pipe,
    /// whose bytes come once`).
    fn once_only(&self, table: &TableDescription) -> Option<&'static str> {
        let _ = table;
        None
    }
    /// Whether what `INSERT OVERWRITE` into `sink` removes may be what `source` reads. Both are tables of this
    /// connector. Looks at nothing outside the options.
    fn overlaps(&self, source: &TableDescription, sink: &TableDescription) -> bool {
        let _ = (source, sink);
        false
    }
    /// What the table can promise by itself when it is written. Looks at nothing outside the options.
    fn sink_guarantee(&self, table: &TableDescription) -> crate::SinkGuarantee {
        let _ = table;
        crate::SinkGuarantee::Immediate
    }
    /// Of a table whose guarantee is [`crate::SinkGuarantee::Deciding`]: which transaction its rows go into, in
    /// words. All such tables of a job must name the same. Looks at nothing outside the options.
    fn transaction(&self, table: &TableDescription) -> String {
        table.options.get("connector").unwrap_or_default().to_string()
    }
    /// Of such a table: what its token goes by, in words. A checkpoint can be gone on from only where its token is.
    /// Looks at nothing outside the options.
    fn token_place(&self, table: &TableDescription) -> String {
        self.transaction(table)
    }
    /// Where the table is, in words without the connector's name; empty: that can't be said, or not compared. A
    /// checkpoint goes on with a table only where it was. Looks at nothing outside the options.
    fn place(&self, table: &TableDescription, role: Role) -> String {
        let _ = role;
        table.options.get("path").unwrap_or_default().to_string()
    }
    /// Whether the table can be read on from a [position](crate::SourceReader::position) of a checkpoint. Looks at
    /// nothing outside the options.
    fn resumes(&self, table: &TableDescription, position: &serde_json::Value) -> Resumes {
        let _ = (table, position);
        Resumes::WhereItIs
    }
    /// What weakens the promise of a pipeline that reads (or writes) this table, by its options and the job's.
    /// Looks at nothing outside.
    fn doubts(&self, table: &TableDescription, role: Role, job_options: &Options) -> Vec<Doubt> {
        let _ = (table, role, job_options);
        Vec::new()
    }
    /// As [`Connector::doubts`], by what the outside says: a server's settings and versions. What can't be
    /// asked is no doubt.
    fn doubts_outside(&self, table: &TableDescription, role: Role, job_options: &Options) -> Vec<Doubt> {
        let _ = (table, role, job_options);
        Vec::new()
    }
    /// What decides the epochs of these tables, all those of the job whose guarantee is
    /// [`crate::SinkGuarantee::Deciding`]. No I/O yet.
    ///
    /// # Errors
    /// `UnsupportedUse`: no one transaction spans all of them.
    fn decider(
        &self,
        tables: &[&TableDescription],
        request: &crate::DeciderRequest,
    ) -> Result<Arc<dyn crate::Decider>> {
        let _ = (tables, request);
        Err(Diagnostic::error(Code::Internal, format!("connector '{}' decides nothing", self.name())))
    }
    /// What the table's rows say when it is read: only that they are new, or changes too. Looks at
    /// nothing outside the options.
    ///
    /// # Errors
    /// Options that make no sense.
    fn source_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        let _ = (table, registry);
        Ok(Changelog::Append)
    }
    /// Which changes the table takes when it is written. Looks at nothing outside the options.
    ///
    /// # Errors
    /// Options that make no sense.
    fn sink_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        let _ = (table, registry);
        Ok(Changelog::Append)
    }
    /// Looks at the script only. Every problem is reported.
    fn validate(&self, table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>);
    /// Looks at the script only: whether the table can be read, for tables that are.
    ///
    /// # Errors
    /// `InvalidOption`, `MissingOption`
    fn validate_source(&self, table: &TableDescription) -> Result<()> {
        let _ = table;
        Ok(())
    }
    /// Looks at the script only: whether the table can be written, for tables that are.
    ///
    /// # Errors
    /// `InvalidOption`
    fn validate_sink(&self, table: &TableDescription) -> Result<()> {
        let _ = table;
        Ok(())
    }
    /// Looks at the outside (does the path exist?). Every problem is reported.
    fn check_source(&self, table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
        let _ = (table, errors);
    }
    /// Builds the table for reading. No I/O yet.
    ///
    /// # Errors
    /// `UnsupportedUse` if tables can't be read.
    fn source(
        &self,
        table: &TableDescription,
        scan: ScanRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Source>>;
    /// Whether tables can be asked for the rows of a key while a job runs.
    fn looks_up(&self) -> bool {
        false
    }
    /// Builds the table for being looked up. No I/O yet.
    ///
    /// # Errors
    /// `UnsupportedUse` if tables can't be looked up.
    fn lookup(
        &self,
        table: &TableDescription,
        request: LookupRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn LookupTable>> {
        let _ = (request, registry);
        let message = format!("table '{}' cannot be looked up", table.name);
        Err(Diagnostic::error(Code::UnsupportedUse, message).at(table.span))
    }
    /// Builds the table for writing. No I/O yet. `table.columns` are the columns written, in order.
    ///
    /// # Errors
    /// `UnsupportedUse` if tables can't be written.
    fn sink(&self, table: &TableDescription, job: &SinkRequest, registry: &Registry)
    -> Result<Arc<dyn Sink>>;
}

/// Whether a table is still the one that a checkpoint has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumes {
    /// If its [place](Connector::place) is the same.
    WhereItIs,
    /// It is.
    Yes,
    /// It isn't, and why.
    No(String),
}

/// All connectors and formats of this binary.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    formats: BTreeMap<&'static str, Arc<dyn Format>>,
    looks_outside: bool,
    /// What the outside has said of tables.
    asked: Arc<Mutex<BTreeMap<String, Vec<Doubt>>>>,
}

/// Options that every table knows, whatever its connector.
pub const COMMON_OPTIONS: &[OptionDef] = &[
    OptionDef::required("connector", crate::OptionKind::Text, "Which connector the table uses."),
    OptionDef::optional(
        "on-error",
        crate::OptionKind::OneOf(&["fail", "skip", "dead-letter"]),
        "dead-letter",
        "What happens to a record of this source that can't be decoded or evaluated.",
    ),
    OptionDef::optional(
        "sink.guarantee",
        crate::OptionKind::OneOf(&["none", "at-least-once", "exactly-once"]),
        "",
        "What this sink must hold, if not what 'sink.guarantee' asks of the whole job: a script that can't \
         hold it is refused.",
    ),
    OptionDef::optional(
        "late-rows",
        crate::OptionKind::OneOf(&["drop", "dead-letter"]),
        "drop",
        "What happens to a row of this source that comes behind the watermark of a window. It is counted \
         either way.",
    ),
    OptionDef::optional(
        "scan.watermark.max-ahead",
        crate::OptionKind::Duration,
        "",
        "Rows whose time lies further ahead of the clock go to the dead letters: one row from the far \
         future would close every window.",
    ),
    OptionDef::optional(
        "scan.watermark.emit.strategy",
        crate::OptionKind::OneOf(&["on-periodic", "on-event"]),
        "on-periodic",
        "When event time moves on: once per chunk of input, or after every row, slower, where it must be \
         exact which row is late.",
    ),
    OptionDef::optional(
        "scan.parallelism",
        crate::OptionKind::Integer,
        "",
        "Accepted for compatibility; Flott spreads a source over all cores.",
    ),
    OptionDef::optional(
        "sink.parallelism",
        crate::OptionKind::Integer,
        "",
        "Accepted for compatibility; every shard has a writer of its own.",
    ),
];

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }
    /// One that also looks at what is there (is the path a pipe?), not only at what scripts say.
    #[must_use]
    pub fn looking_outside(mut self, looks: bool) -> Self {
        self.looks_outside = looks;
        self
    }
    /// What weakens the promise of a pipeline that uses this table so, as far as is known.
    ///
    /// # Errors
    /// As [`Registry::connector_of`].
    pub fn doubts(&self, table: &TableDescription, role: Role, job_options: &Options) -> Result<Vec<Doubt>> {
        let connector = self.connector_of(table)?;
        let mut doubts = connector.doubts(table, role, job_options);
        if self.looks_outside {
            // A script is planned more than once, and servers take their time to answer.
            let key = format!("{role:?} {:?} {job_options:?}", table.options);
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let ask = || connector.doubts_outside(table, role, job_options);
            doubts.extend(asked.entry(key).or_insert_with(ask).iter().cloned());
        }
        Ok(doubts)
    }
    /// Why the table can't be read again from where a run was; `None` if it can, as far as is known.
    ///
    /// # Errors
    /// As [`Registry::connector_of`].
    pub fn once_only(&self, table: &TableDescription) -> Result<Option<String>> {
        let connector = self.connector_of(table)?;
        if !connector.replays(table) {
            return Ok(Some(format!("(connector '{}') can't be read again", connector.name())));
        }
        let found = if self.looks_outside { connector.once_only(table) } else { None };
        Ok(found.map(|what| format!("is {what}")))
    }
    /// Adds a connector.
    pub fn add_connector(&mut self, connector: Arc<dyn Connector>) {
        self.connectors.insert(connector.name(), connector);
    }
    /// Adds a format.
    pub fn add_format(&mut self, format: Arc<dyn Format>) {
        self.formats.insert(format.name(), format);
    }
    /// All connectors by name.
    pub fn connectors(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }
    /// All formats by name.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<dyn Format>> {
        self.formats.values()
    }
    /// The table's connector.
    ///
    /// # Errors
    /// `MissingOption`, `UnknownConnector`
    pub fn connector_of(&self, table: &TableDescription) -> Result<&Arc<dyn Connector>> {
        let Some(name) = table.options.get("connector") else {
            return Err(Diagnostic::error(
                Code::MissingOption,
                format!("table '{}' has no 'connector' option", table.name),
            )
            .at(table.span)
            .help("`flott list connectors` shows what there is"));
        };
        self.connectors.get(name).ok_or_else(|| {
            Diagnostic::error(Code::UnknownConnector, format!("no connector '{name}'"))
                .at(table.options.span("connector"))
                .did_you_mean(name, self.connectors.keys().copied())
                .help("`flott list connectors` shows what there is")
        })
    }
    /// The format that the table's `format` option names.
    ///
    /// # Errors
    /// `MissingOption`, `UnknownConnector`
    pub fn format_of(&self, table: &TableDescription) -> Result<&Arc<dyn Format>> {
        self.format_by(table, "format")
    }
    /// The format that this option of the table names.
    ///
    /// # Errors
    /// `MissingOption`, `UnknownConnector`
    pub fn format_by(&self, table: &TableDescription, option: &str) -> Result<&Arc<dyn Format>> {
        let Some(name) = table.options.get(option) else {
            return Err(Diagnostic::error(
                Code::MissingOption,
                format!("table '{}' has no '{option}' option", table.name),
            )
            .at(table.span)
            .help("`flott list formats` shows what there is"));
        };
        self.format(name).map_err(|error| error.at(table.options.span(option)))
    }
    /// The format of this name.
    ///
    /// # Errors
    /// `UnknownConnector`
    pub fn format(&self, name: &str) -> Result<&Arc<dyn Format>> {
        self.formats.get(name).ok_or_else(|| {
            Diagnostic::error(Code::UnknownConnector, format!("no format '{name}'"))
                .did_you_mean(name, self.formats.keys().copied())
                .help("`flott list formats` shows what there is")
        })
    }
    /// Everything about a table that can be checked from the script alone.
    pub fn validate(&self, table: &TableDescription) -> Vec<Box<Diagnostic>> {
        let mut errors = Vec::new();
        let connector = match self.connector_of(table) {
            Ok(connector) => connector,
            Err(error) => return vec![error],
        };
        let mut known: Vec<&OptionDef> = COMMON_OPTIONS.iter().chain(connector.options()).collect();
        let mut own = table.options.clone();
        for FormatUse { option, prefix } in connector.formats(table) {
            match self.format_by(table, option) {
                Ok(format) if prefix.is_empty() => known.extend(format.options()),
                Ok(format) => {
                    let options = take_format_options(&mut own, prefix, connector.options());
                    let owner = format!("format '{}' ('{option}', table '{}')", format.name(), table.name);
                    let known: Vec<&OptionDef> = format.options().iter().collect();
                    crate::option::check_options(&owner, &options, &known, &mut errors);
                }
                Err(error) => {
                    // Whatever it was meant to be: its options are no mistake of their own.
                    errors.push(error);
                    take_format_options(&mut own, prefix, connector.options());
                    known.extend(self.formats().flat_map(|format| format.options()));
                }
            }
        }
        crate::option::check_options(
            &format!("connector '{}' (table '{}')", connector.name(), table.name),
            &own,
            &known,
            &mut errors,
        );
        connector.validate(table, self, &mut errors);
        errors.into_iter().map(|error| error.at(table.span)).collect()
    }
}

/// Takes the options of a format that stand under a prefix out of a table's options: all that aren't the
/// connector's own (`key.fields`).
fn take_format_options(options: &mut Options, prefix: &str, connector: &[OptionDef]) -> Options {
    let mut taken = Options::new();
    let is_format = |key: &str| key.starts_with(prefix) && !connector.iter().any(|def| def.matches(key));
    if prefix.is_empty() {
        return taken;
    }
    let keys: Vec<String> =
        options.iter().map(|(key, _)| key.to_string()).filter(|key| is_format(key)).collect();
    for key in keys {
        if let (Some(value), Some(rest)) = (options.remove(&key), key.strip_prefix(prefix)) {
            taken.insert(rest, value);
        }
    }
    taken
}
