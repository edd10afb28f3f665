//! The seams between Flott and the outside: sources, sinks, formats, dead letters, time.
//!
//! ```text
//!   I/O threads                     shard threads (one per core)
//!   ───────────                     ────────────────────────────
//!   SourceReader ── Chunk ──►  Decoder ── Decoded ──►  operators ──► SinkWriter ──► I/O thread
//!   (next piece of a split,    (bytes → batches,                    (encode,
//!    in order)                  projection and filter pushed in)     hand over)
//! ```
//!
//! A [`LookupTable`] is asked by key instead, while a job runs: requests out, answers in.
//!
//! Configuration has four steps that stay apart: `validate` looks only at the script,
//! `check` looks at the outside (not called by `validate --offline`), `source`/`sink` build,
//! and `reader`/`writer` run.
//!
//! This crate knows no particular system, no SQL text and no operator.

pub mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod dead_letter;
pub mod decider;
pub mod disk;
pub mod epoch_name;
pub mod format;
pub mod full_cache;
pub mod io;
pub mod lookup;
pub mod messages;
pub mod option;
pub mod registry;
pub mod sink;
pub mod source;

pub use clock::{Clock, ManualClock, StopSignal, SystemClock};
pub use dead_letter::{DeadLetter, DeadLetterQueue, LetterCommitter, Stage};
pub use decider::{Decider, DeciderRequest, LastCommit, Outcome};
pub use disk::{Disk, DiskEntry, DiskFile, LocalDisk};
pub use epoch_name::EpochName;
pub use flott_types::{ColumnKind, TableColumn, TableDescription};
pub use format::{Encoder, ExtraColumn, Format, FormatMetadata, FormatRequest, Framing};
pub use full_cache::{CacheSettings, FullCache, ReloadFailure};
pub use lookup::{Answer, Found, LookupClient, LookupRequest, LookupRetry, LookupStatus, LookupTable, Wake};
pub use messages::{Header, MessageParts, Messages, Slices, TimestampType};
pub use option::{OptionDef, OptionKind};
pub use registry::{Changelog, Connector, Doubt, FormatUse, Registry, Resumes, Role, Weight};
pub use sink::{
    Answers, Committable, Committer, Sink, SinkGuarantee, SinkRequest, SinkWriter, WriterFigures,
};
pub use source::{
    Blocks, BufferPool, Change, Chunk, Decoded, Decoder, Idleness, OnError, Origin, Payload, ReadContext,
    ReaderFigures, RecordPart, Reject, ScanRequest, Source, SourceReader, SplitInfo, SplitLag, SplitTime,
};
