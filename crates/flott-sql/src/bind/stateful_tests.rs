//! Windows, groups, joins and OVER: SQL in, plan or columns with their time attributes out.

use flott_types::{Diagnostic, TimeAttribute};

use crate::{LogicalPlan, Outcome, Session, Source, parse::parse_script};

const TABLES: &str = "
    CREATE TABLE b (
      auction BIGINT, bidder BIGINT NOT NULL, price DECIMAL(10, 2), ch STRING, n INT,
      ts TIMESTAMP(3) NOT NULL, p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
    ) WITH ('connector' = 'datagen');
    CREATE TABLE l (id BIGINT, ms BIGINT, lt AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR lt AS lt)
      WITH ('connector' = 'datagen');
    CREATE TABLE u (id BIGINT, name STRING, ts TIMESTAMP(3), q INT) WITH ('connector' = 'datagen');
    CREATE VIEW v AS SELECT auction, ts AS time1, price FROM b;
    CREATE TABLE j1 (k INT, a STRING, x INT NOT NULL) WITH ('connector' = 'datagen');
    CREATE TABLE j2 (k BIGINT NOT NULL, b STRING, x INT NOT NULL) WITH ('connector' = 'datagen');
";

fn bind(sql: &str) -> Result<LogicalPlan, Box<Diagnostic>> {
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
fn plan(sql: &str) -> String {
    bind(sql).unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help)).to_string()
}

/// Names and types of the columns, time attributes with a star.
#[track_caller]
fn schema(sql: &str) -> String {
    let plan = bind(sql).unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help));
    let fields = plan.schema().fields.into_iter().map(|field| {
        let time = match field.time {
            Some(TimeAttribute::Rowtime) => " *ROWTIME*",
            Some(TimeAttribute::Proctime) => " *PROCTIME*",
            None => "",
        };
        format!("`{}` {}{time}", field.name, field.data_type)
    });
    fields.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn assert_error(sql: &str, message: &str, underlined: &str) {
    let error = bind(sql).expect_err(sql);
    let source = Source::new("test", sql);
    let shown = source.slice(error.span.unwrap_or_default());
    assert_eq!((error.message.as_str(), shown), (message, underlined), "{sql} {:?}", error.help);
}

#[test]
fn time_attributes_survive_plain_references_only() {
    assert_eq!(
        schema(
            "SELECT ts, (ts) AS a, ts + INTERVAL '1' SECOND AS b, CAST(ts AS TIMESTAMP(3)) AS c, p, PROCTIME() AS now FROM b"
        ),
        "`ts` TIMESTAMP(3) NOT NULL *ROWTIME*, `a` TIMESTAMP(3) NOT NULL *ROWTIME*, `b` TIMESTAMP(3) NOT NULL, \
         `c` TIMESTAMP(3) NOT NULL, `p` TIMESTAMP_LTZ(3) NOT NULL *PROCTIME*, `now` TIMESTAMP_LTZ(3) NOT NULL *PROCTIME*"
    );
    assert_eq!(schema("SELECT lt FROM l"), "`lt` TIMESTAMP_LTZ(3) *ROWTIME*");
    assert_eq!(schema("SELECT time1 FROM v WHERE price > 1"), "`time1` TIMESTAMP(3) NOT NULL *ROWTIME*");
    assert_eq!(
        schema("WITH w (t) AS (SELECT ts FROM b) SELECT x.t FROM (SELECT * FROM w) AS x"),
        "`t` TIMESTAMP(3) NOT NULL *ROWTIME*"
    );
    assert_eq!(
        schema("SELECT ts FROM b UNION ALL SELECT time1 FROM v"),
        "`ts` TIMESTAMP(3) NOT NULL *ROWTIME*"
    );
    assert_eq!(schema("SELECT ts FROM b UNION ALL SELECT ts FROM u"), "`ts` TIMESTAMP(3)");
    assert_eq!(schema("SELECT CURRENT_WATERMARK(lt) AS w FROM l"), "`w` TIMESTAMP_LTZ(3)");
    assert_error(
        "SELECT CURRENT_WATERMARK(ts) FROM u",
        "CURRENT_WATERMARK needs a column with a watermark",
        "ts",
    );
}

#[test]
fn windows_append_their_columns() {
    let added = "`window_start` TIMESTAMP(3) NOT NULL, `window_end` TIMESTAMP(3) NOT NULL, `window_time`";
    let cases = [
        ("TABLE v, DESCRIPTOR(time1)", "TIMESTAMP(3) NOT NULL *ROWTIME*"),
        ("TABLE l, DESCRIPTOR(lt)", "TIMESTAMP_LTZ(3) NOT NULL *ROWTIME*"),
        ("TABLE b, DESCRIPTOR(p)", "TIMESTAMP_LTZ(3) NOT NULL *PROCTIME*"),
        ("(SELECT ts FROM b), DESCRIPTOR(ts)", "TIMESTAMP(3) NOT NULL *ROWTIME*"),
    ];
    for (table, time) in cases {
        let found = schema(&format!(
            "SELECT window_start, window_end, window_time FROM TABLE(TUMBLE({table}, INTERVAL '10' SECOND))"
        ));
        assert_eq!(found, format!("{added} {time}"), "{table}");
    }
}

/// The line of a plan that begins with this word.
#[track_caller]
fn line(sql: &str, word: &str) -> String {
    let plan = plan(sql);
    let found = plan.lines().map(str::trim_start).find(|line| line.starts_with(word));
    found.unwrap_or_else(|| panic!("{plan}")).to_string()
}

#[test]
fn windows_are_given_by_place_or_by_name() {
    let cases = [
        ("TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '5' SECOND * 2)", "TUMBLE 10000 ms on `ts` (Rowtime)"),
        (
            "TUMBLE(DATA => TABLE b, TIMECOL => DESCRIPTOR(p), SIZE => INTERVAL '1' MINUTE, OFFSET => INTERVAL '-5' SECOND)",
            "TUMBLE 60000 ms on `p` (Proctime) offset -5000 ms",
        ),
        (
            "HOP(TABLE b, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)",
            "HOP 2000 ms, 10000 ms on `ts` (Rowtime)",
        ),
        ("CUMULATE(TABLE b, DESCRIPTOR(ts), STEP => INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND)", ""),
        (
            "CUMULATE(TABLE b, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)",
            "CUMULATE 2000 ms, 10000 ms on `ts` (Rowtime)",
        ),
        (
            "SESSION(TABLE b PARTITION BY (auction, ch), DESCRIPTOR(ts), INTERVAL '10' SECOND)",
            "SESSION 10000 ms by [0, 3] on `ts` (Rowtime)",
        ),
        (
            "SESSION(DATA => TABLE b PARTITION BY ch, TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '10' SECOND)",
            "SESSION 10000 ms by [3] on `ts` (Rowtime)",
        ),
    ];
    for (call, window) in cases {
        for from in [format!("TABLE({call})"), call.to_string()] {
            let sql = format!("SELECT * FROM {from} AS w");
            match window {
                "" => assert_error(&sql, "either all arguments are given by name or none", call),
                _ => assert_eq!(line(&sql, "Window"), format!("Window {window}")),
            }
        }
    }
}

#[test]
fn windows_that_cannot_be() {
    let window = |call: &str, message: &str, underlined: &str| {
        assert_error(&format!("SELECT * FROM TABLE({call})"), message, underlined);
    };
    window(
        "TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "TUMBLE needs a time attribute, but 'ts' is a plain TIMESTAMP(3)",
        "ts",
    );
    window(
        "TUMBLE(TABLE b, DESCRIPTOR(n), INTERVAL '1' MINUTE)",
        "TUMBLE needs a time attribute, but 'n' is a plain INT",
        "n",
    );
    window("TUMBLE(TABLE b, DESCRIPTOR(tz), INTERVAL '1' MINUTE)", "column 'tz' not found", "tz");
    window(
        "TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' MONTH)",
        "the size of TUMBLE must be of days to seconds: months differ in length",
        "INTERVAL '1' MONTH",
    );
    window(
        "HOP(TABLE b, DESCRIPTOR(ts), n, INTERVAL '1' MINUTE)",
        "the slide of HOP must be a constant interval",
        "n",
    );
    window(
        "TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '0' SECOND)",
        "the size of TUMBLE must be above zero",
        "INTERVAL '0' SECOND",
    );
    let cumulate = "CUMULATE(TABLE b, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '10' SECOND)";
    window(cumulate, "the size of the window must be a multiple of its step", cumulate);
    window("TUMBLE(b, DESCRIPTOR(ts), INTERVAL '1' MINUTE)", "the first argument of TUMBLE is a table", "b");
    window(
        "TUMBLE(TABLE b PARTITION BY ch, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "PARTITION BY stands in SESSION only, not in TUMBLE",
        "ch",
    );
    assert_error(
        "SELECT TUMBLE(ts, INTERVAL '1' MINUTE) FROM b",
        "TUMBLE makes windows: it is no function of a row",
        "TUMBLE(ts, INTERVAL '1' MINUTE)",
    );
}

#[test]
fn groups_of_a_window() {
    let sql = "SELECT window_start, ch, COUNT(*) + 1 AS c, SUM(n) FILTER (WHERE n > 1) AS s \
               FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
               GROUP BY window_start, window_end, ch HAVING COUNT(*) > 2";
    let plan = plan(sql);
    let above: Vec<&str> = plan.lines().take(4).map(str::trim_start).collect();
    assert_eq!(
        above,
        [
            "Project `window_start` TIMESTAMP(3) NOT NULL = window_start, `ch` STRING = ch, `c` BIGINT NOT NULL = ($0 + 1), `s` INT = $1",
            "Filter ($0 > 2)",
            "Aggregate [window_start, window_end, ch] COUNT(*), SUM(n) FILTER (WHERE (n > 1)) (`window_start` TIMESTAMP(3) NOT NULL, `window_end` TIMESTAMP(3) NOT NULL, `ch` STRING, `$0` BIGINT NOT NULL, `$1` INT)",
            "Window TUMBLE 10000 ms on `ts` (Rowtime)",
        ]
    );
    assert_eq!(
        schema(
            "SELECT window_time FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, window_time"
        ),
        "`window_time` TIMESTAMP(3) NOT NULL *ROWTIME*"
    );
}

#[test]
fn above_groups_a_name_that_stands_twice_counts_once() {
    assert_eq!(
        schema("SELECT ch, ch, COUNT(*), n + 1 FROM b GROUP BY ch, n"),
        "`ch` STRING, `ch0` STRING, `EXPR$1` BIGINT NOT NULL, `EXPR$2` INT"
    );
    assert_eq!(schema("SELECT ch, ch, n + 1 FROM b"), "`ch` STRING, `ch0` STRING, `EXPR$2` INT");
}

#[test]
fn without_rows_an_aggregate_is_null() {
    assert_eq!(
        schema("SELECT SUM(bidder), COUNT(bidder), MAX(bidder) + 1 FROM b"),
        "`EXPR$0` BIGINT, `EXPR$1` BIGINT NOT NULL, `EXPR$2` BIGINT"
    );
    assert_eq!(
        schema("SELECT SUM(bidder), SUM(bidder) FILTER (WHERE n > 1) FROM b GROUP BY ch"),
        "`EXPR$0` BIGINT NOT NULL, `EXPR$1` BIGINT"
    );
}

#[test]
fn grouping_sets_are_multiplied_out() {
    let sets = |clause: &str| {
        let shown = line(&format!("SELECT COUNT(*) FROM b GROUP BY {clause}"), "Aggregate");
        let (_, sets) = shown.split_once("sets ").unwrap_or(("", ""));
        sets.split(" (").next().unwrap_or("").to_string()
    };
    assert_eq!(sets("ROLLUP(ch, n)"), "[[0, 1], [0], []]");
    assert_eq!(sets("CUBE(ch, n)"), "[[0, 1], [0], [1], []]");
    assert_eq!(sets("ch, ROLLUP((n, bidder), price)"), "[[0, 1, 2, 3], [0, 1, 2], [0]]");
    assert_eq!(sets("GROUPING SETS ((ch, n), (ch), ())"), "[[0, 1], [0], []]");
    assert_eq!(sets("GROUPING SETS (ROLLUP(ch), n)"), "[[0], [], [1]]");
    assert_eq!(sets("()"), "");
    assert_eq!(
        line(
            "SELECT bidder, GROUPING(n) AS g, GROUPING_ID(bidder, n) AS i, GROUP_ID() AS d FROM b GROUP BY bidder, ROLLUP(n)",
            "Project"
        ),
        "Project `bidder` BIGINT NOT NULL = bidder, `g` BIGINT NOT NULL = CASE WHEN ($set = 0) THEN 0 ELSE 1 END, \
         `i` BIGINT NOT NULL = CASE WHEN ($set = 0) THEN 0 ELSE 1 END, `d` BIGINT NOT NULL = 0"
    );
    assert_eq!(schema("SELECT bidder + 1 AS x FROM b GROUP BY CUBE(bidder, n)"), "`x` BIGINT");
}

#[test]
fn groups_that_cannot_be() {
    assert_error("SELECT ch, n + 1 FROM b GROUP BY ch", "column 'n' is not in GROUP BY", "n");
    assert_error("SELECT * FROM b GROUP BY ch", "column 'auction' is not in GROUP BY", "*");
    assert_error("SELECT n FROM b HAVING COUNT(*) > 1", "column 'n' is not in GROUP BY", "n");
    assert_error("SELECT SUM(COUNT(*)) FROM b", "aggregate functions cannot be nested", "COUNT(*)");
    assert_error(
        "SELECT ch FROM b WHERE COUNT(*) > 1",
        "COUNT cannot stand in WHERE: it is an aggregate function",
        "COUNT(*)",
    );
    assert_error(
        "SELECT GROUPING(ch) FROM b GROUP BY n",
        "the argument of GROUPING is not in GROUP BY",
        "ch",
    );
    assert_error("SELECT COUNT() FROM b", "COUNT needs an argument", "COUNT()");
    assert_error("SELECT UPPER(DISTINCT ch) FROM b", "function 'UPPER' not found", "UPPER(DISTINCT ch)");
    let help = |sql: &str| bind(sql).unwrap_err().help.pop().unwrap_or_default();
    assert_eq!(
        help("SELECT ch FROM b GROUP BY 1"),
        "a number in GROUP BY is a constant, not the position of a column"
    );
    assert_eq!(
        help("SELECT n + 1 AS m FROM b GROUP BY m"),
        "GROUP BY does not know the names of SELECT: write n + 1"
    );
}

#[test]
fn windows_in_group_by() {
    let sql = "SELECT UPPER(ch) AS c, SESSION_START(ts, INTERVAL '10' SECOND) AS s, SESSION_ROWTIME(ts, INTERVAL '10' SECOND) AS t \
               FROM b GROUP BY UPPER(ch), SESSION(ts, INTERVAL '10' SECOND)";
    assert_eq!(line(sql, "Window"), "Window SESSION 10000 ms by [7] on `ts` (Rowtime)");
    assert!(
        line(sql, "Aggregate").starts_with("Aggregate [$session0, window_start, window_end, window_time]")
    );
    assert_eq!(schema(sql), "`c` STRING, `s` TIMESTAMP(3) NOT NULL, `t` TIMESTAMP(3) NOT NULL *ROWTIME*");
    let hop = "SELECT HOP_END(p, INTERVAL '2' SECOND, INTERVAL '5' SECOND), COUNT(*) FROM b \
               GROUP BY HOP(p, INTERVAL '2' SECOND, INTERVAL '5' SECOND)";
    assert_eq!(line(hop, "Window"), "Window HOP 2000 ms, 5000 ms on `p` (Proctime)");
    assert_error(
        "SELECT TUMBLE_START(ts, INTERVAL '11' SECOND) FROM b GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)",
        "TUMBLE_START needs the same TUMBLE(…) in GROUP BY",
        "TUMBLE_START(ts, INTERVAL '11' SECOND)",
    );
}

#[test]
fn joins_put_columns_side_by_side() {
    assert_eq!(
        plan("SELECT x.k, y.b FROM j1 x LEFT JOIN j2 y ON x.k = y.k AND x.x > y.x"),
        "Project `k` INT = k, `b` STRING = b\n\
         \x20 Join Left ((CAST(k AS BIGINT) = k) AND (x > x))\n\
         \x20   Scan j1 (`k` INT, `a` STRING, `x` INT NOT NULL)\n\
         \x20   Scan j2 (`k` BIGINT NOT NULL, `b` STRING, `x` INT NOT NULL)"
    );
    assert_eq!(
        schema("SELECT * FROM j1 RIGHT JOIN j2 ON j1.k = j2.k"),
        "`k` INT, `a` STRING, `x` INT, `k0` BIGINT NOT NULL, `b` STRING, `x0` INT NOT NULL"
    );
    assert_eq!(
        line("SELECT * FROM j1, j2 WHERE j1.k = j2.k AND j1.x > 3", "Join"),
        "Join Inner ((CAST(k AS BIGINT) = k) AND (x > 3))"
    );
    assert_error("SELECT k FROM j1 JOIN j2 ON j1.k = j2.k", "column 'k' is ambiguous", "k");
    assert_error("SELECT * FROM j1 JOIN j1 ON TRUE", "FROM has two items named 'j1'", "j1");
    assert_error("SELECT * FROM j1 JOIN j2", "the join needs a condition", "j2");
}

#[test]
fn using_makes_one_column_of_two() {
    assert_eq!(
        schema("SELECT * FROM j1 LEFT JOIN j2 USING (k)"),
        "`k` BIGINT, `a` STRING, `x` INT NOT NULL, `b` STRING, `x0` INT"
    );
    assert_eq!(
        schema("SELECT k, j1.k, j2.k FROM j1 FULL JOIN j2 USING (k)"),
        "`k` BIGINT, `k0` INT, `k1` BIGINT"
    );
    assert_eq!(
        schema("SELECT * FROM j1 NATURAL JOIN j2"),
        "`k` BIGINT NOT NULL, `x` INT NOT NULL, `a` STRING, `b` STRING"
    );
    assert_error("SELECT * FROM j1 JOIN j2 USING (a)", "column 'a' not found", "a");
}

#[test]
fn sub_queries_of_where_are_joins() {
    assert_eq!(
        plan("SELECT * FROM j1 WHERE EXISTS (SELECT * FROM j2 WHERE j2.k = j1.k AND b = 'x') AND x > 1"),
        "Join Semi (k = CAST(k AS BIGINT))\n\
         \x20 Filter (x > 1)\n\
         \x20   Scan j1 (`k` INT, `a` STRING, `x` INT NOT NULL)\n\
         \x20 Filter (b = 'x')\n\
         \x20   Scan j2 (`k` BIGINT NOT NULL, `b` STRING, `x` INT NOT NULL)"
    );
    assert_eq!(
        line("SELECT * FROM j1 WHERE k NOT IN (SELECT k FROM j2)", "Join"),
        "Join Anti ((CAST(k AS BIGINT) = k) OR (k IS NULL))"
    );
    assert_eq!(
        line("SELECT * FROM j1 WHERE (k, x) IN (SELECT k, MAX(x) FROM j2 GROUP BY k)", "Join"),
        "Join Semi ((CAST(k AS BIGINT) = k) AND (x = EXPR$1))"
    );
    assert_error(
        "SELECT * FROM j1 WHERE k IN (SELECT k, b FROM j2)",
        "IN compares 1 columns with 2 of the sub-query",
        "k IN (SELECT k, b FROM j2)",
    );
}

#[test]
fn functions_over_a_window_of_rows() {
    let ranked = "SELECT * FROM (SELECT ch, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS rn \
                  FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' SECOND))) WHERE rn <= 3";
    assert_eq!(line(ranked, "Over"), "Over ROW_NUMBER() [window_start, window_end] order by price DESC");
    assert_eq!(line(ranked, "Filter"), "Filter (rn <= 3)");
    assert_eq!(
        line(
            "SELECT SUM(n) OVER w + RANK() OVER w AS x FROM b WINDOW w AS (PARTITION BY ch ORDER BY ts DESC NULLS FIRST)",
            "Over"
        ),
        "Over SUM(n), RANK() [ch] order by ts DESC NULLS FIRST"
    );
    assert_eq!(
        line("SELECT ROW_NUMBER() OVER (PARTITION BY ch ORDER BY COUNT(*) DESC) FROM b GROUP BY ch", "Over"),
        "Over ROW_NUMBER() [ch] order by $0 DESC"
    );
    assert_eq!(
        line("SELECT SUM(COUNT(*)) OVER (ORDER BY ch) FROM b GROUP BY ch", "Over"),
        "Over SUM($0) [] order by ch"
    );
    assert_error(
        "SELECT ch FROM b WHERE ROW_NUMBER() OVER (ORDER BY ts) = 1",
        "ROW_NUMBER … OVER cannot stand in WHERE",
        "ROW_NUMBER()",
    );
    assert_error("SELECT RANK() FROM b", "RANK needs a window: OVER (…)", "RANK()");
}
