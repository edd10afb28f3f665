//! `blackhole`: takes rows and changes, and forgets them.

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{
    Changelog, Committable, Committer, Connector, OptionDef, Registry, ScanRequest, Sink, SinkGuarantee,
    SinkRequest, SinkWriter, Source, TableDescription, sink::NothingToCommit,
};
use flott_types::{Diagnostic, Result};

use crate::{refuse_metadata, unsupported};

/// The connector.
pub(crate) struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }
    fn doc(&self) -> &'static str {
        "Takes rows and forgets them: for measuring everything before the sink."
    }
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }
    fn reads(&self) -> bool {
        false
    }
    fn writes(&self) -> bool {
        true
    }
    fn sink_guarantee(&self, _: &TableDescription) -> SinkGuarantee {
        SinkGuarantee::Discards
    }
    fn sink_changelog(&self, _: &TableDescription, _: &Registry) -> Result<Changelog> {
        // Nobody asks what a row was before a change.
        Ok(Changelog::Upsert)
    }
    fn validate(&self, table: &TableDescription, _: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        refuse_metadata(self.name(), table, errors);
    }
    fn source(&self, table: &TableDescription, _: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        Err(unsupported(self.name(), table, "read"))
    }
    fn sink(&self, _: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(BlackholeSink))
    }
}

struct BlackholeSink;

impl Sink for BlackholeSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::Discards
    }
    fn writer(&self, _: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BlackholeWriter))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NothingToCommit))
    }
}

struct BlackholeWriter;

impl SinkWriter for BlackholeWriter {
    fn write(&mut self, _: &RecordBatch) -> Result<()> {
        Ok(())
    }
    fn write_changes(&mut self, _: &RecordBatch, _: &Int8Array) -> Result<()> {
        Ok(())
    }
    fn prepare(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        Ok(Some(Vec::new()))
    }
}
