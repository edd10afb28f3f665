//! Statements to a [`StreamPlan`].
//!
//! ```text
//!   INSERT a ─┐             ┌─ prune ─► event time ─► nodes: Source, Calc, Operator, Sink
//!   INSERT b ─┴─ flatten ───┘           of sources    (inputs first)
//! ```

use flott_connector::{Changelog, Registry, SinkGuarantee};
use flott_expr::Expr;
use flott_sql::{Insert, LogicalPlan, OnConflict};
use flott_types::{Code, Diagnostic, Options, Result, Schema, Span};

use crate::{
    CalcNode, ChangelogMode, Distribution, Exchange, Node, NodeId, NodeKind, Pipeline, Port, Promise,
    SinkNode, SinkTarget, SourceInput, SourceNode, Step, StreamPlan,
    changelog::{self, Wanted, key_columns},
    distinct_split, event_time,
    flatten::Flatten,
    graph::{Branch, Graph, Leaf, Operator, Producer},
    guarantee, lookup_join,
    materialize::{self, SinkRules},
    origin,
    prune::prune,
    rank, regular_join, source_name,
    stable_id::{self, Meaning, OperatorMeaning},
};

/// A sink to be.
struct Target {
    target: SinkTarget,
    overwrite: bool,
    span: Span,
    schema: Schema,
    on_conflict: Option<OnConflict>,
}

impl Target {
    /// Which changes it takes.
    fn wanted(&self, registry: &Registry) -> Result<Wanted> {
        Ok(match &self.target {
            SinkTarget::Table(table) => {
                let connector = registry.connector_of(table)?;
                // Where rows are thrown away, none is in the way of another.
                let discards = connector.sink_guarantee(table) == SinkGuarantee::Discards;
                Wanted {
                    name: table.name.clone(),
                    changelog: connector.sink_changelog(table, registry)?,
                    key: if discards { Vec::new() } else { key_columns(table) },
                    on_conflict: self.on_conflict,
                    span: self.span,
                }
            }
            SinkTarget::Collect => Wanted {
                name: "result".to_string(),
                changelog: Changelog::Retract,
                key: Vec::new(),
                on_conflict: None,
                span: self.span,
            },
        })
    }
}

/// Plans statements that run together. What several of them read or compute is read or computed
/// once.
///
/// # Errors
/// What a connector says about a table: `UnsupportedUse`, `UnknownConnector`, …; `NotSupported`
pub fn plan(pipeline: &Pipeline, registry: &Registry, options: &Options) -> Result<StreamPlan> {
    let batch = has_word(options, "execution.runtime-mode", "BATCH");
    let mut flatten = Flatten {
        distinct_buckets: distinct_split::buckets(options)?,
        state_ttl: state_ttl(options)?,
        batch,
        lookup: lookup_join::defaults(options)?,
        ..Flatten::default()
    };
    let plans: Vec<&LogicalPlan> = match pipeline {
        Pipeline::Query(query) => vec![query],
        Pipeline::Inserts(inserts) => inserts.iter().map(|insert| &insert.plan).collect(),
    };
    if !batch {
        plans.iter().try_for_each(|plan| regular_join::check_windows(plan))?;
    }
    flatten.normalize = materialize::sources_to_normalize(plans.into_iter(), registry, options)?;
    let (mut targets, mut branches) = (Vec::new(), Vec::new());
    match pipeline {
        Pipeline::Query(query) => {
            branches.push(flatten.branches(query)?);
            let (target, schema) = (SinkTarget::Collect, query.schema());
            let span = Span::default();
            targets.push(Target { target, overwrite: false, span, schema, on_conflict: None });
        }
        Pipeline::Inserts(inserts) => {
            check_overwrites(inserts)?;
            for insert in inserts {
                branches.push(flatten.branches(&insert.plan)?);
                let (target, schema) = (SinkTarget::Table(insert.sink.clone()), insert.plan.schema());
                let Insert { overwrite, span, on_conflict, .. } = *insert;
                targets.push(Target { target, overwrite, span, schema, on_conflict });
            }
        }
    }
    let mut graph = std::mem::take(&mut flatten.graph);
    lookup_join::check(&graph, registry)?;
    rank::forget_unread_ranks(&mut graph, &branches);
    let wanted = targets.iter().map(|it| it.wanted(registry)).collect::<Result<Vec<_>>>()?;
    let mut says = changelog::infer(&mut graph, &branches, &wanted, registry, batch)?;
    let rules = SinkRules::of(options, flatten.state_ttl)?;
    if !batch && rules.materialize(&mut graph, &mut branches, &wanted, &says)? {
        says = changelog::infer(&mut graph, &branches, &wanted, registry, batch)?;
    }
    let event_time = match batch {
        // All rows are there before the first window closes: none is late.
        true => vec![false; graph.producers.len()],
        false => event_time::needed(&graph, &branches)?,
    };
    origin::carry(&mut graph, &mut branches, &event_time);
    let kept = prune(&mut graph, &mut branches, &event_time);
    let filters = take_filters(&mut graph, &mut branches, &event_time);
    let mut build = Build {
        plan: StreamPlan::default(),
        producers: Vec::new(),
        registry,
        options,
        modes: says.into_iter().map(|it| it.mode).collect(),
        two_phase: !has_word(options, "table.optimizer.agg-phase-strategy", "ONE_PHASE"),
        row_by_row: options.boolean("table.exec.mini-batch.enabled")? == Some(false),
    };
    let names = source_name::of_leaves(&graph);
    let leaves = kept.into_iter().zip(filters).zip(event_time).zip(names);
    for (producer, (((columns, filter), event_time), name)) in graph.producers.into_iter().zip(leaves) {
        match producer {
            Producer::Leaf(leaf) => build.source(leaf, name, columns, filter, event_time)?,
            Producer::Operator(operator) => build.operator(*operator),
        }
    }
    for (target, branches) in targets.into_iter().zip(branches) {
        build.sink(target, branches)?;
    }
    stable_id::make_unique(&mut build.plan);
    Ok(build.plan)
}

/// `table.exec.state.ttl`; 0 is for ever.
fn state_ttl(options: &Options) -> Result<Option<i64>> {
    let ttl = options.duration("table.exec.state.ttl")?;
    Ok(ttl.and_then(|ttl| i64::try_from(ttl.as_millis()).ok()).filter(|millis| *millis > 0))
}

fn has_word(options: &Options, key: &str, word: &str) -> bool {
    options.get(key).is_some_and(|value| value.eq_ignore_ascii_case(word))
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

/// Takes the predicate that stands first behind a leaf whose rows nobody else wants: the decoder
/// can apply it. Not where rows move event time on, whether they are kept or not.
fn take_filters(graph: &mut Graph, sinks: &mut [Vec<Branch>], event_time: &[bool]) -> Vec<Option<Expr>> {
    let mut users: Vec<Vec<&mut Branch>> = graph.producers.iter().map(|_| Vec::new()).collect();
    let is_leaf: Vec<bool> = graph.producers.iter().map(|it| matches!(it, Producer::Leaf(_))).collect();
    let inside = graph.producers.iter_mut().filter_map(|producer| match producer {
        Producer::Operator(operator) => Some(operator.inputs.iter_mut().map(|(_, branch)| branch)),
        Producer::Leaf(_) => None,
    });
    for branch in inside.flatten().chain(sinks.iter_mut().flatten()) {
        users[branch.producer].push(branch);
    }
    let take = |(at, users): (usize, Vec<&mut Branch>)| -> Option<Expr> {
        let [branch] = <[&mut Branch; 1]>::try_from(users).ok()?;
        match branch.steps.first() {
            Some(Step::Filter(predicate))
                if predicate.is_deterministic() && is_leaf[at] && !event_time[at] =>
            {
                let predicate = predicate.clone();
                branch.steps.remove(0);
                Some(predicate)
            }
            _ => None,
        }
    };
    users.into_iter().enumerate().map(take).collect()
}

/// What is known of a producer's node.
struct Built {
    node: NodeId,
    meaning: Meaning,
}

/// A plan on its way. Producers come in order, so that inputs stand before their users.
struct Build<'a> {
    plan: StreamPlan,
    producers: Vec<Built>,
    /// What each producer's rows say.
    modes: Vec<ChangelogMode>,
    registry: &'a Registry,
    options: &'a Options,
    two_phase: bool,
    /// Every change of a result is told by itself.
    row_by_row: bool,
}

impl Build<'_> {
    fn add(&mut self, node: Node) -> NodeId {
        self.plan.nodes.push(node);
        self.plan.nodes.len() - 1
    }

    /// What a producer's rows say.
    fn mode(&self, producer: usize) -> ChangelogMode {
        self.modes.get(producer).copied().unwrap_or_default()
    }

    fn source(
        &mut self,
        leaf: Leaf,
        name: String,
        projection: Vec<usize>,
        filter: Option<Expr>,
        event_time: bool,
    ) -> Result<()> {
        let schema = leaf.schema().project(&projection);
        let mut projection = projection;
        let watermark = match &leaf {
            Leaf::Table { table, time: Some(time), .. } if event_time => {
                // Where a row came from is no column of the table.
                projection.retain(|&column| column < table.columns.len());
                Some(event_time::watermark(table, time, &projection)?)
            }
            _ => None,
        };
        let name = free_name(&name, |name| self.plan.sources().any(|(_, source)| source.name == name));
        let mut rows = None;
        let (input, bounded, span) = match leaf {
            Leaf::Table { table, watermark, span, .. } => {
                let connector = self.registry.connector_of(&table)?;
                if !connector.reads() {
                    return Err(guarantee::unsupported_use(&table, span, "read", connector.name()));
                }
                connector.validate_source(&table)?;
                let bounded = connector.is_bounded(&table);
                (SourceInput::Table { table, watermark }, bounded, span)
            }
            Leaf::Values { rows: values, .. } => {
                rows = Some(source_name::of_values(&values));
                (SourceInput::Values(values), true, Span::default())
            }
        };
        let meaning = Meaning::of_source(&name, rows.as_deref(), &schema);
        // What keeps state behind it is another operator if other rows come to it.
        let behind = match &filter {
            Some(filter) => meaning.after(&[Step::Filter(filter.clone())]),
            None => meaning.clone(),
        };
        let node = self.add(Node {
            stable_id: meaning.id.clone(),
            kind: NodeKind::Source(SourceNode { name, input, projection, filter, bounded, watermark, span }),
            inputs: Vec::new(),
            ports: Vec::new(),
            schema,
            changelog: self.mode(self.producers.len()),
            distribution: Distribution::Any,
        });
        self.producers.push(Built { node, meaning: behind });
        Ok(())
    }

    /// The calc of a branch, with what its columns mean.
    fn calc(&mut self, branch: Branch) -> (NodeId, Meaning) {
        let built = &self.producers[branch.producer];
        let (input, meaning) = (built.node, built.meaning.after(&branch.steps));
        let schema = Step::output(&branch.steps, &self.plan.nodes[input].schema).clone();
        let changelog = changelog::after(self.plan.nodes[input].changelog, &branch.steps);
        let node = self.add(Node {
            stable_id: meaning.id.clone(),
            kind: NodeKind::Calc(CalcNode { steps: branch.steps }),
            inputs: vec![input],
            ports: vec![Port::default()],
            schema,
            changelog,
            distribution: self.plan.nodes[input].distribution,
        });
        (node, meaning)
    }

    fn operator(&mut self, operator: Operator) {
        let Operator { node, inputs: branches, schema, origins } = operator;
        let (mut inputs, mut ports, mut meanings) = (Vec::new(), Vec::new(), Vec::new());
        // A late row is told of by its record, which a partial result has no more.
        let gathers = !(self.row_by_row && matches!(node, crate::OperatorNode::GroupAggregate(_)));
        let two_phase = self.two_phase && gathers && node.has_two_phases() && origins == [None; 2];
        for (input, branch) in branches {
            let (calc, meaning) = self.calc(branch);
            inputs.push(calc);
            ports.push(Port { input, exchange: node.exchange(input), two_phase });
            meanings.push((input, meaning, self.plan.nodes[calc].schema.clone()));
        }
        let single = ports.iter().any(|port| port.exchange == Exchange::Single);
        let stays = ports.iter().all(|port| port.exchange == Exchange::Forward);
        let distribution = match inputs.first() {
            Some(&input) if stays => self.plan.nodes[input].distribution,
            _ if single => Distribution::Single,
            _ => Distribution::Hash,
        };
        let OperatorMeaning { meaning, shape } = Meaning::of_operator(&node, &meanings);
        let node = self.add(Node {
            stable_id: meaning.id.clone(),
            kind: NodeKind::Operator(node),
            inputs,
            ports,
            schema,
            changelog: self.mode(self.producers.len()),
            distribution,
        });
        self.plan.shapes.insert(node, shape);
        self.producers.push(Built { node, meaning });
    }

    fn sink(&mut self, to: Target, branches: Vec<Branch>) -> Result<()> {
        let Target { target, overwrite, span, schema, on_conflict: _ } = to;
        let mut upsert_key = None;
        let base = match &target {
            SinkTarget::Table(table) => {
                let connector = self.registry.connector_of(table)?;
                if !connector.writes() {
                    return Err(guarantee::unsupported_use(table, span, "written", connector.name()));
                }
                connector.validate_sink(table)?;
                if connector.sink_changelog(table, self.registry)? == Changelog::Upsert {
                    upsert_key = Some(key_columns(table));
                }
                if overwrite && !connector.overwrites() {
                    return Err(guarantee::unsupported_use(table, span, "overwritten", connector.name()));
                }
                table.name.clone()
            }
            SinkTarget::Collect => "result".to_string(),
        };
        let name = free_name(&base, |name| self.plan.sinks().any(|(_, sink)| sink.name == name));
        let inputs: Vec<NodeId> = branches.into_iter().map(|branch| self.calc(branch).0).collect();
        let evidence = guarantee::Evidence {
            plan: &self.plan,
            inputs: &inputs,
            overwrite,
            span,
            registry: self.registry,
            options: self.options,
        };
        let guarantee = guarantee::of(&target, &name, &evidence)?;
        let all = inputs.iter().map(|&input| self.plan.nodes[input].changelog);
        let changelog = all.reduce(ChangelogMode::and).unwrap_or_default();
        // Of rows with the same key the latest counts.
        let latest_counts = upsert_key.as_ref().is_some_and(|key| !key.is_empty());
        let upsert_key = upsert_key.filter(|_| changelog.before);
        // Changes that no operator has brought to the shard of their key: only one writer keeps their order.
        let from_source = |&input: &NodeId| {
            let calc = &self.plan.nodes[input];
            let source = |&it: &NodeId| matches!(self.plan.nodes[it].kind, NodeKind::Source(_));
            let NodeKind::Calc(CalcNode { steps }) = &calc.kind else { return false };
            let shows_changes = steps.iter().any(|step| matches!(step, Step::ToChangelog { .. }));
            (shows_changes || latest_counts || !calc.changelog.is_append()) && calc.inputs.iter().any(source)
        };
        // What people watch comes from one writer, in the order of the input.
        let distribution = match guarantee.promise {
            _ if inputs.iter().any(from_source) => Distribution::Single,
            Promise::AtLeastOnceImmediate | Promise::AtMostOnceImmediate | Promise::NeitherImmediate => {
                Distribution::Single
            }
            Promise::ExactlyOnce
            | Promise::ExactlyOnceAtEnd
            | Promise::AtLeastOnce
            | Promise::AtMostOnce
            | Promise::AtMostOnceAtEnd
            | Promise::AtLeastOnceAtEnd
            | Promise::Neither
            | Promise::Nothing => Distribution::Any,
        };
        let ports = vec![Port::default(); inputs.len()];
        self.add(Node {
            stable_id: format!("sink:{name}"),
            kind: NodeKind::Sink(SinkNode { name, target, overwrite, upsert_key, guarantee, span }),
            inputs,
            ports,
            schema,
            changelog,
            distribution,
        });
        Ok(())
    }
}

/// The name, or with a number behind it if it is taken.
fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = base.to_string();
    let mut count = 1;
    while taken(&name) {
        count += 1;
        name = format!("{base}#{count}");
    }
    name
}
