//! Sessions against a model that looks at one row at a time.

use std::collections::BTreeMap;

use flott_plan::{OperatorNode, SessionWindow};
use flott_sql::WindowKind;
use proptest::prelude::*;

use super::{Event, Row, aggregate, events, line, rows, steps, windows};
use crate::conformance::{Job, Outcome, Step, text};

const GAP: i64 = 6;

fn kind() -> WindowKind {
    WindowKind::Session { gap_millis: GAP, partition_by: vec![0] }
}

/// A session: start, end, rows.
type Session = (i64, i64, Vec<Row>);

/// Every complete session with its key, and how many rows were late or without a time.
fn model(events: &[Event]) -> (Vec<(Option<i64>, Session)>, u64, u64) {
    let (mut complete, mut late, mut rejected) = (Vec::new(), 0, 0);
    let mut open: BTreeMap<Option<i64>, Vec<Session>> = BTreeMap::new();
    let mut watermark = i64::MIN;
    for event in events {
        match event {
            Event::Rows(rows) => {
                for row in rows {
                    let Some(time) = row.2 else {
                        rejected += 1;
                        continue;
                    };
                    let sessions = open.entry(row.0).or_default();
                    let touches = |session: &Session| time <= session.1 && time + GAP >= session.0;
                    let (touched, apart): (Vec<_>, Vec<_>) =
                        std::mem::take(sessions).into_iter().partition(touches);
                    *sessions = apart;
                    let mut session = (time, time + GAP, vec![*row]);
                    for (start, end, rows) in touched {
                        session = (session.0.min(start), session.1.max(end), [session.2, rows].concat());
                    }
                    if session.1 - 1 > watermark {
                        sessions.push(session);
                    } else {
                        late += 1;
                    }
                }
            }
            Event::Watermark(to) => {
                watermark = watermark.max(*to);
                for (key, sessions) in &mut open {
                    let (done, rest) =
                        std::mem::take(sessions).into_iter().partition(|session| session.1 - 1 <= watermark);
                    *sessions = rest;
                    complete.extend(done.into_iter().map(|session| (*key, session)));
                }
            }
            Event::Restart(_) => {}
        }
    }
    (complete, late, rejected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 1000 }))]

    #[test]
    fn a_session_lasts_until_nothing_came_for_the_gap(events in events(), shards in 1..4_usize) {
        let mut outcome = aggregate(windows(kind())).run(shards, &steps(&events));
        outcome.written.clear();
        let (complete, late, rejected) = model(&events);
        let mut rows: Vec<String> =
            complete.iter().map(|(key, (start, end, rows))| line(*key, rows, *start, *end)).collect();
        rows.sort();
        prop_assert_eq!(outcome, Outcome { rows, late, rejected, ..Outcome::default() });
    }

    #[test]
    fn a_session_may_keep_its_rows(events in events(), shards in 1..4_usize) {
        let node = SessionWindow { windows: windows(kind()), keys: vec![0] };
        let job = Job { node: OperatorNode::SessionWindow(node), ..aggregate(windows(kind())) };
        let outcome = job.run(shards, &steps(&events));
        let (complete, late, _) = model(&events);
        let ends = |rows: &[Row], start: i64, end: i64| {
            let bounds = [start, end, end - 1].map(|time| text(&super::rows(&[(None, None, Some(time), false)])));
            let bounds = bounds.map(|line| line[0].split(' ').nth(2).unwrap_or_default().to_owned()).join(" ");
            text(&super::rows(rows)).into_iter().map(|row| format!("{row} {bounds}")).collect::<Vec<_>>()
        };
        let mut lines: Vec<String> =
            complete.iter().flat_map(|(_, (start, end, rows))| ends(rows, *start, *end)).collect();
        lines.sort();
        prop_assert_eq!((outcome.rows, outcome.late), (lines, late));
    }
}

#[test]
fn a_row_joins_the_sessions_on_both_sides() {
    let row = |time| (Some(1), Some(time), Some(time), true);
    let batch = |times: &[i64]| Step::Rows(0, rows(&times.iter().map(|time| row(*time)).collect::<Vec<_>>()));
    // 0 and 11 are apart; 5 reaches both: [0, 6) [5, 11) [11, 17).
    let steps = [
        batch(&[0, 11]),
        Step::Restart(2),
        batch(&[5]),
        Step::Watermark(15),
        batch(&[16]),
        Step::Watermark(21),
    ];
    let outcome = aggregate(windows(kind())).run(1, &steps);
    assert_eq!(outcome.rows, [line(Some(1), &[row(0), row(5), row(11), row(16)], 0, 22)]);
}
