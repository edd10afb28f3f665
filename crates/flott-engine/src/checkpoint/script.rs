//! What a script is, as far as its checkpoints depend on it, and what becomes of a checkpoint under another.
//!
//! ```text
//!   manifest ─► Before ┐
//!                      ├─► Upgrade (flott-plan) ─► refused │ lost, and no leave │ where state, places and
//!   plan ─► Script ────┘                                                          counts come from
//! ```
//! Invariants
//! - A run drops nothing that a checkpoint holds unless it was told to, and names what it drops.
//! - Counts add up as they did: an edge that is still there has its counts, a new one counts the rows that
//!   its source had read before it as [earlier](crate::accounting::EdgeSummary::earlier).

use std::collections::{BTreeMap, BTreeSet};

use flott_connector::{Registry, Resumes, Role, SinkGuarantee};
use flott_plan::{
    PlanShape, SinkTarget, SourceInput, SourceNode, StreamPlan,
    upgrade::{After, Before, Fate, Held, Read, StateSource, Subject, Upgrade, Written},
};
use flott_state::{ColumnFrom, Manifest, OperatorSnapshot, Reshape, TableFrom};
use flott_types::{Code, Diagnostic, Result, TableDescription};
use serde_json::{Value, json};

use super::start::nonce;
use crate::{
    accounting::Counts,
    topology::{Consumer, Edge, Topology},
};

/// Columns of saved tables before their keys: group, bucket, deleted.
const LEADING_COLUMNS: usize = 3;

/// A checkpoint that somebody would go on from.
pub(super) struct Found<'a> {
    pub(super) manifest: &'a Manifest,
    /// Its rows are published.
    pub(super) confirmed: bool,
    /// It was named by its path: what its job has to publish, and its token, are that job's.
    pub(super) named: bool,
}

/// What a script is, as far as its checkpoints depend on it.
#[derive(Clone)]
pub(super) struct Script {
    /// The edges' ends, in order: counts belong to them.
    edges: Value,
    /// The same by ids.
    edge_ids: Vec<[String; 2]>,
    /// Where each table is that is read or written: connector and place.
    tables: BTreeMap<String, String>,
    /// The tables that are read.
    read: BTreeMap<String, TableDescription>,
    /// Where the token of its commits is, if a sink decides.
    token: Option<String>,
    /// Sources whose input has no end.
    endless: BTreeSet<String>,
    /// A number that changes with anything in the plan.
    all: Value,
    /// What keeps state, and what that means.
    shape: PlanShape,
    /// The number of each sink that the job ever had: names of files hold it, and must go on in order.
    sink_numbers: BTreeMap<String, usize>,
}

fn names_of(topology: &Topology, which: impl Fn(&SourceNode) -> bool) -> BTreeSet<String> {
    let sources = topology.sources.iter().filter(|(_, source)| which(source));
    sources.map(|(_, source)| source.name.clone()).collect()
}

impl Script {
    pub(super) fn of(plan: &StreamPlan, topology: &Topology, registry: &Registry) -> Self {
        let name = |edge: &Edge| {
            [topology.producer_name(edge.producer), topology.consumer_name(edge.consumer)].map(str::to_string)
        };
        let edges = json!(topology.edges.iter().map(name).collect::<Vec<_>>());
        let consumer = |consumer: Consumer| match consumer {
            Consumer::Sink(_) => format!("sink:{}", topology.consumer_name(consumer)),
            Consumer::Operator(at, _) => topology.operators[at].stable_id.clone(),
        };
        let ids = |edge: &Edge| [topology.producer_id(edge.producer), consumer(edge.consumer)];
        let read = topology.sources.iter().filter_map(|(_, node)| match &node.input {
            SourceInput::Table { table, .. } => Some((format!("read {}", node.name), Role::Source, table)),
            SourceInput::Values(_) => None,
        });
        let sources = topology.sources.iter().filter_map(|(_, node)| match &node.input {
            SourceInput::Table { table, .. } => Some((node.name.clone(), table.clone())),
            SourceInput::Values(_) => None,
        });
        let written = topology.sinks.iter().filter_map(|(_, node)| match &node.target {
            SinkTarget::Table(table) => Some((format!("written {}", node.name), Role::Sink, table)),
            SinkTarget::Collect => None,
        });
        let (mut tables, mut all, mut token) = (BTreeMap::new(), String::new(), None);
        for (name, role, table) in read.chain(written) {
            for (key, option) in table.options.iter() {
                all.push_str(&format!("{name} {key}={};", option.value));
            }
            all.push_str(&format!("{};", table.schema()));
            let Ok(connector) = registry.connector_of(table) else { continue };
            if role == Role::Sink && connector.sink_guarantee(table) == SinkGuarantee::Deciding {
                token = Some(connector.token_place(table));
            }
            tables.insert(name, format!("{} {}", connector.name(), connector.place(table, role)));
        }
        for (_, node) in &topology.sources {
            if let SourceInput::Values(rows) = &node.input {
                tables.insert(format!("read {}", node.name), flott_plan::values_fingerprint(rows));
            }
        }
        let shape = PlanShape::of(plan);
        plan.nodes.iter().for_each(|node| all.push_str(&format!("{};", node.stable_id)));
        Self {
            edges,
            edge_ids: topology.edges.iter().map(ids).collect(),
            tables,
            read: sources.collect(),
            token,
            endless: names_of(topology, |source| !source.bounded),
            all: format!("{:016x}", nonce(&all)).into(),
            sink_numbers: shape.sinks.iter().cloned().zip(0..).collect(),
            shape,
        }
    }

    /// The number by which a sink is known.
    pub(super) fn sink_number(&self, name: &str) -> usize {
        self.sink_numbers.get(name).copied().unwrap_or_default()
    }

    /// Sinks keep the numbers that they had; new ones get others than any sink had before.
    pub(super) fn number_sinks(&mut self, manifest: &Manifest) {
        let saved = manifest.counters.get("sink_numbers").cloned();
        let saved = saved.and_then(|it| serde_json::from_value::<BTreeMap<String, usize>>(it).ok());
        // An earlier version wrote it, which took the script as it was only.
        let Some(mut numbers) = saved else { return };
        let mut next = numbers.values().max().map_or(0, |last| last + 1);
        for name in &self.shape.sinks {
            numbers.entry(name.clone()).or_insert_with(|| {
                next += 1;
                next - 1
            });
        }
        self.sink_numbers = numbers;
    }

    /// Whether what an operator hands over is what the plan says of its tables: another script would read it
    /// by that. For builds with debug assertions.
    ///
    /// # Errors
    /// `Internal`
    pub(super) fn check_declared(&self, operator: &str, snapshot: &OperatorSnapshot) -> Result<()> {
        let shape = self.shape.operators.iter().find(|it| it.id == operator);
        let Some(declared) = shape.and_then(|it| it.tables.as_ref()) else { return Ok(()) };
        for (name, table) in &snapshot.tables {
            let of = declared.iter().find(|it| it.name == *name);
            let width = of.map(|it| it.keys + it.columns.iter().filter(|it| it.is_there()).count());
            let batches =
                table.parts.iter().flat_map(|part| part.changes.delta.iter().chain(&part.changes.full));
            for batch in batches {
                if width != batch.num_columns().checked_sub(LEADING_COLUMNS) {
                    let message =
                        format!("table '{name}' of {operator} is not as declared: {:?}", batch.schema());
                    return Err(Diagnostic::error(Code::Internal, message));
                }
            }
        }
        Ok(())
    }

    /// What a manifest says of the script.
    pub(super) fn extras(&self, counts: &Counts, first_generation: u64) -> Value {
        json!({
            "counts": counts,
            "edges": self.edges,
            "edge_ids": self.edge_ids,
            "tables": self.tables,
            "token": self.token,
            "endless": self.endless,
            "script": self.all,
            "shape": self.shape,
            "sink_numbers": self.sink_numbers,
            "first_generation": first_generation,
        })
    }

    fn after(&self) -> After {
        let places = |kind: &str| {
            let of =
                |(name, place): (&String, &String)| Some((name.strip_prefix(kind)?.into(), place.clone()));
            self.tables.iter().filter_map(of).collect()
        };
        let (shape, endless) = (self.shape.clone(), &self.endless);
        let bounded = shape.sources.iter().filter(|it| !endless.contains(*it)).cloned().collect();
        After { shape, bounded, sources: places("read "), sinks: places("written ") }
    }

    /// What becomes of a checkpoint under this script.
    ///
    /// # Errors
    /// `CheckpointUnusable`: nobody can go on from it with this script, whatever is dropped.
    pub(super) fn upgrade(&self, found: &Found<'_>, registry: &Registry, key_groups: u16) -> Result<Upgrade> {
        let manifest = found.manifest;
        let unusable = |message: String| {
            Diagnostic::error(Code::CheckpointUnusable, message)
                .help("start afresh with --resume never, or give the job another 'pipeline.name'")
        };
        let (number, job) = (manifest.number, &manifest.job);
        if manifest.key_groups != key_groups {
            return Err(unusable(format!(
                "checkpoint {number} of '{job}' has {} key groups, the job has {key_groups}",
                manifest.key_groups
            ))
            .help("set 'pipeline.max-parallelism' to what it was"));
        }
        let was = |name: &str| manifest.counters.get(name);
        if manifest.finished && was("script").is_some_and(|it| *it != self.all) {
            return Err(unusable(format!(
                "'{job}' finished at checkpoint {number}, and its script is another one now"
            )));
        }
        self.check_token(found)?;
        let (mut before, after) = (before(manifest, found.confirmed), self.after());
        self.compare_places(&mut before, &after, manifest, registry);
        let upgrade = Upgrade::plan(&before, &after);
        let gone = upgrade.verdicts.iter().find(|it| {
            it.subject == Subject::Sink
                && it.verdict == Fate::Dropped
                && before.sinks.get(&it.name).is_some_and(|sink| sink.pending)
        });
        if let Some(gone) = gone {
            let message = format!(
                "checkpoint {number} of '{job}' has rows to publish for sink '{}', which the script {}",
                gone.name,
                if after.sinks.contains_key(&gone.name) { "has elsewhere now" } else { "no longer has" }
            );
            return Err(Diagnostic::error(Code::CheckpointUnusable, message)
                .help("run the script as it was once more, then change it"));
        }
        Ok(upgrade)
    }

    /// The token says which checkpoints were committed: whoever asks another one would be told of none, and whoever
    /// asks none would take for committed what may not be.
    fn check_token(&self, found: &Found<'_>) -> Result<()> {
        // Earlier versions don't say where it is.
        let Some(was) = found.manifest.counters.get("token").filter(|_| !found.named) else { return Ok(()) };
        let (number, job) = (found.manifest.number, &found.manifest.job);
        let error = |message: String| Err(Diagnostic::error(Code::CheckpointUnusable, message));
        match (was.as_str(), self.token.as_deref()) {
            (Some(was), None) if !found.confirmed => error(format!(
                "checkpoint {number} of '{job}' may not be committed yet ({was}), and the script writes nothing \
                 exactly once there any more"
            ))
            .map_err(|error| error.help("run the script as it was once more, then change it")),
            (Some(was), Some(is)) if was != is => error(format!(
                "checkpoint {number} of '{job}' was committed under {was}: the script has {is}, where nothing says \
                 whether it was"
            ))
            .map_err(|error| takes_over(error.help("give it back what it had"))),
            (None, Some(is)) => error(format!(
                "checkpoint {number} of '{job}' was made without a transaction: the script writes exactly once now, \
                 and under {is} nothing says that it was committed"
            ))
            .map_err(takes_over),
            _ => Ok(()),
        }
    }

    /// Tables whose positions say better than a place whether they are still the same ones; and those of which an
    /// earlier version has written no place.
    fn compare_places(&self, before: &mut Before, after: &After, manifest: &Manifest, registry: &Registry) {
        for (name, is) in &after.sinks {
            if let Some(sink) = before.sinks.get_mut(name) {
                sink.place.take_if(|was| was.ends_with(' ') && is.starts_with(was.as_str()));
            }
        }
        for (name, table) in &self.read {
            let (Some(read), Some(position), Some(is), Ok(connector)) = (
                before.sources.get_mut(name),
                manifest.sources.get(name),
                after.sources.get(name),
                registry.connector_of(table),
            ) else {
                continue;
            };
            let own = format!("{} ", connector.name());
            if read.place.as_ref().is_some_and(|was| !was.starts_with(&own)) {
                continue;
            }
            match connector.resumes(table, position) {
                Resumes::WhereItIs => {}
                Resumes::Yes => read.place = Some(is.clone()),
                Resumes::No(why) => read.lost = Some(why),
            }
        }
    }

    /// A sink with rows in this checkpoint that the script can't publish, and why.
    pub(super) fn unpublishable<'a>(&self, manifest: &'a Manifest) -> Option<(&'a str, &'static str)> {
        let why = |name: &String| {
            if !self.shape.sinks.contains(name) {
                return Some("no longer has");
            }
            let key = format!("written {name}");
            let was = manifest.counters.get("tables").and_then(|it| it.get(&key)).and_then(Value::as_str);
            let moved = was.zip(self.tables.get(&key)).is_some_and(|(was, is)| was != is);
            moved.then_some("has elsewhere now")
        };
        let pending = manifest.sinks.iter().filter(|(_, rows)| !rows.is_empty());
        pending.filter_map(|(name, _)| Some((name.as_str(), why(name)?))).next()
    }

    /// What a checkpoint counted, for this script's sources, edges and sinks.
    pub(super) fn counts(&self, manifest: &Manifest, upgrade: &Upgrade) -> Option<Counts> {
        let saved = manifest.counters.get("counts").cloned().unwrap_or_default();
        let saved: Counts = serde_json::from_value(saved).ok()?;
        if manifest.counters.get("edges") == Some(&self.edges) && upgrade.changes_nothing() {
            return Some(saved);
        }
        let was = shape_of(manifest)?;
        let ids: Vec<[String; 2]> =
            serde_json::from_value(manifest.counters.get("edge_ids")?.clone()).ok()?;
        let renamed: BTreeMap<&str, &str> = upgrade.renamed().collect();
        let now = |id: &String| renamed.get(id.as_str()).map_or_else(|| id.clone(), |id| (*id).to_string());
        let mut edges: Vec<Option<([String; 2], [u64; 9])>> = ids
            .iter()
            .map(|[from, to]| [now(from), now(to)])
            .zip(saved.edges.iter().copied())
            .map(Some)
            .collect();
        let goes_on = |source: &String| upgrade.goes_on(source);
        let mut counts = Counts { dead_letters: saved.dead_letters, ..Counts::default() };
        for source in &self.shape.sources {
            let at = was.sources.iter().position(|it| it == source).filter(|_| goes_on(source));
            counts.sources.push(at.and_then(|at| saved.sources.get(at)).copied().unwrap_or_default());
        }
        for id in &self.edge_ids {
            let source = id[0].strip_prefix("source:").map(str::to_string);
            let anew = source.as_ref().is_some_and(|it| !goes_on(it));
            let known = edges.iter_mut().find(|it| it.as_ref().is_some_and(|it| it.0 == *id));
            let known = known.and_then(Option::take).filter(|_| !anew).map(|it| it.1);
            let read = source.and_then(|it| self.shape.sources.iter().position(|name| *name == it));
            let read = read.and_then(|at| counts.sources.get(at)).map_or(0, |it| it[0]);
            counts.edges.push(known.unwrap_or([read, 0, 0, 0, 0, 0, 0, 0, read]));
        }
        for sink in &self.shape.sinks {
            let id = format!("sink:{sink}");
            let brought = self.edge_ids.iter().zip(&counts.edges).filter(|(edge, _)| edge[1] == id);
            let written: u64 = brought.map(|(_, counts)| counts[2]).sum();
            let at = was.sinks.iter().position(|it| it == sink);
            let known = at.and_then(|at| saved.sinks.get(at)).filter(|it| it[0] == written);
            counts.sinks.push(known.copied().unwrap_or([written, 0, 0, 0]));
        }
        Some(counts)
    }
}

/// What a manifest says of its script's operators; none: an earlier version wrote it.
fn shape_of(manifest: &Manifest) -> Option<PlanShape> {
    serde_json::from_value(manifest.counters.get("shape")?.clone()).ok()
}

fn before(manifest: &Manifest, confirmed: bool) -> Before {
    let shape = shape_of(manifest);
    let held = |id: &String| {
        let tables = manifest.operators.get(id).into_iter().flat_map(|entry| entry.tables.values());
        let mut held = Held::default();
        for table in tables {
            held.rows += table.rows;
            held.bytes += table.blocks.iter().map(|block| block.bytes).sum::<u64>();
        }
        (id.clone(), held)
    };
    let place = |kind: &str, name: &str| {
        let place = manifest.counters.get("tables")?.get(format!("{kind} {name}"))?.as_str()?;
        Some(place.to_string())
    };
    let read = |name: &str| {
        let at = shape.as_ref()?.sources.iter().position(|it| it == name)?;
        manifest.counters.get("counts")?.get("sources")?.get(at)?.get(0)?.as_u64()
    };
    let endless: Option<BTreeSet<String>> =
        manifest.counters.get("endless").and_then(|it| serde_json::from_value(it.clone()).ok());
    let source = |name: &String| {
        let endless = endless.as_ref().is_some_and(|it| it.contains(name));
        (name.clone(), Read { place: place("read", name), rows: read(name), endless, lost: None })
    };
    let sink = |(name, rows): (&String, &Vec<Value>)| {
        let pending = !confirmed && !rows.is_empty();
        (name.clone(), Written { place: place("written", name), pending })
    };
    Before {
        operators: manifest.plan.iter().chain(manifest.operators.keys()).map(held).collect(),
        sources: manifest.sources.keys().map(source).collect(),
        sinks: manifest.sinks.iter().map(sink).collect(),
        shape,
    }
}

/// How an operator's state is read, if not as it is. `now`: milliseconds.
pub(super) fn reshape(source: &StateSource, now: i64) -> Option<Reshape> {
    use flott_plan::upgrade::ColumnSource;
    if source.tables.is_none() && source.numbers.is_empty() {
        return None;
    }
    let column = |it: &ColumnSource| match it {
        ColumnSource::Saved(at) => ColumnFrom::Saved(*at),
        ColumnSource::Fields(at, fields) => ColumnFrom::Fields(*at, fields.clone()),
        ColumnSource::Bits(at, bits) => ColumnFrom::Bits(*at, bits.clone()),
        ColumnSource::Anew => ColumnFrom::Anew,
        ColumnSource::Now => ColumnFrom::Constant(now),
    };
    let tables = source.tables.as_ref().map(|tables| {
        let table = |(name, it): (&String, &flott_plan::upgrade::TableSource)| {
            let columns = it.columns.iter().map(column).collect();
            (name.clone(), TableFrom { name: it.name.clone(), keys: it.keys, columns, only: it.only })
        };
        tables.iter().map(table).collect()
    });
    Some(Reshape { tables, numbers: source.numbers.clone() })
}

/// Refuses to lose what nobody gave leave to lose.
///
/// # Errors
/// `StateLost`
pub(super) fn check_lost(upgrade: &Upgrade, manifest: &Manifest, allowed: &[String]) -> Result<()> {
    let lost: Vec<_> = upgrade.lost(allowed).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = lost.iter().map(|it| format!("{} ({})", it.id, it.reasons.join("; "))).collect();
    let message = format!(
        "checkpoint {} of '{}' holds what the script can't take up: {}",
        manifest.number,
        manifest.job,
        each.join(", ")
    );
    let leave: Vec<String> = lost.iter().map(|it| format!("--allow-drop {}", it.id)).collect();
    Err(Diagnostic::error(Code::StateLost, message).help(format!(
        "'flott upgrade' shows what becomes of each part; to go on without these add {}",
        leave.join(" ")
    )))
}

/// Says what becomes of a checkpoint, as far as it isn't as it was.
pub(super) fn log(upgrade: &Upgrade) {
    for it in &upgrade.verdicts {
        let reasons = it.reasons.join("; ");
        match it.verdict {
            Fate::Kept => {}
            fate if it.loses => tracing::warn!(id = it.id.as_str(), "{}: {reasons}", fate.word()),
            fate => tracing::info!(id = it.id.as_str(), "{}: {reasons}", fate.word()),
        }
    }
}

fn takes_over(error: Box<Diagnostic>) -> Box<Diagnostic> {
    error.help(
        "or name the checkpoint with --resume DIR/JOB: the run goes on from it and takes its rows for committed, so it \
         must be a confirmed one",
    )
}

/// What becomes of a checkpoint under a plan, for somebody who wants to know before anything runs. `confirmed`: its
/// rows are published; `named`: it is of a job of another name, to be gone on from by its path.
///
/// # Errors
/// `CheckpointUnusable`: nobody can go on from it with this plan, whatever is dropped.
pub fn upgrade(
    plan: &StreamPlan,
    registry: &Registry,
    manifest: &Manifest,
    key_groups: u16,
    (confirmed, named): (bool, bool),
) -> Result<Upgrade> {
    let found = Found { manifest, confirmed, named };
    Script::of(plan, &Topology::of(plan)?, registry).upgrade(&found, registry, key_groups)
}
