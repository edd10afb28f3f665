//! Rows on their way between shards.
//!
//! A **lane** is one edge of the plan into one input of an operator: a bounded channel from every
//! shard to every shard. Everything travels in band.
//!
//! ```text
//!            lane of an edge from a source             lane of an edge from an operator
//!   from 0  ─ rows 4 · done 4 · rows 7 · … ─┐         ─ rows · watermark 80 · barrier 3 ─┐
//!   from 1  ─ rows 5 · done 5 · rows 6 · … ─┴► to 0   ─ rows · rows · watermark 75 ──────┴► to 0
//!             taken in order of the chunks:             taken as they come, in order of each
//!             4, 5, 6, 7                                channel; the least watermark counts
//! ```
//!
//! Invariants
//! - A push never blocks: what doesn't fit waits in the sender's outbox, and a shard with a full
//!   outbox takes no new work upstream of it. What is downstream can always go on, so two shards
//!   that push to each other can't wait for each other, even with channels of one message.
//! - Rows of a source arrive in the order of its chunks whatever the parallelism, so order-dependent
//!   aggregates and lateness don't depend on it. Whoever holds the next chunk is always read, so
//!   this can't deadlock either.
//! - Nothing behind a barrier is taken before every channel of all lanes of an operator has come to it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::Thread,
};

use arrow::{
    array::{ArrayRef, AsArray, UInt32Array},
    compute::{sum, take, take_record_batch},
    datatypes::Int64Type,
};
use flott_operators::{ROWS_BEHIND, Rows};
use flott_state::{KeyGroups, hash_rows};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};

use crate::progress::{ChunkTime, END_OF_TIME, NO_WATERMARK, Progress};

/// The shards' threads, to be woken when there is something to do.
#[derive(Debug)]
pub struct Wakers {
    threads: Vec<OnceLock<Thread>>,
}

impl Wakers {
    /// For this many shards.
    pub fn new(shards: usize) -> Self {
        Self { threads: (0..shards).map(|_| OnceLock::new()).collect() }
    }
    /// The calling thread is this shard.
    pub fn register(&self, shard: usize) {
        if let Some(slot) = self.threads.get(shard) {
            let _ = slot.set(std::thread::current());
        }
    }
    /// Wakes a shard, now or when it next wants to sleep.
    pub fn wake(&self, shard: usize) {
        if let Some(thread) = self.threads.get(shard).and_then(OnceLock::get) {
            thread.unpark();
        }
    }
    /// Wakes all shards.
    pub fn wake_all(&self) {
        (0..self.threads.len()).for_each(|shard| self.wake(shard));
    }
}

/// What travels along a lane.
#[derive(Debug)]
pub enum Message {
    /// Rows of the chunk with this number (0 on lanes from operators).
    Rows(u64, Rows),
    /// Time moves on within a chunk.
    Time(u64, ChunkTime),
    /// The chunk is complete.
    Done(u64, ChunkTime),
    /// An operator's watermark.
    Watermark(i64),
    /// Whether nobody should wait for the operator: all its sources are idle.
    Idle(bool),
    /// Everything before belongs to this epoch.
    Barrier(u64),
    /// Nothing comes any more; whether all input was read (false: the run was stopped).
    End(bool),
}

#[derive(Debug, Default)]
struct Channel {
    queue: Mutex<VecDeque<Message>>,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The channels of an edge.
#[derive(Debug)]
pub struct Lane {
    channels: Vec<Channel>,
    shards: usize,
    capacity: usize,
    ordered: bool,
    wakers: Arc<Wakers>,
}

impl Lane {
    /// Channels between this many shards, each for `capacity` messages; `ordered`: from a source.
    pub fn new(shards: usize, capacity: usize, ordered: bool, wakers: Arc<Wakers>) -> Self {
        let channels = (0..shards * shards).map(|_| Channel::default()).collect();
        Self { channels, shards, capacity: capacity.max(1), ordered, wakers }
    }
    /// How many messages wait, and how many may.
    pub fn fill(&self) -> (usize, usize) {
        let waiting = self.channels.iter().map(|channel| channel.lock().len()).sum();
        (waiting, self.capacity * self.channels.len())
    }
    fn channel(&self, from: usize, to: usize) -> &Channel {
        &self.channels[from * self.shards + to]
    }
}

/// A lane as a sending shard sees it.
pub struct LaneWriter {
    lane: Arc<Lane>,
    from: usize,
    /// Rows stay on the shard.
    forward: bool,
    groups: KeyGroups,
    outbox: Vec<VecDeque<Message>>,
}

impl LaneWriter {
    /// The lane's writer on a shard.
    pub fn new(lane: Arc<Lane>, from: usize, groups: KeyGroups) -> Self {
        let outbox = (0..lane.shards).map(|_| VecDeque::new()).collect();
        Self { lane, from, forward: false, groups, outbox }
    }

    /// Rows stay on the shard that sends them.
    #[must_use]
    pub fn forward(mut self, forward: bool) -> Self {
        self.forward = forward;
        self
    }

    /// Sends each row to the shard that has the key group of these columns' values.
    ///
    /// # Errors
    /// `Internal`
    pub fn rows(&mut self, sequence: u64, rows: Rows, keys: &[usize]) -> Result<()> {
        let shards = self.lane.shards;
        if shards == 1 || self.forward {
            let to = if self.forward { self.from } else { 0 };
            self.send(to, Message::Rows(sequence, rows));
            return Ok(());
        }
        let count = rows.batch.num_rows();
        let columns: Vec<ArrayRef> = keys.iter().map(|&key| rows.batch.column(key).clone()).collect();
        let hashes = hash_rows(&columns, count);
        let mut picks: Vec<Vec<u32>> = vec![Vec::with_capacity(count / shards + 16); shards];
        for (row, hash) in (0u32..).zip(hashes) {
            picks[self.groups.shard(self.groups.of(hash), shards)].push(row);
        }
        for (to, picked) in picks.into_iter().enumerate() {
            if picked.is_empty() {
                continue;
            }
            let all = picked.len() == count;
            let part = if all { rows.clone() } else { pick(&rows, UInt32Array::from(picked))? };
            self.send(to, Message::Rows(sequence, part));
        }
        Ok(())
    }

    /// Tells every shard.
    pub fn tell_all(&mut self, message: impl Fn() -> Message) {
        (0..self.lane.shards).for_each(|to| self.send(to, message()));
    }

    fn send(&mut self, to: usize, message: Message) {
        self.outbox[to].push_back(message);
        self.push(to);
    }

    fn push(&mut self, to: usize) -> bool {
        let outbox = &mut self.outbox[to];
        if outbox.is_empty() {
            return false;
        }
        let mut queue = self.lane.channel(self.from, to).lock();
        let room = self.lane.capacity.saturating_sub(queue.len());
        let moved = room.min(outbox.len());
        queue.extend(outbox.drain(..moved));
        drop(queue);
        if moved > 0 {
            self.lane.wakers.wake(to);
        }
        moved > 0
    }

    /// Delivers what waits, as far as there is room. Whether anything moved.
    pub fn flush(&mut self) -> bool {
        let mut moved = false;
        for to in 0..self.lane.shards {
            moved |= self.push(to);
        }
        moved
    }

    /// Whether something waits.
    pub fn is_blocked(&self) -> bool {
        self.outbox.iter().any(|outbox| !outbox.is_empty())
    }
}

fn pick(rows: &Rows, picked: UInt32Array) -> Result<Rows> {
    let internal = |error: arrow::error::ArrowError| Diagnostic::error(Code::Internal, error.to_string());
    let batch = take_record_batch(&rows.batch, &picked).map_err(internal)?;
    let kinds = match &rows.kinds {
        None => None,
        Some(kinds) => {
            let taken = take(kinds, &picked, None).map_err(internal)?;
            taken.as_any().downcast_ref().cloned()
        }
    };
    let count = if rows.partial { rows_behind(&batch) } else { picked.len() as u64 };
    Ok(Rows { batch, kinds, partial: rows.partial, count })
}

/// How many input rows partial results stand for.
fn rows_behind(batch: &arrow::record_batch::RecordBatch) -> u64 {
    let rows = batch.column_by_name(ROWS_BEHIND).and_then(|column| column.as_primitive_opt::<Int64Type>());
    rows.and_then(sum).unwrap_or(0).unsigned_abs()
}

/// What a shard takes from a lane.
#[derive(Debug)]
pub enum Taken {
    /// Rows.
    Rows(Rows),
    /// The lane's watermark has moved.
    Time,
    /// Nothing now.
    Nothing,
    /// Every channel has come to this barrier, or to its end.
    Barrier(u64),
    /// Every channel has come to its end.
    End,
}

/// A lane as a receiving shard sees it.
pub struct LaneReader {
    lane: Arc<Lane>,
    to: usize,
    state: Vec<ChannelState>,
    /// The chunk whose messages come next.
    next_chunk: u64,
    progress: Progress,
    drained: bool,
    turn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChannelState {
    watermark: i64,
    at_barrier: Option<u64>,
    ended: bool,
    /// It has ended because the run was stopped.
    stopped: bool,
    idle: bool,
}

impl LaneReader {
    /// The lane's reader on a shard.
    pub fn new(lane: Arc<Lane>, to: usize) -> Self {
        let state = ChannelState {
            watermark: NO_WATERMARK,
            at_barrier: None,
            ended: false,
            stopped: false,
            idle: false,
        };
        Self {
            state: vec![state; lane.shards],
            lane,
            to,
            next_chunk: 0,
            progress: Progress::default(),
            drained: true,
            turn: 0,
        }
    }

    /// The lane's watermark.
    pub fn watermark(&self) -> i64 {
        if self.state.iter().all(|channel| channel.ended) {
            return if self.drained { END_OF_TIME } else { self.reached() };
        }
        self.reached()
    }

    fn reached(&self) -> i64 {
        if self.lane.ordered {
            return self.progress.watermark();
        }
        // One that was stopped is not through: when the run goes on, rows come behind its watermark.
        let open = self.state.iter().filter(|channel| !channel.ended || channel.stopped);
        open.map(|channel| channel.watermark).min().unwrap_or_else(|| {
            self.state.iter().map(|channel| channel.watermark).max().unwrap_or(NO_WATERMARK)
        })
    }

    /// Whether nobody should wait for the lane.
    pub fn is_idle(&self) -> bool {
        if self.lane.ordered {
            self.progress.is_idle()
        } else {
            self.state.iter().all(|it| it.idle || (it.ended && !it.stopped))
        }
    }

    /// Whether all input of the lane was read, once it has ended.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// What comes next.
    pub fn take(&mut self) -> Taken {
        let shards = self.lane.shards;
        for _ in 0..shards {
            let from = self.turn;
            self.turn = (self.turn + 1) % shards;
            while self.state[from].at_barrier.is_none() && !self.state[from].ended {
                let Some(message) = self.pop(from) else { break };
                if !matches!(message, Message::Barrier(_) | Message::End(_)) {
                    // The rest of a chunk comes from the same channel.
                    self.turn = from;
                }
                match message {
                    Message::Rows(_, rows) => return Taken::Rows(rows),
                    Message::Time(_, time) => {
                        self.progress.apply(&time);
                        return Taken::Time;
                    }
                    Message::Done(_, time) => {
                        self.next_chunk += 1;
                        self.progress.apply(&time);
                        return Taken::Time;
                    }
                    Message::Watermark(watermark) => {
                        let channel = &mut self.state[from];
                        channel.watermark = channel.watermark.max(watermark);
                        return Taken::Time;
                    }
                    Message::Idle(idle) => {
                        self.state[from].idle = idle;
                        return Taken::Time;
                    }
                    Message::Barrier(epoch) => self.state[from].at_barrier = Some(epoch),
                    Message::End(drained) => {
                        self.state[from].ended = true;
                        self.state[from].stopped = !drained;
                        self.drained &= drained;
                    }
                }
            }
        }
        if self.state.iter().all(|channel| channel.ended) {
            return Taken::End;
        }
        let at = |channel: &ChannelState| channel.at_barrier.or(channel.ended.then_some(0));
        if self.state.iter().all(|channel| at(channel).is_some()) {
            return Taken::Barrier(self.state.iter().filter_map(|it| it.at_barrier).max().unwrap_or(0));
        }
        Taken::Nothing
    }

    fn pop(&self, from: usize) -> Option<Message> {
        let mut queue = self.lane.channel(from, self.to).lock();
        if let Some(Message::Rows(chunk, _) | Message::Time(chunk, _) | Message::Done(chunk, _)) =
            queue.front()
            && self.lane.ordered
            && *chunk != self.next_chunk
        {
            return None;
        }
        let was_full = queue.len() >= self.lane.capacity;
        let message = queue.pop_front();
        drop(queue);
        if was_full {
            self.lane.wakers.wake(from);
        }
        message
    }

    /// Whether every channel has come to its end.
    pub fn is_ended(&self) -> bool {
        self.state.iter().all(|channel| channel.ended)
    }

    /// Whether every channel has come to the barrier, or to its end.
    pub fn is_at_barrier(&self) -> bool {
        if planted(Bug::BarrierNotAligned) {
            return self.state.iter().any(|channel| channel.at_barrier.is_some());
        }
        self.state.iter().all(|channel| channel.at_barrier.is_some() || channel.ended)
    }

    /// The operator has let the barrier through: what is behind it may come.
    pub fn pass_barrier(&mut self) {
        self.state.iter_mut().for_each(|channel| channel.at_barrier = None);
    }

    /// What must outlive a restart.
    pub fn save(&self) -> serde_json::Value {
        if self.lane.ordered {
            serde_json::to_value(&self.progress).unwrap_or_default()
        } else {
            serde_json::json!({ "watermark": self.reached() })
        }
    }

    /// Takes back what the shards of an earlier run saved.
    pub fn restore(&mut self, saved: &[serde_json::Value]) {
        if self.lane.ordered {
            if let Some(progress) = saved.iter().find_map(|it| serde_json::from_value((*it).clone()).ok()) {
                self.progress = progress;
            }
            return;
        }
        let watermarks =
            saved.iter().filter_map(|it| it.get("watermark").and_then(serde_json::Value::as_i64));
        if let Some(watermark) = watermarks.min() {
            self.state.iter_mut().for_each(|channel| channel.watermark = watermark);
        }
    }
}
