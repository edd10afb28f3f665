//! Joins of rows that come and go: regular joins, and those bounded in time.
//!
//! **Keeps** the rows of both sides as they came, found by the key; for a side whose lone rows come out,
//! how many partners each has. A join bounded in time keeps them in time buckets.
//!
//! **Emits** pairs at once, in batches, however many a row finds. What a row's being alone says (a row
//! padded with NULLs, an `EXISTS` that holds) is settled at the flush: a row that found a partner
//! meanwhile was never alone. Bounded in time: when no partner can come any more.
//!
//! **A watermark** drops the buckets that no row to come can reach. A regular join knows no time; a time
//! to live forgets rows that nothing has touched.
//!
//! **A retraction** takes the row back with its pairs; partners that are left alone come out as such.
//!
//! ```text
//!   left rows  ─► log by key ◄─┐ probe                 ┌─► pairs
//!        └──────── probe ─► log by key ◄─ right rows ──┴─► lone rows (flush, or time has passed)
//! ```
//! Within a batch, what goes is done before what comes, and rows that do both cancel. NULL equals
//! nothing: such rows are kept only where they can be taken back.
//!
//! Source: Flink's `StreamingJoinOperator`, `StreamingSemiAntiJoinOperator`, `TimeIntervalJoin`.

mod emit;
mod part;
mod probe;
mod side;
#[cfg(test)]
mod tests;

use arrow::array::{ArrayRef, UInt32Array};
use flott_plan::{IntervalJoin, JoinOn, RegularJoin};
use flott_sql::JoinKind;
use flott_state::{NO_SLOT, OperatorSnapshot, OperatorState};
use flott_types::{Result, RowKind, Schema, TimeAttribute};

use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{lowest, take_all};
use emit::Emitter;
use part::Part;
use probe::Matcher;
use side::{Note, Side};

/// How a join is bounded in time.
#[derive(Debug, Clone)]
struct Bounded {
    time: TimeAttribute,
    /// Left less right, at least and at most.
    lower: i64,
    upper: i64,
    /// Behind a watermark w come rows later than w plus this.
    ahead: [i64; 2],
    /// Rows are dropped as time passes.
    drops: bool,
}

impl Bounded {
    /// Which times of the other side a row at `time` finds.
    fn range(&self, input: usize, time: i64) -> (i64, i64) {
        match input {
            0 => (time.saturating_sub(self.upper), time.saturating_sub(self.lower)),
            _ => (time.saturating_add(self.lower), time.saturating_add(self.upper)),
        }
    }
    /// Up to which time no row of an input is needed any more behind this watermark.
    fn passed(&self, input: usize, watermark: i64) -> i64 {
        let [left, right] = self.ahead;
        match (watermark, input) {
            _ if !self.drops => i64::MIN,
            (i64::MAX, _) => i64::MAX,
            (_, 0) => watermark.saturating_add(right).saturating_add(self.lower),
            _ => watermark.saturating_add(left).saturating_sub(self.upper),
        }
    }
}

/// Whether rows come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Comes,
    Goes,
}

/// The operator.
pub(crate) struct JoinOperator {
    sides: [Side; 2],
    kind: JoinKind,
    matcher: Matcher,
    emitter: Emitter,
    bounded: Option<Bounded>,
    context: Context,
    watermark: i64,
    /// When rows that nothing has touched are looked for next.
    sweep_at: Option<i64>,
}

impl JoinOperator {
    pub(crate) fn regular(node: &RegularJoin, inputs: [&Schema; 2], context: &Context) -> Result<Self> {
        let side = |at: usize| Side::regular(node, at, inputs[at]);
        Ok(Self::new(&node.on, [side(0)?, side(1)?], node.with_before, None, context))
    }

    pub(crate) fn bounded(node: &IntervalJoin, inputs: [&Schema; 2], context: &Context) -> Result<Self> {
        let side = |at: usize| Side::bounded(node, at, inputs[at]);
        let bounded = Bounded {
            time: node.time,
            lower: node.lower_millis.unwrap_or(i64::MIN),
            upper: node.upper_millis.unwrap_or(i64::MAX),
            drops: node.drops,
            ahead: node.times.map(|it| it.ahead_millis),
        };
        Ok(Self::new(&node.on, [side(0)?, side(1)?], node.with_before, Some(bounded), context))
    }

    fn new(
        on: &JoinOn,
        sides: [Side; 2],
        with_before: bool,
        bounded: Option<Bounded>,
        context: &Context,
    ) -> Self {
        let matcher = Matcher::new(on, &sides, context);
        let emitter = Emitter::new(&sides, on.is_one_sided(), with_before, context.batch_rows);
        Self {
            sides,
            kind: on.kind,
            matcher,
            emitter,
            bounded,
            context: context.clone(),
            watermark: i64::MIN,
            sweep_at: None,
        }
    }

    /// Whether lone rows come out when time has passed them.
    fn drops(&self) -> bool {
        self.bounded.as_ref().is_some_and(|it| it.drops)
    }

    fn is_one_sided(&self) -> bool {
        matches!(self.kind, JoinKind::Semi | JoinKind::Anti)
    }

    /// Rows of an input that are new.
    fn come(&mut self, input: usize, part: Part, stamp: i64, out: &mut Output<'_>) -> Result<()> {
        let mut part = part;
        if let Some(unmatchable) = part.take_unmatchable()? {
            self.unmatchable(input, unmatchable, stamp, out)?;
        }
        if part.rows == 0 {
            return Ok(());
        }
        let found = self.probe(input, &part, Change::Comes, out)?;
        self.keep(input, &part, &found, stamp, out)
    }

    /// New rows with a NULL in their key: they find nothing.
    fn unmatchable(&mut self, input: usize, part: Part, stamp: i64, out: &mut Output<'_>) -> Result<()> {
        let Some(side) = self.sides.get(input) else { return Ok(()) };
        if !side.lone {
            return Ok(());
        }
        if side.retracts {
            return self.keep(input, &part, &vec![0; part.rows], stamp, out);
        }
        self.emitter.lone(input, &part.columns, part.rows, RowKind::Insert, out)
    }

    /// Keeps new rows that have found so many partners each.
    fn keep(
        &mut self,
        input: usize,
        part: &Part,
        found: &[u32],
        stamp: i64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let passed = self.bounded.as_ref().map(|it| it.passed(input, self.watermark));
        let (kind, is_bounded) = (self.kind, self.drops());
        let Some(side) = self.sides.get_mut(input) else { return Ok(()) };
        for (bucket, rows) in part.by_bucket(side.bucket_millis) {
            let late = passed.is_some_and(|passed| side.end_of(bucket) <= passed);
            let (columns, count) =
                (part.stored(rows.as_ref())?, rows.as_ref().map_or(part.rows, |it| it.len()));
            let all: UInt32Array = rows.unwrap_or_else(|| (0..part.rows as u32).collect());
            if late {
                // Nobody to come can reach it.
                if side.lone {
                    let alone = |row: &&u32| found.get(**row as usize).is_none_or(|it| *it == 0);
                    let alone: UInt32Array = all.values().iter().filter(alone).copied().collect();
                    let columns = take_all(&part.columns, &alone)?;
                    self.emitter.lone(input, &columns, alone.len(), RowKind::Insert, out)?;
                }
                if kind == JoinKind::Semi && input == 0 {
                    emit_found(&self.emitter, part, found, &all, out)?;
                }
                continue;
            }
            let first = side.logs.push(bucket, columns, count, stamp)?;
            if !side.counted {
                continue;
            }
            for (slot, row) in (first..).zip(all.values()) {
                let found = found.get(*row as usize).copied().unwrap_or(0);
                if found > 0
                    && let Some(log) = side.logs.get_mut(bucket)
                {
                    log.set_count(slot, found, stamp);
                }
                let says = match kind {
                    JoinKind::Semi => found > 0,
                    _ => found == 0,
                };
                if says && !is_bounded {
                    let row_kind =
                        if kind == JoinKind::Anti { part.kind(*row as usize) } else { RowKind::Insert };
                    let row_kind = if kind == JoinKind::Semi { part.kind(*row as usize) } else { row_kind };
                    side.note(slot, Note { slot, said: false, kind: row_kind });
                }
            }
            if is_bounded && kind == JoinKind::Semi {
                emit_found(&self.emitter, part, found, &all, out)?;
            }
        }
        Ok(())
    }

    /// Rows of an input that are taken back.
    fn go(&mut self, input: usize, part: Part, out: &mut Output<'_>) -> Result<()> {
        let mut part = part;
        let (one_sided, kind, is_bounded) = (self.is_one_sided(), self.kind, self.drops());
        let Some(side) = self.sides.get_mut(input) else { return Ok(()) };
        if !side.lone && part.take_unmatchable()?.is_some() && part.rows == 0 {
            // They were never kept.
            return Ok(());
        }
        let mut places: Vec<(i64, u32)> = vec![(0, NO_SLOT); part.rows];
        for (bucket, rows) in part.by_bucket(side.bucket_millis) {
            let Some(log) = side.logs.get_mut(bucket) else { continue };
            let columns = part.stored(rows.as_ref())?;
            let count = rows.as_ref().map_or(part.rows, |it| it.len());
            let slots = log.take_equal(&columns, count)?;
            for (at, slot) in slots.iter().enumerate() {
                let row = rows.as_ref().map_or(at, |rows| rows.value(at) as usize);
                if let Some(place) = places.get_mut(row) {
                    *place = (bucket, *slot);
                }
            }
        }
        let missing = places.iter().filter(|it| it.1 == NO_SLOT).count();
        if missing > 0 {
            *out.unmatched += missing as u64;
            part = part.only(&places.iter().map(|it| it.1 != NO_SLOT).collect::<Vec<_>>())?;
            places.retain(|it| it.1 != NO_SLOT);
        }
        // What was said of the rows alone is taken back.
        let mut alone = Vec::new();
        for (row, (bucket, slot)) in places.iter().enumerate() {
            let count = side.logs.get(*bucket).map_or(0, |log| log.count(*slot));
            if is_bounded && kind == JoinKind::Semi && input == 0 && count > 0 {
                alone.push(row as u32);
            } else if is_bounded || !side.counted {
                // Nothing was said yet.
            } else if one_sided {
                let said = (count > 0) == (kind == JoinKind::Semi);
                side.note(*slot, Note { slot: *slot, said, kind: part.kind(row) });
            } else if count == 0 && !side.is_noted(*slot) {
                alone.push(row as u32);
            }
        }
        if !alone.is_empty() {
            let columns = take_all(&part.columns, &alone.clone().into())?;
            self.emitter.lone(input, &columns, alone.len(), RowKind::Delete, out)?;
        }
        self.probe(input, &part, Change::Goes, out)?;
        let Some(side) = self.sides.get_mut(input) else { return Ok(()) };
        places.sort_unstable();
        for of_bucket in places.chunk_by(|a, b| a.0 == b.0) {
            let slots: Vec<u32> = of_bucket.iter().map(|it| it.1).collect();
            let Some(log) = of_bucket.first().and_then(|it| side.logs.get_mut(it.0)) else { continue };
            log.remove(&slots)?;
        }
        Ok(())
    }

    /// Time has come so far: drops what no row to come can reach.
    fn pass(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        let Some(bounded) = self.bounded.as_ref().filter(|it| it.drops) else { return Ok(()) };
        self.watermark = self.watermark.max(watermark);
        for input in 0..2 {
            let passed = bounded.passed(input, self.watermark);
            let Some(side) = self.sides.get_mut(input) else { continue };
            while let Some(bucket) = side.logs.first().filter(|bucket| side.end_of(*bucket) <= passed) {
                let Some(log) = side.logs.remove(bucket) else { break };
                if !side.lone {
                    continue;
                }
                let alone: Vec<u32> = log.live().filter(|slot| log.count(*slot) == 0).collect();
                for slots in alone.chunks(self.context.batch_rows.max(1)) {
                    let columns = log.columns(slots, 0..side.width)?;
                    self.emitter.lone(input, &columns, slots.len(), RowKind::Insert, out)?;
                }
            }
        }
        Ok(())
    }

    /// Says what has come of rows that are alone, or no longer are.
    fn settle(&mut self, out: &mut Output<'_>) -> Result<()> {
        for input in 0..2 {
            let Some(side) = self.sides.get_mut(input) else { continue };
            let notes = side.take_notes();
            if let Some(log) = side.logs.get(0) {
                let wants_partner = self.kind == JoinKind::Semi;
                let (mut goes, mut comes) = (Vec::new(), Vec::new());
                for note in notes {
                    let says = log.is_live(note.slot) && (log.count(note.slot) > 0) == wants_partner;
                    match (note.said, says) {
                        (true, false) => goes.push((note.slot, note.kind)),
                        (false, true) => comes.push((note.slot, note.kind)),
                        _ => {}
                    }
                }
                for notes in [goes, comes] {
                    for notes in notes.chunks(self.context.batch_rows.max(1)) {
                        let (slots, kinds): (Vec<u32>, Vec<RowKind>) = notes.iter().copied().unzip();
                        let columns = log.columns(&slots, 0..side.width)?;
                        self.emitter.lone_of_kinds(input, &columns, &kinds, out)?;
                    }
                }
            }
            for (_, log) in side.logs.iter_mut() {
                log.compact()?;
            }
        }
        Ok(())
    }

    /// Forgets what nothing has touched for too long.
    fn sweep(&mut self, now_millis: i64) {
        self.sweep_at = None;
        for side in &mut self.sides {
            let Some(ttl) = side.ttl_millis else { continue };
            for (_, log) in side.logs.iter_mut() {
                log.expire(now_millis.saturating_sub(ttl));
            }
            if !side.logs.is_empty() {
                let next = now_millis.saturating_add((ttl / 16).max(1));
                self.sweep_at = Some(self.sweep_at.map_or(next, |at| at.min(next)));
            }
        }
    }
}

/// Left rows of a semi join that have found a partner.
fn emit_found(
    emitter: &Emitter,
    part: &Part,
    found: &[u32],
    rows: &UInt32Array,
    out: &mut Output<'_>,
) -> Result<()> {
    let has = |row: &&u32| found.get(**row as usize).is_some_and(|it| *it > 0);
    let rows: UInt32Array = rows.values().iter().filter(has).copied().collect();
    let columns: Vec<ArrayRef> = take_all(&part.columns, &rows)?;
    emitter.lone(0, &columns, rows.len(), RowKind::Insert, out)
}

impl Operator for JoinOperator {
    fn on_rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let now = (self.context.now_millis)();
        let is_clock = self.bounded.as_ref().is_some_and(|it| it.time == TimeAttribute::Proctime);
        if is_clock {
            self.pass(now.saturating_sub(1), out)?;
        }
        let Some(side) = self.sides.get(input) else { return Ok(()) };
        let Some(part) = side.part(rows, is_clock.then_some(now), &self.matcher, out)? else { return Ok(()) };
        if self.sweep_at.is_none() && self.sides.iter().any(|it| it.ttl_millis.is_some()) {
            let shortest = self.sides.iter().filter_map(|it| it.ttl_millis).min().unwrap_or(0);
            self.sweep_at = Some(now.saturating_add((shortest / 16).max(1)));
        }
        let (goes, comes) = part.split()?;
        if let Some(part) = goes {
            self.go(input, part, out)?;
        }
        match comes {
            Some(part) => self.come(input, part, now, out),
            None => Ok(()),
        }
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        match &self.bounded {
            Some(it) if it.time == TimeAttribute::Rowtime => self.pass(watermark, out),
            _ => Ok(()),
        }
    }

    fn looks_at_time(&self) -> bool {
        self.bounded.is_some()
    }

    fn next_timer(&self) -> Option<i64> {
        let bounded = self.bounded.as_ref().filter(|it| it.time == TimeAttribute::Proctime);
        let Some(bounded) = bounded else { return self.sweep_at };
        let due = |input: usize| {
            let side = self.sides.get(input)?;
            let end = side.end_of(side.logs.first()?);
            // The clock at which everything up to the bucket's end has passed.
            Some(end.saturating_sub(bounded.passed(input, 0)).saturating_add(1))
        };
        (0..2).filter_map(due).min()
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        if self.bounded.as_ref().is_some_and(|it| it.time == TimeAttribute::Proctime) {
            let passed = if now_millis == i64::MAX { i64::MAX } else { now_millis.saturating_sub(1) };
            return self.pass(passed, out);
        }
        if now_millis != i64::MAX && self.sweep_at.is_some_and(|at| at <= now_millis) {
            self.settle(out)?;
            self.sweep(now_millis);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.settle(out)
    }

    fn output_watermark(&self, watermark: i64) -> i64 {
        let Some(bounded) = &self.bounded else { return watermark };
        if watermark == i64::MAX || watermark == i64::MIN {
            return watermark;
        }
        // Pairs may hold a row that much older than what has just come; lone rows wait for their bucket.
        let wait = bounded.lower.saturating_neg().max(bounded.upper).max(0);
        let bucket = self.sides.iter().map(|it| it.bucket_millis.unwrap_or(0)).max().unwrap_or(0);
        watermark.saturating_sub(wait).saturating_sub(bucket)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        for side in &mut self.sides {
            snapshot.logs(side.name, &mut side.logs)?;
        }
        snapshot.value("watermark", self.watermark);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        for side in &mut self.sides {
            state.logs(side.name, &mut side.logs, &self.context.groups)?;
        }
        self.watermark = lowest(state, "watermark");
        if let Some(timer) = state.timer_kept() {
            self.sweep_at = timer;
        } else if self.sides.iter().any(|it| it.ttl_millis.is_some() && !it.logs.is_empty()) {
            // What had expired is in the snapshots still.
            self.sweep((self.context.now_millis)());
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.sides.iter().map(Side::memory).sum()
    }
}
