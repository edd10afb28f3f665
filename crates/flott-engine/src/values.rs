//! Constant rows as a source: `VALUES`, and `SELECT` without `FROM`.

use std::sync::Arc;

use arrow::{array::RecordBatchOptions, datatypes::SchemaRef, record_batch::RecordBatch};
use flott_connector::{
    Chunk, Decoded, Decoder, Payload, ReadContext, Reject, Source, SourceReader, SplitInfo,
};
use flott_expr::{EvalContext, EvalError, Expr, Program};
use flott_types::{Code, Diagnostic, Result, Schema};

/// What constant rows are called in the accounting and in messages.
pub const NAME: &str = "VALUES";

/// A source of constant rows.
pub struct ValuesSource {
    rows: Arc<[Program]>,
    schema: SchemaRef,
}

impl ValuesSource {
    /// Rows of constant expressions; only the columns in `projection` are computed.
    pub fn new(rows: &[Vec<Expr>], projection: &[usize], schema: &Schema) -> Self {
        let pick =
            |row: &Vec<Expr>| Program::new(projection.iter().map(|&column| row[column].clone()).collect());
        Self { rows: rows.iter().map(pick).collect(), schema: schema.arrow_schema() }
    }
}

impl Source for ValuesSource {
    fn is_bounded(&self) -> bool {
        true
    }
    fn reader(&self) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(ValuesReader { rows: self.rows.len() as u64, done: self.rows.is_empty() }))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(ValuesDecoder { rows: self.rows.clone(), schema: self.schema.clone() }))
    }
}

struct ValuesReader {
    rows: u64,
    done: bool,
}

impl SourceReader for ValuesReader {
    fn next_chunk(&mut self, _: &ReadContext) -> Result<Option<Chunk>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let split = Arc::new(SplitInfo { name: NAME.into(), ..SplitInfo::default() });
        Ok(Some(Chunk { split, sequence: 0, offset: 0, payload: Payload::Rows(0..self.rows), bytes_in: 0 }))
    }
}

struct ValuesDecoder {
    rows: Arc<[Program]>,
    schema: SchemaRef,
}

impl Decoder for ValuesDecoder {
    fn decode(
        &mut self,
        _: &Chunk,
        context: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        // One empty-schema row to evaluate constants over.
        let unit = RecordBatch::try_new_with_options(
            Arc::new(arrow::datatypes::Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )
        .map_err(internal)?;
        for (number, row) in self.rows.iter().enumerate() {
            let record = number as u32..number as u32;
            let decoded = match self.row(row, &unit, context) {
                Ok(batch) => Decoded::all(batch, record.start),
                Err(error) if error.code == Code::Internal => {
                    return Err(Diagnostic::error(Code::Internal, error.message));
                }
                Err(error) => Decoded {
                    batch: RecordBatch::new_empty(self.schema.clone()),
                    rows: Vec::new(),
                    first_record: record.start,
                    read: 1,
                    filtered: 0,
                    skipped: 0,
                    rejected: vec![Reject { record, code: error.code, message: error.message }],
                },
            };
            emit(decoded)?;
        }
        Ok(())
    }
}

impl ValuesDecoder {
    fn row(
        &self,
        row: &Program,
        unit: &RecordBatch,
        context: &EvalContext,
    ) -> Result<RecordBatch, EvalError> {
        let columns = row.evaluate(unit, context)?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| EvalError { code: Code::Internal, message: error.to_string() })
    }
}

fn internal(error: arrow::error::ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}
