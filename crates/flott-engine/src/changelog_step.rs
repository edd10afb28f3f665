//! `FROM_CHANGELOG` and `TO_CHANGELOG` over batches.
//!
//! ```text
//!   FROM   op: 'c' 'd' 'c'  + columns   ──►   kinds: +I -D +I  + columns
//!   TO     kinds: +I -U +U  + columns   ──►   op: 'INSERT' 'UPDATE_AFTER'  + columns of those
//! ```
//!
//! A code that isn't mapped fails its row, as a cast would; a kind that isn't is left out.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, RecordBatchOptions, StringArray},
    compute::{filter, filter_record_batch},
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use flott_expr::EvalError;
use flott_types::{Code, RowKind, Schema};

use crate::calc::internal;

/// New rows become changes.
pub struct FromChangelog {
    op_column: usize,
    name: String,
    mapping: Vec<(String, RowKind)>,
    schema: SchemaRef,
}

impl FromChangelog {
    /// `name`: what the column is called, for errors.
    pub fn new(op_column: usize, name: &str, mapping: &[(String, RowKind)], schema: &Schema) -> Self {
        let (name, mapping, schema) = (name.to_string(), mapping.to_vec(), schema.arrow_schema());
        Self { op_column, name, mapping, schema }
    }

    /// The rows, and what each does.
    ///
    /// # Errors
    /// `EvaluationFailed`: a row doesn't say what it does.
    pub fn apply(&self, batch: &RecordBatch) -> Result<(RecordBatch, Int8Array), EvalError> {
        let mut columns = batch.columns().to_vec();
        if self.op_column >= columns.len() {
            return Err(EvalError { code: Code::Internal, message: "a changelog has no op".into() });
        }
        let op = columns.remove(self.op_column);
        let op = op.as_string_opt::<i32>().ok_or_else(|| EvalError {
            code: Code::Internal,
            message: "the op of a changelog is text".into(),
        })?;
        let mut kinds = Vec::with_capacity(op.len());
        for row in 0..op.len() {
            let code = op.is_valid(row).then(|| op.value(row));
            kinds.push(self.kind(code)?.number());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok((rows.map_err(internal)?, kinds.into()))
    }

    #[inline]
    fn kind(&self, code: Option<&str>) -> Result<RowKind, EvalError> {
        let known = self.mapping.iter().find(|(known, _)| Some(known.as_str()) == code);
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let shown = code.map_or_else(|| "NULL".to_string(), |code| format!("'{code}'"));
            let message =
                format!("column '{}' says {shown}, which op_mapping has no operation for", self.name);
            EvalError { code: Code::EvaluationFailed, message }
        })
    }
}

/// Changes become new rows.
pub struct ToChangelog {
    /// What each kind is called, by its number.
    codes: [Option<String>; 4],
    schema: SchemaRef,
}

impl ToChangelog {
    /// With these names.
    pub fn new(mapping: &[(RowKind, String)], schema: &Schema) -> Self {
        let code = |kind: RowKind| mapping.iter().find(|(it, _)| *it == kind).map(|(_, code)| code.clone());
        Self { codes: RowKind::ALL.map(code), schema: schema.arrow_schema() }
    }

    /// The rows whose kinds have a name (none: all are new).
    ///
    /// # Errors
    /// `Internal`
    pub fn apply(&self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<RecordBatch, EvalError> {
        let new = RowKind::Insert.number();
        let kinds = kinds.cloned().unwrap_or_else(|| Int8Array::from_value(new, batch.num_rows()));
        let named: BooleanArray =
            kinds.values().iter().map(|kind| Some(self.code(*kind).is_some())).collect();
        let (batch, kinds) = if named.true_count() == named.len() {
            (batch.clone(), kinds)
        } else {
            let kept = filter(&kinds, &named).map_err(internal)?.as_primitive().clone();
            (filter_record_batch(batch, &named).map_err(internal)?, kept)
        };
        let codes = kinds.values().iter().map(|kind| self.code(*kind).unwrap_or_default());
        let op: ArrayRef = std::sync::Arc::new(StringArray::from_iter_values(codes));
        let columns = std::iter::once(op).chain(batch.columns().iter().cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(internal)
    }

    fn code(&self, kind: i8) -> Option<&str> {
        self.codes.get(usize::try_from(kind).ok()?)?.as_deref()
    }
}
