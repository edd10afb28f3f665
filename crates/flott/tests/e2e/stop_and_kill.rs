//! Signals end a run cleanly; a killed run leaves nothing that a reader could see.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use crate::support::{Lab, hidden_files, summary_of, table, visible_files, wait_until};

const GENERATED: &str = "CREATE TABLE g (a BIGINT, s STRING) WITH ('connector' = 'datagen',
    'rows-per-second' = '200000', 'fields.a.kind' = 'sequence', 'fields.a.start' = '0', 'fields.a.end' = '99999999999');\n";

/// Bytes that lie in a table's directory, hidden ones included.
fn bytes_in(lab: &Lab, directory: &str) -> u64 {
    let files = hidden_files(&lab.path(directory)).into_iter().chain(visible_files(&lab.path(directory)));
    files.filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum()
}

#[test]
fn a_signal_stops_an_unbounded_run_and_publishes_its_rows() {
    for signal in ["TERM", "INT"] {
        let lab = Lab::new();
        let sql = GENERATED.to_string()
            + &table("s", "a BIGINT", "out", "json", &[("sink.rolling-policy.file-size", "1 mb")])
            + "INSERT INTO s SELECT a FROM g WHERE MOD(a, 2) = 0";
        let run = lab.start(&sql);
        wait_until("rows on disk", || bytes_in(&lab, "out") > 100_000);
        assert!(visible_files(&lab.path("out")).is_empty(), "nothing is visible before the end");
        run.signal(signal);
        let outcome = run.outcome();
        let summary = summary_of(&outcome);
        assert_eq!(summary["status"], "stopped", "{signal}");
        let mut rows: Vec<u64> = lab
            .lines("out")
            .iter()
            .map(|row| row.trim_start_matches("{\"a\":").trim_end_matches('}').parse().unwrap())
            .collect();
        rows.sort_unstable();
        assert_eq!(summary["sinks"][0]["written"], rows.len());
        assert!(
            rows.iter().enumerate().all(|(at, row)| *row == at as u64 * 2),
            "each row once, none left out"
        );
        assert!(hidden_files(&lab.path("out")).is_empty());
    }
}

#[test]
fn a_monitored_directory_stops_cleanly() {
    let lab = Lab::new();
    lab.write("in/1.json", "{\"a\":1}\nbad\n{\"a\":2}\n");
    // The interval is long: the stop must not wait for it.
    let sql = table("t", "a BIGINT", "in", "json", &[("source.monitor-interval", "1 h")])
        + &table("s", "a BIGINT", "out", "json", &[])
        + "INSERT INTO s SELECT a FROM t";
    let run = lab.start(&sql);
    wait_until("the bad record", || !lab.letters().is_empty());
    run.signal("TERM");
    let summary = summary_of(&run.outcome());
    assert_eq!((&summary["status"], &summary["sinks"][0]["written"]), (&"stopped".into(), &2.into()));
    assert_eq!(lab.lines("out"), ["{\"a\":1}", "{\"a\":2}"]);
}

#[test]
fn a_run_that_waits_for_standard_input_stops() {
    let lab = Lab::new();
    let sql = "CREATE TABLE i (a INT) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT a FROM i";
    let mut command = lab.flott.command(["run", "--json", "-o", "csv", "-e", sql]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"a\":1}\n").unwrap();
    // Rows come out while the input is still open.
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut rows = String::new();
    output.read_line(&mut rows).unwrap();
    output.read_line(&mut rows).unwrap();
    assert_eq!(rows, "a\n1\n");
    assert!(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap().success());
    let summary = summary_of(&child.wait_with_output().unwrap().into());
    assert_eq!((&summary["status"], &summary["sources"][0]["read"]), (&"stopped".into(), &1.into()));
    drop(input);
}

#[test]
fn a_stopped_overwrite_keeps_what_was_there() {
    let lab = Lab::new();
    lab.write("out/old.json", "{\"a\":-1}\n");
    let sql = "SET 'execution.runtime-mode' = 'batch';
        CREATE TABLE g (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000', 'number-of-rows' = '99999999');\n"
        .to_string()
        + &table("s", "a BIGINT", "out", "json", &[("sink.rolling-policy.file-size", "1 mb")])
        + "INSERT OVERWRITE s SELECT a FROM g";
    let run = lab.start(&sql);
    wait_until("rows on disk", || bytes_in(&lab, "out") > 100_000);
    run.signal("TERM");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("'s' keeps the rows it had"), "{}", outcome.stderr);
    assert_eq!(lab.lines("out"), ["{\"a\":-1}"]);
    assert!(hidden_files(&lab.path("out")).is_empty());
}

#[test]
fn a_query_stops_with_whole_rows() {
    let lab = Lab::new();
    for output in ["csv", "json", "table"] {
        let rows = fs::File::create(lab.path("rows")).unwrap();
        let sql = GENERATED.to_string() + "SELECT a FROM g";
        let child =
            lab.flott.command(["run", "--json", "-o", output, "-e", &sql]).stdout(rows).spawn().unwrap();
        let printed = || fs::read_to_string(lab.path("rows")).unwrap();
        wait_until("rows", || printed().lines().count() > 1000);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        let summary = summary_of(&child.wait_with_output().unwrap().into());
        assert_eq!(summary["status"], "stopped");
        let around = if output == "table" { 5 } else { usize::from(output == "csv") };
        assert_eq!(summary["sinks"][0]["written"], printed().lines().count() - around, "{output}");
        assert!(printed().ends_with('\n'));
    }
}

/// Without checkpoints there is nothing to go on from: what was read is handed over, however long that takes.
#[test]
fn a_stop_without_checkpoints_waits_for_a_slow_reader() {
    let lab = Lab::new();
    let mut run = lab.start(&(GENERATED.to_string() + "SELECT * FROM g"));
    let pause = flott_connector::StopSignal::new();
    pause.wait(std::time::Duration::from_millis(500));
    run.signal("TERM");
    pause.wait(std::time::Duration::from_secs(9));
    assert!(run.is_running());
    // Reads all of it.
    let outcome = run.outcome();
    let summary = summary_of(&outcome);
    assert_eq!(summary["status"], "stopped", "{}", outcome.stderr);
    assert!(summary["sinks"][0]["written"].as_u64() > Some(0), "{summary}");
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_stop() {
    let lab = Lab::new();
    // Nobody reads standard output: the run can't hand over its rows.
    let mut run = lab.start(&(GENERATED.to_string() + "SELECT * FROM g"));
    let pause = flott_connector::StopSignal::new();
    pause.wait(std::time::Duration::from_millis(500));
    run.signal("TERM");
    pause.wait(std::time::Duration::from_millis(200));
    assert!(run.is_running());
    run.signal("TERM");
    wait_until("the end", || !run.is_running());
}

#[test]
fn a_killed_run_leaves_nothing_visible_and_the_next_cleans_up() {
    let lab = Lab::new();
    let count = 1_000_000;
    let text: String = (0..count).map(|at| format!("{{\"a\":{at},\"k\":{}}}\n", at % 3)).collect();
    lab.write("in.json", text);
    for format in ["json", "parquet"] {
        let out = format!("out-{format}");
        let columns = "a BIGINT, k INT) PARTITIONED BY (k";
        let sql = table("t", "a BIGINT, k INT", "in.json", "json", &[])
            + &table("s", columns, &out, format, &[("sink.rolling-policy.file-size", "256 kb")])
            + "INSERT INTO s SELECT a, k FROM t";
        let run = lab.start(&sql);
        wait_until("bytes on disk", || bytes_in(&lab, &out) > 500_000);
        run.signal("KILL");
        assert_eq!(run.outcome().status, None);
        assert!(visible_files(&lab.path(&out)).is_empty(), "{:?}", visible_files(&lab.path(&out)));
        assert!(!hidden_files(&lab.path(&out)).is_empty(), "the run was killed in the middle");

        lab.run(&sql);
        let read = sql.split("INSERT").next().unwrap().to_string() + "SELECT a FROM s";
        let mut rows: Vec<u64> = lab.query(&read).iter().map(|row| row.parse().unwrap()).collect();
        rows.sort_unstable();
        assert!(rows == (0..count).collect::<Vec<_>>(), "{} rows", rows.len());
        assert!(hidden_files(&lab.path(&out)).is_empty(), "{:?}", hidden_files(&lab.path(&out)));
    }
}
