//! OVER against a model that looks at every row before each row.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use flott_expr::lookup_aggregate;
use flott_plan::{Bound, Call, Frame, OperatorNode, Over, OverOrder, OverValue};
use flott_types::{DataType, Field, Schema, TimeAttribute, TypeKind};
use proptest::prelude::*;

use crate::conformance::{Job, Step};

/// Number, key, value, time.
type Row = (i64, i64, i64, i64);

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::bigint()),
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        Field::new("ts", TypeKind::Timestamp(3).into()).with_time(Some(TimeAttribute::Rowtime)),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let number = |of: fn(&Row) -> i64| Arc::new(rows.iter().map(|it| Some(of(it))).collect::<Int64Array>());
    let columns: Vec<ArrayRef> = vec![
        number(|row| row.0),
        number(|row| row.1),
        number(|row| row.2),
        Arc::new(rows.iter().map(|row| Some(row.3)).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn aggregate(name: &str, distinct: bool, rows: bool, start: Bound) -> OverValue {
    let call = Call {
        function: lookup_aggregate(name).unwrap(),
        args: vec![2],
        arg_types: vec![DataType::bigint()],
        distinct,
        filter: None,
        data_type: DataType::bigint(),
    };
    OverValue::Aggregate(call, Frame { rows, start, end: Bound::CurrentRow })
}

fn job(order: OverOrder, wide: i64) -> Job {
    let unbounded = Bound::UnboundedPreceding;
    let calls = vec![
        aggregate("SUM", false, true, unbounded),
        aggregate("SUM", false, false, unbounded),
        aggregate("SUM", false, true, Bound::Preceding(2)),
        aggregate("MIN", false, true, Bound::Preceding(wide)),
        aggregate("SUM", false, false, Bound::Preceding(5)),
        aggregate("COUNT", true, true, unbounded),
        aggregate("COUNT", true, true, Bound::Preceding(3)),
        OverValue::RowNumber,
        OverValue::Rank,
        OverValue::DenseRank,
        OverValue::Shift { value: 2, back: 2, default: Some(0) },
    ];
    let time = (order == OverOrder::Rowtime).then_some(TimeAttribute::Rowtime);
    let order_by = vec![(3, false, true)];
    let node = Over { keys: vec![1], order_by, calls, order, time, with_before: true, ttl_millis: None };
    let (inputs, keys) = (vec![schema()], vec![vec![1]]);
    Job {
        node: OperatorNode::Over(node),
        inputs,
        keys,
        two_phase: false,
        time_zone: chrono_tz::UTC,
        lookup: None,
    }
}

/// Rows in the order in which they came.
fn model(rows: &[Row], wide: usize) -> Vec<String> {
    let keys: BTreeSet<i64> = rows.iter().map(|row| row.1).collect();
    let mut lines = Vec::new();
    for key in keys {
        let mut all: Vec<Row> = rows.iter().copied().filter(|row| row.1 == key).collect();
        all.sort_by_key(|row| row.3);
        for (at, row) in all.iter().enumerate() {
            let before = |rows: usize| &all[at.saturating_sub(rows)..=at];
            let sum = |rows: &[Row]| rows.iter().map(|row| row.2).sum::<i64>();
            let within = |millis: i64| -> Vec<Row> {
                all.iter().copied().filter(|it| it.3 <= row.3 && it.3 >= row.3 - millis).collect()
            };
            let different = |rows: &[Row]| rows.iter().map(|row| row.2).collect::<BTreeSet<_>>().len();
            let least = before(wide).iter().map(|row| row.2).min().unwrap();
            let rank = all.iter().filter(|it| it.3 < row.3).count() + 1;
            let dense =
                all.iter().filter(|it| it.3 < row.3).map(|it| it.3).collect::<BTreeSet<_>>().len() + 1;
            let lag = at.checked_sub(2).map_or(row.0, |at| all[at].2);
            let numbers = [
                row.0,
                row.1,
                row.2,
                sum(before(at)),
                sum(&within(i64::MAX / 2)),
                sum(before(2)),
                least,
                sum(&within(5)),
                different(before(at)) as i64,
                different(before(3)) as i64,
                at as i64 + 1,
                rank as i64,
                dense as i64,
                lag,
            ];
            let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            lines.push(text.join(" "));
        }
    }
    lines.sort();
    lines
}

/// Without the time, which the model doesn't spell.
fn without_time(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        words
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != 3)
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines: Vec<String> = lines.into_iter().map(cut).collect();
    lines.sort();
    lines
}

#[derive(Debug, Clone)]
enum Event {
    /// Key, value, time ahead of the watermark.
    Add(Vec<(i64, i64, i64)>),
    Take(Vec<prop::sample::Index>),
    Time(i64),
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => prop::collection::vec((0..3_i64, 0..6_i64, 1..12_i64), 1..9).prop_map(Event::Add),
        2 => prop::collection::vec(any::<prop::sample::Index>(), 1..4).prop_map(Event::Take),
        2 => (1..8_i64).prop_map(Event::Time),
        1 => (1..4_usize).prop_map(Event::Restart),
    ];
    prop::collection::vec(event, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_in_order_of_time_see_those_before(events in events(), wide in prop_oneof![Just(1_usize), Just(70)]) {
        let (mut steps, mut rows, mut now) = (Vec::new(), Vec::new(), 0);
        for event in events {
            match event {
                Event::Add(new) => {
                    let first = rows.len() as i64;
                    let new = new.iter().zip(first..);
                    let new: Vec<Row> = new.map(|((k, v, ahead), id)| (id, *k, *v, now + ahead)).collect();
                    steps.push(Step::Rows(0, batch(&new)));
                    rows.extend(new);
                }
                Event::Take(_) => steps.push(Step::Flush),
                Event::Time(by) => {
                    now += by;
                    steps.push(Step::Watermark(now));
                }
                Event::Restart(shards) => steps.extend([Step::Flush, Step::Restart(shards)]),
            }
        }
        steps.push(Step::Watermark(i64::MAX));
        let outcome = job(OverOrder::Rowtime, wide as i64).run(2, &steps);
        prop_assert_eq!(outcome.late, 0);
        prop_assert_eq!(without_time(outcome.rows), model(&rows, wide));
    }

    #[test]
    fn rows_in_any_order_change_those_behind(events in events(), wide in prop_oneof![Just(1_usize), Just(70)]) {
        let (mut steps, mut rows, mut next) = (Vec::new(), Vec::<Row>::new(), 0);
        for event in events {
            match event {
                Event::Add(new) => {
                    let new: Vec<Row> = new.iter().zip(next..).map(|((k, v, ts), id)| (id, *k, *v, *ts)).collect();
                    next += new.len() as i64;
                    steps.push(Step::Rows(0, batch(&new)));
                    rows.extend(new);
                }
                Event::Take(which) => {
                    let mut taken = Vec::new();
                    for index in which {
                        if !rows.is_empty() {
                            taken.push(rows.remove(index.index(rows.len())));
                        }
                    }
                    steps.push(Step::Changes(0, batch(&taken), vec![1; taken.len()].into()));
                }
                Event::Time(_) => steps.push(Step::Flush),
                Event::Restart(shards) => steps.extend([Step::Flush, Step::Restart(shards)]),
            }
        }
        steps.push(Step::Flush);
        let outcome = job(OverOrder::Any, wide as i64).run(2, &steps);
        prop_assert_eq!(outcome.unmatched, 0);
        prop_assert_eq!(without_time(outcome.table()), model(&rows, wide));
    }
}

#[test]
fn a_row_behind_the_watermark_is_late() {
    let steps = [
        Step::Rows(0, batch(&[(1, 1, 5, 10)])),
        Step::Watermark(10),
        Step::Rows(0, batch(&[(2, 1, 5, 10), (3, 1, 5, 11)])),
        Step::Watermark(i64::MAX),
    ];
    let outcome = job(OverOrder::Rowtime, 1).run(1, &steps);
    assert_eq!(outcome.late, 1);
    assert_eq!(outcome.rows.len(), 2);
}
