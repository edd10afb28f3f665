//! What an operator does, in words: for `explain`, and as the text that its id is made from.

use flott_expr::{Expr, ExprKind};
use flott_sql::{JoinKind, WindowKind};
use flott_types::TimeAttribute;

use crate::{Call, Windows, nodes::length};

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

/// `price DESC, ts`
pub fn order_text(order_by: &[(usize, bool, bool)], labels: &[String]) -> String {
    let order = |&(column, descending, nulls_first): &(usize, bool, bool)| {
        let direction = if descending { " DESC" } else { "" };
        // NULL is the smallest value unless the order says otherwise.
        let nulls = match (nulls_first, descending) {
            (true, true) => " NULLS FIRST",
            (false, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", label(labels, column))
    };
    order_by.iter().map(order).collect::<Vec<_>>().join(", ")
}

/// The column's name.
pub fn label(labels: &[String], column: usize) -> &str {
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

/// `left`
pub fn join_kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
    }
}

/// The windows, for people.
pub fn windows(windows: &Windows, labels: &[String]) -> String {
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
