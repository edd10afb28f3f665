//! Row accounting: what became of every row.
//!
//! Counted per **edge** of the plan, from a source or an operator to an operator or a sink, because
//! a statement set fans out: a row may be filtered for one sink and written to another. For every
//! edge, always:
//!
//! ```text
//!   in + expanded = out + filtered + late + dead_lettered + skipped + earlier
//! ```
//! `in` is what the edge's producer read or emitted; `expanded` is what UNNEST and overlapping
//! windows added; `out` is what the edge's consumer took; `earlier` is what a source had read before a
//! change of the script added the edge.
//!
//! Every shard has counters of its own, which the job's have as parts: so a shard can say exactly
//! what it counted up to a barrier, and a checkpoint holds the sum. The live view and the metrics
//! read the sum of all parts.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arrow::array::Int8Array;
use flott_connector::Answers;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    activity::{Activity, StateSummary},
    checkpoint::CheckpointSummary,
};

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
    /// The watermark in milliseconds, once there is one.
    pub(crate) watermark: Mutex<Option<i64>>,
}

impl SourceCounters {
    /// How far event time has come, in milliseconds since the epoch.
    pub fn watermark(&self) -> Option<i64> {
        *self.watermark.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Event time has come this far.
    pub(crate) fn set_watermark(&self, millis: i64) {
        *self.watermark.lock().unwrap_or_else(PoisonError::into_inner) = Some(millis);
    }
}

/// A sink's counters.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Its name.
    pub name: String,
    /// Rows written.
    pub written: AtomicU64,
    /// Of those, rows as they were before a change (`-U`).
    pub updates_before: AtomicU64,
    /// Of those, rows that changed (`+U`).
    pub updates_after: AtomicU64,
    /// Of those, rows that are gone (`-D`).
    pub deletes: AtomicU64,
}

impl SinkCounters {
    fn cells(&self) -> [&AtomicU64; 4] {
        [&self.written, &self.updates_before, &self.updates_after, &self.deletes]
    }
    /// Counts rows that were written, by what they do (none: all are new).
    pub(crate) fn count(&self, rows: u64, kinds: Option<&Int8Array>) {
        add(&self.written, rows);
        let Some(kinds) = kinds else { return };
        let mut counts = [0; 4];
        for kind in kinds.values() {
            if let Some(count) = usize::try_from(*kind).ok().and_then(|kind| counts.get_mut(kind)) {
                *count += 1;
            }
        }
        let [_, before, after, deletes] = counts;
        add(&self.updates_before, before);
        add(&self.updates_after, after);
        add(&self.deletes, deletes);
    }
}

/// An edge's counters.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    /// The name of what it comes from.
    pub from: String,
    /// The name of what it leads to.
    pub to: String,
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
    /// Of the rows that went out: retractions of rows that the consumer never saw.
    pub unmatched: AtomicU64,
    /// Rows that the source had read before the edge was there: the script was changed.
    pub earlier: AtomicU64,
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
    /// Counters that belong to the sum: the shards'.
    pub(crate) parts: Mutex<Vec<Arc<Counters>>>,
    /// What the run is doing.
    pub activity: Arc<Activity>,
    /// How often the job has been taken up anew within this process.
    pub(crate) restarts: AtomicU64,
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
    /// Of a run that failed: how many of those readers see. The rest was hidden until a checkpoint, or the end of
    /// the run, and the next run writes it again. Absent: all of them, or nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// Of a run that failed: how many beside those readers may see, or will: the answer to their commit, or their
    /// delivery, never came. If it is a commit's, the next run finds out, and neither loses nor doubles one.
    #[serde(skip_serializing_if = "is_zero")]
    pub uncertain: u64,
    /// Those by what they do, unless all are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeCounts>,
}

/// What is known of what readers see of the rows behind the last checkpoint, should the run fail now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seen {
    /// None of them.
    #[default]
    Known,
    /// The commit that decides has had no answer: all of a deciding sink's or none, none of the others'.
    Perhaps,
    /// They are decided, and are being made visible: all of a deciding sink's, some of the others'.
    Decided,
}

impl SinkSummary {
    /// Of a run that failed: what readers see. `sure`: rows up to the last checkpoint; `at_stake`: up to the one that
    /// was being published.
    pub(crate) fn is_seen(&mut self, decides: bool, seen: Seen, sure: u64, at_stake: u64) {
        let (published, uncertain) = match (seen, decides) {
            (Seen::Known, _) | (Seen::Perhaps, false) => (sure, 0),
            (Seen::Perhaps, true) => (sure, at_stake.saturating_sub(sure)),
            (Seen::Decided, true) => (at_stake, 0),
            (Seen::Decided, false) => return,
        };
        self.uncertain = uncertain;
        self.published = Some(published).filter(|it| *it < self.written);
    }

    /// Of a run that failed and whose sink shows rows as they come: what is there of them. `before`: written before
    /// this run.
    pub(crate) fn is_answered(&mut self, answers: Answers, before: u64) {
        let given = self.written.saturating_sub(before);
        let delivered = answers.delivered.min(given);
        self.uncertain = answers.open.min(given - delivered);
        self.published = Some(before + delivered).filter(|it| *it < self.written);
    }
}

/// Rows by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChangeCounts {
    /// New rows.
    #[serde(rename = "+I")]
    pub inserts: u64,
    /// Rows as they were before a change.
    #[serde(rename = "-U")]
    pub updates_before: u64,
    /// Rows that changed.
    #[serde(rename = "+U")]
    pub updates_after: u64,
    /// Rows that are gone.
    #[serde(rename = "-D")]
    pub deletes: u64,
}

impl SinkSummary {
    fn of(name: &str, [written, updates_before, updates_after, deletes]: [u64; 4]) -> Self {
        let changed = updates_before + updates_after + deletes;
        let inserts = written.saturating_sub(changed);
        let changes = ChangeCounts { inserts, updates_before, updates_after, deletes };
        Self {
            name: name.to_string(),
            written,
            published: None,
            uncertain: 0,
            changes: (changed > 0).then_some(changes),
        }
    }
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
    /// Of the rows that went out: retractions of rows that the consumer never saw.
    #[serde(skip_serializing_if = "is_zero")]
    pub unmatched: u64,
    /// Rows that the source had read before the edge was there: the script was changed.
    #[serde(skip_serializing_if = "is_zero")]
    pub earlier: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl EdgeSummary {
    /// Whether the edge's rows add up.
    pub fn adds_up(&self) -> bool {
        self.input + self.expanded
            == self.output + self.filtered + self.late + self.dead_lettered + self.skipped + self.earlier
    }
}

/// What a table did that rows were looked up in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LookupSummary {
    /// Its name.
    pub name: String,
    /// Rows in it when it was read last.
    pub rows: u64,
    /// How often it was read.
    pub loads: u64,
    /// How often that failed.
    pub failed_loads: u64,
    /// Records that could not be read the last time, and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub bad_records: u64,
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
    /// How often the job was taken up anew after a failure.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// Checkpoints, if the job has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<CheckpointSummary>,
    /// Tables that were looked up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<LookupSummary>,
    /// What operators hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StateSummary>,
}

/// Counts at a moment, as a checkpoint keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Per source: read, bytes, nulled.
    pub sources: Vec<[u64; 3]>,
    /// Per sink: written, and of those `-U`, `+U`, `-D`. Earlier checkpoints have the first alone.
    #[serde(deserialize_with = "sinks")]
    pub sinks: Vec<[u64; 4]>,
    /// Per edge: in, expanded, out, filtered, late, dead-lettered, skipped, unmatched, earlier.
    /// Older checkpoints end before the last.
    #[serde(deserialize_with = "edges")]
    pub edges: Vec<[u64; 9]>,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Counts of edges, absent ones as 0.
fn edges<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u64; 9]>, D::Error> {
    let saved = Vec::<Vec<u64>>::deserialize(from)?;
    let whole = |edge: Vec<u64>| std::array::from_fn(|at| edge.get(at).copied().unwrap_or(0));
    Ok(saved.into_iter().map(whole).collect())
}

/// Counts of sinks; a single one is all that was written.
fn sinks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u64; 4]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Saved {
        Written(u64),
        ByKind([u64; 4]),
    }
    let whole = |saved| match saved {
        Saved::Written(written) => [written, 0, 0, 0],
        Saved::ByKind(counts) => counts,
    };
    Ok(Vec::<Saved>::deserialize(from)?.into_iter().map(whole).collect())
}

impl Counts {
    /// Adds other counts of the same plan.
    pub fn merge(&mut self, other: &Counts) {
        fn each<const N: usize>(into: &mut Vec<[u64; N]>, from: &[[u64; N]]) {
            into.resize(into.len().max(from.len()), [0; N]);
            for (into, from) in into.iter_mut().zip(from) {
                into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
            }
        }
        each(&mut self.sources, &other.sources);
        each(&mut self.edges, &other.edges);
        each(&mut self.sinks, &other.sinks);
        self.dead_letters += other.dead_letters;
    }
}

impl EdgeCounters {
    fn cells(&self) -> [&AtomicU64; 9] {
        [
            &self.input,
            &self.expanded,
            &self.output,
            &self.filtered,
            &self.late,
            &self.dead_lettered,
            &self.skipped,
            &self.unmatched,
            &self.earlier,
        ]
    }
}

impl Counters {
    /// Counters for the same sources, sinks and edges, all zero, that belong to these.
    #[must_use]
    pub fn part(&self) -> Arc<Counters> {
        let part = Arc::new(Counters {
            sources: self
                .sources
                .iter()
                .map(|it| SourceCounters { name: it.name.clone(), ..SourceCounters::default() })
                .collect(),
            sinks: self
                .sinks
                .iter()
                .map(|it| SinkCounters { name: it.name.clone(), ..SinkCounters::default() })
                .collect(),
            edges: self
                .edges
                .iter()
                .map(|it| EdgeCounters {
                    from: it.from.clone(),
                    to: it.to.clone(),
                    ..EdgeCounters::default()
                })
                .collect(),
            ..Counters::default()
        });
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        part
    }

    /// What has been counted, parts included.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            sources: self.sources.iter().map(|it| [get(&it.read), get(&it.bytes), get(&it.nulled)]).collect(),
            sinks: self.sinks.iter().map(|it| it.cells().map(get)).collect(),
            edges: self.edges.iter().map(|it| it.cells().map(get)).collect(),
            dead_letters: get(&self.dead_letters),
        };
        for part in self.parts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            counts.merge(&part.counts());
        }
        counts
    }

    /// Adds what an earlier run of the job had counted.
    pub fn restore(&self, counts: &Counts) {
        for (source, [read, bytes, nulled]) in self.sources.iter().zip(&counts.sources) {
            add(&source.read, *read);
            add(&source.bytes, *bytes);
            add(&source.nulled, *nulled);
        }
        for (sink, counts) in self.sinks.iter().zip(&counts.sinks) {
            sink.cells().into_iter().zip(counts).for_each(|(cell, count)| add(cell, *count));
        }
        for (edge, counts) in self.edges.iter().zip(&counts.edges) {
            edge.cells().into_iter().zip(counts).for_each(|(cell, count)| add(cell, *count));
        }
        add(&self.dead_letters, counts.dead_letters);
    }

    /// The job has been taken up anew so many times.
    pub fn restarted(&self, times: u64) {
        self.restarts.store(times, Ordering::Relaxed);
    }

    /// The counters as they stand.
    pub fn summary(&self, status: Status) -> Summary {
        self.summary_of(&self.counts(), status)
    }

    /// The counters as they stood then.
    pub(crate) fn summary_of(&self, counts: &Counts, status: Status) -> Summary {
        Summary {
            status,
            sources: self
                .sources
                .iter()
                .zip(&counts.sources)
                .map(|(it, &[read, bytes, nulled_fields])| SourceSummary {
                    name: it.name.clone(),
                    read,
                    bytes,
                    nulled_fields,
                })
                .collect(),
            sinks: self
                .sinks
                .iter()
                .zip(&counts.sinks)
                .map(|(it, &counts)| SinkSummary::of(&it.name, counts))
                .collect(),
            edges: self
                .edges
                .iter()
                .zip(&counts.edges)
                .map(
                    |(
                        it,
                        &[
                            input,
                            expanded,
                            output,
                            filtered,
                            late,
                            dead_lettered,
                            skipped,
                            unmatched,
                            earlier,
                        ],
                    )| {
                        EdgeSummary {
                            unmatched,
                            earlier,
                            from: it.from.clone(),
                            to: it.to.clone(),
                            input,
                            expanded,
                            output,
                            filtered,
                            late,
                            dead_lettered,
                            skipped,
                        }
                    },
                )
                .collect(),
            dlq: counts.dead_letters,
            restarts: get(&self.restarts),
            checkpoints: None,
            lookups: Vec::new(),
            state: self.activity.state(),
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
        self.restarts += other.restarts;
        self.lookups.extend(other.lookups);
        self.state.extend(other.state);
        self.checkpoints = other.checkpoints.or(self.checkpoints.take());
    }
    /// Whether every edge's rows add up.
    pub fn adds_up(&self) -> bool {
        self.edges.iter().all(EdgeSummary::adds_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_what_they_do_and_older_counts_are_read() {
        let sink = || SinkCounters { name: "s".into(), ..SinkCounters::default() };
        let counters = Counters { sinks: vec![sink()], ..Counters::default() };
        counters.part().sinks[0].count(5, Some(&Int8Array::from(vec![0, 1, 2, 2, 3])));
        let older = r#"{"sources":[],"sinks":[7],"edges":[],"dead_letters":0}"#;
        counters.restore(&serde_json::from_str(older).unwrap());
        let again = serde_json::to_string(&counters.counts()).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&again).unwrap().sinks, [[12, 1, 2, 1]]);
        let summary = counters.summary(Status::Finished).sinks.remove(0);
        let changes = ChangeCounts { inserts: 8, updates_before: 1, updates_after: 2, deletes: 1 };
        assert_eq!((summary.written, summary.changes), (12, Some(changes)));
    }
}
