//! The first rows of each group: Top-N and LIMIT.
//!
//! ```text
//!   best_rows   the n best rows of each key, as a column of state
//!   top_n       over rows that are only added: keeps the n best
//!   all_rows    over rows that change: keeps them all, in order
//!   limit       any n rows: counts
//!   changes     what is told of a list of rows that was and a list that is
//! ```

mod all_rows;
mod best_rows;
mod changes;
mod limit;
mod order_key;
#[cfg(test)]
mod tests;
mod top_n;

use arrow::compute::SortOptions;
use arrow::row::{RowConverter, SortField};
use flott_plan::{TopN, TopNStrategy};
use flott_types::{Code, Diagnostic, Result, Schema, TimeAttribute};

pub(crate) use order_key::OrderKey;

use crate::arrow_failed;
use crate::keyed::{FirstRowOperator, FirstSeenOperator, LastRowOperator};
use crate::operator::{Context, Operator};

/// The operator of a node.
///
/// # Errors
/// `NotSupported`: a type that can't be compared.
pub(crate) fn build(node: &TopN, input: &Schema, context: &Context) -> Result<Box<dyn Operator>> {
    Ok(match node.strategy() {
        TopNStrategy::Deduplicate { time, last: true } => {
            Box::new(LastRowOperator::new(node, time, input, context)?)
        }
        TopNStrategy::Deduplicate { time: TimeAttribute::Proctime, last: false } => {
            Box::new(FirstSeenOperator::new(node, input, context)?)
        }
        TopNStrategy::Deduplicate { time: TimeAttribute::Rowtime, last: false } => {
            Box::new(FirstRowOperator::new(node, input, context)?)
        }
        TopNStrategy::Best if node.order_by.is_empty() && node.keys.is_empty() && !node.with_rank => {
            Box::new(limit::LimitOperator::new(node)?)
        }
        TopNStrategy::Best => Box::new(top_n::TopNOperator::new(node, input, context)?),
        TopNStrategy::All => Box::new(all_rows::AllRowsOperator::new(node, input, context)?),
    })
}

/// Makes rows comparable by their bytes.
pub(crate) fn order_converter(order_by: &[(usize, bool, bool)], input: &Schema) -> Result<RowConverter> {
    let field = |&(column, descending, nulls_first): &(usize, bool, bool)| {
        let field = input.fields.get(column);
        let field = field
            .ok_or_else(|| Diagnostic::error(Code::Internal, "an order by a column that isn't there"))?;
        Ok(SortField::new_with_options(field.data_type.arrow_type(), SortOptions { descending, nulls_first }))
    };
    let fields = order_by.iter().map(field).collect::<Result<Vec<_>>>()?;
    if !RowConverter::supports_fields(&fields) {
        return Err(Diagnostic::not_supported("an order by a column of this type"));
    }
    RowConverter::new(fields).map_err(arrow_failed)
}
