//! Scripts and the plans that they give.

use std::sync::Arc;

use flott_connector::{
    Connector, OptionDef, Registry, ScanRequest, Sink, SinkGuarantee, SinkRequest, Source as TableSource,
};
use flott_sql::{Outcome, Session, Source, parse::parse_script};
use flott_types::{Code, Diagnostic, Options, Result, TableDescription};

use crate::{
    Exchange, ExplainFormat, NodeKind, OperatorNode, Pipeline, StreamPlan, WindowKind, WindowProperty,
    Windows, explain, plan,
};

mod guarantees;
mod joins;
mod names;

/// Tables that are only planned, never run.
struct Paper;

const OPTIONS: &[OptionDef] = &[];

impl Connector for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }
    fn doc(&self) -> &'static str {
        "For plans."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        true
    }
    fn overwrites(&self) -> bool {
        true
    }
    fn replays(&self, table: &TableDescription) -> bool {
        table.options.get("path") != Some("once")
    }
    fn sink_guarantee(&self, _: &TableDescription) -> SinkGuarantee {
        SinkGuarantee::Repeatable
    }
    fn validate(&self, _: &TableDescription, _: &Registry, _: &mut Vec<Box<Diagnostic>>) {}
    fn source(&self, _: &TableDescription, _: ScanRequest, _: &Registry) -> Result<Arc<dyn TableSource>> {
        Err(Diagnostic::error(Code::Internal, "paper can't be read"))
    }
    fn sink(&self, _: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Err(Diagnostic::error(Code::Internal, "paper can't be written"))
    }
}

const TABLES: &str = "
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, extra STRING, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'paper');
CREATE TABLE person (
  id BIGINT, name STRING, seconds BIGINT, ts AS TO_TIMESTAMP_LTZ(seconds, 0), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'paper', 'late-rows' = 'dead-letter', 'scan.watermark.max-ahead' = '1 h');
CREATE TABLE wide (a BIGINT, b BIGINT, s TIMESTAMP(3), e TIMESTAMP(3)) WITH ('connector' = 'paper');
";

fn planned_with(options: &[(&str, &str)], script: &str) -> Result<StreamPlan> {
    let source = Source::new("test", format!("{TABLES}{script}"));
    let (statements, errors) = parse_script(&source);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let mut session = Session::new(Options::new());
    for (key, value) in options {
        session.set_option(key, value)?;
    }
    let mut registry = Registry::new();
    registry.add_connector(Arc::new(Paper));
    let mut pipeline = None;
    for statement in &statements {
        match session.execute(&source, statement)? {
            Outcome::Insert(inserts) => pipeline = Some(Pipeline::Inserts(inserts)),
            Outcome::Query(query) => pipeline = Some(Pipeline::Query(query)),
            _ => {}
        }
    }
    plan(&pipeline.unwrap(), &registry, &session.options)
}

fn planned(script: &str) -> StreamPlan {
    planned_with(&[], script).unwrap()
}

fn shown(script: &str) -> String {
    explain(&planned(script), ExplainFormat::Text)
}

fn refusal(script: &str) -> String {
    planned_with(&[], script).unwrap_err().message.clone()
}

fn operators(plan: &StreamPlan) -> Vec<(&str, &OperatorNode)> {
    plan.nodes
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Operator(operator) => Some((node.stable_id.as_str(), operator)),
            _ => None,
        })
        .collect()
}

const TUMBLE: &str = "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND))";
const HOP: &str = "TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))";

#[test]
fn tumbling_sums_read_only_what_they_need() {
    insta::assert_snapshot!(shown(&format!(
        "INSERT INTO wide SELECT auction, SUM(price), window_start, window_end FROM {TUMBLE}
         WHERE channel LIKE 'a%' GROUP BY auction, window_start, window_end"
    )));
}

/// Nexmark's query 5: the counts are there once, and both sides of the join read them.
#[test]
fn equal_sub_plans_are_shared() {
    let counts = format!(
        "SELECT auction, COUNT(*) AS num, window_start AS starttime, window_end AS endtime FROM {HOP}
         GROUP BY auction, window_start, window_end"
    );
    let script = format!(
        "SELECT a.auction, a.num FROM ({counts}) AS a JOIN (
           SELECT MAX(c.num) AS maxn, c.starttime, c.endtime FROM ({counts}) AS c
           GROUP BY c.starttime, c.endtime
         ) AS m ON a.starttime = m.starttime AND a.endtime = m.endtime AND a.num >= m.maxn"
    );
    let plan = planned(&script);
    let names: Vec<_> = operators(&plan).iter().map(|it| it.1.name()).collect();
    assert_eq!(names, ["window aggregate", "window aggregate", "window join"]);
    insta::assert_snapshot!(explain(&plan, ExplainFormat::Text));
}

#[test]
fn computed_time_columns_are_inlined_into_the_watermark() {
    let plan = planned(
        "SELECT name, window_time, COUNT(DISTINCT id) FROM
         TABLE(SESSION(TABLE person PARTITION BY name, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY name, window_start, window_end, window_time",
    );
    let (_, source) = plan.sources().next().unwrap();
    let watermark = source.watermark.as_ref().unwrap();
    assert_eq!(watermark.time.to_string(), "TO_TIMESTAMP_LTZ(seconds, 0)");
    assert_eq!(watermark.max_ahead_millis, Some(3_600_000));
    assert!(watermark.late_rows_to_dead_letters);
    let [(_, OperatorNode::WindowAggregate(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert!(matches!(&node.windows, Windows::Assigned { local_time: true, .. }));
    assert_eq!(node.properties, [WindowProperty::Time]);
    assert!(plan.nodes.iter().all(|node| node.ports.iter().all(|port| !port.two_phase)));
}

#[test]
fn windows_over_windows() {
    insta::assert_snapshot!(shown(&format!(
        "SELECT window_start, window_end, MAX(total) FROM (
           SELECT auction, window_start, window_end, SUM(price) AS total FROM {TUMBLE}
           GROUP BY auction, window_start, window_end)
         GROUP BY window_start, window_end"
    )));
    // A wider window on the narrower one's time.
    let plan = planned(&format!(
        "CREATE VIEW narrow AS SELECT window_time AS t, SUM(price) AS total FROM {TUMBLE}
           GROUP BY window_start, window_end, window_time;
         SELECT window_start, SUM(total) FROM TABLE(TUMBLE(TABLE narrow, DESCRIPTOR(t), INTERVAL '1' HOUR))
           GROUP BY window_start, window_end"
    ));
    let all = operators(&plan);
    assert!(all.iter().all(|(_, it)| matches!(
        it,
        OperatorNode::WindowAggregate(node) if matches!(node.windows, Windows::Assigned { .. })
    )));
    assert_eq!(all.len(), 2);
}

#[test]
fn window_functions_by_themselves() {
    insta::assert_snapshot!(shown(&format!("SELECT window_start, price FROM {HOP} WHERE price > 5")));
    let plan = planned(
        "SELECT id, window_end FROM
         TABLE(SESSION(TABLE person PARTITION BY id, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
    );
    assert!(matches!(operators(&plan)[..], [(_, OperatorNode::SessionWindow(_))]));
    // A predicate on the window keeps it from being assigned by the aggregation.
    let plan = planned(&format!(
        "SELECT COUNT(*) FROM {TUMBLE} WHERE window_start > TIMESTAMP '2020-01-01 00:00:00'
         GROUP BY window_start, window_end"
    ));
    let [(_, OperatorNode::WindowAggregate(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert!(matches!(node.windows, Windows::Attached { .. }));
}

#[test]
fn joins_of_windows() {
    let side = |name: &str| format!("(SELECT * FROM {TUMBLE}) AS {name}");
    insta::assert_snapshot!(shown(&format!(
        "SELECT l.auction, r.price FROM {} LEFT JOIN {}
         ON l.auction = r.auction AND r.price > l.price AND r.channel = 'x' AND l.bidder > 3
         AND l.window_start = r.window_start AND r.window_end = l.window_end",
        side("l"),
        side("r")
    )));
    // Half of the window isn't the window.
    let plan = planned(&format!(
        "SELECT l.auction FROM {} JOIN {} ON l.auction = r.auction AND l.window_start = r.window_start",
        side("l"),
        side("r")
    ));
    let [(_, OperatorNode::RegularJoin(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert_eq!(node.on.keys.len(), 2);
    let plan = planned(&format!(
        "SELECT auction FROM {} WHERE auction IN (
           SELECT auction FROM {} WHERE l.window_start = r.window_start AND l.window_end = r.window_end)",
        side("l"),
        side("r")
    ));
    let [(_, OperatorNode::WindowJoin(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert_eq!((node.kind, node.keys.len()), (flott_sql::JoinKind::Semi, 1));
}

#[test]
fn first_rows_of_windows() {
    insta::assert_snapshot!(shown(&format!(
        "SELECT * FROM (
           SELECT bidder, price, window_end,
             ROW_NUMBER() OVER (PARTITION BY window_start, window_end, channel ORDER BY price DESC) AS rn
           FROM {TUMBLE})
         WHERE rn BETWEEN 2 AND 4 AND price > 1"
    )));
    let plan = planned(&format!(
        "SELECT total FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end, window_start ORDER BY total) AS rn FROM (
             SELECT auction, SUM(price) AS total, window_start, window_end FROM {TUMBLE}
             GROUP BY auction, window_start, window_end))
         WHERE rn = 1"
    ));
    let [_, (_, OperatorNode::WindowRank(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert_eq!((node.ranks, node.with_rank, node.keys.len()), ((1, 1), false, 0));
}

#[test]
fn grouping_sets_are_keys() {
    insta::assert_snapshot!(shown(&format!(
        "SELECT window_start, auction, bidder, SUM(bidder) FROM {TUMBLE}
         GROUP BY window_start, window_end, GROUPING SETS ((auction, bidder), (auction), ())"
    )));
}

#[test]
fn unions_feed_one_operator() {
    let plan = planned(
        "CREATE VIEW both_of AS SELECT auction AS k, ts FROM bid UNION ALL SELECT bidder, ts FROM bid;
         SELECT k, COUNT(*), window_end FROM TABLE(TUMBLE(TABLE both_of, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
         GROUP BY k, window_start, window_end",
    );
    let node = plan.nodes.iter().find(|node| matches!(node.kind, NodeKind::Operator(_))).unwrap();
    assert_eq!(node.inputs.len(), 2);
    assert!(node.ports.iter().all(|port| port.input == 0 && port.exchange == Exchange::Hash(vec![0])));
    assert!(node.ports.iter().all(|port| port.two_phase));
    assert_eq!(plan.sources().count(), 1);
}

/// What an operator's id is made of: renamed columns, other statements and what stands behind change
/// nothing; other keys, windows or filters do.
#[test]
fn ids_come_from_meaning() {
    let id = |script: &str| operators(&planned(script))[0].0.to_string();
    let query = |columns: &str, filter: &str, keys: &str| {
        format!("SELECT {columns} FROM {TUMBLE} {filter} GROUP BY {keys}")
    };
    let plain = id(&query("auction, COUNT(*)", "", "auction, window_start, window_end"));
    assert_eq!(plain, id(&query("COUNT(*) AS n, auction AS a", "", "window_end, window_start, auction")));
    let behind = query("auction, COUNT(*) AS n", "", "auction, window_start, window_end");
    assert_eq!(plain, id(&format!("SELECT auction FROM ({behind}) WHERE n > 5")));
    assert_ne!(
        plain,
        id(&query("auction, COUNT(*)", "WHERE price > 3", "auction, window_start, window_end"))
    );
    assert_ne!(plain, id(&query("bidder, COUNT(*)", "", "bidder, window_start, window_end")));
}

/// In batch mode nothing is late, so no source has to say how far time has come.
#[test]
fn batches_have_no_watermark() {
    let script = "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE wide, DESCRIPTOR(s), INTERVAL '1' DAY)) WHERE a > 1
        GROUP BY window_start, window_end";
    let plan = planned_with(&[("execution.runtime-mode", "batch")], script).unwrap();
    let (_, source) = plan.sources().next().unwrap();
    assert!(source.watermark.is_none() && source.filter.is_some());
}

#[test]
fn phases_and_guarantees_follow_the_options() {
    let script = format!(
        "INSERT INTO wide SELECT auction, SUM(price), window_start, window_end FROM {TUMBLE}
         GROUP BY auction, window_start, window_end"
    );
    let plan = planned_with(&[("table.optimizer.agg-phase-strategy", "ONE_PHASE")], &script).unwrap();
    assert!(plan.nodes.iter().all(|node| node.ports.iter().all(|port| !port.two_phase)));
    let guarantee = |plan: &StreamPlan| plan.sinks().next().unwrap().1.guarantee.word();
    assert_eq!(guarantee(&plan), "at-least-once");
    let plan = planned_with(&[("execution.checkpointing.dir", "checkpoints")], &script).unwrap();
    assert_eq!(guarantee(&plan), "exactly-once");
}

/// The records of late rows are at hand in every operator that a source leads to, and nowhere else.
#[test]
fn late_rows_bring_their_records_along() {
    let people = "(SELECT *, CHAR_LENGTH(name) AS n FROM
        TABLE(TUMBLE(TABLE person, DESCRIPTOR(ts), INTERVAL '10' SECOND)))";
    insta::assert_snapshot!(shown(&format!(
        "SELECT l.name, r.n FROM {people} AS l JOIN {people} AS r
         ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.n > r.id"
    )));
    let plan = planned(
        "SELECT id, name, COUNT(*), SUM(id) FROM
         TABLE(TUMBLE(TABLE person, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, CUBE (id, name)",
    );
    let operator = plan.nodes.iter().find(|node| matches!(node.kind, NodeKind::Operator(_))).unwrap();
    let names = |at: usize| -> Vec<&str> {
        plan.nodes[at].schema.fields.iter().map(|field| field.name.as_str()).collect()
    };
    assert_eq!(names(operator.inputs[0]), ["id", "name", "id", "ts", "$set", "$origin"]);
    assert_eq!(operator.ports[0].exchange, Exchange::Hash(vec![0, 1, 4]));
    assert_eq!(names(0), ["id", "name", "seconds", "$origin"]);
}

#[test]
fn distinct_aggregates_are_split_into_buckets() {
    let script = |calls: &str| {
        format!(
            "SELECT window_end, {calls} FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(ts), INTERVAL '1' DAY))
             GROUP BY window_start, window_end"
        )
    };
    let split = |calls: &str| {
        planned_with(&[("table.optimizer.distinct-agg.split.enabled", "true")], &script(calls)).unwrap()
    };
    insta::assert_snapshot!(explain(
        &split("COUNT(DISTINCT id), MAX(name), SUM(DISTINCT id) FILTER (WHERE id > 3)"),
        ExplainFormat::Text
    ));
    // Several arguments, or results that can't be put together: as written.
    for calls in ["COUNT(DISTINCT id), COUNT(DISTINCT name)", "AVG(DISTINCT id)", "COUNT(id)"] {
        assert_eq!(operators(&split(calls)).len(), 1, "{calls}");
    }
}

/// Nexmark's queries 8, 11 and 12.
#[test]
fn nexmark() {
    let q8 = "SELECT p.id, p.name, p.starttime FROM (
          SELECT id, name, window_start AS starttime, window_end AS endtime
          FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(ts), INTERVAL '10' SECOND))
          GROUP BY id, name, window_start, window_end) p
        JOIN (
          SELECT seconds, window_start AS starttime, window_end AS endtime
          FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(ts), INTERVAL '10' SECOND))
          GROUP BY seconds, window_start, window_end) a
        ON p.id = a.seconds AND p.starttime = a.starttime AND p.endtime = a.endtime";
    let plan = planned(q8);
    let names: Vec<_> = operators(&plan).iter().map(|it| it.1.name()).collect();
    assert_eq!(names, ["window aggregate", "window aggregate", "window join"]);
    let plan = planned(
        "SELECT bidder, COUNT(*) AS bid_count, SESSION_START(ts, INTERVAL '10' SECOND)
         FROM bid GROUP BY bidder, SESSION(ts, INTERVAL '10' SECOND)",
    );
    let [(_, OperatorNode::WindowAggregate(node))] = operators(&plan)[..] else { panic!("{plan:?}") };
    assert!(matches!(
        &node.windows,
        Windows::Assigned { kind: WindowKind::Session { partition_by, .. }, .. } if *partition_by == node.keys
    ));
    let plan = planned(
        "SELECT id, COUNT(*), window_end FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(pt), INTERVAL '10' SECOND))
         GROUP BY id, window_start, window_end",
    );
    assert!(plan.sources().all(|(_, source)| source.watermark.is_none()), "no event time needed");
    let NodeKind::Calc(calc) = &plan.nodes[1].kind else { panic!("{plan:?}") };
    assert_eq!(calc.steps.len(), 1, "one projection, though the clock is read: {calc:?}");
}
