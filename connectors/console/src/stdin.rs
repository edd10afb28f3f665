//! `stdin`: records in any format, read from standard input.
//!
//! ```text
//!   wait (poll) ─► read ─► find record ends ─► a chunk when 1 MiB is there, when the oldest
//!        │                                     byte is older than the buffer timeout, at the end
//!        └── wakes up ten times a second to look at the stop signal
//! ```

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::Duration,
};

use flott_connector::{
    Changelog, Chunk, Connector, Decoder, Format, FormatRequest, Idleness, OptionDef, Payload, ReadContext,
    Registry, ScanRequest, Sink, SinkRequest, Source, SourceReader, SplitInfo, SplitTime, TableDescription,
};
use flott_formats::framing::Cutter;
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use crate::{
    stdout::{FORMAT_OPTION, validate_record_stream},
    unsupported,
};

/// Chunks are handed over at about this size.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes asked for in one read.
const READ_BYTES: usize = 256 << 10;
/// A record larger than this ends the run: it would have to be held in memory as a whole.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// How long a wait goes on before the stop signal is looked at.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// `execution.buffer-timeout.interval` when it isn't set, as in Flink.
const BUFFER_TIMEOUT_DEFAULT: Duration = Duration::from_millis(100);
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The connector.
pub(crate) struct Stdin;

impl Connector for Stdin {
    fn name(&self) -> &'static str {
        "stdin"
    }
    fn doc(&self) -> &'static str {
        "Reads records from standard input until it ends."
    }
    fn options(&self) -> &'static [OptionDef] {
        const { &[FORMAT_OPTION] }
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        false
    }
    fn takes_format(&self) -> bool {
        true
    }
    fn replays(&self, _: &TableDescription) -> bool {
        false
    }
    fn source_changelog(&self, table: &TableDescription, registry: &Registry) -> Result<Changelog> {
        registry.format_of(table)?.changelog(&table.options)
    }
    fn validate(&self, table: &TableDescription, registry: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        validate_record_stream(self.name(), table, registry, errors);
    }
    fn source(
        &self,
        table: &TableDescription,
        scan: ScanRequest,
        registry: &Registry,
    ) -> Result<Arc<dyn Source>> {
        let buffer_timeout = scan.job_options.duration("execution.buffer-timeout.interval")?;
        Ok(Arc::new(StdinSource {
            format: registry.format_of(table)?.clone(),
            table: table.clone(),
            buffer_timeout: buffer_timeout.unwrap_or(BUFFER_TIMEOUT_DEFAULT),
            scan,
        }))
    }
    fn sink(&self, table: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Err(unsupported(self.name(), table, "written").help("to write to standard output use 'stdout'"))
    }
}

struct StdinSource {
    format: Arc<dyn Format>,
    table: TableDescription,
    scan: ScanRequest,
    buffer_timeout: Duration,
}

impl Source for StdinSource {
    fn is_bounded(&self) -> bool {
        true
    }
    fn applies_filter(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        check_resume(&self.table, resume)?;
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| unreadable(&error))?;
        let options = &self.table.options;
        Ok(Box::new(StdinReader {
            input: File::from(input),
            split: Arc::new(SplitInfo { name: "stdin".into(), ..SplitInfo::default() }),
            cutter: Cutter::new(self.format.framing(options)?)?,
            buffer_timeout: self.buffer_timeout,
            header_lines: self.format.header_lines(options)?,
            // Raw records are any bytes: nothing in them means anything.
            may_have_mark: self.format.name() != "raw",
            held: Vec::new(),
            whole: 0,
            since: None,
            offset: 0,
            dropped: 0,
            sequence: 0,
            ended: false,
            idle: Idleness::default(),
            told_end: false,
        }))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let request = FormatRequest { table: &self.table, schema: self.table.physical_schema() };
        self.format.decoder(&request, &self.scan, Vec::new())
    }
}

struct StdinReader {
    input: File,
    split: Arc<SplitInfo>,
    cutter: Cutter,
    buffer_timeout: Duration,
    /// Lines at the start still to be dropped.
    header_lines: usize,
    /// Whether a byte order mark may still come.
    may_have_mark: bool,
    /// Bytes read and not handed over.
    held: Vec<u8>,
    /// How many of them are whole records.
    whole: usize,
    /// When the oldest byte held was read.
    since: Option<Duration>,
    /// Place of the first byte held.
    offset: u64,
    /// Bytes dropped since the last chunk: header lines, the byte order mark.
    dropped: u64,
    sequence: u64,
    ended: bool,
    idle: Idleness,
    /// A chunk has said that the input ends.
    told_end: bool,
}

impl SourceReader for StdinReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        loop {
            if context.stop.is_stopped() {
                return Ok(None);
            }
            if self.ended {
                let rest = self.hand_over(self.held.len(), context);
                let told = std::mem::replace(&mut self.told_end, true);
                return Ok(if told { rest } else { rest.or_else(|| Some(self.control(false))) });
            }
            let now = context.clock.monotonic();
            if self.whole == 0 && self.idle.begins(now, context) {
                return Ok(Some(self.control(true)));
            }
            let patience = self.patience(context);
            if self.whole > 0 && (self.held.len() >= CHUNK_BYTES || patience.is_zero()) {
                return Ok(self.hand_over(self.whole, context));
            }
            let wait = self.idle.shorten(patience.min(WAIT_MAX), now, context);
            if is_readable(&self.input, wait)? {
                self.read(context)?;
            }
        }
    }
    fn position(&self) -> Value {
        json!({"offset": self.offset})
    }
}

impl StdinReader {
    /// A chunk without records: the input has ended, or nothing comes.
    fn control(&mut self, idle: bool) -> Chunk {
        self.sequence += 1;
        let time = SplitTime { finished: self.ended, idle, ..SplitTime::default() };
        Chunk::control(self.split.clone(), self.sequence - 1, time)
    }

    /// How much longer what is held may wait for more.
    fn patience(&self, context: &ReadContext) -> Duration {
        match self.since {
            Some(since) if self.whole > 0 => {
                self.buffer_timeout.saturating_sub(context.clock.monotonic().saturating_sub(since))
            }
            _ => WAIT_MAX,
        }
    }

    /// Reads what is there, at most [`READ_BYTES`].
    fn read(&mut self, context: &ReadContext) -> Result<()> {
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let read = self.input.read(self.held.get_mut(before..).unwrap_or_default());
        let read = match read {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                self.held.truncate(before);
                return Ok(());
            }
            Err(error) => return Err(unreadable(&error)),
        };
        self.held.truncate(before + read);
        self.ended = read == 0;
        self.since.get_or_insert_with(|| context.clock.monotonic());
        self.find_ends(before);
        if self.whole == 0 && self.held.len() > RECORD_BYTES_MAX {
            let message = format!("a record of stdin is larger than {} MB", RECORD_BYTES_MAX >> 20);
            return Err(Diagnostic::error(Code::RecordTooLarge, message)
                .help(format!("it begins at byte {}; is the format right?", self.offset)));
        }
        Ok(())
    }

    /// Finds record ends in the bytes held from `from` on.
    fn find_ends(&mut self, mut from: usize) {
        if self.may_have_mark {
            if self.held.len() < BYTE_ORDER_MARK.len()
                && !self.ended
                && BYTE_ORDER_MARK.starts_with(&self.held)
            {
                return;
            }
            self.may_have_mark = false;
            from = 0;
            if self.held.starts_with(BYTE_ORDER_MARK) {
                self.drop_front(BYTE_ORDER_MARK.len());
            }
        }
        while self.header_lines > 0 {
            let Some(end) = self.cutter.first_end(self.held.get(from..).unwrap_or_default()) else {
                if self.ended {
                    self.drop_front(self.held.len());
                }
                return;
            };
            self.header_lines -= 1;
            self.drop_front(from + end);
            from = 0;
        }
        if let Some(end) = self.cutter.last_end(self.held.get(from..).unwrap_or_default()) {
            self.whole = from + end;
        }
    }

    fn drop_front(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        self.offset += bytes as u64;
        self.dropped += bytes as u64;
    }

    /// The first `length` bytes held, as a chunk; `None` if there are none.
    fn hand_over(&mut self, length: usize, context: &ReadContext) -> Option<Chunk> {
        if length == 0 {
            return None;
        }
        let mut rest = context.buffers.take();
        rest.extend_from_slice(self.held.get(length..).unwrap_or_default());
        let mut bytes = std::mem::replace(&mut self.held, rest);
        bytes.truncate(length);
        let chunk = Chunk {
            split: self.split.clone(),
            sequence: self.sequence,
            offset: self.offset,
            bytes_in: length as u64 + std::mem::take(&mut self.dropped),
            payload: Payload::Bytes(bytes),
            time: SplitTime { finished: self.ended, ..SplitTime::default() },
        };
        self.idle.ends(context);
        self.sequence += 1;
        self.offset += length as u64;
        self.whole = 0;
        self.since = (!self.held.is_empty()).then(|| context.clock.monotonic());
        Some(chunk)
    }
}

/// Only the start can be resumed at: what has been read is gone.
fn check_resume(table: &TableDescription, resume: Option<&Value>) -> Result<()> {
    let offset = resume.and_then(|position| position.get("offset")).and_then(Value::as_u64);
    let Some(offset) = offset.filter(|offset| *offset > 0) else { return Ok(()) };
    let name = &table.name;
    let message = format!("'{name}' cannot go on at byte {offset}: standard input cannot be read twice");
    Err(Diagnostic::error(Code::CheckpointUnusable, message)
        .at(table.span)
        .help("start anew with `--resume never`; what can be resumed is a file: connector 'filesystem'"))
}

/// Waits until reading would not block, at most `timeout`.
fn is_readable(input: &File, timeout: Duration) -> Result<bool> {
    let mut wanted = libc::pollfd { fd: input.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: a wait of zero would spin.
    let millis = libc::c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX);
    // SAFETY: `wanted` is one pollfd that lives until the call returns.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, millis) };
    if ready >= 0 {
        return Ok(ready > 0);
    }
    match io::Error::last_os_error() {
        error if error.kind() == ErrorKind::Interrupted => Ok(false),
        error => Err(unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> Box<Diagnostic> {
    Diagnostic::error(Code::InputUnreadable, format!("cannot read standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeWriter, Write},
        os::fd::OwnedFd,
    };

    use flott_connector::{BufferPool, Framing, StopSignal, SystemClock};

    use super::*;

    fn reader(header_lines: usize) -> (PipeWriter, StdinReader, ReadContext) {
        let (output, input) = io::pipe().unwrap();
        let reader = StdinReader {
            input: File::from(OwnedFd::from(output)),
            split: Arc::default(),
            cutter: Cutter::new(Framing::Lines).unwrap(),
            buffer_timeout: Duration::from_millis(5),
            header_lines,
            may_have_mark: true,
            held: Vec::new(),
            whole: 0,
            since: None,
            offset: 0,
            dropped: 0,
            sequence: 0,
            ended: false,
            idle: Idleness::default(),
            told_end: false,
        };
        let (buffers, stop) = (BufferPool::default(), StopSignal::new());
        (
            input,
            reader,
            ReadContext { buffers, stop, clock: Arc::new(SystemClock::new()), idle_timeout: None },
        )
    }

    fn next(reader: &mut StdinReader, context: &ReadContext) -> Option<(u64, String)> {
        let chunk = reader.next_chunk(context).unwrap()?;
        let Payload::Bytes(bytes) = chunk.payload else { panic!("stdin hands over bytes") };
        Some((chunk.offset, String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn whole_records_are_handed_over_when_the_input_pauses() {
        let (mut input, mut reader, context) = reader(1);
        input.write_all(b"\xEF\xBB\xBFname\na\nb").unwrap();
        assert_eq!(next(&mut reader, &context), Some((8, "a\n".into())));
        input.write_all(b"c\nlast").unwrap();
        drop(input);
        let mut rest = String::new();
        while let Some((_, text)) = next(&mut reader, &context) {
            rest += &text;
        }
        assert_eq!((rest.as_str(), reader.offset), ("bc\nlast", 17));
    }

    #[test]
    fn the_end_and_a_pause_are_told() {
        let (mut input, mut reader, mut context) = reader(0);
        context.idle_timeout = Some(Duration::from_millis(1));
        let time = |reader: &mut StdinReader| {
            let chunk = reader.next_chunk(&context).unwrap().unwrap();
            (chunk.is_control(), chunk.time.idle, chunk.time.finished)
        };
        assert_eq!(time(&mut reader), (true, true, false));
        input.write_all(b"a\n").unwrap();
        assert_eq!(time(&mut reader), (false, false, false));
        drop(input);
        assert_eq!(time(&mut reader), (true, false, true));
        assert!(reader.next_chunk(&context).unwrap().is_none());
    }

    #[test]
    fn what_has_been_read_cannot_be_read_again() {
        let table = TableDescription { name: "in".into(), ..TableDescription::default() };
        let (mut input, mut reader, context) = reader(0);
        assert!(check_resume(&table, Some(&reader.position())).is_ok());
        input.write_all(b"a\n").unwrap();
        next(&mut reader, &context);
        let error = check_resume(&table, Some(&reader.position())).unwrap_err();
        assert!(error.message.contains("'in' cannot go on at byte 2"), "{error}");
    }

    #[test]
    fn a_stop_ends_a_wait() {
        let (input, mut reader, context) = reader(0);
        context.stop.stop();
        assert_eq!(next(&mut reader, &context), None);
        drop(input);
    }
}
