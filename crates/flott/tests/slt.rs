//! Runs `tests/slt/**/*.slt`: SQL in, rows or errors out. `FLOTT_SLT` picks the files whose path
//! contains it.
//!
//! Every file runs in a directory of its own, which holds `data/`, a link to `tests/slt/data`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use flott_testkit::{Flott, run_slt, temp_dir};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt").canonicalize().unwrap()
}

fn slt_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            slt_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "slt") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_holds() {
    let filter = env::var("FLOTT_SLT").unwrap_or_default();
    let mut files = Vec::new();
    slt_files(&directory(), &mut files);
    files.retain(|path| path.to_string_lossy().contains(&filter));
    files.sort();
    assert!(!files.is_empty(), "no file has such a name");
    let failures: Vec<String> = files.iter().filter_map(|file| run(file).err()).collect();
    println!("{} of {} files hold", files.len() - failures.len(), files.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

fn run(file: &Path) -> Result<(), String> {
    let scratch = temp_dir().unwrap();
    std::os::unix::fs::symlink(directory().join("data"), scratch.path().join("data")).unwrap();
    run_slt(&Flott::new(env!("CARGO_BIN_EXE_flott"), scratch.path()), file)
        .map_err(|why| format!("{}:\n{why}", file.display()))
}
