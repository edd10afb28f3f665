//! What fuzzing starts from, and what it has found, each input once; and a few changed ones. Far more of them:
//! `cargo fuzz`, see CONTRIBUTING.md.

mod cases;

use std::path::PathBuf;

use cases::targets;
use flott_formats::conformance::Random;

/// Inputs changed at random, for each target.
const CHANGED: usize = 40;

#[test]
fn every_kept_input_holds() {
    for name in targets::NAMES {
        let seeded = targets::target(name).unwrap();
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds")).join(name);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no inputs");
        for file in files {
            let outcome = seeded.target.check(&std::fs::read(&file).unwrap());
            outcome.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}

#[test]
fn inputs_changed_at_random_hold() {
    for name in targets::NAMES {
        let seeded = targets::target(name).unwrap();
        let mut random = Random::new(7);
        for number in 0..CHANGED {
            let outcome = seeded.target.check(&seeded.changed(&mut random));
            outcome.unwrap_or_else(|error| panic!("{name}, input {number}: {error}"));
        }
    }
}
