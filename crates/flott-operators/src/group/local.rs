//! The first of two phases: rows are aggregated on the shard where they are read, and only the groups
//! travel to the shards that own them.
//!
//! **Keeps** the groups of the rows since the last flush. **Emits** them at the flush, and keeps nothing
//! beyond. **A watermark** does nothing. **A retraction** never comes: such inputs have one phase.
//!
//! ```text
//!   partial batch:  rows │ keys … │ saved accumulators … │ lists of (distinct values …, filters' bits)
//! ```
//! Where keys hardly repeat, rows go on as they are for a while: hashing them twice would gain nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, Fields, Int64Type, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use flott_aggregate::Accumulator;
use flott_plan::GroupAggregate;
use flott_state::{KeyTable, OperatorSnapshot, OperatorState, Table, hash_rows};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::calls::{GroupCalls, SetOf, missing_column, pick};
use super::distinct::{Entries, let_through};
use crate::arrow_failed;
use crate::operator::{Context, Operator, Output, ROWS_BEHIND, Rows};
use crate::window::{batch, next_slots, positional_schema, take_all};

/// With fewer rows than this in a flush nothing is learnt about how often keys repeat.
const SAMPLE_ROWS: usize = 1024;
/// Flushes for which rows go on as they are.
const PASS_FLUSHES: u32 = 32;

/// The columns of partial batches.
#[derive(Debug)]
pub(crate) struct PartialLayout {
    schema: SchemaRef,
    keys: usize,
    sets: usize,
}

/// A partial batch, taken apart.
pub(crate) struct Partial<'a> {
    pub(crate) keys: &'a [ArrayRef],
    pub(crate) saved: &'a [ArrayRef],
    pub(crate) lists: &'a [ArrayRef],
}

impl PartialLayout {
    pub(crate) fn new(calls: &GroupCalls) -> Result<Self> {
        let saved = calls.plain_accumulators()?;
        let keys = calls.key_types.iter().cloned();
        let lists = calls.sets.iter().map(|set| ArrowType::List(item(set)));
        let types = keys.chain(saved.iter().map(|column| column.saved_type())).chain(lists);
        Ok(Self { schema: partial_schema(types), keys: calls.keys.len(), sets: calls.sets.len() })
    }

    pub(crate) fn read<'a>(&self, batch: &'a RecordBatch) -> Result<Partial<'a>> {
        let wrong = || Diagnostic::error(Code::Internal, "a partial batch has other columns than expected");
        let columns = batch.columns();
        let fits = columns.len() == self.schema.fields().len();
        let columns = columns.get(1..).unwrap_or_default();
        let (keys, rest) = columns.split_at_checked(self.keys).filter(|_| fits).ok_or_else(wrong)?;
        let plain = rest.len().checked_sub(self.sets).ok_or_else(wrong)?;
        let (saved, lists) = rest.split_at_checked(plain).ok_or_else(wrong)?;
        Ok(Partial { keys, saved, lists })
    }

    /// The values in lists by group: arguments, filters' bits, and each value's group.
    pub(crate) fn values(&self, lists: &ArrayRef, groups: &[u32]) -> Result<Entries> {
        let lists = lists.as_list_opt::<i32>().ok_or_else(missing_column)?;
        let mut owners = Vec::with_capacity(lists.values().len());
        for (row, group) in groups.iter().enumerate() {
            owners.extend(std::iter::repeat_n(*group, lists.value_length(row) as usize));
        }
        let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
        let values = lists.values().slice(first, owners.len());
        let mut columns = values.as_struct_opt().ok_or_else(missing_column)?.columns().to_vec();
        let bits = columns.pop().ok_or_else(missing_column)?;
        let bits = bits.as_primitive_opt::<Int64Type>().ok_or_else(missing_column)?;
        Ok((columns, bits.values().iter().map(|bits| *bits as u64).collect(), owners))
    }
}

/// How many rows a group stands for, then these columns.
fn partial_schema(types: impl Iterator<Item = ArrowType>) -> SchemaRef {
    let mut fields = vec![Arc::new(Field::new(ROWS_BEHIND, ArrowType::Int64, false))];
    fields.extend(positional_schema(types).fields().iter().cloned());
    Arc::new(ArrowSchema::new(fields))
}

/// An entry of a list: the arguments, then the filters' bits.
fn item(set: &SetOf) -> Arc<Field> {
    let types = set.types.iter().cloned().chain([ArrowType::Int64]);
    let field = |(at, data_type)| Field::new(format!("a{at}"), data_type, true);
    let fields: Fields = types.enumerate().map(field).collect();
    Arc::new(Field::new("item", ArrowType::Struct(fields), true))
}

/// The values of a distinct set since the last flush.
#[derive(Debug)]
struct Seen {
    values: KeyTable,
    bits: Vec<i64>,
}

impl Seen {
    fn new(set: &SetOf) -> Result<Self> {
        let types: Vec<ArrowType> =
            std::iter::once(ArrowType::Int64).chain(set.types.iter().cloned()).collect();
        Ok(Self { values: KeyTable::new(&types)?, bits: Vec::new() })
    }

    fn add(&mut self, slots: &[u32], args: &[ArrayRef], bits: &[u64]) -> Result<()> {
        let groups: ArrayRef =
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| i64::from(*slot))));
        let keys: Vec<ArrayRef> = std::iter::once(groups).chain(args.iter().cloned()).collect();
        let (mut found, mut inserted) = (Vec::with_capacity(slots.len()), Vec::new());
        self.values.find_or_insert(&keys, &hash_rows(&keys, slots.len()), &mut found, &mut inserted)?;
        self.bits.resize(self.values.slots_end(), 0);
        for (slot, bits) in found.iter().zip(bits) {
            if let Some(all) = self.bits.get_mut(*slot as usize) {
                *all |= *bits as i64;
            }
        }
        Ok(())
    }

    /// The values as a list for each of the groups.
    fn lists(&self, set: &SetOf, groups: usize) -> Result<ArrayRef> {
        let slots: Vec<u32> = self.values.live().collect();
        let mut keys = self.values.keys(&slots)?;
        let mut args = keys.split_off(1);
        args.push(Arc::new(Int64Array::from(self.bits.clone())));
        let owners =
            keys.first().and_then(|it| it.as_primitive_opt::<Int64Type>()).ok_or_else(missing_column)?;
        let (offsets, order) = by_group(owners.values(), groups);
        let args = take_all(&args, &UInt32Array::from(order))?;
        let item = item(set);
        let ArrowType::Struct(fields) = item.data_type() else { return Err(missing_column()) };
        let values = StructArray::try_new_with_length(fields.clone(), args, None, slots.len());
        let values: ArrayRef = Arc::new(values.map_err(arrow_failed)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(item, offsets, values, None).map_err(arrow_failed)?))
    }
}

/// Rows sorted by their group: where each group's begin, and the order.
fn by_group(owners: &[i64], groups: usize) -> (Vec<i32>, Vec<u32>) {
    let mut offsets = vec![0_i32; groups + 1];
    for owner in owners {
        if let Some(count) = offsets.get_mut(*owner as usize + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for offset in &mut offsets {
        sum += *offset;
        *offset = sum;
    }
    let mut next = offsets.clone();
    let mut order = vec![0; owners.len()];
    for (row, owner) in owners.iter().enumerate() {
        if let Some(at) = next.get_mut(*owner as usize) {
            if let Some(place) = order.get_mut(*at as usize) {
                *place = row as u32;
            }
            *at += 1;
        }
    }
    (offsets, order)
}

/// The groups since the last flush.
struct Local {
    table: Table<dyn Accumulator>,
    sets: Vec<Seen>,
    /// How many rows each group stands for.
    rows: Vec<i64>,
}

/// The operator.
pub(crate) struct PreGroup {
    calls: GroupCalls,
    layout: PartialLayout,
    batch_rows: usize,
    local: Option<Local>,
    /// Rows taken since the last flush.
    taken: usize,
    /// Flushes during which rows still go on as they are.
    passing: u32,
    slots: Vec<u32>,
}

impl PreGroup {
    /// The operator, and where the keys stand in what it emits.
    pub(crate) fn new(
        node: &GroupAggregate,
        input: &Schema,
        context: &Context,
    ) -> Result<(Self, Vec<usize>)> {
        let calls = GroupCalls::new(&node.keys, &node.calls, false, input)?;
        let operator = Self {
            layout: PartialLayout::new(&calls)?,
            calls,
            batch_rows: context.batch_rows.max(1),
            local: None,
            taken: 0,
            passing: 0,
            slots: Vec::new(),
        };
        Ok((operator, (1..=node.keys.len()).collect()))
    }

    fn empty(&self) -> Result<Local> {
        let table = Table::new(&self.calls.key_types, self.calls.plain_accumulators()?)?;
        let sets = self.calls.sets.iter().map(Seen::new).collect::<Result<_>>()?;
        Ok(Local { table, sets, rows: Vec::new() })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut local = match self.local.take() {
            Some(local) => local,
            None => self.empty()?,
        };
        let (columns, rows) = (batch.columns(), batch.num_rows());
        let keys = pick(columns, &self.calls.keys)?;
        self.slots.clear();
        local.table.find_or_insert(&keys, &hash_rows(&keys, rows), &mut self.slots)?;
        local.rows.resize(local.table.keys().slots_end(), 0);
        for slot in &self.slots {
            if let Some(rows) = local.rows.get_mut(*slot as usize) {
                *rows += 1;
            }
        }
        let accumulators = self.calls.plain().zip(local.table.columns_mut());
        self.calls.accumulate(accumulators, &self.slots, columns, false)?;
        for (set, seen) in self.calls.sets.iter().zip(&mut local.sets) {
            let (args, bits) = (pick(columns, &set.args)?, set.bits(columns, rows)?);
            let (args, bits, slots) = let_through(args, bits, &self.slots)?;
            seen.add(&slots, &args, &bits)?;
        }
        self.taken += rows;
        self.local = Some(local);
        Ok(())
    }

    fn emit(&self, local: &Local, out: &mut Output<'_>) -> Result<()> {
        let groups = local.table.keys().slots_end();
        let lists = self.calls.sets.iter().zip(&local.sets).map(|(set, seen)| seen.lists(set, groups));
        let lists = lists.collect::<Result<Vec<_>>>()?;
        let mut live = local.table.keys().live();
        let mut slots = Vec::new();
        while next_slots(&mut live, self.batch_rows, &mut slots) {
            let rows: Vec<i64> =
                slots.iter().map(|slot| local.rows.get(*slot as usize).copied().unwrap_or(0)).collect();
            let count = u64::try_from(rows.iter().sum::<i64>()).unwrap_or(0);
            let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(rows))];
            columns.extend(local.table.keys().keys(&slots)?);
            for column in local.table.columns() {
                columns.push(column.save(&slots)?);
            }
            columns.extend(take_all(&lists, &slots.clone().into())?);
            let batch = batch(&self.layout.schema, columns, slots.len())?;
            (out.emit)(Rows { batch, kinds: None, partial: true, count })?;
        }
        Ok(())
    }
}

impl Operator for PreGroup {
    fn on_rows(&mut self, _input: usize, rows: Rows, out: &mut Output<'_>) -> Result<()> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        if rows.kinds.as_ref().is_some_and(|kinds| kinds.values().iter().any(|kind| *kind != 0)) {
            return Err(Diagnostic::error(
                Code::Internal,
                "the first phase of an aggregation was given changes",
            ));
        }
        if self.passing > 0 {
            self.taken += rows.batch.num_rows();
            return (out.emit)(rows);
        }
        self.add(&rows.batch)
    }

    fn on_watermark(&mut self, _watermark: i64, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        let taken = std::mem::take(&mut self.taken);
        if taken == 0 {
            return Ok(());
        }
        if self.passing > 0 {
            self.passing -= 1;
            return Ok(());
        }
        let Some(local) = self.local.take() else { return Ok(()) };
        self.emit(&local, out)?;
        let values: usize = local.sets.iter().map(|seen| seen.values.len()).sum();
        let sent = local.table.len().max(values / self.calls.sets.len().max(1));
        if taken >= SAMPLE_ROWS && sent > taken / 5 * 4 {
            self.passing = PASS_FLUSHES;
        }
        Ok(())
    }

    fn snapshot(&mut self, _snapshot: &mut OperatorSnapshot) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, _state: &OperatorState) -> Result<()> {
        Ok(())
    }

    fn memory(&self) -> usize {
        self.local.as_ref().map_or(0, |local| {
            local.table.memory() + local.sets.iter().map(|seen| seen.values.memory()).sum::<usize>()
        })
    }
}
