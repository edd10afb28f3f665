//! Numeric functions.
use super::Function;
/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[];
