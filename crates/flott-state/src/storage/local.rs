//! A directory as storage.
//!
//! ```text
//!   put_if_absent   .tmp/<process>-<n> ─write, fsync─► hard link to the name (fails if taken) ─► fsync folder
//!   write           the name, exclusively ─write, fsync─► fsync folder
//! ```
//! The hard link is what makes the put atomic. Where a file system has none, a rename that
//! refuses to replace does the same. Names that begin with a dot are not objects.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Effect, Put, Storage, StorageError, StorageResult};

/// Tells the temporary files of one storage apart.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Tells this process's temporary files from those of any other, also where two on different machines, or in
/// different containers, have the same number.
static PROCESS: LazyLock<u64> = LazyLock::new(|| {
    let mut what = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if let Ok(space) = fs::read_link("/proc/self/ns/pid") {
        what.extend_from_slice(space.as_os_str().as_encoded_bytes());
    }
    // Number, and when it began.
    what.extend(fs::read("/proc/self/stat").unwrap_or_default());
    what.extend(std::process::id().to_le_bytes());
    twox_hash::XxHash3_64::oneshot(&what)
});

/// Objects as files below a directory, which is made when something is written.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: PathBuf,
}

impl LocalStorage {
    /// The storage in this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, name: &str) -> StorageResult<PathBuf> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
        if name.split('/').all(plain) {
            return Ok(self.root.join(name));
        }
        let what = "isn't a name for an object".to_owned();
        Err(StorageError { name: name.to_owned(), what, effect: Effect::None, passing: false })
    }

    /// Where a put prepares its file: in the same file system, never listed.
    fn temporary(&self) -> io::Result<PathBuf> {
        let folder = self.root.join(".tmp");
        make_folder(&folder)?;
        Ok(folder.join(format!("{:016x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

/// `io::Error` as the reason of a failed request.
fn failed(name: &str, what: &str, effect: Effect) -> impl FnOnce(io::Error) -> StorageError {
    move |error| StorageError {
        name: name.to_owned(),
        what: format!("{what}: {}", reason(&error)),
        effect,
        passing: !matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory
        ),
    }
}

/// The system's words without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// Makes a folder and those above it, each durable in its parent.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    folder.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Writes a new file, durable but for its name.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file is of no use, and a full disk needs the room.
        let _ = fs::remove_file(path);
    }
    written
}

/// Gives a file a second name unless that is taken.
fn link(from: &Path, to: &Path) -> io::Result<Put> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(Put::Written),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Taken),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)) => {
            rename_if_absent(from, to)
        }
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn rename_if_absent(from: &Path, to: &Path) -> io::Result<Put> {
    use std::os::unix::ffi::OsStrExt;
    let c_path = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are strings that end with a zero and live until the call returns.
    let code = unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if code == 0 {
        return Ok(Put::Written);
    }
    let error = io::Error::last_os_error();
    if error.kind() == ErrorKind::AlreadyExists { Ok(Put::Taken) } else { Err(error) }
}

#[cfg(not(target_os = "linux"))]
fn rename_if_absent(_from: &Path, _to: &Path) -> io::Result<Put> {
    Err(io::Error::new(ErrorKind::Unsupported, "this file system has no hard links"))
}

impl Storage for LocalStorage {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
        let path = self.path(name)?;
        let unwritten = "could not be written";
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder).map_err(failed(name, unwritten, Effect::None))?;
        let temporary = self.temporary().map_err(failed(name, unwritten, Effect::None))?;
        write_new(&temporary, bytes).map_err(failed(name, unwritten, Effect::None))?;
        let put = link(&temporary, &path).map_err(|error| {
            // These say that nothing was made.
            let nothing = matches!(
                error.raw_os_error(),
                Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS | libc::EACCES | libc::EPERM)
            );
            failed(name, unwritten, if nothing { Effect::None } else { Effect::Unknown })(error)
        });
        let _ = fs::remove_file(&temporary);
        let put = put?;
        // Also when taken: the one who took it may not have come this far, and its object counts.
        sync_folder(folder).map_err(failed(name, unwritten, Effect::Unknown))?;
        Ok(put)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        let path = self.path(name)?;
        let folder = path.parent().unwrap_or(&self.root);
        let write = || {
            make_folder(folder)?;
            write_new(&path, bytes)?;
            sync_folder(folder)
        };
        write().map_err(failed(name, "could not be written", Effect::Unknown))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        let path = self.path(name)?;
        let write = || {
            make_folder(path.parent().unwrap_or(&self.root))?;
            let temporary = self.temporary()?;
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            let renamed = file.write_all(bytes).and_then(|()| fs::rename(&temporary, &path));
            if renamed.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            renamed
        };
        write().map_err(failed(name, "could not be written", Effect::Unknown))
    }

    fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>> {
        match fs::read(self.path(name)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, "could not be read", Effect::None)(error)),
        }
    }

    fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>> {
        let read = |mut file: File| {
            // The length comes from a file: no more room than there are bytes.
            let rest = file.metadata()?.len().saturating_sub(offset);
            let mut bytes = Vec::with_capacity(usize::try_from(length.min(rest)).unwrap_or(0));
            file.seek(SeekFrom::Start(offset))?;
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match File::open(self.path(name)?).and_then(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, "could not be read", Effect::None)(error)),
        }
    }

    fn list(&self, prefix: &str) -> StorageResult<Vec<String>> {
        // Only the folder that the prefix names can hold matches.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut names = Vec::new();
        collect(&self.root.join(folder), folder, &mut names).map_err(failed(
            prefix,
            "could not be listed",
            Effect::None,
        ))?;
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, name: &str) -> StorageResult<()> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed(name, "could not be deleted", Effect::Unknown)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Adds the names of all files below a folder.
fn collect(folder: &Path, name: &str, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.starts_with('.') {
            continue;
        }
        let name = if name.is_empty() { file } else { format!("{name}/{file}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), &name, names)?,
            Ok(_) => names.push(name),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(folder.path().join("made/on/demand"));
        super::super::check(&storage).unwrap();
        assert_eq!(
            fs::read_dir(storage.root().join(".tmp")).unwrap().count(),
            0,
            "temporary files are removed"
        );
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let storage = LocalStorage::new("/nowhere");
        for name in ["../x", "a/../../x", "/etc/x", "", "a//b", ".hidden"] {
            assert!(storage.read(name).is_err(), "{name}");
        }
    }
}
