//! How fast window operators are: processor time a row on one thread, without sources, formats
//! and exchanges.
//!
//! ```text
//! cargo run --release -p flott-operators --example operator_speed [rows]
//! ```

use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use flott_expr::{EvalContext, lookup_aggregate};
use flott_operators::{Context, Operator, Output, Rows, build, pre_aggregation};
use flott_plan::{Call, OperatorNode, WindowAggregate, WindowProperty, Windows};
use flott_sql::WindowKind;
use flott_state::KeyGroups;
use flott_types::{DataType, Diagnostic, Field, Schema, TimeAttribute, TypeKind};

const BATCH_ROWS: usize = 8192;
/// Events per millisecond of event time.
const RATE: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(9_200_000), |it| it.parse())?;
    let hop = |slide_millis, size_millis| WindowKind::Hop { slide_millis, size_millis };
    let tumble = WindowKind::Tumble { size_millis: 10_000 };
    let session = WindowKind::Session { gap_millis: 10_000, partition_by: vec![0] };
    for (name, kind, keys, two_phase) in [
        ("tumble, 100 thousand keys", tumble.clone(), 100_000, false),
        ("tumble, 2 million keys", tumble.clone(), 2_000_000, false),
        ("tumble, 1000 keys", tumble.clone(), 1000, false),
        ("tumble, 1000 keys, two phases", tumble.clone(), 1000, true),
        ("tumble, 2 million keys, two phases", tumble, 2_000_000, true),
        ("hop of 5 slices, 10 thousand keys", hop(2_000, 10_000), 10_000, false),
        ("hop of 10 slices, 1000 keys", hop(1_000, 10_000), 1000, false),
        ("hop of 1000 slices, 1000 keys", hop(1_000, 1_000_000), 1000, false),
        ("session, 300 thousand keys", session.clone(), 300_000, false),
        ("session, 20 thousand keys", session, 20_000, false),
    ] {
        measure(name, kind, keys, two_phase, rows)?;
    }
    Ok(())
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("t", TypeKind::Timestamp(3).into()).with_time(Some(TimeAttribute::Rowtime)),
    ])
}

/// Rows in nearly ascending order of time; keys spread evenly.
fn batches(rows: usize, keys: usize) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut batches = Vec::new();
    for start in (0..rows).step_by(BATCH_ROWS) {
        let count = BATCH_ROWS.min(rows - start);
        let key: Int64Array = (0..count).map(|_| Some((next() % keys as u64) as i64 * 7)).collect();
        let jitter: Vec<i64> = (0..count).map(|_| (next() % 20) as i64).collect();
        let time = jitter.iter().enumerate().map(|(at, jitter)| ((start + at) / RATE) as i64 - jitter);
        let time: TimestampMillisecondArray = time.map(Some).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(key), Arc::new(time)];
        batches.push(RecordBatch::try_new(schema().arrow_schema(), columns)?);
    }
    Ok(batches)
}

fn node(kind: WindowKind) -> Result<OperatorNode, Box<dyn Error>> {
    let count = Call {
        function: lookup_aggregate("COUNT").ok_or("no COUNT")?,
        args: Vec::new(),
        arg_types: Vec::new(),
        distinct: false,
        filter: None,
        data_type: DataType::bigint(),
    };
    let time = TimeAttribute::Rowtime;
    Ok(OperatorNode::WindowAggregate(WindowAggregate {
        windows: Windows::Assigned { kind, offset_millis: 0, time_column: 1, time, local_time: false },
        keys: vec![0],
        calls: vec![count],
        properties: vec![WindowProperty::Start, WindowProperty::End],
    }))
}

/// Runs an action with an output that collects.
fn with_output<T>(
    emitted: &mut Vec<Rows>,
    action: impl FnOnce(&mut Output<'_>) -> Result<T, Box<Diagnostic>>,
) -> Result<T, Box<Diagnostic>> {
    let (mut late_partial, mut between) = (0, 0);
    let mut unmatched = 0;
    action(&mut Output {
        emit: &mut |rows| {
            emitted.push(rows);
            Ok(())
        },
        late: &mut |_: &RecordBatch, _: Option<&BooleanArray>| Ok(()),
        reject: &mut |_: &RecordBatch, _: &BooleanArray, _: &str| Ok(()),
        late_partial: &mut late_partial,
        between: &mut between,
        unmatched: &mut unmatched,
        lane: &Cell::new(0),
        replayed: &mut Vec::new(),
        given_up: &|| false,
    })
}

fn measure(
    name: &str,
    kind: WindowKind,
    keys: usize,
    two_phase: bool,
    rows: usize,
) -> Result<(), Box<dyn Error>> {
    let input = batches(rows, keys)?;
    let context = Context {
        eval: EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 1, watermark: None },
        groups: KeyGroups::default(),
        owned: KeyGroups::default().all(),
        batch_rows: BATCH_ROWS,
        now_millis: Arc::new(|| 0),
        batch_mode: false,
        lookup: None,
    };
    let node = node(kind)?;
    let mut operator = build(&node, &[schema()], &context)?;
    let mut first: Option<Box<dyn Operator>> = None;
    if two_phase {
        first = Some(pre_aggregation(&node, &schema(), &context)?.0);
    }
    let (mut results, mut between, mut emitting) = (0, Vec::new(), 0.0);
    let mut emitted = Vec::new();
    let began = processor_time()?;
    for (at, batch) in input.into_iter().enumerate() {
        let arrived = match &mut first {
            None => vec![Rows::insert(batch)],
            Some(first) => {
                with_output(&mut between, |out| {
                    first.on_rows(0, Rows::insert(batch), out)?;
                    if at % 8 == 7 { first.flush(out) } else { Ok(()) }
                })?;
                std::mem::take(&mut between)
            }
        };
        for rows in arrived {
            with_output(&mut emitted, |out| operator.on_rows(0, rows, out))?;
        }
        let watermark = (at * BATCH_ROWS / RATE) as i64 - 20;
        let before = processor_time()?;
        with_output(&mut emitted, |out| operator.on_watermark(watermark, out))?;
        emitting += processor_time()? - before;
        results += emitted.drain(..).map(|rows| rows.count).sum::<u64>();
    }
    if let Some(first) = &mut first {
        with_output(&mut between, |out| first.flush(out))?;
        for rows in between {
            with_output(&mut emitted, |out| operator.on_rows(0, rows, out))?;
        }
    }
    let memory = operator.memory() >> 20;
    with_output(&mut emitted, |out| operator.on_watermark(i64::MAX, out))?;
    results += emitted.iter().map(|rows| rows.count).sum::<u64>();
    let seconds = processor_time()? - began;
    let per_row = seconds * 1e9 / rows as f64;
    println!(
        "{name:<40} {seconds:6.2} s {per_row:6.1} ns a row, watermarks {emitting:5.2} s, {results:>10} results, {memory:>5} MiB"
    );
    Ok(())
}

/// Seconds that this thread has run: other programs on the machine don't count.
fn processor_time() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = text.split(' ').next().ok_or("no processor time")?.parse()?;
    Ok(nanos / 1e9)
}
