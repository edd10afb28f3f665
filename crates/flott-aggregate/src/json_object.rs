//! `JSON_OBJECTAGG`: an object of names and values, in the order of the names.
//!
//! ```text
//!   ('b', 1), ('a', null)  ─►  b: [1 ×1]   a: [null ×1]  ─►  {"a":null,"b":1}
//! ```
//! A name must not come twice: that row is an error. Where rows are taken back, the new value of a
//! name may come before the old one has gone, so it is an error only of the result.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field, Int64Type},
};
use flott_expr::{EvalError, functions::append_json_string};

use crate::{
    Accumulator,
    cells::{not_ours, struct_of, wrong_argument},
    codec::bytes_column,
    groups::{Gather, Group, Groups, Held},
    selection::Selection,
};

/// The accumulator. Arguments: name, value as JSON text. `nulls`: `NULL ON NULL`.
pub(crate) fn accumulator(nulls: bool, retracts: bool) -> Box<dyn Accumulator> {
    Groups::boxed(JsonObject { nulls, retracts })
}

#[derive(Debug)]
struct JsonObject {
    nulls: bool,
    retracts: bool,
}

type Value = Option<Box<str>>;

/// The members of a group: for each name its values, none with the count 0.
#[derive(Debug, Default)]
pub(crate) struct Members {
    values: BTreeMap<Box<str>, Vec<(Value, i64)>>,
    bytes: usize,
}

/// About what a member costs besides its text.
const MEMBER_BYTES: usize = 80;

impl Group for Members {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Members {
    fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|values| values.iter().any(|(_, count)| *count > 0))
    }
    fn change(&mut self, name: &str, value: Option<&str>, by: i64) {
        let size = name.len() + value.map_or(0, str::len) + MEMBER_BYTES;
        let Some(values) = self.values.get_mut(name) else {
            self.values.insert(name.into(), vec![(value.map(Into::into), by)]);
            self.bytes += size;
            return;
        };
        match values.iter_mut().find(|(known, _)| known.as_deref() == value) {
            Some((_, count)) => *count = count.wrapping_add(by),
            None => {
                values.push((value.map(Into::into), by));
                self.bytes += size;
            }
        }
        let before = values.len();
        values.retain(|(_, count)| *count != 0);
        if values.len() < before {
            self.bytes = self.bytes.saturating_sub(size);
        }
        if values.is_empty() {
            self.values.remove(name);
        }
    }
    fn all(&self) -> impl Iterator<Item = (&str, Option<&str>, i64)> + Clone {
        self.values.iter().flat_map(|(name, values)| {
            values.iter().map(move |(value, count)| (name.as_ref(), value.as_deref(), *count))
        })
    }
    fn write(&self, out: &mut String) -> Result<(), EvalError> {
        let mut last: Option<&str> = None;
        out.push('{');
        for (name, value, count) in self.all().filter(|(_, _, count)| *count > 0) {
            if last == Some(name) || count > 1 {
                return Err(twice(name));
            }
            if last.is_some() {
                out.push(',');
            }
            append_json_string(name, out);
            out.push(':');
            out.push_str(value.unwrap_or("null"));
            last = Some(name);
        }
        out.push('}');
        Ok(())
    }
}

fn twice(name: &str) -> EvalError {
    EvalError::new(format!("JSON_OBJECTAGG: the name '{name}' comes twice in a group"))
}

fn texts(array: Option<&ArrayRef>) -> Result<&StringArray, EvalError> {
    array.and_then(|it| it.as_string_opt::<i32>()).ok_or_else(wrong_argument)
}

fn value_of(values: &StringArray, row: usize) -> Option<&str> {
    values.is_valid(row).then(|| values.value(row))
}

impl JsonObject {
    fn step(
        groups: &mut Held<Members>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
        by: i64,
    ) -> Result<(), EvalError> {
        let (names, values) = (texts(args.first())?, texts(args.get(1))?);
        rows.for_each(slots, |slot, row| {
            groups.change(slot, |group| group.change(names.value(row), value_of(values, row), by));
        });
        Ok(())
    }
    fn check_names(args: &[ArrayRef], rows: &Selection, slots: &[u32]) -> Result<(), EvalError> {
        let names = texts(args.first())?;
        rows.try_for_each(slots, |_, row| match names.is_valid(row) {
            true => Ok(()),
            false => Err(EvalError::new("JSON_OBJECTAGG: a name is NULL")),
        })
    }
    fn entry_type() -> ArrowType {
        let fields = [("name", ArrowType::Utf8), ("value", ArrowType::Utf8), ("count", ArrowType::Int64)];
        ArrowType::Struct(struct_of(&fields))
    }
}

impl Gather for JsonObject {
    type Group = Members;

    fn selection(&self, args: &[ArrayRef], filter: Option<&BooleanArray>) -> Selection {
        match self.nulls {
            true => Selection::filtered(filter),
            false => Selection::present(args.get(1..).unwrap_or_default(), filter),
        }
    }
    fn add(
        &mut self,
        groups: &mut Held<Members>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        Self::check_names(args, rows, slots)?;
        if self.retracts {
            return Self::step(groups, slots, args, rows, 1);
        }
        let (names, values) = (texts(args.first())?, texts(args.get(1))?);
        let mut added = Vec::new();
        let outcome = rows.try_for_each(slots, |slot, row| {
            let name = names.value(row);
            if groups.get(slot).is_some_and(|group| group.has(name)) {
                return Err(twice(name));
            }
            groups.change(slot, |group| group.change(name, value_of(values, row), 1));
            added.push((slot, row));
            Ok(())
        });
        if outcome.is_err() {
            for (slot, row) in added {
                groups.change(slot, |group| group.change(names.value(row), value_of(values, row), -1));
            }
        }
        outcome
    }
    fn take(
        &mut self,
        groups: &mut Held<Members>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        Self::check_names(args, rows, slots)?;
        Self::step(groups, slots, args, rows, -1)
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::List(Arc::new(Field::new("item", Self::entry_type(), true)))
    }
    fn save(&self, groups: &[&Members]) -> Result<ArrayRef, EvalError> {
        let all = || groups.iter().flat_map(|group| group.all());
        let names = bytes_column(&ArrowType::Utf8, all().map(|(name, ..)| Some(name.as_bytes())))?;
        let values = all().map(|(_, value, _)| value.map(str::as_bytes));
        let values = bytes_column(&ArrowType::Utf8, values)?;
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(all().map(|(.., count)| count)));
        let ArrowType::Struct(fields) = Self::entry_type() else { return Err(wrong_argument()) };
        let entries = StructArray::try_new(fields, vec![names, values, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.all().count()));
        let item = Arc::new(Field::new("item", Self::entry_type(), true));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?))
    }
    fn merge(
        &mut self,
        groups: &mut Held<Members>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let lists = saved.as_list_opt::<i32>().ok_or_else(|| not_ours(saved))?;
        let columns = lists.values().as_struct().columns();
        let (names, values) = (texts(columns.first())?, texts(columns.get(1))?);
        let counts = columns.get(2).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let counts = counts.ok_or_else(|| not_ours(saved))?.values();
        for (slot, bounds) in slots.iter().zip(lists.value_offsets().windows(2)) {
            let &[start, end] = bounds else { continue };
            for row in start as usize..end as usize {
                let name = names.value(row);
                if !self.retracts && groups.get(*slot).is_some_and(|group| group.has(name)) {
                    return Err(twice(name));
                }
                groups.change(*slot, |group| group.change(name, value_of(values, row), counts[row]));
            }
        }
        Ok(())
    }
    fn results(&self, groups: &[&Members]) -> Result<ArrayRef, EvalError> {
        let mut objects = Vec::with_capacity(groups.len());
        for group in groups {
            let mut out = String::with_capacity(group.bytes + 2);
            group.write(&mut out)?;
            objects.push(out);
        }
        bytes_column(&ArrowType::Utf8, objects.iter().map(|it| Some(it.as_bytes())))
    }
}
