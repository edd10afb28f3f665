//! A job with checkpoints: stopped, killed, on a disk that fails, with damaged checkpoints, with
//! input that was changed. Whatever happens, the rows in the end are those of a run that nothing
//! happened to.
//!
//! ```text
//!   g  0 1 2 3 … 99,999 (one a millisecond of event time)
//!      └─ windows of 10 s, by a modulo 7 ─► out: first, key, count, sum
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use flott_connector::StopSignal;
use flott_testkit::Outcome;
use serde_json::Value;

use crate::support::{Lab, Running, hidden_files, summary_of, table, wait_until};

pub const ROWS: u64 = 100_000;
const SETTINGS: &str = "SET 'execution.checkpointing.dir' = 'ckpt';
    SET 'execution.checkpointing.interval' = '50 ms';
    SET 'table.local-time-zone' = 'UTC';\n";
/// Two seconds of rows.
pub const GENERATED: &str =
    "CREATE TABLE g (a BIGINT, ts AS TO_TIMESTAMP_LTZ(a, 3), WATERMARK FOR ts AS ts) WITH (
    'connector' = 'datagen', 'rows-per-second' = '50000',
    'fields.a.kind' = 'sequence', 'fields.a.start' = '0', 'fields.a.end' = '99999');\n";

/// The job, of this name and with so many shards.
pub fn job(name: &str, shards: usize, source: &str) -> String {
    format!("{SETTINGS} SET 'pipeline.name' = '{name}'; SET 'parallelism.default' = '{shards}';\n{source}")
        + &table("s", "first BIGINT, k BIGINT, n BIGINT, total BIGINT", "out", "csv", &[])
        + "INSERT INTO s SELECT MIN(a), MOD(a, 7), COUNT(*), SUM(a)
           FROM TABLE(TUMBLE(TABLE g, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY window_start, window_end, MOD(a, 7)"
}

/// What the job writes, sorted.
pub fn expected(rows: u64) -> Vec<String> {
    let mut windows: BTreeMap<(u64, u64), (u64, u64, u64)> = BTreeMap::new();
    for a in 0..rows {
        let window = windows.entry((a / 10_000, a % 7)).or_insert((a, 0, 0));
        window.1 += 1;
        window.2 += a;
    }
    let line = |((_, key), (first, count, sum))| format!("{first},{key},{count},{sum}");
    let mut lines: Vec<String> = windows.into_iter().map(line).collect();
    lines.sort();
    lines
}

/// The numbers of the checkpoints that are there.
pub fn numbers(lab: &Lab) -> Vec<u64> {
    // A mark comes with every checkpoint whose rows are published; claims have none.
    let entries = fs::read_dir(lab.path("ckpt/job/sequence")).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| name(entry)?.strip_suffix(".confirmed")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

pub fn wait_for_checkpoints(lab: &Lab, count: u64) {
    wait_until("checkpoints", || numbers(lab).last().is_some_and(|last| *last > count));
}

/// Starts the job and stops it in the middle, with a last checkpoint, whose number is the answer.
fn stopped(lab: &Lab) -> u64 {
    let run = lab.start(&job("job", 2, GENERATED));
    wait_for_checkpoints(lab, 4);
    run.signal("TERM");
    let summary = summary_of(&run.outcome());
    assert_eq!(summary["status"], "stopped");
    let last = summary["checkpoints"]["last"].as_u64().unwrap();
    assert_eq!(numbers(lab).last(), Some(&last));
    last
}

/// Runs the job to its end; rows must be those of a run that nothing happened to.
fn finish(lab: &Lab, shards: usize) -> (Value, Outcome) {
    let outcome = lab.flott.run(["run", "--json", "-e", &job("job", shards, GENERATED)]).unwrap();
    let summary = summary_of(&outcome);
    assert_eq!(summary["status"], "finished", "{}", outcome.stderr);
    assert_eq!(summary["sources"][0]["read"], ROWS);
    assert_eq!(lab.lines("out"), expected(ROWS), "{}", outcome.stderr);
    assert_eq!(hidden_files(&lab.path("out")), [] as [PathBuf; 0]);
    (summary, outcome)
}

/// `flott checkpoint …` with this exit code; what it prints.
fn checkpoint(lab: &Lab, code: i32, arguments: &[&str]) -> Outcome {
    let outcome = lab.flott.run(["checkpoint"].iter().chain(arguments)).unwrap();
    assert_eq!(outcome.status, Some(code), "{arguments:?}\n{}\n{}", outcome.stdout, outcome.stderr);
    outcome
}

fn json_lines(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut_in_half(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_stopped_job_goes_on_and_a_finished_one_does_nothing() {
    let lab = Lab::new();
    let last = stopped(&lab);
    let (summary, _) = finish(&lab, 3);
    assert_eq!(summary["checkpoints"]["resumed_from"], last);
    // Again: exit code 0, the same rows, the same counts.
    let (again, _) = finish(&lab, 2);
    assert_eq!(again["checkpoints"]["completed"], 0);
    assert_eq!(again["edges"], summary["edges"]);
    // From the beginning: all rows once more.
    let anew = ["run", "--json", "--resume", "never", "-e", &job("job", 2, GENERATED)];
    summary_of(&lab.flott.run(anew).unwrap());
    let mut twice = [expected(ROWS), expected(ROWS)].concat();
    twice.sort();
    assert_eq!(lab.lines("out"), twice);
}

#[test]
fn another_job_goes_on_from_a_checkpoint_that_is_named() {
    let lab = Lab::new();
    let last = stopped(&lab);
    let path = format!("ckpt/job/sequence/{last:08}");
    let outcome =
        lab.flott.run(["run", "--json", "--resume", &path, "-e", &job("heir", 1, GENERATED)]).unwrap();
    assert_eq!(summary_of(&outcome)["checkpoints"]["resumed_from"], last);
    assert_eq!(lab.lines("out"), expected(ROWS));
    let missing = lab.flott.run(["run", "--resume", "ckpt/none", "-e", &job("x", 1, GENERATED)]).unwrap();
    assert_eq!(missing.status, Some(1));
    assert!(missing.stderr.contains("FLT-2101"), "{}", missing.stderr);
}

#[test]
fn a_killed_job_loses_nothing_and_repeats_nothing() {
    let lab = Lab::new();
    for shards in [2, 1] {
        let before = numbers(&lab).last().copied().unwrap_or(0);
        let run = lab.start(&job("job", shards, GENERATED));
        wait_for_checkpoints(&lab, before + 3);
        run.signal("KILL");
        assert_eq!(run.outcome().status, None);
    }
    let last = numbers(&lab).last().copied();
    let (summary, _) = finish(&lab, 3);
    assert!(summary["checkpoints"]["resumed_from"].as_u64() >= last, "{summary}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    type Damage = fn(&Path);
    let cases: [(&str, &str, Damage); 4] = [
        ("segments", "checksum is", flip_a_bit),
        ("segments", "bytes are there", cut_in_half),
        ("sequence", "its checksum does not fit", flip_a_bit),
        ("sequence", "is damaged", cut_in_half),
    ];
    for (folder, says, damage) in cases {
        let lab = Lab::new();
        let last = stopped(&lab);
        let mark = if folder == "segments" { format!("-{last:08}-") } else { format!("{last:08}") };
        let files = fs::read_dir(lab.path("ckpt/job").join(folder)).unwrap().map(|it| it.unwrap().path());
        let is_newest = |path: &PathBuf| path.to_string_lossy().contains(&mark) && path.extension().is_none();
        let file = files.filter(is_newest).min().unwrap();
        damage(&file);
        let name = file.file_name().unwrap().to_str().unwrap();

        let outcome = checkpoint(&lab, 1, &["verify", "ckpt"]);
        assert!(outcome.stdout.contains(name) && outcome.stdout.contains(says), "{}", outcome.stdout);
        assert!(outcome.stderr.contains("1 of 2 checkpoints are damaged"), "{}", outcome.stderr);
        let verdicts = json_lines(&checkpoint(&lab, 1, &["verify", "ckpt/job", "--json"]));
        let whole: Vec<bool> = verdicts.iter().map(|it| it["whole"].as_bool().unwrap()).collect();
        assert_eq!(whole, [true, false]);

        let (summary, outcome) = finish(&lab, 2);
        assert!(outcome.stderr.contains(name) && outcome.stderr.contains(says), "{}", outcome.stderr);
        let resumed = summary["checkpoints"]["resumed_from"].as_u64().unwrap();
        assert!(resumed < last, "{summary}");
    }
}

#[test]
fn with_nothing_whole_left_a_run_does_not_begin() {
    let lab = Lab::new();
    stopped(&lab);
    numbers(&lab).iter().for_each(|number| flip_a_bit(&lab.path(&format!("ckpt/job/sequence/{number:08}"))));
    let before = lab.lines("out");
    let outcome = lab.flott.run(["run", "--json", "-e", &job("job", 2, GENERATED)]).unwrap();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("no checkpoint of this job is whole"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--resume never"), "{}", outcome.stderr);
    assert_eq!(lab.lines("out"), before);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let lab = Lab::new();
    lab.write("ckpt/job/notes.txt", "mine");
    let said = lab.fails(1, &job("job", 2, GENERATED));
    assert!(said.contains("FLT-2101") && said.contains("it holds 'notes.txt'"), "{said}");
    for arguments in [&["list", "ckpt/job"][..], &["verify", "ckpt/job"], &["delete", "ckpt/job", "--yes"]] {
        let outcome = checkpoint(&lab, 1, arguments);
        assert!(outcome.stderr.contains("holds 'notes.txt'"), "{}", outcome.stderr);
    }
    assert_eq!(fs::read_to_string(lab.path("ckpt/job/notes.txt")).unwrap(), "mine");
}

#[test]
fn a_run_goes_on_while_checkpoints_cannot_be_written() {
    let lab = Lab::new();
    let run = lab.start(&job("job", 2, GENERATED));
    wait_for_checkpoints(&lab, 2);
    // A file where segments belong: whoever runs this, nothing can be written there.
    let segments = lab.path("ckpt/job/segments");
    fs::rename(&segments, lab.path("aside")).unwrap();
    fs::write(&segments, "").unwrap();
    StopSignal::new().wait(Duration::from_millis(500));
    fs::remove_file(&segments).unwrap();
    fs::rename(lab.path("aside"), &segments).unwrap();
    check_survived(&lab, run);
}

#[test]
fn a_run_goes_on_while_the_disk_is_full() {
    let lab = Lab::new();
    fs::create_dir(lab.path("ckpt")).unwrap();
    let Some(disk) = SmallDisk::at(lab.path("ckpt")) else {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    };
    let run = lab.start(&job("job", 2, GENERATED));
    wait_for_checkpoints(&lab, 2);
    // Takes all that is left.
    let _ = fs::write(lab.path("ckpt/ballast"), vec![0; 2 << 20]);
    StopSignal::new().wait(Duration::from_millis(500));
    fs::remove_file(lab.path("ckpt/ballast")).unwrap();
    check_survived(&lab, run);
    drop(disk);
}

/// Some checkpoints failed, which was said; later ones didn't, and no row is missing.
fn check_survived(lab: &Lab, run: Running) {
    let outcome = run.outcome();
    let summary = summary_of(&outcome);
    assert_eq!(summary["status"], "finished");
    assert!(summary["checkpoints"]["failed"].as_u64() > Some(0), "{summary}");
    assert!(summary["checkpoints"]["completed"].as_u64() > Some(5), "{summary}");
    assert!(outcome.stderr.contains("checkpoint failed, the run goes on: segments/"), "{}", outcome.stderr);
    assert_eq!(lab.lines("out"), expected(ROWS));
    checkpoint(lab, 0, &["verify", "ckpt"]);
}

/// A file system of 1 MB, until the value is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn at(path: PathBuf) -> Option<Self> {
        let arguments = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(arguments).arg(&path).output().ok()?;
        mounted.status.success().then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn input_that_was_changed_in_the_middle_is_an_error_until_it_is_put_back() {
    let lab = Lab::new();
    let rows = 300_000;
    // Two files of the same time: even numbers, odd numbers.
    let file = |part: u64| -> String {
        let padding = "x".repeat(400);
        (0..rows / 2).map(|it| format!("{{\"a\":{},\"p\":\"{padding}\"}}\n", 2 * it + part)).collect()
    };
    let (even, odd) = (file(0), file(1));
    lab.write("in/even", &even);
    lab.write("in/odd", &odd);
    // Hashing makes it slow enough to be killed in the middle.
    let columns = "a BIGINT, p STRING, ts AS TO_TIMESTAMP_LTZ(a, 3), WATERMARK FOR ts AS ts";
    let source = table("files", columns, "in", "json", &[])
        + "CREATE VIEW g AS SELECT a, ts FROM files WHERE MD5(p) <> '';\n";
    let sql = job("job", 1, &source).replace("'50 ms'", "'10 ms'");
    let run = lab.start(&sql);
    wait_for_checkpoints(&lab, 2);
    run.signal("KILL");
    assert_eq!(run.outcome().status, None);
    let shown = json_lines(&checkpoint(&lab, 0, &["show", "ckpt/job", "--json"])).remove(0);
    assert_eq!(shown["finished"], false, "killed too late: {shown}");

    let resumed = || lab.flott.run(["run", "--json", "-e", &sql]).unwrap();
    let refused = |what: &str| {
        let outcome = resumed();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        for text in ["FLT-2101", "in/odd'", what, "--resume never"] {
            assert!(outcome.stderr.contains(text), "{}", outcome.stderr);
        }
    };
    fs::remove_file(lab.path("in/odd")).unwrap();
    refused("is gone");
    lab.write("in/odd", &odd[..odd.len() - 1000]);
    refused("has become shorter since the checkpoint");
    lab.write("in/odd", odd.replace('x', "y"));
    refused("has changed since the checkpoint");

    lab.write("in/odd", &odd);
    lab.write("in/new", "{\"a\":5,\"p\":\"of the next run\"}\n");
    let summary = summary_of(&resumed());
    assert_eq!((&summary["status"], &summary["sources"][0]["read"]), (&"finished".into(), &rows.into()));
    assert_eq!(summary["edges"][0]["late"], 0, "both files go on together: {summary}");
    assert_eq!(lab.lines("out"), expected(rows));
}

#[test]
fn checkpoints_are_listed_shown_and_deleted() {
    let lab = Lab::new();
    fs::create_dir(lab.path("ckpt")).unwrap();
    assert_eq!(checkpoint(&lab, 0, &["list", "ckpt"]).stdout, "no checkpoints in ckpt\n");
    let last = stopped(&lab);

    let listed = json_lines(&checkpoint(&lab, 0, &["list", "ckpt", "--json"])).remove(0);
    assert_eq!((&listed["job"], &listed["runs"][0]["generation"]), (&"job".into(), &1.into()));
    let [older, newest] = listed["checkpoints"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&newest["number"], &newest["confirmed"]), (&last.into(), &true.into()));
    assert_eq!((&older["finished"], &newest["finished"]), (&false.into(), &false.into()));
    let text = checkpoint(&lab, 0, &["list", "ckpt/job"]).stdout;
    assert!(text.contains(newest["time"].as_str().unwrap()) && text.contains("run 1 began"), "{text}");

    let path = format!("ckpt/job/sequence/{last:08}");
    let shown = json_lines(&checkpoint(&lab, 0, &["show", &path, "--json"])).remove(0);
    assert_eq!(shown["counters"]["counts"]["sources"][0][0], shown["sources"]["g"]["row"], "{shown}");
    let tables = shown["operators"].as_object().unwrap().values().next().unwrap()["tables"].clone();
    let rows: u64 = tables.as_object().unwrap().values().filter_map(|it| it["rows"].as_u64()).sum();
    assert!(rows >= 7, "a window by seven keys is open: {tables}");
    let text = checkpoint(&lab, 0, &["show", "ckpt"]).stdout;
    assert!(text.contains("source      g  at {\"row\":") && text.contains("sink        s: "), "{text}");
    assert!(checkpoint(&lab, 0, &["verify", "ckpt"]).stdout.ends_with("2 checkpoints are whole\n"));

    for (arguments, says) in [
        (&["delete", "ckpt"][..], "name a job's folder: ckpt/job"),
        (&["delete", &path], "single checkpoints can't be deleted"),
        (&["delete", "ckpt/job"], "--yes"),
    ] {
        let outcome = checkpoint(&lab, 2, arguments);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
    for arguments in [["show", "nowhere"], ["list", "nowhere"], ["verify", "ckpt/none"]] {
        assert!(checkpoint(&lab, 1, &arguments).stderr.contains("there is no directory"), "{arguments:?}");
    }
    checkpoint(&lab, 0, &["delete", "ckpt/job", "--yes"]);
    assert!(!lab.path("ckpt/job").exists());
    assert_eq!(checkpoint(&lab, 0, &["list", "ckpt"]).stdout, "no checkpoints in ckpt\n");
}
