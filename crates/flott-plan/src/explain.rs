//! The plan for people (`text`, `mermaid`) and for scripts (`json`).

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::{Node, NodeKind, SinkTarget, SourceInput, Step, StreamPlan};

/// How `explain` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// A tree from the sinks up.
    Text,
    /// One object.
    Json,
    /// A flow chart.
    Mermaid,
}

/// The plan as text in this format.
pub fn explain(plan: &StreamPlan, format: ExplainFormat) -> String {
    match format {
        ExplainFormat::Text => text(plan),
        ExplainFormat::Json => format!("{:#}", as_json(plan)),
        ExplainFormat::Mermaid => mermaid(plan),
    }
}

fn text(plan: &StreamPlan) -> String {
    let mut out = String::new();
    for (id, _) in plan.sinks() {
        text_node(plan, id, 0, &mut out);
    }
    out
}

fn text_node(plan: &StreamPlan, id: usize, depth: usize, out: &mut String) {
    let node = &plan.nodes[id];
    let indent = "   ".repeat(depth);
    let arm = if depth == 0 { "" } else { "└─ " };
    let lead = if depth == 0 { String::new() } else { "   ".repeat(depth - 1) };
    let _ = writeln!(out, "{lead}{arm}{}", title(node));
    for (name, value) in properties(plan, id) {
        let _ = writeln!(out, "{indent}     {name}: {value}");
    }
    for &input in &node.inputs {
        text_node(plan, input, depth + 1, out);
    }
}

fn title(node: &Node) -> String {
    match &node.kind {
        NodeKind::Source(source) => match &source.input {
            SourceInput::Table { table, .. } => {
                format!("Source {} [{}]", source.name, table.options.get("connector").unwrap_or("?"))
            }
            SourceInput::Values(rows) => format!("Values [{} rows]", rows.len()),
        },
        NodeKind::Calc(_) => "Calc".to_string(),
        NodeKind::Operator(operator) => operator.name().to_string(),
        NodeKind::Sink(sink) => match &sink.target {
            SinkTarget::Table(table) => {
                format!("Sink {} [{}]", sink.name, table.options.get("connector").unwrap_or("?"))
            }
            SinkTarget::Collect => "Result".to_string(),
        },
    }
}

fn properties(plan: &StreamPlan, id: usize) -> Vec<(&'static str, String)> {
    let node = &plan.nodes[id];
    let mut out = Vec::new();
    match &node.kind {
        NodeKind::Source(source) => {
            if let SourceInput::Table { table, watermark } = &source.input {
                if let Some(format) = table.options.get("format") {
                    out.push(("format", format.to_string()));
                }
                if !table.primary_key.is_empty() {
                    out.push(("key", table.primary_key.join(", ")));
                }
                if let Some(watermark) = watermark {
                    out.push(("watermark", watermark.text.clone()));
                }
                out.push((
                    "reads",
                    format!("{} of {} columns", source.projection.len(), table.columns.len()),
                ));
            }
            if let Some(filter) = &source.filter {
                out.push(("filter", format!("{filter} (pushed into the source)")));
            }
            out.push(("bounded", if source.bounded { "yes" } else { "no" }.to_string()));
        }
        NodeKind::Operator(_) => {}
        NodeKind::Calc(calc) => {
            for step in &calc.steps {
                match step {
                    Step::Filter(predicate) => out.push(("filter", predicate.to_string())),
                    Step::Project { exprs, schema } => {
                        let columns = exprs.iter().zip(&schema.fields);
                        let columns: Vec<String> =
                            columns.map(|(e, f)| format!("{e} AS {}", f.name)).collect();
                        out.push(("project", columns.join(", ")));
                    }
                    Step::Unnest { collection, outer, .. } => {
                        let kind = if *outer { "unnest outer" } else { "unnest" };
                        out.push((kind, collection.to_string()));
                    }
                }
            }
        }
        NodeKind::Sink(sink) => {
            if let SinkTarget::Table(table) = &sink.target {
                if let Some(format) = table.options.get("format") {
                    out.push(("format", format.to_string()));
                }
                if !table.primary_key.is_empty() {
                    out.push(("key", table.primary_key.join(", ")));
                }
                if !table.partition_keys.is_empty() {
                    out.push(("partitioned by", table.partition_keys.join(", ")));
                }
            }
            out.push(("guarantee", sink.guarantee.to_string()));
        }
    }
    out.push(("schema", node.schema.to_string()));
    out.push(("changelog", node.changelog.to_string()));
    out.push(("distribution", node.distribution.to_string()));
    out.push(("state", "none".to_string()));
    out
}

fn as_json(plan: &StreamPlan) -> Json {
    let nodes: Vec<Json> = (0..plan.nodes.len())
        .map(|id| {
            let node = &plan.nodes[id];
            let (kind, name, guarantee) = match &node.kind {
                NodeKind::Source(source) => ("source", source.name.as_str(), None),
                NodeKind::Calc(_) => ("calc", "", None),
                NodeKind::Operator(operator) => (operator.name(), "", None),
                NodeKind::Sink(sink) => ("sink", sink.name.as_str(), Some(sink.guarantee.word())),
            };
            let schema: Vec<Json> = node
                .schema
                .fields
                .iter()
                .map(|f| json!({"name": f.name, "type": f.data_type.to_string()}))
                .collect();
            let details: Vec<Json> = properties(plan, id)
                .into_iter()
                .filter(|(name, _)| {
                    !["schema", "changelog", "distribution", "state", "guarantee"].contains(name)
                })
                .map(|(name, value)| json!({"what": name, "value": value}))
                .collect();
            json!({
                "id": id,
                "stable_id": node.stable_id,
                "kind": kind,
                "name": name,
                "inputs": node.inputs,
                "schema": schema,
                "changelog": node.changelog.to_string(),
                "distribution": node.distribution.to_string(),
                "state": Json::Null,
                "guarantee": guarantee,
                "details": details,
            })
        })
        .collect();
    json!({ "bounded": plan.is_bounded(), "nodes": nodes })
}

fn mermaid(plan: &StreamPlan) -> String {
    let mut out = String::from("flowchart LR\n");
    for (id, node) in plan.nodes.iter().enumerate() {
        let mut lines = vec![title(node)];
        for (name, value) in properties(plan, id) {
            if matches!(name, "filter" | "project" | "guarantee" | "unnest" | "unnest outer") {
                lines.push(format!("{name}: {value}"));
            }
        }
        let label = lines.join("<br/>").replace('"', "#quot;");
        let _ = writeln!(out, "  n{id}[\"{label}\"]");
    }
    for (id, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            let _ = writeln!(out, "  n{input} --> n{id}");
        }
    }
    out
}
