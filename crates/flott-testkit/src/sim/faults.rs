//! What goes wrong, and when.

use super::world::Op;
use crate::kills::Random;

/// How an incarnation dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It alone; the disk keeps all that it wrote.
    Kill,
    /// All of them, and the disk loses what was not durable.
    PowerCut,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Die {
        how: How,
        after: bool,
    },
    /// Another incarnation starts beside this one, which stands still for so many steps of others.
    Second {
        steps: u64,
    },
    LostAnswer,
    LostRequest,
    Late,
    StoreFull,
    DiskFull {
        requests: u64,
    },
    DiskBroken,
    /// A request takes long; others go on meanwhile.
    Slow {
        millis: u64,
        steps: u64,
    },
    ClockJump {
        seconds: i64,
    },
    /// Somebody stops the run.
    Stop,
}

/// Kinds of faults, for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An incarnation is killed.
    Kill,
    /// The machine loses power.
    PowerCut,
    /// A second incarnation starts while the first still runs.
    Second,
    /// A request takes effect, its answer is lost.
    LostAnswer,
    /// A request is lost.
    LostRequest,
    /// A request arrives late.
    Late,
    /// The store has no room.
    StoreFull,
    /// The disk has no room for a while.
    DiskFull,
    /// The disk fails a request.
    DiskBroken,
    /// A request takes long.
    Slow,
    /// The wall clock jumps.
    ClockJump,
    /// The run is stopped, and started again.
    Stop,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Kill,
        Kind::PowerCut,
        Kind::Second,
        Kind::LostAnswer,
        Kind::LostRequest,
        Kind::Late,
        Kind::StoreFull,
        Kind::DiskFull,
        Kind::DiskBroken,
        Kind::Slow,
        Kind::ClockJump,
        Kind::Stop,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "killed",
            Kind::PowerCut => "power cut",
            Kind::Second => "second incarnation",
            Kind::LostAnswer => "lost answer",
            Kind::LostRequest => "lost request",
            Kind::Late => "late request",
            Kind::StoreFull => "store full",
            Kind::DiskFull => "disk full",
            Kind::DiskBroken => "disk error",
            Kind::Slow => "slow request",
            Kind::ClockJump => "clock jump",
            Kind::Stop => "stopped",
        }
    }
}

impl What {
    pub(super) fn kind(self) -> Kind {
        match self {
            What::Die { how: How::Kill, .. } => Kind::Kill,
            What::Die { how: How::PowerCut, .. } => Kind::PowerCut,
            What::Second { .. } => Kind::Second,
            What::LostAnswer => Kind::LostAnswer,
            What::LostRequest => Kind::LostRequest,
            What::Late => Kind::Late,
            What::StoreFull => Kind::StoreFull,
            What::DiskFull { .. } => Kind::DiskFull,
            What::DiskBroken => Kind::DiskBroken,
            What::Slow { .. } => Kind::Slow,
            What::ClockJump { .. } => Kind::ClockJump,
            What::Stop => Kind::Stop,
        }
    }
}

/// A fault: it strikes the first request of these kinds (none: any) after so many requests in all.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) what: What,
    ops: &'static [Op],
    after: u64,
}

/// Where deaths and pauses are worth most.
const MOMENTS: [&[Op]; 13] = [
    &[],
    &[],
    &[],
    &[Op::Put],
    &[Op::Mark],
    &[Op::Segment],
    &[Op::Rename],
    &[Op::SyncDirectory],
    &[Op::Sync, Op::Write],
    &[Op::Delete, Op::Remove],
    &[Op::Fence, Op::Token],
    &[Op::Commit],
    &[Op::Produce],
];

/// Whose answers get lost.
const REQUESTS: &[Op] = &[Op::Put, Op::Mark, Op::Segment, Op::Commit, Op::Fence];

impl Fault {
    pub(super) fn is_due(&self, op: Op, ops: u64) -> bool {
        ops >= self.after && (self.ops.is_empty() || self.ops.contains(&op))
    }

    /// Draws a fault for a run of about so many requests.
    pub(super) fn draw(random: &mut Random, requests: u64) -> Self {
        let after = random.below(requests);
        let moment = MOMENTS[random.below(MOMENTS.len() as u64) as usize % MOMENTS.len()];
        let (what, ops): (What, &'static [Op]) = match random.below(20) {
            0..=4 => (What::Die { how: How::Kill, after: random.below(2) == 0 }, moment),
            5..=8 => (What::Die { how: How::PowerCut, after: random.below(2) == 0 }, moment),
            9..=11 => (What::Second { steps: steps(random) }, moment),
            12 => (What::LostAnswer, REQUESTS),
            13 => (What::LostRequest, REQUESTS),
            14 => (What::Late, REQUESTS),
            15 => (What::StoreFull, &[Op::Put, Op::Mark, Op::Segment]),
            16 => match random.below(2) {
                0 => (What::DiskFull { requests: 1 + random.below(6) }, &[Op::Create, Op::Write]),
                _ => (What::DiskBroken, &[Op::Sync, Op::SyncDirectory, Op::Rename, Op::Create]),
            },
            17 => (What::Slow { millis: random.below(400), steps: steps(random) }, moment),
            18 => (What::ClockJump { seconds: random.below(8000) as i64 - 4000 }, &[]),
            _ => (What::Stop, &[]),
        };
        Self { what, ops, after }
    }
}

/// How long somebody stands still: a moment, or until others are through.
fn steps(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => random.below(30),
        1 => random.below(300),
        _ => random.below(3000),
    }
}
