//! Cuts one file of text into chunks of whole records.
//!
//! ```text
//!   buffer:  [ carried start of a record | ───── read ───── ]
//!            [ ───────── whole records ─────────┊ new carry ]   cut at the last record end
//! ```
//!
//! Only the piece of one record is copied from buffer to buffer. A record longer than a chunk
//! stays in its buffer, which grows until the record ends. Where a chunk ends depends only on where it
//! begins.

use std::{path::PathBuf, sync::Arc};

use flott_connector::{BufferPool, Framing, SplitInfo};
use flott_formats::framing::Cutter;
use flott_types::{Code, Diagnostic, Result};

use super::{
    bytes::ByteStream,
    position::{Place, Tail, changed},
};

/// Bytes read for a chunk: large enough that a chunk's fixed costs vanish, small enough that
/// chunk and rows stay in the cache of the core that decodes it.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// The longest record. Chunks count their bytes in 32 bits.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// Bytes read at once behind the size that a growing file had.
const OVERRUN_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file being cut.
pub(crate) struct TextFile {
    path: PathBuf,
    split: Arc<SplitInfo>,
    stream: ByteStream,
    framing: Framing,
    /// Stands behind everything that was read.
    cutter: Cutter,
    chunk_bytes: usize,
    /// Bytes still to read, where the file's size limits them.
    remaining: Option<u64>,
    /// The start of the next record, from the buffer before.
    carry: Vec<u8>,
    /// Where in the file's text the next chunk begins.
    offset: u64,
    header_lines: usize,
    started: bool,
    ended: bool,
    bytes_in: u64,
}

/// Whole records and where they lie.
#[derive(Debug)]
pub(crate) struct Cut {
    pub bytes: Vec<u8>,
    pub offset: u64,
    pub bytes_in: u64,
}

impl TextFile {
    /// Opens the file.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn open(
        path: PathBuf,
        split: Arc<SplitInfo>,
        framing: Framing,
        header_lines: usize,
        chunk_bytes: usize,
    ) -> Result<Self> {
        let stream = ByteStream::open(&path, split.size)?;
        let remaining = split.size.filter(|_| stream.is_plain());
        Ok(Self {
            path,
            split,
            stream,
            framing,
            cutter: Cutter::new(framing)?,
            chunk_bytes,
            remaining,
            carry: Vec::new(),
            offset: 0,
            header_lines,
            started: false,
            ended: false,
            bytes_in: 0,
        })
    }

    #[cfg(test)]
    pub(crate) fn set_chunk_bytes(&mut self, chunk_bytes: usize) {
        self.chunk_bytes = chunk_bytes;
    }

    /// Goes on at a place further on, if what precedes it is what was read before.
    ///
    /// # Errors
    /// `CheckpointUnusable`, `InputUnreadable`
    pub(crate) fn go_on_at(&mut self, place: Place) -> Result<()> {
        let Place { offset, tail } = place;
        let mut text = Vec::new();
        self.stream.skip(&self.path, offset.saturating_sub(tail.bytes))?;
        self.stream.append(&self.path, &mut text, usize::try_from(tail.bytes).unwrap_or(usize::MAX))?;
        if Tail::of(&text) != tail {
            return Err(changed(&self.path, offset));
        }
        self.remaining = self.remaining.map(|left| left.saturating_sub(offset));
        self.offset = offset;
        self.bytes_in = self.stream.bytes_in();
        self.header_lines = 0;
        self.started = true;
        Ok(())
    }

    /// Whether the last record has been handed out.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The file as a split.
    pub(crate) fn split(&self) -> &Arc<SplitInfo> {
        &self.split
    }

    /// The next whole records; `None` at the end of the file.
    ///
    /// # Errors
    /// `InputUnreadable`, `RecordTooLarge`
    pub(crate) fn next(&mut self, buffers: &BufferPool) -> Result<Option<Cut>> {
        while !self.ended {
            let mut buffer = buffers.take();
            self.fill(&mut buffer)?;
            self.skip_header(&mut buffer)?;
            if buffer.is_empty() {
                buffers.give(buffer);
                continue;
            }
            let offset = self.offset;
            self.offset += buffer.len() as u64;
            let bytes_in = self.stream.bytes_in();
            let bytes_in = bytes_in - std::mem::replace(&mut self.bytes_in, bytes_in);
            return Ok(Some(Cut { bytes: buffer, offset, bytes_in }));
        }
        Ok(None)
    }

    /// Fills an empty buffer with at least one whole record, or with what is left.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.append(&mut self.carry);
        // Up to a place that only depends on where the chunk begins, so that a reader that begins here,
        // without anything carried, cuts the same chunks.
        let mut want = self.chunk_bytes.saturating_sub(buffer.len()).max(1);
        loop {
            let known = buffer.len();
            let read = self.read(buffer, want)?;
            if !self.started {
                self.strip_byte_order_mark(buffer)?;
            }
            let fresh = buffer.get(known..).unwrap_or_default();
            let last_end = self.cutter.last_end(fresh).map_or(0, |end| known + end);
            if read < want || self.remaining == Some(0) {
                self.ended = true;
                return self.finish_last_record(buffer, last_end);
            }
            if last_end > 0 {
                let tail = buffer.get(last_end..).unwrap_or_default();
                self.carry.extend_from_slice(tail);
                buffer.truncate(last_end);
                return Ok(());
            }
            self.check_record_size(buffer.len())?;
            want = self.chunk_bytes;
        }
    }

    /// Reads `want` bytes, or all that the file's size leaves.
    fn read(&mut self, buffer: &mut Vec<u8>, want: usize) -> Result<usize> {
        let limit = self.remaining.map_or(want, |left| usize::try_from(left).unwrap_or(want).min(want));
        let read = self.stream.append(&self.path, buffer, limit)?;
        self.remaining = self.remaining.map(|left| left.saturating_sub(read as u64));
        Ok(read)
    }

    fn strip_byte_order_mark(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        self.started = true;
        while buffer.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(buffer) {
            if self.read(buffer, BYTE_ORDER_MARK.len() - buffer.len())? == 0 {
                break;
            }
        }
        if buffer.starts_with(BYTE_ORDER_MARK) {
            buffer.drain(..BYTE_ORDER_MARK.len());
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(())
    }

    /// If the file has grown since it was listed and its size then cuts through a record,
    /// reads on to the end of that record.
    fn finish_last_record(&mut self, buffer: &mut Vec<u8>, last_end: usize) -> Result<()> {
        if !self.stream.is_plain() || self.remaining.is_none() || buffer.len() == last_end {
            return Ok(());
        }
        loop {
            let known = buffer.len();
            let read = self.stream.append(&self.path, buffer, OVERRUN_BYTES)?;
            let fresh = buffer.get(known..).unwrap_or_default();
            if let Some(end) = self.cutter.first_end(fresh) {
                buffer.truncate(known + end);
                return Ok(());
            }
            if read == 0 {
                return Ok(());
            }
            self.check_record_size(buffer.len() - last_end)?;
        }
    }

    fn skip_header(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        let mut skip = 0;
        while self.header_lines > 0 && skip < buffer.len() {
            let rest = buffer.get(skip..).unwrap_or_default();
            skip += Cutter::new(self.framing)?.first_end(rest).unwrap_or(rest.len());
            self.header_lines -= 1;
        }
        buffer.drain(..skip);
        self.offset += skip as u64;
        Ok(())
    }

    fn check_record_size(&self, bytes: usize) -> Result<()> {
        if bytes < RECORD_BYTES_MAX {
            return Ok(());
        }
        let (file, offset) = (self.path.display(), self.offset);
        let limit = RECORD_BYTES_MAX >> 20;
        let message = format!("'{file}': the record at byte {offset} is longer than {limit} MiB");
        let help = match self.framing {
            Framing::QuotedLines { .. } => "check whether quotes are opened near there and never closed",
            _ => "check that 'format' is right: its records end with a line feed",
        };
        Err(Diagnostic::error(Code::RecordTooLarge, message).help(help))
    }
}
