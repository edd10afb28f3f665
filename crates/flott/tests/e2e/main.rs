//! The binary from the outside: what it makes of good, bad and hostile input, how it counts, how it
//! stops, what it says.
//!
//! ```text
//!   flights        real data into partitioned Parquet, read back by another program
//!   files          large, small, broken, compressed, growing files
//!   bad_input      dead letters, on-error, clear errors, replay
//!   accounting     every row is somewhere, exactly once
//!   lookups        tables that rows are looked up in change and go away
//!   stop_and_kill  signals, and what a killed run leaves behind
//!   changelogs     rows that change: read, written, refused; retractions of rows never seen
//!   checkpoints    a job goes on after a stop, a kill, a full disk, damage
//!   kafka_source   messages, keys, offsets, on a real broker
//!   kafka_letters  dead letters of messages, and their replay
//!   kafka_sink     messages, kills, cut connections
//!   kafka_faults   brokers die, leaders move, topics go, transactions expire, sinks are slow
//!   kafka_secured  brokers that want proof
//!   kafka_differential  topics as Flink writes them, format by format
//!   kafka_documented    the examples of Flink's documentation
//!   kafka_interop       topics of other programs, and for them
//!   kills          kill -9 at any moment: nothing lost, nothing doubled
//!   standby        two processes, one job: who runs it, who takes over, who is shut out
//!   event_time     clocks that go back, rows from the future, late rows, silence, crowds
//!   parallelism    the same rows at any parallelism
//!   mishaps        directories full, gone or not to be written to; commands at the wrong moment
//!   promises       promises that go by what is there, options out of range or without effect
//!   why            what holds a run back, what it promises
//!   cli            arguments, output formats, exit codes, metrics
//!   values_text    values of every type as text
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]

mod accounting;
mod bad_input;
mod changelogs;
mod checkpoints;
mod cli;
mod event_time;
mod files;
mod flights;
mod formats;
mod kafka_differential;
mod kafka_documented;
mod kafka_faults;
mod kafka_interop;
mod kafka_jobs;
mod kafka_letters;
mod kafka_secured;
mod kafka_sink;
mod kafka_source;
mod kills;
mod lookups;
mod mishaps;
mod parallelism;
mod promises;
mod replay;
mod secrets;
mod spill;
mod standby;
mod stop_and_kill;
mod support;
mod topics;
mod upgrades;
mod upgrades_of_several;
mod values_text;
mod why;
