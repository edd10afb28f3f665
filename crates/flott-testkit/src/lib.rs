//! SQL test runner and helpers for tests.
