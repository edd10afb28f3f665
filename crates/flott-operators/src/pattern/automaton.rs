//! The partial matches of a key, and how a row moves them.
//!
//! ```text
//!   PATTERN (A B+ C)
//!   Run { start: 7, counts: [1, 2] }      A: row 7, B: rows 8 and 9; the next row is a B or a C
//! ```
//!
//! Rows of a match follow each other without gaps, so where it starts and how many rows each variable
//! has says everything. A run at a variable that has its `min` rows may go on to the next one: always if
//! the quantifier is reluctant, else only with a row that the variable itself doesn't want (not even when
//! it is full). A run that could do both becomes two.
//!
//! One run has no row yet; it is always there, so that a match may begin anywhere.
//!
//! Invariants
//! - The last of `counts` is the variable that the run is at, and is below its `max`.
//! - A complete match waits while a run that began before it is not complete: that one might make it
//!   fall away.
//!
//! Source: Flink's `NFA` and `AfterMatchSkipStrategy`, whose results these are.

use flott_plan::{AfterMatch, PatternMatch};
use flott_types::{Code, Diagnostic, Result};

use super::heap;

/// The start of a run that has no row yet: it is behind all others.
const NOWHERE: i64 = i64::MAX;

/// A variable, as far as counting goes.
#[derive(Debug, Clone, Copy)]
struct Term {
    min: u32,
    max: u32,
    greedy: bool,
}

/// The pattern of an operator.
#[derive(Debug)]
pub(crate) struct Pattern {
    terms: Vec<Term>,
    names: Vec<String>,
    within: Option<i64>,
    skip: AfterMatch,
}

/// A match that may still become one, or one that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Number of its first row among the key's.
    pub(crate) start: i64,
    /// The time of that row.
    pub(crate) start_time: i64,
    /// How many rows each variable has, up to the one it is at.
    pub(crate) counts: Vec<u32>,
}

impl Run {
    fn nothing() -> Self {
        Self { start: NOWHERE, start_time: 0, counts: vec![0] }
    }
    fn at(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }
    fn key(&self) -> i64 {
        self.start
    }
    /// Whether it has a row.
    pub(crate) fn has_begun(&self) -> bool {
        self.start != NOWHERE
    }
    /// The run with one row more, which the variable takes.
    fn with(&self, term: usize, row: i64, time: i64) -> Self {
        let mut run = self.clone();
        if !run.has_begun() {
            (run.start, run.start_time) = (row, time);
        }
        run.counts.resize(term + 1, 0);
        if let Some(count) = run.counts.last_mut() {
            *count = count.saturating_add(1);
        }
        run
    }
}

impl Pattern {
    pub(crate) fn new(node: &PatternMatch) -> Self {
        let term = |term: &flott_plan::MatchTerm| Term {
            min: term.min,
            max: term.max.unwrap_or(u32::MAX),
            greedy: term.greedy,
        };
        Self {
            terms: node.terms.iter().map(term).collect(),
            names: node.terms.iter().map(|term| term.name.clone()).collect(),
            within: node.within_millis.filter(|within| *within > 0),
            skip: node.skip,
        }
    }

    /// When a run that began at this time has taken too long.
    pub(crate) fn expiry(&self, start_time: i64) -> Option<i64> {
        self.within.map(|within| start_time.saturating_add(within))
    }

    fn term(&self, at: usize) -> Option<Term> {
        self.terms.get(at).copied()
    }

    /// The greedy variable before the one that a run is at, if it is full: it takes no more rows, but
    /// what it would take begins no other variable either.
    fn veto(&self, run: &Run) -> Option<usize> {
        let before = run.at().checked_sub(1)?;
        let term = self.term(before).filter(|term| term.greedy && run.counts.last() == Some(&0))?;
        (run.counts.get(before) >= Some(&term.max)).then_some(before)
    }

    /// The variables whose conditions decide about the next row of a run: one that has a veto, then
    /// those that might take it, nearest first.
    pub(crate) fn candidates(&self, run: &Run) -> std::ops::Range<usize> {
        let mut end = run.at();
        let mut count = run.counts.last().copied().unwrap_or(0);
        while let Some(term) = self.term(end) {
            end += 1;
            if count < term.min {
                break;
            }
            count = 0;
        }
        self.veto(run).unwrap_or(run.at())..end
    }

    /// Whether a run that has come here is a match as it is.
    fn is_match(&self, run: &Run) -> bool {
        let mut count = run.counts.last().copied().unwrap_or(0);
        let rest = self.terms.get(run.at()..).unwrap_or_default();
        rest.iter().all(|term| {
            let passes = (count >= term.max || !term.greedy) && count >= term.min;
            count = 0;
            passes
        })
    }
}

/// What a key's rows have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Automaton {
    /// Runs that are not complete, as a heap by start.
    runs: Vec<Run>,
    /// Matches that wait for earlier runs, as a heap by start.
    complete: Vec<Run>,
    /// How many rows there were.
    pub(crate) next_row: i64,
}

impl Default for Automaton {
    fn default() -> Self {
        Self { runs: vec![Run::nothing()], complete: Vec::new(), next_row: 0 }
    }
}

impl Automaton {
    /// The runs, in the order in which [`Automaton::step`] moves them.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether no row matters any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.complete.is_empty() && self.runs.iter().all(|run| !run.has_begun())
    }

    /// The first row that still matters.
    pub(crate) fn first_row(&self) -> i64 {
        let starts = self.runs.iter().chain(&self.complete).map(|run| run.start);
        starts.min().unwrap_or(NOWHERE).min(self.next_row)
    }

    /// Time has come this far: runs that take too long are given up. Matches that waited for them
    /// come out.
    ///
    /// # Errors
    /// `EvaluationFailed`: the search cannot go on where it should.
    pub(crate) fn expire(&mut self, pattern: &Pattern, time: i64, found: &mut Vec<Run>) -> Result<()> {
        if let Some(within) = pattern.within {
            let lives = |run: &Run| !run.has_begun() || time.saturating_sub(run.start_time) < within;
            if !self.runs.iter().all(lives) {
                let runs = std::mem::take(&mut self.runs);
                for run in runs.into_iter().filter(lives) {
                    heap::push(&mut self.runs, run, Run::key);
                }
            }
        }
        self.release(pattern, found)
    }

    /// A row comes. `takes` says for each run, in order, and for each of its candidates whether the
    /// row fulfils that variable's condition.
    ///
    /// # Errors
    /// `EvaluationFailed`: the search cannot go on where it should.
    pub(crate) fn step(
        &mut self,
        pattern: &Pattern,
        time: i64,
        takes: &mut dyn FnMut(&Run, usize) -> bool,
        found: &mut Vec<Run>,
    ) -> Result<()> {
        let row = self.next_row;
        self.next_row += 1;
        let runs = std::mem::take(&mut self.runs);
        let mut complete = Vec::new();
        for run in runs {
            let mut count = run.counts.last().copied().unwrap_or(0);
            let (mut open, veto) = (true, pattern.veto(&run));
            for at in pattern.candidates(&run) {
                // Asked for every candidate, so that the answers stay in step.
                let taken = takes(&run, at);
                if veto == Some(at) {
                    open = !taken;
                    continue;
                }
                let Some(term) = pattern.term(at).filter(|_| open) else { continue };
                if taken {
                    self.advance(pattern, run.with(at, row, time), &mut complete);
                }
                open = count >= term.min && (!term.greedy || !taken);
                count = 0;
            }
            if !run.has_begun() {
                heap::push(&mut self.runs, run, Run::key);
            }
        }
        for run in complete {
            heap::push(&mut self.complete, run, Run::key);
        }
        self.release(pattern, found)
    }

    /// Keeps a run that has taken a row; a match of it, too, if it is one.
    fn advance(&mut self, pattern: &Pattern, mut run: Run, complete: &mut Vec<Run>) {
        let matches = pattern.is_match(&run);
        let full = pattern.term(run.at()).is_some_and(|term| run.counts.last() >= Some(&term.max));
        let ends = full && run.at() + 1 >= pattern.terms.len();
        if matches {
            heap::push(complete, run.clone(), Run::key);
        }
        if ends {
            return;
        }
        if full {
            run.counts.push(0);
        }
        heap::push(&mut self.runs, run, Run::key);
    }

    /// Lets the matches out that no earlier run holds back, and forgets what they skip.
    fn release(&mut self, pattern: &Pattern, found: &mut Vec<Run>) -> Result<()> {
        while let Some(earliest) = self.complete.first() {
            if self.runs.first().is_some_and(|run| run.start < earliest.start) {
                break;
            }
            let Some(found_now) = heap::pop(&mut self.complete, Run::key) else { break };
            let first = skip_to(pattern, &found_now)?;
            let stays = |run: &Run| !run.has_begun() || run.start >= first;
            heap::retain(&mut self.runs, stays, Run::key);
            heap::retain(&mut self.complete, stays, Run::key);
            found.push(found_now);
        }
        Ok(())
    }

    // --- as bytes -------------------------------------------------------------------------------

    /// For a snapshot.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.next_row.to_le_bytes());
        for runs in [&self.runs, &self.complete] {
            out.extend((runs.len() as u64).to_le_bytes());
            for run in runs {
                out.extend(run.start.to_le_bytes());
                out.extend(run.start_time.to_le_bytes());
                out.extend((run.counts.len() as u64).to_le_bytes());
                run.counts.iter().for_each(|count| out.extend(count.to_le_bytes()));
            }
        }
        out
    }

    /// Out of a snapshot.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let next_row = i64::from_le_bytes(take(&mut rest)?);
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..u64::from_le_bytes(take(&mut rest)?) {
                let (start, start_time) =
                    (i64::from_le_bytes(take(&mut rest)?), i64::from_le_bytes(take(&mut rest)?));
                let mut counts = Vec::new();
                for _ in 0..u64::from_le_bytes(take(&mut rest)?) {
                    counts.push(u32::from_le_bytes(take(&mut rest)?));
                }
                list.push(Run { start, start_time, counts });
            }
        }
        let [runs, complete] = lists;
        rest.is_empty().then_some(Self { runs, complete, next_row })
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let runs = self.runs.iter().chain(&self.complete);
        runs.map(|run| size_of::<Run>() + run.counts.capacity() * 4).sum::<usize>() + size_of::<Self>()
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// The row that the next match may begin with.
fn skip_to(pattern: &Pattern, found: &Run) -> Result<i64> {
    let rows = |counts: &[u32]| counts.iter().map(|count| i64::from(*count)).sum::<i64>();
    let (term, last) = match pattern.skip {
        AfterMatch::PastLastRow => return Ok(found.start + rows(&found.counts)),
        AfterMatch::ToNextRow => return Ok(found.start + 1),
        AfterMatch::ToFirst(term) => (term, false),
        AfterMatch::ToLast(term) => (term, true),
    };
    let name = pattern.names.get(term).map_or("", String::as_str);
    let error = |message: String| Diagnostic::error(Code::EvaluationFailed, message);
    let count = found.counts.get(term).copied().unwrap_or(0);
    if count == 0 {
        return Err(error(format!("AFTER MATCH SKIP TO {name}: the match has no row of {name}"))
            .help("skip to a variable that every match has, or PAST LAST ROW"));
    }
    let before = found.start + rows(found.counts.get(..term).unwrap_or_default());
    let row = if last { before + i64::from(count) - 1 } else { before };
    if row == found.start {
        return Err(error(format!("AFTER MATCH SKIP TO {name} leads to the first row of the match itself"))
            .help("the same match would be found for ever: skip TO NEXT ROW or PAST LAST ROW"));
    }
    Ok(row)
}
