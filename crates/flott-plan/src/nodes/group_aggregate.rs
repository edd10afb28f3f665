//! `GROUP BY` without a window, `SELECT DISTINCT`.

use flott_types::{Diagnostic, Result};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, names, rank};
use crate::{
    Call, ChangelogMode,
    operator_text::{Labels, call_text},
};

/// Groups whose results change with every row. Output: keys, then calls.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupAggregate {
    /// The grouping columns. None: one group of all rows, which has a result even if there is no row.
    pub keys: Vec<usize>,
    /// What is computed for each group.
    pub calls: Vec<Call>,
    /// Its input takes rows back.
    pub retracts: bool,
    /// It tells what a group's result was before a change.
    pub with_before: bool,
    /// Groups that nothing has touched for so long are forgotten.
    pub ttl_millis: Option<i64>,
}

impl StatefulNode for GroupAggregate {
    fn name(&self) -> &'static str {
        "group aggregate"
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn has_two_phases(&self) -> bool {
        !self.retracts && self.calls.iter().all(|call| !call.function.order_matters)
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, input)));
        }
        let calls: Vec<String> = self.calls.iter().map(|it| call_text(it, input)).collect();
        if !calls.is_empty() {
            out.push(("computes", calls.join(", ")));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        Keeps::idle("a result so far for each group", self.ttl_millis)
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        let keys = self.keys.iter().map(|&column| names(&[column], input));
        keys.chain(self.calls.iter().map(|it| call_text(it, input))).collect()
    }
    fn shrink(&mut self, _: &[usize; 2], needed: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        let keys = self.keys.len();
        let kept: Vec<usize> = (0..self.calls.len()).filter(|at| needed.contains(&(keys + at))).collect();
        self.calls = kept.iter().filter_map(|&at| self.calls.get(at).cloned()).collect();
        let mut input: Set = self.keys.iter().copied().collect();
        input.extend(self.calls.iter().flat_map(Call::columns));
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        self.calls.iter_mut().for_each(|call| call.move_columns(&|column| rank(&input, column)));
        ((0..keys).chain(kept.into_iter().map(|at| keys + at)).collect(), vec![input])
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        self.retracts = !inputs.iter().all(ChangelogMode::is_append);
        self.with_before = before;
        let sketch = self.calls.iter().find(|call| call.function.name == "APPROX_COUNT_DISTINCT");
        if let Some(call) = sketch.filter(|_| self.retracts) {
            return Err(Diagnostic::not_supported(format_args!(
                "{} over rows that change",
                call.function.name
            ))
            .help("COUNT(DISTINCT …) takes rows back"));
        }
        if self.calls.is_empty() && !self.retracts {
            // DISTINCT: a row comes once and stays.
            return Ok(ChangelogMode::APPEND);
        }
        Ok(ChangelogMode { updates: true, deletes: self.retracts, before })
    }
    fn upsert_keys(&self, _: &[UpsertKeys]) -> UpsertKeys {
        vec![(0..self.keys.len()).collect()]
    }
}
