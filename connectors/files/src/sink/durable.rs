//! Making files and directories durable.
//!
//! An `fsync` waits for the disk, some milliseconds each. For more than a few files one `syncfs`
//! does for all of them what an `fsync` does for one (and reports their errors, since Linux 5.8).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use flott_connector::{Disk, DiskFile};
use flott_types::Result;

use super::failed;

/// Up to this many files each get an `fsync` of their own: `syncfs` also waits for whatever
/// others have written to the same file system.
const FSYNC_MAX: usize = 16;
/// Whether there is `syncfs`.
const TOGETHER: bool = cfg!(target_os = "linux");

/// Makes open files durable.
///
/// # Errors
/// `OutputFailed`
pub(crate) fn sync_files<'a>(
    files: impl ExactSizeIterator<Item = (&'a dyn DiskFile, &'a Path)>,
) -> Result<()> {
    let together = TOGETHER && files.len() > FSYNC_MAX;
    for (file, path) in files {
        let synced = if together { file.sync_file_system() } else { file.sync() };
        synced.map_err(|error| failed("write", path, &error))?;
        if together {
            return Ok(());
        }
    }
    Ok(())
}

/// Makes the names in these directories durable, and their own names up to `root`.
///
/// # Errors
/// `OutputFailed`
pub(crate) fn sync_directories(
    disk: &dyn Disk,
    root: &Path,
    directories: impl IntoIterator<Item = PathBuf>,
) -> Result<()> {
    let mut all = BTreeSet::new();
    for directory in directories {
        all.extend(directory.ancestors().take_while(|it| it.starts_with(root)).map(Path::to_path_buf));
    }
    if TOGETHER && all.len() > FSYNC_MAX {
        return sync_directory(disk, root, true);
    }
    all.iter().try_for_each(|directory| sync_directory(disk, directory, false))
}

fn sync_directory(disk: &dyn Disk, path: &Path, file_system: bool) -> Result<()> {
    disk.sync_directory(path, file_system).map_err(|error| failed("write into", path, &error))
}

/// Creates a directory and those above it, durably. One that is there may have been made by a run that
/// died before it could make the name durable.
///
/// # Errors
/// `OutputFailed`
pub(crate) fn create_directory(disk: &dyn Disk, path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|it| !disk.exists(it)).collect();
    disk.create_directory(path).map_err(|error| failed("create", path, &error))?;
    let there = path.ancestors().skip(missing.len()).filter_map(Path::parent);
    for parent in there {
        // Who made these is not known, nor whether they may be read.
        let _ = disk.sync_directory(parent, false);
    }
    missing.iter().filter_map(|it| it.parent()).try_for_each(|it| sync_directory(disk, it, false))
}
