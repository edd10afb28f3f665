//! What an operator does, in words: for `explain`, and as the text that its id is made from.

use flott_expr::{Expr, ExprKind};
use flott_sql::{JoinKind, WindowKind};
use flott_types::TimeAttribute;

use crate::{Call, OperatorNode, WindowProperty, Windows};

/// Names of the columns of each input.
pub type Labels = [Vec<String>; 2];

/// The expression with its columns named by these labels.
pub fn labelled(expr: &Expr, labels: &[String]) -> String {
    let mut expr = expr.clone();
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, name } = &mut node.kind
            && let Some(label) = labels.get(*index)
        {
            name.clone_from(label);
        }
    });
    expr.to_string()
}

/// What the operator does: what, and how.
pub fn describe(node: &OperatorNode, labels: &Labels) -> Vec<(&'static str, String)> {
    let [left, right] = labels;
    let mut out = Vec::new();
    let list = |columns: &[usize]| -> String {
        let names: Vec<&str> = columns.iter().map(|&column| label(left, column)).collect();
        names.join(", ")
    };
    match node {
        OperatorNode::WindowAggregate(node) => {
            out.push(("window", windows(&node.windows, left)));
            if !node.keys.is_empty() {
                out.push(("keys", list(&node.keys)));
            }
            let calls: Vec<String> = node.calls.iter().map(|it| call_text(it, left)).collect();
            if !calls.is_empty() {
                out.push(("computes", calls.join(", ")));
            }
        }
        OperatorNode::SessionWindow(node) => {
            out.push(("window", windows(&node.windows, left)));
            if !node.keys.is_empty() {
                out.push(("keys", list(&node.keys)));
            }
        }
        OperatorNode::WindowJoin(node) => {
            out.push(("join", join_kind(node.kind).to_string()));
            out.push(("window", windows(&node.left_windows, left)));
            let equal = |&(l, r): &(usize, usize)| format!("{} = {}", label(left, l), label(right, r));
            let keys: Vec<String> = node.keys.iter().map(equal).collect();
            if !keys.is_empty() {
                out.push(("keys", keys.join(", ")));
            }
            if let Some(condition) = &node.condition {
                let both: Vec<String> = left.iter().chain(right).cloned().collect();
                out.push(("condition", labelled(condition, &both)));
            }
        }
        OperatorNode::WindowRank(node) => {
            out.push(("window", windows(&node.windows, left)));
            if !node.keys.is_empty() {
                out.push(("keys", list(&node.keys)));
            }
            let order = |&(column, descending, nulls_first): &(usize, bool, bool)| {
                let direction = if descending { " DESC" } else { "" };
                // NULL is the smallest value unless the order says otherwise.
                let nulls = match (nulls_first, descending) {
                    (true, true) => " NULLS FIRST",
                    (false, false) => " NULLS LAST",
                    _ => "",
                };
                format!("{}{direction}{nulls}", label(left, column))
            };
            let order: Vec<String> = node.order_by.iter().map(order).collect();
            out.push(("order", order.join(", ")));
            out.push(("ranks", format!("{} to {}", node.ranks.0, node.ranks.1)));
        }
    }
    out
}

/// What the operator remembers, and for how long.
pub fn state(node: &OperatorNode) -> &'static str {
    let event_time = node.time() == TimeAttribute::Rowtime;
    match (node, event_time) {
        (OperatorNode::WindowAggregate(_), true) => {
            "a result so far for each group and open window; until the watermark reaches the window's end"
        }
        (OperatorNode::WindowAggregate(_), false) => {
            "a result so far for each group and open window; until the clock reaches the window's end"
        }
        (OperatorNode::SessionWindow(_), true) => {
            "the rows of open sessions; until the watermark reaches the session's end"
        }
        (OperatorNode::SessionWindow(_), false) => {
            "the rows of open sessions; until the clock reaches the session's end"
        }
        (OperatorNode::WindowJoin(_), _) => {
            "the rows of both sides in open windows; until the watermark reaches the window's end"
        }
        (OperatorNode::WindowRank(_), _) => {
            "the first rows of each group and open window; until the watermark reaches the window's end"
        }
    }
}

/// The aggregate's columns: keys, calls, the window's.
pub fn columns(node: &OperatorNode, labels: &Labels) -> Vec<String> {
    let [left, right] = labels;
    let window = ["window_start", "window_end", "window_time"].map(str::to_string);
    match node {
        OperatorNode::WindowAggregate(node) => {
            let keys = node.keys.iter().map(|&column| label(left, column).to_string());
            let calls = node.calls.iter().map(|it| call_text(it, left));
            let properties = node.properties.iter().map(|it| match it {
                WindowProperty::Start => "window_start".to_string(),
                WindowProperty::End => "window_end".to_string(),
                WindowProperty::Time => "window_time".to_string(),
            });
            keys.chain(calls).chain(properties).collect()
        }
        OperatorNode::SessionWindow(_) => left.iter().cloned().chain(window).collect(),
        OperatorNode::WindowJoin(_) => left.iter().chain(right).cloned().collect(),
        OperatorNode::WindowRank(_) => left.iter().cloned().chain(["row_number".to_string()]).collect(),
    }
}

fn label(labels: &[String], column: usize) -> &str {
    labels.get(column).map_or("?", String::as_str)
}

/// `SUM(x) FILTER (WHERE y)`
pub fn call_text(call: &Call, labels: &[String]) -> String {
    let args: Vec<&str> = call.args.iter().map(|&column| label(labels, column)).collect();
    let args = match call.function.name {
        "COUNT" if args.is_empty() => "*".to_string(),
        _ => args.join(", "),
    };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.map(|column| format!(" FILTER (WHERE {})", label(labels, column)));
    format!("{}({distinct}{args}){}", call.function.name, filter.unwrap_or_default())
}

fn join_kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
    }
}

fn windows(windows: &Windows, labels: &[String]) -> String {
    match windows {
        Windows::Assigned { kind, offset_millis, time_column, time, .. } => {
            let time = match time {
                TimeAttribute::Rowtime => label(labels, *time_column),
                TimeAttribute::Proctime => "processing time",
            };
            window_kind(kind, *offset_millis, time)
        }
        Windows::Attached { start, end, .. } => {
            format!("[{}, {})", label(labels, *start), label(labels, *end))
        }
    }
}

/// `TUMBLE(ts, 10 s)`
pub fn window_kind(kind: &WindowKind, offset_millis: i64, time: &str) -> String {
    let mut lengths = match kind {
        WindowKind::Tumble { size_millis } => vec![("TUMBLE", *size_millis)],
        WindowKind::Hop { slide_millis, size_millis } => vec![("HOP", *slide_millis), ("", *size_millis)],
        WindowKind::Cumulate { step_millis, size_millis } => {
            vec![("CUMULATE", *step_millis), ("", *size_millis)]
        }
        WindowKind::Session { gap_millis, .. } => vec![("SESSION", *gap_millis)],
    };
    let name = lengths.first().map_or("", |it| it.0);
    if offset_millis != 0 {
        lengths.push(("", offset_millis));
    }
    let lengths: Vec<String> = lengths.iter().map(|it| length(it.1)).collect();
    format!("{name}({time}, {})", lengths.join(", "))
}

/// `90 s`, `1 h`, `250 ms`
fn length(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = UNITS.iter().find(|(unit, _)| millis != 0 && millis % unit == 0);
    match whole {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}
