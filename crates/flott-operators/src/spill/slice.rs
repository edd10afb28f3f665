//! A slice: the part of an operator's state in some of its key groups, in memory or away.
//!
//! ```text
//!   resident  operator ──put away──► file: all rows         what is read back
//!                          └───────► file: what has changed  for the next checkpoint
//!   away      file, or blocks of a checkpoint ──load──► operator
//! ```
//! Invariants
//! - What changed since the last barrier is in the operator (resident) or in `changes`: a slice that is
//!   put away hands its changes over first.
//! - If most of it has changed, the file of all rows is what is handed over, and nothing is written twice.
//! - A bucket that went and came back within an epoch may be in two parts of it, which nothing tells apart:
//!   the file of all rows then takes the place of what was handed over before.

use std::ops::Range;
use std::sync::Arc;

use flott_state::manifest::GroupRange;
use flott_state::segment::OperatorPart;
use flott_state::{
    FullPlan, LiveBucket, OperatorSnapshot, OperatorState, ScratchFile, Segment, SpilledPart, spill_failed,
};
use flott_types::{Code, Diagnostic, Result};

use super::waiting::{Item, Moment, Store};
use super::{Maker, SpillSettings};
use crate::operator::{Operator, Output, Replayed, Rows};

/// What the operator is called in its files.
const NAME: &str = "";

/// Where a slice's state is while the slice is away.
pub(super) enum Kept {
    Nothing,
    /// In a file.
    File {
        whole: Box<OperatorPart>,
        file: Arc<ScratchFile>,
        bytes: u64,
        /// The next checkpoint has nothing of it yet, whatever changes.
        foreign: bool,
    },
    /// Where a checkpoint has it: nothing of it has been read yet.
    Checkpoint(Box<OperatorState>),
}

/// A slice.
pub(super) struct Slice {
    pub(super) groups: Range<u16>,
    operator: Option<Box<dyn Operator>>,
    pub(super) kept: Kept,
    /// What has changed since the last barrier, oldest first.
    changes: Vec<SpilledPart>,
    /// What a manifest says of it as it is, without blocks.
    present: OperatorPart,
    /// Bytes of changes in checkpoints since all of it was written, and in how many parts.
    chain: u64,
    links: u32,
    /// What waits for it on disk, and from where on in memory.
    pub(super) stored: Store,
    pub(super) cursor: usize,
    /// Bytes of rows that wait.
    pub(super) waiting: u64,
    /// By the clock, since when something waits.
    pub(super) since: i64,
    /// A watermark or a timer waits.
    pub(super) time_waits: bool,
    /// The watermark that it has taken, and what its output's is.
    processed: i64,
    reached: i64,
    /// The watermark that counts for it when it has taken the rows that wait: its operator has no use for it.
    pending: i64,
    timer: Option<i64>,
    /// Its operator's timer when it was put away.
    due: Option<i64>,
    /// Bytes in memory, when it was measured last.
    pub(super) memory: usize,
    /// When it was used last.
    pub(super) used: u64,
    /// It has taken something since its state was written, since the last barrier, since the last flush.
    unsaved: bool,
    unhanded: bool,
    unflushed: bool,
}

/// What slices are made and written with.
pub(super) struct Means<'a> {
    pub(super) maker: &'a Maker,
    pub(super) to: &'a SpillSettings,
    pub(super) epoch: u64,
    /// Numbers files.
    pub(super) files: &'a mut u64,
}

impl Means<'_> {
    fn name(&mut self, what: &str) -> String {
        *self.files += 1;
        format!("{}-{what}-{}", self.to.name, self.files)
    }
}

/// Writes a file.
pub(super) fn write(to: &SpillSettings, name: String, bytes: &[u8]) -> Result<ScratchFile> {
    ScratchFile::write(&to.storage, name, bytes).map_err(spill_failed)
}

/// A file that can't be read back.
pub(super) fn unreadable(mut error: Box<Diagnostic>) -> Box<Diagnostic> {
    if matches!(error.code, Code::CheckpointUnusable | Code::CheckpointFailed) {
        error.code = Code::StateSpillFailed;
        error.message = format!("state that was put away: {}", error.message);
    }
    error
}

impl Slice {
    /// One that is away.
    pub(super) fn new(groups: Range<u16>, kept: Kept) -> Self {
        Self {
            groups,
            operator: None,
            kept,
            changes: Vec::new(),
            present: OperatorPart::default(),
            chain: 0,
            links: 0,
            stored: Store::new(),
            cursor: 0,
            waiting: 0,
            since: i64::MIN,
            time_waits: false,
            processed: i64::MIN,
            reached: i64::MIN,
            pending: i64::MIN,
            timer: None,
            due: None,
            memory: 0,
            used: 0,
            unsaved: false,
            unhanded: false,
            unflushed: false,
        }
    }

    /// One of an operator that is being cut: the rows of its groups go to a file.
    pub(super) fn cut_from(
        operator: &mut dyn Operator,
        groups: Range<u16>,
        watermark: i64,
        means: &mut Means<'_>,
    ) -> Result<Self> {
        let mut slice = Self::new(groups, Kept::Nothing);
        (slice.processed, slice.reached) = (watermark, operator.output_watermark(watermark));
        slice.timer = operator.next_timer();
        slice.due = slice.timer;
        let mut whole = OperatorSnapshot::copy_of(means.epoch, means.maker.groups(), slice.groups.clone());
        operator.snapshot(&mut whole)?;
        let part = slice.keep(whole, false, means)?;
        if means.to.checkpoints {
            slice.changes.push(part);
        }
        Ok(slice)
    }

    pub(super) fn is_resident(&self) -> bool {
        self.operator.is_some()
    }

    /// Whether something waits for it.
    pub(super) fn waits(&self) -> bool {
        self.waiting > 0 || self.time_waits
    }

    /// Something will wait for it.
    pub(super) fn begins_to_wait(&mut self, now_millis: i64) {
        if !self.waits() {
            self.since = now_millis;
        }
    }

    /// Bytes on disk: its state, what is to be handed over, what waits.
    pub(super) fn disk(&self) -> u64 {
        let waiting: u64 = self.stored.iter().map(super::waiting::Stored::bytes).sum();
        let changes: u64 = self.changes.iter().map(|it| it.part.bytes()).sum();
        self.kept_bytes() + changes + waiting
    }

    /// Bytes that have to be read to load it.
    pub(super) fn kept_bytes(&self) -> u64 {
        match &self.kept {
            Kept::Nothing => 0,
            Kept::File { bytes, .. } => *bytes,
            Kept::Checkpoint(state) => state.bytes(),
        }
    }

    /// Bytes that it takes in memory, or would.
    pub(super) fn expected_memory(&self) -> usize {
        match self.memory {
            0 => usize::try_from(self.kept_bytes().saturating_mul(2)).unwrap_or(usize::MAX),
            memory => memory,
        }
    }

    pub(super) fn output_watermark(&self) -> i64 {
        self.operator.as_ref().map_or(self.reached, |it| it.output_watermark(self.processed))
    }

    pub(super) fn next_timer(&self) -> Option<i64> {
        self.operator.as_ref().map_or(self.timer, |it| it.next_timer())
    }

    /// A timer waits for it from now on.
    pub(super) fn timer_waits(&mut self) {
        (self.timer, self.time_waits) = (None, true);
    }

    /// Measures it.
    pub(super) fn measure(&mut self) -> usize {
        let Some(operator) = &self.operator else { return 0 };
        self.memory = operator.memory();
        self.memory
    }

    /// Reads its state back.
    pub(super) fn load(&mut self, maker: &Maker) -> Result<()> {
        if self.operator.is_some() {
            return Ok(());
        }
        let mut operator = maker.make(self.groups.clone())?;
        match &self.kept {
            Kept::Nothing => operator.restore(&OperatorState::empty())?,
            Kept::File { whole, file, foreign, .. } => {
                let (entry, storage) = (whole.entry(&self.groups), file.storage().clone());
                let state = OperatorState::new(NAME, entry, self.groups.clone(), storage).put_away(self.due);
                let state = if *foreign { state.rewritten() } else { state };
                operator.restore(&state).map_err(unreadable)?;
                self.unhanded |= foreign;
                self.unsaved |= foreign;
            }
            Kept::Checkpoint(state) => {
                operator.restore(state)?;
                // What a manifest would say of it isn't known yet, and perhaps all is to be written anew.
                (self.unhanded, self.unsaved) = (true, true);
            }
        }
        self.operator = Some(operator);
        self.measure();
        Ok(())
    }

    /// State of another job, or of another operator: copied here, since nothing of what it is in need stay.
    pub(super) fn copy_here(&mut self, means: &mut Means<'_>) -> Result<()> {
        self.load(means.maker)?;
        let Some(mut operator) = self.operator.take() else { return Ok(()) };
        (self.reached, self.timer) = (operator.output_watermark(self.processed), operator.next_timer());
        self.due = self.timer;
        let mut whole = OperatorSnapshot::copy_of(means.epoch, means.maker.groups(), self.groups.clone());
        operator.snapshot(&mut whole)?;
        drop(operator);
        self.keep(whole, true, means)?;
        (self.unsaved, self.unhanded) = (false, false);
        Ok(())
    }

    /// Whether nothing of it has been taken into the checkpoints that this run writes.
    pub(super) fn is_unread(&self) -> bool {
        let unread = matches!(self.kept, Kept::Checkpoint(_) | Kept::File { foreign: true, .. });
        unread && !self.is_resident()
    }

    /// A watermark that its operator has no use for. It counts when rows before it have been taken.
    pub(super) fn pass(&mut self, watermark: i64) {
        self.pending = self.pending.max(watermark);
        if self.is_resident() || !self.waits() {
            self.passed();
        }
    }

    /// It has taken what waited.
    pub(super) fn passed(&mut self) {
        self.processed = self.processed.max(self.pending);
        self.reached = self.reached.max(self.pending);
    }

    /// Takes rows.
    pub(super) fn rows(&mut self, input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        (self.unsaved, self.unhanded, self.unflushed) = (true, true, true);
        match &mut self.operator {
            Some(operator) => operator.on_rows(input, rows, out),
            None => Err(away()),
        }
    }

    /// Time moves on.
    pub(super) fn moment(&mut self, moment: Moment, out: &mut Output<'_>) -> Result<()> {
        let Some(operator) = &mut self.operator else { return Err(away()) };
        match moment {
            Moment::Watermark(watermark) => {
                operator.on_watermark(watermark, out)?;
                self.processed = self.processed.max(watermark);
            }
            Moment::Clock(now) => {
                if now != i64::MAX && operator.next_timer().is_none_or(|timer| timer > now) {
                    return Ok(());
                }
                operator.on_time(now, out)?;
            }
        }
        (self.unsaved, self.unhanded, self.unflushed) = (true, true, true);
        Ok(())
    }

    /// Has it tell what it has gathered.
    pub(super) fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        match &mut self.operator {
            Some(operator) if std::mem::take(&mut self.unflushed) => operator.flush(out),
            _ => Ok(()),
        }
    }

    /// Takes something that has waited. `gathered`: rows since the last flush.
    pub(super) fn replay(
        &mut self,
        item: Item,
        maker: &Maker,
        to: &SpillSettings,
        gathered: &mut u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let (origin, rows) = match item {
            Item::Moment(moment) => {
                if !maker.batch_mode() {
                    self.flush(out)?;
                }
                *gathered = 0;
                self.moment(moment, out)?;
                return self.flush(out);
            }
            Item::Rows(origin, rows) => (origin, rows),
        };
        let one_by_one = to.flush_rows == 1 && !maker.batch_mode() && !rows.partial;
        let step = if one_by_one { 1 } else { maker.batch_rows() };
        let mut from = 0;
        while from < rows.batch.num_rows() {
            let length = step.min(rows.batch.num_rows() - from);
            let kinds = rows.kinds.as_ref().map(|it| it.slice(from, length));
            let batch = rows.batch.slice(from, length);
            let part = Rows { batch, kinds, partial: rows.partial, count: length as u64 };
            from += length;
            out.lane.set(origin.lane);
            let mut counted = Replayed { lane: origin.lane, ..Replayed::default() };
            let mut output = Output {
                emit: &mut *out.emit,
                late: &mut *out.late,
                reject: &mut *out.reject,
                late_partial: &mut counted.late_partial,
                unmatched: &mut counted.unmatched,
                between: &mut counted.between,
                lane: out.lane,
                replayed: &mut *out.replayed,
                given_up: out.given_up,
            };
            self.rows(origin.input, part, &mut output)?;
            if counted.late_partial + counted.unmatched + counted.between > 0 {
                out.replayed.push(counted);
            }
            *gathered += length as u64;
            if *gathered >= to.flush_rows && !maker.batch_mode() {
                *gathered = 0;
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Puts it away. `tail`: where what comes from now on begins.
    pub(super) fn put_away(
        &mut self,
        tail: usize,
        means: &mut Means<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        self.flush(out)?;
        let Some(mut operator) = self.operator.take() else { return Ok(()) };
        self.memory = operator.memory();
        self.cursor = tail;
        (self.reached, self.timer) = (operator.output_watermark(self.processed), operator.next_timer());
        self.due = self.timer;
        if !self.unsaved {
            return Ok(());
        }
        self.write_down(operator.as_mut(), true, means)
    }

    /// Writes down what an operator in memory has: what has changed, and all of it where it `goes` or where
    /// changes alone won't do.
    fn write_down(&mut self, operator: &mut dyn Operator, goes: bool, means: &mut Means<'_>) -> Result<()> {
        let changed = match means.to.checkpoints && self.unhanded {
            true => {
                let mut changed = OperatorSnapshot::new(means.epoch, means.maker.groups(), FullPlan::new());
                operator.snapshot(&mut changed)?;
                Some(changed)
            }
            false => None,
        };
        let born_twice = changed.as_ref().is_some_and(|it| self.is_born_twice(it));
        if !goes && !born_twice && !self.is_long() {
            self.unhanded = false;
            return changed.map_or(Ok(()), |it| self.hand(it, means));
        }
        let mut whole = OperatorSnapshot::copy_of(means.epoch, means.maker.groups(), self.groups.clone());
        operator.snapshot(&mut whole)?;
        let (changed_rows, rows) = (changed.as_ref().map_or(0, OperatorSnapshot::rows), whole.rows());
        let part = self.keep(whole, false, means)?;
        if let Some(changed) = changed {
            if changed_rows.saturating_mul(2) > rows || born_twice || self.is_long() {
                self.changes = vec![part];
                (self.chain, self.links) = (0, 0);
            } else {
                self.hand(changed, means)?;
            }
        }
        (self.unsaved, self.unhanded) = (false, false);
        Ok(())
    }

    /// Forgets its state: the job is at its end.
    pub(super) fn forget(&mut self, tail: usize) {
        self.reached = self.output_watermark();
        (self.operator, self.kept, self.timer, self.cursor) = (None, Kept::Nothing, None, tail);
        self.memory = 0;
    }

    /// Writes all of it down: what is read back, and what a checkpoint may take.
    fn keep(&mut self, whole: OperatorSnapshot, foreign: bool, means: &mut Means<'_>) -> Result<SpilledPart> {
        let name = means.name("state");
        let mut segment = Segment::encode(name, &self.groups, [(NAME.to_owned(), whole)])?;
        let part = segment.part.operators.remove(NAME).unwrap_or_default();
        let bytes = segment.bytes.len() as u64;
        let file = Arc::new(write(means.to, segment.name, &segment.bytes)?);
        self.present = part.unchanged();
        self.kept = Kept::File { whole: Box::new(part.clone()), file: file.clone(), bytes, foreign };
        Ok(SpilledPart { groups: GroupRange::from(&self.groups), part, file: Some(file) })
    }

    /// Writes down what has changed, for the next barrier.
    fn hand(&mut self, changed: OperatorSnapshot, means: &mut Means<'_>) -> Result<()> {
        let name = means.name("changes");
        let mut segment = Segment::encode(name, &self.groups, [(NAME.to_owned(), changed)])?;
        let part = segment.part.operators.remove(NAME).unwrap_or_default();
        self.present = part.unchanged();
        let file = match segment.bytes.is_empty() {
            true => None,
            false => Some(Arc::new(write(means.to, segment.name, &segment.bytes)?)),
        };
        self.changes.push(SpilledPart { groups: GroupRange::from(&self.groups), part, file });
        Ok(())
    }

    /// Whether checkpoints have it in so many pieces that it is better written as a whole.
    fn is_long(&self) -> bool {
        let large = self.chain > CHAIN_BYTES && self.chain / 2 > self.kept_bytes();
        large || self.links > LINKS
    }

    /// Whether a bucket that is born in this epoch may have been born in it before, too: part of what this
    /// epoch has handed over already would be an earlier bucket's rows, and nothing says which.
    fn is_born_twice(&self, changed: &OperatorSnapshot) -> bool {
        let has = |name: &str, bucket: i64| {
            let tables = self.changes.iter().filter_map(|it| it.part.tables.get(name));
            tables.flat_map(|it| it.live.iter().flatten()).any(|it| it.0 == bucket)
        };
        let tables = changed.tables.iter();
        let mut live = tables.flat_map(|(name, it)| it.live.iter().flatten().map(move |it| (name, it)));
        live.any(|(name, LiveBucket(bucket, born))| *born == changed.epoch() && has(name, *bucket))
    }

    /// What has changed since the last barrier.
    pub(super) fn snapshot(&mut self, means: &mut Means<'_>) -> Result<Vec<SpilledPart>> {
        if self.unhanded
            && let Some(mut operator) = self.operator.take()
        {
            let handed = self.write_down(operator.as_mut(), false, means);
            self.operator = Some(operator);
            handed?;
        }
        let changed: u64 = self.changes.iter().map(|it| it.part.bytes()).sum();
        self.chain = self.chain.saturating_add(changed);
        let links = self.changes.iter().filter(|it| it.part.bytes() > 0).count();
        self.links = self.links.saturating_add(u32::try_from(links).unwrap_or(u32::MAX));
        let mut parts = std::mem::take(&mut self.changes);
        if let Kept::File { whole, file, foreign: false, .. } = &self.kept
            && self.is_long()
            && !self.unsaved
        {
            // The file has all of it: the checkpoint needs nothing older.
            let part = whole.as_ref().clone();
            parts =
                vec![SpilledPart { groups: GroupRange::from(&self.groups), part, file: Some(file.clone()) }];
            (self.chain, self.links) = (0, 0);
        }
        let last = parts.len().saturating_sub(1);
        parts.iter_mut().take(last).for_each(|it| it.part.forget_present());
        match parts.last_mut() {
            None => {
                let part = self.present.clone();
                parts.push(SpilledPart { groups: GroupRange::from(&self.groups), part, file: None });
            }
            // A part that was written before others says less of the present than is known.
            Some(last) => {
                for (name, table) in &self.present.tables {
                    if let Some(part) = last.part.tables.get_mut(name) {
                        (part.live, part.rows) = (table.live.clone(), table.rows);
                    }
                }
                last.part.values.clone_from(&self.present.values);
            }
        }
        Ok(parts)
    }
}

/// Shorter chains of changes are left alone.
const CHAIN_BYTES: u64 = 1 << 20;

/// A restore reads each part by itself.
const LINKS: u32 = 64;

fn away() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "rows for a slice of state that is away")
}
