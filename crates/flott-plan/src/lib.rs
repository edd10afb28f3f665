//! Logical plan to stream plan: push-down, changelog modes, guarantees, explain.
