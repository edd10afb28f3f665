//! Runs `.slt` files (sqllogictest) against the binary.
//!
//! ```text
//!   statement ok            query I rowsort          ┌─ every record is one run of the binary:
//!   CREATE TABLE t …        SELECT a FROM t          │  flott run --output csv -e "<statements so far>; <record>"
//!                           ----                     └─ statements that define something are kept
//!                           1                           for the records that follow
//! ```
//!
//! NULL shows as `NULL`, the empty string as `(empty)`, line breaks as `\n`. `INSERT` and
//! `EXECUTE STATEMENT SET` run once, where they stand; so does `CREATE TABLE … AS`, whose table isn't
//! known to what follows.

use std::{io, path::Path};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::{Flott, csv};

/// Words that start a record whose rows count.
const QUERIES: &[&str] = &["SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "("];
/// Words that start a record that has its effect outside.
const ACTIONS: &[&str] = &["INSERT", "EXECUTE", "BEGIN"];

/// What tells `CREATE TABLE … WITH (…) AS` from other definitions.
const CREATE_AS: &str = "') AS SELECT";

/// Runs one file.
///
/// # Errors
/// What differs, with its place in the file.
pub fn run_slt(flott: &Flott, file: impl AsRef<Path>) -> Result<(), String> {
    let mut runner = Runner::new(|| async { Ok(Session { flott: flott.clone(), prelude: String::new() }) });
    runner.run_file(file).map_err(|error| error.display(false).to_string())
}

/// A session keeps its definitions as text and gives them to every run again.
struct Session {
    flott: Flott,
    prelude: String,
}

/// The binary could not be run, or said no.
#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed(format!("cannot run flott: {error}"))
    }
}

impl DB for Session {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let record = sql.trim().trim_end_matches(';');
        let script = format!("{}{record};\n", self.prelude);
        let outcome = self.flott.run(["run", "--output", "csv", "-e", script.as_str()])?;
        if !outcome.is_success() {
            return Err(Failed(outcome.stderr));
        }
        if starts_with_any(record, QUERIES) {
            return rows(&outcome.stdout);
        }
        if !starts_with_any(record, ACTIONS) && !record.contains(CREATE_AS) {
            self.prelude = script;
        }
        Ok(DBOutput::StatementComplete(0))
    }

    fn engine_name(&self) -> &str {
        "flott"
    }
}

fn starts_with_any(record: &str, words: &[&str]) -> bool {
    let text =
        record.lines().find(|line| !line.trim_start().starts_with("--")).unwrap_or_default().trim_start();
    words.iter().any(|word| {
        let (start, rest) = text.split_at_checked(word.len()).unwrap_or((text, ""));
        start.eq_ignore_ascii_case(word) && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            || *word == "(" && text.starts_with('(')
    })
}

fn rows(stdout: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
    let mut records =
        csv::parse(stdout).map_err(|why| Failed(format!("output is not CSV: {why}\n{stdout}")))?;
    if records.is_empty() {
        return Ok(DBOutput::Rows { types: Vec::new(), rows: Vec::new() });
    }
    let header = records.remove(0);
    let shown = |field: Option<String>| match field {
        None => "NULL".to_string(),
        Some(text) if text.is_empty() => "(empty)".to_string(),
        Some(text) => text.replace('\n', "\\n"),
    };
    let rows = records.into_iter().map(|record| record.into_iter().map(shown).collect()).collect();
    Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; header.len()], rows })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// A binary that answers any script with its number of statements.
    const COUNTS: &str = "#!/bin/sh\ncase \"$5\" in *WRONG*) echo 'FLT-1001: no' >&2; exit 2;; esac\n\
                          printf 'n,e\\n%s,\\n\"\",x\\n' \"$(printf '%s' \"$5\" | grep -c ';')\"\n";

    #[test]
    fn definitions_are_kept_and_actions_are_not() {
        let directory = crate::temp_dir().unwrap();
        let binary = directory.path().join("flott");
        fs::write(&binary, COUNTS).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let file = directory.path().join("test.slt");
        let text = "statement ok\nCREATE TABLE t (a INT)\n\nstatement ok\nINSERT INTO t VALUES (1)\n\n\
                    statement error FLT-1001\nWRONG\n\nquery TT rowsort\nSELECT 1\n----\n(empty) x\n2 NULL\n";
        fs::write(&file, text).unwrap();
        let flott = Flott::new(&binary, directory.path());
        assert_eq!(run_slt(&flott, &file), Ok(()));

        fs::write(&file, "query TT\nSELECT 1\n----\n7 NULL\n(empty) x\n").unwrap();
        assert!(run_slt(&flott, &file).is_err());
    }
}
