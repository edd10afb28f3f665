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

use std::ops::Range;

use arrow::{
    array::{Array, AsArray, BooleanArray, BooleanBufferBuilder},
    buffer::BooleanBuffer,
    compute::{filter, filter_record_batch},
    error::ArrowError,
    record_batch::RecordBatch,
};
use flott_connector::{Decoded, RecordPart, Reject};
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
    let mut verdict =
        Verdict { keep: BooleanBufferBuilder::new(decoded.batch.num_rows()), failed: Vec::new() };
    verdict.judge(program, &decoded.batch, context, 0)?;
    let mut keep = verdict.keep.finish();
    let mut gone = 0;
    if !verdict.failed.is_empty() && decoded.rows.windows(2).any(|pair| pair[0] == pair[1]) {
        (keep, gone) = whole_records(&decoded.rows, &keep, &mut verdict.failed);
    }
    if verdict.failed.is_empty() && keep.count_set_bits() == keep.len() {
        return Ok(decoded);
    }
    keep_rows(decoded, keep, verdict.failed, gone)
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

/// Where the predicate is TRUE (NULL is not).
fn truth(program: &Program, batch: &RecordBatch, context: &EvalContext) -> Result<BooleanBuffer, EvalError> {
    let mask = program.evaluate_predicate(batch, context)?;
    if mask.len() != batch.num_rows() {
        return Err(EvalError::internal("a filter's result must be as long as its batch"));
    }
    Ok(match mask.nulls() {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    })
}

/// A record that gives several rows (before and after a change) is rejected whole, and told of once: the
/// rows to keep then, and how many rows don't count because of it.
fn whole_records(
    places: &[Range<u32>],
    keep: &BooleanBuffer,
    failed: &mut Vec<(usize, EvalError)>,
) -> (BooleanBuffer, usize) {
    let all = failed.len();
    failed.dedup_by_key(|(row, _)| places.get(*row));
    let mut gone = all - failed.len();
    let mut bad = failed.iter().filter_map(|(row, _)| places.get(*row)).peekable();
    let mut left = BooleanBufferBuilder::new(keep.len());
    for (place, kept) in places.iter().zip(keep) {
        while bad.next_if(|it| it.start < place.start).is_some() {}
        let taken_along = kept && bad.peek() == Some(&place);
        gone += usize::from(taken_along);
        left.append(kept && !taken_along);
    }
    (left.finish(), gone)
}

fn keep_rows(
    decoded: Decoded,
    keep: BooleanBuffer,
    failed: Vec<(usize, EvalError)>,
    gone: usize,
) -> Result<Decoded> {
    let place = |row: usize| {
        let number = decoded.first_record.saturating_add(u32::try_from(row).unwrap_or(u32::MAX));
        decoded.rows.get(row).cloned().unwrap_or(number..number)
    };
    let kept = keep.count_set_bits();
    let dropped = decoded.batch.num_rows() - kept - failed.len() - gone;
    let read = decoded.read - gone as u64;
    let rows = keep.set_indices().map(place).collect();
    let mut rejected: Vec<Reject> = failed
        .into_iter()
        .map(|(row, error)| Reject {
            record: place(row),
            code: error.code,
            message: error.message,
            part: RecordPart::Value,
        })
        .collect();
    rejected.splice(0..0, decoded.rejected);
    rejected.sort_by_key(|reject| reject.record.start);
    let internal = |error: ArrowError| Diagnostic::error(Code::Internal, error.to_string());
    let keep = BooleanArray::new(keep, None);
    let batch = filter_record_batch(&decoded.batch, &keep).map_err(internal)?;
    let kinds = decoded.kinds.as_ref().map(|kinds| filter(kinds, &keep)).transpose().map_err(internal)?;
    let kinds = kinds.map(|kinds| kinds.as_primitive().clone());
    let filtered = decoded.filtered + dropped as u64;
    Ok(Decoded { batch, rows, kinds, read, filtered, rejected, ..decoded })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use flott_expr::{CastMode, Expr, ExprKind};
    use flott_types::{DataType, Field, Schema, Span};

    use super::*;

    #[test]
    fn only_rows_that_fail_are_rejected() {
        let column = Expr::column(0, "s", DataType::string());
        let cast = ExprKind::Cast { input: Box::new(column), mode: CastMode::Strict };
        let program = Program::new(vec![Expr::new(cast, DataType::boolean(), Span::default())]);
        let texts =
            StringArray::from(vec![Some("true"), Some("no boolean"), None, Some("false"), Some("true")]);
        let schema = Schema::new(vec![Field::new("s", DataType::string())]);
        let batch = RecordBatch::try_new(schema.arrow_schema(), vec![Arc::new(texts)]).unwrap();
        let context =
            EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };

        let decoded = apply(&program, Decoded::all(batch, 10), &context).unwrap();
        assert_eq!(decoded.rows, [10..10, 14..14]);
        assert_eq!(decoded.batch.num_rows(), 2);
        assert_eq!((decoded.read, decoded.filtered), (5, 2));
        assert_eq!(decoded.rejected.len(), 1);
        assert_eq!(decoded.rejected[0].record, 11..11);
        assert_eq!(decoded.rejected[0].code, Code::EvaluationFailed);
    }

    #[test]
    fn a_record_with_a_bad_side_is_rejected_whole() {
        let column = Expr::column(0, "s", DataType::string());
        let cast = ExprKind::Cast { input: Box::new(column), mode: CastMode::Strict };
        let program = Program::new(vec![Expr::new(cast, DataType::boolean(), Span::default())]);
        let texts =
            StringArray::from(vec!["true", "true", "bad", "true", "bad", "worse", "bad", "false", "true"]);
        let schema = Schema::new(vec![Field::new("s", DataType::string())]);
        let batch = RecordBatch::try_new(schema.arrow_schema(), vec![Arc::new(texts)]).unwrap();
        let context =
            EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };
        let rows = [0, 1, 1, 2, 3, 3, 4, 4, 5].map(|number| number..number).to_vec();
        let decoded = apply(&program, Decoded { rows, ..Decoded::all(batch, 0) }, &context).unwrap();
        assert_eq!(decoded.rows, [0..0, 2..2, 5..5]);
        let rejected: Vec<u32> = decoded.rejected.iter().map(|it| it.record.start).collect();
        assert_eq!(rejected, [1, 3, 4]);
        assert_eq!((decoded.read, decoded.filtered), (7, 1));
    }
}
