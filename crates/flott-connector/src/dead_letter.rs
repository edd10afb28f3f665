//! The dead-letter queue: records that couldn't be decoded, evaluated or written, with their
//! bytes, their place and the error, as NDJSON files that people and `flott dlq` read.
//!
//! One file per run, `<directory>/<run id>.ndjson`, made when the first letter comes.
//! One line per letter:
//!
//! ```json
//! {"time":"2026-01-01T00:00:00.000Z","source":"bids","stage":"decode","code":"FLT-2004",
//!  "error":"…","split":"/data/bids.ndjson","offset":1234,"bytes":"<base64>","text":"…"}
//! ```
//! `bytes` is exact; `text` is there only if the bytes are UTF-8, for reading.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flott_types::{Code, Diagnostic, Result};
use serde::{Deserialize, Serialize};

use crate::Origin;

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its bytes aren't a record of the format.
    Decode,
    /// An expression failed on it.
    Evaluate,
    /// A sink refused it.
    Sink,
    /// It came behind the watermark.
    Late,
}

/// One record that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Wall time, microseconds since the epoch.
    pub time_micros: i64,
    /// The source table it came from.
    pub source: String,
    /// Where it failed.
    pub stage: Stage,
    /// The error's code.
    pub code: Code,
    /// What is wrong with it.
    pub message: String,
    /// Its place in the input.
    pub origin: Origin,
    /// Its bytes as they were read; for inputs without bytes, the row as JSON.
    pub bytes: Vec<u8>,
    /// The sinks that did not get it, as the run's accounting names them.
    pub sinks: Vec<String>,
}

/// A letter as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// RFC 3339, UTC.
    pub time: String,
    /// The source table.
    pub source: String,
    /// Where it failed.
    pub stage: Stage,
    /// The error's code.
    pub code: String,
    /// What is wrong.
    pub error: String,
    /// The split.
    pub split: String,
    /// The place in the split.
    pub offset: u64,
    /// The sinks that did not get it (empty: all that read the source).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// The bytes, base64.
    pub bytes: String,
    /// The bytes as text, if they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Line {
    /// The record's bytes.
    ///
    /// # Errors
    /// `DeadLetterFailed` if the base64 is damaged.
    pub fn record(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.bytes).map_err(|error| {
            Diagnostic::error(Code::DeadLetterFailed, format!("damaged dead letter: {error}"))
        })
    }
}

impl DeadLetter {
    fn line(&self) -> Line {
        Line {
            time: rfc3339(self.time_micros),
            source: self.source.clone(),
            stage: self.stage,
            code: self.code.id().to_string(),
            error: self.message.clone(),
            split: self.origin.split.clone(),
            offset: self.origin.offset,
            sinks: self.sinks.clone(),
            bytes: STANDARD.encode(&self.bytes),
            text: std::str::from_utf8(&self.bytes).ok().map(str::to_string),
        }
    }
}

/// Microseconds since the epoch as RFC 3339 with milliseconds, UTC.
fn rfc3339(micros: i64) -> String {
    let days = micros.div_euclid(86_400_000_000);
    let rest = micros.rem_euclid(86_400_000_000) / 1000;
    // Civil date from a day number (proleptic Gregorian, eras of 400 years).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// Writes dead letters. Shared by all shards.
#[derive(Debug)]
pub struct DeadLetterQueue {
    directory: PathBuf,
    file_name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<BufWriter<File>>,
    written: u64,
}

impl DeadLetterQueue {
    /// A queue in this directory; nothing is created before the first letter.
    pub fn new(directory: impl Into<PathBuf>, run_id: &str) -> Self {
        Self { directory: directory.into(), file_name: format!("{run_id}.ndjson"), state: Mutex::default() }
    }
    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
    /// Letters written so far.
    pub fn written(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).written
    }
    /// Writes letters.
    ///
    /// # Errors
    /// `DeadLetterFailed`: a letter that can't be kept stops the run, or it would be lost.
    pub fn send(&self, letters: &[DeadLetter]) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.append(&mut state, letters).map_err(|error| self.failed(&error))
    }
    fn append(&self, state: &mut State, letters: &[DeadLetter]) -> std::io::Result<()> {
        let file = match &mut state.file {
            Some(file) => file,
            None => {
                fs::create_dir_all(&self.directory)?;
                let path = self.directory.join(&self.file_name);
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                state.file.insert(BufWriter::new(file))
            }
        };
        for letter in letters {
            serde_json::to_writer(&mut *file, &letter.line())?;
            file.write_all(b"\n")?;
            state.written += 1;
        }
        Ok(())
    }
    /// Hands what is buffered to the operating system, so that readers see it.
    ///
    /// # Errors
    /// `DeadLetterFailed`
    pub fn flush(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.file.as_mut().map_or(Ok(()), Write::flush).map_err(|error| self.failed(&error))
    }
    /// Makes all letters durable.
    ///
    /// # Errors
    /// `DeadLetterFailed`
    pub fn sync(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &mut state.file else { return Ok(()) };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.and_then(|()| File::open(&self.directory)?.sync_all()).map_err(|error| self.failed(&error))
    }
    fn failed(&self, error: &std::io::Error) -> Box<Diagnostic> {
        let place = self.directory.display();
        Diagnostic::error(Code::DeadLetterFailed, format!("cannot write dead letters to {place}: {error}"))
            .help("set 'dead-letter.path' to a directory that can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_its_bytes_and_its_place() {
        let directory = std::env::temp_dir().join(format!("flott-dlq-{}", std::process::id()));
        let queue = DeadLetterQueue::new(&directory, "run-1");
        let letter = DeadLetter {
            time_micros: 1_767_225_600_123_000,
            source: "bids".into(),
            stage: Stage::Decode,
            code: Code::DecodeFailed,
            message: "not JSON".into(),
            origin: Origin { split: "a.ndjson".into(), offset: 42 },
            bytes: vec![0xff, b'x'],
            sinks: Vec::new(),
        };
        queue.send(std::slice::from_ref(&letter)).unwrap();
        queue.sync().unwrap();
        let text = fs::read_to_string(directory.join("run-1.ndjson")).unwrap();
        let line: Line = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (line.offset, line.time.as_str(), line.text.as_deref()),
            (42, "2026-01-01T00:00:00.123Z", None)
        );
        assert_eq!(line.record().unwrap(), letter.bytes);
        fs::remove_dir_all(&directory).unwrap();
    }
}
