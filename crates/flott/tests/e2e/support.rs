//! A directory to run the binary in, and ways to look at what it left there.

use std::{
    fmt::{Display, Write as _},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::Duration,
};

use flott_connector::{Clock, StopSignal, SystemClock, dead_letter::Line};
use flott_testkit::{Flott, Outcome, TempDir, temp_dir};
use serde_json::Value;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary in a directory of its own: relative paths in scripts are paths in that directory.
pub struct Lab {
    directory: TempDir,
    pub flott: Flott,
}

impl Lab {
    pub fn new() -> Self {
        let directory = temp_dir().unwrap();
        let flott = Flott::new(env!("CARGO_BIN_EXE_flott"), directory.path());
        Self { directory, flott }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file; directories on the way are made.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs statements, which must succeed, and whose rows must add up.
    pub fn run(&self, sql: &str) -> Value {
        summary_of(&self.flott.run_sql(sql).unwrap())
    }

    /// Runs statements that must fail with this exit code; what standard error says.
    pub fn fails(&self, code: i32, sql: &str) -> String {
        let outcome = self.flott.run(["run", "--quiet", "-e", sql]).unwrap();
        assert_eq!(outcome.status, Some(code), "{sql}\n{}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        outcome.stderr
    }

    /// What a query prints as CSV, without the header.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let outcome = self.flott.run(["run", "--json", "--output", "csv", "-e", sql]).unwrap();
        summary_of(&outcome);
        outcome.stdout.lines().skip(1).map(str::to_string).collect()
    }

    /// The lines of all visible files of a table, sorted.
    pub fn lines(&self, table: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for file in visible_files(&self.path(table)) {
            lines.extend(fs::read_to_string(file).unwrap().lines().map(str::to_string));
        }
        lines.sort();
        lines
    }

    /// The dead letters of runs without a pipeline name, in order of place.
    pub fn letters(&self) -> Vec<Line> {
        let mut letters = Vec::new();
        for file in visible_files(&self.path("flott-dlq/flott")) {
            if !file.to_string_lossy().contains("/replayed/") {
                letters.extend(fs::read_to_string(file).unwrap().lines().map(|line| {
                    let letter: Line = serde_json::from_str(line).unwrap();
                    letter
                }));
            }
        }
        letters.sort_by(|a, b| (&a.split, a.offset, &a.sinks).cmp(&(&b.split, b.offset, &b.sinks)));
        letters
    }

    /// Starts it and returns at once.
    pub fn start(&self, sql: &str) -> Running {
        self.start_with(&[], sql)
    }

    /// Starts it with further arguments.
    pub fn start_with(&self, arguments: &[&str], sql: &str) -> Running {
        self.start_logging(arguments, "warn", sql)
    }

    /// Starts it with a log of this level. Nobody reads it before the end, so it must be short.
    pub fn start_logging(&self, arguments: &[&str], level: &str, sql: &str) -> Running {
        let all = ["run", "--json", "-e", sql].into_iter().chain(arguments.iter().copied());
        let child = self.flott.command(all).env("FLOTT_LOG", level).spawn().unwrap();
        child.into()
    }
}

/// A run on its way; killed if a test forgets it.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// What a run that has ended said on standard error.
    pub fn last_words(&mut self) -> String {
        let said = self.child.take().and_then(|child| child.wait_with_output().ok());
        said.map(|it| Outcome::from(it).stderr).unwrap_or_default()
    }

    /// Highest memory in use so far, in bytes.
    pub fn memory_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib << 10)
    }

    /// Waits for its end.
    pub fn outcome(mut self) -> Outcome {
        let output: Output = self.child.take().unwrap().wait_with_output().unwrap();
        output.into()
    }
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self { child: Some(child) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || if is_so() { Ok(()) } else { Err("") });
}

/// Waits for something; until it is there the answer is what there is instead.
pub fn wait_for<T, E: Display>(what: &str, mut get: impl FnMut() -> Result<T, E>) -> T {
    let (clock, pause) = (SystemClock::new(), StopSignal::new());
    loop {
        match get() {
            Ok(it) => return it,
            Err(instead) => assert!(clock.monotonic() < PATIENCE, "waited too long for: {what}\n{instead}"),
        }
        pause.wait(Duration::from_millis(5));
    }
}

/// The summary of a run that succeeded; checks that its rows add up.
pub fn summary_of(outcome: &Outcome) -> Value {
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let summary = outcome.summary.clone().unwrap_or_else(|| panic!("no summary: {}", outcome.stderr));
    check_sums(&summary);
    summary
}

/// Every edge adds up, gets what its source read if it begins at one, and every sink has what its edges
/// brought.
pub fn check_sums(summary: &Value) {
    let count = |object: &Value, key: &str| object[key].as_u64().unwrap_or(0);
    let list = |key: &str| summary[key].as_array().cloned().unwrap_or_default();
    for edge in list("edges") {
        let parts = ["out", "filtered", "late", "dead_lettered", "skipped", "earlier"];
        let accounted: u64 = parts.iter().map(|key| count(&edge, key)).sum();
        assert_eq!(count(&edge, "in") + count(&edge, "expanded"), accounted, "{edge}\n{summary}");
        let sources = list("sources");
        let reads = sources.iter().filter(|it| it["name"] == edge["from"]).map(|it| count(it, "read"));
        let from_source = reads.clone().next().is_some();
        assert!(!from_source || reads.clone().any(|read| read == count(&edge, "in")), "{edge}\n{summary}");
    }
    for sink in list("sinks") {
        let edges = list("edges");
        let out: u64 = edges.iter().filter(|it| it["to"] == sink["name"]).map(|it| count(it, "out")).sum();
        assert_eq!(count(&sink, "written"), out, "{sink}\n{summary}");
    }
}

/// Files that a reader of a directory sees: none whose name, or whose directory's, is hidden.
pub fn visible_files(directory: &Path) -> Vec<PathBuf> {
    files_where(directory, &|name| !name.starts_with(['.', '_']))
}

/// Files that nobody should see.
pub fn hidden_files(directory: &Path) -> Vec<PathBuf> {
    let mut all = files_where(directory, &|_| true);
    let visible = visible_files(directory);
    all.retain(|file| !visible.contains(file));
    all
}

fn files_where(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        if !wanted(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_where(&entry.path(), wanted)),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// `CREATE TABLE name (columns) WITH (connector filesystem, path, format, …);`
pub fn table(name: &str, columns: &str, path: &str, format: &str, options: &[(&str, &str)]) -> String {
    let mut sql = format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = '{format}'"
    );
    for (key, value) in options {
        write!(sql, ", '{key}' = '{value}'").unwrap();
    }
    sql + ");\n"
}
