//! Joins of rows whose times lie within an interval of each other.

use flott_expr::Expr;
use flott_types::{Result, TimeAttribute};

use super::{
    Keeps, Origins, Set, StatefulNode, UpsertKeys,
    joining::{JoinOn, sides_taking_back},
    length, rank,
};
use crate::{
    ChangelogMode, StateTable,
    operator_text::{Labels, label},
    shape::InputColumns,
};

/// The column that tells when a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinTime {
    /// A TIMESTAMP or TIMESTAMP_LTZ column.
    pub column: usize,
    /// Behind a watermark w come rows later than w plus this: 0 for a time attribute, 1 for a window's
    /// end.
    pub ahead_millis: i64,
}

/// Joins rows with equal keys whose times lie near each other. Output as of a
/// [`RegularJoin`](super::RegularJoin).
#[derive(Debug, Clone, PartialEq)]
pub struct IntervalJoin {
    /// What makes a pair, besides the interval.
    pub on: JoinOn,
    /// How many columns the left input has.
    pub width: usize,
    /// The left's and the right's time.
    pub times: [JoinTime; 2],
    /// The left's time less the right's is at least this. None: left rows are waited for as long as
    /// right ones come, so that those are kept.
    pub lower_millis: Option<i64>,
    /// It is at most this. None: right rows may come at any time.
    pub upper_millis: Option<i64>,
    /// Event time, or the time at which rows arrive.
    pub time: TimeAttribute,
    /// Whether each input takes rows back.
    pub retracts: [bool; 2],
    /// Rows are dropped as time passes. Not where rows are taken back, which may happen at any time.
    pub drops: bool,
    /// Rows that time doesn't drop are forgotten when nothing has touched them for so long.
    pub ttl_millis: [Option<i64>; 2],
    /// It tells what a row was before a change.
    pub with_before: bool,
}

impl IntervalJoin {
    /// For how long a row of an input is kept, after time has come to it, if not for ever.
    pub fn kept_millis(&self, input: usize) -> Option<i64> {
        // A left row at t waits for right ones until t - lower, a right one for left ones until t + upper.
        let other = self.times.get(1 - input.min(1)).map_or(0, |it| it.ahead_millis);
        let wait = if input == 0 { self.lower_millis.map(i64::saturating_neg) } else { self.upper_millis };
        wait.filter(|_| self.drops).map(|wait| wait.saturating_sub(other))
    }
    /// For how long rows that time doesn't drop are kept.
    pub fn idle_millis(&self, input: usize) -> Option<i64> {
        let ttl = self.ttl_millis.get(input).copied().flatten();
        ttl.filter(|_| self.kept_millis(input).is_none())
    }
}

impl StatefulNode for IntervalJoin {
    fn name(&self) -> &'static str {
        "interval join"
    }
    fn inputs(&self) -> usize {
        2
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(self.time)
    }
    fn required_times(&self, input: usize) -> Vec<usize> {
        let of_input = self.times.get(input).filter(|_| self.time == TimeAttribute::Rowtime);
        of_input.map(|it| it.column).into_iter().collect()
    }
    fn keys(&self, input: usize) -> Vec<usize> {
        self.on.keys(input)
    }
    fn describe(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        let [left, right] = labels;
        let mut out = self.on.describe(labels);
        let name = |labels: &[String], input: usize| match self.time {
            TimeAttribute::Rowtime => label(labels, self.times[input].column).to_string(),
            TimeAttribute::Proctime => format!("{} arrival", if input == 0 { "left" } else { "right" }),
        };
        let (left, right) = (name(left, 0), name(right, 1));
        let range = match (self.lower_millis, self.upper_millis) {
            (Some(lower), Some(upper)) => format!(" from {} to {}", signed(lower), signed(upper)),
            (Some(lower), None) => format!(" from {} on", signed(lower)),
            (None, upper) => format!(" up to {}", upper.map_or_else(String::new, signed)),
        };
        out.push(("interval", format!("{left} - {right}{range}")));
        out
    }
    fn frame(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        let mut frame = self.describe(labels);
        frame.push(sides_taking_back(self.retracts));
        frame
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, inputs: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let stamped = [self.idle_millis(0).is_some(), self.idle_millis(1).is_some()];
        Some(self.on.tables(inputs, self.retracts, stamped, true))
    }
    fn keeps(&self) -> Keeps {
        let clock = match self.time {
            TimeAttribute::Rowtime => "the watermark",
            TimeAttribute::Proctime => "the clock",
        };
        let until = |input: usize| match (self.kept_millis(input), self.idle_millis(input)) {
            (Some(..=0), _) => Some(format!("until {clock} reaches them")),
            (Some(wait), _) => Some(format!("until {clock} is {} past them", length(wait))),
            (None, Some(idle)) => Some(format!("until untouched for {}", length(idle))),
            (None, None) => None,
        };
        match (until(0), until(1)) {
            (Some(left), Some(right)) => {
                Keeps::until("the rows of both sides", format!("left ones {left}, right ones {right}"))
            }
            (Some(left), None) => Keeps::idle(format!("left rows {left}; all right rows"), None),
            (None, Some(right)) => Keeps::idle(format!("right rows {right}; all left rows"), None),
            (None, None) => Keeps::idle("all rows of both sides", None),
        }
    }
    fn columns(&self, labels: &Labels) -> Vec<String> {
        self.on.columns(labels)
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.on.condition.iter_mut().collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        let times = self.times.map(|it| Some(it.column));
        let (left, inputs) = self.on.shrink(widths[0], needed, times);
        for (time, input) in self.times.iter_mut().zip(&inputs) {
            time.column = rank(input, time.column);
        }
        self.width = inputs[0].len();
        (left, inputs.into())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        for (retracts, mode) in self.retracts.iter_mut().zip(inputs) {
            *retracts = !mode.is_append();
        }
        self.with_before = before;
        self.drops = !self.retracts.contains(&true);
        Ok(self.on.changelog(inputs, before, !self.drops))
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        self.on.upsert_keys(inputs, self.width, self.retracts)
    }
}

fn signed(millis: i64) -> String {
    if millis < 0 { format!("-{}", length(millis.saturating_neg())) } else { length(millis) }
}
