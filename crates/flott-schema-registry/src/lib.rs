//! A client of the schema registry that goes by Confluent's REST API.
//!
//! ```text
//!   message:  0 │ id (4 bytes) │ record          Registry::schema(id) ─► writer's schema, fetched once per id
//!   sink:     Registry::register(subject, …) ─► id, before the first row
//! ```
//!
//! Invariants
//! - There is one [`Registry`] for all shards that name the same one with the same credentials: a schema is
//!   fetched once in a process, and whoever asks for it meanwhile waits for that one answer.
//! - A registry that can't be reached is asked again a few times, at each of its URLs, with growing pauses;
//!   then the error says that it may pass, which sends a run with checkpoints back to its restart strategy.
//! - A schema that the registry doesn't know, or knows of no use, is the fault of the record that names it, not
//!   the run's; it is asked for again after a while, never for each record. A path that isn't there is no such
//!   answer: it may be a proxy's.
//! - Who waits while a registry can't be reached gets the failure of the one that asked, and doesn't ask too.
//! - Credentials are in no message, and those of a URL go to no other.
//!
//! - A stop ends whatever is being asked, within a moment ([`end_with`]).
//!
//! Calls block. A decoder calls only when it meets an id for the first time, and an encoder when it is built.

mod client;
pub mod options;
mod request;
mod tls;

pub use client::{Fault, Kind, NewSchema, Reference, Registered, Registry, end_with};
pub use options::Settings;
