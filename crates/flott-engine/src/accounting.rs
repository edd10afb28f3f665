//! Row accounting: what became of every row.
//!
//! Counted per **edge**, because a statement set fans out: a row may be filtered for one sink and
//! written to another. For every edge, always:
//!
//! ```text
//!   in + expanded = out + filtered + late + dead_lettered + skipped
//! ```
//! `in` is what the edge's source read; `expanded` is what UNNEST added.
//!
//! Shards add to atomic counters once per batch; the live view and the metrics read them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All input was processed.
    Finished,
    /// Stopped cleanly by Ctrl-C or SIGTERM.
    Stopped,
    /// The run failed.
    Failed,
}

/// A source's counters.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Its name.
    pub name: String,
    /// Records read.
    pub read: AtomicU64,
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Bytes in all; 0: not known.
    pub total_bytes: AtomicU64,
    /// Fields that `ignore-parse-errors` made NULL.
    pub nulled: AtomicU64,
    /// The input has ended.
    pub done: AtomicBool,
}

/// A sink's counters.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Its name.
    pub name: String,
    /// Rows written.
    pub written: AtomicU64,
}

/// An edge's counters.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    /// Index of the source.
    pub source: usize,
    /// Index of the sink.
    pub sink: usize,
    /// Records that came in.
    pub input: AtomicU64,
    /// Rows that went out.
    pub output: AtomicU64,
    /// Rows that UNNEST added.
    pub expanded: AtomicU64,
    /// Rows that a predicate dropped.
    pub filtered: AtomicU64,
    /// Rows behind the watermark.
    pub late: AtomicU64,
    /// Rows in the dead-letter queue.
    pub dead_lettered: AtomicU64,
    /// Rows dropped by `ignore-parse-errors` or `'on-error' = 'skip'`.
    pub skipped: AtomicU64,
}

/// All counters of a run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Per source.
    pub sources: Vec<SourceCounters>,
    /// Per sink.
    pub sinks: Vec<SinkCounters>,
    /// Per edge.
    pub edges: Vec<EdgeCounters>,
    /// Dead letters written (a record that failed for several sinks is one letter).
    pub dead_letters: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What a source read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSummary {
    /// Its name.
    pub name: String,
    /// Records read.
    pub read: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Fields that `ignore-parse-errors` made NULL.
    #[serde(skip_serializing_if = "is_zero")]
    pub nulled_fields: u64,
}

/// What a sink wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkSummary {
    /// Its name.
    pub name: String,
    /// Rows written.
    pub written: u64,
}

/// What became of an edge's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeSummary {
    /// The source's name.
    pub from: String,
    /// The sink's name.
    pub to: String,
    /// Records that came in.
    #[serde(rename = "in")]
    pub input: u64,
    /// Rows that UNNEST added.
    #[serde(skip_serializing_if = "is_zero")]
    pub expanded: u64,
    /// Rows that went out.
    #[serde(rename = "out")]
    pub output: u64,
    /// Rows that a predicate dropped.
    pub filtered: u64,
    /// Rows behind the watermark.
    pub late: u64,
    /// Rows in the dead-letter queue.
    pub dead_lettered: u64,
    /// Rows skipped.
    pub skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl EdgeSummary {
    /// Whether the edge's rows add up.
    pub fn adds_up(&self) -> bool {
        self.input + self.expanded
            == self.output + self.filtered + self.late + self.dead_lettered + self.skipped
    }
}

/// What a run did, in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// Per source.
    pub sources: Vec<SourceSummary>,
    /// Per sink.
    pub sinks: Vec<SinkSummary>,
    /// Per edge.
    pub edges: Vec<EdgeSummary>,
    /// Dead letters written.
    pub dlq: u64,
}

impl Counters {
    /// The counters as they stand.
    pub fn summary(&self, status: Status) -> Summary {
        let name_of_source = |index: usize| self.sources.get(index).map_or(String::new(), |s| s.name.clone());
        let name_of_sink = |index: usize| self.sinks.get(index).map_or(String::new(), |s| s.name.clone());
        Summary {
            status,
            sources: self
                .sources
                .iter()
                .map(|s| SourceSummary {
                    name: s.name.clone(),
                    read: get(&s.read),
                    bytes: get(&s.bytes),
                    nulled_fields: get(&s.nulled),
                })
                .collect(),
            sinks: self
                .sinks
                .iter()
                .map(|s| SinkSummary { name: s.name.clone(), written: get(&s.written) })
                .collect(),
            edges: self
                .edges
                .iter()
                .map(|e| EdgeSummary {
                    from: name_of_source(e.source),
                    to: name_of_sink(e.sink),
                    input: get(&e.input),
                    expanded: get(&e.expanded),
                    output: get(&e.output),
                    filtered: get(&e.filtered),
                    late: get(&e.late),
                    dead_lettered: get(&e.dead_lettered),
                    skipped: get(&e.skipped),
                })
                .collect(),
            dlq: get(&self.dead_letters),
        }
    }
}

impl Summary {
    /// Adds what another run of the same script did.
    pub fn merge(&mut self, other: Summary) {
        self.status = other.status;
        self.sources.extend(other.sources);
        self.sinks.extend(other.sinks);
        self.edges.extend(other.edges);
        self.dlq += other.dlq;
    }
    /// Whether every edge's rows add up.
    pub fn adds_up(&self) -> bool {
        self.edges.iter().all(EdgeSummary::adds_up)
    }
}
