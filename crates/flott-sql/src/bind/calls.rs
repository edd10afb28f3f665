//! Calls that don't look at one row: aggregates, GROUPING, functions with OVER.
//!
//! ```text
//!   SELECT k, SUM(x) + 1        k, a0 + 1      a0 stands in for the call
//!       bind ───────────────────►     │ calls: [SUM(x)]
//!       what lies below is known ────►│ Aggregate [k] SUM(x)
//!       lift ────────────────────────►│ #0, #1 + 1
//! ```
//!
//! While an item is bound, a call becomes a column that stands in for it, at a position that no
//! input has. When it is known what lies below, the stand-ins get their true positions.

use std::cell::RefCell;

use flott_expr::{AggregateCall, AggregateFunction, Expr, ExprKind};
use flott_types::{Code, DataType, Diagnostic, Result, Span};
use sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NullTreatment,
};

use super::{
    call,
    expr::ExprBinder,
    group_window::GroupWindow,
    grouping::GroupingCall,
    over,
    over::OverDraft,
    pattern_values::{self, PatternCalls},
    sub_query,
};

/// Positions from here on stand in for aggregate calls.
pub(super) const AGGREGATES: usize = 1 << 40;
/// Positions from here on stand in for calls of GROUPING.
pub(super) const GROUPINGS: usize = 2 << 40;
/// Positions from here on stand in for values taken from a match.
pub(super) const MATCH_VALUES: usize = 4 << 40;
/// Positions from here on stand in for calls with OVER.
pub(super) const OVERS: usize = 3 << 40;

/// Positions from here on stand in for what sub-queries say.
pub(super) const SUB_QUERIES: usize = 4 << 40;

/// The clause of an aggregate's arguments.
const INSIDE: &str = "an aggregate function";

/// What the expressions of one SELECT call, each call once.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Aggregate calls.
    pub(super) aggregates: RefCell<Vec<AggregateCall>>,
    /// Calls of GROUPING and its kin.
    pub(super) groupings: RefCell<Vec<GroupingCall>>,
    /// Calls with OVER.
    pub(super) overs: RefCell<Vec<OverDraft>>,
    /// A group may have no rows: then SUM is NULL, whatever its argument is.
    pub(super) empty_group: bool,
    /// The grouping expressions.
    pub(super) keys: Option<Vec<Expr>>,
    /// `TUMBLE(…)` in GROUP BY.
    pub(super) window: Option<GroupWindow>,
    /// What stands in MATCH_RECOGNIZE takes from the rows of a match.
    pub(super) pattern: Option<PatternCalls>,
    /// The `STATE_TTL` hint for the groups, in milliseconds.
    pub(super) state_ttl: Option<i64>,
    /// The `WINDOW` clause.
    pub(super) named_windows: Vec<(String, ast::WindowSpec)>,
}

impl Calls {
    /// Puts the values of sub-queries into what aggregates read.
    pub(super) fn answered(&self, values: &[Expr]) {
        let mut calls = self.aggregates.borrow_mut();
        let read = calls.iter_mut().flat_map(|it| it.args.iter_mut().chain(&mut it.filter));
        read.for_each(|expr| sub_query::answered(expr, values));
    }

    /// Whether the SELECT aggregates.
    pub(super) fn aggregate(&self) -> bool {
        self.keys.is_some() || !self.aggregates.borrow().is_empty() || !self.groupings.borrow().is_empty()
    }
}

/// A stand-in for the call at this place of its list; an equal call is the same one.
pub(super) fn stand_in<T>(
    list: &RefCell<Vec<T>>,
    base: usize,
    call: T,
    same: impl Fn(&T, &T) -> bool,
    (name, data_type, span): (&str, DataType, Span),
) -> Expr {
    let mut list = list.borrow_mut();
    let known = list.iter().position(|it| same(it, &call));
    let at = known.unwrap_or_else(|| {
        list.push(call);
        list.len() - 1
    });
    Expr::column(base + at, name, data_type).at(span)
}

/// The expression without its places, to be compared.
pub(super) fn unplaced(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    expr.walk_mut(&mut |node| node.span = Span::default());
    expr
}

/// Whether both compute the same.
pub(super) fn same(a: &Expr, b: &Expr) -> bool {
    unplaced(a) == unplaced(b)
}

pub(super) fn same_all(a: &[Expr], b: &[Expr]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

pub(super) fn same_call(a: &AggregateCall, b: &AggregateCall) -> bool {
    let filters = match (&a.filter, &b.filter) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    };
    a.function == b.function && a.distinct == b.distinct && filters && same_all(&a.args, &b.args)
}

/// An aggregate call; its stand-in.
pub(super) fn aggregate(
    binder: ExprBinder<'_, '_>,
    function: &'static AggregateFunction,
    ast: &ast::Function,
    span: Span,
) -> Result<Expr> {
    let Some(calls) = binder.calls else {
        return Err(misplaced(function.name, binder.clause).at(span));
    };
    let inner = ExprBinder { calls: None, sub_queries: binder.row_sub_queries, clause: INSIDE, ..binder };
    let call = aggregate_call(inner, function, ast, calls.empty_group, span)?;
    let shown = (function.name, call.data_type.clone(), span);
    Ok(stand_in(&calls.aggregates, AGGREGATES, call, same_call, shown))
}

fn misplaced(name: &str, clause: &str) -> Box<Diagnostic> {
    let error = |message: &str| Diagnostic::error(Code::InvalidDefinition, message);
    match clause {
        INSIDE => error("aggregate functions cannot be nested").help(
            "aggregate the groups in a query above: SELECT MAX(n) FROM (SELECT COUNT(*) AS n … GROUP BY …)",
        ),
        "WHERE" => error(&format!("{name} cannot stand in WHERE: it is an aggregate function"))
            .help("conditions on groups stand in HAVING"),
        _ => error(&format!("{name} cannot stand in {clause}: it is an aggregate function")),
    }
}

/// The call with its arguments bound by `inner`.
pub(super) fn aggregate_call(
    inner: ExprBinder<'_, '_>,
    function: &'static AggregateFunction,
    ast: &ast::Function,
    empty_group: bool,
    span: Span,
) -> Result<AggregateCall> {
    let function = null_treatment(function, ast, span)?;
    let (args, distinct) = arguments(inner, function, ast, span)?;
    let filter = ast.filter.as_ref().map(|it| inner.condition(it, "FILTER")).transpose()?;
    let mut call = function.call(args, distinct, filter, span).map_err(|it| it.at(span))?;
    if empty_group || call.filter.is_some() {
        make_nullable_if_empty(&mut call);
    }
    Ok(call)
}

/// Without rows the result is what it is for arguments that are all NULL.
pub(super) fn make_nullable_if_empty(call: &mut AggregateCall) {
    let mut args = call.args.clone();
    args.iter_mut().for_each(|arg| arg.data_type.nullable = true);
    if let Some(signature) = (call.function.resolve)(&args) {
        call.data_type.nullable |= signature.result.nullable;
    }
}

/// The function that `IGNORE NULLS` asks for; `RESPECT NULLS` is for those that don't ignore them.
fn null_treatment(
    function: &'static AggregateFunction,
    ast: &ast::Function,
    span: Span,
) -> Result<&'static AggregateFunction> {
    if !ast.within_group.is_empty() {
        return Err(Diagnostic::not_supported(format_args!("WITHIN GROUP ({})", function.name)).at(span));
    }
    let inside = match &ast.args {
        FunctionArguments::List(list) => list.clauses.as_slice(),
        _ => &[],
    };
    let inside = inside.iter().find_map(|clause| match clause {
        FunctionArgumentClause::IgnoreOrRespectNulls(it) => Some(*it),
        _ => None,
    });
    match ast.null_treatment.or(inside) {
        Some(NullTreatment::IgnoreNulls) => function.ignoring_nulls().ok_or_else(|| {
            Diagnostic::not_supported(format_args!("IGNORE NULLS ({})", function.name)).at(span)
        }),
        Some(NullTreatment::RespectNulls) if function.ignores_null => {
            Err(Diagnostic::not_supported(format_args!("RESPECT NULLS ({})", function.name)).at(span))
        }
        Some(NullTreatment::RespectNulls) | None => Ok(function),
    }
}

/// The bound arguments, and whether `DISTINCT` stands before them.
fn arguments(
    binder: ExprBinder<'_, '_>,
    function: &AggregateFunction,
    ast: &ast::Function,
    span: Span,
) -> Result<(Vec<Expr>, bool)> {
    let FunctionArguments::List(list) = &ast.args else {
        return Err(Diagnostic::error(Code::Syntax, format!("{} needs arguments", function.name)).at(span));
    };
    let nulls =
        |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_));
    if !list.clauses.iter().all(nulls) {
        let what = format_args!("clauses behind the arguments of {}", function.name);
        return Err(Diagnostic::not_supported(what).at(span));
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let star = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
    if function.name == "COUNT" && star && !distinct {
        return Ok((Vec::new(), false));
    }
    if list.args.is_empty() && function.name == "COUNT" {
        let error = Diagnostic::error(Code::NoMatchingSignature, "COUNT needs an argument").at(span);
        return Err(error.help("COUNT(*) counts rows"));
    }
    let args = call::aggregate_arguments(binder, function.name, &list.args, span)?;
    Ok((args, distinct))
}

/// Calls by name that are no functions of a row: `None` for all others.
pub(super) fn by_name(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Option<Result<Expr>> {
    if let Some(pattern) = binder.calls.and_then(|calls| calls.pattern.as_ref())
        && let Some(bound) = pattern_values::call(binder, pattern, upper, ast, span)
    {
        return Some(bound);
    }
    if let Some(window) = &ast.over {
        return Some(over::call(binder, upper, ast, window, span));
    }
    // Forms that only a clause chooses have no documentation, and no name in SQL.
    if let Some(function) = flott_expr::lookup_aggregate(upper).filter(|it| !it.doc.is_empty()) {
        return Some(aggregate(binder, function, ast, span));
    }
    if over::is_window_function(upper) {
        let message = format!("{upper} needs a window: OVER (…)");
        return Some(Err(Diagnostic::error(Code::InvalidDefinition, message)
            .at(span)
            .help(format!("write {upper}() OVER (PARTITION BY … ORDER BY …)"))));
    }
    super::grouping::call(binder, upper, ast, span)
        .or_else(|| super::group_window::property(binder, upper, ast, span))
}

/// The expression's stand-ins of one kind, replaced.
pub(super) fn replace_stand_ins(expr: &mut Expr, base: usize, by: &impl Fn(usize) -> Option<Expr>) {
    expr.walk_mut(&mut |node| {
        let ExprKind::Column { index, .. } = node.kind else { return };
        let place = index.checked_sub(base).filter(|at| *at < AGGREGATES);
        if let Some(new) = place.and_then(by) {
            *node = new.at(node.span);
        }
    });
}
