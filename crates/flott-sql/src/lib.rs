//! Flink SQL text to a bound, typed logical plan.
//!
//! ```text
//!   script text ─ variables ─► Source ─ parse ─► Statement ─ Session::execute ─► Outcome
//!                (${NAME})     (text,            (ours for DDL,   │                (LogicalPlan for
//!                               spans)            sqlparser for   ├─ catalog        INSERT and SELECT)
//!                                                 queries)        └─ bind
//! ```
//!
//! Parsing queries and expressions is `sqlparser`'s, with a dialect of ours; DDL and the clauses
//! that it lacks are parsed by our functions on its tokenizer. Binding is ours, with Flink's
//! types from the first node to the last.
//!
//! This crate knows nothing of how a pipeline runs or of any connector.

pub mod bind;
pub mod catalog;
mod options;
pub mod parse;
mod plan;
pub mod session;
mod source;
pub mod variables;

pub use catalog::{Catalog, Entry, Table, View, WatermarkDef};
pub use plan::{
    AfterMatch, Bound, ChangeOperation, Frame, FromChangelog, Insert, JoinKind, LogicalPlan, LookupHint,
    LookupRetry, MatchExpr, MatchRecognize, MatchValue, OnConflict, OverCall, OverFunction, OverOffset,
    PatternTerm, SortKey, TemporalJoin, ToChangelog, WindowKind, WindowSpec,
};
pub use session::{Outcome, Session};
pub use source::Source;
