//! Several processes and one job: a standby takes over, a zombie is shut out, a second run is refused, and the
//! rows in the end are those of one undisturbed run.
//!
//! ```text
//!   run ──✗ (killed, or standing still) ── … ─► comes back: superseded
//!   run --standby … waits … ─► takes over ─────────────────────► finished
//! ```

use std::{fs, time::Duration};

use flott_connector::StopSignal;
use flott_testkit::Outcome;
use serde_json::Value;

use crate::{
    checkpoints::{GENERATED, ROWS, SmallDisk, expected, job, numbers, wait_for_checkpoints},
    support::{Lab, Running, summary_of, wait_until},
};

/// The job with a lease that is quickly given up: tests shouldn't wait.
fn quick(shards: usize) -> String {
    "SET 'high-availability.lease.interval' = '50 ms'; SET 'high-availability.lease.timeout' = '300 ms';\n"
        .to_string()
        + &job("job", shards, GENERATED)
}

/// Waits until so many standbys have said that they wait.
fn wait_for_standbys(lab: &Lab, count: usize) {
    let waiting = || {
        let names = fs::read_dir(lab.path("ckpt/job/lease")).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("standby-")).count()
    };
    wait_until("a standby", || waiting() == count);
}

/// What `flott status` says of the job.
fn status(lab: &Lab) -> Value {
    let outcome = lab.flott.run(["status", "ckpt", "--json"]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    serde_json::from_str(outcome.stdout.trim()).unwrap()
}

/// The run comes to the job's end, with all its rows, once each.
fn finishes(lab: &Lab, run: Running) -> Value {
    is_complete(lab, &run.outcome())
}

/// As [`finishes`], of a run that has ended.
fn is_complete(lab: &Lab, outcome: &Outcome) -> Value {
    let summary = summary_of(outcome);
    assert_eq!(summary["status"], "finished", "{}", outcome.stderr);
    assert_eq!(summary["sources"][0]["read"], ROWS, "{}", outcome.stderr);
    assert_eq!(lab.lines("out"), expected(ROWS), "{}", outcome.stderr);
    summary
}

/// The run ends because a newer one has the job.
fn is_superseded(run: Running) {
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("FLT-2103"), "{}", outcome.stderr);
}

#[test]
fn a_standby_takes_over_when_the_run_is_killed() {
    let lab = Lab::new();
    let run = lab.start(&quick(2));
    wait_for_checkpoints(&lab, 2);
    let standby = lab.start_with(&["--standby"], &quick(2));
    wait_for_standbys(&lab, 1);
    let before = status(&lab);
    assert_eq!(before["status"], "running", "{before}");
    assert_eq!(before["holder"]["pid"], run.id());
    assert_eq!(before["standbys"][0]["pid"], standby.id());
    assert!(before["checkpoint"]["number"].as_u64() > Some(1), "{before}");
    drop(run);
    let summary = finishes(&lab, standby);
    assert!(summary["checkpoints"]["resumed_from"].as_u64() > Some(1), "{summary}");
    let after = status(&lab);
    assert_eq!((&after["status"], &after["checkpoint"]["read"]), (&"finished".into(), &ROWS.into()));
    assert_eq!(after["standbys"], Value::Array(Vec::new()));
}

#[test]
fn a_run_that_stood_still_and_comes_back_publishes_nothing() {
    let lab = Lab::new();
    let run = lab.start(&quick(2));
    wait_for_checkpoints(&lab, 2);
    // Long enough to restore the state meanwhile, however busy the machine is.
    let patient = quick(1).replace("'300 ms'", "'1500 ms'");
    let standby = lab.start_logging(&["--standby"], "flott_engine=info", &patient);
    wait_for_standbys(&lab, 1);
    run.signal("STOP");
    let outcome = standby.outcome();
    assert!(outcome.stderr.contains("its state was here already"), "{}", outcome.stderr);
    is_complete(&lab, &outcome);
    let published = numbers(&lab);
    run.signal("CONT");
    is_superseded(run);
    assert_eq!(lab.lines("out"), expected(ROWS), "not a row more");
    // It may have been stopped as it was about to write the mark of a checkpoint that is gone by now.
    assert_eq!(numbers(&lab).last(), published.last(), "and no checkpoint");
    assert_eq!(status(&lab)["status"], "finished", "nobody hears what it says");
}

#[test]
fn a_run_that_comes_back_while_the_other_runs_stops_at_once() {
    let lab = Lab::new();
    let run = lab.start(&quick(2));
    wait_for_checkpoints(&lab, 2);
    run.signal("STOP");
    let second = lab.start(&quick(2));
    let last = numbers(&lab).last().copied().unwrap();
    wait_until("checkpoints of the second", || numbers(&lab).last().is_some_and(|it| *it > last + 3));
    run.signal("CONT");
    is_superseded(run);
    finishes(&lab, second);
}

#[test]
fn a_second_run_is_refused_unless_it_is_to_take_over() {
    let lab = Lab::new();
    let run = lab.start(&quick(2));
    wait_for_checkpoints(&lab, 2);
    let refused = lab.fails(1, &quick(2));
    assert!(refused.contains("FLT-2104") && refused.contains("--take-over"), "{refused}");
    assert!(refused.contains(&format!("process {} on ", run.id())), "{refused}");
    let second = lab.start_with(&["--take-over"], &quick(2));
    is_superseded(run);
    finishes(&lab, second);
}

#[test]
fn a_script_that_can_not_go_on_leaves_the_run_alone() {
    let lab = Lab::new();
    let run = lab.start(&quick(2));
    wait_for_checkpoints(&lab, 2);
    // It would have another number of key groups.
    let other = format!("SET 'pipeline.max-parallelism' = '64';\n{}", quick(2));
    for manner in ["--take-over", "--standby"] {
        let refused = lab.start_with(&[manner], &other).outcome();
        assert_eq!(refused.status, Some(1), "{manner}: {}", refused.stderr);
        assert!(refused.stderr.contains("key groups"), "{manner}: {}", refused.stderr);
    }
    finishes(&lab, run);
}

#[test]
fn of_two_standbys_one_takes_over_and_the_other_waits_on() {
    let lab = Lab::new();
    let run = lab.start(&quick(1));
    wait_for_checkpoints(&lab, 2);
    let mut standbys = [(); 2].map(|()| lab.start_with(&["--standby"], &quick(1)));
    wait_for_standbys(&lab, 2);
    drop(run);
    wait_for_standbys(&lab, 1);
    assert!(standbys.iter_mut().all(Running::is_running));
    let [first, second] = standbys;
    // The one that waited finds the job finished.
    finishes(&lab, first);
    finishes(&lab, second);
}

#[test]
fn a_job_that_was_stopped_is_not_revived() {
    let lab = Lab::new();
    let run = lab.start(&quick(1));
    let standby = lab.start_with(&["--standby"], &quick(1));
    wait_for_standbys(&lab, 1);
    wait_for_checkpoints(&lab, 2);
    // It must have seen the run alive.
    StopSignal::new().wait(Duration::from_millis(200));
    run.signal("TERM");
    assert_eq!(summary_of(&run.outcome())["status"], "stopped");
    let outcome = standby.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("was stopped"), "{}", outcome.stderr);
    assert_eq!(status(&lab)["status"], "stopped");
    // Whoever starts it again starts it again.
    finishes(&lab, lab.start(&quick(1)));
}

#[test]
fn a_failure_that_passes_is_waited_for() {
    let lab = Lab::new();
    fs::create_dir(lab.path("out")).unwrap();
    let Some(disk) = SmallDisk::at(lab.path("out")) else {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    };
    let delay =
        "SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.delay' = '50 ms';
        SET 'restart-strategy.fixed-delay.attempts' = '1000';\n";
    let run = lab.start(&format!("{delay}{}", quick(2)));
    wait_for_checkpoints(&lab, 2);
    let _ = fs::write(lab.path("out/.ballast"), vec![0; 2 << 20]);
    wait_until("a restart", || status(&lab)["restarts"].as_u64() > Some(0));
    fs::remove_file(lab.path("out/.ballast")).unwrap();
    let summary = finishes(&lab, run);
    assert!(summary["restarts"].as_u64() > Some(0), "{summary}");
    drop(disk);
}

#[test]
fn a_failure_that_does_not_pass_ends_the_run() {
    let lab = Lab::new();
    lab.write("in/1.json", "{\"a\":1}\n{\"a\":\"x\"}\n");
    let sql = "SET 'execution.checkpointing.dir' = 'ckpt';\n".to_string()
        + &crate::support::table("t", "a BIGINT", "in", "json", &[("on-error", "fail")])
        + &crate::support::table("s", "a BIGINT", "out", "json", &[])
        + "INSERT INTO s SELECT a FROM t";
    let said = lab.fails(1, &sql);
    assert!(said.contains("FLT-2004") && !said.contains("restart"), "{said}");
}

/// The run is dead, and so is the disk with its checkpoints: who began anew would publish all of it again.
#[test]
fn a_standby_does_not_begin_anew_when_the_directory_is_gone() {
    let lab = Lab::new();
    let run = lab.start(&quick(1));
    wait_for_checkpoints(&lab, 2);
    let mut standby = lab.start_with(&["--standby"], &quick(1));
    wait_for_standbys(&lab, 1);
    StopSignal::new().wait(Duration::from_millis(200));
    // It must not see the run's end before the directory is gone.
    standby.signal("STOP");
    drop(run);
    fs::rename(lab.path("ckpt/job"), lab.path("aside")).unwrap();
    standby.signal("CONT");
    StopSignal::new().wait(Duration::from_millis(1500));
    assert!(standby.is_running() && !lab.path("ckpt/job").exists());
    fs::rename(lab.path("aside"), lab.path("ckpt/job")).unwrap();
    let outcome = standby.outcome();
    assert!(outcome.stderr.contains("the claim of run 1 is gone"), "{}", outcome.stderr);
    is_complete(&lab, &outcome);
}

/// Numbers begin at 1 again in a directory that was emptied: the older run must not take the claim for its own.
#[test]
fn a_run_whose_job_was_begun_anew_publishes_nothing_more() {
    let lab = Lab::new();
    let run = lab.start(&quick(1));
    wait_for_checkpoints(&lab, 2);
    run.signal("STOP");
    let forced = lab.flott.run(["checkpoint", "delete", "ckpt/job", "--yes", "--force"]).unwrap();
    assert_eq!(forced.status, Some(0), "{}", forced.stderr);
    let before = lab.lines("out");
    let second = lab.start(&quick(1));
    wait_for_checkpoints(&lab, 2);
    run.signal("CONT");
    is_superseded(run);
    assert_eq!(summary_of(&second.outcome())["status"], "finished");
    let mut all = [before, expected(ROWS)].concat();
    all.sort();
    assert_eq!(lab.lines("out"), all);
}

#[test]
fn a_standby_needs_checkpoints() {
    let lab = Lab::new();
    let sql = "CREATE TABLE s (a INT) WITH ('connector' = 'blackhole'); INSERT INTO s VALUES (1)";
    let outcome = lab.flott.run(["run", "--standby", "-e", sql]).unwrap();
    assert_eq!(outcome.status, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--standby needs"), "{}", outcome.stderr);
}
