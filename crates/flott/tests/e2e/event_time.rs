//! Time that misbehaves: clocks that go back, rows from the future, rows too late, no time at all, sources
//! that fall silent; and windows that are crowded or whose values overflow.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
};

use serde_json::Value;

use crate::support::{Lab, check_sums, table, wait_until};

const COLUMNS: &str = "id INT, ts TIMESTAMP(3), k STRING, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND";
const ON_EVENT: (&str, &str) = ("scan.watermark.emit.strategy", "on-event");
const PER_WINDOW: &str = "INSERT INTO s SELECT window_start, COUNT(*), LISTAGG(CAST(id AS STRING))
    FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end";

fn script(options: &[(&str, &str)]) -> String {
    table("t", COLUMNS, "in", "json", options)
        + &table("s", "w TIMESTAMP(0), n BIGINT, ids STRING", "out", "csv", &[])
        + PER_WINDOW
}

/// Rows numbered from 1; a time is minute and second after ten.
fn rows(times: &[&str]) -> String {
    let mut text = String::new();
    for (id, time) in (1..).zip(times) {
        let ts = match *time {
            "null" => "null".to_string(),
            time if time.len() == 5 => format!("\"2026-01-01 10:{time}\""),
            time => format!("\"{time}\""),
        };
        writeln!(text, "{{\"id\":{id},\"ts\":{ts},\"k\":\"a\"}}").unwrap();
    }
    text
}

/// The sum of a counter over all edges.
fn total(summary: &Value, counter: &str) -> u64 {
    summary["edges"].as_array().unwrap().iter().filter_map(|edge| edge[counter].as_u64()).sum()
}

#[test]
fn a_clock_that_goes_backwards_leaves_the_watermark_where_it_is() {
    let lab = Lab::new();
    lab.write("in/a.json", rows(&["00:01", "00:30", "00:02", "00:03", "00:31", "00:05", "00:29"]));
    let summary = lab.run(&script(&[ON_EVENT]));
    assert_eq!(total(&summary, "late"), 3);
    assert_eq!(
        lab.lines("out"),
        ["\"2026-01-01 10:00:00\",1,1", "\"2026-01-01 10:00:20\",1,7", "\"2026-01-01 10:00:30\",2,\"2,5\""]
    );
}

#[test]
fn a_row_from_the_future_closes_every_window_unless_it_is_kept_out() {
    let times = ["00:01", "2090-01-01 00:00:00", "00:02", "00:12"];
    let lab = Lab::new();
    lab.write("in/a.json", rows(&times));
    let summary = lab.run(&script(&[ON_EVENT]));
    assert_eq!((total(&summary, "late"), total(&summary, "dead_lettered")), (2, 0));
    assert_eq!(lab.lines("out").len(), 2);

    let lab = Lab::new();
    lab.write("in/a.json", rows(&times));
    let summary = lab.run(&script(&[ON_EVENT, ("scan.watermark.max-ahead", "365 d")]));
    assert_eq!((total(&summary, "late"), total(&summary, "dead_lettered")), (0, 1));
    assert_eq!(lab.lines("out"), ["\"2026-01-01 10:00:00\",2,\"1,3\"", "\"2026-01-01 10:00:10\",1,4"]);
    let letters = lab.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].text.as_deref().is_some_and(|text| text.contains("2090")), "{:?}", letters[0]);
}

#[test]
fn late_rows_are_dropped_or_kept_with_their_bytes_and_place() {
    let times = ["00:01", "00:33", "00:02", "00:34", "00:05", "00:36"];
    let lab = Lab::new();
    lab.write("in/a.json", rows(&times));
    let dropped = lab.run(&script(&[ON_EVENT]));
    assert_eq!((total(&dropped, "late"), total(&dropped, "dead_lettered")), (2, 0));
    assert!(lab.letters().is_empty());
    let expected = lab.lines("out");

    let lab = Lab::new();
    let path = lab.write("in/a.json", rows(&times));
    let kept = lab.run(&script(&[ON_EVENT, ("late-rows", "dead-letter")]));
    assert_eq!((total(&kept, "late"), total(&kept, "dead_lettered")), (0, 2));
    assert_eq!(kept["dlq"], 2);
    assert_eq!(lab.lines("out"), expected);
    let letters = lab.letters();
    let mut file = File::open(&path).unwrap();
    for (letter, id) in letters.iter().zip(["\"id\":3", "\"id\":5"]) {
        assert_eq!((letter.code.as_str(), letter.split.as_str()), ("FLT-2008", &*path.to_string_lossy()));
        assert!(letter.text.as_deref().is_some_and(|text| text.contains(id)), "{letter:?}");
        let mut there = vec![0; letter.record().unwrap().len()];
        file.seek(SeekFrom::Start(letter.offset)).unwrap();
        file.read_exact(&mut there).unwrap();
        assert_eq!(there, letter.record().unwrap());
    }
}

#[test]
fn a_row_without_time_is_a_dead_letter() {
    let lab = Lab::new();
    lab.write("in/a.json", rows(&["00:01", "null", "00:02"]));
    let summary = lab.run(&script(&[("late-rows", "dead-letter")]));
    assert_eq!(total(&summary, "dead_lettered"), 1);
    assert_eq!(lab.lines("out"), ["\"2026-01-01 10:00:00\",2,\"1,3\""]);
    assert!(lab.letters()[0].text.as_deref().is_some_and(|text| text.contains("\"id\":2")));
}

#[test]
fn an_empty_split_holds_nobody_back() {
    let lab = Lab::new();
    lab.write("in/a.json", rows(&["00:01", "00:31", "00:45"]));
    lab.write("in/b.json", "");
    lab.write("in/c.json", rows(&["00:02", "00:32"]));
    let summary = lab.run(&script(&[ON_EVENT]));
    assert_eq!(total(&summary, "late"), 0, "{summary}");
    assert_eq!(lab.lines("out").len(), 3);
}

#[test]
fn a_key_that_is_half_of_the_input() {
    let lab = Lab::new();
    let mut text = String::new();
    for at in 0..60_000 {
        let key = if at % 2 == 0 { 0 } else { at };
        let (second, id) = (at / 1_000, at);
        writeln!(text, "{{\"id\":{id},\"ts\":\"2026-01-01 10:00:{second:02}\",\"k\":\"{key}\"}}").unwrap();
    }
    lab.write("in/a.json", text);
    for strategy in ["ONE_PHASE", "TWO_PHASE"] {
        let lines = lab.query(
            &(format!("SET 'table.optimizer.agg-phase-strategy' = '{strategy}';\n")
                + &table("t", COLUMNS, "in", "json", &[])
                + "SELECT window_start, COUNT(*), MAX(n), SUM(n) FROM (
                     SELECT window_start, window_end, k, COUNT(*) AS n
                     FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, k)
                   GROUP BY window_start, window_end"),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(",30001,30000,60000"), "{lines:?}");
    }
}

#[test]
fn a_million_keys_in_one_window() {
    let lab = Lab::new();
    let lines = lab.query(
        "CREATE TABLE t (id INT, ts AS TIMESTAMP '2026-01-01 10:00:00', WATERMARK FOR ts AS ts) WITH (
           'connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1',
           'fields.id.end' = '1000000', 'rows-per-second' = '100000000');
         SELECT COUNT(*), SUM(n), MAX(id) FROM (
           SELECT window_start, window_end, id, COUNT(*) AS n
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, id)
         GROUP BY window_start, window_end",
    );
    assert_eq!(lines, ["1000000,1000000,1000000"]);
}

#[test]
fn sums_that_overflow_and_values_that_are_no_numbers() {
    let lab = Lab::new();
    let nines = "9".repeat(38);
    lab.write(
        "in.json",
        format!(
            "{{\"b\":9223372036854775807,\"m\":\"{nines}\",\"d\":\"NaN\"}}\n{{\"b\":2,\"m\":\"1\",\"d\":1.5}}\n{{\"d\":-2.5}}\n"
        ),
    );
    let columns =
        "b BIGINT, m DECIMAL(38, 0), d DOUBLE, ts AS TIMESTAMP '2026-01-01 10:00:00', WATERMARK FOR ts AS ts";
    let lines = lab.query(
        &(table("t", columns, "in.json", "json", &[])
            + "SELECT SUM(b), SUM(m), MIN(d), MAX(d), AVG(d) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))
               GROUP BY window_start, window_end"),
    );
    assert_eq!(lines, ["-9223372036854775807,,-2.5,NaN,NaN"]);
}

/// A job over watched directories that publishes ten times a second.
fn watched(idle_timeout: &str, view: &str) -> String {
    let watch = [("source.monitor-interval", "20 ms")];
    format!(
        "SET 'execution.checkpointing.dir' = 'checkpoints'; SET 'execution.checkpointing.interval' = '100 ms';
         SET 'table.exec.source.idle-timeout' = '{idle_timeout}';\n"
    ) + &table("busy", COLUMNS, "busy", "json", &watch)
        + &table("silent", COLUMNS, "silent", "json", &watch)
        + &table("s", "w TIMESTAMP(0), n BIGINT, ids STRING", "out", "csv", &[])
        + &format!("CREATE VIEW t AS {view};\n")
        + PER_WINDOW
}

/// Starts it, puts one small file after the other into `busy`, a second of event time each, until the first
/// window is there with as many rows as it should have.
fn first_window(lab: &Lab, sql: &str, count: u32) {
    lab.write("busy/0.json", rows(&["00:01"]));
    lab.write("silent/0.json", rows(&["00:01"]));
    let run = lab.start(sql);
    let mut second = 10;
    wait_until("the first window", || {
        let time = format!("{:02}:{:02}", second / 60 % 60, second % 60);
        let hidden = lab.write(&format!("busy/.{second}"), rows(&[&time]));
        fs::rename(hidden, lab.path(&format!("busy/{second}.json"))).unwrap();
        second += 1;
        let expected = format!("\"2026-01-01 10:00:00\",{count},");
        lab.lines("out").iter().any(|line| line.starts_with(&expected))
    });
    run.signal("TERM");
    let outcome = run.outcome();
    check_sums(&outcome.summary.clone().unwrap_or_else(|| panic!("{}", outcome.stderr)));
}

#[test]
fn a_watched_directory_moves_on_with_each_file() {
    first_window(&Lab::new(), &watched("0 s", "SELECT id, ts FROM busy"), 1);
}

#[test]
fn a_silent_source_is_left_out_after_the_idle_timeout() {
    let both = "SELECT id, ts FROM busy UNION ALL SELECT id, ts FROM silent";
    first_window(&Lab::new(), &watched("300 ms", both), 2);
}
