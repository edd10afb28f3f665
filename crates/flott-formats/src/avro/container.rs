//! Object container files: a header with the schema, and blocks of records that end with a marker.
//!
//! ```text
//!   Obj 1 │ metadata: avro.schema, avro.codec │ marker: 16 bytes
//!   count │ bytes │ records, compressed │ marker
//!   count │ bytes │ …
//! ```
//!
//! A block can be read apart from its neighbours; the marker shows that it ended where it said.
//!
//! Source: Apache Avro specification, "Object Container Files".

use std::io::Read as _;

use flate2::{Compression, Crc, read::DeflateDecoder, write::DeflateEncoder};
use flott_types::{Code, Diagnostic, Options, Result};

use super::{
    failure::Fail,
    wire::{Input, put_bytes, put_long},
};

const MAGIC: &[u8; 4] = b"Obj\x01";
/// Bytes of a marker.
pub const MARKER_BYTES: usize = 16;
/// A header is no longer than this.
pub const HEADER_BYTES_MAX: usize = 16 << 20;
/// A block is no longer than this, compressed or not; others write a thousandth of it.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// The level of zstandard; as in Java's library it is of little matter which.
const ZSTD_LEVEL: i32 = 3;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Null,
    /// Raw deflate.
    Deflate,
    /// Snappy, with a checksum behind it.
    Snappy,
    /// Zstandard.
    Zstandard,
}

impl Codec {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Codec::Null,
            "deflate" => Codec::Deflate,
            "snappy" => Codec::Snappy,
            "zstandard" => Codec::Zstandard,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Snappy => "snappy",
            Codec::Zstandard => "zstandard",
        }
    }

    /// The one that `avro.codec` names.
    ///
    /// # Errors
    /// `InvalidOption`, `NotSupported`
    pub fn of(options: &Options) -> Result<Self> {
        let key = "avro.codec";
        let Some(name) = options.get(key).map(str::to_ascii_lowercase) else { return Ok(Codec::Snappy) };
        Self::named(&name).ok_or_else(|| {
            Diagnostic::not_supported(format!("'{key}' = '{name}'"))
                .at(options.span(key))
                .help("use null, deflate, snappy or zstandard")
        })
    }

    /// Appends a block's records as they are without compression.
    fn expand(self, block: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        let limit = BLOCK_BYTES_MAX as u64 + 1;
        match self {
            Codec::Null => out.extend_from_slice(block),
            Codec::Deflate => {
                let read = DeflateDecoder::new(block).take(limit).read_to_end(out);
                read.map_err(|error| error.to_string())?;
            }
            Codec::Zstandard => {
                let decoder = zstd::stream::read::Decoder::with_buffer(block);
                let read = decoder.and_then(|decoder| decoder.take(limit).read_to_end(out));
                read.map_err(|error| error.to_string())?;
            }
            Codec::Snappy => {
                let (block, checksum) = block.split_last_chunk::<4>().ok_or("a block without checksum")?;
                let length = snap::raw::decompress_len(block).map_err(|error| error.to_string())?;
                // No more than 64 bytes come of three.
                if length > block.len().saturating_mul(24).saturating_add(64) {
                    return Err("a block announces more than it can hold".into());
                }
                if length > BLOCK_BYTES_MAX {
                    return Err(too_long());
                }
                out.resize(start + length, 0);
                let place = out.get_mut(start..).unwrap_or_default();
                snap::raw::Decoder::new().decompress(block, place).map_err(|error| error.to_string())?;
                let mut sum = Crc::new();
                sum.update(place);
                if sum.sum().to_be_bytes() != *checksum {
                    return Err("the checksum of a block is wrong".into());
                }
            }
        }
        if out.len() - start > BLOCK_BYTES_MAX {
            return Err(too_long());
        }
        Ok(())
    }

    /// Appends a block's records compressed.
    fn compress(self, records: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Codec::Null => out.extend_from_slice(records),
            Codec::Deflate => {
                let mut encoder = DeflateEncoder::new(&mut *out, Compression::new(6));
                std::io::Write::write_all(&mut encoder, records)?;
                encoder.finish()?;
            }
            Codec::Zstandard => out.extend(zstd::bulk::compress(records, ZSTD_LEVEL)?),
            Codec::Snappy => {
                let packed =
                    snap::raw::Encoder::new().compress_vec(records).map_err(std::io::Error::other)?;
                out.extend(packed);
                let mut sum = Crc::new();
                sum.update(records);
                out.extend(sum.sum().to_be_bytes());
            }
        }
        Ok(())
    }
}

/// What stands before the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The schema of the records, as JSON.
    pub schema: String,
    /// How blocks are compressed.
    pub codec: Codec,
    /// What ends each block.
    pub marker: [u8; MARKER_BYTES],
    /// Bytes of the header.
    pub bytes: usize,
}

impl Header {
    /// Parses the start of a file. `None`: more bytes are needed, of [`HEADER_BYTES_MAX`] at the most.
    ///
    /// # Errors
    /// Why it isn't one.
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>, String> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err("it doesn't begin as Avro's object container files do".into());
        }
        let mut input = Input::new(bytes, MAGIC.len());
        let (mut schema, mut codec) = (None, Codec::Null);
        loop {
            let Some((count, _)) = whole(input.block())? else { return Ok(None) };
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let Some(key) = whole(input.bytes())? else { return Ok(None) };
                let Some(value) = whole(input.bytes())? else { return Ok(None) };
                let text = || std::str::from_utf8(value).map_err(|_| "its header is not UTF-8".to_string());
                match key {
                    b"avro.schema" => schema = Some(text()?.to_string()),
                    b"avro.codec" => {
                        let name = text()?;
                        codec = Codec::named(name).ok_or_else(|| {
                            format!("not supported yet: files whose blocks are compressed as '{name}'")
                        })?;
                    }
                    _ => {}
                }
            }
        }
        let Some(marker) = whole(input.array())? else { return Ok(None) };
        let schema = schema.ok_or("its header has no schema")?;
        Ok(Some(Header { schema, codec, marker, bytes: input.at() }))
    }

    /// Appends the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        put_long(2, out);
        put_bytes(b"avro.codec", out);
        put_bytes(self.codec.name().as_bytes(), out);
        put_bytes(b"avro.schema", out);
        put_bytes(self.schema.as_bytes(), out);
        out.push(0);
        out.extend(self.marker);
    }

    /// Appends a block.
    ///
    /// # Errors
    /// `OutputFailed`
    pub fn write_block(&self, count: usize, records: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut packed = Vec::new();
        self.codec.compress(records, &mut packed).map_err(|error| {
            let message = format!("cannot compress a block as {}: {error}", self.codec.name());
            Diagnostic::error(Code::OutputFailed, message)
        })?;
        put_long(count as i64, out);
        put_bytes(&packed, out);
        out.extend(self.marker);
        Ok(())
    }

    /// Where the block that begins at `bytes` ends, marker included. `None`: more bytes are needed.
    ///
    /// # Errors
    /// Why it isn't one.
    pub fn block_end(bytes: &[u8]) -> Result<Option<usize>, String> {
        match head(bytes)? {
            None => Ok(None),
            Some((_, start, length)) => Ok(Some(start + length + MARKER_BYTES)),
        }
    }

    /// Appends the whole block in `bytes` with its records expanded: still a block, but not compressed.
    ///
    /// # Errors
    /// What is damaged.
    pub fn expand(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let (count, start, length) = head(bytes)?.ok_or("a block is cut off")?;
        let block = bytes.get(start..start + length).ok_or("a block is cut off")?;
        if bytes.get(start + length..) != Some(&self.marker) {
            return Err("a block doesn't end with the file's marker".into());
        }
        if self.codec == Codec::Null {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        // How long the records are is known behind them: what stands before them is put there then.
        let start = out.len();
        self.codec.expand(block, out)?;
        let mut head = Vec::new();
        put_long(count, &mut head);
        put_long((out.len() - start) as i64, &mut head);
        out.splice(start..start, head);
        out.extend(self.marker);
        Ok(())
    }
}

#[cold]
fn too_long() -> String {
    format!("a block is larger than {} MiB", BLOCK_BYTES_MAX >> 20)
}

/// What was read of a header; `None`: more bytes are needed.
fn whole<T>(read: std::result::Result<T, Fail>) -> std::result::Result<Option<T>, String> {
    match read {
        Ok(it) => Ok(Some(it)),
        Err(fail) if fail.is_short() => Ok(None),
        Err(_) => Err("its header is damaged".into()),
    }
}

/// The head of a block: how many records, where they begin, and in how many bytes they are.
fn head(bytes: &[u8]) -> Result<Option<(i64, usize, usize)>, String> {
    // Two numbers of up to ten bytes; fewer bytes than that may still be whole.
    let mut input = Input::new(bytes, 0);
    let (Ok(count), Ok(length)) = (input.long(), input.long()) else {
        return if bytes.len() >= 20 { Err("a block begins with no number".into()) } else { Ok(None) };
    };
    match usize::try_from(length) {
        Ok(length) if count >= 0 && length <= BLOCK_BYTES_MAX => Ok(Some((count, input.at(), length))),
        Ok(_) if count >= 0 => Err(too_long()),
        _ => Err(format!("a block of {count} records in {length} bytes")),
    }
}

/// A block whose records are expanded: how many, and their bytes as a range.
pub(super) struct Expanded {
    pub count: u64,
    pub records: std::ops::Range<usize>,
}

/// The blocks in `bytes`, each as [`Header::expand`] wrote it.
pub(super) fn blocks(bytes: &[u8]) -> impl Iterator<Item = Result<Expanded, String>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let next = match head(rest) {
            Ok(Some(next)) => next,
            Ok(None) => return Some(Err("a block is cut off".into())),
            Err(why) => return Some(Err(why)),
        };
        let (count, start, length) = next;
        let records = at + start..at + start + length;
        at = records.end + MARKER_BYTES;
        Some(Ok(Expanded { count: count.unsigned_abs(), records }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_there_and_back() {
        let records: Vec<u8> = (0..10_000u32).flat_map(|it| (it % 200).to_le_bytes()).collect();
        for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstandard] {
            let header = Header { schema: "\"int\"".into(), codec, marker: [7; 16], bytes: 0 };
            let mut file = Vec::new();
            header.write(&mut file);
            for cut in 0..file.len() {
                assert_eq!(Header::parse(&file[..cut]), Ok(None), "{codec:?} at {cut}");
            }
            let found = Header::parse(&file).unwrap().unwrap();
            assert_eq!((found.bytes, found.codec), (file.len(), codec));
            let mut block = Vec::new();
            found.write_block(3, &records, &mut block).unwrap();
            assert_eq!(Header::block_end(&block), Ok(Some(block.len())));
            let mut expanded = Vec::new();
            found.expand(&block, &mut expanded).unwrap();
            let all: Vec<Expanded> = blocks(&expanded).map(Result::unwrap).collect();
            assert_eq!((all.len(), all[0].count), (1, 3));
            assert_eq!(expanded[all[0].records.clone()], records);
            // Damage anywhere is found, or leaves nothing larger than what was there.
            for at in (0..block.len()).step_by(97) {
                let mut damaged = block.clone();
                damaged[at] ^= 0x55;
                let _ = found.expand(&damaged, &mut Vec::new());
            }
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(Header::parse(b"PAR1").is_err());
        assert!(Header::parse(b"Obj\x01\x00................").is_err());
        assert_eq!(Header::parse(b"Ob"), Ok(None));
        assert!(head(&[0xff; 32]).is_err());
        // Not only cut off: no more bytes make a header of these.
        assert!(Header::parse(b"Obj\x01\x02\x01").unwrap_err().contains("damaged"));
        assert!(Header::parse(&[b"Obj\x01".as_slice(), &[0xff; 11]].concat()).is_err());
    }

    #[test]
    fn what_expands_without_end_is_refused() {
        for codec in [Codec::Deflate, Codec::Zstandard, Codec::Snappy] {
            let header = Header { schema: String::new(), codec, marker: [7; 16], bytes: 0 };
            let (mut block, mut out) = (Vec::new(), Vec::new());
            header.write_block(1, &vec![0; BLOCK_BYTES_MAX + 1], &mut block).unwrap();
            assert_eq!(header.expand(&block, &mut out).unwrap_err(), too_long(), "{codec:?}");
            assert!(out.len() <= BLOCK_BYTES_MAX + 1);
        }
    }
}
