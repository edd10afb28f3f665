//! A file's bytes, decompressed on the way if its name says so.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    os::fd::AsRawFd,
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use flott_types::{Code, Diagnostic, Result};
use zstd::stream::read::Decoder as ZstdDecoder;

use super::location::failed;

/// Compressed bytes read at once.
const COMPRESSED_READ_BYTES: usize = 256 << 10;
/// Text read at once to get to a place behind it.
const SKIPPED_READ_BYTES: usize = 1 << 20;
/// Smaller files are read before the kernel could make use of the advice.
const ADVISE_BYTES_MIN: u64 = 4 << 20;

/// Counts what is read from a file.
pub(crate) struct Counting {
    file: File,
    read: u64,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// An open file's bytes.
pub(crate) enum ByteStream {
    /// As they lie in the file.
    Plain(Counting),
    /// gzip, of any number of members.
    Gzip(Box<MultiGzDecoder<BufReader<Counting>>>),
    /// Zstandard, of any number of frames.
    Zstd(Box<ZstdDecoder<'static, BufReader<Counting>>>),
}

impl ByteStream {
    /// Opens a file; its extension says how it is compressed.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        let file = File::open(path).map_err(|error| failed(path, &error))?;
        if size.is_some_and(|size| size >= ADVISE_BYTES_MIN) {
            advise_sequential(&file);
        }
        let file = Counting { file, read: 0 };
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "gz" | "gzip" => {
                let input = BufReader::with_capacity(COMPRESSED_READ_BYTES, file);
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(input))))
            }
            "zst" | "zstd" => {
                let input = BufReader::with_capacity(COMPRESSED_READ_BYTES, file);
                let decoder = ZstdDecoder::with_buffer(input).map_err(|error| failed(path, &error))?;
                Ok(Self::Zstd(Box::new(decoder)))
            }
            "bz2" | "xz" | "deflate" | "lz4" | "snappy" => Err(Diagnostic::not_supported(format!(
                "files compressed as .{extension}: '{}'",
                path.display()
            ))
            .help("compress as .gz or .zst")),
            _ => Ok(Self::Plain(file)),
        }
    }

    /// Whether sizes in the file are sizes of the text.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Bytes read from the file so far; compressed ones where compressed.
    pub(crate) fn bytes_in(&self) -> u64 {
        match self {
            Self::Plain(file) => file.read,
            Self::Gzip(decoder) => decoder.get_ref().get_ref().read,
            Self::Zstd(decoder) => decoder.get_ref().get_ref().read,
        }
    }

    /// Goes on `bytes` further into the text; less far only if it ends before.
    ///
    /// # Errors
    /// `InputUnreadable`
    pub(crate) fn skip(&mut self, path: &Path, bytes: u64) -> Result<()> {
        if let Self::Plain(file) = self {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            return file.file.seek_relative(bytes).map_err(|error| failed(path, &error));
        }
        let mut left = bytes;
        let mut scratch = Vec::new();
        while left > 0 {
            scratch.clear();
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(SKIPPED_READ_BYTES);
            let read = self.append(path, &mut scratch, want)?;
            if read < want {
                break;
            }
            left -= read as u64;
        }
        Ok(())
    }

    /// Appends up to `want` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// `InputUnreadable`
    pub(crate) fn append(&mut self, path: &Path, buffer: &mut Vec<u8>, want: usize) -> Result<usize> {
        let appended = match self {
            Self::Plain(file) => append_plain(file, buffer, want),
            Self::Gzip(decoder) => append_from(decoder.as_mut(), buffer, want),
            Self::Zstd(decoder) => append_from(decoder.as_mut(), buffer, want),
        };
        appended.map_err(|error| self.failed(path, &error))
    }

    fn failed(&self, path: &Path, error: &io::Error) -> Box<Diagnostic> {
        let kind = match self {
            Self::Plain(_) => return failed(path, error),
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        };
        let (shown, at) = (path.display(), self.bytes_in());
        let message = format!("cannot decompress '{shown}' as {kind} (after {at} bytes): {error}");
        Diagnostic::error(Code::InputUnreadable, message)
            .help("the file is damaged or incomplete, or its extension is wrong")
    }
}

fn append_from(input: &mut impl Read, buffer: &mut Vec<u8>, want: usize) -> io::Result<usize> {
    let start = buffer.len();
    let read = input.take(want as u64).read_to_end(buffer);
    read.inspect_err(|_| buffer.truncate(start))
}

/// Reads straight into memory that hasn't been set to zero before: setting it would cost a
/// good part of what reading costs.
fn append_plain(file: &mut Counting, buffer: &mut Vec<u8>, want: usize) -> io::Result<usize> {
    buffer.reserve(want);
    let mut done = 0;
    while done < want {
        let spare = buffer.spare_capacity_mut();
        let length = spare.len().min(want - done);
        // SAFETY: the kernel writes at most `length` bytes to the start of `spare`, which is ours
        // and at least that long.
        let read = unsafe { libc::read(file.file.as_raw_fd(), spare.as_mut_ptr().cast(), length) };
        let read = match usize::try_from(read) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            },
        };
        // SAFETY: the kernel has just written `read` bytes after the old length.
        unsafe { buffer.set_len(buffer.len() + read) };
        done += read;
        file.read += read as u64;
    }
    Ok(done)
}

#[cfg(target_os = "linux")]
fn advise_sequential(file: &File) {
    // SAFETY: only a hint about a descriptor that is open.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_SEQUENTIAL) };
}

#[cfg(not(target_os = "linux"))]
fn advise_sequential(_: &File) {}
