//! Only what somebody reads leaves a source or an operator.
//!
//! ```text
//!   leaf a b c d ─ [Filter b, Project a+c, d] ─► operator reads column 0 only
//!   leaf a b c   ─ [Filter b, Project a+c]    ─► operator reads column 0
//! ```
//!
//! First backwards, from the sinks to the leaves: who needs what. Then forwards: positions move.

use std::collections::BTreeSet;

use flott_expr::Expr;
use flott_types::Schema;

use crate::{
    Call, OperatorNode, Step, WindowAggregate, WindowJoin, WindowRank, Windows,
    flatten::columns_of,
    graph::{Branch, Graph, Leaf, Operator, Producer},
    rewrite::remap,
    simplify::simplify,
};

/// Positions, sorted.
type Set = BTreeSet<usize>;

/// For each input, the column that tells where a row came from: the operator keeps it.
type Origins = [Option<usize>; 2];

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
                let (left, inputs) = shrink(operator, &widths, &needed[at]);
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

/// Drops what isn't needed of an operator's output. Gives the positions that are left, and what the
/// operator needs of each input.
fn shrink(operator: &mut Operator, widths: &[usize; 2], needed: &Set) -> (Vec<usize>, Vec<Set>) {
    let origins = operator.origins;
    match &mut operator.node {
        OperatorNode::WindowAggregate(node) => shrink_aggregate(node, needed, origins),
        OperatorNode::SessionWindow(session) => {
            let width = widths[0];
            let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
            input.extend(origins[0]);
            input.extend(session.keys.iter().copied());
            input.extend(window_columns(&session.windows));
            let left = input.iter().copied().chain(width..width + 3).collect();
            move_windows(&mut session.windows, &input);
            session.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
            (left, vec![input])
        }
        OperatorNode::WindowRank(node) => shrink_rank(node, widths[0], needed, origins),
        OperatorNode::WindowJoin(node) => shrink_join(node, widths, needed, origins),
    }
}

/// The position of a column among those that are left.
fn rank(left: &Set, column: usize) -> usize {
    left.range(..column).count()
}

fn window_columns(windows: &Windows) -> Vec<usize> {
    match windows {
        Windows::Assigned { time_column, .. } => vec![*time_column],
        Windows::Attached { start, end, .. } => vec![*start, *end],
    }
}

fn move_windows(windows: &mut Windows, left: &Set) {
    match windows {
        Windows::Assigned { time_column, kind, .. } => {
            *time_column = rank(left, *time_column);
            if let flott_sql::WindowKind::Session { partition_by, .. } = kind {
                partition_by.iter_mut().for_each(|column| *column = rank(left, *column));
            }
        }
        Windows::Attached { start, end, .. } => {
            *start = rank(left, *start);
            *end = rank(left, *end);
        }
    }
}

fn call_columns(call: &Call) -> impl Iterator<Item = usize> + '_ {
    call.args.iter().copied().chain(call.filter)
}

fn shrink_aggregate(node: &mut WindowAggregate, needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
    let (keys, calls) = (node.keys.len(), node.calls.len());
    let window = keys + calls;
    let needed_call = |at: &usize| needed.contains(&(keys + at));
    let needed_property = |at: &usize| needed.contains(&(window + at));
    let call_positions: Vec<usize> = (0..calls).filter(needed_call).collect();
    let property_positions: Vec<usize> = (0..node.properties.len()).filter(needed_property).collect();
    node.calls = call_positions.iter().map(|&at| node.calls[at].clone()).collect();
    node.properties = property_positions.iter().map(|&at| node.properties[at]).collect();
    let mut input: Set = node.keys.iter().copied().chain(origins[0]).collect();
    input.extend(node.calls.iter().flat_map(call_columns));
    input.extend(window_columns(&node.windows));
    node.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
    for call in &mut node.calls {
        call.args.iter_mut().chain(&mut call.filter).for_each(|column| *column = rank(&input, *column));
    }
    move_windows(&mut node.windows, &input);
    let left = (0..keys)
        .chain(call_positions.into_iter().map(|at| keys + at))
        .chain(property_positions.into_iter().map(|at| window + at));
    (left.collect(), vec![input])
}

fn shrink_rank(
    node: &mut WindowRank,
    width: usize,
    needed: &Set,
    origins: Origins,
) -> (Vec<usize>, Vec<Set>) {
    let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
    input.extend(origins[0]);
    input.extend(node.keys.iter().copied());
    input.extend(node.order_by.iter().map(|it| it.0));
    input.extend(window_columns(&node.windows));
    node.with_rank = needed.contains(&width);
    let left = input.iter().copied().chain(node.with_rank.then_some(width)).collect();
    node.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
    node.order_by.iter_mut().for_each(|it| it.0 = rank(&input, it.0));
    move_windows(&mut node.windows, &input);
    (left, vec![input])
}

fn shrink_join(
    node: &mut WindowJoin,
    widths: &[usize; 2],
    needed: &Set,
    origins: Origins,
) -> (Vec<usize>, Vec<Set>) {
    let width = widths[0];
    let condition = node.condition.as_ref().map(Expr::columns).unwrap_or_default();
    let read = || needed.iter().copied().chain(condition.iter().copied());
    let mut left: Set = read().filter(|&column| column < width).collect();
    let mut right: Set = read().filter_map(|column| column.checked_sub(width)).collect();
    left.extend(origins[0]);
    right.extend(origins[1]);
    left.extend(node.keys.iter().map(|it| it.0));
    right.extend(node.keys.iter().map(|it| it.1));
    left.extend(window_columns(&node.left_windows));
    right.extend(window_columns(&node.right_windows));
    node.keys.iter_mut().for_each(|it| *it = (rank(&left, it.0), rank(&right, it.1)));
    move_windows(&mut node.left_windows, &left);
    move_windows(&mut node.right_windows, &right);
    if let Some(condition) = &mut node.condition {
        let position = |column: usize| match column.checked_sub(width) {
            None => rank(&left, column),
            Some(column) => left.len() + rank(&right, column),
        };
        remap(condition, &position);
    }
    let one_sided = matches!(node.kind, flott_sql::JoinKind::Semi | flott_sql::JoinKind::Anti);
    let rights = right.iter().map(|&column| column + width).filter(|_| !one_sided);
    (left.iter().copied().chain(rights).collect(), vec![left.clone(), right])
}
