//! Directories that are full, gone or not to be written to, and commands given at the wrong moment: what is said, and
//! that nothing is lost.

use std::fs;

use flott_connector::{Clock, SystemClock};

use crate::{
    checkpoints::{GENERATED, ROWS, SmallDisk, expected, job, numbers, wait_for_checkpoints},
    support::{Lab, check_sums, summary_of, table, wait_until},
};

/// The rows of a run that failed don't all count: those that no checkpoint holds are written again by the next run.
#[test]
fn a_last_checkpoint_that_cannot_be_written_fails_the_run_and_the_next_one_goes_on() {
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
    run.signal("TERM");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    for says in [
        "FLT-2102",
        "the last checkpoint could not be written",
        "no space left",
        "(in 'ckpt/job')",
        "run the job again",
    ] {
        assert!(outcome.stderr.contains(says), "no {says} in {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("restart 1"), "{}", outcome.stderr);
    let summary = outcome.summary.unwrap();
    check_sums(&summary);
    let sink = &summary["sinks"][0];
    if sink["written"] != lab.lines("out").len() {
        assert_eq!(sink["published"], lab.lines("out").len(), "{summary}");
    }
    fs::remove_file(lab.path("ckpt/ballast")).unwrap();
    summary_of(&lab.flott.run(["run", "--json", "-e", &job("job", 1, GENERATED)]).unwrap());
    assert_eq!(lab.lines("out"), expected(ROWS));
    drop(disk);
}

#[test]
fn a_checkpoint_directory_that_is_put_back_costs_a_running_job_nothing() {
    let lab = Lab::new();
    let run = lab.start(&job("job", 2, GENERATED));
    wait_for_checkpoints(&lab, 2);
    fs::rename(lab.path("ckpt/job"), lab.path("aside")).unwrap();
    let clock = SystemClock::new();
    wait_until("some failures", || clock.monotonic().as_millis() > 400);
    assert!(!lab.path("ckpt/job/segments").exists(), "nothing is written beside a claim that is gone");
    let _ = fs::remove_dir_all(lab.path("ckpt/job"));
    fs::rename(lab.path("aside"), lab.path("ckpt/job")).unwrap();
    let outcome = run.outcome();
    let summary = summary_of(&outcome);
    assert!(
        outcome.stderr.contains("the run's claim is gone: the checkpoint directory was removed"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("checkpoints are written again"), "{}", outcome.stderr);
    assert!(summary["checkpoints"]["failed"].as_u64() > Some(0), "{summary}");
    assert_eq!(lab.lines("out"), expected(ROWS));
}

#[test]
fn state_that_could_not_be_put_away_is_said_at_the_start() {
    let lab = Lab::new();
    lab.write("file", "");
    let sql =
        format!("SET 'state.dir' = '{}';\n", lab.path("file/state").display()) + &job("job", 1, GENERATED);
    let said = lab.fails(1, &sql);
    assert!(said.contains("FLT-2107") && said.contains("('state.dir')"), "{said}");
    assert!(!lab.path("out").exists() && numbers(&lab).is_empty());
}

/// Each row of one side is compared with all of the other: hours of work, of which nothing is wanted any more.
#[test]
fn a_stop_ends_a_join_of_everything_with_everything() {
    let lab = Lab::new();
    let numbers = |name: &str, from: u64| {
        format!(
            "CREATE TABLE {name} (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000',
             'fields.a.kind' = 'sequence', 'fields.a.start' = '{from}', 'fields.a.end' = '{}');\n",
            from + 1_999_999
        )
    };
    let sql = "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '200 ms';
        SET 'pipeline.name' = 'job'; SET 'parallelism.default' = '2';\n"
        .to_string()
        + &numbers("l", 0)
        + &numbers("r", 5_000_000)
        + &table("s", "a BIGINT", "out", "csv", &[])
        + "INSERT INTO s SELECT l.a FROM l JOIN r ON l.a * 3 > r.a * 2 + 100000000";
    let run = lab.start(&sql);
    wait_until("a claim", || lab.path("ckpt/job/sequence/00000001").exists());
    let clock = SystemClock::new();
    wait_until("work", || clock.monotonic().as_millis() > 2_000);
    run.signal("TERM");
    let stopped = clock.monotonic();
    let outcome = run.outcome();
    let took = clock.monotonic().saturating_sub(stopped);
    assert!(took.as_secs() < 20, "{took:?}: {}", outcome.stderr);
    assert_eq!(summary_of(&outcome)["status"], "stopped", "{}", outcome.stderr);
}

#[test]
fn checkpoints_of_a_live_run_are_not_deleted_unless_told() {
    let lab = Lab::new();
    let run = lab.start(&job("job", 1, GENERATED));
    wait_for_checkpoints(&lab, 1);
    let refused = lab.flott.run(["checkpoint", "delete", "ckpt/job", "--yes"]).unwrap();
    assert_eq!(refused.status, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("FLT-2104") && refused.stderr.contains("--force"), "{}", refused.stderr);
    run.signal("KILL");
    assert_eq!(run.outcome().status, None);
    let deleted = lab.flott.run(["checkpoint", "delete", "ckpt/job", "--yes"]).unwrap();
    assert_eq!(deleted.status, Some(0), "{}", deleted.stderr);
    assert!(!lab.path("ckpt/job").exists());
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let lab = Lab::new();
    let run = lab.start(&job("job", 1, GENERATED));
    wait_for_checkpoints(&lab, 3);
    run.signal("TERM");
    summary_of(&run.outcome());
    let there: Vec<String> = numbers(&lab).iter().map(u64::to_string).collect();
    lab.write("job.sql", job("job", 1, GENERATED));
    let missing = lab.flott.run(["upgrade", "ckpt/job/sequence/00000999", "job.sql"]).unwrap();
    assert_eq!(missing.status, Some(1), "{}", missing.stderr);
    let says = "there is no checkpoint 999 in 'ckpt/job'";
    assert!(missing.stderr.contains(says), "{}", missing.stderr);
    assert!(missing.stderr.contains(&format!("there are {}", there.join(", "))), "{}", missing.stderr);
    // A job that nobody runs: the same code as of `flott why`.
    for command in [&["explain", "--live", "ckpt"][..], &["why", "ckpt"]] {
        assert_eq!(lab.flott.run(command).unwrap().status, Some(1), "{command:?}");
    }
    assert!(lab.flott.run(["explain", "--live", "ckpt"]).unwrap().stderr.contains("FLT-2106"));
    let standby = lab.flott.run(["run", "--standby", "-e", "SELECT 1"]).unwrap();
    assert_eq!(standby.status, Some(2));
    assert!(standby.stderr.contains("nobody can take over a query"), "{}", standby.stderr);
}

/// However the standby was started: who takes over goes on where the job is.
#[test]
fn a_standby_that_was_told_to_begin_anew_goes_on_where_the_job_is() {
    let lab = Lab::new();
    let run = lab.start(&job("job", 1, GENERATED));
    wait_for_checkpoints(&lab, 2);
    let standby = lab.start_with(&["--standby", "--resume", "never"], &job("job", 1, GENERATED));
    wait_until("a standby", || {
        let names = fs::read_dir(lab.path("ckpt/job/lease")).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("standby-")).count() > 0
    });
    run.signal("KILL");
    assert_eq!(run.outcome().status, None);
    let summary = summary_of(&standby.outcome());
    assert!(summary["checkpoints"]["resumed_from"].as_u64() > Some(0), "{summary}");
    assert_eq!(lab.lines("out"), expected(ROWS));
}

/// Dead letters are published with the checkpoint that their rows belong to: none is lost, none comes twice.
#[test]
fn dead_letters_of_a_killed_job_are_there_once() {
    let lab = Lab::new();
    let settings =
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '50 ms';
        SET 'pipeline.name' = 'job'; SET 'parallelism.default' = '2';\n";
    let sql = settings.to_string()
        + GENERATED
        + &table("s", "a BIGINT, b BIGINT", "out", "csv", &[])
        + "INSERT INTO s SELECT a, 1 / MOD(a, 1000) FROM g";
    let run = lab.start(&sql);
    wait_for_checkpoints(&lab, 3);
    run.signal("KILL");
    assert_eq!(run.outcome().status, None);
    let summary = summary_of(&lab.flott.run(["run", "--json", "-e", &sql]).unwrap());
    assert_eq!(summary["dlq"], ROWS / 1000, "{summary}");
    assert_eq!(lab.lines("flott-dlq/job").len() as u64, ROWS / 1000);
    assert_eq!(lab.lines("out").len() as u64, ROWS - ROWS / 1000);
}
