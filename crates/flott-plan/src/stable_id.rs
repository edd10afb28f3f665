//! Ids made from what a node means: they survive a script that is edited elsewhere.
//!
//! ```text
//!   window aggregate │ TUMBLE(ts, 10 s) │ keys upper(name) │ SUM(price) │ from source:bids where price > 0
//!                    └──────────────────────── hashed ──────────────────────────────────────────────────┘
//! ```
//!
//! In an id: tables' names, expressions over their columns, types, the ids of what comes before. Not
//! in it: positions, aliases, the order of statements, what stands behind the node.

use std::collections::HashMap;

use flott_types::Schema;

use crate::{
    OperatorNode, OperatorShape, Step, StreamPlan,
    operator_text::{labelled, window_kind},
    shape::InputColumns,
};

/// What a node's rows mean.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// The node's id.
    pub id: String,
    /// Each column in terms of the nodes before.
    pub columns: Vec<String>,
    /// Who makes the rows: a source, or an operator by its frame.
    origin: String,
    /// What was done to them since.
    steps: String,
}

/// An operator's meaning to those behind it, and to its checkpoints.
#[derive(Debug, Clone)]
pub struct OperatorMeaning {
    /// To those behind it.
    pub meaning: Meaning,
    /// To its checkpoints; the id comes when all are known.
    pub shape: OperatorShape,
}

impl Meaning {
    /// A source.
    pub fn of_source(name: &str, schema: &Schema) -> Self {
        let columns = schema.fields.iter().map(|field| field.name.clone()).collect();
        let id = format!("source:{name}");
        Self { origin: id.clone(), id, columns, steps: String::new() }
    }

    /// What comes out of these steps.
    pub fn after(&self, steps: &[Step]) -> Self {
        let mut columns = self.columns.clone();
        let mut text = String::new();
        for step in steps {
            match step {
                Step::Filter(predicate) => {
                    text.push_str(&format!("where {};", labelled(predicate, &columns)));
                }
                Step::Project { exprs, .. } => {
                    columns = exprs.iter().map(|expr| labelled(expr, &columns)).collect();
                }
                Step::Unnest { collection, outer, ordinality, schema } => {
                    let what = labelled(collection, &columns);
                    text.push_str(&format!("unnest {what} {outer} {ordinality};"));
                    let added = schema.fields.iter().skip(columns.len());
                    let added: Vec<String> = added.map(|it| format!("{what}.{}", it.name)).collect();
                    columns.extend(added);
                }
                Step::Window { kind, offset_millis, time_column, .. } => {
                    let time = columns.get(*time_column).map_or("", String::as_str);
                    let window = window_kind(kind, *offset_millis, time);
                    text.push_str(&format!("window {window};"));
                    columns.extend(["start", "end", "time"].map(|it| format!("{window}.{it}")));
                }
                Step::Expand { absent, .. } => {
                    let names = |set: &Vec<usize>| -> Vec<&String> {
                        set.iter().filter_map(|&column| columns.get(column)).collect()
                    };
                    let sets: Vec<_> = absent.iter().map(names).collect();
                    text.push_str(&format!("without {sets:?};"));
                    columns.push("$set".to_string());
                }
                Step::FromChangelog { op_column, mapping, .. } => {
                    if *op_column < columns.len() {
                        text.push_str(&format!("changes by {} {mapping:?};", columns.remove(*op_column)));
                    }
                }
                Step::ToChangelog { mapping, .. } => {
                    text.push_str(&format!("changes as {mapping:?};"));
                    columns.insert(0, "$op".to_string());
                }
            }
        }
        // A calc keeps nothing, but its id tells two of them apart.
        let all = format!("{text}{}", columns.join(", "));
        let origin = self.id.strip_prefix("source:").unwrap_or(&self.id);
        Self {
            id: format!("calc:{origin}:{:016x}", hash(&all)),
            columns,
            origin: self.origin.clone(),
            steps: format!("{}{text}", self.steps),
        }
    }

    /// Rows of the same meaning, whatever columns are taken along.
    fn rows(&self) -> String {
        let steps = self.steps.trim_end_matches(';').replace(';', ", ");
        if steps.is_empty() { self.origin.clone() } else { format!("{} {steps}", self.origin) }
    }

    /// An operator over these inputs, given by their number.
    pub fn of_operator(node: &OperatorNode, inputs: &[(usize, Meaning, Schema)]) -> OperatorMeaning {
        let mut labels = [Vec::new(), Vec::new()];
        let mut typed = [Vec::new(), Vec::new()];
        let mut from = String::new();
        for (input, meaning, schema) in inputs {
            labels[*input] = meaning.columns.clone();
            let columns = meaning.columns.iter().zip(&schema.fields);
            typed[*input] = columns.map(|(name, field)| format!("{name} {}", field.data_type.kind)).collect();
            from.push_str(&format!("|{input} from {}", meaning.id));
        }
        let stateful = node.stateful();
        let parts: Vec<String> =
            stateful.describe(&typed).into_iter().map(|(what, how)| format!("{what} {how}")).collect();
        let name = node.name().replace(' ', "-");
        let id = format!("{name}:{:016x}", hash(&format!("{}{from}", parts.join("|"))));
        let owned = |parts: Vec<(&str, String)>| -> Vec<(String, String)> {
            parts.into_iter().map(|(what, how)| (what.to_string(), how)).collect()
        };
        let mut columns = [InputColumns::default(), InputColumns::default()];
        for (input, meaning, schema) in inputs {
            columns[*input] = InputColumns {
                typed: typed[*input].clone(),
                names: meaning.columns.clone(),
                types: schema.fields.iter().map(|field| field.data_type.clone()).collect(),
            };
        }
        let tables = stateful.tables(&columns);
        let mut frame = owned(stateful.frame(&typed));
        for (input, meaning, _) in inputs {
            let what = if node.inputs() > 1 { ["left input", "right input"][*input] } else { "input" };
            frame.push((what.to_string(), meaning.rows()));
        }
        // What those behind it must know to know what its rows are.
        let told = match stateful.columns_tell_all() {
            true => frame.clone(),
            false => owned(stateful.describe(&typed)).into_iter().chain(frame.clone()).collect(),
        };
        if tables.is_none() {
            let columns = typed.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
            frame.push(("columns".to_string(), columns));
        }
        let meaning = Self {
            origin: format!("{name}:{:016x}", hash(&format!("{told:?}"))),
            id,
            columns: stateful.columns(&labels),
            steps: String::new(),
        };
        let mut parts = owned(stateful.describe(&labels));
        parts.push(("keeps".to_string(), stateful.keeps().to_string()));
        let shape = OperatorShape {
            id: String::new(),
            name: node.name().to_string(),
            frame,
            parts,
            numbers: stateful.numbers().into_iter().map(|(what, it)| (what.to_string(), it)).collect(),
            tables,
        };
        OperatorMeaning { meaning, shape }
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    text.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

/// Nodes that mean the same are told apart by their number.
pub fn make_unique(plan: &mut StreamPlan) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for node in &mut plan.nodes {
        let count = seen.entry(node.stable_id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            node.stable_id = format!("{}#{count}", node.stable_id);
        }
    }
}
