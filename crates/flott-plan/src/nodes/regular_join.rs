//! Joins of all rows so far.

use flott_expr::Expr;
use flott_types::Result;

use super::{
    Keeps, Origins, Set, StatefulNode, UpsertKeys,
    joining::{JoinOn, sides_taking_back},
    length,
};
use crate::{ChangelogMode, StateTable, operator_text::Labels, shape::InputColumns};

/// Joins every row with every other that has the same key. Output: left columns, then right ones; of a
/// semi or anti join the left ones only.
#[derive(Debug, Clone, PartialEq)]
pub struct RegularJoin {
    /// What makes a pair.
    pub on: JoinOn,
    /// How many columns the left input has.
    pub width: usize,
    /// Whether each input takes rows back.
    pub retracts: [bool; 2],
    /// It tells what a row was before a change.
    pub with_before: bool,
    /// Rows of each input that nothing has touched for so long are forgotten.
    pub ttl_millis: [Option<i64>; 2],
}

impl StatefulNode for RegularJoin {
    fn name(&self) -> &'static str {
        "regular join"
    }
    fn inputs(&self) -> usize {
        2
    }
    fn keys(&self, input: usize) -> Vec<usize> {
        self.on.keys(input)
    }
    fn describe(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        self.on.describe(labels)
    }
    fn frame(&self, labels: &Labels) -> Vec<(&'static str, String)> {
        let mut frame = self.on.describe(labels);
        frame.push(sides_taking_back(self.retracts));
        frame
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, inputs: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        Some(self.on.tables(inputs, self.retracts, self.ttl_millis.map(|ttl| ttl.is_some()), false))
    }
    fn keeps(&self) -> Keeps {
        match self.ttl_millis {
            [left, right] if left == right => Keeps::idle("all rows of both sides", left),
            [Some(left), Some(right)] => {
                let until = format!("left until untouched for {}, right for {}", length(left), length(right));
                Keeps::until("the rows of both sides", until)
            }
            [Some(left), None] => {
                Keeps::idle(format!("left rows until untouched for {}; all right rows", length(left)), None)
            }
            [None, right] => {
                let right = right.map_or_else(String::new, length);
                Keeps::idle(format!("right rows until untouched for {right}; all left rows"), None)
            }
        }
    }
    fn columns(&self, labels: &Labels) -> Vec<String> {
        self.on.columns(labels)
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.on.condition.iter_mut().collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        let (left, inputs) = self.on.shrink(widths[0], needed, [None; 2]);
        self.width = inputs[0].len();
        (left, inputs.into())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        for (retracts, mode) in self.retracts.iter_mut().zip(inputs) {
            *retracts = !mode.is_append();
        }
        self.with_before = before;
        Ok(self.on.changelog(inputs, before, true))
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        self.on.upsert_keys(inputs, self.width, self.retracts)
    }
}
