//! Event time of a source: one watermark per split, the least of them counts.
//!
//! ```text
//!   split 0  ──10──25──31─┐
//!   split 1  ──12──18─────┼─ min ─► 18      a finished split doesn't hold anybody back,
//!   split 2  (not opened) ┘                 a known one that isn't opened yet holds everybody;
//!   split 3  ──4── (idle)                   an idle one counts again from its next chunk on
//! ```
//!
//! Invariants
//! - A split's watermark never goes back, nor does the source's.
//! - Everyone who applies the same chunks in the same order gets the same watermarks: shards that
//!   take a source's chunks in order of their sequence agree on what is late, whatever the
//!   parallelism.

use std::collections::{BTreeMap, BTreeSet};

use flott_connector::SplitTime;
use serde::{Deserialize, Serialize};

/// No watermark yet.
pub const NO_WATERMARK: i64 = i64::MIN;
/// The last watermark.
pub const END_OF_TIME: i64 = i64::MAX;

/// What a chunk does to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkTime {
    /// Its split.
    pub split: SplitTime,
    /// The greatest watermark of its rows, if it has rows with one.
    pub watermark: Option<i64>,
}

/// The splits' watermarks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Open splits by number: the watermark of each.
    splits: BTreeMap<u32, i64>,
    unopened: bool,
    watermark: i64,
    /// Nothing comes for now: nobody should wait for this source.
    idle: bool,
    /// Open splits that bring nothing for now.
    #[serde(default)]
    idle_splits: BTreeSet<u32>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            splits: BTreeMap::new(),
            unopened: false,
            watermark: NO_WATERMARK,
            idle: false,
            idle_splits: BTreeSet::new(),
        }
    }
}

impl Progress {
    /// Applies a chunk's time; the source's watermark afterwards.
    pub fn apply(&mut self, time: &ChunkTime) -> i64 {
        self.idle = time.split.idle;
        if self.idle {
            return self.watermark;
        }
        let number = time.split.split_number;
        let split = self.splits.entry(number).or_insert(NO_WATERMARK);
        if let Some(watermark) = time.watermark {
            *split = watermark.max(*split);
        }
        if time.split.split_idle {
            // What it knows counts before it is left out: it may be the last one.
            self.advance();
            self.idle_splits.insert(number);
        } else {
            self.idle_splits.remove(&number);
        }
        self.unopened = time.split.unopened;
        self.advance();
        if time.split.finished {
            // Its own rows have counted: a watched directory of small files moves on with each of them.
            self.splits.remove(&number);
            self.idle_splits.remove(&number);
            self.advance();
        }
        // One that waits for none of its splits is itself not to be waited for.
        self.idle = !self.idle_splits.is_empty() && self.idle_splits.len() == self.splits.len();
        self.watermark
    }

    /// The slowest open split counts, once all that are known have been opened.
    fn advance(&mut self) {
        if !self.unopened {
            let counts = self.splits.iter().filter(|(number, _)| !self.idle_splits.contains(number));
            let open = counts.map(|(_, watermark)| *watermark).min().unwrap_or(NO_WATERMARK);
            self.watermark = self.watermark.max(open);
        }
    }

    /// Open splits by number: the watermark of each.
    pub fn splits(&self) -> &BTreeMap<u32, i64> {
        &self.splits
    }

    /// Open splits by number that nobody waits for.
    pub fn idle_splits(&self) -> &BTreeSet<u32> {
        &self.idle_splits
    }

    /// Whether splits are known that aren't open yet.
    pub fn has_unopened(&self) -> bool {
        self.unopened
    }

    /// Whether nobody should wait for the source.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// The source's watermark.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(split_number: u32, watermark: Option<i64>) -> ChunkTime {
        ChunkTime { split: SplitTime { split_number, ..SplitTime::default() }, watermark }
    }

    #[test]
    fn the_slowest_split_counts_and_time_never_goes_back() {
        let mut progress = Progress::default();
        assert_eq!(progress.apply(&time(0, Some(10))), 10);
        assert_eq!(progress.apply(&time(1, Some(5))), 10, "a split that opens behind doesn't turn time back");
        assert_eq!(progress.apply(&time(0, Some(30))), 10);
        assert_eq!(progress.apply(&time(1, Some(20))), 20);
        assert_eq!(progress.apply(&time(1, Some(3))), 20, "a clock that goes backwards");
    }

    #[test]
    fn the_last_split_to_fall_silent_says_what_time_it_is() {
        let mut progress = Progress::default();
        let idle = |number| {
            let mut time = time(number, None);
            time.split.split_idle = true;
            time
        };
        for number in 0..3 {
            progress.apply(&time(number, None));
        }
        assert_eq!(progress.apply(&time(0, Some(41))), NO_WATERMARK, "two have said nothing yet");
        assert_eq!(progress.apply(&idle(1)), NO_WATERMARK);
        assert_eq!(progress.apply(&idle(2)), 41);
        assert_eq!((progress.apply(&idle(0)), progress.is_idle()), (41, true));
        let mut together = Progress::default();
        together.apply(&time(0, None));
        together.apply(&idle(1));
        together.apply(&time(0, Some(7)));
        assert_eq!(together.apply(&idle(0)), 7);
    }

    #[test]
    fn a_split_of_one_chunk_moves_time_on() {
        let mut progress = Progress::default();
        let mut whole = time(0, Some(10));
        whole.split.finished = true;
        assert_eq!(progress.apply(&whole), 10);
    }

    #[test]
    fn an_idle_split_holds_nobody_back_until_it_wakes() {
        let idle = |split_number| {
            let split = SplitTime { split_number, split_idle: true, ..SplitTime::default() };
            ChunkTime { split, watermark: None }
        };
        let mut progress = Progress::default();
        progress.apply(&time(0, None));
        progress.apply(&time(1, Some(50)));
        assert_eq!(progress.watermark(), NO_WATERMARK, "the empty split holds back");
        assert_eq!((progress.apply(&idle(0)), progress.is_idle()), (50, false));
        assert_eq!((progress.apply(&idle(1)), progress.is_idle()), (50, true), "all are idle");
        assert_eq!((progress.apply(&time(0, Some(20))), progress.is_idle()), (50, false), "awake, behind");
        assert_eq!(progress.apply(&time(1, Some(70))), 50, "the one that woke counts again");
        assert_eq!(progress.apply(&time(0, Some(60))), 60);
    }

    #[test]
    fn finished_splits_hold_nobody_back_unopened_ones_do_an_idle_source_stands_still() {
        let mut progress = Progress::default();
        let unopened = |mut time: ChunkTime| {
            time.split.unopened = true;
            time
        };
        assert_eq!(progress.apply(&unopened(time(0, Some(50)))), NO_WATERMARK);
        let mut done = unopened(time(0, None));
        done.split.finished = true;
        assert_eq!(progress.apply(&done), NO_WATERMARK);
        assert_eq!(progress.apply(&time(1, Some(7))), 7);
        assert_eq!(progress.apply(&time(2, Some(9))), 7);
        let mut end_of_first = time(1, None);
        end_of_first.split.finished = true;
        assert_eq!(progress.apply(&end_of_first), 9);
        let mut idle = time(0, None);
        idle.split.idle = true;
        assert_eq!((progress.apply(&idle), progress.is_idle()), (9, true));
        assert_eq!(
            (progress.apply(&time(3, Some(8))), progress.is_idle()),
            (9, false),
            "awake again, behind"
        );
    }
}
