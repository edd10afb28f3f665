//! Bad records cost themselves, nothing else; everything else that is wrong says what, where, what to do.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    process::{Command, Stdio},
};

use crate::support::{Lab, check_sums, summary_of, table, visible_files};

const DIRTY: &str = "{\"a\":1,\"s\":\"1\"}\nnot json\n{\"a\":\"x\",\"s\":\"2\"}\r\n\n{\"a\":2,\"s\":\"two\"}\n[1]\n\
                     {\"a\":0,\"s\":\"3\"}\n{\"a\":3,\"s\":\"4\"";

fn dirty(options: &[(&str, &str)]) -> String {
    table("t", "a INT, s STRING", "in.json", "json", options)
}

#[test]
fn a_dead_letter_has_the_bytes_the_place_and_the_reason() {
    let lab = Lab::new();
    let path = lab.write("in.json", DIRTY);
    let rows = lab.query(&(dirty(&[]) + "SELECT 6 / a, CAST(s AS INT) FROM t"));
    assert_eq!(rows, ["6,1"]);
    let letters = lab.letters();
    let said: Vec<_> = letters.iter().map(|it| (it.code.as_str(), it.text.as_deref().unwrap())).collect();
    assert_eq!(
        said,
        [
            ("FLT-2004", "not json"),
            ("FLT-2004", "{\"a\":\"x\",\"s\":\"2\"}"),
            ("FLT-2005", "{\"a\":2,\"s\":\"two\"}"),
            ("FLT-2004", "[1]"),
            ("FLT-2005", "{\"a\":0,\"s\":\"3\"}"),
            ("FLT-2004", "{\"a\":3,\"s\":\"4\""),
        ]
    );
    let mut file = File::open(&path).unwrap();
    for letter in &letters {
        assert_eq!(letter.split, path.to_string_lossy());
        let mut there = vec![0; letter.record().unwrap().len()];
        file.seek(SeekFrom::Start(letter.offset)).unwrap();
        file.read_exact(&mut there).unwrap();
        assert_eq!(there, letter.record().unwrap(), "at {}", letter.offset);
    }
    assert!(letters[1].error.contains("'a'"), "{}", letters[1].error);
    assert!(letters[2].error.contains("two"), "{}", letters[2].error);
    assert!(letters[4].error.contains("division by zero"), "{}", letters[4].error);
}

#[test]
fn places_are_exact_behind_a_byte_order_mark_a_header_and_chunks() {
    let lab = Lab::new();
    let line =
        |at: u32| if at % 10_000 == 77 { format!("bad{at},\"x\ny\"\n") } else { format!("{at},\"x\ny\"\n") };
    let text = format!("\u{feff}number,text\n{}", (0..300_000).map(line).collect::<String>());
    lab.write("in.csv", &text);
    let sql = table("t", "n INT, s STRING", "in.csv", "csv", &[("csv.ignore-first-line", "true")])
        + &table("s", "n INT, s STRING", "out", "json", &[])
        + "INSERT INTO s SELECT * FROM t";
    let summary = lab.run(&sql);
    assert_eq!((&summary["dlq"], &summary["sinks"][0]["written"]), (&30.into(), &299_970.into()));
    let letters = lab.letters();
    assert_eq!(letters.len(), 30);
    for letter in letters {
        let record = letter.record().unwrap();
        let offset = usize::try_from(letter.offset).unwrap();
        assert_eq!(&text.as_bytes()[offset..offset + record.len()], record, "at {offset}");
        assert!(record.starts_with(b"bad") && record.ends_with(b"\ny\""));
    }
}

#[test]
fn a_failing_row_costs_nothing_but_itself() {
    let lab = Lab::new();
    let bad = [0, 1, 4095, 4096, 8191, 8192, 50_000, 99_999];
    let value = |at: u32| if bad.contains(&at) { "x".to_string() } else { at.to_string() };
    lab.write("in.json", (0..100_000).map(|at| format!("{{\"s\":\"{}\"}}\n", value(at))).collect::<String>());
    let rows = lab.query(&(table("t", "s STRING", "in.json", "json", &[]) + "SELECT CAST(s AS INT) FROM t"));
    let expected: Vec<_> = (0..100_000).filter(|at| !bad.contains(at)).map(|at| at.to_string()).collect();
    assert!(rows == expected, "{} rows", rows.len());
    assert_eq!(lab.letters().len(), bad.len());
}

#[test]
fn on_error_fail_stops_and_publishes_nothing() {
    let lab = Lab::new();
    lab.write("in.json", DIRTY);
    let sink = table("s", "a INT", "out", "json", &[]) + "INSERT INTO s SELECT ";
    for (select, code, record) in
        [("a", "FLT-2004", "not json"), ("CAST(CAST(s AS STRING) AS INT)", "FLT-2004", "not json")]
    {
        let said = lab.fails(1, &format!("{}{sink}{select} FROM t", dirty(&[("on-error", "fail")])));
        assert!(said.contains(code) && said.contains(record) && said.contains("in.json at 16"), "{said}");
    }
    lab.write("in.json", "{\"a\":0}\n");
    let said = lab.fails(1, &format!("{}{sink}1 / a FROM t", dirty(&[("on-error", "fail")])));
    assert!(said.contains("FLT-2005") && said.contains("division by zero"), "{said}");
    assert!(visible_files(&lab.path("out")).is_empty() && lab.letters().is_empty());
}

#[test]
fn on_error_skip_counts_and_forgets() {
    let lab = Lab::new();
    lab.write("in.json", DIRTY);
    let sql = dirty(&[("on-error", "skip")])
        + &table("s", "a INT", "out", "json", &[])
        + "INSERT INTO s SELECT 6 / a FROM t";
    let summary = lab.run(&sql);
    let edge = &summary["edges"][0];
    assert_eq!((&edge["in"], &edge["out"], &edge["skipped"]), (&7.into(), &2.into(), &5.into()));
    assert!(lab.letters().is_empty());
    let wrong = lab.fails(2, &(dirty(&[("on-error", "ignore")]) + "SELECT * FROM t"));
    assert!(wrong.contains("dead-letter"), "{wrong}");
}

#[test]
fn ignore_parse_errors_makes_fields_null_and_skips_records() {
    let lab = Lab::new();
    lab.write("in.json", DIRTY);
    // It wins over on-error for what the format decodes, not for what an expression does.
    let options = [("json.ignore-parse-errors", "true"), ("on-error", "fail")];
    let outcome = lab
        .flott
        .run(["run", "--json", "-o", "csv", "-e", &(dirty(&options) + "SELECT a, s FROM t")])
        .unwrap();
    assert_eq!(outcome.stdout, "a,s\n1,1\n,2\n2,two\n0,3\n");
    assert_eq!(summary_of(&outcome)["edges"][0]["skipped"], 3);
    let said = lab.fails(1, &(dirty(&options) + "SELECT 1 / a FROM t"));
    assert!(said.contains("FLT-2005"), "{said}");

    lab.write("in.csv", "1,a\nx,b\n3\n4,d,more\n5,e\n");
    let csv = |value| table("t", "a INT, s STRING", "in.csv", "csv", &[("csv.ignore-parse-errors", value)]);
    assert_eq!(lab.query(&(csv("true") + "SELECT a, s FROM t")), ["1,a", ",b", "3,", "5,e"]);
    assert!(lab.letters().is_empty());
    lab.query(&(csv("false") + "SELECT a, s FROM t"));
    assert!(lab.letters().iter().any(|it| it.text.as_deref() == Some("x,b")));
}

#[test]
fn a_missing_input_is_underlined() {
    let lab = Lab::new();
    let sql = "CREATE TABLE t (a INT) WITH (\n  'connector' = 'filesystem',\n  'path' = 'no/such.json',\n  'format' = 'json'\n);\nSELECT * FROM t";
    let said = lab.fails(1, sql);
    for part in ["FLT-2001", "no/such.json' does not exist", ":3:12", "^^^^^^^^^^^^^^"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let validated = lab.flott.run(["validate", "-e", sql]).unwrap();
    assert_eq!(validated.status, Some(1), "{}", validated.stderr);
    assert_eq!(lab.flott.run(["validate", "--offline", "-e", sql]).unwrap().status, Some(0));
}

#[test]
fn what_is_no_input_says_so() {
    let lab = Lab::new();
    lab.write("file.json", "{}");
    lab.write("no.parquet", "PAR1 this is not one");
    lab.write("no.json.gz", "not gzip");
    for (path, format) in [("file.json/below", "json"), ("no.parquet", "parquet"), ("no.json.gz", "json")] {
        let said = lab.fails(1, &(table("t", "a INT", path, format, &[]) + "SELECT * FROM t"));
        assert!(said.contains("FLT-200") && said.contains(path), "{said}");
    }
    std::os::unix::fs::symlink("loop.json", lab.path("loop.json")).unwrap();
    let said = lab.fails(1, &(table("t", "a INT", "loop.json", "json", &[]) + "SELECT * FROM t"));
    assert!(said.contains("loop.json"), "{said}");
}

#[test]
fn an_empty_file_is_not_parquet() {
    let lab = Lab::new();
    lab.write("in/empty.parquet", "");
    let said = lab.fails(1, &(table("t", "a INT", "in", "parquet", &[]) + "SELECT * FROM t"));
    assert!(said.contains("in/empty.parquet' is not a Parquet file"), "{said}");
}

#[test]
fn the_path_of_a_sink_is_no_glob() {
    let lab = Lab::new();
    let sql = table("s", "a INT", "out/*.json", "json", &[]) + "INSERT INTO s VALUES (1)";
    let said = lab.fails(2, &sql);
    assert!(said.contains("can't hold '*'") && !lab.path("out").exists(), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_says_so() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\":1}\n");
    lab.write("taken", "a file");
    for path in ["taken", "taken/below", "/proc/none"] {
        let sql = table("t", "a INT", "in.json", "json", &[]) + &table("s", "a INT", path, "json", &[]);
        let said = lab.fails(1, &(sql + "INSERT INTO s SELECT * FROM t"));
        assert!(said.contains("FLT-2003") && said.contains(path) && said.contains("help"), "{said}");
    }
}

#[test]
fn a_full_disk_fails_the_run_and_shows_nothing() {
    let lab = Lab::new();
    let text: String = (0..400_000).map(|at| format!("{{\"a\":{at}}}\n")).collect();
    lab.write("in.json", text);
    fs::create_dir(lab.path("small")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(lab.path("small"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let run = |format| {
        let sql = table("t", "a BIGINT", "in.json", "json", &[])
            + &table("s", "a BIGINT", "small/out", format, &[])
            + "INSERT INTO s SELECT * FROM t";
        let outcome = lab.flott.run_sql(&sql).unwrap();
        (outcome, visible_files(&lab.path("small/out")))
    };
    let outcomes = [run("json"), run("parquet")];
    // The dead letters' disk may be full too.
    let sql = table("t", "a DATE", "in.json", "json", &[])
        + "SET 'dead-letter.path' = 'small/dlq'; SELECT * FROM t";
    let letters = lab.flott.run_sql(&sql).unwrap();
    assert!(Command::new("umount").arg(lab.path("small")).status().unwrap().success());
    for (outcome, visible) in outcomes {
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("FLT-2003") && outcome.stderr.contains("disk is full"),
            "{}",
            outcome.stderr
        );
        assert!(visible.is_empty(), "{visible:?}");
        assert_eq!(outcome.summary.unwrap()["status"], "failed");
    }
    assert_eq!(letters.status, Some(1), "{}", letters.stderr);
    assert!(
        letters.stderr.contains("FLT-2006") && letters.stderr.contains("dead-letter.path"),
        "{}",
        letters.stderr
    );
}

#[test]
fn whoever_stops_reading_ends_the_query_quietly() {
    let lab = Lab::new();
    lab.write("in.json", (0..500_000).map(|at| format!("{{\"a\":{at}}}\n")).collect::<String>());
    let sql = table("t", "a BIGINT", "in.json", "json", &[]) + "SELECT * FROM t";
    for arguments in [
        vec!["run", "--json", "-o", "csv", "-e", &sql],
        vec!["list", "functions"],
        vec!["completions", "bash"],
        vec!["explain", "-e", &sql],
    ] {
        let mut child = lab.flott.command(&arguments).spawn().unwrap();
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn a_table_that_writes_to_a_closed_pipe_fails() {
    let lab = Lab::new();
    lab.write("in.json", (0..500_000).map(|at| format!("{{\"a\":{at}}}\n")).collect::<String>());
    let sql = table("t", "a BIGINT", "in.json", "json", &[])
        + "CREATE TABLE p (a BIGINT) WITH ('connector' = 'stdout', 'format' = 'json'); INSERT INTO p SELECT * FROM t";
    let mut child = lab.flott.command(["run", "--json", "-e", &sql]).spawn().unwrap();
    drop(child.stdout.take());
    let outcome = flott_testkit::Outcome::from(child.wait_with_output().unwrap());
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("FLT-2003"), "{}", outcome.stderr);
    check_sums(&outcome.summary.unwrap());
}

#[test]
fn mistakes_in_a_script_are_found_before_anything_runs() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\":1}\n");
    let good = table("t", "a INT, s STRING", "in.json", "json", &[]);
    let sink = table("s", "a INT", "out", "json", &[]);
    let cases = [
        (
            table("w", "a INT", "in.json", "json", &[("json.ignore-parse-error", "true")])
                + "SELECT * FROM w",
            vec!["FLT-1202", "did you mean 'json.ignore-parse-errors'"],
        ),
        (
            table("w", "a INT", "in.json", "jsn", &[]) + "SELECT * FROM w",
            vec!["FLT-1201", "did you mean 'json'"],
        ),
        (good.clone() + "SELECT aa FROM t", vec!["FLT-1102", "^^"]),
        (good.clone() + "SELECT * FROM tt", vec!["FLT-1101", "^^", "did you mean 't'"]),
        (good.clone() + "SELECT a AND s FROM t", vec!["FLT-110", "^"]),
        (good.clone() + "SELECT UPER(s) FROM t", vec!["FLT-1104", "^^^^", "did you mean 'UPPER'"]),
        (good.clone() + &sink + "INSERT INTO s SELECT s FROM t", vec!["FLT-110", "^"]),
        (good.clone() + "SELEC a FROM t", vec!["FLT-1001", "^^^^^"]),
        (good.clone() + "SELECT a FROM t, LATERAL TABLE(f(a))", vec!["FLT-1002", "not supported yet", "^"]),
        ("SET 'paralelism.default' = '2'".to_string(), vec!["FLT-1202", "parallelism.default"]),
        ("SET 'parallelism.default' = 'many'; SELECT 1".to_string(), vec!["FLT-1203", "many"]),
    ];
    for (sql, parts) in cases {
        // The mistake stands behind a good INSERT, which must not run.
        let sql = format!(
            "{}{}INSERT INTO early SELECT * FROM i;\n{sql}",
            table("i", "a INT", "in.json", "json", &[]),
            table("early", "a INT", "early", "json", &[])
        );
        let said = lab.fails(2, &sql);
        for part in parts {
            assert!(said.contains(part), "no {part} in:\n{said}");
        }
        assert!(!lab.path("early").exists(), "{sql}");
    }
}

#[test]
fn validate_shows_all_mistakes_at_once() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\":1}\n");
    let script = table("t", "a INT, s STRING", "in.json", "json", &[])
        + "SELECT nope FROM t;\nCREATE TABLE w (x INT) WITH ('connector' = 'filesystem', 'pth' = 'a', 'format' = 'jsn');\n"
        + "SELECT LOWR(s) FROM t;\nSELEC 1;\nSELECT * FROM nowhere;\n";
    let path = lab.write("script.sql", script);
    for arguments in [vec!["validate"], vec!["validate", "--offline"]] {
        let outcome = lab.flott.run([arguments, vec![path.to_str().unwrap()]].concat()).unwrap();
        assert_eq!(outcome.status, Some(2));
        for part in ["'nope'", "'pth'", "'jsn'", "'LOWR'", "SELEC", "'nowhere'", "script.sql:2:8"] {
            assert!(outcome.stderr.contains(part), "no {part} in:\n{}", outcome.stderr);
        }
        let errors = outcome.stderr.matches("error[").count();
        assert!(
            outcome.stdout.contains(&format!("{errors} errors")),
            "{}\n{}",
            outcome.stdout,
            outcome.stderr
        );
    }
}

#[test]
fn null_never_comes_through_a_not_null_column() {
    let lab = Lab::new();
    lab.write(
        "in.json",
        "{\"id\":1,\"item\":\"a\"}\n{\"id\":null,\"item\":\"b\"}\n{\"item\":\"c\"}\n{\"id\":4}\n",
    );
    lab.write("in.csv", "1,a\n\\N,b\n3,\\N\n");
    let columns = "id BIGINT NOT NULL, item STRING";
    let read = |path: &str, format: &str, options: &[(&str, &str)]| {
        table("t", columns, path, format, options)
            + &table("s", columns, &format!("out-{path}"), "json", &[])
            + "INSERT INTO s SELECT id, item FROM t"
    };
    let summary = lab.run(&read("in.json", "json", &[]));
    check_sums(&summary);
    assert_eq!(summary["dlq"], 2);
    let rows = ["{\"id\":1,\"item\":\"a\"}", "{\"id\":4,\"item\":null}"];
    assert_eq!(lab.lines("out-in.json"), rows);
    let letters = lab.letters();
    let texts: Vec<_> = letters.iter().map(|it| (it.code.as_str(), it.text.as_deref().unwrap())).collect();
    let expected = ["{\"id\":null,\"item\":\"b\"}", "{\"item\":\"c\"}"].map(|text| ("FLT-2004", text));
    assert_eq!(texts, expected);
    assert_eq!(letters[0].error, "column 'id' is NOT NULL, and its value is null or missing");

    let csv = [("csv.null-literal", "\\N"), ("on-error", "skip")];
    let summary = lab.run(&read("in.csv", "csv", &csv));
    check_sums(&summary);
    assert_eq!((&summary["edges"][0]["skipped"], &summary["dlq"]), (&1.into(), &0.into()));
    assert_eq!(lab.lines("out-in.csv"), ["{\"id\":1,\"item\":\"a\"}", "{\"id\":3,\"item\":null}"]);

    let failed = lab.fails(1, &read("in.json", "json", &[("on-error", "fail")]));
    assert!(failed.contains("column 'id' is NOT NULL"), "{failed}");
}
