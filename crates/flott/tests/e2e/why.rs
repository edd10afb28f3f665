//! What a run says of itself: what holds it back, what each part of its plan is doing, what it promises.
//!
//! ```text
//!   flott run … ──► ckpt/job/.run/1.sock ◄── flott why ckpt, flott explain --live ckpt
//! ```

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
};

use flott_testkit::Outcome;
use serde_json::Value;

use crate::support::{Lab, Running, table, wait_until};

/// A job of this name in `ckpt`, with rows so fast, into a sink of this kind.
fn job(rows_a_second: u64, sink: &str, interval: &str) -> String {
    format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '{interval}';
         SET 'pipeline.name' = 'job'; SET 'parallelism.default' = '2';
         CREATE TABLE g (k BIGINT, v STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '{rows_a_second}',
           'fields.k.min' = '0', 'fields.k.max' = '1000');
         CREATE TABLE s (k BIGINT, v STRING) WITH ('connector' = '{sink}');
         INSERT INTO s SELECT k, v FROM g"
    )
}

fn why(lab: &Lab) -> Outcome {
    lab.flott.run(["why", "ckpt"]).unwrap()
}

/// Asks until the answer is this one; the answer.
fn until(lab: &Lab, run: &mut Running, what: &str) -> Outcome {
    let mut answer = why(lab);
    wait_until(what, || {
        assert!(run.is_running(), "it ended by itself: {answer:?}");
        let found = answer.stdout.contains(what);
        if !found {
            answer = why(lab);
        }
        found
    });
    answer
}

fn sockets(lab: &Lab) -> Vec<String> {
    let files = fs::read_dir(lab.path("ckpt/job/.run")).into_iter().flatten();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_that_keeps_up_says_so_and_shows_its_plan_at_work() {
    let lab = Lab::new();
    let mut run = lab.start(&job(2_000, "blackhole", "100 ms"));
    let fine = until(&lab, &mut run, "nothing holds it back: it reads as fast as source 'g' gives");
    assert_eq!(fine.status, Some(0), "{}", fine.stdout);
    let mode = |path: &str| fs::metadata(lab.path(path)).unwrap().permissions().mode() & 0o777;
    assert!(fs::metadata(lab.path("ckpt/job/.run/1.sock")).unwrap().file_type().is_socket());
    assert_eq!((mode("ckpt/job/.run"), mode("ckpt/job/.run/1.sock")), (0o700, 0o600));

    let live = lab.flott.run(["explain", "--live", "ckpt"]).unwrap();
    assert_eq!(live.status, Some(0), "{}", live.stderr);
    for part in
        ["job, run 1 (process ", "checkpoints: ", "Sink s [blackhole]", "Source g [datagen]", "▸ ", "rows/s"]
    {
        assert!(live.stdout.contains(part), "no {part} in:\n{}", live.stdout);
    }
    let live = lab.flott.run(["explain", "--live", "ckpt", "--json"]).unwrap();
    let live: Value = serde_json::from_str(&live.stdout).unwrap();
    let nodes = live["plan"]["nodes"].as_array().unwrap();
    let source = nodes.iter().find(|node| node["kind"] == "source").unwrap();
    assert!(source["live"]["rows_per_second"].as_u64().unwrap() > 0, "{source}");
    assert_eq!(live["sample"]["shards"], 2);

    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    assert_eq!(sockets(&lab), [""; 0], "a run that ends takes its socket away");
    let ended = why(&lab);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stdout.starts_with("job does not run on this machine: its last checkpoint is "),
        "{}",
        ended.stdout
    );
    let json: Value =
        serde_json::from_str(&lab.flott.run(["why", "ckpt", "--json"]).unwrap().stdout).unwrap();
    assert_eq!(
        (&json["running"], json["checkpoint"]["number"].is_u64()),
        (&Value::Bool(false), true),
        "{json}"
    );
}

/// Nobody reads what it prints, so the pipe is soon full.
#[test]
fn a_sink_that_nobody_reads_pushes_back_and_then_no_checkpoint_can_finish() {
    let lab = Lab::new();
    let mut run = lab.start(&job(200_000, "print", "300 ms"));
    let pushed = until(&lab, &mut run, "sink 's' pushes back: it wants no rows ");
    assert_eq!(pushed.status, Some(1));
    let stuck = until(&lab, &mut run, "can't finish: under way for ");
    let first = stuck.stdout.lines().nth(1).unwrap();
    assert!(first.starts_with("the checkpoint of epoch ") && first.contains("sink 's'"), "{}", stuck.stdout);
}

#[test]
fn a_source_whose_time_stands_still_holds_the_windows_of_all_back() {
    let lab = Lab::new();
    let source = |name: &str, millis: &str| {
        format!(
            "CREATE TABLE {name} (a BIGINT, ts AS TO_TIMESTAMP_LTZ({millis}, 3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'datagen', 'rows-per-second' = '5000', 'fields.a.kind' = 'sequence',
               'fields.a.start' = '0', 'fields.a.end' = '100000000');\n"
        )
    };
    let sql = "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'pipeline.name' = 'job';\n".to_string()
        + &source("fast", "a")
        + &source("slow", "a / 100000000")
        + "CREATE TABLE s (n BIGINT) WITH ('connector' = 'blackhole');
           CREATE VIEW both_of_them AS SELECT a, ts FROM fast UNION ALL SELECT a, ts FROM slow;
           INSERT INTO s SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE both_of_them, DESCRIPTOR(ts), INTERVAL '1' SECOND))
           GROUP BY window_start, window_end";
    let mut run = lab.start(&sql);
    let held = until(
        &lab,
        &mut run,
        "source 'slow' holds event time back: it stands still at 1970-01-01 00:00:00, ",
    );
    assert_eq!(held.status, Some(1));
}

#[test]
fn more_rows_than_can_be_computed_name_what_takes_the_time() {
    let lab = Lab::new();
    let sql = job(50_000_000, "blackhole", "1 h")
        .replace("SELECT k, v FROM g", "SELECT k, MAX(v) FROM g GROUP BY k, CHAR_LENGTH(v || UPPER(v))");
    let mut run = lab.start(&sql);
    until(&lab, &mut run, "busy ");
    let answer = lab.flott.run(["why", "ckpt/job", "--json"]).unwrap();
    let json: Value = serde_json::from_str(&answer.stdout).unwrap();
    let worst = &json["causes"][0];
    assert!(worst["kind"].as_str().unwrap().starts_with("slow-"), "{worst}");
    assert_eq!((&json["held_back"], answer.status), (&Value::Bool(true), Some(1)));
}

#[test]
fn the_newest_run_answers_and_killed_ones_leave_nothing() {
    let lab = Lab::new();
    let old = lab.start(&job(100, "blackhole", "1 h"));
    wait_until("the first run's socket", || sockets(&lab) == ["1.sock"]);
    let mut new = lab.start_with(&["--take-over"], &job(100, "blackhole", "1 h"));
    until(&lab, &mut new, "job, run 2 (process ");
    drop(new);
    drop(old);
    let killed = why(&lab).stdout;
    assert!(killed.starts_with("job does not run on this machine: it was started 2 times"), "{killed}");
    let mut next = lab.start(&job(100, "blackhole", "1 h"));
    until(&lab, &mut next, "job, run 3 (process ");
    assert_eq!(sockets(&lab), ["3.sock"], "those of killed runs are removed");
}

/// A socket's path has room for about 100 bytes.
#[test]
fn a_job_whose_path_is_too_long_for_a_socket_has_one_elsewhere() {
    let lab = Lab::new();
    let deep = "ckpt/".to_string() + &"a-folder-with-a-long-name/".repeat(5);
    let mut run = lab.start(&job(100, "blackhole", "1 h").replace("'ckpt'", &format!("'{deep}'")));
    let named_in = lab.path(&deep).join("job/.run/1.at");
    wait_until("the socket to be named", || named_in.exists());
    let socket = fs::read_to_string(&named_in).unwrap();
    wait_until("an answer", || {
        let answer = lab.flott.run(["why", &deep]).unwrap();
        assert!(run.is_running(), "{answer:?}");
        answer.stdout.starts_with("job, run 1 ")
    });
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    assert!(!named_in.exists() && !fs::exists(&socket).unwrap(), "{socket} is left behind");
}

// --- what is promised ---------------------------------------------------------------------------

const LINES: &str = "CREATE TABLE lines (line STRING) WITH ('connector' = 'stdin', 'format' = 'raw');\n";

#[test]
fn validate_shows_what_is_promised_and_refuses_what_cannot_be_held() {
    let lab = Lab::new();
    lab.write("in.json", "{\"a\": 1}\n");
    let kept = table("kept", "a INT", "kept", "json", &[]);
    let sql = table("nums", "a INT", "in.json", "json", &[]) + &kept + "INSERT INTO kept SELECT a FROM nums";
    let with_store = format!("SET 'execution.checkpointing.dir' = 'ckpt'; {sql}");
    let validate = |sql: &str| lab.flott.run(["validate", "-e", sql]).unwrap();
    let fine = validate(&with_store);
    assert!(
        fine.stdout.contains("kept  exactly-once (rows are published with their checkpoint)"),
        "{}",
        fine.stdout
    );
    let weaker = validate(&sql);
    assert_eq!(weaker.status, Some(0));
    assert!(
        weaker.stdout.contains("there are no checkpoints: SET 'execution.checkpointing.dir'"),
        "{}",
        weaker.stdout
    );

    let asked = format!("SET 'sink.guarantee' = 'exactly-once'; {sql}");
    for command in ["validate", "explain", "run"] {
        let refused = lab.flott.run([command, "-e", &asked]).unwrap();
        assert_eq!(refused.status, Some(2), "{command}: {}", refused.stderr);
        for part in
            ["FLT-1206", "sink 'kept' can't be exactly-once: there are no checkpoints", "asked for here"]
        {
            assert!(refused.stderr.contains(part), "{command}: no {part} in {}", refused.stderr);
        }
    }
    assert!(!lab.path("kept").exists());
    let held = lab.run(&format!("SET 'sink.guarantee' = 'exactly-once'; {with_store}"));
    assert_eq!(held["sinks"][0]["written"], 1);
    let stdin = LINES.to_string()
        + &table("kept", "line STRING", "kept", "json", &[("sink.guarantee", "at-least-once")])
        + "INSERT INTO kept SELECT line FROM lines";
    let refused = lab.fails(2, &stdin);
    assert!(refused.contains("source 'lines' (connector 'stdin') can't be read again"), "{refused}");
}

/// That a path is a pipe is seen when it is opened.
#[test]
fn a_pipe_can_not_be_read_exactly_once() {
    let lab = Lab::new();
    let made = std::process::Command::new("mkfifo").arg(lab.path("pipe")).status().unwrap();
    assert!(made.success());
    let sql = "SET 'sink.guarantee' = 'exactly-once'; SET 'execution.checkpointing.dir' = 'ckpt';\n"
        .to_string()
        + &table("nums", "a INT", "pipe", "json", &[])
        + &table("kept", "a INT", "kept", "json", &[])
        + "INSERT INTO kept SELECT a FROM nums";
    let refused = lab.fails(2, &sql);
    assert!(refused.contains("source 'nums' is a pipe, whose bytes come once"), "{refused}");
}
