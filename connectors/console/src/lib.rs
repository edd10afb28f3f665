//! The stdin, stdout, print and blackhole connectors.
