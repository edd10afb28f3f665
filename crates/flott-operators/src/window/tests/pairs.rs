//! Joins and ranks of windows against models that look at every pair and every row.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use flott_expr::{Expr, ExprKind, lookup};
use flott_plan::{OperatorNode, WindowJoin, WindowRank, Windows};
use flott_sql::JoinKind;
use flott_types::{DataType, Field, Schema, Span, TimeAttribute, TypeKind};
use proptest::prelude::*;

use crate::conformance::{Job, Step, text};

/// Key, value, end of the window.
type Row = (Option<i64>, i64, i64);

const SIZE: i64 = 10;

fn schema() -> Schema {
    let time = |name| Field::new(name, TypeKind::Timestamp(3).into());
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        time("window_start"),
        time("window_end"),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2 - SIZE)).collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn attached() -> Windows {
    Windows::Attached { start: 2, end: 3, time: TimeAttribute::Rowtime, local_time: false }
}

#[derive(Debug, Clone)]
enum Event {
    Rows(usize, Vec<Row>),
    Watermark(i64),
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = |at: usize| {
        let now = at as i64 / 3;
        let end = (now - 1..now + 3).prop_map(|window| window * SIZE);
        let row = (prop::option::weighted(0.9, 0..3_i64), 0..5_i64, end);
        prop_oneof![
            6 => (0..2_usize, prop::collection::vec(row, 1..6)).prop_map(|(input, rows)| Event::Rows(input, rows)),
            2 => (now * SIZE - 12..now * SIZE + 6).prop_map(Event::Watermark),
            1 => (1..4_usize).prop_map(Event::Restart),
        ]
    };
    (3..24_usize).prop_flat_map(move |length| (0..length).map(event).collect::<Vec<_>>()).prop_map(
        |mut events| {
            events.push(Event::Watermark(i64::MAX));
            events
        },
    )
}

fn steps(events: &[Event], inputs: usize) -> Vec<Step> {
    let step = |event: &Event| match event {
        Event::Rows(input, rows) => Step::Rows(input % inputs, batch(rows)),
        Event::Watermark(watermark) => Step::Watermark(*watermark),
        Event::Restart(shards) => Step::Restart(*shards),
    };
    events.iter().map(step).collect()
}

/// The rows of each window that are not late, by input; and how many are.
fn by_window(events: &[Event], inputs: usize) -> (BTreeMap<i64, [Vec<Row>; 2]>, u64) {
    let (mut windows, mut late, mut watermark) = (BTreeMap::<i64, [Vec<Row>; 2]>::new(), 0, i64::MIN);
    for event in events {
        match event {
            Event::Rows(input, rows) => {
                for row in rows {
                    if row.2 - 1 <= watermark {
                        late += 1;
                    } else {
                        windows.entry(row.2).or_default()[input % inputs].push(*row);
                    }
                }
            }
            Event::Watermark(to) => watermark = watermark.max(*to),
            Event::Restart(_) => {}
        }
    }
    (windows, late)
}

/// left.v < right.v
fn condition() -> Expr {
    let column = |index, name: &str| Expr::column(index, name, DataType::bigint());
    let function = lookup("<").unwrap();
    let args = vec![column(1, "v"), column(5, "v")];
    Expr::new(ExprKind::Call { function, args }, TypeKind::Boolean.into(), Span::default())
}

fn join(kind: JoinKind, with_condition: bool) -> Job {
    let node = WindowJoin {
        left_windows: attached(),
        right_windows: attached(),
        keys: vec![(0, 0)],
        condition: with_condition.then(condition),
        kind,
    };
    Job {
        node: OperatorNode::WindowJoin(node),
        inputs: vec![schema(), schema()],
        keys: vec![vec![0], vec![0]],
        two_phase: false,
        time_zone: chrono_tz::Tz::UTC,
        lookup: None,
    }
}

fn joined(kind: JoinKind, with_condition: bool, [left, right]: &[Vec<Row>; 2]) -> Vec<String> {
    let is_pair = |a: &Row, b: &Row| a.0.is_some() && a.0 == b.0 && (!with_condition || a.1 < b.1);
    let line = |row: &Row| text(&batch(&[*row])).remove(0);
    let nulls = "NULL NULL NULL NULL";
    let pairs = left.iter().flat_map(|a| right.iter().filter(move |b| is_pair(a, b)).map(move |b| (a, b)));
    let pairs = pairs.map(|(a, b)| format!("{} {}", line(a), line(b)));
    let has_right = |a: &&Row| right.iter().any(|b| is_pair(a, b));
    let has_left = |b: &&Row| left.iter().any(|a| is_pair(a, b));
    let left_alone = left.iter().filter(|a| !has_right(a)).map(|a| format!("{} {nulls}", line(a)));
    let right_alone = right.iter().filter(|b| !has_left(b)).map(|b| format!("{nulls} {}", line(b)));
    match kind {
        JoinKind::Inner => pairs.collect(),
        JoinKind::Left => pairs.chain(left_alone).collect(),
        JoinKind::Right => pairs.chain(right_alone).collect(),
        JoinKind::Full => pairs.chain(left_alone).chain(right_alone).collect(),
        JoinKind::Semi => left.iter().filter(has_right).map(line).collect(),
        JoinKind::Anti => left.iter().filter(|a| !has_right(a)).map(line).collect(),
    }
}

fn kinds() -> impl Strategy<Value = JoinKind> {
    use JoinKind::{Anti, Full, Inner, Left, Right, Semi};
    prop::sample::select(vec![Inner, Left, Right, Full, Semi, Anti])
}

/// The best rows of each key of a window, by value, larger first; with ranks.
fn ranked(rows: &[Row], (first, last): (u64, u64)) -> Vec<String> {
    let mut groups: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.0).or_default().push(*row));
    let mut lines = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by(|a, b| b.1.cmp(&a.1).then(Ordering::Equal));
        let ranks = group.iter().zip(1_u64..).filter(|(_, rank)| (first..=last).contains(rank));
        lines.extend(ranks.map(|(row, rank)| format!("{} {rank}", text(&batch(&[*row]))[0])));
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 1000 }))]

    #[test]
    fn rows_of_one_window_are_joined(kind in kinds(), with_condition: bool, events in events(), shards in 1..4_usize) {
        let outcome = join(kind, with_condition).run(shards, &steps(&events, 2));
        let (windows, late) = by_window(&events, 2);
        let mut rows: Vec<String> = windows.values().flat_map(|sides| joined(kind, with_condition, sides)).collect();
        rows.sort();
        prop_assert_eq!((outcome.rows, outcome.late), (rows, late));
    }

    #[test]
    fn the_best_rows_of_each_window_come_out(first in 1..3_u64, more in 0..3_u64, events in events(), shards in 1..4_usize) {
        let ranks = (first, first + more);
        let node = WindowRank {
            windows: attached(),
            keys: vec![0],
            order_by: vec![(1, true, false)],
            ranks,
            with_rank: true,
        };
        let job = Job { node: OperatorNode::WindowRank(node), inputs: vec![schema()], ..join(JoinKind::Inner, false) };
        let outcome = job.run(shards, &steps(&events, 1));
        let (windows, late) = by_window(&events, 1);
        let mut rows: Vec<String> = windows.values().flat_map(|[rows, _]| ranked(rows, ranks)).collect();
        rows.sort();
        prop_assert_eq!((outcome.rows, outcome.late), (rows, late));
    }
}

#[test]
fn a_snapshot_of_a_join_holds_new_rows_only() {
    let rows = |count| Step::Rows(0, batch(&vec![(Some(1), 1, SIZE); count]));
    let outcome =
        join(JoinKind::Anti, false).run(2, &[rows(100), Step::Restart(2), rows(2), Step::Restart(3)]);
    assert_eq!(outcome.written, [100, 2]);
}
