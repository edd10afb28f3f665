//! A source on one shard: chunks in, rows along every edge, then the chunk's time.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Int8Array, RecordBatchOptions, as_primitive_array, new_null_array,
    },
    compute,
    datatypes::{
        DataType as ArrowType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
    record_batch::RecordBatch,
};
use flott_connector::{BufferPool, Chunk, Decoded, Decoder, Payload, RecordPart, Reject, Stage};
use flott_expr::{EvalContext, Program};
use flott_plan::SourceWatermark;
use flott_types::{Code, Diagnostic, Result};

use super::{
    bad_records::{Describe, Failed, Policy},
    edge::EdgeTask,
    origin,
    required::Required,
};
use crate::{
    accounting::{Counters, add},
    lineage::{Lineage, record_of},
    progress::ChunkTime,
    queue::ChunkQueue,
    replay,
    sink::SinkTask,
};

/// A source as one shard sees it.
pub struct SourceTask {
    /// Index in the plan's sources.
    pub index: usize,
    /// Chunks, shared with the other shards.
    pub queue: Arc<ChunkQueue>,
    /// This shard's decoder.
    pub decoder: Box<dyn Decoder>,
    /// What happens to bad records.
    pub policy: Policy,
    /// Which columns are never NULL.
    pub required: Required,
    /// The sinks behind it.
    pub sinks: Vec<String>,
    /// Event time, if somebody needs it.
    pub time: Option<EventTime>,
    /// Positions in the shard's edges of those that leave it.
    pub edges: Vec<usize>,
    /// Nothing comes any more.
    pub ended: bool,
}

/// How a source's rows move time on.
pub struct EventTime {
    watermark: Program,
    time: Program,
    time_type: ArrowType,
    max_ahead_millis: Option<i64>,
    /// Rows carry their origin, in this schema.
    with_origin: Option<SchemaRef>,
    /// Time moves on row by row (`'scan.watermark.emit.strategy' = 'on-event'`).
    on_event: bool,
    describe: Describe,
}

impl EventTime {
    /// Of a plan's source.
    pub fn new(
        watermark: &SourceWatermark,
        with_origin: Option<SchemaRef>,
        on_event: bool,
        describe: Describe,
    ) -> Self {
        Self {
            watermark: Program::new(vec![watermark.watermark.clone()]),
            time: Program::new(vec![watermark.time.clone()]),
            time_type: watermark.watermark.data_type.arrow_field("").data_type().clone(),
            max_ahead_millis: watermark.max_ahead_millis,
            with_origin,
            on_event,
            describe,
        }
    }
}

/// What a source works with on its shard.
pub struct Downstream<'a> {
    /// All edges of the shard.
    pub edges: &'a mut [EdgeTask],
    /// All sinks of the shard.
    pub sinks: &'a mut [SinkTask],
    /// The shard's counters.
    pub counters: &'a Arc<Counters>,
}

impl SourceTask {
    /// Decodes a chunk and sends what comes of it along every edge.
    ///
    /// # Errors
    /// What stops the run.
    pub fn chunk(
        &mut self,
        chunk: Chunk,
        context: &EvalContext,
        to: &mut Downstream<'_>,
        buffers: &BufferPool,
    ) -> Result<()> {
        let mut time = ChunkTime { split: chunk.time, watermark: None };
        let Self { decoder, policy, required, sinks, edges, index, time: event_time, queue, .. } = self;
        let mut take = |decoded: Decoded| {
            let mut decoded = required.check(decoded)?;
            if let Payload::Records(letters) = &chunk.payload {
                decoded = replay::meant(decoded, letters)?;
            }
            count(*index, &decoded, edges, to);
            for reject in &decoded.rejected {
                reject_record(&chunk, reject, (policy, sinks), edges, to)?;
            }
            if decoded.batch.num_rows() == 0 {
                return Ok(());
            }
            let part = Part {
                batch: decoded.batch.clone(),
                kinds: decoded.kinds.clone(),
                lineage: Lineage::of(&chunk, &decoded),
            };
            match event_time {
                None => send(edges, chunk.sequence, &part, to),
                Some(event_time) => {
                    event_time.rows(part, context, policy, &mut time, &mut |step| match step {
                        Step::Rows(part) => send(edges, chunk.sequence, &part, to),
                        Step::Time(time) => edges.iter().try_for_each(|&edge| {
                            to.edges[edge].time(chunk.sequence, time, to.sinks, to.counters)
                        }),
                        Step::Ahead => {
                            edges.iter().for_each(|&edge| {
                                add(&to.counters.edges[to.edges[edge].id].dead_lettered, 1);
                            });
                            Ok(())
                        }
                    })
                }
            }
        };
        if !chunk.is_control() {
            decoder.decode(&chunk, context, &mut take)?;
        }
        for &edge in edges.iter() {
            to.edges[edge].chunk_done(chunk.sequence, time, to.sinks, to.counters)?;
        }
        // Once per sink, however many edges lead there (UNION ALL of a table with itself).
        let mut sinks: Vec<usize> = edges.iter().filter_map(|&edge| to.edges[edge].sink()).collect();
        sinks.sort_unstable();
        sinks.dedup();
        for sink in sinks {
            to.sinks[sink].chunk_done(*index, chunk.sequence)?;
        }
        queue.done(chunk.sequence, time);
        match chunk.payload {
            Payload::Bytes(bytes) => buffers.give(bytes),
            Payload::Blocks(blocks) => buffers.give(blocks.bytes),
            Payload::Messages(messages) => buffers.give(messages.values.into_buffer()),
            _ => {}
        }
        Ok(())
    }
}

fn count(source: usize, decoded: &Decoded, edges: &[usize], to: &Downstream<'_>) {
    add(&to.counters.sources[source].read, decoded.read);
    add(&to.counters.sources[source].nulled, decoded.nulled);
    for &edge in edges {
        let counts = &to.counters.edges[to.edges[edge].id];
        add(&counts.input, decoded.read);
        add(&counts.filtered, decoded.filtered);
        add(&counts.skipped, decoded.skipped);
    }
}

fn send(edges: &[usize], sequence: u64, part: &Part<'_>, to: &mut Downstream<'_>) -> Result<()> {
    for &edge in edges {
        to.edges[edge].rows(
            Some(sequence),
            part.batch.clone(),
            part.kinds.clone(),
            Some(part.lineage),
            to.sinks,
            to.counters,
        )?;
    }
    Ok(())
}

fn reject_record(
    chunk: &Chunk,
    reject: &Reject,
    (policy, sinks): (&Policy, &[String]),
    edges: &[usize],
    to: &Downstream<'_>,
) -> Result<()> {
    let stage = if reject.code == Code::EvaluationFailed { Stage::Evaluate } else { Stage::Decode };
    let failed = Failed {
        stage,
        code: reject.code,
        message: reject.message.clone(),
        part: reject.part,
        record: &mut || record_of(chunk, &reject.record),
        sinks: sinks.to_vec(),
    };
    policy.bad_record(&mut edges.iter().map(|&edge| to.edges[edge].id), failed)
}

/// Decoded rows, what each does (none: all are new), and where they come from.
struct Part<'a> {
    batch: RecordBatch,
    kinds: Option<Int8Array>,
    lineage: Lineage<'a>,
}

impl Part<'_> {
    fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            batch: self.batch.slice(offset, length),
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
            lineage: self.lineage.slice(offset),
        }
    }
}

/// What comes of decoded rows, in order.
enum Step<'a> {
    Rows(Part<'a>),
    Time(ChunkTime),
    /// A row was dead-lettered because its time lies too far ahead.
    Ahead,
}

impl EventTime {
    /// Takes rows that lie too far ahead out, moves time on.
    fn rows<'a>(
        &self,
        mut part: Part<'a>,
        context: &EvalContext,
        policy: &Policy,
        time: &mut ChunkTime,
        emit: &mut dyn FnMut(Step<'a>) -> Result<()>,
    ) -> Result<()> {
        let watermarks = self.evaluate(&self.watermark, &part.batch, context)?;
        let ahead = self.ahead(&part.batch, context)?;
        if let Some(schema) = &self.with_origin {
            part.batch = with_origin(&part.batch, part.lineage, schema)?;
        }
        let Some(ahead) = ahead.filter(|mask| mask.true_count() > 0) else {
            return self.in_time(part, &watermarks, time, emit);
        };
        // Rare: row by row.
        for row in 0..part.batch.num_rows() {
            if ahead.is_valid(row) && ahead.value(row) {
                let describe = || (self.describe)(&part.batch.slice(row, 1));
                policy.letter(Failed {
                    stage: Stage::Late,
                    code: Code::RowAhead,
                    message: "its time lies further ahead than 'scan.watermark.max-ahead'".into(),
                    part: RecordPart::Value,
                    record: &mut || {
                        let (origin, bytes) = part.lineage.record(row);
                        let is_row = bytes.is_empty() && origin.message.is_none();
                        (origin, if is_row { describe() } else { bytes })
                    },
                    sinks: Vec::new(),
                })?;
                emit(Step::Ahead)?;
            } else {
                self.in_time(part.slice(row, 1), &watermarks.slice(row, 1), time, emit)?;
            }
        }
        Ok(())
    }

    fn in_time<'a>(
        &self,
        part: Part<'a>,
        watermarks: &ArrayRef,
        time: &mut ChunkTime,
        emit: &mut dyn FnMut(Step<'a>) -> Result<()>,
    ) -> Result<()> {
        if !self.on_event {
            time.watermark = time.watermark.max(max_millis(watermarks)?);
            return emit(Step::Rows(part));
        }
        let (mut from, rows) = (0, part.batch.num_rows());
        for row in 0..rows {
            let watermark = max_millis(&watermarks.slice(row, 1))?;
            if watermark > time.watermark {
                emit(Step::Rows(part.slice(from, row + 1 - from)))?;
                from = row + 1;
                time.watermark = watermark;
                let mut now = *time;
                now.split.finished = false;
                emit(Step::Time(now))?;
            }
        }
        if from < rows {
            emit(Step::Rows(part.slice(from, rows - from)))?;
        }
        Ok(())
    }

    /// A row whose time can't be computed moves time nowhere; what becomes of the row itself decides who
    /// needs its time.
    fn evaluate(&self, program: &Program, batch: &RecordBatch, context: &EvalContext) -> Result<ArrayRef> {
        if let Ok(mut columns) = program.evaluate(batch, context)
            && let Some(times) = columns.pop()
        {
            return Ok(times);
        }
        let mut rows: Vec<ArrayRef> = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let time = program.evaluate(&batch.slice(row, 1), context).ok().and_then(|mut it| it.pop());
            rows.push(time.unwrap_or_else(|| new_null_array(&self.time_type, 1)));
        }
        if rows.is_empty() {
            return Ok(new_null_array(&self.time_type, 0));
        }
        let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        compute::concat(&rows).map_err(internal)
    }

    /// Which rows lie too far ahead of the wall clock.
    fn ahead(&self, batch: &RecordBatch, context: &EvalContext) -> Result<Option<BooleanArray>> {
        let Some(max_ahead) = self.max_ahead_millis else { return Ok(None) };
        let times = self.evaluate(&self.time, batch, context)?;
        let limit = (context.now_micros / 1000).saturating_add(max_ahead);
        let millis = to_millis(&times)?;
        let is_ahead = |time: Option<i64>| Some(time.is_some_and(|time| time > limit));
        Ok(Some(millis.iter().map(is_ahead).collect()))
    }
}

fn with_origin(batch: &RecordBatch, lineage: Lineage<'_>, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    columns.truncate(schema.fields().len().saturating_sub(1));
    columns.push(origin::column(lineage, batch.num_rows()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}

/// The greatest of these times in whole milliseconds, rounded down.
fn max_millis(times: &ArrayRef) -> Result<Option<i64>> {
    Ok(match times.data_type() {
        ArrowType::Timestamp(TimeUnit::Second, _) => {
            compute::max(as_primitive_array::<TimestampSecondType>(times)).map(|it| it.saturating_mul(1000))
        }
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
            compute::max(as_primitive_array::<TimestampMillisecondType>(times))
        }
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            compute::max(as_primitive_array::<TimestampMicrosecondType>(times)).map(|it| it.div_euclid(1000))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            compute::max(as_primitive_array::<TimestampNanosecondType>(times))
                .map(|it| it.div_euclid(1_000_000))
        }
        other => {
            return Err(Diagnostic::error(Code::Internal, format!("a watermark of type {other}")));
        }
    })
}

/// Times in whole milliseconds, rounded down.
fn to_millis(times: &ArrayRef) -> Result<arrow::array::Int64Array> {
    use arrow::compute::unary;
    let floor = |by: i64| move |it: i64| it.div_euclid(by);
    Ok(match times.data_type() {
        ArrowType::Timestamp(TimeUnit::Second, _) => {
            unary(as_primitive_array::<TimestampSecondType>(times), |it: i64| it.saturating_mul(1000))
        }
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
            unary(as_primitive_array::<TimestampMillisecondType>(times), |it: i64| it)
        }
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            unary(as_primitive_array::<TimestampMicrosecondType>(times), floor(1000))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            unary(as_primitive_array::<TimestampNanosecondType>(times), floor(1_000_000))
        }
        other => {
            return Err(Diagnostic::error(Code::Internal, format!("a time column of type {other}")));
        }
    })
}
