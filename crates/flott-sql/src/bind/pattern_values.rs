//! What the expressions of MATCH_RECOGNIZE take from the rows of a match.
//!
//! ```text
//!   B.x > LAST(A.x, 1) + SUM(B.x)     bound: B.x and stand-ins for the two calls
//!      finish ───────────────────►    #0 > #1 + #2
//!                                     #0 = the last B's x, #1 = the last A's x but one, #2 = SUM(x) of the Bs
//! ```
//!
//! A column of a variable without a call is that of its last row. In DEFINE the row in question counts
//! as the last row of its variable. Whether there is such a row at all, and so whether the value may be
//! NULL, follows from the quantifiers.

use std::cell::RefCell;

use flott_expr::{AggregateFunction, Expr, ExprKind, Value, lookup, lookup_aggregate};
use flott_types::{Code, Diagnostic, Result, Span, TimeAttribute, TypeKind};
use sqlparser::ast::{self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    calls::{Calls, MATCH_VALUES, aggregate_call, same, same_call, stand_in},
    expr::ExprBinder,
    pattern::variables_of,
    scope::{VARIABLE_STRIDE, Variable},
};
use crate::plan::{MatchExpr, MatchValue, PatternTerm};

/// What the expressions of one clause may take, and have taken.
#[derive(Debug)]
pub(super) struct PatternCalls {
    names: Vec<String>,
    /// How many rows each variable has at least, where the expression is evaluated.
    at_least: Vec<u64>,
    measures: bool,
    time_column: usize,
    time: TimeAttribute,
    values: RefCell<Vec<MatchValue>>,
}

impl PatternCalls {
    /// For the condition of the variable at this position.
    pub(super) fn define(terms: &[PatternTerm], at: usize, time_column: usize, time: TimeAttribute) -> Self {
        let rows = |(nth, term): (usize, &PatternTerm)| match nth.cmp(&at) {
            std::cmp::Ordering::Less => u64::from(term.min),
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 0,
        };
        let at_least = terms.iter().enumerate().map(rows).collect();
        Self { at_least, measures: false, ..Self::measures(terms, time_column, time) }
    }

    /// For a measure.
    pub(super) fn measures(terms: &[PatternTerm], time_column: usize, time: TimeAttribute) -> Self {
        Self {
            names: terms.iter().map(|term| term.name.clone()).collect(),
            at_least: terms.iter().map(|term| u64::from(term.min)).collect(),
            measures: true,
            time_column,
            time,
            values: RefCell::default(),
        }
    }

    pub(super) fn variables(&self) -> Vec<Variable> {
        let terms = self.names.iter().map(|name| PatternTerm {
            name: name.clone(),
            condition: None,
            min: 0,
            max: None,
            greedy: false,
        });
        variables_of(&terms.collect::<Vec<_>>(), |at| !self.has_row(Some(at), 0))
    }

    /// Whether there is a row so many places from the first or last of a variable, or of all.
    fn has_row(&self, term: Option<usize>, offset: u64) -> bool {
        let rows = match term {
            Some(at) => self.at_least.get(at).copied().unwrap_or(0),
            None => self.at_least.iter().sum(),
        };
        rows > offset
    }

    /// Whether the expression is just the call MATCH_ROWTIME.
    pub(super) fn is_rowtime(&self, expr: &Expr) -> bool {
        matches!(&expr.kind, ExprKind::Column { index, name } if *index >= MATCH_VALUES && name == ROWTIME)
    }

    /// The expression over the row of the values that it takes.
    pub(super) fn finish(calls: Calls, mut expr: Expr) -> MatchExpr {
        let Some(pattern) = calls.pattern else { return MatchExpr { expr, values: Vec::new() } };
        expr.walk_mut(&mut |node| {
            let ExprKind::Column { index, name } = &node.kind else { return };
            if *index >= MATCH_VALUES {
                return;
            }
            let (term, column) = decode(*index);
            let value = MatchValue::Row {
                term,
                first: false,
                offset: 0,
                expr: Expr::column(column, name, node.data_type.clone()),
            };
            let shown = format!("{}{name}", pattern.prefix(term));
            *node = pattern.take(value, &shown, node.clone());
        });
        expr.walk_mut(&mut |node| {
            if let ExprKind::Column { index, .. } = &mut node.kind {
                *index = index.saturating_sub(MATCH_VALUES);
            }
        });
        MatchExpr { expr, values: pattern.values.into_inner() }
    }

    fn prefix(&self, term: Option<usize>) -> String {
        term.and_then(|at| self.names.get(at)).map_or(String::new(), |name| format!("{name}."))
    }

    /// A stand-in for the value, of the type and at the place of `like`.
    fn take(&self, value: MatchValue, shown: &str, like: Expr) -> Expr {
        stand_in(&self.values, MATCH_VALUES, value, same_value, (shown, like.data_type, like.span))
    }

    /// The only variable whose columns the expressions read, with the columns as they are in a row.
    fn one_variable(&self, exprs: &mut [&mut Expr], span: Span) -> Result<Option<usize>> {
        let mut found: Option<Option<usize>> = None;
        let mut several = false;
        for expr in exprs {
            expr.walk_mut(&mut |node| {
                if let ExprKind::Column { index, .. } = &mut node.kind {
                    let (term, column) = decode(*index);
                    several |= found.is_some_and(|other| other != term);
                    found = Some(term);
                    *index = column;
                }
            });
        }
        if several {
            let message = "the columns in a call must be of one variable";
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(span)
                .help("the value is computed in one row: LAST(A.price * A.tax)"));
        }
        Ok(found.flatten())
    }
}

/// The variable of a column, and its place in the row.
fn decode(index: usize) -> (Option<usize>, usize) {
    ((index / VARIABLE_STRIDE).checked_sub(1), index % VARIABLE_STRIDE)
}

fn same_value(a: &MatchValue, b: &MatchValue) -> bool {
    match (a, b) {
        (
            MatchValue::Row { term: a, first: a_first, offset: a_offset, expr: a_expr },
            MatchValue::Row { term: b, first: b_first, offset: b_offset, expr: b_expr },
        ) => a == b && a_first == b_first && a_offset == b_offset && same(a_expr, b_expr),
        (
            MatchValue::Aggregate { term: a, call: a_call },
            MatchValue::Aggregate { term: b, call: b_call },
        ) => a == b && same_call(a_call, b_call),
        _ => false,
    }
}

/// How MATCH_ROWTIME stands in an expression.
const ROWTIME: &str = "MATCH_ROWTIME()";

/// A call in MATCH_RECOGNIZE; `None`: one that means what it means everywhere.
pub(super) fn call(
    binder: ExprBinder<'_, '_>,
    pattern: &PatternCalls,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Option<Result<Expr>> {
    let not_supported = |what: &str| Diagnostic::not_supported(what).at(span);
    Some(match upper {
        "FIRST" | "LAST" => navigate(binder, pattern, upper == "FIRST", ast, span),
        "MATCH_ROWTIME" => rowtime(binder, pattern, ast, span),
        "MATCH_PROCTIME" => match lookup("PROCTIME") {
            Some(function) if pattern.measures => function.call(Vec::new(), span),
            _ => Err(misplaced(upper).at(span)),
        },
        "PREV" | "NEXT" => Err(not_supported(&format!("{upper} in MATCH_RECOGNIZE"))
            .help("LAST(A.x, 1) is the value in the last row but one that is mapped to A")),
        "CLASSIFIER" | "MATCH_NUMBER" => Err(not_supported(&format!("{upper} in MATCH_RECOGNIZE"))),
        _ => {
            let function = lookup_aggregate(upper).filter(|it| !it.doc.is_empty())?;
            aggregate(binder, pattern, function, ast, span)
        }
    })
}

fn misplaced(upper: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::InvalidDefinition, format!("{upper} stands in MEASURES only"))
}

fn plain_arguments(ast: &ast::Function) -> Option<Vec<&ast::Expr>> {
    let FunctionArguments::List(list) = &ast.args else { return None };
    let arg = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().map(arg).collect()
}

/// `FIRST(A.x, n)`, `LAST(A.x, n)`
fn navigate(
    binder: ExprBinder<'_, '_>,
    pattern: &PatternCalls,
    first: bool,
    ast: &ast::Function,
    span: Span,
) -> Result<Expr> {
    let name = if first { "FIRST" } else { "LAST" };
    let wrong = |at: Span| {
        Diagnostic::error(Code::NoMatchingSignature, format!("{name} takes a value and a constant number"))
            .at(at)
            .help(format!("it is called as {name}(A.x) or {name}(A.x, n)"))
    };
    let args = plain_arguments(ast).ok_or_else(|| wrong(span))?;
    let (value, offset) = match args.as_slice() {
        [value] => (value, 0),
        [value, offset] => {
            let bound = binder.bind(offset)?;
            match bound.kind {
                ExprKind::Literal(Value::Int(offset)) if offset >= 0 => (value, offset.unsigned_abs()),
                _ => return Err(wrong(bound.span)),
            }
        }
        _ => return Err(wrong(span)),
    };
    let inner = ExprBinder { calls: None, clause: name, ..binder };
    let mut expr = inner.bind(value)?;
    let has_columns = !expr.columns().is_empty();
    let term = pattern.one_variable(&mut [&mut expr], span)?;
    if !has_columns {
        return Err(wrong(expr.span));
    }
    let mut like = expr.clone().at(span);
    like.data_type.nullable |= !pattern.has_row(term, offset);
    let shown = format!("{name}({}{expr}, {offset})", pattern.prefix(term));
    Ok(pattern.take(MatchValue::Row { term, first, offset, expr }, &shown, like))
}

/// The time of the last row of the match.
fn rowtime(
    binder: ExprBinder<'_, '_>,
    pattern: &PatternCalls,
    ast: &ast::Function,
    span: Span,
) -> Result<Expr> {
    if !pattern.measures {
        return Err(misplaced("MATCH_ROWTIME").at(span));
    }
    if pattern.time != TimeAttribute::Rowtime {
        let message = "MATCH_ROWTIME needs rows that are ordered by a row time";
        return Err(Diagnostic::error(Code::UnsupportedUse, message).at(span).help("use MATCH_PROCTIME()"));
    }
    let wrong = || {
        Diagnostic::error(Code::NoMatchingSignature, "MATCH_ROWTIME takes the column of ORDER BY, or nothing")
            .at(span)
    };
    let args = match &ast.args {
        FunctionArguments::None => Vec::new(),
        _ => plain_arguments(ast).ok_or_else(wrong)?,
    };
    let fields = binder.scope.relations.first().map(|it| it.fields.as_slice()).unwrap_or_default();
    let field = fields.get(pattern.time_column).ok_or_else(wrong)?;
    match args.as_slice() {
        [] if matches!(field.data_type.kind, TypeKind::TimestampLtz(_)) => {
            return Err(Diagnostic::not_supported("MATCH_ROWTIME() without its column over a TIMESTAMP_LTZ")
                .at(span)
                .help(format!("write MATCH_ROWTIME({})", field.name)));
        }
        [] => {}
        [column] => {
            let bound = ExprBinder { calls: None, ..binder }.bind(column)?;
            if !matches!(bound.kind, ExprKind::Column { index, .. } if index == pattern.time_column) {
                return Err(wrong());
            }
        }
        _ => return Err(wrong()),
    }
    // A row without a time never comes this far.
    let expr = Expr::column(pattern.time_column, &field.name, field.data_type.clone());
    let mut like = expr.clone().at(span);
    like.data_type.nullable = field.data_type.nullable && !args.is_empty();
    Ok(pattern.take(MatchValue::Row { term: None, first: false, offset: 0, expr }, ROWTIME, like))
}

fn aggregate(
    binder: ExprBinder<'_, '_>,
    pattern: &PatternCalls,
    function: &'static AggregateFunction,
    ast: &ast::Function,
    span: Span,
) -> Result<Expr> {
    if let FunctionArguments::List(list) = &ast.args
        && list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
    {
        return Err(Diagnostic::not_supported("DISTINCT in MATCH_RECOGNIZE").at(span));
    }
    if ast.over.is_some() {
        return Err(Diagnostic::not_supported("OVER in MATCH_RECOGNIZE").at(span));
    }
    let inner = ExprBinder { calls: None, clause: "an aggregate function", ..binder };
    let mut call = aggregate_call(inner, function, ast, true, span)?;
    let mut exprs: Vec<&mut Expr> = call.args.iter_mut().chain(call.filter.as_mut()).collect();
    let term = pattern.one_variable(&mut exprs, span)?;
    let shown = format!("{}{call}", pattern.prefix(term));
    let like = Expr::column(0, "", call.data_type.clone()).at(span);
    Ok(pattern.take(MatchValue::Aggregate { term, call }, &shown, like))
}
