//! Many seeds, on all cores.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use flott_types::planted::Bug;

use super::{Kind, Report, simulate};

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Campaign {
    /// Seeds that were run.
    pub seeds: u64,
    /// Sums over them.
    pub incarnations: u64,
    /// Incarnations that died.
    pub deaths: u64,
    /// Checkpoints that were written.
    pub epochs: u64,
    /// Rows that readers saw at the end.
    pub rows: u64,
    /// Rows that they missed.
    pub lost: u64,
    /// Rows that they saw too often.
    pub doubled: u64,
    /// Requests to disk and store.
    pub requests: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Seeds per pipeline.
    pub scripts: BTreeMap<&'static str, u64>,
    /// Seeds in which no fault struck, or fewer than three checkpoints were written.
    pub calm: u64,
    /// Seeds that failed.
    pub failures: Vec<Report>,
}

impl Campaign {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.incarnations += report.incarnations;
        self.deaths += report.deaths;
        self.epochs += report.epochs;
        self.rows += report.rows;
        self.lost += report.lost;
        self.doubled += report.doubled;
        self.requests += report.requests;
        self.steps += report.steps;
        self.calm += u64::from(report.faults.is_empty() || report.epochs < 3);
        report.faults.iter().for_each(|kind| *self.faults.entry(*kind).or_default() += 1);
        *self.scripts.entry(report.script).or_default() += 1;
        if report.failure.is_some() {
            self.failures.push(report);
        }
    }
}

/// Stacks of the threads: incarnations have their turn within each other's requests.
const STACK_BYTES: usize = 64 << 20;

/// Runs the seeds `from .. from + count` on so many threads; `each` is told of every one.
pub fn campaign(from: u64, count: u64, threads: usize, each: &(dyn Fn(&Report) + Sync)) -> Campaign {
    let all = Mutex::new(Campaign::default());
    spread(from, count, threads, &|seed| {
        let report = simulate(seed, None, false);
        each(&report);
        all.lock().unwrap_or_else(PoisonError::into_inner).add(report);
        true
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.failures.sort_by_key(|report| report.seed);
    all
}

/// Where a planted bug was found.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// Which.
    pub bug: Bug,
    /// The first seed that found it, if one did.
    pub found: Option<Report>,
}

/// Looks for a planted bug in the seeds `from .. from + count`.
pub fn hunt(bug: Bug, from: u64, count: u64, threads: usize) -> Hunt {
    let found: Mutex<Option<Report>> = Mutex::new(None);
    spread(from, count, threads, &|seed| {
        let report = simulate(seed, Some(bug), false);
        if report.failure.is_none() {
            return true;
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_none_or(|it| it.seed > report.seed) {
            *found = Some(report);
        }
        false
    });
    Hunt { bug, found: found.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

/// Hands seeds out in order until they are used up, or one says that it is enough.
fn spread(from: u64, count: u64, threads: usize, run: &(dyn Fn(u64) -> bool + Sync)) {
    let (next, enough) = (AtomicU64::new(from), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let work = || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(count) {
                        return;
                    }
                    if !run(seed) {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            };
            let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
    });
}
