//! What an upsert source says, made into changes.

use flott_types::Result;

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, names, rank};
use crate::{ChangelogMode, StateTable, StateValue, operator_text::Labels, shape::InputColumns};

/// The last row of each key: repeated rows are swallowed, deletions get their row, and what a row was before
/// is known. Output: the input's columns.
///
/// Flink calls it `ChangelogNormalize`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Normalize {
    /// The table's primary key.
    pub keys: Vec<usize>,
    /// It tells what a row was before a change.
    pub with_before: bool,
    /// Keys that nothing has touched for so long are forgotten.
    pub ttl_millis: Option<i64>,
}

impl StatefulNode for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        vec![("keys", names(&self.keys, input))]
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, [input, _]: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let mut columns = vec![StateValue::rows(input.beside(&self.keys, &[]))];
        columns.extend(self.ttl_millis.map(|_| StateValue::touched()));
        Some(vec![StateTable::new("last", self.keys.len(), columns)])
    }
    fn keeps(&self) -> Keeps {
        Keeps::idle("the last row of each key", self.ttl_millis)
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        input.clone()
    }
    fn shrink(&mut self, _: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let mut input: Set = needed.clone();
        input.extend(origins[0]);
        input.extend(self.keys.iter().copied());
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        (input.iter().copied().collect(), vec![input])
    }
    fn wants_before(&self, _: usize) -> bool {
        false
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        self.with_before = before;
        let deletes = inputs.iter().any(|input| input.deletes);
        Ok(ChangelogMode { updates: true, deletes, before })
    }
    fn upsert_keys(&self, _: &[UpsertKeys]) -> UpsertKeys {
        vec![self.keys.iter().copied().collect()]
    }
}
