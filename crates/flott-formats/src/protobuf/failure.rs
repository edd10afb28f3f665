//! Why a record can't be decoded.

use std::borrow::Cow;

use crate::builder::Unfit;

/// A failure, boxed so that results stay small on the good path.
pub(super) type Fail = Box<Failure>;

/// Why a record can't be decoded, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The byte in the record; none: the bytes are fine, what they say isn't.
    at: Option<usize>,
    what: Cow<'static, str>,
    /// The field, innermost name first.
    path: Vec<String>,
}

impl From<Unfit> for Fail {
    #[cold]
    fn from(unfit: Unfit) -> Fail {
        Failure::value(match unfit {
            Unfit::NoText => "the text is not valid UTF-8",
            Unfit::TooMuch => "too much text for one batch",
        })
    }
}

impl Failure {
    /// The bytes are no message.
    #[cold]
    pub fn malformed(at: usize, what: impl Into<Cow<'static, str>>) -> Fail {
        Box::new(Failure { at: Some(at), what: what.into(), path: Vec::new() })
    }
    /// A value isn't what its field must be.
    #[cold]
    pub fn value(what: impl Into<Cow<'static, str>>) -> Fail {
        Box::new(Failure { at: None, what: what.into(), path: Vec::new() })
    }
    /// The same failure inside the field of this name.
    #[cold]
    pub fn inside(mut self: Box<Self>, name: &str) -> Fail {
        self.path.push(name.to_string());
        self
    }
    /// The same failure in a record whose first `bytes` bytes were looked at before.
    #[cold]
    pub fn behind(mut self: Box<Self>, bytes: usize) -> Fail {
        self.at = self.at.map(|at| at + bytes);
        self
    }
    /// One sentence for users.
    pub fn message(&self) -> String {
        let names: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        let field = if names.is_empty() { String::new() } else { format!("field '{}': ", names.join(".")) };
        match self.at {
            Some(at) => format!("{field}malformed protobuf at byte {at} of the record: {}", self.what),
            None => format!("{field}{}", self.what),
        }
    }
}
