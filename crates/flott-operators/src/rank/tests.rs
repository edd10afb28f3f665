//! Top-N, deduplication, normalising, materialising and sorting against models that know all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use flott_plan::{Materialize, Normalize, OnConflict, OperatorNode, Sort, StatefulNode, TopN};
use flott_types::{DataType, Field, Schema, TimeAttribute, TypeKind};
use proptest::prelude::*;

use crate::conformance::{Job, Outcome, Step, text};

/// key, value, time, word
type Row = (Option<i64>, Option<i64>, i64, u8);

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        Field::new("t", TypeKind::Timestamp(3).into()).with_time(Some(TimeAttribute::Rowtime)),
        Field::new("s", DataType::string()),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let words = ["a", "", "a word that is longer than twenty-two bytes", "b"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| Some(words[row.3 as usize % 4])).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn job(node: OperatorNode) -> Job {
    let keys = vec![node.keys(0)];
    Job { node, inputs: vec![schema()], keys, two_phase: false, time_zone: chrono_tz::Tz::UTC, lookup: None }
}

#[derive(Debug, Clone)]
enum Event {
    /// Rows; whether each is taken back again by what the model has.
    Rows(Vec<Row>),
    /// Takes some of the rows back that are there, by position.
    Back(Vec<usize>),
    Flush,
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row =
        (prop::option::weighted(0.9, 0..4_i64), prop::option::weighted(0.9, 0..6_i64), 0..30_i64, 0..4_u8);
    let event = prop_oneof![
        6 => prop::collection::vec(row, 1..12).prop_map(Event::Rows),
        3 => prop::collection::vec(0..40_usize, 1..6).prop_map(Event::Back),
        2 => Just(Event::Flush),
        1 => (1..4_usize).prop_map(Event::Restart),
    ];
    prop::collection::vec(event, 1..16)
}

/// The steps, and the rows that are there in the end, in the order they came. `changes`: rows are taken back.
fn steps(events: &[Event], changes: bool) -> (Vec<Step>, Vec<Row>) {
    let (mut steps, mut there) = (Vec::new(), Vec::<Row>::new());
    for event in events {
        match event {
            Event::Rows(rows) => {
                there.extend(rows);
                steps.push(Step::Rows(0, batch(rows)));
            }
            Event::Back(positions) if changes => {
                let mut gone = Vec::new();
                for at in positions {
                    if *at < there.len() {
                        let row = there[*at];
                        // Of equal rows the first one goes.
                        let first = there.iter().position(|it| *it == row).unwrap();
                        gone.push(there.remove(first));
                    }
                }
                let kinds = Int8Array::from(vec![3; gone.len()]);
                steps.push(Step::Changes(0, batch(&gone), kinds));
            }
            Event::Back(_) => {}
            Event::Flush => steps.push(Step::Flush),
            Event::Restart(shards) => steps.push(Step::Restart(*shards)),
        }
    }
    steps.push(Step::Flush);
    (steps, there)
}

fn groups(rows: &[Row]) -> BTreeMap<Option<i64>, Vec<Row>> {
    let mut groups: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.0).or_default().push(*row));
    groups
}

fn line(row: &Row) -> String {
    text(&batch(&[*row])).remove(0)
}

/// The first rows of each group, with their ranks where those are wanted.
fn ranked(node: &TopN, rows: &[Row]) -> Vec<String> {
    let mut out = Vec::new();
    for mut group in groups(rows).into_values() {
        group.sort_by(|a, b| {
            let by_value = || b.1.is_none().cmp(&a.1.is_none()).then(a.1.cmp(&b.1)).reverse();
            let word = |row: &Row| line(row).split(' ').skip(3).collect::<Vec<_>>().join(" ");
            match node.order_by.as_slice() {
                [(1, ..)] => by_value(),
                _ => word(a).cmp(&word(b)).then_with(by_value),
            }
        });
        for (at, row) in group.iter().enumerate() {
            let rank = at as u64 + 1;
            if (node.ranks.0..=node.ranks.1).contains(&rank) {
                out.push(if node.with_rank { format!("{} {rank}", line(row)) } else { line(row) });
            }
        }
    }
    out.sort();
    out
}

fn nodes() -> impl Strategy<Value = TopN> {
    // v DESC, NULLs last; or s, v DESC.
    let value = (1, true, false);
    let order = prop_oneof![Just(vec![value]), Just(vec![(3, false, true), value])];
    let ranks = prop_oneof![Just((1, 1)), Just((1, 3)), Just((2, 4))];
    (order, ranks, any::<bool>()).prop_map(|(order_by, ranks, with_rank)| TopN {
        keys: vec![0],
        order_by,
        ranks,
        with_rank: with_rank && ranks != (1, 1),
        tells_rank: with_rank && ranks != (1, 1),
        ..TopN::default()
    })
}

fn sorted(mut outcome: Outcome) -> Outcome {
    outcome.rows.sort();
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 1500 }))]

    #[test]
    fn the_best_rows_of_each_key(mut node in nodes(), events in events(), shards in 1..4_usize) {
        node.changelog(&[flott_plan::ChangelogMode::APPEND], true).unwrap();
        let (steps, there) = steps(&events, false);
        let outcome = job(OperatorNode::TopN(node.clone())).run(shards, &steps);
        prop_assert_eq!(outcome.table(), ranked(&node, &there));
    }

    #[test]
    fn the_best_of_rows_that_change(mut node in nodes(), events in events(), shards in 1..4_usize) {
        node.changelog(&[flott_plan::ChangelogMode::RETRACT], true).unwrap();
        let (steps, there) = steps(&events, true);
        let outcome = job(OperatorNode::TopN(node.clone())).run(shards, &steps);
        prop_assert_eq!(outcome.unmatched, 0);
        // Which of several rows of the same order is taken back, or is among the first, is nobody's to say:
        // they are told apart by what they don't have in common.
        let by_value_only = node.order_by.len() == 1;
        let told = |lines: &[String]| {
            let mut told: Vec<String> = lines
                .iter()
                .map(|line| {
                    let columns = line.split(' ').enumerate();
                    let known = columns.filter(|(at, _)| *at < 2 || (*at > 2 && !by_value_only));
                    known.map(|it| it.1).collect::<Vec<_>>().join(" ")
                })
                .collect();
            told.sort();
            told
        };
        prop_assert_eq!(told(&outcome.table()), told(&ranked(&node, &there)));
    }

    #[test]
    fn the_last_and_the_first_row_of_each_key(last: bool, before: bool, events in events(), shards in 1..4_usize) {
        let mut node = TopN { keys: vec![0], order_by: vec![(2, last, !last)], ranks: (1, 1), ..TopN::default() };
        node.time = Some(TimeAttribute::Rowtime);
        node.changelog(&[flott_plan::ChangelogMode::APPEND], before).unwrap();
        let (mut steps, there) = steps(&events, false);
        steps.push(Step::Watermark(i64::MAX));
        let outcome = sorted(job(OperatorNode::TopN(node)).run(shards, &steps));
        let best = |group: Vec<Row>| match last {
            true => group.into_iter().reduce(|a, b| if b.2 >= a.2 { b } else { a }),
            false => group.into_iter().reduce(|a, b| if b.2 < a.2 { b } else { a }),
        };
        let mut wanted: Vec<String> = groups(&there).into_values().filter_map(best).map(|row| line(&row)).collect();
        wanted.sort();
        if before || !last {
            prop_assert_eq!(outcome.table(), wanted);
        } else {
            // Without what was before, a key's last change is its row.
            let mut rows = BTreeMap::new();
            for (kind, line) in &outcome.changes {
                let known = rows.insert(line.split(' ').next().unwrap().to_string(), line.clone()).is_some();
                prop_assert_eq!(*kind, if known { 2 } else { 0 });
            }
            let mut got: Vec<String> = rows.into_values().collect();
            got.sort();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn an_upsert_source_has_one_row_of_each_key(events in events(), shards in 1..4_usize) {
        let node = Normalize { keys: vec![0], with_before: true, ttl_millis: None };
        let (mut steps, mut rows, mut unmatched) = (Vec::new(), BTreeMap::new(), 0);
        for event in &events {
            match event {
                Event::Rows(some) => {
                    rows.extend(some.iter().map(|row| (row.0, line(row))));
                    steps.push(Step::Changes(0, batch(some), Int8Array::from(vec![2; some.len()])));
                }
                Event::Back(keys) => {
                    // Only the key of a deletion says anything.
                    let gone: Vec<Row> = keys.iter().map(|key| (Some(*key as i64 % 5), Some(99), 0, 1)).collect();
                    unmatched += gone.iter().filter(|row| rows.remove(&row.0).is_none()).count() as u64;
                    steps.push(Step::Changes(0, batch(&gone), Int8Array::from(vec![3; gone.len()])));
                }
                Event::Flush => steps.push(Step::Flush),
                Event::Restart(shards) => steps.push(Step::Restart(*shards)),
            }
        }
        steps.push(Step::Flush);
        let outcome = job(OperatorNode::Normalize(node)).run(shards, &steps);
        let mut wanted: Vec<String> = rows.into_values().collect();
        wanted.sort();
        prop_assert_eq!(outcome.table(), wanted);
        prop_assert_eq!(outcome.unmatched, unmatched);
    }

    #[test]
    fn a_sink_has_the_last_row_of_each_key(events in events(), shards in 1..4_usize) {
        let (keys, names) = (vec![0], vec!["k".to_string()]);
        let node = Materialize { keys, on_conflict: OnConflict::Deduplicate, names, ttl_millis: None };
        let (steps, there) = steps(&events, true);
        let outcome = job(OperatorNode::Materialize(node)).run(shards, &steps);
        let mut rows: BTreeMap<String, String> = BTreeMap::new();
        for (kind, line) in &outcome.changes {
            let key = line.split(' ').next().unwrap().to_string();
            match kind {
                0 => prop_assert!(rows.insert(key, line.clone()).is_none()),
                2 => prop_assert!(rows.insert(key, line.clone()).is_some_and(|old| old != *line)),
                _ => prop_assert_eq!(rows.remove(&key), Some(line.clone())),
            }
        }
        let last = |group: Vec<Row>| group.last().map(line);
        let mut wanted: Vec<String> = groups(&there).into_values().filter_map(last).collect();
        wanted.sort();
        let mut got: Vec<String> = rows.into_values().collect();
        got.sort();
        prop_assert_eq!(got, wanted);
    }
}

#[test]
fn rows_go_out_in_order_of_their_time() {
    let node = Sort {
        order_by: vec![(2, false, true), (1, true, false)],
        time: Some(TimeAttribute::Rowtime),
        skip: 0,
    };
    let row = |k, v, t| (Some(k), Some(v), t, 0_u8);
    let steps = [
        Step::Rows(0, batch(&[row(1, 1, 5), row(2, 2, 3), row(3, 9, 5)])),
        Step::Restart(2),
        Step::Watermark(4),
        Step::Rows(0, batch(&[row(4, 0, 4), row(5, 1, 5)])),
        Step::Restart(1),
        Step::Watermark(9),
    ];
    let outcome = job(OperatorNode::Sort(node)).run_in_order(1, &steps);
    assert_eq!(outcome.late, 1);
    let keys: Vec<&str> = outcome.rows.iter().map(|row| &row[..1]).collect();
    // By time; of the same time the highest value first.
    assert_eq!(keys, ["2", "3", "1", "5"]);
}

#[test]
fn of_several_rows_at_once_the_first_stays() {
    let node = |on_conflict| {
        let (keys, names) = (vec![0], vec!["k".to_string()]);
        job(OperatorNode::Materialize(Materialize { keys, on_conflict, names, ttl_millis: None }))
    };
    let row = |v| (Some(1), Some(v), 0, 0_u8);
    let steps = [
        Step::Rows(0, batch(&[row(1), row(2)])),
        Step::Restart(1),
        Step::Watermark(1),
        Step::Changes(0, batch(&[row(1), row(3)]), Int8Array::from(vec![1, 2])),
        Step::Watermark(2),
        Step::Rows(0, batch(&[row(4)])),
        Step::Watermark(3),
        Step::Changes(0, batch(&[row(3)]), Int8Array::from(vec![3])),
        Step::Watermark(4),
    ];
    let outcome = node(OnConflict::Nothing).run(1, &steps);
    let kinds: Vec<i8> = outcome.changes.iter().map(|it| it.0).collect();
    let values: Vec<&str> = outcome.changes.iter().map(|it| it.1.split(' ').nth(1).unwrap()).collect();
    assert_eq!((kinds, values), (vec![0, 2, 3], vec!["1", "3", "3"]));
}

#[test]
fn what_nobody_had_cannot_be_taken_back() {
    let mut node = TopN { keys: vec![0], order_by: vec![(1, false, true)], ranks: (1, 2), ..TopN::default() };
    node.changelog(&[flott_plan::ChangelogMode::RETRACT], true).unwrap();
    let row = |v| (Some(1), Some(v), 0, 0_u8);
    let steps =
        [Step::Changes(0, batch(&[row(1), row(2), row(1)]), Int8Array::from(vec![3, 0, 3])), Step::Flush];
    let outcome = job(OperatorNode::TopN(node)).run(1, &steps);
    assert_eq!(outcome.unmatched, 2);
    assert_eq!(outcome.table(), [line(&row(2))]);
}

#[test]
fn a_key_that_nothing_touches_is_forgotten() {
    let mut node = TopN { keys: vec![0], order_by: vec![(1, false, true)], ranks: (1, 2), ..TopN::default() };
    node.ttl_millis = Some(1600);
    node.changelog(&[flott_plan::ChangelogMode::APPEND], true).unwrap();
    let row = |v| Step::Rows(0, batch(&[(Some(1), Some(v), 0, 0_u8)]));
    let steps = [
        Step::Clock(0),
        row(5),
        row(6),
        Step::Flush,
        Step::Clock(1000),
        row(4),
        Step::Flush,
        Step::Clock(3000),
        row(9),
        Step::Flush,
    ];
    let outcome = job(OperatorNode::TopN(node)).run(1, &steps);
    let kinds: Vec<i8> = outcome.changes.iter().map(|it| it.0).collect();
    assert_eq!(kinds, [0, 0, 3, 0, 0], "{:?}", outcome.changes);
}

#[test]
fn a_limit_counts_across_a_restart() {
    let mut node = TopN { ranks: (2, 4), ..TopN::default() };
    node.changelog(&[flott_plan::ChangelogMode::APPEND], true).unwrap();
    let rows = |values: &[i64]| {
        let rows: Vec<Row> = values.iter().map(|v| (Some(1), Some(*v), 0, 0)).collect();
        Step::Rows(0, batch(&rows))
    };
    let steps = [rows(&[1, 2]), Step::Restart(2), rows(&[3, 4, 5]), Step::Restart(1), rows(&[6])];
    let outcome = job(OperatorNode::TopN(node)).run(1, &steps);
    let values: Vec<&str> = outcome.rows.iter().map(|row| row.split(' ').nth(1).unwrap()).collect();
    assert_eq!(values, ["2", "3", "4"]);
}
