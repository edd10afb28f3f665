//! Rows that change: read, carried, written and read again; bad ones; who refuses them.

use std::{fmt::Write as _, fs};

use flott_testkit::kills::files_below;
use serde_json::{Value, json};

use crate::support::{Lab, check_sums, summary_of, table, visible_files, wait_until};

/// A changelog table of this name over the path of the same name.
fn log(name: &str, columns: &str, options: &[(&str, &str)]) -> String {
    table(name, columns, name, "changelog-json", options)
}

/// Many changes of few rows, so that their order counts: more than a chunk of them.
fn many_changes() -> String {
    let mut text = String::new();
    for at in 0..120_000 {
        let id = at % 7;
        if at >= 7 {
            writeln!(text, r#"{{"op":"-U","data":{{"id":{id},"v":{}}}}}"#, at - 7).unwrap();
        }
        let op = if at < 7 { "+I" } else { "+U" };
        writeln!(text, r#"{{"op":"{op}","data":{{"id":{id},"v":{at}}}}}"#).unwrap();
    }
    text
}

#[test]
fn changes_keep_their_order_through_any_number_of_shards() {
    let lab = Lab::new();
    lab.write("t", many_changes());
    let sql = "SET 'parallelism.default' = '4';\n".to_string()
        + &log("t", "id INT, v INT", &[])
        + &log("s", "v INT, id INT", &[("sink.rolling-policy.file-size", "1 kb")])
        + "INSERT INTO s SELECT v, id FROM t WHERE id = 3;\n";
    let summary = lab.run(&sql);
    let sink = &summary["sinks"][0];
    let changes = json!({"+I": 1, "-U": 17_142, "+U": 17_142, "-D": 0});
    assert_eq!((&sink["written"], &sink["changes"]), (&json!(34_285), &changes));
    assert!(visible_files(&lab.path("s")).len() > 10);
    let read = "SET 'parallelism.default' = '4';\n".to_string()
        + &log("s", "v INT, id INT", &[])
        + "SELECT v FROM s;";
    let rows = lab.query(&read);
    assert_eq!(rows.len(), 34_285);
    let mut now: Option<i32> = None;
    for row in rows {
        let (op, v) = row.split_once(',').unwrap();
        let v: i32 = v.parse().unwrap();
        match op {
            "-U" => assert_eq!(now.take(), Some(v)),
            _ => assert_eq!(now.replace(v), None),
        }
    }
    assert_eq!(now, Some(119_997));
}

#[test]
fn records_that_say_no_change_are_kept_aside_with_their_places() {
    let lab = Lab::new();
    let lines = [
        r#"{"op":"+I","data":{"id":1,"v":1}}"#,
        r#"{"op":"+Z","data":{"id":2,"v":1}}"#,
        r#"{"op":"+I","data":7}"#,
        r#"{"op":"+I","data":{"id":3,"v":0}}"#,
        r#"{"op":"-D","data":{"id":1,"v":1}}"#,
    ];
    lab.write("t", lines.join("\n"));
    let sql = log("t", "id INT, v INT", &[])
        + &log("s", "id INT, q INT", &[])
        + "INSERT INTO s SELECT id, 6 / v FROM t;\n";
    let summary = lab.run(&sql);
    assert_eq!(summary["dlq"], 3, "{summary}");
    assert_eq!(
        lab.lines("s"),
        [r#"{"op":"+I","data":{"id":1,"q":6}}"#, r#"{"op":"-D","data":{"id":1,"q":6}}"#]
    );
    let letters = lab.letters();
    let places: Vec<u64> = letters.iter().map(|letter| letter.offset).collect();
    let offsets: Vec<u64> = (1..4).map(|at| lines[..at].iter().map(|it| it.len() as u64 + 1).sum()).collect();
    assert_eq!(places, offsets);
    // Mended, they come through: a record stands for itself.
    fs::remove_dir_all(lab.path("s")).unwrap();
    let mended = sql.replace("6 / v", "CASE v WHEN 0 THEN 0 ELSE 6 / v END");
    lab.write("mended.sql", mended);
    let outcome = lab.flott.run(["dlq", "replay", "flott-dlq/flott", "mended.sql"]).unwrap();
    assert!(outcome.is_success(), "{}", outcome.stderr);
    assert_eq!(lab.lines("s"), [r#"{"op":"+I","data":{"id":3,"q":0}}"#]);
}

const ROW_BY_ROW: &str = "SET 'table.exec.mini-batch.enabled' = 'false';\n";

fn unmatched(summary: &Value) -> u64 {
    let edges = summary["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["unmatched"].as_u64().unwrap_or(0)).sum()
}

const SUMS: &str = "SELECT k, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY k";

fn sums(lab: &Lab, prelude: &str) -> (Vec<String>, Value) {
    let sql = prelude.to_string() + &log("t", "k STRING, v INT", &[]) + SUMS + ";";
    let outcome = lab.flott.run(["run", "--json", "--output", "csv", "-e", sql.as_str()]).unwrap();
    let summary = summary_of(&outcome);
    (outcome.stdout.lines().skip(1).map(str::to_string).collect(), summary)
}

#[test]
fn a_retraction_of_a_row_never_seen_is_counted_and_changes_nothing() {
    let lab = Lab::new();
    lab.write(
        "t",
        r#"{"op":"-D","data":{"k":"a","v":5}}
{"op":"+I","data":{"k":"b","v":1}}
"#,
    );
    for prelude in ["", ROW_BY_ROW] {
        let (rows, summary) = sums(&lab, prelude);
        assert_eq!(rows, ["+I,b,1,1"], "{prelude}");
        assert_eq!(unmatched(&summary), 1, "{summary}");
    }
    // The second half of an update, whose first half nobody knows, is a row.
    lab.write(
        "t",
        r#"{"op":"-U","data":{"k":"c","v":1}}
{"op":"+U","data":{"k":"c","v":2}}
"#,
    );
    let (rows, summary) = sums(&lab, ROW_BY_ROW);
    assert_eq!(rows, ["+I,c,1,2"]);
    assert_eq!(unmatched(&summary), 1, "{summary}");
}

#[test]
fn updates_out_of_order_come_right_once_all_are_there() {
    let lab = Lab::new();
    // What the row was comes behind what it is.
    lab.write(
        "t",
        r#"{"op":"+I","data":{"k":"a","v":1}}
{"op":"+U","data":{"k":"a","v":2}}
{"op":"-U","data":{"k":"a","v":1}}
{"op":"+U","data":{"k":"a","v":3}}
{"op":"-U","data":{"k":"a","v":2}}
"#,
    );
    assert_eq!(sums(&lab, "").0, ["+I,a,1,3"]);
    // Change by change, everybody in between can be seen.
    let (rows, _) = sums(&lab, ROW_BY_ROW);
    assert_eq!(rows.first().map(String::as_str), Some("+I,a,1,1"));
    assert_eq!(rows.last().map(String::as_str), Some("+U,a,1,3"));
}

#[test]
fn an_upsert_table_may_say_the_same_key_again() {
    let lab = Lab::new();
    lab.write(
        "u",
        r#"{"op":"+I","data":{"id":1,"k":"a","v":1}}
{"op":"+I","data":{"id":1,"k":"a","v":2}}
{"op":"+U","data":{"id":2,"k":"b","v":5}}
{"op":"+U","data":{"id":1,"k":"b","v":4}}
{"op":"-D","data":{"id":9}}
{"op":"+I","data":{"id":3,"k":"c","v":1}}
{"op":"-D","data":{"id":3}}
"#,
    );
    let columns = "id INT, k STRING, v INT, PRIMARY KEY (id) NOT ENFORCED";
    let upsert = log("u", columns, &[("changelog-json.mode", "upsert")]);
    let mut rows = lab.query(&(upsert.clone() + "SELECT k, COUNT(*), SUM(v) FROM u GROUP BY k;"));
    rows.sort();
    assert_eq!(rows, ["+I,b,2,9"]);
    // Written as upserts again, there is no `-U`, and each key is told once.
    let sink = log("w", columns, &[("changelog-json.mode", "upsert")]);
    let summary = lab.run(&(upsert + &sink + "INSERT INTO w SELECT * FROM u WHERE id < 3;\n"));
    assert_eq!(summary["sinks"][0]["changes"]["-U"].as_u64().unwrap_or(0), 0, "{summary}");
    let last = |id: i64| {
        let of = |line: &String| {
            let change: Value = serde_json::from_str(line).unwrap();
            (change["data"]["id"] == id).then(|| change["data"]["v"].clone())
        };
        let file = visible_files(&lab.path("w")).into_iter().map(fs::read_to_string);
        let text: String = file.map(Result::unwrap).collect();
        text.lines().map(str::to_string).filter_map(|line| of(&line)).next_back()
    };
    assert_eq!((last(1), last(2)), (Some(json!(4)), Some(json!(5))));
}

#[test]
fn a_table_that_takes_no_changes_refuses_them_and_says_who_makes_them() {
    let lab = Lab::new();
    lab.write("t", "");
    let tables = table("t", "k STRING, v INT", "t", "json", &[]);
    for format in ["json", "csv", "parquet"] {
        let sql = tables.clone()
            + &table("plain", "k STRING, n BIGINT", "out", format, &[])
            + "INSERT INTO plain SELECT k, COUNT(*) FROM t GROUP BY k;\n";
        let said = lab.fails(2, &sql);
        let expected = "table 'plain' takes new rows only, but the group aggregate changes rows";
        assert!(said.contains(expected), "{format}: {said}");
        assert!(said.contains("'format' = 'changelog-json'"), "{said}");
        assert!(!lab.path("out").exists());
    }
}

#[test]
fn batch_mode_gives_final_rows_only() {
    let lab = Lab::new();
    let rows = (0..5_000).map(|at| format!("{{\"k\":\"{}\",\"v\":{at}}}\n", at % 3));
    lab.write("t", rows.collect::<String>());
    let sql = "SET 'execution.runtime-mode' = 'batch';\n".to_string()
        + &table("t", "k STRING, v INT", "t", "json", &[]);
    let mut rows = lab.query(&(sql.clone() + SUMS + ";"));
    rows.sort();
    assert_eq!(rows, ["0,1667,4165833", "1,1667,4167500", "2,1666,4164167"]);
    // A table that takes new rows only takes these.
    let sink = table("plain", "k STRING, n BIGINT, total INT", "out", "json", &[]);
    let summary = lab.run(&(sql + &sink + "INSERT INTO plain " + SUMS + ";\n"));
    assert_eq!(summary["sinks"][0]["written"], 3);
    assert!(summary["sinks"][0].get("changes").is_none(), "{summary}");
    assert_eq!(lab.lines("out").len(), 3);
}

#[test]
fn every_output_shows_what_a_row_does() {
    let lab = Lab::new();
    lab.write("t", r#"{"op":"-D","data":{"id":1,"v":2}}"#);
    let sql = log("t", "id INT, v INT", &[]) + "SELECT id, v FROM t;";
    let shown = |output: &str| {
        let outcome = lab.flott.run(["run", "--quiet", "--output", output, "-e", sql.as_str()]).unwrap();
        assert!(outcome.is_success(), "{}", outcome.stderr);
        outcome.stdout
    };
    assert_eq!(shown("json"), "{\"op\":\"-D\",\"id\":1,\"v\":2}\n");
    assert_eq!(shown("csv"), "op,id,v\n-D,1,2\n");
    assert!(shown("table").contains("| -D |  1 | 2 |"), "{}", shown("table"));
}

/// A row that a filter drops when it changes is deleted from a table that goes by its key.
#[test]
fn what_leaves_the_result_is_deleted_from_an_upsert_table() {
    let lab = Lab::new();
    lab.write("in", "{\"k\":\"a\",\"n\":3}\n{\"k\":\"b\",\"n\":4}\n{\"k\":\"a\",\"n\":7}\n");
    let upsert = [("changelog-json.mode", "upsert")];
    let key = "k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED";
    let sql = "SET 'table.exec.mini-batch.enabled' = 'false'; SET 'parallelism.default' = '1';\n".to_string()
        + &table("s", "k STRING NOT NULL, n BIGINT", "in", "json", &[])
        + &table("o", key, "out", "changelog-json", &upsert)
        + "INSERT INTO o SELECT k, SUM(n) FROM s GROUP BY k HAVING SUM(n) < 5;";
    let summary = lab.run(&sql);
    check_sums(&summary);
    let mut ops: Vec<String> =
        lab.lines("out").iter().map(|line| format!("{}{}", &line[7..9], &line[23..26])).collect();
    ops.sort();
    assert_eq!(ops, ["+I\"a\"", "+I\"b\"", "-D\"a\""]);
}

/// What was gathered when a run is stopped is told before it ends: the checkpoint says that it was read.
#[test]
fn a_stop_tells_what_was_gathered() {
    let lab = Lab::new();
    let sql =
        "SET 'table.exec.mini-batch.enabled' = 'true'; SET 'table.exec.mini-batch.allow-latency' = '1 h';
        SET 'execution.checkpointing.dir' = 'ck'; SET 'execution.checkpointing.interval' = '1 h';\n"
            .to_string()
            + &table("t", "k STRING, v INT", "in", "json", &[("source.monitor-interval", "10 ms")])
            + &table("sums", "k STRING, v INT", "out", "changelog-json", &[])
            + "INSERT INTO sums SELECT k, SUM(v) FROM t GROUP BY k";
    // The letter of the bad record, hidden until the checkpoint, says that everything before it was read.
    let has_letter = || {
        let hidden = files_below(&lab.path("flott-dlq"), true).unwrap();
        hidden.iter().any(|file| fs::metadata(file).is_ok_and(|it| it.len() > 0))
    };
    let run_until = |letters: usize| {
        let run = lab.start(&sql);
        wait_until("the bad record", has_letter);
        run.signal("TERM");
        check_sums(&summary_of(&run.outcome()));
        assert_eq!(lab.letters().len(), letters);
        let mut lines = lab.lines("out");
        lines.sort();
        lines
    };
    let change =
        |op: &str, k: &str, v: i32| format!("{{\"op\":\"{op}\",\"data\":{{\"k\":\"{k}\",\"v\":{v}}}}}");
    lab.write("in/1.json", "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":5}\n{\"k\":\"a\",\"v\":2}\nbad\n");
    assert_eq!(run_until(1), [change("+I", "a", 3), change("+I", "b", 5)]);
    lab.write("in/2.json", "{\"k\":\"a\",\"v\":10}\nbad\n");
    let all = [change("+I", "a", 3), change("+I", "b", 5), change("+U", "a", 13), change("-U", "a", 3)];
    assert_eq!(run_until(2), all);
}
