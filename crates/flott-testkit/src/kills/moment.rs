//! When a start is killed, and beside what.
//!
//! ```text
//!   claim ──── recover ──── manifest ── mark ── manifest ── mark ───► end
//!     └ Claimed               └ Pending   └ Checkpointed, some looks later
//!   └ After: any time
//! ```

use super::Random;

/// When a start is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// After so many looks.
    After(u64),
    /// So many looks after it has claimed its generation.
    Claimed(u64),
    /// As soon as a manifest of its own lies there without its mark, after so many others.
    Pending(u64),
    /// So many looks after it has marked its first checkpoint.
    Checkpointed(u64),
}

/// What one round does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Round {
    /// One start is killed.
    Alone(Moment),
    /// A start is stopped at that moment (`SIGSTOP`), a second one takes over; then the first goes on
    /// beside it (`SIGCONT`), and both are killed.
    Frozen(Moment),
    /// Two starts at once, both killed.
    Twins,
    /// A start with a standby beside it; at that moment it is killed or stopped, and the standby takes over.
    Standby(Moment),
}

impl Round {
    /// Most kills come after a first checkpoint; some where they hurt most; one round in six is a pair.
    pub(super) fn draw(looks: u64, random: &mut Random) -> Self {
        match random.below(18) {
            0 => Self::Frozen(if random.below(3) == 0 { Moment::Pending(0) } else { checkpointed(random) }),
            1 => Self::Twins,
            2 | 3 => Self::Alone(Moment::Claimed(random.below(30))),
            4..=6 => Self::Alone(Moment::Pending(random.below(3))),
            7 => Self::Standby(checkpointed(random)),
            8 => Self::Alone(Moment::After(random.below(looks.max(1)))),
            _ => Self::Alone(checkpointed(random)),
        }
    }
}

fn checkpointed(random: &mut Random) -> Moment {
    Moment::Checkpointed(random.below(150))
}
