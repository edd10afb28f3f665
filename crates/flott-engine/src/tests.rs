//! `Calc` and the ordered writer: what must hold for any input.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, StringArray},
    datatypes::{Int32Type, Int64Type},
    record_batch::RecordBatch,
};
use flott_connector::{Chunk, Committable, Decoded, Payload, SinkWriter, SplitInfo};
use flott_expr::{CastMode, EvalContext, EvalError, Expr, ExprKind, Value, lookup};
use flott_operators::Rows;
use flott_plan::Step;
use flott_state::KeyGroups;
use flott_types::{Code, DataType, Field, Result, Schema, Span};
use proptest::prelude::*;

use crate::{
    accounting::{Counters, EdgeCounters, Status},
    calc::{Calc, RejectRow},
    exchange::{Lane, LaneReader, LaneWriter, Message, Taken, Wakers},
    lineage::Lineage,
    order::OrderedWriter,
    progress::ChunkTime,
};

/// Rejected records: bytes and offset.
type Rejected = Arc<Mutex<Vec<(Vec<u8>, u64)>>>;

struct Keep(Rejected);

impl RejectRow for Keep {
    fn reject(&mut self, batch: &RecordBatch, lineage: Option<Lineage<'_>>, error: EvalError) -> Result<()> {
        assert_eq!((batch.num_rows(), error.code), (1, Code::EvaluationFailed));
        let (origin, bytes) = lineage.unwrap().record(0);
        self.0.lock().unwrap().push((bytes, origin.offset));
        Ok(())
    }
}

fn schema(name: &str, data_type: DataType) -> Schema {
    Schema::new(vec![Field::new(name, data_type)])
}

/// `SELECT CAST(s AS INT) … WHERE CAST(s AS INT) > 0`
fn calc() -> (Calc, Arc<Counters>, Rejected) {
    let input = schema("s", DataType::string());
    let column = Box::new(Expr::column(0, "s", DataType::string()));
    let cast =
        Expr::new(ExprKind::Cast { input: column, mode: CastMode::Strict }, DataType::int(), Span::default());
    let zero = Expr::literal(Value::Int(0), DataType::int().not_null());
    let positive = lookup(">").unwrap().call(vec![cast.clone(), zero], Span::default()).unwrap();
    let steps =
        [Step::Filter(positive), Step::Project { exprs: vec![cast], schema: schema("n", DataType::int()) }];
    let counters = Arc::new(Counters { edges: vec![EdgeCounters::default()], ..Counters::default() });
    let rejected = Rejected::default();
    let context = EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };
    let reject = Box::new(Keep(rejected.clone()));
    let calc = Calc::new(&steps, &input, counters.clone(), 0, reject, context, Arc::new(|_| {}));
    (calc, counters, rejected)
}

/// A chunk of lines, decoded: the line `NULL` is NULL.
fn decoded(lines: &[String]) -> (Chunk, Decoded) {
    let (mut bytes, mut rows): (Vec<u8>, Vec<Range<u32>>) = Default::default();
    for line in lines {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        rows.push(start..bytes.len() as u32);
    }
    let texts: ArrayRef =
        Arc::new(lines.iter().map(|line| (line != "NULL").then_some(line)).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([("s", texts, true)]).unwrap();
    let split = Arc::new(SplitInfo { name: "in".into(), ..SplitInfo::default() });
    let chunk = Chunk {
        split,
        sequence: 0,
        offset: 1000,
        payload: Payload::Bytes(bytes),
        bytes_in: 0,
        time: Default::default(),
    };
    (chunk, Decoded { rows, ..Decoded::all(batch, 0) })
}

proptest! {
    #[test]
    fn bisection_costs_the_bad_rows_and_no_other(
        lines in prop::collection::vec(prop_oneof![4 => (-3i32..40).prop_map(|n| n.to_string()),
            1 => Just("x".to_string()), 1 => Just("NULL".to_string())], 1..300),
    ) {
        let (mut calc, counters, rejected) = calc();
        let (chunk, decoded) = decoded(&lines);
        let mut emitted = Vec::new();
        calc.rows(&decoded.batch, None, Some(Lineage::of(&chunk, &decoded)), &mut |batch, _| {
            emitted.extend_from_slice(batch.column(0).as_primitive::<Int32Type>().values());
            Ok(())
        }).unwrap();

        let positive: Vec<i32> = lines.iter().filter_map(|line| line.parse().ok()).filter(|n| *n > 0).collect();
        prop_assert_eq!(&emitted, &positive);
        let offsets = lines.iter().scan(1000, |at, line| {
            let here = *at;
            *at += line.len() as u64 + 1;
            Some((line, here))
        });
        let bad: Vec<_> =
            offsets.filter(|(line, _)| *line == "x").map(|(line, at)| (line.clone().into_bytes(), at)).collect();
        prop_assert_eq!(&*rejected.lock().unwrap(), &bad);
        let filtered = counters.summary(Status::Finished).edges[0].filtered;
        prop_assert_eq!(filtered as usize, lines.len() - positive.len() - bad.len());
    }

    #[test]
    fn the_ordered_writer_restores_the_order_of_each_source(
        order in Just((0..2usize).flat_map(|source| (0..40u64).map(move |at| (source, at))).collect::<Vec<_>>())
            .prop_shuffle(),
    ) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = OrderedWriter::new(Box::new(Collect(written.clone())), 2, 1);
        for (source, sequence) in order {
            // Some chunks give no batch, some several.
            let batches = (0..sequence % 3).map(|part| one_value(source as i64 * 1000 + sequence as i64 * 10 + part as i64));
            writer.complete(0, source, sequence, batches.map(|batch| (batch, None)).collect()).unwrap();
        }
        prop_assert!(writer.is_ready(0), "nothing waits any more");
        let written = written.lock().unwrap();
        for source in 0..2 {
            let range = source * 1000..(source + 1) * 1000;
            let of_source: Vec<i64> = written.iter().copied().filter(|value| range.contains(value)).collect();
            let expected: Vec<i64> =
                (0..40).flat_map(|at| (0..at % 3).map(move |part| source * 1000 + at * 10 + part)).collect();
            prop_assert_eq!(of_source, expected);
        }
    }
}

/// What a shard takes from a lane until there is nothing more now.
fn taken(reader: &mut LaneReader) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        out.push(match reader.take() {
            Taken::Rows(rows) => rows.batch.column(0).as_primitive::<Int64Type>().value(0).to_string(),
            Taken::Time => format!("time {}", reader.watermark()),
            Taken::Nothing => return out,
            Taken::Barrier(epoch) => return [out, vec![format!("barrier {epoch}")]].concat(),
            Taken::End => return [out, vec!["end".into()]].concat(),
        });
    }
}

fn lane(ordered: bool) -> (Vec<LaneWriter>, LaneReader) {
    let lane = Arc::new(Lane::new(2, 1, ordered, Arc::new(Wakers::new(2))));
    let writers = (0..2).map(|from| LaneWriter::new(lane.clone(), from, KeyGroups::new(128))).collect();
    (writers, LaneReader::new(lane, 0))
}

#[test]
fn rows_of_a_source_come_in_the_order_of_its_chunks_through_channels_of_one_message() {
    let (mut writers, mut reader) = lane(true);
    let time = |watermark| ChunkTime { watermark: Some(watermark), ..ChunkTime::default() };
    // Shard 1 was faster with chunk 1 than shard 0 with chunk 0.
    let send = |writer: &mut LaneWriter, chunk: u64, watermark| {
        writer.tell_all(|| Message::Rows(chunk, Rows::insert(one_value(chunk as i64))));
        writer.tell_all(|| Message::Done(chunk, time(watermark)));
    };
    send(&mut writers[1], 1, 20);
    assert_eq!(taken(&mut reader), Vec::<String>::new(), "chunk 0 comes first");
    send(&mut writers[0], 0, 10);
    send(&mut writers[0], 2, 15);
    let mut all = Vec::new();
    for _ in 0..20 {
        writers.iter_mut().for_each(|writer| {
            writer.flush();
        });
        all.extend(taken(&mut reader));
    }
    assert_eq!(all, ["0", "time 10", "1", "time 20", "2", "time 20"]);
    assert!(writers.iter().all(LaneWriter::is_blocked), "nobody reads what goes to the other shard");
}

#[test]
fn nothing_behind_a_barrier_is_taken_before_all_channels_have_come_to_it() {
    let (mut writers, mut reader) = lane(false);
    let row = |value| Message::Rows(0, Rows::insert(one_value(value)));
    writers[0].tell_all(|| Message::Barrier(1));
    writers[0].tell_all(|| row(2));
    writers[1].tell_all(|| row(1));
    let step = |writers: &mut Vec<LaneWriter>, reader: &mut LaneReader| {
        writers.iter_mut().for_each(|writer| {
            writer.flush();
        });
        taken(reader)
    };
    assert_eq!(step(&mut writers, &mut reader), ["1"]);
    assert_eq!(step(&mut writers, &mut reader), Vec::<String>::new());
    writers[1].tell_all(|| Message::Barrier(1));
    assert_eq!(step(&mut writers, &mut reader), ["barrier 1"]);
    reader.pass_barrier();
    assert_eq!(step(&mut writers, &mut reader), ["2"]);
    writers[0].tell_all(|| Message::Watermark(7));
    writers[1].tell_all(|| Message::Watermark(5));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(step(&mut writers, &mut reader));
    }
    assert_eq!(all.last().map(String::as_str), Some("time 5"), "the least watermark counts: {all:?}");
    writers[0].tell_all(|| Message::End(true));
    writers[1].tell_all(|| Message::End(true));
    assert_eq!(step(&mut writers, &mut reader), ["end"]);
    assert_eq!(reader.watermark(), i64::MAX);
}

#[test]
fn shards_pause_while_too_much_waits_for_an_earlier_chunk() {
    let writer = OrderedWriter::new(Box::new(Collect(Arc::default())), 1, 1);
    for sequence in 1..=31 {
        writer.complete(0, 0, sequence, Vec::new()).unwrap();
        assert!(writer.is_ready(0));
    }
    writer.complete(0, 0, 32, Vec::new()).unwrap();
    assert!(!writer.is_ready(0));
    writer.complete(0, 0, 0, Vec::new()).unwrap();
    assert!(writer.is_ready(0));
}

#[test]
fn the_ordered_writer_prepares_an_epoch_when_it_has_all_of_it_and_nothing_more() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = OrderedWriter::new(Box::new(Collect(log.clone())), 1, 2);
    let rows = |value| vec![(one_value(value), None)];
    writer.complete(0, 0, 0, rows(10)).unwrap();
    // Shard 0 is through with the epoch and goes on, while shard 1 is still at its chunk.
    writer.pass(0, 7).unwrap();
    writer.complete(0, 0, 2, rows(30)).unwrap();
    writer.write(0, (one_value(40), None)).unwrap();
    assert_eq!(writer.poll_passed(0).unwrap(), None);
    writer.complete(1, 0, 1, rows(20)).unwrap();
    assert_eq!(*log.lock().unwrap(), [10, 20]);
    writer.pass(1, 7).unwrap();
    assert_eq!(*log.lock().unwrap(), [10, 20, -7, 30, 40], "-7: epoch 7 is prepared");
    assert_eq!(writer.poll_passed(1).unwrap().map(|it| it.len()), Some(1));
    assert_eq!(writer.poll_passed(0).unwrap().map(|it| it.len()), Some(0), "one of them gets it");
    // What comes behind a barrier holds up only those who have passed it.
    writer.pass(0, 8).unwrap();
    (0..40).for_each(|value| writer.write(0, (one_value(value), None)).unwrap());
    (3..43).for_each(|sequence| writer.complete(0, 0, sequence, rows(50)).unwrap());
    assert!(!writer.is_ready(0) && writer.is_ready(1));
    writer.pass(1, 8).unwrap();
    assert!(writer.is_ready(0));
    assert_eq!(writer.poll_passed(0).unwrap().map(|it| it.len()), Some(1));
    assert_eq!(writer.poll_passed(1).unwrap().map(|it| it.len()), Some(0));
    // Who has ended holds nobody back.
    writer.pass(1, 9).unwrap();
    assert_eq!(writer.poll_passed(1).unwrap(), None);
    writer.end(0).unwrap();
    assert_eq!(writer.poll_passed(1).unwrap().map(|it| it.len()), Some(1));
    assert_eq!(log.lock().unwrap().last(), Some(&-9));
}

fn one_value(value: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

/// Keeps the values of the first column.
struct Collect(Arc<Mutex<Vec<i64>>>);

impl SinkWriter for Collect {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.lock().unwrap().extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        Ok(())
    }
    fn prepare(&mut self, epoch: u64) -> Result<()> {
        self.0.lock().unwrap().push(-(epoch as i64));
        Ok(())
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        Ok(Some(vec![Committable { content: serde_json::Value::Null }]))
    }
}
