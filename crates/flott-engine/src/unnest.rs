//! `CROSS JOIN UNNEST(…)`: each row once per element of a collection.
//!
//! ```text
//!   (a, [x, y])  (b, [])   ──►   (a, [x, y], x)  (a, [x, y], y)        LEFT JOIN: also (b, [], NULL)
//! ```
//! Elements that are ROWs are spread into one column per field, a MAP into key and value, a
//! MULTISET into its elements, each as often as its count says. An element that is NULL gives a row
//! of NULL, but a ROW that is NULL gives none, as in Flink.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int32Array, RecordBatchOptions, StructArray, UInt32Array, new_null_array,
    },
    buffer::NullBuffer,
    compute::take,
    datatypes::{Int32Type, SchemaRef},
    record_batch::RecordBatch,
};
use flott_expr::{EvalContext, EvalError, Expr, Program};
use flott_types::{Code, Schema, TypeKind};

/// What is unnested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An array of values: one column.
    Elements,
    /// An array of ROWs: a column per field.
    Fields,
    /// A map: key and value.
    Entries,
    /// A multiset: each element as often as its count.
    Counted,
}

/// The step, made ready.
#[derive(Debug)]
pub struct Unnest {
    collection: Program,
    shape: Shape,
    outer: bool,
    ordinality: bool,
    schema: SchemaRef,
    /// Which columns of the input are read behind this step; the others aren't repeated.
    used: Vec<bool>,
}

/// Rows made at once: beyond, fewer input rows are taken at a time, so that memory stays bounded.
const UNNESTED_ROWS_MAX: usize = 64 << 10;

impl Unnest {
    /// Makes the step ready. `used` says for each column before it whether a later step reads it.
    pub fn new(collection: &Expr, outer: bool, ordinality: bool, output: &Schema, used: Vec<bool>) -> Self {
        let shape = match &collection.data_type.kind {
            TypeKind::Map(..) => Shape::Entries,
            TypeKind::Multiset(_) => Shape::Counted,
            TypeKind::Array(element) if matches!(element.kind, TypeKind::Row(_)) => Shape::Fields,
            _ => Shape::Elements,
        };
        let collection = Program::new(vec![collection.clone()]);
        Self { collection, shape, outer, ordinality, schema: output.arrow_schema(), used }
    }

    /// The rows, for each the input row that it comes from, and how many input rows had no element.
    ///
    /// # Errors
    /// `RecordTooLarge` if fewer input rows must be taken at once; what evaluation gives.
    pub fn apply(
        &self,
        batch: &RecordBatch,
        context: &EvalContext,
    ) -> Result<(RecordBatch, UInt32Array, u64), EvalError> {
        let collection = self.collection.evaluate(batch, context)?.into_iter().next();
        let collection = collection.ok_or_else(|| internal("no collection"))?;
        let (offsets, children) = self.parts(&collection)?;
        let counts = match self.shape {
            Shape::Counted => {
                Some(children.get(1).ok_or_else(|| internal("no counts"))?.as_primitive::<Int32Type>())
            }
            _ => None,
        };
        let absent = self.absent_rows(&collection);
        let mut parents: Vec<u32> = Vec::new();
        let mut elements: Vec<Option<u32>> = Vec::new();
        let mut ordinals: Vec<Option<i32>> = Vec::new();
        let mut dropped = 0;
        for row in 0..batch.num_rows() {
            let before = parents.len();
            if before > UNNESTED_ROWS_MAX {
                return Err(EvalError {
                    code: Code::RecordTooLarge,
                    message: "too many elements at once".into(),
                });
            }
            if collection.is_valid(row) {
                let mut ordinal = 0;
                for element in offsets[row]..offsets[row + 1] {
                    let element = usize::try_from(element).map_err(|_| internal("negative offset"))?;
                    if absent.as_ref().is_some_and(|nulls| nulls.is_null(element)) {
                        ordinal += 1;
                        continue;
                    }
                    let times = counts
                        .map_or(1, |counts| if counts.is_valid(element) { counts.value(element) } else { 0 });
                    for _ in 0..times {
                        ordinal += 1;
                        parents.push(row as u32);
                        elements.push(Some(element as u32));
                        ordinals.push(Some(ordinal));
                    }
                }
            }
            if parents.len() == before {
                if self.outer {
                    parents.push(row as u32);
                    elements.push(None);
                    ordinals.push(None);
                } else {
                    dropped += 1;
                }
            }
        }
        let parents = UInt32Array::from(parents);
        let batch = self.assemble(batch, &children, &parents, elements, ordinals)?;
        Ok((batch, parents, dropped))
    }

    /// Which elements are ROWs that are NULL.
    fn absent_rows(&self, collection: &ArrayRef) -> Option<NullBuffer> {
        match self.shape {
            Shape::Fields => collection.as_list_opt::<i32>()?.values().nulls().cloned(),
            Shape::Elements | Shape::Entries | Shape::Counted => None,
        }
    }

    /// Offsets of each row's elements, and the element columns before they are repeated.
    fn parts(&self, collection: &ArrayRef) -> Result<(Vec<i32>, Vec<ArrayRef>), EvalError> {
        match self.shape {
            Shape::Elements => {
                let list = collection.as_list_opt::<i32>().ok_or_else(|| internal("not a list"))?;
                Ok((list.value_offsets().to_vec(), vec![list.values().clone()]))
            }
            Shape::Fields => {
                let list = collection.as_list_opt::<i32>().ok_or_else(|| internal("not a list"))?;
                let rows = list.values().as_struct_opt().ok_or_else(|| internal("not a list of rows"))?;
                Ok((list.value_offsets().to_vec(), fields_of(rows)))
            }
            Shape::Entries | Shape::Counted => {
                let map = collection.as_map_opt().ok_or_else(|| internal("not a map"))?;
                Ok((map.value_offsets().to_vec(), vec![map.keys().clone(), map.values().clone()]))
            }
        }
    }

    fn assemble(
        &self,
        batch: &RecordBatch,
        children: &[ArrayRef],
        parents: &UInt32Array,
        elements: Vec<Option<u32>>,
        ordinals: Vec<Option<i32>>,
    ) -> Result<RecordBatch, EvalError> {
        let rows = parents.len();
        let elements = UInt32Array::from(elements);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (column, used) in batch.columns().iter().zip(&self.used) {
            columns.push(match used {
                true => take(column, parents, None).map_err(too_much)?,
                false => new_null_array(column.data_type(), rows),
            });
        }
        let used = if self.shape == Shape::Counted { 1 } else { children.len() };
        for child in &children[..used] {
            columns.push(if child.is_empty() {
                new_null_array(child.data_type(), rows)
            } else {
                take(child, &elements, None).map_err(too_much)?
            });
        }
        if self.ordinality {
            columns.push(Arc::new(Int32Array::from(ordinals)));
        }
        debug_assert_eq!(batch.num_columns(), self.used.len(), "the plan counts the input's columns");
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(arrow_error)
    }
}

/// The fields of a column of ROWs, NULL where the ROW is.
fn fields_of(rows: &StructArray) -> Vec<ArrayRef> {
    let with_parent = |field: &ArrayRef| -> ArrayRef {
        let Some(parent) = rows.nulls() else { return field.clone() };
        let nulls = NullBuffer::union(Some(parent), field.nulls());
        let data = field.to_data().into_builder().nulls(nulls).build();
        data.map_or_else(|_| field.clone(), arrow::array::make_array)
    };
    rows.columns().iter().map(with_parent).collect()
}

fn internal(message: &str) -> EvalError {
    EvalError { code: Code::Internal, message: message.to_string() }
}

/// Rows repeated beyond what a column holds: fewer of them at a time may do.
fn too_much(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::EvaluationFailed, message: format!("too many or too large elements: {error}") }
}

fn arrow_error(error: arrow::error::ArrowError) -> EvalError {
    EvalError { code: Code::Internal, message: error.to_string() }
}
