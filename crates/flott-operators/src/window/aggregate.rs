//! Groups within tumbling, hopping and cumulating windows, and within windows that rows bring along.
//!
//! **Keeps** a [pane](super::pane) for each slice (see [`super::assign`]), by its end; for cumulating
//! windows also one for each window that has begun to come out.
//!
//! **Emits** a window when it is complete, once, group by group. A window without rows does not
//! come out.
//!
//! **A watermark** completes the windows whose last millisecond it reaches. Of each the slices are
//! merged; slices that no later window has are dropped. A row is late once the last of its windows
//! is complete; a row that is late for the first ones only counts in the others.
//!
//! ```text
//!   row ─► slice ─► pane 12:02  pane 12:04  pane 12:06
//!                     └───────────┴───────────┴──── watermark 12:05:59.999: window 12:00 … 12:06
//! ```
//! On processing time the clock says which slice a row falls into and when a window is complete; no
//! row is late.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use flott_plan::{WindowAggregate, Windows};
use flott_state::{OperatorSnapshot, OperatorState};
use flott_types::{Result, Schema, TimeAttribute};

use super::assign::Slicer;
use super::emit::{Emitter, WindowColumns};
use super::hop::HopMerger;
use super::local_time::WindowClock;
use super::pane::{Aggregation, Pane, Panes};
use super::partial::PartialLayout;
use super::place::{Placement, lowest, only_inserts};
use super::split::{Part, split};
use crate::operator::{Context, Operator, Output, Rows};

/// The operator.
pub(crate) struct WindowAggregateOperator {
    aggregation: Arc<Aggregation>,
    placement: Placement,
    proctime: bool,
    clock: WindowClock,
    context: Context,
    layout: PartialLayout,
    emitter: Emitter,
    /// Slices by end.
    slices: Panes,
    /// Cumulating windows that have begun to come out, by the end of the longest.
    running: Panes,
    hop: Option<HopMerger>,
    watermark: i64,
    /// Every window that ends here or before is complete.
    passed: i64,
    slots: Vec<u32>,
}

impl WindowAggregateOperator {
    pub(crate) fn new(node: &WindowAggregate, input: &Schema, context: &Context) -> Result<Self> {
        let placement = Placement::new(&node.windows, context)?;
        let (Windows::Assigned { local_time, .. } | Windows::Attached { local_time, .. }) = node.windows;
        let clock = WindowClock::new(local_time, context.eval.time_zone);
        let aggregation = Aggregation::new(&node.keys, &node.calls, input, placement.is_attached())?;
        let aggregation = Arc::new(aggregation);
        let window = WindowColumns::new(&node.properties, &node.windows, input, clock);
        let hop = placement.slicer().and_then(|slicer| HopMerger::new(slicer, &aggregation));
        Ok(Self {
            layout: PartialLayout::new(&aggregation)?,
            emitter: Emitter::new(aggregation.clone(), window, context.batch_rows),
            slices: Panes::new(&aggregation),
            running: Panes::new(&aggregation),
            proctime: node.windows.time() == TimeAttribute::Proctime,
            hop,
            aggregation,
            placement,
            clock,
            context: context.clone(),
            watermark: i64::MIN,
            passed: i64::MIN,
            slots: Vec::new(),
        })
    }

    fn slicer(&self) -> Option<Slicer> {
        self.placement.slicer()
    }

    /// The end of the last window that a slice is in.
    fn last_window(&self, slice: i64) -> i64 {
        self.slicer().map_or(slice, |slicer| slicer.last_window(slice))
    }

    fn add_rows(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        if self.proctime {
            self.placement.advance((self.context.now_millis)());
        }
        let placed = self.placement.place(batch, out)?;
        let rows = placed.batch.num_rows();
        for (slice, part) in placed.parts {
            if !self.proctime && self.last_window(slice) <= self.passed {
                let mask = (part != Part::All).then(|| part.mask(rows));
                (out.late)(&placed.batch, mask.as_ref())?;
                continue;
            }
            let keyed = self.aggregation.rows(placed.batch.columns(), rows, &part, placed.start.as_ref())?;
            let panes = panes_for(&mut self.slices, &mut self.hop, slice);
            self.aggregation.update(&mut panes.get_or_create(slice)?, &keyed, &mut self.slots)?;
        }
        Ok(())
    }

    fn add_partial(&mut self, batch: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let partial = self.layout.read(batch)?;
        let slices = partial.slices;
        for (slice, part) in split(batch.num_rows(), |row| slices.get(row).copied()) {
            if !self.proctime && self.last_window(slice) <= self.passed {
                let counts = part.of(partial.counts)?;
                let late = arrow::compute::sum(counts.as_primitive::<Int64Type>()).unwrap_or(0);
                *out.late_partial += u64::try_from(late).unwrap_or(0);
                continue;
            }
            let of = |columns: &[ArrayRef]| columns.iter().map(|it| part.of(it)).collect::<Result<Vec<_>>>();
            let (keys, saved) = (of(partial.keys)?, of(partial.saved)?);
            let hashes = self.aggregation.hashes(&keys, part.rows(batch.num_rows()));
            let panes = panes_for(&mut self.slices, &mut self.hop, slice);
            let mut pane = panes.get_or_create(slice)?;
            self.aggregation.merge_partial(&mut pane, &keys, &hashes, &saved, &mut self.slots)?;
        }
        Ok(())
    }

    /// The end of the next window to come out: of all that have rows the first that isn't complete yet.
    fn next_window(&self) -> Option<i64> {
        let Some(slicer) = self.slicer() else { return self.slices.first() };
        let first = self.slices.first().into_iter();
        let first = first.chain(self.hop.as_ref().and_then(HopMerger::first)).min();
        let of_slices = first.map(|slice| slicer.first_window(slice));
        let of_running =
            self.running.first().map(|last| slicer.first_window(slicer.window_start(last) + slicer.slice));
        let first = of_slices.into_iter().chain(of_running).min()?;
        if slicer.is_tumbling() || first > self.passed {
            return Some(first);
        }
        // Some of its windows are out: the next one ends after all that are complete.
        Some(slicer.first_window(self.passed.saturating_add(1)))
    }

    fn emit_until(&mut self, passed: i64, out: &mut Output<'_>) -> Result<()> {
        while let Some(end) = self.next_window().filter(|end| *end <= passed) {
            match self.slicer() {
                Some(slicer) if slicer.is_cumulating() => self.emit_cumulating(slicer, end, out)?,
                Some(slicer) if !slicer.is_tumbling() => self.emit_hopping(slicer, end, out)?,
                slicer => {
                    if let Some(pane) = self.slices.remove(end) {
                        let start = slicer.map(|slicer| slicer.window_start(end));
                        self.emitter.window(&pane.as_ref(), start, end, out)?;
                    }
                }
            }
            self.passed = self.passed.max(end);
        }
        self.passed = self.passed.max(passed);
        Ok(())
    }

    /// Moves the window's slices into its running pane, and emits that.
    fn emit_cumulating(&mut self, slicer: Slicer, end: i64, out: &mut Output<'_>) -> Result<()> {
        let start = slicer.window_start(end);
        let last = start.saturating_add(slicer.size);
        let mut running = self.running.get_or_create(last)?;
        while let Some(slice) = self.slices.first().filter(|slice| *slice <= end) {
            if let Some(pane) = self.slices.remove(slice) {
                self.aggregation.fold(&pane.as_ref(), &mut running)?;
            }
        }
        if let Some(pane) = self.running.get(last) {
            self.emitter.window(&pane, Some(start), end, out)?;
        }
        if end >= last {
            self.running.remove(last);
        }
        Ok(())
    }

    fn emit_hopping(&mut self, slicer: Slicer, end: i64, out: &mut Output<'_>) -> Result<()> {
        let start = slicer.window_start(end);
        let merged: Option<Pane> = match &mut self.hop {
            Some(hop) => hop.window(&self.slices, start, end)?,
            None => {
                // The slices that only this window still needs are taken; others are read.
                let mut merged: Option<Pane> = None;
                let slices: Vec<i64> = self.slices.buckets().take_while(|slice| *slice <= end).collect();
                for slice in slices {
                    let done = slicer.last_window(slice) <= end;
                    match (&mut merged, done) {
                        (None, true) => merged = self.slices.remove(slice),
                        (merged, done) => {
                            let into = match merged {
                                Some(into) => into,
                                None => merged.insert(self.aggregation.pane()?),
                            };
                            if let Some(from) = self.slices.get(slice) {
                                self.aggregation.fold(&from, &mut into.as_mut())?;
                            }
                            if done {
                                self.slices.remove(slice);
                            }
                        }
                    }
                }
                merged
            }
        };
        if let Some(pane) = &merged {
            self.emitter.window(&pane.as_ref(), Some(start), end, out)?;
        }
        while let Some(slice) = self.slices.first().filter(|slice| slicer.last_window(*slice) <= end) {
            self.slices.remove(slice);
        }
        if let Some(hop) = &mut self.hop {
            hop.drop_until(slicer, end);
        }
        Ok(())
    }
}

/// Rows of a slice that a long hop has already merged go to the side.
fn panes_for<'a>(slices: &'a mut Panes, hop: &'a mut Option<HopMerger>, slice: i64) -> &'a mut Panes {
    match hop {
        Some(hop) if hop.has_merged(slice) => hop.late_mut(),
        _ => slices,
    }
}

impl Operator for WindowAggregateOperator {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        if rows.partial {
            return self.add_partial(&rows.batch, out);
        }
        only_inserts(&rows)?;
        self.add_rows(&rows.batch, out)
    }

    fn on_watermark(&mut self, watermark: i64, out: &mut Output<'_>) -> Result<()> {
        if self.proctime || watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        self.emit_until(self.clock.passed(watermark), out)
    }

    fn next_timer(&self) -> Option<i64> {
        let end = self.proctime.then(|| self.next_window()).flatten()?;
        Some(self.clock.fires_at(end).saturating_add(1))
    }

    fn on_time(&mut self, now_millis: i64, out: &mut Output<'_>) -> Result<()> {
        if !self.proctime {
            return Ok(());
        }
        self.placement.advance(now_millis);
        // A millisecond later than a watermark would: rows may still come in the window's last one.
        let last = if now_millis == i64::MAX { i64::MAX } else { now_millis.saturating_sub(1) };
        self.emit_until(self.clock.passed(last), out)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        self.slices.snapshot("slices", snapshot)?;
        self.running.snapshot("running", snapshot)?;
        if let Some(hop) = &mut self.hop {
            hop.late_mut().snapshot("late", snapshot)?;
        }
        snapshot.value("watermark", self.watermark);
        snapshot.value("passed", self.passed);
        Ok(())
    }

    fn restore(&mut self, state: &OperatorState) -> Result<()> {
        self.slices.restore("slices", state)?;
        self.running.restore("running", state)?;
        if let Some(hop) = &mut self.hop {
            hop.late_mut().restore("late", state)?;
        }
        self.watermark = lowest(state, "watermark");
        self.passed = lowest(state, "passed");
        Ok(())
    }

    fn memory(&self) -> usize {
        self.slices.memory() + self.running.memory() + self.hop.as_ref().map_or(0, HopMerger::memory)
    }
}
