//! Which join a query gets, and what it keeps.

use super::*;
use crate::{IntervalJoin, RegularJoin};

fn regular(plan: &StreamPlan) -> &RegularJoin {
    let [(_, OperatorNode::RegularJoin(node))] = operators(plan)[..] else { panic!("{plan:?}") };
    node
}

fn interval(plan: &StreamPlan) -> &IntervalJoin {
    let joins: Vec<_> = operators(plan).into_iter().filter(|it| it.1.inputs() == 2).collect();
    let [(_, OperatorNode::IntervalJoin(node))] = joins[..] else { panic!("{plan:?}") };
    node
}

fn keeps(node: &OperatorNode) -> String {
    node.stateful().keeps().to_string()
}

#[test]
fn conditions_become_keys_filters_and_the_rest() {
    let plan = planned(
        "SELECT b.price, w.b FROM bid AS b LEFT JOIN wide AS w
         ON b.auction + 1 = w.a AND b.channel IS NOT DISTINCT FROM b.extra AND w.b > 3 AND b.price < w.b",
    );
    let node = regular(&plan);
    assert_eq!((node.on.keys.len(), node.on.null_safe.clone()), (1, vec![false]));
    assert_eq!(node.on.condition.as_ref().unwrap().to_string().matches("AND").count(), 1);
    let shown = explain(&plan, ExplainFormat::Text);
    assert!(shown.contains("filter: (b > 3)"), "{shown}");
    assert!(shown.contains("for ever ('table.exec.state.ttl' would bound it)"), "{shown}");
    assert!(shown.contains("retract [I,D]"), "{shown}");
}

#[test]
fn hints_and_the_option_bound_state() {
    let join = |hint: &str| format!("SELECT {hint} b.price FROM bid AS b JOIN wide AS w ON b.auction = w.a");
    let plan =
        planned_with(&[("table.exec.state.ttl", "1 h")], &join("/*+ STATE_TTL('w' = '2 d') */")).unwrap();
    assert_eq!(regular(&plan).ttl_millis, [Some(3_600_000), Some(172_800_000)]);
    let [(_, node)] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert_eq!(keeps(node), "the rows of both sides; left until untouched for 1 h, right for 2 d");
}

#[test]
fn conditions_on_time_bound_what_is_kept() {
    let bounds = |on: &str| {
        let plan = planned(&format!(
            "SELECT a.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction AND a.price > b.price AND {on}"
        ));
        let node = interval(&plan);
        (node.lower_millis, node.upper_millis, node.on.condition.is_some())
    };
    let second = "INTERVAL '1' SECOND";
    let between = bounds(&format!("a.ts BETWEEN b.ts - {second} AND b.ts + {second} - {second}"));
    assert_eq!(between, (Some(-1000), Some(0), true));
    assert_eq!(bounds(&format!("b.ts + {second} > a.ts AND b.ts <= a.ts")), (Some(0), Some(999), true));
    assert_eq!(bounds("a.ts = b.ts"), (Some(0), Some(0), true));
    assert_eq!(bounds("a.ts = b.ts AND a.ts > TIMESTAMP '2026-01-01 00:00:00'").0, Some(0));
    // Bounded at one end: the rows of one side go.
    assert_eq!(bounds("a.ts >= b.ts"), (Some(0), None, true));
    let plan =
        planned("SELECT a.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction AND a.ts >= b.ts");
    let node = interval(&plan);
    assert_eq!((node.kept_millis(0), node.kept_millis(1)), (Some(0), None));
    let kept = "left rows until the watermark reaches them; all right rows; for ever \
                ('table.exec.state.ttl' would bound it)";
    assert_eq!(keeps(&OperatorNode::IntervalJoin(node.clone())), kept);
    // Lone rows of that side would never come out.
    let plan =
        planned("SELECT a.price FROM bid AS a RIGHT JOIN bid AS b ON a.auction = b.auction AND a.ts >= b.ts");
    regular(&plan);
}

#[test]
fn a_window_bounds_what_it_is_joined_with() {
    let plan = planned(&format!(
        "SELECT b.auction, b.price FROM bid AS b JOIN (
           SELECT MAX(price) AS highest, window_end AS until FROM {TUMBLE} GROUP BY window_start, window_end) AS m
         ON b.price = m.highest AND b.ts BETWEEN m.until - INTERVAL '10' SECOND AND m.until"
    ));
    let node = interval(&plan);
    assert_eq!((node.kept_millis(0), node.kept_millis(1)), (Some(9_999), Some(0)));
    assert_eq!(node.on.condition, None);
}

#[test]
fn no_window_behind_a_join_that_knows_no_time() {
    let windowed = |on: &str| {
        format!(
            "CREATE VIEW j AS SELECT a.ts FROM bid AS a JOIN bid AS b ON {on};
             SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE j, DESCRIPTOR(ts), INTERVAL '10' SECOND))
             GROUP BY window_start, window_end"
        )
    };
    let message = refusal(&windowed("a.auction = b.auction"));
    assert_eq!(
        message,
        "behind a regular join rows come in no order of time: there are no windows of event time"
    );
    planned(&windowed("a.auction = b.auction AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '1' MINUTE"));
}
