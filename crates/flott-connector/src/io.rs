//! Threads for I/O: named, and joined when their handle is dropped.

use std::thread::JoinHandle;

use flott_types::{Code, Diagnostic, Result};

/// A thread that is joined when this is dropped. Whoever owns it makes the thread end first
/// (by dropping its channel or giving its [`crate::StopSignal`]).
#[derive(Debug)]
pub struct Thread {
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Waits for the thread's end. False if it panicked.
    pub fn join(mut self) -> bool {
        self.handle.take().is_none_or(|handle| handle.join().is_ok())
    }
    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// Address space for a thread's stack; memory only as far as it is used. Expressions are evaluated
/// by recursion, and `a OR b OR …` is as deep as it is long.
const STACK_BYTES: usize = 64 << 20;

/// Starts a named thread.
///
/// # Errors
/// `Internal` if the operating system refuses another thread.
pub fn spawn(name: impl Into<String>, work: impl FnOnce() + Send + 'static) -> Result<Thread> {
    let name = name.into();
    std::thread::Builder::new()
        .name(name.clone())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map(|handle| Thread { handle: Some(handle) })
        .map_err(|error| Diagnostic::error(Code::Internal, format!("cannot start thread '{name}': {error}")))
}

/// Starts a named thread that nobody waits for: for a call that blocks, can't be interrupted, and ends by itself
/// after a bounded time. It must hold nothing that others wait for.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_alone(name: impl Into<String>, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut thread = spawn(name, work)?;
    drop(thread.handle.take());
    Ok(())
}

/// What came of a piece of [`Work`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Busy,
    /// There was nothing to do.
    Idle,
    /// There will be nothing to do any more.
    Done,
}

/// Work that is done piece by piece beside whoever asked for it.
pub trait Work: Send {
    /// Does the next piece; `wait`: waits for it to come.
    fn step(&mut self, wait: bool) -> Step;
}

/// Whoever does some [`Work`]. Dropping it waits for the work's end.
pub trait Worker: Send {
    /// Whether the work has ended.
    fn is_finished(&self) -> bool;
}

/// Has work done by a thread.
///
/// # Errors
/// As [`spawn`].
pub fn work(name: impl Into<String>, mut work: Box<dyn Work>) -> Result<Thread> {
    spawn(name, move || while work.step(true) != Step::Done {})
}
