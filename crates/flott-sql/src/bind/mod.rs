//! Names and types: a parsed query becomes a [`crate::LogicalPlan`].
