//! Rows kept as they came, in blocks.
//!
//! ```text
//!   slot   0 … 4095 │ 4096 … 4399 │ 4400 … 4407        slot i is the i-th row
//!           block 0      block 1       block 2         a block is at least as large as all after it
//! ```
//! Rows are only ever added, so slots are given out one after the other, and a snapshot holds just
//! those since the last one.

use std::any::Any;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_state::StateColumn;
use flott_types::{Code, Diagnostic, Result};

use super::emit::batch;
use crate::arrow_failed;

/// Blocks below this are put together as more rows come.
const BLOCK_ROWS: usize = 8192;

/// The rows, as a column of state.
#[derive(Debug)]
pub(crate) struct RowStore {
    schema: SchemaRef,
    blocks: Vec<StructArray>,
    rows: usize,
}

impl RowStore {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, blocks: Vec::new(), rows: 0 }
    }

    fn fields(&self) -> &Fields {
        self.schema.fields()
    }

    /// Adds rows, for the next slots.
    pub(crate) fn push(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<()> {
        let block = StructArray::try_new_with_length(self.fields().clone(), columns, None, rows);
        self.push_block(block.map_err(arrow_failed)?)
    }

    fn push_block(&mut self, mut block: StructArray) -> Result<()> {
        self.rows += block.len();
        while let Some(last) = self.blocks.last() {
            if last.len() > block.len() || last.len() + block.len() > BLOCK_ROWS {
                break;
            }
            block = concat(&[last, &block]).map_err(arrow_failed)?.as_struct().clone();
            self.blocks.pop();
        }
        self.blocks.push(block);
        Ok(())
    }

    /// All rows, in the order they came.
    pub(crate) fn all(&self) -> Result<RecordBatch> {
        let blocks: Vec<&dyn Array> = self.blocks.iter().map(|block| block as &dyn Array).collect();
        if blocks.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let all = concat(&blocks).map_err(arrow_failed)?;
        batch(&self.schema, all.as_struct().columns().to_vec(), all.len())
    }
}

impl StateColumn for RowStore {
    fn grow(&mut self, _slots_end: usize) {}

    fn reset(&mut self, _slots: &[u32]) {}

    fn saved_type(&self) -> DataType {
        DataType::Struct(self.fields().clone())
    }

    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        let blocks: Vec<&dyn Array> = self.blocks.iter().map(|block| block as &dyn Array).collect();
        if blocks.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.saved_type()));
        }
        let starts: Vec<usize> = self
            .blocks
            .iter()
            .scan(0, |start, block| {
                let this = *start;
                *start += block.len();
                Some(this)
            })
            .collect();
        let place = |slot: &u32| {
            let block = starts.partition_point(|start| *start <= *slot as usize).saturating_sub(1);
            (block, *slot as usize - starts.get(block).copied().unwrap_or(0))
        };
        let places: Vec<(usize, usize)> = slots.iter().map(place).collect();
        arrow::compute::interleave(&blocks, &places).map_err(arrow_failed)
    }

    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        let mut order: Vec<u32> = (0..slots.len() as u32).collect();
        order.sort_by_key(|row| slots.get(*row as usize));
        let next = |(at, row): (usize, &u32)| slots.get(*row as usize) == Some(&((self.rows + at) as u32));
        if !order.iter().enumerate().all(next) {
            let message = "a checkpoint holds a row of a window twice";
            return Err(Diagnostic::error(Code::CheckpointUnusable, message));
        }
        let sorted = take(saved.as_ref(), &UInt32Array::from(order), None).map_err(arrow_failed)?;
        match sorted.as_struct_opt() {
            Some(rows) => self.push_block(rows.clone()),
            None => Err(Diagnostic::error(
                Code::CheckpointUnusable,
                "a checkpoint holds no rows where rows are kept",
            )),
        }
    }

    fn memory(&self) -> usize {
        self.blocks.iter().map(Array::get_array_memory_size).sum()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The rows of a table whose first column keeps them.
pub(crate) fn stored(columns: &[Box<dyn StateColumn>]) -> Result<RecordBatch> {
    match columns.first().and_then(|column| column.as_any().downcast_ref::<RowStore>()) {
        Some(store) => store.all(),
        None => Err(Diagnostic::error(Code::Internal, "a table of rows keeps none")),
    }
}

/// Adds rows to a table whose first column keeps them.
pub(crate) fn store(columns: &mut [Box<dyn StateColumn>], rows: Vec<ArrayRef>, count: usize) -> Result<()> {
    match columns.first_mut().and_then(|column| column.as_any_mut().downcast_mut::<RowStore>()) {
        Some(store) => store.push(rows, count),
        None => Err(Diagnostic::error(Code::Internal, "a table of rows keeps none")),
    }
}

/// A schema of nullable columns of a row's types.
pub(crate) fn row_schema(input: &flott_types::Schema) -> SchemaRef {
    super::emit::positional_schema(input.fields.iter().map(|field| field.data_type.arrow_type()))
}
