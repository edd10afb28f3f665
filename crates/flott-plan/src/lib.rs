//! Logical plan to stream plan.
//!
//! ```text
//!   LogicalPlan ─ flatten ─► paths (leaf, steps) ─ simplify ─ prune ─► StreamPlan
//!   (one per INSERT)                                                   Source ─► Calc ─► Sink
//! ```
//!
//! The [`StreamPlan`] is the one place where a pipeline's meaning stands: `explain` prints it,
//! the engine runs it. Each node states its schema, changelog mode, distribution, the
//! state it keeps, and an id made from its meaning.
//!
//! This crate knows nothing of connectors' details and of threads.

mod explain;
mod flatten;
mod guarantee;
mod operator;
mod prune;
mod rewrite;
mod simplify;
mod stream;

pub use explain::{ExplainFormat, explain};
pub use guarantee::Guarantee;
pub use operator::{
    Call, Exchange, OperatorNode, Port, SessionWindow, WindowAggregate, WindowJoin, WindowProperty,
    WindowRank, Windows,
};
pub use stream::{
    CalcNode, ChangelogMode, Distribution, Node, NodeId, NodeKind, Pipeline, SinkNode, SinkTarget,
    SourceInput, SourceNode, SourceWatermark, Step, StreamPlan, plan,
};
