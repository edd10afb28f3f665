//! The stream plan: a graph of nodes, from sources to sinks.

use std::fmt;

use flott_connector::Registry;
use flott_expr::Expr;
use flott_sql::{Insert, LogicalPlan, WatermarkDef};
use flott_types::{Code, Diagnostic, Options, Result, Schema, Span, TableDescription};

use crate::{Guarantee, OperatorNode, Port, flatten, guarantee, prune, simplify};

/// A node's position in [`StreamPlan::nodes`].
pub type NodeId = usize;

/// What a node's output rows mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangelogMode {
    /// Rows are only added.
    Append,
}

impl fmt::Display for ChangelogMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangelogMode::Append => f.write_str("append"),
        }
    }
}

/// Which shard a row may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Any shard.
    Any,
    /// One shard, in the order of the input.
    Single,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distribution::Any => "any",
            Distribution::Single => "single",
        })
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// An id made from what the node means, not from where it stands in the script.
    pub stable_id: String,
    /// What it does.
    pub kind: NodeKind,
    /// The nodes it gets rows from.
    pub inputs: Vec<NodeId>,
    /// How it gets them, one for each of `inputs`.
    pub ports: Vec<Port>,
    /// Its output's columns.
    pub schema: Schema,
    /// What its output rows mean.
    pub changelog: ChangelogMode,
    /// Where its rows may be.
    pub distribution: Distribution,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Reads.
    Source(SourceNode),
    /// Computes row by row, without state.
    Calc(CalcNode),
    /// Keeps state. Its inputs are sources, calcs or other operators.
    Operator(OperatorNode),
    /// Writes.
    Sink(SinkNode),
}

/// Where a source's rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceInput {
    /// A table.
    Table {
        /// The table.
        table: TableDescription,
        /// Its watermark, over the declared columns.
        watermark: Option<WatermarkDef>,
    },
    /// Constant rows: one expression per column.
    Values(Vec<Vec<Expr>>),
}

/// Reads a table once, for everyone who needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceNode {
    /// Its name in the accounting.
    pub name: String,
    /// What is read.
    pub input: SourceInput,
    /// Positions in the table's columns of those that are read.
    pub projection: Vec<usize>,
    /// A predicate over the projected columns; the decoder applies it where it can.
    pub filter: Option<Expr>,
    /// Whether the input ends by itself.
    pub bounded: bool,
    /// Its event time, if an operator needs it. The decoder then applies no filter: rows that are
    /// filtered out move time on too.
    pub watermark: Option<SourceWatermark>,
    /// Where the query names the table.
    pub span: Span,
}

/// A source's event time, over its projected columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceWatermark {
    /// The time column.
    pub time: Expr,
    /// The watermark that each row stands for: no row at or before it comes any more.
    pub watermark: Expr,
    /// `'scan.watermark.max-ahead'`: rows further ahead of the wall clock are dead-lettered.
    pub max_ahead_millis: Option<i64>,
    /// `'late-rows' = 'dead-letter'`
    pub late_rows_to_dead_letters: bool,
}

/// A step of a [`CalcNode`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Keeps the rows for which the predicate is TRUE.
    Filter(Expr),
    /// Computes the columns anew.
    Project {
        /// One expression per column.
        exprs: Vec<Expr>,
        /// The columns.
        schema: Schema,
    },
    /// Each row once per element of a collection, the element's columns appended.
    Unnest {
        /// ARRAY, MAP or MULTISET.
        collection: Expr,
        /// Rows with an empty collection are kept, with NULLs.
        outer: bool,
        /// A last column counts from 1.
        ordinality: bool,
        /// Input columns, then the element's.
        schema: Schema,
    },
}

/// Stateless steps, done together.
#[derive(Debug, Clone, PartialEq)]
pub struct CalcNode {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkTarget {
    /// A table.
    Table(TableDescription),
    /// Whoever asked the query.
    Collect,
}

/// Writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkNode {
    /// Its name in the accounting.
    pub name: String,
    /// Where rows go.
    pub target: SinkTarget,
    /// `INSERT OVERWRITE`
    pub overwrite: bool,
    /// What is promised about its rows.
    pub guarantee: Guarantee,
    /// Where the statement names the table.
    pub span: Span,
}

/// A pipeline as a graph; inputs stand before the nodes that use them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamPlan {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl StreamPlan {
    /// The nodes that read.
    pub fn sources(&self) -> impl Iterator<Item = (NodeId, &SourceNode)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Source(source) => Some((id, source)),
            _ => None,
        })
    }
    /// The nodes that write.
    pub fn sinks(&self) -> impl Iterator<Item = (NodeId, &SinkNode)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Sink(sink) => Some((id, sink)),
            _ => None,
        })
    }
    /// Whether every source ends by itself.
    pub fn is_bounded(&self) -> bool {
        self.sources().all(|(_, source)| source.bounded)
    }
}

/// What is planned together.
#[derive(Debug, Clone, PartialEq)]
pub enum Pipeline {
    /// One `INSERT` or a statement set.
    Inserts(Vec<Insert>),
    /// A query whose rows are shown.
    Query(LogicalPlan),
}

/// A path from a leaf to a sink, before the leaves are shared.
struct Path {
    leaf: flatten::Leaf,
    steps: Vec<Step>,
    sink: usize,
}

/// Plans statements that run together. Tables read more than once are read once.
///
/// # Errors
/// What a connector says about a table: `UnsupportedUse`, `UnknownConnector`, …
pub fn plan(pipeline: &Pipeline, registry: &Registry, options: &Options) -> Result<StreamPlan> {
    let mut paths = Vec::new();
    let mut sinks = Vec::new();
    match pipeline {
        Pipeline::Query(query) => {
            add_paths(query, 0, &mut paths)?;
            sinks.push((SinkTarget::Collect, false, Span::default(), query.schema()));
        }
        Pipeline::Inserts(inserts) => {
            check_overwrites(inserts)?;
            for insert in inserts {
                let (index, schema) = (sinks.len(), insert.plan.schema());
                add_paths(&insert.plan, index, &mut paths)?;
                sinks.push((SinkTarget::Table(insert.sink.clone()), insert.overwrite, insert.span, schema));
            }
        }
    }
    let mut plan = StreamPlan::default();
    let groups = share_leaves(paths);
    let mut sink_inputs: Vec<Vec<NodeId>> = vec![Vec::new(); sinks.len()];
    for (leaf, members) in groups {
        add_source(&mut plan, leaf, members, &mut sink_inputs, registry)?;
    }
    for ((target, overwrite, span, schema), inputs) in sinks.into_iter().zip(sink_inputs) {
        add_sink(&mut plan, target, overwrite, span, schema, inputs, registry, options)?;
    }
    Ok(plan)
}

/// What runs together is published together: an INSERT OVERWRITE would remove the rows of any
/// other INSERT into its table, or leave them, as it happens.
fn check_overwrites(inserts: &[Insert]) -> Result<()> {
    for (at, insert) in inserts.iter().enumerate() {
        let path = |it: &Insert| it.sink.options.get("path").map(str::to_string);
        let same = |it: &&Insert| {
            it.sink.name == insert.sink.name || (path(it).is_some() && path(it) == path(insert))
        };
        let earlier = inserts.iter().take(at).filter(same).find(|it| it.overwrite || insert.overwrite);
        if let Some(earlier) = earlier {
            let message = format!(
                "INSERT OVERWRITE and another INSERT of the same statement set write table '{}'",
                insert.sink.name
            );
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(insert.span)
                .related(earlier.span, "written here too")
                .help("the one would delete the rows of the other: use UNION ALL, or separate statements"));
        }
    }
    Ok(())
}

fn add_paths(plan: &LogicalPlan, sink: usize, paths: &mut Vec<Path>) -> Result<()> {
    for (leaf, steps) in flatten::paths(plan)? {
        let steps = simplify::simplify(steps);
        if let flatten::Leaf::Values { rows, .. } = &leaf {
            rows.iter().flatten().try_for_each(|expr| check_depth(expr, expr, 0))?;
        }
        for step in &steps {
            match step {
                Step::Filter(expr) | Step::Unnest { collection: expr, .. } => check_depth(expr, expr, 0)?,
                Step::Project { exprs, .. } => {
                    exprs.iter().try_for_each(|expr| check_depth(expr, expr, 0))?
                }
            }
        }
        paths.push(Path { leaf, steps, sink });
    }
    Ok(())
}

/// Expressions are evaluated by recursion on the stacks of shards.
const DEPTH_MAX: usize = 10_000;

fn check_depth(expr: &Expr, whole: &Expr, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        let message = format!("an expression is nested more than {DEPTH_MAX} levels deep");
        return Err(Diagnostic::error(Code::Syntax, message)
            .at(whole.span)
            .help("write a long chain of comparisons of one column as IN (…)"));
    }
    expr.children().into_iter().try_for_each(|child| check_depth(child, whole, depth + 1))
}

/// Paths that read the same leaf, together, in order of first use.
fn share_leaves(paths: Vec<Path>) -> Vec<(flatten::Leaf, Vec<(Vec<Step>, usize)>)> {
    let mut groups: Vec<(flatten::Leaf, Vec<(Vec<Step>, usize)>)> = Vec::new();
    for path in paths {
        let shared = groups.iter_mut().find(|(leaf, _)| leaf.same_input(&path.leaf));
        match shared {
            Some((_, members)) => members.push((path.steps, path.sink)),
            None => groups.push((path.leaf, vec![(path.steps, path.sink)])),
        }
    }
    groups
}

fn add_source(
    plan: &mut StreamPlan,
    leaf: flatten::Leaf,
    members: Vec<(Vec<Step>, usize)>,
    sink_inputs: &mut [Vec<NodeId>],
    registry: &Registry,
) -> Result<()> {
    let full = leaf.schema();
    let mut needed: Vec<usize> = Vec::new();
    for (steps, _) in &members {
        needed.extend(prune::leaf_columns(steps, full.len()));
    }
    needed.sort_unstable();
    needed.dedup();
    let mut filter = None;
    let mut branches = Vec::new();
    let alone = members.len() == 1;
    for (steps, sink) in members {
        let mut steps = prune::prune(steps, &needed, &full);
        if alone
            && matches!(steps.first(), Some(Step::Filter(predicate)) if predicate.is_deterministic())
            && let Step::Filter(predicate) = steps.remove(0)
        {
            filter = Some(predicate);
        }
        branches.push((steps, sink));
    }
    let schema = full.project(&needed);
    let source_id = plan.nodes.len();
    let node = source_node(leaf, needed, filter, plan, registry)?;
    let source_name = node.name.clone();
    plan.nodes.push(Node {
        stable_id: format!("source:{source_name}"),
        kind: NodeKind::Source(node),
        inputs: Vec::new(),
        ports: Vec::new(),
        schema: schema.clone(),
        changelog: ChangelogMode::Append,
        distribution: Distribution::Any,
    });
    for (steps, sink) in branches {
        let output = steps.iter().rev().find_map(Step::schema).unwrap_or(&schema).clone();
        let calc_id = plan.nodes.len();
        plan.nodes.push(Node {
            stable_id: calc_id_of(&source_name, &steps),
            kind: NodeKind::Calc(CalcNode { steps }),
            inputs: vec![source_id],
            ports: vec![Port::default()],
            schema: output,
            changelog: ChangelogMode::Append,
            distribution: Distribution::Any,
        });
        sink_inputs[sink].push(calc_id);
    }
    Ok(())
}

/// From what the steps compute, not from where they stand: FNV-1a over their text.
fn calc_id_of(source: &str, steps: &[Step]) -> String {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    let mut add = |text: String| {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    for step in steps {
        match step {
            Step::Filter(predicate) => add(format!("filter {predicate};")),
            Step::Project { exprs, .. } => exprs.iter().for_each(|expr| add(format!("project {expr};"))),
            Step::Unnest { collection, outer, ordinality, .. } => {
                add(format!("unnest {collection} {outer} {ordinality};"));
            }
        }
    }
    format!("calc:{source}:{hash:016x}")
}

fn source_node(
    leaf: flatten::Leaf,
    projection: Vec<usize>,
    filter: Option<Expr>,
    plan: &StreamPlan,
    registry: &Registry,
) -> Result<SourceNode> {
    let (input, base, bounded, span) = match leaf {
        flatten::Leaf::Table { table, watermark, span } => {
            let connector = registry.connector_of(&table)?;
            if !connector.reads() {
                return Err(guarantee::unsupported_use(&table, span, "read", connector.name()));
            }
            let (name, bounded) = (table.name.clone(), connector.is_bounded(&table));
            (SourceInput::Table { table, watermark }, name, bounded, span)
        }
        flatten::Leaf::Values { rows, .. } => {
            (SourceInput::Values(rows), "VALUES".to_string(), true, Span::default())
        }
    };
    let taken = |name: &str| plan.sources().any(|(_, source)| source.name == name);
    let mut name = base.clone();
    let mut count = 1;
    while taken(&name) {
        count += 1;
        name = format!("{base}#{count}");
    }
    Ok(SourceNode { name, input, projection, filter, bounded, watermark: None, span })
}

#[expect(clippy::too_many_arguments, reason = "one call, each argument a part of the node")]
fn add_sink(
    plan: &mut StreamPlan,
    target: SinkTarget,
    overwrite: bool,
    span: Span,
    schema: Schema,
    inputs: Vec<NodeId>,
    registry: &Registry,
    options: &Options,
) -> Result<()> {
    let base = match &target {
        SinkTarget::Table(table) => {
            let connector = registry.connector_of(table)?;
            if !connector.writes() {
                return Err(guarantee::unsupported_use(table, span, "written", connector.name()));
            }
            connector.validate_sink(table)?;
            if overwrite && !connector.overwrites() {
                return Err(guarantee::unsupported_use(table, span, "overwritten", connector.name()));
            }
            table.name.clone()
        }
        SinkTarget::Collect => "result".to_string(),
    };
    let mut name = base.clone();
    let mut count = 1;
    while plan.sinks().any(|(_, sink)| sink.name == name) {
        count += 1;
        name = format!("{base}#{count}");
    }
    let guarantee = guarantee::of(&target, registry, options)?;
    // What people watch comes from one writer, in the order of the input.
    let distribution = match guarantee {
        Guarantee::AtLeastOnceImmediate => Distribution::Single,
        Guarantee::AtLeastOnceAtEnd | Guarantee::Nothing => Distribution::Any,
    };
    let ports = vec![Port::default(); inputs.len()];
    plan.nodes.push(Node {
        stable_id: format!("sink:{name}"),
        kind: NodeKind::Sink(SinkNode { name, target, overwrite, guarantee, span }),
        inputs,
        ports,
        schema,
        changelog: ChangelogMode::Append,
        distribution,
    });
    Ok(())
}

impl Step {
    /// The columns after the step, if it changes them.
    pub fn schema(&self) -> Option<&Schema> {
        match self {
            Step::Filter(_) => None,
            Step::Project { schema, .. } | Step::Unnest { schema, .. } => Some(schema),
        }
    }
}
