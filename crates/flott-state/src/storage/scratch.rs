//! A directory of one run, for what needn't outlive it: state beyond memory.
//!
//! ```text
//!   state.dir/flott-18f2a-4d2/   lock          held as long as the run lives
//!                                0-3-17        a slice's state, or rows that wait
//! ```
//! Nothing is synced: after a crash nobody reads it. The directory comes into being with its first file,
//! goes with the run, and is swept by a later run if the process could not do that itself.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Effect, Put, Storage, StorageError, StorageResult};

/// What the names of runs' directories begin with.
const PREFIX: &str = "flott-";

/// The file that a living run holds locked.
const LOCK: &str = "lock";

/// The directory.
#[derive(Debug)]
pub struct ScratchStorage {
    root: PathBuf,
    lock: Mutex<Option<File>>,
}

impl ScratchStorage {
    /// The directory of this run below another. Nothing is made yet. The run's id ends with `-` and the
    /// number of its process in hex.
    pub fn new(below: &Path, run: &str) -> Self {
        Self { root: below.join(format!("{PREFIX}{run}")), lock: Mutex::new(None) }
    }

    fn make(&self) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            // Locked before it has its name: nobody sees it unlocked while the run lives.
            let mut unnamed = self.root.clone().into_os_string();
            unnamed.push(".new");
            fs::create_dir_all(&unnamed)?;
            let file = File::create(Path::new(&unnamed).join(LOCK))?;
            let _ = file.try_lock();
            fs::rename(&unnamed, &self.root)?;
            *lock = Some(file);
        }
        Ok(())
    }
}

impl Drop for ScratchStorage {
    fn drop(&mut self) {
        if self.lock.get_mut().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            // What stays is swept by the next run.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

fn failed(root: &Path, name: &str, what: &str) -> impl FnOnce(io::Error) -> StorageError {
    let name = root.join(name).display().to_string();
    move |error| {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or_default().to_lowercase();
        let passing = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        StorageError { name, what: format!("{what}: {reason}"), effect: Effect::Unknown, passing }
    }
}

impl Storage for ScratchStorage {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
        if self.root.join(name).exists() {
            return Ok(Put::Taken);
        }
        self.write(name, bytes).map(|()| Put::Written)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        let path = self.root.join(name);
        let written = self.make().and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| {
            // Half a file is of no use, and a full disk needs the room.
            let _ = fs::remove_file(&path);
            failed(&self.root, name, "could not be written")(error)
        })
    }

    fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>> {
        match fs::read(self.root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(failed(&self.root, name, "could not be read")),
        }
    }

    fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>> {
        let read = || {
            let mut file = File::open(self.root.join(name))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(failed(&self.root, name, "could not be read")),
        }
    }

    fn list(&self, prefix: &str) -> StorageResult<Vec<String>> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Ok(Vec::new()) };
        let names = entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|it| it != LOCK && it.starts_with(prefix)).collect();
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> StorageResult<()> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.root, name, "could not be removed")(error))
            }
            _ => Ok(()),
        }
    }
}

/// Removes the directories of runs whose process is gone; how many.
pub fn sweep_scratch(below: &Path) -> usize {
    let Ok(entries) = fs::read_dir(below) else { return 0 };
    let mut swept = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|run| run.rsplit_once('-'));
        let process = process.and_then(|(_, process)| i32::from_str_radix(process, 16).ok());
        let Some(process) = process.filter(|it| *it > 0) else { continue };
        // The process's number may be a later one's, or another machine's: the lock knows better.
        if is_locked(&entry.path().join(LOCK)).unwrap_or_else(|| is_alive(process)) {
            continue;
        }
        swept += usize::from(fs::remove_dir_all(entry.path()).is_ok());
    }
    swept
}

/// Whether a living run holds this lock; `None`: there is none.
fn is_locked(path: &Path) -> Option<bool> {
    File::open(path).ok().map(|file| file.try_lock().is_err())
}

fn is_alive(process: i32) -> bool {
    // SAFETY: signal 0 is never delivered: the call only says whether there is such a process.
    let code = unsafe { libc::kill(process, 0) };
    code == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_goes_with_its_run_and_what_a_killed_one_left_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let run = format!("1-{:x}", std::process::id());
        let storage = ScratchStorage::new(place.path(), &run);
        storage.write("0-1", b"abc").unwrap();
        assert_eq!(storage.read_range("0-1", 1, 9).unwrap(), Some(b"bc".to_vec()));
        assert_eq!(storage.list("").unwrap(), ["0-1"]);
        let left = place.path().join("flott-1-7ffffff0");
        fs::create_dir(&left).unwrap();
        assert_eq!(sweep_scratch(place.path()), 1, "the living run's stays");
        storage.delete("0-1").unwrap();
        assert_eq!(storage.read("0-1").unwrap(), None);
        drop(storage);
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }
}
