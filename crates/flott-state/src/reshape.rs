//! State of another shape, read as if it were of this one: for operators that were changed.
//!
//! ```text
//!   saved      group bucket deleted │ k0 │ v0        v1       v2
//!                                       Saved(2)   Anew     Fields(0, [1, 0])
//!   as wanted  group bucket deleted │ k0 │ v2        initial  v0's fields, swapped
//! ```
//! Who knows what columns mean says where each comes from; here they are only laid out. State that was
//! reshaped counts as changed, so that the next checkpoint writes all of it in its new shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, StructArray, UInt32Array,
};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use flott_types::Result;

use crate::arrow_failed;
use crate::column::wrong_shape;
use crate::table::LEADING;

/// Where a column of a table comes from. Positions are counted behind the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnFrom {
    /// It is this one.
    Saved(usize),
    /// It is this one, of rows, with these of its fields.
    Fields(usize, Vec<usize>),
    /// It is this one, with bits in other places (old, new). None: the bit 0 was set in all rows.
    Bits(Option<usize>, Vec<(u32, u32)>),
    /// It has its initial value.
    Anew,
    /// It has this value.
    Constant(i64),
}

/// Where a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFrom {
    /// Its name in the checkpoint.
    pub name: String,
    /// How many key columns it has.
    pub keys: usize,
    /// The columns behind them.
    pub columns: Vec<ColumnFrom>,
    /// Only rows that have this bit in this column, counted behind the keys; a column that isn't there: none.
    pub only: Option<(usize, u32)>,
}

/// Where an operator's state comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reshape {
    /// Its tables, by the names that they have now. None: all as they were. A table that is not named
    /// begins empty.
    pub tables: Option<BTreeMap<String, TableFrom>>,
    /// Numbers of the operator's definition, as they were.
    pub numbers: BTreeMap<String, i64>,
}

impl TableFrom {
    /// A saved batch in the wanted shape. `initial`: an array of one initial value for each value column.
    ///
    /// # Errors
    /// A batch that isn't of the shape that it is said to be of.
    pub(crate) fn reshape(
        &self,
        batch: &RecordBatch,
        wanted: &SchemaRef,
        initial: &[ArrayRef],
    ) -> Result<RecordBatch> {
        let misfit = || {
            wrong_shape(
                &DataType::Struct(wanted.fields().clone()),
                &DataType::Struct(batch.schema().fields().clone()),
            )
        };
        let first = LEADING + self.keys;
        let batch = &self.filtered(batch, first)?;
        let saved = |at: usize| batch.columns().get(first + at).ok_or_else(misfit);
        let mut columns: Vec<ArrayRef> = batch.columns().get(..first).ok_or_else(misfit)?.to_vec();
        for (at, from) in self.columns.iter().enumerate() {
            let target = wanted.fields().get(first + at).ok_or_else(misfit)?.data_type();
            columns.push(match from {
                ColumnFrom::Saved(at) => saved(*at)?.clone(),
                ColumnFrom::Fields(at, fields) => project(saved(*at)?, fields, target)?.ok_or_else(misfit)?,
                ColumnFrom::Bits(at, bits) => {
                    let column = at.map(saved).transpose()?;
                    Arc::new(moved_bits(column, bits, batch.num_rows()).ok_or_else(misfit)?)
                }
                ColumnFrom::Anew => {
                    let value = initial.get(at).ok_or_else(misfit)?;
                    let rows = UInt32Array::from(vec![0; batch.num_rows()]);
                    take(value.as_ref(), &rows, None).map_err(arrow_failed)?
                }
                ColumnFrom::Constant(value) => Arc::new(Int64Array::from(vec![*value; batch.num_rows()])),
            });
        }
        let types = columns.iter().map(|it| it.data_type());
        if columns.len() != wanted.fields().len()
            || !types.eq(wanted.fields().iter().map(|it| it.data_type()))
        {
            return Err(misfit());
        }
        let fields: Vec<_> =
            wanted.fields().iter().map(|it| it.as_ref().clone().with_nullable(true)).collect();
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).map_err(arrow_failed)
    }

    /// The rows that are taken over; what is said to be deleted always is.
    fn filtered(&self, batch: &RecordBatch, first: usize) -> Result<RecordBatch> {
        let Some((at, bit)) = self.only else { return Ok(batch.clone()) };
        let deleted = batch.columns().get(2).and_then(|it| it.as_boolean_opt());
        let bits = first.checked_add(at).and_then(|at| batch.columns().get(at));
        let bits = bits.and_then(|it| it.as_primitive_opt::<Int64Type>());
        let stays = |row: usize| {
            let is_set = bits.is_some_and(|bits| bits.is_valid(row) && bits.value(row) >> bit & 1 == 1);
            is_set || deleted.is_some_and(|deleted| deleted.value(row))
        };
        let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(stays(row))).collect();
        filter_record_batch(batch, &kept).map_err(arrow_failed)
    }
}

/// Rows, or lists of rows, with these of their fields.
fn project(array: &ArrayRef, fields: &[usize], target: &DataType) -> Result<Option<ArrayRef>> {
    match target {
        DataType::Struct(wanted) => {
            let Some(rows) = array.as_struct_opt() else { return Ok(None) };
            let columns =
                fields.iter().map(|at| rows.columns().get(*at).cloned()).collect::<Option<Vec<_>>>();
            let Some(columns) = columns else { return Ok(None) };
            let rows =
                StructArray::try_new_with_length(wanted.clone(), columns, rows.nulls().cloned(), rows.len());
            Ok(Some(Arc::new(rows.map_err(arrow_failed)?)))
        }
        DataType::List(item) => {
            let Some(lists) = array.as_list_opt::<i32>() else { return Ok(None) };
            let Some(rows) = project(lists.values(), fields, item.data_type())? else { return Ok(None) };
            let lists =
                ListArray::try_new(item.clone(), lists.offsets().clone(), rows, lists.nulls().cloned());
            Ok(Some(Arc::new(lists.map_err(arrow_failed)?)))
        }
        _ => Ok(None),
    }
}

/// Bits in other places.
fn moved_bits(column: Option<&ArrayRef>, bits: &[(u32, u32)], rows: usize) -> Option<Int64Array> {
    let moved = |old: i64| bits.iter().fold(0, |new, (from, to)| new | (old >> from & 1) << to);
    match column {
        None => Some(Int64Array::from(vec![moved(1); rows])),
        Some(column) => {
            let column = column.as_primitive_opt::<Int64Type>()?;
            Some(column.iter().map(|old| old.map(moved)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{LongColumn, StateColumn};
    use crate::table::Table;
    use crate::{KeyGroups, hash_rows};

    fn table(columns: &[i64]) -> Table<dyn StateColumn> {
        let columns = columns.iter().map(|it| Box::new(LongColumn::new(*it)) as Box<dyn StateColumn>);
        Table::new(&[DataType::Int64], columns.collect()).unwrap()
    }

    fn values(table: &Table<dyn StateColumn>, at: usize) -> Vec<i64> {
        let column = table.columns()[at].as_any().downcast_ref::<LongColumn>().unwrap();
        (0..3).map(|slot| column.get(slot)).collect()
    }

    #[test]
    fn columns_come_from_where_they_are_said_to() {
        let mut old = table(&[0, 0]);
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7, 8, 9]))];
        let mut slots = Vec::new();
        old.find_or_insert(&keys, &hash_rows(&keys, 3), &mut slots).unwrap();
        for (at, factor) in [(0, 1), (1, 10)] {
            let column = old.columns_mut()[at].as_any_mut().downcast_mut::<LongColumn>().unwrap();
            (0..3).for_each(|row| column.values[row] = factor * (row as i64 + 1));
        }
        let changes = old.snapshot(&(0..0), &KeyGroups::new(4)).unwrap();
        let mut new = table(&[5, 0, 0, 0]);
        let columns = vec![
            ColumnFrom::Anew,
            ColumnFrom::Saved(1),
            ColumnFrom::Bits(Some(0), vec![(0, 1), (1, 0)]),
            ColumnFrom::Constant(99),
        ];
        let from = TableFrom { name: "old".into(), keys: 1, columns, only: None };
        let (schema, initial) = (new.schema(), new.initial().unwrap());
        for batch in &changes.delta {
            new.apply(&from.reshape(batch, &schema, &initial).unwrap(), &|_| true).unwrap();
        }
        let all: Vec<Vec<i64>> = (0..4).map(|at| values(&new, at)).collect();
        assert_eq!(all, [vec![5, 5, 5], vec![10, 20, 30], vec![2, 1, 3], vec![99, 99, 99]]);
        // Only rows with a bit; a column that isn't there.
        let only = TableFrom { only: Some((0, 1)), columns: vec![ColumnFrom::Saved(0)], ..from.clone() };
        let one = table(&[0]);
        assert_eq!(only.reshape(&changes.delta[0], &one.schema(), &[]).unwrap().num_rows(), 2);
        let wrong = TableFrom { columns: vec![ColumnFrom::Saved(2)], ..from };
        assert!(wrong.reshape(&changes.delta[0], &one.schema(), &[]).is_err());
    }
}
