//! `flott explain --live`: the plan of a run, with what each of its parts is doing.

use std::process::ExitCode;

use flott_engine::activity::{OperatorSample, Place, Sample, SourceSample};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use super::{
    between::{Between, instant, peak, percent, rows_a_second, span, span_of_millis},
    headline, superseded, taken_over,
};
use crate::{
    checkpoints, console, diagnostics,
    report::{grouped, size},
    socket::{ShownPlan, client},
};

/// Shows the plan of a job's run with what it is doing.
pub fn command(directory: &std::path::Path, json: bool) -> ExitCode {
    match show(directory, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

fn show(directory: &std::path::Path, json: bool) -> Result<()> {
    let place = checkpoints::Place::of(directory)?;
    let job = place.job()?;
    let Some(run) = client::find(job) else {
        let message = format!("no run of the job in '{}' answers on this machine", job.display());
        return Err(Diagnostic::error(Code::NotRunning, message)
            .help("`flott why` says how far it came; `flott run` starts it"));
    };
    let plan = run.plan()?;
    let (first, second) = run.two_samples()?;
    let between = Between { first: &first, second: &second };
    let superseded = superseded(job, &run);
    if json {
        let plan =
            json!({"plan": with_figures(&plan, &between), "sample": second, "superseded_by": superseded});
        console::out(format_args!("{plan:#}\n"));
        return Ok(());
    }
    let mut out = headline(&second) + "\n";
    out += &superseded.map_or_else(String::new, |by| taken_over(by) + "\n");
    out += &checkpoints_of(&second);
    out.push('\n');
    for line in &plan.lines {
        out += &line.text;
        out.push('\n');
        let place = line.last_of.and_then(|node| plan.places.get(node).copied().flatten());
        for figures in place.map(|place| figures(place, &between)).unwrap_or_default() {
            out += &format!("{}▸ {figures}\n", " ".repeat(line.indent));
        }
    }
    console::out(out);
    Ok(())
}

fn checkpoints_of(sample: &Sample) -> String {
    let Some(it) = &sample.checkpoint else { return String::new() };
    let last = it.last.map_or_else(
        || "none complete in this run".to_string(),
        |last| {
            let (took, age) = (span(last.took), span(last.age));
            format!("last {}, {age} ago, took {took}, {}", last.number, size(last.bytes))
        },
    );
    let under_way = it.under_way.as_ref().map_or_else(String::new, |it| {
        let missing = match it.shards.len() {
            0 => String::new(),
            count => format!(", {count} of {} shards missing", sample.shards),
        };
        format!(", epoch {} under way for {}{missing}", it.epoch, span(it.age))
    });
    let failed = if it.failed > 0 { format!(", {} failed", it.failed) } else { String::new() };
    format!("checkpoints: {} complete{failed}, {last}{under_way}\n", it.completed)
}

/// What a part of the plan is doing, line by line.
fn figures(place: Place, between: &Between<'_>) -> Vec<String> {
    let sample = between.second;
    let mut out = match place {
        Place::Source(at) => sample.sources.get(at).map(|it| source(at, it, between)).unwrap_or_default(),
        Place::Operator(at) => {
            sample.operators.get(at).map(|it| operator(at, it, between)).unwrap_or_default()
        }
        Place::Sink(at) => vec![sink(at, between)],
    };
    let full = sample.edges.iter().filter(|edge| edge.to == place && edge.waiting > 0);
    let (waiting, capacity) = full.fold((0, 0), |sum, edge| (sum.0 + edge.waiting, sum.1 + edge.capacity));
    if waiting > 0 {
        out.push(format!("{waiting} of {capacity} messages wait in front of it"));
    }
    out
}

/// `34 % (shards: 60 %, 8 %)`
fn each(shares: &[f64]) -> String {
    let all: Vec<String> = shares.iter().map(|share| percent(*share)).collect();
    match shares.len() {
        0 => percent(0.0),
        1 => all.concat(),
        count => {
            let mean = shares.iter().sum::<f64>() / count as f64;
            format!("{} (shards: {})", percent(mean), all.join(", "))
        }
    }
}

fn source(at: usize, it: &SourceSample, between: &Between<'_>) -> Vec<String> {
    let place = Place::Source(at);
    let rate = rows_a_second(between.rows(place));
    let bytes = {
        let before = between.first.sources.get(at).map_or(0, |it| it.bytes);
        match between.rate(before, it.bytes) {
            0 => String::new(),
            bytes => format!(", {}/s", size(bytes)),
        }
    };
    let state = match (it.ended, it.idle, it.silent) {
        (true, ..) => ", all read".to_string(),
        (_, true, _) => ", idle".to_string(),
        (_, _, Some(silent)) if silent >= 2_000_000_000 => format!(", nothing for {}", span(silent)),
        _ => String::new(),
    };
    let held = percent(between.held(at));
    let mut out = vec![
        format!(
            "{rate}{bytes}{state}, held up {held} of the time, {} of {} chunks wait",
            it.queued, it.capacity
        ),
        format!(
            "busy {}, waits for what is behind it {}",
            each(&between.busy(place)),
            percent(peak(&between.blocked(place)).1)
        ),
    ];
    out.extend(super::behind(it));
    if let Some(watermark) = it.watermark {
        let ahead = it.newest.map(|newest| newest.saturating_sub(watermark)).filter(|lag| *lag > 0);
        let lag = ahead
            .map_or_else(String::new, |lag| format!(", {} behind its newest split", span_of_millis(lag)));
        let oldest = it.splits.first().filter(|_| it.open_splits > 1);
        let oldest = oldest.map_or_else(String::new, |split| {
            format!(", the oldest of {} splits is '{}'", it.open_splits, split.name)
        });
        out.push(format!("watermark {}{lag}{oldest}", instant(watermark)));
    }
    out
}

fn sink(at: usize, between: &Between<'_>) -> String {
    let place = Place::Sink(at);
    let sum = |sample: &Sample| {
        let shards = sample.sinks.get(at).map(|it| it.shards.iter()).into_iter().flatten();
        shards.fold((0, 0), |sum: (u64, u64), it| (sum.0 + it.bytes, sum.1 + it.open_files))
    };
    let ((before, _), (after, open_files)) = (sum(between.first), sum(between.second));
    let bytes = if after > 0 { format!(", {}/s", size(between.rate(before, after))) } else { String::new() };
    let open = if open_files > 0 { format!(", {} files open", grouped(open_files)) } else { String::new() };
    format!(
        "{}{bytes}{open}, wants no rows {} of the time, busy {}",
        rows_a_second(between.rows(place)),
        percent(peak(&between.blocked(place)).1),
        each(&between.busy(place))
    )
}

fn operator(at: usize, it: &OperatorSample, between: &Between<'_>) -> Vec<String> {
    let place = Place::Operator(at);
    let before = between.first.operators.get(at).map_or(0, |it| it.rows_out);
    let emits = rows_a_second(between.rate(before, it.rows_out));
    let (mut state, mut spilled, mut gathered) = (0_u64, 0_u64, 0_u64);
    for shard in &it.shards {
        state = state.saturating_add(shard.state_bytes);
        spilled = spilled.saturating_add(shard.spilled_bytes);
        gathered = gathered.saturating_add(shard.gathered);
    }
    let gathered =
        if gathered > 0 { format!(", {} rows gathered", grouped(gathered)) } else { String::new() };
    let on_disk = if spilled > 0 { format!(" and {} on disk", size(spilled)) } else { String::new() };
    let mut out = vec![
        format!(
            "{} in, {emits} out, {} of state{on_disk}{gathered}",
            rows_a_second(between.rows(place)),
            size(state)
        ),
        format!(
            "busy {}, waits for what is behind it {}",
            each(&between.busy(place)),
            percent(peak(&between.blocked(place)).1)
        ),
    ];
    if let Some(watermark) = it.shards.iter().filter_map(|shard| shard.watermark).min() {
        out.push(format!("watermark {}", instant(watermark)));
    }
    out
}

/// The plan's object, with figures at its nodes.
fn with_figures(plan: &ShownPlan, between: &Between<'_>) -> Value {
    let mut json = plan.json.clone();
    for (node, place) in json["nodes"].as_array_mut().into_iter().flatten().zip(&plan.places) {
        let (Some(place), Some(fields)) = (*place, node.as_object_mut()) else { continue };
        let live = json!({
            "rows_per_second": between.rows(place),
            "busy": between.busy(place),
            "blocked": between.blocked(place),
        });
        fields.insert("live".into(), live);
    }
    json
}
