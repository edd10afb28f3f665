//! Where the columns of a row stand that is kept beside its key.
//!
//! ```text
//!   row      a    k    t     b            key columns (k)          in the key table
//!   kept     0         time  1            a time, an order (t)     beside: in a column of its own
//!                                         the rest (a, b)          encoded
//! ```
//! Nothing is kept twice. Floats in a key are kept, too: the key knows one zero and one NaN only.

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, SchemaRef, TimeUnit};
use flott_types::{Code, Diagnostic, Result, Schema};
use std::sync::Arc;

use crate::arrow_failed;
use crate::window::positional_schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Key(usize),
    Beside(usize),
    Rest(usize),
}

/// Where each column stands.
#[derive(Debug)]
pub(crate) struct Layout {
    places: Vec<Place>,
    types: Vec<ArrowType>,
    keys: Vec<usize>,
    beside: Vec<usize>,
    rest: Vec<usize>,
    /// Of the rows that come out.
    pub(crate) schema: SchemaRef,
}

/// What rows are put together from.
pub(crate) struct Parts<'a> {
    /// The key's columns.
    pub(crate) keys: &'a [ArrayRef],
    /// The columns that are kept beside.
    pub(crate) beside: Vec<ArrayRef>,
    /// The other columns.
    pub(crate) rest: Vec<ArrayRef>,
}

impl Layout {
    /// With a time that is kept beside, if it is of milliseconds.
    pub(crate) fn with_time(input: &Schema, keys: &[usize], time: Option<usize>) -> Result<Self> {
        let field = |at: &usize| input.fields.get(*at).map(|field| field.data_type.arrow_type());
        let is_millis =
            |at: &usize| matches!(field(at), Some(ArrowType::Timestamp(TimeUnit::Millisecond, _)));
        Self::new(input, keys, &time.filter(is_millis).into_iter().collect::<Vec<_>>())
    }

    /// `beside`: columns that are kept beside, in this order, unless they are in the key.
    pub(crate) fn new(input: &Schema, keys: &[usize], beside: &[usize]) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        if keys.iter().any(|key| *key >= types.len()) {
            return Err(Diagnostic::error(Code::Internal, "a key is no column of its input"));
        }
        let is_key = |at: usize| keys.contains(&at) && types.get(at).is_some_and(|it| !it.is_floating());
        let (mut places, mut rest) = (Vec::new(), Vec::new());
        for at in 0..types.len() {
            let position = |list: &[usize]| list.iter().position(|it| *it == at);
            places.push(match (position(keys).filter(|_| is_key(at)), position(beside)) {
                (Some(key), _) => Place::Key(key),
                (None, Some(beside)) => Place::Beside(beside),
                (None, None) => {
                    rest.push(at);
                    Place::Rest(rest.len() - 1)
                }
            });
        }
        let schema = positional_schema(types.iter().cloned());
        Ok(Self { places, types, keys: keys.to_vec(), beside: beside.to_vec(), rest, schema })
    }

    /// The types of the key's columns.
    pub(crate) fn key_types(&self) -> Vec<ArrowType> {
        self.types_of(&self.keys)
    }

    /// The types of the encoded columns.
    pub(crate) fn rest_types(&self) -> Vec<ArrowType> {
        self.types_of(&self.rest)
    }

    fn types_of(&self, columns: &[usize]) -> Vec<ArrowType> {
        columns.iter().filter_map(|at| self.types.get(*at).cloned()).collect()
    }

    /// The key's columns of a row's.
    pub(crate) fn keys_of(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.keys.iter().filter_map(|at| columns.get(*at).cloned()).collect()
    }

    /// The columns that are encoded.
    pub(crate) fn rest_of(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.rest.iter().filter_map(|at| columns.get(*at).cloned()).collect()
    }

    /// How many columns a row has.
    pub(crate) fn width(&self) -> usize {
        self.types.len()
    }

    /// The columns of whole rows.
    pub(crate) fn assemble(&self, parts: Parts<'_>) -> Result<Vec<ArrayRef>> {
        let missing = || Diagnostic::error(Code::Internal, "a kept row lacks a column");
        let column = |place: &Place| match place {
            Place::Key(at) => parts.keys.get(*at).cloned().ok_or_else(missing),
            Place::Rest(at) => parts.rest.get(*at).cloned().ok_or_else(missing),
            Place::Beside(at) => parts.beside.get(*at).cloned().ok_or_else(missing),
        };
        self.places.iter().map(column).collect()
    }

    /// Times as the column that is kept beside; none if none is.
    pub(crate) fn times(&self, times: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        let column = |data_type: &ArrowType| cast(times.as_ref(), data_type).map_err(arrow_failed);
        self.types_of(&self.beside).iter().map(column).collect()
    }
}
