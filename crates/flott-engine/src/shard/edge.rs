//! An edge of the plan on one shard: stateless steps, perhaps a pre-aggregation, then a sink or a
//! lane to the shards of an operator.
//!
//! ```text
//!   rows ─► Calc ─► pre-aggregation ─► Sink           (this shard's writer)
//!                                  └─► LaneWriter     (the shard that has the key)
//! ```

use std::cell::Cell;

use arrow::{
    array::{BooleanArray, Int8Array},
    record_batch::RecordBatch,
};
use flott_operators::{Operator, Output, Rows};
use flott_types::Result;

use super::operator::Outcasts;
use crate::{
    accounting::{Counters, add},
    calc::Calc,
    exchange::{LaneWriter, Message},
    lineage::Lineage,
    progress::ChunkTime,
    sink::SinkTask,
};

/// Where an edge leads on a shard.
pub enum Route {
    /// To this shard's writer of a sink (position in the shard's sinks).
    Sink(usize),
    /// To an operator's shards.
    Lane {
        /// The lane.
        writer: LaneWriter,
        /// The columns whose values decide which shard.
        keys: Vec<usize>,
    },
}

/// The first stage of a two-phase aggregation.
pub struct PreAggregation {
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// The key columns of its partial results.
    pub keys: Vec<usize>,
    /// What happens to rows that it can't take.
    pub outcasts: Outcasts,
}

/// An edge.
pub struct EdgeTask {
    /// Index in the counters' edges.
    pub id: usize,
    /// The steps; `None`: rows go straight on.
    pub calc: Option<Calc>,
    /// Aggregates on this shard first.
    pub pre: Option<PreAggregation>,
    /// Where it leads.
    pub route: Route,
}

impl EdgeTask {
    /// Rows of the chunk with this number (none behind an operator).
    ///
    /// # Errors
    /// What stops the run.
    pub fn rows(
        &mut self,
        sequence: Option<u64>,
        batch: RecordBatch,
        kinds: Option<Int8Array>,
        lineage: Option<Lineage<'_>>,
        sinks: &mut [SinkTask],
        counters: &Counters,
    ) -> Result<()> {
        let Self { id, calc, pre, route } = self;
        let mut on = |batch: RecordBatch, kinds: Option<Int8Array>| match pre {
            None => deliver(route, *id, sequence, Rows::changes(batch, kinds), None, sinks),
            Some(pre) => {
                let PreAggregation { operator, keys, outcasts } = pre;
                drive(
                    operator.as_mut(),
                    outcasts,
                    counters,
                    *id,
                    |operator, out| operator.on_rows(0, Rows::changes(batch, kinds), out),
                    &mut |rows| deliver(route, *id, sequence, rows, Some(keys), sinks),
                )
            }
        };
        match calc {
            Some(calc) => calc.rows(&batch, kinds.as_ref(), lineage, &mut on),
            None => on(batch, kinds),
        }
    }

    /// Hands over what the pre-aggregation holds back.
    fn flush_pre(
        &mut self,
        sequence: Option<u64>,
        sinks: &mut [SinkTask],
        counters: &Counters,
    ) -> Result<()> {
        let Self { id, pre, route, .. } = self;
        let Some(PreAggregation { operator, keys, outcasts }) = pre else { return Ok(()) };
        drive(operator.as_mut(), outcasts, counters, *id, |operator, out| operator.flush(out), &mut |rows| {
            deliver(route, *id, sequence, rows, Some(keys), sinks)
        })
    }

    /// Time moves on within a chunk of a source.
    ///
    /// # Errors
    /// What stops the run.
    pub fn time(
        &mut self,
        sequence: u64,
        time: ChunkTime,
        sinks: &mut [SinkTask],
        counters: &Counters,
    ) -> Result<()> {
        self.flush_pre(Some(sequence), sinks, counters)?;
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::Time(sequence, time));
        }
        Ok(())
    }

    /// The chunk is complete.
    ///
    /// # Errors
    /// What stops the run.
    pub fn chunk_done(
        &mut self,
        sequence: u64,
        time: ChunkTime,
        sinks: &mut [SinkTask],
        counters: &Counters,
    ) -> Result<()> {
        self.flush_pre(Some(sequence), sinks, counters)?;
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::Done(sequence, time));
        }
        Ok(())
    }

    /// The watermark of the operator before it.
    ///
    /// # Errors
    /// What stops the run.
    pub fn watermark(&mut self, watermark: i64, sinks: &mut [SinkTask], counters: &Counters) -> Result<()> {
        self.flush_pre(None, sinks, counters)?;
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::Watermark(watermark));
        }
        Ok(())
    }

    /// Whether nobody should wait for the operator before it.
    pub fn idle(&mut self, idle: bool) {
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::Idle(idle));
        }
    }

    /// Hands over what the pre-aggregation of an operator's rows holds back.
    ///
    /// # Errors
    /// What stops the run.
    pub fn hand_over(&mut self, sinks: &mut [SinkTask], counters: &Counters) -> Result<()> {
        self.flush_pre(None, sinks, counters)
    }

    /// Everything before belongs to this epoch. Nothing is held back here: chunks, and operators that
    /// flush, have handed it over.
    pub fn barrier(&mut self, epoch: u64) {
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::Barrier(epoch));
        }
    }

    /// Nothing comes any more.
    pub fn end(&mut self, drained: bool) {
        if let Route::Lane { writer, .. } = &mut self.route {
            writer.tell_all(|| Message::End(drained));
        }
    }

    /// Delivers what waits. Whether anything moved.
    pub fn flush(&mut self) -> bool {
        match &mut self.route {
            Route::Lane { writer, .. } => writer.flush(),
            Route::Sink(_) => false,
        }
    }

    /// Whether what comes along here has to wait.
    pub fn is_blocked(&self, sinks: &mut [SinkTask]) -> bool {
        match &self.route {
            Route::Lane { writer, .. } => writer.is_blocked(),
            Route::Sink(sink) => !sinks[*sink].is_ready(),
        }
    }

    /// Whether something waits to be delivered.
    pub fn has_outbox(&self) -> bool {
        matches!(&self.route, Route::Lane { writer, .. } if writer.is_blocked())
    }

    /// The sink that it leads to, if it leads to one.
    pub fn sink(&self) -> Option<usize> {
        match self.route {
            Route::Sink(sink) => Some(sink),
            Route::Lane { .. } => None,
        }
    }
}

fn deliver(
    route: &mut Route,
    edge: usize,
    sequence: Option<u64>,
    rows: Rows,
    partial_keys: Option<&Vec<usize>>,
    sinks: &mut [SinkTask],
) -> Result<()> {
    match route {
        Route::Sink(sink) => sinks[*sink].write(edge, rows.batch, rows.kinds, sequence.is_some()),
        Route::Lane { writer, keys } => {
            let keys = if rows.partial { partial_keys.unwrap_or(keys) } else { keys };
            writer.rows(sequence.unwrap_or(0), rows, keys)
        }
    }
}

/// Calls a pre-aggregation.
fn drive(
    operator: &mut dyn Operator,
    outcasts: &Outcasts,
    counters: &Counters,
    edge: usize,
    call: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<()>,
    emit: &mut dyn FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let (mut late_partial, mut between, mut unmatched) = (0, 0, 0);
    let mut late =
        |batch: &RecordBatch, which: Option<&BooleanArray>| outcasts.late(edge, batch, which, counters);
    let mut reject =
        |batch: &RecordBatch, which: &BooleanArray, why: &str| outcasts.reject(edge, batch, which, why);
    let mut out = Output {
        emit,
        late: &mut late,
        reject: &mut reject,
        late_partial: &mut late_partial,
        between: &mut between,
        unmatched: &mut unmatched,
        lane: &Cell::new(0),
        replayed: &mut Vec::new(),
        // It takes rows one after the other, never with others.
        given_up: &|| false,
    };
    call(operator, &mut out)?;
    add(&counters.edges[edge].late, late_partial);
    add(&counters.edges[edge].filtered, between);
    add(&counters.edges[edge].unmatched, unmatched);
    Ok(())
}
