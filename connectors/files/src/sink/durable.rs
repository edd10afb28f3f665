//! Making files and directories durable.
//!
//! An `fsync` waits for the disk, some milliseconds each. For more than a few files one `syncfs`
//! does for all of them what an `fsync` does for one (and reports their errors, since Linux 5.8).

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

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
pub(crate) fn sync_files<'a>(files: impl ExactSizeIterator<Item = (&'a File, &'a Path)>) -> Result<()> {
    let together = TOGETHER && files.len() > FSYNC_MAX;
    for (file, path) in files {
        let synced = if together { sync_file_system(file) } else { file.sync_all() };
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
pub(crate) fn sync_directories(root: &Path, directories: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    let mut all = BTreeSet::new();
    for directory in directories {
        all.extend(directory.ancestors().take_while(|it| it.starts_with(root)).map(Path::to_path_buf));
    }
    if TOGETHER && all.len() > FSYNC_MAX {
        return sync_directory(root, sync_file_system);
    }
    all.iter().try_for_each(|directory| sync_directory(directory, File::sync_all))
}

fn sync_directory(path: &Path, sync: impl Fn(&File) -> io::Result<()>) -> Result<()> {
    File::open(path).and_then(|file| sync(&file)).map_err(|error| failed("write into", path, &error))
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Creates a directory and those above it, durably.
///
/// # Errors
/// `OutputFailed`
pub(crate) fn create_directory(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|it| !it.exists()).collect();
    fs::create_dir_all(path).map_err(|error| failed("create", path, &error))?;
    missing.iter().filter_map(|it| it.parent()).try_for_each(|it| sync_directory(it, File::sync_all))
}
