//! The rows that come out of a window: keys, results, and what of the window was asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, Schema as ArrowSchema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flott_plan::{WindowProperty, Windows};
use flott_types::{Result, Schema};

use super::assign::time_column;
use super::local_time::WindowClock;
use super::pane::{Aggregation, PaneRef, next_slots};
use crate::arrow_failed;
use crate::operator::{Output, Rows};

/// Windows that rows are in: one for all of them, or one each.
pub(crate) enum Bounds<'a> {
    /// Start and end.
    Same(i64, i64),
    /// Starts and ends.
    Each(&'a [i64], &'a [i64]),
}

/// Makes window columns.
#[derive(Debug, Clone)]
pub(crate) struct WindowColumns {
    properties: Vec<WindowProperty>,
    time_type: ArrowType,
    clock: WindowClock,
}

/// `window_start` and `window_end`: TIMESTAMP(3).
pub(crate) fn bound_type() -> ArrowType {
    ArrowType::Timestamp(TimeUnit::Millisecond, None)
}

impl WindowColumns {
    pub(crate) fn new(
        properties: &[WindowProperty],
        windows: &Windows,
        input: &Schema,
        clock: WindowClock,
    ) -> Self {
        let milliseconds =
            |local_time: bool| ArrowType::Timestamp(TimeUnit::Millisecond, local_time.then(|| "UTC".into()));
        let time_type = match windows {
            Windows::Assigned { time_column, local_time, .. } => input
                .fields
                .get(*time_column)
                .map(|field| field.data_type.arrow_type())
                .filter(|it| matches!(it, ArrowType::Timestamp(_, zone) if zone.is_some() == *local_time))
                .unwrap_or_else(|| milliseconds(*local_time)),
            Windows::Attached { local_time, .. } => milliseconds(*local_time),
        };
        Self { properties: properties.to_vec(), time_type, clock }
    }

    /// The columns' types.
    pub(crate) fn types(&self) -> impl Iterator<Item = ArrowType> {
        self.properties.iter().map(|property| match property {
            WindowProperty::Start | WindowProperty::End => bound_type(),
            WindowProperty::Time => self.time_type.clone(),
        })
    }

    /// The columns, for this many rows.
    pub(crate) fn columns(&self, bounds: &Bounds<'_>, rows: usize) -> Result<Vec<ArrayRef>> {
        let spread = |value: i64| vec![value; rows];
        let last = |end: i64| self.clock.to_instant(end.saturating_sub(1));
        self.properties
            .iter()
            .map(|property| match (property, bounds) {
                (WindowProperty::Start, Bounds::Same(start, _)) => time_column(spread(*start), &bound_type()),
                (WindowProperty::Start, Bounds::Each(starts, _)) => {
                    time_column(starts.to_vec(), &bound_type())
                }
                (WindowProperty::End, Bounds::Same(_, end)) => time_column(spread(*end), &bound_type()),
                (WindowProperty::End, Bounds::Each(_, ends)) => time_column(ends.to_vec(), &bound_type()),
                (WindowProperty::Time, Bounds::Same(_, end)) => {
                    time_column(spread(last(*end)), &self.time_type)
                }
                (WindowProperty::Time, Bounds::Each(_, ends)) => {
                    time_column(ends.iter().map(|end| last(*end)).collect(), &self.time_type)
                }
            })
            .collect()
    }
}

/// A schema of columns without names that matter.
pub(crate) fn positional_schema(types: impl IntoIterator<Item = ArrowType>) -> SchemaRef {
    let field = |(at, data_type)| Field::new(format!("c{at}"), data_type, true);
    Arc::new(ArrowSchema::new(types.into_iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// A batch with at least no column.
pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(arrow_failed)
}

/// Emits the groups of windows.
#[derive(Debug)]
pub(crate) struct Emitter {
    aggregation: Arc<Aggregation>,
    window: WindowColumns,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Emitter {
    pub(crate) fn new(aggregation: Arc<Aggregation>, window: WindowColumns, batch_rows: usize) -> Self {
        let keys = aggregation.key_types().iter().take(aggregation.grouping_keys()).cloned();
        let schema = positional_schema(keys.chain(aggregation.result_types()).chain(window.types()));
        Self { aggregation, window, schema, batch_rows: batch_rows.max(1) }
    }

    /// Emits all groups of a window. Without a start each group's key ends with its own.
    pub(crate) fn window(
        &self,
        pane: &PaneRef<'_>,
        start: Option<i64>,
        end: i64,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let mut slots = Vec::new();
        let mut live = pane.main.keys().live();
        while next_slots(&mut live, self.batch_rows, &mut slots) {
            let mut columns = pane.main.keys().keys(&slots)?;
            let starts = columns.split_off(self.aggregation.grouping_keys().min(columns.len()));
            columns.extend(self.aggregation.evaluate(pane.main.columns(), &slots)?);
            let bounds = match (start, starts.first().and_then(|it| it.as_primitive_opt::<Int64Type>())) {
                (None, Some(starts)) => {
                    let ends = vec![end; slots.len()];
                    self.window.columns(&Bounds::Each(starts.values(), &ends), slots.len())?
                }
                (start, _) => self.window.columns(&Bounds::Same(start.unwrap_or(end), end), slots.len())?,
            };
            columns.extend(bounds);
            (out.emit)(Rows::insert(batch(&self.schema, columns, slots.len())?))?;
        }
        Ok(())
    }
}
