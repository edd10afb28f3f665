//! Finds runs of rows that fit a pattern.
//!
//! **Keeps** the rows ahead of the watermark; for each key the partial matches and the rows they cover.
//!
//! **Emits** a match when its last row has been taken and no match that began earlier can make it fall
//! away.
//!
//! **A watermark** lets the rows up to it be taken, in order of time; a row behind it is late. Partial
//! matches that take longer than `WITHIN` are given up. On processing time rows are taken as they come.
//!
//! **A retraction** can't come: the plan refuses changes.
//!
//! ```text
//!   rows ─► waiting by time ─ watermark ─► first rows of all keys ─► second rows … ─► matches ─► out
//!                                            │  conditions over all partial matches at once
//!                                            └► each key's automaton
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_plan::{Navigation, PatternMatch};
use flott_state::{OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::automaton::{Automaton, Pattern, Run};
use super::navigate::{Condition, Span, navigate, value_types};
use super::rows::{KeptRows, Waiting};
use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, Rows};
use crate::window::{batch, column, lowest, millis, only_inserts, positional_schema, reject_null_times};

/// The automata of the keys, as a column of state.
#[derive(Debug, Default)]
struct Automata(Vec<Automaton>);

impl StateColumn for Automata {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.0.len() {
            self.0.resize_with(slots_end, Automaton::default);
        }
    }
    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(automaton) = self.0.get_mut(*slot as usize) {
                *automaton = Automaton::default();
            }
        }
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::Binary
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let bytes = slots.iter().map(|slot| self.0.get(*slot as usize).map(Automaton::to_bytes));
        Ok(Arc::new(bytes.collect::<BinaryArray>()))
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let unreadable =
            || Diagnostic::error(Code::CheckpointUnusable, "a checkpoint holds no partial matches");
        let saved = saved.as_binary_opt::<i32>().ok_or_else(unreadable)?;
        for (slot, bytes) in slots.iter().zip(saved.iter()) {
            let automaton = bytes.and_then(Automaton::of_bytes).ok_or_else(unreadable)?;
            if let Some(place) = self.0.get_mut(*slot as usize) {
                *place = automaton;
            }
        }
        Ok(())
    }
    fn memory(&self) -> usize {
        self.0.iter().map(Automaton::memory).sum()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a variable asks of a row.
struct Asks {
    /// A BOOLEAN column.
    row: Option<usize>,
    condition: Option<Condition>,
}

/// A match that has been found.
struct Found {
    time: i64,
    span: Span,
}

/// A question to a condition: may this variable take the row?
struct Question {
    term: usize,
    span: Span,
}

/// The operator.
pub(crate) struct PatternOperator {
    pattern: Pattern,
    asks: Vec<Asks>,
    has_conditions: bool,
    keys: Vec<usize>,
    time_column: Option<usize>,
    order_by: Vec<(usize, bool, bool)>,
    outputs: Vec<Navigation>,
    schema: SchemaRef,
    automata: Table<dyn StateColumn>,
    rows: KeptRows,
    /// When runs of these keys will have taken too long.
    expiries: BTreeMap<i64, Vec<u32>>,
    context: Context,
    /// Rows up to here have been taken.
    passed: i64,
    now: i64,
}

impl PatternOperator {
    pub(crate) fn new(node: &PatternMatch, input: &Schema, context: &Context) -> Result<Self> {
        let type_of = |column: &usize| {
            let field = input.fields.get(*column).map(|field| field.data_type.arrow_type());
            field
                .ok_or_else(|| Diagnostic::error(Code::Internal, "a pattern's key is no column of its input"))
        };
        let types = node.keys.iter().map(type_of).collect::<Result<Vec<_>>>()?;
        let outputs = value_types(&node.outputs, input)?;
        let asks = node.terms.iter().map(|term| {
            let condition = term.condition.as_ref().map(|it| Condition::new(it, input)).transpose()?;
            Ok(Asks { row: term.row, condition })
        });
        let asks = asks.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            pattern: Pattern::new(node),
            has_conditions: asks.iter().any(|asks| asks.condition.is_some()),
            asks,
            keys: node.keys.clone(),
            time_column: node.time_column,
            order_by: node.order_by.clone(),
            outputs: node.outputs.clone(),
            schema: positional_schema(types.iter().cloned().chain(outputs)),
            automata: Table::new(&types, vec![Box::new(Automata::default()) as Box<dyn StateColumn>])?,
            rows: KeptRows::new(&types, input)?,
            expiries: BTreeMap::new(),
            context: context.clone(),
            passed: i64::MIN,
            now: i64::MIN,
        })
    }

    fn on_clock(&self) -> bool {
        self.time_column.is_none()
    }

    fn add(&mut self, batch: &RecordBatch, times: &[i64]) -> Result<()> {
        let keys = self.keys.iter().map(|key| column(batch, *key).cloned()).collect::<Result<Vec<_>>>()?;
        let hashes = self.automata.hashes(&keys, batch.num_rows());
        let mut slots = Vec::with_capacity(batch.num_rows());
        self.automata.find_or_insert(&keys, &hashes, &mut slots)?;
        // Rows from a source may carry their origin behind their columns; it ends here.
        let own = batch.columns().get(..self.rows.columns()).unwrap_or(batch.columns());
        self.rows.add(&keys, &slots, times, own)
    }

    /// Rows on time are added, others are late.
    fn add_on_time(&mut self, rows: &RecordBatch, time_column: usize, out: &mut Output<'_>) -> Result<()> {
        let times = millis(column(rows, time_column)?)?;
        if times.iter().all(|time| *time > self.passed) {
            return self.add(rows, &times);
        }
        let late: BooleanArray = times.iter().map(|time| Some(*time <= self.passed)).collect();
        (out.late)(rows, Some(&late))?;
        let on_time = arrow::compute::not(&late).map_err(arrow_failed)?;
        let rows = arrow::compute::filter_record_batch(rows, &on_time).map_err(arrow_failed)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.add(&rows, &millis(column(&rows, time_column)?)?)
    }

    /// Takes the rows whose time has come.
    fn take_until(&mut self, time: i64, out: &mut Output<'_>) -> Result<()> {
        let due = self.rows.take_until(time);
        let due = self.in_order(due)?;
        let mut touched: Vec<u32> = due.iter().map(|row| row.key).collect();
        let (mut found, mut rest) = (Vec::new(), self.in_rounds(due)?);
        while !rest.rows.is_empty() {
            let round = rest.next_round();
            self.round(&round, &mut found)?;
        }
        self.expire_until(time, &mut touched, &mut found)?;
        found.sort_by_key(|found| found.time);
        for found in found.chunks(self.context.batch_rows.max(1)) {
            self.emit(found, out)?;
        }
        self.forget(touched)
    }

    /// Rows of the same time in the order that the query asks for.
    fn in_order(&self, mut due: Vec<Waiting>) -> Result<Vec<Waiting>> {
        if self.order_by.is_empty() || due.len() < 2 {
            return Ok(due);
        }
        let slots: Vec<u32> = due.iter().map(|row| row.slot).collect();
        let ascending = |values: ArrayRef| SortColumn { values, options: None };
        let mut by = vec![ascending(Arc::new(Int64Array::from_iter_values(due.iter().map(|row| row.time))))];
        for (column, descending, nulls_first) in &self.order_by {
            let options = SortOptions { descending: *descending, nulls_first: *nulls_first };
            by.push(SortColumn { values: self.rows.column(*column, &slots)?, options: Some(options) });
        }
        by.push(ascending(Arc::new(Int64Array::from_iter_values(due.iter().map(|row| row.number)))));
        let order = lexsort_to_indices(&by, None).map_err(arrow_failed)?;
        due = order.values().iter().filter_map(|at| due.get(*at as usize).copied()).collect();
        Ok(due)
    }

    /// The first row of every key, then the second of every key, …
    fn in_rounds(&self, due: Vec<Waiting>) -> Result<Rounds> {
        let mut counts = vec![0_u32; self.automata.keys().slots_end()];
        let mut rows: Vec<(u32, Waiting)> = Vec::with_capacity(due.len());
        for row in due {
            let count = counts.get_mut(row.key as usize);
            let round = count.as_ref().map_or(0, |count| **count);
            if let Some(count) = count {
                *count += 1;
            }
            rows.push((round, row));
        }
        rows.sort_by_key(|(round, _)| *round);
        let slots: Vec<u32> = rows.iter().map(|(_, row)| row.slot).collect();
        let fits =
            self.asks.iter().map(|asks| asks.row.map(|column| self.rows.column(column, &slots)).transpose());
        let fits = fits.collect::<Result<Vec<_>>>()?;
        let fits = fits.into_iter().map(|it| it.as_ref().map(|it| it.as_boolean().clone())).collect();
        Ok(Rounds { rows, at: 0, fits: Arc::new(fits) }.begun())
    }

    /// A row of each of several keys.
    fn round(&mut self, round: &Round, found: &mut Vec<Found>) -> Result<()> {
        let mut out = Vec::new();
        for row in &round.rows {
            let automaton = automaton(&mut self.automata, row.key)?;
            automaton.expire(&self.pattern, row.time, &mut out)?;
            take_found(&mut out, row, found);
            let place = automaton.next_row;
            self.rows.place(row, place)?;
        }
        let answers = self.answers(round)?;
        let mut answers = answers.iter().copied();
        for (at, row) in round.rows.iter().enumerate() {
            let (asks, pattern) = (&self.asks, &self.pattern);
            let automaton = automaton(&mut self.automata, row.key)?;
            let mut takes = |_: &Run, term: usize| {
                let conditional = asks.get(term).is_some_and(|asks| asks.condition.is_some());
                round.fits(term, at) && (!conditional || answers.next().unwrap_or(false))
            };
            automaton.step(pattern, row.time, &mut takes, &mut out)?;
            if let Some(expiry) = self.pattern.expiry(row.time)
                && automaton.runs().iter().any(|run| run.start == automaton.next_row - 1)
            {
                self.expiries.entry(expiry).or_default().push(row.key);
            }
            take_found(&mut out, row, found);
        }
        Ok(())
    }

    /// What the conditions say of each row, for each run of its key and each candidate that has one.
    fn answers(&mut self, round: &Round) -> Result<Vec<bool>> {
        if !self.has_conditions {
            return Ok(Vec::new());
        }
        let mut questions: Vec<Question> = Vec::new();
        for (at, row) in round.rows.iter().enumerate() {
            let automaton = automaton(&mut self.automata, row.key)?;
            for run in automaton.runs() {
                for term in self.pattern.candidates(run) {
                    let conditional = self.asks.get(term).is_some_and(|asks| asks.condition.is_some());
                    if conditional && round.fits(term, at) {
                        let start = if run.has_begun() { run.start } else { automaton.next_row };
                        let mut counts = run.counts.clone();
                        counts.resize(term + 1, 0);
                        counts.iter_mut().last().into_iter().for_each(|count| *count += 1);
                        let span = Span { key: row.key, start, counts: counts.into() };
                        questions.push(Question { term, span });
                    }
                }
            }
        }
        let mut answers = vec![false; questions.len()];
        for (term, asks) in self.asks.iter().enumerate() {
            let Some(condition) = &asks.condition else { continue };
            let of_term = questions.iter().enumerate().filter(|(_, question)| question.term == term);
            let (places, spans): (Vec<usize>, Vec<Span>) =
                of_term.map(|(at, question)| (at, question.span.clone())).unzip();
            if spans.is_empty() {
                continue;
            }
            let holds = condition.holds(&self.rows, &spans, &self.context.eval)?;
            for (place, holds) in places.into_iter().zip(holds.values()) {
                if let Some(answer) = answers.get_mut(place) {
                    *answer = holds;
                }
            }
        }
        Ok(answers)
    }

    /// Gives up runs that take too long, of keys whose rows say nothing of it.
    fn expire_until(&mut self, time: i64, touched: &mut Vec<u32>, found: &mut Vec<Found>) -> Result<()> {
        let mut out = Vec::new();
        while let Some(entry) = self.expiries.first_entry().filter(|entry| *entry.key() <= time) {
            let mut keys = entry.remove();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                automaton(&mut self.automata, key)?.expire(&self.pattern, time, &mut out)?;
                let found_now = out.drain(..).map(|run| Found { time, span: span(key, run) });
                found.extend(found_now);
                touched.push(key);
            }
        }
        Ok(())
    }

    fn emit(&self, found: &[Found], out: &mut Output<'_>) -> Result<()> {
        let keys: Vec<u32> = found.iter().map(|found| found.span.key).collect();
        let spans: Vec<Span> = found.iter().map(|found| found.span.clone()).collect();
        let mut columns = self.automata.keys().keys(&keys)?;
        columns.extend(navigate(&self.outputs, &self.rows, &spans)?);
        (out.emit)(Rows::insert(batch(&self.schema, columns, found.len())?))
    }

    /// Forgets rows that no run needs, and keys without any.
    fn forget(&mut self, mut keys: Vec<u32>) -> Result<()> {
        keys.sort_unstable();
        keys.dedup();
        let (mut removed, mut idle, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            let automaton = automaton(&mut self.automata, key)?;
            self.rows.leave(key, automaton.first_row(), &mut removed);
            if automaton.is_idle() && !self.rows.waits(key) {
                idle.push(key)
            } else {
                kept.push(key)
            };
        }
        self.rows.remove(&removed)?;
        self.automata.touch(&kept);
        self.automata.remove(&idle)
    }
}

fn span(key: u32, run: Run) -> Span {
    Span { key, start: run.start, counts: run.counts.into() }
}

fn take_found(runs: &mut Vec<Run>, row: &Waiting, found: &mut Vec<Found>) {
    found.extend(runs.drain(..).map(|run| Found { time: row.time, span: span(row.key, run) }));
}

fn automaton(table: &mut Table<dyn StateColumn>, key: u32) -> Result<&mut Automaton> {
    let automata = table.columns_mut().first_mut().and_then(|it| it.as_any_mut().downcast_mut::<Automata>());
    automata
        .and_then(|it| it.0.get_mut(key as usize))
        .ok_or_else(|| Diagnostic::error(Code::Internal, "a key has no automaton"))
}

/// Rows that are due, by round.
struct Rounds {
    rows: Vec<(u32, Waiting)>,
    at: usize,
    /// For each variable with a condition on the row alone, whether each row fulfils it.
    fits: Arc<Vec<Option<BooleanArray>>>,
}

/// A row of each of several keys.
struct Round {
    rows: Vec<Waiting>,
    /// Position of the first one in `fits`.
    first: usize,
    fits: Arc<Vec<Option<BooleanArray>>>,
}

impl Rounds {
    fn begun(mut self) -> Self {
        // Taken from the end, so that a round costs what it has.
        self.rows.reverse();
        self
    }

    fn next_round(&mut self) -> Round {
        let round = self.rows.last().map_or(0, |(round, _)| *round);
        let mut rows = Vec::new();
        while let Some((_, row)) = self.rows.pop_if(|(it, _)| *it == round) {
            rows.push(row);
        }
        let first = self.at;
        self.at += rows.len();
        Round { rows, first, fits: self.fits.clone() }
    }
}

impl Round {
    /// Whether a row fulfils what a variable asks of the row alone.
    fn fits(&self, term: usize, row: usize) -> bool {
        match self.fits.get(term) {
            Some(Some(fits)) => {
                let at = self.first + row;
                at < fits.len() && fits.is_valid(at) && fits.value(at)
            }
            _ => true,
        }
    }
}

impl Operator for PatternOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        only_inserts(&rows)?;
        let Some(time_column) = self.time_column else {
            self.now = self.now.max((self.context.now_millis)());
            self.add(&rows.batch, &vec![self.now; rows.batch.num_rows()])?;
            // With a further order, rows of this millisecond may still come.
            return if self.order_by.is_empty() { self.take_until(self.now, out) } else { Ok(()) };
        };
        match reject_null_times(&rows.batch, &[time_column], out)? {
            Some(timed) => self.add_on_time(&timed, time_column, out),
            None => self.add_on_time(&rows.batch, time_column, out),
        }
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if self.on_clock() || watermark <= self.passed {
            return Ok(());
        }
        self.passed = watermark;
        self.take_until(watermark, out)
    }

    fn next_timer(&self) -> Option<i64> {
        if !self.on_clock() {
            return None;
        }
        let rows = self.rows.first_time().map(|time| time.saturating_add(1));
        rows.into_iter().chain(self.expiries.keys().next().copied()).min()
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        if !self.on_clock() {
            return Ok(());
        }
        self.now = self.now.max(now_millis);
        let last = match (self.order_by.is_empty(), now_millis) {
            (true, _) | (false, i64::MAX) => now_millis,
            (false, now) => now.saturating_sub(1),
        };
        self.take_until(last, out)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("keys", &mut self.automata)?;
        self.rows.snapshot(snapshot)?;
        snapshot.value("watermark", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.table("keys", &mut self.automata)?;
        self.passed = lowest(state, "watermark");
        let automata = &mut self.automata;
        self.rows.restore(state, &mut |keys, rows| {
            let hashes = automata.hashes(keys, rows);
            let mut slots = Vec::with_capacity(rows);
            automata.find_or_insert(keys, &hashes, &mut slots)?;
            Ok(slots)
        })?;
        let keys: Vec<u32> = self.automata.keys().live().collect();
        for key in keys {
            for run in automaton(&mut self.automata, key)?.runs().iter().filter(|run| run.has_begun()) {
                if let Some(expiry) = self.pattern.expiry(run.start_time) {
                    self.expiries.entry(expiry).or_default().push(key);
                }
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let expiries: usize = self.expiries.values().map(|it| it.capacity() * 4 + 48).sum();
        self.automata.memory() + self.rows.memory() + expiries
    }
}
