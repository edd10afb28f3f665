//! Answers, and the file that keeps Flink's: a line per case with subject, expression, type and
//! value. `=` stands before a value, `!` before the kind of an error.

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use flott_testkit::{Tool, python_tool, temp_dir};
use serde_json::Value as Json;

use crate::{FLINK, cases::Case};

/// What an expression is worth as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Value(String),
    Null,
    /// It can't be planned.
    Refused,
    /// It fails on the row.
    Failed,
}

/// An expression's worth and its type, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub data_type: Option<String>,
}

impl Answer {
    /// Whether users see the same. An error is an error, whenever it comes; a type counts where
    /// both sides can tell it (Flink can't for dates plus intervals).
    pub fn agrees(&self, other: &Answer) -> bool {
        let is_error = |it: &Answer| matches!(it.outcome, Outcome::Refused | Outcome::Failed);
        if is_error(self) || is_error(other) {
            return is_error(self) && is_error(other);
        }
        let types_known = self.data_type.is_some() && other.data_type.is_some();
        let same_type = !types_known || self.data_type == other.data_type;
        same_type
            && (self.outcome == other.outcome || self.entries().is_some_and(|it| Some(it) == other.entries()))
    }

    /// The entries of a map, sorted: a map has no order.
    fn entries(&self) -> Option<Vec<&str>> {
        let Outcome::Value(value) = &self.outcome else { return None };
        self.data_type.as_ref().filter(|it| it.starts_with("MAP<"))?;
        let mut entries: Vec<&str> = value.strip_prefix('{')?.strip_suffix('}')?.split(", ").collect();
        entries.sort_unstable();
        Some(entries)
    }

    /// As the file spells it.
    pub fn value_text(&self) -> String {
        match &self.outcome {
            Outcome::Value(value) => format!("={}", escape(value)),
            Outcome::Null => "NULL".into(),
            Outcome::Refused => "!plan".into(),
            Outcome::Failed => "!run".into(),
        }
    }

    fn read(value: &str, data_type: &str) -> Self {
        let outcome = match value {
            "NULL" => Outcome::Null,
            "!plan" => Outcome::Refused,
            "!run" => Outcome::Failed,
            _ => Outcome::Value(unescape(value.strip_prefix('=').unwrap())),
        };
        Self { outcome, data_type: (!data_type.is_empty()).then(|| unescape(data_type)) }
    }
}

/// Flink's answers by expression.
#[derive(Debug, Default)]
pub struct Recorded(HashMap<String, Answer>);

impl Recorded {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let answer = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [_, expression, data_type, value] = fields[..] else { panic!("{}: {line}", path.display()) };
            (unescape(expression), Answer::read(value, data_type))
        };
        Self(text.lines().skip(1).map(answer).collect())
    }

    pub fn write(&self, path: &Path, cases: &[Case]) {
        let mut text = format!("# Flink {FLINK}\n");
        for case in cases {
            let Some(answer) = self.get(&case.expression) else { continue };
            let data_type = answer.data_type.as_deref().map(escape).unwrap_or_default();
            let fields = [&case.subject, &escape(&case.expression), &data_type, &answer.value_text()];
            text.push_str(&fields.map(String::as_str).join("\t"));
            text.push('\n');
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn get(&self, expression: &str) -> Option<&Answer> {
        self.0.get(expression)
    }

    /// Asks Flink about those cases that have no answer yet.
    pub fn ask_about(&mut self, cases: &[Case], directory: &Path) {
        let mut expressions: Vec<&str> = Vec::new();
        for case in cases {
            if !self.0.contains_key(&case.expression) && !expressions.contains(&case.expression.as_str()) {
                expressions.push(&case.expression);
            }
        }
        if expressions.is_empty() {
            return;
        }
        let python = match flink_python() {
            Tool::Ready(python) => python,
            Tool::Skipped(why) => return println!("{why}"),
        };
        let out = temp_dir().unwrap();
        let questions = out.path().join("expressions");
        let lines: Vec<String> = expressions.iter().map(|it| Json::from(*it).to_string()).collect();
        fs::write(&questions, lines.join("\n")).unwrap();
        let mut runner = Command::new(python);
        runner.arg(directory.join("flink.py")).arg(&questions).env("TZ", "UTC").stderr(Stdio::inherit());
        let output = runner.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let mut answers = said.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        assert_eq!(answers.next().map(|it| it["version"].clone()), Some(Json::from(FLINK)));
        let answers: Vec<Answer> = answers.map(|it| from_json(&it)).collect();
        assert_eq!(answers.len(), expressions.len(), "Flink ended early");
        self.0.extend(expressions.into_iter().map(str::to_string).zip(answers));
    }
}

fn from_json(answer: &Json) -> Answer {
    let outcome = match (&answer["error"], &answer["value"]) {
        (Json::String(kind), _) if kind == "plan" => Outcome::Refused,
        (Json::String(_), _) => Outcome::Failed,
        (_, Json::String(value)) => Outcome::Value(value.clone()),
        _ => Outcome::Null,
    };
    Answer { outcome, data_type: answer["type"].as_str().map(str::to_string) }
}

/// A Python that has Flink. `FLOTT_FLINK_PYTHON` names one that is there already.
fn flink_python() -> Tool {
    match env::var_os("FLOTT_FLINK_PYTHON") {
        Some(python) => Tool::Ready(python.into()),
        None => python_tool("flink", &[&format!("apache-flink=={FLINK}")]),
    }
}

/// Text of one line without tabs.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (kind, after) = (rest.as_bytes()[at + 1], &rest[at + 2..]);
        rest = match kind {
            b't' => {
                out.push('\t');
                after
            }
            b'u' => {
                let (code, after) = after[1..].split_once('}').unwrap();
                out.extend(char::from_u32(u32::from_str_radix(code, 16).unwrap()));
                after
            }
            _ => {
                out.push('\\');
                after
            }
        };
    }
    out + rest
}
