//! The plan for people (`text`, `mermaid`) and for scripts (`json`).

use std::fmt::Write;

use flott_types::{RowKind, Schema};
use serde_json::{Value as Json, json};

use crate::{
    Exchange, Node, NodeId, NodeKind, OperatorNode, Port, SinkTarget, SourceInput, SourceNode, Step,
    StreamPlan,
    operator_text::{Labels, window_kind},
};

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

/// A line of the plan's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine {
    /// It, without its end.
    pub text: String,
    /// The node of which it is the last line: what else is known of that one may follow.
    pub last_of: Option<NodeId>,
    /// How far what follows is to be indented.
    pub indent: usize,
}

/// The tree from the sinks up, line by line.
pub fn explain_lines(plan: &StreamPlan) -> Vec<PlanLine> {
    let mut out = Vec::new();
    let mut shown = vec![false; plan.nodes.len()];
    for (id, _) in plan.sinks() {
        text_node(plan, id, 0, &mut shown, &mut out);
    }
    out
}

/// The plan as an object.
pub fn explain_json(plan: &StreamPlan) -> Json {
    as_json(plan)
}

fn text(plan: &StreamPlan) -> String {
    explain_lines(plan).into_iter().fold(String::new(), |out, line| out + &line.text + "\n")
}

fn text_node(plan: &StreamPlan, id: usize, depth: usize, shown: &mut [bool], out: &mut Vec<PlanLine>) {
    let mut line = |text: String| out.push(PlanLine { text, last_of: None, indent: 3 * depth + 5 });
    let node = &plan.nodes[id];
    let indent = "   ".repeat(depth);
    let arm = if depth == 0 { "" } else { "└─ " };
    let lead = if depth == 0 { String::new() } else { "   ".repeat(depth - 1) };
    let is_operator = matches!(node.kind, NodeKind::Operator(_));
    if is_operator && std::mem::replace(&mut shown[id], true) {
        return line(format!("{lead}{arm}{} {} (as above)", title(node), node.stable_id));
    }
    line(format!("{lead}{arm}{}", title(node)));
    if is_operator {
        line(format!("{indent}     id: {}", node.stable_id));
    }
    for (name, value) in properties(plan, id) {
        line(format!("{indent}     {name}: {value}"));
    }
    if let Some(last) = out.last_mut() {
        last.last_of = Some(id);
    }
    for &input in &node.inputs {
        text_node(plan, input, depth + 1, shown, out);
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
        NodeKind::Operator(operator) => capitalised(operator.name()),
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
            out.extend(event_time(source));
            out.push(("bounded", if source.bounded { "yes" } else { "no" }.to_string()));
        }
        NodeKind::Operator(operator) => {
            out.extend(operator.stateful().describe(&labels(plan, node)));
            out.extend(exchanges(plan, node, operator));
        }
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
                    Step::Window { kind, offset_millis, time_column, schema, .. } => {
                        let time = schema.fields.get(*time_column).map_or("?", |field| field.name.as_str());
                        out.push(("window", window_kind(kind, *offset_millis, time)));
                    }
                    Step::Expand { absent, schema } => {
                        out.push(("grouping sets", grouping_sets(absent, schema)));
                    }
                    Step::FromChangelog { mapping, .. } => {
                        let of = |(code, kind): &(String, RowKind)| format!("'{code}' is {}", kind.short());
                        let all: Vec<String> = mapping.iter().map(of).collect();
                        out.push(("from changelog", all.join(", ")));
                    }
                    Step::ToChangelog { mapping, .. } => {
                        let of = |(kind, code): &(RowKind, String)| format!("{} is '{code}'", kind.short());
                        let all: Vec<String> = mapping.iter().map(of).collect();
                        out.push(("to changelog", all.join(", ")));
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
            for obstacle in &sink.guarantee.obstacles {
                out.push(("not exactly-once", format!("{}; {}", obstacle.what, obstacle.way_out)));
            }
            for note in &sink.guarantee.notes {
                out.push(("computed again", note.clone()));
            }
            for advice in &sink.guarantee.advice {
                out.push(("to know", advice.clone()));
            }
        }
    }
    out.push(("schema", node.schema.to_string()));
    out.push(("changelog", node.changelog.to_string()));
    out.push(("distribution", node.distribution.to_string()));
    out.push(("state", state_of(node).unwrap_or_else(|| "none".to_string())));
    out
}

fn state_of(node: &Node) -> Option<String> {
    match &node.kind {
        NodeKind::Operator(operator) => Some(operator.stateful().keeps().to_string()),
        _ => None,
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The columns of each of an operator's inputs; those that both have, with their side.
fn labels(plan: &StreamPlan, node: &Node) -> Labels {
    let mut labels = [Vec::new(), Vec::new()];
    for (&input, port) in node.inputs.iter().zip(&node.ports) {
        labels[port.input] = plan.nodes[input].schema.fields.iter().map(|field| field.name.clone()).collect();
    }
    let [left, right] = &labels;
    let sided = |side: &str, names: &[String], others: &[String]| -> Vec<String> {
        let with_side =
            |name: &String| if others.contains(name) { format!("{side}.{name}") } else { name.clone() };
        names.iter().map(with_side).collect()
    };
    [sided("left", left, right), sided("right", right, left)]
}

/// How rows get to an operator, the same for all edges into it.
fn exchanges(plan: &StreamPlan, node: &Node, operator: &OperatorNode) -> Vec<(&'static str, String)> {
    let labels = labels(plan, node);
    let Some(port) = node.ports.first() else { return Vec::new() };
    let exchange = match &port.exchange {
        Exchange::Forward => "none".to_string(),
        Exchange::Single => "to one shard".to_string(),
        Exchange::Hash(_) => {
            let names = |input: usize| -> String {
                let keys = operator.keys(input);
                let names: Vec<&str> =
                    keys.iter().filter_map(|&at| Some(labels[input].get(at)?.as_str())).collect();
                format!("hash({})", names.join(", "))
            };
            (0..operator.inputs()).map(names).collect::<Vec<_>>().join(" and ")
        }
    };
    // State leaves memory by key: where there is none, or the state is a table outside, it can't.
    let stays = port.exchange == Exchange::Single || matches!(operator, OperatorNode::LookupJoin(_));
    let exchange = if stays { exchange + " (state stays in memory)" } else { exchange };
    let phases = if port.two_phase { "two (before and behind the exchange)" } else { "one" };
    let mut out = vec![("exchange", exchange)];
    if matches!(operator, OperatorNode::WindowAggregate(_)) {
        out.push(("phases", phases.to_string()));
    }
    out
}

fn event_time(source: &SourceNode) -> Vec<(&'static str, String)> {
    let Some(watermark) = &source.watermark else { return Vec::new() };
    let mut out = vec![("event time", format!("{}, watermark {}", watermark.time, watermark.watermark))];
    if let Some(millis) = watermark.max_ahead_millis {
        out.push(("too far ahead", format!("more than {millis} ms ahead of the clock: dead letters")));
    }
    let late = if watermark.late_rows_to_dead_letters { "dead letters" } else { "dropped, counted" };
    out.push(("late rows", late.to_string()));
    out
}

/// `(a, b), (a), ()`
fn grouping_sets(absent: &[Vec<usize>], schema: &Schema) -> String {
    let mut keys: Vec<usize> = absent.iter().flatten().copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let set = |absent: &Vec<usize>| {
        let present = keys.iter().filter(|key| !absent.contains(key));
        let names: Vec<&str> =
            present.filter_map(|&key| Some(schema.fields.get(key)?.name.as_str())).collect();
        format!("({})", names.join(", "))
    };
    absent.iter().map(set).collect::<Vec<_>>().join(", ")
}

fn port_as_json(port: &Port) -> Json {
    let (exchange, keys) = match &port.exchange {
        Exchange::Forward => ("forward", Vec::new()),
        Exchange::Single => ("single", Vec::new()),
        Exchange::Hash(keys) => ("hash", keys.clone()),
    };
    json!({"input": port.input, "exchange": exchange, "keys": keys, "two_phase": port.two_phase})
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
                "ports": node.ports.iter().map(port_as_json).collect::<Vec<_>>(),
                "schema": schema,
                "changelog": node.changelog.to_string(),
                "distribution": node.distribution.to_string(),
                "state": state_of(node),
                "guarantee": guarantee,
                "details": details,
            })
        })
        .collect();
    json!({ "bounded": plan.is_bounded(), "nodes": nodes })
}

/// What a box of a flow chart says.
const IN_CHARTS: [&str; 16] = [
    "from changelog",
    "to changelog",
    "filter",
    "project",
    "guarantee",
    "unnest",
    "unnest outer",
    "window",
    "grouping sets",
    "keys",
    "computes",
    "join",
    "condition",
    "interval",
    "order",
    "ranks",
];

fn mermaid(plan: &StreamPlan) -> String {
    let mut out = String::from("flowchart LR\n");
    for (id, node) in plan.nodes.iter().enumerate() {
        let mut lines = vec![title(node)];
        for (name, value) in properties(plan, id) {
            if IN_CHARTS.contains(&name) {
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
