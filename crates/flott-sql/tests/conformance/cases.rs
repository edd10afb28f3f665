//! What to ask: the files of templates, filled in.
//!
//! ```text
//!   @size  2 0 -1 …                    ┌ LEFT('abc', 2), LEFT('', 2), …   each place takes every
//!   @text  'abc' '' …      ──────────► │ LEFT('abc', 0), LEFT('abc', -1)  value of its pool,
//!   LEFT   LEFT({text}, {size})        └ LEFT('ch', 7), …                 then mixtures
//! ```

use std::{collections::BTreeMap, fs, path::Path};

/// An expression, and what it is asked for: a function, or the types of a cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub subject: String,
    pub expression: String,
    /// The same over columns `p0`, `p1` …, and their values.
    pub over_columns: (String, Vec<String>),
}

/// Values by the name of their pool.
pub type Pools = BTreeMap<String, Vec<String>>;

/// Mixtures per template of several places.
const MIXTURES: usize = 4;

/// The cases of `functions.txt`.
pub fn functions(directory: &Path) -> Vec<Case> {
    let text = fs::read_to_string(directory.join("functions.txt")).unwrap();
    let (pools, rest) = text.split_once("@functions\n").unwrap();
    let pools = read_pools(pools);
    let mut subject = "";
    let mut cases = Vec::new();
    for line in rest.lines() {
        let Some(template) = line.strip_prefix("  ") else {
            subject = line;
            continue;
        };
        for case in fill(subject, template, &pools) {
            if !cases.iter().any(|it: &Case| it.subject == subject && it.expression == case.expression) {
                cases.push(case);
            }
        }
    }
    cases
}

/// The first template of every function that has one with places, over columns `p0`, `p1` …, with
/// the values that each may take.
pub fn typical_calls(directory: &Path) -> Vec<Case> {
    let mut calls: Vec<Case> = Vec::new();
    for case in functions(directory) {
        let has_places = !case.over_columns.1.is_empty();
        if has_places && calls.last().is_none_or(|it| it.subject != case.subject) {
            calls.push(case);
        }
    }
    calls
}

/// The cases of `casts.txt`: every value to every type.
pub fn casts(directory: &Path) -> Vec<Case> {
    let text = fs::read_to_string(directory.join("casts.txt")).unwrap();
    let mut pools = read_pools(&text);
    let targets = pools.remove("targets").unwrap();
    let mut cases = Vec::new();
    for (from, values) in &pools {
        for to in &targets {
            let subject = format!("{from} → {to}");
            let mut push = |cast: &str, value: &String| {
                let expression = format!("{cast}({value} AS {to})");
                let over_columns = (format!("{cast}(p0 AS {to})"), vec![value.clone()]);
                cases.push(Case { subject: subject.clone(), expression, over_columns });
            };
            values.iter().for_each(|value| push("CAST", value));
            values.iter().take(2).for_each(|value| push("TRY_CAST", value));
        }
    }
    cases
}

/// The pools of `functions.txt`.
pub fn pools(directory: &Path) -> Pools {
    let text = fs::read_to_string(directory.join("functions.txt")).unwrap();
    read_pools(text.split_once("@functions\n").unwrap().0)
}

fn read_pools(text: &str) -> Pools {
    let mut pools = Pools::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('@') {
            Some(it) => name = it.to_string(),
            None => pools.entry(name.clone()).or_default().push(line.to_string()),
        }
    }
    pools
}

/// All cases of a template.
fn fill(subject: &str, template: &str, pools: &Pools) -> Vec<Case> {
    let (texts, places) = split(template, pools);
    let first = vec![0; places.len()];
    let mut choices = vec![first.clone()];
    for (place, pool) in places.iter().enumerate() {
        for value in 1..pool.len() {
            let mut choice = first.clone();
            choice[place] = value;
            choices.push(choice);
        }
    }
    if places.len() > 1 {
        for mixture in 1..=MIXTURES {
            // Steps without a common divisor with the pools' usual lengths meet different values.
            let pick =
                |(place, pool): (usize, &&Vec<String>)| (mixture * (2 + 3 * place) + place) % pool.len();
            choices.push(places.iter().enumerate().map(pick).collect());
        }
    }
    let write = |values: &[String]| {
        let mut out = texts[0].to_string();
        for (value, text) in values.iter().zip(&texts[1..]) {
            out.extend([value.as_str(), text]);
        }
        out
    };
    let columns: Vec<String> = (0..places.len()).map(|place| format!("p{place}")).collect();
    let case = |choice: Vec<usize>| {
        let values: Vec<String> = places.iter().zip(choice).map(|(pool, at)| pool[at].clone()).collect();
        Case { subject: subject.into(), expression: write(&values), over_columns: (write(&columns), values) }
    };
    choices.into_iter().map(case).collect()
}

/// The text around the places, and the pool of each place. Braces that name no pool are text.
fn split<'a>(template: &'a str, pools: &'a Pools) -> (Vec<&'a str>, Vec<&'a Vec<String>>) {
    let mut texts = Vec::new();
    let mut places = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(open) = template[at..].find('{').map(|it| it + at) {
        at = open + 1;
        let Some(close) = template[at..].find('}').map(|it| it + at) else { break };
        if let Some(pool) = pools.get(&template[at..close]) {
            texts.push(&template[start..open]);
            places.push(pool);
            start = close + 1;
            at = start;
        }
    }
    texts.push(&template[start..]);
    (texts, places)
}
