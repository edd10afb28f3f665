//! A checkpoint's manifest: all that is needed to go on from it.
//!
//! ```text
//!   {"kind":"manifest","format":1,"number":7, … }        one line of JSON
//!   3b0c44c5f1d2a6e9                                     XXH3-64 of that line, in hex
//! ```
//! Any flipped or missing byte is found. A claim (see [`crate::sequence`]) is written in the same
//! way.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash3_64;

use crate::buckets::LiveBucket;

/// The format that this build writes; it reads this and older ones.
pub const FORMAT: u32 = 1;

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format it is written in.
    pub format: u32,
    /// Its number in the sequence.
    pub number: u64,
    /// The generation of the run that wrote it.
    pub generation: u64,
    /// The number of the checkpoint before it; 0 for the first.
    pub parent: u64,
    /// The nonce of the run that wrote it.
    pub nonce: u64,
    /// The job's name.
    pub job: String,
    /// The barrier it belongs to: rises also with barriers whose checkpoint failed.
    pub epoch: u64,
    /// How many key groups the job has.
    pub key_groups: u16,
    /// When it was made, in microseconds since 1970.
    pub created_micros: i64,
    /// Whether the job had read all its input.
    pub finished: bool,
    /// The operators' ids, in the plan's order.
    pub plan: Vec<String>,
    /// Positions of the sources, by source.
    pub sources: BTreeMap<String, Value>,
    /// State, by operator.
    pub operators: BTreeMap<String, OperatorEntry>,
    /// What the sinks have prepared and will commit, by sink.
    pub sinks: BTreeMap<String, Vec<Value>>,
    /// Counters of rows.
    pub counters: Value,
    /// Dead letters prepared and to be committed.
    pub letters: Vec<Value>,
}

impl Manifest {
    /// A manifest with nothing in it. Number, generation, parent and nonce are set when it is
    /// published.
    pub fn new(job: &str, key_groups: u16, epoch: u64, created_micros: i64) -> Self {
        Self {
            format: FORMAT,
            number: 0,
            generation: 0,
            parent: 0,
            nonce: 0,
            job: job.to_owned(),
            epoch,
            key_groups,
            created_micros,
            finished: false,
            plan: Vec::new(),
            sources: BTreeMap::new(),
            operators: BTreeMap::new(),
            sinks: BTreeMap::new(),
            counters: Value::Null,
            letters: Vec::new(),
        }
    }

    /// Every block, with its operator and table.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, &str, &BlockRef)> {
        self.operators.iter().flat_map(|(operator, entry)| {
            entry.tables.iter().flat_map(move |(table, entry)| {
                entry.blocks.iter().map(move |block| (operator.as_str(), table.as_str(), block))
            })
        })
    }

    /// The names of the segments it needs.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.blocks().filter(|(_, _, block)| block.bytes > 0).map(|(_, _, block)| block.segment.as_str())
    }

    /// Bytes of state that it names.
    pub fn state_bytes(&self) -> u64 {
        self.blocks().map(|(_, _, block)| block.bytes).sum()
    }
}

/// One operator's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// Small values, one map for each shard that wrote any.
    pub values: Vec<Map<String, Value>>,
    /// Tables, by name.
    pub tables: BTreeMap<String, TableEntry>,
}

/// One table's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its blocks, oldest first.
    pub blocks: Vec<BlockRef>,
    /// For a table in buckets: which live, by the groups of the shard that says so.
    pub live_buckets: Option<Vec<LiveBuckets>>,
    /// How many rows lived in it.
    pub rows: u64,
}

/// The buckets that live in a range of groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveBuckets {
    /// The groups.
    pub groups: GroupRange,
    /// The buckets, rising.
    pub buckets: Vec<LiveBucket>,
}

impl LiveBuckets {
    /// Whether a row written in an epoch is still there.
    pub(crate) fn lives(&self, group: u16, bucket: i64, epoch: u64) -> bool {
        self.groups.range().contains(&group)
            && self
                .buckets
                .binary_search_by_key(&bucket, |live| live.0)
                .ok()
                .and_then(|at| self.buckets.get(at))
                .is_some_and(|live| live.1 <= epoch)
    }
}

/// A half-open range of key groups: `[start, end]` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRange(
    /// The first group.
    pub u16,
    /// One past the last.
    pub u16,
);

impl GroupRange {
    /// As a range.
    pub fn range(&self) -> Range<u16> {
        self.0..self.1
    }

    /// How many groups.
    pub fn count(&self) -> u64 {
        u64::from(self.1.saturating_sub(self.0))
    }

    /// How many groups are in both.
    pub fn common(&self, other: &GroupRange) -> u64 {
        u64::from(self.1.min(other.1).saturating_sub(self.0.max(other.0)))
    }

    /// Whether a group is in both.
    pub fn overlaps(&self, other: &GroupRange) -> bool {
        self.common(other) > 0
    }
}

impl From<&Range<u16>> for GroupRange {
    fn from(range: &Range<u16>) -> Self {
        GroupRange(range.start, range.end)
    }
}

/// Where a block of state lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockRef {
    /// The segment's name; empty for a block without bytes.
    pub segment: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; 0 for a mark that its groups were written in full and had no row.
    pub bytes: u64,
    /// XXH3-64 of the bytes.
    pub checksum: u64,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// The groups it may hold rows of; of a full block exactly those it replaces.
    pub groups: GroupRange,
    /// Whether it holds all rows of its groups, so that earlier blocks don't count for them.
    pub full: bool,
    /// Rows and tombstones.
    pub rows: u64,
    /// The lowest and the highest bucket of its rows.
    pub buckets: Option<(i64, i64)>,
}

/// Why an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The bytes aren't what was written.
    Damaged(String),
    /// A newer build wrote it.
    Newer(u32),
}

/// One line of JSON with its kind, and its checksum.
pub(crate) fn seal<T: Serialize>(kind: &str, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("kind".to_owned(), kind.into());
    }
    let mut bytes = serde_json::to_vec(&value)?;
    let sum = XxHash3_64::oneshot(&bytes);
    bytes.extend_from_slice(format!("\n{sum:016x}\n").as_bytes());
    Ok(bytes)
}

/// Checks the sum and gives the JSON back.
pub(crate) fn unseal(bytes: &[u8]) -> Result<Value, Unreadable> {
    let damaged = |what: &str| Unreadable::Damaged(what.to_owned());
    let tail = bytes.len().checked_sub(18).ok_or_else(|| damaged("it is too short"))?;
    let (body, tail) = bytes.split_at(tail);
    let sum = format!("\n{:016x}\n", XxHash3_64::oneshot(body));
    if tail != sum.as_bytes() {
        return Err(damaged("its checksum does not fit its content"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
    let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
    if format > u64::from(FORMAT) {
        return Err(Unreadable::Newer(format as u32));
    }
    Ok(value)
}

/// The JSON as a value of a kind.
pub(crate) fn open<T: DeserializeOwned>(value: Value) -> Result<T, Unreadable> {
    serde_json::from_value(value).map_err(|error| Unreadable::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_found() {
        let mut manifest = Manifest::new("orders", 128, 3, 1_700_000_000_000_000);
        manifest.sources.insert("bids".to_owned(), serde_json::json!({"offset": u64::MAX}));
        let bytes = seal("manifest", &manifest).unwrap();
        assert_eq!(open::<Manifest>(unseal(&bytes).unwrap()).unwrap(), manifest);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(unseal(&flipped).is_err(), "byte {at}");
            assert!(unseal(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut manifest = Manifest::new("orders", 128, 3, 0);
        manifest.format = FORMAT + 1;
        let bytes = seal("manifest", &manifest).unwrap();
        assert_eq!(unseal(&bytes), Err(Unreadable::Newer(FORMAT + 1)));
    }
}
