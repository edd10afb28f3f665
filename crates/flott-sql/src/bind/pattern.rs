//! `MATCH_RECOGNIZE (PARTITION BY … ORDER BY … MEASURES … PATTERN (…) DEFINE …)`
//!
//! ```text
//!   PATTERN (A B+? C)     terms, one after the other: each variable once, with its quantifier
//!   DEFINE B AS …         over the variables' rows: pattern_values.rs
//!   MEASURES …            likewise
//! ```
//!
//! As far as Flink has it: no alternatives, no quantified groups, no anchors, no exclusion, one row
//! for a match; the last variable has no greedy quantifier and some variable must have a row.
//!
//! Source: Flink documentation, "Pattern Recognition".

use flott_expr::ExprKind;
use flott_types::{Code, Diagnostic, Field, Result, Schema, Span, TimeAttribute, TypeKind};
use sqlparser::ast::{
    self, MatchRecognizePattern as Ast, MatchRecognizeSymbol, RepetitionQuantifier, Spanned, TableFactor,
};

use super::{
    Binder,
    calls::Calls,
    expr::ExprBinder,
    pattern_values::PatternCalls,
    query::Around,
    scope::{Relation, Scope, Variable},
    select::is_proctime,
};
use crate::{
    LogicalPlan,
    parse::WITHIN,
    plan::{AfterMatch, MatchExpr, MatchRecognize, PatternTerm, SortKey},
};

/// What rows are matched against, and in which order.
struct Ordered {
    time_column: usize,
    time: TimeAttribute,
    further: Vec<SortKey>,
}

impl Binder<'_> {
    /// `table MATCH_RECOGNIZE (…) AS alias`
    pub(super) fn match_recognize(
        &self,
        factor: &TableFactor,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let TableFactor::MatchRecognize {
            table,
            partition_by,
            order_by,
            measures,
            rows_per_match,
            after_match_skip,
            pattern,
            symbols,
            alias,
        } = factor
        else {
            return Err(Diagnostic::error(Code::Internal, "a pattern that is none"));
        };
        let (input, scope) = self.table_factor(table, around)?;
        let span = self.word_behind("MATCH_RECOGNIZE", self.factor_span(table).end);
        if let Some(ast::RowsPerMatch::AllRows(_)) = rows_per_match {
            let span = self.word_behind("ALL ROWS", span.end);
            return Err(Diagnostic::not_supported("ALL ROWS PER MATCH")
                .at(span)
                .help("ONE ROW PER MATCH is there"));
        }
        let fields = input.schema().fields;
        let columns = Scope::of(Relation { path: Vec::new(), fields: fields.clone(), start: 0 });
        let partition = self.all(partition_by.iter().map(|ast| self.partition_key(ast, &scope)))?;
        let order = self.match_order(order_by, &scope, span)?;
        let mut terms = self.terms(pattern, span)?;
        let (within, definitions): (Vec<_>, Vec<_>) =
            symbols.iter().partition(|it| it.symbol.value == WITHIN);
        let within_millis =
            within.first().map(|it| self.length(&it.definition, "the interval of WITHIN")).transpose()?;
        self.define(&mut terms, &definitions, &columns, &order)?;
        let skip = self.after_match(after_match_skip.as_ref(), &terms)?;
        let (measures, measured) = self.measures(measures, &terms, &columns, &order, span)?;
        let mut schema: Vec<Field> = partition.iter().filter_map(|at| fields.get(*at).cloned()).collect();
        schema.iter_mut().for_each(|field| field.time = None);
        schema.extend(measured);
        let plan = LogicalPlan::Match(Box::new(MatchRecognize {
            input: Box::new(input),
            partition_by: partition,
            time_column: order.time_column,
            time: order.time,
            order_by: order.further,
            terms,
            within_millis,
            skip,
            measures,
            schema: Schema::new(schema),
            span,
        }));
        self.relation(plan, Vec::new(), alias.as_ref())
    }

    fn partition_key(&self, ast: &ast::Expr, scope: &Scope) -> Result<usize> {
        let expr = ExprBinder::new(self, scope).within("PARTITION BY").bind(ast)?;
        match expr.kind {
            ExprKind::Column { index, .. } => Ok(index),
            _ => Err(Diagnostic::error(
                Code::InvalidDefinition,
                "PARTITION BY of MATCH_RECOGNIZE takes columns",
            )
            .at(expr.span)
            .help("compute the value in a query below: FROM (SELECT …) MATCH_RECOGNIZE (…)")),
        }
    }

    /// A time attribute, ascending, then anything.
    fn match_order(&self, order_by: &[ast::OrderByExpr], scope: &Scope, span: Span) -> Result<Ordered> {
        let Some((first, further)) = order_by.split_first() else {
            return Err(Diagnostic::error(Code::InvalidDefinition, "MATCH_RECOGNIZE needs an ORDER BY")
                .at(span)
                .help("order by a time attribute: ORDER BY ts"));
        };
        let first = self.match_key(first, scope)?;
        let (ExprKind::Column { index, .. }, Some(time)) = (&first.expr.kind, scope.time_of(&first.expr))
        else {
            return Err(Diagnostic::error(
                Code::TypeMismatch,
                "MATCH_RECOGNIZE is ordered by a time attribute first",
            )
            .at(first.expr.span)
            .help("that is a column with a WATERMARK or PROCTIME(), as it is"));
        };
        if first.descending {
            return Err(Diagnostic::error(
                Code::UnsupportedUse,
                "time runs forward: ORDER BY … DESC has no end",
            )
            .at(first.expr.span));
        }
        let further = self.all(further.iter().map(|key| self.match_key(key, scope)))?;
        Ok(Ordered { time_column: *index, time, further })
    }

    fn match_key(&self, key: &ast::OrderByExpr, scope: &Scope) -> Result<SortKey> {
        let expr = ExprBinder::new(self, scope).within("ORDER BY").bind(&key.expr)?;
        let descending = key.options.asc == Some(false);
        Ok(SortKey { expr, descending, nulls_first: key.options.nulls_first.unwrap_or(!descending) })
    }

    // --- PATTERN ----------------------------------------------------------------------------------

    fn terms(&self, pattern: &Ast, span: Span) -> Result<Vec<PatternTerm>> {
        let at = self.word_behind("PATTERN", span.end);
        let mut terms = Vec::new();
        self.add_terms(pattern, at, &mut terms)?;
        let wrong = |message: &str, help: &str| {
            Err(Diagnostic::error(Code::UnsupportedUse, message).at(at).help(help.to_string()))
        };
        if terms.iter().all(|term| term.min == 0) {
            return wrong(
                "the pattern could match without any row",
                "give one of its variables no quantifier, or one that asks for a row: A+, A{2}",
            );
        }
        if terms.last().is_some_and(|term| term.greedy) {
            return wrong(
                "the last variable of a pattern cannot have a greedy quantifier: its end would never be known",
                "end the pattern with a plain variable, or make the quantifier reluctant: A+?",
            );
        }
        Ok(terms)
    }

    fn add_terms(&self, pattern: &Ast, at: Span, terms: &mut Vec<PatternTerm>) -> Result<()> {
        let refused = |what: &str| Err(Diagnostic::not_supported(format!("{what} in PATTERN")).at(at));
        match pattern {
            Ast::Concat(all) => all.iter().try_for_each(|it| self.add_terms(it, at, terms)),
            Ast::Group(inner) => self.add_terms(inner, at, terms),
            Ast::Symbol(_) => self.add_term(pattern, (1, Some(1)), false, at, terms),
            Ast::Repetition(inner, quantifier) => {
                // A `?` behind a quantifier makes it reluctant.
                if let (Ast::Repetition(innermost, first), RepetitionQuantifier::AtMostOne) =
                    (inner.as_ref(), quantifier)
                {
                    if matches!(first, RepetitionQuantifier::AtMostOne) {
                        return refused("the reluctant optional variable (A??)");
                    }
                    return self.add_term(innermost, self.bounds(first, at)?, false, at, terms);
                }
                let (min, max) = self.bounds(quantifier, at)?;
                // An optional variable is tried both ways, and an exact number has no choice.
                let greedy = max != Some(min) && (min, max) != (0, Some(1));
                self.add_term(inner, (min, max), greedy, at, terms)
            }
            Ast::Alternation(_) => refused("alternatives (A | B)"),
            Ast::Exclude(_) => refused("exclusion ({- A -})"),
            Ast::Permute(_) => refused("PERMUTE"),
        }
    }

    fn add_term(
        &self,
        variable: &Ast,
        (min, max): (u32, Option<u32>),
        greedy: bool,
        at: Span,
        terms: &mut Vec<PatternTerm>,
    ) -> Result<()> {
        let name = match variable {
            Ast::Group(inner) => return self.add_term(inner, (min, max), greedy, at, terms),
            Ast::Symbol(MatchRecognizeSymbol::Named(name)) => name,
            Ast::Symbol(_) => {
                return Err(Diagnostic::not_supported("anchors (^ and $) in PATTERN")
                    .at(at)
                    .help("a stream has no beginning and no end to look for"));
            }
            _ => {
                return Err(
                    Diagnostic::not_supported("a quantifier of a group of variables in PATTERN").at(at)
                );
            }
        };
        if terms.iter().any(|term| term.name == name.value) {
            let message = format!("the variable '{}' stands twice in PATTERN", name.value);
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(self.span(name.span))
                .help("give the second one another name, with the same condition"));
        }
        terms.push(PatternTerm { name: name.value.clone(), condition: None, min, max, greedy });
        Ok(())
    }

    fn bounds(&self, quantifier: &RepetitionQuantifier, at: Span) -> Result<(u32, Option<u32>)> {
        let (min, max) = match *quantifier {
            RepetitionQuantifier::ZeroOrMore => (0, None),
            RepetitionQuantifier::OneOrMore => (1, None),
            RepetitionQuantifier::AtMostOne => (0, Some(1)),
            RepetitionQuantifier::Exactly(n) => (n, Some(n)),
            RepetitionQuantifier::AtLeast(n) => (n, None),
            RepetitionQuantifier::AtMost(n) => (0, Some(n)),
            RepetitionQuantifier::Range(n, m) => (n, Some(m)),
        };
        if max.is_some_and(|max| max == 0 || max < min) {
            let message = format!("the quantifier {quantifier} has no number of rows");
            return Err(Diagnostic::error(Code::InvalidDefinition, message).at(at));
        }
        Ok((min, max))
    }

    fn after_match(&self, skip: Option<&ast::AfterMatchSkip>, terms: &[PatternTerm]) -> Result<AfterMatch> {
        let variable = |name: &ast::Ident| {
            let at = terms.iter().position(|term| term.name == name.value);
            at.ok_or_else(|| unknown_variable(name, terms).at(self.span(name.span)))
        };
        match skip {
            None | Some(ast::AfterMatchSkip::ToNextRow) => Ok(AfterMatch::ToNextRow),
            Some(ast::AfterMatchSkip::PastLastRow) => Ok(AfterMatch::PastLastRow),
            Some(ast::AfterMatchSkip::ToLast(name)) => Ok(AfterMatch::ToLast(variable(name)?)),
            Some(ast::AfterMatchSkip::ToFirst(name)) => {
                let at = variable(name)?;
                if terms.get(..at).unwrap_or_default().iter().all(|term| term.max == Some(0)) {
                    let message = "skipping to the first row of a match would find the same match for ever";
                    return Err(Diagnostic::error(Code::UnsupportedUse, message).at(self.span(name.span)));
                }
                Ok(AfterMatch::ToFirst(at))
            }
        }
    }

    // --- DEFINE, MEASURES -------------------------------------------------------------------------

    fn define(
        &self,
        terms: &mut [PatternTerm],
        definitions: &[&ast::SymbolDefinition],
        columns: &Scope,
        order: &Ordered,
    ) -> Result<()> {
        for (nth, definition) in definitions.iter().enumerate() {
            let name = &definition.symbol;
            let earlier = definitions.get(..nth).unwrap_or_default();
            if earlier.iter().any(|it| it.symbol.value == name.value) {
                let message = format!("the variable '{}' is defined twice", name.value);
                return Err(Diagnostic::error(Code::AlreadyExists, message).at(self.span(name.span)));
            }
            let Some(at) = terms.iter().position(|term| term.name == name.value) else {
                return Err(unknown_variable(name, terms).at(self.span(name.span)));
            };
            let pattern = PatternCalls::define(terms, at, order.time_column, order.time);
            let (expr, calls) = self.over_match(&definition.definition, columns, pattern, "DEFINE", true)?;
            let condition = PatternCalls::finish(calls, expr);
            if let Some(term) = terms.get_mut(at) {
                term.condition = Some(condition);
            }
        }
        Ok(())
    }

    fn measures(
        &self,
        measures: &[ast::Measure],
        terms: &[PatternTerm],
        columns: &Scope,
        order: &Ordered,
        span: Span,
    ) -> Result<(Vec<MatchExpr>, Vec<Field>)> {
        if measures.is_empty() {
            return Err(Diagnostic::error(
                Code::Syntax,
                "MATCH_RECOGNIZE needs MEASURES: what is said of a match",
            )
            .at(span)
            .help("MEASURES FIRST(A.ts) AS started, COUNT(*) AS n"));
        }
        let bound = measures.iter().enumerate().map(|(nth, measure)| {
            let name = &measure.alias;
            if measures.iter().take(nth).any(|it| it.alias.value == name.value) {
                let message = format!("two measures are named '{}'", name.value);
                return Err(Diagnostic::error(Code::AlreadyExists, message).at(self.span(name.span)));
            }
            let pattern = PatternCalls::measures(terms, order.time_column, order.time);
            let (expr, calls) = self.over_match(&measure.expr, columns, pattern, "MEASURES", false)?;
            let rowtime = calls.pattern.as_ref().is_some_and(|it| it.is_rowtime(&expr));
            let time = match (rowtime, is_proctime(&expr)) {
                (true, _) => Some(TimeAttribute::Rowtime),
                (_, true) => Some(TimeAttribute::Proctime),
                _ => None,
            };
            let field = Field::new(&name.value, expr.data_type.clone()).with_time(time);
            if expr.data_type.kind == TypeKind::Null {
                return Err(Diagnostic::error(Code::TypeMismatch, "the type of this NULL is unknown")
                    .at(self.span(measure.expr.span()))
                    .help("write CAST(NULL AS type)"));
            }
            Ok((PatternCalls::finish(calls, expr), field))
        });
        Ok(self.all(bound)?.into_iter().unzip())
    }

    /// An expression over the rows of a match, and what it takes from it.
    fn over_match(
        &self,
        ast: &ast::Expr,
        columns: &Scope,
        pattern: PatternCalls,
        clause: &'static str,
        condition: bool,
    ) -> Result<(flott_expr::Expr, Calls)> {
        let variables = pattern.variables();
        let scope = Scope { variables, ..columns.clone() };
        let calls = Calls { pattern: Some(pattern), empty_group: true, ..Calls::default() };
        let binder = ExprBinder { calls: Some(&calls), clause, ..ExprBinder::new(self, &scope) };
        let expr = if condition { binder.condition(ast, clause)? } else { binder.bind(ast)? };
        Ok((expr, calls))
    }
}

fn unknown_variable(name: &ast::Ident, terms: &[PatternTerm]) -> Box<Diagnostic> {
    let message = format!("the pattern has no variable '{}'", name.value);
    Diagnostic::error(Code::UnknownColumn, message)
        .did_you_mean(&name.value, terms.iter().map(|term| term.name.as_str()))
}

/// The variables of a pattern for a scope; `absent` says which may have no row.
pub(super) fn variables_of(terms: &[PatternTerm], absent: impl Fn(usize) -> bool) -> Vec<Variable> {
    let variable =
        |(at, term): (usize, &PatternTerm)| Variable { name: term.name.clone(), may_be_absent: absent(at) };
    terms.iter().enumerate().map(variable).collect()
}
