//! Cuts a file of blocks (Avro's object container files) into chunks of whole blocks.
//!
//! ```text
//!   header │ block │ block │ block │ block │ …
//!          └──── expanded, ~1 MiB ─┘
//! ```
//!
//! Blocks are decompressed here, so that a chunk holds the records' own bytes and a dead letter can too; where
//! its records lie is told as if the file had never been compressed. A place to go on at is both: the byte
//! of the file, and, as the length of its [`Tail`], the byte of the text; the checksum is that of the header,
//! whose marker is no other file's.

use std::{path::PathBuf, sync::Arc};

use flott_connector::{Blocks, BufferPool, SplitInfo};
use flott_formats::avro::container::{HEADER_BYTES_MAX, Header, MARKER_BYTES};
use flott_types::{Code, Diagnostic, Result};

use super::{
    bytes::ByteStream,
    position::{Place, Tail, changed},
};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// A file of blocks being cut.
pub(crate) struct BlockFile {
    path: PathBuf,
    split: Arc<SplitInfo>,
    stream: ByteStream,
    header: Header,
    header_bytes: Arc<[u8]>,
    chunk_bytes: usize,
    /// Read and not handed out; begins where a block does.
    carry: Vec<u8>,
    /// Where in the file that is.
    at: u64,
    /// Where it would be if no block were compressed.
    expanded: u64,
    ended: bool,
    bytes_in: u64,
}

/// Whole blocks and where they lie.
pub(crate) struct CutBlocks {
    pub blocks: Blocks,
    pub offset: u64,
    pub bytes_in: u64,
    /// Behind them.
    pub end: Place,
}

impl BlockFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`; `CheckpointUnusable`: it isn't the file of the place.
    pub(crate) fn open(
        path: PathBuf,
        split: Arc<SplitInfo>,
        chunk_bytes: usize,
        place: Place,
    ) -> Result<Self> {
        let mut stream = ByteStream::open(&path, split.size)?;
        let mut start = Vec::new();
        let header = loop {
            match Header::parse(&start) {
                Ok(Some(header)) => break header,
                Ok(None) if start.len() < HEADER_BYTES_MAX => {}
                Ok(None) => {
                    let why = format!("its header is longer than {} MiB", HEADER_BYTES_MAX >> 20);
                    return Err(unreadable(&path, &why));
                }
                Err(why) => return Err(unreadable(&path, &why)),
            }
            // Twice as much each time: it is parsed from its start.
            let want = start.len().max(READ_BYTES);
            if stream.append(&path, &mut start, want)? == 0 {
                return Err(unreadable(&path, "it ends in its header"));
            }
        };
        let carry = start.split_off(header.bytes);
        let at = header.bytes as u64;
        let mut it = Self {
            path,
            split,
            stream,
            header,
            header_bytes: start.into(),
            chunk_bytes,
            carry,
            at,
            expanded: at,
            ended: false,
            bytes_in: 0,
        };
        if place.offset > 0 {
            it.go_on_at(place)?;
        }
        Ok(it)
    }

    fn place(&self) -> Place {
        let tail = Tail { bytes: self.expanded, ..Tail::of(&self.header_bytes) };
        Place { offset: self.at, tail }
    }

    fn go_on_at(&mut self, place: Place) -> Result<()> {
        if place.tail.checksum != self.place().tail.checksum || place.offset < self.at {
            return Err(changed(&self.path, place.offset));
        }
        let behind = place.offset - self.at;
        if behind > 0 {
            // Before the place there ends a block.
            let marker = behind.checked_sub(MARKER_BYTES as u64);
            let marker = marker.ok_or_else(|| changed(&self.path, place.offset))?;
            let known = self.carry.len().min(usize::try_from(marker).unwrap_or(usize::MAX));
            self.carry.drain(..known);
            self.stream.skip(&self.path, marker - known as u64)?;
            self.stream.append(&self.path, &mut self.carry, MARKER_BYTES)?;
            if !self.carry.starts_with(&self.header.marker) {
                return Err(changed(&self.path, place.offset));
            }
            self.carry.drain(..MARKER_BYTES);
        }
        (self.at, self.expanded) = (place.offset, place.tail.bytes);
        self.bytes_in = self.stream.bytes_in();
        Ok(())
    }

    /// The file as a split.
    pub(crate) fn split(&self) -> &Arc<SplitInfo> {
        &self.split
    }

    /// Whether the last block has been handed out.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    #[cfg(test)]
    pub(crate) fn set_chunk_bytes(&mut self, chunk_bytes: usize) {
        self.chunk_bytes = chunk_bytes;
    }

    /// The next whole blocks; `None` at the end of the file.
    ///
    /// # Errors
    /// `InputUnreadable`: it is damaged, or ends within a block.
    pub(crate) fn next(&mut self, buffers: &BufferPool) -> Result<Option<CutBlocks>> {
        let offset = self.expanded;
        let mut bytes = buffers.take();
        let mut read = 0;
        while bytes.len() < self.chunk_bytes && !self.is_beyond(read) {
            let Some(end) = self.block(read)? else {
                self.check_length(read)?;
                self.ended = true;
                break;
            };
            let block = self.carry.get(read..end).unwrap_or_default();
            let expanded = self.header.expand(block, &mut bytes);
            expanded.map_err(|why| self.damaged(read, &why))?;
            read = end;
        }
        self.ended |= self.is_beyond(read);
        self.carry.drain(..read);
        self.at += read as u64;
        self.expanded += bytes.len() as u64;
        if bytes.is_empty() {
            buffers.give(bytes);
            return Ok(None);
        }
        let all = self.stream.bytes_in();
        let bytes_in = all - std::mem::replace(&mut self.bytes_in, all);
        let blocks = Blocks { header: self.header_bytes.clone(), bytes };
        Ok(Some(CutBlocks { blocks, offset, bytes_in, end: self.place() }))
    }

    /// Whether what stands `ahead` of the carry's start came after the file was listed.
    fn is_beyond(&self, ahead: usize) -> bool {
        let size = self.split.size.filter(|_| self.stream.is_plain());
        size.is_some_and(|size| self.at + ahead as u64 >= size)
    }

    /// The file ends `ahead` of the carry's start; not before the length it was listed with, if that is known.
    fn check_length(&self, ahead: usize) -> Result<()> {
        let (now, listed) = (self.at + ahead as u64, self.split.size.unwrap_or(0));
        if self.stream.is_plain() && now < listed {
            let why = format!("it has become shorter while it was read: {now} bytes, it had {listed}");
            return Err(unreadable(&self.path, &why).help("put the file back as it was"));
        }
        Ok(())
    }

    /// Reads until the block that begins at `start` is whole; where it ends. `None`: the file ends there.
    fn block(&mut self, start: usize) -> Result<Option<usize>> {
        loop {
            let known = self.carry.get(start..).unwrap_or_default();
            let end = Header::block_end(known).map_err(|why| self.damaged(start, &why))?;
            if let Some(end) = end.filter(|end| *end <= known.len()) {
                return Ok(Some(start + end));
            }
            let want = end.map_or(0, |end| end - known.len()).max(READ_BYTES);
            if self.stream.append(&self.path, &mut self.carry, want)? == 0 {
                if self.carry.len() == start {
                    return Ok(None);
                }
                return Err(self.damaged(start, "it ends within a block"));
            }
        }
    }

    fn damaged(&self, ahead: usize, why: &str) -> Box<Diagnostic> {
        unreadable(&self.path, &format!("{why} (at byte {})", self.at + ahead as u64))
            .help("the file is damaged or incomplete")
    }
}

fn unreadable(path: &std::path::Path, why: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::InputUnreadable, format!("cannot read '{}' as avro: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/avro")).join(name)
    }

    fn open(name: &str, chunk_bytes: usize, place: Place) -> Result<BlockFile> {
        let path = file(name);
        let size = std::fs::metadata(&path).ok().map(|it| it.len());
        BlockFile::open(path, Arc::new(SplitInfo { size, ..SplitInfo::default() }), chunk_bytes, place)
    }

    /// The text of all chunks, and the place behind each.
    fn read(mut file: BlockFile) -> (Vec<u8>, Vec<(usize, Place)>) {
        let (mut text, mut places) = (Vec::new(), Vec::new());
        let start = file.place().tail.bytes;
        while let Some(cut) = file.next(&BufferPool::default()).unwrap() {
            assert_eq!(cut.offset, start + text.len() as u64);
            text.extend(cut.blocks.bytes);
            places.push((text.len(), cut.end));
        }
        assert!(file.is_ended());
        (text, places)
    }

    #[test]
    fn reading_goes_on_at_every_block() {
        let (plain, _) = read(open("fastavro-null.avro", 1, Place::default()).unwrap());
        for name in
            ["fastavro-null.avro", "fastavro-deflate.avro", "fastavro-snappy.avro", "fastavro-zstandard.avro"]
        {
            let (text, places) = read(open(name, 1, Place::default()).unwrap());
            assert_eq!(text, plain, "{name}");
            assert!(places.len() > 3);
            for (length, place) in &places {
                let (rest, _) = read(open(name, 7000, *place).unwrap());
                assert_eq!(rest, text[*length..], "{name} at {length}");
            }
        }
        let (_, places) = read(open("fastavro-null.avro", 1, Place::default()).unwrap());
        let error = open("apache.avro", 1, places[0].1).map(|_| ()).unwrap_err();
        assert_eq!(error.code, Code::CheckpointUnusable);
    }

    #[test]
    fn a_file_that_is_no_longer_what_it_was_is_an_error() {
        let (_, places) = read(open("fastavro-null.avro", 1, Place::default()).unwrap());
        let mut bytes = std::fs::read(file("fastavro-null.avro")).unwrap();
        let size = Some(bytes.len() as u64);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("changed.avro");
        let open = |place| {
            let split = Arc::new(SplitInfo { size, ..SplitInfo::default() });
            BlockFile::open(path.clone(), split, 1, place)
        };
        // The header is the same, but where reading would go on no block has ended.
        let at = places[1].1.offset as usize;
        bytes[at - 1] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = open(places[1].1).map(drop).unwrap_err();
        assert_eq!(error.code, Code::CheckpointUnusable);
        assert!(open(places[2].1).is_ok());
        // Cut off behind a block it looks whole.
        std::fs::write(&path, &bytes[..places[0].1.offset as usize]).unwrap();
        let mut short = open(Place::default()).unwrap();
        assert!(short.next(&BufferPool::default()).unwrap().is_some());
        let error = short.next(&BufferPool::default()).map(drop).unwrap_err();
        assert!(error.message.contains("has become shorter"), "{error}");
    }

    #[test]
    fn a_header_without_end_is_not_read_to_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large.avro");
        let mut bytes = b"Obj\x01\x02\x02x".to_vec();
        // A value of 1 GiB is announced.
        bytes.extend([0x80, 0x80, 0x80, 0x80, 0x08]);
        bytes.resize(HEADER_BYTES_MAX + (1 << 20), 0);
        std::fs::write(&path, &bytes).unwrap();
        let error = BlockFile::open(path, Arc::default(), 1, Place::default()).map(drop).unwrap_err();
        assert!(error.message.contains("longer than 16 MiB"), "{error}");
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let bytes = std::fs::read(file("fastavro-snappy.avro")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cut.avro");
        let outcome = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut file = BlockFile::open(path.clone(), Arc::default(), 1, Place::default())?;
            while file.next(&BufferPool::default())?.is_some() {}
            Ok::<(), Box<Diagnostic>>(())
        };
        assert!(outcome(&bytes).is_ok());
        for cut in [2, 100, bytes.len() - 1, bytes.len() - 20] {
            let error = outcome(&bytes[..cut]).unwrap_err();
            assert!(error.code == Code::InputUnreadable && error.message.contains("cut.avro"), "{error}");
        }
        let mut damaged = bytes.clone();
        let last = damaged.len() - 40;
        damaged[last] ^= 1;
        assert!(outcome(&damaged).unwrap_err().message.contains("(at byte "));
    }
}
