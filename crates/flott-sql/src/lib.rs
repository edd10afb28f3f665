//! Flink SQL text to a bound, typed logical plan.
