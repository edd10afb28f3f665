//! Arguments, output formats, exit codes, what is listed and explained, metrics.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use flott_testkit::services::Port;

use crate::support::{Lab, summary_of, table, wait_until};

/// Standard output of a run that succeeds.
fn out(lab: &Lab, arguments: &[&str]) -> String {
    let outcome = lab.flott.run(arguments).unwrap();
    assert_eq!(outcome.status, Some(0), "{arguments:?}\n{}", outcome.stderr);
    outcome.stdout
}

#[test]
fn exit_codes() {
    let lab = Lab::new();
    let cases: [(i32, &[&str]); 16] = [
        (0, &["--help"]),
        (0, &["--version"]),
        (0, &["run", "-e", "SELECT 1"]),
        (0, &["run", "-e", ""]),
        (0, &["validate", "-e", "SELECT 1"]),
        (1, &["run", "-e", "SELECT 1 / 0"]),
        (2, &[]),
        (2, &["run"]),
        (2, &["rum"]),
        (2, &["run", "missing.sql"]),
        (2, &["run", "-e", "SELECT"]),
        (2, &["run", "-e", "SELECT 1", "script.sql"]),
        (2, &["run", "-o", "xml", "-e", "SELECT 1"]),
        (2, &["run", "-D", "parallelism.default", "-e", "SELECT 1"]),
        (2, &["run", "-D", "parallelism.default=0", "-e", "SELECT 1"]),
        (2, &["list", "everything"]),
    ];
    for (code, arguments) in cases {
        let outcome = lab.flott.run(arguments).unwrap();
        assert_eq!(outcome.status, Some(code), "{arguments:?}\n{}", outcome.stderr);
    }
}

#[test]
fn scripts_come_from_files_text_and_standard_input() {
    let lab = Lab::new();
    lab.write("script.sql", "SELECT 'file' AS f;");
    assert_eq!(out(&lab, &["run", "-o", "csv", "script.sql"]), "f\nfile\n");
    assert_eq!(out(&lab, &["run", "-o", "csv", "-e", "SELECT 'text' AS f"]), "f\ntext\n");
    let piped = lab.flott.run_with_input(["run", "-o", "csv", "-"], b"SELECT 'piped' AS f").unwrap();
    assert_eq!(piped.stdout, "f\npiped\n");
    let wrong = lab.flott.run_with_input(["run", "-"], b"SELECT x").unwrap();
    assert!(wrong.status == Some(2) && wrong.stderr.contains("<stdin>:1:8"), "{}", wrong.stderr);
    // As other systems' editors write them.
    lab.write("other.sql", "\u{feff}SELECT 1 AS a; -- one\r\nSELECT 2 AS b\r\n;\r\n");
    assert_eq!(out(&lab, &["run", "-o", "csv", "other.sql"]), "a\n1\nb\n2\n");
    lab.write("binary.sql", b"SELECT \xff");
    assert_eq!(lab.flott.run(["run", "binary.sql"]).unwrap().status, Some(2));
    // Rows on standard input, through a table.
    let sql =
        "CREATE TABLE i (a INT) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT a + 1 AS a FROM i";
    let rows = lab.flott.run_with_input(["run", "-o", "csv", "-e", sql], b"{\"a\":1}\n{\"a\":2}").unwrap();
    assert_eq!(rows.stdout, "a\n2\n3\n");
}

#[test]
fn variables_and_options_fill_the_script() {
    let lab = Lab::new();
    let run = |arguments: &[&str]| out(&lab, &[&["run", "-o", "csv"], arguments].concat());
    assert_eq!(run(&["-v", "X=it's", "-e", "SELECT '${X}' AS ${Y:-y}"]), "y\nit's\n");
    assert_eq!(run(&["-v", "Y=z", "-e", "SELECT 1 AS ${Y:-y}"]), "z\n1\n");
    assert_eq!(run(&["-e", "SELECT '$${X}' AS x -- ${UNDEFINED}"]), "x\n${X}\n");
    let zone = "SELECT CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING) AS t";
    assert_eq!(run(&["-D", "table.local-time-zone=Asia/Tokyo", "-e", zone]), "t\n1970-01-01 09:00:00.000\n");
    assert_eq!(
        run(&["-e", &format!("SET 'table.local-time-zone' = 'Asia/Tokyo'; {zone}")]),
        "t\n1970-01-01 09:00:00.000\n"
    );
    let undefined = lab.flott.run(["validate", "-e", "SELECT ${A}, ${B}"]).unwrap();
    assert_eq!(undefined.status, Some(2));
    assert!(
        undefined.stderr.contains("FLT-1003") && undefined.stderr.contains("-v A="),
        "{}",
        undefined.stderr
    );
    let typo = lab.flott.run(["run", "-D", "paralelism.default=2", "-e", "SELECT 1"]).unwrap();
    assert!(typo.stderr.contains("did you mean 'parallelism.default'"), "{}", typo.stderr);
}

const VALUES: &str = "SELECT * FROM (VALUES (1, 'a,\"b\"', 1.50, TRUE), (20, CAST(NULL AS STRING), 0.25, FALSE), \
                      (300, '', -1.00, CAST(NULL AS BOOLEAN))) AS t(n, s, d, b)";

#[test]
fn rows_are_printed_as_asked() {
    let lab = Lab::new();
    let printed = |output: &str| out(&lab, &["run", "-q", "-o", output, "-e", VALUES]);
    assert_eq!(printed("csv"), "n,s,d,b\n1,\"a,\"\"b\"\"\",1.50,TRUE\n20,,0.25,FALSE\n300,\"\",-1.00,\n");
    assert_eq!(
        printed("json"),
        "{\"n\":1,\"s\":\"a,\\\"b\\\"\",\"d\":1.5,\"b\":true}\n{\"n\":20,\"s\":null,\"d\":0.25,\"b\":false}\n\
         {\"n\":300,\"s\":\"\",\"d\":-1,\"b\":null}\n"
    );
    assert_eq!(
        printed("table"),
        "+-----+-------+-------+-------+\n\
         | n   | s     | d     | b     |\n\
         +-----+-------+-------+-------+\n\
         |   1 | a,\"b\" |  1.50 | TRUE  |\n\
         |  20 | NULL  |  0.25 | FALSE |\n\
         | 300 |       | -1.00 | NULL  |\n\
         +-----+-------+-------+-------+\n\
         3 rows\n"
    );
    let none = "SELECT * FROM (VALUES (1)) AS t(n) WHERE n > 1";
    assert_eq!(out(&lab, &["run", "-o", "csv", "-e", none]), "n\n");
    assert_eq!(out(&lab, &["run", "-o", "table", "-e", none]), "+---+\n| n |\n+---+\n+---+\n0 rows\n");
    assert_eq!(out(&lab, &["run", "-o", "json", "-e", none]), "");
}

#[test]
fn the_summary_is_for_people_or_for_machines() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\":1}\nbad\n{\"a\":2}\n");
    let sql = table("t", "a INT", "in.json", "json", &[])
        + &table("s", "a INT", "out", "json", &[])
        + "INSERT INTO s SELECT a FROM t WHERE a > 1";
    let people = lab.flott.run(["run", "-e", &sql]).unwrap();
    let lines: Vec<_> =
        people.stderr.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines[0].starts_with("finished in "), "{}", people.stderr);
    assert_eq!(
        lines[1..4],
        ["read 3 from t, 20 B", "t → s: 3 in, 1 out, 1 filtered, 1 dead-lettered", "written 1 to s"]
    );
    assert!(lines[4].starts_with("dead letters 1 in ./flott-dlq/flott"), "{}", people.stderr);
    assert_eq!(people.stdout, "");
    let quiet = lab.flott.run(["run", "--quiet", "-e", &sql]).unwrap();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let machine = lab.flott.run(["run", "--json", "-e", &sql]).unwrap();
    assert_eq!(
        machine.stderr.trim_end(),
        "{\"status\":\"finished\",\"sources\":[{\"name\":\"t\",\"read\":3,\"bytes\":20}],\
         \"sinks\":[{\"name\":\"s\",\"written\":1}],\"edges\":[{\"from\":\"t\",\"to\":\"s\",\"in\":3,\"out\":1,\
         \"filtered\":1,\"late\":0,\"dead_lettered\":1,\"skipped\":0}],\"dlq\":1}"
    );
    let failed = lab.flott.run(["run", "--json", "-e", "SELECT nope"]).unwrap();
    assert_eq!(failed.summary.unwrap()["status"], "failed");
}

const EXPLAINED: &str = "CREATE TABLE t (a INT, b STRING, c DOUBLE) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json');
    CREATE TABLE s (a BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
    CREATE TABLE p (b STRING) WITH ('connector' = 'print');
    EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT a + 1 FROM t WHERE a > 5; INSERT INTO p SELECT b FROM t; END";

#[test]
fn plans_are_explained_in_three_ways() {
    let lab = Lab::new();
    let text = out(&lab, &["explain", "-e", EXPLAINED]);
    for part in [
        "Sink s [filesystem]",
        "Sink p [print]",
        "Source t [filesystem]",
        "reads: 2 of 3 columns",
        "guarantee: at-least-once",
        "filter: (a > 5)",
        "changelog: append",
        "state: none",
    ] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&out(&lab, &["explain", "--format", "json", "-e", EXPLAINED])).unwrap();
    let nodes = json[0]["nodes"].as_array().unwrap();
    let kinds: Vec<_> = nodes.iter().map(|node| node["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "source").count(), 1, "one scan feeds both: {kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "sink").count(), 2);
    for node in nodes {
        assert_eq!(node["guarantee"].is_string(), node["kind"] == "sink", "{node}");
    }
    let mermaid = out(&lab, &["explain", "--format", "mermaid", "-e", EXPLAINED]);
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("n0 --> "), "{mermaid}");
    let statement = out(&lab, &["run", "-q", "-e", "EXPLAIN SELECT 1 AS one"]);
    assert!(statement.contains("Result") && statement.contains("one"), "{statement}");
    assert!(!lab.path("out").exists(), "nothing ran");
}

#[test]
fn what_there_is_can_be_listed() {
    let lab = Lab::new();
    for (topic, name) in [
        ("connectors", "filesystem"),
        ("formats", "csv"),
        ("functions", "UPPER"),
        ("options", "pipeline.name"),
        ("types", "DECIMAL"),
    ] {
        let all = out(&lab, &["list", topic]);
        assert!(all.contains(name), "{topic}: {all}");
        assert!(out(&lab, &["list", topic, name]).len() > 20, "{topic} {name}");
        let json = out(&lab, &["list", topic, "--json"]);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
    let unknown = lab.flott.run(["list", "functions", "UPER"]).unwrap();
    assert!(unknown.status == Some(2) && unknown.stderr.contains("UPER"), "{}", unknown.stderr);
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&lab, &["completions", shell]).contains("flott"), "{shell}");
    }
}

#[test]
fn metrics_are_served_while_the_run_lasts() {
    let lab = Lab::new();
    let port = Port::free().unwrap();
    let address = port.address();
    let sql = "CREATE TABLE g (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');
               CREATE TABLE b (a INT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT a FROM g";
    let mut child = lab.flott.command(["run", "--json", "--metrics", &address, "-e", sql]).spawn().unwrap();
    let get = |path: &str| {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(&address).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: flott\r\nConnection: close\r\n\r\n").ok()?;
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    let value = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    wait_until("rows in the metrics", || {
        let text = get("/metrics").unwrap_or_default();
        value(&text, "flott_read_records_total{source=\"g\"}").is_some_and(|read| read > 0)
            && value(&text, "flott_written_rows_total{sink=\"b\"}").is_some_and(|written| written > 0)
            && text.contains("outcome=\"dead_lettered\"")
    });
    assert!(get("/nothing").unwrap().starts_with("HTTP/1.1 404"));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(get("/metrics").is_none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = lab.flott.run(["run", "--metrics", &address, "-e", "SELECT 1"]).unwrap();
    assert!(outcome.status == Some(2) && outcome.stderr.contains(&address), "{}", outcome.stderr);
}

#[test]
fn any_parallelism_gives_the_same_rows_and_prints_them_in_order() {
    let lab = Lab::new();
    let count = 300_000;
    let line = |at: usize| format!("{{\"a\":{at},\"s\":\"{}\"}}\n", "x".repeat(at % 40));
    lab.write("in.json", (0..count).map(line).collect::<String>());
    let source = table("t", "a BIGINT, s STRING", "in.json", "json", &[]);
    let parallelism = |number: usize| format!("parallelism.default={number}");
    let mut seen: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for number in 1..=3 {
        let sink = table("s", "a BIGINT, n INT", &format!("out{number}"), "csv", &[]);
        let sql =
            source.clone() + &sink + "INSERT INTO s SELECT a * 3, CHAR_LENGTH(s) FROM t WHERE MOD(a, 5) <> 1";
        summary_of(&lab.flott.run(["run", "--json", "-D", &parallelism(number), "-e", &sql]).unwrap());
        seen.insert(number, lab.lines(&format!("out{number}")));
    }
    assert!(seen[&1].len() == count / 5 * 4 && seen[&1] == seen[&2] && seen[&1] == seen[&3]);

    let in_order: Vec<_> = (0..count).map(|at| at.to_string()).collect();
    let run = |sql: &str| {
        let outcome =
            lab.flott.run(["run", "--json", "-o", "csv", "-D", "parallelism.default=3", "-e", sql]).unwrap();
        summary_of(&outcome);
        outcome.stdout.lines().map(str::to_string).collect::<Vec<_>>()
    };
    assert!(run(&(source.clone() + "SELECT a FROM t"))[1..] == in_order);
    let stdout = "CREATE TABLE p (a BIGINT) WITH ('connector' = 'stdout', 'format' = 'csv'); INSERT INTO p SELECT a FROM t";
    assert!(run(&(source.clone() + stdout)) == in_order);
    let print = "CREATE TABLE p (a BIGINT) WITH ('connector' = 'print'); INSERT INTO p SELECT a FROM t";
    let printed: Vec<_> = (0..count).map(|at| format!("+I[{at}]")).collect();
    assert!(run(&(source.clone() + print)) == printed);
    // A table with itself: every row twice, none lost, however the chunks fall.
    let mut twice: Vec<u64> = run(&(source + "SELECT a FROM t UNION ALL SELECT a FROM t"))[1..]
        .iter()
        .map(|row| row.parse().unwrap())
        .collect();
    twice.sort_unstable();
    assert!(twice == (0..2 * count as u64).map(|at| at / 2).collect::<Vec<_>>(), "{} rows", twice.len());
}

#[test]
fn json_shows_every_type() {
    let lab = Lab::new();
    let sql = "SELECT ROW(1, NULL) AS r, INTERVAL '1' DAY AS i, MAP[1, INTERVAL '2' MONTH] AS m, ARRAY[MAP[DATE '2026-01-01', 2]] AS l";
    let printed = out(&lab, &["run", "-q", "-o", "json", "-e", sql]);
    assert_eq!(
        printed,
        "{\"r\":{\"EXPR$0\":1,\"EXPR$1\":null},\"i\":\"+1 00:00:00.000\",\"m\":{\"1\":\"+0-02\"},\"l\":[{\"2026-01-01\":2}]}\n"
    );
}

#[test]
fn dead_letters_are_found_from_the_directory_above() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\":1}\nbroken\n");
    lab.run(&(table("t", "a INT", "in.json", "json", &[("on-error", "dead-letter")]) + "SELECT a FROM t"));
    lab.write("flott-dlq/flott/replayed/old.ndjson", "not looked at");
    for directory in [&[][..], &["flott-dlq"], &["flott-dlq/flott"]] {
        let listed = out(&lab, &[&["dlq", "list"], directory].concat());
        assert!(listed.contains("1 dead letter in ") && listed.contains("flott-dlq/flott"), "{listed}");
        let shown = out(&lab, &[&["dlq", "show"], directory].concat());
        assert!(shown.contains("record: broken"), "{shown}");
    }
    let group = "SET 'execution.runtime-mode' = 'batch'; SELECT a, 6 / (COUNT(*) - 1) FROM t GROUP BY a";
    lab.run(&(table("t", "a INT", "in.json", "json", &[("on-error", "dead-letter")]) + group));
    let shown = out(&lab, &["dlq", "show"]);
    assert!(shown.contains("  group aggregate  FLT-2005\n"), "{shown}");
    let nowhere = lab.flott.run(["dlq", "list", "nowhere"]).unwrap().stderr;
    assert!(nowhere.contains("there is no directory") && nowhere.contains("'dead-letter.path'"), "{nowhere}");
}

#[test]
fn an_unknown_option_leads_to_the_list_of_those_there_are() {
    let lab = Lab::new();
    let said = lab.fails(2, &(table("t", "a INT", "in.json", "json", &[("pth", "x")]) + "SELECT a FROM t"));
    assert!(said.contains("flott list connectors filesystem` and `flott list formats json"), "{said}");
}
