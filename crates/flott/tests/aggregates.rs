//! Aggregate functions answer as Flink does: every question of `tests/conformance/aggregates.txt` is
//! asked here and held against the recorded answer of batch mode. Questions about no rows at all are left to the
//! tests of the accumulators: a window without rows has no result.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, fs, path::Path};

use flott_testkit::{Flott, csv, temp_dir};

struct Question {
    call: String,
    columns: String,
    rows: String,
    /// Why the answer is another one.
    reason: Option<String>,
}

/// Type, answer in batch mode, answer in streaming mode.
type Answers = [String; 3];

fn kept(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance").join(name);
    fs::read_to_string(path).unwrap()
}

fn questions() -> Vec<Question> {
    let text = kept("aggregates.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let question = |line: &str| {
        let parts: Vec<&str> = line.split(" | ").collect();
        Question {
            call: parts[0].into(),
            columns: parts[1].into(),
            rows: parts[2].into(),
            reason: parts.get(3).map(ToString::to_string),
        }
    };
    lines.map(question).collect()
}

fn recorded() -> HashMap<String, Answers> {
    let text = kept("recorded/aggregates.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let answers = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        (parts[..3].join(" | "), [parts[3].to_string(), parts[4].to_string(), parts[5].to_string()])
    };
    lines.map(answers).collect()
}

/// The row's columns, over a window that has all rows; none if there is no row.
fn ask(
    flott: &Flott,
    directory: &Path,
    select: &str,
    question: &Question,
) -> Result<Vec<Option<String>>, String> {
    let script = format!(
        "SET 'execution.runtime-mode' = 'batch';\n\
         CREATE TEMPORARY VIEW v AS SELECT *, CAST('2026-01-01 00:00:00' AS TIMESTAMP(3)) AS at_time \
         FROM (SELECT {} FROM (VALUES {}) AS v (a, b)) AS w;\n\
         SELECT {select} FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(at_time), INTERVAL '1' DAY)) \
         GROUP BY window_start, window_end;\n",
        question.columns, question.rows
    );
    fs::write(directory.join("question.sql"), script).unwrap();
    let outcome = flott.run(["run", "--quiet", "--output", "csv", "question.sql"]).unwrap();
    if !outcome.is_success() {
        return Err(outcome.stderr);
    }
    let records = csv::parse(&outcome.stdout).unwrap();
    Ok(records.into_iter().nth(1).unwrap_or_default())
}

fn answer(flott: &Flott, directory: &Path, question: &Question) -> (String, String) {
    match ask(flott, directory, &format!("CAST({} AS STRING)", question.call), question) {
        Err(message) => ("!".into(), message),
        Ok(row) => match row.first() {
            None => ("-".into(), String::new()),
            Some(None) => ("NULL".into(), String::new()),
            Some(Some(text)) => (format!("={text}"), String::new()),
        },
    }
}

#[test]
fn aggregates_answer_as_flinks_do() {
    let directory = temp_dir().unwrap();
    let flott = Flott::new(env!("CARGO_BIN_EXE_flott"), directory.path());
    let recorded = recorded();
    let mut wrong = Vec::new();
    for question in questions().into_iter().filter(|it| it.rows != "none") {
        let key = [question.call.as_str(), &question.columns, &question.rows].join(" | ");
        let [data_type, batch, _] = recorded.get(&key).unwrap_or_else(|| panic!("{key} is not recorded"));
        let (found, message) = answer(&flott, directory.path(), &question);
        let mut differs = found != *batch;
        let mut shown = format!("{key}\n   is {found} {message}\n   in Flink {batch}");
        if !data_type.is_empty() && found != "!" {
            let row = ask(&flott, directory.path(), &format!("TYPEOF({})", question.call), &question);
            let row = row.unwrap_or_default();
            let of = row.first().cloned().flatten().unwrap_or_default();
            // Over a window, unlike over all rows, a result need not be nullable.
            let kind = |of: &str| of.trim_end_matches(" NOT NULL").to_string();
            if kind(&of) != kind(data_type) {
                differs = true;
                shown.push_str(&format!("\n   of type {of}, in Flink {data_type}"));
            }
        }
        if differs && question.reason.is_none() {
            wrong.push(shown);
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}
