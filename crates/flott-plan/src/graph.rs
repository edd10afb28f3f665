//! A pipeline while it is planned: producers of rows, and branches that lead from them.
//!
//! ```text
//!   Leaf t ─ steps ─┐
//!   Leaf u ─ steps ─┴─► Operator ─ steps ─► Operator ─ steps ─► (a sink)
//!   producer 0, 1       producer 2          producer 3
//! ```
//!
//! A producer stands behind all that it reads. Producers that mean the same are one: a table that is
//! read twice, a view with an aggregation that is used twice.

use std::{collections::HashMap, fmt::Write};

use flott_expr::{Expr, ExprKind};
use flott_sql::WatermarkDef;
use flott_types::{DataType, Field, Schema, Span, TableDescription};

use crate::{OperatorNode, Step, origin::ORIGIN};

/// Where rows come from, outside the pipeline.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a handful in a plan")]
pub enum Leaf {
    /// A table. The watermark is over the columns that the connector reads.
    Table {
        table: TableDescription,
        watermark: Option<WatermarkDef>,
        time: Option<EventTime>,
        /// A last column tells where a row came from.
        origin: bool,
        span: Span,
    },
    /// Constant rows.
    Values { rows: Vec<Vec<Expr>>, schema: Schema },
}

/// A table's event time over the columns that the connector reads, computed columns inlined.
#[derive(Debug, Clone)]
pub struct EventTime {
    /// The time column.
    pub time: Expr,
    /// The watermark of a row.
    pub watermark: Expr,
}

impl Leaf {
    /// All columns.
    pub fn schema(&self) -> Schema {
        match self {
            Leaf::Table { table, origin, .. } => {
                let mut schema = table.schema();
                schema.fields.extend(origin.then(|| Field::new(ORIGIN, DataType::bytes())));
                schema
            }
            Leaf::Values { schema, .. } => schema.clone(),
        }
    }
    /// Whether both read the same input with the same options, so that one scan serves both.
    fn same_input(&self, other: &Leaf) -> bool {
        match (self, other) {
            (Leaf::Table { table: a, .. }, Leaf::Table { table: b, .. }) => {
                let values = |table: &TableDescription| -> Vec<(String, String)> {
                    table.options.iter().map(|(key, entry)| (key.to_string(), entry.value.clone())).collect()
                };
                a.name == b.name && a.columns == b.columns && values(a) == values(b)
            }
            _ => false,
        }
    }
}

/// An operator and what it reads.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What it does. Positions are in the branches' output.
    pub node: OperatorNode,
    /// The branches into it, and which of its inputs each is.
    pub inputs: Vec<(usize, Branch)>,
    /// Its output.
    pub schema: Schema,
    /// For each of its inputs, the column that tells where a row came from.
    pub origins: [Option<usize>; 2],
}

/// Who makes rows.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a handful in a plan")]
pub enum Producer {
    /// A source.
    Leaf(Leaf),
    /// An operator.
    Operator(Box<Operator>),
}

impl Producer {
    /// All columns.
    pub fn schema(&self) -> Schema {
        match self {
            Producer::Leaf(leaf) => leaf.schema(),
            Producer::Operator(operator) => operator.schema.clone(),
        }
    }
}

/// The rows of a producer after some steps.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Position in [`Graph::producers`].
    pub producer: usize,
    /// The steps.
    pub steps: Vec<Step>,
}

/// Producers, each behind those it reads.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    /// The producers.
    pub producers: Vec<Producer>,
    operators: HashMap<String, usize>,
}

impl Graph {
    /// The producer that reads this.
    pub fn leaf(&mut self, leaf: Leaf) -> usize {
        for (at, producer) in self.producers.iter_mut().enumerate() {
            if let Producer::Leaf(known) = producer
                && known.same_input(&leaf)
            {
                // A scan that says nothing of event time serves one that does.
                if let (Leaf::Table { time: known, .. }, Leaf::Table { time: Some(time), .. }) = (known, leaf)
                {
                    known.get_or_insert(time);
                }
                return at;
            }
        }
        self.add(Producer::Leaf(leaf))
    }

    /// The producer that does this.
    pub fn operator(&mut self, operator: Operator) -> usize {
        let meaning = meaning_of(&operator);
        if let Some(&known) = self.operators.get(&meaning) {
            return known;
        }
        let at = self.add(Producer::Operator(Box::new(operator)));
        self.operators.insert(meaning, at);
        at
    }

    fn add(&mut self, producer: Producer) -> usize {
        self.producers.push(producer);
        self.producers.len() - 1
    }

    /// The columns that come out of a branch.
    pub fn output(&self, branch: &Branch) -> Schema {
        let producer = || self.producers.get(branch.producer).map(Producer::schema).unwrap_or_default();
        branch.steps.iter().rev().find_map(Step::schema).cloned().unwrap_or_else(producer)
    }
}

/// Equal for operators that do the same with the same rows, whatever their columns are called.
fn meaning_of(operator: &Operator) -> String {
    let mut node = operator.node.clone();
    node.stateful_mut().exprs_mut().into_iter().for_each(anonymous);
    let mut out = format!("{node:?}");
    for (input, branch) in &operator.inputs {
        let _ = write!(out, "|{input} from {}", branch.producer);
        for step in &branch.steps {
            let mut step = step.clone();
            match &mut step {
                Step::Filter(expr) => anonymous(expr),
                Step::Project { exprs, schema } => {
                    exprs.iter_mut().for_each(anonymous);
                    nameless(schema);
                }
                Step::Unnest { collection, schema, .. } => {
                    anonymous(collection);
                    nameless(schema);
                }
                Step::Window { schema, .. }
                | Step::Expand { schema, .. }
                | Step::FromChangelog { schema, .. }
                | Step::ToChangelog { schema, .. } => nameless(schema),
            }
            let _ = write!(out, ";{step:?}");
        }
    }
    out
}

/// The expression without names and places.
fn anonymous(expr: &mut Expr) {
    expr.walk_mut(&mut |node| {
        node.span = Span::default();
        if let ExprKind::Column { name, .. } = &mut node.kind {
            name.clear();
        }
    });
}

fn nameless(schema: &mut Schema) {
    schema.fields.iter_mut().for_each(|field| field.name.clear());
}

/// Whether two expressions over the same columns compute the same.
pub fn same_expr(a: &Expr, b: &Expr) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    anonymous(&mut a);
    anonymous(&mut b);
    a == b
}
