//! Where a source's files are: one file, a directory or a glob.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use flott_types::{Code, Diagnostic, Options, Result, Span};
use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use crate::settings::{REGEX_PATTERN, local_path};

/// The place that `path` names, and what `source.path.regex-pattern` lets through.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// Absolute.
    pub path: PathBuf,
    /// Where `path` stands in the script.
    pub span: Span,
    /// Whole absolute paths must match.
    pub regex: Option<Regex>,
    glob: Option<Glob>,
}

/// A path with `*`, `?`, `[…]` or `{…}`.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// The directory above the first part that holds a special character.
    pub base: PathBuf,
    /// Matches absolute paths.
    pub matcher: GlobMatcher,
}

/// What stands against reading such a place again.
pub(crate) const PIPE: &str = "a pipe, whose bytes come once";

/// What a location turned out to be.
pub(crate) enum Place<'a> {
    /// A file, or something that can be read like one.
    File(fs::Metadata),
    /// A directory.
    Directory,
    /// A glob.
    Glob(&'a Glob),
}

impl Location {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let span = options.span("path");
        let text = local_path(options)?;
        let invalid = |why: String| {
            Diagnostic::error(Code::InvalidOption, format!("option 'path' = '{text}': {why}")).at(span)
        };
        let path = std::path::absolute(&text).map_err(|error| invalid(error.to_string()))?;
        let has_pattern = text.contains(['*', '?', '[', '{']);
        let glob = if has_pattern { Some(Glob::new(&path).map_err(invalid)?) } else { None };
        let regex = options.parsed(REGEX_PATTERN, |pattern| {
            Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())
        })?;
        Ok(Self { path, span, regex, glob })
    }

    /// What is there now.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn place(&self) -> Result<Place<'_>> {
        match (fs::metadata(&self.path), &self.glob) {
            (Ok(found), _) if found.is_dir() => Ok(Place::Directory),
            (Ok(found), _) => Ok(Place::File(found)),
            (Err(_), Some(glob)) => match fs::metadata(&glob.base) {
                Ok(_) => Ok(Place::Glob(glob)),
                Err(error) => Err(failed(&glob.base, &error).at(self.span)),
            },
            (Err(error), None) => Err(failed(&self.path, &error).at(self.span)),
        }
    }

    /// Whether it is something that gives its bytes once. Says no if nothing is there.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self.place(), Ok(Place::File(found)) if !found.is_file())
    }

    /// Whether files in this directory, or below it, may be among those that are read. Both paths are absolute. No
    /// symbolic link is followed.
    pub(crate) fn may_read(&self, directory: &Path) -> bool {
        let (path, plain) = (without_parents(&self.path), without_parents(directory));
        // Behind a link `..` leads elsewhere than it says.
        self.meets(&self.path, directory) || self.meets(&path, &plain)
    }

    /// A path that is a part of the other, or the same: all below a directory is read, and so is all below one that
    /// a glob matches.
    fn meets(&self, path: &Path, directory: &Path) -> bool {
        let is_glob = self.glob.is_some();
        for (mine, theirs) in path.iter().zip(directory) {
            let text = mine.to_string_lossy();
            // Alternatives may hold a `/`.
            if is_glob && (text.contains("**") || text.contains('{')) {
                return true;
            }
            let pattern = if is_glob { GlobBuilder::new(&text).build().ok() } else { None };
            let matches = pattern.is_some_and(|pattern| pattern.compile_matcher().is_match(theirs));
            if !matches && mine != theirs {
                return false;
            }
        }
        true
    }

    /// Whether it can be read at all; opens a single file to see. Not a pipe: who opens one waits for its
    /// writer, and who closes it again takes that writer's reader away.
    ///
    /// # Errors
    /// `InputMissing`, `InputUnreadable`
    pub(crate) fn check(&self) -> Result<()> {
        let opened = match self.place()? {
            Place::File(found) if found.is_file() => fs::File::open(&self.path).map(drop),
            Place::File(_) => Ok(()),
            Place::Directory => fs::read_dir(&self.path).map(drop),
            Place::Glob(_) => Ok(()),
        };
        opened.map_err(|error| failed(&self.path, &error).at(self.span))
    }
}

/// `a/../b` is `b`.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

impl Glob {
    fn new(path: &Path) -> Result<Self, String> {
        let pattern = path.to_string_lossy();
        let matcher = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| error.kind().to_string())?
            .compile_matcher();
        let plain = |part: &&OsStr| !part.to_string_lossy().contains(['*', '?', '[', '{']);
        let base = path.iter().take_while(plain).collect();
        Ok(Self { base, matcher })
    }
}

/// What is wrong with an input path.
pub(crate) fn failed(path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        io::ErrorKind::PermissionDenied => {
            Diagnostic::error(Code::InputUnreadable, format!("cannot read '{shown}': permission denied"))
                .help("give the user that runs flott the right to read it")
        }
        _ => Diagnostic::error(Code::InputUnreadable, format!("cannot read '{shown}': {error}"))
            .caused_by(error),
    }
}

fn missing(path: &Path) -> Box<Diagnostic> {
    let error = Diagnostic::error(Code::InputMissing, format!("'{}' does not exist", path.display()));
    let present = path.ancestors().skip(1).find(|it| it.is_dir());
    let Some((directory, absent)) = present.and_then(|directory| {
        let absent = path.strip_prefix(directory).ok()?.iter().next()?;
        Some((directory, absent.to_string_lossy().into_owned()))
    }) else {
        return error.help("check the option 'path'");
    };
    let names: Vec<String> = fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let error = error.did_you_mean(&absent, names.iter().map(String::as_str));
    if error.help.is_empty() {
        return error.help(format!("'{}' exists, but holds no '{absent}'", directory.display()));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `INSERT OVERWRITE` into a directory removes, and what is read.
    #[test]
    fn which_directories_hold_what_is_read() {
        for (path, directory, may) in [
            ("/data/in", "/data/out", false),
            ("/data/in", "/data/in/part", true),
            ("/data/in/1.json", "/data/in", true),
            ("/data/in-*.json", "/data/out", false),
            ("/data/in-*.json", "/data", true),
            ("/data/in-*", "/data/in-1/out", true),
            ("/data/*/day=1", "/data/out", true),
            ("/data/*/x/*.json", "/data/out/y", false),
            ("/data/**/x.json", "/data/out/y", true),
            ("/data/{a/b,c}/x.json", "/data/a/b", true),
            ("/data/in/../out", "/data/out", true),
            ("/data/out", "/data/in/../out", true),
            // As far as anybody knows: `/data` may be a link.
            ("/data/../in", "/data", true),
        ] {
            let mut options = Options::default();
            options.set("path", path);
            let location = Location::new(&options).unwrap();
            assert_eq!(location.may_read(Path::new(directory)), may, "{path} {directory}");
        }
    }
}
