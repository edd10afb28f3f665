//! Rows that wait for an answer, as state.
//!
//! ```text
//!   barrier   rows under way ─► table (home, number) ─► columns, kind
//!   restore   table ─► rows, in the order of their numbers
//! ```
//! Any shard can ask for any row, so a row's key group says nothing but on which shard it waited: `home`
//! is a number whose key group that shard has. A job that goes on at another parallelism spreads the rows
//! by it. The table is written at barriers only; in between it is as the last one left it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Int8Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_state::{ArrowColumn, OperatorSnapshot, OperatorState, StateColumn, Table, hash_rows};
use flott_types::{Code, Diagnostic, Result, Schema};

use crate::operator::Context;
use crate::window::{batch, positional_schema};

/// The table.
pub(super) struct Saved {
    table: Table<dyn StateColumn>,
    schema: SchemaRef,
    home: i64,
    next_number: i64,
}

/// Rows and what they do.
pub(super) type Waited = (RecordBatch, Option<Int8Array>);

impl Saved {
    pub(super) fn new(input: &Schema, context: &Context) -> Result<Self> {
        let types: Vec<ArrowType> = input.fields.iter().map(|it| it.data_type.arrow_type()).collect();
        let mut columns: Vec<Box<dyn StateColumn>> = Vec::with_capacity(types.len() + 1);
        for data_type in types.iter().chain([&ArrowType::Int8]) {
            columns.push(Box::new(ArrowColumn::new(data_type.clone())?));
        }
        let table = Table::new(&[ArrowType::Int64, ArrowType::Int64], columns)?.grouped_by(1);
        Ok(Self { table, schema: positional_schema(types), home: home(context), next_number: 0 })
    }

    /// Puts these rows in the place of those that waited at the last barrier.
    pub(super) fn replace<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a RecordBatch, Option<&'a Int8Array>)>,
    ) -> Result<()> {
        let gone: Vec<u32> = self.table.keys().live().collect();
        self.table.remove(&gone)?;
        for (rows, kinds) in rows {
            self.add(rows, kinds)?;
        }
        Ok(())
    }

    fn add(&mut self, rows: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        let count = rows.num_rows();
        let first = self.next_number;
        self.next_number = first.saturating_add(count as i64);
        let keys: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![self.home; count])),
            Arc::new(Int64Array::from_iter_values(first..self.next_number)),
        ];
        let hashes = self.table.hashes(&keys, count);
        let mut slots = Vec::with_capacity(count);
        self.table.find_or_insert(&keys, &hashes, &mut slots)?;
        let kinds = kinds.map(|kinds| Arc::new(kinds.clone()) as ArrayRef);
        for (column, values) in self.table.columns_mut().iter_mut().zip(rows.columns().iter().chain(&kinds)) {
            column.load(&slots, values)?;
        }
        Ok(())
    }

    pub(super) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.table("waiting", &mut self.table)
    }

    /// What waited at the barrier, in the order in which it came.
    pub(super) fn restore(&mut self, state: &OperatorState) -> Result<Vec<Waited>> {
        state.table("waiting", &mut self.table)?;
        let live: Vec<u32> = self.table.keys().live().collect();
        if live.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.table.keys().keys(&live)?;
        let longs = |at: usize| keys.get(at).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let (Some(homes), Some(numbers)) = (longs(0), longs(1)) else { return Err(missing()) };
        self.next_number = numbers.values().iter().max().map_or(0, |number| number.saturating_add(1));
        let mut order: Vec<(i64, i64, u32)> = homes
            .values()
            .iter()
            .zip(numbers.values())
            .zip(&live)
            .map(|((a, b), slot)| (*a, *b, *slot))
            .collect();
        order.sort_unstable();
        let slots: Vec<u32> = order.into_iter().map(|it| it.2).collect();
        let mut columns =
            self.table.columns().iter().map(|column| column.save(&slots)).collect::<Result<Vec<_>>>()?;
        let kinds = columns.pop().ok_or_else(missing)?;
        let kinds = (kinds.null_count() < kinds.len())
            .then(|| kinds.as_primitive::<Int8Type>().iter().map(|kind| Some(kind.unwrap_or(0))).collect());
        Ok(vec![(batch(&self.schema, columns, slots.len())?, kinds)])
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory()
    }
}

/// A number whose key group this shard has.
fn home(context: &Context) -> i64 {
    // Each number falls into one of the groups as good as by chance.
    let tries = i64::from(u16::MAX) * 64;
    let mut start = 0;
    while start < tries {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + 1024));
        let own = |hash: &u64| context.owned.contains(&context.groups.of(*hash));
        if let Some(at) = hash_rows(&[numbers], 1024).iter().position(own) {
            return start + at as i64;
        }
        start += 1024;
    }
    0
}

fn missing() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "the rows that wait for a look-up lack a column")
}
