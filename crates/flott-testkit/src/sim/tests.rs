//! The simulation is right about itself: its pipelines end, a seed repeats to the last step, calm seas lose
//! nothing, and planted bugs are seen.

use super::*;

#[test]
fn every_pipeline_has_three_operators_with_state_and_comes_to_its_end() {
    for (at, script) in SCRIPTS.iter().enumerate() {
        let planned = scripts::planned(at).unwrap();
        assert!(scripts::operators(&planned.0) >= 3, "{}: {}", script.name, scripts::operators(&planned.0));
        for data in 0..DATA_SETS {
            let undisturbed = undisturbed(at, data).unwrap();
            assert!(undisturbed.seen.rows() > 0 && undisturbed.seen.hidden == 0, "{}", script.name);
        }
    }
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    let steps = |seed| {
        let report = simulate(seed, None, false);
        (report.hash, report.steps, report.requests, report.failure)
    };
    for seed in 1..20 {
        assert_eq!(steps(seed), steps(seed), "seed {seed}");
    }
}

#[test]
fn nothing_is_lost_or_doubled_whatever_happens() {
    let all = campaign(1, 300, 2, &|_| {});
    let failures: Vec<(u64, Option<String>)> =
        all.failures.iter().map(|report| (report.seed, report.failure.clone())).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(all.faults.len() == Kind::ALL.len() && all.deaths > 100, "{all:?}");
}

#[test]
fn planted_bugs_are_found() {
    for bug in [Bug::OffsetOffByOne, Bug::CommitBeforeManifest, Bug::SkippedFsync] {
        let hunt = hunt(bug, 1, 2000, 2);
        println!("{} is found by seed {:?}", bug.name(), hunt.found.as_ref().map(|it| it.seed));
        assert!(hunt.found.is_some(), "{bug:?}");
    }
}
