//! Which sessions are open, and into which one a row goes.
//!
//! ```text
//!   key 5 ─► first [10, 30) ─► further [52, 71) ─► further [90, 99)     mostly there is one
//!              level 0            level 1              level 2
//! ```
//! A key's first session stands beside the key itself (level 0); others, open at the same time, are
//! *further* ones on levels of their own. The state of a session is the row of its key in the table of its
//! level.
//!
//! Invariants
//! - The sessions of a key neither overlap nor touch (those that a row joined excepted, until the batch
//!   is done: they are *merged* and hold rows of the batch that still have to be moved).
//! - A key has at most one session on a level; a first session is never merged into a further one.
//! - Everything here can be made again from the tables.
//!
//! **Timers.** Sessions wait in a queue by their end as it was when they were put there. One that
//! has grown since is put back when its old end has passed, so growing costs nothing.

use std::collections::BTreeMap;

use flott_types::planted::{Bug, planted};

/// A session: a key's slot on level 0, or, from [`FURTHER`] on, a further session.
pub(crate) type SessionId = u32;

const FURTHER: u32 = 1 << 31;
const NONE: u32 = u32::MAX;
const NEVER: i64 = i64::MIN;
/// A session's timer is exact to this part of the gap.
const TIMERS_PER_GAP: i64 = 32;

/// Bounds of a session.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: i64,
    /// The last row's time and the gap; [`NEVER`]: there is no session.
    end: i64,
    /// The queue's place that counts.
    timer: i64,
}

const NO_SPAN: Span = Span { start: NEVER, end: NEVER, timer: NEVER };

/// What stands beside a key.
#[derive(Debug, Clone, Copy)]
struct First {
    span: Span,
    /// The first further session.
    further: u32,
}

const NO_FIRST: First = First { span: NO_SPAN, further: NONE };

#[derive(Debug, Clone, Copy)]
struct Further {
    span: Span,
    key: u32,
    level: u32,
    slot: u32,
    next: u32,
    merged: bool,
}

/// A session that was complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed {
    pub(crate) id: SessionId,
    pub(crate) level: u32,
    pub(crate) slot: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// All open sessions of a shard.
#[derive(Debug)]
pub(crate) struct OpenSessions {
    first: Vec<First>,
    further: Vec<Further>,
    free: Vec<u32>,
    timers: BTreeMap<i64, Vec<SessionId>>,
    grain: i64,
    /// Further sessions opened in this batch, with the row that did.
    opened: Vec<(SessionId, u32)>,
    /// (from, into), in the order in which they have to be merged.
    merges: Vec<(SessionId, SessionId)>,
}

impl OpenSessions {
    /// `exact`: sessions close at once, whatever that costs.
    pub(crate) fn new(gap: i64, exact: bool) -> Self {
        let grain = if exact { 1 } else { (gap / TIMERS_PER_GAP).max(1) };
        Self {
            first: Vec::new(),
            further: Vec::new(),
            free: Vec::new(),
            timers: BTreeMap::new(),
            grain,
            opened: Vec::new(),
            merges: Vec::new(),
        }
    }

    /// Makes room for keys.
    pub(crate) fn grow(&mut self, keys_end: usize) {
        if keys_end > self.first.len() {
            self.first.resize(keys_end, NO_FIRST);
        }
    }

    /// Puts a row with this window of its own into a session. None: it is late, all sessions up to
    /// `passed` being complete.
    #[inline]
    pub(crate) fn place(
        &mut self,
        key: u32,
        row: u32,
        start: i64,
        end: i64,
        passed: i64,
    ) -> Option<SessionId> {
        if let Some(first) = self.first.get_mut(key as usize)
            && first.further == NONE
            && start <= first.span.end
            && end >= first.span.start
            && first.span.end != NEVER
        {
            first.span.end = first.span.end.max(end);
            first.span.start = first.span.start.min(start);
            return Some(key);
        }
        self.place_slowly(key, row, start, end, passed)
    }

    fn place_slowly(&mut self, key: u32, row: u32, start: i64, end: i64, passed: i64) -> Option<SessionId> {
        let mut touched: Vec<SessionId> = Vec::new();
        let (mut hull_start, mut hull_end) = (start, end);
        for id in self.sessions(key) {
            let span = self.span(id);
            if start <= span.end && end >= span.start {
                (hull_start, hull_end) = (hull_start.min(span.start), hull_end.max(span.end));
                touched.push(id);
            }
        }
        // The first session comes first, and stays.
        let Some((into, others)) = touched.split_first() else {
            return (end > passed).then(|| self.open(key, row, start, end));
        };
        for from in others {
            self.merges.push((*from, *into));
            if let Some(further) = self.further.get_mut((*from & !FURTHER) as usize) {
                further.merged = true;
            }
        }
        if let Some(span) = self.span_mut(*into) {
            (span.start, span.end) = (hull_start, hull_end);
        }
        Some(*into)
    }

    fn open(&mut self, key: u32, row: u32, start: i64, end: i64) -> SessionId {
        let span = Span { start, end, timer: NEVER };
        let has_first = self.first.get(key as usize).is_some_and(|first| first.span.end != NEVER);
        let id = if has_first {
            let id = self.add_further(key, self.free_level(key), NONE, span);
            self.opened.push((id, row));
            id
        } else {
            if let Some(first) = self.first.get_mut(key as usize) {
                first.span = span;
            }
            key
        };
        self.wait(id);
        id
    }

    fn add_further(&mut self, key: u32, level: u32, slot: u32, span: Span) -> SessionId {
        let next = self.first.get(key as usize).map_or(NONE, |first| first.further);
        let further = Further { span, key, level, slot, next, merged: false };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.further.push(further);
                self.further.len() as u32 - 1
            }
        };
        if let Some(place) = self.further.get_mut(at as usize) {
            *place = further;
        }
        if let Some(first) = self.first.get_mut(key as usize) {
            first.further = at | FURTHER;
        }
        at | FURTHER
    }

    /// The lowest level, beyond the first, on which a key has no session.
    fn free_level(&self, key: u32) -> u32 {
        let taken: Vec<u32> = self.chain(key).map(|(_, further)| further.level).collect();
        (1..).find(|level| !taken.contains(level)).unwrap_or(1)
    }

    fn chain(&self, key: u32) -> impl Iterator<Item = (SessionId, &Further)> {
        let mut next = self.first.get(key as usize).map_or(NONE, |first| first.further);
        std::iter::from_fn(move || {
            let id = next;
            let further = (id != NONE).then(|| self.further.get((id & !FURTHER) as usize)).flatten()?;
            next = further.next;
            Some((id, further))
        })
    }

    /// A key's sessions, the first one first.
    fn sessions(&self, key: u32) -> impl Iterator<Item = SessionId> {
        let first = self.first.get(key as usize).filter(|first| first.span.end != NEVER).map(|_| key);
        let further = self.chain(key).filter(|(_, further)| !further.merged).map(|(id, _)| id);
        first.into_iter().chain(further)
    }

    fn span(&self, id: SessionId) -> Span {
        if id < FURTHER {
            self.first.get(id as usize).map_or(NO_SPAN, |first| first.span)
        } else {
            self.further.get((id & !FURTHER) as usize).map_or(NO_SPAN, |further| further.span)
        }
    }

    fn span_mut(&mut self, id: SessionId) -> Option<&mut Span> {
        if id < FURTHER {
            self.first.get_mut(id as usize).map(|first| &mut first.span)
        } else {
            self.further.get_mut((id & !FURTHER) as usize).map(|further| &mut further.span)
        }
    }

    /// Start and end.
    #[inline]
    pub(crate) fn bounds(&self, id: SessionId) -> (i64, i64) {
        let span = self.span(id);
        (span.start, span.end)
    }

    /// Level and slot.
    #[inline]
    pub(crate) fn place_of(&self, id: SessionId) -> (u32, u32) {
        if id < FURTHER {
            return (0, id);
        }
        self.further.get((id & !FURTHER) as usize).map_or((0, NONE), |further| (further.level, further.slot))
    }

    /// Further sessions that the batch has opened, with a row of each; they want a slot.
    pub(crate) fn take_opened(&mut self) -> Vec<(SessionId, u32)> {
        std::mem::take(&mut self.opened)
    }

    /// Gives a further session its slot.
    pub(crate) fn set_slot(&mut self, id: SessionId, slot: u32) {
        if let Some(further) = self.further.get_mut((id & !FURTHER) as usize) {
            further.slot = slot;
        }
    }

    /// Sessions that the batch has joined: (from, into), in order. The first of each pair is gone
    /// once its values have been moved: [`OpenSessions::forget`].
    pub(crate) fn take_merges(&mut self) -> Vec<(SessionId, SessionId)> {
        std::mem::take(&mut self.merges)
    }

    /// Forgets a session. Whether its key has none left.
    pub(crate) fn forget(&mut self, id: SessionId) -> (u32, bool) {
        let key = if id < FURTHER {
            if let Some(first) = self.first.get_mut(id as usize) {
                first.span = NO_SPAN;
            }
            id
        } else {
            self.unlink(id)
        };
        (key, self.is_unused(key))
    }

    /// Whether a key has no session.
    pub(crate) fn is_unused(&self, key: u32) -> bool {
        self.first.get(key as usize).is_none_or(|first| first.span.end == NEVER && first.further == NONE)
    }

    fn unlink(&mut self, id: SessionId) -> u32 {
        let Some(gone) = self.further.get_mut((id & !FURTHER) as usize) else { return NONE };
        gone.span = NO_SPAN;
        let (key, next) = (gone.key, gone.next);
        let before = self.chain(key).find(|(_, further)| further.next == id).map(|(before, _)| before);
        match before.and_then(|before| self.further.get_mut((before & !FURTHER) as usize)) {
            Some(before) => before.next = next,
            None => {
                if let Some(first) = self.first.get_mut(key as usize) {
                    first.further = next;
                }
            }
        }
        self.free.push(id & !FURTHER);
        key
    }

    /// Takes over a session from a snapshot. Level 0 first.
    pub(crate) fn restore(&mut self, key: u32, level: u32, slot: u32, start: i64, end: i64) {
        let span = Span { start, end, timer: NEVER };
        let id = if level == 0 {
            if let Some(first) = self.first.get_mut(key as usize) {
                first.span = span;
            }
            key
        } else {
            self.add_further(key, level, slot, span)
        };
        if planted(Bug::TimerDropped) {
            return;
        }
        self.wait(id);
    }

    /// Queues a session by its end.
    fn wait(&mut self, id: SessionId) {
        let grain = self.grain;
        let Some(span) = self.span_mut(id) else { return };
        let timer = span.end.div_euclid(grain);
        span.timer = timer;
        self.timers.entry(timer).or_default().push(id);
    }

    /// The sessions that end here or before, by end. They stay until they are forgotten.
    pub(crate) fn complete(&mut self, passed: i64) -> Vec<Closed> {
        let mut closed = Vec::new();
        let last = passed.div_euclid(self.grain);
        while let Some(entry) = self.timers.first_entry().filter(|entry| *entry.key() <= last) {
            let (timer, ids) = entry.remove_entry();
            let mut stay = Vec::new();
            for id in ids {
                let span = self.span(id);
                if span.end == NEVER || span.timer != timer {
                    continue;
                }
                if span.end <= passed {
                    if let Some(span) = self.span_mut(id) {
                        span.timer = NEVER;
                    }
                    let (level, slot) = self.place_of(id);
                    closed.push(Closed { id, level, slot, start: span.start, end: span.end });
                } else if span.end.div_euclid(self.grain) == timer {
                    stay.push(id);
                } else {
                    self.wait(id);
                }
            }
            if !stay.is_empty() {
                self.timers.entry(timer).or_default().append(&mut stay);
            }
            if timer == last {
                break;
            }
        }
        closed.sort_unstable_by_key(|closed| (closed.end, closed.level, closed.slot));
        closed
    }

    /// The first end that a session may have.
    pub(crate) fn first_end(&self) -> Option<i64> {
        self.timers.first_key_value().map(|(timer, _)| timer.saturating_mul(self.grain))
    }

    pub(crate) fn memory(&self) -> usize {
        let timers: usize = self.timers.values().map(|ids| ids.capacity() * 4).sum();
        self.first.capacity() * size_of::<First>() + self.further.capacity() * size_of::<Further>() + timers
    }
}
