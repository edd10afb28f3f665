//! Plans of hand-made queries.
