//! The same input topic through Flott as once through Flink: the same output topic.
//!
//! ```text
//!   tests/kafka_differential/NAME.sql   reads one topic, bounded, and writes one
//!                            data/      what is in the topics that it reads
//!                            expected/  what Flink wrote, recorded by run.py with a real Flink
//!
//!   data ─► topic ─► flott ─► topic ─► equal bytes? else equal JSON? else, of changes, the same table?
//! ```
//!
//! `${IN:FILE}` is a topic with a message for each line of a file (.tsv: key, TAB, value; nothing behind the TAB: no
//! value), `${FLINK:NAME}` one with the messages that Flink wrote for NAME.sql, `${OUT}` the script's own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use flott_testkit::{
    need,
    services::{self, Kafka, Registry},
};
use serde_json::Value;

use crate::{
    support::Lab,
    topics::{self, Message},
};

/// Scripts that run at a time: each waits for the broker most of the time.
const AT_A_TIME: usize = 4;

/// How far a topic must be as Flink's, and is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Equal {
    Bytes,
    Json,
    /// The last value of each key.
    Latest,
    /// What changes with before and after come to.
    Table,
}

struct Script {
    name: String,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kafka_differential")
}

fn expected(name: &str) -> PathBuf {
    folder().join(format!("expected/{name}.ndjson"))
}

fn scripts() -> Vec<Script> {
    let mut scripts = vec![];
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "sql") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            scripts.push(Script { name, text: fs::read_to_string(path).unwrap() });
        }
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    scripts
}

/// The messages of a file in data/.
fn input(file: &str) -> Vec<Message> {
    let text = fs::read_to_string(folder().join("data").join(file)).unwrap();
    let message = |line: &str| match line.split_once('\t').filter(|_| file.ends_with(".tsv")) {
        Some((key, value)) => Message::new(Some(key), Some(value).filter(|it| !it.is_empty())),
        None => Message::new(None, Some(line)),
    };
    text.lines().map(message).collect()
}

impl Script {
    fn compare(&self) -> Option<Equal> {
        let says = |how: &str| self.text.contains(&format!("-- compare: {how}"));
        if says("latest") { Some(Equal::Latest) } else { says("table").then_some(Equal::Table) }
    }

    /// `${KIND:…}` of its text, each once.
    fn asks(&self, kind: &str) -> Vec<&str> {
        let begin = format!("${{{kind}:");
        let mut names: Vec<&str> =
            self.text.split(&begin).skip(1).filter_map(|it| Some(it.split_once('}')?.0)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Runs it; the topic that it wrote, or what it said.
    fn run(&self, kafka: &Kafka, registry: &Registry) -> Result<Vec<Message>, String> {
        let topic = |end: &str| format!("differential-{}{end}", self.name);
        let out = topic("");
        topics::make(kafka, &out);
        let mut sql = self.text.replace("${OUT}", &out);
        for (kind, file) in
            ["IN", "FLINK"].iter().flat_map(|kind| self.asks(kind).into_iter().map(|it| (*kind, it)))
        {
            let from = topic(&format!("-from-{file}"));
            topics::make(kafka, &from);
            let messages = if kind == "IN" { input(file) } else { topics::recorded(&expected(file)) };
            topics::send(kafka, Some(registry), &from, &messages);
            sql = sql.replace(&format!("${{{kind}:{file}}}"), &from);
        }
        let proto = folder().join("../../benchmarks/kafka/bid.proto").canonicalize().unwrap();
        sql = sql.replace("${BOOTSTRAP}", kafka.bootstrap()).replace("${REGISTRY}", &registry.url());
        sql = sql.replace("${PROTO}", &proto.to_string_lossy());
        let lab = Lab::new();
        lab.write("script.sql", sql);
        let outcome = lab.flott.run(["run", "--quiet", "script.sql"]).unwrap();
        if !outcome.is_success() {
            return Err(outcome.stderr);
        }
        let framed = self.text.contains("${REGISTRY}");
        let plain = |it: Message| if framed { it.unframed(registry) } else { it };
        Ok(topics::read(kafka, &out).into_iter().map(plain).collect())
    }

    /// How it is equal to what Flink wrote, or where it isn't.
    fn judge(&self, found: Vec<Message>) -> Result<Equal, String> {
        let right = topics::recorded(&expected(&self.name));
        let (right, found) = match self.compare() {
            None => (right, found),
            Some(Equal::Latest) => (latest(right), latest(found)),
            Some(_) => (table(right)?, table(found)?),
        };
        if right == found {
            return Ok(self.compare().unwrap_or(Equal::Bytes));
        }
        let wrong = right.iter().zip(&found).find(|(right, found)| !same(right, found));
        match wrong {
            Some((right, found)) => Err(format!("Flink {}\nFlott {}", shown(right), shown(found))),
            None if right.len() != found.len() => {
                Err(format!("Flink wrote {} messages, Flott {}", right.len(), found.len()))
            }
            None => Ok(self.compare().unwrap_or(Equal::Json)),
        }
    }
}

/// Equal but for how JSON is written; numbers by their value.
fn same(right: &Message, found: &Message) -> bool {
    let part = |right: &Option<Vec<u8>>, found: &Option<Vec<u8>>| match (right, found) {
        (Some(right), Some(found)) if right != found => {
            let parsed = |it: &[u8]| serde_json::from_slice::<Value>(it).ok();
            parsed(right).zip(parsed(found)).is_some_and(|(right, found)| same_json(&right, &found))
        }
        (right, found) => right == found,
    };
    part(&right.key, &found.key)
        && part(&right.value, &found.value)
        && (&right.headers, right.timestamp, &right.schema)
            == (&found.headers, found.timestamp, &found.schema)
}

fn same_json(right: &Value, found: &Value) -> bool {
    match (right, found) {
        (Value::Number(right), Value::Number(found)) => right == found || right.as_f64() == found.as_f64(),
        (Value::Array(right), Value::Array(found)) => {
            right.len() == found.len()
                && right.iter().zip(found).all(|(right, found)| same_json(right, found))
        }
        (Value::Object(right), Value::Object(found)) => {
            let is_there = |(name, value)| found.get(name).is_some_and(|it| same_json(value, it));
            right.len() == found.len() && right.iter().all(is_there)
        }
        _ => right == found,
    }
}

/// The last value of each key, unless there is none.
fn latest(messages: Vec<Message>) -> Vec<Message> {
    let last: BTreeMap<_, _> = messages.into_iter().map(|it| (it.key.clone(), it)).collect();
    last.into_values().filter(|it| it.value.is_some()).collect()
}

/// The rows that changes with before and after come to. Flott may leave out what is undone at once.
fn table(messages: Vec<Message>) -> Result<Vec<Message>, String> {
    let mut rows: Vec<String> = vec![];
    for message in messages {
        let change: Value =
            serde_json::from_slice(&message.value.unwrap_or_default()).map_err(|error| error.to_string())?;
        if !change["before"].is_null() {
            let before = change["before"].to_string();
            let at = rows
                .iter()
                .position(|it| *it == before)
                .ok_or_else(|| format!("{before} was never there"))?;
            rows.swap_remove(at);
        }
        if !change["after"].is_null() {
            rows.push(change["after"].to_string());
        }
    }
    rows.sort();
    Ok(rows.iter().map(|it| Message::new(None, Some(it))).collect())
}

fn shown(message: &Message) -> String {
    let text = |it: &Option<Vec<u8>>| it.as_ref().map(|it| it.escape_ascii().to_string());
    format!(
        "key {:?} value {:?} headers {:?} at {:?} schema {:?}",
        text(&message.key),
        text(&message.value),
        message.headers,
        message.timestamp,
        message.schema
    )
}

#[test]
fn topics_are_as_flink_writes_them() {
    let (kafka, registry) = thread::scope(|scope| {
        let registry = scope.spawn(services::registry);
        (services::kafka(), registry.join().unwrap())
    });
    let (kafka, registry) = (need!(kafka), need!(registry));
    let scripts = scripts();
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = script.run(&kafka, registry).and_then(|found| script.judge(found));
                    verdicts.lock().unwrap().insert(&script.name, verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    assert_eq!(verdicts.len(), scripts.len());
    let mut kinds = BTreeMap::<Equal, usize>::new();
    verdicts.values().flatten().for_each(|how| *kinds.entry(*how).or_default() += 1);
    eprintln!("{} scripts: {kinds:?}", scripts.len());
    let wrong =
        verdicts.iter().filter_map(|(name, verdict)| Some(format!("{name}: {}", verdict.as_ref().err()?)));
    let wrong: Vec<String> = wrong.collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ from Flink:\n{}",
        wrong.len(),
        scripts.len(),
        wrong.join("\n")
    );
}
