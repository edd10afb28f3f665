//! Constant rows as a source: `VALUES`, and `SELECT` without `FROM`.

use std::sync::Arc;

use arrow::{
    array::RecordBatchOptions, compute::concat_batches, datatypes::SchemaRef, record_batch::RecordBatch,
};
use flott_connector::{
    Chunk, Decoded, Decoder, Payload, ReadContext, RecordPart, Reject, Source, SourceReader, SplitInfo,
    SplitTime,
};
use flott_expr::{EvalContext, EvalError, Expr, Program};
use flott_types::{Code, Diagnostic, Result, Schema};

/// What constant rows are called in the accounting and in messages.
pub const NAME: &str = "VALUES";

/// Rows handed on at once.
const BATCH_ROWS: usize = 4096;

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
    fn replays(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&serde_json::Value>) -> Result<Box<dyn SourceReader>> {
        let done = self.rows.is_empty() || resume.is_some_and(|position| *position == true);
        Ok(Box::new(ValuesReader { rows: self.rows.len() as u64, done }))
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
        let time = SplitTime { finished: true, ..SplitTime::default() };
        Ok(Some(Chunk {
            split,
            sequence: 0,
            offset: 0,
            payload: Payload::Rows(0..self.rows),
            bytes_in: 0,
            time,
        }))
    }
    fn position(&self) -> serde_json::Value {
        self.done.into()
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
        for (start, rows) in (0u32..).step_by(BATCH_ROWS).zip(self.rows.chunks(BATCH_ROWS)) {
            emit(self.rows(start, rows, &unit, context)?)?;
        }
        Ok(())
    }
}

impl ValuesDecoder {
    /// Rows that follow each other, those that fail apart from the others.
    fn rows(
        &self,
        start: u32,
        rows: &[Program],
        unit: &RecordBatch,
        context: &EvalContext,
    ) -> Result<Decoded> {
        let (mut batches, mut places, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (number, row) in (start..).zip(rows) {
            match self.row(row, unit, context) {
                Ok(batch) => {
                    batches.push(batch);
                    places.push(number..number);
                }
                Err(error) if error.code == Code::Internal => {
                    return Err(Diagnostic::error(Code::Internal, error.message));
                }
                Err(error) => {
                    rejected.push(Reject {
                        record: number..number,
                        code: error.code,
                        message: error.message,
                        part: RecordPart::Value,
                    });
                }
            }
        }
        let batch = concat_batches(&self.schema, &batches).map_err(internal)?;
        let read = rows.len() as u64;
        Ok(Decoded {
            batch,
            rows: places,
            kinds: None,
            first_record: start,
            read,
            filtered: 0,
            skipped: 0,
            nulled: 0,
            rejected,
        })
    }

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
