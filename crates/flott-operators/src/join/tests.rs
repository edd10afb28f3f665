//! Joins against a model: all pairs of what is there in the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use flott_expr::{Expr, ExprKind, functions::lookup};
use flott_plan::{IntervalJoin, JoinOn, JoinTime, OperatorNode, RegularJoin};
use flott_sql::JoinKind;
use flott_types::{DataType, Field, RowKind, Schema, Span, TimeAttribute, TypeKind};

use crate::conformance::{Job, Outcome, Step};

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

/// Key, value, time.
type Row = (Option<i64>, i64, i64);

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        Field::new("ts", TypeKind::Timestamp(3).into()),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<(String, ArrayRef)> = vec![
        ("k".into(), Arc::new(rows.iter().map(|it| it.0).collect::<Int64Array>())),
        ("v".into(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|it| it.1)))),
        ("ts".into(), Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|it| it.2)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// `left.v > right.v`
fn condition() -> Expr {
    let column = |at: usize| Expr::column(at, "v", DataType::bigint());
    let function = lookup(">").unwrap();
    let args = vec![column(1), column(4)];
    Expr::new(ExprKind::Call { function, args }, DataType::boolean(), Span::default())
}

fn on(kind: JoinKind, with_condition: bool, null_safe: bool) -> JoinOn {
    JoinOn { kind, keys: vec![(0, 0)], null_safe: vec![null_safe], condition: with_condition.then(condition) }
}

fn regular(on: JoinOn, retracts: [bool; 2], ttl_millis: [Option<i64>; 2]) -> Job {
    job(OperatorNode::RegularJoin(RegularJoin { on, width: 3, retracts, with_before: true, ttl_millis }))
}

fn job(node: OperatorNode) -> Job {
    Job {
        node,
        inputs: vec![schema(), schema()],
        keys: vec![vec![0], vec![0]],
        two_phase: false,
        time_zone: chrono_tz::UTC,
        lookup: None,
    }
}

fn text(row: &Row) -> String {
    let key = row.0.map_or("NULL".to_string(), |key| key.to_string());
    let shown = crate::conformance::text(&batch(&[(None, 0, row.2)])).remove(0);
    let time = shown.rsplit(' ').next().unwrap().to_string();
    format!("{key} {} {time}", row.1)
}

/// What the join of these rows is.
fn model(on: &JoinOn, sides: &[Vec<Row>; 2], bounds: Option<(i64, i64)>) -> Vec<String> {
    let meet = |left: &Row, right: &Row| {
        let equal = left.0 == right.0 && (left.0.is_some() || on.null_safe[0]);
        let inside = bounds.is_none_or(|(low, high)| (low..=high).contains(&(left.2 - right.2)));
        equal && inside && (on.condition.is_none() || left.1 > right.1)
    };
    let mut out = Vec::new();
    let mut add = |line: String| out.push(line);
    const NONE: &str = "NULL NULL NULL";
    for left in &sides[0] {
        let partners: Vec<&Row> = sides[1].iter().filter(|right| meet(left, right)).collect();
        match on.kind {
            JoinKind::Semi if !partners.is_empty() => add(text(left)),
            JoinKind::Anti if partners.is_empty() => add(text(left)),
            JoinKind::Semi | JoinKind::Anti => {}
            kind => {
                partners.iter().for_each(|right| add(format!("{} {}", text(left), text(right))));
                if partners.is_empty() && matches!(kind, JoinKind::Left | JoinKind::Full) {
                    add(format!("{} {NONE}", text(left)));
                }
            }
        }
    }
    if matches!(on.kind, JoinKind::Right | JoinKind::Full) {
        for right in sides[1].iter().filter(|right| !sides[0].iter().any(|left| meet(left, right))) {
            add(format!("{NONE} {}", text(right)));
        }
    }
    out.sort();
    out
}

/// Rows that come and go on both sides, with barriers between; what is there in the end.
fn moves(random: &mut Random, retracts: [bool; 2], restarts: bool) -> (Vec<Step>, [Vec<Row>; 2]) {
    let (mut steps, mut sides): (Vec<Step>, [Vec<Row>; 2]) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..60 {
        match random.below(10) {
            0 => steps.push(Step::Flush),
            1 if restarts => steps.push(Step::Restart(1 + random.below(3) as usize)),
            _ => {
                let input = random.below(2) as usize;
                let (mut rows, mut kinds) = (Vec::new(), Vec::new());
                for _ in 0..1 + random.below(12) {
                    let side = &mut sides[input];
                    if retracts[input] && !side.is_empty() && random.below(2) == 0 {
                        rows.push(side.swap_remove(random.below(side.len() as u64) as usize));
                        kinds.push(if random.below(2) == 0 { 1 } else { 3 });
                        continue;
                    }
                    let key = (random.below(6) > 0).then(|| random.below(5) as i64);
                    let row = (key, random.below(6) as i64, random.below(3) as i64);
                    side.push(row);
                    rows.push(row);
                    kinds.push(if retracts[input] && random.below(2) == 0 { 2 } else { 0 });
                }
                steps.push(Step::Changes(input, batch(&rows), kinds.into()));
            }
        }
    }
    steps.push(Step::Flush);
    (steps, sides)
}

#[test]
fn a_regular_join_is_the_join_of_what_is_there() {
    let mut random = Random(7);
    for round in 0..20 {
        for kind in KINDS {
            let on = on(kind, round % 2 == 0, round % 3 == 0);
            let retracts = [round % 4 < 2, round % 5 < 3];
            let (steps, sides) = moves(&mut random, retracts, round % 7 > 0);
            let outcome = regular(on.clone(), retracts, [None; 2]).run(2, &steps);
            assert_eq!(outcome.table(), model(&on, &sides, None), "round {round} {kind:?} {steps:?}");
            assert_eq!(outcome.unmatched, 0);
        }
    }
}

/// Rows in order of time, up to 20 ms late, with watermarks that find none late.
fn times(random: &mut Random) -> (Vec<Step>, [Vec<Row>; 2]) {
    let (mut steps, mut sides): (Vec<Step>, [Vec<Row>; 2]) = (Vec::new(), [Vec::new(), Vec::new()]);
    for now in (0..60).map(|at| at * 1500) {
        for (input, side) in sides.iter_mut().enumerate() {
            let row = |random: &mut Random| {
                let key = (random.below(6) > 0).then(|| random.below(3) as i64);
                (key, random.below(6) as i64, now + random.below(3000) as i64)
            };
            let rows: Vec<Row> = (0..random.below(6)).map(|_| row(random)).collect();
            side.extend(&rows);
            steps.push(Step::Rows(input, batch(&rows)));
        }
        match random.below(6) {
            0 => steps.push(Step::Restart(1 + random.below(3) as usize)),
            1..4 => steps.push(Step::Watermark(now + 1499)),
            _ => {}
        }
    }
    steps.push(Step::Watermark(i64::MAX));
    (steps, sides)
}

#[test]
fn an_interval_join_is_the_join_of_what_is_near() {
    let mut random = Random(11);
    for round in 0..12 {
        let ranges = [(-3000, 0), (0, 0), (-500, 4000), (2000, 9000), (-60_000, -50)];
        let (low, high) = ranges[round % 5];
        let (low, high) = (Some(low).filter(|_| round % 6 > 0), Some(high).filter(|_| round % 8 > 0));
        for kind in KINDS {
            let (low, high) = match kind {
                JoinKind::Inner | JoinKind::Semi => (low, high),
                _ => (Some(ranges[round % 5].0), Some(ranges[round % 5].1)),
            };
            let on = on(kind, round % 2 == 0, round % 3 == 0);
            let time = JoinTime { column: 2, ahead_millis: 0 };
            let node = IntervalJoin {
                on: on.clone(),
                width: 3,
                times: [time; 2],
                lower_millis: low,
                upper_millis: high,
                drops: true,
                ttl_millis: [None; 2],
                time: TimeAttribute::Rowtime,
                retracts: [false; 2],
                with_before: true,
            };
            let (steps, sides) = times(&mut random);
            let outcome = job(OperatorNode::IntervalJoin(node)).run(2, &steps);
            let wanted = model(&on, &sides, Some((low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX))));
            assert_eq!(outcome.table(), wanted, "round {round} {kind:?}");
            assert!(outcome.changes.is_empty(), "only new rows");
        }
    }
}

/// The lines of one row after the other, as they come.
fn said(kind: JoinKind, steps: &[(usize, Row, i8)]) -> Vec<String> {
    let steps = steps.iter().flat_map(|(input, row, kind)| {
        [Step::Changes(*input, batch(&[*row]), vec![*kind].into()), Step::Flush]
    });
    let job = regular(on(kind, false, false), [true; 2], [None; 2]);
    let steps: Vec<Step> = steps.collect();
    let mut out: Vec<String> = Vec::new();
    for upto in 0..=steps.len() {
        // Lines are sorted: what is new in a longer run came last.
        let Outcome { rows, changes, .. } = job.run(1, &steps[..upto]);
        let mut before = out.clone();
        let change = |(kind, row): (i8, String)| match RowKind::of(kind) {
            Some(RowKind::Insert) | None => row,
            Some(kind) => format!("{} {row}", kind.short()),
        };
        let mut new: Vec<String> = rows.into_iter().chain(changes.into_iter().map(change)).collect();
        new.sort();
        new.retain(|line| match before.iter().position(|it| it == line) {
            Some(at) => {
                before.swap_remove(at);
                false
            }
            None => true,
        });
        out.extend(new);
    }
    let short = |line: String| line.replace(" 1970-01-01T00:00:00", "");
    out.into_iter().map(short).collect()
}

const L: Row = (Some(1), 10, 0);
const R: Row = (Some(1), 20, 0);
const S: Row = (Some(1), 30, 0);

/// As `StreamingJoinOperator` says it, row by row.
#[test]
fn changes_are_told_as_flink_tells_them() {
    let moves = [(0, L, 2), (1, R, 0), (1, S, 2), (1, R, 1), (1, S, 3), (0, L, 1)];
    let told = said(JoinKind::Left, &moves);
    let wanted = ["1 10 NULL NULL NULL", "-D 1 10 NULL NULL NULL", "1 10 1 20", "1 10 1 30"];
    assert_eq!(told[..4], wanted);
    assert_eq!(told[4..], ["-U 1 10 1 20", "-D 1 10 1 30", "1 10 NULL NULL NULL", "-D 1 10 NULL NULL NULL"]);
    let told = said(JoinKind::Inner, &moves);
    assert_eq!(told, ["1 10 1 20", "+U 1 10 1 30", "-U 1 10 1 20", "-D 1 10 1 30"]);
    assert_eq!(said(JoinKind::Semi, &moves), ["1 10", "-D 1 10"]);
    assert_eq!(said(JoinKind::Anti, &moves), ["+U 1 10", "-D 1 10", "1 10", "-U 1 10"]);
}

#[test]
fn a_row_never_seen_is_not_taken_back() {
    for kind in KINDS {
        let steps = [
            Step::Changes(1, batch(&[R]), vec![0].into()),
            Step::Changes(0, batch(&[L, (None, 1, 0)]), vec![3, 1].into()),
            Step::Flush,
        ];
        let on = on(kind, false, false);
        let outcome = regular(on.clone(), [true; 2], [None; 2]).run(1, &steps);
        assert_eq!(outcome.table(), model(&on, &[Vec::new(), vec![R]], None), "{kind:?}");
        assert!(outcome.unmatched >= 1, "{kind:?}");
    }
}

/// Rows that nothing has touched are forgotten, each side by its own time.
#[test]
fn state_has_a_time_to_live() {
    let steps = [
        Step::Clock(1000),
        Step::Rows(0, batch(&[L])),
        Step::Rows(1, batch(&[(Some(2), 5, 0)])),
        Step::Restart(2),
        Step::Clock(2000),
        Step::Clock(3000),
        Step::Rows(1, batch(&[R])),
        Step::Rows(0, batch(&[(Some(2), 6, 0)])),
    ];
    let joined = |ttl| regular(on(JoinKind::Inner, false, false), [false; 2], ttl).run(1, &steps).rows.len();
    assert_eq!(joined([None, None]), 2);
    assert_eq!(joined([Some(500), None]), 1);
    assert_eq!(joined([Some(500), Some(500)]), 0);
    assert_eq!(joined([None, Some(60_000)]), 2);
}

/// What touches a row counts across a restart, and what has expired doesn't come back by one.
#[test]
fn a_time_to_live_goes_on_after_a_restart() {
    let joined = |kind, steps: &[Step]| {
        let outcome = regular(on(kind, false, false), [false; 2], [Some(500), None]).run(1, steps);
        outcome.table().iter().filter(|row| !row.contains("NULL")).count()
    };
    let (left, right) = (|| Step::Rows(0, batch(&[L])), || Step::Rows(1, batch(&[R])));
    let touched = [
        Step::Clock(1000),
        left(),
        Step::Restart(1),
        Step::Clock(1400),
        right(),
        Step::Restart(2),
        Step::Clock(1700),
        right(),
    ];
    assert_eq!(joined(JoinKind::Left, &touched), 2);
    let expired = [Step::Clock(1000), left(), Step::Restart(1), Step::Clock(3000), Step::Restart(2), right()];
    assert_eq!(joined(JoinKind::Inner, &expired), 0);
}

/// A snapshot has what has come since the last one.
#[test]
fn snapshots_hold_what_is_new() {
    let many: Vec<Row> = (0..1000).map(|at| (Some(at % 100), at, 0)).collect();
    let steps = [
        Step::Rows(0, batch(&many)),
        Step::Restart(1),
        Step::Rows(1, batch(&[R])),
        Step::Restart(1),
        Step::Restart(1),
    ];
    let outcome = regular(on(JoinKind::Inner, false, false), [false; 2], [None; 2]).run(1, &steps);
    assert_eq!(outcome.written, [1000, 1, 0]);
    assert_eq!(outcome.rows.len(), 10);
}

/// Pairs come in bounded batches, however many rows have the key.
#[test]
fn a_key_of_half_of_both_sides() {
    let half = |from: i64| -> Vec<Row> { (0..300).map(|at| (Some(at % 2), from + at, 0)).collect() };
    let steps = [Step::Rows(0, batch(&half(0))), Step::Rows(1, batch(&half(1000))), Step::Flush];
    for kind in KINDS {
        let on = on(kind, false, false);
        let outcome = regular(on.clone(), [false; 2], [None; 2]).run(1, &steps);
        assert_eq!(outcome.table(), model(&on, &[half(0), half(1000)], None), "{kind:?}");
    }
}

fn within(kind: JoinKind, time: TimeAttribute, lower: i64, upper: i64) -> Job {
    let at = JoinTime { column: 2, ahead_millis: 0 };
    job(OperatorNode::IntervalJoin(IntervalJoin {
        on: on(kind, false, false),
        width: 3,
        times: [at; 2],
        lower_millis: Some(lower),
        upper_millis: Some(upper),
        time,
        retracts: [false; 2],
        drops: true,
        ttl_millis: [None; 2],
        with_before: true,
    }))
}

/// The values of both sides, without the rest.
fn values(outcome: &Outcome) -> Vec<String> {
    let of = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        format!("{} {}", words[1], words[4])
    };
    outcome.rows.iter().map(of).collect()
}

/// The clock at which rows arrive counts, not what their time columns say.
#[test]
fn rows_that_arrive_near_each_other() {
    let steps = [
        Step::Clock(1000),
        Step::Rows(0, batch(&[(Some(1), 10, 99_000)])),
        Step::Clock(6000),
        Step::Rows(1, batch(&[(Some(1), 20, 0)])),
        Step::Restart(2),
        Step::Clock(9000),
        Step::Rows(0, batch(&[(Some(1), 11, 0)])),
        Step::Clock(60_000),
        Step::Rows(1, batch(&[(Some(1), 21, 0)])),
    ];
    let outcome = within(JoinKind::Left, TimeAttribute::Proctime, -5000, 0).run(1, &steps);
    assert_eq!(values(&outcome), ["10 20", "11 NULL"]);
}

/// A row behind the watermark meets what is still there; alone, it comes out at once.
#[test]
fn late_rows_of_an_interval_join() {
    let row = |value: i64, time: i64| batch(&[(Some(1), value, time)]);
    let steps = [
        Step::Rows(1, row(20, 50_000)),
        Step::Watermark(40_000),
        Step::Rows(0, row(10, 25_000)),
        Step::Rows(0, row(11, 45_000)),
        Step::Rows(0, row(12, 1_000)),
    ];
    let outcome = within(JoinKind::Left, TimeAttribute::Rowtime, -25_000, 0).run(1, &steps);
    assert_eq!(values(&outcome), ["10 20", "11 20", "12 NULL"]);
    assert_eq!(outcome.late, 0);
    let outcome = within(JoinKind::Left, TimeAttribute::Rowtime, -1_000, 0).run(1, &steps);
    assert_eq!(values(&outcome), ["10 NULL", "12 NULL"]);
}

/// Without a time a row can be near nothing.
#[test]
fn a_row_without_a_time_is_rejected() {
    let columns: Vec<(String, ArrayRef)> = vec![
        ("k".into(), Arc::new(Int64Array::from(vec![1, 1]))),
        ("v".into(), Arc::new(Int64Array::from(vec![1, 2]))),
        ("ts".into(), Arc::new(TimestampMillisecondArray::from(vec![None, Some(5)]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let steps = [Step::Rows(0, rows), Step::Watermark(i64::MAX)];
    let outcome = within(JoinKind::Left, TimeAttribute::Rowtime, 0, 0).run(1, &steps);
    assert_eq!((values(&outcome), outcome.rejected), (vec!["2 NULL".to_string()], 1));
}
