//! Messages of a log (a Kafka topic): records that come one by one, each with a value and perhaps a key.
//!
//! ```text
//!   Chunk ─ Payload::Messages ─► values │{"id":1}│{"id":2}│ null │ …   one buffer, cut at `ends`
//!                                keys   │  k1    │  k2    │  k2  │ …   only if the table reads them
//!                                offset │  40    │  41    │  45  │ …   may leave gaps
//! ```
//!
//! Invariants
//! - All messages of a chunk are of one partition, in the order of their offsets.
//! - `values` and `offsets` have an entry for each message; every other list has one for each, or none.

use std::ops::Range;

/// Byte strings one behind the other in one buffer; each may be null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slices {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<u32>,
    /// Which are null; empty: none.
    nulls: Vec<bool>,
}

impl Slices {
    /// None yet, in a buffer used before.
    pub fn in_buffer(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ends: Vec::new(), nulls: Vec::new() }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// All bytes, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Where number `at` lies in [`Slices::bytes`]; empty for null, and behind the last one.
    pub fn range(&self, at: usize) -> Range<usize> {
        let start = at.checked_sub(1).and_then(|it| self.ends.get(it)).map_or(0, |end| *end as usize);
        start..self.ends.get(at).map_or(start, |end| *end as usize)
    }
    /// Number `at`; none: null, or there is no such number.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        if at >= self.len() || self.is_null(at) {
            return None;
        }
        self.bytes.get(self.range(at))
    }
    /// Whether number `at` is null.
    pub fn is_null(&self, at: usize) -> bool {
        self.nulls.get(at).copied().unwrap_or(false)
    }
    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|at| self.get(at))
    }
    /// Appends one. False: the buffer would grow beyond 4 GiB, nothing was appended.
    #[must_use]
    pub fn push(&mut self, value: Option<&[u8]>) -> bool {
        let Some(end) = u32::try_from(self.bytes.len() + value.map_or(0, <[u8]>::len)).ok() else {
            return false;
        };
        match value {
            Some(value) => {
                self.bytes.extend_from_slice(value);
                if !self.nulls.is_empty() {
                    self.nulls.push(false);
                }
            }
            None => {
                self.nulls.resize(self.ends.len(), false);
                self.nulls.push(true);
            }
        }
        self.ends.push(end);
        true
    }
    /// The buffer, for encoders that write a value in place: append to it, then call [`Slices::end`].
    pub fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
    /// What was appended to [`Slices::open`] since the last one is the next one. False: the buffer has grown
    /// beyond 4 GiB; what was appended is taken away again.
    #[must_use]
    pub fn end(&mut self) -> bool {
        let Ok(end) = u32::try_from(self.bytes.len()) else {
            self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
            return false;
        };
        if !self.nulls.is_empty() {
            self.nulls.push(false);
        }
        self.ends.push(end);
        true
    }
    /// Forgets all of them, keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls.clear();
    }
    /// The buffer, for reuse.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whose clock a message's timestamp is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The message has none.
    #[default]
    NoTimestampType,
    /// The producer's.
    CreateTime,
    /// The log's.
    LogAppendTime,
}

/// A header of a message: name and value.
pub type Header = (String, Option<Vec<u8>>);

/// Messages of one partition.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// Their values; null is a deletion, where keys mean anything.
    pub values: Slices,
    /// Their keys, if the table reads them.
    pub keys: Slices,
    /// Their offsets in the partition.
    pub offsets: Vec<i64>,
    /// Their timestamps, milliseconds since the epoch, if the table reads them.
    pub timestamps: Vec<i64>,
    /// Whose clocks those are of.
    pub timestamp_types: Vec<TimestampType>,
    /// Their headers, if the table reads them.
    pub headers: Vec<Vec<Header>>,
    /// The leader's epoch, if the table reads it; -1: unknown.
    pub leader_epochs: Vec<i32>,
}
