//! Functions and casts give the values and types that a real Flink gives.
//!
//! ```text
//!   functions.txt ─┐            ┌─► flink.py ──► recorded/*.tsv ─┐
//!                  ├─ cases.rs ─┤                                ├─ report.rs ─► table, differences
//!   casts.txt ─────┘            └─► flott.rs (binds, evaluates) ─┘
//! ```
//!
//! Flink's answers are recorded, so that neither Java nor Python is needed. Environment variables,
//! which `cargo xtask conformance` sets:
//!
//! - `FLOTT_CONFORMANCE=record`: asks Flink about what has no recorded answer yet; `record-all`: about
//!   everything; `table`: prints the table
//! - `FLOTT_CONFORMANCE_DIFFERENCES`: a file to write every difference to
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it can't go on")]

mod answers;
#[allow(dead_code, reason = "the program that measures speed uses the rest")]
mod cases;
mod flott;
mod report;

use std::path::{Path, PathBuf};

use answers::{Answer, Outcome, Recorded};
use cases::Case;

/// What Flott is compared with.
const FLINK: &str = "2.3.0";

/// Their types, or what is allowed, depend on an argument's being a literal; or they vary.
const LITERALS_MATTER: &[&str] = &["ROUND", "TRUNCATE", "ITEM", "RAND"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance")
}

#[test]
fn functions_answer_as_flink_does() {
    compare("functions", &cases::functions(&directory()));
}

#[test]
fn casts_answer_as_flink_does() {
    compare("casts", &cases::casts(&directory()));
}

#[test]
fn every_registered_function_is_asked_about() {
    let cases = cases::functions(&directory());
    let asked = |name: &str| cases.iter().filter(|case| case.subject == name).count();
    let missing: Vec<&str> = flott_expr::functions::all()
        .iter()
        .map(|function| function.name)
        .filter(|name| !name.starts_with('$') && !report::UNCALLABLE.contains(name) && asked(name) == 0)
        .collect();
    assert!(missing.is_empty(), "tests/conformance/functions.txt lacks {missing:?}");
}

#[test]
fn every_meant_difference_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    let text = std::fs::read_to_string(path).unwrap();
    let reasons = report::meant_reasons(&directory());
    let missing: Vec<&String> = reasons.iter().filter(|it| !text.contains(it.as_str())).collect();
    assert!(missing.is_empty(), "docs/differences.md lacks {missing:#?}");
}

#[test]
fn columns_are_worth_what_constants_are() {
    let cases = [cases::functions(&directory()), cases::casts(&directory())].concat();
    let mut wrong = Vec::new();
    let literals_matter = |case: &&Case| LITERALS_MATTER.contains(&case.subject.as_str());
    let cases = cases.iter().filter(|case| !case.over_columns.1.is_empty());
    for case in cases.filter(|case| !literals_matter(case)) {
        let (constant, _) = flott::answer(&case.expression);
        let Some((found, message)) = flott::answer_over_columns(&case.over_columns) else { continue };
        if !without_nullability(constant.clone()).agrees(&without_nullability(found.clone())) {
            wrong.push(format!("{}\n   {constant:?}\n   {found:?} {message}", case.expression));
        }
    }
    if let Some(file) = std::env::var_os("FLOTT_CONFORMANCE_DIFFERENCES") {
        std::fs::write(file, wrong.join("\n")).unwrap();
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Of a constant it is known whether it is NULL, of a column's value it isn't.
fn without_nullability(mut answer: Answer) -> Answer {
    answer.data_type = answer.data_type.map(|it| it.trim_end_matches(" NOT NULL").to_string());
    if let Outcome::Value(value) = &mut answer.outcome {
        *value = value.replace(" NOT NULL", "");
    }
    answer
}

/// Holds Flott's answers against Flink's: all equal but for those with a reason.
fn compare(set: &str, cases: &[Case]) {
    let path = directory().join(format!("recorded/{set}.tsv"));
    let mode = std::env::var("FLOTT_CONFORMANCE").unwrap_or_default();
    let mut recorded = Recorded::read(&path);
    if mode.starts_with("record") {
        if mode == "record-all" {
            recorded = Recorded::default();
        }
        recorded.ask_about(cases, &directory());
        recorded.write(&path, cases);
    }
    let report = report::Report::new(cases, &recorded, &directory());
    if !mode.is_empty() {
        print!("{}", report.table());
        if set == "functions" {
            println!("{}", report::Report::standing());
        }
        let needless = report.needless().join("\n   ");
        println!("lines of differences.tsv that no case of this set needs:\n   {needless}");
    }
    if let Some(file) = std::env::var_os("FLOTT_CONFORMANCE_DIFFERENCES") {
        std::fs::write(file, report.differences()).unwrap();
    }
    if mode.is_empty() {
        let unexplained = report.unexplained();
        assert!(unexplained.is_empty(), "{} differ:\n{}", unexplained.len(), unexplained.join("\n"));
    }
}
