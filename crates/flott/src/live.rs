//! The live view: a line per source and sink, while standard error is a terminal.

use std::{
    io::IsTerminal,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use flott_connector::{Clock, SplitLag, StopSignal, io};
use flott_engine::{Counters, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report::{changes, grouped, size};

/// Shows counters until it is dropped.
pub struct LiveView {
    done: StopSignal,
    _thread: io::Thread,
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.done.stop();
    }
}

/// How often lines are drawn.
const REFRESH: Duration = Duration::from_millis(200);

/// Starts showing, if standard error is a terminal.
pub fn start(counters: Arc<Counters>, clock: Arc<dyn Clock>) -> Option<LiveView> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let done = StopSignal::new();
    let until = done.clone();
    let thread = io::spawn("live", move || {
        let started = clock.monotonic();
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let lines: Vec<ProgressBar> = (0..counters.sources.len() + counters.sinks.len())
            .map(|_| bars.add(ProgressBar::new_spinner().with_style(style.clone())))
            .collect();
        // A run shorter than this shows nothing.
        let mut stopped = until.wait(REFRESH);
        while !stopped {
            let seconds = clock.monotonic().saturating_sub(started).as_secs_f64().max(0.001);
            for (line, text) in lines.iter().zip(texts(&counters, seconds)) {
                line.set_message(text);
                line.tick();
            }
            stopped = until.wait(REFRESH);
        }
        lines.iter().for_each(ProgressBar::finish_and_clear);
    });
    thread.ok().map(|thread| LiveView { done, _thread: thread })
}

fn texts(counters: &Counters, seconds: f64) -> Vec<String> {
    let mut out = Vec::new();
    let summary = counters.summary(Status::Finished);
    let lag = counters.lag();
    for (at, (source, counts)) in counters.sources.iter().zip(&summary.sources).enumerate() {
        let (read, bytes, total) = (counts.read, counts.bytes, source.total_bytes.load(Relaxed));
        let mut text = format!(
            "{}: {} rows, {} rows/s",
            source.name,
            grouped(read),
            grouped((read as f64 / seconds) as u64)
        );
        if bytes > 0 {
            text += &format!(", {}/s", size((bytes as f64 / seconds) as u64));
        }
        if total > 0 {
            text += &format!(", {:.0} %", bytes as f64 * 100.0 / total as f64);
        }
        let from_here = summary.edges.iter().filter(|edge| edge.from == source.name);
        let dead = from_here.clone().map(|edge| edge.dead_lettered).max().unwrap_or(0);
        let late = from_here.map(|edge| edge.late).max().unwrap_or(0);
        if let Some(watermark) = source.watermark() {
            text += &format!(", watermark {}", instant(watermark));
        }
        if let Some(lag) = lag.get(at).filter(|lag| !lag.is_empty()) {
            text += &behind(lag);
        }
        if late > 0 {
            text += &format!(", {} late", grouped(late));
        }
        if dead > 0 {
            text += &format!(", {} dead letters", grouped(dead));
        }
        out.push(text);
    }
    for sink in &summary.sinks {
        let written = sink.written;
        let changes = sink.changes.map_or(String::new(), |it| changes(&it));
        out.push(format!(
            "→ {}: {} rows, {} rows/s{changes}",
            sink.name,
            grouped(written),
            grouped((written as f64 / seconds) as u64)
        ));
    }
    let unmatched: u64 = summary.edges.iter().map(|edge| edge.unmatched).sum();
    if let Some(last) = out.last_mut().filter(|_| unmatched > 0) {
        *last += &format!(", {} unmatched", grouped(unmatched));
    }
    let (memory, spilled) =
        summary.state.iter().fold((0, 0), |(memory, spilled), it| (memory + it.memory, spilled + it.spilled));
    if let Some(last) = out.last_mut().filter(|_| memory + spilled >= SHOWN_STATE) {
        let disk = if spilled > 0 { format!(" and {} on disk", size(spilled)) } else { String::new() };
        *last += &format!(", {} of state{disk}", size(memory));
    }
    out
}

/// Less state isn't worth a word.
const SHOWN_STATE: u64 = 1 << 20;

/// How far a log's reader is behind, and in which partition most of all.
fn behind(lag: &[SplitLag]) -> String {
    let all = lag.iter().fold(0_u64, |sum, it| sum.saturating_add(it.records));
    let most = lag.iter().max_by_key(|it| it.records).filter(|it| lag.len() > 1 && it.records > 0);
    let most = most.map(|it| format!(", {} of them in '{}'", grouped(it.records), it.split.name));
    format!(", {} behind{}", grouped(all), most.unwrap_or_default())
}

/// A watermark as people read it: UTC, to the second.
fn instant(millis: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(millis) {
        Some(time) if millis != i64::MAX => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "at the end".to_string(),
    }
}
