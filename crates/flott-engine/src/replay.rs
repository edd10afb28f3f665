//! Dead letters as a source, instead of a table's records.

use std::{collections::BTreeMap, sync::Arc};

use flott_connector::{Chunk, Origin, Payload, ReadContext, SourceReader, SplitInfo, SplitTime};
use flott_types::Result;

/// Records to read instead of a table: a replay of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Per source table: records with their bytes and where they came from. Tables that aren't
    /// named here read nothing.
    pub records: BTreeMap<String, Vec<(Vec<u8>, Origin)>>,
}

/// Gives out dead letters.
pub struct ReplayReader {
    records: Vec<(Vec<u8>, Origin)>,
    sequence: u64,
}

/// Records in a chunk of a replay.
const CHUNK_RECORDS: usize = 4096;

impl ReplayReader {
    /// The records for this source.
    pub fn new(source: &str, replay: &Replay) -> Self {
        let mut records = replay.records.get(source).cloned().unwrap_or_default();
        records.reverse();
        Self { records, sequence: 0 }
    }
}

impl SourceReader for ReplayReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        if self.records.is_empty() || context.stop.is_stopped() {
            return Ok(None);
        }
        let mut batch = self.records.split_off(self.records.len().saturating_sub(CHUNK_RECORDS));
        batch.reverse();
        let sequence = self.sequence;
        self.sequence += 1;
        let bytes_in = batch.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let split = Arc::new(SplitInfo { name: "dead letters".into(), ..SplitInfo::default() });
        let time = SplitTime { finished: self.records.is_empty(), ..SplitTime::default() };
        Ok(Some(Chunk { split, sequence, offset: 0, payload: Payload::Records(batch), bytes_in, time }))
    }
    fn position(&self) -> serde_json::Value {
        // A replay has no checkpoints.
        serde_json::Value::Null
    }
}
