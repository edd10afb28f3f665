//! Groups against a model that keeps every row; the clock's groups; what changes are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::record_batch::RecordBatch;
use flott_expr::lookup_aggregate;
use flott_plan::{Call, GroupAggregate, OperatorNode};
use flott_types::{DataType, Field, Schema};
use proptest::prelude::*;

use crate::conformance::{Job, Step};

/// Key, value, filter.
type Row = (Option<i64>, i64, bool);

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        Field::new("f", DataType::boolean()),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn call(name: &str, args: &[usize], distinct: bool, filter: Option<usize>) -> Call {
    Call {
        function: lookup_aggregate(name).unwrap(),
        args: args.to_vec(),
        arg_types: args.iter().map(|_| DataType::bigint()).collect(),
        distinct,
        filter,
        data_type: DataType::bigint(),
    }
}

fn job(retracts: bool, two_phase: bool) -> Job {
    let calls = vec![
        call("COUNT", &[], false, None),
        call("SUM", &[1], false, None),
        call("MIN", &[1], false, Some(2)),
        call("COUNT", &[1], true, None),
        call("COUNT", &[1], true, Some(2)),
        call("SUM", &[1], true, None),
    ];
    let node = GroupAggregate { keys: vec![0], calls, retracts, with_before: true, ttl_millis: None };
    let (inputs, keys) = (vec![schema()], vec![vec![0]]);
    Job {
        node: OperatorNode::GroupAggregate(node),
        inputs,
        keys,
        two_phase,
        time_zone: chrono_tz::UTC,
        lookup: None,
    }
}

#[derive(Debug, Clone)]
enum Event {
    Add(Vec<Row>),
    /// Takes back some of the rows that are there.
    Take(Vec<prop::sample::Index>),
    Flush,
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (prop::option::weighted(0.9, 0..4_i64), 0..5_i64, any::<bool>());
    let event = prop_oneof![
        5 => prop::collection::vec(row, 1..9).prop_map(Event::Add),
        3 => prop::collection::vec(any::<prop::sample::Index>(), 1..6).prop_map(Event::Take),
        2 => Just(Event::Flush),
        1 => (1..4_usize).prop_map(Event::Restart),
    ];
    prop::collection::vec(event, 1..24)
}

/// The steps, and the rows that are there in the end.
fn steps(events: &[Event], retracts: bool) -> (Vec<Step>, Vec<Row>) {
    let (mut steps, mut there) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Add(rows) => {
                there.extend(rows.iter().copied());
                steps.push(Step::Rows(0, batch(rows)));
            }
            Event::Take(which) if retracts => {
                let mut taken = Vec::new();
                for index in which {
                    if !there.is_empty() {
                        taken.push(there.remove(index.index(there.len())));
                    }
                }
                steps.push(Step::Changes(0, batch(&taken), vec![3; taken.len()].into()));
            }
            Event::Take(_) => {}
            Event::Flush => steps.push(Step::Flush),
            Event::Restart(shards) => steps.extend([Step::Flush, Step::Restart(*shards)]),
        }
    }
    steps.push(Step::Flush);
    (steps, there)
}

fn model(rows: &[Row]) -> Vec<String> {
    let mut groups: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(row.0).or_default().push(*row));
    let text = |value: Option<i64>| value.map_or("NULL".to_string(), |it| it.to_string());
    let lines = groups.into_iter().map(|(k, rows)| {
        let values: BTreeSet<i64> = rows.iter().map(|row| row.1).collect();
        let passed: BTreeSet<i64> = rows.iter().filter(|row| row.2).map(|row| row.1).collect();
        let sum: i64 = rows.iter().map(|row| row.1).sum();
        let least = passed.first().copied();
        let (n, total) = (rows.len(), values.iter().sum::<i64>());
        format!("{} {n} {sum} {} {} {} {total}", text(k), text(least), values.len(), passed.len())
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn groups_are_those_of_the_rows_that_are_there(events in events()) {
        for retracts in [false, true] {
            let (steps, there) = steps(&events, retracts);
            let outcome = job(retracts, false).run(2, &steps);
            prop_assert_eq!(outcome.table(), model(&there));
            prop_assert_eq!(outcome.unmatched, 0);
        }
    }

    #[test]
    fn two_phases_say_the_same(events in events()) {
        let (steps, there) = steps(&events, false);
        prop_assert_eq!(job(false, true).run(2, &steps).table(), model(&there));
    }
}

#[test]
fn a_flush_tells_what_became_of_each_group_once() {
    let steps = [
        Step::Rows(0, batch(&[(Some(1), 5, true), (Some(1), 6, true), (Some(2), 1, false)])),
        Step::Flush,
        // Group 1 is what it was in the end, group 2 goes, group 3 comes and goes.
        Step::Rows(0, batch(&[(Some(1), 7, true), (Some(3), 1, true)])),
        Step::Changes(
            0,
            batch(&[(Some(1), 7, true), (Some(2), 1, false), (Some(3), 1, true)]),
            vec![3, 3, 3].into(),
        ),
        Step::Flush,
        Step::Changes(0, batch(&[(Some(1), 6, true), (Some(1), 4, true)]), vec![1, 2].into()),
        Step::Flush,
    ];
    let outcome = job(true, false).run(1, &steps);
    assert_eq!(outcome.rows, ["1 2 11 5 2 2 11", "2 1 1 NULL 1 0 1"]);
    let changes = [(3, "2 1 1 NULL 1 0 1"), (1, "1 2 11 5 2 2 11"), (2, "1 2 9 4 2 2 9")];
    assert_eq!(outcome.changes, changes.map(|(kind, row)| (kind, row.to_string())));
}

#[test]
fn a_retraction_of_a_row_never_seen_is_counted_and_has_no_effect() {
    let steps = [
        Step::Changes(0, batch(&[(Some(1), 5, true)]), vec![3].into()),
        Step::Rows(0, batch(&[(Some(1), 6, true)])),
        Step::Changes(0, batch(&[(Some(1), 6, true), (Some(1), 6, true)]), vec![3, 3].into()),
        Step::Flush,
    ];
    let outcome = job(true, false).run(1, &steps);
    assert_eq!(outcome.rows, [""; 0]);
    assert_eq!(outcome.unmatched, 2);
}

#[test]
fn a_group_that_nothing_touches_for_the_time_to_live_begins_anew() {
    let OperatorNode::GroupAggregate(mut node) = job(false, false).node else { unreachable!() };
    node.ttl_millis = Some(1_600);
    let job = Job { node: OperatorNode::GroupAggregate(node), ..job(false, false) };
    let add = |key| Step::Rows(0, batch(&[(Some(key), 1, true)]));
    let steps = [
        Step::Clock(1_000),
        add(1),
        add(2),
        Step::Flush,
        Step::Clock(2_000),
        add(2),
        Step::Clock(3_000),
        add(1),
    ];
    let outcome = job.run(1, &steps.into_iter().chain([add(2), Step::Flush]).collect::<Vec<_>>());
    assert!(outcome.rows.contains(&"1 1 1 1 1 1 1".to_string()), "{:?}", outcome.rows);
    assert!(outcome.changes.contains(&(2, "2 3 3 1 1 1 1".to_string())), "{:?}", outcome.changes);
}
