//! Messages of a log (a Kafka topic): records that come one by one, each with a value and perhaps a key.
//!
//! ```text
//!   Chunk ─ Payload::Messages ─► values │{"id":1}│{"id":2}│ null │ …   one buffer, cut at `ends`
//!                                keys   │  k1    │  k2    │  k2  │ …   if the table or a dead letter wants them
//!                                offset │  40    │  41    │  45  │ …   may leave gaps
//! ```
//!
//! Invariants
//! - All messages of a chunk are of one partition, in the order of their offsets.
//! - `values` and `offsets` have an entry for each message; every other list has one for each, or none.

use std::ops::Range;

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Their keys, if somebody wants them.
    pub keys: Slices,
    /// Their offsets in the partition.
    pub offsets: Vec<i64>,
    /// Their timestamps, milliseconds since the epoch, if somebody wants them.
    pub timestamps: Vec<i64>,
    /// Whose clocks those are of.
    pub timestamp_types: Vec<TimestampType>,
    /// Their headers, if somebody wants them.
    pub headers: Vec<Vec<Header>>,
    /// The leader's epoch, if somebody wants it; -1: unknown.
    pub leader_epochs: Vec<i32>,
}

impl Messages {
    /// What stands beside the value of number `at`; what the lists don't hold is unknown.
    pub fn parts(&self, at: usize) -> MessageParts {
        MessageParts {
            key: self.keys.get(at).map(<[u8]>::to_vec),
            null_value: self.values.is_null(at),
            timestamp: self.timestamps.get(at).copied().unwrap_or(-1),
            timestamp_type: self.timestamp_types.get(at).copied().unwrap_or_default(),
            headers: self.headers.get(at).cloned().unwrap_or_default(),
            leader_epoch: self.leader_epochs.get(at).copied().unwrap_or(-1),
        }
    }
    /// Appends a message of these parts. False: there is no room for it, nothing was appended.
    #[must_use]
    pub fn push(&mut self, value: &[u8], offset: u64, parts: &MessageParts) -> bool {
        let key = parts.key.as_deref();
        let keys = self.keys.bytes().len().saturating_add(key.map_or(0, <[u8]>::len));
        let value = (!parts.null_value).then_some(value);
        if u32::try_from(keys).is_err() || !self.values.push(value) || !self.keys.push(key) {
            return false;
        }
        self.offsets.push(i64::try_from(offset).unwrap_or(i64::MAX));
        self.timestamps.push(parts.timestamp);
        self.timestamp_types.push(parts.timestamp_type);
        self.headers.push(parts.headers.clone());
        self.leader_epochs.push(parts.leader_epoch);
        true
    }
}

/// What stands beside a message's value: a dead letter keeps it, so that a replay reads what the run read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageParts {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value is null rather than empty.
    pub null_value: bool,
    /// Its timestamp, milliseconds since the epoch; -1: none.
    pub timestamp: i64,
    /// Whose clock that is of.
    pub timestamp_type: TimestampType,
    /// Its headers.
    pub headers: Vec<Header>,
    /// The leader's epoch; -1: unknown.
    pub leader_epoch: i32,
}

impl MessageParts {
    /// Appends them as bytes, for rows that carry their record along.
    ///
    /// ```text
    ///   │ 1: value is null │ timestamp: 8 │ type: 1 │ leader epoch: 4 │ key │ count: 4 │ headers
    ///   key, name, value: │ length: 4 (all bits: null) │ bytes │
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let slice = |bytes: Option<&[u8]>, out: &mut Vec<u8>| {
            let length = bytes.map_or(NULL, |it| u32::try_from(it.len()).unwrap_or(NULL));
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(bytes.unwrap_or_default());
        };
        out.push(u8::from(self.null_value));
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.push(match self.timestamp_type {
            TimestampType::NoTimestampType => 0,
            TimestampType::CreateTime => 1,
            TimestampType::LogAppendTime => 2,
        });
        out.extend_from_slice(&self.leader_epoch.to_le_bytes());
        slice(self.key.as_deref(), out);
        out.extend_from_slice(&u32::try_from(self.headers.len()).unwrap_or(0).to_le_bytes());
        for (name, value) in &self.headers {
            slice(Some(name.as_bytes()), out);
            slice(value.as_deref(), out);
        }
    }

    /// Reads what [`MessageParts::write`] wrote, and what stands behind it.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
            let (number, rest) = bytes.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*number), rest))
        }
        fn slice(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
            let (length, rest) = number(bytes)?;
            if length == NULL {
                return Some((None, rest));
            }
            let (slice, rest) = rest.split_at_checked(length as usize)?;
            Some((Some(slice), rest))
        }
        let (null_value, rest) = bytes.split_first()?;
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let (kind, rest) = rest.split_first()?;
        let (leader_epoch, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = slice(rest)?;
        let (count, mut rest) = number(rest)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name, behind) = slice(rest)?;
            let (value, behind) = slice(behind)?;
            let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
            headers.push((name, value.map(<[u8]>::to_vec)));
            rest = behind;
        }
        let parts = Self {
            key: key.map(<[u8]>::to_vec),
            null_value: *null_value != 0,
            timestamp: i64::from_le_bytes(*timestamp),
            timestamp_type: match kind {
                1 => TimestampType::CreateTime,
                2 => TimestampType::LogAppendTime,
                _ => TimestampType::NoTimestampType,
            },
            headers,
            leader_epoch: i32::from_le_bytes(*leader_epoch),
        };
        Some((parts, rest))
    }
}

/// The length of null.
const NULL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_from_their_bytes() {
        let parts = MessageParts {
            key: Some(Vec::new()),
            null_value: true,
            timestamp: 1_767_225_600_123,
            timestamp_type: TimestampType::LogAppendTime,
            headers: vec![("a".into(), Some(vec![0xff])), ("a".into(), None), (String::new(), Some(vec![]))],
            leader_epoch: 7,
        };
        let none = MessageParts {
            key: None,
            null_value: false,
            timestamp: -1,
            timestamp_type: TimestampType::NoTimestampType,
            headers: Vec::new(),
            leader_epoch: -1,
        };
        for parts in [parts, none] {
            let mut bytes = Vec::new();
            parts.write(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(b"record");
            assert_eq!(MessageParts::read(&bytes), Some((parts.clone(), &b"record"[..])));
            assert!((0..length).all(|end| MessageParts::read(&bytes[..end]).is_none()));

            let mut messages = Messages::default();
            assert!(messages.push(b"", 5, &parts));
            assert_eq!(messages.parts(0), parts);
        }
    }
}
