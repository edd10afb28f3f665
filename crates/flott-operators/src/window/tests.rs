//! Windows against a model that looks at one row and one window at a time.

mod pairs;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use flott_expr::lookup_aggregate;
use flott_plan::{Call, OperatorNode, WindowAggregate, WindowProperty, Windows};
use flott_sql::WindowKind;
use flott_types::{DataType, Field, Schema, TimeAttribute, TypeKind};
use proptest::prelude::*;

use crate::conformance::{Job, Outcome, Step};

/// A row: key, value, time, whether the filter takes it.
pub(super) type Row = (Option<i64>, Option<i64>, Option<i64>, bool);

pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", DataType::bigint()),
        Field::new("v", DataType::bigint()),
        Field::new("t", TypeKind::Timestamp(3).into()).with_time(Some(TimeAttribute::Rowtime)),
        Field::new("f", TypeKind::Boolean.into()),
    ])
}

pub(super) fn rows(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

pub(super) fn windows(kind: WindowKind) -> Windows {
    let time = TimeAttribute::Rowtime;
    Windows::Assigned { kind, offset_millis: 0, time_column: 2, time, local_time: false }
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

/// COUNT(*), SUM(v) FILTER (WHERE f), COUNT(DISTINCT v), COUNT(DISTINCT v) FILTER (WHERE f)
pub(super) fn calls() -> Vec<Call> {
    vec![
        call("COUNT", &[], false, None),
        call("SUM", &[1], false, Some(3)),
        call("COUNT", &[1], true, None),
        call("COUNT", &[1], true, Some(3)),
    ]
}

pub(super) fn aggregate(windows: Windows) -> Job {
    let properties = vec![WindowProperty::Start, WindowProperty::End];
    let node = WindowAggregate { windows, keys: vec![0], calls: calls(), properties };
    Job {
        node: OperatorNode::WindowAggregate(node),
        inputs: vec![schema()],
        keys: vec![vec![0]],
        two_phase: false,
        time_zone: chrono_tz::Tz::UTC,
        lookup: None,
    }
}

/// The aggregates' results over some rows.
fn results(rows: &[Row]) -> String {
    let filtered = || rows.iter().filter(|row| row.3);
    let sum = filtered().filter_map(|row| row.1).reduce(|a, b| a + b);
    let distinct =
        |rows: &mut dyn Iterator<Item = &Row>| rows.filter_map(|row| row.1).collect::<BTreeSet<_>>().len();
    let sum = sum.map_or("NULL".to_owned(), |sum| sum.to_string());
    format!("{} {sum} {} {}", rows.len(), distinct(&mut rows.iter()), distinct(&mut filtered()))
}

pub(super) fn line(key: Option<i64>, group: &[Row], start: i64, end: i64) -> String {
    let key = key.map_or("NULL".to_owned(), |key| key.to_string());
    let bounds = TimestampMillisecondArray::from(vec![start, end]);
    let time = |at: usize| bounds.value_as_datetime(at).unwrap().format("%Y-%m-%dT%H:%M:%S%.f").to_string();
    format!("{key} {} {} {}", results(group), time(0), time(1))
}

/// The windows that contain a time.
fn windows_of(kind: &WindowKind, time: i64) -> Vec<(i64, i64)> {
    let covering = |slide: i64, size: i64| {
        let first = (time - size).div_euclid(slide) * slide;
        (0..)
            .map(move |n| first + n * slide)
            .take_while(move |start| *start <= time)
            .map(move |start| (start, start + size))
    };
    let windows: Vec<(i64, i64)> = match *kind {
        WindowKind::Tumble { size_millis } => covering(size_millis, size_millis).collect(),
        WindowKind::Hop { slide_millis, size_millis } => covering(slide_millis, size_millis).collect(),
        WindowKind::Cumulate { step_millis, size_millis } => covering(size_millis, size_millis)
            .flat_map(|(start, end)| {
                (1..).map(move |n| (start, start + n * step_millis)).take_while(move |it| it.1 <= end)
            })
            .collect(),
        WindowKind::Session { .. } => Vec::new(),
    };
    windows.into_iter().filter(|(start, end)| (*start..*end).contains(&time)).collect()
}

/// What must come out.
fn model(kind: &WindowKind, steps: &[Event]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut open: BTreeMap<(i64, i64), BTreeMap<Option<i64>, Vec<Row>>> = BTreeMap::new();
    let mut watermark = i64::MIN;
    for step in steps {
        match step {
            Event::Rows(rows) => {
                for row in rows {
                    let Some(time) = row.2 else {
                        outcome.rejected += 1;
                        continue;
                    };
                    let windows = windows_of(kind, time);
                    let live = windows.iter().filter(|(_, end)| end - 1 > watermark);
                    let mut any = windows.is_empty();
                    for (start, end) in live {
                        any = true;
                        open.entry((*end, *start)).or_default().entry(row.0).or_default().push(*row);
                    }
                    outcome.late += u64::from(!any);
                }
            }
            Event::Watermark(to) => {
                watermark = watermark.max(*to);
                let rest = open.split_off(&(watermark.saturating_add(2), i64::MIN));
                for ((end, start), groups) in std::mem::replace(&mut open, rest) {
                    outcome.rows.extend(groups.into_iter().map(|(key, rows)| line(key, &rows, start, end)));
                }
            }
            Event::Restart(_) => {}
        }
    }
    outcome.rows.sort();
    outcome
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
    Restart(usize),
}

pub(super) fn steps(events: &[Event]) -> Vec<Step> {
    let step = |event: &Event| match event {
        Event::Rows(it) => Step::Rows(0, rows(it)),
        Event::Watermark(watermark) => Step::Watermark(*watermark),
        Event::Restart(shards) => Step::Restart(*shards),
    };
    events.iter().map(step).collect()
}

/// Rows whose times move on by and by, watermarks that run ahead of some of them, restarts.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = |now: i64| {
        let time = prop_oneof![20 => (now - 25..now + 30).prop_map(Some), 1 => Just(None)];
        (prop::option::weighted(0.9, 0..5_i64), prop::option::of(0..4_i64), time, any::<bool>())
    };
    let event = move |at: usize| {
        let now = at as i64 * 9 - 20;
        prop_oneof![
            5 => prop::collection::vec(row(now), 1..12).prop_map(Event::Rows),
            3 => (now - 12..now + 6).prop_map(Event::Watermark),
            1 => (1..4_usize).prop_map(Event::Restart),
        ]
    };
    (4..24_usize).prop_flat_map(move |length| (0..length).map(event).collect::<Vec<_>>()).prop_map(
        |mut events| {
            events.push(Event::Watermark(i64::MAX));
            events
        },
    )
}

fn kinds() -> impl Strategy<Value = WindowKind> {
    let hop = |slide_millis, size_millis| WindowKind::Hop { slide_millis, size_millis };
    prop_oneof![
        Just(WindowKind::Tumble { size_millis: 10 }),
        Just(hop(3, 12)),
        Just(hop(2, 40)),
        Just(hop(6, 9)),
        Just(hop(10, 4)),
        Just(WindowKind::Cumulate { step_millis: 5, size_millis: 20 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 1000 }))]

    #[test]
    fn a_window_holds_the_rows_of_its_time(kind in kinds(), events in events(), shards in 1..4_usize, two_phase: bool) {
        let mut job = aggregate(windows(kind.clone()));
        job.two_phase = two_phase;
        let mut outcome = job.run(shards, &steps(&events));
        outcome.written.clear();
        prop_assert_eq!(outcome, model(&kind, &events));
    }
}

/// The pane of the first five milliseconds goes at 5 and comes back for rows that are not late for the others. Those
/// are of a few keys only, so that nothing overwrites what the pane held of its other keys; and most rows are in
/// another pane, so that with little memory changes are written, and not everything anew.
#[test]
fn a_pane_that_comes_back_before_a_barrier_counts_once() {
    let kind = WindowKind::Cumulate { step_millis: 5, size_millis: 20 };
    let at = |keys: Range<i64>, time| {
        Event::Rows(keys.map(|key| (Some(key), Some(time), Some(time), true)).collect())
    };
    let events = [
        at(0..600, 7),
        at(0..150, 1),
        Event::Watermark(5),
        at(0..30, 2),
        Event::Restart(2),
        at(0..10, 4),
        Event::Watermark(10),
        Event::Restart(1),
        Event::Watermark(i64::MAX),
    ];
    // Before the clock is looked at what waits is worked off, and put away: between all of these.
    let steps: Vec<Step> = steps(&events).into_iter().flat_map(|step| [step, Step::Clock(0)]).collect();
    let mut outcome = aggregate(windows(kind.clone())).run(1, &steps);
    outcome.written.clear();
    assert_eq!(outcome, model(&kind, &events));
}

#[test]
fn a_snapshot_holds_what_changed_since_the_last_one() {
    let job = aggregate(windows(WindowKind::Tumble { size_millis: 1000 }));
    let many: Vec<Row> = (0..1000).map(|key| (Some(key), Some(1), Some(5), true)).collect();
    let few: Vec<Row> = (0..3).map(|key| (Some(key), Some(1), Some(6), true)).collect();
    let events =
        [Event::Rows(many), Event::Restart(2), Event::Rows(few), Event::Restart(1), Event::Watermark(999)];
    let outcome = job.run(2, &steps(&events));
    // Groups and their distinct values, once with the filter and once without.
    assert_eq!(outcome.written, [3000, 3]);
    assert_eq!(outcome.rows.len(), 1000);
}

#[test]
fn processing_time_closes_windows_by_the_clock() {
    let kind = WindowKind::Tumble { size_millis: 10 };
    let time = TimeAttribute::Proctime;
    let job = aggregate(Windows::Assigned { kind, offset_millis: 0, time_column: 2, time, local_time: true });
    let row = |key| Step::Rows(0, rows(&[(Some(key), None, None, true)]));
    let steps = [
        Step::Clock(3),
        row(1),
        Step::Clock(9),
        row(1),
        Step::Restart(2),
        Step::Clock(10),
        row(2),
        Step::Clock(i64::MAX),
    ];
    let outcome = job.run(1, &steps);
    let group = |count| vec![(None, None, None, true); count];
    assert_eq!(outcome.rows, [line(Some(1), &group(2), 0, 10), line(Some(2), &group(1), 10, 20)]);
}

#[test]
fn keys_that_hardly_repeat_travel_as_rows() {
    let mut job = aggregate(windows(WindowKind::Tumble { size_millis: 10 }));
    let many: Vec<Row> = (0..2000).map(|key| (Some(key), Some(1), Some(5), true)).collect();
    let events =
        [Event::Rows(many.clone()), Event::Rows(many.clone()), Event::Rows(many), Event::Watermark(9)];
    let in_one = job.run(2, &steps(&events));
    job.two_phase = true;
    assert_eq!(job.run(2, &steps(&events)), in_one);
    assert_eq!(in_one.rows.len(), 2000);
    assert!(in_one.rows[0].contains(" 3 3 1 1 "), "{}", in_one.rows[0]);
}

#[test]
fn an_hour_that_the_clocks_repeat_is_one_window() {
    let kind = WindowKind::Tumble { size_millis: 3_600_000 };
    let time = TimeAttribute::Rowtime;
    let windows = Windows::Assigned { kind, offset_millis: 0, time_column: 2, time, local_time: true };
    let job = Job { time_zone: chrono_tz::America::Los_Angeles, ..aggregate(windows) };
    // 2021-11-07 01:30, in summer time and again an hour later.
    let (first, second) = (1_636_273_800_000, 1_636_277_400_000);
    let row = |time| (Some(1), Some(1), Some(time), true);
    let over = second + 1_800_000;
    let events = [
        Event::Rows(vec![row(first), row(second)]),
        Event::Watermark(over - 2),
        Event::Rows(vec![row(first)]),
        Event::Watermark(over - 1),
        Event::Rows(vec![row(second)]),
    ];
    let outcome = job.run(2, &steps(&events));
    let start = first - 7 * 3_600_000 - 1_800_000;
    assert_eq!(outcome.rows, [line(Some(1), &[row(first); 3], start, start + 3_600_000)]);
    assert_eq!(outcome.late, 1);
}
