//! What an operator's state means, written into checkpoints, so that a script that was changed knows which
//! of it is still its own.
//!
//! ```text
//!   frame    keys k INT │ input source:bids where price > 0     must be the same: the state means that
//!   parts    computes COUNT(*), SUM(price)                      may differ
//!   tables   groups: [COUNT(*), SUM(price), $touched]           columns are found again by what they mean
//! ```
//! In a frame: expressions over the tables' columns, types, what comes before. Not in it: names of views,
//! positions, the order of statements, what stands behind the operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use flott_types::{DataType, TypeKind};

use crate::{NodeKind, StreamPlan};

/// The columns of an operator's input.
#[derive(Debug, Clone, Default)]
pub struct InputColumns {
    /// What each means, and its type.
    pub typed: Vec<String>,
    /// What each means.
    pub names: Vec<String>,
    /// The types.
    pub types: Vec<DataType>,
}

impl InputColumns {
    /// The columns of rows that are kept beside their keys: all but the key's, of which floats are kept
    /// (a key knows one zero only), and but those that have columns of their own.
    pub fn beside(&self, keys: &[usize], own: &[usize]) -> Vec<String> {
        let is_float = |at: usize| {
            self.types.get(at).is_some_and(|it| matches!(it.kind, TypeKind::Float | TypeKind::Double))
        };
        let kept = |at: &usize| (!keys.contains(at) || is_float(*at)) && !own.contains(at);
        self.named((0..self.typed.len()).filter(kept))
    }
    /// What these columns mean.
    pub fn named(&self, columns: impl IntoIterator<Item = usize>) -> Vec<String> {
        columns.into_iter().filter_map(|at| self.typed.get(at).cloned()).collect()
    }
    /// Whether a column is a time of milliseconds.
    pub fn is_millis(&self, at: usize) -> bool {
        let kind = self.types.get(at).map(|it| &it.kind);
        matches!(kind, Some(TypeKind::Timestamp(0..=3) | TypeKind::TimestampLtz(0..=3)))
    }
}

/// What an operator is, as far as its state goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorShape {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What must be the same for its state to mean the same: what, and how.
    pub frame: Vec<(String, String)>,
    /// What it does, for people.
    pub parts: Vec<(String, String)>,
    /// Numbers of its definition that its state depends on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// The tables behind its state. None: its state serves only an operator that is exactly the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<StateTable>>,
}

/// A table of an operator's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTable {
    /// Its name in checkpoints.
    pub name: String,
    /// What is in it: by this it is found again.
    pub means: String,
    /// It may begin empty beside others that don't.
    #[serde(default)]
    pub begins: bool,
    /// How many key columns stand before the values.
    pub keys: usize,
    /// The columns behind the keys.
    pub columns: Vec<StateValue>,
}

/// A column of a state's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateValue {
    /// What is in it: by this it is found again.
    pub means: String,
    /// Where it comes from if the checkpoint has no such column.
    #[serde(default)]
    pub begins: Begins,
    /// What people call it, if not by what it means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// A column of bits, one for each of these: with a single one there is no column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bits: Vec<String>,
    /// A column of whole rows: what their columns mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// How a column of state begins that a checkpoint doesn't have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begins {
    /// Not at all: without it the state can't be used.
    #[default]
    Never,
    /// With its first value: as of a group that nothing was added to.
    Anew,
    /// With the time of the start.
    Now,
}

impl StateValue {
    /// A column that must be there.
    pub fn kept(means: impl Into<String>) -> Self {
        let (bits, fields) = (Vec::new(), Vec::new());
        Self { means: means.into(), begins: Begins::Never, label: String::new(), bits, fields }
    }
    /// Rows of these columns.
    pub fn rows(fields: Vec<String>) -> Self {
        Self { fields, ..Self::kept("$rows of columns") }
    }
    /// A column that may begin anew.
    pub fn beginning(means: impl Into<String>) -> Self {
        Self { begins: Begins::Anew, ..Self::kept(means) }
    }
    /// When a key was last touched.
    pub fn touched() -> Self {
        Self { begins: Begins::Now, ..Self::kept("$touched") }
    }
    /// Whether people know it.
    pub fn is_hidden(&self) -> bool {
        self.means.starts_with('$')
    }
    /// What people call it.
    pub fn says(&self) -> &str {
        if self.label.is_empty() { &self.means } else { &self.label }
    }
    /// Whether it is a column at all.
    pub fn is_there(&self) -> bool {
        self.bits.len() != 1
    }
}

impl StateTable {
    /// A table.
    pub fn new(name: impl Into<String>, keys: usize, columns: Vec<StateValue>) -> Self {
        let name = name.into();
        Self { means: name.clone(), name, begins: false, keys, columns }
    }
}

/// What a plan is, as far as its checkpoints depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanShape {
    /// What keeps state, inputs before users.
    pub operators: Vec<OperatorShape>,
    /// What is read, in the plan's order.
    pub sources: Vec<String>,
    /// What is written, in the plan's order.
    pub sinks: Vec<String>,
    /// For each operator and sink the sources whose rows come to it.
    pub reads: BTreeMap<String, Vec<String>>,
}

impl PlanShape {
    /// Of a plan.
    pub fn of(plan: &StreamPlan) -> Self {
        let mut shape = Self::default();
        let mut behind: Vec<Vec<String>> = Vec::with_capacity(plan.nodes.len());
        for (id, node) in plan.nodes.iter().enumerate() {
            let inputs = node.inputs.iter().filter_map(|input| behind.get(*input)).flatten();
            let mut reads: Vec<String> = inputs.cloned().collect();
            match &node.kind {
                NodeKind::Source(source) => {
                    reads.push(source.name.clone());
                    shape.sources.push(source.name.clone());
                }
                NodeKind::Operator(_) => {
                    let of = plan.shapes.get(&id).cloned().unwrap_or_default();
                    shape.operators.push(OperatorShape { id: node.stable_id.clone(), ..of });
                }
                NodeKind::Sink(sink) => shape.sinks.push(sink.name.clone()),
                NodeKind::Calc(_) => {}
            }
            reads.sort_unstable();
            reads.dedup();
            if matches!(node.kind, NodeKind::Operator(_) | NodeKind::Sink(_)) {
                shape.reads.insert(node.stable_id.clone(), reads.clone());
            }
            behind.push(reads);
        }
        shape
    }
}
