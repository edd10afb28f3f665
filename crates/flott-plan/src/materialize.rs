//! What stands between a table and the query because of its primary key.
//!
//! ```text
//!   upsert source ─► Normalize by its key ─► …          also a source that may repeat itself
//!   … ─► Materialize by its key ─► upsert sink          unless a key of the query is in the sink's
//! ```
//! Source: Flink documentation, "INSERT Statement" (`ON CONFLICT`);
//! `FlinkChangelogModeInferenceProgram.analyzeUpsertMaterializeStrategy`.

use std::collections::HashMap;

use flott_connector::{Changelog, Registry};
use flott_sql::{LogicalPlan, OnConflict};
use flott_types::{Code, Diagnostic, Options, Result, Schema, Span, TableDescription};

use crate::{
    Materialize, Normalize, OperatorNode,
    changelog::{Says, Wanted, key_columns, keys_of, mode_of},
    flatten::Flatten,
    graph::{Branch, Graph, Leaf, Operator, Producer},
    nodes::Set,
};

/// Names of the tables whose changes must be normalised, by what their options say.
///
/// # Errors
/// What a connector says about a table.
pub fn sources_to_normalize<'a>(
    plans: impl Iterator<Item = &'a LogicalPlan>,
    registry: &Registry,
    options: &Options,
) -> Result<HashMap<String, bool>> {
    let repeats = options.boolean("table.exec.source.cdc-events-duplicate")? == Some(true);
    let mut found = HashMap::new();
    let mut rest: Vec<&LogicalPlan> = plans.collect();
    while let Some(plan) = rest.pop() {
        if let LogicalPlan::Scan { table, .. } = plan {
            let changelog = registry.connector_of(table)?.source_changelog(table, registry)?;
            let has_key = !table.primary_key.is_empty();
            let needs = match changelog {
                Changelog::Append => false,
                Changelog::Upsert => has_key,
                Changelog::Retract => has_key && repeats,
            };
            found.insert(identity(table), needs);
        }
        rest.extend(plan.inputs());
    }
    Ok(found)
}

/// What tells scans of a table with different options apart.
pub fn identity(table: &TableDescription) -> String {
    let options: Vec<(String, &str)> =
        table.options.iter().map(|(key, entry)| (key.to_string(), entry.value.as_str())).collect();
    format!("{} {options:?}", table.name)
}

impl Flatten {
    /// The scan's rows, normalised if they have to be.
    pub fn normalized(&mut self, table: &TableDescription, branch: Branch, schema: Schema) -> Branch {
        if !self.normalize.get(&identity(table)).copied().unwrap_or(false) {
            return branch;
        }
        let node = Normalize { keys: key_columns(table), ttl_millis: self.state_ttl, with_before: false };
        self.operator(OperatorNode::Normalize(node), vec![vec![branch]], schema)
    }
}

/// What a session says about sinks with a key.
pub struct SinkRules {
    mode: Mode,
    require_on_conflict: bool,
    ttl_millis: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    Auto,
    Force,
}

impl SinkRules {
    /// From the session's options.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn of(options: &Options, ttl_millis: Option<i64>) -> Result<Self> {
        let mode = match options.get("table.exec.sink.upsert-materialize").map(str::to_ascii_uppercase) {
            Some(word) if word == "NONE" => Mode::None,
            Some(word) if word == "FORCE" => Mode::Force,
            _ => Mode::Auto,
        };
        let require = options.boolean("table.exec.sink.require-on-conflict")?;
        Ok(Self { mode, require_on_conflict: require != Some(false), ttl_millis })
    }

    /// Puts a [`Materialize`] before each sink that needs one. Whether there is any.
    ///
    /// # Errors
    /// `UnsupportedUse`: it isn't said which row is to win, or the clause doesn't fit the sink.
    pub fn materialize(
        &self,
        graph: &mut Graph,
        sinks: &mut [Vec<Branch>],
        wanted: &[Wanted],
        says: &[Says],
    ) -> Result<bool> {
        let mut any = false;
        for (branches, sink) in sinks.iter_mut().zip(wanted) {
            let Some(first) = branches.first() else { continue };
            check_clause(graph, branches, sink)?;
            if !self.needs(branches, sink, says)? {
                continue;
            }
            let schema = graph.output(first);
            let field = |at: &usize| schema.fields.get(*at).map(|field| field.name.clone());
            let node = Materialize {
                keys: sink.key.clone(),
                on_conflict: sink.on_conflict.unwrap_or(OnConflict::Deduplicate),
                names: sink.key.iter().filter_map(field).collect(),
                ttl_millis: self.ttl_millis,
            };
            let inputs = std::mem::take(branches).into_iter().map(|branch| (0, branch)).collect();
            let node = OperatorNode::Materialize(node);
            let producer = graph.operator(Operator { node, inputs, schema, origins: [None; 2] });
            branches.push(Branch { producer, steps: Vec::new() });
            any = true;
        }
        Ok(any)
    }

    fn needs(&self, branches: &[Branch], sink: &Wanted, says: &[Says]) -> Result<bool> {
        let is_upsert = sink.changelog == Changelog::Upsert && !sink.key.is_empty();
        match self.mode {
            _ if !is_upsert => return Ok(false),
            Mode::None => return Ok(false),
            Mode::Force => return Ok(true),
            Mode::Auto => {}
        }
        let is_append = branches.iter().all(|branch| mode_of(branch, says).is_append());
        if is_append && sink.on_conflict == Some(OnConflict::Deduplicate) {
            return Ok(false);
        }
        let key: Set = sink.key.iter().copied().collect();
        let covered = match branches {
            [branch] => keys_of(branch, says).iter().any(|of_query| of_query.is_subset(&key)),
            _ => false,
        };
        if covered || (is_append && !self.require_on_conflict && sink.on_conflict.is_none()) {
            return Ok(false);
        }
        if self.require_on_conflict && sink.on_conflict.is_none() {
            let message = format!(
                "the rows of the query are not told apart by the primary key of table '{}', so several of them \
                 may have the same",
                sink.name
            );
            return Err(Diagnostic::error(Code::UnsupportedUse, message).at(sink.span).help(
                "say which row is to win: ON CONFLICT DO DEDUPLICATE (the latest; all rows are kept), ON CONFLICT \
                 DO NOTHING (the first) or ON CONFLICT DO ERROR",
            ));
        }
        Ok(true)
    }
}

/// Whether `ON CONFLICT` may stand here.
fn check_clause(graph: &Graph, branches: &[Branch], sink: &Wanted) -> Result<()> {
    let Some(action) = sink.on_conflict else { return Ok(()) };
    let why = match sink.changelog {
        Changelog::Upsert => None,
        Changelog::Append => Some("takes new rows only"),
        Changelog::Retract => Some("takes every change with what was before"),
    };
    if let Some(why) = why {
        let message =
            format!("ON CONFLICT is for tables that go by their primary key, but '{}' {why}", sink.name);
        return Err(Diagnostic::error(Code::UnsupportedUse, message)
            .at(sink.span)
            .help("leave the clause out"));
    }
    if action == OnConflict::Deduplicate {
        return Ok(());
    }
    for branch in branches {
        if let Some((name, span)) = without_watermark(graph, branch.producer) {
            let message = format!(
                "ON CONFLICT DO ERROR and DO NOTHING go by the watermark, but table '{name}' has none"
            );
            return Err(Diagnostic::error(Code::UnsupportedUse, message)
                .at(sink.span)
                .related(span, "read here")
                .help("declare one: WATERMARK FOR column AS column - INTERVAL '5' SECOND"));
        }
    }
    Ok(())
}

/// A table without a watermark that a producer reads.
fn without_watermark(graph: &Graph, producer: usize) -> Option<(String, Span)> {
    match graph.producers.get(producer)? {
        Producer::Leaf(Leaf::Table { table, watermark: None, span, .. }) => Some((table.name.clone(), *span)),
        Producer::Leaf(_) => None,
        Producer::Operator(operator) => {
            operator.inputs.iter().find_map(|(_, branch)| without_watermark(graph, branch.producer))
        }
    }
}
