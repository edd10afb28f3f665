//! `FROM_CHANGELOG` and `TO_CHANGELOG` as steps: between a table and the stream of its changes.
//!
//! ```text
//!   FROM_CHANGELOG:  +I (op 'D', a 1)  ──►  -D (a 1)                 always retract [I,UB,UA,D]
//!   TO_CHANGELOG:    -D (a 1)          ──►  +I (op 'DELETE', a 1)    append; wants to know what rows were
//! ```
//!
//! They keep nothing. A retraction is a change like any other.

use flott_sql::{ChangeOperation, FromChangelog, ToChangelog};
use flott_types::{Code, Diagnostic, Result, RowKind};

use crate::Step;

fn kind(operation: ChangeOperation) -> RowKind {
    match operation {
        ChangeOperation::Insert => RowKind::Insert,
        ChangeOperation::UpdateBefore => RowKind::UpdateBefore,
        ChangeOperation::UpdateAfter => RowKind::UpdateAfter,
        ChangeOperation::Delete => RowKind::Delete,
    }
}

/// # Errors
/// `UnsupportedUse`: in batch mode there are no changes.
pub fn from_changelog(it: &FromChangelog, batch: bool) -> Result<Step> {
    if batch {
        let message = "FROM_CHANGELOG makes changes, which can't be read in batch mode";
        return Err(Diagnostic::error(Code::UnsupportedUse, message)
            .at(it.span)
            .help("SET 'execution.runtime-mode' = 'streaming'"));
    }
    let mapping = it.mapping.iter().map(|(code, operation)| (code.clone(), kind(*operation))).collect();
    Ok(Step::FromChangelog { op_column: it.op_column, mapping, schema: it.schema.clone() })
}

/// Never fails: any rows are changes.
pub fn to_changelog(it: &ToChangelog) -> Step {
    let mapping = it.mapping.iter().map(|(operation, code)| (kind(*operation), code.clone())).collect();
    Step::ToChangelog { mapping, schema: it.schema.clone() }
}
