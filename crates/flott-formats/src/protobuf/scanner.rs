//! Where the fields of a message lie.
//!
//! ```text
//!   bytes   08 96 01 │ 12 02 68 69 │ 08 07 │ 1a 00 │ 1a 00
//!   slots   field 1: 7 (the last one counts)
//!           field 2: bytes 5..7
//!           field 3: a chain of pieces, one for each time it comes
//! ```
//!
//! Columns are filled from the slots afterwards, so fields may come in any order, again and again, and
//! interleaved: of scalars the last one counts, messages are merged, lists go on, and a member of a `oneof`
//! takes the place of another. A value whose wire type isn't its field's is as unknown as one whose number
//! nobody knows: both are skipped.

use std::sync::Arc;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::{
    failure::Fail,
    plan::{Item, MessagePlan, Names, Shape},
    wire::{self, Wire},
};

/// No slot, no piece.
pub(super) const NONE: u32 = u32::MAX;
/// Numbers of fields up to this one are looked up directly.
const DENSE_MAX: u32 = 512;

/// What came for a field.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    /// The message it came with.
    pub stamp: u64,
    /// The number; of bytes where they start; of a chain its first piece.
    pub value: u64,
    /// Of bytes how many; of a chain its last piece.
    pub length: u32,
}

impl Slot {
    /// Where its bytes lie.
    #[inline(always)]
    pub fn range(self) -> std::ops::Range<usize> {
        let start = self.value as usize;
        start..start + self.length as usize
    }
}

/// One time that a field came that may come several times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub slot: Slot,
    pub wire: Wire,
    next: u32,
}

/// Pieces of one record, messages within it included.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
    /// Forgets those behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Piece number `at`, and the number of the next one in its chain.
    #[inline]
    pub fn get(&self, at: u32) -> Option<(Piece, u32)> {
        self.0.get(at as usize).map(|piece| (*piece, piece.next))
    }
    /// Appends to the chain in the slot, or starts one.
    #[inline]
    fn append(&mut self, chain: &mut Slot, stamp: u64, slot: Slot, wire: Wire) {
        let number = self.0.len() as u32;
        self.0.push(Piece { slot, wire, next: NONE });
        match self.0.get_mut(chain.length as usize).filter(|_| chain.stamp == stamp) {
            Some(last) => last.next = number,
            None => chain.value = u64::from(number),
        }
        (chain.stamp, chain.length) = (stamp, number);
    }
}

/// What to do with a field.
#[derive(Debug)]
struct Entry {
    slot: u32,
    wire: Wire,
    /// It may come several times, and each of them counts.
    chain: bool,
    /// Several numbers may come as bytes.
    packable: bool,
    /// Numbers that are no values of the enum don't count.
    closed: Option<Arc<Names>>,
    /// The other members of its `oneof`.
    clears: Vec<u32>,
}

/// Scans messages of one type.
#[derive(Debug)]
pub(super) struct Scanner {
    entries: Vec<Entry>,
    /// By number of field: position in `entries`, or `u16::MAX`.
    dense: Vec<u16>,
    sparse: Vec<(u32, u16)>,
    slots: Vec<Slot>,
    stamp: u64,
    /// Fields that must come, and their slots.
    required: Vec<(String, u32)>,
}

impl Scanner {
    /// A scanner for the fields of the plan; slot i is that of column i.
    pub fn of(plan: &MessagePlan) -> Self {
        let mut scanner = Self::empty(plan.fields.len());
        for (slot, column) in plan.fields.iter().enumerate() {
            if let Some(field) = &column.field {
                let closed = match &column.shape {
                    Shape::Leaf(leaf) | Shape::List(Item::Leaf(leaf)) => leaf.names.clone(),
                    _ => None,
                };
                scanner.add(field, slot as u32, closed);
            }
        }
        scanner.add_others(&plan.descriptor, plan);
        scanner
    }

    /// A scanner for the entries of a map: slot 0 for the key, slot 1 for the value.
    pub fn of_entry(entry: &MessageDescriptor) -> Self {
        let mut scanner = Self::empty(2);
        scanner.add(&entry.map_entry_key_field(), 0, None);
        scanner.add(&entry.map_entry_value_field(), 1, None);
        scanner
    }

    fn empty(slots: usize) -> Self {
        Self {
            entries: Vec::new(),
            dense: Vec::new(),
            sparse: Vec::new(),
            slots: vec![Slot::default(); slots],
            stamp: 0,
            required: Vec::new(),
        }
    }

    /// Fields that no column reads and that count nevertheless.
    fn add_others(&mut self, descriptor: &MessageDescriptor, plan: &MessagePlan) {
        let wanted = |field: &FieldDescriptor| {
            plan.fields.iter().position(|column| column.field.as_ref() == Some(field)).map(|at| at as u32)
        };
        for field in descriptor.fields() {
            let slot = wanted(&field);
            if field.cardinality() == Cardinality::Required {
                let slot = slot.unwrap_or_else(|| {
                    self.slots.push(Slot::default());
                    let slot = self.slots.len() as u32 - 1;
                    self.add(&field, slot, None);
                    slot
                });
                self.required.push((field.name().to_string(), slot));
            }
        }
        for group in descriptor.oneofs().filter(|group| group.fields().len() > 1) {
            let members: Vec<u32> = group.fields().filter_map(|field| wanted(&field)).collect();
            for field in group.fields().filter(|_| !members.is_empty()) {
                let own = wanted(&field);
                if own.is_none() {
                    self.add(&field, NONE, None);
                }
                let others = members.iter().copied().filter(|slot| Some(*slot) != own).collect();
                let entry = self.position(field.number()).and_then(|at| self.entries.get_mut(at));
                if let Some(entry) = entry {
                    entry.clears = others;
                }
            }
        }
    }

    fn add(&mut self, field: &FieldDescriptor, slot: u32, names: Option<Arc<Names>>) {
        let position = self.entries.len() as u16;
        let kind = field.kind();
        let wire = match (field.is_group(), &kind) {
            (true, _) => Wire::Group,
            (_, Kind::Message(_)) => Wire::Bytes,
            (_, kind) => match kind.wire_type() {
                prost_reflect::prost::encoding::WireType::Varint => Wire::Varint,
                prost_reflect::prost::encoding::WireType::SixtyFourBit => Wire::Fixed64,
                prost_reflect::prost::encoding::WireType::ThirtyTwoBit => Wire::Fixed32,
                _ => Wire::Bytes,
            },
        };
        let repeated = field.cardinality() == Cardinality::Repeated;
        self.entries.push(Entry {
            slot,
            wire,
            chain: repeated || matches!(kind, Kind::Message(_)),
            packable: repeated && wire != Wire::Bytes && wire != Wire::Group,
            closed: names.filter(|names| names.closed),
            clears: Vec::new(),
        });
        let number = field.number();
        if number <= DENSE_MAX {
            let len = self.dense.len().max(number as usize + 1);
            self.dense.resize(len, u16::MAX);
            if let Some(place) = self.dense.get_mut(number as usize) {
                *place = position;
            }
        } else {
            self.sparse.push((number, position));
            self.sparse.sort_unstable();
        }
    }

    #[inline(always)]
    fn position(&self, number: u32) -> Option<usize> {
        if let Some(at) = self.dense.get(number as usize) {
            return Some(usize::from(*at));
        }
        if self.sparse.is_empty() {
            return None;
        }
        let at = self.sparse.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.sparse.get(at).map(|(_, at)| usize::from(*at))
    }

    /// A new message begins.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.stamp += 1;
    }

    /// What came for a slot.
    #[inline(always)]
    pub fn get(&self, slot: usize) -> Option<Slot> {
        self.slots.get(slot).copied().filter(|slot| slot.stamp == self.stamp)
    }

    /// The first field that must come and didn't.
    #[inline]
    pub fn lacking(&self) -> Option<&str> {
        let lacks = |(_, slot): &&(String, u32)| self.get(*slot as usize).is_none();
        self.required.iter().find(lacks).map(|(name, _)| name.as_str())
    }

    /// Notes what comes from `at` to the end of the window; may be called several times for one message.
    #[inline]
    pub fn scan(&mut self, window: &[u8], mut at: usize, pieces: &mut Pieces) -> Result<(), Fail> {
        while at < window.len() {
            let (number, wire, behind) = wire::tag(window, at)?;
            let entry = self.position(number).and_then(|at| self.entries.get(at));
            let Some(entry) = entry.filter(|it| it.wire == wire || (it.packable && wire == Wire::Bytes))
            else {
                at = wire::skip(window, number, wire, behind)?;
                continue;
            };
            let (value, length, end) = match wire {
                Wire::Varint => {
                    let (value, end) = wire::varint(window, behind)?;
                    (value, 0, end)
                }
                Wire::Bytes => {
                    let (start, end) = wire::bytes(window, behind)?;
                    (start as u64, (end - start) as u32, end)
                }
                Wire::Fixed64 => {
                    let (value, end) = wire::fixed64(window, behind)?;
                    (value, 0, end)
                }
                Wire::Fixed32 => {
                    let (value, end) = wire::fixed32(window, behind)?;
                    (value, 0, end)
                }
                wire => (0, 0, wire::skip(window, number, wire, behind)?),
            };
            at = end;
            if let Some(names) = &entry.closed
                && wire == Wire::Varint
                && names.name(value as i32).is_none()
            {
                continue;
            }
            for other in &entry.clears {
                if let Some(slot) = self.slots.get_mut(*other as usize) {
                    slot.stamp = 0;
                }
            }
            let Some(slot) = self.slots.get_mut(entry.slot as usize) else { continue };
            let found = Slot { stamp: self.stamp, value, length };
            if entry.chain {
                pieces.append(slot, self.stamp, found, wire);
            } else {
                *slot = found;
            }
        }
        Ok(())
    }
}
