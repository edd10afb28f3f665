//! The predicate that the plan pushed into a decoder.
//!
//! ```text
//!   Decoded ── evaluate the whole batch ──► keep where TRUE, count the rest as `filtered`
//!                    │ fails
//!                    └─ halve, again and again ──► the bad rows alone become `Reject`s
//! ```
//!
//! A batch evaluates as a whole or fails as a whole, so the good path has no per-row checks and
//! one bad row costs about `2·log2(rows)` evaluations of ever smaller pieces.

use arrow::{
    array::{Array, AsArray, BooleanArray, BooleanBufferBuilder},
    buffer::BooleanBuffer,
    compute::filter_record_batch,
    record_batch::RecordBatch,
};
use flott_connector::{Decoded, Reject};
use flott_expr::{EvalContext, EvalError, Program};
use flott_types::{Code, Diagnostic, Result};

/// Keeps the rows for which the program's first expression is TRUE.
///
/// `read` and the records already rejected or skipped stay as they are; rows dropped are added to
/// `filtered`, rows that fail to evaluate to `rejected`, so the sum still adds up.
///
/// # Errors
/// Only bugs ([`Code::Internal`]); a row that can't be evaluated is a [`Reject`].
pub fn apply(program: &Program, decoded: Decoded, context: &EvalContext) -> Result<Decoded> {
    if decoded.batch.num_rows() == 0 {
        return Ok(decoded);
    }
    let mut verdict = Verdict { keep: BooleanBufferBuilder::new(decoded.batch.num_rows()), failed: Vec::new() };
    verdict.judge(program, &decoded.batch, context, 0)?;
    let keep = verdict.keep.finish();
    if verdict.failed.is_empty() && keep.count_set_bits() == keep.len() {
        return Ok(decoded);
    }
    keep_rows(decoded, keep, verdict.failed)
}

/// What became of the rows looked at so far.
struct Verdict {
    keep: BooleanBufferBuilder,
    failed: Vec<(usize, EvalError)>,
}

impl Verdict {
    /// Judges the rows of `batch`, whose first row is number `first` of the whole.
    fn judge(
        &mut self,
        program: &Program,
        batch: &RecordBatch,
        context: &EvalContext,
        first: usize,
    ) -> Result<()> {
        let rows = batch.num_rows();
        match truth(program, batch, context) {
            Ok(truth) => self.keep.append_buffer(&truth),
            Err(error) if error.code == Code::Internal => {
                return Err(Diagnostic::error(Code::Internal, error.message));
            }
            Err(error) if rows <= 1 => {
                self.keep.append_n(rows, false);
                self.failed.push((first, error));
            }
            Err(_) => {
                let half = rows / 2;
                self.judge(program, &batch.slice(0, half), context, first)?;
                self.judge(program, &batch.slice(half, rows - half), context, first + half)?;
            }
        }
        Ok(())
    }
}

/// Where the program's first expression is TRUE (NULL is not).
fn truth(program: &Program, batch: &RecordBatch, context: &EvalContext) -> Result<BooleanBuffer, EvalError> {
    let arrays = program.evaluate(batch, context)?;
    let Some(array) = arrays.first().and_then(|array| array.as_boolean_opt()) else {
        return Err(EvalError::internal("a filter's program must give one BOOLEAN column"));
    };
    if array.len() != batch.num_rows() {
        return Err(EvalError::internal("a filter's result must be as long as its batch"));
    }
    Ok(match array.nulls() {
        Some(nulls) => array.values() & nulls.inner(),
        None => array.values().clone(),
    })
}

fn keep_rows(decoded: Decoded, keep: BooleanBuffer, failed: Vec<(usize, EvalError)>) -> Result<Decoded> {
    let place = |row: usize| {
        let number = decoded.first_record.saturating_add(u32::try_from(row).unwrap_or(u32::MAX));
        decoded.rows.get(row).cloned().unwrap_or(number..number)
    };
    let kept = keep.count_set_bits();
    let dropped = decoded.batch.num_rows() - kept - failed.len();
    let rows = keep.set_indices().map(place).collect();
    let mut rejected: Vec<Reject> = failed
        .into_iter()
        .map(|(row, error)| Reject { record: place(row), code: error.code, message: error.message })
        .collect();
    rejected.splice(0..0, decoded.rejected);
    rejected.sort_by_key(|reject| reject.record.start);
    let batch = filter_record_batch(&decoded.batch, &BooleanArray::new(keep, None))
        .map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
    let filtered = decoded.filtered + dropped as u64;
    Ok(Decoded { batch, rows, filtered, rejected, ..decoded })
}
