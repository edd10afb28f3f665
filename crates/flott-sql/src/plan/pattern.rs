//! `MATCH_RECOGNIZE`: what is looked for in the rows of a partition, and what is said of a match.
//!
//! ```text
//!   PATTERN (A B+ C)        terms: A{1,1} B{1,} C{1,1}, each a variable of its own
//!   DEFINE B AS B.x > LAST(A.x)     condition: #0 > #1 over the row of navigated values
//!                                   values: #0 = last B, x    #1 = last A, x
//! ```
//!
//! Expressions don't see the rows of a match. What they take from it is listed as [`MatchValue`]s;
//! the expression is over the row of those values.
//!
//! Source: Flink documentation, "Pattern Recognition".

use std::fmt;

use flott_expr::{AggregateCall, Expr};
use flott_types::{Schema, Span, TimeAttribute};

use super::{LogicalPlan, SortKey};

/// `MATCH_RECOGNIZE (…)`
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRecognize {
    /// Append-only rows.
    pub input: Box<LogicalPlan>,
    /// `PARTITION BY`: input columns.
    pub partition_by: Vec<usize>,
    /// The time attribute that rows are ordered by, ascending.
    pub time_column: usize,
    /// Of which kind it is.
    pub time: TimeAttribute,
    /// The order among rows of the same time.
    pub order_by: Vec<SortKey>,
    /// `PATTERN`: one after the other without gaps.
    pub terms: Vec<PatternTerm>,
    /// `WITHIN`: the last row of a match is less than this behind the first.
    pub within_millis: Option<i64>,
    /// `AFTER MATCH SKIP`
    pub skip: AfterMatch,
    /// `MEASURES`, over the rows of a whole match.
    pub measures: Vec<MatchExpr>,
    /// The columns of `PARTITION BY`, then the measures.
    pub schema: Schema,
    /// Where the clause stands.
    pub span: Span,
}

/// A variable of a pattern with its quantifier.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternTerm {
    /// The variable's name.
    pub name: String,
    /// `DEFINE name AS …`: what a row must fulfil to be mapped to it; `None`: every row does. The
    /// row in question is the last one of the variable.
    pub condition: Option<MatchExpr>,
    /// At least so many rows.
    pub min: u32,
    /// At most so many.
    pub max: Option<u32>,
    /// Whether a row that fulfils the condition must be taken, once `min` rows are there.
    pub greedy: bool,
}

/// Where the search goes on after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterMatch {
    /// `PAST LAST ROW`
    PastLastRow,
    /// `TO NEXT ROW`
    ToNextRow,
    /// `TO FIRST variable`: the first row of the term at this position.
    ToFirst(usize),
    /// `TO LAST variable`: the last row of the term at this position.
    ToLast(usize),
}

/// An expression over the rows of a match, or of the part of it that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchExpr {
    /// The expression over the columns that `values` make.
    pub expr: Expr,
    /// What it takes from the match.
    pub values: Vec<MatchValue>,
}

/// A value taken from the rows of a match. `term`: those of the term at this position, or `None`
/// for all.
#[derive(Debug, Clone, PartialEq)]
pub enum MatchValue {
    /// `LAST(A.x, n)`, `FIRST(A.x, n)`: an expression over the input's columns in one row; NULL if
    /// there is no such row.
    Row {
        /// Of which rows.
        term: Option<usize>,
        /// Counted from the first one on, not from the last one back.
        first: bool,
        /// How many rows further on (`FIRST`) or back (`LAST`).
        offset: u64,
        /// The value in that row.
        expr: Expr,
    },
    /// An aggregate function over the rows.
    Aggregate {
        /// Of which rows.
        term: Option<usize>,
        /// The call over the input's columns.
        call: AggregateCall,
    },
}

impl MatchRecognize {
    fn term_name(&self, term: Option<usize>) -> &str {
        term.and_then(|at| self.terms.get(at)).map_or("*", |it| it.name.as_str())
    }

    /// The expression as text: values stand as they are written in SQL.
    pub fn show(&self, expr: &MatchExpr) -> String {
        let values = expr.values.iter().enumerate().map(|(at, value)| match value {
            MatchValue::Row { term, first, offset, expr } => {
                let name = if *first { "FIRST" } else { "LAST" };
                format!("#{at} = {name}({}: {expr}, {offset})", self.term_name(*term))
            }
            MatchValue::Aggregate { term, call } => format!("#{at} = {}: {call}", self.term_name(*term)),
        });
        let values: Vec<String> = values.collect();
        match values.is_empty() {
            true => expr.expr.to_string(),
            false => format!("{} where {}", expr.expr, values.join(", ")),
        }
    }

    /// The pattern as SQL.
    pub fn pattern(&self) -> String {
        let terms: Vec<String> = self.terms.iter().map(ToString::to_string).collect();
        terms.join(" ")
    }
}

impl fmt::Display for PatternTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match (self.min, self.max) {
            (1, Some(1)) => return Ok(()),
            (0, Some(1)) => return f.write_str("?"),
            (0, None) => f.write_str("*")?,
            (1, None) => f.write_str("+")?,
            (min, None) => write!(f, "{{{min},}}")?,
            (min, Some(max)) if min == max => return write!(f, "{{{min}}}"),
            (min, Some(max)) => write!(f, "{{{min},{max}}}")?,
        }
        if self.greedy { Ok(()) } else { f.write_str("?") }
    }
}

impl fmt::Display for MatchRecognize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Match ({}) by {:?} order by #{}", self.pattern(), self.partition_by, self.time_column)?;
        for key in &self.order_by {
            write!(f, ", {key}")?;
        }
        if let Some(within) = self.within_millis {
            write!(f, " within {within} ms")?;
        }
        match self.skip {
            AfterMatch::PastLastRow => write!(f, " skip past last row")?,
            AfterMatch::ToNextRow => write!(f, " skip to next row")?,
            AfterMatch::ToFirst(term) => write!(f, " skip to first {}", self.term_name(Some(term)))?,
            AfterMatch::ToLast(term) => write!(f, " skip to last {}", self.term_name(Some(term)))?,
        }
        for term in &self.terms {
            if let Some(condition) = &term.condition {
                write!(f, "; {} AS {}", term.name, self.show(condition))?;
            }
        }
        for (measure, field) in
            self.measures.iter().zip(self.schema.fields.iter().skip(self.partition_by.len()))
        {
            write!(f, "; {} = {}", field.name, self.show(measure))?;
        }
        Ok(())
    }
}
