//! Where rows came from, carried along to the operators that may find them late.
//!
//! ```text
//!   Source t (a, b, $origin) ─ Filter, Project (b, $origin) ─► WindowAggregate ─ … no origin any more
//! ```
//!
//! With `'late-rows' = 'dead-letter'` a source's rows have one more column, behind all others, that the
//! engine fills: split, offset and the record itself. It goes through all steps up to the first
//! operator, so that the letter of a late row can hold the record. An operator that keeps whole
//! rows keeps and emits it like any column, and the next step drops it.

use flott_expr::{Expr, Value};
use flott_types::{DataType, Field, Schema};

use crate::{
    Step,
    flatten::{columns_of, extended},
    graph::{Branch, Graph, Leaf, Operator, Producer},
    rewrite::remap,
};

/// The column's name.
pub const ORIGIN: &str = "$origin";

fn field() -> Field {
    Field::new(ORIGIN, DataType::bytes())
}

/// Adds the column where late rows become dead letters. `event_time`: for each producer, whether its
/// event time is needed.
pub fn carry(graph: &mut Graph, sinks: &mut [Vec<Branch>], event_time: &[bool]) {
    let mut widths = Vec::new();
    for (at, producer) in graph.producers.iter_mut().enumerate() {
        let width = producer.schema().len();
        widths.push(match producer {
            Producer::Leaf(Leaf::Table { table, origin, .. }) => {
                let late = table.options.get("late-rows");
                *origin = event_time[at] && late.is_some_and(|it| it.eq_ignore_ascii_case("dead-letter"));
                origin.then_some(width)
            }
            _ => None,
        });
    }
    if widths.iter().all(Option::is_none) {
        return;
    }
    // For each operator that emits the column: the projection that drops it.
    let mut without: Vec<Option<Step>> = vec![None; graph.producers.len()];
    for at in 0..graph.producers.len() {
        let schemas: Vec<Schema> = graph.producers.iter().map(Producer::schema).collect();
        let Producer::Operator(operator) = &mut graph.producers[at] else { continue };
        without[at] = carry_into(operator, &widths, &without, &schemas);
    }
    for branch in sinks.iter_mut().flatten() {
        let schema = graph.producers[branch.producer].schema();
        let leaf = widths[branch.producer].map(|width| without_origin(&schema, width));
        prepend(branch, leaf.or_else(|| without[branch.producer].clone()));
    }
}

/// The projection that drops the column behind all others.
fn without_origin(schema: &Schema, width: usize) -> Step {
    let mut schema = schema.clone();
    schema.fields.truncate(width);
    Step::Project { exprs: columns_of(&schema), schema }
}

/// Lets an operator's inputs have the column if one of their branches has it.
fn carry_into(
    operator: &mut Operator,
    widths: &[Option<usize>],
    without: &[Option<Step>],
    schemas: &[Schema],
) -> Option<Step> {
    for (_, branch) in &mut operator.inputs {
        prepend(branch, without[branch.producer].clone());
    }
    let mut before = [0; 2];
    let mut origins = [None; 2];
    for (input, before) in before.iter_mut().enumerate().take(operator.node.inputs()) {
        let branches =
            || operator.inputs.iter().filter(move |(it, _)| *it == input).map(|(_, branch)| branch);
        let Some(first) = branches().next() else { continue };
        *before = width_of(first, schemas, widths);
        let carries = branches().any(|branch| widths[branch.producer].is_some());
        origins[input] = carries.then_some(*before);
    }
    let Some(added) = operator.node.stateful_mut().carry_origin(origins, before) else {
        // It reports no late rows: the column ends before it.
        for (_, branch) in &mut operator.inputs {
            prepend(
                branch,
                widths[branch.producer].map(|width| without_origin(&schemas[branch.producer], width)),
            );
        }
        return None;
    };
    operator.origins = origins;
    for input in (0..2).filter(|&input| origins[input].is_some()) {
        for (_, branch) in operator.inputs.iter_mut().filter(|(it, _)| *it == input) {
            match widths[branch.producer] {
                Some(width) => branch.steps = carried(std::mem::take(&mut branch.steps), width),
                None => append_none(branch, &schemas[branch.producer]),
            }
        }
    }
    emit(operator, &added)
}

/// The width of a branch's output, the origin left out.
fn width_of(branch: &Branch, schemas: &[Schema], widths: &[Option<usize>]) -> usize {
    let producer = || widths[branch.producer].unwrap_or(schemas[branch.producer].len());
    branch.steps.iter().rev().find_map(Step::schema).map_or_else(producer, Schema::len)
}

/// The output of an operator that keeps whole rows has the column too. Gives the projection that
/// drops it.
fn emit(operator: &mut Operator, added: &[usize]) -> Option<Step> {
    if added.is_empty() {
        return None;
    }
    let schema = operator.schema.clone();
    for &at in added {
        operator.schema.fields.insert(at.min(operator.schema.len()), field());
    }
    let columns = columns_of(&operator.schema).into_iter().enumerate();
    let exprs = columns.filter(|(at, _)| !added.contains(at)).map(|(_, expr)| expr).collect();
    Some(Step::Project { exprs, schema })
}

fn prepend(branch: &mut Branch, step: Option<Step>) {
    if let Some(step) = step {
        let steps = std::iter::once(step).chain(std::mem::take(&mut branch.steps)).collect::<Vec<_>>();
        let alone = Branch { producer: branch.producer, steps: Vec::new() };
        branch.steps = extended(vec![alone], &steps).pop().map(|it| it.steps).unwrap_or_default();
    }
}

/// The steps with the origin, that stands at `at` before them, behind all columns after them.
fn carried(steps: Vec<Step>, mut at: usize) -> Vec<Step> {
    let mut out = Vec::new();
    let mut width = None;
    for mut step in steps {
        let moved = |column: usize| if column < at { column } else { column + 1 };
        match &mut step {
            Step::Filter(predicate) => remap(predicate, &moved),
            Step::Project { exprs, schema } => {
                exprs.iter_mut().for_each(|expr| remap(expr, &moved));
                exprs.push(Expr::column(at, ORIGIN, DataType::bytes()));
                at = schema.len();
                schema.fields.push(field());
            }
            Step::Unnest { collection, schema, .. } => {
                remap(collection, &moved);
                schema.fields.insert(at, field());
            }
            Step::Window { time_column, schema, .. } => {
                *time_column = moved(*time_column);
                schema.fields.insert(at, field());
            }
            Step::Expand { absent, schema } => {
                absent.iter_mut().flatten().for_each(|column| *column = moved(*column));
                schema.fields.insert(at, field());
            }
            Step::FromChangelog { op_column, schema, .. } => {
                let goes_before = *op_column < at;
                *op_column = moved(*op_column);
                at -= usize::from(goes_before);
                schema.fields.insert(at, field());
            }
            Step::ToChangelog { schema, .. } => {
                at += 1;
                schema.fields.insert(at, field());
            }
        }
        width = step.schema().cloned().or(width);
        out.push(step);
    }
    if let Some(schema) = width.filter(|schema| at + 1 < schema.len()) {
        let order: Vec<usize> = (0..schema.len()).filter(|&column| column != at).chain([at]).collect();
        let columns = columns_of(&schema);
        let exprs = order.iter().filter_map(|&column| columns.get(column).cloned()).collect();
        out.push(Step::Project { exprs, schema: schema.project(&order) });
    }
    out
}

/// Rows of another producer beside some that have an origin.
fn append_none(branch: &mut Branch, producer: &Schema) {
    let mut schema = Step::output(&branch.steps, producer).clone();
    let mut exprs = columns_of(&schema);
    exprs.push(Expr::literal(Value::Null, DataType::bytes()));
    schema.fields.push(field());
    branch.steps.push(Step::Project { exprs, schema });
}
