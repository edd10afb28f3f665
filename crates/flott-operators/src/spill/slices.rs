//! An operator in slices: which are in memory, what waits for the others, whose turn it is.
//!
//! ```text
//!   rows ─┬─► slices in memory take them at once
//!         └─► the others' wait ─► the longest queue's turn: load, take all, make room
//! ```
//! A turn costs reading and writing a slice. It comes when more bytes wait than the state has that would be
//! read, so each row pays for about as much as itself; when the shard has nothing else to do; before a
//! barrier; at the end.

use std::ops::Range;

use arrow::array::ArrayRef;
use flott_state::{KeyGroups, OperatorSnapshot, OperatorState, SpilledPart, hash_rows};
use flott_types::{Code, Diagnostic, Result};

use super::slice::{Kept, Means, Slice};
use super::waiting::{Moment, Sorted, Tail};
use super::{Maker, SpillSettings};
use crate::operator::{Operator, Output, Rows, Spilled};

/// So many slices at the most: with more the pieces of a batch get small.
const SLICES_MAX: usize = 64;

/// Who has waited so long has a turn also where there is other work.
const OVERDUE_MILLIS: i64 = 10_000;

/// Such turns take no more than one part in so many of the time.
const OVERDUE_SHARE: i64 = 8;

/// The slices of an operator on a shard.
pub(super) struct Slices {
    slices: Vec<Slice>,
    /// Per key group, from the first on: its slice.
    of_group: Vec<u16>,
    first_group: u16,
    groups: KeyGroups,
    tail: Tail,
    /// The end of the input has come: slices are finished one by one.
    closing: bool,
    uses: u64,
    files: u64,
    next_spare: usize,
    /// By the clock, when the next slice may have a turn because it has waited long.
    next_overdue: i64,
    disk_peak: u64,
}

fn ranges(owned: &Range<u16>) -> impl Iterator<Item = Range<u16>> {
    let groups = usize::from(owned.end.saturating_sub(owned.start));
    let count = groups.clamp(1, SLICES_MAX);
    let first = owned.start;
    let at = move |slice: usize| first.saturating_add((slice * groups / count) as u16);
    (0..count).map(move |slice| at(slice)..at(slice + 1))
}

impl Slices {
    fn new(owned: &Range<u16>, groups: KeyGroups, slices: Vec<Slice>) -> Self {
        let of = |group: u16| slices.iter().position(|it| it.groups.contains(&group)).unwrap_or(0) as u16;
        Self {
            of_group: owned.clone().map(of).collect(),
            first_group: owned.start,
            groups,
            slices,
            tail: Tail::default(),
            closing: false,
            uses: 0,
            files: 0,
            next_spare: 0,
            next_overdue: i64::MIN,
            disk_peak: 0,
        }
    }

    /// Cuts an operator that is in memory; all of it goes away.
    pub(super) fn cut(
        mut operator: Box<dyn Operator>,
        watermark: i64,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
    ) -> Result<Self> {
        let (mut slices, mut files) = (Vec::new(), 0);
        for groups in ranges(maker.owned()) {
            let mut means = Means { maker, to, epoch, files: &mut files };
            slices.push(Slice::cut_from(operator.as_mut(), groups, watermark, &mut means)?);
        }
        let mut this = Self::new(maker.owned(), maker.groups(), slices);
        this.files = files;
        this.disk_peak = this.disk();
        Ok(this)
    }

    /// State that would not fit: it stays where the checkpoint has it. Of another job's checkpoint, or an
    /// operator that was another one, it is copied: those files need not stay.
    ///
    /// # Errors
    /// Damaged state.
    pub(super) fn restore(state: &OperatorState, maker: &Maker, to: &SpillSettings) -> Result<Self> {
        let mut this = Self::unread(state, maker);
        if !state.is_rewritten() {
            // It is read when the run has begun, which is too late to find damage.
            state.verify()?;
            return Ok(this);
        }
        for slice in &mut this.slices {
            slice.copy_here(&mut Means { maker, to, epoch: 0, files: &mut this.files })?;
        }
        this.disk_peak = this.disk();
        Ok(this)
    }

    /// State that nobody has read.
    pub(super) fn unread(state: &OperatorState, maker: &Maker) -> Self {
        let slices = ranges(maker.owned()).map(|groups| {
            let kept = Kept::Checkpoint(Box::new(state.of_groups(groups.clone())));
            Slice::new(groups, kept)
        });
        Self::new(maker.owned(), maker.groups(), slices.collect())
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.resident() + self.tail.bytes()
    }

    fn resident(&self) -> usize {
        self.slices.iter().filter(|it| it.is_resident()).map(|it| it.memory).sum()
    }

    /// Bytes on disk.
    pub(super) fn spilled(&self) -> Spilled {
        let now = self.disk();
        Spilled { now, peak: now.max(self.disk_peak) }
    }

    fn disk(&self) -> u64 {
        self.slices.iter().map(Slice::disk).sum()
    }

    pub(super) fn output_watermark(&self) -> i64 {
        self.slices.iter().map(Slice::output_watermark).min().unwrap_or(i64::MIN)
    }

    pub(super) fn next_timer(&self) -> Option<i64> {
        self.slices.iter().filter_map(Slice::next_timer).min()
    }

    /// Whether rows wait that nothing but the end of the input brings out.
    pub(super) fn is_finishing(&self) -> bool {
        self.closing && self.slices.iter().any(Slice::waits)
    }

    /// Rows: to the slices in memory, or to wait.
    pub(super) fn rows(
        &mut self,
        input: usize,
        rows: &Rows,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let lane = out.lane.get();
        let of = self.slices_of(rows, lane, to)?;
        let sorted = Sorted::new(lane, input, rows, &of, self.slices.len())?;
        let mut someone_waits = false;
        let now = maker.now();
        self.uses += 1;
        for part in sorted.parts() {
            let Some(slice) = self.slices.get_mut(part.slice) else { continue };
            if slice.is_resident() {
                slice.used = self.uses;
                slice.rows(input, sorted.rows(*part), out)?;
            } else {
                slice.begins_to_wait(now);
                slice.waiting += sorted.share(*part).max(1);
                someone_waits = true;
            }
        }
        if someone_waits {
            self.tail.push_rows(sorted);
            self.work_off(maker, to, epoch, out)?;
        }
        let Some(overdue) = self.overdue(now) else { return Ok(()) };
        self.turn(overdue, maker, to, epoch, out)?;
        let ended = maker.now();
        self.next_overdue =
            ended.saturating_add(ended.saturating_sub(now).max(1).saturating_mul(OVERDUE_SHARE));
        Ok(())
    }

    /// The slice that has waited longest, if that is too long. The output's time is that of the slice that is
    /// furthest behind: one for which little comes must not hold it back for ever.
    fn overdue(&self, now: i64) -> Option<usize> {
        if now < self.next_overdue {
            return None;
        }
        let waiting = self.slices.iter().enumerate().filter(|(_, it)| it.waits());
        let (at, slice) = waiting.min_by_key(|(_, it)| it.since)?;
        (now.saturating_sub(slice.since) >= OVERDUE_MILLIS).then_some(at)
    }

    /// The slice of each row.
    fn slices_of(&self, rows: &Rows, lane: usize, to: &SpillSettings) -> Result<Vec<u16>> {
        let missing = || Diagnostic::error(Code::Internal, "rows without the columns of their keys");
        let lane = to.lanes.get(lane).ok_or_else(missing)?;
        let keys = if rows.partial { &lane.partial } else { &lane.whole };
        let columns: Option<Vec<ArrayRef>> =
            keys.iter().map(|key| rows.batch.columns().get(*key).cloned()).collect();
        let hashes = hash_rows(&columns.ok_or_else(missing)?, rows.batch.num_rows());
        let slice = |hash: u64| {
            let group = self.groups.of(hash).saturating_sub(self.first_group);
            self.of_group.get(usize::from(group)).copied().unwrap_or(0)
        };
        Ok(hashes.into_iter().map(slice).collect())
    }

    /// Keeps what waits within its bounds.
    fn work_off(
        &mut self,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let room = to.budget.for_rows();
        if self.tail.bytes() > room {
            self.files += 1;
            self.tail.put_away(&mut self.slices, to, self.files)?;
            self.disk_peak = self.disk_peak.max(self.disk());
        }
        loop {
            let waiting: u64 = self.slices.iter().map(|it| it.waiting).sum();
            let away = self.slices.iter().filter(|it| !it.is_resident());
            let kept: u64 = away.map(Slice::kept_bytes).sum();
            if waiting <= kept.max(room as u64) {
                return Ok(());
            }
            let longest = self.slices.iter().enumerate().max_by_key(|(_, it)| it.waiting);
            let Some((longest, _)) = longest.filter(|(_, it)| it.waiting > 0) else { return Ok(()) };
            self.turn(longest, maker, to, epoch, out)?;
        }
    }

    /// Loads a slice, has it take all that waits for it, makes room.
    fn turn(
        &mut self,
        at: usize,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let end = self.tail.end();
        self.uses += 1;
        let Some(needed) = self.slices.get(at).map(Slice::expected_memory) else { return Ok(()) };
        self.make_room(at, needed, maker, to, epoch, out)?;
        let Some(slice) = self.slices.get_mut(at) else { return Ok(()) };
        slice.used = self.uses;
        slice.load(maker)?;
        let (stored, mut gathered) = (std::mem::take(&mut slice.stored), 0);
        for stored in stored {
            for item in stored.items()? {
                slice.replay(item, maker, to, &mut gathered, out)?;
            }
        }
        for entry in slice.cursor..end {
            if let Some(item) = self.tail.item(entry, at) {
                slice.replay(item, maker, to, &mut gathered, out)?;
            }
        }
        slice.flush(out)?;
        (slice.waiting, slice.time_waits, slice.cursor) = (0, false, end);
        slice.passed();
        slice.measure();
        if self.closing && !to.checkpoints {
            slice.forget(end);
        }
        self.tail.forget(&mut self.slices);
        self.make_room(at, 0, maker, to, epoch, out)?;
        if self.resident() > to.budget.for_slices() {
            self.put_away(at, maker, to, epoch, out)?;
        }
        Ok(())
    }

    /// Puts slices away, those used longest ago first, until this one fits beside the others.
    fn make_room(
        &mut self,
        for_slice: usize,
        needed: usize,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let room = to.budget.for_slices();
        while self.resident().saturating_add(needed) > room {
            let others =
                self.slices.iter().enumerate().filter(|(at, it)| it.is_resident() && *at != for_slice);
            let Some((oldest, _)) = others.min_by_key(|(_, it)| it.used) else { return Ok(()) };
            self.put_away(oldest, maker, to, epoch, out)?;
        }
        Ok(())
    }

    fn put_away(
        &mut self,
        at: usize,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let end = self.tail.end();
        let mut means = Means { maker, to, epoch, files: &mut self.files };
        match self.slices.get_mut(at) {
            Some(slice) => slice.put_away(end, &mut means, out),
            None => Ok(()),
        }
    }

    /// Measures those in memory, and puts away what is too much.
    pub(super) fn measure(
        &mut self,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        self.slices.iter_mut().for_each(|it| {
            it.measure();
        });
        self.make_room(usize::MAX, 0, maker, to, epoch, out)
    }

    /// Time moves on.
    pub(super) fn moment(&mut self, moment: Moment, maker: &Maker, out: &mut Output<'_>) -> Result<()> {
        if let Moment::Watermark(watermark) = moment
            && watermark < i64::MAX
            && !maker.looks_at_time
        {
            self.slices.iter_mut().for_each(|it| it.pass(watermark));
            return Ok(());
        }
        let concerns = |slice: &Slice| match moment {
            Moment::Watermark(_) | Moment::Clock(i64::MAX) => true,
            Moment::Clock(now) => slice.next_timer().is_some_and(|timer| timer <= now),
        };
        self.closing |= moment == Moment::Clock(i64::MAX);
        let mut someone_waits = false;
        let now = maker.now();
        for slice in &mut self.slices {
            if !concerns(slice) {
                continue;
            }
            if slice.is_resident() {
                slice.moment(moment, out)?;
            } else {
                slice.begins_to_wait(now);
                match moment {
                    Moment::Watermark(_) => slice.time_waits = true,
                    Moment::Clock(_) => slice.timer_waits(),
                }
                someone_waits = true;
            }
        }
        if someone_waits {
            self.tail.push_moment(moment, &self.slices);
        }
        Ok(())
    }

    /// Has those in memory tell what they have gathered.
    pub(super) fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.slices.iter_mut().try_for_each(|slice| slice.flush(out))
    }

    /// One slice's turn, if one waits.
    pub(super) fn next_turn(
        &mut self,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<bool> {
        let count = self.slices.len().max(1);
        let next = (self.next_spare..self.next_spare + count).map(|at| at % count);
        let waits = |at: &usize| self.slices.get(*at).is_some_and(Slice::waits);
        // Those that are in memory wait for nothing.
        let Some(at) = next.into_iter().find(waits) else { return Ok(false) };
        self.next_spare = at + 1;
        self.turn(at, maker, to, epoch, out)?;
        Ok(true)
    }

    /// The turn of a slice that a barrier can't do without.
    pub(super) fn settle(
        &mut self,
        maker: &Maker,
        to: &SpillSettings,
        epoch: u64,
        out: &mut Output<'_>,
    ) -> Result<bool> {
        if self.next_turn(maker, to, epoch, out)? {
            return Ok(false);
        }
        // What a checkpoint is to say of state that still lies in an older one has to be read.
        if to.checkpoints
            && let Some(at) = self.slices.iter().position(Slice::is_unread)
        {
            self.turn(at, maker, to, epoch, out)?;
            return Ok(false);
        }
        self.flush(out)?;
        Ok(true)
    }

    /// What each slice has changed since the last barrier.
    pub(super) fn snapshot(
        &mut self,
        snapshot: &mut OperatorSnapshot,
        maker: &Maker,
        to: &SpillSettings,
    ) -> Result<()> {
        let epoch = snapshot.epoch();
        for slice in &mut self.slices {
            let mut means = Means { maker, to, epoch, files: &mut self.files };
            let parts: Vec<SpilledPart> = slice.snapshot(&mut means)?;
            snapshot.spilled.extend(parts);
        }
        Ok(())
    }
}
