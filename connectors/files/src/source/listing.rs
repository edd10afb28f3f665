//! Lists a location's files: in order of path, hidden ones left out.
//!
//! Names that begin with `.` or `_` are hidden: part files in the making, `_SUCCESS` markers.
//! That holds for everything found by looking into a directory, not for a path given in full.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use flott_connector::SplitInfo;
use flott_types::{Code, Diagnostic, Result};

use super::location::{Glob, Location, Place, failed};
use crate::{partition, settings::SourceSettings};

/// Deeper directories are taken for a circle of symbolic links.
const DEPTH_MAX: usize = 64;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    pub path: PathBuf,
    /// Size when it was listed; `None` for what has no size (a pipe).
    pub size: Option<u64>,
    pub modified_millis: Option<i64>,
}

impl FoundFile {
    fn new(path: PathBuf, found: &fs::Metadata) -> Self {
        let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            path,
            size: found.is_file().then_some(found.len()),
            modified_millis: modified.and_then(|since| i64::try_from(since.as_millis()).ok()),
        }
    }

    /// The file as a split of the table.
    ///
    /// # Errors
    /// `InputUnreadable`: the table is partitioned, but the file's path names no value.
    pub(crate) fn split(&self, settings: &SourceSettings) -> Result<SplitInfo> {
        let name = self.path.to_string_lossy().into_owned();
        let keys = &settings.partition_keys;
        let partition =
            partition::values_of(&name, keys, &settings.default_partition_name).map_err(|key| {
                Diagnostic::error(
                    Code::InputUnreadable,
                    format!("'{name}' is in no directory '{key}=…', but the table is partitioned by '{key}'"),
                )
                .at(settings.location.span)
                .help("move the file, narrow 'path', or leave PARTITIONED BY out")
            })?;
        Ok(SplitInfo { name, size: self.size, modified_millis: self.modified_millis, partition })
    }
}

/// All files of a location, in order of path.
///
/// # Errors
/// `InputMissing`, `InputUnreadable`
pub(crate) fn list(location: &Location, empty_is_missing: bool) -> Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    match location.place()? {
        Place::File(found) => files.push(FoundFile::new(location.path.clone(), &found)),
        Place::Directory => walk(&location.path, None, 0, &mut files)?,
        Place::Glob(glob) => {
            walk(&glob.base, Some(glob), 0, &mut files)?;
            if files.is_empty() && empty_is_missing {
                let message = format!("no file matches '{}'", location.path.display());
                return Err(Diagnostic::error(Code::InputMissing, message).at(location.span).help(format!(
                    "'*' stands for anything but '/'; looked below '{}'",
                    glob.base.display()
                )));
            }
        }
    }
    if let Some(regex) = &location.regex {
        files.retain(|file| regex.is_match(&file.path.to_string_lossy()));
    }
    files.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(files)
}

/// Collects the files below a directory; with a glob, those that it matches, and all below
/// directories that it matches.
fn walk(directory: &Path, glob: Option<&Glob>, depth: usize, files: &mut Vec<FoundFile>) -> Result<()> {
    if depth > DEPTH_MAX {
        let message = format!("'{}' is nested more than {DEPTH_MAX} directories deep", directory.display());
        return Err(
            Diagnostic::error(Code::InputUnreadable, message).help("look for symbolic links in a circle")
        );
    }
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, &error))? {
        let entry = entry.map_err(|error| failed(directory, &error))?;
        if matches!(entry.file_name().as_encoded_bytes().first(), Some(b'.' | b'_')) {
            continue;
        }
        let path = entry.path();
        let Some(found) = describe(&entry).map_err(|error| failed(&path, &error))? else { continue };
        let matched = glob.is_none_or(|glob| glob.matcher.is_match(&path));
        if found.is_dir() {
            walk(&path, glob.filter(|_| !matched), depth + 1, files)?;
        } else if matched {
            files.push(FoundFile::new(path, &found));
        }
    }
    Ok(())
}

/// Size and kind; follows symbolic links. `None` if it has gone since the directory was read.
fn describe(entry: &fs::DirEntry) -> io::Result<Option<fs::Metadata>> {
    let found = match entry.metadata() {
        Ok(found) if found.is_symlink() => fs::metadata(entry.path()),
        found => found,
    };
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
