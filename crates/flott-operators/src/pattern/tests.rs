//! Patterns: stopped at any barrier and taken up again, the same matches.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use flott_expr::{Expr, lookup};
use flott_plan::{AfterMatch, MatchCondition, MatchTerm, Navigation, OperatorNode, PatternMatch};
use flott_types::{DataType, Field, Schema, Span, TypeKind};

use super::heap;
use crate::conformance::{Job, Outcome, Step};

/// k STRING, ts TIMESTAMP(3), x BIGINT, begins BOOLEAN
fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::string()),
        Field::new("ts", DataType::new(TypeKind::Timestamp(3))),
        Field::new("x", DataType::bigint()),
        Field::new("begins", DataType::boolean()),
    ])
}

fn rows(rows: &[(&str, i64, i64)]) -> Step {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(rows.iter().map(|row| Some(row.2 < 5)).collect::<BooleanArray>()),
    ];
    Step::Rows(0, RecordBatch::try_new(schema().arrow_schema(), columns).unwrap())
}

fn last(term: usize, offset: u64) -> Navigation {
    Navigation::Row { term: Some(term), first: false, offset, column: 2 }
}

/// `S B+ C`: S begins below 5, the Bs rise, C falls.
fn pattern(within_millis: Option<i64>, skip: AfterMatch) -> Job {
    let compare = |sign: &str, values: Vec<Navigation>| {
        let args = [0, 1].map(|at| Expr::column(at, "v", DataType::bigint())).to_vec();
        let expr = lookup(sign).unwrap().call(args, Span::default()).unwrap();
        Some(MatchCondition { expr, values })
    };
    let any = |offset| Navigation::Row { term: None, first: false, offset, column: 2 };
    let term = |name: &str, max, row, condition| MatchTerm {
        name: name.to_string(),
        min: 1,
        max,
        greedy: max.is_none(),
        row,
        condition,
    };
    let terms = vec![
        term("S", Some(1), Some(3), None),
        term("B", None, None, compare(">", vec![last(1, 0), any(1)])),
        term("C", Some(1), None, compare("<", vec![last(2, 0), last(1, 0)])),
    ];
    let outputs = vec![
        last(0, 0),
        Navigation::Row { term: Some(1), first: true, offset: 0, column: 2 },
        last(1, 0),
        last(2, 0),
    ];
    let node = PatternMatch {
        keys: vec![0],
        time_column: Some(1),
        order_by: vec![(2, false, true)],
        terms,
        within_millis,
        skip,
        outputs,
    };
    Job {
        node: OperatorNode::PatternMatch(node),
        inputs: vec![schema()],
        keys: vec![vec![0]],
        two_phase: false,
        time_zone: chrono_tz::UTC,
        lookup: None,
    }
}

/// Several keys, out of order, with a barrier in the middle of matches.
fn steps(restart: &[usize]) -> Vec<Step> {
    let mut steps = vec![
        rows(&[("a", 1_000, 1), ("b", 3_000, 2), ("a", 3_000, 7), ("b", 2_000, 1), ("c", 9_000, 4)]),
        Step::Watermark(2_500),
        rows(&[("a", 4_000, 9), ("b", 4_000, 6), ("a", 5_000, 3), ("a", 2_000, 8)]),
        Step::Watermark(4_500),
        rows(&[("b", 6_000, 0), ("a", 6_000, 4), ("a", 7_000, 6), ("a", 8_000, 2), ("c", 10_000, 5)]),
        Step::Watermark(9_500),
        rows(&[("c", 11_000, 9), ("c", 12_000, 1), ("a", 9_600, 3), ("a", 9_600, 2)]),
        Step::Watermark(i64::MAX),
    ];
    for (nth, at) in restart.iter().enumerate() {
        steps.insert((at + nth).min(steps.len()), Step::Restart(1 + nth % 3));
    }
    steps
}

fn run(job: &Job, restart: &[usize]) -> Outcome {
    Outcome { written: Vec::new(), ..job.run(2, &steps(restart)) }
}

#[test]
fn rows_are_taken_in_order_of_time_and_late_ones_are_not() {
    let outcome = run(&pattern(None, AfterMatch::PastLastRow), &[]);
    assert_eq!(outcome.rows, ["a 1 7 9 3", "a 4 6 6 2", "b 1 2 6 0", "c 4 5 9 1"]);
    assert_eq!(outcome.late, 1);
}

#[test]
fn a_pattern_goes_on_after_any_barrier() {
    for skip in [AfterMatch::PastLastRow, AfterMatch::ToNextRow, AfterMatch::ToLast(1)] {
        for within in [None, Some(3_500)] {
            let job = pattern(within, skip);
            let whole = run(&job, &[]);
            for at in 1..8 {
                assert_eq!(run(&job, &[at]), whole, "{skip:?} {within:?} {at}");
                assert_eq!(run(&job, &[at, at + 1, 7]), whole, "{skip:?} {within:?} {at} twice");
            }
        }
    }
}

#[test]
fn what_takes_too_long_is_given_up() {
    let outcome = run(&pattern(Some(3_500), AfterMatch::PastLastRow), &[]);
    assert_eq!(outcome.rows, ["a 3 4 6 2", "b 2 6 6 0", "c 4 5 9 1"]);
}

#[test]
fn state_goes_with_what_took_too_long() {
    let mut steps = steps(&[]);
    steps.push(Step::Restart(1));
    let outcome = pattern(Some(3_500), AfterMatch::PastLastRow).run(1, &steps);
    assert_eq!(outcome.written.last(), Some(&0), "{:?}", outcome.written);
}

#[test]
fn the_heap_gives_the_least_first() {
    let mut all = Vec::new();
    for item in [5, 3, 8, 3, 1, 9, 2] {
        heap::push(&mut all, item, |it| *it);
    }
    heap::retain(&mut all, |it| *it != 8, |it| *it);
    let sorted: Vec<i64> = std::iter::from_fn(|| heap::pop(&mut all, |it| *it)).collect();
    assert_eq!(sorted, [1, 2, 3, 3, 5, 9]);
}
