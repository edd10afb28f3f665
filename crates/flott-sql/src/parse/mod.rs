//! Script text to statements.

/// A parsed statement. (Stub.)
#[derive(Debug, Clone, PartialEq)]
pub struct Statement;
