//! The filesystem connector: files, directories and globs in; whole part files out.
//!
//! ```text
//!   list ─► open ─► decompress ─► frame ─► Chunk      source/: one reader thread, chunks of whole records
//!   (listing) (bytes)  (bytes)    (text)
//!
//!   batch ─► split by partition ─► encode ─► I/O thread ─► hidden file ─► fsync ─► rename
//!            (routing)             (writer)  (output)                    (prepare) (commit)
//! ```
//!
//! What a record looks like is the business of formats; this crate knows only where records end.

#![allow(clippy::vec_box, reason = "diagnostics travel boxed, also in lists")]

mod lookup;
mod partition;
mod settings;
mod sink;
mod source;
mod validate;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use flott_connector::{
    Changelog, Connector, Framing, LookupRequest, LookupTable, OptionDef, Registry, ScanRequest, Sink,
    SinkRequest, Source, SourceReader, TableDescription,
};
use flott_types::{Diagnostic, Options, Result};

/// `'connector' = 'filesystem'`
#[derive(Debug, Default)]
pub struct FilesystemConnector;

/// Every connector of this crate.
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![Arc::new(FilesystemConnector)]
}

/// A reader of the files that the option `path` names, apart from any table: for measuring.
///
/// # Errors
/// `InvalidOption`, `InputMissing`, `InputUnreadable`
pub fn reader(options: &Options, framing: Framing) -> Result<Box<dyn SourceReader>> {
    let table = TableDescription { options: options.clone(), ..TableDescription::default() };
    let settings = settings::SourceSettings::new(&table)?;
    Ok(Box::new(source::reader::FileReader::new(settings, framing, 0, None)?))
}

impl Connector for FilesystemConnector {
    fn name(&self) -> &'static str {
        "filesystem"
    }
    fn doc(&self) -> &'static str {
        "Reads files, directories and globs; writes part files that appear whole."
    }
    fn options(&self) -> &'static [OptionDef] {
        settings::OPTIONS
    }
    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        source::metadata::KEYS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        true
    }
    fn overwrites(&self) -> bool {
        true
    }
    fn takes_format(&self) -> bool {
        true
    }
    fn is_bounded(&self, table: &TableDescription) -> bool {
        table.options.get(settings::MONITOR_INTERVAL).is_none()
    }
    fn once_only(&self, table: &TableDescription) -> Option<&'static str> {
        let settings = settings::SourceSettings::new(table).ok()?;
        settings.location.is_pipe().then_some(source::location::PIPE)
    }
    fn overlaps(&self, source: &TableDescription, sink: &TableDescription) -> bool {
        let Ok(source) = settings::SourceSettings::new(source) else { return false };
        let Ok(sink) = settings::local_path(&sink.options).map(std::path::absolute) else { return false };
        sink.is_ok_and(|sink| source.location.may_read(&sink))
    }
    fn sink_guarantee(&self, _: &TableDescription) -> flott_connector::SinkGuarantee {
        flott_connector::SinkGuarantee::Repeatable
    }
    fn source_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        registry.format_of(table)?.changelog(&table.options)
    }
    fn sink_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        registry.format_of(table)?.changelog(&table.options)
    }
    fn validate(&self, table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        validate::validate(table, registry, errors);
    }
    fn validate_sink(&self, table: &TableDescription) -> Result<()> {
        validate::validate_sink(table)
    }
    fn check_source(&self, table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
        let checked = settings::SourceSettings::new(table).and_then(|settings| settings.location.check());
        errors.extend(checked.err());
    }
    fn source(
        &self,
        table: &TableDescription,
        scan: ScanRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::FileSource::new(table, scan, registry)?))
    }
    fn looks_up(&self) -> bool {
        true
    }
    fn lookup(
        &self,
        table: &TableDescription,
        request: LookupRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn LookupTable>> {
        Ok(Arc::new(lookup::start(table, request, registry)?))
    }
    fn sink(
        &self,
        table: &TableDescription,
        job: &SinkRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::FileSink::new(table, job, registry)?))
    }
}
