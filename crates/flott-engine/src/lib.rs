//! Runs a stream plan: shards, operators, watermarks, barriers, accounting.
