//! Which sources have to say how far event time has come, and how they know.
//!
//! ```text
//!   Source t ─► Calc ─► WindowAggregate (event time)      t says it
//!   Source u ─► Calc ─► Sink                              u doesn't
//! ```

use flott_expr::{Expr, ExprKind};
use flott_types::{Code, Diagnostic, Result, TableDescription, TimeAttribute};

use crate::{
    SourceWatermark,
    graph::{Branch, EventTime, Graph, Leaf, Producer},
    rewrite::remap,
};

/// For each producer, whether somebody behind it needs its event time.
///
/// # Errors
/// `InvalidDefinition`: a source has none.
pub fn needed(graph: &Graph, sinks: &[Vec<Branch>]) -> Result<Vec<bool>> {
    let mut needed = vec![false; graph.producers.len()];
    for branch in sinks.iter().flatten().filter(|branch| asks_for_watermark(branch)) {
        needed[branch.producer] = true;
    }
    for (at, producer) in graph.producers.iter().enumerate().rev() {
        match producer {
            Producer::Operator(operator) => {
                let here = needed[at] || operator.node.time() == Some(TimeAttribute::Rowtime);
                for (_, branch) in &operator.inputs {
                    needed[branch.producer] |= here || asks_for_watermark(branch);
                }
            }
            Producer::Leaf(leaf) if needed[at] => check(leaf)?,
            Producer::Leaf(_) => {}
        }
    }
    Ok(needed)
}

fn check(leaf: &Leaf) -> Result<()> {
    let (name, span) = match leaf {
        Leaf::Table { time: Some(_), .. } => return Ok(()),
        Leaf::Table { table, span, .. } => (table.name.as_str(), *span),
        Leaf::Values { .. } => return Ok(()),
    };
    let message = format!("table '{name}' has no event time, but it is used by windows of event time");
    Err(Diagnostic::error(Code::InvalidDefinition, message)
        .at(span)
        .help("declare it with WATERMARK FOR column AS column - INTERVAL '5' SECOND"))
}

fn asks_for_watermark(branch: &Branch) -> bool {
    let mut asks = false;
    for expr in branch.steps.iter().flat_map(|step| step.exprs()) {
        expr.walk(&mut |node| {
            asks |=
                matches!(&node.kind, ExprKind::Call { function, .. } if function.name == "CURRENT_WATERMARK");
        });
    }
    asks
}

/// A source's event time over the columns that are read.
///
/// # Errors
/// `InvalidOption`
pub fn watermark(table: &TableDescription, time: &EventTime, read: &[usize]) -> Result<SourceWatermark> {
    let moved = |expr: &Expr| {
        let mut expr = expr.clone();
        remap(&mut expr, &|column| read.binary_search(&column).unwrap_or(0));
        expr
    };
    let max_ahead = table.options.duration("scan.watermark.max-ahead")?;
    let late = table.options.get("late-rows");
    Ok(SourceWatermark {
        time: moved(&time.time),
        watermark: moved(&time.watermark),
        max_ahead_millis: max_ahead.map(|it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)),
        late_rows_to_dead_letters: late.is_some_and(|it| it.eq_ignore_ascii_case("dead-letter")),
    })
}
