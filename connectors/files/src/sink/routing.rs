//! Which rows of a batch go to which partition.
//!
//! ```text
//!   key columns:  DE DE DE | FR FR | DE        runs of equal keys, found by comparing columns
//!   groups:       DE: 0,1,2,5   FR: 3,4        one lookup per run, not per row
//! ```
//!
//! A batch of one partition passes untouched; few runs are cut out without copying; else each
//! partition's rows are gathered.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
};

use arrow::{
    array::{ArrayRef, AsArray, Int8Array, RecordBatch, UInt32Array},
    compute::{partition, take, take_record_batch},
    row::{OwnedRow, RowConverter, SortField},
};
use flott_connector::TableDescription;
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Diagnostic, Result};

use super::SinkPlan;
use crate::partition as path;

/// A map by partition, with an order that doesn't change from run to run.
pub(crate) type ByPartition<T> = HashMap<OwnedRow, T, BuildHasherDefault<DefaultHasher>>;

/// Runs at least this long on average are cut out instead of gathered.
const RUN_ROWS_MIN: usize = 256;

/// Takes batches apart by partition.
pub(crate) struct Router {
    converter: RowConverter,
    key_columns: Vec<usize>,
    keys: Vec<(String, DataType)>,
    context: EvalContext,
    default_name: String,
}

/// Rows of one partition.
pub(crate) struct Routed {
    pub partition: OwnedRow,
    pub rows: RecordBatch,
    /// What each row does; none: all are new.
    pub kinds: Option<Int8Array>,
}

impl Router {
    /// For a partitioned table.
    ///
    /// # Errors
    /// `NotSupported`: a key of a type that has no text.
    pub(crate) fn new(plan: &SinkPlan) -> Result<Self> {
        let table: &TableDescription = &plan.table;
        let columns = plan.key_columns.iter().filter_map(|&position| table.columns.get(position));
        let keys: Vec<_> = columns.map(|column| (column.name.clone(), column.data_type.clone())).collect();
        let fields = keys.iter().map(|(_, data_type)| SortField::new(data_type.arrow_type())).collect();
        let converter = RowConverter::new(fields)
            .map_err(|error| Diagnostic::not_supported(format!("these partition columns: {error}")))?;
        Ok(Self {
            converter,
            key_columns: plan.key_columns.clone(),
            keys,
            context: plan.job.context.clone(),
            default_name: plan.settings.default_partition_name.clone(),
        })
    }

    /// Splits a batch; partitions in the order of their first row.
    ///
    /// # Errors
    /// `OutputFailed`
    pub(crate) fn route(&self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<Vec<Routed>> {
        let keys = self.keys(batch);
        let runs = partition(&keys).map_err(|error| wrong(&error))?.ranges();
        let rows = self.converter.convert_columns(&keys).map_err(|error| wrong(&error))?;
        if runs.len().saturating_mul(RUN_ROWS_MIN) <= batch.num_rows() || runs.len() == 1 {
            let cut = |run: std::ops::Range<usize>| Routed {
                partition: rows.row(run.start).owned(),
                rows: batch.slice(run.start, run.len()),
                kinds: kinds.map(|kinds| kinds.slice(run.start, run.len())),
            };
            return Ok(runs.into_iter().map(cut).collect());
        }
        let mut groups: Vec<(OwnedRow, Vec<u32>)> = Vec::new();
        let mut known: HashMap<&[u8], usize, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        let encoded: Vec<_> = runs.iter().map(|run| rows.row(run.start)).collect();
        for (run, key) in runs.iter().zip(&encoded) {
            let group = *known.entry(key.as_ref()).or_insert_with(|| {
                groups.push((key.owned(), Vec::new()));
                groups.len() - 1
            });
            if let Some((_, indices)) = groups.get_mut(group) {
                indices.extend(run.clone().filter_map(|row| u32::try_from(row).ok()));
            }
        }
        groups
            .into_iter()
            .map(|(partition, indices)| {
                let indices = UInt32Array::from(indices);
                let rows = take_record_batch(batch, &indices).map_err(|error| wrong(&error))?;
                let kinds = kinds.map(|kinds| take(kinds, &indices, None)).transpose();
                let kinds = kinds.map_err(|error| wrong(&error))?.map(|kinds| kinds.as_primitive().clone());
                Ok(Routed { partition, rows, kinds })
            })
            .collect()
    }

    /// The directory of the partition of the first row.
    pub(crate) fn directory(&self, rows: &RecordBatch) -> String {
        let columns = self.keys(rows);
        let values = self.keys.iter().zip(&columns).map(|((name, data_type), column)| {
            (name.as_str(), path::to_text(column, 0, data_type, &self.context))
        });
        path::directory(values, &self.default_name)
    }

    fn keys(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.key_columns.iter().filter_map(|&position| batch.columns().get(position).cloned()).collect()
    }
}

fn wrong(error: &arrow::error::ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::OutputFailed, format!("cannot split rows by partition: {error}"))
}
