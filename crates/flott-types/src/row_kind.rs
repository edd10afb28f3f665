//! What a row does to the table that a stream of changes describes.
//!
//! ```text
//!   +I a 1      a is 1
//!   -U a 1      a was 1 …
//!   +U a 2      … and is 2
//!   -D a 2      a is gone
//! ```
//! Source: Flink's `RowKind`, whose numbers and short names these are.

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum RowKind {
    /// `+I`: a row that is new.
    Insert = 0,
    /// `-U`: a row as it was; the change to it follows.
    UpdateBefore = 1,
    /// `+U`: a row as it is now.
    UpdateAfter = 2,
    /// `-D`: a row that is gone.
    Delete = 3,
}

impl RowKind {
    /// All of them.
    pub const ALL: [RowKind; 4] =
        [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];

    /// By its number.
    pub fn of(number: i8) -> Option<Self> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).copied()
    }
    /// By its short name.
    pub fn named(short: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.short() == short)
    }
    /// `+I`, `-U`, `+U`, `-D`
    pub fn short(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }
    /// Its number.
    pub fn number(self) -> i8 {
        self as i8
    }
    /// Whether the row is taken away.
    pub fn retracts(self) -> bool {
        matches!(self, RowKind::UpdateBefore | RowKind::Delete)
    }
}
