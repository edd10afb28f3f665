//! `OVER`: something of the rows around each row.
//!
//! ```text
//!   timed     rows in order of time: each comes out once
//!   sorted    rows in any order: results change as rows come between others; batch mode
//!   calls     what is computed    frames    which rows a row sees    evaluate    aggregates of frames
//!   row_store the rows that are kept
//! ```

mod calls;
mod evaluate;
mod frames;
mod row_store;
mod sorted;
#[cfg(test)]
mod tests;
mod timed;

use flott_plan::{Over, OverOrder};
use flott_types::{Result, Schema};

use crate::operator::{Context, Operator};

/// The operator of a node.
pub(crate) fn build(node: &Over, input: &Schema, context: &Context) -> Result<Box<dyn Operator>> {
    Ok(match node.order {
        OverOrder::Any => Box::new(sorted::SortedOver::new(node, input, context)?),
        OverOrder::Rowtime | OverOrder::Proctime => Box::new(timed::TimedOver::new(node, input, context)?),
    })
}
