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
use flott_plan::Step;
use flott_types::{Code, DataType, Field, Result, Schema, Span};
use proptest::prelude::*;

use crate::{
    accounting::{Counters, EdgeCounters, Status},
    calc::{Calc, RejectRow},
    event::{Event, Lineage, Operator, Rows},
    order::OrderedWriter,
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
    let calc = Calc::new(&steps, &input, counters.clone(), 0, reject, context, Arc::new(|| 0));
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
    let chunk = Chunk { split, sequence: 0, offset: 1000, payload: Payload::Bytes(bytes), bytes_in: 0, time: Default::default() };
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
        let rows = Rows { batch: decoded.batch.clone(), lineage: Some(Lineage::of(&chunk, &decoded)) };
        let mut emitted = Vec::new();
        calc.on_event(Event::Rows(rows), &mut |event| {
            let Event::Rows(rows) = event else { panic!("{event:?}") };
            emitted.extend_from_slice(rows.batch.column(0).as_primitive::<Int32Type>().values());
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
        let writer = OrderedWriter::new(Box::new(Collect(written.clone())), 2);
        for (source, sequence) in order {
            // Some chunks give no batch, some several.
            let batches = (0..sequence % 3).map(|part| one_value(source as i64 * 1000 + sequence as i64 * 10 + part as i64));
            writer.complete(source, sequence, batches.collect()).unwrap();
        }
        prop_assert!(writer.is_ready(), "nothing waits any more");
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

#[test]
fn watermarks_barriers_and_the_end_keep_their_place_between_rows() {
    let (mut calc, ..) = calc();
    let (chunk, decoded) = decoded(&["1".into(), "x".into(), "2".into()]);
    let rows =
        || Event::Rows(Rows { batch: decoded.batch.clone(), lineage: Some(Lineage::of(&chunk, &decoded)) });
    let mut seen = Vec::new();
    for event in [Event::Watermark(5), rows(), Event::Barrier(1), rows(), Event::Watermark(9), Event::End] {
        calc.on_event(event, &mut |event| {
            seen.push(match event {
                Event::Rows(rows) => format!("{} row", rows.batch.num_rows()),
                Event::Watermark(time) => format!("watermark {time}"),
                Event::Barrier(epoch) => format!("barrier {epoch}"),
                Event::End => "end".into(),
            });
            Ok(())
        })
        .unwrap();
    }
    // Each batch falls apart around its bad row.
    let rows = ["1 row", "1 row"];
    assert_eq!(seen, [&["watermark 5"], &rows[..], &["barrier 1"], &rows, &["watermark 9", "end"]].concat());
}

#[test]
fn shards_pause_while_too_much_waits_for_an_earlier_chunk() {
    let writer = OrderedWriter::new(Box::new(Collect(Arc::default())), 1);
    for sequence in 1..=31 {
        writer.complete(0, sequence, Vec::new()).unwrap();
        assert!(writer.is_ready());
    }
    writer.complete(0, 32, Vec::new()).unwrap();
    assert!(!writer.is_ready());
    writer.complete(0, 0, Vec::new()).unwrap();
    assert!(writer.is_ready());
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
    fn prepare(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        Ok(Some(Vec::new()))
    }
}
