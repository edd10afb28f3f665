//! Grouping sets: each row once per set, with the keys that the set lacks made NULL.
//!
//! ```text
//!   ((a, b), (a))      (a, b, x)   ──►   (a, b, x, 0)   (a, NULL, x, 1)
//! ```
//!
//! Keeps nothing. All rows of one set come before those of the next.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatchOptions, UInt32Array, new_null_array},
    compute::concat,
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use flott_expr::EvalError;
use flott_types::{Code, Schema};

/// The step, made ready.
#[derive(Debug)]
pub struct Expand {
    absent: Vec<Vec<usize>>,
    schema: SchemaRef,
}

impl Expand {
    /// Makes the step ready. `absent`: for each set, the columns that are NULL in it.
    pub fn new(absent: &[Vec<usize>], output: &Schema) -> Self {
        Self { absent: absent.to_vec(), schema: output.arrow_schema() }
    }

    /// The rows, once per set, and for each the input row that it comes from.
    ///
    /// # Errors
    /// `Internal`
    pub fn apply(&self, batch: &RecordBatch) -> Result<(RecordBatch, UInt32Array), EvalError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 1);
        for (at, column) in batch.columns().iter().enumerate() {
            let nulls = new_null_array(column.data_type(), rows);
            let in_set = |absent: &Vec<usize>| if absent.contains(&at) { &*nulls } else { &**column };
            let parts: Vec<_> = self.absent.iter().map(in_set).collect();
            columns.push(concat(&parts).map_err(internal)?);
        }
        let sets = 0..i32::try_from(self.absent.len()).unwrap_or(i32::MAX);
        let sets = sets.flat_map(|set| std::iter::repeat_n(set, rows));
        columns.push(Arc::new(Int32Array::from_iter_values(sets)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows * self.absent.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let parents = self.absent.iter().flat_map(|_| 0..rows as u32);
        Ok((batch.map_err(internal)?, UInt32Array::from_iter_values(parents)))
    }
}

fn internal(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::Internal, message: error.to_string() }
}
