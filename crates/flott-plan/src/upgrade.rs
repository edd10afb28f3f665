//! What becomes of a checkpoint's state when the script was changed: pure, before anything runs.
//!
//! ```text
//!   checkpoint: shapes of its operators ─┐            kept       as it is
//!                                        ├─ match ──► migrated   column by column
//!   plan:       shapes of its operators ─┘            rebuilt    new: from which rows on
//!                                                     dropped    what is lost, and why
//! ```
//! Invariants
//! - An operator takes up state of its own [frame](crate::OperatorShape) only: other state means another
//!   thing, however its tables look.
//! - Each operator of the checkpoint is taken up once or dropped, with a reason. What holds something and is
//!   dropped, all of it or a column that people know, is [lost](Verdict::loses): a run needs leave for it.
//! - Without shapes (a checkpoint of before there were any) an operator goes by its id alone.

mod carry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{OperatorShape, PlanShape};

pub use carry::{ColumnSource, StateSource, TableSource};

/// What a checkpoint says.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// What the plan was; none: nothing is known but ids.
    pub shape: Option<PlanShape>,
    /// What each operator held, by its id.
    pub operators: BTreeMap<String, Held>,
    /// Each source that it is in the middle of.
    pub sources: BTreeMap<String, Read>,
    /// Where each sink was, and whether it has rows that are not published yet.
    pub sinks: BTreeMap<String, Written>,
}

/// What an operator held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Rows of its tables.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far a source was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Where its table was, if that is known.
    pub place: Option<String>,
    /// How many rows had been read, if that is known.
    pub rows: Option<u64>,
    /// Its input had no end. Older checkpoints don't say.
    pub endless: bool,
    /// Its table can't be read on from where it stood, and why.
    pub lost: Option<String>,
}

/// What a sink had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Where its table was, if that is known.
    pub place: Option<String>,
    /// It has rows that are prepared and perhaps not published.
    pub pending: bool,
}

/// What a script is.
#[derive(Debug, Clone, Default)]
pub struct After {
    /// Its plan.
    pub shape: PlanShape,
    /// Where each source's table is.
    pub sources: BTreeMap<String, String>,
    /// Sources whose input ends.
    pub bounded: BTreeSet<String>,
    /// Where each sink's table is.
    pub sinks: BTreeMap<String, String>,
}

/// Of what a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A table that is read.
    Source,
    /// What keeps state.
    Operator,
    /// A table that is written.
    Sink,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It goes on as it was.
    Kept,
    /// It goes on, in another shape.
    Migrated,
    /// It is new.
    Rebuilt,
    /// It is no more.
    Dropped,
}

impl Fate {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Migrated => "migrated",
            Fate::Rebuilt => "rebuilt",
            Fate::Dropped => "dropped",
        }
    }
}

/// What becomes of one operator, source or sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Of what.
    pub subject: Subject,
    /// Its id in the script; of what is dropped the one in the checkpoint.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its id in the checkpoint, if that was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What becomes of it.
    pub verdict: Fate,
    /// Why, how, from what on.
    pub reasons: Vec<String>,
    /// What it holds in the checkpoint is lost: that needs leave.
    pub loses: bool,
    /// Where its state comes from.
    #[serde(skip)]
    pub state: Option<StateSource>,
}

/// What becomes of a checkpoint under a script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// Sources, operators, sinks; of each what there is first, then what is no more.
    pub verdicts: Vec<Verdict>,
}

impl Upgrade {
    /// Of this checkpoint under this script.
    pub fn plan(before: &Before, after: &After) -> Self {
        let mut verdicts = sources(before, after);
        verdicts.extend(operators(before, after));
        verdicts.extend(sinks(before, after));
        Self { verdicts }
    }

    /// What is lost without leave. `allowed`: ids (an operator's, `source:NAME`, `sink:NAME`), the part of an
    /// id that tells it from the others, or `all`.
    pub fn lost<'a>(&'a self, allowed: &'a [String]) -> impl Iterator<Item = &'a Verdict> {
        self.verdicts.iter().filter(|it| it.loses && !self.allows(it, allowed))
    }

    /// Those of the ids to give up that nothing here has.
    pub fn names_nothing<'a>(&'a self, allowed: &'a [String]) -> impl Iterator<Item = &'a String> {
        let has = |name: &String| self.verdicts.iter().any(|it| it.id.starts_with(name.as_str()));
        allowed.iter().filter(move |name| *name != "all" && !has(name))
    }

    fn allows(&self, verdict: &Verdict, allowed: &[String]) -> bool {
        let is_short = |name: &String| {
            let alike = self.verdicts.iter().filter(|it| it.loses && it.id.starts_with(name.as_str()));
            !name.is_empty() && verdict.id.starts_with(name.as_str()) && alike.count() == 1
        };
        allowed.iter().any(|name| name == "all" || *name == verdict.id || is_short(name))
    }

    /// Whether nothing of the script or its checkpoint is another.
    pub fn changes_nothing(&self) -> bool {
        self.verdicts.iter().all(|it| it.verdict == Fate::Kept && it.was.is_none())
    }

    /// Where an operator's state comes from.
    pub fn state_of(&self, id: &str) -> Option<&StateSource> {
        let mut operators = self.verdicts.iter().filter(|it| it.subject == Subject::Operator);
        operators.find(|it| it.id == id && it.verdict != Fate::Dropped)?.state.as_ref()
    }

    /// Whether a source goes on where it was.
    pub fn goes_on(&self, source: &str) -> bool {
        let is_it = |it: &&Verdict| it.subject == Subject::Source && it.name == source;
        self.verdicts.iter().find(is_it).is_some_and(|it| it.verdict == Fate::Kept)
    }

    /// The ids of operators in the checkpoint, by those that they have now.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.verdicts.iter().filter_map(|it| Some((it.was.as_deref()?, it.id.as_str())))
    }
}

fn verdict(subject: Subject, name: &str, fate: Fate, reason: impl Into<String>) -> Verdict {
    let id = match subject {
        Subject::Source => format!("source:{name}"),
        Subject::Sink => format!("sink:{name}"),
        Subject::Operator => name.to_string(),
    };
    let reason: String = reason.into();
    let reasons = Some(reason).filter(|it| !it.is_empty()).into_iter().collect();
    Verdict { subject, id, name: name.into(), was: None, verdict: fate, reasons, loses: false, state: None }
}

/// `1 row`, `1,000 rows`
fn rows(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} row{}", if count == 1 { "" } else { "s" })
}

/// Whether a source is rows that stand in the script.
fn is_values(name: &str) -> bool {
    name.split('#').next() == Some("VALUES")
}

fn sources(before: &Before, after: &After) -> Vec<Verdict> {
    let mut out = Vec::new();
    for name in &after.shape.sources {
        let place = after.sources.get(name);
        out.push(match before.sources.get(name) {
            None => verdict(Subject::Source, name, Fate::Rebuilt, "read from its start"),
            Some(Read { lost: Some(why), .. }) => {
                let reason = format!("{why}: where it stood is lost, it is read from its start");
                Verdict { loses: true, ..verdict(Subject::Source, name, Fate::Dropped, reason) }
            }
            Some(Read { place: Some(was), .. }) if place.is_some_and(|place| place != was) => {
                let now = place.map_or("", String::as_str);
                let reason = match is_values(name) {
                    true => {
                        "its rows are others now: where it stood is lost, they are read from the first".into()
                    }
                    false => format!(
                        "it was at {was} and is at {now}: where it stood is lost, it is read from its start"
                    ),
                };
                Verdict { loses: true, ..verdict(Subject::Source, name, Fate::Dropped, reason) }
            }
            Some(Read { rows: read, endless, .. }) => {
                let behind = read.map_or("where it stood".into(), |read| format!("behind {}", rows(read)));
                let mut kept = verdict(Subject::Source, name, Fate::Kept, format!("goes on {behind}"));
                if *endless && after.bounded.contains(name) {
                    kept.reasons.push(
                        "its input had no end and has one now: what was known at the checkpoint is read to its end, \
                         what came since isn't"
                            .into(),
                    );
                }
                kept
            }
        });
    }
    for (name, read) in before.sources.iter().filter(|(name, _)| !after.shape.sources.contains(name)) {
        let mut gone = verdict(
            Subject::Source,
            name,
            Fate::Dropped,
            "no longer read: where it stood is forgotten, and read again it begins at its start",
        );
        // Rows that stand in a script are in no table that somebody may come back to.
        gone.loses = !is_values(name);
        let renamed = after.sources.iter().find(|(new, place)| {
            Some(*place) == read.place.as_ref() && !before.sources.contains_key(new.as_str())
        });
        if let Some((new, place)) = renamed.filter(|_| !is_values(name)) {
            gone.reasons.push(format!("'{new}' is at the same place ({place}): call it '{name}' to go on"));
        }
        out.push(gone);
    }
    out
}

fn sinks(before: &Before, after: &After) -> Vec<Verdict> {
    let mut out = Vec::new();
    for name in &after.shape.sinks {
        let place = after.sinks.get(name);
        out.push(match before.sinks.get(name) {
            None => {
                let from = beginning(before, after, &format!("sink:{name}"));
                verdict(Subject::Sink, name, Fate::Rebuilt, format!("new: {from}"))
            }
            Some(Written { place: Some(was), .. }) if place.is_some_and(|place| place != was) => {
                let now = place.map_or("", String::as_str);
                let reason = format!("rows go to {now} from here on; those before stay at {was}");
                Verdict { loses: true, ..verdict(Subject::Sink, name, Fate::Dropped, reason) }
            }
            Some(_) => verdict(Subject::Sink, name, Fate::Kept, ""),
        });
    }
    let gone = before.sinks.keys().filter(|name| !after.shape.sinks.contains(name));
    out.extend(
        gone.map(|name| {
            verdict(Subject::Sink, name, Fate::Dropped, "no longer written; what it wrote stays")
        }),
    );
    out
}

/// With which rows something new begins.
fn beginning(before: &Before, after: &After, id: &str) -> String {
    let reads = after.shape.reads.get(id).map(Vec::as_slice).unwrap_or_default();
    let goes_on = |name: &&String| {
        let read = before.sources.get(*name);
        read.is_some_and(|it| {
            it.lost.is_none() && (it.place.is_none() || it.place.as_ref() == after.sources.get(*name))
        })
    };
    let (middle, start): (Vec<&String>, Vec<&String>) = reads.iter().partition(goes_on);
    let list = |names: &[&String]| -> String {
        names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    if !middle.is_empty() {
        let read: Vec<String> = middle
            .iter()
            .map(|name| match before.sources.get(*name).and_then(|it| it.rows) {
                Some(read) => format!("'{name}' behind {}", rows(read)),
                None => format!("'{name}' behind those that were read"),
            })
            .collect();
        parts.push(format!("from rows of {} on", read.join(", of ")));
    }
    if !start.is_empty() {
        parts.push(format!("from the start of {}", list(&start)));
    }
    if parts.is_empty() { "from the first row".to_string() } else { parts.join(" and ") }
}

fn operators(before: &Before, after: &After) -> Vec<Verdict> {
    let old = old_shapes(before);
    let mut free: BTreeSet<usize> = (0..old.len()).collect();
    let mut found: Vec<Option<(usize, carry::Carried)>> = vec![None; after.shape.operators.len()];
    let new = || after.shape.operators.iter().enumerate();
    // Those of the same id first: they are what they were.
    for (at, shape) in new() {
        let same = free.iter().copied().find(|it| old.get(*it).is_some_and(|old| old.id == shape.id));
        if let Some((same, old)) = same.and_then(|it| Some((it, old.get(it)?)))
            && let Ok(carried) = carry::carry(old, shape)
        {
            free.remove(&same);
            found[at] = Some((same, carried));
        }
    }
    for (at, shape) in new() {
        if found[at].is_some() {
            continue;
        }
        let fitting = free.iter().filter_map(|it| Some((*it, carry::carry(old.get(*it)?, shape).ok()?)));
        // Of several the one that loses least; of equals the first.
        let best = fitting.max_by_key(|(it, carried)| (carried.shared, std::cmp::Reverse(*it)));
        if let Some((it, carried)) = best {
            free.remove(&it);
            found[at] = Some((it, carried));
        }
    }
    let mut out: Vec<Verdict> = new()
        .zip(found)
        .map(|((_, shape), found)| match found.and_then(|(it, carried)| Some((old.get(it)?, carried))) {
            Some((old, carried)) => taken_up(before, old, shape, carried),
            None => Verdict {
                name: shape.name.clone(),
                ..verdict(Subject::Operator, &shape.id, Fate::Rebuilt, beginning(before, after, &shape.id))
            },
        })
        .collect();
    let rebuilt: Vec<&OperatorShape> = new()
        .filter(|(at, _)| out.get(*at).is_some_and(|it| it.verdict == Fate::Rebuilt))
        .map(|(_, shape)| shape)
        .collect();
    let gone = free.iter().filter_map(|it| old.get(*it));
    let gone: Vec<Verdict> = gone.map(|shape| dropped(before, shape, &rebuilt)).collect();
    out.extend(gone);
    out
}

/// The shapes of a checkpoint's operators; of an older one nothing but ids.
fn old_shapes(before: &Before) -> Vec<OperatorShape> {
    let known = before.shape.iter().flat_map(|shape| &shape.operators);
    let mut shapes: Vec<OperatorShape> = known.cloned().collect();
    for id in before.operators.keys().filter(|id| !shapes.iter().any(|it| it.id == **id)).collect::<Vec<_>>()
    {
        let name = id.split(':').next().unwrap_or_default().replace('-', " ");
        shapes.push(OperatorShape { id: id.clone(), name, ..OperatorShape::default() });
    }
    shapes
}

fn taken_up(before: &Before, old: &OperatorShape, new: &OperatorShape, carried: carry::Carried) -> Verdict {
    let holds_something = before.operators.get(&old.id).is_some_and(|it| it.rows > 0);
    let fate = if carried.changes.is_empty() { Fate::Kept } else { Fate::Migrated };
    let changed =
        old.numbers.iter().filter(|(what, it)| new.numbers.get(*what).is_some_and(|new| new != *it));
    let numbers = changed.map(|(what, it)| (what.clone(), *it)).collect();
    let state = StateSource { id: old.id.clone(), tables: carried.tables, numbers };
    Verdict {
        name: new.name.clone(),
        was: (old.id != new.id).then(|| old.id.clone()),
        loses: carried.loses && holds_something,
        reasons: carried.changes.into_iter().chain(carried.remarks).collect(),
        state: Some(state),
        ..verdict(Subject::Operator, &new.id, fate, "")
    }
}

/// What is lost with an operator, and why nobody takes it up.
fn dropped(before: &Before, old: &OperatorShape, rebuilt: &[&OperatorShape]) -> Verdict {
    let held = before.operators.get(&old.id).copied().unwrap_or_default();
    let mut reasons = vec![match held.rows {
        0 => "held nothing".to_string(),
        count => format!("{} of state are lost", rows(count)),
    }];
    // What took its place, as far as one can tell.
    let alike = |new: &&&OperatorShape| new.frame.iter().filter(|part| old.frame.contains(part)).count();
    let heirs = rebuilt.iter().filter(|new| new.name == old.name);
    reasons.push(match heirs.max_by_key(|new| (alike(new), old.id == new.id)) {
        _ if old.frame.is_empty() => {
            "the checkpoint says nothing of the operator but its id: an earlier version wrote it".to_string()
        }
        Some(heir) => match carry::carry(old, heir) {
            Err(reason) => reason,
            Ok(_) => "another operator has taken its place".to_string(),
        },
        None => format!("the script has no such {} any more", old.name),
    });
    Verdict {
        name: old.name.clone(),
        reasons,
        loses: held.rows > 0,
        ..verdict(Subject::Operator, &old.id, Fate::Dropped, "")
    }
}
