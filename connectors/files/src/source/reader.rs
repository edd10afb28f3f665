//! Goes through the files, one split after the other, and hands out chunks.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    hash::{BuildHasherDefault, DefaultHasher},
    path::PathBuf,
    sync::Arc,
};

use flott_connector::{Chunk, Framing, Payload, ReadContext, SourceReader, SplitInfo};
use flott_types::{Code, Diagnostic, Result};
use parquet::file::metadata::ParquetMetaDataReader;

use super::{
    listing::{FoundFile, list},
    location::failed,
    text::{CHUNK_BYTES, TextFile},
};
use crate::settings::SourceSettings;

/// Reads a table's files.
pub(crate) struct FileReader {
    settings: SourceSettings,
    framing: Framing,
    header_lines: usize,
    chunk_bytes: usize,
    pending: VecDeque<FoundFile>,
    /// Files of an unbounded source that were listed before and are still there.
    seen: HashSet<PathBuf, BuildHasherDefault<DefaultHasher>>,
    current: Option<OpenSplit>,
    sequence: u64,
    total_bytes: u64,
}

enum OpenSplit {
    Text(TextFile),
    RowGroups(RowGroups),
}

impl FileReader {
    /// Lists the files.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn new(settings: SourceSettings, framing: Framing, header_lines: usize) -> Result<Self> {
        let mut reader = Self {
            settings,
            framing,
            header_lines,
            chunk_bytes: CHUNK_BYTES,
            pending: VecDeque::new(),
            seen: HashSet::default(),
            current: None,
            sequence: 0,
            total_bytes: 0,
        };
        reader.list()?;
        Ok(reader)
    }

    #[cfg(test)]
    pub(crate) fn with_chunk_bytes(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = chunk_bytes;
        self
    }

    fn list(&mut self) -> Result<()> {
        let unbounded = self.settings.monitor_interval.is_some();
        let mut files = list(&self.settings.location, !unbounded)?;
        if unbounded {
            let listed: HashSet<PathBuf, _> = files.iter().map(|file| file.path.clone()).collect();
            files.retain(|file| !self.seen.contains(&file.path));
            self.seen = listed;
        }
        self.total_bytes += files.iter().filter_map(|file| file.size).sum::<u64>();
        self.pending.extend(files);
        Ok(())
    }

    fn open(&self, file: FoundFile) -> Result<OpenSplit> {
        let split = Arc::new(file.split(&self.settings)?);
        if self.framing == Framing::RowGroups {
            return RowGroups::open(file.path, split).map(OpenSplit::RowGroups);
        }
        TextFile::open(file.path, split, self.framing, self.header_lines, self.chunk_bytes)
            .map(OpenSplit::Text)
    }

    /// The next file; waits for one where the source is unbounded.
    fn next_file(&mut self, context: &ReadContext) -> Result<Option<FoundFile>> {
        loop {
            if let Some(file) = self.pending.pop_front() {
                return Ok(Some(file));
            }
            let Some(interval) = self.settings.monitor_interval else { return Ok(None) };
            if context.stop.wait(interval) {
                return Ok(None);
            }
            self.list()?;
        }
    }
}

impl SourceReader for FileReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        while !context.stop.is_stopped() {
            let Some(current) = &mut self.current else {
                let Some(file) = self.next_file(context)? else { return Ok(None) };
                // Text without a byte has no rows; what is columnar has at least a footer.
                if file.size != Some(0) || self.framing == Framing::RowGroups {
                    self.current = Some(self.open(file)?);
                }
                continue;
            };
            if let Some(chunk) = current.next(context, self.sequence)? {
                self.sequence += 1;
                return Ok(Some(chunk));
            }
            self.current = None;
        }
        Ok(None)
    }

    fn position(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn total_bytes(&self) -> Option<u64> {
        self.settings.monitor_interval.is_none().then_some(self.total_bytes)
    }
}

impl OpenSplit {
    fn next(&mut self, context: &ReadContext, sequence: u64) -> Result<Option<Chunk>> {
        match self {
            OpenSplit::RowGroups(groups) => Ok(groups.next(sequence)),
            OpenSplit::Text(file) => {
                let Some(cut) = file.next(&context.buffers)? else { return Ok(None) };
                Ok(Some(Chunk {
                    split: file.split().clone(),
                    sequence,
                    offset: cut.offset,
                    payload: Payload::Bytes(cut.bytes),
                    bytes_in: cut.bytes_in,
                    time: Default::default(),
                }))
            }
        }
    }
}

/// The row groups of one columnar file; the decoder reads them from the file that
/// `SplitInfo::name` names.
struct RowGroups {
    split: Arc<SplitInfo>,
    /// Rows and compressed bytes of each.
    groups: Vec<(u64, u64)>,
    next: usize,
    first_row: u64,
}

impl RowGroups {
    fn open(path: PathBuf, split: Arc<SplitInfo>) -> Result<Self> {
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| {
            let message = format!("'{}' is not a Parquet file, or damaged: {error}", path.display());
            Diagnostic::error(Code::InputUnreadable, message).help("check 'format' and 'path'")
        })?;
        let size = |value: i64| u64::try_from(value).unwrap_or(0);
        let groups = metadata.row_groups().iter();
        let groups = groups.map(|group| (size(group.num_rows()), size(group.compressed_size()))).collect();
        Ok(Self { split, groups, next: 0, first_row: 0 })
    }

    fn next(&mut self, sequence: u64) -> Option<Chunk> {
        let (rows, bytes_in) = *self.groups.get(self.next)?;
        let payload = Payload::RowGroup(self.next);
        let offset = self.first_row;
        self.next += 1;
        self.first_row += rows;
        Some(Chunk {
            split: self.split.clone(),
            sequence,
            offset,
            payload,
            bytes_in,
            time: Default::default(),
        })
    }
}
