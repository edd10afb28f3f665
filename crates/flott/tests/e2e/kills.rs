//! A job that is killed and started again writes what an undisturbed run writes.

use std::fs;

use flott_testkit::kills::{Job, Killer, Random, Tally, auction, files_below, rows_below};

use crate::support::Lab;

const FLOTT: &str = env!("CARGO_BIN_EXE_flott");

/// Kills jobs so many times each; all must be right.
fn torment(lab: &Lab, jobs: &[Job], kills: u64, seed: u64) -> Tally {
    let killer = Killer::new(FLOTT, lab.path("jobs"), (20, 60));
    let (mut random, mut all) = (Random::new(seed), Tally::default());
    for job in jobs {
        let (expected, looks) = killer.undisturbed(job).unwrap();
        assert!(!expected.is_empty(), "{}", job.name);
        let tally = killer.torment(job, &expected, looks, kills, &mut random).unwrap();
        assert!(tally.is_right(), "seed {seed}, {}: {tally:?}", job.name);
        all.add(&tally);
    }
    all
}

fn named(mut jobs: Vec<Job>, names: &[&str]) -> Vec<Job> {
    jobs.retain(|job| names.contains(&job.name.as_str()));
    jobs
}

#[test]
fn killed_jobs_write_what_an_undisturbed_run_writes() {
    let lab = Lab::new();
    let jobs = auction::from_generator(150_000);
    let tally = torment(&lab, &jobs, 2, 11);
    assert_eq!(tally.finished, jobs.len() as u64);
    assert!(tally.kills() > 0 && tally.checkpoints > 0, "{tally:?}");
}

#[test]
fn killed_jobs_go_on_in_the_middle_of_their_files() {
    let lab = Lab::new();
    let input = lab.path("bids");
    lab.run(&auction::to_files(500_000, &input.to_string_lossy()));
    let jobs = auction::from_files(&input.to_string_lossy());
    let jobs = named(jobs, &["q11-files", "q12-files"]);
    // On a busy machine a run may end before its moment has come.
    let tallies = (12..42).map(|seed| torment(&lab, &jobs, 2, seed));
    let was_killed = |tally: &Tally| tally.kills() > 0 && tally.checkpoints > 0;
    assert!(tallies.into_iter().any(|tally| was_killed(&tally)), "nothing was killed");
}

/// Joins, Top-N, deduplication, groups: the table that their changes make is the same.
#[test]
fn killed_jobs_whose_results_change_come_to_the_same_table() {
    let lab = Lab::new();
    let tally = torment(&lab, &auction::changing(60_000), 2, 13);
    assert!(tally.kills() > 0 && tally.checkpoints > 0, "{tally:?}");
}

/// A crash between a manifest and the renames that publish its files: the next start publishes them.
#[test]
fn what_a_manifest_names_is_published_by_the_next_start() {
    let lab = Lab::new();
    let job = &named(auction::from_generator(50_000), &["q12"])[0];
    let options = "SET 'execution.checkpointing.dir' = 'ck'; SET 'execution.checkpointing.interval' = '1 h';
        SET 'pipeline.name' = 'job';\n";
    let run = || lab.run(&format!("{options}{}", job.sql));
    run();
    let (out, expected) = (lab.path("out"), rows_below(&lab.path("out")).unwrap());
    assert!(!expected.is_empty());

    let is_mark = |file: &std::path::PathBuf| file.extension().is_some_and(|it| it == "confirmed");
    let marks: Vec<_> =
        files_below(&lab.path("ck/job/sequence"), false).unwrap().into_iter().filter(is_mark).collect();
    assert_eq!(marks.len(), 1, "the end of the job is its only checkpoint");
    fs::remove_file(&marks[0]).unwrap();
    for file in files_below(&out, false).unwrap() {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        fs::rename(&file, out.join(format!(".{stem}.inprogress"))).unwrap();
    }
    assert!(rows_below(&out).unwrap().is_empty());

    run();
    assert!(rows_below(&out).unwrap() == expected, "all rows, once each");
    assert!(files_below(&out, true).unwrap().is_empty());
    assert!(marks[0].exists(), "the checkpoint is confirmed");

    run();
    assert!(rows_below(&out).unwrap() == expected, "a finished job does nothing");
}
