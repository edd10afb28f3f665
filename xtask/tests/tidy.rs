//! Keeps what clippy and rustfmt don't: small files, modules that say what they are for, a page for
//! every error code, no unfinished marks, no paths of somebody's machine.

#![allow(clippy::unwrap_used, reason = "helpers of a test, outside #[test]")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From here on a file has a seam somewhere.
const LINES_MAX: usize = 900;
/// Longer lines can't be read side by side.
const COLUMNS_MAX: usize = 130;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All files below the project's root with one of these endings, build output left out.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "flott-dlq" {
                    todo.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn files_are_small_and_lines_are_short() {
    let mut problems = Vec::new();
    for path in files(&[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let count = text.lines().count();
        if count > LINES_MAX {
            problems.push(format!("{}: {count} lines; look for the seam", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            let is_table = line.trim_start().starts_with("//! |");
            if line.chars().count() > COLUMNS_MAX && !line.contains('"') && !is_table {
                problems.push(format!("{}:{}: over {COLUMNS_MAX} columns", path.display(), number + 1));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    let missing = |path: &PathBuf| !fs::read_to_string(path).unwrap().starts_with("//!");
    let problems: Vec<String> = files(&[".rs"])
        .iter()
        .filter(|path| missing(path))
        .map(|path| format!("{}: begin with `//!`: purpose, invariants, a small picture", path.display()))
        .collect();
    report(&problems);
}

#[test]
fn nothing_is_left_unfinished_and_nobodys_machine_shows() {
    // Spelled in halves, so that this file doesn't find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("dbg", "!("),
    ];
    let mut problems = Vec::new();
    for path in files(&[".rs", ".md", ".toml", ".sql", ".slt", ".py", ".sh"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                problems.push(format!("{}:{}: {mark}", path.display(), number + 1));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let directory = root().join("docs/errors");
    let codes: Vec<String> = flott_types::Code::ALL.iter().map(|code| code.id().to_string()).collect();
    let mut problems = Vec::new();
    for code in &codes {
        let path = directory.join(format!("{code}.md"));
        match fs::read_to_string(&path) {
            Ok(text) if text.starts_with(&format!("# {code}: ")) && text.contains("## What to do") => {}
            Ok(_) => {
                problems.push(format!("{}: begin with `# {code}: …`, have `## What to do`", path.display()))
            }
            Err(_) => problems.push(format!("{} is missing", path.display())),
        }
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let code = name.trim_end_matches(".md");
        if code != "README" && !codes.iter().any(|known| known == code) {
            problems.push(format!("docs/errors/{name}: no such code"));
        }
    }
    let mut sorted = codes.clone();
    sorted.dedup();
    assert_eq!(sorted.len(), codes.len(), "two errors share a code");
    report(&problems);
}

/// What cargo says of the crates that are really built on this machine; the lock also names those that nobody
/// switches on.
fn tree(arguments: &[&str]) -> String {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["tree", "--workspace", "--offline", "--locked", "--prefix", "none"]).args(arguments);
    let outcome = cargo.current_dir(root()).output().unwrap();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

#[test]
fn one_tls_provider_and_no_banned_crate() {
    let built = tree(&[]);
    let is_built = |name: &str| built.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(is_built("aws-lc-rs") && is_built("flott"), "{built}");
    let banned = ["ring", "native-tls", "serde_yml"];
    let mut problems: Vec<String> = banned
        .iter()
        .filter(|name| is_built(name))
        .map(|name| format!("{name} is built; see deny.toml"))
        .collect();
    // The Kafka client brings its own.
    if is_built("openssl-sys") {
        let users = tree(&["--invert", "openssl-sys", "--depth", "1"]);
        let others = users.lines().skip(1).filter(|line| !line.starts_with("rdkafka-sys "));
        problems.extend(others.map(|line| format!("{line} uses openssl-sys; see deny.toml")));
    }
    report(&problems);
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut problems = Vec::new();
    for path in files(&[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            let outside = target.contains("://") || file.is_empty() || file.contains(' ');
            if !outside && !path.parent().unwrap().join(file).exists() {
                problems.push(format!("{}: {target} leads nowhere", path.display()));
            }
        }
    }
    report(&problems);
}
