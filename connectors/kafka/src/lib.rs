//! The `kafka` and `upsert-kafka` connectors.
//!
//! ```text
//!   partitions ──► one reader: messages of one partition a chunk ──► key and value formats ──► rows
//!   rows ──► key and value formats ──► one producer for the job ──► partitions
//! ```

#![allow(clippy::vec_box, reason = "diagnostics travel boxed, as in flott_types::Result")]

mod client;
mod context;
mod decode;
mod oauth;
mod options;
mod sink;
mod source;

use std::sync::Arc;

use flott_connector::{
    Changelog, Connector, Decider, DeciderRequest, Doubt, FormatUse, OptionDef, Registry, Resumes, Role,
    ScanRequest, Sink, SinkGuarantee, SinkRequest, Source, TableDescription,
};
use flott_types::{Diagnostic, Options, Result};

use self::options::layout::Layout;

/// Every connector of this crate.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![Arc::new(KafkaConnector { upsert: false }), Arc::new(KafkaConnector { upsert: true })]
}

/// `'connector' = 'kafka'`, or `'upsert-kafka'`: the same, but messages are the new rows of their keys.
#[derive(Debug)]
struct KafkaConnector {
    upsert: bool,
}

impl Connector for KafkaConnector {
    fn name(&self) -> &'static str {
        if self.upsert { "upsert-kafka" } else { "kafka" }
    }
    fn doc(&self) -> &'static str {
        if self.upsert {
            "Reads and writes Kafka topics as tables with a primary key: a message is the new row of its key."
        } else {
            "Reads and writes Kafka topics."
        }
    }
    fn options(&self) -> &'static [OptionDef] {
        if self.upsert { options::UPSERT_KAFKA } else { options::KAFKA }
    }
    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        decode::metadata::KEYS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        true
    }
    fn takes_format(&self) -> bool {
        true
    }
    fn formats(&self, table: &TableDescription) -> Vec<FormatUse> {
        options::layout::formats(table)
    }
    fn is_bounded(&self, table: &TableDescription) -> bool {
        options::scan::is_bounded(&table.options)
    }
    fn source_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        if self.upsert {
            return Ok(Changelog::Upsert);
        }
        let value = Layout::new(table, registry, false)?.value;
        value.format.changelog(&value.table.options)
    }
    fn sink_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        sink::changelog(table, registry, self.upsert)
    }
    fn sink_guarantee(&self, table: &TableDescription) -> SinkGuarantee {
        sink::guarantee(table)
    }
    fn transaction(&self, table: &TableDescription) -> String {
        sink::settings::transaction(table)
    }
    fn token_place(&self, table: &TableDescription) -> String {
        sink::settings::token_place(table)
    }
    fn place(&self, table: &TableDescription, _: Role) -> String {
        options::scan::place(&table.options)
    }
    fn resumes(&self, table: &TableDescription, position: &serde_json::Value) -> Resumes {
        source::resumes(table, self.upsert, position)
    }
    fn doubts(&self, table: &TableDescription, role: Role, job_options: &Options) -> Vec<Doubt> {
        match role {
            Role::Source => source::doubts::of(table),
            Role::Sink => sink::doubts::of(table, job_options),
        }
    }
    fn doubts_outside(&self, table: &TableDescription, role: Role, _: &Options) -> Vec<Doubt> {
        if role == Role::Sink { sink::doubts::outside(table) } else { Vec::new() }
    }
    fn decider(&self, tables: &[&TableDescription], request: &DeciderRequest) -> Result<Arc<dyn Decider>> {
        sink::decider(tables, request)
    }
    fn validate_source(&self, table: &TableDescription) -> Result<()> {
        options::scan::check_group(table, self.upsert)
    }
    fn validate_sink(&self, table: &TableDescription) -> Result<()> {
        sink::validate(table)
    }
    fn validate(&self, table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        options::validate::validate(table, registry, self.upsert, errors);
    }
    fn check_source(&self, table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(source::check(table, self.upsert).err());
    }
    fn source(
        &self,
        table: &TableDescription,
        scan: ScanRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::KafkaSource::new(table, scan, registry, self.upsert)?))
    }
    fn sink(
        &self,
        table: &TableDescription,
        job: &SinkRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::KafkaSink::new(table, job, registry, self.upsert)?))
    }
}
