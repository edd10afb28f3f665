//! Between a table and the stream of its changes.
//!
//! ```text
//!   FROM_CHANGELOG:  (op 'D', a 1)  ──►  -D (a 1)
//!   TO_CHANGELOG:    -D (a 1)  ──►  +I (op 'DELETE', a 1)
//! ```

use flott_types::{Schema, Span};

use super::LogicalPlan;

/// What a change does to the row it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeOperation {
    /// `INSERT`, `+I`
    Insert,
    /// `UPDATE_BEFORE`, `-U`
    UpdateBefore,
    /// `UPDATE_AFTER`, `+U`
    UpdateAfter,
    /// `DELETE`, `-D`
    Delete,
}

impl ChangeOperation {
    /// All of them, in the order of their codes.
    pub const ALL: [ChangeOperation; 4] = [
        ChangeOperation::Insert,
        ChangeOperation::UpdateBefore,
        ChangeOperation::UpdateAfter,
        ChangeOperation::Delete,
    ];

    /// The name that mappings use.
    pub fn name(self) -> &'static str {
        match self {
            ChangeOperation::Insert => "INSERT",
            ChangeOperation::UpdateBefore => "UPDATE_BEFORE",
            ChangeOperation::UpdateAfter => "UPDATE_AFTER",
            ChangeOperation::Delete => "DELETE",
        }
    }

    /// The operation of this name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }
}

/// `FROM_CHANGELOG(input => TABLE t, …)`: append-only rows that say what they do, as changes.
#[derive(Debug, Clone, PartialEq)]
pub struct FromChangelog {
    /// Append-only rows.
    pub input: Box<LogicalPlan>,
    /// Position of the column that says what a row does. It isn't in the output.
    pub op_column: usize,
    /// Values of that column and what they mean. Any other value is an error of its row.
    pub mapping: Vec<(String, ChangeOperation)>,
    /// The input's columns without the one of the operation.
    pub schema: Schema,
    /// Where the call stands.
    pub span: Span,
}

/// `TO_CHANGELOG(input => TABLE t, …)`: changes as append-only rows that say what they do.
#[derive(Debug, Clone, PartialEq)]
pub struct ToChangelog {
    /// Rows of any changelog mode.
    pub input: Box<LogicalPlan>,
    /// What each operation is called; changes of one that isn't here are left out.
    pub mapping: Vec<(ChangeOperation, String)>,
    /// The column of the operation (STRING), then the input's.
    pub schema: Schema,
    /// Where the call stands.
    pub span: Span,
}

/// `INSERT … ON CONFLICT DO …`: what happens when rows of different origin have one primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// `ERROR`: the job fails.
    Error,
    /// `NOTHING`: the first one stays.
    Nothing,
    /// `DEDUPLICATE`: the latest one wins; when it is deleted the one before is back.
    Deduplicate,
}
