//! The scripts of `tests/differential/` give the same rows as a real Flink.
//!
//! ```text
//!   NAME.sql ──┬─► flott run ──► out/TABLE/…  ─► lines, sorted ─┐
//!              │                                                ├─ equal?
//!              └─► flink.py  ──► out/TABLE/…  ─► lines, sorted ─┘
//!                                 (or recorded/NAME/TABLE.txt)
//! ```
//!
//! Without `FLOTT_DIFFERENTIAL` the answers are the recorded ones, so that neither Java nor Python is
//! needed; `live` asks Flink, `record` asks it and keeps what it says. A script may use `${DATA}` (the
//! inputs), `${GENERATED}` (inputs made from a seed: see `generated.rs`) and `${OUT}`; every directory
//! that it makes below `${OUT}` is a table. Lines of a partitioned table begin with their partition.
//!
//! Results that change are written to `print` tables: what comes as `NAME> +U[1, a]` is a change of table
//! NAME (`'print-identifier' = 'NAME'`). Compared is the table as it is in the end; if its name ends in
//! `_log`, all changes, in whatever order (the script then begins with
//! `SET 'table.exec.mini-batch.enabled' = 'false'`, so that Flott tells every change as Flink does; not
//! behind joins, where the order of two inputs is nobody's).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use flott_testkit::{Flott, Tool, python_tool, temp_dir};
use serde_json::{Value, json};

#[path = "differential/generated.rs"]
mod generated;

/// What Flott is compared with.
const FLINK: &str = "2.3.0";

/// The lines of each table.
type Tables = BTreeMap<String, Vec<String>>;

struct Script {
    name: String,
    path: PathBuf,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/differential").canonicalize().unwrap()
}

/// All scripts, or those whose name contains `FLOTT_DIFFERENTIAL_FILTER`.
fn scripts() -> Vec<Script> {
    let filter = env::var("FLOTT_DIFFERENTIAL_FILTER").unwrap_or_default();
    let mut found: Vec<Script> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sql"))
        .map(|path| Script { name: path.file_stem().unwrap().to_string_lossy().into_owned(), path })
        .filter(|script| script.name.contains(&filter))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[test]
fn flott_answers_as_flink() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no script has such a name");
    let inputs = Inputs::new();
    let expected = match env::var("FLOTT_DIFFERENTIAL").as_deref() {
        Ok("live") => ask_flink(&scripts, &inputs),
        Ok("record") => ask_flink(&scripts, &inputs).inspect(record),
        _ => Some(scripts.iter().map(|script| (script.name.clone(), recorded(&script.name))).collect()),
    };
    let Some(expected) = expected else { return };
    let mut disagree = 0;
    let mut differences = Vec::new();
    for script in &scripts {
        let before = differences.len();
        match run_flott(script, &inputs) {
            Ok(tables) => compare(&script.name, &expected[&script.name], &tables, &mut differences),
            Err(why) => differences.push(format!("{}: {why}", script.name)),
        }
        disagree += usize::from(differences.len() > before);
    }
    println!("{} of {} scripts agree with Flink {FLINK}", scripts.len() - disagree, scripts.len());
    let seed = inputs.seed;
    assert!(differences.is_empty(), "\n{}\n\ngenerated inputs: seed {seed}", differences.join("\n\n"));
}

/// Inputs made from a seed.
struct Inputs {
    directory: tempfile::TempDir,
    seed: u64,
}

impl Inputs {
    /// From `FLOTT_DIFFERENTIAL_SEED`; recorded answers are those for seed 1.
    fn new() -> Self {
        let seed = env::var("FLOTT_DIFFERENTIAL_SEED").ok().map_or(1, |it| it.parse().unwrap());
        let directory = temp_dir().unwrap();
        generated::write(directory.path(), seed);
        Self { directory, seed }
    }
}

fn run_flott(script: &Script, inputs: &Inputs) -> Result<Tables, String> {
    let out = temp_dir().unwrap();
    let tables = out.path().join("out");
    let flott = Flott::new(env!("CARGO_BIN_EXE_flott"), out.path());
    let data = format!("DATA={}", directory().join("data").display());
    let variable = format!("OUT={}", tables.display());
    let generated = format!("GENERATED={}", inputs.directory.path().display());
    let path = script.path.to_string_lossy();
    let variables = ["-v", &data, "-v", &variable, "-v", &generated];
    let mut arguments = vec!["run", "--json", "-D", "parallelism.default=2"];
    arguments.extend(variables);
    arguments.push(&path);
    let outcome = flott.run(arguments).map_err(|error| error.to_string())?;
    match &outcome.summary {
        _ if !outcome.is_success() => Err(outcome.stderr),
        Some(summary) if !adds_up(summary) => Err(format!("rows are lost: {summary}")),
        Some(summary) if summary["dlq"] != json!(0) => {
            let letters =
                flott.run(["dlq", "show", "flott-dlq/flott"]).map(|it| it.stdout).unwrap_or_default();
            let letters = if letters.is_empty() { dead_letters(&flott, &script.name) } else { letters };
            Err(format!("dead letters: {letters}"))
        }
        _ => {
            let mut tables = read_tables(&tables);
            tables.extend(printed(outcome.stdout.lines()));
            Ok(tables)
        }
    }
}

/// What `print` tables say: tables as they are in the end, and logs of changes.
fn printed<'a>(lines: impl Iterator<Item = &'a str>) -> Tables {
    let mut logs: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for line in lines {
        let Some((name, change)) = line.split_once("> ") else { continue };
        let known = change.get(..3).is_some_and(|it| ["+I[", "-U[", "+U[", "-D["].contains(&it));
        if known && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_') {
            logs.entry(name.to_string()).or_default().push(change.split_at(2));
        }
    }
    logs.into_iter().map(|(name, log)| (name.clone(), table_of(&name, &log))).collect()
}

fn table_of(name: &str, log: &[(&str, &str)]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if name.ends_with("_log") {
        lines.extend(log.iter().map(|(kind, row)| format!("{kind}{row}")));
    } else {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (kind, row) in log {
            *counts.entry(row).or_default() += if kind.starts_with('+') { 1 } else { -1 };
        }
        for (row, count) in counts {
            let taken_too_often = if count < 0 { "-D" } else { "" };
            lines.extend((0..count.abs()).map(|_| format!("{taken_too_often}{row}")));
        }
    }
    lines.sort();
    lines
}

/// Whether the summary says of every row what became of it.
fn adds_up(summary: &Value) -> bool {
    let of = |edge: &Value, key: &str| edge[key].as_u64().unwrap_or(0);
    let sum = |edge: &Value, keys: &[&str]| keys.iter().map(|key| of(edge, key)).sum::<u64>();
    let edges = summary["edges"].as_array().unwrap();
    let sinks = summary["sinks"].as_array().unwrap();
    let all = |these: &[Value], key: &str| these.iter().map(|it| of(it, key)).sum::<u64>();
    let told = ["out", "filtered", "late", "dead_lettered", "skipped"];
    let into_sinks: Vec<Value> =
        edges.iter().filter(|edge| sinks.iter().any(|it| it["name"] == edge["to"])).cloned().collect();
    edges.iter().all(|edge| sum(edge, &["in", "expanded"]) == sum(edge, &told))
        && all(&into_sinks, "out") == all(sinks, "written")
}

fn dead_letters(flott: &Flott, name: &str) -> String {
    let directory = format!("flott-dlq/{name}");
    flott.run(["dlq", "show", &directory]).map(|it| it.stdout).unwrap_or_default()
}

/// Runs all scripts on Flink. `None`: there is no Flink here.
fn ask_flink(scripts: &[Script], inputs: &Inputs) -> Option<BTreeMap<String, Tables>> {
    let python = match flink_python() {
        Tool::Ready(python) => python,
        Tool::Skipped(why) => {
            println!("{why}");
            return None;
        }
    };
    let out = temp_dir().unwrap();
    let job = |script: &Script| {
        json!({
            "name": script.name,
            "script": fs::read_to_string(&script.path).unwrap(),
            "data": directory().join("data"),
            "generated": inputs.directory.path(),
            "out": out.path().join(&script.name),
        })
    };
    let jobs = out.path().join("jobs.json");
    fs::write(&jobs, Value::Array(scripts.iter().map(job).collect()).to_string()).unwrap();
    let mut runner = Command::new(python);
    runner.arg(directory().join("flink.py")).arg(&jobs).env("TZ", "UTC");
    let output = runner.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let answers: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(answers.first().map(|it| &it["version"]), Some(&json!(FLINK)), "{errors}");
    let refused: Vec<String> =
        answers.iter().filter_map(|it| Some(format!("{}: {}", it["name"], it["error"].as_str()?))).collect();
    assert!(refused.is_empty(), "Flink refuses:\n{}", refused.join("\n"));
    assert_eq!(answers.len(), scripts.len() + 1, "Flink ended early:\n{errors}");
    // What a script prints comes before its answer.
    let mut printed_by: BTreeMap<String, Tables> = BTreeMap::new();
    let mut since = Vec::new();
    for line in said.lines() {
        match serde_json::from_str::<Value>(line).ok().and_then(|it| it["name"].as_str().map(str::to_string))
        {
            Some(name) => drop(printed_by.insert(name, printed(since.drain(..)))),
            None => since.push(line),
        }
    }
    let tables = |script: &Script| {
        let mut tables = read_tables(&out.path().join(&script.name));
        tables.extend(printed_by.remove(&script.name).unwrap_or_default());
        (script.name.clone(), tables)
    };
    Some(scripts.iter().map(tables).collect())
}

/// A Python that has Flink, and a Java for it. `FLOTT_FLINK_PYTHON` names one that is there already.
fn flink_python() -> Tool {
    if let Some(python) = env::var_os("FLOTT_FLINK_PYTHON") {
        return Tool::Ready(python.into());
    }
    if let Err(why) = install_java() {
        return Tool::Skipped(format!("skipped: Flink needs Java 17: {why}"));
    }
    python_tool("flink", &[&format!("apache-flink=={FLINK}")])
}

/// Installs a Java by the system's packages if there is none.
fn install_java() -> Result<(), String> {
    if env::var_os("JAVA_HOME").is_some() || Command::new("java").arg("-version").output().is_ok() {
        return Ok(());
    }
    let install = Command::new("apt-get").args(["install", "-y", "-q", "openjdk-17-jre-headless"]).output();
    match install {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn record(answers: &BTreeMap<String, Tables>) {
    for (name, tables) in answers {
        let directory = directory().join("recorded").join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        for (table, lines) in tables {
            let mut text = format!("# Flink {FLINK}\n");
            lines.iter().for_each(|line| text.extend([line, "\n"]));
            fs::write(directory.join(format!("{table}.txt")), text).unwrap();
        }
    }
}

fn recorded(name: &str) -> Tables {
    let directory = directory().join("recorded").join(name);
    let files = fs::read_dir(&directory)
        .unwrap_or_else(|_| panic!("no answers for {name}: run `cargo xtask differential --record {name}`"));
    let table = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().skip(1).map(str::to_string).collect();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), lines)
    };
    files.map(|entry| table(entry.unwrap().path())).collect()
}

/// What the directories below this one hold. A table without rows may have no directory.
fn read_tables(out: &Path) -> Tables {
    let Ok(entries) = fs::read_dir(out) else { return Tables::new() };
    let tables = entries.map(|entry| entry.unwrap().path()).map(|path| {
        let mut lines = Vec::new();
        read_lines(&path, "", &mut lines);
        lines.sort();
        (path.file_name().unwrap().to_string_lossy().into_owned(), lines)
    });
    tables.filter(|(_, lines)| !lines.is_empty()).collect()
}

/// The lines of all visible files, with their partition.
fn read_lines(directory: &Path, partition: &str, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "_SUCCESS" {
            continue;
        }
        if path.is_dir() {
            read_lines(&path, &format!("{partition}{name}/"), lines);
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let space = if partition.is_empty() { "" } else { " " };
        lines.extend(text.lines().map(|line| format!("{partition}{space}{line}")));
    }
}

fn compare(name: &str, expected: &Tables, found: &Tables, differences: &mut Vec<String>) {
    let empty = Vec::new();
    let mut tables: Vec<&String> = expected.keys().chain(found.keys()).collect();
    tables.sort();
    tables.dedup();
    for table in tables {
        let expected = expected.get(table).unwrap_or(&empty);
        let found = found.get(table).unwrap_or(&empty);
        if expected != found {
            differences.push(format!("{name}/{table}:\n{}", difference(expected, found)));
        }
    }
}

/// The lines that only one of two lists has: `-` Flink, `+` Flott.
fn difference(expected: &[String], found: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut lines = only_in_first(expected, found, "-");
    lines.extend(only_in_first(found, expected, "+"));
    lines.sort_by(|a, b| a.get(2..).cmp(&b.get(2..)));
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}

fn only_in_first(these: &[String], those: &[String], sign: &str) -> Vec<String> {
    let mut rest = those.to_vec();
    let mut only = Vec::new();
    for line in these {
        match rest.iter().position(|it| it == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => only.push(format!("{sign} {line}")),
        }
    }
    only
}
