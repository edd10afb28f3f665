//! Joins of rows whose times lie within an interval of each other.

use flott_expr::Expr;
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, joining::JoinOn, length, rank};
use crate::{
    ChangelogMode,
    operator_text::{Labels, label},
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
    /// The left's time less the right's is at least this …
    pub lower_millis: i64,
    /// … and at most this.
    pub upper_millis: i64,
    /// Event time, or the time at which rows arrive.
    pub time: TimeAttribute,
    /// Whether each input takes rows back.
    pub retracts: [bool; 2],
    /// It tells what a row was before a change.
    pub with_before: bool,
}

impl IntervalJoin {
    /// For how long a row of an input is kept, after time has come to it.
    pub fn kept_millis(&self, input: usize) -> i64 {
        // A left row at t waits for right ones until t - lower, a right one for left ones until t + upper.
        let other = self.times.get(1 - input.min(1)).map_or(0, |it| it.ahead_millis);
        let wait = if input == 0 { self.lower_millis.saturating_neg() } else { self.upper_millis };
        wait.saturating_sub(other)
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
        let (lower, upper) = (self.lower_millis, self.upper_millis);
        out.push(("interval", format!("{left} - {right} from {} to {}", signed(lower), signed(upper))));
        out
    }
    fn keeps(&self) -> Keeps {
        let clock = match self.time {
            TimeAttribute::Rowtime => "the watermark",
            TimeAttribute::Proctime => "the clock",
        };
        let until = |input: usize| match self.kept_millis(input) {
            ..=0 => format!("until {clock} reaches them"),
            wait => format!("until {clock} is {} past them", length(wait)),
        };
        Keeps::until("the rows of both sides", format!("left ones {}, right ones {}", until(0), until(1)))
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
        Ok(self.on.changelog(inputs, before, false))
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        self.on.upsert_keys(inputs, self.width)
    }
}

fn signed(millis: i64) -> String {
    if millis < 0 { format!("-{}", length(millis.saturating_neg())) } else { length(millis) }
}
