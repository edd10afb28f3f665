//! Rows as messages, before they go to the producer.
//!
//! ```text
//!   batch ─┬─ columns of the key ───► key's encoder ───► keys      │k0│k1│k2│
//!   kinds  ├─ columns of the value ─► value's encoder ─► values    │v0│v2│        row 1 is deleted:
//!          └─ timestamp, headers, topic                value_of  │ 0│ −│ 1│      no value, a tombstone
//! ```

use arrow::{
    array::{BooleanArray, Int8Array},
    compute::filter_record_batch,
    record_batch::RecordBatch,
};
use flott_connector::{Encoder, Header, Slices};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Result, RowKind};

use super::metadata::{self, Metadata};
use crate::{
    client::{Outgoing, TOMBSTONE, TopicId},
    options::layout::{Layout, Part},
};

/// What a message takes beside its bytes: its place in each list, and librdkafka's note of it.
const MESSAGE_BYTES: usize = 64;

/// Messages on their way to the producer.
#[derive(Default)]
pub(crate) struct Bundle {
    count: usize,
    values: Slices,
    value_of: Vec<u32>,
    keys: Slices,
    timestamps: Vec<i64>,
    headers: Vec<Vec<Header>>,
    /// Of all of them.
    header_bytes: usize,
    topics: Vec<TopicId>,
    /// The first one that the producer hasn't taken.
    pub next: usize,
}

impl Bundle {
    /// What it takes in memory, about: a tombstone without a key takes something, too.
    pub(crate) fn bytes(&self) -> usize {
        let each = self.count.saturating_mul(MESSAGE_BYTES);
        self.values.bytes().len() + self.keys.bytes().len() + self.header_bytes + each
    }
    pub(crate) fn is_through(&self) -> bool {
        self.next >= self.count
    }
    pub(crate) fn outgoing(&self, fixed: Option<usize>) -> Outgoing<'_> {
        Outgoing {
            count: self.count,
            values: &self.values,
            value_of: &self.value_of,
            keys: &self.keys,
            timestamps: &self.timestamps,
            headers: &self.headers,
            topics: &self.topics,
            fixed,
        }
    }
    /// Empties it, keeps its buffers.
    fn clear(&mut self) {
        self.values.clear();
        self.keys.clear();
        self.value_of.clear();
        self.timestamps.clear();
        self.headers.clear();
        self.topics.clear();
        (self.count, self.next, self.header_bytes) = (0, 0, 0);
    }
}

/// A part of the row, and what writes it.
struct PartEncoder {
    encoder: Box<dyn Encoder>,
    columns: Vec<usize>,
}

impl PartEncoder {
    fn new(part: &Part, context: &EvalContext) -> Result<Self> {
        Ok(Self { encoder: part.format.encoder(&part.request(), context)?, columns: part.columns.clone() })
    }
    fn encode(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>, out: &mut Slices) -> Result<()> {
        let part = batch.project(&self.columns).map_err(|error| internal(&error))?;
        let before = out.len();
        self.encoder.encode_messages(&part, kinds, out)?;
        if out.len() - before == batch.num_rows() {
            return Ok(());
        }
        Err(Diagnostic::error(Code::Internal, "a format has not made one message of each row"))
    }
}

fn internal(error: &dyn std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("columns of a sink: {error}"))
}

/// Makes messages of rows. One per shard.
pub(crate) struct Encoding {
    key: Option<PartEncoder>,
    value: PartEncoder,
    metadata: Metadata,
    /// Rows stand for their keys: what retracts is a tombstone.
    upsert: bool,
}

/// Finds a topic by its name, for rows that say where they go.
pub(crate) type FindTopic<'a> = &'a mut dyn FnMut(Option<&str>) -> Result<TopicId>;

impl Encoding {
    pub(crate) fn new(layout: &Layout, upsert: bool, context: &EvalContext) -> Result<Self> {
        let key = layout.key.as_ref().map(|key| PartEncoder::new(key, context)).transpose()?;
        let value = PartEncoder::new(&layout.value, context)?;
        Ok(Self { key, value, metadata: Metadata::new(&layout.metadata), upsert })
    }

    /// The keys alone, appended.
    pub(crate) fn keys(&mut self, batch: &RecordBatch, out: &mut Slices) -> Result<()> {
        self.key.as_mut().map_or(Ok(()), |key| key.encode(batch, None, out))
    }

    /// Fills the bundle with messages, one of each row.
    pub(crate) fn encode(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        find: FindTopic<'_>,
        bundle: &mut Bundle,
    ) -> Result<()> {
        bundle.clear();
        self.keys(batch, &mut bundle.keys)?;
        let retracts = kinds.filter(|_| self.upsert).map(retracted).filter(|it| it.true_count() > 0);
        match retracts {
            Some(retracts) => self.with_tombstones(batch, &retracts, bundle)?,
            None => self.value.encode(batch, kinds.filter(|_| !self.upsert), &mut bundle.values)?,
        }
        bundle.count = batch.num_rows();
        metadata::timestamps(self.metadata.timestamp.map(|at| batch.column(at)), &mut bundle.timestamps)?;
        metadata::headers(self.metadata.headers.map(|at| batch.column(at)), &mut bundle.headers)?;
        bundle.header_bytes = bundle.headers.iter().flatten().map(header_bytes).sum();
        metadata::topics(self.metadata.topic.map(|at| batch.column(at)), find, &mut bundle.topics)
    }

    fn with_tombstones(
        &mut self,
        batch: &RecordBatch,
        retracts: &BooleanArray,
        bundle: &mut Bundle,
    ) -> Result<()> {
        let mut number = 0;
        bundle.value_of.extend(retracts.values().iter().map(|retracts| {
            let it = if retracts { TOMBSTONE } else { number };
            number += u32::from(!retracts);
            it
        }));
        let kept = BooleanArray::new(!retracts.values(), None);
        let kept = filter_record_batch(batch, &kept).map_err(|error| internal(&error))?;
        self.value.encode(&kept, None, &mut bundle.values)
    }
}

fn header_bytes((name, value): &Header) -> usize {
    name.len() + value.as_ref().map_or(0, Vec::len)
}

/// Which rows take something away.
pub(crate) fn retracted(kinds: &Int8Array) -> BooleanArray {
    let retracts = |kind: &i8| RowKind::of(*kind).is_some_and(RowKind::retracts);
    BooleanArray::from(kinds.values().iter().map(retracts).collect::<Vec<bool>>())
}

/// A message of a single value, for tokens.
pub(crate) fn single(key: &[u8], value: &[u8], topic: TopicId) -> Option<Bundle> {
    let mut bundle = Bundle { count: 1, topics: vec![topic], ..Bundle::default() };
    (bundle.keys.push(Some(key)) && bundle.values.push(Some(value))).then_some(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_and_headers_take_room() {
        let count = 1000;
        let tombstones = Bundle { count, value_of: vec![TOMBSTONE; count], ..Bundle::default() };
        assert_eq!(tombstones.bytes(), count * MESSAGE_BYTES);
        assert_eq!(header_bytes(&("trace".into(), Some(vec![0; 100]))), 105);
        assert_eq!(header_bytes(&("trace".into(), None)), 5);
    }
}
