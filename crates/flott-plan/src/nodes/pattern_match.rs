//! `MATCH_RECOGNIZE`: runs of rows that fit a pattern.

use flott_expr::Expr;
use flott_sql::AfterMatch;
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, length, names, only_appends, rank};
use crate::{
    Call, ChangelogMode,
    operator_text::{Labels, call_text, label, labelled, order_text},
};

/// Runs of rows that fit a pattern. Output: keys, then `outputs`.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternMatch {
    /// The columns of `PARTITION BY`.
    pub keys: Vec<usize>,
    /// The row time that rows are ordered by; none: processing time.
    pub time_column: Option<usize>,
    /// The order among rows of the same time: (column, descending, nulls first).
    pub order_by: Vec<(usize, bool, bool)>,
    /// The pattern: one variable after the other.
    pub terms: Vec<MatchTerm>,
    /// The last row of a match is less than this behind the first.
    pub within_millis: Option<i64>,
    /// Where the search goes on after a match.
    pub skip: AfterMatch,
    /// What of a match comes out.
    pub outputs: Vec<Navigation>,
}

/// A variable of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchTerm {
    /// Its name.
    pub name: String,
    /// At least so many rows.
    pub min: u32,
    /// At most so many.
    pub max: Option<u32>,
    /// A row that fits is taken, once `min` rows are there.
    pub greedy: bool,
    /// A BOOLEAN column that must be TRUE: what the condition says of the row alone.
    pub row: Option<usize>,
    /// What else must be TRUE.
    pub condition: Option<MatchCondition>,
}

/// A condition on a row together with the rows before it.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchCondition {
    /// Over the columns that `values` make.
    pub expr: Expr,
    /// What it takes from the rows so far; the row in question is the last of its variable.
    pub values: Vec<Navigation>,
}

/// A value taken from the rows of a match. `term`: of that variable, or of all.
#[derive(Debug, Clone, PartialEq)]
pub enum Navigation {
    /// A column of one row; NULL if there is no such row.
    Row {
        /// Of which rows.
        term: Option<usize>,
        /// Counted from the first one on, not from the last one back.
        first: bool,
        /// How many rows on or back.
        offset: u64,
        /// The column.
        column: usize,
    },
    /// An aggregate function over the rows.
    Aggregate {
        /// Of which rows.
        term: Option<usize>,
        /// The call.
        call: Call,
    },
}

impl Navigation {
    /// The columns that it reads.
    pub fn columns(&self) -> Vec<usize> {
        match self {
            Navigation::Row { column, .. } => vec![*column],
            Navigation::Aggregate { call, .. } => call.columns().collect(),
        }
    }

    fn move_columns(&mut self, to: &dyn Fn(usize) -> usize) {
        match self {
            Navigation::Row { column, .. } => *column = to(*column),
            Navigation::Aggregate { call, .. } => call.move_columns(to),
        }
    }
}

impl PatternMatch {
    fn all_values(&mut self) -> impl Iterator<Item = &mut Navigation> {
        let conditions = self.terms.iter_mut().filter_map(|term| term.condition.as_mut());
        conditions.flat_map(|condition| &mut condition.values).chain(&mut self.outputs)
    }

    fn columns_read(&mut self) -> Set {
        let mut columns: Set = self.keys.iter().copied().chain(self.time_column).collect();
        columns.extend(self.order_by.iter().map(|it| it.0));
        columns.extend(self.terms.iter().filter_map(|term| term.row));
        columns.extend(self.all_values().flat_map(|it| it.columns()));
        columns
    }

    fn term_name(&self, term: Option<usize>) -> &str {
        term.and_then(|at| self.terms.get(at)).map_or("*", |it| it.name.as_str())
    }

    fn navigation_text(&self, value: &Navigation, input: &[String]) -> String {
        match value {
            Navigation::Row { term, first, offset, column } => {
                let name = if *first { "FIRST" } else { "LAST" };
                let what = format!("{}.{}", self.term_name(*term), label(input, *column));
                match offset {
                    0 => format!("{name}({what})"),
                    offset => format!("{name}({what}, {offset})"),
                }
            }
            Navigation::Aggregate { term, call } => {
                format!("{}.{}", self.term_name(*term), call_text(call, input))
            }
        }
    }

    fn pattern_text(&self) -> String {
        let term = |term: &MatchTerm| {
            let reluctant = if term.greedy { "" } else { "?" };
            let quantifier = match (term.min, term.max) {
                (1, Some(1)) => String::new(),
                (0, Some(1)) => "?".to_string(),
                (0, None) => format!("*{reluctant}"),
                (1, None) => format!("+{reluctant}"),
                (min, None) => format!("{{{min},}}{reluctant}"),
                (min, Some(max)) if min == max => format!("{{{min}}}"),
                (min, Some(max)) => format!("{{{min},{max}}}{reluctant}"),
            };
            format!("{}{quantifier}", term.name)
        };
        self.terms.iter().map(term).collect::<Vec<_>>().join(" ")
    }

    fn conditions_text(&self, input: &[String]) -> String {
        let terms = self.terms.iter().filter_map(|term| {
            let row = term.row.map(|column| label(input, column).to_string());
            let rest = term.condition.as_ref().map(|condition| {
                let values: Vec<String> =
                    condition.values.iter().map(|it| self.navigation_text(it, input)).collect();
                labelled(&condition.expr, &values)
            });
            let parts: Vec<String> = row.into_iter().chain(rest).collect();
            (!parts.is_empty()).then(|| format!("{} AS {}", term.name, parts.join(" AND ")))
        });
        terms.collect::<Vec<_>>().join(", ")
    }

    fn skip_text(&self) -> String {
        match self.skip {
            AfterMatch::PastLastRow => "past the last row of a match".to_string(),
            AfterMatch::ToNextRow => "to the row after the first of a match".to_string(),
            AfterMatch::ToFirst(term) => format!("to the first {}", self.term_name(Some(term))),
            AfterMatch::ToLast(term) => format!("to the last {}", self.term_name(Some(term))),
        }
    }
}

impl StatefulNode for PatternMatch {
    fn name(&self) -> &'static str {
        "pattern match"
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(if self.time_column.is_some() { TimeAttribute::Rowtime } else { TimeAttribute::Proctime })
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        self.time_column.into_iter().collect()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = vec![("pattern", self.pattern_text())];
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, input)));
        }
        let time = self.time_column.map_or("processing time", |column| label(input, column));
        let order = order_text(&self.order_by, input);
        out.push(("order", if order.is_empty() { time.to_string() } else { format!("{time}, {order}") }));
        let conditions = self.conditions_text(input);
        if !conditions.is_empty() {
            out.push(("conditions", conditions));
        }
        if let Some(within) = self.within_millis {
            out.push(("within", length(within)));
        }
        out.push(("goes on", self.skip_text()));
        let outputs: Vec<String> = self.outputs.iter().map(|it| self.navigation_text(it, input)).collect();
        if !outputs.is_empty() {
            out.push(("computes", outputs.join(", ")));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        let what = "the rows of matches that are not complete, and those ahead of the watermark";
        match self.within_millis {
            Some(within) => Keeps::until(what, format!("until a match took longer than {}", length(within))),
            None => Keeps::until(what, "until no match can begin with them any more (WITHIN would bound it)"),
        }
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        let keys = self.keys.iter().map(|&column| label(input, column).to_string());
        keys.chain(self.outputs.iter().map(|it| self.navigation_text(it, input))).collect()
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.terms.iter_mut().filter_map(|term| term.condition.as_mut()).map(|it| &mut it.expr).collect()
    }
    fn shrink(&mut self, _: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let keys = self.keys.len();
        let kept: Vec<usize> = (0..self.outputs.len()).filter(|at| needed.contains(&(keys + at))).collect();
        self.outputs = kept.iter().filter_map(|&at| self.outputs.get(at).cloned()).collect();
        let mut input = self.columns_read();
        input.extend(origins[0]);
        let to = |column: usize| rank(&input, column);
        self.keys.iter_mut().chain(&mut self.time_column).for_each(|column| *column = to(*column));
        self.order_by.iter_mut().for_each(|key| key.0 = to(key.0));
        self.terms.iter_mut().filter_map(|term| term.row.as_mut()).for_each(|column| *column = to(*column));
        self.all_values().for_each(|value| value.move_columns(&to));
        ((0..keys).chain(kept.into_iter().map(|at| keys + at)).collect(), vec![input])
    }
    fn carry_origin(&mut self, _: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        Some(Vec::new())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
}
