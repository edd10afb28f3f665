//! What readers of the files see, held against what an undisturbed run wrote.

use std::{collections::HashMap, path::Path};

use flott_engine::Summary;
use serde_json::Value;

use super::{
    scripts::{SCRIPTS, Script},
    world::with,
};

/// Rows, and how often each is there; of changes, how often told less how often taken back.
pub(super) type Rows = HashMap<String, i64>;

/// What readers of each sink see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    sinks: Vec<Rows>,
    /// Lines of each sink.
    lines: Vec<u64>,
    pub(super) hidden: usize,
    pub(super) damaged: Option<String>,
}

/// Rows lost, rows doubled (or never right), and what else is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) what: Option<String>,
}

impl Seen {
    /// What lies on the disk now.
    pub(super) fn now(script: usize) -> Self {
        let Some(script) = SCRIPTS.get(script) else { return Self::default() };
        let mut seen = Self::default();
        for sink in 0..script.sinks() {
            let below = format!("/out/{sink}");
            let (mut rows, mut lines) = (Rows::new(), 0);
            with(|world| {
                for (path, hidden, bytes) in world.disk.files(Path::new(&below)) {
                    if hidden {
                        seen.hidden += 1;
                        continue;
                    }
                    if let Err(what) = read(script, sink, bytes, &mut rows, &mut lines) {
                        seen.damaged = Some(format!("{}: {what}", path.display()));
                    }
                }
            });
            if script.is_log(sink) {
                let read = with(|world| read(script, sink, world.log.read(sink), &mut rows, &mut lines));
                seen.damaged = seen.damaged.or(read.err());
            }
            rows.retain(|_, count| *count != 0);
            seen.sinks.push(rows);
            seen.lines.push(lines);
        }
        seen
    }

    pub(super) fn rows(&self) -> u64 {
        self.sinks.iter().flat_map(HashMap::values).map(|count| count.unsigned_abs()).sum()
    }

    /// Before the end: no row that is never right, none taken back that was not there.
    pub(super) fn so_far(&self, script: usize, expected: &Seen) -> Verdict {
        let Some(script) = SCRIPTS.get(script) else { return Verdict::default() };
        let mut verdict = Verdict { what: self.damaged.clone(), ..Verdict::default() };
        for (sink, (rows, right)) in self.sinks.iter().zip(&expected.sinks).enumerate() {
            for (row, count) in rows {
                let limit =
                    if script.changes(sink) { i64::MAX } else { right.get(row).copied().unwrap_or(0) };
                let wrong =
                    if *count < 0 { count.unsigned_abs() } else { (count - limit).max(0).unsigned_abs() };
                if wrong > 0 {
                    verdict.doubled += wrong;
                    verdict.what.get_or_insert_with(|| format!("readers see {row} {count} times"));
                }
            }
        }
        verdict
    }

    /// At the end: the same rows, nothing left behind.
    pub(super) fn at_end(&self, expected: &Seen) -> Verdict {
        let mut verdict = Verdict { what: self.damaged.clone(), ..Verdict::default() };
        for (rows, right) in self.sinks.iter().zip(&expected.sinks) {
            for (row, count) in right {
                let there = rows.get(row).copied().unwrap_or(0);
                if there != *count {
                    verdict.lost += (count - there).max(0).unsigned_abs();
                    verdict.doubled += (there - count).max(0).unsigned_abs();
                    verdict.what.get_or_insert_with(|| format!("{row} is there {there} times, not {count}"));
                }
            }
            for (row, count) in rows.iter().filter(|(row, _)| !right.contains_key(*row)) {
                verdict.doubled += count.unsigned_abs();
                verdict.what.get_or_insert_with(|| format!("{row} is there {count} times, not 0"));
            }
        }
        if self.hidden > 0 {
            verdict.what.get_or_insert_with(|| format!("{} hidden files are left", self.hidden));
        }
        verdict
    }

    /// Whether what the job has counted is what happened.
    pub(super) fn counted(&self, summary: &Summary, read: &[(String, u64)]) -> Option<String> {
        for source in &summary.sources {
            let (_, rows) = read.iter().find(|(name, _)| *name == source.name)?;
            if source.read != *rows {
                return Some(format!("{} has {rows} rows, {} are counted", source.name, source.read));
            }
            if source.bytes != rows * 10 {
                return Some(format!(
                    "{} has {} bytes, {} are counted",
                    source.name,
                    rows * 10,
                    source.bytes
                ));
            }
        }
        for edge in &summary.edges {
            let gone = edge.filtered + edge.late + edge.dead_lettered + edge.skipped;
            if edge.input + edge.expanded != edge.output + gone {
                return Some(format!("the counts of {} → {} don't add up: {edge:?}", edge.from, edge.to));
            }
        }
        for (sink, lines) in summary.sinks.iter().zip(&self.lines) {
            if sink.written != *lines {
                return Some(format!("{} has {lines} rows, {} are counted", sink.name, sink.written));
            }
        }
        None
    }
}

fn read(script: &Script, sink: usize, bytes: &[u8], rows: &mut Rows, lines: &mut u64) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("it ends within a line".into());
    }
    for line in text.lines() {
        *lines += 1;
        if !script.changes(sink) && !script.sums {
            if !line.ends_with('}') {
                return Err(format!("no row: {line:?}"));
            }
            *rows.entry(line.to_string()).or_default() += 1;
            continue;
        }
        let value: Value = serde_json::from_str(line).map_err(|_| format!("no row: {line:?}"))?;
        if !script.changes(sink) {
            let (key, count) =
                (value.get("k").and_then(Value::as_i64), value.get("n").and_then(Value::as_i64));
            *rows.entry(format!("k = {}", key.unwrap_or(-1))).or_default() += count.unwrap_or(0);
            continue;
        }
        let by = match value.get("op").and_then(Value::as_str) {
            Some("+I" | "+U") => 1,
            Some("-D" | "-U") => -1,
            _ => return Err(format!("no change: {line:?}")),
        };
        *rows.entry(value.get("data").cloned().unwrap_or_default().to_string()).or_default() += by;
    }
    Ok(())
}
