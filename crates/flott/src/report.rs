//! The summary at the end of a run: what was read, what was written, what became of the rest.

use std::fmt::Write;

use flott_engine::{ChangeCounts, Status, Summary};

/// The summary for a script: one JSON object.
pub fn json(summary: &Summary) -> String {
    serde_json::to_string(summary).unwrap_or_default()
}

/// The summary for people.
pub fn text(summary: &Summary, seconds: f64, dead_letter_directory: &str) -> String {
    let mut out = String::new();
    let status = match summary.status {
        Status::Finished => "finished",
        Status::Stopped => "stopped",
        Status::Failed => "failed",
    };
    let _ = writeln!(out, "{status} in {seconds:.1} s");
    for source in &summary.sources {
        let bytes = if source.bytes > 0 { format!(", {}", size(source.bytes)) } else { String::new() };
        let nulled = match source.nulled_fields {
            0 => String::new(),
            count => format!(", {} bad fields made NULL", grouped(count)),
        };
        let _ = writeln!(out, "  read     {:>14}  from {}{bytes}{nulled}", grouped(source.read), source.name);
    }
    for edge in &summary.edges {
        let rest = [
            ("expanded", edge.expanded),
            ("filtered", edge.filtered),
            ("late", edge.late),
            ("dead-lettered", edge.dead_lettered),
            ("skipped", edge.skipped),
            ("unmatched", edge.unmatched),
            ("read before it was there", edge.earlier),
        ];
        let rest: Vec<String> =
            rest.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} {what}", grouped(*n))).collect();
        if !rest.is_empty() || summary.edges.len() > 1 {
            let rest = if rest.is_empty() { String::new() } else { format!(", {}", rest.join(", ")) };
            let _ = writeln!(
                out,
                "  {} → {}: {} in, {} out{rest}",
                edge.from,
                edge.to,
                grouped(edge.input),
                grouped(edge.output)
            );
        }
    }
    for sink in &summary.sinks {
        let changes = sink.changes.map_or(String::new(), |it| changes(&it));
        let mut published = match sink.published {
            None => String::new(),
            Some(0) if sink.uncertain > 0 => ", none of them published for certain".to_string(),
            Some(0) => ", none of them published".to_string(),
            Some(count) => format!(", {} of them published", grouped(count)),
        };
        if sink.uncertain > 0 {
            let count = grouped(sink.uncertain);
            let _ = write!(published, ", {count} perhaps (nobody has answered for them), no others");
        }
        let _ =
            writeln!(out, "  written  {:>14}  to {}{changes}{published}", grouped(sink.written), sink.name);
    }
    for lookup in &summary.lookups {
        let failed = match lookup.failed_loads {
            0 => String::new(),
            count => format!(", {} times it could not be read", grouped(count)),
        };
        let bad = match lookup.bad_records {
            0 => String::new(),
            count => format!(", {} bad records left out", grouped(count)),
        };
        let _ = writeln!(
            out,
            "  looked up {:>13}  rows in {}, read {} times{failed}{bad}",
            grouped(lookup.rows),
            lookup.name,
            grouped(lookup.loads)
        );
    }
    for state in summary.state.iter().filter(|it| it.spilled_peak > 0) {
        // Memory is measured now and then: a short run may have put away all it had before that.
        let in_memory = match state.memory_peak {
            0 => String::new(),
            bytes => format!("up to {} in memory, ", size(bytes)),
        };
        let _ =
            writeln!(out, "  state of {}: {in_memory}{} on disk", state.operator, size(state.spilled_peak));
    }
    if summary.restarts > 0 {
        let _ = writeln!(out, "  restarts     {:>10}  after failures that passed", grouped(summary.restarts));
    }
    if let Some(checkpoints) = &summary.checkpoints {
        let resumed = checkpoints.resumed_from.map_or(String::new(), |it| format!(", went on from {it}"));
        let failed =
            if checkpoints.failed > 0 { format!(", {} failed", checkpoints.failed) } else { String::new() };
        let _ = writeln!(
            out,
            "  checkpoints  {:>10}  in {}{resumed}{failed}, {} of state",
            grouped(checkpoints.completed),
            checkpoints.directory,
            size(checkpoints.state_bytes)
        );
        if checkpoints.had_finished {
            let _ = writeln!(
                out,
                "  the job had finished before: nothing was left to do (--resume never runs it anew)"
            );
        }
    }
    if summary.dlq > 0 {
        let _ = writeln!(
            out,
            "  dead letters {:>10}  in {dead_letter_directory}  (flott dlq show {dead_letter_directory})",
            grouped(summary.dlq)
        );
    }
    out
}

/// `: 3 +I, 2 -U, 2 +U, 1 -D`, kinds that didn't come left out.
pub fn changes(counts: &ChangeCounts) -> String {
    let all = [
        ("+I", counts.inserts),
        ("-U", counts.updates_before),
        ("+U", counts.updates_after),
        ("-D", counts.deletes),
    ];
    let came = all.into_iter().filter(|(_, count)| *count > 0);
    let came: Vec<String> = came.map(|(kind, count)| format!("{} {kind}", grouped(count))).collect();
    format!(": {}", came.join(", "))
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a unit.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
