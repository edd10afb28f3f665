//! Rows of several origins under one primary key of a sink.

use flott_sql::OnConflict;
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, names};
use crate::{ChangelogMode, StateTable, StateValue, operator_text::Labels, shape::InputColumns};

/// One row for each key of a sink, of those that the query has. Output: the input's columns.
///
/// Flink calls it `SinkUpsertMaterializer`.
#[derive(Debug, Clone, PartialEq)]
pub struct Materialize {
    /// The sink's primary key.
    pub keys: Vec<usize>,
    /// Which of several rows it is.
    pub on_conflict: OnConflict,
    /// What the key's columns are called, for messages.
    pub names: Vec<String>,
    /// Keys that nothing has touched for so long are forgotten.
    pub ttl_millis: Option<i64>,
}

impl StatefulNode for Materialize {
    fn name(&self) -> &'static str {
        "materialize"
    }
    fn time(&self) -> Option<TimeAttribute> {
        // Whether two rows are there at once is known when the watermark has passed.
        (self.on_conflict != OnConflict::Deduplicate).then_some(TimeAttribute::Rowtime)
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let action = match self.on_conflict {
            OnConflict::Error => "fail",
            OnConflict::Nothing => "keep the first row",
            OnConflict::Deduplicate => "take the last row",
        };
        vec![("keys", names(&self.keys, input)), ("on conflict", action.to_string())]
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, [input, _]: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let rows = StateValue::rows(input.beside(&self.keys, &[]));
        let mut columns = vec![StateValue { means: "$lists of rows".to_string(), ..rows.clone() }, rows];
        columns.extend(self.ttl_millis.map(|_| StateValue::touched()));
        Some(vec![StateTable::new("rows", self.keys.len(), columns)])
    }
    fn keeps(&self) -> Keeps {
        let what = match self.on_conflict {
            OnConflict::Deduplicate => "all rows of each key of the sink",
            _ => "the row of each key of the sink, and what has come since the watermark",
        };
        Keeps::idle(what, self.ttl_millis)
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        input.clone()
    }
    fn shrink(&mut self, widths: &[usize; 2], _: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        // It stands before a sink, which takes all columns.
        ((0..widths[0]).collect(), vec![(0..widths[0]).collect()])
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        let deletes = inputs.iter().any(|input| input.deletes || input.updates);
        Ok(ChangelogMode { updates: true, deletes, before: false })
    }
    fn upsert_keys(&self, _: &[UpsertKeys]) -> UpsertKeys {
        vec![self.keys.iter().copied().collect()]
    }
}
