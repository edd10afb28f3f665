//! Logical plan to stream plan.
//!
//! ```text
//!   LogicalPlan ─ flatten ─► Graph: producers (leaves, operators) and ─ prune ─ build ─► StreamPlan
//!   (one per INSERT)         branches (steps) between them                               Source ─► Calc ─► Operator
//!                                                                                        ─► Calc ─► Sink
//! ```
//!
//! The [`StreamPlan`] is the one place where a pipeline's meaning stands: `explain` prints it,
//! the engine runs it. Each node states its schema, changelog mode, distribution, the
//! state it keeps, and an id made from its meaning.
//!
//! This crate knows nothing of connectors' details and of threads.

mod aggregate;
mod build;
mod changelog;
mod distinct_split;
mod event_time;
mod explain;
mod flatten;
mod from_to_changelog;
mod graph;
mod group;
mod guarantee;
mod interval_join;
mod join;
mod join_sides;
mod lookup_join;
mod materialize;
mod nodes;
mod operator;
mod operator_text;
mod origin;
mod over;
mod pattern;
mod prune;
mod push_below;
mod rank;
mod regular_join;
mod rewrite;
mod shape;
mod simplify;
mod sort;
mod source_name;
mod stable_id;
mod stream;
mod temporal_join;
#[cfg(test)]
mod tests;
pub mod upgrade;
mod window_columns;

pub use build::plan;
pub use explain::{ExplainFormat, PlanLine, explain, explain_json, explain_lines};
pub use flott_sql::{AfterMatch, Bound, Frame, JoinKind, OnConflict, WindowKind};
pub use guarantee::{Guarantee, Obstacle, Promise};
pub use lookup_join::tables as lookup_tables;
pub use nodes::{
    GroupAggregate, IntervalJoin, JoinOn, JoinTime, Keeps, Lookup, LookupJoin, MatchCondition, MatchTerm,
    Materialize, Navigation, Normalize, Over, OverOrder, OverValue, PatternMatch, RegularJoin, Sort,
    StatefulNode, TemporalJoin, TopN, TopNStrategy, UpsertKeys,
};
pub use operator::{
    Call, Exchange, OperatorNode, Port, SessionWindow, WindowAggregate, WindowJoin, WindowProperty,
    WindowRank, Windows,
};
pub use origin::ORIGIN;
pub use shape::{Begins, OperatorShape, PlanShape, StateTable, StateValue};
pub use source_name::of_values as values_fingerprint;
pub use stream::{
    CalcNode, ChangelogMode, Distribution, Node, NodeId, NodeKind, Pipeline, SinkNode, SinkTarget,
    SourceInput, SourceNode, SourceWatermark, Step, StreamPlan,
};
