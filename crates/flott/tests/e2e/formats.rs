//! Checkpoints of every format that there ever was: a job goes on from each to the right rows.
//!
//! ```text
//!   tests/fixtures/format-N: pipeline.sql, ckpt/ (stopped in the middle), expected.txt (what is still to come)
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Lab, summary_of, visible_files};

fn fixture(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Rows with their tables, and how often each came more than it went.
type Net = BTreeMap<(String, String), i64>;

fn written(lab: &Lab) -> Net {
    let mut net = Net::new();
    for table in fs::read_dir(lab.path("out")).unwrap() {
        let table = table.unwrap().file_name().into_string().unwrap();
        for file in visible_files(&lab.path("out").join(&table)) {
            for line in fs::read_to_string(file).unwrap().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let op = line.get("op").and_then(Value::as_str).unwrap_or("+I");
                let row = line.get("data").unwrap_or(&line).to_string();
                *net.entry((table.clone(), row)).or_default() += if op.starts_with('+') { 1 } else { -1 };
            }
        }
    }
    net.retain(|_, count| *count != 0);
    net
}

fn expected(format: &str) -> Net {
    let text = fs::read_to_string(fixture(format).join("expected.txt")).unwrap();
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (table, count) = (parts.next().unwrap().to_string(), parts.next().unwrap().parse().unwrap());
        let row: Value = serde_json::from_str(parts.next().unwrap()).unwrap();
        ((table, row.to_string()), count)
    };
    text.lines().map(line).collect()
}

fn goes_on(format: &str) {
    let lab = Lab::new();
    copy(&fixture(format).join("ckpt"), &lab.path("ckpt"));
    let script = fs::read_to_string(fixture(format).join("pipeline.sql")).unwrap();
    let script = script.replace("'rows-per-second' = '200'", "'rows-per-second' = '100000'");
    lab.write("pipeline.sql", script);
    let said = lab.flott.run(["upgrade", "ckpt", "pipeline.sql", "--json"]).unwrap();
    assert_eq!(said.status, Some(0), "{}\n{}", said.stdout, said.stderr);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(said["verdicts"].as_array().unwrap().iter().all(|it| it["verdict"] == "kept"), "{said:#}");
    let summary = summary_of(&lab.flott.run(["run", "--json", "pipeline.sql"]).unwrap());
    assert_eq!((&summary["status"], &summary["sources"][0]["read"]), (&"finished".into(), &160.into()));
    let (ours, theirs) = (written(&lab), expected(format));
    let missing: Vec<_> = theirs.iter().filter(|(row, count)| ours.get(row) != Some(count)).collect();
    let surplus: Vec<_> = ours.iter().filter(|(row, count)| theirs.get(row) != Some(count)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:#?}\nmore than expected {surplus:#?}"
    );
}

#[test]
fn format_1_is_read() {
    goes_on("format-1");
}
