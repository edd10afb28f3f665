//! The groups of one slice or window, and what is computed for them.
//!
//! ```text
//!   main      keys ─► accumulators, one column a call
//!   set 0     keys, values ─► (nothing)         for COUNT(DISTINCT a), SUM(DISTINCT a)
//!   set 1     keys, values ─► (nothing)         another argument or filter
//!
//!   rows ──► main ──────────► accumulators without DISTINCT
//!        └─► set: seen before? ─ no ─► accumulators with DISTINCT
//! ```
//! A pane is [folded](Aggregation::fold) into another by merging saved accumulators; those with
//! DISTINCT can't be merged, so the sets are united, and values that are new to the union are added
//! to the accumulators.
//!
//! Where rows bring their windows along, the window's start is a key of its own (the last one).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, prep_null_mask_filter, take};
use arrow::datatypes::{DataType as ArrowType, Field, Fields};
use flott_aggregate::{Accumulator, accumulator};
use flott_expr::EvalError;
use flott_plan::Call as PlanCall;
use flott_state::{Buckets, OperatorSnapshot, OperatorState, StateColumn, Table};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::cells::Distinct;
use super::split::Part;
use crate::arrow_failed;

/// Keys copied from one pane to another at a time.
const FOLD_ROWS: usize = 8192;

/// A value of state without columns.
pub(crate) type SetTable = Table<dyn StateColumn>;
/// Groups with their accumulators.
pub(crate) type MainTable = Table<dyn Accumulator>;

/// An aggregate call; columns are positions in [`Aggregation::needed`].
#[derive(Debug)]
struct Call {
    plan: PlanCall,
    args: Vec<usize>,
    filter: Option<usize>,
    set: Option<usize>,
}

/// What the calls with DISTINCT share that have the same arguments and filter.
#[derive(Debug, PartialEq)]
struct DistinctSet {
    args: Vec<usize>,
    filter: Option<usize>,
}

/// What is grouped by and computed.
#[derive(Debug)]
pub(crate) struct Aggregation {
    /// The input's columns that are used: first the keys, then arguments and filters.
    needed: Vec<usize>,
    keys: usize,
    with_start: bool,
    key_types: Vec<ArrowType>,
    needed_types: Vec<ArrowType>,
    calls: Vec<Call>,
    sets: Vec<DistinctSet>,
}

/// Rows made ready: the columns that are needed, and the keys' hashes.
pub(crate) struct KeyedRows {
    keys: Vec<ArrayRef>,
    hashes: Vec<u64>,
    columns: Vec<ArrayRef>,
}

impl KeyedRows {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The key columns.
    pub(crate) fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// The columns that are needed.
    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// The keys' hashes.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}

/// A pane of its own.
#[derive(Debug)]
pub(crate) struct Pane {
    pub(crate) main: MainTable,
    pub(crate) sets: Vec<SetTable>,
}

impl Pane {
    pub(crate) fn as_mut(&mut self) -> PaneMut<'_> {
        PaneMut { main: &mut self.main, sets: self.sets.iter_mut().collect() }
    }

    pub(crate) fn as_ref(&self) -> PaneRef<'_> {
        PaneRef { main: &self.main, sets: self.sets.iter().collect() }
    }
}

/// A pane, to be changed.
pub(crate) struct PaneMut<'a> {
    pub(crate) main: &'a mut MainTable,
    pub(crate) sets: Vec<&'a mut SetTable>,
}

/// A pane, to be read.
pub(crate) struct PaneRef<'a> {
    pub(crate) main: &'a MainTable,
    pub(crate) sets: Vec<&'a SetTable>,
}

impl Aggregation {
    /// `with_start`: the windows' starts are keys too.
    pub(crate) fn new(keys: &[usize], calls: &[PlanCall], input: &Schema, with_start: bool) -> Result<Self> {
        let mut needed = keys.to_vec();
        let mut position = |column: usize| match needed.iter().position(|it| *it == column) {
            Some(position) => position,
            None => {
                needed.push(column);
                needed.len() - 1
            }
        };
        let mut sets: Vec<DistinctSet> = Vec::new();
        let mut bound = Vec::with_capacity(calls.len());
        for call in calls {
            let args: Vec<usize> = call.args.iter().map(|column| position(*column)).collect();
            let filter = call.filter.map(&mut position);
            let set = call.distinct.then(|| {
                let set = DistinctSet { args: args.clone(), filter };
                sets.iter().position(|other| *other == set).unwrap_or_else(|| {
                    sets.push(set);
                    sets.len() - 1
                })
            });
            bound.push(Call { plan: call.clone(), args, filter, set });
        }
        let needed_types = needed
            .iter()
            .map(|column| input.fields.get(*column).map(|field| field.data_type.arrow_type()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                Diagnostic::error(Code::Internal, "an aggregation reads a column that isn't there")
            })?;
        let mut key_types: Vec<ArrowType> = needed_types.iter().take(keys.len()).cloned().collect();
        if with_start {
            key_types.push(ArrowType::Int64);
        }
        Ok(Self { needed, keys: keys.len(), with_start, key_types, needed_types, calls: bound, sets })
    }

    /// The keys' types, the window's start included if it is one.
    pub(crate) fn key_types(&self) -> &[ArrowType] {
        &self.key_types
    }

    /// How many of them are the query's own.
    pub(crate) fn grouping_keys(&self) -> usize {
        self.keys
    }

    /// The results' types.
    pub(crate) fn result_types(&self) -> impl Iterator<Item = ArrowType> {
        self.calls.iter().map(|call| call.plan.data_type.arrow_type())
    }

    /// How many distinct sets there are.
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The accumulators of the calls.
    pub(crate) fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let new =
            |call: &Call| accumulator(call.plan.function, &call.plan.arg_types, &call.plan.data_type, false);
        self.calls.iter().map(new).collect()
    }

    /// The accumulators of the calls, those with DISTINCT with their own sets: for groups that come and
    /// go one by one.
    pub(crate) fn single_accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let wrap = |(call, inner): (&Call, Box<dyn Accumulator>)| {
            let Some(set) = call.set else { return Ok(inner) };
            Ok(Box::new(Distinct::new(inner, self.set_types(set))?) as Box<dyn Accumulator>)
        };
        self.calls.iter().zip(self.accumulators()?).map(wrap).collect()
    }

    fn main_table(&self) -> Result<MainTable> {
        Ok(Table::new(&self.key_types, self.accumulators()?)?.grouped_by(self.keys))
    }

    /// The table of a distinct set.
    pub(crate) fn set_table(&self, set: usize) -> Result<SetTable> {
        let mut types = self.key_types.clone();
        types.extend(self.set_types(set));
        Ok(Table::new(&types, Vec::new())?.grouped_by(self.keys))
    }

    fn set_types(&self, set: usize) -> Vec<ArrowType> {
        let args = self.sets.get(set).map(|set| set.args.as_slice()).unwrap_or_default();
        args.iter().filter_map(|arg| self.needed_types.get(*arg).cloned()).collect()
    }

    /// An empty pane.
    pub(crate) fn pane(&self) -> Result<Pane> {
        let sets = (0..self.sets.len()).map(|set| self.set_table(set)).collect::<Result<_>>()?;
        Ok(Pane { main: self.main_table()?, sets })
    }

    /// The columns that are needed, of some rows of an input batch. `start`: the windows' starts.
    pub(crate) fn rows(
        &self,
        batch: &[ArrayRef],
        rows: usize,
        part: &Part,
        start: Option<&ArrayRef>,
    ) -> Result<KeyedRows> {
        let columns = self
            .needed
            .iter()
            .map(|column| batch.get(*column).map_or_else(|| Err(missing_column()), |column| part.of(column)))
            .collect::<Result<Vec<_>>>()?;
        let mut keys: Vec<ArrayRef> = columns.iter().take(self.keys).cloned().collect();
        if let Some(start) = start {
            keys.push(part.of(start)?);
        }
        let hashes = self.hashes(&keys, part.rows(rows));
        Ok(KeyedRows { keys, hashes, columns })
    }

    /// The hashes of keys.
    pub(crate) fn hashes(&self, keys: &[ArrayRef], rows: usize) -> Vec<u64> {
        let mut hashes = flott_state::hash_rows(keys, rows);
        if self.with_start {
            let groups = flott_state::hash_rows(keys.get(..self.keys).unwrap_or_default(), rows);
            for (hash, group) in hashes.iter_mut().zip(groups) {
                *hash = flott_state::with_group_of(*hash, group);
            }
        }
        hashes
    }

    /// Adds rows to a pane. `slots`: room to work in; afterwards the row's groups.
    pub(crate) fn update(
        &self,
        pane: &mut PaneMut<'_>,
        rows: &KeyedRows,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        slots.clear();
        pane.main.find_or_insert(&rows.keys, &rows.hashes, slots)?;
        pane.main.touch(slots);
        self.accumulate(pane.main.columns_mut(), slots, &rows.columns)?;
        for (at, (set, table)) in self.sets.iter().zip(&mut pane.sets).enumerate() {
            let args = pick(&rows.columns, &set.args);
            let Some(mask) = set.filter.and_then(|filter| mask(&rows.columns, filter)) else {
                self.add_distinct(at, table, pane.main, &rows.keys, args, slots)?;
                continue;
            };
            let keys = filter_all(&rows.keys, &mask)?;
            let args = filter_all(&args, &mask)?;
            let kept: Vec<u32> =
                slots.iter().zip(mask.values()).filter(|(_, keep)| *keep).map(|(slot, _)| *slot).collect();
            self.add_distinct(at, table, pane.main, &keys, args, &kept)?;
        }
        Ok(())
    }

    /// Adds rows to the accumulators of the calls without DISTINCT. `slots` and `columns` are
    /// parallel; the columns are those that are needed.
    pub(crate) fn accumulate(
        &self,
        accumulators: &mut [Box<dyn Accumulator>],
        slots: &[u32],
        columns: &[ArrayRef],
    ) -> Result<()> {
        for (call, column) in self.calls.iter().zip(accumulators) {
            if call.set.is_none() {
                let filter = call.filter.and_then(|filter| mask(columns, filter));
                column.update(slots, &pick(columns, &call.args), filter.as_ref()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Adds rows to [`Aggregation::single_accumulators`].
    pub(crate) fn accumulate_all(
        &self,
        accumulators: &mut [Box<dyn Accumulator>],
        slots: &[u32],
        columns: &[ArrayRef],
    ) -> Result<()> {
        for (call, column) in self.calls.iter().zip(accumulators) {
            let filter = call.filter.and_then(|filter| mask(columns, filter));
            column.update(slots, &pick(columns, &call.args), filter.as_ref()).map_err(failed)?;
        }
        Ok(())
    }

    /// Adds values to a distinct set, and those that are new to the accumulators. `keys`, `args` and
    /// `slots` (of the groups) are parallel.
    fn add_distinct(
        &self,
        set: usize,
        table: &mut SetTable,
        main: &mut MainTable,
        keys: &[ArrayRef],
        args: Vec<ArrayRef>,
        slots: &[u32],
    ) -> Result<()> {
        let full: Vec<ArrayRef> = keys.iter().cloned().chain(args.iter().cloned()).collect();
        let hashes = table.hashes(&full, slots.len());
        let mut found = Vec::with_capacity(slots.len());
        table.find_or_insert(&full, &hashes, &mut found)?;
        let first = first_rows(&found, table.inserted());
        if first.is_empty() {
            return Ok(());
        }
        let groups: Vec<u32> = first.iter().filter_map(|row| slots.get(*row as usize).copied()).collect();
        let all = first.len() == found.len();
        let rows = UInt32Array::from(first);
        let args = if all { args } else { take_all(&args, &rows)? };
        for (call, column) in self.calls.iter().zip(main.columns_mut()) {
            if call.set == Some(set) {
                column.update(&groups, &args, None).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Adds a pane to another.
    pub(crate) fn fold(&self, from: &PaneRef<'_>, into: &mut PaneMut<'_>) -> Result<()> {
        let (mut source, mut target) = (Vec::new(), Vec::new());
        let mut live = from.main.keys().live();
        while next_slots(&mut live, FOLD_ROWS, &mut source) {
            let keys = from.main.keys().keys(&source)?;
            let hashes: Vec<u64> = source.iter().map(|slot| from.main.keys().hash_of(*slot)).collect();
            target.clear();
            into.main.find_or_insert(&keys, &hashes, &mut target)?;
            into.main.touch(&target);
            for ((call, from), into) in
                self.calls.iter().zip(from.main.columns()).zip(into.main.columns_mut())
            {
                if call.set.is_none() {
                    into.merge(&target, &from.save(&source)?).map_err(failed)?;
                }
            }
        }
        for (set, (from, table)) in from.sets.iter().zip(&mut into.sets).enumerate() {
            let mut live = from.keys().live();
            while next_slots(&mut live, FOLD_ROWS, &mut source) {
                let mut keys = from.keys().keys(&source)?;
                let args = keys.split_off(self.key_types.len());
                let hashes = self.hashes(&keys, source.len());
                target.clear();
                into.main.find(&keys, &hashes, &mut target)?;
                self.add_distinct(set, table, into.main, &keys, args, &target)?;
            }
        }
        Ok(())
    }

    /// The saved columns of a partial batch: one of each call without DISTINCT, then a list of values
    /// for each distinct set.
    pub(crate) fn partial_types(&self) -> Result<Vec<ArrowType>> {
        let accumulators = self.accumulators()?;
        let plain = self.calls.iter().zip(&accumulators).filter(|(call, _)| call.set.is_none());
        let mut types: Vec<ArrowType> = plain.map(|(_, column)| column.saved_type()).collect();
        types.extend((0..self.sets.len()).map(|set| ArrowType::List(self.list_item(set))));
        Ok(types)
    }

    fn list_item(&self, set: usize) -> Arc<Field> {
        let field = |(at, data_type)| Field::new(format!("a{at}"), data_type, true);
        let fields: Fields = self.set_types(set).into_iter().enumerate().map(field).collect();
        Arc::new(Field::new("item", ArrowType::Struct(fields), true))
    }

    /// The columns of [`Aggregation::partial_types`], for these groups of a pane.
    pub(crate) fn save_partial(&self, pane: &PaneRef<'_>, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let plain = self.calls.iter().zip(pane.main.columns()).filter(|(call, _)| call.set.is_none());
        plain.map(|(_, column)| column.save(slots)).collect()
    }

    /// Each distinct set of a pane as lists by group: element i of a list belongs to slot i.
    pub(crate) fn save_lists(&self, pane: &PaneRef<'_>) -> Result<Vec<ArrayRef>> {
        let groups = pane.main.keys().slots_end();
        (0..self.sets.len())
            .zip(&pane.sets)
            .map(|(set, table)| {
                let slots: Vec<u32> = table.keys().live().collect();
                let mut keys = table.keys().keys(&slots)?;
                let args = keys.split_off(self.key_types.len());
                let mut owners = Vec::with_capacity(slots.len());
                pane.main.find(&keys, &self.hashes(&keys, slots.len()), &mut owners)?;
                let (offsets, order) = group_rows(&owners, groups);
                let args = take_all(&args, &UInt32Array::from(order))?;
                let item = self.list_item(set);
                let ArrowType::Struct(fields) = item.data_type() else { return Err(missing_column()) };
                let values = StructArray::try_new_with_length(fields.clone(), args, None, slots.len());
                let values: ArrayRef = Arc::new(values.map_err(arrow_failed)?);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let list = ListArray::try_new(item, offsets, values, None).map_err(arrow_failed)?;
                Ok(Arc::new(list) as ArrayRef)
            })
            .collect()
    }

    /// Adds partial results: `saved` as [`Aggregation::partial_types`] has them.
    pub(crate) fn merge_partial(
        &self,
        pane: &mut PaneMut<'_>,
        keys: &[ArrayRef],
        hashes: &[u64],
        saved: &[ArrayRef],
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        slots.clear();
        pane.main.find_or_insert(keys, hashes, slots)?;
        pane.main.touch(slots);
        let mut saved = saved.iter();
        for (call, column) in self.calls.iter().zip(pane.main.columns_mut()) {
            if call.set.is_none() {
                let saved = saved.next().ok_or_else(missing_column)?;
                column.merge(slots, saved).map_err(failed)?;
            }
        }
        for (set, table) in pane.sets.iter_mut().enumerate() {
            let lists =
                saved.next().and_then(|lists| lists.as_list_opt::<i32>()).ok_or_else(missing_column)?;
            let (mut owners, mut groups) = (Vec::new(), Vec::new());
            for (row, slot) in slots.iter().enumerate() {
                let length = lists.value_length(row) as usize;
                owners.extend(std::iter::repeat_n(row as u32, length));
                groups.extend(std::iter::repeat_n(*slot, length));
            }
            let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
            let values = lists.values().slice(first, owners.len());
            let args = values.as_struct_opt().ok_or_else(missing_column)?.columns().to_vec();
            let keys = take_all(keys, &UInt32Array::from(owners))?;
            self.add_distinct(set, table, pane.main, &keys, args, &groups)?;
        }
        Ok(())
    }

    /// The results of these groups.
    pub(crate) fn evaluate(
        &self,
        accumulators: &[Box<dyn Accumulator>],
        slots: &[u32],
    ) -> Result<Vec<ArrayRef>> {
        accumulators.iter().map(|column| column.evaluate(slots).map_err(failed)).collect()
    }
}

/// Panes by slice or window, as state.
#[derive(Debug)]
pub(crate) struct Panes {
    main: Buckets<dyn Accumulator>,
    sets: Vec<Buckets<dyn StateColumn>>,
}

impl Panes {
    pub(crate) fn new(aggregation: &Arc<Aggregation>) -> Self {
        let of = aggregation.clone();
        let main = Buckets::new(move || of.main_table());
        let sets = (0..aggregation.sets()).map(|set| {
            let of = aggregation.clone();
            Buckets::new(move || of.set_table(set))
        });
        Self { main, sets: sets.collect() }
    }

    pub(crate) fn get_or_create(&mut self, bucket: i64) -> Result<PaneMut<'_>> {
        let main = self.main.get_or_create(bucket)?;
        let sets = self.sets.iter_mut().map(|set| set.get_or_create(bucket)).collect::<Result<_>>()?;
        Ok(PaneMut { main, sets })
    }

    pub(crate) fn get(&self, bucket: i64) -> Option<PaneRef<'_>> {
        let sets = self.sets.iter().map(|set| set.get(bucket)).collect::<Option<_>>()?;
        Some(PaneRef { main: self.main.get(bucket)?, sets })
    }

    pub(crate) fn remove(&mut self, bucket: i64) -> Option<Pane> {
        let main = self.main.remove(bucket)?;
        Some(Pane { main, sets: self.sets.iter_mut().filter_map(|set| set.remove(bucket)).collect() })
    }

    /// The lowest bucket.
    pub(crate) fn first(&self) -> Option<i64> {
        self.main.first()
    }

    /// Buckets, rising.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = i64> {
        self.main.iter().map(|(bucket, _)| bucket)
    }

    pub(crate) fn snapshot(&mut self, name: &str, snapshot: &mut OperatorSnapshot) -> Result<()> {
        snapshot.buckets(name, &mut self.main)?;
        for (at, set) in self.sets.iter_mut().enumerate() {
            snapshot.buckets(&format!("{name}-distinct-{at}"), set)?;
        }
        Ok(())
    }

    pub(crate) fn restore(&mut self, name: &str, state: &OperatorState) -> Result<()> {
        state.buckets(name, &mut self.main)?;
        for (at, set) in self.sets.iter_mut().enumerate() {
            state.buckets(&format!("{name}-distinct-{at}"), set)?;
        }
        // A distinct set without a row was not written: every pane has all its tables.
        let buckets: Vec<i64> = self.buckets().collect();
        buckets.into_iter().try_for_each(|bucket| self.get_or_create(bucket).map(|_| ()))
    }

    pub(crate) fn memory(&self) -> usize {
        self.main.memory() + self.sets.iter().map(Buckets::memory).sum::<usize>()
    }
}

/// The next slots of an iterator, up to `most`; false: there is none left.
pub(crate) fn next_slots(live: &mut dyn Iterator<Item = u32>, most: usize, slots: &mut Vec<u32>) -> bool {
    slots.clear();
    slots.extend(live.take(most));
    !slots.is_empty()
}

/// The rows in which each inserted slot stands first. Both lists are in order of first appearance.
pub(crate) fn first_rows(slots: &[u32], inserted: &[u32]) -> Vec<u32> {
    let mut first = Vec::with_capacity(inserted.len());
    let mut inserted = inserted.iter();
    let mut next = inserted.next();
    for (row, slot) in slots.iter().enumerate() {
        if next == Some(slot) {
            first.push(row as u32);
            next = inserted.next();
        }
    }
    first
}

/// Rows sorted by their group: the offsets of each group's rows in the order, and the order.
fn group_rows(owners: &[u32], groups: usize) -> (Vec<i32>, Vec<u32>) {
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

fn pick(columns: &[ArrayRef], positions: &[usize]) -> Vec<ArrayRef> {
    positions.iter().filter_map(|position| columns.get(*position).cloned()).collect()
}

/// A filter column; NULL counts as FALSE.
fn mask(columns: &[ArrayRef], position: usize) -> Option<BooleanArray> {
    let mask = columns.get(position)?.as_boolean_opt()?;
    Some(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

fn filter_all(columns: &[ArrayRef], mask: &BooleanArray) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| filter(column.as_ref(), mask).map_err(arrow_failed)).collect()
}

/// The values of some rows of all columns.
pub(crate) fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| take(column.as_ref(), rows, None).map_err(arrow_failed)).collect()
}

fn missing_column() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "an aggregation's batch lacks a column")
}

fn failed(error: EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, error.message)
}
