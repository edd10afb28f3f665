//! Where a reader of a log stands, as checkpoints keep it.
//!
//! ```text
//!   "orders:0:3:1042:-"        topic, partition, number of the split, next offset, end (none)
//!   "orders:1:4:900:900"       read to its end
//! ```
//!
//! The end of a bounded table is part of it: what is written after the job began belongs to no run of it.
//! Topics hold no colons.

use std::collections::BTreeMap;

use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use crate::options::scan::{Bounded, ScanSettings, Topics};

/// A place in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitPlace {
    pub topic: String,
    pub partition: i32,
    /// Its number as a split.
    pub number: u32,
    /// The first offset not handed out.
    pub next: i64,
    /// Where it ends, if it does.
    pub end: Option<i64>,
}

impl SplitPlace {
    pub(crate) fn to_json(&self) -> Value {
        let Self { topic, partition, number, next, end } = self;
        let end = end.map_or_else(|| "-".to_string(), |end| end.to_string());
        Value::String(format!("{topic}:{partition}:{number}:{next}:{end}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let topic = parts.next()?.to_string();
        let partition = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        let end = match parts.next()? {
            "-" => None,
            end => Some(end.parse().ok()?),
        };
        parts.next().is_none().then_some(Self { topic, partition, number, next, end })
    }
}

/// Where a reader stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub splits: Vec<SplitPlace>,
    /// Which topics these were: their ids, where brokers tell them.
    pub topics: BTreeMap<String, String>,
}

impl Position {
    /// Whether it is one of this table.
    ///
    /// # Errors
    /// `CheckpointUnusable`
    pub(crate) fn check(&self, scan: &ScanSettings) -> Result<()> {
        let is_ours = |place: &&SplitPlace| match &scan.topics {
            Topics::Named(names) => names.contains(&place.topic),
            Topics::Matching { pattern, .. } => pattern.is_match(&place.topic),
        };
        if let Some(SplitPlace { topic, .. }) = self.splits.iter().find(|place| !is_ours(place)) {
            return Err(unusable(format!(
                "the checkpoint has read topic '{topic}', which the table no longer names"
            )));
        }
        match named_since(&scan.topics, &self.splits).filter(|_| scan.bounded != Bounded::Never) {
            Some(name) => Err(unusable(format!(
                "the checkpoint has read nothing of topic '{name}', which the table names now: where a bounded \
                 table ends was decided without it"
            ))),
            None => Ok(()),
        }
    }

    pub(crate) fn empty() -> Value {
        json!({"partitions": []})
    }

    /// # Errors
    /// `CheckpointUnusable`
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let parse = || -> Option<Self> {
            let splits = value.get("partitions")?.as_array()?.iter();
            let topics = value.get("topics").and_then(Value::as_object).into_iter().flatten();
            Some(Self {
                splits: splits.map(|it| SplitPlace::parse(it.as_str()?)).collect::<Option<_>>()?,
                topics: topics
                    .filter_map(|(name, id)| Some((name.clone(), id.as_str()?.to_string())))
                    .collect(),
            })
        };
        parse().ok_or_else(|| unusable(format!("not a place in Kafka's topics: {value}")))
    }
}

/// A topic named that a checkpoint has read nothing of, though it has read others.
fn named_since<'a>(topics: &'a Topics, places: &[SplitPlace]) -> Option<&'a str> {
    let Topics::Named(names) = topics else { return None };
    let is_new = |name: &&String| !places.iter().any(|place| place.topic == **name);
    names.iter().find(is_new).filter(|_| !places.is_empty()).map(String::as_str)
}

/// A position of something else.
pub(crate) fn unusable(message: String) -> Box<Diagnostic> {
    Diagnostic::error(Code::CheckpointUnusable, message).help("or start anew with `--resume never`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_named_since_is_seen() {
        let place = SplitPlace { topic: "a".into(), partition: 0, number: 0, next: 1, end: Some(1) };
        let named = |names: &[&str]| Topics::Named(names.iter().map(|it| (*it).to_string()).collect());
        let places = [place];
        assert_eq!(named_since(&named(&["a"]), &places), None);
        assert_eq!(named_since(&named(&["a", "b"]), &places), Some("b"));
        assert_eq!(named_since(&named(&["a"]), &[]), None, "nothing was there to be read");
    }

    #[test]
    fn a_position_comes_back_as_it_was() {
        let place = |number, end| SplitPlace { topic: "a.b-c".into(), partition: 7, number, next: 42, end };
        let splits = vec![place(0, None), place(1, Some(42))];
        let topics = BTreeMap::from([("a.b-c".to_string(), "id".to_string())]);
        let partitions: Vec<Value> = splits.iter().map(SplitPlace::to_json).collect();
        let json = json!({"partitions": partitions, "topics": topics});
        assert_eq!(Position::from_json(&json).unwrap(), Position { splits, topics });
        assert_eq!(Position::from_json(&json!({"offset": 1})).unwrap_err().code, Code::CheckpointUnusable);
    }
}
