//! MATCH_RECOGNIZE: SQL in, plan or error out.

use flott_types::{Diagnostic, TimeAttribute};

use crate::{LogicalPlan, Outcome, Session, Source, parse::parse_script};

const TABLES: &str = "CREATE TABLE t (s STRING, ts TIMESTAMP(3), price BIGINT, tax INT, n BIGINT NOT NULL, \
     p AS PROCTIME(), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');";

fn run(sql: &str) -> Result<LogicalPlan, Box<Diagnostic>> {
    let mut session = Session::default();
    let declared = Source::new("tables", TABLES);
    for statement in &parse_script(&declared).0 {
        session.execute(&declared, statement).unwrap();
    }
    let source = Source::new("test", sql);
    let (statements, errors) = parse_script(&source);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    match session.execute(&source, &statements[0])? {
        Outcome::Query(plan) => Ok(plan),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn plan(sql: &str) -> LogicalPlan {
    run(sql).unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help))
}

#[track_caller]
fn refuses(clauses: &str, message: &str) {
    let sql = format!("SELECT * FROM t MATCH_RECOGNIZE ({clauses})");
    let error = run(&sql).expect_err(&sql);
    assert_eq!(error.message, message, "{sql} {:?}", error.help);
    assert!(error.span.is_some_and(|span| !span.is_empty()), "{sql}");
}

#[test]
fn conditions_and_measures_take_values_from_rows() {
    let plan = plan(
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY s ORDER BY ts, price DESC \
         MEASURES A.price AS a, LAST(B.price * B.tax, 1) AS b, SUM(tax) AS c, FINAL COUNT(*) AS d \
         AFTER MATCH SKIP TO B PATTERN (A B{2,}? C) WITHIN INTERVAL '1' HOUR \
         DEFINE B AS B.price > A.price AND price > LAST(price, 1))",
    );
    let shown = plan.to_string();
    assert_eq!(
        shown.lines().next().unwrap_or_default(),
        "Match (A B{2,}? C) by [0] order by #1, price DESC within 3600000 ms skip to last B; \
         B AS ((B.price > A.price) AND (price > LAST(price, 1))) \
         where #0 = LAST(*: price, 1), #1 = LAST(B: price, 0), #2 = LAST(A: price, 0), #3 = LAST(*: price, 0); \
         a = A.price where #0 = LAST(A: price, 0); \
         b = LAST(B.(price * CAST(tax AS BIGINT)), 1) where #0 = LAST(B: (price * CAST(tax AS BIGINT)), 1); \
         c = SUM(tax) where #0 = *: SUM(tax); d = COUNT(*) where #0 = *: COUNT(*)"
    );
}

#[test]
fn columns_are_null_where_a_variable_may_have_no_row() {
    let plan = plan(
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY s ORDER BY ts \
         MEASURES A.n AS a, B.n AS b, FIRST(n) AS c, LAST(n, 1) AS d, COUNT(B.n) AS e, \
         MATCH_ROWTIME() AS rt, MATCH_ROWTIME(ts) AS rt2, A.ts AS at, MATCH_PROCTIME() AS pt \
         PATTERN (A B? C) DEFINE B AS B.n > 1)",
    );
    let time = |time: Option<TimeAttribute>| match time {
        Some(TimeAttribute::Rowtime) => " *ROWTIME*",
        Some(TimeAttribute::Proctime) => " *PROCTIME*",
        None => "",
    };
    let shown: Vec<String> = plan
        .schema()
        .fields
        .iter()
        .map(|it| format!("{} {}{}", it.name, it.data_type, time(it.time)))
        .collect();
    assert_eq!(
        shown,
        [
            "s STRING",
            "a BIGINT NOT NULL",
            "b BIGINT",
            "c BIGINT NOT NULL",
            "d BIGINT NOT NULL",
            "e BIGINT NOT NULL",
            "rt TIMESTAMP(3) NOT NULL *ROWTIME*",
            "rt2 TIMESTAMP(3) *ROWTIME*",
            "at TIMESTAMP(3)",
            "pt TIMESTAMP_LTZ(3) NOT NULL *PROCTIME*",
        ]
    );
}

#[test]
fn a_match_stands_over_queries_and_under_them() {
    let sql = "SELECT m.a + 1 AS x FROM (SELECT s, ts, price FROM t WHERE price > 1) AS q \
               MATCH_RECOGNIZE (ORDER BY ts MEASURES A.price AS a PATTERN (A B) DEFINE B AS B.s = A.s) AS m WHERE m.a > 2";
    let shown = plan(sql).to_string();
    assert!(shown.contains("Match (A B) by [] order by #1"), "{shown}");
    let sql = "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY s ORDER BY p MEASURES A.price AS a PATTERN (A B) \
               DEFINE B AS B.tax > 1) AS m (x, y)";
    assert_eq!(plan(sql).schema().fields.len(), 2);
}

#[test]
fn what_flink_refuses_is_refused() {
    let m = "ORDER BY ts MEASURES A.price AS a";
    let pattern = |pattern: &str, message: &str| {
        refuses(&format!("{m} PATTERN ({pattern}) DEFINE A AS A.price > 1"), message);
    };
    pattern("A*", "the pattern could match without any row");
    pattern(
        "A B*",
        "the last variable of a pattern cannot have a greedy quantifier: its end would never be known",
    );
    pattern("A B A", "the variable 'A' stands twice in PATTERN");
    pattern("A | B", "not supported yet: alternatives (A | B) in PATTERN");
    pattern("A (B C)+ D", "not supported yet: a quantifier of a group of variables in PATTERN");
    pattern("A B?? C", "not supported yet: the reluctant optional variable (A??) in PATTERN");
    pattern("PERMUTE(A, B)", "not supported yet: PERMUTE in PATTERN");
    pattern("^ A B", "not supported yet: anchors (^ and $) in PATTERN");
    pattern("A B{3,2} C", "the quantifier {3,2} has no number of rows");
    let clauses =
        |clauses: &str, message: &str| refuses(&format!("{clauses} PATTERN (A B) DEFINE B AS TRUE"), message);
    clauses("MEASURES A.price AS a", "MATCH_RECOGNIZE needs an ORDER BY");
    clauses("ORDER BY price MEASURES A.price AS a", "MATCH_RECOGNIZE is ordered by a time attribute first");
    clauses("ORDER BY ts DESC MEASURES A.price AS a", "time runs forward: ORDER BY … DESC has no end");
    clauses("ORDER BY ts", "MATCH_RECOGNIZE needs MEASURES: what is said of a match");
    clauses(
        "ORDER BY ts MEASURES A.price AS a AFTER MATCH SKIP TO FIRST A",
        "skipping to the first row of a match would find the same match for ever",
    );
    clauses(
        "ORDER BY ts MEASURES A.price AS a AFTER MATCH SKIP TO LAST Z",
        "the pattern has no variable 'Z'",
    );
    clauses("ORDER BY ts MEASURES A.price AS a ALL ROWS PER MATCH", "not supported yet: ALL ROWS PER MATCH");
    clauses("ORDER BY ts MEASURES CLASSIFIER() AS a", "not supported yet: CLASSIFIER in MATCH_RECOGNIZE");
    clauses("ORDER BY ts MEASURES PREV(A.price) AS a", "not supported yet: PREV in MATCH_RECOGNIZE");
    clauses(
        "ORDER BY ts MEASURES COUNT(DISTINCT A.s) AS a",
        "not supported yet: DISTINCT in MATCH_RECOGNIZE",
    );
    clauses(
        "ORDER BY ts MEASURES SUM(A.price * B.tax) AS a",
        "the columns in a call must be of one variable",
    );
    clauses("ORDER BY ts MEASURES Z.price AS a", "table or column 'Z' not found");
    clauses("ORDER BY ts MEASURES A.price AS a, B.tax AS a", "two measures are named 'a'");
    refuses(
        &format!("{m} PATTERN (A B) DEFINE B AS B.price"),
        "DEFINE needs a condition, but this is of type BIGINT",
    );
    refuses(&format!("{m} PATTERN (A B) DEFINE Z AS Z.price > 1"), "the pattern has no variable 'Z'");
    refuses(
        &format!("{m} PATTERN (A B) WITHIN INTERVAL '1' MONTH DEFINE B AS TRUE"),
        "the interval of WITHIN must be of days to seconds: months differ in length",
    );
}
