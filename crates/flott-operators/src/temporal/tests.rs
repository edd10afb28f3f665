//! Temporal joins against a model that looks at one row after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, TimestampMillisecondArray};
use flott_expr::{Expr, ExprKind, lookup};
use flott_plan::OperatorNode;
use flott_types::{DataType, Field, Span, TypeKind};
use proptest::prelude::*;

use super::*;
use crate::conformance::{Job, Outcome, Step};

/// Key, value, time, kind.
type Row = (Option<i64>, i64, i64, i8);

fn schema() -> Schema {
    let time = Field::new("t", TypeKind::Timestamp(3).into());
    Schema::new(vec![Field::new("k", DataType::bigint()), Field::new("v", DataType::bigint()), time])
}

fn columns(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
        // A time below zero is none.
        Arc::new(rows.iter().map(|row| (row.2 >= 0).then_some(row.2)).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn changes(input: usize, rows: &[Row]) -> Step {
    match rows.iter().any(|row| row.3 != 0) {
        true => Step::Changes(input, columns(rows), rows.iter().map(|row| Some(row.3)).collect()),
        false => Step::Rows(input, columns(rows)),
    }
}

/// left.v <= right.v
fn condition() -> Expr {
    let column = |index, name: &str| Expr::column(index, name, DataType::bigint());
    let args = vec![column(1, "v"), column(4, "v")];
    let function = lookup("<=").unwrap();
    Expr::new(ExprKind::Call { function, args }, TypeKind::Boolean.into(), Span::default())
}

fn job(kind: JoinKind, with_condition: bool, ttl_millis: [Option<i64>; 2]) -> Job {
    let node = TemporalJoin {
        keys: vec![(0, 0)],
        left_time: 2,
        right_time: 2,
        valid: None,
        condition: with_condition.then(condition),
        kind,
        left_changes: false,
        ttl_millis,
    };
    Job {
        node: OperatorNode::TemporalJoin(node),
        inputs: vec![schema(), schema()],
        keys: vec![vec![0], vec![0]],
        two_phase: false,
        time_zone: chrono_tz::UTC,
        lookup: None,
    }
}

#[derive(Debug, Clone)]
enum Event {
    Rows(usize, Vec<Row>),
    Watermark(i64),
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = |at: usize| {
        let now = at as i64;
        let key = prop::option::weighted(0.9, 0..3_i64);
        let right = prop_oneof![4 => Just(0_i8), 2 => Just(2), 1 => Just(3)];
        let left = prop_oneof![6 => Just(0_i8), 1 => Just(3)];
        // Some rows are late, some have no time.
        let time = (now - 4).max(-1)..now + 5;
        prop_oneof![
            4 => prop::collection::vec((key.clone(), 0..5_i64, time.clone(), left), 1..6)
                .prop_map(|rows| Event::Rows(0, rows)),
            4 => prop::collection::vec((key, 0..5_i64, time, right), 1..6).prop_map(|rows| Event::Rows(1, rows)),
            3 => (now - 2..now + 4).prop_map(Event::Watermark),
            1 => (1..4_usize).prop_map(Event::Restart),
        ]
    };
    (3..30_usize).prop_flat_map(move |length| (0..length).map(event).collect::<Vec<_>>()).prop_map(
        |mut events| {
            events.push(Event::Watermark(i64::MAX));
            events
        },
    )
}

/// What comes out, and how many rows have no time.
fn model(events: &[Event], outer: bool, with_condition: bool) -> (Vec<String>, u64) {
    let mut waiting: Vec<Row> = Vec::new();
    let mut versions: BTreeMap<i64, BTreeMap<i64, Option<i64>>> = BTreeMap::new();
    let (mut out, mut untimed, mut watermark) = (Vec::new(), 0, i64::MIN);
    for event in events {
        match event {
            Event::Rows(input, rows) => {
                untimed += rows.iter().filter(|row| row.2 < 0).count() as u64;
                let timed = rows.iter().filter(|row| row.2 >= 0);
                if *input == 0 {
                    waiting.extend(timed);
                } else {
                    for (key, value, time, kind) in timed {
                        let Some(key) = key else { continue };
                        versions.entry(*key).or_default().insert(*time, (*kind != 3).then_some(*value));
                    }
                }
            }
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                let (due, rest) = waiting.into_iter().partition(|row: &Row| row.2 <= watermark);
                waiting = rest;
                for (key, value, time, kind) in Vec::from_iter::<Vec<Row>>(due) {
                    let of_key = key.and_then(|key| versions.get(&key));
                    let version = of_key.and_then(|it| it.range(..=time).next_back());
                    let found = version.and_then(|(from, other)| Some((*from, (*other)?)));
                    let found = found.filter(|(_, other)| !with_condition || value <= *other);
                    out.push((key, value, time, kind, found));
                }
                for of_key in versions.values_mut() {
                    let Some((current, value)) = of_key.range(..=watermark).next_back() else { continue };
                    let (current, gone) = (*current, value.is_none());
                    *of_key = of_key.split_off(&current);
                    if gone {
                        of_key.remove(&current);
                    }
                }
            }
            Event::Watermark(_) | Event::Restart(_) => {}
        }
    }
    let time = |millis: i64| {
        format!("1970-01-01T00:00:00{}", if millis == 0 { String::new() } else { format!(".{millis:03}") })
    };
    let key = |key: Option<i64>| key.map_or("NULL".to_string(), |key| key.to_string());
    let lines = out.into_iter().filter(|row| outer || row.4.is_some()).map(|(k, v, t, kind, found)| {
        let right = match found {
            Some((from, other)) => format!("{} {other} {}", key(k), time(from)),
            None => "NULL NULL NULL".to_string(),
        };
        (kind, format!("{} {v} {} {right}", key(k), time(t)))
    });
    let mut lines: Vec<String> = lines.map(|(kind, line)| format!("{kind} {line}")).collect();
    lines.sort();
    (lines, untimed)
}

/// Kind and row; rows that say nothing are new.
fn all(outcome: Outcome) -> Vec<String> {
    let new = outcome.rows.into_iter().map(|row| format!("0 {row}"));
    let changes = outcome.changes.into_iter().map(|(kind, row)| format!("{kind} {row}"));
    let mut rows: Vec<String> = new.chain(changes).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn rows_meet_the_version_of_their_time(events in events(), outer: bool, with_condition: bool, shards in 1..4_usize) {
        let steps: Vec<Step> = events.iter().map(|event| match event {
            Event::Rows(input, rows) => changes(*input, rows),
            Event::Watermark(to) => Step::Watermark(*to),
            Event::Restart(shards) => Step::Restart(*shards),
        }).collect();
        let kind = if outer { JoinKind::Left } else { JoinKind::Inner };
        let outcome = job(kind, with_condition, [None; 2]).run(shards, &steps);
        let (rows, untimed) = model(&events, outer, with_condition);
        prop_assert_eq!(outcome.rejected, untimed);
        prop_assert_eq!(all(outcome), rows);
    }
}

fn run(ttl_millis: [Option<i64>; 2], steps: &[Step]) -> Vec<String> {
    job(JoinKind::Left, false, ttl_millis).run(1, steps).rows
}

const END: Step = Step::Watermark(i64::MAX);

#[test]
fn what_a_row_was_before_a_change_says_nothing_unless_it_stays_away() {
    let left = |time| changes(0, &[(Some(1), time, time, 0)]);
    let changed = changes(1, &[(Some(1), 7, 1, 0), (Some(1), 7, 1, 1), (Some(1), 8, 5, 2)]);
    let rows = run([None; 2], &[changed, left(3), left(6), END]);
    assert!(rows[0].contains(" 1 7 ") && rows[1].contains(" 1 8 "), "{rows:?}");
    // As Flink: the version is gone from its own time on.
    let rows = run([None; 2], &[changes(1, &[(Some(1), 7, 1, 0), (Some(1), 7, 1, 1)]), left(3), END]);
    assert!(rows[0].ends_with("NULL NULL NULL"), "{rows:?}");
}

/// A barrier may come between the two halves of an update.
#[test]
fn an_update_holds_together_across_a_restart() {
    let left = |time| changes(0, &[(Some(1), time, time, 0)]);
    let (before, after) =
        (changes(1, &[(Some(1), 7, 1, 0), (Some(1), 7, 1, 1)]), changes(1, &[(Some(1), 8, 5, 2)]));
    let rows = run([None; 2], &[before, Step::Restart(2), after, left(3), left(6), END]);
    assert!(rows[0].contains(" 1 7 ") && rows[1].contains(" 1 8 "), "{rows:?}");
}

#[test]
fn a_deletion_ends_a_key_until_its_next_row() {
    let right = [(Some(1), 7, 1, 0), (Some(1), 7, 4, 3), (Some(1), 9, 6, 0)];
    let left: Vec<Row> = [1, 3, 4, 5, 6].map(|time| (Some(1), time, time, 0)).to_vec();
    let rows = run([None; 2], &[changes(0, &left), changes(1, &right), END]);
    let found: Vec<bool> = rows.iter().map(|row| !row.ends_with("NULL NULL NULL")).collect();
    assert_eq!(found, [true, true, false, false, true], "{rows:?}");
}

#[test]
fn idle_keys_and_rows_are_forgotten_after_their_time_to_live() {
    let version = || changes(1, &[(Some(1), 7, 0, 0)]);
    let left = |time| changes(0, &[(Some(1), time, time, 0)]);
    let ttl = [None, Some(1600)];
    // Rows of the left keep a version alive.
    let steps = [version(), Step::Clock(1000), left(1), Step::Clock(2000), Step::Restart(2), left(2), END];
    assert!(run(ttl, &steps).iter().all(|row| !row.ends_with("NULL")));
    let steps = [version(), Step::Clock(1000), Step::Restart(2), Step::Clock(2000), left(2), END];
    assert!(run(ttl, &steps)[0].ends_with("NULL"));
    let steps = [left(1), Step::Clock(1000), Step::Clock(2000), left(2), END];
    assert_eq!(run([Some(1600), None], &steps).len(), 1);
}

#[test]
fn ended_versions_are_dropped() {
    let rows: Vec<Row> = (0..100).map(|time| (Some(1), time, time, 0)).collect();
    let steps =
        [changes(1, &rows), Step::Watermark(98), Step::Restart(1), changes(0, &[(Some(1), 0, 98, 0)]), END];
    let outcome = job(JoinKind::Inner, false, [None; 2]).run(1, &steps);
    // The one that is valid at the watermark, and a later one.
    assert_eq!((outcome.rows.len(), outcome.written), (1, vec![2]));
}
