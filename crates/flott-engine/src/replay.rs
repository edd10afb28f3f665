//! Dead letters as a source, instead of a table's records.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use arrow::{
    array::{AsArray, BooleanArray, Int8Array},
    compute::{filter, filter_record_batch},
    error::ArrowError,
};
use flott_connector::{
    Change, Chunk, Decoded, Origin, Payload, ReadContext, SourceReader, SplitInfo, SplitTime,
};
use flott_types::{Code, Diagnostic, Result};

/// Records to read instead of a table: a replay of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Per source table: records with their bytes and where they came from. Tables that aren't
    /// named here read nothing.
    pub records: BTreeMap<String, Vec<(Vec<u8>, Origin)>>,
}

/// Gives out dead letters: those of each split in their order, and the splits in turn. As in the run that wrote them,
/// each split has a watermark of its own, so no row is late that wasn't then.
///
/// ```text
///   a[0] ■■■■■■   ─┐
///   a[1] ■■       ─┼─► a[0] ■■■ │ a[1] ■■ │ a[2] ■■■ │ a[0] ■■■ │ a[2] ■
///   a[2] ■■■■     ─┘        └ until here the watermark is held: not every split has been seen
/// ```
pub struct ReplayReader {
    splits: Vec<VecDeque<(Vec<u8>, Origin)>>,
    /// Whose turn it is.
    turn: usize,
    sequence: u64,
}

/// Records in a chunk of a replay.
const CHUNK_RECORDS: usize = 4096;

impl ReplayReader {
    /// The records for this source.
    pub fn new(source: &str, replay: &Replay) -> Self {
        let records = replay.records.get(source).cloned().unwrap_or_default();
        let mut splits: Vec<VecDeque<_>> = Vec::new();
        let mut places = HashMap::new();
        for (bytes, origin) in records {
            let place = *places.entry(origin.split.clone()).or_insert(splits.len());
            if place == splits.len() {
                splits.push(VecDeque::new());
            }
            splits[place].push_back((bytes, origin));
        }
        Self { splits, turn: 0, sequence: 0 }
    }
}

impl SourceReader for ReplayReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        let count = self.splits.len();
        let next = (self.turn..).take(count).map(|turn| turn % count).find(|at| !self.splits[*at].is_empty());
        let Some(at) = next.filter(|_| !context.stop.is_stopped()) else { return Ok(None) };
        self.turn = at + 1;
        let queue = &mut self.splits[at];
        let batch: Vec<_> = queue.drain(..queue.len().min(CHUNK_RECORDS)).collect();
        let sequence = self.sequence;
        self.sequence += 1;
        let time = SplitTime {
            split_number: u32::try_from(at).unwrap_or(u32::MAX),
            finished: queue.is_empty(),
            unopened: sequence + 1 < count as u64,
            ..SplitTime::default()
        };
        let bytes_in = batch.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let split = Arc::new(SplitInfo { name: "dead letters".into(), ..SplitInfo::default() });
        Ok(Some(Chunk { split, sequence, offset: 0, payload: Payload::Records(batch), bytes_in, time }))
    }
    fn position(&self) -> serde_json::Value {
        // A replay has no checkpoints.
        serde_json::Value::Null
    }
}

/// Of records that tell of several changes, the changes that the letters mean: the others have gone their way. If
/// the record now tells of no such change, all of it is meant.
///
/// # Errors
/// Only a bug of ours.
pub fn meant(decoded: Decoded, letters: &[(Vec<u8>, Origin)]) -> Result<Decoded> {
    let Some(kinds) = &decoded.kinds else { return Ok(decoded) };
    if letters.iter().all(|(_, origin)| origin.change.is_none()) {
        return Ok(decoded);
    }
    let places: Vec<Range<u32>> = match decoded.rows.is_empty() {
        true => (decoded.first_record..).take(kinds.len()).map(|at| at..at).collect(),
        false => decoded.rows.clone(),
    };
    let (mut keep, mut row) = (Vec::with_capacity(kinds.len()), 0);
    for record in places.chunk_by(|a, b| a == b) {
        let letter = record.first().and_then(|place| letters.get(place.start as usize));
        let change = letter.and_then(|(_, origin)| origin.change);
        let own = kinds.values().get(row..row + record.len()).unwrap_or_default();
        let place = change.and_then(|change| place_of(change, own));
        keep.extend((0..record.len()).map(|at| place.is_none_or(|place| place == at)));
        row += record.len();
    }
    let keep = BooleanArray::from(keep);
    let internal = |error: ArrowError| Diagnostic::error(Code::Internal, error.to_string());
    let kept: Int8Array = filter(kinds, &keep).map_err(internal)?.as_primitive().clone();
    let batch = filter_record_batch(&decoded.batch, &keep).map_err(internal)?;
    let gone = (places.len() - kept.len()) as u64;
    let rows = keep.values().set_indices().filter_map(|at| places.get(at).cloned()).collect();
    Ok(Decoded { batch, rows, kinds: Some(kept), read: decoded.read.saturating_sub(gone), ..decoded })
}

/// Where the change stands among those of its record.
fn place_of(change: Change, kinds: &[i8]) -> Option<usize> {
    let same = kinds.iter().enumerate().filter(|(_, kind)| **kind == change.kind.number());
    same.map(|(at, _)| at).nth(change.number as usize)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int32Array},
        record_batch::RecordBatch,
    };
    use flott_connector::{BufferPool, StopSignal, SystemClock};
    use flott_types::RowKind::{self, Insert, UpdateAfter, UpdateBefore};

    use super::*;

    #[test]
    fn each_split_has_its_own_place_in_time() {
        let letter = |split: &str| (Vec::new(), Origin { split: split.into(), ..Origin::default() });
        let of = |split: &'static str, count| (0..count).map(move |_| letter(split));
        let records = of("a", CHUNK_RECORDS + 1).chain(of("b", 2)).chain(of("a", 1)).collect();
        let replay = Replay { records: BTreeMap::from([("t".to_string(), records)]) };
        let mut reader = ReplayReader::new("t", &replay);
        let context = ReadContext {
            buffers: BufferPool::default(),
            stop: StopSignal::new(),
            clock: Arc::new(SystemClock::new()),
            idle_timeout: None,
        };
        let mut seen = Vec::new();
        while let Some(chunk) = reader.next_chunk(&context).unwrap() {
            let Payload::Records(records) = chunk.payload else { unreachable!() };
            let SplitTime { split_number, finished, unopened, .. } = chunk.time;
            seen.push((split_number, records.len(), finished, unopened));
        }
        assert_eq!(seen, [(0, CHUNK_RECORDS, false, true), (1, 2, true, false), (0, 2, true, false)]);
    }

    #[test]
    fn only_the_change_that_failed_is_replayed() {
        // An update of two rows, of which the second one's new row failed; an update, all of which is meant; an
        // insert that was something else when it failed.
        let rows = [(0, UpdateBefore), (0, UpdateAfter), (0, UpdateBefore), (0, UpdateAfter)];
        let rows = [&rows[..], &[(1, UpdateBefore), (1, UpdateAfter), (2, Insert)]].concat();
        let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..7));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let decoded = Decoded {
            rows: rows.iter().map(|(record, _)| *record..*record).collect(),
            kinds: Some(rows.iter().map(|(_, kind)| kind.number()).collect::<Vec<_>>().into()),
            ..Decoded::all(batch, 0)
        };
        let letter = |change: Option<(RowKind, u32)>| {
            let change = change.map(|(kind, number)| Change { kind, number });
            (Vec::new(), Origin { change, ..Origin::default() })
        };
        let letters = [letter(Some((UpdateAfter, 1))), letter(None), letter(Some((UpdateAfter, 0)))];
        let meant = meant(decoded, &letters).unwrap();
        let left: &Int32Array = meant.batch.column(0).as_primitive();
        assert_eq!(left.values(), &[3, 4, 5, 6]);
        assert_eq!((meant.rows, meant.read), (vec![0..0, 1..1, 1..1, 2..2], 4));
    }
}
