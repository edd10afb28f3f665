//! Why a record can't be decoded.

use std::fmt::Write as _;

/// A failure, boxed so that results stay small on the good path.
pub(crate) type Fail = Box<Failure>;

/// What kind of failure it is: `ignore-parse-errors` treats them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The record isn't JSON.
    Malformed,
    /// It is JSON, but not the object that a row is made of.
    NotAnObject,
    /// A value doesn't fit its field's type.
    Value,
    /// A field is missing and `fail-on-missing-field` is set.
    Missing,
}

/// Why a record can't be decoded, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    /// Position in the chunk.
    pub at: usize,
    what: String,
    /// The field, innermost name first.
    path: Vec<String>,
}

/// A value in a message is cut to this many characters.
const SHOWN_MAX: usize = 60;

impl Failure {
    /// Not JSON.
    #[cold]
    pub fn malformed(at: usize, what: &'static str) -> Fail {
        Box::new(Failure { kind: FailureKind::Malformed, at, what: what.into(), path: Vec::new() })
    }
    /// Something else (`"a text"`) stands where the object of a row has to.
    #[cold]
    pub fn not_an_object(at: usize, found: &str) -> Fail {
        let what = format!("expected an object, found {found}");
        Box::new(Failure { kind: FailureKind::NotAnObject, at, what, path: Vec::new() })
    }
    /// A value (its text as it stands) that isn't a `type_name`.
    #[cold]
    pub fn value(at: usize, raw: &[u8], type_name: impl std::fmt::Display) -> Fail {
        let text = String::from_utf8_lossy(raw);
        let mut shown: String = text.chars().take(SHOWN_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let type_name = type_name.to_string();
        let article = if type_name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
        let what = format!("'{shown}' is not {article} {type_name}");
        Box::new(Failure { kind: FailureKind::Value, at, what, path: Vec::new() })
    }
    /// Anything else that is wrong with a record.
    #[cold]
    pub fn other(at: usize, what: String) -> Fail {
        Box::new(Failure { kind: FailureKind::Value, at, what, path: Vec::new() })
    }
    /// A value that fits its type but not our memory layout.
    #[cold]
    pub fn too_large(at: usize) -> Fail {
        let what = "too much text for one batch".to_string();
        Box::new(Failure { kind: FailureKind::Value, at, what, path: Vec::new() })
    }
    /// A field that isn't there.
    #[cold]
    pub fn missing(at: usize, name: &str) -> Fail {
        let what = "the field is missing".to_string();
        Box::new(Failure { kind: FailureKind::Missing, at, what, path: vec![name.to_string()] })
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
        if self.kind == FailureKind::Malformed {
            let byte = self.at.saturating_sub(start);
            let _ = write!(out, "malformed JSON at byte {byte} of the record: {}", self.what);
        } else {
            out.push_str(&self.what);
        }
        out
    }
}
