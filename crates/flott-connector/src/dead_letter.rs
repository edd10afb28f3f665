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
//!
//! A message of a log has its partition as the split, its value as the bytes, and what came with it:
//!
//! ```json
//! {…,"split":"orders[3]","offset":40,"part":"key","bytes":"…","message":{"key":"<base64>","key_text":"k1",
//!  "timestamp":1767225600000,"timestamp_type":"CreateTime","leader_epoch":2,
//!  "headers":[{"name":"trace","value":"<base64>"}]}}
//! ```
//! A record that tells of several changes may have failed with one of them: `"change":"+U"`, and how many of the
//! same kind stand before it, `"change_number":1`. Without, all of the record is meant.
//!
//! A key or a header's value that is null isn't there; a value that is null has `"null_value":true`. Letters
//! without `message` are of other sources, or were written before messages had it.
//!
//! With checkpoints there is one file per epoch that has letters, hidden until the epoch commits:
//! a resumed run reads the records again, so what it had sent before must not count.
//!
//! ```text
//!   send_in(n) ─► .letters-<tag>-<generation>-<n>.inprogress ── prepare, commit ──► letters-….ndjson
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flott_types::{Code, Diagnostic, Result, RowKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Change, Committable, Committer, Disk, DiskFile, LocalDisk, MessageParts, Origin, RecordPart,
    TimestampType,
    epoch_name::{self, EpochName},
};

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
    /// Which part of it, of a message that can't be decoded.
    pub part: Option<RecordPart>,
    /// Its place in the input, and what came with it.
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
    /// Which part of a message can't be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<RecordPart>,
    /// Which change of the record is meant, as `+U`; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// How many of the record's changes before it do the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub change_number: u32,
    /// The bytes, base64; of a message its value's.
    pub bytes: String,
    /// The bytes as text, if they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What came with a message's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageLine>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What came with a message's value, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLine {
    /// The key, base64; none: null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key as text, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_text: Option<String>,
    /// The value is null, not empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub null_value: bool,
    /// Milliseconds since the epoch; -1: none.
    pub timestamp: i64,
    /// Whose clock that is of.
    pub timestamp_type: TimestampType,
    /// The leader's epoch; -1: unknown.
    pub leader_epoch: i32,
    /// The headers, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderLine>,
}

/// A header as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderLine {
    /// Its name.
    pub name: String,
    /// Its value, base64; none: null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl MessageLine {
    fn of(parts: &MessageParts) -> Self {
        let header = |(name, value): &(String, Option<Vec<u8>>)| HeaderLine {
            name: name.clone(),
            value: value.as_ref().map(|it| STANDARD.encode(it)),
        };
        Self {
            key: parts.key.as_ref().map(|it| STANDARD.encode(it)),
            key_text: parts.key.as_deref().and_then(|it| std::str::from_utf8(it).ok()).map(str::to_string),
            null_value: parts.null_value,
            timestamp: parts.timestamp,
            timestamp_type: parts.timestamp_type,
            leader_epoch: parts.leader_epoch,
            headers: parts.headers.iter().map(header).collect(),
        }
    }

    fn parts(&self) -> Result<MessageParts> {
        let header = |it: &HeaderLine| Ok((it.name.clone(), it.value.as_deref().map(decoded).transpose()?));
        Ok(MessageParts {
            key: self.key.as_deref().map(decoded).transpose()?,
            null_value: self.null_value,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type,
            headers: self.headers.iter().map(header).collect::<Result<_>>()?,
            leader_epoch: self.leader_epoch,
        })
    }
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|error| Diagnostic::error(Code::DeadLetterFailed, format!("damaged dead letter: {error}")))
}

impl Line {
    /// The record's bytes.
    ///
    /// # Errors
    /// `DeadLetterFailed` if the base64 is damaged.
    pub fn record(&self) -> Result<Vec<u8>> {
        decoded(&self.bytes)
    }

    /// Where the record came from, and what came with it.
    ///
    /// # Errors
    /// As [`Line::record`].
    pub fn origin(&self) -> Result<Origin> {
        let message = self.message.as_ref().map(|it| it.parts().map(Box::new)).transpose()?;
        let kind = self.change.as_deref().and_then(RowKind::named);
        let change = kind.map(|kind| Change { kind, number: self.change_number });
        Ok(Origin { split: self.split.clone(), offset: self.offset, message, change })
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
            part: self.part,
            change: self.origin.change.map(|it| it.kind.short().to_string()),
            change_number: self.origin.change.map_or(0, |it| it.number),
            bytes: STANDARD.encode(&self.bytes),
            text: std::str::from_utf8(&self.bytes).ok().map(str::to_string),
            message: self.origin.message.as_deref().map(MessageLine::of),
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
pub struct DeadLetterQueue {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    names: Names,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Names {
    /// Without checkpoints: the run's file.
    Run(String),
    /// With checkpoints: the job's tag, and its generation.
    Epochs(String, u64),
}

#[derive(Default)]
struct State {
    /// By epoch; without checkpoints one, at 0.
    files: BTreeMap<u64, BufWriter<Box<dyn DiskFile>>>,
    written: u64,
}

/// Where the queue stands among a job's sinks: behind all of them.
const SINK_NUMBER: usize = usize::MAX;
const HIDDEN: &str = ".letters-";
const PUBLISHED: &str = "letters-";

impl DeadLetterQueue {
    /// A queue in this directory; nothing is created before the first letter.
    pub fn new(directory: impl Into<PathBuf>, run_id: &str) -> Self {
        let names = Names::Run(format!("{run_id}.ndjson"));
        Self { directory: directory.into(), disk: Arc::new(LocalDisk), names, state: Mutex::default() }
    }
    /// A queue whose letters stay hidden until their epoch is committed; what the arguments mean
    /// says [`crate::SinkRequest`].
    pub fn by_epoch(
        directory: impl Into<PathBuf>,
        pipeline_name: &str,
        job_id: &str,
        generation: u64,
    ) -> Self {
        let names = Names::Epochs(epoch_name::tag(pipeline_name, job_id, SINK_NUMBER), generation);
        Self { directory: directory.into(), disk: Arc::new(LocalDisk), names, state: Mutex::default() }
    }
    /// On this disk.
    #[must_use]
    pub fn on(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }
    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
    /// Letters written so far.
    pub fn written(&self) -> u64 {
        self.lock().written
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Writes letters of a run without checkpoints.
    ///
    /// # Errors
    /// `DeadLetterFailed`: a letter that can't be kept stops the run, or it would be lost.
    pub fn send(&self, letters: &[DeadLetter]) -> Result<()> {
        self.send_in(0, letters)
    }
    /// Writes letters of records that belong to this epoch: shards pass a barrier one after the
    /// other, so letters of two epochs may come in turn. Without checkpoints the number says nothing.
    ///
    /// # Errors
    /// As [`DeadLetterQueue::send`].
    pub fn send_in(&self, epoch: u64, letters: &[DeadLetter]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut state = self.lock();
        self.append(&mut state, epoch, letters).map_err(|error| self.failed(&error))
    }
    fn append(&self, state: &mut State, epoch: u64, letters: &[DeadLetter]) -> std::io::Result<()> {
        let key = if matches!(self.names, Names::Run(_)) { 0 } else { epoch };
        let file = match state.files.entry(key) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => free.insert(BufWriter::new(self.create(epoch)?)),
        };
        for letter in letters {
            serde_json::to_writer(&mut *file, &letter.line())?;
            file.write_all(b"\n")?;
            state.written += 1;
        }
        Ok(())
    }
    fn create(&self, epoch: u64) -> std::io::Result<Box<dyn DiskFile>> {
        // Its own name must last as long as what is in it.
        let missing: Vec<&Path> = self.directory.ancestors().take_while(|it| !self.disk.exists(it)).collect();
        self.disk.create_directory(&self.directory)?;
        for parent in missing.iter().filter_map(|it| it.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            self.disk.sync_directory(parent, false)?;
        }
        match &self.names {
            Names::Run(name) => self.disk.append(&self.directory.join(name), true),
            Names::Epochs(tag, generation) => {
                // Never one that is there: it would be another epoch's.
                let path = self.directory.join(hidden_name(tag, *generation, epoch));
                self.disk.create(&path)
            }
        }
    }
    /// Hands what is buffered to the operating system, so that readers see it.
    ///
    /// # Errors
    /// `DeadLetterFailed`
    pub fn flush(&self) -> Result<()> {
        self.lock().files.values_mut().try_for_each(Write::flush).map_err(|error| self.failed(&error))
    }
    /// Makes all letters durable.
    ///
    /// # Errors
    /// `DeadLetterFailed`
    pub fn sync(&self) -> Result<()> {
        let mut state = self.lock();
        state.files.values_mut().try_for_each(sync_file).map_err(|error| self.failed(&error))?;
        if state.files.is_empty() { Ok(()) } else { self.sync_directory() }
    }
    /// Makes the letters of all epochs up to this one durable, once no more can come for them. For
    /// the epoch's manifest; none if there are no letters.
    ///
    /// # Errors
    /// `DeadLetterFailed`
    pub fn prepare(&self, epoch: u64) -> Result<Vec<Committable>> {
        let Names::Epochs(tag, generation) = &self.names else { return self.sync().map(|()| Vec::new()) };
        let mut files = {
            let mut state = self.lock();
            let later = epoch.checked_add(1).map(|next| state.files.split_off(&next)).unwrap_or_default();
            std::mem::replace(&mut state.files, later)
        };
        if files.is_empty() {
            return Ok(Vec::new());
        }
        files.values_mut().try_for_each(sync_file).map_err(|error| self.failed(&error))?;
        self.sync_directory()?;
        let name = |number: &u64| json!({"letters": hidden_name(tag, *generation, *number)});
        Ok(files.keys().map(|number| Committable { content: name(number) }).collect())
    }
    /// Publishes letters, or discards them.
    pub fn committer(&self) -> LetterCommitter {
        let tag = match &self.names {
            Names::Run(_) => None,
            Names::Epochs(tag, _) => Some(tag.clone()),
        };
        LetterCommitter { directory: self.directory.clone(), disk: self.disk.clone(), tag }
    }
    fn sync_directory(&self) -> Result<()> {
        self.disk.sync_directory(&self.directory, false).map_err(|error| self.failed(&error))
    }
    fn failed(&self, error: &std::io::Error) -> Box<Diagnostic> {
        failed(&self.directory, error)
    }
}

fn sync_file(file: &mut BufWriter<Box<dyn DiskFile>>) -> std::io::Result<()> {
    file.flush().and_then(|()| file.get_ref().sync())
}

fn hidden_name(tag: &str, generation: u64, number: u64) -> String {
    format!("{HIDDEN}{}.inprogress", EpochName { generation, number }.text(tag))
}

fn failed(directory: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    let place = directory.display();
    Diagnostic::error(Code::DeadLetterFailed, format!("cannot write dead letters to {place}: {error}"))
        .help("set 'dead-letter.path' to a directory that can be written")
        .caused_by(error)
}

/// Publishes the letters of an epoch, by a rename.
#[derive(Debug)]
pub struct LetterCommitter {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    /// Without checkpoints there is nothing to publish.
    tag: Option<String>,
}

impl LetterCommitter {
    fn hidden(&self, committable: &Committable) -> Result<String> {
        let name = committable.content.get("letters").and_then(Value::as_str);
        name.map(str::to_string).ok_or_else(|| {
            let message = format!("not a committable of the dead-letter queue: {}", committable.content);
            Diagnostic::error(Code::Internal, message)
        })
    }
    /// Ours, with what their names say.
    fn files(&self, prefix: &str) -> Result<Vec<(EpochName, String)>> {
        let Some(tag) = &self.tag else { return Ok(Vec::new()) };
        let entries = match self.disk.entries(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(&self.directory, &error))?,
        };
        let names = entries.into_iter().map(|entry| entry.name);
        Ok(names.filter_map(|name| Some((EpochName::parse(&name, prefix, tag)?, name))).collect())
    }
    fn remove(&self, name: &str) -> Result<()> {
        match self.disk.remove(&self.directory.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&self.directory, &error)),
            _ => Ok(()),
        }
    }
}

impl Committer for LetterCommitter {
    fn commit(&mut self, committables: &[Committable]) -> Result<()> {
        for committable in committables {
            let hidden = self.hidden(committable)?;
            let name = hidden.trim_start_matches('.').trim_end_matches(".inprogress");
            let target = self.directory.join(format!("{name}.ndjson"));
            match self.disk.rename(&self.directory.join(&hidden), &target) {
                // Published before.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                renamed => renamed.map_err(|error| failed(&self.directory, &error))?,
            }
        }
        if committables.is_empty() {
            return Ok(());
        }
        self.disk.sync_directory(&self.directory, false).map_err(|error| failed(&self.directory, &error))
    }
    fn abort(&mut self, committables: &[Committable]) -> Result<()> {
        committables.iter().try_for_each(|committable| self.remove(&self.hidden(committable)?))
    }
    fn sweep(&mut self, generation: u64, number: u64, keep: &[Committable]) -> Result<()> {
        let keep: Vec<String> = keep.iter().map(|it| self.hidden(it)).collect::<Result<_>>()?;
        for (file, name) in self.files(HIDDEN)? {
            if file.is_left_behind(generation, number) && !keep.contains(&name) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
    fn rollback(&mut self, generation: u64, after: u64) -> Result<u64> {
        let mut removed = 0;
        for (file, name) in self.files(PUBLISHED)? {
            if file.is_beyond(generation, after) {
                self.remove(&name)?;
                removed += 1;
            }
        }
        if removed > 0 {
            self.disk
                .sync_directory(&self.directory, false)
                .map_err(|error| failed(&self.directory, &error))?;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, fs, sync::Arc};

    use arrow::{
        array::{ArrayRef, AsArray, StringArray},
        record_batch::RecordBatch,
    };

    use super::*;
    use crate::{Sink, SinkGuarantee, SinkWriter, conformance::RepeatableSink};

    fn letter(message: &str) -> DeadLetter {
        DeadLetter {
            time_micros: 1_767_225_600_123_000,
            source: "bids".into(),
            stage: Stage::Decode,
            code: Code::DecodeFailed,
            message: message.into(),
            part: None,
            origin: Origin { split: "a.ndjson".into(), offset: 42, message: None, change: None },
            bytes: vec![0xff, b'x'],
            sinks: Vec::new(),
        }
    }

    #[test]
    fn a_letter_keeps_its_bytes_and_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let queue = DeadLetterQueue::new(directory.path(), "run-1");
        let letter = letter("not JSON");
        queue.send(std::slice::from_ref(&letter)).unwrap();
        queue.sync().unwrap();
        let text = fs::read_to_string(directory.path().join("run-1.ndjson")).unwrap();
        let line: Line = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (line.offset, line.time.as_str(), line.text.as_deref()),
            (42, "2026-01-01T00:00:00.123Z", None)
        );
        assert_eq!(line.record().unwrap(), letter.bytes);
    }

    #[test]
    fn a_letter_keeps_all_of_a_message() {
        let parts = MessageParts {
            key: Some(vec![0xff]),
            null_value: true,
            timestamp: 1_767_225_600_123,
            timestamp_type: TimestampType::LogAppendTime,
            headers: vec![("a".into(), Some(Vec::new())), ("a".into(), None)],
            leader_epoch: 3,
        };
        let change = Some(Change { kind: RowKind::UpdateAfter, number: 2 });
        let origin = Origin { split: "t[0]".into(), offset: 7, message: Some(Box::new(parts)), change };
        let it = DeadLetter {
            origin: origin.clone(),
            bytes: Vec::new(),
            part: Some(RecordPart::Key),
            ..letter("no key")
        };
        let text = serde_json::to_string(&it.line()).unwrap();
        let line: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(line.origin().unwrap(), origin);
        assert_eq!(line.part, Some(RecordPart::Key));
    }

    #[test]
    fn letters_written_before_messages_had_parts_are_read() {
        let text = r#"{"time":"2026-01-01T00:00:00.000Z","source":"t","stage":"decode","code":"FLT-2004",
            "error":"no","split":"t[0]","offset":7,"bytes":"eA==","text":"x"}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.record().unwrap(), b"x");
        assert_eq!(
            line.origin().unwrap(),
            Origin { split: "t[0]".into(), offset: 7, message: None, change: None }
        );
    }

    /// The queue as a sink: each row is a letter's error.
    struct AsSink(Arc<DeadLetterQueue>, u64);

    impl Sink for AsSink {
        fn guarantee(&self) -> SinkGuarantee {
            SinkGuarantee::Repeatable
        }
        fn writer(&self, _: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
            Ok(Box::new(AsWriter { queue: self.0.clone(), epoch: self.1 + 1, prepared: VecDeque::new() }))
        }
        fn committer(&self) -> Result<Box<dyn Committer>> {
            Ok(Box::new(self.0.committer()))
        }
    }

    struct AsWriter {
        queue: Arc<DeadLetterQueue>,
        epoch: u64,
        prepared: VecDeque<Vec<Committable>>,
    }

    impl SinkWriter for AsWriter {
        fn write(&mut self, batch: &RecordBatch) -> Result<()> {
            let texts = batch.column(0).as_string::<i32>().iter().flatten();
            self.queue.send_in(self.epoch, &texts.map(letter).collect::<Vec<_>>())
        }
        fn prepare(&mut self, epoch: u64) -> Result<()> {
            self.prepared.push_back(self.queue.prepare(epoch)?);
            self.epoch = epoch + 1;
            Ok(())
        }
        fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
            Ok(self.prepared.pop_front())
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn letters_of_an_epoch_appear_once_whoever_dies_when() {
        let directory = tempfile::tempdir().unwrap();
        let visible = || {
            let published = names(directory.path()).into_iter().filter(|name| name.ends_with(".ndjson"));
            let read = |name: String| fs::read_to_string(directory.path().join(name)).unwrap();
            let mut errors: Vec<String> = published
                .flat_map(|name| read(name).lines().map(str::to_string).collect::<Vec<_>>())
                .map(|line| serde_json::from_str::<Line>(&line).unwrap().error)
                .collect();
            errors.sort();
            errors
        };
        let check = RepeatableSink {
            open: &|generation| {
                let queue = DeadLetterQueue::by_epoch(directory.path(), "job", "id", generation);
                Ok(Arc::new(AsSink(Arc::new(queue), generation)))
            },
            row: &|text| {
                let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
                RecordBatch::try_from_iter([("text", column)]).unwrap()
            },
            visible: &visible,
            hidden: &|| names(directory.path()).iter().filter(|name| name.starts_with('.')).count(),
        };
        check.check().unwrap();
    }

    #[test]
    fn shards_pass_a_barrier_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let queue = DeadLetterQueue::by_epoch(directory.path(), "job", "id", 1);
        queue.send_in(2, &[letter("two")]).unwrap();
        queue.send_in(3, &[letter("three")]).unwrap();
        queue.send_in(2, &[letter("two again")]).unwrap();
        queue.committer().commit(&queue.prepare(2).unwrap()).unwrap();
        let [name] =
            &names(directory.path()).into_iter().filter(|it| it.ends_with("ndjson")).collect::<Vec<_>>()[..]
        else {
            panic!("one file")
        };
        assert_eq!(fs::read_to_string(directory.path().join(name)).unwrap().lines().count(), 2);
        assert_eq!(
            (queue.written(), queue.prepare(3).unwrap().len(), queue.prepare(4).unwrap().len()),
            (3, 1, 0)
        );
    }
}
