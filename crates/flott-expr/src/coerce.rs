//! Implicit conversions: the common type of several expressions, and what may stand for what.
