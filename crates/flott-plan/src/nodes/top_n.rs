//! `ROW_NUMBER() … <= n`, `ORDER BY … LIMIT`, `LIMIT`: the first rows of each group.
//!
//! ```text
//!   order                 ranks   input            what it is
//!   a time, nothing else  1       only adds rows   deduplication: the first or last row of each key
//!   anything              1 to n  only adds rows   the n best rows of each key
//!   anything              1 to n  changes          all rows of each key, in order
//! ```
//! Source: Flink documentation, "Top-N", "Deduplication".

use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, names, rank};
use crate::{
    ChangelogMode, StateTable, StateValue,
    operator_text::{Labels, order_text},
    shape::InputColumns,
};

/// The rows of these ranks in each group. Output: the input's columns, then the rank (BIGINT) if
/// `with_rank`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopN {
    /// The grouping columns.
    pub keys: Vec<usize>,
    /// (column, descending, nulls first)
    pub order_by: Vec<(usize, bool, bool)>,
    /// First and last rank wanted, counting from 1.
    pub ranks: (u64, u64),
    /// Whether the rank comes out.
    pub with_rank: bool,
    /// Whether somebody reads the rank, so that each rank is a row that changes.
    pub tells_rank: bool,
    /// Where the rank stands in the output, if it comes out.
    pub rank_at: usize,
    /// The order is one time attribute and nothing else.
    pub time: Option<TimeAttribute>,
    /// Its input takes rows back.
    pub retracts: bool,
    /// It tells what a row was before a change.
    pub with_before: bool,
    /// Groups that nothing has touched for so long are forgotten.
    pub ttl_millis: Option<i64>,
}

/// How [`TopN`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopNStrategy {
    /// The row of the least (or, if `last`, greatest) time of each key.
    Deduplicate {
        /// Event or processing time.
        time: TimeAttribute,
        /// The last one.
        last: bool,
    },
    /// The input only adds rows: as many are kept as are wanted.
    Best,
    /// All rows are kept.
    All,
}

impl TopN {
    /// How it works.
    pub fn strategy(&self) -> TopNStrategy {
        match (self.time, self.order_by.as_slice()) {
            _ if self.retracts => TopNStrategy::All,
            (Some(time), [(_, last, _)]) if self.ranks == (1, 1) && !self.with_rank => {
                TopNStrategy::Deduplicate { time, last: *last }
            }
            _ => TopNStrategy::Best,
        }
    }
    /// Whether each rank is a row of its own that changes, rather than rows that come and go.
    pub fn is_positional(&self) -> bool {
        self.tells_rank || self.ranks.0 > 1 || (self.ranks == (1, 1) && !self.retracts)
    }
    /// Whether a row that is in stays in, and no earlier one is told of: `LIMIT` without an order.
    fn is_first_come(&self) -> bool {
        self.order_by.is_empty() && !self.retracts
    }
}

impl StatefulNode for TopN {
    fn name(&self) -> &'static str {
        match self.strategy() {
            TopNStrategy::Deduplicate { .. } => "deduplicate",
            _ if self.order_by.is_empty() && self.keys.is_empty() && !self.tells_rank => "limit",
            _ => "top-N",
        }
    }
    fn time(&self) -> Option<TimeAttribute> {
        // The first row is known when no earlier one can come any more.
        match self.strategy() {
            TopNStrategy::Deduplicate { time, last: false } => Some(time),
            _ => None,
        }
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        let by_time =
            matches!(self.strategy(), TopNStrategy::Deduplicate { time: TimeAttribute::Rowtime, .. });
        self.order_by.first().map(|(column, ..)| *column).filter(|_| by_time).into_iter().collect()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, input)));
        }
        match self.strategy() {
            TopNStrategy::Deduplicate { time, last } => {
                let which = if last { "last" } else { "first" };
                let by = match time {
                    TimeAttribute::Rowtime => order_text(&self.order_by, input),
                    TimeAttribute::Proctime => "processing time".to_string(),
                };
                out.push(("keep", format!("{which} row by {by}")));
            }
            _ => {
                if !self.order_by.is_empty() {
                    out.push(("order", order_text(&self.order_by, input)));
                }
                out.push(("ranks", format!("{} to {}", self.ranks.0, self.ranks.1)));
            }
        }
        out
    }
    fn frame(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        // How many are wanted may change. What was told with a rank is taken back with it.
        let mut frame: Vec<_> = self.describe(labels).into_iter().filter(|it| it.0 != "ranks").collect();
        let (way, first) = match self.strategy() {
            TopNStrategy::Deduplicate { .. } => ("one row of each key", 1),
            TopNStrategy::Best => ("the best of new rows", self.ranks.0),
            TopNStrategy::All => ("all of rows that change", self.ranks.0),
        };
        frame.push(("by", way.to_string()));
        frame.push(("first rank", first.to_string()));
        if self.with_rank {
            frame.push(("rank", "is told".to_string()));
        }
        frame
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn numbers(&self) -> Vec<(&'static str, i64)> {
        vec![("last rank", i64::try_from(self.ranks.1).unwrap_or(i64::MAX))]
    }
    fn tables(&self, [input, _]: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let touched = self.ttl_millis.map(|_| StateValue::touched());
        let time = |at: &usize| input.is_millis(*at);
        let beside = |time: Option<usize>| {
            StateValue::rows(input.beside(&self.keys, &time.into_iter().collect::<Vec<_>>()))
        };
        let ordered = self.order_by.first().map(|it| it.0);
        let (name, keys, mut columns) = match self.strategy() {
            TopNStrategy::Deduplicate { time: of, last: true } => {
                let own = ordered.filter(|_| of == TimeAttribute::Rowtime).filter(time);
                let mut columns = vec![StateValue::kept("$time")];
                columns.extend(self.with_before.then(|| beside(own)));
                ("last", self.keys.len(), columns)
            }
            TopNStrategy::Deduplicate { time: TimeAttribute::Proctime, last: false } => {
                ("seen", self.keys.len(), Vec::new())
            }
            TopNStrategy::Deduplicate { time: TimeAttribute::Rowtime, last: false } => {
                let own = ordered.filter(time);
                ("first", self.keys.len(), vec![StateValue::kept("$time"), beside(own)])
            }
            TopNStrategy::Best if self.order_by.is_empty() && self.keys.is_empty() && !self.with_rank => {
                ("count", 0, vec![StateValue::kept("$count")])
            }
            TopNStrategy::Best => {
                let mut order: Vec<usize> = Vec::new();
                for (column, ..) in &self.order_by {
                    if !self.keys.contains(column) && !order.contains(column) {
                        order.push(*column);
                    }
                }
                let mut fields = input.named(order.iter().copied());
                fields.extend(input.beside(&self.keys, &order));
                ("best", self.keys.len(), vec![StateValue::rows(fields)])
            }
            TopNStrategy::All => {
                let others = (0..input.typed.len()).filter(|at| !self.keys.contains(at));
                let stored = input.named(self.keys.iter().copied().chain(others));
                let columns = ["$count", "$since"].map(StateValue::kept).to_vec();
                let mut table = StateTable::new("rows", stored.len(), columns);
                table.columns.extend(touched);
                table.means = format!("rows of {}", stored.join(", "));
                return Some(vec![table]);
            }
        };
        columns.extend(touched.filter(|_| name != "count"));
        Some(vec![StateTable::new(name, keys, columns)])
    }
    fn keeps(&self) -> Keeps {
        let what = match self.strategy() {
            TopNStrategy::Deduplicate { time: TimeAttribute::Proctime, last: false } => {
                "each key that was seen".to_string()
            }
            TopNStrategy::Deduplicate { time: TimeAttribute::Rowtime, last: false } => {
                "each key that was seen, and its first row until the watermark reaches its time".to_string()
            }
            TopNStrategy::Deduplicate { time: TimeAttribute::Rowtime, last: true } if !self.with_before => {
                "the time of the last row of each key".to_string()
            }
            TopNStrategy::Deduplicate { last: true, .. } if !self.with_before => {
                "each key that was seen".to_string()
            }
            TopNStrategy::Deduplicate { last: true, .. } => "the last row of each key".to_string(),
            TopNStrategy::Best if self.is_first_come() && self.keys.is_empty() => {
                return Keeps::until("how many rows have come", "the limit is reached");
            }
            TopNStrategy::Best if self.keys.is_empty() => {
                let rows = format!("the first {} rows", self.ranks.1);
                return Keeps::until(rows, "better ones come");
            }
            TopNStrategy::Best => format!("the first {} rows of each key", self.ranks.1),
            TopNStrategy::All if self.keys.is_empty() => "all rows, in order".to_string(),
            TopNStrategy::All => "all rows of each key, in order".to_string(),
        };
        Keeps::idle(what, self.ttl_millis)
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        input.iter().cloned().chain(["row_number".to_string()]).collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
        input.extend(origins[0]);
        input.extend(self.keys.iter().copied());
        input.extend(self.order_by.iter().map(|it| it.0));
        self.with_rank &= needed.contains(&width);
        let left = input.iter().copied().chain(self.with_rank.then_some(width)).collect();
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        self.order_by.iter_mut().for_each(|it| it.0 = rank(&input, it.0));
        self.rank_at = input.len();
        (left, vec![input])
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        self.retracts = !inputs.iter().all(ChangelogMode::is_append);
        // What takes a row's place has another key than the row, unless the rank is the key: a sink that goes
        // by the rank gets no `-U` all the same, as it comes right before the `+U` of its key.
        self.with_before = before || (self.is_positional() && self.ranks.0 != self.ranks.1);
        Ok(match self.strategy() {
            TopNStrategy::Deduplicate { last: false, .. } => ChangelogMode::APPEND,
            _ if self.is_first_come() => ChangelogMode::APPEND,
            _ if self.is_positional() => {
                ChangelogMode { updates: true, deletes: self.retracts, before: self.with_before }
            }
            _ => ChangelogMode { updates: false, deletes: true, before: true },
        })
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        let keys: Set = self.keys.iter().copied().collect();
        if self.ranks.0 == self.ranks.1 {
            return vec![keys];
        }
        if self.tells_rank {
            return vec![keys.into_iter().chain([self.rank_at]).collect()];
        }
        // A row that changes may go to another shard, unless the group is part of its key.
        let of_input = inputs.first().into_iter().flatten();
        of_input.filter(|key| keys.is_subset(key)).cloned().collect()
    }
}
