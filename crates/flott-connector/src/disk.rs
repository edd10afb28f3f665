//! Files as sinks and dead letters write them: the seam where a simulator puts a disk that loses what was
//! not made durable.
//!
//! ```text
//!   create ─► write … ─► sync (the bytes) ─► sync_directory (the name) ─► rename ─► sync_directory
//! ```
//!
//! What [`LocalDisk`] gives and every other must:
//! - Bytes are durable after [`DiskFile::sync`], a name (made, renamed or removed) after
//!   [`Disk::sync_directory`] of its directory; before that a crash may keep either, both or none.
//! - A rename is atomic: at any time, and after a crash, there is the old name or the new one.
//!
//! A disk also gives out the threads on which its I/O is done ([`Disk::start`]).

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use flott_types::Result;

use crate::io::{Thread, Work, Worker, work};

/// A file that is open for writing.
pub trait DiskFile: Write + Send {
    /// Makes all bytes written durable.
    ///
    /// # Errors
    /// What the disk says, also of writes before.
    fn sync(&self) -> io::Result<()>;
    /// Makes everything on the file's file system durable, where that is possible; else as `sync`.
    ///
    /// # Errors
    /// As `sync`.
    fn sync_file_system(&self) -> io::Result<()> {
        self.sync()
    }
    /// A hint that these bytes will be synced soon.
    fn begin_writeback(&self, from: u64, length: u64) {
        let _ = (from, length);
    }
}

/// What lies in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a file; one of this name must not be there.
    ///
    /// # Errors
    /// `AlreadyExists`, …
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to write at its end; `create`: if there is none, an empty one.
    ///
    /// # Errors
    /// `NotFound`, …
    fn append(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file; one that has the new name is replaced.
    ///
    /// # Errors
    /// `NotFound`, …
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, …
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, …
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and those above it, where they are missing.
    ///
    /// # Errors
    /// `AlreadyExists` if a file is in the way, …
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable; `file_system`: and everything else on its file system, where
    /// that is possible.
    ///
    /// # Errors
    /// `NotFound`, …
    fn sync_directory(&self, path: &Path, file_system: bool) -> io::Result<()>;
    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> bool;
    /// What lies in a directory.
    ///
    /// # Errors
    /// `NotFound`, …
    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;
    /// Has I/O done beside the caller.
    ///
    /// # Errors
    /// `Internal` if no thread can be started.
    fn start(&self, name: String, work: Box<dyn Work>) -> Result<Box<dyn Worker>>;
}

/// The machine's file systems.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }
    fn append(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create(create).open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn sync_directory(&self, path: &Path, file_system: bool) -> io::Result<()> {
        let directory = File::open(path)?;
        if file_system { directory.sync_file_system() } else { directory.sync_all() }
    }
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let entry = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(DiskEntry { name, is_directory: entry.file_type().ok()?.is_dir() })
        };
        Ok(fs::read_dir(path)?.flatten().filter_map(entry).collect())
    }
    fn start(&self, name: String, todo: Box<dyn Work>) -> Result<Box<dyn Worker>> {
        Ok(Box::new(work(name, todo)?))
    }
}

impl DiskFile for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
    #[cfg(target_os = "linux")]
    fn sync_file_system(&self) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open.
        match unsafe { libc::syncfs(self.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
    #[cfg(target_os = "linux")]
    fn begin_writeback(&self, from: u64, length: u64) {
        use std::os::fd::AsRawFd;
        let (Ok(from), Ok(length)) = (i64::try_from(from), i64::try_from(length)) else { return };
        // SAFETY: only a hint about a descriptor that is open; fsync reports errors later.
        unsafe { libc::sync_file_range(self.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

impl Worker for Thread {
    fn is_finished(&self) -> bool {
        Thread::is_finished(self)
    }
}
