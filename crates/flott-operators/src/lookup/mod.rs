//! Joins each row with what a table says when it is asked.
//!
//! **Keeps** rows whose answer is under way, in the order they came, with the watermarks between them.
//!
//! **Emits** a row when its answer is there: at once where the table answers from memory, else when the
//! rows before it have theirs (or, unordered, at any time between two watermarks).
//!
//! **A watermark** goes behind the rows before it: while they wait, it waits.
//!
//! **A retraction** is looked up like any row and goes on as what it is.
//!
//! ```text
//!   rows ─► ask ─► ┌ rows 7: answered ┐ ─► condition, LEFT: NULLs ─► out
//!                  │ rows 8: asked    │
//!                  │ watermark 12:00  │   the next to go is always the first (ordered)
//!                  │ rows 9: asked    │
//!                  └──────────────────┘
//! ```
//! More rows than the capacity aren't taken. A miss may be asked again (`LOOKUP` hint). At a barrier the
//! rows that wait are state; a run that goes on from it asks for them anew. A row with a NULL in its key
//! finds nothing.
//!
//! Source: Flink documentation, "Joins": lookup join; "Hints": LOOKUP.

mod joining;
mod saved;

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, Int8Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use flott_connector::{Answer, Found, LookupClient};
use flott_plan::{Lookup, LookupJoin};
use flott_state::{OperatorSnapshot, OperatorState};
use flott_types::{Code, Diagnostic, Result, Schema};

use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, lowest};
use joining::Joining;
use saved::Saved;

/// Something that has its turn in the order of the input.
enum Entry {
    Rows(Box<Asked>),
    Watermark(i64),
}

/// Rows that wait.
struct Asked {
    number: u64,
    rows: RecordBatch,
    kinds: Option<Int8Array>,
    state: State,
    /// What was found so far; keys are positions in `rows`.
    found: Vec<Found>,
    /// Which rows the request under way, or the next one, is for; none: all.
    open: Option<UInt32Array>,
    /// Requests so far.
    tries: u32,
}

/// Where a request stands; times in milliseconds of the wall clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked, not before this.
    Due(i64),
    /// Asked; an answer must come before this.
    Under(i64),
    Answered,
}

/// The operator.
pub(crate) struct LookupJoinOperator {
    keys: Vec<usize>,
    width: usize,
    lookup: Lookup,
    joining: Joining,
    client: Box<dyn LookupClient>,
    queue: VecDeque<Entry>,
    saved: Saved,
    waiting_rows: usize,
    next_number: u64,
    table: String,
    context: Context,
    /// Up to where time has come before the operator, and behind it.
    watermark: i64,
    passed: i64,
}

impl LookupJoinOperator {
    pub(crate) fn new(node: &LookupJoin, input: &Schema, context: &Context) -> Result<Self> {
        let Some(lookups) = &context.lookup else {
            return Err(Diagnostic::error(Code::Internal, "a look-up has no table to ask"));
        };
        Ok(Self {
            keys: node.keys.iter().map(|it| it.0).collect(),
            width: input.len(),
            lookup: node.lookup.clone(),
            joining: Joining::new(node, input),
            client: lookups.table.client(lookups.wake.clone())?,
            queue: VecDeque::new(),
            saved: Saved::new(input, context)?,
            waiting_rows: 0,
            next_number: 0,
            table: node.table.name.clone(),
            context: context.clone(),
            watermark: i64::MIN,
            passed: i64::MIN,
        })
    }

    fn now(&self) -> i64 {
        (self.context.now_millis)()
    }

    fn push(&mut self, rows: RecordBatch, kinds: Option<Int8Array>) {
        self.waiting_rows += rows.num_rows();
        let number = self.next_number;
        self.next_number += 1;
        let state = State::Due(i64::MIN);
        self.queue.push_back(Entry::Rows(Box::new(Asked {
            number,
            rows,
            kinds,
            state,
            found: Vec::new(),
            open: None,
            tries: 0,
        })));
    }

    /// Asks for what is due, takes answers, emits what is complete. Whether anything moved.
    fn go_on(&mut self, out: &mut Output<'_>) -> Result<bool> {
        if !self.client.is_ready()? {
            return Ok(false);
        }
        let now = self.now();
        let mut moved = false;
        for entry in &mut self.queue {
            let Entry::Rows(asked) = entry else { continue };
            match asked.state {
                State::Due(at) if at <= now => {
                    let keys = asked.keys(&self.keys)?;
                    let rows = asked.open.as_ref().map_or(asked.rows.num_rows(), Array::len);
                    self.client.ask(asked.number, &keys, rows)?;
                    asked.state = State::Under(now.saturating_add(self.lookup.timeout_millis));
                    moved = true;
                }
                State::Under(until) if until < now => return Err(self.timed_out()),
                _ => {}
            }
        }
        while let Some(answer) = self.client.poll()? {
            moved = true;
            self.take(answer, now, out)?;
        }
        moved |= self.emit_complete(out)?;
        Ok(moved)
    }

    fn timed_out(&self) -> Box<Diagnostic> {
        let message = format!(
            "table '{}' has not answered a look-up within {} ms",
            self.table, self.lookup.timeout_millis
        );
        Diagnostic::error(Code::InputUnreadable, message)
            .help("see whether it can be reached, or raise 'table.exec.async-lookup.timeout'")
            .that_may_pass()
    }

    fn take(&mut self, answer: Answer, now: i64, out: &mut Output<'_>) -> Result<()> {
        let of_number = |entry: &&mut Entry| matches!(entry, Entry::Rows(it) if it.number == answer.number);
        let Some(Entry::Rows(asked)) = self.queue.iter_mut().find(of_number) else {
            return Err(Diagnostic::error(Code::Internal, "an answer that nobody waits for"));
        };
        let mut found = answer.found?;
        let missed = self.lookup.retry.map(|_| asked.missed(&found));
        if let Some(open) = &asked.open {
            let place = |key: &u32| open.values().get(*key as usize).copied().unwrap_or_default();
            found.keys = found.keys.values().iter().map(place).collect();
        }
        asked.found.push(found);
        asked.tries += 1;
        asked.state = State::Answered;
        if let (Some((delay, retries)), Some(missed)) = (self.lookup.retry, missed)
            && !missed.is_empty()
            && asked.tries <= retries
        {
            asked.state = State::Due(now.saturating_add(delay));
            asked.open = Some(missed);
            if self.lookup.unordered {
                return asked.emit_found(&self.joining, &self.context, out, &mut self.waiting_rows);
            }
        }
        Ok(())
    }

    /// Emits what has its answers and its turn. Whether there was anything.
    fn emit_complete(&mut self, out: &mut Output<'_>) -> Result<bool> {
        let mut moved = false;
        loop {
            let mut ahead = self.queue.iter().take_while(|it| matches!(it, Entry::Rows(_)));
            let answered = |it: &Entry| matches!(it, Entry::Rows(asked) if asked.state == State::Answered);
            let next = match self.queue.front() {
                None => return Ok(moved),
                Some(Entry::Watermark(_)) => Some(0),
                Some(entry) if answered(entry) => Some(0),
                Some(_) if self.lookup.unordered => ahead.position(answered),
                Some(_) => None,
            };
            let Some(entry) = next.and_then(|at| self.queue.remove(at)) else { return Ok(moved) };
            moved = true;
            match entry {
                Entry::Watermark(watermark) => self.passed = watermark,
                Entry::Rows(asked) => {
                    self.waiting_rows -= asked.rows.num_rows().min(self.waiting_rows);
                    self.joining.emit(&asked.rows, asked.kinds.as_ref(), asked.found, &self.context, out)?;
                }
            }
        }
    }
}

impl Asked {
    /// The keys of the rows that are still to be found.
    fn keys(&self, keys: &[usize]) -> Result<Vec<ArrayRef>> {
        let all = keys.iter().map(|key| column(&self.rows, *key).cloned()).collect::<Result<Vec<_>>>()?;
        match &self.open {
            None => Ok(all),
            Some(open) => crate::window::take_all(&all, open),
        }
    }

    /// Which rows the answer has nothing for.
    fn missed(&self, found: &Found) -> UInt32Array {
        let asked = self.open.as_ref().map_or(self.rows.num_rows(), Array::len);
        let mut hit = vec![false; asked];
        for key in found.keys.values() {
            if let Some(hit) = hit.get_mut(*key as usize) {
                *hit = true;
            }
        }
        let place =
            |at: u32| self.open.as_ref().map_or(Some(at), |open| open.values().get(at as usize).copied());
        (0_u32..).zip(hit).filter(|it| !it.1).filter_map(|it| place(it.0)).collect()
    }

    /// Emits the rows that were found; those that are asked for again are left.
    fn emit_found(
        &mut self,
        joining: &Joining,
        context: &Context,
        out: &mut Output<'_>,
        waiting_rows: &mut usize,
    ) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut is_open = vec![false; self.rows.num_rows()];
        for row in open.values() {
            if let Some(flag) = is_open.get_mut(*row as usize) {
                *flag = true;
            }
        }
        // Where each row that is done stands among those.
        let mut next = 0;
        let places: Vec<u32> = is_open
            .iter()
            .map(|open| {
                let place = next;
                next += u32::from(!open);
                place
            })
            .collect();
        let done = (0_u32..).zip(&is_open).filter(|it| !it.1).map(|it| it.0).collect::<UInt32Array>();
        let part = |rows: &UInt32Array| -> Result<(RecordBatch, Option<Int8Array>)> {
            let kinds = self.kinds.as_ref().map(|kinds| joining::take_kinds(kinds, rows)).transpose()?;
            Ok((take_record_batch(&self.rows, rows).map_err(arrow_failed)?, kinds))
        };
        let (rows, kinds) = part(&done)?;
        let (left, left_kinds) = part(&open)?;
        let mut found = std::mem::take(&mut self.found);
        for found in &mut found {
            let place = |key: &u32| places.get(*key as usize).copied().unwrap_or_default();
            found.keys = found.keys.values().iter().map(place).collect();
        }
        *waiting_rows -= rows.num_rows().min(*waiting_rows);
        (self.rows, self.kinds) = (left, left_kinds);
        joining.emit(&rows, kinds.as_ref(), found, context, out)
    }
}

impl Operator for LookupJoinOperator {
    fn on_rows(&mut self, _: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        let count = rows.batch.num_rows();
        if count == 0 {
            return Ok(());
        }
        // Rows from a source may carry their origin behind their columns; it ends here.
        let own = rows.batch.columns().iter().take(self.width).cloned().collect();
        self.push(batch(self.joining.input(), own, count)?, rows.kinds);
        self.go_on(out)?;
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        if let Some(Entry::Watermark(last)) = self.queue.back_mut() {
            *last = watermark;
        } else {
            self.queue.push_back(Entry::Watermark(watermark));
        }
        self.emit_complete(out)?;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.waiting_rows < self.lookup.capacity
    }

    fn is_waiting(&self) -> bool {
        self.waiting_rows > 0
    }

    fn poll(&mut self, out: &mut Output<'_>) -> Result<bool> {
        if self.queue.is_empty() {
            // A table that has failed fails the run even while nobody asks it.
            self.client.is_ready()?;
            return Ok(false);
        }
        self.go_on(out)
    }

    fn output_watermark(&self, watermark: i64) -> i64 {
        self.passed.min(watermark)
    }

    fn next_timer(&self) -> Option<i64> {
        let times = self.queue.iter().filter_map(|entry| match entry {
            Entry::Rows(asked) => match asked.state {
                State::Due(at) | State::Under(at) => Some(at),
                State::Answered => None,
            },
            Entry::Watermark(_) => None,
        });
        // What is due and not asked waits for the table to become ready: it wakes the operator.
        times.filter(|at| *at != i64::MIN).min().map(|at| at.saturating_add(1))
    }

    fn on_time(&mut self, _: i64, out: &mut Output<'_>) -> Result<()> {
        if !self.queue.is_empty() {
            self.go_on(out)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        let waiting = self.queue.iter().filter_map(|entry| match entry {
            Entry::Rows(asked) => Some((&asked.rows, asked.kinds.as_ref())),
            Entry::Watermark(_) => None,
        });
        self.saved.replace(waiting)?;
        self.saved.snapshot(snapshot)?;
        snapshot.value("watermark", self.watermark);
        snapshot.value("passed", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        for (rows, kinds) in self.saved.restore(state)? {
            self.push(rows, kinds);
        }
        self.watermark = lowest(state, "watermark");
        self.passed = lowest(state, "passed");
        if self.watermark > self.passed {
            self.queue.push_back(Entry::Watermark(self.watermark));
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let waiting = self.queue.iter().map(|entry| match entry {
            Entry::Rows(asked) => asked.rows.get_array_memory_size(),
            Entry::Watermark(_) => 0,
        });
        waiting.sum::<usize>() + self.saved.memory()
    }
}

#[cfg(test)]
mod tests;
