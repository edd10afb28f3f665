//! The reference says what is true: every example of a function gives what it says, and
//! `docs/reference/` is what the binary prints about itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use flott_testkit::{Flott, csv, temp_dir};
use serde_json::Value;

fn flott(directory: &Path) -> Flott {
    Flott::new(env!("CARGO_BIN_EXE_flott"), directory)
}

/// Expression and result of every example.
fn examples(flott: &Flott) -> Vec<(String, String)> {
    let listed = flott.run(["list", "functions", "--json"]).unwrap();
    let functions: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    // A watermark is that of a table's column.
    let alone = |function: &&Value| function["name"] != "CURRENT_WATERMARK";
    functions
        .iter()
        .filter(alone)
        .flat_map(|function| function["examples"].as_array().unwrap())
        .map(|example| (text(&example["expression"]), text(&example["result"])))
        .collect()
}

/// The example as a statement: an aggregate's, over a window that has all of its rows.
fn statement(at: usize, sql: &str) -> String {
    let Some((call, rows)) = sql.split_once(" FROM (VALUES ") else {
        return format!("SELECT {sql};\n");
    };
    format!(
        "CREATE TEMPORARY VIEW example{at} AS SELECT *, CAST('2026-01-01 00:00:00' AS TIMESTAMP(3)) AS at_time \
         FROM (VALUES {rows};\n\
         SELECT {call} FROM TABLE(TUMBLE(TABLE example{at}, DESCRIPTOR(at_time), INTERVAL '1' DAY)) \
         GROUP BY window_start, window_end;\n"
    )
}

#[test]
fn every_function_answers_as_documented() {
    let directory = temp_dir().unwrap();
    let flott = flott(directory.path());
    let examples = examples(&flott);
    assert!(examples.len() > 200);
    // What comes out is a header and a row per example.
    let statements = examples.iter().enumerate().map(|(at, (sql, _))| statement(at, sql));
    let script: String =
        std::iter::once("SET 'execution.runtime-mode' = 'batch';\n".to_string()).chain(statements).collect();
    fs::write(directory.path().join("examples.sql"), script).unwrap();
    let outcome = flott.run(["run", "--quiet", "--output", "csv", "examples.sql"]).unwrap();
    assert!(outcome.is_success(), "{}", outcome.stderr);
    let records = csv::parse(&outcome.stdout).unwrap();
    assert_eq!(records.len(), 2 * examples.len(), "an example has no answer: {}", outcome.stderr);
    let wrong: Vec<String> = records
        .chunks(2)
        .zip(&examples)
        .map(|(answer, example)| (answer[1][0].clone().unwrap_or_else(|| "NULL".into()), example))
        .filter(|(answer, (_, result))| answer != result)
        .map(|(answer, (sql, result))| format!("{sql} is {answer}, documented as {result}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_has_an_example_and_a_form() {
    let directory = temp_dir().unwrap();
    let listed = flott(directory.path()).run(["list", "functions", "--json"]).unwrap();
    let functions: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let has = |function: &Value, key: &str| function[key].as_array().is_some_and(|it| !it.is_empty());
    // The last group names what only Flink has.
    let is_here = |function: &Value| function["group"] != "Not here";
    let bare: Vec<&Value> = functions
        .iter()
        .filter(|function| is_here(function))
        .filter(|function| !has(function, "examples") || !has(function, "forms"))
        .map(|function| &function["name"])
        .collect();
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn the_reference_is_up_to_date() {
    let directory = temp_dir().unwrap();
    let flott = flott(directory.path());
    for topic in ["connectors", "formats", "functions", "options", "types"] {
        let printed = flott.run(["list", topic, "--markdown"]).unwrap();
        assert!(printed.is_success(), "{}", printed.stderr);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/reference/{topic}.md"));
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(kept == printed.stdout, "docs/reference/{topic}.md is old: run `cargo xtask docs`");
    }
}
