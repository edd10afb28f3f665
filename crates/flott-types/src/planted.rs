//! Bugs that are planted on purpose, to see that the simulation finds them.
//!
//! ```text
//!   if planted(Bug::SkippedFsync) { return Ok(()); }      at the place in shipped code where it would stand
//! ```
//! Without the feature `planted-bugs`, which only the simulation asks for, [`planted`] is a constant
//! `false`: what it guards is not compiled in. With it, a bug is there only on the thread that has called
//! [`plant`].

/// A mistake that somebody could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A manifest is written before the segments that it names.
    ManifestBeforeSegments,
    /// Files are published before the manifest that names them is written.
    CommitBeforeManifest,
    /// A manifest is marked as confirmed before its files are published.
    ConfirmBeforeCommit,
    /// A changed row of keyed state isn't handed over for the next checkpoint.
    LostDirtyKey,
    /// A part file isn't made durable before the manifest names it.
    SkippedFsync,
    /// The names of part files aren't made durable before the manifest names them.
    SkippedDirectoryFsync,
    /// A taken number is no reason to stop: the next one is used.
    GenerationNotChecked,
    /// A checkpoint says of a source that the chunk read last is still to be read.
    OffsetOffByOne,
    /// How far event time had come is forgotten at a restart.
    WatermarkNotRestored,
    /// Sessions that were open at a checkpoint have no timer after a restart.
    TimerDropped,
    /// What an earlier run has counted is counted again with each checkpoint.
    CounterDoubleCounted,
    /// What sinks had prepared for a checkpoint that failed is forgotten.
    CommittableLostOnAbort,
    /// What shards had handed over for a checkpoint that failed is forgotten.
    SnapshotLostOnAbort,
    /// A sweep removes the hidden files of newer incarnations too.
    SweepTakesAll,
    /// All incarnations give their files the same names.
    NamesUsedTwice,
    /// Retention removes a segment that a kept manifest needs.
    RetentionTakesTooMuch,
    /// Rows behind a barrier are taken before all channels have come to it.
    BarrierNotAligned,
    /// Every shard restores all key groups, whoever owns them.
    KeyGroupsNotFiltered,
    /// The producer is initialised before the job is claimed.
    FenceBeforeClaim,
    /// The last commit's number is asked for before older producers are kept out.
    TokenBeforeFence,
    /// A commit whose answer was lost counts as done.
    UncertainIsSuccess,
    /// Files are published before the commit that decides.
    PublishBeforeDecide,
    /// A writer that all shards share prepares an epoch when the first of them has passed its barrier.
    SharedWriterNotAligned,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 23] = [
        Bug::ManifestBeforeSegments,
        Bug::CommitBeforeManifest,
        Bug::ConfirmBeforeCommit,
        Bug::LostDirtyKey,
        Bug::SkippedFsync,
        Bug::SkippedDirectoryFsync,
        Bug::GenerationNotChecked,
        Bug::OffsetOffByOne,
        Bug::WatermarkNotRestored,
        Bug::TimerDropped,
        Bug::CounterDoubleCounted,
        Bug::CommittableLostOnAbort,
        Bug::SnapshotLostOnAbort,
        Bug::SweepTakesAll,
        Bug::NamesUsedTwice,
        Bug::RetentionTakesTooMuch,
        Bug::BarrierNotAligned,
        Bug::KeyGroupsNotFiltered,
        Bug::FenceBeforeClaim,
        Bug::TokenBeforeFence,
        Bug::UncertainIsSuccess,
        Bug::PublishBeforeDecide,
        Bug::SharedWriterNotAligned,
    ];

    /// Its name, as commands take it: `skipped-fsync`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug on this thread, or none; which one was planted before.
    pub fn plant(bug: Option<Bug>) -> Option<Bug> {
        PLANTED.replace(bug)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod switch {
    use super::Bug;

    /// Never: there are no planted bugs in this build.
    #[inline(always)]
    pub const fn planted(_: Bug) -> bool {
        false
    }

    /// Plants nothing: there are no planted bugs in this build.
    pub fn plant(_: Option<Bug>) -> Option<Bug> {
        None
    }
}

pub use switch::{plant, planted};
