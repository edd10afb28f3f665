//! Writing to standard output or standard error without blocking a shard.
//!
//! ```text
//!   append ─► pending ── full or flushed ─► bounded queue ─► I/O thread ─► write, whole buffers
//!                │ queue full: `waiting`, and is_ready() is false              │
//!                └────────────────── empty buffers come back ◄────────────────┘
//! ```
//!
//! A buffer always ends at the end of a record. The first error stays: every later call reports it.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use flott_connector::io::{Thread, spawn};
use flott_types::{Code, Diagnostic, Result};

/// Buffers in the queue at the most. With [`BUFFER_BYTES`] this bounds the memory of a sink
/// whose reader is slow.
const QUEUE_BUFFERS: usize = 8;
/// A buffer of this size is handed over.
const BUFFER_BYTES: usize = 64 << 10;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Out => "standard output",
            Stream::Err => "standard error",
        }
    }
    fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Stream::Err => io::stderr().lock().write_all(bytes),
        }
    }
}

enum Message {
    Bytes(Vec<u8>),
    /// Everything before it has been written once the thread sees it.
    Mark(u64),
}

/// What the thread tells the writer.
#[derive(Default)]
struct Progress {
    marked: AtomicU64,
    failure: Mutex<Option<Box<Diagnostic>>>,
}

impl Progress {
    fn failure(&self) -> Option<Box<Diagnostic>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The queue in front of a stream.
pub(crate) struct Output {
    pending: Vec<u8>,
    waiting: VecDeque<Message>,
    marks: u64,
    queue: Option<Sender<Message>>,
    empties: Receiver<Vec<u8>>,
    progress: Arc<Progress>,
    thread: Option<Thread>,
}

impl Output {
    /// Opens a stream.
    pub(crate) fn open(stream: Stream) -> Result<Self> {
        Self::to(stream.name(), move |bytes| stream.write(bytes))
    }

    /// A queue in front of any function that writes.
    fn to(name: &'static str, write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> Result<Self> {
        let (queue, messages) = bounded(QUEUE_BUFFERS);
        let (give_back, empties) = bounded(QUEUE_BUFFERS);
        let progress = Arc::new(Progress::default());
        let shared = progress.clone();
        let thread = spawn(name, move || run(name, &messages, &give_back, &shared, write))?;
        Ok(Self {
            pending: Vec::new(),
            waiting: VecDeque::new(),
            marks: 0,
            queue: Some(queue),
            empties,
            progress,
            thread: Some(thread),
        })
    }

    /// The buffer to append whole records to; call [`Output::appended`] afterwards.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Records have been appended.
    pub(crate) fn appended(&mut self) -> Result<()> {
        if self.pending.len() >= BUFFER_BYTES { self.flush() } else { self.check() }
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            let empty = self.empties.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.pending, empty);
            self.waiting.push_back(Message::Bytes(full));
        }
        self.push();
        self.check()
    }

    /// Whether the queue takes more.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.push();
        self.waiting.is_empty()
    }

    /// Begins an epoch: [`Output::is_written`] is true once everything before it is out.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.flush()?;
        self.marks += 1;
        self.waiting.push_back(Message::Mark(self.marks));
        self.push();
        self.check()
    }

    /// Whether everything before the last mark has been written.
    pub(crate) fn is_written(&mut self) -> Result<bool> {
        self.push();
        self.check()?;
        Ok(self.progress.marked.load(Ordering::Acquire) >= self.marks)
    }

    fn check(&self) -> Result<()> {
        self.progress.failure().map_or(Ok(()), Err)
    }

    fn push(&mut self) {
        let Some(queue) = &self.queue else { return };
        while let Some(message) = self.waiting.pop_front() {
            match queue.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    self.waiting.push_front(message);
                    return;
                }
                // The thread has ended with an error, which `check` reports.
                Err(TrySendError::Disconnected(_)) => self.waiting.clear(),
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The thread ends when the queue is closed.
        self.queue = None;
        self.thread = None;
    }
}

fn run(
    name: &str,
    messages: &Receiver<Message>,
    give_back: &Sender<Vec<u8>>,
    progress: &Progress,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) {
    for message in messages {
        match message {
            Message::Mark(mark) => progress.marked.store(mark, Ordering::Release),
            Message::Bytes(mut bytes) => {
                if let Err(error) = write(&bytes) {
                    let mut failure = progress.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    *failure = Some(failed(name, &error));
                    return;
                }
                bytes.clear();
                // A full or closed channel only means that the buffer is freed.
                let _ = give_back.try_send(bytes);
            }
        }
    }
}

fn failed(name: &str, error: &io::Error) -> Box<Diagnostic> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Diagnostic::error(Code::OutputFailed, format!("{name} was closed by its reader"))
            .help("the program behind the pipe ended before all rows were written");
    }
    Diagnostic::error(Code::OutputFailed, format!("cannot write to {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_passes_after_everything_before_it_and_an_error_stays() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let mut output = Output::to("test", move |bytes| {
            if bytes.starts_with(b"bad") {
                return Err(ErrorKind::BrokenPipe.into());
            }
            sink.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        for _ in 0..100 {
            let line = vec![b'x'; 10_000];
            output.buffer().extend_from_slice(&line);
            output.appended().unwrap();
        }
        output.mark().unwrap();
        while !output.is_written().unwrap() {
            std::thread::yield_now();
        }
        assert_eq!(seen.lock().unwrap().len(), 1_000_000);
        assert!(output.is_ready());

        output.buffer().extend_from_slice(b"bad\n");
        let _ = output.mark();
        let error = loop {
            match output.is_written() {
                Ok(_) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.message, "test was closed by its reader");
    }
}
