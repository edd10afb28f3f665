//! One shard's rows on their way to the producer.
//!
//! ```text
//!   write ─► (upserts: buffer) ─► encode ─► queue ─► producer ─► brokers
//!                                             │ bundle │ bundle │ end of 5 │ bundle …
//!                                                                  └ exactly once: held until 5 is committed
//!   prepared: everything before the end of the epoch is delivered (its ledger is settled)
//! ```
//!
//! Keeps: encoded rows that the producer hasn't taken, because it is full or because they belong to an epoch
//! whose transaction isn't open yet. It wants no more when there are [`QUEUE_BYTES`] of them.
//! A watermark does nothing. A retraction is a tombstone (`upsert-kafka`) or whatever the format makes of it.
//!
//! Invariants
//! - Rows go to the producer in the order in which they came.
//! - An epoch's ledger holds its messages alone, so it settles although later ones are under way.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{Clock, Committable, SinkWriter, Slices, WriterFigures};
use flott_types::{Code, Diagnostic, Result};

use super::{
    bundle::{Bundle, Encoding},
    gate::Gate,
    settings::{Delivery, Topics},
    upsert::UpsertBuffer,
};
use crate::client::{LedgerId, Producer, TopicId};

/// Encoded bytes that may wait.
const QUEUE_BYTES: usize = 16 << 20;
/// Bundles kept for their buffers.
const SPARE: usize = 4;

#[expect(clippy::large_enum_variant, reason = "nearly all of them are rows")]
enum Queued {
    Rows(Bundle),
    /// The end of an epoch; `noted`: its ledger is closed.
    End {
        epoch: u64,
        noted: bool,
    },
}

/// Where a row goes.
pub(crate) struct Router {
    pub producer: Arc<dyn Producer>,
    pub topics: Topics,
    pub known: HashMap<String, TopicId>,
}

impl Router {
    fn find(&mut self, name: Option<&str>) -> Result<TopicId> {
        let name = match (name, &self.topics) {
            (None, Topics::One(name)) => name.as_str(),
            (Some(name), _) => name,
            (None, _) => "",
        };
        if let Some(id) = self.known.get(name) {
            return Ok(*id);
        }
        let allowed = match &self.topics {
            Topics::One(only) => only == name,
            Topics::Listed(names) => names.iter().any(|it| it == name),
            Topics::Matching(pattern) => pattern.is_match(name),
        };
        if !allowed {
            let message = format!("a row names the topic '{name}', which isn't one that the table may write");
            return Err(Diagnostic::error(Code::MessageRefused, message)
                .help("options 'topic' and 'topic-pattern' say which topics those are"));
        }
        let id = self.producer.topic(name)?;
        self.known.insert(name.to_string(), id);
        Ok(id)
    }
}

/// What a writer is made of.
pub(crate) struct Parts {
    pub router: Router,
    pub encoding: Encoding,
    pub buffer: Option<UpsertBuffer>,
    pub delivery: Delivery,
    /// Exactly once: what may go into the open transaction.
    pub gate: Option<Arc<Gate>>,
    /// The shard's number, if it writes into one partition alone.
    pub fixed: Option<usize>,
    pub clock: Arc<dyn Clock>,
}

/// Writes one shard's rows.
pub(crate) struct KafkaWriter {
    parts: Parts,
    keys: Slices,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    sent_bytes: u64,
    spare: Vec<Bundle>,
    ledger: LedgerId,
    free: Vec<LedgerId>,
    /// Epochs of which everything has gone to the producer.
    preparing: VecDeque<LedgerId>,
    finishing: bool,
    failed: Option<Box<Diagnostic>>,
}

impl KafkaWriter {
    pub(crate) fn new(parts: Parts) -> Self {
        let ledger = parts.router.producer.ledger();
        Self {
            parts,
            keys: Slices::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            sent_bytes: 0,
            spare: Vec::new(),
            ledger,
            free: Vec::new(),
            preparing: VecDeque::new(),
            finishing: false,
            failed: None,
        }
    }

    fn take(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let Some(buffer) = &mut self.parts.buffer else { return self.enqueue(batch, kinds) };
        self.keys.clear();
        self.parts.encoding.keys(batch, &mut self.keys)?;
        let now = self.parts.clock.monotonic();
        if buffer.add((batch.clone(), kinds.cloned()), &self.keys, now) {
            self.flush_buffer()?;
        }
        Ok(())
    }

    fn flush_buffer(&mut self) -> Result<()> {
        let Some(buffer) = &mut self.parts.buffer else { return Ok(()) };
        match buffer.flush()? {
            Some((batch, kinds)) => self.enqueue(&batch, kinds.as_ref()),
            None => Ok(()),
        }
    }

    fn flush_due(&mut self) -> Result<()> {
        let now = self.parts.clock.monotonic();
        if self.parts.buffer.as_ref().is_some_and(|buffer| buffer.is_due(now)) {
            self.flush_buffer()
        } else {
            Ok(())
        }
    }

    fn enqueue(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        let mut bundle = self.spare.pop().unwrap_or_default();
        let Parts { encoding, router, .. } = &mut self.parts;
        encoding.encode(batch, kinds, &mut |name| router.find(name), &mut bundle)?;
        self.queued_bytes += bundle.bytes();
        self.queue.push_back(Queued::Rows(bundle));
        self.drain()
    }

    /// Hands over what the producer takes.
    fn drain(&mut self) -> Result<()> {
        if self.parts.gate.as_ref().is_some_and(|gate| gate.is_closed()) {
            return Err(given_up());
        }
        loop {
            match self.queue.front_mut() {
                None => return Ok(()),
                Some(Queued::Rows(bundle)) => {
                    let messages = bundle.outgoing(self.parts.fixed);
                    let next = self.parts.router.producer.produce(&messages, bundle.next, self.ledger)?;
                    bundle.next = next;
                    if !bundle.is_through() {
                        return Ok(());
                    }
                    self.through();
                }
                Some(Queued::End { epoch, noted }) => {
                    let epoch = *epoch;
                    if !std::mem::replace(noted, true) {
                        self.close_ledger();
                    }
                    if self.parts.gate.as_ref().is_some_and(|gate| !gate.is_open(epoch)) {
                        return Ok(());
                    }
                    self.queue.pop_front();
                }
            }
        }
    }

    /// The first bundle has gone.
    fn through(&mut self) {
        let Some(Queued::Rows(bundle)) = self.queue.pop_front() else { return };
        let bytes = bundle.bytes();
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        self.sent_bytes += bytes as u64;
        if self.spare.len() < SPARE {
            self.spare.push(bundle);
        }
    }

    /// What comes now counts in another ledger.
    fn close_ledger(&mut self) {
        self.preparing.push_back(self.ledger);
        if self.parts.delivery != Delivery::None {
            self.ledger = self.free.pop().unwrap_or_else(|| self.parts.router.producer.ledger());
        }
    }
}

fn given_up() -> Box<Diagnostic> {
    Diagnostic::error(Code::TransactionLost, "the producer of this transaction was given up").that_may_pass()
}

impl SinkWriter for KafkaWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take(batch, None)
    }
    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        self.take(batch, Some(kinds))
    }
    fn is_ready(&mut self) -> bool {
        let drained = self.flush_due().and_then(|()| self.drain());
        if let Err(error) = drained {
            // Whoever asks next is told.
            self.failed.get_or_insert(error);
            return true;
        }
        self.queued_bytes < QUEUE_BYTES
    }
    fn figures(&self) -> WriterFigures {
        WriterFigures { open_files: 0, bytes: self.sent_bytes }
    }
    fn trouble(&self) -> Option<String> {
        self.parts.router.producer.trouble()
    }
    fn flush(&mut self) -> Result<()> {
        self.flush_due()?;
        self.drain()
    }
    fn finish(&mut self) -> Result<()> {
        self.finishing = true;
        self.flush_buffer()
    }
    fn prepare(&mut self, epoch: u64) -> Result<()> {
        self.flush_buffer()?;
        self.queue.push_back(Queued::End { epoch, noted: false });
        self.drain()
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.drain()?;
        let Some(&ledger) = self.preparing.front() else { return Ok(None) };
        let producer = &self.parts.router.producer;
        let waits = self.parts.delivery != Delivery::None || self.finishing;
        if waits && !producer.is_settled(ledger) {
            return producer.failure().map_or(Ok(None), Err);
        }
        if let Some(error) = producer.failure() {
            return Err(error);
        }
        self.preparing.pop_front();
        if ledger != self.ledger {
            self.free.push(ledger);
        }
        Ok(Some(Vec::new()))
    }
}
