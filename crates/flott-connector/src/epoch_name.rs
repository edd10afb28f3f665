//! Names of files that stay hidden until their epoch commits.
//!
//! ```text
//!   .part-<tag>-<generation>-<number>-….inprogress     hidden
//!    part-<tag>-<generation>-<number>-….json           published, by a rename
//!          │     │            └ at most the number of the manifest that names the file
//!          │     └ the incarnation that wrote it
//!          └ the job and which of its sinks
//! ```
//!
//! Invariant: no name is used twice. So "the hidden file has gone" means "it is published or was
//! discarded", a commit may be repeated, and an incarnation that was replaced without knowing it
//! can't publish what its successor wrote.

use twox_hash::XxHash3_64;

/// What tells a job's files from those of others in one directory.
///
/// `sink` is the sink's number; the dead-letter queue takes one of its own.
pub fn tag(pipeline_name: &str, job_id: &str, sink: usize) -> String {
    let text = format!("{pipeline_name}\0{job_id}\0{sink}");
    // 48 bits: few enough to read, and a thousand jobs in one directory don't collide.
    format!("{:012x}", XxHash3_64::oneshot(text.as_bytes()) >> 16)
}

/// The incarnation and the epoch that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochName {
    /// The number of the incarnation's claim.
    pub generation: u64,
    /// At most the number of the epoch's manifest, and above that of the epoch before.
    pub number: u64,
}

impl EpochName {
    /// As part of a file name. Padded, so that an order by name is an order by time for long.
    pub fn text(self, tag: &str) -> String {
        format!("{tag}-{:06}-{:06}", self.generation, self.number)
    }
    /// Reads the name of a file that begins with `prefix`, then a name of this tag. `None`: it is
    /// somebody else's.
    pub fn parse(name: &str, prefix: &str, tag: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(prefix)?.strip_prefix(tag)?.strip_prefix('-')?.split(['-', '.']);
        Some(Self { generation: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? })
    }
    /// Whether the incarnation `generation`, having confirmed `number`, may remove such a file if
    /// no manifest names it.
    pub fn is_left_behind(self, generation: u64, number: u64) -> bool {
        self.generation < generation || (self.generation == generation && self.number <= number)
    }
    /// Whether it was published behind the epoch `after` by an incarnation up to `generation`.
    pub fn is_beyond(self, generation: u64, after: u64) -> bool {
        self.generation <= generation && self.number > after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_others_are_not() {
        let (tag, name) = (tag("job", "id", 0), EpochName { generation: 7, number: 12 });
        let file = format!("part-{}-0-3.json", name.text(&tag));
        assert_eq!(EpochName::parse(&file, "part-", &tag), Some(name));
        assert_eq!(EpochName::parse(&file, "part-", &super::tag("job", "id", 1)), None);
        assert_eq!(EpochName::parse("part-run.1-0-0.json", "part-", &tag), None);
        assert!(name.is_left_behind(7, 12) && name.is_left_behind(8, 0) && !name.is_left_behind(6, 99));
    }
}
