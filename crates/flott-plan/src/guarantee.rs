//! What a pipeline really promises about the rows of a sink: computed, not declared.
//!
//! ```text
//!   the sink      hides rows until they are committed? shows them at once? throws them away? ─┐
//!   its sources   can each that leads to it be read again from where it was?                  ├─► promise
//!   the store     is there a directory for checkpoints? (not in batch mode)                   │   + what is
//!   overwriting   does a run that is begun anew replace what the one before left?            ─┘   against more
//!
//!   'sink.guarantee' = 'exactly-once'  (SET, or a sink table's own)  ─► holds, or an error with the ways out
//! ```
//!
//! What a run computes again after a failure may come out with other values: current time, random numbers,
//! look-ups, windows on processing time. What was published never is computed again, so each row is there
//! once all the same; it is noted, and no obstacle.

use std::{collections::BTreeSet, fmt, sync::Arc};

use flott_connector::{Connector, Doubt, Registry, Role, SinkGuarantee, Weight};
use flott_expr::{Expr, ExprKind};
use flott_types::{Code, Diagnostic, OptionValue, Options, Result, Span, TableDescription, TimeAttribute};

use crate::{Node, NodeId, NodeKind, OperatorNode, SinkTarget, SourceInput, Step, StreamPlan};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Every row once: rows are published with the checkpoint that they belong to.
    ExactlyOnce,
    /// Every row at least once: rows are published with their checkpoint, but something doubles them.
    AtLeastOnce,
    /// Every row once when the run has ended: what it writes replaces what another one left.
    ExactlyOnceAtEnd,
    /// Every row at most once: rows are published with their checkpoint, but a source can't be read
    /// again, so what it gave and no checkpoint holds is lost when the run dies.
    AtMostOnce,
    /// Every row at most once: rows are published when the run ends, and what a source that can't be read
    /// again gave to a run that dies is lost.
    AtMostOnceAtEnd,
    /// Every row at most once: rows are visible as they come, and a source can't be read again.
    AtMostOnceImmediate,
    /// Every row at least once: a run that dies leaves nothing behind in this sink, and the next
    /// run begins anew.
    AtLeastOnceAtEnd,
    /// Every row at least once: rows are visible as they come, so a second run shows them again.
    AtLeastOnceImmediate,
    /// Rows may be lost, and may come twice: rows are published as the sink does, but something loses some,
    /// and something doubles some.
    Neither,
    /// The same, and rows are visible as they come.
    NeitherImmediate,
    /// Rows are thrown away.
    Nothing,
}

impl Promise {
    /// One word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Promise::ExactlyOnce | Promise::ExactlyOnceAtEnd => "exactly-once",
            Promise::AtMostOnce | Promise::AtMostOnceAtEnd | Promise::AtMostOnceImmediate => "at-most-once",
            Promise::AtLeastOnce | Promise::AtLeastOnceAtEnd | Promise::AtLeastOnceImmediate => {
                "at-least-once"
            }
            Promise::Neither | Promise::NeitherImmediate | Promise::Nothing => "none",
        }
    }

    /// What is left of it under a doubt.
    fn less(self, weight: Weight) -> Self {
        match weight {
            Weight::Note => self,
            Weight::Doubles => match self {
                Promise::ExactlyOnce => Promise::AtLeastOnce,
                Promise::ExactlyOnceAtEnd => Promise::AtLeastOnceAtEnd,
                Promise::AtMostOnce | Promise::AtMostOnceAtEnd => Promise::Neither,
                Promise::AtMostOnceImmediate => Promise::NeitherImmediate,
                promise => promise,
            },
            Weight::Loses => match self {
                Promise::ExactlyOnce => Promise::AtMostOnce,
                Promise::ExactlyOnceAtEnd => Promise::AtMostOnceAtEnd,
                Promise::AtLeastOnce | Promise::AtLeastOnceAtEnd => Promise::Neither,
                Promise::AtLeastOnceImmediate => Promise::NeitherImmediate,
                promise => promise,
            },
        }
    }

    /// What it rests on.
    fn because(self) -> &'static str {
        match self {
            Promise::ExactlyOnce => "rows are published with their checkpoint",
            Promise::AtLeastOnce => "rows are published with their checkpoint, but some may come twice",
            Promise::ExactlyOnceAtEnd => "a run that is begun anew replaces what was there",
            Promise::AtMostOnce => {
                "rows are published with their checkpoint, but a source can't be read again"
            }
            Promise::AtMostOnceAtEnd => {
                "published when the run ends; what a run that dies has read can't be read again"
            }
            Promise::AtMostOnceImmediate => "rows are visible as they come, and a source can't be read again",
            Promise::AtLeastOnceAtEnd => {
                "published when the run ends; without checkpoints a run that dies is begun anew"
            }
            Promise::AtLeastOnceImmediate => "rows are visible as they come",
            Promise::Neither | Promise::NeitherImmediate => "rows may be lost, and may come twice",
            Promise::Nothing => "rows are thrown away",
        }
    }
}

/// What `'sink.guarantee'` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Every row once.
    ExactlyOnce,
    /// No row is lost.
    AtLeastOnce,
}

impl Asked {
    fn word(self) -> &'static str {
        match self {
            Asked::ExactlyOnce => "exactly-once",
            Asked::AtLeastOnce => "at-least-once",
        }
    }
    fn is_held_by(self, promise: Promise) -> bool {
        match self {
            Asked::ExactlyOnce => promise.word() == "exactly-once",
            Asked::AtLeastOnce => matches!(promise.word(), "exactly-once" | "at-least-once"),
        }
    }
}

/// Something that stands against a stronger promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What, as half a sentence.
    pub what: String,
    /// The way out.
    pub way_out: String,
    /// Because of it rows may be lost, not only doubled.
    loses: bool,
}

/// What is promised about the rows of a sink, and why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarantee {
    /// The promise.
    pub promise: Promise,
    /// What stands against `exactly-once`.
    pub obstacles: Vec<Obstacle>,
    /// What is good to know all the same.
    pub notes: Vec<String>,
    /// What an operator should know of servers and settings; the promise stands.
    pub advice: Vec<String>,
    /// What the script asks for, and where it says so.
    asked: Option<(Asked, Span)>,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.word(), self.promise.because())
    }
}

impl Guarantee {
    /// One word for scripts.
    pub fn word(&self) -> &'static str {
        self.promise.word()
    }
}

/// What a guarantee is computed from.
pub struct Evidence<'a> {
    /// The plan so far, with all that leads to the sink.
    pub plan: &'a StreamPlan,
    /// The nodes that it gets rows from.
    pub inputs: &'a [NodeId],
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// Where the statement names the table.
    pub span: Span,
    /// Connectors.
    pub registry: &'a Registry,
    /// The job's options.
    pub options: &'a Options,
}

/// The guarantee of a sink.
///
/// # Errors
/// `GuaranteeNotHeld`: the script asks for more than it is. `InvalidOption`.
pub fn of(target: &SinkTarget, name: &str, evidence: &Evidence<'_>) -> Result<Guarantee> {
    let SinkTarget::Table(table) = target else {
        let promise = Promise::AtLeastOnceImmediate;
        return Ok(Guarantee {
            promise,
            obstacles: Vec::new(),
            notes: Vec::new(),
            advice: Vec::new(),
            asked: None,
        });
    };
    let behind = behind(evidence.plan, evidence.inputs);
    let unrepeatable = unrepeatable(&behind, evidence.registry)?;
    let connector = evidence.registry.connector_of(table)?;
    let mut obstacles: Vec<Obstacle> = unrepeatable;
    if evidence.overwrite {
        obstacles.extend(overwritten_inputs(table, connector.as_ref(), &behind));
    }
    let replays = obstacles.is_empty();
    let checkpoints = has_checkpoints(evidence.options);
    let mut doubts = evidence.registry.doubts(table, Role::Sink, evidence.options)?;
    for table in tables_read(&behind) {
        doubts.extend(evidence.registry.doubts(table, Role::Source, evidence.options)?);
    }
    if connector.sink_guarantee(table) == SinkGuarantee::Deciding {
        in_one_transaction(table, connector, evidence)?;
        if !checkpoints && !are_bounded(&behind) {
            let message = format!(
                "no row of sink '{name}' would ever be seen: it is written exactly once, its input has no end, and \
                 there are no checkpoints to commit with"
            );
            return Err(Diagnostic::error(Code::GuaranteeNotHeld, message)
                .at(evidence.span)
                .help("SET 'execution.checkpointing.dir' = '/a/directory' says where they are kept")
                .help("or let rows be written at least once"));
        }
    }
    let promise = match connector.sink_guarantee(table) {
        SinkGuarantee::Discards => {
            obstacles.insert(0, discards(connector.name()));
            Promise::Nothing
        }
        SinkGuarantee::Immediate => {
            if doubts.iter().all(|it| it.weight == Weight::Note) {
                obstacles.insert(0, immediate(connector.name()));
            }
            if replays { Promise::AtLeastOnceImmediate } else { Promise::AtMostOnceImmediate }
        }
        SinkGuarantee::Repeatable | SinkGuarantee::Deciding if checkpoints && replays => Promise::ExactlyOnce,
        SinkGuarantee::Repeatable | SinkGuarantee::Deciding if checkpoints => Promise::AtMostOnce,
        SinkGuarantee::Repeatable if evidence.overwrite && replays && are_bounded(&behind) => {
            Promise::ExactlyOnceAtEnd
        }
        SinkGuarantee::Repeatable | SinkGuarantee::Deciding => {
            obstacles.insert(0, no_checkpoints(evidence.options));
            // Nothing is published before all of it is: what can't be read again is lost by a run that dies.
            if replays { Promise::AtLeastOnceAtEnd } else { Promise::AtMostOnceAtEnd }
        }
    };
    let promise = doubts.iter().fold(promise, |promise, doubt| promise.less(doubt.weight));
    let (notes, mut advice) = (notes(&behind), Vec::new());
    for Doubt { what, way_out, weight } in doubts {
        match weight {
            Weight::Note => advice.push(format!("{what}: {way_out}")),
            Weight::Doubles | Weight::Loses => {
                obstacles.push(Obstacle { what, way_out, loses: weight == Weight::Loses });
            }
        }
    }
    let asked = asked(table, evidence.options)?;
    let guarantee = Guarantee { promise, obstacles, notes, advice, asked };
    if let Some((asked, span)) = asked
        && !asked.is_held_by(promise)
    {
        let against = guarantee.obstacles.iter().filter(|it| asked == Asked::ExactlyOnce || it.loses);
        return Err(refusal((name, &table.name), asked, span, evidence.span, &mut against.cloned()));
    }
    Ok(guarantee)
}

impl StreamPlan {
    /// That a source, as it turns out when it is opened, can't be read again (it is a pipe): an error if a
    /// sink that it leads to is asked for more than that leaves.
    pub fn cannot_replay(&self, source: NodeId) -> Option<Box<Diagnostic>> {
        let NodeKind::Source(node) = &self.nodes.get(source)?.kind else { return None };
        let reaches = |id: NodeId| {
            let inputs = self.nodes.get(id).map(|it| it.inputs.as_slice()).unwrap_or_default();
            ids_behind(self, inputs).contains(&source)
        };
        let what = format!("source '{}' is a pipe, whose bytes come once", node.name);
        for (id, sink) in self.sinks() {
            if let Some((asked, span)) = sink.guarantee.asked
                && let SinkTarget::Table(table) = &sink.target
                && reaches(id)
            {
                let against = &mut std::iter::once(once_only(what));
                return Some(refusal((&sink.name, &table.name), asked, span, sink.span, against));
            }
        }
        None
    }
}

/// A job has one transaction: its deciding tables must all be written in the same.
fn in_one_transaction(
    table: &TableDescription,
    connector: &Arc<dyn Connector>,
    evidence: &Evidence<'_>,
) -> Result<()> {
    for (_, sink) in evidence.plan.sinks() {
        let SinkTarget::Table(other) = &sink.target else { continue };
        let theirs = evidence.registry.connector_of(other)?;
        if theirs.sink_guarantee(other) != SinkGuarantee::Deciding {
            continue;
        }
        let (one, two) = (theirs.transaction(other), connector.transaction(table));
        if one != two {
            let message = format!(
                "'{}' and '{}' can't be written exactly once in one job, as no transaction spans both: {one}; {two}",
                other.name, table.name
            );
            return Err(Diagnostic::error(Code::UnsupportedUse, message)
                .at(evidence.span)
                .related(sink.span, "the other one")
                .help("write them in two jobs, or one of them at least once"));
        }
    }
    Ok(())
}

/// `sink`: its name, and its table's.
fn refusal(
    (sink, table): (&str, &str),
    asked: Asked,
    span: Span,
    at: Span,
    against: &mut dyn Iterator<Item = Obstacle>,
) -> Box<Diagnostic> {
    let (what, ways): (Vec<String>, Vec<String>) = against.map(|it| (it.what, it.way_out)).unzip();
    let message = format!("sink '{sink}' can't be {}: {}", asked.word(), what.join(", and "));
    let mut error = Diagnostic::error(Code::GuaranteeNotHeld, message);
    if !span.is_empty() {
        error = error.at(span).label("asked for here").related(at, "written here");
    }
    error = ways.into_iter().fold(error.at(at), |error, way_out| error.help(way_out));
    error.help(format!("'sink.guarantee' = 'none' in the WITH of '{table}' takes it out of what is asked"))
}

/// What a sink is asked for: by its own option, else by the job's.
fn asked(table: &TableDescription, options: &Options) -> Result<Option<(Asked, Span)>> {
    let word = |text: &str| match text.to_ascii_lowercase().as_str() {
        "none" => Ok(None),
        "at-least-once" => Ok(Some(Asked::AtLeastOnce)),
        "exactly-once" => Ok(Some(Asked::ExactlyOnce)),
        _ => Err("expected one of none, at-least-once, exactly-once".to_string()),
    };
    for options in [&table.options, options] {
        if let Some(asked) = options.parsed(OPTION, word)? {
            let span = options.entry(OPTION).map_or(Span::default(), |it: &OptionValue| it.value_span);
            return Ok(asked.map(|asked| (asked, span)));
        }
    }
    Ok(None)
}

/// The option that asks.
const OPTION: &str = "sink.guarantee";

// --- obstacles ----------------------------------------------------------------------------------

fn once_only(what: String) -> Obstacle {
    let way_out = "let what it gives be kept first, in files or a log, and read that".to_string();
    Obstacle { what, way_out, loses: true }
}

fn discards(connector: &str) -> Obstacle {
    Obstacle {
        what: format!("connector '{connector}' throws rows away"),
        way_out: "write to another connector, such as 'filesystem'".into(),
        loses: true,
    }
}

fn immediate(connector: &str) -> Obstacle {
    Obstacle {
        what: format!("connector '{connector}' shows rows as they come and can't take them back"),
        way_out: "write to a connector that publishes with a checkpoint, such as 'filesystem'".into(),
        loses: false,
    }
}

fn no_checkpoints(options: &Options) -> Obstacle {
    if is_batch(options) {
        return Obstacle {
            what: "in batch mode there are no checkpoints".into(),
            way_out: "SET 'execution.runtime-mode' = 'streaming', or INSERT OVERWRITE".into(),
            loses: false,
        };
    }
    Obstacle {
        what: "there are no checkpoints".into(),
        way_out: "SET 'execution.checkpointing.dir' = '/a/directory' says where they are kept".into(),
        loses: false,
    }
}

/// With a directory for them, checkpoints are on; not in batch mode, as in Flink.
fn has_checkpoints(options: &Options) -> bool {
    !is_batch(options) && options.get("execution.checkpointing.dir").is_some_and(|it| !it.is_empty())
}

fn is_batch(options: &Options) -> bool {
    options.get("execution.runtime-mode").is_some_and(|it| it.eq_ignore_ascii_case("batch"))
}

// --- what leads to a sink -----------------------------------------------------------------------

fn ids_behind(plan: &StreamPlan, inputs: &[NodeId]) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut open = inputs.to_vec();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(plan.nodes.get(id).into_iter().flat_map(|node| &node.inputs));
        }
    }
    seen
}

fn behind<'a>(plan: &'a StreamPlan, inputs: &[NodeId]) -> Vec<&'a Node> {
    ids_behind(plan, inputs).into_iter().filter_map(|id| plan.nodes.get(id)).collect()
}

/// Sources that can't be read again from where they were.
fn unrepeatable(behind: &[&Node], registry: &Registry) -> Result<Vec<Obstacle>> {
    let mut out = Vec::new();
    for table in tables_read(behind) {
        out.extend(registry.once_only(table)?.map(|why| once_only(format!("source '{}' {why}", table.name))));
    }
    Ok(out)
}

/// The tables that these nodes read.
fn tables_read<'a>(behind: &[&'a Node]) -> Vec<&'a TableDescription> {
    let table = |node: &&'a Node| match &node.kind {
        NodeKind::Source(source) => match &source.input {
            SourceInput::Table { table, .. } => Some(table),
            SourceInput::Values(_) => None,
        },
        _ => None,
    };
    behind.iter().filter_map(table).collect()
}

/// Sources that read what the sink replaces: once it is replaced, they give something else.
fn overwritten_inputs(sink: &TableDescription, connector: &dyn Connector, behind: &[&Node]) -> Vec<Obstacle> {
    let mut out = Vec::new();
    for node in behind {
        let (name, table) = match &node.kind {
            NodeKind::Source(source) => match &source.input {
                SourceInput::Table { table, .. } => (&source.name, table),
                SourceInput::Values(_) => continue,
            },
            NodeKind::Operator(OperatorNode::LookupJoin(join)) => (&join.table.name, &join.table),
            NodeKind::Operator(_) | NodeKind::Calc(_) | NodeKind::Sink(_) => continue,
        };
        if table.options.get("connector") == sink.options.get("connector") && connector.overlaps(table, sink)
        {
            let what = format!("INSERT OVERWRITE replaces what source '{name}' reads");
            let way_out = "write to another path, and put it in place once the run has ended".to_string();
            out.push(Obstacle { what, way_out, loses: true });
        }
    }
    out
}

fn are_bounded(behind: &[&Node]) -> bool {
    behind.iter().all(|node| !matches!(&node.kind, NodeKind::Source(source) if !source.bounded))
}

/// What comes out otherwise when it is computed again.
fn notes(behind: &[&Node]) -> Vec<String> {
    let mut out = Vec::new();
    let mut functions = BTreeSet::new();
    for node in behind {
        match &node.kind {
            NodeKind::Calc(calc) => calc.steps.iter().for_each(|step| steps_functions(step, &mut functions)),
            NodeKind::Source(source) => source.filter.iter().for_each(|it| functions_of(it, &mut functions)),
            NodeKind::Operator(OperatorNode::LookupJoin(join)) => {
                let name = &join.table.name;
                out.push(format!("rows are looked up in '{name}' as it is then"));
            }
            NodeKind::Operator(operator) if operator.time() == Some(TimeAttribute::Proctime) => {
                out.push(format!("the {} goes by the clock", operator.name()));
            }
            NodeKind::Operator(_) | NodeKind::Sink(_) => {}
        }
    }
    if !functions.is_empty() {
        let functions: Vec<&str> = functions.into_iter().collect();
        out.push(format!(
            "{} give{} other values",
            functions.join(", "),
            if functions.len() == 1 { "s" } else { "" }
        ));
    }
    out.dedup();
    out
}

fn steps_functions(step: &Step, into: &mut BTreeSet<&'static str>) {
    match step {
        Step::Filter(predicate) => functions_of(predicate, into),
        Step::Project { exprs, .. } => exprs.iter().for_each(|expr| functions_of(expr, into)),
        Step::Unnest { collection, .. } => functions_of(collection, into),
        _ => {}
    }
}

fn functions_of(expr: &Expr, into: &mut BTreeSet<&'static str>) {
    expr.walk(&mut |node| {
        if let ExprKind::Call { function, .. } = &node.kind
            && !function.deterministic
        {
            into.insert(function.name);
        }
    });
}

/// `connector 'x' can't be read`
pub fn unsupported_use(table: &TableDescription, span: Span, verb: &str, connector: &str) -> Box<Diagnostic> {
    let message = format!("table '{}' can't be {verb}: connector '{connector}' doesn't do that", table.name);
    Diagnostic::error(Code::UnsupportedUse, message)
        .at(span)
        .help("`flott list connectors` shows what each can do")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_and_what_doubles_leave_nothing_in_either_order() {
        for promise in [Promise::ExactlyOnce, Promise::ExactlyOnceAtEnd] {
            assert_eq!(promise.less(Weight::Doubles).word(), "at-least-once");
            assert_eq!(promise.less(Weight::Loses).word(), "at-most-once");
            assert_eq!(promise.less(Weight::Doubles).less(Weight::Loses), Promise::Neither);
            assert_eq!(promise.less(Weight::Loses).less(Weight::Doubles), Promise::Neither);
        }
        let immediate = Promise::AtLeastOnceImmediate.less(Weight::Loses);
        assert_eq!((immediate, immediate.word()), (Promise::NeitherImmediate, "none"));
        assert_eq!(Promise::AtMostOnceImmediate.less(Weight::Doubles), immediate);
        assert_eq!(immediate.because(), "rows may be lost, and may come twice");
        assert!(!Asked::AtLeastOnce.is_held_by(immediate));
    }
}
