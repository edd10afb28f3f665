//! Scripts in; the catalog, rows to show, or messages and underlined text, out.

use super::*;
use crate::parse::parse_script;

/// Runs a script; the outcome of its last statement.
fn run(session: &mut Session, text: &str) -> Outcome {
    let source = Source::new("test", text);
    let (statements, errors) = parse_script(&source);
    assert!(errors.is_empty(), "{text}: {errors:?}");
    let mut last = Outcome::Done;
    for statement in &statements {
        last = session
            .execute(&source, statement)
            .unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.help));
    }
    last
}

fn rows(outcome: Outcome) -> Vec<Vec<String>> {
    let Outcome::Rows { rows, .. } = outcome else { panic!("{outcome:?}") };
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

fn shown(session: &mut Session, text: &str) -> String {
    rows(run(session, text)).concat().concat()
}

/// The message and the underlined text of a script's first error.
fn error(session: &mut Session, text: &str) -> (String, String) {
    let source = Source::new("test", text);
    let (statements, errors) = parse_script(&source);
    assert!(errors.is_empty(), "{text}: {errors:?}");
    for statement in &statements {
        if let Err(error) = session.execute(&source, statement) {
            return (error.message.clone(), source.slice(error.span.unwrap_or_default()).to_string());
        }
    }
    panic!("{text} should fail")
}

fn says(text: &str, message: &str, underlined: &str) {
    let mut session = Session::default();
    run(
        &mut session,
        "CREATE TABLE base (id INT, ts TIMESTAMP(3), twice AS id * 2, WATERMARK FOR ts AS ts, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'print')",
    );
    assert_eq!(error(&mut session, text), (message.to_string(), underlined.to_string()), "{text}");
}

const ORDERS: &str = "CREATE TABLE `orders` (
  `id` BIGINT NOT NULL COMMENT 'it''s the key',
  `file` STRING NOT NULL METADATA FROM 'file.path' VIRTUAL,
  `price` DECIMAL(10, 2),
  `ts` TIMESTAMP(3),
  `cost` AS price * 2,
  WATERMARK FOR `ts` AS ts - INTERVAL '5' SECOND,
  PRIMARY KEY (`id`) NOT ENFORCED
)
COMMENT 'all orders'
PARTITIONED BY (`id`)
WITH (
  'connector' = 'filesystem',
  'password' = 'geheim',
  'path' = '/x'
)";

#[test]
fn show_create_table_declares_the_table_again() {
    let mut session = Session::default();
    run(&mut session, ORDERS);
    let text = shown(&mut session, "SHOW CREATE TABLE orders");
    let expected =
        ORDERS.replace("`orders`", "`default_catalog`.`default_database`.`orders`").replace("geheim", MASK);
    assert_eq!(text, expected + "\n");
    let mut again = Session::default();
    run(&mut again, &text);
    assert_eq!(shown(&mut again, "SHOW CREATE TABLE orders"), text);
}

#[test]
fn describe_as_flink_does() {
    let mut session = Session::default();
    let outcome = run(&mut session, &format!("{ORDERS}; DESCRIBE orders"));
    let Outcome::Rows { columns, .. } = &outcome else { panic!() };
    assert_eq!(columns.join(" "), "name type null key extras watermark comment");
    let table: Vec<String> = rows(outcome).into_iter().map(|row| row.join(" | ")).collect();
    assert_eq!(
        table,
        [
            "id | BIGINT | FALSE | PRI(id) | - | - | it's the key",
            "file | STRING | FALSE | - | METADATA FROM 'file.path' VIRTUAL | - | -",
            "price | DECIMAL(10, 2) | TRUE | - | - | - | -",
            "ts | TIMESTAMP(3) *ROWTIME* | TRUE | - | - | ts - INTERVAL '5' SECOND | -",
            "cost | DECIMAL(13, 2) | TRUE | - | AS price * 2 | - | -",
        ]
        .map(|line| line.replace("DECIMAL(13, 2)", &rows_type(&mut session)))
    );
}

/// DECIMAL(10, 2) * INT has the binder's type, whatever it is.
fn rows_type(session: &mut Session) -> String {
    rows(run(session, "SHOW COLUMNS FROM orders LIKE 'cost'")).swap_remove(0).swap_remove(1)
}

#[test]
fn options_are_known_by_name() {
    let mut session = Session::default();
    run(
        &mut session,
        "SET 'parallelism.default' = '3'; SET 'execution.buffer-timeout' = '5 ms'; SET 'state.backend' = 'rocksdb'",
    );
    assert_eq!(
        rows(run(&mut session, "SET")),
        [
            ["execution.buffer-timeout.interval", "5 ms"],
            ["parallelism.default", "3"],
            ["state.backend.type", "rocksdb"]
        ]
    );
    run(&mut session, "RESET 'parallelism.default'; SET 'taskmanager.numberOfTaskSlots' = '4'");
    assert_eq!(session.options.get("parallelism.default"), None);
    says("SET 'paralelism.default' = '3'", "unknown option 'paralelism.default'", "'paralelism.default'");
    says(
        "SET 'parallelism.default' = 'many'",
        "option 'parallelism.default' = 'many': expected a whole number",
        "'many'",
    );
    says(
        "SET 'execution.runtime-mode' = 'fast'",
        "option 'execution.runtime-mode' = 'fast': expected one of streaming, batch, automatic",
        "'fast'",
    );
}

#[test]
fn the_command_line_outlives_reset() {
    let mut session = Session::default();
    session.set_option("parallelism.default", "2").unwrap();
    run(&mut session, "SET 'parallelism.default' = '3'; RESET");
    assert_eq!(session.options.get("parallelism.default"), Some("2"));
    assert_eq!(session.set_option("nonsense", "x").map_err(|it| it.code), Err(Code::UnknownOption));
}

#[test]
fn every_option_has_a_valid_default() {
    for option in OPTIONS {
        assert!(
            option.default.is_empty() || options::check(option.key, option.default, false).is_ok(),
            "{}",
            option.key
        );
        assert!(option.doc.ends_with('.'), "{}", option.key);
    }
    let mut keys: Vec<&str> = OPTIONS.iter().map(|it| it.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), OPTIONS.len());
}

#[test]
fn tables_that_contradict_themselves() {
    says("CREATE TABLE base (a INT)", "a table or view named 'base' exists", "base");
    says("CREATE TABLE t (a INT, a STRING)", "the table has two columns named 'a'", "a STRING");
    says("CREATE TABLE t (a INT, PRIMARY KEY (b) NOT ENFORCED)", "no column 'b' for the primary key", "b");
    says(
        "CREATE TABLE t (a INT, c AS a + 1) PARTITIONED BY (c)",
        "column 'c' of the partition key is not a physical column",
        "c",
    );
    says(
        "CREATE TABLE t (a INT, WATERMARK FOR ts AS ts)",
        "the watermark's column 'ts' is not in the table",
        "ts",
    );
    says(
        "CREATE TABLE t (a INT, WATERMARK FOR a AS a)",
        "time column 'a' must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p from 0 to 3, not INT",
        "a",
    );
    says(
        "CREATE TABLE t (ts TIMESTAMP(6), WATERMARK FOR ts AS ts)",
        "time column 'ts' must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p from 0 to 3, not TIMESTAMP(6)",
        "ts",
    );
    says("CREATE TABLE no.t (a INT)", "no database named 'default_catalog.no'", "no.t");
    says("DROP TABLE bsae", "no table or view named 'bsae'", "bsae");
    says("DROP VIEW base", "'base' is a table", "base");
}

#[test]
fn a_primary_key_makes_not_null() {
    let mut session = Session::default();
    run(&mut session, "CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, b INT) WITH ('connector' = 'print')");
    let nulls: Vec<String> =
        rows(run(&mut session, "DESC t")).into_iter().map(|row| row[2].clone()).collect();
    assert_eq!(nulls, ["FALSE", "TRUE"]);
}

#[test]
fn like_takes_over_what_the_rules_say() {
    let mut session = Session::default();
    run(
        &mut session,
        "CREATE TABLE base (id INT, ts TIMESTAMP(3), twice AS id * 2, WATERMARK FOR ts AS ts, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'print', 'a' = 'b')",
    );
    run(&mut session, "CREATE TABLE t (extra STRING) WITH ('connector' = 'blackhole') LIKE base");
    let text = shown(&mut session, "SHOW CREATE TABLE t");
    for part in [
        "`twice` AS id * 2",
        "`extra` STRING",
        "WATERMARK FOR `ts` AS ts",
        "PRIMARY KEY (`id`)",
        "'connector' = 'blackhole'",
        "'a' = 'b'",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    run(&mut session, "CREATE TABLE u WITH ('c' = 'd') LIKE base (EXCLUDING ALL INCLUDING GENERATED)");
    let text = shown(&mut session, "SHOW CREATE TABLE u");
    assert!(
        text.contains("`twice` AS id * 2") && !text.contains("WATERMARK") && !text.contains("print"),
        "{text}"
    );
    says("CREATE TABLE t (id INT) LIKE base", "the base table has a column 'id' too", "id INT");
    says(
        "CREATE TABLE t (x INT, PRIMARY KEY (x) NOT ENFORCED) LIKE base",
        "the base table has a primary key already",
        "x",
    );
    says(
        "CREATE TABLE t WITH ('connector' = 'x') LIKE base (INCLUDING ALL)",
        "the base table has an option 'connector' too",
        "'connector'",
    );
}

#[test]
fn tables_and_views_from_queries() {
    let mut session = Session::default();
    let outcome = run(
        &mut session,
        "CREATE TABLE t (extra STRING, b BIGINT) WITH ('connector' = 'print') AS SELECT CAST(1 AS INT) AS a, 2 AS b",
    );
    let Outcome::Insert(inserts) = outcome else { panic!("{outcome:?}") };
    assert_eq!(inserts.len(), 1);
    let names: Vec<String> =
        rows(run(&mut session, "DESC t")).into_iter().map(|row| row[..2].join(" ")).collect();
    assert_eq!(names, ["extra STRING", "a INT", "b BIGINT"]);
    run(&mut session, "CREATE VIEW v (x, y) AS SELECT a, b FROM t");
    let names: Vec<String> =
        rows(run(&mut session, "DESC v")).into_iter().map(|row| row[..2].join(" ")).collect();
    assert_eq!(names, ["x INT", "y BIGINT"]);
    assert_eq!(shown(&mut session, "SHOW TABLES"), "tv");
    assert_eq!(shown(&mut session, "SHOW VIEWS LIKE '_'"), "v");
    assert!(shown(&mut session, "SHOW CREATE VIEW v").ends_with("(`x`, `y`)\nAS SELECT a, b FROM t\n"));
    assert_eq!(
        error(&mut session, "CREATE VIEW w (x) AS SELECT a, b FROM t").0,
        "the view names 1 columns, its query has 2"
    );
}

#[test]
fn secrets_are_not_repeated() {
    let env = |_: &str| Some("geheim".to_string());
    let read = |_: &std::path::Path| Ok(String::new());
    let fill =
        |text: &str| crate::variables::substitute("test", text, &Default::default(), &env, &read).unwrap();
    let source = fill(
        "CREATE TABLE t (a INT) WITH ('x' = '${env:X}'); SHOW CREATE TABLE t; SET 'parallelism.default' = '${env:X}'",
    );
    let mut session = Session::default();
    let (statements, _) = parse_script(&source);
    session.execute(&source, &statements[0]).unwrap();
    let shown = rows(session.execute(&source, &statements[1]).unwrap()).concat().concat();
    assert!(shown.contains("'x' = '******'"), "{shown}");
    let error = session.execute(&source, &statements[2]).unwrap_err();
    assert!(!error.message.contains("geheim"), "{error}");
    let (_, errors) = parse_script(&fill("SELECT 1 x ${env:X}"));
    assert!(!errors[0].message.contains("geheim"), "{}", errors[0]);
}

#[test]
fn databases_and_names() {
    let mut session = Session::default();
    run(&mut session, "CREATE DATABASE d; CREATE TABLE d.t (a INT); USE d");
    assert_eq!(shown(&mut session, "SHOW TABLES"), "t");
    assert_eq!(shown(&mut session, "SHOW CURRENT DATABASE"), "d");
    run(&mut session, "USE default_database; ALTER TABLE d.t RENAME TO u; ALTER TABLE d.u SET ('k' = 'v')");
    assert_eq!(shown(&mut session, "SHOW TABLES FROM d"), "u");
    assert_eq!(error(&mut session, "DROP DATABASE d").0, "database 'default_catalog.d' is not empty");
    run(&mut session, "DROP DATABASE d CASCADE; DROP TABLE IF EXISTS nothing");
}

#[test]
fn a_failed_declaration_is_told_once() {
    let mut session = Session::default();
    error(&mut session, "CREATE TABLE t (a INT, a INT)");
    let (message, underlined) = error(&mut session, "SELECT * FROM t");
    assert_eq!(
        (message.as_str(), underlined.as_str()),
        ("'t' is not there: its declaration has an error", "t")
    );
}
