//! The plan as the engine sees it: producers, consumers, and the edges between them.
//!
//! ```text
//!   sources ──edge──► operators ──edge──► operators ──edge──► sinks
//!      └─────────────────────edge──────────────────────────────►┘
//! ```
//! An edge is the stateless steps between two of them; rows are counted on edges.

use std::collections::BTreeSet;

use flott_plan::{Exchange, NodeId, NodeKind, OperatorNode, SinkNode, SourceNode, Step, StreamPlan};
use flott_types::{Code, Diagnostic, Result, Schema};

/// Who an edge gets rows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Producer {
    /// A source.
    Source(usize),
    /// An operator.
    Operator(usize),
}

/// Who an edge gives rows to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// A sink.
    Sink(usize),
    /// An input of an operator.
    Operator(usize, usize),
}

/// An edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Where rows come from.
    pub producer: Producer,
    /// What is done to them.
    pub steps: Vec<Step>,
    /// Where they go.
    pub consumer: Consumer,
    /// How they get there.
    pub exchange: Exchange,
    /// They are aggregated on their shard first.
    pub two_phase: bool,
    /// The columns behind the steps.
    pub schema: Schema,
}

/// An operator.
#[derive(Debug, Clone)]
pub struct OperatorSpec {
    /// What it does.
    pub node: OperatorNode,
    /// Names its state.
    pub stable_id: String,
    /// Its name in the accounting.
    pub name: String,
    /// The columns of each input.
    pub inputs: Vec<Schema>,
    /// Its output's columns.
    pub schema: Schema,
}

/// The plan's parts.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// What is read, with the node's id.
    pub sources: Vec<(NodeId, SourceNode)>,
    /// What keeps state, inputs before users.
    pub operators: Vec<OperatorSpec>,
    /// What is written, with the node's id.
    pub sinks: Vec<(NodeId, SinkNode)>,
    /// What connects them.
    pub edges: Vec<Edge>,
}

impl Topology {
    /// Of a plan.
    ///
    /// # Errors
    /// `Internal`: a plan that can't be run.
    pub fn of(plan: &StreamPlan) -> Result<Self> {
        let mut out = Self {
            sources: plan.sources().map(|(id, node)| (id, node.clone())).collect(),
            sinks: plan.sinks().map(|(id, node)| (id, node.clone())).collect(),
            ..Self::default()
        };
        let mut operators = Vec::new();
        for (id, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Operator(operator) = &node.kind else { continue };
            let base = operator.name();
            let before = out.operators.iter().filter(|it| it.node.name() == base).count();
            let name = if before == 0 { base.to_string() } else { format!("{base}#{}", before + 1) };
            let mut inputs = vec![Schema::default(); operator.inputs()];
            for (&input, port) in node.inputs.iter().zip(&node.ports) {
                if let Some(schema) = inputs.get_mut(port.input) {
                    *schema = plan.nodes[input].schema.clone();
                }
            }
            operators.push(id);
            out.operators.push(OperatorSpec {
                node: operator.clone(),
                stable_id: node.stable_id.clone(),
                name,
                inputs,
                schema: node.schema.clone(),
            });
        }
        for (id, node) in plan.nodes.iter().enumerate() {
            let sink = out.sinks.iter().position(|(sink, _)| *sink == id);
            let operator = operators.iter().position(|operator| *operator == id);
            for (at, &input) in node.inputs.iter().enumerate() {
                let port = node.ports.get(at).cloned().unwrap_or_default();
                let consumer = match (sink, operator) {
                    (Some(sink), _) => Consumer::Sink(sink),
                    (None, Some(operator)) => Consumer::Operator(operator, port.input),
                    (None, None) => continue,
                };
                let (steps, from) = match &plan.nodes[input].kind {
                    NodeKind::Calc(calc) => (calc.steps.clone(), plan.nodes[input].inputs.clone()),
                    _ => (Vec::new(), vec![input]),
                };
                for from in from {
                    out.edges.push(Edge {
                        producer: producer(from, &out.sources, &operators)?,
                        steps: steps.clone(),
                        consumer,
                        exchange: port.exchange.clone(),
                        two_phase: port.two_phase,
                        schema: plan.nodes[input].schema.clone(),
                    });
                }
            }
        }
        Ok(out)
    }

    /// A producer's name in the accounting.
    pub fn producer_name(&self, producer: Producer) -> &str {
        match producer {
            Producer::Source(at) => &self.sources[at].1.name,
            Producer::Operator(at) => &self.operators[at].name,
        }
    }

    /// A consumer's name in the accounting.
    pub fn consumer_name(&self, consumer: Consumer) -> &str {
        match consumer {
            Consumer::Sink(at) => &self.sinks[at].1.name,
            Consumer::Operator(at, _) => &self.operators[at].name,
        }
    }

    /// The sinks that get what these consumers make of their rows, in their order.
    pub fn sinks_behind(&self, consumers: impl IntoIterator<Item = Consumer>) -> Vec<String> {
        let (mut sinks, mut operators) = (BTreeSet::new(), BTreeSet::new());
        let mut todo: Vec<Consumer> = consumers.into_iter().collect();
        while let Some(consumer) = todo.pop() {
            match consumer {
                Consumer::Sink(at) => {
                    sinks.insert(at);
                }
                Consumer::Operator(at, _) if operators.insert(at) => {
                    let behind = self.edges.iter().filter(|it| it.producer == Producer::Operator(at));
                    todo.extend(behind.map(|it| it.consumer));
                }
                Consumer::Operator(..) => {}
            }
        }
        sinks.into_iter().filter_map(|at| Some(self.sinks.get(at)?.1.name.clone())).collect()
    }

    /// A producer's name in checkpoints.
    pub fn producer_id(&self, producer: Producer) -> String {
        match producer {
            Producer::Source(at) => format!("source:{}", self.sources[at].1.name),
            Producer::Operator(at) => self.operators[at].stable_id.clone(),
        }
    }

    /// The sources whose rows an edge's producer depends on: the first one, for messages.
    pub fn source_behind(&self, producer: Producer) -> Option<usize> {
        match producer {
            Producer::Source(at) => Some(at),
            Producer::Operator(_) => None,
        }
    }
}

fn producer(id: NodeId, sources: &[(NodeId, SourceNode)], operators: &[NodeId]) -> Result<Producer> {
    let source = sources.iter().position(|(source, _)| *source == id).map(Producer::Source);
    let operator = || operators.iter().position(|operator| *operator == id).map(Producer::Operator);
    source.or_else(operator).ok_or_else(|| Diagnostic::error(Code::Internal, "an edge that begins nowhere"))
}
