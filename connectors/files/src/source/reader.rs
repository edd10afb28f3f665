//! Goes through the files, one split after the other, and hands out chunks.

use std::{
    collections::HashSet,
    fs::File,
    hash::{BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use flott_connector::{Chunk, Framing, Idleness, Payload, ReadContext, SourceReader, SplitInfo, SplitTime};
use flott_types::{Code, Diagnostic, Result};
use parquet::file::metadata::ParquetMetaDataReader;
use serde_json::Value;

use super::{
    listing::{FoundFile, list},
    location::failed,
    position::{self, Place, Position, Tail},
    text::{CHUNK_BYTES, TextFile},
};
use crate::settings::SourceSettings;

/// Reads a table's files.
pub(crate) struct FileReader {
    settings: SourceSettings,
    framing: Framing,
    header_lines: usize,
    chunk_bytes: usize,
    /// In the order of reading. Of an unbounded source those that are done and have gone are left out.
    files: Vec<FoundFile>,
    /// The same, for positions.
    packed: String,
    /// The file that is open, or the next to open; all before it are done.
    file: usize,
    /// Its number as a split.
    split_number: u32,
    /// Where in it the records begin that have not been handed out.
    place: Place,
    current: Option<OpenSplit>,
    sequence: u64,
    idle: Idleness,
}

enum OpenSplit {
    Text(TextFile),
    RowGroups(RowGroups),
}

/// What comes next, where no file is open.
enum Next {
    File(FoundFile),
    Idle,
    Nothing,
}

impl FileReader {
    /// Lists the files, or takes the list of a position and checks them.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`, `CheckpointUnusable`
    pub(crate) fn new(
        settings: SourceSettings,
        framing: Framing,
        header_lines: usize,
        resume: Option<&Value>,
    ) -> Result<Self> {
        let mut reader = Self {
            settings,
            framing,
            header_lines,
            chunk_bytes: CHUNK_BYTES,
            files: Vec::new(),
            packed: String::new(),
            file: 0,
            split_number: 0,
            place: Place::default(),
            current: None,
            sequence: 0,
            idle: Idleness::default(),
        };
        match resume {
            None => reader.list()?,
            Some(value) => reader.go_on_at(value)?,
        }
        Ok(reader)
    }

    #[cfg(test)]
    pub(crate) fn with_chunk_bytes(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = chunk_bytes;
        self
    }

    fn go_on_at(&mut self, value: &Value) -> Result<()> {
        let position = Position::from_json(value, &self.settings.location)?;
        position.check()?;
        let Position { files, file, split_number, place } = position;
        self.packed = position::pack(&files)?;
        (self.files, self.file, self.split_number, self.place) = (files, file, split_number, place);
        if let Some(found) = self.files.get(file).filter(|_| place.offset > 0) {
            // Now, not with the first chunk: whoever resumes hears of a changed file at once.
            self.current = Some(self.open(found.clone())?);
        }
        Ok(())
    }

    /// Lists the files; once more, if all that are known are done, to find new ones.
    fn list(&mut self) -> Result<()> {
        let unbounded = self.settings.monitor_interval.is_some();
        let mut new = list(&self.settings.location, !unbounded)?;
        if !self.files.is_empty() {
            let of = |files: &[FoundFile]| -> HashSet<PathBuf, BuildHasherDefault<DefaultHasher>> {
                files.iter().map(|file| file.path.clone()).collect()
            };
            let (there, known) = (of(&new), of(&self.files));
            new.retain(|file| !known.contains(&file.path));
            let before = self.files.len();
            self.files.retain(|file| there.contains(&file.path));
            if new.is_empty() && self.files.len() == before {
                return Ok(());
            }
        }
        self.file = self.files.len();
        self.files.extend(new);
        self.packed = position::pack(&self.files)?;
        Ok(())
    }

    fn open(&self, file: FoundFile) -> Result<OpenSplit> {
        let split = Arc::new(file.split(&self.settings)?);
        if self.framing == Framing::RowGroups {
            return RowGroups::open(file.path, split, self.place).map(OpenSplit::RowGroups);
        }
        let mut text = TextFile::open(file.path, split, self.framing, self.header_lines, self.chunk_bytes)?;
        if self.place.offset > 0 {
            text.go_on_at(self.place)?;
        }
        Ok(OpenSplit::Text(text))
    }

    /// Text without a byte has no rows; what is columnar has at least a footer.
    fn is_empty(&self, file: &FoundFile) -> bool {
        file.size == Some(0) && self.framing != Framing::RowGroups
    }

    /// The next file; waits for one where the source is unbounded.
    fn next_file(&mut self, context: &ReadContext) -> Result<Next> {
        loop {
            while let Some(file) = self.files.get(self.file) {
                if !self.is_empty(file) {
                    return Ok(Next::File(file.clone()));
                }
                self.file += 1;
            }
            let Some(interval) = self.settings.monitor_interval else { return Ok(Next::Nothing) };
            let now = context.clock.monotonic();
            if self.idle.begins(now, context) {
                return Ok(Next::Idle);
            }
            if context.stop.wait(self.idle.shorten(interval, now, context)) {
                return Ok(Next::Nothing);
            }
            self.list()?;
        }
    }

    /// What a chunk of the open split says about time; if it is the last one, the split is closed.
    fn time(&mut self, finished: bool) -> SplitTime {
        let split_number = self.split_number;
        if finished {
            self.current = None;
            self.file += 1;
            self.split_number = self.split_number.wrapping_add(1);
            self.place = Place::default();
        }
        let behind = self.files.iter().skip(self.file + usize::from(!finished));
        let unopened = behind.into_iter().any(|file| !self.is_empty(file));
        SplitTime { split_number, finished, unopened, idle: false }
    }

    fn control(&self, split: Arc<SplitInfo>, time: SplitTime) -> Chunk {
        Chunk::control(split, self.sequence, time)
    }

    /// The next chunk of the split that is open. Every split ends with a chunk that says so.
    fn chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let split = current.split().clone();
        let Some(piece) = current.next(context)? else {
            let time = self.time(true);
            return Ok(Some(self.control(split, time)));
        };
        self.place = piece.end;
        let finished = current.is_ended();
        let (offset, payload, bytes_in) = (piece.offset, piece.payload, piece.bytes_in);
        let time = self.time(finished);
        Ok(Some(Chunk { split, sequence: self.sequence, offset, payload, bytes_in, time }))
    }
}

impl SourceReader for FileReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        let mut chunk = None;
        while chunk.is_none() && !context.stop.is_stopped() {
            if self.current.is_some() {
                chunk = self.chunk(context)?;
                self.idle.ends(context);
                continue;
            }
            match self.next_file(context)? {
                Next::File(file) => self.current = Some(self.open(file)?),
                Next::Idle => {
                    let time =
                        SplitTime { split_number: self.split_number, idle: true, ..SplitTime::default() };
                    chunk = Some(self.control(Arc::default(), time));
                }
                Next::Nothing => return Ok(None),
            }
        }
        self.sequence += u64::from(chunk.is_some());
        Ok(chunk)
    }

    fn position(&self) -> Value {
        position::to_json(&self.settings.location, &self.packed, self.file, self.split_number, self.place)
    }

    fn total_bytes(&self) -> Option<u64> {
        let bytes = self.files.iter().filter_map(|file| file.size).sum();
        self.settings.monitor_interval.is_none().then_some(bytes)
    }
}

/// A piece of a split.
struct Piece {
    offset: u64,
    payload: Payload,
    bytes_in: u64,
    /// Where the next one begins.
    end: Place,
}

impl OpenSplit {
    fn split(&self) -> &Arc<SplitInfo> {
        match self {
            OpenSplit::Text(file) => file.split(),
            OpenSplit::RowGroups(groups) => &groups.split,
        }
    }

    fn next(&mut self, context: &ReadContext) -> Result<Option<Piece>> {
        match self {
            OpenSplit::RowGroups(groups) => Ok(groups.next()),
            OpenSplit::Text(file) => {
                let Some(cut) = file.next(&context.buffers)? else { return Ok(None) };
                let end = Place { offset: cut.offset + cut.bytes.len() as u64, tail: Tail::of(&cut.bytes) };
                let payload = Payload::Bytes(cut.bytes);
                Ok(Some(Piece { offset: cut.offset, payload, bytes_in: cut.bytes_in, end }))
            }
        }
    }

    /// Whether nothing comes any more.
    fn is_ended(&self) -> bool {
        match self {
            OpenSplit::Text(file) => file.is_ended(),
            OpenSplit::RowGroups(groups) => groups.next >= groups.groups.len(),
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
    /// Tells these row groups from those of a file written anew.
    tail: Tail,
}

impl RowGroups {
    fn open(path: PathBuf, split: Arc<SplitInfo>, place: Place) -> Result<Self> {
        let groups = Self::read(&path)?;
        let numbers: Vec<u8> = groups
            .iter()
            .flat_map(|(rows, bytes)| [rows.to_le_bytes(), bytes.to_le_bytes()].concat())
            .collect();
        let tail = Tail { bytes: 0, ..Tail::of(&numbers) };
        let next = usize::try_from(place.offset).unwrap_or(usize::MAX);
        if next > 0 && place.tail != tail {
            return Err(position::regrouped(&path));
        }
        let first_row = groups.iter().take(next).map(|(rows, _)| rows).sum();
        Ok(Self { split, groups, next, first_row, tail })
    }

    fn read(path: &Path) -> Result<Vec<(u64, u64)>> {
        let file = File::open(path).map_err(|error| failed(path, &error))?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| {
            let message = format!("'{}' is not a Parquet file, or damaged: {error}", path.display());
            Diagnostic::error(Code::InputUnreadable, message).help("check 'format' and 'path'")
        })?;
        let size = |value: i64| u64::try_from(value).unwrap_or(0);
        let groups = metadata.row_groups().iter();
        Ok(groups.map(|group| (size(group.num_rows()), size(group.compressed_size()))).collect())
    }

    fn next(&mut self) -> Option<Piece> {
        let (rows, bytes_in) = *self.groups.get(self.next)?;
        let payload = Payload::RowGroup(self.next);
        let offset = self.first_row;
        self.next += 1;
        self.first_row += rows;
        let end = Place { offset: self.next as u64, tail: self.tail };
        Some(Piece { offset, payload, bytes_in, end })
    }
}
