//! Runs of rows that fit a pattern: `MATCH_RECOGNIZE`.
//!
//! ```text
//!   rows        waiting for the watermark, and those of matches that are not complete
//!   automaton   a key's partial matches: which rows each has taken so far, and what comes next
//!   navigate    values out of such rows: FIRST, LAST, aggregates
//!   operator    takes rows in order of time, a row of each key at once
//! ```

mod automaton;
mod heap;
mod navigate;
mod operator;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use operator::PatternOperator;
