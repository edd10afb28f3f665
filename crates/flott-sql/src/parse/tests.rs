//! SQL in; statements, or messages and underlined text, out.

use flott_types::{Code, DataType};

use super::{ast::*, *};

fn parse(text: &str) -> StatementKind {
    match parse_statement(&Source::new("test", text)) {
        Ok(it) => it.kind,
        Err(error) => panic!("{text}: {error} {:?}", error.help),
    }
}

/// The message and what it underlines.
fn error(text: &str) -> (String, String) {
    let source = Source::new("test", text);
    let (_, errors) = parse_script(&source);
    let error = errors.first().unwrap_or_else(|| panic!("{text} should not parse"));
    let span = error.span.unwrap_or_else(|| panic!("{text}: {error} has no span"));
    (error.message.clone(), source.slice(span).to_string())
}

fn says(text: &str, message: &str, underlined: &str) {
    assert_eq!(error(text), (message.to_string(), underlined.to_string()), "{text}");
}

fn expr(text: &str) -> String {
    match parse_expr(&Source::new("test", text)) {
        Ok(it) => it.to_string(),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn types_print_as_they_are_read() {
    for text in [
        "BOOLEAN",
        "CHAR(3)",
        "VARCHAR(10) NOT NULL",
        "STRING",
        "BYTES",
        "DECIMAL(10, 2)",
        "TIME(0)",
        "TIMESTAMP(3)",
        "TIMESTAMP_LTZ(9)",
        "INTERVAL MONTH",
        "INTERVAL SECOND(3)",
        "ARRAY<ARRAY<INT NOT NULL>>",
        "MAP<STRING, ROW<`a b` INT NOT NULL, `c` MULTISET<STRING>>>",
    ] {
        assert_eq!(parse_data_type(text).map(|it| it.to_string()), Ok(text.to_string()));
    }
}

#[test]
fn types_have_other_spellings() {
    for (text, printed) in [
        ("character varying(3)", "VARCHAR(3)"),
        ("varchar", "STRING"),
        ("numeric", "DECIMAL(10, 0)"),
        ("double precision", "DOUBLE"),
        ("timestamp", "TIMESTAMP(6)"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
        ("TIMESTAMP(3) WITHOUT TIME ZONE NOT NULL", "TIMESTAMP(3) NOT NULL"),
        ("INT ARRAY NOT NULL ARRAY", "ARRAY<ARRAY<INT> NOT NULL>"),
        ("ROW(a INT 'the a', b STRING)", "ROW<`a` INT, `b` STRING>"),
        ("row<>", "ROW<>"),
    ] {
        assert_eq!(parse_data_type(text).map(|it| it.to_string()), Ok(printed.to_string()), "{text}");
    }
}

#[test]
fn wrong_types_are_explained() {
    says("CREATE TABLE t (a TEXT)", "unknown data type 'TEXT'", "TEXT");
    says("CREATE TABLE t (a ARRAY<STIRNG>)", "unknown data type 'STIRNG'", "STIRNG");
    says(
        "SELECT CAST(a AS DECIMAL(39)) FROM t",
        "the precision of DECIMAL must be between 1 and 38, not 39",
        "39",
    );
    says("SELECT CAST(a AS ROW<x INT, x INT>)", "ROW has two fields named 'x'", "x");
    let help = parse_data_type("TEXT").map_err(|it| it.help);
    assert_eq!(help, Err(vec!["did you mean 'STRING'?".to_string()]));
}

#[test]
fn what_sqlparser_lacks_becomes_a_call() {
    for (text, printed) in [
        ("CAST(a + 1 AS INT)", "$cast(a + 1, 'INT')"),
        (
            "TRY_CAST(a AS ROW<x INT, y ARRAY<ARRAY<STRING>>>)",
            "$try_cast(a, 'ROW<`x` INT, `y` ARRAY<ARRAY<STRING>>>')",
        ),
        ("MAP['a', 1, 'b', 2]['a']", "$map('a', 1, 'b', 2)['a']"),
        ("ARRAY[1, 2][1]", "ARRAY[1, 2][1]"),
        ("ROW(1, 'x')", "ROW(1, 'x')"),
        ("a.b[1].c", "a.b[1].c"),
        ("f(a).b", "f(a).b"),
        ("a IS JSON", "$is_json(a, 'VALUE')"),
        ("a IS NOT JSON OBJECT AND b", "NOT $is_json(a, 'OBJECT') AND b"),
        (
            "JSON_VALUE(a, '$.x' RETURNING INT NULL ON EMPTY DEFAULT 3 ON ERROR)",
            "JSON_VALUE(a, '$.x', $returning => 'INT', $on_empty => 'NULL', $on_error => 'DEFAULT', $on_error_default => 3)",
        ),
        (
            "JSON_QUERY(a, '$.x' WITH ARRAY WRAPPER EMPTY ARRAY ON EMPTY)",
            "JSON_QUERY(a, '$.x', $wrapper => 'UNCONDITIONAL', $on_empty => 'EMPTY ARRAY')",
        ),
        ("JSON_EXISTS(a, '$.x' TRUE ON ERROR)", "JSON_EXISTS(a, '$.x', $on_error => 'TRUE')"),
        (
            "JSON_OBJECT(KEY 'a' VALUE 1, 'b' VALUE JSON_ARRAY(1, NULL NULL ON NULL) ABSENT ON NULL)",
            "JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, NULL, $on_null => 'NULL'), $on_null => 'ABSENT')",
        ),
    ] {
        assert_eq!(expr(text), printed, "{text}");
    }
}

#[test]
fn everyday_expressions_parse() {
    for text in [
        "INTERVAL '10' SECOND",
        "INTERVAL '1-2' YEAR TO MONTH",
        "INTERVAL '1 02:03:04.5' DAY TO SECOND(3)",
        "DATE '2020-01-01'",
        "TIME '10:00:00'",
        "TIMESTAMP '2020-01-01 00:00:00'",
        "FLOOR(a TO HOUR)",
        "CEIL(a)",
        "EXTRACT(DOW FROM a)",
        "TIMESTAMPADD(DAY, 1, a)",
        "TIMESTAMPDIFF(SECOND, a, b)",
        "TRIM(BOTH 'x' FROM a)",
        "TRIM(LEADING FROM a)",
        "POSITION('x' IN a)",
        "OVERLAY(a PLACING b FROM 1 FOR 2)",
        "SUBSTRING(a FROM 1 FOR 2)",
        "a SIMILAR TO 'x' ESCAPE '!'",
        "a NOT LIKE 'x!%' ESCAPE '!'",
        "f(a => 1, b => 2)",
        "X'0aFF'",
        "U&'\\00e4'",
        "a <> 1 AND b != 2 OR NOT c",
        "a % 2 || 'x'",
        "CASE a WHEN 1 THEN 'x' ELSE 'y' END",
        "a IN (1, 2) AND b NOT IN (SELECT 1)",
        "a BETWEEN SYMMETRIC 2 AND 1",
        "a IS DISTINCT FROM b",
        "a IS NOT TRUE",
        "COUNT(DISTINCT a) FILTER (WHERE b > 0)",
        "SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "CURRENT_TIMESTAMP",
        "LOCALTIMESTAMP",
        "YEAR(a) + MONTH(a)",
        "`a``b`.`c`",
        "(a, b)",
        "-a * +b",
        "1e3 + 1.5 + .5",
        "DATE_FORMAT(ts, 'yyyy')",
        "IF(a > 1, 'x', 'y')",
        "COALESCE(a, b, c)",
        "LEFT(a, 2) || RIGHT(a, 2)",
        "TO_TIMESTAMP(REPLACE(a, 'T', ' '))",
        "CONCAT_WS('a', b)",
        "SPLIT_INDEX(url, '/', 3)",
        "COUNT(*)",
        "value + `value`",
        "TRUNCATE(a, 2)",
        "CEILING(a)",
        "MOD(a, 2)",
        "CHAR_LENGTH(a)",
        "REGEXP_EXTRACT(a, '(\\d+)', 1)",
        "a.`order`.date",
    ] {
        expr(text);
    }
}

#[test]
fn queries_parse() {
    for text in [
        "SELECT a, b AS c FROM t WHERE a > 1",
        "SELECT DISTINCT a FROM t GROUP BY a HAVING COUNT(*) > 1 ORDER BY a LIMIT 3 OFFSET 1",
        "WITH x AS (SELECT 1 AS a), y (b) AS (SELECT a FROM x) SELECT * FROM x, y",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(a, b)",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT t.* FROM t UNION ALL SELECT * FROM u",
        "SELECT * FROM t CROSS JOIN UNNEST(t.xs) WITH ORDINALITY AS u(x, n)",
        "SELECT * FROM t, UNNEST(xs) AS u(x)",
        "SELECT * FROM t LEFT JOIN UNNEST(xs) AS u(x) ON TRUE",
        "SELECT * FROM t, LATERAL TABLE(f(a)) AS u(x)",
        "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE))",
        "SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "SELECT * FROM o JOIN d FOR SYSTEM_TIME AS OF o.proctime AS r ON o.id = r.id",
        "SELECT * FROM t /*+ OPTIONS('a' = 'b') */ AS x JOIN u /*+ OPTIONS('c'='d') */ y ON x.a = y.a",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY a ORDER BY ts MEASURES A.b AS b ONE ROW PER MATCH PATTERN (A B+) DEFINE B AS B.x > 1) AS m",
        "SELECT * FROM (SELECT * FROM (SELECT 1))",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)",
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) AS rn FROM t",
        "SELECT a, SUM(b) FROM t GROUP BY GROUPING SETS ((a), ())",
        "TABLE t",
        "SELECT type, name, url, user, date, timestamp, time, year, value, key, format, count, session FROM t",
        "SELECT t.timestamp, t.offset, t.end, t.value AS value, COUNT(*) cnt FROM kafka AS t GROUP BY t.type",
        "SELECT window_start, SUM(a) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTES, INTERVAL '1' HOUR)) GROUP BY window_start",
        "SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE) FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)",
        "SELECT * FROM a LEFT JOIN b ON a.x = b.x AND a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts",
        "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.proc ON a.x = b.x",
        "SELECT a FROM t ORDER BY a DESC NULLS LAST FETCH FIRST 3 ROWS ONLY",
        "SELECT * FROM a WHERE x IN (SELECT y FROM b) INTERSECT SELECT * FROM c EXCEPT ALL SELECT * FROM d",
        "SELECT bid.price, `bid`.`dateTime` FROM nexmark WHERE event_type = 2 AND MOD(bid.auction, 123) = 0",
        "SELECT LISTAGG(a, ',') WITHIN GROUP (ORDER BY b) FROM t",
        "SELECT * FROM t AS x(a, b)",
        "SELECT `a b`.`c``d` FROM `a b`",
        "SELECT /* comment */ 1 -- more",
    ] {
        assert!(matches!(parse(text), StatementKind::Query(_)), "{text}");
    }
}

#[test]
fn hints_are_options_of_the_table() {
    let source = Source::new("test", "SELECT * FROM `ä`.t /*+ OPTIONS('k' = 'v''w') */ AS x");
    let query = parse_query(&source).unwrap();
    let sqlparser::ast::SetExpr::Select(select) = *query.body else { panic!() };
    let sqlparser::ast::TableFactor::Table { name, alias, .. } = &select.from[0].relation else { panic!() };
    let (parts, options) = split_hints(&source, name).unwrap();
    assert_eq!(parts.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(), ["ä", "t"]);
    assert_eq!(options.get("k"), Some("v'w"));
    assert_eq!(source.slice(options.span("k")), "'v''w'");
    assert!(alias.is_some());
    says("SELECT 1 + /*+ BROADCAST(t) */ a FROM t", "a hint cannot stand here", "/*+ BROADCAST(t) */");
    let StatementKind::Insert(insert) = parse("INSERT INTO t /*+ OPTIONS('k' = 'v') */ (a) SELECT 1") else {
        panic!()
    };
    assert_eq!((insert.hints.get("k"), insert.columns.len()), (Some("v"), 1));
}

#[test]
fn syntax_errors_point_at_the_word() {
    says("SELEC 1", "expected a statement, found 'SELEC'", "SELEC");
    says("SELECT a FROM", "expected a name, found the end of the statement", "FROM");
    says("SELECT a, FROM t", "expected an expression, found 'FROM'", "FROM");
    says("SELECT 1 +;", "expected an expression, found the end of the statement", ";");
    says("SELECT (1", "expected ')', found the end of the statement", "1");
    says("SELECT a b c FROM t", "expected ';' or the end of the statement, found 'c'", "c");
    says("SELECT * FROM (SELECT a FROM t WHERE)", "expected an expression, found ')'", ")");
    says("SELECT CASE WHEN a THEN 1 FROM t", "expected END, found 'FROM'", "FROM");
    says("SELECT CAST(a, INT)", "expected AS, found ','", ",");
    says("SELECT \"a\" FROM t", "double quotes are not used in Flink SQL", "\"a\"");
    says("INSERT t SELECT 1", "expected INTO or OVERWRITE, found 't'", "t");
    says("CREATE TABLE t (a INT b INT)", "expected ',' or ')' after the column, found 'b'", "b");
    says(
        "CREATE TABLE t (a INT) WITH (connector = 'x')",
        "expected a string in single quotes, found 'connector'",
        "connector",
    );
    says("SELECT 'abc", "the string has no closing quote", "'abc");
    says("SELECT ü + + FROM t", "expected an expression, found 'FROM'", "FROM");
}

#[test]
fn all_errors_of_a_script_at_once() {
    let source = Source::new(
        "test",
        "SET 'a;b' = 'c'; -- not ; here\nSELEC 1;\nSELECT `x;y` FROM t /* ; */;;\nDELETE FROM t;\nSELECT 'open",
    );
    let (statements, errors) = parse_script(&source);
    let texts: Vec<&str> = statements.iter().map(|it| source.slice(it.span)).collect();
    assert_eq!(texts, ["SET 'a;b' = 'c'", "SELECT `x;y` FROM t"]);
    let codes: Vec<Code> = errors.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::Syntax, Code::NotSupported, Code::Syntax]);
}

#[test]
fn statement_sets_keep_their_semicolons() {
    for text in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT CASE WHEN x THEN 1 END FROM t; END;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;",
    ] {
        let StatementKind::StatementSet(inserts) = parse(text) else { panic!("{text}") };
        assert_eq!(inserts.iter().map(|it| it.target.text()).collect::<Vec<_>>(), ["a", "b"]);
    }
    says(
        "EXECUTE STATEMENT SET BEGIN SELECT 1; END",
        "a statement set holds INSERT statements only",
        "SELECT 1",
    );
    says(
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1;",
        "the statement set is not closed",
        "BEGIN STATEMENT SET",
    );
    assert!(matches!(
        parse("EXPLAIN STATEMENT SET BEGIN INSERT INTO a SELECT 1; END"),
        StatementKind::Explain(_)
    ));
}

#[test]
fn create_table_in_all_its_parts() {
    let text = "CREATE TEMPORARY TABLE IF NOT EXISTS db.t (
        id BIGINT NOT NULL COMMENT 'the id',
        `file.path` STRING NOT NULL METADATA VIRTUAL,
        at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
        cost AS price * 2 COMMENT 'double',
        price DECIMAL(10, 2),
        ts TIMESTAMP(3),
        WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
        CONSTRAINT pk PRIMARY KEY (id) NOT ENFORCED
      ) COMMENT 'orders' PARTITIONED BY (id) WITH ('connector' = 'filesystem', 'path' = '/x')
      LIKE base (INCLUDING ALL EXCLUDING OPTIONS)";
    let StatementKind::CreateTable(table) = parse(text) else { panic!() };
    assert!(table.temporary && table.if_not_exists);
    assert_eq!(table.name.text(), "db.t");
    assert_eq!(table.columns.len(), 6);
    assert_eq!(table.columns[0].kind, ColumnDefKind::Physical { data_type: DataType::bigint().not_null() });
    assert!(
        matches!(&table.columns[2].kind, ColumnDefKind::Metadata { key: Some(key), is_virtual: false, .. } if key.value == "timestamp")
    );
    assert!(
        matches!(&table.columns[3].kind, ColumnDefKind::Computed { span, .. } if &text[span.start..span.end] == "price * 2")
    );
    let watermark = table.watermark.unwrap();
    assert_eq!(&text[watermark.expr_span.start..watermark.expr_span.end], "ts - INTERVAL '5' SECOND");
    assert_eq!(table.primary_key.unwrap().columns[0].value, "id");
    assert_eq!(table.like.unwrap().rules.len(), 2);
    assert_eq!(table.options.get("path"), Some("/x"));
    let place = table.options.entry("path").unwrap();
    assert_eq!(&text[place.value_span.start..place.value_span.end], "'/x'");
}

#[test]
fn definitions_that_flink_refuses() {
    says("CREATE TABLE t (a INT PRIMARY KEY)", "a primary key must be NOT ENFORCED", "PRIMARY KEY");
    says(
        "CREATE TABLE t (a INT, PRIMARY KEY (a) ENFORCED)",
        "a primary key must be NOT ENFORCED",
        "PRIMARY KEY (a) ENFORCED",
    );
    says("CREATE TABLE t (a) WITH ('k' = 'v')", "column 'a' has no type", "a");
    says(
        "CREATE TABLE t (a INT) LIKE u (OVERWRITING ALL)",
        "OVERWRITING ALL is not allowed",
        "OVERWRITING ALL",
    );
    says("CREATE FUNCTION f AS 'x'", "not supported yet: CREATE FUNCTION", "CREATE FUNCTION");
    says(
        "CREATE OR REPLACE TABLE t AS SELECT 1",
        "not supported yet: CREATE OR REPLACE / OR ALTER",
        "OR REPLACE",
    );
    says("ALTER TABLE t ADD c INT", "not supported yet: ALTER TABLE … ADD", "ADD");
    says("UPDATE t SET a = 1", "not supported yet: UPDATE", "UPDATE");
}

#[test]
fn small_statements() {
    let key_value = |text: &str| match parse(text) {
        StatementKind::Set(Some((key, value))) => (key.value, value.value),
        other => panic!("{other:?}"),
    };
    assert_eq!(key_value("SET 'a.b-c' = 'd'"), ("a.b-c".into(), "d".into()));
    assert_eq!(
        key_value("SET execution.runtime-mode = batch"),
        ("execution.runtime-mode".into(), "batch".into())
    );
    assert_eq!(key_value("SET a.b = 10 s;"), ("a.b".into(), "10 s".into()));
    assert_eq!(parse("SET"), StatementKind::Set(None));
    assert_eq!(parse("RESET"), StatementKind::Reset(None));
    assert!(matches!(parse("RESET a.b"), StatementKind::Reset(Some(key)) if key.value == "a.b"));
    for text in [
        "SHOW TABLES",
        "SHOW TABLES FROM db LIKE 'a%'",
        "SHOW VIEWS",
        "SHOW CREATE TABLE t",
        "SHOW COLUMNS FROM t NOT LIKE 'x'",
        "SHOW FUNCTIONS",
        "SHOW CURRENT DATABASE",
        "DESCRIBE t",
        "DESC a.b.c",
        "EXPLAIN SELECT 1",
        "EXPLAIN PLAN FOR INSERT INTO t SELECT 1",
        "EXPLAIN ESTIMATED_COST, CHANGELOG_MODE SELECT 1",
        "DROP TABLE IF EXISTS t",
        "DROP TEMPORARY VIEW v",
        "USE CATALOG c",
        "USE c.d",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t SET ('a' = 'b')",
        "ALTER TABLE t RESET ('a')",
        "CREATE DATABASE IF NOT EXISTS d",
        "CREATE VIEW v (a, b) COMMENT 'x' AS SELECT 1, 2",
        "CREATE TABLE t WITH ('connector' = 'print') AS SELECT 1 AS a",
        "INSERT OVERWRITE t PARTITION (d = '2020', h = 1) (a, b) SELECT 1, 2",
        "INSERT INTO t VALUES (1, 'x')",
        "INSERT INTO t (SELECT 1)",
        "EXECUTE INSERT INTO t SELECT 1",
    ] {
        parse(text);
    }
}
