//! A log with transactions, as Kafka's are: rows of an open one are hidden, its commit decides, and nobody
//! can commit for another.
//!
//! ```text
//!   fence ─► a new producer; what an older one has open is aborted, what it still sends is refused
//!   rows  ─► into the producer's open transaction
//!   commit(n) ─► rows and token n visible together │ no answer: done, never, or later
//! ```
//!
//! Invariants
//! - A commit that comes late takes effect only if nobody has fenced meanwhile.
//! - One writer per table, in the order of the input; rows behind a barrier wait until its epoch is decided.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{
    Changelog, Committable, Committer, Connector, Decider, DeciderRequest, Encoder, FormatRequest, OptionDef,
    OptionKind, Outcome, Registry, ScanRequest, Sink, SinkGuarantee, SinkRequest, SinkWriter, Source,
    TableDescription,
};
use flott_types::{Code, Diagnostic, Result};

use super::world::{self, Op, Verdict, with};

/// What is in the log.
#[derive(Debug, Default)]
pub(super) struct LogModel {
    /// The newest producer.
    producer: u64,
    token: Option<u64>,
    /// What the newest producer has open: table and lines.
    open: Vec<(usize, Vec<u8>)>,
    /// Per table: what readers see.
    tables: Vec<Vec<u8>>,
    /// A commit that comes later: its producer and its token.
    late: Option<(u64, u64)>,
}

impl LogModel {
    fn fence(&mut self) -> u64 {
        self.producer += 1;
        self.open.clear();
        self.token.get_or_insert(0);
        self.producer
    }

    fn commit(&mut self, producer: u64, number: u64) -> bool {
        if producer != self.producer {
            return false;
        }
        for (table, bytes) in self.open.drain(..) {
            if self.tables.len() <= table {
                self.tables.resize(table + 1, Vec::new());
            }
            self.tables[table].extend(bytes);
        }
        self.token = Some(number);
        true
    }

    /// A late commit arrives, if one is under way.
    pub(super) fn deliver(&mut self) -> Option<String> {
        let (producer, number) = self.late.take()?;
        let done = self.commit(producer, number);
        Some(format!("commit {number}{}", if done { "" } else { ", refused" }))
    }

    /// What readers of a table see.
    pub(super) fn read(&self, table: usize) -> &[u8] {
        self.tables.get(table).map(Vec::as_slice).unwrap_or_default()
    }
}

const OPTIONS: &[OptionDef] = &[OptionDef::required("table", OptionKind::Integer, "Which table it is.")];

/// The connector.
pub(super) struct LogConnector {
    pub(super) process: usize,
}

impl Connector for LogConnector {
    fn name(&self) -> &'static str {
        "log"
    }
    fn doc(&self) -> &'static str {
        "A log of the simulation."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn takes_format(&self) -> bool {
        true
    }
    fn reads(&self) -> bool {
        false
    }
    fn writes(&self) -> bool {
        true
    }
    fn sink_guarantee(&self, _: &TableDescription) -> SinkGuarantee {
        SinkGuarantee::Deciding
    }
    fn sink_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        registry.format_of(table)?.changelog(&table.options)
    }
    fn decider(&self, _: &[&TableDescription], _: &DeciderRequest) -> Result<Arc<dyn Decider>> {
        Ok(Arc::new(LogDecider {
            process: self.process,
            producer: AtomicU64::new(0),
            gate: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
        }))
    }
    fn validate(&self, _: &TableDescription, _: &Registry, _: &mut Vec<Box<Diagnostic>>) {}
    fn source(&self, table: &TableDescription, _: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        Err(Diagnostic::error(Code::UnsupportedUse, "a simulated log is only written").at(table.span))
    }
    fn sink(
        &self,
        table: &TableDescription,
        job: &SinkRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Sink>> {
        let number = table.options.get("table").and_then(|it| it.parse().ok()).unwrap_or_default();
        let format = registry.format_of(table)?;
        let encoder = {
            let (table, format, context) = (table.clone(), format.clone(), job.context.clone());
            move || {
                let request = FormatRequest { table: &table, schema: table.physical_schema() };
                format.encoder(&request, &context)
            }
        };
        let decider = job.decider.clone().ok_or_else(|| failed("nobody decides"))?;
        Ok(Arc::new(LogSink { number, decider, encoder: Box::new(encoder) }))
    }
}

fn failed(what: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, what).that_may_pass()
}

/// Decides the epochs of an incarnation.
struct LogDecider {
    process: usize,
    producer: AtomicU64,
    /// Rows of epochs up to this one may go into the open transaction.
    gate: AtomicU64,
    /// A commit was uncertain: this producer does nothing any more.
    given_up: AtomicBool,
}

impl LogDecider {
    fn producer(&self) -> u64 {
        self.producer.load(Ordering::Relaxed)
    }

    /// Rows go into the open transaction.
    fn produce(&self, table: usize, bytes: Vec<u8>) -> Result<()> {
        match world::op(self.process, Op::Produce, &|| format!("to {table}")) {
            Verdict::Dead => return Err(failed("the process is dead")),
            Verdict::Die(how) => {
                world::die(self.process, how);
                return Err(failed("the process is dead"));
            }
            // The client asks again until it is certain.
            _ => {}
        }
        with(|world| {
            if self.given_up.load(Ordering::Relaxed) || world.log.producer != self.producer() {
                return Err(failed("a newer producer has fenced this one"));
            }
            world.log.open.push((table, bytes));
            Ok(())
        })
    }
}

impl Decider for LogDecider {
    fn fence(&self) -> Result<()> {
        match world::op(self.process, Op::Fence, &|| "fence".into()) {
            Verdict::Dead => return Err(failed("the process is dead")),
            Verdict::Die(how) => {
                world::die(self.process, how);
                return Err(failed("the process is dead"));
            }
            Verdict::Full | Verdict::Broken | Verdict::LostRequest => return Err(failed("no answer")),
            Verdict::LostAnswer | Verdict::Late => {
                with(|world| world.log.fence());
                return Err(failed("no answer"));
            }
            Verdict::DieAfter(how) => {
                with(|world| world.log.fence());
                world::die(self.process, how);
                return Err(failed("the process is dead"));
            }
            Verdict::Go => {}
        }
        self.producer.store(with(|world| world.log.fence()), Ordering::Relaxed);
        Ok(())
    }

    fn token(&self) -> Result<Option<u64>> {
        match world::op(self.process, Op::Token, &|| "token".into()) {
            Verdict::Go => Ok(with(|world| world.log.token)),
            Verdict::Die(how) | Verdict::DieAfter(how) => {
                world::die(self.process, how);
                Err(failed("the process is dead"))
            }
            _ => Err(failed("no answer")),
        }
    }

    fn commit(&self, number: u64, epoch: u64) -> Result<Outcome> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(failed("this producer has been given up"));
        }
        let commit = || with(|world| world.log.commit(self.producer(), number));
        let uncertain = || {
            self.given_up.store(true, Ordering::Relaxed);
            Ok(Outcome::Uncertain(failed("no answer")))
        };
        match world::op(self.process, Op::Commit, &|| format!("commit {number}")) {
            Verdict::Go => {}
            Verdict::Full | Verdict::Broken => return Err(failed("it was not tried")),
            Verdict::LostAnswer => {
                commit();
                return uncertain();
            }
            Verdict::LostRequest => return uncertain(),
            Verdict::Late => {
                with(|world| world.log.late = Some((self.producer(), number)));
                return uncertain();
            }
            Verdict::DieAfter(how) => {
                commit();
                world::die(self.process, how);
                return uncertain();
            }
            Verdict::Die(how) => {
                world::die(self.process, how);
                return uncertain();
            }
            Verdict::Dead => return uncertain(),
        }
        if !commit() {
            return Ok(Outcome::Fenced(failed("a newer producer has fenced this one")));
        }
        self.gate.store(epoch + 1, Ordering::Relaxed);
        Ok(Outcome::Committed)
    }

    fn goes_on(&self, epoch: u64) {
        self.gate.store(epoch + 1, Ordering::Relaxed);
    }

    fn close(&self) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}

type NewEncoder = Box<dyn Fn() -> Result<Box<dyn Encoder>> + Send + Sync>;

struct LogSink {
    number: usize,
    decider: Arc<dyn Decider>,
    encoder: NewEncoder,
}

impl Sink for LogSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::Deciding
    }
    fn wants_order(&self) -> bool {
        true
    }
    fn writer(&self, _: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(LogWriter {
            number: self.number,
            decider: self.decider.clone(),
            encoder: Mutex::new((self.encoder)()?),
            epoch: 0,
            held: VecDeque::new(),
        }))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(flott_connector::sink::NothingToCommit))
    }
}

struct LogWriter {
    number: usize,
    decider: Arc<dyn Decider>,
    encoder: Mutex<Box<dyn Encoder>>,
    epoch: u64,
    /// Rows that must wait: their epoch, and the lines.
    held: VecDeque<(u64, Vec<u8>)>,
}

impl LogWriter {
    fn take(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        let mut lines = Vec::new();
        let encoder = self.encoder.get_mut().map_err(|_| failed("an encoder panicked"))?;
        match kinds {
            Some(kinds) => encoder.encode_changes(batch, kinds, &mut lines)?,
            None => encoder.encode(batch, &mut lines)?,
        }
        self.held.push_back((self.epoch, lines));
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        let Some(decider) = self.decider.as_any().downcast_ref::<LogDecider>() else {
            return Err(failed("somebody else decides"));
        };
        let gate = decider.gate.load(Ordering::Relaxed);
        while let Some((_, lines)) = self.held.pop_front_if(|it| it.0 <= gate) {
            decider.produce(self.number, lines)?;
        }
        Ok(())
    }
}

impl SinkWriter for LogWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take(batch, None)
    }
    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        self.take(batch, Some(kinds))
    }
    fn is_ready(&mut self) -> bool {
        self.held.len() < 8
    }
    fn flush(&mut self) -> Result<()> {
        self.release()
    }
    fn prepare(&mut self, epoch: u64) -> Result<()> {
        self.epoch = epoch + 1;
        self.release()
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        self.release()?;
        Ok(self.held.iter().all(|it| it.0 >= self.epoch).then(Vec::new))
    }
}
