//! `GROUP BY` without a window, `SELECT DISTINCT`.

use flott_types::{Diagnostic, Result};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, call_value, names, rank};
use crate::{
    Call, ChangelogMode, StateTable, StateValue,
    operator_text::{Labels, call_text, label},
    shape::InputColumns,
};

/// Filters that the values of a distinct set are told apart by.
const DISTINCT_FILTERS_MAX: usize = 64;

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

impl GroupAggregate {
    /// The tables of values that groups have seen: one for all calls with DISTINCT over the same arguments,
    /// unless their filters are more than a word has bits.
    fn distinct_sets(&self, input: &InputColumns) -> Vec<StateTable> {
        let mut sets: Vec<(&[usize], Vec<Option<usize>>)> = Vec::new();
        for call in self.calls.iter().filter(|it| it.distinct && !matches!(it.function.name, "MIN" | "MAX")) {
            let args = call.args.as_slice();
            let fits = |(of, filters): &&mut (&[usize], Vec<Option<usize>>)| {
                *of == args && (filters.len() < DISTINCT_FILTERS_MAX || filters.contains(&call.filter))
            };
            match sets.iter_mut().find(fits) {
                Some((_, filters)) if filters.contains(&call.filter) => {}
                Some((_, filters)) => filters.push(call.filter),
                None => sets.push((args, vec![call.filter])),
            }
        }
        let table = |(at, (args, filters)): (usize, (&[usize], Vec<Option<usize>>))| {
            let name = |filter: Option<usize>| filter.map_or("all", |it| label(&input.typed, it)).to_string();
            let filters: Vec<String> = filters.into_iter().map(name).collect();
            let columns = match self.retracts {
                true => filters.into_iter().map(|it| StateValue::kept(format!("$count of {it}"))).collect(),
                false => vec![StateValue { bits: filters, ..StateValue::kept("$filters") }],
            };
            let values = input.named(args.iter().copied()).join(", ");
            StateTable {
                means: format!("values of {values}"),
                begins: true,
                ..StateTable::new(format!("distinct-{at}"), args.len() + 1, columns)
            }
        };
        sets.into_iter().enumerate().map(table).collect()
    }
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
    fn frame(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let takes_back = if self.retracts { "rows that change" } else { "new rows" };
        vec![("keys", names(&self.keys, input)), ("takes", takes_back.to_string())]
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, [input, _]: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let sets = self.distinct_sets(input);
        // A result that begins in the middle must not be asked for rows that came before.
        let mut columns: Vec<StateValue> =
            self.calls.iter().map(|call| call_value(call, input, !self.retracts)).collect();
        columns.extend(self.retracts.then(|| StateValue::kept("$rows")));
        columns.extend((!sets.is_empty()).then(|| StateValue::beginning("$number")));
        columns.extend(self.ttl_millis.map(|_| StateValue::touched()));
        let mut tables = vec![StateTable::new("groups", self.keys.len(), columns)];
        tables.extend(sets);
        Some(tables)
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
