//! Where a reader of files stands, as checkpoints keep it.
//!
//! ```text
//!   files   ▤ ▤ ▤ ▤ ▤ ▤     as they were listed, in the order of reading
//!           done▲ ▲ ▲
//!               │ │ └─ file: the next to be opened
//!               └─┴─── open: each with the offset in its text (or its row groups) to go on at, and a
//!                      checksum of what precedes it
//! ```
//!
//! The list is kept as a whole, because nothing else says exactly what a run was to read: files
//! that come or go later must not change it. It is packed once per listing, so a position costs no
//! more than a copy of that text (some 10 bytes a file).

use std::{ffi::OsString, fs, io, os::unix::ffi::OsStringExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};
use twox_hash::XxHash3_64;

use super::{
    listing::FoundFile,
    location::{Location, failed},
};

/// Bytes before the offset that the checksum is of.
const TAIL_BYTES: usize = 4 << 10;
/// For small numbers of small files more would gain nothing; for many it takes milliseconds.
const PACKING_LEVEL: i32 = 1;

/// A place in one file, at the start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Bytes of text, uncompressed; or row groups; or, of a file of blocks, its bytes as they are.
    pub offset: u64,
    /// What precedes it.
    pub tail: Tail,
}

/// The last text before a place; for a columnar file its row groups; for a file of blocks its header, and the
/// bytes of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    pub bytes: u64,
    pub checksum: u64,
}

impl Tail {
    /// Of text that ends at the place.
    pub(crate) fn of(text: &[u8]) -> Self {
        let text = text.get(text.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        Self { bytes: text.len() as u64, checksum: XxHash3_64::oneshot(text) }
    }
}

/// A file that has been begun and isn't done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenPlace {
    /// Its index in the list of files.
    pub file: usize,
    /// Its number as a split.
    pub split_number: u32,
    /// Where to go on in it.
    pub place: Place,
}

impl OpenPlace {
    /// As a text: `file:split:offset:bytes:checksum`.
    fn to_text(self) -> String {
        let Self { file, split_number, place: Place { offset, tail } } = self;
        format!("{file}:{split_number}:{offset}:{}:{:016x}", tail.bytes, tail.checksum)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let file = parts.next()?.parse().ok()?;
        let split_number = parts.next()?.parse().ok()?;
        let offset = parts.next()?.parse().ok()?;
        let bytes = parts.next()?.parse().ok()?;
        let checksum = u64::from_str_radix(parts.next()?, 16).ok()?;
        let place = Place { offset, tail: Tail { bytes, checksum } };
        parts.next().is_none().then_some(Self { file, split_number, place })
    }
}

/// Where a reader stands, and what it was to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// In the order of reading.
    pub files: Vec<FoundFile>,
    /// The next file to open; those before it are open or done.
    pub next_file: usize,
    /// The number that this file will have as a split.
    pub next_split: u32,
    /// In the order of `files`.
    pub open: Vec<OpenPlace>,
}

/// The list of files as a text.
pub(crate) fn pack(files: &[FoundFile]) -> Result<String> {
    let mut bytes = Vec::with_capacity(files.len() * 64);
    for file in files {
        let path = file.path.as_os_str().as_encoded_bytes();
        bytes.extend((path.len() as u32).to_le_bytes());
        bytes.extend(path);
        bytes.extend(file.size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)).to_le_bytes());
        bytes.extend(file.modified_millis.unwrap_or(i64::MIN).to_le_bytes());
    }
    let packed = zstd::bulk::compress(&bytes, PACKING_LEVEL).map_err(|error| {
        Diagnostic::error(Code::Internal, format!("cannot pack a list of files: {error}"))
    })?;
    Ok(STANDARD_NO_PAD.encode(packed))
}

fn unpack(text: &str) -> Option<Vec<FoundFile>> {
    let packed = STANDARD_NO_PAD.decode(text).ok()?;
    let bytes = zstd::stream::decode_all(packed.as_slice()).ok()?;
    let mut rest = bytes.as_slice();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
        let path = OsString::from_vec(rest.split_off(..length as usize)?.to_vec()).into();
        let size = i64::from_le_bytes(*rest.split_off(..8)?.first_chunk()?);
        let modified = i64::from_le_bytes(*rest.split_off(..8)?.first_chunk()?);
        let modified_millis = (modified != i64::MIN).then_some(modified);
        files.push(FoundFile { path, size: u64::try_from(size).ok(), modified_millis });
    }
    Some(files)
}

/// A position as JSON; `packed` is its list of files.
pub(crate) fn to_json(
    location: &Location,
    packed: &str,
    next_file: usize,
    next_split: u32,
    open: impl Iterator<Item = OpenPlace>,
) -> Value {
    json!({
        "path": location.path.to_string_lossy(),
        "files": packed,
        "file": next_file,
        "split": next_split,
        "open": open.map(OpenPlace::to_text).collect::<Vec<_>>(),
    })
}

impl Position {
    /// Reads a position of this location.
    ///
    /// # Errors
    /// `CheckpointUnusable`: it is none, or of another path.
    pub(crate) fn from_json(value: &Value, location: &Location) -> Result<Self> {
        let here = location.path.to_string_lossy();
        if let Some(there) = value.get("path").and_then(Value::as_str).filter(|there| *there != here) {
            let message = format!("the checkpoint has read '{there}', but the table's path is '{here}'");
            return Err(unusable(message).at(location.span));
        }
        Self::parse(value)
            .ok_or_else(|| unusable(format!("not a place in '{here}': {value}")).at(location.span))
    }

    fn parse(value: &Value) -> Option<Self> {
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let files = unpack(text("files")?)?;
        let next_file = usize::try_from(number("file")?).ok().filter(|file| *file <= files.len())?;
        let next_split = number("split")?.try_into().ok()?;
        let open = value.get("open")?.as_array()?.iter();
        let open: Vec<OpenPlace> = open.map(|it| OpenPlace::parse(it.as_str()?)).collect::<Option<_>>()?;
        let known = open.iter().all(|it| it.file < next_file);
        known.then_some(Self { files, next_file, next_split, open })
    }

    /// Whether all that is still to be read is there, and no shorter than it was.
    ///
    /// # Errors
    /// `CheckpointUnusable`, `InputUnreadable`
    pub(crate) fn check(&self) -> Result<()> {
        let open = self.open.iter().filter_map(|it| self.files.get(it.file));
        open.chain(self.files.iter().skip(self.next_file)).try_for_each(check_file)
    }
}

fn check_file(file: &FoundFile) -> Result<()> {
    let shown = file.path.display();
    let found = match fs::metadata(&file.path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unusable(format!("'{shown}' is gone; the checkpoint has not read all of it yet"))
                .help("put the file back"));
        }
        Err(error) => return Err(failed(&file.path, &error)),
    };
    match file.size {
        None => Err(unusable(format!("'{shown}' cannot be read twice: it is no regular file"))),
        Some(size) if found.len() < size => {
            let now = found.len();
            Err(unusable(format!(
                "'{shown}' has become shorter since the checkpoint: {now} bytes, it had {size}"
            ))
            .help("put the file back as it was"))
        }
        Some(_) => Ok(()),
    }
}

/// The text before the place isn't what it was.
pub(crate) fn changed(path: &Path, offset: u64) -> Box<Diagnostic> {
    let message = format!(
        "'{}' has changed since the checkpoint: what stands before byte {offset} is not what was read",
        path.display()
    );
    unusable(message).help("put the file back as it was")
}

/// The row groups aren't what they were.
pub(crate) fn regrouped(path: &Path) -> Box<Diagnostic> {
    unusable(format!("'{}' has changed since the checkpoint: its row groups are others", path.display()))
        .help("put the file back as it was")
}

fn unusable(message: String) -> Box<Diagnostic> {
    Diagnostic::error(Code::CheckpointUnusable, message).help("or start anew with `--resume never`")
}
