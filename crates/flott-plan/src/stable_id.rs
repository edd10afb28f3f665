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

use flott_types::{DataType, Schema};

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
    /// Each column in terms of the nodes before: for ids.
    pub columns: Vec<String>,
    /// The same, and behind a join the side that it comes from: for what checkpoints say.
    origins: Vec<String>,
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
    /// A source. `rows`: what it reads, if its name doesn't say it.
    pub fn of_source(name: &str, rows: Option<&str>, schema: &Schema) -> Self {
        let columns: Vec<String> = schema.fields.iter().map(|field| field.name.clone()).collect();
        let id = format!("source:{name}");
        let origin = rows.map_or_else(|| id.clone(), |rows| format!("{id} {rows}"));
        Self { origin, id, origins: columns.clone(), columns, steps: String::new() }
    }

    /// What comes out of these steps.
    pub fn after(&self, steps: &[Step]) -> Self {
        let (columns, text) = passed(&self.columns, steps);
        let (origins, done) = passed(&self.origins, steps);
        // A calc keeps nothing, but its id tells two of them apart.
        let all = format!("{text}{}", columns.join(", "));
        let origin = self.id.strip_prefix("source:").unwrap_or(&self.id);
        Self {
            id: format!("calc:{origin}:{:016x}", hash(&all)),
            columns,
            origins,
            origin: self.origin.clone(),
            steps: format!("{}{done}", self.steps),
        }
    }

    /// Rows of the same meaning, whatever columns are taken along.
    fn rows(&self) -> String {
        let steps = self.steps.trim_end_matches(';').replace(';', ", ");
        if steps.is_empty() { self.origin.clone() } else { format!("{} {steps}", self.origin) }
    }

    /// An operator over these inputs, given by their number.
    pub fn of_operator(node: &OperatorNode, inputs: &[(usize, Meaning, Schema)]) -> OperatorMeaning {
        let stateful = node.stateful();
        let name = node.name().replace(' ', "-");
        let mut labels = [Vec::new(), Vec::new()];
        let mut types = [Vec::new(), Vec::new()];
        let mut from = String::new();
        for (input, meaning, schema) in inputs {
            labels[*input] = meaning.columns.clone();
            types[*input] = schema.fields.iter().map(|field| field.data_type.clone()).collect();
            from.push_str(&format!("|{input} from {}", meaning.id));
        }
        let described = stateful.describe(&[typed(&labels[0], &types[0]), typed(&labels[1], &types[1])]);
        let described: Vec<String> =
            described.into_iter().map(|(what, how)| format!("{what} {how}")).collect();
        let id = format!("{name}:{:016x}", hash(&format!("{}{from}", described.join("|"))));

        let of = |input: usize| Input::of(inputs.iter().filter(|it| it.0 == input).map(|it| &it.1));
        let of = [of(0), of(1)];
        // A column is told apart from one of the other side.
        let sides = if node.inputs() > 1 { sides(&of) } else { [const { String::new() }; 2] };
        let sided =
            |at: usize| of[at].columns.iter().map(|it| format!("{}{it}", sides[at])).collect::<Vec<_>>();
        let known = [sided(0), sided(1)];
        let known_typed = [typed(&known[0], &types[0]), typed(&known[1], &types[1])];
        let columns = [0, 1].map(|at| InputColumns {
            typed: typed(&of[at].columns, &types[at]),
            names: of[at].columns.clone(),
            types: types[at].clone(),
        });
        let tables = stateful.tables(&columns);
        let mut frame = owned(stateful.frame(&known_typed));
        for (at, input) in of.iter().enumerate().filter(|it| !it.1.rows.is_empty()) {
            let what = if node.inputs() > 1 { ["left input", "right input"][at] } else { "input" };
            frame.push((what.to_string(), input.rows.clone()));
        }
        // What those behind it must know to know what its rows are.
        let told = match stateful.columns_tell_all() {
            true => frame.clone(),
            false => owned(stateful.describe(&known_typed)).into_iter().chain(frame.clone()).collect(),
        };
        if tables.is_none() {
            let columns = known_typed.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
            frame.push(("columns".to_string(), columns));
            let forgets = if stateful.forgets_idle() { "yes" } else { "no" };
            frame.push(("time to live".to_string(), forgets.to_string()));
        }
        let meaning = Self {
            origin: format!("{name}:{:016x}", hash(&format!("{told:?}"))),
            id,
            columns: stateful.columns(&labels),
            origins: stateful.columns(&known),
            steps: String::new(),
        };
        let mut parts = owned(stateful.describe(&known));
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

/// The columns that come out of these steps, and what the steps do to rows.
fn passed(columns: &[String], steps: &[Step]) -> (Vec<String>, String) {
    let (mut columns, mut text) = (columns.to_vec(), String::new());
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
    (columns, text)
}

/// One input of an operator: the rows of all branches that come to it, in an order of their own.
#[derive(Default)]
struct Input {
    /// What its rows are.
    rows: String,
    /// What each column is: in each branch, where they differ.
    columns: Vec<String>,
    /// The source that all of it comes from, if it comes from one as it is.
    source: Option<String>,
}

impl Input {
    fn of<'a>(branches: impl Iterator<Item = &'a Meaning>) -> Self {
        let mut branches: Vec<(String, &Meaning)> = branches.map(|it| (it.rows(), it)).collect();
        branches.sort_by(|a, b| (&a.0, &a.1.origins).cmp(&(&b.0, &b.1.origins)));
        let Some((_, first)) = branches.first() else { return Self::default() };
        let source = first.origin.strip_prefix("source:").map(str::to_string);
        let width = branches.iter().map(|it| it.1.origins.len()).max().unwrap_or(0);
        let column = |at: usize| {
            let each: Vec<&str> =
                branches.iter().map(|it| it.1.origins.get(at).map_or("?", String::as_str)).collect();
            let alike = each.windows(2).all(|pair| pair[0] == pair[1]);
            if alike { each.first().map_or("", |it| it).to_string() } else { each.join(" | ") }
        };
        Self {
            columns: (0..width).map(column).collect(),
            source: source.filter(|_| branches.len() == 1),
            rows: branches.iter().map(|it| it.0.as_str()).collect::<Vec<_>>().join(" union all "),
        }
    }
}

/// What stands before the columns of each side of a join: its table, unless that doesn't tell them apart.
fn sides(of: &[Input; 2]) -> [String; 2] {
    match (&of[0].source, &of[1].source) {
        (Some(left), Some(right)) if left != right => [format!("{left}."), format!("{right}.")],
        _ => ["left.".to_string(), "right.".to_string()],
    }
}

/// Columns with their types.
fn typed(labels: &[String], types: &[DataType]) -> Vec<String> {
    labels.iter().zip(types).map(|(name, of)| format!("{name} {}", of.kind)).collect()
}

fn owned(parts: Vec<(&str, String)>) -> Vec<(String, String)> {
    parts.into_iter().map(|(what, how)| (what.to_string(), how)).collect()
}

/// FNV-1a.
pub fn hash(text: &str) -> u64 {
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
