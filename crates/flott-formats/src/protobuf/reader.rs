//! Messages into columns.
//!
//! ```text
//!   record ─► Scanner: where each field lies ─► FieldReader, one per column ─► Column
//!                 ▲                                  │ ROW, elements, entries
//!                 └──────────────────────────────────┘ the same for the message within
//! ```
//!
//! Most records need no scan (`straight.rs`).
//!
//! What is missing: a scalar is its default (proto3, or `read-default-values`) or NULL (proto2); a ROW, ARRAY
//! or MAP is NULL, or with `read-default-values` empty. An ARRAY that came without an element (packed, or all of its
//! names unknown) is missing, too. Elements and values of maps are never NULL.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use prost_reflect::{FieldDescriptor, Kind, Value};

use super::{
    failure::{Fail, Failure},
    plan::{FieldPlan, Item, Leaf, MessagePlan, Names, Scalar, Shape},
    scanner::{Pieces, Scanner, Slot},
    straight::Straight,
    wire::{self, Wire, unzigzag},
};
use crate::builder::{Column, Lists, Maps, Rows};

/// What missing fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Defaults {
    /// Scalars are their default.
    pub scalars: bool,
    /// Rows, arrays and maps are empty.
    pub others: bool,
}

/// A default, as a value on the wire.
#[derive(Debug, Clone)]
enum Default {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Default {
    /// The default of a field; of elements and entries that of its kind.
    fn of(value: &Value, scalar: Scalar) -> Default {
        let number = match value {
            Value::Bool(value) => u64::from(*value),
            Value::I32(value) if scalar == Scalar::Zigzag32 => wire::zigzag((*value).into()),
            Value::I64(value) if scalar == Scalar::Zigzag64 => wire::zigzag(*value),
            Value::I32(value) | Value::EnumNumber(value) => i64::from(*value) as u64,
            Value::I64(value) => *value as u64,
            Value::U32(value) => (*value).into(),
            Value::U64(value) => *value,
            Value::F32(value) => value.to_bits().into(),
            Value::F64(value) => value.to_bits(),
            Value::String(text) => return Default::Bytes(text.as_bytes().to_vec()),
            Value::Bytes(bytes) => return Default::Bytes(bytes.to_vec()),
            _ => 0,
        };
        match scalar {
            Scalar::Text | Scalar::Bytes => Default::Bytes(Vec::new()),
            _ => Default::Number(number),
        }
    }
}

/// Reads a scalar.
#[derive(Debug)]
struct LeafReader {
    scalar: Scalar,
    names: Option<std::sync::Arc<Names>>,
    default: Default,
}

impl LeafReader {
    fn new(leaf: &Leaf, default: &Value) -> Self {
        let default = Default::of(default, leaf.scalar);
        Self { scalar: leaf.scalar, names: leaf.names.clone(), default }
    }

    #[inline(always)]
    fn number(&self, value: u64) -> i64 {
        match self.scalar {
            Scalar::VarintI32 | Scalar::SignedFixed32 => i64::from(value as i32),
            Scalar::VarintU32 | Scalar::Fixed32 => i64::from(value as u32),
            Scalar::Zigzag32 => unzigzag(u64::from(value as u32)),
            Scalar::Zigzag64 => unzigzag(value),
            _ => value as i64,
        }
    }

    /// Appends a value; that of text and bytes lies in the record.
    #[inline(always)]
    fn push(&self, column: &mut Column, record: &[u8], slot: Slot) -> Result<(), Fail> {
        match column {
            Column::I64(it) => it.push(self.number(slot.value)),
            Column::Strings(it) if self.names.is_none() => {
                let range = slot.range();
                let rest = record.get(range.start..).unwrap_or_default();
                it.push(rest.get(..range.len()).unwrap_or_default(), rest)?;
            }
            Column::I32(it) => it.push(self.number(slot.value) as i32),
            column => return self.push_number(column, slot.value),
        }
        Ok(())
    }

    /// Appends a number.
    #[inline(never)]
    fn push_number(&self, column: &mut Column, value: u64) -> Result<(), Fail> {
        match column {
            Column::Boolean(it) => it.push(value != 0),
            Column::F64(it) => it.push(f64::from_bits(value)),
            Column::F32(it) => it.push(f32::from_bits(value as u32)),
            Column::I64(it) => it.push(self.number(value)),
            Column::I32(it) => it.push(self.number(value) as i32),
            Column::I128(it) => it.push(i128::from(value)),
            Column::I8(it) => it.push(i8::try_from(self.number(value)).map_err(|_| narrow(value))?),
            Column::I16(it) => it.push(i16::try_from(self.number(value)).map_err(|_| narrow(value))?),
            Column::Strings(it) => {
                let name = self.names.as_ref().and_then(|names| names.name(value as i32));
                let name = name.unwrap_or("UNRECOGNIZED").as_bytes();
                it.push(name, name)?;
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    fn push_default(&self, column: &mut Column) -> Result<(), Fail> {
        match (&self.default, column) {
            (Default::Number(value), column) => self.push_number(column, *value),
            (Default::Bytes(bytes), Column::Strings(it)) => Ok(it.push(bytes, bytes)?),
            _ => Err(mismatch()),
        }
    }

    /// Appends several numbers that lie one behind the other.
    fn push_packed(&self, column: &mut Column, record: &[u8], slot: Slot) -> Result<(), Fail> {
        let range = slot.range();
        let (mut at, window) = (range.start, record.get(..range.end).unwrap_or_default());
        let closed = self.names.as_deref().filter(|names| names.closed);
        while at < window.len() {
            let (value, end) = match self.scalar.wire() {
                Wire::Fixed64 => wire::fixed64(window, at)?,
                Wire::Fixed32 => wire::fixed32(window, at)?,
                _ => wire::varint(window, at)?,
            };
            if closed.is_none_or(|names| names.name(value as i32).is_some()) {
                self.push(column, record, Slot { value, ..slot })?;
            }
            at = end;
        }
        Ok(())
    }
}

#[cold]
fn narrow(value: u64) -> Fail {
    Failure::value(format!("the enum's number {} doesn't fit the column", value as i32))
}

#[cold]
fn mismatch() -> Fail {
    Failure::value("a column isn't of the type it was planned for")
}

/// Reads an element, or the value of an entry.
#[derive(Debug)]
enum ItemReader {
    Leaf(LeafReader),
    Message(MessageReader),
}

impl ItemReader {
    fn new(item: &Item, kind: &Kind, defaults: Defaults) -> Self {
        match item {
            Item::Leaf(leaf) => ItemReader::Leaf(LeafReader::new(leaf, &kind.default_value())),
            Item::Message(plan) => ItemReader::Message(MessageReader::new(plan, defaults)),
        }
    }
    fn push_default(&mut self, column: &mut Column) -> Result<(), Fail> {
        match (self, column) {
            (ItemReader::Leaf(leaf), column) => leaf.push_default(column),
            (ItemReader::Message(reader), Column::Row(rows)) => reader.append_empty(rows),
            _ => Err(mismatch()),
        }
    }
}

/// Reads a map.
#[derive(Debug)]
struct MapReader {
    scanner: Scanner,
    key: LeafReader,
    value: ItemReader,
    /// Of each key of the map something that equal keys have in common.
    seen: Vec<u64>,
}

/// How a column is read.
#[derive(Debug)]
enum ShapeReader {
    Absent,
    Leaf(LeafReader),
    Message(Box<MessageReader>),
    List(Box<ItemReader>),
    Map(Box<MapReader>),
}

/// Reads a column.
#[derive(Debug)]
pub(super) struct FieldReader {
    name: String,
    shape: ShapeReader,
    /// A missing one isn't NULL.
    defaults: bool,
}

/// Reads messages of one type into columns.
#[derive(Debug)]
pub(super) struct MessageReader {
    scanner: Scanner,
    fields: Vec<FieldReader>,
    straight: Option<Straight>,
}

impl MessageReader {
    /// A reader for the plan.
    pub fn new(plan: &MessagePlan, defaults: Defaults) -> Self {
        let fields = plan.fields.iter().map(|field| FieldReader::new(field, defaults)).collect();
        Self { scanner: Scanner::of(plan), fields, straight: Straight::of(plan) }
    }

    /// Leaves every record to the scan: what the straight way is compared with.
    #[cfg(test)]
    pub fn never_straight(mut self) -> Self {
        self.straight = None;
        self
    }

    /// Reads a record into the columns. After a failure the caller truncates them.
    #[inline]
    pub fn read(&mut self, record: &[u8], columns: &mut [Column], pieces: &mut Pieces) -> Result<(), Fail> {
        pieces.clear();
        if let Some(straight) = &self.straight {
            let rows = columns.first().map_or(0, Column::len);
            if straight.read(record, &mut self.fields, columns, pieces).is_some() {
                return Ok(());
            }
            columns.iter_mut().for_each(|column| column.truncate(rows));
        }
        self.scanner.begin();
        self.scanner.scan(record, 0, pieces)?;
        self.fill(record, columns, pieces)
    }

    /// Reads the message that came in these pieces, as one row.
    fn append(
        &mut self,
        record: &[u8],
        chain: u32,
        rows: &mut Rows,
        pieces: &mut Pieces,
    ) -> Result<(), Fail> {
        self.scanner.begin();
        let before = pieces.len();
        let mut next = chain;
        while let Some((piece, behind)) = pieces.get(next) {
            self.scan_piece(record, piece.slot, pieces)?;
            next = behind;
        }
        self.fill(record, &mut rows.columns, pieces)?;
        pieces.truncate(before);
        rows.end();
        Ok(())
    }

    /// Reads the message that lies here, as one row.
    fn append_one(
        &mut self,
        record: &[u8],
        slot: Slot,
        rows: &mut Rows,
        pieces: &mut Pieces,
    ) -> Result<(), Fail> {
        self.scanner.begin();
        let before = pieces.len();
        self.scan_piece(record, slot, pieces)?;
        self.fill(record, &mut rows.columns, pieces)?;
        pieces.truncate(before);
        rows.end();
        Ok(())
    }

    /// A message without any field.
    fn append_empty(&mut self, rows: &mut Rows) -> Result<(), Fail> {
        for (field, column) in self.fields.iter_mut().zip(&mut rows.columns) {
            field.append_missing(column)?;
        }
        rows.end();
        Ok(())
    }

    fn scan_piece(&mut self, record: &[u8], slot: Slot, pieces: &mut Pieces) -> Result<(), Fail> {
        let range = slot.range();
        self.scanner.scan(record.get(..range.end).unwrap_or_default(), range.start, pieces)
    }

    #[inline]
    fn fill(&mut self, record: &[u8], columns: &mut [Column], pieces: &mut Pieces) -> Result<(), Fail> {
        if let Some(name) = self.scanner.lacking() {
            return Err(Failure::value("the field is required and missing").inside(name));
        }
        for (at, (field, column)) in self.fields.iter_mut().zip(columns).enumerate() {
            let outcome = match self.scanner.get(at) {
                Some(slot) => field.append(column, record, slot, pieces),
                None => field.append_missing(column),
            };
            if let Err(fail) = outcome {
                return Err(fail.inside(&field.name));
            }
        }
        Ok(())
    }
}

impl FieldReader {
    fn new(plan: &FieldPlan, defaults: Defaults) -> Self {
        let name = plan.name.clone();
        let default = plan.field.as_ref().map(FieldDescriptor::default_value).unwrap_or(Value::Bool(false));
        let kind = plan.field.as_ref().map(FieldDescriptor::kind);
        let shape = match (&plan.shape, &kind) {
            (Shape::Leaf(leaf), _) => ShapeReader::Leaf(LeafReader::new(leaf, &default)),
            (Shape::Message(plan), _) => ShapeReader::Message(Box::new(MessageReader::new(plan, defaults))),
            (Shape::List(item), Some(kind)) => {
                ShapeReader::List(Box::new(ItemReader::new(item, kind, defaults)))
            }
            (Shape::Map(key, value), Some(Kind::Message(entry))) => {
                let kinds = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                ShapeReader::Map(Box::new(MapReader {
                    scanner: Scanner::of_entry(entry),
                    key: LeafReader::new(key, &kinds.0.default_value()),
                    value: ItemReader::new(value, &kinds.1, defaults),
                    seen: Vec::new(),
                }))
            }
            _ => ShapeReader::Absent,
        };
        let defaults = match shape {
            ShapeReader::Leaf(_) => defaults.scalars,
            _ => defaults.others,
        };
        Self { name, shape, defaults }
    }

    /// Appends what came.
    #[inline(always)]
    pub fn append(
        &mut self,
        column: &mut Column,
        record: &[u8],
        slot: Slot,
        pieces: &mut Pieces,
    ) -> Result<(), Fail> {
        match &mut self.shape {
            ShapeReader::Leaf(leaf) => leaf.push(column, record, slot),
            shape => {
                if !shape.append_nested(column, record, slot.value as u32, pieces)? {
                    self.append_missing(column)?;
                }
                Ok(())
            }
        }
    }

    /// Appends what stands for a field that didn't come.
    #[inline(never)]
    pub fn append_missing(&mut self, column: &mut Column) -> Result<(), Fail> {
        if !self.defaults {
            column.push_null();
            return Ok(());
        }
        match (&mut self.shape, column) {
            (ShapeReader::Leaf(leaf), column) => leaf.push_default(column),
            (ShapeReader::Message(reader), Column::Row(rows)) => reader.append_empty(rows),
            (ShapeReader::List(_), Column::List(lists)) => Ok(lists.end()?),
            (ShapeReader::Map(_), Column::Map(maps)) => Ok(maps.end()?),
            (_, column) => {
                column.push_null();
                Ok(())
            }
        }
    }
}

impl ShapeReader {
    /// Appends what came; `false`: it has no element, so that it is as good as missing, and nothing was appended.
    #[inline(never)]
    fn append_nested(
        &mut self,
        column: &mut Column,
        record: &[u8],
        chain: u32,
        pieces: &mut Pieces,
    ) -> Result<bool, Fail> {
        match (self, column) {
            (ShapeReader::Message(reader), Column::Row(rows)) => {
                reader.append(record, chain, rows, pieces)?
            }
            (ShapeReader::List(item), Column::List(lists)) => {
                let first = lists.items.len();
                append_items(item, record, chain, lists, pieces)?;
                if lists.items.len() == first {
                    return Ok(false);
                }
                lists.end()?;
            }
            (ShapeReader::Map(reader), Column::Map(maps)) => reader.append(record, chain, maps, pieces)?,
            _ => return Err(mismatch()),
        }
        Ok(true)
    }
}

fn append_items(
    item: &mut ItemReader,
    record: &[u8],
    chain: u32,
    lists: &mut Lists,
    pieces: &mut Pieces,
) -> Result<(), Fail> {
    let mut next = chain;
    while let Some((piece, behind)) = pieces.get(next) {
        match (&mut *item, &mut lists.items) {
            (ItemReader::Leaf(leaf), items) if piece.wire == leaf.scalar.wire() => {
                leaf.push(items, record, piece.slot)?;
            }
            (ItemReader::Leaf(leaf), items) => leaf.push_packed(items, record, piece.slot)?,
            (ItemReader::Message(reader), Column::Row(rows)) => {
                reader.append_one(record, piece.slot, rows, pieces)?;
            }
            _ => return Err(mismatch()),
        }
        next = behind;
    }
    Ok(())
}

impl MapReader {
    fn append(
        &mut self,
        record: &[u8],
        chain: u32,
        maps: &mut Maps,
        pieces: &mut Pieces,
    ) -> Result<(), Fail> {
        let first = maps.keys.len();
        self.seen.clear();
        let mut next = chain;
        while let Some((piece, behind)) = pieces.get(next) {
            let key = self.append_entry(record, piece.slot, maps, pieces)?;
            self.seen.push(key);
            next = behind;
        }
        self.seen.sort_unstable();
        if self.seen.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            maps.cut_entries(first);
            self.append_distinct(record, chain, maps, pieces)?;
        }
        Ok(maps.end()?)
    }

    /// Appends an entry; answers with something that equal keys have in common.
    fn append_entry(
        &mut self,
        record: &[u8],
        slot: Slot,
        maps: &mut Maps,
        pieces: &mut Pieces,
    ) -> Result<u64, Fail> {
        let before = pieces.len();
        let (key, value) = self.scan_entry(record, slot, pieces)?;
        match key {
            Some(key) => self.key.push(&mut maps.keys, record, key)?,
            None => self.key.push_default(&mut maps.keys)?,
        }
        match (&mut self.value, value, &mut maps.values) {
            (value, None, column) => value.push_default(column)?,
            (ItemReader::Leaf(leaf), Some(slot), column) => leaf.push(column, record, slot)?,
            (ItemReader::Message(reader), Some(slot), Column::Row(rows)) => {
                reader.append(record, slot.value as u32, rows, pieces)?;
            }
            _ => return Err(mismatch()),
        }
        pieces.truncate(before);
        Ok(match self.key.scalar {
            Scalar::Text => {
                let mut hasher = DefaultHasher::new();
                self.key_bytes(record, key).hash(&mut hasher);
                hasher.finish()
            }
            _ => self.key.number(key.map_or(0, |key| key.value)) as u64,
        })
    }

    fn scan_entry(
        &mut self,
        record: &[u8],
        slot: Slot,
        pieces: &mut Pieces,
    ) -> Result<(Option<Slot>, Option<Slot>), Fail> {
        let range = slot.range();
        self.scanner.begin();
        self.scanner.scan(record.get(..range.end).unwrap_or_default(), range.start, pieces)?;
        Ok((self.scanner.get(0), self.scanner.get(1)))
    }

    fn key_bytes<'a>(&self, record: &'a [u8], key: Option<Slot>) -> &'a [u8] {
        key.and_then(|key| record.get(key.range())).unwrap_or_default()
    }

    /// Some keys are equal: the last value of each counts, in the place of the first.
    #[cold]
    fn append_distinct(
        &mut self,
        record: &[u8],
        chain: u32,
        maps: &mut Maps,
        pieces: &mut Pieces,
    ) -> Result<(), Fail> {
        let mut entries: Vec<Slot> = Vec::new();
        let mut places: BTreeMap<(&[u8], i64), usize> = BTreeMap::new();
        let mut next = chain;
        while let Some((piece, behind)) = pieces.get(next) {
            let before = pieces.len();
            let (key, _) = self.scan_entry(record, piece.slot, pieces)?;
            pieces.truncate(before);
            let key = match self.key.scalar {
                Scalar::Text => (self.key_bytes(record, key), 0),
                _ => (&[][..], self.key.number(key.map_or(0, |key| key.value))),
            };
            let place = *places.entry(key).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => *entry = piece.slot,
                None => entries.push(piece.slot),
            }
            next = behind;
        }
        for slot in entries {
            self.append_entry(record, slot, maps, pieces)?;
        }
        Ok(())
    }
}
