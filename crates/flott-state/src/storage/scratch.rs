//! A directory of one run, for what needn't outlive it: state beyond memory.
//!
//! ```text
//!   state.dir/flott-18f2a-4d2/   lock          held as long as the run lives
//!                                0-3-17        a slice's state, or rows that wait
//! ```
//! Nothing is synced: after a crash nobody reads it. The directory comes into being with its first file,
//! goes with the run, and is swept by a later run on the same machine if the process could not do that itself.
//!
//! Swept is only what is certainly such a directory and certainly nobody's: its name is of this form, its lock
//! says that a run of this start of this machine made it, and the lock is free. Another machine's, whose locks
//! can't be seen from here, is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Effect, Put, Storage, StorageError, StorageResult};

/// What the names of runs' directories begin with.
const PREFIX: &str = "flott-";

/// The file that a living run holds locked.
const LOCK: &str = "lock";

/// What a lock file begins with.
const MAGIC: &str = "flott: state of a run, of no use after it";

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
            let mut file = File::create(Path::new(&unnamed).join(LOCK))?;
            // Without a lock it has no owner's mark either, and nobody ever sweeps it.
            if let (Ok(()), Some(mark)) = (file.try_lock(), mark()) {
                file.write_all(mark.as_bytes())?;
            }
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

/// Removes the directories of this machine's runs whose process is gone; how many.
pub fn sweep_scratch(below: &Path) -> usize {
    let (Ok(entries), Some(mark)) = (fs::read_dir(below), mark()) else { return 0 };
    let mut swept = 0;
    for entry in entries.flatten() {
        let is_directory = entry.file_type().is_ok_and(|it| it.is_dir());
        if !is_directory || !is_name(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Held until the directory is gone.
        if let Some(_lock) = abandoned(&entry.path().join(LOCK), &mark) {
            swept += usize::from(fs::remove_dir_all(entry.path()).is_ok());
        }
    }
    swept
}

/// What the lock files of this machine's runs hold, until it starts again; `None` where that can't be known.
fn mark() -> Option<String> {
    let known = |path: &str| {
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|it| !it.is_empty())
    };
    let (host, boot) = (known("/proc/sys/kernel/hostname")?, known("/proc/sys/kernel/random/boot_id")?);
    Some(format!("{MAGIC}\n{host}\n{boot}\n"))
}

/// Whether a directory's name is that of a run: when it began and its process, in hex.
fn is_name(name: &str) -> bool {
    let run = name.strip_prefix(PREFIX).map(|it| it.strip_suffix(".new").unwrap_or(it));
    let is_hex =
        |it: &str| !it.is_empty() && it.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    run.and_then(|it| it.split_once('-')).is_some_and(|(began, process)| is_hex(began) && is_hex(process))
}

/// The lock of a run that is gone, taken; `None`: there is no such lock, or nobody can say.
fn abandoned(path: &Path, mark: &str) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut text = String::new();
    (&file).take(4096).read_to_string(&mut text).ok()?;
    // Held by the living, or not to be had at all: either way it isn't free.
    (text == mark && file.try_lock().is_ok()).then_some(file)
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
        let left = |name: &str, lock: Option<&str>| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            if let Some(text) = lock {
                fs::write(path.join(LOCK), text).unwrap();
            }
            path
        };
        let ours = mark().unwrap();
        left("flott-1-7ffffff0", Some(&ours));
        let others = [
            left("flott-x-1", Some(&ours)),
            left("flott-orders-1", None),
            left("flott-1-1", None),
            left("flott-2-1", Some("")),
            left("flott-3-1", Some(&format!("{MAGIC}\nelsewhere\n0\n"))),
        ];
        assert_eq!(sweep_scratch(place.path()), 1, "the living run's stays, and whatever isn't a run's");
        for path in others {
            fs::remove_dir_all(path).unwrap();
        }
        storage.delete("0-1").unwrap();
        assert_eq!(storage.read("0-1").unwrap(), None);
        drop(storage);
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }
}
