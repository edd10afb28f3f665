//! Two samples of a run in, what holds it back out: a pure function.
//!
//! ```text
//!   a checkpoint that can't finish, or fails         nothing is published, whatever else is so
//!   a split whose time stands still                  windows wait, however fast rows come
//!   a sink that wants no rows                        everything before it waits
//!   the part of a busy shard that takes the most     rows come faster than they are computed
//!   a look-up that waits for its answers             so do the rows before it
//!   ─────────────────────────────────────────
//!   none of these: it keeps up with its input
//! ```
//! Each cause has a score, and the list is sorted by it. A cause that follows from another one is not
//! listed by itself: a source that has to wait is told with what it waits for.

use std::collections::BTreeSet;

use flott_engine::activity::{
    BarrierStage, CheckpointSample, Phase, Place, Sample, SinkSample, SourceSample, UnderWaySample,
};
use serde::Serialize;

use super::between::{Between, instant, peak, percent, rows_a_second, span, span_of_millis};
use crate::report::{grouped, size};

/// What a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A checkpoint has been under way for too long.
    CheckpointStuck,
    /// The last checkpoint could not be written.
    CheckpointFails,
    /// A source can't be reached.
    SourceUnreachable,
    /// A sink can't be reached.
    SinkUnreachable,
    /// The oldest split's time stands still, or lies far behind.
    OldSplit,
    /// A sink wants no rows.
    SinkPushesBack,
    /// An operator takes most of a busy shard.
    SlowOperator,
    /// Decoding and what is computed right behind it takes most of a busy shard.
    SlowDecoding,
    /// Encoding takes most of a busy shard.
    SlowEncoding,
    /// An operator waits for answers from outside.
    WaitsForAnswers,
    /// Fine: nothing comes.
    WaitsForInput,
    /// Fine: it takes all that comes.
    KeepsUp,
    /// Fine: all input was read.
    Ends,
}

impl Kind {
    /// Whether this holds the run back.
    pub fn holds_back(self) -> bool {
        !matches!(self, Kind::WaitsForInput | Kind::KeepsUp | Kind::Ends)
    }
}

/// What holds a run back, or that nothing does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// What it is.
    pub kind: Kind,
    /// How much it counts: above 0.3 for all that are listed, those above 1 before all others.
    pub score: f64,
    /// The part of the plan that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// That one's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// One sentence with figures.
    pub sentence: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Cause {
    fn new(kind: Kind, score: f64, sentence: String) -> Self {
        Self { kind, score, place: None, name: String::new(), sentence, help: None }
    }
    fn of(mut self, place: Place, name: &str) -> Self {
        self.place = Some(place);
        self.name = name.to_string();
        self
    }
    fn help(mut self, help: &str) -> Self {
        self.help = Some(help.to_string());
        self
    }
}

/// A checkpoint may take so long, whatever its interval is.
const CHECKPOINT_PATIENCE: u64 = 5_000_000_000;
/// And so many times its interval.
const CHECKPOINT_INTERVALS: u64 = 3;
/// A shard that is at work for this share of the time could hardly do more.
const BUSY: f64 = 0.8;
/// A source that is held up for this share of the time gives more than is taken.
const HELD: f64 = 0.5;
/// A cause below this share isn't worth telling.
const WORTH_TELLING: f64 = 0.3;
/// A source that has given nothing for so long is waited for.
const SILENT: u64 = 2_000_000_000;
/// Before that nobody can say that something never comes.
const BEGINNING: u64 = 3_000_000_000;
/// A split that lies this far behind others is told of even if it moves on (milliseconds).
const FAR_BEHIND: i64 = 60_000;

/// What holds the run back, the worst first; one cause at least.
pub fn diagnose(first: &Sample, second: &Sample) -> Vec<Cause> {
    let between = Between { first, second };
    let mut causes = Vec::new();
    causes.extend(checkpoint(&between));
    causes.extend(unreachable(&between));
    causes.extend(old_split(&between));
    causes.extend(sinks(&between));
    causes.extend(answers(&between));
    causes.extend(busiest(&between));
    causes.sort_by(|a, b| b.score.total_cmp(&a.score));
    if causes.is_empty() {
        causes.push(fine(&between));
    }
    causes
}

/// The name of a part of the plan.
pub fn name(sample: &Sample, place: Place) -> &str {
    match place {
        Place::Source(at) => sample.sources.get(at).map(|it| it.name.as_str()),
        Place::Operator(at) => sample.operators.get(at).map(|it| it.name.as_str()),
        Place::Sink(at) => sample.sinks.get(at).map(|it| it.name.as_str()),
    }
    .unwrap_or("?")
}

/// ` (window-aggregate-0f3a…)`
fn id(sample: &Sample, operator: usize) -> String {
    sample.operators.get(operator).map_or_else(String::new, |it| format!(" ({})", it.id))
}

// --- checkpoints --------------------------------------------------------------------------------

fn checkpoint(between: &Between<'_>) -> Option<Cause> {
    let it = between.second.checkpoint.as_ref()?;
    let since = match &it.last {
        Some(last) => {
            format!("nothing is published since checkpoint {}, {} ago", last.number, span(last.age))
        }
        None => "no checkpoint of this run is complete yet".to_string(),
    };
    if let Some(under_way) = it.under_way.as_ref().filter(|under_way| is_stuck(it, under_way)) {
        let (what, place) = waits_for(between, under_way);
        let sentence = format!(
            "the checkpoint of epoch {} can't finish: under way for {}, {what}; {since}",
            under_way.epoch,
            span(under_way.age)
        );
        let cause = Cause::new(Kind::CheckpointStuck, 1.2, sentence);
        return Some(match place {
            Some(place) => cause.of(place, name(between.second, place)),
            None => cause,
        });
    }
    let failure = it.failure.as_ref()?;
    let sentence = format!("checkpoints fail ({} so far): {failure}; {since}", it.failed);
    Some(
        Cause::new(Kind::CheckpointFails, 1.1, sentence)
            .help("what they hold waits in memory for the next one"),
    )
}

fn is_stuck(checkpoint: &CheckpointSample, under_way: &UnderWaySample) -> bool {
    let patience = checkpoint.interval.saturating_mul(CHECKPOINT_INTERVALS).max(CHECKPOINT_PATIENCE);
    under_way.age > patience
}

/// What a checkpoint waits for.
fn waits_for(between: &Between<'_>, under_way: &UnderWaySample) -> (String, Option<Place>) {
    match under_way.phase {
        Phase::Writing => {
            return ("its state is still being written: the checkpoint store is slow".into(), None);
        }
        Phase::Publishing => return ("what it holds is still being published".into(), None),
        Phase::Barrier => {}
    }
    let sample = between.second;
    let missing = format!("{} of {} shards are missing", under_way.shards.len(), sample.shards);
    // Those that are furthest behind hold up the others, too.
    let Some(shard) = under_way.shards.iter().min_by_key(|it| it.stage as u8) else {
        return ("it waits for its turn on the job thread".into(), None);
    };
    let number = shard.shard;
    match shard.stage {
        BarrierStage::Sinks => {
            let place = shard.sinks.first().map(|at| Place::Sink(*at));
            let sink = place.map_or("?", |place| name(sample, place));
            let what =
                format!("{missing}, and sink '{sink}' on shard {number} has not made its rows durable");
            (what, place)
        }
        stage => {
            let where_is_it = match (stage, shard.operators.first()) {
                (BarrierStage::Operators, Some(at)) => {
                    let operator = name(sample, Place::Operator(*at));
                    format!("{missing}, and operator '{operator}' on shard {number} has not let it through")
                }
                _ => format!("{missing}, and shard {number} has not read up to it"),
            };
            match culprit(between) {
                Some((why, place)) => (format!("{where_is_it} because {why}"), Some(place)),
                None => (where_is_it, shard.operators.first().map(|at| Place::Operator(*at))),
            }
        }
    }
}

/// What keeps rows, and barriers between them, from going on.
fn culprit(between: &Between<'_>) -> Option<(String, Place)> {
    let causes = sinks(between).into_iter().chain(answers(between)).chain(busiest(between));
    let worst = causes.max_by(|a, b| a.score.total_cmp(&b.score))?;
    let place = worst.place?;
    let share = match worst.kind {
        Kind::SinkPushesBack => {
            let share = peak(&between.blocked(place)).1;
            format!("sink '{}' wants no rows {} of the time", worst.name, percent(share))
        }
        Kind::WaitsForAnswers => format!("operator '{}' waits for answers", worst.name),
        _ => format!("'{}' is busy {} of the time", worst.name, percent(peak(&between.busy(place)).1)),
    };
    Some((share, place))
}

// --- event time ---------------------------------------------------------------------------------

/// Where time stands for a source: the oldest of its splits, by name.
struct Standing<'a> {
    at: usize,
    source: &'a SourceSample,
    split: String,
    watermark: Option<i64>,
}

/// Per operator: the sources whose rows come to it, through others or not.
fn meetings(sample: &Sample) -> Vec<BTreeSet<usize>> {
    let mut behind = vec![BTreeSet::new(); sample.operators.len()];
    // Each round takes every source one operator further.
    for _ in 0..=sample.operators.len() {
        for edge in &sample.edges {
            let Place::Operator(to) = edge.to else { continue };
            let from = match edge.from {
                Place::Source(source) => BTreeSet::from([source]),
                Place::Operator(operator) => behind.get(operator).cloned().unwrap_or_default(),
                Place::Sink(_) => continue,
            };
            if let Some(behind) = behind.get_mut(to) {
                behind.extend(from);
            }
        }
    }
    behind
}

fn standings(sample: &Sample) -> Vec<Standing<'_>> {
    let counts = |source: &SourceSample| source.event_time && !source.ended && !source.idle;
    let sources = sample.sources.iter().enumerate().filter(|(_, source)| counts(source));
    sources
        .map(|(at, source)| {
            let oldest = source.splits.first();
            Standing {
                at,
                source,
                split: oldest.map(|it| it.name.clone()).unwrap_or_default(),
                watermark: oldest.map_or(source.watermark, |split| split.watermark),
            }
        })
        .collect()
}

fn old_split(between: &Between<'_>) -> Option<Cause> {
    let sample = between.second;
    let all = standings(sample);
    // Only sources that meet somewhere hold each other's time back.
    let meetings = meetings(sample);
    let newest_beside = |it: &Standing<'_>| {
        let meets = |other: &&Standing<'_>| {
            other.at == it.at || meetings.iter().any(|met| met.contains(&it.at) && met.contains(&other.at))
        };
        all.iter().filter(meets).filter_map(|other| other.source.newest.or(other.source.watermark)).max()
    };
    let behind = all.iter().filter_map(|it| Some((it, newest_beside(it)?)));
    // One that has no time yet comes first, then the one that is furthest behind.
    let (oldest, newest) = behind.max_by_key(|(it, newest)| {
        it.watermark.map_or(i64::MAX, |watermark| newest.saturating_sub(watermark))
    })?;
    let before = standings(between.first).iter().find(|it| it.at == oldest.at).and_then(|it| it.watermark);
    let silent = match oldest.source.silent {
        Some(silent) if silent >= SILENT => format!(", and has given nothing for {}", span(silent)),
        None => ", and has given nothing yet".to_string(),
        Some(_) => String::new(),
    };
    let (split, source) = (&oldest.split, &oldest.source.name);
    let one_of_several = oldest.source.open_splits > 1 || split.contains('/');
    let split = match one_of_several && !split.is_empty() {
        true => format!("split '{split}' of source '{source}'"),
        false => format!("source '{source}'"),
    };
    let place = Place::Source(oldest.at);
    let told = |score: f64, sentence: String| {
        Some(Cause::new(Kind::OldSplit, score, sentence).of(place, &oldest.source.name))
    };
    let Some(watermark) = oldest.watermark else {
        if sample.elapsed < BEGINNING {
            return None;
        }
        let why = match (oldest.source.rows, oldest.source.unopened) {
            (_, true) => ", and more of its splits are not open yet".to_string(),
            (0, _) => silent,
            (rows, _) => format!(", though {rows} rows have come"),
        };
        let newest = instant(newest);
        let sentence =
            format!("{split} holds event time back: it has no watermark{why}; others are at {newest}");
        let cause = told(0.95, sentence);
        return cause.map(|it| {
            it.help("'table.exec.source.idle-timeout' has nobody wait for a source that gives nothing")
        });
    };
    let lag = newest.saturating_sub(watermark);
    let stands_still = before == Some(watermark) && lag >= 1000;
    if !stands_still && lag < FAR_BEHIND {
        return None;
    }
    let how = if stands_still { "stands still" } else { "is far behind" };
    let sentence = format!(
        "{split} holds event time back: it {how} at {}, {} behind the newest{silent}",
        instant(watermark),
        span_of_millis(lag)
    );
    let cause = told(if stands_still { 0.95 } else { 0.45 }, sentence)?;
    Some(match oldest.source.silent {
        Some(silent) if silent >= SILENT => {
            cause.help("'table.exec.source.idle-timeout' has nobody wait for a source that gives nothing")
        }
        _ => cause,
    })
}

// --- rows ---------------------------------------------------------------------------------------

/// `; source 'bids' is held up 95 % of the time`, for the source that is held up the most.
fn held_up(between: &Between<'_>) -> String {
    let held: Vec<f64> = (0..between.second.sources.len()).map(|at| between.held(at)).collect();
    let (at, share) = peak(&held);
    if share < WORTH_TELLING {
        return String::new();
    }
    format!(
        "; source '{}' is held up {} of the time",
        name(between.second, Place::Source(at)),
        percent(share)
    )
}

fn sinks(between: &Between<'_>) -> Vec<Cause> {
    let sample = between.second;
    let each = |at: usize| {
        let place = Place::Sink(at);
        let (shard, share) = peak(&between.blocked(place));
        (share >= WORTH_TELLING).then(|| {
            let sentence = format!(
                "sink '{}' pushes back: it wants no rows {} of the time (shard {shard}) and takes {}{}",
                name(sample, place),
                percent(share),
                rows_a_second(between.rows(place)),
                held_up(between)
            );
            Cause::new(Kind::SinkPushesBack, share * 0.97, sentence).of(place, name(sample, place))
        })
    };
    (0..sample.sinks.len()).filter_map(each).collect()
}

fn answers(between: &Between<'_>) -> Vec<Cause> {
    let sample = between.second;
    let each = |at: usize| {
        let place = Place::Operator(at);
        let unready = |sample: &Sample| -> Vec<u64> {
            sample
                .operators
                .get(at)
                .map(|it| it.shards.iter().map(|it| it.unready).collect())
                .unwrap_or_default()
        };
        let shares: Vec<f64> = unready(between.first)
            .into_iter()
            .zip(unready(sample))
            .map(|(before, after)| between.share(before, after))
            .collect();
        let (shard, share) = peak(&shares);
        (share >= WORTH_TELLING).then(|| {
            let sentence = format!(
                "operator '{}'{} waits for answers from its table {} of the time (shard {shard}), {}{}",
                name(sample, place),
                id(sample, at),
                percent(share),
                rows_a_second(between.rows(place)),
                held_up(between)
            );
            Cause::new(Kind::WaitsForAnswers, share * 0.9, sentence).of(place, name(sample, place))
        })
    };
    (0..sample.operators.len()).filter_map(each).collect()
}

/// All parts of the plan.
fn places(sample: &Sample) -> impl Iterator<Item = Place> + '_ {
    let sources = (0..sample.sources.len()).map(Place::Source);
    let operators = (0..sample.operators.len()).map(Place::Operator);
    sources.chain(operators).chain((0..sample.sinks.len()).map(Place::Sink))
}

/// What takes most of the busiest shard, if that one has no time left.
fn busiest(between: &Between<'_>) -> Option<Cause> {
    let sample = between.second;
    let mut load = vec![0.0; sample.shards];
    for place in places(sample) {
        for (shard, share) in between.busy(place).into_iter().enumerate() {
            if let Some(load) = load.get_mut(shard) {
                *load += share;
            }
        }
    }
    let (shard, load) = peak(&load);
    let held: Vec<f64> = (0..sample.sources.len()).map(|at| between.held(at)).collect();
    // A machine that is shared leaves less time than there is.
    let waits = peak(&held).1 >= HELD && sinks(between).is_empty() && answers(between).is_empty();
    if load < BUSY && !waits {
        return None;
    }
    let of = |place: Place| between.busy(place).get(shard).copied().unwrap_or(0.0);
    let place = places(sample).max_by(|a, b| of(*a).total_cmp(&of(*b)))?;
    let share = of(place);
    let took = format!("busy {} of the time on shard {shard}", percent(share));
    let (rows, held) = (rows_a_second(between.rows(place)), held_up(between));
    let called = name(sample, place);
    let (kind, sentence) = match place {
        Place::Operator(at) => {
            let state: u64 =
                sample.operators.get(at).map_or(0, |it| it.shards.iter().map(|it| it.state_bytes).sum());
            let state = if state > 0 { format!(", {} of state", size(state)) } else { String::new() };
            let crowd = crowd(between, at, shard);
            let id = id(sample, at);
            let sentence =
                format!("operator '{called}'{id} is the slowest: {took}{crowd}, {rows}{state}{held}");
            (Kind::SlowOperator, sentence)
        }
        Place::Source(_) => {
            let sentence = format!(
                "decoding source '{called}' and what is computed right behind it takes the most: {took}, {rows}{held}"
            );
            (Kind::SlowDecoding, sentence)
        }
        Place::Sink(_) => (
            Kind::SlowEncoding,
            format!("writing rows for sink '{called}' takes the most: {took}, {rows}{held}"),
        ),
    };
    Some(Cause::new(kind, load.clamp(HELD, 1.0) * 0.9, sentence).of(place, called))
}

/// `, which gets 92 % of the rows`, where one shard gets far more than its part.
fn crowd(between: &Between<'_>, operator: usize, shard: usize) -> String {
    let of = |sample: &Sample| -> Vec<u64> {
        sample
            .operators
            .get(operator)
            .map(|it| it.shards.iter().map(|it| it.rows_in).collect())
            .unwrap_or_default()
    };
    let (before, after) = (of(between.first), of(between.second));
    let came: Vec<u64> = after
        .iter()
        .enumerate()
        .map(|(at, after)| after.saturating_sub(before.get(at).copied().unwrap_or(0)))
        .collect();
    let (mine, all) = (came.get(shard).copied().unwrap_or(0), came.iter().sum::<u64>());
    let part = mine as f64 / (all.max(1)) as f64;
    if came.len() > 1 && part > 1.5 / came.len() as f64 && part > 0.5 {
        format!(", which gets {} of its rows", percent(part))
    } else {
        String::new()
    }
}

// --- what can't be reached ------------------------------------------------------------------------

fn unreachable(between: &Between<'_>) -> Vec<Cause> {
    let troubled = |(at, source): (usize, &SourceSample)| {
        let trouble = source.trouble.as_ref().filter(|_| !source.ended)?;
        let sentence = format!("source '{}' waits: {trouble}", source.name);
        Some(Cause::new(Kind::SourceUnreachable, 2.0, sentence).of(Place::Source(at), &source.name))
    };
    let sources = between.second.sources.iter().enumerate().filter_map(troubled);
    let stuck = |(at, sink): (usize, &SinkSample)| {
        let sentence = format!("sink '{}' waits: {}", sink.name, sink.trouble.as_ref()?);
        Some(Cause::new(Kind::SinkUnreachable, 1.9, sentence).of(Place::Sink(at), &sink.name))
    };
    sources.chain(between.second.sinks.iter().enumerate().filter_map(stuck)).collect()
}

// --- nothing ------------------------------------------------------------------------------------

fn fine(between: &Between<'_>) -> Cause {
    let sample = between.second;
    let mut open = sample.sources.iter().enumerate().filter(|(_, source)| !source.ended).peekable();
    if open.peek().is_none() {
        let sentence = "all input was read: what is left is being written".to_string();
        return Cause::new(Kind::Ends, 0.0, sentence);
    }
    let quiet = |source: &SourceSample| source.silent.is_none_or(|silent| silent >= SILENT);
    if open.clone().all(|(_, source)| quiet(source)) {
        let said = |(_, source): (usize, &SourceSample)| match source.silent {
            Some(silent) => format!("source '{}' has given nothing for {}", source.name, span(silent)),
            None => format!("source '{}' has given nothing yet", source.name),
        };
        let all: Vec<String> = open.clone().map(said).collect();
        let sentence = format!("waits for input: {}", all.join(", "));
        let cause = Cause::new(Kind::WaitsForInput, 0.0, sentence);
        return match open.next() {
            Some((at, source)) => cause.of(Place::Source(at), &source.name),
            None => cause,
        };
    }
    let said = |(at, source): (usize, &SourceSample)| {
        let lag = source.lag.filter(|it| *it > 0).map(|it| format!(", {} behind", grouped(it)));
        let rows = rows_a_second(between.rows(Place::Source(at)));
        format!("source '{}' gives ({rows}{})", source.name, lag.unwrap_or_default())
    };
    let all: Vec<String> = open.map(said).collect();
    let waiting: f64 = places(sample).map(|place| peak(&between.busy(place)).1).fold(0.0, f64::max);
    let sentence = format!(
        "nothing holds it back: it reads as fast as {}; its busiest part is at work {} of the time",
        all.join(", "),
        percent(waiting)
    );
    Cause::new(Kind::KeepsUp, 0.0, sentence)
}

#[cfg(test)]
mod tests;
