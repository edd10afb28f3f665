//! What readers see of a job's files, and how it differs from what they should see.
//!
//! ```text
//!   out/part-0, part-1 ─► counted once, when they first appear ─► rows, each with its count
//!   out/.part-2.inprogress: hidden                                       │ more than expected?
//! ```
//!
//! Invariant: a file that has appeared stays as it is: whoever reads it again reads the same.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Rows as lines of text, and how often each is there.
pub type Rows = HashMap<String, u64>;

/// What rows are counted under that are taken back more often than they were told.
const TAKEN_TOO_OFTEN: &str = "taken back too often";

/// A reader that looks again and again: each file is read once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    changes: bool,
    files: HashMap<PathBuf, u64>,
    counts: HashMap<String, i64>,
    /// Rows that no reader should see before the end: too many, or of a table taken back too often.
    wrong: u64,
}

impl Reader {
    /// A reader of rows, or of changes to rows.
    pub(super) fn new(changes: bool) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Reads what is new below a directory.
    ///
    /// # Errors
    /// A file can't be read, holds something else, or is not what it was at the last look.
    pub(super) fn look(&mut self, directory: &Path, expected: &Rows) -> io::Result<()> {
        let mut known = 0;
        for file in files_below(directory, false)? {
            known += 1;
            let size = fs::metadata(&file)?.len();
            match self.files.get(&file) {
                Some(before) if *before == size => {}
                Some(before) => {
                    let text = format!("{} had {before} bytes, now it has {size}", file.display());
                    return Err(io::Error::other(text));
                }
                None => {
                    self.read(&fs::read_to_string(&file)?, expected)?;
                    self.files.insert(file, size);
                }
            }
        }
        if known < self.files.len() {
            return Err(io::Error::other(format!("files below {} are gone", directory.display())));
        }
        Ok(())
    }

    fn read(&mut self, text: &str, expected: &Rows) -> io::Result<()> {
        for line in text.lines() {
            if self.changes {
                let (row, by) = change(line)?;
                let count = self.counts.entry(row).or_default();
                let before = (*count).min(0);
                *count += by;
                self.wrong = self.wrong + (*count).min(0).unsigned_abs() - before.unsigned_abs();
            } else {
                self.add(line, expected);
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &str, expected: &Rows) {
        let count = match self.counts.get_mut(line) {
            Some(count) => count,
            None => self.counts.entry(line.into()).or_default(),
        };
        *count += 1;
        let most = expected.get(line).copied().unwrap_or(0);
        self.wrong += u64::from(count.unsigned_abs() > most);
    }

    /// Rows that no reader should have seen by now.
    pub(super) fn wrong_so_far(&self) -> u64 {
        self.wrong
    }

    /// The rows.
    pub(super) fn rows(self) -> Rows {
        let mut rows = Rows::new();
        for (row, count) in self.counts.into_iter().filter(|(_, count)| *count != 0) {
            let row = if count < 0 { TAKEN_TOO_OFTEN.to_string() } else { row };
            *rows.entry(row).or_default() += count.unsigned_abs();
        }
        rows
    }
}

/// The row of a line of `changelog-json`, and whether it comes or goes.
fn change(line: &str) -> io::Result<(String, i64)> {
    let no_change = || io::Error::other(format!("no change: {line}"));
    let change: serde_json::Value = serde_json::from_str(line).map_err(|_| no_change())?;
    let by = match change["op"].as_str() {
        Some("+I" | "+U") => 1,
        Some("-D" | "-U") => -1,
        _ => return Err(no_change()),
    };
    Ok((change["data"].to_string(), by))
}

/// The rows of all files below a directory that readers see.
///
/// # Errors
/// A file can't be read.
pub fn rows_below(directory: &Path) -> io::Result<Rows> {
    let mut reader = Reader::new(false);
    reader.look(directory, &Rows::new())?;
    Ok(reader.rows())
}

/// The table that the changes in all files below a directory make. Whatever the order of the files: a
/// row is there as often as it was told less how often it was taken back.
///
/// # Errors
/// A file can't be read, or holds something else.
pub fn table_below(directory: &Path) -> io::Result<Rows> {
    let mut reader = Reader::new(true);
    reader.look(directory, &Rows::new())?;
    Ok(reader.rows())
}

/// How many rows there are in `rows` beyond those in `limit`.
pub fn surplus(rows: &Rows, limit: &Rows) -> u64 {
    rows.iter().map(|(row, count)| count.saturating_sub(limit.get(row).copied().unwrap_or(0))).sum()
}

/// The files below a directory that readers see, or those that are hidden from them.
///
/// # Errors
/// A directory can't be read.
pub fn files_below(directory: &Path, hidden: bool) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![(directory.to_path_buf(), false)]);
    while let Some((folder, is_hidden)) = folders.pop() {
        for entry in entries(&folder)? {
            let is_hidden = is_hidden || entry.file_name().to_string_lossy().starts_with(['.', '_']);
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), is_hidden));
            } else if is_hidden == hidden {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// What is in a directory; nothing if it is not there.
pub(super) fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, u64)]) -> Rows {
        rows.iter().map(|(row, count)| ((*row).to_string(), *count)).collect()
    }

    #[test]
    fn a_surplus_counts_rows_that_are_there_too_often() {
        let (right, wrong) = (rows(&[("a", 1), ("b", 2)]), rows(&[("a", 3), ("c", 1)]));
        assert_eq!((surplus(&wrong, &right), surplus(&right, &wrong)), (3, 2));
    }

    #[test]
    fn a_reader_counts_what_is_new_and_notices_what_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        let (mut reader, right) = (Reader::new(false), rows(&[("x", 1), ("y", 1)]));
        fs::write(file("a"), "x\ny\n").unwrap();
        fs::write(file(".b"), "hidden\n").unwrap();
        reader.look(place.path(), &right).unwrap();
        fs::write(file("c"), "x\n").unwrap();
        reader.look(place.path(), &right).unwrap();
        assert_eq!(reader.wrong_so_far(), 1);

        fs::remove_file(file("a")).unwrap();
        assert!(reader.look(place.path(), &right).is_err(), "a file that was read is gone");
        assert_eq!(reader.rows(), rows(&[("x", 2), ("y", 1)]));
    }

    #[test]
    fn a_row_taken_back_before_it_was_told_is_wrong() {
        let line = |op| format!("{{\"op\":\"{op}\",\"data\":{{\"a\":1}}}}\n");
        let mut reader = Reader::new(true);
        reader.read(&line("-D"), &Rows::new()).unwrap();
        assert_eq!(reader.wrong_so_far(), 1);
        reader.read(&line("+I"), &Rows::new()).unwrap();
        assert_eq!(reader.wrong_so_far(), 0);
        assert!(reader.read("{}", &Rows::new()).is_err());
    }
}
