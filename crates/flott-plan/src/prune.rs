//! Only what somebody reads leaves a source or an operator.
//!
//! ```text
//!   leaf a b c d ─ [Filter b, Project a+c, d] ─► operator reads column 0 only
//!   leaf a b c   ─ [Filter b, Project a+c]    ─► operator reads column 0
//! ```
//!
//! First backwards, from the sinks to the leaves: who needs what. Then forwards: positions move.

use flott_expr::Expr;
use flott_types::Schema;

use crate::{
    Step,
    flatten::columns_of,
    graph::{Branch, Graph, Leaf, Producer},
    nodes::Set,
    rewrite::remap,
    simplify::simplify,
};

/// Removes what nobody reads. `event_time`: for each producer, whether its event time is needed.
/// Gives, for each producer, which of its columns are left.
pub fn prune(graph: &mut Graph, sinks: &mut [Vec<Branch>], event_time: &[bool]) -> Vec<Vec<usize>> {
    let full: Vec<Schema> = graph.producers.iter().map(Producer::schema).collect();
    let mut needed = vec![Set::new(); full.len()];
    for branch in sinks.iter().flatten() {
        let everything: Set = (0..graph.output(branch).len()).collect();
        demand(branch, &everything, &full, &mut needed);
    }
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); full.len()];
    let mut wanted: Vec<Vec<Set>> = vec![Vec::new(); full.len()];
    for at in (0..graph.producers.len()).rev() {
        let widths = widths(graph, at);
        match &mut graph.producers[at] {
            Producer::Leaf(Leaf::Table { time: Some(time), .. }) if event_time[at] => {
                needed[at].extend(time.time.columns());
                needed[at].extend(time.watermark.columns());
                kept[at] = needed[at].iter().copied().collect();
            }
            Producer::Leaf(_) => kept[at] = needed[at].iter().copied().collect(),
            Producer::Operator(operator) => {
                let origins = operator.origins;
                let (left, inputs) = operator.node.stateful_mut().shrink(&widths, &needed[at], origins);
                operator.schema = full[at].project(&left);
                kept[at] = left;
                for (input, branch) in &operator.inputs {
                    demand(branch, &inputs[*input], &full, &mut needed);
                }
                wanted[at] = inputs;
            }
        }
    }
    for (producer, wanted) in graph.producers.iter_mut().zip(&wanted) {
        let Producer::Operator(operator) = producer else { continue };
        for (input, branch) in &mut operator.inputs {
            move_columns(branch, Some(&wanted[*input]), &full, &kept);
        }
    }
    for branch in sinks.iter_mut().flatten() {
        move_columns(branch, None, &full, &kept);
    }
    kept
}

/// How wide each of an operator's inputs is.
fn widths(graph: &Graph, at: usize) -> [usize; 2] {
    let mut widths = [0; 2];
    if let Producer::Operator(operator) = &graph.producers[at] {
        for (input, branch) in &operator.inputs {
            widths[*input] = graph.output(branch).len();
        }
    }
    widths
}

/// The columns before the step that are needed for these behind it.
fn before(step: &Step, width: usize, after: &Set) -> Set {
    let inherited = || after.iter().copied().filter(|&column| column < width);
    match step {
        Step::Filter(predicate) => after.iter().copied().chain(predicate.columns()).collect(),
        Step::Project { exprs, .. } => {
            after.iter().filter_map(|&at| exprs.get(at)).flat_map(Expr::columns).collect()
        }
        Step::Unnest { collection, .. } => inherited().chain(collection.columns()).collect(),
        Step::Window { time_column, .. } => inherited().chain([*time_column]).collect(),
        Step::Expand { .. } => inherited().collect(),
        Step::FromChangelog { op_column, .. } => {
            let below = |column: usize| column + usize::from(column >= *op_column);
            after.iter().map(|&column| below(column)).chain([*op_column]).collect()
        }
        Step::ToChangelog { .. } => after.iter().filter_map(|column| column.checked_sub(1)).collect(),
    }
}

/// For each step, which columns before it are needed; then those behind the last.
fn levels(steps: &[Step], width: usize, wanted: &Set) -> Vec<Set> {
    let mut widths = vec![width];
    for step in steps {
        let before = widths.last().copied().unwrap_or(width);
        widths.push(step.schema().map_or(before, Schema::len));
    }
    let mut levels = vec![wanted.clone()];
    for (step, width) in steps.iter().zip(&widths).rev() {
        let after = levels.last().cloned().unwrap_or_default();
        levels.push(before(step, *width, &after));
    }
    levels.reverse();
    levels
}

fn demand(branch: &Branch, wanted: &Set, full: &[Schema], needed: &mut [Set]) {
    let first = levels(&branch.steps, full[branch.producer].len(), wanted).into_iter().next();
    needed[branch.producer].extend(first.unwrap_or_default());
}

/// The branch over what is left of its producer. `wanted`: what is left behind the last step; none:
/// all of it.
fn move_columns(branch: &mut Branch, wanted: Option<&Set>, full: &[Schema], kept: &[Vec<usize>]) {
    let producer = &full[branch.producer];
    let output = Step::output(&branch.steps, producer).clone();
    let everything: Set = (0..output.len()).collect();
    let wanted = wanted.unwrap_or(&everything);
    let levels = levels(&branch.steps, producer.len(), wanted);
    let mut width = producer.len();
    let mut now = kept[branch.producer].clone();
    for (step, after) in branch.steps.iter_mut().zip(levels.iter().skip(1)) {
        let position = |column: usize| now.binary_search(&column).unwrap_or(0);
        let mut next = None;
        match step {
            Step::Filter(predicate) => remap(predicate, &position),
            Step::Project { exprs, schema } => {
                let left: Vec<usize> = after.iter().copied().collect();
                *exprs = left.iter().filter_map(|&at| exprs.get(at).cloned()).collect();
                exprs.iter_mut().for_each(|expr| remap(expr, &position));
                width = schema.len();
                *schema = schema.project(&left);
                next = Some(left);
            }
            Step::Unnest { collection, schema, .. } => {
                remap(collection, &position);
                next = Some(appended(&now, &mut width, schema));
            }
            Step::Window { time_column, schema, .. } => {
                *time_column = position(*time_column);
                next = Some(appended(&now, &mut width, schema));
            }
            Step::Expand { absent, schema } => {
                for columns in absent {
                    columns.retain(|column| now.binary_search(column).is_ok());
                    columns.iter_mut().for_each(|column| *column = position(*column));
                }
                next = Some(appended(&now, &mut width, schema));
            }
            Step::FromChangelog { op_column, schema, .. } => {
                let above = |column: usize| column - usize::from(column > *op_column);
                let others = now.iter().filter(|column| **column != *op_column);
                let left: Vec<usize> = others.map(|&column| above(column)).collect();
                *op_column = position(*op_column);
                width = schema.len();
                *schema = schema.project(&left);
                next = Some(left);
            }
            Step::ToChangelog { schema, .. } => {
                let left: Vec<usize> =
                    std::iter::once(0).chain(now.iter().map(|column| column + 1)).collect();
                width = schema.len();
                *schema = schema.project(&left);
                next = Some(left);
            }
        }
        now = next.unwrap_or(now);
    }
    if !now.iter().eq(wanted) {
        // The producer gives more than this branch needs, and no step says so.
        let schema = output.project(&now);
        let all = columns_of(&schema);
        let left = now.iter().zip(all).filter(|(column, _)| wanted.contains(column));
        let exprs = left.map(|(_, expr)| expr).collect();
        let schema = output.project(&wanted.iter().copied().collect::<Vec<_>>());
        branch.steps.push(Step::Project { exprs, schema });
    }
    // What kept steps apart may be gone.
    branch.steps = simplify(std::mem::take(&mut branch.steps));
}

/// What is left behind a step that appends columns: what was left before it, and those.
fn appended(now: &[usize], width: &mut usize, schema: &mut Schema) -> Vec<usize> {
    let left: Vec<usize> = now.iter().copied().chain(*width..schema.len()).collect();
    *width = schema.len();
    *schema = schema.project(&left);
    left
}
