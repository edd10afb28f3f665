//! A segment: the state that one shard writes for one checkpoint, in one file.
//!
//! ```text
//!   FLOTTSEG 1\n… │ block │ block │ block │ …           each block an Arrow IPC stream
//!        16 bytes   ▲
//!                   └ the manifest says: offset, length, checksum, operator, table, groups
//! ```
//! A segment cannot be read without a manifest, and isn't needed once no manifest names it. Its
//! name holds generation, number, epoch and shard and is never used twice.
//!
//! Blocks aren't compressed. For counters by key, zstd at level 1 makes a third of the bytes at
//! about 270 MB/s a core, and a local disk takes the bytes faster than that.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, UInt16Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Map, Value};
use twox_hash::XxHash3_64;

use crate::arrow_failed;
use crate::buckets::LiveBucket;
use crate::chain;
use crate::manifest::{BlockRef, GroupRange, Manifest, OperatorEntry};
use crate::snapshot::{OperatorSnapshot, TableSnapshot};
use crate::storage::{Storage, StorageError, StorageResult};

const MAGIC: &[u8; 16] = b"FLOTTSEG 1\n\0\0\0\0\0";

/// Batches smaller than this are joined before they are written.
const JOIN_ROWS: usize = 1 << 16;

/// What a shard wrote for a checkpoint: the file, and what the manifest says of it.
#[derive(Debug)]
pub struct Segment {
    /// Its name in the storage.
    pub name: String,
    /// Its bytes; none if nothing changed, and then it needn't be written.
    pub bytes: Vec<u8>,
    /// What the manifest says of it.
    pub part: ShardPart,
}

/// One shard's part of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardPart {
    /// The groups that the shard owns.
    pub groups: GroupRange,
    /// By operator.
    pub operators: BTreeMap<String, OperatorPart>,
}

/// One operator's share of a shard's part.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorPart {
    /// Small values.
    pub values: Map<String, Value>,
    /// Tables, by name.
    pub tables: BTreeMap<String, TablePart>,
}

/// One table's share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TablePart {
    /// New blocks, oldest first.
    pub blocks: Vec<BlockRef>,
    /// The buckets that live, for a table in buckets.
    pub live: Option<Vec<LiveBucket>>,
    /// How many rows live in the table.
    pub rows: u64,
}

impl OperatorPart {
    /// What it says of the present is forgotten: a later part says it better.
    pub fn forget_present(&mut self) {
        self.values.clear();
        for table in self.tables.values_mut() {
            (table.live, table.rows) = (None, 0);
        }
    }

    /// The same without what has changed: nothing has.
    #[must_use]
    pub fn unchanged(&self) -> Self {
        let mut part = self.clone();
        part.tables.values_mut().for_each(|table| table.blocks.clear());
        part
    }

    /// Bytes of its blocks.
    pub fn bytes(&self) -> u64 {
        self.tables.values().flat_map(|table| &table.blocks).map(|block| block.bytes).sum()
    }

    /// The state that it is by itself, if it holds all of some groups.
    pub fn entry(&self, groups: &Range<u16>) -> OperatorEntry {
        let part = ShardPart {
            groups: GroupRange::from(groups),
            operators: BTreeMap::from([(String::new(), self.clone())]),
        };
        chain::advance(None, &[part]).remove("").unwrap_or_default()
    }
}

/// A file that goes when nobody needs it any more.
#[derive(Debug)]
pub struct ScratchFile {
    storage: Arc<dyn Storage>,
    name: String,
}

impl ScratchFile {
    /// Writes one.
    ///
    /// # Errors
    /// The storage's.
    pub fn write(storage: &Arc<dyn Storage>, name: String, bytes: &[u8]) -> StorageResult<Self> {
        storage.write(&name, bytes)?;
        Ok(Self { storage: storage.clone(), name })
    }

    /// Where it lies.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // What stays goes with its directory.
        let _ = self.storage.delete(&self.name);
    }
}

/// What a slice of an operator hands over for a checkpoint: a segment of its own, which waits in a file.
#[derive(Debug, Clone)]
pub struct SpilledPart {
    /// The slice's groups.
    pub groups: GroupRange,
    /// What a manifest says of it, but for the segment's name.
    pub part: OperatorPart,
    /// Its bytes; none if nothing has changed.
    pub file: Option<Arc<ScratchFile>>,
}

impl SpilledPart {
    /// The segment of this name that it becomes in a checkpoint.
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn segment(&self, name: String, operator: &str) -> Result<Segment> {
        let mut part = self.part.clone();
        let mut bytes = Vec::new();
        if let Some(file) = &self.file {
            let gone = || Diagnostic::error(Code::StateSpillFailed, format!("{} is gone", file.name));
            bytes = file.storage.read(&file.name).map_err(spill_failed)?.ok_or_else(gone)?;
            for block in part.tables.values_mut().flat_map(|table| &mut table.blocks) {
                if block.bytes > 0 {
                    check_block(&bytes, block, operator)?;
                    block.segment.clone_from(&name);
                }
            }
        }
        let operators = BTreeMap::from([(operator.to_owned(), part)]);
        Ok(Segment { name, bytes, part: ShardPart { groups: self.groups, operators } })
    }
}

/// What was put away must be what comes into the checkpoint.
fn check_block(bytes: &[u8], block: &BlockRef, operator: &str) -> Result<()> {
    let from = usize::try_from(block.offset).unwrap_or(usize::MAX);
    let to = usize::try_from(block.offset.saturating_add(block.bytes)).unwrap_or(usize::MAX);
    let sum = bytes.get(from..to).map(XxHash3_64::oneshot);
    if sum == Some(block.checksum) {
        return Ok(());
    }
    let message = format!("state of operator '{operator}' that was put away in {} is damaged", block.segment);
    Err(Diagnostic::error(Code::StateSpillFailed, message))
}

/// A storage's failure as that of putting state away.
pub fn spill_failed(error: StorageError) -> Box<Diagnostic> {
    let diagnostic = Diagnostic::error(Code::StateSpillFailed, format!("state that was put away: {error}"));
    let diagnostic = if error.passing { diagnostic.that_may_pass() } else { diagnostic };
    diagnostic
        .help("make room in 'state.dir' or name another directory there, or raise 'state.memory.budget'")
}

/// The name of a shard's segment.
pub fn segment_name(generation: u64, number: u64, epoch: u64, shard: usize) -> String {
    format!("segments/{generation:08}-{number:08}-{epoch}-{shard}")
}

/// Generation and number in a segment's name.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.strip_prefix("segments/")?.split('-');
    let generation = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    Some((generation, number))
}

impl Segment {
    /// One with nothing in it.
    pub fn empty(name: String, owned: &Range<u16>) -> Self {
        let part = ShardPart { groups: GroupRange::from(owned), operators: BTreeMap::new() };
        Segment { name, bytes: Vec::new(), part }
    }

    /// Encodes what the operators of a shard handed over, by operator id. Runs in the background.
    ///
    /// # Errors
    /// When a batch cannot be encoded: a bug.
    pub fn encode(
        name: String,
        owned: &Range<u16>,
        snapshots: impl IntoIterator<Item = (String, OperatorSnapshot)>,
    ) -> Result<Self> {
        let mut segment = Segment::empty(name, owned);
        for (operator, snapshot) in snapshots {
            let mut part = OperatorPart { values: snapshot.values, tables: BTreeMap::new() };
            for (table, snapshot) in snapshot.tables {
                part.tables.insert(table, segment.add(snapshot)?);
            }
            segment.part.operators.insert(operator, part);
        }
        Ok(segment)
    }

    fn add(&mut self, table: TableSnapshot) -> Result<TablePart> {
        let mut blocks = Vec::new();
        for part in table.parts {
            if !part.full.is_empty() {
                let mut block = self.block(part.epoch, &part.changes.full)?;
                (block.full, block.groups) = (true, GroupRange::from(&part.full));
                blocks.push(block);
            }
            if !part.changes.delta.is_empty() {
                blocks.push(self.block(part.epoch, &part.changes.delta)?);
            }
        }
        Ok(TablePart { blocks, live: table.live, rows: table.rows })
    }

    /// Appends batches that aren't state, such as rows that wait.
    ///
    /// # Errors
    /// When a batch cannot be encoded: a bug.
    pub fn add_rows(&mut self, batches: &[RecordBatch]) -> Result<BlockRef> {
        self.block(0, batches)
    }

    fn block(&mut self, epoch: u64, batches: &[RecordBatch]) -> Result<BlockRef> {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut block = BlockRef {
            segment: String::new(),
            offset: 0,
            bytes: 0,
            checksum: 0,
            epoch,
            groups: GroupRange(0, 0),
            full: false,
            rows,
            buckets: None,
        };
        if rows == 0 {
            return Ok(block);
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
        }
        let start = self.bytes.len();
        self.bytes.reserve(batches.iter().map(RecordBatch::get_array_memory_size).sum());
        encode(batches, &mut self.bytes)?;
        let bytes = self.bytes.get(start..).unwrap_or_default();
        (block.segment, block.offset) = (self.name.clone(), start as u64);
        (block.bytes, block.checksum) = (bytes.len() as u64, XxHash3_64::oneshot(bytes));
        (block.groups, block.buckets) = spans(batches);
        Ok(block)
    }
}

/// The range of groups and of buckets in some batches.
fn spans(batches: &[RecordBatch]) -> (GroupRange, Option<(i64, i64)>) {
    let (mut groups, mut buckets) = (GroupRange(u16::MAX, 0), None);
    for batch in batches {
        if let Some(column) =
            batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt16Type>())
        {
            for group in column.values() {
                groups = GroupRange(groups.0.min(*group), groups.1.max(group.saturating_add(1)));
            }
        }
        if let Some(column) = batch.columns().get(1).and_then(|column| column.as_primitive_opt::<Int64Type>())
        {
            for bucket in column.values() {
                let (low, high) = buckets.unwrap_or((*bucket, *bucket));
                buckets = Some((low.min(*bucket), high.max(*bucket)));
            }
        }
    }
    (groups, buckets)
}

fn encode(batches: &[RecordBatch], bytes: &mut Vec<u8>) -> Result<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let mut writer = StreamWriter::try_new(bytes, &first.schema()).map_err(arrow_failed)?;
    let mut joined: Vec<&RecordBatch> = Vec::new();
    let mut rows = 0;
    for batch in batches {
        if rows + batch.num_rows() > JOIN_ROWS {
            write(&mut writer, &joined)?;
            joined.clear();
            rows = 0;
        }
        joined.push(batch);
        rows += batch.num_rows();
    }
    write(&mut writer, &joined)?;
    writer.finish().map_err(arrow_failed)
}

fn write(writer: &mut StreamWriter<&mut Vec<u8>>, batches: &[&RecordBatch]) -> Result<()> {
    match batches {
        [] => Ok(()),
        [one] => writer.write(one).map_err(arrow_failed),
        [first, ..] => {
            match concat_batches(&first.schema(), batches.iter().copied()) {
                Ok(batch) => writer.write(&batch).map_err(arrow_failed),
                // Together they are larger than an array can be: one by one.
                Err(_) => batches.iter().try_for_each(|batch| writer.write(batch).map_err(arrow_failed)),
            }
        }
    }
}

fn damaged(block: &BlockRef, operator: &str, table: &str, what: &str) -> Box<Diagnostic> {
    let BlockRef { segment, offset, bytes, .. } = block;
    Diagnostic::error(
        Code::CheckpointUnusable,
        format!(
            "the checkpoint block at byte {offset} of {segment} is damaged: {what} \
             (operator '{operator}', table '{table}', {bytes} bytes expected)"
        ),
    )
}

/// Reads a block and checks it against its checksum.
///
/// # Errors
/// When it is gone, cut short or changed, or the storage cannot be read.
pub fn verify_block(storage: &dyn Storage, block: &BlockRef, operator: &str, table: &str) -> Result<Vec<u8>> {
    let Some(bytes) = storage.read_range(&block.segment, block.offset, block.bytes)? else {
        return Err(damaged(block, operator, table, "the file is gone"));
    };
    if bytes.len() as u64 != block.bytes {
        return Err(damaged(block, operator, table, &format!("only {} bytes are there", bytes.len())));
    }
    let sum = XxHash3_64::oneshot(&bytes);
    if sum != block.checksum {
        let what = format!("its checksum is {sum:016x}, expected {:016x}", block.checksum);
        return Err(damaged(block, operator, table, &what));
    }
    Ok(bytes)
}

/// Reads a block's batches.
///
/// # Errors
/// As [`verify_block`], and when the bytes are no Arrow stream.
pub fn read_block(
    storage: &dyn Storage,
    block: &BlockRef,
    operator: &str,
    table: &str,
) -> Result<Vec<RecordBatch>> {
    if block.bytes == 0 {
        return Ok(Vec::new());
    }
    let bytes = verify_block(storage, block, operator, table)?;
    let decode = || StreamReader::try_new(Cursor::new(bytes), None)?.collect::<Result<Vec<_>, _>>();
    decode().map_err(|error| damaged(block, operator, table, &error.to_string()))
}

/// Checks every block that a manifest names. Each is read once.
///
/// # Errors
/// The first damage found.
pub fn verify_state(storage: &dyn Storage, manifest: &Manifest) -> Result<()> {
    for (operator, table, block) in manifest.blocks() {
        if block.bytes > 0 {
            verify_block(storage, block, operator, table)?;
        }
    }
    Ok(())
}
