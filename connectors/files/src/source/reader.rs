//! Goes through the files and hands out chunks.
//!
//! ```text
//!   one by one          ▤▤▤▤ ▤▤ ▤▤▤▤▤▤            as sinks that keep the order want it
//!   evenly in time      ▤ ▤ ▤ ▤ ▤ ▤ ▤ ▤ …          every file once, then whichever is furthest behind
//!                       a b c c a c b c
//! ```
//!
//! Files of an input with event time usually cover the same time: read one by one, each would keep
//! its windows open until the last one is through. Which file comes next depends on nothing but the
//! reader's position, so that a reader that goes on there takes the same turns.

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
    blocks::BlockFile,
    listing::{FoundFile, list},
    location::failed,
    position::{self, OpenPlace, Place, Position, Tail},
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
    /// The next to open; those before it are open or done.
    next_file: usize,
    /// The number that it will have as a split.
    next_split: u32,
    /// In the order of `files`.
    open: Vec<OpenFile>,
    /// How many may be open at once.
    open_max: usize,
    sequence: u64,
    idle: Idleness,
}

/// Files that are read in turn at the most: each costs a descriptor and the start of a record.
const OPEN_FILES_MAX: usize = 64;

/// A file on its way.
struct OpenFile {
    /// Its index in the list of files.
    file: usize,
    split_number: u32,
    /// Where the records begin that have not been handed out.
    place: Place,
    reading: OpenSplit,
}

enum OpenSplit {
    Text(TextFile),
    RowGroups(RowGroups),
    Blocks(BlockFile),
}

/// Whose turn it is.
enum Turn {
    /// The open file at this index.
    Of(usize),
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
            next_file: 0,
            next_split: 0,
            open: Vec::new(),
            open_max: 1,
            sequence: 0,
            idle: Idleness::default(),
        };
        match resume {
            None => reader.list()?,
            Some(value) => reader.go_on_at(value)?,
        }
        Ok(reader)
    }

    /// Reads many files at once, in turn, so that event time goes on together in all of them.
    pub(crate) fn evenly_in_time(mut self) -> Self {
        self.open_max = OPEN_FILES_MAX;
        self
    }

    #[cfg(test)]
    pub(crate) fn with_open_files(mut self, open_max: usize) -> Self {
        self.open_max = open_max;
        self
    }

    #[cfg(test)]
    pub(crate) fn with_chunk_bytes(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = chunk_bytes;
        for open in &mut self.open {
            match &mut open.reading {
                OpenSplit::Text(file) => file.set_chunk_bytes(chunk_bytes),
                OpenSplit::Blocks(file) => file.set_chunk_bytes(chunk_bytes),
                OpenSplit::RowGroups(_) => {}
            }
        }
        self
    }

    fn go_on_at(&mut self, value: &Value) -> Result<()> {
        let position = Position::from_json(value, &self.settings.location)?;
        position.check()?;
        let Position { files, next_file, next_split, open } = position;
        self.packed = position::pack(&files)?;
        (self.files, self.next_file, self.next_split) = (files, next_file, next_split);
        // Now, not with the first chunk: whoever resumes hears of a changed file at once.
        for OpenPlace { file, split_number, place } in open {
            let Some(found) = self.files.get(file) else { continue };
            let reading = self.open(found, place)?;
            self.open.push(OpenFile { file, split_number, place, reading });
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
        self.next_file = self.files.len();
        self.files.extend(new);
        self.packed = position::pack(&self.files)?;
        Ok(())
    }

    fn open(&self, file: &FoundFile, place: Place) -> Result<OpenSplit> {
        let split = Arc::new(file.split(&self.settings)?);
        let path = file.path.clone();
        if self.framing == Framing::RowGroups {
            return RowGroups::open(path, split, place).map(OpenSplit::RowGroups);
        }
        if self.framing == Framing::Blocks {
            return BlockFile::open(path, split, self.chunk_bytes, place).map(OpenSplit::Blocks);
        }
        let mut text = TextFile::open(path, split, self.framing, self.header_lines, self.chunk_bytes)?;
        if place.offset > 0 {
            text.go_on_at(place)?;
        }
        Ok(OpenSplit::Text(text))
    }

    /// Text without a byte has no rows; what is columnar has at least a footer.
    fn is_empty(&self, file: &FoundFile) -> bool {
        file.size == Some(0) && self.framing != Framing::RowGroups
    }

    /// Whether files are known that wait to be opened.
    fn has_unopened(&self) -> bool {
        self.files.iter().skip(self.next_file).any(|file| !self.is_empty(file))
    }

    /// Opens the next file, if one is known and there is room.
    fn open_next(&mut self) -> Result<bool> {
        while self.open.len() < self.open_max
            && let Some(found) = self.files.get(self.next_file)
        {
            if self.is_empty(found) {
                self.next_file += 1;
                continue;
            }
            let (file, split_number, place) = (self.next_file, self.next_split, Place::default());
            let reading = self.open(found, place)?;
            self.open.push(OpenFile { file, split_number, place, reading });
            self.next_file += 1;
            self.next_split = self.next_split.wrapping_add(1);
            return Ok(true);
        }
        Ok(false)
    }

    /// The open file of which the least part has been read; of several the first.
    fn furthest_behind(&self) -> Option<usize> {
        let parts = self.open.iter().map(|it| it.reading.part_read(it.place.offset)).enumerate();
        parts.min_by(|(_, (a, of_a)), (_, (b, of_b))| (a * of_b).cmp(&(b * of_a))).map(|(at, _)| at)
    }

    /// Whose turn it is; waits for new files where the source is unbounded.
    fn turn(&mut self, context: &ReadContext) -> Result<Turn> {
        loop {
            if self.open_next()? {
                return Ok(Turn::Of(self.open.len() - 1));
            }
            if let Some(at) = self.furthest_behind() {
                return Ok(Turn::Of(at));
            }
            let Some(interval) = self.settings.monitor_interval else { return Ok(Turn::Nothing) };
            let now = context.clock.monotonic();
            if self.idle.begins(now, context) {
                return Ok(Turn::Idle);
            }
            if context.stop.wait(self.idle.shorten(interval, now, context)) {
                return Ok(Turn::Nothing);
            }
            self.list()?;
        }
    }

    /// The next chunk of an open file. Every file ends with a chunk that says so.
    fn chunk(&mut self, at: usize, context: &ReadContext) -> Result<Option<Chunk>> {
        let unopened = self.has_unopened();
        let Some(open) = self.open.get_mut(at) else { return Ok(None) };
        let split = open.reading.split().clone();
        let piece = open.reading.next(context)?;
        let finished = piece.is_none() || open.reading.is_ended();
        let time = SplitTime { split_number: open.split_number, finished, unopened, ..SplitTime::default() };
        if let Some(piece) = &piece {
            open.place = piece.end;
        }
        if finished {
            self.open.remove(at);
        }
        let sequence = self.sequence;
        Ok(Some(match piece {
            None => Chunk::control(split, sequence, time),
            Some(Piece { offset, payload, bytes_in, .. }) => {
                Chunk { split, sequence, offset, payload, bytes_in, time }
            }
        }))
    }
}

impl SourceReader for FileReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        if context.stop.is_stopped() {
            return Ok(None);
        }
        let chunk = match self.turn(context)? {
            Turn::Of(at) => {
                let chunk = self.chunk(at, context)?;
                self.idle.ends(context);
                chunk
            }
            Turn::Idle => {
                let time = SplitTime { split_number: self.next_split, idle: true, ..SplitTime::default() };
                Some(Chunk::control(Arc::default(), self.sequence, time))
            }
            Turn::Nothing => None,
        };
        self.sequence += u64::from(chunk.is_some());
        Ok(chunk)
    }

    fn position(&self) -> Value {
        let open = self.open.iter();
        let open = open.map(|it| OpenPlace { file: it.file, split_number: it.split_number, place: it.place });
        position::to_json(&self.settings.location, &self.packed, self.next_file, self.next_split, open)
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
            OpenSplit::Blocks(file) => file.split(),
        }
    }

    fn next(&mut self, context: &ReadContext) -> Result<Option<Piece>> {
        match self {
            OpenSplit::RowGroups(groups) => Ok(groups.next()),
            OpenSplit::Blocks(file) => {
                let Some(cut) = file.next(&context.buffers)? else { return Ok(None) };
                let payload = Payload::Blocks(Box::new(cut.blocks));
                Ok(Some(Piece { offset: cut.offset, payload, bytes_in: cut.bytes_in, end: cut.end }))
            }
            OpenSplit::Text(file) => {
                let Some(cut) = file.next(&context.buffers)? else { return Ok(None) };
                let end = Place { offset: cut.offset + cut.bytes.len() as u64, tail: Tail::of(&cut.bytes) };
                let payload = Payload::Bytes(cut.bytes);
                Ok(Some(Piece { offset: cut.offset, payload, bytes_in: cut.bytes_in, end }))
            }
        }
    }

    /// How much of it lies before an offset, and how much there is in all. Compressed text is
    /// measured by the compressed size: where all files are compressed alike, the order of their
    /// parts stays the same.
    fn part_read(&self, offset: u64) -> (u128, u128) {
        let (read, all) = match self {
            OpenSplit::Text(file) => (offset, file.split().size.unwrap_or(offset)),
            OpenSplit::Blocks(file) => (offset, file.split().size.unwrap_or(offset)),
            OpenSplit::RowGroups(groups) => {
                (groups.first_row, groups.groups.iter().map(|(rows, _)| rows).sum())
            }
        };
        (u128::from(read), u128::from(all.max(1)))
    }

    /// Whether nothing comes any more.
    fn is_ended(&self) -> bool {
        match self {
            OpenSplit::Text(file) => file.is_ended(),
            OpenSplit::Blocks(file) => file.is_ended(),
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
