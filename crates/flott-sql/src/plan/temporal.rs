//! Joins with a table as it was at a time, and what hints say about joins.
//!
//! ```text
//!   orders o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency
//!          rowtime:  the version of `r` that was valid at o.ts; `r` has a primary key and a rowtime
//!          proctime: what a look-up in the external table gives now
//! ```

use std::time::Duration;

use flott_expr::Expr;
use flott_types::{Schema, Span, TimeAttribute};

use super::{JoinKind, LogicalPlan};

/// `left JOIN right FOR SYSTEM_TIME AS OF left.time ON …`
#[derive(Debug, Clone, PartialEq)]
pub struct TemporalJoin {
    /// The rows that are enriched.
    pub left: Box<LogicalPlan>,
    /// The versioned table; for processing time the table that is looked up.
    pub right: Box<LogicalPlan>,
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// A BOOLEAN expression over the left's columns followed by the right's. At least one conjunct
    /// compares a column of each side for equality; for row time the whole key of the right is
    /// compared so.
    pub condition: Expr,
    /// As of when: a time attribute among the left's columns.
    pub time: Expr,
    /// Of which kind that time is.
    pub time_attribute: TimeAttribute,
    /// Row time: positions of the key's columns in the right's schema. Empty for processing time.
    pub right_key: Vec<usize>,
    /// Row time: position of the right's time column, which says from when a version is valid.
    pub right_time: Option<usize>,
    /// Left columns, then right ones (nullable for a left join).
    pub schema: Schema,
    /// Where the join stands.
    pub span: Span,
    /// The `LOOKUP` hint.
    pub lookup: LookupHint,
    /// The `STATE_TTL` hint in milliseconds: left, right.
    pub state_ttl: [Option<i64>; 2],
}

/// The `LOOKUP` hint of a look-up join. What isn't said is `None`: the session's options decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupHint {
    /// `'async'`: look-ups may be in flight at once.
    pub asynchronous: Option<bool>,
    /// `'output-mode' = 'allow_unordered'`: results may overtake each other (`ordered`: not).
    pub unordered: Option<bool>,
    /// `'capacity'`: how many look-ups are in flight at most.
    pub capacity: Option<usize>,
    /// `'timeout'` of one asynchronous look-up.
    pub timeout: Option<Duration>,
    /// `'retry-predicate' = 'lookup_miss'` with its strategy: a miss is tried again.
    pub retry: Option<LookupRetry>,
    /// `'shuffle'`: rows of one key go to one shard, for a better hit rate of its cache.
    pub shuffle: Option<bool>,
    /// Where the hint stands.
    pub span: Span,
}

/// How often and after how long a look-up that found nothing is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupRetry {
    /// `'fixed-delay'`
    pub delay: Duration,
    /// `'max-attempts'`
    pub attempts_max: u32,
}
