//! Sub-queries, set operations, LATERAL, ORDER BY and frames: SQL in, plan out.

use flott_types::Diagnostic;

use crate::{LogicalPlan, Outcome, Session, Source, parse::parse_script};

const TABLES: &str = "
    CREATE TABLE v (id INT, k STRING, x INT) WITH ('connector' = 'datagen');
    CREATE TABLE w (id INT, k STRING, y INT) WITH ('connector' = 'datagen');
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

/// The plan, two blanks a level.
#[track_caller]
fn assert_plan(sql: &str, lines: &[&str]) {
    let plan = bind(sql).unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help)).to_string();
    // The tables' columns stand in every plan.
    let short =
        plan.replace(" (`id` INT, `k` STRING, `x` INT)", "").replace(" (`id` INT, `k` STRING, `y` INT)", "");
    assert_eq!(short.lines().collect::<Vec<_>>(), lines, "{sql}");
}

#[track_caller]
fn assert_error(sql: &str, message: &str, underlined: &str) {
    let error = bind(sql).expect_err(sql);
    let source = Source::new("test", sql);
    let shown = source.slice(error.span.unwrap_or_default());
    assert_eq!((error.message.as_str(), shown), (message, underlined), "{sql} {:?}", error.help);
}

#[test]
fn under_and_sub_queries_are_semi_joins() {
    assert_plan(
        "SELECT id FROM v WHERE x > 1 AND EXISTS (SELECT 1 FROM w WHERE w.k = v.k AND y > x AND y > 2)",
        &[
            "Project `id` INT = id",
            "  Join Semi ((k = k) AND (y > x))",
            "    Filter (x > 1)",
            "      Scan v",
            "    Filter (y > 2)",
            "      Scan w",
        ],
    );
    assert_plan(
        "SELECT * FROM v WHERE x NOT IN (SELECT y FROM w)",
        &[
            "Join Anti (((x = y) OR (x IS NULL)) OR (y IS NULL))",
            "  Scan v",
            "  Project `y` INT = y",
            "    Scan w",
        ],
    );
    // Rows that are the same for all need not be kept: their number says enough.
    assert_plan(
        "SELECT * FROM v WHERE NOT EXISTS (SELECT * FROM w)",
        &[
            "Join Anti TRUE",
            "  Scan v",
            "  Filter ($0 > 0)",
            "    Aggregate [] COUNT(*) (`$0` BIGINT NOT NULL)",
            "      Scan w",
        ],
    );
    // An aggregate of all rows always has a row.
    assert_plan("SELECT * FROM v WHERE EXISTS (SELECT MAX(y) FROM w WHERE w.k = v.k)", &["Scan v"]);
    assert_plan(
        "SELECT k, SUM(x) AS s FROM v GROUP BY k HAVING SUM(x) IN (SELECT y FROM w WHERE w.k = v.k)",
        &[
            "Project `k` STRING = k, `s` INT = $0",
            "  Join Semi ((k = k) AND ($0 = y))",
            "    Aggregate [k] SUM(x) (`k` STRING, `$0` INT)",
            "      Scan v",
            "    Scan w",
        ],
    );
}

#[test]
fn sub_queries_are_values_elsewhere() {
    assert_plan(
        "SELECT id FROM v WHERE x IN (SELECT y FROM w) OR id = 3",
        &[
            "Project `id` INT = id",
            "  Project `id` INT = id, `k` STRING = k, `x` INT = x",
            "    Filter (($there IS NOT NULL) OR (id = 3))",
            "      Join Left (x = y)",
            "        Scan v",
            "        Project `y` INT = y, `$there` BOOLEAN NOT NULL = TRUE",
            "          Aggregate [y]  (`y` INT)",
            "            Project `y` INT = y",
            "              Scan w",
        ],
    );
    // NULL may be the value that is looked for: two numbers say whether there is one.
    assert_plan(
        "SELECT x IN (SELECT y FROM w WHERE w.k = v.k) AS found FROM v",
        &[
            "Project `found` BOOLEAN = CASE WHEN ($there IS NOT NULL) THEN TRUE \
             WHEN NOT((COALESCE($0, 0) > 0)) THEN FALSE WHEN (($1 < $0) OR (x IS NULL)) THEN NULL ELSE FALSE END",
            "  Join Left (k = k)",
            "    Join Left ((k = k) AND (x = y))",
            "      Scan v",
            "      Project `k` STRING = k, `y` INT = y, `$there` BOOLEAN NOT NULL = TRUE",
            "        Aggregate [k, y]  (`k` STRING, `y` INT)",
            "          Scan w",
            "    Aggregate [k] COUNT(*), COUNT(y) (`k` STRING, `$0` BIGINT NOT NULL, `$1` BIGINT NOT NULL)",
            "      Scan w",
        ],
    );
    assert_plan(
        "SELECT id, EXISTS (SELECT 1 FROM w WHERE w.k = v.k) AS e FROM v",
        &[
            "Project `id` INT = id, `e` BOOLEAN NOT NULL = ($there IS NOT NULL)",
            "  Join Left (k = k)",
            "    Scan v",
            "    Project `k` STRING = k, `$there` BOOLEAN NOT NULL = TRUE",
            "      Aggregate [k]  (`k` STRING)",
            "        Scan w",
        ],
    );
}

#[test]
fn a_sub_query_stands_for_its_only_value() {
    // A comparison with it drops rows without one: no outer join is needed.
    assert_plan(
        "SELECT id FROM v WHERE x > (SELECT MIN(y) FROM w)",
        &[
            "Project `id` INT = id",
            "  Project `id` INT = id, `k` STRING = k, `x` INT = x",
            "    Join Inner (x > EXPR$0)",
            "      Scan v",
            "      Project `EXPR$0` INT = $0",
            "        Aggregate [] MIN(y) (`$0` INT)",
            "          Scan w",
        ],
    );
    assert_plan(
        "SELECT id, (SELECT y FROM w WHERE w.k = v.k) AS y FROM v",
        &[
            "Project `id` INT = id, `y` INT = $0",
            "  Join Left (k = k)",
            "    Scan v",
            "    Aggregate [k] SINGLE_VALUE(y) (`k` STRING, `$0` INT)",
            "      Scan w",
        ],
    );
    // Where nothing is to be counted, COUNT is 0.
    assert_plan(
        "SELECT id, (SELECT COUNT(*) + 1 FROM w WHERE w.k = v.k) AS n FROM v",
        &[
            "Project `id` INT = id, `n` BIGINT NOT NULL = (COALESCE($0, 0) + 1)",
            "  Join Left (k = $key0)",
            "    Scan v",
            "    Aggregate [k] COUNT(*) (`$key0` STRING, `$0` BIGINT NOT NULL)",
            "      Scan w",
        ],
    );
    assert_plan(
        "SELECT k FROM v GROUP BY k HAVING SUM(x) > (SELECT MAX(y) FROM w WHERE w.k = v.k)",
        &[
            "Project `k` STRING = k",
            "  Project `k` STRING = k, `$0` INT = $0",
            "    Join Inner ((k = $key0) AND ($0 > $0))",
            "      Aggregate [k] SUM(x) (`k` STRING, `$0` INT)",
            "        Scan v",
            "      Aggregate [k] MAX(y) (`$key0` STRING, `$0` INT)",
            "        Scan w",
        ],
    );
}

#[test]
fn what_sub_queries_cannot_be() {
    let two = "SELECT id, (SELECT id, k FROM w) FROM v";
    assert_error(
        two,
        "a sub-query that stands for a value selects one column, not 2",
        "(SELECT id, k FROM w)",
    );
    assert_error(
        "SELECT id FROM v WHERE (id, k) IN (SELECT id FROM w)",
        "IN compares 2 columns with 1 of the sub-query",
        "id, k) IN (SELECT id FROM w)",
    );
    assert_error(
        "SELECT * FROM v LEFT JOIN w ON v.k = w.k AND v.id IN (SELECT id FROM w)",
        "not supported yet: IN (SELECT …) in ON",
        "v.id IN (SELECT id FROM w)",
    );
    assert_error(
        "SELECT x, (SELECT MAX(y) FROM w WHERE w.k = v.k) FROM v GROUP BY x",
        "column 'k' is not in GROUP BY",
        "v.k",
    );
    assert_error(
        "SELECT id FROM v WHERE EXISTS (SELECT 1 FROM w WHERE w.k = z.k)",
        "table or column 'z' not found",
        "z",
    );
}

#[test]
fn lateral_sub_queries_are_joins() {
    assert_plan(
        "SELECT s.k, d.x FROM (SELECT DISTINCT k FROM v) AS s, \
         LATERAL (SELECT x FROM v WHERE v.k = s.k ORDER BY x DESC LIMIT 3) AS d",
        &[
            "Project `k` STRING = k, `x` INT = x",
            "  Join Inner (k = k)",
            "    Aggregate [k]  (`k` STRING)",
            "      Project `k` STRING = k",
            "        Scan v",
            "    Filter ($row_number <= 3)",
            "      Over ROW_NUMBER() [k] order by x DESC",
            "        Scan v",
        ],
    );
    assert_plan(
        "SELECT id, d.z FROM v LEFT JOIN LATERAL (SELECT y + v.x AS z FROM w WHERE w.k = v.k) AS d ON d.z > 1",
        &[
            "Project `id` INT = id, `z` INT = z",
            "  Project `id` INT = id, `k` STRING = k, `x` INT = x, `z` INT = CASE WHEN ($there IS NOT NULL) THEN (y + x) ELSE NULL END",
            "    Join Left ((k = k) AND (CASE WHEN ($there IS NOT NULL) THEN (y + x) ELSE NULL END > 1))",
            "      Scan v",
            "      Project `id` INT = id, `k` STRING = k, `y` INT = y, `$there` BOOLEAN NOT NULL = TRUE",
            "        Scan w",
        ],
    );
}

#[test]
fn set_operations_count_equal_rows() {
    assert_plan(
        "SELECT k FROM v UNION SELECT k FROM w",
        &[
            "Aggregate [k]  (`k` STRING)",
            "  Union (`k` STRING)",
            "    Project `k` STRING = k",
            "      Scan v",
            "    Project `k` STRING = k",
            "      Scan w",
        ],
    );
    assert_plan(
        "SELECT id FROM v EXCEPT SELECT 1",
        &[
            "Project `id` INT = id",
            "  Filter (($left > 0) AND ($right = 0))",
            "    Aggregate [id] COUNT(*) FILTER (WHERE ($side = 0)), COUNT(*) FILTER (WHERE ($side = 1)) (`id` INT, `$left` BIGINT NOT NULL, `$right` BIGINT NOT NULL)",
            "      Union (`id` INT, `$side` INT NOT NULL)",
            "        Project `id` INT = id, `$side` INT NOT NULL = 0",
            "          Scan v",
            "        Values (`id` INT, `$side` INT NOT NULL): (1, 1)",
        ],
    );
    assert_plan(
        "SELECT k FROM v INTERSECT ALL SELECT k FROM w",
        &[
            "Project `k` STRING = k",
            "  Unnest $COPIES(LEAST($left, $right)) (`$copy` TINYINT NOT NULL)",
            "    Filter (($left > 0) AND ($right > 0))",
            "      Aggregate [k] COUNT(*) FILTER (WHERE ($side = 0)), COUNT(*) FILTER (WHERE ($side = 1)) (`k` STRING, `$left` BIGINT NOT NULL, `$right` BIGINT NOT NULL)",
            "        Union (`k` STRING, `$side` INT NOT NULL)",
            "          Project `k` STRING = k, `$side` INT NOT NULL = 0",
            "            Scan v",
            "          Project `k` STRING = k, `$side` INT NOT NULL = 1",
            "            Scan w",
        ],
    );
    assert_error("SELECT id FROM v MINUS SELECT id FROM w", "there is no MINUS in Flink SQL", "MINUS");
}

#[test]
fn order_and_limit() {
    assert_plan(
        "SELECT k AS id, id + 1 AS j FROM v ORDER BY id, 2 DESC, x LIMIT 5 OFFSET 2",
        &[
            "Project `id` STRING = id, `j` INT = j",
            "  Sort [id, j DESC, $order0] offset 2 limit 5",
            "    Project `id` STRING = k, `j` INT = (id + 1), `$order0` INT = x",
            "      Scan v",
        ],
    );
    assert_plan(
        "SELECT k, COUNT(*) AS c FROM v GROUP BY k ORDER BY COUNT(*) DESC FETCH FIRST 3 ROWS ONLY",
        &[
            "Sort [c DESC] limit 3",
            "  Project `k` STRING = k, `c` BIGINT NOT NULL = $0",
            "    Aggregate [k] COUNT(*) (`k` STRING, `$0` BIGINT NOT NULL)",
            "      Scan v",
        ],
    );
    assert_plan(
        "SELECT id FROM v UNION ALL SELECT id FROM w LIMIT 1",
        &[
            "Sort [] limit 1",
            "  Union (`id` INT)",
            "    Project `id` INT = id",
            "      Scan v",
            "    Project `id` INT = id",
            "      Scan w",
        ],
    );
    // Below another query only what is cut off needs an order.
    assert_plan("SELECT k FROM (SELECT * FROM v ORDER BY x)", &["Project `k` STRING = k", "  Scan v"]);
    assert_error(
        "SELECT DISTINCT k FROM v ORDER BY x",
        "ORDER BY behind SELECT DISTINCT takes columns of SELECT only",
        "x",
    );
    assert_error("SELECT id FROM v ORDER BY 3", "ORDER BY 3: there are 1 columns", "3");
    assert_error("SELECT id FROM v LIMIT 1 + 1", "LIMIT needs a number of rows", "1 + 1");
}

#[test]
fn frames_have_flinks_defaults() {
    let frame = |over: &str| {
        let plan = bind(&format!("SELECT SUM(x) OVER ({over}) FROM v")).unwrap().to_string();
        let line =
            plan.lines().find(|it| it.trim_start().starts_with("Over")).unwrap_or_default().trim_start();
        line.to_string()
    };
    let over = "PARTITION BY k ORDER BY id";
    assert_eq!(frame(over), "Over SUM(x) [k] order by id");
    assert_eq!(frame(&format!("{over} RANGE UNBOUNDED PRECEDING")), "Over SUM(x) [k] order by id");
    assert_eq!(
        frame(&format!("{over} ROWS 2 PRECEDING")),
        "Over SUM(x) ROWS BETWEEN 2 PRECEDING AND CURRENT ROW [k] order by id"
    );
    assert_eq!(
        frame(&format!("{over} RANGE BETWEEN 3 PRECEDING AND CURRENT ROW")),
        "Over SUM(x) RANGE BETWEEN 3 PRECEDING AND CURRENT ROW [k] order by id"
    );
    assert_eq!(
        frame("PARTITION BY k"),
        "Over SUM(x) RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING [k] order by "
    );
    assert_error(
        "SELECT SUM(x) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 2 PRECEDING) FROM v",
        "the frame ends (2 PRECEDING) before it begins (CURRENT ROW)",
        "SUM(x)",
    );
}

#[test]
fn outer_values_are_joined_where_equality_does_not_keep_rows_apart() {
    assert_plan(
        "SELECT id, (SELECT AVG(y + v.x) FROM w WHERE w.id < v.id) AS a FROM v",
        &[
            "Project `id` INT = id, `a` INT = $0",
            "  Join Left (IS NOT DISTINCT FROM(id, $key0) AND IS NOT DISTINCT FROM(x, $key1))",
            "    Scan v",
            "    Aggregate [$outer0, $outer1] AVG((y + x)) (`$key0` INT, `$key1` INT, `$0` INT)",
            "      Join Inner (id < id)",
            "        Scan w",
            "        Aggregate [id, x]  (`$outer0` INT, `$outer1` INT)",
            "          Scan v",
        ],
    );
    assert_plan(
        "SELECT id FROM v WHERE EXISTS (SELECT 1 FROM UNNEST(ARRAY[v.id, v.x]) AS t(e) WHERE e > 1)",
        &[
            "Project `id` INT = id",
            "  Join Semi (IS NOT DISTINCT FROM(id, $outer0) AND IS NOT DISTINCT FROM(x, $outer1))",
            "    Scan v",
            "    Filter (e > 1)",
            "      Unnest ARRAY(id, x) (`e` INT)",
            "        Join Inner TRUE",
            "          Values (`$row` INT NOT NULL): (0)",
            "          Aggregate [id, x]  (`$outer0` INT, `$outer1` INT)",
            "            Scan v",
        ],
    );
}

#[test]
fn sub_queries_stand_in_other_clauses() {
    assert_plan(
        "SELECT SUM((SELECT MAX(y) FROM w)) AS s FROM v GROUP BY k, (SELECT MIN(y) FROM w)",
        &[
            "Project `s` INT = $0",
            "  Aggregate [k, EXPR$0] SUM(EXPR$0) (`k` STRING, `EXPR$0` INT, `$0` INT)",
            "    Join Left TRUE",
            "      Join Left TRUE",
            "        Scan v",
            "        Project `EXPR$0` INT = $0",
            "          Aggregate [] MIN(y) (`$0` INT)",
            "            Scan w",
            "      Project `EXPR$0` INT = $0",
            "        Aggregate [] MAX(y) (`$0` INT)",
            "          Scan w",
        ],
    );
    assert_plan(
        "SELECT v.id FROM v JOIN w ON v.k = w.k AND v.id = (SELECT MAX(id) FROM w)",
        &[
            "Project `id` INT = id",
            "  Project `id` INT = id, `k` STRING = k, `x` INT = x, `id` INT = id, `k` STRING = k, `y` INT = y",
            "    Join Inner (id = EXPR$0)",
            "      Join Inner (k = k)",
            "        Scan v",
            "        Scan w",
            "      Project `EXPR$0` INT = $0",
            "        Aggregate [] MAX(id) (`$0` INT)",
            "          Scan w",
        ],
    );
    assert_plan(
        "SELECT id FROM v ORDER BY (SELECT MAX(y) FROM w WHERE w.k = v.k) LIMIT 1",
        &[
            "Project `id` INT = id",
            "  Sort [$order0] limit 1",
            "    Project `id` INT = id, `$order0` INT = $0",
            "      Join Left (k = $key0)",
            "        Scan v",
            "        Aggregate [k] MAX(y) (`$key0` STRING, `$0` INT)",
            "          Scan w",
        ],
    );
    assert_plan(
        "SELECT id, x >= ALL (SELECT y FROM w WHERE w.k = v.k) AS most FROM v",
        &[
            "Project `id` INT = id, `most` BOOLEAN = CASE WHEN NOT((COALESCE($0, 0) > 0)) THEN TRUE WHEN ((x >= $2) IS FALSE) THEN FALSE WHEN (($1 < $0) OR (x IS NULL)) THEN NULL ELSE TRUE END",
            "  Join Left (k = k)",
            "    Scan v",
            "    Aggregate [k] COUNT(*), COUNT(y), MAX(y) (`k` STRING, `$0` BIGINT NOT NULL, `$1` BIGINT NOT NULL, `$2` INT)",
            "      Scan w",
        ],
    );
}
