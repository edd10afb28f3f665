//! `ORDER BY` without a limit: by time as the watermark passes, or by anything when all rows are there.

use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, only_appends, rank};
use crate::{
    ChangelogMode,
    operator_text::{Labels, order_text},
};

/// All rows in this order. Output: the input's columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sort {
    /// (column, descending, nulls first)
    pub order_by: Vec<(usize, bool, bool)>,
    /// The first column of the order is a time attribute, rising: rows go out as time passes. None: at the
    /// end, in batch mode.
    pub time: Option<TimeAttribute>,
    /// Rows left out at the front.
    pub skip: u64,
}

impl StatefulNode for Sort {
    fn name(&self) -> &'static str {
        if self.time.is_some() { "temporal sort" } else { "sort" }
    }
    fn time(&self) -> Option<TimeAttribute> {
        self.time
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        let first = self.order_by.first().map(|(column, ..)| *column);
        first.filter(|_| self.time == Some(TimeAttribute::Rowtime)).into_iter().collect()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        Vec::new()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if !self.order_by.is_empty() {
            out.push(("order", order_text(&self.order_by, input)));
        }
        if self.skip > 0 {
            out.push(("skip", self.skip.to_string()));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        match self.time {
            Some(TimeAttribute::Rowtime) => Keeps::until(
                "the rows that may still be out of order",
                "until the watermark reaches their time",
            ),
            Some(TimeAttribute::Proctime) => Keeps::until("rows of the same moment", "until they are sorted"),
            None => Keeps::until("all rows", "until the end of the input"),
        }
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        input.clone()
    }
    fn shrink(&mut self, _: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let mut input: Set = needed.clone();
        input.extend(origins[0]);
        input.extend(self.order_by.iter().map(|it| it.0));
        self.order_by.iter_mut().for_each(|it| it.0 = rank(&input, it.0));
        (input.iter().copied().collect(), vec![input])
    }
    fn carry_origin(&mut self, _: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        None
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        inputs.first().cloned().unwrap_or_default()
    }
}
