//! `FOR SYSTEM_TIME AS OF` processing time: each row with what a table says when it is asked.

use flott_expr::Expr;
use flott_sql::{JoinKind, LookupHint};
use flott_types::{Result, Schema, Span, TableDescription};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, rank};
use crate::{
    ChangelogMode, Exchange,
    operator_text::{Labels, join_kind, label, labelled},
    rewrite::remap,
};

/// Rows with those that a table has for their keys. Output: the input's columns, then `exprs`.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupJoin {
    /// The table that is asked.
    pub table: TableDescription,
    /// Where the query names it.
    pub span: Span,
    /// Equal columns: of the input, of the table (a position in its columns).
    pub keys: Vec<(usize, usize)>,
    /// Positions in the table's columns of those that it is asked for, rising.
    pub reads: Vec<usize>,
    /// Only the table's rows for which this is TRUE count: over `reads`.
    pub filter: Option<Expr>,
    /// What else must be TRUE, over the input's columns followed by `reads`.
    pub condition: Option<Expr>,
    /// What comes out of a row that was found, over `reads`.
    pub exprs: Vec<Expr>,
    /// `exprs` as columns.
    pub schema: Schema,
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// How the table is asked.
    pub lookup: Lookup,
}

/// How a table is asked: the hint, and the session's options where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lookup {
    /// How many rows are under way at most.
    pub capacity: usize,
    /// How long an answer may take.
    pub timeout_millis: i64,
    /// Rows may overtake each other between two watermarks.
    pub unordered: bool,
    /// A row that finds nothing asks again: after how long, and how often.
    pub retry: Option<(i64, u32)>,
    /// Rows go to the shard that has their key.
    pub shuffle: bool,
}

impl Lookup {
    /// What a hint says, over these defaults.
    pub fn of(hint: &LookupHint, defaults: &Lookup) -> Self {
        let millis = |it: std::time::Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        Self {
            capacity: hint.capacity.unwrap_or(defaults.capacity).max(1),
            timeout_millis: hint.timeout.map_or(defaults.timeout_millis, millis),
            unordered: hint.unordered.unwrap_or(defaults.unordered),
            retry: hint.retry.map(|it| (millis(it.delay), it.attempts_max)),
            shuffle: hint.shuffle.unwrap_or(defaults.shuffle),
        }
    }
}

impl LookupJoin {
    /// The table's column.
    fn column(&self, at: usize) -> &str {
        self.table.columns.get(at).map_or("?", |it| it.name.as_str())
    }
    /// The columns that are read, named as the table's.
    fn read_names(&self) -> Vec<String> {
        self.reads.iter().map(|&at| format!("{}.{}", self.table.name, self.column(at))).collect()
    }
}

impl StatefulNode for LookupJoin {
    fn name(&self) -> &'static str {
        "lookup join"
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.iter().map(|it| it.0).collect()
    }
    fn exchange(&self, _: usize) -> Exchange {
        // Any shard can ask.
        if self.lookup.shuffle { Exchange::Hash(self.keys(0)) } else { Exchange::Forward }
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let equal = |&(l, r): &(usize, usize)| format!("{} = {}", label(input, l), self.column(r));
        let keys: Vec<String> = self.keys.iter().map(equal).collect();
        let connector = self.table.options.get("connector").unwrap_or("?");
        let mut out = vec![
            ("table", format!("{} [{connector}]", self.table.name)),
            ("join", join_kind(self.kind).to_string()),
            ("keys", keys.join(", ")),
        ];
        let names = self.read_names();
        if let Some(filter) = &self.filter {
            out.push(("filter", labelled(filter, &names)));
        }
        if let Some(condition) = &self.condition {
            let both: Vec<String> = input.iter().cloned().chain(names).collect();
            out.push(("condition", labelled(condition, &both)));
        }
        if let Some((delay_millis, attempts)) = self.lookup.retry {
            out.push(("retry", format!("a miss, {attempts} times, after {}", super::length(delay_millis))));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        Keeps::until(
            "rows whose answer is under way",
            format!("at most about {} on a shard", self.lookup.capacity),
        )
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        let names = self.read_names();
        input.iter().cloned().chain(self.exprs.iter().map(|expr| labelled(expr, &names))).collect()
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.filter.iter_mut().chain(&mut self.condition).chain(&mut self.exprs).collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let condition = self.condition.as_ref().map(Expr::columns).unwrap_or_default();
        let mut input: Set = needed.iter().chain(&condition).copied().filter(|&it| it < width).collect();
        input.extend(self.keys.iter().map(|it| it.0));
        let kept: Vec<usize> = (0..self.exprs.len()).filter(|at| needed.contains(&(width + at))).collect();
        self.exprs = kept.iter().filter_map(|&at| self.exprs.get(at).cloned()).collect();
        self.schema = self.schema.project(&kept);
        let mut read: Set = condition.iter().filter_map(|column| column.checked_sub(width)).collect();
        read.extend(self.exprs.iter().chain(&self.filter).flat_map(Expr::columns));
        self.reads = read.iter().filter_map(|&at| self.reads.get(at).copied()).collect();
        self.exprs.iter_mut().chain(&mut self.filter).for_each(|it| remap(it, &|column| rank(&read, column)));
        if let Some(condition) = &mut self.condition {
            remap(condition, &|column| match column.checked_sub(width) {
                None => rank(&input, column),
                Some(column) => input.len() + rank(&read, column),
            });
        }
        self.keys.iter_mut().for_each(|it| it.0 = rank(&input, it.0));
        let left = input.iter().copied().chain(kept.into_iter().map(|at| width + at));
        (left.collect(), vec![input])
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        let input = inputs.first().copied().unwrap_or_default();
        if !input.is_append() {
            // A change must not overtake an earlier one of the same row: equal rows ask for the same key, and
            // a shard gets what comes from a source in its order.
            self.lookup.unordered = false;
            self.lookup.shuffle = true;
        }
        Ok(input)
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        let column = |name: &String| self.table.columns.iter().position(|it| it.name == *name);
        let key: Option<Vec<usize>> = self.table.primary_key.iter().map(column).collect();
        let asked = |column: &usize| self.keys.iter().any(|it| it.1 == *column);
        match key {
            // At most one row of the table for each row.
            Some(key) if !key.is_empty() && key.iter().all(asked) => {
                inputs.first().cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}
