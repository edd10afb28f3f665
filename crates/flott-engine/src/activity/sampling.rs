//! Takes a sample.

use std::{cmp::Reverse, sync::Weak, time::Duration};

use flott_connector::{Clock, SplitLag};

use super::{
    Activity, BarrierSample, BarrierStage, CheckpointSample, EdgeSample, HELD, OPERATOR, OperatorSample,
    OperatorShard, Place, READING, Relaxed, SOURCE, Sample, SinkSample, SinkShard, SourceSample, SplitSample,
    WorkSample, lock, nanos,
};
use crate::{
    accounting::{Counters, Counts},
    progress::{END_OF_TIME, NO_WATERMARK},
    queue::ChunkQueue,
};

/// Splits named in a sample at the most.
const SPLITS_MAX: usize = 8;

impl Counters {
    /// What the run is doing now. `clock`: the run's own.
    pub fn sample(&self, clock: &dyn Clock) -> Sample {
        let activity = &self.activity;
        let (counts, now) = (self.counts(), clock.monotonic());
        let identity = lock(&activity.identity).clone();
        Sample {
            job: identity.job,
            run: identity.run,
            generation: identity.generation,
            process: std::process::id(),
            started_micros: identity.started_micros,
            now_micros: clock.now_micros(),
            elapsed: nanos(now.saturating_sub(identity.started)),
            shards: activity.shards.len(),
            sources: self.source_samples(&counts, now),
            operators: self.operator_samples(&counts, nanos(now)),
            sinks: self.sink_samples(&counts),
            edges: activity.edge_samples(&counts),
            dead_letters: counts.dead_letters,
            checkpoint: activity.checkpoint_sample(now),
        }
    }

    /// How far each source is behind in each of its splits, where that is known; in the order of the sources.
    pub fn lag(&self) -> Vec<Vec<SplitLag>> {
        let of = |reader: &super::ReaderActivity| reader.figures.get().map(|it| it.lag()).unwrap_or_default();
        self.activity.readers.iter().map(of).collect()
    }

    fn source_samples(&self, counts: &Counts, now: Duration) -> Vec<SourceSample> {
        let activity = &self.activity;
        let queues = lock(&activity.probes).queues.clone();
        let sources = self.sources.iter().enumerate();
        let sample = |(at, source): (usize, &crate::accounting::SourceCounters)| {
            let now = nanos(now);
            let [rows, bytes, _] = counts.sources.get(at).copied().unwrap_or_default();
            let mut sample = SourceSample {
                name: source.name.clone(),
                rows,
                bytes,
                total_bytes: source.total_bytes.load(Relaxed),
                ended: source.done.load(Relaxed),
                event_time: activity.event_time.get(at).copied().unwrap_or(false),
                watermark: source.watermark().and_then(told),
                ..SourceSample::default()
            };
            if let Some(reader) = activity.readers.get(at) {
                sample.reading = reader.reading.get() + reader.doing.at(READING, now);
                sample.held = reader.held.get() + reader.doing.at(HELD, now);
                let gave = reader.gave.load(Relaxed);
                sample.silent = (gave > 0).then(|| now.saturating_sub(gave));
            }
            if let Some(queue) = queues.get(at).and_then(Weak::upgrade) {
                fill(&mut sample, &queue);
            }
            if let Some(figures) = activity.readers.get(at).and_then(|it| it.figures.get()) {
                sample.trouble = figures.trouble();
                fill_lag(&mut sample, &figures.lag());
            }
            let work = |shard: &std::sync::Arc<super::ShardActivity>| {
                let Some(work) = shard.sources.get(at) else { return WorkSample::default() };
                let busy = work.busy.get() + shard.doing.at(SOURCE | at as u64, now);
                WorkSample { busy, blocked: work.blocked.get() }
            };
            sample.work = activity.shards.iter().map(work).collect();
            sample
        };
        sources.map(sample).collect()
    }

    fn operator_samples(&self, counts: &Counts, now: u64) -> Vec<OperatorSample> {
        let activity = &self.activity;
        let parts = lock(&self.parts).clone();
        let into = |at: usize, counts: &Counts| -> u64 {
            let edges = activity.edges.iter().zip(&counts.edges);
            edges.filter(|((_, to), _)| *to == Place::Operator(at)).map(|(_, [_, _, out, ..])| out).sum()
        };
        let per_shard: Vec<Counts> = parts.iter().map(|part| part.counts()).collect();
        let operator = |(at, named): (usize, &super::Named)| {
            let shard = |(number, shard): (usize, &std::sync::Arc<super::ShardActivity>)| {
                let Some(it) = shard.operators.get(at) else { return OperatorShard::default() };
                OperatorShard {
                    busy: it.busy.get() + shard.doing.at(OPERATOR | at as u64, now),
                    blocked: it.blocked.get(),
                    unready: it.unready.get(),
                    rows_in: per_shard.get(number).map_or(0, |counts| into(at, counts)),
                    watermark: told(it.watermark.load(Relaxed)),
                    gathered: it.gathered.load(Relaxed),
                    state_bytes: it.memory.load(Relaxed),
                    spilled_bytes: it.spilled.load(Relaxed),
                }
            };
            // Every edge that leaves it gets all that it emits.
            let edges = activity.edges.iter().zip(&counts.edges);
            let out = edges.filter(|((from, _), _)| *from == Place::Operator(at)).map(|(_, it)| it[0]).max();
            OperatorSample {
                name: named.name.clone(),
                id: named.id.clone(),
                rows_in: into(at, counts),
                rows_out: out.unwrap_or(0),
                shards: activity.shards.iter().enumerate().map(shard).collect(),
            }
        };
        activity.operators.iter().enumerate().map(operator).collect()
    }

    fn sink_samples(&self, counts: &Counts) -> Vec<SinkSample> {
        let shards = &self.activity.shards;
        let sink = |(at, sink): (usize, &crate::accounting::SinkCounters)| SinkSample {
            name: sink.name.clone(),
            rows: counts.sinks.get(at).map_or(0, |[written, ..]| *written),
            trouble: shards.iter().find_map(|shard| lock(&shard.sinks.get(at)?.trouble).clone()),
            shards: shards
                .iter()
                .filter_map(|shard| shard.sinks.get(at))
                .map(|it| SinkShard {
                    busy: it.busy.get(),
                    not_ready: it.not_ready.get(),
                    open_files: it.open_files.load(Relaxed),
                    bytes: it.bytes.load(Relaxed),
                })
                .collect(),
        };
        self.sinks.iter().enumerate().map(sink).collect()
    }
}

/// A watermark, if there is one that says something.
fn told(millis: i64) -> Option<i64> {
    Some(millis).filter(|it| *it != NO_WATERMARK && *it != END_OF_TIME)
}

fn fill(sample: &mut SourceSample, queue: &ChunkQueue) {
    let look = queue.look(SPLITS_MAX);
    sample.queued = look.queued;
    sample.capacity = look.capacity;
    sample.idle = look.idle;
    sample.unopened = look.unopened;
    sample.open_splits = look.open_splits;
    sample.newest = look.newest.and_then(told);
    sample.splits = look.splits;
    for split in &mut sample.splits {
        split.watermark = split.watermark.and_then(told);
    }
}

fn fill_lag(sample: &mut SourceSample, lag: &[SplitLag]) {
    sample.lag = (!lag.is_empty()).then(|| lag.iter().fold(0_u64, |sum, it| sum.saturating_add(it.records)));
    for split in &mut sample.splits {
        split.lag = lag.iter().find(|it| it.split_number == split.number).map(|it| it.records);
    }
    let mut behind: Vec<&SplitLag> = lag.iter().filter(|it| it.records > 0).collect();
    behind.sort_by_key(|it| (Reverse(it.records), it.split_number));
    let told = |it: &&SplitLag| SplitSample {
        number: it.split_number,
        name: it.split.name.clone(),
        watermark: sample
            .splits
            .iter()
            .find(|split| split.number == it.split_number)
            .and_then(|split| split.watermark),
        lag: Some(it.records),
    };
    sample.behind = behind.iter().take(SPLITS_MAX).map(told).collect();
}

impl Activity {
    fn edge_samples(&self, counts: &Counts) -> Vec<EdgeSample> {
        let lanes = lock(&self.probes).lanes.clone();
        let edge = |(at, (from, to)): (usize, &(Place, Place))| {
            let lane = lanes.get(at).and_then(Option::as_ref).and_then(Weak::upgrade);
            let (waiting, capacity) = lane.map_or((0, 0), |lane| lane.fill());
            let [rows_in, _, rows_out, ..] = counts.edges.get(at).copied().unwrap_or_default();
            EdgeSample { from: *from, to: *to, rows_in, rows_out, waiting, capacity }
        };
        self.edges.iter().enumerate().map(edge).collect()
    }

    fn checkpoint_sample(&self, now: Duration) -> Option<CheckpointSample> {
        let mut sample = self.checkpoint.sample(now)?;
        if let Some(under_way) = &mut sample.under_way {
            let epoch = under_way.epoch;
            under_way.shards = (0..self.shards.len()).filter_map(|it| self.barrier(it, epoch)).collect();
        }
        Some(sample)
    }

    /// Where the barrier of this epoch is on a shard; none: it is through, and all is durable.
    fn barrier(&self, number: usize, epoch: u64) -> Option<BarrierSample> {
        let shard = self.shards.get(number)?;
        if shard.prepared.load(Relaxed) >= epoch {
            return None;
        }
        let mut out = BarrierSample { shard: number, ..BarrierSample::default() };
        if shard.passed.load(Relaxed) >= epoch {
            out.stage = BarrierStage::Sinks;
            let waiting = shard.sinks.iter().enumerate().filter(|(_, sink)| !sink.prepared.load(Relaxed));
            out.sinks = waiting.map(|(at, _)| at).collect();
        } else if shard.sent.load(Relaxed) >= epoch {
            out.stage = BarrierStage::Operators;
            let open = shard.operators.iter().enumerate().filter(|(_, it)| !it.passed.load(Relaxed));
            out.operators = open.map(|(at, _)| at).collect();
        }
        Some(out)
    }
}
