//! What was done to a job, and what it was found to have written.

/// Counts of one job, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often the job was brought to its end.
    pub finished: u64,
    /// Kills before a start had made a checkpoint of its own: while it started, recovered or ran.
    pub early: u64,
    /// Kills between a manifest and the mark that says it is published.
    pub pending: u64,
    /// Kills of one of two starts that were alive at once.
    pub paired: u64,
    /// All other kills: after a start's first checkpoint.
    pub running: u64,
    /// Rounds with two starts alive at once.
    pub pairs: u64,
    /// Of those the starts that stopped by themselves because of the other.
    pub superseded: u64,
    /// Checkpoints that became durable.
    pub checkpoints: u64,
    /// Rows of the undisturbed run that were missing at the end.
    pub lost: u64,
    /// Rows that were there too often, or should not have been there: at the end or after a kill.
    pub doubled: u64,
    /// Hidden files that nobody cleaned up.
    pub left_behind: u64,
}

impl Tally {
    /// Kills in all.
    pub fn kills(&self) -> u64 {
        self.early + self.pending + self.running + self.paired
    }
    /// Whether the job wrote what the undisturbed run wrote.
    pub fn is_right(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.left_behind == 0
    }
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.finished += other.finished;
        self.early += other.early;
        self.pending += other.pending;
        self.paired += other.paired;
        self.running += other.running;
        self.pairs += other.pairs;
        self.superseded += other.superseded;
        self.checkpoints += other.checkpoints;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.left_behind += other.left_behind;
    }
}
