//! The columns that an expression may name.
//!
//! ```text
//!   FROM t AS a, UNNEST(a.xs) AS u (x)      Relation a: columns 0..3, Relation u: column 3
//! ```
//!
//! `JOIN … USING (k)` has one more column, `k`, that hides those of both sides behind `*` and the
//! bare name. A sub-query's scope has the enclosing query's around it, for what it doesn't know; see
//! `decorrelate.rs` for where such columns stand.
//!
//! A name `p.q.r` is first tried as a relation followed by a column, the longest relation name
//! first, then as a column followed by fields of its ROW.

use flott_expr::{Expr, ExprKind};
use flott_types::{Code, Diagnostic, Field, Result, Schema, Span, TimeAttribute};
use sqlparser::ast::Ident;

use super::decorrelate::{LEVEL, OUTER};
use crate::Source;

/// One item of `FROM`.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// Its alias, or catalog, database and name; empty for a sub-query without an alias.
    pub(super) path: Vec<String>,
    /// Its columns.
    pub(super) fields: Vec<Field>,
    /// Position of its first column in the input.
    pub(super) start: usize,
}

/// A column that `USING` or `NATURAL` makes of two.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    /// Its name.
    pub(super) name: String,
    /// Its value, over the columns of the input.
    pub(super) expr: Expr,
    /// Positions of the columns that it stands for.
    pub(super) hides: Vec<usize>,
}

/// A variable of MATCH_RECOGNIZE.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// Its name.
    pub(super) name: String,
    /// There may be no row of it.
    pub(super) may_be_absent: bool,
}

/// The columns of a variable stand so many places behind those of the one before; the relation's own
/// are first.
pub(super) const VARIABLE_STRIDE: usize = 1 << 20;

/// All items of a `FROM`.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Relation>,
    /// Columns of `USING` and `NATURAL`.
    pub(super) merged: Vec<Merged>,
    /// The variables of a pattern, which qualify the columns of the only relation.
    pub(super) variables: Vec<Variable>,
    /// The scope of the enclosing query, for a sub-query that looks into it.
    pub(super) outer: Option<Box<Scope>>,
}

impl Scope {
    /// One nameless relation.
    pub(super) fn of_table(schema: &Schema) -> Self {
        Self::of(Relation { path: Vec::new(), fields: schema.fields.clone(), start: 0 })
    }

    /// One relation.
    pub(super) fn of(relation: Relation) -> Self {
        Self { relations: vec![relation], ..Self::default() }
    }

    /// The same names for columns that stand this many places further on.
    #[must_use]
    pub(super) fn shifted(mut self, by: usize) -> Self {
        for relation in &mut self.relations {
            relation.start += by;
        }
        for merged in &mut self.merged {
            shift(&mut merged.expr, by);
            merged.hides.iter_mut().for_each(|at| *at += by);
        }
        self
    }

    /// The columns may be NULL: the side of an outer join that rows may lack.
    pub(super) fn make_nullable(&mut self) {
        for field in self.relations.iter_mut().flat_map(|it| &mut it.fields) {
            field.data_type.nullable = true;
        }
        for merged in &mut self.merged {
            merged.expr.walk_mut(&mut |node| node.data_type.nullable = true);
        }
    }

    /// Of which kind a plain column reference is a time attribute.
    pub(super) fn time_of(&self, expr: &Expr) -> Option<TimeAttribute> {
        let ExprKind::Column { index, .. } = expr.kind else { return None };
        self.relations
            .iter()
            .find_map(|it| it.fields.get(index.checked_sub(it.start)?))
            .and_then(|it| it.time)
    }

    /// What `*` stands for: merged columns first.
    pub(super) fn star(&self) -> impl Iterator<Item = (&str, Expr)> {
        let hidden = |expr: &Expr| match expr.kind {
            ExprKind::Column { index, .. } => self.merged.iter().any(|it| it.hides.contains(&index)),
            _ => false,
        };
        let merged = self.merged.iter().map(|it| (it.name.as_str(), it.expr.clone()));
        let rest = self.relations.iter().flat_map(Relation::columns);
        merged.chain(rest.filter(move |(_, expr)| !hidden(expr)))
    }

    /// The relation that these names stand for.
    pub(super) fn relation(&self, names: &[Ident]) -> Option<&Relation> {
        self.relations.iter().find(|it| {
            names.len() <= it.path.len()
                && it.path.iter().rev().zip(names.iter().rev()).all(|(part, name)| *part == name.value)
        })
    }

    /// The column that the names start with, and how many of them it took.
    pub(super) fn resolve(&self, names: &[Ident], source: &Source) -> Result<(Expr, usize)> {
        let found = self.resolve_here(names, source);
        match (&self.outer, found) {
            (Some(outer), Err(error)) if error.code == Code::UnknownColumn => {
                let found = outer.resolve(names, source).map_err(|_| error);
                found.map(|(expr, taken)| (seen_from_inside(expr), taken))
            }
            (_, found) => found,
        }
    }

    fn resolve_here(&self, names: &[Ident], source: &Source) -> Result<(Expr, usize)> {
        if let Some(column) = self.of_variable(names, source)? {
            return Ok((column, 2));
        }
        for taken in (1..names.len()).rev() {
            if let (Some(relation), Some(name)) = (self.relation(&names[..taken]), names.get(taken)) {
                let column = relation.column(name, source)?;
                return Ok((column.at(span_of(&names[..=taken], source)), taken + 1));
            }
        }
        let Some(first) = names.first() else {
            return Err(Diagnostic::error(Code::Internal, "a name without parts"));
        };
        let column = self.column(first, names.len() > 1, source)?;
        Ok((column.at(source.span(first.span)), 1))
    }

    /// `A.price` in MATCH_RECOGNIZE.
    fn of_variable(&self, names: &[Ident], source: &Source) -> Result<Option<Expr>> {
        let [first, second, ..] = names else { return Ok(None) };
        let variable = self.variables.iter().enumerate().find(|(_, it)| it.name == first.value);
        let (Some((at, variable)), Some(relation)) = (variable, self.relations.first()) else {
            return Ok(None);
        };
        let relation = Relation { path: vec![variable.name.clone()], ..relation.clone() };
        let mut column = relation.column(second, source)?;
        shift(&mut column, (at + 1) * VARIABLE_STRIDE);
        column.data_type.nullable |= variable.may_be_absent;
        Ok(Some(column.at(span_of(&[first.clone(), second.clone()], source))))
    }

    /// Whether some relation has a column of this name.
    pub(super) fn has_column(&self, name: &str) -> bool {
        self.relations.iter().any(|it| it.fields.iter().any(|field| field.name == name))
            || self.outer.as_ref().is_some_and(|it| it.has_column(name))
    }

    /// The column of this name alone.
    pub(super) fn column(&self, name: &Ident, qualified: bool, source: &Source) -> Result<Expr> {
        if let Some(merged) = self.merged.iter().rev().find(|it| it.name == name.value) {
            return Ok(merged.expr.clone());
        }
        let mut found = self.relations.iter().flat_map(|relation| relation.named(&name.value));
        let span = source.span(name.span);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column),
            (Some(_), Some(_)) => Err(self.ambiguous(&name.value).at(span)),
            (None, _) => Err(self.unknown(&name.value, qualified).at(span)),
        }
    }

    fn ambiguous(&self, name: &str) -> Box<Diagnostic> {
        let error = Diagnostic::error(Code::AmbiguousColumn, format!("column '{name}' is ambiguous"));
        let owners: Vec<&str> = self
            .relations
            .iter()
            .filter(|it| it.fields.iter().any(|field| field.name == name))
            .filter_map(|it| it.path.last().map(String::as_str))
            .collect();
        match owners.as_slice() {
            [a, b, ..] => error.help(format!("write {a}.{name} or {b}.{name}")),
            _ => error.help("give the columns different names with AS"),
        }
    }

    fn unknown(&self, name: &str, qualified: bool) -> Box<Diagnostic> {
        let what = if qualified { "table or column" } else { "column" };
        let error = Diagnostic::error(Code::UnknownColumn, format!("{what} '{name}' not found"));
        let columns = self.relations.iter().flat_map(|it| &it.fields).map(|field| field.name.as_str());
        let relations = self.relations.iter().filter_map(|it| it.path.last()).map(String::as_str);
        let relations = relations.filter(|_| qualified);
        let candidates: Vec<&str> = relations.chain(columns).collect();
        if flott_types::closest(name, candidates.iter().copied()).is_some() {
            return error.did_you_mean(name, candidates);
        }
        match candidates.len() {
            0 => error.help("there is no FROM, so no column can be named; text stands in single quotes"),
            1..=12 => error.help(format!("there is: {}", candidates.join(", "))),
            _ => error.help(format!("there is: {}, …", candidates[..12].join(", "))),
        }
    }
}

impl Relation {
    /// Its columns of this name.
    fn named<'r>(&'r self, name: &'r str) -> impl Iterator<Item = Expr> + 'r {
        self.columns().filter(move |column| column.0 == name).map(|(_, expr)| expr)
    }

    /// All its columns by name.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, Expr)> {
        self.fields.iter().enumerate().map(|(at, field)| {
            (field.name.as_str(), Expr::column(self.start + at, &field.name, field.data_type.clone()))
        })
    }

    fn column(&self, name: &Ident, source: &Source) -> Result<Expr> {
        let mut found = self.named(&name.value);
        let table = self.path.last().map_or("", String::as_str);
        let span = source.span(name.span);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column),
            (Some(_), Some(_)) => {
                let message = format!("column '{}' is ambiguous in '{table}'", name.value);
                Err(Diagnostic::error(Code::AmbiguousColumn, message).at(span))
            }
            (None, _) => {
                let message = format!("column '{}' not found in '{table}'", name.value);
                Err(Diagnostic::error(Code::UnknownColumn, message)
                    .at(span)
                    .did_you_mean(&name.value, self.fields.iter().map(|field| field.name.as_str())))
            }
        }
    }
}

/// Moves every column reference but those to outer queries.
pub(super) fn shift(expr: &mut Expr, by: usize) {
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind
            && *index < OUTER
        {
            *index += by;
        }
    });
}

/// A column of a query as its sub-query names it.
fn seen_from_inside(mut expr: Expr) -> Expr {
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind {
            *index += if *index < OUTER { OUTER } else { LEVEL };
        }
    });
    expr
}

/// From the first to the last of the names.
pub(super) fn span_of(names: &[Ident], source: &Source) -> Span {
    names.iter().fold(Span::default(), |span, name| span.union(source.span(name.span)))
}
