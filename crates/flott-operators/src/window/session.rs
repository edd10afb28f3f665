//! Sessions: windows that end when nothing has come for a while.
//!
//! **Keeps** for each open session its bounds and what it has so far: the calls' values, or its rows.
//!
//! **Emits** a session when it is complete: the gap has passed since its last row.
//!
//! **A watermark** completes the sessions whose end less a millisecond it reaches. A row that would
//! begin a session which is complete already is late; one that still reaches an open session counts.
//!
//! ```text
//!   rows       •  •      •                 •
//!   sessions  [  ─  ─   ─  gap )          [  gap )
//!   a row in between joins the sessions that it touches, on both sides
//! ```
//! Each row is a window of its own, from its time to that and the gap; windows that overlap or
//! touch are one session.
//!
//! Source: Flink, `MergingWindowSet`, `SessionWindowAssigner`.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType as ArrowType;
use arrow::record_batch::RecordBatch;
use flott_aggregate::Accumulator;
use flott_expr::EvalError;
use flott_plan::{SessionWindow, WindowAggregate, WindowProperty, Windows};
use flott_sql::WindowKind;
use flott_state::{Buckets, ListColumn, OperatorSnapshot, OperatorState, Table};
use flott_types::{Code, Diagnostic, Result, Schema, TimeAttribute};

use super::assign::millis;
use super::cells::{KeptRows, NO_BOUND};
use super::emit::{Bounds, WindowColumns, batch, positional_schema};
use super::local_time::WindowClock;
use super::open_sessions::{Closed, OpenSessions, SessionId};
use super::pane::{Aggregation, KeyedRows, MainTable, take_all};
use super::place::{column, lowest, only_inserts, reject_null_times};
use super::split::{Part, split};
use crate::hidden::Hidden;
use crate::operator::{Context, Operator, Output, Rows};

/// The bounds come before what the session keeps.
const BOUNDS: usize = 2;

/// What a session keeps.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// Values of calls.
    Calls,
    /// Its rows, of this many columns.
    Rows(usize),
}

/// The operator.
pub(crate) struct SessionOperator {
    aggregation: Arc<Aggregation>,
    content: Content,
    /// Sessions by level.
    levels: Buckets<dyn Accumulator>,
    open: OpenSessions,
    gap: i64,
    time_column: usize,
    proctime: bool,
    clock: WindowClock,
    window: WindowColumns,
    schema: arrow::datatypes::SchemaRef,
    context: Context,
    watermark: i64,
    passed: i64,
    now: i64,
    slots: Vec<u32>,
}

impl SessionOperator {
    /// Sessions that are aggregated.
    pub(crate) fn aggregate(node: &WindowAggregate, input: &Schema, context: &Context) -> Result<Self> {
        let aggregation = Aggregation::new(&node.keys, &node.calls, input, false)?;
        Self::new(aggregation, Content::Calls, &node.windows, &node.properties, input, context)
    }

    /// Sessions that keep their rows.
    pub(crate) fn rows(node: &SessionWindow, input: &Schema, context: &Context) -> Result<Self> {
        let aggregation = Aggregation::new(&node.keys, &[], input, false)?;
        let properties = [WindowProperty::Start, WindowProperty::End, WindowProperty::Time];
        Self::new(aggregation, Content::Rows(input.len()), &node.windows, &properties, input, context)
    }

    fn new(
        aggregation: Aggregation,
        content: Content,
        windows: &Windows,
        properties: &[WindowProperty],
        input: &Schema,
        context: &Context,
    ) -> Result<Self> {
        let Windows::Assigned {
            kind: WindowKind::Session { gap_millis, .. },
            time_column,
            time,
            local_time,
            ..
        } = windows
        else {
            return Err(Diagnostic::error(Code::Internal, "windows that are no sessions"));
        };
        let clock = WindowClock::new(*local_time, context.eval.time_zone);
        let window = WindowColumns::new(properties, windows, input, clock);
        let row_types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        let aggregation = Arc::new(aggregation);
        let schema = match content {
            Content::Calls => {
                let results = aggregation.key_types().iter().cloned().chain(aggregation.result_types());
                positional_schema(results.chain(window.types()))
            }
            Content::Rows(_) => positional_schema(row_types.iter().cloned().chain(window.types())),
        };
        let (of, keeps_rows) = (aggregation.clone(), matches!(content, Content::Rows(_)));
        let levels = Buckets::new(move || {
            let mut columns: Vec<Box<dyn Accumulator>> =
                vec![Hidden::starting_at(NO_BOUND), Hidden::starting_at(NO_BOUND)];
            if keeps_rows {
                columns.push(Box::new(KeptRows(ListColumn::new(&row_types)?)));
            } else {
                columns.extend(of.single_accumulators()?);
            }
            Table::new(of.key_types(), columns)
        });
        let proctime = *time == TimeAttribute::Proctime;
        Ok(Self {
            aggregation,
            content,
            levels,
            open: OpenSessions::new(*gap_millis, proctime),
            gap: *gap_millis,
            time_column: *time_column,
            proctime,
            clock,
            window,
            schema,
            context: context.clone(),
            watermark: i64::MIN,
            passed: i64::MIN,
            now: i64::MIN,
            slots: Vec::new(),
        })
    }

    fn add(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let rows = batch.num_rows();
        let keyed = self.aggregation.rows(batch.columns(), rows, &Part::All, None)?;
        let ids = self.place(batch, &keyed)?;
        if ids.iter().any(Option::is_none) {
            (out.late)(batch, Some(&ids.iter().map(|id| Some(id.is_none())).collect()))?;
        }
        self.give_slots(&keyed)?;
        let contents: Vec<ArrayRef> = match self.content {
            Content::Calls => keyed.columns().to_vec(),
            // Rows from a source may carry their origin behind their columns; it ends here.
            Content::Rows(columns) => batch.columns().iter().take(columns).cloned().collect(),
        };
        let open = &self.open;
        let parts =
            split(rows, |row| ids.get(row).copied().flatten().map(|id| i64::from(open.place_of(id).0)));
        for (level, part) in parts {
            let of_part = |row: usize| ids.get(row).copied().flatten();
            let ids: Vec<SessionId> = match &part {
                Part::All => ids.iter().filter_map(|id| *id).collect(),
                Part::Range(first, count) => (*first..first + count).filter_map(of_part).collect(),
                Part::Rows(rows) => rows.values().iter().filter_map(|row| of_part(*row as usize)).collect(),
            };
            self.slots.clear();
            self.slots.extend(ids.iter().map(|id| open.place_of(*id).1));
            let table = self.levels.get_or_create(level)?;
            table.touch(&self.slots);
            if let [start, end, contents_of @ ..] = table.columns_mut() {
                let (start, end) =
                    (Hidden::in_column_mut(start.as_mut())?, Hidden::in_column_mut(end.as_mut())?);
                for (id, slot) in ids.iter().zip(&self.slots) {
                    let bounds = open.bounds(*id);
                    start.set(*slot, bounds.0);
                    end.set(*slot, bounds.1);
                }
                let columns = contents.iter().map(|it| part.of(it)).collect::<Result<Vec<_>>>()?;
                match self.content {
                    Content::Calls => self.aggregation.accumulate_all(contents_of, &self.slots, &columns)?,
                    Content::Rows(_) => contents_of
                        .iter_mut()
                        .try_for_each(|kept| kept.update(&self.slots, &columns, None))
                        .map_err(failed)?,
                }
            }
        }
        self.merge()
    }

    /// Each row's session. None: it is late.
    fn place(&mut self, batch: &RecordBatch, keyed: &KeyedRows) -> Result<Vec<Option<SessionId>>> {
        let first = self.levels.get_or_create(0)?;
        self.slots.clear();
        first.find_or_insert(keyed.keys(), keyed.hashes(), &mut self.slots)?;
        self.open.grow(first.keys().slots_end());
        let (gap, passed) = (self.gap, self.passed);
        let mut ids = Vec::with_capacity(keyed.len());
        if self.proctime {
            let start = self.clock.to_local(self.now);
            let end = start.saturating_add(gap);
            for (row, key) in self.slots.iter().enumerate() {
                ids.push(self.open.place(*key, row as u32, start, end, passed));
            }
            return Ok(ids);
        }
        let times = millis(column(batch, self.time_column)?)?;
        for (row, (key, time)) in self.slots.iter().zip(times.iter()).enumerate() {
            let start = self.clock.to_local(*time);
            ids.push(self.open.place(*key, row as u32, start, start.saturating_add(gap), passed));
        }
        // Late rows leave no key behind that has no session.
        let mut unused: Vec<u32> = Vec::new();
        for (key, id) in self.slots.iter().zip(&ids) {
            if id.is_none() && self.open.is_unused(*key) {
                unused.push(*key);
            }
        }
        if !unused.is_empty() {
            self.levels.get_or_create(0)?.remove(&unused)?;
        }
        Ok(ids)
    }

    /// Slots for the further sessions that were opened.
    fn give_slots(&mut self, keyed: &KeyedRows) -> Result<()> {
        let opened = self.open.take_opened();
        let open = &mut self.open;
        for (level, part) in
            split(opened.len(), |at| opened.get(at).map(|(id, _)| i64::from(open.place_of(*id).0)))
        {
            let chosen: Vec<(SessionId, u32)> = match part {
                Part::All => opened.clone(),
                Part::Range(first, count) => opened.iter().skip(first).take(count).copied().collect(),
                Part::Rows(rows) => {
                    rows.values().iter().filter_map(|at| opened.get(*at as usize).copied()).collect()
                }
            };
            let rows = UInt32Array::from_iter_values(chosen.iter().map(|(_, row)| *row));
            let keys = take_all(keyed.keys(), &rows)?;
            let hashes: Vec<u64> =
                rows.values().iter().filter_map(|row| keyed.hashes().get(*row as usize).copied()).collect();
            let mut slots = Vec::with_capacity(chosen.len());
            self.levels.get_or_create(level)?.find_or_insert(&keys, &hashes, &mut slots)?;
            for ((id, _), slot) in chosen.iter().zip(slots) {
                open.set_slot(*id, slot);
            }
        }
        Ok(())
    }

    /// Moves the values of sessions that rows have joined with others.
    fn merge(&mut self) -> Result<()> {
        for (from, into) in self.open.take_merges() {
            let ((from_level, from_slot), (level, slot)) =
                (self.open.place_of(from), self.open.place_of(into));
            let Some(source) = self.levels.get_mut(i64::from(from_level)) else { continue };
            let saved = source.columns().iter().skip(BOUNDS).map(|it| it.save(&[from_slot]));
            let saved = saved.collect::<Result<Vec<_>>>()?;
            source.remove(&[from_slot])?;
            let Some(target) = self.levels.get_mut(i64::from(level)) else { continue };
            for (column, saved) in target.columns_mut().iter_mut().skip(BOUNDS).zip(&saved) {
                column.merge(&[slot], saved).map_err(failed)?;
            }
            let bounds = self.open.bounds(into);
            set_bounds(target, slot, bounds)?;
            target.touch(&[slot]);
            self.open.forget(from);
        }
        Ok(())
    }

    fn emit_until(&mut self, passed: i64, out: &mut Output<'_>) -> Result<()> {
        self.passed = self.passed.max(passed);
        let closed = self.open.complete(self.passed);
        let levels = split(closed.len(), |at| closed.get(at).map(|closed| i64::from(closed.level)));
        for (level, part) in levels {
            let of_level: Vec<Closed> = match &part {
                Part::All => closed.clone(),
                _ => closed.iter().filter(|closed| i64::from(closed.level) == level).copied().collect(),
            };
            let Some(table) = self.levels.get(level) else { continue };
            for closed in of_level.chunks(self.context.batch_rows.max(1)) {
                match self.content {
                    Content::Calls => self.emit_calls(table, closed, out)?,
                    Content::Rows(_) => self.emit_rows(table, closed, out)?,
                }
            }
        }
        self.forget(&closed)
    }

    fn emit_calls(&self, table: &MainTable, closed: &[Closed], out: &mut Output<'_>) -> Result<()> {
        let slots: Vec<u32> = closed.iter().map(|closed| closed.slot).collect();
        let mut columns = table.keys().keys(&slots)?;
        columns.extend(self.aggregation.evaluate(table.columns().get(BOUNDS..).unwrap_or_default(), &slots)?);
        self.emit(columns, closed.iter().map(|closed| (closed, 1)), slots.len(), out)
    }

    fn emit_rows(&self, table: &MainTable, closed: &[Closed], out: &mut Output<'_>) -> Result<()> {
        let kept = table.columns().get(BOUNDS).and_then(|it| it.as_any().downcast_ref::<KeptRows>());
        let Some(KeptRows(lists)) = kept else { return Ok(()) };
        let mut rest = closed;
        while !rest.is_empty() {
            // As many sessions as fit a batch, but at least one.
            let mut rows = 0;
            let fit = rest.iter().position(|closed| {
                rows += lists.rows(closed.slot);
                rows > self.context.batch_rows
            });
            let (now, later) = rest.split_at(fit.unwrap_or(rest.len()).max(1));
            let slots: Vec<u32> = now.iter().map(|closed| closed.slot).collect();
            let counts: Vec<usize> = slots.iter().map(|slot| lists.rows(*slot)).collect();
            let columns = lists.get(&slots)?;
            self.emit(columns, now.iter().zip(counts.iter().copied()), counts.iter().sum(), out)?;
            rest = later;
        }
        Ok(())
    }

    /// Emits rows: so many of each session.
    fn emit<'a>(
        &self,
        mut columns: Vec<ArrayRef>,
        sessions: impl Iterator<Item = (&'a Closed, usize)>,
        rows: usize,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let (mut starts, mut ends) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for (closed, count) in sessions {
            starts.extend(std::iter::repeat_n(closed.start, count));
            ends.extend(std::iter::repeat_n(closed.end, count));
        }
        columns.extend(self.window.columns(&Bounds::Each(&starts, &ends), rows)?);
        (out.emit)(Rows::insert(batch(&self.schema, columns, rows)?))
    }

    /// Takes complete sessions out of the state. A key goes with its last session.
    fn forget(&mut self, closed: &[Closed]) -> Result<()> {
        let (mut emptied, mut unused) = (Vec::new(), Vec::new());
        for closed in closed {
            if closed.level > 0 {
                if let Some(table) = self.levels.get_mut(i64::from(closed.level)) {
                    table.remove(&[closed.slot])?;
                }
            } else {
                emptied.push(closed.slot);
            }
            let (key, is_unused) = self.open.forget(closed.id);
            if is_unused {
                unused.push(key);
            }
        }
        let Some(first) = self.levels.get_mut(0) else { return Ok(()) };
        emptied.retain(|slot| !self.open.is_unused(*slot));
        first.columns_mut().iter_mut().for_each(|column| column.reset(&emptied));
        first.touch(&emptied);
        first.remove(&unused)
    }
}

fn set_bounds(table: &mut MainTable, slot: u32, (from, to): (i64, i64)) -> Result<()> {
    if let [start, end, ..] = table.columns_mut() {
        Hidden::in_column_mut(start.as_mut())?.set(slot, from);
        Hidden::in_column_mut(end.as_mut())?.set(slot, to);
    }
    Ok(())
}

fn failed(error: EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, error.message)
}

impl Operator for SessionOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        only_inserts(&rows)?;
        if self.proctime {
            self.now = self.now.max((self.context.now_millis)());
        } else if let Some(timed) = reject_null_times(&rows.batch, &[self.time_column], out)? {
            return self.add(&timed, out);
        }
        self.add(&rows.batch, out)
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if self.proctime || watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.emit_until(self.clock.passed(watermark), out)
    }

    fn next_timer(&self) -> Option<i64> {
        let end = self.proctime.then(|| self.open.first_end()).flatten()?;
        Some(self.clock.fires_at(end).saturating_add(1))
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        if !self.proctime {
            return Ok(());
        }
        self.now = self.now.max(now_millis);
        let last = if now_millis == i64::MAX { i64::MAX } else { now_millis.saturating_sub(1) };
        self.emit_until(self.clock.passed(last), out)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.buckets("sessions", &mut self.levels)?;
        snapshot.value("watermark", self.watermark);
        snapshot.value("passed", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        state.buckets("sessions", &mut self.levels)?;
        self.watermark = lowest(state, "watermark");
        self.passed = lowest(state, "passed");
        let Some(first) = self.levels.get(0) else { return Ok(()) };
        self.open.grow(first.keys().slots_end());
        for (level, table) in self.levels.iter() {
            let slots: Vec<u32> = table.keys().live().collect();
            let hashes: Vec<u64> = slots.iter().map(|slot| table.keys().hash_of(*slot)).collect();
            let mut keys = Vec::with_capacity(slots.len());
            if level == 0 {
                keys.clone_from(&slots);
            } else {
                first.find(&table.keys().keys(&slots)?, &hashes, &mut keys)?;
            }
            let [start, end, ..] = table.columns() else { continue };
            let (start, end) = (Hidden::in_column(start.as_ref())?, Hidden::in_column(end.as_ref())?);
            for (slot, key) in slots.iter().zip(keys) {
                if end.get(*slot) != NO_BOUND {
                    let level = u32::try_from(level).unwrap_or(u32::MAX);
                    self.open.restore(key, level, *slot, start.get(*slot), end.get(*slot));
                }
            }
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.levels.memory() + self.open.memory()
    }
}
