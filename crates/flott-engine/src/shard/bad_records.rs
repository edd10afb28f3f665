//! What happens to records and rows that can't be decoded, evaluated or placed in time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::record_batch::RecordBatch;
use flott_connector::{Clock, DeadLetter, DeadLetterQueue, OnError, Origin, RecordPart, Stage};
use flott_expr::EvalError;
use flott_types::{Code, Diagnostic, Result};

use crate::{
    accounting::{Counters, add},
    calc::RejectRow,
    lineage::Lineage,
    values,
};

/// Writes rows as JSON, for letters about rows without bytes of their own.
pub type Describe = Arc<dyn Fn(&RecordBatch) -> Vec<u8> + Send + Sync>;

/// What happens to a source's bad records.
#[derive(Clone)]
pub struct Policy {
    /// The source's name.
    pub source: String,
    /// `'on-error'`
    pub on_error: OnError,
    /// Where letters go.
    pub queue: Arc<DeadLetterQueue>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// The shard's counters.
    pub counters: Arc<Counters>,
    /// The epoch that the shard is in.
    pub epoch: Arc<AtomicU64>,
}

/// A record that failed, and why.
pub struct Failed<'a> {
    /// Where it failed.
    pub stage: Stage,
    /// The error's code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// Which part of it can't be decoded.
    pub part: RecordPart,
    /// Its place and its bytes, if somebody asks.
    pub record: &'a mut dyn FnMut() -> (Origin, Vec<u8>),
    /// The sinks that don't get it.
    pub sinks: Vec<String>,
}

impl Policy {
    /// Counts a bad record on these edges, and keeps, forgets or stops.
    ///
    /// # Errors
    /// The record's, with `'on-error' = 'fail'`; the dead-letter queue's.
    pub fn bad_record(&self, edges: &mut dyn Iterator<Item = usize>, failed: Failed<'_>) -> Result<()> {
        match self.on_error {
            OnError::Fail => {
                let (origin, bytes) = (failed.record)();
                return Err(self.fatal((failed.code, &failed.message), &origin, &bytes));
            }
            OnError::Skip => edges.for_each(|edge| add(&self.counters.edges[edge].skipped, 1)),
            OnError::DeadLetter => {
                self.letter(failed)?;
                edges.for_each(|edge| add(&self.counters.edges[edge].dead_lettered, 1));
            }
        }
        Ok(())
    }

    /// Writes a dead letter.
    ///
    /// # Errors
    /// The dead-letter queue's.
    pub fn letter(&self, failed: Failed<'_>) -> Result<()> {
        let (origin, bytes) = (failed.record)();
        let is_decoded = failed.stage != Stage::Decode || origin.message.is_none();
        let letter = DeadLetter {
            time_micros: self.clock.now_micros(),
            source: self.source.clone(),
            stage: failed.stage,
            code: failed.code,
            message: failed.message,
            part: (!is_decoded).then_some(failed.part),
            origin,
            bytes,
            sinks: failed.sinks,
        };
        self.queue.send_in(self.epoch.load(Ordering::Relaxed), std::slice::from_ref(&letter))?;
        add(&self.counters.dead_letters, 1);
        Ok(())
    }

    fn fatal(&self, error: (Code, &str), origin: &Origin, bytes: &[u8]) -> Box<Diagnostic> {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        if origin.split == values::NAME {
            // Constants have no options that could say otherwise.
            return Diagnostic::error(
                error.0,
                format!("row {} of VALUES or SELECT: {}", origin.offset + 1, error.1),
            );
        }
        let place = format!("{} at {}", origin.split, origin.offset);
        let message = format!("source '{}', {place}: {}", self.source, error.1);
        let it = Diagnostic::error(error.0, message)
            .help("set 'on-error' = 'dead-letter' on the source to keep such records aside and go on");
        if shown.is_empty() { it } else { it.help(format!("the record: {shown}")) }
    }
}

/// Rejects rows of one edge.
pub struct EdgeReject {
    /// The source's policy.
    pub policy: Policy,
    /// The edge.
    pub edge: usize,
    /// The sinks that don't get the row.
    pub sinks: Vec<String>,
    /// Writes a row as JSON, for sources without bytes.
    pub describe: Describe,
}

impl RejectRow for EdgeReject {
    fn reject(&mut self, batch: &RecordBatch, lineage: Option<Lineage<'_>>, error: EvalError) -> Result<()> {
        let describe = &self.describe;
        let mut record = || {
            let (origin, mut bytes) = lineage.map_or_else(Default::default, |lineage| lineage.record(0));
            if bytes.is_empty() && origin.message.is_none() {
                bytes = describe(batch);
            }
            (origin, bytes)
        };
        let failed = Failed {
            stage: Stage::Evaluate,
            code: error.code,
            message: error.message,
            part: RecordPart::Value,
            record: &mut record,
            sinks: self.sinks.clone(),
        };
        self.policy.bad_record(&mut std::iter::once(self.edge), failed)
    }
}
