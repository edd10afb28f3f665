//! Why a record can't be decoded.

use std::fmt::Write as _;

/// A failure, boxed so that results stay small on the good path.
pub(super) type Fail = Box<Failure>;

/// Why a record can't be decoded, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Position in the bytes read.
    at: usize,
    what: String,
    /// With more bytes it might have been none.
    is_short: bool,
    /// The field, innermost name first.
    path: Vec<String>,
}

impl Failure {
    /// What stands at `at` is wrong.
    #[cold]
    pub fn new(at: usize, what: impl Into<String>) -> Fail {
        Box::new(Failure { at, what: what.into(), is_short: false, path: Vec::new() })
    }
    /// The record ends before it is complete.
    #[cold]
    pub fn truncated(at: usize) -> Fail {
        Self::short(at, "the record ends in the middle of a value")
    }
    /// Fewer bytes are there than are announced.
    #[cold]
    pub fn short(at: usize, what: impl Into<String>) -> Fail {
        Box::new(Failure { at, what: what.into(), is_short: true, path: Vec::new() })
    }
    /// Whether it might have been none with more bytes.
    pub fn is_short(&self) -> bool {
        self.is_short
    }
    /// The same failure inside the field of this name.
    #[cold]
    pub fn inside(mut self: Box<Self>, name: &str) -> Fail {
        self.path.push(name.to_string());
        self
    }
    /// One sentence for users; `start` is where the record starts.
    pub fn message(&self, start: usize) -> String {
        let mut out = String::new();
        if !self.path.is_empty() {
            let names: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            let _ = write!(out, "field '{}': ", names.join("."));
        }
        let byte = self.at.saturating_sub(start);
        let _ = write!(out, "at byte {byte} of the record: {}", self.what);
        out
    }
}
