//! Which rows are changes, who has to know what a row was before, and whether sinks take it.
//!
//! ```text
//!   leaf, operators   forwards    what rows say: append, retract            upsert keys
//!   sinks, operators  backwards   who wants `-U`: an operator that takes rows back, a sink that keeps
//!                                 a log of changes, a filter (a row may leave it when it changes);
//!                                 not a sink that goes by its primary key
//!   operators         forwards    told what was decided
//! ```
//! Source: Flink's `FlinkChangelogModeInferenceProgram`.

use flott_connector::{Changelog, Registry};
use flott_expr::{Expr, ExprKind};
use flott_sql::OnConflict;
use flott_types::{Code, Diagnostic, Result, Span, TableDescription};

use crate::{
    ChangelogMode, Step,
    graph::{Branch, Graph, Leaf, Producer},
    nodes::{Set, UpsertKeys},
    window_columns::plain,
};

/// A sink, as far as changes go.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Which changes it takes.
    pub changelog: Changelog,
    /// Positions of the primary key's columns.
    pub key: Vec<usize>,
    /// What happens to several rows with the same key, if it is said.
    pub on_conflict: Option<OnConflict>,
    /// Where the statement names it.
    pub span: Span,
}

/// What a producer's rows say, and what tells them apart.
#[derive(Debug, Clone, Default)]
pub struct Says {
    /// What its rows say.
    pub mode: ChangelogMode,
    /// Its upsert keys.
    pub keys: UpsertKeys,
}

/// Decides for every producer. `batch`: only final rows are wanted.
///
/// # Errors
/// `NotSupported`, `UnsupportedUse`: an operator or a sink can't take the changes that come to it.
pub fn infer(
    graph: &mut Graph,
    sinks: &[Vec<Branch>],
    wanted: &[Wanted],
    registry: &Registry,
    batch: bool,
) -> Result<Vec<Says>> {
    let everything = vec![true; graph.producers.len()];
    let says = forwards(graph, &everything, registry, batch)?;
    for (branches, sink) in sinks.iter().zip(wanted) {
        check(graph, branches, sink, &says)?;
        branches.iter().try_for_each(|branch| check_steps(graph, branch, &says, sink.span))?;
    }
    let span = wanted.first().map(|sink| sink.span).unwrap_or_default();
    for producer in &graph.producers {
        let Producer::Operator(operator) = producer else { continue };
        operator.inputs.iter().try_for_each(|(_, branch)| check_steps(graph, branch, &says, span))?;
    }
    let before = backwards(graph, sinks, wanted, &says);
    forwards(graph, &before, registry, batch)
}

/// What everyone's rows say if these want to know what was before.
fn forwards(graph: &mut Graph, before: &[bool], registry: &Registry, batch: bool) -> Result<Vec<Says>> {
    let mut says: Vec<Says> = Vec::new();
    for (at, producer) in graph.producers.iter_mut().enumerate() {
        let said = match producer {
            Producer::Leaf(leaf) => of_leaf(leaf, registry, batch)?,
            Producer::Operator(operator) => {
                let inputs = operator.node.inputs();
                let (mut modes, mut keys) = (vec![ChangelogMode::APPEND; inputs], vec![Vec::new(); inputs]);
                for input in 0..inputs {
                    let branches = operator.inputs.iter().filter(|(it, _)| *it == input).map(|it| &it.1);
                    let all: Vec<&Branch> = branches.collect();
                    for branch in &all {
                        modes[input] = modes[input].and(mode_of(branch, &says));
                    }
                    if let [branch] = all.as_slice() {
                        keys[input] = keys_of(branch, &says);
                    }
                }
                let node = operator.node.stateful_mut();
                let mode = node.changelog(&modes, before[at])?;
                let mode = if batch { ChangelogMode::APPEND } else { mode };
                Says { mode, keys: node.upsert_keys(&keys) }
            }
        };
        says.push(said);
    }
    Ok(says)
}

fn of_leaf(leaf: &Leaf, registry: &Registry, batch: bool) -> Result<Says> {
    let Leaf::Table { table, span, .. } = leaf else { return Ok(Says::default()) };
    let changelog = registry.connector_of(table)?.source_changelog(table, registry)?;
    if batch && changelog != Changelog::Append {
        let message = format!("table '{}' holds changes, which can't be read in batch mode", table.name);
        return Err(Diagnostic::error(Code::UnsupportedUse, message)
            .at(*span)
            .help("SET 'execution.runtime-mode' = 'streaming'"));
    }
    let mode = match changelog {
        Changelog::Append => ChangelogMode::APPEND,
        Changelog::Upsert => ChangelogMode::UPSERT,
        Changelog::Retract => ChangelogMode::RETRACT,
    };
    let key = key_columns(table);
    Ok(Says { mode, keys: if key.is_empty() { Vec::new() } else { vec![key.into_iter().collect()] } })
}

/// Positions of the primary key's columns.
pub fn key_columns(table: &TableDescription) -> Vec<usize> {
    let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
    table.primary_key.iter().filter_map(position).collect()
}

/// What rows say behind a branch's steps.
pub fn mode_of(branch: &Branch, says: &[Says]) -> ChangelogMode {
    after(says.get(branch.producer).map(|it| it.mode).unwrap_or_default(), &branch.steps)
}

/// What rows say behind these steps.
pub fn after(mode: ChangelogMode, steps: &[Step]) -> ChangelogMode {
    steps.iter().fold(mode, |mode, step| match step {
        Step::Filter(_)
        | Step::Project { .. }
        | Step::Unnest { .. }
        | Step::Window { .. }
        | Step::Expand { .. } => mode,
        Step::FromChangelog { .. } => ChangelogMode::RETRACT,
        Step::ToChangelog { .. } => ChangelogMode::APPEND,
    })
}

/// The upsert keys behind a branch's steps.
pub fn keys_of(branch: &Branch, says: &[Says]) -> UpsertKeys {
    let mut keys = says.get(branch.producer).map(|it| it.keys.clone()).unwrap_or_default();
    for step in &branch.steps {
        match step {
            Step::Filter(_) => {}
            Step::Project { exprs, .. } => {
                let to = |column: &usize| exprs.iter().position(|expr| carried(expr) == Some(*column));
                keys = keys.iter().filter_map(|key| key.iter().map(to).collect::<Option<Set>>()).collect();
            }
            Step::Unnest { .. }
            | Step::Window { .. }
            | Step::Expand { .. }
            | Step::FromChangelog { .. }
            | Step::ToChangelog { .. } => keys.clear(),
        }
    }
    keys
}

/// The column that the expression hands on: as it is, or checked on its way into a sink.
fn carried(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Call { function, args } if function.name == "ENFORCE_NOT_NULL" => {
            args.first().and_then(plain)
        }
        _ => plain(expr),
    }
}

/// Whether somebody wants to know what a producer's rows were before a change.
fn backwards(graph: &Graph, sinks: &[Vec<Branch>], wanted: &[Wanted], says: &[Says]) -> Vec<bool> {
    let mut before = vec![false; graph.producers.len()];
    for (branches, sink) in sinks.iter().zip(wanted) {
        for branch in branches {
            // Rows of one key of the query may have several keys of the sink, one after the other.
            let key: Set = sink.key.iter().copied().collect();
            let same_key = key.is_empty() || keys_of(branch, says).contains(&key);
            before[branch.producer] |=
                sink.changelog != Changelog::Upsert || !same_key || filters(branch, says);
        }
    }
    for at in (0..graph.producers.len()).rev() {
        let Producer::Operator(operator) = &graph.producers[at] else { continue };
        for (input, branch) in &operator.inputs {
            before[branch.producer] |= operator.node.stateful().wants_before(*input) || filters(branch, says);
        }
    }
    before
}

/// Whether what a row was counts here: a row that changes may come or go by a filter that reads more
/// than an upsert key, or the changes are what is wanted.
fn filters(branch: &Branch, says: &[Says]) -> bool {
    let mut so_far = Branch { producer: branch.producer, steps: Vec::new() };
    branch.steps.iter().any(|step| {
        let keys = keys_of(&so_far, says);
        so_far.steps.push(step.clone());
        match step {
            Step::Filter(predicate) => {
                let read: Set = predicate.columns().into_iter().collect();
                !keys.iter().any(|key| read.is_subset(key))
            }
            Step::Unnest { .. } | Step::ToChangelog { .. } => true,
            Step::Project { .. } | Step::Window { .. } | Step::Expand { .. } | Step::FromChangelog { .. } => {
                false
            }
        }
    })
}

/// Whether the steps take what comes to them: `FROM_CHANGELOG` takes new rows only.
fn check_steps(graph: &Graph, branch: &Branch, says: &[Says], span: Span) -> Result<()> {
    let mut so_far = Branch { producer: branch.producer, steps: Vec::new() };
    for step in &branch.steps {
        if matches!(step, Step::FromChangelog { .. }) && !mode_of(&so_far, says).is_append() {
            let message = format!(
                "FROM_CHANGELOG takes new rows only, but {} changes rows that it told before",
                maker(graph, &so_far, says)
            );
            return Err(Diagnostic::error(Code::UnsupportedUse, message).at(span).help(
                "its input tells changes itself: leave FROM_CHANGELOG out, or put TO_CHANGELOG before it",
            ));
        }
        so_far.steps.push(step.clone());
    }
    Ok(())
}

/// Whether the sink takes what comes to it.
fn check(graph: &Graph, branches: &[Branch], sink: &Wanted, says: &[Says]) -> Result<()> {
    let changes = branches.iter().find(|branch| !mode_of(branch, says).is_append());
    let Some(branch) = changes.filter(|_| sink.changelog == Changelog::Append) else { return Ok(()) };
    let message = format!(
        "table '{}' takes new rows only, but {} changes rows that it told before",
        sink.name,
        maker(graph, branch, says)
    );
    Err(Diagnostic::error(Code::UnsupportedUse, message).at(sink.span).help(
        "aggregate in windows (TUMBLE, HOP, …), or write to a table that takes changes: 'upsert-kafka', 'print', \
         'blackhole', or 'format' = 'changelog-json'",
    ))
}

/// The first operator that makes changes out of new rows.
fn maker(graph: &Graph, branch: &Branch, says: &[Says]) -> String {
    match graph.producers.get(branch.producer) {
        Some(Producer::Operator(operator)) => {
            let inner = operator.inputs.iter().map(|it| &it.1).find(|it| !mode_of(it, says).is_append());
            inner.map_or_else(|| format!("the {}", operator.node.name()), |inner| maker(graph, inner, says))
        }
        Some(Producer::Leaf(Leaf::Table { table, .. })) => format!("source '{}'", table.name),
        _ => "a source".to_string(),
    }
}
