//! Values out of the rows of a match: `LAST(A.x, 1)`, `SUM(B.y)`.
//!
//! ```text
//!   Span { key, start: 7, counts: [1, 2] }     A: 7   B: 8 9
//!     LAST(A.x) row 7    FIRST(B.x, 1) row 9    LAST(B.x, 5) none: NULL    SUM(y) over 7 8 9
//! ```
//!
//! For many matches, or parts of them, at once: the rows' values are gathered column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use flott_aggregate::accumulator;
use flott_expr::{EvalContext, Program};
use flott_plan::{Call, MatchCondition, Navigation};
use flott_state::NO_SLOT;
use flott_types::{Code, Diagnostic, Result, Schema};

use super::rows::KeptRows;
use crate::window::{batch, positional_schema};

/// Rows of a key: so many of each variable, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) key: u32,
    pub(crate) start: i64,
    pub(crate) counts: Arc<[u32]>,
}

impl Span {
    /// Where the rows of a variable, or of all, begin, and how many there are.
    fn rows(&self, term: Option<usize>) -> (i64, i64) {
        let sum = |counts: &[u32]| counts.iter().map(|count| i64::from(*count)).sum::<i64>();
        match term {
            None => (self.start, sum(&self.counts)),
            Some(at) => {
                let before = sum(self.counts.get(..at.min(self.counts.len())).unwrap_or_default());
                (self.start + before, self.counts.get(at).map_or(0, |count| i64::from(*count)))
            }
        }
    }
}

/// The types that the values have.
pub(crate) fn value_types(values: &[Navigation], input: &Schema) -> Result<Vec<ArrowType>> {
    let of_value = |value: &Navigation| match value {
        Navigation::Row { column, .. } => {
            let field = input.fields.get(*column).map(|field| field.data_type.arrow_type());
            field
                .ok_or_else(|| Diagnostic::error(Code::Internal, "a pattern reads a column that isn't there"))
        }
        Navigation::Aggregate { call, .. } => Ok(call.data_type.arrow_type()),
    };
    values.iter().map(of_value).collect()
}

/// One array for each value, with an element for each span.
pub(crate) fn navigate(values: &[Navigation], rows: &KeptRows, spans: &[Span]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|value| of_spans(value, rows, spans)).collect()
}

fn of_spans(value: &Navigation, rows: &KeptRows, spans: &[Span]) -> Result<ArrayRef> {
    match value {
        Navigation::Row { term, first, offset, column } => {
            let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
            let slot = |span: &Span| {
                let (begin, count) = span.rows(*term);
                if offset >= count {
                    return NO_SLOT;
                }
                rows.slot(span.key, if *first { begin + offset } else { begin + count - 1 - offset })
            };
            rows.column(*column, &spans.iter().map(slot).collect::<Vec<u32>>())
        }
        Navigation::Aggregate { term, call } => aggregate(*term, call, rows, spans),
    }
}

fn aggregate(term: Option<usize>, call: &Call, rows: &KeptRows, spans: &[Span]) -> Result<ArrayRef> {
    let failed = |error: flott_expr::EvalError| Diagnostic::error(error.code, error.message);
    let mut values = accumulator(call.function, &call.arg_types, &call.data_type, false)?;
    values.grow(spans.len());
    let (mut groups, mut slots) = (Vec::new(), Vec::new());
    for (group, span) in spans.iter().enumerate() {
        let (begin, count) = span.rows(term);
        for place in begin..begin + count {
            groups.push(group as u32);
            slots.push(rows.slot(span.key, place));
        }
    }
    let args = call.args.iter().map(|column| rows.column(*column, &slots)).collect::<Result<Vec<_>>>()?;
    let filter = call.filter.map(|column| rows.column(column, &slots)).transpose()?;
    let filter: Option<BooleanArray> = filter.map(|filter| known(filter.as_boolean()));
    values.update(&groups, &args, filter.as_ref()).map_err(failed)?;
    let all: Vec<u32> = (0..spans.len() as u32).collect();
    values.evaluate(&all).map_err(failed)
}

/// NULL counts as FALSE.
fn known(filter: &BooleanArray) -> BooleanArray {
    use arrow::array::Array;
    if filter.null_count() > 0 { prep_null_mask_filter(filter) } else { filter.clone() }
}

/// A condition made ready.
#[derive(Debug)]
pub(crate) struct Condition {
    program: Program,
    values: Vec<Navigation>,
    schema: SchemaRef,
}

impl Condition {
    pub(crate) fn new(condition: &MatchCondition, input: &Schema) -> Result<Self> {
        let types = value_types(&condition.values, input)?;
        Ok(Self {
            program: Program::new(vec![condition.expr.clone()]),
            values: condition.values.clone(),
            schema: positional_schema(types),
        })
    }

    /// Whether it is TRUE for each span, whose last row is the one in question.
    pub(crate) fn holds(
        &self,
        rows: &KeptRows,
        spans: &[Span],
        context: &EvalContext,
    ) -> Result<BooleanArray> {
        let values = batch(&self.schema, navigate(&self.values, rows, spans)?, spans.len())?;
        let mask = self.program.evaluate_predicate(&values, context);
        mask.map_err(|error| Diagnostic::error(error.code, error.message))
    }
}
