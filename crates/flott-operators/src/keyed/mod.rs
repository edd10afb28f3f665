//! Operators that know one row of each key.
//!
//! ```text
//!   last_row    the last row of each key, by time or as they come      deduplication
//!   first_row   the first row of each key                              deduplication
//!   normalize   the last row of each key, of an upsert source
//!   materialize one row of those that share a sink's key    row_lists   keeping them in order
//!   layout      which columns stand where: in the key, beside it, in the kept row
//!   idle        when a key was touched last: the time to live
//! ```

pub(crate) mod first_row;
pub(crate) mod idle;
pub(crate) mod last_row;
pub(crate) mod layout;
mod materialize;
mod normalize;
mod row_lists;

use flott_state::{StateColumn, Table};
use flott_types::{Code, Diagnostic, Result};

pub(crate) use first_row::{FirstRowOperator, FirstSeenOperator};
pub(crate) use last_row::LastRowOperator;
pub(crate) use materialize::MaterializeOperator;
pub(crate) use normalize::NormalizeOperator;

/// A column of a table's, as what it is.
pub(crate) fn column_of<T: 'static>(table: &Table<dyn StateColumn>, at: usize) -> Result<&T> {
    table.columns().get(at).and_then(|it| it.as_any().downcast_ref()).ok_or_else(missing)
}

/// A column of a table's, as what it is.
pub(crate) fn column_of_mut<T: 'static>(table: &mut Table<dyn StateColumn>, at: usize) -> Result<&mut T> {
    table.columns_mut().get_mut(at).and_then(|it| it.as_any_mut().downcast_mut()).ok_or_else(missing)
}

fn missing() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "a table of keyed rows lacks a column")
}
